"""One round of active learning: train, look where the committee disagrees, propose the frames to label.

The rounds follow each other in the pipeline (``subworkflows/learn.nf``), and the label step labels what one
proposes. Each leaves a folder, of which the next one goes on:

    model.h5, learning_curve.csv   the committee after training on all frames so far
    judged.json                    its modes' errors, calibration and spreads, and those of all rounds before
    visits.csv                     what became of every replica
    candidates.extxyz              the frames to label; those of the last round are the test set
    replicas.extxyz                where the replicas begin in the next round
    summary.json                   how many frames to label, and whether this was the last round

Training, the measured modes and the replicas are kept as they end: a killed round goes on where it was.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import ase.data
import numpy as np
import pandas
from ase import Atoms

from frazil.analysis.normal_modes import error_cm1
from frazil.checkpoints import Claim, TimeLimit, key_of, read_kept, write_kept
from frazil.data.frames import load_frames, max_force, write_frames
from frazil.data.split import FEWEST_FRAMES, divided, labelled_frames
from frazil.errors import UserError
from frazil.experiments.infrared.committee_md import (
    Limits,
    Replica,
    Schedule,
    Visit,
    run_replicas,
)
from frazil.experiments.infrared.descriptors import farthest_points, soap_vectors
from frazil.experiments.infrared.harmonic import modes_of
from frazil.experiments.infrared.initial import initial_frames
from frazil.experiments.infrared.minima import Reference, read_minima
from frazil.experiments.infrared.settings import Learning, Training
from frazil.files import sha256_of, write_atomic, write_json
from frazil.learning import gmnn
from frazil.learning.settings import GmnnArchitecture, GmnnTraining
from frazil.md.trajectory import Trajectory
from frazil.potentials.gmnn.architecture import Architecture
from frazil.potentials.gmnn.committee import Committee
from frazil.potentials.gmnn.files import Model, read_model, write_model

FRAMES_PER_CALL = 16
"""Frames that are predicted at once."""
PROPOSED, LIKE_OTHERS = "proposed", "like others"
"""Fates of a replica that paused: its frame is to be labelled, or one that resembles it is."""


@dataclass(frozen=True)
class Round:
    """What is known of a round's committee before it explores."""

    n_train: int
    harmonic_mae_cm1: float | None
    harmonic_of: dict[str, float | None]
    force_factor: float
    energy_factor: float
    spreads: list[list[float]]
    """Of each calibration frame: force spread and error (eV/Å), energy spread and error (eV/atom)."""


def displace_minima(
    minima: Path,
    out: Path,
    n_initial: int,
    initial_temperatures_K: tuple[float, ...],
    campaign_seed: int,
) -> None:
    """Write the frames to begin with: the minima of ``find_minima`` and frames displaced along modes."""
    references = read_minima(minima)
    frames = initial_frames(
        [r.minimum for r in references],
        [r.name for r in references],
        n_initial,
        (min(initial_temperatures_K), max(initial_temperatures_K)),
        campaign_seed,
    )
    write_frames(out, frames)


def learn_round(
    minima: Path,
    frames: Sequence[Path],
    round_number: int,
    settings: Learning,
    training: Training,
    architecture: GmnnArchitecture,
    checkpoints: Path,
    out: Path,
    before: Path | None = None,
) -> str:
    """Run one round and write its folder ``out``; return a line about it.

    Args:
        minima: file of ``find_minima``.
        frames: labelled frames, those to begin with first, then those of each round in order; a file may be
            empty.
        round_number: 0 for the first round, which trains from the start.
        settings: how the rounds go.
        training: how the committee is trained.
        architecture: the size of its networks.
        checkpoints: folder that outlives the task.
        out: folder of the round.
        before: folder of the round before; needed from round 1 on.

    Raises:
        UserError: labels of another level than the settings', too few frames, a missing folder.
        OutOfTime: SIGTERM came; what is done is in ``checkpoints``.
    """
    if (before is None) != (round_number == 0):
        raise UserError(
            f"round {round_number} {'without' if before is None else 'with'} the folder of the round before; "
            "needed: --before from round 1 on, and not in round 0"
        )
    references = references_at(minima, settings.level)
    known, _ = known_frames(frames, references, settings)
    left = [before / name for name in OF_ROUND] if before else []
    identity = key_of(
        settings=asdict(settings),
        training=asdict(training),
        architecture=asdict(architecture),
        round=round_number,
        files=[sha256_of(path) for path in (minima, *frames, *left)],
    )
    ledger = checkpoints / f"infrared-{identity[:16]}"
    with Claim(ledger), TimeLimit() as limit:
        fields = {**asdict(training), "seed": settings.campaign_seed, "checkpoint_every": 100}
        if before:
            fields["n_epochs"] = settings.retraining_epochs
        model = _trained(
            known, architecture_of(references, architecture, training.n_heads), GmnnTraining(**fields),
            ledger, limit, out, before, settings.level,
        )  # fmt: skip
        limit.check(f"the training of round {round_number} is in {ledger}")
        earlier = json.loads((before / "judged.json").read_text()) if before else []
        judged = _judged(model, known, references, ledger)
        limit.check(f"the training of round {round_number} is in {ledger}")
        write_json(out / "judged.json", [*earlier, asdict(judged)])
        errors = [state["harmonic_mae_cm1"] for state in earlier] + [judged.harmonic_mae_cm1]
        replicas = _starts(references, schedule_of(settings, model.n_members), before)
        campaign = _Exploration(references, settings, model, judged, round_number, ledger)
        candidates: list[Atoms] = []
        if round_number < settings.max_rounds and not settled(errors, settings.patience):
            candidates = campaign.explore(replicas, known, out)
        clean = not candidates
        if clean:
            candidates = campaign.test_frames()
    write_frames(out / "candidates.extxyz", candidates)
    write_json(out / "summary.json", {"n_candidates": len(candidates), "clean": clean})
    error = "not measured" if judged.harmonic_mae_cm1 is None else f"{judged.harmonic_mae_cm1:.1f} cm⁻¹"
    asked = "test frames, the rounds are over" if clean else "frames to label"
    return (
        f"round {round_number}: {judged.n_train} frames trained on, harmonic error {error}; "
        f"{len(candidates)} {asked}"
    )


OF_ROUND = ("model.h5", "judged.json", "replicas.extxyz")
"""Files of a round that the next one begins from, and that repeat its replicas."""


def replica_again(
    minima: Path, rounds: Path, number: int, place: int, settings: Learning
) -> tuple[Atoms, Visit, Trajectory]:
    """Run one replica of a round again: return its minimum, its visit and its trajectory.

    ``rounds`` has the files ``OF_ROUND`` of the round and of the one before, in folders of ``folder_of``.
    Raises UserError where they are not there.
    """
    own, before = rounds / folder_of(number), rounds / folder_of(number - 1) if number else None
    for file in (own / "model.h5", own / "judged.json", *([before / "replicas.extxyz"] if before else [])):
        if not file.is_file():
            raise UserError(f"there is no {file}: this run kept no models of its rounds; run it again")
    references, model = references_at(minima, settings.level), read_model(own / "model.h5")
    schedule = schedule_of(settings, model.n_members)
    limits = pausing_limits(settings, Round(**json.loads((own / "judged.json").read_text())[-1]))
    replicas = _starts(references, schedule, before)
    seen: list[Trajectory] = []
    with TemporaryDirectory() as folder:
        (visit,) = run_replicas(
            model, references, replicas, schedule, limits, Path(folder), number, [place], seen.append
        )
    return references[replicas[place].structure].minimum.atoms, visit, seen[0]


def folder_of(number: int) -> str:
    """Return the name of a round's folder."""
    return f"round-{number}"


def settled(errors_cm1: Sequence[float | None], patience: int) -> bool:
    """Return whether the last ``patience`` measured rounds brought no better harmonic error.

    A round whose error could not be measured (None: a structure without a minimum under the model) says
    nothing, so that rounds never end unmeasured.
    """
    measured = [error for error in errors_cm1 if error is not None]
    return bool(measured) and len(measured) - 1 - int(np.argmin(measured)) >= patience


def wanted_limits(settings: Learning, state: Round) -> Limits:
    """Return the spreads at which frames are uncertain: wanted errors over calibration factors."""
    force = settings.max_force_error_eV_per_A
    energy = settings.max_energy_error_meV_per_atom / 1000
    return Limits(
        force / state.force_factor if force else math.inf,
        energy / state.energy_factor if energy else math.inf,
        settings.max_energy_eV,
        settings.max_force_eV_per_A,
    )


def pausing_limits(settings: Learning, state: Round) -> Limits:
    """Return the spreads at which replicas pause: those wanted, or the calibration frames' median.

    A committee that is worse than wanted everywhere would else pause all replicas at their first steps.
    """
    wanted, spreads = wanted_limits(settings, state), np.array(state.spreads)
    force, energy = np.median(spreads[:, 0]), np.median(spreads[:, 2])
    return replace(
        wanted,
        force_eV_per_A=max(wanted.force_eV_per_A, float(force)),
        energy_eV_per_atom=max(wanted.energy_eV_per_atom, float(energy)),
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


def references_at(minima: Path, level: str) -> list[Reference]:
    """Return the minima of a file. Raises UserError for minima of another level."""
    references = read_minima(minima)
    wrong = sorted({r.label_level for r in references} - {level})
    if wrong:
        raise UserError(f"minima at {', '.join(wrong)}, labels at {level}; two levels never share a set")
    return references


def architecture_of(
    references: Sequence[Reference], size: GmnnArchitecture, n_heads: int = 1
) -> Architecture:
    """Return the networks of a committee for the elements of all structures."""
    numbers = sorted({int(n) for r in references for n in r.minimum.atoms.numbers})
    elements = tuple(ase.data.chemical_symbols[number] for number in numbers)
    return Architecture(elements=elements, heads=("energy", "charge"), n_heads=n_heads, **asdict(size))


def known_frames(
    files: Sequence[Path], references: Sequence[Reference], settings: Learning
) -> tuple[list[Atoms], list[dict[str, str]]]:
    """Return the frames to train on, in order, and of each file the names of the others with the reason.

    Frames to train on are labelled, with a dipole, and physical. Raises UserError for labels of another
    level, and for fewer than ``FEWEST_FRAMES`` to begin with.
    """
    known: list[Atoms] = []
    others = []
    for number, file in enumerate(files):
        kept, dropped = physical(labelled_frames(file, settings.level), references, settings)
        if number == 0 and len(kept) < FEWEST_FRAMES:
            raise UserError(
                f"only {len(kept)} labelled frames to begin with in {file}; give at least {FEWEST_FRAMES}"
            )
        known += kept
        others.append(dropped)
    return known, others


def physical(
    frames: Sequence[Atoms], references: Sequence[Reference], settings: Learning
) -> tuple[list[Atoms], dict[str, str]]:
    """Divide labelled frames into those to train on, and the names of the others with the reason."""
    lowest = {
        tuple(sorted(r.minimum.atoms.numbers)): r.energy_eV
        for r in sorted(references, key=lambda r: -r.energy_eV)
    }
    kept, dropped = [], {}
    for atoms in frames:
        above = atoms.get_potential_energy() - lowest.get(tuple(sorted(atoms.numbers)), math.inf)
        force = max_force(atoms)
        if "dipole" not in atoms.calc.results:
            reason = f"{settings.level} gives no dipole"
        elif above > settings.max_energy_eV:
            reason = f"{above:.1f} eV above the minimum"
        elif force > settings.max_force_eV_per_A:
            reason = f"a force of {force:.1f} eV/Å"
        else:
            kept.append(atoms)
            continue
        dropped[str(atoms.info.get("trajectory_id", ""))] = reason
    return kept, dropped


def _trained(
    known: Sequence[Atoms],
    network: Architecture,
    settings: GmnnTraining,
    ledger: Path,
    limit: TimeLimit,
    out: Path,
    before: Path | None,
    level: str,
) -> Model:
    """Train the committee into ``out``, from the weights of the round before; return it as it was written."""
    train, validation, _ = divided(known)
    warm = gmnn.to_go_on_from(before, network, settings.n_members, level) if before else None
    state = gmnn.fit(network, settings, train, validation, ledger / "training.npz", limit, warm)
    metadata = {
        "label_level": level,
        "training_data_sha256": gmnn.fingerprint_of(network, settings, train, validation),
        "settings": gmnn.said(settings),
    }
    with write_atomic(out / "learning_curve.csv") as partial:
        pandas.DataFrame(state.curve).to_csv(partial, index=False)
    write_model(out / "model.h5", network, state.best, metadata)
    return read_model(out / "model.h5")


def _judged(model: Model, known: Sequence[Atoms], references: Sequence[Reference], ledger: Path) -> Round:
    """Measure a committee: its modes at every minimum, and its spreads on calibration frames; kept."""
    file = ledger / "judged.json"
    kept = read_kept(file)
    if kept is None:
        found: dict[str, float | None] = {}
        for reference in references:
            expected, atoms = reference.minimum.modes, reference.minimum.atoms
            try:
                modes = modes_of(model, atoms, reference.name).minimum.modes
            except UserError:
                found[reference.name] = None  # no minimum near: an error that has no size
                continue
            errors = error_cm1(modes, expected, atoms.get_masses())
            found[reference.name] = float(np.abs(errors).mean())
        values = [value for value in found.values() if value is not None]
        train, _, calibration = divided(known)
        spreads = committee_errors(model, calibration)
        ratios = np.sqrt((spreads[:, 1::2] ** 2).sum(axis=0) / (spreads[:, ::2] ** 2).sum(axis=0))
        mean = float(np.mean(values)) if len(values) == len(found) else None
        kept = asdict(Round(len(train), mean, found, float(ratios[0]), float(ratios[1]), spreads.tolist()))
        write_kept(file, kept)
    return Round(**kept)


def _starts(references: Sequence[Reference], schedule: Schedule, before: Path | None) -> list[Replica]:
    """Return the replicas of a round: at their minima, or where the round before left them."""
    if before is None:
        return schedule.starts(references)
    names = {reference.name: number for number, reference in enumerate(references)}
    return [
        Replica(
            names[atoms.info["structure"]],
            schedule.temperatures_K.index(atoms.info["temperature_K"]),
            int(atoms.info["replica"]),
            atoms.positions,
            atoms.get_velocities(),
            int(atoms.info["restarts"]),
        )
        for atoms in load_frames(before / "replicas.extxyz")
    ]


@dataclass(frozen=True)
class _Exploration:
    """The dynamics of one round's committee, and what follows from them."""

    references: Sequence[Reference]
    settings: Learning
    model: Model
    judged: Round
    number: int
    ledger: Path

    @property
    def schedule(self) -> Schedule:
        return schedule_of(self.settings, self.model.n_members)

    def explore(self, replicas: Sequence[Replica], known: Sequence[Atoms], out: Path) -> list[Atoms]:
        """Run the replicas; write visits.csv and replicas.extxyz; return the frames to label."""
        limits = pausing_limits(self.settings, self.judged)
        visits = run_replicas(
            self.model, self.references, replicas, self.schedule, limits, self.ledger / "visits", self.number
        )
        doubtful = [i for i, visit in enumerate(visits) if self._is_doubtful(replicas[i], visit)]
        candidates = [
            self._frame(f"round-{self.number:02d}-{i:05d}", replicas[i], visits[i]) for i in doubtful
        ]
        proposed = set(doubtful)
        if candidates:
            vectors = soap_vectors([*known, *candidates])
            old, new = vectors[: len(known)], vectors[len(known) :]
            kept = sorted(farthest_points(new, self.settings.max_frames, old).tolist())
            proposed, candidates = {doubtful[i] for i in kept}, [candidates[i] for i in kept]
        rows = [
            {
                "round": self.number,
                "structure": self.references[replica.structure].name,
                "temperature_K": self.settings.learning_temperatures_K[replica.temperature],
                "time_fs": visit.time_fs,
                "committee_std_meV_per_atom": 1000 * visit.energy_spread_eV / self._n_atoms(replica),
                "replica": replica.number,
                "outcome": visit.outcome,
                "force_std_eV_per_A": visit.force_spread_eV_per_A,
                "fate": PROPOSED if i in proposed else LIKE_OTHERS if i in doubtful else "",
                "trajectory_id": f"round-{self.number:02d}-{i:05d}",
            }
            for i, (replica, visit) in enumerate(zip(replicas, visits, strict=True))
        ]
        with write_atomic(out / "visits.csv") as partial:
            pandas.DataFrame(rows).to_csv(partial, index=False)
        write_frames(out / "replicas.extxyz", self._continued(replicas, visits))
        return candidates

    def test_frames(self) -> list[Atoms]:
        """Return frames of the committee's own dynamics to be labelled, each from a run of its own."""
        settings = self.settings
        schedule = replace(
            self.schedule, n_replicas=settings.n_test, campaign_seed=settings.campaign_seed + 1
        )
        free = Limits(math.inf, math.inf, settings.max_energy_eV, settings.max_force_eV_per_A)
        replicas = schedule.starts(self.references)
        visits = run_replicas(
            self.model, self.references, replicas, schedule, free, self.ledger / "test", None
        )
        return [
            self._frame(f"test-{i:05d}", replicas[i], visit)
            for i, visit in enumerate(visits)
            if visit.outcome == "finished"
        ]

    def _is_doubtful(self, replica: Replica, visit: Visit) -> bool:
        """Return whether a replica paused, or came to its end where the spread is more than wanted."""
        wanted = wanted_limits(self.settings, self.judged)
        beyond = (
            visit.force_spread_eV_per_A > wanted.force_eV_per_A
            or visit.energy_spread_eV / self._n_atoms(replica) > wanted.energy_eV_per_atom
        )
        return visit.outcome == "uncertain" or (visit.outcome == "finished" and beyond)

    def _n_atoms(self, replica: Replica) -> int:
        return len(self.references[replica.structure].minimum.atoms)

    def _frame(self, identity: str, replica: Replica, visit: Visit) -> Atoms:
        reference = self.references[replica.structure]
        atoms = Atoms(reference.minimum.atoms.numbers, visit.positions)
        atoms.info = {"structure": reference.name, "source": "active learning"}
        atoms.info |= {"trajectory_id": identity, "time_fs": visit.time_fs}
        return atoms

    def _continued(self, replicas: Sequence[Replica], visits: Sequence[Visit]) -> list[Atoms]:
        """Return the replicas of the next round: from where they are, or anew from the minimum."""
        out = []
        for replica, visit in zip(replicas, visits, strict=True):
            if visit.outcome in ("uncertain", "finished"):
                replica = replace(replica, positions=visit.positions, velocities=visit.velocities)
            else:
                replica = self.schedule.fresh(replica, self.references, replica.restarts + 1)
            reference = self.references[replica.structure]
            atoms = Atoms(reference.minimum.atoms.numbers, replica.positions)
            atoms.set_velocities(replica.velocities)
            atoms.info = {
                "structure": reference.name,
                "temperature_K": self.settings.learning_temperatures_K[replica.temperature],
                "replica": replica.number,
                "restarts": replica.restarts,
            }
            out.append(atoms)
        return out


def committee_errors(model: Model, frames: Sequence[Atoms]) -> np.ndarray:
    """Return spreads and errors (n, 4): the largest of an atom's force, eV/Å, then the energy's, eV/atom."""
    rows = []
    for atoms, found in zip(frames, Committee(model).predict_in_parts(frames, FRAMES_PER_CALL), strict=True):
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
    energies, forces, dipoles, spreads = errors_of(model, frames)
    values = (
        1000 * np.sqrt(np.mean(energies**2)),
        np.sqrt(np.mean(forces**2)),
        np.abs(forces).mean(),
        np.sqrt(np.mean(dipoles**2)) if len(dipoles) else math.nan,
        np.sqrt(np.mean(spreads**2)),
    )
    return {
        **dict(zip((*names, "force_std_eV_per_A"), map(float, values), strict=True)),
        "n_test": len(frames),
    }


def errors_of(model: Model, frames: Sequence[Atoms]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the errors of the committee's mean on labelled frames, and its spread.

    Energies (n,), eV/atom; components of forces (any,), eV/Å; dipoles (n, 3), e Å, none (0, 3) of a model
    without; the spread of the force on each atom (any,), eV/Å.
    """
    energies, forces, dipoles, spreads = [], [np.zeros(0)], [], [np.zeros(0)]
    for atoms, found in zip(frames, Committee(model).predict_in_parts(frames, FRAMES_PER_CALL), strict=True):
        energies.append((found.energy_eV - atoms.get_potential_energy()) / len(atoms))
        forces.append((found.forces_mean_eV_per_A - atoms.get_forces()).ravel())
        spreads.append(found.forces_spread_eV_per_A)
        if found.dipoles_e_A is not None:
            dipoles.append(found.dipoles_e_A.mean(axis=0) - atoms.get_dipole_moment())
    return (
        np.array(energies), np.concatenate(forces), np.array(dipoles).reshape(-1, 3), np.concatenate(spreads),
    )  # fmt: skip
