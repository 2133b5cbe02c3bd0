"""The process that trains: DeePMD-kit's own ``train``, ``freeze`` and ``compress``, one import for all three.

TensorFlow takes five seconds of CPU to import, so the three commands share one process. A SIGTERM saves a
checkpoint at the step that is reached and exits with 75. The last two checkpoints are written down in
``saved.json``, with their digest and the learning curve up to there, so that a restart never takes one that a
kill or a crash cut short. It goes on to the very model of a training that nothing has interrupted.
"""

import argparse
import ctypes
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from frazil.checkpoints import Claim, read_kept, write_kept
from frazil.errors import EXIT_OUT_OF_TIME
from frazil.files import sha256_of

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
    held = Claim(Path())
    from deepmd.tf.entrypoints.main import main as dp

    _save_when_terminated()
    _replay_when_restarted()
    start = ["--restart", options.restart] if options.restart else []
    dp(["train", INPUT, *start, "--skip-neighbor-stat", "-o", "input.full.json"])
    last = read_kept(Path(SAVED))[-1]["prefix"]
    dp(["freeze", "-c", last, "-o", FROZEN])
    _order(FROZEN)
    if options.compress:
        dp(["compress", "-i", FROZEN, "-o", COMPRESSED, "-t", INPUT])
        _order(COMPRESSED)
    write_kept(Path(RESULT), {"n_parameters": _count_parameters(last)})
    held.close()


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
            _note(int(step))

    def feed_or_stop(trainer: Any, batch: dict[str, Any], is_training: bool) -> dict[Any, Any]:
        if terminated and is_training:  # else the learning curve would miss a row
            save_and_note(trainer, int(trainer.cur_batch))
            sys.exit(EXIT_OUT_OF_TIME)
        return feed(trainer, batch, is_training)

    DPTrainer.save_checkpoint = save_and_note
    DPTrainer.get_feed_dict = feed_or_stop


def _note(step: int) -> None:
    """Write down the checkpoint of a step; keep the one before it, and no other."""
    new = {"step": step, "prefix": f"{CHECKPOINT}-{step}", "curve": Path(CURVE).read_text()}
    new["sha256"] = digest_of(Path(), str(new["prefix"]))
    earlier = [saved for saved in read_kept(Path(SAVED)) or [] if saved["step"] < step]
    kept = [*earlier[-1:], new]
    write_kept(Path(SAVED), kept)
    for file in Path().glob(f"{CHECKPOINT}-*"):
        if file.stem not in [saved["prefix"] for saved in kept]:
            file.unlink()


def digest_of(folder: Path, prefix: str) -> str:
    """Return the digest of a checkpoint's files."""
    return sha256_of(*sorted(folder.glob(f"{prefix}.*")))


def _replay_when_restarted() -> None:
    """Let a training that goes on from step N see the data that it would have seen without the interruption.

    DeePMD-kit shuffles its data by one generator, which a restart seeds anew. So all that step N had drawn is
    drawn again, in the order of ``DPTrainer.train``: the statistics of the data, the batch that tells the
    data's types, the first step's, every next step's one step ahead, and the test batches of the learning
    curve. What the restart itself draws beyond that is given without drawing.
    """
    from deepmd.tf.train.trainer import DPTrainer

    build: Callable[..., None] = DPTrainer.build
    train: Callable[..., None] = DPTrainer.train

    def build_with_statistics(trainer: Any, data: Any, *given: Any, **named: Any) -> None:
        if trainer.run_opt.init_mode == "restart" and not trainer.is_compress:
            trainer.model.data_stat(data)
        build(trainer, data, *given, **named)

    def train_from_there(trainer: Any, train_data: Any, valid_data: Any) -> None:
        if trainer.run_opt.init_mode == "restart":
            done = int(trainer.run_opt.restart.rpartition("-")[2])
            n_test = trainer.valid_numb_batch
            for _ in range(2):
                batch = train_data.get_batch()
            for step in range(done + 1):
                if step:
                    batch = train_data.get_batch()
                if step % trainer.disp_freq == 0:
                    for _ in range(n_test):
                        valid_data.get_batch()
            _give_first(train_data, [batch, batch])
            _give_first(valid_data, [None] * n_test)
            # The row of this step is written already: pass over one call, and no other.
            trainer.valid_on_the_fly = lambda *_, **__: vars(trainer).pop("valid_on_the_fly")
        train(trainer, train_data, valid_data)

    DPTrainer.build = build_with_statistics
    DPTrainer.train = train_from_there


def _give_first(data: Any, batches: list[Any]) -> None:
    """Let a data system hand out these batches before any that it draws."""
    draw = data.get_batch

    def given_or_drawn() -> Any:
        return batches.pop(0) if batches else draw()

    data.get_batch = given_or_drawn


def _order(graph: str) -> None:
    """Write a graph's file again, its attributes sorted: TensorFlow's order is another each time."""
    from tensorflow.compat.v1 import GraphDef

    content = GraphDef.FromString(Path(graph).read_bytes())
    Path(graph).write_bytes(content.SerializeToString(deterministic=True))


def _count_parameters(prefix: str) -> int:
    """Return the number of trainable parameters in a checkpoint (no Adam moments, no statistics)."""
    import tensorflow

    shapes = tensorflow.train.load_checkpoint(prefix).get_variable_to_shape_map()
    trained = {name.removesuffix("/Adam") for name in shapes if name.endswith("/Adam")}
    sizes = (tensorflow.TensorShape(shapes[name]).num_elements() for name in trained)
    return int(sum(sizes))


if __name__ == "__main__":
    main()
