"""The level-of-theory benchmark through real Nextflow, as small as it gets."""

from pathlib import Path

import pandas as pd
import pytest
from snapshots import Run

pytest.importorskip("pyscf", reason="needs the extra 'labels'")

SMALL = {
    "levels": "gfn2-xtb,gfn-ff",
    "reference": "ccsd(t)/aug-cc-pvdz",
    "n_points": "1",
    "h2_radii_A": "3.5",
    "co_radii_A": "4.0",
}


@pytest.mark.slow
def test_benchmark_of_levels(run_pipeline: Run, tmp_path: Path) -> None:
    given = [word for name, value in SMALL.items() for word in (f"--level_of_theory.{name}", value)]
    done = run_pipeline(tmp_path, "--experiments", "level_of_theory", *given)
    assert "no cost is known for this level" in done.stdout, "the estimate is said"
    results = tmp_path / "results"
    errors = pd.read_csv(results / "level_of_theory/errors.csv")
    assert set(errors["level"]) == {"gfn2-xtb", "gfn-ff"}
    assert list(errors["n"]) == [1, 1, 1, 1]
    assert (errors["mae_kJ_per_mol"] < 20).all()
    labels = pd.read_csv(results / "labels/dimers-ccsd-t-aug-cc-pvdz-reference/labels.csv")
    assert labels["n_labelled"].item() == 6
    assert labels["n_failed"].item() == 0
    assert "Levels of theory" in (results / "report.html").read_text()
