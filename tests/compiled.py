"""The compiled kernels as their tests call them, without XLA."""

import ctypes

import numpy as np

from frazil.potentials.kernels import library

RUNNABLE = [level for level, needed in library.LEVELS.items() if needed <= library.processor_flags()]
CARRIED = {level: library.FOLDER / f"{level}.so" for level in library.LEVELS}


def call(
    loaded: ctypes.CDLL, name: str, given: list[np.ndarray], results: list[np.ndarray]
) -> list[np.ndarray]:
    """Call a kernel by its name, with as much memory as it asks for; return the results, filled."""
    arrays = (library.Array * len(given))(*[library.Array.of(x.shape, x.ctypes.data) for x in given])
    wanted = getattr(loaded, f"{name}_scratch")
    wanted.restype = ctypes.c_int64
    scratch = np.full(wanted(arrays, ctypes.c_int64(len(given))), 255, np.uint8)
    all_ = [*results, scratch]
    out = (library.Array * len(all_))(*[library.Array.of(x.shape, x.ctypes.data) for x in all_])
    getattr(loaded, f"{name}_run")(arrays, ctypes.c_int64(len(given)), out)
    return results
