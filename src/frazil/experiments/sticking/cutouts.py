"""Surroundings of a projectile that a committee does not know, cut out of surfaces to be labelled.

A projectile on a surface has more neighbours within the cutoff than any cluster that was trained on, and
members that agree on clusters may differ there by as much as the binding. What they disagree on is its share
of the energy, E(surface and projectile) − E(surface, projectile far away). Whole molecules around it are cut
out, no bond dangles, and each cutout comes with it and without, so that labels say what belongs to it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas
from ase import Atoms

from frazil.campaigns import Row
from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.experiments.sticking import projectile as projectiles
from frazil.experiments.sticking.binding import FAR_A, energies_of, seek
from frazil.experiments.sticking.collisions import ids_of, run
from frazil.experiments.sticking.driver import Driver, driver
from frazil.experiments.sticking.preparation import read_surfaces
from frazil.experiments.sticking.projectile import Projectile
from frazil.experiments.sticking.settings import Campaign, Cutouts, Grid
from frazil.experiments.sticking.tables import CUTOUTS
from frazil.files import write_json
from frazil.learning.batches import PAIR
from frazil.md.trajectory import Trajectory
from frazil.seeds import rng
from frazil.systems.molecules import Molecules
from frazil.units import kB

APART = "members-apart"
"""Source of cutouts along collisions that end differently under different members."""
NEAR_A = 6.0
"""Frames of collisions count while an atom of the projectile is nearer than this to the surface."""


@dataclass(frozen=True)
class Place:
    """A projectile somewhere on a surface: all positions (natoms, 3), Å, its own last, and whence."""

    surface: Atoms
    kind: str
    number: int
    positions: np.ndarray

    @property
    def name(self) -> str:
        """Tells the site or collision from all others."""
        return f"{self.surface.info['phase']}-{self.surface.info['surface_id']}-{self.kind}-{self.number}"


def share_K(source: Driver, surface: Atoms, projectile: Projectile, positions: np.ndarray) -> np.ndarray:
    """Return the projectile's share of the energy by each member (M, n), K, at positions (n, natoms, 3)."""
    n = len(surface)
    apart = positions.copy()
    apart[:, n:, 2] += FAR_A + np.ptp(positions[:, :n, 2])
    found, both = [], projectile.with_surface(surface)
    for member in range(source.n_members):
        potential = source.potential(both, member)
        found.append((energies_of(potential, positions) - energies_of(potential, apart)) / kB)
    return np.array(found)


def cutout(
    surface: Atoms, projectile: Projectile, positions: np.ndarray, radius_A: float, most: int
) -> Atoms:
    """Return the whole molecules that have an atom within a radius of the projectile's, the nearest first.

    positions (natoms, 3): the surface's, then the projectile's, which comes last. At most ``most`` molecules.
    """
    n = len(surface)
    members = Molecules.of(surface).members
    nearest = np.linalg.norm(positions[:n, None] - positions[n:], axis=2).min(axis=1)
    distance = np.array([nearest[own].min() for own in members])
    chosen = np.argsort(distance)[:most]
    chosen = chosen[distance[chosen] < radius_A]
    atoms = np.concatenate([*(members[number] for number in chosen), np.arange(n, len(positions))])
    return Atoms(np.append(surface.numbers, projectile.atoms.numbers)[atoms], positions[atoms])


def visited(
    surfaces: Sequence[Atoms], projectile: Projectile, campaign: Campaign, source: Driver, phase: str, n: int
) -> Iterator[list[Place]]:
    """Yield of ``n`` collisions of the campaign, each under its own member, the frames that are near."""
    for _, places in _followed(surfaces, projectile, campaign, source, phase, n):
        yield places


def ended_apart(
    surfaces: Sequence[Atoms], projectile: Projectile, campaign: Campaign, source: Driver, phase: str, n: int
) -> Iterator[list[Place]]:
    """Yield of those of ``n`` collisions that end differently under different members, from the same starts,
    the frames with the projectile near, of all members together.
    """
    ended: dict[int, set[str]] = {}
    seen: dict[int, list[Place]] = {}
    for member in range(source.n_members):
        for row, places in _followed(surfaces, projectile, campaign, source, phase, n, member=member):
            ended.setdefault(row["trajectory_id"], set()).add(row["outcome"])
            seen.setdefault(row["trajectory_id"], []).extend(places)
    yield from (seen[number] for number in sorted(ended) if len(ended[number]) > 1)


def _followed(
    surfaces: Sequence[Atoms], projectile: Projectile, campaign: Campaign, source: Driver, phase: str, n: int,
    **under: int,
) -> Iterator[tuple[Row, list[Place]]]:  # fmt: skip
    """Yield the rows of ``n`` collisions, equispaced over the campaign's, and their frames that are near."""
    seen: list[Trajectory] = []
    ids = list(ids_of(campaign, phase))
    wanted = [ids[k] for k in np.linspace(0, len(ids) - 1, min(n, len(ids))).round().astype(int)]
    rows = (
        list(run(campaign, source, surfaces, projectile, wanted, see=seen.append, **under)) if wanted else []
    )
    of = {(s.info["surface_id"], s.info["surface_temperature_K"]): s for s in surfaces}
    for row, ended in zip(rows, seen, strict=True):
        places = ended.rows["positions"][np.isfinite(ended.rows["positions"]).all(axis=(1, 2))]
        surface = of[row["surface_id"], row["surface_temperature_K"]]
        own, others = places[:, len(surface) :], places[:, : len(surface)]
        apart = np.linalg.norm(own[:, :, None] - others[:, None], axis=3).min(axis=(1, 2))
        yield row, [Place(surface, "collision", row["trajectory_id"], x) for x in places[apart < NEAR_A]]


def propose(
    surfaces: Sequence[Atoms],
    projectile: Projectile,
    grid: Grid,
    campaign: Campaign,
    source: Driver,
    settings: Cutouts,
    seed: int,
    source_name: str = "cutouts",
    apart: bool = False,
) -> tuple[list[Atoms], pandas.DataFrame]:
    """Return cutouts without labels, and the table ``cutouts.csv`` of every site and frame that was judged.

    Of each collision ``cutout_frames`` frames are judged, drawn from those with the projectile near. Each
    site and each collision gives its place of largest spread. With ``apart`` only collisions count that end
    differently under different members; they take turns, with their second places and so on, until enough
    are chosen. Cutouts are of a source of their own, so that the division of frames before them stays as it
    is, and bear their weight.
    """
    rows: list[dict[str, object]] = []
    found: list[tuple[int, float, str, Place]] = []

    def judge(places: Sequence[Place]) -> None:
        share = share_K(source, places[0].surface, projectile, np.stack([p.positions for p in places]))
        spread = share.std(axis=0, ddof=1)
        for place, mean, value in zip(places, share.mean(axis=0), spread, strict=True):
            rows.append({"place": place.name, "kind": place.kind, "phase": place.surface.info["phase"],
                         "share_K": float(mean), "spread_K": float(value)})  # fmt: skip
        turns = np.argsort(-spread, kind="stable") if apart else [int(np.argmax(spread))]
        found.extend((turn, -float(spread[k]), places[k].name, places[k]) for turn, k in enumerate(turns))

    for phase in sorted({s.info["phase"] for s in surfaces}):
        own = [s for s in surfaces if s.info["phase"] == phase]
        if not apart:
            sought = seek(own[0], grid, source, projectile)
            for site, positions in enumerate(sought.found.positions):
                if sought.found.converged[site]:
                    judge([Place(own[0], "site", site, positions)])
        follow = ended_apart if apart else visited
        flown = follow(own, projectile, campaign, source, phase, settings.cutout_collisions)
        for number, places in enumerate(flown):
            if places:
                drawn = rng(seed, f"cutouts-{phase}", number).choice(
                    len(places), min(settings.cutout_frames, len(places)), replace=False
                )
                judge([places[k] for k in sorted(drawn)])
    found.sort(key=lambda item: item[:3])
    chosen = found[: settings.max_cutouts]
    frames = []
    for number, (_, _, name, place) in enumerate(chosen):
        both = cutout(
            place.surface, projectile, place.positions, settings.cutout_radius_A, settings.cutout_molecules
        )
        for frame in (both, both[: -len(projectile.atoms)]):
            frame.info |= {"trajectory_id": name, "parent": f"{source_name}-{name}", "source": source_name,
                           "weight": settings.cutout_weight, PAIR: f"{source_name}-{number}"}  # fmt: skip
            frames.append(frame)
    names = {name for _, _, name, _ in chosen}
    table = pandas.DataFrame(rows, columns=["place", "kind", "phase", "share_K", "spread_K"])
    return frames, table.assign(chosen=table["place"].isin(names))


def write_cutouts(
    surfaces: Sequence[Path], model: str, grid: Grid, campaign: Campaign, cutouts: Cutouts,
    campaign_seed: int, out: Path, curves: Path | None = None, round_number: int = 0, apart: bool = False,
) -> str:  # fmt: skip
    """Write ``candidates.extxyz``, ``cutouts.csv`` and ``summary.json``; return in words what was found.

    Clean is a committee whose median spread at sites is at most ``cutout_spread`` of the median share there;
    with ``apart`` (as of ``propose``) one whose members end every collision alike. Raises UserError for a
    committee of one, and for surfaces without a site that converges.
    """
    source = driver(model, curves or "")
    if source.n_members < 2:
        raise UserError("a committee of one has no spread; train two members or more")
    found = [s for folder in surfaces for s in read_surfaces(folder)]
    projectile = projectiles.read(surfaces[0], source)
    named = APART if apart else f"cutouts-{round_number}"
    frames, table = propose(found, projectile, grid, campaign, source, cutouts, campaign_seed, named, apart)
    write_frames(out / "candidates.extxyz", frames)
    CUTOUTS.write(table, out)
    told = {str(kind): float(part["spread_K"].median()) for kind, part in table.groupby("kind")}
    if apart:
        n_phases = len({s.info["phase"] for s in found})
        n_starts = n_phases * min(cutouts.cutout_collisions, campaign.per_phase)
        number = int(table["place"].nunique())
        summary = {"clean": not number, "n_candidates": len(frames), "median_spread_K": told,
                   "n_starts": n_starts, "n_apart": number}  # fmt: skip
        write_json(out / "summary.json", summary)
        return (
            f"{number} of {n_starts} collisions end differently under {source.n_members} members; "
            f"{len(frames)} frames to label"
        )
    sites = table[table["kind"] == "site"]
    if not len(sites):
        raise UserError("no site converged; allow more steps (--binding-max-steps)")
    limit_K = cutouts.cutout_spread * abs(float(sites["share_K"].median()))
    clean = told["site"] <= limit_K
    summary = {"clean": clean, "n_candidates": 0 if clean else len(frames), "median_spread_K": told,
               "limit_K": limit_K}  # fmt: skip
    write_json(out / "summary.json", {**summary, "round": round_number})
    words = ", ".join(f"{kind}s {value:.1f} K" for kind, value in told.items())
    return (
        f"median spread of {projectile.name}'s share: {words} (at most {limit_K:.1f} K at sites); "
        f"{len(frames)} frames"
    )
