"""Aggregates of molecules: packed at random by Packmol; those of CO relaxed by an ASE calculator."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase.io
import ase.units
import numpy as np
from ase import Atoms
from ase.optimize import LBFGS

from frazil.errors import UserError
from frazil.seeds import derived_seed
from frazil.systems.co import set_excited
from frazil.systems.molecules import Molecules, molecule

PACKING_DISTANCE_A = 2.8


def random_aggregate(
    n_molecules: int,
    radius_A: float,
    campaign_seed: int,
    aggregate_id: int,
    kinds: Sequence[tuple[Atoms, int]] = (),
    distance_A: float = PACKING_DISTANCE_A,
) -> Atoms:
    """Return molecules packed at random (positions, orientations) in a sphere, by Packmol; not relaxed.

    ``kinds``: each molecule and how many of all, CO if not given; atoms of two are at least ``distance_A``
    apart. Raises UserError where they do not fit.
    """
    if n_molecules < 1 or radius_A <= 0:
        raise UserError(f"{n_molecules} molecules in a sphere of {radius_A:g} Å; both must be positive")
    region = f"inside sphere 0. 0. 0. {radius_A}"
    kinds = kinds or [(molecule("CO"), n_molecules)]
    atoms = packed(kinds, region, distance_A, campaign_seed, "packmol", aggregate_id)
    molecules = Molecules.of_kinds(kinds)
    atoms.positions -= molecules.middle(molecules.centres(atoms.positions))
    set_excited(atoms, -1)
    return atoms


def shared_out(n: int, parts: Sequence[float]) -> list[int]:
    """Return whole numbers that add up to n, as near to parts of it as that allows (largest remainders)."""
    exact = n * np.asarray(parts, float) / sum(parts)
    counts = np.floor(exact).astype(int)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: n - counts.sum()]] += 1
    return [int(count) for count in counts]


def pack(
    n_molecules: int, region: str, distance_A: float, campaign_seed: int, stream: str, identity: int
) -> Atoms:
    """Return CO molecules at random in a region, as ``packed`` does for any."""
    kinds = [(molecule("CO"), n_molecules)]
    return packed(kinds, region, distance_A, campaign_seed, stream, identity)


def packed(
    kinds: Sequence[tuple[Atoms, int]], region: str, distance_A: float, campaign_seed: int, stream: str,
    identity: int, edge_A: float = 0.0,
) -> Atoms:  # fmt: skip
    """Return molecules at random in a region (Packmol's words), atoms at least ``distance_A`` apart.

    ``edge_A``: of a cube in whose images they are apart too, with no region; 0 where nothing is periodic.

    ``kinds``: each molecule (its name among its info) and how many; they come in this order. Packmol:
    Martínez et al., J. Comput. Chem. 30, 2157 (2009). Raises UserError where they do not fit.
    """
    program = shutil.which("packmol", path=str(Path(sys.executable).parent)) or shutil.which("packmol")
    if program is None:
        raise UserError("packmol is not installed; install it beside this Python (pip install packmol)")
    seed = derived_seed(campaign_seed, stream, identity)
    with tempfile.TemporaryDirectory(prefix="packmol-") as directory:
        words = f"tolerance {distance_A}\nfiletype xyz\noutput packed.xyz\nseed {seed}\nnloop 100\n"
        if edge_A:
            words += f"pbc {edge_A} {edge_A} {edge_A}\n"
        for place, (atoms, number) in enumerate(kinds):
            lines = [
                f"{symbol} {x:.17g} {y:.17g} {z:.17g}\n"
                for symbol, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)
            ]
            Path(directory, f"{place}.xyz").write_text(f"{len(atoms)}\n\n{''.join(lines)}")
            words += f"structure {place}.xyz\n  number {number}\n" + f"  {region}\n" * bool(region)
            words += "end structure\n"
        # Packmol rewinds its input: it must be a file, not a pipe.
        Path(directory, "pack.inp").write_text(words)
        with Path(directory, "pack.inp").open() as text:
            done = subprocess.run([program], stdin=text, cwd=directory, capture_output=True, text=True)
        if "Success!" not in done.stdout:
            if "Userguide" not in done.stdout or "runtime error" in done.stderr:
                raise RuntimeError(f"packmol failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
            where = " and ".join(line.strip() for line in region.splitlines())
            where = where or f"inside a cell of {edge_A:.4g} Å"
            what = " and ".join(f"{number} {atoms.info['name']}" for atoms, number in kinds)
            raise UserError(
                f"{what} do not fit {where} with {distance_A:g} Å between molecules; give a larger "
                "aggregate radius, or a lower density"
            )
        found = ase.io.read(Path(directory, "packed.xyz"), do_not_split_by_at_sign=True)
    return Atoms(found.symbols, positions=found.positions)


def relax(atoms: Atoms, calculator: Any, max_force_eV_per_A: float = 0.005, max_steps: int = 10000) -> Atoms:
    """Return the atoms relaxed with an ASE calculator (L-BFGS), at rest, without the calculator.

    Raises UserError if the forces do not fall below the limit in ``max_steps``.
    """
    relaxed = atoms.copy()
    relaxed.set_momenta(np.zeros_like(relaxed.positions))
    relaxed.calc = calculator
    with LBFGS(relaxed, logfile=None) as optimizer:
        converged = optimizer.run(fmax=max_force_eV_per_A, steps=max_steps)
    if not converged:
        raise UserError(
            f"an aggregate of {len(atoms)} atoms did not relax below {max_force_eV_per_A:g} eV/Å in "
            f"{max_steps} steps; give a larger aggregate radius"
        )
    relaxed.calc = None
    return relaxed
