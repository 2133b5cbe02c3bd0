#!/usr/bin/env python3
"""Dipoles of a crystal learnt from Born charges or from dipoles: errors by number of frames.

    born_charges.py OUT_FOLDER

Sixteen ions of rock salt, drawn from the harmonic ensemble at 300 K; the truth knows dipoles and their
slopes. One network of multi-valued dipoles, the same start for all arms of a seed, Adam with a cosine's rate,
as many steps for each arm. A label of Born charges holds 9 numbers for each atom where a dipole holds 3 in
all, so dipoles of more frames stand beside those of as many. Writes errors.csv.
"""

import argparse
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas
from stages import labelled

import frazil
from frazil.analysis.normal_modes import intensities_of
from frazil.experiments.dipoles import Dipoles
from frazil.learning.batches import prepare
from frazil.learning.gmnn import start_parameters
from frazil.learning.settings import GmnnTraining
from frazil.potentials.analytic.rock_salt import NUMBERS, rock_salt
from frazil.potentials.gmnn import reference
from frazil.potentials.gmnn.architecture import Architecture, arms_of, fold, member
from frazil.potentials.neighbours import of_atoms
from frazil.potentials.registry import load
from frazil.potentials.surface import members_of
from frazil.systems.minima import model_minimum
from frazil.systems.starts import canonical

TEMPERATURE_K, N_TEST, MOST = 300.0, 60, 480
ARMS = (
    *((by, n) for n in (5, 20, 60) for by in ("dipoles", "Born charges")),
    ("dipoles", 240), ("dipoles", MOST),
)  # fmt: skip
ELEMENTS = ("Na", "Cl")
NETWORK = Architecture(
    elements=ELEMENTS, cutoff_A=5.5, n_radial=3, hidden=(16, 16), precision="float64",
    heads=("energy", *arms_of(ELEMENTS)), oxidation=tuple(float(NUMBERS[one]) for one in ELEMENTS),
)  # fmt: skip


def dipole(parameters: Any, species: Any, lists: Any, positions: Any) -> Any:
    """The dipole (3,), e Å, of one structure by the network."""
    weights = fold(NETWORK, parameters)
    _, per_atom = reference.outputs(NETWORK, weights, species, lists, positions)
    return reference.multivalued_dipole(NETWORK, species, per_atom, lists, positions)


def both(parameters: Any, species: Any, lists: Any, positions: Any) -> tuple[Any, Any]:
    """Dipoles (n, 3) and Born charges (n, natoms, 3, 3) of structures (n, natoms, 3)."""

    def one(own: Any, at: Any) -> tuple[Any, Any]:
        found = partial(dipole, parameters, species, own)
        return found(at), jnp.swapaxes(jax.jacrev(found)(at), 0, 1)

    return jax.vmap(one)(lists, positions)


def trained(start: Any, by: str, frames: dict[str, Any], species: Any, n_steps: int, batch: int) -> Any:
    """Parameters after so many steps of Adam on frames; sizes of both labels' parts are alike."""
    schedule = optax.cosine_decay_schedule(0.03, n_steps)
    optimizer = optax.adam(schedule)
    n, sizes = len(frames["positions"]), {name: float(np.var(frames[name])) for name in ("dipoles", "born")}

    def loss(parameters: Any, rows: Any) -> Any:
        own = jax.tree.map(lambda leaf: leaf[rows], (frames["lists"], frames["positions"]))
        if by == "dipoles":
            found = jax.vmap(partial(dipole, parameters, species))(*own)
            return ((found - frames["dipoles"][rows]) ** 2).mean() / sizes["dipoles"]
        _, born = both(parameters, species, *own)
        return ((born - frames["born"][rows]) ** 2).mean() / sizes["born"]

    @jax.jit
    def step(parameters: Any, state: Any, rows: Any) -> Any:
        slope = jax.grad(loss)(parameters, rows)
        fixed = {name: jnp.zeros_like(slope[name]) for name in ("feature_mean", "feature_scale")}
        changes, state = optimizer.update({**slope, **fixed}, state)
        return optax.apply_updates(parameters, changes), state

    parameters, state, random = start, optimizer.init(start), np.random.default_rng(0)
    for _ in range(n_steps):
        rows = random.choice(n, min(batch, n), replace=False)
        parameters, state = step(parameters, state, rows)
    return parameters


def main() -> None:
    """Train all arms, print and write their errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--n-seeds", type=int, default=2)
    parser.add_argument("--n-steps", type=int, default=600)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    crystal, source = rock_salt(2, 1, 1), load("rock-salt")
    minimum = model_minimum(crystal, "rock salt", members_of(source, crystal))
    truth, calculator, frames = Dipoles(source, crystal), frazil.load("rock-salt"), []
    for number in range(MOST + N_TEST):
        atoms = crystal.copy()
        atoms.positions, _ = canonical(minimum, TEMPERATURE_K, 1, "born-charges", number)
        frames.append(labelled(atoms, calculator, dipole=truth(atoms.positions)))
    lists = [of_atoms(atoms, NETWORK.cutoff_A, room=1.0) for atoms in frames]
    room = max(own.index.shape[1] for own in lists)
    lists = [of_atoms(atoms, NETWORK.cutoff_A, capacity=room) for atoms in frames]
    every = {
        "lists": jax.tree.map(lambda *leaves: jnp.stack(leaves), *lists),
        "positions": jnp.stack([atoms.positions for atoms in frames]),
        "dipoles": jnp.stack([truth(atoms.positions) for atoms in frames]),
        "born": jnp.stack([truth.born_charges(atoms.positions) for atoms in frames]),
    }
    test = jax.tree.map(lambda leaf: leaf[MOST:], every)
    species = jnp.asarray(NETWORK.species(crystal.numbers))
    numbers = jnp.asarray(NETWORK.oxidation)[species]
    around = test["dipoles"] - jnp.einsum("a,nax->nx", numbers, test["positions"])
    print(f"the part of neighbours: dipoles {float(around.std()):.4f} e Å, Born charges beyond the oxidation "
          f"numbers {float((test['born'] - numbers[:, None, None] * jnp.eye(3)).std()):.4f} e")  # fmt: skip
    at_rest = of_atoms(minimum.atoms, NETWORK.cutoff_A, capacity=room)
    strength = intensities_of(minimum.modes.displacements, truth.born_charges(minimum.atoms.positions)).max()
    rows = []
    for seed in range(given.n_seeds):
        for by, n in ARMS:
            taken = jax.tree.map(lambda leaf, n=n: leaf[:n], every)
            made = prepare(NETWORK, frames[:n])
            start = member(start_parameters(NETWORK, GmnnTraining(seed=seed, n_members=1), made), 0)
            begun = time.process_time()
            found = trained(start, by, taken, species, given.n_steps, 10)
            dipoles, born = jax.jit(both)(found, species, test["lists"], test["positions"])
            off = np.asarray(dipoles - test["dipoles"])
            _, slopes = both(found, species, jax.tree.map(lambda leaf: leaf[None], at_rest),
                             jnp.asarray(minimum.atoms.positions)[None])  # fmt: skip
            line = intensities_of(minimum.modes.displacements, np.asarray(slopes[0])).max()
            rows.append(
                {
                    "seed": seed, "labels": by, "n_frames": n,
                    "numbers": n * {"dipoles": 3, "Born charges": 9 * len(crystal)}[by],
                    "dipole_rmse_e_A": float(np.sqrt((off**2).mean())),
                    "born_rmse_e": float(jnp.sqrt(((born - test["born"]) ** 2).mean())),
                    "intensity_over_truth": float(line / strength), "cpu_s": time.process_time() - begun,
                }
            )  # fmt: skip
            print(pandas.DataFrame(rows[-1:]).to_string(header=len(rows) == 1, index=False), flush=True)
            pandas.DataFrame(rows).to_csv(given.out / "errors.csv", index=False)
    by_arm = pandas.DataFrame(rows).drop(columns="seed").groupby(["n_frames", "labels"], sort=False)
    print(by_arm.mean().to_string())


if __name__ == "__main__":
    main()
