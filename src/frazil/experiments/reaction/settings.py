"""Settings of reaction profiles: a path, windows along a coordinate, beads and isotopes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from frazil.experiments.settings import a_potential, beads, problems_of_samples
from frazil.labels.settings import DFT, SEMIEMPIRICAL, Seed
from frazil.learning.settings import GmnnArchitecture, GmnnTraining
from frazil.settings import given, is_multiple, part, same_as, setting, settings, step

CAMPAIGN = "frazil.experiments.reaction.physics"
KEEPS_FRAMES = True
ISOTOPES = ("natural", "D", "T")
NO_TRUTH = "none"
TRUTHS = (NO_TRUTH, "gfn1-xtb", "gfn2-xtb")
"""Levels whose labels are cheap enough for thousands of samples."""


@settings
class TubeSampling:
    """How frames about the path are made, where a committee is trained."""

    label_level: str = setting(
        "Labelling level of the path and of the frames about it", default="gfn2-xtb",
        choices=(*SEMIEMPIRICAL, *DFT),
    )  # fmt: skip
    n_initial: int = setting(
        "Displaced frames that are labelled first, besides the path's",
        default=200,
        minimum=20,
        maximum=100_000,
    )
    n_candidates: int = setting(
        "Displaced frames that the committee chooses from", default=2000, minimum=1, maximum=1_000_000
    )
    tube_temperature_K: float = setting(
        "Temperature of the displacements", default=400.0, above=0, maximum=5000
    )
    tube_nuclei: str = setting(
        "Nuclei whose harmonic displacements these are; both takes them in turns", default="both",
        choices=("both", "classical", "quantum"),
    )  # fmt: skip


@settings
class TubeLearning:
    """How the rounds of learning go."""

    max_rounds: int = setting(
        "Rounds in which the committee chooses frames, at most", default=4, minimum=0, maximum=63
    )
    max_frames: int = setting("Frames labelled in a round, at most", default=200, minimum=1)


@settings
class TubeTraining:
    """How the committee is trained."""

    n_members: int = setting("Networks of the committee", default=4, minimum=2, maximum=50)
    n_epochs: int = same_as(GmnnTraining, "n_epochs", default=2000)
    batch_size: int = same_as(GmnnTraining, "batch_size", default=8)
    learning_rate: float = same_as(GmnnTraining, "learning_rate", default=0.01)
    energy_weight: float = same_as(GmnnTraining, "energy_weight")
    force_weight: float = same_as(GmnnTraining, "force_weight", default=10)


@settings
class Reaction:
    """Free energy along a reaction coordinate, classical and by path integrals."""

    structures: Path | None = setting(
        "Two structures, whose minima the path goes between (nudged elastic band), or three or more of a "
        "path in order; xyz or extended XYZ. When not set: malonaldehyde, whose proton is transferred",
        default=None, path="file",
    )  # fmt: skip
    model: Path | None = a_potential("a committee that learns from frames about the path")
    coordinate_atoms: tuple[int, ...] = setting(
        "Atoms of the coordinate, counted from 0: donor, moving atom, acceptor, for the difference of the "
        "two distances; or two atoms, for their distance",
        default=(0, 5, 4), minimum=0,
    )  # fmt: skip
    temperature_K: float = setting("Temperature", default=300.0, above=0, maximum=5000)
    n_beads: tuple[int, ...] = beads(32)
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
        "Level that the classical samples are reweighted to, for its own profile beside", default=NO_TRUTH,
        choices=TRUTHS,
    )  # fmt: skip
    n_truth_samples: int = setting(
        "Samples of each window and pass, evenly in time, that it is evaluated on", default=50, minimum=10
    )
    truth_limit_meV: float = setting(
        "Largest difference of the barriers of potential and truth, with the interval of sampling", default=5.0,
        above=0,
    )  # fmt: skip

    sampling: TubeSampling = part(TubeSampling)
    learning: TubeLearning = part(TubeLearning)
    training: TubeTraining = part(TubeTraining)
    architecture: GmnnArchitecture = part(GmnnArchitecture)

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
        if self.truth != NO_TRUTH and self.n_truth_samples * self.observe_every_fs > self.duration_fs:
            yield "n_truth_samples", "allowed: at most [duration_fs] over [observe_every_fs]"
        if not self.isotopes:
            yield "isotopes", "allowed: one or more"
        yield from problems_of_samples(self)
        if not is_multiple(self.equilibration_fs, self.observe_every_fs):
            yield "equilibration_fs", "allowed: a whole number of [observe_every_fs]"


GROUPS = {"reaction": Reaction}


def shipped(own: Reaction) -> dict[str, str]:
    """Return the files of ``assets`` that stand for those that are not set."""
    return {"structures": "structures/malonaldehyde.extxyz"} if own.structures is None else {}


@step("frazil.experiments.reaction.tube:sample_tube", group="reaction")
class SampleTube:
    """A path at a labelling level, and frames displaced about it."""

    structures: Path = given("The path's ends, or all of it, xyz or extended XYZ", path="file")
    n_images: int = same_as(Reaction, "n_images")
    sampling: TubeSampling = part(TubeSampling)
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    out: Path = given("Folder of path.extxyz, initial.extxyz and tube.extxyz", path="new folder")


@step("frazil.experiments.reaction.tube:learn_tube", group="reaction")
class LearnTube:
    """Train a committee on all frames so far, and say which frames of a tube it does not know."""

    frames: tuple[Path, ...] = given(
        "Labelled frames, extxyz: those to begin with, then those of each round", path="file"
    )
    tube: Path = given("tube.extxyz of sample-tube", path="file")
    round_number: int = given("Number of the round", default=0, minimum=0, maximum=63)
    before: Path | None = given("Folder of the round before", default=None, path="folder")
    label_level: str = same_as(TubeSampling, "label_level")
    learning: TubeLearning = part(TubeLearning)
    training: TubeTraining = part(TubeTraining)
    architecture: GmnnArchitecture = part(GmnnArchitecture)
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    checkpoints: Path = given("Folder that outlives the task", path="new folder")
    out: Path = given("Folder of the round: a potential, candidates.extxyz, tables", path="new folder")
