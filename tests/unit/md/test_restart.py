"""Every integrator and thermostat goes on from a checkpoint to the same bytes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from frazil.md import integrators
from frazil.md.ensemble import Ensemble
from frazil.md.fields import Drive
from frazil.md.integrators import (
    PILE,
    Berendsen,
    Driven,
    Integrator,
    Langevin,
    NoseHooverChain,
    OwnTemperature,
    VelocityVerlet,
)
from frazil.md.observers import energies, frames
from frazil.md.rings import of_beads
from frazil.potentials.analytic.simple import LennardJones
from frazil.potentials.interface import beads_of
from frazil.potentials.rings import RingPolymer
from frazil.potentials.transform import FieldCoupling
from frazil.pytrees import pytree

CASES = [
    VelocityVerlet(0.5),
    Langevin(0.5, 300.0, 100.0),
    Berendsen(0.5, 300.0, 100.0),
    NoseHooverChain(0.5, 300.0, 50.0),
    PILE(0.5, 300.0, 100.0, 4),
    OwnTemperature(Berendsen(0.5, 300.0, 100.0)),
    OwnTemperature(NoseHooverChain(0.5, 300.0, 50.0)),
    Driven(VelocityVerlet(0.5), Drive(0.3, 10.0, 10.0, 5.0)),
]


@pytree
@dataclass(frozen=True)
class Charged(LennardJones):
    """Atoms with a charge each, none together."""

    def info(self, positions_A: jax.Array) -> dict[str, jax.Array]:
        return {"dipole_e_A": jnp.array([0.1, -0.1] * 4) @ positions_A}


CUBE = 3.0 * np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)


class Killed(Exception):
    pass


def kill() -> None:
    raise Killed


def test_every_integrator_is_here() -> None:
    public = {c for n, c in vars(integrators).items() if hasattr(c, "begin") and not n.startswith("_")}
    assert public - {Integrator} == {type(case) for case in CASES}


@pytest.mark.parametrize("integrator", CASES, ids=str)
def test_twice_n_steps_are_n_and_a_restart(integrator: Integrator, tmp_path: Path) -> None:
    """Killed after each chunk of 20 of 40 steps, in a new call of ``run`` each time."""
    field: Any = LennardJones(0.01, 2.5)
    n_beads = beads_of(integrator)
    if isinstance(integrator, Driven):
        field = FieldCoupling(Charged(0.01, 2.5), [0.0, 0.0, 1.0])
    ensemble = Ensemble(
        field if n_beads is None else RingPolymer(field, n_beads), integrator,
        of_beads(np.arange(8) + 10.0, n_beads or 1), 40, 10, campaign_seed=3,
        observers=(energies, frames), width=2, chunk=2,
    )  # fmt: skip
    positions = of_beads(np.repeat(CUBE[None], 2, axis=0), n_beads or 1)
    velocities = np.random.default_rng(0).normal(scale=0.05, size=positions.shape)
    own = {"temperatures_K": [200.0, 400.0]} if isinstance(integrator, OwnTemperature) else {}
    whole = {t.trajectory_id: t for t in ensemble.run(positions, velocities, **own)}
    file = tmp_path / "half.npz"
    with pytest.raises(Killed):
        list(ensemble.run(positions, velocities, **own, checkpoint=file, after_chunk=kill))
    assert file.exists()
    seen: list[np.ndarray] = []

    def watch(_: int, rows: dict[str, np.ndarray]) -> int:
        seen.append(rows["step"])
        return -1

    rest = {
        t.trajectory_id: t for t in ensemble.run(positions, velocities, **own, checkpoint=file, watch=watch)
    }
    # What the checkpoint holds is shown again, then only the second half is run.
    assert [steps.tolist() for steps in seen] == 2 * [[0, 10, 20]] + 2 * [[30, 40]]
    for number in (0, 1):
        assert (rest[number].outcome, rest[number].n_steps) == (whole[number].outcome, 40)
        for name, rows in whole[number].rows.items():
            assert rest[number].rows[name].tobytes() == rows.tobytes(), name
    assert not np.array_equal(whole[0].rows["positions"], whole[1].rows["positions"])
