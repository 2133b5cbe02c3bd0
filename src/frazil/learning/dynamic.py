"""Dynamic training: subsequences that grow, for any ``rollout.Network``, in the loop of ``learning.fit``.

A stage trains on subsequences of one length S. Its learning rate falls by a factor whenever the test loss,
the MEPA of long trajectories, has not been better for some epochs; where it would reach its smallest value
the next stage begins, at the reset rate, with the optimizer's moments as they are (Žugec et al.; their code).
Stages of S = 1 alone are ordinary training with restarts.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from frazil.checkpoints import TimeLimit, key_of
from frazil.data.trajectories import LabelledTrajectory, check_lengths
from frazil.learning import fit as training
from frazil.learning.along import choose_starts, run_along
from frazil.learning.fit import Progress
from frazil.learning.rollout import Loss, Network, Parameters, Rollouts, cut, gather, loss_and_gradient
from frazil.learning.settings import RolloutTraining
from frazil.potentials.interface import jit
from frazil.seeds import derived_seed, rng

BETTER = 1e-4
"""A loss counts as better by this part of the best, as in torch's ReduceLROnPlateau."""


@dataclass(frozen=True)
class Warm:
    """Where a training goes on from: parameters (leading axis 1), the optimizer's moments, the first rate."""

    parameters: Parameters
    moments: Any
    rate: float


def loss_of(settings: RolloutTraining) -> Loss:
    """Return the loss that settings ask for."""
    force = 1.0 if settings.rollout_loss == "published" else settings.squared_force_weight
    return Loss(settings.rollout_loss, settings.first_weight, force, 1.0, settings.along_energy_weight)


def optimizer(settings: RolloutTraining) -> optax.GradientTransformation:
    """Return Adam without its rate, the gradient's norm clipped before it."""
    clip = [optax.clip_by_global_norm(settings.clip_norm)] if settings.clip_norm else []
    return optax.chain(*clip, optax.scale_by_adam())


@cache
def _update(network: Network, settings: RolloutTraining) -> Any:
    """Return the compiled update of parameters (leading axis 1) and moments by rollouts, and the loss."""
    transform, loss = optimizer(settings), loss_of(settings)

    def update(parameters: Parameters, moments: Any, rate: Any, rollouts: Rollouts) -> Any:
        own = jax.tree.map(lambda leaf: leaf[0], parameters)
        value, gradient = loss_and_gradient(network, loss, own, rollouts)
        updates, moments = transform.update(gradient, moments, own)
        own = jax.tree.map(lambda p, u, r: p - rate * r * u, own, updates, network.rates(own))
        return jax.tree.map(lambda leaf: leaf[None], own), moments, value

    return jit(update)


class DynamicTraining:
    """The training of one network on subsequences, as ``frazil.learning.fit`` asks for it.

    Args:
        lengths: S of each stage.
        warm: where to go on from; None starts at random, at ``settings.learning_rate``.
        most_frames: force evaluations (frames of subsequences) after which it ends; None is no limit.

    Its state holds the moments, the schedule, and for each S the parameters of the best test loss.
    """

    n_members = 1

    def __init__(
        self,
        network: Network,
        settings: RolloutTraining,
        train: Sequence[LabelledTrajectory],
        validation: Sequence[LabelledTrajectory],
        lengths: Sequence[int],
        warm: Warm | None = None,
        most_frames: int | None = None,
    ) -> None:
        check_lengths(train, settings.longest)
        check_lengths(validation, settings.validation_frames)
        self._network, self._settings, self._warm = network, settings, warm
        self._lengths, self._most_frames = tuple(lengths), most_frames
        self._cut = cut(network, train, settings.longest, settings.rollout_skin_A)
        self._validation = validation
        random = rng(settings.seed, "rollout-validation")
        self._starts = choose_starts(validation, settings.validation_frames, settings.n_validation, random)
        # What compiles nothing anew: the same update serves trainings of other seeds, rates and lengths.
        same = {"seed": 1, "n_epochs": 1, "learning_rate": 1e-3, "reset_rate": 1e-4, "smallest_rate": 1e-6}
        self._update = _update(network, RolloutTraining(**{**asdict(settings), **same}))
        self._compiled: dict[int, Any] = {}
        self.fingerprint = _fingerprint(
            network, settings, train, validation, self._lengths, warm, most_frames
        )

    def start(self) -> tuple[Parameters, dict[str, Any]]:
        """Return the parameters, leading axis 1, and the state before the first epoch."""
        settings = self._settings
        if self._warm is None:
            own = self._network.start(self._cut.frames, derived_seed(settings.seed, "rollout-start"))
            parameters = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], own)
            moments = optimizer(settings).init(own)
            rate = settings.learning_rate
        else:
            parameters, moments, rate = self._warm.parameters, self._warm.moments, self._warm.rate
        slots = max(self._lengths)
        state = {
            "moments": moments,
            "rate": np.float64(rate), "least": np.float64(np.inf), "since": np.int64(0),
            "stage": np.int64(0), "frames": np.int64(0), "cpu_s": np.float64(0.0),
            "best": jax.tree.map(lambda leaf: jnp.repeat(leaf, slots, axis=0), parameters),
            "best_loss": np.full(slots, np.inf),
        }  # fmt: skip
        return parameters, state

    def epoch(
        self, parameters: Parameters, optimizer_state: Any, number: int
    ) -> tuple[Parameters, Any, np.ndarray]:
        """Return both after an epoch's subsequences, in its own order, and the mean loss (1,)."""
        settings, length = self._settings, self._lengths[int(optimizer_state["stage"])]
        starts = self._cut.starts
        order = rng(settings.seed, "rollout-batches", number).permutation(len(starts))
        chosen = starts[order[: settings.starts_per_epoch or len(starts)]]
        moments, sums, n = optimizer_state["moments"], 0.0, 0
        begin, rate = time.process_time(), float(optimizer_state["rate"])
        for first in range(0, len(chosen), settings.batch_size):
            part = chosen[first : first + settings.batch_size]
            rollouts = gather(self._cut, part, length, settings.batch_size)
            arguments = (parameters, moments, rate, rollouts)
            if length not in self._compiled:
                before = time.process_time()
                self._compiled[length] = self._update.lower(*arguments).compile()
                begin += time.process_time() - before
            parameters, moments, value = self._compiled[length](*arguments)
            sums, n = sums + float(value) * len(part), n + len(part)
        state = {
            **optimizer_state, "moments": moments,
            "frames": optimizer_state["frames"] + n * length,
            "cpu_s": optimizer_state["cpu_s"] + time.process_time() - begin,
        }  # fmt: skip
        return parameters, state, np.array([sums / n])

    def test(
        self, parameters: Parameters, optimizer_state: Any, number: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the MEPA (1,) of the validation's subsequences, and how far the schedule is."""
        own = jax.tree.map(lambda leaf: leaf[0], parameters)
        along = run_along(
            lambda atoms: self._network.potential(own, atoms.numbers),
            self._validation, self._starts, self._settings.validation_frames,
        )  # fmt: skip
        stage = int(optimizer_state["stage"])
        columns = {
            "stage": stage, "subsequence_length": self._lengths[stage],
            "test_force_error_eV_per_A": along.force_errors[:, 0].mean(),
            "test_energy_error_meV_per_atom": 1000 * along.energy_errors[:, 0].mean(),
            "learning_rate": float(optimizer_state["rate"]),
            "frames": int(optimizer_state["frames"]), "cpu_s": float(optimizer_state["cpu_s"]),
        }  # fmt: skip
        return np.array([along.force_errors.mean()]), {name: np.array([v]) for name, v in columns.items()}

    def judge(self, parameters: Parameters, optimizer_state: Any, test_loss: np.ndarray) -> Any:
        """Return the state after a test: the best of this S, the learning rate, the stage."""
        settings, state, loss = self._settings, dict(optimizer_state), float(test_loss[0])
        slot = self._lengths[int(state["stage"])] - 1
        if loss < state["best_loss"][slot]:
            state["best"] = jax.tree.map(lambda b, p: b.at[slot].set(p[0]), state["best"], parameters)
            kept = np.array(state["best_loss"])
            kept[slot] = loss
            state["best_loss"] = kept
        if loss < state["least"] * (1 - BETTER) or (np.isinf(state["least"]) and np.isfinite(loss)):
            return {**state, "least": np.float64(loss), "since": np.int64(0)}
        state["since"] = state["since"] + 1
        if state["since"] > settings.plateau_epochs:
            rate = state["rate"] * settings.rate_factor
            state |= {"rate": rate, "since": np.int64(0)}
            if rate <= settings.smallest_rate:
                state |= {
                    "stage": state["stage"] + 1, "rate": np.float64(settings.reset_rate),
                    "least": np.float64(np.inf),
                }  # fmt: skip
        return state

    def finished(self, optimizer_state: Any) -> bool:
        """Return whether the last stage has converged, or the frames are spent."""
        spent = self._most_frames is not None and int(optimizer_state["frames"]) >= self._most_frames
        return spent or int(optimizer_state["stage"]) >= len(self._lengths)


def fit(
    network: Network,
    settings: RolloutTraining,
    train: Sequence[LabelledTrajectory],
    validation: Sequence[LabelledTrajectory],
    lengths: Sequence[int],
    checkpoint: Path,
    limit: TimeLimit,
    warm: Warm | None = None,
    most_frames: int | None = None,
) -> Progress:
    """Train one network through the stages ``lengths``; goes on from ``checkpoint``, to the same numbers.

    Raises as ``frazil.learning.fit.fit`` does, and UserError for trajectories that are too short.
    """
    trained = DynamicTraining(network, settings, train, validation, lengths, warm, most_frames)
    return training.fit(
        trained, settings.n_epochs, settings.n_epochs, settings.checkpoint_every, checkpoint, limit
    )


def best_of(progress: Progress, length: int) -> Parameters:
    """Return the parameters (one model) of the best test loss among stages of subsequences of ``length``."""
    return jax.tree.map(lambda leaf: leaf[length - 1], progress.optimizer_state["best"])


def warm_from(progress: Progress, settings: RolloutTraining) -> Warm:
    """Return where the next stage goes on from: the last parameters, the moments, the reset rate."""
    return Warm(progress.parameters, progress.optimizer_state["moments"], settings.reset_rate)


def _fingerprint(
    network: Network,
    settings: RolloutTraining,
    train: Sequence[LabelledTrajectory],
    validation: Sequence[LabelledTrajectory],
    lengths: Sequence[int],
    warm: Warm | None,
    most_frames: int | None,
) -> str:
    """Return what identifies a training: the settings, the data in their order, and the start."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves((warm.parameters, warm.moments) if warm else None):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    for trajectory in (*train, *validation):
        arrays = (
            trajectory.atoms.numbers, trajectory.atoms.get_masses(), trajectory.mobile,
            trajectory.timestep_fs, trajectory.positions, trajectory.velocities, trajectory.forces,
            trajectory.energies, trajectory.breaks,
        )  # fmt: skip
        for array in arrays:
            digest.update(np.ascontiguousarray(array, float).tobytes())
    return key_of(
        network=dict(network.identity()), settings=asdict(settings), data=digest.hexdigest(),
        stages=list(lengths), most_frames=most_frames, n_train=len(train), rate=warm.rate if warm else None,
    )  # fmt: skip
