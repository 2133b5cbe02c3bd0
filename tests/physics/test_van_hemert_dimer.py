"""The published numbers of the van Hemert field, and that the inventions leave them alone."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize

from frazil.labels.bond_curve import bond_curve
from frazil.potentials.analytic import van_hemert as field
from frazil.systems.co import molecular_centres
from frazil.units import inverse_cm


@pytest.fixture(scope="module")
def dimer() -> np.ndarray:
    """The lowest of many minimisations from random orientations, (4, 3) Å."""
    function = jax.jit(jax.value_and_grad(lambda x: field.energy(x.reshape(-1, 3), 2.0)))
    random = np.random.default_rng(0)
    found = []
    for _ in range(12):
        along = random.normal(size=(2, 3))
        along *= field.BOND_LENGTH_A / np.linalg.norm(along, axis=1)[:, None] / 2
        centres = np.array([[0, 0, 0], [4.0, 0, 0]]) + 0.3 * random.normal(size=(2, 3))
        start = np.stack([centres - along, centres + along], axis=1).ravel()
        found.append(
            minimize(
                lambda x: tuple(map(np.asarray, function(x))),
                start,
                jac=True,
                method="BFGS",
                options={"gtol": 1e-7},
            )
        )
    best: np.ndarray = min(found, key=lambda result: result.fun).x.reshape(-1, 3)
    return best


def test_dimer_well(dimer: np.ndarray) -> None:
    assert float(field.energy(dimer, 2.0)) / inverse_cm == pytest.approx(-127.7, abs=0.1)
    first, second = molecular_centres(dimer)
    assert np.linalg.norm(first - second) == pytest.approx(3.717, abs=0.002)


def test_inventions_do_not_touch_the_well(dimer: np.ndarray) -> None:
    published = float(field.energy(dimer, 0.0, guard=False))
    assert abs(float(field.energy(dimer, 0.0)) - published) / inverse_cm < 1e-10
    assert abs(float(field.energy(dimer, 2.0)) - published) / inverse_cm < 1e-10


def test_one_molecule() -> None:
    curve = bond_curve("van-hemert", coupling_eV=2.0)
    assert curve.minimum_A == pytest.approx(1.12821, abs=1e-5)
    assert curve.harmonic_wavenumber_cm1 == pytest.approx(2197, abs=1)
    assert curve.energy_of(40) - curve.energy_of(0) == pytest.approx(8.19, abs=0.01)
