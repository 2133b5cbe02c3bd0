#!/usr/bin/env python3
"""Binding energies of H2 on a grid over a surface."""

from pathlib import Path

from frazil.cli import boolean, parser, run


def main() -> None:
    """Parse the command line, minimize."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--surfaces", type=Path, required=True, help="folder of prepare_surface.py")
    add("--model", default="analytic", help="model.h5 of train_gmnn.py, or 'analytic'")
    add("--curves", default="", help="molecular_curves.csv of a model of interactions")
    add("--n-surfaces", type=int, default=1, help="first surfaces to take")
    add("--area-A2", type=float, default=400, help="square over the middle of the surface, Å²")
    add("--spacing-A", type=float, default=1, help="between grid points, Å")
    add("--clearance-A", type=float, default=2.5, help="between H2 and the nearest atom at the start, Å")
    add("--max-force-eV-per-A", type=float, default=0.001, help="where a minimization has converged, eV/Å")
    add("--max-steps", type=int, default=2000, help="of a minimization")
    add("--width", type=int, default=8, help="sites minimized together")
    add("--truth", type=boolean, default="false", help="true: what the known truth says of each site, too")
    add("--campaign-seed", type=int, default=1, help="of the orientations")
    add("--out", type=Path, required=True, help="folder of binding_energies.csv")
    flags = vars(p.parse_args())
    from frazil.experiments.sticking.binding import Grid, write_sites

    write_sites(grid=Grid(**{n: flags.pop(n) for n in Grid.__dataclass_fields__}), **flags)


if __name__ == "__main__":
    run(main)
