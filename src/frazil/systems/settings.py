"""How settings say molecules and potentials: what experiments that take any system have in common. And ice."""

from __future__ import annotations

from pathlib import Path

from frazil.settings import given, step

MOLECULE = r"smiles:\S+|[\w./ +-]+"
MOLECULES = ("H2O", "smiles:CO", "methanol.xyz")
FORMULAS = ("n2-trappe", "q-tip4p-f", "gfn1-xtb", "gfn2-xtb")
"""Potentials by name that drive other systems than those of the published studies."""


def is_file_name(what: str) -> bool:
    """Return whether the text for a molecule means a file: it has a folder or an ending."""
    return not what.startswith("smiles:") and ("/" in what or "." in what)


@step("frazil.systems.ice:build")
class BuildIce:
    """Write a cell of ice Ih: protons disordered by the ice rules, no dipole, molecules whole."""

    repeats: tuple[int, ...] = given(
        "How often the cell of 8 molecules (a × √3 a × c) is there along each of its vectors",
        default=(2, 1, 1), minimum=1, maximum=20, length=3, repeated=True,
    )  # fmt: skip
    a_A: float = given("Lattice constant a; 4.518 Å is that of 250 K", default=4.518, minimum=4, maximum=5)
    c_A: float = given("Lattice constant c; 7.356 Å is that of 250 K", default=7.356, minimum=6.5, maximum=8)
    seed: int = given("Seed of the protons", default=1, minimum=0, maximum=2**31 - 1)
    out: Path = given("Extended XYZ to write", path="new")
