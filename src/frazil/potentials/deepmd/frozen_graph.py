"""A model that DeePMD-kit froze: a TensorFlow graph, read and changed as the protocol buffer it is.

Nothing of a graph is executed here, and TensorFlow is not needed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from frazil.errors import UserError

_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
}
_STRING, _DOUBLE, _INT32 = 7, 2, 3
_VIRIAL = b"o_atom_virial"
_TABLE = b"TabulateFusionSeA"
"""The operation that ``dp compress`` puts in place of an embedding network."""


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Return the (signed) number that starts at a place, and the place behind it."""
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return (value - (1 << 64) if value >= 1 << 63 else value), place


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (field number, value) of a protocol buffer's wire format."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        if kind not in (1, 2, 5):
            raise ValueError(f"wire type {kind}")
        length, place = _varint(message, place) if kind == 2 else ({1: 8, 5: 4}[kind], place)
        if place + length > len(message):
            raise ValueError("cut short")
        yield key >> 3, message[place : place + length]
        place += length


def _tensor(message: bytes) -> Any:
    """Return a TensorProto's value: bytes, or an array of its shape."""
    parts = list(_fields(message))
    dtype = next((value for number, value in parts if number == 1), 0)
    if dtype == _STRING:
        return next((value for number, value in parts if number == 8), b"")
    if dtype not in _TYPES:
        return None
    shape = [
        dict(_fields(size)).get(1, 0)
        for number, dimensions in parts
        if number == 2
        for tag, size in _fields(dimensions)
        if tag == 2
    ]
    content = next((value for number, value in parts if number == 4), None)
    if content is not None:
        return np.frombuffer(content, _TYPES[dtype]).reshape(shape)
    # One value may fill the shape; floating point numbers lie packed, others are varints, packed or alone.
    values: list[Any] = []
    for number, value in parts:
        if number in (5, 6):
            values += np.frombuffer(value, _TYPES[dtype]).tolist()
        elif number in (7, 10, 11) and isinstance(value, bytes):
            place = 0
            while place < len(value):
                one, place = _varint(value, place)
                values.append(one)
        elif number in (7, 10, 11):
            values.append(value)
    return np.resize(np.array(values or [0], _TYPES[dtype]), shape)


class Graph(NamedTuple):
    """A frozen graph: constants by name, and by each embedding table's name those of its inputs."""

    constants: dict[str, Any]
    tables: dict[str, list[str]]


def read_graph(path: Path | str) -> Graph:
    """Return a frozen model's graph. Raises UserError for a file that is none."""
    found = Graph({}, {})
    try:
        for name, operation, inputs, attributes in _nodes(Path(path).read_bytes()):
            if operation == b"Const" and b"value" in attributes:
                found.constants[name] = _tensor(dict(_fields(attributes[b"value"]))[8])
            elif operation == _TABLE:
                found.tables[name] = inputs
    except (OSError, ValueError, IndexError, TypeError, AttributeError, KeyError) as error:
        raise UserError(
            f"{path} is no frozen graph ({error}); give the frozen.pb of train_deepmd.py"
        ) from error
    if "train_attr/training_script" not in found.constants:
        raise UserError(f"{path} is no frozen model of DeePMD-kit; give the frozen.pb of train_deepmd.py")
    return found


def _nodes(graph: bytes) -> Iterator[tuple[str, bytes, list[str], dict[bytes, bytes]]]:
    """Yield the nodes of a graph: name, operation, names of inputs, attributes."""
    for number, node in _fields(graph):
        if number != 1:
            continue
        parts = list(_fields(node))
        own = dict(parts)
        attributes = (dict(_fields(content)) for tag, content in parts if tag == 5)
        yield (
            own[1].decode(), own.get(2, b""), [content.decode() for tag, content in parts if tag == 3],
            {attribute[1]: attribute.get(2, b"") for attribute in attributes},
        )  # fmt: skip


def without_virial(graph: bytes) -> bytes:
    """Return the frozen graph with a virial of zeros: all else that it gives stays the same bit for bit.

    DeePMD-kit sums every pair's virial at every step of a trajectory, by atomic additions on a CPU: a sixth
    of the time of a compressed model of 100 atoms. A graph that has no virial comes back as it is.
    """
    kept, found = [], False
    for number, value in _fields(graph):
        if number == 1 and dict(_fields(value))[1] == _VIRIAL:
            found = True
        else:
            kept.append(_field(number, value))
    if not found:
        return graph
    zeros, axis = b"frazil/zeros", b"frazil/axis"
    one = _field(1, _INT32) + _field(2, b"") + _field(7, 1)  # a TensorProto of no dimensions
    nodes = [
        _node(zeros, b"ZerosLike", [b"o_force"], T=_field(6, _DOUBLE)),
        _node(axis, b"Const", [], dtype=_field(6, _INT32), value=_field(8, one)),
        _node(
            _VIRIAL, b"ConcatV2", [zeros, zeros, zeros, axis],
            N=_field(3, 3), T=_field(6, _DOUBLE), Tidx=_field(6, _INT32),
        ),
    ]  # fmt: skip
    return b"".join(kept + nodes)


def _node(name: bytes, operation: bytes, inputs: list[bytes], **attributes: bytes) -> bytes:
    """Return one node of a graph."""
    parts = [_field(1, name), _field(2, operation), *(_field(3, item) for item in inputs)]
    parts += [_field(5, _field(1, key.encode()) + _field(2, value)) for key, value in attributes.items()]
    return _field(1, b"".join(parts))


def _field(number: int, value: bytes | int) -> bytes:
    """Return a field of a protocol buffer: bytes with their length, or a number."""
    if isinstance(value, int):
        return _as_varint(number << 3) + _as_varint(value)
    return _as_varint(number << 3 | 2) + _as_varint(len(value)) + value


def _as_varint(value: int) -> bytes:
    """Return a number that is not negative, seven bits a byte, the lowest first."""
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
