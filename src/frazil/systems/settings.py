"""How settings say molecules and potentials: what experiments that take any system have in common."""

from __future__ import annotations

MOLECULE = r"smiles:\S+|[\w./ +-]+"
MOLECULES = ("H2O", "smiles:CO", "methanol.xyz")
FORMULAS = ("n2-trappe", "q-tip4p-f", "gfn1-xtb", "gfn2-xtb")
"""Potentials by name that drive other systems than those of the published studies."""


def is_file_name(what: str) -> bool:
    """Return whether the text for a molecule means a file: it has a folder or an ending."""
    return not what.startswith("smiles:") and ("/" in what or "." in what)
