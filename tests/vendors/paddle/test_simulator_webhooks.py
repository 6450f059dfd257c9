"""What the simulated Paddle sends: signatures, retries, replays, and disorder on demand."""

import hashlib
import hmac
import re

import pytest

from integration_project.vendors.paddle.simulator import guesses, sample
from integration_project.vendors.paddle.simulator.event_types import EVENT_TYPES
from integration_project.vendors.paddle.simulator.notices import live_schedule
from tests.vendors.paddle.account import WEBHOOKS, Account, Webhook

SETTING = f"/notification-settings/{sample.NOTIFICATION_SETTING_ID}"


@pytest.fixture
def account() -> Account:
    return Account()


def expected_h1(webhook: Webhook, secret: str) -> str:
    moment = webhook.headers["Paddle-Signature"].split(";")[0].removeprefix("ts=")
    return hmac.new(secret.encode(), f"{moment}:".encode() + webhook.body, hashlib.sha256).hexdigest()


def test_webhooks_go_out_in_order_in_the_documented_envelope(account: Account) -> None:
    account.subscribe()

    outcome = account.simulator.deliver_webhooks()

    assert outcome == {"delivered": 12, "refused": 0}
    assert [webhook.event["event_type"] for webhook in account.received] == account.event_types()
    first = account.received[0]
    assert first.url == WEBHOOKS
    assert set(first.event) == {"event_id", "event_type", "occurred_at", "notification_id", "data"}
    assert first.event["event_id"].startswith("evt_")
    assert first.event["notification_id"].startswith("ntf_")
    assert first.headers["User-Agent"] == "Paddle"
    assert first.headers["Content-Type"] == "application/json"


def test_nothing_is_sent_twice_without_being_asked(account: Account) -> None:
    account.subscribe()
    account.simulator.deliver_webhooks()

    again = account.simulator.deliver_webhooks(even_if_not_due=True)

    assert again == {"delivered": 0, "refused": 0}


def test_the_signature_covers_timestamp_and_raw_body_with_the_whole_secret(account: Account) -> None:
    account.subscribe()

    account.simulator.deliver_webhooks()

    webhook = account.received[0]
    assert webhook.headers["Paddle-Signature"] == (
        f"ts={int(account.time.moment.timestamp())};h1={expected_h1(webhook, sample.WEBHOOK_SECRET)}"
    )


def test_each_attempt_is_signed_afresh_and_keeps_both_ids(account: Account) -> None:
    account.subscribe()
    account.answers = [500]
    account.simulator.deliver_webhooks()
    account.time.move(60)

    account.simulator.deliver_webhooks()

    first, second = account.received[0], account.received[-1]
    assert first.body == second.body
    assert first.headers["Paddle-Signature"] != second.headers["Paddle-Signature"]
    assert second.headers["Paddle-Signature"].startswith(f"ts={int(account.time.moment.timestamp())};")


def test_while_a_secret_is_rotated_both_sign(account: Account) -> None:
    new = account.simulator.rotate_secret()
    account.subscribe()
    account.simulator.deliver_webhooks()
    account.simulator.finish_rotation()
    account.subscribe()
    account.simulator.deliver_webhooks()

    during, after = account.received[0], account.received[-1]
    hashes = re.findall(r"h1=([0-9a-f]{64})", during.headers["Paddle-Signature"])
    assert hashes == [expected_h1(during, new), expected_h1(during, sample.WEBHOOK_SECRET)]
    assert re.findall(r"h1=([0-9a-f]{64})", after.headers["Paddle-Signature"]) == [expected_h1(after, new)]
    assert account.get(SETTING).data["endpoint_secret_key"] == new


# Retries


def test_the_sandbox_retries_three_times_in_fifteen_minutes_and_gives_up(account: Account) -> None:
    account.post("/customers", {"email": "a@b.example"})
    account.answers = [500, 0, 302, 204]

    attempts = 0
    for _ in range(16):
        account.simulator.deliver_webhooks()
        account.time.move(60)
        attempts = len(account.received)

    (notification,) = account.get("/notifications").data
    assert attempts == 4
    assert (notification["status"], notification["times_attempted"], notification["retry_at"]) == ("failed", 4, None)
    logs = account.get(f"/notifications/{notification['id']}/logs?order_by=id[ASC]").data
    assert [log["response_code"] for log in logs] == [500, 0, 302, 204]


def test_live_retries_sixty_times_within_three_days(account: Account) -> None:
    waits = [live_schedule(failed) for failed in range(1, guesses.LIVE_ATTEMPTS)]
    known = [wait for wait in waits if wait is not None]

    assert (known[0], known[1]) == (60.0, 66.0)
    assert len(known) == 59
    assert live_schedule(60) is None
    assert sum(known[:19]) < 3600
    assert sum(known) < 3 * 24 * 3600


def test_a_failed_attempt_says_when_it_is_tried_again() -> None:
    account = Account(environment="live")
    account.post("/customers", {"email": "a@b.example"})
    account.answers = [503]

    account.simulator.deliver_webhooks()
    too_early = account.simulator.deliver_webhooks()

    (notification,) = account.get("/notifications?status=needs_retry").data
    assert notification["retry_at"] == "2026-11-22T12:01:00.000000Z"
    assert too_early == {"delivered": 0, "refused": 0}
    assert account.simulator.deliver_webhooks(even_if_not_due=True) == {"delivered": 1, "refused": 0}


# Replay


def test_a_replay_is_the_same_event_in_a_new_notification(account: Account) -> None:
    account.post("/customers", {"email": "a@b.example"})
    account.simulator.deliver_webhooks()
    (first,) = account.get("/notifications").data

    reply = account.post(f"/notifications/{first['id']}/replay", None)
    account.simulator.deliver_webhooks()

    one, two = account.received
    assert reply.status == 202
    assert reply.data["notification_id"] == two.event["notification_id"] != first["id"]
    assert one.event["event_id"] == two.event["event_id"]
    assert account.get(f"/notifications/{two.event['notification_id']}").data["origin"] == "replay"
    assert account.get(f"/notifications/{first['id']}").data["replayed_at"] is not None


def test_only_settled_originals_can_be_replayed(account: Account) -> None:
    account.post("/customers", {"email": "a@b.example"})
    (first,) = account.get("/notifications").data
    waiting = account.post(f"/notifications/{first['id']}/replay", None)
    account.simulator.deliver_webhooks()
    replayed = account.post(f"/notifications/{first['id']}/replay", None).data["notification_id"]
    account.simulator.deliver_webhooks()

    again = account.post(f"/notifications/{replayed}/replay", None)

    assert waiting.refusal == (400, "notification_cannot_replay")
    assert again.refusal == (400, "notification_replay_invalid_origin_type")


# Destinations


def test_a_destination_is_told_only_of_what_it_subscribed_to_and_while_it_is_active(account: Account) -> None:
    account.patch(SETTING, {"subscribed_events": ["subscription.created"]})
    account.subscribe()
    account.patch(SETTING, {"active": False})
    account.subscribe()

    account.simulator.deliver_webhooks()

    assert [webhook.event["event_type"] for webhook in account.received] == ["subscription.created"]


def test_at_most_ten_destinations_are_active(account: Account) -> None:
    body = {"description": "x", "type": "url", "destination": "https://a.example/", "subscribed_events": EVENT_TYPES}

    replies = [account.post("/notification-settings", body) for _ in range(10)]

    assert [reply.status for reply in replies] == [201] * 9 + [400]
    assert replies[-1].refusal == (400, "notification_maximum_active_settings_reached")
    assert account.call("DELETE", f"/notification-settings/{replies[0].data['id']}").status == 204
    assert account.post("/notification-settings", body).status == 201


def test_there_are_fifty_six_event_types(account: Account) -> None:
    assert len(account.get("/event-types").data) == 56
    assert EVENT_TYPES[0] == "address.created"


# Disorder


def test_webhooks_are_doubled_shuffled_and_put_off_on_demand(account: Account) -> None:
    account.subscribe()
    account.simulator.fault("webhooks", "delay", seconds=30)
    account.simulator.fault("webhooks", "shuffle")
    account.simulator.fault("webhooks", "duplicate", copies=5)

    put_off = account.simulator.deliver_webhooks()
    account.time.move(30)
    account.simulator.deliver_webhooks()

    ids = [webhook.event["event_id"] for webhook in account.received]
    in_order = [event["event_id"] for event in account.simulator.events]
    assert put_off == {"delivered": 0, "refused": 0}
    assert len(ids) == 16
    assert ids[:5] == [ids[0]] * 5
    assert ids[4:] != in_order
    assert sorted(ids[4:]) == in_order
