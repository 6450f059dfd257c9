"""Memory stays flat whatever a file holds: measured on streams that are made while they are read."""

import itertools
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import pytest

from paddle_sync.usage.rows import BinaryStream, FileUnreadable
from tests.paddle_sync.usage import big_files
from tests.paddle_sync.usage.files import Made, opened

ROOT = Path(__file__).resolve().parents[3]
MIB = 1024 * 1024
MOST = 6 * MIB
"""The text of a row as long as allowed, twice, and the pieces around it."""


@pytest.mark.parametrize(
    ("kind", "rows"), [("csv", big_files.CSV_ROWS), ("list", big_files.ITEMS), ("lines", big_files.ITEMS)]
)
def test_300_megabytes_of_csv_and_a_million_items_take_no_more_memory_than_few(kind: str, rows: int) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", big_files.__name__, kind], cwd=ROOT, capture_output=True, text=True, check=True
    )

    read, grown = map(int, answer.stdout.split())
    assert read == rows
    assert grown < MOST // 1024


class Packed:
    """A gzip that holds one line for ever, made while it is read."""

    def __init__(self, line: bytes) -> None:
        packing = zlib.compressobj(9, zlib.DEFLATED, 31)
        self._made = Made(filter(None, (packing.compress(line * 1000) for _ in itertools.count())))

    def read(self, size: int, /) -> bytes:
        return self._made.read(size)


@pytest.mark.parametrize(
    ("stream", "word"),
    [
        (Packed(b"\0" * 1000), "is zero"),
        (Packed(b"uid,calls," + b"n" * 1000 + b"\n"), "200 times its size"),
        (Packed(b"x" * 1000), "longer than"),
        (Made(itertools.repeat(b"x" * MIB, 2048)), "longer than"),
        (Made(itertools.chain([b"uid,calls\n1,"], itertools.repeat(b"x" * MIB, 2048))), "longer than"),
        (Made(itertools.chain([b'uid,calls\n1,"'], itertools.repeat(b"x\n" * MIB, 1024))), "131,072 characters"),
        (Made(itertools.chain([b'{"uid":"'], itertools.repeat(b"x" * MIB, 2048))), "longer than"),
        (Made(itertools.chain([b'[{"uid":"'], itertools.repeat(b"x" * MIB, 2048))), "longer than"),
        (Made(itertools.chain([b"["], itertools.repeat(b"1" * MIB, 2048))), "longer than"),
        (Made(itertools.repeat(b"[" * MIB, 2048)), "nested"),
        (Made(itertools.repeat(b" " * MIB, 2048)), "nothing but spaces"),
        (Made([b",".join(b"column%d" % number for number in range(10_000)), b"\n", b"1," * 9_999 + b"1\n"]), "columns"),
        (Made([b",".join(b"column%d" % number for number in range(1_000_000)), b"\n"]), "longer than"),
    ],
    ids=[
        "zeros",
        "bomb",
        "bomb of one line",
        "line of 2 GB",
        "row of 2 GB",
        "cell of 2 GB",
        "item of 2 GB",
        "text of 2 GB",
        "number of 2 GB",
        "brackets",
        "spaces",
        "10,000 columns",
        "a million columns",
    ],
)
def test_what_would_fill_the_memory_ends_early(stream: BinaryStream, word: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FileUnreadable) as refusal:
            for _ in opened(stream).rows():
                pass
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert word in refusal.value.reason
    assert most < MOST
