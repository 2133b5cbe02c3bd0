"""The rounds of active learning: what is done survives a kill at any moment, and nothing is done twice."""

import shutil
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

pytest.importorskip("optax")
pytest.importorskip("featomic")

from frazil.campaigns import ArrayLedger
from frazil.checkpoints import TimeLimit
from frazil.errors import UserError
from frazil.experiments.infrared import learning
from frazil.experiments.infrared.committee_md import _KINDS, Visit
from frazil.experiments.infrared.integrity import OneCluster
from frazil.experiments.infrared.labels import Labels
from frazil.experiments.infrared.minima import find_minima
from frazil.experiments.infrared.settings import Learning, Training
from frazil.labels.label import Failure
from frazil.learning import gmnn
from frazil.learning.settings import GmnnArchitecture, GmnnTraining
from frazil.potentials.gmnn.architecture import initialize_committee

SETTINGS = Learning(
    level="gfn2-xtb", campaign_seed=3, n_initial=12, max_rounds=2, patience=2,
    learning_temperatures_K=(300.0, 600.0), n_learning_replicas=3, max_frames=3, n_test=2,
    retraining_epochs=3,
)  # fmt: skip
TRAINING = Training(n_members=2, n_epochs=4, dipole_weight=1.0)
SIZE = GmnnArchitecture(hidden=(4,))


@cache
def started(architecture: Any) -> Any:
    return initialize_committee(architecture, 1, 2)


class Killed(Exception):
    """Stands for a kill."""


class Stage:
    """Stand-ins for what costs time: training, modes, dynamics, labels. Counts calls; one of them may die."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, dies_at: int = 0) -> None:
        self.calls: Counter[str] = Counter()
        self.dies_at = dies_at
        monkeypatch.setattr(gmnn, "fit", self.fit)
        monkeypatch.setattr(learning, "model_modes", self.modes)
        monkeypatch.setattr(learning, "committee_errors", self.errors)
        monkeypatch.setattr(learning, "errors_on", lambda model, frames: {"force_rmse_eV_per_A": 0.1})
        monkeypatch.setattr(learning, "run_replicas", self.run)
        monkeypatch.setattr(learning, "Labels", lambda *given: self)

    def count(self, name: str) -> None:
        self.calls[name] += 1
        if self.calls.total() == self.dies_at:
            raise Killed(name)

    def fit(self, architecture: Any, settings: Any, train: Any, test: Any, *rest: Any) -> gmnn.Progress:
        self.count("fit")
        parameters = started(architecture)
        return gmnn.Progress(parameters, None, parameters, np.zeros(2), np.zeros(2), 1, [{"epoch": 0.0}])

    def modes(self, model: Any, atoms: Any, name: str) -> Any:
        self.count("modes")
        raise UserError("no minimum")

    def errors(self, model: Any, frames: Any) -> np.ndarray:
        return np.array([[0.1, 0.2, 0.01, 0.03]] * 3)

    def run(self, model: Any, references: Any, replicas: Any, *rest: Any) -> list[Visit]:
        self.count("run")
        outcomes = ("uncertain", "finished", "unphysical", "uncertain", "uncertain", "uncertain")
        return [
            Visit(
                outcome, 10.0 * i, 0.02, 0.05 if outcome == "finished" else 0.3, -1.0,
                replica.positions + 0.03 * np.sin(np.arange(9.0) * (i + 1) + self.calls["run"]).reshape(3, 3),
                replica.velocities,
            )
            for i, (outcome, replica) in enumerate(zip(outcomes, replicas, strict=False))
        ]  # fmt: skip

    def of(self, frames: list[Atoms]) -> tuple[list[Atoms], list[Failure]]:
        """Labels; the first frame of a round fails, the second has too large a force."""
        self.count("labels")
        out, failures = [], []
        for i, atoms in enumerate(frames):
            if str(atoms.info["trajectory_id"]).startswith("round") and i == 0:
                failures.append(Failure(i, "", "", "no convergence"))
                continue
            copy = atoms.copy()
            forces = np.full((3, 3), 99.0 if i == 1 and len(frames) < 5 else 0.1)
            copy.calc = SinglePointCalculator(copy, energy=-137.9, forces=forces, dipole=np.ones(3))
            copy.info |= {"label_level": "gfn2-xtb", "label_code": "tests", "label_version": "1"}
            out.append(copy)
        return out, failures


@pytest.fixture(scope="module")
def minima(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tblite")
    folder = tmp_path_factory.mktemp("minima")
    molecule("H2O").write(folder / "water.xyz")
    find_minima(
        [folder / "water.xyz"], folder / "minima.extxyz", "gfn2-xtb", "relax", out_names=folder / "names"
    )
    assert (folder / "names").read_text() == "water\n"
    return folder / "minima.extxyz"


def tables(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix != ".h5"}


def test_kill_at_any_moment_loses_nothing(
    minima: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Stage(monkeypatch)
    learning.learn(minima, tmp_path / "out", tmp_path / "checkpoints", SETTINGS, TRAINING, SIZE)
    assert whole.calls == {"labels": 4, "fit": 3, "modes": 3, "run": 3}
    expected = tables(tmp_path / "out")

    for dies_at in (1, 2, 3, 5, 9, whole.calls.total()):
        done: Counter[str] = Counter()
        folder = tmp_path / f"killed-{dies_at}"
        stage = Stage(monkeypatch, dies_at)
        with pytest.raises(Killed):
            learning.learn(minima, folder / "out", folder / "checkpoints", SETTINGS, TRAINING, SIZE)
        done += stage.calls
        again = Stage(monkeypatch)
        learning.learn(minima, folder / "out", folder / "checkpoints", SETTINGS, TRAINING, SIZE)
        done += again.calls
        # What was killed is done again. Dynamics keep their own files, which the stand-in does not.
        assert all(done[name] <= whole.calls[name] + 1 for name in ("fit", "labels", "modes"))
        assert tables(folder / "out") == expected


@pytest.mark.parametrize(
    ("damaged", "done"),
    [
        ("initial.extxyz", {"labels": 1}),
        ("round-00/frames-failed.csv", {"labels": 1}),
        ("round-01/model.h5", {"fit": 1}),
        ("round-02/state.json", {"modes": 1}),
        ("test/frames.extxyz", {"run": 1, "labels": 1}),
    ],
)
def test_a_damaged_file_costs_that_piece_and_a_warning(
    damaged: str, done: dict[str, int], learned: Path, minima: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shutil.copytree(learned, tmp_path, dirs_exist_ok=True)
    (file,) = tmp_path.glob(f"checkpoints/infrared-*/{damaged}")
    file.write_bytes(file.read_bytes()[:-20])
    stage = Stage(monkeypatch)
    learning.learn(minima, tmp_path / "again", tmp_path / "checkpoints", SETTINGS, TRAINING, SIZE)
    # The stand-in for dynamics keeps no files, so that each round runs its own again.
    assert {**stage.calls, "run": stage.calls["run"] - 2} == {"run": 0, **done}
    assert tables(tmp_path / "again").keys() == tables(tmp_path / "out").keys()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    assert str(file) in line


@pytest.fixture(scope="module")
def learned(minima: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the ledger and the results of a whole campaign."""
    folder = tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        Stage(patch)
        learning.learn(minima, folder / "out", folder / "checkpoints", SETTINGS, TRAINING, SIZE)
    return folder


def test_every_replica_is_accounted_for(
    minima: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Stage(monkeypatch)
    learning.learn(minima, tmp_path / "out", tmp_path / "checkpoints", SETTINGS, TRAINING, SIZE)
    visits = pandas.read_csv(tmp_path / "out/active_learning.csv", keep_default_na=False)
    columns = ["round", "structure", "temperature_K", "time_fs", "committee_std_meV_per_atom", "selected"]
    assert list(visits.columns[:6]) == columns
    assert len(visits) == 2 * 6
    first = visits[visits["round"] == 0]
    assert Counter(first["outcome"]) == {"uncertain": 4, "finished": 1, "unphysical": 1}
    fates = ["", "", "a force of 171.5 eV/Å", "labelled", "like others", "no convergence"]
    assert sorted(first["fate"]) == fates
    assert first["selected"].sum() == 1
    assert first["committee_std_meV_per_atom"].to_numpy() == pytest.approx(20 / 3)
    rounds = pandas.read_csv(tmp_path / "out/rounds.csv")
    assert list(rounds["round"]) == [0, 1, 2]
    assert list(rounds["n_train"]) == [12, 13, 14]
    assert list(rounds["n_failed"][:2]) == [2, 2]
    # Spread times factor is the wanted error: 0.2 eV/Å over a factor of 2.
    assert rounds["limit_force_std_eV_per_A"][0] == pytest.approx(0.1)
    assert rounds["harmonic_mae_cm1"].isna().all()


def test_replicas_go_on_or_begin_anew(minima: Path, tmp_path: Path) -> None:
    from frazil.experiments.infrared.minima import read_minima

    references = read_minima(minima)
    trained = GmnnTraining(n_members=2, n_epochs=4, dipole_weight=1.0)
    with TimeLimit() as limit:
        campaign = learning._Campaign(references, tmp_path / "l", SETTINGS, trained, {}, limit)
    replicas = campaign.schedule.starts(references)
    visits = [
        Visit(outcome, 1.0, 0.0, 0.0, 0.0, replica.positions + 1.0, replica.velocities)
        for outcome, replica in zip(["uncertain", "finished", "unphysical"] * 2, replicas, strict=True)
    ]
    after = campaign._continued(replicas, visits)
    assert (after[0].positions == visits[0].positions).all()
    assert (after[1].velocities == visits[1].velocities).all()
    assert (after[2].positions == replicas[2].positions).all()
    assert (after[2].velocities != replicas[2].velocities).any()
    assert [replica.restarts for replica in after] == [0, 0, 1, 0, 0, 1]


def test_limits_are_never_below_what_the_committee_does_everywhere() -> None:
    campaign = learning._Campaign.__new__(learning._Campaign)
    campaign.settings = replace(SETTINGS, max_force_error_eV_per_A=0.2, max_energy_error_meV_per_atom=0.0)
    poor = learning.Round(1, None, {}, 2.0, 1.0, [[0.3, 0.6, 0.01, 0.01]] * 3)
    good = learning.Round(1, None, {}, 2.0, 1.0, [[0.02, 0.04, 0.01, 0.01]] * 3)
    assert campaign.wanted(poor).force_eV_per_A == campaign.wanted(good).force_eV_per_A == pytest.approx(0.1)
    assert campaign.limits(poor).force_eV_per_A == pytest.approx(0.3)
    assert campaign.limits(good).force_eV_per_A == pytest.approx(0.1)
    assert campaign.limits(good).energy_eV_per_atom == np.inf


def test_rounds_end_where_the_modes_stand_still() -> None:
    campaign = learning._Campaign.__new__(learning._Campaign)
    campaign.settings = replace(SETTINGS, patience=2)
    for errors, settled in (
        ([5.0, 3.0], False), ([5.0, 3.0, 3.1], False), ([5.0, 3.0, 3.1, 3.2], True),
        ([5.0, 3.0, None, None], True), ([None, None, 3.0], False),
    ):  # fmt: skip
        campaign.rounds = [learning.Round(1, error, {}, 1.0, 1.0, []) for error in errors]
        assert campaign._settled() is settled


def test_visits_come_back_from_their_files(tmp_path: Path) -> None:
    visit = Visit("uncertain", 3.5, 0.1, 0.2, -5.0, np.eye(3), np.zeros((3, 3)))
    ArrayLedger(tmp_path).save(0, vars(visit))
    row = ArrayLedger(tmp_path).finished([0])[0]
    found = Visit(**{name: _KINDS.get(name, float)(row[name]) for name in row})
    assert (found.outcome, found.time_fs, found.energy_eV) == ("uncertain", 3.5, -5.0)
    assert (found.positions == visit.positions).all()


def test_labels_of_other_levels_and_charges_are_refused(minima: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="minima at gfn2-xtb, labels at gfn1-xtb; two levels never share a set"
    ):
        learning.learn(
            minima, tmp_path / "out", tmp_path, replace(SETTINGS, level="gfn1-xtb"), TRAINING, SIZE
        )
    other = molecule("H2O")
    other.info |= {"label_level": "pbe0/def2-svp", "label_code": "ORCA", "label_version": "5"}
    other.calc = SinglePointCalculator(other, energy=-1.0, forces=np.zeros((3, 3)), dipole=np.zeros(3))
    other.write(tmp_path / "other.extxyz")
    with pytest.raises(UserError, match="holds labels of pbe0/def2-svp, the run's are gfn2-xtb"):
        learning.learn(
            minima,
            tmp_path / "out",
            tmp_path,
            SETTINGS,
            TRAINING,
            SIZE,
            tmp_path / "other.extxyz",
        )
    ion = molecule("OH")
    ion.info["charge"] = -1
    with pytest.raises(UserError, match="has a charge of -1 e; the dipole of a charged cluster"):
        Labels("gfn2-xtb").of([ion])


def test_broken_structures_are_seen() -> None:
    def connected(atoms: Atoms) -> bool:
        return bool(OneCluster.of(atoms).holds(jnp.asarray(atoms.positions)))

    water = molecule("H2O")
    assert connected(water)
    water.positions[2] += [0, 0, 5.0]
    assert not connected(water)
    water.positions[2] = water.positions[0] + [0, 0, 0.3]
    assert not connected(water)
    pair = molecule("H2O") + molecule("H2O")
    pair.positions[3:, 2] += 3.0
    assert connected(pair)
    pair.positions[3:, 2] += 2.0
    assert not connected(pair), "two molecules, though no atom is alone"
    chain = Atoms("Mg10", [[0, 0, 3.0 * i] for i in range(10)])
    assert connected(chain)
