"""Which items a subscription's story calls to be metered, from when to when, and how its account bills. Pure.

    snapshots, in order   -> stretches: what the subscription was, from one moment to the next
    stretches             -> stays: each price, for as long as it is an unbroken part of the subscription
    stays, people's moves -> spans: the part of a stay that one decision about its mapping holds for

All of it depends on nothing but the set of snapshots, so the order in which events arrive makes no difference.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise

from integration_project.vendors.paddle.entities import Subscription
from paddle_sync.story import Item, Snapshot, SubscriptionStory

CANCELED = "canceled"
PAUSED = "paused"
TRIALING = "trialing"
UNMETERED = frozenset({CANCELED, PAUSED})
"""What a subscription is while nothing of it is metered. A past_due one goes on: it may well be paid."""


@dataclass(frozen=True)
class Terms:
    """What the installation decides about every subscription."""

    zone: tzinfo
    lead_days: int
    go_live: date | None = None


@dataclass(frozen=True)
class Stretch:
    """What a subscription was from one moment to the next; the last one is open."""

    snapshot: Snapshot
    begins_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True)
class Piece:
    """A part of a span that is metered with one quantity; open while it lasts."""

    begins_at: datetime
    ends_at: datetime | None
    quantity: int
    is_trial: bool


@dataclass(frozen=True)
class Span:
    """An item of a subscription for as long as one decision about its mapping holds, and when it is metered."""

    item: Item
    decided_at: datetime
    """When its stay began, or a person moved it."""
    day: date
    """The date of that in the organisation's time zone: the mapping in force then is the item's."""
    metered_day: date
    """The first date on which it can be metered; where no mapping was in force yet when it began, this day's is."""
    pieces: tuple[Piece, ...]
    is_current: bool = True
    """Whether the subscription has the item now."""
    is_moved: bool = False
    """Whether it begins where a person moved it, and not where its stay began."""

    @property
    def starts_at(self) -> datetime:
        """When metering may begin."""
        return self.pieces[0].begins_at


@dataclass(frozen=True)
class Difference:
    """Something about a subscription that a person should know."""

    kind: str
    key: str
    detail: str
    next_step: str


Moves = Mapping[str, Sequence[datetime]]
"""Price -> the moments from which a person had it follow the mapping in force then."""


def stretches(story: SubscriptionStory) -> tuple[Stretch, ...]:
    """Say what the subscription was and when, from its founding on, in whole seconds, as plans' codes say them."""
    founding = story.founding
    if founding is None:
        return ()
    told = story.snapshots[story.snapshots.index(founding) :]
    moments = [_began(founding)]
    for before, now in pairwise(told):
        moments.append(max(moments[-1], _moment(before, now, told)))
    ends = [*moments[1:], None]
    return tuple(Stretch(*each) for each in zip(told, moments, ends, strict=True))


def desired_spans(
    story: SubscriptionStory, terms: Terms, moves: Moves | None = None, *, since: datetime | None = None
) -> tuple[Span, ...]:
    """Say which items are to be metered and when; nothing while nobody knows how the subscription began.

    `since` is when it came to the account that it has now: what was before belongs to another.
    """
    parts = stretches(story)
    if not parts:
        return ()
    opening = later(_opening(story, terms), since)
    spans = [
        span for stay in _stays(parts) for span in _split(stay, (moves or {}).get(stay.price_id, ()), opening, terms)
    ]
    return tuple(span for span in spans if span.pieces)


def canceled_at(story: SubscriptionStory) -> datetime | None:
    """When the subscription ended, whatever was heard of it since; None while it goes on."""
    since = None
    for part in stretches(story):
        since = (since or part.begins_at) if part.snapshot.subscription.status == CANCELED else None
    return since


def stopped_at(story: SubscriptionStory) -> datetime | None:
    """Since when nothing of the subscription is metered, because it is paused or cancelled; None while something is."""
    since = None
    for part in stretches(story):
        is_stopped = part.snapshot.subscription.status in UNMETERED
        since = (since or part.begins_at) if is_stopped else None
    return since


def bill_epoch(founding: Snapshot, terms: Terms) -> date | None:
    """The account's first bill date: the renewal that carries the first bill, less the lead; None = m3ter's own.

    A guess, here and nowhere else: that m3ter takes billEpoch as the first bill date and repeats its day of the month,
    and that an epoch changed later counts from the next period without a bill on.
    """
    renewal = _renewal(founding.subscription)
    return None if renewal is None else _epoch(renewal, terms)


def moved_epoch(story: SubscriptionStory, terms: Terms) -> date | None:
    """The bill date that the account should have since its renewal moved; None where it never left its rhythm."""
    founding = story.founding
    if founding is None:
        return None
    anchor, moved = _renewal(founding.subscription), None
    for snapshot in story.snapshots[story.snapshots.index(founding) + 1 :]:
        renewal = snapshot.subscription.next_billed_at
        if renewal is None:
            continue
        if anchor is None or _is_off(anchor, renewal, snapshot.subscription):
            anchor = renewal
            moved = _epoch(renewal, terms)
    return moved


def differences(story: SubscriptionStory) -> tuple[Difference, ...]:
    """What a person should know of the subscription's own state."""
    change = story.latest.subscription.scheduled_change if story.founding else None
    if change is None or change.action not in {"cancel", "pause"}:
        return ()
    return (
        Difference(
            "change scheduled",
            change.action,
            f"Paddle will {change.action} the subscription on {change.effective_at:%d %B %Y, %H:%M} UTC."
            " Its plans in m3ter end then by themselves. What waits for a renewal then is not collected.",
            "Bill the usage up to that day in m3ter before it comes.",
        ),
    )


# --- Moments ---------------------------------------------------------------------------------------------------------


def whole(moment: datetime) -> datetime:
    """A moment as plans' codes can say it."""
    return moment.replace(microsecond=0)


def _began(founding: Snapshot) -> datetime:
    subscription = founding.subscription
    return whole(
        subscription.started_at or subscription.first_billed_at or subscription.created_at or founding.occurred_at
    )


def _opening(story: SubscriptionStory, terms: Terms) -> datetime | None:
    """Before which nothing is metered: an existing subscription's past is settled, and what was before go-live too."""
    existing = story.existing
    if existing is None:
        return None
    period = existing.subscription.current_billing_period
    start = period.starts_at if period else _began(existing)
    if terms.go_live:
        start = max(start, datetime.combine(terms.go_live, time.min, tzinfo=terms.zone).astimezone(UTC))
    return whole(start)


def _moment(before: Snapshot, now: Snapshot, told: Sequence[Snapshot]) -> datetime:
    """When a subscription became what a snapshot says.

    Paddle's own date of a pause, a cancellation, or the period that began with a resume or at a trial's end; else the
    moment of the event. A read has the moment of the event whose content it has, once that came.
    """
    known = min(
        (s.occurred_at for s in told if s.updated_at == now.updated_at and s.event_type != "read"), default=None
    )
    at = known if now.event_type == "read" and now.updated_at and known else now.occurred_at
    was, is_now = before.subscription.status, now.subscription
    if was == is_now.status:
        return whole(at)
    stated = {CANCELED: is_now.canceled_at, PAUSED: is_now.paused_at}.get(is_now.status)
    period = is_now.current_billing_period
    if was in {PAUSED, TRIALING} and is_now.status not in {*UNMETERED, TRIALING} and period:
        stated = period.starts_at
    # Classic says beforehand on which day a cancelled subscription ends.
    is_between = stated is not None and before.occurred_at < stated and (stated <= at or is_now.status == CANCELED)
    return whole(stated if is_between and stated is not None else at)


# --- Stays and spans --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stay:
    """A price as an unbroken part of a subscription, pauses included; `pieces` are what may be metered of it."""

    price_id: str
    item: Item
    began_at: datetime
    ended_at: datetime | None
    pieces: tuple[Piece, ...]


def _stays(parts: Sequence[Stretch]) -> list[_Stay]:
    """Every price's stays, in the order they began."""
    open_ones: dict[str, list[Stretch]] = {}
    done: list[_Stay] = []
    for part in parts:
        subscription = part.snapshot.subscription
        has = {item.price_id for item in part.snapshot.items} if subscription.status != CANCELED else set()
        for price_id in [price for price in open_ones if price not in has]:
            done.append(_stay(price_id, open_ones.pop(price_id), part.begins_at))
        for price_id in dict.fromkeys(item.price_id for item in part.snapshot.items if item.price_id in has):
            open_ones.setdefault(price_id, []).append(part)
    done += [_stay(price_id, their, None) for price_id, their in open_ones.items()]
    return sorted(done, key=lambda stay: (stay.began_at, stay.price_id))


def _stay(price_id: str, parts: Sequence[Stretch], ended_at: datetime | None) -> _Stay:
    first = next(item for item in parts[0].snapshot.items if item.price_id == price_id)
    last = next(item for item in parts[-1].snapshot.items if item.price_id == price_id)
    began = parts[0].begins_at
    if parts[0].snapshot.is_existing and first.created_at is not None:
        began = whole(first.created_at)
    pieces = tuple(
        Piece(
            part.begins_at,
            part.ends_at,
            sum(item.quantity for item in part.snapshot.items if item.price_id == price_id),
            part.snapshot.subscription.status == TRIALING,
        )
        for part in parts
        if part.snapshot.subscription.status not in UNMETERED
    )
    return _Stay(price_id, last, began, ended_at, _joined(pieces))


def _joined(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Make one of neighbours that do not differ, and drop what takes no time."""
    joined: list[Piece] = []
    for piece in pieces:
        if piece.ends_at is not None and piece.ends_at <= piece.begins_at:
            continue
        last = joined[-1] if joined else None
        if (
            last
            and last.ends_at == piece.begins_at
            and (last.quantity, last.is_trial) == (piece.quantity, piece.is_trial)
        ):
            joined[-1] = Piece(last.begins_at, piece.ends_at, piece.quantity, piece.is_trial)
        else:
            joined.append(piece)
    return tuple(joined)


def _split(stay: _Stay, moves: Sequence[datetime], opening: datetime | None, terms: Terms) -> Iterable[Span]:
    """Cut a stay where a person moved it, and drop what lies before an existing subscription's opening."""
    end = stay.ended_at
    cuts = sorted({whole(m) for m in moves if m > stay.began_at and (end is None or m < end)})
    bounds = [stay.began_at, *cuts]
    for decided_at, until in zip(bounds, [*cuts, None], strict=True):
        first = None if decided_at == stay.began_at else decided_at
        pieces = _between(stay.pieces, first, until)
        pieces = _between(pieces, opening, None)
        metered_from = pieces[0].begins_at if pieces else decided_at
        yield Span(
            stay.item,
            decided_at,
            decided_at.astimezone(terms.zone).date(),
            metered_from.astimezone(terms.zone).date(),
            pieces,
            is_current=end is None and until is None,
            is_moved=first is not None,
        )


def _between(pieces: Sequence[Piece], start: datetime | None, end: datetime | None) -> tuple[Piece, ...]:
    """The part of the pieces that lies between two moments."""
    kept = []
    for piece in pieces:
        begins = piece.begins_at if start is None else max(piece.begins_at, start)
        ends = earlier(piece.ends_at, end)
        if ends is None or begins < ends:
            kept.append(Piece(begins, ends, piece.quantity, piece.is_trial))
    return tuple(kept)


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two beginnings; None is one that always was."""
    return max((moment for moment in (one, other) if moment is not None), default=None)


def earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two ends; None is an end that never comes."""
    return min((moment for moment in (one, other) if moment is not None), default=None)


# --- Billing dates ----------------------------------------------------------------------------------------------------


def _renewal(subscription: Subscription) -> datetime | None:
    change = subscription.scheduled_change
    return subscription.next_billed_at or (change.effective_at if change else None)


def _epoch(renewal: datetime, terms: Terms) -> date:
    return renewal.astimezone(terms.zone).date() - timedelta(days=terms.lead_days)


def _is_off(first: datetime, renewal: datetime, subscription: Subscription) -> bool:
    """Say whether a renewal falls on a day that an earlier one and the billing cycle do not lead to."""
    cycle = subscription.billing_cycle
    if cycle is None:
        return False
    if cycle.interval in {"day", "week"}:
        length = cycle.frequency * (7 if cycle.interval == "week" else 1)
        return (renewal.date() - first.date()).days % max(length, 1) != 0
    months = cycle.frequency * (12 if cycle.interval == "year" else 1)
    passed = (renewal.year - first.year) * 12 + renewal.month - first.month
    return passed % max(months, 1) != 0 or not _same_day(first, renewal)


def _same_day(first: datetime, renewal: datetime) -> bool:
    """Say whether both fall on one day of the month; a month's last day stands for the days it lacks."""
    is_last = (renewal + timedelta(days=1)).month != renewal.month
    return renewal.day == first.day or (is_last and renewal.day < first.day)
