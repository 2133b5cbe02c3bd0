#!/usr/bin/env python3
"""The batched engine in JAX on whatever device JAX finds: wall time of a step and atom against replicas.

    python benchmarks/device_speed.py --minutes 7 --frozen MODEL.pb

GM-NN (random weights, the default size) on 100 and on 978 atoms, and a frozen se_e2_a model, if one is given,
on 50 CO. The batch grows fourfold until a step and atom cost no less, until memory is full or the time is
spent. So it is one script for a device that is lent for a quarter of an hour. On a CPU it measures the path
without the compiled kernels (benchmarks/gmnn_speed.py and se_e2_a_speed.py measure these).
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

os.environ["FRAZIL_KERNELS"] = "off"

import jax
import numpy as np
from ase import Atoms
from gmnn_speed import ELEMENTS, ice

from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import energies
from frazil.potentials.deepmd.se_e2_a import DeepPotSE
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.potential import GMNN
from frazil.potentials.interface import Potential
from frazil.systems.co import co_types

MOST_REPLICAS = 4096
GAIN = 0.95
"""A larger batch is tried as long as it costs less than this part of the last."""


def systems(frozen: Path | None) -> Iterator[tuple[str, Potential, Atoms, float]]:
    """Yield name, potential, atoms and time step, fs."""
    for molecules in (49, 488):
        atoms = ice(molecules)
        architecture = Architecture(ELEMENTS)
        model = Model(architecture, initialize_committee(architecture, 1, 1), {})
        network = GMNN.of(model, atoms.numbers)
        yield f"GM-NN, {len(atoms)} atoms", network, atoms, 0.5
    if frozen is not None:
        atoms = ice(50)[:-2]
        yield "se_e2_a, 50 CO", DeepPotSE.of(frozen, co_types(50, 0)), atoms, 0.1


def cost_us(potential: Potential, atoms: Atoms, timestep_fs: float, width: int, n_steps: int) -> float:
    """Return the wall time of a step and atom, µs, after a first run that compiles."""
    ensemble = Ensemble(
        potential, VelocityVerlet(timestep_fs), atoms.get_masses(), n_steps, n_steps, observers=(energies,),
        width=width,
    )  # fmt: skip
    positions, velocities = (
        np.repeat(array[None], width, axis=0) for array in (atoms.positions, 0 * atoms.positions)
    )
    list(ensemble.run(positions, velocities))
    begun = time.perf_counter()
    list(ensemble.run(positions, velocities))
    return (time.perf_counter() - begun) / (n_steps * width * len(atoms)) * 1e6


def main() -> None:
    """Print a table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=7, help="when no further batch begins (default: 7)")
    parser.add_argument("--frozen", type=Path, help="a frozen se_e2_a model of C, O, X1, X2 (default: none)")
    parser.add_argument("--steps", type=int, default=50, help="steps of a run (default: 50)")
    given = parser.parse_args()
    ends = time.monotonic() + 60 * given.minutes
    device = jax.devices()[0]
    print(f"{device.device_kind}, jax {jax.__version__}; µs a step and atom, by replicas in a batch")
    for name, potential, atoms, timestep_fs in systems(given.frozen):
        last, width = np.inf, 1
        while width <= MOST_REPLICAS and time.monotonic() < ends:
            try:
                found = cost_us(potential, atoms, timestep_fs, width, given.steps)
            except jax.errors.JaxRuntimeError as error:
                print(f"{name}: {width} do not fit ({str(error).splitlines()[0][:60]})", flush=True)
                break
            print(f"{name}: {width:5d} {found:8.3f}", flush=True)
            if found > GAIN * last:
                break
            last, width = found, 4 * width


if __name__ == "__main__":
    main()
