"""The process that trains: DeePMD-kit's own ``train``, ``freeze`` and ``compress``, one import for all three.

TensorFlow takes five seconds of CPU to import, so the three commands share one process. A SIGTERM saves a
checkpoint at the step that is reached and exits with 75; each finished checkpoint is written down in
``saved.json``, so that a restart never reads one that a kill cut short.
"""

import argparse
import ctypes
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from frazil.errors import EXIT_OUT_OF_TIME
from frazil.files import write_atomic

INPUT, CURVE, CHECKPOINT = "input.json", "learning_curve.out", "model.ckpt"
SAVED, FROZEN, COMPRESSED, RESULT = "saved.json", "frozen.pb", "compressed.pb", "result.json"


def command(restart: str | None, compress: bool) -> list[str]:
    """Return the command that trains in its working directory, from a checkpoint's prefix or from scratch."""
    words = [sys.executable, "-m", __name__]
    if restart is not None:
        words += ["--restart", restart]
    return [*words, "--compress"] if compress else words


def main() -> None:
    """Train, freeze and (when asked) compress in the working directory, which holds input and data."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--restart")
    parser.add_argument("--compress", action="store_true")
    options = parser.parse_args()
    _end_with_parent()
    from deepmd.tf.entrypoints.main import main as dp

    _save_when_terminated()
    start = ["--restart", options.restart] if options.restart else []
    dp(["train", INPUT, *start, "--skip-neighbor-stat", "-o", "input.full.json"])
    dp(["freeze", "-c", ".", "-o", FROZEN])
    if options.compress:
        dp(["compress", "-i", FROZEN, "-o", COMPRESSED, "-t", INPUT])
    with write_atomic(RESULT) as partial:
        partial.write_text(json.dumps({"n_parameters": _count_parameters()}))


def _end_with_parent() -> None:
    """Ask Linux for a SIGTERM should the parent be killed, so that no training goes on unseen."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def _save_when_terminated() -> None:
    from deepmd.tf.train.trainer import DPTrainer

    terminated: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: terminated.append(number))
    save: Callable[[Any, int], None] = DPTrainer.save_checkpoint
    feed: Callable[..., dict[Any, Any]] = DPTrainer.get_feed_dict

    def save_and_note(trainer: Any, step: int) -> None:
        save(trainer, step)
        if not trainer.is_compress:
            with write_atomic(SAVED) as partial:
                partial.write_text(json.dumps({"step": int(step), "prefix": f"{CHECKPOINT}-{step}"}))

    def feed_or_stop(trainer: Any, batch: dict[str, Any], is_training: bool) -> dict[Any, Any]:
        if terminated:
            save_and_note(trainer, int(trainer.cur_batch))
            sys.exit(EXIT_OUT_OF_TIME)
        return feed(trainer, batch, is_training)

    DPTrainer.save_checkpoint = save_and_note
    DPTrainer.get_feed_dict = feed_or_stop


def _count_parameters() -> int:
    """Return the number of trainable parameters in the last checkpoint (no Adam moments, no statistics)."""
    import tensorflow

    prefix = json.loads(Path(SAVED).read_text())["prefix"]
    shapes = tensorflow.train.load_checkpoint(prefix).get_variable_to_shape_map()
    trained = {name.removesuffix("/Adam") for name in shapes if name.endswith("/Adam")}
    sizes = (tensorflow.TensorShape(shapes[name]).num_elements() for name in trained)
    return int(sum(sizes))


if __name__ == "__main__":
    main()
