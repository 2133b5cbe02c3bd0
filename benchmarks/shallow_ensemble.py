#!/usr/bin/env python3
"""Shallow ensembles of GM-NN: what their heads cost, and what their spread says, beside a deep committee.

    shallow_ensemble.py cost LABELLED.extxyz
    shallow_ensemble.py compare LABELLED.extxyz OUT_FOLDER

``cost``: processor time of an epoch, and of a step of dynamics, of one head and of several in turn; medians
of the ratios. ``compare``: the frames are labelled anew by the known truth (h2-co-analytic), as interactions;
some trajectories are held out. Every other of their frames chooses the epoch and scales the spreads, the rest
are judged. A deep committee, a shallow ensemble by the likelihood of energies alone, and one by that of
forces too learn the same frames by the same settings. Writes shallow_ensemble.csv: the error of the mean, the
spread, the part of the labels within 1.96 spreads as they are and scaled, the mean negative log-likelihood,
and how spread and error rank alike.
"""

import argparse
import os
import sys
import tempfile
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pandas
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from gmnn_speed import Engine, ice
from learning_curves import divided, frames_of
from numpy.typing import NDArray
from scipy.stats import spearmanr

from frazil.checkpoints import TimeLimit
from frazil.data.frames import load_frames, write_frames
from frazil.files import write_atomic
from frazil.labels.levels import labeller
from frazil.learning import fit, gmnn
from frazil.learning.settings import GmnnTraining
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.committee import Committee, Prediction
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.potential import GMNN

Array = NDArray[np.float64]
TRUTH = "h2-co-analytic"
ELEMENTS = ("H", "C", "O")
NEVER = 10**6
AT_ONCE = 64
LARGEST_FORCE_eV_per_A = 2.0
"""Frames with a larger one are left out: walls that no dynamics reaches."""


def relabelled(file: Path) -> list[Atoms]:
    """Return the frames of a file that the known truth takes, with its labels."""
    taken, known = [], labeller(TRUTH)
    frames = [a for a in load_frames(file) if str(a.symbols) == str(Atoms(_order(a)).symbols)]
    for atoms, label in zip(frames, known.labels(frames), strict=True):
        if isinstance(label, str):
            continue
        atoms.calc = SinglePointCalculator(atoms, energy=label.energy_eV, forces=label.forces_eV_per_A)
        atoms.info["label_level"] = TRUTH
        taken.append(atoms)
    return taken


def _order(atoms: Atoms) -> str:
    """Return the symbols in the order that the known truth wants."""
    symbols = list(atoms.symbols)
    return "CO" * symbols.count("C") + "H2" * (symbols.count("H") // 2)


def data(given: Namespace) -> tuple[list[Atoms], list[Atoms], list[Atoms]]:
    """Return interactions of the known truth: to learn, to choose and scale by, to judge."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "relabelled.extxyz"
        write_frames(file, relabelled(given.labelled))
        learnt = frames_of(Namespace(labelled=file, interaction=True, highest_eV=2.0))
    frames = [a for a in learnt if np.abs(a.get_forces()).max() < LARGEST_FORCE_eV_per_A]
    return divided(frames, given.held_out, 1)


def arms(given: Namespace, seed: int) -> dict[str, tuple[Architecture, GmnnTraining]]:
    """Return the networks and settings of one model, a deep committee and a shallow ensemble."""
    hidden = tuple(int(width) for width in given.hidden.split(","))
    one = Architecture(
        ELEMENTS, cutoff_A=given.cutoff_A, n_radial=given.n_radial, n_basis=given.n_basis, hidden=hidden
    )
    settings = GmnnTraining(
        n_members=1, seed=seed, n_epochs=given.n_epochs, batch_size=16, learning_rate=0.02,
        energy_weight=given.energy_weight, patience=NEVER, checkpoint_every=NEVER,
    )  # fmt: skip
    return {
        "one": (one, settings),
        "deep": (one, replace(settings, n_members=given.n_heads)),
        "shallow": (replace(one, n_heads=given.n_heads), replace(settings, n_heads=given.n_heads)),
    }


def cost(given: Namespace) -> None:
    """Print what epochs and steps cost."""
    train, stop, _ = data(given)
    known = arms(given, 1)
    slow = replace(known["shallow"][1], learning_rate=gmnn.FORCES_RATE * known["shallow"][1].learning_rate)
    epochs = {
        "one": Epochs(*known["one"], train, stop, gmnn.SQUARES),
        "deep": Epochs(*known["deep"], train, stop, gmnn.SQUARES),
        "energies": Epochs(*known["shallow"], train, stop, gmnn.ENERGIES),
        "forces": Epochs(known["shallow"][0], slow, train, stop, gmnn.FORCES),
    }
    ratios = in_turn(epochs, given.repeats)
    share = gmnn.FORCES_SHARE
    whole = (1 - share) * ratios["energies"] + share * ratios["forces"]
    print(f"an epoch of {len(train)} frames, hidden layers {given.hidden}:")
    print(f"    one model: {np.median(epochs['one'].times):.2f} s of processor time")
    print(f"    a deep committee of {given.n_heads}: {ratios['deep']:.2f} times that")
    print(f"    {given.n_heads} heads, likelihood of energies: {ratios['energies']:.2f} times that")
    print(f"    {given.n_heads} heads, likelihood of forces too: {ratios['forces']:.2f} times that")
    print(f"    a training, {100 * share:.0f} % of its epochs the latter: {whole:.2f} times", flush=True)
    atoms = ice(given.molecules)
    runs = {}
    for name, (architecture, settings) in known.items():
        parameters = initialize_committee(architecture, 1, settings.n_members)
        potential = GMNN.of(Model(architecture, parameters, {}), atoms.numbers)
        runs[name] = Engine(potential, atoms, 0.5, given.steps, 0.5, given.replicas)
    ratios = in_turn(runs, given.repeats)
    print(f"a step of {given.replicas} replicas of {len(atoms)} atoms:")
    print(f"    one model: {runs['one'].us:.2f} µs/atom")
    print(f"    {given.n_heads} heads, mean and the energies' spread: {ratios['shallow']:.2f} times that")
    print(f"    a deep committee of {given.n_heads}: {ratios['deep']:.2f} times that", flush=True)


class Epochs:
    """Epochs of a training, compiled: each ``run`` is timed."""

    def __init__(
        self,
        architecture: Architecture,
        settings: GmnnTraining,
        train: list[Atoms],
        stop: list[Atoms],
        by: str,
    ) -> None:
        self.trained = gmnn.CommitteeTraining(architecture, settings, train, stop, by=by)
        self.start = self.trained.start()
        self.times: list[float] = []
        self.run()
        self.times.clear()

    def run(self) -> None:
        """Run the first epoch; notes seconds."""
        begin = process_time()
        self.trained.epoch(*self.start, 0)
        self.times.append(process_time() - begin)


def in_turn(runs: dict[str, Any], repeats: int) -> dict[str, float]:
    """Run all in turn; return the medians of their times over the first one's."""
    for _ in range(repeats):
        for one in runs.values():
            one.run()
    first = np.array(next(iter(runs.values())).times)
    return {name: float(np.median(np.array(one.times) / first)) for name, one in runs.items()}


def compare(given: Namespace) -> None:
    """Train all arms, judge them, write and print the table."""
    train, stop, judge = data(given)
    print(
        f"{len(train)} frames to learn, {len(stop)} to choose and scale by, {len(judge)} to judge", flush=True
    )
    rows = []
    for seed in (int(n) for n in given.seeds.split(",")):
        known = arms(given, seed)
        chosen = {
            "deep": (*known["deep"], False),
            "energies": (*known["shallow"], True),
            "forces": (*known["shallow"], False),
        }
        for name, (architecture, own, energies_only) in chosen.items():
            begin = process_time()
            best = trained(architecture, own, train, stop, energies_only).best
            took_s = process_time() - begin
            committee = Committee(Model(architecture, best, {}))
            scaling, judged = (predicted(committee, part) for part in (stop, judge))
            for quantity, kept in judged.items():
                row = figures(kept, scaling[quantity])
                rows.append({"arm": name, "seed": seed, "quantity": quantity, **row, "training_s": took_s})
                print(pandas.DataFrame(rows[-1:]).round(4).to_csv(index=False, header=len(rows) == 1), end="")
                sys.stdout.flush()
    given.out.mkdir(parents=True, exist_ok=True)
    with write_atomic(given.out / "shallow_ensemble.csv") as path:
        pandas.DataFrame(rows).to_csv(path, index=False, float_format="%.5g")


def trained(
    architecture: Architecture,
    settings: GmnnTraining,
    train: list[Atoms],
    stop: list[Atoms],
    energies_only: bool,
) -> fit.Progress:
    """Train one arm; ``energies_only`` leaves the likelihood of forces out."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "training.npz"
        if not energies_only:
            return gmnn.fit(architecture, settings, train, stop, file, TimeLimit())
        own = gmnn.CommitteeTraining(architecture, settings, train, stop, by=gmnn.ENERGIES)
        return fit.fit(own, settings.n_epochs, NEVER, NEVER, file, TimeLimit())


def predicted(committee: Committee, frames: list[Atoms]) -> dict[str, tuple[Array, Array]]:
    """Return errors of the mean (n, components) and spreads (n,) of a component: energies, atoms' forces."""
    found: list[Prediction] = []
    for i in range(0, len(frames), AT_ONCE):
        found += committee.predict(frames[i : i + AT_ONCE])
    pairs = list(zip(found, frames, strict=True))
    errors = [p.forces_mean_eV_per_A - a.get_forces() for p, a in pairs]
    spreads = [p.forces_spread_eV_per_A / np.sqrt(3) for p in found]
    energies = np.array([[1e3 * (p.energy_eV - a.get_potential_energy())] for p, a in pairs])
    return {
        "energy, meV": (energies, np.array([1e3 * p.energy_spread_eV for p in found])),
        "force, eV/Å": (np.concatenate(errors), np.concatenate(spreads)),
    }


def figures(judged: tuple[Array, Array], scaling: tuple[Array, Array]) -> dict[str, float]:
    """Return what a row says. The scale is √⟨(e/σ)²⟩ on other held-out labels (arXiv:2402.16621)."""
    errors, spread = judged
    scale = float(np.sqrt(((scaling[0] / scaling[1][:, None]) ** 2).mean()))
    ratios = np.abs(errors) / spread[:, None]
    sizes = np.sqrt((errors**2).mean(axis=-1))
    variance = (scale * spread[:, None]) ** 2
    return {
        "n": errors.size,
        "error_rms": float(np.sqrt((errors**2).mean())),
        "spread_rms": float(np.sqrt((spread**2).mean())),
        "covered_95": float((ratios < 1.96).mean()),
        "scale": scale,
        "covered_95_scaled": float((ratios < 1.96 * scale).mean()),
        "nll_scaled": float(0.5 * (errors**2 / variance + np.log(variance)).mean()),
        "rank_correlation": float(spearmanr(spread, sizes).statistic),
    }


def main() -> None:
    """Parse the command line and run one of the two."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = cli.add_subparsers(required=True)
    costs, compared = verbs.add_parser("cost"), verbs.add_parser("compare")
    for parser, function in ((costs, cost), (compared, compare)):
        parser.set_defaults(function=function)
        parser.add_argument("labelled", type=Path)
        parser.add_argument("--n-heads", type=int, default=8)
        parser.add_argument("--cutoff-A", type=float, default=6.0)
        parser.add_argument("--n-radial", type=int, default=3)
        parser.add_argument("--n-basis", type=int, default=9)
        parser.add_argument("--hidden", default="32,32")
        parser.add_argument("--held-out", type=float, default=1 / 4, help="part of the trajectories")
        parser.add_argument("--n-epochs", type=int, default=60)
        parser.add_argument("--energy-weight", type=float, default=1000.0)
    costs.add_argument("--molecules", type=int, default=10, help="CO beside the H2 of the dynamics")
    costs.add_argument("--replicas", type=int, default=8)
    costs.add_argument("--steps", type=int, default=50)
    costs.add_argument("--repeats", type=int, default=9)
    compared.add_argument("out", type=Path)
    compared.add_argument("--seeds", default="1")
    given = cli.parse_args()
    given.function(given)


if __name__ == "__main__":
    main()
