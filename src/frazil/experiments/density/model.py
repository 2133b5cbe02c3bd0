"""Symmetry-adapted regression of a density's coefficients on sparse environments, and its committee.

Of an atom i of element Z, c_iνλμ = c̄_ν δ_λ0 + Σ_LM C_μM Ψ^L_iM·b_Zλν, where Ψ = K_NM V Λ^(−½) for the
kernels of ``equivariants`` with M sparse environments (K_MM = V Λ Vᵀ). All b together solve (ΨᵀSΨ + η)b =
ΨᵀS(c − c̄), S the overlap of the functions, so that the error of the density itself is least (Lewis, Grisafi,
Ceriotti & Rossi, J. Chem. Theory Comput. 17, 7203, 2021). Members are trained on frames drawn again with
replacement, with the same environments; the model itself is trained on each frame once. Each has the η with
the least error of the validation part.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
from ase import Atoms

from frazil.errors import UserError
from frazil.experiments.density.auxiliary import Auxiliary, held, layout, moments
from frazil.experiments.density.equivariants import Features, Key, couplings
from frazil.experiments.infrared.descriptors import farthest_points
from frazil.files import write_atomic
from frazil.potentials.folder import describe, read_description
from frazil.seeds import rng

SMALLEST_EIGENVALUE = 1e-9
"""Of a kernel matrix beside its largest: directions below are noise, and left out."""
REGULARIZATIONS = tuple(10.0**power for power in range(-11, -3))
"""η tried, in mean diagonals of ΨᵀSΨ."""
FIRST_REGULARIZATION = 2
ROWS_AT_ONCE = 3000
KIND = "density"
FILES = ("model.npz",)


@dataclass(frozen=True)
class Labelled:
    """A frame and its coefficients (n, fields): one of a density, three of its response."""

    atoms: Atoms
    coefficients: np.ndarray


@dataclass(frozen=True)
class Sparse:
    """The sparse environments, and what kernels with them are multiplied by.

    frames: that hold them. chosen: by element (M, 2), frame and atom. projections: V Λ^(−½) by ``Key``.
    """

    frames: tuple[Atoms, ...]
    chosen: dict[int, np.ndarray]
    features: Features
    zeta: int
    projections: dict[Key, np.ndarray]

    @classmethod
    def of(
        cls, frames: Sequence[Atoms], n_environments: int, features: Features, zeta: int, keys: Sequence[Key]
    ) -> "Sparse":
        """Choose the environments of each element that are farthest from each other, and no more."""
        found = features.of(frames, [])
        chosen = {}
        for centre, places in found.places.items():
            chosen[centre] = places[farthest_points(found.invariant(centre), n_environments)]
        needed = sorted({int(frame) for places in chosen.values() for frame in places[:, 0]})
        for centre, places in chosen.items():
            chosen[centre] = np.column_stack([np.searchsorted(needed, places[:, 0]), places[:, 1]])
        kept = tuple(Atoms(frames[i].numbers, frames[i].positions) for i in needed)
        return cls(kept, chosen, features, zeta, {}).projected(keys)

    def projected(self, keys: Sequence[Key]) -> "Sparse":
        """Return the same with its projections."""
        found = self.features.of(self.frames, [key[1:] for key in keys])
        projections = {}
        for key in keys:
            rows = _rows(found.places[key[0]], self.chosen[key[0]])
            kernel = found.kernel(key, rows, rows, self.zeta)
            square = kernel.reshape(kernel.shape[0] * kernel.shape[1], -1)
            values, vectors = scipy.linalg.eigh((square + square.T) / 2)
            kept = values > SMALLEST_EIGENVALUE * max(values[-1], SMALLEST_EIGENVALUE)
            projections[key] = vectors[:, kept] / np.sqrt(values[kept])
        return replace(self, projections=projections)

    def seen(self, frames: Sequence[Atoms]) -> list[dict[tuple[int, int, int], np.ndarray]]:
        """Return Ψ (2L + 1, D) of all atoms of each frame, by (atom, L, σ)."""
        found = self.features.of([*self.frames, *frames], [key[1:] for key in self.projections])
        answers: list[dict[tuple[int, int, int], np.ndarray]] = [{} for _ in frames]
        for key, projection in self.projections.items():
            if key[0] not in found.places:
                continue
            places = found.places[key[0]]
            new = np.flatnonzero(places[:, 0] >= len(self.frames))
            if not len(new):
                continue
            kernel = found.kernel(key, new, _rows(places, self.chosen[key[0]]), self.zeta)
            values = kernel.reshape(*kernel.shape[:2], -1) @ projection
            for (frame, atom), value in zip(places[new], values, strict=True):
                answers[frame - len(self.frames)][int(atom), key[1], key[2]] = value
        return answers


def _rows(places: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return where (frame, atom) of wanted (M, 2) stand among places (n, 2)."""
    where = {(int(frame), int(atom)): row for row, (frame, atom) in enumerate(places)}
    return np.array([where[int(frame), int(atom)] for frame, atom in wanted])


@dataclass(frozen=True)
class Block:
    """The unknowns of an element, degree λ and coupling: ``size`` of each radial function, from ``first``."""

    element: int
    degree: int
    L: int
    sigma: int
    coupling: np.ndarray
    n_radial: int
    first: int
    size: int

    @property
    def has_mean(self) -> bool:
        """Whether coefficients of this block have a mean that is not zero."""
        return self.L == 0 and self.sigma == 1


@dataclass(frozen=True)
class Predicted:
    """Coefficients (1 + members, n, fields) of a frame, the model's first; charges before they were held.

    charges (1 + members, fields), e: electrons of a density, nothing of a response, were they right.
    """

    coefficients: np.ndarray
    charges: np.ndarray


@dataclass(frozen=True)
class Model:
    """A trained model and its members.

    elements: radial functions by atomic number. weights (1 + members, D), and means (1 + members, n) of the
    coefficients without direction, and etas (1 + members,), in mean diagonals: the model's first.
    """

    auxiliary: Auxiliary
    level: str
    n_fields: int
    elements: dict[int, tuple[int, ...]]
    sparse: Sparse
    weights: np.ndarray
    means: np.ndarray
    etas: np.ndarray

    @property
    def n_members(self) -> int:
        """Members of the committee, beside the model itself."""
        return len(self.weights) - 1

    def predict(self, frames: Sequence[Atoms]) -> list[Predicted]:
        """Return the coefficients of frames, charges held. Raises UserError for what it does not know."""
        self.check(frames)
        answers = []
        blocks = _blocks(self.elements, self.n_fields, self.sparse)
        for atoms, seen in zip(frames, self.sparse.seen(frames), strict=True):
            functions = self.auxiliary.molecule(atoms)
            design = _design(atoms, functions, blocks, seen, self.n_fields)
            places = _mean_places(atoms, functions, blocks, self.n_fields)
            raw = np.stack([part @ self.weights.T for part in design], axis=-1).swapaxes(0, 1)
            raw = raw + np.stack([part @ self.means.T for part in places], axis=-1).swapaxes(0, 1)
            charges, _ = moments(functions)
            electrons = atoms.numbers.sum() if self.n_fields == 1 else 0.0
            kept = held(
                raw.swapaxes(1, 2), functions.intor("int2c2e"), charges[:, None],
                np.full((*raw.shape[::2], 1), electrons),
            )  # fmt: skip
            answers.append(Predicted(kept.swapaxes(1, 2), np.einsum("knx,n->kx", raw, charges)))
        return answers

    def without_environments(self, atoms: Atoms, functions: Any) -> np.ndarray:
        """Return the coefficients (n, fields) that the means alone give a frame."""
        blocks = _blocks(self.elements, self.n_fields, self.sparse)
        places = _mean_places(atoms, functions, blocks, self.n_fields)
        return np.stack([place @ self.means[0] for place in places], axis=-1)

    def check(self, frames: Sequence[Atoms]) -> None:
        """Raise UserError for frames with charge, with a cell, or of an element without environments."""
        for place, atoms in enumerate(frames):
            check_frame(atoms, f"frame {place}")
            if unknown := sorted(set(atoms.symbols) - set(self.symbols)):
                raise UserError(
                    f"frame {place} ({atoms.symbols}) has {', '.join(unknown)}, of which the model has no "
                    f"environments; it knows {', '.join(self.symbols)}: train it on such frames"
                )

    @property
    def symbols(self) -> list[str]:
        """The elements by symbol."""
        return [str(Atoms(numbers=[number]).symbols) for number in self.elements]

    def save(self, folder: Path | str) -> None:
        """Write the model's folder."""
        sparse, arrays = self.sparse, {}
        arrays["sizes"] = np.array([len(atoms) for atoms in sparse.frames])
        arrays["numbers"] = np.concatenate([atoms.numbers for atoms in sparse.frames])
        arrays["positions_A"] = np.concatenate([atoms.positions for atoms in sparse.frames])
        arrays |= {f"chosen_{element}": places for element, places in sparse.chosen.items()}
        arrays |= {f"projection_{z}_{L}_{s}": value for (z, L, s), value in sparse.projections.items()}
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with write_atomic(folder / FILES[0]) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, weights=self.weights, means=self.means, **arrays)
        describe(
            folder, KIND, FILES, members=self.n_members, elements=self.symbols, level=self.level,
            auxiliary=self.auxiliary.name, n_diffuse=self.auxiliary.n_diffuse, n_fields=self.n_fields,
            radial={str(z): list(counts) for z, counts in self.elements.items()}, zeta=sparse.zeta,
            features=vars(sparse.features), etas=self.etas.tolist(),
        )  # fmt: skip

    @classmethod
    def load(cls, folder: Path | str) -> "Model":
        """Read a model's folder. Raises UserError for one that is damaged or holds something else."""
        about = read_description(folder)
        if about.get("kind") != KIND:
            raise UserError(f"{folder} holds a model of kind {about.get('kind')!r}; give one of densities")
        with np.load(Path(folder) / FILES[0], allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        ends = np.cumsum(arrays["sizes"])[:-1]
        frames = tuple(
            Atoms(numbers, positions)
            for numbers, positions in zip(
                np.split(arrays["numbers"], ends), np.split(arrays["positions_A"], ends), strict=True
            )
        )
        chosen, projections = {}, {}
        for name, value in arrays.items():
            kind, *words = name.split("_")
            if kind == "chosen":
                chosen[int(words[0])] = value
            elif kind == "projection":
                projections[int(words[0]), int(words[1]), int(words[2])] = value
        sparse = Sparse(frames, chosen, Features(**about["features"]), about["zeta"], projections)
        elements = {int(z): tuple(counts) for z, counts in about["radial"].items()}
        return cls(
            Auxiliary(about["auxiliary"], about["n_diffuse"]), about["level"], about["n_fields"], elements,
            sparse, arrays["weights"], arrays["means"], np.array(about["etas"]),
        )  # fmt: skip


def check_frame(atoms: Atoms, where: str) -> None:
    """Raise UserError for a frame with charge or with a cell."""
    stated = float(atoms.info.get("charge", 0)) or float(atoms.get_initial_charges().sum().round(6))
    if stated:
        raise UserError(
            f"{where} ({atoms.symbols}) has charge {stated:g}; only neutral frames are taken: leave it out"
        )
    if atoms.pbc.any():
        raise UserError(
            f"{where} ({atoms.symbols}) is periodic; only free molecules are taken: remove its cell"
        )


def check_coefficients(frames: Sequence[Labelled], auxiliary: Auxiliary, n_fields: int) -> None:
    """Raise UserError for coefficients of another auxiliary basis, or of another number of fields."""
    for place, one in enumerate(frames):
        check_frame(one.atoms, f"frame {place}")
        wanted = (auxiliary.molecule(one.atoms).nao, n_fields)
        if one.coefficients.shape != wanted:
            raise UserError(
                f"frame {place} ({one.atoms.symbols}) has coefficients {one.coefficients.shape}, "
                f"{auxiliary.text} has {wanted}; give labels of one auxiliary basis"
            )


@dataclass(frozen=True)
class Trainer:
    """How models are trained: everything but the frames."""

    auxiliary: Auxiliary
    level: str
    n_environments: int
    n_members: int
    features: Features
    zeta: int = 2

    def train(
        self, frames: Sequence[Labelled], validation: Sequence[Labelled], campaign_seed: int, *ids: int
    ) -> Model:
        """Train a model and its members, each with the η of least validation error.

        Raises UserError for labels of another basis, an element of the validation part that no frame has, and
        too few frames to choose from.
        """
        n_fields = frames[0].coefficients.shape[1]
        check_coefficients([*frames, *validation], self.auxiliary, n_fields)
        atoms = [one.atoms for one in frames]
        elements = self.auxiliary.elements(atoms)
        wanted = {
            (element, L, sigma)
            for element, counts in elements.items()
            for degree in range(len(counts))
            for L, sigma, _ in couplings(degree, n_fields)
        }
        sparse = Sparse.of(atoms, self.n_environments, self.features, self.zeta, sorted(wanted))
        blocks = _blocks(elements, n_fields, sparse)
        untrained = Model(
            self.auxiliary,
            self.level,
            n_fields,
            elements,
            sparse,
            np.zeros((1, 0)),
            np.zeros((1, 0)),
            np.zeros(1),
        )
        untrained.check([one.atoms for one in validation])
        known = [_Known.of(one, self.auxiliary, blocks, seen) for one, seen in
                 zip(frames, sparse.seen(atoms), strict=True)]  # fmt: skip
        judged = [_Known.of(one, self.auxiliary, blocks, seen) for one, seen in
                  zip(validation, sparse.seen([one.atoms for one in validation]), strict=True)]  # fmt: skip
        everything = _regularized(known, np.ones(len(known)), judged, FIRST_REGULARIZATION)
        solutions = [everything]
        for member in range(self.n_members):
            draw = rng(campaign_seed, "density-member", *ids, member).integers(len(known), size=len(known))
            counts = np.bincount(draw, minlength=len(known))
            solutions.append(_regularized(known, counts, judged, everything[0]))
        places, weights, means = (np.array(part) for part in zip(*solutions, strict=True))
        return replace(untrained, weights=weights, means=means, etas=np.array(REGULARIZATIONS)[places])


@dataclass(frozen=True)
class _Known:
    """A labelled frame as the regression has it: by field the design (n, D), and what means (n, k) do."""

    coefficients: np.ndarray
    overlap: np.ndarray
    design: list[Any]
    places: list[np.ndarray]

    @classmethod
    def of(
        cls, one: Labelled, auxiliary: Auxiliary, blocks: Sequence[Block],
        seen: dict[tuple[int, int, int], np.ndarray],
    ) -> "_Known":  # fmt: skip
        functions, n_fields = auxiliary.molecule(one.atoms), one.coefficients.shape[1]
        return cls(
            one.coefficients, functions.intor("int1e_ovlp"),
            _design(one.atoms, functions, blocks, seen, n_fields),
            _mean_places(one.atoms, functions, blocks, n_fields),
        )  # fmt: skip

    def error(self, weights: np.ndarray, means: np.ndarray) -> float:
        """Return Δcᵀ S Δc, summed over fields."""
        total = 0.0
        for field, (design, place) in enumerate(zip(self.design, self.places, strict=True)):
            wrong = design @ weights + place @ means - self.coefficients[:, field]
            total += float(wrong @ self.overlap @ wrong)
        return total


def _regularized(
    known: Sequence[_Known], counts: np.ndarray, judged: Sequence[_Known], best: int
) -> tuple[int, np.ndarray, np.ndarray]:
    """Return place of η, weights (D,) and means (k,) of frames, each counted so many times.

    η goes from the place ``best`` of ``REGULARIZATIONS`` on to where both its neighbours have a larger error.
    """
    square, right, means = _normal(known, counts)
    tried: dict[int, tuple[float, np.ndarray]] = {}

    def judged_by(place: int) -> tuple[float, int]:
        if place not in tried:
            weights = _solved(square, right, REGULARIZATIONS[place])
            error = np.inf if weights is None else sum(one.error(weights, means) for one in judged)
            tried[place] = (error, np.empty(0) if weights is None else weights)
        return tried[place][0], -place  # where nothing is solved, a larger one

    while (
        better := min((p for p in (best - 1, best, best + 1) if 0 <= p < len(REGULARIZATIONS)), key=judged_by)
    ) != best:
        best = better
    if not np.isfinite(tried[best][0]):
        raise UserError(f"{int((counts > 0).sum())} training frames leave the regression without a solution")
    return best, tried[best][1], means


def _blocks(elements: dict[int, tuple[int, ...]], n_fields: int, sparse: Sparse) -> list[Block]:
    found, first = [], 0
    for element, counts in elements.items():
        for degree, n_radial in enumerate(counts):
            for L, sigma, coupling in couplings(degree, n_fields):
                size = sparse.projections[element, L, sigma].shape[1]
                found.append(Block(element, degree, L, sigma, coupling, n_radial, first, size))
                first += n_radial * size
    return found


def _design(
    atoms: Atoms, functions: Any, blocks: Sequence[Block], seen: dict[tuple[int, int, int], np.ndarray],
    n_fields: int,
) -> list[Any]:  # fmt: skip
    """Return by field the sparse matrix (n, D) that gives coefficients, less their means, of weights."""
    where = layout(functions)
    rows, columns, values = [], [], []
    for block in blocks:
        for atom in np.flatnonzero(atoms.numbers == block.element):
            turned = np.einsum("mxM,Md->xmd", block.coupling, seen[int(atom), block.L, block.sigma])
            for nu, own in enumerate(where[int(atom), block.degree]):
                first = block.first + nu * block.size
                place = np.broadcast_arrays(own[:, None], np.arange(first, first + block.size)[None])
                rows.append(place[0].ravel())
                columns.append(place[1].ravel())
                values.append(turned.reshape(n_fields, -1))
    shape = (functions.nao, blocks[-1].first + blocks[-1].n_radial * blocks[-1].size)
    place = (np.concatenate(rows), np.concatenate(columns))
    filled = np.concatenate(values, axis=1)
    return [scipy.sparse.csr_array((filled[field], place), shape=shape) for field in range(n_fields)]


def _mean_places(atoms: Atoms, functions: Any, blocks: Sequence[Block], n_fields: int) -> list[np.ndarray]:
    """Return by field what (n, k) the means of all blocks that have them add to the coefficients."""
    where, own = layout(functions), [block for block in blocks if block.has_mean]
    found = np.zeros((n_fields, functions.nao, sum(block.n_radial for block in own)))
    first = 0
    for block in own:
        for atom in np.flatnonzero(atoms.numbers == block.element):
            for nu, rows in enumerate(where[int(atom), block.degree]):
                found[:, rows, first + nu] = block.coupling[:, :, 0].T
        first += block.n_radial
    return list(found)


def _normal(known: Sequence[_Known], counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ΨᵀSΨ (D, D), ΨᵀS(c − c̄) (D,) and the means (k,) of frames, each counted so many times."""
    used = [(one, count) for one, count in zip(known, counts, strict=True) if count]
    sums = sum(count * np.einsum("xnk,nx->k", np.array(one.places), one.coefficients) for one, count in used)
    numbers = sum(
        count * np.einsum("xnk,xnk->k", np.array(one.places), np.array(one.places)) for one, count in used
    )
    means = np.asarray(sums / numbers)
    size = used[0][0].design[0].shape[1]
    square, right = np.zeros((size, size)), np.zeros(size)
    designs: list[Any] = []
    weighted: list[np.ndarray] = []
    n_rows = 0
    for number, (one, count) in enumerate(used):
        for field, (design, place) in enumerate(zip(one.design, one.places, strict=True)):
            times = count * (one.overlap @ design)
            designs.append(design)
            weighted.append(times)
            right += times.T @ (one.coefficients[:, field] - place @ means)
            n_rows += design.shape[0]
        if n_rows > ROWS_AT_ONCE or number == len(used) - 1:
            square += scipy.sparse.vstack(designs).T.tocsr() @ np.concatenate(weighted)
            designs, weighted, n_rows = [], [], 0
    return square, right, means


def _solved(square: np.ndarray, right: np.ndarray, eta: float) -> np.ndarray | None:
    """Return the weights (D,) of one η; None where the matrix is not positive by rounding."""
    matrix = square.copy()
    matrix[np.diag_indices(len(square))] += eta * np.trace(square) / len(square)
    try:
        return np.asarray(scipy.linalg.cho_solve(scipy.linalg.cho_factor(matrix, overwrite_a=True), right))
    except scipy.linalg.LinAlgError:
        return None
