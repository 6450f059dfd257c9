"""Which m3ter plans a subscription's story calls for, and since when; what the story says beyond that. Pure.

Plans follow the snapshot the subscription began with. What changed since (items added, removed, swapped, quantities,
pauses, cancellation) is not carried into m3ter by itself yet: it is told to a person, as the difference between how the
subscription began and what it is now, so the order in which events arrive makes no difference.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from integration_project.vendors.paddle.entities import Subscription
from paddle_sync.story import Item, Snapshot, SubscriptionStory

LONGEST_CODE = 80


@dataclass(frozen=True)
class Terms:
    """What the installation decides about every subscription."""

    zone: tzinfo
    lead_days: int
    go_live: date | None = None


@dataclass(frozen=True)
class Span:
    """One item of a subscription, and from when on it is to be metered."""

    item: Item
    starts_at: datetime
    day: date
    """The start's date in the organisation's time zone; mappings are chosen by it."""


@dataclass(frozen=True)
class WantedPlan:
    """One plan, or plan group, that an account should have: all items on it together."""

    plan_id: str
    plan_group_id: str
    product_id: str
    starts_at: datetime
    quantity: int
    price_ids: tuple[str, ...]
    group_product_ids: tuple[str, ...] = ()
    """The products that a group's plans are for; empty where the catalogue does not say."""

    @property
    def products(self) -> tuple[str, ...]:
        """Every m3ter product it is for, as far as that is known."""
        return self.group_product_ids if self.plan_group_id else (self.product_id,)

    @property
    def target(self) -> str:
        """The plan or group that is attached."""
        return self.plan_id or self.plan_group_id

    def code(self, subscription_id: str) -> str:
        """The account plan's code: the same whoever computes it, and when."""
        what = self.plan_group_id or self.product_id
        return f"{subscription_id}:{what}:{int(self.starts_at.timestamp())}"[-LONGEST_CODE:]


@dataclass(frozen=True)
class Difference:
    """Something that happened to a subscription and did not reach its m3ter account by itself."""

    kind: str
    key: str
    detail: str
    next_step: str
    price_ids: tuple[str, ...] = ()
    """The prices it is about; it concerns nobody when none of them is metered."""


def desired_spans(story: SubscriptionStory, terms: Terms) -> tuple[Span, ...]:
    """Say which items are to be metered and since when; nothing while nobody knows how the subscription began."""
    founding = story.founding
    if founding is None:
        return ()
    starts_at = _start(founding, terms)
    day = starts_at.astimezone(terms.zone).date()
    return tuple(Span(item, starts_at, day) for item in founding.items)


def bill_epoch(founding: Snapshot, terms: Terms) -> date | None:
    """The account's first bill date: the renewal that carries the first bill, less the lead; None = m3ter's own.

    A guess, here and nowhere else: that m3ter takes billEpoch as the first bill date and repeats its day of the month,
    and that an account made with it keeps it for good. What a later change of it does is not documented.
    """
    subscription = founding.subscription
    change = subscription.scheduled_change
    renewal = subscription.next_billed_at or (change.effective_at if change else None)
    if renewal is None:
        return None
    return renewal.astimezone(terms.zone).date() - timedelta(days=terms.lead_days)


def differences(story: SubscriptionStory) -> tuple[Difference, ...]:
    """Everything in which the subscription now differs from how it began."""
    founding, latest = story.founding, story.latest
    if founding is None:
        return ()
    return (
        *_items_changed(founding, latest),
        *_status_changed(latest.subscription),
        *_terms_changed(founding.subscription, latest.subscription),
    )


def _start(founding: Snapshot, terms: Terms) -> datetime:
    """When metering begins, in whole seconds, as the plan's code says it.

    An existing subscription starts with its current billing period, and never before go-live: its past is settled.
    """
    subscription = founding.subscription
    period = subscription.current_billing_period
    began = subscription.started_at or subscription.first_billed_at or subscription.created_at or founding.occurred_at
    if not founding.is_imported:
        return began.replace(microsecond=0)
    start = period.starts_at if period else began
    if terms.go_live:
        start = max(start, datetime.combine(terms.go_live, time.min, tzinfo=terms.zone).astimezone(UTC))
    return start.replace(microsecond=0)


def _items_changed(founding: Snapshot, latest: Snapshot) -> Iterable[Difference]:
    before = {item.price_id: item for item in founding.items}
    after = {item.price_id: item for item in latest.items}
    removed = {price_id: item for price_id, item in before.items() if price_id not in after}
    added = {price_id: item for price_id, item in after.items() if price_id not in before}
    for old, new in _swaps(removed, added):
        del removed[old.price_id], added[new.price_id]
        yield Difference(
            "item swapped",
            f"{old.price_id} > {new.price_id}",
            f"The subscription changed from {old} to {new}. Its m3ter plan still is the one of the first.",
            "Replace the plan on the m3ter account, from the day of the change.",
            (old.price_id, new.price_id),
        )
    for item in removed.values():
        yield Difference(
            "item removed",
            item.price_id,
            f"{item} is no longer part of the subscription. Its m3ter plan goes on.",
            "End the plan on the m3ter account, at the day of the change.",
            (item.price_id,),
        )
    for item in added.values():
        yield Difference(
            "item added",
            item.price_id,
            f"{item} was added to the subscription. No m3ter plan was attached for it.",
            "Attach its plan to the m3ter account, from the day of the change.",
            (item.price_id,),
        )
    for price_id in sorted(before.keys() & after.keys()):
        old, new = before[price_id], after[price_id]
        if old.quantity != new.quantity:
            yield Difference(
                "quantity changed",
                price_id,
                f"The quantity of {new} is {new.quantity}; it began with {old.quantity}. m3ter was not told.",
                "Nothing, unless the quantity decides about the plan.",
                (price_id,),
            )


def _swaps(removed: Mapping[str, Item], added: Mapping[str, Item]) -> list[tuple[Item, Item]]:
    """Pair what was removed with what was added of the same Paddle product."""
    free = dict(added)
    pairs = []
    for old in removed.values():
        new = next((item for item in free.values() if old.product_id and item.product_id == old.product_id), None)
        if new is not None:
            del free[new.price_id]
            pairs.append((old, new))
    return pairs


def _status_changed(now: Subscription) -> Iterable[Difference]:
    if now.status == "canceled":
        yield Difference(
            "subscription canceled",
            "",
            "The subscription is cancelled in Paddle. Its m3ter account and plans go on.",
            "Bill the usage up to the cancellation in m3ter, then end the account's plans there.",
        )
    elif now.status == "paused":
        yield Difference(
            "subscription paused",
            "",
            "The subscription is paused in Paddle. Its m3ter plans go on, and so do their standing charges.",
            "End the plans on the m3ter account if nothing is to be billed during the pause.",
        )
    elif now.scheduled_change is not None and now.scheduled_change.action in {"cancel", "pause"}:
        change = now.scheduled_change
        yield Difference(
            "change scheduled",
            change.action,
            f"Paddle will {change.action} the subscription on {change.effective_at:%d %B %Y, %H:%M} UTC."
            " What waits for a renewal then is not collected.",
            "Bill the usage up to that day in m3ter before it comes.",
        )


def _terms_changed(before: Subscription, now: Subscription) -> Iterable[Difference]:
    if now.currency_code != before.currency_code:
        yield Difference(
            "currency changed",
            now.currency_code,
            f"The subscription is billed in {now.currency_code} now; its m3ter account was made for"
            f" {before.currency_code}, and bills in that currency are held.",
            "Change the account's currency in m3ter, from the next bill on.",
        )
    if before.next_billed_at and now.next_billed_at and _moved(before, now.next_billed_at):
        yield Difference(
            "billing date moved",
            "",
            f"The subscription renews on {now.next_billed_at:%d %B %Y} now, which is none of the days it began with."
            " The m3ter account still bills by the old day.",
            "Change the account's bill epoch in m3ter, from the next unbilled period on.",
        )


def _moved(before: Subscription, renewal: datetime) -> bool:
    """Say whether a renewal falls on a day that the first one and the billing cycle do not lead to."""
    first, cycle = before.next_billed_at, before.billing_cycle
    if first is None or cycle is None:
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
