"""From samples in fields to polarization, lengths, response and energy books: tables, gates, the section."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from frazil.analysis.estimates import MODEL_UNKNOWN, ONE_POTENTIAL, two_way
from frazil.errors import UserError
from frazil.experiments.field import figures
from frazil.experiments.field.settings import Field
from frazil.experiments.field.subject import Subject, drive_of, subject_of
from frazil.experiments.field.tables import (
    ARRAYS,
    BOOKS,
    DRIVEN,
    EXPECTED,
    LANGEVIN,
    LINEAR,
    POLARIZATION,
    RESPONSE,
    RIGID,
)
from frazil.experiments.passes import arranged, finished_by_all, kinetic_gate, nuclei_of
from frazil.report.section import Gate, Result, Section, Table, number, with_interval
from frazil.units import COULOMB_eV_A, kB, meV

MARGIN = 0.1
"""Relative difference of two ways to one response, with its interval."""
LEAST_EFFECTIVE = 0.3
"""Part of the samples without a field that still count in one: with fewer they say nothing of it."""
BOOK, WORST_BOOK = 0.002, 0.01
"""Energy gained less work, of the root mean square of the work: the median, and the largest."""
N_CURVE = 61
"""Fields of a drawn curve."""
ENDS_OF_BOOKS = 0.1
"""Part of a run at either end over which energies are averaged for the books."""
REFERENCES = [
    "@stocco2025: molecular dynamics in fields",
    "@habershon2009: q-TIP4P/F water",
    "@ceriotti2010: the thermostat of the rings",
]
LOST_TOLD = (
    "A run that breaks is seldom a typical one; means without it would not be those of the ensemble. A "
    "start counts only where every run of every member finished.",
    "Lower the temperature or the strongest field (field.fields_V_per_A), or train the potential on frames "
    "in fields.",
)
RESPONSE_TOLD = (
    "Dynamics in a weak field and the fluctuations of the dipole without one are two ways to the same "
    "response. Where they differ, forces and dipole do not belong together, or runs are too short to tell.",
    "Run more starts, or longer (field.n_trajectories, field.duration_fs), or take a smallest field in which "
    "the cluster is polarized by about half of its dipole.",
)
LANGEVIN_TOLD = (
    "What turns freely is polarized as Langevin's function of its dipoles says. Fields in which the samples "
    "without one say nothing are left out.",
    "Run more starts, or longer: turning is slow for large clusters (field.duration_fs).",
)
BOOK_TOLD = (
    "The energy gained is the work of the field, ∫E·dμ. What differs is the error of the time step.",
    "Take a shorter time step (field.drive_timestep_fs); or a stronger field, or one of another frequency, "
    "where next to no work is done.",
)
HALVES_TOLD = (
    "A cluster that still turns into the field when sampling starts is polarized more in the second half.",
    "Equilibrate longer (field.equilibration_fs), then sample longer.",
)


@dataclass(frozen=True)
class Set:
    """All starts that count, at one number of beads.

    samples (M, R, fields, n, 3 + quantities) of M members and R starts, kinetic (M, R, fields, 2), eV.
    """

    n_beads: int
    samples: np.ndarray
    kinetic: np.ndarray

    def along(self) -> np.ndarray:
        """Return mean dipoles along the field (M, R, fields), e Å."""
        return np.asarray(self.samples[..., 2].mean(axis=3))


@dataclass(frozen=True)
class Expected:
    """Dipoles along the field as Langevin's function expects them from samples without a field.

    values (M, R, fields): jackknife pseudovalues by start of the relative difference of what dynamics found;
    expected (fields,), e Å; effective (fields,): number of samples that count.
    """

    differences: np.ndarray
    expected: np.ndarray
    effective: np.ndarray


def analyse(settings: Field, table: pandas.DataFrame, campaign_seed: int, out: Path) -> Section:
    """Write the tables and figures of all starts into ``out``, and return the section.

    ``table``: rows of ``tables.TRAJECTORIES`` with their arrays. Raises UserError where fewer than two starts
    were finished by every member.
    """
    subject = subject_of(settings)
    shape = (settings.n_trajectories, subject.source.n_members)
    chosen = np.flatnonzero(finished_by_all(table, shape))
    if len(chosen) < 2:
        raise UserError(
            f"{len(chosen)} of {settings.n_trajectories} starts were finished by all members in every field; "
            "lower temperature_K or fields_V_per_A, or train the potential on such frames"
        )
    samples, kinetic, driven = (arranged(table, name, shape, chosen) for name in ARRAYS)
    sets = [Set(n, samples[:, :, i], kinetic[:, :, i]) for i, n in enumerate(settings.n_beads)]
    expected = [langevin(settings, subject, own) for own in sets]
    tables = {
        "response": RESPONSE.frame([row for own in sets for row in _response(settings, subject, own)]),
        "langevin": LANGEVIN.frame(
            [row for own, found in zip(sets, expected, strict=True)
             for row in _langevin(settings, subject, own, found)]
        ),
        "linear_response": LINEAR.frame([row for own in sets for row in _linear(settings, subject, own)]),
        "energy_books": BOOKS.frame(_books(driven, chosen)),
        "driven": DRIVEN.frame(_driven(settings, subject, driven)),
    }  # fmt: skip
    for declared in (RESPONSE, LANGEVIN, LINEAR, BOOKS, DRIVEN):
        declared.write(tables[declared.name], out)
    gates = _gates(settings, subject, table, sets, expected, tables)
    return _section(settings, subject, sets, tables, gates, out)


def langevin(settings: Field, subject: Subject, own: Set) -> Expected:
    """Return what is expected in each field of the samples without one, and how dynamics differs.

    The energy without a field does not change when the cluster turns, so that over directions the average is
    exact: ⟨μ_z⟩_E = ⟨m L(x) sinh x/x⟩₀ / ⟨sinh x/x⟩₀, x = mE/kT, for the sizes m of dipoles (means over the
    beads) without a field. Of a polarizability its isotropic part adds ⟨α⟩E.
    """
    thermal = kB * settings.temperature_K
    n_members, n_starts = own.samples.shape[:2]
    found, fields = own.along(), np.array(settings.fields_V_per_A)
    differences = np.full((n_members, n_starts, len(fields)), np.nan)
    expected, effective = np.zeros(len(fields)), np.full(len(fields), float(own.samples[:, :, 0, :, 0].size))
    for place in range(1, len(fields)):
        weights, above = _weighed(subject, own, fields[place] / thermal, thermal)
        above, below = above.sum(axis=2), weights.sum(axis=2)  # (M, R)
        expected[place] = (above.sum(axis=1) / below.sum(axis=1)).mean()
        effective[place] = (weights.sum() ** 2) / (weights**2).sum()
        whole = found[:, :, place].mean(axis=1) / (above.sum(axis=1) / below.sum(axis=1)) - 1
        for start in range(n_starts):
            rest = np.arange(n_starts) != start
            without = (
                found[:, rest, place].mean(axis=1) / (above[:, rest].sum(axis=1) / below[:, rest].sum(axis=1))
                - 1
            )
            differences[:, start, place] = n_starts * whole - (n_starts - 1) * without
    return Expected(differences, expected, effective)


def _weighed(
    subject: Subject, own: Set, field_per_thermal: float, thermal: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights in a field (M, R, n) of samples without one, and these times the dipole along it."""
    sizes = np.linalg.norm(own.samples[:, :, 0, :, :3], axis=-1)
    x = sizes * field_per_thermal
    weights = np.exp(_log_sinhc(x) - _log_sinhc(x).max())
    dipoles = sizes * _langevin_function(x)
    if subject.alpha is not None:
        dipoles = dipoles + own.samples[:, :, 0, :, -1] * field_per_thermal * thermal / COULOMB_eV_A
    return weights, weights * dipoles


def curves(settings: Field, subject: Subject, sets: list[Set]) -> pandas.DataFrame:
    """Return polarizations per molecule in many fields: as expected, and of a rigid dipole."""
    thermal, rows = kB * settings.temperature_K, []
    for field in np.linspace(0, settings.fields_V_per_A[-1], N_CURVE):
        for own in sets:
            weights, above = _weighed(subject, own, field / thermal, thermal)
            rows.append((own.n_beads, EXPECTED, field, float(above.sum() / weights.sum())))
        rigid = subject.dipole_e_A * float(_langevin_function(np.array(subject.dipole_e_A * field / thermal)))
        rows.append((1, RIGID, field, rigid))
    found = pandas.DataFrame(rows, columns=["n_beads", "quantity", "field_V_per_A", "value"])
    return found.assign(unit="e Å per molecule", value=found["value"] / len(subject.molecules))


def _log_sinhc(x: np.ndarray) -> np.ndarray:
    """Return ln(sinh x / x) of x ≥ 0."""
    safe = np.maximum(x, 1e-4)
    large = safe + np.log1p(-np.exp(-2 * safe)) - np.log(2 * safe)
    return np.where(x < 1e-4, x**2 / 6, large)


def _langevin_function(x: np.ndarray) -> np.ndarray:
    """Return L(x) = coth x − 1/x of x ≥ 0."""
    safe = np.maximum(x, 1e-4)
    return np.where(x < 1e-4, x / 3, 1 / np.tanh(safe) - 1 / safe)


def _response(settings: Field, subject: Subject, own: Set) -> list[dict[str, Any]]:
    n_molecules, rows = len(subject.molecules), []
    quantities = [(POLARIZATION, "e Å per molecule", own.along() / n_molecules)]
    for place, name in enumerate(subject.lengths):
        quantities.append((name, "Å", own.samples[..., 3 + place].mean(axis=3)))
    for name, unit, values in quantities:
        for place, field in enumerate(settings.fields_V_per_A):
            found = two_way(values[:, :, place]).estimate().row("value")
            rows.append(
                {"n_beads": own.n_beads, "quantity": name, "field_V_per_A": field, "unit": unit, **found}
            )
    return rows


def _langevin(settings: Field, subject: Subject, own: Set, found: Expected) -> list[tuple[Any, ...]]:
    rows = []
    for place, field in enumerate(settings.fields_V_per_A):
        if field:
            rigid = subject.dipole_e_A * float(
                _langevin_function(np.array(subject.dipole_e_A * field / (kB * settings.temperature_K)))
            )
            difference, interval = _of_starts(found.differences[:, :, place])
            rows.append(
                (own.n_beads, field, own.along()[:, :, place].mean(), found.expected[place], difference,
                 *interval, found.effective[place], rigid)
            )  # fmt: skip
    return rows


def _of_starts(values: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Return the mean of values (M, R) and its 95 % interval by the scatter of the starts."""
    found = two_way(values).estimate()
    return float(found.value), (float(found.low_95), float(found.high_95))


def _linear(settings: Field, subject: Subject, own: Set) -> list[dict[str, Any]]:
    """Return the response of the whole structure by slope at the smallest field, and by fluctuations."""
    dipoles = own.samples[:, :, 0, :, :3]
    fluctuations = (dipoles**2).sum(axis=-1).mean(axis=2) / (3 * kB * settings.temperature_K)
    if subject.alpha is not None:
        fluctuations = fluctuations + own.samples[:, :, 0, :, -1].mean(axis=2) / COULOMB_eV_A
    return [
        {"n_beads": own.n_beads, "by": by, **two_way(values).estimate().row("value_e2_A2_per_eV")}
        for by, values in (
            ("slope", own.along()[:, :, 1] / settings.fields_V_per_A[1]), ("fluctuations", fluctuations)
        )
    ]  # fmt: skip


def _books(driven: np.ndarray, chosen: np.ndarray) -> list[tuple[Any, ...]]:
    """Return rows of ``BOOKS``; energy less work, which the time step lets sway, is averaged at both ends."""
    ends = max(1, round(ENDS_OF_BOOKS * driven.shape[2]))
    rows = []
    for member, starts in enumerate(driven):
        for place, run in zip(chosen, starts, strict=True):
            kept, work = (run[:, 0] - run[:, 1]) / meV, run[-1, 1] / meV
            difference = kept[-ends:].mean() - kept[:ends].mean()
            rows.append((int(place), member, work, work + difference, difference, kept.std()))
    return rows


def _driven(settings: Field, subject: Subject, driven: np.ndarray) -> list[tuple[Any, ...]]:
    times = settings.drive_every_fs * np.arange(driven.shape[2])
    polarization = two_way(driven[..., 2] / len(subject.molecules)).estimate()
    gained = two_way((driven[..., 0] - driven[:, :, :1, 0]) / meV / len(subject.molecules)).estimate()
    parts = [(found.value, found.low_95, found.high_95) for found in (polarization, gained)]
    fields = np.asarray(drive_of(settings).at(times))
    return list(zip(times, fields, *parts[0], *parts[1], strict=True))


def _gates(
    settings: Field, subject: Subject, table: pandas.DataFrame, sets: list[Set], expected: list[Expected],
    tables: dict[str, pandas.DataFrame],
) -> list[Gate]:  # fmt: skip
    gates = [
        Gate.at_most("runs that broke", int(table["lost_runs"].sum()), 0, shown="none").because(*LOST_TOLD)
    ]
    n_fields = len(settings.fields_V_per_A)
    for own, found in zip(sets, expected, strict=True):
        told = nuclei_of(own.n_beads)
        difference, interval = _of_starts(found.differences[:, :, 1])
        gates.append(
            Gate.equivalent(
                f"response by the smallest field less by fluctuations, {told}",
                difference,
                interval,
                MARGIN,
            ).because(*RESPONSE_TOLD)
        )
        n_samples = own.samples[:, :, 0, :, 0].size
        judged = [i for i in range(2, n_fields) if found.effective[i] >= LEAST_EFFECTIVE * n_samples]
        if judged:
            results = {i: _of_starts(found.differences[:, :, i]) for i in judged}
            worst = max(judged, key=lambda i: max(map(abs, results[i][1])))
            gates.append(
                Gate.equivalent(
                    f"dipole in stronger fields less Langevin's, {told} (part)", *results[worst], MARGIN,
                    f"at {settings.fields_V_per_A[worst]:g} V/Å, the worst of {len(judged)}",
                ).because(*LANGEVIN_TOLD)
            )  # fmt: skip
        along = own.samples[:, :, -1, :, 2]
        middle = along.shape[2] // 2
        size = np.linalg.norm(own.samples[:, :, -1, :, :3], axis=-1).mean()
        halves = (along[:, :, middle:].mean(axis=2) - along[:, :, :middle].mean(axis=2)) / size
        name = f"second half less first, dipole in the strongest field, {told} (part)"
        gates.append(Gate.equivalent(name, *_of_starts(halves), MARGIN).because(*HALVES_TOLD))
        if own.n_beads > 1:
            gates.append(kinetic_gate(told, own.kinetic))
    books = tables["energy_books"]
    off = books["difference_meV"].abs() / np.sqrt((books["work_meV"] ** 2).mean())
    gates += [
        Gate.at_most(f"energy gained less work, of the usual work, {which}", value, limit).because(*BOOK_TOLD)
        for which, value, limit in (("median", off.median(), BOOK), ("largest", off.max(), WORST_BOOK))
    ]
    if subject.source.n_members == 1:
        gates.append(Gate.unmeasured("the potential's error", "known", MODEL_UNKNOWN))
    return gates


def _section(
    settings: Field, subject: Subject, sets: list[Set], tables: dict[str, pandas.DataFrame],
    gates: list[Gate], out: Path,
) -> Section:  # fmt: skip
    response, linear = tables["response"], tables["linear_response"]
    strongest = settings.fields_V_per_A[-1]
    n_starts = sets[0].samples.shape[1]
    at = response[(response["quantity"] == POLARIZATION) & (response["field_V_per_A"] == strongest)]
    said, results = [], []
    for row in at.to_dict("records"):
        text, interval = with_interval(row["value"], row["low_95"], row["high_95"])
        said.append(f"{text} {interval} e Å per molecule ({nuclei_of(row['n_beads'])})")
        results.append(
            Result.of_row(
                f"Polarization at {strongest:g} V/Å, {nuclei_of(row['n_beads'])}", "value", row, "e Å",
                n=n_starts, of="starts",
            )
        )  # fmt: skip
    for row in linear[linear["by"] == "fluctuations"].to_dict("records"):
        name = f"Response to weak fields, {nuclei_of(row['n_beads'])}"
        results.append(Result.of_row(name, "value_e2_A2_per_eV", row, "e² Å²/eV", n=n_starts, of="starts"))
    drawn = [
        figures.response(response, curves(settings, subject, sets), out),
        figures.driven(tables["driven"], out),
    ]
    neglected = "" if subject.alpha is not None else " What a field induces (−½E·α·E) is neglected."
    return Section(
        title="Electric fields",
        headline=f"{subject.name} at {settings.temperature_K:g} K in {strongest:g} V/Å: {', '.join(said)}.",
        text=_text(settings, subject),
        gates=gates,
        figures=drawn,
        tables=[
            Table("response.csv", f"Polarization and lengths in each field.{neglected}"),
            Table("linear_response.csv", "Response to weak fields by two ways."),
            Table("langevin.csv", "Dipoles in fields, and as Langevin's function expects them."),
            Table("energy_books.csv", "Work of the field that changes with time, and energy gained."),
        ],
        results=results,
        main_figure=drawn[0].file,
        methods=(
            f"{subject.name} at {settings.temperature_K:g} K was run in constant electric fields of up to "
            f"{strongest:g} V/Å under H0 − μ·E{' − ½E·α·E' if subject.alpha is not None else ''} ({n_starts} "
            f"starts, {settings.duration_fs / 1000:g} ps each in each field, Langevin dynamics; ring "
            "polymers under PILE-L where nuclei are quantum)."
        ),
        references=REFERENCES,
    )  # fmt: skip


def _text(settings: Field, subject: Subject) -> list[str]:
    drive = drive_of(settings)
    shape = {
        "pulse": f"a pulse of {drive.frequency_THz:g} THz, {settings.drive_width_fs:g} fs wide (standard "
        f"deviation), about {settings.drive_centre_fs:g} fs",
        "wave": f"a wave of {drive.frequency_THz:g} THz",
        "constant": "a field that is constant from the start on",
    }[settings.drive]
    second = (
        "The induced dipole is that of the polarizability given (−½E·α·E), whose own error is in no interval."
        if subject.alpha is not None
        else "No polarizability was given: what the field induces, −½E·α·E, is neglected. Of its effect on "
        "forces that is some 0.5 % at 0.05 and 5 % at 0.5 V/Å (water at GFN2-xTB)."
    )
    n_molecules = len(subject.molecules)
    molecules = f"{n_molecules} molecule{'s' * (n_molecules > 1)}"
    text = [
        f"{subject.name} ({molecules}) was relaxed under the potential "
        f"({subject.source.kind}, {subject.source.level}), where its dipole is "
        f"{number(subject.dipole_e_A)} e Å. The field acts along z by H0 − μ·E, on every bead of the rings. "
        + second,
        "Each start is sampled in each field, a run of its own; errors of sampling are the scatter of "
        "starts. Polarization is the mean dipole along the field, per molecule. A free cluster turns into "
        "the field: since its energy without a field does not change when it turns, the dipoles without a "
        "field tell the polarization in one, by Langevin's function (langevin.csv). Lengths are means over "
        "the beads.",
        f"From frames without a field, classical nuclei run on at constant energy under {shape}, of "
        f"{settings.drive_V_per_A:g} V/Å. The energy gained is the field's work ∫E·dμ but for the time step.",
    ]
    if subject.source.n_members == 1:
        text.append(ONE_POTENTIAL)
    return text
