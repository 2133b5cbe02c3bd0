"""How settings say molecules and potentials; and the steps that make ice and a box of a liquid."""

from __future__ import annotations

from pathlib import Path

from frazil.labels.settings import KNOWN_TRUTHS, Seed
from frazil.settings import given, same_as, step

MOLECULE = r"smiles:\S+|[\w./ +-]+"
MOLECULES = ("H2O", "smiles:CO", "methanol.xyz")
FORMULAS = (*KNOWN_TRUTHS, "gfn1-xtb", "gfn2-xtb")
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
