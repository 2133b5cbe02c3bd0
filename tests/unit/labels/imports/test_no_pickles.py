"""A file of a user's that holds a pickle is refused, and what the pickle would do is not done."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from frazil.errors import UserError
from frazil.labels.imports.readers import FORMATS, Entry, read_entry


class Harmful:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # ASE leaves the file open
@pytest.mark.parametrize("kind", FORMATS)
def test_a_pickle_is_never_opened(tmp_path: Path, kind: str) -> None:
    mark = tmp_path / "harm done"
    file = tmp_path / f"frames.{kind}"
    if kind == "deepmd":
        (file / "set.000").mkdir(parents=True)
        (file / "type.raw").write_text("0\n1\n")
        (file / "nopbc").touch()
        for name in ("coord", "energy", "force"):
            np.save(file / f"set.000/{name}.npy", np.array([Harmful(mark)], dtype=object), allow_pickle=True)
    else:
        file.write_bytes(pickle.dumps(Harmful(mark)))
    with pytest.raises(
        UserError, match=f"read as {kind}|is no number of atoms|is no SQLite database|no table of positions"
    ):
        read_entry(Entry(file, format=kind))
    assert not mark.exists()


def test_the_pickle_would_do_harm(tmp_path: Path) -> None:
    mark = tmp_path / "harm done"
    pickle.loads(pickle.dumps(Harmful(mark)))
    assert mark.exists()
