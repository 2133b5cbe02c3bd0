"""The step that says how good the committee is before anything runs with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
import pandas
from ase.data import atomic_numbers

from frazil.data.frames import read_frames
from frazil.data.split import SUBSETS
from frazil.errors import UserError
from frazil.experiments.sticking.committee import (
    SPREAD_LIMIT_eV_per_A,
    calibration,
    deviation,
    errors_table,
    models_table,
    predicted,
    relevant_spread,
    scan_minima,
    scans_table,
    training_table,
)
from frazil.experiments.sticking.driver import driver
from frazil.experiments.sticking.tables import DEVIATION, SCAN_MINIMA, SCANS, TRAINING_SET
from frazil.learning.errors import COMMITTEE, ERRORS, MEAN, MODELS, calibration_factor
from frazil.md.driven_lammps import write_beside
from frazil.potentials.adsorption import committee_of
from frazil.potentials.folder import INTERACTION
from frazil.potentials.gmnn.architecture import member as member_of
from frazil.report.section import Figure, Gate, Result, Section, Table
from frazil.tables import Table as Declared

LEARNING_CURVE = Declared("learning_curve", "epoch member", order="given", made_by="train_gmnn.py")
SCAN_LIMIT_K = 20.0
"""The paper: 14 K between the minima of its scan, 10–20 K in others."""


def validate(model: Path, curves: Path | None, dataset: Path, scans: Path | None, out: Path) -> None:
    """Write tables, figures and the report's section of a committee into ``out``.

    ``model``: folder of ``train_gmnn.py``; ``curves``: of molecules, where interactions were trained, else
    empty; ``scans``: None where nothing is bound that could be pulled off. Raises UserError for a committee
    of one, whose error is not known, and for missing or foreign files.
    """
    from frazil.experiments.sticking.committee_figures import draw

    source = driver(model, curves or "").source
    if source.model is None or source.n_members < 2:
        raise UserError(
            "a committee of one; its error is not known: train two members or more (--n-members 3)"
        )
    tested_on = read_frames([scans]) if scans else []
    learnt = str(source.model.metadata["label_level"]).removesuffix(INTERACTION)
    tested = tested_on[0].info.get("label_level", "no stated level") if tested_on else learnt
    if tested != learnt:
        raise UserError(
            f"{scans} is labelled at {tested}, the committee at {learnt}; give scans of its level"
        )
    committee = committee_of(source.model, source.adsorbate)
    files = {subset: dataset / f"{subset}.extxyz" for subset in SUBSETS}
    subsets = {
        subset: predicted(committee, read_frames([file]))
        for subset, file in files.items()
        if file.is_file() and file.stat().st_size
    }
    if "validation" not in subsets:
        raise UserError(f"{dataset} has no frames to validate on; give a folder of prepare_dataset.py")
    errors = errors_table(subsets)
    n_parameters = 0
    for model_of_it in (source.model, source.adsorbate) if source.adsorbate else (source.model,):
        one = member_of(model_of_it.parameters, 0)
        n_parameters += sum(np.size(one[name]) for name in ("embedding", "scale", "shift"))
        n_parameters += sum(np.size(leaf) for leaf in jax.tree.leaves(one["layers"]))
    found = scans_table(committee, tested_on, source.curves) if scans else None
    tables = {
        "models": models_table(errors, source.model.metadata["settings"]["seed"], source.n_members,
        n_parameters),
        "errors": errors, "committee": calibration(subsets), "deviation": deviation(subsets["validation"]),
    }  # fmt: skip
    if found is not None:
        tables |= {"scans": found, "scan_minima": scan_minima(found), "training_set": training_table(subsets)}
    for table in (MODELS, ERRORS, COMMITTEE, DEVIATION, SCANS, SCAN_MINIMA, TRAINING_SET):
        if table.name in tables:
            table.write(tables[table.name], out)
    learning = LEARNING_CURVE.read(model)
    figures = draw(subsets["validation"], tables["committee"], found, tables["deviation"], learning, out)
    shown = subsets["validation"]
    write_beside(out / "committee", (tested_on or shown.frames)[0])  # the model in LAMMPS
    section(tables, relevant_spread(shown), bool(source.curves), figures, shown.is_h2_and_co).write(out)


SCANS_TOLD = (
    "A well that is 20 K too deep or too shallow is wrong by a tenth of what binds H2. The paper's own "
    "model is off by 14 K there.",
    "Label more frames near the wells (sticking.training_scale), or train longer.",
)
SPREAD_TOLD = (
    "Members that differ by more than 1 kcal/mol/Å where H2 meets the surface have not learned that part; "
    "the paper's three models agree to that.",
    "Label more frames with H2, or add rounds of learning.",
)
SPREAD_OF_ICE_TOLD = (
    "Members that differ by more than 1 kcal/mol/Å in frames that none has seen have not learned the ice, or "
    "the bond that is excited.",
    "Label more frames (frames.n_thermal, n_excited, n_contacts, n_compressed), or train longer.",
)


def section(
    tables: Mapping[str, pandas.DataFrame], spread: float, apart: bool, figures: Sequence[Figure],
    published: bool,
) -> Section:  # fmt: skip
    """Return the report's section on the committee; ``published``: it is one of H2 and CO."""
    errors, minima = tables["errors"], tables.get("scan_minima")
    own = errors[(errors["model_id"] == MEAN) & (errors["subset"] == "validation")]
    rmse = {(row["quantity"], row["species"]): row["rmse"] for row in own.to_dict("records")}
    among = " in frames with H2" if published else ""
    gates = [
        Gate.at_most(
            f"members' spread of forces{among} (RMS, eV/Å)", spread, SPREAD_LIMIT_eV_per_A,
            "the paper: about 1 kcal/mol/Å",
        ).because(*(SPREAD_TOLD if minima is not None else SPREAD_OF_ICE_TOLD)),
    ]  # fmt: skip
    found = {str(s) for name, s in rmse if name == "force"} & set(atomic_numbers)
    species = sorted(found, key=["H", "C", "O", *atomic_numbers].index)
    forces = ", ".join(f"{rmse['force', s]:.4f} ({s})" for s in species)
    headline, title = f"Validation force RMSE of the committee's mean {forces} eV/Å", "Potential"
    trained = (
        f"{len(tables['models'])} GM-NN models, side by side from different random weights; the mean over "
        "them is called gmnn-mean. {} frames choose the epoch, validation frames are for this only."
    )
    captions = {
        "models": "The members: errors (RMSE) on each subset.",
        "errors": "All errors.", "committee": "The members' spread against the true error.",
        "deviation": "The members' spread and their mean's error by the distance to another molecule.",
    }  # fmt: skip
    results: list[Result] = []
    if minima is None:
        text, headline = [trained.format("Test")], f"{headline}."
    else:
        worst = float(minima["difference_K"].abs().max())
        ice, shot = ("CO", "H2") if published else ("molecules", "the projectile")
        title = "Potential for H2 on CO" if published else "Potential for sticking"
        headline += f"; minima of rigid scans within {worst:.0f} K of the labels."
        gates.insert(
            0,
            Gate.at_most(
                "rigid scans, largest difference of the minima (K)", worst, SCAN_LIMIT_K,
                "the paper: 14 K, others 10 to 20 K",
            ).because(*SCANS_TOLD),
        )  # fmt: skip
        explored = (
            "Frames made here are explored with GFN-FF as in the paper's Table 1, counts scaled, bond "
            "lengths drawn anew; test"
        )
        text = [
            trained.format(explored),
            f"Scans: where they are made here, {shot} is pulled off a cluster of 10 {ice}, nothing else "
            "moving; the cluster is none of those trained on. Energies are counted from the farthest point.",
        ]
        set_of = "The paper's Table 1, and the frames of this data set."
        first = {"training_set": set_of, "models": captions.pop("models"), "scan_minima": "Rigid scans."}
        captions = first | captions
        results = [Result("Wells of rigid scans, largest error", worst, "K", n=len(minima), of="scans")]
    factors = [
        f"{calibration_factor(tables['committee'], 'validation', quantity):.2g} ({name})"
        for quantity, name in (("energy", "energies"), ("force", "forces"))
    ]
    text.append(
        f"On validation frames the error of the mean is {' and '.join(factors)} times the members' spread."
    )
    if apart:
        text.append(
            "The models hold interactions only: what each molecule does alone was taken out of the labels "
            "and is added back exactly (molecular_curves.csv). Errors of the interaction are those of the "
            "whole."
        )
    return Section(
        title=title,
        headline=headline,
        text=text,
        gates=gates,
        figures=list(figures),
        tables=[Table(f"{name}.csv", caption) for name, caption in captions.items()],
        results=results,
        references=["@zaverkin2020: Gaussian moments"],
    )
