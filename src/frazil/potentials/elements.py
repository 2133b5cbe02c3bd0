"""What the architectures of GM-NN and EGNN share: elements, number type, and how they go into files."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

import ase.data
import jax.numpy as jnp
import numpy as np

from frazil.errors import UserError


class OfElements:
    """A dataclass of hyper-parameters with ``elements`` (chemical symbols) and ``precision``."""

    elements: tuple[str, ...]
    precision: str
    may_lack: ClassVar[tuple[str, ...]] = ()
    """Fields that files of before do not have."""

    def check_elements(self) -> None:
        """Raise UserError for elements or a number type that no model has."""
        unknown = [element for element in self.elements if element not in ase.data.atomic_numbers]
        if unknown or not self.elements:
            raise UserError(f"elements {list(self.elements)}; chemical symbols such as C O are needed")
        if list(self.elements) != sorted(set(self.elements), key=ase.data.atomic_numbers.__getitem__):
            raise UserError(f"elements {list(self.elements)}; each once, in order of atomic number")
        if self.precision not in ("float32", "float64"):
            raise UserError(f"precision {self.precision!r}; allowed are 'float32' and 'float64'")

    @property
    def atomic_numbers(self) -> np.ndarray:
        """Atomic numbers of the elements (S,)."""
        return np.array([ase.data.atomic_numbers[element] for element in self.elements])

    @property
    def dtype(self) -> Any:
        """The network's number type."""
        return jnp.dtype(self.precision)

    def species(self, numbers: np.ndarray) -> np.ndarray:
        """Return indices into ``elements`` (natoms,). Raises UserError for a foreign element."""
        foreign = sorted(set(np.asarray(numbers).tolist()) - set(self.atomic_numbers.tolist()))
        if foreign:
            names = " ".join(ase.data.chemical_symbols[number] for number in foreign)
            raise UserError(
                f"the structure has {names}, the model knows {' '.join(self.elements)}; "
                "take a model trained with these elements"
            )
        return np.searchsorted(self.atomic_numbers, numbers).astype(np.int32)

    def to_json(self) -> dict[str, Any]:
        """Return the hyper-parameters as JSON."""
        names = [f.name for f in fields(self)]  # type: ignore[arg-type]
        return {name: list(v) if isinstance(v := getattr(self, name), tuple) else v for name in names}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the architecture of ``to_json``, in which those of ``may_lack`` may be missing.

        Raises UserError for fields that it does not know, and without one that it needs.
        """
        names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        if set(values) | set(cls.may_lack) != names:
            raise UserError(f"architecture with {sorted(values)}; needed are exactly {sorted(names)}")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
