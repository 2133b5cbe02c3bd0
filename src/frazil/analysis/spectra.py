"""Infrared spectra and vibrational densities of states from time series, by the Wiener–Khinchin theorem.

The absorption of a classical trajectory is the Fourier transform of the autocorrelation of the dipole's time
derivative (Tang, Bromley & Hammer 2023, eq. 6). With a temperature it is absolute: the molar cross section
per wavenumber, so that the area of a band is its integrated intensity in km/mol, as harmonic tables give it.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.units
import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.stats

from frazil.analysis.settings import LIGHT_cm_per_fs, Spectrum
from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.units import kB

"""Speed of light, cm/fs."""
COLUMNS = ("wavenumber_cm1", "intensity", "low_95", "high_95", "n_runs")
RELATIVE, ABSOLUTE = "(e Å)²/fs, proportional to absorption", "km/mol per cm⁻¹"
"""Units of an intensity without and with a temperature."""
JUMPS = {75: 5.0, 50: 10.0}
"""A step is a gap in the series if it is this many times larger than this percentile of the steps around it.

Gaps may stand close together (polarization jumps at each crossing of a face), so no maximum is taken. Neither
oscillations, sampled however coarsely, nor noise reach these ratios (noise in one dimension: 6 σ).
"""
AROUND = 20
"""Steps on either side that a step is compared with."""
NPY, ZIP = b"\x93NUMPY", b"PK"
"""First bytes of NumPy's files: an array, an archive of arrays."""
WINDOWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "hann": lambda x: 0.5 * (1.0 + np.cos(np.pi * x)),
    "none": np.ones_like,
}
"""Of the lag over the depth, 0 to 1."""
CORRECTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": np.ones_like,
    "standard": lambda x: np.tanh(x / 2) / (x / 2),
    "schofield": lambda x: np.sinh(x / 2) / (x / 2),
}
"""Of x = ħω/kT: the quantum correction factor over the harmonic one, which "none" holds already.

Ramírez et al., J. Chem. Phys. 121, 3973 (2004): the harmonic factor x/(1 − e⁻ˣ) makes absorption ω² times the
spectrum of the dipole, which is the spectrum of its derivative; standard is 2/(1 + e⁻ˣ), Schofield's e^(x/2).
"""


def unit_of(spectrum: Spectrum) -> str:
    """Return the unit of a spectrum's intensities."""
    return RELATIVE if spectrum.temperature_K is None else ABSOLUTE


def resolution_cm1(spectrum: Spectrum) -> float:
    """Return the full width at half maximum of a sharp line."""
    width = 1.0 if spectrum.window == "hann" else 0.603
    return width / (LIGHT_cm_per_fs * spectrum.depth_fs)


@dataclass(frozen=True)
class Average:
    """The mean of runs' spectra (n,) with a 95 % band from their scatter (Student's t; nan of one run)."""

    wavenumber_cm1: np.ndarray
    intensity: np.ndarray
    low_95: np.ndarray
    high_95: np.ndarray
    n_runs: int

    @property
    def standard_error(self) -> np.ndarray:
        """Of the mean (n,), nan for one run."""
        if self.n_runs < 2:
            return np.full_like(self.intensity, np.nan)
        half = 0.5 * (self.high_95 - self.low_95)
        return np.asarray(half / scipy.stats.t.ppf(0.975, self.n_runs - 1))


def infrared_spectrum(
    dipoles_e_A: np.ndarray, timestep_fs: float, settings: Spectrum | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return wavenumbers (n,), cm⁻¹, and intensities (n,) of one run's dipoles (n_steps, 3), e Å.

    ``timestep_fs`` is the time between two dipoles. Without a temperature intensities are ∫⟨μ̇(0)·μ̇(t)⟩
    cos ωt dt in (e Å)²/fs; with one they are the molar cross section (N_A/(6 ε₀ c kT)) times that, km/mol per
    cm⁻¹. The derivative is the difference of neighbours; what that takes from high frequencies is given back.
    Raises UserError for a series with a gap or too short for the depth.
    """
    settings = settings or Spectrum()
    if settings.correction != "none" and settings.temperature_K is None:
        raise UserError(f"the {settings.correction} quantum correction needs a temperature; give one")
    dipoles = checked_series(dipoles_e_A, timestep_fs, settings.depth_fs)
    rates = np.diff(dipoles, axis=0) / timestep_fs
    wavenumbers, power = power_spectrum(rates, timestep_fs, settings)
    half_phase = np.pi * LIGHT_cm_per_fs * wavenumbers * timestep_fs
    power = power / np.sinc(half_phase / np.pi) ** 2
    if settings.temperature_K is not None:
        reduced = wavenumbers * ase.units.invcm / (kB * settings.temperature_K)
        safe = np.maximum(reduced, 1e-9)
        power = power * _absolute(settings.temperature_K) * CORRECTIONS[settings.correction](safe)
    return wavenumbers, power


def vibrational_density(
    velocities: np.ndarray,
    masses_amu: np.ndarray,
    timestep_fs: float,
    temperature_K: float,
    settings: Spectrum | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return wavenumbers (n,), cm⁻¹, and the vibrational density of states (n,), per cm⁻¹.

    ``velocities`` (n_steps, natoms, 3) in ASE units. The area is the number of degrees of freedom that hold
    kT/2 of kinetic energy each.
    """
    settings = settings or Spectrum()
    weighted = velocities * np.sqrt(np.asarray(masses_amu) / (kB * temperature_K))[:, None]
    series = checked_series(weighted.reshape(len(weighted), -1), timestep_fs, settings.depth_fs, smooth=False)
    wavenumbers, power = power_spectrum(series, timestep_fs, settings)
    return wavenumbers, 2.0 * LIGHT_cm_per_fs * power


def without_timestep(
    wavenumbers_cm1: np.ndarray, density: np.ndarray, timestep_fs: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return wavenumbers and a density (…, n) per cm⁻¹ as they are without the shift of velocity Verlet.

    A harmonic mode ω of a run with the step h oscillates at Ω, sin(Ωh/2) = ωh/2 (Hairer, Lubich & Wanner,
    Acta Numerica 12, 399, 2003): higher by (ωh)²/24. The map is exact for it; the area stays.
    """
    half_phase = np.pi * LIGHT_cm_per_fs * timestep_fs * np.asarray(wavenumbers_cm1)
    return wavenumbers_cm1 * np.sinc(half_phase / np.pi), density / np.cos(half_phase)


def timestep_shift_cm1(wavenumber_cm1: float, timestep_fs: float) -> float:
    """Return how much higher, cm⁻¹, a mode oscillates in velocity Verlet (see ``without_timestep``)."""
    phase = np.pi * LIGHT_cm_per_fs * timestep_fs * wavenumber_cm1
    return float(np.arcsin(phase) / phase - 1) * wavenumber_cm1


def power_spectrum(
    series: np.ndarray, timestep_fs: float, settings: Spectrum
) -> tuple[np.ndarray, np.ndarray]:
    """Return wavenumbers (n,), cm⁻¹, and ∫⟨x(0)·x(t)⟩ w(t) cos ωt dt over all times, of x (n_steps, d)."""
    depth = round(settings.depth_fs / timestep_fs)
    return _transformed(autocorrelation(series, depth), timestep_fs, settings)


def cross_spectra(
    series: np.ndarray, timestep_fs: float, settings: Spectrum
) -> tuple[np.ndarray, np.ndarray]:
    """Return wavenumbers (n,), cm⁻¹, and matrices ∫⟨x_a(0) x_b(t)⟩ w(t) cos ωt dt (n, d, d) of (n_steps, d).

    The cosine keeps the part that is even in time, so that the matrices are symmetric. The trace is what
    ``power_spectrum`` gives.
    """
    depth = round(settings.depth_fs / timestep_fs)
    d = series.shape[1]
    first, second = np.triu_indices(d)
    n_steps = len(series)
    length = scipy.fft.next_fast_len(n_steps + depth, real=True)
    transformed = scipy.fft.rfft(series, length, axis=0)
    lags = (n_steps - np.arange(depth + 1))[:, None]
    products = (transformed[:, first].conj() * transformed[:, second]).real  # their mean over ± t
    correlations = scipy.fft.irfft(products, length, axis=0)[: depth + 1] / lags
    wavenumbers, spectra = _transformed(correlations, timestep_fs, settings)
    matrices = np.empty((len(wavenumbers), d, d))
    matrices[:, first, second] = matrices[:, second, first] = spectra
    return wavenumbers, matrices


def _transformed(
    correlation: np.ndarray, timestep_fs: float, settings: Spectrum
) -> tuple[np.ndarray, np.ndarray]:
    """Return wavenumbers (n,) and the transform (n, …) of an even correlation (depth + 1, …), tapered.

    Both sides of time are transformed, so that the lag 0 counts once: a one-sided sum with all of it would
    lie on a flat floor.
    """
    depth = len(correlation) - 1
    taper = WINDOWS[settings.window](np.arange(depth + 1) / depth)
    tapered = correlation * taper.reshape(-1, *[1] * (correlation.ndim - 1))
    length = scipy.fft.next_fast_len(2 * settings.padding * depth, real=True)
    both_sides = np.zeros((length, *correlation.shape[1:]))
    both_sides[: depth + 1] = tapered
    both_sides[-depth:] = tapered[:0:-1]
    power = timestep_fs * scipy.fft.rfft(both_sides, axis=0).real
    wavenumbers = scipy.fft.rfftfreq(length, timestep_fs) / LIGHT_cm_per_fs
    shown = wavenumbers <= settings.highest_cm1
    return wavenumbers[shown], power[shown]


def autocorrelation(series: np.ndarray, depth: int) -> np.ndarray:
    """Return ⟨x(0)·x(t)⟩ (depth + 1,) of a series (n_steps, d): each lag averaged over the pairs it has."""
    n_steps = len(series)
    length = scipy.fft.next_fast_len(n_steps + depth, real=True)
    transformed = scipy.fft.rfft(series, length, axis=0)
    sums = scipy.fft.irfft((np.abs(transformed) ** 2).sum(axis=1), length)[: depth + 1]
    return np.asarray(sums / (n_steps - np.arange(depth + 1)))


def average(spectra: Sequence[tuple[np.ndarray, np.ndarray]]) -> Average:
    """Return the mean of spectra on the same wavenumbers. Raises UserError where they are not the same."""
    wavenumbers = spectra[0][0]
    if any(other.shape != wavenumbers.shape or (other != wavenumbers).any() for other, _ in spectra):
        raise UserError("spectra on different wavenumbers; give runs of one time step and one depth")
    values = np.array([intensity for _, intensity in spectra])
    n_runs = len(values)
    half = np.full(values.shape[1], np.nan)
    if n_runs > 1:
        half = scipy.stats.t.ppf(0.975, n_runs - 1) * values.std(axis=0, ddof=1) / np.sqrt(n_runs)
    mean = values.mean(axis=0)
    return Average(wavenumbers, mean, mean - half, mean + half, n_runs)


def write_spectrum(
    dipoles: Sequence[Path | str],
    timestep_fs: float,
    out: Path | str,
    skip_fs: float = 0.0,
    spectrum: Spectrum | None = None,
) -> str:
    """Write the averaged spectrum of dipole files to a CSV of ``COLUMNS``; return the unit of its intensity.

    Each file holds dipoles (n_steps, 3), e Å, of one run; of every run the first ``skip_fs`` are dropped.
    Raises UserError, naming the file, for bad ones.
    """
    chosen = spectrum or Spectrum()
    spectra = []
    for path in dipoles:
        series = read_dipoles(path)
        try:
            spectra.append(infrared_spectrum(series[round(skip_fs / timestep_fs) :], timestep_fs, chosen))
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    write_table(out, average(spectra))
    return unit_of(chosen)


def read_dipoles(path: Path | str) -> np.ndarray:
    """Return the array of an .npy file, or of text: three numbers a line, comments from # on.

    Raises UserError, naming the file and the line, for anything else.
    """
    content = Path(path).read_bytes()
    if content.startswith(NPY):
        try:
            return np.asarray(np.load(path, allow_pickle=False))
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path} cannot be read as a NumPy array ({reason}); write it again") from error
    if content.startswith(ZIP):
        raise UserError(f"{path} is an archive of arrays; give an .npy of dipoles (n_steps, 3)")
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path} is neither an .npy file nor text; give dipoles (n_steps, 3)") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if words := line.partition("#")[0].replace(",", " ").split():
            try:
                rows.append([float(word) for word in words])
            except ValueError:
                rows.append([])
            if len(rows[-1]) != 3:
                raise UserError(
                    f"{path}, line {number}: {line.strip()[:60]!r}; needed are three numbers a line, the "
                    "dipole in e Å (no step or time before them), comments begin with #"
                )
    if not rows:
        raise UserError(f"{path} holds no dipoles; give three numbers a line, or an .npy (n_steps, 3)")
    if content and not content.endswith((b"\n", b"\r")):
        print(f"warning: {path} does not end with the end of a line; is it whole?", file=sys.stderr)
    return np.array(rows)


def write_table(out: Path | str, spectrum: Average) -> None:
    """Write a spectrum's table; the band of a single run is empty."""
    with write_atomic(out) as partial, partial.open("w") as file:
        file.write(",".join(COLUMNS) + "\n")
        rows = zip(
            spectrum.wavenumber_cm1, spectrum.intensity, spectrum.low_95, spectrum.high_95, strict=True
        )
        for row in rows:
            cells = ["" if np.isnan(value) else f"{value:.8g}" for value in row]
            file.write(",".join([*cells, str(spectrum.n_runs)]) + "\n")


def checked_series(
    series: np.ndarray, timestep_fs: float, depth_fs: float, smooth: bool = True
) -> np.ndarray:
    """Return a series (n_steps, d) that holds what a spectrum needs."""
    values = np.asarray(series, float)
    if values.ndim != 2 or (smooth and values.shape[1] != 3):
        raise UserError(f"dipoles of shape {values.shape}; (n_steps, 3) is needed")
    if not timestep_fs > 0:
        raise UserError(f"a time step of {timestep_fs:g} fs; it must be positive")
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(broken):
        raise UserError(
            f"a gap: {len(broken)} of {len(values)} steps are not finite, the first is {broken[0]}; "
            "give the parts without them as runs of their own"
        )
    duration_fs = (len(values) - 2) * timestep_fs
    if not timestep_fs < depth_fs <= duration_fs:
        raise UserError(
            f"a correlation depth of {depth_fs:g} fs; allowed is more than a time step of {timestep_fs:g} fs "
            f"and at most the run's {max(duration_fs, 0):g} fs: give a longer run or a smaller depth"
        )
    if smooth:
        gap = jump_in(values)
        if gap is not None:
            size = np.linalg.norm(values[gap + 1] - values[gap])
            raise UserError(
                f"a gap: between steps {gap} and {gap + 1} the dipole jumps by {size:.3g} e Å, more "
                f"than {JUMPS[75]:g} times as far as mostly around it; give the parts as runs of their "
                "own, and a polarization without jumps by its quantum"
            )
    return values


def jump_in(dipoles_e_A: np.ndarray) -> int | None:
    """Return the first step of a series (n_steps, 3) that is much larger than those around it, or None.

    The dipole of a whole trajectory is smooth: a jump is a gap, a quantum of polarization, or a molecule that
    came apart.
    """
    sizes = np.linalg.norm(np.diff(dipoles_e_A, axis=0), axis=1)
    if len(sizes) < 3:
        return None
    found = np.zeros(len(sizes), bool)
    for percentile, ratio in JUMPS.items():
        around = scipy.ndimage.percentile_filter(sizes, percentile, 2 * AROUND + 1, mode="reflect")
        found |= sizes > ratio * around
    wrong = np.flatnonzero(found & (sizes > 1e-6 * sizes.max()))
    return int(wrong[0]) if len(wrong) else None


def _absolute(temperature_K: float) -> float:
    """Return what turns (e Å)²/fs into km/mol per cm⁻¹ at a temperature."""
    units = ase.units
    per_fs = (units._e * 1e-10) ** 2 * 1e15  # (e Å)²/fs in C² m²/s
    cross_section = per_fs / (6 * units._eps0 * units._c * units._k * temperature_K)  # m²
    return float(units._Nav * cross_section * 1e2 / 1e3)  # times 100 m⁻¹ a cm⁻¹, m to km
