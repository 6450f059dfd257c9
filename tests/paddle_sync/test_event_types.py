"""What this application does with every type of event that the vendors have, in one table, tried with real ones.

A row with a payload that Paddle published says exactly what comes of it, for a subscription that nobody knew and for
one that is linked and mapped. The payloads lie beside the checkout and are no part of it: without them those rows are
skipped, saying so.
"""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from integration_project.events import HANDLERS
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator.event_types import EVENT_TYPES
from integration_project.vendors.paddle_classic import signature
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from integration_project.vendors.paddle_classic.simulator.world import Subscription as ClassicSubscription
from paddle_sync.models import AccountLink, WebhookEvent
from paddle_sync.own_events import OWN_TYPES
from tests.builders import make_mapping, notification, paddle_id, post_notification
from tests.contracts import sample_files
from tests.paddle_sync.seen import open_findings, operations
from tests.vendors.paddle_classic.signing import body_of, signed

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
Json = dict[str, Any]
BILLING, CLASSIC, M3TER = "paddle", "paddle_classic", "m3ter"
IGNORED = "stored and ignored"
PAYLOADS = {file.stem: file for file in sample_files("paddle-events")}
ALERTS = {file.stem: file for file in sample_files("paddle-classic-alerts")}
PEOPLE = ("customer.created", "address.created", "business.created", "transaction.completed")
"""What the simulated Paddle knows of the buyer and the checkout from the beginning."""


@dataclass(frozen=True)
class After:
    """What there is when an event was worked on."""

    event: str
    """The state that the event left with."""
    accounts: tuple[str, ...] = ()
    """Currency and name of every account in m3ter."""
    plans: tuple[str, ...] = ()
    """Every plan on them: which, from when to when."""
    findings: tuple[str, ...] = ()
    """Kinds of the findings that are open."""
    all_ends: str = ""
    """The end that everything on the account was given."""


@dataclass(frozen=True)
class Row:
    """A type of event, what is done with it, and what comes of the published one."""

    source: str
    name: str
    does: str
    """The function that works on it, or that it is stored and ignored."""
    new: After | None = None
    """What comes of it where nothing is linked."""
    linked: After | None = None
    """What comes of it where the subscription is linked and mapped."""
    given: tuple[str, ...] = ("subscription.created",)
    """What came before it, where the subscription is linked."""
    file: str = ""
    """The sample's name, where it is not the type's."""

    def __str__(self) -> str:
        return f"{self.source}:{self.name}"


FOLLOWS = "integration_project.events.subscription_changed"
FOLLOWS_CLASSIC = "integration_project.events.classic_subscription_changed"
RELINKS = "integration_project.events.relink"
BUYER = "paddle_sync.handlers.people.changed"
PAYMENT = "billing_bridge.settlement.transaction_changed"
GIVEN_BACK = "billing_bridge.giving_back.adjustment_changed"
BILL = "billing_bridge.importing.bill_noticed"
JO, ANDERSON = ("USD Jo Brown",), ("USD Jo Brown-Anderson",)
BEGUN, PAUSED, ENDED = "2024-04-12 10:18:47", "2024-04-12 12:43:43", "2024-04-12 11:24:54"
CLASSIC_BEGUN = "scale from 2020-05-16 09:30:00"
RUNNING = (f"scale from {BEGUN}", f"seats from {BEGUN}")
NOTHING = After("ignored")
UNLINKED = After("processed", findings=("subscription not linked",))
AS_IT_WAS = After("ignored", JO, RUNNING)
NOTED = After("processed", JO, RUNNING)


def until(end: str) -> tuple[str, ...]:
    """Both plans of the subscription, ended."""
    return tuple(f"{plan} to {end}" for plan in RUNNING)


SUBSCRIPTIONS = (
    Row(BILLING, "subscription.created", FOLLOWS, After("processed", JO, RUNNING), AS_IT_WAS),
    Row(
        BILLING,
        "subscription.imported",
        FOLLOWS,
        After("processed", JO, ("scale from 2024-04-12 11:27:07", "seats from 2024-04-12 11:27:07")),
        NOTED,
    ),
    Row(BILLING, "subscription.activated", FOLLOWS, UNLINKED, AS_IT_WAS),
    Row(
        BILLING,
        "subscription.trialing",
        FOLLOWS,
        UNLINKED,
        After(
            "processed",
            JO,
            (
                "bulk from 2024-04-12 11:30:29",
                f"scale from {BEGUN} to 2024-04-12 11:30:29",
                f"seats from {BEGUN} to 2024-04-12 11:30:29",
            ),
        ),
    ),
    # Its third item is marked as not metered, and nobody asked for its quantities to be kept.
    Row(BILLING, "subscription.updated", FOLLOWS, UNLINKED, NOTED),
    Row(BILLING, "subscription.past_due", FOLLOWS, UNLINKED, NOTED),
    Row(BILLING, "subscription.paused", FOLLOWS, UNLINKED, After("processed", JO, until(PAUSED))),
    Row(
        BILLING,
        "subscription.resumed",
        FOLLOWS,
        UNLINKED,
        After(
            "processed",
            JO,
            (
                f"scale from {BEGUN} to {PAUSED}",
                "scale from 2024-04-12 12:44:51",
                f"seats from {BEGUN} to {PAUSED}",
                "seats from 2024-04-12 12:44:51",
            ),
        ),
        given=("subscription.created", "subscription.paused"),
    ),
    Row(BILLING, "subscription.canceled", FOLLOWS, UNLINKED, After("processed", JO, until(ENDED), all_ends=ENDED)),
)
PEOPLE_AND_PAYMENTS = (
    Row(BILLING, "customer.created", BUYER, NOTHING, NOTED),
    Row(BILLING, "customer.updated", BUYER, NOTHING, After("processed", ANDERSON, RUNNING)),
    Row(BILLING, "customer.imported", BUYER),
    Row(BILLING, "address.created", BUYER, NOTHING, NOTED),
    Row(BILLING, "address.updated", BUYER),
    Row(BILLING, "address.imported", BUYER),
    # The subscription has no business.
    Row(BILLING, "business.created", BUYER, NOTHING, AS_IT_WAS),
    Row(BILLING, "business.updated", BUYER),
    Row(BILLING, "business.imported", BUYER),
    Row(BILLING, "transaction.created", PAYMENT),
    Row(BILLING, "transaction.ready", PAYMENT),
    Row(BILLING, "transaction.updated", PAYMENT),
    Row(BILLING, "transaction.billed", PAYMENT, NOTHING, AS_IT_WAS),
    Row(BILLING, "transaction.paid", PAYMENT, NOTHING, AS_IT_WAS),
    Row(BILLING, "transaction.completed", PAYMENT, NOTHING, AS_IT_WAS),
    Row(BILLING, "transaction.payment_failed", PAYMENT, NOTHING, AS_IT_WAS),
    Row(BILLING, "transaction.past_due", PAYMENT),
    Row(BILLING, "transaction.canceled", PAYMENT),
    Row(BILLING, "adjustment.created", GIVEN_BACK, NOTHING, AS_IT_WAS),
    Row(BILLING, "adjustment.updated", GIVEN_BACK),
)
LEFT = (
    Row(BILLING, "price.created", IGNORED, NOTHING, AS_IT_WAS),
    Row(BILLING, "product.created", IGNORED, NOTHING, AS_IT_WAS),
    *(
        Row(BILLING, name, IGNORED)
        for name in (
            "api_key.created",
            "api_key.expired",
            "api_key.expiring",
            "api_key.revoked",
            "api_key.updated",
            "api_key_exposure.created",
            "client_token.created",
            "client_token.revoked",
            "client_token.updated",
            "discount.created",
            "discount.imported",
            "discount.updated",
            "discount_group.created",
            "discount_group.updated",
            "payment_method.deleted",
            "payment_method.saved",
            "payout.created",
            "payout.paid",
            "price.imported",
            "price.updated",
            "product.imported",
            "product.updated",
            "report.created",
            "report.updated",
            "transaction.revised",
        )
    ),
)
ALERTS_OF_SUBSCRIPTIONS = (
    Row(
        CLASSIC,
        "subscription_created",
        FOLLOWS_CLASSIC,
        After("processed", ("GBP 7",), ("scale from 2020-05-20 23:37:36",)),
        After("ignored", ("GBP 7",), (CLASSIC_BEGUN,)),
    ),
    # Nobody asked for its quantity to be kept.
    Row(CLASSIC, "subscription_updated", FOLLOWS_CLASSIC, UNLINKED, After("ignored", ("GBP 7",), (CLASSIC_BEGUN,))),
    Row(
        CLASSIC,
        "subscription_cancelled",
        FOLLOWS_CLASSIC,
        UNLINKED,
        After(
            "processed",
            ("GBP 7",),
            (f"{CLASSIC_BEGUN} to 2020-06-15 12:51:17",),
            all_ends="2020-06-15 12:51:17",
        ),
    ),
    Row(
        CLASSIC,
        "subscription_payment_succeeded",
        FOLLOWS_CLASSIC,
        UNLINKED,
        After("ignored", ("GBP 1",), (CLASSIC_BEGUN,)),
        file="subscription_payment_success",
    ),
    Row(
        CLASSIC,
        "subscription_payment_failed",
        FOLLOWS_CLASSIC,
        UNLINKED,
        After("ignored", ("USD 8",), (CLASSIC_BEGUN,)),
    ),
    Row(
        CLASSIC,
        "subscription_payment_refunded",
        FOLLOWS_CLASSIC,
        UNLINKED,
        After("ignored", ("EUR 7",), (CLASSIC_BEGUN,)),
    ),
)
ALERTS_LEFT = tuple(
    Row(CLASSIC, name, IGNORED)
    for name in (
        "payment_succeeded",
        "payment_refunded",
        "locker_processed",
        "payment_dispute_created",
        "payment_dispute_closed",
        "high_risk_transaction_created",
        "high_risk_transaction_updated",
        "transfer_created",
        "transfer_paid",
        "new_audience_member",
        "update_audience_member",
        "invoice_paid",
        "invoice_sent",
        "invoice_overdue",
    )
)
NOTICES = tuple(
    Row(M3TER, name, BILL)
    for name in ("billing.bill.created", "billing.bill.updated", "billing.bill.deleted", "notice")
)
OURS = (
    Row(BILLING, "subscription.sync", FOLLOWS),
    Row(BILLING, "subscription.found", FOLLOWS),
    Row(BILLING, "subscription.relink", RELINKS),
    Row(BILLING, "repair.import_subscription", "paddle_sync.repairing.import_subscription"),
    Row(BILLING, "repair.subscribe_destination", "integration_project.events.subscribe_destination"),
    Row(CLASSIC, "subscription.sync", FOLLOWS_CLASSIC),
    Row(CLASSIC, "subscription.found", FOLLOWS_CLASSIC),
    Row(CLASSIC, "subscription.relink", RELINKS),
    Row(CLASSIC, "repair.import_subscription", "paddle_sync.repairing.import_subscription"),
)
TABLE = (
    *SUBSCRIPTIONS,
    *PEOPLE_AND_PAYMENTS,
    *LEFT,
    *ALERTS_OF_SUBSCRIPTIONS,
    *ALERTS_LEFT,
    *NOTICES,
    *OURS,
)
TRIED = tuple(row for row in TABLE if row.new is not None)
NAMES = {m3ter_sample.PLAN_SCALE: "scale", m3ter_sample.PLAN_SEATS: "seats", m3ter_sample.PLAN_BULK: "bulk"}


class Stage:
    """Both vendors, and the two ways in."""

    def __init__(
        self, client: Client, paddle: PaddleSimulator, classic: ClassicSimulator, m3ter: M3terSimulator, run: Run
    ) -> None:
        self.client, self.paddle, self.classic, self.m3ter, self.run = client, paddle, classic, m3ter, run

    def know(self, name: str) -> None:
        """Have the simulated Paddle know what a payload is about, as it says it."""
        memory, data, kind = self.paddle.world.memory, payload(name), name.partition(".")[0]
        table = {"address": "addresses", "business": "businesses"}.get(kind, f"{kind}s")
        if hasattr(memory, table):
            getattr(memory, table)[data["id"]] = data

    def know_classic(self, fields: Mapping[str, str]) -> None:
        """Have the simulated Classic know the subscription of an alert, as it says it."""
        memory, plan_id = self.classic.memory, int(fields["subscription_plan_id"])
        memory.plans[plan_id] = {**next(iter(memory.plans.values())), "id": plan_id}
        moment = dt.datetime.fromisoformat(fields["event_time"]).replace(tzinfo=dt.UTC)
        day = fields.get("next_bill_date") or "2020-06-20"
        memory.subscriptions[int(fields["subscription_id"])] = ClassicSubscription(
            id=int(fields["subscription_id"]),
            plan_id=plan_id,
            user_id=int(fields["user_id"]),
            email=fields["email"],
            name="Kai",
            country="DE",
            currency=fields["currency"],
            quantity=int(fields.get("new_quantity") or fields["quantity"]),
            state=fields["status"],
            signed_up_at=moment - dt.timedelta(days=5),
            next_bill=dt.date.fromisoformat(day),
            checkout_id="1",
        )

    def post(self, event: Json) -> int:
        """Deliver an event once; the status of the answer."""
        if "alert_id" in event:
            body, form = body_of(signed(event)), "application/x-www-form-urlencoded"
            return int(self.client.post("/webhooks/paddle-classic/", data=body, content_type=form).status_code)
        return int(post_notification(self.client, event).status_code)

    def tell(self, event: Json) -> None:
        """Deliver an event that Paddle knows of already, and work on all there is."""
        if event.get("event_type") in PAYLOADS:
            self.know(event["event_type"])
        assert self.post(event) == 200
        self.run()

    def seen(self, event: WebhookEvent) -> After:
        """What there is now."""
        event.refresh_from_db()
        accounts = [f"{account['currency']} {account['name']}" for account in self.m3ter.memory.accounts]
        plans = [
            f"{NAMES[plan['planId']]} from {when(plan['startDate'])}"
            + (f" to {when(plan['endDate'])}" if plan.get("endDate") else "")
            for plan in self.m3ter.memory.account_plans
        ]
        kinds = [kind for kind, _ in open_findings()]
        ends = [link.entities_ended_at for link in AccountLink.objects.exclude(entities_ended_at=None)]
        all_ends = ", ".join(f"{end:%Y-%m-%d %H:%M:%S}" for end in ends)
        return After(event.state, tuple(sorted(accounts)), tuple(sorted(plans)), tuple(kinds), all_ends)


def when(moment: str) -> str:
    """A moment of m3ter's, to the second."""
    return moment[:19].replace("T", " ")


def payload(name: str) -> Json:
    """The entity that Paddle published for a type of event."""
    data: Json = json.loads(PAYLOADS[name].read_text(encoding="utf-8"))
    return data


def event_of(name: str) -> Json:
    """A notification of it, of the moment when it happened."""
    data = payload(name)
    return notification(name, data, occurred_at=data["updated_at"])


def alert_of(row: Row) -> dict[str, str]:
    """The fields of a raw alert."""
    fields = signature.decoded(ALERTS[row.file or row.name].read_bytes().strip())
    return {name: value for name, value in fields.items() if name != "p_signature"}


def created_before(fields: Mapping[str, str]) -> dict[str, str]:
    """The published alert of a beginning, as if it were that of the subscription that another alert is about."""
    created = alert_of(Row(CLASSIC, "subscription_created", FOLLOWS_CLASSIC))
    same = ("subscription_id", "subscription_plan_id", "user_id", "currency", "email")
    return {**created, **{name: fields[name] for name in same}, "alert_id": "1", "event_time": "2020-05-16 09:30:00"}


@pytest.fixture
def stage(
    client: Client, paddle: PaddleSimulator, classic: ClassicSimulator, m3ter: M3terSimulator, run_jobs: Run
) -> Stage:
    """Both vendors, with every price that the samples name mapped."""
    make_mapping("pri_01gsz8x8sawmvhz1pv30nge1ke")
    seats = {"plan": m3ter_sample.PLAN_SEATS, "m3ter_product": m3ter_sample.PRODUCT_SEATS}
    make_mapping("pri_01h1vjfevh5etwq3rb416a23h2", **seats)
    make_mapping("pri_01hv0vax6rv18t4tamj848ne4d", plan=m3ter_sample.PLAN_BULK)
    make_mapping("pri_01gsz95g2zrkagg294kpstx54r", target="not_metered", plan="", m3ter_product="")
    for plan_id in ("1", "2", "3", "8"):
        make_mapping(plan_id)
    return Stage(client, paddle, classic, m3ter, run_jobs)


def post(stage: Stage, row: Row, *, linked: bool) -> tuple[Json, WebhookEvent]:
    """Deliver the published event, where asked after what links its subscription, and work on it."""
    if row.source == CLASSIC:
        event = {**alert_of(row)}
        stage.know_classic(event)
        before = [created_before(event)] if linked else []
    else:
        for name in PEOPLE:
            stage.know(name)
        before = [event_of(name) for name in row.given] if linked else []
        event = event_of(row.name)
    for each in before:
        stage.tell(each)
    stage.tell(event)
    return event, WebhookEvent.objects.get(event_id=event.get("event_id") or event["alert_id"])


@pytest.mark.parametrize("row", TRIED, ids=str)
@pytest.mark.parametrize("linked", [False, True], ids=["new", "linked"])
def test_a_published_event_has_exactly_this_outcome_and_a_second_delivery_none(
    stage: Stage, row: Row, *, linked: bool
) -> None:
    if (row.file or row.name) not in (ALERTS if row.source == CLASSIC else PAYLOADS):
        pytest.skip(f"the published payload of {row} is not beside the checkout (looked in ../shared/contracts)")
    event, stored = post(stage, row, linked=linked)
    after = stage.seen(stored)
    asked, events = [operations(stage.m3ter), operations(stage.paddle)], WebhookEvent.objects.count()

    again = stage.post(again_of(event))
    stage.run()

    assert after == (row.linked if linked else row.new)
    assert again == 200
    assert (stage.seen(stored), [operations(stage.m3ter), operations(stage.paddle)]) == (after, asked)
    assert WebhookEvent.objects.count() == events


def again_of(event: Json) -> Json:
    """The same event as it is delivered another time."""
    return {**event, "notification_id": paddle_id("ntf")} if "notification_id" in event else event


@pytest.mark.parametrize("row", [row for row in TABLE if row.does == IGNORED], ids=str)
def test_a_type_that_is_left_is_stored_answered_and_changes_nothing(stage: Stage, row: Row) -> None:
    about = {"id": "any_01", "subscription_id": "sub_01hv8x29kz0t586xy6zn1a62ny"}
    alert = {"alert_id": "5", "alert_name": row.name, "event_time": "2026-05-01 10:00:00", "subscription_id": "7"}

    status = stage.post(alert if row.source == CLASSIC else notification(row.name, about))
    stage.run()

    event = WebhookEvent.objects.get()
    note = f"Stored; nothing is done for events of the type {row.name}."
    assert (status, event.event_type, event.source) == (200, row.name, row.source)
    assert (event.state, event.note) == ("ignored", note)
    assert (stage.seen(event), operations(stage.m3ter), operations(stage.paddle)) == (After("ignored"), [], [])


def test_the_table_says_what_works_on_each_type() -> None:
    handlers = {
        (source, name): f"{handler.__module__}.{handler.__qualname__}"
        for source, by_type in HANDLERS.items()
        for name, handler in by_type.items()
    }

    said = {(row.source, row.name): row.does for row in TABLE if row.does != IGNORED}

    assert said == handlers
    assert len({(row.source, row.name) for row in TABLE}) == len(TABLE)


def test_the_table_has_every_type_of_event_that_paddle_has() -> None:
    said = {row.name for row in TABLE if row.source == BILLING} - OWN_TYPES

    assert said == set(EVENT_TYPES)


@pytest.mark.skipif(not PAYLOADS, reason="the published payloads (contracts/paddle-events) are not here")
def test_every_published_payload_is_tried() -> None:
    tried = {row.file or row.name for row in TRIED}

    assert tried == {*PAYLOADS, *ALERTS}
    assert all(row.linked is not None for row in TRIED)
