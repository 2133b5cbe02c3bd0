"""SchNet's charges: learned, neutral, turning with the molecule; in their own environment, where it is."""

import importlib.util
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.errors import UserError
from frazil.experiments.infrared.dipoles import Dipoles, read_dipoles
from frazil.experiments.infrared.schnet import train_schnet
from frazil.experiments.infrared.settings import SchnetTraining

CHARGE_e = 0.35


def dipole(atoms: Atoms) -> np.ndarray:
    """Fixed charges of water, from the centre of mass."""
    charges = np.array([-2 * CHARGE_e, CHARGE_e, CHARGE_e])
    return np.asarray(charges @ (atoms.positions - atoms.get_center_of_mass()))


def rattled(number: int, size_A: float = 0.08) -> Atoms:
    atoms = molecule("H2O")
    atoms.rattle(size_A, seed=number)
    atoms.rotate(37.0 * number, (1, 2, number % 3))
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((3, 3)), dipole=dipole(atoms))
    return atoms


def of(frames: list[Atoms]) -> Dipoles:
    positions = np.array([atoms.positions for atoms in frames], np.float32)[None, None, None]
    one = np.full((1, 1, 1), 300.0)
    return Dipoles(
        "water", "model", 1.0, np.array([300.0]), np.ones((1, 1, 1, len(frames), 3)), one,
        np.full((1, 1, 1), "finished"), one, 0 * one, positions, frames[0].numbers,
    )  # fmt: skip


def run(root: Path, script: str, *flags: object) -> subprocess.CompletedProcess[str]:
    python = root / ".frazil/schnet/bin/python"
    if not python.exists():
        pytest.skip("no environment of SchNet; make schnet")
    command = [python, root / "bin" / script, *flags]
    environment = os.environ | {"PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, env=environment, check=False
    )


def test_dipoles_of_fixed_charges_are_learned(root: Path, tmp_path: Path) -> None:
    import ase.io

    ase.io.write(tmp_path / "frames.extxyz", [rattled(i) for i in range(60)])
    ase.io.write(tmp_path / "test.extxyz", [rattled(i) for i in range(100, 110)])
    done = run(
        root, "train_schnet.py", "--learned", tmp_path, "--schnet-epochs", 60, "--out", tmp_path / "m.h5"
    )
    assert done.returncode == 0, done.stderr
    new = [rattled(i) for i in range(200, 206)]
    turned = new[0].copy()
    turned.rotate(90, "z")
    of([*new, turned]).write(tmp_path / "kept.h5")
    flags = ("--model", tmp_path / "m.h5", "--dipoles", tmp_path / "kept.h5", "--out", tmp_path / "d.h5")
    done = run(root, "schnet_dipoles.py", *flags)
    assert done.returncode == 0, done.stderr
    found = read_dipoles(tmp_path / "d.h5")
    assert found.positions_A is None
    values = found.dipoles_e_A[0, 0, 0]
    expected = np.array([dipole(atoms) for atoms in new])
    assert np.sqrt(np.mean((values[:6] - expected) ** 2)) < 0.02 < np.sqrt(np.mean(expected**2)) / 5
    x, y, z = values[0]
    assert values[6] == pytest.approx([-y, x, z], abs=1e-5)
    lost = of(new)
    lost.positions_A[...] = np.nan  # type: ignore[index]
    lost.write(tmp_path / "kept.h5")
    assert run(root, "schnet_dipoles.py", *flags).returncode == 0
    assert np.isnan(read_dipoles(tmp_path / "d.h5").dipoles_e_A).all(), "runs that broke stay out"


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="there is a torch")
def test_without_torch_the_environment_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no torch here; `make schnet` .*IMAGES=schnet"):
        train_schnet(tmp_path, tmp_path / "m.h5", SchnetTraining())
