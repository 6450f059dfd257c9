"""JSON and JSON Lines files: items exactly as written, each wrong one told with its name, and bounded memory."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration_project.vendors import exact_json
from paddle_sync.usage.rows import FileRow, Format
from tests.paddle_sync.usage.files import Made, cut_into, opened, read, refused

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
numbers = st.integers(-(10**29), 10**29) | st.decimals(-(10**9), 10**9, places=6)
items = st.dictionaries(
    texts, texts | numbers | st.booleans() | st.none() | st.dictionaries(texts, numbers, max_size=3)
)


def same(found: Any, written: Any) -> bool:
    """Compare values with their types, since True equals 1."""
    if isinstance(written, dict):
        return found.keys() == written.keys() and all(same(found[key], written[key]) for key in written)
    if isinstance(written, Decimal):
        return type(found) in (int, Decimal) and found == written
    return type(found) is type(written) and found == written


@given(st.lists(items, min_size=1, max_size=6), st.sampled_from(["list", "wrapped", "lines"]), st.integers(2, 40))
def test_items_are_read_exactly_as_written(written: list[dict[str, Any]], shape: str, size: int) -> None:
    each = [exact_json.encode(item) for item in written]
    content = {
        "list": b"[\n" + b" ,\n".join(each) + b"]\n",
        "wrapped": b' {\n "measurements" : [' + b" " * 9 + b",".join(each) + b"]}",
        "lines": b"\n".join(each),
    }[shape]

    with cut_into(size):
        rows = read(content, "usage.jsonl" if shape == "lines" else "usage.json")

    assert [row.number for row in rows] == list(range(1, len(written) + 1))
    assert [row.problem for row in rows] == [None] * len(written)
    assert all(same(row.values, item) for row, item in zip(rows, written, strict=True))


@pytest.mark.parametrize(
    ("content", "name", "format_"),
    [
        ('[{"uid":"1"}]', "usage", Format.JSON),
        ('[{"uid":"1"}]', "usage.csv", Format.JSON),
        ('[{"uid":"1"}]', "usage.jsonl", Format.JSON),
        ('\n {"measurements":[{"uid":"1"}]}', "usage.txt", Format.JSON),
        ('{"uid":"1"}', "usage", Format.JSON_LINES),
        ('{"uid":"1"}', "usage.json", Format.JSON_LINES),
        ('{"uid":"1"}', "usage.csv", Format.JSON_LINES),
        ('\n{"uid":"1"}\n', "usage.ndjson", Format.JSON_LINES),
        ("uid\n1\n", "usage", Format.CSV),
        ("uid\n1\n", "usage.txt", Format.CSV),
    ],
)
def test_the_format_is_told_by_the_content(content: str, name: str, format_: Format) -> None:
    file = opened(content, name)

    assert file.format is format_
    assert [row.values for row in file.rows()] == [{"uid": "1"}]


def test_a_name_says_lines_where_the_content_leaves_it_open() -> None:
    rows = read('oops\n[1]\n{"uid":"1"}\n', "usage.jsonl")

    assert [(row.number, row.problem is None) for row in rows] == [(1, False), (2, False), (3, True)]


# --- Items that are wrong alone ---------------------------------------------------------------------------------------

WRONG = [
    ("17", "", "It is not an object."),
    ("null", "", "It is not an object."),
    ('"x"', "", "It is not an object."),
    ("[]", "", "It is not an object."),
    ('{"uid":"1","uid":"2"}', "uid", "This name stands twice in one object."),
    ('{"values":{"calls":1,"calls":1}}', "values.calls", "This name stands twice in one object."),
    ('{"values":{"calls":NaN}}', "values.calls", "NaN is no finite number."),
    ('{"values":{"calls":-Infinity}}', "values.calls", "-Infinity is no finite number."),
    ('{"values":{"calls":1e999999999}}', "values.calls", "The number has too many digits, or too large an exponent."),
    ('{"values":{"calls":0E-999999999}}', "values.calls", "The number has too many digits, or too large an exponent."),
    ('{"calls":1e99999999999999999999}', "calls", "The number has too many digits, or too large an exponent."),
    ('{"calls":1e31}', "calls", "The number has too many digits, or too large an exponent."),
    ('{"calls":' + "9" * 31 + "}", "calls", "The number has too many digits, or too large an exponent."),
    ('{"calls":' + "9" * 5000 + "}", "calls", "The number has too many digits, or too large an exponent."),
    ('{"calls":0.' + "3" * 5000 + "}", "calls", "The number has too many digits, or too large an exponent."),
    ('{"marks":["a",NaN]}', "marks[2]", "NaN is no finite number."),
    ('{"uid":"\\ud800"}', "uid", "It holds a character that no text may hold."),
    ('{"uid":"\\u0000"}', "uid", "It holds a character that no text may hold."),
    ('{"a\\u0000":1}', "a\ufffd", "It holds a character that no text may hold."),
    ('{"a":[[[[[[[[1]]]]]]]]}', "", "Its objects and lists are nested more than 8 deep."),
    ('{"uid":"' + "x" * 2000 + '"}', "", "It is longer than 2,000 characters."),
]


@pytest.mark.parametrize(("item", "column", "reason"), WRONG)
@pytest.mark.parametrize("shape", ["list", "lines"])
def test_an_item_that_is_wrong_says_so_and_the_file_goes_on(item: str, column: str, reason: str, shape: str) -> None:
    longest = {"longest_row": 2000} if "longer than" in reason else {}
    is_list = shape == "list"
    good = '{"uid":"2"}'
    content = f"[{good},{item},{good}]" if is_list else f"{good}\n{item}\n{good}\n"
    if longest and not is_list:
        # A line is not kept beyond the limit, so nothing is known of those after it.
        numbers, _ = refused(content, "usage.jsonl", **longest)
        assert numbers in ([], [1])
        return

    rows = read(content, "usage.jsonl" if not is_list else "usage.json", **longest)

    assert [row.number for row in rows] == [1, 2, 3]
    problem = rows[1].problem
    assert problem is not None
    assert (problem.column, problem.reason) == (column, reason)
    assert problem.remedy.endswith(".")
    assert json.dumps(rows[1].values, default=str)
    assert rows[0] == FileRow(1, {"uid": "2"})
    assert rows[2] == FileRow(3, {"uid": "2"})


def test_what_is_right_of_a_wrong_item_is_there_to_be_given_back() -> None:
    rows = read('[{"uid":"a\\u0000","values":{"calls":1e99,"cost":1.50,"more":NaN},"marks":["x",1e99]}]')

    assert rows[0].values == {
        "uid": "a\ufffd",
        "values": {"calls": "1e99", "cost": Decimal("1.50"), "more": "NaN"},
        "marks": ["x", "1e99"],
    }


def test_text_beyond_the_plane_written_with_escapes_is_text() -> None:
    assert read('[{"uid":"\\ud83d\\ude00\\n"}]')[0] == FileRow(1, {"uid": "😀\n"})


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('{"uid":"1"', "at character 11"),
        ("{'uid':1}", "at character 2"),
        ('{"uid":"1"} {"uid":"2"}', "follows the item at character 12"),
        ('{"uid":01}', "It is no JSON"),
        ('{"uid":"a\tb"}', "It is no JSON"),
        ("[" * 100_000, "nested"),
    ],
)
def test_a_line_that_is_no_json_says_where_and_the_file_goes_on(line: str, word: str) -> None:
    rows = read(f'{{"uid":"1"}}\n\n{line}\n{{"uid":"2"}}\n', "usage.jsonl")

    assert [row.number for row in rows] == [1, 3, 4]
    assert rows[1].problem is not None
    assert word in rows[1].problem.reason
    assert (rows[0].problem, rows[2].problem) == (None, None)


def test_a_line_that_is_no_json_does_not_taint_the_next() -> None:
    rows = read('{"uid":NaN\n{"uid":"\\u0041"}\n', "usage.jsonl")

    assert [row.problem is None for row in rows] == [False, True]


# --- Files that are wrong as a whole ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "given_", "row", "word"),
    [
        ("[]", 0, 0, "no items"),
        ('{"measurements":[]}', 0, 0, "no items"),
        ("[", 0, 1, "ends in the middle"),
        ('[{"uid":"1"},{"uid":"2', 1, 2, "ends in the middle"),
        ('[{"uid":"1"},{"uid":', 1, 2, "ends in the middle"),
        ('[{"uid":"1"}', 1, 1, "Neither a comma nor ]"),
        ('[{"uid":"1"} {"uid":"2"}]', 1, 1, "Neither a comma nor ]"),
        ('[{"uid":"1"},]', 1, 2, "It is no JSON"),
        ('[{"uid":"1"},\n{uid:2}]', 1, 2, "(line 2)"),
        ('[{"uid":"1"}]\n x', 1, 1, "follows the end of the list (line 2)"),
        ('[{"uid":"1"}][]', 1, 1, "follows the end of the list"),
        ('{"measurements":[{"uid":"1"}],"more":1}', 1, 1, 'beside "measurements"'),
        ('{"measurements":[{"uid":"1"}]', 1, 1, "ends too soon"),
        ('{"measurements":[{"uid":"1"}]}}', 1, 1, "follows the end"),
        ("[" * 100_000, 0, 1, "nested"),
        ('{\n"uid":"1"}', 0, 1, 'its first name is not "measurements"'),
    ],
)
def test_what_makes_a_list_unreadable_is_told_with_the_item(content: str, given_: int, row: int, word: str) -> None:
    numbers_, problem = refused(content, "usage.json")

    assert numbers_ == list(range(1, given_ + 1))
    assert problem.row == row
    assert word in problem.reason


@pytest.mark.parametrize(
    ("content", "name", "word"),
    [
        ("uid,calls\n1,2\n", "usage.json", "Its name says JSON"),
        ('{"version":1,\n"measurements":[]}', "usage.json", "its first name is not"),
    ],
)
def test_a_name_that_the_content_belies_is_told(content: str, name: str, word: str) -> None:
    _, problem = refused(content, name)

    assert word in problem.reason


@pytest.mark.parametrize("beginning", ['{"uid":"', '{"a":', "[", "17", '{"a":[1,'])
def test_an_item_that_never_ends_is_not_kept(beginning: str) -> None:
    stream = Made([b'[{"uid":"1"},', beginning.encode(), *[b"1" * 4096] * 1000])

    numbers_, problem = refused(stream)

    assert numbers_ == [1]
    assert problem.row == 2
    assert "longer than 262,144 characters" in problem.reason
    assert stream.given < 1_000_000


def test_a_line_of_json_that_never_ends_is_not_kept() -> None:
    stream = Made([b'{"uid":"1"}\n{"uid":"', *[b"1" * 4096] * 1000])

    numbers_, problem = refused(stream)

    assert (numbers_, problem.row) == ([1], 2)
    assert stream.given < 1_000_000


@pytest.mark.parametrize(
    "content",
    [
        '[{"uid":"1"},{"uid":NaN},{"uid":"3"},4,{"uid":"5"}]',
        '{"uid":"1"}\n{"uid":NaN}\n\noops\n{"uid":"5"}\n',
    ],
)
def test_reading_goes_on_after_an_item_with_the_same_numbers(content: str) -> None:
    rows = read(content)

    for skip in range(6):
        assert list(opened(content).rows(skip)) == [row for row in rows if row.number > skip]


def test_the_line_of_what_is_wrong_is_told_however_far_down_it_is() -> None:
    content = "[\n\n" + '{"uid":"1"},\n' * 50_000 + "{uid:2}]"

    numbers_, problem = refused(content)

    assert (len(numbers_), problem.row) == (50_000, 50_001)
    assert problem.reason.endswith("(line 50003).")


@pytest.mark.parametrize("content", ['[{"uid":"1"},{"uid":"2"},{"uid":"3"}]', '{"uid":"1"}\n{"uid":"2"}\n{"uid":"3"}'])
def test_a_preview_of_items_loses_none(content: str) -> None:
    file = opened(content)

    assert [row.number for row in file.peek(2)] == [1, 2]
    assert file.columns == ()
    assert [row.number for row in file.rows()] == [1, 2, 3]
