#!/usr/bin/env python3
"""Say what labelling frames will cost, and divide them into files of about equal work."""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, write the shards, print the estimate."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--frames", type=Path, required=True, help="frames to label, extxyz")
    add("--level", default="van-hemert", help="label level")
    add("--coupling-eV", type=float, default=2.0, help="van-hemert: epsilon of its attraction, eV")
    add("--hessian", action="store_true", help="second derivatives too (PySCF's functionals)")
    add("--polarizability", action="store_true", help="static polarizability too (PySCF's functionals)")
    add("--shard-hours", type=float, default=1.0, help="work in one file, hours on one core")
    add("--out", type=Path, required=True, help="folder for 0000.extxyz, 0001.extxyz, …")
    flags = vars(p.parse_args())

    from frazil.labels.shards import plan_shards

    print(plan_shards(**flags))


if __name__ == "__main__":
    run(main)
