"""How the lines of a batch are kept: compressed, beside the keys and the rows they came from. Pure."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

LEVEL = 1
"""Usage repeats itself so much that the quickest level already halves it many times."""
KEY, ROW = struct.Struct(">16sq"), struct.Struct(">q")


class Line(NamedTuple):
    """One measurement of a batch."""

    key: bytes
    content: int
    row: int
    """Row of the file, or index in the request."""
    text: bytes
    """JSON without a line break."""


Packed = bytes | memoryview
"""A column of bytes as the database gives it."""


def pack(lines: Sequence[Line]) -> dict[str, bytes]:
    """The columns of a body that holds these lines."""
    return {
        "measurements": zlib.compress(b"\n".join(line.text for line in lines), LEVEL),
        "keys": b"".join(KEY.pack(line.key, line.content) for line in lines),
        "rows": b"".join(ROW.pack(line.row) for line in lines),
    }


def texts(measurements: Packed) -> list[bytes]:
    """The lines of a body, in order."""
    whole = zlib.decompress(measurements)
    return whole.split(b"\n") if whole else []


def keys(packed: Packed) -> Iterator[bytes]:
    """The keys of a body's lines, in order."""
    return (key for key, _ in KEY.iter_unpack(bytes(packed)))


def unpack(measurements: Packed, packed_keys: Packed, packed_rows: Packed) -> list[Line]:
    """The lines of a body with all that is known of them."""
    of_keys, of_rows = KEY.iter_unpack(bytes(packed_keys)), ROW.iter_unpack(bytes(packed_rows))
    return [
        Line(key, content, row, text)
        for (key, content), (row,), text in zip(of_keys, of_rows, texts(measurements), strict=True)
    ]
