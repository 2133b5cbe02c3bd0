"""Figures of learned densities, each with its data beside it, and cube files."""

from collections.abc import Sequence
from pathlib import Path

import ase.units
import numpy as np
import pandas
from ase import Atoms
from ase.io.cube import write_cube

from frazil.experiments.density.measures import (
    DENSITY,
    DIPOLE,
    POLARIZABILITY,
    RESPONSE_VARIANCE,
    VARIANCE,
    Judge,
)
from frazil.experiments.density.model import Predicted
from frazil.experiments.density.tables import ATOMS, FITTED, LARGE, PREDICTED, TEST
from frazil.files import write_atomic
from frazil.report.plot import BLACK, BLUE, GREEN, ORANGE, VERMILLION, label, new, note, save
from frazil.report.section import Figure

MARGIN_A = 2.0
"""Around a frame, in maps and cube files."""
MAP_POINTS = 61
CUBE_SPACING_A = 0.2
PER_A3 = ase.units.Bohr**-3
"""An atomic unit of the density in e/Å³."""


def curves(errors: pandas.DataFrame, out: Path) -> Figure:
    """Draw learning curves: variances of density and response, ∫|Δn|, dipoles and polarizabilities."""
    canvas, axes = new(1, 3, width_in=8.4, height_in=3.0)
    panels = (
        ((VARIANCE, BLUE), (RESPONSE_VARIANCE, ORANGE)), ((DENSITY, BLUE),),
        ((DIPOLE, BLUE), (POLARIZABILITY, ORANGE)),
    )  # fmt: skip
    names = ("error (% of variance)", "∫|Δn| (% of electrons)", "error (D; Å³)")
    for axis, lines, name in zip(axes[0], panels, names, strict=True):
        for quantity, colour in lines:
            for subset, style in ((TEST, "o-"), (LARGE, "s--")):
                rows = errors[(errors["quantity"] == quantity) & (errors["subset"] == subset)].sort_values(
                    "n_train"
                )
                if not len(rows):
                    continue
                value = rows["value"]
                ends = np.array([value - rows["low_95"], rows["high_95"] - value])
                axis.errorbar(
                    rows["n_train"], value, np.nan_to_num(np.maximum(ends, 0.0)), fmt=style, color=colour,
                    label=quantity if subset == TEST else "",
                )  # fmt: skip
        for subset, style in ((TEST, "o-"), (LARGE, "s--")) if axis is axes[0, 1] else ():
            axis.plot([], [], style, color=BLACK, label=f"frames: {subset}")
        axis.set_xscale("log")
        sizes = sorted(set(errors["n_train"]))
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.minorticks_off()
        axis.set_yscale("log")
        label(axis, "training frames", name)
        axis.legend()
    return save(
        canvas, errors, out, "learning_curves",
        "Errors of predicted densities, responses, dipoles and polarizabilities, 95 % of sampling.",
    )  # fmt: skip


def steps(table: pandas.DataFrame, out: Path) -> Figure:
    """Draw the energy after one step from the model's, the fit's and the atoms' density, frame by frame."""
    canvas, axes = new(width_in=4.5, height_in=3.0)
    axis, frames = axes[0, 0], list(dict.fromkeys(table["trajectory_id"]))
    for start, mark, colour in ((PREDICTED, "o", BLUE), (FITTED, "x", BLACK), (ATOMS, "^", VERMILLION)):
        rows = table[table["start"] == start].set_index("trajectory_id").loc[frames]
        axis.plot(
            np.arange(len(frames)), rows["energy_error_meV_per_atom"].abs(), mark, color=colour, label=start
        )
    axis.set_yscale("log")
    formulas = table.drop_duplicates("trajectory_id").set_index("trajectory_id")["formula"]
    axis.set_xticks(np.arange(len(frames)), [str(formulas[i]) for i in frames], rotation=45)
    label(axis, "frame", "|energy above converged| (meV/atom)")
    axis.legend()
    return save(
        canvas, table, out, "field_steps",
        "Energy after one step of the self-consistent field from three densities, beside the converged one.",
    )  # fmt: skip


def differences(cases: Sequence[tuple[int, Judge, Predicted]], out: Path) -> Figure:
    """Draw predicted less fitted densities of frames (id, judge, prediction), in the plane of most atoms."""
    canvas, axes = new(1, max(len(cases), 2), width_in=7.2, height_in=3.4)
    tables = []
    for axis, (identity, judge, predicted) in zip(axes[0], cases, strict=False):
        points, x, y, inside = plane_of(judge.atoms)
        density = PER_A3 * values_at(judge, judge.density, points)
        error = PER_A3 * values_at(judge, predicted.coefficients[0, :, 0] - judge.density, points)
        limit = float(np.abs(error).max()) or 1.0
        shape = (len(y), len(x))
        drawn = axis.pcolormesh(
            x,
            y,
            error.reshape(shape),
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            shading="nearest",
            rasterized=True,
        )
        axis.contour(x, y, density.reshape(shape), levels=[0.01, 0.1, 1.0], colors=GREEN, linewidths=0.6)
        axis.plot(*inside.T, "+", color=BLACK, markersize=5)
        axis.set_aspect("equal")
        canvas.colorbar(drawn, ax=axis, label="Δn (e/Å³)")
        label(axis, "x (Å)", "y (Å)", f"frame {identity}, {judge.atoms.get_chemical_formula()}")
        grid = np.array(np.meshgrid(x, y)).reshape(2, -1)
        tables.append(
            pandas.DataFrame(
                {"trajectory_id": identity, "x_A": grid[0], "y_A": grid[1], "density_e_per_A3": density,
                 "error_e_per_A3": error}
            )
        )  # fmt: skip
    for axis in axes[0, len(cases) :]:
        note(axis, "no large frames")
    return save(
        canvas, pandas.concat(tables), out, "density_differences",
        "Predicted less fitted density in the plane of most atoms (crosses: atoms, moved into it), with "
        "lines of the density at 0.01, 0.1 and 1 e/Å³.",
    )  # fmt: skip


def plane_of(atoms: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return points (n, 3), Å, of a map near the atoms' plane, its x, its y, and the atoms in it (n, 2)."""
    centre = atoms.positions.mean(axis=0)
    _, _, axes = np.linalg.svd(atoms.positions - centre)
    inside = (atoms.positions - centre) @ axes[:2].T
    x, y = (
        np.linspace(inside[:, i].min() - MARGIN_A, inside[:, i].max() + MARGIN_A, MAP_POINTS)
        for i in range(2)
    )
    grid = np.array(np.meshgrid(x, y)).reshape(2, -1)
    return centre + grid.T @ axes[:2], x, y, inside


def values_at(judge: Judge, coefficients: np.ndarray, points_A: np.ndarray) -> np.ndarray:
    """Return a density (n,), atomic units, at points (n, 3)."""
    from pyscf import dft  # type: ignore[import-not-found,unused-ignore]

    return np.asarray(dft.numint.eval_ao(judge.functions, points_A / ase.units.Bohr) @ coefficients)


def write_cubes(identity: int, judge: Judge, predicted: Predicted, out: Path) -> None:
    """Write the predicted density of a frame and its error as cube files (e/bohr³)."""
    atoms = judge.atoms.copy()
    low, high = atoms.positions.min(axis=0) - MARGIN_A, atoms.positions.max(axis=0) + MARGIN_A
    counts = np.ceil((high - low) / CUBE_SPACING_A).astype(int) + 1
    atoms.set_cell(np.diag(counts * CUBE_SPACING_A))
    axes = [low[i] + CUBE_SPACING_A * np.arange(counts[i]) for i in range(3)]
    points = np.array(np.meshgrid(*axes, indexing="ij")).reshape(3, -1).T
    density = predicted.coefficients[0, :, 0]
    out.mkdir(parents=True, exist_ok=True)
    for name, of, own in (
        ("density", "predicted density", density),
        ("error", "predicted less fitted density", density - judge.density),
    ):
        values = values_at(judge, own, points).reshape(counts)
        with write_atomic(out / f"{name}_{identity:04d}.cube") as partial, partial.open("w") as file:
            write_cube(
                file,
                atoms,
                data=values,
                origin=low,
                comment=f"{of} (e/bohr^3), frame {identity}",
            )
