"""Dipoles along dynamics at constant temperature: many replicas, of a committee, its members or the label.

Nosé–Hoover chains as in Tang, Bromley & Hammer (2023), sec. II C. All engines start a replica from the same
positions and velocities.
"""

import math
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
import pandas

from frazil.checkpoints import TimeLimit, key_of
from frazil.errors import UserError
from frazil.experiments.infrared.committee_md import thermal_velocities
from frazil.experiments.infrared.integrity import BROKEN, Whole
from frazil.experiments.infrared.minima import Reference, read_minima
from frazil.files import sha256_of, write_atomic
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import NoseHooverChain, OwnTemperature
from frazil.md.observers import said, temperature
from frazil.md.state import Outcome
from frazil.potentials.gmnn.files import Model, read_model
from frazil.potentials.gmnn.potential import GMNN
from frazil.potentials.semiempirical import Semiempirical

ENGINES = ("model", "label")
OUTCOMES = {
    int(Outcome.FINISHED): "finished",
    int(Outcome.NON_FINITE): "non-finite",
    int(Outcome.CROWDED): "crowded",
    int(BROKEN): "broken",
}
"""Broken: atoms collapsed, or the cluster came apart (``integrity.Whole``)."""
FINISHED = OUTCOMES[int(Outcome.FINISHED)]
ARRAYS = ("temperatures_K", "dipoles_e_A", "mean_temperature_K", "ended_fs")
RUN_COLUMNS = (
    "structure",
    "engine",
    "member",
    "temperature_K",
    "replica",
    "outcome",
    "ended_fs",
    "mean_temperature_K",
)
MEMBERS = ("each", "mean")
"""Every member of a committee by itself, or all together."""


@dataclass(frozen=True)
class Settings:
    """Temperatures, replicas of each, and how long: ``equilibration_fs`` come before ``duration_fs``.

    ``dipole_every_fs`` is a whole number of time steps; ``period_fs`` and ``chain`` are the thermostat's.
    """

    temperatures_K: tuple[float, ...]
    campaign_seed: int
    n_replicas: int = 8
    duration_fs: float = 35000.0
    equilibration_fs: float = 5000.0
    timestep_fs: float = 0.5
    dipole_every_fs: float = 1.0
    period_fs: float = 100.0
    chain: int = 3

    def __post_init__(self) -> None:
        if self.n_replicas < 1:
            raise UserError(f"{self.n_replicas} replicas; at least one is needed")
        if not self.temperatures_K or min(self.temperatures_K) <= 0:
            raise UserError(f"temperatures {self.temperatures_K} K; give at least one, all positive")
        for name in ("duration_fs", "timestep_fs", "dipole_every_fs"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is {getattr(self, name):g}; it must be positive")
        for name, whole in (
            ("duration_fs", self.duration_fs),
            ("equilibration_fs", self.equilibration_fs),
        ):
            if whole < 0 or not _divides(self.dipole_every_fs, whole):
                raise UserError(
                    f"{name} is {whole:g}; it must be a whole number of dipole_every_fs, "
                    f"{self.dipole_every_fs:g}"
                )
        if not _divides(self.timestep_fs, self.dipole_every_fs):
            raise UserError(
                f"dipoles every {self.dipole_every_fs:g} fs; a whole number of time steps of "
                f"{self.timestep_fs:g} fs is needed"
            )


@dataclass(frozen=True)
class Dipoles:
    """Runs of one structure under one engine: dipoles (members, temperatures, replicas, n_steps, 3), e Å.

    Of each run (members, temperatures, replicas): ``outcomes``, names of ``OUTCOMES``, ``ended_fs``, when,
    from the start of its equilibration, and ``mean_temperature_K``. A run that did not finish is nan.
    """

    structure: str
    engine: str
    interval_fs: float
    temperatures_K: np.ndarray
    dipoles_e_A: np.ndarray
    mean_temperature_K: np.ndarray
    outcomes: np.ndarray
    ended_fs: np.ndarray

    def n_lost(self, temperature: int) -> int:
        """Return how many replicas at a temperature's number did not finish."""
        return int((self.outcomes[:, temperature] != FINISHED).sum())

    def runs(self, temperature: int) -> list[list[np.ndarray]]:
        """Return, of each member, the whole runs (n_steps, 3) at a temperature's number."""
        return [
            [run for run, how in zip(member[temperature], ended[temperature], strict=True) if how == FINISHED]
            for member, ended in zip(self.dipoles_e_A, self.outcomes, strict=True)
        ]

    def table(self) -> pandas.DataFrame:
        """Return a row for every run: how it ended."""
        rows = []
        for member, number, replica in np.ndindex(self.outcomes.shape):
            at = (member, number, replica)
            values = (self.outcomes[at], self.ended_fs[at], self.mean_temperature_K[at])
            rows.append((self.structure, self.engine, member, self.temperatures_K[number], replica, *values))
        return pandas.DataFrame(rows, columns=list(RUN_COLUMNS))

    def write(self, path: Path | str) -> None:
        """Write an HDF5 file."""
        with write_atomic(path) as partial, h5py.File(partial, "w") as file:
            for name in ("structure", "engine", "interval_fs"):
                file.attrs[name] = getattr(self, name)
            for name in ARRAYS:
                file.create_dataset(name, data=getattr(self, name), track_times=False)
            file.create_dataset("outcomes", data=self.outcomes.astype("S"), track_times=False)


def read_dipoles(path: Path | str) -> Dipoles:
    """Read a file of ``Dipoles.write``. Raises UserError for another one."""
    try:
        with h5py.File(path) as file:
            given = {name: file.attrs[name] for name in ("structure", "engine", "interval_fs")}
            arrays = {name: file[name][()] for name in (*ARRAYS, "outcomes")}
    except (OSError, KeyError) as error:
        raise UserError(f"{path} holds no dipoles ({error}); make it with run_dipoles.py") from error
    arrays["outcomes"] = arrays["outcomes"].astype(str)
    return Dipoles(str(given["structure"]), str(given["engine"]), float(given["interval_fs"]), **arrays)


def run_dipoles(
    minima: Path,
    structure: str,
    engine: str,
    out: Path,
    checkpoints: Path,
    settings: Settings,
    model: Path | None = None,
    members: str = "each",
) -> None:
    """Run a structure under an engine ("model": each of ``MEMBERS``; "label") and write its dipoles.

    Raises UserError for what does not fit together, OutOfTime after SIGTERM (what is done is kept).
    """
    found = {reference.name: reference for reference in read_minima(minima)}
    if structure not in found:
        raise UserError(f"no structure {structure} in {minima}; there are {', '.join(found)}")
    if engine not in ENGINES:
        raise UserError(f"engine {engine!r}; allowed are {', '.join(ENGINES)}")
    if members not in MEMBERS:
        raise UserError(f"members {members!r}; allowed are {', '.join(MEMBERS)}")
    reference = found[structure]
    atoms = reference.minimum.atoms
    potentials: list[Any]
    if engine == "label":
        flat = tuple(float(x) for x in atoms.positions.ravel())
        potentials = [Semiempirical(reference.label_level, tuple(int(n) for n in atoms.numbers), flat)]
    else:
        if model is None:
            raise UserError("the engine 'model' needs a model; give --model")
        committee = read_model(model)
        if "charge" not in committee.architecture.heads:
            raise UserError(f"{model} has no dipoles; train one with a charge head")
        models = [committee] if members == "mean" else one_by_one(committee)
        potentials = [GMNN.of(one, atoms.numbers) for one in models]
    identity = key_of(
        minima=sha256_of(minima), structure=structure, engine=engine, members=members,
        model=sha256_of(model) if model else "", settings=[*vars(settings).items()],
    )  # fmt: skip
    folder = checkpoints / f"dipoles-{identity[:16]}"
    with TimeLimit() as limit:
        parts = [
            _runs(potential, reference, settings, folder / str(member), limit)
            for member, potential in enumerate(potentials)
        ]
    arrays = {name: np.array([part[name] for part in parts]) for name in parts[0]}
    Dipoles(structure, engine, settings.dipole_every_fs, np.array(settings.temperatures_K), **arrays).write(
        out
    )
    shutil.rmtree(folder, ignore_errors=True)


def one_by_one(model: Model) -> list[Model]:
    """Return a committee's members as models of one member each."""
    return [
        Model(model.architecture, jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], model.parameters), {})
        for i in range(model.n_members)
    ]


def _runs(
    potential: Any, reference: Reference, settings: Settings, folder: Path, limit: TimeLimit
) -> dict[str, np.ndarray]:
    """Return the arrays of ``Dipoles`` (temperatures, replicas, …): all replicas at all temperatures in one
    batch.
    """
    done = folder / "done.npz"
    if done.is_file():
        with np.load(done) as saved:
            return dict(saved)
    atoms = reference.minimum.atoms
    observe_every = round(settings.dipole_every_fs / settings.timestep_fs)
    skipped = round(settings.equilibration_fs / settings.dipole_every_fs)
    n_rows = round(settings.duration_fs / settings.dipole_every_fs)
    shape = (len(settings.temperatures_K), settings.n_replicas)
    places = list(np.ndindex(shape))
    chain = NoseHooverChain(
        settings.timestep_fs, max(settings.temperatures_K), settings.period_fs, settings.chain
    )
    ensemble = Ensemble(
        potential,
        OwnTemperature(chain),
        atoms.get_masses(),
        n_steps=(skipped + n_rows) * observe_every,
        observe_every=observe_every,
        campaign_seed=settings.campaign_seed,
        observers=(said, temperature),
        stop=Whole.of(atoms),
        removed="drift and rotation" if len(atoms) > 2 else "drift",
        width=len(places),
        chunk=250,
    )
    velocities = [
        thermal_velocities(
            atoms, settings.temperatures_K[number], settings.campaign_seed, "production", number, i
        )
        for number, i in places
    ]
    found = {
        "dipoles_e_A": np.full((*shape, n_rows + 1, 3), np.nan),
        "mean_temperature_K": np.full(shape, np.nan),
        "outcomes": np.full(shape, "", "U16"),
        "ended_fs": np.zeros(shape),
    }
    running = ensemble.run(
        np.repeat(atoms.positions[None], len(places), axis=0),
        np.array(velocities),
        checkpoint=folder / "running.npz",
        after_chunk=partial(limit.check, f"the runs are kept in {folder}"),
        temperatures_K=[settings.temperatures_K[number] for number, _ in places],
    )
    for run in running:
        at = places[run.trajectory_id]
        found["outcomes"][at] = OUTCOMES[run.outcome]
        found["ended_fs"][at] = run.n_steps * settings.timestep_fs
        if run.outcome == Outcome.FINISHED:
            found["dipoles_e_A"][at] = run.rows["dipole_e_A"][skipped:]
            found["mean_temperature_K"][at] = run.rows["temperature_K"][skipped:].mean()
    with write_atomic(done) as partial_path, partial_path.open("wb") as file:
        np.savez(file, allow_pickle=False, **found)
    return found


def _divides(part: float, whole: float) -> bool:
    return math.isclose(whole / part, round(whole / part), abs_tol=1e-6)
