"""Vendors' JSON into values and back: exactly, and with nothing but Unreadable for what is not as it should be."""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration_project.vendors import exact_json, reading, words
from integration_project.vendors.m3ter.entities import (
    Account,
    AccountPlan,
    Bill,
    ExternalMapping,
    IntegrationConfig,
    OrganizationConfig,
    Plan,
    PlanTemplate,
    ReplacedAccountPlan,
)
from integration_project.vendors.paddle.entities import (
    Address,
    Business,
    ChargePreview,
    Currency,
    Customer,
    Event,
    HistoryEntry,
    NotificationSetting,
    Price,
    Product,
    Subscription,
    Transaction,
)
from integration_project.vendors.reading import Unreadable
from tests.contracts import sample_files

READERS: list[Callable[[Any], Any]] = [
    Account.from_m3ter,
    AccountPlan.from_m3ter,
    Bill.from_m3ter,
    ExternalMapping.from_m3ter,
    IntegrationConfig.from_m3ter,
    OrganizationConfig.from_m3ter,
    Plan.from_m3ter,
    PlanTemplate.from_m3ter,
    ReplacedAccountPlan.from_m3ter,
    Address.from_paddle,
    Business.from_paddle,
    ChargePreview.from_paddle,
    Currency.from_paddle,
    Customer.from_paddle,
    Event.from_paddle,
    HistoryEntry.from_paddle,
    NotificationSetting.from_paddle,
    Price.from_paddle,
    Product.from_paddle,
    Subscription.from_paddle,
    Transaction.from_paddle,
]
REAL: dict[str, Callable[[Any], Any]] = {
    "subscription": Subscription.from_paddle,
    "transaction": Transaction.from_paddle,
    "customer": Customer.from_paddle,
    "address": Address.from_paddle,
    "business": Business.from_paddle,
    "price": Price.from_paddle,
    "product": Product.from_paddle,
}
SAMPLES = [path for path in sample_files("paddle-events") if path.stem.split(".")[0] in REAL]
SUBSCRIPTION: dict[str, Any] = {
    "id": "sub_1",
    "status": "active",
    "customer_id": "ctm_1",
    "currency_code": "EUR",
    "custom_data": {"a": 1},
    "import_meta": {"imported_from": "paddle_classic"},
    "current_billing_period": {"starts_at": "2026-03-01T09:00:00Z", "ends_at": "2026-04-01T09:00:00.123456789Z"},
    "billing_cycle": {"interval": "month", "frequency": 1},
    "scheduled_change": {"action": "cancel", "effective_at": "2026-04-01T09:00:00Z", "resume_at": None},
    "items": [
        {
            "status": "active",
            "quantity": 2,
            "price": {
                "id": "pri_1",
                "product_id": "pro_1",
                "unit_price": {"amount": "4900", "currency_code": "EUR"},
                "billing_cycle": None,
                "custom_data": {"push_id": 5},
            },
            "product": {"id": "pro_1", "name": "Gauge"},
            "trial_dates": {"starts_at": "2026-03-01T09:00:00Z", "ends_at": "2026-03-15T09:00:00Z"},
        }
    ],
}
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_the_whole_of_a_subscription_is_read() -> None:
    subscription = Subscription.from_paddle(SUBSCRIPTION)

    assert subscription.imported_from == "paddle_classic"
    assert subscription.current_billing_period is not None
    assert subscription.current_billing_period.ends_at == datetime(2026, 4, 1, 9, 0, 0, 123456, tzinfo=UTC)
    assert subscription.scheduled_change is not None
    assert subscription.scheduled_change.action == "cancel"
    assert subscription.items[0].price.push_id is None


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_paddle_s_own_samples_are_read(path: Path) -> None:
    entity = REAL[path.stem.split(".")[0]](exact_json.decode(path.read_bytes()))

    assert entity.id == json.loads(path.read_text())["id"]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__self__.__name__)
@given(value=st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4))
def test_nothing_but_unreadable_comes_of_an_odd_object(reader: Callable[[Any], Any], value: Any) -> None:
    with contextlib.suppress(Unreadable):
        reader(value)


@given(data=st.data())
def test_nothing_but_unreadable_comes_of_a_subscription_with_one_odd_part(data: st.DataObject) -> None:
    value = json.loads(json.dumps(SUBSCRIPTION))
    place: Any = value
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        if not place[key] or not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(JSON_VALUES)

    with contextlib.suppress(Unreadable):
        Subscription.from_paddle(value)


@pytest.mark.parametrize("amount", [12, 1.5, "", "-", "1.5", "1e3", " 12", "١٢", "9" * 19, None, True, "--1"])
def test_only_digits_are_an_amount(amount: Any) -> None:
    with pytest.raises(Unreadable, match="total is not an amount in digits"):
        reading.minor_units({"total": amount}, "total")


def test_negative_amounts_are_read() -> None:
    assert reading.minor_units({"total": "-105"}, "total") == -105


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:59:59-05:00",
        "9999-01-01T00:00:00Z",
        "1899-12-31T23:59:59Z",
        "0001-01-01T00:00:00+05:00",
        "2026-03-01T09:00:00",
        "2026-03-01",
        "soon",
    ],
)
def test_only_a_moment_that_every_time_zone_can_say_is_a_moment(text: str) -> None:
    with pytest.raises(Unreadable, match=r"starts_at (is not a moment|names no time zone|is too far from now)"):
        reading.moment({"starts_at": text}, "starts_at")


@pytest.mark.parametrize("value", ["1", 1.5, None, True, [], Decimal("1e40"), 10**40])
def test_only_a_number_of_some_proportion_is_a_number(value: Any) -> None:
    with pytest.raises(Unreadable):
        reading.number({"billTotal": value}, "billTotal")


@given(JSON_VALUES)
def test_json_comes_back_as_it_was_written(value: Any) -> None:
    encoded = exact_json.encode(value)
    if not (b"\\u0000" in encoded or b"\\ud" in encoded):  # what no database keeps
        assert exact_json.decode(encoded) == value


@pytest.mark.parametrize("value", [1.5, Decimal("NaN"), Decimal("Infinity"), {1: 2}, {"a": {2}}, b"bytes"])
def test_what_json_cannot_carry_exactly_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError):
        exact_json.encode({"value": value})


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000])
def test_what_is_not_json_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        exact_json.decode(body)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused_by_whoever_reads_that_field_and_by_nobody_else(constant: str) -> None:
    bad, good = exact_json.decode(f'[{{"billTotal": {constant}}}, {{"billTotal": 1.5}}]'.encode())

    for read in (reading.number, reading.whole, reading.minor_units):
        with pytest.raises(Unreadable):
            read(bad, "billTotal")
    assert reading.number(good, "billTotal") == Decimal("1.5")


def test_characters_that_no_database_keeps_are_replaced() -> None:
    decoded = exact_json.decode(rb'{"a\u0000": ["x\u0000y", "\ud83d", "\ud83d\ude00", {"b": "z\udfff"}]}')

    assert decoded == {"a\ufffd": ["x\ufffdy", "\ufffd", "\U0001f600", {"b": "z\ufffd"}]}


@pytest.mark.parametrize(
    ("said", "safe"),
    [
        ("plain words", "plain words"),
        ("two\nlines\x00 and\tmore", "two lines and more"),
        ("mail to a.b+c@example.co.uk, please", "mail to [e-mail], please"),
        ("?email=a%40example.com&x=1", "?email=[e-mail]&x=1"),
        ("<jane@example.com>", "<[e-mail]>"),
        ("key pdl_live_apikey_01hv6y1jedq4p1n0yqn5ba3ky4_abcdefghijklmnopqrstuv_abc!", "key [secret]!"),
        ("Authorization: Bearer abc.def.ghi", "Authorization: [secret]"),
        ("token eyJhbGciOi.eyJzdWIi.c2ln and more", "token [secret] and more"),
        ("JANE ROE was here", "[hidden] was here"),
        ("x" * 500, "x" * 399 + "…"),
    ],
)
def test_words_are_made_safe(said: str, safe: str) -> None:
    assert words.safe(said, private=("Jane Roe", "ab", "")) == safe
