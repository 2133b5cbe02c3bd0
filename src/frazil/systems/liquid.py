"""A box of a liquid: molecules packed in a cube at a density, relaxed a little, and thermalized."""

from pathlib import Path

import numpy as np
from ase import Atoms

from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import Langevin
from frazil.md.integrity import Separate
from frazil.md.observers import frames, temperature
from frazil.md.trajectory import Outcome
from frazil.potentials.calculator import PotentialCalculator, takes_cells
from frazil.potentials.neighbours import cell_of
from frazil.potentials.registry import load
from frazil.seeds import rng
from frazil.systems.molecules import molecule
from frazil.systems.packing import packed, relax
from frazil.units import G_PER_CM3, kB

APART_A = 2.0
"""Between atoms of two molecules when they are packed, images too."""
RELAXED_eV_per_A = 0.5
"""A force of the packing that dynamics takes out by itself."""
DAMPING_fs = 100.0
SEEN_EVERY_fs = 50.0


def edge_A(one: Atoms, n_molecules: int, density_g_per_cm3: float) -> float:
    """Return the edge, Å, of a cube in which so many molecules have a density."""
    mass_amu = n_molecules * float(one.get_masses().sum())
    return float(np.cbrt(mass_amu * G_PER_CM3 / density_g_per_cm3))


def pack(
    molecule_name: str, n_molecules: int, density_g_per_cm3: float, model: str, temperature_K: float,
    duration_fs: float, timestep_fs: float, campaign_seed: int, out: Path,
) -> str:  # fmt: skip
    """Write one frame (extxyz) of a liquid in its cube, molecules whole; return what was made in words.

    Raises UserError for molecules that do not fit, a potential that is not for cells or not for these, and
    dynamics in which atoms end on top of each other.
    """
    one = molecule(molecule_name)
    edge = edge_A(one, n_molecules, density_g_per_cm3)
    source = load(model)
    if not takes_cells(source):
        raise UserError(
            f"{model} of kind {source.kind} is for free atoms; give q-tip4p-f or a GM-NN for a liquid's cell"
        )
    atoms = packed([(one, n_molecules)], "", APART_A, campaign_seed, "liquid", 0, edge)
    atoms.set_cell(edge * np.eye(3))
    atoms.pbc = True
    potential = source.potential(atoms)
    atoms = relax(atoms, PotentialCalculator(source), RELAXED_eV_per_A)
    observe_every = max(1, round(SEEN_EVERY_fs / timestep_fs))
    n_steps = observe_every * max(1, round(duration_fs / timestep_fs / observe_every))
    ensemble = Ensemble(
        potential, Langevin(timestep_fs, temperature_K, DAMPING_fs), atoms.get_masses(), n_steps,
        observe_every, campaign_seed, observers=(frames, temperature), stop=Separate.of(atoms), width=1,
        cell_A=cell_of(potential, atoms),
    )  # fmt: skip
    random = rng(campaign_seed, "liquid-start", 0)
    speeds = np.sqrt(kB * temperature_K / atoms.get_masses())[:, None]
    velocities = speeds * random.normal(size=atoms.positions.shape)
    (ended,) = ensemble.run(atoms.positions[None], velocities[None])
    if ended.outcome != Outcome.FINISHED:
        raise UserError(
            f"{n_molecules} {one.info['name']} broke after {ended.n_steps * timestep_fs:g} fs under {model}; "
            "take a shorter timestep_fs, or a lower density"
        )
    name, last = f"{one.info['name']}-{n_molecules}", ended.rows["positions"][-1]
    write_frames(out, [Atoms(atoms.numbers, last, cell=atoms.cell, pbc=True, info={"name": name})])
    later = ended.rows["temperature_K"][len(ended.rows["temperature_K"]) // 2 :]
    return (
        f"{n_molecules} {one.info['name']} in a cube of {edge:.4f} Å ({density_g_per_cm3:g} g/cm³), "
        f"{n_steps * timestep_fs / 1000:g} ps under {source.level}, {later.mean():.0f} K in the second half"
    )
