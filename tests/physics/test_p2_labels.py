"""PBE0/def2-SVP labels of (MgSiO3)2 against the published ones of another code (ORCA), where those are here.

``data/p2-frames-pbe0.json`` holds what the label step gave for frames of the published file, by number;
``data/p2-minimum-pbe0.extxyz`` the minimum at that level, found from a guess in steps of 0.05 Å, with PySCF's
analytic Hessian and, for the dipole derivatives, the forces' response to a field of ±0.002 a.u.
"""

import hashlib
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from frazil.analysis.normal_modes import normal_modes
from frazil.labels.label import label

HERE = Path(__file__).parent / "data"
PUBLISHED = Path(__file__).resolve().parents[3] / "shared/data/nanosilicates"
LEVEL = "pbe0/def2-svp"
needs_published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published labels are not here")


def digest(atoms: Atoms) -> str:
    """Tells a frame by its positions to 1e-6 Å."""
    return hashlib.sha256(np.round(atoms.positions, 6).tobytes()).hexdigest()[:16]


def published() -> list[Atoms]:
    return list(ase.io.read(PUBLISHED / "P2_labelled.traj", ":"))


@needs_published
def test_forces_and_dipoles_are_the_published_ones() -> None:
    theirs, ours = published(), json.loads((HERE / "p2-frames-pbe0.json").read_text())
    assert len(ours) >= 4
    errors, dipoles, offsets = [], [], []
    for number, found in ours.items():
        atoms = theirs[int(number)]
        assert found["positions"] == digest(atoms)
        errors.append(np.array(found["forces_eV_per_A"]) - atoms.get_forces())
        dipoles.append(np.array(found["dipole_e_A"]) - atoms.get_dipole_moment())
        offsets.append(found["energy_eV"] - atoms.get_potential_energy())
    assert np.sqrt(np.mean(np.square(errors))) <= 0.02
    assert np.sqrt(np.mean(np.square(errors), axis=(1, 2))).max() <= 0.02, "of every frame by itself"
    assert np.abs(dipoles).max() < 0.005
    assert np.ptp(offsets) < 0.03, "their zeros differ, so that the codes never share a set"


@needs_published
@pytest.mark.slow
def test_the_label_step_gives_these_labels_today() -> None:
    ours = json.loads((HERE / "p2-frames-pbe0.json").read_text())
    number = next(iter(ours))
    labelled, failures = label([published()[int(number)]], LEVEL)
    assert not failures
    assert labelled[0].get_forces() == pytest.approx(np.array(ours[number]["forces_eV_per_A"]), abs=1e-3)
    assert labelled[0].get_dipole_moment() == pytest.approx(ours[number]["dipole_e_A"], abs=1e-3)


@needs_published
def test_harmonic_spectrum_is_orcas() -> None:
    own = ase.io.read(HERE / "p2-minimum-pbe0.extxyz")
    assert own.info["label_level"] == LEVEL
    derivatives = (own.info[name] for name in ("hessian_eV_per_A2", "dipole_derivatives_e"))
    hessian, slopes = (
        np.array(json.loads(d.removeprefix("_JSON ")) if isinstance(d, str) else d) for d in derivatives
    )
    modes = normal_modes(hessian, own.positions, own.get_masses(), slopes)
    block = (PUBLISHED / "orca.hess").read_text().split("$ir_spectrum")[1].splitlines()[2:32]
    table = np.array([line.split() for line in block], float)
    expected = table[table[:, 0] > 1]
    errors = modes.wavenumbers_cm1 - expected[:, 0]
    assert len(errors) == 24
    assert np.abs(errors).mean() < 2.0
    assert np.abs(errors).max() < 4.0
    assert modes.intensities_km_per_mol == pytest.approx(expected[:, 2], rel=0.01, abs=4.0)
