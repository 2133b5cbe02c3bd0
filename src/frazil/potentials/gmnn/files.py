"""The model file: one HDF5 file with a committee's parameters and what they mean. Nothing in it is ever
executed.

Root attributes: ``format`` "frazil-gmnn", ``format_version`` 1, ``architecture`` (JSON, fields of
Architecture), ``metadata`` (JSON: label_level, training_data_sha256, versions, and what the trainer adds),
``units`` (JSON: length Å, energy eV, charge e). Datasets, float64, leading axis members M, S elements in the
order of ``architecture``: ``embedding`` (M, S, S, n_radial, n_basis) [centre, neighbour] · ``layers/<i>/w``
(M, in, out) · ``layers/<i>/b`` (M, out) · ``scale`` and ``shift`` (M, S, heads; eV or e) · ``feature_mean``
and ``feature_scale`` (M, S, features).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import numpy as np

from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.potentials.gmnn.architecture import Architecture, Parameters, initialize_committee
from frazil.provenance import versions

FORMAT = "frazil-gmnn"
FORMAT_VERSION = 1
UNITS = {"length": "Å", "energy": "eV", "charge": "e"}
REQUIRED_METADATA = ("label_level", "training_data_sha256")


@dataclass(frozen=True)
class Model:
    """A committee as read from a file: architecture, parameters with a leading member axis, metadata."""

    architecture: Architecture
    parameters: Parameters
    metadata: dict[str, Any]

    @property
    def n_members(self) -> int:
        """How many members the committee has."""
        return int(self.parameters["embedding"].shape[0])


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
    with write_atomic(path) as partial, h5py.File(partial, "w", track_order=False) as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["architecture"] = json.dumps(architecture.to_json(), sort_keys=True)
        file.attrs["metadata"] = json.dumps({"versions": versions(), **metadata}, sort_keys=True)
        file.attrs["units"] = json.dumps(UNITS, ensure_ascii=False)
        for name, value in _named(parameters).items():
            file.create_dataset(name, data=np.asarray(value, np.float64))


def read_model(path: Path | str) -> Model:
    """Read a model file. Raises UserError for a file of another kind or version, or one that does not fit
    itself.
    """
    try:
        with h5py.File(path, "r") as file:
            attributes = dict(file.attrs)
            if attributes.get("format") != FORMAT:
                raise UserError(
                    f"{path} is no GM-NN model file (format {attributes.get('format')!r}, not {FORMAT!r})"
                )
            if attributes["format_version"] != FORMAT_VERSION:
                raise UserError(
                    f"{path} has version {attributes['format_version']}, readable is {FORMAT_VERSION}; "
                    "use the version in its metadata, or train again"
                )
            if json.loads(attributes["units"]) != UNITS:
                raise UserError(f"{path} is in units {attributes['units']}; allowed are {UNITS}")
            architecture = Architecture.from_json(json.loads(attributes["architecture"]))
            metadata = json.loads(attributes["metadata"])
            found: dict[str, Any] = {}
            file.visititems(
                lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
    except OSError as error:
        raise UserError(
            f"{path} cannot be read as a model file ({error}); give the .h5 that training wrote"
        ) from error
    expected = jax.eval_shape(lambda: initialize_committee(architecture, 0, 1))
    shapes = {name: value.shape[1:] for name, value in _named(expected).items()}
    got = {name: value.shape[1:] for name, value in found.items()}
    if got != shapes or len({value.shape[0] for value in found.values()}) != 1:
        wrong = sorted({name for name in shapes.keys() | got.keys() if shapes.get(name) != got.get(name)})
        raise UserError(
            f"{path} does not fit its own architecture (in {', '.join(wrong) or 'members'}); it is damaged"
        )
    bad = [name for name, value in found.items() if not np.isfinite(value).all()]
    if bad:
        raise UserError(f"{path} holds numbers that are not finite in {', '.join(bad)}; train again")
    layers = [
        {name: jnp.asarray(found[f"layers/{i}/{name}"]) for name in ("w", "b")}
        for i in range(len(architecture.hidden) + 1)
    ]
    plain = {name: jnp.asarray(value) for name, value in found.items() if not name.startswith("layers/")}
    return Model(architecture, {**plain, "layers": layers}, metadata)
