"""Settings of hydrogen-bond strengths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from frazil.experiments.settings import a_potential, a_structure, beads, problems_of_samples
from frazil.settings import setting, settings

CAMPAIGN = "frazil.experiments.hydrogen_bond.physics"
KEEPS_FRAMES = True
MASS_NODES = 5
"""Gauss–Legendre points of the integral over the mass."""


@settings
class HydrogenBond:
    """Free energy of taking a molecule out of a cluster or crystal, classical and by path integrals."""

    structure: Path | None = a_structure("A cluster, or a crystal in its cell", "two water molecules")
    model: Path | None = a_potential("q-TIP4P/F water")
    molecule_atoms: tuple[int, ...] = setting(
        "Atoms of the molecule that is taken out, counted from 0; a whole molecule of the structure",
        default=(0, 1, 2), minimum=0,
    )  # fmt: skip
    temperature_K: float = setting("Temperature", default=200.0, above=0, maximum=5000)
    n_beads: tuple[int, ...] = beads(60)
    n_trajectories: int = setting(
        "Passes through all windows, half of them from the bound side and half from the free one",
        default=8, minimum=4, maximum=10_000,
    )  # fmt: skip
    shard_size: int = setting("Passes in one task; changes no result", default=2, minimum=1)
    n_restraint_windows: int = setting(
        "Windows in which the restraint is turned on", default=4, minimum=3, maximum=100
    )
    n_coupling_windows: int = setting(
        "Windows in which the molecule is decoupled, without the first, which is the last of the restraint",
        default=10, minimum=4, maximum=200,
    )  # fmt: skip
    restraint_eV_per_A2: float = setting(
        "Force constant of the restraint on the distance between the molecule's centre of mass and that "
        "of the rest; in a crystal on its place, where 1 keeps it in the gap that it leaves",
        default=0.25, above=0, maximum=100,
    )  # fmt: skip
    orientation_eV_per_A2: float = setting(
        "In a crystal, force constant that holds each atom of the molecule where it is to the molecule's "
        "centre, while that is decoupled",
        default=1.0, above=0, maximum=100,
    )  # fmt: skip
    n_turn_windows: int = setting(
        "In a crystal, windows in which the decoupled molecule is let turn", default=8, minimum=4, maximum=200
    )
    escape_A: float = setting(
        "A molecule has escaped where this distance is so much larger than at rest", default=2.0, above=0
    )
    volume_A3: float = setting(
        "Volume of the free molecule's standard state; 1660.54 Å³ is 1 mol/L", default=1660.54, above=0
    )
    mass_integral: bool = setting(
        "Whether nuclei are also made quantum along their mass, at both ends: it must give the same",
        default=False,
    )
    equilibration_fs: float = setting(
        "Dynamics in each window, one after the other, before what counts", default=1000.0, above=0
    )
    duration_fs: float = setting("Dynamics in each window that counts", default=10000.0, above=0)
    timestep_fs: float = setting(
        "Time step; the fastest mode's period is at least 14", default=0.5, above=0, maximum=5
    )
    observe_every_fs: float = setting(
        "Time between samples; a whole number of time steps", default=10.0, above=0
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if self.model is not None and self.structure is None:
            yield "structure", "needed with [model]: one of its own"
        if self.n_trajectories % 2:
            yield "n_trajectories", "allowed: an even number, half of each direction"
        if self.mass_integral and (1 not in self.n_beads or max(self.n_beads, default=1) == 1):
            yield "mass_integral", "needs 1 and another number in [n_beads]: it goes from classical nuclei on"
        yield from problems_of_samples(self)


GROUPS = {"hydrogen_bond": HydrogenBond}


def shipped(own: HydrogenBond) -> dict[str, str]:
    """Return the files of ``assets`` that stand for those that are not set."""
    found = {}
    if own.structure is None:
        found["structure"] = "structures/water_dimer.extxyz"
    if own.model is None:
        found["model"] = "potentials/q-tip4p-f"
    return found
