"""What each fix does to what stands here, and when it is refused. What syncs and imports do is told by test_drift."""

from collections.abc import Callable
from typing import Any

import pytest

from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project import clock, finding, fixes, installation, jobs
from integration_project.errors import NotPossible
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import NewAccount
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.models import AccountLink, EventDecision, PlanMapping, PlanMove, WebhookEvent
from tests.builders import make_event, make_link, make_mapping, subscription
from tests.console.rows import make_bill, make_push
from tests.paddle_sync.seen import CLOUD, SEATS, created, open_findings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


def opened(kind: str, subject: str, *, key: str = "") -> Finding:
    """An open finding of that kind, whoever opened it."""
    finding.report(kind, subject, detail="It differs.", key=key)
    return Finding.objects.get(kind=kind, subject=subject, key=key, state="open")


def apply(row: Finding) -> None:
    fix = fixes.fix_of(row.kind)
    assert fix is not None
    fixes.apply(fix, row.pk, by="olga", reason="Agreed.")


# --- Run again --------------------------------------------------------------------------------------------------------


def test_a_plan_conflict_runs_again_once_the_mappings_agree(
    paddle: PaddleSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    wrong = make_mapping(paddle_sample.PRICE_SEATS_EUR, plan=m3ter_sample.PLAN_SEATS)
    bought = paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD, SEATS])
    deliver()
    run_jobs()
    assert created().waiting_for_kind == "plan conflict"
    PlanMapping.objects.filter(pk=wrong.pk).update(m3ter_plan_id=m3ter_sample.PLAN_SCALE)

    apply(opened("plan conflict", bought["subscription_id"]))
    run_jobs()

    assert AccountLink.objects.get().paddle_subscription_id == bought["subscription_id"]
    decision = EventDecision.objects.filter(event=created()).last()
    assert decision is not None
    assert (decision.action, decision.by, decision.reason) == ("resume", "olga", "Agreed.")


def test_an_account_conflict_runs_again_once_the_account_is_mapped(vendors: Vendors, run_jobs: Run) -> None:
    make_mapping()
    data = subscription()
    account = vendors.m3ter.create_account(
        NewAccount(code=data["id"], name="Somebody Else", email_address="else@example.com", currency="EUR")
    )
    make_event("subscription.created", data)
    run_jobs()
    assert created().waiting_for_kind == "account conflict"
    vendors.m3ter.create_external_mapping(
        entity="Account", m3ter_id=account.id, table="Subscription", external_id=data["id"]
    )

    apply(opened("account conflict", data["id"]))
    run_jobs()

    assert AccountLink.objects.get().m3ter_account_id == account.id


def test_where_nothing_waits_nothing_can_run_again() -> None:
    row = opened("plan conflict", "sub_1")

    with pytest.raises(NotPossible, match="No event of the subscription waits"):
        apply(row)


# --- Move -------------------------------------------------------------------------------------------------------------


def test_a_move_is_written_down_and_a_sync_is_asked_for() -> None:
    link = make_link()
    before = clock.now().replace(microsecond=0)

    apply(opened("mapped otherwise", link.paddle_subscription_id, key="pri_1"))

    move, asked = PlanMove.objects.get(), WebhookEvent.objects.get()
    assert (move.paddle_subscription_id, move.paddle_price_id) == (link.paddle_subscription_id, "pri_1")
    assert before <= move.moves_at <= clock.now()
    assert (move.by, move.reason) == ("olga", "Agreed.")
    assert (asked.event_type, asked.paddle_subscription_id) == ("subscription.sync", link.paddle_subscription_id)


def test_a_sync_goes_to_the_product_of_paddle_that_keeps_the_subscription() -> None:
    link = make_link("1234567", source="paddle_classic")

    apply(opened("account changed", link.paddle_subscription_id))

    assert WebhookEvent.objects.get().source == "paddle_classic"


# --- Make the account again -------------------------------------------------------------------------------------------


def gone_account() -> AccountLink:
    link = make_link()
    data = subscription(link.paddle_subscription_id)
    make_event("subscription.created", data, state="processed", due_at=None)
    return link


def with_open_push(link: AccountLink) -> None:
    make_push(make_bill(link, PushedBill.State.UNCONFIRMED), Push.State.UNCONFIRMED)


def with_bill(link: AccountLink) -> None:
    make_bill(link)


def with_policy(link: AccountLink) -> None:
    PushPolicy.objects.create(link=link, review="never")


def with_event_under_way(link: AccountLink) -> None:
    make_event("subscription.updated", subscription(link.paddle_subscription_id), state="processing")


def without_link(link: AccountLink) -> None:
    link.delete()


REFUSED: dict[str, tuple[Callable[[AccountLink], None], str]] = {
    "an open push": (with_open_push, "A charge on the subscription is under way"),
    "bills": (with_bill, "Bills of the account are stored here"),
    "a policy of its own": (with_policy, "push policy of its own"),
    "an event under way": (with_event_under_way, "is being worked on"),
    "no link any more": (without_link, "not linked any more"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_an_account_is_not_made_again_where_that_could_lose_something(why: str) -> None:
    link = gone_account()
    happens, words = REFUSED[why]
    happens(link)
    links, events = list(AccountLink.objects.values()), list(WebhookEvent.objects.order_by("pk").values())
    row = opened("account missing", link.paddle_subscription_id)

    with pytest.raises(NotPossible, match=words):
        apply(row)

    assert list(AccountLink.objects.values()) == links
    assert list(WebhookEvent.objects.order_by("pk").values()) == events


def test_the_subscriptions_beginning_runs_again_without_the_link() -> None:
    link = gone_account()

    apply(opened("account missing", link.paddle_subscription_id))

    assert AccountLink.objects.count() == 0
    assert (created().state, created().replays) == ("received", 1)
    assert AccountLink.log.filter(history_type="-").get().history_change_reason == "Agreed."


def test_a_subscription_whose_beginning_is_not_stored_is_read_from_paddle() -> None:
    link = make_link()

    apply(opened("account missing", link.paddle_subscription_id))

    asked = WebhookEvent.objects.get()
    assert (asked.event_type, asked.subject_id) == ("repair.import_subscription", link.paddle_subscription_id)


# --- Import -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda paddle, own: make_link(own), "It is linked already."),
        (lambda paddle, own: paddle.cancel(own), "It is cancelled in Paddle"),
        (lambda paddle, own: paddle.subscriptions.pop(own), "Paddle does not know this subscription."),
    ],
    ids=["linked meanwhile", "cancelled meanwhile", "unknown"],
)
def test_an_import_that_came_too_late_is_ignored_with_the_reason(
    paddle: PaddleSimulator, run_jobs: Run, prepare: Callable[[PaddleSimulator, str], Any], words: str
) -> None:
    own = str(paddle.complete_checkout(email="ap@harbour.example", items=[CLOUD])["subscription_id"])
    apply(opened("subscription not linked", own))
    prepare(paddle, own)

    run_jobs()

    asked = WebhookEvent.objects.get()
    assert asked.state == "ignored"
    assert asked.note.startswith(words)


# --- The organisation -------------------------------------------------------------------------------------------------


def test_overlapping_plans_are_told_as_long_as_m3ter_allows_them(m3ter: M3terSimulator) -> None:
    m3ter.memory.organization_config["allowOverlappingPlans"] = True
    jobs.read_organization()
    told = open_findings()
    m3ter.memory.organization_config["allowOverlappingPlans"] = False

    jobs.read_organization()

    row = Finding.objects.get()
    assert told == [("overlapping plans allowed", "")]
    assert (row.subject, row.state) == (installation.current().m3ter_org_id, "closed")
    assert fixes.acknowledgement_of(row.kind)


def test_a_kind_that_no_version_of_today_opens_can_only_be_closed() -> None:
    assert fixes.fix_of("a kind of last year") is None
    assert fixes.acknowledgement_of("a kind of last year") == ""
