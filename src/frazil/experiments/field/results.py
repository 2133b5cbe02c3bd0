"""From samples in fields to polarization, lengths, response and energy books: tables, gates, the section."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from frazil.analysis.estimates import ONE_POTENTIAL, two_way
from frazil.errors import UserError
from frazil.experiments.at_rest import error_unknown
from frazil.experiments.dipoles import Dipoles, RETURNED_eV, WHOLE_e, carried_units
from frazil.experiments.field import figures
from frazil.experiments.field.carried import paths
from frazil.experiments.field.settings import Field
from frazil.experiments.field.subject import Subject, drive_of, subject_of
from frazil.experiments.field.tables import (
    ARRAYS,
    BOOKS,
    BORN,
    CARRIED,
    DIFFUSION,
    DRIVEN,
    EXPECTED,
    LANGEVIN,
    LINEAR,
    PER_VOLUME,
    POLARIZATION,
    RESPONSE,
    REWEIGHTED,
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
SCATTERS = (3.0, 5.5)
"""Scatter of energy less work at twice the time step, of that at one: 4 but for higher orders."""
SUM_e = 1e-4
"""Born charges of a neutral cell add up to none: the largest component of their sum."""
N_CURVE = 61
"""Fields of a drawn curve."""
ENDS_OF_BOOKS = 0.1
"""Part of a run at either end over which energies are averaged for the books."""
REFERENCES = [
    "@stocco2025: molecular dynamics in fields",
    "@habershon2009: q-TIP4P/F water",
    "@ceriotti2010: the thermostat of the rings",
]
REFERENCES_OF_CELLS = ["@jiang2012: oxidation numbers, and dipoles of many values"]
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
    "the cluster is polarized by about half of its dipole, a cell by about what its dipole fluctuates.",
)
REWEIGHTED_TOLD = (
    "Samples without a field, weighed by exp(μ·E/kT), say what polarizes in one. Fields in which they say "
    "nothing are left out.",
    "Run more starts, or longer (field.n_trajectories, field.duration_fs).",
)
CARRIED_TOLD = (
    "An ion that goes through the whole cell leaves all as it was, and changes the dipole by its oxidation "
    "number times the cell's vector. Under other numbers the field would do wrong work on ions that move.",
    "Train the model with the right oxidation numbers (train-gmnn --oxidation-numbers), or correct those "
    "that are told here (field.oxidation_numbers).",
)
RETURNED_TOLD = (
    "When an ion has gone through the whole cell, the energy is what it was.",
    "Give a potential that is periodic in its cell.",
)
SUM_TOLD = (
    "When all atoms move together the dipole of a neutral cell does not change: Born charges add up to none.",
    "Give a model whose oxidation numbers add up to none.",
)
SCATTER_TOLD = (
    "Energy less work scatters by the square of the time step, or the force of the field is not the slope of "
    "its energy (or numbers of single precision, noise of neighbours at the cutoff, drown it).",
    "Take a longer or shorter time step (field.drive_timestep_fs), or a model in float64.",
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
    "What still turns into the field when sampling starts is polarized more in the second half.",
    "Equilibrate longer (field.equilibration_fs), then sample longer.",
)


@dataclass(frozen=True)
class Set:
    """All starts that count, at one number of beads.

    samples (M, R, fields, n, 3 + quantities) of M members and R starts, kinetic (M, R, fields, 2), eV,
    diffusion (M, R, fields), Å²/ps, nan but in cells.
    """

    n_beads: int
    samples: np.ndarray
    kinetic: np.ndarray
    diffusion: np.ndarray

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
    samples, kinetic, driven, diffusion, doubled = (arranged(table, name, shape, chosen) for name in ARRAYS)
    sets = [
        Set(n, samples[:, :, i], kinetic[:, :, i], diffusion[:, :, i]) for i, n in enumerate(settings.n_beads)
    ]
    expected = [langevin(settings, subject, own) for own in sets]
    judged = REWEIGHTED if subject.in_cell else LANGEVIN
    tables = {
        "response": RESPONSE.frame([row for own in sets for row in _response(settings, subject, own)]),
        judged.name: judged.frame(
            [row for own, found in zip(sets, expected, strict=True)
             for row in _langevin(settings, subject, own, found)]
        ),
        "linear_response": LINEAR.frame([row for own in sets for row in _linear(settings, subject, own)]),
        "energy_books": BOOKS.frame(_books(driven, doubled[..., 0], chosen)),
        "driven": DRIVEN.frame(_driven(settings, subject, driven)),
    }  # fmt: skip
    if subject.in_cell:
        units = carried_units(subject.atoms, subject.molecules)
        tables["carried"] = CARRIED.frame(paths(subject.source, subject.atoms, units))
        tables["born_charges"] = BORN.frame(_born(subject))
    for declared in (RESPONSE, judged, LINEAR, BOOKS, DRIVEN, *((CARRIED, BORN) if subject.in_cell else ())):
        declared.write(tables[declared.name], out)
    gates = _gates(settings, subject, table, sets, expected, tables)
    return _section(settings, subject, sets, tables, gates, out)


def langevin(settings: Field, subject: Subject, own: Set) -> Expected:
    """Return what is expected in each field of the samples without one, and how dynamics differs.

    The energy without a field does not change when the cluster turns, so that over directions the average is
    exact: ⟨μ_z⟩_E = ⟨m L(x) sinh x/x⟩₀ / ⟨sinh x/x⟩₀, x = mE/kT, for the sizes m of dipoles (means over the
    beads) without a field. Of a polarizability its isotropic part adds ⟨α⟩E. A cell does not turn: there it
    is ⟨μ_z exp x⟩₀ / ⟨exp x⟩₀, x = μ_z E/kT.
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
    if subject.in_cell:
        along = own.samples[:, :, 0, :, 2]
        x = along * field_per_thermal
        return np.exp(x - x.max()), np.exp(x - x.max()) * along
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
        if subject.in_cell:
            continue
        rigid = subject.dipole_e_A * float(_langevin_function(np.array(subject.dipole_e_A * field / thermal)))
        rows.append((1, RIGID, field, rigid))
    found = pandas.DataFrame(rows, columns=["n_beads", "quantity", "field_V_per_A", "value"])
    return found.assign(unit=_unit(subject), value=found["value"] / subject.shares)


def _unit(subject: Subject) -> str:
    """Return the unit of polarizations."""
    return "e Å" if subject.in_cell else "e Å per molecule"


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
    rows = []
    quantities = [(POLARIZATION, _unit(subject), own.along() / subject.shares)]
    if subject.in_cell:
        quantities += [
            (PER_VOLUME, "e/Å²", own.along() / subject.atoms.get_volume()),
            (DIFFUSION, "Å²/ps", own.diffusion),
        ]
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
            row = (own.n_beads, field, own.along()[:, :, place].mean(), found.expected[place], difference,
                   *interval, found.effective[place])  # fmt: skip
            rows.append(row if subject.in_cell else (*row, rigid))
    return rows


def _of_starts(values: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Return the mean of values (M, R) and its 95 % interval by the scatter of the starts."""
    found = two_way(values).estimate()
    return float(found.value), (float(found.low_95), float(found.high_95))


def _linear(settings: Field, subject: Subject, own: Set) -> list[dict[str, Any]]:
    """Return the response of the whole structure by slope at the smallest field, and by fluctuations."""
    dipoles, along = own.samples[:, :, 0, :, :3], own.along()
    slope = along[:, :, 1] / settings.fields_V_per_A[1]
    if subject.in_cell:
        # What a crystal has without a field is no response; of a liquid it is none but for sampling.
        slope = slope - along[:, :, 0] / settings.fields_V_per_A[1]
        squares = ((dipoles - dipoles.mean(axis=(1, 2), keepdims=True)) ** 2).mean(axis=2)
        own_response = squares / (kB * settings.temperature_K)
        ways = {
            "slope": slope, "fluctuations": own_response[..., 2],
            "fluctuations, three directions": own_response.mean(axis=-1),
        }  # fmt: skip
    else:
        fluctuations = (dipoles**2).sum(axis=-1).mean(axis=2) / (3 * kB * settings.temperature_K)
        if subject.alpha is not None:
            fluctuations = fluctuations + own.samples[:, :, 0, :, -1].mean(axis=2) / COULOMB_eV_A
        ways = {"slope": slope, "fluctuations": fluctuations}
    rows = []
    for by, values in ways.items():
        row = two_way(values).estimate().row("value_e2_A2_per_eV")
        of_cell = _permittivity(subject, row["value_e2_A2_per_eV"]) if subject.in_cell else np.nan
        rows.append({"n_beads": own.n_beads, "by": by, **row, "permittivity": of_cell})
    return rows


def _permittivity(subject: Subject, response_e2_A2_per_eV: float) -> float:
    """Return the relative permittivity of nuclei (and what electrons the dipole knows): 1 + χ/ε0V."""
    return 1.0 + 4.0 * np.pi * COULOMB_eV_A * response_e2_A2_per_eV / subject.atoms.get_volume()


def _born(subject: Subject) -> list[tuple[Any, ...]]:
    """Return rows of ``BORN``, under the mean."""
    charges = Dipoles(subject.source, subject.atoms).born_charges(subject.atoms.positions)
    symbols = subject.atoms.get_chemical_symbols()
    return [
        (atom, symbol, *tensor.ravel())
        for atom, (symbol, tensor) in enumerate(zip(symbols, charges, strict=True))
    ]


def _books(driven: np.ndarray, doubled: np.ndarray, chosen: np.ndarray) -> list[tuple[Any, ...]]:
    """Return rows of ``BOOKS``; energy less work, which the time step lets sway, is averaged at both ends."""
    ends = max(1, round(ENDS_OF_BOOKS * driven.shape[2]))
    rows = []
    for member, starts in enumerate(driven):
        for place, run, twice in zip(chosen, starts, doubled[member], strict=True):
            kept, work = (run[:, 0] - run[:, 1]) / meV, run[-1, 1] / meV
            difference = kept[-ends:].mean() - kept[:ends].mean()
            rows.append((int(place), member, work, work + difference, difference, kept.std(), twice / meV))
    return rows


def _driven(settings: Field, subject: Subject, driven: np.ndarray) -> list[tuple[Any, ...]]:
    times = settings.drive_every_fs * np.arange(driven.shape[2])
    polarization = two_way(driven[..., 2] / subject.shares).estimate()
    gained = two_way((driven[..., 0] - driven[:, :, :1, 0]) / meV / subject.shares).estimate()
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
            whose = "what samples without one expect" if subject.in_cell else "Langevin's"
            gates.append(
                Gate.equivalent(
                    f"dipole in stronger fields less {whose}, {told} (part)", *results[worst], MARGIN,
                    f"at {settings.fields_V_per_A[worst]:g} V/Å, the worst of {len(judged)}",
                ).because(*(REWEIGHTED_TOLD if subject.in_cell else LANGEVIN_TOLD))
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
    if subject.in_cell:
        gates += _gates_of_cell(subject, tables)
    if subject.source.n_members == 1:
        gates.append(error_unknown())
    return gates


def _gates_of_cell(subject: Subject, tables: dict[str, pandas.DataFrame]) -> list[Gate]:
    """Return the gates of ions carried through the cell, of Born charges, and of the time step."""
    carried = tables["carried"]
    ends = carried[carried["fraction"] == 1.0]
    off = np.maximum((ends["change_e"] - numbers_of(subject, ends)).abs(), ends["change_across_e"].abs())
    worst = ends.loc[off.idxmax()]
    told = f"{worst['carried']} along {worst['along']}: {worst['change_e']:.5f} e times the vector"
    born = tables["born_charges"].drop(columns=["atom", "element"]).sum()
    books = tables["energy_books"]
    scatter = (books["energy_std_doubled_meV"] / books["energy_std_meV"]).median()
    return [
        Gate.at_most(
            "change of the dipole by what is carried through the cell, less its oxidation number (e)",
            off.max(), WHOLE_e, told,
        ).because(*CARRIED_TOLD),
        Gate.at_most(
            "energy when it has been carried through the cell, less that before (eV)",
            ends["energy_eV"].abs().max(), RETURNED_eV,
        ).because(*RETURNED_TOLD),
        Gate.at_most(
            "sum of the Born charges, largest component (e)", born.abs().max(), SUM_e
        ).because(*SUM_TOLD),
        Gate.within(
            "scatter of energy less work at twice the time step, of that at one", scatter, *SCATTERS
        ).because(*SCATTER_TOLD),
    ]  # fmt: skip


def numbers_of(subject: Subject, ends: pandas.DataFrame) -> np.ndarray:
    """Return the oxidation numbers (rows,) of what was carried: those told, or the nearest whole ones.

    A molecule's is the sum of its atoms': none.
    """
    if not subject.numbers_e:
        return np.asarray(ends["change_e"].round())
    units = dict(carried_units(subject.atoms, subject.molecules))
    symbols = np.array(subject.atoms.get_chemical_symbols())
    return np.array(
        [sum(subject.numbers_e[symbol] for symbol in symbols[units[name]]) for name in ends["carried"]]
    )


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
        said.append(f"{text} {interval} {_unit(subject)} ({nuclei_of(row['n_beads'])})")
        results.append(
            Result.of_row(
                f"Polarization at {strongest:g} V/Å, {nuclei_of(row['n_beads'])}", "value", row, "e Å",
                n=n_starts, of="starts",
            )
        )  # fmt: skip
    for row in linear[linear["by"] == "fluctuations"].to_dict("records"):
        if subject.in_cell:
            continue
        name = f"Response to weak fields, {nuclei_of(row['n_beads'])}"
        results.append(Result.of_row(name, "value_e2_A2_per_eV", row, "e² Å²/eV", n=n_starts, of="starts"))
    if subject.in_cell:
        results += _results_of_cell(settings, subject, tables, n_starts)
    drawn = [
        figures.response(response, curves(settings, subject, sets), out),
        figures.driven(tables["driven"], out),
    ]
    if subject.in_cell:
        drawn.append(figures.carried(tables["carried"], out))
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
            *_tables_of(subject),
            Table("energy_books.csv", "Work of the field that changes with time, and energy gained."),
        ],
        results=results,
        main_figure=drawn[0].file,
        methods=(
            f"{subject.name}{' (a cell)' * subject.in_cell} at {settings.temperature_K:g} K was run in "
            "constant electric fields of up to "
            f"{strongest:g} V/Å under H0 − μ·E{' − ½E·α·E' if subject.alpha is not None else ''} ({n_starts} "
            f"starts, {settings.duration_fs / 1000:g} ps each in each field, Langevin dynamics; ring "
            "polymers under PILE-L where nuclei are quantum)."
        ),
        references=[*REFERENCES, *(REFERENCES_OF_CELLS if subject.in_cell else ())],
    )  # fmt: skip


def _tables_of(subject: Subject) -> list[Table]:
    if not subject.in_cell:
        return [Table("langevin.csv", "Dipoles in fields, and as Langevin's function expects them.")]
    return [
        Table("reweighted.csv", "Dipoles in fields, and as samples without one expect them."),
        Table("carried.csv", "Dipole and energy as an ion or molecule goes through the whole cell."),
        Table("born_charges.csv", "∂μ/∂r of each atom in the cell as given."),
    ]


def _results_of_cell(
    settings: Field, subject: Subject, tables: dict[str, pandas.DataFrame], n_starts: int
) -> list[Result]:
    """Return the cards of permittivities, and of diffusion without a field and in the strongest."""
    found = []
    linear = tables["linear_response"]
    for row in linear[linear["by"] == "fluctuations, three directions"].to_dict("records"):
        names = ("low_95", "high_95", "total_low_95", "total_high_95")
        own = row | {name: _permittivity(subject, row[name]) for name in names}
        own["model_std"] = _permittivity(subject, row["model_std"]) - 1.0
        name = f"Relative permittivity, {nuclei_of(row['n_beads'])}"
        found.append(Result.of_row(name, "permittivity", own, "", n=n_starts, of="starts"))
    response = tables["response"]
    for field in (0.0, settings.fields_V_per_A[-1]):
        chosen = (response["quantity"] == DIFFUSION) & (response["field_V_per_A"] == field)
        for row in response[chosen].to_dict("records"):
            name = f"Diffusion in {field:g} V/Å, {nuclei_of(row['n_beads'])}"
            found.append(Result.of_row(name, "value", row, "Å²/ps", n=n_starts, of="starts"))
    return found


def _text_of_cell(settings: Field, subject: Subject) -> list[str]:
    what = (
        "no molecules, so that each ion goes by itself, and polarization counts from the dipole of the cell "
        "as given"
        if subject.is_ionic
        else f"{len(subject.molecules)} molecules"
    )
    return [
        f"{subject.name} is a cell of {subject.atoms.get_volume():.0f} Å³ with {len(subject.atoms)} atoms "
        f"({what}), run as given under the potential ({subject.source.kind}, {subject.source.level}). The "
        "field acts along z by H0 − μ·E, on every bead of the rings; it is the macroscopic one. Positions "
        "are never wrapped: the dipole stays on its branch. What the field induces in electrons that the "
        "dipole does not know, −½E·α·E, is neglected.",
        "Each start is sampled in each field, a run of its own; errors of sampling are the scatter of "
        "starts. Diffusion is the half slope of squared displacements from the centre of all, over three, "
        "without a correction for the small cell; friction of the thermostat (1 ps) lowers that of light "
        "molecules by some percent. Weighed by exp(μ·E/kT), samples without a field tell the polarization in "
        "one (reweighted.csv).",
    ]


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
    run_on = (
        f"From frames without a field, classical nuclei run on at constant energy under {shape}, of "
        f"{settings.drive_V_per_A:g} V/Å. The energy gained is the field's work ∫E·dμ but for the time step."
    )
    alone = [ONE_POTENTIAL] if subject.source.n_members == 1 else []
    if subject.in_cell:
        return [*_text_of_cell(settings, subject), run_on, *alone]
    n_molecules = len(subject.molecules)
    molecules = f"{n_molecules} molecule{'s' * (n_molecules > 1)}"
    return [
        f"{subject.name} ({molecules}) was relaxed under the potential "
        f"({subject.source.kind}, {subject.source.level}), where its dipole is "
        f"{number(subject.dipole_e_A)} e Å. The field acts along z by H0 − μ·E, on every bead of the rings. "
        + second,
        "Each start is sampled in each field, a run of its own; errors of sampling are the scatter of "
        "starts. Polarization is the mean dipole along the field, per molecule. A free cluster turns into "
        "the field: since its energy without a field does not change when it turns, the dipoles without a "
        "field tell the polarization in one, by Langevin's function (langevin.csv). Lengths are means over "
        "the beads.",
        run_on,
        *alone,
    ]
