"""A DeePMD model of CO in the batched engine: its network in JAX, and the bonds of a residual model."""

from pathlib import Path

from frazil.potentials.deepmd.bond_baseline import EXCITED, GROUND, BondBaseline
from frazil.potentials.deepmd.model import FROZEN_FILES, is_residual, model_file_of
from frazil.potentials.deepmd.se_e2_a import DeepPotSE
from frazil.potentials.interface import Potential
from frazil.potentials.molecular import WithMolecules
from frazil.systems.co import co_types


def co_potential(model: Path | str, n_molecules: int, excited_molecule: int = -1) -> Potential:
    """Return what LAMMPS runs of a model directory, for CO molecules, one of them excited (−1: none).

    A model without X1 and X2 sees the excited molecule as C and O. Raises UserError for a model whose network
    before compression is not there.
    """
    frozen = model_file_of(model, FROZEN_FILES)
    types = co_types(n_molecules, excited_molecule).tolist()
    network = DeepPotSE.of(frozen, co_types(n_molecules).tolist())
    tagged = len(network.type_map) > 2
    if tagged:
        network = DeepPotSE.of(frozen, types)
    if not is_residual(frozen):
        return network
    curves = BondBaseline.beside(frozen).splines()
    kinds = [EXCITED if tagged and kind >= 2 else GROUND for kind in types[::2]]
    return WithMolecules.of_each(network, [curves[kind] for kind in kinds])
