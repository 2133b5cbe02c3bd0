"""Settings of Raman spectra."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from frazil.analysis.settings import Spectrum
from frazil.experiments.settings import a_potential, a_structure, problems_of_times
from frazil.settings import part, same_as, setting, settings

CAMPAIGN = "frazil.experiments.raman.physics"
CM_in_nm = 1e7


@settings
class Transform:
    """How polarizabilities become spectra."""

    depth_fs: float = same_as(
        Spectrum, "depth_fs", meaning="Longest lag of the polarizability's correlation", default=8192.0
    )
    window: str = same_as(Spectrum, "window")
    padding: int = same_as(Spectrum, "padding", default=2)
    highest_cm1: float = same_as(Spectrum, "highest_cm1")


@settings
class Raman:
    """Raman spectra along dynamics for any angle of the polarizer, with the error of starts and of members."""

    structure: Path | None = a_structure(
        "A molecule, or a crystal with its cell", "α-CO, 64 atoms", " in that cell"
    )
    model: Path | None = a_potential("a field of CO, cut off smoothly")
    polarizability: Path | None = setting(
        "Folder of a polarizability, whose members each see every run. When not set: bonds of CO and the dipoles that "
        "they induce",
        default=None, path="folder",
    )  # fmt: skip
    temperatures_K: tuple[float, ...] = setting("Temperatures", default=(10.0, 20.0), above=0, maximum=5000)
    n_trajectories: int = setting(
        "Starts, over the temperatures in turn; each runs under every member of the potential",
        default=32, minimum=4, maximum=100_000,
    )  # fmt: skip
    shard_size: int = setting("Starts in one task; changes no result", default=16, minimum=1)
    equilibration_fs: float = setting(
        "Langevin dynamics under the members' mean before a start, from a draw of the harmonic ensemble; 0 starts at "
        "the draw",
        default=2000.0, minimum=0,
    )  # fmt: skip
    duration_fs: float = setting("Length of a run at constant energy", default=40000.0, above=0)
    timestep_fs: float = setting(
        "Time step; the fastest mode's period is at least 20", default=0.5, above=0, maximum=5
    )
    polarizability_every_fs: float = setting(
        "Time between polarizabilities; a whole number of time steps", default=2.0, above=0
    )
    transform: Transform = part(Transform)
    lowest_cm1: float = setting(
        "Where spectra begin; below it is the light that is scattered elastically", default=12.0, above=0
    )
    laser_nm: float = setting("Wavelength of the light", default=532.0, above=1, maximum=1e6)
    light_along: tuple[float, ...] = setting(
        "Direction that the light goes along (x, y, z); in a crystal one of its axes",
        default=(0.0, 0.0, 1.0), length=3, repeated=True,
    )  # fmt: skip
    zero_along: tuple[float, ...] = setting(
        "Direction of the polarizer at the angle 0, across the light", default=(1.0, 0.0, 0.0), length=3,
        repeated=True,
    )  # fmt: skip
    n_angles: int = setting(
        "Angles of the polarizer, equidistant from 0 to 180°, both ends among them",
        default=25, minimum=2, maximum=721,
    )  # fmt: skip
    band_halfwidth_cm1: float = setting(
        "A band is the intensity within this of a peak of the powder spectrum, ended half-way to its neighbours",
        default=6.0, above=0, maximum=1000,
    )  # fmt: skip
    least_height: float = setting(
        "Peaks are bands from this height on, of the highest", default=0.02, above=0, below=1
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        own = self.transform
        if self.model is not None and self.structure is None:
            yield "structure", "needed with [model]: one of its own"
        if self.model is not None and self.polarizability is None:
            yield "polarizability", "needed with [model]: one that knows its atoms"
        if self.n_trajectories % len(self.temperatures_K):
            yield "n_trajectories", "allowed: a multiple of the number of [temperatures_K]"
        if self.n_trajectories < 2 * len(self.temperatures_K):
            yield "n_trajectories", "allowed: at least two for each of [temperatures_K]"
        every = "polarizability_every_fs"
        yield from problems_of_times(self, every, own, "lowest_cm1", "band_halfwidth_cm1")
        if not self.lowest_cm1 < own.highest_cm1:
            yield "lowest_cm1", "allowed: below [highest_cm1]"
        if own.highest_cm1 >= CM_in_nm / self.laser_nm:
            yield "highest_cm1", "allowed: below the light's own wavenumber, 10⁷ cm⁻¹ over [laser_nm]"
        for name in ("light_along", "zero_along"):
            if not any(getattr(self, name)):
                yield name, "an angle needs two vectors: allowed is any direction but (0, 0, 0)"
        one, other = self.light_along, self.zero_along
        product = sum(a * b for a, b in zip(one, other))
        size = sum(a * a for a in one) * sum(b * b for b in other)
        if product * product > 1e-12 * size:
            yield (
                "zero_along",
                "allowed: at right angles to [light_along], since a polarization is across the light",
            )


KEEPS_FRAMES = True
GROUPS = {"raman": Raman}


def shipped(own: Raman) -> dict[str, str]:
    """Return the files of ``assets`` that stand for those that are not set."""
    found = {}
    if own.structure is None:
        found["structure"] = "structures/alpha_co.extxyz"
    if own.model is None:
        found["model"] = "potentials/alpha-co"
    if own.polarizability is None:
        found["polarizability"] = "polarizabilities/alpha-co"
    return found
