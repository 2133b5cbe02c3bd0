"""Finished labels survive a kill, and are found by content."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms

from frazil.data.frames import write_frames
from frazil.errors import OutOfTime, UserError
from frazil.labels import label as labelling
from frazil.labels import levels as labellers
from frazil.labels import shards
from frazil.labels.store import Label, LabelStore


def frames(count: int) -> list[Atoms]:
    return [Atoms("CO", [[0, 0, 0], [0, 0, 1.1 + 0.01 * number]]) for number in range(count)]


class Slow(labellers.Labeller):
    """A labeller that writes down what it was asked for; its third frame has no label."""

    code = "slow"
    version = "1"
    asked: list[float] = []  # noqa: RUF012
    die_after = 1000
    signal_after = 1000

    def __init__(self, settings: Mapping[str, Any]) -> None: ...

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        for number, atoms in enumerate(frames):
            if number == self.die_after:
                raise KeyboardInterrupt
            bond = float(atoms.get_distance(0, 1))
            self.asked.append(round(bond, 2))
            if number + 1 == self.signal_after:
                os.kill(os.getpid(), signal.SIGTERM)
            if round(bond, 2) == 1.12:
                yield "the SCF did not converge"
            else:
                yield Label(
                    bond, np.full((2, 3), bond / 3), np.array([0, 0, bond]), {"label_attempt": "default"}
                )


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> type[Slow]:
    monkeypatch.setitem(labellers.LEVELS, "slow", Slow)
    monkeypatch.setattr(Slow, "asked", [])
    return Slow


def test_a_killed_run_goes_on_where_it_was(
    slow: type[Slow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow, "die_after", 4)
    with pytest.raises(KeyboardInterrupt):
        labelling.label(frames(6), "slow", checkpoints=tmp_path)
    monkeypatch.setattr(slow, "die_after", 1000)
    labelled, failures = labelling.label(frames(6)[::-1], "slow", checkpoints=tmp_path)
    assert slow.asked == [1.1, 1.11, 1.12, 1.13, 1.15, 1.14]
    assert [failure.reason for failure in failures] == ["the SCF did not converge"]
    whole, _ = labelling.label(frames(6)[::-1], "slow")
    for resumed, direct in zip(labelled, whole, strict=True):
        assert resumed.get_potential_energy() == direct.get_potential_energy()
        assert (resumed.get_forces() == direct.get_forces()).all()
        assert (resumed.get_dipole_moment() == direct.get_dipole_moment()).all()
        assert resumed.info == direct.info
        assert resumed.info["label_attempt"] == "default"


def test_the_time_limit_stops_between_frames(
    slow: type[Slow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow, "signal_after", 2)
    with pytest.raises(OutOfTime, match="the labels of 2 of 3 frames are in"):
        labelling.label(frames(3), "slow", checkpoints=tmp_path)
    assert len(list(tmp_path.rglob("*.json"))) == 2


def test_labels_belong_to_level_code_and_version(tmp_path: Path) -> None:
    (atoms,) = frames(1)
    LabelStore(tmp_path, "pbe/def2-svp", "pyscf", "2.14").keep(atoms, Label(-1.0, None))
    kept = LabelStore(tmp_path, "pbe/def2-svp", "pyscf", "2.14").find(atoms)
    assert isinstance(kept, Label)
    assert kept.energy_eV == -1.0
    assert kept.forces_eV_per_A is None
    assert LabelStore(tmp_path, "pbe/def2-svp", "pyscf", "2.15").find(atoms) is None
    assert LabelStore(tmp_path, "pbe0/def2-svp", "pyscf", "2.14").find(atoms) is None


def test_a_frame_is_known_by_atoms_and_positions(tmp_path: Path) -> None:
    store = LabelStore(tmp_path, "level", "code", "1")
    (atoms,) = frames(1)
    store.keep(atoms, "no")
    same = atoms.copy()
    same.positions += [-1e-10, 1e-10, 0]
    same.info["trajectory_id"] = "another"
    assert store.find(same) == "no"
    moved = atoms.copy()
    moved.positions[0, 0] += 1e-7
    assert store.find(moved) is None
    assert store.find(Atoms("OC", atoms.positions)) is None


def test_frames_of_any_molecules_are_read_for_electronic_structure(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no dataset .*nowhere.extxyz; give an extxyz file"):
        shards.label_file(tmp_path / "nowhere.extxyz", tmp_path / "out.extxyz", "pbe0/def2-svp")
    (tmp_path / "bad.extxyz").write_text("two\natoms\n")
    with pytest.raises(UserError, match=r"bad.extxyz, frame 0: .two. is no number of atoms"):
        shards.label_file(tmp_path / "bad.extxyz", tmp_path / "out.extxyz", "pbe0/def2-svp")


def test_labels_of_an_earlier_run_are_taken_over(slow: type[Slow], tmp_path: Path) -> None:
    write_frames(tmp_path / "part.extxyz", frames(2))
    write_frames(tmp_path / "all.extxyz", frames(4))
    shards.label_file(tmp_path / "part.extxyz", tmp_path / "labelled.extxyz", "slow")
    flags = {"checkpoints": tmp_path / "kept", "known": tmp_path / "labelled.extxyz"}
    shards.label_file(tmp_path / "all.extxyz", tmp_path / "out.extxyz", "slow", **flags)
    assert slow.asked == [1.1, 1.11, 1.12, 1.13]
    earlier, later = ase.io.read(tmp_path / "labelled.extxyz", ":"), ase.io.read(tmp_path / "out.extxyz", ":")
    assert [atoms.get_potential_energy() for atoms in later] == pytest.approx([1.1, 1.11, 1.13])
    for before, after in zip(earlier, later[:2], strict=True):
        assert (before.get_forces() == after.get_forces()).all()
        assert before.info == after.info
    with pytest.raises(UserError, match=r"known labels without checkpoints; give a folder"):
        shards.label_file(tmp_path / "all.extxyz", tmp_path / "out.extxyz", "slow", known=flags["known"])


def test_labels_of_another_level_are_not_taken_over(slow: type[Slow], tmp_path: Path) -> None:
    labelled, _ = labelling.label(frames(1), "slow")
    labelled[0].info["label_level"] = "quick"
    with pytest.raises(UserError, match="a label by quick, slow, 1 cannot be taken over for slow, slow, 1"):
        labelling.label(frames(1), "slow", checkpoints=tmp_path, known=labelled)


def test_a_damaged_label_costs_that_label_and_a_warning(
    slow: type[Slow], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelling.label(frames(4), "slow", checkpoints=tmp_path)
    store = LabelStore(tmp_path, "slow", "slow", "1")
    files = [store._file(atoms) for atoms in frames(4)]
    files[1].write_bytes(bytes(files[1].stat().st_size))
    slow.asked.clear()
    labelled, _ = labelling.label(frames(4), "slow", checkpoints=tmp_path)
    assert slow.asked == [1.11]
    assert [atoms.get_potential_energy() for atoms in labelled] == pytest.approx([1.1, 1.11, 1.13])
    told = {line for line in capsys.readouterr().err.splitlines() if "damaged" in line}
    assert len(told) == 1
    assert str(files[1]) in told.pop()


OTHER = """
import sys
from ase import Atoms
from frazil.labels.store import Label, LabelStore
frames = [Atoms("CO", [[0, 0, 0], [0, 0, 1.1 + 0.01 * number]]) for number in range(3)]
store = LabelStore(sys.argv[1], "slow", "slow", "1")
held = store.claim(frames[1:])
print("held", flush=True)
sys.stdin.readline()
store.keep(frames[1], Label(7.0, None, details={"label_attempt": "default"}))
"""


def test_a_frame_that_another_process_labels_is_waited_for(slow: type[Slow], tmp_path: Path) -> None:
    words = [sys.executable, "-c", OTHER, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        labelling.label(frames(1), "slow", checkpoints=tmp_path)  # nobody's: not waited for
        threading.Timer(0.3, other.communicate, ("end\n",)).start()
        labelled, _ = labelling.label(frames(2), "slow", checkpoints=tmp_path)
    assert slow.asked == [1.1]
    assert labelled[1].get_potential_energy() == 7.0
