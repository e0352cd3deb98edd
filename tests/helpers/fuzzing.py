"""Files with faults in them, for property tests: the same ones in every run."""

import struct
import zlib

from hypothesis import Phase, settings
from hypothesis import strategies as st

# (place, what is done there, bytes)
edits = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 3), st.binary(min_size=1, max_size=6)), max_size=8)


def bounded(examples: int) -> settings:
    """So many examples and no clock: a busy machine fails no test."""
    return settings(max_examples=examples, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])


def mutated(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Bytes put in another's place, put in between, taken out, or the rest cut off."""
    for place, kind, some in edits:
        place %= len(data) + 1
        after = {0: place + len(some), 1: place, 2: place + 3 * len(some), 3: len(data) if place > 40 else place}[kind]
        data = data[:place] + (b"" if kind >= 2 else some) + data[after:]
    return data


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks' checksums are right, so that what is in them is looked at."""
    made, place = data[:8], 8
    while data[:4] == b"\x89PNG" and place + 8 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        name, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + min(length, len(data))]
        made += chunk(name, content)
        place += 12 + length
    return made if len(made) > 8 else data


def chunk(name: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
