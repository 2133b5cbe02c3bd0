"""What the engine promises: trajectories that know nothing of their batch, and runs that can be killed."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.md.verlet import VelocityVerlet as AseVerlet

from frazil.errors import UserError
from frazil.md import ensemble as engine
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import Langevin, NoseHooverChain, OwnTemperature, VelocityVerlet
from frazil.md.observers import Distances, energies, frames, potential_info
from frazil.md.state import State, System, padded_positions
from frazil.md.trajectory import Outcome, Trajectory
from frazil.potentials.analytic.simple import Springs
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.calculator import GMNNCalculator
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.potential import GMNN
from frazil.potentials.interface import Batched, Evaluation
from frazil.pytrees import pytree
from frazil.units import fs, kB

ARCHITECTURE = Architecture(
    ("C", "O"), cutoff_A=4.0, n_radial=2, hidden=(8, 8), heads=("energy", "charge"), precision="float64"
)
MODEL = Model(ARCHITECTURE, initialize_committee(ARCHITECTURE, 3, 2), {})
ATOMS = Atoms("CO" * 3, positions=[[0, 0, 0], [0, 0, 1.2], [3, 0, 0], [3, 1.2, 0], [0, 3, 0], [1, 3.5, 0.2]])
MASSES = ATOMS.get_masses()
ONE = GMNN.of(replace(MODEL, parameters=jax.tree.map(lambda x: x[:1], MODEL.parameters)), ATOMS.numbers)
BOTH = GMNN.of(MODEL, ATOMS.numbers)
SEEN = (energies, frames, potential_info)


def starts(n: int, temperature_K: float = 300.0, atoms: Atoms = ATOMS) -> tuple[np.ndarray, np.ndarray]:
    """n starts; the i-th is the same for every n."""
    spread = np.sqrt(kB * temperature_K / atoms.get_masses())[:, None]
    velocities = [spread * np.random.default_rng(i).normal(size=(len(atoms), 3)) for i in range(n)]
    return np.repeat(atoms.positions[None], n, axis=0), np.array(velocities)


def base(**options: Any) -> Ensemble:
    given = {
        "potential": ONE, "integrator": Langevin(0.5, 300.0, 100.0), "masses_amu": MASSES, "n_steps": 60,
        "observe_every": 10, "campaign_seed": 5, "observers": (energies, frames), "width": 4, "chunk": 2,
        "skin_A": 0.1,
    }  # fmt: skip
    return Ensemble(**{**given, **options})


def by_id(trajectories: Any) -> dict[int, Trajectory]:
    return {t.trajectory_id: t for t in trajectories}


def same(one: Trajectory, other: Trajectory) -> bool:
    return (
        (one.outcome, one.n_steps) == (other.outcome, other.n_steps)
        and one.rows.keys() == other.rows.keys()
        and all(one.rows[name].tobytes() == other.rows[name].tobytes() for name in one.rows)
    )


@pytest.fixture(scope="module")
def ten() -> dict[int, Trajectory]:
    return by_id(base().run(*starts(10)))


def test_slot_order_chunk_and_number_change_no_bit(ten: dict[int, Trajectory]) -> None:
    positions, velocities = starts(10)
    alone = by_id(base().run(positions[7:8], velocities[7:8], [7]))
    assert same(alone[7], ten[7])
    order = [9, 3, 0, 7, 5, 1]
    mixed = by_id(base(chunk=3).run(positions[order], velocities[order], order))
    assert all(same(mixed[i], ten[i]) for i in order)
    assert not same(ten[0], ten[1])
    assert [t.n_steps for t in ten.values()] == [60] * 10
    assert (ten[0].rows["step"] == np.arange(0, 61, 10)).all()
    # Another width is other code: equal to rounding.
    wide = by_id(base(width=10).run(positions, velocities))
    for i in range(10):
        np.testing.assert_allclose(wide[i].rows["positions"], ten[i].rows["positions"], atol=1e-10)


def test_noise_belongs_to_seed_and_id(ten: dict[int, Trajectory]) -> None:
    positions, velocities = starts(1)
    other_id = next(iter(base().run(positions, velocities, [1])))
    other_seed = next(iter(base(campaign_seed=6).run(positions, velocities, [0])))
    for other in (other_id, other_seed):
        assert not np.array_equal(other.rows["positions"][1:], ten[0].rows["positions"][1:])


class Killed(Exception):
    pass


def test_a_killed_run_goes_on_to_the_same_bytes(ten: dict[int, Trajectory], tmp_path: Path) -> None:
    file, done, chunks = tmp_path / "run.npz", {}, []

    def kill() -> None:
        chunks.append(1)
        if len(chunks) % 4 == 0:
            raise Killed

    for _ in range(10):
        todo = [i for i in range(10) if i not in done]
        positions, velocities = (values[todo] for values in starts(10))
        try:
            for t in base().run(positions, velocities, todo, checkpoint=file, after_chunk=kill):
                done[t.trajectory_id] = t
            break
        except Killed:
            assert file.exists()
    assert len(chunks) > 8
    assert all(same(done[i], ten[i]) for i in range(10))
    assert not file.exists()


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.npz"

    def kill() -> None:
        raise Killed

    with pytest.raises(Killed):
        list(base().run(*starts(2), checkpoint=file, after_chunk=kill))
    with pytest.raises(UserError, match="another model, setting or version of the code; remove it"):
        list(base(campaign_seed=6).run(*starts(2), checkpoint=file))
    with pytest.raises(UserError, match="another model, setting or version of the code; remove it"):
        list(base(potential=BOTH).run(*starts(2), checkpoint=file))
    with pytest.raises(UserError, match="holds trajectory 0 from another start"):
        list(base().run(*starts(2, 200.0), checkpoint=file))


def test_a_damaged_checkpoint_counts_as_none(
    ten: dict[int, Trajectory], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.npz"
    for content in (b"", bytes(5000), b"PK"):
        file.write_bytes(content)
        assert same(next(iter(base().run(*starts(1), checkpoint=file))), ten[0])
    told = capsys.readouterr().err.splitlines()
    assert [line.split(" (")[0] for line in told] == [f"warning: {file} is damaged"] * 3


def far(state: State, system: System) -> jax.Array:
    distance = jnp.linalg.norm(state.positions[0] - state.positions[1])
    return jnp.where(distance > 8.01, Outcome.FIRST_OF_EXPERIMENT + 1, 0)


def test_stop_rules_free_slots_for_those_that_wait() -> None:
    """Ten free pairs that part at different speeds, in two slots: each ends at its own time."""
    speeds = np.linspace(0.004, 0.04, 10) / fs
    positions = np.tile([[0.0, 0, 0], [3.0, 0, 0]], (10, 1, 1))
    velocities = np.zeros((10, 2, 3))
    velocities[:, 1, 0] = speeds
    free = Ensemble(
        Springs(0.0), VelocityVerlet(1.0), np.ones(2), 1000, 10, stop=far, width=2, chunk=7,
        observers=(Distances(((0, 1),)),),
    )  # fmt: skip
    found = by_id(free.run(positions, velocities))
    for i, speed in enumerate(speeds * fs):
        expected = 10 * (int(5.01 / speed / 10) + 1)
        assert found[i].n_steps == min(expected, 1000)
        assert found[i].outcome == (17 if expected <= 1000 else Outcome.FINISHED)
        np.testing.assert_allclose(found[i].rows["distances"][:, 0], 3 + speed * found[i].rows["step"])
    at_once = by_id(free.run(positions + np.array([[0.0, 0, 0], [9.0, 0, 0]]), velocities))
    assert all((t.outcome, t.n_steps) == (17, 0) for t in at_once.values())


def test_the_host_may_watch(ten: dict[int, Trajectory]) -> None:
    seen: dict[int, list[int]] = {}

    def watch(identity: int, rows: dict[str, np.ndarray]) -> int:
        seen.setdefault(identity, []).extend(rows["step"].tolist())
        late = np.flatnonzero(rows["step"] >= 30 + 10 * identity)
        return int(late[0]) if len(late) else -1

    for chunk in (2, 5):
        seen.clear()
        found = by_id(base(chunk=chunk).run(*starts(3), watch=watch))
        for i in range(3):
            assert (found[i].outcome, found[i].n_steps) == (Outcome.WATCHED, 30 + 10 * i)
            assert seen[i][: 4 + i] == list(range(0, 31 + 10 * i, 10))
            full = ten[i].rows["positions"][: 4 + i]
            assert found[i].rows["positions"].tobytes() == full.tobytes()


def test_a_broken_replica_disturbs_no_other(ten: dict[int, Trajectory]) -> None:
    positions, velocities = starts(10)
    velocities[3] = 1.7e308
    found = by_id(base().run(positions, velocities))
    assert found[3].outcome == Outcome.NON_FINITE
    assert not np.isfinite(found[3].rows["positions"][-1]).all() or not np.isfinite(
        found[3].rows["energy"][-1]
    )
    assert all(same(found[i], ten[i]) for i in range(10) if i != 3)


def test_crowded_lists_are_done_again_with_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Atoms that fly together overflow lists made for the thin start; they fly on as if they had not."""
    grid = np.stack(np.meshgrid(*[np.arange(3.0)] * 3), -1).reshape(-1, 3) - 1.0
    atoms = Atoms("CO" * 13 + "C", positions=4.5 * grid)
    velocities = -0.03 / fs * grid
    parameters = jax.tree.map(lambda x: x[:1], MODEL.parameters)
    nothing = replace(MODEL, parameters={**parameters, "scale": 0 * parameters["scale"]})
    potential = GMNN.of(nothing, atoms.numbers)
    crowd = base(
        potential=potential,
        masses_amu=atoms.get_masses(),
        integrator=VelocityVerlet(1.0),
        n_steps=60,
        width=2,
    )
    widened: list[int] = []
    original = engine._Run._widen

    def widen(run: Any, crowded: np.ndarray) -> None:
        original(run, crowded)
        widened.append(run.capacity)

    monkeypatch.setattr(engine._Run, "_widen", widen)
    (found,) = crowd.run(atoms.positions[None], velocities[None])
    assert widened
    assert widened[-1] >= 24
    np.testing.assert_allclose(found.rows["positions"][-1], (4.5 - 0.03 * 60) * grid, atol=1e-9)

    # Where lists may not grow, the replica ends, and the one beside it goes on.
    monkeypatch.setattr(engine, "MOST_SLOTS", 8)
    both = by_id(crowd.run(np.repeat(atoms.positions[None], 2, axis=0), np.array([velocities, -velocities])))
    assert both[0].outcome == Outcome.CROWDED
    assert 0 < both[0].n_steps < 60
    assert (both[1].outcome, both[1].n_steps) == (Outcome.FINISHED, 60)


@pytree
@dataclass(frozen=True)
class Hungry:
    """Springs on a device that has memory for two replicas."""

    stiffness: float
    most: int = field(metadata={"static": True})
    cutoff_A = None
    n_atoms = None

    def batched(self, n_replicas: int) -> Batched:
        ready = Springs(self.stiffness).batched(n_replicas)

        def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
            if n_replicas > self.most:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
            return ready.evaluate(lists, positions)

        return Batched(ready.arrange, evaluate)


def test_a_batch_too_large_for_memory_is_halved(capsys: pytest.CaptureFixture[str]) -> None:
    options = {"integrator": VelocityVerlet(1.0), "width": 8}
    whole = by_id(base(potential=Springs(1.0), **options).run(*starts(11)))
    halved = by_id(base(potential=Hungry(1.0, 2), **options).run(*starts(11)))
    message = capsys.readouterr().err
    assert "warning: the device has no memory for 8 replicas; going on with 4" in message
    assert "going on with 2" in message
    for i in range(11):
        np.testing.assert_allclose(halved[i].rows["positions"], whole[i].rows["positions"], atol=1e-10)


def test_gmnn_moves_as_under_ase() -> None:
    (found,) = base(
        potential=BOTH,
        integrator=VelocityVerlet(0.5),
        observers=(energies, frames, potential_info),
        n_steps=40,
    ).run(*starts(1))
    atoms = ATOMS.copy()
    atoms.set_velocities(starts(1)[1][0])
    atoms.calc = GMNNCalculator(MODEL)
    AseVerlet(atoms, 0.5 * fs).run(40)
    np.testing.assert_allclose(found.rows["positions"][-1], atoms.positions, atol=1e-9)
    assert found.rows["energy"][-1] == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(found.rows["dipole_e_A"][-1], atoms.get_dipole_moment(), atol=1e-8)
    assert found.rows["energy_spread_eV"][-1] == pytest.approx(atoms.calc.results["energy_spread"], abs=1e-8)
    spread = atoms.calc.results["forces_spread"].max()
    assert found.rows["force_spread_eV_per_A"][-1] == pytest.approx(spread, abs=1e-8)


def test_a_periodic_crystal_keeps_its_energy() -> None:
    crystal = Atoms("CO", positions=[[0, 0, 0], [0.6, 0.6, 0.6]], cell=[4.7] * 3, pbc=True).repeat(2)
    crystal.positions += np.random.default_rng(0).normal(scale=0.02, size=(16, 3))
    one = replace(MODEL, parameters=jax.tree.map(lambda x: x[:1], MODEL.parameters))
    ensemble = base(
        potential=GMNN.of(one, crystal.numbers), integrator=VelocityVerlet(0.5), n_steps=200,
        masses_amu=crystal.get_masses(), cell_A=crystal.cell.array, width=1,
    )  # fmt: skip
    (found,) = ensemble.run(*starts(1, 500.0, crystal))
    total = found.rows["energy"] + found.rows["kinetic_energy"]
    assert np.abs(total - total[0]).max() < 0.01 * np.abs(found.rows["energy"] - total[0]).max()
    crystal.positions = found.rows["positions"][-1]
    crystal.calc = GMNNCalculator(one)
    assert found.rows["energy"][-1] == pytest.approx(crystal.get_potential_energy(), abs=1e-9)
    assert "dipole_e_A" not in {**found.rows, **crystal.calc.results}, "a cell's dipole has many values"


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({}, {"positions": (0, 4, 2, np.nan)}, "positions of atom 4 in start 0 are not finite"),
        ({}, {"velocities": (1, 2, 0, np.inf)}, "velocities of atom 2 in start 1 are not finite"),
        ({}, {"positions": (1, 0, 2, 1.2)}, "trajectory 1: atoms 0 and 1 are 0 Å apart"),
        ({"n_steps": 15}, {}, "15 steps observed every 10; steps must be a multiple"),
        ({"width": 0}, {}, "0 slots, 2 observations in a chunk; both must be positive"),
        ({"masses_amu": MASSES[:4]}, {}, r"positions of shape \(2, 6, 3\) for 4 masses"),
        ({"masses_amu": 0 * MASSES}, {}, "masses from 0 to 0 amu; they must be positive"),
        (
            {"potential": Springs(1.0), "cell_A": np.eye(3)},
            {},
            "a cell with a potential that takes all pairs",
        ),
    ],
)
def test_bad_input(options: dict[str, Any], change: dict[str, Any], message: str) -> None:
    given = dict(zip(("positions", "velocities"), starts(2), strict=True))
    for name, (*place, value) in change.items():
        given[name][tuple(place)] = value
    with pytest.raises(UserError, match=message):
        list(base(**options).run(given["positions"], given["velocities"]))


def test_bad_numbers_of_things() -> None:
    positions, velocities = starts(2)
    with pytest.raises(UserError, match="2 positions, 2 velocities and 1 different trajectory ids"):
        list(base().run(positions, velocities, [3, 3]))
    with pytest.raises(UserError, match="a potential made for 6 atoms and 4 masses"):
        list(base(masses_amu=MASSES[:4]).run(positions[:, :4], velocities[:, :4]))
    with pytest.raises(UserError, match="the structure has H, the model knows C O"):
        GMNN.of(MODEL, np.array([1, 6]))


def test_structures_of_a_batch_run_as_alone(tmp_path: Path) -> None:
    structures, temperatures = [ATOMS, ATOMS[:4]], [100.0, 200.0, 300.0, 150.0, 250.0]
    kinds, drives = [0, 1, 1, 0, 1], np.array([[1.0, 0.0], [0.0, 1.0]])
    n_atoms = len(ATOMS)
    chain = OwnTemperature(NoseHooverChain(0.5, 300.0, 50.0))
    options = {
        "integrator": chain,
        "observers": (energies, frames, potential_info),
        "removed": "drift and rotation",
    }
    mixed = base(
        potential=replace(GMNN.of_several(MODEL, [atoms.numbers for atoms in structures]), drive=drives),
        masses_amu=np.array([np.pad(atoms.get_masses(), (0, n_atoms - len(atoms))) for atoms in structures]),
        width=2,
        **options,
    )
    velocities = [starts(5, atoms=structures[kind])[1][i] for i, kind in enumerate(kinds)]

    def run(ensemble: Ensemble, ids: list[int], **more: Any) -> dict[int, Trajectory]:
        x = [padded_positions(structures[kinds[i]].positions, n_atoms) for i in ids]
        v = [np.pad(velocities[i], ((0, n_atoms - len(velocities[i])), (0, 0))) for i in ids]
        own = {"temperatures_K": [temperatures[i] for i in ids], "kinds": [kinds[i] for i in ids]}
        return by_id(ensemble.run(np.array(x), np.array(v), ids, **own, **more))

    together = run(mixed, [0, 1, 2, 3, 4])
    for i, kind in enumerate(kinds):
        atoms = structures[kind]
        potential = replace(GMNN.of(MODEL, atoms.numbers), drive=drives[kind])
        alone = base(potential=potential, masses_amu=atoms.get_masses(), width=1, **options)
        (own,) = alone.run(atoms.positions[None], velocities[i][None], temperatures_K=[temperatures[i]])
        for name, rows in own.rows.items():
            found = together[i].rows[name]
            found = found[:, : len(atoms)] if name in ("positions", "velocities") else found
            np.testing.assert_allclose(found, rows, rtol=1e-9, atol=1e-9, err_msg=f"{name} of {i}")
    turned = run(mixed, [4, 2, 0, 3, 1])
    assert all(same(together[i], turned[i]) for i in together), "the order and the slots change no bit"
    calls = iter(range(99))

    with pytest.raises(Killed):
        run(mixed, [0, 1, 2, 3, 4], checkpoint=tmp_path / "c.npz", after_chunk=lambda: kill(next(calls)))
    # What had ended before the kill was handed out; the rest goes on.
    rest = run(mixed, [0, 1, 2, 3, 4], checkpoint=tmp_path / "c.npz")
    assert rest
    assert all(same(together[i], rest[i]) for i in rest)
    with pytest.raises(UserError, match="kinds of trajectories go with masses of several structures"):
        mixed.run(np.zeros((1, 6, 3)), np.zeros((1, 6, 3)), temperatures_K=[100.0])
    with pytest.raises(UserError, match="want a potential of several, and no frozen atoms"):
        replace(mixed, frozen=np.zeros(6, bool)).run(np.zeros((1, 6, 3)), np.zeros((1, 6, 3)), kinds=[0])


def kill(call: int) -> None:
    if call == 3:
        raise Killed
