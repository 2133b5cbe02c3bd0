"""Truth check on cases whose answer is known."""

from collections.abc import Callable
from pathlib import Path

import ase
import numpy as np
import pytest

from frazil.experiments.photodesorption.shards import Ensemble, read_ensemble
from frazil.experiments.photodesorption.statistics import rotational_fits, rotational_windows, summarise
from frazil.experiments.photodesorption.tables import AGREEMENT
from frazil.experiments.photodesorption.truth import agreement, energy_along_paths, net_forces, teacher_labels


def ensemble(directory: Path) -> Ensemble:
    found = read_ensemble(directory)
    assert found is not None
    return found


def test_an_ensemble_agrees_with_itself_and_not_with_another(
    tmp_path: Path, write_shards: Callable[..., Path]
) -> None:
    one = ensemble(write_shards(tmp_path / "one", n=150, probability=0.6))
    other = ensemble(write_shards(tmp_path / "other", n=150, probability=0.15, seed=3))
    same = agreement(one, one, [2000.0, 3000.0], 1)
    assert (same["difference"] == 0).all()
    assert (same["agrees"] == "yes").all()
    assert (same["paired_low_95"] == 0).all()  # the same draws on both sides
    apart = agreement(one, other, [2000.0, 3000.0], 1).set_index("quantity")
    assert apart.loc["desorption probability by 3000 fs", "agrees"] == "no"
    assert agreement(one, other, [2000.0], 1).equals(agreement(one, other, [2000.0], 1))


def test_nothing_desorbs_anywhere(tmp_path: Path, write_shards: Callable[..., Path]) -> None:
    none = ensemble(write_shards(tmp_path / "none", n=40, probability=0.0))
    table = agreement(none, none, [3000.0], 1).set_index("quantity")
    row = table.loc["desorption probability by 3000 fs"]
    assert row["difference_low_95"] < 0 < row["difference_high_95"]  # no false certainty at P = 0
    assert (table["agrees"] == "cannot tell").sum() == 4
    assert row["agrees"] == "yes"  # within 0.09
    few = ensemble(write_shards(tmp_path / "few", n=6, probability=0.0))
    vacuous = agreement(few, few, [3000.0], 1)
    assert (vacuous["agrees"] == "cannot tell").all()  # 0 of 6 against 0 of 6
    AGREEMENT.write(vacuous, tmp_path)
    assert "cannot tell" in (tmp_path / "truth.csv").read_text()


def test_known_distributions_are_found(tmp_path: Path, write_shards: Callable[..., Path]) -> None:
    run = ensemble(write_shards(tmp_path / "many", n=3000, probability=0.9, shard_size=3000))
    summary = summarise(run, 1).set_index("quantity")
    # gamma(1.6, 28 meV) peaks at 0.6 × 28 meV
    assert summary.loc["translational_peak", "value"] == pytest.approx(16.8, abs=4)
    peak = summary.loc["translational_peak"]
    assert peak["low_95"] <= peak["value"] <= peak["high_95"]
    p = summary.loc["fraction_v1"]
    assert (
        p["low_95"] < 0.05 * 7 / 8 < p["high_95"]
    )  # the excited molecule, one of eight, is in the denominator
    windows = rotational_windows(run, 1)
    assert windows["n"].sum() == len(run.left_for_good)
    fits = rotational_fits(windows).set_index("quantity")
    # J ~ gamma(2.5, 2 + 0.03 E): the mode is 1.5 (2 + 0.03 E)
    assert fits.loc["j_peak", "slope_per_meV"] == pytest.approx(0.045, abs=0.02)
    assert fits.loc["j_max", "slope_per_meV"] > 0


def test_energy_along_paths_sees_only_the_teachers_drift() -> None:
    frames = []
    for number in range(5):
        atoms = ase.Atoms("CO", positions=[[0, 0, 0], [1.13, 0, 0]], momenta=np.full((2, 3), 0.1 * number))
        kinetic = atoms.get_kinetic_energy()
        atoms.info |= {"trajectory_id": "3", "time_fs": 10.0 * number, "potential_energy_eV": -kinetic}
        frames.append(atoms)
    teacher = np.array([-atoms.get_kinetic_energy() + 0.002 * number for number, atoms in enumerate(frames)])
    path, drift = energy_along_paths(frames[::-1], teacher[::-1])
    assert path["time_fs"].is_monotonic_increasing
    assert path["model_deviation_meV_per_atom"].to_numpy() == pytest.approx(0.0, abs=1e-12)
    assert path["teacher_deviation_meV_per_atom"].to_numpy() == pytest.approx(np.arange(5.0))
    assert drift["teacher_max_meV_per_atom"].item() == pytest.approx(4.0)
    assert drift["n_frames"].item() == 5


def test_net_forces_ignore_the_bond() -> None:
    atoms = ase.Atoms("COCO", positions=np.arange(12.0).reshape(4, 3))
    atoms.arrays["excited"] = np.array([0, 0, 1, 1])
    teacher = np.zeros((4, 3))
    model = np.zeros((4, 3))
    model[0, 0], model[1, 0] = 5.0, -5.0  # a wrong bond force
    model[2, 0] = 0.3  # a wrong push on the excited molecule
    table = net_forces([atoms], [model], [teacher]).set_index("molecules")
    assert table.loc["ground", "error_rmse_eV_per_A"] == 0
    assert table.loc["excited", "error_rmse_eV_per_A"] == pytest.approx(0.3 / np.sqrt(3))
    assert table.loc["all", "n"] == 2


def test_teacher_labels_of_mixed_sizes_are_the_single_ones() -> None:
    from frazil.potentials.analytic.van_hemert import VanHemertCalculator

    generator = np.random.default_rng(1)
    frames = []
    for n in (2, 3, 2):
        positions = np.repeat(5.0 * np.arange(n)[:, None] * [1, 0.3, 0], 2, axis=0)
        positions[1::2, 2] += 1.13
        frames.append(ase.Atoms("CO" * n, positions=positions + 0.05 * generator.normal(size=(2 * n, 3))))
    labels = teacher_labels(frames, "van-hemert", 2.0)
    assert labels is not None
    for atoms, energy, forces in zip(frames, *labels, strict=True):
        atoms.calc = VanHemertCalculator(2.0)
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
        assert forces == pytest.approx(atoms.get_forces(), abs=1e-9)
    assert teacher_labels(frames, "pbe-d3", 2.0) is None
