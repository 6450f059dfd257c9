"""Usage as m3ter has counted it: read back by meter, account and day, so that people see it beside what they sent.

Each meter is asked for hourly, for the last 35 days, the first time for 90: one call, or more where an answer would be
too long. What is told replaces what was known of those days, and what is told no more goes. Then it is judged: usage
that no plan of its account covers, usage of accounts that nobody has, and accounts whose usage stopped.
"""

import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from itertools import groupby, pairwise
from statistics import median

from django.db import transaction
from django.db.models import F, Max, Q

from integration_project import clock, finding, wakeups
from integration_project.errors import BudgetSpent, IntegrationError, NotPossible, Permanent, VendorClosed
from integration_project.finding import Found
from integration_project.models import Finding
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.vendors.m3ter.entities import BY_ACCOUNT, BY_DAY, UsageAggregation, UsageRow
from paddle_sync.models import AccountLink, AccountPlanLink, SeenMeter, UsageDay
from paddle_sync.usage import meters
from paddle_sync.usage.checking import digits
from paddle_sync.usage.meters import Meter

logger = logging.getLogger(__name__)

Problem = UsageDay.Problem
NAME = "seen usage"
JOB = "paddle_sync.usage.jobs.see_usage"
STALE = timedelta(hours=1)
BACK, FIRST_BACK = timedelta(days=35), timedelta(days=90)
"""How far back a meter is read: m3ter takes corrections of what is older too, but most come earlier."""
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
LONGEST_RUN = 150.0
"""Seconds after which a run stops, well before its task would be ended; the next one goes on."""
STRAY, STOPPED = "usage without a subscription", "usage stopped"
KINDS = (STRAY, STOPPED)
FEWEST_DAYS = 3
GAPS = 3
"""An account is silent after so many times its usual gap between days with usage, and after three days at least."""
MOST_FINDINGS = 200
MOST_LOOKED_UP = 5_000
NO_SIGN = re.compile(r"[\s_-]")


def ask(*, by: str) -> None:
    """Have everything read again as soon as a worker can; `by` is who asks."""
    known = meters.known()
    if not known:
        raise NotPossible("No meter is known here. Read the catalogue first.")
    now = clock.now()
    SeenMeter.objects.bulk_create([SeenMeter(meter=code) for code in sorted(known)], ignore_conflicts=True)
    SeenMeter.objects.filter(meter__in=known).update(asked_at=now)
    logger.info("%s asks for usage to be read from m3ter.", by)
    transaction.on_commit(lambda: wakeups.ask_for(NAME, JOB), robust=True)


def last_read() -> datetime | None:
    """Since when all meters have been read; None while one never was."""
    rows = list(SeenMeter.objects.filter(meter__in=meters.known()).values_list("read_at", flat=True))
    known = [read_at for read_at in rows if read_at is not None]
    return min(known) if known and len(known) == len(rows) else None


def read(m3ter: M3terClient, *, seconds: float = LONGEST_RUN, stop: Callable[[], bool] = lambda: False) -> str:
    """Read the meters that are due, and judge what was read once none is left; say what was done."""
    end = time.monotonic() + seconds
    known = meters.known()
    SeenMeter.objects.bulk_create([SeenMeter(meter=code) for code in sorted(known)], ignore_conflicts=True)
    due = list(_due(known))
    cover = Cover.known() if due else None
    done = 0
    for row in due:
        if stop() or time.monotonic() >= end or cover is None:
            return f"{done} of {len(due)} meters read; the next run goes on"
        try:
            _read_meter(row, known[row.meter], m3ter, cover)
        except (BudgetSpent, VendorClosed) as error:
            return f"{done} of {len(due)} meters read: {error}"
        except IntegrationError as error:  # one meter's trouble keeps no other back
            logger.warning("Usage of meter %s was not read: %s", row.meter, error)
            SeenMeter.objects.filter(pk=row.pk).update(error=str(error))
        else:
            done += 1
    if due and cover is not None:
        tell(cover)
    return f"{done} of {len(due)} meters read"


def _due(known: Mapping[str, Meter]) -> Iterator[SeenMeter]:
    """The meters that were not read for an hour, or since somebody asked; those that wait longest first."""
    stale = Q(read_at__isnull=True) | Q(read_at__lte=clock.now() - STALE) | Q(asked_at__gt=F("read_at"))
    rows = SeenMeter.objects.filter(stale, meter__in=known)
    yield from rows.order_by(F("read_at").asc(nulls_first=True), "pk")


# --- Reading ----------------------------------------------------------------------------------------------------------


def _read_meter(row: SeenMeter, meter: Meter, m3ter: M3terClient, cover: "Cover") -> None:
    began = clock.now()
    last = midnight(began.date()) + DAY
    first = midnight((began - (BACK if row.read_at else FIRST_BACK)).date())
    for start, end, totals in _spans(meter, first, last, m3ter, cover.codes):
        _store(meter, start.date(), end.date(), totals, cover)
    SeenMeter.objects.filter(pk=row.pk).update(read_at=began, error="")


Totals = dict[tuple[str, str, date], Decimal]
"""By account code, field and day."""


def _spans(
    meter: Meter, first: datetime, last: datetime, m3ter: M3terClient, codes: Mapping[str, str]
) -> Iterator[tuple[datetime, datetime, Totals]]:
    """Ask for whole days, halved as long as an answer is too long; a single day is added up from its hours."""
    left = [(first, last)]
    while left:
        start, end = left.pop()
        totals: Totals = defaultdict(Decimal)
        if _ask(meter, start, end, m3ter, codes, totals):
            yield start, end, totals
        elif end - start > DAY:
            middle = start + DAY * ((end - start).days // 2)
            left += [(middle, end), (start, middle)]
        else:
            hours: Totals = defaultdict(Decimal)
            for hour in range(24):
                begins = start + HOUR * hour
                if not _ask(meter, begins, begins + HOUR, m3ter, codes, hours):
                    raise Permanent(
                        f"m3ter has more of meter {meter.code} in the hour of {begins:%Y-%m-%d %H}:00 UTC"
                        " than it tells in one answer"
                    )
            yield start, end, hours


def _ask(
    meter: Meter, start: datetime, end: datetime, m3ter: M3terClient, codes: Mapping[str, str], totals: Totals
) -> bool:
    """Add what m3ter tells of a span; False, and nothing added, where it has more than it tells."""
    wanted = _aggregations(meter)
    found = m3ter.query_usage(
        start=start, end=end, meter_ids=(meter.id,), aggregations=wanted, groups=(BY_ACCOUNT, BY_DAY)
    )
    if found.has_more:
        return False
    for row in found.rows:
        for aggregation in wanted:
            number = row.number(aggregation)
            if number is not None and row.account is not None:
                code = codes.get(row.account, row.account)
                totals[code, aggregation.field_code, _day(row, start)] += number
    return True


def _day(row: UsageRow, start: datetime) -> date:
    return (row.at or start).astimezone(UTC).date()


def _aggregations(meter: Meter) -> tuple[UsageAggregation, ...]:
    """The sums of its numeric fields; of a meter without any, how many measurements there are."""
    if meter.numeric:
        return tuple(UsageAggregation(meter.id, code) for code in meter.numeric)
    texts = tuple(meter.categories)[:1]
    return tuple(UsageAggregation(meter.id, code, "COUNT", "DIMENSION") for code in texts)


def _store(meter: Meter, first: date, last: date, totals: Totals, cover: "Cover") -> None:
    """Put what was told in the place of what was known of these days."""
    now = clock.now()
    rows = [
        UsageDay(
            m3ter_account_code=code[:80],
            meter=meter.code,
            field=name,
            day=day,
            total=digits(total)[:80],
            read_at=now,
            problem=cover.problem(code, meter.product_id, day),
        )
        for (code, name, day), total in sorted(totals.items())
    ]
    with transaction.atomic():
        UsageDay.objects.bulk_create(
            rows,
            batch_size=1000,
            update_conflicts=True,
            unique_fields=("m3ter_account_code", "meter", "field", "day"),
            update_fields=("total", "read_at", "problem"),
        )
        UsageDay.objects.filter(meter=meter.code, day__gte=first, day__lt=last, read_at__lt=now).delete()


# --- Judging ----------------------------------------------------------------------------------------------------------


def midnight(day: date) -> datetime:
    """The beginning of a day in UTC."""
    return datetime.combine(day, clock_time.min, tzinfo=UTC)


@dataclass
class Cover:
    """Which accounts there are, and when their plans bill which product."""

    codes: dict[str, str] = field(default_factory=dict)
    """Id of a linked account -> its code."""
    unjudged: set[str] = field(default_factory=set)
    """Codes of accounts that had plans before, or that were left: what bills them is not all known here."""
    plans: dict[str, list[tuple[str, datetime, datetime | None]]] = field(default_factory=dict)
    """Code of a linked account -> product, beginning and end of each plan."""

    @classmethod
    def known(cls) -> "Cover":
        """Read links and plans."""
        found = cls()
        links = AccountLink.objects.values_list("m3ter_account_id", "m3ter_account_code", "adopted")
        for account_id, code, adopted in links.order_by("pk"):
            found.codes[account_id] = code
            found.plans.setdefault(code, [])
            if adopted:
                found.unjudged.add(code)
        earlier = AccountLink.log.exclude(m3ter_account_code__in=AccountLink.objects.values("m3ter_account_code"))
        found.unjudged |= set(earlier.values_list("m3ter_account_code", flat=True))
        spans = AccountPlanLink.objects.filter(left_account_id="").values_list(
            "link__m3ter_account_code", "m3ter_product_id", "starts_at", "ends_at"
        )
        for code, product, starts_at, ends_at in spans.order_by("pk"):
            found.plans.setdefault(code, []).append((product, starts_at, ends_at))
        return found

    def problem(self, code: str, product: str, day: date) -> Problem:
        """Say why nothing would bill usage of a day, if anything speaks for that."""
        if code in self.unjudged:
            return Problem.NONE
        if code not in self.plans:
            return Problem.NO_ACCOUNT
        start = midnight(day)
        covered = any(
            (not product or plan in ("", product)) and starts < start + DAY and (ends is None or ends > start)
            for plan, starts, ends in self.plans[code]
        )
        return Problem.NONE if covered else Problem.NO_PLAN


def tell(cover: Cover) -> None:
    """Open a notice for each stray account and each account whose usage stopped, and close those that hold no more."""
    found = dict((*_strays(cover), *_silent()))
    is_open = Finding.objects.filter(kind__in=KINDS, state=Finding.State.OPEN)
    for subject in sorted(found.keys() | set(is_open.values_list("subject", flat=True))):
        holds = [found[subject]] if subject in found else []
        finding.keep_in_step(subject, holds, KINDS, reason="It does not hold any more.")


def _strays(cover: Cover) -> Iterator[tuple[str, Found]]:
    near = {_nearly(code): code for code in cover.plans}
    strays = UsageDay.objects.filter(problem=Problem.NO_ACCOUNT).order_by("m3ter_account_code")
    for code in strays.values_list("m3ter_account_code", flat=True).distinct()[:MOST_FINDINGS]:
        like = near.get(_nearly(code))
        hint = f" It looks nearly like {like}, which is linked." if like else ""
        yield (
            code,
            Found(
                STRAY,
                f"m3ter counts usage of the account {code}, which no subscription here has.{hint} m3ter makes an"
                " account of every code that usage comes under, so it may be a typo of whoever sends it.",
                "Find out who sends it. If the code is wrong, have it corrected there, and the usage taken back and"
                " sent anew; if it is right, nothing here bills it.",
                severity=Finding.Severity.NOTICE,
            ),
        )


def _nearly(code: str) -> str:
    return NO_SIGN.sub("", code).lower()


def silent(today: date) -> Iterator[tuple[str, date, int]]:
    """The accounts whose usage stopped: code, last day with usage, usual gap in days."""
    since = today - FIRST_BACK
    rows = UsageDay.objects.filter(day__gte=since).order_by("m3ter_account_code", "day")
    days = rows.values_list("m3ter_account_code", "day").distinct()
    for code, group in groupby(days.iterator(chunk_size=5000), key=lambda row: row[0]):
        used = [day for _, day in group]
        gap = usual_gap(used)
        if gap is not None and (today - used[-1]).days >= max(FEWEST_DAYS, GAPS * gap):
            yield code, used[-1], gap


def usual_gap(days: Iterable[date]) -> int | None:
    """How many days usually lie between two days with usage; None where there is only one."""
    used = list(days)
    gaps = [(later - earlier).days for earlier, later in pairwise(used)]
    return int(median(gaps)) if gaps else None


def _silent() -> Iterator[tuple[str, Found]]:
    stopped = {code: (last, gap) for code, last, gap in silent(clock.now().date())}
    links = AccountLink.objects.filter(
        m3ter_account_code__in=list(stopped)[:MOST_LOOKED_UP], state=AccountLink.State.LIVE
    ).order_by("pk")
    for link in links[:MOST_FINDINGS]:
        last, gap = stopped[link.m3ter_account_code]
        usual = "every day" if gap <= 1 else f"every {gap} days"
        yield (
            link.paddle_subscription_id,
            Found(
                STOPPED,
                f"{link.name or link.m3ter_account_code} had usage about {usual} until {last}, and none since.",
                "Ask whoever sends it whether it still does. If the customer has stopped using it, that is all.",
                severity=Finding.Severity.NOTICE,
            ),
        )


def newest(codes: Iterable[str]) -> dict[str, date]:
    """The last day with usage of each of these accounts."""
    rows = UsageDay.objects.filter(m3ter_account_code__in=list(codes)).order_by("m3ter_account_code")
    return dict(rows.values_list("m3ter_account_code").annotate(last=Max("day")))
