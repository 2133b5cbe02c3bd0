#!/usr/bin/env python3
"""Infrared spectrum of dipole time series: mean over runs, with a 95 % band from two runs on."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, transform, write."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--dipoles", type=Path, nargs="+", required=True, help="one .npy a run: (n_steps, 3), e Å")
    add("--timestep-fs", type=float, required=True, help="time between two dipoles, fs")
    add("--skip-fs", type=float, default=0.0, help="dropped at the start of every run, fs")
    add("--depth-fs", type=float, default=2048.0, help="longest lag of the correlation, fs")
    add("--window", choices=["hann", "none"], default="hann", help="taper of the correlation")
    add("--padding", type=int, default=4, help="zero padding: length of transform over correlation")
    add("--temperature-K", type=float, help="makes intensities absolute, km/mol per cm⁻¹")
    add("--correction", choices=["none", "standard", "schofield"], default="none", help="quantum factor")
    add("--highest-cm1", type=float, default=5000.0, help="where the table ends, cm⁻¹")
    add("--out", type=Path, required=True, help="wavenumber_cm1, intensity, low_95, high_95, n_runs")
    flags = vars(p.parse_args())

    from frazil.analysis.spectra import write_spectrum

    print(f"intensity in {write_spectrum(**flags)}")


if __name__ == "__main__":
    run(main)
