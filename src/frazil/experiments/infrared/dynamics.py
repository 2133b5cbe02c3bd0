"""Dipoles along dynamics at constant temperature: many replicas, of a committee, its members or the label.

Nosé–Hoover chains as in Tang, Bromley & Hammer (2023), sec. II C. One chain mixes nearly separable modes too
slowly, so that every run has a start of its own from the harmonic canonical ensemble (``initial.canonical``).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax
import numpy as np

from frazil.campaigns import ArrayLedger, Row, Start, in_engine, run_shard
from frazil.checkpoints import Claim, key_of
from frazil.errors import UserError
from frazil.experiments.infrared.batches import Batch, like_sizes
from frazil.experiments.infrared.dipoles import Dipoles
from frazil.experiments.infrared.minima import Reference, read_minima
from frazil.experiments.infrared.settings import ENGINES, MEMBERS, Runs
from frazil.files import sha256_of
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import NoseHooverChain, OwnTemperature
from frazil.md.integrity import OUTCOMES, OneCluster
from frazil.md.observers import Conserved, potential_info, temperature
from frazil.md.state import State, System
from frazil.md.trajectory import Outcome, Trajectory, drift_meV_per_ps
from frazil.potentials.gmnn.files import Model
from frazil.potentials.interface import Potential
from frazil.potentials.registry import load
from frazil.systems.starts import canonical


def run_dipoles(
    minima: Path,
    structures: Sequence[str],
    engine: str,
    out: Path,
    checkpoints: Path,
    settings: Runs,
    model: Path | None = None,
    members: str = "each",
    keep_positions: bool = False,
) -> None:
    """Run structures under an engine ("model": each of ``MEMBERS``; "label") and write the dipoles of each.

    They go to ``dipoles-STRUCTURE-ENGINE.h5`` in the folder ``out``. Under a model, structures of like size
    share a batch. ``keep_positions`` writes the positions too, for another model of the dipole.

    Raises UserError for what does not fit together, OutOfTime after SIGTERM (what is done is kept).
    """
    found = {reference.name: reference for reference in read_minima(minima)}
    unknown = [name for name in structures if name not in found]
    if unknown or not structures:
        raise UserError(f"no structure {', '.join(unknown)} in {minima}; there are {', '.join(found)}")
    if engine not in ENGINES:
        raise UserError(f"engine {engine!r}; allowed are {', '.join(ENGINES)}")
    if members not in MEMBERS:
        raise UserError(f"members {members!r}; allowed are {', '.join(MEMBERS)}")
    references = [found[name] for name in structures]
    models = models_of(engine, model, members)
    identity = key_of(
        minima=sha256_of(minima), structures=list(structures), engine=engine, members=members,
        model=sha256_of(model) if model else "", settings=[*vars(settings).items()], kept=keep_positions,
    )  # fmt: skip
    folder = checkpoints / f"dipoles-{identity[:16]}"
    with Claim(folder):
        for first, runs in batches_of(references, engine, models, settings, keep_positions):
            own = folder / str(first)
            runner = in_engine(runs.start, runs.ensemble, runs.row, running=own)
            rows = run_shard(range(runs.n_runs), runner, ArrayLedger(own), "runs")
            for dipoles in runs.dipoles(engine, rows):
                dipoles.write(out / f"dipoles-{dipoles.structure}-{engine}.h5")


def models_of(engine: str, model: Path | None, members: str) -> list[Model | None]:
    """Return what runs every start: each member of a committee, its mean, or None for the label.

    Raises UserError where the engine "model" has no committee, or one without charges.
    """
    if engine != "model":
        return [None]
    if model is None:
        raise UserError("the engine 'model' needs a model; give --model")
    committee = load(model).model
    if "charge" not in committee.architecture.heads:
        raise UserError(f"{model} has no dipoles; train one with a charge head")
    return [committee] if members == "mean" else [*one_by_one(committee)]


def batches_of(
    references: Sequence[Reference],
    engine: str,
    models: Sequence[Model | None],
    settings: Runs,
    keep_positions: bool,
) -> Iterator[tuple[int, "BatchedRuns"]]:
    """Yield the runs of structures that share a batch, with the number of the first: under a model those of
    like size, under the label each alone.
    """
    clusters = [reference.minimum.atoms for reference in references]
    one_each = [[number] for number in range(len(references))]
    for together in like_sizes(clusters) if engine == "model" else one_each:
        yield together[0], BatchedRuns([references[s] for s in together], models, settings, keep_positions)


def _labeller(reference: Reference) -> Potential:
    return load(reference.label_level).potential(reference.minimum.atoms)


def one_by_one(model: Model) -> list[Model]:
    """Return a committee's members as models of one member each."""
    return [model.select([i]) for i in range(model.n_members)]


@dataclass(frozen=True)
class BatchedRuns:
    """All runs of structures that share a batch: of each structure, member, temperature and replica one."""

    references: Sequence[Reference]
    models: Sequence[Model | None]
    settings: Runs
    keep_positions: bool

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Structures, members, temperatures, replicas; a run's number counts them, the last fastest."""
        n_temperatures, n_replicas = len(self.settings.temperatures_K), self.settings.n_replicas
        return len(self.references), len(self.models), n_temperatures, n_replicas

    @property
    def n_runs(self) -> int:
        """Number of all runs."""
        return math.prod(self.shape)

    @cached_property
    def batch(self) -> Batch:
        """What the engine is given."""
        return Batch([reference.minimum.atoms for reference in self.references])

    @property
    def n_rows(self) -> tuple[int, int]:
        """Observations before those that are kept, and of those."""
        every_fs = self.settings.dipole_every_fs
        return round(self.settings.equilibration_fs / every_fs), round(self.settings.duration_fs / every_fs)

    def place(self, identity: int) -> tuple[int, int, int, int]:
        """Return structure, member, temperature and replica of a run."""
        structure, member, temperature, replica = np.unravel_index(identity, self.shape)
        return int(structure), int(member), int(temperature), int(replica)

    def start(self, identity: int) -> Start:
        """Return a run's start: no other structure, member, replica or engine has its random numbers."""
        structure, member, number, replica = self.place(identity)
        atoms, temperature_K = self.batch.structures[structure], self.settings.temperatures_K[number]
        reference = self.references[structure]
        engine = "" if self.models[member] else " of the label"
        positions, velocities = canonical(
            reference.minimum, temperature_K, self.settings.campaign_seed,
            f"infrared-production{engine}, {reference.name}", number, replica, member,
        )  # fmt: skip
        return Start(
            self.batch.positions([positions])[0],
            self.batch.velocities([velocities])[0],
            group=member,
            kind=structure,
            temperature_K=temperature_K,
            known={"natoms": len(atoms)},
        )

    def ensemble(self, member: int) -> Ensemble:
        """Return what the runs of a member share."""
        settings, model = self.settings, self.models[member]
        skipped, n_rows = self.n_rows
        observe_every = round(settings.dipole_every_fs / settings.timestep_fs)
        chain = NoseHooverChain(
            settings.timestep_fs, max(settings.temperatures_K), settings.period_fs, settings.chain
        )
        integrator = OwnTemperature(chain)
        kept = (places,) if self.keep_positions else ()
        return Ensemble(
            _labeller(self.references[0]) if model is None else self.batch.committee(model),
            integrator,
            self.batch.masses_amu(),
            n_steps=(skipped + n_rows) * observe_every,
            observe_every=observe_every,
            campaign_seed=settings.campaign_seed,
            observers=(potential_info, temperature, Conserved(integrator), *kept),
            stop=OneCluster.of(*self.batch.structures),
            removed=self.batch.removed,
            width=self.n_runs // len(self.models),
            chunk=250,
        )

    def row(self, start: Start, ended: Trajectory) -> Row:
        """Return what is kept of a run: of one that did not finish no dipoles."""
        row: Row = {
            "outcomes": OUTCOMES[ended.outcome],
            "ended_fs": ended.n_steps * self.settings.timestep_fs,
        }
        if ended.outcome == Outcome.FINISHED:
            rows = {name: values[self.n_rows[0] :] for name, values in ended.rows.items()}
            row |= {
                "dipoles_e_A": rows["dipole_e_A"],
                "mean_temperature_K": rows["temperature_K"].mean(),
                "energy_drift_meV_per_ps": drift_meV_per_ps(
                    1e3 * rows["conserved_energy"], self.settings.dipole_every_fs
                ),
            }
            if self.keep_positions:
                row["positions_A"] = rows["positions"][:, : start.known["natoms"]].astype(np.float32)
        return row

    def dipoles(self, engine: str, rows: Sequence[Row]) -> Iterator[Dipoles]:
        """Yield the file's content of each structure from the rows of all runs."""
        settings, shape = self.settings, self.shape[1:]
        n_rows = self.n_rows[1] + 1
        for number, reference in enumerate(self.references):
            atoms = reference.minimum.atoms
            arrays: dict[str, np.ndarray] = {
                "dipoles_e_A": np.full((*shape, n_rows, 3), np.nan),
                "mean_temperature_K": np.full(shape, np.nan),
                "energy_drift_meV_per_ps": np.full(shape, np.nan),
                "outcomes": np.full(shape, "", "U16"),
                "ended_fs": np.zeros(shape),
            }
            if self.keep_positions:
                arrays["positions_A"] = np.full((*shape, n_rows, len(atoms), 3), np.nan, np.float32)
            for identity, row in enumerate(rows):
                structure, *at = self.place(identity)
                for name in row if structure == number else ():
                    arrays[name][tuple(at)] = row[name]
            if self.keep_positions:
                arrays["numbers"] = atoms.numbers
            temperatures = np.array(settings.temperatures_K)
            yield Dipoles(reference.name, engine, settings.dipole_every_fs, temperatures, **arrays)


def places(state: State, system: System) -> dict[str, jax.Array]:
    """Observe ``positions`` (natoms, 3), Å."""
    return {"positions": state.positions}
