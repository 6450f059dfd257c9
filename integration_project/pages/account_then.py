"""What an account was at any moment: the snapshot in force, the plans that ran, the seats, by what is stored."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from integration_project import installation, showing
from integration_project.showing import Panel
from paddle_sync.models import AccountLink, AccountPlanLink, CounterLink, SubscriptionSnapshot

MOST_PLANS = 50
MOST_COUNTERS = 500
READ = "read"
"""What a snapshot says it came with when no event brought it."""


@dataclass(frozen=True)
class Then:
    """What is stored about one moment."""

    moment: dt.datetime
    snapshot: SubscriptionSnapshot | None
    version: Any
    """The link as it was recorded; nothing before it was made."""
    plans: Sequence[AccountPlanLink]
    counters: Sequence[CounterLink]


def moment_of(text: str) -> dt.datetime | None:
    """Read a day, meant to its end in the organisation's time zone, or a moment with its zone; else nothing."""
    try:
        if len(text) > len("2026-01-01"):
            moment = dt.datetime.fromisoformat(text)
            return moment.astimezone(dt.UTC) if moment.tzinfo else None
        zone = installation.zone(installation.current())
        next_day = dt.datetime.combine(dt.date.fromisoformat(text) + dt.timedelta(days=1), dt.time.min, zone)
        return next_day.astimezone(dt.UTC) - dt.timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None


def then(link: AccountLink, moment: dt.datetime) -> Then:
    """Gather what held at a moment."""
    snapshots = SubscriptionSnapshot.objects.filter(
        paddle_subscription_id=link.paddle_subscription_id, occurred_at__lte=moment
    )
    running = Q(ends_at__isnull=True) | Q(ends_at__gt=moment)
    day = moment.astimezone(installation.zone(installation.current())).date()
    return Then(
        moment=moment,
        snapshot=snapshots.order_by("-occurred_at", "-event_id").first(),
        version=AccountLink.log.filter(id=link.pk, history_date__lte=moment).order_by("-history_id").first(),
        plans=list(link.plans.filter(running, starts_at__lte=moment).order_by("code")[:MOST_PLANS]),
        counters=_latest_of_each(link.counters.filter(day__lte=day).order_by("-day", "-pk")[:MOST_COUNTERS]),
    )


def _latest_of_each(counters: Any) -> list[CounterLink]:
    latest: dict[str, CounterLink] = {}
    for counter in counters:
        latest.setdefault(counter.m3ter_counter_id, counter)
    return list(latest.values())


def panel(found: Then) -> Panel:
    """Show it as a table; says so where nothing is stored from then or before."""
    rows: list[tuple[Any, Any]] = [*_of_paddle(found), *_of_m3ter(found)]
    if found.snapshot is None and found.version is None and not found.plans:
        rows = []
    return Panel(
        f"What it was {showing.relative(found.moment)}: {showing.exactly(found.moment)}",
        ("What", "Then"),
        rows,
        empty="Nothing is stored from then or before: neither a snapshot of the subscription nor the link.",
        note="As far as it is known by now: a change that was heard of later counts from when it happened.",
    )


def _of_paddle(found: Then) -> list[tuple[str, Any]]:
    if found.snapshot is None:
        return [("Subscription", "No snapshot of it is stored from then or before.")]
    data = found.snapshot.data
    change = data.get("scheduled_change") or {}
    return [
        ("Status in Paddle", data.get("status") or "-"),
        ("Items", _lines(_item(item) for item in data.get("items") or ()) or "none"),
        ("Currency", data.get("currency_code") or "-"),
        ("Customer", showing.paddle_id(data.get("customer_id") or "")),
        ("Next renewal", _written(data.get("next_billed_at"))),
        ("Scheduled", f"{change['action']} at {_written(change.get('effective_at'))}" if change.get("action") else "-"),
        ("Known by", f"{_how(found.snapshot)}, {showing.exactly(found.snapshot.occurred_at)}"),
    ]


def _how(snapshot: SubscriptionSnapshot) -> str:
    return "a read of Paddle" if snapshot.event_type == READ else f"the event {snapshot.event_type}"


def _of_m3ter(found: Then) -> list[tuple[str, Any]]:
    link = found.version.get_state_display() if found.version else "not linked yet"
    return [
        ("Link to m3ter", link),
        ("Plans that ran", _lines(_plan(plan) for plan in found.plans) or "none"),
        *((f"Counter {each.m3ter_counter_id}", f"{each.value} since {each.day}") for each in found.counters),
    ]


def _item(item: Any) -> str:
    price = item.get("price") or {}
    names = ", ".join(name for name in ((item.get("product") or {}).get("name"), price.get("name")) if name)
    which = f"{names} ({price.get('id', '?')})" if names else price.get("id", "?")
    return f"{item.get('quantity', 1)} x {which}"


def _plan(plan: AccountPlanLink) -> str:
    until = f" until {showing.exactly(plan.ends_at)}" if plan.ends_at else ""
    which = plan.m3ter_plan_id or plan.m3ter_plan_group_id
    return f"{which}, quantity {plan.quantity}, since {showing.exactly(plan.starts_at)}{until}"


def _lines(texts: Any) -> SafeString:
    return format_html_join(SafeString("<br>"), "{}", ((text,) for text in texts))


def _written(text: Any) -> str:
    try:
        return showing.exactly(dt.datetime.fromisoformat(str(text))) if text else "none"
    except ValueError:
        return str(text)
