"""Accounts whose buyer is known late or twice: named as soon as Paddle knows them, and never taken from a later one."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from integration_project import clock
from integration_project.models import Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import intake
from paddle_sync.models import AccountLink, WebhookEvent
from tests.builders import make_event, make_mapping, notification, post_notification, stamp, subscription
from tests.paddle_sync.seen import CLOUD, created, open_findings, operations
from tests.paddle_sync.test_accounts import taken_account
from tests.paddle_sync.test_faults import due_again

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


class Forgetful:
    """Takes buyers out of the simulated Paddle, and puts them back."""

    def __init__(self, paddle: PaddleSimulator) -> None:
        self.tables = (paddle.customers, paddle.transactions)
        self.kept: list[dict[str, Any]] = []

    def forget(self) -> None:
        self.kept = [dict(table) for table in self.tables]
        for table in self.tables:
            table.clear()

    def remember(self) -> None:
        for table, rows in zip(self.tables, self.kept, strict=True):
            table.update(rows)


def names(m3ter: M3terSimulator) -> list[tuple[str, str]]:
    return [(account["name"], account["emailAddress"]) for account in m3ter.memory.accounts]


def bought(paddle: PaddleSimulator, deliver: Run) -> str:
    """A checkout whose two events of the subscription are here; the second is worked on later, and no longer fresh."""
    checkout = paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[CLOUD])
    deliver()
    WebhookEvent.objects.exclude(event_type__in=("subscription.created", "subscription.activated")).delete()
    later = clock.now() + dt.timedelta(hours=1)
    earlier = clock.now() - dt.timedelta(minutes=2)
    WebhookEvent.objects.filter(event_type="subscription.activated").update(due_at=later, occurred_at=earlier)
    return str(checkout["subscription_id"])


def test_an_account_made_while_paddle_did_not_know_the_buyer_is_named_as_soon_as_it_does(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    code = bought(paddle, deliver)
    memory = Forgetful(paddle)
    memory.forget()
    run_jobs()
    nameless, told = names(m3ter), open_findings()

    intake.replay(created().pk, by="anna", reason="is the buyer there?")
    run_jobs()
    still_told = open_findings()
    memory.remember()
    due_again()
    run_jobs()

    assert nameless == [(code, f"{code}@no-email.invalid")]
    assert told == still_told == [("unknown to Paddle", "")]
    assert names(m3ter) == [("Harbour", "ap@harbour.example")]
    assert [bool(account["address"]["country"]) for account in m3ter.memory.accounts] == [True]
    assert open_findings() == []
    link = AccountLink.objects.get()
    assert (link.name, link.buyer_known) == ("Harbour", True)


def test_later_a_fresh_event_is_enough_to_ask_for_a_buyer_again(
    paddle: PaddleSimulator, m3ter: M3terSimulator, client: Client, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    code = bought(paddle, deliver)
    memory = Forgetful(paddle)
    memory.forget()
    run_jobs()
    memory.remember()
    AccountLink.objects.update(created_at=clock.now() - dt.timedelta(minutes=2))

    post_notification(client, notification("subscription.updated", paddle.subscriptions[code]))
    run_jobs()

    assert names(m3ter) == [("Harbour", "ap@harbour.example")]
    assert "list subscriptions" not in operations(paddle)
    assert open_findings() == []


def test_a_buyer_who_is_known_is_not_read_again(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    bought(paddle, deliver)
    run_jobs()
    before = len(operations(m3ter))

    due_again()
    run_jobs()

    assert operations(paddle).count("get transaction") == 1
    assert len(operations(m3ter)) == before


def test_a_name_that_a_person_gave_the_account_meanwhile_stays(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    bought(paddle, deliver)
    memory = Forgetful(paddle)
    memory.forget()
    run_jobs()
    account = vendors.m3ter.get_account(AccountLink.objects.get().m3ter_account_id)
    vendors.m3ter.update_account(account, name="Harbour, as Finance calls it")

    memory.remember()
    due_again()
    run_jobs()

    assert names(m3ter) == [("Harbour, as Finance calls it", "ap@harbour.example")]


def test_an_account_whose_answer_was_lost_before_the_buyer_was_known_is_named(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    bought(paddle, deliver)
    memory = Forgetful(paddle)
    memory.forget()
    m3ter.fault("create account", "lose_answer")
    run_jobs()

    memory.remember()
    due_again()
    run_jobs()

    assert names(m3ter) == [("Harbour", "ap@harbour.example")]
    assert (AccountLink.objects.get().buyer_known, AccountLink.objects.get().adopted) == (True, False)


def test_a_nameless_account_of_another_subscription_is_no_skeleton(
    m3ter: M3terSimulator, installation: Installation, run_jobs: Run
) -> None:
    Installation.objects.update(customer_codes_trusted=True)
    make_mapping()
    custom = {"m3ter_account_code": "harbour-tools"}
    first, second = subscription(custom_data=custom), subscription(custom_data=custom)
    make_event("subscription.created", first)
    run_jobs()
    AccountLink.objects.update(state="ended")
    make_event("subscription.created", second)

    run_jobs()

    parked = WebhookEvent.objects.get(state="parked")
    assert (parked.paddle_subscription_id, parked.waiting_for_kind) == (second["id"], "account conflict")
    assert [row["customFields"]["paddleSubscriptionId"] for row in m3ter.memory.accounts] == [first["id"]]
    assert AccountLink.objects.count() == 1


def test_a_skeleton_counts_as_adopted_although_the_answer_of_filling_it_was_lost(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    code = bought(paddle, deliver)
    taken_account(vendors, code, name=code, email_address="skeleton@m3ter.example", currency=None)
    m3ter.fault("update account", "lose_answer")
    run_jobs()

    due_again()
    run_jobs()

    assert names(m3ter) == [("Harbour", "ap@harbour.example")]
    assert AccountLink.objects.get().adopted is True


@pytest.mark.parametrize("later_first", [False, True])
def test_an_account_is_taken_over_from_an_earlier_subscription_only(
    client: Client, m3ter: M3terSimulator, installation: Installation, run_jobs: Run, later_first: bool
) -> None:
    Installation.objects.update(customer_codes_trusted=True)
    make_mapping()
    same: dict[str, Any] = {"custom_data": {"m3ter_account_code": "harbour-tools"}, "customer_id": "ctm_1"}
    old, new = subscription(**same), subscription(**same)
    long_ago, later = (stamp(clock.now() - dt.timedelta(days=days)) for days in (300, 200))
    over = {**old, "status": "canceled", "canceled_at": later}
    first = [
        notification("subscription.created", {**old, "started_at": long_ago}, occurred_at=long_ago),
        notification("subscription.canceled", over, occurred_at=later),
    ]
    second = [notification("subscription.created", new)]
    for envelope in [*second, *first] if later_first else [*first, *second]:
        post_notification(client, envelope)
        run_jobs()

    live = AccountLink.objects.get(state="live")
    assert live.paddle_subscription_id == new["id"]
    assert len(list(m3ter.memory.accounts)) == 1
    parked = WebhookEvent.objects.filter(state="parked").values_list("paddle_subscription_id", "waiting_for_kind")
    assert set(parked) == ({(old["id"], "account conflict")} if later_first else set())
