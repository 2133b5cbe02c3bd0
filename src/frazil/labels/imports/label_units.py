"""Units that a samplesheet or a file may say of its labels, in one spelling.

Only the standard library: a launch reads them before any task.
"""

from __future__ import annotations

SPELLINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "energy_unit": {
        "eV": (), "Hartree": ("ha", "eh", "a.u.", "au"), "Ry": ("rydberg",), "kcal/mol": (), "kJ/mol": (),
    },
    "length_unit": {"Angstrom": ("a", "å", "ang"), "Bohr": ("a0", "a.u.", "au"), "nm": ()},
    "dipole_unit": {
        "e Angstrom": ("e*a", "ea", "eå"), "Debye": ("d",), "e Bohr": ("e*a0", "ea0", "a.u.", "au"),
    },
}  # fmt: skip
"""By column: units in the spelling that is kept, and others, in small letters."""
COLUMNS = (*SPELLINGS, "forces_unit")


def spelled(column: str, text: str) -> str:
    """Return a unit in the spelling that is kept, of forces a quotient. Raises ValueError if unknown."""
    plain = "".join(text.split()).lower()
    if column == "forces_unit":
        energy, _, length = ("Hartree/Bohr" if plain in ("a.u.", "au") else text).rpartition("/")
        return f"{spelled('energy_unit', energy)}/{spelled('length_unit', length)}"
    for unit, others in SPELLINGS[column].items():
        if plain in ("".join(unit.split()).lower(), *others):
            return unit
    raise ValueError(
        f"{column} {text!r}; allowed are {', '.join(SPELLINGS[column])} (of forces an energy over a length)"
    )
