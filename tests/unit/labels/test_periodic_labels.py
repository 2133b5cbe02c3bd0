"""Crystals and liquids through imports and labels: cells are kept where that is said, and there alone."""

from pathlib import Path

import numpy as np
import pandas
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from test_own_level import LEVEL, declare

from frazil.data.frames import load_frames, read_frames, write_frames
from frazil.errors import UserError
from frazil.labels.imports.readers import read_dataset
from frazil.labels.imports.step import import_dataset
from frazil.labels.label import label
from frazil.labels.levels import labeller
from frazil.labels.settings import ImportFrames, Labels, PrepareDataset
from frazil.labels.store import LabelStore
from frazil.potentials.analytic.co_crystal import alpha_co
from frazil.settings import BadSettings, load


def argon(n: int = 24, seed: int = 0) -> list[Atoms]:
    """A trajectory of a crystal with the forces of its energy, atoms written on any side of its faces."""
    random = np.random.default_rng(seed)
    start = Atoms("Ar4", 5.4 * np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]), pbc=True)
    start.set_cell([5.4, 5.4, 5.4])
    start = start.repeat((2, 2, 2))
    direction = random.normal(size=start.positions.shape)
    found = []
    for number in range(n):
        atoms = start.copy()
        atoms.positions += 0.12 * np.sin(0.3 * number) * direction
        atoms.positions += random.integers(-2, 3, size=atoms.positions.shape) @ atoms.cell.array
        atoms.calc = LennardJones(sigma=3.4, epsilon=0.0103, rc=5.0, smooth=True)
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info |= {"trajectory_id": "solid", "time_fs": 10.0 * number}
        found.append(atoms)
    return found


def test_cells_are_kept_where_it_is_said(tmp_path: Path) -> None:
    frames = argon()
    write_frames(tmp_path / "solid.extxyz", frames)
    out = tmp_path / "tables"
    with pytest.raises(UserError, match=r"solid.extxyz, frame 0: periodic, with .* Å of vacuum along axis 0"):
        import_dataset(tmp_path / "solid.extxyz", tmp_path / "used.extxyz", out)
    import_dataset(tmp_path / "solid.extxyz", tmp_path / "used.extxyz", out, periodic="yes")
    used = read_frames([tmp_path / "used.extxyz"], periodic="yes")
    assert len(used) == len(frames)
    for atoms, given in zip(used, frames, strict=True):
        assert atoms.pbc.all()
        np.testing.assert_allclose(atoms.cell.array, given.cell.array, atol=1e-8)
        np.testing.assert_allclose(atoms.positions, given.positions, atol=1e-7)
    table = pandas.read_csv(out / "files.csv")
    assert table["molecules"].tolist() == ["1 cell of Ar32 (24)"]
    # Steps of the trajectory are compared across the faces; forces explain the energies.
    assert table["n_steps_compared"][0] > 10
    assert table["energy_over_work"][0] == pytest.approx(1, abs=0.05)


def test_frames_far_apart_in_time_are_compared_across_faces_too(tmp_path: Path) -> None:
    """Single frames, one of them a double that is wrapped, one with a label of another unit."""
    frames = argon(12)
    for number, atoms in enumerate(frames):
        atoms.info = {"trajectory_id": f"alone-{number}"}
    double = frames[3].copy()
    double.positions += np.array([1, -1, 2]) @ double.cell.array
    double.calc = SinglePointCalculator(double, **frames[3].calc.results)
    frames[7].calc.results["energy"] += 0.4
    write_frames(tmp_path / "a.extxyz", [*frames, double])
    import_dataset(tmp_path / "a.extxyz", tmp_path / "b.extxyz", tmp_path / "t", "drop", periodic="yes")
    suspects = pandas.read_csv(tmp_path / "t/suspects.csv")
    assert (12, "duplicate") in set(zip(suspects["frame"], suspects["kind"], strict=True))
    assert (7, "mismatch") in set(zip(suspects["frame"], suspects["kind"], strict=True))


def test_a_sheet_says_it_file_by_file(tmp_path: Path) -> None:
    solid = argon(3)
    solid[0].calc.results["dipole"] = np.ones(3)
    molecule = Atoms("Ar2", [[0.2, 0, 0], [11.0, 0, 0]], cell=[12, 12, 12], pbc=True)
    molecule.calc = SinglePointCalculator(molecule, energy=-0.01, forces=np.ones((2, 3)) * [[1], [-1]])
    write_frames(tmp_path / "solid.extxyz", solid)
    write_frames(tmp_path / "pair.extxyz", [molecule])
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("file,level,periodic\nsolid.extxyz,lj,yes\npair.extxyz,lj,\n")
    in_cells, free = read_dataset(sheet)
    assert all(atoms.pbc.all() for atoms in in_cells.frames)
    np.testing.assert_array_equal(in_cells.frames[0].calc.results["dipole"], np.ones(3))
    assert not free.frames[0].pbc.any()
    assert free.frames[0].get_distance(0, 1) == pytest.approx(1.2)  # put together across the face
    with pytest.raises(BadSettings, match=r"solid.extxyz is periodic; allowed: free aggregates"):
        Labels(dataset=sheet)

    sheet.write_text("file,level,periodic\nsolid.extxyz,lj,perhaps\n")
    with pytest.raises(UserError, match="line 2: periodic 'perhaps'; allowed are no, yes, mixed, or nothing"):
        read_dataset(sheet)
    solid[2].pbc = False
    write_frames(tmp_path / "solid.extxyz", solid)
    sheet.write_text("file,level,periodic\nsolid.extxyz,lj,yes\n")
    with pytest.raises(
        UserError, match=r"solid.extxyz, frame 2: a cell whose pbc is off in a set that is said"
    ):
        read_dataset(sheet)
    solid[2].pbc = (True, True, False)
    write_frames(tmp_path / "solid.extxyz", solid)
    sheet.write_text("file,level,periodic\nsolid.extxyz,lj,mixed\n")
    with pytest.raises(UserError, match=r"solid.extxyz, frame 2: periodic along a, b only; allowed are all"):
        read_dataset(sheet)


def test_steps_say_it_in_one_way() -> None:
    assert ImportFrames.__dataclass_fields__["periodic"].default == "no"
    with pytest.raises(BadSettings, match=r"periodic: given yes; allowed: no with molecules, now CO"):
        load(PrepareDataset, {"frames": __file__, "out": "new", "periodic": "yes"})


def test_labels_of_crystals_are_the_known_truths(tmp_path: Path) -> None:
    moved = alpha_co(2)
    moved.rattle(0.02, seed=1)
    wrapped = moved.copy()
    wrapped.positions[::3] += moved.cell.array[1]
    labelled, failures = label([moved, wrapped, Atoms("CO", [[0, 0, 0], [0, 0, 1.1]])], "co-crystal")
    assert [failure.frame for failure in failures] == [2]
    assert "a crystal needs a cell and pbc" in failures[0].reason
    one, other = labelled
    assert one.pbc.all()
    assert other.get_potential_energy() == pytest.approx(one.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(other.get_forces(), one.get_forces(), atol=1e-9)
    step = np.zeros_like(moved.positions)
    step[5, 1] = 1e-4
    ends = []
    for sign in (1, -1):
        end = moved.copy()
        end.positions += sign * step
        ends.append(label([end], "co-crystal")[0][0].get_potential_energy())
    assert one.get_forces()[5, 1] == pytest.approx(-(ends[0] - ends[1]) / 2e-4, abs=1e-5)
    for level in ("van-hemert", "h2-co-analytic", "gfn-ff", "pbe/def2-svp"):
        (refused,) = label([moved[:4]], level, coupling_eV=0.0)[1]
        assert "periodic" in refused.reason
    # A cell is part of a label's identity; a free frame's is what it was.
    store = LabelStore(tmp_path, "co-crystal", "code", "1")
    pressed = moved.copy()
    pressed.set_cell(moved.cell.array * 0.99)
    free = moved.copy()
    free.pbc = False
    assert len({store._file(atoms) for atoms in (moved, pressed, free)}) == 3


def test_tblite_labels_boxes() -> None:
    """Water far from its images is free water; near them its forces are the energy's slopes."""
    pytest.importorskip("tblite")
    water = Atoms("OHH", [[0.1, 0, 0.1], [0.8, 0.6, 0.1], [-0.7, 0.6, 0.1]])
    boxed, near = water.copy(), water.copy()
    for atoms, edge in ((boxed, 30.0), (near, 3.5)):
        atoms.set_cell([edge] * 3)
        atoms.pbc = True
    displaced = []
    for sign in (1, -1):
        displaced.append(near.copy())
        displaced[-1].positions[1, 0] += sign * 1e-3
    labelled, failures = label([water, boxed, near, *displaced], "gfn1-xtb")
    assert not failures
    energies = [atoms.get_potential_energy() for atoms in labelled]
    assert energies[1] == pytest.approx(energies[0], abs=2e-3)
    assert abs(energies[2] - energies[0]) > 0.02
    slope = -(energies[3] - energies[4]) / 2e-3
    assert labelled[2].get_forces()[1, 0] == pytest.approx(slope, abs=2e-3)
    assert "dipole" in labelled[0].calc.results
    assert "dipole" not in labelled[1].calc.results
    assert labelled[2].pbc.all()
    told = labeller("gfn1-xtb").warning([water, boxed, near])
    assert told.startswith("warning: 1 of 3 frames have a cell of less than 10 Å between opposite faces")


def test_a_level_of_ones_own_is_given_the_cell(tmp_path: Path) -> None:
    program = """
lines = [line.split() for line in open("job.in")]
cell, rows = lines[1:4], lines[4:]
edges = [float(row[i]) for i, row in enumerate(cell)]
print(len(rows))
columns, energy = "Properties=species:S:1:pos:R:3:forces:R:3", sum(edges)
print(f'Lattice="{" ".join(sum(cell, []))}" {columns} energy={energy} pbc="T T T"')
for name, *place in rows:
    moved = [(float(x) + 0.5) % edge - 0.5 for x, edge in zip(place, edges)]  # as programs like to wrap
    print(name, *(f"{x:.10f}" for x in moved), 0, 0, 0.5)
"""
    own = declare(tmp_path / "own", program)
    (own / "job.in.template").write_text("${n_atoms}\n${cell}\n${atoms}\n")
    atoms = Atoms("ArNe", [[0.0, 0, 0], [9.5, 3.0, 1.0]], cell=[5.0, 6.0, 7.0], pbc=True)
    (found,), failures = label([atoms], LEVEL, own_level=own)
    assert not failures
    assert found.get_potential_energy() == 18.0
    assert found.pbc.all()
    np.testing.assert_allclose(found.positions, atoms.positions)
    (own / "run.py").write_text(program.replace('pbc="T T T"', 'pbc="F F F"'))
    (refused,) = label([atoms], LEVEL, own_level=own)[1]
    assert "pbc is off" in refused.reason


def test_a_labelled_file_keeps_the_cells(tmp_path: Path) -> None:
    from frazil.labels.shards import label_file

    write_frames(tmp_path / "frames.extxyz", [alpha_co(2)])
    label_file(tmp_path / "frames.extxyz", tmp_path / "labelled.extxyz", "co-crystal")
    (back,) = load_frames(tmp_path / "labelled.extxyz")
    assert back.pbc.all()
    np.testing.assert_allclose(back.cell.array, 11.3 * np.eye(3))
