"""Electric fields on a water dimer whose dipole is known, constant and changing with time."""

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms

from frazil.errors import UserError
from frazil.md.ensemble import Ensemble
from frazil.md.fields import Drive
from frazil.md.integrators import Driven, VelocityVerlet
from frazil.md.observers import Conserved, energies, frames, potential_info
from frazil.md.rings import of_beads
from frazil.potentials.analytic.simple import LennardJones
from frazil.potentials.analytic.water import QTIP4PF
from frazil.potentials.gmnn import kernel
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.committee import write_folder
from frazil.potentials.interface import Evaluation, Potential, jit
from frazil.potentials.neighbours import allocate
from frazil.potentials.registry import load
from frazil.potentials.rings import RingPolymer
from frazil.potentials.transform import FieldCoupling, InField, OnAtoms, SameForAll, mixture_of, sum_of

WATER = Atoms(
    "OHH" * 2,
    [[0, 0, 0], [0.95, 0.1, 0], [-0.2, 0.9, 0.1], [2.7, 0.2, 0.3], [3.1, 0.9, 0.8], [3.2, -0.6, 0.2]],
)
RNG = np.random.default_rng(5)
FRAMES = WATER.positions + RNG.normal(scale=0.03, size=(4, 6, 3))
VELOCITIES = RNG.normal(scale=0.03, size=FRAMES.shape) / np.sqrt(WATER.get_masses())[:, None]
FIELDS = np.array([[0.0, 0.0, 0.0], [0.1, -0.2, 0.3]])
Z = np.array([0.0, 0.0, 1.0])


def alpha(positions: jax.Array) -> jax.Array:
    """A polarizability (3, 3), Å³, of the O–H bonds of the first molecule: an invention."""
    bonds = positions[1:3] - positions[0]
    return 2.0 * jnp.eye(3) + 0.7 * jnp.einsum("bi,bj->ij", bonds, bonds)


@jit
def compiled(potential: Potential, positions: Any) -> Evaluation:
    ready = potential.batched(positions.shape[0])
    return ready.evaluate(ready.arrange(None), positions)


@jit
def of_kinds(potential: Any, positions: Any, kinds: Any) -> Evaluation:
    ready = potential.mixed(kinds)
    return ready.evaluate(ready.arrange(None), positions)


def test_energies_forces_and_dipoles_belong_together() -> None:
    """Forces are the slope by positions, the dipole that by the field, each replica in a field of its own."""
    kinds = np.array([0, 1, 1, 0])
    here = of_kinds(InField(SameForAll(QTIP4PF()), FIELDS, alpha, by_kind=True), FRAMES, kinds)
    step = 1e-4
    for replica in (0, 1):
        field = FIELDS[kinds[replica]]
        moves = step * np.eye(18).reshape(18, 6, 3)
        plus, minus = (
            compiled(InField(QTIP4PF(), field, alpha), FRAMES[replica] + sign * moves).energies
            for sign in (1, -1)
        )
        slope = (minus - plus).reshape(6, 3) / (2 * step)
        np.testing.assert_allclose(here.forces[replica], slope, rtol=0, atol=2e-6)
        for axis in range(3):
            plus, minus = (
                compiled(InField(QTIP4PF(), field + sign * step * np.eye(3)[axis], alpha), FRAMES).energies
                for sign in (1, -1)
            )
            expected = float((minus - plus)[replica]) / (2 * step)
            assert float(here.info["dipole_e_A"][replica, axis]) == pytest.approx(expected, abs=1e-8)
    bare = compiled(QTIP4PF(), FRAMES)
    induced = here.info["dipole_e_A"] - bare.info["dipole_e_A"]
    assert np.abs(induced[1]).max() > 0.02
    np.testing.assert_array_equal(induced[0], 0.0)


def test_dipoles_of_parts_add_up_as_their_energies_do() -> None:
    """Of two potentials on molecules of their own, of one beside a potential without a dipole, and mixed."""
    one, other = (OnAtoms(QTIP4PF(), own) for own in ((0, 1, 2), (3, 4, 5)))
    alone = compiled(QTIP4PF(), FRAMES).info["dipole_e_A"]
    parts = [compiled(part, FRAMES).info["dipole_e_A"] for part in (one, other)]
    for potential, expected in (
        (sum_of([one, other]), alone),
        (sum_of([QTIP4PF(), LennardJones(0.01, 2.5)]), alone),
        (mixture_of([one, other], [0.25, 0.75]), 0.25 * parts[0] + 0.75 * parts[1]),
    ):
        np.testing.assert_allclose(compiled(potential, FRAMES).info["dipole_e_A"], expected, atol=1e-14)


def test_a_network_in_a_field_does_without_its_compiled_kernel(tmp_path: Path) -> None:
    """That has no derivatives: tracing one would raise. Parts of other potentials too, and of rings."""
    small = Architecture(
        ("H", "O"), cutoff_A=4.5, n_basis=4, n_radial=2, hidden=(8,), heads=("energy", "charge")
    )
    metadata = {"label_level": "test", "training_data_sha256": ""}
    write_folder(tmp_path, small, initialize_committee(small, 3, 1), metadata)
    network = load(tmp_path).potential(WATER)
    assert small.precision == "float32"
    assert kernel.serves(small), "else nothing is asked here"
    neighbours = allocate(WATER.positions, 4.5, 0.5)
    lists = jax.tree.map(lambda leaf: np.stack([leaf] * 2), neighbours)
    for potential in (InField(network, Z), RingPolymer(InField(SameForAll(network), Z), 2)):
        beads = potential.n_beads or 1
        ready = potential.batched(2 // beads)
        own = lists if beads == 1 else jax.tree.map(lambda leaf: leaf[None], lists)
        positions = jax.ShapeDtypeStruct((2 // beads, 6 * beads, 3), jnp.float64)
        found = jax.eval_shape(
            lambda x, own=own, ready=ready: ready.evaluate(ready.arrange(own), x), positions
        )
        assert found.forces.shape == positions.shape


def test_the_dipole_of_a_water_molecule() -> None:
    """2.19 D at the molecule's own geometry, 2 · 0.5564 e · γ · 0.9419 Å cos 53.7°."""
    half = np.radians(53.7)
    rest = 0.9419 * np.array([[0, 0, 0], [np.sin(half), 0, np.cos(half)], [-np.sin(half), 0, np.cos(half)]])
    dipole = compiled(QTIP4PF(), rest[None]).info["dipole_e_A"][0]
    np.testing.assert_allclose(dipole, [0, 0, 1.1128 * 0.73612 * 0.9419 * np.cos(half)], atol=1e-12)
    assert dipole[2] / 0.2081943 == pytest.approx(2.19, abs=0.01)


def ran(potential: Potential, integrator: Any, n_steps: int = 200, every: int = 1) -> list[dict[str, Any]]:
    seen: tuple[Any, ...] = (energies, frames, potential_info)
    if isinstance(integrator, Driven):
        seen += (Conserved(integrator),)
    ensemble = Ensemble(
        potential, integrator, WATER.get_masses(), n_steps, every, observers=seen, width=4,
        chunk=n_steps // every,
    )  # fmt: skip
    return [trajectory.rows for trajectory in ensemble.run(FRAMES, VELOCITIES)]


def test_no_field_changes_no_bit() -> None:
    without = ran(QTIP4PF(), VelocityVerlet(0.5), every=20)
    for potential, integrator in (
        (InField(QTIP4PF(), np.zeros(3)), VelocityVerlet(0.5)),
        (FieldCoupling(QTIP4PF(), Z), Driven(VelocityVerlet(0.5), Drive(0.0, 5.0, 40.0, 20.0))),
    ):
        for bare, own in zip(without, ran(potential, integrator, every=20), strict=True):
            for name in ("positions", "velocities", "energy"):
                assert own[name].tobytes() == bare[name].tobytes(), name


def test_a_field_in_time_has_its_frequency_and_its_width() -> None:
    """5 THz has a period of 200 fs; one width from its centre a pulse is e^(−1/2) of its height."""
    assert np.asarray(Drive(0.3, 5.0).at([0.0, 25.0, 50.0, 100.0, 200.0])) == pytest.approx(
        0.3 * np.array([1, 0.5**0.5, 0, -1, 1]), abs=1e-12
    )
    pulse = Drive(0.3, 0.0, 100.0, 20.0).at([80.0, 100.0, 120.0, 140.0])
    assert np.asarray(pulse) == pytest.approx(0.3 * np.exp([-0.5, 0, -0.5, -2]), rel=1e-12)


@cache
def driven(timestep_fs: float, pulse: bool) -> list[dict[str, Any]]:
    """Runs of 160 fs under a pulse of 20 THz, or a constant field, with a polarizability."""
    drive = Drive(0.5, 20.0, 60.0, 15.0) if pulse else Drive(0.2)
    integrator = Driven(VelocityVerlet(timestep_fs), drive)
    return ran(FieldCoupling(QTIP4PF(), Z, alpha), integrator, round(160 / timestep_fs))


@pytest.mark.parametrize("pulse", [False, True], ids=["constant", "pulse"])
def test_energy_less_work_scatters_as_the_time_step_squared(pulse: bool) -> None:
    scatter = [
        np.mean([rows["conserved_energy"].std() for rows in driven(timestep_fs, pulse)])
        for timestep_fs in (0.4, 0.2)
    ]
    assert scatter[0] / scatter[1] == pytest.approx(4.0, rel=0.06)
    gained = [np.ptp(rows["energy"] + rows["kinetic_energy"]) for rows in driven(0.2, pulse)]
    assert min(gained) > 50 * scatter[1]


def test_a_constant_field_does_the_work_that_it_has_as_a_potential() -> None:
    """V − μ·E − ½E·α·E falls as the energy without the field and the kinetic energy rise."""
    rows = ran(InField(QTIP4PF(), 0.2 * Z, alpha), VelocityVerlet(0.2), 800)
    for inside, outside in zip(rows, driven(0.2, False), strict=True):
        np.testing.assert_allclose(inside["positions"], outside["positions"], rtol=0, atol=1e-7)
        total = inside["energy"] + inside["kinetic_energy"]
        np.testing.assert_allclose(np.diff(total), np.diff(outside["conserved_energy"]), rtol=0, atol=1e-9)


def test_a_pulse_works_as_its_field_times_the_change_of_the_dipole() -> None:
    """∫E·dμ and ½∫E² dα of the observed rows, by a finer rule than the engine's own."""
    for rows in driven(0.2, True):
        times = 0.2 * rows["step"]
        fields = np.asarray(Drive(0.5, 20.0, 60.0, 15.0).at(times))
        slopes = [np.gradient(rows[name], times, edge_order=2) for name in
                  ("coupling_e_A", "induced_e2_A2_per_eV")]  # fmt: skip
        expected = np.trapezoid(fields * slopes[0] + fields**2 * slopes[1], times)
        total = rows["energy"] + rows["kinetic_energy"]
        work = (total - rows["conserved_energy"])[-1]
        assert work == pytest.approx(expected, rel=0.01)
        assert total[-1] - total[0] == pytest.approx(work, rel=0.01, abs=2e-4)


def test_every_bead_of_a_ring_meets_the_field() -> None:
    rings = RingPolymer(QTIP4PF(), 2)
    inside = compiled(RingPolymer(InField(QTIP4PF(), FIELDS[1], alpha), 2), FRAMES.reshape(2, 12, 3))
    outside = compiled(InField(rings, FIELDS[1], alpha), FRAMES.reshape(2, 12, 3))
    for one, other in zip(jax.tree.leaves(inside), jax.tree.leaves(outside), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
    alone = compiled(FieldCoupling(QTIP4PF(), Z, alpha), FRAMES)
    both = compiled(FieldCoupling(rings, Z, alpha), FRAMES.reshape(2, 12, 3))
    for name in ("coupling_e_A", "induced_e2_A2_per_eV"):
        np.testing.assert_allclose(both.info[name], alone.info[name].reshape(2, 2).sum(axis=1), rtol=1e-12)
    for name in ("coupling_slope_e", "induced_slope_e2_A_per_eV"):
        np.testing.assert_allclose(both.info[name], alone.info[name].reshape(2, 12, 3), rtol=0, atol=1e-12)
    assert of_beads(WATER.get_masses(), 2).shape == (12,)


@pytest.mark.parametrize(
    ("drive", "message"),
    [
        (Drive(np.nan), "amplitude_V_per_A nan of a field"),
        (Drive(0.1, -1.0), "frequency_THz -1 of a field; .* the frequency not negative"),
        (Drive(0.1, 5.0, 100.0, 0.0), "width_fs 0 of a field"),
        (Drive(0.1, 200.0), r"a time step of 0.5 fs for a field of 200 THz; .* 20 steps a period, 0.25 fs"),
    ],
)
def test_fields_that_are_none(drive: Drive, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Driven(VelocityVerlet(0.5), drive).check()


def test_a_potential_without_a_dipole() -> None:
    with pytest.raises(UserError, match="a field on LennardJones, which has no dipole"):
        compiled(FieldCoupling(LennardJones(0.01, 2.5), Z), FRAMES)
