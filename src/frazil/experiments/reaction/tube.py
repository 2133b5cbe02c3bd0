"""Frames about a path, and which of them a committee does not know: transition tube sampling, query by
committee.

About places of the path structures are displaced along harmonic modes, as they would be at a temperature,
with classical or with quantum nuclei. Modes are those of a few control points; between two of them each
frame takes those of one, by sin² and cos² of how near it is. A round trains a committee from scratch on all
labelled frames, and asks for labels of those frames of the tube on which its members differ most.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.analysis.normal_modes import overall_motions
from frazil.data.frames import load_frames, write_frames
from frazil.data.split import FEWEST_FRAMES, divided, labelled_frames
from frazil.errors import UserError
from frazil.experiments.reaction.path import ReactionPath, path_of, read_path
from frazil.experiments.reaction.settings import TubeLearning, TubeSampling, TubeTraining
from frazil.experiments.reaction.tables import ENOUGH, ROUNDS
from frazil.files import write_json
from frazil.labels.label import label
from frazil.labels.settings import SEMIEMPIRICAL
from frazil.learning import gmnn
from frazil.learning.settings import GmnnArchitecture, GmnnTraining
from frazil.potentials.gmnn.committee import Committee
from frazil.potentials.gmnn.files import Model, read_model
from frazil.potentials.registry import load
from frazil.potentials.surface import members_of
from frazil.seeds import rng
from frazil.systems.minima import Surface, differences
from frazil.systems.starts import CLOSEST, SOFTEST_cm1, too_close
from frazil.units import hbar, inverse_cm, kB

CONTROL_POINTS = 5
"""Both minima, the top, and one between each."""
MOST_DRAWS = 200
"""Of one frame, until no two atoms overlap."""
FRAMES_PER_CALL = 32
SPREAD_MOMENT = 6
"""Of the spreads of a frame's force components: high, so that one atom alone counts."""


@dataclass(frozen=True)
class Tube:
    """A path with modes at control points, from one minimum to the other.

    lengths (C,), √amu Å. squares: of each point its modes' ω² (m,). vectors: of each (3 natoms, m),
    orthonormal in mass-weighted coordinates. Overall motions are projected out, and between the ends the
    path's tangent.
    """

    path: ReactionPath
    lengths: np.ndarray
    squares: tuple[np.ndarray, ...]
    vectors: tuple[np.ndarray, ...]

    @cached_property
    def _roots(self) -> np.ndarray:
        return np.asarray(np.sqrt(np.repeat(self.path.atoms.get_masses(), 3)))

    def draw(
        self, random: np.random.Generator, temperature_K: float, quantum: bool
    ) -> tuple[np.ndarray, float, float]:
        """Return positions (natoms, 3), Å, their length along the path, and the displacement's energy, eV.

        Normal coordinates are normal of the variance kT/ω², of quantum nuclei (ħ/2ω) coth(ħω/2kT). Modes
        softer than ``SOFTEST_cm1``, and those along which the energy falls, move as if they were as stiff.
        """
        point, place = self._place(random)
        least = (SOFTEST_cm1 * inverse_cm / hbar) ** 2
        frequencies = np.sqrt(np.maximum(self.squares[point], least))
        thermal = kB * temperature_K
        variances = thermal / frequencies**2
        if quantum:
            variances = hbar / (2 * frequencies) / np.tanh(0.5 * hbar * frequencies / thermal)
        moved = self.vectors[point] @ (random.normal(size=len(frequencies)) * np.sqrt(variances))
        if 0 < point < len(self.lengths) - 1:
            along = self.tangent(place)
            moved = moved - along * (along @ moved)
        energy = 0.5 * float((self.squares[point] * (self.vectors[point].T @ moved) ** 2).sum())
        positions = self.path.spline(place) + (moved / self._roots).reshape(-1, 3)
        return np.asarray(positions), float(place), energy

    def tangent(self, place: float) -> np.ndarray:
        """Return the path's direction (3 natoms,) at a length, mass-weighted, of length 1."""
        along = self.path.spline(place, 1).ravel() * self._roots
        return np.asarray(along / np.linalg.norm(along))

    def _place(self, random: np.random.Generator) -> tuple[int, float]:
        """Return a control point and a length, evenly along the path, nearer points being likelier."""
        place = random.uniform(self.lengths[0], self.lengths[-1])
        after = int(np.clip(np.searchsorted(self.lengths, place), 1, len(self.lengths) - 1))
        part = (place - self.lengths[after - 1]) / (self.lengths[after] - self.lengths[after - 1])
        is_after = random.uniform() < np.sin(0.5 * np.pi * part) ** 2
        return (after if is_after else after - 1), place


def tube_of(path: ReactionPath, surface: Surface) -> Tube:
    """Return the tube about a path: modes by differences of forces at the control points."""
    chosen = np.unique(np.round(np.concatenate([
        np.linspace(path.basin, path.saddle, CONTROL_POINTS // 2 + 1),
        np.linspace(path.saddle, path.beyond, CONTROL_POINTS // 2 + 1),
    ])).astype(int))  # fmt: skip
    roots = np.sqrt(np.repeat(path.atoms.get_masses(), 3))
    squares, vectors = [], []
    curvature = differences(surface)
    bare = Tube(path, path.lengths[chosen], (), ())
    for number in chosen:
        positions = path.positions_A[number]
        hessian, _ = curvature(positions)
        out = _overall(positions, roots)
        if 0 < number < len(path.lengths) - 1 and number not in (chosen[0], chosen[-1]):
            along = bare.tangent(path.lengths[number])
            along = along - out @ (out.T @ along)
            out = np.column_stack([out, along / np.linalg.norm(along)])
        left, _, _ = np.linalg.svd(out)
        inside = left[:, out.shape[1] :]
        weighted = 0.5 * (hessian + hessian.T) / np.outer(roots, roots)
        found, turned = np.linalg.eigh(inside.T @ weighted @ inside)
        squares.append(found)
        vectors.append(inside @ turned)
    return Tube(path, path.lengths[chosen], tuple(squares), tuple(vectors))


def _overall(positions: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis (3 natoms, k) of translations and rotations, mass-weighted."""
    left, sizes, _ = np.linalg.svd(overall_motions(positions, roots), full_matrices=False)
    return np.asarray(left[:, sizes > 1e-6 * sizes.max()])


def surface_of(level: str, atoms: Atoms) -> Surface:
    """Return energy and forces at a labelling level. Raises UserError, at a call, where there is no label."""
    if level in SEMIEMPIRICAL:
        return members_of(load(level), atoms).surface

    def labelled(positions: np.ndarray) -> tuple[float, np.ndarray]:
        frame = Atoms(atoms.numbers, positions)
        found, failures = label([frame], level)
        if failures:
            raise UserError(
                f"{atoms.symbols}: no {level} label ({failures[0].reason}); give another path or level"
            )
        return found[0].get_potential_energy(), found[0].get_forces()

    return labelled


def sample_tube(
    structures: Path, n_images: int, sampling: TubeSampling, campaign_seed: int, out: Path
) -> str:
    """Write a path at the labelling level, the frames to label first and the others; return a line about it.

    ``out``: folder of path.extxyz (with its energies), initial.extxyz and tube.extxyz. Raises UserError as
    ``path.path_of`` does, and for a temperature at which frames overlap.
    """
    frames, name = read_path(structures)
    surface = surface_of(sampling.label_level, frames[0])
    path = path_of(frames, name, surface, n_images)
    tube = tube_of(path, surface)
    random = rng(campaign_seed, "reaction-tube")
    images = []
    for positions, energy in zip(path.positions_A, path.energies_eV, strict=True):
        image = Atoms(path.atoms.numbers, positions)
        image.info = {"path": name, "label_level": sampling.label_level}
        image.calc = SinglePointCalculator(image, energy=energy)
        images.append(image)
    write_frames(out / "path.extxyz", images)
    quantum = {"classical": (False,), "quantum": (True,), "both": (False, True)}[sampling.tube_nuclei]
    drawn = []
    for number in range(sampling.n_initial + sampling.n_candidates):
        atoms = _drawn(tube, random, sampling.tube_temperature_K, quantum[number % len(quantum)])
        atoms.info = {"source": "tube", "trajectory_id": f"tube-{number:05d}"}
        drawn.append(atoms)
    first = [Atoms(path.atoms.numbers, x) for x in path.positions_A]
    for number, atoms in enumerate(first):
        atoms.info = {"source": "path", "trajectory_id": f"path-{number:05d}"}
    write_frames(out / "initial.extxyz", first + drawn[: sampling.n_initial])
    write_frames(out / "tube.extxyz", drawn[sampling.n_initial :])
    return f"path of {name} at {sampling.label_level}: a barrier of {1e3 * path.barrier_eV:.1f} meV"


def _drawn(tube: Tube, random: np.random.Generator, temperature_K: float, quantum: bool) -> Atoms:
    for _ in range(MOST_DRAWS):
        positions, _, _ = tube.draw(random, temperature_K, quantum)
        atoms = Atoms(tube.path.atoms.numbers, positions)
        if not too_close(atoms):
            return atoms
    raise UserError(
        f"{MOST_DRAWS} displaced frames of {tube.path.name} at {temperature_K:g} K had atoms nearer than "
        f"{CLOSEST:g} times their radii; give a lower temperature (tube_temperature_K)"
    )


def learn_tube(
    frames: Sequence[Path], tube: Path, round_number: int, label_level: str, learning: TubeLearning,
    training: TubeTraining, architecture: GmnnArchitecture, campaign_seed: int, checkpoints: Path, out: Path,
    before: Path | None = None,
) -> str:  # fmt: skip
    """Train a committee on all labelled frames, write it into ``out``, and the frames that it does not know.

    ``frames``: labelled files, the first ones and those of each round. ``tube``: frames to choose from.
    ``before``: folder of the round before, whose table goes on. Raises UserError for labels of another level,
    and for too few; OutOfTime after SIGTERM.
    """
    known = [atoms for file in frames for atoms in labelled_frames(file, label_level)]
    if len(known) < FEWEST_FRAMES:
        raise UserError(f"only {len(known)} labelled frames; give at least {FEWEST_FRAMES} (n_initial)")
    train, validation, judges = divided(known)
    own = GmnnTraining(
        n_members=training.n_members, seed=campaign_seed, n_epochs=training.n_epochs,
        batch_size=training.batch_size, learning_rate=training.learning_rate,
        energy_weight=training.energy_weight, force_weight=training.force_weight,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        write_frames(Path(scratch) / "train.extxyz", train)
        write_frames(Path(scratch) / "test.extxyz", validation)
        gmnn.train(Path(scratch), out, checkpoints, own, architecture)
    model = read_model(out / "model.h5")
    done = {str(atoms.info.get("trajectory_id")) for atoms in known}
    pool = [atoms for atoms in load_frames(tube) if str(atoms.info["trajectory_id"]) not in done]
    spreads = spreads_of(model, pool) if pool else np.zeros((0, 2))
    of_known = spreads_of(model, train)
    enough = not len(pool) or spreads[:, 1].mean() <= ENOUGH * of_known[:, 1].mean()
    last = round_number >= learning.max_rounds or enough
    order = np.argsort(-spreads[:, 0], kind="stable")[: 0 if last else learning.max_frames]
    candidates = [pool[number] for number in sorted(order)]
    energy, force = errors_of(model, judges)
    row = {
        "round": round_number, "n_train": len(train), "n_test": len(judges),
        "energy_rmse_meV_per_atom": energy, "force_rmse_eV_per_A": force,
        "train_spread_eV_per_A": of_known[:, 1].mean(),
        "tube_spread_eV_per_A": spreads[:, 1].mean() if len(pool) else np.nan, "n_chosen": len(candidates),
    }  # fmt: skip
    rows: list[Any] = ROUNDS.read(before).to_dict("records") if before else []
    ROUNDS.write([*rows, row], out)
    write_frames(out / "candidates.extxyz", candidates)
    write_json(out / "summary.json", {"n_candidates": len(candidates), "clean": not candidates})
    return f"round {round_number}: {len(train)} frames trained on, {len(candidates)} more to label"


def spreads_of(model: Model, frames: Sequence[Atoms]) -> np.ndarray:
    """Return of each frame (n, 2) the sixth moment and the mean of its force components' spreads, eV/Å."""
    rows = []
    for found in Committee(model).predict_in_parts(frames, FRAMES_PER_CALL):
        spread = found.forces_eV_per_A.std(axis=0, ddof=1)
        rows.append(((spread**SPREAD_MOMENT).mean() ** (1 / SPREAD_MOMENT), spread.mean()))
    return np.array(rows)


def errors_of(model: Model, frames: Sequence[Atoms]) -> tuple[float, float]:
    """Return root mean square errors of the members' mean on labelled frames: meV/atom, eV/Å."""
    energies, forces = [], []
    for atoms, found in zip(frames, Committee(model).predict_in_parts(frames, FRAMES_PER_CALL), strict=True):
        energies.append((found.energy_eV - atoms.get_potential_energy()) / len(atoms))
        forces.append(found.forces_mean_eV_per_A - atoms.get_forces())
    return 1e3 * float(np.sqrt(np.mean(np.square(energies)))), float(np.sqrt(np.mean(np.square(forces))))
