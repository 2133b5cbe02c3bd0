#!/usr/bin/env python3
"""How a campaign scales over cores: processes of the engine side by side, each with replicas of its own.

    benchmarks/cores.py                 # 1, 2, 4, … cores, up to all that the process may use

A pipeline's task runs its shard in one thread, so that more cores take more tasks. One process is pinned to
each core and runs the same replicas again and again for the same wall time: a GM-NN of the default size
(gmnn_speed.py). What n cores do together over n times what one does alone is what sharing memory and clock
leaves of a core. Counts of cores are taken in turn.
"""

import argparse
import multiprocessing as mp
import os
import time
from multiprocessing.synchronize import Barrier

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from gmnn_speed import ELEMENTS, Engine, ice

from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.potential import GMNN

N_STEPS, SKIN_A, TIMESTEP_fs = 20, 0.5, 0.5


def work(core: int, molecules: int, replicas: int, wall_s: float, rounds: list[int], barrier: Barrier,
         done: "mp.Queue[tuple[int, int, float]]") -> None:  # fmt: skip
    """Run on one core in every round that has it; put (round, steps of an atom, wall time in s)."""
    os.sched_setaffinity(0, {core})
    atoms, architecture = ice(molecules), Architecture(ELEMENTS)
    network = GMNN.of(Model(architecture, initialize_committee(architecture, 1, 1), {}), atoms.numbers)
    engine = Engine(network, atoms, TIMESTEP_fs, N_STEPS, SKIN_A, replicas)
    for index, here in enumerate(rounds):
        barrier.wait()
        if not here:
            continue
        begin, runs = time.perf_counter(), 0
        while (taken := time.perf_counter() - begin) < wall_s:
            engine.run()
            runs += 1
        done.put((index, runs * engine.steps, taken))


def main() -> None:
    """Print a line for each number of cores."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--molecules", type=int, default=49, help="CO of the half sphere (default: 49)")
    parser.add_argument("--replicas", type=int, default=8, help="of a process (default: 8)")
    parser.add_argument("--seconds", type=float, default=8, help="wall time of a round (default: 8)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each number (default: 5)")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    numbers = [2**i for i in range(len(cores).bit_length()) if 2**i < len(cores)] + [len(cores)]
    rounds = numbers * given.repeats
    context = mp.get_context("spawn")
    barrier, done = context.Barrier(len(cores)), context.Queue()
    size = given.molecules, given.replicas, given.seconds
    processes = [
        context.Process(target=work, args=(core, *size, [i < n for n in rounds], barrier, done))
        for i, core in enumerate(cores)
    ]
    for process in processes:
        process.start()
    rates = np.zeros(len(rounds))
    for _ in range(sum(rounds)):
        index, steps, taken = done.get()
        rates[index] += steps / taken
    for process in processes:
        process.join()
    turns = rates.reshape(given.repeats, len(numbers))
    print(f"{2 * given.molecules + 2} atoms, {given.replicas} replicas a process")
    for column, n in enumerate(numbers):
        share = turns[:, column] / (n * turns[:, 0])
        print(
            f"{n:3d} cores: {np.median(turns[:, column]):.3g} atom-steps per second, of n times one core"
            f" {np.median(share):.3f} ({share.min():.3f} to {share.max():.3f})"
        )


if __name__ == "__main__":
    main()
