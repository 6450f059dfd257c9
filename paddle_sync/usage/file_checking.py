"""A received file is checked, a thousand rows at a time: good rows are staged, wrong ones kept with their reasons.

A chunk's uids, batches, rejected rows, counts and the place in the file are one transaction, fenced by the lease:
whoever is killed or loses the row leaves whole chunks, and the next one goes on after them. Nothing is sent here; a
file that cannot be read to its end, or of which nobody wants the good rows alone, is never half sent.
"""

import gc
import logging
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, transaction

from integration_project import clock, pulse, work
from integration_project.vendors import exact_json
from integration_project.work import TURN, LeaseLost
from paddle_sync.models import UsageRejects, UsageUpload
from paddle_sync.usage import file_layouts, meters, pieces, rejects, staged, unlinked, uploads
from paddle_sync.usage.addresses import Book
from paddle_sync.usage.assessing import assess
from paddle_sync.usage.checking import Circumstances
from paddle_sync.usage.intake import Outcome, Source, TakenIn, take_in
from paddle_sync.usage.items import Refusal
from paddle_sync.usage.layouts import UID, Layout
from paddle_sync.usage.queues import UPLOADS
from paddle_sync.usage.reading import UsageFile
from paddle_sync.usage.rows import MIB, FileRow, FileUnreadable, Format, Problem

logger = logging.getLogger(__name__)

State = UsageUpload.State
CHUNK = 1_000
LARGEST_CHUNK = 4 * MIB
"""Bytes of the file after which a chunk ends, however few rows they are; memory is a small multiple of it."""
MOST_REJECTED = 100_000
MOST_REJECTED_BYTES = 256 * MIB
"""What may be kept of wrong rows; beyond it the file is not read on, for nobody corrects so much by hand."""
MOST_ADDRESSES = 20_000
"""Accounts and subscriptions that are remembered at a time."""
SKIPPING_SHARE = 4
"""A turn lasts at least so many times what finding the place took, so that long files come to their end."""
LONGEST_TURN = 120.0
SAME_BYTES_WAIT = timedelta(seconds=1)
MOST_PUT_OFF = 8
"""How often a check waits for Paddle to say whether a subscription exists; then such rows are wrong."""
ALIVE_AT_ONCE = 200_000
"""More objects than a chunk has; what exceeds it is looked through."""
UNREADABLE = "unreadable"
"""Why a row is refused that is none."""


class _PaddleCannotSay(Exception):
    """Whether a subscription exists cannot be told now."""


@dataclass
class Chunk:
    """What became of some rows: those taken, and those that are not, in the order of the file."""

    taken: TakenIn
    last: int = 0
    rows: int = 0
    rejected: list[tuple[FileRow, Problem]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)


class Rows:
    """Makes items of a file's rows, and rejected rows of refusals; the hash is empty where nobody knows it."""

    def __init__(self, format: str, layout: Layout | None, sha256: str) -> None:
        self.layout = layout
        self.is_csv = format == Format.CSV
        self._sha256 = sha256

    def item(self, row: FileRow) -> Mapping[str, Any]:
        """The item that a row says."""
        return self.layout.item(row.values) if self.layout is not None else row.values

    def uid(self, number: int, item: Mapping[str, Any]) -> str:
        """What stands for the uid of a row without one: these bytes, and its place in them."""
        return f"{self._sha256}:{number}"

    def rejected(self, row: FileRow, refusal: Refusal) -> tuple[FileRow, Problem]:
        """A row that is not taken, and why, in the words of the file."""
        return self.as_rejected(row), file_layouts.problem_of(refusal, self.layout, row.values)

    def as_rejected(self, row: FileRow) -> FileRow:
        """A row as the file of rejected rows has it; an item without a uid gets what stands for one.

        So it counts once, however often the file of rejected rows is corrected and sent again.
        """
        if self.is_csv:
            return row
        flat = rejects.flat(row)
        if not flat.values or UID in flat.values or not self._sha256:
            return flat
        return flat._replace(values={**flat.values, UID: self.uid(row.number, row.values)})


TakeIn = Callable[[Sequence[tuple[int, Any]]], TakenIn]


def carry_on(upload: UsageUpload, *, told: Callable[[UsageUpload], object] = lambda upload: None) -> None:
    """Check a file for a turn; the lease is held. `told` is called after each chunk."""
    try:
        with _seldom_collected():
            _carry_on(upload, told)
    except LeaseLost:
        logger.info("usage: file %s was paused, discarded, or belongs to another worker now.", upload.pk)
    except FileUnreadable as problem:
        uploads.failed(upload, str(problem))
    except _PaddleCannotSay as problem:
        wait = work.backoff(upload.attempts)
        work.settle(upload, state=State.CHECKING, due_at=clock.now() + wait, last_error=str(problem))
    except (OperationalError, InterfaceError):  # the database's trouble is no file's fault
        raise
    except Exception as error:
        logger.exception("usage: file %s could not be checked: a fault of this application.", upload.pk)
        uploads.failed(
            upload, f"A fault of this application ({type(error).__name__}); the log has the details. Nothing was sent."
        )


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Let Python look for garbage seldom: going through rows that go by themselves took a fifth of a check."""
    before = gc.get_threshold()
    gc.set_threshold(ALIVE_AT_ONCE, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def give_up(upload: UsageUpload) -> None:
    """End a file whose check only ended workers."""
    uploads.failed(
        upload,
        f"{upload.deaths} workers in a row were lost while they checked it. Nothing was sent; the logs say more.",
    )


def _carry_on(upload: UsageUpload, told: Callable[[UsageUpload], object]) -> None:
    if _is_second(upload):
        # The same bytes are being checked already; after that all of these are known.
        work.give_back(UPLOADS, upload, due_at=clock.now() + SAME_BYTES_WAIT)
        return
    if not upload.position:
        staged.take_back(upload, work.fenced(upload), before_each=lambda: work.renew(UPLOADS, upload))
    began = time.monotonic()
    file = pieces.opened(upload)
    layout = file_layouts.layout_of(upload)
    if file.format == Format.CSV and layout is None:
        raise FileUnreadable("Nothing says what its columns mean.", "Confirm its layout.")
    makes = Rows(file.format, layout, upload.sha256)
    source = Source(upload=upload, client=upload.by, api_key_prefix=upload.api_key_prefix, received_at=upload.made_at)
    book = Book(lambda names: find_in_paddle(names, upload))
    known = meters.known()
    end = None
    for rows in chunks(file, skip=upload.position):
        if end is None:
            end = time.monotonic() + turn(time.monotonic() - began)
        if len(book.entries) > MOST_ADDRESSES:
            book.entries.clear()
        assessed = assess_rows(rows, makes, book, Circumstances(known, clock.now(), from_text=makes.is_csv))
        with transaction.atomic():
            chunk = assessed(lambda good: take_in(good, source, stage=True))
            _keep(upload, chunk, file.bytes_read)
        told(upload)
        if upload.rejected > MOST_REJECTED or upload.rejected_bytes > MOST_REJECTED_BYTES:
            uploads.stopped(upload)
            return
        if pulse.stopping() or time.monotonic() >= end:
            work.give_back(UPLOADS, upload, due_at=clock.now())
            return
    uploads.checked(upload)


def turn(finding: float) -> float:
    """Seconds that a turn lasts whose place in the file took so long to find."""
    return min(max(TURN, SKIPPING_SHARE * finding), LONGEST_TURN)


def _is_second(upload: UsageUpload) -> bool:
    """Whether an earlier file with the same bytes is still being checked."""
    return UsageUpload.objects.filter(
        sha256=upload.sha256, pk__lt=upload.pk, state__in=(State.CHECKING, State.RUNNING)
    ).exists()


def chunks(file: UsageFile, *, skip: int = 0) -> Iterator[list[FileRow]]:
    """Give the rows after number `skip` in chunks, bounded in rows and in bytes."""
    rows: list[FileRow] = []
    begun = None
    for row in file.rows(skip):
        if begun is None:
            begun = file.bytes_unpacked
        rows.append(row)
        if len(rows) >= CHUNK or file.bytes_unpacked - begun > LARGEST_CHUNK:
            yield rows
            rows, begun = [], file.bytes_unpacked
    if rows:
        yield rows


def assess_rows(
    rows: Sequence[FileRow], makes: Rows, book: Book, circumstances: Circumstances
) -> Callable[[TakeIn], Chunk]:
    """Check rows; what is given back takes in the good ones, with no question to a vendor left, and says the rest."""
    refused: dict[int, Refusal] = {}
    wrong: dict[int, Problem] = {}
    items = []
    for row in rows:
        if row.problem is not None:
            wrong[row.number] = row.problem
        else:
            items.append((row.number, makes.item(row)))
    assessed = assess(items, book, circumstances, uid_for=makes.uid)
    refused = assessed.refused

    def taking(take: TakeIn) -> Chunk:
        taken = take(assessed.good)
        chunk = Chunk(taken, last=rows[-1].number, rows=len(rows))
        is_all_good = not refused and not wrong and not taken.refusals and not taken.count(Outcome.CONFLICT)
        for row in () if is_all_good else rows:
            if (problem := wrong.get(row.number)) is not None:
                chunk.reasons[UNREADABLE] += 1
                chunk.rejected.append((makes.as_rejected(row), problem))
                continue
            refusal = refused.get(row.number) or taken.refusals.get(row.number)
            if refusal is None and taken.outcomes[row.number] is Outcome.CONFLICT:
                refusal = CONFLICT
            if refusal is not None:
                chunk.reasons[refusal.code] += 1
                chunk.rejected.append(makes.rejected(row, refusal))
        return chunk

    return taking


CONFLICT = Refusal(
    "conflict",
    "uid",
    "usage with this uid and other content was taken before, from this file or from elsewhere; that counts. Give it"
    " another uid if both are meant; to change what was counted, send the difference as a correction.",
)


def find_in_paddle(names: Sequence[str], upload: UsageUpload) -> Mapping[str, Refusal | None]:
    """Ask Paddle about subscriptions nobody told us of, a hundred at a time; put the check off if it cannot say."""
    found: dict[str, Refusal | None] = {}
    for start in range(0, len(names), unlinked.MOST):
        work.renew(UPLOADS, upload)
        found.update(unlinked.find(names[start : start + unlinked.MOST]))
    unsure = next((each for each in found.values() if each is not None and each.code == unlinked.CANNOT_TELL), None)
    if unsure is not None and upload.attempts <= MOST_PUT_OFF:
        raise _PaddleCannotSay(unsure.reason)
    return found


def _keep(upload: UsageUpload, chunk: Chunk, bytes_read: int) -> None:
    """Write the rejected rows, and how far the check is; LeaseLost undoes the whole chunk."""
    packed = b"\n".join(_line(row, problem) for row, problem in chunk.rejected)
    outcomes = Counter(chunk.taken.outcomes.values())
    conflict = outcomes[Outcome.CONFLICT]
    changed = {
        "position": chunk.last,
        "bytes_checked": min(bytes_read, upload.size),
        "rows": upload.rows + chunk.rows,
        "accepted": upload.accepted + outcomes[Outcome.ACCEPTED],
        "duplicate": upload.duplicate + outcomes[Outcome.DUPLICATE],
        "conflict": upload.conflict + conflict,
        "refused": upload.refused + len(chunk.rejected) - conflict,
        "held": upload.held + len(chunk.taken.held),
        "late": upload.late + len(chunk.taken.late),
        "on_next": upload.on_next + len(chunk.taken.on_next),
        "rejected_bytes": upload.rejected_bytes + len(packed),
        "reasons": dict(Counter(upload.reasons) + chunk.reasons),
        "lease_until": clock.now() + UPLOADS.lease,
        "last_error": "",
    }
    if not work.fenced(upload).update(**changed, deaths=0):
        raise LeaseLost(f"file {upload.pk} belongs to somebody else now.")
    # Only now, for whoever has the row by now may have written the same block.
    if chunk.rejected:
        UsageRejects.objects.create(
            upload_id=upload.pk,
            first_row=chunk.rejected[0][0].number,
            count=len(chunk.rejected),
            rows=zlib.compress(packed, 6),
        )
    for name, value in changed.items():
        setattr(upload, name, value)


def _line(row: FileRow, problem: Problem) -> bytes:
    return exact_json.encode(
        {
            "row": row.number,
            "line": row.line,
            "values": row.values,
            "surplus": list(row.surplus),
            "column": problem.column,
            "reason": problem.reason,
            "remedy": problem.remedy,
            "code": problem.code or UNREADABLE,
        }
    )
