#!/usr/bin/env python3
"""Train a committee for energies, forces and dipoles by active learning; run again, it goes on."""

from pathlib import Path

from frazil.cli import integers, numbers, parser, run


def main() -> None:
    """Parse the command line, learn."""
    add = (p := parser(__doc__ or "")).add_argument
    for name in ("minima", "checkpoints", "out"):
        add(f"--{name}", type=Path, required=True, help="extxyz of find_minima.py" * (name == "minima"))
    add("--labelled", type=Path, help="labelled frames to begin with, extxyz; else displaced minima")
    add("--level", default="gfn2-xtb", help="label level")
    add("--campaign-seed", type=int, default=1, help="all random numbers follow from it")
    for kind, flag, value in (
        (int, "n-initial", 100), (numbers, "initial-temperatures-K", "100,1000"), (int, "max-rounds", 40),
        (int, "patience", 5), (numbers, "temperatures-K", "400,800"), (int, "n-replicas", 1),
        (float, "duration-fs", 5000), (float, "timestep-fs", 0.5), (float, "damping-fs", 100),
        (int, "max-frames", 20), (float, "max-force-error-eV-per-A", 0.2),
        (float, "max-energy-error-meV-per-atom", 0), (float, "max-energy-eV", 4),
        (float, "max-force-eV-per-A", 15), (int, "n-test", 20), (int, "retraining-epochs", 1000),
        (int, "n-workers", 1), (int, "n-members", 3), (int, "n-epochs", 5000), (int, "batch-size", 32),
        (float, "learning-rate", 0.03), (float, "energy-weight", 1), (float, "force-weight", 10),
        (float, "dipole-weight", 10), (float, "cutoff-A", 6), (int, "n-radial", 5), (int, "n-basis", 7),
        (integers, "hidden", "256,128"), (str, "precision", "float32"),
    ):  # fmt: skip
        add(f"--{flag}", type=kind, default=value, help="see docs/usage.md, infrared")
    flags = {name: tuple(v) if isinstance(v, list) else v for name, v in vars(p.parse_args()).items()}

    from frazil.experiments.infrared.learning import start

    start(flags)


if __name__ == "__main__":
    run(main)
