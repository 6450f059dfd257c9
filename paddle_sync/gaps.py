"""Events that a vendor lists and no webhook brought: fetched through the same intake, and told.

Paddle's list lags behind what happened, so its last minutes are read again each time; what is stored already is left
alone, however it came. Positions are kept page by page, in one transaction with what was stored.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice, takewhile
from typing import Any

from django.db import transaction
from rest_framework.exceptions import ValidationError

from integration_project import clock, finding, installation
from integration_project.vendors import Vendors, exact_json
from integration_project.vendors.paddle import event_ids
from integration_project.vendors.paddle_classic import signature
from paddle_sync import alerts, intake
from paddle_sync.alerts import BadAlert
from paddle_sync.intake import Envelope
from paddle_sync.models import ListPosition, WebhookEvent
from paddle_sync.serializers import read_notification

MISSING = "webhooks missing"
UNREADABLE = "event unreadable"
NOT_READ = "events not read"
KINDS = (MISSING, UNREADABLE, NOT_READ)
"""The kinds of findings opened here."""
OVERLAP = timedelta(minutes=25)
"""How much of the list's end is read again: Paddle shows some events later than younger ones, and each is to be seen
once more when its webhook is late."""
YOUNG = timedelta(minutes=2)
"""What is younger is left to its webhook, which is on its way."""
LATE = timedelta(minutes=15)
"""What is older ought to have been delivered, retries included where a destination hiccups."""
A_DAY = timedelta(days=1)
PAGE = 200
MOST_PAGES = 20
"""Pages of one run: with a run every five minutes, a day of 50,000 events is caught up with in an hour."""


@dataclass(frozen=True)
class Listed:
    """An entry of a vendor's list: what it is known by, and where the list goes on after it."""

    event_id: str
    occurred_at: datetime
    position: str
    take: Callable[[], tuple[Envelope, str]]
    """What is stored of it; ValidationError or BadAlert where it is not what the vendor's contract says."""
    likeness: tuple[str, ...] = ()
    """What else it is recognised by, where its id may not be the one a webhook brings."""


@dataclass(frozen=True)
class Source:
    """A vendor's list of what happened, oldest first, and how an entry of it is recognised."""

    source: str
    about: str
    """What findings are about."""
    begin: Callable[[datetime], str]
    """The position after which everything comes that happened since a moment."""
    read: Callable[[Vendors, str, Sequence[str]], Iterator[Listed]]
    known: Callable[[Sequence[Listed]], set[str]]
    """Ids of those entries that are stored already."""
    is_on: Callable[[Vendors], bool] = lambda vendors: True
    undelivered: Callable[[Sequence[Listed]], set[str]] = lambda page: set()
    """Ids of those that were fetched, and that no webhook brought since."""
    is_by_time: bool = False
    """Whether positions are moments, so that one that was read to its end moves on though nothing happened."""


@dataclass(frozen=True)
class Looked:
    """What one run found."""

    listed: int = 0
    fetched: int = 0
    late: int = 0
    """Those old enough to have been delivered that no webhook brought, fetched now or before."""
    at_end: bool = False

    def __str__(self) -> str:
        rest = "" if self.at_end else "; the next run goes on"
        return f"{self.listed} events listed, {self.fetched} of them fetched because no webhook had come{rest}"


def fetch(
    vendors: Vendors,
    source: Source,
    event_types: Sequence[str],
    *,
    most_pages: int | None = MOST_PAGES,
    dry_run: bool = False,
    progress: Callable[[Looked], None] = lambda looked: None,
) -> Looked:
    """Store every event of these types that is listed and missing; `dry_run` only counts them."""
    row = _position(source, dry_run=dry_run)
    entries = source.read(vendors, row.position, event_types)
    looked = Looked()
    while not looked.at_end and (most_pages is None or looked.listed < most_pages * PAGE):
        page = tuple(islice(entries, PAGE))
        missing = _missing(source, page)
        late = _late(source, page, missing)
        fetched = len(missing) if dry_run else _store(source, row, page, missing, late)
        looked = replace(
            looked,
            listed=looked.listed + len(page),
            fetched=looked.fetched + fetched,
            late=looked.late + len(late),
            at_end=len(page) < PAGE,
        )
        progress(looked)
    if looked.at_end and not dry_run:
        _reached_the_end(source, row, looked)
    return looked


def not_read(source: Source, why: str) -> None:
    """Tell that a list could not be read, so that missing webhooks would go unnoticed; the next whole run closes it."""
    finding.report(
        NOT_READ,
        source.about,
        detail=f"The list of events could not be read to its end, so webhooks that are missing are not noticed: {why}",
        next_step="It is tried again every five minutes. Where this stays, look at what it names.",
    )


def _missing(source: Source, page: Sequence[Listed]) -> list[Listed]:
    """Entries that are not stored here, without those that their webhooks may still bring."""
    known, now = source.known(page), clock.now()
    return [entry for entry in page if entry.event_id not in known and not now - YOUNG < entry.occurred_at <= now]


def _late(source: Source, page: Sequence[Listed], missing: Sequence[Listed]) -> list[Listed]:
    """Entries that ought to have been delivered by now and were not, whoever stored them."""
    absent = {entry.event_id for entry in missing} | source.undelivered(page)
    return [entry for entry in page if entry.event_id in absent and clock.now() - entry.occurred_at > LATE]


def _store(
    source: Source, row: ListPosition, page: Sequence[Listed], missing: Sequence[Listed], late: Sequence[Listed]
) -> int:
    """Store what is missing of a page, and the position after it, in one transaction; say how many were new."""
    readable = [taken for entry in missing if (taken := _taken(entry)) is not None]
    with transaction.atomic():
        stored = sum(intake.receive_notification(source.source, envelope, body) for envelope, body in readable)
        row.position = _settled(page) or row.position
        row.looked_at, row.found = row.looked_at + len(page), row.found + stored
        row.save(update_fields=["position", "looked_at", "found"])
        if late:
            _tell_missing(source, late)
    return stored


def _settled(page: Sequence[Listed]) -> str:
    """The last position before the list's end that is read again; empty where the whole page is.

    A vendor's clock that is ahead of ours, as a simulated one may be, has its own last minutes.
    """
    if not page:
        return ""
    horizon = max(clock.now(), page[-1].occurred_at) - OVERLAP
    settled = list(takewhile(lambda entry: entry.occurred_at <= horizon, page))
    return settled[-1].position if settled else ""


def _taken(entry: Listed) -> tuple[Envelope, str] | None:
    """What is stored of an entry; one that cannot be read is told, and does not stop the others."""
    try:
        return entry.take()
    except (ValidationError, BadAlert) as problem:
        why = problem.detail if isinstance(problem, ValidationError) else f"{problem.field} {problem}"
        finding.report(
            UNREADABLE,
            entry.event_id,
            detail=f"Paddle lists the event {entry.event_id}, but not as its contract says: {why}. It was not stored,"
            " and nothing was done for it.",
            next_step="Look at the event in Paddle. If it is about a subscription, use Sync now on its account link.",
        )
        return None


def _tell_missing(source: Source, late: Sequence[Listed]) -> None:
    count = len(late)
    finding.report(
        MISSING,
        source.about,
        detail=f"{count} event{'s' if count != 1 else ''} that Paddle lists did not arrive here as webhooks, the last"
        f" of {late[-1].occurred_at:%d %B %Y, %H:%M} UTC. They were fetched from Paddle's list and run like all"
        " others, so nothing is lost, but late.",
        next_step="See in Paddle (Developer tools > Notifications) whether the destination is active and what it was"
        " answered. This closes itself once a look finds nothing missing.",
    )


def _reached_the_end(source: Source, row: ListPosition, looked: Looked) -> None:
    row.finished_at = clock.now()
    if source.is_by_time:
        row.position = max(row.position, source.begin(clock.now() - OVERLAP))
    row.save(update_fields=["finished_at", "position"])
    finding.settle(NOT_READ, source.about, reason="The list was read to its end.")
    if not looked.late:
        finding.settle(MISSING, source.about, reason="Everything that Paddle lists had arrived.")


def _position(source: Source, *, dry_run: bool) -> ListPosition:
    """Where to go on; at first, when this database began to belong to its Paddle account."""
    name = f"{source.source} events"
    row = ListPosition.objects.filter(name=name).first()
    if row is not None:
        return row
    began_at = installation.current().pinned_at
    first = ListPosition(name=name, position=source.begin(began_at), began_at=began_at)
    if not dry_run:
        first, _ = ListPosition.objects.get_or_create(
            name=name, defaults={"position": first.position, "began_at": began_at}
        )
    return first


# --- Paddle Billing ---------------------------------------------------------------------------------------------------


def _read_paddle(vendors: Vendors, position: str, event_types: Sequence[str]) -> Iterator[Listed]:
    for event in vendors.paddle.list_events(after=position, event_types=event_types):
        yield Listed(event.event_id, event.occurred_at, event.event_id, partial(_of_paddle, event.raw))


def _of_paddle(notification: Mapping[str, Any]) -> tuple[Envelope, str]:
    """A listed event as a webhook would bring it, without a notification's id: nobody was notified."""
    envelope = replace(read_notification(notification), notification_id="")
    return envelope, exact_json.encode(notification).decode()


def _known_of_paddle(page: Sequence[Listed]) -> set[str]:
    stored = WebhookEvent.objects.filter(source=WebhookEvent.Source.PADDLE, event_id__in=[e.event_id for e in page])
    return set(stored.values_list("event_id", flat=True))


def _undelivered_of_paddle(page: Sequence[Listed]) -> set[str]:
    stored = WebhookEvent.objects.filter(source=WebhookEvent.Source.PADDLE, event_id__in=[e.event_id for e in page])
    return set(stored.filter(notification_id="").values_list("event_id", flat=True))


# --- Paddle Classic ---------------------------------------------------------------------------------------------------


def _read_classic(vendors: Vendors, position: str, event_types: Sequence[str]) -> Iterator[Listed]:
    """The history is read a day at a time, because within what is asked for it begins with the newest."""
    if vendors.classic is None:
        return
    start, now = datetime.fromisoformat(position), clock.now()
    while start < now:
        end = min(start + A_DAY, now)
        sent = vendors.classic.list_alerts(since=start, until=end)
        wanted = [alert for alert in sent if alert.name in event_types]
        for alert in sorted(wanted, key=lambda each: (each.created_at, int(each.id))):
            yield Listed(
                event_id=alert.fields.get("alert_id") or alert.id,
                occurred_at=alert.created_at,
                position=alert.created_at.isoformat(),
                take=partial(alerts.from_history, alert),
                likeness=_likeness(alert.name, alert.fields),
            )
        start = end


def _likeness(name: str, fields: Mapping[str, str]) -> tuple[str, ...]:
    """What tells an alert from all others besides its id, which the history need not repeat."""
    return (name, *(fields.get(field, "") for field in ("subscription_id", "event_time", "order_id")))


def _known_of_classic(page: Sequence[Listed]) -> set[str]:
    """Stored alerts by their ids, and by what else they are recognised by."""
    stored = WebhookEvent.objects.filter(source=WebhookEvent.Source.PADDLE_CLASSIC)
    known = set(stored.filter(event_id__in=[e.event_id for e in page]).values_list("event_id", flat=True))
    rest = [entry for entry in page if entry.event_id not in known and entry.likeness]
    subscriptions = {entry.likeness[1] for entry in rest} - {""}
    alike = stored.filter(
        paddle_subscription_id__in=subscriptions, event_type__in={entry.likeness[0] for entry in rest}
    ).select_related("payload")
    there = {_likeness(event.event_type, signature.fields_of(event.payload.body)) for event in alike}
    return known | {entry.event_id for entry in rest if entry.likeness in there}


PADDLE = Source(
    source=WebhookEvent.Source.PADDLE,
    about="Paddle's events",
    begin=event_ids.first_at,
    read=_read_paddle,
    known=_known_of_paddle,
    undelivered=_undelivered_of_paddle,
)
CLASSIC = Source(
    source=WebhookEvent.Source.PADDLE_CLASSIC,
    about="Paddle Classic's alerts",
    begin=lambda moment: moment.replace(microsecond=0).isoformat(),
    read=_read_classic,
    known=_known_of_classic,
    is_on=lambda vendors: vendors.classic is not None,
    is_by_time=True,
)
SOURCES: tuple[Source, ...] = (PADDLE, CLASSIC)
"""The lists that are looked through. A further vendor is a further row."""
