"""The Paddle client against the simulated Paddle: every call we make, its refusals, and what is written down."""

import logging
from datetime import timedelta

import pytest

from integration_project import errors
from integration_project.vendors.http import CallRecord
from integration_project.vendors.paddle.entities import Charge, ChargeItem
from integration_project.vendors.paddle.simulator import sample
from tests.vendors.opening import config, opened
from tests.vendors.paddle.stage import EMAIL, NAME, PUSH, Stage, charge

# Reading


def test_a_subscription_is_read_with_items_dates_and_custom_data(stage: Stage) -> None:
    subscription = stage.client.get_subscription(stage.subscription_id)

    assert (subscription.id, subscription.status, subscription.currency_code) == (
        stage.subscription_id,
        "active",
        "EUR",
    )
    assert subscription.customer_id == stage.customer_id
    assert [(item.price.id, item.quantity) for item in subscription.items] == [
        (sample.PRICE_CLOUD_EUR, 1),
        (sample.PRICE_SEATS_EUR, 3),
    ]
    assert subscription.items[0].price.unit_price.amount == 4900
    assert subscription.items[0].product is not None
    assert subscription.items[0].product.name == "Gauge Cloud"
    assert subscription.current_billing_period is not None
    assert subscription.next_billed_at == subscription.current_billing_period.ends_at
    assert subscription.billing_cycle is not None
    assert (subscription.billing_cycle.interval, subscription.billing_cycle.frequency) == ("month", 1)
    assert subscription.custom_data == {"account": "harbour"}
    assert subscription.raw["id"] == stage.subscription_id


def test_one_call_reads_a_transaction_with_customer_address_and_business(stage: Stage) -> None:
    transaction = stage.client.get_transaction(stage.transaction_id, include=("customer", "address", "business"))

    assert transaction.subscription_id == stage.subscription_id
    assert transaction.customer is not None
    assert (transaction.customer.email, transaction.customer.name) == (EMAIL, NAME)
    assert transaction.address is not None
    assert transaction.address.country_code == "DE"
    assert transaction.business is not None
    assert transaction.business.name == "Harbour Tools Ltd"
    assert transaction.totals is not None
    assert transaction.totals.subtotal == 4900 + 3 * 900
    assert transaction.status == "completed"
    assert [payment.status for payment in transaction.payments] == ["captured"]
    assert stage.operations == ["get transaction"]


def test_customer_address_and_business_are_read_one_by_one(stage: Stage) -> None:
    subscription = stage.client.get_subscription(stage.subscription_id)
    assert subscription.address_id is not None
    assert subscription.business_id is not None

    customer = stage.client.get_customer(stage.customer_id)
    address = stage.client.get_address(stage.customer_id, subscription.address_id)
    business = stage.client.get_business(stage.customer_id, subscription.business_id)

    assert (customer.email, address.country_code, business.tax_identifier) == (EMAIL, "DE", "DE123456789")


def test_personal_data_is_not_in_a_repr(stage: Stage) -> None:
    transaction = stage.client.get_transaction(stage.transaction_id, include=("customer", "address", "business"))
    subscription = stage.client.get_subscription(stage.subscription_id)

    written = repr((transaction, transaction.customer, transaction.address, transaction.business, subscription))

    for private in (EMAIL, NAME, "Harbour", "DE123456789"):
        assert private not in written


def test_the_catalogue_is_read(stage: Stage) -> None:
    products = {product.id: product.name for product in stage.client.list_products()}
    prices = {price.id: price for price in stage.client.list_prices()}

    assert products[sample.PRODUCT_CLOUD] == "Gauge Cloud"
    assert prices[sample.PRICE_SETUP_EUR].billing_cycle is None
    assert prices[sample.PRICE_CLOUD_USD].unit_price.currency_code == "USD"


def test_currencies_say_their_decimals_and_minimums(stage: Stage) -> None:
    currencies = {currency.code: currency for currency in stage.client.list_currencies()}

    assert (currencies["USD"].decimal_places, currencies["USD"].minimum_payment_amount) == (2, 70)
    assert currencies["JPY"].decimal_places == 0


def test_events_are_read_oldest_first_and_after_a_known_one(stage: Stage) -> None:
    events = list(stage.client.list_events(event_types=("subscription.created", "subscription.activated")))

    assert [event.event_type for event in events] == ["subscription.created", "subscription.activated"]
    assert events[0].data["id"] == stage.subscription_id
    assert [e.event_id for e in stage.client.list_events(after=events[0].event_id)][-1:] == [
        stage.simulator.events[-1]["event_id"]
    ]


def test_a_webhook_destination_is_read_without_its_secret(stage: Stage) -> None:
    stage.simulator.send_webhooks_to("http://127.0.0.1:1/webhooks/paddle/")

    (setting,) = stage.client.list_notification_settings()

    assert setting.destination == "http://127.0.0.1:1/webhooks/paddle/"
    assert setting.active
    assert "subscription.created" in setting.subscribed_events
    assert sample.WEBHOOK_SECRET not in repr(vars(setting))


def test_transactions_are_listed_with_their_people(stage: Stage) -> None:
    (bare,) = stage.client.list_transactions(ids=(stage.transaction_id, "txn_01hv0000000000000000000none"))
    (whole,) = stage.client.list_transactions(ids=(stage.transaction_id,), include=("customer", "address", "business"))

    assert (bare.customer, bare.address, bare.business) == (None, None, None)
    assert whole.customer is not None
    assert (whole.customer.id, whole.customer.email) == (stage.customer_id, EMAIL)
    assert whole.address is not None
    assert whole.address.country_code == "DE"
    assert whole.business is not None
    assert whole.business.name == "Harbour Tools Ltd"


def test_the_last_page_is_the_end_although_it_names_a_next_one(stage: Stage) -> None:
    listed = list(stage.client.list_transactions(subscription_id=stage.subscription_id))

    assert [transaction.id for transaction in listed] == [stage.transaction_id]
    assert stage.operations == ["list transactions"]


def test_pages_follow_one_another(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integration_project.vendors.paddle.client.PAGE", 2)

    prices = list(stage.client.list_prices())

    ids = [price.id for price in prices]
    assert len(ids) == len(set(ids)) == len(sample.PRICES)
    assert stage.operations.count("list prices") == -(-len(sample.PRICES) // 2)
    assert stage.gate.entered == ["list prices"] * stage.operations.count("list prices")


def test_several_subscriptions_are_asked_for_at_once(stage: Stage) -> None:
    other = stage.simulator.complete_checkout(email=EMAIL, items=[{"price_id": sample.PRICE_CLOUD_EUR, "quantity": 1}])
    stage.simulator.complete_checkout(email=EMAIL, items=[{"price_id": sample.PRICE_CLOUD_EUR, "quantity": 1}])

    ids = (stage.subscription_id, other["subscription_id"])
    found = list(stage.client.list_subscriptions(ids=ids))

    assert {subscription.id for subscription in found} == set(ids)
    assert stage.operations == ["list subscriptions"]


def test_an_unknown_id_is_not_found(stage: Stage) -> None:
    with pytest.raises(errors.NotFound) as caught:
        stage.client.get_subscription("sub_01hv0000000000000000000000")

    assert (caught.value.vendor, caught.value.operation, caught.value.status) == ("paddle", "get subscription", 404)


@pytest.mark.parametrize("identifier", ["", ".", ".."])
def test_an_id_that_would_change_the_path_is_not_sent(stage: Stage, identifier: str) -> None:
    with pytest.raises(ValueError, match="an id is needed"):
        stage.client.get_subscription(identifier)

    assert stage.operations == []


def test_an_id_with_a_slash_stays_one_segment(stage: Stage) -> None:
    with pytest.raises(errors.IntegrationError):
        stage.client.get_subscription("sub_1/charge")

    assert "/subscriptions/sub_1/charge" not in [call.path for call in stage.simulator.calls if call.status == 200]


# Charging


def test_a_preview_shows_the_renewal_and_creates_nothing(stage: Stage) -> None:
    preview = stage.client.preview_charge(stage.subscription_id, charge())

    assert preview.subscription.id == stage.subscription_id
    assert preview.immediate_transaction is None
    assert preview.next_transaction is not None
    assert preview.next_transaction.details.totals.subtotal == 4900 + 3 * 900 + 12345
    assert len(preview.next_transaction.details.lines) == 3
    assert stage.simulator.charges == []


def test_a_charge_answers_with_the_subscription(stage: Stage) -> None:
    subscription = stage.charge()

    assert subscription.id == stage.subscription_id
    assert [charged.push_ids for charged in stage.simulator.charges] == [(PUSH,)]


def test_texts_are_cut_to_what_paddle_takes(stage: Stage) -> None:
    item = ChargeItem(
        name="n" * 80,
        description="d" * 300,
        amount_minor=500,
        currency="EUR",
        tax_mode="external",
        custom_data={"push_id": PUSH},
        product_name="p" * 300,
        tax_category="saas",
    )

    stage.client.charge_subscription(stage.subscription_id, Charge("next_billing_period", (item,)))

    (charged,) = stage.simulator.charges
    price = charged.items[0]["price"]
    assert [len(price["name"]), len(price["description"]), len(price["product"]["name"])] == [50, 200, 200]


@pytest.mark.parametrize("amount", [0, -1, True])
def test_a_charge_s_item_is_above_zero(amount: int) -> None:
    with pytest.raises(ValueError, match="a whole amount above zero"):
        charge(amounts=(amount,))


def test_a_catalogue_product_may_be_named_instead(stage: Stage) -> None:
    item = ChargeItem("n", "description", 500, "EUR", "external", {"push_id": PUSH}, product_id=sample.PRODUCT_USAGE)

    stage.client.charge_subscription(stage.subscription_id, Charge("next_billing_period", (item,)))

    assert stage.simulator.charges[0].items[0]["price"]["product_id"] == sample.PRODUCT_USAGE


def test_below_the_minimum_is_a_person_s_matter(stage: Stage) -> None:
    with pytest.raises(errors.VendorRejected) as caught:
        stage.client.preview_charge(stage.subscription_id, charge(amounts=(2,)))

    assert caught.value.code == "subscription_update_transaction_balance_less_than_charge_limit"
    assert caught.value.policy == "person"
    assert "Minimum payment amount: 65" in str(caught.value)


def test_within_half_an_hour_of_the_renewal_it_is_later(stage: Stage) -> None:
    subscription = stage.client.get_subscription(stage.subscription_id)
    assert subscription.next_billed_at is not None
    stage.simulator.clock.set(subscription.next_billed_at - timedelta(minutes=10))

    with pytest.raises(errors.Temporary) as caught:
        stage.charge()

    assert caught.value.retry_after == 35 * 60
    assert stage.simulator.charges == []


def test_a_canceled_subscription_takes_no_charge(stage: Stage) -> None:
    stage.simulator.cancel(stage.subscription_id)

    with pytest.raises(errors.VendorRejected) as caught:
        stage.charge()

    assert (caught.value.code, caught.value.policy) == ("subscription_update_when_canceled", "permanent")


@pytest.mark.parametrize("fault", ["lose_answer", "error_after", "truncated", "html", "redirect", "error_before"])
def test_a_charge_without_a_good_answer_is_open_and_sent_once(stage: Stage, fault: str) -> None:
    stage.simulator.fault("charge subscription", fault)

    with pytest.raises(errors.OutcomeUnknown):
        stage.charge()

    assert stage.operations == ["charge subscription"]


def test_a_huge_answer_is_not_read_to_its_end(stage: Stage) -> None:
    stage.simulator.fault("get subscription", "huge", size=64 * 1024 * 1024)

    with pytest.raises(errors.Temporary, match="larger than 20971520 bytes"):
        stage.client.get_subscription(stage.subscription_id)


def test_too_many_requests_waits_as_long_as_paddle_says(stage: Stage) -> None:
    stage.simulator.fault("charge subscription", "too_many", retry_after=42)

    with pytest.raises(errors.Temporary) as caught:
        stage.charge()

    assert caught.value.retry_after == 42
    assert stage.simulator.charges == []


# Keys


def test_a_revoked_key_closes_the_whole_vendor(stage: Stage) -> None:
    stage.simulator.revoke_key()

    with pytest.raises(errors.VendorClosed) as caught:
        stage.charge()

    assert (caught.value.vendor, caught.value.operation) == ("paddle", None)
    assert stage.gate.told[-1] == ("refused", "charge subscription", "whole vendor")
    assert sample.API_KEY not in str(caught.value)


def test_one_missing_permission_closes_one_operation(stage: Stage) -> None:
    stage.simulator.withhold_permission("subscription_history.read")

    with pytest.raises(errors.VendorClosed) as caught:
        list(stage.client.subscription_history(stage.subscription_id))
    stage.client.get_subscription(stage.subscription_id)

    assert caught.value.operation == "list subscription history"
    assert stage.gate.told[1] == ("refused", "list subscription history", "operation")
    assert stage.gate.told[-1] == ("answered", "get subscription")


@pytest.mark.parametrize(("key", "words"), [("", "PADDLE_API_KEY is not set."), ("pdl key", "copied badly")])
def test_a_key_that_cannot_be_sent_is_named_by_its_setting(stage: Stage, key: str, words: str) -> None:
    vendors = opened(config(paddle_api_key=key), paddle=stage.simulator)

    with pytest.raises(errors.VendorClosed, match=words):
        vendors.paddle.list_currencies()

    assert stage.operations == []


# What is written down


def test_listeners_hear_of_every_request_while_they_listen(stage: Stage) -> None:
    before: list[str] = []
    after: list[CallRecord] = []

    with stage.vendors.listening(before=before.append, after=after.append):
        stage.client.get_customer(stage.customer_id)
    stage.client.get_customer(stage.customer_id)

    assert before == ["get customer"]
    (record,) = after
    assert (record.status, record.path, record.outcome) == (200, f"/customers/{stage.customer_id}", "ok")
    assert record.request_id


def test_no_call_writes_the_key_or_the_customer_into_the_log(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    stage.client.get_transaction(stage.transaction_id, include=("customer", "address", "business"))
    stage.client.get_customer(stage.customer_id)
    stage.simulator.fault("get customer", "truncated")
    with pytest.raises(errors.Temporary):
        stage.client.get_customer(stage.customer_id)

    written = "".join(repr(line.__dict__) for line in caplog.records)
    for private in (EMAIL, NAME, "Harbour", sample.API_KEY):
        assert private not in written


def test_no_secret_shows_in_the_configuration_s_repr() -> None:
    settings = config(paddle_api_key=sample.API_KEY)

    assert sample.API_KEY not in repr(settings)
    assert "tests" not in repr(settings).replace("localhost", "")
