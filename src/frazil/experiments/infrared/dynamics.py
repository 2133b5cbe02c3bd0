"""Dipoles along dynamics at constant temperature: many replicas, of a committee, its members or the label.

Nosé–Hoover chains as in Tang, Bromley & Hammer (2023), sec. II C. All engines start a replica from the same
positions and velocities.
"""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from frazil.checkpoints import TimeLimit, key_of
from frazil.errors import UserError
from frazil.experiments.infrared.batches import Batch, alike
from frazil.experiments.infrared.committee_md import thermal_velocities
from frazil.experiments.infrared.dipoles import FINISHED, Dipoles
from frazil.experiments.infrared.integrity import BROKEN, Whole
from frazil.experiments.infrared.minima import Reference, read_minima
from frazil.experiments.infrared.settings import ENGINES, MEMBERS, Runs
from frazil.files import sha256_of, write_atomic
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import NoseHooverChain, OwnTemperature
from frazil.md.observers import said, temperature
from frazil.md.state import Outcome, State, System
from frazil.potentials.gmnn.files import Model, read_model
from frazil.potentials.semiempirical import Semiempirical

OUTCOMES = {
    int(Outcome.FINISHED): FINISHED,
    int(Outcome.NON_FINITE): "non-finite",
    int(Outcome.CROWDED): "crowded",
    int(BROKEN): "broken",
}
"""Broken: atoms collapsed, or the cluster came apart (``integrity.Whole``)."""


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
    clusters = [reference.minimum.atoms for reference in references]
    driven: list[tuple[list[int], list[Any]]]
    if engine == "label":
        driven = [([s], [_labeller(reference)]) for s, reference in enumerate(references)]
    else:
        if model is None:
            raise UserError("the engine 'model' needs a model; give --model")
        committee = read_model(model)
        if "charge" not in committee.architecture.heads:
            raise UserError(f"{model} has no dipoles; train one with a charge head")
        models = [committee] if members == "mean" else one_by_one(committee)
        driven = [
            (together, [Batch([clusters[s] for s in together]).committee(one) for one in models])
            for together in alike(clusters)
        ]
    identity = key_of(
        minima=sha256_of(minima), structures=list(structures), engine=engine, members=members,
        model=sha256_of(model) if model else "", settings=[*vars(settings).items()], kept=keep_positions,
    )  # fmt: skip
    folder = checkpoints / f"dipoles-{identity[:16]}"
    with TimeLimit() as limit:
        for together, potentials in driven:
            named = [references[s] for s in together]
            parts = [
                _runs(
                    potential, named, settings, folder / f"{together[0]}-{member}", limit, keep_positions
                )
                for member, potential in enumerate(potentials)
            ]  # fmt: skip
            for number, reference in enumerate(named):
                arrays = {name: np.array([p[number][name] for p in parts]) for name in parts[0][number]}
                if keep_positions:
                    arrays["numbers"] = reference.minimum.atoms.numbers
                temperatures = np.array(settings.temperatures_K)
                Dipoles(
                    reference.name, engine, settings.dipole_every_fs, temperatures, **arrays
                ).write(out / f"dipoles-{reference.name}-{engine}.h5")  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)


def _labeller(reference: Reference) -> Semiempirical:
    atoms = reference.minimum.atoms
    flat = tuple(float(x) for x in atoms.positions.ravel())
    return Semiempirical(reference.label_level, tuple(int(n) for n in atoms.numbers), flat)


def one_by_one(model: Model) -> list[Model]:
    """Return a committee's members as models of one member each."""
    return [
        Model(model.architecture, jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], model.parameters), {})
        for i in range(model.n_members)
    ]


def _runs(
    potential: Any,
    references: Sequence[Reference],
    settings: Runs,
    folder: Path,
    limit: TimeLimit,
    keep_positions: bool = False,
) -> list[dict[str, np.ndarray]]:
    """Return the arrays of ``Dipoles`` (temperatures, replicas, …) of each structure: all replicas at all
    temperatures in one batch.
    """
    done = folder / "done.npz"
    if done.is_file():
        return _read(done, len(references))
    clusters = [reference.minimum.atoms for reference in references]
    batch = Batch(clusters)
    observe_every = round(settings.dipole_every_fs / settings.timestep_fs)
    skipped = round(settings.equilibration_fs / settings.dipole_every_fs)
    n_rows = round(settings.duration_fs / settings.dipole_every_fs)
    shape = (len(settings.temperatures_K), settings.n_replicas)
    slots = list(np.ndindex(len(clusters), *shape))
    chain = NoseHooverChain(
        settings.timestep_fs, max(settings.temperatures_K), settings.period_fs, settings.chain
    )
    ensemble = Ensemble(
        potential,
        OwnTemperature(chain),
        batch.masses_amu(),
        n_steps=(skipped + n_rows) * observe_every,
        observe_every=observe_every,
        campaign_seed=settings.campaign_seed,
        observers=(said, temperature, places) if keep_positions else (said, temperature),
        stop=Whole.of(*clusters),
        removed=batch.removed,
        width=len(slots),
        chunk=250,
    )
    velocities = [
        thermal_velocities(
            clusters[s], settings.temperatures_K[number], settings.campaign_seed, "production", number, i
        )
        for s, number, i in slots
    ]
    made: list[dict[str, np.ndarray]] = []
    for atoms in clusters:
        made.append({
            "dipoles_e_A": np.full((*shape, n_rows + 1, 3), np.nan),
            "mean_temperature_K": np.full(shape, np.nan),
            "outcomes": np.full(shape, "", "U16"),
            "ended_fs": np.zeros(shape),
        })  # fmt: skip
        if keep_positions:
            made[-1]["positions_A"] = np.full((*shape, n_rows + 1, len(atoms), 3), np.nan, np.float32)
    running = ensemble.run(
        batch.positions([clusters[s].positions for s, _, _ in slots]),
        batch.velocities(velocities),
        checkpoint=folder / "running.npz",
        after_chunk=partial(limit.check, f"the runs are kept in {folder}"),
        temperatures_K=[settings.temperatures_K[number] for _, number, _ in slots],
        kinds=batch.kinds([s for s, _, _ in slots]),
    )
    for run in running:
        s, *at = slots[run.trajectory_id]
        found, place = made[s], tuple(at)
        found["outcomes"][place] = OUTCOMES[run.outcome]
        found["ended_fs"][place] = run.n_steps * settings.timestep_fs
        if run.outcome == Outcome.FINISHED:
            found["dipoles_e_A"][place] = run.rows["dipole_e_A"][skipped:]
            found["mean_temperature_K"][place] = run.rows["temperature_K"][skipped:].mean()
            if keep_positions:
                found["positions_A"][place] = run.rows["positions"][skipped:, : len(clusters[s])]
    with write_atomic(done) as partial_path, partial_path.open("wb") as file:
        flat = {f"{s}/{name}": values for s, found in enumerate(made) for name, values in found.items()}
        np.savez(file, allow_pickle=False, **flat)
    return made


def _read(done: Path, n_structures: int) -> list[dict[str, np.ndarray]]:
    made: list[dict[str, np.ndarray]] = [{} for _ in range(n_structures)]
    with np.load(done) as saved:
        for key in saved.files:
            s, name = key.split("/")
            made[int(s)][name] = saved[key]
    return made


def places(state: State, system: System) -> dict[str, jax.Array]:
    """Observe ``positions`` (natoms, 3), Å."""
    return {"positions": state.positions}
