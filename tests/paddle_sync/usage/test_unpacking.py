"""Bytes of files: gzip in all its shapes, bombs, and text that is not UTF-8, told with its line and byte."""

import gzip
import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_sync.usage.rows import FileUnreadable, Limits
from paddle_sync.usage.unpacking import PIECE
from tests.paddle_sync.usage.files import Made, cut_into, opened, read, refused

CSV = b"uid,calls\n1,2\n3,4\n"
ROWS = [{"uid": "1", "calls": "2"}, {"uid": "3", "calls": "4"}]


@pytest.mark.parametrize("size", [2, 3, 5, 7, 65_536])
@pytest.mark.parametrize(
    ("content", "name"),
    [
        (gzip.compress(CSV), "usage.csv.gz"),
        (gzip.compress(CSV), "usage.csv"),
        (gzip.compress(CSV[:9]) + gzip.compress(b"") + gzip.compress(CSV[9:]), "usage"),
        (gzip.compress(CSV) + b"\0" * 20, "usage"),
        (gzip.compress(b"\xef\xbb\xbf" + CSV), "usage"),
        (gzip.compress(b'[{"uid":"1","calls":"2"},{"uid":"3","calls":"4"}]'), "usage.json.gz"),
        (gzip.compress(b'{"uid":"1","calls":"2"}\n{"uid":"3","calls":"4"}\n'), "usage.jsonl.gz"),
    ],
    ids=["named", "not named", "members", "zeros", "mark", "list", "lines"],
)
def test_gzip_is_told_by_its_first_bytes_and_may_have_several_members(content: bytes, name: str, size: int) -> None:
    with cut_into(size):
        assert [row.values for row in read(content, name)] == ROWS


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (gzip.compress(CSV)[:-1], "ends in the middle"),
        (gzip.compress(CSV)[:-9], "ends in the middle"),
        (gzip.compress(CSV)[:12], "ends in the middle"),
        (gzip.compress(CSV) + b"rubbish", "follows its end"),
        (gzip.compress(CSV) + b"\x1f", "follows its end"),
        (gzip.compress(CSV)[:-8] + b"\0" * 8, "damaged"),
        (gzip.compress(CSV)[:15] + b"\xff\xff" + gzip.compress(CSV)[17:], "damaged"),
        (gzip.compress(gzip.compress(CSV)), "gzip twice"),
    ],
    ids=["last byte", "checksum", "middle", "rubbish", "half a sign", "wrong checksum", "changed", "twice"],
)
def test_a_broken_gzip_is_refused(content: bytes, word: str) -> None:
    _, problem = refused(content)

    assert word in problem.reason


def test_rows_before_the_break_of_a_gzip_were_given_and_the_next_one_is_named() -> None:
    numbers, problem = refused(gzip.compress(b"uid,calls\n" + b"1,2\n" * 100_000)[:-5])

    assert numbers == list(range(2, 100_002))
    assert problem.row == 100_002


def test_a_zip_bomb_ends_after_a_few_megabytes() -> None:
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    line = b"%0200d,2\n" % 1
    packed = b"".join([packing.compress(b"uid,calls\n"), *(packing.compress(line * 5000) for _ in range(50))])
    file = opened(packed + packing.flush())

    with pytest.raises(FileUnreadable, match="more than 200 times its size"):
        for _ in file.rows():
            pass
    assert file.bytes_unpacked <= PIECE * (Limits().greatest_ratio + 1)


def test_a_bomb_of_empty_members_ends() -> None:
    stream = Made([gzip.compress(b"uid,calls\n1,2\n"), *[gzip.compress(b"") * 1000] * 1000])

    _, problem = refused(stream)

    assert "too many small parts" in problem.reason
    assert stream.given < 1_000_000


def test_many_members_of_a_fair_size_are_read() -> None:
    rows = [f"{number},{number * 7919 % 10_007}\n" for number in range(300_000)]
    parts = ["uid,calls\n", *("".join(rows[at : at + 200]) for at in range(0, len(rows), 200))]

    packed = b"".join(gzip.compress(part.encode(), 1) for part in parts)

    assert sum(1 for _ in opened(packed).rows()) == 300_000


def test_a_cell_may_not_be_allowed_to_be_longer_than_csv_reads_them() -> None:
    with pytest.raises(ValueError, match="longest_field"):
        Limits(longest_field=131_072)


def test_a_file_of_more_bytes_than_allowed_ends_there_packed_or_not() -> None:
    content = b"uid,calls\n" + b"".join(b"%d,%d\n" % (number, number * 7919 % 10_007) for number in range(50_000))

    for shape in (content, gzip.compress(content)):
        numbers, problem = refused(shape, most_bytes=200_000)
        assert "more than 200,000 bytes" in problem.reason
        assert 0 < len(numbers) < 50_000


def test_a_stream_that_never_ends_ends_at_the_limit() -> None:
    numbers, problem = refused(Made(itertools.chain([b"uid,calls\n"], itertools.repeat(b"1,2\n"))), most_bytes=500_000)

    assert len(numbers) == problem.row - 2
    assert "more than 500,000 bytes" in problem.reason


# --- Text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "byte", "line"),
    [
        ("uid,note\n1,café\n".encode("latin-1"), 15, 2),
        ("uid,note\n1,a\n2,Ã\x81€\n".encode("cp1252", "replace"), 16, 3),
        (b"uid,note\n1,a\n2,b\0\n", 17, 3),
        (b"uid,note\n1,a\n2,\xc3", 16, 3),
        (b"uid,note\n1,\xed\xa0\x80\n", 12, 2),
        (b"\xef\xbb\xbfuid,note\n1,\xff\n", 15, 2),
        ("uid,note\n1,a\n".encode("utf-16-le"), 2, 1),
        (b'[{"uid":"\xff"}]', 10, 1),
    ],
)
@pytest.mark.parametrize("size", [2, 5, 65_536])
def test_what_is_not_utf8_is_told_with_line_and_byte(content: bytes, byte: int, line: int, size: int) -> None:
    with cut_into(size):
        _, problem = refused(content)

    assert problem.reason.startswith(f"Byte {byte} of the file, in row (line) {line}, is ")
    assert problem.remedy.startswith("Save it as UTF-8")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("mark", ["le", "be"])
def test_a_byte_order_mark_of_another_encoding_is_told(encoding: str, mark: str) -> None:
    content = "\ufeffuid,note\n1,a\n".encode(f"{encoding}-{mark}")

    _, problem = refused(content)

    assert problem.reason == f"It is {encoding.upper()}, from byte 1 of row (line) 1 on."
    assert problem.remedy.startswith("Save it as UTF-8")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"PK\x03\x04....", "spreadsheet"),
        (b"\xd0\xcf\x11\xe0....", "old kind"),
        (b"BZh91AY", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"(\xb5/\xfd....", "zstd"),
        (b"PAR1....", "Parquet"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_other_kinds_of_files_are_told_by_their_first_bytes(content: bytes, word: str) -> None:
    _, problem = refused(content)

    assert word in problem.reason


@given(st.integers(0, 200), st.integers(2, 50))
def test_rows_before_a_bad_byte_are_the_same_wherever_the_file_is_cut(good: int, size: int) -> None:
    content = b"uid,note\n" + "1,é\n".encode() * good + b"1,\xff\n" + b"1,a\n" * 5

    with cut_into(size):
        numbers, problem = refused(content)

    assert numbers == list(range(2, good + 2))
    assert problem.row == good + 2
    assert f"row (line) {good + 2}" in problem.reason
