"""Whether a campaign has run enough: each probability of its tables against the half-width asked for.

What has run is read as the analysis reads it, so that an interval that is narrow enough is the one that the
table then has. A decision is a function of finished rows alone: kills and restarts do not change it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from frazil.analysis.settings import MODEL_ERROR_SCALE
from frazil.analysis.stopping import Decision, decide, looks
from frazil.errors import UserError
from frazil.files import write_json

Trials = tuple[dict[str, Any], list[tuple[int, int]], float]
"""What tells a probability from others in its table; (hits, trials) of each member; the design effect."""
TOLD = {
    "narrow": "narrow enough",
    "limit": "the limit is reached",
    "members": "the members' part alone is wider: label more frames, further trajectories do not help",
    "more": "another round is needed",
}
REASONS = ("more", "members", "limit", "narrow")
"""Of a campaign: the first that any of its probabilities has."""


def write_decision(
    experiment: str, trajectories: Path, target_halfwidth: float, round_size: int, limit: int, out: Path,
    n_aggregates: int = 0, model_error_scale: float = MODEL_ERROR_SCALE,
) -> str:  # fmt: skip
    """Write whether a campaign's finished shards are enough, JSON; return it in words.

    The file says ``enough`` and ``reason`` of the campaign, the rule's ``confidence``, and of each of its
    ``conditions`` (probabilities) what ``stopping.Decision`` says. Raises UserError for broken tables, no
    trajectory, and a target that no campaign of the limit reaches.
    """
    found = READERS[experiment](trajectories, n_aggregates)
    if not found:
        raise UserError(f"{trajectories} holds no trajectory; give finished shards of a campaign")
    at = looks(round_size, limit)
    decided = [
        (known, decide(by_member, target_halfwidth, at, model_error_scale, design_effect))
        for known, by_member, design_effect in found
    ]
    reason = min((decision.reason for _, decision in decided), key=REASONS.index)
    write_json(
        out,
        {
            "enough": reason != "more",
            "reason": reason,
            "target_halfwidth": target_halfwidth,
            "confidence": decided[0][1].confidence,
            "conditions": [known | _plain(decision) for known, decision in decided],
        },
    )
    return "\n".join(_words(known, decision, target_halfwidth) for known, decision in decided)


def confidence_of(decision: Path | None) -> float:
    """Return the confidence of sampling intervals: 0.95, or that of the rule by which a campaign ended."""
    return 0.95 if decision is None else float(json.loads(Path(decision).read_text())["confidence"])


def ended_as(decision: Path | None) -> str:
    """Return in words how a campaign that had a half-width to reach has ended; empty without one."""
    if decision is None:
        return ""
    told = json.loads(Path(decision).read_text())
    reasons = [row["reason"] for row in told["conditions"]]
    widest = max(row["half_width"] for row in told["conditions"])
    return (
        f"Rounds of shards ran until the total interval had a half-width of {told['target_halfwidth']:g}, or "
        f"could not: {reasons.count('narrow')} of {len(reasons)} are narrow enough, "
        f"{reasons.count('members')} are limited by what the members leave open (label more frames), "
        f"{reasons.count('limit')} by the number of trajectories asked for. The widest half-width is "
        f"{widest:.3g}. Looking again and again is paid for by a confidence of {told['confidence']:g}, with "
        "which intervals cover 95 % when the campaign ends."
    )


def still_open(decision: Path | None, conditions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those of some conditions that a decision leaves open; all without a decision."""
    if decision is None:
        return list(conditions)
    told = json.loads(Path(decision).read_text())["conditions"]
    ended = [row for row in told if row["enough"]]
    return [
        condition for condition in conditions
        if not any(all(row.get(name) == value for name, value in condition.items()) for row in ended)
    ]  # fmt: skip


def _words(known: dict[str, Any], decision: Decision, target: float) -> str:
    named = ", ".join(f"{name} {value}" for name, value in known.items())
    return (
        f"{named + ': ' if named else ''}{decision.n_hits} of {decision.n}, half-width "
        f"{decision.half_width:.3f} of {target:g}: {TOLD[decision.reason]}"
    )


def _plain(decision: Decision) -> dict[str, Any]:
    """Return values as JSON can hold them: what is not known is null."""
    values = asdict(decision)
    del values["confidence"]
    return {name: None if value != value else value for name, value in values.items()}


def _photodesorption(folder: Path, n_aggregates: int) -> list[Trials]:
    from frazil.experiments.photodesorption.shards import read_ensemble
    from frazil.experiments.photodesorption.statistics import trials

    ensemble = read_ensemble(folder, n_aggregates)
    return [] if ensemble is None else trials(ensemble)


def _sticking(folder: Path, n_aggregates: int) -> list[Trials]:
    from frazil.experiments.sticking.results import trials
    from frazil.experiments.sticking.tables import TRAJECTORIES

    return trials(TRAJECTORIES.read(folder))


READERS: dict[str, Callable[[Path, int], list[Trials]]] = {
    "photodesorption": _photodesorption, "sticking": _sticking,
}  # fmt: skip
