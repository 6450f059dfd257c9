"""How many calls a vendor may still get: token buckets in the database, shared by every process of every host.

A vendor's limit is one number for all of us, so it is split: each purpose (push, look, import) has a bucket with a
guaranteed share, and may borrow from a bucket that is nearly full: from a purpose that has little to do. A bucket
whose burst equals the window's limit would let through twice the limit, so rate x window + burst stays at or under 97 %
of it. One UPDATE takes a token or takes none, and on PostgreSQL the time is the database's.

A part of a vendor that has limits of its own has a budget of its own, under the part's name. Only one purpose calls it,
so that budget is one bucket; a refused key closes the part together with its vendor.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection
from django.db.models import F, FloatField, Func, Value

from integration_project.errors import BudgetSpent
from integration_project.models import CallBudget
from integration_project.vendors import M3TER, M3TER_EXPLORER, M3TER_INGEST, M3TER_INGEST_SECOND

USABLE = 0.97
"""Part of a vendor's limit that we use; the rest is for clocks and counting that differ from ours."""
PATIENCE = 3.0
"""Seconds that a caller waits for a token; the row's lease is renewed before each call and must outlive it."""
SET_BACK = 1.0
"""Seconds by which a bucket must be ahead of the clock before the clock is taken to have been set back."""
SHORTEST_PAUSE = 0.02
LONGEST_PAUSE = 0.25
DATABASE_CLOCK = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS double precision)"
TAKE = """
    UPDATE integration_project_callbudget
    SET tokens = LEAST(%(capacity)s, tokens + GREATEST(0.0, %(now)s - refilled_at) * %(rate)s) - 1.0,
        refilled_at = GREATEST(refilled_at, %(now)s),  -- never back, whoever's clock is a little late
        rate = %(rate)s,
        capacity = %(capacity)s
    WHERE vendor = %(vendor)s
      AND purpose = %(purpose)s
      AND LEAST(%(capacity)s, tokens + GREATEST(0.0, %(now)s - refilled_at) * %(rate)s) >= %(at_least)s
      AND (
        %(operation)s IS NULL OR NOT EXISTS (
          SELECT 1 FROM integration_project_circuit
          WHERE is_open AND vendor = %(opened_by)s AND operation IN ('', %(operation)s)
        )
      )
"""
"""Written out, because every call of a backlog takes a token, and building this anew cost more than running it."""


@dataclass(frozen=True)
class Share:
    """One bucket: tokens a second, and how many it holds."""

    rate: float
    capacity: int

    @property
    def lends_from(self) -> int:
        """Tokens from which on another purpose may take one: three quarters, so that none overflows meanwhile."""
        return self.capacity - self.capacity // 4


PARTS: Mapping[str, float] = {"push": 0.4, "look": 0.2, "import": 0.4}
"""Purposes and their guaranteed parts of a vendor's limit."""
ALONE = "any"
WHOLE: Mapping[str, float] = {ALONE: 1.0}
"""The one bucket of a limit that is not split: it neither lends nor borrows."""
VENDOR_OF: Mapping[str, str] = {M3TER_INGEST: M3TER, M3TER_INGEST_SECOND: M3TER, M3TER_EXPLORER: M3TER}
"""Parts of vendors with limits of their own -> whose key opens them."""
BESIDES: Mapping[str, tuple[str, ...]] = {M3TER_INGEST: (M3TER_INGEST_SECOND,)}
"""Parts -> other limits that hold for the same calls, over another length of time."""


@dataclass(frozen=True)
class Limit:
    """What a vendor, or a part of it, allows in a window of seconds, to all our processes together."""

    calls: int
    window: float
    parts: Mapping[str, float] = field(default_factory=lambda: PARTS)
    most_at_once: int | None = None
    """The burst, where it is not a thirtieth of the limit."""

    @property
    def burst(self) -> int:
        """Calls that may come at once: a thirtieth of the limit, and one for each purpose at least."""
        return self.most_at_once or max(len(self.parts), self.calls // 30)

    @property
    def rate(self) -> float:
        """Calls a second that keep the limit together with the burst."""
        return (self.calls * USABLE - self.burst) / self.window

    def shares(self) -> dict[str, Share]:
        """Split the limit over the purposes, so that all buckets together keep it."""
        capacities = _whole_parts(self.burst, self.parts)
        return {purpose: Share(self.rate * part, capacities[purpose]) for purpose, part in self.parts.items()}


def vendor_of(part: str) -> str:
    """Say which vendor a part with a budget of its own belongs to; a vendor is its own."""
    return VENDOR_OF.get(part, part)


def limit_of(vendor: str) -> Limit:
    """Read the limit of a vendor, or of a part of one, from the settings."""
    a_second, ingest = settings.M3TER_CALLS_PER_SECOND, settings.M3TER_INGEST_CALLS_PER_5_MINUTES
    limits = {
        "paddle": Limit(settings.PADDLE_CALLS_PER_MINUTE, 60.0),
        "paddle_classic": Limit(settings.PADDLE_CLASSIC_CALLS_PER_MINUTE, 60.0),
        M3TER: Limit(a_second, 1.0),
        # A fifth may come at once, so that a file of a million measurements need not wait.
        M3TER_INGEST: Limit(ingest, 300.0, WHOLE, most_at_once=ingest // 5),
        M3TER_INGEST_SECOND: Limit(a_second, 1.0, WHOLE),
        # m3ter's own bucket holds ten and gets one a second, so the window has only to be long.
        M3TER_EXPLORER: Limit(settings.M3TER_QUERIES_PER_MINUTE * 60, 3600.0, WHOLE, most_at_once=8),
    }
    return limits[vendor]


def take(vendor: str, purpose: str, *, patience: float = PATIENCE, sleep: Callable[[float], None] = time.sleep) -> None:
    """Take one call out of the budget, waiting a little if need be; BudgetSpent when none came free."""
    shares = limit_of(vendor).shares()
    end = time.monotonic() + patience
    while not _take_once(vendor, purpose, shares):
        pause = _until_next(vendor, purpose, shares)
        if not pause:
            continue
        left = end - time.monotonic()
        if left <= 0:
            allowed = f"All calls that {vendor.replace('_', ' ')} allows us now are in use"
            raise BudgetSpent(f"{allowed}; the next is free in about {pause:.1f} s.", pause)
        sleep(min(left, pause, LONGEST_PAUSE))


def take_unless_open(vendor: str, purpose: str, operation: str) -> bool:
    """Take one call at once; False, and none taken, where no token is free or a circuit is open: look closer then."""
    return _take_once(vendor, purpose, limit_of(vendor).shares(), unless_open=operation)


def take_at_once(holder: str, share: Share) -> float:
    """Take one call from a bucket that stands alone: 0 where it was taken, else in how many seconds one is free."""
    shares = {ALONE: share}
    while not _take_once(holder, ALONE, shares):
        if pause := _until_next(holder, ALONE, shares):
            return pause
    return 0.0


def _take_once(vendor: str, purpose: str, shares: Mapping[str, Share], *, unless_open: str | None = None) -> bool:
    """Take a token from the own bucket, else from one that lends; none where that operation's circuit is open."""
    return any(
        _update(vendor, bucket, shares[bucket], at_least=at_least, unless_open=unless_open)
        for bucket, at_least in _open_to(purpose, shares).items()
    )


def _open_to(purpose: str, shares: Mapping[str, Share]) -> dict[str, float]:
    """Say which buckets a purpose may take from, its own first, and how many tokens each must hold for it."""
    own = purpose if purpose in shares else next(iter(shares))
    return {own: 1.0, **{other: share.lends_from for other, share in shares.items() if other != own}}


def _update(vendor: str, purpose: str, share: Share, *, at_least: float, unless_open: str | None) -> bool:
    """Refill one bucket by the time gone by and take a token, if then it holds `at_least` so many."""
    values: dict[str, str | float | None] = {
        "vendor": vendor,
        "purpose": purpose,
        "rate": share.rate,
        "capacity": float(share.capacity),
        "at_least": float(at_least),
        "operation": unless_open,
        "opened_by": vendor_of(vendor),
    }
    statement = TAKE
    if connection.vendor == "postgresql":
        statement = statement.replace("%(now)s", DATABASE_CLOCK)
    else:
        statement = statement.replace("LEAST(", "MIN(").replace("GREATEST(", "MAX(")
        values["now"] = time.time()
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return bool(cursor.rowcount)


def _now() -> Func | Value:
    """Tell the time of the database on PostgreSQL; SQLite lives on this machine and has its clock."""
    if connection.vendor == "postgresql":
        return Func(template=DATABASE_CLOCK, output_field=FloatField())
    return Value(time.time(), output_field=FloatField())


def _until_next(vendor: str, purpose: str, shares: Mapping[str, Share]) -> float:
    """Say in how many seconds a token may be had, in any bucket; 0 where that is to be seen by trying again."""
    buckets = CallBudget.objects.filter(vendor=vendor).annotate(waited=_now() - F("refilled_at"))
    rows = buckets.values_list("purpose", "tokens", "waited")
    found: dict[str, tuple[float, float]] = {name: (tokens, waited) for name, tokens, waited in rows}
    if not shares.keys() <= found.keys():
        _make_buckets(vendor, shares)
        return 0.0
    if min(waited for _, waited in found.values()) < -SET_BACK:
        # Else nothing would be refilled until the clock is as late as before.
        buckets.filter(waited__lt=-SET_BACK).update(refilled_at=_now())
        return 0.0
    return max(
        SHORTEST_PAUSE,
        min(
            (at_least - found[bucket][0]) / shares[bucket].rate - max(0.0, found[bucket][1])
            for bucket, at_least in _open_to(purpose, shares).items()
        ),
    )


def _make_buckets(vendor: str, shares: Mapping[str, Share]) -> None:
    """Create full buckets where there are none yet; another process may do the same at the same time."""
    CallBudget.objects.bulk_create(
        [
            CallBudget(
                vendor=vendor,
                purpose=purpose,
                tokens=share.capacity,
                capacity=share.capacity,
                rate=share.rate,
                refilled_at=0.0,
            )
            for purpose, share in shares.items()
        ],
        ignore_conflicts=True,
    )


def _whole_parts(burst: int, parts: Mapping[str, float]) -> dict[str, int]:
    """Split the burst into whole tokens by the purposes' parts, at least one each; the largest remainders round up."""
    capacities = {purpose: max(1, int(burst * part)) for purpose, part in parts.items()}
    by_remainder = sorted(parts, key=lambda purpose: capacities[purpose] - burst * parts[purpose])
    for purpose in by_remainder:
        if sum(capacities.values()) < burst:
            capacities[purpose] += 1
    return capacities
