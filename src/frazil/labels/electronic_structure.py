"""Energies, forces and dipoles of small molecules from PySCF, at named levels of theory.

A level is ``method/basis`` (``pbe-d3bj/def2-svp``): closed-shell Kohn–Sham with density fitting, or
frozen-core coupled cluster for single-point energies of dimers. Every frame is neutral and spin-restricted,
as in the papers that this package follows. For one CO at PBE/def2-SVP the restricted solution is stable up to
a bond of 1.75 Å; it lies 0.16 eV above the broken-symmetry one at 1.90 Å and 0.27 eV at 1.97 Å (the outer
turning point of v = 40), on one smooth surface. With half of exact exchange (BHLYP) that starts before 1.5 Å:
such bonds are not for it.

Where gpu4pyscf is installed and a GPU is there, density functionals run on it; ``label_version`` says so.
PySCF is imported only when a level is computed, so that the names and the cost table cost nothing.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from time import perf_counter
from types import MappingProxyType
from typing import Any

import ase.units
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from frazil.cost import COST_OF_ATOMS, COST_OF_BASIS, COST_s
from frazil.data.cells import problem_of_cell
from frazil.errors import UserError

CODE = "pyscf"

BASES = ("def2-svp", "def2-tzvp", "def2-qzvp", "cc-pvtz", "cc-pvqz", "aug-cc-pvdz", "aug-cc-pvtz")

RESPONSE_CYCLES, RESPONSE_TOLERANCE, RESPONSE_LEFT = 60, 1e-8, 1e-4
"""Of the coupled-perturbed equations: cycles and tolerance, and what may be left of them at the end."""

HEAVIEST = 36
"""Krypton: beyond it these bases are made for core potentials, which no level here has."""

SHORTEST_DISTANCE_A = 0.4
"""Two nuclei nearer than this (Å) are a broken geometry, not a frame to label."""


@dataclass(frozen=True)
class Method:
    """One functional (or coupled cluster) and its dispersion correction, in PySCF's words."""

    functional: str | None
    """Name for libxc; None for coupled cluster."""
    dispersion: str | None
    """Value of PySCF's ``mf.disp``."""
    composite: bool = False
    """Coupled cluster in the basis before, and MP2 for the difference (a focal point)."""


METHODS = MappingProxyType(
    {
        "pbe": Method("pbe", None),
        "pbe-d3bj": Method("pbe", "d3bj"),
        "pbe-d4": Method("pbe", "d4"),
        "blyp-d4": Method("blyp", "d4"),
        "bp86-d4": Method("bp86", "d4:bp"),
        "pbe0": Method("pbe0", None),
        "pbe0-d3bj": Method("pbe0", "d3bj"),
        "b3lyp-d4": Method("b3lyp", "d4"),
        "bhlyp-d4": Method("bhandhlyp", "d4:bhlyp"),
        "ccsd(t)": Method(None, None),
        "ccsd(t)-dmp2": Method(None, None, composite=True),
    }
)


@dataclass(frozen=True)
class Level:
    """A named level of theory and the numerical settings that belong to it."""

    name: str
    method: Method
    basis: str
    grid_level: int = 3
    """PySCF's integration grid; 4 moves energies of CO clusters by 3 µeV, and costs 1.7 times as much."""
    energy_tolerance_hartree: float = 1e-9

    @property
    def has_forces(self) -> bool:
        """Whether the level gives forces and a dipole, or an energy only."""
        return self.method.functional is not None


BASIS_BEFORE = MappingProxyType({"aug-cc-pvtz": "aug-cc-pvdz"})

LEVELS = MappingProxyType(
    {
        f"{method}/{basis}": Level(f"{method}/{basis}", METHODS[method], basis)
        for method, basis in product(METHODS, BASES)
        if not METHODS[method].composite or basis in BASIS_BEFORE
    }
)


@dataclass(frozen=True)
class Attempt:
    """One way to converge a self-consistent field."""

    name: str
    level_shift_hartree: float = 0.0
    damping: float = 0.0
    smearing_hartree: float = 0.0
    """Fractional occupations (Fermi) of a first, discarded cycle that only gives a better start."""
    second_order: bool = False
    max_cycles: int = 60


ATTEMPTS = (
    Attempt("default"),
    Attempt("level-shift", level_shift_hartree=0.3, damping=0.3, max_cycles=200),
    Attempt("smeared-start", smearing_hartree=0.02, level_shift_hartree=0.1, max_cycles=200),
    Attempt("second-order", second_order=True, max_cycles=100),
)
"""Tried in this order, each from a fresh start; the first that converges gives the label."""


@dataclass(frozen=True)
class SinglePoint:
    """The label of one frame and how it was obtained."""

    energy_eV: float
    forces_eV_per_A: NDArray[np.float64] | None
    """(n_atoms, 3), without net force and torque."""
    dipole_eA: NDArray[np.float64] | None
    """(3,), e Å, pointing from negative to positive charge (as ASE)."""
    attempt: str
    """Which of ``ATTEMPTS`` converged."""
    net_force_eV_per_A: float
    """Size of the net force that the integration grid had left, and that was removed."""
    net_torque_eV: float
    """Size of the net torque about the centroid that was removed."""
    wall_s: float
    hessian_eV_per_A2: NDArray[np.float64] | None = None
    """(3 n_atoms, 3 n_atoms) on request; rows and columns atom by atom, x, y, z."""
    dipole_derivatives_e: NDArray[np.float64] | None = None
    """(3, 3 n_atoms) with the Hessian: of each component of the dipole."""
    polarizability_A3: NDArray[np.float64] | None = None
    """(3, 3) on request, as a volume (α/4πε0)."""


class NotConverged(Exception):
    """No attempt converged in the time allowed: the frame has no label, its neighbours are not concerned."""


def level(name: str) -> Level:
    """Return the level of that name.

    Raises:
        UserError: there is no such level.
    """
    if name not in LEVELS:
        raise UserError(
            f"level {name!r} is not known; use METHOD/BASIS with METHOD one of {', '.join(METHODS)} "
            f"and BASIS one of {', '.join(BASES)}"
        )
    return LEVELS[name]


def code_version() -> str:
    """Return the versions of PySCF, its dispersion package and gpu4pyscf if it runs: ``label_version``.

    Raises:
        UserError: PySCF is not installed.
    """
    try:
        pyscf_version = version("pyscf")
    except PackageNotFoundError:
        raise UserError(
            "this level of theory needs PySCF, which is not installed; install the extra 'labels' of frazil"
        ) from None
    others = []
    with suppress(PackageNotFoundError):
        others.append(f"pyscf-dispersion {version('pyscf-dispersion')}")
    if (found := gpu_version()) is not None:
        others.append(f"gpu4pyscf {found}")
    return f"{pyscf_version} ({', '.join(others)})" if others else pyscf_version


@cache
def gpu_version() -> str | None:
    """Return gpu4pyscf's version where it and a GPU are there: density functionals then run on it."""
    try:
        import cupy  # type: ignore[import-not-found,unused-ignore]

        if not cupy.cuda.is_available():
            return None
        import gpu4pyscf  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return None
    return str(gpu4pyscf.__version__)


def seconds(atoms: Atoms, name: str) -> float:
    """Return what one frame's energy and forces are expected to cost on one core.

    ``COST_s`` × atoms^``COST_OF_ATOMS`` × (basis functions)^``COST_OF_BASIS``: within a factor of 1.6 of what
    16 of 18 frames of 2–20 atoms took at PBE, PBE0 and BHLYP in def2-SVP and def2-TZVP (of the others: 1.8
    and 1.9). Not a number for coupled cluster: not known.
    """
    wanted = level(name)
    if wanted.method.functional is None:
        return float("nan")
    n_basis = _molecule(atoms, wanted, spin=None).nao
    return float(COST_s * len(atoms) ** COST_OF_ATOMS * n_basis**COST_OF_BASIS)


def check(atoms: Atoms, in_cells: bool = False) -> None:
    """Refuse a frame that no level here can describe, before any time is spent.

    ``in_cells``: the level takes crystals and liquids, periodic in all three directions.

    Raises:
        UserError: periodic, charged by its electron count (odd), or with nuclei on top of each other.
    """
    formula = atoms.get_chemical_formula()
    if len(atoms) == 0:
        raise UserError("a frame without atoms cannot be labelled; remove it")
    if atoms.pbc.any() and not in_cells:
        raise UserError(
            f"frame {formula} is periodic; this level labels isolated molecules: remove the cell, or take "
            "gfn1-xtb, gfn2-xtb, co-crystal or a level of your own"
        )
    if problem := problem_of_cell(atoms):
        raise UserError(f"frame {formula}: {problem}")
    if int(atoms.numbers[~_ghosts(atoms)].sum()) % 2:
        raise UserError(f"frame {formula} has an odd number of electrons; only closed shells are labelled")
    if not np.isfinite(atoms.positions).all():
        raise UserError(f"frame {formula} has positions that are not finite numbers; remove it")
    if len(atoms) > 1:
        distances = atoms.get_all_distances(mic=bool(atoms.pbc.any()))
        shortest = float(distances[np.triu_indices(len(atoms), 1)].min())
        if shortest < SHORTEST_DISTANCE_A:
            raise UserError(
                f"frame {formula} has two nuclei {shortest:.2f} Å apart; "
                f"at least {SHORTEST_DISTANCE_A} Å is allowed: remove it"
            )


def single_point(
    atoms: Atoms, name: str, hessian: bool = False, polarizability: bool = False, limit_s: float = 0.0
) -> SinglePoint:
    """Compute one frame at the level ``name``.

    Args:
        atoms: neutral closed-shell molecules, not periodic; positions in Å. Not changed. An array ``ghost``
            marks atoms (1) that lend their basis functions only, for counterpoise corrections.
        name: a key of ``LEVELS``.
        hessian: also the second derivatives of the energy and the first ones of the dipole, analytic
            (about ten times the cost).
        polarizability: also the static polarizability, by coupled-perturbed orbitals (a label or two).
        limit_s: wall time allowed, seconds; 0: any. Looked at after each cycle of a self-consistent field (or
            of coupled cluster) and before each further step, so that one cycle or gradient may run over.

    Raises:
        UserError: unknown level, a frame it cannot describe, or PySCF is missing.
        NotConverged: no attempt of ``ATTEMPTS`` converged, or not within ``limit_s``.
    """
    wanted = level(name)
    check(atoms)
    code_version()
    start = perf_counter()
    molecule = _molecule(atoms, wanted)

    def check_time(_: object = None) -> None:
        if 0 < limit_s < perf_counter() - start:
            raise NotConverged(f"not done in the {limit_s:g} s that one frame is allowed")

    if wanted.method.functional is None:
        if hessian or polarizability:
            raise UserError(f"level {name!r} gives an energy only; no Hessian and no polarizability")
        energy, attempt = _coupled_cluster(atoms, wanted, check_time)
        return SinglePoint(energy, None, None, attempt, 0.0, 0.0, perf_counter() - start)
    if _ghosts(atoms).any():
        raise UserError(f"level {name!r} takes no ghost atoms; coupled cluster does")
    field, attempt = _self_consistent_field(molecule, wanted, check_time)
    check_time()
    raw_forces = -np.asarray(field.nuc_grad_method().kernel()) * ase.units.Hartree / ase.units.Bohr
    forces, net_force, net_torque = without_net_force_and_torque(atoms.positions, raw_forces)
    dipole = np.asarray(field.dip_moment(unit="AU", verbose=0)) * ase.units.Bohr
    check_time()
    on_cpu = field.to_cpu() if (hessian or polarizability) and gpu_version() is not None else field
    second, slopes = _hessian(on_cpu) if hessian else (None, None)
    return SinglePoint(
        energy_eV=float(field.e_tot) * ase.units.Hartree,
        forces_eV_per_A=forces,
        dipole_eA=dipole,
        attempt=attempt,
        net_force_eV_per_A=net_force,
        net_torque_eV=net_torque,
        hessian_eV_per_A2=second,
        dipole_derivatives_e=slopes,
        polarizability_A3=_polarizability(on_cpu) if polarizability else None,
        wall_s=perf_counter() - start,
    )


def converged(atoms: Atoms, name: str) -> tuple[Any, str]:
    """Return PySCF's converged Kohn–Sham field of a frame at the level ``name``, and which attempt it took.

    Raises UserError as ``unconverged``, and NotConverged where no attempt of ``ATTEMPTS`` converged.
    """
    molecule = unconverged(atoms, name).mol
    field, attempt = _self_consistent_field(molecule, level(name), lambda _: None)
    return field.to_cpu() if gpu_version() is not None else field, attempt


def unconverged(atoms: Atoms, name: str) -> Any:
    """Return PySCF's Kohn–Sham field of a frame at the level ``name``, before its first cycle.

    Raises:
        UserError: unknown level, one of coupled cluster, a frame it cannot describe, or PySCF is missing.
    """
    wanted = level(name)
    check(atoms)
    code_version()
    if wanted.method.functional is None:
        raise UserError(f"level {name!r} has no density here; a functional of PySCF has (pbe/def2-svp)")
    if _ghosts(atoms).any():
        raise UserError(f"level {name!r} takes no ghost atoms; coupled cluster does")
    return _field(_molecule(atoms, wanted), wanted)


def without_net_force_and_torque(
    positions_A: NDArray[np.float64], forces_eV_per_A: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float, float]:
    """Remove, by the smallest change in the forces, what rigid translation and rotation would do work on.

    An integration grid that moves with the nuclei breaks both invariances by about 1e-4 Hartree/Bohr. The
    forces are projected on the complement of the six (on a line: five) rigid motions, all atoms alike.

    Args:
        positions_A: (n_atoms, 3), Å.
        forces_eV_per_A: (n_atoms, 3), eV/Å.

    Returns:
        The forces (n_atoms, 3), the size of the net force (eV/Å) and of the torque about the centroid (eV).
    """
    centred = positions_A - positions_A.mean(axis=0)
    translations = [np.tile(axis, (len(centred), 1)) for axis in np.eye(3)]
    rotations = [np.cross(axis, centred) for axis in np.eye(3)]
    motions = np.array([*translations, *rotations]).reshape(6, -1)
    weights = np.linalg.lstsq(motions.T, forces_eV_per_A.ravel(), rcond=1e-10)[0]
    net_force = float(np.linalg.norm(forces_eV_per_A.sum(axis=0)))
    net_torque = float(np.linalg.norm(np.cross(centred, forces_eV_per_A).sum(axis=0)))
    return forces_eV_per_A - (weights @ motions).reshape(-1, 3), net_force, net_torque


def _molecule(atoms: Atoms, wanted: Level, spin: int | None = 0) -> Any:
    from pyscf import gto  # type: ignore[import-not-found,unused-ignore]
    from pyscf.lib.exceptions import BasisNotFoundError  # type: ignore[import-not-found,unused-ignore]

    names = [
        f"ghost-{symbol}" if ghost else symbol
        for symbol, ghost in zip(atoms.get_chemical_symbols(), _ghosts(atoms), strict=True)
    ]
    if heavy := sorted({str(atom.symbol) for atom in atoms if atom.number > HEAVIEST}):
        raise UserError(
            f"level {wanted.name!r} describes elements up to Kr, not {', '.join(heavy)}, whose basis is made "
            "for a core potential; leave such frames out"
        )
    geometry = list(zip(names, atoms.positions.tolist(), strict=True))
    try:
        return gto.M(atom=geometry, unit="Angstrom", basis=wanted.basis, charge=0, spin=spin, verbose=0)
    except BasisNotFoundError as error:
        raise UserError(
            f"level {wanted.name!r}: {error}; use another basis or leave such frames out"
        ) from None


def _ghosts(atoms: Atoms) -> NDArray[np.bool_]:
    """Return which atoms (n_atoms,) are basis functions only."""
    return np.asarray(atoms.arrays.get("ghost", np.zeros(len(atoms)))).astype(bool)


def _hessian(field: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the analytic Hessian (3 n, 3 n) of a converged field, eV/Å², symmetrized, and the dipole's
    derivatives (3, 3 n), e.

    Both need the orbitals' response to every nucleus. The derivative of −Tr(D r) is that of the density, from
    the response, and that of the integrals, whose functions move with their nuclei.
    """
    solver, responses = field.Hessian(), []

    def solve(*given: Any, **named: Any) -> Any:
        responses.append(original(*given, **named))
        return responses[-1]

    original, solver.solve_mo1 = solver.solve_mo1, solve
    blocks = np.asarray(solver.kernel()) * ase.units.Hartree / ase.units.Bohr**2
    square = blocks.transpose(0, 2, 1, 3).reshape(3 * len(blocks), -1)

    molecule, density = field.mol, field.make_rdm1()
    occupied = field.mo_coeff[:, field.mo_occ > 0]
    position = molecule.intor("int1e_r")
    moved = molecule.intor("int1e_irp").reshape(3, 3, *density.shape)  # (r, nabla, bra, ket)
    slopes = np.zeros((3, len(blocks), 3))
    (response, _) = responses[-1]
    for atom, (_, _, first, last) in enumerate(molecule.aoslice_by_atom()):
        change = np.asarray(response[atom])  # (3, functions, occupied)
        slopes[:, atom] = -4.0 * np.einsum("jpq,xpi,qi->jx", position, change, occupied)
        own = slice(first, last)
        slopes[:, atom] += 2.0 * np.einsum("jxpq,pq->jx", moved[:, :, :, own], density[:, own])
        slopes[:, atom] += molecule.atom_charge(atom) * np.eye(3)
    return np.asarray(square + square.T) / 2, slopes.reshape(3, -1)


def _polarizability(field: Any) -> NDArray[np.float64]:
    """Return the polarizability (3, 3), Å³, symmetrized."""
    tensor = polarizability_of(field.mol, responses(field)) * ase.units.Bohr**3
    return np.asarray(tensor + tensor.T) / 2


def polarizability_of(molecule: Any, responses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return −Tr(x P^y) (3, 3), bohr³, of a density's responses P^y (3, n, n) to fields along x, y, z."""
    return np.asarray(-np.einsum("xpq,ypq->xy", molecule.intor("int1e_r"), responses))


def responses(field: Any) -> NDArray[np.float64]:
    """Return how the density matrix of a converged field changes (3, n, n) with fields along x, y, z.

    By the coupled-perturbed equations of its orbitals: (ε_a − ε_i) U_ai + v_ai[U] = −y_ai, the perturbation y
    that of electrons in a field, r·E in atomic units (Gerratt & Mills, J. Chem. Phys. 49, 1719, 1968). No
    field's strength has to be chosen. Raises NotConverged where they are not solved.
    """
    from pyscf.scf import cphf

    full = field.mo_occ > 0
    inside, outside = field.mo_coeff[:, full], field.mo_coeff[:, ~full]
    perturbation = np.einsum("pa,xpq,qi->xai", outside, field.mol.intor("int1e_r"), inside)
    response = field.gen_response(hermi=1)

    def induced(orbitals: NDArray[np.float64]) -> NDArray[np.float64]:
        changes = orbitals.reshape(-1, *perturbation.shape[1:])
        half = 2 * np.einsum("pa,xai,qi->xpq", outside, changes, inside)
        potential = response(half + half.swapaxes(1, 2))
        return np.einsum("pa,xpq,qi->xai", outside, potential, inside).reshape(orbitals.shape)

    try:
        answer, _ = cphf.solve(
            induced, field.mo_energy, field.mo_occ, perturbation, max_cycle=RESPONSE_CYCLES,
            tol=RESPONSE_TOLERANCE, verbose=0,
        )  # fmt: skip
    except RuntimeError as error:  # what PySCF's solver says when its cycles are used up
        raise NotConverged(f"the response to a field did not converge: {error}") from error
    left = _left_of(induced, field.mo_energy, full, perturbation, answer)
    if not left < RESPONSE_LEFT:
        raise NotConverged(f"the response to a field did not converge: {left:.2g} of it is left")
    half = 2 * np.einsum("pa,xai,qi->xpq", outside, answer.reshape(perturbation.shape), inside)
    return np.asarray(half + half.swapaxes(1, 2))


def _left_of(
    induced: Callable[[Any], Any], energies: Any, full: Any, perturbation: Any, answer: Any
) -> float:
    """Return what is left of the coupled-perturbed equations, over the perturbation."""
    gaps = energies[~full][:, None] - energies[full]
    answer = np.asarray(answer).reshape(perturbation.shape)
    rest = gaps * answer + induced(answer) + perturbation
    return float(np.abs(rest).max() / np.abs(perturbation).max())


def _self_consistent_field(
    molecule: Any, wanted: Level, check_time: Callable[[object], None]
) -> tuple[Any, str]:
    """Converge the density by the first of ``ATTEMPTS`` that does; Hartree–Fock for coupled cluster.

    ``check_time`` is called after each cycle, and may raise.

    On a GPU the first attempt runs there, and so does the end of every other, from the density that the CPU
    has converged: all labels are then gpu4pyscf's.
    """
    accelerated = wanted.method.functional is not None and gpu_version() is not None
    tried = []
    for attempt in ATTEMPTS:
        try:
            field = _attempted(molecule, wanted, attempt, accelerated, check_time)
        except (np.linalg.LinAlgError, ValueError) as error:  # a field of numbers that are not finite
            tried.append(f"{attempt.name}: {error}")
            continue
        if field.converged:
            return field, attempt.name
        tried.append(attempt.name)
    raise NotConverged(f"the self-consistent field did not converge (tried {', '.join(tried)})")


def _attempted(
    molecule: Any, wanted: Level, attempt: Attempt, accelerated: bool, check_time: Callable[[object], None]
) -> Any:
    """Return the field after one attempt, converged or not."""
    from pyscf import scf

    field = _field(molecule, wanted)
    field.max_cycle = attempt.max_cycles
    field.level_shift = attempt.level_shift_hartree
    field.damp = attempt.damping
    density = None
    if attempt.smearing_hartree:
        smeared = scf.addons.smearing_(field.copy(), sigma=attempt.smearing_hartree, method="fermi")
        smeared.conv_tol = 1e-5
        smeared.callback = check_time
        smeared.kernel()
        density = smeared.make_rdm1()
    if attempt.second_order:
        field = field.newton()
    if accelerated and attempt is ATTEMPTS[0]:
        field = field.to_gpu()
    field.callback = check_time
    field.kernel(dm0=density)
    if field.converged and accelerated and attempt is not ATTEMPTS[0]:
        density, field = field.make_rdm1(), _field(molecule, wanted).to_gpu()
        field.callback = check_time
        field.kernel(dm0=density)
    return field


def _field(molecule: Any, wanted: Level) -> Any:
    """Return the level's self-consistent field, not yet converged; Hartree–Fock for coupled cluster."""
    from pyscf import dft, scf

    if wanted.method.functional is None:
        field = scf.RHF(molecule)
    else:
        field = dft.RKS(molecule, xc=wanted.method.functional).density_fit()
        field.grids.level = wanted.grid_level
        if wanted.method.dispersion is not None:
            field.disp = wanted.method.dispersion
    field.conv_tol = wanted.energy_tolerance_hartree
    return field


def _coupled_cluster(atoms: Atoms, wanted: Level, check_time: Callable[[object], None]) -> tuple[float, str]:
    """Return the frozen-core CCSD(T) energy (eV), without density fitting; a composite's with it in MP2."""
    from pyscf import cc
    from pyscf.data.elements import chemcore  # type: ignore[import-not-found,unused-ignore]

    small = replace(wanted, basis=BASIS_BEFORE[wanted.basis]) if wanted.method.composite else wanted
    molecule = _molecule(atoms, small)
    field, attempt = _self_consistent_field(molecule, small, check_time)
    solver = cc.CCSD(field, frozen=chemcore(molecule) or None)
    solver.max_cycle = 100
    solver.callback = check_time
    solver.kernel()
    if not solver.converged:
        raise NotConverged("the coupled-cluster amplitudes did not converge in 100 cycles")
    energy = float(solver.e_tot + solver.ccsd_t())
    if wanted.method.composite:
        large = _perturbation(_molecule(atoms, wanted), wanted, check_time)
        energy += large - _perturbation(molecule, small, check_time)
    return energy * ase.units.Hartree, attempt


def _perturbation(molecule: Any, wanted: Level, check_time: Callable[[object], None]) -> float:
    """Return the frozen-core MP2 energy (Hartree), density-fitted throughout."""
    from pyscf import mp, scf
    from pyscf.data.elements import chemcore

    field = scf.RHF(molecule).density_fit()
    field.callback = check_time
    field.conv_tol = wanted.energy_tolerance_hartree
    field.kernel()
    if not field.converged:
        raise NotConverged("the self-consistent field before MP2 did not converge")
    return float(mp.dfmp2.DFMP2(field, frozen=chemcore(molecule) or None).run().e_tot)
