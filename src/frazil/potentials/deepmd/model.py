"""DeePMD-kit models: energies and forces through its C interface, on one thread.

The C interface loads a model in half a second of CPU, where importing TensorFlow in Python takes five.
One process uses one thread: on small systems two are slower than one.
"""

import atexit
import ctypes
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import ase
import numpy as np
import numpy.typing as npt

from frazil.errors import UserError
from frazil.potentials.deepmd.bond_baseline import TABLE, BondBaseline
from frazil.potentials.folder import DESCRIPTION, FILES, read_description
from frazil.systems.co import TYPE_MAP, deepmd_types

SINGLE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "DP_INTRA_OP_PARALLELISM_THREADS": "1",
    "DP_INTER_OP_PARALLELISM_THREADS": "0",  # leaves the choice to TensorFlow's own variable
    "TF_NUM_INTEROP_THREADS": "-1",  # the graph runs in the calling thread
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}
"""Environment of every process that runs a DeePMD-kit model, unless the user set it otherwise."""

MODEL_FILES = FILES["deepmd"]
FROZEN_FILES = ("frozen.pb", "without_bonds_frozen.network", "residual_frozen.pb")
"""A model directory's files, to run and before compression: of a plain model, of one without bonds (plain
DeePMD-kit does not load that ending), and of one without bonds by an earlier version.
"""

UNTAGGED_TYPE_MAP = TYPE_MAP[:2]
"""Types of a model that was trained without tags on the excited molecule."""

_NOISE = re.compile(r"cudart|oneDNN|absl::InitializeLog|cpu_feature_guard|To enable the following|MLIR V1")
_ATOMS_PER_CALL = 4096  # the memory of a call grows with frames x atoms x sel


class DeepPotential:
    """A frozen or compressed model on one thread.

    Args:
        model_file: ``.pb`` file of DeePMD-kit; to one that was trained without bonds (``is_residual``) the
            bonds of the table beside it are added.

    Raises:
        UserError: the file is missing, is no DeePMD-kit model, or has another type map than frazil's, or a
            residual model's table is missing.
    """

    def __init__(self, model_file: Path | str) -> None:
        self.model_file = Path(model_file)
        if not self.model_file.is_file():
            raise UserError(f"model file {model_file} does not exist; give the model.pb of train_deepmd.py")
        self._library = _library()
        self._warm = False
        with quiet(), as_pb(self.model_file) as named:
            self._handle = self._library.DP_NewDeepPot(os.fsencode(named))
            error = self._text(self._library.DP_DeepPotCheckOK(self._handle))
        if error:
            raise UserError(f"{model_file} is not a model of DeePMD-kit that can be read; give a model.pb")
        self.type_map: list[str] = self._text(self._library.DP_DeepPotGetTypeMap(self._handle)).split()
        self.cutoff_A: float = self._library.DP_DeepPotGetCutoff(self._handle)
        _check_type_map(self.model_file, self.type_map)
        self.bonds = BondBaseline.beside(self.model_file) if is_residual(self.model_file) else None

    def evaluate(
        self, positions_A: npt.ArrayLike, types: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return energies (n,) in eV and forces (n, n_atoms, 3) in eV/Å of isolated frames of equal types.

        Args:
            positions_A: (n, n_atoms, 3), Å.
            types: (n_atoms,) indices into ``TYPE_MAP``; X1 and X2 become C and O for a model without them.
        """
        positions = np.ascontiguousarray(positions_A, dtype=np.float64)
        n_frames, n_atoms, _ = positions.shape
        kinds = np.ascontiguousarray(types, dtype=np.int32)
        if len(self.type_map) == len(UNTAGGED_TYPE_MAP):
            kinds = np.ascontiguousarray(kinds % len(UNTAGGED_TYPE_MAP), dtype=np.int32)
        energies = np.empty(n_frames)
        forces = np.empty((n_frames, n_atoms, 3))
        frames_per_call = max(1, _ATOMS_PER_CALL // n_atoms)
        for first in range(0, n_frames, frames_per_call):
            some = slice(first, min(first + frames_per_call, n_frames))
            with nullcontext() if self._warm else quiet():
                self._library.DP_DeepPotCompute2(
                    self._handle, some.stop - some.start, n_atoms, _pointer(positions[some]), _pointer(kinds),
                    None, None, None, _pointer(energies[some]), _pointer(forces[some]), None, None, None,
                )  # fmt: skip
                error = self._text(self._library.DP_DeepPotCheckOK(self._handle))
            if error:
                raise RuntimeError(f"DeePMD-kit failed on {self.model_file}: {error}")
            self._warm = True
        if self.bonds is not None:
            bond_energies, bond_forces = self.bonds.energies_and_forces(
                positions, kinds[::2] >= len(UNTAGGED_TYPE_MAP)
            )
            energies += bond_energies
            forces += bond_forces
        return energies, forces

    def _text(self, address: int) -> str:
        text = ctypes.string_at(address).decode()
        self._library.DP_DeleteChar(address)
        return text

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.DP_DeleteDeepPot(self._handle)


def evaluate(
    model: DeepPotential | Path | str, frames: Sequence[ase.Atoms]
) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[np.float64]]]:
    """Return the energy (eV) of each frame, and its forces (n_atoms, 3) in eV/Å, in the order of the frames.

    Frames with equal types are evaluated together.

    Args:
        model: a model, or its file.
        frames: non-periodic frames, the excited molecule tagged (array ``excited``).
    """
    potential = model if isinstance(model, DeepPotential) else DeepPotential(model)
    energies = np.empty(len(frames))
    forces: list[npt.NDArray[np.float64]] = [np.empty((0, 3))] * len(frames)
    groups: dict[bytes, list[int]] = {}
    for index, frame in enumerate(frames):
        groups.setdefault(np.asarray(deepmd_types(frame), dtype=np.int32).tobytes(), []).append(index)
    for key, members in groups.items():
        kinds = np.frombuffer(key, dtype=np.int32)
        energy, force = potential.evaluate(np.array([frames[i].positions for i in members]), kinds)
        energies[members] = energy
        for index, one in zip(members, force, strict=True):
            forces[index] = one
    return energies, forces


def model_file_of(model: Path | str, names: Sequence[str] = MODEL_FILES) -> Path:
    """Return the file to run of a model directory, or the file itself.

    Args:
        model: a model directory, or a file.
        names: what to look for in the directory, ``MODEL_FILES`` or ``FROZEN_FILES``.

    Raises:
        UserError: there is no such file, or its folder is damaged.
    """
    path = Path(model)
    folder = path if path.is_dir() else path.parent
    if (folder / DESCRIPTION).is_file() and (path.is_dir() or path.name in (*MODEL_FILES, *FROZEN_FILES)):
        read_description(folder)
    for file in (path / name for name in names) if path.is_dir() else (path,):
        if file.is_file():
            return file
    raise UserError(f"no model at {model}; give a model directory of train_deepmd.py, or a .pb file")


def files_of(model: Path | str) -> list[Path]:
    """Return all files that a model's energies depend on. Raises UserError where there is no model."""
    file = model_file_of(model)
    return [file, file.with_name(TABLE)] if is_residual(file) else [file]


def is_residual(model_file: Path) -> bool:
    """Return whether a model was trained without the bonds, which its table holds."""
    return model_file.name in (*MODEL_FILES[1:], *FROZEN_FILES[1:])


@contextmanager
def as_pb(model_file: Path) -> Iterator[Path]:
    """Yield a network's file under the ending that DeePMD-kit wants, as long as it is loaded."""
    if model_file.suffix == ".pb":
        yield model_file
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "network.pb"
        link.symlink_to(model_file.resolve())
        yield link


def set_environment() -> None:
    """Make DeePMD-kit single-threaded and quiet in this process, where the user did not set it otherwise."""
    for name, value in SINGLE_THREAD.items():
        os.environ.setdefault(name, value)


@contextmanager
def held_back(descriptor: int, show: Callable[[str], bool]) -> Iterator[None]:
    """Hold back what C libraries write to a file descriptor; then print the lines that ``show`` allows."""
    sys.stdout.flush()
    sys.stderr.flush()
    keep = os.dup(descriptor)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), descriptor)
        try:
            yield
        finally:
            os.dup2(keep, descriptor)
            os.close(keep)
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines():
                if show(line):
                    print(line, file=sys.stderr)


def quiet() -> AbstractContextManager[None]:
    """Hold back harmless messages on standard error (no CUDA, CPU features); show others."""
    return held_back(2, lambda line: not _NOISE.search(line))


def _check_type_map(model_file: Path, type_map: list[str]) -> None:
    if type_map not in (TYPE_MAP, UNTAGGED_TYPE_MAP):
        raise UserError(
            f"model file {model_file} has the type map {' '.join(type_map)}; allowed is {' '.join(TYPE_MAP)} "
            f"(or {' '.join(UNTAGGED_TYPE_MAP)}, trained without tags); train the model with train_deepmd.py"
        )


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(f"the package {package} is not installed; install frazil[deepmd], or run make setup")
    return Path(spec.origin).parent


def _pointer(array: npt.NDArray[Any]) -> int:
    return array.ctypes.data


@cache
def _library() -> ctypes.CDLL:
    set_environment()
    deepmd, tensorflow = _folder("deepmd"), _folder("tensorflow")
    with quiet():
        for file in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
            ctypes.CDLL(str(tensorflow / file))
        ctypes.CDLL(str(deepmd / "lib" / "libdeepmd_backend_tf.so"))
        library = ctypes.CDLL(str(deepmd / "lib" / "libdeepmd_c.so"))
    atexit.register(_silence_unloading)
    address, integer = ctypes.c_void_p, ctypes.c_int
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "DP_NewDeepPot": (address, [ctypes.c_char_p]),
        "DP_DeleteDeepPot": (None, [address]),
        "DP_DeleteChar": (None, [address]),
        "DP_DeepPotCheckOK": (address, [address]),
        "DP_DeepPotGetTypeMap": (address, [address]),
        "DP_DeepPotGetCutoff": (ctypes.c_double, [address]),
        "DP_DeepPotCompute2": (None, [address, integer, integer, *[address] * 10]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _silence_unloading() -> None:
    """Drop what the libraries print while the process unloads them (Python has said all it has to say)."""
    sys.stderr.flush()
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
