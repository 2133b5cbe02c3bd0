"""Settings of vibrational densities of states."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from frazil.analysis.settings import Spectrum
from frazil.experiments.settings import a_potential, a_structure, problems_of_times
from frazil.settings import part, same_as, setting, settings

CAMPAIGN = "frazil.experiments.vibrations.physics"


@settings
class Density:
    """How velocities become a density of states."""

    depth_fs: float = same_as(Spectrum, "depth_fs")
    window: str = same_as(Spectrum, "window")
    padding: int = same_as(Spectrum, "padding")
    highest_cm1: float = same_as(Spectrum, "highest_cm1")


@settings
class Vibrations:
    """Vibrational density of states, harmonic and along dynamics, with the error of a committee's members."""

    structure: Path | None = a_structure(
        "A molecule, a cluster or a crystal with its cell and pbc", "one MgSiO3",
        ", a crystal in its cell. Of labels that came with a Hessian "
        "(hessian_eV_per_A2) the harmonic lines stand beside",
    )  # fmt: skip
    model: Path | None = a_potential("eight Gaussian-moment networks of MgSiO3 at PBE0")
    labels: Path | None = setting(
        "Labelled frames that no member was trained on, extended XYZ: they calibrate the members' spread",
        default=None, path="file",
    )  # fmt: skip
    temperature_K: float = setting("Temperature of the starts", default=300.0, above=0, maximum=5000)
    n_trajectories: int = setting(
        "Starts; each runs under every member", default=64, minimum=4, maximum=100_000
    )
    shard_size: int = setting("Starts in one task; changes no result", default=32, minimum=1)
    equilibration_fs: float = setting(
        "Langevin dynamics under the members' mean before a start, from a draw of the harmonic ensemble; 0 starts at "
        "the draw",
        default=2000.0, minimum=0,
    )  # fmt: skip
    duration_fs: float = setting("Length of a run at constant energy", default=20000.0, above=0)
    timestep_fs: float = setting(
        "Time step; the fastest mode's period is at least 20", default=0.5, above=0, maximum=5
    )
    velocity_every_fs: float = setting(
        "Time between velocities that are kept; a whole number of time steps", default=2.0, above=0
    )
    density: Density = part(Density)
    band_halfwidth_cm1: float = setting(
        "A band's position is the first moment of the density within this of a peak of the mean",
        default=30.0, above=0, maximum=1000,
    )  # fmt: skip
    least_height: float = setting(
        "Peaks are bands from this height on, of the highest", default=0.05, above=0, below=1
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if self.model is not None and self.structure is None:
            yield "structure", "needed with [model]: one of its own"
        yield from problems_of_times(self, "velocity_every_fs", self.density, "band_halfwidth_cm1")


KEEPS_FRAMES = True
GROUPS = {"vibrations": Vibrations}


def shipped(own: Vibrations) -> dict[str, str]:
    """Return the files of ``assets`` that stand for those that are not set; labels go with their model."""
    found = {}
    if own.structure is None:
        found["structure"] = "datasets/mgsio3-pbe0/minimum.extxyz"
    if own.model is None:
        found["model"] = "potentials/mgsio3-pbe0"
    if own.model is None and own.labels is None:
        found["labels"] = "potentials/mgsio3-pbe0/held_out.extxyz"
    return found
