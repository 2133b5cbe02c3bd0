"""Photodesorption of other molecules than CO: fragments, the excited bond, a potential that is given."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas
import pytest
from ase import Atoms
from numpy.testing import assert_allclose, assert_array_equal

from frazil.data import hdf5
from frazil.errors import UserError
from frazil.experiments.photodesorption.aggregates import prepare
from frazil.experiments.photodesorption.analysis import analyse
from frazil.experiments.photodesorption.initial import make_initial_states
from frazil.experiments.photodesorption.initial_states import InitialStates, read_initial_states
from frazil.experiments.photodesorption.outcome import Curves, Tracker, curve_of
from frazil.experiments.photodesorption.settings import (
    Excitation,
    Limits,
    Photodesorption,
    Thermalization,
    Trajectories,
)
from frazil.experiments.photodesorption.thermalization import thermalize
from frazil.experiments.photodesorption.trajectories import curves_of, run_shard
from frazil.experiments.repeated import repeat
from frazil.md.lammps import Observation
from frazil.parameters import resolve
from frazil.potentials.analytic import n2
from frazil.report.section import Section
from frazil.systems.diatomic import BondCurve
from frazil.systems.energies import molecular_energies
from frazil.systems.excite import set_internal_energy
from frazil.systems.molecules import MOLECULE, Molecules, bond_of, molecule
from frazil.units import fs, hbar, inverse_cm

ROOT = Path(__file__).parents[4]
LIMITS = Limits(criteria_A=(2.0, 3.0), criterion_A=3.0, dissociation_A=3.0, unphysical_contact_A=1.5)
WATER = molecule("H2O")
THREE = Molecules.alike(WATER, 3)
LENGTHS = np.linspace(0.5, 2.6, 200)
BOND = BondCurve(LENGTHS, 5.0 * (1 - np.exp(-2.2 * (LENGTHS - WATER.get_distance(0, 1)))) ** 2, 0.948)
OMEGA_eV = n2.OMEGA_cm1 * inverse_cm
V = 30
LEVEL_eV = OMEGA_eV * (V + 0.5) - (OMEGA_eV * (V + 0.5)) ** 2 / (4 * n2.DEPTH_eV)
"""Of N2's Morse bond, exact."""


def waters(x_A: list[float], stretch_A: float = 0.0) -> Observation:
    """Return water molecules at places on the x axis, the last one with a longer bond, at rest."""
    positions = np.concatenate([WATER.positions + np.array([x, 0, 0]) for x in x_A])
    bond = WATER.positions[1] - WATER.positions[0]
    positions[-2] += stretch_A * bond / np.linalg.norm(bond)
    return Observation(0.0, positions, np.zeros_like(positions), 0.0)


def followed(*moments: Observation) -> tuple[list[bool], dict[str, Any]]:
    tracker = Tracker(LIMITS, THREE, 2)
    over = [tracker.observe(replace(now, time_fs=10.0 * step)) for step, now in enumerate(moments)]
    return over, tracker.rows(Curves(BOND, BOND))


def test_a_whole_molecule_desorbs_and_a_broken_bond_dissociates() -> None:
    start = waters([-4.0, 0.0, 4.0])
    over, rows = followed(start, waters([-4.0, 0.0, 7.5]))
    assert over == [False, False]
    assert (rows["trajectory"]["outcome"], rows["trajectory"]["n_desorbed"]) == ("desorbed", 1)
    (gone,) = rows["desorbed"]
    assert (gone["molecule"], gone["excited"]) == (2, 1)
    assert gone["vibrational_energy_meV"] is gone["vibrational_quantum_number"] is None
    # 2 Å more break the bond; the hydrogen alone is far outside, which is no desorption of a molecule.
    over, rows = followed(start, waters([-4.0, 0.0, 4.0], stretch_A=2.0))
    assert over == [False, False]
    over, rows = followed(start, waters([-4.0, 0.0, 4.0], stretch_A=4.5))
    assert over == [False, True]
    assert (rows["trajectory"]["outcome"], rows["trajectory"]["n_desorbed"]) == ("dissociated", 0)
    # Contacts are those of two molecules: a bond of 0.97 Å is none, two oxygens 1.4 Å apart are.
    assert rows["trajectory"]["closest_contact_A"] > 2
    over, rows = followed(start, waters([-4.0, 0.0, 1.4]))
    assert rows["trajectory"]["outcome"] == "failed"


def test_energy_along_one_bond_keeps_the_rest_of_the_molecule() -> None:
    start = waters([0.0, 4.0]).positions_A
    masses = Molecules.alike(WATER, 2).atom_masses_amu
    velocities = np.random.default_rng(0).normal(size=start.shape) * 0.01
    changed = set_internal_energy(start, velocities, (3, 5), masses, 3.0, BOND, -1)
    assert_array_equal(changed[[0, 1, 2, 4]], velocities[[0, 1, 2, 4]])
    for momentum in (lambda v: masses @ v, lambda v: (masses[:, None] * np.cross(start, v)).sum(axis=0)):
        assert_allclose(momentum(changed), momentum(velocities), atol=1e-12)
    along = (start[5] - start[3]) / np.linalg.norm(start[5] - start[3])
    radial = (changed[5] - changed[3]) @ along
    assert radial < 0
    assert BOND.reduced_mass_amu * radial**2 / 2 + BOND.energy(WATER.get_distance(0, 2)) == pytest.approx(3.0)


def test_rotation_of_molecules_of_three_atoms_and_of_linear_ones() -> None:
    line = Atoms("CO2", [[0, 0, 0], [0, 0, 1.16], [0, 0, -1.16]])
    axes = {"water": (WATER, np.array([0.3, -0.2, 0.5])), "line": (line, np.array([0.3, -0.2, 0.0]))}
    for atoms, omega in axes.values():
        arms = atoms.positions - atoms.get_center_of_mass()
        velocities = np.cross(omega, arms) + np.array([0.01, 0, 0])
        masses = atoms.get_masses()
        found = molecular_energies(atoms.positions[None], velocities[None] * fs, masses, BOND)
        L = (masses[:, None] * np.cross(arms, velocities)).sum(axis=0)
        assert found.rotational_energy_meV[0] == pytest.approx(500 * omega @ L)
        assert found.rotational_quantum_number[0] == pytest.approx(np.sqrt(0.25 + L @ L / hbar**2) - 0.5)
        assert found.translational_energy_meV[0] == pytest.approx(500 * masses.sum() * 1e-4)
        assert np.isnan(found.vibrational_quantum_number[0])


def test_states_of_any_molecule_are_read_again_and_those_without_a_word_are_of_co(tmp_path: Path) -> None:
    n, positions = 2, np.random.default_rng(1).normal(size=(2, 9, 3))
    one, whole = np.zeros(n), np.arange(n)
    states = InitialStates(3, whole, whole, whole, one, one, positions, positions, THREE, positions[0] + 1)
    states.write(tmp_path / "states.h5")
    read = read_initial_states(tmp_path / "states.h5").select(1, 1)
    assert read.molecules.formulas == ["H2O"] * 3
    assert_array_equal(read.molecules.bonds, THREE.bonds)
    assert_array_equal(read.reference_A, positions[0] + 1)
    assert read.types(0) is None
    attributes, arrays = hdf5.read(tmp_path / "states.h5", "excite.py")
    old = {name: value for name, value in arrays.items() if "/" not in name}
    hdf5.write(tmp_path / "old.h5", attributes, old)
    with pytest.raises(UserError, match="needed are whole molecules"):
        read_initial_states(tmp_path / "old.h5")  # nine atoms are no CO
    even = {name: value[:, :8] if value.ndim == 3 else value for name, value in old.items()}
    hdf5.write(tmp_path / "old.h5", attributes, even)
    assert read_initial_states(tmp_path / "old.h5").molecules.is_co
    hdf5.write(tmp_path / "bad.h5", attributes, {**arrays, "atoms/molecule": arrays["atoms/molecule"] + 1})
    with pytest.raises(UserError, match="needed are whole molecules"):
        read_initial_states(tmp_path / "bad.h5")


def test_molecules_are_told_by_the_snapshots_and_bonds_by_the_molecule() -> None:
    snapshot = Atoms(
        np.tile(WATER.numbers, 2), np.concatenate([WATER.positions, WATER.positions + np.array([2, 0, 0])])
    )
    snapshot.set_array(MOLECULE, np.array([0, 0, 0, 1, 1, 1]), int)
    assert Molecules.told_by(snapshot).formulas == ["H2O", "H2O"]
    assert len(Molecules.told_by(snapshot).bonds) == 4
    snapshot.arrays[MOLECULE][:] = [0, 0, 1, 1, 1, 0]
    with pytest.raises(UserError, match="tells no molecules one after the other"):
        Molecules.told_by(snapshot)
    mixed = Molecules.of_kinds([(WATER, 2), (molecule("N2"), 3)])
    ice = Atoms(mixed.numbers, np.arange(36.0).reshape(12, 3) ** 2)
    ice.positions[:3], ice.positions[6:8] = WATER.positions, molecule("N2").positions
    ice.set_array(MOLECULE, mixed.owner, int)
    told = Molecules.told_by(ice)
    assert told.formulas == ["H2O", "H2O", "N2", "N2", "N2"]
    assert (told.name, told.n_of_first_kind) == ("H2O and N2", 2)
    np.testing.assert_array_equal(told.bonds, mixed.bonds)
    centres = told.centres(ice.positions)
    assert told.middle(centres) == pytest.approx(ice.get_center_of_mass())
    assert bond_of(molecule("N2")) == (0, 1)
    assert bond_of(WATER, (2, 0)) == (2, 0)
    with pytest.raises(UserError, match=r"several bonds; .* 0,1 \(O–H\), 0,2 \(O–H\)"):
        bond_of(WATER)
    with pytest.raises(UserError, match=r"bond 1,2 is none of H2O"):
        bond_of(WATER, (1, 2))


def prepared(folder: Path, molecule: str = "N2", model: str = "n2-trappe", **changes: Any) -> Path:
    excite = {name: changes.pop(name) for name in tuple(changes) if hasattr(Excitation, name)}
    asked = {
        "dissociation_A": 3.0, "n_molecules": 6, "aggregate_radius_A": 4.2, "packing_distance_A": 2.8,
        "n_aggregates": 1, "model_error": True, "campaign_seed": 1, **changes,
    }  # fmt: skip
    prepare(molecule=molecule, model=model, excite=Excitation(**excite), out=folder / "potential", **asked)
    return folder / "potential"


def analysed(folder: Path, limits: Limits, duration_fs: float, n_aggregates: int) -> Path:
    """Analyse the shards in a folder; return the results."""
    results = folder / "results/photodesorption"
    analyse(
        folder / "shards", limits.criteria_A, limits.criterion_A, duration_fs, "van-hemert", 2.0,
        ROOT / "assets/reference/photodesorption.csv", results, n_aggregates=n_aggregates,
    )  # fmt: skip
    return results


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"bond": (0, 2)}, r"bond 0,2 is none of N2, whose bonds are 0,1 \(N–N\)"),
        ({"excitation_energy_eV": 10.2}, r"10\.2 eV leaves the bond curve's range"),
        ({"excitation_energy_eV": 9.3, "dissociation_A": 2.1}, r"swings out to 2\.\d\d Å, counted as broken"),
        ({"molecule": "NO"}, r"NO .* has an open shell"),
        ({"molecule": "H2O"}, "n2-trappe, which takes N, N"),
        ({"molecule": "Ne"}, "no molecule Ne"),
        ({"molecule": "neon.xyz"}, "is a single atom"),
        ({"aggregate_radius_A": 2.0}, r"do not fit .* larger aggregate radius"),
        ({"molecule": "H2O", "model": "q-tip4p-f"}, r"H2O has several bonds; say which is excited"),
        (
            {"molecule": "H2O", "model": "q-tip4p-f", "bond": (0, 1), "excitation": "model_curve"},
            "only a diatomic has one here",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_dynamics(
    asked: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("neon.xyz").write_text("1\n\nNe 0 0 0\n")
    with pytest.raises(UserError, match=told):
        prepared(tmp_path, **asked)
    assert not (tmp_path / "potential").exists()


GIVEN = {"potential": "n2-trappe", "molecule": "N2", "n_truth": 0}
LEARNT = {"potential": "gmnn", "other_molecules": "N2", "n_truth": 0}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"molecule": "N2"}, r"molecule: given N2; allowed: CO alone with .*potential, now deepmd"),
        ({"bond": "0,1"}, "bond: given 0,1; allowed: none with CO"),
        ({**GIVEN, "bond": "0"}, "allowed: two atoms, or none"),
        ({**GIVEN, "molecule": "no.xyz"}, "no such file"),
        ({**GIVEN, "molecule": "NO"}, "molecule: .* NO has an open shell"),
        ({**GIVEN, "other_molecules": "CO,O2"}, "other_molecules: .* O2 has an open shell"),
        ({**GIVEN, "engine": "lammps"}, "allowed: frazil with .*potential, now n2-trappe"),
        ({**GIVEN, "n_truth": 5}, "n_truth: given 5; trajectories of the analytic teacher of CO; allowed: 0"),
        ({**GIVEN, "model": str(ROOT)}, "allowed: none with .*potential, now n2-trappe"),
        ({**GIVEN, "excitation": "label_curve"}, "labels have no curve with .*potential, now n2-trappe"),
        ({**GIVEN, "potential": "n3"}, "potential: given n3"),
        (
            {"other_molecules": "N2"},
            "other_molecules: given N2; allowed: CO alone with .*potential, now deepmd",
        ),
        ({**GIVEN, "other_molecules": "CO,no.xyz"}, r"other_molecules: .* no\.xyz: no such file"),
        ({**GIVEN, "other_molecules": "CO", "parts": "1,2,3"}, "parts: given 1,2,3; allowed: one for"),
        ({**LEARNT}, "rounds: given 4; allowed: 0 with .*potential, now gmnn"),
        ({**LEARNT}, "frames.potential: given van-hemert; the analytic field of CO"),
        ({**LEARNT}, "labels.level: given van-hemert; a level of CO"),
        ({**LEARNT, "n_members": 1}, "n_members: given 1; allowed: two or more"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_at_launch(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        resolve({"photodesorption": asked})
    run = resolve({"photodesorption": GIVEN})
    assert not run.photodesorption.trains
    assert Photodesorption.__dataclass_fields__["molecule"].default == "CO"


def test_nitrogen_from_its_name_to_the_report(tmp_path: Path) -> None:
    """All steps of a run of N2 under its known truth, without Nextflow, and one trajectory again."""
    potential = prepared(tmp_path, excitation="model_curve", vibrational_quantum_number=V, n_aggregates=2)
    heat = Thermalization(
        temperature_K=15.0, temperature_low_K=5.0, temperature_high_K=30.0, timestep_fs=1.0,
        equilibration_fs=100.0, duration_fs=200.0, n_replicas=1, n_snapshots=4,
    )  # fmt: skip
    aggregates = potential / "aggregates.extxyz"
    thermalize(heat, "n2-trappe", aggregates, 1, 0, tmp_path / "thermal", engine="frazil")
    history = pandas.read_csv(tmp_path / "thermal/temperature.csv")
    assert history["temperature_K"][0] == pytest.approx(15.0)
    states = tmp_path / "states.h5"
    make_initial_states(
        [tmp_path / "thermal/snapshots.extxyz"], 4, 0, "model_curve", 8.26, V, potential / "bond_curves.csv",
        4.5, 1, states,
    )  # fmt: skip
    begun = read_initial_states(states)
    assert begun.molecules.formulas == ["N2"] * 6
    assert_allclose(begun.excitation_energy_eV, LEVEL_eV, rtol=2e-5)
    for index, excited in enumerate(begun.excited_molecule):
        own = begun.molecules.members[excited]
        bond, relative = (
            np.subtract(*x[index, own[::-1]]) for x in (begun.positions_A, begun.velocities_A_per_fs)
        )
        length = np.linalg.norm(bond)
        stretched = n2.DEPTH_eV * (1 - np.exp(-n2.EXPONENT_per_A * (length - n2.LENGTH_A))) ** 2
        radial = relative @ bond / length / fs
        assert n2.REDUCED_MASS_amu * radial**2 / 2 + stretched == pytest.approx(LEVEL_eV, rel=1e-4)
    curves = curves_of("frazil", potential / "bond_curves.csv", begun.molecules)
    assert curves.excited.vibrational_number(LEVEL_eV) == pytest.approx(V, abs=1e-3)
    settings = Trajectories(duration_fs=100.0, timestep_fs=0.1, observe_fs=10.0, keep_frames_trajectories=2)
    for first in (0, 2):
        shard = tmp_path / f"shards/shard_{first}"
        run_shard(
            settings, "frazil", 0.0, states, potential / "bond_curves.csv", "n2-trappe", first, 2,
            tmp_path / "kept", shard,
        )  # fmt: skip
    results = analysed(tmp_path, LIMITS, 100.0, n_aggregates=2)
    table = pandas.read_csv(results / "trajectories.csv")
    assert set(table["outcome"]) <= {"desorbed", "retained"}
    assert set(table["model_id"]) == {"n2-trappe"}
    assert table["energy_std_meV"].max() < 5
    assert not (results / "comparison.csv").exists(), "the paper has no N2"
    section = Section.read(results)
    assert section.title == "N2 photodesorption"
    words = json.dumps(json.loads((results / "section.json").read_text()), ensure_ascii=False)
    assert "All ran under n2-trappe" in words
    for foreign in ("paper", "CO ", "DeePMD", "van-hemert"):
        assert foreign not in words.replace("the paper's interval", ""), foreign
    shutil.copytree(potential, tmp_path / "results/potential")
    repeat("photodesorption", tmp_path / "results", 3, 4, tmp_path / "again")
    assert ase.io.read(tmp_path / "again/frames.extxyz").get_chemical_formula() == "N12"


def test_a_mixed_ice_from_its_names_to_what_left_of_each_kind(tmp_path: Path) -> None:
    """CO in N2, one to two: CO alone is excited and has a curve; a border near the surface lets some out."""
    pytest.importorskip("tblite")
    potential = prepared(
        tmp_path, "CO", "gfn2-xtb", other_molecules=("N2",), parts=(1.0, 2.0), n_molecules=3,
        excitation_energy_eV=1.0, aggregate_radius_A=3.6,
    )  # fmt: skip
    assert ase.io.read(potential / "aggregates.extxyz").get_chemical_formula() == "CN4O"
    heat = Thermalization(
        temperature_K=20.0, temperature_low_K=2.0, temperature_high_K=60.0, timestep_fs=1.0,
        equilibration_fs=20.0, duration_fs=60.0, n_replicas=1, n_snapshots=3,
    )  # fmt: skip
    aggregates = potential / "aggregates.extxyz"
    thermalize(heat, "gfn2-xtb", aggregates, 1, 0, tmp_path / "thermal", engine="frazil")
    starts = tmp_path / "states.h5"
    make_initial_states(
        [tmp_path / "thermal/snapshots.extxyz"],
        3,
        0,
        "energy",
        1.0,
        0,
        potential / "bond_curves.csv",
        9.0,
        1,
        starts,
    )
    begun = read_initial_states(starts)
    assert begun.molecules.formulas == ["CO", "N2", "N2"]
    assert begun.excited_molecule.tolist() == [0, 0, 0], "the only one that is excited"
    near = Limits(criteria_A=(0.02, 3.0), criterion_A=0.02, dissociation_A=3.0, unphysical_contact_A=1.0)
    settings = Trajectories(duration_fs=60.0, timestep_fs=0.5, observe_fs=10.0, limits=near)
    run_shard(
        settings, "frazil", 0.0, starts, potential / "bond_curves.csv", "gfn2-xtb", 0, 3, tmp_path / "kept",
        tmp_path / "shards/shard_0",
    )  # fmt: skip
    results = analysed(tmp_path, near, 60.0, n_aggregates=1)
    left = pandas.read_csv(results / "desorbed.csv")
    species = pandas.read_csv(results / "species.csv")
    assert species["species"].tolist() == ["CO", "CO", "N2"]
    assert species["n_molecules"].tolist() == [1, 0, 2]
    assert species["n_desorbed"].sum() > 0
    for row in species.to_dict("records"):
        own = left[
            (left["excited"] == row["excited"]) & ((left["molecule"] == 0) == (row["species"] == "CO"))
        ]
        assert row["n_desorbed"] == own["trajectory_id"].nunique()
        assert row["mean_n_molecules"] == pytest.approx(len(own) / 3)
    assert left.loc[left["molecule"] > 0, "vibrational_energy_meV"].isna().all(), "no curve of N2's bond"
    assert Section.read(results).title == "CO and N2 photodesorption"
    assert not (results / "comparison.csv").exists(), "the paper has no N2"


def test_the_step_refuses_with_exit_2(tmp_path: Path) -> None:
    words = ("--molecule", "N2", "--model", "n2-trappe", "--bond", "0,3", "--out", tmp_path / "no")
    done = subprocess.run(
        [sys.executable, ROOT / "bin/prepare_aggregates.py", *map(str, words)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "bond 0,3 is none of N2" in done.stderr


def test_a_bond_curve_that_is_given_is_followed(tmp_path: Path) -> None:
    lengths = np.linspace(0.8, 2.6, 60)
    softer = 0.9 * n2.DEPTH_eV * (1 - np.exp(-n2.EXPONENT_per_A * (lengths - n2.LENGTH_A))) ** 2
    table = np.column_stack([lengths, softer])
    np.savetxt(tmp_path / "own.csv", table, delimiter=",", header="bond_length_A,label_eV", comments="")
    potential = prepared(tmp_path, bond_curve_file=tmp_path / "own.csv", excitation_energy_eV=2.0)
    own, model = (curve_of(potential / "bond_curves.csv", which, 7.0) for which in ("label", "excited"))
    assert own.energy(1.5) / model.energy(1.5) == pytest.approx(0.9, rel=1e-4)
    with pytest.raises(UserError, match="leaves the bond curve's range"):
        prepared(tmp_path / "high", bond_curve_file=tmp_path / "own.csv", excitation_energy_eV=9.5)
