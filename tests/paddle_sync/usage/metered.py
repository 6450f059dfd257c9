"""Usage as tests send it: an account that a checkout made, items for it, and what m3ter has counted in the end."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from integration_project import clock
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from paddle_sync.models import AccountLink
from paddle_sync.usage import meters
from paddle_sync.usage.addresses import Book
from paddle_sync.usage.checking import Checked, Circumstances, address_of, check, uid_of
from paddle_sync.usage.intake import Source, TakenIn, take_in
from paddle_sync.usage.items import Refusal

Row = dict[str, Any]
METER = m3ter_sample.METER_API_CALLS


def item(link: AccountLink | None = None, uid: str | None = "use-1", calls: Any = 5, **changes: Any) -> Row:
    """One measurement of a minute ago; None takes a field away."""
    values: Row = {
        "paddle_subscription_id": link.paddle_subscription_id if link else None,
        "uid": uid,
        "meter": METER,
        "ts": stamp(clock.now() - dt.timedelta(minutes=1)),
        "values": {"calls": calls},
    }
    return {name: value for name, value in {**values, **changes}.items() if value is not None}


def at(*, hours: float = 0, days: float = 0, zone: int = 0) -> str:
    """A moment that long ago, the same one whenever a test asks within its hour, as written in a time zone."""
    moment = clock.now().replace(minute=0, second=0, microsecond=0) - dt.timedelta(hours=hours, days=days)
    return moment.astimezone(dt.timezone(dt.timedelta(hours=zone))).isoformat()


def stamp(moment: dt.datetime) -> str:
    """A moment as clients write it."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def checked(items: Iterable[Mapping[str, Any]]) -> list[Checked | Refusal]:
    """Each item after the checks."""
    book = Book(lambda names: {name: Refusal("unknown_subscription", "", "unknown") for name in names})
    rows = list(items)
    addresses = [address_of(row) for row in rows]
    book.look_up(address for address in addresses if not isinstance(address, Refusal))
    circumstances = Circumstances(meters.known(), clock.now())
    found: list[Checked | Refusal] = []
    for row, address in zip(rows, addresses, strict=True):
        to = address if isinstance(address, Refusal) else book.entries[address]
        uid = uid_of(row)
        found.append(to if isinstance(to, Refusal) else check(row, to, str(uid), circumstances))
    return found


def accept(*items: Mapping[str, Any], source: Source | None = None) -> TakenIn:
    """Take in items that all stand the checks."""
    good = []
    for index, each in enumerate(checked(items)):
        assert isinstance(each, Checked), each
        good.append((index, each))
    return take_in(good, source or Source(client="tests"))


def totals(m3ter: M3terSimulator) -> dict[tuple[str, str], Decimal]:
    """What m3ter has counted, by account and meter, after it checked what waits."""
    m3ter.process_measurements()
    counted: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for measurement in m3ter.memory.measurements:
        counted[measurement["account"], measurement["meter"]] += Decimal(measurement["measure"]["calls"])
    return dict(counted)
