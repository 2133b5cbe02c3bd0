"""Tables, figures, gates and the section of the report of the infrared experiment."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas
from ase import Atoms
from ase.units import Debye

from frazil.analysis.normal_modes import matched
from frazil.analysis.settings import MODEL_ERROR_SCALE, Spectrum
from frazil.analysis.spectra import resolution_cm1
from frazil.data.frames import load_frames, read_extxyz
from frazil.data.split import divided
from frazil.errors import UserError
from frazil.experiments.conservation import drift_gates
from frazil.experiments.infrared import figures, spectra_tables
from frazil.experiments.infrared.descriptors import Plane, soap_vectors
from frazil.experiments.infrared.dipoles import Dipoles, read_dipoles
from frazil.experiments.infrared.harmonic import modes_of
from frazil.experiments.infrared.learning import errors_of
from frazil.experiments.infrared.minima import MINIMA, Reference, read_minima
from frazil.experiments.infrared.settings import ClusterSpectrum
from frazil.experiments.infrared.tables import (
    ACTIVE_LEARNING,
    BANDS,
    CALIBRATION,
    COMPARISON,
    CONVERGENCE,
    HARMONIC,
    HARMONIC_ERRORS,
    HARMONIC_ROUNDS,
    ROUNDS,
    RUNS,
    SILICATE_BANDS,
    SPECTRA,
    SUMS,
    TRANSFERABILITY,
)  # fmt: skip
from frazil.files import write_atomic
from frazil.learning.errors import ERRORS, MEAN, error_row
from frazil.potentials.gmnn.files import Model
from frazil.potentials.registry import load
from frazil.report.section import Gate, Result, Section, Table
from frazil.settings import load as load_settings
from frazil.systems.minima import ModelModes

LARGEST_BAND_ERROR_cm1 = 15.0
LEAST_COSINE = 0.93
LARGEST_HARMONIC_ERROR_cm1 = 10.0
REFERENCES = [
    "@tang2023: the study that this experiment follows",
    "@zaverkin2020: Gaussian moments",
    "@ramirez2004: quantum corrections",
]
HARMONIC_TOLD = (
    "Modes are matched one by one; ten wavenumbers keep the order of nearly all of them, and stay below the "
    "limit of 15 for bands of spectra.",
    "Add rounds of learning (infrared.max_rounds) or epochs (infrared.n_epochs).",
)
FORCES_TOLD = (
    "Active learning has to lower the error on frames that the committee chose; where it does not, the new "
    "labels did not help.",
    "Train longer after each round (infrared.retraining_epochs), or check the labels.",
)
BANDS_TOLD = (
    "A band that is off by more than 15 cm⁻¹ would be assigned to another mode.",
    "Lower the force error first; then run longer (infrared.duration_fs), since short runs blur bands.",
)
COSINE_TOLD = (
    "The cosine compares whole spectra. Its ceiling is what two means of the label's own runs give, in the "
    "comment; below 0.93 the model adds an error that one sees.",
    "Where the ceiling itself is low, run more replicas of both; else improve the model's dipoles and "
    "forces.",
)
LOST_TOLD = (
    "A run that breaks left what the model knows. Its spectrum is missing from the mean.",
    "Add rounds of learning at the highest temperature (infrared.learning_temperatures_K).",
)


def analyse(
    minima: Path,
    learned: Path,
    dipoles: Sequence[Path],
    out: Path,
    isomers: Path | None = None,
    spectrum: ClusterSpectrum | None = None,
    model_error_scale: float = MODEL_ERROR_SCALE,
) -> None:
    """Write every table of the experiment, the figures and the section into ``out``.

    ``learned`` is the folder of ``learn``, ``dipoles`` are files of models and of the label, ``isomers`` a
    file of minima that were not trained on; ``spectrum`` says how spectra are made, ``model_error_scale`` is
    that of the members' prior. Raises UserError for files that do not belong together.
    """
    chosen = Spectrum(**asdict(spectrum or load_settings(ClusterSpectrum, {})))
    references = read_minima(minima)
    model = load(learned).model
    runs = [read_dipoles(path) for path in dipoles]
    known = {reference.name for reference in references}
    foreign = sorted({run.structure for run in runs} - known)
    if foreign:
        raise UserError(f"dipoles of {', '.join(foreign)}, which {minima} does not hold; give its own")
    spectra = {
        engine: [
            m
            for run in runs
            if run.engine == engine
            for m in spectra_tables.mean_spectra(run, chosen, model_error_scale)
        ]
        for engine in ("model", "label")
    }
    of_learning = (ROUNDS, ACTIVE_LEARNING, CALIBRATION, HARMONIC_ROUNDS)
    tables = {table.name: table.read(learned) for table in of_learning}
    found = {reference.name: _modes(model, reference) for reference in references}
    tables["harmonic"] = harmonic_table(references, found)
    tables["harmonic_errors"] = harmonic_errors(tables["harmonic"])
    tables["spectra"] = _stacked(spectra["model"])
    firsts = np.cumsum([0, *(run.outcomes.size for run in runs)]).tolist()
    tables["runs"] = pandas.concat([run.table(first) for run, first in zip(runs, firsts, strict=False)])
    pairs = _pairs(spectra["model"], spectra["label"])
    if spectra["label"]:
        tables["label_spectra"] = _stacked(spectra["label"])
    if pairs:
        tables["bands"] = pandas.concat([spectra_tables.bands(*pair) for pair in pairs])
        tables["comparison"] = COMPARISON.frame([spectra_tables.compared(*pair) for pair in pairs])
    means = [(engine, mean) for engine, found in spectra.items() for mean in found]
    tables["convergence"] = pandas.concat([spectra_tables.convergence(*each) for each in means])
    formulas = {r.name: r.minimum.atoms.get_chemical_formula() for r in references}
    tables["sums"] = spectra_tables.sums(spectra["model"], formulas)
    tables["silicate_bands"] = spectra_tables.silicate_bands(tables["sums"])
    frames = load_frames(learned / "frames.extxyz")
    others = read_minima(isomers) if isomers else []
    test = read_extxyz(learned / "test.extxyz")
    tables["errors"], tables["parity"] = accuracy(model, frames, test)
    places = transferability(model, frames, references, others)
    tables["transferability"] = places
    own = (
        ERRORS, HARMONIC, HARMONIC_ERRORS, SPECTRA, RUNS, SPECTRA.named("label_spectra"), BANDS, COMPARISON,
        CONVERGENCE, SUMS, SILICATE_BANDS, TRANSFERABILITY,
    )  # fmt: skip
    for table in (*of_learning, *own):
        if table.name in tables:
            table.write(tables[table.name], out)
    with write_atomic(out / MINIMA) as partial:  # with the committee all that a repeated run needs
        shutil.copyfile(minima, partial)
    _section(out, tables, references, spectra, runs, chosen).write(out)


def accuracy(
    model: Model, known: Sequence[Atoms], test: Sequence[Atoms]
) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """Return the errors of the committee's mean by subset, dipoles in Debye (the paper's Table I), and the
    dipoles of the test set beside the label's (its Fig. 4).

    Errors of forces and dipoles are those of components. Validation frames chose the
    best epoch, calibration frames are held out and calibrate the spread.
    """
    rows = []
    for subset, frames in zip(
        ("train", "validation", "calibration", "test"), (*divided(known), test), strict=True
    ):
        energies, forces, dipoles, _ = errors_of(model, frames)
        for quantity, unit, errors in (
            ("energy", "meV/atom", 1000 * energies),
            ("force", "eV/Å", forces),
            ("dipole", "D", dipoles.ravel() / Debye),
        ):
            rows.append(error_row(MEAN, subset, quantity, "all", unit, errors))
    missed = dipoles.ravel() / Debye  # of the test set, the last one
    label = np.array([atoms.get_dipole_moment() for atoms in test]).ravel() / Debye
    parity = pandas.DataFrame({"label_D": label, "model_D": label + missed} if len(missed) else {})
    return ERRORS.frame(rows), parity


def _modes(model: Model, reference: Reference) -> ModelModes | None:
    """Return the model's modes of a structure, None where the model has no minimum near."""
    try:
        return modes_of(model, reference.minimum.atoms, reference.name)
    except UserError:
        return None


def harmonic_table(references: Sequence[Reference], found: dict[str, ModelModes | None]) -> pandas.DataFrame:
    """Return modes by label and model; ``mode`` numbers the label's, the model's like has the same number."""
    rows = []
    for reference in references:
        label, own = reference.minimum.modes, found[reference.name]
        for number, wavenumber in enumerate(label.wavenumbers_cm1):
            intensity = label.intensities_km_per_mol[number]
            rows.append((reference.name, "label", number + 1, wavenumber, intensity, math.nan))
        if own is None:
            continue
        modes = own.minimum.modes
        partners = matched(label, modes, reference.minimum.atoms.get_masses())
        for number, partner in enumerate(partners):
            values = (modes.wavenumbers_cm1, modes.intensities_km_per_mol, own.spread_cm1)
            rows.append((reference.name, "model", number + 1, *(value[partner] for value in values)))
    return HARMONIC.frame(rows)


def harmonic_errors(harmonic: pandas.DataFrame) -> pandas.DataFrame:
    """Return the mean absolute errors of wavenumbers and intensities, of each structure and of all modes."""
    values = ["wavenumber_cm1", "intensity_km_per_mol"]
    keys = ["structure", "mode"]
    by_method = {method: own.set_index(keys)[values] for method, own in harmonic.groupby("method")}
    if "model" not in by_method:
        return HARMONIC_ERRORS.frame([])
    off = (by_method["model"] - by_method["label"]).abs().dropna(how="all")
    rows = [(str(name), len(own), *own.mean()) for name, own in off.groupby("structure")]
    return HARMONIC_ERRORS.frame([*rows, ("all", len(off), *off.mean())])


def transferability(
    model: Model, frames: Sequence[Atoms], trained: Sequence[Reference], others: Sequence[Reference]
) -> pandas.DataFrame:
    """Return the harmonic error of structures beside their place among the training frames.

    Columns: structure, trained (0 or 1), harmonic_mae_cm1 (empty: no minimum), distance (to the nearest
    training frame, between SOAP vectors of length 1), pca_1, pca_2 (plane of the training frames).
    """
    judged = [*trained, *others]
    vectors = soap_vectors([*frames, *(reference.minimum.atoms for reference in judged)])
    plane, known = Plane.of(vectors[: len(frames)]), vectors[: len(frames)]
    rows = []
    for number, reference in enumerate(judged):
        own, error = _modes(model, reference), math.nan
        if own is not None:
            expected, masses = reference.minimum.modes, reference.minimum.atoms.get_masses()
            partners = matched(expected, own.minimum.modes, masses)
            wavenumbers = own.minimum.modes.wavenumbers_cm1[partners]
            error = float(np.abs(wavenumbers - expected.wavenumbers_cm1).mean())
        vector = vectors[len(frames) + number]
        distance = float(np.linalg.norm(known - vector, axis=1).min())
        rows.append(
            (reference.name, int(number < len(trained)), error, distance, *plane.places(vector[None])[0])
        )
    return TRANSFERABILITY.frame(rows)


def _stacked(means: Sequence[spectra_tables.Mean]) -> pandas.DataFrame:
    parts = [mean.table() for mean in sorted(means, key=lambda mean: (mean.structure, mean.temperature_K))]
    return pandas.concat(parts) if parts else SPECTRA.frame([])


def _pairs(
    models: Sequence[spectra_tables.Mean], labels: Sequence[spectra_tables.Mean]
) -> list[tuple[spectra_tables.Mean, spectra_tables.Mean]]:
    """Return spectra of model and label of one structure and temperature."""
    of = {(mean.structure, mean.temperature_K): mean for mean in labels}
    keys = [(mean.structure, mean.temperature_K) for mean in models]
    return [(model, of[key]) for model, key in zip(models, keys, strict=True) if key in of]


def _by_starts(spectra: dict[str, list[spectra_tables.Mean]]) -> dict[str, list[pandas.DataFrame]]:
    """Return of every structure its spectra as means of ever more starts."""
    found: dict[str, list[pandas.DataFrame]] = {}
    for engine, means in spectra.items():
        for mean in means:
            found.setdefault(mean.structure, []).append(spectra_tables.by_starts(engine, mean))
    return found


def _gates(tables: dict[str, pandas.DataFrame]) -> list[Gate]:
    rounds, harmonic = tables["rounds"], tables["harmonic"]
    last = rounds.iloc[-1]
    wide = harmonic.pivot(index=["structure", "mode"], columns="method", values="wavenumber_cm1")
    error = math.nan if "model" not in wide else float((wide["model"] - wide["label"]).abs().mean())
    harmonic_gate = _at_most(
        "Harmonic wavenumbers (mean absolute error, cm⁻¹)", error, LARGEST_HARMONIC_ERROR_cm1
    )
    gates = [harmonic_gate.because(*HARMONIC_TOLD)]
    first, name = rounds.iloc[0], "Force error on the test set, eV/Å (RMSE)"
    force = float(last["force_rmse_eV_per_A"])
    limit = f"below the first round's {first['force_rmse_eV_per_A']:.4f}"
    if len(rounds) > 1:
        better = force < first["force_rmse_eV_per_A"]
        gates.append(Gate.holds(name, force, limit, better).because(*FORCES_TOLD))
    else:
        alone = Gate(name, force, limit, None, "one round only: nothing to compare it with")
        gates.append(alone.because(*FORCES_TOLD))
    if "bands" in tables:
        worst = float(tables["bands"]["difference_cm1"].abs().max())
        gates.append(
            _at_most(
                "Strong bands, model against label (largest, cm⁻¹)", worst, LARGEST_BAND_ERROR_cm1
            ).because(*BANDS_TOLD)
        )
        for row in tables["comparison"].to_dict("records"):
            gates.append(
                Gate.at_least(
                    f"Cosine of the spectra, {row['structure']} at {row['temperature_K']:g} K",
                    float(row["cosine"]),
                    LEAST_COSINE,
                    f"two means of the label alone would give {row['label_noise_floor']:.3f}",
                    shown=f"at least {LEAST_COSINE}",
                ).because(*COSINE_TOLD)
            )
    lost = int(tables["spectra"].groupby(["structure", "temperature_K"])["n_lost"].first().sum())
    gates.append(Gate.at_most("Model runs that broke", lost, 0, shown="none").because(*LOST_TOLD))
    return gates


def _drift_gates(
    table: pandas.DataFrame, runs: Sequence[Dipoles], references: Sequence[Reference]
) -> list[Gate]:
    """Return the gates on what the model's runs conserve."""
    own = table[table["engine"] == "model"]
    n_modes = {r.name: len(r.minimum.modes.wavenumbers_cm1) for r in references}
    duration_fs = {run.structure: (run.dipoles_e_A.shape[3] - 1) * run.interval_fs for run in runs}
    return drift_gates(
        own["energy_drift_meV_per_ps"], own["structure"].map(duration_fs), own["structure"].map(n_modes),
        own["temperature_K"], "infrared.timestep_fs",
    )  # fmt: skip


def _at_most(name: str, value: float, limit: float) -> Gate:
    return Gate.at_most(name, value, limit, shown=f"at most {limit:g}")


def _section(
    out: Path,
    tables: dict[str, pandas.DataFrame],
    references: Sequence[Reference],
    spectra: dict[str, list[spectra_tables.Mean]],
    runs: Sequence[Dipoles],
    settings: Spectrum,
) -> Section:
    rounds = tables["rounds"]
    gates = [*_gates(tables), *_drift_gates(tables["runs"], runs, references)]
    last, level = rounds.iloc[-1], references[0].label_level
    drawn = [
        figures.learning(rounds, out),
        figures.calibration(tables["calibration"], rounds, out),
        *(
            figures.spectrum(reference.name, spectra, tables["harmonic"], level, out)
            for reference in references
            if any(mean.structure == reference.name for mean in spectra["model"])
        ),
        figures.summed(tables["sums"], out),
        figures.convergence(tables["convergence"], out),
        *(figures.by_starts(pandas.concat(own), name, out) for name, own in _by_starts(spectra).items()),
    ]
    if len(tables["parity"]):
        drawn.append(figures.dipole_parity(tables["parity"], out))
    if len(tables["transferability"]) > 1:
        drawn.append(figures.transferability(tables["transferability"], out))
    text = [
        "A committee of Gaussian-moment networks learned energies, forces and dipoles (centred charges "
        f"times positions) at the level {level} in {len(rounds)} trainings, from "
        f"{int(rounds.iloc[0]['n_train'])} to {int(last['n_train'])} training frames. Between trainings "
        "replicas ran until the committee's calibrated spread passed its limit; those frames were labelled. "
        "The errors of every round are on one test set: frames at the end of runs of the last committee.",
        "Spectra are the transform of the autocorrelation of the dipole's time derivative (Wiener–Khinchin; "
        f"{settings.window} window, depth {settings.depth_fs:g} fs, "
        f"resolution {resolution_cm1(settings):.1f} cm⁻¹; quantum correction: "
        f"{settings.correction}). Intensities are absolute, km/mol per cm⁻¹: the "
        "area of a band compares with the harmonic intensity. The band around a line is the 95 % interval of "
        "the mean over runs; tables add the committee's part (total_low_95, total_high_95).",
    ]
    if spectra["label"]:
        text.append(
            f"The label's own spectrum ({level}) is from other starts, the same thermostat and the same "
            f"transform. Cosines are between {spectra_tables.LOWEST_cm1:g} and "
            f"{spectra_tables.HIGHEST_cm1:g} cm⁻¹ after smoothing by {spectra_tables.SMOOTH_cm1:g} cm⁻¹; the "
            "noise floor is "
            "what two means of as many runs of the label would have."
        )
    shown = [
        Table(
            "errors.csv",
            "Errors of the committee's mean; the paper's Table I has 2.3 and 3.5 meV/atom, 0.043 "
            "and 0.060 eV/Å, 0.074 and 0.102 D (MAE and RMSE, test set).",
        ),
    ]
    shown += [Table("rounds.csv", "The rounds of active learning."), Table("harmonic.csv", "Harmonic modes.")]
    beside = "Mean absolute errors of harmonic modes; the paper has 1.6 cm⁻¹ and 26.8 km/mol."
    shown += [Table("harmonic_errors.csv", beside)]
    if "bands" in tables:
        shown += [Table("bands.csv", "Strong bands of the label, and the model's nearest.")]
        shown += [Table("comparison.csv", "Likeness of model's and label's spectra.")]
    shown += [Table("silicate_bands.csv", "Where summed spectra have their band between 8 and 12 µm.")]
    shown += [Table("transferability.csv", "Harmonic error and place among the training frames (SOAP).")]
    runs_each = sorted({mean.spectrum.n_runs for mean in spectra["model"]})
    return Section(
        title="Infrared spectra",
        headline=(
            f"{len(references)} structure{'s' * (len(references) > 1)}, {len(runs)} ensembles of dipoles "
            f"({'–'.join(str(n) for n in {runs_each[0], runs_each[-1]})} runs a spectrum); force error "
            f"{float(last['force_rmse_eV_per_A']):.3f} eV/Å, harmonic error "
            f"{float(last['harmonic_mae_cm1']):.1f} cm⁻¹."
        ),
        text=text,
        gates=gates,
        figures=drawn,
        tables=shown,
        results=_results(tables),
        main_figure=next((item.file for item in drawn if item.file.startswith("spectrum_")), ""),
        methods=(
            f"Infrared spectra: a committee of Gaussian-moment networks was trained on energies, forces and "
            f"dipoles of level {level} in {len(rounds)} rounds of active learning "
            f"({int(last['n_train'])} training frames at the end). Spectra are Fourier transforms of the "
            "autocorrelation of the dipole's time derivative, means over runs with 95 % bands."
        ),
        references=REFERENCES,
    )


def _results(tables: dict[str, pandas.DataFrame]) -> list[Result]:
    last, harmonic = tables["rounds"].iloc[-1], tables["harmonic"]
    n_modes = int((harmonic["method"] == "model").sum())
    error = float(last["harmonic_mae_cm1"])
    cards = [
        Result("Harmonic wavenumbers, mean absolute error", error, "cm⁻¹", n=n_modes, of="modes"),
        Result("Force error on the test set (RMSE)", float(last["force_rmse_eV_per_A"]), "eV/Å",
               n=int(last["n_train"]), of="training frames"),
    ]  # fmt: skip
    if "bands" in tables and len(tables["bands"]):
        bands = tables["bands"]["difference_cm1"].abs()
        runs = sorted({int(n) for n in tables["comparison"]["n_runs_model"]})
        told = f"{runs[0]} to {runs[-1]} runs a spectrum" if len(runs) > 1 else f"{runs[0]} runs a spectrum"
        cards.append(
            Result("Strong bands, largest difference from the label's", float(bands.max()), "cm⁻¹",
                   n=len(bands), of="bands", verdict=told)
        )  # fmt: skip
    return cards
