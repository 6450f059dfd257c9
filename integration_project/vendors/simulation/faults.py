"""Faults on demand: what a vendor's answer can look like on a bad day, set per operation."""

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

BEFORE = frozenset({"error_before", "too_many", "html", "redirect"})
"""Answered instead of doing the work; nothing happens at the vendor."""
AFTER = frozenset({"lose_answer", "error_after", "truncated", "huge", "drip"})
"""The work is done and committed; only the answer goes wrong."""
SLOW = frozenset({"slow"})
"""Waits `seconds` first, then everything is as usual."""
WEBHOOKS = frozenset({"duplicate", "shuffle", "delay"})
"""For the pseudo operation `webhooks`: sent twice (`copies`), in another order, or late (`seconds`)."""
GENERIC = BEFORE | AFTER | SLOW | WEBHOOKS

next_order = itertools.count(1).__next__
"""Numbers faults and records alike, so that a record can be told to be newer than a fault without a clock."""

ANY = "*"
WEBHOOK_OPERATION = "webhooks"
HTML_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad gateway</h1></body></html>"


@dataclass
class Fault:
    """One fault waiting to strike; `times` None means until it is cleared."""

    operation: str
    kind: str
    times: int | None
    params: Mapping[str, Any]
    set_at: datetime
    order: int = field(default_factory=next_order)

    def seconds(self, default: float) -> float:
        """The `seconds` it was set with."""
        given: float | None = self.params.get("seconds")
        return default if given is None else given

    def summary(self) -> dict[str, Any]:
        """What the control interface shows of it."""
        return {"operation": self.operation, "kind": self.kind, "times": self.times, "params": dict(self.params)}


class Faults:
    """The faults of one simulator, first set, first struck."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._waiting)

    def add(self, fault: Fault) -> None:
        """Set a fault."""
        self._waiting.append(fault)

    def clear(self) -> None:
        """Forget all faults."""
        self._waiting.clear()

    def take(self, operation: str, kinds: Iterable[str]) -> Fault | None:
        """The first fault of these kinds for the operation; it is used up when its times are."""
        wanted = frozenset(kinds)
        for fault in self._waiting:
            if fault.operation in (operation, ANY) and fault.kind in wanted:
                return self._strike(fault)
        return None

    def _strike(self, fault: Fault) -> Fault:
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._waiting.remove(fault)
        return fault


def dripped(body: bytes, *, seconds: float) -> Iterator[bytes]:
    """The body one byte at a time, with a pause before each: every socket read is quick, the whole never ends."""
    for byte in body:
        time.sleep(seconds)
        yield bytes((byte,))


def endless(size: int) -> Iterator[bytes]:
    """A JSON string of the given size that is never worth reading to its end."""
    yield b'{"data": "'
    chunk = b"x" * 65536
    for _ in range(size // len(chunk)):
        yield chunk
    yield b'"}'
