"""Settings of the toy: a diatomic molecule in a bath, and how often its bond is long."""

from __future__ import annotations

from frazil.settings import setting, settings

CAMPAIGN = "frazil.experiments.toy.physics"


@settings
class Toy:
    """How often a bond in a bath is longer than a length."""

    n_trajectories: int = setting("Trajectories", default=10, minimum=1)
    shard_size: int = setting("Trajectories in one task; changes no result", default=4, minimum=1)
    temperature_K: float = setting("Temperature of the bath", default=300.0, above=0, maximum=3000)
    longest_A: float = setting("A bond longer than this counts as long", default=1.2, above=0, maximum=10)


GROUPS = {"toy": Toy}
