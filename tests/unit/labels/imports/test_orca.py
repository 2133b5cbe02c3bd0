"""ORCA's output, read in order, of versions up to 6; ``.engrad``."""

from pathlib import Path

import numpy as np
import pytest
from ase.units import Bohr, Hartree

from frazil.errors import UserError
from frazil.labels.imports.readers import Entry, Imported, read_entry

from .conftest import Trajectory, same
from .written import orca_head, orca_step

DATA = Path(__file__).with_name("data")
PUBLISHED = Path(__file__).parents[5] / "shared/data/nanosilicates"


def read(path: Path, lines: list[str], level: str = "made-up") -> Imported:
    path.write_text("\n".join([*lines, ""]))
    return read_entry(Entry(path, level=level))


@pytest.mark.parametrize("version", ["2.9.1", "5.0.4", "6.1.0"])
def test_an_optimisation_of_any_version(trajectory: Trajectory, tmp_path: Path, version: str) -> None:
    """The last energy, at the stationary point, has no gradient."""
    frames = trajectory(5)
    lines = orca_head(version=version)
    for atoms in frames:
        lines += orca_step(atoms)
    imported = read(tmp_path / "opt.out", lines + orca_step(trajectory(6)[5], gradient=False))
    assert imported.format == "orca"
    same(imported.frames, frames)
    assert imported.frames[0].info["label_version"] == version
    assert imported.frames[0].info["charge"] == 0


def test_scans_and_jobs_keep_their_own_gradients(trajectory: Trajectory, tmp_path: Path) -> None:
    """Optimisations one after another, each ending with an energy alone; one energy has words behind it."""
    frames = trajectory(8)
    unfinished = "FINAL SINGLE POINT ENERGY {:22.12f} (SCF not fully converged!)"
    lines = orca_head()
    for number, atoms in enumerate(frames):
        lines += orca_step(atoms, number not in (3, 7), *([unfinished] if number == 5 else []))
    imported = read(tmp_path / "scan.out", [*lines, *orca_step(frames[6], gradient=False)])
    assert imported.notes == ["2 of 9 geometries left out: an energy alone, without a gradient"]
    found = imported.frames
    same(found, [frames[i] for i in (0, 1, 2, 4, 5, 6)])
    assert [atoms.info.get("converged") for atoms in found] == [None, None, None, None, False, None]


def test_jobs_of_two_levels_in_a_file_are_refused(trajectory: Trajectory, tmp_path: Path) -> None:
    first, second = trajectory(2)
    lines = [*orca_head(), "|  2> $new_job", "|  3> ! PBE0 def2-TZVP Opt", "  $$$$$$  JOB NUMBER  1 $$$$$$"]
    lines += [*orca_step(first), "  $$$$$$  JOB NUMBER  2 $$$$$$", *orca_step(second)]
    with pytest.raises(UserError, match="frame 1: basis def2tzvp, but def2svp in frame 0"):
        read(tmp_path / "jobs.out", lines)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("FINAL SINGLE POINT ENERGY (QM/MM)     -113.916996392714", "QM/MM"),
        ("TD-DFT/TDA EXCITED STATES (SINGLETS)", "an excited state"),
    ],
)
def test_what_is_not_read_is_refused_by_name(
    trajectory: Trajectory, tmp_path: Path, line: str, name: str
) -> None:
    lines = orca_step(trajectory(1)[0])
    at = next(i for i, text in enumerate(lines) if text.startswith("FINAL"))
    lines.insert(at, line)
    with pytest.raises(UserError, match=f"a gradient of {name}, whose energy is not read"):
        read(tmp_path / "a.out", orca_head() + lines)


def test_two_energies_at_one_geometry_are_refused(trajectory: Trajectory, tmp_path: Path) -> None:
    lines = orca_step(trajectory(1)[0])
    lines.insert(-1, "FINAL SINGLE POINT ENERGY      -113.1")
    with pytest.raises(UserError, match="2 different energies and a gradient at one geometry"):
        read(tmp_path / "a.out", orca_head() + lines)


def test_point_charges_are_refused(trajectory: Trajectory, tmp_path: Path) -> None:
    lines = orca_step(trajectory(1)[0])
    at = next(i for i, text in enumerate(lines) if text.startswith("  H"))
    lines[at] = lines[at].replace("  H ", "  Q ")
    with pytest.raises(UserError, match="Q is no atom"):
        read(tmp_path / "a.out", orca_head() + lines)


def test_dipoles_of_steps(trajectory: Trajectory, tmp_path: Path) -> None:
    """In the axes of the positions; left out where a step has several."""
    first, second = trajectory(2)
    dipole = "Total Dipole Moment    :     {}       0.200000000      -0.300000000"
    lines = [*orca_head(), *orca_step(first), dipole.format("0.100000000")]
    lines += [*orca_step(second), dipole.format("0.100000000"), dipole.format("0.110000000")]
    imported = read(tmp_path / "a.out", lines)
    assert imported.frames[0].calc.results["dipole"] == pytest.approx(np.array([0.1, 0.2, -0.3]) * Bohr)
    assert "dipole" not in imported.frames[1].calc.results
    assert imported.notes == ["dipoles left out: several differ in one step"]


def test_energies_alone(trajectory: Trajectory, tmp_path: Path) -> None:
    (found,) = read(tmp_path / "a.out", orca_head() + orca_step(trajectory(1)[0], gradient=False)).frames
    assert found.calc.results == {
        "energy": pytest.approx(-3110.0 + trajectory(1)[0].get_potential_energy() + 3110)
    }


def test_the_level_of_its_input(trajectory: Trajectory, tmp_path: Path) -> None:
    lines = orca_head("PBE def2-SVP def2/J D3BJ Opt") + orca_step(trajectory(1)[0])
    with pytest.raises(UserError, match="states the method pbe, the samplesheet the level pbe0/def2-svp"):
        read(tmp_path / "a.out", lines, "pbe0/def2-svp")
    assert read(tmp_path / "a.out", lines, "pbe-d3bj/def2-svp").frames


def test_an_engrad_of_xtb() -> None:
    """The same numbers as in the file of another layout that the same run has written."""
    imported = read_entry(Entry(DATA / "xtb-6.5.1/h2o.engrad", level="gfn2-xtb", code="xtb"))
    assert imported.format == "engrad"
    wanted = read_entry(Entry(DATA / "xtb-6.5.1/gradient", level="gfn2-xtb"))
    same(imported.frames, wanted.frames)
    assert imported.frames[0].positions == pytest.approx(wanted.frames[0].positions, abs=1e-6)


def test_a_cut_engrad(tmp_path: Path) -> None:
    text = (DATA / "xtb-6.5.1/h2o.engrad").read_text().rstrip().rsplit("\n", 1)[0]
    (tmp_path / "a.engrad").write_text(text)
    with pytest.raises(UserError, match="3 atoms are announced, 2 are there"):
        read_entry(Entry(tmp_path / "a.engrad", level="gfn2-xtb"))


@pytest.mark.skipif(
    not (PUBLISHED / "P2_labelled.traj").is_file(), reason="the data beside the project are missing"
)
def test_published_labels_are_read() -> None:
    imported = read_entry(Entry(PUBLISHED / "P2_labelled.traj", level="pbe0/def2-svp", code="orca"))
    assert len(imported.frames) == 31
    assert all("dipole" in atoms.calc.results for atoms in imported.frames)


@pytest.mark.skipif(not (PUBLISHED / "orca.out").is_file(), reason="the data beside the project are missing")
def test_orca_output_is_read_with_our_hartree() -> None:
    imported = read_entry(Entry(PUBLISHED / "orca.out", level="pbe0/def2-svp"))
    assert imported.format == "orca"
    assert len(imported.frames) == 6, "the last energy has no gradient"
    last = imported.frames[-1]
    assert last.info["label_version"] == "5.0.0"
    assert last.get_potential_energy() == pytest.approx(-1429.352848126437 * Hartree, abs=1e-6)
    assert np.abs(last.get_forces()).max() < 0.02
    assert last.get_forces()[0, 0] == pytest.approx(0.000068951 * Hartree / Bohr, rel=1e-3)
