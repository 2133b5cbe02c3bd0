"""GM-NN in ASE: energy, forces, stress, dipole and the committee's spread, for anything that ASE does."""

from functools import partial
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from frazil.errors import UserError
from frazil.potentials.gmnn import reference
from frazil.potentials.gmnn.committee import Committee, Prediction
from frazil.potentials.gmnn.files import Model
from frazil.potentials.neighbours import Neighbours, current


class GMNNCalculator(Calculator):
    """ASE calculator of a model file's committee; energies and forces are the members' means.

    ``results`` also holds ``energy_spread`` (eV) and ``forces_spread`` (natoms,) eV/Å, standard deviations
    over the members. Lists are kept until an atom has moved by half of ``skin_A``, and hold as many images of
    an atom as the cutoff reaches. ``stress`` (6,), eV/Å³ in Voigt's order, is computed where it is asked for:
    dE/dε over the volume. A cell has no ``dipole``, which has many values, unless the model knows oxidation
    numbers; it is then that of the positions as they are, unwrapped. Raises UserError for elements that the
    model does not know, positions that are not finite, atoms on top of each other, and the stress of atoms
    that are not periodic in all three directions.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress", "dipole"]

    def __init__(
        self, model: Model, skin_A: float = 0.5, total_charge_e: float = 0.0, precision: str | None = None
    ) -> None:
        super().__init__()
        self.committee = Committee(model, precision)
        self.skin_A = skin_A
        self.total_charge_e = total_charge_e
        if "charge" not in model.architecture.heads and not model.architecture.oxidation:
            self.implemented_properties = ["energy", "forces", "stress"]  # type: ignore[misc]
        self._neighbours: Neighbours | None = None

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes
    ) -> None:
        """Fill ``results`` for ``atoms``."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        architecture = self.committee.architecture
        species = architecture.species(self.atoms.numbers)
        same = not {"numbers", "cell", "pbc"} & set(system_changes)
        self._neighbours = current(self._neighbours, self.atoms, architecture.cutoff_A, self.skin_A, same)
        outputs, forces = map(
            np.asarray,
            self.committee.lanes(jnp.asarray(species), self._neighbours, jnp.asarray(self.atoms.positions)),
        )
        dipoles = None
        if architecture.oxidation:
            many = partial(reference.multivalued_dipole, architecture, jnp.asarray(species))
            given = (self._neighbours, jnp.asarray(self.atoms.positions))
            dipoles = np.stack([many(o.T, *given) for o in outputs])
        elif "charge" in architecture.heads and not self.atoms.pbc.any():
            positions = jnp.asarray(self.atoms.positions)
            dipoles = np.stack(
                [
                    reference.dipole(architecture, species, o.T, positions, self.total_charge_e)
                    for o in outputs
                ]
            )
        prediction = Prediction(outputs[:, 0].sum(axis=1), forces, dipoles)
        self.results = {
            "energy": prediction.energy_eV,
            "forces": prediction.forces_mean_eV_per_A,
            "energy_spread": prediction.energy_spread_eV,
            "forces_spread": prediction.forces_spread_eV_per_A,
        }
        if dipoles is not None:
            self.results["dipole"] = dipoles.mean(axis=0)
        elif "dipole" in (properties or ()):
            raise UserError(
                f"the dipole of {self.atoms.symbols} in a cell, which has many values; set pbc to False for "
                "a molecule"
            )
        if "stress" in (properties or ()):
            if not self.atoms.pbc.all():
                raise UserError(
                    f"the stress of {self.atoms.symbols}, which is not periodic in all three directions; "
                    "give a cell and pbc T T T"
                )
            slopes = self.committee.energy_by_strain(
                jnp.asarray(species), self._neighbours, jnp.asarray(self.atoms.positions)
            )
            self.results["stress"] = full_3x3_to_voigt_6_stress(slopes / self.atoms.get_volume())
