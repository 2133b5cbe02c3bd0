"""The report in a browser, where one is found: no error, nothing refused or asked for, tables that sort."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import ase.io
import numpy as np
import pandas
import pytest
from ase import Atoms

from frazil.report.page import render
from frazil.report.plot import label, new, note, save
from frazil.report.section import Gate, Movie, Result, Section, Table

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
SILENT = ("--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    folder = root / "toy"
    canvas, axes = new(1, 2)
    axes[0, 0].plot(np.arange(5000), np.sin(np.arange(5000)), ".", label="many")  # becomes an image
    axes[0, 0].legend()
    note(axes[0, 1], "no data")
    figure = save(canvas, pandas.DataFrame({"x": [1]}), folder, "figure", "A figure <of> something.")
    canvas, axes = new()
    axes[0, 0].plot([0, 4], [0, 1])
    axes[0, 0].set_xlim(0, 4)
    label(axes[0, 0], "time (ps)", "height (Å)")
    curve = save(canvas, pandas.DataFrame({"x": [1]}), folder, "curve", "A curve.")
    frames = [Atoms("CO", [[0, 0, 0], [0, 0, 1.1 + i]], info={"time_fs": 1000.0 * i}) for i in range(5)]
    ase.io.write(folder / "flight.extxyz", frames)
    pandas.DataFrame({"name": list("bca"), "energy_eV": [2.0, 10.0, 1.0]}).to_csv(
        folder / "table.csv", index=False
    )
    Section(
        title="Toy",
        results=[Result("P", 0.5, low_95=0.4, high_95=0.6, n=80)],
        figures=[figure, curve],
        movies=[Movie("flight.extxyz", "an atom <leaves>", "It leaves.", "bin/frazil again")],
        main_figure=figure.file,
        gates=[Gate.at_most("drift", 3, 1).because("why", "what to do")],
        tables=[Table("table.csv", "A table.")],
    ).write(folder)
    (root / "settings.json").write_text(json.dumps({"campaign_seed": 7}))
    (root / "versions.json").write_text("{}")
    render([folder], root / "settings.json", root / "versions.json", root / "report.html")
    return root / "report.html"


@pytest.mark.skipif(BROWSER is None, reason=f"no browser: {', '.join(NAMES)}")
def test_a_browser_finds_nothing_wrong(page: Path, tmp_path: Path) -> None:
    # What the tester looks for is asked by a script that the test's copy alone may run.
    look = """
      document.querySelector('table.sortable th.number button').click();
      const film = document.querySelector('figure.movie'), slider = film.querySelector('input');
      slider.value = 3;
      slider.dispatchEvent(new Event('input'));
      const told = film.querySelector('output').textContent;
      const line = document.querySelector('line.now'), plane = document.querySelector('.over-time').getBBox();
      const place = (line.getAttribute('x1') - plane.x) / plane.width;
      const stills = getComputedStyle(film.querySelector('.pictures')).display;
      const images = [...document.images].filter(image => !(image.complete && image.naturalWidth)).length;
      const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
      const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
      const first = document.querySelector('table.sortable tbody td').textContent;
      const asked = performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length;
      const links = [...document.querySelectorAll('a[href^="#"]')].filter(
        a => !document.getElementById(a.getAttribute('href').slice(1))).length;
      const doubled = ids.length - new Set(ids).size;
      document.title = JSON.stringify({images, wide, doubled, first, asked, links, told, place, stills});
    """
    html = page.read_text().replace("script-src '", "script-src 'unsafe-hashes' 'nonce-test' '")
    copy = page.with_name("looked-at.html")
    copy.write_text(html.replace("</body>", f"<script nonce='test'>{look}</script></body>"))
    pages = {"report.html": r"<button type=.button.>", "looked-at.html": r"<title>(\{.*?\})</title>"}
    for name, says in pages.items():
        command = [
            str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", *SILENT, "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / name}", "--window-size=500,900", "--virtual-time-budget=3000",
            "--dump-dom", (page.with_name(name)).as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        told = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert not told, told  # a script's error, and what the page's policy refused
        found = re.search(says, done.stdout, re.DOTALL)
        assert found, done.stdout[-500:]
    seen = json.loads(found[1])
    assert seen.pop("place") == pytest.approx(0.75, abs=1e-3)  # 3 of 4 ps
    assert seen.pop("told") == "3000 fs"
    assert seen.pop("stills") == "none"  # the movie takes their place
    assert seen == {"images": 0, "wide": False, "doubled": 0, "first": "a", "asked": 0, "links": 0}
