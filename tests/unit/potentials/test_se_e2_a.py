"""se_e2_a, compiled and in JAX, against DeePMD-kit's own evaluation of the same frozen file."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from ase import Atoms

from frazil.errors import UserError
from frazil.md import ensemble as engine
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import energies, frames
from frazil.potentials.deepmd.model import DeepPotential
from frazil.potentials.deepmd.se_e2_a import DeepPotSE, Table, read_graph
from frazil.potentials.interface import jit
from frazil.potentials.neighbours import allocate
from frazil.potentials.registry import load
from frazil.systems.co import MOLECULE_MASSES_amu, deepmd_types, set_excited
from models import random_frames


@jit
def evaluate(potential: DeepPotSE, neighbours: object, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
    ready = potential.batched(len(positions))
    found = ready.evaluate(ready.arrange(neighbours), positions)  # type: ignore[arg-type]
    return found.energies, found.forces


@pytest.mark.parametrize("name", ["frozen.pb", "model.pb"])
def test_energies_and_forces_are_deepmd_kits(tiny_model: Path, name: str) -> None:
    """Of the network, and of the table that ``dp compress`` makes of it: to rounding in JAX."""
    theirs = DeepPotential(tiny_model / name)
    for frame in (random_frames(1, seed=4)[0], random_frames(1, n_molecules=2, seed=5, first_id=1)[0]):
        types = deepmd_types(frame)
        potential = DeepPotSE.of(tiny_model / name, types)
        assert isinstance(potential.embedding[0][0], Table) == (name == "model.pb")
        assert list(potential.type_map) == theirs.type_map
        assert potential.cutoff_A == theirs.cutoff_A
        # Three replicas at once, moved apart; far molecules leave places of the lists empty.
        positions = frame.positions + np.random.default_rng(1).normal(0, 0.05, (3, len(frame), 3))
        positions[2, -2:] += [4.0, 0.0, 0.0]
        lists = [allocate(x, theirs.cutoff_A, 0.5, capacity=8) for x in positions]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *lists)
        energy, forces = theirs.evaluate(positions, types)
        for own, error in ((potential, 1e-6), (replace(potential, compiled=()), 1e-10)):
            ours, our_forces = evaluate(own, stacked, positions)
            np.testing.assert_allclose(ours, energy, rtol=0, atol=error)
            np.testing.assert_allclose(our_forces, forces, rtol=0, atol=error)


def test_it_runs_in_the_engine(tiny_model: Path) -> None:
    frame = random_frames(1, seed=4)[0]
    potential = DeepPotSE.of(tiny_model / "frozen.pb", deepmd_types(frame))
    masses = np.tile(MOLECULE_MASSES_amu, 3)
    ensemble = Ensemble(potential, VelocityVerlet(0.2), masses, 40, 20, observers=(energies, frames), width=2)
    (done,) = ensemble.run(frame.positions[None], np.zeros((1, 6, 3)))
    theirs, _ = DeepPotential(tiny_model / "frozen.pb").evaluate(done.rows["positions"], deepmd_types(frame))
    np.testing.assert_allclose(done.rows["energy"], theirs, atol=1e-10)
    total = done.rows["energy"] + done.rows["kinetic_energy"]
    np.testing.assert_allclose(total, total[0], atol=2e-3)


def test_excited_molecules_share_a_batch_and_a_compilation(tiny_residual: Path) -> None:
    """Replicas with another excited molecule each: as DeePMD-kit has them, in any slot, compiled once."""
    frame = random_frames(1, seed=4)[0]
    tagged = [frame.copy() for _ in range(3)]
    for molecule, own in enumerate(tagged):
        set_excited(own, molecule)
    potential = load(tiny_residual).potential(tagged)
    kinds, width = [2, 0, 1, 1, 0, 2, 2], 4
    positions = frame.positions + np.random.default_rng(1).normal(0, 0.02, (len(kinds), 6, 3))
    ensemble = Ensemble(
        potential, VelocityVerlet(0.2), np.tile(MOLECULE_MASSES_amu, (3, 3)), 20, 10,
        observers=(energies, frames), width=width,
    )  # fmt: skip
    rest = np.zeros_like(positions)
    found = {t.trajectory_id: t for t in ensemble.run(positions, rest, kinds=kinds)}
    compiled = engine._advance._cache_size()
    theirs = DeepPotential(tiny_residual / "without_bonds_frozen.network")
    for number, kind in enumerate(kinds):
        known, _ = theirs.evaluate(found[number].rows["positions"], deepmd_types(tagged[kind]))
        np.testing.assert_allclose(found[number].rows["energy"], known, rtol=0, atol=1e-6)
    turned = [6, 3, 0, 5, 1, 4, 2]
    again = ensemble.run(positions[turned], rest, turned, kinds=[kinds[i] for i in turned])
    for trajectory in again:
        own = found[trajectory.trajectory_id]
        assert trajectory.rows["positions"].tobytes() == own.rows["positions"].tobytes()
    other = replace(ensemble, potential=load(tiny_residual).potential(tagged[::-1]))
    list(other.run(positions, rest, kinds=kinds))
    assert engine._advance._cache_size() == compiled, "other excited molecules compile nothing anew"
    with pytest.raises(UserError, match="those of a batch must have equally many of each"):
        load(tiny_residual).potential([tagged[0], Atoms("CO" * 3, positions=frame.positions)])


def test_what_cannot_be_read(tiny_model: Path, tmp_path: Path) -> None:
    frozen = tiny_model / "frozen.pb"
    with pytest.raises(UserError, match=r"types \[0, 4\] for .* which has 4: C O X1 X2"):
        DeepPotSE.of(frozen, [0, 4])
    (tmp_path / "text.pb").write_text(json.dumps({"no": "graph"}))
    with pytest.raises(UserError, match=r"text\.pb is no frozen"):
        read_graph(tmp_path / "text.pb")
    content = frozen.read_bytes()
    for old, new, message in (
        (b'"se_e2_a"', b'"se_e2_r"', "has descriptor 'se_e2_r'; read here is only 'se_e2_a'"),
        (b'"standard"', b'"linears_"', "has model type 'linears_'; read here is only"),
        (b'"numb_fparam":0', b'"numb_fparam":1', "has frame parameters 1; read here is only 0"),
    ):
        assert old in content
        (tmp_path / "other.pb").write_bytes(content.replace(old, new))
        with pytest.raises(UserError, match=message):
            DeepPotSE.of(tmp_path / "other.pb", [0, 1])
