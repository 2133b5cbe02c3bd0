#!/usr/bin/env python3
"""Dipoles of learned electron densities against those of learned charges, from the same labelled frames.

    density_dipoles.py OUT_FOLDER

Frames are the shipped water molecules and pairs, labelled at the level of the experiment ``density``. One way
learns the density by symmetry-adapted regression, and takes the dipole of it. The other learns the dipole by
the charges of a GM-NN (three members, whose mean counts). Both have the same frames to learn from and to
choose by. errors.csv: root mean square length of the dipole's error on the test frames. spectrum.csv: the
infrared spectrum of a water molecule that moves under q-TIP4P/F, by each way's dipoles and by those
of the level itself; bands.csv: the intensity of its bands over the level's.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet

import frazil
from frazil.analysis.settings import Spectrum
from frazil.analysis.spectra import infrared_spectrum
from frazil.cli import progress
from frazil.data.frames import write_frames
from frazil.experiments.density import physics
from frazil.experiments.density.auxiliary import moments
from frazil.experiments.density.labels import DEBYE
from frazil.experiments.density.model import Features, Labelled, Trainer
from frazil.experiments.density.settings import Density
from frazil.experiments.density.subject import auxiliary_of, division_of, frames_of
from frazil.labels import electronic_structure
from frazil.learning import gmnn
from frazil.learning.settings import GmnnArchitecture, GmnnTraining
from frazil.settings import load as load_settings

ASSETS = Path(frazil.__file__).resolve().parents[2] / "assets"
SEED = 20250615
SETTINGS = {
    "frames": str(ASSETS / "structures/water.extxyz"), "n_trajectories": 160, "n_large": 0,
    "response": False, "n_members": 0, "n_train": "20,50,110",
}  # fmt: skip
EPOCHS, N_MEMBERS = 1500, 3
EQUILIBRATION_fs, DURATION_fs, TIMESTEP_fs, EVERY_fs, TEMPERATURE_K = 500.0, 2000.0, 0.25, 2.0, 300.0
BANDS_cm1 = {"rotation": (0, 1000), "bending": (1450, 1850), "stretching": (3300, 4000)}
DENSITY, CHARGES, LEVEL = "density", "charges", "level"

Dipoles = Callable[[Sequence[Atoms]], np.ndarray]
"""The dipoles (n, 3), Debye, of frames."""


def by_density(settings: Density, known: Sequence[Labelled], held: Sequence[Labelled]) -> Dipoles:
    """Learn densities; return the dipoles of their predictions."""
    auxiliary = auxiliary_of(settings)
    features = Features(cutoff_A=settings.cutoff_A)
    trainer = Trainer(auxiliary, settings.level, settings.n_environments, 0, features)
    model = trainer.train(known, held, SEED, len(known))

    def dipoles(frames: Sequence[Atoms]) -> np.ndarray:
        found = []
        for atoms, predicted in zip(frames, model.predict(frames), strict=True):
            functions = auxiliary.molecule(atoms)
            nuclear = functions.atom_charges() @ functions.atom_coords()
            found.append(DEBYE * (nuclear - predicted.coefficients[0, :, 0] @ moments(functions)[1]))
        return np.array(found)

    return dipoles


def by_charges(known: Sequence[Atoms], held: Sequence[Atoms], folder: Path) -> Dipoles:
    """Learn charges from dipoles alone; return the dipoles of the members' mean."""
    for name, frames in (("train", known), ("test", held)):
        write_frames(folder / f"{name}.extxyz", frames)
    training = GmnnTraining(
        n_members=N_MEMBERS, n_epochs=EPOCHS, batch_size=16, energy_weight=0, force_weight=0, dipole_weight=1,
        seed=SEED,
    )  # fmt: skip
    gmnn.train(folder, folder / "model", folder / "checkpoints", training, GmnnArchitecture())
    calculator = frazil.load(folder / "model")

    def dipoles(frames: Sequence[Atoms]) -> np.ndarray:
        found = []
        for atoms in frames:
            moved = atoms.copy()
            moved.calc = calculator
            found.append(moved.get_dipole_moment() / units.Debye)
        return np.array(found)

    return dipoles


def in_motion(molecule: Atoms) -> list[Atoms]:
    """Return the frames of a molecule at constant energy under q-TIP4P/F."""
    moving = molecule.copy()
    moving.calc = frazil.load(ASSETS / "potentials/q-tip4p-f")
    MaxwellBoltzmannDistribution(moving, temperature_K=2 * TEMPERATURE_K, rng=np.random.default_rng(SEED))
    Stationary(moving)
    dynamics = VelocityVerlet(moving, TIMESTEP_fs * units.fs)
    dynamics.run(round(EQUILIBRATION_fs / TIMESTEP_fs))
    found = []
    for _ in range(round(DURATION_fs / EVERY_fs)):
        dynamics.run(round(EVERY_fs / TIMESTEP_fs))
        found.append(Atoms(moving.symbols, moving.positions))
    return found


def of_level(frames: Sequence[Atoms], level: str) -> np.ndarray:
    """Return the dipoles (n, 3), Debye, of the level itself."""
    found = []
    for atoms in progress(iter(frames), len(frames), "frames of the level"):
        field, _ = electronic_structure.converged(atoms, level)
        found.append(np.asarray(field.dip_moment(unit="Debye", verbose=0)))
    return np.array(found)


def main() -> None:
    """Label, learn both ways at each size, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to write")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    settings = load_settings(Density, SETTINGS)
    frames, division = frames_of(settings, SEED), division_of(settings, SEED)
    ids = range(settings.n_trajectories)
    rows = dict(progress(physics.runner(settings, SEED)(ids, lambda: None), len(ids), "labels"))
    coefficients = {
        i: Labelled(frames[i], row["coefficients"][: row["n_functions"], :1]) for i, row in rows.items()
    }
    labelled = {}
    for i, row in rows.items():
        atoms = labelled[i] = frames[i].copy()
        atoms.calc = SinglePointCalculator(
            atoms, energy=row["energy_eV"], forces=np.zeros((len(atoms), 3)),
            dipole=DEBYE * row["dipole_au"] * units.Debye,
        )  # fmt: skip
        atoms.info |= {"label_level": settings.level, "label_code": "pyscf"}
    truth = DEBYE * np.array([rows[i]["dipole_au"] for i in division.test])
    test, errors = [frames[i] for i in division.test], []
    for n_train in settings.n_train:
        chosen = division.train[:n_train]
        held = division.validation
        ways = {
            DENSITY: by_density(settings, [coefficients[i] for i in chosen], [coefficients[i] for i in held]),
            CHARGES: by_charges(
                [labelled[i] for i in chosen], [labelled[i] for i in held], out / f"{n_train}"
            ),
        }
        for name, dipoles in ways.items():
            squares = ((dipoles(test) - truth) ** 2).sum(axis=1)
            rmse = np.sqrt(squares.mean())
            se = squares.std(ddof=1) / np.sqrt(len(squares)) / (2 * rmse)
            errors.append({"n_train": n_train, "by": name, "rmse_D": rmse, "se_D": se})
            print(errors[-1], flush=True)
    pandas.DataFrame(errors).to_csv(out / "errors.csv", index=False)

    moving = in_motion(next(atoms for atoms in frames if len(atoms) == 3))
    series = {name: dipoles(moving) for name, dipoles in ways.items()}
    series[LEVEL] = of_level(moving, settings.level)
    asked = Spectrum(depth_fs=500.0)
    spectra = {name: infrared_spectrum(x * units.Debye, EVERY_fs, asked) for name, x in series.items()}
    wavenumbers = spectra[LEVEL][0]
    table = pandas.DataFrame({"wavenumber_cm1": wavenumbers} | {name: s[1] for name, s in spectra.items()})
    table.to_csv(out / "spectrum.csv", index=False)
    bands = []
    for band, (low, high) in BANDS_cm1.items():
        inside = table[table["wavenumber_cm1"].between(low, high)]
        own = {f"{name}_over_level": inside[name].sum() / inside[LEVEL].sum() for name in ways}
        bands.append({"band": band, **own})
    print(pandas.DataFrame(bands).to_string(index=False))
    pandas.DataFrame(bands).to_csv(out / "bands.csv", index=False)


if __name__ == "__main__":
    main()
