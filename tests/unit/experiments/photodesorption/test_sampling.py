"""Frames made by the teacher's own dynamics."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes

from frazil.data.frames import read_frames
from frazil.errors import UserError
from frazil.experiments.photodesorption import sampling
from frazil.experiments.photodesorption.sampling import Plan
from frazil.experiments.photodesorption.settings import Sampling
from frazil.labels.bond_curve import bond_curve
from frazil.labels.label import label
from frazil.potentials.analytic.van_hemert import VanHemertCalculator
from frazil.systems import co as structures
from frazil.systems.co import bond_lengths, closest_contact, deepmd_types, excited_molecule, molecular_centres
from frazil.units import kB

SAMPLING = Sampling(
    n_molecules=4, n_aggregates=2, aggregate_radius_A=8.2 * (4 / 50) ** (1 / 3), n_packings=2, n_thermal=3,
    thermal_duration_fs=400.0, damping_fs=100.0, n_excited=3, excited_duration_fs=60.0, timestep_fs=0.2,
    n_contacts=24, contact_low_A=2.2, contact_high_A=2.8, n_bonds=8, n_compressed=6, bond_spread_A=0.0,
)  # fmt: skip
PLAN = Plan(
    sampling=SAMPLING, coupling_eV=2.0, thermal_temperature_K=15.0,
    excitation_energy_eV=8.26, core_radius_A=4.5, campaign_seed=1, window_starts_fs=(0.0, 40.0),
    window_intervals_fs=(20.0, 4.0),
)  # fmt: skip

SYSTEM = sampling.system_of(PLAN)


def changed(campaign_seed: int = 1, **sampling: Any) -> Plan:
    return replace(PLAN, campaign_seed=campaign_seed, sampling=replace(SAMPLING, **sampling))


@pytest.fixture(scope="module")
def sample() -> sampling.Sample:
    return sampling.sample(PLAN)


def chosen(sample: sampling.Sample, source: str) -> list[sampling.Atoms]:
    return [atoms for atoms in sample.frames if atoms.info["source"] == source]


def test_aggregates_are_at_rest_in_a_minimum(sample: sampling.Sample) -> None:
    assert len(sample.aggregates) == 2
    labelled, _ = label(sample.aggregates, "van-hemert", coupling_eV=2.0)
    for atoms in labelled:
        assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.005
        assert atoms.get_potential_energy() < 0
        assert excited_molecule(atoms) == -1


def test_thermal_frames(sample: sampling.Sample) -> None:
    frames = chosen(sample, "thermal")
    assert len(frames) == 3 * (2 + 91)
    assert {atoms.info["trajectory_id"] for atoms in frames} == {f"thermal-{i:06d}" for i in range(3)}
    assert all(excited_molecule(atoms) == -1 for atoms in frames)
    kinetic = np.mean([atoms.get_temperature() for atoms in frames])
    assert 7 < kinetic < 30


def test_thermal_runs_start_at_twice_their_temperature_of_which_half_becomes_potential_energy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(sampling, "_trajectories", lambda *given: asked.append(given) or [])
    many = [structures.from_deepmd_types(structures.co_types(100), np.zeros((200, 3))) for _ in range(3)]
    sampling._thermal(PLAN, SYSTEM, "thermal", many, 400.0)
    ((_, _, templates, velocities, source, duration_fs, bath, _),) = asked
    assert (len(templates), source, duration_fs) == (3, "thermal", 400.0)
    assert (bath.timestep_fs, bath.temperature_K, bath.damping_fs) == (0.2, 15.0, 100.0)
    masses = many[0].get_masses()[:, None]
    for own in velocities:
        assert (masses * own**2).mean() / kB == pytest.approx(30.0, rel=0.2)
    assert np.abs(velocities[0] - velocities[1]).max() > 0


def test_snapshots_are_late_and_do_not_drift(sample: sampling.Sample) -> None:
    assert [atoms.info["snapshot_id"] for atoms in sample.snapshots] == list(range(len(sample.snapshots)))
    for atoms in sample.snapshots:
        assert atoms.info["time_fs"] >= 200
        assert atoms.get_momenta().sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)


def test_excited_frames(sample: sampling.Sample) -> None:
    frames = chosen(sample, "excited")
    times = [atoms.info["time_fs"] for atoms in frames if atoms.info["trajectory_id"] == "excited-000001"]
    assert times == pytest.approx([0, 20, 40, 44, 48, 52, 56, 60])
    curve = bond_curve("van-hemert", coupling_eV=2.0)
    for atoms in (atoms for atoms in frames if atoms.info["time_fs"] == 0):
        molecule = excited_molecule(atoms)
        centres = molecular_centres(atoms.positions)
        assert np.linalg.norm(centres[molecule] - centres.mean(axis=0)) <= PLAN.core_radius_A
        bond = atoms.positions[2 * molecule + 1] - atoms.positions[2 * molecule]
        velocities = atoms.get_velocities()
        along = bond / np.linalg.norm(bond)
        speed = (velocities[2 * molecule + 1] - velocities[2 * molecule]) @ along
        energy = 0.5 * curve.reduced_mass_amu * speed**2 + curve.energy(np.linalg.norm(bond))
        assert energy == pytest.approx(8.26, abs=1e-6)
    labelled, _ = label(frames, "van-hemert", coupling_eV=2.0)
    totals = {
        name: [a.get_total_energy() for a in labelled if a.info["trajectory_id"] == name]
        for name in {atoms.info["trajectory_id"] for atoms in labelled}
    }
    assert all(np.ptp(energies) < 0.03 for energies in totals.values())
    longest = max(bond_lengths(atoms.positions).max() for atoms in frames)
    assert 1.85 < longest < 2.2


def test_contacts(sample: sampling.Sample) -> None:
    frames = chosen(sample, "contact")
    assert len(frames) == 24
    assert {len(atoms) for atoms in frames} == {8}
    contacts = [float(closest_contact(atoms.positions)) for atoms in frames]
    assert min(contacts) >= 2.0
    assert max(contacts) <= 2.8
    assert sum(excited_molecule(atoms) >= 0 for atoms in frames) == 12
    tagged = [bond_lengths(a.positions)[excited_molecule(a)] for a in frames if excited_molecule(a) >= 0]
    assert max(tagged) - min(tagged) > 0.4
    assert len({atoms.info["trajectory_id"] for atoms in frames}) == 24


def test_contacts_move_one_molecule_to_a_distance_drawn_evenly(sample: sampling.Sample) -> None:
    base = sample.snapshots[0]
    plan = replace(PLAN, sampling=replace(SAMPLING, contact_low_A=2.3, contact_high_A=2.9))
    made = [sampling._contact(plan, SYSTEM, n, [base], np.array([1.0, 1.3])) for n in range(40)]
    moved = [
        np.linalg.norm(molecular_centres(a.positions) - molecular_centres(base.positions), axis=1)
        for a in made
    ]
    assert [int((own > 1e-9).sum()) for own in moved] == [1] * 40
    assert set(np.argmax(moved, axis=1)) == {0, 1, 2, 3}
    contacts = np.array([float(closest_contact(atoms.positions)) for atoms in made])
    assert 2.3 - 1e-6 <= contacts.min() < 2.4
    assert 2.8 < contacts.max() <= 2.9 + 1e-6
    assert contacts.mean() == pytest.approx(2.6, abs=0.1)
    tagged = [excited_molecule(atoms) for atoms in made]
    assert [molecule >= 0 for molecule in tagged] == [False, True] * 20
    lengths = [bond_lengths(atoms.positions)[molecule] for atoms, molecule in zip(made, tagged, strict=True)]
    assert 1.0 <= min(lengths[1::2]) < 1.06
    assert 1.24 < max(lengths[1::2]) <= 1.3


def test_compressed_aggregates_keep_their_shape_between_08_and_11(sample: sampling.Sample) -> None:
    base = molecular_centres(sample.snapshots[0].positions)
    base = base - base.mean(axis=0)
    scales = []
    for number in range(20):
        made = molecular_centres(sampling._compressed(PLAN, SYSTEM, number, sample.snapshots[:1]).positions)
        made = made - made.mean(axis=0)
        scales.append(float((made * base).sum() / (base**2).sum()))
        assert made == pytest.approx(scales[-1] * base, abs=1e-9)
    assert 0.8 <= min(scales) < 0.9
    assert 1.0 < max(scales) <= 1.1


def test_compressed_aggregates(sample: sampling.Sample) -> None:
    frames = chosen(sample, "compressed")
    assert len(frames) == 6
    assert all(excited_molecule(atoms) == -1 for atoms in frames)
    assert min(float(closest_contact(atoms.positions)) for atoms in frames) > sampling.COMPRESSED_CONTACT_A
    bonds = np.array([bond_lengths(atoms.positions) for atoms in frames])
    np.testing.assert_allclose(bonds, 1.128, atol=0.02)


def test_bonds_cover_the_excitation(sample: sampling.Sample) -> None:
    frames = chosen(sample, "bond")
    inner, outer = bond_curve("van-hemert", coupling_eV=2.0).turning_points(8.26)
    tagged = [bond_lengths(a.positions)[0] for a in frames if excited_molecule(a) == 0]
    assert len(tagged) == 4
    assert min(tagged) < inner
    assert max(tagged) > outer
    others = np.array([bond_lengths(a.positions)[1:] for a in frames])
    assert 0.9 < others.min() < 1.05 < 1.25 < others.max() < 1.45
    assert min(float(closest_contact(a.positions)) for a in frames) > 25


def test_a_trajectory_depends_on_seed_and_id_only(sample: sampling.Sample) -> None:
    fewer = sampling.sample(changed(n_excited=1, n_contacts=5, n_bonds=0))
    for source, n in (("thermal", None), ("excited", 8), ("contact", 5)):
        for one, other in zip(chosen(fewer, source), chosen(sample, source)[:n], strict=True):
            assert np.array_equal(one.positions, other.positions)
            assert np.array_equal(deepmd_types(one), deepmd_types(other))
    moved = sampling.sample(changed(2, n_excited=1, n_contacts=1))
    assert not np.allclose(chosen(moved, "contact")[0].positions, chosen(sample, "contact")[0].positions)


def test_files(tmp_path: Path) -> None:
    plan = changed(n_packings=0, n_excited=1, n_contacts=1, n_bonds=0, n_thermal=1, n_compressed=0)
    small = {name: getattr(plan, name) for name in Plan.__dataclass_fields__}
    sampling.sample_files(tmp_path / "frames.extxyz", None, tmp_path / "starts.extxyz", **small)
    assert len(read_frames([tmp_path / "frames.extxyz"], labelled=False)) == 102
    assert len(read_frames([tmp_path / "aggregate.extxyz"], labelled=False)) == 2
    assert read_frames([tmp_path / "starts.extxyz"], labelled=False)[0].has("momenta")


def test_windows_off_the_time_step() -> None:
    with pytest.raises(UserError, match=r"are no multiples of the time step of 0\.3 fs"):
        sampling.sample(changed(timestep_fs=0.3))


def test_a_core_without_molecules() -> None:
    with pytest.raises(UserError, match=r"no molecule within 0\.01 Å of the aggregate's centre"):
        sampling.sample(replace(PLAN, core_radius_A=0.01))


def test_frames_of_any_calculator_of_co(sample: sampling.Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher as an ASE calculator makes the teacher's aggregates, and frames that move as under it."""
    module = ModuleType("of_the_user")
    module.field = lambda: VanHemertCalculator(coupling_eV=2.0)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "of_the_user", module)
    few = {"n_excited": 1, "n_contacts": 0, "n_compressed": 0, "n_packings": 0, "n_bonds": 4}
    own = sampling.sample(changed(potential="ase:of_the_user.field", **few))
    teachers = sampling.sample(changed(**few))
    for frame, expected in zip(own.aggregates, teachers.aggregates, strict=True):
        assert frame.positions == pytest.approx(expected.positions, abs=1e-6)
    for frame, expected in zip(chosen(own, "thermal"), chosen(teachers, "thermal"), strict=True):
        assert frame.positions == pytest.approx(expected.positions, abs=1e-4)
    lengths = [[frame.get_distance(0, 1) for frame in chosen(made, "bond")] for made in (own, teachers)]
    assert lengths[0] == pytest.approx(lengths[1], abs=2e-3)


def test_a_calculator_that_finds_no_energy_of_a_long_bond(monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(VanHemertCalculator):
        def calculate(self, *given: Any) -> None:
            super().calculate(*given)
            if self.atoms.get_distance(0, 1) > 2.0:
                self.results["energy"] = np.nan

    module = ModuleType("of_the_user")
    module.field = lambda: Short(coupling_eV=2.0)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "of_the_user", module)
    with pytest.raises(UserError, match=r"ase:of_the_user.field finds no energy of a CO of 2\.02"):
        sampling.sample(changed(potential="ase:of_the_user.field"))


def test_bonds_of_every_second_frame_are_spread_about_their_centres_of_mass() -> None:
    plain = sampling.sample(PLAN).frames
    spread = sampling.sample(replace(PLAN, sampling=replace(SAMPLING, bond_spread_A=0.03))).frames
    assert len(spread) == len(plain)
    changes = []
    for before, after in zip(plain, spread, strict=True):
        np.testing.assert_allclose(
            structures.molecular_centres(after.positions),
            structures.molecular_centres(before.positions),
            atol=1e-9,
        )
        change = structures.bond_lengths(after.positions) - structures.bond_lengths(before.positions)
        tagged = structures.excited_molecule(before)
        assert tagged < 0 or change[tagged] == 0
        changes += [c for m, c in enumerate(change) if m != tagged]
    changed = np.array(changes) != 0
    assert 0.3 < changed.mean() < 0.7
    assert 0.02 < np.std(np.array(changes)[changed]) < 0.04


def test_packings_come_down_to_aggregates(sample: sampling.Sample) -> None:
    frames = chosen(sample, "packing")
    assert len(frames) == 2 * 41
    energies = [a.get_potential_energy() for a in label(frames, "van-hemert", coupling_eV=2.0)[0]]
    for first in (0, 41):
        assert energies[first + 40] < energies[first] - 0.02


def test_frames_of_a_mixed_ice_under_any_potential(monkeypatch: pytest.MonkeyPatch) -> None:
    """CO and N2, two to two, under bonds and walls known by a formula: only CO is excited, its bond alone."""
    module = ModuleType("of_the_user")
    module.field = Bonds  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "of_the_user", module)
    few = {"n_contacts": 12, "n_bonds": 6, "n_packings": 0, "timestep_fs": 0.5}
    plan = replace(
        changed(potential="ase:of_the_user.field", bond_spread_A=0.03, **few), other_molecules=("N2",),
        excitation_energy_eV=1.0,
    )  # fmt: skip
    made = sampling.sample(plan)
    system = sampling.system_of(plan)
    assert [(kind.get_chemical_formula(), n) for kind, n in system.kinds] == [("CO", 2), ("N2", 2)]
    assert {atoms.get_chemical_formula() for atoms in made.frames} == {"C2N4O2"}
    assert {"thermal", "excited", "contact", "compressed", "bond"} == {
        atoms.info["source"] for atoms in made.frames
    }
    tagged = {tuple(np.flatnonzero(atoms.arrays["excited"])) for atoms in made.frames}
    assert tagged == {(), (0, 1), (2, 3)}, "N2 is never excited"
    for atoms in chosen(made, "excited"):
        if atoms.info["time_fs"] == 0:
            one, two = np.flatnonzero(atoms.arrays["excited"])
            bond, velocity = (x[two] - x[one] for x in (atoms.positions, atoms.get_velocities()))
            speed = velocity @ bond / np.linalg.norm(bond)
            energy = 0.5 * system.curve.reduced_mass_amu * speed**2 + system.curve.energy(
                np.linalg.norm(bond)
            )
            assert energy == pytest.approx(1.0, abs=0.05), (
                "its bond was spread afterwards, in half of the frames"
            )
    inner, outer = system.curve.turning_points(1.1)
    lengths = [atoms.get_distance(0, 1) for atoms in chosen(made, "bond") if atoms.arrays["excited"].any()]
    assert lengths == pytest.approx(np.linspace(inner, outer, 3))
    with pytest.raises(UserError, match="CO, N2 under van-hemert, the analytic field of CO"):
        sampling.sample(replace(PLAN, other_molecules=("N2",)))
    with pytest.raises(UserError, match="leave none of some kind"):
        sampling.sample(replace(plan, parts=(1.0, 100.0)))
    with pytest.raises(UserError, match="two of these have the same atoms"):
        sampling.sample(replace(plan, other_molecules=("CO",)))


class Bonds(Calculator):
    """Springs of 40 eV/Å² in each pair of atoms, 1.1 Å long, and a soft wall between any two others."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms: Any = None, properties: Any = None, changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, changes)
        positions, n = atoms.positions, len(atoms)
        apart = positions[:, None] - positions[None]
        distance = np.linalg.norm(apart, axis=2) + np.eye(n)
        bonded = np.arange(n)[:, None] // 2 == np.arange(n) // 2
        slope = np.where(bonded, 40.0 * (distance - 1.1), np.minimum(distance - 3.3, 0.0))
        np.fill_diagonal(slope, 0.0)
        energies = np.where(bonded, 20.0 * (distance - 1.1) ** 2, 0.5 * np.minimum(distance - 3.3, 0.0) ** 2)
        np.fill_diagonal(energies, 0.0)
        forces = -(slope[..., None] * apart / distance[..., None]).sum(axis=1)
        self.results = {"energy": float(energies.sum()) / 2, "forces": forces}
