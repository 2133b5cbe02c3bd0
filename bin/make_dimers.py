#!/usr/bin/env python3
"""Write dimers of CO with H2 and CO on Fibonacci lattices, with the monomers that their energies need."""

from pathlib import Path

from frazil.cli import boolean, numbers, parser, run


def main() -> None:
    """Parse the command line, write the frames."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--h2-radii-A", type=numbers, default="3.0,3.5,4.0", help="distances of H2 from CO, Å")
    add("--co-radii-A", type=numbers, default="4.0", help="distances of CO from CO, Å")
    add("--n-points", type=int, default=25, help="points of the lattice at each distance")
    add("--campaign-seed", type=int, default=1, help="seed of the orientations")
    add("--counterpoise", type=boolean, default=False, help="monomers in the pair's basis (true, false)")
    add("--out", type=Path, required=True, help="frames, extxyz")
    flags = vars(p.parse_args())

    from frazil.experiments.level_of_theory.dimers import write_dimers

    write_dimers(**flags)


if __name__ == "__main__":
    run(main)
