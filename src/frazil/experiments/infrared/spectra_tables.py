"""From dipoles to tables: mean spectra with their errors, bands, likeness of two spectra, sums over sizes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas
import scipy.ndimage
import scipy.signal
import scipy.stats
from ase.formula import Formula

from frazil.analysis.estimates import Estimate, estimate
from frazil.analysis.settings import MODEL_ERROR_SCALE, Spectrum
from frazil.analysis.spectra import Average, average, infrared_spectrum, jump_in
from frazil.errors import UserError
from frazil.experiments.infrared.dipoles import Dipoles
from frazil.experiments.infrared.tables import BANDS, CONVERGENCE, SILICATE_BANDS, SPECTRA

LOWEST_cm1, HIGHEST_cm1 = 200.0, 1600.0
"""Where spectra are compared: below are the softest modes, above no silicate absorbs (at 1410 cm⁻¹ the
terminal Si=O of MgSiO3 does, with GFN2-xTB).
"""
SMOOTH_cm1 = 10.0
"""Standard deviation of the Gaussian that both spectra are smoothed with before they are compared."""
STRONG = 0.2
"""Height of a band that counts as strong, of the strongest."""
NEAR_cm1 = 25.0
"""How far a band's place may move between starts and members."""
SILICATE_um = (8.0, 12.0)
"""Where the silicate band near 9.7 µm is looked for."""
FAMILIES = {"MgO3Si": "pyroxene", "Mg2O4Si": "olivine"}
"""Names of sums by the formula unit (Hill order)."""


@dataclass(frozen=True)
class Mean:
    """A structure's spectrum at one temperature: both errors, runs lost.

    ``spectrum``: the mean over starts, each of them the mean of its members' runs, since runs of one start
    are not independent. ``runs`` (members, starts, n): each run's spectrum, nan where it broke. ``single``
    (starts, n): of each start.
    """

    structure: str
    temperature_K: float
    spectrum: Average
    runs: np.ndarray
    n_lost: int
    scale: float = MODEL_ERROR_SCALE

    @property
    def single(self) -> np.ndarray:
        """Of each start that is left the mean of its members' spectra (starts, n)."""
        return of_starts(self.runs)

    @property
    def estimate(self) -> Estimate:
        """The intensity (n,) with its errors: by the scatter of starts (Student's t), and by the members'.

        Members are compared start by start, so that what all share by their starts does not count as theirs.
        """
        s, n_members = self.spectrum, len(self.runs)
        whole = self.runs[:, np.isfinite(self.runs[..., 0]).all(axis=0)]
        if n_members < 2 or whole.shape[1] < 2:
            return estimate(s.intensity, (s.low_95, s.high_95))
        apart = whole - whole.mean(axis=0)
        variances = apart.var(axis=1, ddof=1) / whole.shape[1] * n_members / (n_members - 1)
        unit = self.scale * self.single.std(axis=0, ddof=1)
        return estimate(s.intensity, (s.low_95, s.high_95), whole.mean(axis=1), variances, unit)

    def table(self) -> pandas.DataFrame:
        """Return the rows of ``spectra.csv``; what was not measured is empty."""
        found = {
            "structure": self.structure, "temperature_K": self.temperature_K,
            "wavenumber_cm1": self.spectrum.wavenumber_cm1, **self.estimate.row("intensity"),
            "n_runs": self.spectrum.n_runs, "n_starts": len(self.single), "n_lost": self.n_lost,
        }  # fmt: skip
        return pandas.DataFrame(found)[SPECTRA.names]


def of_starts(runs: np.ndarray) -> np.ndarray:
    """Return the mean spectrum over members (starts, n) of each start that any member finished."""
    left = runs[:, np.isfinite(runs[..., 0]).any(axis=0)]
    return np.asarray(np.nanmean(left, axis=0))


def mean_spectra(dipoles: Dipoles, settings: Spectrum, scale: float = MODEL_ERROR_SCALE) -> list[Mean]:
    """Return the mean spectrum at every temperature; ``scale``: of the prior of the members' part.

    A run whose dipole jumps is broken too, and counts as lost. Raises UserError where no run is whole.
    """
    found = []
    for number, temperature_K in enumerate(dipoles.temperatures_K):
        chosen = replace(settings, temperature_K=float(temperature_K))
        spectra = {
            place: infrared_spectrum(run, dipoles.interval_fs, chosen)
            for place, run in dipoles.runs(number).items()
            if jump_in(run) is None
        }
        n_lost = dipoles.n_lost(number) + len(dipoles.runs(number)) - len(spectra)
        if not spectra:
            raise UserError(
                f"{dipoles.structure} at {temperature_K:g} K: all {n_lost} runs of the "
                f"{dipoles.engine} broke; train it better, or run it cooler"
            )
        wavenumbers = next(iter(spectra.values()))[0]
        runs = np.full((*dipoles.outcomes[:, number].shape, len(wavenumbers)), np.nan)
        for place, (_, intensity) in spectra.items():
            runs[place] = intensity
        mean = replace(average([(wavenumbers, one) for one in of_starts(runs)]), n_runs=len(spectra))
        found.append(Mean(dipoles.structure, float(temperature_K), mean, runs, n_lost, scale))
    return found


def smoothed(wavenumbers: np.ndarray, intensity: np.ndarray) -> np.ndarray:
    """Return an intensity (…, n) smoothed by ``SMOOTH_cm1``."""
    step = wavenumbers[1] - wavenumbers[0]
    return np.asarray(scipy.ndimage.gaussian_filter1d(intensity, SMOOTH_cm1 / step, axis=-1))


def cosine(wavenumbers: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine similarity of two smoothed spectra between ``LOWEST_cm1`` and ``HIGHEST_cm1``."""
    here = (wavenumbers >= LOWEST_cm1) & (wavenumbers <= HIGHEST_cm1)
    a, b = smoothed(wavenumbers, one)[here], smoothed(wavenumbers, other)[here]
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def noise_floor(mean: Mean) -> float:
    """Return the cosine of two independent means of as many runs as these, nan for fewer than two.

    Halves of the runs have twice the noise: from their cosine c₁, 1/(1 + 2r), follows 1/(1 + r).
    """
    n_runs = len(mean.single)
    if n_runs < 2:
        return float("nan")
    half = n_runs // 2
    twice = 1.0 / np.mean(_likeness(mean, half)) - 1.0
    return float(1.0 / (1.0 + 0.5 * twice * 2 * half / n_runs))


def _likeness(mean: Mean, n: int) -> list[float]:
    """Return the cosines of means of ``n`` starts with those of as many others, drawn 20 times."""
    places = np.random.default_rng(0)
    values = []
    for _ in range(20):
        order = places.permutation(len(mean.single))
        first, second = mean.single[order[:n]], mean.single[order[n : 2 * n]]
        values.append(cosine(mean.spectrum.wavenumber_cm1, first.mean(axis=0), second.mean(axis=0)))
    return values


def numbers_of(n_starts: int) -> list[int]:
    """Return 1, 2, 4, … up to all starts, these among them."""
    return sorted({*(2**power for power in range(n_starts.bit_length()) if 2**power <= n_starts), n_starts})


def convergence(engine: str, mean: Mean) -> pandas.DataFrame:
    """Return rows of ``convergence.csv``: how like means of n starts are to means of as many others."""
    rows = []
    for n in numbers_of(len(mean.single) // 2) if len(mean.single) > 1 else []:
        values = _likeness(mean, n)
        rows.append((mean.structure, engine, mean.temperature_K, n, np.mean(values), np.min(values)))
    return CONVERGENCE.frame(rows)


def by_starts(engine: str, mean: Mean) -> pandas.DataFrame:
    """Return ``spectra_by_starts``: spectra as means of the first 1, 2, 4, … starts (the paper's Fig. 6)."""
    parts = [
        pandas.DataFrame(
            {
                "structure": mean.structure, "engine": engine, "temperature_K": mean.temperature_K,
                "n_starts": n, "wavenumber_cm1": mean.spectrum.wavenumber_cm1,
                "intensity": mean.single[:n].mean(axis=0),
            }
        )
        for n in numbers_of(len(mean.single))
    ]  # fmt: skip
    return pandas.concat(parts)


def bands(model: Mean, label: Mean) -> pandas.DataFrame:
    """Return the label's strong bands, and the model's nearest, in place and height (of the strongest).

    The model's place has both errors: by leaving out one start after the other, and by the members' places.
    """
    wavenumbers = label.spectrum.wavenumber_cm1
    of = {}
    for name, mean, least in (("label", label, STRONG), ("model", model, STRONG / 2)):
        here = (wavenumbers >= LOWEST_cm1) & (wavenumbers <= HIGHEST_cm1)
        heights = smoothed(wavenumbers, mean.spectrum.intensity) * here
        heights = heights / heights.max()
        peaks, _ = scipy.signal.find_peaks(heights, height=least, prominence=0.5 * least)
        of[name] = [(wavenumbers[i], heights[i]) for i in peaks]
    rows = []
    for wavenumber, height in of["label"]:
        near = min(of["model"], key=lambda peak: abs(peak[0] - wavenumber), default=(np.nan, np.nan))
        values = (wavenumber, near[0], near[0] - wavenumber, height, near[1])
        rows.append((model.structure, model.temperature_K, *values, *_place_errors(model, float(near[0]))))
    return BANDS.frame(rows)


def _place_errors(mean: Mean, place_cm1: float) -> tuple[float, ...]:
    """Return standard error, members' standard deviation and total interval of a band's place, cm⁻¹."""
    wavenumbers, n_starts = mean.spectrum.wavenumber_cm1, len(mean.single)
    near = np.abs(wavenumbers - place_cm1) <= NEAR_cm1
    if n_starts < 2 or not near.any():
        return (np.nan,) * 4

    def place(intensity: np.ndarray) -> float:
        return float(wavenumbers[near][np.argmax(smoothed(wavenumbers, intensity)[near])])

    def left_out(starts: np.ndarray) -> float:
        places = [place(np.delete(starts, i, axis=0).mean(axis=0)) for i in range(len(starts))]
        return float(np.var(places) * (len(starts) - 1))  # the jackknife's variance

    variance = left_out(mean.single)
    half = scipy.stats.t.ppf(0.975, n_starts - 1) * np.sqrt(variance)
    finished = [own[np.isfinite(own[:, 0])] for own in mean.runs]
    members = [own for own in finished if len(own) > 1]
    found = estimate(
        place_cm1, (place_cm1 - half, place_cm1 + half), [place(own.mean(axis=0)) for own in members],
        [left_out(own) for own in members], mean.scale * max(np.sqrt(variance * n_starts), wavenumbers[1]),
    )  # fmt: skip
    return float(np.sqrt(variance)), found.model_std, found.total_low_95, found.total_high_95


def compared(model: Mean, label: Mean) -> dict[str, Any]:
    """Return how like two spectra are, and how like they could be, given their noise."""
    return {
        "structure": model.structure,
        "temperature_K": model.temperature_K,
        "cosine": cosine(label.spectrum.wavenumber_cm1, model.spectrum.intensity, label.spectrum.intensity),
        "label_noise_floor": noise_floor(label),
        "model_noise_floor": noise_floor(model),
        "n_runs_model": model.spectrum.n_runs,
        "n_runs_label": label.spectrum.n_runs,
        "n_lost_model": model.n_lost,
        "n_lost_label": label.n_lost,
    }


def sums(means: Sequence[Mean], formulas: dict[str, str]) -> pandas.DataFrame:
    """Return spectra summed over the sizes of one formula unit, equal weights, with a wavelength axis.

    ``formulas`` are those of the structures by name. Errors of sizes are independent. Columns: family,
    temperature_K, wavelength_um, wavenumber_cm1, intensity, low_95, high_95, n_structures.
    """
    parts = []
    groups: dict[tuple[str, float], list[Mean]] = {}
    for mean in means:
        unit = Formula(formulas[mean.structure]).reduce()[0].format("hill")
        groups.setdefault((FAMILIES.get(unit, unit), mean.temperature_K), []).append(mean)
    for (family, temperature_K), members in sorted(groups.items()):
        wavenumbers = members[0].spectrum.wavenumber_cm1
        shown = wavenumbers > 50.0
        total = np.sum([m.spectrum.intensity for m in members], axis=0)
        halves = [0.5 * (m.spectrum.high_95 - m.spectrum.low_95) for m in members]
        half = np.sqrt(np.sum(np.square(halves), axis=0))
        table = pandas.DataFrame(
            {
                "family": family, "temperature_K": temperature_K, "wavelength_um": 1e4 / wavenumbers[shown],
                "wavenumber_cm1": wavenumbers[shown], "intensity": total[shown],
                "low_95": (total - half)[shown], "high_95": (total + half)[shown],
                "n_structures": len(members),
            }
        )  # fmt: skip
        parts.append(table)
    return pandas.concat(parts, ignore_index=True)


def silicate_bands(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return of every sum where its band between 8 and 12 µm lies: peak and centre of mass, µm."""
    rows = []
    for (family, temperature_K), own in table.groupby(["family", "temperature_K"]):
        near = own[own["wavelength_um"].between(*SILICATE_um)]
        weights = near["intensity"].clip(lower=0)
        peak = float(near["wavelength_um"].to_numpy()[near["intensity"].argmax()])
        centre = float((near["wavelength_um"] * weights).sum() / weights.sum())
        rows.append((family, temperature_K, peak, centre, peak - 9.7, int(near["n_structures"].iloc[0])))
    return SILICATE_BANDS.frame(rows)
