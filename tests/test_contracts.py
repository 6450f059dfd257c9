"""The oracles themselves: a test that passes against them must be able to fail."""

from typing import Any

import pytest

from tests.contracts import contract, python_pattern
from tests.vendors.paddle import presence
from tests.vendors.paddle.account import Account


def test_a_wrong_type_and_a_missing_envelope_are_noticed() -> None:
    document = contract("paddle-openapi.yaml")
    good: dict[str, Any] = {"data": {"ipv4_cidrs": ["1.2.3.4/32"]}, "meta": {"request_id": "a"}}

    assert document.problems_of_answer("GET", "/ips", 200, good) == []
    assert document.problems_of_answer("GET", "/ips", 200, {**good, "data": {"ipv4_cidrs": [5]}}) != []
    assert document.problems_of_answer("GET", "/ips", 200, {"data": good["data"]}) != []


def test_a_field_nobody_described_is_noticed_at_any_depth() -> None:
    document = contract("paddle-openapi.yaml")
    body = {"data": {"id": "x", "items": [{"price": {"colour": "red"}}]}, "meta": {"request_id": "a", "mood": "good"}}

    found = document.unknown_fields_of_answer("GET", "/subscriptions/sub_1", 200, body)

    assert found == {"data.items[].price.colour", "meta.mood"}


def test_a_request_the_vendor_would_refuse_is_noticed() -> None:
    document = contract("paddle-openapi.yaml")
    path = "/subscriptions/sub_1/charge"

    assert document.problems_of_request("POST", path, {"effective_from": "never", "items": []}) != []
    assert document.problems_of_request("POST", path, {"effective_from": "immediately"}) != []
    assert document.problems_of_parameters("GET", "/transactions", ["created_at[GTE]", "colour"]) == ["colour"]


def test_every_listed_field_that_goes_missing_is_noticed() -> None:
    account = Account()
    subscription_id = account.subscribe()
    whole = account.get(f"/subscriptions/{subscription_id}").data

    for name in presence.SUBSCRIPTION:
        key = name.removesuffix("?")
        without = {field: value for field, value in whole.items() if field != key}
        assert list(presence.missing(presence.SUBSCRIPTION, without)) == [f"{key} is missing"]
    assert list(presence.missing(presence.SUBSCRIPTION, {**whole, "status": None})) == ["status is null"]


def test_javas_patterns_are_translated_and_one_that_cannot_be_fails() -> None:
    m3ter = contract("m3ter-openapi.yaml")

    assert python_pattern("HOUR|DAY|MINUTE") == "HOUR|DAY|MINUTE"
    with pytest.raises(ValueError, match="nobody has translated"):
        python_pattern(r"^[\p{Lu}&&[^A]]$")
    assert m3ter.document["openapi"].startswith("3.0")


@pytest.mark.parametrize(
    ("text", "valid"), [("code", True), ("a code", True), ("c", True), (" code", False), ("co\nde", False), ("", False)]
)
def test_a_m3ter_code_means_the_same_in_python(text: str, valid: bool) -> None:
    document = contract("m3ter-openapi.yaml")
    java = r"^([^[\p{Cntrl}\s]])|([^[\p{Cntrl}\s]][[^[\p{Cntrl}\s]] ]*[^[\p{Cntrl}\s]])$"

    found = document.problems({"type": "string", "pattern": python_pattern(java)}, text)

    assert (found == []) is valid
