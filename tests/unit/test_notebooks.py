"""The code cells of the notebooks run, one after the other, and come to their numbers."""

import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def executed(notebook: Path) -> dict[str, Any]:
    """The names of a notebook after all of its code cells, in one namespace."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(json.loads(notebook.read_text())["cells"]):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{notebook.name}, cell {number}", "exec"), names)  # noqa: S102
    return names


@pytest.fixture(autouse=True)
def _beside(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.chdir(root / "notebooks")
    matplotlib.use("Agg")


def test_there_are_two_without_outputs() -> None:
    assert [file.stem for file in NOTEBOOKS] == ["ensemble", "sticking"]
    for file in NOTEBOOKS:
        cells = json.loads(file.read_text())["cells"]
        assert not any(cell.get("outputs") for cell in cells), f"{file.name}: clear its outputs"


def test_an_ensemble_with_a_potential_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    found = executed(NOTEBOOKS[0])
    assert "-16.505 ε" in capsys.readouterr().out
    assert found["n_evaporated"][20.0] == 0
    assert found["n_evaporated"][45.0] > 0


def test_from_labels_to_a_sticking_coefficient() -> None:
    found = executed(NOTEBOOKS[1])
    assert len(found["rows"]) == 12
    assert set(found["rows"]["model_id"]) == {"gmnn-0", "gmnn-1"}
    assert (
        found["curve"]["test_force_rmse_eV_per_A"].iloc[-1]
        < found["curve"]["test_force_rmse_eV_per_A"].iloc[0]
    )
    assert found["s"]["coefficient"].between(0, 1).all()
    assert (found["s"]["total_low_95"] <= found["s"]["low_95"]).all()
