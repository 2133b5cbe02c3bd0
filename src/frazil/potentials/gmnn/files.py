"""The model file: one HDF5 file with a committee's parameters and what they mean. Nothing in it is ever
executed. A digest tells damage (``frazil.data.hdf5``).

Root attributes: ``format`` "frazil-gmnn", ``format_version`` 1, ``architecture`` (JSON, fields of
Architecture, ``n_heads`` only where it is not 1), ``metadata`` (JSON: label_level, training_data_sha256,
versions, and what the trainer adds), ``units`` (JSON: length Å, energy eV, charge e). Datasets, float64,
leading axis networks M, S elements in the order of ``architecture``: ``embedding`` (M, S, S, n_radial,
n_basis) [centre, neighbour] · ``layers/<i>/w`` (M, in, out) · ``layers/<i>/b`` (M, out) · ``scale`` and
``shift`` (M, S, outputs; eV or e) · ``feature_mean`` and ``feature_scale`` (M, S, features). Outputs are the
energies of all heads, then their charges.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from frazil.data import hdf5
from frazil.errors import UserError
from frazil.potentials.gmnn.architecture import (
    Architecture,
    Parameters,
    apart,
    initialize_committee,
    n_networks,
)
from frazil.provenance import versions

FORMAT = "frazil-gmnn"
FORMAT_VERSION = 1
UNITS = {"length": "Å", "energy": "eV", "charge": "e"}
REQUIRED_METADATA = ("label_level", "training_data_sha256")


@dataclass(frozen=True)
class Model:
    """A committee as read from a file: architecture, parameters with a leading axis of networks, metadata.

    Its members are all heads of all networks, counted by network, then by head.
    """

    architecture: Architecture
    parameters: Parameters
    metadata: dict[str, Any]

    @property
    def n_members(self) -> int:
        """How many members the committee has."""
        return n_networks(self.parameters) * self.architecture.n_heads

    def apart(self) -> "Model":
        """Return the same members, each as a network of its own: a shallow ensemble as a deep committee."""
        return Model(self.architecture.alone(), apart(self.architecture, self.parameters), self.metadata)

    def select(self, members: Sequence[int]) -> "Model":
        """Return some of the members, each as a network of its own. Raises UserError for others."""
        if not members or any(not 0 <= i < self.n_members for i in members):
            raise UserError(f"members {list(members)} of a committee of {self.n_members}; count from 0")
        own = self.apart()
        chosen = jax.tree.map(lambda leaf: leaf[jnp.asarray(members)], own.parameters)
        return Model(own.architecture, chosen, self.metadata)


def _named(parameters: Parameters) -> dict[str, Any]:
    """Return the parameters by their names in the file."""
    names = {name: value for name, value in parameters.items() if name != "layers"}
    for i, layer in enumerate(parameters["layers"]):
        names |= {f"layers/{i}/{name}": value for name, value in layer.items()}
    return names


def write_model(
    path: Path | str, architecture: Architecture, parameters: Parameters, metadata: Mapping[str, Any]
) -> None:
    """Write a committee whole or not at all; versions are added to ``metadata``."""
    missing = [name for name in REQUIRED_METADATA if name not in metadata]
    if missing:
        raise ValueError(f"metadata lacks {missing}")
    attributes = {
        "format": FORMAT, "format_version": FORMAT_VERSION,
        "architecture": json.dumps(architecture.to_json(), sort_keys=True),
        "metadata": json.dumps({"versions": versions(), **metadata}, sort_keys=True),
        "units": json.dumps(UNITS, ensure_ascii=False),
    }  # fmt: skip
    arrays = {name: np.asarray(value, np.float64) for name, value in _named(parameters).items()}
    hdf5.write(path, attributes, arrays)


def read_model(path: Path | str) -> Model:
    """Read a model file. Raises UserError for a file of another kind or version, or one that does not fit
    itself.
    """
    attributes, found = hdf5.read(path, "train_gmnn.py")
    if attributes.get("format") != FORMAT:
        raise UserError(
            f"{path} is no GM-NN model file (format {attributes.get('format')!r}, not {FORMAT!r})"
        )
    if attributes.get("format_version") != FORMAT_VERSION:
        raise UserError(
            f"{path} has version {attributes.get('format_version')}, readable is {FORMAT_VERSION}; "
            "use the version in its metadata, or train again"
        )
    try:
        units = json.loads(attributes["units"])
        architecture = Architecture.from_json(json.loads(attributes["architecture"]))
        metadata = json.loads(attributes["metadata"])
        lacking = [name for name in REQUIRED_METADATA if name not in metadata]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} does not say what it is ({error}); train again") from error
    if units != UNITS or lacking:
        raise UserError(
            f"{path} is in units {units} and lacks {', '.join(lacking) or 'nothing'}; allowed are "
            f"{UNITS}, with {', '.join(REQUIRED_METADATA)}"
        )
    expected = jax.eval_shape(lambda: initialize_committee(architecture, 0, 1))
    shapes = {name: value.shape[1:] for name, value in _named(expected).items()}
    got = {name: value.shape[1:] for name, value in found.items()}
    if got != shapes or len({value.shape[:1] for value in found.values()}) != 1:
        wrong = sorted({name for name in shapes.keys() | got.keys() if shapes.get(name) != got.get(name)})
        raise UserError(
            f"{path} does not fit its own architecture (in {', '.join(wrong) or 'members'}); it is damaged"
        )
    bad = [name for name, v in found.items() if v.dtype.kind != "f" or not np.isfinite(v).all()]
    if bad:
        raise UserError(f"{path} holds numbers that are not finite in {', '.join(bad)}; train again")
    layers = [
        {name: jnp.asarray(found[f"layers/{i}/{name}"]) for name in ("w", "b")}
        for i in range(len(architecture.hidden) + 1)
    ]
    plain = {name: jnp.asarray(value) for name, value in found.items() if not name.startswith("layers/")}
    return Model(architecture, {**plain, "layers": layers}, metadata)
