"""A customer's story as one time line: what came, what was done and by whom, merged by time from where it is kept.

Each source is one table seen by one of its moments. A page reads no more than a page's worth from each, whatever the
number of rows, and goes on from an entry's place, which tells entries of one moment apart; nothing is counted
further than MOST_COUNTED.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import IntegerField, Q, Subquery
from django.utils.safestring import SafeString

from integration_project import clock, showing
from integration_project.pages.happenings import KINDS, SOURCES, Said, Source
from paddle_sync.models import AccountLink

PAGE = 40
SHOWN_NEWER = 8
"""How many entries newer than a day are shown above it, when somebody goes there."""
MOST_COUNTED = 99
LARGEST_KEY_DIGITS = 18

ORDER: Mapping[str, int] = {source.name: place for place, source in enumerate(SOURCES)}


@dataclass(frozen=True)
class Place:
    """Where a page goes on: an entry's moment, and what tells it from others of the same moment."""

    moment: dt.datetime
    source: str = ""
    key: int = 0

    def __str__(self) -> str:
        return f"{self.moment.isoformat()}~{self.source}~{self.key}"

    @classmethod
    def read(cls, text: str) -> "Place | None":
        """Read what a link carried; nothing when it carries no place of ours."""
        moment, _, rest = text.partition("~")
        source, _, key = rest.partition("~")
        if source not in ORDER or not key.isdecimal() or len(key) > LARGEST_KEY_DIGITS:
            return None
        try:
            at = dt.datetime.fromisoformat(moment)
            return cls(at.astimezone(dt.UTC), source, int(key)) if at.tzinfo else None
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True)
class Entry:
    """One thing that happened."""

    place: Place
    kind: str
    said: Said

    @property
    def kind_in_words(self) -> str:
        """Name the kind as its tab does."""
        return KINDS[self.kind]

    @property
    def ago(self) -> SafeString:
        """Show when it was, relative to now, exactly on hover."""
        return showing.ago(self.place.moment)


def _entry(source: Source, row: Any) -> Entry:
    moment = getattr(row, source.moment)
    if source.by_day:
        moment = dt.datetime.combine(moment, dt.time.min, dt.UTC)
    return Entry(Place(moment, source.name, row.pk), source.kind, source.say(row))


@dataclass(frozen=True)
class Page:
    """A page's worth of entries, newest first; where the next pages go on; how many entries stand above the mark."""

    entries: Sequence[Entry]
    newer: Place | None
    older: Place | None
    mark: int | None


def page(
    link: AccountLink,
    *,
    kind: str = "",
    older_than: Place | None = None,
    newer_than: Place | None = None,
    on: dt.datetime | None = None,
) -> Page:
    """Give the newest entries, those around a moment, or the page before or after an entry."""
    sources = [source for source in SOURCES if kind in ("", source.kind)]
    if newer_than is not None:
        found = _newer(link, sources, newer_than, PAGE + 1)
        entries, more = found[-PAGE:], len(found) > PAGE
        return _page(entries, newer=more, older=True, mark=on)
    if older_than is not None:
        found = _older(link, sources, older_than, PAGE + 1)
        return _page(found[:PAGE], newer=True, older=len(found) > PAGE, mark=on)
    if on is None:
        found = _older(link, sources, None, PAGE + 1)
        return _page(found[:PAGE], newer=False, older=len(found) > PAGE, mark=clock.now())
    above = _newer(link, sources, Place(on), SHOWN_NEWER + 1)
    below = _older(link, sources, Place(on), PAGE + 1)
    entries = [*above[-SHOWN_NEWER:], *below[:PAGE]]
    return _page(entries, newer=len(above) > SHOWN_NEWER, older=len(below) > PAGE, mark=on)


def counts(link: AccountLink) -> dict[str, str]:
    """Count the entries of each kind, as far as it is worth, by one query."""
    columns = {
        f"in_{source.name}": _CountOf(source.ordered(link).order_by().values("pk")[: MOST_COUNTED + 1])
        for source in SOURCES
    }
    found: Any = AccountLink.objects.filter(pk=link.pk).values(**columns).get()
    totals = dict.fromkeys(KINDS, 0)
    for source in SOURCES:
        totals[source.kind] += found[f"in_{source.name}"]
    return {
        kind: str(total) if total <= MOST_COUNTED else f"more than {MOST_COUNTED}" for kind, total in totals.items()
    }


class _CountOf(Subquery):
    """The number of rows of a query, also of one with a limit."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS counted)"
    output_field = IntegerField()


def _page(entries: Sequence[Entry], *, newer: bool, older: bool, mark: dt.datetime | None) -> Page:
    return Page(
        entries,
        newer=entries[0].place if newer and entries else None,
        older=entries[-1].place if older and entries else None,
        mark=_mark(entries, mark, newer=newer, older=older),
    )


def _mark(entries: Sequence[Entry], moment: dt.datetime | None, *, newer: bool, older: bool) -> int | None:
    """Say how many entries of the page are newer than the moment; nothing when it falls on another page."""
    if moment is None:
        return None
    above = sum(entry.place.moment > moment for entry in entries)
    elsewhere = (above == 0 and newer) or (above == len(entries) and older)
    return None if elsewhere else above


def _older(link: AccountLink, sources: Iterable[Source], than: Place | None, limit: int) -> list[Entry]:
    found: list[Entry] = []
    for source in sources:
        rows = source.ordered(link)
        if than is not None:
            rows = rows.filter(_is_older(source, than))
        found.extend(_entry(source, row) for row in rows[:limit])
    return sorted(found, key=_newest_first)[:limit]


def _newer(link: AccountLink, sources: Iterable[Source], than: Place, limit: int) -> list[Entry]:
    """The nearest that are newer, newest first all the same."""
    found: list[Entry] = []
    for source in sources:
        rows = source.ordered(link).filter(_is_newer(source, than)).reverse()
        found.extend(_entry(source, row) for row in rows[:limit])
    return sorted(found, key=_newest_first)[-limit:]


def _newest_first(entry: Entry) -> tuple[int, int, int]:
    place = entry.place
    return -_microseconds(place.moment), ORDER[place.source], -place.key


def _microseconds(moment: dt.datetime) -> int:
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def _is_older(source: Source, than: Place) -> Q:
    """Entries of one moment stand in the order of their sources, and within one source the last written first."""
    rank, mine = ORDER.get(than.source, -1), ORDER[source.name]
    older = _compared(source, "lte" if mine > rank else "lt", than.moment)
    return older | (_compared(source, "exact", than.moment) & Q(pk__lt=than.key)) if mine == rank else older


def _is_newer(source: Source, than: Place) -> Q:
    rank, mine = ORDER.get(than.source, -1), ORDER[source.name]
    newer = _compared(source, "gte" if mine < rank else "gt", than.moment)
    return newer | (_compared(source, "exact", than.moment) & Q(pk__gt=than.key)) if mine == rank else newer


def _compared(source: Source, how: str, moment: dt.datetime) -> Q:
    if not source.by_day:
        return Q(**{f"{source.moment}__{how}": moment})
    at = moment.astimezone(dt.UTC)
    if at.time() != dt.time.min:  # no day begins at this moment: it stands after the beginning of its own day
        how = {"lt": "lte", "gte": "gt"}.get(how, how)
    return Q(**{f"{source.moment}__{how}": at.date()})
