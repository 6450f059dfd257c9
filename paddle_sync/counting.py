"""Quantities that m3ter keeps as counts: the adjustments of an account's counters become what is wanted."""

from collections.abc import Sequence
from datetime import date, datetime, tzinfo

from integration_project.errors import VendorRejected
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.vendors.m3ter.entities import CounterAdjustment, NewCounterAdjustment
from integration_project.vendors.m3ter.errors import not_listed_yet
from paddle_sync.models import AccountLink, CounterLink
from paddle_sync.plans import Difference
from paddle_sync.wanted import CHARGED_PERIOD, WantedCount

Counts = dict[tuple[str, date], int]
"""Counter and day -> the whole count at the end of that day."""


def wanted_counts(
    counts: Sequence[WantedCount], link: AccountLink | None, *, charged_until: datetime | None, zone: tzinfo
) -> Counts:
    """What should be kept; days of a period that was charged or locked stay as they were written down."""
    wanted = {(each.counter_id, each.day): each.value for each in counts}
    if charged_until is None or link is None:
        return wanted
    first_open = charged_until.astimezone(zone).date()
    kept = {place: value for place, value in recorded(link).items() if place[1] < first_open}
    final = {**kept, **{place: value for place, value in wanted.items() if place[1] >= first_open}}
    for counter in {counter for counter, _ in (*wanted, *kept)}:
        due, has = _last(wanted, counter, first_open), _last(kept, counter, first_open)
        if due != has:
            final.setdefault((counter, first_open), due)
    return final


def recorded(link: AccountLink | None) -> Counts:
    """What we wrote down."""
    rows = link.counters.all() if link is not None else ()
    return {(row.m3ter_counter_id, row.day): row.value for row in rows}


def bring_about(
    link: AccountLink, wanted: Counts, m3ter: M3terClient, *, account_is_new: bool, thorough: bool = False
) -> list[str]:
    """Make the account's adjustments what is wanted, write them down, and say what was done."""
    if recorded(link) == wanted and not (thorough and wanted):
        return []
    ours = {row.m3ter_adjustment_id for row in link.counters.all()}
    words = []
    for counter in sorted({counter for counter, _ in (*wanted, *recorded(link))}):
        days = {day: value for (of, day), value in wanted.items() if of == counter}
        words += _keep(link, counter, days, ours, m3ter, account_is_new=account_is_new)
    return words


def stop(link: AccountLink, day: date, m3ter: M3terClient) -> None:
    """Have the account count none from a day on, because the subscription leaves it."""
    has = recorded(link)
    for counter in sorted({counter for counter, _ in has}):
        existing = {each.date: each for each in m3ter.list_counter_adjustments(link.m3ter_account_id, counter)}
        kept = existing.get(day)
        if kept is None or kept.value != 0:
            _say(link, counter, day, 0, kept, m3ter)


def _keep(
    link: AccountLink, counter: str, days: dict[date, int], ours: set[str], m3ter: M3terClient, *, account_is_new: bool
) -> list[str]:
    existing = () if account_is_new else m3ter.list_counter_adjustments(link.m3ter_account_id, counter)
    by_day = {adjustment.date: adjustment for adjustment in existing}
    words = []
    for day, adjustment in by_day.items():
        if day not in days and adjustment.id in ours:
            m3ter.delete_counter_adjustment(adjustment)
            words.append(f"the count of {day} taken back")
    CounterLink.objects.filter(link=link, m3ter_counter_id=counter).exclude(day__in=list(days)).delete()
    for day, value in sorted(days.items()):
        kept = by_day.get(day)
        if kept is None or kept.value != value:
            kept = _say(link, counter, day, value, kept, m3ter)
            words.append(f"the count is {value} from {day} on")
        CounterLink.objects.update_or_create(
            link=link,
            m3ter_counter_id=counter,
            day=day,
            defaults={"value": value, "m3ter_adjustment_id": kept.id},
        )
    return words


def changes_in_charged(counts: Sequence[WantedCount], final: Counts) -> tuple[Difference, ...]:
    """Say in words which counts were called for and left undone, because their period was charged or locked."""
    due = {(each.counter_id, each.day): each.value for each in counts}
    if due == final:
        return ()
    called_for = "; ".join(_in_words(place, value) for place, value in sorted(due.items() - final.items()))
    stays = "; ".join(_in_words(place, value) for place, value in sorted(final.items() - due.items()))
    return (
        Difference(
            CHARGED_PERIOD,
            "counters",
            f"The subscription's story calls for these counts: {called_for or 'none'}. Part of that lies in a period"
            f" that is charged or locked already, so m3ter has instead: {stays or 'none'}.",
            "Decide whether the customer is owed something for the period that was charged, then acknowledge this.",
        ),
    )


def _in_words(place: tuple[str, date], value: int) -> str:
    counter, day = place
    return f"{value} of {counter} from {day:%d %B %Y} on"


def _say(
    link: AccountLink, counter: str, day: date, value: int, kept: CounterAdjustment | None, m3ter: M3terClient
) -> CounterAdjustment:
    if kept is not None:
        return m3ter.update_counter_adjustment(kept, value=value)
    account_id = link.m3ter_account_id
    try:
        return m3ter.create_counter_adjustment(
            NewCounterAdjustment(account_id=account_id, counter_id=counter, date=day, value=value)
        )
    except VendorRejected as refusal:  # an answer may have been lost, and the list may have lagged behind
        there = next((each for each in m3ter.list_counter_adjustments(account_id, counter) if each.date == day), None)
        if there is None:
            raise not_listed_yet(refusal) from None
        return there if there.value == value else m3ter.update_counter_adjustment(there, value=value)


def _last(counts: Counts, counter: str, day: date) -> int:
    """What a counter says at the end of a day."""
    known = [(when, value) for (of, when), value in counts.items() if of == counter and when <= day]
    return max(known)[1] if known else 0
