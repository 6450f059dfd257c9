"""CSV files: rows as they stand, numbered as people count, and what is wrong told with row and column."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_sync.usage.rows import FileRow, Format
from tests.paddle_sync.usage.files import Made, cut_into, opened, read, refused

cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12) | st.sampled_from(
    ['"', '""', "a\r\nb", "a\nb", "\r", "=1+1", "'=1", "a,b;c\td|e", "😀", " a ", "\ufeff", "\u2028", "1,5", "-5"]
)


def written(rows: list[list[str]], delimiter: str = ",", end: str = "\r\n", *, quoted: bool = False) -> bytes:
    file = io.StringIO()
    writer = csv.writer(
        file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    )
    writer.writerows(rows)
    return file.getvalue().encode()


@given(
    st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=8),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\r\n", "\n", "\r"]),
    st.booleans(),
    st.integers(2, 40),
)
def test_any_text_is_read_as_it_was_written(
    table: list[tuple[str, str, str]], delimiter: str, end: str, quoted: bool, step: int
) -> None:
    header = ["uid", "calls", "note"]
    # The standard library's writer leaves line breaks bare that are not its own.
    quoted = quoted or end != "\r\n"
    content = written([header, *map(list, table), ["last", "", ""]], delimiter, end, quoted=quoted)

    with cut_into(step):
        rows = read(content)

    expected = [dict(zip(header, row, strict=True)) for row in table] + [{"uid": "last"}]
    expected = [{column: cell for column, cell in row.items() if cell} for row in expected]
    assert [row.values for row in rows] == [row for row in expected if row]
    assert [row.number for row in rows] == [number for number, row in enumerate(expected, 2) if row]
    assert all(row.problem is None for row in rows)


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("a,b", ","),
        ("a;b", ";"),
        ("a\tb", "\t"),
        ("a|b", "|"),
        ('"x;y;z",b', ","),
        ("a;b;c,d", ";"),
        ('"a\n;;;",b', ","),
    ],
)
def test_the_delimiter_is_told_from_the_header_alone(header: str, delimiter: str) -> None:
    width = 3 if header == "a;b;c,d" else 2

    rows = read(f"{header}\n" + delimiter.join(["1;1,1|1\t1".replace(delimiter, "")] * width) + "\n")

    assert [len(row.values) for row in rows] == [width]
    assert rows[0].problem is None


def test_rows_are_numbered_as_a_spreadsheet_does_and_lines_are_told_where_they_differ() -> None:
    rows = read('uid,note\n1,"two\nlines"\n\n2,\n,\n3,x\n')

    assert [(row.number, row.line, row.place) for row in rows] == [
        (2, 2, "row 2"),
        (4, 5, "row 4 (line 5)"),
        (6, 7, "row 6 (line 7)"),
    ]
    assert rows[1] == FileRow(4, {"uid": "2"}, None, 5)


def test_a_byte_order_mark_and_spaces_around_names_do_not_belong_to_the_header() -> None:
    file = opened(b"\xef\xbb\xbfuid , calls\n1,2\n")

    assert (file.format, file.columns) == (Format.CSV, ("uid", "calls"))
    assert [row.values for row in file.rows()] == [{"uid": "1", "calls": "2"}]


def test_a_last_line_without_its_end_is_read() -> None:
    assert [row.values for row in read("uid,calls\n1,2")] == [{"uid": "1", "calls": "2"}]


# --- Rows that are wrong alone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "column", "reason", "surplus"),
    [
        ("1,2", "note", "It has 2 cells, and there are 3 columns.", ()),
        ("1", "calls", "It has 1 cells, and there are 3 columns.", ()),
        ("1,1,5,x,y", "note", "It has 5 cells, and there are 3 columns.", ("x", "y")),
        ('1,"a"b,c', "", "A quotation mark stands in the middle of a cell that begins with one.", ()),
        (f"1,2,{'x' * 101}", "note", "It has 101 characters, more than 100.", ()),
        ('1,2,"' + "x\n" * 60 + '"', "note", "It has 120 characters, more than 100.", ()),
    ],
)
def test_a_row_that_is_wrong_says_so_and_the_file_goes_on(
    line: str, column: str, reason: str, surplus: tuple[str, ...]
) -> None:
    rows = read(f"uid,calls,note\n{line}\n2,3,x\n", longest_field=100)

    assert [row.number for row in rows] == [2, 3]
    assert rows[0].problem is not None
    assert (rows[0].problem.column, rows[0].problem.reason, rows[0].surplus) == (column, reason, surplus)
    assert rows[0].problem.remedy.endswith(".")
    assert (rows[1].values, rows[1].problem) == ({"uid": "2", "calls": "3", "note": "x"}, None)


def test_cells_of_a_row_that_is_too_short_are_kept_to_be_given_back() -> None:
    assert read("uid,calls,note\n1,2\n")[0].values == {"uid": "1", "calls": "2"}


def test_a_row_too_long_over_several_lines_is_told() -> None:
    rows = read('uid,note,more\n1,"' + "x\n" * 40 + '","' + "y\n" * 40 + '"\n2,a,b\n', longest_row=100)

    assert [(row.number, row.problem and row.problem.reason) for row in rows] == [
        (2, "It is longer than 100 characters."),
        (3, None),
    ]


# --- Files that are wrong as a whole ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "row", "column", "word"),
    [
        ("", 0, "", "empty"),
        (" \r\n\n ", 0, "", "nothing but spaces"),
        ("uid,calls\n", 1, "", "no rows"),
        ("uid,calls", 1, "", "no rows"),
        ("uid,calls\n\n,\n", 1, "", "no rows"),
        ("uid,calls,uid\n1,2,3\n", 1, "uid", "Two columns"),
        ("uid,,calls\n1,2,3\n", 1, "2", "no name"),
        ("sub_1,e1,2026-02-03T10:15:00Z,5\nsub_2,e2,2026-02-03T10:15:00Z,5\n", 1, "3", "header is missing"),
        ("sub_1,17.5\nsub_2,3\n", 1, "2", "header is missing"),
        ("\nuid,calls\n1,2\n", 1, "", "header is missing"),
        ('uid,calls\n1,2\n2,"3\n3,4\n', 3, "", "nothing closes it"),
        ('uid,"calls\n1,2\n', 1, "", "nothing closes it"),
        ('uid,"ca"lls\n1,2\n', 1, "", "middle of a cell"),
        (",".join(f"c{number}" for number in range(10_000)) + "\n1\n", 1, "", "10,000 columns"),
    ],
)
def test_what_makes_a_file_unreadable_is_told_with_row_and_column(
    content: str, row: int, column: str, word: str
) -> None:
    _, problem = refused(content)

    assert (problem.row, problem.column) == (row, column)
    assert word in problem.reason
    assert str(problem).startswith(f"row {row}" if row else "the file")


def test_a_header_that_is_never_closed_is_told_with_its_line() -> None:
    _, problem = refused('uid,"calls\n1,2\n')

    assert "(line 1)" in problem.reason


def test_rows_before_a_quotation_mark_that_is_never_closed_were_given() -> None:
    numbers, problem = refused('uid,calls\n1,2\n2,"3\n3,4\n')

    assert (numbers, problem.row) == ([2], 3)
    assert "(line 3)" in problem.reason


def test_a_long_cell_whose_mark_is_never_closed_ends_the_reading_early() -> None:
    stream = Made([b'uid,calls\n1,2\n2,"', *[b"3,4\n" * 1000] * 1000])

    numbers, problem = refused(stream)

    assert (numbers, problem.row) == ([2], 3)
    assert "131,072 characters" in problem.reason
    assert stream.given < 1_000_000


def test_a_row_that_goes_on_for_ever_over_short_lines_is_not_kept() -> None:
    stream = Made([b"uid,calls\n1,", *[b'"\n",' * 1000] * 1000])

    numbers, problem = refused(stream)

    assert (numbers, problem.row) == ([], 2)
    assert "over several lines" in problem.reason
    assert stream.given < 1_000_000


def test_a_line_that_never_ends_is_not_kept() -> None:
    stream = Made([b"uid,calls\n1,2\n3,", *[b"4" * 4096] * 1000])

    numbers, problem = refused(stream)

    assert (numbers, problem.row) == ([2], 3)
    assert "Line 3 is longer than 262,144 characters" in problem.reason
    assert stream.given < 500_000


def test_a_long_line_within_a_piece_is_named() -> None:
    _, problem = refused("uid,calls\n1,2\n3," + "4" * 200 + "\n5,6\n", longest_row=100, longest_field=100)

    assert "Line 3 is longer than 100 characters" in problem.reason


# --- Going on, and previews -------------------------------------------------------------------------------------------


def test_reading_goes_on_after_a_row_with_the_same_numbers() -> None:
    content = 'uid,note\n1,"a\nb"\n2,"x"y\n3,c\n4,d\n'
    rows = read(content)

    for skip in range(7):
        assert list(opened(content).rows(skip)) == [row for row in rows if row.number > skip]


def test_a_preview_loses_no_row() -> None:
    content = "uid,note\n1,a\n2\n3,c\n4,d\n"
    file = opened(content)

    first, again = file.peek(2), file.peek(3)

    assert [row.number for row in first] == [2, 3]
    assert [row.number for row in again] == [2, 3, 4]
    assert list(file.rows()) == read(content)


def test_a_preview_of_a_short_file_is_all_of_it_and_rows_may_be_skipped_after_it() -> None:
    file = opened("uid\na\nb\n")

    assert [row.number for row in file.peek(10)] == [2, 3]
    assert [row.number for row in file.rows(2)] == [3]


def test_a_preview_tells_what_ends_the_file_and_so_do_the_rows_after_it() -> None:
    content = 'uid,note\n1,a\n2,"b\n'
    _, problem = refused(content)
    file = opened(content)

    for _ in range(2):
        with pytest.raises(type(problem), match="nothing closes it"):
            file.peek(2)
    rows = file.rows()
    assert next(rows).number == 2
    with pytest.raises(type(problem), match="nothing closes it"):
        next(rows)


def test_how_far_the_file_was_read_is_known() -> None:
    content = b"uid,note\n" + b"1,a\n" * 100_000
    file = opened(content)

    begun = file.bytes_read
    for _ in file.rows():
        pass

    assert 0 < begun < len(content)
    assert file.bytes_read == file.bytes_unpacked == len(content)
