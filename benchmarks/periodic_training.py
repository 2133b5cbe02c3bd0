#!/usr/bin/env python3
"""A committee learnt in small cells of α-CO, beside the truth that labelled it: errors, stress, dynamics.

    periodic_training.py OUT_FOLDER [--cutoff-A 6.5] [--n-epochs 200] [--run-ps 6]

Frames are Langevin dynamics of the truth (``co-crystal``) at 15 and 40 K, in cells of 2×2×2 (three lattice
constants) and 2×2×3 unit cells. They go through the steps of a user: label-frames, import-frames,
prepare-dataset, train-gmnn. Opposite faces of the cells are nearer than two cutoffs, so that atoms see
several images. Judged are held-out trajectories, and frames of 3×3×3 unit cells, a size that was never seen.
From two of the latter both the truth and the committee's mean run at constant energy in the engine. Writes
errors.csv and runs.csv.
"""

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np
import pandas
from ase import Atoms, units

import frazil
from frazil.analysis.settings import Spectrum
from frazil.analysis.spectra import vibrational_density
from frazil.data.frames import load_frames, write_frames
from frazil.data.split import prepare
from frazil.labels.imports.step import import_dataset
from frazil.labels.label import label
from frazil.labels.shards import label_file
from frazil.learning import gmnn
from frazil.learning.settings import GmnnArchitecture, GmnnTraining
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import Langevin, VelocityVerlet
from frazil.md.observers import energies, frames
from frazil.potentials.analytic.co_crystal import COCrystal, alpha_co, of_crystal
from frazil.potentials.registry import load

TIMESTEP_fs, DAMPING_fs, TEMPERATURES_K = 1.0, 100.0, (15.0, 40.0)
LATTICES_A, MIDDLE_A = (5.61, 5.65, 5.75), 5.65
OBSERVE_EVERY, SETTLE_fs, SAMPLE_fs, BETWEEN_fs = 50, 1000, 2500, 50
HELD_K, N_STARTS, EVERY_fs = 30.0, 2, 2
GPa = units.GPa


def cell_of(lattice_A: float, repeats: tuple[int, int, int]) -> Atoms:
    """α-CO of some unit cells."""
    return alpha_co(1, lattice_A).repeat(repeats)


def sampled(atoms: Atoms, temperature_K: float, seed: int, length_fs: int, n: int) -> list[Any]:
    """Trajectories of the truth at a temperature, observed every OBSERVE_EVERY fs."""
    run = Ensemble(
        of_crystal(atoms), Langevin(TIMESTEP_fs, temperature_K, DAMPING_fs), atoms.get_masses(), length_fs,
        OBSERVE_EVERY, seed, observers=(frames,), width=n,
    )  # fmt: skip
    start = np.stack([atoms.positions] * n)
    return sorted(run.run(start, np.zeros_like(start)), key=lambda ended: ended.trajectory_id)


def training_frames() -> list[Atoms]:
    """Frames of all cells and temperatures, by trajectory."""
    found = []
    cells = [(lattice, (2, 2, 2)) for lattice in LATTICES_A] + [(MIDDLE_A, (2, 2, 3))]
    for number, (lattice_A, repeats) in enumerate(cells):
        atoms = cell_of(lattice_A, repeats)
        for temperature_K in TEMPERATURES_K:
            for ended in sampled(atoms, temperature_K, number, SETTLE_fs + SAMPLE_fs, 2):
                name = f"{lattice_A}-{repeats[2]}-{temperature_K:g}-{ended.trajectory_id}"
                for step, positions in zip(ended.rows["step"], ended.rows["positions"], strict=True):
                    if step > SETTLE_fs and step % BETWEEN_fs == 0:
                        frame = atoms.copy()
                        frame.positions = positions
                        frame.info = {"trajectory_id": name, "time_fs": float(step * TIMESTEP_fs)}
                        found.append(frame)
    return found


def learnt(out: Path, settings: GmnnTraining, shape: GmnnArchitecture) -> Path:
    """The steps of a user, from frames to a committee's folder."""
    write_frames(out / "frames.extxyz", training_frames())
    label_file(out / "frames.extxyz", out / "labelled.extxyz", "co-crystal")
    # Bonds turn and vibrate between frames 50 fs apart, so that straight steps say nothing of their work.
    given = (out / "labelled.extxyz", out / "used.extxyz", out / "imports")
    print(import_dataset(*given, on_suspect="keep", periodic="yes"))
    prepare([out / "used.extxyz"], out / "data", "trajectory", 0.7, 0.15, molecules="any", periodic="yes")
    print(gmnn.train(out / "data", out / "model", out / "checkpoints", settings, shape))
    return out / "model"


@jax.jit
def truths_slopes(positions: Any, cell: Any) -> Any:
    """dE/dε (3, 3) of the truth, eV."""

    def energy(strain: Any) -> Any:
        turn = jnp.eye(3) + strain
        return COCrystal(cell @ turn).energy(positions @ turn)

    return jax.grad(energy)(jnp.zeros((3, 3)))


def judged(calculator: Any, held: list[Atoms], subset: str) -> dict[str, Any]:
    """Errors on labelled frames; stress against that of the truth."""
    errors: dict[str, list[Any]] = {"energy": [], "forces": [], "stress": []}
    forces, stresses = [], []
    for atoms in held:
        own = atoms.copy()
        own.calc = calculator
        stress = np.asarray(truths_slopes(atoms.positions, atoms.cell.array)) / atoms.get_volume() / GPa
        errors["energy"].append(
            1e3 * (own.get_potential_energy() - atoms.get_potential_energy()) / len(atoms)
        )
        errors["forces"].append((own.get_forces() - atoms.get_forces()).ravel())
        errors["stress"].append((own.get_stress(voigt=False) / GPa - stress).ravel())
        forces.append(atoms.get_forces().ravel())
        stresses.append(stress.ravel())
    rms = {name: float(np.sqrt(np.mean(np.square(np.concatenate(np.atleast_2d(values))))))
           for name, values in errors.items()}  # fmt: skip
    return {
        "subset": subset, "n_frames": len(held), "n_atoms": len(held[0]),
        "energy_rmse_meV_per_atom": rms["energy"], "force_rmse_meV_per_A": 1e3 * rms["forces"],
        "force_rms_meV_per_A": 1e3 * float(np.sqrt(np.mean(np.square(np.concatenate(forces))))),
        "stress_rmse_GPa": rms["stress"],
        "stress_rms_GPa": float(np.sqrt(np.mean(np.square(np.concatenate(stresses))))),
    }  # fmt: skip


def pressure_GPa(atoms: Atoms, ended: Any, stress: Any) -> float:
    """Mean pressure of a run over twenty of its frames, that of the motion included."""
    found = []
    for place in np.linspace(0, len(ended.rows["step"]) - 1, 20).astype(int):
        frame = atoms.copy()
        frame.positions = ended.rows["positions"][place]
        kinetic = 2 * float(ended.rows["kinetic_energy"][place]) / 3 / atoms.get_volume()
        found.append(kinetic / GPa - float(np.trace(stress(frame))) / 3)
    return float(np.mean(found))


def ran(name: str, potential: Any, atoms: Atoms, starts: list[Any], run_ps: float, stress: Any) -> list[Any]:
    """Runs at constant energy from starts: rows of what they come to, with their densities of states."""
    ensemble = Ensemble(
        potential, VelocityVerlet(TIMESTEP_fs), atoms.get_masses(), round(1000 * run_ps), EVERY_fs,
        observers=(energies, frames), removed="drift", width=len(starts), chunk=50,
        cell_A=atoms.cell.array if potential.cutoff_A is not None else None,
    )  # fmt: skip
    x, v = (np.stack([ended.rows[key][-1] for ended in starts]) for key in ("positions", "velocities"))
    rows = []
    for ended in ensemble.run(x, v):
        kinetic, n_modes = ended.rows["kinetic_energy"], 3 * len(atoms) - 3
        total_meV = 1e3 * (ended.rows["energy"] + kinetic)
        temperature_K = float(2 * kinetic.mean() / (n_modes * units.kB))
        spectrum = Spectrum(depth_fs=min(1500.0, 400 * run_ps), highest_cm1=2500.0)
        where, density = vibrational_density(
            ended.rows["velocities"], atoms.get_masses(), EVERY_fs * TIMESTEP_fs, temperature_K, spectrum
        )
        low = where < 200
        times_ps = 1e-3 * ended.rows["step"] * TIMESTEP_fs
        rows.append(
            {
                "potential": name, "start": ended.trajectory_id, "temperature_K": temperature_K,
                "pressure_GPa": pressure_GPa(atoms, ended, stress),
                "drift_meV_per_ps_per_atom": float(np.polyfit(times_ps, total_meV, 1)[0]) / len(atoms),
                "lattice_centre_cm1": float((where * density)[low].sum() / density[low].sum()),
                "stretch_cm1": float((where * density)[~low].sum() / density[~low].sum()),
                "density": density,
            }
        )  # fmt: skip
    return sorted(rows, key=lambda row: row["start"])


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cutoff-A", type=float, default=6.5)
    parser.add_argument("--n-epochs", type=int, default=200)
    parser.add_argument("--n-members", type=int, default=2)
    parser.add_argument("--run-ps", type=float, default=6.0)
    given = parser.parse_args()
    settings = GmnnTraining(
        seed=20250615, n_members=given.n_members, n_epochs=given.n_epochs, batch_size=4, learning_rate=0.01
    )
    shape = GmnnArchitecture(cutoff_A=given.cutoff_A, n_radial=3, hidden=(32, 32))
    model = learnt(given.out, settings, shape)
    calculator = frazil.load(model)
    large = cell_of(MIDDLE_A, (3, 3, 3))
    starts = sampled(large, HELD_K, 99, 1500, N_STARTS)
    unseen = []
    for ended in starts:
        for positions in ended.rows["positions"][-10::3]:
            unseen.append(large.copy())
            unseen[-1].positions = positions
    held = load_frames(given.out / "data/validation.extxyz")
    rows = [
        judged(calculator, [atoms for atoms in held if len(atoms) == n], f"held out, {n} atoms")
        for n in sorted({len(atoms) for atoms in held})
    ]
    rows.append(judged(calculator, label(unseen, "co-crystal")[0], "3x3x3, never seen"))
    table = pandas.DataFrame(rows)
    table.to_csv(given.out / "errors.csv", index=False, float_format="%.4g")
    print(table.to_string())

    def of_truth(atoms: Atoms) -> Any:
        return np.asarray(truths_slopes(atoms.positions, atoms.cell.array)) / atoms.get_volume() / GPa

    def of_model(atoms: Atoms) -> Any:
        atoms.calc = calculator
        return atoms.get_stress(voigt=False) / GPa

    both = [
        *ran("truth", of_crystal(large), large, starts, given.run_ps, of_truth),
        *ran("committee", load(model).potential(large), large, starts, given.run_ps, of_model),
    ]
    densities = [np.mean([row["density"] for row in both if row["potential"] == name], axis=0)
                 for name in ("truth", "committee")]  # fmt: skip
    one, other = (density / np.linalg.norm(density) for density in densities)
    between = [row.pop("density") for row in both][:N_STARTS]
    first, second = (density / np.linalg.norm(density) for density in between)
    table = pandas.DataFrame(both)
    table.to_csv(given.out / "runs.csv", index=False, float_format="%.5g")
    print(table.to_string())
    told = f"cosine of the mean densities of states {one @ other:.4f}; "
    print(told + f"of the truth's two starts {first @ second:.4f}")


if __name__ == "__main__":
    main()
