"""Binding energies of the projectile on a grid over the surface: E_bin = E_close − E_far, minimized."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas
from ase import Atoms

from frazil.analysis.predictive import another_value
from frazil.analysis.settings import MODEL_ERROR_SCALE
from frazil.errors import UserError
from frazil.experiments.sticking import projectile as projectiles
from frazil.experiments.sticking.driver import Driver, driver
from frazil.experiments.sticking.preparation import read_surfaces
from frazil.experiments.sticking.projectile import Projectile
from frazil.experiments.sticking.residence import typical_energy
from frazil.experiments.sticking.settings import Grid
from frazil.experiments.sticking.surfaces import MORE_FRAMES, height_A
from frazil.experiments.sticking.tables import (
    BINDING_BY_TYPE,
    BINDING_ENERGIES,
    BINDING_SUMMARY,
    SITE_TYPES,
    SURFACE_ATOMS,
)
from frazil.md.minimize import Minima, minimize
from frazil.potentials.interface import Potential, jit
from frazil.potentials.neighbours import allocate, widened
from frazil.seeds import rng
from frazil.systems.molecules import Molecules, random_rotation
from frazil.systems.starts import too_close
from frazil.units import kB

FAR_A = 20.0
"""A projectile this far above the surface is free: H2 to 0.01 K under the known truth, and beyond cutoffs."""
BOUND_A = 6.0
"""A projectile whose centre is farther than this from every atom of the surface is not bound."""
SURFACE_TIMES = 10
"""The surface alone may take so many times as many steps: one minimization, to which all sites refer. A glass
of 60 CO took 4,000.
"""
MEMBER_K = "member_{}_K"
"""Columns of what single members say, at the same places."""
AS_NEAR = 1.15
"""Molecules of the surface at most so many times as far from the projectile as the nearest one hold it: one
at a top site, two at a bridge, more in a hollow. The paper tells its sites by sight.
"""
REARRANGED_A = 0.5
"""Where an atom of the surface moved farther than this, the surface fell into another minimum, and the
difference is part of the binding energy. On a crystal under the known truth none moves 0.25 Å.
"""


def points(grid: Grid) -> np.ndarray:
    """Return the lateral points (n, 2), Å, centred on the middle of the surface."""
    side = np.sqrt(grid.binding_area_A2)
    n = max(int(side / grid.binding_spacing_A + 1e-9), 1)
    line = (np.arange(n) - 0.5 * (n - 1)) * grid.binding_spacing_A
    return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)


def top_A(surface: Atoms, grid: Grid) -> float:
    """Return the z from which heights of sites are counted: of the highest atom near the middle."""
    return height_A(surface.positions, float(np.sqrt(grid.binding_area_A2)))


def starts(surface: Atoms, grid: Grid, projectile: Projectile) -> np.ndarray:
    """Return positions (n, natoms, 3): the projectile over each point, turned at random, at the clearance.

    The centre of mass comes down to the lowest height at which no atom is nearer than the clearance. Raises
    UserError where there is no atom below, or where atoms of a large projectile would overlap the surface's.
    """
    found, own = [], projectile.atoms.positions
    both = projectile.with_surface(surface)
    for site, point in enumerate(points(grid)):
        lateral = ((surface.positions[:, :2] - point) ** 2).sum(axis=1)
        near = lateral < grid.binding_clearance_A**2
        z = surface.positions[near, 2] + np.sqrt(grid.binding_clearance_A**2 - lateral[near])
        if not near.any():
            raise UserError(
                f"no atom under the grid point ({point[0]:g}, {point[1]:g}) Å; give a smaller area, "
                "or a larger "
                "hemisphere"
            )
        turn = random_rotation(rng(grid.campaign_seed, "binding-site", site))
        placed = np.array([*point, z.max()]) + own @ turn
        both.positions = np.concatenate([surface.positions, placed])
        if len(own) > 2 and too_close(both):
            raise UserError(
                f"{projectile.name} over the grid point ({point[0]:g}, {point[1]:g}) Å overlaps the surface "
                f"at a clearance of {grid.binding_clearance_A:g} Å; give a larger one (--binding-clearance-A)"
            )
        found.append(both.positions.copy())
    return np.stack(found)


def energies_of(potential: Potential, positions: np.ndarray) -> np.ndarray:
    """Return energies (n,), eV, of structures (n, natoms, 3), one at a time: exact whatever the batch."""
    if potential.cutoff_A is None:
        return np.array([float(_energy(potential, None, x[None])) for x in positions])
    own = [allocate(x, potential.cutoff_A) for x in positions]
    slots = max(lists.index.shape[1] for lists in own)
    stacked = [jax.tree.map(lambda leaf: leaf[None], widened(lists, slots)) for lists in own]
    return np.array([float(_energy(potential, n, x[None])) for n, x in zip(stacked, positions, strict=True)])


@jit
def _energy(potential: Potential, lists: Any, positions: Any) -> jax.Array:
    ready = potential.batched(1)
    return ready.evaluate(ready.arrange(lists), positions).energies[0]


def site_types(surface: Molecules, positions_A: np.ndarray, centres_A: np.ndarray) -> list[str]:
    """Return the type of each site, top, bridge or hollow, by how many molecules are ``AS_NEAR``.

    positions_A (n, natoms, 3): the surface at each site; centres_A (n, 3): the projectile's centres there. A
    molecule is as far as its nearest atom.
    """
    apart = np.linalg.norm(positions_A - centres_A[:, None], axis=2)
    of_molecules = np.stack([apart[:, own].min(axis=1) for own in surface.members], axis=1)
    near = (of_molecules <= AS_NEAR * of_molecules.min(axis=1, keepdims=True)).sum(axis=1)
    return [SITE_TYPES[min(int(n), len(SITE_TYPES)) - 1] for n in near]


@dataclass(frozen=True)
class Sought:
    """Minima of a projectile on a surface.

    ``like``: the atoms of both, as potentials are asked for them. ``apart``: with the projectile far above.
    ``found``: from each start. ``relaxed_A``: the surface alone (natoms, 3). ``top_A``: its height.
    """

    like: Atoms
    top_A: float
    relaxed_A: np.ndarray
    apart: Minima
    found: Minima


def seek(surface: Atoms, grid: Grid, source: Driver, projectile: Projectile) -> Sought:
    """Minimize the projectile from every point of the grid over a surface, under the committee's mean.

    Raises UserError where the surface alone does not relax.
    """
    own = projectile.atoms.positions
    like = projectile.with_surface(surface)
    frozen = like.arrays["fixed"]
    top = top_A(surface, grid)
    lying = (own - own[0])[:, [2, 1, 0]] * [-1.0, 1.0, 1.0]
    far = lying + np.array([0.0, 0.0, top + FAR_A])
    potential = source.potential(like)
    limits = (grid.binding_max_force_eV_per_A, grid.binding_max_steps)
    most = SURFACE_TIMES * grid.binding_max_steps
    alone = np.concatenate([surface.positions, far])[None]
    apart = minimize(potential, alone, frozen, limits[0], most, width=1)
    if not np.isfinite(apart.max_forces[0]):
        raise UserError(
            f"surface {surface.info['surface_id']} fell into a hole of the potential while it relaxed; "
            f"{MORE_FRAMES}"
        )
    if not apart.converged[0]:
        raise UserError(
            f"surface {surface.info['surface_id']} with {projectile.name} far away did not relax below "
            f"{limits[0]:g} eV/Å in {most} steps (left: {apart.max_forces[0]:.2g}); allow more steps "
            "(binding_max_steps)"
        )
    relaxed = surface.copy()
    relaxed.positions = apart.positions[0, : len(surface)]
    found = minimize(potential, starts(relaxed, grid, projectile), frozen, *limits, width=grid.width)
    return Sought(like, top, relaxed.positions, apart, found)


def sites(
    surface: Atoms, grid: Grid, source: Driver, projectile: Projectile, truth: str = "",
    scale: float = MODEL_ERROR_SCALE,
) -> pandas.DataFrame:  # fmt: skip
    """Return the table ``binding_energies.csv`` of one surface.

    The surface is minimized alone first, and once more with the projectile far away: E_far, and the start of
    all sites. ``largest_shift_A`` is how far any atom of the surface moved from where it was without it,
    ``model_std_K`` is the members' standard deviation of E_close − E_far at the same places (empty for one
    member), ``truth_energy_K`` what the known truth of that name says there (empty without one). A site that
    ends with the projectile broken or away from the surface has not converged.
    """
    sought = seek(surface, grid, source, projectile)
    top, apart, found, relaxed = sought.top_A, sought.apart, sought.found, sought.relaxed_A
    n = len(surface)
    ended, alone = found.positions[:, n:], Molecules.of(projectile.atoms)
    centres = alone.centres(ended)[:, 0]
    bound = np.linalg.norm(found.positions[:, :n] - centres[:, None], axis=2).min(axis=1) < BOUND_A
    whole = np.array([alone.broken(one[None]) is None for one in ended])
    converged = found.converged & bound & whole
    energy = (found.energies - apart.energies[0]) / kB
    largest = np.linalg.norm(found.positions[:, :n] - relaxed, axis=2).max(axis=1)
    everything = np.concatenate([apart.positions, found.positions])
    types = site_types(Molecules.of(surface), found.positions[:, :n], centres)

    def differences(own: Potential) -> np.ndarray:
        values = energies_of(own, everything)
        return (values[1:] - values[0]) / kB

    spread = known = low = high = np.full(len(energy), np.nan)
    members = {}
    if source.n_members > 1:
        each = [source.potential(sought.like, m) for m in range(source.n_members)]
        own = np.array([differences(potential) for potential in each])
        spread = own.std(axis=0, ddof=1)
        unit = scale * energy[converged].std() if converged.any() else np.nan
        low, high = another_value(energy, (energy, energy), own, np.zeros_like(own), unit)
        members = {MEMBER_K.format(number): values for number, values in enumerate(own)}
    if truth:
        known = differences(driver(truth).potential(sought.like))
    return pandas.DataFrame(
        {
            "phase": surface.info["phase"], "surface_id": int(surface.info["surface_id"]),
            "site_id": np.arange(len(energy)), "x_A": centres[:, 0], "y_A": centres[:, 1],
            "z_A": centres[:, 2] - top, "binding_energy_K": energy, "model_std_K": spread,
            "converged": converged.astype(int), "truth_energy_K": known,
            "largest_shift_A": largest, "site_type": types, "total_low_95_K": low, "total_high_95_K": high,
            **members,
        }
    )  # fmt: skip


def summary(table: pandas.DataFrame, scale: float = MODEL_ERROR_SCALE) -> pandas.DataFrame:
    """Return the table ``binding_summary.csv``: of the converged sites, by phase, and how many did not.

    ``n_rearranged`` of the converged: at which the surface did not stay as it was (REARRANGED_A). The
    members' mean spread, and the errors against the known truth at the same places, are empty where unknown.
    The last columns are both errors of the mean: its interval over sites, and what another member would say.
    """
    rows = []
    for phase, part in table.groupby("phase", sort=True):
        energies = part.loc[part["converged"] == 1, "binding_energy_K"]
        errors = energies - part.loc[part["converged"] == 1, "truth_energy_K"]
        rows.append(
            {
                "phase": phase, "n": len(energies), "mean_K": energies.mean(), "median_K": energies.median(),
                "std_K": energies.std(ddof=1), "n_unconverged": int((part["converged"] == 0).sum()),
                "model_std_K": part.loc[part["converged"] == 1, "model_std_K"].mean(),
                "truth_mean_error_K": errors.mean(), "truth_rms_error_K": float(np.sqrt((errors**2).mean())),
                "n_rearranged": int((part["largest_shift_A"] > REARRANGED_A)[part["converged"] == 1].sum()),
                **_both_errors(part, scale),
            }
        )  # fmt: skip
    return BINDING_SUMMARY.frame(rows)


def by_type(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return the table ``binding_by_type.csv``: of the converged sites by phase, and by their type."""
    good = table[table["converged"] == 1]
    rows = []
    for phase in sorted(good["phase"].unique()):
        for kind in SITE_TYPES:
            own = good[(good["phase"] == phase) & (good["site_type"] == kind)]
            energies = own["binding_energy_K"]
            rows.append(
                {
                    "phase": phase, "site_type": kind, "n": len(own), "mean_K": energies.mean(),
                    "median_K": energies.median(), "std_K": energies.std(ddof=1),
                    "model_std_K": own["model_std_K"].mean(),
                    "truth_mean_error_K": (energies - own["truth_energy_K"]).mean(),
                }
            )  # fmt: skip
    return BINDING_BY_TYPE.frame(rows)


def _both_errors(part: pandas.DataFrame, scale: float) -> dict[str, float]:
    found = typical_energy(part, "mean", scale).row("mean")
    wanted = ("low_95", "high_95", "total_low_95", "total_high_95")
    return {f"mean_{name}_K": found[name] for name in wanted}


def write_sites(
    surfaces: Path | str,
    model: Path | str,
    grid: Grid,
    binding_surfaces: int,
    out: Path | str,
    curves: Path | str | None = None,
    truth: str = "",
    model_error_scale: float = MODEL_ERROR_SCALE,
) -> None:
    """Write ``binding_energies.csv`` and ``surface_atoms.csv`` (for pictures) of the first surfaces.

    Heights of both are above the highest atom near the middle. Raises UserError for bad settings and for a
    surface that does not relax.
    """
    source, folder = driver(model, curves or ""), Path(out)
    projectile = projectiles.read(surfaces, source)
    chosen = read_surfaces(surfaces)[: max(binding_surfaces, 1)]
    tables = [sites(surface, grid, source, projectile, truth, model_error_scale) for surface in chosen]
    BINDING_ENERGIES.write(pandas.concat(tables), folder)
    drawn = [
        pandas.DataFrame(s.positions - [0, 0, top_A(s, grid)], columns=["x_A", "y_A", "z_A"]).assign(
            element=s.get_chemical_symbols(), phase=s.info["phase"], surface_id=s.info["surface_id"],
            fixed=s.arrays["fixed"],
        )
        for s in chosen
    ]  # fmt: skip
    SURFACE_ATOMS.write(pandas.concat(drawn), folder)
