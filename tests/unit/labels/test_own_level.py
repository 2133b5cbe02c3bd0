"""A level of one's own: any program, declared in a folder, that writes what an importer reads."""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ase.build import molecule

from frazil.data.frames import load_frames, write_frames
from frazil.errors import UserError
from frazil.labels.label import label
from frazil.labels.own_level import read_own_level
from frazil.labels.settings import LabelFrames, Labels
from frazil.labels.shards import label_file, plan_shards
from frazil.settings import BadSettings

LEVEL = "harmonic/toy"
PROGRAM = """
import sys
lines = [line.split() for line in open("job.in") if len(line.split()) == 4]
positions = [[float(x) for x in line[1:]] for line in lines]
print(len(lines))
energy = sum(x * x for row in positions for x in row) / 2
print(f'Properties=species:S:1:pos:R:3:forces:R:3 energy={energy:.12f} pbc="F F F"')
for line, row in zip(lines, positions):
    print(line[0], *line[1:], *(f"{-x:.12f}" for x in row))
"""


def declare(folder: Path, program: str = PROGRAM, **changes: Any) -> Path:
    """Write a folder that declares a level: a program that reads job.in and writes extxyz."""
    folder.mkdir(parents=True, exist_ok=True)
    declared = {
        "level": LEVEL, "code": "toy", "version": "1", "command": f"{sys.executable} run.py > out.extxyz",
        "output": "out.extxyz", "format": "extxyz", "seconds": 2.5,
    } | changes  # fmt: skip
    (folder / "level.json").write_text(json.dumps(declared))
    (folder / "job.in.template").write_text("a frame of ${n_atoms} atoms\n${atoms}\n")
    (folder / "run.py").write_text(program)
    return folder


def test_labels_are_the_programs(tmp_path: Path) -> None:
    frames = [molecule("H2O"), molecule("NH3")]
    labelled, failures = label(frames, LEVEL, own_level=declare(tmp_path / "own"))
    assert not failures
    for atoms, found in zip(frames, labelled, strict=True):
        assert found.get_potential_energy() == pytest.approx((atoms.positions**2).sum() / 2, abs=1e-8)
        assert found.get_forces() == pytest.approx(-atoms.positions, abs=1e-8)
        assert (found.positions == atoms.positions).all()
        assert found.info["label_level"] == LEVEL
        assert found.info["label_code"] == "toy"


def test_the_label_step_takes_it_and_keeps_every_frame(tmp_path: Path) -> None:
    own = declare(tmp_path / "own")
    write_frames(tmp_path / "frames.extxyz", [molecule("H2O"), molecule("NH3"), molecule("CH4")])
    said = plan_shards(tmp_path / "frames.extxyz", tmp_path / "shards", LEVEL, 5 / 3600, own_level=own)
    assert len(list((tmp_path / "shards").iterdir())) == 2
    assert "7.5 s" in said or "in all about 0.00 h" in said
    given: dict[str, Any] = {"own_level": own, "checkpoints": tmp_path / "kept"}
    label_file(tmp_path / "frames.extxyz", tmp_path / "out.extxyz", LEVEL, **given)
    assert len(load_frames(tmp_path / "out.extxyz")) == 3
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "kept").rglob("*.json")}
    assert len(kept) == 3
    label_file(tmp_path / "frames.extxyz", tmp_path / "again.extxyz", LEVEL, **given)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "kept").rglob("*.json")} == kept
    (own / "run.py").write_text(PROGRAM.replace("/ 2", "/ 3"))  # another input is another version
    label_file(tmp_path / "frames.extxyz", tmp_path / "other.extxyz", LEVEL, **given)
    assert len(list((tmp_path / "kept").rglob("*.json"))) == 6
    energies = [
        load_frames(tmp_path / name)[0].get_potential_energy() for name in ("out.extxyz", "other.extxyz")
    ]
    assert energies[1] == pytest.approx(energies[0] * 2 / 3)


def test_a_real_program_gives_the_numbers_of_the_built_in_level(tmp_path: Path) -> None:
    pytest.importorskip("tblite")
    own = declare(
        tmp_path / "own",
        """
import ase.io
from tblite.ase import TBLite
atoms = ase.io.read("geometry.xyz")
atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
atoms.get_forces()
ase.io.write("out.extxyz", atoms)
""",
        command=f"{sys.executable} run.py",
        structure={"file": "geometry.xyz", "format": "xyz"},
    )
    frames = [molecule("H2O"), molecule("C2H6")]
    (ours, _), (theirs, _) = label(frames, LEVEL, own_level=own), label(frames, "gfn2-xtb")
    for a, b in zip(ours, theirs, strict=True):
        assert a.get_potential_energy() == pytest.approx(b.get_potential_energy(), abs=1e-6)
        assert a.get_forces() == pytest.approx(b.get_forces(), abs=1e-5)


def test_a_frame_in_a_box_comes_out_of_it(tmp_path: Path) -> None:
    own = declare(
        tmp_path / "own",
        """
import ase.io
import numpy
from ase.calculators.singlepoint import SinglePointCalculator
atoms = ase.io.read("POSCAR")
assert atoms.pbc.all() and min(atoms.cell.lengths()) > 15.9
atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=numpy.ones((len(atoms), 3)))
ase.io.write("out.extxyz", atoms)
""",
        command=f"{sys.executable} run.py",
        structure={"file": "POSCAR", "format": "vasp"},
        vacuum_A=8,
    )
    (found,), failures = label([molecule("H2O")], LEVEL, own_level=own)
    assert not failures
    assert not found.pbc.any()
    assert (found.get_forces() == 1).all()


@pytest.mark.parametrize(
    ("program", "changes", "reason"),
    [
        ("import sys; print('no licence', file=sys.stderr); sys.exit(3)", {}, "exit status 3 .*no licence"),
        ("import time; time.sleep(60)", {"limit_s": 1}, "no answer within 1 s"),
        ("", {"command": "true"}, "wrote no out.extxyz"),
        (PROGRAM, {"command": f"{sys.executable} run.py | head -c 120 > out.extxyz"}, "extxyz"),
        (PROGRAM.replace('line[0]', '"He"'), {}, "not the frame's atoms in order"),
        (PROGRAM.replace("*line[1:]", '"1.0", "2.0", line[3]'), {}, "holds other positions"),
        (PROGRAM.replace("energy={energy:.12f}", "energy={energy:.12f} converged=F"), {}, "did not converge"),
        (PROGRAM.replace("energy={energy:.12f}", ""), {}, "no energy with forces"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_the_frames_reason(
    program: str, changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    begin = time.monotonic()
    labelled, (failure,) = label(
        [molecule("H2O")], LEVEL, own_level=declare(tmp_path / "own", program, **changes)
    )
    assert not labelled
    assert re.search(reason, failure.reason), failure.reason
    assert time.monotonic() - begin < 30


def test_a_program_that_is_not_there_stops_the_step(tmp_path: Path) -> None:
    own = declare(tmp_path / "own", command="no-such-program job.in")
    with pytest.raises(UserError, match=r"no-such-program, which .* runs, is not on PATH"):
        label([molecule("H2O")], LEVEL, own_level=own)


def test_a_program_that_could_hang_for_ever_is_warned_of(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames.extxyz", [molecule("H2O")])
    for number, (changes, settings) in enumerate(
        (({"limit_s": 0}, {}), ({"limit_s": 60}, {}), ({"limit_s": 0}, {"frame_limit_s": 60}))
    ):
        own = declare(tmp_path / f"own{number}", **changes)
        told = plan_shards(
            tmp_path / "frames.extxyz", tmp_path / f"shards{number}", LEVEL, 1.0, own_level=own, **settings
        )
        assert ("has no limit_s and labels.frame_limit_s is 0" in told) is (number == 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"code": ""}, "without code; allowed: level, code"),
        ({"colour": "red"}, "unknown colour"),
        ({"format": "docx"}, "format 'docx'; allowed: extxyz"),
        ({"seconds": -1}, "seconds -1; allowed"),
        ({"structure": "POSCAR"}, "structure 'POSCAR'; allowed"),
        ({"command": 3}, "command 3; allowed: a text"),
    ],
)
def test_a_wrong_declaration_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read_own_level(declare(tmp_path / "own", **changes))


def test_levels_are_refused_where_they_are_given(tmp_path: Path) -> None:
    own = declare(tmp_path / "own")
    assert Labels(level=LEVEL, own_level=own).level == LEVEL
    with pytest.raises(BadSettings, match="level: given harmonic/toi; did you mean harmonic/toy"):
        Labels(level="harmonic/toi", own_level=own)
    with pytest.raises(BadSettings, match="level: given harmonic/toy; allowed: van-hemert"):
        LabelFrames(frames=own / "run.py", level=LEVEL, out=tmp_path / "out")
    (own / "job.in.template").unlink()
    with pytest.raises(BadSettings, match="nothing carries the frame"):
        Labels(level=LEVEL, own_level=own)
    with pytest.raises(BadSettings, match="frazil's own"):
        Labels(level=LEVEL, own_level=declare(tmp_path / "same", level="gfn2-xtb"))


def test_labels_of_a_cost_that_is_not_said_are_kept(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames.extxyz", [molecule("H2O")])
    given = {"own_level": declare(tmp_path / "own", seconds=0), "checkpoints": tmp_path / "kept"}
    label_file(tmp_path / "frames.extxyz", tmp_path / "out.extxyz", LEVEL, **given)
    assert len(list((tmp_path / "kept").rglob("*.json"))) == 1
