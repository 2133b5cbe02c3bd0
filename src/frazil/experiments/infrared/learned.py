"""What the rounds of active learning have learned, put together: the committee, its frames and the tables."""

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas

from frazil.data.frames import write_frames
from frazil.data.split import labelled_frames
from frazil.errors import UserError
from frazil.experiments.infrared.learning import (
    LIKE_OTHERS,
    OF_ROUND,
    PROPOSED,
    Round,
    errors_on,
    folder_of,
    known_frames,
    pausing_limits,
    references_at,
)
from frazil.experiments.infrared.settings import Learning
from frazil.experiments.infrared.tables import (
    ACTIVE_LEARNING,
    CALIBRATION,
    HARMONIC_ROUNDS,
    KEPT_ROUNDS,
    ROUNDS,
)
from frazil.files import write_atomic
from frazil.md.driven_lammps import write_beside
from frazil.potentials.gmnn.committee import write_folder
from frazil.potentials.gmnn.files import read_model

LABELLED = "labelled"
"""Fate of a replica whose frame was labelled and is trained on."""


def gather_learned(
    minima: Path,
    rounds: Sequence[Path],
    frames: Sequence[Path],
    failed: Sequence[Path],
    settings: Learning,
    out: Path,
) -> None:
    """Write model.h5, frames.extxyz, test.extxyz and the tables of the rounds into ``out``, and what repeats
    a replica of theirs (``rounds/``).

    Args:
        minima: file of ``find_minima``.
        rounds: folders of ``learn_round``, in order.
        frames: labelled frames: those to begin with, then those of each round; the last round's are the test
            set, on which the errors of every round are measured.
        failed: tables of the frames without a label, of each round.
        settings: how the rounds went.
        out: folder to write.

    Raises:
        UserError: files that do not belong to the rounds.
    """
    if len(frames) not in (len(rounds), len(rounds) + 1) or len(failed) != len(frames) - 1:
        raise UserError(
            f"{len(rounds)} rounds, {len(frames)} files of frames and {len(failed)} of failures; needed: the "
            "frames to begin with, and those of each round with their failures"
        )
    references = references_at(minima, settings.level)
    known, others = known_frames(frames[: len(rounds)], references, settings)
    test = [
        atoms
        for file in frames[len(rounds) :]
        for atoms in labelled_frames(file, settings.level)
        if "dipole" in atoms.calc.results
    ]
    states = [Round(**state) for state in json.loads((rounds[-1] / "judged.json").read_text())]
    visits = []
    for number in range(len(rounds) - 1):
        unlabelled = pandas.read_csv(failed[number], dtype=str)
        reasons = dict(zip(unlabelled["trajectory_id"], unlabelled["reason"], strict=True))
        reasons |= others[number + 1]
        table = pandas.read_csv(rounds[number] / "visits.csv", keep_default_na=False)
        proposed = table["fate"] == PROPOSED
        table.loc[proposed, "fate"] = [reasons.get(i, LABELLED) for i in table.loc[proposed, "trajectory_id"]]
        table["selected"] = (table["fate"] == LABELLED).astype(int)
        visits.append(table)
    models = [read_model(folder / "model.h5") for folder in rounds]
    rows, calibration = [], []
    for number, (state, model) in enumerate(zip(states, models, strict=True)):
        limits = pausing_limits(settings, state)
        row = {
            "round": number,
            "n_train": state.n_train,
            "harmonic_mae_cm1": state.harmonic_mae_cm1,
            **errors_on(model, test),
            "force_factor": state.force_factor,
            "energy_factor": state.energy_factor,
            "limit_force_std_eV_per_A": _finite(limits.force_eV_per_A),
            "limit_energy_std_meV_per_atom": _finite(1000 * limits.energy_eV_per_atom),
        }
        if number < len(visits):
            visited = visits[number]
            row |= {
                "n_replicas": len(visited),
                "n_uncertain": int((visited["outcome"] == "uncertain").sum()),
                "n_unphysical": int(visited["outcome"].isin(["unphysical", "non-finite", "crowded"]).sum()),
                "n_labelled": int(visited["selected"].sum()),
                "n_failed": int((~visited["fate"].isin(["", LABELLED, LIKE_OTHERS])).sum()),
            }
        rows.append(row)
        calibration += [
            (number, spread, error, 1000 * energy_spread, 1000 * energy_error)
            for spread, error, energy_spread, energy_error in state.spreads
        ]
    ROUNDS.write(pandas.DataFrame(rows), out)
    ACTIVE_LEARNING.write(pandas.concat(visits) if visits else ACTIVE_LEARNING.frame([]), out)
    CALIBRATION.write(CALIBRATION.frame(calibration), out)
    HARMONIC_ROUNDS.write(
        pandas.DataFrame([{"round": n, **state.harmonic_of} for n, state in enumerate(states)]), out
    )
    for number, folder in enumerate(rounds[:-1]):
        for name in OF_ROUND:
            with write_atomic(out / KEPT_ROUNDS / folder_of(number) / name) as partial:
                shutil.copyfile(folder / name, partial)
    write_frames(out / "frames.extxyz", known)
    write_frames(out / "test.extxyz", test)
    write_beside(out, known[0])  # the model in LAMMPS
    last = models[-1]
    write_folder(out, last.architecture, last.parameters, {**last.metadata, "round": len(rounds) - 1})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
