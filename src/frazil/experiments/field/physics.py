"""Starts in every field at once, as kinds of one batch; then runs at constant energy under a changing one.

A start is the cluster at rest, turned at random, or the cell as it was given, with velocities of the
temperature. In each field it is brought to equilibrium and sampled, with each number of beads. From the last
frame without a field, which is canonical, it runs on at constant energy under the field that changes with
time; in a cell also with twice the time step. All is a function of (campaign seed, its number, the member);
all members have the same starts and the same noise. Positions are never wrapped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from scipy.spatial.transform import Rotation

from frazil.campaigns import Check, Row, Runner, Start, in_engine
from frazil.experiments.at_rest import source_of
from frazil.experiments.constant_energy import See, frames_of
from frazil.experiments.field.diffusion import diffusion_A2_per_ps
from frazil.experiments.field.results import analyse
from frazil.experiments.field.settings import Field
from frazil.experiments.field.subject import ALONG, Samples, Subject, drive_of, subject_of
from frazil.experiments.field.tables import ARRAYS
from frazil.experiments.field.tables import TRAJECTORIES as TABLE
from frazil.experiments.passes import WholeParts, kinetic_eV, mean_of, outcome_of
from frazil.md.ensemble import Ensemble
from frazil.md.fields import STEPS_PER_PERIOD
from frazil.md.integrators import PILE, Driven, VelocityVerlet
from frazil.md.integrity import OUTCOMES, Separate
from frazil.md.observers import Conserved, energies, frames, potential_info
from frazil.md.rings import Centroids, RingEnergies, of_beads, start_of_ring
from frazil.md.state import State, System
from frazil.md.trajectory import FINISHED, Trajectory
from frazil.potentials.neighbours import cell_of
from frazil.potentials.rings import RingPolymer
from frazil.potentials.transform import FieldCoupling, InField, SameForAll
from frazil.seeds import rng
from frazil.settings import is_multiple
from frazil.units import fs, kB

__all__ = ["ARRAYS", "TABLE", "analyse", "members", "runner"]

SLOWEST_fs = 1000.0
"""Damping of the centroids, at most."""
DETACHED_A = 5.0
"""A cluster has come apart where atoms of it have no other so near, nor 1.5 times as near as at rest; a
molecule by the latter alone.
"""
MOST_AT_ONCE = 128
"""Replicas of a batch, at most."""
MOST_BEADS = 1024
"""Beads of a batch, about."""
MOST_ATOMS = 4096
"""Of a batch of cells, beads counted, about."""
MOST_SEEN = 50_000_000
"""Numbers (positions, velocities) of starts that are held at once for their frames, about."""
LAST = ("positions", "velocities")
"""Of what is observed the last is kept alone."""


def members(settings: Field) -> int:
    """Return how many members run every start."""
    assert settings.model is not None
    return source_of(settings.model).n_members


def runner(settings: Field, campaign_seed: int, see: See | None = None) -> Runner:
    """Return the runner of all starts and members; ids count (start, member), the last fastest.

    ``see`` gets the frames of all runs of a start under a member: by number of beads and field, then those
    under the field that changes with time. Of rings they are the centroids.
    """

    def run(ids: Sequence[int], check: Check) -> Iterator[tuple[int, Row]]:
        subject = subject_of(settings)
        n_members = subject.source.n_members
        for member in sorted({identity % n_members for identity in ids}):
            numbers = [identity // n_members for identity in ids if identity % n_members == member]
            own = _Member(subject, settings, campaign_seed, member, see)
            for number, row in own.rows(numbers, check):
                yield number * n_members + member, row

    return run


def turning_fs(subject: Subject, temperature_K: float) -> float:
    """Return √(I/kT), fs: in which a free cluster turns by some radian, I its mean moment of inertia.

    Friction of that time lets a dipole forget its direction soonest: less of it leaves the cluster turning
    about one axis, more of it hinders it. A cell does not turn: it has the slowest damping.
    """
    if subject.in_cell:
        return SLOWEST_fs
    inertia = subject.atoms.get_moments_of_inertia().mean()
    return float(np.sqrt(inertia / (kB * temperature_K)) / fs)


@dataclass
class _Member:
    """All runs of one member."""

    subject: Subject
    settings: Field
    campaign_seed: int
    member: int
    see: See | None = None

    def rows(self, numbers: Sequence[int], check: Check) -> Iterator[tuple[int, Row]]:
        """Yield the rows of starts by number, as many together as fill a batch of points.

        Where frames are seen they are fewer, if their positions and velocities take too much memory.
        """
        settings = self.settings
        together = max(1, MOST_AT_ONCE // len(settings.fields_V_per_A))
        if self.see:
            n_rows = round((settings.equilibration_fs + settings.duration_fs) / settings.observe_every_fs) + 1
            n_runs = len(settings.n_beads) * len(settings.fields_V_per_A)
            together = min(together, max(1, MOST_SEEN // (6 * n_runs * n_rows * len(self.subject.atoms))))
        for first in range(0, len(numbers), together):
            yield from self._block(numbers[first : first + together], check)

    def _block(self, numbers: Sequence[int], check: Check) -> Iterator[tuple[int, Row]]:
        settings, n_fields = self.settings, len(self.settings.fields_V_per_A)
        n_runs = len(settings.n_beads) * n_fields
        sampling = in_engine(self._start, self._ensemble, self._kept)
        every = [number * n_runs + run for number in numbers for run in range(n_runs)]
        sampled: dict[int, Trajectory] = {i: row["ended"] for i, row in sampling(every, check)}
        classical = settings.n_beads.index(1) * n_fields
        free = {number: sampled[number * n_runs + classical] for number in numbers}

        def last(number: int) -> Start:
            return Start(*(free[number].rows[name][-1] for name in LAST))

        def driven(times: int) -> dict[int, Trajectory]:
            driving = in_engine(last, lambda _: self._driven(times), self._kept)
            return {i: row["ended"] for i, row in driving(begun, check)} if begun else {}

        begun = [number for number in numbers if OUTCOMES[free[number].outcome] == FINISHED]
        once = driven(1)
        twice = driven(2) if self._doubles else {}
        for number in numbers:
            runs = [sampled[number * n_runs + run] for run in range(n_runs)]
            if self.see:
                frames_seen = self._frames(number, runs, once.get(number))
                self.see(number * self.subject.source.n_members + self.member, frames_seen)
            yield number, self._row(number, runs, once.get(number), twice.get(number))

    def _frames(self, number: int, runs: list[Trajectory], driven: Trajectory | None) -> list[Atoms]:
        """Return the frames of all runs of a start, each with the field at its time, ``field_V_per_A``."""
        settings, found = self.settings, []
        known: dict[str, Any] = {"trajectory_id": number, "member": self.member}
        for run, ended in enumerate(runs):
            _, n_beads, field = self._place(run)
            places = "positions" if n_beads == 1 else "centroids"
            own = {"n_beads": n_beads, "run": "constant", "field_V_per_A": settings.fields_V_per_A[field]}
            found += frames_of(self.subject.atoms, ended, settings.timestep_fs, places, **known, **own)
        if driven is not None:
            drive = drive_of(settings)
            moved = frames_of(
                self.subject.atoms, driven, settings.drive_timestep_fs, **known, n_beads=1, run="driven"
            )
            for frame in moved:
                frame.info["field_V_per_A"] = float(drive.at(frame.info["time_fs"]))
            found += moved
        return found

    @property
    def _doubles(self) -> bool:
        """Whether driven runs are done with twice the time step too: in cells, where the field allows it."""
        settings, timestep_fs = self.settings, 2 * self.settings.drive_timestep_fs
        slow = STEPS_PER_PERIOD * timestep_fs * 1e-3 * drive_of(settings).frequency_THz <= 1
        return self.subject.in_cell and slow and is_multiple(settings.drive_every_fs, timestep_fs)

    def _row(
        self, number: int, runs: list[Trajectory], driven: Trajectory | None, twice: Trajectory | None
    ) -> Row:
        settings = self.settings
        shape = (len(settings.n_beads), len(settings.fields_V_per_A))
        n_samples = round(settings.duration_fs / settings.observe_every_fs)
        n_driven = round(settings.drive_duration_fs / settings.drive_every_fs) + 1
        n_columns = 3 + len(self.subject.lengths) + (self.subject.alpha is not None)
        samples = np.full((len(runs), n_samples, n_columns), np.nan)
        kinetic = np.full((len(runs), 2), np.nan)
        under, diffusion, doubled = np.full((n_driven, 3), np.nan), np.full(len(runs), np.nan), np.nan
        origin = self.subject.origins_e_A[self.member]
        outcomes = [OUTCOMES[ended.outcome] for ended in runs]
        for place, ended in enumerate(runs):
            if outcomes[place] == FINISHED:
                rows = {name: values[-n_samples:] for name, values in ended.rows.items()}
                samples[place], kinetic[place] = rows["samples"], kinetic_eV(rows)
                samples[place, :, :3] -= origin
                if "centres" in rows:
                    diffusion[place] = diffusion_A2_per_ps(rows["centres"], settings.observe_every_fs)
        if driven is not None:
            outcomes.append(OUTCOMES[driven.outcome])
            if outcomes[-1] == FINISHED:
                total = driven.rows["energy"] + driven.rows["kinetic_energy"]
                work = total - driven.rows["conserved_energy"]
                along = (driven.rows["dipole_e_A"] - origin) @ ALONG
                under[:] = np.stack([total, work, along], axis=1)
        if twice is not None and OUTCOMES[twice.outcome] == FINISHED:
            doubled = float(twice.rows["conserved_energy"].std())
        return {
            "trajectory_id": number, "member": self.member, **outcome_of(outcomes, "runs"),
            "mean_dipole_e_A": mean_of(np.linalg.norm(samples[..., :3], axis=-1)),
            "samples": samples.reshape(*shape, n_samples, n_columns),
            "kinetic_eV": kinetic.reshape(*shape, 2), "driven": under,
            "diffusion_A2_per_ps": diffusion.reshape(shape), "doubled_eV": np.array([doubled]),
        }  # fmt: skip

    def _place(self, run: int) -> tuple[int, int, int]:
        """Return number, beads and the field's place of a run by its id."""
        n_fields = len(self.settings.fields_V_per_A)
        number, run = divmod(run, len(self.settings.n_beads) * n_fields)
        return number, self.settings.n_beads[run // n_fields], run % n_fields

    def _start(self, run: int) -> Start:
        number, n_beads, field = self._place(run)
        atoms, random = self.subject.atoms, rng(self.campaign_seed, "field-start", number)
        turn = Rotation.random(random_state=random).as_matrix()
        if self.subject.in_cell:
            positions = atoms.positions
        else:
            positions = (atoms.positions - atoms.get_center_of_mass()) @ turn.T
        temperature_K = self.settings.temperature_K
        begun = start_of_ring(positions, atoms.get_masses(), temperature_K, n_beads, random)
        return Start(*begun, group=n_beads, kind=field)

    def _kept(self, start: Start, ended: Trajectory) -> Row:
        """Return a trajectory, with the last of its frames alone where none is to be seen."""
        if self.see:
            return {"ended": ended}
        rows = {name: values[-1:] if name in LAST else values for name, values in ended.rows.items()}
        return {"ended": replace(ended, rows=rows)}

    def _potential(self) -> Any:
        source = self.subject.source
        return source.potential(self.subject.atoms, self.member if source.n_members > 1 else None)

    def _ensemble(self, n_beads: int) -> Ensemble:
        """Return what all fields share: each is a kind."""
        settings, subject = self.settings, self.subject
        fields = np.array(settings.fields_V_per_A)[:, None] * ALONG
        every = InField(SameForAll(self._potential()), fields, subject.alpha, by_kind=True)
        masses = np.repeat(of_beads(subject.atoms.get_masses(), n_beads)[None], len(fields), axis=0)
        length_fs = settings.equilibration_fs + settings.duration_fs
        seen: tuple[Any, ...] = (
            Samples.of(subject, n_beads), RingEnergies(settings.temperature_K, n_beads)
        )  # fmt: skip
        if n_beads == 1:
            seen += (frames,)
        elif self.see:
            seen += (Centroids(n_beads),)
        starts = min(settings.n_trajectories, settings.shard_size)
        damping = min(turning_fs(subject, settings.temperature_K), SLOWEST_fs)
        most = MOST_ATOMS // (n_beads * len(subject.atoms)) if subject.in_cell else MOST_BEADS // n_beads
        width = min(starts * len(fields), MOST_AT_ONCE, max(len(fields), most))
        return Ensemble(
            RingPolymer(every, n_beads),
            PILE(settings.timestep_fs, settings.temperature_K, damping, n_beads), masses,
            round(length_fs / settings.timestep_fs), round(settings.observe_every_fs / settings.timestep_fs),
            self.campaign_seed, observers=seen,
            stop=self._whole(n_beads), width=width, chunk=50, cell_A=cell_of(every, subject.atoms),
        )  # fmt: skip

    def _driven(self, times: int) -> Ensemble:
        """Return what runs under the field that changes with time share, of so many time steps in one."""
        settings, timestep_fs = self.settings, times * self.settings.drive_timestep_fs
        integrator = Driven(VelocityVerlet(timestep_fs), drive_of(settings))
        coupled = FieldCoupling(self._potential(), ALONG, self.subject.alpha)
        return Ensemble(
            coupled, integrator,
            self.subject.atoms.get_masses(), round(settings.drive_duration_fs / timestep_fs),
            round(settings.drive_every_fs / timestep_fs), self.campaign_seed,
            observers=(energies, potential_info, Conserved(integrator), *((frames,) if self.see else ())),
            stop=self._whole(1),
            width=min(settings.n_trajectories, settings.shard_size, MOST_AT_ONCE), chunk=50,
            cell_A=cell_of(coupled, self.subject.atoms),
        )  # fmt: skip

    def _whole(self, n_beads: int) -> "WholeParts | _InCell":
        """Return the rule that ends a run whose cluster, or one of its molecules, came apart; in a cell also
        one in which atoms are on top of each other.
        """
        atoms, molecules = self.subject.atoms, self.subject.molecules.members
        if self.subject.in_cell:
            pieces = [own for own in molecules if len(own) > 1]
            return _InCell(Separate.of(atoms, n_beads), WholeParts.at_rest(atoms, pieces, n_beads))
        cluster = WholeParts.at_rest(atoms, [np.arange(len(atoms))], n_beads, DETACHED_A)
        return replace(
            cluster, parts=cluster.parts + WholeParts.at_rest(atoms, molecules, n_beads, 0.0).parts
        )


@dataclass(frozen=True)
class _InCell:
    """Stop rule of a cell: its atoms are apart, and its molecules, if there are any, whole."""

    apart: Separate
    whole: WholeParts

    def __call__(self, state: State, system: System) -> jax.Array:
        """Return the code of a broken frame, 0 of any other."""
        found = self.apart(state, system)
        return jnp.maximum(found, self.whole(state, system)) if self.whole.parts else found
