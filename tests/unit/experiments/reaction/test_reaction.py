"""Profiles of a proton between two heavy atoms far apart, which are exact: one dimension, any number of beads."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from ase import Atoms

pytest.importorskip("jax")
sys.path.insert(0, str(Path(__file__).parents[3] / "physics"))

import jax.numpy as jnp
from exact import ring_density

from frazil.experiments.reaction import physics, windows
from frazil.experiments.reaction.path import path_of
from frazil.potentials.registry import Source
from frazil.potentials.transform import Bias, SameForAll
from frazil.report.section import Section
from frazil.units import kB
from shards import run_in_shards

BARRIER_eV, MINIMUM_A, APART_A, TEMPERATURE_K = 0.25, 0.4, 100.0, 300.0
ISOTOPES = {"H": 1.008, "D": windows.HEAVY_amu["D"]}
SMALL: dict[str, Any] = {
    "coordinate_atoms": [0, 1, 2], "n_trajectories": 4, "shard_size": 4, "n_beads": [1, 20],
    "first_A": -1.2, "last_A": 1.2, "n_windows": 13, "window_eV_per_A2": 1.5, "bin_A": 0.04,
    "timestep_fs": 1, "equilibration_fs": 200, "duration_fs": 3000, "observe_every_fs": 10,
}  # fmt: skip


def double_well(x: Any, barrier_eV: float = BARRIER_eV) -> Any:
    return barrier_eV * ((x / MINIMUM_A) ** 2 - 1) ** 2


def well(positions: Any, barrier_eV: Any) -> Any:
    """A double well along x of the atom midway between two others, 100 Å apart: the coordinate is 2x."""
    ends = jnp.array([[-APART_A / 2, 0, 0], [APART_A / 2, 0, 0]])
    heavy = positions[jnp.array([0, 2])]
    held = 0.5 * jnp.sum((heavy - ends) ** 2)
    x, y, z = positions[1] - heavy.mean(axis=0)
    return double_well(x, barrier_eV) + held + 0.5 * 5.0 * (y**2 + z**2)


def source_of(*barriers_eV: float) -> Source:
    def make(structures: Any, member: int | None) -> Any:
        mean = float(np.mean(barriers_eV))
        return SameForAll(Bias(well, mean if member is None else barriers_eV[member]))

    return Source("well", "exact", "well", make, len(barriers_eV))


def frames(*places_A: float, symbols: str = "AuHAu") -> list[Atoms]:
    return [Atoms(symbols, [[-APART_A / 2, 0, 0], [x, 0, 0], [APART_A / 2, 0, 0]]) for x in places_A]


def write(folder: Path, *places_A: float, symbols: str = "AuHAu") -> dict[str, str]:
    from ase.io import write as write_atoms

    write_atoms(folder / "proton.xyz", frames(*places_A, symbols=symbols), "extxyz")
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model/model.json").write_text("{}")
    return {"structures": str(folder / "proton.xyz"), "model": str(folder / "model")}


@pytest.fixture
def heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, source_of(BARRIER_eV))


def known(patch: pytest.MonkeyPatch, source: Source) -> None:
    """Have folders of models give a source, and the path's atoms weigh as much as they need to."""
    windows._subject.cache_clear()
    for module in (physics, windows):
        patch.setattr(module, "source_of", lambda model: source)


campaign = partial(run_in_shards, "reaction")


def exact_meV(isotope: str, n_beads: int, barrier_eV: float = BARRIER_eV) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates and the free energy of the density, from its minimum."""
    x = np.linspace(-1.0, 1.0, 801)
    density = ring_density(
        partial(double_well, barrier_eV=barrier_eV), ISOTOPES[isotope], TEMPERATURE_K, n_beads, x
    )
    return 2 * x, -1e3 * kB * TEMPERATURE_K * np.log(density / density.max())


@pytest.fixture(scope="module")
def proton(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("proton")
    with pytest.MonkeyPatch.context() as patch:
        known(patch, source_of(BARRIER_eV))
        yield campaign(folder, {**SMALL, **write(folder, *np.linspace(-0.6, 0.6, 13))})


def test_profiles_are_exact_classical_and_quantum_of_both_isotopes(proton: Path) -> None:
    barriers = pandas.read_csv(proton / "barriers.csv").set_index(["n_beads", "isotope", "kind"])
    table = pandas.read_csv(proton / "profiles.csv")
    print(barriers)
    for key, row in barriers.iterrows():
        n_beads, isotope, kind = key
        if kind == "density" or n_beads == 1:
            places, expected = exact_meV(isotope, n_beads)
            print(key, row["barrier_meV"], row["se_meV"], np.interp(0, places, expected))
