#!/usr/bin/env python3
"""Integrate sticking probabilities P(E) to thermal sticking coefficients S(T_g), with propagated
intervals.
"""

from pathlib import Path

from frazil.cli import parser, run


def main() -> None:
    """Parse the command line, integrate."""
    add = (p := parser(__doc__ or "")).add_argument
    add("--probabilities", type=Path, required=True, help="sticking_probabilities.csv")
    add(
        "--gas-temperatures-K",
        default="surface,50,100,150,200,250,300",
        help="K; 'surface' is the surface's own",
    )
    add("--below", default="one", help="P at zero energy: one, or held from the lowest energy")
    add("--above", default="held", help="P beyond the highest energy: held, zero or linear")
    add("--vanishing-K", type=float, default=1500.0, help="where P reaches zero for --above linear, K")
    add("--campaign-seed", type=int, default=1, help="of the draws that give the intervals")
    add("--out", type=Path, required=True, help="sticking_coefficients.csv to write")
    flags = vars(p.parse_args())
    flags["gas_temperatures_K"] = [text for text in flags["gas_temperatures_K"].split(",") if text]

    from frazil.experiments.sticking.coefficients import write_coefficients

    write_coefficients(**flags)


if __name__ == "__main__":
    run(main)
