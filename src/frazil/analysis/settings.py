"""Settings of spectra, and of the members' part of an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from frazil.settings import given, part, setting, settings, step

LIGHT_cm_per_fs = 2.99792458e-5
LEAST_HALFWIDTH = 0.005
MOST_UNTIL_ENOUGH = 100_000
"""Half-widths and trajectories for which the stopping rule's exact coverage is worked out."""
MODEL_ERROR_SCALE = 1.0
"""With half the scale the total interval of three members covers 0.91 where they differ by 1 logit."""


@settings
class ModelError:
    """What is believed of a committee's members before any of them has run."""

    model_error_scale: float = setting(
        "Scale of the half-Cauchy prior of the members' standard deviation: in logits for probabilities, in standard "
        "deviations of single values for means and curves. Smaller trusts a committee of few members more",
        default=MODEL_ERROR_SCALE, minimum=0.01, maximum=10,
    )  # fmt: skip


@settings
class Spectrum:
    """How a dipole series becomes a spectrum."""

    depth_fs: float = setting("Longest lag of the dipole correlation", default=2048.0, above=0)
    window: str = setting("Taper of the correlation", default="hann", choices=("hann", "none"))
    padding: int = setting(
        "Length of the transform over that of the correlation, at least", default=4, minimum=1, maximum=64
    )
    temperature_K: float | None = given(
        "Makes intensities absolute, km/mol per cm⁻¹", default=None, above=0, maximum=100000
    )
    correction: str = setting(
        "Quantum correction factor; none is the paper's",
        default="none",
        choices=("none", "standard", "schofield"),
    )
    highest_cm1: float = setting("Where spectra end", default=5000.0, above=0, maximum=100000)


@step("frazil.analysis.spectra:write_spectrum", group="infrared")
class InfraredSpectrum:
    """Infrared spectrum of dipole time series: mean over runs, with a 95 % band from two runs on."""

    dipoles: tuple[Path, ...] = given(
        "One file a run, .npy or text (three numbers a line): (n_steps, 3), e Å", path="file"
    )
    timestep_fs: float = given("Time between two dipoles", minimum=1e-6, maximum=1e6)
    skip_fs: float = given("Dropped at the start of every run", default=0.0, minimum=0)
    spectrum: Spectrum = part(Spectrum)
    out: Path = given("Table to write: wavenumber_cm1, intensity, low_95, high_95, n_runs", path="new file")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if self.spectrum.correction != "none" and self.spectrum.temperature_K is None:
            yield "correction", "allowed: none without [temperature_K]"
