#!/usr/bin/env python3
"""Half-lives of bound H2 from binding energies and an attempt frequency."""

from pathlib import Path

from frazil.cli import numbers, parser, run


def main() -> None:
    """Parse the command line, write the table."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--binding-energy-K", type=float, help="one binding energy, K, negative where H2 is bound")
    add("--binding-energies", type=Path, help="binding_energies.csv, for the distribution over its sites")
    add("--attempt-frequency-per-ps", type=float, required=True, help="attempts to leave, per ps")
    add(
        "--surface-temperatures-K", type=numbers, default="5,8,10,12,15,17,20", help="surface temperatures, K"
    )
    add("--phase", default="", help="name of the phase, or the phase of --binding-energies to take")
    add("--out", type=Path, required=True, help="residence_times.csv to write")
    flags = vars(p.parse_args())

    from frazil.experiments.sticking.residence import write_residence_times

    write_residence_times(**flags)


if __name__ == "__main__":
    run(main)
