"""The door of the labels."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from frazil import labelling
from frazil.datasets import read_frames, write_frames
from frazil.errors import UserError
from frazil.labelling import Label


def aggregates(sizes: Sequence[int]) -> list[Atoms]:
    random = np.random.default_rng(0)
    frames = []
    for number, n in enumerate(sizes):
        positions = [[3.6 * m, 0.0, z] for m in range(n) for z in (0.0, 1.13)]
        frames.append(Atoms("CO" * n, positions=positions + 0.05 * random.normal(size=(2 * n, 3))))
        frames[-1].info |= {"trajectory_id": f"thermal-{number}", "time_fs": 0.0}
    return frames


def test_labels_are_the_fields_whatever_the_batch() -> None:
    from frazil.potentials.van_hemert import VanHemertCalculator

    frames = aggregates([1, 3, 2, 3, 1] + [3] * 70)
    labelled, failures = labelling.label(frames, "van-hemert", coupling_eV=2.0)
    assert not failures
    assert len(labelled) == len(frames)
    for i in (0, 1, 2, 4, 40, 74):
        alone = frames[i].copy()
        alone.calc = VanHemertCalculator(2.0)
        assert labelled[i].get_potential_energy() == pytest.approx(alone.get_potential_energy(), abs=1e-11)
        assert labelled[i].get_forces() == pytest.approx(alone.get_forces(), abs=1e-10)
        assert labelled[i].get_dipole_moment() == pytest.approx(alone.get_dipole_moment(), abs=1e-12)
        assert labelled[i].info["label_level"] == "van-hemert"
        assert labelled[i].info["label_code"] == "frazil-van-hemert(coupling_eV=2)"
        assert labelled[i].info["trajectory_id"] == f"thermal-{i}"
    assert frames[0].calc is None


def test_unknown_level() -> None:
    with pytest.raises(UserError, match="unknown label level 'ccsd'; allowed are van-hemert"):
        labelling.label([], "ccsd")


class Fragile:
    """A labeller that fails on its second frame and gives nonsense on its third."""

    code = "fragile"
    version = "1"

    def __init__(self, settings: Mapping[str, Any]) -> None: ...

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        for number, atoms in enumerate(frames):
            forces = np.full((len(atoms), 3), np.nan if number == 2 else 0.0)
            yield "the SCF did not converge" if number == 1 else Label(1.0, forces)


def test_failures_are_recorded_never_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(labelling.LEVELS, "fragile", Fragile)
    write_frames(tmp_path / "frames.extxyz", aggregates([1, 1, 1, 2]))
    labelling.label_file(tmp_path / "frames.extxyz", tmp_path / "labelled.extxyz", "fragile")
    labelled = read_frames([tmp_path / "labelled.extxyz"])
    assert [atoms.info["trajectory_id"] for atoms in labelled] == ["thermal-0", "thermal-3"]
    assert (tmp_path / "failed.csv").read_text().splitlines() == [
        "frame,trajectory_id,time_fs,reason",
        "1,thermal-1,0.0,the SCF did not converge",
        "2,thermal-2,0.0,forces not finite",
    ]


def test_nothing_labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Fragile):
        def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
            yield from ["out of memory"] * len(frames)

    monkeypatch.setitem(labelling.LEVELS, "broken", Broken)
    write_frames(tmp_path / "frames.extxyz", aggregates([1]))
    with pytest.raises(UserError, match=r"none of the 1 frames .* could be labelled \(out of memory\)"):
        labelling.label_file(tmp_path / "frames.extxyz", tmp_path / "labelled.extxyz", "broken")
    assert not (tmp_path / "labelled.extxyz").exists()
    with pytest.raises(UserError, match=r"no broken label of CO at 0\.75 Å"):
        labelling.bond_curve("broken")


def test_bond_curve_file(tmp_path: Path) -> None:
    labelling.write_bond_curve(tmp_path / "bond_curves.csv", "van-hemert", coupling_eV=2.0)
    curve = labelling.BondCurve.read(tmp_path / "bond_curves.csv")
    assert curve.energy_of(40) == pytest.approx(
        labelling.bond_curve("van-hemert", coupling_eV=0.0).energy_of(40)
    )
