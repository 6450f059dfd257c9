"""Bytes of a file -> pieces of text: gzip taken off, counted against the limits, UTF-8 and nothing else. Pure.

What a piece holds before its first bad byte is given out before the error, so that where pieces begin and end makes no
difference to which rows are read.
"""

import codecs
import zlib
from collections.abc import Iterator
from io import StringIO
from itertools import chain

from paddle_sync.usage.rows import BinaryStream, FileUnreadable, Limits

PIECE = 64 * 1024
"""Bytes that are read, and unpacked, at a time."""
GZIP = b"\x1f\x8b"
GZIP_WINDOW = 31
SMALL_MEMBERS = 1_000
"""So many gzip members must hold a kilobyte each on the average: each costs more than its bytes."""
NOT_UTF8 = "is not UTF-8"
SAVE_AS_UTF8 = "Save it as UTF-8 (in a spreadsheet: CSV UTF-8)."
OTHER_FILES = {
    b"PK\x03\x04": (
        "It is a zip archive or a spreadsheet.",
        "Save the table as CSV UTF-8, or unpack the archive first.",
    ),
    b"\xd0\xcf\x11\xe0": ("It is a spreadsheet of the old kind.", "Save the table as CSV UTF-8."),
    b"BZh": ("It is packed with bzip2.", "Pack it with gzip, or not at all."),
    b"\xfd7zXZ": ("It is packed with xz.", "Pack it with gzip, or not at all."),
    b"(\xb5/\xfd": ("It is packed with zstd.", "Pack it with gzip, or not at all."),
    b"PAR1": ("It is a Parquet file.", "Export it as CSV or JSON Lines."),
    b"%PDF": ("It is a PDF.", "Export the table as CSV UTF-8."),
    GZIP: ("It is packed with gzip twice.", "Unpack it once."),
    # UTF-32 begins as UTF-16 does.
    b"\xff\xfe\x00\x00": ("It is UTF-32, from byte 1 of row (line) 1 on.", SAVE_AS_UTF8),
    b"\x00\x00\xfe\xff": ("It is UTF-32, from byte 1 of row (line) 1 on.", SAVE_AS_UTF8),
    b"\xff\xfe": ("It is UTF-16, from byte 1 of row (line) 1 on.", SAVE_AS_UTF8),
    b"\xfe\xff": ("It is UTF-16, from byte 1 of row (line) 1 on.", SAVE_AS_UTF8),
}
LONGEST_SIGN = max(map(len, OTHER_FILES))


class Unpacking:
    """A stream's bytes without gzip, counted on both sides of it."""

    def __init__(self, stream: BinaryStream, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._is_packed = False
        self.taken = 0
        """Bytes read from the stream, for showing how far one is."""
        self.given = 0
        """Bytes given out, unpacked."""

    def pieces(self) -> Iterator[bytes]:
        """Give the bytes in order; FileUnreadable for a broken gzip and for more than the limits allow."""
        piece = self._take()
        if piece.startswith(GZIP):
            self._is_packed = True
            yield from self._unzipped(piece)
            return
        while piece:
            yield self._counted(piece)
            piece = self._take()

    def _take(self) -> bytes:
        """Read a whole piece, however little the stream gives at a time."""
        parts, missing = [], PIECE
        while missing and (part := self._stream.read(missing)):
            parts.append(part)
            missing -= len(part)
        self.taken += PIECE - missing
        return b"".join(parts)

    def _unzipped(self, packed: bytes) -> Iterator[bytes]:
        member, members = zlib.decompressobj(GZIP_WINDOW), 1
        while packed:
            try:
                piece = member.decompress(packed, PIECE)
            except zlib.error:
                raise _broken("It is damaged") from None
            if piece:
                yield self._counted(piece)
            if not member.eof:
                packed = member.unconsumed_tail or self._take()
                continue
            packed = self._next_member(member.unused_data)
            if packed:
                member, members = zlib.decompressobj(GZIP_WINDOW), members + 1
            if members > SMALL_MEMBERS and self.given < members * 1024:
                raise FileUnreadable("It is packed in too many small parts.", "Unpack it and pack it again as one.")
        if not member.eof:
            raise _broken("It ends in the middle")

    def _next_member(self, packed: bytes) -> bytes:
        """Give what follows a member, which is another, or zeros as tapes have them, or the end."""
        packed = packed.lstrip(b"\0")
        while len(packed) < len(GZIP) and (more := self._take()):
            packed = (packed + more).lstrip(b"\0")
        if packed and not packed.startswith(GZIP):
            raise _broken("Something that is no gzip follows its end")
        return packed

    def _counted(self, piece: bytes) -> bytes:
        self.given += len(piece)
        limits = self._limits
        if self.given > limits.most_bytes:
            raise FileUnreadable(f"It holds more than {limits.most_bytes:,} bytes unpacked.", "Split it.")
        if (
            self._is_packed
            and self.given > limits.ratio_counts_from
            and self.given > self.taken * limits.greatest_ratio
        ):
            text = f"It unpacks to more than {limits.greatest_ratio} times its size, which no usage does."
            raise FileUnreadable(text, "Upload it unpacked if it is meant.")
        return piece


def decoded(pieces: Iterator[bytes]) -> Iterator[str]:
    """Decode UTF-8, a byte order mark taken off; FileUnreadable names the line and the byte of what is not."""
    rest = next(pieces, b"")
    while len(rest) < LONGEST_SIGN and (more := next(pieces, b"")):
        rest += more
    for sign, (reason, remedy) in OTHER_FILES.items():
        if rest.startswith(sign):
            raise FileUnreadable(reason, remedy)
    line, offset = 1, 0
    if rest.startswith(codecs.BOM_UTF8):
        rest, offset = rest[len(codecs.BOM_UTF8) :], len(codecs.BOM_UTF8)
    for piece in chain([b""], pieces):
        data = rest + piece
        text, used, reason = _readable(data)
        if text:
            yield text
        line, offset, rest = line + data.count(b"\n", 0, used), offset + used, data[used:]
        if reason:
            raise _not_text(offset, line, reason)
    if rest:
        raise _not_text(offset, line, NOT_UTF8)


def _readable(data: bytes) -> tuple[str, int, str]:
    """Decode as far as it goes: the text, the bytes that it took, and what is wrong with the next one, if anything."""
    zero = data.find(0)
    try:
        text, used = codecs.utf_8_decode(data if zero < 0 else data[:zero], "strict", zero >= 0)
    except UnicodeDecodeError as problem:
        return data[: problem.start].decode(), problem.start, NOT_UTF8
    return text, used, "" if zero < 0 else "is zero, which no text holds (UTF-16 perhaps)"


def _not_text(offset: int, line: int, reason: str) -> FileUnreadable:
    return FileUnreadable(f"Byte {offset + 1} of the file, in row (line) {line}, {reason}.", SAVE_AS_UTF8)


def lines(pieces: Iterator[str], *, longest: int, newline: str) -> Iterator[list[str]]:
    """Cut text into whole lines with their ends, a list for each piece; FileUnreadable for one longer than `longest`.

    `newline` is "" where each of CR, LF and CR LF ends a line, or the one end that does.
    """
    rest, number = "", 1
    while True:
        try:
            piece = next(pieces, "")
        except FileUnreadable:
            if rest.endswith(("\n", "\r")):
                yield [rest]
            raise
        if not piece:
            break
        cut = list(StringIO(rest + piece, newline=newline))
        # Also a finished last line waits: the other half of its CR LF may be in the next piece.
        rest = cut.pop()
        if max(map(len, cut), default=0) > longest:
            number += next(place for place, line in enumerate(cut) if len(line) > longest)
            raise _too_long(number, longest)
        if cut:
            yield cut
        number += len(cut)
        if len(rest) > longest:
            raise _too_long(number, longest)
    if rest:
        yield [rest]


def _too_long(number: int, longest: int) -> FileUnreadable:
    return FileUnreadable(f"Line {number} is longer than {longest:,} characters.", "Check where the lines end.")


def _broken(what: str) -> FileUnreadable:
    return FileUnreadable(f"{what}: what it was packed from cannot be had back.", "Pack it again with gzip.")
