"""Dataclasses as JAX pytrees whose structure names their class.

JAX (0.10.2 among others) takes the structures of two classes that ``jax.tree_util.register_dataclass`` knows
for equal if they have as many leaves and equal static fields. A compiled function looks its programs up by
structure: in some hundredths of all processes it would run the program of one potential, or integrator, for
another. Nothing says so, and the numbers are those of the other.
"""

from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

from jax.tree_util import GetAttrKey, register_pytree_with_keys

T = TypeVar("T")


def pytree(cls: type[T]) -> type[T]:
    """Register a dataclass: its fields are leaves, but for those whose metadata says ``static``."""
    known = fields(cls)  # type: ignore[arg-type]
    static = [f.name for f in known if f.metadata.get("static", False)]
    leaves = [f.name for f in known if f.name not in static]
    keys = [GetAttrKey(name) for name in leaves]

    def all_of(names: list[str]) -> Any:
        if len(names) > 1:
            return attrgetter(*names)
        return lambda node: tuple(getattr(node, name) for name in names)

    leaves_of, static_of = all_of(leaves), all_of(static)

    def flatten(node: Any) -> tuple[Any, Any]:
        return leaves_of(node), static_of(node)

    def flatten_with_keys(node: Any) -> tuple[Any, Any]:
        return list(zip(keys, leaves_of(node), strict=True)), static_of(node)

    def unflatten(aside: Any, children: Any) -> T:
        return cls(**dict(zip(leaves, children, strict=True)), **dict(zip(static, aside, strict=True)))

    register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls
