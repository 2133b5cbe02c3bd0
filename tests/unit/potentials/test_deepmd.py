"""Models through DeePMD-kit's C interface."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from frazil.errors import UserError
from frazil.potentials.deepmd.model import DeepPotential, evaluate, model_file_of
from frazil.systems.co import TYPE_MAP, deepmd_types
from models import random_frames


def test_forces_are_minus_the_slope_of_the_energy(tiny_model: Path) -> None:
    potential = DeepPotential(tiny_model / "frozen.pb")
    frame = random_frames(1, seed=5)[0]
    types = deepmd_types(frame)
    _, forces = potential.evaluate(frame.positions[None], types)
    step = 1e-4
    moves = step * np.eye(frame.positions.size).reshape(-1, len(frame), 3)
    plus, _ = potential.evaluate(frame.positions + moves, types)
    minus, _ = potential.evaluate(frame.positions - moves, types)
    np.testing.assert_allclose(forces[0].ravel(), (minus - plus) / (2 * step), atol=1e-6)
    assert np.abs(forces).max() > 0.01


def test_frames_of_any_type_and_size_come_back_in_order(tiny_model: Path) -> None:
    frames = [*random_frames(3), *random_frames(2, n_molecules=2, seed=1), *random_frames(3, seed=2)]
    energies, forces = evaluate(tiny_model / "model.pb", frames)
    for frame, energy, force in zip(frames, energies, forces, strict=True):
        alone, alone_forces = evaluate(tiny_model / "model.pb", [frame])
        assert energy == pytest.approx(alone[0], abs=1e-12)
        np.testing.assert_allclose(force, alone_forces[0], atol=1e-12)


def test_many_frames_equal_single_ones(tiny_model: Path) -> None:
    potential = DeepPotential(model_file_of(tiny_model))
    frame = random_frames(1)[0]
    positions = frame.positions + np.random.default_rng(0).normal(0, 0.01, (1500, len(frame), 3))
    energies, forces = potential.evaluate(positions, deepmd_types(frame))
    for index in (0, 681, 682, 683, 1364, 1365, 1499):
        energy, force = potential.evaluate(positions[index : index + 1], deepmd_types(frame))
        assert energies[index] == pytest.approx(energy[0], abs=1e-12)
        np.testing.assert_allclose(forces[index], force[0], atol=1e-12)


def test_the_tag_changes_the_forces(tiny_model: Path) -> None:
    tagged, plain = random_frames(1)[0], random_frames(1)[0]
    plain.arrays["excited"][:] = 0
    _, (with_tag, without) = evaluate(tiny_model / "model.pb", [tagged, plain])
    assert np.abs(with_tag - without).max() > 1e-6


def test_loading_a_model_prints_nothing_and_does_not_import_tensorflow(tiny_model: Path) -> None:
    code = (
        "import sys\nfrom frazil.potentials.deepmd.model import DeepPotential\n"
        f"print(DeepPotential({str(tiny_model / 'model.pb')!r}).cutoff_A, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["6.5", "False"]
    assert done.stderr == ""


def test_type_map(tiny_model: Path) -> None:
    assert DeepPotential(tiny_model / "model.pb").type_map == TYPE_MAP


def test_a_model_file_of_another_type_map_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    content = (tiny_model / "frozen.pb").read_bytes()
    other = tmp_path / "other.pb"
    assert b"C O X1 X2" in content
    other.write_bytes(content.replace(b"C O X1 X2", b"H O Si Mg"))
    with pytest.raises(UserError, match=r"has the type map H O Si Mg; allowed is C O X1 X2"):
        print(DeepPotential(other).type_map)


def test_what_is_no_model_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.pb does not exist"):
        DeepPotential(tmp_path / "nothing.pb")
    shutil.copyfile(tiny_model / "model.json", tmp_path / "text.pb")
    with pytest.raises(UserError, match="is not a model of DeePMD-kit that can be read"):
        DeepPotential(tmp_path / "text.pb")
    with pytest.raises(UserError, match="no model at"):
        model_file_of(tmp_path)
