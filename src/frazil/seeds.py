"""Random numbers that depend on who asks, never on when."""

import zlib

import numpy as np


def rng(campaign_seed: int, stream: str, *ids: int) -> np.random.Generator:
    """Return a generator that is a pure function of the campaign seed, the stream's name and the ids.

    A trajectory takes its numbers from ``rng(campaign_seed, "excite", trajectory_id)``, so that batch size,
    shard size, order and restarts change nothing.
    """
    key = (zlib.crc32(stream.encode()), *ids)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(campaign_seed, spawn_key=key)))


def derived_seed(campaign_seed: int, stream: str, *ids: int, below: int = 2**31 - 1) -> int:
    """Return a positive integer seed for a program that takes no generator (LAMMPS, DeePMD-kit, Packmol)."""
    return int(rng(campaign_seed, stream, *ids).integers(1, below))
