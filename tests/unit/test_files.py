import hashlib
import os
from pathlib import Path

import pytest

from frazil.files import sha256_of, write_atomic


def test_a_file_appears_whole_with_its_folder(tmp_path: Path) -> None:
    target = tmp_path / "new" / "rows.csv"
    with write_atomic(target) as partial:
        partial.write_text("whole\n")
        assert not target.exists()
    assert target.read_text() == "whole\n"
    assert list(target.parent.iterdir()) == [target]


def test_file_and_folder_are_on_the_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a crashed node leaves is what had been synced: whole files only."""
    done: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        done.append(("sync", Path(os.readlink(f"/proc/self/fd/{handle}")).name))
        fsync(handle)

    def replaced(source: Path, target: Path) -> None:
        done.append(("replace", source.name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    with write_atomic(tmp_path / "rows.csv") as partial:
        partial.write_text("whole\n")
    assert done == [("sync", partial.name), ("replace", partial.name), ("sync", tmp_path.name)]


def test_two_writers_of_a_file_do_not_share_a_partial_one(tmp_path: Path) -> None:
    """Two containers of one host can have the same process number."""
    with write_atomic(tmp_path / "a") as one, write_atomic(tmp_path / "a") as two:
        one.write_text("one")
        two.write_text("two")
        assert one != two
    assert (tmp_path / "a").read_text() == "one"


def fail_half_way(target: Path, error: BaseException) -> None:
    with write_atomic(target) as partial:
        partial.write_text("half")
        raise error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "rows.csv"
    target.write_text("old\n")
    with pytest.raises(type(error)):
        fail_half_way(target, error)
    assert target.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [target]


def test_sha256_of_a_file_is_the_usual_one(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"bytes")
    assert sha256_of(file) == hashlib.sha256(b"bytes").hexdigest()


def test_sha256_of_a_folder_reads_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "inner" / "b").write_bytes(b"2")
    before = sha256_of(tmp_path)
    assert before == sha256_of(tmp_path / "a", tmp_path / "inner" / "b")
    (tmp_path / "inner" / "b").write_bytes(b"3")
    assert sha256_of(tmp_path) != before
