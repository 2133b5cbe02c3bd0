"""Runs at constant energy, every member of a potential from the same canonical starts.

A start is a draw of the harmonic ensemble, then Langevin dynamics. A row's id counts (start, member), the
last fastest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from frazil.campaigns import Check, Row, Start, in_engine
from frazil.md.ensemble import Ensemble, Observer, Stop
from frazil.md.integrators import Langevin, VelocityVerlet
from frazil.md.integrity import BROKEN_AT_START, OUTCOMES
from frazil.md.observers import energies, frames
from frazil.md.state import without_motion
from frazil.md.trajectory import FINISHED, Outcome, Trajectory, drift_meV_per_ps
from frazil.potentials.neighbours import cell_of
from frazil.potentials.registry import Source
from frazil.systems.minima import Minimum
from frazil.systems.starts import canonical
from frazil.units import kB

DAMPING_fs = 100.0
"""Of the Langevin dynamics before a start."""
SEEN_EVERY = 100
"""Steps between two looks at it, at most."""
MOST_AT_ONCE = 128

See = Callable[[int, list[Atoms]], None]
"""Is given an id (start, member) and the frames of its run (``frames_of``)."""
Motion = tuple[np.ndarray, np.ndarray]
"""Positions and velocities (natoms, 3)."""


def frames_of(
    atoms: Atoms, ended: Trajectory, timestep_fs: float, places: str = "positions", **known: Any
) -> list[Atoms]:
    """Return the observations of a run as frames: ``atoms`` where the rows ``places`` are, with ``time_fs``.

    Velocities, and energies as ``potential_energy_eV``, are those of the rows, if they have them. ``known``
    is what else each frame says: trajectory_id, member, a window, a number of beads.
    """
    rows, found = ended.rows, []
    for number, step in enumerate(rows["step"]):
        frame = atoms.copy()
        frame.calc = None
        frame.positions = rows[places][number]
        frame.info = {**known, "time_fs": float(step * timestep_fs)}
        if "velocities" in rows:
            frame.set_velocities(rows["velocities"][number])
        if "energy" in rows:
            frame.info["potential_energy_eV"] = float(rows["energy"][number])
        found.append(frame)
    return found


@dataclass(frozen=True)
class Runs:
    """Runs of all members of a potential from the same starts about its minimum, observed every so often.

    stop: the rule that ends a run whose structure broke. width: of a batch, at most. see: is called with the
    frames of each run as it ends, but for those of a start that broke.
    """

    source: Source
    minimum: Minimum
    stop: Stop
    timestep_fs: float
    duration_fs: float
    every_fs: float
    observer: Observer
    width: int
    see: See | None = None

    def starts(
        self, temperature_K: float, equilibration_fs: float, campaign_seed: int, stream: str,
        numbers: Sequence[int], check: Check,
    ) -> dict[int, Motion | Trajectory]:  # fmt: skip
        """Return positions (natoms, 3), Å, and velocities, ASE units, of canonical starts by number.

        Drift, and of what is free rotation, of the whole are taken out. A start whose equilibration broke is
        that trajectory. ``stream`` names the random numbers of the draws.
        """
        atoms = self.minimum.atoms
        drawn = {n: canonical(self.minimum, temperature_K, campaign_seed, stream, n) for n in numbers}
        found: dict[int, Motion | Trajectory] = dict(drawn)
        if equilibration_fs:
            potential, n_steps = self.source.potential(atoms), round(equilibration_fs / self.timestep_fs)
            observe_every = next(n for n in range(min(SEEN_EVERY, n_steps), 0, -1) if n_steps % n == 0)
            bath = Langevin(self.timestep_fs, temperature_K, DAMPING_fs)
            shared = Ensemble(
                potential, bath, atoms.get_masses(), n_steps, observe_every, campaign_seed,
                observers=(frames,), stop=self.stop, cell_A=cell_of(potential, atoms),
                width=min(len(drawn), MOST_AT_ONCE),
            )  # fmt: skip
            x, v = (np.stack([motion[i] for motion in drawn.values()]) for i in (0, 1))
            for ended in shared.run(x, v, list(drawn), after_chunk=check):
                finished = ended.outcome == Outcome.FINISHED
                last = (ended.rows["positions"][-1], ended.rows["velocities"][-1])
                found[ended.trajectory_id] = last if finished else ended
        removed = "drift" if atoms.pbc.any() else "drift and rotation"
        for number, one in found.items():
            if not isinstance(one, Trajectory):
                found[number] = one[0], without_motion(one[0], one[1], atoms.get_masses(), removed)
        return found

    def rows(
        self, begun: dict[int, Motion | Trajectory], ids: Sequence[int],
        row: Callable[[int, Trajectory, str], Row], check: Check,
    ) -> Iterator[tuple[int, Row]]:  # fmt: skip
        """Yield ids with what ``row`` (id, trajectory, outcome by name) keeps of each, from starts by number.

        Where a start broke, it is the row's trajectory under every member.
        """
        good: dict[int, Motion] = {}
        for identity in ids:
            one = begun[identity // self.source.n_members]
            if isinstance(one, Trajectory):
                yield identity, row(identity, one, BROKEN_AT_START)
            else:
                good[identity] = one

        def start(identity: int) -> Start:
            return Start(*good[identity], group=identity % self.source.n_members)

        def of_run(start: Start, ended: Trajectory) -> Row:
            if self.see is not None:
                self.see(ended.trajectory_id, self._frames(ended))
            return row(ended.trajectory_id, ended, OUTCOMES[ended.outcome])

        yield from in_engine(start, self._ensemble, of_run)(list(good), check)

    def _ensemble(self, member: int) -> Ensemble:
        """Return what the runs of a member share."""
        atoms, n_rows = self.minimum.atoms, round(self.duration_fs / self.every_fs)
        observe_every = round(self.every_fs / self.timestep_fs)
        potential = self.source.potential(atoms, member if self.source.n_members > 1 else None)
        return Ensemble(
            potential, VelocityVerlet(self.timestep_fs), atoms.get_masses(), n_rows * observe_every,
            observe_every, observers=(energies, self.observer, *((frames,) if self.see else ())),
            stop=self.stop, cell_A=cell_of(potential, atoms), width=min(self.width, MOST_AT_ONCE), chunk=250,
        )  # fmt: skip

    def _frames(self, ended: Trajectory) -> list[Atoms]:
        """Return the observations of a run as frames."""
        number, member = divmod(ended.trajectory_id, self.source.n_members)
        return frames_of(self.minimum.atoms, ended, self.timestep_fs, trajectory_id=number, member=member)

    def told(self, identity: int, ended: Trajectory, outcome: str, temperature: str) -> Row:
        """Return the columns that every such table has; ``temperature`` names that of the kinetic energy.

        What the energy says is nan of a run that did not finish.
        """
        number, member = divmod(identity, self.source.n_members)
        row: Row = {
            "trajectory_id": number, "member": member, "outcome": outcome,
            "ended_fs": ended.n_steps * self.timestep_fs, temperature: np.nan, "energy_std_meV": np.nan,
            "energy_drift_meV_per_ps": np.nan,
        }  # fmt: skip
        if outcome != FINISHED:
            return row
        kinetic = ended.rows["kinetic_energy"]
        total_meV = 1e3 * (ended.rows["energy"] + kinetic)
        return row | {
            temperature: 2 * float(kinetic.mean()) / (len(self.minimum.modes.wavenumbers_cm1) * kB),
            "energy_std_meV": float(total_meV.std()),
            "energy_drift_meV_per_ps": drift_meV_per_ps(total_meV, self.every_fs),
        }
