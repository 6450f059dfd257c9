"""What one simulated m3ter organisation remembers, and how its entities are stored, versioned and listed."""

import base64
import binascii
import copy
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from integration_project.vendors.m3ter.simulator.fields import Invalid, stamp
from integration_project.vendors.m3ter.simulator.guesses import Guesses
from integration_project.vendors.m3ter.simulator.measurements import Measurements
from integration_project.vendors.simulation import Answer, BusinessClock, Refusal, Request

Row = dict[str, Any]
SERVICE_USER = "service-user-1"
INDEXED = ("id", "code", "accountId", "externalId", "m3terId")
"""What rows are looked up by, so that thousands of accounts do not slow a rehearsal down."""


def refusal(status: int, message: str) -> Refusal:
    """m3ter's error answer: an object with one string."""
    return Refusal(Answer(status, {"message": message}))


def present(row: Row) -> Row:
    """A row as it is answered: fields that are null are left out."""
    return {name: value for name, value in row.items() if value is not None}


@dataclass(frozen=True)
class _Entry:
    row: Row
    order: int
    added_at: datetime


class Collection:
    """All entities of one kind, oldest first."""

    def __init__(self, memory: "Memory") -> None:
        self._memory = memory
        self._entries: dict[str, _Entry] = {}
        self._index: dict[str, dict[str, dict[str, None]]] = {field: {} for field in INDEXED}

    def __iter__(self) -> Iterator[Row]:
        return (entry.row for entry in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, id: object) -> bool:
        return id in self._entries

    def get(self, id: str | None) -> Row | None:
        """The row with this id."""
        entry = self._entries.get(id or "")
        return None if entry is None else entry.row

    def need(self, id: str, *, kind: str) -> Row:
        """The row with this id, or 404."""
        row = self.get(id)
        if row is None:
            raise refusal(404, f"{kind} {id} not found")
        return row

    def add(self, values: Row, *, by: str = SERVICE_USER) -> Row:
        """Store a new row with an id, version 1 and the audit fields."""
        now = stamp(self._memory.clock.now())
        audit = {"dtCreated": now, "dtLastModified": now, "createdBy": by, "lastModifiedBy": by}
        row = {"id": values.pop("id", None) or str(uuid.uuid4()), "version": 1, **values, **audit}
        self._entries[row["id"]] = _Entry(row, self._memory.next_order(), self._memory.transport_now())
        self._enter(row)
        return row

    def change(self, row: Row, values: Row, *, by: str = SERVICE_USER) -> None:
        """Write values into a row: one version further."""
        self._leave(row)
        row.update(values, version=row["version"] + 1, lastModifiedBy=by)
        row["dtLastModified"] = stamp(self._memory.clock.now())
        self._enter(row)

    def remove(self, row: Row) -> None:
        """Delete a row."""
        self._leave(row)
        del self._entries[row["id"]]

    def clear(self) -> None:
        """Delete all rows."""
        self._entries.clear()
        for index in self._index.values():
            index.clear()

    def having(self, field: str, *values: str) -> list[Row]:
        """The rows with one of these values in an indexed field, oldest first."""
        found = {row_id for value in values for row_id in self._index[field].get(value, ())}
        entries = sorted((self._entries[row_id] for row_id in found), key=lambda entry: entry.order)
        return [entry.row for entry in entries]

    def one_having(self, field: str, value: str) -> Row | None:
        """A row with this value in an indexed field, such as the one that has a code."""
        for row_id in self._index[field].get(value, ()):
            return self._entries[row_id].row
        return None

    def _enter(self, row: Row) -> None:
        for field, index in self._index.items():
            if isinstance(row.get(field), str):
                index.setdefault(row[field], {})[row["id"]] = None

    def _leave(self, row: Row) -> None:
        for field, index in self._index.items():
            if isinstance(row.get(field), str):
                index[row[field]].pop(row["id"], None)

    def order_of(self, row: Row) -> int:
        """The place of a row in the order of creation."""
        return self._entries[row["id"]].order

    def newest_first(self, **having: Iterable[str]) -> list[Row]:
        """The rows as lists show them; while lists lag, the youngest are not there yet."""
        cutoff = self._memory.hidden_since()
        entries = list(self._entries.values())
        for field, values in having.items():
            entries = [self._entries[row["id"]] for row in self.having(field, *values)]
        return [entry.row for entry in reversed(entries) if cutoff is None or entry.added_at < cutoff]

    def first(self) -> Row | None:
        """The oldest row."""
        return next(iter(self), None)


class Memory:
    """All collections of the organisation, its clocks, and the hook that turns changes into events."""

    NAMES = (
        "accounts",
        "account_plans",
        "products",
        "plan_templates",
        "plans",
        "plan_groups",
        "plan_group_links",
        "pricings",
        "meters",
        "aggregations",
        "currencies",
        "counters",
        "counter_adjustments",
        "charges",
        "bills",
        "bill_jobs",
        "upload_jobs",
        "events",
        "notifications",
        "webhook_destinations",
        "integration_configs",
        "integration_runs",
        "external_mappings",
    )

    def __init__(
        self, *, org_id: str, clock: BusinessClock, transport_now: Callable[[], datetime], guesses: Guesses
    ) -> None:
        self.org_id = org_id
        self.clock = clock
        self.transport_now = transport_now
        self.guesses = guesses
        self.hidden_since: Callable[[], datetime | None] = lambda: None
        self.emit: Callable[[str, Row | None, Row | None], None] = lambda name, new, old: None
        self.organization_config: Row = {}
        self.custom_fields: Row = {}
        self.bill_config: Row = {}
        self.measurements = Measurements()
        self.last_invoice_number = 0
        self._order = 0
        self._collections = {name: Collection(self) for name in self.NAMES}

    def __getattr__(self, name: str) -> Collection:
        try:
            return self.__dict__["_collections"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(name) from None

    def next_order(self) -> int:
        """A number higher than all before."""
        self._order += 1
        return self._order

    def clear(self) -> None:
        """Forget every entity."""
        for collection in self._collections.values():
            collection.clear()
        self.measurements.clear()

    def contents(self) -> dict[str, Any]:
        """A copy of everything, for the control interface; measurements never change, so they are not copied."""
        rows = {name: [copy.deepcopy(present(row)) for row in rows] for name, rows in self._collections.items()}
        config = copy.deepcopy(present(self.organization_config))
        return {**rows, "organization_config": config, "measurements": list(self.measurements)}


# Reading query parameters.


def many(request: Request, name: str) -> list[str]:
    """A parameter that takes several values, comma-joined, repeated or both."""
    return [part for value in request.params.get(name, ()) for part in value.split(",") if part]


def one(request: Request, name: str) -> str | None:
    """A parameter that takes one value; an empty one counts as absent."""
    values = request.params.get(name, ())
    if len(values) > 1:
        raise Invalid(f"{name} was given more than once")
    return values[0] if values and values[0] else None


def truth(request: Request, name: str) -> bool | None:
    """A parameter that is true or false."""
    value = one(request, name)
    if value is None:
        return None
    if value.lower() not in ("true", "false"):
        raise Invalid(f"{name} must be true or false")
    return value.lower() == "true"


def page_size(request: Request, *, most: int, default: int) -> int:
    """The wanted page size, within the endpoint's limits."""
    value = one(request, "pageSize")
    if value is None:
        return min(default, most)
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= most:
        raise Invalid(f"pageSize must be between 1 and {most}")
    return int(value)


def page(memory: Memory, rows: Iterable[Row], collection: Collection, request: Request, *, most: int) -> Answer:
    """One page of rows as they are answered, newest first, with an opaque token for the next."""
    size = page_size(request, most=most, default=memory.guesses.default_page_size)
    after = _order_in(one(request, "nextToken"), request)
    left = [row for row in rows if after is None or collection.order_of(row) < after]
    shown, more = left[:size], left[size:]
    body: Row = {"data": shown}
    if more:
        body["nextToken"] = _token(collection.order_of(shown[-1]), request)
    return Answer(200, body)


def _token(order: int, request: Request) -> str:
    return base64.urlsafe_b64encode(json.dumps([request.path, order]).encode()).decode()


def _order_in(token: str | None, request: Request) -> int | None:
    if token is None:
        return None
    try:
        path, order = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, binascii.Error, TypeError):
        raise Invalid("nextToken is not valid") from None
    if path != request.path or not isinstance(order, int):
        raise Invalid("nextToken is not valid")
    return order
