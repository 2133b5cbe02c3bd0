#!/usr/bin/env python3
"""Atom-steps per second and core against atoms and replicas, peers beside: a table, and its figure.

taskset -c 0 benchmarks/throughput.py --folder FOLDER    # of se_e2_a_speed.py: a model of the paper's size
benchmarks/throughput.py --draw                          # the figure again, of the table that is there

Processor time of whole runs of velocity Verlet, all ways of one size in turn, medians with their range. GM-NN
has the default network and the half spheres of gmnn_speed.py: the engine with 1, 8 and 64 replicas, and
LAMMPS that asks frazil for forces. se_e2_a has the model of FOLDER and the same half spheres without H2: the
engine in float32, and LAMMPS with the compressed model. What was not measured here stands in the table with
its source: ASE with apax, and with a NEP (nep_speed.py), which need environments of their own; and ring
polymers of nine atoms on springs beside i-PI (rings.py), which say what either program adds to a potential.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas
from ase.units import fs
from gmnn_in_lammps import InLammps
from gmnn_speed import ELEMENTS, Engine, ice

from frazil.md.lammps import LammpsSession
from frazil.potentials.deepmd.se_e2_a import DeepPotSE
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.potential import GMNN
from frazil.report import plot
from frazil.systems.co import co_types

IMAGES = Path(__file__).resolve().parents[1] / "docs/images"
HERE, DOCS = "measured", "docs/benchmarks.md, GM-NN"
RINGS, OF_RINGS = "ring polymers on springs", "docs/benchmarks.md, ring polymers beside i-PI"
ENGINE = "frazil's engine"
GMNN_MOLECULES, SE_MOLECULES = (12, 24, 49, 100, 200, 488, 1000), (8, 16, 25, 50, 100, 200)
REPLICAS = (1, 8, 64)
IN_LAMMPS = (24, 49, 200, 488)
"""Sizes at which LAMMPS asks for forces of a GM-NN: a line needs no more."""
TIMESTEP_fs = {"GM-NN": 0.2, "se_e2_a": 0.1}
STEPS = {"GM-NN": 100, "se_e2_a": 400}
"""Of a run; of one with many replicas a part of them, at least FEWEST_STEPS."""
FEWEST_STEPS = 20
NEP, IPI = "ASE + NEP, calorine 4.1", "i-PI 3.3, ffdirect"
OTHERS = [
    ("GM-NN", "ASE + apax 0.14", 100, 1, 54.2, DOCS), ("GM-NN", "ASE + apax 0.14", 978, 1, 106.6, DOCS),
    ("GM-NN", NEP, 100, 1, 17.57, DOCS), ("GM-NN", NEP, 978, 1, 22.59, DOCS),
    (RINGS, ENGINE, 9, 32, 1.22 / 9, OF_RINGS), (RINGS, ENGINE, 9, 64, 1.24 / 9, OF_RINGS),
    (RINGS, ENGINE, 9, 512, 1.06 / 9, OF_RINGS), (RINGS, IPI, 9, 32, 88 / 9, OF_RINGS),
]  # fmt: skip
"""Of rings the replicas are beads; a bead's step of nine atoms is nine atoms' steps."""
LOOKS = {
    (ENGINE, 1): (plot.BLUE, "o"), (ENGINE, 8): (plot.GREEN, "s"), (ENGINE, 64): (plot.ORANGE, "^"),
    ("LAMMPS, compressed", 1): (plot.VERMILLION, "D"), ("LAMMPS, frazil's forces", 1): (plot.PURPLE, "D"),
    ("ASE + apax 0.14", 1): (plot.BLACK, "D"), (NEP, 1): (plot.SKY, "D"), (IPI, 1): (plot.VERMILLION, "D"),
}  # fmt: skip
COLUMNS = ["model", "program", "n_atoms", "n_replicas", "us_per_atom_step", "low_us", "high_us", "source"]


def n_steps(model: str, replicas: int) -> int:
    """Return the steps of one run of so many replicas."""
    return max(FEWEST_STEPS, STEPS[model] // replicas) // 2 * 2


def of_gmnn(n_molecules: int) -> dict[tuple[str, int], Callable[[], float]]:
    """Return the ways to run a GM-NN by (program, replicas); each gives µs per atom and step of one run."""
    architecture = Architecture(ELEMENTS)
    model = Model(architecture, initialize_committee(architecture, 1, 1), {})
    atoms = ice(n_molecules)
    ways: dict[tuple[str, int], Callable[[], float]] = {}
    for replicas in REPLICAS:
        steps = n_steps("GM-NN", replicas)
        potential = GMNN.of(model, atoms.numbers)
        engine = Engine(potential, atoms, TIMESTEP_fs["GM-NN"], steps, 0.5, replicas)
        ways[ENGINE, replicas] = timed(engine)
    if n_molecules in IN_LAMMPS:
        lammps = InLammps(model, atoms, TIMESTEP_fs["GM-NN"], STEPS["GM-NN"])
        ways["LAMMPS, frazil's forces", 1] = timed(lammps)
    return ways


def of_se_e2_a(n_molecules: int, folder: Path) -> dict[tuple[str, int], Callable[[], float]]:
    """Return the ways to run the model of a folder, as ``of_gmnn`` does."""
    atoms = ice(n_molecules)[:-2]
    types = co_types(n_molecules, 0)
    timestep_fs, steps = TIMESTEP_fs["se_e2_a"], STEPS["se_e2_a"]
    lammps = LammpsSession(folder / "model/model.pb", n_molecules)

    def usual() -> float:
        begin = process_time()
        list(lammps.run(atoms.positions, atoms.get_velocities() * fs, types, timestep_fs, steps, steps // 2))
        return (process_time() - begin) / steps / len(atoms) * 1e6

    ways: dict[tuple[str, int], Callable[[], float]] = {("LAMMPS, compressed", 1): usual}
    for replicas in REPLICAS:
        potential = DeepPotSE.of(folder / "model/frozen.pb", types, "float32")
        own = n_steps("se_e2_a", replicas)
        ways[ENGINE, replicas] = timed(Engine(potential, atoms, timestep_fs, own, 2.0, replicas))
    return ways


def timed(engine: Engine | InLammps) -> Callable[[], float]:
    """Return what runs an engine once and gives µs per atom and step."""

    def run() -> float:
        engine.run()
        return engine.times[-1]

    return run


def measured(folder: Path | None, repeats: int) -> pandas.DataFrame:
    """Run all ways of all sizes; return the table, with what others' programs took."""
    rows: list[tuple[object, ...]] = [(*row[:-1], row[-2], row[-2], row[-1]) for row in OTHERS]
    cases: list[tuple[str, int]] = [("GM-NN", n) for n in GMNN_MOLECULES]
    cases += [("se_e2_a", n) for n in SE_MOLECULES if folder]
    for model, n_molecules in cases:
        ways = of_gmnn(n_molecules) if model == "GM-NN" else of_se_e2_a(n_molecules, folder or Path())
        n_atoms = 2 * n_molecules + 2 * (model == "GM-NN")
        times: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
        for repeat in range(repeats + 1):  # the first fills caches
            for way, run in ways.items():
                took_us = run()
                if repeat:
                    times[way].append(took_us)
        for (program, replicas), found in times.items():
            rows.append((model, program, n_atoms, replicas, np.median(found), min(found), max(found), HERE))
            print(model, program, n_atoms, replicas, f"{np.median(found):.2f}", flush=True)
    return pandas.DataFrame(rows, columns=COLUMNS).sort_values(COLUMNS[:4])


def draw(table: pandas.DataFrame, folder: Path) -> None:
    """Draw atom-steps per second into a folder, with the table: against atoms, a panel for each model, and
    of ring polymers against beads.
    """
    canvas, ((*panels,),) = plot.new(1, 3, width_in=10.2, height_in=3.8, share_y=True)
    ticks = {"GM-NN": (20, 50, 100, 200, 500, 1000, 2000), "se_e2_a": (20, 50, 100, 200, 500)}
    for axes, model in zip(panels, (*ticks, RINGS), strict=True):
        own = table[table["model"] == model]
        size = "n_replicas" if model == RINGS else "n_atoms"
        lines = own.assign(line=1 if model == RINGS else own["n_replicas"]).sort_values(size)
        for key, line in lines.groupby(["program", "line"]):
            program, replicas = str(key[0]), int(str(key[1]))
            rate = 1e3 / line[["us_per_atom_step", "high_us", "low_us"]].to_numpy()
            several = program == ENGINE and model != RINGS
            label = f"{ENGINE}, {replicas} replica{'s' * (replicas > 1)}" if several else program
            colour, marker = LOOKS[program, replicas]
            axes.errorbar(
                line[size], rate[:, 0], abs(rate[:, 1:] - rate[:, :1]).T, label=label, color=colour,
                marker=marker, linestyle="-" if program == ENGINE else ":",
            )  # fmt: skip
        axes.set(
            xscale="log", yscale="log", ylim=(0.1, 2e4), title=model,
            xticks=ticks.get(model, (32, 64, 128, 256, 512)),
            xlabel="beads of nine atoms together" if model == RINGS else "atoms in a replica",
        )  # fmt: skip
        axes.set_xticks([], minor=True)
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.legend(loc="lower left")
    panels[0].set_ylabel("10³ atom-steps per second and core")
    plot.save(canvas, table, folder, "throughput", "")
    (folder / "throughput.pdf").unlink()


def main() -> None:
    """Measure, or read what was measured, and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, help="model and states of se_e2_a_speed.py (none: GM-NN alone)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of each way, in turn (default: 3)")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of throughput.csv and .svg")
    given = parser.parse_args()
    if given.draw:
        table = pandas.read_csv(given.out / "throughput.csv")
    else:
        table = measured(given.folder, given.repeats)
    draw(table, given.out)


if __name__ == "__main__":
    main()
