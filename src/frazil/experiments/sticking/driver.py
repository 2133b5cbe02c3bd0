"""The potential that drives the sticking experiment: the known truth, or what the registry loads."""

from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from frazil.potentials.interface import Potential
from frazil.potentials.registry import Source, load

ANALYTIC = "analytic"
TRUTH = "h2-co-analytic"
"""What the registry calls it."""


@dataclass(frozen=True)
class Driver:
    """A source of potentials for a surface with or without a projectile."""

    source: Source

    @property
    def n_members(self) -> int:
        """Members of the committee; the known truth has one."""
        return self.source.n_members

    @property
    def digest(self) -> str:
        """Tells its numbers from others'."""
        return self.source.digest

    def potential(self, atoms: Atoms, member: int | None = None) -> Potential:
        """Return the potential of atoms like these; ``member`` None is the committee's mean.

        The array ``fixed`` says which are held. Raises UserError for atoms that the potential does not know.
        """
        return self.source.potential(atoms, member)

    def name(self, member: int | None = None) -> str:
        """Return the ``model_id`` of tables."""
        if self.source.kind == TRUTH:
            return ANALYTIC
        return f"{self.source.kind}-mean" if member is None else f"{self.source.kind}-{member}"


def driver(model: str | Path, curves: str | Path = "") -> Driver:
    """Return the driver of ``analytic``, or of what ``registry.load`` takes and the curves that were taken
    out of its labels.

    Raises UserError for what is no model, and for one of interactions without curves, or the reverse.
    """
    return Driver(load(TRUTH) if str(model) == ANALYTIC else load(model, curves=curves))
