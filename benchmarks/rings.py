"""Ring polymers: convergence by the number of beads as a figure, the cost of a bead's step, and i-PI beside
both.

    python benchmarks/rings.py --figure docs/images/ring-convergence.png

The exact lines need no dynamics; points are of 8 rings × 10 ps. i-PI's part is left out where ``ipi`` is not
installed. Some 8 minutes on one core.
"""

import argparse
import importlib.util
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import scipy.stats
from ase import Atoms

from frazil.md.ensemble import Ensemble
from frazil.md.integrators import PILE
from frazil.md.rings import RingEnergies, of_beads, start_of_ring
from frazil.potentials.analytic.simple import Springs
from frazil.potentials.interface import Analytic
from frazil.potentials.rings import RingPolymer
from frazil.pytrees import pytree
from frazil.seeds import rng
from frazil.units import fs, hbar, inverse_cm, kB

OH_amu, STRETCH_cm1, TEMPERATURE_K = 0.94809, 3700.0, 300.0
ESTIMATORS = ("potential_energy", "kinetic_virial", "kinetic_primitive")
BEADS = (1, 2, 4, 8, 16, 32, 64)
OF_MORSE = {"De": 5.0341, "a": 2.287, "z0": 0.0, "k": 9.0}
"""i-PI's ``MorseHarmonic``: eV, 1/Å, Å, eV/Å²."""


@pytree
@dataclass(frozen=True)
class MorseQuartic(Analytic):
    """i-PI's ``MorseHarmonic``: D (z² − z³ + 7/12 z⁴), z the third coordinate times a, springs along the
    others.
    """

    depth_eV: Any
    exponent_per_A: Any
    stiffness_eV_per_A2: Any

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy, eV."""
        z = self.exponent_per_A * positions_A[:, 2]
        along = self.depth_eV * (z**2 - z**3 + 7.0 / 12.0 * z**4)
        return jnp.sum(along) + 0.5 * self.stiffness_eV_per_A2 * jnp.sum(positions_A[:, :2] ** 2)


def exact_meV(n_beads: int) -> float:
    """Return the energy of a harmonic stretch by so many beads: kT Σ_k ω²/(ω_k² + ω²)."""
    thermal, frequency = kB * TEMPERATURE_K, STRETCH_cm1 * inverse_cm / hbar
    modes = 2 * n_beads * thermal / hbar * np.sin(np.pi * np.arange(n_beads) / n_beads)
    return float(1e3 * thermal * (frequency**2 / (modes**2 + frequency**2)).sum())


def in_engine(
    potential: Any, masses_amu: np.ndarray, n_beads: int, n_rings: int, n_steps: int, timestep_fs: float
) -> tuple[pandas.DataFrame, float]:
    """Return each ring's mean energies, meV, and the processor time of a bead's step, µs, without
    compilation.
    """
    ensemble = Ensemble(
        RingPolymer(potential, n_beads), PILE(timestep_fs, TEMPERATURE_K, 100.0, n_beads),
        of_beads(masses_amu, n_beads), n_steps, 10, width=n_rings, chunk=n_steps // 100,
        observers=(RingEnergies(TEMPERATURE_K, n_beads),),
    )  # fmt: skip
    rest = np.zeros((len(masses_amu), 3))
    begun = [
        start_of_ring(rest, masses_amu, TEMPERATURE_K, n_beads, rng(1, "ring", i)) for i in range(n_rings)
    ]
    x, v = (np.stack([start[part] for start in begun]) for part in (0, 1))
    clock: list[float] = []
    ended = list(ensemble.run(x, v, after_chunk=lambda: clock.append(time.process_time())))
    skipped = len(ended[0].rows["step"]) // 5
    means = [{name: 1e3 * t.rows[name][skipped:].mean() for name in ESTIMATORS} for t in ended]
    steps = (len(clock) - 1) * (n_steps // 100) * 10 * n_rings * n_beads
    return pandas.DataFrame(means), 1e6 * (clock[-1] - clock[0]) / steps


def in_ipi(
    pes: str, parameters: dict[str, float], masses_amu: np.ndarray, n_beads: int, n_steps: int,
    timestep_fs: float, seed: int = 1,
) -> tuple[dict[str, float], float]:  # fmt: skip
    """Return i-PI's mean energies, meV, and its processor time of a bead's step, µs."""
    from ipi.scripting import InteractiveSimulation, forcefield_xml, motion_nvt_xml, simulation_xml

    np.random.seed(seed)
    ring = [
        Atoms("H" * len(masses_amu), np.zeros((len(masses_amu), 3)), cell=[50.0] * 3) for _ in range(n_beads)
    ]
    for bead in ring:
        bead.arrays["mass"] = masses_amu
    xml = simulation_xml(
        ring, forcefield_xml("field", "direct", parameters, pes),
        motion_nvt_xml(timestep_fs * fs, "pile_l", True, 100.0 * fs, fixcom=False), TEMPERATURE_K,
        output="<output prefix='ring'><checkpoint stride='1000000'/></output>",
    ).replace("<simulation ", "<simulation floatformat='%16.8e' ").replace(
        "<system>", f"<prng><seed>{seed}</seed></prng><system>"
    )  # fmt: skip
    names = {
        "potential_energy": "potential",
        "kinetic_virial": "kinetic_cv",
        "kinetic_primitive": "kinetic_td",
    }
    seen, here = [], Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            simulation = InteractiveSimulation(xml)
            simulation.run(n_steps // 5, write_outputs=False)
            begun = time.process_time()
            for _ in range(n_steps // 10):
                simulation.run(10, write_outputs=False)
                seen.append([float(np.squeeze(simulation.properties(own))) for own in names.values()])
            spent = time.process_time() - begun
        finally:
            os.chdir(here)
    means = dict(zip(names, 1e3 * np.mean(seen, axis=0), strict=True))
    return means, 1e6 * spent / (n_steps // 10 * 10 * n_beads)


def main() -> None:
    """Run all, print the tables, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", type=Path, default=Path("ring-convergence.png"))
    parser.add_argument("--n-steps", type=int, default=20000)
    given = parser.parse_args()
    frequency, one = STRETCH_cm1 * inverse_cm / hbar, np.array([OH_amu])
    rows = []
    for n_beads in BEADS:
        found, _ = in_engine(Springs(OH_amu * frequency**2), one, n_beads, 8, given.n_steps, 0.5)
        energy = found * 2 / 3  # of one degree of freedom, E = 2 V = 2 K
        errors = energy.std(ddof=1) / np.sqrt(len(energy))
        rows.append({"n_beads": n_beads, "exact_meV": exact_meV(n_beads)} | energy.mean().to_dict()
                    | {name + "_se": value for name, value in errors.items()})  # fmt: skip
    table = pandas.DataFrame(rows)
    print(table.round(2).to_string(index=False))
    draw(table, given.figure)
    nine = np.ones(9)
    for n_rings, n_beads in ((1, 32), (16, 32), (1, 64)):
        _, spent = in_engine(Springs(20.0), nine, n_beads, n_rings, 4000, 0.5)
        print(f"engine, 9 atoms, {n_rings} rings of {n_beads}: {spent:.2f} µs of processor time a bead-step")
    if importlib.util.find_spec("ipi") is None:
        print("i-PI is not installed: its part is left out")
        return
    _, spent = in_ipi("harmonic", {"k1": 0.2058}, nine, 32, 200, 0.5)
    print(f"i-PI, 9 atoms, 1 ring of 32: {spent:.0f} µs of processor time a bead-step")
    curve = MorseQuartic(OF_MORSE["De"], OF_MORSE["a"], OF_MORSE["k"])
    engine, _ = in_engine(curve, one, 8, 16, given.n_steps, 0.5)
    runs = pandas.DataFrame(
        [in_ipi("MorseHarmonic", OF_MORSE, one, 8, given.n_steps // 2, 0.5, s)[0] for s in range(6)]
    )
    for name in ESTIMATORS:
        values = [f"{np.mean(own[name]):.2f}({scipy.stats.sem(own[name]):.2f})" for own in (engine, runs)]
        print(f"Morse, 8 beads, {name}: engine {values[0]}, i-PI {values[1]} meV")


def draw(table: pandas.DataFrame, path: Path) -> None:
    """Draw the energies and what they lack by the number of beads."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    limit = (
        1e3 * 0.5 * STRETCH_cm1 * inverse_cm / np.tanh(0.5 * STRETCH_cm1 * inverse_cm / (kB * TEMPERATURE_K))
    )
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    dense = list(range(1, 129))
    left.plot(dense, [exact_meV(n) for n in dense], color="black", linewidth=1, label="exact, P beads")
    left.axhline(limit, color="black", linestyle=":", linewidth=1, label="exact")
    right.plot(dense, limit - np.array([exact_meV(n) for n in dense]), color="black", linewidth=1)
    for name, mark in zip(ESTIMATORS, "^os", strict=True):
        told = "2 × " + name.replace("_", " ")
        left.errorbar(table["n_beads"], table[name], 2 * table[name + "_se"], fmt=mark, ms=4, label=told)
        right.errorbar(table["n_beads"], limit - table[name], 2 * table[name + "_se"], fmt=mark, ms=4)
    left.set(xscale="log", xlabel="beads P", ylabel="energy (meV)", title="Harmonic, 3700 cm⁻¹, 300 K")
    right.set(
        xscale="log", yscale="log", xlabel="beads P", ylabel="energy that is missing (meV)", ylim=(0.5, 300)
    )
    left.legend(fontsize="small")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
