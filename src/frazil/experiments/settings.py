"""Settings of experiments that are one campaign: the steps that run and analyse any of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frazil.analysis.settings import LEAST_HALFWIDTH, MOST_UNTIL_ENOUGH, LIGHT_cm_per_fs, ModelError
from frazil.labels.settings import Seed
from frazil.settings import given, is_multiple, part, same_as, setting, settings, step

MOST_KEPT = 100
"""Trajectories of an experiment that are run again for their frames: the estimate of a run's cost leaves them out."""


@settings
class Parameters:
    """An experiment and its settings; files that these name are staged into a task."""

    experiment: str = given("Name of the experiment")
    parameters: Path = given("Its settings by name, JSON", path="file")
    file_settings: tuple[str, ...] = given("Settings whose files are elsewhere than they say", default=())
    files: tuple[Path, ...] = given("Where these are, in that order", default=(), path="any", repeated=True)
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")


def a_structure(what: str, unset: str, where: str = "") -> Any:
    """Return the setting of what an experiment looks at, a file; ``unset`` stands for it where it is not set."""
    meaning = f"{what}, xyz or extended XYZ with one frame; it is relaxed under the potential{where}"
    return setting(f"{meaning}. When not set: {unset}", default=None, path="file")


def a_potential(unset: str, kind: str = "a potential") -> Any:
    """Return the setting of the potential whose members each run, a folder."""
    meaning = (
        f"Folder of {kind}, whose members each run: one that training wrote, or with a model.json that names "
    )
    return setting(f"{meaning}any other. When not set: {unset}", default=None, path="any")


def beads(n_quantum: int) -> Any:
    """Return the setting of the numbers of beads that path integrals have, classical nuclei first."""
    meaning = "Beads of the path integrals; 1 has classical nuclei"
    return setting(meaning, default=(1, n_quantum), minimum=1, maximum=1024)


def problems_of_times(own: Any, every: str, transform: Any, *resolved: str) -> Iterator[tuple[str, str]]:
    """Yield what does not go together in the times of runs whose series become spectra.

    Args:
        own: settings with ``equilibration_fs``, ``duration_fs`` and ``timestep_fs``.
        every: name of its setting for the time between two values of the series.
        transform: its part with ``depth_fs`` and ``highest_cm1``.
        resolved: names of its wavenumbers that may not be below the resolution.
    """
    every_fs = getattr(own, every)
    if not is_multiple(every_fs, own.timestep_fs):
        yield every, "allowed: a whole number of [timestep_fs]"
    if not is_multiple(own.duration_fs, every_fs):
        yield "duration_fs", f"allowed: a whole number of [{every}]"
    if own.equilibration_fs and not is_multiple(own.equilibration_fs, own.timestep_fs):
        yield "equilibration_fs", "allowed: a whole number of [timestep_fs]"
    if (own.duration_fs + own.equilibration_fs) / own.timestep_fs > 1e9:
        yield "duration_fs", "allowed: at most 1e9 steps of [timestep_fs]"
    if not every_fs < transform.depth_fs <= own.duration_fs / 2:
        yield "depth_fs", f"allowed: above [{every}] and at most half of [duration_fs]"
    if 2 * transform.highest_cm1 * LIGHT_cm_per_fs * every_fs > 1:
        yield "highest_cm1", f"allowed: at most 1/(2c) over [{every}], 16,678 cm⁻¹ over it in fs"
    for name in resolved:
        if getattr(own, name) * LIGHT_cm_per_fs * transform.depth_fs < 1:
            yield name, "allowed: at least the resolution, 33,356 cm⁻¹ over [depth_fs]"


def problems_of_samples(own: Any) -> Iterator[tuple[str, str]]:
    """Yield what does not go together in the times of windows that are sampled."""
    for name in ("observe_every_fs", "equilibration_fs"):
        if not is_multiple(getattr(own, name), own.timestep_fs):
            yield name, "allowed: a whole number of [timestep_fs]"
    if not is_multiple(own.duration_fs, own.observe_every_fs):
        yield "duration_fs", "allowed: a whole number of [observe_every_fs]"
    if own.duration_fs < 20 * own.observe_every_fs:
        yield "duration_fs", "allowed: at least 20 times [observe_every_fs]"


@step("frazil.experiments.campaign:run")
class RunCampaign:
    """Run one shard of an experiment that is one campaign, and write its table."""

    asked: Parameters = part(Parameters)
    first_id: int = given("Trajectory id of the first", default=0, minimum=0, maximum=2**32 - 1)
    n_trajectories: int = given("Number of trajectories", minimum=1)
    checkpoints: Path = given("Folder for finished rows that outlives the task", path="new folder")
    out: Path = given("Folder of the shard", path="new folder")


@step("frazil.experiments.campaign:analyse")
class AnalyseCampaign:
    """Tables, figures and section of an experiment that is one campaign."""

    asked: Parameters = part(Parameters)
    shards: Path = given("Folder of shards of run-campaign", path="folder")
    out: Path = given("Folder of results", path="new folder")


@step("frazil.experiments.enough:write_decision")
class EnoughTrajectories:
    """Say whether finished shards of a campaign are enough for a half-width of the total interval."""

    experiment: str = given(
        "Whose probabilities: of desorption, or of sticking at each energy",
        choices=("photodesorption", "sticking"),
    )
    trajectories: Path = given("Folder of shards, or of one shard, of what has run so far", path="folder")
    target_halfwidth: float = given(
        "Half-width of the total interval that is enough", minimum=LEAST_HALFWIDTH, below=0.5
    )
    round_size: int = given(
        "Trajectories of each probability between two looks: those of a round of shards", minimum=1
    )
    limit: int = given("Most trajectories of each probability", minimum=1, maximum=MOST_UNTIL_ENOUGH)
    n_aggregates: int = given(
        "Aggregates that photodesorption's snapshots were made of in turns; 0: not known, each replica of the "
        "thermalization counts as one",
        default=0, minimum=0,
    )  # fmt: skip
    model_error_scale: float = same_as(ModelError, "model_error_scale", of="")
    out: Path = given("JSON to write", path="new")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is no campaign."""
        if self.round_size > self.limit:
            yield "round_size", "allowed: at most [limit]"


@step("frazil.experiments.repeated:repeat")
class RepeatTrajectory:
    """Run one trajectory of a finished run again, alone, and see that it comes out as in its table."""

    experiment: str = given("Name of the experiment: photodesorption, sticking, infrared, or a campaign")
    results: Path = given("Folder of the run's results", path="folder")
    trajectory_id: int = given(
        "Number in the table of the trajectories (trajectories.csv; of infrared spectra runs.csv, of their learning the digits "
        "of trajectory_id in active_learning.csv; of dynamic_training the start in starts.csv or the run in long_trajectories.csv)",
        minimum=0, maximum=2**32 - 1,
    )  # fmt: skip
    ensemble: str = given(
        "Whose: the model's; of photodesorption teacher, teacher_control or model_control; of sticking truth or "
        "attempts; of infrared learning; of dynamic_training long",
        default="model",
    )
    n_frames: int = given(
        "Frames to write, at equal steps; at most all observations", default=100, minimum=1, maximum=10**6
    )
    out: Path = given("Folder for its row, its frames and its curve", path="new folder")


@step("frazil.experiments.repeated:repeat_collision")
class RepeatCollision:
    """Run one collision of a finished run again: repeat-trajectory of the experiment sticking."""

    results: Path = same_as(RepeatTrajectory, "results")
    trajectory_id: int = same_as(RepeatTrajectory, "trajectory_id")
    n_frames: int = same_as(RepeatTrajectory, "n_frames")
    out: Path = same_as(RepeatTrajectory, "out")


@step("frazil.experiments.repeated:keep")
class KeepTrajectories:
    """Run the first trajectories of a finished experiment again, and write their frames."""

    experiment: str = given("Name of the experiment")
    results: Path = given(
        "Folder with the results of the experiment and its potential, and run.json", path="folder"
    )
    n_trajectories: int = given("Trajectories, those of the lowest ids", minimum=1, maximum=MOST_KEPT)
    n_frames: int = same_as(RepeatTrajectory, "n_frames")
    file_settings: tuple[str, ...] = same_as(Parameters, "file_settings")
    files: tuple[Path, ...] = same_as(Parameters, "files")
    out: Path = given("Folder of frames and section", path="new folder")


@step("frazil.experiments.repeated:show")
class ShowTrajectories:
    """Run the typical trajectory of each outcome again, for the report: frames, a figure, a section."""

    experiment: str = given("Name of the experiment", choices=("photodesorption", "sticking"))
    results: Path = given("Folder with the results of the experiment and its potential", path="folder")
    out: Path = given("Folder of frames, figure and section", path="new folder")
