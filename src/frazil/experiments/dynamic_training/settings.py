"""Settings of dynamic training: the data, the network, the training, and how it is judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from frazil.analysis.settings import ModelError
from frazil.labels.settings import VELOCITIES, Seed
from frazil.learning.settings import GmnnArchitecture, RolloutTraining
from frazil.settings import given, part, same_as, setting, settings, step

ARMS = ("converged", "restarts", "same-work", "dynamic")
"""S = 1 until it has converged; with as many restarts of the learning rate as dynamic training has; with more,
until it has evaluated as many frames; and dynamic training. All begin with the first."""


@settings
class TrajectoryData:
    """Labelled trajectories: files of one's own, or NVE runs of the CO field, whose truth is known."""

    dataset: Path | None = setting(
        "Labelled trajectories of your own: H5MD, extended XYZ, .traj, VASP, or a folder of traj_1.traj and velall-1; "
        "without, runs of the CO field",
        default=None, path="any",
    )  # fmt: skip
    dataset_timestep_fs: float | None = setting(
        "Time between frames of the dataset, where it does not say it", default=None, above=0, maximum=100
    )
    dataset_velocities: str = setting(
        "stated, derived of the frames, or shifted by half a step", default="stated", choices=VELOCITIES
    )
    n_trajectories: int = setting("Trajectories of the CO field", default=24, minimum=3, maximum=10_000)
    n_frames: int = setting("Frames of each", default=800, minimum=3, maximum=1_000_000)
    trajectory_molecules: int = setting("CO molecules of each", default=3, minimum=1, maximum=100)
    trajectory_temperature_K: float = setting(
        "Temperature of the velocities that they start with, from a minimum",
        default=400,
        above=0,
        maximum=5000,
    )
    trajectory_timestep_fs: float = setting("Their time step", default=0.5, above=0, maximum=5)
    n_test_trajectories: int = setting(
        "Whole trajectories that are held out for the test", default=8, minimum=1, maximum=10_000
    )
    n_validation_trajectories: int = setting(
        "Whole trajectories that are held out to validate", default=2, minimum=1, maximum=10_000
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what leaves nothing to train on."""
        held = self.n_test_trajectories + self.n_validation_trajectories
        if self.dataset is None and held >= self.n_trajectories:
            yield "n_trajectories", "allowed: above [n_test_trajectories] and [n_validation_trajectories]"


@settings
class TrainedNetwork:
    """The network of dynamic training; of EGNN the defaults are the published size."""

    network: str = setting(
        "egnn (smooth, extensive), egnn-published (jumps at the cutoff, not extensive) or gmnn",
        default="egnn", choices=("egnn", "egnn-published", "gmnn"),
    )  # fmt: skip
    cutoff_A: float = same_as(GmnnArchitecture, "cutoff_A", default=5.0)
    precision: str = same_as(GmnnArchitecture, "precision")
    n_features: int = setting("EGNN: features of an atom", default=128, minimum=1, maximum=4096)
    n_waves: int = setting("EGNN: frequencies of a distance's waves", default=256, minimum=1, maximum=4096)
    n_layers: int = setting("EGNN: message-passing layers", default=3, minimum=1, maximum=20)
    sigma_per_A: float = setting(
        "EGNN: the frequencies' σ; drawn from N(0, σ²/2), as coded", default=4, above=0, maximum=100
    )
    n_radial: int = same_as(GmnnArchitecture, "n_radial")
    n_basis: int = same_as(GmnnArchitecture, "n_basis")
    hidden: tuple[int, ...] = same_as(GmnnArchitecture, "hidden")


@settings
class Judgement:
    """How models are judged on the trajectories that were held out."""

    test_frames: int = setting("Frames of a test run", default=300, minimum=300, maximum=1_000_000)
    n_test_starts: int = setting("Test runs, of all held-out trajectories together", default=64, minimum=1)
    n_long: int = setting("Long runs for stability", default=8, minimum=1, maximum=10_000)
    long_fs: float = setting("Length of a long run", default=10_000, above=0, maximum=1e7)


@settings
class DynamicTraining:
    """Does training through trajectories help: against S = 1 alone, with the same restarts, and the same work?"""

    n_seeds: int = setting("Trainings of each arm, paired by their seeds", default=5, minimum=1, maximum=100)
    arms: tuple[str, ...] = setting("What is trained", default=ARMS, choices=ARMS)
    data: TrajectoryData = part(TrajectoryData)
    size: TrainedNetwork = part(TrainedNetwork)
    training: RolloutTraining = part(RolloutTraining)
    judgement: Judgement = part(Judgement)
    error: ModelError = part(ModelError)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what cannot be run."""
        frames = self.data.n_frames
        for name, wanted in (
            ("longest", self.training.longest),
            ("validation_frames", self.training.validation_frames),
            ("test_frames", self.judgement.test_frames),
        ):
            if self.data.dataset is None and wanted > frames:
                yield name, "allowed: at most [n_frames]"
        if "dynamic" in self.arms and self.training.longest < 2:
            yield "longest", "allowed: from 2 on with the arm dynamic, of [arms]"
        if "same-work" in self.arms and not {"dynamic", "restarts"} <= set(self.arms):
            yield "arms", "same-work goes with dynamic and restarts, whose work it compares"


GROUPS = {"dynamic_training": DynamicTraining}
KEEPS_FRAMES = True


@step("frazil.experiments.dynamic_training.truth:prepare", group="dynamic_training")
class PrepareTrajectories:
    """Write labelled trajectories, checked, in one format, and say which are held out."""

    data: TrajectoryData = part(TrajectoryData)
    coupling_eV: float = given(
        "Of the CO field: the excited bond's attraction; 0 is the published field", default=0
    )
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    out: Path = given("Folder of trajectories", path="new folder")


@step("frazil.experiments.dynamic_training.arms:train", group="dynamic_training")
class TrainDynamic:
    """Train one seed of each arm on prepared trajectories; a rerun goes on."""

    trajectories: Path = given("Folder of prepare-trajectories", path="folder")
    seed_id: int = given("Number of the seed", default=0, minimum=0, maximum=10_000)
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    arms: tuple[str, ...] = same_as(DynamicTraining, "arms")
    size: TrainedNetwork = part(TrainedNetwork)
    training: RolloutTraining = part(RolloutTraining)
    checkpoints: Path = given("Folder for checkpoints that outlives the task", path="new folder")
    out: Path = given("Folder of models and tables", path="new folder")


@step("frazil.experiments.dynamic_training.judge:judge", group="dynamic_training")
class JudgeDynamic:
    """Run the models of one seed from held-out starts, and long."""

    trajectories: Path = given("Folder of prepare-trajectories", path="folder")
    trained: Path = given("Folder of train-dynamic", path="folder")
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    judgement: Judgement = part(Judgement)
    out: Path = given("Folder of tables", path="new folder")


@step("frazil.experiments.dynamic_training.analysis:analyse", group="dynamic_training")
class AnalyseDynamic:
    """Compare the arms over all seeds: tables, figures and the section of the report."""

    trajectories: Path = given("Folder of prepare-trajectories", path="folder")
    judged: Path = given("Folder of the folders of judge-dynamic", path="folder")
    trained: tuple[Path, ...] = given("Folders of train-dynamic, of each seed", path="folder", repeated=True)
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    error: ModelError = part(ModelError)
    out: Path = given("Folder of results", path="new folder")
