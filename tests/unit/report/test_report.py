"""Sections survive a round trip; the page is whole, escaped, quiet about nothing that failed."""

import json
import re
from pathlib import Path

import numpy as np
import pandas
import pytest

from frazil.analysis.statistics import difference_unpaired
from frazil.errors import UserError
from frazil.report.page import render
from frazil.report.plot import new, save
from frazil.report.section import Figure, Gate, Section, Table, number
from frazil.settings import unit_of


@pytest.fixture
def results(tmp_path: Path) -> Path:
    directory = tmp_path / "potential"
    canvas, axes = new()
    axes[0, 0].plot([0, 1], [0, 1])
    entry = save(canvas, pandas.DataFrame({"time_fs": [0, 1]}), directory, "line", "A <line>.")
    pandas.DataFrame({"energy_eV": np.linspace(0, 1, 40), "name": ["a&b"] * 40}).to_csv(
        directory / "long.csv", index=False
    )
    (directory / "empty.csv").write_text("")
    Section(
        title="Potential <1>",
        headline="It is good.",
        text=["Errors are <small> & known."],
        gates=[
            Gate("force RMSE of C", np.float64(0.031), 0.05, True),
            Gate("no hole", 3, 0, False, "three holes"),
            Gate("teacher", float("nan"), 0, None, "not run"),
        ],
        figures=[entry],
        tables=[Table("long.csv", "Long."), Table("empty.csv", "Empty.")],
        references=["A. Author, J. 1, 1 (2020)."],
    ).write(directory)
    return directory


def page(results: Path, settings: object = None) -> str:
    root = results.parent
    chosen = settings or {"campaign_seed": 1, "dynamics": {"timestep_fs": 0.1, "window_A": [2, 3]}}
    (root / "settings.json").write_text(json.dumps(chosen))
    (root / "versions.json").write_text('{"python": "3.11.2"}')
    render([results], root / "settings.json", root / "versions.json", root / "report.html")
    return (root / "report.html").read_text()


def test_section_round_trip(results: Path) -> None:
    section = Section.read(results)
    assert section.title == "Potential <1>"
    assert section.gates[0].value == 0.031
    assert section.gates[2].value is None  # not a number: null, as JSON has no nan
    assert section.figures == [Figure("line.png", "A <line>.", "line.csv")]
    section.write(results)
    assert Section.read(results) == section


def test_page_is_self_contained_and_escaped(results: Path) -> None:
    html = page(results)
    assert "Potential &lt;1&gt;" in html
    assert "Errors are &lt;small&gt; &amp; known." in html
    assert "<line>" not in html
    assert "a&amp;b" in html
    assert html.count("data:image/png;base64,") == 1
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)
    assert "http" not in html.replace('http-equiv="Content-Security-Policy"', "")
    assert "<script" not in html


def test_failed_gates_come_first_and_in_plain_sight(results: Path) -> None:
    html = page(results)
    assert "1 of 3 gates failed" in html
    assert html.index("✗ FAILED") < html.index("? not measured") < html.index("✓ passed")
    assert 'class="bad"' in html


def test_long_tables_are_cut_and_say_so(results: Path) -> None:
    html = page(results)
    assert "The first 25 of 40 rows" in html
    assert "(no rows)" in html


def test_a_value_and_its_interval_share_a_cell(results: Path) -> None:
    table = pandas.DataFrame(
        {
            "quantity": ["p", "q"], "value": [0.5, 0.25], "low_95": [0.4, np.nan], "high_95": [0.6, np.nan],
            "other_low_95": [1.0, 2.0],
        }
    )  # fmt: skip
    table.to_csv(results / "short.csv", index=False)
    Section(title="x", tables=[Table("short.csv", "Short.")]).write(results)
    html = page(results)
    assert "0.5 [0.4, 0.6]" in html
    assert ">0.25<" in html  # no interval known
    assert "value [95 %]" in html
    assert "other_<wbr>low_<wbr>95" in html  # it has no value before it: a column of its own


def test_wide_figures_take_the_whole_width(results: Path) -> None:
    canvas, _ = new(width_in=7.3)
    entry = save(canvas, pandas.DataFrame({"x": [1]}), results, "wide", "Wide.")
    Section(title="x", figures=[entry, Figure("line.png", "Narrow.", "line.csv")]).write(results)
    assert page(results).count('class="whole"') == 1


def test_settings_carry_units_and_meanings(results: Path) -> None:
    html = page(
        results, {"a": {"timestep_fs": {"value": 0.1, "unit": "fs", "description": "Step."}}, "cutoff_A": 6.5}
    )
    text = re.sub(r"<[^>]+>", " ", html.replace("<wbr>", ""))
    assert re.search(r"a\.timestep_fs\s+0\.1\s+fs\s+Step\.", text)
    assert re.search(r"cutoff_A\s+6\.5\s+Å", text)


def test_same_page_twice(results: Path) -> None:
    assert page(results) == page(results)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "yes"),
        (3, "3"),
        (0.0312345, "0.03123"),
        (float("nan"), "–"),
        ("", "–"),
        (2000.0, "2000"),
        (-3, "−3"),
        (-3.0, "−3"),
        (np.int64(-3), "−3"),
        (np.float32(-0.5), "−0.5"),
        (-1.5e-7, "−1.5e−07"),
        ([-1, 2.5], "[−1, 2.5]"),
        ("-0.5 to 0.5", "−0.5 to 0.5"),
        ("-1e-05", "−1e−05"),
        ("pbe-d3bj/def2-svp of 2026-11-29, 3-5", "pbe-d3bj/def2-svp of 2026-11-29, 3-5"),
        (np.bool_(False), "no"),
    ],
)
def test_numbers_for_readers(value: object, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("max_force_eV_per_A", "eV/Å"),
        ("timestep_fs", "fs"),
        ("campaign_seed", ""),
        ("error_meV_per_atom", "meV/atom"),
    ],
)
def test_units_from_names(name: str, unit: str) -> None:
    assert unit_of(name) == unit


def test_what_is_missing_is_named(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no section.json; give the results of a finished stage"):
        Section.read(tmp_path)
    (results / "line.png").unlink()
    with pytest.raises(UserError, match=r"names line.png, which is not there"):
        page(results)
    (results / "section.json").write_text("{}")
    with pytest.raises(UserError, match=r"is not a report section \(KeyError: 'title'\)"):
        Section.read(results)
    with pytest.raises(UserError, match=r"parameters .*gone.json cannot be read"):
        render([], tmp_path / "gone.json", tmp_path / "gone.json", tmp_path / "report.html")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(UserError, match=r"parameters .* holds a list; give a JSON object"):
        render([], tmp_path / "list.json", tmp_path / "list.json", tmp_path / "report.html")


def test_other_figure_formats_are_refused(results: Path) -> None:
    (results / "drawing.pdf").touch()
    Section(title="x", figures=[Figure("drawing.pdf", "")]).write(results)
    with pytest.raises(UserError, match=r"is of kind '.pdf'; allowed: .png, .svg"):
        page(results)


def test_a_difference_passes_where_its_whole_interval_is_within_the_margin() -> None:
    """A true bias of 0.10 at n = 80 passes a test for a difference in 7 of 10 runs, this in 1 of 20."""
    assert Gate.equivalent("d", 0.02, (-0.05, 0.09), 0.1).passed is True
    assert Gate.equivalent("d", 0.0, (-0.15, 0.15), 0.1).passed is False
    assert Gate.equivalent("d", None, (float("nan"), float("nan")), 0.1).passed is None
    rng = np.random.default_rng(1)
    counts = rng.binomial(80, [0.5, 0.6], size=(1000, 2))
    intervals = [difference_unpaired(int(b), 80, int(a), 80) for a, b in counts]
    same = [low <= 0 <= high for low, high in intervals]
    alike = [
        Gate.equivalent("d", (b - a) / 80, interval, 0.15).passed
        for (a, b), interval in zip(counts, intervals, strict=True)
    ]
    assert np.mean(same) > 0.6
    assert np.mean(alike) < 0.05


def test_energy_is_conserved_by_half_of_the_trajectories_and_by_all() -> None:
    assert [g.passed for g in Gate.conserves([0.1, -0.2, 5.0], 1, 10)] == [True, True]
    assert [g.passed for g in Gate.conserves([0.1, -0.2, -50.0], 1, 10)] == [True, False]
    assert [g.passed for g in Gate.conserves([float("nan")], 1, 10)] == [None, None]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"title": 3}, "3 is no text"),
        ({"title": "x", "text": [None]}, "None is no text"),
        ({"title": "x", "text": 5}, "is not a report section"),
        (
            {"title": "x", "tables": [{"file": "../../secret.csv", "caption": ""}]},
            "outside the section's folder",
        ),
        ({"title": "x", "tables": [{"file": "/etc/passwd", "caption": ""}]}, "outside the section's folder"),
        (
            {"title": "x", "tables": [{"file": "binary.csv", "caption": ""}]},
            r"table .*binary\.csv cannot be read",
        ),
        (
            {"title": "x", "tables": [{"file": "uneven.csv", "caption": ""}]},
            r"table .*uneven\.csv cannot be read",
        ),
        (
            {"title": "x", "gates": [{"name": "g", "value": 1, "limit": 1, "passed": "yes"}]},
            "is passed 'yes'",
        ),
        ({"title": "x", "gates": [{"name": "g", "value": 1, "limit": 1, "passed": []}]}, r"is passed \[\]"),
        ({"title": "x", "gates": [7]}, "is not a report section"),
        ([], "is not a report section"),
    ],
)
def test_odd_sections_are_refused_in_a_line(results: Path, section: object, message: str) -> None:
    (results / "binary.csv").write_bytes(bytes(range(256)) * 3)
    (results / "uneven.csv").write_text("a,b\n1,2\n3,4,5,6\n")
    (results / "section.json").write_text(json.dumps(section))
    with pytest.raises(UserError, match=message) as caught:
        page(results)
    assert len(str(caught.value).splitlines()) == 1


def test_an_interval_of_words_is_shown_as_it_is(results: Path) -> None:
    (results / "odd.csv").write_text("x,low_95,high_95\n1,few,many\n")
    Section(title="x", tables=[Table("odd.csv", "Odd.")]).write(results)
    assert ">few<" in page(results)
