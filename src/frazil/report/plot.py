"""One look for every figure: colours safe for colour-blind readers, "quantity (unit)", journal widths.

``save`` writes a figure as SVG (for the page and for drawing programs) and as PDF (for a manuscript), and
its data as CSV beside them.
"""

import re
from pathlib import Path
from typing import Any

import cycler
import matplotlib
import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogFormatterSciNotation

from frazil.analysis.statistics import density
from frazil.files import write_atomic
from frazil.report.section import Figure, true_minus

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, GREY, BLACK = "#56B4E9", "#CC79A7", "#777777", "#000000"
CYCLE = (BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE, BLACK)
"""Okabe and Ito's palette, in the order lines are drawn."""
MODEL, TEACHER, CONTROL, AIMD, PAPER = BLUE, VERMILLION, GREEN, BLACK, GREY
"""The same colour for the same thing in every figure; the paper's values are dashed grey."""

SINGLE_in, DOUBLE_in = 3.5, 7.2
"""Widths of a figure over one column and over two columns of a journal (89 and 183 mm)."""
MOST_VERTICES = 2000
"""A line or a cloud of points with more becomes an image within the SVG and PDF."""

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.0,
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
    "legend.fontsize": 7.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "figure.dpi": 130,
    "savefig.dpi": 250,
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "frazil",
    "pdf.fonttype": 42,
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
    polar: bool = False,
) -> tuple[Canvas, np.ndarray]:
    """Return a figure and its axes, an object array (rows, columns); no pyplot, nothing to close.

    ``width_in`` and ``height_in`` give its shape. It is drawn as wide as one column of a journal, or as two
    where it has more than one column of panels or was asked to be wider than 5 inches. ``polar``: axes go
    around a circle.
    """
    chosen_in = DOUBLE_in if width_in > 5 or columns > 1 else SINGLE_in
    canvas = Canvas(figsize=(chosen_in, height_in * chosen_in / width_in), layout="constrained")
    FigureCanvasAgg(canvas)
    around = {"projection": "polar"} if polar else {}
    return canvas, canvas.subplots(
        rows, columns, squeeze=False, sharex=share_x, sharey=share_y, subplot_kw=around
    )


def save(canvas: Canvas, data: pandas.DataFrame, directory: Path | str, stem: str, caption: str) -> Figure:
    """Write ``stem.svg``, ``stem.pdf`` and the data ``stem.csv``; return the section's entry.

    Panels without data are left out, and the entry names them. Several panels get letters. A legend that
    would lie over data goes beside its panel. Column names of ``data`` carry units.
    """
    directory = Path(directory)
    with write_atomic(directory / f"{stem}.csv") as partial:
        data.to_csv(partial, index=False, float_format="%.8g")
    left_out = _leave_out_empty(canvas)
    panels = _panels(canvas)
    if not panels:
        return Figure(file="", caption=caption, data=f"{stem}.csv", left_out=left_out)
    for letter, axes in zip(LETTERS, panels if len(panels) > 1 else (), strict=False):
        axes.set_title(f"({letter}) {axes.get_title('left')}".rstrip())
    for axes in canvas.axes:
        artists: list[Any] = [*axes.lines, *axes.collections]
        if axes not in panels:  # a colour bar: no gaps between its steps
            for artist in axes.collections:
                artist.set_edgecolor("face")
        if (legend := axes.get_legend()) is not None:
            for text in legend.get_texts():
                text.set_text(true_minus(text.get_text()))
        for artist in artists:
            artist.set_rasterized(_n_vertices(artist) > MOST_VERTICES)
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatterSciNotation):
                axis.set_major_formatter(PlainDecades())
                axis.set_minor_formatter(PlainDecades())
    canvas.draw_without_rendering()
    rows: dict[int, float] = {}
    for axes in panels:
        place: Any = axes.get_subplotspec()
        rows[place.rowspan.start] = max(rows.get(place.rowspan.start, 0.0), _clear_legend(axes))
    if (room := sum(rows.values())) or sum(_break_labels(axes) for axes in panels):
        canvas.set_figheight(canvas.get_figheight() + room / canvas.dpi)  # panels keep their size
        canvas.draw_without_rendering()
    for number, axes in enumerate(panels):
        if unit := re.search(r"^time\b.*\((fs|ps)\)$", axes.get_xlabel().replace("\n", " ")):
            ends = [end * {"fs": 1, "ps": 1000}[unit[1]] for end in axes.get_xlim()]
            axes.patch.set_gid(OVER_TIME.format(*ends, number))
    canvas.set_layout_engine("none")  # both files show what was laid out here
    for kind, nothing in (("svg", ("Date", "Creator")), ("pdf", ("CreationDate", "Creator", "Producer"))):
        with write_atomic(directory / f"{stem}.{kind}") as partial:
            canvas.savefig(partial, format=kind, metadata=dict.fromkeys(nothing))
            if kind == "svg":
                drawn = partial.read_text(encoding="utf-8")
                partial.write_text(drawn.replace("'DejaVu Sans'", FONTS), encoding="utf-8")
    return Figure(file=f"{stem}.svg", caption=caption, data=f"{stem}.csv", left_out=left_out)


class PlainDecades(LogFormatterSciNotation):
    """Numbers of a logarithmic axis: 0.3, 3 and 300 as they are, powers of ten beyond 0.001 to 1000.

    Which of the ticks within a decade have a number stays Matplotlib's choice.
    """

    def __init__(self) -> None:
        super().__init__(labelOnlyBase=False, minor_thresholds=(2, 0.4))

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the text of a tick, empty for one without."""
        text = super().__call__(x, pos)
        return f"{x:g}" if text and 1e-3 <= abs(x) <= 1e3 else text


OVER_TIME = "over-time:{:.6g}:{:.6g}:{}"
"""In an SVG the id of the area of a panel over time: from and to, fs, and the panel's number."""
FONTS = "'DejaVu Sans', Verdana, Arial, sans-serif"
"""Of a text in an SVG, where the first is not installed."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _panels(canvas: Canvas) -> list[Axes]:
    """Return the figure's axes without its colour bars."""
    return [axes for axes in canvas.axes if axes.get_subplotspec() is not None]


def _n_vertices(artist: Any) -> int:
    if hasattr(artist, "get_xdata"):
        return int(np.size(artist.get_xdata()))
    return max(len(artist.get_offsets()), sum(np.size(path.vertices) // 2 for path in artist.get_paths()))


def _leave_out_empty(canvas: Canvas) -> str:
    """Take panels without data out of a figure, close the gaps, and return their names with the reason."""
    told = []
    panels = _panels(canvas)
    for axes in panels:
        if axes.has_data():
            continue
        name = axes.get_title("left") or axes.get_ylabel()
        why = axes.get_label() if axes.get_gid() == EMPTY else "no data"
        told.append(f"{name} ({why})" if name else str(why))
    kept = [axes for axes in panels if axes.has_data()]
    if told and kept:
        _close_gaps(canvas, panels, kept)
    for axes in panels:
        if axes not in kept:
            axes.remove()
    return "; ".join(told)


def _close_gaps(canvas: Canvas, panels: list[Axes], kept: list[Axes]) -> None:
    """Lay the panels that are kept out anew, on a grid and a figure of their size."""
    grid: Any = kept[0].get_gridspec()
    columns = min(grid.ncols, len(kept))
    rows = -(-len(kept) // columns)
    if columns == 1 < grid.ncols:
        canvas.set_figwidth(SINGLE_in)
    canvas.set_figheight(canvas.get_figheight() * rows / grid.nrows)
    closed = canvas.add_gridspec(rows, columns)
    below = next((name for axes in reversed(panels) if (name := axes.get_xlabel())), "")
    for place, axes in enumerate(kept):
        axes.set_subplotspec(closed[place // columns, place % columns])
        if place + columns >= len(kept):  # nothing is below it: a shared axis has its numbers here
            axes.xaxis.set_tick_params(labelbottom=True)
            axes.set_xlabel(axes.get_xlabel() or below)
        if place % columns == 0:
            axes.yaxis.set_tick_params(labelleft=True)


def _clear_legend(axes: Axes) -> float:
    """Move a legend that lies over data to a free corner, else below the panel.

    Return how much room it takes there, pixels.
    """
    legend = axes.get_legend()
    if legend is None:
        return 0.0
    for place in (None, "upper right", "upper left", "lower right", "lower left", "center right"):
        if place is not None:
            legend.set_loc(place)
        if not _covers(legend, axes):
            return 0.0
    inside = axes.get_window_extent()
    named = axes.xaxis.get_tightbbox()
    below = min(0.0, named.y0 - inside.y0) / inside.height if named else 0.0
    legend.set_loc("upper left")
    legend.set_bbox_to_anchor((0.0, below), transform=axes.transAxes)
    return float(legend.get_window_extent().height)


def _break_labels(axes: Axes) -> bool:
    """Break an axis' name that is longer than the axis into two lines; return whether one was."""
    inside, broken = axes.get_window_extent(), False
    for axis, room in ((axes.xaxis, inside.width), (axes.yaxis, inside.height)):
        box = axis.label.get_window_extent()
        text = axis.label.get_text()
        if max(box.width, box.height) > room and " " in text and "\n" not in text:
            middle = min((m.start() for m in re.finditer(" ", text)), key=lambda i: abs(i - len(text) / 2))
            axis.label.set_text(f"{text[:middle]}\n{text[middle + 1 :]}")
            broken = True
    return broken


def _covers(legend: Any, axes: Axes) -> bool:
    """Return whether a legend lies over a line, a patch or a cloud of the axes, or leaves the axes."""
    box = legend.get_window_extent()
    inside = axes.get_window_extent()
    if box.width > inside.width or box.height > inside.height:
        return True
    for line in axes.lines:
        if line.get_gid() != "marker" and line.get_path().transformed(line.get_transform()).intersects_bbox(
            box, filled=False
        ):
            return True
    for patch in axes.patches:
        if patch.get_path().transformed(patch.get_transform()).intersects_bbox(box, filled=bool(patch.fill)):
            return True
    for cloud in axes.collections:
        offsets = cloud.get_offset_transform().transform(cloud.get_offsets())
        if len(offsets) > 1 and any(box.contains(x, y) for x, y in offsets if x == x and y == y):
            return True
        if len(offsets) <= 1:
            paths = (path.transformed(cloud.get_transform()) for path in cloud.get_paths())
            if any(path.intersects_bbox(box, filled=True) for path in paths):
                return True
    return False


def label(axes: Axes, x: str, y: str, title: str = "") -> None:
    """Name both axes, as "quantity (unit)"."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if title:
        axes.set_title(title)


EMPTY = "empty"


def note(axes: Axes, text: str) -> None:
    """Say why nothing is drawn in axes; ``save`` leaves them out where nothing else is drawn there."""
    axes.set_gid(EMPTY)
    axes.set_label(text)


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
