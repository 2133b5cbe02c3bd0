"""The step that writes every table, figure and the section of the sticking experiment."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas

from frazil.analysis.settings import MODEL_ERROR_SCALE
from frazil.errors import UserError
from frazil.experiments.enough import confidence_of, ended_as
from frazil.experiments.repeated import CAMPAIGN, MODEL, called
from frazil.experiments.sticking import projectile as projectiles
from frazil.experiments.sticking.coefficients import GIVEN_PROBABILITIES, SURFACE, coefficients
from frazil.experiments.sticking.results import (
    PUBLISHED,
    Results,
    attempts_of,
    half_lives,
    pairs,
    probabilities,
    sensitivity,
    with_model_error,
)
from frazil.experiments.sticking.tables import (
    ATTEMPT_FREQUENCIES,
    BINDING_BY_TYPE,
    BINDING_ENERGIES,
    BINDING_SUMMARY,
    CHECKS,
    COEFFICIENTS,
    CONDITION,
    OUTCOMES,
    PAIRS,
    PATHS,
    PROBABILITIES,
    RADIAL,
    RESIDENCE_TIMES,
    SENSITIVITY,
    SURFACE_ATOMS,
    TEMPERATURE,
    TRAJECTORIES,
)  # fmt: skip
from frazil.files import write_atomic, write_json
from frazil.tables import DIGITS, Table


def keep_campaign(shards: Path | str, out: Path, ensemble: str = MODEL) -> None:
    """Copy the campaign of an ensemble's shards into ``out``. Raises UserError where they have several."""
    campaigns = {file.read_text() for file in Path(shards).glob(f"*/{CAMPAIGN}")}
    if len(campaigns) != 1:
        raise UserError(f"{shards} holds shards of {len(campaigns)} campaigns; give those of one")
    with write_atomic(out / called(CAMPAIGN, ensemble)) as partial:
        partial.write_text(campaigns.pop())


def keep_surfaces(surfaces: Path | str, out: Path) -> None:
    """Copy all surfaces and projectiles into ``out``: with the campaigns what ``repeated.repeat`` needs."""
    for name in ("snapshots.extxyz", projectiles.FILE):
        for file in sorted(Path(surfaces).glob(f"*/{name}")):
            with write_atomic(out / "surfaces" / file.parent.name / file.name) as partial:
                shutil.copyfile(file, partial)


def names_of(campaign: Path) -> tuple[str, str]:
    """Return what was shot and the molecules of the ice, of a ``campaign.json``; without a word H2 and CO."""
    known = json.loads(campaign.read_text())
    return str(known.get("projectile", PUBLISHED[0])), str(known.get("ice", PUBLISHED[1]))


def _to_label(worth_labelling: Path | None, projectile: str) -> str:
    """Return in words which frames to label next; empty where none were sought."""
    if worth_labelling is None:
        return ""
    told = json.loads((worth_labelling / "summary.json").read_text())
    return (
        f"{told['n_starts']} collisions ran again under every member; {told['n_apart']} end differently. "
        f"worth_labelling.extxyz holds {told['n_candidates']} frames for the label step: what "
        f"surrounds {projectile} along these where the members' binding of it differs most, with it "
        "and without."
    )


def analyse(
    surfaces: Path | str,
    sites: Path | str,
    shards: Path | str,
    attempts: Path | str,
    truth: Path | str | None,
    gas_temperatures_K: Sequence[str],
    residence_temperatures_K: Sequence[float],
    attempts_after_fs: float,
    reference: Path | str,
    campaign_seed: int,
    out: Path | str,
    model_error_scale: float = MODEL_ERROR_SCALE,
    truth_margin: float = 0.1,
    decision: Path | None = None,
    worth_labelling: Path | None = None,
) -> Results:
    """Write every table, figure and the report's section of the sticking experiment into ``out``.

    ``surfaces``, ``sites``, ``shards``, ``attempts`` and ``truth`` hold folders of the steps before;
    ``reference`` is the folder of the paper's tables, ``model_error_scale`` that of the prior of the members'
    part. ``truth_margin`` is how far the model may be from the known truth, intervals included. ``decision``
    is what ended a campaign that ran until it was enough, ``worth_labelling`` what ``cutouts.write_cutouts``
    wrote where more collisions do not help. Raises UserError for missing or broken tables.
    """
    from frazil.experiments.sticking.binding import by_type, summary
    from frazil.experiments.sticking.figures import draw
    from frazil.experiments.sticking.section import section_of

    trajectories = TRAJECTORIES.read(shards)
    found = probabilities(trajectories, model_error_scale, confidence_of(decision))
    gas: list[float | str] = [g if g == SURFACE else float(g) for g in gas_temperatures_K]
    table = BINDING_ENERGIES.read(sites)
    long_paths = PATHS.read(attempts)
    frequencies = attempts_of(long_paths, attempts_after_fs)
    with_truth = truth is not None and any(Path(truth).glob("*/trajectories.csv"))
    known = TRAJECTORIES.read(truth) if with_truth and truth is not None else None
    known_probabilities = None if known is None else probabilities(known)
    folder = Path(out)
    keep_surfaces(surfaces, folder)
    ensembles = {MODEL: shards, "attempts": attempts} | ({"truth": truth} if with_truth else {})
    for name, own in ensembles.items():
        keep_campaign(own or "", folder, name)
    projectile, ice = names_of(folder / CAMPAIGN)
    published = (projectile, ice) == PUBLISHED
    paper = [
        declared.read(reference, by_hand=True)
        for declared in (GIVEN_PROBABILITIES, COEFFICIENTS, replace(RESIDENCE_TIMES, also="note:str?"))
    ]
    paper = [table if published else table.iloc[:0] for table in paper]
    results = Results(
        trajectories=trajectories,
        probabilities=found,
        coefficients=with_model_error(
            coefficients(found, gas, campaign_seed), trajectories, model_error_scale
        ),
        truth=known_probabilities,
        truth_pairs=None if known is None else pairs(trajectories, known),
        truth_coefficients=(
            None if known_probabilities is None else coefficients(known_probabilities, gas, campaign_seed)
        ),
        sites=table,
        sites_summary=summary(table, model_error_scale),
        atoms=SURFACE_ATOMS.read(sites),
        paths=long_paths,
        attempts=frequencies,
        residence=half_lives(table, frequencies, residence_temperatures_K, True, model_error_scale),
        residence_sites=half_lives(table, frequencies, residence_temperatures_K, False),
        checks=CHECKS.read(surfaces),
        temperatures=TEMPERATURE.read(surfaces),
        radial=RADIAL.read(surfaces),
        paper_probabilities=paper[0],
        paper_coefficients=paper[1],
        paper_residence=paper[2],
        truth_margin=truth_margin,
        truth_id="" if known is None else str(known["model_id"].iloc[0]),
        ended=" ".join(filter(None, (ended_as(decision), _to_label(worth_labelling, projectile)))),
        sensitivity=sensitivity(trajectories),
        projectile=projectile,
        ice=ice,
    )
    comparison = results.probabilities.merge(
        results.paper_probabilities, on=[*CONDITION, "collision_energy_K"], suffixes=("", "_paper")
    )
    beside = results.residence.merge(
        results.paper_residence, on=CONDITION, how="left", suffixes=("", "_paper")
    ).drop(columns="note")
    of_paper = (
        [
            (PROBABILITIES.named("comparison"), comparison),
            (RESIDENCE_TIMES.named("residence_beside_paper"), beside),
        ]
        if published
        else []
    )
    written: list[tuple[Table, pandas.DataFrame | None]] = [
        (TRAJECTORIES, trajectories),
        (TRAJECTORIES.named(called(TRAJECTORIES.name, "attempts")), TRAJECTORIES.read(attempts)),
        (TRAJECTORIES.named(called(TRAJECTORIES.name, "truth")), known),
        (PROBABILITIES, found), (COEFFICIENTS, results.coefficients),
        (BINDING_ENERGIES, table), (BINDING_SUMMARY, results.sites_summary),
        (BINDING_BY_TYPE, by_type(table)),
        (ATTEMPT_FREQUENCIES, frequencies), (RESIDENCE_TIMES, results.residence),
        (RESIDENCE_TIMES.named("residence_distribution"), results.residence_sites),
        (replace(CHECKS, name="surfaces", digits=DIGITS), results.checks),
        *of_paper,
        (PROBABILITIES.named("truth_probabilities"), results.truth), (PAIRS, results.truth_pairs),
        (COEFFICIENTS.named("truth_coefficients"), results.truth_coefficients),
        (SENSITIVITY, results.sensitivity),
    ]  # fmt: skip
    for declared, content in written:
        if content is not None:
            declared.write(content, folder)
    if worth_labelling is not None:
        with write_atomic(folder / "worth_labelling.extxyz") as partial:
            shutil.copyfile(worth_labelling / "candidates.extxyz", partial)
    counts = {outcome: int((trajectories["outcome"] == outcome).sum()) for outcome in OUTCOMES}
    write_json(folder / "counts.json", {"model": {**counts, "total": len(trajectories)}})
    section_of(results, draw(results, folder)).write(folder)
    return results
