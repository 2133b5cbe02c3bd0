"""Classes as pytrees: no program of one is run for another."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from frazil.pytrees import pytree

ROOT = Path(__file__).resolve().parents[2]


@pytree
@dataclass(frozen=True)
class Sum:
    first: Any
    second: Any
    times: int = field(default=1, metadata={"static": True})

    def __call__(self) -> Any:
        return self.times * (self.first + self.second)


@pytree
@dataclass(frozen=True)
class Product:
    first: Any
    second: Any
    times: int = field(default=1, metadata={"static": True})

    def __call__(self) -> Any:
        return self.times * self.first * self.second


@pytree
@dataclass(frozen=True)
class Bare:
    pass


def test_a_structure_names_its_class() -> None:
    structure = jax.tree_util.tree_structure
    assert structure(Sum(1.0, 2.0)) == structure(Sum(5.0, 6.0))
    assert structure(Sum(1.0, 2.0)) != structure(Product(1.0, 2.0))
    assert structure(Sum(1.0, 2.0)) != structure(Sum(1.0, 2.0, 3))
    assert structure(Bare()) != structure(())


def test_leaves_static_fields_and_names() -> None:
    node = Sum(jnp.ones(2), {"a": 2.0}, 4)
    leaves, structure = jax.tree_util.tree_flatten(node)
    assert len(leaves) == 2
    assert jax.tree_util.tree_unflatten(structure, leaves).times == 4
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(node)]
    assert paths == [".first", ".second['a']"]
    doubled = jax.tree.map(lambda leaf: 2 * leaf, replace(node, second=3.0))
    assert (doubled.second, doubled.times) == (6.0, 4)


def test_no_class_goes_the_other_way() -> None:
    other = re.compile(r"^@.*register_(dataclass|pytree)", re.MULTILINE)
    found = [file.name for file in (ROOT / "src").rglob("*.py") if other.search(file.read_text())]
    assert not found, "register it by frazil.pytrees.pytree"
