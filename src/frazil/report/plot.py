"""One look for every figure: colours safe for colour-blind readers, units on axes, data as CSV beside it."""

from pathlib import Path
from typing import Any

import cycler
import matplotlib
import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from frazil.analysis.statistics import density
from frazil.files import write_atomic
from frazil.report.section import Figure

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, GREY, BLACK = "#56B4E9", "#CC79A7", "#777777", "#000000"
CYCLE = (BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE, BLACK)
"""Okabe and Ito's palette, in the order lines are drawn."""
MODEL, TEACHER, CONTROL, PAPER = BLUE, VERMILLION, GREEN, GREY
"""The same colour for the same thing in every figure; the paper's values are dashed grey."""

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": cycler.cycler(color=CYCLE),
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.0,
    "errorbar.capsize": 2.5,
    "legend.frameon": True,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "legend.facecolor": "white",
    "legend.fontsize": 8.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "figure.dpi": 130,
    "savefig.dpi": 130,
    "savefig.facecolor": "white",
    "image.cmap": "viridis",
}


matplotlib.rcParams.update(STYLE)  # legends and error bars read it when they are drawn, not when made


def new(
    rows: int = 1,
    columns: int = 1,
    width_in: float = 4.5,
    height_in: float = 3.1,
    share_x: bool = False,
    share_y: bool = False,
) -> tuple[Canvas, np.ndarray]:
    """Return a figure and its axes, an object array (rows, columns); no pyplot, nothing to close."""
    canvas = Canvas(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(canvas)
    return canvas, canvas.subplots(rows, columns, squeeze=False, sharex=share_x, sharey=share_y)


def save(canvas: Canvas, data: pandas.DataFrame, directory: Path | str, stem: str, caption: str) -> Figure:
    """Write ``stem.png`` and its data ``stem.csv`` (column names carry units); return the section's entry."""
    directory = Path(directory)
    with write_atomic(directory / f"{stem}.csv") as partial:
        data.to_csv(partial, index=False, float_format="%.8g")
    with write_atomic(directory / f"{stem}.png") as partial:
        canvas.savefig(partial, format="png", metadata={"Software": None})
    return Figure(file=f"{stem}.png", caption=caption, data=f"{stem}.csv")


def label(axes: Axes, x: str, y: str, title: str = "") -> None:
    """Name both axes, with units."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if title:
        axes.set_title(title)


def note(axes: Axes, text: str) -> None:
    """Say inside empty axes why nothing is drawn."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=GREY, fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])


def marker(axes: Axes, x: float, text: str, color: str = PAPER) -> None:
    """Draw a vertical line whose meaning goes to the legend (call ``axes.legend`` after it)."""
    styles = ("--", ":", "-.")
    drawn = sum(line.get_gid() == "marker" for line in axes.lines)
    axes.axvline(
        x,
        color=color,
        linestyle=styles[drawn % len(styles)],
        linewidth=1.2,
        zorder=0.5,
        label=text,
        gid="marker",
    )


class Histogram:
    """Normalised histogram and kernel density of several samples in one panel, with the rows of its CSV."""

    def __init__(self, unit: str = "", fewest_for_density: int = 5) -> None:
        self.unit = f"_{unit}" if unit else ""
        self.fewest_for_density = fewest_for_density
        self.rows: list[dict[str, Any]] = []

    def add(
        self, axes: Axes, name: str, color: str, values: np.ndarray, edges: np.ndarray, upper: float = 0.0,
        panel: str = "",
    ) -> None:  # fmt: skip
        """Draw one sample (the model filled, others outlined); ``upper`` > 0 adds its kernel density."""
        counts, _ = np.histogram(values, edges)
        heights = counts / (len(values) * np.diff(edges))
        filled = color == MODEL
        axes.stairs(
            heights, edges, fill=filled, color=color, alpha=0.3 if filled else 1.0, linewidth=1.2,
            linestyle="-" if filled else ":", label=f"{name} (n = {len(values)})",
        )  # fmt: skip
        for low, high, count, height in zip(edges[:-1], edges[1:], counts, heights, strict=True):
            self._row(panel, name, "histogram", low, high, height, count)
        if upper > 0 and len(values) >= self.fewest_for_density:
            found = density(values, upper)
            shown = found.x <= edges[-1]
            axes.plot(found.x[shown], found.y[shown], color=color, linestyle="-" if filled else "--")
            for x, y in zip(found.x[shown][::5], found.y[shown][::5], strict=True):
                self._row(panel, name, "density", x, x, y, None)

    def _row(self, panel: str, name: str, kind: str, *numbers: float | None) -> None:
        low, high, value, count = numbers
        self.rows.append(
            {
                "panel": panel, "series": name, "kind": kind, f"low{self.unit}": low,
                f"high{self.unit}": high, "density": value, "n": count,
            }
        )  # fmt: skip

    def table(self) -> pandas.DataFrame:
        """Return the data drawn."""
        return pandas.DataFrame(self.rows).astype({"n": "Int64"})


def bin_edges(values: list[np.ndarray], widths: tuple[float, ...], least: float, most: float) -> np.ndarray:
    """Return bin edges from 0: the smallest of the widths that leaves at least ~5 values a bin."""
    pooled = np.concatenate(values)
    end = min(max(least, float(pooled.max()) * 1.02), most)
    spread = float(np.quantile(pooled, 0.9)) or end
    width = next((item for item in widths if len(values[0]) * item / spread >= 5), widths[-1])
    return np.arange(0.0, end + width, width)
