import errno
import json
import os
import signal
from pathlib import Path

import pytest

from frazil.checkpoints import Ledger, TimeLimit, key_of, reached
from frazil.errors import OutOfTime


def test_rows_come_back_bit_by_bit_and_only_those_asked_for(tmp_path: Path) -> None:
    row = {"energy": 0.1 + 0.2, "none": None, "list": [1e-300, float(2**53)]}
    ledger = Ledger(tmp_path, "key")
    ledger.save(3, row)
    ledger.save(7, {})
    assert Ledger(tmp_path, "key").finished(range(5)) == {3: row}
    assert Ledger(tmp_path, "other").finished(range(5)) == {}


def test_a_key_tells_settings_apart_and_not_their_order() -> None:
    assert key_of(a=1, b=2.0) == key_of(b=2.0, a=1)
    assert key_of(a=1) != key_of(a=2)


def test_a_key_is_of_the_code_that_a_script_reaches(tmp_path: Path, root: Path) -> None:
    package = tmp_path / "frazil"
    texts = {
        "__init__.py": "", "near.py": "def f():\n    from frazil.far import away\n", "far/__init__.py": "",
        "far/away.py": "import frazil.farthest", "farthest.py": "import numpy", "other.py": "",
    }  # fmt: skip
    for name, text in texts.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    script = tmp_path / "run.py"
    script.write_text("import json\nfrom frazil.near import f\n")
    found = {file.relative_to(package).as_posix() for file in reached(script, package)}
    assert found == texts.keys() - {"other.py"}

    whole = {file.name for file in reached(root / "bin/run_dipoles.py", root / "src/frazil")}
    assert {"dynamics.py", "ensemble.py", "semiempirical.py"} <= whole
    assert not {"learning.py", "lammps.py", "report.py"} & whole


def test_a_full_disk_keeps_what_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path, "key")
    ledger.save(0, {"x": 1})

    def half_written(path: Path, text: str) -> None:
        with path.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", half_written)
    with pytest.raises(OSError, match="No space left"):
        ledger.save(1, {"x": 2})
    with pytest.raises(OSError, match="No space left"):
        ledger.save(0, {"x": 3})
    assert ledger.finished(range(2)) == {0: {"x": 1}}
    assert [file.name for file in (tmp_path / "key").iterdir()] == ["00000000.json"]


def test_closing_forgets_own_rows_only(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "key")
    for identity in range(4):
        ledger.save(identity, identity)
    ledger.close([0, 1])
    assert ledger.finished(range(4)) == {2: 2, 3: 3}
    ledger.close([2, 3])
    assert not (tmp_path / "key").exists()
    ledger.close([2, 3])


def test_sigterm_is_out_of_time_at_the_next_check() -> None:
    with TimeLimit() as limit:
        limit.check("nothing")
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(OutOfTime, match="2 rows are saved"):
            limit.check("2 rows are saved")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_rows_are_readable_json(tmp_path: Path) -> None:
    Ledger(tmp_path, "key").save(12, {"a": 1})
    assert json.loads((tmp_path / "key/00000012.json").read_text()) == {"a": 1}
