"""Any potential in ASE: ``frazil.load("model_0")`` is a calculator, for all that ASE does.

    atoms.calc = frazil.load("model_0")              # a folder that training wrote, or model.h5, a .pb in it
    atoms.calc = frazil.load("lennard-jones", epsilon_eV=0.01, sigma_A=3.4)
    atoms.get_potential_energy(); atoms.get_forces()
    atoms.get_stress()                               # of a GM-NN in a cell, where it is asked for
    atoms.calc.results["energy_spread"]              # of a committee: how far its members are apart

What can be loaded is what ``potentials.registry.load`` knows. Periodic atoms take a GM-NN or an EGNN.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from frazil.errors import UserError
from frazil.potentials.registry import Source
from frazil.potentials.registry import load as source_of

PERIODIC = ("egnn", "co-crystal", "q-tip4p-f", "rock-salt")
"""Kinds whose potentials take atoms across the faces of a cell, beside a GM-NN of whole energies."""
KNOWN_FIELDS = ("excited", "fixed")
"""Arrays of atoms that a potential may look at; a change of one makes it anew."""


def load(
    what: Any, *, member: int | None = None, curves: Path | str = "", skin_A: float = 0.5, **parameters: Any
) -> Calculator:
    """Return an ASE calculator of a potential: of its folder or file, its name, or a mapping.

    Args:
        what: a folder that training wrote or a file in it (``model.h5``, ``model.pb``), a name such as
            ``van-hemert`` or ``gfn2-xtb``, ``ase:MODULE.FUNCTION``, or a mapping with ``parts``.
        member: one of a committee; None drives by the mean of all and gives their spread.
        curves: molecular_curves.csv of a GM-NN of interactions, if it is not beside the model.
        skin_A: how much farther than the cutoff neighbour lists reach, Å; no number depends on it.
        parameters: of a name.

    Returns:
        A calculator of ``energy`` (eV) and ``forces`` (natoms, 3), eV/Å. Where the potential has them, also
        ``dipole`` (3,), e Å, in a cell on the branch of the positions, and, of a GM-NN in a cell, ``stress``
        (6,), eV/Å³. In ``results`` of a committee also ``energy_spread`` (eV) and ``forces_spread`` (eV/Å),
        standard deviations over the members: the latter (natoms,) of a GM-NN, of other committees that of the
        worst atom. Raises UserError for what is no potential.
    """
    source = source_of(what, curves=curves, **parameters)
    if source.is_one_network:
        from frazil.potentials.gmnn.calculator import GMNNCalculator

        model = source.model if member is None else source.model.select([member])
        return GMNNCalculator(model, skin_A)
    return PotentialCalculator(source, member, skin_A)


class PotentialCalculator(Calculator):
    """ASE calculator of a source: the potential that the engine runs, one structure at a time.

    The potential is made for the first atoms, and anew when their elements or tags change. Raises UserError
    for periodic atoms, and for atoms that the potential is not made for.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "dipole"]

    def __init__(self, source: Source, member: int | None = None, skin_A: float = 0.5) -> None:
        super().__init__()
        self.source, self.member, self.skin_A = source, member, skin_A
        self._made_for: tuple[bytes, ...] = ()
        self._potential: Any = None
        self._evaluate: Any = None
        self._neighbours: Any = None

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes
    ) -> None:
        """Fill ``results`` for ``atoms``."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        if self.atoms.pbc.any() and not takes_cells(self.source):
            raise UserError(
                f"{self.atoms.symbols} with periodic boundaries under {self.source.kind}, which is for free "
                "atoms; set pbc to False, or take a GM-NN without curves of molecules, or an EGNN"
            )
        if self._made_for != (key := _key(self.atoms)):
            self._make(self.atoms)
            self._made_for = key
        found = self._evaluate(self._potential, self._lists(self.atoms), self.atoms.positions[None])
        info = {name: np.asarray(value)[0] for name, value in found.info.items()}
        self.results = {"energy": float(found.energies[0]), "forces": np.array(found.forces[0])}
        if "dipole_e_A" in info:
            self.results["dipole"] = info["dipole_e_A"]
        for name in ("energy_spread_eV", "force_spread_eV_per_A"):
            if name in info:
                self.results[name.split("_")[0].replace("force", "forces") + "_spread"] = float(info[name])

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Return what has changed since the last call; tags of atoms count too."""
        changes: list[str] = super().check_state(atoms, tol)
        if not changes and self._made_for != _key(atoms):
            changes = ["tags"]
        return changes

    def _make(self, atoms: Atoms) -> None:
        from frazil.potentials.interface import jit

        self._potential = self.source.potential(atoms.copy(), self.member)
        self._evaluate = jit(_evaluated)
        self._neighbours = None

    def _lists(self, atoms: Atoms) -> Any:
        """Return neighbour lists with a leading axis of one; None for a potential without a cutoff."""
        import jax

        from frazil.potentials.neighbours import current

        cutoff_A = self._potential.cutoff_A
        if cutoff_A is None:
            return None
        self._neighbours = current(self._neighbours, atoms, cutoff_A, self.skin_A)
        return jax.tree.map(lambda leaf: leaf[None], self._neighbours)


def takes_cells(source: Source) -> bool:
    """Say whether a source's potentials take atoms across the faces of a cell."""
    return source.kind in PERIODIC or source.is_one_network


def _key(atoms: Atoms) -> tuple[bytes, ...]:
    """Return what a potential and its lists are made for: elements, tags and the cell."""
    tags = (np.asarray(atoms.arrays.get(name, ())).tobytes() for name in KNOWN_FIELDS)
    cell = (atoms.cell.array.tobytes(), atoms.pbc.tobytes()) if atoms.pbc.any() else ()
    return (atoms.numbers.tobytes(), *tags, *cell)


def _evaluated(potential: Any, lists: Any, positions: Any) -> Any:
    ready = potential.batched(1)
    return ready.evaluate(ready.arrange(lists), positions)
