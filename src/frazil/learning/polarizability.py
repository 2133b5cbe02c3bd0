"""Training of a learned polarizability: ridge regression on products of moments, a committee by bootstrap.

Both ranks are linear in their weights, so that training is one linear system each, in the dual (as many rows
as labels). The strength of the ridge is that of the least leave-one-frame-out error, which the system's
inverse gives without a second fit (Allen, Technometrics 16, 125, 1974). Members draw their frames with
replacement.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from frazil.analysis.estimates import spread_calibration
from frazil.analysis.raman import NORM, components_of
from frazil.data.frames import load_frames
from frazil.data.structures import matrix_of
from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.potentials.folder import describe
from frazil.potentials.learned_polarizability import Learned, Moments, features
from frazil.potentials.polarizability import ARRAYS
from frazil.seeds import rng
from frazil.tables import SIX_DIGITS, Table

ROUNDING = 1e-13
LABEL = "label_polarizability_A3"
RIDGES = 10.0 ** np.arange(-12, 1)
"""Of the mean diagonal of the system."""
FEWEST = 10
ERRORS = Table(
    "errors",
    """
    *subset:str *rank:int unit:str n_frames:int n_members:int std rmse rmse_of_members spread_rms?
    calibration?
    """,
    order="given",
    digits=SIX_DIGITS,
)
"""Rank 0 is a third of the trace, rank 2 the root mean square over the six components of the rest."""


def train(
    dataset: Path,
    n_members: int,
    cutoff_A: float,
    n_radial: int,
    test_part: float,
    campaign_seed: int,
    out: Path,
) -> str:
    """Train a committee on labelled frames, write its folder, and say its errors on frames held out.

    Raises UserError for frames without a symmetric polarizability, labels of several levels, fewer than
    ``FEWEST`` training frames, and a cell that is shorter than two cutoffs.
    """
    frames = load_frames(dataset)
    labels = labels_of(frames, dataset)
    levels = {str(atoms.info.get("label_level", "not stated")) for atoms in frames}
    if len(levels) > 1:
        raise UserError(f"{dataset} holds labels of {', '.join(sorted(levels))}; give one level")
    order = rng(campaign_seed, "polarizability-split").permutation(len(frames))
    n_test = round(test_part * len(frames))
    test, training = np.sort(order[:n_test]), np.sort(order[n_test:])
    if len(training) < FEWEST or n_test < 1:
        raise UserError(
            f"{len(training)} frames to train on and {n_test} to test on; needed are {FEWEST} and 1"
        )
    elements = tuple(sorted({int(number) for atoms in frames for number in atoms.numbers}))
    moments = Moments(elements, cutoff_A, n_radial)
    learned = fit([frames[i] for i in training], labels[training], moments, n_members, campaign_seed)
    rows = [
        row
        for name, chosen in (("train", training), ("test", test))
        for row in errors(learned, [frames[i] for i in chosen], labels[chosen], name)
    ]
    ERRORS.write(ERRORS.frame(rows), out)
    write_learned(out, learned, levels.pop(), len(training))
    told = [f"rank {row['rank']}: {row['rmse']:.3g} of {row['std']:.3g} Å³" for row in rows[-2:]]
    done = f"{n_members} members of {len(training)} frames; errors of their mean on {n_test} others: "
    return done + "; ".join(told)


def write_learned(folder: Path, learned: Learned, level: str, n_train: int) -> None:
    """Write a committee's folder, which ``potentials.polarizability.load`` reads."""
    own = learned.moments
    with write_atomic(folder / ARRAYS) as partial, partial.open("wb") as file:
        np.savez(file, constant_A3=learned.constant, scalar_A3=learned.scalar, tensor_A3=learned.tensor)
    describe(
        folder, "learned-polarizability", [ARRAYS], members=learned.n_members, level=level,
        atomic_numbers=own.elements, cutoff_A=own.cutoff_A, n_radial=own.n_radial, n_train=n_train,
    )  # fmt: skip


def labels_of(frames: Sequence[Atoms], where: Path | str) -> np.ndarray:
    """Return the labels (n, 3, 3), Å³, of frames. Raises UserError for one that has none, or a bad one."""
    found = []
    for place, atoms in enumerate(frames):
        if LABEL not in atoms.info:
            raise UserError(
                f"frame {place} of {where} has no {LABEL}; label frames with labels.polarizability true, or "
                "give nine numbers a frame under that name, Å³"
            )
        try:
            matrix = matrix_of(atoms.info[LABEL]).reshape(3, 3)
            components_of(matrix)
        except (UserError, ValueError) as error:
            raise UserError(f"frame {place} of {where}: {error}") from error
        found.append(matrix)
    return np.array(found)


def fit(
    frames: Sequence[Atoms], labels_A3: np.ndarray, moments: Moments, n_members: int, campaign_seed: int
) -> Learned:
    """Return a committee trained on frames with labels (n, 3, 3), Å³; a single member sees all of them."""
    rank0, rank2 = _features(frames, moments)
    sizes = np.array([len(atoms) for atoms in frames], float)
    trace = np.trace(labels_A3, axis1=1, axis2=2) / 3
    rest = components_of(labels_A3 - trace[:, None, None] * np.eye(3)) * NORM
    parts: list[tuple[float, np.ndarray, np.ndarray]] = []
    for member in range(n_members):
        drawn = np.arange(len(frames))
        if n_members > 1:
            drawn = np.sort(rng(campaign_seed, "polarizability-member", member).choice(drawn, len(drawn)))
        own = sizes[drawn]
        # What all atoms have on average is a constant for each: so cells of any size have theirs.
        middle = rank0[drawn].sum(axis=0) / own.sum()
        a = trace[drawn].sum() / own.sum()
        rows0 = (rank0[drawn] - own[:, None] * middle)[:, None, :]
        scalar = _ridge(rows0, (trace[drawn] - a * own)[:, None], drawn)
        tensor = _ridge(rank2[drawn], rest[drawn], drawn)
        parts.append((float(a - middle @ scalar), scalar, tensor))
    shape = (n_members, len(moments.elements), moments.n_weights)
    constant, scalars, tensors = (np.array(part) for part in zip(*parts, strict=True))
    return Learned(moments, constant, scalars.reshape(shape), tensors.reshape(shape))


def _features(frames: Sequence[Atoms], moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of both ranks: (n, weights), and (n, 6, weights) of the components."""
    rank0, rank2 = [], []
    compiled = jax.jit(features, static_argnums=0)
    for atoms in frames:
        moments.check_cell(atoms)
        cell = jnp.asarray(atoms.cell.array) if atoms.pbc.any() else None
        scalars, tensors = compiled(moments, moments.species(atoms.numbers), atoms.positions, cell)
        rank0.append(np.asarray(scalars))
        rank2.append((components_of(np.asarray(tensors)) * NORM).T)
    return np.array(rank0), np.array(rank2)


def _ridge(rows: np.ndarray, targets: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return weights (f,) of rows (n, k, f) for targets (n, k), by the ridge of the least error left out.

    ``frames`` (n,) says which rows are of one frame, drawn more than once perhaps: they are left out
    together.
    """
    scale = np.sqrt((rows**2).mean(axis=(0, 1))) + 1e-300
    n, k, _ = rows.shape
    x, y = (rows / scale).reshape(n * k, -1), targets.ravel()
    values, vectors = np.linalg.eigh(x @ x.T)
    groups = [np.flatnonzero(np.repeat(frames == frame, k)) for frame in np.unique(frames)]
    best = (np.inf, 0.0)
    for ridge in RIDGES * values.mean():
        inverse = (vectors / (np.maximum(values, 0.0) + ridge)) @ vectors.T
        dual = inverse @ y
        left = sum(
            float((np.linalg.solve(inverse[np.ix_(own, own)], dual[own]) ** 2).sum()) for own in groups
        )
        if left < best[0]:
            best = (left, ridge)
    # What no row holds adds nothing but rounding.
    held = values > ROUNDING * values[-1]
    dual = vectors[:, held] @ ((vectors[:, held].T @ y) / (values[held] + best[1]))
    return np.asarray((x.T @ dual) / scale)


def errors(
    learned: Learned, frames: Sequence[Atoms], labels_A3: np.ndarray, subset: str
) -> list[dict[str, object]]:
    """Return the rows of ``ERRORS`` for frames with labels (n, 3, 3), Å³."""
    found = np.stack([np.asarray(learned.function(atoms)(jnp.asarray(atoms.positions))) for atoms in frames])
    rows: list[dict[str, object]] = []
    for rank in (0, 2):
        one, other = (_of_rank(values, rank) for values in (found, labels_A3))
        wrong = one.mean(axis=1) - other
        spread = one.std(axis=1, ddof=1) if learned.n_members > 1 else np.full(wrong.shape, np.nan)
        rows.append(
            {
                "subset": subset, "rank": rank, "unit": "Å³", "n_frames": len(frames),
                "n_members": learned.n_members, "std": _rms(other - other.mean(axis=0)), "rmse": _rms(wrong),
                "rmse_of_members": _rms(one - other[:, None]), "spread_rms": _rms(spread),
                "calibration": spread_calibration(wrong.ravel(), spread.ravel(), learned.n_members),
            }
        )  # fmt: skip
    return rows


def _of_rank(tensors: np.ndarray, rank: int) -> np.ndarray:
    """Return a third of the trace (…, 1), or the six components (…, 6) of what is left."""
    trace = np.trace(tensors, axis1=-2, axis2=-1)[..., None] / 3
    return trace if rank == 0 else components_of(tensors - trace[..., None] * np.eye(3))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))
