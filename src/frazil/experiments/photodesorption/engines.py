"""What runs aggregates of CO: the batched engine, or LAMMPS, under DeePMD models or the teacher.

Both take the same starts and integrate by velocity Verlet. Trajectories of the two part after a picosecond of
chaos, while their statistics agree.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frazil.campaigns import Row, Runner, Start, Watch, in_engine, in_lammps
from frazil.experiments.photodesorption.initial_states import InitialStates
from frazil.md.lammps import Observation
from frazil.md.trajectory import Rows, Trajectory
from frazil.systems.co import MOLECULE_MASSES_amu, co_types, from_deepmd_types
from frazil.units import fs

if TYPE_CHECKING:
    from frazil.md.ensemble import Ensemble
    from frazil.md.lammps import LammpsSession

TEACHER, LAMMPS = "van-hemert", "lammps"


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
    """How trajectories of ``n_molecules`` CO run.

    name: "frazil", "lammps", or "van-hemert" for the teacher, with its ``coupling_eV``. models: of the
    committee's members, by ``Start.group``. precision: of frazil's numbers under a DeePMD model.
    """

    name: str
    models: Sequence[Path]
    n_molecules: int
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
        """Return the runner of starts as ``start_of`` makes them."""
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

        return LammpsSession(self.models[member], self.n_molecules)

    def _in_engine(self, begun: Start) -> Start:
        """Return a start in ASE's units; to a model, each excited molecule is a kind of its own."""
        excited = -1 if self.name == TEACHER else begun.known["excited_molecule"]
        group = begun.group, excited >= 0
        return replace(begun, velocities=begun.velocities / fs, group=group, kind=max(excited, 0))

    def _ensemble(self, group: tuple[int, bool]) -> "Ensemble":
        """Return what a member's trajectories with an excited molecule, or those without, share."""
        from frazil.md.ensemble import Ensemble
        from frazil.md.integrators import VelocityVerlet
        from frazil.md.observers import energies, frames
        from frazil.potentials.registry import load

        member, excited = group
        if self.name == TEACHER:
            source = load(TEACHER, coupling_eV=self.coupling_eV)
        else:
            source = load(self.models[member], precision=self.precision)
        places = np.zeros((2 * self.n_molecules, 3))
        molecules = range(self.n_molecules) if excited else [-1]
        kinds = [from_deepmd_types(co_types(self.n_molecules, molecule), places) for molecule in molecules]
        masses_amu = np.tile(MOLECULE_MASSES_amu, self.n_molecules)
        return Ensemble(
            source.potential(kinds),
            VelocityVerlet(self.timestep_fs),
            masses_amu if len(kinds) == 1 else np.tile(masses_amu, (len(kinds), 1)),
            n_steps=self.n_steps,
            observe_every=self.observe_every,
            observers=(energies, frames),
        )
