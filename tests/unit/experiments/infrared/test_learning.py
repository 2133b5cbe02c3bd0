"""The rounds of active learning: what is done survives a kill at any moment, and nothing is done twice."""

import json
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
from frazil.data.frames import load_frames, write_frames
from frazil.errors import UserError
from frazil.experiments.infrared import learned, learning
from frazil.experiments.infrared.committee_md import _KINDS, Visit, run_replicas
from frazil.experiments.infrared.labels import Labels
from frazil.experiments.infrared.minima import find_minima
from frazil.experiments.infrared.settings import Learning, Training
from frazil.experiments.repeated import repeat
from frazil.learning import fit, gmnn
from frazil.learning.settings import GmnnArchitecture
from frazil.md.integrity import OneCluster
from frazil.potentials.gmnn.architecture import initialize_committee
from frazil.report.movie import read as read_movie
from frazil.settings import values_of

SETTINGS = Learning(
    level="gfn2-xtb", campaign_seed=3, n_initial=20, max_rounds=2, patience=2,
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
        self.fits: list[tuple[Any, list[Atoms], list[Atoms]]] = []
        self.judges: list[list[Atoms]] = []
        self.runs: list[tuple[Any, Any, Any]] = []
        monkeypatch.setattr(gmnn, "fit", self.fit)
        monkeypatch.setattr(learning, "modes_of", self.modes)
        monkeypatch.setattr(learning, "committee_errors", self.errors)
        errors = {"energy_rmse_meV_per_atom": 1.0, "force_rmse_eV_per_A": 0.1}
        monkeypatch.setattr(learned, "errors_on", lambda model, frames: errors)
        monkeypatch.setattr(learning, "run_replicas", self.run)

    def count(self, name: str) -> None:
        self.calls[name] += 1
        if self.calls.total() == self.dies_at:
            raise Killed(name)

    def fit(self, architecture: Any, settings: Any, train: Any, test: Any, *rest: Any) -> fit.Progress:
        self.count("fit")
        self.fits.append((settings, train, test))
        parameters = started(architecture)
        return fit.Progress(parameters, None, parameters, np.zeros(2), np.zeros(2), 1, [{"epoch": 0.0}])

    def modes(self, model: Any, atoms: Any, name: str) -> Any:
        self.count("modes")
        raise UserError("no minimum")

    def errors(self, model: Any, frames: Any) -> np.ndarray:
        self.judges.append(list(frames))
        return np.array([[0.1, 0.2, 0.01, 0.03]] * 3)

    def run(self, model: Any, references: Any, replicas: Any, *rest: Any) -> list[Visit]:
        self.count("run")
        self.runs.append((rest[0], rest[1], rest[3]))
        outcomes = ("uncertain", "finished", "unphysical", "uncertain", "uncertain", "uncertain")
        return [
            Visit(
                outcome, 10.0 * i, 0.02, 0.05 if outcome == "finished" else 0.3, -1.0,
                replica.positions + 0.03 * np.sin(np.arange(9.0) * (i + 1) + replica.restarts).reshape(3, 3),
                replica.velocities,
            )
            for i, (outcome, replica) in enumerate(zip(outcomes, replicas, strict=False))
        ]  # fmt: skip


class Rounds:
    """The loop of the pipeline: rounds one after the other, their frames labelled in between."""

    def __init__(self, minima: Path, folder: Path, stage: Stage) -> None:
        self.minima, self.folder, self.stage = minima, folder, stage
        (folder / "in").mkdir(parents=True, exist_ok=True)
        self.frames, self.failed, self.rounds = [self.label("initial", self.displaced())], [], []

    def displaced(self) -> Path:
        file = self.folder / "in/frames.extxyz"
        learning.displace_minima(self.minima, file, 20, (100.0, 1000.0), 3)
        return file

    def label(self, name: str, candidates: Path) -> Path:
        """Label; the first frame of a round fails, the second has too large a force."""
        out, failures = [], ["shard,frame,trajectory_id,time_fs,reason"]
        for i, atoms in enumerate(load_frames(candidates)):
            identity = str(atoms.info["trajectory_id"])
            if identity.startswith("round") and i == 0:
                failures.append(f"0,0,{identity},0,no convergence")
                continue
            forces = np.full((3, 3), 99.0 if identity.startswith("round") and i == 1 else 0.1)
            atoms.calc = SinglePointCalculator(atoms, energy=-137.9, forces=forces, dipole=np.ones(3))
            atoms.info |= {"label_level": "gfn2-xtb", "label_code": "tests", "label_version": "1"}
            out.append(atoms)
        (self.folder / f"in/{name}.csv").write_text("\n".join(failures) + "\n")
        write_frames(self.folder / f"in/{name}.extxyz", out)
        return self.folder / f"in/{name}.extxyz"

    def round(self, **changes: Any) -> Path:
        number = len(self.rounds)
        given: dict[str, Any] = {
            "minima": self.minima, "frames": self.frames, "round_number": number, "settings": SETTINGS,
            "training": TRAINING, "architecture": SIZE, "checkpoints": self.folder / "checkpoints",
            "out": self.folder / f"round-{number}", "before": self.rounds[-1] if number else None,
        }  # fmt: skip
        learning.learn_round(**given | changes)
        return Path(given["out"])

    def run(self) -> Path:
        clean = False
        while not clean:
            self.rounds.append(self.round())
            clean = json.loads((self.rounds[-1] / "summary.json").read_text())["clean"]
            name = f"labels-{len(self.rounds) - 1}"
            self.frames.append(self.label(name, self.rounds[-1] / "candidates.extxyz"))
            self.failed.append(self.folder / f"in/{name}.csv")
        out = self.folder / "out"
        learned.gather_learned(self.minima, self.rounds, self.frames, self.failed, SETTINGS, out)
        return out


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
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix not in ("", ".h5")}


@pytest.fixture
def whole(minima: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rounds:
    """All rounds, run."""
    rounds = Rounds(minima, tmp_path / "whole", Stage(monkeypatch))
    rounds.run()
    return rounds


def test_a_round_killed_at_any_moment_ends_at_the_same_folder(
    whole: Rounds, minima: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert whole.stage.calls == {"fit": 3, "modes": 3, "run": 3}
    for dies_at in range(1, whole.stage.calls.total() + 1):
        rounds = Rounds(minima, tmp_path / f"killed-{dies_at}", Stage(monkeypatch, dies_at))
        with pytest.raises(Killed):
            rounds.run()
        rounds.stage = Stage(monkeypatch)
        assert tables(rounds.run()) == tables(whole.folder / "out")


def test_the_protocol_of_the_rounds(whole: Rounds) -> None:
    """Later rounds train shorter; judges neither train nor choose epochs; test runs have their own draws."""
    fits, runs, judges = whole.stage.fits, whole.stage.runs, whole.stage.judges
    assert [settings.n_epochs for settings, _, _ in fits] == [4, 3, 3]
    for (_, train, chooses), judging, n_known in zip(fits, judges, (21, 22, 23), strict=True):
        names = [str(atoms.info["trajectory_id"]) for atoms in (*train, *chooses, *judging)]
        assert len(names) == len(set(names)) == n_known
        assert (len(chooses), len(judging)) == (1, 1)
    for held_out in ([chooses for _, _, chooses in fits], judges):
        assert len({str(atoms.info["trajectory_id"]) for frames in held_out for atoms in frames}) == 1
    assert [schedule.campaign_seed for schedule, _, _ in runs] == [3, 3, 4]
    assert [schedule.n_replicas for schedule, _, _ in runs] == [3, 3, 2]
    assert [np.isinf(limits.force_eV_per_A) for _, limits, _ in runs] == [False, False, True]
    assert [member for _, _, member in runs] == [0, 1, None], "members drive in turn, the mean the test"


def test_measured_modes_are_kept_and_a_damaged_file_costs_a_warning(
    whole: Rounds, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Rounds.__new__(Rounds)
    first.minima, first.folder, first.rounds = whole.minima, whole.folder, []
    first.frames = whole.frames[:1]
    again = Stage(monkeypatch)
    first.round()
    assert again.calls == {"fit": 1, "run": 1}
    for file in whole.folder.glob("checkpoints/infrared-*/judged.json"):
        file.write_bytes(file.read_bytes()[:-20])
    again = Stage(monkeypatch)
    first.round()
    assert again.calls == {"fit": 1, "modes": 1, "run": 1}
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    assert "judged.json" in line


def test_every_replica_is_accounted_for(whole: Rounds) -> None:
    out = whole.folder / "out"
    visits = pandas.read_csv(out / "active_learning.csv", keep_default_na=False)
    columns = ["round", "structure", "temperature_K", "time_fs", "committee_std_meV_per_atom", "selected"]
    assert list(visits.columns[:6]) == columns
    assert len(visits) == 2 * 6
    first = visits[visits["round"] == 0]
    assert Counter(first["outcome"]) == {"uncertain": 4, "finished": 1, "unphysical": 1}
    fates = ["", "", "a force of 171.5 eV/Å", "labelled", "like others", "no convergence"]
    assert sorted(first["fate"]) == fates
    assert first["selected"].sum() == 1
    assert first["committee_std_meV_per_atom"].to_numpy() == pytest.approx(20 / 3)
    rounds = pandas.read_csv(out / "rounds.csv")
    assert list(rounds["round"]) == [0, 1, 2]
    assert list(rounds["n_train"]) == [19, 20, 21]
    assert list(rounds["n_failed"][:2]) == [2, 2]
    # Spread times factor is the wanted error: 0.2 eV/Å over a factor of 2.
    assert rounds["limit_force_std_eV_per_A"][0] == pytest.approx(0.1)
    assert rounds["harmonic_mae_cm1"].isna().all()
    assert len(load_frames(out / "test.extxyz")) == 1, "one of the test runs came to its end"
    assert {str(a.info["trajectory_id"])[:5] for a in load_frames(out / "test.extxyz")} == {"test-"}
    assert not any("test" in str(a.info["trajectory_id"]) for a in load_frames(out / "frames.extxyz"))


def test_a_replica_is_repeated_from_its_id(
    minima: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first round and the next: the same row, and the place where it ended."""
    stage = Stage(monkeypatch)
    monkeypatch.setattr(learning, "run_replicas", run_replicas)
    wide = {"max_energy_eV": 1e4, "max_force_eV_per_A": 1e4, "max_force_error_eV_per_A": 1e4}
    monkeypatch.setitem(globals(), "SETTINGS", replace(SETTINGS, learning_duration_fs=12.0, **wide))
    # Wide limits leave nothing to label: the rounds go on with what is asked for here.
    monkeypatch.setattr(learning._Exploration, "_is_doubtful", lambda *given: True)
    rounds, results = Rounds(minima, tmp_path / "rounds", stage), tmp_path / "results"
    out = rounds.run()
    shutil.copytree(out, results / "learned")
    (results / "infrared").mkdir()
    shutil.copy(minima, results / "infrared/minima.extxyz")
    shutil.copy(out / "active_learning.csv", results / "infrared")
    own = {name: value for name, value in values_of(SETTINGS).items() if name != "campaign_seed"}
    (results / "run.json").write_text(json.dumps({"parameters": {"campaign_seed": 3, "infrared": own}}))
    head, *lines = (out / "active_learning.csv").read_text().splitlines()
    assert len(lines) == 12
    assert sum(",finished," in line for line in lines) > 6
    for identity in (0, 4, 100003):
        number, place = divmod(identity, 100_000)
        repeat("infrared", results, identity, 5, tmp_path / "again", "learning")
        again = (tmp_path / "again/active_learning.csv").read_text().splitlines()
        assert again == [head, lines[6 * number + place]]
        ended = load_frames(rounds.rounds[number] / "replicas.extxyz")[place]
        frames = read_movie(tmp_path / "again/frames.extxyz")
        assert (len(frames), frames[-1].info["time_fs"]) == (5, 12.0)
        np.testing.assert_allclose(frames[-1].positions, ended.positions, atol=1e-7)
    with pytest.raises(UserError, match=r"trajectory 6; .*active_learning\.csv has 12, 0 to 100005"):
        repeat("infrared", results, 6, 5, tmp_path / "none", "learning")
    shutil.rmtree(results / "learned/rounds/round-0")
    with pytest.raises(UserError, match=r"there is no .*round-0/.*: this run kept no models of its rounds"):
        repeat("infrared", results, 100003, 5, tmp_path / "gone", "learning")


def test_what_cannot_be_repeated_says_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trajectories of exploration are not repeated: .* last round alone"):
        repeat("photodesorption", tmp_path, 0, 5, tmp_path / "none", "exploration")


def test_replicas_go_on_or_begin_anew(whole: Rounds) -> None:
    """Outcomes: uncertain, finished, unphysical and thrice uncertain."""
    first, second = (load_frames(folder / "replicas.extxyz") for folder in whole.rounds[:2])
    minimum = load_frames(whole.minima)[0].positions
    assert [atoms.info["restarts"] for atoms in first] == [0, 0, 1, 0, 0, 0]
    assert [atoms.info["restarts"] for atoms in second] == [0, 0, 2, 0, 0, 0]
    assert first[2].positions == pytest.approx(minimum, abs=1e-7)
    assert np.abs(first[0].positions - minimum).max() > 0.01
    assert np.abs(first[2].get_velocities() - second[2].get_velocities()).max() > 1e-3
    assert first[0].get_velocities() == pytest.approx(second[0].get_velocities(), abs=1e-7)


def test_limits_are_never_below_what_the_committee_does_everywhere() -> None:
    settings = replace(SETTINGS, max_force_error_eV_per_A=0.2, max_energy_error_meV_per_atom=0.0)
    poor = learning.Round(1, None, {}, 2.0, 1.0, [[0.3, 0.6, 0.01, 0.01]] * 3)
    good = learning.Round(1, None, {}, 2.0, 1.0, [[0.02, 0.04, 0.01, 0.01]] * 3)
    for state in (poor, good):
        assert learning.wanted_limits(settings, state).force_eV_per_A == pytest.approx(0.1)
    assert learning.pausing_limits(settings, poor).force_eV_per_A == pytest.approx(0.3)
    assert learning.pausing_limits(settings, good).force_eV_per_A == pytest.approx(0.1)
    assert learning.pausing_limits(settings, good).energy_eV_per_atom == np.inf


def test_rounds_end_where_the_modes_stand_still_and_never_unmeasured() -> None:
    for errors, settled in (
        ([5.0, 3.0], False), ([5.0, 3.0, 3.1], False), ([5.0, 3.0, 3.1, 3.2], True),
        ([5.0, 3.0, None, None], False), ([5.0, None, 3.0, 3.1, None, 3.2], True), ([None, None, 3.0], False),
        ([None] * 9, False),
    ):  # fmt: skip
        assert learning.settled(errors, 2) is settled


def test_a_round_needs_the_one_before(whole: Rounds) -> None:
    with pytest.raises(UserError, match="round 3 without the folder of the round before"):
        whole.round(before=None)
    with pytest.raises(UserError, match="3 rounds, 1 files of frames and 3 of failures"):
        learned.gather_learned(
            whole.minima, whole.rounds, whole.frames[:1], whole.failed, SETTINGS, whole.folder / "out"
        )


def test_visits_come_back_from_their_files(tmp_path: Path) -> None:
    visit = Visit("uncertain", 3.5, 0.1, 0.2, -5.0, np.eye(3), np.zeros((3, 3)))
    ArrayLedger(tmp_path).save(0, vars(visit))
    row = ArrayLedger(tmp_path).finished([0])[0]
    found = Visit(**{name: _KINDS.get(name, float)(row[name]) for name in row})
    assert (found.outcome, found.time_fs, found.energy_eV) == ("uncertain", 3.5, -5.0)
    assert (found.positions == visit.positions).all()


def test_labels_of_other_levels_and_charges_are_refused(whole: Rounds, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="minima at gfn2-xtb, labels at gfn1-xtb; two levels never share a set"
    ):
        whole.round(settings=replace(SETTINGS, level="gfn1-xtb"))
    other = molecule("H2O")
    other.info |= {"label_level": "pbe0/def2-svp", "label_code": "ORCA", "label_version": "5"}
    other.calc = SinglePointCalculator(other, energy=-1.0, forces=np.zeros((3, 3)), dipole=np.zeros(3))
    other.write(tmp_path / "other.extxyz")
    with pytest.raises(UserError, match="holds labels of pbe0/def2-svp, the run's are gfn2-xtb"):
        whole.round(frames=[tmp_path / "other.extxyz"])
    few = load_frames(whole.frames[0])[:9]
    write_frames(tmp_path / "few.extxyz", few)
    with pytest.raises(UserError, match="only 9 labelled frames to begin with"):
        whole.round(frames=[tmp_path / "few.extxyz"])
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
