"""Training DeePMD-kit models (descriptor se_e2_a): from a labelled dataset to a model directory."""

import contextlib
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pandas
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.checkpoints import Claim, read_kept, seal, sealed, warn_damaged
from frazil.cli import progress
from frazil.data.deepmd_npy import to_deepmd
from frazil.data.frames import read_co_frames
from frazil.errors import EXIT_OUT_OF_TIME, OutOfTime, UserError
from frazil.files import partial_of, sha256_of, sync, write_atomic
from frazil.learning.deepmd_input import check_neighbours, to_input, type_map
from frazil.learning.deepmd_process import (
    COMPRESSED,
    CURVE,
    FROZEN,
    INPUT,
    RESULT,
    SAVED,
    command,
    digest_of,
)
from frazil.learning.settings import DeepmdTraining
from frazil.potentials.deepmd import take_away
from frazil.potentials.deepmd.bond_baseline import TABLE, BondBaseline
from frazil.potentials.deepmd.model import (
    FROZEN_FILES,
    MODEL_FILES,
    SINGLE_THREAD,
    UNTAGGED_TYPE_MAP,
    evaluate,
)
from frazil.potentials.folder import describe
from frazil.provenance import versions
from frazil.seeds import derived_seed
from frazil.systems.co import deepmd_types
from frazil.systems.diatomic import BondCurve

COMPRESSION_TOLERANCE_EV_PER_A = 1e-6
_CHECKED_FRAMES = 10
_POLL_S = 0.5


def train(
    dataset: Path,
    out: Path,
    checkpoints: Path,
    model_id: int,
    campaign_seed: int,
    settings: DeepmdTraining,
    excited_types: bool = True,
    compress: bool = True,
    bond_curve: Path | None = None,
) -> None:
    """Train one model and write its directory; one that was cut short goes on from its checkpoint.

    It ends with the bytes of a training that nothing has interrupted. A model that is finished is kept, and
    copied out when it is asked for again.

    Args:
        dataset: directory with ``train.extxyz`` and ``test.extxyz``, both labelled.
        out: model directory: ``model.pb`` (compressed or frozen), ``frozen.pb``, ``model.json``,
            ``learning_curve.csv``; of a residual model ``without_bonds.network``,
            ``without_bonds_frozen.network``, ``bond.table``, and what runs them together (``take_away``).
        checkpoints: a folder that outlives the task; each training has one of its own there, named by the
            digest of all its inputs.
        model_id: number of the model in its committee.
        campaign_seed: with the model's number it gives the seed of its weights and of the data's order.
        settings: hyper-parameters.
        excited_types: whether the excited molecule's atoms have types of their own (X1, X2).
        compress: tabulate the embedding net, checked to leave the forces as they are.
        bond_curve: ``bond_curves.csv``; its labels' curve is taken out of the training data and kept as the
            model's bond baseline.

    Raises:
        UserError: no labelled frames, ``sel`` below the number of neighbours, no such bond curve, a
            training that diverged, a compressed model that differs from the frozen one.
        OutOfTime: SIGTERM came; the checkpoint is saved.
        RuntimeError: DeePMD-kit failed; the message holds the end of its log.
    """
    start = time.monotonic()
    frames = {
        subset: read_co_frames([dataset / f"{subset}.extxyz"], cutoff_A=settings.cutoff_A)
        for subset in ("train", "test")
    }
    check_neighbours([*frames["train"], *frames["test"]], settings)
    data_sha256 = sha256_of(dataset / "train.extxyz", dataset / "test.extxyz")
    seed = derived_seed(campaign_seed, "deepmd", model_id)
    content = to_input(settings, seed, excited_types)
    bonds = None if bond_curve is None else BondBaseline.of(BondCurve.read(bond_curve))
    inputs = [content, data_sha256, compress, versions(), bond_curve and sha256_of(bond_curve)]
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]

    work = checkpoints.resolve() / f"deepmd-{digest}"
    training, finished = work / "training", work / "model"
    with Claim(work):
        if not sealed(finished):
            Claim(training).close()  # the process of a killed task may still be saving its checkpoint
            with write_atomic(training / INPUT) as partial:
                partial.write_text(json.dumps(content, indent=1))
            for subset, some in frames.items():
                shutil.rmtree(training / "data" / subset, ignore_errors=True)
                systems = to_deepmd(
                    [_excited_first(frame, bonds, excited_types) for frame in some],
                    training / "data" / subset,
                    excited_types=excited_types,
                )
                for system in systems:
                    (system / "type_map.raw").write_text("\n".join(type_map(excited_types)) + "\n")
            result = _run(training, settings.n_steps, compress)
            curve = read_learning_curve(training / CURVE)
            if not np.isfinite(curve.to_numpy()).all():
                raise UserError(
                    f"the training of model {model_id} diverged (its learning curve holds a NaN); "
                    f"lower learning_rate_start ({settings.learning_rate_start:g})"
                )
            if compress:
                _check_compression(training, frames["train"])
            description = {
                "model_id": model_id, "members": 1, "seed": seed, "residual": "bonds" if bonds else None,
                "level": str(frames["train"][0].info.get("label_level", "not stated")),
                "type_map": type_map(excited_types),
                **result, **asdict(settings), "compressed": compress,
                "bond_baseline": bonds is not None, "n_train_frames": len(frames["train"]),
                "n_test_frames": len(frames["test"]), "data_sha256": data_sha256, "versions": versions(),
                "wall_s": round(time.monotonic() - start, 1), "input": content,
            }  # fmt: skip
            _write_model(
                finished, training, curve, description, FROZEN if not compress else COMPRESSED, bonds,
                frames["train"][0],
            )  # fmt: skip
            seal(finished)
        shutil.rmtree(training, ignore_errors=True)
        _copy(finished, out)


def read_learning_curve(file: Path) -> pandas.DataFrame:
    """Return DeePMD-kit's learning curve with units.

    The errors are those of a few batches on the fly, not of whole subsets.
    """
    raw = pandas.read_csv(file, sep=r"\s+", comment="#", header=None)
    columns = {"step": raw[0], "learning_rate": raw[7]}
    for subset, shift in (("train", 1), ("test", 0)):
        columns |= {
            f"{subset}_loss": raw[1 + shift],
            f"{subset}_energy_rmse_meV_per_atom": 1000 * raw[3 + shift],
            f"{subset}_force_rmse_eV_per_A": raw[5 + shift],
        }
    return pandas.DataFrame(columns)


def _excited_first(frame: ase.Atoms, bonds: BondBaseline | None, excited_types: bool) -> ase.Atoms:
    """Return the labelled frame, tagged atoms first, so that whoever is excited, it is the same system.

    With a baseline its labels are what the bonds leave.
    """
    energy, forces = frame.get_potential_energy(), frame.get_forces()
    if bonds is not None:
        tagged = (deepmd_types(frame)[::2] >= len(UNTAGGED_TYPE_MAP)) & excited_types
        bond_energy, bond_forces = bonds.energies_and_forces(frame.positions[None], tagged)
        energy, forces = energy - bond_energy[0], forces - bond_forces[0]
    order = np.argsort(-frame.arrays.get("excited", np.zeros(len(frame))), kind="stable")
    ordered = frame[order]
    ordered.calc = SinglePointCalculator(ordered, energy=energy, forces=forces[order])
    return ordered


def _run(work: Path, n_steps: int, compress: bool) -> dict[str, Any]:
    """Train, freeze and compress in the folder ``work``, from its last checkpoint on; return the result."""
    saved = _saved(work)
    first, restart = (saved["step"], saved["prefix"]) if saved else (0, None)
    (work / CURVE).write_text(saved["curve"] if saved else "")
    log = work / "train.log"
    with open(log, "ab") as output, _terminations() as terminated:
        process = subprocess.Popen(
            command(restart, compress),
            cwd=work, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env={**SINGLE_THREAD, **os.environ}, start_new_session=True,
        )  # fmt: skip
        try:
            steps = _steps(process, work / CURVE, first, terminated)
            for _ in progress(steps, n_steps - first, "training"):
                pass
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode == EXIT_OUT_OF_TIME or (terminated and process.returncode):
        reached = (_saved(work) or {"step": 0})["step"]
        raise OutOfTime(f"training stopped at step {reached} of {n_steps}; run it again to go on from there")
    if process.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise RuntimeError(f"DeePMD-kit ended with {process.returncode}; its last lines:\n{last}")
    result: dict[str, Any] = read_kept(work / RESULT)
    return result


def _saved(work: Path) -> dict[str, Any] | None:
    """Return the last checkpoint that is whole (step, prefix, learning curve); None where there is none."""
    for saved in reversed(read_kept(work / SAVED) or []):
        if digest_of(work, saved["prefix"]) == saved["sha256"]:
            return dict(saved)
        warn_damaged(work / saved["prefix"], "its digest is another")
    return None


def _steps(
    process: subprocess.Popen[bytes], curve: Path, done: int, terminated: Sequence[int]
) -> Iterator[int]:
    told = False
    while True:
        running = process.poll() is None
        if terminated and running and not told:
            process.terminate()
            told = True
        reached = _last_step(curve)
        yield from range(done, reached)
        done = max(done, reached)
        if not running:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_S)


def _last_step(curve: Path) -> int:
    if not curve.exists():
        return 0
    with open(curve, "rb") as file:
        file.seek(max(0, curve.stat().st_size - 400))
        lines = file.read().split(b"\n")[:-1]  # the last may be half written
    words = lines[-1].split() if lines else []
    return int(words[0]) if words and words[0].isdigit() else 0


@contextlib.contextmanager
def _terminations() -> Iterator[list[int]]:
    """Collect SIGTERMs instead of dying of them."""
    terminated: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: terminated.append(number))
    try:
        yield terminated
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_compression(work: Path, frames: Sequence[ase.Atoms]) -> None:
    some = frames[:: math.ceil(len(frames) / _CHECKED_FRAMES)]
    (_, frozen), (_, compressed) = (evaluate(work / name, some) for name in (FROZEN, COMPRESSED))
    difference = max(float(np.abs(a - b).max()) for a, b in zip(frozen, compressed, strict=True))
    if not difference <= COMPRESSION_TOLERANCE_EV_PER_A:
        raise UserError(
            f"the compressed model's forces differ from the frozen one's by {difference:.1e} eV/Å; at most "
            f"{COMPRESSION_TOLERANCE_EV_PER_A:g} is allowed; train with --compress false"
        )


def _write_model(
    out: Path,
    work: Path,
    curve: pandas.DataFrame,
    description: dict[str, Any],
    file: str,
    bonds: BondBaseline | None,
    example: ase.Atoms,
) -> None:
    partial = partial_of(out)
    partial.mkdir()
    try:
        for source, names in ((file, MODEL_FILES), (FROZEN, FROZEN_FILES)):
            shutil.copyfile(work / source, partial / names[bonds is not None])
        if bonds is not None:
            bonds.write_beside(partial / MODEL_FILES[1])
            take_away.write_beside(partial, bonds, description["type_map"], example)
        curve.to_csv(partial / "learning_curve.csv", index=False, float_format="%.6g")
        files = [MODEL_FILES[bonds is not None], FROZEN_FILES[bonds is not None]]
        describe(partial, "deepmd", files + [TABLE] * (bonds is not None), **description)
        _replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copy(model: Path, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(out)
    try:
        shutil.copytree(model, partial)
        _replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace(partial: Path, out: Path) -> None:
    for file in partial.iterdir():
        sync(file)
    if out.exists():
        shutil.rmtree(out)
    os.replace(partial, out)
    sync(out.parent)
