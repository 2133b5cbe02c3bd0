import numpy as np
import pandas
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.data.frames import load_frames, write_frames
from frazil.errors import UserError
from frazil.labels.interaction import curves, interaction, take_molecules_out

SITE_eV, RANGE_A = 0.05, 1.5


def spring(length, stiffness, rest):
    return stiffness * (length - rest) ** 2 / 2, stiffness * (length - rest)


def labelled(symbols, positions):
    """Springs in the molecules, and a repulsion between the first atoms of two molecules."""
    atoms = Atoms(symbols, positions)
    energy, forces = 0.0, np.zeros((len(atoms), 3))
    for first in range(0, len(atoms), 2):
        vector = atoms.positions[first + 1] - atoms.positions[first]
        length = np.linalg.norm(vector)
        own, slope = spring(length, 80.0, 1.13) if atoms.symbols[first] == "C" else spring(length, 30.0, 0.74)
        energy += own
        forces[first + 1] -= slope * vector / length
        forces[first] += slope * vector / length
    if len(atoms) == 4:
        vector = atoms.positions[2] - atoms.positions[0]
        far = np.linalg.norm(vector)
        energy += SITE_eV * np.exp(-far / RANGE_A)
        push = SITE_eV / RANGE_A * np.exp(-far / RANGE_A) * vector / far
        forces[2] += push
        forces[0] -= push
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    atoms.info["label_level"] = "springs"
    return atoms


def isolated():
    monoxide = [labelled("CO", [[0, 0, 0], [0, 0, r]]) for r in np.linspace(1.0, 1.3, 7)]
    return monoxide + [labelled("H2", [[0, 0, 0], [r, 0, 0]]) for r in np.linspace(0.6, 1.0, 7)]


def test_only_what_is_between_the_molecules_is_left():
    random = np.random.default_rng(1)
    axes = random.normal(size=(2, 3))
    axes /= np.linalg.norm(axes, axis=1)[:, None]
    start = np.array([3.0, 0.4, -0.2])
    pair = labelled("COH2", [np.zeros(3), 1.1712 * axes[0], start, start + 0.8111 * axes[1]])
    (left,) = interaction([pair], curves(isolated()))
    far = np.linalg.norm(start)
    assert left.get_potential_energy() == pytest.approx(SITE_eV * np.exp(-far / RANGE_A), abs=1e-10)
    wanted = np.zeros((4, 3))
    wanted[2] = SITE_eV / RANGE_A * np.exp(-far / RANGE_A) * start / far
    wanted[0] = -wanted[2]
    assert left.get_forces() == pytest.approx(wanted, abs=1e-9)
    assert left.info["label_level"] == "springs interaction"
    assert pair.info["label_level"] == "springs"


def test_molecules_alone_among_the_frames_are_points_of_the_curves(tmp_path):
    alone = isolated()
    frames = [labelled("COH2", [[0, 0, 0], [0, 0, 1.1], [0, 0, 4], [0, 0, 5.05]])]
    stretched = [labelled("H2", [[0, 0, 0], [0, 0, r]]) for r in (0.6, 1.05, 1.1)]
    write_frames(tmp_path / "alone.extxyz", alone)
    write_frames(tmp_path / "frames.extxyz", [*stretched, *frames])
    take_molecules_out(
        [tmp_path / "frames.extxyz"],
        tmp_path / "alone.extxyz",
        0,
        tmp_path / "out.extxyz",
        tmp_path / "c.csv",
    )
    out = load_frames(tmp_path / "out.extxyz")
    pair, *near = out
    assert pair.get_potential_energy() == pytest.approx(SITE_eV * np.exp(-4 / RANGE_A), abs=1e-9)
    assert near
    assert all(len(atoms) == 2 and abs(atoms.get_potential_energy()) < 1e-9 for atoms in near)
    assert pandas.read_csv(tmp_path / "c.csv").query("molecule == 'H2'")["bond_length_A"].max() == 1.1


def test_molecules_alone_may_all_be_among_the_frames(tmp_path):
    pair = labelled("COH2", [[0, 0, 0], [0, 0, 1.1], [0, 0, 4], [0, 0, 4.8]])
    write_frames(tmp_path / "alone.extxyz", isolated())
    write_frames(tmp_path / "pair.extxyz", [pair])
    write_frames(tmp_path / "all.extxyz", [*isolated(), pair])
    for frames, molecules in (("pair", tmp_path / "alone.extxyz"), ("all", None)):
        out = tmp_path / f"{frames}-out.extxyz", tmp_path / f"{frames}.csv"
        take_molecules_out([tmp_path / f"{frames}.extxyz"], molecules, 0.1, *out)
    assert (tmp_path / "all.csv").read_bytes() == (tmp_path / "pair.csv").read_bytes()
    assert (tmp_path / "all-out.extxyz").read_bytes() == (tmp_path / "pair-out.extxyz").read_bytes()
    with pytest.raises(UserError, match=r"sticking\.molecules_of level"):
        take_molecules_out([tmp_path / "pair.extxyz"], None, 0.1, *out)


def test_what_no_curve_describes_is_refused():
    own = curves(isolated())
    with pytest.raises(UserError, match=r"CO of 1\.400 Å; its isolated frames go from 1 to 1\.3 Å"):
        interaction([labelled("CO", [[0, 0, 0], [0, 0, 1.4]])], own)
    with pytest.raises(UserError, match="frame 1: a molecule CO; curves are there for H2"):
        interaction([isolated()[-1], isolated()[0]], {"H2": own["H2"]})
    with pytest.raises(UserError, match="3 frames of isolated CO"):
        curves(isolated()[:3])


def test_molecules_are_neighbours_in_the_list_or_what_is_bonded():
    """Stretched beyond any bond it stays one molecule; atoms in another order find theirs by distance."""
    lengths = np.linspace(0.5, 1.6, 12)
    hydrogen = [labelled("H2", [[0, 0, 0], [r, 0, 0]]) for r in lengths]
    own = curves([*isolated()[:7], *hydrogen])
    assert interaction(hydrogen, own)[-1].get_potential_energy() == pytest.approx(0, abs=1e-10)
    pair = labelled("COCO", [[0, 0, 0], [0, 0, 1.15], [4.0, 0, 0], [4.0, 0, 1.2]])
    (left,) = interaction([pair], own)
    mixed = pair[[0, 2, 1, 3]]
    mixed.calc = SinglePointCalculator(
        mixed, energy=pair.get_potential_energy(), forces=pair.get_forces()[[0, 2, 1, 3]]
    )
    (same,) = interaction([mixed], own)
    assert same.get_potential_energy() == pytest.approx(left.get_potential_energy(), abs=1e-12)
    assert same.get_forces() == pytest.approx(left.get_forces()[[0, 2, 1, 3]], abs=1e-12)
