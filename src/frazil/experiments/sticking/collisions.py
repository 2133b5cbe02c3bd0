"""Collisions of a molecule with a surface: initial states, the stop rule, and shards of one campaign.

A trajectory is a function of the campaign (its grid, seed and surfaces) and its id: ids count the grid of
phase, surface temperature, collision energy, polar angle and azimuth, the last running fastest. Aim,
orientation, snapshot and (where it is random) azimuth come from the id's own generator. The engine's width
belongs to the campaign: another one may change the last bits.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas
from ase import Atoms

from frazil import campaigns
from frazil.campaigns import Row, Runner, Start, in_engine
from frazil.checkpoints import Ledger, key_of
from frazil.errors import UserError
from frazil.experiments.enough import still_open
from frazil.experiments.sticking import projectile as projectiles
from frazil.experiments.sticking.driver import ANALYTIC, Driver, driver
from frazil.experiments.sticking.preparation import read_surfaces
from frazil.experiments.sticking.projectile import Projectile
from frazil.experiments.sticking.results import PUBLISHED
from frazil.experiments.sticking.settings import NEAREST_START_A, PHASES, Campaign, OBSERVE_fs
from frazil.experiments.sticking.surfaces import height_A, masses_of
from frazil.experiments.sticking.tables import BEYOND, NEARER_A, PATHS, TRAJECTORIES
from frazil.files import sha256_of, write_json
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import energies, frames
from frazil.md.state import State, System
from frazil.md.trajectory import Outcome, Trajectory, drift_meV_per_ps
from frazil.seeds import rng
from frazil.systems.molecules import Molecules, random_rotation
from frazil.tables import Table
from frazil.units import kB

BOUNCED, DISSOCIATED = Outcome.FIRST_OF_EXPERIMENT, Outcome.FIRST_OF_EXPERIMENT + 1


def ids_of_round(
    campaign: Campaign, phase: str, first_azimuth: int = 0, n_azimuths: int = 0, decision: Path | None = None
) -> list[int]:
    """Return the ids of a phase that a round runs, ascending.

    Those of ``n_azimuths`` azimuths (0: all from the first on) of every polar angle, at the temperatures and
    energies that ``decision`` leaves open: what they tell of each is a whole grid of angles.
    """
    last = first_azimuth + n_azimuths if n_azimuths else campaign.n_azimuth
    conditions = {
        (surface_K, energy_K): {
            "phase": phase, "surface_temperature_K": surface_K, "collision_energy_K": energy_K,
        }
        for surface_K in campaign.surface_temperatures_K for energy_K in campaign.energies_K
    }  # fmt: skip
    wanted = still_open(decision, list(conditions.values()))
    open_ = [place for place, condition in enumerate(conditions.values()) if condition in wanted]
    ids = ids_of(campaign, phase)
    return [
        i for i in ids
        if (i - ids[0]) // campaign.per_energy in open_ and first_azimuth <= i % campaign.n_azimuth < last
    ]  # fmt: skip


def ids_of(campaign: Campaign, phase: str) -> range:
    """Return the trajectory ids of a phase. Raises UserError for an unknown one."""
    if phase not in PHASES:
        raise UserError(f"phase {phase!r}; allowed: {', '.join(PHASES)}")
    first = PHASES.index(phase) * campaign.per_phase
    return range(first, first + campaign.per_phase)


def condition(campaign: Campaign, identity: int) -> dict[str, Any]:
    """Return what the grid says of a trajectory."""
    shape = (
        len(PHASES), len(campaign.surface_temperatures_K), len(campaign.energies_K), campaign.n_polar,
        campaign.n_azimuth,
    )  # fmt: skip
    p, t, e, i, j = (int(k) for k in np.unravel_index(identity, shape))
    return {
        "trajectory_id": identity, "phase": PHASES[p],
        "surface_temperature_K": campaign.surface_temperatures_K[t],
        "collision_energy_K": campaign.energies_K[e],
        "polar_angle_deg": campaign.polar_max_deg * i / max(campaign.n_polar - 1, 1),
        "azimuth_deg": 360.0 * j / campaign.n_azimuth,
    }  # fmt: skip


def check_members(campaign: Campaign, n_members: int) -> None:
    """Raise UserError where model error is asked of a committee of one."""
    if campaign.model_error and n_members < 2:
        raise UserError(
            "model error asked of a committee of one; train two members or more (--n-members 3), or turn "
            "it off"
        )


def start(campaign: Campaign, identity: int, surfaces: Sequence[Atoms], projectile: Projectile) -> Start:
    """Return the initial state of a trajectory on one of the surfaces of its temperature.

    The projectile, turned at random, flies along a line that meets the surface's height at the aim, uniform
    in a disc about the middle; its centre of mass starts ``start_height_A`` above. Raises UserError where no
    surface has the temperature, or it would start inside the surface.
    """
    row = condition(campaign, identity)
    generator = rng(campaign.campaign_seed, "collision", identity)
    fitting = [
        s for s in surfaces if np.isclose(s.info["surface_temperature_K"], row["surface_temperature_K"])
    ]
    if not fitting:
        raise UserError(f"no surface at {row['surface_temperature_K']:g} K; prepare one at that temperature")
    surface = fitting[int(generator.integers(len(fitting)))]
    random_azimuth, radius, angle = generator.uniform(0.0, [360.0, 1.0, 2 * np.pi])
    if campaign.azimuth == "random":
        row["azimuth_deg"] = float(random_azimuth)
    polar, azimuth = np.radians(row["polar_angle_deg"]), np.radians(row["azimuth_deg"])
    aim = campaign.aim_radius_A * np.sqrt(radius) * np.array([np.cos(angle), np.sin(angle)])
    top = height_A(surface.positions, campaign.aim_radius_A + 2.0)
    direction = np.array([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), -np.cos(polar)])
    centre = np.array([*aim, top]) - direction * campaign.start_height_A / np.cos(polar)
    turn = random_rotation(generator)
    own, moving = projectile.drawn(campaign, identity)
    placed = centre + own @ turn
    nearest = np.linalg.norm(surface.positions[None] - placed[:, None], axis=2).min()
    if nearest < NEAREST_START_A:
        raise UserError(
            f"trajectory {identity}: {projectile.name} starts {nearest:.2f} Å from an atom, inside the "
            "surface; give a larger --start-height-A"
        )
    speed = np.sqrt(2 * row["collision_energy_K"] * kB / projectile.mass_amu)
    row |= {
        "surface_id": int(surface.info["surface_id"]), "aim_x_A": float(aim[0]), "aim_y_A": float(aim[1]),
        "height_A": top,
    }  # fmt: skip
    velocities = np.concatenate([surface.get_velocities(), speed * direction[None] + moving @ turn])
    return Start(np.concatenate([surface.positions, placed]), velocities, known=row)


@dataclass(frozen=True)
class Motion:
    """Observe the projectile, the last atoms, of masses in parts of its own: ``apart_A`` from the surface,
    its centre ``projectile_A`` (3,), and its ``rising`` velocity along z.
    """

    weights: tuple[float, ...]

    @classmethod
    def of(cls, projectile: Projectile) -> "Motion":
        """Return the observer of a projectile."""
        return cls(tuple((projectile.atoms.get_masses() / projectile.mass_amu).tolist()))

    def __call__(self, state: State, system: System) -> dict[str, jax.Array]:
        """Return what is observed."""
        apart, centre, velocity = self.measured(state)
        return {"apart_A": apart, "projectile_A": centre, "rising": velocity[2]}

    def measured(self, state: State) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return how far the farthest atom is from the nearest of the surface, the centre, its velocity."""
        n, weights = len(self.weights), jnp.asarray(self.weights)[:, None]
        own, others = state.positions[-n:], state.positions[:-n]
        apart = jnp.sqrt(jnp.sum((own[:, None] - others[None]) ** 2, axis=-1)).min(axis=1).max()
        return apart, (weights * own).sum(axis=0), (weights * state.velocities[-n:]).sum(axis=0)


@dataclass(frozen=True)
class BouncedOrBroken:
    """Stop rule: bounced when an atom of the projectile is beyond ``bounce_A`` of the surface's atoms and
    moves away from its middle; dissociated when a fragment has come off a molecule: a bond is too long.

    ``bonds``: (atom, atom, longest Å) of all molecules, the projectile's too.
    """

    bounce_A: float
    motion: Motion
    bonds: tuple[tuple[int, int, float], ...]

    @classmethod
    def of(cls, bounce_A: float, surface: Atoms, projectile: Projectile) -> "BouncedOrBroken":
        """Return the rule of a surface and its projectile; molecules are those of the surface as it is."""
        bonds = []
        for atoms, first in ((surface, 0), (projectile.atoms, len(surface))):
            own = Molecules.of(atoms)
            bonds += [
                (int(i) + first, int(j) + first, float(longest))
                for (i, j), longest in zip(own.bonds, own.longest_A, strict=True)
            ]
        return cls(bounce_A, Motion.of(projectile), tuple(bonds))

    def __call__(self, state: State, system: System) -> jax.Array:
        """Return the outcome's code, 0 to go on."""
        apart, centre, velocity = self.motion.measured(state)
        outwards = jnp.sum(centre * velocity) > 0
        code = jnp.where((apart > self.bounce_A) & outwards, BOUNCED, 0)
        if not self.bonds:
            return code
        pairs = np.array([bond[:2] for bond in self.bonds])
        longest = np.array([bond[2] for bond in self.bonds])
        between = state.positions[pairs[:, 1]] - state.positions[pairs[:, 0]]
        broken = (jnp.sqrt(jnp.sum(between**2, axis=1)) > longest).any()
        return jnp.where(broken, DISSOCIATED, code)


def runner(
    campaign: Campaign, source: Driver, surfaces: Sequence[Atoms], projectile: Projectile,
    potential: Any = None, integrator: Any = None, see: Callable[[Trajectory], None] | None = None,
    member: int | None = None,
) -> Runner:  # fmt: skip
    """Return the runner of a campaign's collisions; rows hold their observations as lists.

    Each runs under its own member (id modulo members) where model error is asked for, else under the mean;
    with ``member`` all run under that one.
    ``potential`` and ``integrator`` take the place of the source's and of velocity Verlet, for tests. ``see``
    is called with each trajectory that has ended, its frames among its rows.
    """
    check_members(campaign, source.n_members)
    projectiles.check(projectile, campaign)
    both = projectile.with_surface(surfaces[0])
    stop = BouncedOrBroken.of(campaign.bounce_A, surfaces[0], projectile)

    def begun(identity: int) -> Start:
        own = identity % source.n_members if campaign.model_error and member is None else member
        found = start(campaign, identity, surfaces, projectile)
        return replace(found, group=own, known={**found.known, "model_id": source.name(own)})

    def ensemble(member: int | None) -> Ensemble:
        return Ensemble(
            potential or source.potential(both, member),
            integrator or VelocityVerlet(campaign.timestep_fs),
            masses_of(both),
            n_steps=round(campaign.duration_fs / campaign.timestep_fs),
            observe_every=round(OBSERVE_fs / campaign.timestep_fs),
            campaign_seed=campaign.campaign_seed,
            observers=(energies, stop.motion, *((frames,) if see else ())),
            stop=stop,
            frozen=both.arrays["fixed"],
            width=campaign.width,
        )

    def row(start: Start, ended: Trajectory) -> Row:
        if see:
            see(ended)
        return _row(campaign, start, ended)

    return in_engine(begun, ensemble, row)


def run(
    campaign: Campaign, source: Driver, surfaces: Sequence[Atoms], projectile: Projectile, ids: Sequence[int],
    **others: Any,
) -> Iterator[Row]:  # fmt: skip
    """Yield the rows of trajectories as they end; ``others`` as ``runner`` takes them."""
    for _, row in runner(campaign, source, surfaces, projectile, **others)(ids, lambda: None):
        yield row


def _row(campaign: Campaign, start: Start, ended: Trajectory) -> Row:
    """Return what the table says of a trajectory that has ended, and its path."""
    known, rows = dict(start.known), ended.rows
    time = rows["step"] * campaign.timestep_fs
    rising, apart = rows["rising"], rows["apart_A"]
    near = apart < campaign.bounce_A
    turns = int(((rising[1:] > 0) & (rising[:-1] <= 0) & near[1:]).sum())
    total = rows["energy"] + rows["kinetic_energy"]
    known_energy = len(time) > 2 and np.isfinite(total).all()
    drift = drift_meV_per_ps(1000 * total, OBSERVE_fs) if known_energy else float("nan")
    names = {int(BOUNCED): "bounced", int(DISSOCIATED): "dissociated", int(Outcome.FINISHED): "stuck"}
    named = names.get(ended.outcome, "failed")
    outwards = (rows["projectile_A"][1:] * np.diff(rows["projectile_A"], axis=0)).sum(axis=1) > 0
    beyond = {
        BEYOND.format(distance_A): _first(time[1:], outwards & (apart[1:] > distance_A))
        for distance_A in NEARER_A
    }
    # The paper's rule at the end of a trajectory: beyond the distance is bounced, wherever it goes.
    if named == "stuck" and apart[-1] > campaign.bounce_A:
        named = "bounced"
    return known | {
        "outcome": named, "time_fs": float(time[-1]), "n_bounces": turns,
        "energy_drift_meV_per_ps": drift, **beyond,
        "path": {
            "time_fs": time.tolist(), "z_A": (rows["projectile_A"][:, 2] - known["height_A"]).tolist(),
            "apart_A": apart.tolist(),
        },
    }  # fmt: skip


def _first(times: np.ndarray, holds: np.ndarray) -> float | None:
    """Return the first time at which something holds, None if it never does."""
    return float(times[np.argmax(holds)]) if holds.any() else None


def run_shard(
    campaign: Campaign,
    surfaces: Path | str,
    model: Path | str,
    phase: str,
    first: int,
    n_trajectories: int,
    keep_paths: int,
    checkpoints: Path | str,
    out: Path | str,
    curves: Path | str | None = None,
    first_azimuth: int = 0,
    n_azimuths: int = 0,
    decision: Path | None = None,
) -> None:
    """Run the ``n_trajectories`` of a phase from its number ``first`` on; write ``trajectories.csv`` and
    paths.

    With azimuths or a decision ``first`` counts what these leave (``ids_of_round``). Finished rows are kept
    under ``checkpoints``. ``paths.csv`` holds the height of the projectile over time of the first
    ``keep_paths`` trajectories. Raises UserError for bad input, OutOfTime after SIGTERM.
    """
    source = driver(model, curves or "")
    check_members(campaign, source.n_members)
    wanted = ids_of_round(campaign, phase, first_azimuth, n_azimuths, decision)
    ids = wanted[first : first + n_trajectories]
    if not ids:
        raise UserError(f"trajectories from {first} on; phase {phase} has {len(wanted)} to run")
    found = [s for s in read_surfaces(surfaces) if s.info["phase"] == phase]
    if not found:
        raise UserError(f"{surfaces} holds no {phase} surface; give the folder of that phase")
    projectile = projectiles.read(surfaces, source)
    files = [Path(surfaces) / name for name in ("snapshots.extxyz", projectiles.FILE)]
    digest = sha256_of(*(file for file in files if file.is_file()))
    ledger = Ledger(checkpoints, key_of(campaign=asdict(campaign), surfaces=digest, model=source.digest))
    rows = campaigns.run_shard(ids, runner(campaign, source, found, projectile), ledger, "collisions")
    folder = Path(out)
    kept = {i for i in ids if i - ids_of(campaign, phase)[0] < keep_paths}
    for table, content in tables_of(rows, kept):
        table.write(content, folder)
    named = "" if Path(model).exists() or str(model) == ANALYTIC else str(model)
    write_json(
        folder / "campaign.json", {**asdict(campaign), "model": named, **_system(found[0], projectile)}
    )


def _system(surface: Atoms, projectile: Projectile) -> dict[str, str]:
    """Return what was shot at which molecules, in words; nothing of the published H2 on CO."""
    ice = " and ".join(sorted(set(Molecules.of(surface).formulas)))
    return {} if (projectile.name, ice) == PUBLISHED else {"projectile": projectile.name, "ice": ice}


def tables_of(rows: Sequence[Row], kept: Collection[int]) -> list[tuple[Table, pandas.DataFrame]]:
    """Return ``trajectories`` of all rows, and ``paths`` of the trajectories ``kept``."""
    paths = [
        pandas.DataFrame(row["path"]).assign(trajectory_id=row["trajectory_id"], phase=row["phase"])
        for row in rows
        if row["trajectory_id"] in kept
    ]
    columns = [*TRAJECTORIES.names, *(BEYOND.format(distance_A) for distance_A in NEARER_A)]
    return [
        (TRAJECTORIES, pandas.DataFrame(rows)[columns]),
        (PATHS, pandas.concat(paths) if paths else PATHS.frame([])),
    ]
