"""A subscription says whether it can be charged now, and what becomes of the bill where it cannot."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from billing_bridge.charges import why_not_now
from billing_bridge.models import PushedBill, PushPolicy
from integration_project.vendors.paddle.entities import Subscription
from tests.builders import subscription

State = PushedBill.State
Reason = PushedBill.Reason
NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def active(**changes: Any) -> Subscription:
    """A subscription that can be charged."""
    data = subscription(next_billed_at="2026-03-10T12:00:00Z", currency_code="USD")
    return Subscription.from_paddle({**data, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"status": "trialing"}, (State.WAITING, Reason.TRIAL)),
        ({"status": "past_due"}, (State.WAITING, Reason.PAST_DUE)),
        ({"status": "paused"}, (State.WAITING, Reason.PAUSED)),
        ({"status": "canceled"}, (State.HELD, Reason.CANCELLED)),
        ({"status": "dreaming"}, (State.HELD, Reason.CONFIGURATION)),
        ({"currency_code": "EUR"}, (State.HELD, Reason.CURRENCY)),
        ({"next_billed_at": None}, (State.HELD, Reason.RENEWAL_TOO_FAR)),
        ({"next_billed_at": "2026-04-05T11:59:00Z"}, None),
        ({"next_billed_at": "2026-04-05T12:01:00Z"}, (State.HELD, Reason.RENEWAL_TOO_FAR)),
        ({"next_billed_at": "2026-03-01T12:36:00Z"}, None),
        ({"next_billed_at": "2026-03-01T12:35:00Z"}, (State.WAITING, Reason.RENEWAL_LOCK)),
        ({"next_billed_at": "2026-03-01T11:00:00Z"}, (State.WAITING, Reason.RENEWAL_LOCK)),
        ({"collection_mode": "manual"}, None),
    ],
)
def test_a_subscription_says_whether_it_can_be_charged_now(
    changes: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    verdict = why_not_now(active(**changes), currency="USD", policy=PushPolicy(), now=NOW)

    assert (None if verdict is None else (verdict.state, verdict.reason)) == expected


def test_an_invoiced_subscription_in_a_currency_without_invoices_is_held() -> None:
    invoiced = active(collection_mode="manual", currency_code="SEK")

    verdict = why_not_now(invoiced, currency="SEK", policy=PushPolicy(), now=NOW)

    assert verdict is not None
    assert (verdict.state, verdict.reason) == (State.HELD, Reason.MODE)


def test_what_waits_has_a_time_after_the_renewal() -> None:
    renews_at = NOW + dt.timedelta(minutes=20)

    verdict = why_not_now(replace(active(), next_billed_at=renews_at), currency="USD", policy=PushPolicy(), now=NOW)

    assert verdict is not None
    assert verdict.due_at == renews_at + dt.timedelta(minutes=5)


@pytest.mark.parametrize(
    ("late", "at_once", "then", "then_mode"),
    [
        ("wait", False, "with the renewal after that", ""),
        ("wait", True, "at once after that", ""),
        ("immediately", False, "at once after that", "immediately"),
    ],
)
def test_what_comes_too_late_for_a_renewal_says_how_it_goes_on(
    late: str, at_once: bool, then: str, then_mode: str
) -> None:
    soon = replace(active(), next_billed_at=NOW + dt.timedelta(minutes=20))

    verdict = why_not_now(soon, currency="USD", policy=PushPolicy(late=late), now=NOW, at_once=at_once)

    assert verdict is not None
    assert verdict.detail.endswith(f"It is charged {then}.")
    assert verdict.then_mode == then_mode


@pytest.mark.parametrize(
    ("lists", "account", "left_out"),
    [
        ({"excluded_accounts": "Acme EU"}, "Acme EU", True),
        ({"excluded_accounts": "Acme EU"}, "EU", False),
        ({"excluded_accounts": " Acme EU \r\n\nEU\n"}, "EU", True),
        ({"allowed_accounts": "Acme EU"}, "Acme EU", False),
        ({"allowed_accounts": "Acme EU"}, "EU", True),
        ({"allowed_accounts": "Acme EU\nEU"}, "EU", False),
        ({"allowed_accounts": " \n "}, "EU", False),
    ],
)
def test_accounts_are_let_in_and_left_out_by_whole_lines(lists: dict[str, str], account: str, left_out: bool) -> None:
    assert PushPolicy(**lists).leaves_out("id", account) is left_out
