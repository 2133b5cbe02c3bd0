#!/usr/bin/env python3
"""A water taken out of ice Ih: q-TIP4P/F, and a committee of GM-NN that it has taught, side by side.

    ice.py OUT_FOLDER frames train truth committee quantum compare

``frames``: 16 molecules without a dipole, all windows from full coupling to none sampled under q-TIP4P/F with
classical nuclei (``--rings``: and rings of 16 beads); crystal, crystal without the molecule, and molecule
alone are labelled by it. ``train``: the steps of a user, from frames to a committee of three. ``truth`` and
``committee``: the experiment hydrogen_bond, classical, from the same seed. ``quantum``: the truth with path
integrals, directly and by the mass integral; ``quantum-committee``: the committee with path integrals.
``compare``: both beside each other.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas
import scipy.stats
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from stages import experiment, run_stages

from frazil.data.frames import load_frames, write_frames
from frazil.data.split import prepare
from frazil.experiments.hydrogen_bond.settings import HydrogenBond
from frazil.experiments.hydrogen_bond.windows import Subject, path_of, potential_of, subject_of
from frazil.labels.imports.step import import_dataset
from frazil.learning import gmnn
from frazil.learning.settings import GmnnArchitecture, GmnnTraining
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import PILE
from frazil.md.observers import frames
from frazil.md.rings import of_beads, start_of_ring
from frazil.potentials.interface import jit
from frazil.potentials.registry import load
from frazil.seeds import rng
from frazil.settings import load as load_settings
from frazil.systems.ice import build

SEED, LEVEL = 1, "q-tip4p-f"
MOST_eV_per_A = 20.0
"""Of a frame that is learnt: at small couplings molecules overlap, whose energies have no weight."""
COMMON: dict[str, Any] = {
    "temperature_K": 240.0, "molecule_atoms": [0, 1, 2], "timestep_fs": 0.5, "restraint_eV_per_A2": 1.0,
    "n_restraint_windows": 3, "n_coupling_windows": 10, "observe_every_fs": 5.0,
}  # fmt: skip
CLASSICAL: dict[str, Any] = {
    "n_beads": [1],
    "n_trajectories": 8,
    "equilibration_fs": 200.0,
    "duration_fs": 2000.0,
}
QUANTUM: dict[str, Any] = {
    "n_beads": [1, 46],
    "n_trajectories": 4,
    "timestep_fs": 0.65,
    "observe_every_fs": 5.2,
    "equilibration_fs": 104.0,
    "duration_fs": 416.0,
}


def asked(out: Path, model: str, more: dict[str, Any]) -> dict[str, Any]:
    """Settings of the experiment under the truth or the committee."""
    folder = out / "model"
    if model == "truth":
        folder = out / "q-tip4p-f"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.json").write_text(json.dumps({"kind": LEVEL}))
    return {**COMMON, **more, "structure": str(out / "ice.extxyz"), "model": str(folder)}


def sampled(
    subject: Subject, settings: HydrogenBond, n_beads: int, n_steps: int, every: int, runs: int
) -> Any:
    """Yield window, run, step and positions (natoms, 3) of beads in all windows."""
    windows, atoms = path_of(settings, subject.periodic), subject.atoms
    masses = of_beads(atoms.get_masses(), n_beads)
    ensemble = Ensemble(
        potential_of(subject, settings, windows, n_beads, None),
        PILE(settings.timestep_fs, settings.temperature_K, 100.0, n_beads), np.stack([masses] * len(windows)),
        n_steps, every, SEED, observers=(frames,), width=len(windows) * runs,
    )  # fmt: skip
    random = rng(SEED, "ice", n_beads)
    starts = [
        start_of_ring(atoms.positions, atoms.get_masses(), settings.temperature_K, n_beads, random)
        for _ in range(runs * len(windows))
    ]
    x, v = (np.stack([start[part] for start in starts]) for part in (0, 1))
    kinds = list(range(len(windows))) * runs
    for ended in ensemble.run(x, v, kinds=kinds):
        number = ended.trajectory_id
        for step, ring in zip(ended.rows["step"], ended.rows["positions"], strict=True):
            if step >= n_steps // 4:
                for bead in ring.reshape(n_beads, -1, 3)[:: max(n_beads // 4, 1)]:
                    yield kinds[number], number // len(windows), int(step), bead


def make_frames(out: Path, rings: bool) -> None:
    """Write labelled.extxyz: the three parts of each frame, by trajectory."""
    print(build((2, 1, 1), 4.518, 7.356, SEED, out / "ice.extxyz"))
    settings = load_settings(HydrogenBond, asked(out, "truth", CLASSICAL))
    subject, found = subject_of(settings), []
    modes = subject.minimum.modes.wavenumbers_cm1
    path = path_of(settings, subject.periodic)
    print(f"at rest {modes.min():.0f} to {modes.max():.0f} cm⁻¹, path of {len(path)} windows")
    label = {
        name: _labeller(part)
        for name, part in {
            "whole": subject.atoms, "rest": subject.atoms[subject.rest], "molecule": _free(subject)
        }.items()
    }  # fmt: skip
    for n_beads, n_steps, every, runs in ((1, 2000, 100, 1), *(((16, 1000, 125, 1),) if rings else ())):
        for window, run_, step, positions in sampled(subject, settings, n_beads, n_steps, every, runs):
            info = {
                "trajectory_id": f"{n_beads}-{window}-{run_}-{step // (4 * every)}",
                "time_fs": step * settings.timestep_fs,
            }
            for name, own in (("whole", slice(None)), ("rest", subject.rest), ("molecule", subject.molecule)):
                found.append(label[name](positions[own], {**info, "window": window, "part": name}))
    largest = [float(np.abs(frame.get_forces()).max()) for frame in found]
    print(f"{len(found)} frames, largest forces {np.percentile(largest, [50, 95, 100]).round(1)} eV/Å")
    write_frames(out / "labelled.extxyz", found)


def _free(subject: Subject) -> Atoms:
    found = subject.atoms[subject.molecule]
    found.pbc = False
    found.cell[:] = 0
    return found


def _labeller(atoms: Atoms) -> Any:
    potential = load(LEVEL).potential(atoms)
    evaluate = jit(lambda x: potential.batched(1).evaluate(None, x)[:2])

    def label(positions: np.ndarray, info: dict[str, Any]) -> Atoms:
        energies, forces = evaluate(positions[None])
        found = Atoms(atoms.numbers, positions, cell=atoms.cell, pbc=atoms.pbc)
        found.calc = SinglePointCalculator(found, energy=float(energies[0]), forces=np.asarray(forces[0]))
        found.info = {**info, "label_level": LEVEL, "label_code": "benchmark"}
        return found

    return label


def train(out: Path, n_epochs: int, cutoff_A: float, n_members: int) -> None:
    """The steps of a user, from frames to a committee's folder, without frames of molecules in each other."""
    given = (out / "taken.extxyz", out / "used.extxyz", out / "imports")
    frames_, largest = load_frames(out / "labelled.extxyz"), MOST_eV_per_A
    taken = [atoms for atoms in frames_ if np.abs(atoms.get_forces()).max() <= largest]
    print(f"{len(taken)} of {len(frames_)} frames have no force above {largest:g} eV/Å")
    write_frames(given[0], taken)
    print(import_dataset(*given, on_suspect="keep", periodic="mixed"))
    prepare([out / "used.extxyz"], out / "data", "trajectory", 0.8, 0.1, molecules="any", periodic="mixed")
    settings = GmnnTraining(
        seed=SEED, n_members=n_members, n_epochs=n_epochs, batch_size=8, learning_rate=0.03
    )
    shape = GmnnArchitecture(cutoff_A=cutoff_A, n_radial=5, hidden=(48, 48))
    print(gmnn.train(out / "data", out / "model", out / "checkpoints", settings, shape))


def hydrogen_bond(out: Path, name: str, values: dict[str, Any]) -> None:
    """Run the experiment, and print its tables."""
    results = experiment(out / name, "hydrogen_bond", values, SEED)
    for table in ("free_energies", "windows", "passes", "quantum"):
        file = results / f"{table}.csv"
        print(pandas.read_csv(file).to_string() if file.is_file() else f"no {table}")


def compare(out: Path, one: str, other: str) -> None:
    """The committee less the truth, by step: by common passes, with what its members differ by."""
    truth, learnt = (pandas.read_csv(out / name / "results/free_energies.csv") for name in (one, other))
    both = truth.merge(learnt, on=["n_beads", "step"], suffixes=("", "_learnt"))
    both["difference_meV"] = both["mbar_meV_learnt"] - both["mbar_meV"]
    both["sampling_meV"] = np.hypot(both["mbar_se_meV"], both["mbar_se_meV_learnt"])
    members = int(pandas.read_csv(out / other / "results/passes.csv")["member"].nunique())
    both["members_meV"] = both["model_std_meV_learnt"] / members**0.5
    told = ["mbar_meV", "mbar_meV_learnt", "difference_meV", "sampling_meV", "members_meV"]
    print(both[["n_beads", "step", *told]].to_string())
    print(f"Student's t of {members} members: {scipy.stats.t.ppf(0.975, members - 1):.1f}")


def main() -> None:
    """Run the stages that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("stages", nargs="+")
    parser.add_argument("--n-epochs", type=int, default=150)
    parser.add_argument("--n-members", type=int, default=3)
    parser.add_argument("--cutoff-A", type=float, default=5.0)
    parser.add_argument("--rings", action="store_true", help="frames of beads too, for quantum-committee")
    parser.add_argument("--equilibration-fs", type=float, help="of the runs, in place of their own")
    parser.add_argument("--duration-fs", type=float, help="the same")
    parser.add_argument("--n-trajectories", type=int, help="the same")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    times = {name: getattr(given, name) for name in ("equilibration_fs", "duration_fs", "n_trajectories")}
    own = {name: value for name, value in times.items() if value is not None}
    short = {"classical": {**CLASSICAL, **own}, "quantum": {**QUANTUM, **own}}
    stages = {
        "frames": lambda: make_frames(given.out, given.rings),
        "train": lambda: train(given.out, given.n_epochs, given.cutoff_A, given.n_members),
        "truth": lambda: hydrogen_bond(given.out, "truth", asked(given.out, "truth", short["classical"])),
        "committee": lambda: hydrogen_bond(
            given.out, "committee", asked(given.out, "model", short["classical"])
        ),
        "quantum": lambda: hydrogen_bond(
            given.out, "quantum", asked(given.out, "truth", {**short["quantum"], "mass_integral": True})
        ),
        "quantum-committee": lambda: hydrogen_bond(
            given.out, "quantum-committee", asked(given.out, "model", short["quantum"])
        ),
        "compare": lambda: compare(given.out, "truth", "committee"),
        "compare-quantum": lambda: compare(given.out, "quantum", "quantum-committee"),
    }
    run_stages(stages, given.stages)


if __name__ == "__main__":
    main()
