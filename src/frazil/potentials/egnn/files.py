"""The folder of an EGNN: egnn.h5 and model.json. Nothing in it is ever executed.

Root attributes: ``format`` "frazil-egnn", ``format_version`` 1, ``architecture`` and ``metadata`` (JSON).
Datasets, float64: the leaves of ``architecture.Parameters`` by their places (layers/0/message/1/w).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from frazil.data import hdf5
from frazil.errors import UserError
from frazil.potentials.egnn.architecture import Architecture, Parameters, initialize
from frazil.potentials.folder import describe
from frazil.provenance import versions

FORMAT, FORMAT_VERSION = "frazil-egnn", 1
MODEL_FILE = "egnn.h5"


@dataclass(frozen=True)
class Model:
    """A model as read from a file."""

    architecture: Architecture
    parameters: Parameters
    metadata: dict[str, Any]


def _named(parameters: Any) -> dict[str, Any]:
    """Return the leaves by their places."""
    found, _ = jax.tree_util.tree_flatten_with_path(parameters)
    return {
        "/".join(str(getattr(k, "key", getattr(k, "idx", k))) for k in path): leaf for path, leaf in found
    }


def write_folder(
    folder: Path, architecture: Architecture, parameters: Parameters, metadata: Mapping[str, Any]
) -> None:
    """Write a model as a potential's folder; ``metadata`` says its ``label_level``."""
    attributes = {
        "format": FORMAT, "format_version": FORMAT_VERSION,
        "architecture": json.dumps(architecture.to_json(), sort_keys=True),
        "metadata": json.dumps({"versions": versions(), **metadata}, sort_keys=True),
    }  # fmt: skip
    arrays = {name: np.asarray(leaf, np.float64) for name, leaf in _named(parameters).items()}
    hdf5.write(folder / MODEL_FILE, attributes, arrays)
    describe(
        folder, "egnn", [MODEL_FILE], members=1, elements=list(architecture.elements),
        cutoff_A=architecture.cutoff_A, level=str(metadata["label_level"]),
    )  # fmt: skip


def read_model(path: Path | str) -> Model:
    """Read a model file. Raises UserError for another kind or version, or one that does not fit itself."""
    attributes, found = hdf5.read(path, "train_dynamic.py")
    if attributes.get("format") != FORMAT or attributes.get("format_version") != FORMAT_VERSION:
        raise UserError(
            f"{path} is no EGNN file of version {FORMAT_VERSION} (format {attributes.get('format')!r}); "
            "train again"
        )
    try:
        architecture = Architecture.from_json(json.loads(attributes["architecture"]))
        metadata = json.loads(attributes["metadata"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} does not say what it is ({error}); train again") from error
    template = jax.eval_shape(lambda: initialize(architecture, 0))
    shapes = {name: leaf.shape for name, leaf in _named(template).items()}
    if {name: value.shape for name, value in found.items()} != shapes:
        raise UserError(f"{path} does not fit its own architecture; it is damaged")
    if any(value.dtype.kind != "f" or not np.isfinite(value).all() for value in found.values()):
        raise UserError(f"{path} holds numbers that are not finite; train again")
    leaves = [jnp.asarray(found[name]) for name in _named(template)]
    parameters = jax.tree.unflatten(jax.tree.structure(template), leaves)
    return Model(architecture, parameters, metadata)
