"""What runs aggregates: the batched engine under any potential, or LAMMPS under DeePMD models of CO.

Both take the same starts and integrate by velocity Verlet. Trajectories of the two part after a picosecond of
chaos, while their statistics agree.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase import Atoms

from frazil.campaigns import Row, Runner, Start, Watch, in_engine, in_lammps
from frazil.errors import UserError
from frazil.experiments.photodesorption.initial_states import InitialStates
from frazil.experiments.photodesorption.settings import TEACHER
from frazil.md.lammps import Observation
from frazil.md.trajectory import Rows, Trajectory
from frazil.systems.molecules import Molecules
from frazil.units import fs

if TYPE_CHECKING:
    from frazil.md.ensemble import Ensemble
    from frazil.md.lammps import LammpsSession
    from frazil.potentials.registry import Source

LAMMPS = "lammps"
TAGGED = "deepmd"
"""Kind of potential that has types of its own for the excited molecule's atoms."""


class Model(NamedTuple):
    """What drives a trajectory: a folder or the name of a potential, and a member of it (None: its mean)."""

    what: Path | str
    member: int | None = None


@cache
def source_of(what: Path | str, precision: str = "float32") -> "Source":
    """Return the source of a potential, loaded once in a process."""
    from frazil.potentials.registry import load

    return load(what, precision=precision)


def tagged_atoms(molecules: Molecules, positions_A: np.ndarray, excited_molecule: int) -> Atoms:
    """Return all atoms, those of the excited molecule (−1: none) tagged in the array ``excited``."""
    atoms = Atoms(numbers=molecules.numbers, positions=positions_A)
    excited = (molecules.owner == excited_molecule).astype(int)
    atoms.set_array("excited", excited, int)
    return atoms


def start_of(states: InitialStates, index: int, member: int) -> Start:
    """Return the start of one state under a member: velocities in Å/fs, its id and its excited molecule."""
    return Start(
        states.positions_A[index],
        states.velocities_A_per_fs[index],
        group=member,
        types=states.types(index),
        known={
            "trajectory_id": int(states.trajectory_id[index]),
            "excited_molecule": int(states.excited_molecule[index]),
        },
    )


@dataclass(frozen=True)
class Engine:
    """How trajectories of an aggregate run.

    name: "frazil", "lammps", or "van-hemert" for the teacher, with its ``coupling_eV``. models: of the
    committee's members, by ``Start.group``. reference_A (natoms, 3): positions like those of all starts.
    precision: of frazil's numbers under a DeePMD model.
    """

    name: str
    models: Sequence[Model]
    molecules: Molecules
    reference_A: np.ndarray
    timestep_fs: float
    n_steps: int
    observe_every: int
    precision: str = "float32"
    coupling_eV: float = 0.0

    def runner(
        self,
        start: Callable[[int], Start],
        row: Callable[[Start, Trajectory], Row],
        watch: Callable[[Start], Watch],
    ) -> Runner:
        """Return the runner of starts as ``start_of`` makes them. Raises UserError for LAMMPS but with CO."""
        if self.name == LAMMPS and not self.molecules.is_co:
            raise UserError(f"LAMMPS with {self.molecules.formulas[0]}; it runs CO: give the engine frazil")
        if self.name == LAMMPS:
            steps = (self.timestep_fs, self.n_steps, self.observe_every)
            return in_lammps(self._session, start, row, watch, *steps)
        return in_engine(lambda identity: self._in_engine(start(identity)), self._ensemble, row, watch)

    def moments(self, rows: Rows) -> Iterator[Observation]:
        """Yield what was seen of a trajectory, whatever ran it."""
        velocities = rows["velocities_A_per_fs"] if "velocities_A_per_fs" in rows else rows["velocities"] * fs
        for number, step in enumerate(rows["step"]):
            yield Observation(
                int(step) * self.timestep_fs, rows["positions"][number], velocities[number],
                float(rows["energy"][number]),
            )  # fmt: skip

    def _session(self, member: int) -> "LammpsSession":
        """Return LAMMPS with the model of a member."""
        from frazil.md.lammps import LammpsSession

        return LammpsSession(self.models[member].what, len(self.molecules))

    def _in_engine(self, begun: Start) -> Start:
        """Return a start in ASE's units; to a DeePMD model, each excited molecule is a kind of its own."""
        assert isinstance(begun.group, int)
        excited = begun.known["excited_molecule"] if self._tags(begun.group) else -1
        group = begun.group, excited >= 0
        return replace(begun, velocities=begun.velocities / fs, group=group, kind=max(excited, 0))

    def _tags(self, member: int) -> bool:
        """Return whether a member has types of its own for the excited molecule."""
        return self.name != TEACHER and self._source(member).kind == TAGGED

    def _source(self, member: int) -> "Source":
        if self.name == TEACHER:
            from frazil.potentials.registry import load

            return load(TEACHER, coupling_eV=self.coupling_eV)
        return source_of(self.models[member].what, self.precision)

    def _ensemble(self, group: tuple[int, bool]) -> "Ensemble":
        """Return what a member's trajectories with an excited molecule, or those without, share."""
        from frazil.md.ensemble import Ensemble
        from frazil.md.integrators import VelocityVerlet
        from frazil.md.observers import energies, frames

        member, excited = group
        which = range(len(self.molecules)) if excited else [-1]
        kinds = [tagged_atoms(self.molecules, self.reference_A, molecule) for molecule in which]
        own = None if self.name == TEACHER else self.models[member].member
        masses_amu = self.molecules.atom_masses_amu
        return Ensemble(
            self._source(member).potential(kinds, own),
            VelocityVerlet(self.timestep_fs),
            masses_amu if len(kinds) == 1 else np.tile(masses_amu, (len(kinds), 1)),
            n_steps=self.n_steps,
            observe_every=self.observe_every,
            observers=(energies, frames),
        )
