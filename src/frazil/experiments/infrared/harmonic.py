"""Minima and harmonic spectra of the labelling level, and of a GM-NN committee."""

import numpy as np
from ase import Atoms

from frazil.errors import UserError
from frazil.experiments.infrared.labels import Labels
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.surface import ModelSurface
from frazil.systems.minima import STEP_A, Minimum, ModelModes, minimum_of, model_modes


def label_minimum(atoms: Atoms, name: str, labels: Labels, on_no_minimum: str) -> Minimum:
    """Return the minimum and the modes of the labelling level, by its own second derivatives.

    A level that gives none (``Labels.has_hessians``) is differentiated by central differences.
    """

    def at(positions: np.ndarray) -> Atoms:
        return Atoms(atoms.numbers, positions)

    def surface(positions: np.ndarray) -> tuple[float, np.ndarray]:
        labelled = labels.one(at(positions))
        return labelled.get_potential_energy(), labelled.get_forces()

    def curvature(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if labels.has_hessians:
            return labels.curvature(at(positions))
        away = STEP_A * np.eye(positions.size).reshape(-1, *positions.shape)
        frames = [at(positions + sign * step) for step in away for sign in (1, -1)]
        labelled, failures = labels.of(frames)
        if failures:
            raise UserError(f"{name}: no label near its minimum ({failures[0].reason}); choose another level")
        forces = np.array([frame.get_forces().ravel() for frame in labelled])
        dipoles = np.array([frame.get_dipole_moment() for frame in labelled])
        return (forces[1::2] - forces[::2]) / (2 * STEP_A), (dipoles[::2] - dipoles[1::2]).T / (2 * STEP_A)

    return minimum_of(atoms, name, surface, curvature, on_no_minimum)


def modes_of(model: Model, atoms: Atoms, name: str) -> ModelModes:
    """Return the modes of a committee. Raises UserError where its mean has no minimum near the structure."""
    return model_modes(ModelSurface(model, atoms), model.n_members, atoms, name)
