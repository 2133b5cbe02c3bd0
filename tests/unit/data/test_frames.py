"""Reading, checking, splitting and converting labelled frames."""

import json
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import numpy as np
import pandas
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from frazil.data import deepmd_npy, split, windows
from frazil.data import frames as datasets
from frazil.errors import UserError
from frazil.systems.co import excited_molecule, read_lammps_data, set_excited, write_lammps_data


def frame(number: int = 0, n: int = 3, excited: int = -1, trajectory: str = "thermal-000000") -> Atoms:
    random = np.random.default_rng(number)
    positions = [[4.0 * m, 0.0, z] for m in range(n) for z in (0.0, 1.13)] + 0.02 * random.normal(
        size=(2 * n, 3)
    )
    atoms = Atoms("CO" * n, positions=positions)
    set_excited(atoms, excited)
    atoms.info |= {"trajectory_id": trajectory, "time_fs": 10.0 * number, "source": trajectory.split("-")[0]}
    atoms.info |= {"label_level": "van-hemert", "label_code": "frazil", "label_version": "0"}
    atoms.calc = SinglePointCalculator(
        atoms, energy=random.normal(), forces=random.normal(size=(2 * n, 3)), dipole=random.normal(size=3)
    )
    return atoms


def many(n_trajectories: int = 20, length: int = 5) -> list[Atoms]:
    return [
        frame(100 * t + i, excited=t % 3, trajectory=f"{('thermal', 'excited')[t % 2]}-{t:06d}")
        for t in range(n_trajectories)
        for i in range(length)
    ]


def test_writing_and_reading(tmp_path: Path) -> None:
    frames = [frame(0), frame(1, excited=2)]
    frames[1].set_velocities(np.ones((6, 3)))
    datasets.write_frames(tmp_path / "a.extxyz", frames)
    back = datasets.read_co_frames([tmp_path / "a.extxyz", tmp_path / "a.extxyz"])
    assert len(back) == 4
    for given, got in zip(frames, back[:2], strict=True):
        assert got.positions == pytest.approx(given.positions, abs=1e-8)
        assert got.get_forces() == pytest.approx(given.get_forces(), abs=1e-8)
        assert got.get_potential_energy() == pytest.approx(given.get_potential_energy(), abs=1e-8)
        assert got.get_dipole_moment() == pytest.approx(given.get_dipole_moment(), abs=1e-8)
        assert excited_molecule(got) == excited_molecule(given)
        assert got.info["trajectory_id"] == given.info["trajectory_id"]
    assert back[1].get_velocities() == pytest.approx(np.ones((6, 3)))


def test_tags_survive_extxyz_deepmd_and_lammps_and_back(tmp_path: Path) -> None:
    frames = [frame(0), frame(1, excited=0), frame(2, excited=2), frame(3, n=2, excited=1)]
    datasets.write_frames(tmp_path / "a.extxyz", frames)
    first = datasets.read_co_frames([tmp_path / "a.extxyz"])
    deepmd_npy.to_deepmd(first, tmp_path / "systems")
    second = datasets.read_co_frames([tmp_path / "systems"])
    third = []
    for number, atoms in enumerate(second):
        write_lammps_data(tmp_path / f"{number}.data", atoms)
        back = read_lammps_data(tmp_path / f"{number}.data")
        back.calc = atoms.calc
        third.append(back)
    datasets.write_frames(tmp_path / "b.extxyz", third)
    fourth = datasets.read_co_frames([tmp_path / "b.extxyz"])
    by_energy = {round(atoms.get_potential_energy(), 6): atoms for atoms in fourth}
    assert len(by_energy) == 4
    for atoms in frames:
        got = by_energy[round(atoms.get_potential_energy(), 6)]
        assert got.arrays["excited"].tolist() == atoms.arrays["excited"].tolist()
        assert got.positions == pytest.approx(atoms.positions, abs=3e-8)
        assert got.get_forces() == pytest.approx(atoms.get_forces(), abs=3e-8)


def test_deepmd_systems(tmp_path: Path) -> None:
    frames = [frame(0), frame(1, excited=0), frame(2, excited=0), frame(3, excited=2), frame(4, n=2)]
    systems = deepmd_npy.to_deepmd(frames, tmp_path / "a")
    assert [system.name for system in systems] == ["co02", "co03", "co03_x2", "co03_x0"]
    system = tmp_path / "a/co03_x0"
    assert (system / "type_map.raw").read_text().split() == ["C", "O", "X1", "X2"]
    assert (system / "type.raw").read_text().split() == ["2", "3", "0", "1", "0", "1"]
    assert (system / "nopbc").exists()
    assert np.load(system / "set.000/coord.npy").shape == (2, 18)
    assert np.load(system / "set.000/force.npy")[1] == pytest.approx(frames[2].get_forces().ravel())
    plain = deepmd_npy.to_deepmd(frames, tmp_path / "b", excited_types=False)
    assert [system.name for system in plain] == ["co02", "co03"]
    assert np.load(plain[1] / "set.000/energy.npy").shape == (4,)


def test_dpdata_reads_the_systems(tmp_path: Path) -> None:
    dpdata = pytest.importorskip("dpdata")
    atoms = frame(0, excited=1)
    (system,) = deepmd_npy.to_deepmd([atoms], tmp_path)
    read = dpdata.LabeledSystem(str(system), fmt="deepmd/npy")
    assert [read["atom_names"][i] for i in read["atom_types"]] == ["C", "O", "X1", "X2", "C", "O"]
    assert read["coords"][0] == pytest.approx(atoms.positions)
    assert read.nopbc


def test_a_foreign_order_of_atoms_is_put_right(tmp_path: Path) -> None:
    atoms = frame(0)
    shuffled = atoms[[0, 2, 4, 5, 3, 1]]
    del shuffled.arrays["excited"]
    shuffled.calc = SinglePointCalculator(shuffled, energy=1.0, forces=atoms.get_forces()[[0, 2, 4, 5, 3, 1]])
    datasets.write_frames(tmp_path / "a.extxyz", [shuffled])
    (back,) = datasets.read_co_frames([tmp_path / "a.extxyz"])
    assert back.positions == pytest.approx(atoms.positions, abs=1e-8)
    assert back.get_forces() == pytest.approx(atoms.get_forces(), abs=1e-8)


def test_a_broken_bond_of_our_own_frame_stays(tmp_path: Path) -> None:
    atoms = frame(0, excited=1)
    atoms.positions[3] += [0, 0, 3.0]
    datasets.write_frames(tmp_path / "a.extxyz", [atoms])
    (back,) = datasets.read_co_frames([tmp_path / "a.extxyz"])
    assert back.positions == pytest.approx(atoms.positions, abs=1e-8)


def _tag(*atoms_tagged: int) -> Callable[[Atoms], None]:
    def change(atoms: Atoms) -> None:
        atoms.arrays["excited"][:] = 0
        atoms.arrays["excited"][list(atoms_tagged)] = 1

    return change


def _labels(**results: object) -> Callable[[Atoms], None]:
    def change(atoms: Atoms) -> None:
        atoms.calc = SinglePointCalculator(atoms, **results)

    return change


def _renamed(atoms: Atoms) -> None:
    atoms.info["REF_energy"] = 1.0
    atoms.set_array("REF_forces", np.zeros((6, 3)))
    atoms.calc = None


def _no_type(atoms: Atoms) -> None:
    atoms.symbols[1] = "N"


def _periodic(atoms: Atoms) -> None:
    atoms.set_cell([20, 20, 20])
    atoms.pbc = True


def _wrong_tag(atoms: Atoms) -> None:
    atoms.arrays["excited"][:] = 2


def _lost(atoms: Atoms) -> None:
    atoms.positions[0] = np.nan


def _apart(atoms: Atoms) -> None:
    del atoms.arrays["excited"]
    atoms.positions[1] += 50


ZERO = np.zeros((6, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_labels(), r"a\.extxyz, frame 1: no energy and no forces; expected energy \(eV"),
        (_labels(energy=1.0), "frame 1: no forces; expected"),
        (_labels(forces=ZERO), "frame 1: no energy; expected"),
        (_renamed, "frame 1: unknown label names REF_energy, REF_forces; expected energy"),
        (_labels(energy=np.nan, forces=ZERO), "frame 1: the label energy is not a finite number"),
        (_labels(energy=1.0, forces=ZERO + np.nan), "frame 1: the label forces is not a finite number"),
        (_labels(energy=1.0, forces=ZERO, dipole=[np.nan, 0, 0]), "the label dipole is not a finite number"),
        (_no_type, "frame 1: N has no type; the types are C, O, X1, X2"),
        (_tag(2), r"frame 1: X1 without X2: 1 atom\(s\) are tagged as excited, of molecule\(s\) 1"),
        (_tag(2, 5), r"frame 1: X1 without X2: 2 atom\(s\) are tagged as excited, of molecule\(s\) 1, 2"),
        (
            _tag(0, 1, 2, 3),
            r"excited molecules 0 and 1 are \d\.\d+ Å apart, closer than the cutoff of 6\.5 Å",
        ),
        (_wrong_tag, "the column excited must hold 0 or 1"),
        (_periodic, "frame 1: the frame is periodic"),
        (_lost, "frame 1: a position is not a finite number"),
        (_apart, "frame 1: a C without an O within 2.2 Å"),
    ],
)
def test_bad_frames(tmp_path: Path, change: Callable[[Atoms], None], message: str) -> None:
    bad = frame(1)
    change(bad)
    datasets.write_frames(tmp_path / "a.extxyz", [frame(0), bad])
    with pytest.raises(UserError, match=message):
        datasets.read_co_frames([tmp_path / "a.extxyz"])


def test_two_excited_molecules_beyond_the_cutoff_are_allowed(tmp_path: Path) -> None:
    atoms = frame(0)
    _tag(0, 1, 4, 5)(atoms)
    datasets.write_frames(tmp_path / "a.extxyz", [atoms])
    datasets.read_co_frames([tmp_path / "a.extxyz"])
    with pytest.raises(UserError, match="closer than the cutoff of 9 Å"):
        datasets.read_co_frames([tmp_path / "a.extxyz"], cutoff_A=9.0)


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no dataset .*none\.extxyz"):
        datasets.read_co_frames([tmp_path / "none.extxyz"])
    (tmp_path / "empty.extxyz").touch()
    with pytest.raises(UserError, match=r"the dataset .*empty\.extxyz is empty"):
        datasets.read_co_frames([tmp_path / "empty.extxyz"])
    (tmp_path / "text.extxyz").write_text("not a frame\n")
    with pytest.raises(UserError, match="is no number of atoms; give ASE's extended XYZ"):
        datasets.read_co_frames([tmp_path / "text.extxyz"])
    with pytest.raises(UserError, match="no dataset given"):
        datasets.read_co_frames([])
    with pytest.raises(UserError, match="holds no DeePMD system"):
        datasets.read_co_frames([tmp_path])


def test_mixed_levels(tmp_path: Path) -> None:
    other = frame(1)
    other.info["label_level"] = "pbe-d3"
    datasets.write_frames(tmp_path / "a.extxyz", [frame(0), other])
    with pytest.raises(
        UserError, match=r"labels of different levels.*van-hemert by frazil \(first in .*frame 0"
    ):
        datasets.read_co_frames([tmp_path / "a.extxyz"])


def test_unlabelled_frames_are_read_on_demand(tmp_path: Path) -> None:
    atoms = frame(0)
    atoms.calc = None
    datasets.write_frames(tmp_path / "a.extxyz", [atoms])
    assert len(datasets.read_co_frames([tmp_path / "a.extxyz"], labelled=False)) == 1


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda system: (system / "set.000/energy.npy").unlink(), r"no energy\.npy"),
        (lambda system: (system / "set.000/force.npy").unlink(), r"no force\.npy"),
        (
            lambda system: (system / "type_map.raw").write_text("C O Q X2\n"),
            "Q is no element; types are elements",
        ),
        (lambda system: (system / "type_map.raw").write_text("C O\n"), "type 3 has no name in type_map.raw"),
        (lambda system: (system / "nopbc").unlink(), "is periodic"),
    ],
)
def test_bad_deepmd_systems(tmp_path: Path, break_it: Callable[[Path], object], message: str) -> None:
    (system,) = deepmd_npy.to_deepmd([frame(0, excited=0)], tmp_path)
    break_it(system)
    with pytest.raises(UserError, match=message):
        datasets.read_frames([tmp_path])


def test_the_users_order_of_types_is_translated(tmp_path: Path) -> None:
    (system,) = deepmd_npy.to_deepmd([frame(0, excited=0)], tmp_path)
    (system / "type_map.raw").write_text("X2 X1 O C\n")
    (system / "type.raw").write_text("1\n0\n3\n2\n3\n2\n")
    assert excited_molecule(datasets.from_deepmd(tmp_path)[0]) == 0


def test_windows() -> None:
    times = windows.window_times_fs(3000, (0, 500, 2500), (100, 10, 100))
    expected = [*range(0, 500, 100), *range(500, 2500, 10), *range(2500, 3001, 100)]
    assert times == pytest.approx(np.array(expected, float))
    assert windows.window_times_fs(250, (0, 500, 2500), (100, 10, 100)) == pytest.approx([0, 100, 200])
    for starts, intervals, message in (
        ((0, 500), (100,), "2 window starts and 1 intervals"),
        ((500, 0), (100, 10), "starts must rise"),
        ((0,), (0,), "intervals must be positive"),
    ):
        with pytest.raises(UserError, match=message):
            windows.window_times_fs(1000, starts, intervals)


def test_windows_of_imported_frames() -> None:
    frames = [frame(number, trajectory=f"import-{t}") for t in range(2) for number in range(100)]
    kept = windows.apply_windows(frames[::-1], (0, 500), (100, 20))
    assert [atoms.info["time_fs"] for atoms in kept[:30]] == [*range(0, 500, 100), *range(500, 1000, 20)]
    assert len(kept) == 60
    del frames[7].info["time_fs"]
    with pytest.raises(UserError, match="frame 7 has no time_fs"):
        windows.apply_windows(frames, (0,), (100,))


def test_split_by_trajectory_keeps_trajectories_together() -> None:
    frames = many()
    subsets = split.split(frames, "trajectory", 0.8, 0.1, 1)
    members: dict[str, set[str]] = {}
    for atoms, subset in zip(frames, subsets, strict=True):
        members.setdefault(atoms.info["trajectory_id"], set()).add(subset)
    assert all(len(found) == 1 for found in members.values())
    for source in ("thermal", "excited"):
        counts = [sum(m == {s} for t, m in members.items() if t.startswith(source)) for s in split.SUBSETS]
        assert counts == [8, 1, 1]
    order = np.random.default_rng(0).permutation(len(frames))
    mixed = split.split([frames[i] for i in order], "trajectory", 0.8, 0.1, 1)
    assert (mixed == subsets[order]).all()
    assert (split.split(frames, "trajectory", 0.8, 0.1, 2) != subsets).any()


def test_frames_of_another_source_leave_the_division_as_it_is() -> None:
    frames = many()
    added = [frame(t, trajectory=f"cut-{t}") for t in range(7)]
    for atoms in added:
        atoms.info |= {"source": "cutouts-1", "parent": f"cutouts-1-{atoms.info['trajectory_id']}"}
    before = split.split(frames, "trajectory", 0.8, 0.1, 1)
    assert (split.split(frames + added, "trajectory", 0.8, 0.1, 1)[: len(frames)] == before).all()


def test_split_by_frame_is_the_papers() -> None:
    frames = many()
    subsets = split.split(frames, "frame", 0.8, 0.1, 1)
    assert [(subsets == name).sum() for name in split.SUBSETS] == [80, 10, 10]
    assert (subsets == split.split(frames, "frame", 0.8, 0.1, 1)).all()


@pytest.mark.parametrize(
    ("n", "expected"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (24, (20, 2, 2))]
)
def test_few_trajectories(n: int, expected: tuple[int, ...]) -> None:
    frames = [frame(t, trajectory=f"excited-{t}") for t in range(n)]
    subsets = split.split(frames, "trajectory", 0.8, 0.1, 1)
    assert tuple((subsets == name).sum() for name in split.SUBSETS) == expected


def test_bad_splits() -> None:
    with pytest.raises(UserError, match="split by 'molecule'; allowed are trajectory and frame"):
        split.split([frame(0)], "molecule", 0.8, 0.1, 1)
    with pytest.raises(UserError, match="their sum at most 1"):
        split.split([frame(0)], "frame", 0.8, 0.3, 1)
    nameless = frame(0)
    del nameless.info["trajectory_id"]
    with pytest.raises(UserError, match="frame 0 has no trajectory_id"):
        split.split([nameless], "trajectory", 0.8, 0.1, 1)


def test_preparing(tmp_path: Path) -> None:
    frames = many()
    hot = frame(999, trajectory="excited-000001")
    hot.calc = SinglePointCalculator(hot, energy=0.0, forces=np.full((6, 3), 90.0))
    datasets.write_frames(tmp_path / "a.extxyz", [*frames, frames[0], hot])
    summary = split.prepare([tmp_path / "a.extxyz"], tmp_path / "dataset")
    assert summary == json.loads((tmp_path / "dataset/summary.json").read_text())
    assert (summary["n_read"], summary["n_frames"]) == (102, 100)
    assert (summary["n_above_max_force"], summary["n_duplicates_dropped"]) == (1, 1)
    assert summary["subsets"] == {"train": 80, "test": 10, "validation": 10}
    assert summary["atoms_by_type"] == {"C": 200, "O": 200, "X1": 100, "X2": 100}
    table = pandas.read_csv(tmp_path / "dataset/frames.csv")
    assert tuple(table.columns) == datasets.FRAME_COLUMNS
    for subset in split.SUBSETS:
        read = datasets.read_co_frames([tmp_path / f"dataset/{subset}.extxyz"])
        assert len(read) == (table["subset"] == subset).sum()
    again = split.prepare([tmp_path / "a.extxyz"], tmp_path / "again")
    assert again == summary


def test_preparing_with_windows_and_refusals(tmp_path: Path) -> None:
    frames = [frame(number, trajectory=f"import-{t}") for t in range(2) for number in range(100)]
    for number, atoms in enumerate(frames):
        atoms.positions += 0.001 * number
    write(tmp_path / "a.extxyz", frames)
    out = tmp_path / "dataset"
    summary = split.prepare(
        [tmp_path / "a.extxyz"], out, window_starts_fs=(0, 500), window_intervals_fs=(100, 20)
    )
    assert summary["n_outside_windows"] == 140
    with pytest.raises(UserError, match="give both or neither"):
        split.prepare([tmp_path / "a.extxyz"], out, window_starts_fs=(0,))
    with pytest.raises(UserError, match=r"all 200 frames have a force above 1e-06 eV/Å"):
        split.prepare([tmp_path / "a.extxyz"], out, max_force_eV_per_A=1e-6)


def water(number: int) -> Atoms:
    atoms = Atoms(
        "OHHCO", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0], [0, -4, 0], [0, -5.13, 0.02 * number]]
    )
    atoms.calc = SinglePointCalculator(atoms, energy=-5.0 - number, forces=np.full((5, 3), 0.1))
    atoms.info |= {"trajectory_id": f"water-{number}", "label_level": "made-up", "label_code": "none"}
    return atoms


def test_frames_of_any_molecules(tmp_path: Path) -> None:
    datasets.write_frames(tmp_path / "a.extxyz", [water(number) for number in range(10)])
    frames = datasets.read_frames([tmp_path / "a.extxyz"])
    assert frames[3].get_chemical_symbols() == ["O", "H", "H", "C", "O"], "atoms stay in their order"
    with pytest.raises(UserError, match="H has no type"):
        datasets.read_co_frames([tmp_path / "a.extxyz"])
    summary = split.prepare([tmp_path / "a.extxyz"], tmp_path / "dataset", molecules="any")
    assert summary["atoms_by_type"] == {"C": 10, "H": 20, "O": 20}
    assert summary["molecules"] == {"1 CO + 1 H2O": 10}
    assert set(pandas.read_csv(tmp_path / "dataset/frames.csv")["n_molecules"]) == {2}
    ghost = water(0)
    ghost.symbols[0] = "X"
    datasets.write_frames(tmp_path / "b.extxyz", [ghost])
    with pytest.raises(UserError, match="an atom of no element"):
        datasets.read_frames([tmp_path / "b.extxyz"])


def test_deepmd_systems_of_other_elements(tmp_path: Path) -> None:
    (system,) = deepmd_npy.to_deepmd([frame(0, n=2)], tmp_path)
    (system / "type_map.raw").write_text("Si O H C\n")
    (read,) = datasets.from_deepmd(tmp_path)
    assert read.get_chemical_symbols() == ["Si", "O", "Si", "O"]
    assert read.get_forces() == pytest.approx(frame(0, n=2).get_forces())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("99999999999\n\nC 0 0 0\n", r"frame 0: 99999999999 atoms are said, 1 are there"),
        ("2\n\nC 0 0 0\nO 0 0 1\n2\n\nC 0 0 0\n", "frame 1: 2 atoms are said, 1 are there"),
        ("2\n\nC 0 0 0\nO 0 0 1\nC 0 0 0\n", r"frame 1: 'C 0 0 0' is no number of atoms"),
        ("-3\n\nC 0 0 0\n", "frame 0: '-3' is no number"),
        ("1e9\n\nC 0 0 0\n", "frame 0: '1e9' is no number"),
        ("\0\1\2\n", "is no number of atoms"),
        ("1\n\nC 0 zero 0\n", r"cannot be read as extxyz"),
    ],
)
def test_counts_are_looked_at_before_anything_is_read(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "a@2.extxyz"
    file.write_text(content)
    begin = monotonic()
    with pytest.raises(UserError, match=message):
        datasets.load_frames(file)
    assert monotonic() - begin < 1.0


def test_an_at_sign_in_a_name_is_a_letter(tmp_path: Path) -> None:
    file = tmp_path / "run@300K@2.extxyz"
    write(file, [Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.1]])] * 3, format="extxyz")
    assert len(datasets.load_frames(file)) == 3


def test_frames_of_one_parent_stay_together_whatever_their_source() -> None:
    """The 50 clusters of one row of a table are among the 200 of another: no subset sees another's."""
    frames = []
    for source, n_clusters in (("cold", 10), ("warm", 40)):
        for cluster in range(n_clusters):
            for time in range(3):
                atoms = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.128 + 0.001 * time]])
                atoms.info = {"trajectory_id": f"{source}/{cluster}", "source": source}
                atoms.info |= {"parent": f"cluster-{cluster}", "time_fs": float(time)}
                frames.append(atoms)
    subsets = split.split(frames, "trajectory", 0.7, 0.15, 1)
    assert set(subsets) == {"train", "test", "validation"}
    by_parent: dict[str, set[str]] = {}
    for atoms, subset in zip(frames, subsets, strict=True):
        by_parent.setdefault(atoms.info["parent"], set()).add(str(subset))
    assert all(len(found) == 1 for found in by_parent.values())
    few = [atoms for atoms in frames if int(atoms.info["parent"][8:]) < 4]
    of_few = split.split(few, "trajectory", 0.5, 0.25, 1)
    assert len({s for a, s in zip(few, of_few, strict=True) if a.info["source"] == "cold"}) == 3
