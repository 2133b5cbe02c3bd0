"""Ring polymers against what is exact: harmonic, anharmonic and free nuclei, at the beads that ran."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import harmonic_energy_eV, ring_average, ring_density

from frazil.errors import UserError
from frazil.experiments.hydrogen_bond.windows import mass_nodes
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import PILE, Langevin, NoseHooverChain, OwnTemperature, VelocityVerlet
from frazil.md.observers import energies, frames
from frazil.md.rings import (
    Centroids,
    RingEnergies,
    RingSizes,
    beads_needed,
    of_beads,
    ring_frequencies,
    ring_heat_capacity,
    ring_modes,
    start_of_ring,
)
from frazil.potentials.analytic.simple import Springs
from frazil.potentials.interface import Analytic, Potential
from frazil.potentials.rings import RingPolymer
from frazil.potentials.transform import SameForAll
from frazil.pytrees import pytree
from frazil.seeds import rng
from frazil.units import hbar, inverse_cm, kB

OH_amu = 15.9949 * 1.00783 / (15.9949 + 1.00783)
STRETCH = 3700 * inverse_cm / hbar


@pytree
@dataclass(frozen=True)
class OfMorse(Analytic):
    """A Morse curve along x, springs along y and z, each atom alone."""

    depth_eV: Any
    exponent_per_A: Any
    stiffness_eV_per_A2: Any

    def along(self, x: Any) -> Any:
        return self.depth_eV * (1.0 - jnp.exp(-self.exponent_per_A * x)) ** 2

    def energy(self, positions_A: jax.Array) -> jax.Array:
        across = 0.5 * self.stiffness_eV_per_A2 * (positions_A[:, 1:] ** 2).sum()
        return self.along(positions_A[:, 0]).sum() + across


def run(
    potential: Potential, masses_amu: np.ndarray, n_beads: int, n_rings: int = 8, n_steps: int = 8000,
    timestep_fs: float = 0.5, **options: Any,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return rows (rings, observations, …) at 300 K, without the first fifth."""
    observers = (RingEnergies(300.0, n_beads), RingSizes(n_beads))
    ensemble = Ensemble(
        RingPolymer(potential, n_beads), PILE(timestep_fs, 300.0, 100.0, n_beads),
        of_beads(masses_amu, n_beads), n_steps, 10,
        **{"observers": observers, "width": n_rings, "chunk": 200, **options},
    )  # fmt: skip
    begun = [
        start_of_ring(np.zeros((len(masses_amu), 3)), masses_amu, 300.0, n_beads, rng(1, "ring", i))
        for i in range(n_rings)
    ]
    x, v = (np.stack([start[part] for start in begun]) for part in (0, 1))
    ended = sorted(ensemble.run(x, v), key=lambda t: t.trajectory_id)
    skipped = len(ended[0].rows["step"]) // 5
    return {name: np.stack([t.rows[name][skipped:] for t in ended]) for name in ended[0].rows}


def within(values: np.ndarray, expected: float, relative: float = 0.004) -> bool:
    """Whether the mean of rings (R, …) is that expected, within four of its standard errors and a part."""
    means = values.reshape(len(values), -1).mean(axis=1)
    error = means.std(ddof=1) / np.sqrt(len(means))
    assert error < 0.05 * expected, "too few samples to tell"
    return bool(abs(means.mean() - expected) < 4 * error + relative * expected)


def test_harmonic_energies_at_any_number_of_beads() -> None:
    """The published series: 25.85, 94.27, 200.59 meV and so on, 229.37 without end."""
    series = [harmonic_energy_eV(STRETCH, 300.0, n) for n in (1, 4, 16, 32, 64, 4096)]
    assert 1e3 * np.array(series) == pytest.approx([25.85, 94.27, 200.59, 221.03, 227.20, 229.37], abs=0.006)


def test_what_quantum_nuclei_add_to_a_free_energy_by_the_mass_is_exact() -> None:
    """kT/2 Σ ln(1 + ω²/ω_k²) of a stretch, by the five points that hydrogen bonds take along the mass."""
    thermal, (places, weights) = kB * 300.0, mass_nodes()
    for n_beads, expected in ((8, 123.451), (16, 144.642), (32, 152.176), (64, 154.289), (128, 154.835)):
        modes = np.asarray(ring_frequencies(n_beads, 300.0))[1:]
        exact = 0.5 * thermal * np.log1p((STRETCH / modes) ** 2).sum()
        assert 1e3 * exact == pytest.approx(expected, abs=0.003)
        kinetic = np.array([0.5 * harmonic_energy_eV(STRETCH * g, 300.0, n_beads) for g in places])
        by_mass = (weights * 2 / places * (kinetic - 0.5 * thermal)).sum()
        assert 1e3 * by_mass == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize(("n_beads", "timestep_fs"), [(4, 0.25), (16, 1.0)])
def test_a_harmonic_stretch(n_beads: int, timestep_fs: float) -> None:
    """Both kinetic energies and the potential one, two atoms of different masses, at 1 fs as at 0.25 fs."""
    masses = np.array([OH_amu, 2 * OH_amu])
    found = run(Springs(OH_amu * STRETCH**2), masses, n_beads, n_steps=6000, timestep_fs=timestep_fs)
    expected = 0.5 * sum(3 * harmonic_energy_eV(w, 300.0, n_beads) for w in (STRETCH, STRETCH / np.sqrt(2)))
    # The step's error of a classical harmonic mode, (ωΔt)²/4, would be 0.12 at 1 fs.
    for name in ("potential_energy", "kinetic_virial", "kinetic_primitive"):
        assert within(found[name], expected, 0.012 if timestep_fs == 1.0 else 0.004), name


def test_a_heat_capacity() -> None:
    """Of a mode at 800 cm⁻¹ by four beads: two thirds of what it is of a classical one."""
    frequency, masses = 800 * inverse_cm / hbar, np.array([4.0, 4.0])
    found = run(Springs(4.0 * frequency**2), masses, 4, n_steps=16000, timestep_fs=2.0)
    warmer, colder = (6 * harmonic_energy_eV(frequency, T, 4) for T in (301.0, 299.0))
    capacities = [
        ring_heat_capacity({name: values[i] for name, values in found.items()}, 300.0, 6) / (6 * kB)
        for i in range(len(found["step"]))
    ]
    expected, error = (warmer - colder) / 2 / (6 * kB), np.std(capacities, ddof=1) / np.sqrt(len(capacities))
    assert expected == pytest.approx(0.650, abs=0.001)
    assert abs(np.mean(capacities) - expected) < 4 * error < 0.2


def test_a_morse_stretch() -> None:
    """The O–H bond of q-TIP4P/F: 120.46 and 117.58 meV without end, and what 16 beads have of it."""
    curve = OfMorse(116.09 * 0.0433641, 2.287, OH_amu * (1600 * inverse_cm / hbar) ** 2)
    x = np.linspace(-0.6, 1.5, 500)
    average = partial(ring_average, potential=curve.along, mass_amu=OH_amu, temperature_K=300.0, x=x)
    assert 1e3 * average(curve.along, n_beads=256) == pytest.approx(120.46, abs=0.1)
    across = harmonic_energy_eV(1600 * inverse_cm / hbar, 300.0, 16)
    found = run(curve, np.array([OH_amu]), 16)
    assert within(found["potential_energy"] - across, average(curve.along, n_beads=16), 0.006)
    virial = average(lambda x: 0.5 * x * jax.vmap(jax.grad(curve.along))(x), n_beads=16)
    assert within(found["kinetic_primitive"] - across, float(virial), 0.01)


def test_the_double_well_of_a_proton() -> None:
    """Barriers of the quantum density by the number of beads, of a proton and a deuteron."""
    x = np.linspace(-1.2, 1.2, 801)

    def barrier_meV(mass_amu: float, n_beads: int) -> float:
        density = ring_density(lambda x: 0.25 * ((x / 0.4) ** 2 - 1) ** 2, mass_amu, 300.0, n_beads, x)
        return float(-1e3 * kB * 300.0 * np.log(density[len(x) // 2] / density.max()))

    found = [barrier_meV(1.00783, n) for n in (1, 2, 4, 8, 16, 32)]
    assert found == pytest.approx([249.99, 147.69, 108.71, 96.20, 92.53, 91.54], abs=0.03)
    assert barrier_meV(2.0141, 32) == pytest.approx(146.71, abs=0.03)


def test_the_size_of_a_free_particle() -> None:
    """⟨r²⟩ = ħ²/(4 m kT) (1 − 1/P²), whatever holds the centroid; the primitive energy is 3kT/2."""
    masses = np.array([1.0, 4.0])
    held = RingPolymer(Springs(0.0), 8, Springs(0.1))
    ensemble = Ensemble(
        held, PILE(1.0, 300.0, 50.0, 8), of_beads(masses, 8), 8000, 5, width=8, chunk=200,
        observers=(RingSizes(8), RingEnergies(300.0, 8), Centroids(8), lambda state, _: state.info),
    )  # fmt: skip
    ended = list(ensemble.run(np.zeros((8, 16, 3)), np.zeros((8, 16, 3))))
    seen = {name: np.stack([t.rows[name][100:] for t in ended]) for name in ended[0].rows}
    for atom, mass in enumerate(masses):
        free = hbar**2 / (4 * mass * kB * 300.0) * (1 - 1 / 64)
        assert within(seen["gyration_squared_A2"][..., atom], free)
    assert within(seen["kinetic_virial"], 3 * kB * 300.0)
    assert within(seen["kinetic_primitive"], 3 * kB * 300.0, 0.02)
    # The restraint is worth what it is classically, once for the ring, not once for every bead.
    squares = 0.5 * 0.1 * (seen["centroids"] ** 2).sum(axis=(-1, -2))
    np.testing.assert_allclose(seen["centroid_energy_eV"], squares, rtol=1e-9)
    np.testing.assert_allclose(seen["potential_energy"], squares, rtol=1e-9)
    assert abs(squares.mean() - 3 * kB * 300.0) < 4 * squares.mean(axis=1).std(ddof=1) / np.sqrt(8)


def test_one_bead_is_langevin_dynamics() -> None:
    begun = rng(0, "one bead").normal(scale=0.02, size=(2, 3, 4, 3))
    masses, options = np.arange(4) + 1.0, {"observers": (energies, frames), "width": 3}
    point = Ensemble(Springs(5.0), Langevin(0.5, 200.0, 50.0), masses, 200, 20, **options)
    bead = Ensemble(RingPolymer(Springs(5.0), 1), PILE(0.5, 200.0, 50.0, 1), masses, 200, 20, **options)
    for one, other in zip(point.run(*begun), bead.run(*begun), strict=True):
        for name in ("positions", "velocities", "energy"):
            np.testing.assert_allclose(other.rows[name], one.rows[name], rtol=1e-10, atol=1e-12)


def test_modes_are_those_of_the_free_ring() -> None:
    for n_beads in (1, 2, 5, 8):
        modes = ring_modes(n_beads)
        np.testing.assert_allclose(modes @ modes.T, np.eye(n_beads), atol=1e-12)
        springs = 2 * np.eye(n_beads) - np.roll(np.eye(n_beads), 1, 0) - np.roll(np.eye(n_beads), -1, 0)
        chain = n_beads * kB * 300.0 / hbar
        expected = np.diag(np.asarray(ring_frequencies(n_beads, 300.0)) ** 2)
        np.testing.assert_allclose(modes @ (chain**2 * springs) @ modes.T, expected, atol=1e-9 * chain**2)


def test_kinds_of_rings_share_a_batch() -> None:
    """H and D as kinds of one batch, each as it is alone."""
    masses = np.array([[1.0, 16.0], [2.0, 16.0]])
    begun = np.zeros((2, 2, 8, 3)) + rng(0, "isotopes").normal(scale=0.02, size=(2, 1, 8, 3))
    options = {"observers": (frames,), "width": 2, "campaign_seed": 2}
    both = Ensemble(
        RingPolymer(SameForAll(Springs(5.0)), 4), PILE(0.5, 300.0, 50.0, 4), np.tile(masses, (1, 4)),
        60, 20, **options,
    )  # fmt: skip
    together = sorted(both.run(*begun, kinds=[0, 1]), key=lambda t: t.trajectory_id)
    for i in (0, 1):
        alone = Ensemble(
            RingPolymer(Springs(5.0), 4), PILE(0.5, 300.0, 50.0, 4), of_beads(masses[i], 4), 60, 20, **options
        )
        (expected,) = alone.run(begun[0][i : i + 1], begun[1][i : i + 1], [i])
        np.testing.assert_allclose(together[i].rows["positions"], expected.rows["positions"], atol=1e-11)


def test_frozen_atoms_stay_where_they_are() -> None:
    frozen = of_beads(np.array([False, True]), 4)
    begun = rng(0, "frozen").normal(scale=0.02, size=(2, 1, 8, 3))
    ensemble = Ensemble(
        RingPolymer(Springs(5.0), 4), PILE(0.5, 300.0, 50.0, 4), np.ones(8), 40, 20, frozen=frozen,
        observers=(frames, RingEnergies(300.0, 4)),
    )  # fmt: skip
    (ended,) = ensemble.run(*begun)
    assert (ended.rows["positions"][:, frozen] == begun[0, 0, frozen]).all()
    assert (ended.rows["velocities"][:, frozen] == 0).all()
    assert not (ended.rows["positions"][-1, ~frozen] == begun[0, 0, ~frozen]).any()


def test_beads_that_are_needed() -> None:
    assert beads_needed(3700.0, 300.0) == 36
    assert beads_needed(3700.0, 600.0) == 18


@pytest.mark.parametrize(
    ("potential", "integrator", "message"),
    [
        (
            Springs(1.0),
            PILE(0.5, 300.0, 50.0, 4),
            "a potential of points under an integrator of rings of 4 beads",
        ),
        (
            RingPolymer(Springs(1.0), 4),
            NoseHooverChain(0.5, 300.0, 50.0),
            "rings of 4 beads under an integrator of points",
        ),
        (RingPolymer(Springs(1.0), 4), VelocityVerlet(0.5), "rings of 4 beads under an integrator of points"),
        (
            RingPolymer(Springs(1.0), 8),
            PILE(0.5, 300.0, 50.0, 4),
            "rings of 8 beads under an integrator of rings",
        ),
        (RingPolymer(Springs(1.0), 4), PILE(0.5, 0.0, 50.0, 4), "temperature K 0; it must be positive"),
        (RingPolymer(Springs(1.0), 0), PILE(0.5, 300.0, 50.0, 0), "rings of 0 beads; at least one"),
        (RingPolymer(Springs(1.0), 3), PILE(0.5, 300.0, 50.0, 3), "8 masses for rings of 3 beads"),
    ],
)
def test_rings_that_make_no_sense(potential: Potential, integrator: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Ensemble(potential, integrator, np.ones(8), 10, 10).run(np.zeros((1, 8, 3)), np.zeros((1, 8, 3)))
    with pytest.raises(UserError, match="Langevin dynamics brings back"):
        OwnTemperature(PILE(0.5, 300.0, 50.0, 4))
