"""Usage files as tests make them: of bytes at hand, or of pieces made while they are read."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from unittest import mock

import pytest

from paddle_sync.usage import reading, unpacking
from paddle_sync.usage.reading import UsageFile
from paddle_sync.usage.rows import BinaryStream, FileRow, FileUnreadable, Limits


class Made:
    """A stream of pieces made on the way, of which nothing is kept; it gives as little at a time as it likes."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = memoryview(b"")
        self.given = 0

    def read(self, size: int, /) -> bytes:
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        piece, self._left = self._left[:size], self._left[size:]
        self.given += len(piece)
        return bytes(piece)


@contextmanager
def cut_into(size: int) -> Iterator[None]:
    """Have files read so many bytes at a time, and told by their first line, so that anything may be cut in two."""
    with mock.patch.object(unpacking, "PIECE", size), mock.patch.object(reading, "HEAD", 30):
        yield


def opened(content: bytes | str | BinaryStream, name: str = "usage", **limits: int) -> UsageFile:
    if isinstance(content, str):
        content = content.encode()
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    return UsageFile(stream, name=name, limits=Limits(**limits))


def read(content: bytes | str | BinaryStream, name: str = "usage", **limits: int) -> list[FileRow]:
    return list(opened(content, name, **limits).rows())


def refused(
    content: bytes | str | BinaryStream, name: str = "usage", **limits: int
) -> tuple[list[int], FileUnreadable]:
    """Read as far as it goes: the numbers of the rows before the end, and what ended them."""
    rows: list[int] = []
    with pytest.raises(FileUnreadable) as refusal:
        rows.extend(row.number for row in opened(content, name, **limits).rows())
    problem = refusal.value
    assert problem.reason.endswith(".")
    assert problem.remedy.endswith(".")
    return rows, problem
