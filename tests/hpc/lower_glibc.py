"""Let a program built against glibc 2.38 start on glibc 2.36: it takes only strtol and strtoul from 2.38.

From C23 on, these also read binary numbers (0b101), and have new names; the old functions have the version
GLIBC_2.2.5.
"""

import struct
import sys
from pathlib import Path

DYNSYM, VERNEED = 11, 0x6FFFFFFE
NEW, OLD, OLD_HASH = b"GLIBC_2.38", b"GLIBC_2.2.5", 0x09691A75


def lower(program: bytes) -> bytes:
    """Return the 64-bit ELF program with both symbols renamed and the need of GLIBC_2.38 turned into 2.2.5.

    Raises ValueError if it takes other symbols of 2.38.
    """
    data = bytearray(program)
    table_at, size, count = *struct.unpack_from("<Q", data, 40), *struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table_at + i * size) for i in range(count)]

    def strings(section: tuple[int, ...]) -> int:
        return int(sections[section[6]][4])

    def name_at(offset: int) -> bytes:
        return bytes(data[offset : data.index(0, offset)])

    (needs,) = [s for s in sections if s[1] == VERNEED]
    (symbols,) = [s for s in sections if s[1] == DYNSYM]
    texts = strings(needs)
    old_name = data.index(OLD + b"\0", texts) - texts
    file_at = needs[4]
    while True:
        _, n, _, first, following = struct.unpack_from("<HHIII", data, file_at)
        at = file_at + first
        for _ in range(n):
            name, step = struct.unpack_from("<II", data, at + 8)
            if name_at(texts + name) == NEW:
                struct.pack_into("<I", data, at, OLD_HASH)
                struct.pack_into("<I", data, at + 8, old_name)
            at += step
        if not following:
            break
        file_at += following
    for at in range(symbols[4], symbols[4] + symbols[5], 24):
        (name,) = struct.unpack_from("<I", data, at)
        text = name_at(strings(symbols) + name)
        if text.startswith(b"__isoc23_"):
            if text not in (b"__isoc23_strtol", b"__isoc23_strtoul"):
                raise ValueError(f"{text.decode()} has no form in glibc 2.36")
            struct.pack_into("<I", data, at, name + len(b"__isoc23_"))
    return bytes(data)


for path in map(Path, sys.argv[1:]):
    path.write_bytes(lower(path.read_bytes()))
