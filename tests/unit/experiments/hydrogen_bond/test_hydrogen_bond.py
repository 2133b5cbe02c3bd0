"""Free energies of pairs of atoms, which are exact: classical by quadrature, quantum by partial waves."""

import json
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from ase import Atoms

pytest.importorskip("jax")
sys.path.insert(0, str(Path(__file__).parents[3] / "physics"))

from exact import pair_partition

from frazil.errors import UserError
from frazil.experiments.hydrogen_bond import physics, results
from frazil.experiments.hydrogen_bond.settings import HydrogenBond
from frazil.experiments.hydrogen_bond.windows import Window, release_eV, subject_of
from frazil.parameters import resolve
from frazil.report.section import Section
from frazil.settings import load as load_settings
from frazil.units import hbar, kB
from shards import run_in_shards

DEPTHS_eV, SIGMA_A, TEMPERATURE_K = (0.12, 0.115), 2.7, 100.0
SMALL: dict[str, Any] = {
    "n_trajectories": 4, "shard_size": 4, "temperature_K": TEMPERATURE_K, "molecule_atoms": [1],
    "n_beads": [1, 12], "duration_fs": 4000, "equilibration_fs": 400, "timestep_fs": 2,
    "observe_every_fs": 20, "n_restraint_windows": 3, "n_coupling_windows": 6,
    "mass_integral": True,
}  # fmt: skip


def pair(folder: Path, depths_eV: tuple[float, ...] = DEPTHS_eV, symbols: str = "He2") -> dict[str, str]:
    """Write a pair of atoms and a committee of Lennard-Jones potentials."""
    parts = [{"kind": "lennard-jones", "epsilon_eV": depth, "sigma_A": SIGMA_A} for depth in depths_eV]
    model = folder / f"pair-{len(parts)}"
    model.mkdir(exist_ok=True)
    described = {"kind": "committee", "parts": parts} if len(parts) > 1 else parts[0]
    (model / "model.json").write_text(json.dumps(described))
    atoms = Atoms(symbols, np.arange(len(Atoms(symbols)))[:, None] * [[0, 0, 1.12 * SIGMA_A]])
    atoms.write(folder / "pair.xyz")
    return {"structure": str(folder / "pair.xyz"), "model": str(model)}


campaign = partial(run_in_shards, "hydrogen_bond")
"""Run all passes, in shards of some sizes, and analyse them."""


@cache
def exact_meV(depth_eV: float, n_beads: int, escape_A: float = 2.0) -> float:
    """Return the free energy of taking a pair apart, from the whole of its bound distances."""
    thermal, mass = kB * TEMPERATURE_K, Atoms("He").get_masses()[0] / 2
    rest = 2 ** (1 / 6) * SIGMA_A
    r = np.linspace(1.9, rest + escape_A, 260)
    bound = pair_partition(
        lambda r: 4 * depth_eV * ((SIGMA_A / r) ** 12 - (SIGMA_A / r) ** 6), mass, TEMPERATURE_K, n_beads, r
    )
    free = 1660.54 * (mass * thermal / (2 * np.pi * hbar**2)) ** 1.5
    return float(-1e3 * thermal * np.log(free / bound))


@pytest.fixture(scope="module")
def helium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("helium")
    return campaign(folder, {**SMALL, **pair(folder)})


def test_partial_waves_are_the_integral_of_one_bead() -> None:
    thermal, r = kB * TEMPERATURE_K, np.linspace(1.9, 5.03, 4000)
    energy = 4 * 0.12 * ((SIGMA_A / r) ** 12 - (SIGMA_A / r) ** 6)
    volume = (4 * np.pi * r**2 * np.exp(-energy / thermal)).sum() * (r[1] - r[0])
    assert exact_meV(0.12, 1) == pytest.approx(-1e3 * thermal * np.log(1660.54 / volume), abs=0.02)


def test_free_energies_are_exact_classical_and_quantum_of_each_member(helium: Path) -> None:
    passes = pandas.read_csv(helium / "passes.csv")
    for (n_beads, member), own in passes.groupby(["n_beads", "member"]):
        expected = exact_meV(DEPTHS_eV[member], n_beads)
        for column in ("ti_meV", "mbar_meV"):
            error = own[column].std(ddof=1) / 2
            assert error < (0.5 if column == "mbar_meV" else 1.0)
            assert abs(own[column].mean() - expected) < 4 * error + 0.2, (n_beads, member, column)
    assert exact_meV(0.12, 1) - exact_meV(0.12, 12) == pytest.approx(6.67, abs=0.02)


def test_frames_of_a_pass_are_what_its_samples_say(tmp_path: Path) -> None:
    """The distance of the parts by frames, window by window, is the row's; rows are those of a run unseen."""
    short = {"duration_fs": 400, "equilibration_fs": 40, "n_coupling_windows": 4, "mass_integral": False,
             "n_beads": [1]}  # fmt: skip
    settings = load_settings(HydrogenBond, {**SMALL, **pair(tmp_path, (0.12,)), **short})
    seen: dict[int, list[Atoms]] = {}
    ((_, row),) = physics.runner(settings, 1, seen.__setitem__)([1], lambda: None)
    ((_, unseen),) = physics.runner(settings, 1)([1], lambda: None)
    assert np.array_equal(row["samples"], unseen["samples"], equal_nan=True)
    n_windows, n_samples = row["samples"].shape[1:3]
    assert len(seen[1]) == n_windows * (n_samples + 1), "from the start on"
    for frame in seen[1]:
        sample = round(frame.info["time_fs"] / 20) - 1
        if sample >= 0:
            distance_A = 2 ** (1 / 6) * SIGMA_A + row["samples"][0, frame.info["window"], sample, 2]
            assert frame.get_distance(0, 1) == pytest.approx(distance_A, abs=1e-4)


def test_quantum_nuclei_add_the_same_by_both_ways(helium: Path) -> None:
    table = pandas.read_csv(helium / "quantum.csv").set_index("by")
    direct, mass = table.loc["direct"], table.loc["mass"]
    assert abs(direct["difference_meV"] - mass["difference_meV"]) < 4 * np.hypot(
        direct["se_meV"], mass["se_meV"]
    )
    assert mass["difference_meV"] < -5
    assert table["se_meV"].max() < 0.5


def test_members_differ_by_what_their_wells_do(helium: Path) -> None:
    table = pandas.read_csv(helium / "free_energies.csv").set_index(["n_beads", "step"])
    for n_beads in (1, 12):
        row = table.loc[(n_beads, "total")]
        expected = np.std([exact_meV(depth, n_beads) for depth in DEPTHS_eV], ddof=1)
        assert row["model_std_meV"] == pytest.approx(expected, abs=0.6)
        assert row["total_high_95_meV"] - row["total_low_95_meV"] > 40, "Student's t of two members is 12.7"
    steps = table.xs(1)
    assert steps.loc["total", "mbar_meV"] == pytest.approx(steps["mbar_meV"].drop("total").sum(), abs=1e-3)
    assert steps.loc["release", "mbar_se_meV"] == pytest.approx(0, abs=1e-9)


def test_section_tells_the_result_and_passes_its_gates(helium: Path) -> None:
    section = Section.read(helium)
    assert section.headline.startswith("He out of He·He at 100 K: ")
    failed = [gate.name for gate in section.gates if gate.passed is not True]
    assert not failed
    assert {figure.file for figure in section.figures} == {"steps.svg", "slopes.svg"}
    windows = pandas.read_csv(helium / "windows.csv")
    assert len(windows) == 2 * (3 + 6 + 1)
    assert (windows["n_effective"] <= 4 * 2 * 200).all()
    assert windows[windows["lambda1"] == 0]["overlap_next"].isna().all()


def test_shards_of_any_size_give_the_same_bytes(helium: Path, tmp_path: Path) -> None:
    values = {**SMALL, **pair(tmp_path), "n_beads": [1], "mass_integral": False}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder, sizes in ((whole, (4,)), (parts, (1, 3))):
        folder.mkdir()
        campaign(folder, values, sizes)
    for name in ("trajectories.csv", "free_energies.csv", "passes.csv"):
        assert (whole / "out" / name).read_bytes() == (parts / "out" / name).read_bytes(), name
    classical = pandas.read_csv(helium / "passes.csv").query("n_beads == 1").reset_index(drop=True)
    pandas.testing.assert_frame_equal(pandas.read_csv(parts / "out/passes.csv"), classical, rtol=1e-6)


def test_a_molecule_that_escapes_is_counted_and_gated(tmp_path: Path) -> None:
    weak = {**SMALL, **pair(tmp_path, (0.02,)), "n_beads": [1], "mass_integral": False}
    out = campaign(tmp_path, weak)
    rows = pandas.read_csv(out / "trajectories.csv")
    assert rows["n_escaped"].sum() > 0.1 * rows["n_bound"].sum()
    gate = next(gate for gate in Section.read(out).gates if "escaped" in gate.name)
    assert gate.passed is False


def test_windows_that_do_not_overlap() -> None:
    path, overlaps = [Window(1.0, 0.0), Window(1.0, 1.0), Window(0.125, 1.0)], np.array([0.4, 1e-6])
    with pytest.raises(
        UserError, match=r"λ1 1, λ2 1 and λ1 0.125, λ2 1 do not overlap \(1e-06, 8 beads\); take more"
    ):
        results.check_overlap(path, overlaps, 8)


def test_the_restraints_volume() -> None:
    """At a distance of nought it is (2πkT/k)^{3/2}; the release to as much costs nothing."""
    volume = (2 * np.pi * kB * 300 / 0.25) ** 1.5

    class AtRest:
        distance_A, periodic = 0.0, False

    settings = HydrogenBond(structure=None, model=None, temperature_K=300.0, volume_A3=float(volume))
    assert release_eV(AtRest(), settings) == pytest.approx(0.0, abs=1e-9)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"molecule_atoms": [0, 1]}, r"atoms 0,1 of pair \(He2\) are no whole molecule beside others"),
        ({"molecule_atoms": [2]}, "its molecules are 0; 1: give one"),
        ({"n_beads": [1, 10]}, r"10 beads for pair at 100 K, whose fastest mode has 354 cm⁻¹; .* 11 or more"),
    ],
)
def test_bad_input_of_a_structure(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    settings = load_settings(HydrogenBond, {**SMALL, **pair(tmp_path), **change})
    with pytest.raises(UserError, match=message):
        next(physics.runner(settings, 1)([0], lambda: None))


def test_a_time_step_too_long(tmp_path: Path) -> None:
    deep = load_settings(HydrogenBond, {**SMALL, **pair(tmp_path, (6.0,)), "timestep_fs": 5, "n_beads": [1],
                                        "mass_integral": False, "equilibration_fs": 500})  # fmt: skip
    with pytest.raises(UserError, match=r"a time step of 5 fs .* allowed are 14 steps a period"):
        subject_of(deep)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_trajectories": 5}, "n_trajectories.*an even number"),
        ({"n_beads": "32", "mass_integral": True}, "mass_integral.*needs 1 and another number"),
        ({"observe_every_fs": 10.3}, "observe_every_fs.*a whole number of"),
        ({"duration_fs": 50}, "duration_fs.*at least 20 times"),
    ],
)
def test_settings_that_do_not_go_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve({"experiments": "hydrogen_bond", "hydrogen_bond": given})
