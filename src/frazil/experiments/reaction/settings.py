"""Settings of reaction profiles: a path, windows along a coordinate, beads and isotopes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frazil.experiments.settings import problems_of_samples
from frazil.settings import is_multiple, setting, settings

CAMPAIGN = "frazil.experiments.reaction.physics"
ISOTOPES = ("natural", "D", "T")
NO_TRUTH = "none"
TRUTHS = (NO_TRUTH, "gfn1-xtb", "gfn2-xtb")
"""Levels whose own dynamics are cheap enough."""


@settings
class Reaction:
    """Free energy along a reaction coordinate, classical and by path integrals."""

    structures: Path | None = setting(
        "Two structures, whose minima the path goes between (nudged elastic band), or three or more of a "
        "path in order; xyz or extended XYZ. When not set: malonaldehyde, whose proton is transferred",
        default=None, path="file",
    )  # fmt: skip
    model: Path | None = setting(
        "Folder of a potential, whose members each run: one that training wrote, or with a model.json that "
        "names any other",
        default=None, path="any",
    )  # fmt: skip
    coordinate_atoms: tuple[int, ...] = setting(
        "Atoms of the coordinate, counted from 0: donor, moving atom, acceptor, for the difference of the "
        "two distances; or two atoms, for their distance",
        default=(0, 5, 4), minimum=0,
    )  # fmt: skip
    temperature_K: float = setting("Temperature", default=300.0, above=0, maximum=5000)
    n_beads: tuple[int, ...] = setting(
        "Beads of the path integrals; 1 has classical nuclei", default=(1, 32), minimum=1, maximum=1024
    )
    isotopes: tuple[str, ...] = setting(
        "Isotopes of the moving atom (the second), each with profiles by path integrals of its own; "
        "classical ones are those of any",
        default=("natural", "D"), choices=ISOTOPES,
    )  # fmt: skip
    n_trajectories: int = setting("Passes through all windows", default=8, minimum=2, maximum=10_000)
    shard_size: int = setting("Passes in one task; changes no result", default=2, minimum=1)
    first_A: float = setting("Coordinate of the first window", default=-1.0, minimum=-1000, maximum=1000)
    last_A: float = setting("Coordinate of the last window", default=1.0, minimum=-1000, maximum=1000)
    n_windows: int = setting("Windows, evenly from the first to the last", default=21, minimum=3, maximum=400)
    window_eV_per_A2: float = setting(
        "Force constant of the windows, on the centroid's coordinate", default=3.0, above=0, maximum=1000
    )
    bin_A: float = setting("Width of a bin of the profiles", default=0.02, above=0, maximum=10)
    escape_A: float = setting(
        "A sample has escaped where its coordinate is so far from its window's", default=0.6, above=0
    )
    equilibration_fs: float = setting("Dynamics in each window before what counts", default=1000.0, above=0)
    duration_fs: float = setting("Dynamics in each window that counts", default=10000.0, above=0)
    timestep_fs: float = setting(
        "Time step; the fastest mode's period is at least 14", default=0.5, above=0, maximum=5
    )
    observe_every_fs: float = setting(
        "Time between samples; a whole number of time steps", default=10.0, above=0
    )
    n_images: int = setting(
        "Structures of the path that is sought, its ends included", default=11, minimum=5, maximum=101
    )

    truth: str = setting(
        "Level at which the classical passes run too, beside the potential's",
        default=NO_TRUTH,
        choices=TRUTHS,
    )
    truth_limit_meV: float = setting(
        "Largest difference of the barriers of potential and truth, with the interval of sampling", default=5.0,
        above=0,
    )  # fmt: skip

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if len(self.coordinate_atoms) not in (2, 3):
            yield "coordinate_atoms", "allowed: two atoms, or three"
        if self.last_A <= self.first_A:
            yield "last_A", "allowed: above [first_A]"
        elif self.bin_A > (self.last_A - self.first_A) / 10:
            yield "bin_A", "allowed: at most a tenth of the way from [first_A] to [last_A]"
        if not self.n_beads:
            yield "n_beads", "allowed: one number or more"
        if self.truth != NO_TRUTH and 1 not in self.n_beads:
            yield "truth", "is of classical nuclei: needs 1 in [n_beads]"
        if not self.isotopes:
            yield "isotopes", "allowed: one or more"
        yield from problems_of_samples(self)
        if not is_multiple(self.equilibration_fs, self.observe_every_fs):
            yield "equilibration_fs", "allowed: a whole number of [observe_every_fs]"


GROUPS = {"reaction": Reaction}


def contradictions(run: Any) -> Iterator[tuple[str, str]]:
    """Yield what does not go together between the groups of a run of reactions."""
    if "reaction" in run.experiments and run.reaction.model is None:
        yield "reaction.model", "needed: the folder of a potential"


def shipped(own: Reaction) -> dict[str, str]:
    """Return the files of ``assets`` that stand for those that are not set."""
    return {"structures": "structures/malonaldehyde.extxyz"} if own.structures is None else {}
