"""The door of the labels."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.data.frames import read_frames, write_frames
from frazil.errors import UserError
from frazil.labels import bond_curve, electronic_structure, shards
from frazil.labels import label as labelling
from frazil.labels import levels as labellers
from frazil.labels.settings import KNOWN_TRUTHS, LEVELS
from frazil.labels.store import Label
from frazil.systems.diatomic import BondCurve


def aggregates(sizes: Sequence[int]) -> list[Atoms]:
    random = np.random.default_rng(0)
    frames = []
    for number, n in enumerate(sizes):
        positions = [[3.6 * m, 0.0, z] for m in range(n) for z in (0.0, 1.13)]
        frames.append(Atoms("CO" * n, positions=positions + 0.05 * random.normal(size=(2 * n, 3))))
        frames[-1].info |= {"trajectory_id": f"thermal-{number}", "time_fs": 0.0}
    return frames


def test_labels_are_the_fields_whatever_the_batch() -> None:
    from frazil.potentials.analytic.van_hemert import VanHemertCalculator

    frames = aggregates([1, 3, 2, 3, 1] + [3] * 70)
    labelled, failures = labelling.label(frames, "van-hemert", coupling_eV=2.0)
    assert not failures
    assert len(labelled) == len(frames)
    for i in (0, 1, 2, 4, 40, 74):
        alone = frames[i].copy()
        alone.calc = VanHemertCalculator(2.0)
        assert labelled[i].get_potential_energy() == pytest.approx(alone.get_potential_energy(), abs=1e-11)
        assert labelled[i].get_forces() == pytest.approx(alone.get_forces(), abs=1e-10)
        assert labelled[i].get_dipole_moment() == pytest.approx(alone.get_dipole_moment(), abs=1e-12)
        assert labelled[i].info["label_level"] == "van-hemert"
        assert labelled[i].info["label_code"] == "frazil-van-hemert(coupling_eV=2)"
        assert labelled[i].info["trajectory_id"] == f"thermal-{i}"
    assert frames[0].calc is None


@pytest.mark.parametrize(("level", "name"), [("n2-trappe", "N2"), ("q-tip4p-f", "H2O")])
def test_a_formula_labels_its_own_molecules_as_it_drives_them(level: str, name: str) -> None:
    from frazil.potentials.calculator import load
    from frazil.systems.molecules import molecule

    one = molecule(name)
    several = [one.copy() for _ in range(3)]
    for number, atoms in enumerate(several):
        atoms.translate([0.0, 0.3 * number, 3.5 * number])
    frames = [one, several[0] + several[1] + several[2], several[0] + several[2], molecule("CO2")]
    labelled, (failure,) = labelling.label(frames, level)
    assert len(labelled) == 3
    for found, given in zip(labelled, frames, strict=False):
        alone = given.copy()
        alone.calc = load(level)
        assert found.get_potential_energy() == pytest.approx(alone.get_potential_energy(), abs=1e-12)
        assert found.get_forces() == pytest.approx(alone.get_forces(), abs=1e-12)
        assert found.info["label_code"] == f"frazil-{level}"
    assert f"CO2 for {level}, which takes" in failure.reason


def test_unknown_level() -> None:
    with pytest.raises(UserError, match="unknown label level 'ccsd'; allowed are van-hemert"):
        labelling.label([], "ccsd")


class Fragile(labellers.Labeller):
    """A labeller that fails on its second frame and gives nonsense on its third."""

    code = "fragile"
    version = "1"

    def __init__(self, settings: Mapping[str, Any]) -> None: ...

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        for number, atoms in enumerate(frames):
            forces = np.full((len(atoms), 3), np.nan if number == 2 else 0.0)
            yield "the SCF did not converge" if number == 1 else Label(1.0, forces)


def test_failures_are_recorded_never_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(labellers.LEVELS, "fragile", Fragile)
    write_frames(tmp_path / "frames.extxyz", aggregates([1, 1, 1, 2]))
    shards.label_file(tmp_path / "frames.extxyz", tmp_path / "labelled.extxyz", "fragile")
    labelled = read_frames([tmp_path / "labelled.extxyz"])
    assert [atoms.info["trajectory_id"] for atoms in labelled] == ["thermal-0", "thermal-3"]
    assert (tmp_path / "failed.csv").read_text().splitlines() == [
        "frame,trajectory_id,time_fs,reason",
        "1,thermal-1,0.0,the SCF did not converge",
        "2,thermal-2,0.0,forces not finite",
    ]


def test_nothing_labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Fragile):
        def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
            yield from ["out of memory"] * len(frames)

    monkeypatch.setitem(labellers.LEVELS, "broken", Broken)
    write_frames(tmp_path / "frames.extxyz", aggregates([1]))
    with pytest.raises(UserError, match=r"none of the 1 frames .* could be labelled \(out of memory\)"):
        shards.label_file(tmp_path / "frames.extxyz", tmp_path / "labelled.extxyz", "broken")
    assert not (tmp_path / "labelled.extxyz").exists()
    with pytest.raises(UserError, match=r"no broken label of CO at 0\.85 Å"):
        bond_curve.bond_curve("broken")


def test_bond_curve_file(tmp_path: Path) -> None:
    bond_curve.write_bond_curve(tmp_path / "bond_curves.csv", "van-hemert", coupling_eV=2.0)
    curve = BondCurve.read(tmp_path / "bond_curves.csv")
    assert curve.energy_of(40) == pytest.approx(
        bond_curve.bond_curve("van-hemert", coupling_eV=0.0).energy_of(40)
    )


def test_the_curve_of_a_table_or_of_the_data_sets_molecules_labels_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def morse(length_A: np.ndarray) -> np.ndarray:
        return 11.2 * (1 - np.exp(-2.3 * (length_A - 1.13))) ** 2 - 3000.0

    monkeypatch.setattr(bond_curve, "labeller", lambda *given, **named: pytest.fail("a labeller was asked"))
    lengths = np.linspace(0.9, 2.2, 40)
    rows = "".join(f"{length},{energy}\n" for length, energy in zip(lengths, morse(lengths), strict=True))
    (tmp_path / "own.csv").write_text(f"bond_length_A,label_eV\n{rows}")
    frames = [Atoms("CO", [[0, 0, 0], [0, 0, length]]) for length in (*lengths, lengths[3])]
    for atoms in frames:
        energy = float(morse(atoms.get_distance(0, 1)))
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((2, 3)))
    write_frames(tmp_path / "set.extxyz", [*reversed(frames), *aggregates([2])])
    for given in ({"curve_file": tmp_path / "own.csv"}, {"frames": tmp_path / "set.extxyz"}):
        said = bond_curve.write_bond_curve(tmp_path / "a.csv", "any", tmp_path / "fine.csv", **given)
        assert "0.9 to 2.2 Å, minimum at 1.1300 Å" in said
        for name in ("a.csv", "fine.csv"):
            curve = BondCurve.read(tmp_path / name)
            assert curve.energy(1.5) == pytest.approx(morse(np.array(1.5)) + 3000.0, abs=2e-4)
    write_frames(tmp_path / "few.extxyz", frames[:11])
    with pytest.raises(UserError, match="one CO alone at 11 bond lengths; needed for a bond curve: 12"):
        bond_curve.write_bond_curve(tmp_path / "a.csv", "any", frames=tmp_path / "few.extxyz")
    frames[-1].calc.results["energy"] += 0.1
    with pytest.raises(UserError, match=r"two CO of 1\.0000 Å with energies 0\.1 eV apart"):
        bond_curve.curve_of_frames(frames)


def test_a_fine_curve_is_labelled_only_where_that_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Harmonic(Fragile):
        n = 0
        cost_s = 0.0

        def seconds(self, atoms: Atoms) -> float:
            return self.cost_s

        def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
            for atoms in frames:
                Harmonic.n += 1
                stretch = atoms.get_distance(0, 1) - 1.13
                yield "too long" if stretch > 1.171 else Label(stretch**2, np.zeros((2, 3)))

    monkeypatch.setitem(labellers.LEVELS, "harmonic", Harmonic)
    for cost_s, n_labels in ((0.0, 65 + 311), (60.0, 65)):
        Harmonic.n, Harmonic.cost_s = 0, cost_s
        bond_curve.write_bond_curve(tmp_path / "scan.csv", "harmonic", tmp_path / "fine.csv")
        assert Harmonic.n == n_labels
        lengths, energies = np.loadtxt(tmp_path / "fine.csv", delimiter=",", skiprows=1).T
        np.testing.assert_array_equal(lengths, bond_curve.BOND_LENGTHS_A)
        known = lengths < 2.3001
        np.testing.assert_allclose(energies[known], (lengths[known] - 1.13) ** 2, atol=1e-9)
        assert np.isnan(energies[~known]).all()


def test_shards_hold_about_as_much_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(labellers.LEVELS, "fragile", Fragile)
    write_frames(tmp_path / "frames.extxyz", aggregates([1, 1, 1, 1, 2, 2]))
    monkeypatch.setattr(Fragile, "seconds", lambda self, atoms: 60.0 * len(atoms))
    told = shards.plan_shards(tmp_path / "frames.extxyz", tmp_path / "shards", "fragile", 0.07)
    assert told == "fragile: 4 CO of 1.2e+02 s, 2 C2O2 of 2.4e+02 s; in all about 0.27 h on one core"
    files = sorted((tmp_path / "shards").iterdir())
    assert [len(read_frames([shard], labelled=False)) for shard in files] == [2, 2, 1, 1]
    monkeypatch.setattr(Fragile, "seconds", lambda self, atoms: float("nan"))
    told = shards.plan_shards(tmp_path / "frames.extxyz", tmp_path / "unknown", "fragile", 0.07)
    assert told == "fragile: 6 frames; no cost is known for this level"
    assert len(list((tmp_path / "unknown").iterdir())) == 1
    with pytest.raises(UserError, match="the time must be positive"):
        shards.plan_shards(tmp_path / "frames.extxyz", tmp_path / "none", "fragile", 0.0)


def test_shards_are_gathered_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(labellers.LEVELS, "fragile", Fragile)
    labelled, failed = [], []
    for shard, sizes in enumerate(([1, 1, 1], [2], [1, 1, 1, 2])):
        folder = tmp_path / str(shard)
        write_frames(folder / "frames.extxyz", aggregates(sizes))
        shards.label_file(folder / "frames.extxyz", folder / "labelled.extxyz", "fragile")
        labelled.append(folder / "labelled.extxyz")
        failed.append(folder / "failed.csv")
    (tmp_path / "empty.extxyz").touch()
    told = shards.gather([*labelled, tmp_path / "empty.extxyz"], failed, tmp_path / "all", "sampled")
    assert told == (
        "labels of sampled: 4 of 8 frames have none and are left out (labels/sampled/failed.csv); "
        "2 because: the SCF did not converge"
    )
    whole = read_frames([tmp_path / "all/labelled-sampled.extxyz"])
    assert [len(atoms) for atoms in whole] == [2, 4, 2, 4]
    assert (tmp_path / "all/failed.csv").read_text().splitlines()[1:] == [
        "0,1,thermal-1,0.0,the SCF did not converge",
        "0,2,thermal-2,0.0,forces not finite",
        "2,1,thermal-1,0.0,the SCF did not converge",
        "2,2,thermal-2,0.0,forces not finite",
    ]
    assert (tmp_path / "all/labels.csv").read_text().splitlines()[1] == "fragile,fragile,1,4,4,"
    with pytest.raises(UserError, match=r"none of the 4 frames of x could be labelled \(the SCF did"):
        shards.gather([tmp_path / "empty.extxyz"], failed, tmp_path / "x", "x")


def test_a_shard_of_bad_luck_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Fragile):
        def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
            yield from ["out of memory"] * len(frames)

    monkeypatch.setitem(labellers.LEVELS, "broken", Broken)
    write_frames(tmp_path / "frames.extxyz", aggregates([1]))
    shards.label_file(tmp_path / "frames.extxyz", tmp_path / "out.extxyz", "broken", allow_none=True)
    assert (tmp_path / "out.extxyz").read_text() == ""


def test_a_curve_ends_where_labels_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ending(Fragile):
        last_A = 2.401
        hole_A = 0.0

        def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
            for atoms in frames:
                length = atoms.get_distance(0, 1)
                bad = length > self.last_A or abs(length - self.hole_A) < 0.004
                yield "no" if bad else Label((length - 1.13) ** 2, np.zeros((2, 3)))

    monkeypatch.setitem(labellers.LEVELS, "ending", Ending)
    assert bond_curve.bond_curve("ending").longest_A == pytest.approx(2.4)
    monkeypatch.setattr(Ending, "hole_A", 1.25)
    with pytest.raises(UserError, match=r"no ending label of CO at 1\.25 Å \(no\); narrow"):
        bond_curve.bond_curve("ending")


def water_and_hydrogen() -> Atoms:
    return Atoms("OHHHH", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0], [0, -3.0, 0], [0.74, -3.0, 0]])


@pytest.mark.parametrize("level", ["gfn1-xtb", "gfn2-xtb", "gfn-ff"])
def test_forces_of_cheap_levels_are_gradients(level: str, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tblite")
    pytest.importorskip("gfnff")
    atoms, step = water_and_hydrogen(), 1e-3
    moved = [atoms.copy(), atoms.copy()]
    for copy, sign in zip(moved, (1, -1), strict=True):
        copy.positions[1] += [sign * step, 0, 0]
    (here, plus, minus), failures = labelling.label([atoms, *moved], level)
    assert not failures
    slope = (plus.get_potential_energy() - minus.get_potential_energy()) / (2 * step)
    assert -slope == pytest.approx(here.get_forces()[1, 0], abs=2e-4)
    assert ("dipole" in here.calc.results) == (level != "gfn-ff")
    assert here.info["label_level"] == level
    assert "warning" not in capfd.readouterr().err


def test_tight_binding_warns_of_carbon_monoxide(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tblite")
    labelled, _ = labelling.label(aggregates([1, 2]), "gfn2-xtb")
    assert len(labelled) == 2
    warned = "warning: 1 of 2 frames hold CO beside another molecule"
    assert warned in capfd.readouterr().err
    write_frames(tmp_path / "frames.extxyz", aggregates([1, 2]))
    planned = shards.plan_shards(tmp_path / "frames.extxyz", tmp_path / "shards", "gfn2-xtb", 1.0)
    assert planned.splitlines()[1].startswith(warned)


def test_the_force_field_refuses_a_stretched_bond() -> None:
    pytest.importorskip("gfnff")
    stretched = Atoms("CO", [[0, 0, 0], [0, 0, 1.8]])
    _, failures = labelling.label([stretched], "gfn-ff")
    assert failures[0].reason == "a bond is stretched; GFN-FF would take it for broken"


@pytest.mark.parametrize("level", ["van-hemert", "gfn2-xtb", "ccsd(t)/cc-pvtz"])
def test_what_a_level_does_not_give_is_refused_at_once(level: str) -> None:
    with pytest.raises(UserError, match=r"gives no hessian and no polarizability; a functional of PySCF"):
        labelling.label([], level, hessian=True, polarizability=True)


def test_more_than_forces_costs_more() -> None:
    pytest.importorskip("pyscf")
    hydrogen = Atoms("H2", [[0, 0, 0], [0, 0, 0.75]])
    costs = [
        labellers.labeller("pbe/def2-svp", **asked).seconds(hydrogen)
        for asked in ({}, {"hessian": True}, {"hessian": True, "polarizability": True})
    ]
    np.testing.assert_allclose(costs, costs[0] * np.array([1, 11, 13]))


def test_the_levels_offered_exist(root: Path) -> None:
    schema = json.loads((root / "nextflow_schema.json").read_text())["properties"]
    offered = LEVELS
    compared = schema["level_of_theory"]["properties"]
    for level in offered:
        assert level in labellers.LEVELS
        assert level not in electronic_structure.LEVELS or electronic_structure.LEVELS[level].has_forces
    assert set(compared["levels"]["items"]["enum"]) == set(offered) - labellers.CO_ONLY - set(KNOWN_TRUTHS)
    assert set(compared["reference"]["enum"]) <= set(electronic_structure.LEVELS)


def test_labels_that_cost_nothing_are_not_kept(tmp_path: Path) -> None:
    labelled, _ = labelling.label(aggregates([1, 2]), "van-hemert", checkpoints=tmp_path, coupling_eV=2.0)
    assert len(labelled) == 2
    assert not list(tmp_path.iterdir())
