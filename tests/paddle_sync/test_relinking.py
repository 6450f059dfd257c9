"""A subscription is linked to another m3ter account, or takes one that was there before: what is refused, and what is
so afterwards, whatever gets lost on the way."""

import contextlib
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from billing_bridge.models import CarriedEntry
from integration_project import clock, events
from integration_project.models import Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import NewAccount
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import intake
from paddle_sync.models import AccountLink, WebhookEvent
from tests.billing_bridge.world import LIVE_SINCE, World, push_of
from tests.builders import make_event, make_link, make_mapping, paddle_id
from tests.paddle_sync.seen import CLOUD, SEATS, open_findings, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
WHY: dict[str, str] = {"by": "ada", "reason": "They signed under another name."}


class Stage:
    """A subscription and two accounts."""

    def __init__(self, paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, run: Run) -> None:
        self.paddle, self.m3ter, self.vendors, self.run = paddle, m3ter, vendors, run
        checkout = paddle.complete_checkout(email="ap@harbour.example", name="Harbour Tools", items=[CLOUD, SEATS])
        self.subscription_id: str = checkout["subscription_id"]
        self.began_at = clock.now()

    def bought(self) -> dict[str, Any]:
        """The subscription as its notifications carry it."""
        return dict(self.vendors.paddle.get_subscription(self.subscription_id).raw)

    def begin(self) -> None:
        """Work on the event that the subscription began with, an hour after it did."""
        long_ago = clock.now() - dt.timedelta(hours=1)
        subscription = self.paddle.subscriptions[self.subscription_id]
        for name in ("started_at", "first_billed_at", "created_at"):
            subscription[name] = long_ago.isoformat().replace("+00:00", "Z")
        make_event("subscription.created", self.bought(), occurred_at=long_ago)
        self.run()

    def account(self, code: str = "harbour-old", **changes: Any) -> str:
        """An account that m3ter has already."""
        wanted = {"name": "Harbour Tools Ltd", "email_address": "x@example.com", "currency": "EUR", **changes}
        return self.vendors.m3ter.create_account(NewAccount(code=code, **wanted)).id

    def relink(self, account: str) -> WebhookEvent:
        """Ask for it, and work on it."""
        event = intake.ask_to_relink(self.subscription_id, account, **WHY)
        self.run()
        event.refresh_from_db()
        return event

    @property
    def link(self) -> AccountLink:
        """The subscription's link."""
        return AccountLink.objects.get(paddle_subscription_id=self.subscription_id)

    def plans_on(self, account_id: str) -> dict[str, tuple[str, str]]:
        """Product of each plan on an account -> its start and end."""
        names = {m3ter_sample.PLAN_SCALE: "cloud", m3ter_sample.PLAN_SEATS: "seats"}
        return {
            names[plan["planId"]]: (plan["startDate"][:19], (plan.get("endDate") or "")[:19])
            for plan in self.m3ter.memory.account_plans
            if plan["accountId"] == account_id
        }

    def mapped_to(self) -> list[str]:
        """The m3ter entities that the subscription's external id leads to."""
        return [
            each["m3terId"]
            for each in self.m3ter.memory.external_mappings
            if each["externalId"] == self.subscription_id
        ]


@pytest.fixture
def stage(paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run) -> Stage:
    """A subscription of two plans, one with its quantity counted, that nobody has linked yet."""
    make_mapping()
    counted = {"quantity_use": "counter", "m3ter_counter_id": m3ter_sample.COUNTER_SEATS}
    make_mapping(
        str(SEATS["price_id"]), plan=m3ter_sample.PLAN_SEATS, m3ter_product=m3ter_sample.PRODUCT_SEATS, **counted
    )
    return Stage(paddle, m3ter, vendors, run_jobs)


def assert_relinked(stage: Stage, old: str, new: str) -> None:
    """All of it: nothing runs on the old account, everything on the new one, from one moment on."""
    link = stage.link
    assert link.account_since is not None
    since = link.account_since.strftime("%Y-%m-%dT%H:%M:%S")
    assert (link.m3ter_account_id, link.m3ter_account_code, link.left_account_id) == (new, "harbour-old", old)
    assert {product: ends for product, (_, ends) in stage.plans_on(old).items()} == {"cloud": since, "seats": since}
    assert stage.plans_on(new) == {"cloud": (since, ""), "seats": (since, "")}
    assert all(starts < since for starts, _ in stage.plans_on(old).values())
    assert stage.mapped_to() == [new]
    counts = {
        account: [each["value"] for each in stage.m3ter.memory.counter_adjustments if each["accountId"] == account][-1:]
        for account in (old, new)
    }
    assert counts == {old: [0], new: [10]}
    marks = {
        account["id"]: account["customFields"].get("paddleSubscriptionId") for account in stage.m3ter.memory.accounts
    }
    assert marks == {old: "", new: stage.subscription_id}
    assert open_findings() == []
    assert sorted(link.plans_now().values_list("left_account_id", "ends_at")) == [("", None), ("", None)]
    assert set(link.plans.exclude(left_account_id="").values_list("left_account_id", "ends_at")) == {
        (old, link.account_since)
    }


def test_the_plans_end_on_the_old_account_and_begin_on_the_new_one_at_one_moment(stage: Stage, operator: User) -> None:
    stage.begin()
    old, new = stage.link.m3ter_account_id, stage.account()
    before = clock.now().replace(microsecond=0)

    event = intake.ask_to_relink(stage.subscription_id, "harbour-old", by="operator", reason="Another contract.")
    stage.run()

    event.refresh_from_db()
    assert event.state == "processed", event.note
    assert_relinked(stage, old, new)
    assert stage.link.account_since is not None
    assert stage.link.account_since >= before
    version = AccountLink.log.filter(m3ter_account_id=new).order_by("history_id").first()
    assert (version.history_user, version.history_change_reason) == (operator, "Another contract.")
    states = WebhookEvent.objects.order_by("pk").values_list("event_type", "state")
    assert list(states)[1:] == [("subscription.relink", "processed"), ("subscription.sync", "processed")]


def test_an_account_is_found_by_its_id_too(stage: Stage) -> None:
    stage.begin()
    old, new = stage.link.m3ter_account_id, stage.account()

    assert stage.relink(new).state == "processed"

    assert_relinked(stage, old, new)


def test_afterwards_nothing_is_left_to_do(stage: Stage) -> None:
    stage.begin()
    stage.account()
    stage.relink("harbour-old")
    asked = len(operations(stage.m3ter))

    again = intake.ask_to_sync(stage.subscription_id, **WHY)
    make_event("subscription.updated", stage.bought())
    stage.run()

    again.refresh_from_db()
    assert again.state == "ignored", again.note
    made = stage.m3ter.calls[asked:]
    assert [call.operation for call in made if call.method != "GET" and call.operation != "get token"] == []


def test_going_back_leaves_what_was_there_before_as_it_was(stage: Stage) -> None:
    stage.begin()
    old = stage.link.m3ter_account_id
    new = stage.account()
    stage.relink("harbour-old")
    first = stage.plans_on(old)

    event = stage.relink(stage.subscription_id)

    assert event.state == "processed", event.note
    assert stage.link.m3ter_account_id == old
    on_old = [plan for plan in stage.m3ter.memory.account_plans if plan["accountId"] == old]
    assert sorted(bool(plan.get("endDate")) for plan in on_old) == [False, False, True, True]
    assert {plan["endDate"][:19] for plan in on_old if plan.get("endDate")} == {ends for _, ends in first.values()}
    assert all(ends for _, ends in stage.plans_on(new).values())
    assert stage.mapped_to() == [old]


LOST = (
    ("list accounts", "lose_answer"),
    ("create counter adjustment", "lose_answer"),
    ("update counter adjustment", "lose_answer"),
    ("list account plans", "error_before"),
    ("update account plan", "lose_answer"),
    ("get account", "error_before"),
    ("update account", "lose_answer"),
    ("find external mapping", "error_before"),
    ("update external mapping", "lose_answer"),
)


@pytest.mark.parametrize(("operation", "fault"), LOST, ids=[f"{name} {fault}" for name, fault in LOST])
def test_a_lost_answer_or_a_failed_call_changes_nothing_of_the_outcome(
    stage: Stage, operation: str, fault: str
) -> None:
    stage.begin()
    old, new = stage.link.m3ter_account_id, stage.account()
    stage.m3ter.fault(operation, fault, times=1)

    event = stage.relink("harbour-old")
    WebhookEvent.objects.filter(state="received").update(due_at=clock.now())
    stage.run()

    event.refresh_from_db()
    assert event.state == "processed", event.note
    assert_relinked(stage, old, new)


class Killed(BaseException):
    """The process is gone."""


CALLS = 11
"""Of a relinking, as the last of these tests shows."""


@pytest.mark.parametrize("number", range(1, CALLS + 2))
def test_a_process_killed_before_any_call_leaves_what_the_next_one_finishes(stage: Stage, number: int) -> None:
    stage.begin()
    old, new = stage.link.m3ter_account_id, stage.account()
    event = intake.ask_to_relink(stage.subscription_id, "harbour-old", **WHY)
    made: list[str] = []

    def die(operation: str) -> None:
        made.append(operation)
        if len(made) == number:
            raise Killed

    with contextlib.suppress(Killed), stage.vendors.listening(before=die, after=lambda call: None):
        events.relink(event, stage.vendors)
    stage.run()

    event.refresh_from_db()
    assert event.state == "processed", event.note
    assert_relinked(stage, old, new)
    assert min(len(made), number) == min(number, CALLS)


# --- What is refused --------------------------------------------------------------------------------------------------


def nothing_there(stage: Stage) -> str:
    return "nobody"


def an_id_of_nothing(stage: Stage) -> str:
    return "00000000-0000-0000-0000-00000000dead"


def somebody_elses(stage: Stage) -> str:
    make_link(m3ter_account_id=stage.account(), m3ter_account_code="harbour-old")
    return "harbour-old"


def in_another_currency(stage: Stage) -> str:
    stage.account(currency="USD")
    return "harbour-old"


def cancelled(stage: Stage) -> str:
    stage.account()
    AccountLink.objects.update(paddle_status="canceled")
    return "harbour-old"


def ended(stage: Stage) -> str:
    stage.account()
    AccountLink.objects.update(state="ended")
    return "harbour-old"


REFUSED = (
    (nothing_there, 'm3ter has no account with the code or id "nobody".'),
    (an_id_of_nothing, 'm3ter has no account with the code or id "00000000-'),
    (somebody_elses, 'The m3ter account "harbour-old" belongs to the subscription sub_'),
    (in_another_currency, 'The m3ter account "harbour-old" is billed in USD, the subscription in EUR.'),
    (cancelled, "The subscription is cancelled, so nothing of it will be measured."),
    (ended, "The link has ended: another subscription goes on with its account."),
)


@pytest.mark.parametrize(("situation", "words"), REFUSED, ids=[situation.__name__ for situation, _ in REFUSED])
def test_what_must_not_be_fails_with_a_sentence_and_changes_nothing(
    stage: Stage, situation: Callable[[Stage], str], words: str
) -> None:
    stage.begin()
    account = situation(stage)
    before, asked = AccountLink.objects.order_by("pk").values(), len(stage.m3ter.calls)
    kept = list(before)

    event = stage.relink(account)

    assert (event.state, event.failure_kind) == ("failed", "permanent")
    assert event.note.startswith(words)
    assert event.note.endswith("Nothing was changed.")
    assert list(before.all()) == kept
    made = {call.operation for call in stage.m3ter.calls[asked:] if call.method != "GET"}
    assert made <= {"get token"}


def test_the_account_it_has_already_is_nothing_to_do(stage: Stage) -> None:
    stage.begin()

    event = stage.relink(stage.subscription_id)

    assert (event.state, stage.link.account_since) == ("ignored", None)


@pytest.fixture
def world(stage: Stage) -> World:
    """One subscription that is linked, in USD, and charging has begun."""
    Installation.objects.update(charge_from=LIVE_SINCE)
    return World.begun(stage.paddle, stage.m3ter, stage.vendors)


def a_push_is_open(world: World) -> None:
    push = push_of(world.pushed())
    type(push).objects.filter(pk=push.pk).update(state="unconfirmed")


def a_bill_is_not_settled(world: World) -> None:
    world.imported()


def a_balance_is_carried(world: World) -> None:
    bill = world.pushed()
    CarriedEntry.objects.create(
        m3ter_account_id=bill.m3ter_account_id,
        currency=bill.currency,
        source_bill=bill,
        amount=5,
        remaining=5,
        at=clock.now(),
    )


OWED = (
    (a_push_is_open, "A charge on the subscription is under way, or not yet confirmed."),
    (a_bill_is_not_settled, "1 bill of the account is not settled:"),
    (a_balance_is_carried, "The account "),
)


@pytest.mark.parametrize(("situation", "words"), OWED, ids=[situation.__name__ for situation, _ in OWED])
def test_nobody_leaves_an_account_on_which_something_is_open(
    stage: Stage, world: World, situation: Callable[[World], None], words: str
) -> None:
    situation(world)
    stage.account(currency="USD")
    link = AccountLink.objects.get()
    asked = len(stage.m3ter.calls)

    event = intake.ask_to_relink(link.paddle_subscription_id, "harbour-old", **WHY)
    stage.run()

    event.refresh_from_db()
    assert (event.state, event.failure_kind) == ("failed", "permanent")
    assert event.note.startswith(words)
    assert AccountLink.objects.get().m3ter_account_id == link.m3ter_account_id
    made = {call.operation for call in stage.m3ter.calls[asked:]}  # the bill's own work goes on
    assert made.isdisjoint({"update account", "update account plan", "update external mapping"})


# --- Taking an account that was there before --------------------------------------------------------------------------


def test_an_account_in_the_way_is_taken_once_a_person_says_so(stage: Stage) -> None:
    taken = stage.account(stage.subscription_id)
    stage.begin()
    parked = WebhookEvent.objects.get()
    assert (parked.state, parked.waiting_for_kind) == ("parked", "account conflict")

    event = stage.relink(stage.subscription_id)

    parked.refresh_from_db()
    assert (event.state, parked.state) == ("processed", "processed"), event.note
    assert (stage.link.m3ter_account_id, stage.link.adopted, stage.mapped_to()) == (taken, True, [taken])
    assert set(stage.plans_on(taken)) == {"cloud", "seats"}
    assert open_findings() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"currency": "USD"}, "is billed in USD, the subscription in EUR. Nothing was changed."),
        ({"code": "another"}, 'and this account has the code "another". Nothing was changed.'),
    ],
    ids=["currency", "code"],
)
def test_an_account_that_does_not_fit_is_not_taken(stage: Stage, changes: dict[str, str], words: str) -> None:
    stage.account(**{"code": stage.subscription_id, **changes})
    if "code" in changes:
        stage.account(stage.subscription_id)
    stage.begin()

    event = stage.relink(changes.get("code", stage.subscription_id))

    assert event.state == "failed"
    assert words in event.note
    assert (stage.mapped_to(), AccountLink.objects.count()) == ([], 0)
    assert WebhookEvent.objects.get(event_type="subscription.created").state == "parked"


def test_an_account_of_another_live_link_is_not_taken(stage: Stage) -> None:
    make_link(m3ter_account_id=stage.account(stage.subscription_id))
    stage.begin()

    event = stage.relink(stage.subscription_id)

    assert (event.state, stage.mapped_to()) == ("failed", [])
    assert "belongs to the subscription sub_" in event.note


def test_a_subscription_that_nobody_knows_takes_no_account(stage: Stage) -> None:
    stage.account("somebody")

    event = intake.ask_to_relink(paddle_id("sub"), "somebody", **WHY)
    stage.run()

    event.refresh_from_db()
    assert event.state == "failed"
    assert event.note.startswith("Nobody knows yet how the subscription began")


@pytest.mark.parametrize("fault", ["lose_answer", "error_before"])
def test_an_adoption_survives_a_lost_answer(stage: Stage, fault: str) -> None:
    taken = stage.account(stage.subscription_id)
    stage.begin()
    stage.m3ter.fault("create external mapping", fault, times=1)

    event = stage.relink(stage.subscription_id)
    WebhookEvent.objects.filter(state="received").update(due_at=clock.now())
    stage.run()

    event.refresh_from_db()
    assert event.state == "processed", event.note
    assert (stage.link.m3ter_account_id, stage.mapped_to()) == (taken, [taken])
