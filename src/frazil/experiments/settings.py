"""Settings of experiments that are one campaign: the steps that run and analyse any of them."""

from __future__ import annotations

from pathlib import Path

from frazil.labels.settings import Seed
from frazil.settings import given, same_as, step


@step("frazil.experiments.campaign:run")
class RunCampaign:
    """Run one shard of an experiment that is one campaign, and write its table."""

    experiment: str = given("Name of the experiment")
    parameters: Path = given("Its settings by name, JSON", path="file")
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    first_id: int = given("Trajectory id of the first", default=0, minimum=0, maximum=2**32 - 1)
    n_trajectories: int = given("Number of trajectories", minimum=1)
    checkpoints: Path = given("Folder for finished rows that outlives the task", path="new folder")
    out: Path = given("Folder of the shard", path="new folder")


@step("frazil.experiments.campaign:analyse")
class AnalyseCampaign:
    """Tables, figures and section of an experiment that is one campaign."""

    experiment: str = given("Name of the experiment")
    parameters: Path = given("Its settings by name, JSON", path="file")
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    shards: Path = given("Folder of shards of run-campaign", path="folder")
    out: Path = given("Folder of results", path="new folder")
