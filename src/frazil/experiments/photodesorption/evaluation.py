"""Errors of one model: on every subset of its dataset, along the bond, and after compression."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase
import numpy as np
import numpy.typing as npt
import pandas

from frazil.data.frames import read_co_frames
from frazil.data.split import SUBSETS
from frazil.errors import UserError
from frazil.files import write_atomic, write_json
from frazil.labels.bond_curve import BOND_LENGTHS_A
from frazil.learning.errors import ERRORS, error_row
from frazil.potentials.deepmd.model import FROZEN_FILES, DeepPotential, evaluate, model_file_of
from frazil.potentials.folder import read_description
from frazil.systems.co import TYPE_MAP, deepmd_types, set_excited
from frazil.tables import Table

WELL_A = (1.0, 1.3)
"""Where a bond curve's minimum is looked for; a poor model may have deeper holes elsewhere."""
CURVES = Table(
    "bond_curves",
    "bond_length_A label_eV? model_co_eV? model_x1x2_eV?",
    order="given",
    made_by="evaluate_model.py",
)
FINE_CURVE = Table("bond_curve", "bond_length_A label_eV?", order="given", made_by="bond_curve.py --out-fine")
_COMPRESSION_FRAMES = 50


@dataclass(frozen=True)
class Predictions:
    """Labels and predictions of one subset; atoms of all frames in one row each, molecule by molecule."""

    n_atoms: npt.NDArray[np.int64]
    energy_label_eV: npt.NDArray[np.float64]
    energy_model_eV: npt.NDArray[np.float64]
    types: npt.NDArray[np.int64]
    force_label_eV_per_A: npt.NDArray[np.float64]
    force_model_eV_per_A: npt.NDArray[np.float64]

    @classmethod
    def of(cls, model: DeepPotential, frames: Sequence[ase.Atoms]) -> "Predictions":
        """Return the predictions for labelled frames."""
        energies, forces = evaluate(model, frames)
        return cls(
            np.array([len(frame) for frame in frames]),
            np.array([frame.get_potential_energy() for frame in frames]),
            energies,
            np.concatenate([deepmd_types(frame) for frame in frames]),
            np.concatenate([frame.get_forces() for frame in frames]),
            np.concatenate(forces),
        )

    @property
    def energy_errors_meV_per_atom(self) -> npt.NDArray[np.float64]:
        """Prediction minus label (frames,), meV/atom."""
        return 1000 * (self.energy_model_eV - self.energy_label_eV) / self.n_atoms

    @property
    def force_errors_eV_per_A(self) -> npt.NDArray[np.float64]:
        """Prediction minus label (atoms, 3), eV/Å."""
        return self.force_model_eV_per_A - self.force_label_eV_per_A

    @property
    def net_force_errors_eV_per_A(self) -> npt.NDArray[np.float64]:
        """Errors of the net force on whole molecules (molecules, 3), eV/Å: what moves a molecule."""
        return self.force_errors_eV_per_A.reshape(-1, 2, 3).sum(axis=1)

    def errors(self) -> Iterator[tuple[str, str, str, npt.NDArray[np.float64]]]:
        """Yield quantity, species, unit and errors."""
        per_atom = self.energy_errors_meV_per_atom
        yield "energy", "all", "meV/atom", per_atom
        yield "energy_total", "all", "meV", per_atom * self.n_atoms
        forces = self.force_errors_eV_per_A
        for kind, name in enumerate(TYPE_MAP):
            yield "force", name, "eV/Å", forces[self.types == kind]
        yield "force", "all", "eV/Å", forces
        net, excited = self.net_force_errors_eV_per_A, self.types[::2] >= len(TYPE_MAP) // 2
        yield "force_net_molecule", "ground", "eV/Å", net[~excited]
        yield "force_net_molecule", "excited", "eV/Å", net[excited]
        yield "force_net_molecule", "all", "eV/Å", net


def evaluate_model(model: Path, dataset: Path, bond_curve: Path, out: Path) -> None:
    """Write ``errors.csv``, ``predictions.npz``, ``bond_curves.csv`` and ``evaluation.json`` of one model.

    Args:
        model: model directory.
        dataset: directory with labelled ``train.extxyz``, ``test.extxyz``, ``validation.extxyz``; an empty
            subset is left out.
        bond_curve: the labels' energies of one CO (``labelling.write_bond_curve``'s ``fine``).
        out: directory to write.

    Raises:
        UserError: no model, no dataset, no labels, no curve.
    """
    description = read_description(model)
    potential = DeepPotential(model_file_of(model))
    bond = bond_curves(potential, bond_curve)
    subsets = {}
    for subset in SUBSETS:
        file = dataset / f"{subset}.extxyz"
        if file.is_file() and not file.stat().st_size:
            continue
        subsets[subset] = read_co_frames([file], cutoff_A=potential.cutoff_A)
    if "train" not in subsets:
        raise UserError(f"{dataset / 'train.extxyz'} is empty; prepare the dataset with frames to train on")
    predictions = {subset: Predictions.of(potential, frames) for subset, frames in subsets.items()}
    rows = [
        error_row(description["model_id"], subset, quantity, species, unit, errors)
        for subset, made in predictions.items()
        for quantity, species, unit, errors in made.errors()
    ]
    difference = compression_difference(model, [frame for frames in subsets.values() for frame in frames])
    out.mkdir(parents=True, exist_ok=True)
    ERRORS.write(rows, out)
    CURVES.write(bond, out)
    save_predictions(out, predictions)
    about = {"model_id": description["model_id"], "compression_difference_eV_per_A": difference}
    write_json(out / "evaluation.json", about)


def bond_curves(model: DeepPotential, labels: Path) -> pandas.DataFrame:
    """Return the energies of one isolated CO against its bond length, each above its own minimum, eV.

    Columns: bond_length_A, label_eV, model_co_eV (as C–O), model_x1x2_eV (as X1–X2). Lengths without a label
    in the file have none here. Raises UserError for a file that is no such curve.
    """
    known = _read_curve(labels)
    frames = []
    for length in BOND_LENGTHS_A:
        atoms = ase.Atoms("CO", positions=[[0, 0, 0], [0, 0, length]])
        set_excited(atoms, -1)
        frames.append(atoms)
    tagged = [atoms.copy() for atoms in frames]
    for atoms in tagged:
        set_excited(atoms, 0)
    curves = {
        "label_eV": known,
        "model_co_eV": evaluate(model, frames)[0],
        "model_x1x2_eV": evaluate(model, tagged)[0],
    }
    well = (WELL_A[0] <= BOND_LENGTHS_A) & (WELL_A[1] >= BOND_LENGTHS_A)
    above = {name: curve - np.nanmin(curve[well]) for name, curve in curves.items()}
    return pandas.DataFrame({"bond_length_A": BOND_LENGTHS_A, **above})


def _read_curve(path: Path) -> npt.NDArray[np.float64]:
    """Return the labels at ``BOND_LENGTHS_A``, eV, of the file that bond_curve.py writes for them."""
    table = FINE_CURVE.read(path)
    if not np.array_equal(table["bond_length_A"], BOND_LENGTHS_A):
        raise UserError(
            f"{path} is no curve of {len(BOND_LENGTHS_A)} lengths from {BOND_LENGTHS_A[0]:g} to "
            f"{BOND_LENGTHS_A[-1]:g} Å; give what bond_curve.py wrote with --out-fine"
        )
    return np.asarray(table["label_eV"])


def compression_difference(model: Path, frames: Sequence[ase.Atoms]) -> float:
    """Return the largest difference in force (eV/Å) of the compressed and the frozen model on some frames."""
    some = frames[:: max(1, len(frames) // _COMPRESSION_FRAMES)]
    (_, used), (_, frozen) = (
        evaluate(f, some) for f in (model_file_of(model), model_file_of(model, FROZEN_FILES))
    )
    return max(float(np.abs(a - b).max()) for a, b in zip(used, frozen, strict=True))


def save_predictions(directory: Path, predictions: dict[str, Predictions]) -> None:
    """Write ``predictions.npz``: one array ``<subset>/<field>`` for each field of each subset."""
    arrays = {
        f"{subset}/{name}": getattr(made, name)
        for subset, made in predictions.items()
        for name in Predictions.__dataclass_fields__
    }
    with write_atomic(directory / "predictions.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_predictions(directory: Path) -> dict[str, Predictions]:
    """Return what ``save_predictions`` wrote, by subset.

    Raises:
        UserError: there is none.
    """
    file = directory / "predictions.npz"
    if not file.is_file():
        raise UserError(f"{directory} holds no predictions.npz; make it with evaluate_model.py")
    with np.load(file) as arrays:
        present = [subset for subset in SUBSETS if f"{subset}/n_atoms" in arrays]
        fields = Predictions.__dataclass_fields__
        return {s: Predictions(*(arrays[f"{s}/{name}"] for name in fields)) for s in present}
