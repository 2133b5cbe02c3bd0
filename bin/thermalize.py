#!/usr/bin/env python3
"""Thermalize one aggregate with a DeePMD model and take snapshots inside a window of temperature."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Read the flags and thermalize."""
    cli = parser(
        "NVT (Nosé–Hoover) of one replica in its ground state; writes snapshots.extxyz, temperature.csv."
    )
    add = cli.add_argument
    add("--model", type=Path, required=True, help="model directory of train_deepmd.py or its .pb file")
    add("--aggregates", type=Path, required=True, help="extxyz of relaxed aggregates; replicas take turns")
    add("--temperature-K", type=float, default=15.0, help="temperature of the thermostat, K")
    add("--damping-fs", type=float, default=10.0, help="coupling time of the thermostat, fs")
    add("--timestep-fs", type=float, default=0.1, help="time step, fs")
    add("--equilibration-fs", type=float, default=10_000.0, help="time before the first snapshot, fs")
    add("--duration-fs", type=float, default=5_000_000.0, help="time over which snapshots are taken, fs")
    add("--n-snapshots", type=int, default=11_000, help="snapshots of this replica")
    add("--temperature-low-K", type=float, default=13.0, help="lowest temperature of a snapshot, K")
    add("--temperature-high-K", type=float, default=17.0, help="highest temperature of a snapshot, K")
    add("--campaign-seed", type=int, default=1, help="seed of everything random")
    add("--replica", type=int, default=0, help="number of this replica")
    add("--out", type=Path, required=True, help="directory to write")
    flags = vars(cli.parse_args())

    from frazil.experiments.photodesorption.thermalization import Thermalization, thermalize

    settings = Thermalization(**{k: flags.pop(k) for k in Thermalization.__dataclass_fields__ if k in flags})
    thermalize(settings=settings, **flags)


if __name__ == "__main__":
    run(main)
