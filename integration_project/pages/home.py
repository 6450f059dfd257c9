"""The console's first page: what needs attention, what flowed, whether everything answers. Every number is a link."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Count, Min, Model, Q, QuerySet
from django.utils.safestring import SafeString

from billing_bridge.models import Push, PushedBill
from integration_project import clock, installation, showing
from integration_project.models import Circuit, Finding, Heartbeat, Installation
from integration_project.showing import Tone
from paddle_sync.models import CatalogueEntry, LateForBill, LateUsage, UsageBatch, UsageFailure, WebhookEvent
from paddle_sync.usage import flow

NEWEST_EVENTS = 20_000
"""Events of the last day are counted among so many of the newest, so that the page stays quick in any flood."""
MOST_MISSING_THINGS = 8
ALIVE = dt.timedelta(seconds=15)
SLOW = dt.timedelta(minutes=5)
NEAR_RENEWAL = dt.timedelta(hours=24)
DAY = dt.timedelta(days=1)
BILL_STATES = PushedBill.State
EVENT_STATES = WebhookEvent.State
REASONS = PushedBill.Reason
OTHER_REASONS = ",".join(each.value for each in REASONS if each not in {REASONS.NONE, REASONS.REVIEW})
"""As the list of bills takes them: every reason but the review."""


@dataclass(frozen=True)
class Item:
    """A line of a card: what, how much, where that is listed."""

    text: str
    value: Any
    url: str
    tone: Tone = "calm"
    small: str = ""


@dataclass(frozen=True)
class Card:
    """A box of the home page; what it says when it holds nothing."""

    title: str
    items: Sequence[Item]
    empty: str = ""


@dataclass(frozen=True)
class Section:
    """A row of cards."""

    title: str
    cards: Sequence[Card]


def sections(user: Any) -> list[Section]:
    """Give what this person may see."""
    if not user.has_perm("paddle_sync.view_webhookevent"):
        return []
    return [
        Section("Needs attention", (_waiting_events(), _usage(), _bills(), _findings())),
        Section("The last 24 hours", (_events_today(), _usage_today(), _bills_today())),
        Section("Connections", (_vendors(), _work(), _settings())),
    ]


def _url(model: type[Model], **filters: Any) -> str:
    return showing.list_of(model, urlencode(filters))


def _tone(count: int, tone: Tone) -> Tone:
    return tone if count else "good"


# --- Needs attention --------------------------------------------------------------------------------------------------


def _waiting_events() -> Card:
    parked = WebhookEvent.objects.filter(state=EVENT_STATES.PARKED)
    missing = list(
        parked.values("waiting_for_kind", "waiting_for_key")
        .annotate(count=Count("pk"), since=Min("received_at"))
        .order_by("-count", "waiting_for_key")[: MOST_MISSING_THINGS + 1]
    )
    keys = [row["waiting_for_key"] for row in missing]
    names = dict(CatalogueEntry.objects.filter(vendor_id__in=keys).values_list("vendor_id", "name"))
    items = [
        Item(
            f"Waiting for {row['waiting_for_kind']} {names.get(row['waiting_for_key'], row['waiting_for_key'])}",
            row["count"],
            _url(WebhookEvent, waiting_for=row["waiting_for_kind"], waiting_for_key=row["waiting_for_key"]),
            "wait",
            f"the oldest {showing.relative(row['since'])}",
        )
        for row in missing[:MOST_MISSING_THINGS]
    ]
    if len(missing) > MOST_MISSING_THINGS:
        items.append(Item("And more things are missing", "all", _url(WebhookEvent, state__exact="parked"), "wait"))
    failed = WebhookEvent.objects.filter(state=EVENT_STATES.FAILED).count()
    if failed:
        items.append(Item("Failed events", failed, _url(WebhookEvent, state__exact="failed"), "bad"))
    return Card("Events", items, "No event waits for a person.")


def _bills() -> Card:
    now = clock.now()
    unpushed = PushedBill.objects.exclude(state__in=("pushed", "skipped", "superseded", "carried"))
    soon = unpushed.filter(renews_at__gt=now, renews_at__lte=now + NEAR_RENEWAL).count()
    counts = _by_state(PushedBill.objects.filter(state__in=("held", "unconfirmed", "failed", "lost")))
    review = PushedBill.objects.filter(state=BILL_STATES.HELD, reason=PushedBill.Reason.REVIEW).count()
    held = counts.get("held", 0) - review
    lines: tuple[tuple[str, int, dict[str, str], Tone, str], ...] = (
        (
            "Renew within 24 hours and are not in Paddle",
            soon,
            {"renews": "day"},
            "bad",
            "what is not pushed then waits a period",
        ),
        (
            "Unconfirmed: may have been charged",
            counts.get("unconfirmed", 0),
            {"state__exact": "unconfirmed"},
            "bad",
            "",
        ),
        ("Failed: Paddle refused", counts.get("failed", 0), {"state__exact": "failed"}, "bad", ""),
        ("Lost: Paddle will not collect", counts.get("lost", 0), {"state__exact": "lost"}, "bad", ""),
        ("To review", review, {"state__exact": "held", "reason__exact": "review"}, "wait", ""),
        ("Held for another reason", held, {"state__exact": "held", "reason__in": OTHER_REASONS}, "wait", ""),
    )
    items = [
        Item(text, count, _url(PushedBill, **where), tone, small) for text, count, where, tone, small in lines if count
    ]
    return Card("Bills", items, "No bill waits for a person.")


def _findings() -> Card:
    counts = dict(
        Finding.objects.filter(state=Finding.State.OPEN)
        .values_list("severity")
        .annotate(count=Count("pk"))
        .order_by("severity")
    )
    tones: tuple[tuple[str, Tone], ...] = (("alarm", "bad"), ("problem", "wait"), ("notice", "calm"))
    items = [
        Item(
            str(Finding.Severity(severity).label),
            counts[severity],
            _url(Finding, state__exact="open", severity__exact=severity),
            tone,
        )
        for severity, tone in tones
        if counts.get(severity)
    ]
    return Card("Findings", items, "Nothing was found that a person would have to look at.")


def _usage() -> Card:
    batches = _by_state(UsageBatch.objects.filter(state__in=("failed", "held")))
    lines: tuple[tuple[str, int, str, Tone, str], ...] = (
        ("Not taken by m3ter", batches.get("failed", 0), _url(UsageBatch, state__exact="failed"), "bad", "batches"),
        (
            "Did not come to count",
            UsageFailure.objects.filter(state=UsageFailure.State.OPEN).count(),
            _url(UsageFailure, state__exact="open"),
            "bad",
            "measurements that m3ter dropped or refused",
        ),
        ("Wait for an account", batches.get("held", 0), _url(UsageBatch, state__exact="held"), "wait", "batches"),
        (
            "To be priced",
            LateUsage.objects.filter(state=LateUsage.State.REVIEW).count(),
            _url(LateUsage, state__exact="review"),
            "wait",
            "usage that came after its bill was locked",
        ),
        (
            "Approved bills with later usage",
            LateForBill.objects.filter(state=LateForBill.State.OPEN).count(),
            _url(LateForBill, state__exact="open"),
            "wait",
            "",
        ),
    )
    items = [Item(text, count, url, tone, small) for text, count, url, tone, small in lines if count]
    return Card("Usage", items, "No usage waits for a person.")


# --- The last 24 hours ------------------------------------------------------------------------------------------------


def _by_state(rows: "QuerySet[Any]") -> dict[str, int]:
    return dict(rows.order_by("state").values_list("state").annotate(count=Count("pk")))


def _events_today() -> Card:
    newest = WebhookEvent.objects.order_by("-id").values("pk")[:NEWEST_EVENTS]
    today = WebhookEvent.objects.filter(pk__in=newest, received_at__gte=clock.now() - DAY)
    totals = today.aggregate(
        all=Count("pk"),
        checkouts=Count("pk", filter=Q(event_type="subscription.created")),
        done=Count("pk", filter=Q(state__in=("processed", "ignored"))),
        waiting=Count("pk", filter=Q(state__in=("received", "processing", "parked"))),
        failed=Count("pk", filter=Q(state="failed")),
    )
    waiting, failed = totals["waiting"], totals["failed"]
    at_least = f"the newest {NEWEST_EVENTS} only" if totals["all"] == NEWEST_EVENTS else ""
    return Card(
        "Events",
        (
            Item("Came in", totals["all"], _url(WebhookEvent, received="day"), small=at_least),
            Item(
                "Checkouts", totals["checkouts"], _url(WebhookEvent, received="day", event_type="subscription.created")
            ),
            Item("Done", totals["done"], _url(WebhookEvent, received="day", state__in="processed,ignored"), "good"),
            Item(
                "Waiting",
                waiting,
                _url(WebhookEvent, received="day", state__in="received,processing,parked"),
                _tone(waiting, "wait"),
            ),
            Item("Failed", failed, _url(WebhookEvent, received="day", state__exact="failed"), _tone(failed, "bad")),
        ),
    )


def _usage_today() -> Card:
    counted = flow.today()
    day = (clock.now() - DAY).isoformat(timespec="seconds")
    waiting, failed, dropped = counted["waiting"] + counted["held"], counted["failed"], counted["dropped"]
    on_the_way = ",".join((*flow.ON_THE_WAY, UsageBatch.State.HELD))
    return Card(
        "Measurements",
        (
            Item("Came in", counted["received"], _url(UsageBatch, received_at__gte=day)),
            Item(
                "Taken by m3ter", counted["sent"], _url(UsageBatch, received_at__gte=day, state__exact="sent"), "good"
            ),
            Item(
                "Waiting",
                waiting,
                _url(UsageBatch, received_at__gte=day, state__in=on_the_way),
                _tone(waiting, "wait"),
            ),
            Item(
                "Failed: not taken",
                failed,
                _url(UsageBatch, received_at__gte=day, state__exact="failed"),
                _tone(failed, "bad"),
            ),
            Item(
                "Failed: dropped by m3ter later",
                dropped,
                _url(UsageBatch, received_at__gte=day, failed_later__gt=0),
                _tone(dropped, "bad"),
            ),
        ),
    )


def _bills_today() -> Card:
    since = clock.now() - DAY
    bills = PushedBill.objects.filter(first_seen_at__gte=since)
    states = _by_state(bills)
    done = sum(states.get(state, 0) for state in ("pushed", "skipped", "carried", "superseded"))
    pushes = Push.objects.filter(sent_at__gte=since).aggregate(
        sent=Count("pk"), accepted=Count("pk", filter=Q(state="pushed")), paid=Count("pk", filter=Q(payment="paid"))
    )
    new = sum(states.values())
    day = since.isoformat(timespec="seconds")
    return Card(
        "Bills and charges",
        (
            Item("Bills came in", new, _url(PushedBill, first_seen_at__gte=day)),
            Item(
                "Done with",
                done,
                _url(PushedBill, first_seen_at__gte=day, state__in="pushed,skipped,carried,superseded"),
                "good",
            ),
            Item(
                "Waiting or held",
                new - done,
                _url(
                    PushedBill, first_seen_at__gte=day, state__in="held,waiting,ready,pushing,unconfirmed,failed,lost"
                ),
                _tone(new - done, "wait"),
            ),
            Item("Charges sent", pushes["sent"], _url(Push, sent_at__gte=day)),
            Item(
                "Charges accepted by Paddle",
                pushes["accepted"],
                _url(Push, sent_at__gte=day, state__exact="pushed"),
                "good",
            ),
            Item("Of these paid", pushes["paid"], _url(Push, sent_at__gte=day, payment__exact="paid"), "good"),
        ),
    )


# --- Connections ------------------------------------------------------------------------------------------------------


def _vendors() -> Card:
    circuits = list(Circuit.objects.order_by("vendor", "operation"))
    items = [_vendor(name, [each for each in circuits if each.vendor == vendor]) for vendor, name in _called()]
    items += [
        Item(f"{each.vendor}: {each.operation}", "refused", showing.page_of(each), "bad", each.detail)
        for each in circuits
        if each.is_open and each.operation
    ]
    return Card("Vendors", items)


def _called() -> tuple[tuple[str, str], ...]:
    """The vendors that are called at all; Paddle Classic only where it is on."""
    classic = (("paddle_classic", "Paddle Classic"),) if settings.PADDLE_CLASSIC_VENDOR_ID else ()
    return (("paddle", "Paddle"), *classic, ("m3ter", "m3ter"))


def _vendor(name: str, circuits: Sequence[Circuit]) -> Item:
    url = _url(Circuit)
    shut = next((each for each in circuits if each.is_open and not each.operation), None)
    if shut is not None:
        return Item(name, "refused", url, "bad", shut.detail)
    last = max((each.last_success_at for each in circuits if each.last_success_at), default=None)
    if last is None:
        return Item(name, "not called yet", url)
    return Item(name, "answers", url, "good", f"last success {showing.relative(last)}")


def _work() -> Card:
    now = clock.now()
    beat = Heartbeat.objects.order_by("-seen_at").first()
    if beat is None:
        worker = Item("Worker", "never ran", _url(Heartbeat), "bad", "start it: python manage.py serve")
    elif beat.seen_at < now - ALIVE:
        worker = Item("Worker", "silent", _url(Heartbeat), "bad", f"last seen {showing.relative(beat.seen_at)}")
    else:
        alive = Heartbeat.objects.filter(seen_at__gte=now - ALIVE).count()
        worker = Item("Workers alive", alive, _url(Heartbeat), "good")
    event = _oldest(WebhookEvent.objects.filter(state=EVENT_STATES.RECEIVED, due_at__lte=now))
    bill = _oldest(PushedBill.objects.filter(state__in=("ready", "waiting"), due_at__lte=now))
    return Card(
        "Work",
        (
            worker,
            _lag("Oldest event that could run", event, _url(WebhookEvent, state__in="received,processing")),
            _lag("Oldest bill that could be charged", bill, _url(PushedBill, state__in="ready,waiting")),
        ),
    )


def _oldest(rows: "QuerySet[Any]") -> dt.datetime | None:
    moment: dt.datetime | None = rows.order_by("due_at").values_list("due_at", flat=True).first()
    return moment


def _lag(text: str, moment: dt.datetime | None, url: str) -> Item:
    if moment is None:
        return Item(text, "none", url, "good")
    late = moment < clock.now() - SLOW
    return Item(text, showing.ago(moment), url, "bad" if late else "good")


def _settings() -> Card:
    row = Installation.objects.first()
    listing = _url(Installation)
    latest = CatalogueEntry.objects.order_by("-seen_at").values_list("seen_at", flat=True).first()
    read: SafeString | str = showing.ago(latest) if latest else "never"
    catalogue = Item("Catalogues read", read, _url(CatalogueEntry), "good" if latest else "wait")
    if row is None:
        return Card("Settings", (Item("Go-live date", "not set", listing, "wait", "start the worker first"), catalogue))
    wrong = installation.mismatches(row)
    items = [
        Item("Go-live date", row.charge_from or "not set", listing, "good" if row.charge_from else "wait", ""),
        Item(
            "Belongs to these settings",
            "no: nothing is sent" if wrong else "yes",
            listing,
            "bad" if wrong else "good",
            " ".join(wrong),
        ),
        catalogue,
    ]
    if row.native_integration:
        items.append(Item("m3ter's own bills to Paddle", "on: nothing is charged", listing, "bad"))
    if row.look_before_first_push:
        items.append(Item("Looks in Paddle before every first push", "on", listing, "wait", "since a restore"))
    return Card("Settings", items)
