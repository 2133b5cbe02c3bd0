"""The trainings of one seed: S = 1, its controls, and dynamic training, all from the same first stage."""

from dataclasses import replace
from pathlib import Path

import ase.data
import numpy as np

from frazil.checkpoints import Claim, TimeLimit, key_of
from frazil.errors import UserError
from frazil.experiments.dynamic_training.settings import TrainedNetwork
from frazil.experiments.dynamic_training.truth import read
from frazil.learning import dynamic
from frazil.learning.fit import Progress
from frazil.learning.rollout import Network
from frazil.learning.settings import RolloutTraining
from frazil.seeds import derived_seed
from frazil.tables import Table

MODELS = Table(
    "models",
    """
    *arm:str *subsequence_length:int model:str seed:int stage:int validation_mepa_eV_per_A steps:int cpu_s
    """,
    made_by="train_dynamic.py",
)
CURVES = Table(
    "curves",
    """
    *part:str *epoch:int stage:int seed:int subsequence_length:int train_loss test_loss?
    test_force_error_eV_per_A? test_energy_error_meV_per_atom? learning_rate frames:int cpu_s
    """,
    made_by="train_dynamic.py",
)
MOST_RESTARTS = 10_000
"""Of the arm that spends the work of dynamic training."""


def network_of(size: TrainedNetwork, elements: tuple[str, ...]) -> Network:
    """Return the untrained network that settings ask for."""
    if size.network == "gmnn":
        from frazil.learning.gmnn import GmnnNetwork
        from frazil.potentials.gmnn.architecture import Architecture as Gmnn

        return GmnnNetwork(
            Gmnn(
                elements, cutoff_A=size.cutoff_A, n_basis=size.n_basis, n_radial=size.n_radial,
                hidden=size.hidden, precision=size.precision,
            )
        )  # fmt: skip
    from frazil.learning.egnn import EgnnNetwork
    from frazil.potentials.egnn.architecture import Architecture as Egnn

    form = "published" if size.network == "egnn-published" else "smooth"
    return EgnnNetwork(
        Egnn(
            elements, form, size.cutoff_A, size.n_features, size.n_waves, size.n_layers, size.sigma_per_A,
            size.precision,
        )
    )  # fmt: skip


def train(
    trajectories: Path,
    seed_id: int,
    campaign_seed: int,
    arms: tuple[str, ...],
    size: TrainedNetwork,
    training: RolloutTraining,
    checkpoints: Path,
    out: Path,
) -> None:
    """Train the arms of one seed; write a model folder for each arm and S, models.csv and curves.csv.

    Raises UserError for trajectories that are too short, OutOfTime after SIGTERM.
    """
    known, validating = read(trajectories, "train"), read(trajectories, "validation")
    if not known or not validating:
        raise UserError(f"{trajectories}: {len(known)} trajectories to train on; run prepare_trajectories.py")
    numbers = sorted({int(z) for own in (*known, *validating) for z in own.atoms.numbers})
    network = network_of(size, tuple(ase.data.chemical_symbols[z] for z in numbers))
    settings = replace(training, seed=derived_seed(campaign_seed, "dynamic-training", seed_id))
    longest = settings.longest
    first_trained = dynamic.DynamicTraining(network, settings, known, validating, (1,))
    kept = checkpoints / f"dynamic-{key_of(first=first_trained.fingerprint)[:16]}"
    parts: dict[str, Progress] = {}
    with Claim(kept), TimeLimit() as limit:

        def stages(name: str, lengths: tuple[int, ...], after: str = "", frames: int | None = None) -> None:
            warm = dynamic.warm_from(parts[after], settings) if after else None
            parts[name] = dynamic.fit(
                network, settings, known, validating, lengths, kept / f"{name}.npz", limit, warm, frames
            )

        stages("converged", (1,))
        if "dynamic" in arms and longest > 1:
            stages("dynamic", tuple(range(2, longest + 1)), "converged")
        if "restarts" in arms and longest > 1:
            stages("restarts", (1,) * (longest - 1), "converged")
        if "same-work" in arms and longest > 1:
            left = int(_last(parts["dynamic"])["frames"] - _last(parts["restarts"])["frames"])
            stages("same-work", (1,) * MOST_RESTARTS, "restarts", max(left, 1))
    rows, curves = [], []
    for name, progress in parts.items():
        for length in range(2, longest + 1) if name == "dynamic" else (1,):
            chosen = progress
            if name == "same-work" and _loss(parts["restarts"], 1) < _loss(progress, 1):
                chosen = parts["restarts"]  # more of the same training: its best may have come before
            if not np.isfinite(_loss(chosen, length)):
                continue  # its epochs ran out before
            model = f"{name}-{length}"
            metadata = {"label_level": known[0].level, "training_data_sha256": first_trained.fingerprint}
            network.write(out / model, dynamic.best_of(chosen, length), metadata)
            ended = [_last(parts[other]) for other in BEFORE[name]] + [_last(progress, length)]
            rows.append(
                {
                    "arm": name, "subsequence_length": length, "model": model, "seed": seed_id,
                    "stage": int(sum(row["stage"] + 1 for row in ended)),
                    "validation_mepa_eV_per_A": _loss(chosen, length),
                    "steps": int(sum(row["frames"] for row in ended)),
                    "cpu_s": sum(row["cpu_s"] for row in ended),
                }
            )  # fmt: skip
        for row in progress.curve:
            finite = {key: value if np.isfinite(value) else np.nan for key, value in row.items()}
            curves.append({**finite, "part": name, "seed": seed_id})
    MODELS.write(rows, out)
    CURVES.write([{column: row[column] for column in CURVES.names} for row in curves], out)


BEFORE = {
    "converged": (), "dynamic": ("converged",), "restarts": ("converged",),
    "same-work": ("converged", "restarts"),
}  # fmt: skip
"""What each arm goes on from."""


def _loss(progress: Progress, length: int) -> float:
    """Return the best validation error among stages of a length."""
    return float(np.asarray(progress.optimizer_state["best_loss"])[length - 1])


def _last(progress: Progress, length: int | None = None) -> dict[str, float]:
    """Return the last row of the learning curve, of subsequences of a length."""
    return [row for row in progress.curve if length in (None, row["subsequence_length"])][-1]
