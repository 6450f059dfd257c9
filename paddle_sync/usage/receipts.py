"""What became of a file: how far it is, its receipt, and its rejected rows as a file to correct and send again."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Sum

from integration_project.vendors import exact_json
from paddle_sync.models import UsageBatch, UsageFailure, UsageRejects, UsageUpload
from paddle_sync.usage import file_layouts, rejects
from paddle_sync.usage.layouts import NAMES, VALUES
from paddle_sync.usage.rejects import Rejected
from paddle_sync.usage.rows import FileRow, Format, Limits, Problem

State = UsageBatch.State
MOST_FIELDS = Limits().most_columns - len(NAMES)
"""Fields that get a column of their own in a file of rejected items of JSON, so that it may be sent again."""

LONGEST_NAME = 200


@dataclass(frozen=True)
class Progress:
    """How far the measurements of a file are, by the states of their batches."""

    states: Mapping[str, int]

    def of(self, *states: str) -> int:
        """Measurements in one of these states."""
        return sum(self.states.get(state, 0) for state in states)

    @property
    def sent(self) -> int:
        """Taken by m3ter."""
        return self.of(State.SENT)

    @property
    def waiting(self) -> int:
        """To be sent, as soon as it is their turn or somebody lets the file go on."""
        return self.of(State.STAGED, State.READY, State.SENDING, State.PAUSED)

    @property
    def held(self) -> int:
        """Of subscriptions that have no account yet."""
        return self.of(State.HELD)

    @property
    def on_next(self) -> int:
        """For the next bill, after review."""
        return self.of(State.NEXT_BILL)

    @property
    def failed(self) -> int:
        """Not taken, and to be decided about."""
        return self.of(State.FAILED)


@dataclass(frozen=True)
class Receipt:
    """What a sender is told of a file once its rows are checked."""

    rows: int
    accepted: int
    duplicate: int
    conflict: int
    refused: int
    held: int
    late: int
    on_next: int
    reasons: Mapping[str, int]
    """Why rows were not taken -> how many; the most frequent first."""
    dropped: int
    """Accepted, and dropped by m3ter later."""
    progress: Progress

    def __str__(self) -> str:
        parts = [f"{self.accepted:,} accepted"]
        parts += [
            f"{count:,} {name}" for count, name in ((self.duplicate, "duplicate"), (self.conflict, "conflict")) if count
        ]
        parts += [f"{count:,} {name}" for count, name in self._accepted_but() if count]
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.items() if reason != "conflict")
        if self.refused:
            parts.append(f"{self.refused:,} refused ({reasons})")
        if self.dropped:
            parts.append(f"{self.dropped:,} dropped by m3ter later")
        return f"{self.rows:,} rows: {', '.join(parts)}"

    def _accepted_but(self) -> Sequence[tuple[int, str]]:
        return (
            (self.held, "of them held until their account exists"),
            (self.late, "of them late: in a period whose bill is approved"),
            (self.on_next, "of them for the next bill, after review"),
        )


def progress(upload: UsageUpload) -> Progress:
    """Count a file's measurements by the states of their batches."""
    states = UsageBatch.objects.filter(upload=upload).order_by().values_list("state").annotate(items=Sum("items"))
    return Progress(dict(states))


def receipt(upload: UsageUpload) -> Receipt:
    """The numbers of a file, as far as it was checked."""
    dropped = UsageFailure.objects.filter(upload=upload, is_dropped=True).exclude(state=UsageFailure.State.HARMLESS)
    return Receipt(
        rows=upload.rows,
        accepted=upload.accepted,
        duplicate=upload.duplicate,
        conflict=upload.conflict,
        refused=upload.refused,
        held=upload.held,
        late=upload.late,
        on_next=upload.on_next,
        reasons=dict(sorted(upload.reasons.items(), key=lambda each: (-each[1], each[0]))),
        dropped=dropped.count(),
        progress=progress(upload),
    )


def rejected_rows(upload: UsageUpload, *, first: int | None = None) -> Iterator[Rejected]:
    """A file's rejected rows in its order, or the first of them; a block of a thousand is in memory."""
    left = first
    after = -1
    while left is None or left > 0:
        block = UsageRejects.objects.filter(upload=upload, first_row__gt=after).order_by("first_row").first()
        if block is None:
            return
        after = block.first_row
        for line in zlib.decompress(block.rows).split(b"\n"):
            if left is not None:
                if left == 0:
                    return
                left -= 1
            yield _rejected(line)


def rejected_csv(upload: UsageUpload) -> Iterator[str]:
    """A file's rejected rows as pieces of a CSV: its own columns, then row, column and reason."""
    codes = () if upload.format == Format.CSV else _field_codes(upload)
    return rejects.pieces(file_layouts.rejected_columns(upload, codes), rejected_rows(upload))


def _rejected(line: bytes) -> Rejected:
    kept = exact_json.decode(line)
    row = FileRow(kept["row"], kept["values"], None, kept["line"], tuple(kept["surplus"]))
    return Rejected(row, [Problem(kept["column"], kept["reason"], kept["remedy"], kept.get("code", ""))])


def _may_be_a_column(name: str) -> bool:
    """Whether a header can have this name: one that no meter's field has would spoil the file for all others."""
    return len(name) <= LONGEST_NAME and name.isprintable() and name == name.strip()


def _field_codes(upload: UsageUpload) -> tuple[str, ...]:
    """The fields that rejected items have, in the order in which they come."""
    codes: dict[str, None] = {}
    for rejected in rejected_rows(upload):
        for name in rejected.row.values:
            if name.startswith(VALUES) and len(codes) < MOST_FIELDS and _may_be_a_column(name):
                codes[name.removeprefix(VALUES)] = None
    return tuple(codes)
