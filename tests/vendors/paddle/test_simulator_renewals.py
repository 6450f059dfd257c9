"""Subscriptions over time in the simulated Paddle: checkouts, renewals, trials, endings."""

import pytest

from integration_project.vendors.paddle.simulator import sample
from integration_project.vendors.simulation import ControlError
from tests.vendors.paddle.account import Account


@pytest.fixture
def account() -> Account:
    return Account()


# Beginning


def test_a_checkout_sends_the_events_of_a_subscriptions_creation_in_order(account: Account) -> None:
    account.subscribe()

    assert account.event_types() == [
        "transaction.created",
        "customer.created",
        "address.created",
        "transaction.updated",
        "transaction.ready",
        "transaction.updated",
        "transaction.paid",
        "subscription.created",
        "subscription.activated",
        "transaction.updated",
        "transaction.updated",
        "transaction.completed",
    ]


def test_created_alone_carries_the_transaction_and_no_event_carries_management_urls(account: Account) -> None:
    made = account.simulator.complete_checkout(
        email="ap@harbour.example", items=[{"price_id": sample.PRICE_SEATS_USD, "quantity": 7}], country="US"
    )

    by_type = {event["event_type"]: event["data"] for event in account.simulator.events}
    assert by_type["subscription.created"]["transaction_id"] == made["transaction_id"]
    assert "transaction_id" not in by_type["subscription.activated"]
    assert "management_urls" not in by_type["subscription.created"]
    assert by_type["subscription.created"]["items"][0]["quantity"] == 7
    assert by_type["transaction.completed"]["subscription_id"] == made["subscription_id"]
    assert by_type["transaction.created"]["subscription_id"] is None
    shown = account.get(f"/subscriptions/{made['subscription_id']}").data
    assert shown["management_urls"]["cancel"].startswith("https://")


def test_one_buyer_may_own_several_subscriptions(account: Account) -> None:
    first = account.simulator.complete_checkout(email="a@b.example", items=[{"price_id": sample.PRICE_CLOUD_EUR}])
    second = account.simulator.complete_checkout(email="a@b.example", items=[{"price_id": sample.PRICE_CLOUD_EUR}])

    assert first["customer_id"] == second["customer_id"]
    assert first["subscription_id"] != second["subscription_id"]


def test_an_impossible_checkout_is_refused_and_leaves_nothing(account: Account) -> None:
    mixed = [{"price_id": sample.PRICE_CLOUD_EUR}, {"price_id": sample.PRICE_CLOUD_USD}]
    yearly = [{"price_id": sample.PRICE_CLOUD_EUR}, {"price_id": sample.PRICE_CLOUD_YEARLY_EUR}]

    for items in (mixed, yearly, [], [{"price_id": "pri_none"}], [{"price_id": sample.PRICE_CLOUD_EUR, "quantity": 0}]):
        with pytest.raises(ControlError):
            account.simulator.complete_checkout(email="a@b.example", items=items)

    assert account.simulator.customers == {}
    assert account.simulator.events == []


def test_an_import_sends_imported_instead_of_created_and_no_transaction(account: Account) -> None:
    made = account.simulator.import_subscription(
        email="old@harbour.example",
        items=[{"price_id": sample.PRICE_CLOUD_EUR, "quantity": 1}],
        external_id="501",
        started_at="2024-05-10T08:00:00Z",
        next_billed_at="2026-03-10T08:00:00Z",
    )

    subscription = account.simulator.subscriptions[made["subscription_id"]]
    assert account.event_types() == ["customer.imported", "address.imported", "subscription.imported"]
    assert subscription["import_meta"] == {"external_id": "501", "imported_from": "paddle_classic"}
    assert subscription["next_billed_at"] == "2026-03-10T08:00:00.000000Z"
    assert account.simulator.transactions == {}


# Renewing


def test_a_renewal_bills_recurring_and_pending_items_in_one_transaction(account: Account) -> None:
    subscription_id = account.subscribe()
    account.charge(subscription_id, push_id="bill-1")
    account.charge(subscription_id, amount="5000", push_id="bill-2")
    before = len(account.simulator.events)

    (renewal,) = account.renew()

    transaction = account.simulator.transactions[renewal]
    assert (transaction["origin"], transaction["status"]) == ("subscription_recurring", "completed")
    assert [item["price"]["custom_data"] for item in transaction["items"]] == [
        None,
        {"push_id": "bill-1"},
        {"push_id": "bill-2"},
    ]
    assert transaction["details"]["totals"]["subtotal"] == str(4900 + 12345 + 5000)
    assert transaction["billing_period"] == {
        "starts_at": "2026-04-01T09:00:00.000000Z",
        "ends_at": "2026-05-01T09:00:00.000000Z",
    }
    assert account.event_types(since=before) == [
        "subscription.updated",
        "transaction.created",
        "transaction.billed",
        "transaction.updated",
        "transaction.paid",
        "transaction.updated",
        "transaction.completed",
    ]
    assert [one.transaction_id for one in account.simulator.charges] == [renewal, renewal]
    assert account.history(subscription_id, "subscription_renewed")[0]["transaction_id"] == renewal


def test_nothing_renews_early_and_nothing_renews_twice(account: Account) -> None:
    subscription_id = account.subscribe()

    early = account.renew(days=30)
    due = account.renew(days=1)
    again = account.simulator.run_renewals()

    assert (early, len(due), again) == ([], 1, [])
    assert account.simulator.subscriptions[subscription_id]["next_billed_at"] == "2026-05-01T09:00:00.000000Z"


def test_periods_missed_are_billed_one_by_one_and_pending_charges_with_the_first(account: Account) -> None:
    account.charge(account.subscribe())

    renewals = account.renew(days=100)

    assert [len(account.simulator.transactions[renewal]["items"]) for renewal in renewals] == [2, 1, 1]


def test_a_month_that_lacks_the_day_does_not_move_the_day_for_good(account: Account) -> None:
    account.simulator.clock_set("2026-01-31T10:00:00Z")
    subscription_id = account.subscribe()
    subscription = account.simulator.subscriptions[subscription_id]

    dates = [subscription["next_billed_at"][:10]]
    for day in ("2026-02-28T10:00:00Z", "2026-03-31T10:00:00Z"):
        account.simulator.clock_set(day)
        account.simulator.run_renewals()
        dates.append(subscription["next_billed_at"][:10])

    assert dates == ["2026-02-28", "2026-03-31", "2026-04-30"]


def test_a_declined_renewal_leaves_transaction_and_subscription_past_due(account: Account) -> None:
    subscription_id = account.subscribe()
    account.charge(subscription_id)
    account.simulator.decline_payments(subscription_id, times=1)
    before = len(account.simulator.events)

    (renewal,) = account.renew()

    transaction, subscription = (
        account.simulator.transactions[renewal],
        account.simulator.subscriptions[subscription_id],
    )
    assert (transaction["status"], subscription["status"]) == ("past_due", "past_due")
    assert transaction["details"]["totals"]["fee"] is None
    assert account.event_types(since=before)[1:] == [
        "transaction.created",
        "transaction.billed",
        "transaction.payment_failed",
        "transaction.past_due",
        "subscription.past_due",
        "subscription.updated",
    ]
    assert account.history(subscription_id, "subscription_past_due")[0]["transaction_id"] == renewal


def test_a_past_due_renewal_that_is_paid_makes_the_subscription_active_again(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.decline_payments(times=1)
    (renewal,) = account.renew()

    account.simulator.pay_transaction(renewal)

    assert account.simulator.transactions[renewal]["status"] == "completed"
    assert account.simulator.subscriptions[subscription_id]["status"] == "active"


def test_a_trial_ends_in_an_active_period_with_its_first_bill(account: Account) -> None:
    subscription_id = account.subscribe(items=[{"price_id": sample.PRICE_CLOUD_TRIAL_EUR, "quantity": 1}])
    trial = dict(account.simulator.subscriptions[subscription_id])
    assert "subscription.trialing" in account.event_types()

    (renewal,) = account.renew(days=14)

    subscription = account.simulator.subscriptions[subscription_id]
    first = next(iter(account.simulator.transactions.values()))
    assert (trial["status"], trial["first_billed_at"]) == ("trialing", None)
    assert trial["next_billed_at"] == "2026-03-15T09:00:00.000000Z"
    assert first["details"]["totals"]["total"] == "0"
    assert subscription["status"] == "active"
    assert subscription["first_billed_at"] == "2026-03-15T09:00:00.000000Z"
    assert account.simulator.transactions[renewal]["details"]["totals"]["subtotal"] == "4900"
    assert "subscription.activated" in account.event_types()


# Ending


def test_cancelling_forgives_what_was_pending(account: Account) -> None:
    subscription_id = account.subscribe()
    account.charge(subscription_id)
    before = len(account.simulator.events)

    account.post(f"/subscriptions/{subscription_id}/cancel", {"effective_from": "immediately"})
    renewals = account.renew()

    assert renewals == []
    assert [(one.forgiven, one.transaction_id) for one in account.simulator.charges] == [(True, None)]
    assert account.event_types(since=before) == ["subscription.updated", "subscription.canceled"]
    subscription = account.simulator.subscriptions[subscription_id]
    assert (subscription["next_billed_at"], subscription["current_billing_period"]) == (None, None)


def test_a_scheduled_cancel_leaves_no_next_transaction_and_ends_with_the_period(account: Account) -> None:
    subscription_id = account.subscribe()
    account.charge(subscription_id)

    scheduled = account.post(f"/subscriptions/{subscription_id}/cancel", {}).data
    shown = account.get(f"/subscriptions/{subscription_id}?include=next_transaction").data
    again = account.post(f"/subscriptions/{subscription_id}/cancel", {})
    renewals = account.renew()

    assert (scheduled["status"], scheduled["next_billed_at"]) == ("active", None)
    assert scheduled["scheduled_change"] == {
        "action": "cancel",
        "effective_at": "2026-04-01T09:00:00.000000Z",
        "resume_at": None,
    }
    assert shown["next_transaction"] is None
    assert again.refusal == (400, "subscription_locked_pending_changes")
    assert renewals == []
    assert account.simulator.subscriptions[subscription_id]["status"] == "canceled"
    assert account.simulator.charges[0].forgiven is True
    assert account.event_types()[-1] == "subscription.canceled"


def test_a_scheduled_change_can_be_called_off(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.cancel(subscription_id, effective_from="next_billing_period")

    restored = account.patch(f"/subscriptions/{subscription_id}", {"scheduled_change": None}).data

    assert restored["scheduled_change"] is None
    assert restored["next_billed_at"] == "2026-04-01T09:00:00.000000Z"
    assert len(account.renew()) == 1


def test_a_paused_subscription_is_not_billed_and_resumes_with_a_new_period(account: Account) -> None:
    subscription_id = account.subscribe()
    account.post(f"/subscriptions/{subscription_id}/pause", {"effective_from": "immediately"})
    while_paused = account.renew(days=40)

    resumed = account.post(f"/subscriptions/{subscription_id}/resume", {"effective_from": "immediately"}).data

    assert while_paused == []
    assert (resumed["status"], resumed["current_billing_period"]["starts_at"]) == (
        "active",
        "2026-04-10T09:00:00.000000Z",
    )
    assert len(account.simulator.transactions) == 2


def test_what_has_ended_cannot_be_changed(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.cancel(subscription_id)
    path = f"/subscriptions/{subscription_id}"

    assert account.post(f"{path}/cancel", {}).refusal == (400, "subscription_is_canceled_action_invalid")
    assert account.post(f"{path}/pause", {}).refusal == (400, "subscription_cannot_be_paused")
    assert account.post(f"{path}/resume", {"effective_from": "immediately"}).refusal == (
        400,
        "subscription_is_inactive_action_invalid",
    )
    assert account.patch(path, {"custom_data": {}}).refusal == (400, "subscription_update_when_canceled")


# Changing


def test_the_items_sent_are_the_complete_list(account: Account) -> None:
    subscription_id = account.subscribe()
    items = [
        {"price_id": sample.PRICE_INSIGHTS_EUR, "quantity": 1},
        {"price_id": sample.PRICE_SEATS_EUR, "quantity": 3},
    ]

    without_mode = account.patch(f"/subscriptions/{subscription_id}", {"items": items})
    changed = account.patch(
        f"/subscriptions/{subscription_id}", {"items": items, "proration_billing_mode": "do_not_bill"}
    )

    assert without_mode.fields == ["proration_billing_mode"]
    assert [(item["price"]["id"], item["quantity"]) for item in changed.data["items"]] == [
        (sample.PRICE_INSIGHTS_EUR, 1),
        (sample.PRICE_SEATS_EUR, 3),
    ]
    assert account.event_types()[-1] == "subscription.updated"


def test_the_next_bill_can_be_moved(account: Account) -> None:
    subscription_id = account.subscribe()
    body = {"next_billed_at": "2026-03-20T12:00:00Z", "proration_billing_mode": "do_not_bill"}

    moved = account.patch(f"/subscriptions/{subscription_id}", body).data

    assert moved["next_billed_at"] == moved["current_billing_period"]["ends_at"] == "2026-03-20T12:00:00.000000Z"
    assert len(account.renew(days=20)) == 1
