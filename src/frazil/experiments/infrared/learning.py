"""Active learning: train, look where the committee disagrees, label, train again, until modes stand still.

Everything that is done lies in a ledger, a folder per round, each file with its digest (in it or in
``NAME.sha256``): the driver asks for a file and makes it only where it is missing or damaged. So a kill at
any moment loses at most what was being computed, and running the same command again goes on.

    initial.extxyz, initial-failed.csv     frames of the normal modes, labelled
    round-00/model.h5                      the committee after training on all frames so far
    round-00/state.json                    its modes' errors, calibration and limits
    round-00/trajectory-00000000.npz, …     where each replica paused
    round-00/frames.extxyz, visits.csv     the frames labelled of these, and what became of every replica
    test/                                  the last committee's own dynamics, labelled: the test set
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ase.data
import numpy as np
import pandas
from ase import Atoms

from frazil.checkpoints import Claim, TimeLimit, key_of, read_kept, seal, sealed, write_kept
from frazil.data.frames import load_frames, max_force, read_frames, write_frames
from frazil.errors import UserError
from frazil.experiments.infrared.committee_md import (
    Limits,
    Replica,
    Schedule,
    Visit,
    run_replicas,
)
from frazil.experiments.infrared.descriptors import farthest_points, soap_vectors
from frazil.experiments.infrared.harmonic import error_cm1, model_modes
from frazil.experiments.infrared.initial import initial_frames
from frazil.experiments.infrared.labels import Labels
from frazil.experiments.infrared.minima import Reference, read_minima
from frazil.experiments.infrared.settings import Learning, Training
from frazil.files import sha256_of, write_atomic
from frazil.learning import gmnn
from frazil.learning.settings import GmnnArchitecture, GmnnTraining
from frazil.potentials.gmnn.architecture import Architecture
from frazil.potentials.gmnn.committee import Committee, write_folder
from frazil.potentials.gmnn.files import Model, read_model, write_model

FRAMES_PER_CALL = 16
"""Frames that are predicted at once."""
VISIT_COLUMNS = (
    "round",
    "structure",
    "temperature_K",
    "time_fs",
    "committee_std_meV_per_atom",
    "selected",
    "replica",
    "outcome",
    "force_std_eV_per_A",
    "fate",
)


def schedule_of(settings: Learning, n_members: int) -> Schedule:
    """Return the exploring replicas' schedule; all temperatures that one member drives fit into a batch."""
    return Schedule(
        settings.learning_temperatures_K,
        settings.n_learning_replicas,
        settings.learning_duration_fs,
        settings.timestep_fs,
        settings.damping_fs,
        settings.campaign_seed,
        -(-settings.n_learning_replicas // n_members) * len(settings.learning_temperatures_K),
    )


@dataclass(frozen=True)
class Round:
    """What is known of a round's committee before it explores."""

    n_train: int
    harmonic_mae_cm1: float | None
    harmonic_of: dict[str, float | None]
    force_factor: float
    energy_factor: float
    spreads: list[list[float]]
    """Of each held-out frame: force spread and error (eV/Å), energy spread and error (eV/atom)."""


def learn(
    minima: Path,
    out: Path,
    checkpoints: Path,
    settings: Learning,
    training: Training,
    architecture: GmnnArchitecture,
    labelled: Path | None = None,
) -> None:
    """Run the rounds and write model.h5, frames.extxyz and the tables of the experiment into ``out``.

    ``minima`` is a file of ``find_minima``; ``labelled`` holds frames to begin with in place of displaced
    minima; ``architecture`` says the size of the networks. Raises UserError for labels of
    another level than the settings', and OutOfTime after SIGTERM, the ledger in ``checkpoints`` being safe.
    """
    references = read_minima(minima)
    wrong = sorted({r.label_level for r in references} - {settings.level})
    if wrong:
        raise UserError(
            f"minima at {', '.join(wrong)}, labels at {settings.level}; two levels never share a set"
        )
    identity = key_of(
        settings={k: v for k, v in asdict(settings).items() if k != "n_workers"},
        training=asdict(training),
        architecture=asdict(architecture),
        files=[sha256_of(minima), sha256_of(labelled) if labelled else ""],
    )
    ledger = checkpoints / f"infrared-{identity[:16]}"
    with Claim(ledger), TimeLimit() as limit:
        trained = GmnnTraining(**asdict(training), seed=settings.campaign_seed, checkpoint_every=100)
        campaign = _Campaign(references, ledger, settings, trained, asdict(architecture), limit)
        campaign.run(labelled)
        campaign.write(out)


class _Campaign:
    """One campaign: its ledger and everything that is read from it."""

    def __init__(
        self,
        references: list[Reference],
        ledger: Path,
        settings: Learning,
        training: GmnnTraining,
        fields: dict[str, Any],
        limit: TimeLimit,
    ) -> None:
        self.references, self.ledger, self.settings = references, ledger, settings
        self.training, self.limit = training, limit
        self.schedule = schedule_of(settings, training.n_members)
        numbers = sorted({int(n) for r in references for n in r.minimum.atoms.numbers})
        elements = tuple(ase.data.chemical_symbols[number] for number in numbers)
        self.architecture = Architecture(elements=elements, heads=("energy", "charge"), **fields)
        self.labels = Labels(settings.level, settings.n_workers, ledger.parent / "labels")
        self.frames: list[Atoms] = []
        self.rounds: list[Round] = []
        self.visits: list[pandas.DataFrame] = []
        self.n_failed: list[int] = []

    def run(self, labelled: Path | None) -> None:
        """Go through the rounds, each step from the ledger where it is there."""
        self.frames = self._initial(labelled)
        replicas = self.schedule.starts(self.references)
        for number in range(self.settings.max_rounds + 1):
            model = self._trained(number)
            self.rounds.append(self._judged(number, model))
            if number == self.settings.max_rounds or self._settled():
                break
            visits = self._explored(number, model, replicas)
            new = self._labelled(number, replicas, visits)
            if not new:
                break
            self.frames += new
            replicas = self._continued(replicas, visits)
        self.test = self._test(len(self.rounds) - 1)

    def _folder(self, number: int) -> Path:
        return self.ledger / f"round-{number:02d}"

    def _frames_in(
        self, path: Path, make: Callable[[], tuple[Sequence[Atoms], Sequence[tuple[str, str]]]]
    ) -> list[Atoms]:
        """Return a file's frames; make them, and the table of failures beside, where it is missing."""
        failed = path.with_name(f"{path.stem}-failed.csv")
        if not (sealed(path) and sealed(failed)):
            frames, failures = make()
            with write_atomic(failed) as partial:
                table = pandas.DataFrame(failures, columns=["frame", "reason"])
                table.to_csv(partial, index=False)
            if frames:
                write_frames(path, frames)
            else:
                with write_atomic(path) as partial:
                    partial.touch()
            seal(failed)
            seal(path)
        self.limit.check(f"everything up to {path} is kept")
        return load_frames(path) if path.stat().st_size else []

    def _initial(self, labelled: Path | None) -> list[Atoms]:
        def make() -> tuple[Sequence[Atoms], Sequence[tuple[str, str]]]:
            if labelled is not None:
                found, failures = read_frames([labelled]), []
                level = str(found[0].info.get("label_level", "not stated"))
                if level != self.settings.level:
                    raise UserError(
                        f"{labelled} holds labels of {level}, the run's are {self.settings.level}; "
                        "labels of two levels or codes never share a set"
                    )
            else:
                given = initial_frames(
                    [r.minimum for r in self.references],
                    [r.name for r in self.references],
                    self.settings.n_initial,
                    (min(self.settings.initial_temperatures_K), max(self.settings.initial_temperatures_K)),
                    self.settings.campaign_seed,
                )
                found, failed = self.labels.of(given)
                failures = [(str(given[f.frame].info["trajectory_id"]), f.reason) for f in failed]
            kept, dropped = self._physical(found)
            if len(kept) < 10:
                raise UserError(f"only {len(kept)} labelled frames to begin with; give at least 10")
            return kept, [*failures, *dropped]

        return self._frames_in(self.ledger / "initial.extxyz", make)

    def _physical(self, frames: Sequence[Atoms]) -> tuple[list[Atoms], list[tuple[str, str]]]:
        """Divide labelled frames into those to train on and the names of others, with the reason."""
        lowest = {
            tuple(sorted(r.minimum.atoms.numbers)): r.energy_eV
            for r in sorted(self.references, key=lambda r: -r.energy_eV)
        }
        kept, dropped = [], []
        for atoms in frames:
            above = atoms.get_potential_energy() - lowest.get(tuple(sorted(atoms.numbers)), math.inf)
            force = max_force(atoms)
            if above > self.settings.max_energy_eV:
                reason = f"{above:.1f} eV above the minimum"
            elif force > self.settings.max_force_eV_per_A:
                reason = f"a force of {force:.1f} eV/Å"
            else:
                kept.append(atoms)
                continue
            dropped.append((str(atoms.info.get("trajectory_id", "")), reason))
        return kept, dropped

    def _divided(self) -> tuple[list[Atoms], list[Atoms]]:
        """Return training and held-out frames: every tenth of a set is held out, for good."""
        chosen = [i % 10 == 9 for i in range(len(self.frames))]
        train = [atoms for atoms, out in zip(self.frames, chosen, strict=True) if not out]
        return train, [atoms for atoms, out in zip(self.frames, chosen, strict=True) if out]

    def _trained(self, number: int) -> Model:
        file = self._folder(number) / "model.h5"
        if not sealed(file):
            train, held_out = self._divided()
            settings, warm = self.training, None
            if number:
                values = {**asdict(self.training), "n_epochs": self.settings.retraining_epochs}
                settings = GmnnTraining(**values)
                warm = read_model(self._folder(number - 1) / "model.h5").parameters
            checkpoint = file.with_name("training.npz")
            file.parent.mkdir(parents=True, exist_ok=True)
            state = gmnn.fit(self.architecture, settings, train, held_out, checkpoint, self.limit, warm)
            metadata = {
                "label_level": self.settings.level,
                "training_data_sha256": gmnn.fingerprint_of(self.architecture, settings, train, held_out),
                "settings": asdict(settings),
                "round": number,
            }
            with write_atomic(file.with_name("learning_curve.csv")) as partial:
                pandas.DataFrame(state.curve).to_csv(partial, index=False)
            write_model(file, self.architecture, state.best, metadata)
            seal(file)
            checkpoint.unlink(missing_ok=True)
        self.limit.check(f"everything up to {file} is kept")
        return read_model(file)

    def _judged(self, number: int, model: Model) -> Round:
        file = self._folder(number) / "state.json"
        kept = read_kept(file)
        if kept is None:
            found: dict[str, float | None] = {}
            for reference in self.references:
                expected, atoms = reference.minimum.modes, reference.minimum.atoms
                try:
                    modes = model_modes(model, atoms, reference.name).minimum.modes
                except UserError:
                    found[reference.name] = None  # no minimum near: an error that has no size
                    continue
                errors = error_cm1(modes, expected, atoms.get_masses())
                found[reference.name] = float(np.abs(errors).mean())
            values = [value for value in found.values() if value is not None]
            train, held_out = self._divided()
            spreads = committee_errors(model, held_out)
            ratios = np.sqrt((spreads[:, 1::2] ** 2).sum(axis=0) / (spreads[:, ::2] ** 2).sum(axis=0))
            whole = len(values) == len(found)
            mean = float(np.mean(values)) if whole else None
            state = Round(len(train), mean, found, float(ratios[0]), float(ratios[1]), spreads.tolist())
            kept = asdict(state)
            write_kept(file, kept)
        self.limit.check(f"everything up to {file} is kept")
        return Round(**kept)

    def _settled(self) -> bool:
        """Return whether the last ``patience`` rounds brought no better harmonic error."""
        errors = [math.inf if r.harmonic_mae_cm1 is None else r.harmonic_mae_cm1 for r in self.rounds]
        return len(errors) - 1 - int(np.argmin(errors)) >= self.settings.patience

    def limits(self, state: Round) -> Limits:
        """Return the spreads at which replicas pause: those wanted, or the held-out frames' median.

        A committee that is worse than wanted everywhere would else pause all replicas at their first steps.
        """
        wanted, spreads = self.wanted(state), np.array(state.spreads)
        force, energy = np.median(spreads[:, 0]), np.median(spreads[:, 2])
        return replace(
            wanted,
            force_eV_per_A=max(wanted.force_eV_per_A, float(force)),
            energy_eV_per_atom=max(wanted.energy_eV_per_atom, float(energy)),
        )

    def wanted(self, state: Round) -> Limits:
        """Return the spreads at which frames are uncertain: wanted errors over calibration factors."""
        force = self.settings.max_force_error_eV_per_A
        energy = self.settings.max_energy_error_meV_per_atom / 1000
        return Limits(
            force / state.force_factor if force else math.inf,
            energy / state.energy_factor if energy else math.inf,
            self.settings.max_energy_eV,
            self.settings.max_force_eV_per_A,
        )

    def _explored(self, number: int, model: Model, replicas: Sequence[Replica]) -> list[Visit]:
        limits, folder = self.limits(self.rounds[number]), self._folder(number)
        return run_replicas(model, self.references, replicas, self.schedule, limits, folder, number)

    def _labelled(self, number: int, replicas: Sequence[Replica], visits: Sequence[Visit]) -> list[Atoms]:
        """Return a round's new frames; note what became of every replica."""
        file, table = self._folder(number) / "frames.extxyz", self._folder(number) / "visits.csv"
        proposed = [i for i, visit in enumerate(visits) if self._doubtful(number, replicas[i], visit)]
        doubtful = set(proposed)
        given = [self._frame(number, i, replicas[i], visits[i]) for i in proposed]
        if given:
            vectors = soap_vectors([*self.frames, *given])
            known, new_ones = vectors[: len(self.frames)], vectors[len(self.frames) :]
            kept = sorted(farthest_points(new_ones, self.settings.max_frames, known).tolist())
            proposed, given = [proposed[i] for i in kept], [given[i] for i in kept]

        def make() -> tuple[Sequence[Atoms], Sequence[tuple[str, str]]]:
            if not given:
                return [], []
            found, failed = self.labels.of(given)
            good, dropped = self._physical(found)
            names = [(str(given[f.frame].info["trajectory_id"]), f.reason) for f in failed]
            return good, [*names, *dropped]

        new = self._frames_in(file, make)
        failures = pandas.read_csv(file.with_name("frames-failed.csv"), dtype=str)
        reasons = dict(zip(failures["frame"], failures["reason"], strict=True))
        self.n_failed.append(len(reasons))
        rows = []
        for i, (replica, visit) in enumerate(zip(replicas, visits, strict=True)):
            identity = self._identity(number, i)
            fate = reasons.get(identity, "labelled") if i in proposed else ""
            if i in doubtful and i not in proposed:
                fate = "like others"
            atoms = self.references[replica.structure].minimum.atoms
            rows.append(
                (
                    number,
                    self.references[replica.structure].name,
                    self.settings.learning_temperatures_K[replica.temperature],
                    visit.time_fs,
                    1000 * visit.energy_spread_eV / len(atoms),
                    int(fate == "labelled"),
                    replica.number,
                    visit.outcome,
                    visit.force_spread_eV_per_A,
                    fate,
                )
            )
        self.visits.append(pandas.DataFrame(rows, columns=list(VISIT_COLUMNS)))
        with write_atomic(table) as partial:
            self.visits[-1].to_csv(partial, index=False)
        return new

    def _doubtful(self, number: int, replica: Replica, visit: Visit) -> bool:
        """Return whether a replica paused, or came to its end where the spread is more than wanted."""
        wanted = self.wanted(self.rounds[number])
        n_atoms = len(self.references[replica.structure].minimum.atoms)
        beyond = (
            visit.force_spread_eV_per_A > wanted.force_eV_per_A
            or visit.energy_spread_eV / n_atoms > wanted.energy_eV_per_atom
        )
        return visit.outcome == "uncertain" or (visit.outcome == "finished" and beyond)

    def _identity(self, number: int, replica: int) -> str:
        return f"round-{number:02d}-{replica:05d}"

    def _frame(self, number: int, i: int, replica: Replica, visit: Visit) -> Atoms:
        reference = self.references[replica.structure]
        atoms = Atoms(reference.minimum.atoms.numbers, visit.positions)
        atoms.info = {"structure": reference.name, "source": "active learning"}
        atoms.info |= {"trajectory_id": self._identity(number, i), "time_fs": visit.time_fs}
        return atoms

    def _continued(self, replicas: Sequence[Replica], visits: Sequence[Visit]) -> list[Replica]:
        """Return the replicas of the next round: from where they are, or anew from the minimum."""
        out = []
        for replica, visit in zip(replicas, visits, strict=True):
            if visit.outcome in ("uncertain", "finished"):
                out.append(
                    Replica(
                        replica.structure, replica.temperature, replica.number, visit.positions,
                        visit.velocities, replica.restarts,
                    )
                )  # fmt: skip
            else:
                out.append(self.schedule.fresh(replica, self.references, replica.restarts + 1))
        return out

    def _test(self, last: int) -> list[Atoms]:
        """Return labelled frames of the last committee's own dynamics, each from a run of its own."""
        folder, settings = self.ledger / "test", self.settings
        folder.mkdir(parents=True, exist_ok=True)
        schedule = replace(
            self.schedule, n_replicas=settings.n_test, campaign_seed=settings.campaign_seed + 1
        )

        def make() -> tuple[Sequence[Atoms], Sequence[tuple[str, str]]]:
            model = read_model(self._folder(last) / "model.h5")
            free = Limits(math.inf, math.inf, settings.max_energy_eV, settings.max_force_eV_per_A)
            replicas = schedule.starts(self.references)
            visits = run_replicas(model, self.references, replicas, schedule, free, folder, None)
            ended = [i for i, visit in enumerate(visits) if visit.outcome == "finished"]
            lost = [(f"test-{i:05d}", v.outcome) for i, v in enumerate(visits) if v.outcome != "finished"]
            frames = [self._frame(last, i, replicas[i], visits[i]) for i in ended]
            for i, atoms in zip(ended, frames, strict=True):
                atoms.info["trajectory_id"] = f"test-{i:05d}"
            found, failed = self.labels.of(frames) if frames else ([], [])
            return found, [*lost, *((str(frames[f.frame].info["trajectory_id"]), f.reason) for f in failed)]

        return self._frames_in(folder / "frames.extxyz", make)

    def write(self, out: Path) -> None:
        """Write model, frames and tables; the errors of every round are those on the one test set."""
        models = [read_model(self._folder(number) / "model.h5") for number in range(len(self.rounds))]
        rows, calibration = [], []
        for number, (state, model) in enumerate(zip(self.rounds, models, strict=True)):
            errors = errors_on(model, self.test)
            limits = self.limits(state)
            visited = self.visits[number] if number < len(self.visits) else None
            rows.append(
                {
                    "round": number,
                    "n_train": state.n_train,
                    "harmonic_mae_cm1": state.harmonic_mae_cm1,
                    **errors,
                    "force_factor": state.force_factor,
                    "energy_factor": state.energy_factor,
                    "limit_force_std_eV_per_A": _finite(limits.force_eV_per_A),
                    "limit_energy_std_meV_per_atom": _finite(1000 * limits.energy_eV_per_atom),
                    "n_replicas": None if visited is None else len(visited),
                    "n_uncertain": _count(visited, "uncertain"),
                    "n_unphysical": _count(visited, "unphysical", "non-finite", "crowded"),
                    "n_labelled": None if visited is None else int(visited["selected"].sum()),
                    "n_failed": self.n_failed[number] if number < len(self.n_failed) else None,
                }
            )
            calibration += [(number, *values) for values in state.spreads]
        columns = ["round", "force_std_eV_per_A", "force_error_eV_per_A", "energy_std_meV_per_atom"]
        tables = {
            "rounds": pandas.DataFrame(rows),
            "active_learning": pandas.concat(self.visits or [pandas.DataFrame(columns=list(VISIT_COLUMNS))]),
            "calibration": pandas.DataFrame(calibration, columns=[*columns, "energy_error_meV_per_atom"]),
        }
        for name in (columns[3], "energy_error_meV_per_atom"):
            tables["calibration"][name] *= 1000
        harmonic = [{"round": n, **state.harmonic_of} for n, state in enumerate(self.rounds)]
        tables["harmonic_rounds"] = pandas.DataFrame(harmonic)
        for name, table in tables.items():
            with write_atomic(out / f"{name}.csv") as partial:
                table.to_csv(partial, index=False, float_format="%.6g")
        write_frames(out / "frames.extxyz", self.frames)
        write_frames(out / "test.extxyz", self.test)
        last = models[-1]
        write_folder(out, last.architecture, last.parameters, last.metadata)


def committee_errors(model: Model, frames: Sequence[Atoms]) -> np.ndarray:
    """Return spreads and errors (n, 4): the largest of an atom's force, eV/Å, then the energy's, eV/atom."""
    rows = []
    for atoms, found in zip(frames, _predicted(model, frames), strict=True):
        missed = np.linalg.norm(found.forces_mean_eV_per_A - atoms.get_forces(), axis=1).max()
        energy = abs(found.energy_eV - atoms.get_potential_energy()) / len(atoms)
        spread = found.energy_spread_eV / len(atoms)
        rows.append((found.forces_spread_eV_per_A.max(), missed, spread, energy))
    return np.array(rows)


def errors_on(model: Model, frames: Sequence[Atoms]) -> dict[str, float | None]:
    """Return errors of the committee's mean and its spread on labelled frames, in the tables' units."""
    names = ("energy_rmse_meV_per_atom", "force_rmse_eV_per_A", "force_mae_eV_per_A", "dipole_rmse_e_A")
    if not frames:
        return dict.fromkeys((*names, "force_std_eV_per_A", "n_test"))
    energies, forces, dipoles, spreads = [], [], [], []
    for atoms, found in zip(frames, _predicted(model, frames), strict=True):
        energies.append((found.energy_eV - atoms.get_potential_energy()) / len(atoms))
        forces.append((found.forces_mean_eV_per_A - atoms.get_forces()).ravel())
        spreads.append(found.forces_spread_eV_per_A)
        if found.dipoles_e_A is not None:
            dipoles.append(found.dipoles_e_A.mean(axis=0) - atoms.get_dipole_moment())
    flat = np.concatenate(forces)
    values = (
        1000 * np.sqrt(np.mean(np.square(energies))),
        np.sqrt(np.mean(flat**2)),
        np.abs(flat).mean(),
        np.sqrt(np.mean(np.square(dipoles))) if dipoles else math.nan,
        np.sqrt(np.mean(np.concatenate(spreads) ** 2)),
    )
    return {
        **dict(zip((*names, "force_std_eV_per_A"), map(float, values), strict=True)),
        "n_test": len(frames),
    }


def _predicted(model: Model, frames: Sequence[Atoms]) -> list[Any]:
    """Return predictions of frames, in parts of one shape (the last one filled up)."""
    committee, out = Committee(model), []
    for first in range(0, len(frames), FRAMES_PER_CALL):
        part = list(frames[first : first + FRAMES_PER_CALL])
        full = part + [part[-1]] * (FRAMES_PER_CALL - len(part))
        out += committee.predict(full)[: len(part)]
    return out


def _count(visited: pandas.DataFrame | None, *outcomes: str) -> int | None:
    return None if visited is None else int(visited["outcome"].isin(outcomes).sum())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
