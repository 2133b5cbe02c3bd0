"""HDF5 files: what was written comes back, and no damage passes: not a bit, not a claim of size."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from frazil.data import hdf5
from frazil.errors import UserError

ARRAYS = {"positions_A": np.arange(12.0).reshape(2, 2, 3), "layers/0/w": np.ones((3, 4)), "ids": np.arange(5)}


def test_what_is_written_is_read_by_any_reader_of_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "a@b.h5"
    hdf5.write(path, {"format": "x", "campaign_seed": 3}, ARRAYS)
    attributes, arrays = hdf5.read(path, "excite.py")
    assert attributes == {"format": "x", "campaign_seed": 3}
    assert sorted(arrays) == sorted(ARRAYS)
    with h5py.File(path) as file:
        for name, value in ARRAYS.items():
            assert (arrays[name] == value).all()
            assert (file[name][()] == value).all()
    content = path.read_bytes()
    hdf5.write(path, {"format": "x", "campaign_seed": 3}, ARRAYS)
    assert path.read_bytes() == content


def test_every_flipped_bit_every_cut_and_every_addition_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "states.h5"
    hdf5.write(path, {"campaign_seed": 3}, ARRAYS)
    content = path.read_bytes()
    places = {*range(0, len(content), 37), *range(100), len(content) - 1}
    for place in sorted(places):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"states\.h5 (is damaged: its digest is another|is no HDF5)"):
            hdf5.read(path, "excite.py")
    for other in (content[:-1], content[: len(content) // 2], content[:512], b"", content + b"\0", b"text"):
        path.write_bytes(other)
        with pytest.raises(UserError, match=r"states\.h5 (is damaged|is no HDF5 file of frazil; excite\.py)"):
            hdf5.read(path, "excite.py")
    with pytest.raises(UserError, match=r"none\.h5 does not exist; excite\.py makes it"):
        hdf5.read(tmp_path / "none.h5", "excite.py")


def test_nothing_is_allocated_for_sizes_that_the_file_cannot_hold(tmp_path: Path) -> None:
    """149 GiB out of 24 kB: one value, compressed or never written."""
    path = tmp_path / "bomb.h5"
    for how in ({"chunks": (10**6,), "compression": "gzip"}, {"chunks": (10**6,)}):
        with h5py.File(path, "w") as file:
            bomb = file.create_dataset("positions_A", (2 * 10**10,), "f8", **how)
            bomb[:10] = 1.0
        assert path.stat().st_size < 9e6
        with pytest.raises(UserError, match=r"positions_A would take 149 GiB of a file of \d+ bytes"):
            hdf5.read(path, "excite.py")


def test_arrays_in_other_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(80))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("ids", (10,), "f8", external=[(str(tmp_path / "secret"), 0, 80)])
    with pytest.raises(UserError, match=r"a\.h5 is damaged: ids"):
        hdf5.read(tmp_path / "a.h5", "excite.py")


def test_a_file_of_an_earlier_version_is_read_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["ids"] = np.arange(5)
    _, arrays = hdf5.read(tmp_path / "old.h5", "excite.py")
    assert arrays["ids"].tolist() == [0, 1, 2, 3, 4]
    assert "old.h5 has no digest" in capsys.readouterr().err
