"""Time and memory of training through rollouts against single updates: python benchmarks/rollouts.py

For GM-NN and EGNN: the CPU time of one update of S = 1, 2, 4, 8 over S single ones, and the compiled
program's scratch memory. For GM-NN an update of ordinary training beside; with --unjitted one without jit.
"""

import argparse
import time
from functools import partial
from typing import Any

import jax
import numpy as np
from ase import Atoms

from frazil.data.trajectories import LabelledTrajectory
from frazil.learning.egnn import EgnnNetwork
from frazil.learning.gmnn import GmnnNetwork, loss_and_gradient_of
from frazil.learning.rollout import Loss, cut, gather, loss_and_gradient
from frazil.learning.settings import GmnnTraining
from frazil.potentials.egnn.architecture import Architecture as Egnn
from frazil.potentials.gmnn.architecture import Architecture as Gmnn
from frazil.potentials.interface import jit


def trajectory(n_molecules: int, n_frames: int) -> LabelledTrajectory:
    """A grid of CO that moves a little; labels of no meaning."""
    random = np.random.default_rng(0)
    side = int(np.ceil(n_molecules ** (1 / 3)))
    centres = 3.6 * np.indices((side, side, side)).reshape(3, -1).T[:n_molecules]
    positions = np.repeat(centres, 2, axis=0)
    positions[1::2, 2] += 1.13
    moved = positions + 0.01 * random.normal(size=(n_frames, *positions.shape)).cumsum(axis=0)
    zeros = np.zeros_like(moved)
    atoms = Atoms("CO" * n_molecules, positions)
    return LabelledTrajectory("made", atoms, 0.5, moved, zeros, zeros, np.zeros(n_frames))


def measured(function: Any, arguments: tuple[Any, ...], repeats: int) -> tuple[float, float]:
    """Return CPU seconds of a call, and MiB of scratch memory."""
    compiled = function.lower(*arguments).compile()
    scratch = compiled.memory_analysis().temp_size_in_bytes / 2**20
    jax.block_until_ready(compiled(*arguments))
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        jax.block_until_ready(compiled(*arguments))
        times.append(time.process_time() - begin)
    return float(np.median(times)), scratch


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--molecules", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--lengths", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--kinds", nargs="+", default=["egnn", "gmnn"])
    parser.add_argument("--unjitted", action="store_true")
    given = parser.parse_args()
    networks: dict[str, Any] = {
        "egnn": EgnnNetwork(Egnn(("C", "O"), n_features=64, n_waves=64)),
        "gmnn": GmnnNetwork(Gmnn(("C", "O"), cutoff_A=5.0, n_radial=4, hidden=(64, 64))),
    }
    run = trajectory(given.molecules, max(given.lengths) + given.batch)
    for kind in given.kinds:
        network = networks[kind]
        ready = cut(network, [run], max(given.lengths), 0.3)
        parameters = network.start(ready.frames, 1)
        chosen = ready.starts[: given.batch]
        one = gather(ready, chosen, 1, given.batch)
        single = None
        if kind == "gmnn":
            batch = jax.tree.map(lambda leaf: leaf[0], one.frames)
            ordinary = jit(
                partial(loss_and_gradient_of, network.architecture, GmnnTraining(n_members=1, seed=1))
            )
            seconds, scratch = measured(ordinary, (parameters, batch), given.repeats)
            print(f"{kind} ordinary: {1e3 * seconds:.2f} ms, {scratch:.1f} MiB", flush=True)
        for length in given.lengths:
            rollouts = gather(ready, chosen, length, given.batch)
            update = jit(partial(loss_and_gradient, network, Loss()))
            seconds, scratch = measured(update, (parameters, rollouts), given.repeats)
            single = single or seconds
            print(
                f"{kind} S = {length}: {1e3 * seconds:.2f} ms, {seconds / (length * single):.2f} of S single "
                f"updates, {scratch:.1f} MiB",
                flush=True,
            )
        if given.unjitted:
            begin = time.process_time()
            jax.block_until_ready(loss_and_gradient(network, Loss(), parameters, one))
            print(f"{kind} S = 1 without jit: {1e3 * (time.process_time() - begin):.0f} ms", flush=True)


if __name__ == "__main__":
    main()
