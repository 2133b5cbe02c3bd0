"""Figures are the same bytes each time, and their data lie beside them."""

import re
from pathlib import Path

import numpy as np
import pandas

import frazil
from frazil.report.plot import MODEL, TEACHER, Histogram, bin_edges, label, marker, new, note, save


def draw(directory: Path) -> bytes:
    canvas, axes = new(1, 2)
    histogram = Histogram("meV")
    values = np.random.default_rng(1).gamma(2.0, 10.0, 50)
    edges = bin_edges([values], (5, 10), 60.0, 500.0)
    histogram.add(axes[0, 0], "model", MODEL, values, edges, 500.0)
    histogram.add(axes[0, 0], "teacher", TEACHER, values[:3], edges, 500.0)
    marker(axes[0, 0], 25.0, "paper")
    label(axes[0, 0], "energy (meV)", "density (meV⁻¹)", "title")
    note(axes[0, 1], "too few")
    entry = save(canvas, histogram.table(), directory, "energies", "Energies.")
    assert (entry.file, entry.data) == ("energies.svg", "energies.csv")
    return (directory / "energies.svg").read_bytes() + (directory / "energies.pdf").read_bytes()


def test_figures_are_reproducible(tmp_path: Path) -> None:
    assert draw(tmp_path / "a") == draw(tmp_path / "b")


def test_histogram_data_hold_every_value(tmp_path: Path) -> None:
    draw(tmp_path)
    table = pandas.read_csv(tmp_path / "energies.csv")
    bins = table[table["kind"] == "histogram"]
    assert bins.groupby("series")["n"].sum().to_dict() == {"model": 50, "teacher": 3}
    area = (bins["density"] * (bins["high_meV"] - bins["low_meV"])).groupby(bins["series"]).sum()
    assert np.allclose(area, 1)
    assert set(table.loc[table["kind"] == "density", "series"]) == {"model"}  # three values make no curve


def test_bin_edges_cover_the_values() -> None:
    edges = bin_edges([np.array([0.0, 7.0, 130.0])], (5.0, 50.0), 60.0, 1000.0)
    assert edges[0] == 0
    assert edges[-1] >= 130
    assert bin_edges([np.array([0.0, 5000.0])], (50.0,), 60.0, 1000.0)[-1] <= 1050
    assert bin_edges([np.zeros(3)], (1.0,), 20.0, 100.0)[-1] >= 20


def test_text_stays_text_and_a_legend_leaves_the_data_alone(tmp_path: Path) -> None:
    canvas, axes = new()
    x = np.linspace(0, 1, 200)
    for height in np.linspace(0, 1, 12):
        axes[0, 0].plot(x, np.full_like(x, height), label="a line")
    label(axes[0, 0], "time (ps)", "energy (eV)")
    axes[0, 0].legend(loc="upper left", ncols=3)
    save(canvas, pandas.DataFrame({"x": [1]}), tmp_path, "lines", "Lines.")
    assert ">time (ps)</text>" in (tmp_path / "lines.svg").read_text()
    inside = axes[0, 0].get_window_extent()
    assert not axes[0, 0].get_legend().get_window_extent().overlaps(inside)


def test_many_points_become_an_image_within_the_drawing(tmp_path: Path) -> None:
    canvas, axes = new()
    axes[0, 0].plot(np.arange(5000), np.arange(5000), ".")
    save(canvas, pandas.DataFrame({"x": [1]}), tmp_path, "cloud", "Cloud.")
    drawn = (tmp_path / "cloud.svg").read_text()
    assert "data:image/png;base64," in drawn
    assert len(drawn) < 200_000


def test_axes_are_named_in_one_style() -> None:
    for file in Path(frazil.__file__).parent.rglob("*.py"):
        named = re.findall(r'"[^"\n]* / \(?(?:Å|K|[pf]s|m?eV|°|cm)[^"\n]*"', file.read_text())
        assert not named, file


def test_a_logarithmic_axis_of_few_decades_has_plain_numbers(tmp_path: Path) -> None:
    for name, ends, there in (("narrow", (2.1, 8.5), "3"), ("wide", (1e-5, 1e6), "100")):
        canvas, axes = new()
        axes[0, 0].plot([1, 2], ends)
        axes[0, 0].set_yscale("log")
        save(canvas, pandas.DataFrame({"y": ends}), tmp_path, name, "A curve.")
        drawn = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        texts = re.findall(r"<!-- (.*?) -->", drawn) + re.findall(r"<(?:text|tspan)[^>]*>([^<]+)<", drawn)
        assert any(text.strip() == there for text in texts), texts
        assert not any("times" in text or "×" in text for text in texts if name == "narrow"), texts
