#!/usr/bin/env python3
"""Make the surfaces of one phase of CO ice: cut or pack a hemisphere, relax, thermalize, quench, check."""

from pathlib import Path

from frazil.cli import integers, numbers, parser, run


def main() -> None:
    """Parse the command line, prepare."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--phase", required=True, help="crystalline or amorphous")
    add("--model", default="analytic", help="model.h5 of train_gmnn.py, or 'analytic'")
    add("--curves", default="", help="molecular_curves.csv of a model of interactions")
    add("--n-molecules", type=int, default=488, help="CO molecules of the hemisphere")
    add("--n-fixed", type=int, default=172, help="outermost molecules that are held")
    add("--lattice-A", type=float, default=5.64, help="lattice constant of α-CO, Å")
    add("--face", type=integers, default="1,1,0", help="face of the crystal that is up")
    add("--radius-A", type=float, default=0, help="of a crystalline hemisphere, Å; 0: by --n-molecules")
    add("--shell-A", type=float, default=0, help="thickness of the fixed shell, Å; 0: by --n-fixed")
    add("--density-g-per-cm3", type=float, default=1.07, help="of the amorphous packing, g/cm³")
    add("--surface-temperatures-K", type=numbers, default="5,10,20", help="of the surfaces, K")
    add("--n-snapshots", type=int, default=20, help="surfaces for each temperature")
    add("--thermalization-fs", type=float, default=10000, help="at each surface temperature, fs")
    add("--anneal-temperature-K", type=float, default=75, help="of the amorphous ice, K")
    add("--anneal-fs", type=float, default=100000, help="length of that, fs")
    add("--timestep-fs", type=float, default=1, help="time step, fs")
    add("--damping-fs", type=float, default=100, help="relaxation time of the thermostat, fs")
    add("--max-force-eV-per-A", type=float, default=0.005, help="where minimization ends, eV/Å")
    add("--campaign-seed", type=int, default=1, help="of all random numbers")
    add("--out", type=Path, required=True, help="folder of surfaces and checks")
    flags = vars(p.parse_args())
    flags |= {name: tuple(flags[name]) for name in ("face", "surface_temperatures_K")}
    from frazil.experiments.sticking.preparation import Preparation, prepare

    prepare(Preparation(**{n: flags.pop(n) for n in Preparation.__dataclass_fields__}), **flags)


if __name__ == "__main__":
    run(main)
