#!/usr/bin/env python3
"""Learning curves of GM-NN committees on a shipped data set: errors on fixed frames, number trained on.

    learning_curves.py LABELLED.extxyz OUT_FOLDER --sizes 50,100,200,0 [--interaction] [--dipole]

Some of the trajectories are held out (every other of their frames says which weights are best, the rest are
judged); of the others the first n in a random order are trained on (0: all). ``--interaction`` takes the
curves of the diatomic molecules out first; isolated ones far from their minimum are then left out. Writes
learning_curve.csv, its figure, and model-N.h5 of each size. Members differ by their first weights alone.
"""

import argparse
import tempfile
from pathlib import Path

import ase.data
import numpy as np
import pandas
from ase import Atoms

from frazil.checkpoints import TimeLimit
from frazil.data.frames import load_frames, write_frames
from frazil.files import sha256_of, write_atomic
from frazil.labels.interaction import curves, interaction
from frazil.learning.gmnn import fit, weigh
from frazil.learning.settings import GmnnTraining
from frazil.potentials.gmnn.architecture import Architecture
from frazil.potentials.gmnn.committee import Committee
from frazil.potentials.gmnn.files import Model, write_model
from frazil.report.plot import CYCLE, new
from frazil.seeds import rng

NEAR_MINIMUM_eV = 0.25
"""Isolated molecules above this are left out of interactions."""
LOW_eV = 0.03
"""Errors of energies are also given for frames less than this above the lowest of their composition."""
AT_ONCE = 64
NEVER = 10**9


def frames_of(given: argparse.Namespace) -> list[Atoms]:
    """Return the frames to learn, in the order of the file."""
    frames = load_frames(given.labelled)
    if not given.interaction:
        return frames
    own = curves(frames)
    lowest = {name: float(curve(curve.x).min()) for name, curve in own.items()}
    kept = [
        atoms
        for atoms in frames
        if len(atoms) > 2
        or atoms.get_potential_energy() < lowest[atoms.get_chemical_formula()] + NEAR_MINIMUM_eV
    ]
    return [a for a in interaction(kept, own) if a.get_potential_energy() < given.highest_eV]


def divided(frames: list[Atoms], part: float, seed: int) -> tuple[list[Atoms], list[Atoms], list[Atoms]]:
    """Return frames to train on, to stop by, and to judge by: by whole trajectories."""
    names = sorted({str(atoms.info["trajectory_id"]) for atoms in frames if len(atoms) > 2})
    order = rng(seed, "held-out").permutation(len(names))
    away = {names[i] for i in order[: round(len(names) * part)]}
    held = [atoms for atoms in frames if str(atoms.info["trajectory_id"]) in away]
    rest = [atoms for atoms in frames if str(atoms.info["trajectory_id"]) not in away]
    shuffled = [rest[i] for i in rng(seed, "order").permutation(len(rest))]
    return shuffled, held[::2], held[1::2]


def errors(committee: Committee, frames: list[Atoms], lowest_eV: dict[str, float]) -> dict[str, float]:
    """Return root mean square errors of the committee's mean, and of the members on average."""
    found = [p for i in range(0, len(frames), AT_ONCE) for p in committee.predict(frames[i : i + AT_ONCE])]
    energy = np.array([a.get_potential_energy() for a in frames])
    off = np.array([p.energies_eV for p in found]) - energy[:, None]
    sizes = np.array([len(a) for a in frames])[:, None]
    above = energy - [lowest_eV[a.get_chemical_formula()] for a in frames]
    wrong = np.concatenate(
        [p.forces_eV_per_A - a.get_forces() for p, a in zip(found, frames, strict=True)], axis=1
    )
    rms = lambda x: float(np.sqrt((x**2).mean()))  # noqa: E731
    row = {
        "energy_rmse_meV_per_atom": 1e3 * rms(off.mean(axis=1, keepdims=True) / sizes),
        "member_energy_rmse_meV_per_atom": 1e3 * rms(off / sizes),
        "low_energy_rmse_meV": 1e3 * rms(off.mean(axis=1)[above < LOW_eV])
        if (above < LOW_eV).any()
        else np.nan,
        "force_rmse_eV_per_A": rms(wrong.mean(axis=0)),
        "member_force_rmse_eV_per_A": rms(wrong),
    }
    if found[0].dipoles_e_A is not None:
        dipoles = np.array([p.dipoles_e_A.mean(axis=0) for p in found if p.dipoles_e_A is not None])
        row["dipole_rmse_e_A"] = rms(dipoles - [a.get_dipole_moment() for a in frames])
    return row


def main() -> None:
    """Train on each number of frames, write table and figure."""
    add = (cli := argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])).add_argument
    add("labelled", type=Path)
    add("out", type=Path)
    add("--sizes", default="50,100,200,0")
    add("--interaction", action="store_true")
    add("--dipole", action="store_true")
    add("--held-out", type=float, default=1 / 8, help="part of the trajectories")
    add("--highest-eV", type=float, default=2.0, help="interactions above are left out")
    add("--steps", type=int, default=8000, help="of the optimizer, whatever the number of frames")
    add("--batch-size", type=int, default=16)
    add("--learning-rate", type=float, default=0.02)
    add("--energy-weight", type=float, default=1000.0)
    add("--force-weight", type=float, default=100.0)
    add("--weight-scale-eV", type=float, default=0.0)
    add("--cutoff-A", type=float, default=6.0)
    add("--n-radial", type=int, default=3)
    add("--n-basis", type=int, default=9)
    add("--hidden", default="64,64")
    add("--n-members", type=int, default=3)
    add("--seed", type=int, default=1)
    given = cli.parse_args()
    rest, stop, judge = divided(frames_of(given), given.held_out, given.seed)
    lowest: dict[str, float] = {}
    for atoms in (*rest, *stop, *judge):
        name = atoms.get_chemical_formula()
        lowest[name] = min(lowest.get(name, np.inf), atoms.get_potential_energy())
    if given.weight_scale_eV:
        weigh([*rest, *stop, *judge], given.weight_scale_eV)
    numbers = sorted({int(n) for atoms in rest for n in atoms.numbers})
    architecture = Architecture(
        elements=tuple(ase.data.chemical_symbols[n] for n in numbers),
        heads=("energy", "charge") if given.dipole else ("energy",),
        cutoff_A=given.cutoff_A,
        n_radial=given.n_radial,
        n_basis=given.n_basis,
        hidden=tuple(int(width) for width in given.hidden.split(",")),
    )
    rows = []
    for size in sorted(int(n) or len(rest) for n in given.sizes.split(",")):
        train = rest[:size]
        n_epochs = max(1, given.steps * given.batch_size // len(train))
        settings = GmnnTraining(
            n_members=given.n_members,
            seed=given.seed,
            n_epochs=n_epochs,
            batch_size=given.batch_size,
            learning_rate=given.learning_rate,
            energy_weight=given.energy_weight,
            force_weight=given.force_weight,
            dipole_weight=10.0 if given.dipole else 0.0,
            patience=n_epochs,
            checkpoint_every=NEVER,
        )
        with tempfile.TemporaryDirectory() as folder, TimeLimit() as limit:
            found = fit(architecture, settings, train, stop, Path(folder) / "training.npz", limit)
        metadata = {
            "label_level": str(train[0].info["label_level"]),
            "training_data_sha256": sha256_of(given.labelled),
            "n_frames": len(train),
        }
        write_model(given.out / f"model-{len(train)}.h5", architecture, found.best, metadata)
        committee = Committee(Model(architecture, found.best, metadata))
        rows.append({"n_frames": len(train), "n_judged": len(judge)} | errors(committee, judge, lowest))
        print(pandas.DataFrame(rows[-1:]).to_string(index=False), flush=True)
    write_frames(given.out / "judged.extxyz", judge)
    table = pandas.DataFrame(rows)
    with write_atomic(given.out / "learning_curve.csv") as partial:
        table.to_csv(partial, index=False, float_format="%.5g")
    canvas, axes = new(columns=2, width_in=6.4, height_in=2.6)
    for axis, quantity, label in (
        (axes[0][0], "energy_rmse_meV_per_atom", "energy error (meV/atom)"),
        (axes[0][1], "force_rmse_eV_per_A", "force error (eV/Å)"),
    ):
        axis.loglog(table["n_frames"], table[quantity], "o-", color=CYCLE[0], label="committee's mean")
        axis.loglog(table["n_frames"], table[f"member_{quantity}"], "s--", color=CYCLE[1], label="one member")
        axis.set(xlabel="frames trained on", ylabel=label)
        axis.legend()
    with write_atomic(given.out / "learning_curve.png") as partial:
        canvas.savefig(partial, format="png", dpi=110)


if __name__ == "__main__":
    main()
