"""How settings say molecules and potentials; and the steps that make ice and a box of a liquid."""

from __future__ import annotations

import re
from pathlib import Path

from frazil.labels.settings import KNOWN_TRUTHS, Seed
from frazil.settings import given, same_as, step

MOLECULE = r"smiles:\S+|[\w./ +-]+"
MOLECULES = ("H2O", "smiles:CO", "methanol.xyz")
FORMULAS = (*KNOWN_TRUTHS, "gfn1-xtb", "gfn2-xtb")
"""Potentials by name that drive other systems than those of the published studies."""
SYMBOLS = re.findall(
    "[A-Z][a-z]?",
    "HHeLiBeBCNOFNeNaMgAlSiPSClArKCaScTiVCrMnFeCoNiCuZnGaGeAsSeBrKrRbSrYZrNbMoTcRuRh"
    "PdAgCdInSnSbTeIXeCsBaLaCePrNdPmSmEuGdTbDyHoErTmYbLuHfTaWReOsIrPtAuHgTlPbBiPoAtRn",
)
"""By atomic number, from 1 on."""
TRIPLETS = ("C", "O", "S", "Si", "NH", "O2", "SO", "S2", "Si2")
"""Molecules of an even number of electrons of which two are not paired."""


def is_file_name(what: str) -> bool:
    """Return whether the text for a molecule means a file: it has a folder or an ending."""
    return not what.startswith("smiles:") and ("/" in what or "." in what)


def composition_of(what: str) -> dict[str, int]:
    """Return the atoms by element of a molecule named by its formula; none where a file, a SMILES or another
    name tells.
    """
    parts, found = re.findall(r"([A-Z][a-z]?)(\d*)", what), dict[str, int]()
    if "".join(map("".join, parts)) != what or not {symbol for symbol, _ in parts} <= set(SYMBOLS):
        return {}
    for symbol, number in parts:
        found[symbol] = found.get(symbol, 0) + int(number or 1)
    return found


def molecule_problem(what: str) -> str | None:
    """Return what is wrong with the text for a molecule, as far as a login node can tell; None if nothing."""
    if is_file_name(what):
        missing = not Path(what).is_file()
        return f"{what}: no such file; allowed: a file, a name that ASE knows, smiles:…" if missing else None
    electrons = sum(n * (SYMBOLS.index(symbol) + 1) for symbol, n in composition_of(what).items())
    if electrons % 2 or what in TRIPLETS:
        return (
            f"{what} has an open shell (electrons that are not paired); allowed: molecules of closed shells"
        )
    return None


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


@step("frazil.systems.liquid:pack")
class PackLiquid:
    """Pack molecules in a cube at a density, thermalize them, and write the frame, its cell with it."""

    molecule_name: str = given("A name that ASE knows, smiles:…, or a file", default="H2O")
    n_molecules: int = given("How many", default=32, minimum=2, maximum=10_000)
    density_g_per_cm3: float = given("Density", default=0.997, above=0, maximum=30)
    model: str = given(
        "Folder of a model, or the name of a potential that takes cells: q-tip4p-f, a GM-NN",
        default="q-tip4p-f",
    )
    temperature_K: float = given("Temperature", default=300.0, above=0, maximum=5000)
    duration_fs: float = given("Langevin dynamics (0.1 ps) before the frame", default=20000.0, above=0)
    timestep_fs: float = given("Time step", default=0.5, above=0, maximum=5)
    campaign_seed: int = same_as(Seed, "campaign_seed", of="")
    out: Path = given("Extended XYZ to write", path="new")
