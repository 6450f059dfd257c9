"""Usage of subscriptions that had no account yet: once there is one it is checked as if it came now, and sent.

What does not stand the checks then was accepted once, so it becomes a row for people to see.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef

from integration_project import clock, wakeups
from integration_project.vendors import exact_json
from paddle_sync.models import AccountLink, UsageBatch, UsageBody, UsageFailure, UsageUpload
from paddle_sync.usage import bodies, intake, meters
from paddle_sync.usage.addresses import Book
from paddle_sync.usage.assessing import assess
from paddle_sync.usage.bodies import Line
from paddle_sync.usage.checking import Circumstances
from paddle_sync.usage.intake import Outcome, Source
from paddle_sync.usage.items import Refusal

logger = logging.getLogger(__name__)

State = UsageBatch.State
NAME = "held usage"
WITHOUT_ACCOUNT = "It was accepted when its subscription had no account yet"
COUNTED_ALREADY = Refusal(
    Outcome.CONFLICT.value,
    "uid",
    "the account has usage with this uid and another content. That counts; this does not.",
)
JOB = "paddle_sync.usage.jobs.release_held"


class _Undecided(Exception):
    """Some of its uids stand in a file that nobody has decided about, so nobody can say whether it counts."""


def linked(subscription_id: str) -> None:
    """A subscription has an account now: what waits for it goes on, once this is committed."""
    if UsageBatch.objects.filter(state=State.HELD, paddle_subscription_id=subscription_id).exists():
        wake_up()


def wake_up() -> None:
    """Have what waits looked at once this is committed; the schedule does so anyway."""
    transaction.on_commit(lambda: wakeups.ask_for(NAME, JOB), robust=True)


def release(*, stop: Callable[[], bool] = lambda: False) -> int:
    """Take in what waits for an account that there is by now; say how many batches that were."""
    links = AccountLink.objects.filter(paddle_subscription_id=OuterRef("paddle_subscription_id"))
    waiting = UsageBatch.objects.filter(Exists(links), state=State.HELD).order_by("pk")
    waiting = waiting.exclude(upload__state=UsageUpload.State.PAUSED)
    released = 0
    for batch_id in list(waiting.values_list("pk", flat=True)[:1000]):
        if stop():
            break
        released += take_in_again(batch_id, State.HELD)
    return released


def take_in_again(batch_id: int, state: State, *, why: str = WITHOUT_ACCOUNT) -> bool:
    """Check the items of a batch anew and put them where they belong now; False when somebody else did.

    It stays as it is as long as some of its uids stand in a file that nobody has decided about. `why` says how it came
    that they were accepted and not sent.
    """
    try:
        return _take_in_again(batch_id, state, why)
    except _Undecided:
        return False


def _take_in_again(batch_id: int, state: State, why: str) -> bool:
    with transaction.atomic():
        batch = UsageBatch.objects.select_for_update().filter(pk=batch_id, state=state).first()
        if batch is None:
            return False
        body = UsageBody.objects.get(batch=batch)
        lines = bodies.unpack(body.measurements, body.keys, body.rows)
        intake.forget((line.key for line in lines), batch.pk)
        now = clock.now()
        items = [(line.row, exact_json.decode(line.text)) for line in lines]
        assessed = assess(items, Book(_nowhere), Circumstances(meters.known(), batch.received_at))
        source = Source(
            upload=batch.upload,
            client=batch.client,
            api_key_prefix=batch.api_key_prefix,
            idempotency_key=batch.idempotency_key,
            received_at=batch.received_at,
        )
        taken = intake.take_in(assessed.good, source)
        if taken.refusals:
            raise _Undecided
        conflicts = {row: COUNTED_ALREADY for row, what in taken.outcomes.items() if what is Outcome.CONFLICT}
        refused = assessed.refused | conflicts
        tell(batch, [(line, refused[line.row]) for line in lines if line.row in refused], now, why=why)
        batch.delete()
    return True


def _nowhere(subscription_ids: Sequence[str]) -> Mapping[str, Refusal | None]:
    """What is held is of subscriptions that were known; nobody is asked again."""
    return {name: Refusal("unknown_subscription", "paddle_subscription_id", "it is gone.") for name in subscription_ids}


def tell(
    batch: UsageBatch, wrong: Sequence[tuple[Line, Refusal]], now: datetime, *, why: str = WITHOUT_ACCOUNT
) -> None:
    """Put what was accepted and cannot be counted before people."""
    UsageFailure.objects.bulk_create(
        [
            UsageFailure(
                occurred_at=now,
                kind=refusal.code,
                state=UsageFailure.State.OPEN,
                upload=batch.upload,
                row=line.row,
                m3ter_account_code=batch.paddle_subscription_id,
                measurement=exact_json.decode(line.text),
                detail=f"{why}, and does not fit now: {refusal}",
            )
            for line, refusal in wrong
        ],
        batch_size=500,
    )
