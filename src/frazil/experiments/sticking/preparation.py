"""From a cut or packed hemisphere to surfaces at a temperature, as the paper prepares them.

Crystalline: minimized, then held at each surface temperature; snapshots are spread over the second half.
Amorphous: minimized, annealed (75 K), equispaced snapshots of that, each quenched to each temperature.
"""

from collections.abc import Sequence
from pathlib import Path

import ase.io
import numpy as np
import pandas
from ase import Atoms

from frazil.data.frames import read_extxyz
from frazil.errors import UserError
from frazil.experiments.sticking import projectile as projectiles
from frazil.experiments.sticking.driver import Driver, driver
from frazil.experiments.sticking.settings import Preparation
from frazil.experiments.sticking.surfaces import (
    MORE_FRAMES,
    amorphous,
    check_whole,
    crystalline,
    density_of,
    masses_of,
    structure,
)
from frazil.experiments.sticking.tables import CHECKS, RADIAL, TEMPERATURE
from frazil.files import write_atomic
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import Langevin
from frazil.md.minimize import Minima, minimize
from frazil.md.observers import frames, temperature
from frazil.md.trajectory import Outcome
from frazil.seeds import rng
from frazil.systems.crystals import formulas_of, read_crystal
from frazil.systems.molecules import Molecules, molecule
from frazil.units import kB


def geometry(settings: Preparation) -> Atoms:
    """Return the hemisphere before minimization.

    Raises UserError for what is no molecule or no crystal of whole ones, and a crystal of other molecules
    than ``molecules``.
    """
    n_molecules, n_fixed = settings.n_molecules, settings.n_fixed
    kinds = [molecule(what) for what in settings.molecules]
    if settings.phase == "crystalline":
        crystal = None if settings.crystal is None else read_crystal(settings.crystal)
        if crystal is not None:
            wanted = sorted({str(kind.get_chemical_formula()) for kind in kinds})
            if formulas_of(crystal) != wanted:
                raise UserError(
                    f"{settings.crystal} holds molecules {', '.join(formulas_of(crystal))}, asked for are "
                    f"{', '.join(wanted)}; give another crystal, or other --molecules"
                )
        radius = settings.radius_A or None
        return crystalline(
            n_molecules, n_fixed, settings.lattice_A, settings.face, radius, settings.shell_A, crystal
        )
    return amorphous(
        n_molecules, n_fixed, settings.density_g_per_cm3, settings.campaign_seed,
        packing_distance_A=settings.packing_distance_A, shell_A=settings.shell_A, kinds=kinds,
        parts=settings.parts,
    )  # fmt: skip


def prepare(
    settings: Preparation, model: Path | str, out: Path | str, curves: Path | str | None = None
) -> None:
    """Write ``snapshots.extxyz`` (with momenta), ``relaxed.extxyz``, the projectile at rest and tables of
    checks into ``out``.

    Raises UserError for bad settings, a potential that does not know the molecules, and for a surface that
    does not converge, breaks, melts or loses molecules: it says which.
    """
    source, folder = driver(model, curves or ""), Path(out)
    begun = geometry(settings)
    projectile = projectiles.of(settings.projectile, source)
    source.potential(projectile.with_surface(begun))
    relaxed = _relaxed(settings, source, begun)
    thermal = _Thermal(settings, source, relaxed)
    if settings.phase == "crystalline":
        starts, start_velocities = [relaxed.positions], None
    else:
        starts, start_velocities = thermal.annealed()
    surfaces = [
        surface
        for surface_K in settings.surface_temperatures_K
        for surface in thermal.at(surface_K, starts, start_velocities)
    ]
    for number, surface in enumerate(surfaces):
        surface.info["surface_id"] = number
    found = pandas.DataFrame(thermal.checks)
    temperatures = pandas.concat(thermal.temperatures)
    shape = structure(thermal.molecules, surfaces[0].positions)
    radial = pandas.DataFrame({"phase": settings.phase, "distance_A": shape.distances_A, "g": shape.g})
    for table, content in ((CHECKS, found), (TEMPERATURE, temperatures), (RADIAL, radial)):
        table.write(content, folder)
    for name, images in (("relaxed", [relaxed]), ("snapshots", surfaces)):
        with write_atomic(folder / f"{name}.extxyz") as partial:
            ase.io.write(partial, images, format="extxyz")
    projectiles.write(projectile, folder)


def read_surfaces(folder: Path | str) -> list[Atoms]:
    """Return the snapshots of a folder of ``prepare``. Raises UserError where there are none."""
    path = Path(folder) / "snapshots.extxyz"
    if not path.is_file():
        raise UserError(f"{folder} has no snapshots.extxyz; give a folder of prepare_surface.py")
    surfaces = read_extxyz(path)
    needed = ("phase", "surface_id", "surface_temperature_K")
    if not surfaces or any(key not in s.info for s in surfaces for key in needed):
        raise UserError(f"{path} has no surfaces with {', '.join(needed)}; prepare it again")
    if not any((surfaces[0].arrays["fixed"] == 0).tolist()):
        raise UserError(f"{path} has no mobile atoms; fix fewer molecules")
    return surfaces


def _radius(atoms: Atoms) -> float:
    return float(atoms.info["radius_A"])


def _relaxed(settings: Preparation, source: Driver, atoms: Atoms) -> Atoms:
    """Return the minimized hemisphere; the fixed shell stays where it was cut or packed."""
    molecules = Molecules.of(atoms)
    atoms.info["initial_density_g_per_cm3"] = structure(molecules, atoms.positions).density_g_per_cm3
    fixed = atoms.arrays["fixed"].astype(bool)
    if settings.phase == "amorphous":
        # The packing's contacts are relaxed everywhere first; then the shell is held.
        free = Atoms(atoms.symbols, atoms.positions)
        loose = minimize(
            source.potential(free),
            atoms.positions[None],
            None,
            10 * settings.surface_max_force_eV_per_A,
            300,
        )
        if np.isfinite(loose.max_forces[0]):
            atoms.positions = loose.positions[0]
    found = minimize(
        source.potential(atoms),
        atoms.positions[None],
        fixed,
        settings.surface_max_force_eV_per_A,
        5000,
        width=1,
    )
    _check_fell(settings, found)
    if not found.converged[0]:
        raise UserError(
            f"the {settings.phase} hemisphere did not relax below {settings.surface_max_force_eV_per_A:g} "
            "eV/Å in "
            f"{int(found.n_steps[0])} steps (left: {found.max_forces[0]:.2g}); train the potential on more "
            "frames, or give a lower density"
        )
    atoms.positions = found.positions[0]
    atoms.info["phase"] = settings.phase
    check_whole(molecules, atoms.positions[None], atoms.positions, _radius(atoms), settings.phase, 0.0)
    return atoms


def _check_fell(settings: Preparation, found: Minima) -> None:
    """Raise UserError where a hemisphere that was to relax fell into a hole of its potential."""
    if not np.isfinite(found.max_forces[0]):
        raise UserError(
            f"the {settings.phase} hemisphere fell into a hole of the potential while it relaxed (after "
            f"{int(found.n_steps[0])} steps atoms were in one place, or nowhere): {MORE_FRAMES}"
        )


class _Thermal:
    """Runs at constant temperature from one relaxed hemisphere, with their checks."""

    def __init__(self, settings: Preparation, source: Driver, relaxed: Atoms) -> None:
        self.settings, self.relaxed = settings, relaxed
        self.molecules = Molecules.of(relaxed)
        self.fixed = relaxed.arrays["fixed"].astype(bool)
        self.masses = masses_of(relaxed)
        self.potential = source.potential(relaxed)
        self.checks: list[dict[str, object]] = []
        self.temperatures: list[pandas.DataFrame] = []

    def annealed(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return equispaced snapshots of the warm run, positions and velocities."""
        settings = self.settings
        n = settings.n_snapshots
        rows = self._run(settings.anneal_temperature_K, settings.anneal_fs, [self.relaxed.positions], None, n)
        return list(rows[0]["positions"][1:]), list(rows[0]["velocities"][1:])

    def at(
        self, surface_K: float, starts: Sequence[np.ndarray], velocities: Sequence[np.ndarray] | None
    ) -> list[Atoms]:
        """Return the surfaces of one temperature."""
        settings = self.settings
        one = len(starts) == 1
        wanted = settings.n_snapshots
        observations = 2 * wanted if one else 2
        rows = self._run(surface_K, settings.thermalization_fs, starts, velocities, observations)
        last = [(row, k) for row in rows for k in (range(-wanted, 0) if one else (-1,))]
        surfaces = []
        for row, k in last:
            atoms = self.relaxed.copy()
            atoms.positions = row["positions"][k]
            atoms.set_velocities(row["velocities"][k])
            atoms.info |= {"phase": settings.phase, "surface_temperature_K": surface_K}
            surfaces.append(atoms)
        self._checked(surface_K, rows, starts, surfaces)
        return surfaces

    def _run(
        self, bath_K: float, duration_fs: float, starts: Sequence[np.ndarray],
        velocities: Sequence[np.ndarray] | None, observations: int,
    ) -> list[dict[str, np.ndarray]]:  # fmt: skip
        """Run all starts at a temperature; frames are the given number of observations and the start."""
        settings = self.settings
        every = max(round(duration_fs / observations / settings.surface_timestep_fs), 1)
        generator = rng(settings.campaign_seed, f"surface-{settings.phase}-{bath_K:g}")
        drawn = generator.normal(size=(len(starts), len(self.masses), 3))
        drawn *= np.sqrt(kB * bath_K / self.masses)[:, None]
        # A quench starts from the warm velocities scaled, a first run from drawn ones.
        warm = settings.anneal_temperature_K
        given = drawn if velocities is None else np.stack(velocities) * np.sqrt(bath_K / warm)
        ensemble = Ensemble(
            self.potential,
            Langevin(settings.surface_timestep_fs, bath_K, settings.damping_fs),
            self.masses,
            n_steps=every * observations,
            observe_every=every,
            campaign_seed=settings.campaign_seed,
            observers=(temperature, frames),
            frozen=self.fixed,
            width=min(len(starts), 8),
        )
        ended = {t.trajectory_id: t for t in ensemble.run(np.stack(starts), given)}
        broken = [i for i, t in ended.items() if t.outcome != Outcome.FINISHED]
        if broken:
            raise UserError(
                f"the {settings.phase} surface at {bath_K:g} K ended as "
                f"{Outcome(ended[broken[0]].outcome).name}"
                f" (snapshot {broken[0]}), most likely in a hole of the potential; {MORE_FRAMES}"
            )
        rows = [ended[i].rows for i in range(len(starts))]
        for start, row in zip(starts, rows, strict=True):
            check_whole(
                self.molecules, row["positions"], start, _radius(self.relaxed), settings.phase, bath_K
            )
        time = [np.arange(observations + 1) * every * settings.surface_timestep_fs for _ in rows]
        self.temperatures += [
            pandas.DataFrame(
                {
                    "phase": settings.phase, "bath_K": bath_K, "replica": i, "time_fs": time[i],
                    "temperature_K": row["temperature_K"],
                }
            )
            for i, row in enumerate(rows)
        ]  # fmt: skip
        return rows

    def _checked(
        self, surface_K: float, rows: Sequence[dict[str, np.ndarray]], starts: Sequence[np.ndarray],
        surfaces: Sequence[Atoms],
    ) -> None:  # fmt: skip
        n_mobile = int((~self.fixed).sum())
        late = np.concatenate([r["temperature_K"][len(r["temperature_K"]) // 2 :] for r in rows])
        shapes = [structure(self.molecules, surface.positions) for surface in surfaces]
        moved = [
            float(np.sqrt(((row["positions"][-1] - start) ** 2).sum(axis=1).mean()))
            for row, start in zip(rows, starts, strict=True)
        ]
        self.checks.append(
            {
                "phase": self.settings.phase,
                "surface_temperature_K": surface_K,
                "n_molecules": len(self.molecules),
                "n_fixed": int(self.fixed[self.molecules.first].sum()),
                "radius_A": _radius(self.relaxed),
                "n_surfaces": len(surfaces),
                "temperature_K": float(late.mean()),
                "temperature_error_K": surface_K * float(np.sqrt(2 / (3 * n_mobile * len(late)))),
                "initial_density_g_per_cm3": self.relaxed.info["initial_density_g_per_cm3"],
                "density_g_per_cm3": density_of(shapes),
                "n_deep": sum(shape.n_deep for shape in shapes),
                "rms_displacement_A": float(np.mean(moved)),
            }
        )
