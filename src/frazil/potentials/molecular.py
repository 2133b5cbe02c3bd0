"""Interactions plus what every diatomic molecule does alone: a GM-NN of interactions runs by this.

Bonds hold eV where neighbours hold meV. ``frazil.labels.interaction`` takes each molecule's own curve out
of the labels; here it comes back, as the same cubic Hermite spline. Beyond a curve's ends the energy goes on
linearly. Importing this module switches JAX to float64.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas
from ase import Atoms
from scipy.interpolate import CubicHermiteSpline

from frazil.errors import UserError
from frazil.potentials.interface import Batched, Evaluation, Potential
from frazil.potentials.neighbours import Neighbours
from frazil.pytrees import pytree
from frazil.tables import Table

CURVES = Table(
    "molecular_curves",
    "*molecule:str *bond_length_A energy_eV slope_eV_per_A",
    limits={"bond_length_A": (0, 1000)},
    digits="%.17g",
    made_by="take_molecules_out.py",
)


def write_curves(path: Path | str, curves: Mapping[str, CubicHermiteSpline]) -> None:
    """Write splines of diatomics (Hill formulas) as the table ``molecular_curves.csv``."""
    parts = [
        pandas.DataFrame({
            "molecule": name, "bond_length_A": curve.x, "energy_eV": curve(curve.x),
            "slope_eV_per_A": curve(curve.x, 1),
        })
        for name, curve in sorted(curves.items())
    ]  # fmt: skip
    CURVES.write(pandas.concat(parts), path)


def read_curves(path: Path | str) -> dict[str, CubicHermiteSpline]:
    """Return the splines of a ``molecular_curves.csv``. Raises UserError for a file that is none."""
    table = CURVES.read(path)
    try:
        return {
            str(name): CubicHermiteSpline(own["bond_length_A"], own["energy_eV"], own["slope_eV_per_A"])
            for name, own in table.groupby("molecule", sort=True)
        }
    except ValueError as error:
        raise UserError(
            f"{path} holds no curve of a molecule ({error}); give it two lengths at least"
        ) from error


@pytree
@dataclass(frozen=True)
class WithMolecules:
    """A potential of interactions on diatomics, each two atoms in a row, and their own curves; made by
    ``of``.

    lengths_A, energies_eV, slopes_eV_per_A (n_molecules, knots): each molecule's spline, ascending.
    """

    interaction: Any
    lengths_A: jax.Array
    energies_eV: jax.Array
    slopes_eV_per_A: jax.Array

    @classmethod
    def of(
        cls, interaction: Potential, numbers: np.ndarray, curves: Mapping[str, CubicHermiteSpline]
    ) -> "WithMolecules":
        """Return the potential for atoms of atomic numbers (natoms,). Raises UserError for a molecule without
        a curve.
        """
        names = [Atoms(numbers=pair).get_chemical_formula() for pair in np.reshape(numbers, (-1, 2))]
        missing = sorted(set(names) - set(curves))
        if missing:
            raise UserError(
                f"no curve of {', '.join(missing)} alone; curves are there for {', '.join(sorted(curves))}"
            )
        # Splines of fewer knots are filled up beyond their end, where they go on linearly.
        own = [curves[name] for name in names]
        most = max(len(curve.x) for curve in own)
        rows = []
        for curve in own:
            beyond = np.arange(1, most - len(curve.x) + 1)
            slope = float(curve(curve.x[-1], 1))
            rows.append((
                np.append(curve.x, curve.x[-1] + beyond),
                np.append(curve(curve.x), curve(curve.x[-1]) + slope * beyond),
                np.append(curve(curve.x, 1), np.full(len(beyond), slope)),
            ))  # fmt: skip
        return cls(interaction, *(jnp.asarray(np.stack(column)) for column in zip(*rows, strict=True)))

    @property
    def cutoff_A(self) -> float | None:
        """The interaction's cutoff."""
        found: float | None = self.interaction.cutoff_A
        return found

    @property
    def n_atoms(self) -> int | None:
        """The number of atoms of all molecules."""
        return 2 * int(self.lengths_A.shape[0])

    def alone(self, positions_A: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return energy () eV and forces (natoms, 3) eV/Å of the molecules (natoms, 3), each alone."""
        first, second = positions_A[::2], positions_A[1::2]
        length = jnp.sqrt(jnp.sum((second - first) ** 2, axis=1))
        knots = self.lengths_A
        place = jnp.clip((knots <= length[:, None]).sum(axis=1) - 1, 0, knots.shape[1] - 2)

        def at(table: jax.Array, index: jax.Array) -> jax.Array:
            return jnp.take_along_axis(table, index[:, None], axis=1)[:, 0]

        a, b = at(knots, place), at(knots, place + 1)
        inside = jnp.clip(length, knots[:, 0], knots[:, -1])
        h, t = b - a, (inside - a) / (b - a)
        ea, eb = at(self.energies_eV, place), at(self.energies_eV, place + 1)
        sa, sb = h * at(self.slopes_eV_per_A, place), h * at(self.slopes_eV_per_A, place + 1)
        # Cubic Hermite: value and derivative by t
        c2, c3 = 3 * (eb - ea) - 2 * sa - sb, 2 * (ea - eb) + sa + sb
        slope = (sa + t * (2 * c2 + 3 * t * c3)) / h
        energy = ea + t * (sa + t * (c2 + t * c3)) + slope * (length - inside)
        pull = (slope / length)[:, None] * (second - first)
        return energy.sum(), jnp.stack([pull, -pull], axis=1).reshape(-1, 3)

    def batched(self, n_replicas: int) -> Batched:
        """Return the interaction's functions with every molecule's own part added."""
        ready: Batched = self.interaction.batched(n_replicas)
        own = jax.vmap(self.alone)

        def arrange(neighbours: Neighbours | None) -> Any:
            return ready.arrange(neighbours)

        def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
            found = ready.evaluate(lists, positions)
            energies, forces = own(positions)
            return Evaluation(found.energies + energies, found.forces + forces, found.info)

        return Batched(arrange, evaluate)
