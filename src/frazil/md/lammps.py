"""Trajectories in LAMMPS with a DeePMD model, loaded once for any number of runs, on one thread.

Aggregates are open systems: nothing here has a pressure, and the model's virial is left out (it is zero).
"""

import ctypes
import importlib.metadata
import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from frazil.errors import UserError
from frazil.potentials.deepmd.bond_baseline import LAMMPS_POINTS
from frazil.potentials.deepmd.frozen_graph import without_virial
from frazil.potentials.deepmd.model import DeepPotential, held_back, model_file_of, quiet, set_environment
from frazil.systems.co import TYPE_MAP, TYPE_MASSES_amu, lammps_names

_SPACE_A = 10.0
_MINIMIZER_STEPS = 5000


class EngineError(Exception):
    """LAMMPS gave up on one trajectory (lost atoms, numbers that are not finite, …); others can still run."""


@dataclass(frozen=True)
class Observation:
    """What is seen of a trajectory at one moment; arrays (n_atoms, 3), molecule by molecule."""

    time_fs: float
    positions_A: NDArray[np.float64]
    velocities_A_per_fs: NDArray[np.float64]
    potential_energy_eV: float


@dataclass(frozen=True)
class NoseHoover:
    """A Nosé–Hoover thermostat; its degrees of freedom are 3N − 6 (no drift, no rotation)."""

    temperature_K: float
    damping_fs: float


class LammpsSession:
    """LAMMPS with one DeePMD model loaded once.

    Every run starts from a clean state, so its numbers do not depend on what the session ran before: a
    trajectory is bit-identical alone, after others or in another order.
    """

    def __init__(self, model: Path | str, n_molecules: int) -> None:
        """Load ``model`` (a model directory or its file) for ``n_molecules`` CO.

        A model without X1 and X2 sees the excited molecule as C and O. Raises UserError if there is no such
        file, or if it is no DeePMD model of CO.
        """
        self.n_molecules = n_molecules
        self._model_file = model_file_of(model)
        potential = DeepPotential(self._model_file)
        self._bonds = potential.bonds
        self._names = " ".join(lammps_names(potential.type_map))
        self._open()

    def __enter__(self) -> "LammpsSession":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End LAMMPS and free the model."""
        self._lammps.close()

    def run(
        self,
        positions_A: NDArray[np.float64],
        velocities_A_per_fs: NDArray[np.float64],
        types: NDArray[np.integer],
        timestep_fs: float,
        n_steps: int,
        observe_every: int,
        thermostat: NoseHoover | None = None,
    ) -> Iterator[Observation]:
        """Yield the state at step 0 and after every ``observe_every`` steps (velocity Verlet; NVT if asked).

        positions_A, velocities_A_per_fs: (n_atoms, 3); types: (n_atoms,), indices into TYPE_MAP. The run ends
        early when the iterator is closed. Raises EngineError if LAMMPS fails; the session stays usable.
        """
        if timestep_fs <= 0 or not math.isfinite(timestep_fs):
            raise UserError(f"time step {timestep_fs} fs; it must be positive; give --timestep-fs 0.1")
        try:
            self._start(positions_A, velocities_A_per_fs, types)
            self._command(f"timestep {timestep_fs / 1000!r}")
            self._integrating = True
            if thermostat is None:
                self._command("fix integrate all nve")
            else:
                temperature_K, damping_ps = thermostat.temperature_K, thermostat.damping_fs / 1000
                self._command(
                    f"fix integrate all nvt temp {temperature_K!r} {temperature_K!r} {damping_ps!r}"
                )
                self._command("compute_modify integrate_temp extra/dof 6")
            self._command("run 0 pre yes post no")
            yield self._observe(0.0)
            for first in range(0, n_steps, observe_every):
                last = min(first + observe_every, n_steps)
                self._command(f"run {last - first} pre no post no")
                yield self._observe(last * timestep_fs)
        except EngineError:
            self._reopen()
            raise

    def minimize(
        self,
        positions_A: NDArray[np.float64],
        types: NDArray[np.integer],
        force_tolerance_eV_per_A: float = 1e-4,
    ) -> NDArray[np.float64]:
        """Return the positions (n_atoms, 3) of the next local minimum (conjugate gradients, ≤ 5000 steps)."""
        try:
            self._start(positions_A, np.zeros_like(positions_A), types)
            self._command(
                f"minimize 0 {force_tolerance_eV_per_A!r} {_MINIMIZER_STEPS} {10 * _MINIMIZER_STEPS}"
            )
            return self._gather("x")
        except EngineError:
            self._reopen()
            raise

    def _start(
        self,
        positions_A: NDArray[np.float64],
        velocities_A_per_fs: NDArray[np.float64],
        types: NDArray[np.integer],
    ) -> None:
        n_atoms = 2 * self.n_molecules
        if positions_A.shape != (n_atoms, 3) or velocities_A_per_fs.shape != (n_atoms, 3):
            raise ValueError(f"shapes {positions_A.shape}, {velocities_A_per_fs.shape}, not ({n_atoms}, 3)")
        if not (np.isfinite(positions_A).all() and np.isfinite(velocities_A_per_fs).all()):
            raise EngineError("positions or velocities at the start are not finite")
        if self._integrating:  # the run before may have been left at any time
            self._command("unfix integrate")
            self._integrating = False
        self._command("delete_atoms group all compress yes")
        self._command("reset_timestep 0")
        # The box shrinks onto the atoms when a run begins; until then it must hold them.
        edge = float(np.abs(positions_A).max()) + _SPACE_A
        self._command(f"change_box all x final {-edge} {edge} y final {-edge} {edge} z final {-edge} {edge}")
        self._scatter_new(positions_A, velocities_A_per_fs * 1000, types)

    def _scatter_new(
        self, positions: NDArray[np.float64], velocities: NDArray[np.float64], types: NDArray[np.integer]
    ) -> None:
        n_atoms = len(types)
        created = self._lammps.create_atoms(
            n_atoms,
            list(range(1, n_atoms + 1)),
            (types + 1).tolist(),
            positions.ravel().tolist(),
            velocities.ravel().tolist(),
        )
        if created != n_atoms:
            raise EngineError(f"LAMMPS created {created} of {n_atoms} atoms")

    def _observe(self, time_fs: float) -> Observation:
        energy = self._lammps.extract_compute("thermo_pe", 0, 0)
        if not math.isfinite(energy):
            raise EngineError(f"the energy is {energy} at {time_fs} fs")
        return Observation(time_fs, self._gather("x"), self._gather("v") / 1000, energy)

    def _gather(self, name: str) -> NDArray[np.float64]:
        values = np.array(self._lammps.gather_atoms(name, 1, 3), dtype=np.float64)
        return values.reshape(-1, 3)

    def _command(self, text: str) -> None:
        try:
            self._lammps.command(text)
        except Exception as error:  # the lammps module raises plain Exception for every error of LAMMPS
            raise EngineError(f"LAMMPS on '{text}': {' '.join(str(error).split())}") from error

    def _pair_commands(self, model: Path) -> list[str]:
        if self._bonds is None:
            return [f'pair_style deepmd "{model}"', f"pair_coeff * * {self._names}"]
        return [
            f'pair_style hybrid/overlay deepmd "{model}" table spline {LAMMPS_POINTS}',
            f"pair_coeff * * deepmd {self._names}",
            *self._bonds.lammps_commands(self._model_file, tagged=self._names.split() == TYPE_MAP),
        ]

    def _reopen(self) -> None:
        self._lammps.close()
        self._open()

    def _open(self) -> None:
        self._integrating = False
        lammps = _with_deepmd()
        # DeePMD's plugin prints a banner on standard output while it loads a model; errors are exceptions.
        with quiet(), held_back(1, lambda line: False), tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "network.pb"
            model.write_bytes(without_virial(self._model_file.read_bytes()))
            self._lammps = lammps.lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
            for command in (
                "units metal",
                "boundary s s s",
                "atom_style atomic",
                "atom_modify map array sort 0 0",
                "region space block -100 100 -100 100 -100 100",
                "create_box 4 space",
                *(f"mass {i} {float(mass)!r}" for i, mass in enumerate(TYPE_MASSES_amu, start=1)),
                *self._pair_commands(model),
                "neighbor 2.0 bin",
                "neigh_modify every 1 delay 0 check yes",
                "thermo_style custom step pe",
                "thermo 0",
            ):
                self._command(command)


def _with_deepmd() -> Any:
    """Return the module ``lammps``, made ready for ``pair_style deepmd`` without TensorFlow's Python side.

    The wheel's own way imports TensorFlow in Python (4 s of CPU time) only to learn its folder, and needs
    ``LD_LIBRARY_PATH`` set before Python starts. Here the libraries are loaded by full path first
    (TensorFlow's with the type map).
    """
    set_environment()
    # The graph runs in the calling thread: handing it to a thread of TensorFlow at every step costs 5 %.
    os.environ["DP_INTER_OP_PARALLELISM_THREADS"] = "0"  # leaves the choice to TensorFlow's own variable
    os.environ["TF_NUM_INTEROP_THREADS"] = "-1"
    plugin = find_spec("deepmd")
    if plugin is None or plugin.origin is None:
        raise UserError("LAMMPS with DeePMD is not installed; install frazil[deepmd], or run make setup")
    os.environ["LAMMPS_PLUGIN_PATH"] = str(Path(plugin.origin).parent / "lib")
    return lammps_module()


@cache
def lammps_module() -> Any:
    """Return the module ``lammps``, its entry points unused. Raises UserError where it is not installed.

    MPI is started here, where what it says of a failure is not held back: it ends the process.
    """
    if find_spec("lammps") is None:
        raise UserError("LAMMPS is not installed; install frazil[deepmd], or run make setup")
    for file in importlib.metadata.files("mpich") or []:
        if file.name.startswith("libmpi.so.12"):
            mpi, running = ctypes.CDLL(str(file.locate())), ctypes.c_int()
            mpi.MPI_Initialized(ctypes.byref(running))
            if not running.value:
                mpi.MPI_Init(None, None)
                # MPICH would leave its file, named by process number: another user's process of that number,
                # some day, could not start.
                for left in Path("/dev/shm").glob(f"mpich_shm_{os.getpid():x}_*"):
                    left.unlink(missing_ok=True)
            break
    with mock.patch("importlib.metadata.entry_points", return_value=[]):
        import lammps
    return lammps
