"""What members disagree on around H2 is measured as its share of the energy, and cut out whole."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from ase import Atoms

from frazil.data.frames import load_frames
from frazil.errors import UserError
from frazil.experiments.sticking import cutouts
from frazil.experiments.sticking.cutouts import cutout, share_K, write_cutouts
from frazil.experiments.sticking.projectile import Projectile
from frazil.experiments.sticking.settings import Campaign, Cutouts, Grid
from frazil.potentials.analytic.h2_co import H2OnCO
from frazil.potentials.interface import Analytic
from frazil.potentials.transform import sum_of
from frazil.pytrees import pytree
from frazil.systems.molecules import molecule
from frazil.units import kB

HEIGHT_A = 3.0
H2 = Projectile(molecule("H2"))


@pytree
@dataclass(frozen=True)
class Tilted(Analytic):
    """Adds to H2, and to it alone, so much where it is low over the surface; far above nothing."""

    size_K: Any

    def energy(self, positions_A: jax.Array) -> jax.Array:
        height = positions_A[-2:, 2].mean() - positions_A[:-2, 2].max()
        return self.size_K * kB * jnp.exp(-((height / HEIGHT_A) ** 2))


class Members:
    """Three members around the known truth that differ by 0, 30 and 60 K times a known function."""

    n_members = 3
    sizes_K = (0.0, 30.0, 60.0)

    def potential(self, atoms: Atoms, member: int | None = None) -> Any:
        truth = H2OnCO(n_fixed=int(atoms.arrays["fixed"].sum()) // 2)
        return truth if member is None else sum_of([truth, Tilted(self.sizes_K[member])])

    def name(self, member: int | None = None) -> str:
        return f"member-{member}"


def ice() -> Atoms:
    """Sixteen CO molecules on a grid, the outer half held."""
    places = [(3.7 * (i - 1.5), 3.7 * (j - 1.5)) for i in range(4) for j in range(4)]
    places.sort(key=lambda place: place[0] ** 2 + place[1] ** 2)
    positions = [[x, y, z] for x, y in places for z in (0.0, -1.128)]
    atoms = Atoms("CO" * 16, positions)
    atoms.set_array("fixed", np.repeat(np.arange(16) >= 8, 2).astype(int))
    atoms.info |= {"surface_temperature_K": 10.0, "surface_id": 0, "phase": "crystalline"}
    atoms.set_velocities(np.zeros((32, 3)))
    return atoms


def with_h2(atoms: Atoms, height_A: float) -> np.ndarray:
    return np.concatenate([atoms.positions, [[0, 0, height_A], [0.74, 0, height_A]]])


def test_the_spread_is_that_of_h2s_share_alone() -> None:
    """What members say of the surface itself, or of the bond, is no part of it."""
    heights = np.array([2.0, 3.0, 5.0])
    found = share_K(Members(), ice(), H2, np.stack([with_h2(ice(), z) for z in heights]))
    expected = np.std(Members.sizes_K, ddof=1) * np.exp(-((heights / HEIGHT_A) ** 2))
    assert found.std(axis=0, ddof=1) == pytest.approx(expected, rel=1e-3)
    assert found[0, 0] < -50, "and the share itself is the truth's well"


def test_molecules_are_cut_out_whole_the_nearest_first() -> None:
    atoms = ice()
    found = cutout(atoms, H2, with_h2(atoms, 3.0), 6.0, 30)
    assert found.get_chemical_formula() == f"C{len(found) // 2 - 1}H2O{len(found) // 2 - 1}"
    bonds = np.linalg.norm(found.positions[1:-2:2] - found.positions[:-2:2], axis=1)
    assert bonds == pytest.approx(1.128)
    distance = np.linalg.norm(found.positions[:-2].reshape(-1, 2, 1, 3) - found.positions[-2:], axis=3)
    nearest = distance.min(axis=(1, 2))
    assert (np.diff(nearest) >= 0).all()
    assert nearest.max() < 6.0
    others = np.linalg.norm(atoms.positions.reshape(-1, 2, 1, 3) - found.positions[-2:], axis=3)
    assert (others.min(axis=(1, 2)) < 6.0).sum() == len(nearest)
    assert len(cutout(atoms, H2, with_h2(atoms, 3.0), 6.0, 3)) == 8


def test_sites_and_collisions_are_judged_and_come_with_and_without_h2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutouts, "driver", lambda *_: Members())
    monkeypatch.setattr(cutouts, "read_surfaces", lambda _: [ice()])
    grid = Grid(binding_area_A2=16.0, binding_spacing_A=2.0, binding_max_force_eV_per_A=0.01, width=4)
    campaign = Campaign(
        surface_temperatures_K=(10.0,), energies_K=(50.0,), n_polar=1, n_azimuth=4, aim_radius_A=1.0,
        timestep_fs=1.0, duration_fs=1200.0, width=2, start_height_A=5.0,
    )  # fmt: skip
    asked = Cutouts(
        max_cutouts=3, cutout_collisions=2, cutout_frames=3, cutout_spread=10.0, cutout_radius_A=5.0
    )
    write_cutouts([tmp_path], "x", grid, campaign, asked, 1, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out/cutouts.csv")
    assert table["place"][table["kind"] == "collision"].nunique() == 2
    assert (table["kind"] == "site").sum() == 4
    best = table.groupby("place")["spread_K"].max().nlargest(3)
    assert set(table["place"][table["chosen"] == 1]) == set(best.index)
    frames = load_frames(tmp_path / "out/candidates.extxyz")
    assert len(frames) == 6
    assert len({atoms.info["pair"] for atoms in frames}) == 3
    for both, alone in zip(frames[::2], frames[1::2], strict=True):
        assert both.positions[:-2] == pytest.approx(alone.positions)
        assert both.info["parent"] == alone.info["parent"]
        assert both.info["pair"] == alone.info["pair"]
        assert (both.info["source"], both.info["weight"]) == ("cutouts-0", asked.cutout_weight)
    told = json.loads((tmp_path / "out/summary.json").read_text())
    assert (told["clean"], told["n_candidates"]) == (True, 0)
    shares = table["share_K"][table["kind"] == "site"]
    assert told["limit_K"] == pytest.approx(10 * abs(shares.median()))
    write_cutouts(
        [tmp_path], "x", grid, campaign, Cutouts(cutout_spread=0.001, cutout_collisions=0), 1, tmp_path / "b"
    )
    assert json.loads((tmp_path / "b/summary.json").read_text())["n_candidates"] == 8


def test_frames_worth_labelling_lie_along_collisions_that_members_end_differently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = Members()
    members.sizes_K = (0.0, 0.0, 9000.0)  # the last one lets no H2 come near
    monkeypatch.setattr(cutouts, "driver", lambda *_: members)
    monkeypatch.setattr(cutouts, "read_surfaces", lambda _: [ice()])
    campaign = Campaign(
        surface_temperatures_K=(10.0,), energies_K=(50.0,), n_polar=1, n_azimuth=4, aim_radius_A=1.0,
        timestep_fs=1.0, duration_fs=1600.0, width=4, start_height_A=5.0, bounce_A=5.5,
    )  # fmt: skip
    asked = Cutouts(max_cutouts=6, cutout_collisions=4, cutout_frames=3, cutout_radius_A=5.0)
    told = write_cutouts([tmp_path], "x", Grid(), campaign, asked, 1, tmp_path / "out", apart=True)
    assert told == "4 of 4 collisions end differently under 3 members; 12 frames to label"
    table = pd.read_csv(tmp_path / "out/cutouts.csv")
    assert set(table["kind"]) == {"collision"}
    frames = load_frames(tmp_path / "out/candidates.extxyz")
    named = [atoms.info["trajectory_id"] for atoms in frames[::2]]
    assert len(set(named[:4])) == 4, "they take turns"
    largest = table.groupby("place")["spread_K"].max().sort_values(ascending=False)
    assert named[:4] == list(largest.index)
    assert {atoms.info["source"] for atoms in frames} == {"members-apart"}

    members.sizes_K = (0.0, 0.0, 0.0)
    told = write_cutouts([tmp_path], "x", Grid(), campaign, asked, 1, tmp_path / "alike", apart=True)
    assert told == "0 of 4 collisions end differently under 3 members; 0 frames to label"
    assert json.loads((tmp_path / "alike/summary.json").read_text())["clean"]


def test_a_committee_of_one_knows_no_spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Members()
    one.n_members = 1
    monkeypatch.setattr(cutouts, "driver", lambda *_: one)
    with pytest.raises(UserError, match="a committee of one has no spread"):
        write_cutouts([tmp_path], "x", Grid(), Campaign(), Cutouts(), 1, tmp_path / "out")
