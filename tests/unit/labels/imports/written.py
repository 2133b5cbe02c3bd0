"""Small outputs in the layout of codes that cannot be run here (real files: docs/validation.md)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import Bohr, Debye, Hartree


def turbomole_gradient(path: Path, frames: list[Atoms]) -> Path:
    lines = ["$grad          cartesian gradients"]
    for cycle, atoms in enumerate(frames, 1):
        energy = atoms.get_potential_energy() / Hartree
        lines.append(f"  cycle = {cycle:6d}    SCF energy = {energy:18.10f}   |dE/dxyz| =  0.157112")
        for symbol, xyz in zip(atoms.get_chemical_symbols(), atoms.positions / Bohr, strict=True):
            lines.append("".join(f"{x:22.14f}" for x in xyz) + f"      {symbol.lower()}")
        for gradient in -atoms.get_forces() * Bohr / Hartree:
            lines.append("".join(f"{x:22.13E}".replace("E", "D") for x in gradient))
    path.write_text("\n".join([*lines, "$end", ""]))
    return path


RULE = " " + "-" * 69


def gaussian_head(charge: int = 0, route: str = "RPBE1PBE/def2SVP Opt") -> list[str]:
    return [
        " Entering Gaussian System, Link 0=g16",
        " Gaussian 16:  ES64L-G16RevA.03 25-Dec-2016",
        *[RULE, f" # {route}", RULE],
        f" Charge = {charge:2d} Multiplicity = 1",
    ]


def gaussian_orientation(numbers: np.ndarray, positions: np.ndarray, axes: str = "Input") -> list[str]:
    lines = [f"                         {axes} orientation:", RULE]
    lines += [" Center     Atomic      Atomic             Coordinates (Angstroms)", " Number", RULE]
    for i, (z, xyz) in enumerate(zip(numbers, positions, strict=True), 1):
        lines.append(f"{i:7d}{z:11d}{0:12d}    " + "".join(f"{x:12.6f}" for x in xyz))
    return [*lines, RULE]


def gaussian_scf(energy_eV: float, method: str = "RPBE1PBE") -> list[str]:
    return [f" SCF Done:  E({method}) =  {energy_eV / Hartree:.9f}     A.U. after    9 cycles"]


def gaussian_forces(numbers: np.ndarray, forces: np.ndarray) -> list[str]:
    lines = [RULE, " Center     Atomic                   Forces (Hartrees/Bohr)", " Number", RULE]
    for i, (z, xyz) in enumerate(zip(numbers, forces * Bohr / Hartree, strict=True), 1):
        lines.append(f"{i:7d}{z:9d}    " + "".join(f"{x:15.9f}" for x in xyz))
    return [*lines, RULE]


def gaussian_dipole(dipole_e_A: np.ndarray) -> list[str]:
    x, y, z = dipole_e_A / Debye
    return [
        " Dipole moment (field-independent basis, Debye):",
        f"    X={x:12.4f}    Y={y:12.4f}    Z={z:12.4f}  Tot={0:12.4f}",
    ]


def gaussian_log(path: Path, frames: list[Atoms]) -> Path:
    lines = gaussian_head()
    for atoms in frames:
        lines += gaussian_orientation(atoms.numbers, atoms.positions)
        lines += gaussian_scf(atoms.get_potential_energy())
        lines += gaussian_forces(atoms.numbers, atoms.get_forces())
    path.write_text("\n".join([*lines, ""]))
    return path


def orca_head(words: str = "PBE0 def2-SVP Opt", version: str = "6.0.1", charge: int = 0) -> list[str]:
    return [
        " " * 33 + "* O   R   C   A *",
        f"                         Program Version {version}  -  RELEASE  -",
        f"|  1> ! {words}",
        f" Total Charge           Charge          ....    {charge}",
        " Multiplicity           Mult            ....    1",
    ]


def orca_step(
    atoms: Atoms, gradient: bool = True, energy: str = "FINAL SINGLE POINT ENERGY {:22.12f}"
) -> list[str]:
    lines = ["-" * 33, "CARTESIAN COORDINATES (ANGSTROEM)", "-" * 33]
    for symbol, xyz in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True):
        lines.append(f"  {symbol:2s}" + "".join(f"{x:14.6f}" for x in xyz))
    lines += ["", energy.format(atoms.get_potential_energy() / Hartree), ""]
    if gradient:
        lines += ["-" * 18, "CARTESIAN GRADIENT", "-" * 18, ""]
        rows = zip(atoms.get_chemical_symbols(), -atoms.get_forces() * Bohr / Hartree, strict=True)
        for i, (symbol, xyz) in enumerate(rows, 1):
            lines.append(f"{i:4d}   {symbol:2s}  : " + "".join(f"{x:15.9f}" for x in xyz))
    return [
        *lines,
        "",
        "Difference to translation invariance:",
        "           :    0.0000000000    0.0 0.0",
        "",
    ]


def vasp_xml(
    path: Path, frames: list[Atoms], cell_A: float, electronic_steps: Sequence[int] = (), most: int = 5
) -> Path:
    """Positions go into a cubic box, wrapped; the energy at zero smearing lies 0.1 eV above the free one."""
    symbols = frames[0].get_chemical_symbols()
    vectors = "".join(f"<v> {row[0]} {row[1]} {row[2]} </v>" for row in cell_A * np.eye(3))
    rows = "".join(f"<rc><c>{symbol} </c><c> 1</c></rc>" for symbol in symbols)
    text = [
        '<?xml version="1.0" encoding="ISO-8859-1"?>',
        "<modeling>",
        ' <generator><i name="program" type="string">vasp </i>',
        '  <i name="version" type="string">5.4.4.18Apr17 </i></generator>',
        f' <incar></incar><parameters><separator name="electronic"><i type="int" name="NELM">{most}</i>'
        "</separator></parameters>",
        ' <kpoints><varray name="kpointlist"><v> 0 0 0 </v></varray>',
        '  <varray name="weights"><v> 1 </v></varray></kpoints>',
        f" <atominfo><atoms> {len(symbols)} </atoms><types> 2 </types>",
        f'  <array name="atoms"><set>{rows}</set></array></atominfo>',
    ]

    def structure(atoms: Atoms) -> list[str]:
        scaled = (atoms.positions / cell_A) % 1.0
        return [
            f'<structure><crystal><varray name="basis">{vectors}</varray></crystal>',
            '<varray name="positions">',
            *(f"<v> {x:.10f} {y:.10f} {z:.10f} </v>" for x, y, z in scaled),
            "</varray></structure>",
        ]

    initial = structure(frames[0])
    text += [initial[0].replace("<structure>", '<structure name="initialpos">'), *initial[1:]]
    for number, atoms in enumerate(frames):
        energy = atoms.get_potential_energy()
        text += ["<calculation>", *structure(atoms), '<varray name="forces">']
        text += [f"<v> {x:.10f} {y:.10f} {z:.10f} </v>" for x, y, z in atoms.get_forces()]
        energies = (
            f'<energy><i name="e_fr_energy"> {energy:.8f} </i><i name="e_wo_entrp"> {energy + 0.2:.8f} </i>'
            f'<i name="e_0_energy"> {energy + 0.1:.8f} </i></energy>'
        )
        n = electronic_steps[number] if electronic_steps else 1
        text += ["</varray>", n * f"<scstep>{energies}</scstep>", energies, "</calculation>"]
    path.write_text("\n".join([*text, "</modeling>", ""]))
    return path


def cp2k_output(path: Path, atoms: Atoms) -> Path:
    edge = np.diag(np.asarray(atoms.cell))
    symbols = list(dict.fromkeys(atoms.get_chemical_symbols()))
    kinds = [symbols.index(symbol) + 1 for symbol in atoms.get_chemical_symbols()]
    lines = [" DBCSR| Multiplication driver      XSMM", " CP2K| version string:   CP2K version 2025.1"]
    for axis, letter in enumerate("abc"):
        row = "".join(f"{edge[axis] * (i == axis):10.3f}" for i in range(3))
        lines.append(f" CELL| Vector {letter} [angstrom]:{row}    |{letter}| = {edge[axis]:10.3f}")
    lines += [f" {i}. Atomic kind: {symbol}     Number of atoms:  1" for i, symbol in enumerate(symbols, 1)]
    lines += ["", " Atom Kind Element X Y Z Z(eff) Mass", ""]
    for i, (kind, z, xyz) in enumerate(zip(kinds, atoms.numbers, atoms.positions, strict=True), 1):
        symbol = symbols[kind - 1]
        lines.append(f" {i} {kind} {symbol} {z} {xyz[0]:.8f} {xyz[1]:.8f} {xyz[2]:.8f} 1.0 1.0")
    energy = atoms.get_potential_energy() / Hartree
    lines += ["", " *** SCF run converged in    11 steps ***"]
    lines += [f" ENERGY| Total FORCE_EVAL ( QS ) energy [hartree] {energy:.12f}", " FORCES| Atom x y z |f|"]
    for i, force in enumerate(atoms.get_forces() * Bohr / Hartree, 1):
        lines.append(f" FORCES| {i} " + " ".join(f"{x:.8E}" for x in [*force, np.linalg.norm(force)]))
    path.write_text("\n".join([*lines, ""]))
    return path


def vasp_outcar(
    path: Path,
    frames: list[Atoms],
    cell_A: float,
    electronic_steps: Sequence[int] = (),
    learned: bool = True,
) -> Path:
    """A VASP 6 run; with a learned field each labelled step is followed by one of that field, 1 eV higher."""
    most = 5 if electronic_steps else 100
    symbols = frames[0].get_chemical_symbols()
    kinds = list(dict.fromkeys(symbols))
    assert symbols == sorted(symbols, key=kinds.index)
    lines = [" vasp.6.3.0 20Jan22 (build) complex", f"   NELM   =    {most};   NELMIN=  2"]
    lines += 2 * [f" POTCAR:    PAW_PBE {kind} 08Apr2002" for kind in kinds]
    lines += [f"   TITEL  = PAW_PBE {kind} 08Apr2002" for kind in kinds]
    lines.append("   ions per type =   " + "  ".join(str(symbols.count(kind)) for kind in kinds))
    for number, atoms in enumerate(frames, 1):
        rows = np.hstack([atoms.positions + cell_A / 2, atoms.get_forces()])
        table = [" ".join(f"{value:14.8f}" for value in row) for row in rows]
        energy = atoms.get_potential_energy()
        for ml, shift in (("", 0.0), ("ML ", 1.0))[: 2 if learned else 1]:
            if not ml:
                last = electronic_steps[number - 1] if electronic_steps else 3
                lines += [f"----- Iteration {number:5d}({k:4d}) -----" for k in range(1, last + 1)]
                lines += ["  VOLUME and BASIS-vectors are now :", "", "", ""]
                lines += ["  direct lattice vectors                 reciprocal lattice vectors"]
                lines += [" ".join(f"{v:14.8f}" for v in (*row, *row)) for row in cell_A * np.eye(3)]
            title = " POSITION              TOTAL-FORCE (eV/Angst)"
            lines += [f" {title} (ML)" if ml else title, " " + "-" * 80, *table, " " + "-" * 80]
            lines += [f"  {ml}FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)"]
            lines += ["  " + "-" * 50, f"  {'free  energy ' + ml:15s}TOTEN  = {energy + shift:18.8f} eV", ""]
            value = f"{energy + shift + 0.1:.8f}"
            lines += [f"  energy  without entropy=  {value}  energy(sigma->0) =  {value}"]
    path.write_text("\n".join([*lines, ""]))
    return path


def espresso_output(path: Path, frames: list[Atoms], cell_A: float, failed: Sequence[int] = ()) -> Path:
    """Steps of pw.x (Ry, Ry/Bohr, positions in Å); a step that did not converge lacks the energy's mark."""
    alat = cell_A / Bohr
    symbols = list(dict.fromkeys(frames[0].get_chemical_symbols()))
    lines = ["     Program PWSCF v.7.2 starts on  1Jan2024 at  0: 0: 0", ""]
    lines += [f"     lattice parameter (alat)  = {alat:16.10f}  a.u."]
    lines += [f"     number of atoms/cell      = {len(frames[0]):12d}"]
    lines += [f"     celldm(1)={alat:12.6f}  celldm(2)=   0.000000  celldm(3)=   0.000000"]
    lines += ["     crystal axes: (cart. coord. in units of alat)"]
    for i, row in enumerate(np.eye(3), 1):
        lines.append(f"               a({i}) = (" + "".join(f"{x:11.6f}" for x in row) + " )")
    lines += ["", "   Cartesian axes", "", "     site n.     atom                  positions (alat units)"]
    for i, (symbol, xyz) in enumerate(zip(frames[0].symbols, frames[0].positions / cell_A, strict=True), 1):
        row = "".join(f"{x:12.9f} " for x in xyz)
        lines.append(f"{i:10d}           {symbol:2s}  tau({i:4d}) = ( {row} )")
    for number, atoms in enumerate(frames):
        if number:
            lines += ["", "ATOMIC_POSITIONS (angstrom)"]
            rows = zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
            lines += [f"{s:2s} " + " ".join(f"{x:16.10f}" for x in xyz) for s, xyz in rows] + [""]
        mark = " " if number in failed else "!"
        lines += [
            f"{mark}    total energy              = {2 * atoms.get_potential_energy() / Hartree:16.8f} Ry",
            "",
        ]
        word = "NOT achieved" if number in failed else "has been achieved"
        lines += [f"     convergence {word} in  9 iterations", ""]
        lines += ["     Forces acting on atoms (cartesian axes, Ry/au):", ""]
        for i, (symbol, xyz) in enumerate(zip(atoms.symbols, atoms.get_forces(), strict=True), 1):
            kind = symbols.index(symbol) + 1
            force = "".join(f"{2 * x * Bohr / Hartree:14.8f}" for x in xyz)
            lines.append(f"     atom{i:5d} type{kind:3d}   force = {force}")
        lines += ["", "     Total force =     0.1", ""]
    path.write_text("\n".join([*lines, ""]))
    return path


def psi4_output(path: Path, frames: list[Atoms], failed: Sequence[int] = (), more: str = "") -> Path:
    """Steps of Psi4: a geometry (Å), its SCF energy and the gradient (Hartree, Hartree/Bohr)."""
    lines = [
        "          Psi4: An Open-Source Ab Initio Electronic Structure Package",
        "     Psi4 1.9.1 release",
    ]
    for number, atoms in enumerate(frames):
        lines += ["    Geometry (in Angstrom), charge = 0, multiplicity = 1:", ""]
        lines += [
            "       Center              X                  Y                   Z               Mass       "
        ]
        lines += [
            "    ------------   -----------------  -----------------  -----------------  -----------------"
        ]
        for symbol, xyz in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True):
            lines.append(f"    {symbol.upper():>10s}" + "".join(f"{x:20.12f}" for x in xyz) + "   12.0")
        if number in failed:
            lines += ["", "  Energy and/or wave function did not converge, but proceeding anyway."]
        lines += ["", f"    Total Energy = {atoms.get_potential_energy() / Hartree:30.16f}", more]
        lines += [
            "  -Total Gradient:",
            "     Atom            X                  Y                   Z",
            "    ------",
        ]
        for i, xyz in enumerate(-atoms.get_forces() * Bohr / Hartree, 1):
            lines.append(f"{i:9d}" + "".join(f"{x:20.12f}" for x in xyz))
        lines.append("")
    path.write_text("\n".join([*lines, ""]))
    return path
