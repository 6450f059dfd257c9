"""Mappings as a file: read back exactly as written, matched to another environment, refused with row and column."""

import csv
import datetime as dt
import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from integration_project import clock
from integration_project.errors import NotPossible
from paddle_sync import mapping_files, promoting
from paddle_sync.mapping_files import COLUMNS, DECISIVE, FileRefused
from paddle_sync.models import CatalogueEntry, PlanMapping, WebhookEvent
from tests.builders import make_event, make_mapping, subscription

Kind = CatalogueEntry.Kind
GOOD = {
    "paddle_price_id": "pri_1",
    "effective_from": "2026-01-31",
    "target": "plan",
    "m3ter_plan_id": "plan-1",
    "metering_starts": "creation",
    "quantity_use": "ignored",
}
LIVE_PRICE = {"paddle_name": "Cloud, Monthly", "paddle_currency": "EUR", "paddle_interval": "every month"}


def entry(kind: Kind, vendor_id: str, name: str, **values: Any) -> CatalogueEntry:
    return CatalogueEntry.objects.create(kind=kind, vendor_id=vendor_id, name=name, seen_at=clock.now(), **values)


@pytest.fixture
def live(db: None) -> None:
    """What both vendors list in this environment."""
    entry(Kind.PADDLE_PRODUCT, "pro_1", "Cloud")
    entry(Kind.PADDLE_PRICE, "pri_1", "Cloud, Monthly", parent_id="pro_1", currency="EUR", interval="every month")
    entry(Kind.PADDLE_PRICE, "pri_2", "Cloud, Monthly", parent_id="pro_1", currency="USD", interval="every month")
    entry(Kind.M3TER_PLAN, "plan-1", "Scale", code="scale", parent_id="product-1", currency="EUR")
    entry(Kind.M3TER_PLAN_GROUP, "group-1", "All", code="all")
    entry(Kind.M3TER_COUNTER, "counter-1", "Seats", code="seats")


def full(values: Mapping[str, str]) -> dict[str, str]:
    return {column: values.get(column, "") for column in COLUMNS}


def table(*rows: Mapping[str, str]) -> bytes:
    return mapping_files.write_csv(map(full, rows)).encode()


def problems(content: bytes) -> list[tuple[int, str]]:
    before = list(PlanMapping.objects.values())
    with pytest.raises(FileRefused) as refused:
        promoting.compare(content)
    assert list(PlanMapping.objects.values()) == before
    assert all(problem.text.endswith(".") for problem in refused.value.problems)
    return [(problem.row, problem.column) for problem in refused.value.problems]


def apply(content: bytes, reason: str = "promoted") -> promoting.Applied:
    fingerprint = promoting.compare(content).fingerprint
    return promoting.apply(content, fingerprint=fingerprint, by="anna", reason=reason)


# --- Round trip -------------------------------------------------------------------------------------------------------

cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20) | st.sampled_from(
    ["=1+1", "+1", "-1", "@a", "\ta", "\ra", "\na", "'=1", "''@", "'", '"', "a,b", "a\r\nb", "\ufeff", " a "]
)


@given(
    st.lists(
        st.fixed_dictionaries(dict.fromkeys(COLUMNS, cells)).filter(lambda row: any(v.strip() for v in row.values()))
    )
)
def test_what_is_written_is_read_back_exactly(rows: list[dict[str, str]]) -> None:
    for write in (mapping_files.write_csv, mapping_files.write_json):
        read = mapping_files.read(write(rows).encode())

        assert [dict(row.values) for row in read] == rows


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, cells)), min_size=1))
def test_no_cell_of_a_table_begins_like_a_formula(rows: list[dict[str, str]]) -> None:
    text = mapping_files.write_csv(rows)

    written = list(csv.reader(StringIO(text, newline="")))
    assert [cell for row in written for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
    assert len(written) == len(rows) + 1


kept = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30)
stored = st.fixed_dictionaries(
    {
        "paddle_price_id": kept,
        "effective_from": st.dates(),
        "target": st.sampled_from(["plan", "plan_group", "not_metered"]),
        "goal": kept,
        "metering_starts": st.sampled_from(["creation", "trial_end"]),
        "quantity_use": st.sampled_from(["ignored", "custom_field", "counter"]),
        "place": kept,
        "note": kept | cells,
    }
)


@pytest.mark.django_db
@given(st.lists(stored, max_size=4, unique_by=lambda row: (row["paddle_price_id"], row["effective_from"])))
def test_whatever_is_stored_an_export_imported_again_is_no_difference(rows: list[dict[str, Any]]) -> None:
    PlanMapping.objects.all().delete()
    for row in rows:
        goal, place = row.pop("goal"), row.pop("place")
        use = row["quantity_use"] = "ignored" if row["target"] == "not_metered" else row["quantity_use"]
        PlanMapping.objects.create(
            **row,
            m3ter_plan_id=goal if row["target"] == "plan" else "",
            m3ter_plan_group_id=goal if row["target"] == "plan_group" else "",
            quantity_field=place if use == "custom_field" else "",
            m3ter_counter_id=place if use == "counter" else "",
        )

    for write in (mapping_files.write_csv, mapping_files.write_json):
        difference = promoting.compare(write(promoting.exported()).encode())

        assert (difference.added, difference.changed, difference.left_alone) == ((), (), 0)
        assert len(difference.unchanged) == len(rows)


@pytest.mark.django_db
@pytest.mark.parametrize("write", [mapping_files.write_csv, mapping_files.write_json])
def test_an_export_imported_again_changes_nothing(live: None, write: Any) -> None:
    make_mapping("pri_1", plan="plan-1", note="=SUM(A1)")
    make_mapping("pri_never_listed", plan="plan-never-listed", note="'+1\r\n\tnext")
    make_mapping(product="pro_1", target="not_metered", plan="", m3ter_product="")
    make_mapping(
        "pri_2", plan="plan-1", quantity_use="counter", m3ter_counter_id="counter-1", metering_starts="trial_end"
    )
    make_mapping(
        "pri_1", effective_from=dt.date(2026, 2, 1), target="plan_group", plan="", m3ter_plan_group_id="group-1"
    )

    difference = promoting.compare(write(promoting.exported()).encode())

    assert (difference.added, difference.changed, len(difference.unchanged), difference.left_alone) == ((), (), 5, 0)


# --- Matching ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_sandbox_mapping_is_found_by_exact_name_and_code_where_its_ids_mean_nothing(live: None) -> None:
    row = {
        **GOOD,
        **LIVE_PRICE,
        "paddle_price_id": "pri_sandbox",
        "m3ter_plan_id": "plan-sandbox",
        "m3ter_code": "scale",
    }
    counted = {"quantity_use": "counter", "m3ter_counter_id": "counter-sandbox", "m3ter_counter_code": "seats"}

    applied = apply(table({**row, **counted}))

    (mapping,) = applied.added
    assert (mapping.paddle_price_id, mapping.m3ter_plan_id, mapping.m3ter_product_id) == (
        "pri_1",
        "plan-1",
        "product-1",
    )
    assert (mapping.quantity_use, mapping.m3ter_counter_id) == ("counter", "counter-1")
    assert PlanMapping.objects.get().pk == mapping.pk


@pytest.mark.django_db
def test_the_difference_says_by_what_each_row_was_recognised(live: None) -> None:
    row = {**GOOD, **LIVE_PRICE, "paddle_price_id": "pri_sandbox", "m3ter_code": "scale"}

    (change,) = promoting.compare(table(row)).added

    assert change.matched == "Paddle by its name: pri_sandbox is pri_1 here; m3ter by id"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"paddle_price_id": "pri_no"}, "paddle_price_id"),
        ({**LIVE_PRICE, "paddle_price_id": "pri_no", "paddle_currency": "JPY"}, "paddle_price_id"),
        ({**LIVE_PRICE, "paddle_price_id": "pri_no", "paddle_name": "cloud, monthly"}, "paddle_price_id"),
        ({"m3ter_plan_id": "plan-no"}, "m3ter_plan_id"),
        ({"m3ter_plan_id": "plan-no", "m3ter_code": "all"}, "m3ter_plan_id"),
        ({"m3ter_plan_id": "group-1"}, "m3ter_plan_id"),
        ({"quantity_use": "counter", "m3ter_counter_id": "no"}, "m3ter_counter_id"),
    ],
)
def test_what_is_not_known_here_is_refused(live: None, changes: dict[str, str], column: str) -> None:
    assert problems(table(GOOD | {"paddle_price_id": "pri_2"}, {**GOOD, **changes})) == [(3, column)]


@pytest.mark.django_db
def test_a_name_that_two_prices_have_is_no_match(live: None) -> None:
    entry(Kind.PADDLE_PRICE, "pri_3", "Cloud, Monthly", currency="EUR", interval="every month")

    assert problems(table({**GOOD, **LIVE_PRICE, "paddle_price_id": "pri_no"})) == [(2, "paddle_price_id")]


@pytest.mark.django_db
def test_a_price_no_longer_sold_is_not_matched_by_name(live: None) -> None:
    CatalogueEntry.objects.filter(vendor_id="pri_1").update(active=False)

    assert problems(table({**GOOD, **LIVE_PRICE, "paddle_price_id": "pri_no"})) == [(2, "paddle_price_id")]


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"paddle_price_id": ""}, "paddle_price_id"),
        ({"paddle_product_id": "pro_1"}, "paddle_price_id"),
        ({"effective_from": ""}, "effective_from"),
        ({"effective_from": "31.01.2026"}, "effective_from"),
        ({"effective_from": "2026-02-30"}, "effective_from"),
        ({"effective_from": "20260131"}, "effective_from"),
        ({"target": ""}, "target"),
        ({"target": "Plan"}, "target"),
        ({"target": "plan_group"}, "m3ter_plan_id"),
        ({"target": "not_metered"}, "m3ter_plan_id"),
        ({"m3ter_plan_id": ""}, "m3ter_plan_id"),
        ({"m3ter_plan_group_id": "group-1"}, "m3ter_plan_group_id"),
        ({"metering_starts": "soon"}, "metering_starts"),
        ({"quantity_use": "doubled"}, "quantity_use"),
        ({"quantity_use": "custom_field"}, "quantity_field"),
        ({"quantity_use": "counter"}, "m3ter_counter_id"),
        ({"quantity_field": "seats"}, "quantity_field"),
        ({"m3ter_counter_id": "counter-1"}, "m3ter_counter_id"),
        ({"quantity_use": "custom_field", "quantity_field": "x" * 81}, "quantity_field"),
        ({"note": "x" * 301}, "note"),
        ({"note": "a\x00b"}, "note"),
    ],
)
def test_one_wrong_row_refuses_the_whole_file(live: None, changes: dict[str, str], column: str) -> None:
    found = problems(table({**GOOD, "paddle_price_id": "pri_2"}, {**GOOD, **changes}))

    assert {row for row, _ in found} == {3}
    assert column in {name for _, name in found}


@pytest.mark.django_db
def test_not_metered_has_no_use_for_a_quantity(live: None) -> None:
    row = {"paddle_price_id": "pri_1", "effective_from": "2026-01-31", "target": "not_metered"}

    assert problems(table({**row, "quantity_use": "custom_field", "quantity_field": "seats"})) == [(2, "quantity_use")]


@pytest.mark.django_db
def test_two_rows_about_the_same_name_each_other(live: None) -> None:
    by_name = {**GOOD, **LIVE_PRICE, "paddle_price_id": "pri_sandbox"}

    assert problems(table(GOOD, by_name)) == [(3, "paddle_price_id")]


HEADERS = ",".join(COLUMNS)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", [(0, "-")]),
        (b"\xef\xbb\xbf  \n", [(0, "-")]),
        ("paddle_price_id,grün".encode("latin-1"), [(1, "-")]),
        (f"{HEADERS}\r\n".encode() + b"\r\n" * 3 + b"\xff,", [(5, "-")]),
        (HEADERS.encode("utf-16"), [(1, "-")]),
        (f"{HEADERS},colour".encode(), [(1, "colour")]),
        (f"{HEADERS},note".encode(), [(1, "note")]),
        (HEADERS.replace("target,", "").encode(), [(1, "target")]),
        (HEADERS.replace(",", ";").encode(), [(0, "-")]),
        (f"{HEADERS}\r\npri_1,,2026-01-01".encode(), [(2, "effective_from")]),
        (f"{HEADERS}\r\n{',' * len(COLUMNS)}x".encode(), [(2, COLUMNS[-1])]),
        (f'{HEADERS}\r\n"pri_1'.encode(), [(0, "-")]),
        (b"{", [(0, "-")]),
        (b"[]", [(0, "-")]),
        (b'{"mappings": {}}', [(0, "-")]),
        (b'{"mappings": [], "mappings": []}', [(0, "-")]),
        (b'{"mappings": [7]}', [(1, "-")]),
        (json.dumps({"mappings": [{**full(GOOD), "note": 7}]}).encode(), [(1, "note")]),
        (json.dumps({"mappings": [{**full(GOOD), "colour": "red"}]}).encode(), [(1, "colour")]),
        (json.dumps({"mappings": [{**full(GOOD), "note": "\ud800"}]}).encode(), [(1, "note")]),
        (b"[" * 100_000, [(0, "-")]),
        (b"x" * (mapping_files.MOST_BYTES + 1), [(0, "-")]),
        (table(*[GOOD] * (mapping_files.MOST_ROWS + 1))[: mapping_files.MOST_BYTES], None),
    ],
)
def test_a_file_of_the_wrong_shape_is_refused(
    live: None, content: bytes, expected: list[tuple[int, str]] | None
) -> None:
    found = problems(content)

    assert found == expected if expected is not None else found


@pytest.mark.django_db
def test_a_byte_order_mark_is_no_part_of_the_first_header(live: None) -> None:
    assert len(promoting.compare(b"\xef\xbb\xbf" + table(GOOD)).added) == 1


@pytest.mark.django_db
def test_columns_may_stand_in_any_order_and_those_for_people_may_be_missing(live: None) -> None:
    columns = [*reversed(mapping_files.REQUIRED)]
    row = ",".join(GOOD.get(column, "") for column in columns)

    (change,) = promoting.compare(f"{','.join(columns)}\n{row}\n".encode()).added

    assert (change.mapping.metering_starts, change.mapping.quantity_use) == ("creation", "ignored")


# --- Applying ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_what_is_new_is_added_what_differs_changed_and_the_rest_left_alone(live: None) -> None:
    old = make_mapping("pri_1", plan="plan-old", effective_from=dt.date(2026, 1, 31), m3ter_product="product-old")
    alone = make_mapping("pri_alone", plan="plan-1")
    new = {**GOOD, "paddle_price_id": "pri_2", "note": "new"}

    difference = promoting.compare(table(GOOD, new))
    applied = apply(table(GOOD, new), reason="Agreed.")

    (change,) = difference.changed
    assert change.differences == (("m3ter_plan_id", "plan-old", "plan-1"),)
    assert (len(difference.added), difference.left_alone) == (1, 1)
    old.refresh_from_db()
    assert (old.m3ter_plan_id, old.m3ter_product_id) == ("plan-1", "product-1")
    assert (len(applied.added), len(applied.changed)) == (1, 1)
    reasons = set(PlanMapping.log.exclude(id=alone.pk).values_list("history_change_reason", flat=True))
    assert "Imported by anna: Agreed." in reasons
    assert PlanMapping.objects.count() == 3


@pytest.mark.django_db
def test_what_is_confirmed_is_what_was_shown(live: None) -> None:
    content = table(GOOD)
    shown = promoting.compare(content).fingerprint
    make_mapping("pri_1", plan="plan-other", effective_from=dt.date(2026, 1, 31))

    with pytest.raises(NotPossible, match="changed since this was shown"):
        promoting.apply(content, fingerprint=shown, by="anna", reason="late")

    assert PlanMapping.objects.get().m3ter_plan_id == "plan-other"


@pytest.mark.django_db
def test_exactly_the_events_that_waited_for_an_imported_mapping_go_on(live: None) -> None:
    waiting = {"state": "parked", "due_at": None, "waiting_for_kind": "price"}
    mine = make_event("subscription.created", subscription(), **waiting, waiting_for_key="pri_1")
    by_product = make_event(
        "subscription.created", subscription(), **waiting, waiting_for_key="pri_9", waiting_for_product="pro_1"
    )
    other = make_event("subscription.created", subscription(), **waiting, waiting_for_key="pri_8")
    product = {**GOOD, "paddle_price_id": "", "paddle_product_id": "pro_1"}

    applied = apply(table(GOOD, product))

    assert applied.resumed == 2
    received = WebhookEvent.objects.filter(state="received").values_list("pk", flat=True)
    assert set(received) == {mine.pk, by_product.pk}
    other.refresh_from_db()
    assert other.state == "parked"


@pytest.mark.django_db
def test_a_long_file_is_compared_by_as_many_queries_as_a_short_one(live: None) -> None:
    def asked(count: int) -> int:
        days = [str(dt.date(2026, 1, 1) + dt.timedelta(days=number)) for number in range(count)]
        content = table(*[{**GOOD, "effective_from": day} for day in days])
        with CaptureQueriesContext(connection) as queries:
            promoting.compare(content)
        return len(queries)

    assert asked(200) == asked(1)


# --- Commands ---------------------------------------------------------------------------------------------------------


def command(name: str, *arguments: Any) -> str:
    out = StringIO()
    call_command(name, *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_the_commands_export_and_import(live: None, tmp_path: Path) -> None:
    make_mapping("pri_1", plan="plan-1")
    file = tmp_path / "mappings.json"
    written = command("export_mappings", "--format", "json", "--output", file)
    PlanMapping.objects.all().delete()

    tried = command("import_mappings", file, "--dry-run")
    assert PlanMapping.objects.count() == 0
    done = command("import_mappings", file, "--reason", "Agreed.")

    assert "1 mappings written" in written
    assert "add     row 1: pri_1 -> plan-1 from 2020-01-01 (Paddle by id; m3ter by id)" in tried
    assert "1 to add, 0 to change" in done
    assert PlanMapping.objects.get().m3ter_plan_id == "plan-1"
    assert command("export_mappings").splitlines()[0].startswith('"paddle_price_id"')


@pytest.mark.django_db
def test_the_command_says_what_is_wrong_and_where(live: None, tmp_path: Path) -> None:
    file = tmp_path / "mappings.csv"
    file.write_bytes(table({**GOOD, "target": "house"}))

    with pytest.raises(CommandError, match="row 2, column target: 'house' is none of") as refused:
        command("import_mappings", file)

    assert refused.value.returncode == 1
    with pytest.raises(CommandError, match="could not be read"):
        command("import_mappings", tmp_path / "nowhere.csv")
    assert DECISIVE[0] == "paddle_price_id"
