"""Tables as files: no cell runs, every amount is exact, and any length takes the same memory."""

import csv
import io
import tracemalloc
from collections.abc import Sequence
from decimal import Decimal
from tempfile import TemporaryFile

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration_project import spreadsheets
from integration_project.spreadsheets import Cell

FORMULAS = ["=1+1", "+1", "-1", "@a", "\t=a", "\ra", "\na"]
texts = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from([*FORMULAS, "'=1", "''@", "'", 'a"b,c'])
amounts = st.decimals(min_value=-(10**12), max_value=10**12, allow_nan=False, places=2)


def as_csv(rows: Sequence[Sequence[Cell]], columns: Sequence[str] = ("A", "B")) -> list[list[str]]:
    text = "".join(spreadsheets.csv_pieces(columns, rows))
    return list(csv.reader(io.StringIO(text, newline="")))


def as_workbook(rows: Sequence[Sequence[Cell]], columns: Sequence[str] = ("A", "B")) -> openpyxl.Workbook:
    file = io.BytesIO()
    spreadsheets.write_xlsx(file, title="Rows", columns=columns, rows=rows)
    return openpyxl.load_workbook(file)


@given(st.lists(st.tuples(texts, amounts)))
def test_a_csv_table_holds_escaped_texts_and_exact_numbers(rows: list[tuple[str, Decimal]]) -> None:
    headings, *written = as_csv(rows)

    assert headings == ["A", "B"]
    assert [(spreadsheets.unescaped(text), Decimal(number)) for text, number in written] == rows
    assert [text for text, _ in written if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))] == []


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_begins_like_a_formula_is_text_in_every_file(text: str) -> None:
    (cell,) = as_csv([[text]], ["A"])[1]
    in_sheet = as_workbook([[text]], ["A"]).active["A2"]

    assert cell == f"'{text}"
    assert in_sheet.data_type == "s"
    assert in_sheet.value.startswith("'")


def test_a_negative_amount_stays_a_number() -> None:
    rows: list[list[Cell]] = [["credit", Decimal("-0.50")]]

    assert as_csv(rows)[1] == ["credit", "-0.50"]
    cell = as_workbook(rows).active["B2"]
    assert (cell.data_type, cell.value, cell.number_format) == ("n", -0.5, "0.00")


@pytest.mark.parametrize(
    ("amount", "data_type", "value", "number_format"),
    [
        (Decimal("143.40"), "n", 143.4, "0.00"),
        (Decimal(15400), "n", 15400, "0"),
        (Decimal("0.00"), "n", 0, "0.00"),
        (Decimal("9007199254740.99"), "n", 9007199254740.99, "0.00"),
        (Decimal("1234567890123.45"), "n", 1234567890123.45, "0.00"),
        (Decimal("-12345678901234.56"), "s", "-12345678901234.56", "General"),
    ],
)
def test_a_number_is_a_number_as_long_as_a_spreadsheet_keeps_all_of_it(
    amount: Decimal, data_type: str, value: object, number_format: str
) -> None:
    cell = as_workbook([["", amount]]).active["B2"]

    assert (cell.data_type, cell.value, cell.number_format) == (data_type, value, number_format)
    assert as_csv([["", amount]])[1][1] == f"{amount:f}"


def test_characters_that_no_sheet_may_hold_do_not_break_it() -> None:
    cell = as_workbook([["a\x0bb\x00c\u2028"]], ["A"]).active["A2"]

    assert cell.value == "a_x000B_b_x0000_c\u2028"  # as the format writes them; Excel shows the characters themselves


def test_what_a_sheet_cannot_hold_goes_on_on_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets, "ROWS_OF_A_SHEET", 3)

    book = as_workbook([[str(number)] for number in range(5)], ["A"])

    assert {sheet.title: [row[0] for row in sheet.values] for sheet in book} == {
        "Rows": ["A", "0", "1"],
        "Rows 2": ["A", "2", "3"],
        "Rows 3": ["A", "4"],
    }


def test_no_rows_make_a_file_of_headings() -> None:
    assert as_csv([]) == [["A", "B"]]
    assert list(as_workbook([]).active.values) == [("A", "B")]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_long_table_takes_no_more_memory_than_a_short_one(kind: str) -> None:
    short, long = memory(1_000, kind), memory(10_000, kind)

    assert long < short * 1.5


def memory(rows: int, kind: str) -> int:
    """The most memory that a table of so many rows takes at a time, beside the file itself."""
    cells = (("text" * 20, Decimal(number)) for number in range(rows))
    with TemporaryFile() as file:
        tracemalloc.start()
        try:
            if kind == "xlsx":
                spreadsheets.write_xlsx(file, title="Rows", columns=["A", "B"], rows=cells)
            else:
                for piece in spreadsheets.csv_pieces(["A", "B"], cells):
                    file.write(piece.encode())
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
