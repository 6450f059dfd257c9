"""Many items at once: their addresses looked up together, each item checked by itself."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from paddle_sync.usage.addresses import Book
from paddle_sync.usage.checking import Checked, Circumstances, address_of, check, uid_of
from paddle_sync.usage.items import Refusal

NO_UID = Refusal(
    "no_uid",
    "uid",
    "it has no uid, so a repeat could not be told from new usage. Give it one, or send the header Idempotency-Key.",
)


@dataclass
class Assessed:
    """What stood the checks, and why the rest did not, by row or index."""

    good: list[tuple[int, Checked]] = field(default_factory=list)
    refused: dict[int, Refusal] = field(default_factory=dict)


def assess(
    items: Iterable[tuple[int, Any]],
    book: Book,
    circumstances: Circumstances,
    *,
    uid_for: Callable[[int, Mapping[str, Any]], str | None] = lambda row, item: None,
) -> Assessed:
    """Check items; `uid_for` gives what stands for the uid of one that has none, None where nothing does."""
    assessed = Assessed()
    addressed = []
    for row, item in items:
        address = address_of(item)
        if isinstance(address, Refusal):
            assessed.refused[row] = address
        else:
            addressed.append((row, item, address))
    book.look_up(address for _, _, address in addressed)
    for row, item, address in addressed:
        found = _assess(row, item, book.entries[address], circumstances, uid_for)
        if isinstance(found, Refusal):
            assessed.refused[row] = found
        else:
            assessed.good.append((row, found))
    return assessed


def _assess(
    row: int,
    item: Mapping[str, Any],
    to: Any,
    circumstances: Circumstances,
    uid_for: Callable[[int, Mapping[str, Any]], str | None],
) -> Checked | Refusal:
    if isinstance(to, Refusal):
        return to
    uid = uid_of(item)
    if uid is None:
        uid = uid_for(row, item)
    if uid is None:
        return NO_UID
    return uid if isinstance(uid, Refusal) else check(item, to, uid, circumstances)
