"""Molecules' own curves beside a potential of interactions."""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

from frazil.errors import UserError
from frazil.experiments.sticking.clusters import PUBLISHED, isolated
from frazil.labels.interaction import curves, interaction
from frazil.labels.label import label
from frazil.potentials.analytic.h2_co import H2OnCO
from frazil.potentials.interface import Analytic
from frazil.potentials.molecular import WithMolecules, read_curves, write_curves
from frazil.pytrees import pytree


@pytree
@dataclass(frozen=True)
class Nothing(Analytic):
    """No interaction."""

    def energy(self, positions_A: jax.Array) -> jax.Array:
        return 0.0 * positions_A.sum()


@pytest.fixture(scope="module")
def own() -> dict[str, CubicHermiteSpline]:
    labelled, failed = label(isolated(PUBLISHED), "h2-co-analytic")
    assert not failed
    return curves(labelled)


def bonds(*lengths: float) -> np.ndarray:
    """Molecules along x, 50 Å apart, one bond length each."""
    places = 50.0 * np.arange(len(lengths))[:, None]
    return np.stack(
        [places * [0, 1, 0], places * [0, 1, 0] + np.array(lengths)[:, None] * [1, 0, 0]], 1
    ).reshape(-1, 3)


def test_molecules_alone_are_the_truth_s(own: dict[str, CubicHermiteSpline]) -> None:
    numbers = np.array([6, 8, 6, 8, 1, 1])
    potential = WithMolecules.of(Nothing(), numbers, own)
    truth = jax.jit(jax.value_and_grad(H2OnCO().energy))
    for lengths in ((1.128, 1.131, 0.7414), (1.01, 1.36, 0.66), (0.93, 1.55, 0.97)):
        positions = bonds(*lengths)
        ready = potential.batched(2)
        found = jax.jit(ready.evaluate)(ready.arrange(None), np.stack([positions, positions + 1.0]))
        energy, gradient = truth(positions)
        # Spline of 0.02 Å: some µeV; molecules 50 Å apart still attract each other by some 0.1 µeV.
        assert np.allclose(found.energies, energy, atol=2e-5)
        assert np.allclose(found.forces, -gradient, atol=2e-3)
    assert potential.n_atoms == 6
    assert potential.cutoff_A is None


def test_forces_are_the_energy_s_slope_beyond_the_ends_too(own: dict[str, CubicHermiteSpline]) -> None:
    potential = WithMolecules.of(Nothing(), np.array([6, 8, 1, 1]), own)
    alone, gradient = jax.jit(potential.alone), jax.jit(jax.grad(lambda x: potential.alone(x)[0]))
    for lengths in ((0.8, 1.7), (1.128, 0.4), (1.9, 0.74)):
        positions = jnp.asarray(bonds(*lengths))
        _, forces = alone(positions)
        slope = gradient(positions)
        assert np.allclose(forces, -slope, atol=1e-9)
    assert float(alone(jnp.asarray(bonds(0.8, 0.74)))[0]) > float(alone(jnp.asarray(bonds(0.9, 0.74)))[0])


def test_curves_survive_their_file(own: dict[str, CubicHermiteSpline], tmp_path: Path) -> None:
    write_curves(tmp_path / "molecular_curves.csv", own)
    back = read_curves(tmp_path / "molecular_curves.csv")
    assert sorted(back) == ["CO", "H2"]
    assert np.array_equal(back["H2"](np.linspace(0.5, 1.5, 7)), own["H2"](np.linspace(0.5, 1.5, 7)))
    with pytest.raises(UserError, match=r"no curve of H2 alone; curves are there for CO"):
        WithMolecules.of(Nothing(), np.array([6, 8, 1, 1]), {"CO": own["CO"]})
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"bad\.csv has no column molecule; needed"):
        read_curves(tmp_path / "bad.csv")


def test_what_was_taken_out_comes_back(own: dict[str, CubicHermiteSpline]) -> None:
    """Labels = interaction + molecules, on a frame of H2 near CO."""
    frame = isolated(PUBLISHED)[0]
    frame = frame + isolated(PUBLISHED)[-1]
    frame.positions[2:] += [3.5, 0.5, 0.0]
    frame.positions[1, 2], frame.positions[3, 2] = 1.13, 0.75
    (labelled,), _ = label([frame], "h2-co-analytic")
    (rest,) = interaction([labelled], own)
    potential = WithMolecules.of(Nothing(), frame.numbers, own)
    energy, forces = potential.alone(jnp.asarray(frame.positions))
    assert rest.get_potential_energy() + float(energy) == pytest.approx(
        labelled.get_potential_energy(), abs=1e-9
    )
    assert np.allclose(rest.get_forces() + np.asarray(forces), labelled.get_forces(), atol=1e-9)
    assert abs(rest.get_potential_energy()) < 0.1
