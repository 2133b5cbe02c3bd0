"""From labels to learning curves with both errors: models, tables, figures, gates, the section."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from ase import Atoms

from frazil.analysis.estimates import MODEL_UNKNOWN, Estimate, spread_calibration, two_way
from frazil.cli import progress
from frazil.errors import UserError
from frazil.experiments.density import figures
from frazil.experiments.density.equivariants import Features
from frazil.experiments.density.labels import A3
from frazil.experiments.density.measures import (
    CHARGE,
    DENSITY,
    DIPOLE,
    POLARIZABILITY,
    QUANTITIES,
    RESPONSE_VARIANCE,
    STEP,
    VARIANCE,
    FieldStep,
    Judge,
    Part,
    is_hybrid,
)
from frazil.experiments.density.model import Labelled, Model, Predicted, Trainer
from frazil.experiments.density.settings import Density
from frazil.experiments.density.subject import Division, auxiliary_of, division_of, frames_of
from frazil.experiments.density.tables import (
    ATOMS,
    CALIBRATION,
    ERRORS,
    FITTED,
    FRAMES,
    LARGE,
    PREDICTED,
    STEPS,
    TEST,
)
from frazil.labels import electronic_structure
from frazil.md.trajectory import FINISHED
from frazil.report.section import Gate, Result, Section, Table, number

MOST_CHARGE_e = 0.01
MOST_STEP_meV = 1.0
FAR = 3.0
"""Times that the members' spread may be too narrow or too wide."""
PUBLISHED = "published for water, in another basis: 0.40 %"
REFERENCES = [
    "@lewis2021: the regression of densities",
    "@grisafi2018: its kernels",
    "@dunlap1979: densities fitted under constraints",
    "@imbalzano2021: calibration of a committee's spread",
]
FAILED_TOLD = (
    "A frame whose density did not converge is learned from by no model, and judged by none.",
    "Look at the reasons in trajectories.csv; take broken geometries out.",
)
CHARGE_TOLD = (
    "Electrons are held after the prediction. Where many are missing before, the correction is no longer "
    "small, and dipoles of what it moved depend on it.",
    "Learn from more frames (density.n_train), or from frames like those of the test.",
)
FIT_TOLD = (
    "Below the error of the fit, labels in a larger auxiliary basis gain more than further frames.",
    "Learn from more frames (density.n_train), or take more environments (density.n_environments).",
)
STEP_TOLD = (
    "A density good enough to start from leaves less than 1 meV an atom (0.02 kcal/mol) after one step; "
    "the published model of water has 0.3.",
    "Learn from more frames; where the step from the fit misses it too, take a larger auxiliary basis.",
)
CURVE_TOLD = (
    "A curve that does not fall has met the noise of labels or the limit of the environments.",
    "Take more environments (density.n_environments) or a larger cutoff (density.cutoff_A).",
)
CALIBRATION_TOLD = (
    "α is the true error over the members' spread, 1 where the truth is like another member. Beyond a "
    "factor of three the members say little of the error.",
    "Take more members (density.n_members); members drawn again from few frames share what none of these "
    "shows.",
)


@dataclass(frozen=True)
class Trained:
    """The models of one number of training frames."""

    n_train: int
    density: Model
    response: Model | None


@dataclass(frozen=True)
class Case:
    """A frame that is judged."""

    trajectory_id: int
    subset: str
    judge: Judge
    predicted: dict[int, tuple[Predicted, Predicted | None]]
    """By number of training frames: the density, and the response where it was labelled."""


def analyse(settings: Density, table: pandas.DataFrame, campaign_seed: int, out: Path) -> Section:
    """Write models, tables and figures of all labels into ``out``, and return the section.

    ``table``: rows of ``tables.TRAJECTORIES`` with their arrays. Raises UserError where too few frames could
    be labelled for the largest training set, for validation or for the test.
    """
    frames, division = frames_of(settings, campaign_seed), division_of(settings, campaign_seed)
    finished = table[table["outcome"] == FINISHED]
    labels = dict(zip(finished["trajectory_id"].astype(int), finished.itertuples(), strict=True))
    division = _finished(division, set(labels), settings)
    trained = _trained(settings, frames, labels, division, campaign_seed)
    trained[-1].density.save(out / "model" / "density")
    if trained[-1].response is not None:
        trained[-1].response.save(out / "model" / "response")
    cases = _cases(settings, frames, labels, division, trained)
    parts = _parts(cases, trained)
    steps, step_parts = _steps(settings, frames, labels, cases, trained[-1].n_train)
    parts |= step_parts
    tables = {
        "errors": errors(parts), "frames": _by_frame(parts, cases), "steps": steps,
        "calibration": calibration(cases, trained[-1].n_train),
    }  # fmt: skip
    for name, kind in (
        ("errors", ERRORS),
        ("frames", FRAMES),
        ("steps", STEPS),
        ("calibration", CALIBRATION),
    ):
        kind.write(tables[name], out)
    for case in [case for case in cases if case.subset == TEST][: settings.n_cubes]:
        figures.write_cubes(
            case.trajectory_id, case.judge, case.predicted[trained[-1].n_train][0], out / "cubes"
        )
    return _section(settings, table, tables, cases, trained, out)


def _finished(division: Division, labelled: set[int], settings: Density) -> Division:
    """Return the division of the frames that have labels. Raises UserError where too few have."""
    kept = Division(*([i for i in part if i in labelled] for part in vars(division).values()))
    for name, have, need in (
        ("training", len(kept.train), settings.n_train[-1]),
        ("validation", len(kept.validation), 1),
        ("test", len(kept.test), 2),
    ):
        if have < need:
            raise UserError(
                f"{have} frames of the {name} part could be labelled, {need} are needed; look at the "
                "reasons in trajectories.csv, and give more frames (density.n_trajectories)"
            )
    return kept


def _coefficients(label: Any, n: int) -> np.ndarray:
    return np.asarray(label.coefficients)[:n]


def _trained(
    settings: Density, frames: Sequence[Atoms], labels: dict[int, Any], division: Division, campaign_seed: int
) -> list[Trained]:
    """Return the models of each number of training frames."""
    trainer = Trainer(
        auxiliary_of(settings), settings.level, settings.n_environments, settings.n_members,
        Features(cutoff_A=settings.cutoff_A),
    )  # fmt: skip

    def known(ids: Sequence[int], fields: slice) -> list[Labelled]:
        return [Labelled(frames[i], _coefficients(labels[i], labels[i].n_functions)[:, fields]) for i in ids]

    def model(n_train: int, fields: slice) -> Model:
        ids = division.train[:n_train]
        return trainer.train(known(ids, fields), known(division.validation, fields), campaign_seed, n_train)

    found = []
    for n_train in settings.n_train:
        response = model(n_train, slice(1, 4)) if settings.response else None
        found.append(Trained(n_train, model(n_train, slice(0, 1)), response))
    return found


def _cases(
    settings: Density, frames: Sequence[Atoms], labels: dict[int, Any], division: Division,
    trained: Sequence[Trained],
) -> list[Case]:  # fmt: skip
    ids = [(i, TEST) for i in sorted(division.test)] + [(i, LARGE) for i in division.large]
    predicted: list[dict[int, tuple[Predicted, Predicted | None]]] = [{} for _ in ids]
    atoms = [frames[i] for i, _ in ids]
    n_responses = sum(subset == TEST for _, subset in ids) if settings.response else 0
    for models in trained:
        densities = models.density.predict(atoms)
        responses: list[Predicted | None] = [None] * len(ids)
        if models.response is not None:
            responses[:n_responses] = models.response.predict(atoms[:n_responses])
        for place, pair in enumerate(zip(densities, responses, strict=True)):
            predicted[place][models.n_train] = pair
    cases = []
    for place, (i, subset) in enumerate(ids):
        label = labels[i]
        own = _coefficients(label, label.n_functions)
        response = own[:, 1:] if place < n_responses else None
        cases.append(
            Case(i, subset, Judge(frames[i], auxiliary_of(settings), own[:, 0], response), predicted[place])
        )
    return cases


Parts = dict[tuple[int, str, str], dict[int, Part]]
"""By number of training frames, subset and quantity: the part of each frame."""


def _parts(cases: Sequence[Case], trained: Sequence[Trained]) -> Parts:
    found: Parts = {}
    for case in progress(iter(cases), len(cases), "frames judged"):
        judge = case.judge
        for models in trained:
            density, response = case.predicted[models.n_train]
            means = models.density.without_environments(judge.atoms, judge.functions)[:, 0]
            own = judge.of_density(density, means)
            if response is not None and models.response is not None:
                means = models.response.without_environments(judge.atoms, judge.functions)
                own |= judge.of_response(response, means)
            for quantity, part in own.items():
                found.setdefault((models.n_train, case.subset, quantity), {})[case.trajectory_id] = part
    return found


def error_of(parts: Sequence[Part], is_root: bool) -> Estimate:
    """Return the mean, or root mean square, of frames' errors, with both errors.

    The value is the model's own. Sampling: the scatter of frames, of a root by its first derivatives.
    Members: what they differ by beyond that, of the same frames.
    """
    errors = np.array([part.errors for part in parts]).T
    scales = np.array([part.scale for part in parts])
    ratio = errors.mean(axis=1) / scales.mean()
    single = ratio[:, None] + (errors - ratio[:, None] * scales) / scales.mean()
    if is_root:
        root = np.sqrt(np.maximum(ratio, 1e-300))
        single = root[:, None] + (single - ratio[:, None]) / (2 * root[:, None])
    layout = replace(
        two_way(single[1:] if len(single) > 1 else single),
        mean=np.asarray(single[0].mean()),
        starts=single[0],
    )
    found = layout.estimate()
    low, total_low = np.maximum([found.low_95, found.total_low_95], 0.0).tolist()  # nan stays nan
    return replace(found, low_95=low, total_low_95=total_low)


def _factor(quantity: str) -> float:
    """Return what a root of a ratio is told in: percent."""
    return 100.0 if quantity in (VARIANCE, RESPONSE_VARIANCE) else 1.0


def errors(parts: Parts) -> pandas.DataFrame:
    """Return a row of ``ERRORS`` for each number of training frames, subset and quantity."""
    rows = []
    for (n_train, subset, quantity), own in parts.items():
        told, factor = QUANTITIES[quantity], _factor(quantity)
        found = error_of(list(own.values()), told.is_root).row("value")
        rows.append(
            {
                "n_train": n_train,
                "subset": subset,
                "quantity": quantity,
                "unit": told.unit,
                "n_frames": len(own),
            }
            | {name: factor * value for name, value in found.items()}
        )
    return ERRORS.frame(rows)


def _by_frame(parts: Parts, cases: Sequence[Case]) -> pandas.DataFrame:
    formulas = {case.trajectory_id: case.judge.atoms.get_chemical_formula() for case in cases}
    rows = []
    for (n_train, subset, quantity), own in parts.items():
        told, scale = QUANTITIES[quantity], np.mean([part.scale for part in own.values()])
        for identity, part in own.items():
            value = part.errors[0] / scale
            value = _factor(quantity) * (np.sqrt(value) if told.is_root else value)
            rows.append((n_train, identity, quantity, subset, formulas[identity], float(value), told.unit))
    return FRAMES.frame(rows)


def _steps(
    settings: Density, frames: Sequence[Atoms], labels: dict[int, Any], cases: Sequence[Case], n_train: int
) -> tuple[pandas.DataFrame, Parts]:
    """Return rows of ``STEPS``, and the energies after a step as parts, of members on test frames only."""
    rows: list[dict[str, Any]] = []
    parts: Parts = {}
    chosen = [
        case
        for subset in (TEST, LARGE)
        for case in [c for c in cases if c.subset == subset][: settings.n_steps]
    ]
    for case in progress(iter(chosen), len(chosen), "steps of the field"):
        atoms, label = frames[case.trajectory_id], labels[case.trajectory_id]
        step = FieldStep(atoms, settings.level, case.judge.functions)
        density, _ = case.predicted[n_train]

        def above(matrix: np.ndarray) -> float:
            return 1e3 * (step.energy_eV(matrix) - label.energy_eV) / len(atoms)  # noqa: B023

        # Members are judged on test frames only: of large ones every energy takes as long as a cycle.
        used = density.coefficients[:, :, 0] if case.subset == TEST else density.coefficients[:1, :, 0]
        *ended, of_fit = step.from_coefficients(np.vstack([used, case.judge.density]))
        found = np.array([above(matrix) for matrix in ended])
        by_default = label.n_cycles if label.attempt == electronic_structure.ATTEMPTS[0].name else np.nan
        starts: dict[str, tuple[float, float, float]] = {
            PREDICTED: (found[0], found[1:].std(ddof=1) if len(found) > 2 else np.nan, step.cycles(ended[0])),
            FITTED: (above(of_fit), np.nan, np.nan),
            ATOMS: (above(step.from_atoms()), np.nan, np.nan),
        }
        rows += [
            {
                "trajectory_id": case.trajectory_id, "start": start, "subset": case.subset,
                "formula": atoms.get_chemical_formula(), "energy_error_meV_per_atom": energy,
                "model_std": spread,
                "n_cycles": cycles, "n_cycles_default": by_default if start == PREDICTED else np.nan,
            }
            for start, (energy, spread, cycles) in starts.items()
        ]  # fmt: skip
        parts.setdefault((n_train, case.subset, STEP), {})[case.trajectory_id] = Part(found**2)
    return STEPS.frame(rows), parts


def calibration(cases: Sequence[Case], n_train: int) -> pandas.DataFrame:
    """Return rows of ``CALIBRATION``: errors of the members' mean beside their spread, on the test frames."""
    told: dict[str, Callable[[Case, int], tuple[np.ndarray, np.ndarray] | None]] = {
        DIPOLE: _dipoles, POLARIZABILITY: _polarizabilities,
    }  # fmt: skip
    rows = []
    for quantity, values in told.items():
        found = [pair for case in cases if case.subset == TEST and (pair := values(case, n_train))]
        if not found or len(found[0][0]) < 2:
            continue
        members = np.concatenate([own.reshape(len(own), -1) for own, _ in found], axis=1)
        wrong = members.mean(axis=0) - np.concatenate([truth.ravel() for _, truth in found])
        spread, n = members.std(axis=0, ddof=1), len(members)
        rms = [float(np.sqrt((x**2).mean())) for x in (wrong, spread)]
        rows.append(
            (quantity, QUANTITIES[quantity].unit, len(found), n, *rms, spread_calibration(wrong, spread, n))
        )
    return CALIBRATION.frame(rows)


def _dipoles(case: Case, n_train: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the members' dipoles (M, 3) and the label's (3,), Debye."""
    density, _ = case.predicted[n_train]
    return case.judge.dipole_D(density.coefficients[1:, :, 0]), case.judge.dipole_D(case.judge.density)


def _polarizabilities(case: Case, n_train: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the members' polarizabilities (M, 3, 3) and the label's (3, 3), Å³; None without a response."""
    _, response = case.predicted[n_train]
    judge, truth = case.judge, case.judge.response
    if response is None or truth is None:
        return None
    members = judge.polarizabilities(response.coefficients[1:])
    return A3 * members, A3 * judge.polarizabilities(truth[None])[0]


def _section(
    settings: Density, table: pandas.DataFrame, tables: dict[str, pandas.DataFrame], cases: Sequence[Case],
    trained: Sequence[Trained], out: Path,
) -> Section:  # fmt: skip
    found, last = tables["errors"], trained[-1].n_train
    rows = {(int(row["n_train"]), row["subset"], row["quantity"]): row for row in found.to_dict("records")}
    n_test = rows[last, TEST, VARIANCE]["n_frames"]
    finished = table[table["outcome"] == FINISHED]
    headline = (
        f"{last} frames: {number(rows[last, TEST, VARIANCE]['value'])} % of the density's variance, "
        f"∫|Δn| {number(rows[last, TEST, DENSITY]['value'])} % of the electrons"
    )
    if (last, TEST, STEP) in rows:
        headline += f"; a step of the field leaves {number(rows[last, TEST, STEP]['value'])} meV an atom"
    drawn = [figures.curves(found, out)]
    if len(tables["steps"]):
        drawn.append(figures.steps(tables["steps"], out))
    shown = [next(case for case in cases if case.subset == subset) for subset in (TEST, LARGE)
             if any(case.subset == subset for case in cases)]  # fmt: skip
    drawn.append(figures.differences([(c.trajectory_id, c.judge, c.predicted[last][0]) for c in shown], out))
    results = [
        Result.of_row(
            f"{quantity}, {subset}", "value", row, row["unit"], n=int(row["n_frames"]), of="frames",
            verdict=PUBLISHED if (subset, quantity) == (TEST, VARIANCE) else "",
        )
        for (n_train, subset, quantity), row in rows.items()
        if n_train == last and (subset == TEST or quantity in (VARIANCE, DENSITY, STEP))
    ]  # fmt: skip
    return Section(
        title="Electron densities",
        headline=headline + ".",
        text=_text(settings, finished, rows, tables, trained, int(n_test)),
        gates=_gates(settings, table, rows, tables),
        figures=drawn,
        tables=[
            Table("errors.csv", "Errors by number of training frames, both errors beside them."),
            Table("trajectories.csv", "Frames, and what their fits miss."),
            *([Table("steps.csv", "One step of the self-consistent field.")] if len(tables["steps"]) else []),
            *([Table("calibration.csv", "The members' spread.")] if len(tables["calibration"]) else []),
            Table("frame_errors.csv", "Errors frame by frame."),
        ],
        results=results,
        main_figure=drawn[0].file,
        methods=(
            f"Densities at {settings.level} were fitted in {auxiliary_of(settings).text} with charge and "
            f"dipole held, and learned from {last} frames by symmetry-adapted regression on "
            f"{settings.n_environments} sparse environments of each element ({settings.cutoff_A:g} Å) in "
            f"the overlap metric, with {settings.n_members} members of a bootstrap. The regularization "
            "was chosen on frames of neither training nor test."
        ),
        references=REFERENCES,
    )  # fmt: skip


def _text(
    settings: Density, finished: pandas.DataFrame, rows: dict[tuple[int, str, str], Any],
    tables: dict[str, pandas.DataFrame], trained: Sequence[Trained], n_test: int,
) -> list[str]:  # fmt: skip
    last = trained[-1]
    fit = {
        name: float(finished[name].abs().mean())
        for name in ("density_fit_percent", "hartree_fit_meV", "dipole_fit_D")
    }
    text = [
        f"{len(finished)} frames were labelled at {settings.level} and fitted in "
        f"{auxiliary_of(settings).text}. The fit itself misses ∫|Δn| {number(fit['density_fit_percent'])} "
        f"% of the electrons and {number(fit['hartree_fit_meV'])} meV of the Hartree energy; before they "
        f"were held, {number(fit['dipole_fit_D'])} D of the dipole (means). All errors below are against "
        "the fitted density.",
        f"Models of {', '.join(str(one.n_train) for one in trained)} frames are judged on the same "
        f"{n_test} frames. The largest solves for {last.density.weights.shape[1]} weights of the density "
        "at once"
        + (f" and {last.response.weights.shape[1]} of its response" if last.response else "")
        + ". Sampling intervals are of the scatter of test frames; the members', learned from frames drawn "
        "again, add what another training set would have found. Members see fewer different frames than the "
        "model, so that they err a little more.",
    ]
    if settings.n_members == 0:
        text.append(f"No members were learned: {MODEL_UNKNOWN}.")
    if settings.response:
        text.append(
            "The response to a field is learned as a vector field: λ ⊗ 1 is coupled to λ − 1, λ (a "
            "pseudotensor) and λ + 1. Its first moments are the polarizability; large frames have no "
            "labels of it."
        )
    if is_hybrid(settings.level):
        text.append(
            "The functional has exact exchange, which a density alone does not give: the step is made in "
            "two, first with its semilocal relative, then with the exchange of the orbitals found."
        )
    if len(tables["steps"]):
        steps = tables["steps"]
        own = steps[steps["start"] == PREDICTED]
        saved = (own["n_cycles_default"] - own["n_cycles"]).dropna()
        atoms = steps[steps["start"] == ATOMS]["energy_error_meV_per_atom"].mean()
        text.append(
            f"From the predicted density the field converges in {number(float(saved.mean()))} cycles fewer "
            f"than from the program's own start (mean of {len(saved)} frames). A step from atomic densities "
            f"leaves {number(float(atoms))} meV an atom."
        )
    return text


def _gates(
    settings: Density, table: pandas.DataFrame, rows: dict[tuple[int, str, str], Any],
    tables: dict[str, pandas.DataFrame],
) -> list[Gate]:  # fmt: skip
    first, last = settings.n_train[0], settings.n_train[-1]
    fit = float(table["density_fit_percent"].mean())
    gates = [
        Gate.at_most("frames without a label", int((table["outcome"] != FINISHED).sum()), 0).because(
            *FAILED_TOLD
        ),
        Gate.at_most(
            "electrons missed on test frames (e)", rows[last, TEST, CHARGE]["value"], MOST_CHARGE_e
        ).because(*CHARGE_TOLD),
        Gate.at_most(
            "∫|Δn| on test frames over that of the fit", rows[last, TEST, DENSITY]["value"] / fit, 1.0
        ).because(*FIT_TOLD),
    ]
    if last > first:
        gates.append(
            Gate.at_most(
                f"error with {last} frames over that with {first}",
                rows[last, TEST, VARIANCE]["value"] / rows[first, TEST, VARIANCE]["value"], 1.0,
            ).because(*CURVE_TOLD)
        )  # fmt: skip
    for subset in (TEST, LARGE):
        if (row := rows.get((last, subset, STEP))) is not None:
            gates.append(
                Gate.at_most(
                    f"energy after a step, {subset} frames (meV/atom)", row["value"], MOST_STEP_meV
                ).because(*STEP_TOLD)
            )
    for row in tables["calibration"].to_dict("records"):
        gates.append(
            Gate.within(
                f"calibration α of the {row['quantity']}", row["calibration"], round(1 / FAR, 2), FAR
            ).because(*CALIBRATION_TOLD)
        )
    return gates
