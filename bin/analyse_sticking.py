#!/usr/bin/env python3
"""Tables, figures and the report's section of the sticking experiment."""

from pathlib import Path

from frazil.cli import numbers, parser, run


def main() -> None:
    """Parse the command line, analyse."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--surfaces", type=Path, required=True, help="folder of folders of prepare_surface.py")
    add("--sites", type=Path, required=True, help="folder of folders of bind_sites.py")
    add("--shards", type=Path, required=True, help="folder of shards of run_collisions.py")
    add("--attempts", type=Path, required=True, help="folder of shards of long trajectories")
    add("--truth", type=Path, help="folder of shards under the known truth")
    add("--gas-temperatures-K", default="surface,50,100,150,200,250,300", help="K; 'surface' is its own")
    add("--residence-temperatures-K", type=numbers, default="5,8,10,12,15,17,20", help="K")
    add("--attempts-after-fs", type=float, default=5000, help="maxima of height count from here on, fs")
    add("--reference", type=Path, required=True, help="folder of the paper's tables")
    add("--campaign-seed", type=int, default=1, help="of the draws that give the intervals of S")
    add("--out", type=Path, required=True, help="folder of results")
    flags = vars(p.parse_args())
    flags["gas_temperatures_K"] = flags["gas_temperatures_K"].split(",")

    from frazil.experiments.sticking.analysis import analyse

    analyse(**flags)


if __name__ == "__main__":
    run(main)
