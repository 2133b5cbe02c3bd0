"""VASP's OUTCAR and vasprun.xml: the free energy, which forces are the gradient of; what did not converge.

A step that used all its NELM electronic steps did not converge, unless an OUTCAR of VASP 6 says that it did:
before, "EDIFF is reached" stands below any step.
"""

import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from ase import Atoms

from frazil.errors import UserError
from frazil.labels.imports.libraries import by_ase, by_dpdata
from frazil.labels.imports.reading import Reading

FUNCTIONALS = {"PE": "pbe", "RP": "rpbe", "RE": "revpbe", "91": "pw91"}
"""Values of GGA whose name is known."""
OTHER_FUNCTIONALS = re.compile(
    r"(?:LHFCALC|LUSE_VDW|LMETAGGA)\s*=\s*T|METAGGA\s*=\s*(?!F\b|none)[A-Za-z]", re.I
)
"""What makes another functional of them."""


def read_outcar(path: Path) -> Reading:
    """Read an OUTCAR by ASE; by dpdata where that fails, or to leave out steps of VASP's learned field."""
    text = path.read_text(errors="replace")
    if "TOTAL-FORCE" not in text:
        raise UserError(
            f"{path} has no table of positions and forces (cut off, or written with NWRITE = 0); give the "
            "run's vasprun.xml"
        )
    version = re.search(r"vasp\.(\S+)", text)
    try:
        frames = [] if "ML FREE ENERGIE" in text else by_ase(path, "vasp-out")
        _mark(frames, _outcar_steps(text) if frames else [], path)
    except (ValueError, IndexError):  # ASE does not know some headers (van der Waals functionals)
        frames = []
    if not frames:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "no energy found")  # of the learned steps after the last label
            frames = by_dpdata(path, "vasp/outcar")  # leaves out what used all NELM, too
    _drop_dipoles(frames)
    gga = re.search(r"^\s*GGA\s+=\s+(\S+)", text, re.M)
    if gga and gga[1] in FUNCTIONALS and not OTHER_FUNCTIONALS.search(text):
        for atoms in frames:
            atoms.info["method"] = FUNCTIONALS[gga[1]]
    return Reading(frames, "vasp", version[1] if version else "not stated")


def read_vasprun(path: Path) -> Reading:
    """Read a vasprun.xml by ASE. Raises UserError where VASP's learned field gave some of the steps."""
    text = path.read_text(errors="replace")
    if re.search(r'name="ML_LMLFF">\s*T', text):
        raise UserError(
            f"{path}: steps of VASP's learned field are in it, which are no labels and cannot be told from "
            "the others; give the OUTCAR of the same run"
        )
    frames = by_ase(path, "vasp-xml")
    _mark(frames, _xml_steps(path, text), path)
    _drop_dipoles(frames)
    version = re.search(r'name="version"[^>]*>\s*([\d.]+)', text)
    return Reading(frames, "vasp", version[1] if version else "not stated")


def _drop_dipoles(frames: Sequence[Atoms]) -> None:
    for atoms in frames:  # about a point of the box that the file does not settle
        atoms.calc.results.pop("dipole", None)


def _mark(frames: Sequence[Atoms], converged: Sequence[bool], path: Path) -> None:
    """Mark frames, in the order of the ionic steps that both were read from; a cut last step has no frame."""
    if not len(frames) <= len(converged) <= len(frames) + 1:
        raise UserError(
            f"{path}: {len(frames)} frames of {len(converged)} ionic steps (NWRITE = 0 prints few); give the "
            "run's vasprun.xml, or a whole file of one run"
        )
    for atoms, good in zip(frames, converged, strict=False):
        if not good:
            atoms.info["converged"] = False


def _outcar_steps(text: str) -> list[bool]:
    """Return whether each ionic step converged, in order."""
    limit = re.search(r"\bNELM\s*=\s*(\d+)", text)
    most = int(limit[1]) if limit else None
    trusted = re.search(r"vasp\.([6-9]|\d\d)\.", text[:1000]) is not None
    found: list[bool] = []
    ion, last, reached = "", 0, False
    for m in re.finditer(
        r"Iteration\s+(\d+)\(\s*(\d+)\)|(EDIFF is reached)|(EDIFF was not reached)|FREE ENERGIE OF THE ION",
        text,
    ):
        if m[1]:
            if m[1] != ion:
                ion, reached = m[1], False
            last = int(m[2])
        elif m[3]:
            reached = trusted
        elif m[4]:
            reached = False
        else:
            found.append(reached or most is None or last < most)
            last = 0
    return found


def _xml_steps(path: Path, text: str) -> list[bool]:
    """Return whether each ionic step converged, in order."""
    limit = re.search(r'name="NELM">\s*(\d+)', text)
    found: list[bool] = []
    try:
        for _, element in ElementTree.iterparse(path):
            if element.tag == "calculation":
                steps = len(element.findall("scstep"))
                found.append(limit is None or steps < int(limit[1]))
                element.clear()
    except ElementTree.ParseError:  # cut: ASE reads what is whole, too
        pass
    return found
