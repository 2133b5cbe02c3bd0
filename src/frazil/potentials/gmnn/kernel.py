"""The compiled kernel of GM-NN on CPUs (``kernel.cpp``): chosen, loaded, and given what it wants.

It serves networks in float32 of any size, committees, heads, charges and repulsion. It is used on a CPU
wherever ``compiled/`` has it for the processor; elsewhere ``fast`` is. Which one runs, and why, is said once
on standard error. ``FRAZIL_GMNN_KERNEL`` chooses: "off" (``fast``), or one of ``LEVELS``. Processors of one
level get one file, so the same bits; those of two levels may differ in rounding.

``python -m frazil.potentials.gmnn.kernel`` compiles it for this machine where nothing carried fits; with
``--carried`` it makes the carried files anew.
"""

import argparse
import ctypes
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from frazil.errors import UserError
from frazil.potentials.gmnn.architecture import (
    Architecture,
    COULOMB_eV_A,
    Weights,
    gaussian_centres,
    gaussian_exponent,
)
from frazil.potentials.gmnn.contractions import feature_order
from frazil.potentials.gmnn.reference import ZBL_COEFFICIENTS, ZBL_EXPONENTS, ZBL_LENGTH_A, ZBL_POWER
from frazil.potentials.neighbours import Neighbours

SOURCE = Path(__file__).with_name("kernel.cpp")
COMPILED = Path(__file__).with_name("compiled")
NATIVE = ".native.so"
"""Compiled here; hidden, so that neither images nor -resume take it for code."""
VARIABLE = "FRAZIL_GMNN_KERNEL"
PREFIX = "frazil_gmnn_"
"""JAX knows a kernel by this and its level."""
LEVELS = {
    "x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma"},
    "x86-64-v3": {"avx2", "fma", "bmi2", "f16c", "movbe", "abm"},
}
"""Carried ones, best first, and what /proc/cpuinfo calls that they need."""
FLAGS = (
    "-std=c++17", "-O3", "-mprefer-vector-width=512", "-fno-math-errno", "-fno-trapping-math",
    "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra", "-Wno-psabi", "-fPIC", "-shared",
)  # fmt: skip
"""No -ffast-math: some compilers' shared libraries then switch off denormal numbers in the whole process."""
PANEL = 8
"""Rows of a panel of weights (``kernel.cpp``)."""
MOST_LAYERS = 12
INTERVALS_PER_GAUSSIAN = 64
"""Of the cubic tables of radial functions: slopes are right to 1e-6 of a Gaussian's, as float32 is."""
REPULSION_INTERVALS = 2048


class Array(ctypes.Structure):
    """An array as ``kernel.cpp`` takes it: data, dimensions, rank."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("dims", ctypes.POINTER(ctypes.c_int64)),
        ("rank", ctypes.c_int64),
    )

    @classmethod
    def of(cls, shape: tuple[int, ...], data: int | None = None) -> "Array":
        """Return an array of a shape at an address."""
        return cls(data, (ctypes.c_int64 * max(1, len(shape)))(*shape), len(shape))


def processor_flags() -> set[str]:
    """Return what this processor can do, by Linux's names."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    return set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())


def source_digest() -> str:
    """Return the SHA-256 of ``kernel.cpp``, which every compiled file carries."""
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()


def compiler() -> str | None:
    """Return a C++ compiler that starts: CXX, or one of the usual names."""
    for name in filter(None, (os.environ.get("CXX"), "g++", "c++", "clang++")):
        try:
            subprocess.run([name, "--version"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return name
    return None


def build(out: Path, march: str, *options: str) -> Path:
    """Compile the kernel for processors ``march`` into ``out``, whole or not at all. Raises UserError."""
    name = compiler()
    if name is None:
        raise UserError("no C++ compiler (g++, c++, clang++); install one, or name one by CXX")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".") as folder:
        made = Path(folder) / "kernel.so"
        command = [
            name,
            *FLAGS,
            f"-march={march}",
            f'-DSOURCE="{source_digest()}"',
            f"-I{jax.ffi.include_dir()}",
        ]
        libraries = [] if options else ["-nodefaultlibs", "-lc", "-s"]
        done = subprocess.run(
            [*command, *options, str(SOURCE), "-o", str(made), *libraries], capture_output=True, text=True
        )
        if done.returncode:
            raise UserError(f"{name} does not compile {SOURCE}:\n{done.stderr}")
        made.replace(out)
    return out


def load(path: Path) -> ctypes.CDLL:
    """Return a compiled kernel. Raises UserError for one of another source than this."""
    try:
        library = ctypes.CDLL(str(path))
        library.frazil_gmnn_scratch.restype = ctypes.c_int64
        stated = (ctypes.c_char * 64).in_dll(library, "frazil_gmnn_source").value.decode()
    except (OSError, AttributeError, ValueError) as error:
        raise UserError(f"{path} is no kernel that loads here ({error})") from error
    if stated != source_digest():
        raise UserError(
            f"{path.name} was compiled of another kernel.cpp; make it anew: python -m {__name__} --carried"
        )
    return library


def found() -> tuple[str, ctypes.CDLL] | str:
    """Return the kernel's name for JAX and its library, registered, or why there is none.

    Raises UserError for a wish (``VARIABLE``) that is unknown, or that this processor cannot fulfil.
    """
    wanted, flags = os.environ.get(VARIABLE, ""), processor_flags()
    runnable = [level for level, needed in LEVELS.items() if needed <= flags]
    if wanted not in ("", "off", *LEVELS) or (wanted in LEVELS and wanted not in runnable):
        here = ", ".join(runnable) or "none"
        raise UserError(
            f"{VARIABLE}={wanted}; allowed are off, {', '.join(LEVELS)}, of which this processor runs: {here}"
        )
    if wanted == "off":
        return f"{VARIABLE}=off"
    names = [f"{level}.so" for level in ([wanted] if wanted else runnable)] + ([] if wanted else [NATIVE])
    reasons = []
    for file in [COMPILED / name for name in names if (COMPILED / name).is_file()]:
        try:
            library = load(file)
            name = PREFIX + file.name.strip(".").removesuffix(".so")
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(library.frazil_gmnn), platform="cpu")
        except Exception as error:  # an XLA of another interface raises what it likes
            reasons.append(str(error))
            continue
        return name, library
    return "; ".join(reasons) or f"none is there for this processor ({platform.machine()})"


@cache
def chosen() -> tuple[str, ctypes.CDLL] | None:
    """Return the name by which JAX knows the kernel, and its library; None where there is none, said once."""
    kernel = found()
    if isinstance(kernel, str):
        print(f"GM-NN runs in JAX, without its compiled kernel: {kernel}", file=sys.stderr)
        return None
    print(f"GM-NN runs in its compiled kernel, {kernel[0].removeprefix(PREFIX)}", file=sys.stderr)
    return kernel


def serves(architecture: Architecture) -> bool:
    """Return whether the kernel evaluates models of an architecture here."""
    fits = architecture.precision == "float32" and len(architecture.hidden) < MOST_LAYERS
    return fits and jax.default_backend() == "cpu" and chosen() is not None


def _cubics(values: jax.Array, slopes: jax.Array) -> jax.Array:
    """Return the cubics (…, nodes + 1, 4) between nodes from values and slopes times the interval (…, nodes).

    Powers of the fraction of an interval, the lowest first; the last two are 0.
    """
    low, high, start, end = values[..., :-1], values[..., 1:], slopes[..., :-1], slopes[..., 1:]
    powers = [low, start, 3 * (high - low) - 2 * start - end, 2 * (low - high) + start + end]
    table = jnp.stack(powers, axis=-1)
    return jnp.pad(table, [(0, 0)] * (table.ndim - 2) + [(0, 2), (0, 0)])


def radial_tables(architecture: Architecture, radial: jax.Array) -> jax.Array:
    """Return the tables (…, nodes, 4, n_radial) float32 of radial functions (…, n_radial, n_basis)."""
    a = architecture
    intervals = INTERVALS_PER_GAUSSIAN * a.n_basis
    r = jnp.linspace(0.0, a.cutoff_A, intervals + 1)
    apart = r[:, None] - gaussian_centres(a)
    gaussians = jnp.exp(-gaussian_exponent(a) * apart**2)
    phase = np.pi * r[:, None] / a.cutoff_A
    cutoff, cutoff_slope = 0.5 * (jnp.cos(phase) + 1.0), -0.5 * np.pi / a.cutoff_A * jnp.sin(phase)
    slopes = cutoff_slope * gaussians - 2.0 * gaussian_exponent(a) * cutoff * apart * gaussians
    coefficients = radial.astype(jnp.float64)
    values, slopes = (coefficients @ x.T for x in (cutoff * gaussians, slopes * (a.cutoff_A / intervals)))
    return jnp.moveaxis(_cubics(values, slopes), -3, -1).astype(jnp.float32)


def repulsion_tables(architecture: Architecture) -> jax.Array:
    """Return the tables (S, S, nodes, 4) float64 of r times the repulsion (``reference.repulsion``), eV Å."""
    a = architecture
    n = len(a.elements)
    if not a.zbl_cutoff_A:
        return jnp.zeros((n, n, 2, 4))
    charge = np.asarray(a.atomic_numbers, float)
    sizes = (charge[:, None] ** ZBL_POWER + charge[None] ** ZBL_POWER)[..., None]
    r = np.linspace(0.0, a.zbl_cutoff_A, REPULSION_INTERVALS + 1)
    terms = [(c, e * sizes / ZBL_LENGTH_A) for c, e in zip(ZBL_COEFFICIENTS, ZBL_EXPONENTS, strict=True)]
    screening = sum(c * np.exp(-rate * r) for c, rate in terms)
    falling = sum(-rate * c * np.exp(-rate * r) for c, rate in terms)
    phase = np.pi * r / a.zbl_cutoff_A
    cutoff, cutoff_slope = 0.5 * (np.cos(phase) + 1.0), -0.5 * np.pi / a.zbl_cutoff_A * np.sin(phase)
    factor = 0.5 * COULOMB_eV_A * (charge[:, None] * charge[None])[..., None]
    slopes = factor * (falling * cutoff + screening * cutoff_slope) * (a.zbl_cutoff_A / REPULSION_INTERVALS)
    return _cubics(jnp.asarray(factor * screening * cutoff), jnp.asarray(slopes))


def _panels(w: jax.Array) -> jax.Array:
    """Return w (M, inputs, outputs) as panels (M, panels, inputs, PANEL) of outputs, filled up with 0."""
    networks, n_in, n_out = w.shape
    filled = jnp.pad(w, ((0, 0), (0, 0), (0, -n_out % PANEL)))
    return jnp.swapaxes(filled.reshape(networks, n_in, -1, PANEL), 1, 2)


def constants(architecture: Architecture, weights: Weights) -> list[jax.Array]:
    """Return the kernel's inputs that are the model's, in order; weights lead with the networks."""
    a = architecture
    order = feature_order(a.n_radial)
    layers: list[jax.Array] = []
    for i, (w, b) in enumerate(weights.layers):
        ordered = w[:, order] if i == 0 else w
        bias = jnp.pad(b, ((0, 0), (0, -b.shape[1] % PANEL)))
        layers += [_panels(ordered), bias, _panels(jnp.swapaxes(ordered, 1, 2))]
    return [
        jnp.array([a.cutoff_A, a.zbl_cutoff_A]),
        repulsion_tables(a),
        radial_tables(a, weights.radial),
        weights.feature_factor[..., order],
        weights.feature_offset[..., order],
        weights.scale,
        weights.shift,
        *layers,
    ]


def functions(
    architecture: Architecture, weights: Weights, species: jax.Array, shares: jax.Array
) -> tuple[
    Callable[[Neighbours | None], Any], Callable[[Any, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]
]:
    """Return ``arrange`` and ``run`` for replicas of species (R, natoms), negative where there is no atom.

    ``weights`` lead with the networks; ``shares`` (networks, seeds, n_heads, R) say what the forces are
    those of. ``run(lists, positions)`` returns energies (networks · n_heads, R) eV, outputs (networks ·
    n_heads, quantities, R, natoms) and forces (networks · seeds, R, natoms, 3), eV/Å, float64. A replica that
    is not finite gets nan.
    """
    kernel = chosen()
    assert kernel is not None
    target, library = kernel
    n_replicas, n_atoms = species.shape
    networks, seeds, heads = shares.shape[:3]
    n_outputs = architecture.n_outputs
    lengths, repulsion, *others = constants(architecture, weights)
    model = [lengths, repulsion, *others[:5], shares.astype(jnp.float32), *others[5:]]

    def arrange(neighbours: Neighbours | None) -> Any:
        assert neighbours is not None
        shift = jnp.zeros(0) if neighbours.shift is None else neighbours.shift
        return neighbours.index.astype(jnp.int32), shift

    def run(lists: Any, positions: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        inputs = [positions.astype(jnp.float64), species.astype(jnp.int32), *lists, *model]
        arrays = (Array * len(inputs))(*[Array.of(x.shape) for x in inputs])
        results = (
            jax.ShapeDtypeStruct((networks, heads, n_replicas), jnp.float64),
            jax.ShapeDtypeStruct((networks, n_outputs, n_replicas, n_atoms), jnp.float64),
            jax.ShapeDtypeStruct((networks, seeds, n_replicas, n_atoms, 3), jnp.float64),
            jax.ShapeDtypeStruct((library.frazil_gmnn_scratch(arrays, len(inputs)),), jnp.uint8),
        )
        energies, outputs, forces, _ = jax.ffi.ffi_call(target, results, vmap_method="sequential")(*inputs)
        by_head = jnp.swapaxes(outputs.reshape(networks, -1, heads, n_replicas, n_atoms), 1, 2)
        return (
            energies.reshape(networks * heads, n_replicas),
            by_head.reshape(networks * heads, -1, n_replicas, n_atoms),
            forces.reshape(networks * seeds, n_replicas, n_atoms, 3),
        )

    return arrange, run


def main() -> None:
    """Compile for this machine where nothing carried fits, or the carried files."""
    parser = argparse.ArgumentParser(description="Compile the kernel of GM-NN")
    parser.add_argument("--carried", action="store_true", help="make the carried files anew")
    if parser.parse_args().carried:
        for level in LEVELS:
            build(COMPILED / f"{level}.so", level)
    elif not any(needed <= processor_flags() for needed in LEVELS.values()):
        build(COMPILED / NATIVE, "native")


if __name__ == "__main__":
    main()
