"""What files state of themselves (level, charge, multiplicity), compared with what the sheet says."""

import re
from collections.abc import Sequence

import numpy as np
from ase import Atoms

from frazil.errors import UserError
from frazil.labels.imports.sheet import Entry

METHODS = {
    "hf", "lda", "svwn", "pbe", "pbe0", "revpbe", "rpbe", "pw91", "blyp", "bp86", "b3lyp", "b3pw91",
    "bhandhlyp", "x3lyp", "tpss", "tpssh", "scan", "r2scan", "m06", "m06l", "m062x", "m052x", "hse06",
    "camb3lyp", "lcwpbe", "wb97", "wb97x", "wb97xd", "wb97xv", "wb97mv", "b973c", "r2scan3c",
    "pbeh3c", "wb97x3c", "b2plyp", "mp2",
    "gfn1xtb", "gfn2xtb", "am1", "pm3", "pm6", "pm7",
}  # fmt: skip
"""Methods that are known by name; others are compared with nothing."""
ALIASES = {
    "pbe1pbe": "pbe0", "pbepbe": "pbe", "bhlyp": "bhandhlyp", "bp": "bp86", "rimp2": "mp2", "rhf": "hf",
    "uhf": "hf", "xtb": "gfn2xtb", "xtb1": "gfn1xtb", "xtb2": "gfn2xtb", "hseh1pbe": "hse06", "pbeh": "pbe0",
    "lsda": "svwn", "m062": "m062x", "b3lyp/g": "b3lyp", "pw91pw91": "pw91",
}  # fmt: skip
BASIS = r"(def2-?\w+|(?:aug-)?cc-p\w+|sto-?\dg|\d-\d+\+*g\S*)$"


def methods_in(text: str) -> set[str]:
    """Return the methods that a text names, in one spelling, without dispersion's suffix."""
    words = (re.sub(r"-?(d2|d3\w*|d4\w*)$", "", word) for word in re.split(r"[\s/,;]+", text.lower()))
    spelled = (re.sub(r"[^a-z0-9]", "", word) for word in words)
    return {ALIASES.get(word, word) for word in spelled} & METHODS


def bases_in(text: str) -> set[str]:
    """Return the basis sets that a text names, in one spelling; auxiliary ones (def2/J) are none."""
    found = (word for word in re.split(r"[\s/,;]+", text.lower()) if re.match(BASIS, word))
    starred = (re.sub(r"\*$", "d", word.replace("**", "dp")) for word in found)
    return {re.sub(r"[^a-z0-9+]", "", word) for word in starred}


def check_stated(frames: Sequence[Atoms], entry: Entry) -> None:
    """Raise UserError where what a file states of its frames contradicts the sheet, or itself.

    A charge has to be said in the sheet where it is not 0. Levels are compared where both name a known method
    or basis.
    """
    first: dict[str, tuple[set[str], int]] = {}
    for number, atoms in enumerate(frames):
        where = f"{entry.name}, frame {number}"
        method, basis = (str(atoms.info.get(name, "")) for name in ("method", "basis"))
        for what, said, wanted in (
            ("method", methods_in(method), methods_in(entry.level)),
            ("basis", bases_in(f"{method} {basis}"), bases_in(entry.level)),
        ):
            if said and wanted and not said & wanted:
                raise UserError(
                    f"{where}: the file states the {what} {' or '.join(sorted(said))}, the samplesheet the "
                    f"level {entry.level}; say the same, or take out the file"
                )
            earlier, at = first.setdefault(what, (said, number))
            if said != earlier:
                here, there = (" ".join(sorted(names)) or "unknown" for names in (said, earlier))
                raise UserError(
                    f"{where}: {what} {here}, but {there} in frame {at}; one level only is allowed: cut "
                    "the file"
                )
        _check_number(atoms, "charge", entry.charge, where, default=0)
        _check_number(atoms, "multiplicity", entry.multiplicity, where, default=None)


def _check_number(atoms: Atoms, name: str, wanted: int | None, where: str, default: int | None) -> None:
    stated = atoms.info.get(name, atoms.info.get(f"total_{name}"))
    expected = default if wanted is None else wanted
    if stated is None or expected is None or not isinstance(stated, (int, float, np.number)):
        return
    if round(float(stated), 6) != expected:
        said = (
            f"{wanted} in the samplesheet"
            if wanted is not None
            else f"{default} where the samplesheet says nothing"
        )
        raise UserError(
            f"{where}: {name} {stated:g} in the file, {said}; say the right {name} in the column {name}"
        )
