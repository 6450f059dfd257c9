"""Paddle Classic in Billing's words: each alert and each listed user, and values that make no sense."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration_project.errors import Permanent, VendorClosed
from integration_project.vendors import Vendors
from integration_project.vendors.paddle_classic import signature
from integration_project.vendors.paddle_classic.entities import ClassicPayment, ClassicUser, SentAlert
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from paddle_sync import alerts, catalogue, classic, intake, personal
from paddle_sync import classic as words
from paddle_sync.models import SubscriptionSnapshot, WebhookEvent, WebhookPayload
from paddle_sync.story import reduced
from tests.contracts import sample_files
from tests.vendors.paddle_classic.signing import body_of

FILES = sample_files("paddle-classic-alerts")
needs_files = pytest.mark.skipif(not FILES, reason="the raw alerts (contracts/paddle-classic-alerts) are not here")
AT = dt.datetime(2026, 5, 1, 10, tzinfo=dt.UTC)
NOON = "2026-05-01T10:00:00Z"
CREATED = {
    "alert_id": "1",
    "alert_name": "subscription_created",
    "currency": "EUR",
    "email": "a@customer.example",
    "next_bill_date": "2026-06-01",
    "passthrough": "{}",
    "quantity": "3",
    "status": "active",
    "subscription_id": "501",
    "subscription_plan_id": "77",
    "unit_price": "49.00",
    "user_id": "9",
}


def said(name: str, **changes: str) -> dict[str, Any]:
    """What an alert says, as much of it as the story keeps."""
    fields = {**CREATED, **changes}
    data = classic.of_alert(f"subscription_{name}", fields, occurred_at=AT)
    assert data is not None
    return reduced(data, codes_trusted=False)


def user(**changes: Any) -> ClassicUser:
    values: dict[str, Any] = {
        "subscription_id": "501",
        "plan_id": "77",
        "user_id": "9",
        "state": "active",
        "signed_up_at": AT,
        "last_payment": ClassicPayment(Decimal(49), "EUR", dt.date(2026, 6, 1)),
        "next_payment": ClassicPayment(Decimal(49), "EUR", dt.date(2026, 7, 1)),
        "quantity": 3,
        "paused_at": None,
        "paused_from": None,
        "email": "a@customer.example",
    }
    return ClassicUser(**{**values, **changes})


def test_a_created_alert_says_all_that_billing_would() -> None:
    data = said("created")

    (item,) = data["items"]
    assert (data["id"], data["status"], data["customer_id"], data["currency_code"]) == ("501", "active", "9", "EUR")
    assert (data["started_at"], data["next_billed_at"]) == (NOON, "2026-06-01T00:00:00Z")
    assert data["current_billing_period"] == {"starts_at": NOON, "ends_at": "2026-06-01T00:00:00Z"}
    assert (item["price"]["id"], item["quantity"], item["status"]) == ("77", 3, "active")
    assert item["price"]["unit_price"] == {"amount": "4900", "currency_code": "EUR"}
    assert "a@customer.example" not in str(data)


def test_a_change_is_said_by_the_new_values() -> None:
    data = said("updated", new_quantity="8", new_unit_price="1.5", old_status="old_status", subscription_plan_id="78")

    assert [(item["price"]["id"], item["quantity"]) for item in data["items"]] == [("78", 8)]
    assert data["items"][0]["price"]["unit_price"]["amount"] == "150"
    assert data["started_at"] is None


@pytest.mark.parametrize("effective", ["2026-06-01", "2026-06-01 00:00:00"])
def test_a_cancellation_names_the_day_it_takes_effect(effective: str) -> None:
    data = said("cancelled", status="deleted", cancellation_effective_date=effective)

    assert (data["status"], data["canceled_at"]) == ("canceled", "2026-06-01T00:00:00Z")
    assert data["next_billed_at"] is None


def test_a_pause_to_come_is_a_scheduled_change_and_one_that_came_a_status() -> None:
    paused = {"paused_at": "2026-05-01 10:00:00", "paused_from": "2026-06-01 00:00:00"}

    coming = said("updated", **paused)
    came = said("updated", **paused, status="paused")

    effective = "2026-06-01T00:00:00Z"
    assert coming["scheduled_change"] == {"action": "pause", "effective_at": effective, "resume_at": None}
    assert (coming["status"], coming["paused_at"]) == ("active", None)
    assert (came["status"], came["paused_at"], came["scheduled_change"]) == ("paused", effective, None)


@pytest.mark.parametrize("status", ["active", "trialing", "past_due", "word_of_tomorrow"])
def test_a_status_that_both_products_know_keeps_its_word(status: str) -> None:
    assert said("created", status=status)["status"] == status


@pytest.mark.parametrize("name", ["subscription_payment_failed", "subscription_payment_refunded", "payment_succeeded"])
def test_an_alert_that_says_too_little_is_no_snapshot(name: str) -> None:
    assert classic.of_alert(name, CREATED, occurred_at=AT) is None


@needs_files
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_raw_test_alert_of_the_dashboard_can_be_read_whatever_it_holds(file: Path) -> None:
    fields = signature.decoded(file.read_bytes().strip())

    data = classic.of_alert(fields["alert_name"], fields, occurred_at=AT)

    assert alerts.envelope_of(fields).paddle_subscription_id == fields["subscription_id"]
    assert (data is None) == (file.stem in {"subscription_payment_failed", "subscription_payment_refunded"})
    if data is not None:
        kept = reduced(data, codes_trusted=False)
        assert kept["items"][0]["price"]["id"] == fields["subscription_plan_id"]
        assert fields["email"] not in str(kept)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"next_bill_date": "next_bill_date"},
        {"next_bill_date": "0000-00-00"},
        {"unit_price": "unit_price"},
        {"unit_price": "NaN"},
        {"unit_price": "Infinity"},
        {"unit_price": "1e400"},
        {"paused_from": "never", "paused_at": "?"},
        {"quantity": ""},
        {"next_bill_date": "2020-01-01"},
        {"currency": "JPY", "unit_price": "100"},
    ],
)
def test_values_that_make_no_sense_are_left_out(nonsense: Mapping[str, str]) -> None:
    assert said("created", **nonsense)["items"][0]["price"]["id"] == "77"


@pytest.mark.parametrize(
    "nonsense", [{"quantity": "many"}, {"quantity": "-1"}, {"quantity": "9" * 30}, {"currency": ""}]
)
def test_a_quantity_or_currency_is_never_guessed(nonsense: Mapping[str, str]) -> None:
    with pytest.raises(Permanent):
        said("created", **nonsense)


FIELD_TEXTS = st.dictionaries(st.sampled_from(sorted(CREATED)), st.text(max_size=20))


@given(FIELD_TEXTS)
def test_whatever_the_fields_hold_reading_them_ends_in_a_snapshot_or_in_a_reason(fields: dict[str, str]) -> None:
    try:
        kept = said("updated", **fields)
    except Permanent:
        return
    assert kept["items"][0]["quantity"] >= 0


def test_a_listed_user_says_what_its_alerts_would() -> None:
    data = reduced(classic.of_user(user(), read_at=AT), codes_trusted=False)

    assert (data["id"], data["status"], data["currency_code"], data["customer_id"]) == ("501", "active", "EUR", "9")
    assert (data["created_at"], data["next_billed_at"]) == (NOON, "2026-07-01T00:00:00Z")
    assert data["current_billing_period"] == {"starts_at": "2026-06-01T00:00:00Z", "ends_at": "2026-07-01T00:00:00Z"}
    assert [(item["price"]["id"], item["quantity"]) for item in data["items"]] == [("77", 3)]


@pytest.mark.parametrize(
    ("cycle", "coming", "began"),
    [
        (classic.Cycle(1, "month"), dt.date(2026, 7, 1), "2026-06-01T00:00:00Z"),
        (classic.Cycle(1, "month"), dt.date(2027, 3, 31), "2027-02-28T00:00:00Z"),
        (classic.Cycle(3, "month"), dt.date(2026, 8, 15), "2026-05-15T00:00:00Z"),
        (classic.Cycle(1, "year"), dt.date(2028, 2, 29), "2027-02-28T00:00:00Z"),
        (classic.Cycle(2, "week"), dt.date(2026, 7, 1), "2026-06-17T00:00:00Z"),
        (classic.Cycle(30, "day"), dt.date(2026, 7, 1), "2026-06-01T00:00:00Z"),
        (classic.Cycle(1, "year"), dt.date(2027, 4, 1), NOON),  # never before it was signed up
    ],
)
def test_a_one_off_charge_is_not_the_beginning_of_a_period(cycle: classic.Cycle, coming: dt.date, began: str) -> None:
    charged = user(
        last_payment=ClassicPayment(Decimal(10), "EUR", coming - dt.timedelta(days=3)),
        next_payment=ClassicPayment(Decimal(49), "EUR", coming),
    )

    data = reduced(classic.of_user(charged, read_at=AT, cycle=cycle), codes_trusted=False)

    assert data["current_billing_period"] == {"starts_at": began, "ends_at": f"{coming}T00:00:00Z"}


def test_a_trial_is_no_billing_period_of_its_plan() -> None:
    coming = ClassicPayment(Decimal(49), "EUR", dt.date(2026, 5, 15))
    trialing = user(state="trialing", last_payment=None, next_payment=coming)

    data = reduced(classic.of_user(trialing, read_at=AT, cycle=classic.Cycle(1, "month")), codes_trusted=False)

    assert data["current_billing_period"] == {"starts_at": NOON, "ends_at": "2026-05-15T00:00:00Z"}


@pytest.mark.django_db
def test_a_subscription_that_is_read_after_a_one_off_charge_began_its_period_with_its_plan(
    classic: ClassicSimulator, vendors: Vendors
) -> None:
    catalogue.refresh(vendors)
    classic.clock_set(AT)
    made = classic.subscribe(email="kai@customer.example")
    classic.clock_move(days=40)
    classic.run_payments()
    charge = vendors.classic_on.charge(made["subscription_id"], amount=Decimal(5), name="Usage")

    found = words.read(made["subscription_id"], vendors)

    assert found is not None
    assert charge.payment_date == dt.date(2026, 6, 10)
    assert found["current_billing_period"] == {"starts_at": "2026-06-01T00:00:00Z", "ends_at": "2026-07-01T00:00:00Z"}


def test_what_the_list_leaves_out_stays_as_it_was_known() -> None:
    before = said("cancelled", status="deleted", cancellation_effective_date="2026-06-01")
    listed = user(state="deleted", next_payment=None, last_payment=None, quantity=None)

    data = reduced(classic.of_user(listed, read_at=AT, before=before), codes_trusted=False)

    assert (data["canceled_at"], data["currency_code"]) == ("2026-06-01T00:00:00Z", "EUR")
    assert data["items"][0]["quantity"] == 3


@pytest.mark.parametrize(
    ("subscription_id", "expected"), [("501", True), ("sub_01hv", False), ("", False), ("٣", False)]
)
def test_an_id_of_digits_is_classics(subscription_id: str, expected: bool) -> None:
    assert classic.is_classic(subscription_id) is expected


def test_an_alert_of_the_history_is_stored_as_if_it_had_arrived() -> None:
    entry = SentAlert(
        id="80011",
        name="subscription_created",
        status="failed",
        created_at=AT,
        attempts=3,
        fields={name: value for name, value in CREATED.items() if not name.startswith("alert_")},
    )

    envelope, body = alerts.from_history(entry)

    assert (envelope.event_id, envelope.event_type) == ("80011", "subscription_created")
    assert (envelope.occurred_at, envelope.serial_key) == (AT, "501")
    assert signature.decoded(body.encode()) == {**CREATED, "alert_id": "80011", "event_time": "2026-05-01 10:00:00"}


@pytest.mark.django_db
def test_the_buyer_is_read_from_the_list_and_named_by_a_payment(classic: ClassicSimulator, vendors: Vendors) -> None:
    made = classic.subscribe(email="zoë@customer.example", name="Zoë", country="AT")
    paid = classic.memory.alerts[max(classic.memory.alerts)].fields

    before = in_words(made["subscription_id"], vendors)
    store(paid)
    after = in_words(made["subscription_id"], vendors)

    assert before == ("zoë@customer.example", None, None)
    assert after == ("zoë@customer.example", "Zoë", "AT")
    assert in_words("999", vendors) == (None, None, None)


def in_words(subscription_id: str, vendors: Vendors) -> tuple[str | None, str | None, str | None]:
    buyer = classic.buyer(subscription_id, vendors)
    if buyer.customer is None:
        return None, None, None
    return buyer.customer.email, buyer.customer.name, buyer.address.country_code if buyer.address else None


def store(fields: Mapping[str, str]) -> None:
    envelope = alerts.envelope_of(fields)
    event = WebhookEvent.objects.create(
        source="paddle_classic",
        event_id=envelope.event_id,
        event_type=envelope.event_type,
        occurred_at=AT,
        received_at=AT,
        paddle_subscription_id=envelope.paddle_subscription_id,
    )
    WebhookPayload.objects.create(event=event, body=body_of(fields).decode())


@pytest.mark.django_db
def test_a_cancelled_subscription_that_is_read_keeps_the_day_its_alert_named(
    classic: ClassicSimulator, vendors: Vendors
) -> None:
    made = classic.subscribe(email="a@customer.example")
    classic.cancel(made["subscription_id"])
    kept = {
        "cancelled": said("cancelled", status="deleted", cancellation_effective_date="2026-06-01"),
        "updated": said("updated", status="deleted"),  # came later, and says nothing of the day
    }
    for hours, (name, data) in enumerate(kept.items()):
        SubscriptionSnapshot.objects.create(
            paddle_subscription_id=made["subscription_id"],
            occurred_at=AT + dt.timedelta(hours=hours),
            event_id=name,
            event_type=f"subscription_{name}",
            data=data,
        )

    now = read(made["subscription_id"], vendors)

    assert now is not None
    assert (now["status"], now["canceled_at"]) == ("canceled", "2026-06-01T00:00:00Z")


def read(subscription_id: str, vendors: Vendors) -> Mapping[str, Any] | None:
    return classic.read(subscription_id, vendors)


@pytest.mark.django_db
def test_of_our_own_events_one_that_found_a_subscription_says_what_it_is_and_one_that_asks_does_not() -> None:
    found = intake.find("paddle_classic", classic.of_user(user(), read_at=AT), by="import", reason="found")
    asked = intake.ask_to_sync("501", by="operator", reason="doubt", source="paddle_classic")

    data = classic.subscription_of(found)

    assert data is not None
    assert data["items"][0]["price"]["id"] == "77"
    assert classic.subscription_of(asked) is None


@pytest.mark.django_db
def test_while_classic_is_off_its_events_wait(vendors: Vendors) -> None:
    with pytest.raises(VendorClosed, match="Paddle Classic is off"):
        classic.read("501", vendors)


def test_personal_data_of_a_stored_alert_is_masked() -> None:
    fields = {**CREATED, "customer_name": "Zoë", "custom_data": '{"who": "Zoë"}', "passthrough": "Zoë"}

    shown = personal.masked(personal.readable(body_of(fields).decode()))

    assert "Zoë" not in str(shown)
    assert "customer.example" not in str(shown)
    assert shown["subscription_id"] == "501"
