"""The known truth of H2 on CO: its published wells, and what it leaves out."""

import jax
import numpy as np
import pytest
from ase import Atoms
from ase.units import Bohr, invcm
from scipy.optimize import minimize_scalar

from frazil.labels.levels import labeller
from frazil.labels.store import Label
from frazil.potentials.analytic import van_hemert
from frazil.potentials.analytic.h2_co import H2_LENGTH_A, H2OnCO, bond_energy, interaction

WEIGHTS = van_hemert.CENTRE_WEIGHTS
CO = van_hemert.BOND_LENGTH_A * np.array([[0.0, 0.0, -WEIGHTS[1]], [0.0, 0.0, WEIGHTS[0]]])


def h2(centre: np.ndarray, axis: np.ndarray) -> np.ndarray:
    return centre + 0.5 * H2_LENGTH_A * np.stack([axis, -axis])


def well(direction: np.ndarray, axis: np.ndarray) -> tuple[float, float]:
    energy = jax.jit(interaction)
    found = minimize_scalar(
        lambda distance: float(energy(CO, h2(distance * direction, axis))),
        bounds=(3.0, 6.0),
        method="bounded",
    )
    return found.x, found.fun


@pytest.mark.parametrize(("side", "distance_a0", "depth_cm1"), [(-1.0, 7.92, 93.05), (1.0, 7.17, 72.74)])
def test_published_wells(side: float, distance_a0: float, depth_cm1: float) -> None:
    z = np.array([0.0, 0.0, 1.0])
    distance, energy = well(side * z, z)
    assert distance / Bohr == pytest.approx(distance_a0, abs=0.05)
    assert energy / invcm == pytest.approx(-depth_cm1, abs=0.5)


def test_the_line_with_carbon_is_the_deepest() -> None:
    generator = np.random.default_rng(1)
    for direction, axis in generator.normal(size=(30, 2, 3)):
        _, energy = well(direction / np.linalg.norm(direction), axis / np.linalg.norm(axis))
        assert energy / invcm > -94.0


def test_bond_has_the_measured_frequency() -> None:
    step = 1e-3
    lengths = H2_LENGTH_A + step * np.array([-1.0, 0.0, 1.0])
    e = [float(bond_energy(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, r]]))) for r in lengths]
    stiffness = (e[0] - 2 * e[1] + e[2]) / step**2
    frequency = np.sqrt(stiffness / 0.504)  # ħω = ħ √(k/μ) in ASE units of time
    assert frequency * 0.0646541 / invcm == pytest.approx(4401, rel=0.005)


def test_nothing_collapses() -> None:
    energy = jax.jit(interaction)
    for distance in np.linspace(0.3, 2.5, 23):
        assert energy(CO, h2(np.array([0.0, distance, 0.0]), np.array([1.0, 0.0, 0.0]))) > 0.0


def test_pairs_of_fixed_molecules_are_a_constant() -> None:
    generator = np.random.default_rng(2)
    centres = 4.0 * np.stack(np.meshgrid(*[np.arange(2)] * 3), axis=-1).reshape(-1, 1, 3)
    positions = (centres + CO + generator.normal(scale=0.05, size=(8, 2, 3))).reshape(-1, 3)
    whole, some = H2OnCO(hydrogen=False), H2OnCO(n_fixed=3, hydrogen=False)
    energy, partly = jax.jit(whole.energy), jax.jit(some.energy)
    fixed = float(energy(positions[-6:])) - sum(float(energy(positions[i : i + 2])) for i in (10, 12, 14))
    assert float(energy(positions)) == pytest.approx(float(partly(positions)) + fixed, abs=1e-12)
    forces = [-jax.jit(jax.grad(potential.energy))(positions) for potential in (whole, some)]
    assert np.allclose(forces[0][:10], forces[1][:10], atol=1e-13)


def test_it_labels_clusters_with_and_without_h2() -> None:
    source = labeller("h2-co-analytic")
    pair = Atoms("COHH", np.concatenate([CO, h2(np.array([3.5, 0.0, 0.0]), np.array([0.0, 0.0, 1.0]))]))
    with_h2, without, refused = source.labels([pair, pair[:2], pair[[2, 3, 0, 1]]])
    assert isinstance(with_h2, Label)
    assert isinstance(without, Label)
    assert -0.012 < with_h2.energy_eV < 0.0
    assert without.forces_eV_per_A.shape == (2, 3)
    assert refused == "not CO molecules ordered C, O, C, O, … with or without one H2 after them"
