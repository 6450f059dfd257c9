"""A file's bytes in our database: pieces of a megabyte, compressed, that any worker on any host reads as one stream."""

import hashlib
import zlib
from collections.abc import Iterator

from paddle_sync.models import UsageFilePart, UsageUpload
from paddle_sync.usage.reading import UsageFile
from paddle_sync.usage.rows import MIB, BinaryStream

PIECE = MIB
LEVEL = 1
"""What is packed already stays as it is, and text shrinks enough at the quickest level."""


class Stored:
    """A stored file, read from its beginning; one piece of it is in memory."""

    def __init__(self, upload_id: int) -> None:
        self._upload_id = upload_id
        self._number = 0
        self._piece = b""
        self._place = 0

    def read(self, size: int, /) -> bytes:
        """Give the next bytes, at most so many; none at its end."""
        if self._place >= len(self._piece):
            packed = (
                UsageFilePart.objects.filter(upload=self._upload_id, number=self._number)
                .values_list("data", flat=True)
                .first()
            )
            if packed is None:
                return b""
            self._piece, self._place, self._number = zlib.decompress(packed), 0, self._number + 1
        given = self._piece[self._place : self._place + size]
        self._place += len(given)
        return given


class TooLarge(Exception):
    """There are more bytes than may be stored."""


class Storing:
    """Stores a stream, and says what it was; the caller sees to it that nothing is left of one that breaks off."""

    def __init__(self, upload: UsageUpload, *, limit: int) -> None:
        self._upload = upload
        self._limit = limit
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was stored so far."""
        return self._digest.hexdigest()

    def store(self, stream: BinaryStream) -> Iterator[int]:
        """Store it piece by piece; gives the size so far after each. TooLarge as soon as it is."""
        number = 0
        while piece := _filled(stream, PIECE):
            self.size += len(piece)
            if self.size > self._limit:
                raise TooLarge
            self._digest.update(piece)
            UsageFilePart.objects.bulk_create(
                [UsageFilePart(upload=self._upload, number=number, data=zlib.compress(piece, LEVEL))]
            )
            number += 1
            yield self.size


def _filled(stream: BinaryStream, size: int) -> bytes:
    """Read a whole piece, however little the stream gives at a time; less only at its end."""
    first = stream.read(size)
    if len(first) in (0, size):
        return first
    parts, length = [first], len(first)
    while length < size and (part := stream.read(size - length)):
        parts.append(part)
        length += len(part)
    return b"".join(parts)


def opened(upload: UsageUpload) -> UsageFile:
    """Begin to read a stored file; FileUnreadable where its beginning shows that nothing can be read."""
    return UsageFile(Stored(upload.pk), name=upload.name)
