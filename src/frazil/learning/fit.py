"""One loop of training for every potential: epochs, the best on test, checkpoints, exact resume.

What is trained says how (``Trainable``): its start, one epoch, its errors on the test set. The members of a
committee are trained side by side; each keeps the parameters of its own best epoch. DeePMD-kit, which trains
in a program of its own, has its loop there (``frazil.learning.deepmd``).
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from frazil.checkpoints import TimeLimit, read_arrays, warn_damaged
from frazil.cli import progress
from frazil.errors import UserError
from frazil.files import write_atomic


class Trainable(Protocol):
    """What ``fit`` trains: ``n_members`` potentials side by side; parameters have a leading axis of members.

    ``fingerprint`` identifies the training: a checkpoint of another one is not gone on from.
    """

    n_members: int
    fingerprint: str

    def start(self) -> tuple[Any, Any]:
        """Return the parameters and the optimizer's state before the first epoch."""

    def epoch(self, parameters: Any, optimizer_state: Any, number: int) -> tuple[Any, Any, np.ndarray]:
        """Return both after an epoch, and the training losses (members,)."""

    def test(
        self, parameters: Any, optimizer_state: Any, number: int
    ) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """Return the test losses (members,), and by column what else stands in the learning curve."""

    def judge(self, parameters: Any, optimizer_state: Any, test_loss: np.ndarray) -> Any:
        """Return the optimizer's state after the test: of a schedule that looks at it; else as it was."""

    def finished(self, optimizer_state: Any) -> bool:
        """Return whether its schedule has come to its end."""


@dataclass
class Progress:
    """Everything that a checkpoint holds; ``curve`` has a row for each epoch and member."""

    parameters: Any
    optimizer_state: Any
    best: Any
    best_loss: np.ndarray
    best_epoch: np.ndarray
    epoch: int
    curve: list[dict[str, Any]]


def fit(
    trained: Trainable,
    n_epochs: int,
    patience: int,
    checkpoint_every: int,
    checkpoint: Path,
    limit: TimeLimit,
) -> Progress:
    """Train until ``n_epochs``, until no member has had a better test loss for ``patience`` epochs, or until
    the schedule of what is trained has ended.

    Goes on from ``checkpoint`` where there is one, to the same numbers as without a stop.

    Raises:
        UserError: the loss is not finite.
        OutOfTime: the limit is reached; the checkpoint is saved.
    """
    members = trained.n_members
    start, optimizer_state = trained.start()
    state = Progress(start, optimizer_state, start, np.full(members, np.inf), np.zeros(members, int), 0, [])
    state = restore(state, trained.fingerprint, checkpoint) or state
    saved_epoch = state.epoch
    begin = time.monotonic() - (state.curve[-1]["wall_s"] if state.curve else 0.0)
    for epoch in progress(range(state.epoch, n_epochs), n_epochs - state.epoch, "epochs"):
        if epoch - state.best_epoch.max() > patience or trained.finished(state.optimizer_state):
            break
        state.parameters, state.optimizer_state, losses = trained.epoch(
            state.parameters, state.optimizer_state, epoch
        )
        if not np.isfinite(losses).all():
            raise UserError(f"the loss is not finite in epoch {epoch}; lower the learning rate")
        test_loss, columns = trained.test(state.parameters, state.optimizer_state, epoch)
        better = test_loss < state.best_loss
        state.best = jax.tree.map(
            lambda new, old, b=better: jnp.where(b.reshape(-1, *[1] * (new.ndim - 1)), new, old),
            state.parameters,
            state.best,
        )
        state.best_loss = np.where(better, test_loss, state.best_loss)
        state.best_epoch = np.where(better, epoch, state.best_epoch)
        state.optimizer_state = trained.judge(state.parameters, state.optimizer_state, test_loss)
        state.epoch = epoch + 1
        wall_s = time.monotonic() - begin
        for m in range(members):
            row = {"epoch": epoch, "member": m, "train_loss": losses[m], "test_loss": test_loss[m]}
            row |= {name: values[m] for name, values in columns.items()} | {"wall_s": wall_s}
            state.curve.append({name: float(value) for name, value in row.items()})
        if limit.reached or state.epoch % checkpoint_every == 0:
            save(state, trained.fingerprint, checkpoint)
            saved_epoch = state.epoch
        limit.check(f"{saved_epoch} of {n_epochs} epochs are saved")
    if state.epoch > saved_epoch:
        save(state, trained.fingerprint, checkpoint)
    return state


def save(state: Progress, fingerprint: str, path: Path) -> None:
    """Write a checkpoint whole or not at all."""
    arrays = jax.tree.leaves((state.parameters, state.optimizer_state, state.best))
    header = {"fingerprint": fingerprint, "epoch": state.epoch, "curve": state.curve}
    with write_atomic(path) as partial_path, partial_path.open("wb") as file:
        np.savez(
            file,
            *map(np.asarray, arrays),
            best_loss=state.best_loss,
            best_epoch=state.best_epoch,
            header=np.frombuffer(json.dumps(header).encode(), np.uint8),
        )


def restore(template: Progress, fingerprint: str, path: Path) -> Progress | None:
    """Return a checkpoint of the same training; None where there is none, or, with a warning, one that is
    damaged or of another training.
    """
    arrays = read_arrays(path)
    if arrays is None:
        return None
    header = json.loads(arrays["header"].tobytes())
    if header["fingerprint"] != fingerprint:
        warn_damaged(path, "it is of another training")
        return None
    trees = (template.parameters, template.optimizer_state, template.best)
    leaves, shape = jax.tree.flatten(trees)
    read = [jnp.asarray(arrays[f"arr_{i}"]) for i in range(len(leaves))]
    parameters, optimizer_state, best = jax.tree.unflatten(shape, read)
    return Progress(
        *(parameters, optimizer_state, best, arrays["best_loss"], arrays["best_epoch"]),
        header["epoch"],
        header["curve"],
    )
