"""The toy's physics: starts, what they run under, a row, and what is made of all rows."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas
from frazil.experiments.toy.settings import Toy

from frazil.analysis.estimates import proportion
from frazil.campaigns import Row, Runner, Start, in_engine
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import Langevin
from frazil.md.state import State, System
from frazil.md.trajectory import Trajectory
from frazil.potentials.analytic.simple import HarmonicBonds
from frazil.report.section import Gate, Result, Section
from frazil.seeds import rng
from frazil.tables import Table

TABLE = Table("trajectories", "*trajectory_id:int outcome:str bond_A", limits={"outcome": ("long", "short")})
BOND_A = 1.1


def runner(settings: Toy, campaign_seed: int) -> Runner:
    """Return the runner of the trajectories."""
    return in_engine(
        partial(start, campaign_seed), lambda _: ensemble(settings, campaign_seed), partial(row, settings)
    )


def start(campaign_seed: int, identity: int) -> Start:
    """Return a molecule whose bond is a little off, at rest."""
    bond = BOND_A + 0.05 * rng(campaign_seed, "toy", identity).normal()
    return Start(np.array([[0, 0, 0], [0, 0, bond]]), np.zeros((2, 3)), known={"trajectory_id": identity})


def ensemble(settings: Toy, campaign_seed: int) -> Ensemble:
    """Return what all share: a harmonic bond and a bath."""
    bath = Langevin(1.0, settings.temperature_K, 50.0)
    return Ensemble(
        HarmonicBonds(2.0, BOND_A), bath, np.array([12.0, 16.0]), 200, 100, campaign_seed,
        observers=(bond_length,), width=4,
    )  # fmt: skip


def bond_length(state: State, system: System) -> dict[str, object]:
    """Observe the bond, Å."""
    return {"bond_A": ((state.positions[1] - state.positions[0]) ** 2).sum() ** 0.5}


def row(settings: Toy, begun: Start, ended: Trajectory) -> Row:
    """Return what the table says of a trajectory."""
    bond = float(ended.rows["bond_A"][-1])
    return {**begun.known, "outcome": "long" if bond > settings.longest_A else "short", "bond_A": bond}


def analyse(settings: Toy, table: pandas.DataFrame, campaign_seed: int, out: Path) -> Section:
    """Return the section of the report."""
    n_long = int((table["outcome"] == "long").sum())
    found = proportion(n_long, len(table))
    interval = f"[{found.low_95:.2f}, {found.high_95:.2f}]"
    text = f"{n_long} of {len(table)} bonds are long: {found.value:.2f} {interval}."
    whole = Gate.at_least("trajectories", len(table), settings.n_trajectories)
    gates = [whole.because("Every trajectory is a row.", "Look at the shard that lacks one.")]
    cards = [Result.of_row("Long bonds", "p", found.row("p"), n=len(table), of="bonds")]
    return Section(title="Toy", headline=text, text=["A bond in a bath."], gates=gates, results=cards)
