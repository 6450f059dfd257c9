"""Usage that was accepted and does not move by itself: told as findings, which close when it does."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from django.db.models import Min, Sum

from integration_project import clock, finding
from integration_project.finding import Found
from integration_project.models import Finding
from paddle_sync.models import UsageBatch, WebhookEvent

WAITING, NOT_SENT = "usage waiting", "usage not sent"
KINDS = (WAITING, NOT_SENT)
"""The kinds of findings opened here, and closed here when they no longer hold."""
STUCK = (WebhookEvent.State.PARKED, WebhookEvent.State.FAILED)
LONG = timedelta(days=1)
"""How long usage may wait for its subscription's account before somebody is told."""
OUTBOX = "usage"
"""What the finding about batches that were given up is about."""


def tell() -> str:
    """Open and close findings about usage that waits for a person."""
    found = {**dict(_waiting()), **dict(_not_sent())}
    open_ones = Finding.objects.filter(kind__in=KINDS, state=Finding.State.OPEN)
    for subject in found.keys() | set(open_ones.values_list("subject", flat=True)):
        now = [found[subject]] if subject in found else []
        finding.keep_in_step(subject, now, KINDS, reason="It has gone its way, or was taken back.")
    return f"{len(found)} found"


def _waiting() -> Iterator[tuple[str, Found]]:
    held = UsageBatch.objects.filter(state=UsageBatch.State.HELD).values("paddle_subscription_id").order_by()
    old = held.annotate(items=Sum("items"), since=Min("received_at")).filter(since__lte=clock.now() - LONG)
    rows = {row["paddle_subscription_id"]: row for row in old}
    states = _states_of(rows)
    for subscription_id, row in rows.items():
        why = states.get(subscription_id, "no event tells of it")
        yield (
            subscription_id,
            Found(
                WAITING,
                f"{row['items']:,} measurements wait since {row['since']:%Y-%m-%d %H:%M} UTC for an account of this"
                f" subscription: {why}. They are not in m3ter, and on no bill.",
                "Let the subscription's event go on, which sends them by itself; or take the batches back.",
            ),
        )


def _states_of(subscriptions: Mapping[str, object]) -> dict[str, str]:
    """What keeps each subscription from its account: its last event that did not come to its end."""
    events = WebhookEvent.objects.filter(paddle_subscription_id__in=list(subscriptions), state__in=STUCK).order_by("pk")
    return {
        event.paddle_subscription_id: f"its event is {event.get_state_display().lower()}"
        + (f", {event.note or event.last_error}" if event.note or event.last_error else "")
        for event in events
    }


def _not_sent() -> Iterator[tuple[str, Found]]:
    failed = UsageBatch.objects.filter(state=UsageBatch.State.FAILED)
    row = failed.aggregate(items=Sum("items"), since=Min("received_at"))
    if row["items"]:
        last = failed.order_by("-pk").values_list("note", flat=True).first()
        yield (
            OUTBOX,
            Found(
                NOT_SENT,
                f"{row['items']:,} measurements, received since {row['since']:%Y-%m-%d %H:%M} UTC, are not sent"
                f" any more. The last batch says: {last}",
                "Open the usage batches that are to be decided; send them again, or take them as sent.",
            ),
        )
