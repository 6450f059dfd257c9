"""Checked items become rows, each counted once: what is new goes into batches, what is known is told.

    accepted    new: it is stored, and m3ter will get it
    duplicate   the same uid with the same content was accepted before
    conflict    the same uid with another content was accepted before: nothing changes
    refused     the checks say no, or its uid stands in a file that nobody has decided about yet

One transaction holds uids, batches and bodies, so nothing is told as accepted that is not stored. Keys are inserted in
their own order: two requests with the same uids then wait for each other instead of deadlocking, and the loser sees
the winner's rows.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, localcontext
from enum import StrEnum
from itertools import groupby
from typing import Any

from django.db import connection, transaction

from integration_project import clock, work
from integration_project.vendors import exact_json
from paddle_sync.models import LateUsage, UsageBatch, UsageBody, UsageUid, UsageUpload
from paddle_sync.usage import bodies, late, queues
from paddle_sync.usage.bodies import Line
from paddle_sync.usage.checking import Checked, digits
from paddle_sync.usage.items import Refusal

State = UsageBatch.State
MOST_ITEMS = 1_000
MOST_BYTES = 500_000
"""Of one batch's lines; m3ter takes less than 512,000 bytes, brackets and commas included."""
UNDECIDED = (State.STAGED, State.TAKEN_BACK)
"""States of batches whose uids are taken, though nobody can say yet whether they will ever be counted."""
EXACT = 100
"""Digits that any sum of a thousand numbers within their bounds fits into: nothing of it is rounded."""
INSERT = """
    INSERT INTO paddle_sync_usageuid (key, content, batch_id, received_on) VALUES {places}
    ON CONFLICT (key) DO NOTHING
"""
INSERT_ARRAYS = """
    INSERT INTO paddle_sync_usageuid (key, content, batch_id, received_on)
    SELECT *, %s::date FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[])
    ON CONFLICT (key) DO NOTHING
"""
"""On PostgreSQL: three arrays are read in half the time that a thousand rows of values are."""


class Outcome(StrEnum):
    """What became of an item."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REFUSED = "refused"


@dataclass(frozen=True)
class Source:
    """Where items come from: a request of a client, or a file."""

    upload: UsageUpload | None = None
    client: str = ""
    api_key_prefix: str = ""
    idempotency_key: str = ""
    received_at: datetime | None = None

    def batch(self, then: State, subscription_id: str, now: datetime, *, stage: bool) -> UsageBatch:
        """A batch of this source, still without items."""
        is_file = self.upload is not None
        state = State.STAGED if stage else then
        return UsageBatch(
            upload=self.upload,
            client=self.client,
            api_key_prefix=self.api_key_prefix,
            idempotency_key=self.idempotency_key,
            received_at=self.received_at or now,
            urgency=UsageBatch.Urgency.FILE if is_file else UsageBatch.Urgency.NOW,
            state=state,
            then=then,
            paddle_subscription_id=subscription_id,
            due_at=now if state == State.READY else None,
        )


@dataclass
class TakenIn:
    """What became of the items, by their rows or indexes."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    refusals: dict[int, Refusal] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    late: set[int] = field(default_factory=set)
    on_next: set[int] = field(default_factory=set)

    def count(self, outcome: Outcome) -> int:
        """How many had this outcome."""
        return sum(1 for each in self.outcomes.values() if each is outcome)


Entry = tuple[int, Checked]
"""An item that stood the checks, with its row or index."""


@dataclass(frozen=True)
class _Pile:
    """Lines that go into one batch."""

    batch: UsageBatch
    entries: list[Entry]


def take_in(items: Iterable[Entry], source: Source, *, stage: bool = False) -> TakenIn:
    """Store the items that are new, and say of each what became of it; `stage` keeps them until their file is decided.

    Rows or indexes must differ from each other.
    """
    taken = TakenIn()
    fresh, repeats = _without_repeats(items)
    if not fresh:
        return taken
    now = clock.now()
    with transaction.atomic():
        piles = _piles(fresh, source, now, stage=stage)
        lost = _claim(piles, now.date())
        _store(piles, lost, taken)
        _tell([*fresh, *repeats], lost, taken, source.upload)
    _tell_repeats(fresh, repeats, taken)
    if any(pile.batch.state == State.READY for pile in piles):
        work.wake_up(queues.OUTBOX)
    return taken


def foresee(items: Iterable[Entry]) -> TakenIn:
    """Say what would become of the items, and change nothing."""
    taken = TakenIn()
    fresh, repeats = _without_repeats(items)
    lost: dict[bytes, tuple[int, int]] = {}
    for start in range(0, len(fresh), MOST_ITEMS):
        lost.update(_stored([checked.key for _, checked in fresh[start : start + MOST_ITEMS]]))
    _accept([(row, checked) for row, checked in fresh if checked.key not in lost], taken)
    _tell([*fresh, *repeats], lost, taken, None)
    _tell_repeats(fresh, repeats, taken)
    return taken


def _without_repeats(items: Iterable[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Part the first item of each key from what repeats it."""
    first: dict[bytes, Checked] = {}
    fresh: list[Entry] = []
    repeats: list[Entry] = []
    for row, checked in items:
        is_first = first.setdefault(checked.key, checked) is checked
        (fresh if is_first else repeats).append((row, checked))
    return fresh, repeats


def _tell_repeats(fresh: Sequence[Entry], repeats: Sequence[Entry], taken: TakenIn) -> None:
    """Say of what repeats an item that was accepted just now whether it is the same."""
    contents = {checked.key: checked.content for _, checked in fresh} if repeats else {}
    for row, checked in repeats:
        if row not in taken.outcomes:
            same = contents[checked.key] == checked.content
            taken.outcomes[row] = Outcome.DUPLICATE if same else Outcome.CONFLICT


def _state_of(checked: Checked) -> State:
    if checked.on_next is not None:
        return State.NEXT_BILL
    return State.HELD if checked.destination.waits else State.READY


def _group_of(entry: tuple[int, Checked]) -> tuple[str, bool]:
    """What shares a batch: everything for m3ter; what waits for one account; what is for the next bill."""
    checked = entry[1]
    return checked.destination.subscription_id if checked.destination.waits else "", checked.on_next is not None


def _piles(fresh: Sequence[Entry], source: Source, now: datetime, *, stage: bool) -> list[_Pile]:
    """Make a batch for each group, and several where one would be too large for m3ter."""
    piles: list[_Pile] = []
    for (subscription_id, _), group in groupby(sorted(fresh, key=_group_of), key=_group_of):
        size = 0
        entries: list[Entry] = []
        for entry in group:
            length = len(entry[1].line) + 1
            if entries and (len(entries) == MOST_ITEMS or size + length > MOST_BYTES):
                piles.append(_pile(entries, source, subscription_id, now, stage=stage))
                size, entries = 0, []
            entries.append(entry)
            size += length
        piles.append(_pile(entries, source, subscription_id, now, stage=stage))
    UsageBatch.objects.bulk_create([pile.batch for pile in piles])
    return piles


def _pile(entries: list[Entry], source: Source, subscription_id: str, now: datetime, *, stage: bool) -> _Pile:
    batch = source.batch(_state_of(entries[0][1]), subscription_id, now, stage=stage)
    _measure(batch, entries)
    return _Pile(batch, entries)


def _measure(batch: UsageBatch, entries: Sequence[Entry]) -> None:
    batch.items = len(entries)
    batch.late = sum([checked.late for _, checked in entries])
    batch.size = sum([len(checked.line) for _, checked in entries]) + len(entries)


def _claim(piles: Sequence[_Pile], today: date) -> dict[bytes, tuple[int, int]]:
    """Insert the keys; for those that somebody had before, the content and the batch that they stand with."""
    rows = sorted((checked.key, checked.content, pile.batch.pk) for pile in piles for _, checked in pile.entries)
    lost: dict[bytes, tuple[int, int]] = {}
    for start in range(0, len(rows), MOST_ITEMS):
        part = rows[start : start + MOST_ITEMS]
        while part and _insert(part, today) < len(part):
            stored = _stored([key for key, _, _ in part])
            ours = {key: batch_id for key, _, batch_id in part}
            lost.update({key: found for key, found in stored.items() if found[1] != ours[key]})
            # One that stood in the way and is gone by now was taken back in between.
            part = [row for row in part if row[0] not in stored]
    return lost


def _stored(keys: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
    """Content and batch of the keys that there are."""
    rows = UsageUid.objects.filter(key__in=[uuid.UUID(bytes=key) for key in keys])
    return {key.bytes: (content, batch_id) for key, content, batch_id in rows.values_list("key", "content", "batch_id")}


def _insert(rows: Sequence[tuple[bytes, int, int]], today: date) -> int:
    """Insert keys that nobody has; say how many. Written out, because it is done for every measurement."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            keys, contents, batches = zip(*rows, strict=True)
            arrays = ([key.hex() for key in keys], contents, batches)
            cursor.execute(INSERT_ARRAYS, [today, *(f"{{{','.join(map(str, each))}}}" for each in arrays)])
        else:
            values = [value for key, content, batch_id in rows for value in (key.hex(), content, batch_id, today)]
            cursor.execute(INSERT.format(places=", ".join(["(%s, %s, %s, %s)"] * len(rows))), values)
        return int(cursor.rowcount)


def _store(piles: Sequence[_Pile], lost: Mapping[bytes, tuple[int, int]], taken: TakenIn) -> None:
    """Write the bodies of what is left of the piles; batches that are left empty go."""
    empty: list[int] = []
    written: list[UsageBody] = []
    for pile in piles:
        batch = pile.batch
        entries = [entry for entry in pile.entries if entry[1].key not in lost]
        if not entries:
            empty.append(batch.pk)
            continue
        if len(entries) < len(pile.entries):
            _measure(batch, entries)
            batch.save(update_fields=["items", "late", "size"])
        lines = [Line(checked.key, checked.content, row, checked.line) for row, checked in entries]
        written.append(UsageBody(batch=batch, **bodies.pack(lines)))
        _accept(entries, taken)
        late.note(batch, [checked for _, checked in entries])
        if batch.state == State.NEXT_BILL:
            keep_for_next_bill(batch, [checked for _, checked in entries])
    UsageBody.objects.bulk_create(written)
    if empty:
        UsageBatch.objects.filter(pk__in=empty).delete()


def _accept(entries: Iterable[Entry], taken: TakenIn) -> None:
    for row, checked in entries:
        taken.outcomes[row] = Outcome.ACCEPTED
        if checked.late:
            taken.late.add(row)
        if checked.destination.waits:
            taken.held.add(row)
        if checked.on_next is not None:
            taken.on_next.add(row)


def _tell(
    items: Sequence[Entry],
    lost: Mapping[bytes, tuple[int, int]],
    taken: TakenIn,
    upload: UsageUpload | None,
) -> None:
    """Say of what somebody had before whether it is the same, and whether that counts by now."""
    if not lost:
        return
    undecided = _undecided({batch_id for _, batch_id in lost.values()}, upload)
    for row, checked in items:
        if checked.key not in lost:
            continue
        content, batch_id = lost[checked.key]
        if batch_id in undecided:
            taken.outcomes[row] = Outcome.REFUSED
            taken.refusals[row] = undecided[batch_id]
        else:
            taken.outcomes[row] = Outcome.DUPLICATE if content == checked.content else Outcome.CONFLICT


def _undecided(batch_ids: Iterable[int], upload: UsageUpload | None) -> dict[int, Refusal]:
    """Those of the batches of which nobody knows yet whether they count, and why; a file's own are decided with it."""
    batches = UsageBatch.objects.filter(pk__in=batch_ids, state__in=UNDECIDED)
    if upload is not None:
        batches = batches.exclude(upload=upload)
    return {
        batch_id: Refusal(
            "undecided",
            "uid",
            f"this uid stands in {f'file {file_id}, which' if file_id else 'usage that'} nobody has decided about yet."
            " Send it again once that is done.",
        )
        for batch_id, file_id in batches.values_list("pk", "upload")
    }


def keep_for_next_bill(batch: UsageBatch, items: Sequence[Checked]) -> None:
    """Put usage of locked periods before a person: one row per account, meter and bill, however many items."""
    piles: dict[tuple[str, str, str], list[tuple[Checked, dict[str, Any]]]] = defaultdict(list)
    for checked in items:
        item = exact_json.decode(checked.line)
        bill_id = checked.on_next.bill_id if checked.on_next is not None else ""
        piles[checked.destination.account_code, item["meter"], bill_id].append((checked, item))
    LateUsage.objects.bulk_create(
        [_late(batch, code, meter, bill_id, pile) for (code, meter, bill_id), pile in piles.items()]
    )


def _late(
    batch: UsageBatch, code: str, meter: str, bill_id: str, pile: Sequence[tuple[Checked, dict[str, Any]]]
) -> LateUsage:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    with localcontext(prec=EXACT):
        for _, item in pile:
            for name, value in item["values"].items():
                if not isinstance(value, str):
                    sums[name] += value
    moments = sorted(checked.ts for checked, _ in pile)
    destination = pile[0][0].destination
    return LateUsage(
        m3ter_account_id=destination.account_id,
        m3ter_account_code=code,
        paddle_subscription_id=destination.subscription_id,
        m3ter_bill_id=bill_id,
        meter=meter,
        batch_id=batch.pk,
        items=len(pile),
        first_at=moments[0],
        last_at=moments[-1],
        sums={name: digits(total) for name, total in sorted(sums.items())},
        received_at=batch.received_at,
    )


def forget(keys: Iterable[bytes], batch_id: int) -> int:
    """Free the uids of what was taken back, so that they may be sent again; say how many there were."""
    wanted = [uuid.UUID(bytes=key) for key in keys]
    freed = 0
    for start in range(0, len(wanted), MOST_ITEMS):
        part = wanted[start : start + MOST_ITEMS]
        freed += UsageUid.objects.filter(key__in=part, batch_id=batch_id).delete()[0]
    return freed
