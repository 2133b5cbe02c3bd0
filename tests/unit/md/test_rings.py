"""Rings with neighbour lists: right when beads have moved, and in any batch as they are alone."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from frazil.errors import UserError
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import PILE
from frazil.md.observers import energies, frames, potential_info
from frazil.md.rings import of_beads, start_of_ring
from frazil.md.trajectory import Trajectory
from frazil.potentials.analytic.simple import Springs
from frazil.potentials.interface import Batched, Evaluation
from frazil.potentials.neighbours import Neighbours
from frazil.potentials.rings import RingPolymer
from frazil.pytrees import pytree
from frazil.seeds import rng

BEADS, CELL_A, REACH_A = 4, 7.0, 3.0
START_A = np.array([[0, 0, 0], [0, 0, 1.4], [3, 0, 0], [3, 1.4, 0], [0, 3, 0], [1, 3.8, 0.2]])


@pytree
@dataclass(frozen=True)
class Soft(Springs):
    """Springs, and pairs within 3 Å that push by lists: ½ Σ (1 − (r/3)²)³, eV."""

    @property
    def cutoff_A(self) -> float:
        return REACH_A

    def batched(self, n_replicas: int) -> Batched:
        def energy(lists: Neighbours, x: jax.Array) -> jax.Array:
            there = jnp.minimum(lists.index, len(x) - 1)
            apart = x[there] + (0.0 if lists.shift is None else lists.shift) - x[:, None]
            near = jnp.maximum(1 - (apart**2).sum(axis=-1) / REACH_A**2, 0.0) ** 3
            return self.energy(x) + 0.5 * jnp.where(lists.index < len(x), near, 0.0).sum()

        found = jax.vmap(jax.value_and_grad(energy, argnums=1))

        def evaluate(lists: Neighbours, positions: jax.Array) -> Evaluation:
            energies, slopes = found(lists, positions)
            return Evaluation(energies, -slopes, {"highest_A": positions[..., 2].max(axis=1)})

        return Batched(lambda lists: lists, evaluate)


def ensemble(**options: Any) -> Ensemble:
    given: dict[str, Any] = {
        "potential": RingPolymer(Soft(0.05, START_A), BEADS), "integrator": PILE(1.0, 400.0, 50.0, BEADS),
        "masses_amu": of_beads(np.full(6, 2.0), BEADS), "n_steps": 200, "observe_every": 10,
        "campaign_seed": 5, "width": 3, "chunk": 2, "skin_A": 0.1,
        "observers": (energies, frames, potential_info), "cell_A": np.eye(3) * CELL_A,
    }  # fmt: skip
    return Ensemble(**{**given, **options})


def starts(numbers: list[int]) -> tuple[np.ndarray, np.ndarray]:
    begun = [
        start_of_ring(START_A, np.full(6, 2.0), 400.0, BEADS, rng(0, "ring", number)) for number in numbers
    ]
    return np.stack([x for x, _ in begun]), np.stack([v for _, v in begun])


@pytest.fixture(scope="module")
def five() -> dict[int, Trajectory]:
    return {t.trajectory_id: t for t in ensemble().run(*starts([0, 1, 2, 3, 4]))}


def test_a_ring_is_to_the_bit_as_alone(five: dict[int, Trajectory]) -> None:
    (alone,) = ensemble().run(*starts([3]), [3])
    order = [4, 2, 0]
    for found in (alone, *ensemble().run(*starts(order), order)):
        expected = five[found.trajectory_id]
        assert found.n_steps == 200
        for name, rows in expected.rows.items():
            assert found.rows[name].tobytes() == rows.tobytes(), name
    assert not np.array_equal(five[0].rows["positions"], five[1].rows["positions"])


def test_every_bead_has_the_lists_of_its_place(five: dict[int, Trajectory]) -> None:
    """After many rebuilds, some with more room, the energy is that of all beads and their nearest images."""
    for ended in five.values():
        beads = ended.rows["positions"][-1].reshape(BEADS, -1, 3)
        assert np.linalg.norm(beads - beads.mean(axis=0), axis=-1).max() > 0.12
        apart = beads[:, None] - beads[:, :, None]
        apart -= CELL_A * np.round(apart / CELL_A)
        near = np.maximum(1 - (apart**2).sum(axis=-1) / REACH_A**2, 0.0) ** 3
        pairs = 0.5 * (near.sum() - BEADS * len(START_A))
        springs = 0.5 * 0.05 * ((beads - START_A) ** 2).sum()
        assert ended.rows["energy"][-1] == pytest.approx(springs + pairs, abs=1e-9)
        assert ended.rows["highest_A"][-1] == pytest.approx(beads[..., 2].max(axis=1).mean(), abs=1e-12)


def test_what_acts_on_a_centroid_takes_all_pairs() -> None:
    held = RingPolymer(Springs(1.0), BEADS, Soft(1.0))
    with pytest.raises(
        UserError, match="on the centroid with a cutoff of 3 Å; give one that takes all pairs"
    ):
        list(ensemble(potential=held, cell_A=None).run(*starts([0])))
