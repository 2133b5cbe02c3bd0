"""Figures of a trained committee; each with its data as CSV."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas

from frazil.experiments.photodesorption.evaluation import CURVES
from frazil.experiments.photodesorption.exploration import REASONS
from frazil.report.plot import BLACK, BLUE, CYCLE, GREY, ORANGE, VERMILLION, label, new, note, save
from frazil.report.section import Figure
from frazil.systems.co import TYPE_MAP
from frazil.tables import Table

if TYPE_CHECKING:
    from frazil.experiments.photodesorption.committee import Committee

LEARNING_CURVE = Table(
    "learning_curve",
    "step:int train_force_rmse_eV_per_A? test_force_rmse_eV_per_A?",
    order="given",
    made_by="train_deepmd.py",
)
MOST_POINTS = 3000
"""Points of one parity plot; of more, every n-th is drawn and written."""
N_BINS = 61
WIDEST_ANGLE_DEG = 30.0
LARGEST_RELATIVE_ERROR = 0.3
COLORS = dict(zip(TYPE_MAP, (BLUE, VERMILLION, BLACK, ORANGE), strict=True))


def draw(
    committee: "Committee", spread: pandas.DataFrame, rounds: pandas.DataFrame, out: Path
) -> list[Figure]:
    """Draw all figures of the selected model into a directory and return them."""
    figures = [energies(committee, out), force_parity(committee, out), force_errors(committee, out)]
    figures += [force_angles(committee, out), dissociation(committee, out), learning(committee, out)]
    if len(spread):
        figures.append(calibration(committee, spread, out))
    if len(rounds):
        figures.append(exploration(rounds, out))
    return figures


def energies(committee: "Committee", out: Path) -> Figure:
    """Parity and error histogram of the energy per atom."""
    made = committee.predictions[committee.best][committee.shown]
    reference = 1000 * made.energy_label_eV / made.n_atoms
    errors = made.energy_errors_meV_per_atom
    canvas, grid = new(1, 2, width_in=7.2, height_in=3.2)
    axes, histogram = grid[0]
    shown = slice(None, None, _stride(len(errors)))
    axes.plot(_span(reference), _span(reference), color=GREY, linewidth=0.8)
    axes.plot(reference[shown], (reference + errors)[shown], ".", markersize=3, alpha=0.5)
    label(axes, "label (meV/atom)", "model (meV/atom)")
    counts, edges = _histogram(errors)
    histogram.stairs(counts, edges, fill=True, alpha=0.5)
    label(histogram, "error (meV/atom)", "frames")
    data = pandas.DataFrame(
        {"label_meV_per_atom": reference[shown], "model_meV_per_atom": (reference + errors)[shown]}
    )
    caption = (
        f"Energy per atom of {len(errors)} {committee.shown} frames: model against label, and its errors."
    )
    return save(canvas, data, out, "energy_parity", caption)


def force_parity(committee: "Committee", out: Path) -> Figure:
    """Parity of force components by type."""
    made = committee.predictions[committee.best][committee.shown]
    canvas, grid = new(2, 2, width_in=6.6, height_in=6.0)
    parts = []
    for kind, axes in enumerate(grid.flat):
        chosen = made.types == kind
        reference, model = (f[chosen].ravel() for f in (made.force_label_eV_per_A, made.force_model_eV_per_A))
        title = TYPE_MAP[kind]
        if not len(reference):
            note(axes, f"no {title} in the {committee.shown} subset")
            continue
        rmse = np.sqrt(((model - reference) ** 2).mean())
        shown = slice(None, None, _stride(len(reference)))
        axes.plot(_span(reference), _span(reference), color=GREY, linewidth=0.8)
        axes.plot(reference[shown], model[shown], ".", markersize=3, alpha=0.4, color=COLORS[title])
        label(axes, "label (eV/Å)", "model (eV/Å)", f"{title}: RMSE {rmse:.3f} eV/Å")
        columns = {"label_eV_per_A": reference[shown], "model_eV_per_A": model[shown]}
        parts.append(pandas.DataFrame({"species": title, **columns}))
    caption = f"Force components on the {committee.shown} subset, model against label, by type of atom."
    return save(canvas, pandas.concat(parts), out, "force_parity", caption)


def force_errors(committee: "Committee", out: Path) -> Figure:
    """Histogram of the errors of force components by type, and of the net force on molecules."""
    made = committee.predictions[committee.best][committee.shown]
    canvas, grid = new(1, 2, width_in=7.2, height_in=3.2)
    parts = []
    samples = [
        (grid[0, 0], name, made.force_errors_eV_per_A[made.types == kind], COLORS[name])
        for kind, name in enumerate(TYPE_MAP)
    ]
    samples.append((grid[0, 1], "net force on a molecule", made.net_force_errors_eV_per_A, BLUE))
    for axes, name, errors, color in samples:
        if not errors.size:
            continue
        counts, edges = _histogram(errors)
        density = counts / (counts.sum() * np.diff(edges))
        axes.stairs(density, edges, color=color, label=name)
        columns = {
            "low_eV_per_A": edges[:-1],
            "high_eV_per_A": edges[1:],
            "n": counts,
            "density_A_per_eV": density,
        }
        parts.append(pandas.DataFrame({"series": name, **columns}))
        axes.set_yscale("log")
        axes.legend()
        label(axes, "error of a component (eV/Å)", "density (Å/eV)")
    caption = f"Errors of force components on the {committee.shown} subset (99.8 % of them)."
    return save(canvas, pandas.concat(parts), out, "force_errors", caption)


def force_angles(committee: "Committee", out: Path) -> Figure:
    """Heat map of the angle between predicted and true force against the relative error."""
    made = committee.predictions[committee.best][committee.shown]
    truth, model = made.force_label_eV_per_A, made.force_model_eV_per_A
    sizes = np.linalg.norm(truth, axis=1)
    norms = np.maximum(sizes * np.linalg.norm(model, axis=1), 1e-300)
    angles = np.degrees(np.arccos(np.clip((truth * model).sum(axis=1) / norms, -1, 1)))
    relative = np.linalg.norm(model - truth, axis=1) / np.maximum(sizes, 1e-300)
    canvas, grid = new(1, 2, width_in=7.2, height_in=3.4)
    bins = (np.linspace(0, WIDEST_ANGLE_DEG, 31), np.linspace(0, LARGEST_RELATIVE_ERROR, 31))
    parts = []
    for axes, name, chosen in zip(
        grid[0], ("C and O", "X1 and X2"), (made.types < 2, made.types >= 2), strict=True
    ):
        if not chosen.any():
            note(axes, f"no {name} in the {committee.shown} subset")
            continue
        counts, *_ = np.histogram2d(angles[chosen], relative[chosen], bins)
        inside = counts.sum() / chosen.sum()
        axes.pcolormesh(*bins, np.log10(1 + counts.T))
        axes.grid(visible=False)
        label(axes, "angle (°)", "relative error", f"{name} ({100 * inside:.0f} % inside)")
        low_angle, low_error = (
            edges.ravel() for edges in np.meshgrid(bins[0][:-1], bins[1][:-1], indexing="ij")
        )
        columns = {"angle_low_deg": low_angle, "relative_error_low": low_error, "n": counts.ravel()}
        parts.append(pandas.DataFrame({"atoms": name, **columns}))
    caption = (
        f"Angle between predicted and true force against the relative error of the force, atoms of the "
        f"{committee.shown} subset (colour: log of 1 + count)."
    )
    return save(canvas, pandas.concat(parts), out, "force_angles", caption)


def dissociation(committee: "Committee", out: Path) -> Figure:
    """Dissociation curve of an isolated CO as C–O and as X1–X2 beside the label's."""
    curves = CURVES.read(committee.evaluations[committee.best])
    canvas, grid = new(1, 2, width_in=7.2, height_in=3.2, share_x=True)
    axes, differences = grid[0]
    names = {"label_eV": "label", "model_co_eV": "model, C–O", "model_x1x2_eV": "model, X1–X2"}
    styles = zip(names.items(), (BLACK, BLUE, ORANGE), ("-", "--", ":"), strict=True)
    for (column, name), color, style in styles:
        axes.plot(curves["bond_length_A"], curves[column], style, color=color, label=name)
        if column != "label_eV":
            error = curves[column] - curves["label_eV"]
            differences.plot(curves["bond_length_A"], error, style, color=color, label=name)
    highest = np.nanmax(curves["label_eV"]) if curves["label_eV"].notna().any() else 12.0
    axes.set_ylim(-0.5, 1.1 * highest)
    differences.set_ylim(-1, 1)
    axes.legend()
    label(axes, "bond length (Å)", "energy above the minimum (eV)")
    label(differences, "bond length (Å)", "model − label (eV)")
    caption = "Dissociation curve of one isolated CO: label, and model with ground-state and excited types."
    return save(canvas, curves, out, "dissociation", caption)


def learning(committee: "Committee", out: Path) -> Figure:
    """Learning curves of all members: force errors of batches along the training."""
    canvas, grid = new(1, 2, width_in=7.2, height_in=3.2, share_x=True)
    parts = []
    for place, directory in enumerate(committee.directories):
        curve = LEARNING_CURVE.read(directory)
        number = committee.descriptions[place]["model_id"]
        for axes, subset in zip(grid[0], ("train", "test"), strict=True):
            series = curve[f"{subset}_force_rmse_eV_per_A"]
            axes.plot(
                curve["step"], series, color=CYCLE[place % len(CYCLE)], linewidth=1, label=f"model {number}"
            )
        parts.append(curve.assign(model_id=number))
    for axes, subset in zip(grid[0], ("train", "test"), strict=True):
        axes.set_yscale("log")
        label(axes, "step", "force RMSE (eV/Å)", f"{subset} batches")
    grid[0, 0].legend()
    caption = "Learning curves: force errors of single batches along the (last) training of each member."
    return save(canvas, pandas.concat(parts), out, "learning_curves", caption)


def calibration(committee: "Committee", spread: pandas.DataFrame, out: Path) -> Figure:
    """Committee spread against true error, in bins."""
    canvas, grid = new(1, 2, width_in=7.2, height_in=3.2)
    data = spread[spread["subset"] == committee.shown]
    for axes, quantity in zip(grid[0], ("force", "force_net_molecule"), strict=True):
        rows = data[data["quantity"] == quantity]
        if not len(rows):
            note(axes, f"no {quantity} of two models")
            continue
        axes.loglog(rows["spread_rms"], rows["error_of_selected_rms"], "o-", label="selected model")
        axes.loglog(rows["spread_rms"], rows["error_of_mean_rms"], "s--", label="committee mean")
        axes.loglog(_span(rows["spread_rms"]), _span(rows["spread_rms"]), color=GREY, linewidth=0.8)
        axes.legend()
        title = "force on an atom" if quantity == "force" else "net force on a molecule"
        label(axes, "committee spread (eV/Å)", "true error (eV/Å)", title)
    caption = (
        f"Calibration on the {committee.shown} subset: spread of the committee against the true error, in "
        "bins of equal counts; on the grey line both are equal."
    )
    return save(canvas, data, out, "calibration", caption)


def exploration(rounds: pandas.DataFrame, out: Path) -> Figure:
    """How the exploring trajectories of each round ended."""
    canvas, grid = new()
    axes = grid[0, 0]
    bottom = np.zeros(len(rounds))
    for reason, color in zip(REASONS, CYCLE, strict=False):
        counts = rounds[f"n_{reason}"].to_numpy()
        axes.bar(rounds["round"], counts, bottom=bottom, color=color, width=0.6, label=reason)
        bottom = bottom + counts
    axes.set_xticks(rounds["round"])
    axes.legend()
    label(axes, "round of exploration", "trajectories")
    return save(
        canvas, rounds, out, "exploration", "How the short excited runs of each round of exploration ended."
    )


def _stride(n: int) -> int:
    return max(1, -(-n // MOST_POINTS))


def _span(values: npt.ArrayLike) -> list[float]:
    finite = np.asarray(values, dtype=float)
    return [float(finite.min()), float(finite.max())]


def _histogram(errors: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    limit = float(np.quantile(np.abs(errors), 0.998)) or 1e-12
    counts, edges = np.histogram(errors, np.linspace(-limit, limit, N_BINS))
    return counts, edges
