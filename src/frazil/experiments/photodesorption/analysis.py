"""Step 10: from shards of trajectories to tables, figures, gates and the section of the report."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from frazil.analysis.settings import MODEL_ERROR_SCALE
from frazil.errors import UserError
from frazil.experiments.enough import confidence_of, ended_as
from frazil.experiments.photodesorption.initial_states import joined, read_initial_states
from frazil.experiments.photodesorption.results import Results, Truth
from frazil.experiments.photodesorption.settings import LEARNT, TRAINED
from frazil.experiments.photodesorption.shards import ABOUT, Ensemble, read_ensemble
from frazil.experiments.photodesorption.statistics import (
    beside_paper,
    by_species,
    probabilities,
    rotational_fits,
    rotational_windows,
    sensitivity,
    summarise,
)
from frazil.experiments.photodesorption.tables import (
    AGREEMENT,
    AIMD_DISTRIBUTIONS,
    BESIDE_AIMD,
    BESIDE_PAPER,
    CROSSINGS,
    DESORBED,
    DISTRIBUTIONS,
    DRIFT,
    ENDS,
    FITS,
    MEMBERS_APART,
    NET_FORCE,
    PROBABILITY,
    SENSITIVITY,
    SPECIES,
    SUMMARY,
    TRAJECTORIES,
    WINDOWS,
)  # fmt: skip
from frazil.experiments.photodesorption.trajectories import CAMPAIGN, STATES
from frazil.experiments.photodesorption.truth import (
    agreement,
    distributions,
    energy_along_paths,
    model_forces,
    net_forces,
    teacher_labels,
)
from frazil.experiments.repeated import MODEL, called
from frazil.files import write_atomic, write_json
from frazil.systems.molecules import Molecules
from frazil.tables import Table


def _truth(
    ensembles: dict[str, Ensemble],
    aimd_shards: Path | str | None,
    duration_fs: float,
    level: str,
    coupling_eV: float,
    model: Path | str | None,
    campaign_seed: int,
) -> Truth:
    tables: dict[str, Any] = {}
    times = sorted({time for time in (2000.0, 3000.0, duration_fs) if time <= duration_fs})
    if "aimd" in ensembles:
        beside = ensembles["model"], ensembles["aimd"]
        tables["aimd"] = agreement(*beside, times, campaign_seed, "aimd")
        tables["aimd_distributions"] = distributions(*beside, campaign_seed, "aimd")
        root = Path(aimd_shards or "")
        (about,) = [*root.glob(ABOUT), *root.glob(f"*/{ABOUT}")]
        tables["told_of_aimd"] = json.loads(about.read_text())["told"]
    if "teacher" in ensembles:
        pair = ensembles["model"], ensembles["teacher"]
        tables["agreement"] = agreement(*pair, times, campaign_seed)
        tables["distributions"] = distributions(*pair, campaign_seed)
    frames = ensembles["model"].frames()
    labels = teacher_labels(frames, level, coupling_eV) if frames else None
    if labels is not None:
        tables["path"], tables["drift"] = energy_along_paths(frames, labels[0])
        if model is not None:
            tables["net_force"] = net_forces(frames, model_forces(model, frames), labels[1])
    return Truth(**tables)


def keep_starts(shards: Path | str, out: Path, ensemble: str = MODEL) -> None:
    """Write into ``out`` what ``repeated.repeat`` needs of an ensemble's shards: all starts and the campaign.

    Raises UserError for shards of several campaigns. Shards that another program wrote have no starts.
    """
    folders = [file.parent for file in TRAJECTORIES.files(shards)]
    if not all((folder / STATES).is_file() for folder in folders):
        return
    campaigns = {(folder / CAMPAIGN).read_text(encoding="utf-8") for folder in folders}
    if len(campaigns) != 1:
        raise UserError(f"{shards} holds shards of {len(campaigns)} campaigns; give those of one")
    starts = joined([read_initial_states(folder / STATES) for folder in folders])
    starts.write(out / called(STATES, ensemble))
    with write_atomic(out / called(CAMPAIGN, ensemble)) as partial:
        partial.write_text(campaigns.pop(), encoding="utf-8")


def told_of(shards: Path | str) -> tuple[str, str]:
    """Return what the aggregates are made of, and the potential that was given ("": trained here), in words.

    Shards that another program wrote do not tell: they are of CO.
    """
    folders = [file.parent for file in TRAJECTORIES.files(shards)]
    formula, given = "CO", ""
    if folders and (folders[0] / STATES).is_file():
        formula = read_initial_states(folders[0] / STATES).molecules.name
    if folders and (folders[0] / CAMPAIGN).is_file():
        about = json.loads((folders[0] / CAMPAIGN).read_text(encoding="utf-8"))
        kind, level = about.get("potential", ""), about.get("level", "")
        given = f"{kind} ({level})" if kind and level not in ("", kind) else kind
    return formula, given


def molecules_of(shards: Path | str) -> tuple[Molecules, dict[int, int]]:
    """Return the molecules of the aggregates, and the excited one of each trajectory by its id."""
    folders = [file.parent for file in TRAJECTORIES.files(shards)]
    starts = [read_initial_states(folder / STATES) for folder in folders]
    excited = {
        int(identity): int(number)
        for states in starts
        for identity, number in zip(states.trajectory_id, states.excited_molecule, strict=True)
    }
    return starts[0].molecules, excited


def analyse(
    model_shards: Path | str,
    criteria_A: Sequence[float],
    criterion_A: float,
    duration_fs: float,
    level: str,
    coupling_eV: float,
    reference: Path | str,
    out: Path | str,
    teacher_shards: Path | str | None = None,
    teacher_control_shards: Path | str | None = None,
    model_control_shards: Path | str | None = None,
    aimd_shards: Path | str | None = None,
    worth_labelling: Path | str | None = None,
    model: Path | str | None = None,
    campaign_seed: int = 1,
    n_aggregates: int = 0,
    truth_margin: float = 0.15,
    model_error_scale: float = MODEL_ERROR_SCALE,
    decision: Path | None = None,
    frames_potential: str = "van-hemert",
    frames_model: str = "",
    potential: str = TRAINED,
) -> Results:
    """Write every table, figure and the report's section of the photodesorption experiment.

    Args:
        model_shards: directory of shards under the model. The others are None, or a directory without
            shards, where they were not run.
        teacher_shards: under the teacher, from the same starts.
        teacher_control_shards: under the teacher without coupling.
        model_control_shards: under the model without excitation.
        aimd_shards: what ``given.follow`` wrote of trajectories of the user's own.
        worth_labelling: what ``disagreement.choose_frames`` wrote, where more trajectories do not help.
        criteria_A: desorption criteria, Å.
        criterion_A: the one that outcomes were decided by, Å.
        duration_fs: length of a trajectory, fs.
        level: label level, for the teacher along the model's paths.
        coupling_eV: strength of the teacher's excited-bond attraction, eV.
        reference: table of the paper's values.
        out: directory of results.
        model: DeePMD model (directory or file) for net forces; None leaves them out.
        campaign_seed: seed of the bootstraps.
        n_aggregates: that trajectories started from in turns, 0 for not known.
        truth_margin: how far the desorption probability may be from the teacher's, interval included.
        model_error_scale: of the prior of the members' part.
        decision: what ended a campaign that ran until it was enough.
        frames_potential: what the first frames moved under that were labelled; frames_model: if not empty,
            a folder in place of it.
        potential: the setting of the run: whether a committee was trained.

    Raises:
        UserError: no model shard, broken tables, or a criterion that is not among the criteria.
    """
    from frazil.experiments.photodesorption.figures import draw
    from frazil.experiments.photodesorption.section import section_of

    if not any(np.isclose(criterion_A, item) for item in criteria_A):
        given = ", ".join(f"{item:g}" for item in criteria_A)
        raise UserError(f"criterion {criterion_A:g} Å is not among the criteria {given} Å; add it to them")
    shards = {
        "model": model_shards, "teacher": teacher_shards, "teacher_control": teacher_control_shards,
        "model_control": model_control_shards, "aimd": aimd_shards,
    }  # fmt: skip
    read = {name: read_ensemble(path, n_aggregates) for name, path in shards.items() if path is not None}
    ensembles = {name: ensemble for name, ensemble in read.items() if ensemble is not None}
    if "model" not in ensembles or not len(ensembles["model"].trajectories):
        raise UserError(f"no trajectory under {model_shards}; run run_trajectories.py first")
    run = ensembles["model"]
    windows = rotational_windows(run, campaign_seed, model_error_scale)
    summary = summarise(run, campaign_seed, model_error_scale)
    molecule, given = told_of(model_shards)
    level = given or level
    results = Results(
        ensembles=ensembles,
        probability=probabilities(run, criteria_A, model_error_scale, confidence_of(decision)),
        ended=ended_as(decision),
        sensitivity=sensitivity(run, criteria_A, criterion_A, duration_fs),
        windows=windows,
        fits=rotational_fits(windows),
        summary=summary,
        comparison=beside_paper(summary, reference).iloc[: None if molecule == "CO" else 0],
        truth=_truth(ensembles, aimd_shards, duration_fs, level, coupling_eV, model, campaign_seed),
        criterion_A=criterion_A,
        duration_fs=duration_fs,
        level=level,
        truth_margin=truth_margin,
        molecule=molecule,
        given=given,
        frames_potential=f"a model ({Path(frames_model).name})" if frames_model else frames_potential,
        learnt=potential == LEARNT,
        species=None if " and " not in molecule else by_species(run, *molecules_of(model_shards)),
        members_apart=None if worth_labelling is None else MEMBERS_APART.read(worth_labelling),
    )
    out = Path(out)
    kinds = {"trajectories": TRAJECTORIES, "desorbed": DESORBED}
    written: list[tuple[Table, pandas.DataFrame | None]] = [
        (ENDS, ENDS.frame([{"ensemble": name, **item.counts} for name, item in ensembles.items()])),
        (TRAJECTORIES, run.trajectories), (DESORBED, run.desorbed), (CROSSINGS, run.crossings),
        (PROBABILITY, results.probability), (SENSITIVITY, results.sensitivity), (WINDOWS, windows),
        (FITS, results.fits), (SUMMARY, summary), (SPECIES, results.species),
        (BESIDE_PAPER, results.comparison if results.is_published else None),
        (AGREEMENT, results.truth.agreement),
        (DISTRIBUTIONS, results.truth.distributions), (BESIDE_AIMD, results.truth.aimd),
        (AIMD_DISTRIBUTIONS, results.truth.aimd_distributions), (DRIFT, results.truth.drift),
        (NET_FORCE, results.truth.net_force), (MEMBERS_APART, results.members_apart),
        *(
            (table.named(f"{kind}_{name}"), getattr(ensemble, name))
            for kind, ensemble in ensembles.items() if kind != "model"
            for name, table in kinds.items()
        ),
    ]  # fmt: skip
    for table, content in written:
        if content is not None:
            table.write(content, out)
    if worth_labelling is not None:
        shutil.copy(Path(worth_labelling) / "worth_labelling.extxyz", out)
    for name in ensembles:
        keep_starts(shards[name] or "", out, name)
    counts = {name: ensemble.counts for name, ensemble in ensembles.items()}
    write_json(out / "counts.json", counts)
    figures, omitted = draw(results, out)
    section_of(results, figures, omitted).write(out)
    return results
