"""Batches go to m3ter: up to 1,000 measurements a call, again with the same uids when an answer is lost.

m3ter knows a uid for 35 days, so a repeat is harmless that long; a batch whose first request is older than that is not
sent again by itself. What m3ter refuses is divided until the one measurement that it means stands alone.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce

from integration_project import clock, installation, pulse, wakeups, work
from integration_project.errors import (
    BudgetSpent,
    IntegrationError,
    NeedsConfiguration,
    NotFound,
    Permanent,
    Temporary,
    VendorClosed,
)
from integration_project.vendors import exact_json
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.work import TURN
from paddle_sync.models import UsageBatch, UsageBody, UsageFailure
from paddle_sync.usage import bodies, intake, late
from paddle_sync.usage.bodies import Line
from paddle_sync.usage.queues import OUTBOX

logger = logging.getLogger(__name__)

State = UsageBatch.State
KNOWN_FOR = timedelta(days=34)
"""How long after the first request with a uid a repeat is safe: m3ter's 35 days, and one for clocks."""
MOST_DIVISIONS = 200
"""Calls that one batch may cost that m3ter refuses; what is left then is refused together."""
CLOSED_WAIT = timedelta(seconds=30)
LAST_BATCHES, LATELY = 100, timedelta(minutes=10)
"""What m3ter took of the last batches, so lately, says that it refuses a single measurement for what is in it."""
REFUSED = "It is not counted. Put it right and send it again under the same uid."
PERHAPS_COUNTED = (
    "An earlier request with it got no answer, so m3ter may have counted it all the same. Look there; if it is not"
    " counted, put it right and send it under another uid."
)
ENVELOPE = len(b'{"measurements":[]}')
LARGEST = 511_000
"""Bytes of one call's measurements, under m3ter's 512,000."""


def send_due(m3ter: M3terClient, *, seconds: float = TURN) -> int:
    """Send what is due until nothing is left or the turn is over; say how many measurements m3ter took."""
    installation.require_match(installation.current())
    end = time.monotonic() + seconds
    wakeups.taken(OUTBOX.name)
    sent = 0
    while rows := work.claim(OUTBOX):
        waiting = list(rows)
        try:
            for group in _groups(rows):
                if pulse.stopping() or time.monotonic() >= end:
                    return sent
                for row in group:
                    waiting.remove(row)
                sent += _send(group, m3ter)
        finally:
            if waiting:
                work.not_begun(OUTBOX, waiting)
        if time.monotonic() >= end:
            break
    if work.has_due(OUTBOX, since=clock.now()):
        wakeups.ask_for(OUTBOX.name, OUTBOX.job)
    return sent


def _groups(rows: Sequence[UsageBatch]) -> Iterator[list[UsageBatch]]:
    """Put batches together as far as one call takes them."""
    group: list[UsageBatch] = []
    items = size = 0
    for row in rows:
        if group and (items + row.items > intake.MOST_ITEMS or size + row.size > LARGEST):
            yield group
            group, items, size = [], 0, 0
        group.append(row)
        items += row.items
        size += row.size
    if group:
        yield group


Alone = list[tuple[UsageBatch, IntegrationError]]
"""Batches of one measurement that m3ter refused, and what it said."""


def _send(group: list[UsageBatch], m3ter: M3terClient, alone: Alone | None = None) -> int:
    """Send one group and settle its rows; say how many measurements m3ter took.

    A single measurement that is refused is put into `alone`, if that is given, to be settled by who knows of others.
    """
    now = clock.now()
    late = [row for row in group if row.first_sent_at is not None and row.first_sent_at < now - KNOWN_FOR]
    if late:
        work.settle_together(late, state=State.FAILED, note=_too_late())
        group = [row for row in group if row not in late]
    if not _begin(group):
        return 0
    measurements = [text for row in group for text in _texts(row)]
    try:
        m3ter.submit_encoded(measurements)
    except BudgetSpent as error:
        _again(group, error, uncounted=True)
    except NotFound as error:  # the address is wrong, not what was sent to it
        work.settle_together(
            group, state=State.FAILED, note=f"{error} Check M3TER_INGEST_URL and M3TER_ORG_ID, then send it again."
        )
    except (NeedsConfiguration, Permanent) as error:
        return _divide(group, m3ter, error, alone)
    except VendorClosed as error:
        _again(group, error, wait=CLOSED_WAIT, uncounted=True)
    except IntegrationError as error:
        _again(group, error)
    else:
        return _sent(group)
    return 0


def _too_late() -> str:
    return (
        "A request with this batch got no answer, and m3ter forgets uids after 35 days: sent again it might be counted"
        " twice. It is not sent by itself any more. Compare the usage in m3ter, then send it again or take it as sent."
    )


def _begin(group: list[UsageBatch]) -> bool:
    """Write down that a request with these begins, and keep the lease; those that another worker has are left out."""
    if not group:
        return False
    now = clock.now()
    ours = UsageBatch.objects.filter(pk__in=[row.pk for row in group], lease=group[0].lease)
    begun = ours.update(
        first_sent_at=Coalesce("first_sent_at", now), sendings=F("sendings") + 1, lease_until=now + OUTBOX.lease
    )
    if begun == len(group):
        return True
    logger.warning("usage: %s of %s batches belong to another worker by now.", len(group) - begun, len(group))
    left = set(ours.values_list("pk", flat=True))
    group[:] = [row for row in group if row.pk in left]
    return bool(group)


def _texts(row: UsageBatch) -> list[bytes]:
    return bodies.texts(UsageBody.objects.values_list("measurements", flat=True).get(batch_id=row.pk))


def _lines(row: UsageBatch) -> list[Line]:
    return bodies.unpack(*UsageBody.objects.values_list("measurements", "keys", "rows").get(batch_id=row.pk))


def _sent(group: Sequence[UsageBatch]) -> int:
    done: dict[str, object] = {"state": State.SENT, "sent_at": clock.now(), "last_error": "", "note": ""}
    if any(row.late for row in group):
        with transaction.atomic():
            work.settle_together(group, **done)
            late.arrived(group)
    else:
        work.settle_together(group, **done)
    return sum(row.items for row in group)


def _again(
    group: Sequence[UsageBatch], error: IntegrationError, *, wait: timedelta | None = None, uncounted: bool = False
) -> None:
    """Put them back, to be sent later with the same uids; `uncounted` where nothing was sent at all."""
    asked = error.retry_after if isinstance(error, Temporary) else None
    if wait is None:
        wait = timedelta(seconds=asked) if asked is not None else work.backoff(group[0].attempts)
    outcome: dict[str, object] = {"state": State.READY, "due_at": clock.now() + wait, "last_error": str(error)}
    if not uncounted:
        work.settle_together(group, **outcome)
        return
    outcome |= {"attempts": work.UNCOUNTED, "sendings": F("sendings") - 1}
    work.settle_together([row for row in group if row.sendings], **outcome)
    work.settle_together([row for row in group if not row.sendings], **outcome, first_sent_at=None)


def _divide(group: list[UsageBatch], m3ter: M3terClient, error: IntegrationError, alone: Alone | None) -> int:
    """m3ter refuses the whole because of some: send the rest, and put those before people."""
    if len(group) > 1:
        refused_alone: Alone = []
        taken = sum(_send([row], m3ter, refused_alone) for row in group)
        for row, refusal in refused_alone:
            _settle_alone(row, refusal, is_by_itself=taken > 0 or _took_lately())
        return taken
    row = group[0]
    if row.items == 1:
        if alone is None:
            _settle_alone(row, error, is_by_itself=_took_lately())
        else:
            alone.append((row, error))
        return 0
    allowance = [MOST_DIVISIONS]
    try:
        refused = list(_refused(_lines(row), m3ter, error, allowance, lambda: _begin([row])))
    except BudgetSpent as spent:
        _again([row], spent)
        return 0
    except (Temporary, VendorClosed) as problem:
        _again([row], problem, wait=None if isinstance(problem, Temporary) else CLOSED_WAIT)
        return 0
    if len(refused) == row.items:  # the reason is not in one of them
        work.settle_together([row], state=State.FAILED, note=f"m3ter refuses all of it: {error}")
        return 0
    return _sent_but(row, refused)


def _settle_alone(row: UsageBatch, error: IntegrationError, *, is_by_itself: bool) -> None:
    """Put a single measurement that m3ter refused before people; its batch whole where everything may be refused."""
    if is_by_itself:
        _sent_but(row, [(line, error) for line in _lines(row)])
    else:
        work.settle_together(
            [row], state=State.FAILED, note=f"m3ter refuses it, and has taken nothing else lately: {error}"
        )


def _took_lately() -> bool:
    """Whether m3ter takes usage at all: it took some of one of the last batches, not long ago."""
    last = UsageBatch.objects.filter(state=State.SENT).order_by("-pk")[:LAST_BATCHES]
    since = clock.now() - LATELY
    return any(
        sent_at is not None and sent_at > since and items > failed
        for sent_at, items, failed in last.values_list("sent_at", "items", "failed_later")
    )


def _sent_but(row: UsageBatch, refused: Sequence[tuple[Line, IntegrationError]]) -> int:
    """Settle a batch of which m3ter has all but these; say how many it took."""
    with transaction.atomic():
        if not work.settle_together(
            [row], state=State.SENT, sent_at=clock.now(), note=f"m3ter refused {len(refused)} of them."
        ):
            return 0
        late.arrived([row])
        _tell(row, refused)
    return row.items - len(refused)


def _refused(
    lines: Sequence[Line],
    m3ter: M3terClient,
    error: IntegrationError,
    allowance: list[int],
    renew: Callable[[], bool],
) -> Iterator[tuple[Line, IntegrationError]]:
    """Say which lines m3ter refuses; it has all others after this. `error` is what it said of all of them together."""
    if len(lines) == 1 or allowance[0] <= 0:
        yield from ((line, error) for line in lines)
        return
    middle = len(lines) // 2
    for half in (lines[:middle], lines[middle:]):
        allowance[0] -= 1
        if not renew():
            raise Temporary("another worker owns the batch by now")
        try:
            m3ter.submit_encoded([line.text for line in half])
        except (NeedsConfiguration, Permanent) as refusal:
            yield from _refused(half, m3ter, refusal, allowance, renew)


def _tell(row: UsageBatch, refused: Sequence[tuple[Line, IntegrationError]]) -> None:
    """Put what m3ter refused before people, and free the uids: it may be sent again once it is put right.

    Not where an earlier request got no answer: m3ter may have taken all of that one.
    """
    if not row.sendings:
        intake.forget((line.key for line, _ in refused), row.pk)
    UsageFailure.objects.bulk_create(
        [UsageFailure(**_failure(row, line, error)) for line, error in refused], batch_size=500
    )
    UsageBatch.objects.filter(pk=row.pk).update(failed_later=F("failed_later") + len(refused))


def _failure(row: UsageBatch, line: Line, error: IntegrationError) -> dict[str, object]:
    measurement = exact_json.decode(line.text)
    is_dropped = not row.sendings
    said = REFUSED if is_dropped else PERHAPS_COUNTED
    return {
        "occurred_at": clock.now(),
        "kind": "refused" if is_dropped else "refused again",
        "state": UsageFailure.State.OPEN,
        "uid_key": uuid.UUID(bytes=line.key),
        "batch": row,
        "upload": row.upload,
        "row": line.row,
        "m3ter_account_code": measurement["account"],
        "meter": measurement["meter"],
        "measurement": measurement,
        "is_dropped": is_dropped,
        "detail": f"m3ter refused this measurement by itself: {error} {said}",
    }
