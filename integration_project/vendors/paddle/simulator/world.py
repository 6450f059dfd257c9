"""What a simulated Paddle remembers, and how it tells the world: entities, events and the history of subscriptions."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from integration_project.vendors.paddle.simulator.envelope import Json
from integration_project.vendors.paddle.simulator.ids import Ids
from integration_project.vendors.paddle.simulator.refusals import refuse
from integration_project.vendors.paddle.simulator.totals import Line
from integration_project.vendors.simulation import BusinessClock, Fault, Faults
from integration_project.vendors.simulation.faults import next_order

SYSTEM: Json = {"type": "system", "id": None}


@dataclass(frozen=True)
class PendingCharge:
    """A one-time charge that waits for the renewal."""

    lines: tuple[Line, ...]


@dataclass
class AcceptedCharge:
    """A one-time charge that Paddle answered with 201: what tests and the demo count."""

    subscription_id: str
    effective_from: str
    items: list[Json]
    push_ids: tuple[str, ...]
    subtotal: int
    currency_code: str
    at: str
    transaction_id: str | None = None
    billed: bool = True
    forgiven: bool = False

    def shown(self) -> Json:
        """For the control interface."""
        return {**self.__dict__, "push_ids": list(self.push_ids)}


@dataclass
class Decline:
    """Payments that will fail, and why; `times` None means all of them."""

    error_code: str
    times: int | None


@dataclass
class Rules:
    """What differs between Paddle accounts; tests set these."""

    trialing_refused: bool = False
    default_payment_link: str | None = None
    approved_tax_categories: frozenset[str] | None = None
    receipt_data_enabled: bool = False


@dataclass
class Memory:
    """Everything that `reset` forgets."""

    products: dict[str, Json] = field(default_factory=dict)
    prices: dict[str, Json] = field(default_factory=dict)
    customers: dict[str, Json] = field(default_factory=dict)
    addresses: dict[str, Json] = field(default_factory=dict)
    businesses: dict[str, Json] = field(default_factory=dict)
    subscriptions: dict[str, Json] = field(default_factory=dict)
    transactions: dict[str, Json] = field(default_factory=dict)
    adjustments: dict[str, Json] = field(default_factory=dict)
    settings: dict[str, Json] = field(default_factory=dict)
    old_secrets: dict[str, str] = field(default_factory=dict)
    notifications: dict[str, Json] = field(default_factory=dict)
    logs: dict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    events: list[Json] = field(default_factory=list)
    history: dict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    pending: dict[str, list[PendingCharge]] = field(default_factory=lambda: defaultdict(list))
    immediate: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    anchors: dict[str, int] = field(default_factory=dict)
    charges: list[AcceptedCharge] = field(default_factory=list)
    declines: dict[str, Decline] = field(default_factory=dict)
    recorded: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    invoices: int = 0
    silent: bool = False


class World:
    """One simulated Paddle account."""

    def __init__(
        self, *, clock: BusinessClock, transport_now: Callable[[], datetime], faults: Faults, environment: str
    ) -> None:
        self.clock = clock
        self.transport_now = transport_now
        self.faults = faults
        self.environment = environment
        self.rules = Rules()
        self.memory = Memory()
        self.ids = Ids(clock.now)
        self.listeners: list[Callable[[Json], None]] = []

    def forget(self) -> None:
        """Empty the memory; whoever holds the old one keeps a dead copy."""
        self.memory = Memory()
        self.rules = Rules()

    # Time and ids.

    def now(self) -> datetime:
        """Business time."""
        return self.clock.now()

    def stamp(self, moment: datetime | None = None) -> str:
        """A moment as Paddle writes it; now without one."""
        shown = (moment or self.now()).astimezone(UTC)
        return shown.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def new_id(self, prefix: str) -> str:
        """A new id."""
        return self.ids.new(prefix)

    def times(self) -> Json:
        """The two timestamps every entity has."""
        return {"created_at": self.stamp(), "updated_at": self.stamp()}

    def touch(self, entity: Json) -> None:
        """The entity changed now."""
        entity["updated_at"] = self.stamp()

    # Entities.

    def get(self, table: dict[str, Json], entity_id: str) -> Json:
        """The entity with this id, or Paddle's refusal."""
        found = table.get(entity_id)
        if found is None:
            raise refuse("not_found", f"Unable to find {entity_id}.")
        return found

    def country_of(self, address_id: str | None) -> str | None:
        """The country that decides the tax."""
        address = self.memory.addresses.get(address_id or "")
        return None if address is None else str(address["country_code"])

    # Events.

    def publish(self, event_type: str, data: Json, **extra: Any) -> None:
        """Something happened: a snapshot goes to the event list and to everyone who subscribed."""
        snapshot = deepcopy({**data, **extra})
        snapshot.pop("management_urls", None)
        event: Json = {
            "event_id": self.new_id("evt"),
            "event_type": event_type,
            "occurred_at": self.stamp(),
            "data": snapshot,
        }
        self.memory.events.append(event)
        self.remember(event["event_id"])
        for listener in self.listeners:
            listener(event)

    def note(self, subscription_id: str, detail: Json, *, source: str = "system", actor: Json = SYSTEM) -> Json:
        """Write one line of a subscription's history."""
        entry: Json = {
            "id": self.new_id("subhis"),
            "group_id": self.new_id("subhisgrp"),
            "subscription_id": subscription_id,
            "occurred_at": self.stamp(),
            "source": source,
            "actor": dict(actor),
            "reason": None,
            "detail": deepcopy(detail),
        }
        self.memory.history[subscription_id].append(entry)
        self.remember(entry["id"])
        return entry

    # List lag.

    def remember(self, record_id: str) -> None:
        """Note when a record was written, for lists that lag behind."""
        self.memory.recorded[record_id] = (next_order(), self.transport_now())

    def visible(self, operation: str, records: Sequence[Json], *, key: str = "id") -> list[Json]:
        """The records a list shows: all, unless a `list_lag` fault holds back the newest.

        With `seconds` it holds back what was written in the last seconds, else all since the fault was set.
        """
        fault = self.faults.take(operation, {"list_lag"})
        if fault is None:
            return list(records)
        return [record for record in records if not self._hidden(record[key], fault)]

    def _hidden(self, record_id: str, fault: Fault) -> bool:
        order, at = self.memory.recorded.get(record_id, (0, datetime.min.replace(tzinfo=UTC)))
        if "seconds" not in fault.params:
            return order > fault.order
        return at > self.transport_now() - timedelta(seconds=fault.seconds(0))
