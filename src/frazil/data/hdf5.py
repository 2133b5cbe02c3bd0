"""HDF5 files that tell damage: a SHA-256 of the content stands in the 512 bytes before it, HDF5's user block.

HDF5 itself says nothing of a bit that flipped in a dataset. Any reader of HDF5 skips the block.
"""

import hashlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import ArrayLike, NDArray

from frazil.errors import UserError
from frazil.files import write_atomic

BLOCK = 512
"""Bytes of the user block, the smallest that HDF5 knows."""
SIGNATURE = b"\x89HDF\r\n\x1a\n"
_DIGEST = re.compile(rb"frazil sha256 ([0-9a-f]{64})\n\x00{433}")


def write(path: Path | str, attributes: Mapping[str, Any], arrays: Mapping[str, ArrayLike]) -> None:
    """Write attributes of the root and arrays (by name, ``/`` between groups) whole or not at all."""
    with write_atomic(path) as partial:
        with h5py.File(partial, "w", track_order=False, userblock_size=BLOCK) as file:
            file.attrs.update(attributes)
            for name, value in arrays.items():
                file.create_dataset(name, data=value, track_times=False)
        with partial.open("r+b") as raw:
            raw.seek(BLOCK)
            digest = hashlib.file_digest(raw, "sha256").hexdigest()
            raw.seek(0)
            raw.write(f"frazil sha256 {digest}\n".encode().ljust(BLOCK, b"\0"))


def read(path: Path | str, made_by: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return attributes and arrays of a file of ``write``, or of an earlier version, which has no digest.

    ``made_by`` names the step to run again. Raises UserError for a file that is missing, damaged or no HDF5,
    and for arrays larger than the file or outside it: nothing is allocated for those.
    """
    path = Path(path)
    _check_digest(path, made_by)
    size = path.stat().st_size
    attributes: dict[str, Any] = {}
    arrays: dict[str, NDArray[Any]] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            if item.nbytes > size or item.external or item.is_virtual:
                raise UserError(
                    f"{path} is damaged: {name} would take {item.nbytes / 2**30:.3g} GiB of a file of {size} "
                    f"bytes; {made_by} writes it again"
                )
            arrays[name] = item[()]

    try:
        with h5py.File(path, "r") as file:
            attributes.update(file.attrs)
            file.visititems(take)
    except (OSError, LookupError, RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as HDF5 ({reason}); {made_by} writes it again") from error
    return attributes, arrays


def _check_digest(path: Path, made_by: str) -> None:
    if not path.is_file():
        raise UserError(f"{path} does not exist; {made_by} makes it")
    with path.open("rb") as raw:
        block = raw.read(BLOCK)
        if block.startswith(SIGNATURE):
            print(f"warning: {path} has no digest: an earlier frazil wrote it", file=sys.stderr)
            return
        known = _DIGEST.fullmatch(block)
        digest = hashlib.file_digest(raw, "sha256").hexdigest().encode()
    if not known and SIGNATURE not in path.read_bytes()[: 4 * BLOCK]:
        raise UserError(f"{path} is no HDF5 file of frazil; {made_by} makes one")
    if not known or known[1] != digest:
        raise UserError(
            f"{path} is damaged: its digest is another; copy it again, or let {made_by} write it again"
        )
