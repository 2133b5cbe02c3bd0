"""Choice of the best model of a committee, and its section of the report."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas

from frazil.experiments.photodesorption.committee import (
    RULE,
    Committee,
    beside_paper,
    calibration,
    exploration_rounds,
    models_table,
    read_committee,
)
from frazil.experiments.photodesorption.tables import ERRORS_BESIDE_PAPER, EXPLORATIONS
from frazil.learning.deepmd import COMPRESSION_TOLERANCE_EV_PER_A
from frazil.learning.errors import COMMITTEE, ERRORS, MODELS
from frazil.report.section import Figure, Gate, Result, Section, Table

LARGEST_FORCE_RMSE_EV_PER_A = 0.05
MEMBERS = "members"
"""Folder in ``potential/`` with every model of the committee, each beside its bond curves (CSV)."""


def member_of(potential: Path, model_id: str) -> Path:
    """Return the folder of a model of the committee in the results; its curves are beside it (.csv)."""
    return potential / MEMBERS / f"model_{model_id}"


def select_model(
    models: Sequence[Path],
    evaluations: Sequence[Path],
    explorations: Sequence[Path],
    reference: Path | None,
    out: Path,
) -> None:
    """Write ``potential/``: tables of models and errors, figures, section, and a copy of the selected model.

    Args:
        models: model directories.
        evaluations: directories of ``evaluate_model``, in any order; they are matched by the model's number.
        explorations: ``exploration.csv`` of each round, perhaps none.
        reference: table of the paper's values, to print beside.
        out: directory to write.

    Raises:
        UserError: a model without evaluation or the reverse, two models of one number, missing files.
    """
    from frazil.experiments.photodesorption.committee_figures import draw

    committee = read_committee(models, evaluations)
    out.mkdir(parents=True, exist_ok=True)
    spread = calibration(committee)
    rounds = exploration_rounds(explorations)
    written = [
        (MODELS, models_table(committee)), (ERRORS, committee.errors), (COMMITTEE, spread),
        (EXPLORATIONS, rounds), (ERRORS_BESIDE_PAPER, beside_paper(committee, reference)),
    ]  # fmt: skip
    optional = (EXPLORATIONS, ERRORS_BESIDE_PAPER)
    tables = {t.name: content for t, content in written if len(content) or t not in optional}
    for table, content in written:
        if table.name in tables:
            table.write(content, out)
    selected = out / "selected"
    shutil.rmtree(selected, ignore_errors=True)
    shutil.copytree(committee.directories[committee.best], selected)
    shutil.copyfile(committee.evaluations[committee.best] / "bond_curves.csv", out / "bond_curves.csv")
    members = out / MEMBERS
    shutil.rmtree(members, ignore_errors=True)
    for number, described in enumerate(committee.descriptions):
        own = member_of(out, str(described["model_id"]))
        shutil.copytree(committee.directories[number], own)
        shutil.copyfile(committee.evaluations[number] / "bond_curves.csv", members / f"{own.name}.csv")
    section(committee, tables, draw(committee, spread, rounds, out)).write(out)


FORCES = (
    "The paper's model has 0.045 (C) and 0.038 eV/Å (O) on its validation frames; the limit asks for that, "
    "and of X1 and X2, the excited molecule, for more than the paper's 0.186 and 0.154.",
    "Train longer (deepmd.n_steps), explore more rounds (exploration.rounds), or label more frames.",
)
COMPRESSED = (
    "Compression replaces the embedding network by a table. It may not change the dynamics, so the limit is "
    "rounding.",
    "Run the frozen model: --deepmd.compress false.",
)


def section(committee: Committee, tables: dict[str, pandas.DataFrame], figures: list[Figure]) -> Section:
    """Return the report's section on the potential."""
    best, shown = committee.best, committee.shown
    description = committee.descriptions[best]
    by_type = {name: committee.error(best, shown, "force", name) for name in description["type_map"]}
    net = committee.error(best, shown, "force_net_molecule")
    difference = json.loads((committee.evaluations[best] / "evaluation.json").read_text())[
        "compression_difference_eV_per_A"
    ]
    gates = [
        Gate.at_most(
            f"force error of {name}, {shown} frames (RMSE, eV/Å)", by_type[name], LARGEST_FORCE_RMSE_EV_PER_A
        ).because(*FORCES)
        for name in by_type  # X1 and X2 too: they are the excited molecule
    ]
    gates.append(
        Gate.at_most(
            "largest force difference of compressed and frozen model (eV/Å)", difference,
            COMPRESSION_TOLERANCE_EV_PER_A,
            "" if description["compressed"] else "not compressed: the frozen model itself runs",
        ).because(*COMPRESSED)
    )  # fmt: skip
    forces = ", ".join(f"{value:.3f} ({name})" for name, value in by_type.items())
    captions = {
        "models": "The committee: errors (RMSE) on each subset.", "errors": "All errors.",
        "committee": "The committee's spread against the true error.",
        "explorations": "Rounds of exploration: excited runs of the committee before its last training.",
        "errors_beside_paper": f"Errors on the {shown} subset beside the paper's (50 CO, PBE-D3(BJ) labels).",
    }  # fmt: skip
    return Section(
        title="Potential",
        headline=f"DeePMD model {description['model_id']}: {shown} force RMSE {forces} eV/Å.",
        text=[
            f"{len(committee.directories)} DeePMD-kit models (se_e2_a, cutoff "
            f"{description['cutoff_A']:g} Å) that differ by seed only, "
            f"{description['n_train_frames']} training frames, {description['n_steps']} "
            f"steps in the last training. {RULE}",
            f"Errors of the net force on whole molecules (RMSE {net:.3f} eV/Å per component) are shown "
            "because atomic errors are dominated by the stiff bond and hide what moves a molecule.",
        ],
        gates=gates,
        figures=figures,
        tables=[Table(f"{name}.csv", captions[name]) for name in captions if name in tables],
        results=[
            Result(
                f"Force error, {shown} frames (RMSE, worst type of atom)",
                max(by_type.values()),
                "eV/Å",
                n=int(description["n_train_frames"]),
                of="training frames",
            )
        ],
        references=["@zhang2018: DeepPot-SE", "@deepmd2025: DeePMD-kit"],
    )
