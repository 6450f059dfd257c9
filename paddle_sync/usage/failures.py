"""What m3ter finds wrong after it has said "accepted": read back, and attached to what was sent from here.

    listed      newest first, until it is known; all new events become rows at once, before anything else is asked
    read        the details of each, two calls, as far as the budget goes; after a few tries they are said to be gone
    attached    by the uid, which is the hex of UsageUid.key, to batch, row, file or API key
    settled     counted already: nothing to do. Dropped: a person looks, and its uid is free, so that the corrected
                measurement can be sent under it. Kept without a derived value: a person looks, its uid stays.

m3ter forgets its events after 28 days. A file of details may be gone earlier.
"""

import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from types import MappingProxyType
from typing import Any

from django.db import transaction
from django.db.models import Count, F

from integration_project import clock, finding
from integration_project.errors import BudgetSpent, IntegrationError, NotFound, NotPossible, Permanent, VendorClosed
from integration_project.finding import Found
from integration_project.models import Finding
from integration_project.vendors import exact_json
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.vendors.m3ter.entities import IngestFailure
from paddle_sync.models import UsageBatch, UsageBody, UsageFailure, UsageUid
from paddle_sync.usage import bodies, intake

State = UsageFailure.State
Whose = UsageFailure.Whose
KEPT = timedelta(days=28)
"""How long m3ter keeps an event."""
KNOWN_IN_A_ROW = 100
"""Known events after which the rest of the list is taken to be known too: a page, since lists may lag a little."""
MOST_READ = 200
"""Details read in one run; the next one goes on."""
MOST_TRIES = 5
TRIED_AGAIN = timedelta(minutes=5)
IN_A_ROW = 3
"""Details that could not be read one after the other; then it is not they, and the run ends."""
SETTLED = "settled by another worker"
OURS = re.compile(r"[0-9a-f]{32}")
"""The shape of every uid that is sent from here."""
DROPPED, NOT_DERIVED, ELSEWHERE = "usage dropped", "usage not derived", "usage of another copy"
KINDS = (DROPPED, NOT_DERIVED, ELSEWHERE)
NOT_TO_THE_END = "usage failures not read"
MOST_FINDINGS = 100
"""Groups that become findings; there are more only where something is wrong with all of them."""
LONGEST = 120
LISTING = 120.0
"""Seconds that reading the list may take, well before the job would be ended."""
CLOCKS = timedelta(minutes=5)
"""How far m3ter's clock may be behind ours."""


@dataclass(frozen=True)
class Said:
    """What one of m3ter's words means here, and what a person does about it."""

    means: str
    next_step: str
    counted: bool = False
    """Whether m3ter has counted the measurement all the same, so that its uid stays taken."""
    harmless: bool = False
    of_account: bool = False
    """Whether what is wrong lies in the account, not in the meter."""


DUPLICATE, DUPLICATE_OF_ANOTHER, REFUSED_AGAIN = "DuplicateUid", "DuplicateUid of another", "refused again"
KNOWN: Mapping[str, Said] = MappingProxyType(
    {
        DUPLICATE: Said(
            "m3ter had this uid already, within the last 35 days. It is counted once, by what came first.",
            "Nothing to do.",
            counted=True,
            harmless=True,
        ),
        DUPLICATE_OF_ANOTHER: Said(
            "m3ter had this uid already, though the measurement was sent once only: what came first under it counts,"
            " and this does not.",
            "Compare it with what m3ter has of the account. What is missing or too much there is put right by a"
            " measurement under a uid of its own.",
            counted=True,
        ),
        "UndefinedMeter": Said(
            "m3ter has no meter with this code any more, so it dropped the measurement.",
            "Make the meter in m3ter, or use the code of another; read the catalogue again, then send it again.",
        ),
        "MissingField": Said(
            "m3ter's meter asks for a field that the measurement does not have, so it was dropped.",
            "Compare the measurement with the meter's fields in m3ter; add the missing one and send it again.",
        ),
        "DuplicateField": Said(
            "A field stands in the measurement under two categories, so m3ter dropped it.",
            "Give the fields of m3ter's meter different codes, read the catalogue again, then send it again.",
        ),
        "InvalidAccountCode": Said(
            "m3ter has no account with this code, and one whose code looks nearly the same, so it dropped the"
            " measurement.",
            "Look in m3ter whether the account's code was changed, and sync the subscription; then send it again.",
            of_account=True,
        ),
        "CalculationError": Said(
            "m3ter counted the measurement, but could not work out a derived field of its meter, so what is billed by"
            " that field lacks it.",
            "Correct the derived field's calculation in m3ter. What is stored stays as it is: correct it with a"
            " measurement of its own if it has to be billed.",
            counted=True,
        ),
        "refused": Said(
            "m3ter refused the measurement by itself; it is not counted.",
            "Put right what m3ter names and send it again under the same uid.",
        ),
        REFUSED_AGAIN: Said(
            "m3ter refused the measurement by itself, after a request with it that got no answer: it may be counted.",
            "Look in m3ter whether it is counted. If not, put right what m3ter names and send it under another uid.",
        ),
    }
)
"""m3ter's kinds, and ours, in words. The list of m3ter's may go on."""
# A guess: what m3ter calls otherwise is taken for dropped, like most of what is known.
UNKNOWN = Said(
    "m3ter says only this word of it. It is taken for dropped, which is a guess.",
    "Look the measurement up in m3ter. If it is not counted there, put it right and send it again under the same uid.",
)
WHAT = {REFUSED_AGAIN: "perhaps not counted", DUPLICATE_OF_ANOTHER: "perhaps not counted as sent"}
HELD = Said(
    "It was accepted before its subscription had an account, and did not fit any more when there was one.",
    "Put right what the failure names, and send it again under the same uid.",
)
FREED = "Its uid is free: send the corrected measurement under the same one."


def said_of(kind: str) -> Said:
    """Give what a kind of failure means; of a kind that nobody knows, what is guessed."""
    if kind in KNOWN:
        return KNOWN[kind]
    return UNKNOWN if kind[:1].isupper() or not kind else HELD


@dataclass
class Read:
    """What one run came to."""

    new: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    stopped: str = ""

    def __str__(self) -> str:
        parts = [f"{self.new} new", *(f"{count} {name}" for name, count in sorted(self.outcomes.items()))]
        return ", ".join((*parts, f"stopped: {self.stopped}")) if self.stopped else ", ".join(parts)


def read(m3ter: M3terClient, *, most: int = MOST_READ, stop: Callable[[], bool] = lambda: False) -> Read:
    """Take in what m3ter lists, read the details that are due, and bring the findings up to date."""
    done = Read()
    try:
        done.new = take_in(m3ter.list_ingest_failures())
        _read_details(m3ter, most, stop, done)
    except (BudgetSpent, VendorClosed) as error:
        done.stopped = str(error)
    finally:
        tell()
    return done


# --- Listing ----------------------------------------------------------------------------------------------------------


def take_in(listed: Iterable[IngestFailure], *, seconds: float = LISTING) -> int:
    """Store the events that are new, all of them at once or none; say how many.

    A list that is too long for one run is stored as far as it was read, and it is said that older ones are missing.
    """
    end = time.monotonic() + seconds
    new: list[IngestFailure] = []
    for page in _pages(listed):
        stored = _stored(page)
        new += [event for event in page if event.event_id not in stored]
        if len(stored) == KNOWN_IN_A_ROW:
            break
        if time.monotonic() > end:
            _not_to_the_end(page[-1].event_time)
            break
    now = clock.now()
    rows = [
        UsageFailure(
            m3ter_event_id=event.event_id,
            occurred_at=event.event_time,
            kind=(event.kind or "unknown")[:60],
            file=event.file[:500],
            whose=Whose.UNKNOWN,
            due_at=min(event.event_time, now),
        )
        for event in reversed(new)
    ]
    with transaction.atomic():
        UsageFailure.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
    return len(rows)


def _pages(listed: Iterable[IngestFailure]) -> Iterator[list[IngestFailure]]:
    entries = iter(listed)
    while page := list(islice(entries, KNOWN_IN_A_ROW)):
        yield page


def _stored(events: Sequence[IngestFailure]) -> set[str]:
    rows = UsageFailure.objects.filter(m3ter_event_id__in=[event.event_id for event in events])
    return {str(event_id) for event_id in rows.values_list("m3ter_event_id", flat=True)}


def _not_to_the_end(oldest: datetime) -> None:
    finding.report(
        NOT_TO_THE_END,
        "usage",
        detail=f"m3ter lists so many failures of usage that those before {oldest:%Y-%m-%d %H:%M} UTC were not read.",
        next_step="Look in m3ter's console what they have in common. What they were about can be seen only there.",
    )


# --- Details ----------------------------------------------------------------------------------------------------------


def _read_details(m3ter: M3terClient, most: int, stop: Callable[[], bool], done: Read) -> None:
    """Read the details that are due, oldest first, until the budget is spent, or nobody answers."""
    due = UsageFailure.objects.filter(state=State.NEW, due_at__lte=clock.now()).order_by("due_at", "pk")
    unread = 0
    for failure in list(due[:most]):
        if stop():
            done.stopped = "the worker ends"
            return
        if failure.occurred_at < clock.now() - KEPT or not failure.file:
            done.outcomes[_give_up(failure, "m3ter keeps them for 28 days, and they were not read in that time.")] += 1
            continue
        try:
            found = m3ter.get_ingest_failure(failure.file)
        except (NotFound, Permanent) as error:
            done.outcomes[_give_up(failure, f"m3ter does not give them: {error}")] += 1
        except (BudgetSpent, VendorClosed):
            raise
        except IntegrationError as error:
            unread += 1
            done.outcomes[_later(failure, error)] += 1
            if unread == IN_A_ROW:
                done.stopped = str(error)
                return
        else:
            unread = 0
            done.outcomes[settle(failure, found.error, found.measurement)] += 1


def _later(failure: UsageFailure, error: IntegrationError) -> str:
    tries = failure.tries + 1
    if tries >= MOST_TRIES:
        return _give_up(failure, f"They were asked for {tries} times in vain: {error}")
    due_at = clock.now() + TRIED_AGAIN * tries
    UsageFailure.objects.filter(pk=failure.pk, state=State.NEW).update(tries=tries, due_at=due_at)
    return "to be tried again"


def _give_up(failure: UsageFailure, why: str) -> str:
    """The details cannot be had, so nobody can say what it was about."""
    said = said_of(failure.kind)
    detail = f"{said.means} Which measurement it was cannot be told, because its details are gone. {why}"
    state = State.HARMLESS if said.harmless else State.OPEN
    if not said.harmless:
        detail += " Compare what was sent with what m3ter has counted."
    ours = UsageFailure.objects.filter(pk=failure.pk, state=State.NEW)
    ours.update(state=state, due_at=None, detail=detail, is_dropped=not said.counted)
    return "without details"


# --- What it is about -------------------------------------------------------------------------------------------------


def settle(failure: UsageFailure, kind: str, measurement: Mapping[str, Any]) -> str:
    """Say what a failure was about, and free the uid of what was dropped: once, however often that is begun."""
    if not measurement:
        return _give_up(failure, "They do not say which measurement it was.")
    kind = failure.kind if failure.kind in KNOWN else (kind or failure.kind)[:60]
    said = said_of(kind)
    uid = measurement.get("uid")
    columns: dict[str, Any] = {
        "kind": kind,
        "measurement": dict(measurement),
        "m3ter_account_code": _text(measurement.get("account")),
        "meter": _text(measurement.get("meter")),
        "is_dropped": not said.counted,
        "due_at": None,
    }
    if not isinstance(uid, str) or not OURS.fullmatch(uid):
        columns |= {
            "whose": Whose.OTHERS,
            "state": State.HARMLESS,
            "detail": f"{said.means} It was not sent from here: its uid is none of ours. Whoever sent it sees to it.",
        }
        _write(failure, columns)
        return "of somebody else"
    columns["uid_key"] = key = uuid.UUID(hex=uid)
    with transaction.atomic():
        # Its row first: whoever sends the same uid anew waits for this, or this finds the new one.
        row = UsageUid.objects.select_for_update().filter(pk=key).first()
        batch = None if row is None else UsageBatch.objects.filter(pk=row.batch_id).first()
        columns |= _origin(batch, key)
        was_told = UsageFailure.objects.filter(uid_key=key, whose=Whose.OURS).exclude(pk=failure.pk).exists()
        if row is None or (was_told and _is_of_another(batch, key, failure, measurement)):
            return _unknown(failure, columns, said, was_told=was_told)
        if kind == DUPLICATE and batch is not None and batch.sendings <= 1:
            columns["kind"], said = DUPLICATE_OF_ANOTHER, KNOWN[DUPLICATE_OF_ANOTHER]
        columns |= {"whose": Whose.OURS, "state": State.HARMLESS if said.harmless else State.OPEN}
        frees = not said.counted
        columns["detail"] = f"{said.means} {FREED if frees else said.next_step}"
        if not _write(failure, columns):
            return SETTLED
        if frees:
            intake.forget((key.bytes,), row.batch_id)
            UsageBatch.objects.filter(pk=row.batch_id).update(failed_later=F("failed_later") + 1)
    return "counted already" if said.harmless else "dropped" if frees else "not derived"


def _text(value: object) -> str:
    return value[:80] if isinstance(value, str) else ""


def _write(failure: UsageFailure, columns: Mapping[str, Any]) -> bool:
    """Settle a failure that nobody has settled; the loser of a race writes nothing."""
    written = UsageFailure.objects.filter(pk=failure.pk, state=State.NEW).update(**columns)
    return bool(written)


def _origin(batch: UsageBatch | None, key: uuid.UUID) -> dict[str, Any]:
    """Say where a measurement came from: its batch, and the file's row or the client's key."""
    if batch is None:
        return {}
    line = _line(batch, key)
    return {
        "batch": batch,
        "upload_id": batch.upload_id,
        "row": None if line is None else line.row,
        "client": batch.client,
        "api_key_prefix": batch.api_key_prefix,
    }


def _line(batch: UsageBatch, key: uuid.UUID) -> bodies.Line | None:
    body = UsageBody.objects.filter(batch=batch).first()
    if body is None:
        return None
    lines = bodies.unpack(body.measurements, body.keys, body.rows)
    return next((line for line in lines if line.key == key.bytes), None)


def _is_of_another(
    batch: UsageBatch | None, key: uuid.UUID, failure: UsageFailure, measurement: Mapping[str, Any]
) -> bool:
    """Whether the uid was sent anew since, so that what failed was an earlier one.

    A batch whose answer was lost goes twice, and m3ter tells twice of what it drops: the second time, the corrected
    measurement may stand under the uid already.
    """
    if batch is None:
        return False
    if batch.first_sent_at is None or failure.occurred_at < batch.first_sent_at - CLOCKS:
        return True
    line = _line(batch, key)
    return line is not None and _plain(exact_json.decode(line.text)) != _plain(measurement)


def _plain(value: Any) -> Any:
    """Write a measurement so that two spellings of one number, or of one moment, are equal."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items() if part not in ({}, None)}
    if isinstance(value, bool):
        return value
    if isinstance(value, int | Decimal):
        return Decimal(value)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return value


def _unknown(failure: UsageFailure, columns: dict[str, Any], said: Said, *, was_told: bool) -> str:
    """Settle what stands under no uid of today: told before, or of another copy of this database."""
    if was_told:
        words = "It was sent twice because an answer was lost, and m3ter tells of each: this was told before."
        told = {**columns, "whose": Whose.OURS, "state": State.HARMLESS, "detail": f"{said.means} {words}"}
        return "told before" if _write(failure, told) else SETTLED
    detail = (
        f"{said.means} Its uid is like ours, and unknown here: another copy of this database sends usage to the same"
        " organisation, or this one was set back to an earlier state."
    )
    told = {**columns, "whose": Whose.ELSEWHERE, "state": State.OPEN, "detail": detail}
    return "of another copy" if _write(failure, told) else SETTLED


# --- Findings ---------------------------------------------------------------------------------------------------------


def tell() -> None:
    """Open a finding for each group of failures that people have to look at, and close those that hold no more."""
    found: dict[str, list[Found]] = {}
    for each in _groups():
        found.setdefault(each[0], []).append(each[1])
    is_open = Finding.objects.filter(kind__in=KINDS, state=Finding.State.OPEN)
    stands: dict[str, set[tuple[str, str, str]]] = {}
    for subject, *what in is_open.values_list("subject", "kind", "key", "detail"):
        stands.setdefault(subject, set()).add((what[0], what[1], what[2]))
    for subject in sorted(found.keys() | stands.keys()):
        now = found.get(subject, [])
        if {(each.kind, each.key, each.detail) for each in now} != stands.get(subject, set()):
            finding.keep_in_step(subject, now, KINDS, reason="None of these failures is open any more.")


def _groups() -> Iterator[tuple[str, Found]]:
    rows = (
        UsageFailure.objects.filter(state=State.OPEN)
        .order_by("kind", "whose", "meter", "m3ter_account_code")
        .values_list("kind", "whose", "meter", "m3ter_account_code")
        .annotate(count=Count("pk"))
    )
    counts: Counter[tuple[str, str, str]] = Counter()
    for kind, whose, meter, account, count in rows:
        if whose == Whose.ELSEWHERE:
            counts[ELSEWHERE, "usage", ""] += count
            continue
        about = account if said_of(kind).of_account or not meter else meter
        is_lacking = kind in WHAT or not said_of(kind).counted
        counts[DROPPED if is_lacking else NOT_DERIVED, about or "usage", kind] += count
    for (kind, subject, word), count in counts.most_common(MOST_FINDINGS):
        yield subject[:LONGEST], _found(kind, subject, word, count)


def _found(kind: str, subject: str, word: str, count: int) -> Found:
    many = f"{count} measurement{'' if count == 1 else 's'}"
    if kind == ELSEWHERE:
        return Found(
            kind,
            f"m3ter tells of {many} with uids like ours that are unknown here. Another copy of this database sends"
            " usage to the same organisation, or this one was set back to an earlier state.",
            "Find the other copy and stop it. Look at the failures, then close them.",
            severity=Finding.Severity.ALARM,
        )
    said = said_of(word)
    what = WHAT.get(word, "counted without a derived field" if said.counted else "not counted")
    return Found(kind, f"{subject}: {many} {what} ({word}). {said.means}", said.next_step, key=word[:200])


# --- What people decide -----------------------------------------------------------------------------------------------


def close(failure_id: int, *, by: str, reason: str) -> None:
    """Close a failure that was looked at; nothing is sent or freed by that."""
    closed = UsageFailure.objects.filter(pk=failure_id, state=State.OPEN).update(
        state=State.CLOSED, closed_by=by, closed_at=clock.now(), close_reason=reason
    )
    if not closed:
        raise NotPossible("It is not open.")
