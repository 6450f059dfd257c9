"""Trials, dates and scheduled changes in the simulated Paddle, by the API and by the controls; the list of events."""

import pytest

from integration_project.vendors.paddle.simulator import sample
from integration_project.vendors.simulation import ControlError
from tests.vendors.paddle.account import CLOUD, Account

TRIAL = [{"price_id": sample.PRICE_CLOUD_TRIAL_EUR, "quantity": 1}]
NEVER_BILL = {"proration_billing_mode": "do_not_bill"}
PERIOD_END = "2026-04-01T09:00:00.000000Z"


@pytest.fixture
def account() -> Account:
    return Account()


def happened(account: Account, since: int) -> list[str]:
    return account.event_types(since=since)


# Trials.


def test_a_trial_is_ended_early_by_the_api_or_a_person(account: Account) -> None:
    by_api, by_hand = account.subscribe(items=TRIAL), account.subscribe(items=TRIAL)
    account.simulator.clock_move(days=4)
    before = len(account.simulator.events)

    account.post(f"/subscriptions/{by_api}/activate", None)
    account.simulator.end_trial(by_hand)

    for subscription_id in (by_api, by_hand):
        subscription = account.simulator.subscriptions[subscription_id]
        assert subscription["status"] == "active"
        assert subscription["current_billing_period"] == {
            "starts_at": "2026-03-05T09:00:00.000000Z",
            "ends_at": "2026-04-05T09:00:00.000000Z",
        }
        assert subscription["items"][0]["trial_dates"]["ends_at"] == "2026-03-05T09:00:00.000000Z"
    assert happened(account, before).count("subscription.activated") == 2
    with pytest.raises(ControlError, match="active, not trialing"):
        account.simulator.end_trial(by_hand)


def test_a_trial_that_ends_by_itself_is_followed_by_whole_periods(account: Account) -> None:
    subscription_id = account.subscribe(items=TRIAL)

    account.renew(days=14)

    assert account.simulator.subscriptions[subscription_id]["current_billing_period"] == {
        "starts_at": "2026-03-15T09:00:00.000000Z",
        "ends_at": "2026-04-15T09:00:00.000000Z",
    }


def test_a_trial_is_made_longer(account: Account) -> None:
    subscription_id = account.subscribe(items=TRIAL)

    account.simulator.move_renewal(subscription_id, "2026-03-25T09:00:00Z")

    subscription = account.simulator.subscriptions[subscription_id]
    assert (subscription["status"], subscription["next_billed_at"]) == ("trialing", "2026-03-25T09:00:00.000000Z")
    assert subscription["items"][0]["trial_dates"]["ends_at"] == "2026-03-25T09:00:00.000000Z"
    assert account.renew(days=14) == []
    assert len(account.renew(days=10)) == 1


def test_a_trial_ends_past_due_when_its_first_payment_fails(account: Account) -> None:
    subscription_id = account.subscribe(items=TRIAL)
    account.simulator.decline_payments(subscription_id, times=1)
    before = len(account.simulator.events)

    account.renew(days=14)

    assert account.simulator.subscriptions[subscription_id]["status"] == "past_due"
    assert {"subscription.activated", "subscription.past_due"} <= set(happened(account, before))


# Dates and scheduled changes.


def test_a_person_moves_the_renewal(account: Account) -> None:
    subscription_id = account.subscribe()

    account.simulator.move_renewal(subscription_id, "2026-03-20T12:00:00+00:00")

    subscription = account.simulator.subscriptions[subscription_id]
    assert subscription["next_billed_at"] == "2026-03-20T12:00:00.000000Z"
    with pytest.raises(ControlError, match="in the future"):
        account.simulator.move_renewal(subscription_id, "2026-02-20T12:00:00Z")


def test_a_renewal_is_not_moved_while_paused_or_while_a_change_is_scheduled(account: Account) -> None:
    paused, leaving = account.subscribe(), account.subscribe()
    account.simulator.pause(paused)
    account.simulator.cancel(leaving, effective_from="next_billing_period")
    body = {"next_billed_at": "2026-03-20T12:00:00Z", **NEVER_BILL}

    assert account.patch(f"/subscriptions/{paused}", body).refusal == (400, "subscription_not_active")
    assert account.patch(f"/subscriptions/{leaving}", body).refusal == (400, "subscription_locked_pending_changes")
    kept = account.patch(f"/subscriptions/{leaving}", {**body, "scheduled_change": None}).data
    assert (kept["scheduled_change"], kept["next_billed_at"]) == (None, "2026-03-20T12:00:00.000000Z")


def test_a_scheduled_cancel_is_dated_as_scheduled_however_late_it_is_carried_out(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.cancel(subscription_id, effective_from="next_billing_period")
    before = len(account.simulator.events)

    assert account.renew(days=50) == []

    subscription = account.simulator.subscriptions[subscription_id]
    assert (subscription["status"], subscription["canceled_at"]) == ("canceled", PERIOD_END)
    assert happened(account, before) == ["subscription.updated", "subscription.canceled"]


@pytest.mark.parametrize("by", ["api", "hand"])
def test_a_scheduled_pause_begins_with_the_period_and_ends_by_itself(account: Account, by: str) -> None:
    subscription_id = account.subscribe()
    resume_at = "2026-04-11T09:00:00.000000Z"
    if by == "api":
        account.post(f"/subscriptions/{subscription_id}/pause", {"resume_at": resume_at})
    else:
        account.simulator.pause(subscription_id, effective_from="next_billing_period", resume_at=resume_at)
    subscription = account.simulator.subscriptions[subscription_id]
    scheduled = dict(subscription["scheduled_change"])

    account.renew(days=32)
    paused = (subscription["status"], subscription["paused_at"], subscription["scheduled_change"]["action"])
    before = len(account.simulator.events)
    (transaction,) = account.renew(days=20)

    assert scheduled == {"action": "pause", "effective_at": PERIOD_END, "resume_at": resume_at}
    assert paused == ("paused", PERIOD_END, "resume")
    assert (subscription["status"], subscription["scheduled_change"]) == ("active", None)
    assert subscription["current_billing_period"]["starts_at"] == resume_at
    assert account.simulator.transactions[transaction]["billing_period"]["starts_at"] == resume_at
    assert happened(account, before)[:2] == ["subscription.updated", "subscription.resumed"]


def test_a_pause_may_be_for_a_while_at_once(account: Account) -> None:
    subscription_id = account.subscribe()
    resume_at = "2026-03-11T09:00:00Z"

    body = {"effective_from": "immediately", "resume_at": resume_at}
    paused = account.post(f"/subscriptions/{subscription_id}/pause", body).data
    resumed = account.renew(days=12)

    assert (paused["status"], paused["scheduled_change"]["effective_at"]) == ("paused", resume_at)
    assert len(resumed) == 1


def test_the_day_a_pause_ends_is_said_later(account: Account) -> None:
    paused, pausing = account.subscribe(), account.subscribe()
    account.simulator.pause(paused)
    account.simulator.pause(pausing, effective_from="next_billing_period")
    body = {"effective_from": "2026-05-11T09:00:00Z"}
    before = len(account.simulator.events)

    waits = account.post(f"/subscriptions/{paused}/resume", body).data
    will = account.post(f"/subscriptions/{pausing}/resume", body).data

    assert (waits["status"], waits["scheduled_change"]["action"]) == ("paused", "resume")
    assert (will["status"], will["scheduled_change"]["action"]) == ("active", "pause")
    assert will["scheduled_change"]["resume_at"] == waits["scheduled_change"]["effective_at"] == body["effective_from"]
    assert happened(account, before) == ["subscription.updated"] * 2
    past = account.post(f"/subscriptions/{paused}/resume", {"effective_from": "2026-02-01T00:00:00Z"})
    assert past.fields == ["effective_from"]
    assert account.post(f"/subscriptions/{account.subscribe()}/resume", body).refusal == (
        400,
        "subscription_is_inactive_action_invalid",
    )


@pytest.mark.parametrize("action", ["cancel", "pause"])
def test_a_person_calls_a_scheduled_change_off(account: Account, action: str) -> None:
    subscription_id = account.subscribe()
    getattr(account.simulator, action)(subscription_id, effective_from="next_billing_period")

    account.simulator.call_off_change(subscription_id)

    subscription = account.simulator.subscriptions[subscription_id]
    assert (subscription["scheduled_change"], subscription["next_billed_at"]) == (None, PERIOD_END)
    assert len(account.renew()) == 1


def test_a_pause_loses_its_end(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.pause(subscription_id, resume_at="2026-03-11T09:00:00Z")

    account.simulator.call_off_change(subscription_id)

    subscription = account.simulator.subscriptions[subscription_id]
    assert (subscription["scheduled_change"], subscription["next_billed_at"]) == (None, None)
    assert account.renew() == []


def test_nothing_is_scheduled_twice_or_without_a_period(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.pause(subscription_id, effective_from="next_billing_period")
    with pytest.raises(ControlError, match="scheduled already"):
        account.simulator.cancel(subscription_id, effective_from="next_billing_period")

    account.simulator.cancel(subscription_id)
    with pytest.raises(ControlError, match="no period"):
        account.simulator.pause(subscription_id, effective_from="next_billing_period")


# What is told, and to whom.


def test_while_webhooks_are_silenced_events_are_listed_but_never_delivered(account: Account) -> None:
    account.simulator.silence_webhooks()
    account.subscribe()
    account.simulator.silence_webhooks(silent=False)
    account.simulator.deliver_webhooks(even_if_not_due=True)
    while_down = len(account.received)
    account.subscribe(email="b@pier.example")
    account.simulator.deliver_webhooks(even_if_not_due=True)

    listed = account.get("/events?per_page=200&order_by=id[ASC]").data
    assert while_down == 0
    assert [event["event_id"] for event in listed] == [event["event_id"] for event in account.simulator.events]
    assert [hook.event["event_id"] for hook in account.received] == [event["event_id"] for event in listed[12:]]


def test_a_reset_ends_the_silence(account: Account) -> None:
    account.simulator.silence_webhooks()
    account.simulator.reset()

    account.subscribe()

    assert account.simulator.notifications


def test_events_are_paged_in_order_after_the_one_last_seen(account: Account) -> None:
    account.subscribe()
    account.simulator.clock_move(days=-3)  # the business clock put back must not put newer events before older ones
    account.subscribe(email="b@pier.example")
    every = [event["event_id"] for event in account.simulator.events]

    read: list[str] = []
    page = account.get("/events?per_page=5&order_by=id[ASC]")
    while True:
        read += [event["event_id"] for event in page.data]
        if not page.pagination["has_more"]:
            break
        page = account.get(page.pagination["next"])

    assert read == every
    assert [event["event_id"] for event in account.get("/events?per_page=200").data] == every[::-1]
    after = account.get(f"/events?order_by=id[ASC]&after={every[6]}").data
    assert [event["event_id"] for event in after] == every[7:]
    before = account.get(f"/events?after={every[6]}").data
    assert [event["event_id"] for event in before] == every[5::-1]
    of_type = account.get("/events?order_by=id[ASC]&event_type=subscription.created,subscription.activated").data
    assert [event["event_type"] for event in of_type] == ["subscription.created", "subscription.activated"] * 2


def test_events_older_than_ninety_days_are_listed_no_more(account: Account) -> None:
    account.subscribe()
    account.simulator.clock_move(days=90)
    kept = len(account.get("/events").data)

    account.simulator.clock_move(seconds=1)

    assert (kept, account.get("/events").data) == (12, [])


def test_transactions_are_read_together_with_their_people(account: Account) -> None:
    made = [
        account.simulator.complete_checkout(email=f"{name}@b.example", items=CLOUD, business={"name": name})
        for name in ("anna", "bert", "carl")
    ]
    wanted = ",".join(each["transaction_id"] for each in made[:2])

    listed = account.get(f"/transactions?id={wanted}&include=customer,address,business&order_by=id[ASC]").data

    assert [entry["id"] for entry in listed] == [each["transaction_id"] for each in made[:2]]
    assert [entry["customer"]["email"] for entry in listed] == ["anna@b.example", "bert@b.example"]
    assert [entry["address"]["id"] for entry in listed] == [each["address_id"] for each in made[:2]]
    assert [entry["business"]["name"] for entry in listed] == ["anna", "bert"]
