#!/usr/bin/env python3
"""A committee learnt in small cells, beside the truth that labelled it: errors, stress, dynamics.

    periodic_training.py rock-salt OUT_FOLDER
    periodic_training.py alpha-co OUT_FOLDER --cutoff-A 6.5 --n-epochs 150

``rock-salt``: ions with Born–Mayer walls and Coulomb's law, screened to nothing at 6 Å with energy and force
(made up, with sodium chloride's sizes); cells of 8, 16 and 32 ions at 300 and 600 K, judged too in 64, a size
that was never seen. ``alpha-co``: CO under ``co-crystal`` at 15 and 40 K, 64 and 96 atoms, judged too in 216.
Frames are Langevin dynamics of the truth, imported, divided and trained on by the steps of a user. Opposite
faces are nearer than two cutoffs, those of the smallest cells than one. From two starts in the large cell the
truth and the committee's mean run at constant energy in the engine. Writes errors.csv and runs.csv.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np
import pandas
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator

import frazil
from frazil.analysis.settings import Spectrum
from frazil.analysis.spectra import vibrational_density
from frazil.data.frames import load_frames, write_frames
from frazil.data.split import prepare
from frazil.errors import UserError
from frazil.labels.imports.step import import_dataset
from frazil.learning import gmnn
from frazil.learning.settings import GmnnArchitecture, GmnnTraining
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import Langevin, VelocityVerlet
from frazil.md.observers import energies, frames
from frazil.potentials.analytic.co_crystal import COCrystal, alpha_co
from frazil.potentials.analytic.rock_salt import NUMBERS, RockSalt
from frazil.potentials.analytic.rock_salt import rock_salt as salt
from frazil.potentials.registry import load

EVERY, GPa = 50, units.GPa


@dataclass(frozen=True)
class Truth:
    """What labels, in which cells, and how it moves; lattice modes lie below ``highest_cm1``."""

    potential: Callable[[Atoms, Any], Any]
    cells: tuple[Atoms, ...]
    large: Atoms
    temperatures_K: tuple[float, float]
    held_K: float
    timestep_fs: float
    highest_cm1: float

    def labelled(self, atoms: Atoms, level: str) -> Atoms:
        """The atoms with energy, forces and, in their info, stress (GPa)."""
        energy, slopes, strain = _evaluated(self.potential(atoms, atoms.cell.array), atoms.positions)
        found = atoms.copy()
        known = self.potential(atoms, atoms.cell.array).info(jnp.asarray(atoms.positions))
        dipole = {"dipole": np.asarray(known["dipole_e_A"])} if known else {}
        found.calc = SinglePointCalculator(found, energy=float(energy), forces=-np.asarray(slopes), **dipole)
        found.info |= {
            "label_level": level, "label_code": "benchmark",
            "truth_GPa": np.asarray(strain) / atoms.get_volume() / GPa,
        }  # fmt: skip
        return found


@jax.jit
def _evaluated(potential: Any, positions: Any) -> Any:
    def energy(positions: Any, strain: Any) -> Any:
        turn = jnp.eye(3) + strain
        moved = potential.__class__(**{**vars(potential), "cell_A": potential.cell_A @ turn})
        return moved.energy(positions @ turn)

    value, (slopes, strain) = jax.value_and_grad(energy, (0, 1))(positions, jnp.zeros((3, 3)))
    return value, slopes, strain


TRUTHS = {
    "rock-salt": Truth(
        lambda atoms, cell: RockSalt.of(np.array([NUMBERS[symbol] for symbol in atoms.symbols]), cell),
        (salt(1, 1, 1), salt(1, 1, 1, edge_A=5.75), salt(2, 1, 1), salt(2, 2, 1)), salt(2, 2, 2),
        (300.0, 600.0), 300.0, 2.0, 400.0,
    ),
    "alpha-co": Truth(
        lambda atoms, cell: COCrystal(cell),
        (*(alpha_co(1, a).repeat(2) for a in (5.61, 5.65, 5.75)), alpha_co(1, 5.65).repeat((2, 2, 3))),
        alpha_co(1, 5.65).repeat(3), (15.0, 40.0), 30.0, 1.0, 200.0,
    ),
}  # fmt: skip


def sampled(truth: Truth, atoms: Atoms, temperature_K: float, seed: int, n_steps: int, n: int) -> list[Any]:
    """Trajectories of the truth at a temperature."""
    run = Ensemble(
        truth.potential(atoms, atoms.cell.array), Langevin(truth.timestep_fs, temperature_K, 100.0),
        atoms.get_masses(), n_steps, EVERY, seed, observers=(frames,), width=n,
    )  # fmt: skip
    start = np.stack([atoms.positions] * n)
    return sorted(run.run(start, np.zeros_like(start)), key=lambda ended: ended.trajectory_id)


def training_frames(name: str, n_cells: int) -> list[Atoms]:
    """Labelled frames of the first cells and all temperatures, by trajectory."""
    truth, found = TRUTHS[name], []
    for number, atoms in enumerate(truth.cells[:n_cells]):
        for temperature_K in truth.temperatures_K:
            for ended in sampled(truth, atoms, temperature_K, number, 3000, 2):
                for step, positions in zip(ended.rows["step"], ended.rows["positions"], strict=True):
                    if step > 500:
                        frame = atoms.copy()
                        frame.positions = positions
                        frame.info = {
                            "trajectory_id": f"{number}-{temperature_K:g}-{ended.trajectory_id}",
                            "time_fs": float(step * truth.timestep_fs),
                        }
                        found.append(truth.labelled(frame, name))
    return found


def learnt(name: str, n_cells: int, out: Path, settings: GmnnTraining, shape: GmnnArchitecture) -> Path:
    """The steps of a user, from frames to a committee's folder."""
    write_frames(out / "labelled.extxyz", training_frames(name, n_cells))
    # Stiff bonds turn and vibrate between frames, so that straight steps say nothing of their work: keep.
    given = (out / "labelled.extxyz", out / "used.extxyz", out / "imports")
    print(import_dataset(*given, on_suspect="keep", periodic="yes"))
    prepare([out / "used.extxyz"], out / "data", "trajectory", 0.7, 0.15, molecules="any", periodic="yes")
    numbers = tuple(f"{k}:{v:g}" for k, v in NUMBERS.items()) if settings.dipole_weight else ()
    print(
        gmnn.train(
            out / "data", out / "model", out / "checkpoints", settings, shape, oxidation_numbers=numbers
        )
    )
    return out / "model"


def judged(calculator: Any, held: Sequence[Atoms], subset: str) -> dict[str, Any]:
    """Errors on labelled frames, beside the size of what is predicted."""
    errors: dict[str, list[Any]] = {"energy": [], "force": [], "stress": []}
    sizes: dict[str, list[Any]] = {"force": [], "stress": []}
    for atoms in held:
        own = atoms.copy()
        own.calc = calculator
        truth = np.asarray(atoms.info["truth_GPa"])
        energy_eV = own.get_potential_energy() - atoms.get_potential_energy()
        errors["energy"].append(1e3 * energy_eV / len(atoms))
        errors["force"].append(1e3 * (own.get_forces() - atoms.get_forces()).ravel())
        errors["stress"].append((own.get_stress(voigt=False) / GPa - truth).ravel())
        sizes["force"].append(1e3 * atoms.get_forces().ravel())
        sizes["stress"].append(truth.ravel())

    def rms(values: list[Any]) -> float:
        return float(np.sqrt(np.mean(np.square(np.hstack(values)))))

    return {
        "subset": subset, "n_frames": len(held), "energy_rmse_meV_per_atom": rms(errors["energy"]),
        "force_rmse_meV_per_A": rms(errors["force"]), "force_rms_meV_per_A": rms(sizes["force"]),
        "stress_rmse_GPa": rms(errors["stress"]), "stress_rms_GPa": rms(sizes["stress"]),
    }  # fmt: skip


def pressure_GPa(atoms: Atoms, ended: Any, stress_GPa: Any) -> float:
    """Mean pressure of a run over twenty of its frames, that of the motion included; nan of broken ones."""
    found = []
    for place in np.linspace(0, len(ended.rows["step"]) - 1, 20).astype(int):
        frame = atoms.copy()
        frame.positions = ended.rows["positions"][place]
        kinetic = 2 * float(ended.rows["kinetic_energy"][place]) / 3 / atoms.get_volume()
        try:
            found.append(kinetic / GPa - float(np.trace(stress_GPa(frame))) / 3)
        except UserError:
            return float("nan")
    return float(np.mean(found))


def ran(
    name: str, potential: Any, truth: Truth, starts: Sequence[Any], run_ps: float, stress_GPa: Any
) -> list[dict[str, Any]]:
    """Runs at constant energy from starts: rows of what they come to, with their densities of states."""
    atoms = truth.large
    ensemble = Ensemble(
        potential, VelocityVerlet(truth.timestep_fs), atoms.get_masses(),
        100 * round(10 * run_ps / truth.timestep_fs), 2, observers=(energies, frames), removed="drift",
        width=len(starts), chunk=50, cell_A=atoms.cell.array if potential.cutoff_A is not None else None,
    )  # fmt: skip
    x, v = (np.stack([ended.rows[key][-1] for ended in starts]) for key in ("positions", "velocities"))
    rows = []
    for ended in ensemble.run(x, v):
        kinetic = ended.rows["kinetic_energy"]
        total_meV = 1e3 * (ended.rows["energy"] + kinetic) / len(atoms)
        temperature_K = float(2 * kinetic.mean() / ((3 * len(atoms) - 3) * units.kB))
        spectrum = Spectrum(depth_fs=1500.0, highest_cm1=2500.0)
        where, density = vibrational_density(
            ended.rows["velocities"], atoms.get_masses(), 2 * truth.timestep_fs, temperature_K, spectrum
        )
        low = where < truth.highest_cm1
        times_ps = 1e-3 * ended.rows["step"] * truth.timestep_fs
        rows.append(
            {
                "potential": name, "start": ended.trajectory_id, "temperature_K": temperature_K,
                "pressure_GPa": pressure_GPa(atoms, ended, stress_GPa),
                "drift_meV_per_ps_per_atom": float(np.polyfit(times_ps, total_meV, 1)[0]),
                "energy_std_meV_per_atom": float(total_meV.std()),
                "mean_below_cm1": float((where * density)[low].sum() / density[low].sum()),
                "density": density,
            }
        )  # fmt: skip
    return sorted(rows, key=lambda row: row["start"])


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("truth", choices=tuple(TRUTHS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--cutoff-A", type=float, default=6.0)
    parser.add_argument("--n-epochs", type=int, default=250)
    parser.add_argument("--dipole-weight", type=float, default=0.0, help="of rock salt's, with its numbers")
    parser.add_argument("--n-cells", type=int, default=4, help="kinds of cells that frames are made of")
    parser.add_argument("--run-ps", type=float, default=8.0, help="0: errors alone")
    given = parser.parse_args()
    truth = TRUTHS[given.truth]
    settings = GmnnTraining(
        seed=1, n_members=2, n_epochs=given.n_epochs, batch_size=4, learning_rate=0.01,
        dipole_weight=given.dipole_weight,
    )  # fmt: skip
    shape = GmnnArchitecture(cutoff_A=given.cutoff_A, n_radial=3, hidden=(32, 32))
    model = learnt(given.truth, given.n_cells, given.out, settings, shape)
    calculator, source = frazil.load(model), load(model)
    starts = sampled(truth, truth.large, truth.held_K, 99, 1500, 2)
    unseen = []
    for ended in starts:
        for positions in ended.rows["positions"][-10::3]:
            frame = truth.large.copy()
            frame.positions = positions
            unseen.append(truth.labelled(frame, given.truth))
    held = load_frames(given.out / "data/validation.extxyz")
    sizes = sorted({len(atoms) for atoms in held})
    rows = [judged(calculator, [a for a in held if len(a) == n], f"held out, {n} atoms") for n in sizes]
    rows.append(judged(calculator, unseen, f"never seen, {len(truth.large)} atoms"))
    table = pandas.DataFrame(rows)
    table.to_csv(given.out / "errors.csv", index=False, float_format="%.4g")
    print(table.to_string())

    if not given.run_ps:
        return

    def of_truth(atoms: Atoms) -> Any:
        return truth.labelled(atoms, given.truth).info["truth_GPa"]

    def of_model(atoms: Atoms) -> Any:
        atoms.calc = calculator
        return atoms.get_stress(voigt=False) / GPa

    known = truth.potential(truth.large, truth.large.cell.array)
    both = ran("truth", known, truth, starts, given.run_ps, of_truth)
    both += ran("committee", source.potential(truth.large), truth, starts, given.run_ps, of_model)
    unit = [row.pop("density") for row in both]
    unit = [density / np.linalg.norm(density) for density in unit]
    table = pandas.DataFrame(both)
    table.to_csv(given.out / "runs.csv", index=False, float_format="%.5g")
    print(table.to_string())
    told = f"same starts {unit[0] @ unit[2]:.4f} and {unit[1] @ unit[3]:.4f}"
    print(f"cosines of densities of states: {told}; the truth's two starts {unit[0] @ unit[1]:.4f}")


if __name__ == "__main__":
    main()
