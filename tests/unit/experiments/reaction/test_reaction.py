"""Profiles of a proton between two heavy atoms far apart: one dimension, exact at any number of beads."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from ase import Atoms

pytest.importorskip("jax")
sys.path.insert(0, str(Path(__file__).parents[3] / "physics"))

import jax.numpy as jnp
from exact import ring_density

from frazil.analysis.free_energy import mbar, unbiased
from frazil.errors import UserError
from frazil.experiments.reaction import physics, profiles, results, windows
from frazil.experiments.reaction.coordinate import Coordinate
from frazil.experiments.reaction.path import ReactionPath, path_of, read_path
from frazil.experiments.reaction.settings import Reaction
from frazil.experiments.reaction.tables import ROUNDS
from frazil.experiments.reaction.truth import truth_of
from frazil.experiments.reaction.tube import tube_of
from frazil.parameters import resolve
from frazil.potentials.registry import Source
from frazil.potentials.surface import members_of
from frazil.potentials.transform import Bias, SameForAll
from frazil.report.section import Section
from frazil.settings import load as load_settings
from frazil.systems.minima import aligned
from frazil.units import fs, hbar, kB
from shards import run_in_shards

BARRIER_eV, MINIMUM_A, APART_A, TEMPERATURE_K = 0.25, 0.4, 100.0, 300.0
ISOTOPES = {"H": 1.008, "D": windows.HEAVY_amu["D"]}
SMALL: dict[str, Any] = {
    "coordinate_atoms": [0, 1, 2], "n_trajectories": 4, "shard_size": 4, "n_beads": [1, 20],
    "first_A": -1.2, "last_A": 1.2, "n_windows": 13, "window_eV_per_A2": 1.5, "bin_A": 0.04,
    "timestep_fs": 1, "equilibration_fs": 200, "duration_fs": 3000, "observe_every_fs": 10,
}  # fmt: skip


def double_well(x: Any, barrier_eV: float = BARRIER_eV) -> Any:
    return barrier_eV * ((x / MINIMUM_A) ** 2 - 1) ** 2


def well(positions: Any, barrier_eV: Any) -> Any:
    """A double well along x of the atom midway between two others, 100 Å apart: the coordinate is 2x."""
    ends = jnp.array([[-APART_A / 2, 0, 0], [APART_A / 2, 0, 0]])
    heavy = positions[jnp.array([0, 2])]
    held = 0.5 * jnp.sum((heavy - ends) ** 2)
    x, y, z = positions[1] - heavy.mean(axis=0)
    return double_well(x, barrier_eV) + held + 0.5 * 5.0 * (y**2 + z**2)


def source_of(*barriers_eV: float) -> Source:
    def make(structures: Any, member: int | None) -> Any:
        mean = float(np.mean(barriers_eV))
        return SameForAll(Bias(well, mean if member is None else barriers_eV[member]))

    return Source("well", "exact", "well", make, len(barriers_eV))


def frames(*places_A: float, symbols: str = "AuHAu") -> list[Atoms]:
    return [Atoms(symbols, [[-APART_A / 2, 0, 0], [x, 0, 0], [APART_A / 2, 0, 0]]) for x in places_A]


def write(folder: Path, *places_A: float, symbols: str = "AuHAu") -> dict[str, str]:
    from ase.io import write as write_atoms

    write_atoms(folder / "proton.xyz", frames(*places_A, symbols=symbols), "extxyz")
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model/model.json").write_text("{}")
    return {"structures": str(folder / "proton.xyz"), "model": str(folder / "model")}


@pytest.fixture
def heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, source_of(BARRIER_eV))


def known(patch: pytest.MonkeyPatch, source: Source) -> None:
    """Have folders of models give a source, and the path's atoms weigh as much as they need to."""
    windows._subject.cache_clear()
    for module in (physics, windows):
        patch.setattr(module, "source_of", lambda model: source)


campaign = partial(run_in_shards, "reaction")


def exact_meV(isotope: str, n_beads: int, barrier_eV: float = BARRIER_eV) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates and the free energy of the density, from its minimum."""
    x = np.linspace(-1.0, 1.0, 801)
    density = ring_density(
        partial(double_well, barrier_eV=barrier_eV), ISOTOPES[isotope], TEMPERATURE_K, n_beads, x
    )
    return 2 * x, -1e3 * kB * TEMPERATURE_K * np.log(density / density.max())


@pytest.fixture(scope="module")
def proton(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("proton")
    with pytest.MonkeyPatch.context() as patch:
        known(patch, source_of(BARRIER_eV))
        yield campaign(folder, {**SMALL, **write(folder, *np.linspace(-0.6, 0.6, 13))})


def of(folder: Path, name: str) -> Any:
    return pandas.read_csv(folder / f"{name}.csv").set_index(["n_beads", "isotope"])


def test_barriers_are_exact_classical_and_quantum_of_both_isotopes(proton: Path) -> None:
    rows = of(proton, "barriers")
    assert len(rows) == 5
    for (n_beads, isotope), row in rows[(rows["kind"] == "density") | (rows.index == (1, "H"))].iterrows():
        places, expected = exact_meV(isotope, n_beads)
        assert row["se_meV"] < 3
        assert row["barrier_meV"] == pytest.approx(np.interp(0, places, expected), abs=4 * row["se_meV"] + 1)
        assert abs(row["basin_A"] + 2 * MINIMUM_A) < 0.15
        assert abs(row["top_A"]) < 0.15


def test_the_centroid_is_another_profile_than_the_density(proton: Path) -> None:
    rows = of(proton, "barriers").set_index("kind", append=True)["barrier_meV"]
    assert rows[20, "H", "centroid"] == pytest.approx(148, abs=8)  # 147.9 by a long run of 32 beads
    assert rows[20, "H", "centroid"] > rows[20, "H", "density"] + 40
    assert rows[20, "D", "centroid"] > rows[20, "D", "density"] + 15
    classical = pandas.read_csv(proton / "profiles.csv").query("n_beads == 1")
    assert set(classical["kind"]) == {"centroid"}, "one bead has one profile"


def test_the_whole_classical_profile_is_the_potential(proton: Path) -> None:
    rows = of(proton, "profiles").loc[(1, "H")]
    rows = rows[rows["coordinate_A"].abs() < 0.9]
    missed = rows["free_energy_meV"] - 1e3 * double_well(rows["coordinate_A"] / 2)
    assert len(rows) > 40
    assert (missed.abs() < 5 * rows["se_meV"] + 4).all()


def test_the_rate_is_that_of_transition_state_theory(proton: Path) -> None:
    x = np.linspace(-1.2, 0.0, 4001)
    thermal, mass = kB * TEMPERATURE_K, ISOTOPES["H"] / (1 + ISOTOPES["H"] / (2 * 196.97))
    reactant = np.exp(-double_well(x) / thermal).sum() * (x[1] - x[0])
    rate = np.sqrt(thermal / (2 * np.pi * mass)) * np.exp(-BARRIER_eV / thermal) / reactant * 1e3 * fs
    row = of(proton, "rates").loc[(1, "H")]
    scatter = (np.log(row["high_95"]) - np.log(row["low_95"])) / 2
    assert scatter < 0.4
    assert abs(np.log(row["rate_per_ps"] / rate)) < scatter + 0.1
    quantum = of(proton, "rates").loc[20]["rate_per_ps"]
    assert quantum["H"] > 5 * quantum["D"]
    assert quantum["D"] > 5 * row["rate_per_ps"]


def test_section_tells_barriers_and_gates(proton: Path) -> None:
    section = Section.read(proton)
    assert section.headline.startswith(
        "proton along d(Au0–H1) − d(H1–Au2) at 300 K, barriers of the centroid: "
    )
    names = {gate.name: gate.passed for gate in section.gates}
    assert names["windows that broke"]
    assert names["samples that left their window (part)"]
    assert names["the potential's error"] is None
    halves = [gate.value for gate in section.gates if gate.name.startswith("barrier of the first halves")]
    assert len(halves) > 1
    assert all(value is not None and abs(float(value)) < 40 for value in halves), (
        "not the barrier, 220 meV, or twice that"
    )
    edges = [passed for name, passed in names.items() if name.startswith("a minimum's distance from the end")]
    assert edges == [True] * 5
    assert names["primitive over virial kinetic energy, D, 20 beads"]
    assert {figure.file for figure in section.figures} == {"profile.svg", "path_energies.svg"}
    assert any("not the same" in text for text in section.text)


ROUND = {
    "round": 0, "n_train": 90, "n_test": 10, "energy_rmse_meV_per_atom": 1.25, "force_rmse_eV_per_A": 0.05,
    "train_spread_eV_per_A": 0.05, "tube_spread_eV_per_A": 0.05, "n_chosen": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two members whose barriers differ by 40 meV, and a truth between them; in two ways of sharding."""
    folders = []
    with pytest.MonkeyPatch.context() as patch:
        known(patch, source_of(0.24, 0.20))
        patch.setattr(physics, "load", lambda level: source_of(0.22))
        for name, sizes in (("whole", (2,)), ("parts", (1, 1))):
            folder = tmp_path_factory.mktemp(name)
            (folder / "model").mkdir()
            ROUNDS.write([ROUND, {**ROUND, "round": 1, "tube_spread_eV_per_A": 0.06}], folder / "model")
            given = {
                **SMALL, **write(folder, *np.linspace(-0.6, 0.6, 13)), "n_trajectories": 2, "n_beads": [1],
                "duration_fs": 1500, "truth": "gfn2-xtb", "truth_limit_meV": 60, "escape_A": 0.25,
            }  # fmt: skip
            folders.append(campaign(folder, given, sizes))
        yield folders


def test_members_are_told_apart(members: list[Path]) -> None:
    out = members[0]
    assert len(pandas.read_csv(out / "trajectories.csv")) == 2 * 2
    row = of(out, "barriers").loc[(1, "H")]
    assert row["model_std_meV"] == pytest.approx(40 / np.sqrt(2), abs=12)
    assert row["barrier_meV"] == pytest.approx(220, abs=15)
    gates = {gate.name: gate.passed for gate in Section.read(out).gates}
    assert gates["what members differ by along the coordinate, classical, centroid (meV)"] is False


def test_the_report_tells_how_the_potential_learned(members: list[Path], proton: Path) -> None:
    section = Section.read(members[0])
    name = "members' mean spread on the tube over that on the frames trained on"
    gate = next(gate for gate in section.gates if gate.name == name)
    assert gate.passed is False, "1.2 in the last round, 1 in the one before"
    assert any(text.startswith("The committee learned from 90 frames, in 2 rounds.") for text in section.text)
    assert "query by committee" in section.methods
    assert pandas.read_csv(members[0] / "rounds.csv")["n_train"].tolist() == [90, 90]
    assert not any(gate.name == name for gate in Section.read(proton).gates), "its potential was given"
    assert not (proton / "rounds.csv").exists()


def test_the_truth_is_what_reweighted_samples_say(members: list[Path]) -> None:
    truth = pandas.read_csv(members[0] / "truth.csv")
    top = truth[truth["coordinate_A"].abs() < 0.1].mean()
    assert top["difference_meV"] == pytest.approx(0, abs=2), "members are 20 meV above and below"
    assert top["largest_member_meV"] == pytest.approx(20, abs=2)
    assert top["truth_meV"] == pytest.approx(220, abs=15)
    names = {gate.name: gate.passed for gate in Section.read(members[0]).gates}
    assert "classical barrier of gfn2-xtb less the potential's (meV)" in names
    few = "least number that samples near a place are worth when reweighted to gfn2-xtb"
    assert names[few] is False, "of 50 samples in each soft window ten are near the top"
    assert names["samples without an energy at gfn2-xtb"] is True


def test_reweighting_is_exact_where_a_hidden_mode_stiffens_along_the_way() -> None:
    """A level whose mode has a(x) times the potential's stiffness adds ½ kT ln a; worth is √(2a − 1)/a."""
    random, settings = np.random.default_rng(4), load_settings(Reaction, {**SMALL, "n_beads": [1]})
    x = random.uniform(0, 1, (1, 2, 1, 60_000))
    factor = np.exp(3 * x)
    added = 0.5 * kB * TEMPERATURE_K * (factor - 1) * random.normal(size=x.shape) ** 2
    places, zeros = np.linspace(0.1, 0.9, 17), np.zeros((1, 2, 17))
    profile = profiles.Profile(windows.Set(1, "natural"), "centroid", places, zeros, zeros, 0, 16)
    weights = np.full((1, 2, x.shape[-1]), 1 / x.shape[-1])
    own = profiles.Sampled(
        profile.of, np.stack([x, x], axis=-1), weights, zeros, (profile,), zeros, zeros, zeros
    )
    truth = truth_of(settings, own, added)
    expected = 0.5e3 * kB * TEMPERATURE_K * 3 * (places - places[0])
    assert truth.adds.mean(axis=(0, 1)) == pytest.approx(expected, abs=0.8)
    stiff = np.exp(3 * places[-1])
    near = profiles.SMOOTH_A * x.shape[-1]
    assert truth.n_effective == pytest.approx(near * np.sqrt(2 * stiff - 1) / stiff, rel=0.15)
    assert truth.place_A == pytest.approx(places[-1])
    assert truth.n_without == 0
    added[0, 0, 0, :7] = np.inf
    assert truth_of(settings, own, added).n_without == 7
    added[0, 0, 0, :] = np.nan
    with pytest.raises(UserError, match=r"no sample for none near 0.1 Å; evaluate it on more"):
        truth_of(settings, own, added)


def test_shards_of_any_size_give_the_same_bytes(members: list[Path]) -> None:
    for name in ("trajectories", "profiles", "barriers", "truth"):
        assert (members[0] / f"{name}.csv").read_bytes() == (members[1] / f"{name}.csv").read_bytes(), name


def test_samples_that_left_their_window_are_counted_and_gated(members: list[Path], proton: Path) -> None:
    rows = pandas.read_csv(members[0] / "trajectories.csv")
    assert (rows["n_samples"] == 13 * 150).all()
    assert (rows["n_escaped"] > 0.02 * rows["n_samples"]).all()
    far = pandas.read_csv(proton / "trajectories.csv")
    assert far["n_escaped"].sum() < 0.001 * far["n_samples"].sum()
    gates = [gate.passed for gate in Section.read(members[0]).gates if "left their window" in gate.name]
    assert gates == [False]


@pytest.mark.parametrize(
    ("first_A", "last_A", "passed"),
    [(-1.0, 1.0, True), (-0.82, 1.0, False), (-1.0, 0.82, False), (-0.7, 1.0, False)],
)
def test_minima_at_the_end_of_windows_fail_a_gate(first_A: float, last_A: float, passed: bool) -> None:
    """Minima are at -0.8 and 0.8 Å: beyond windows that end there it may be lower."""
    edges = np.linspace(first_A, last_A, round((last_A - first_A) / 0.02) + 1)
    values = 1e3 * double_well(0.25 * (edges[1:] + edges[:-1]))[None, None]
    own = profiles.placed(windows.Set(1, "natural"), "centroid", edges, values)
    gate = results.edge_gate("classical", own)
    assert gate.passed is passed


def test_windows_that_do_not_overlap() -> None:
    settings = load_settings(Reaction, SMALL)
    overlaps = np.full(12, 0.3)
    overlaps[4] = 1e-6
    with pytest.raises(
        UserError, match=r"windows at -0.4 and -0.2 Å do not overlap \(1e-06, 20 beads\); take more"
    ):
        profiles.check_overlap(settings, overlaps, 20)


def test_frames_of_a_pass_are_what_its_samples_say(heavy: None, tmp_path: Path) -> None:
    """The coordinate of each frame is the row's, by beads, isotope and window."""
    short = {"n_windows": 3, "first_A": -0.8, "last_A": 0.8, "equilibration_fs": 20, "duration_fs": 200}
    places = write(tmp_path, *np.linspace(-0.6, 0.6, 13))
    settings = load_settings(Reaction, {**SMALL, **places, **short})
    seen: dict[int, list[Atoms]] = {}
    ((_, row),) = physics.runner(settings, 1, seen.__setitem__)([1], lambda: None)
    sets = [(own.n_beads, own.isotope) for own in windows.sets_of(settings)]
    isotopes = {"H": "natural", "D": "D"}
    assert len(seen[1]) == len(sets) * 3 * 23
    for frame in seen[1]:
        sample = round(frame.info["time_fs"] / 10) - 3
        if sample >= 0:
            of = sets.index((frame.info["n_beads"], isotopes[frame.info["isotope"]]))
            expected = row["coordinates_A"][of, frame.info["window"], sample, 0]
            assert Coordinate((0, 1, 2))(frame.positions) == pytest.approx(expected, abs=1e-4)


def test_a_gap_in_a_profile() -> None:
    values = np.zeros((2, 30))
    values[:, :3] = np.inf
    edges = np.linspace(0, 3, 31)
    assert profiles.sampled_bins(values, edges, 1) == slice(3, 30)
    values[1, 12] = np.inf
    with pytest.raises(UserError, match=r"no sample of a pass from 1.2 to 1.3 Å \(classical nuclei\)"):
        profiles.sampled_bins(values, edges, 1)


@pytest.mark.parametrize(
    ("places", "change", "message"),
    [
        (
            np.linspace(-0.6, 0.6, 13),
            {"n_beads": [1, 16]},
            r"16 beads for proton at 300 K, .* 1[78]\d\d cm⁻¹; .* 18 or",
        ),
        (np.linspace(-0.6, 0.6, 13), {"coordinate_atoms": [0, 1, 3]}, "atom 3 of proton, which has 3"),
        (
            np.linspace(-0.6, 0.6, 13),
            {"coordinate_atoms": [1, 0]},
            "isotope D of the moving atom .*, atom 0, Au",
        ),
        (np.linspace(-0.6, 0.6, 13), {"timestep_fs": 2}, "a time step of 2 fs for proton"),
        (np.linspace(-0.6, -0.2, 9), {}, "the path of proton has one minimum: none of its 9 structures"),
        ([0.3], {}, "holds one structure; give the two ends"),
        ([0.3, 0.5], {}, r"both frames of proton relax to one minimum"),
    ],
)
def test_bad_input_of_a_path(
    heavy: None, tmp_path: Path, places: Any, change: dict[str, Any], message: str
) -> None:
    settings = load_settings(Reaction, {**SMALL, **write(tmp_path, *places), **change})
    with pytest.raises(UserError, match=message):
        next(physics.runner(settings, 1)([0], lambda: None))


def test_frames_of_other_atoms(tmp_path: Path) -> None:
    from ase.io import write as write_atoms

    mixed = [*frames(-0.4, 0.4), *frames(0.5, symbols="AuHeAu")]
    write_atoms(tmp_path / "mixed.xyz", mixed, "extxyz")
    with pytest.raises(UserError, match=r"frame 2 of .*mixed.xyz is AuHeAu, the first AuHAu"):
        read_path(tmp_path / "mixed.xyz")


def bent(positions: Any, _: Any) -> Any:
    """The energy of a bent molecule by its distances: the barrier is the double well's."""
    pairs = ((0, 1), (1, 2), (0, 2))
    lengths = jnp.sqrt(jnp.stack([((positions[i] - positions[j]) ** 2).sum() for i, j in pairs]))
    kept = 0.5 * 20 * ((lengths[0] + lengths[1] - 2.8) ** 2 + (lengths[2] - 2.5) ** 2)
    return double_well((lengths[0] - lengths[1]) / 2) + kept


@pytest.fixture(scope="module")
def bent_path() -> tuple[ReactionPath, Any]:
    source = Source("bent", "exact", "bent", lambda structures, member: SameForAll(Bias(bent, 0.0)))
    ends = [Atoms("OHO", [[0, 0, 0], [x, 0.5, 0], [2.5, 0, 0]]) for x in (0.9, 1.6)]
    surface = members_of(source, ends[0]).surface
    return path_of(ends, "bent", surface, 7), surface


def test_a_path_is_found_between_two_minima(bent_path: tuple[ReactionPath, Any]) -> None:
    path, _ = bent_path
    coordinate = Coordinate((0, 1, 2))
    values = np.asarray(coordinate(path.positions_A))
    assert path.barrier_eV == pytest.approx(BARRIER_eV, abs=1e-3)
    assert values[[path.basin, path.saddle, path.beyond]] == pytest.approx([-0.8, 0, 0.8], abs=0.02)
    assert (np.diff(path.lengths) > 0).all()
    place = path.nearest(coordinate, 0.3)
    assert float(coordinate(place)) == pytest.approx(0.3, abs=0.002)
    assert aligned(place, path.positions_A[0], path.atoms.get_masses()) == pytest.approx(place, abs=0.02)


@pytest.mark.parametrize("quantum", [False, True])
def test_frames_of_the_tube_have_the_energy_of_their_modes(
    bent_path: tuple[ReactionPath, Any], quantum: bool
) -> None:
    """Equipartition: kT/2 of every mode, (ħω/4) coth(ħω/2kT) of quantum nuclei; as much above the path."""
    path, surface = bent_path
    tube = tube_of(path, surface)
    assert [len(own) for own in tube.squares] == [3, 2, 2, 2, 3], "of three internal ones the path takes one"
    random, temperature_K, thermal = np.random.default_rng(3), 100.0, kB * 100.0
    drawn = [tube.draw(random, temperature_K, quantum) for _ in range(1500)]
    expected = []
    for squares in tube.squares:
        frequencies = np.sqrt(squares)
        each = np.full(len(squares), thermal / 2)
        if quantum:
            each = 0.25 * hbar * frequencies / np.tanh(0.5 * hbar * frequencies / thermal)
        expected.append(each.sum())
    shares = np.array([1, 2, 2, 2, 1]) / 8
    energies = np.array([energy for _, _, energy in drawn])
    assert energies.mean() == pytest.approx(shares @ expected, rel=0.08)
    above = [surface(x)[0] - surface(path.spline(place))[0] for x, place, _ in drawn[:200]]
    assert np.mean(above) == pytest.approx(energies[:200].mean(), rel=0.3)


def test_weights_are_those_of_the_unbiased_state() -> None:
    """Samples of Gaussian windows on a harmonic energy: reweighted they have its variance."""
    random, stiffness, own, centres = np.random.default_rng(5), 4.0, 1.0, np.linspace(-4, 4, 9)
    middle, width = stiffness * centres / (stiffness + own), (stiffness + own) ** -0.5
    x = (middle[:, None] + width * random.normal(size=(9, 20_000))).ravel()
    energies, counts = 0.5 * stiffness * (x - centres[:, None]) ** 2, np.full(9, 20_000)
    weights = unbiased(energies, counts, mbar(energies, counts))
    assert weights.sum() == pytest.approx(1)
    assert (weights * x**2).sum() == pytest.approx(1 / own, abs=0.03)


def test_a_rate_out_of_a_harmonic_basin_is_its_frequency() -> None:
    """k = (ω/2π) exp(−F‡/kT), of a parabola that ends in a cusp (SI units, nothing of the package's)."""
    mass_amu, stiffness_eV_per_A2, barrier_eV, thermal_eV = 2.0, 5.0, 0.2, 300 * 8.617333e-5
    top_A = np.sqrt(2 * barrier_eV / stiffness_eV_per_A2)
    places = np.arange(-0.6, 0.6, 0.001)
    left = np.where(places <= top_A, places, 2 * top_A - places)
    energies = 0.5 * stiffness_eV_per_A2 * left**2
    weights = np.exp(-energies / thermal_eV)
    free = (-thermal_eV * np.log(weights / weights.sum() / 0.001) * 1000)[None, None]
    top = int(np.abs(places - top_A).argmin())
    basin = int(np.abs(places).argmin())
    profile = profiles.Profile(windows.Set(1, "natural"), "centroid", places, free, free, basin, top)
    settings = load_settings(Reaction, {"temperature_K": 300.0})
    roots = np.full(len(places), mass_amu**-0.5)
    found = profiles.log_rate(places, weights / weights.sum(), roots, profile, 0, 0, settings)
    per_s = np.sqrt(stiffness_eV_per_A2 * 16.02177 / (mass_amu * 1.660539e-27)) / (2 * np.pi)
    assert np.exp(found) == pytest.approx(1e-12 * per_s * np.exp(-barrier_eV / thermal_eV), rel=0.02)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"coordinate_atoms": "1"}, "coordinate_atoms.*two atoms, or three"),
        ({"first_A": 1.0}, "last_A.*above"),
        ({"bin_A": 0.5}, "bin_A.*at most a tenth"),
        ({"n_beads": "32", "truth": "gfn2-xtb"}, "truth.*needs 1 in"),
        ({"observe_every_fs": 10.3}, "observe_every_fs.*a whole number of"),
        ({"duration_fs": 50}, "duration_fs.*at least 20 times"),
    ],
)
def test_settings_that_do_not_go_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve({"experiments": "reaction", "reaction": given})
