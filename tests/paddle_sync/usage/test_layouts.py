"""What columns mean: suggested by their names, checked before a row is read, remembered, and applied to rows."""

import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paddle_sync.usage.layouts import Layout, LayoutUnreadable, problems, signature
from paddle_sync.usage.suggesting import SYNONYMS, suggest

METERS = {"api_calls": ("calls", "endpoint", "cost"), "storage": ("gigabytes", "region")}
GOOD = Layout({"Sub": "paddle_subscription_id", "Id": "uid", "When": "ts", "N": "values.calls"}, "api_calls")


def test_a_row_becomes_an_item_of_the_cells_that_are_not_blank() -> None:
    roles = {"s": "paddle_subscription_id", "i": "uid", "t": "ts", "e": "ets", "m": "marks", "c": "values.calls"}
    layout = Layout({**roles, "p": "values.endpoint"}, "api_calls")

    item = layout.item(
        {"s": " sub_1 ", "i": "e1", "t": "2026", "e": "  ", "m": "correction,  after_end", "c": "5", "z": "9"}
    )

    assert item == {
        "paddle_subscription_id": "sub_1",
        "uid": "e1",
        "ts": "2026",
        "meter": "api_calls",
        "marks": ["correction", "after_end"],
        "values": {"calls": "5"},
    }


def test_the_meter_may_stand_in_a_column() -> None:
    layout = Layout({"m": "meter", "c": "values.calls"})

    assert layout.item({"m": "storage", "c": "1"}) == {"meter": "storage", "values": {"calls": "1"}}


cells = st.text(max_size=6) | st.sampled_from(["|", "\\", "\\|", "a|b"])


@given(st.lists(cells, min_size=2, max_size=2), st.lists(cells, min_size=2, max_size=2))
@example(["a|b", "c"], ["a", "b|c"])
@example(["a\\", "|b"], ["a\\|", "b"])
def test_key_columns_make_the_same_uid_for_the_same_cells_and_no_other(one: list[str], other: list[str]) -> None:
    layout = Layout({}, key=("a", "b"))

    uids = [layout.item(dict(zip("ab", row, strict=True)))["uid"] for row in (one, other)]

    assert (uids[0] == uids[1]) == ([cell.strip() for cell in one] == [cell.strip() for cell in other])


def test_a_uid_of_long_key_cells_is_as_short_as_it_must_be_and_blank_ones_make_none() -> None:
    layout = Layout({}, key=("a", "b"))

    uids = [layout.item({"a": "x" * 300, "b": end})["uid"] for end in "12"]

    assert len(set(uids)) == 2
    assert max(map(len, uids)) <= 200
    assert layout.item({"a": " "})["uid"] == ""
    assert layout.item({"b": "1"})["uid"] == "|1"
    assert Layout({}).item({"a": "1"}) == {"values": {}}


def test_a_layout_is_kept_as_json() -> None:
    layout = Layout({"Sub": "paddle_subscription_id", "N": "values.calls"}, "api_calls", ("Sub", "N"))

    assert Layout.from_json(json.loads(json.dumps(layout.to_json()))) == layout


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [],
        {**GOOD.to_json(), "version": 2},
        {**GOOD.to_json(), "roles": {"a": 1}},
        {**GOOD.to_json(), "roles": []},
        {**GOOD.to_json(), "key": [1]},
        {**GOOD.to_json(), "meter": None},
    ],
)
def test_what_is_no_layout_is_not_taken_for_one(data: object) -> None:
    with pytest.raises(LayoutUnreadable):
        Layout.from_json(data)


def test_a_file_of_the_same_columns_has_the_same_signature_in_any_order() -> None:
    assert signature(["a", "b,c"]) == signature(["b,c", "a"])
    assert len({signature(columns) for columns in (["a", "b,c"], ["a,b", "c"], ["a", "b", "c"], ["A", "b,c"])}) == 4
    assert len(signature(["a"])) == 64


# --- Suggested --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "roles"),
    [
        (
            ["paddle_subscription_id", "uid", "ts", "ets", "marks", "meter", "values.calls"],
            ["paddle_subscription_id", "uid", "ts", "ets", "marks", "meter", "values.calls"],
        ),
        (
            ["Subscription ID", "Event ID", "Timestamp", "Calls", "End-Point"],
            ["paddle_subscription_id", "uid", "ts", "values.calls", "values.endpoint"],
        ),
        (
            ["uid", "meter", "account", "ts", "ets", "measure.calls", "what.endpoint", "cost.cost"],
            ["uid", "meter", "m3ter_account_code", "ts", "ets", "values.calls", "values.endpoint", "values.cost"],
        ),
        (["customer", "subscription", "time", "calls"], ["", "paddle_subscription_id", "ts", "values.calls"]),
        (
            ["paddle_customer_id", "paddle_subscription_id", "account", "time", "calls"],
            ["paddle_customer_id", "paddle_subscription_id", "", "ts", "values.calls"],
        ),
        (["customer", "date", "time", "calls"], ["paddle_customer_id", "", "ts", "values.calls"]),
        (["account", "when", "Measure.Unheard", "note"], ["m3ter_account_code", "", "values.Unheard", ""]),
        (["id", "event id", "sub", "start", "end"], ["", "uid", "paddle_subscription_id", "ts", "ets"]),
        (["calls", "Calls"], ["values.calls", ""]),
        (["what."], [""]),
    ],
)
def test_columns_are_told_by_their_names(columns: Sequence[str], roles: Sequence[str]) -> None:
    expected = {column: role for column, role in zip(columns, roles, strict=True) if role}

    assert suggest(columns, METERS).roles == expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["sub", "time", "date"], {"sub": "paddle_subscription_id", "time": "ts", "date": "values.date"}),
        (["sub", "date"], {"sub": "paddle_subscription_id", "date": "ts"}),
        (["sub", "ts", "end"], {"sub": "paddle_subscription_id", "ts": "ts", "end": "values.end"}),
    ],
)
def test_a_field_called_as_people_call_a_time_is_the_time_only_where_nothing_else_is(
    columns: Sequence[str], expected: Mapping[str, str]
) -> None:
    assert suggest(columns, {"trips": ("date", "end")}).roles == expected


@pytest.mark.parametrize(
    ("columns", "meter"),
    [
        (["sub", "ts", "calls"], "api_calls"),
        (["sub", "ts", "region", "gigabytes"], "storage"),
        (["sub", "ts", "region", "calls"], ""),
        (["sub", "ts"], ""),
        (["sub", "ts", "calls", "meter"], ""),
    ],
)
def test_the_only_meter_with_all_fields_is_that_of_every_row(columns: Sequence[str], meter: str) -> None:
    assert suggest(columns, METERS).meter == meter


@given(
    st.lists(
        st.sampled_from([word for words in SYNONYMS.values() for word in words] + ["calls", "region"]), unique=True
    )
)
def test_a_suggestion_never_means_one_thing_twice_nor_two_addresses(columns: list[str]) -> None:
    layout = suggest(columns, METERS)

    assert len(set(layout.roles.values())) == len(layout.roles)
    assert (
        sum(
            role in ("paddle_subscription_id", "paddle_customer_id", "m3ter_account_code")
            for role in layout.roles.values()
        )
        <= 1
    )
    assert layout.roles.keys() <= set(columns)


# --- Wrong ------------------------------------------------------------------------------------------------------------

COLUMNS = ("Sub", "Id", "When", "N", "Place")


def test_a_good_layout_has_no_problems() -> None:
    assert problems(GOOD, COLUMNS, METERS) == []
    assert problems(suggest(["sub", "ts", "calls"], METERS), ["sub", "ts", "calls"], METERS) == []


@pytest.mark.parametrize(
    ("changes", "meter", "key", "expected"),
    [
        ({"Sub": None}, "api_calls", (), [("", "No column says whose usage it is.")]),
        ({"When": None}, "api_calls", (), [("", "No column says when it was used.")]),
        ({"N": None}, "api_calls", (), [("", "No column holds what was used.")]),
        ({}, "", (), [("", "Nothing says which meter it is.")]),
        ({"Place": "meter"}, "api_calls", (), [("", "The meter is given for all rows and by a column.")]),
        ({}, "unknown", (), [("", "There is no meter unknown.")]),
        ({"Place": "values.region"}, "api_calls", (), [("Place", "Meter api_calls has no field region.")]),
        ({"Place": "meter", "N": "values.x"}, "", (), [("N", "No meter has a field x.")]),
        (
            {"Place": "values.calls"},
            "api_calls",
            (),
            [
                ("N", "It means values.calls, and so does Place."),
                ("Place", "It means values.calls, and so does N."),
            ],
        ),
        ({"Place": "price"}, "api_calls", (), [("Place", "price is nothing that a column can mean.")]),
        ({"Place": "values."}, "api_calls", (), [("Place", "values. is nothing that a column can mean.")]),
        ({"Gone": "ets"}, "api_calls", (), [("Gone", "The file has no such column.")]),
        ({"Id": None}, "api_calls", ("Sub", "Gone"), [("Gone", "The file has no such column, and the key needs it.")]),
        ({"Id": None}, "api_calls", ("Sub", "Sub"), [("Sub", "It stands in the key twice.")]),
        ({}, "api_calls", ("Sub",), [("", "A column is the uid, and there are key columns too.")]),
        ({"Id": None}, "api_calls", ("Sub", "When"), []),
    ],
)
def test_what_a_layout_has_wrong_is_told(
    changes: Mapping[str, str | None], meter: str, key: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    roles = {column: role for column, role in {**GOOD.roles, **changes}.items() if role is not None}

    found = problems(Layout(roles, meter, key), COLUMNS, METERS)

    assert [(problem.column, problem.reason) for problem in found] == expected
    assert all(problem.remedy.endswith(".") for problem in found)
