"""Rejected rows as a file: nothing in it runs in a spreadsheet, and uploaded again it is what it was."""

import csv
import io
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from integration_project import spreadsheets
from paddle_sync.usage import rejects
from paddle_sync.usage.rejects import Rejected
from paddle_sync.usage.rows import FileRow, Problem
from paddle_sync.usage.suggesting import suggest
from tests.paddle_sync.usage.files import opened, read

PROBLEM = Problem("calls", '"1,5" is not a number in plain digits.', "Write 1.5.")
cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12) | st.sampled_from(
    ["=1+1", "-5", "'-5", "''=", "@x", "\tx", "\rx", "\nx", "'", '"', ",", "😀", " "]
)
columns_ = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Nd", "Z")), min_size=1, max_size=5),
    min_size=1,
    max_size=4,
    unique=True,
)


def written(columns: tuple[str, ...], *rejected: Rejected) -> bytes:
    return "".join(rejects.pieces(columns, rejected)).encode()


@given(columns_, st.data())
def test_rejected_rows_are_read_again_as_they_were(columns: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(cells, min_size=len(columns), max_size=len(columns)), min_size=1, max_size=5))
    values = [{column: cell for column, cell in zip(columns, row, strict=True) if cell} for row in rows]
    content = written(tuple(columns), *(Rejected(FileRow(7, each), [PROBLEM]) for each in values))

    file = opened(content)
    again = list(file.rows())

    assert file.is_rejects
    assert file.columns == tuple(columns)
    assert [row.values for row in again] == values
    assert all(row.problem is None or not row.values for row in again)
    for line in csv.reader(io.StringIO(content.decode(), newline="")):
        assert not any(cell[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") for cell in line if cell)


def test_row_column_and_reason_stand_to_the_right_in_an_operators_words() -> None:
    other = Problem("ts", "It does not say in which zone.", "Write Z.")
    whole = Problem("", "It is known already.", "Delete it.")

    content = written(("uid", "calls", "ts"), Rejected(FileRow(5, {"calls": "1,5"}), [PROBLEM, other, whole, PROBLEM]))

    table = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert table[0] == ["uid", "calls", "ts", "row", "column", "reason"]
    assert table[1][:5] == ["", "1,5", "", "5", "calls, ts"]
    assert table[1][5].startswith('"1,5" is not a number in plain digits. Write 1.5. It does not say in which zone.')
    assert "It is known already. Delete it." in table[1][5]


def test_cells_that_were_too_much_are_told_with_the_reason() -> None:
    row = read("uid,calls\ne1,1,5\n")[0]
    assert row.problem is not None

    content = written(("uid", "calls"), Rejected(row, [row.problem]))

    assert content.decode().endswith(' Too much: 5"\r\n')


def test_a_rejected_row_with_nothing_filled_in_is_no_blank_row() -> None:
    content = written(
        ("uid", "calls"), Rejected(FileRow(5, {}), [PROBLEM]), Rejected(FileRow(6, {"uid": "e"}), [PROBLEM])
    )

    rows = read(content)

    assert [(row.number, row.values, row.problem is None) for row in rows] == [(2, {}, False), (3, {"uid": "e"}, True)]
    assert rows[0].problem is not None
    assert "Nothing of this rejected row is filled in." in rows[0].problem.reason


def test_a_row_of_other_width_in_a_file_of_rejected_rows_is_told() -> None:
    rows = read("uid,calls,row,column,reason\ne1,1\ne2,1,5,calls,x,y,z\ne3,1,5,calls,x\n")

    assert [row.problem and row.problem.reason for row in rows] == [
        "It has 2 cells, and there are 5 columns.",
        "It has 7 cells, and there are 5 columns.",
        None,
    ]
    assert [row.values for row in rows] == [{"uid": f"e{number}", "calls": "1"} for number in (1, 2, 3)]
    assert [row.problem and row.problem.column for row in rows] == ["row", "reason", None]


def test_a_file_saved_by_a_spreadsheet_with_semicolons_is_a_file_of_rejected_rows_too() -> None:
    file = opened("\ufeffuid;calls;row;column;reason\r\ne1;'-5;2;calls;No.\r\n")

    assert file.columns == ("uid", "calls")
    assert [row.values for row in file.rows()] == [{"uid": "e1", "calls": "-5"}]


def test_apostrophes_of_another_file_are_left_alone() -> None:
    assert [row.values for row in read("uid,row\n'-5,'=1\n")] == [{"uid": "'-5", "row": "'=1"}]


def test_a_column_of_the_file_may_be_called_row() -> None:
    content = written(("row", "uid"), Rejected(FileRow(9, {"row": "1", "uid": "e"}), [PROBLEM]))

    assert [row.values for row in read(content)] == [{"row": "1", "uid": "e"}]


def test_an_item_of_json_is_laid_out_in_columns_that_a_layout_knows() -> None:
    item = {
        "paddle_subscription_id": "sub_1",
        "uid": "e1",
        "ts": "2026-02-03T10:15:00Z",
        "meter": "api_calls",
        "marks": ["correction", "after_end"],
        "values": {"calls": Decimal("-1.50"), "endpoint": "=x", "more": None},
        "odd": {"a": [True]},
    }
    columns = rejects.item_columns(["calls", "endpoint"])

    flat = rejects.flat(FileRow(3, item))
    file = opened(written(columns, Rejected(flat, [PROBLEM])))
    layout = suggest(file.columns, {"api_calls": ["calls", "endpoint"]})

    assert flat.values["odd"] == '{"a": [true]}'
    assert [layout.item(row.values) for row in file.rows()] == [
        {
            "paddle_subscription_id": "sub_1",
            "uid": "e1",
            "ts": "2026-02-03T10:15:00Z",
            "meter": "api_calls",
            "marks": ["correction", "after_end"],
            "values": {"calls": "-1.50", "endpoint": "=x"},
        }
    ]


def test_the_file_is_written_piece_by_piece() -> None:
    row = FileRow(5, {"uid": "e" * 100})

    parts = rejects.pieces(("uid",), (Rejected(row, [PROBLEM]) for _ in range(10_000)))

    assert max(map(len, parts)) < 2 * spreadsheets.PIECE
