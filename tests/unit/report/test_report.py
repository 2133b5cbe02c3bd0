"""Sections survive a round trip; the page is whole, escaped, quiet about nothing that failed."""

import base64
import hashlib
import importlib
import json
import pkgutil
import re
from pathlib import Path

import numpy as np
import pandas
import pytest

import frazil
from frazil import tables as tables_of
from frazil.analysis.statistics import difference_unpaired
from frazil.errors import UserError
from frazil.parameters import all_parameters
from frazil.parameters import groups as groups_of_parameters
from frazil.report import run_line
from frazil.report.cells import shown
from frazil.report.citing import cited, listed, works
from frazil.report.heads import head, quantity
from frazil.report.page import render
from frazil.report.plot import new, note, save
from frazil.report.section import Figure, Gate, Result, Section, Table, number, with_interval
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
            Gate("force RMSE of C", np.float64(0.031), 0.05, True, why="a", remedy="b"),
            Gate("no hole", 3, 0, False, "three holes", why="a", remedy="b"),
            Gate("teacher", float("nan"), 0, None, "not run", why="a", remedy="b"),
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


def test_what_a_result_rests_on_is_one_or_many() -> None:
    told = {"1 frame": (1, "frames"), "6 frames": (6, "frames"), "1 pass": (1, "passes")}
    assert [Result("", 1.0, n=n, of=of).counted for n, of in told.values()] == list(told)
    assert Result("", 1.0).counted == ""
    assert Result("", 1.0, n=1).counted == "1"


def test_section_round_trip(results: Path) -> None:
    section = Section.read(results)
    assert section.title == "Potential <1>"
    assert section.gates[0].value == 0.031
    assert section.gates[2].value is None  # not a number: null, as JSON has no nan
    assert section.figures == [Figure("line.svg", "A <line>.", "line.csv")]
    section.write(results)
    assert Section.read(results) == section


def test_page_is_self_contained_and_escaped(results: Path) -> None:
    html = page(results)
    assert "Potential &lt;1&gt;" in html
    assert "Errors are &lt;small&gt; &amp; known." in html
    assert "<line>" not in html
    assert "a&amp;b" in html
    assert html.count("<svg ") == 1
    links = set(re.findall(r"(?:src|href)=\"([^\"]+)", html))
    files = {link for link in links if not link.startswith(("#", "data:", "https://doi.org/10."))}
    assert files == {
        f"potential/{name}" for name in ("line.svg", "line.pdf", "line.csv", "long.csv", "empty.csv")
    }
    assert all((results.parent / file).is_file() for file in files)
    assert {link[1:] for link in links if link.startswith("#")} <= set(re.findall(r"\bid=\"([^\"]+)", html))
    assert "http:" not in html
    [script] = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html


def test_failed_gates_come_first_and_in_plain_sight(results: Path) -> None:
    html = page(results)
    assert "1 of 3 gates failed" in html
    assert html.index("✗ FAILED") < html.index("? not measured") < html.index("✓ passed")
    assert 'class="gate bad' in html


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
    assert "0.50 [0.40, 0.60]" in html  # two digits of the half width
    assert ">0.25<" in html  # no interval known
    assert "value [95\u00a0%]" in html
    assert ">other, 95 % from<" in html  # it has no value before it: a column of its own


def test_wide_figures_take_the_whole_width(results: Path) -> None:
    canvas, axes = new(width_in=7.3)
    axes[0, 0].plot([0, 1], [0, 1])
    entry = save(canvas, pandas.DataFrame({"x": [1]}), results, "wide", "Wide.")
    Section(title="x", figures=[entry, Figure("line.svg", "Narrow.", "line.csv")]).write(results)
    assert page(results).count('class="whole"') == 1


def test_settings_carry_units_and_meanings(results: Path) -> None:
    html = page(
        results, {"a": {"timestep_fs": {"value": 0.1, "unit": "fs", "description": "Step."}}, "cutoff_A": 6.5}
    )
    text = re.sub(r"<[^>]+>", " ", html.replace("<wbr>", ""))
    assert re.search(r"a\.timestep_fs\s+0\.1\s+fs\s+Step\.", text)
    assert re.search(r"cutoff_A\s+6\.5\s+Å", text)


def test_settings_of_experiments_that_did_not_run_are_folded(results: Path) -> None:
    given = {
        "photodesorption": {"criterion_A": 2.5},
        "sticking": {"aim_radius_A": 1.5},
        "deepmd": {"n_models": 2},
    }
    shown = page(results, {"experiments": ["sticking"], **given}).split('<section id="settings">')[1]
    changed, folded = shown.split("<details>")[:2]
    for name, above in (("sticking", True), ("deepmd", True), ("photodesorption", False)):
        assert (f"{name}." in changed) == above
        assert f"{name}." in folded


def test_settings_that_differ_come_first_and_the_rest_is_folded(results: Path) -> None:
    html = page(results, {"campaign_seed": 7, "photodesorption": {"criterion_A": 3.0, "timestep_fs": 0.25}})
    shown, folded = html.split('<section id="settings">')[1].split("<details>")[:2]
    assert "campaign_<wbr>seed" in shown
    assert "timestep_<wbr>fs" in shown
    assert "criterion_<wbr>A" not in shown
    assert "criterion_<wbr>A" in folded


def test_results_are_cards_at_the_top(results: Path) -> None:
    row = {"p": 0.3123, "low_95": 0.2221, "high_95": 0.4321, "total_low_95": 0.1, "total_high_95": np.nan}
    cards = [
        Result.of_row("Probability", "p", row, n=40, of="trajectories", verdict="agrees with the teacher"),
        Result("Energy of molecules", float("nan"), "meV", n=6),
        Result("Depth", -266.4, "K", -301.2, -231.7, -350.0, -180.0, 12),
    ]
    section = Section.read(results)
    section.results, section.main_figure = cards, "line.svg"
    section.write(results)
    assert Section.read(results).results[0] == cards[0]
    html = page(results, {"title": "My run", "purpose": "demonstration"})
    text = re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL))
    top = text[: text.index("Result Gate Value")]
    for said in (
        "My run",
        "demonstration",
        "0.31 [0.22, 0.43]",
        "n = 40 trajectories",
        "agrees with the teacher",
    ):
        assert said in top, said
    assert "cannot tell (n = 6)" in top
    assert "−266 K [−301, −232] with the model's error [−350, −180]" in top
    assert html.count("<svg ") == 1  # the main figure is at the top alone
    assert html.index("<svg ") < html.index("✗ FAILED")


def test_gates_say_why_and_what_to_do(results: Path) -> None:
    gate = Gate.at_most("drift", 3, 1).because("More heats the ice.", "Take a shorter step.")
    with pytest.raises(ValueError, match="gate 'drift' says no reason and no remedy; give both by because"):
        Section("Silent", gates=[gate, Gate.at_most("drift", 3, 1)]).write(results)
    Section(title="x", gates=[gate]).write(results)
    html = page(results)
    assert "<details open><summary>Why this limit, and what to do</summary>" in html  # it failed
    assert "If missed: Take a shorter step." in html
    assert Section.read(results).gates == [gate]


def test_panels_without_data_are_named(results: Path) -> None:
    canvas, axes = new(1, 2)
    axes[0, 0].plot([0, 1], [0, 1])
    axes[0, 1].set_title("fast")
    note(axes[0, 1], "too few molecules (0)")
    drawn = save(canvas, pandas.DataFrame({"x": [1]}), results, "half", "Both.")
    empty, axes = new()
    note(axes[0, 0], "none was kept")
    nothing = save(empty, pandas.DataFrame({"x": [1]}), results, "none", "Heights.")
    assert (nothing.file, (results / "none.svg").exists()) == ("", False)
    Section(title="x", figures=[drawn, nothing]).write(results)
    html = page(results)
    assert "Left out of “Both”: fast (too few molecules (0))." in html.replace("\u00a0", " ")
    assert "Not drawn: Heights (none was kept)." in html


def test_what_was_used_is_cited(results: Path) -> None:
    Section(
        title="x", methods="It was done.", references=["@brown2001: Jeffreys' interval", "Own work."]
    ).write(results)
    html = page(
        results, {"experiments": ["infrared"], "campaign_seed": 3, "infrared": {"level": "pbe0/def2-svp"}}
    )
    assert "10.1214/ss/1009213286" in html
    assert "(Jeffreys&#39; interval)" in html
    assert "<li>Own work.</li>" in html
    for key in ("brown2001", "pyscf2020", "def22005", "zaverkin2020", "nextflow2017"):
        assert f"@article{{{key}," in html.replace("\n", ""), key
    assert "lammps2022" not in html  # infrared runs without
    assert "It was done." in html
    with pytest.raises(UserError, match=r"@nobody is not in works\.bib"):
        cited("@nobody")


def test_every_reference_of_a_section_is_in_the_bibliography_and_the_list() -> None:
    package = Path(frazil.__file__).parent
    keys = {
        key
        for file in package.rglob("*.py")
        for key in re.findall(r'^ *"@(\w+?\d{4})(?::|")', file.read_text(), re.M)
    }
    assert len(keys) > 10
    assert keys <= set(works())
    assert all(work.doi == "" or re.fullmatch(r"10\.\d{4,}/\S+", work.doi) for work in works().values())


def test_the_list_of_citations_is_that_of_the_bibliography() -> None:
    """Renew it by ``python -c "from frazil.report.citing import listed; print(listed(), end='')"``."""
    root = Path(__file__).resolve().parents[3]
    assert (root / "CITATIONS.md").read_text() == listed()
    cff = (root / "CITATION.cff").read_text()
    assert f"version: {frazil.__version__}\n" in cff


def test_parameters_named_in_remedies_are_there() -> None:
    package = Path(frazil.__file__).parent
    known = set(all_parameters())
    files = [*package.glob("experiments/*/section.py"), *package.glob("experiments/*/validation.py")]
    files += [package / "experiments/infrared/results.py", package / "labels/imports/step.py"]
    groups = "|".join(groups_of_parameters())
    named = {
        name
        for file in files
        for name in re.findall(
            rf"\b(?:{groups})\.(?!csv)[a-z]\w+",
            "\n".join(re.findall(r'^    "(.*)",?$', file.read_text(), re.M)),
        )
    }
    assert len(named) > 10
    assert named <= known


def test_the_line_of_the_run_is_written_when_it_ends(results: Path) -> None:
    page(results)
    root = results.parent
    assert run_line.finish(root).startswith("nothing to do")
    run = {
        "git_commit": "0123456789abcdef", "campaign_seed": 3, "start": "2026-11-29T08:33:36.330992524Z",
        "end": "2026-11-29T10:03:36.1Z", "core_hours": 1.234, "command": "nextflow run main.nf --a '<b>'",
        "profile": "demo", "host": "node1",
    }  # fmt: skip
    (root / "run.json").write_text(json.dumps(run))
    for _ in range(2):  # again, where a resumed run leaves the page as it is
        assert run_line.finish(root).endswith("tells where it came from")
        text = re.sub(r"<[^>]+>", " ", (root / "report.html").read_text())
        for said in (
            "0123456789",
            "2026-11-29 08:33 UTC",
            "1.5 h",
            "1.23",
            "--a &#x27;&lt;b&gt;&#x27;",
            "make rerun",
        ):
            assert text.count(said) == 1, said
        assert "its last start" not in text
    assert "its last start" not in run_line.told(run | {"tasks": {"run": 47, "cached": 0, "failed": 0}})
    resumed = run | {"tasks": {"run": 3, "cached": 44, "failed": 1}}
    assert "1.5 h since its last start, which found 44 of 48 tasks done" in run_line.told(resumed)


def test_drawings_with_scripts_are_refused(results: Path) -> None:
    (results / "line.svg").write_text('<svg viewBox="0 0 1 1"><script>alert(1)</script></svg>')
    with pytest.raises(UserError, match="is no drawing that the page may hold"):
        page(results)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("n_stuck", "stuck (number)"),
        ("surface_temperature_K", "surface temperature (K)"),
        ("test_force_rmse_eV_per_A", "test force RMSE (eV/Å)"),
        ("translational_peak_v0_j_below_7", "translational peak v = 0 J below 7"),
        ("low_95_paper", "95 % from, paper"),
        ("half_life_s", "half-life (s)"),
        ("j_peak_low_95", "J_peak, 95 % from"),
        ("fraction_above_200_meV", "fraction above 200 meV"),
        ("polarization_low_95_e_A", "polarization (e Å), 95 % from"),
        ("field_V_per_A", "field (V/Å)"),
    ],
)
def test_columns_have_heads_in_words(name: str, text: str) -> None:
    assert head(name) == text


def test_a_unit_is_the_whole_unit() -> None:
    """Of all tables and settings: no eV_per_A2 is in Å²."""
    names = [found.name for found in pkgutil.walk_packages(frazil.__path__, "frazil.")]
    modules = [importlib.import_module(name) for name in names if name.endswith("tables")]
    tables = [value for module in modules for value in vars(module).values()]
    columns = {
        column.name for table in tables if isinstance(table, tables_of.Table) for column in table.columns
    }
    assert len(columns) > 300
    assert not [name for name in columns if " per " in head(name)]
    halves = ("A", "A2", "atom", "mol", "amu", "ps", "meV", "cm3", "eV")
    ratios = [name for name in all_parameters() if "_per_" in name and name.rpartition("_per_")[2] in halves]
    assert len(ratios) > 10
    assert not [name for name in ratios if not re.search("[/⁻]", unit_of(name))]


def test_cells_that_are_names_are_words_too() -> None:
    texts = {"criterion_A": "criterion (Å)", "J > 40": "J > 40", "model": "model", "mean_time": "mean time"}
    assert {text: quantity(text) for text in texts} == texts


def test_one_model_is_said_of_intervals_that_are_there(tmp_path: Path) -> None:
    columns = "p,low_95,high_95,model_std,total_low_95,total_high_95"
    for rows, alone in (("0.5,0.4,0.6,,,", True), (",,,,,", False), ("0.5,0.4,0.6,0.1,0.3,0.7", False)):
        (tmp_path / "table.csv").write_text(f"{columns}\n{rows}\n")
        assert shown(tmp_path / "table.csv").one_model == alone, rows


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ((0.31234, 0.2222, 0.4321), ("0.31", "[0.22, 0.43]")),
        ((-266.4, -301.2, -231.7), ("−266", "[−301, −232]")),
        ((1.23456, 1.2301, 1.2399), ("1.2346", "[1.2301, 1.2399]")),
        ((0.0, 0.0, 0.33), ("0.00", "[0.00, 0.33]")),
        ((0.5, None, None), ("0.5", "")),
        ((float("nan"), 0, 1), ("–", "")),
        ((5.0, 5.0, 5.0), ("5", "[5, 5]")),
        ((438.2, 3.051, 3173.4), ("440", "[3.1, 3200]")),
        ((7.999e23, 7.455e21, 8.582e25), ("8e+23", "[7.5e+21, 8.6e+25]")),
    ],
)
def test_digits_follow_the_interval(numbers: tuple[float, ...], texts: tuple[str, str]) -> None:
    assert with_interval(*numbers) == texts


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
    (results / "line.svg").unlink()
    with pytest.raises(UserError, match=r"names line.svg, which is not there"):
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
