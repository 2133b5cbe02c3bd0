"""The analytic CO–CO field: caps, additions, the dipole, ASE's calculator."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from ase import Atoms

from frazil.potentials.analytic import van_hemert as field

CLUSTER = np.array(
    [
        [[0.0, 0.1, 0.0], [0.3, 0.2, 1.5]],
        [[3.4, 0.0, 0.5], [3.6, 1.1, 0.4]],
        [[0.3, 3.2, -0.4], [1.2, 3.8, -0.2]],
        [[1.8, 1.9, 2.9], [1.6, 1.2, 3.8]],
    ]
).reshape(-1, 3)


Derivative = Callable[[Any], jax.Array]
jitted = jax.jit(field.energy)


def energy(positions: np.ndarray, coupling_eV: float = 2.0) -> float:
    return float(jitted(positions, coupling_eV))


def test_caps_are_those_of_the_table() -> None:
    height, exponent, offset = field.cap_coefficients()
    order = [(0, 0), (0, 1), (1, 1)]
    assert [height[i] for i in order] == pytest.approx([0.62527, 3.15063, 10.03649], abs=6e-6)
    assert [exponent[i] for i in order] == pytest.approx([2.47555, 3.42502, 4.21557], abs=6e-6)
    assert [offset[i] for i in order] == pytest.approx([-0.07610, -0.10758, -0.14055], abs=6e-6)


def buckingham(distance: jax.Array) -> jax.Array:
    return field.buckingham(jax.numpy.full((2, 2, 1), distance**2), True)[:, :, 0]


def coulomb(distance: jax.Array) -> jax.Array:
    return field.coulomb_kernel(distance**2, True)


@pytest.mark.parametrize(
    ("function", "place"), [(buckingham, 1.5), (buckingham, 1.7), (buckingham, 2.1), (coulomb, 2.0)]
)
def test_caps_are_twice_continuously_differentiable(function: Derivative, place: float) -> None:
    for _ in range(3):
        below, above = (np.asarray(function(place + side)) for side in (-1e-9, 1e-9))
        assert below == pytest.approx(above, rel=1e-6, abs=1e-6)
        function = jax.jit(jax.jacfwd(function))


@pytest.mark.parametrize("place", [field.STRETCH_ONSET_A, field.STRETCH_ONSET_A + field.STRETCH_WIDTH_A])
def test_stretch_is_twice_continuously_differentiable(place: float) -> None:
    function = field._stretch
    for _ in range(3):
        assert float(function(place - 1e-8)) == pytest.approx(float(function(place + 1e-8)), abs=1e-5)
        function = jax.grad(function)


def test_attraction_is_exactly_zero_below_its_onset() -> None:
    short, long = CLUSTER.copy(), CLUSTER.copy()
    short[1] = short[0] + [0, 0, 1.3999]
    long[1] = long[0] + [0, 0, 1.41]
    assert energy(short, 0.0) == energy(short, 2.0)
    assert energy(long, 0.0) > energy(long, 2.0)


def test_attraction_is_the_stated_sum() -> None:
    carbons = CLUSTER[::2]
    lengths = np.linalg.norm(CLUSTER[1::2] - carbons, axis=1)
    u = np.clip((lengths - 1.4) / 0.5, 0, 1)
    stretch = u**3 * (10 - 15 * u + 6 * u**2)
    assert stretch.max() > 0
    expected = 0.0
    for i in range(4):
        for j in range(4):
            if i != j:
                expected -= 2.0 * stretch[i] * np.exp(-np.sum((carbons[i] - carbons[j]) ** 2) / 2.0**2)
    assert energy(CLUSTER, 2.0) - energy(CLUSTER, 0.0) == pytest.approx(expected, rel=1e-10)


def test_forces_are_the_energys_slope_inside_every_cap() -> None:
    positions = CLUSTER.copy()
    centres = positions.reshape(-1, 2, 3).mean(axis=1)
    positions -= np.repeat(0.55 * centres, 2, axis=0)
    _, forces, _ = field.evaluate(positions[None], 2.0)
    numeric = np.empty_like(positions)
    for place in np.ndindex(positions.shape):
        step = np.zeros_like(positions)
        step[place] = 1e-5
        numeric[place] = -(energy(positions + step) - energy(positions - step)) / 2e-5
    assert np.asarray(forces[0]) == pytest.approx(numeric, abs=2e-7 * max(1.0, np.abs(numeric).max()))


def test_dipole_of_an_isolated_molecule() -> None:
    length = field.BOND_LENGTH_A
    moment = np.asarray(field.dipole(np.array([[0, 0, 0], [0, 0, length]])))
    # C⁻O⁺; (−1.7835·(−0.57135) − 2.33373·0.42865) (eV Å)^½ · 1.12821 Å / 3.7947 (eV Å)^½ per e
    assert moment == pytest.approx([0, 0, 0.005551], abs=2e-5)
    shift = np.asarray(field.dipole(np.array([[5.0, 5, 5], [5, 5, 5 + length]])))
    assert shift == pytest.approx(moment, abs=1e-12)


def test_calculator() -> None:
    atoms = Atoms("CO" * 4, positions=CLUSTER, calculator=field.VanHemertCalculator(2.0))
    assert atoms.get_potential_energy() == pytest.approx(energy(CLUSTER), abs=1e-12)
    assert atoms.get_forces().sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-10)
    assert atoms.get_dipole_moment() == pytest.approx(np.asarray(field.dipole(CLUSTER)), abs=1e-12)
    atoms = Atoms("OC", positions=CLUSTER[:2], calculator=field.VanHemertCalculator(2.0))
    with pytest.raises(ValueError, match="must be ordered C, O"):
        atoms.get_potential_energy()
