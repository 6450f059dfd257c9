"""The life of a file of usage after it was received: checked, decided about, sent, paused, discarded.

    layout     -> checking                          confirm_layout, by a person; or by itself (file_layouts.begin)
    checking   -> deciding, sending, failed         by the check (file_checking)
    deciding   -> sending, checking, discarded      release, check_again, confirm_layout, discard
    sending    -> done                              by itself, once nothing of it is open
    any before sending -> discarded                 discard; pause and resume as long as it is not over

Each step is a conditional update of the file's row. What a step has to do to many batches is either one statement of
the same transaction, or is done in pieces afterwards and carried on by the job that looks after files.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from integration_project import clock, work
from integration_project.errors import NotPossible
from integration_project.work import LeaseLost
from paddle_sync.models import UsageBatch, UsageUpload
from paddle_sync.usage import file_layouts, held, late, layouts, staged
from paddle_sync.usage.file_layouts import LayoutWrong
from paddle_sync.usage.layouts import Layout
from paddle_sync.usage.queues import OUTBOX, UPLOADS
from paddle_sync.usage.rows import Format

logger = logging.getLogger(__name__)

State = UsageUpload.State
BatchState = UsageBatch.State
OnErrors = UsageUpload.OnErrors
CHECK_HOLDS_FOR = timedelta(hours=1)
"""After that a bill may have been approved, or a plan ended: a file is checked again before it is sent."""
A_MOMENT = 2.0
"""Seconds that somebody who decides waits for what follows; the job that looks after files goes on with it."""
BEFORE_SENDING = (State.LAYOUT, State.CHECKING, State.RUNNING, State.DECIDING)
OVER = (State.DONE, State.DISCARDED, State.FAILED)
TAKEN_BACK = (State.DISCARDED, State.FAILED)
"""States in which nothing of a file may stay staged."""
_AFRESH: dict[str, Any] = {
    "position": 0,
    "bytes_checked": 0,
    "rows": 0,
    "rows_total": None,
    "accepted": 0,
    "duplicate": 0,
    "conflict": 0,
    "refused": 0,
    "held": 0,
    "late": 0,
    "on_next": 0,
    "rejected_bytes": 0,
    "reasons": {},
    "checked_at": None,
    "attempts": 0,
    "deaths": 0,
    "note": "",
    "last_error": "",
}
_UNLEASED: dict[str, Any] = {"lease": None, "lease_until": None, "leased_by": ""}


# --- What people decide ----------------------------------------------------------------------------------------------


def confirm_layout(upload: UsageUpload, layout: Layout, *, by: str, remember: bool = True) -> None:
    """Say what the columns mean, and have the file checked; one that was checked with another layout begins again.

    LayoutWrong where no row could be read so. For JSON, which has no columns, the layout is left aside.
    """
    columns: dict[str, Any] = {}
    if upload.format == Format.CSV:
        wrong = layouts.problems(layout, upload.columns, file_layouts.field_codes())
        if wrong:
            raise LayoutWrong(wrong)
        columns["layout"] = layout.to_json()
    with transaction.atomic():
        _check_afresh(upload, (State.LAYOUT, State.DECIDING), "checked with this layout", agreed=None, **columns)
        if remember and columns:
            file_layouts.remember(upload.columns, layout, by=by)


def check_again(upload: UsageUpload) -> None:
    """Forget what the check found, and check the file from its beginning as things are now."""
    _check_afresh(upload, (State.DECIDING,), "checked again", agreed=None)


def release(upload: UsageUpload, *, by: str, reason: str = "") -> bool:
    """Send the good rows of a file, which nothing can take back; False where it is checked again first.

    It is, when the check is older than an hour. It is sent by itself then, unless more rows are wrong than before.
    """
    upload.refresh_from_db()
    if upload.state == State.DECIDING and not upload.can_be_sent:
        raise NotPossible(
            "It was not read to its end, because so many rows are wrong. Correct its layout, or discard it."
        )
    decided = {"decided_by": by[:150], "decided_at": clock.now(), "decision_reason": reason}
    if upload.checked_at is not None and upload.checked_at < clock.now() - CHECK_HOLDS_FOR:
        _check_afresh(upload, (State.DECIDING,), "sent", agreed=upload.rejected, **decided)
        return False
    with transaction.atomic():
        _change(upload, Q(state=State.DECIDING), "sent", state=State.SENDING, **decided)
        _send_staged(upload)
    follow_for_a_moment(upload)
    return True


def discard(upload: UsageUpload, *, by: str, reason: str = "") -> None:
    """Send nothing of a file, ever; its uids are free again. Only before it was sent."""
    upload.refresh_from_db()
    if upload.state == State.SENDING or upload.was == State.SENDING:
        raise NotPossible("It is on its way to m3ter already, and cannot be discarded any more. It can be paused.")
    may = Q(state__in=BEFORE_SENDING) | Q(state=State.PAUSED, was__in=BEFORE_SENDING)
    now = clock.now()
    _change(
        upload,
        may,
        "discarded",
        state=State.DISCARDED,
        was="",
        decided_by=by[:150],
        decided_at=now,
        decision_reason=reason,
        finished_at=now,
        note="Nothing of it was sent.",
        due_at=None,
        **_UNLEASED,
    )
    follow_for_a_moment(upload)


def pause(upload: UsageUpload) -> None:
    """Let nothing more be checked or sent of a file; a chunk or a request that is under way comes to its end."""
    with transaction.atomic():
        row = UsageUpload.objects.select_for_update().filter(pk=upload.pk).first()
        if row is None or row.state not in (State.CHECKING, State.RUNNING, State.SENDING):
            raise NotPossible(_is_now(row, "paused"))
        was = State.SENDING if row.state == State.SENDING else State.CHECKING
        _change(upload, Q(state=row.state), "paused", state=State.PAUSED, was=was, due_at=None, **_UNLEASED)
        UsageBatch.objects.filter(upload=upload, state=BatchState.READY).update(state=BatchState.PAUSED, due_at=None)


def resume(upload: UsageUpload) -> None:
    """Let a paused file go on."""
    with transaction.atomic():
        row = UsageUpload.objects.select_for_update().filter(pk=upload.pk).first()
        if row is None or row.state != State.PAUSED:
            raise NotPossible(_is_now(row, "continued"))
        now = clock.now()
        due_at = now if row.was == State.CHECKING else None
        _change(upload, Q(state=State.PAUSED), "continued", state=row.was, was="", due_at=due_at)
        paused = UsageBatch.objects.filter(upload=upload, state=BatchState.PAUSED)
        late.coming(paused)
        paused.update(state=BatchState.READY, due_at=now)
        work.wake_up(UPLOADS if due_at else OUTBOX)
        held.wake_up()


def _check_afresh(upload: UsageUpload, states: tuple[UsageUpload.State, ...], done: str, **columns: Any) -> None:
    with transaction.atomic():
        changed = {**_AFRESH, "state": State.CHECKING, "due_at": clock.now(), **columns}
        _change(upload, Q(state__in=states), done, **changed)
        work.wake_up(UPLOADS)


def _change(upload: UsageUpload, may: Q, done: str, **columns: Any) -> None:
    """Change the row if it is still in a state that allows it; NotPossible says in which it is."""
    if not UsageUpload.objects.filter(may, pk=upload.pk).update(**columns):
        raise NotPossible(_is_now(UsageUpload.objects.filter(pk=upload.pk).first(), done))
    for name, value in columns.items():
        setattr(upload, name, value)


def _is_now(upload: UsageUpload | None, done: str) -> str:
    if upload is None:
        return "There is no such file any more."
    by = f", as {upload.decided_by} decided" if upload.decided_by and upload.state != State.DECIDING else ""
    return f"The file is {upload.get_state_display().lower()} by now{by}; it cannot be {done}."


# --- What the check finds --------------------------------------------------------------------------------------------


def checked(upload: UsageUpload) -> None:
    """All rows are checked; the lease is held. It is sent by itself, or waits for a decision."""
    upload.refresh_from_db(fields=("on_errors", "agreed", "decided_by"))
    total, wrong = upload.rows, upload.rejected
    sent = _goes_by_itself(upload)
    now = clock.now()
    note = f"{wrong:,} of {total:,} rows are wrong." if wrong else f"All {total:,} rows are good."
    columns: dict[str, Any] = {"rows_total": total, "checked_at": now, "note": note, "bytes_checked": upload.size}
    if sent and not upload.decided_by:
        columns |= {"decided_by": upload.by, "decided_at": now}
    with transaction.atomic():
        if not work.settle(upload, state=State.SENDING if sent else State.DECIDING, **columns):
            raise LeaseLost(f"file {upload.pk} belongs to somebody else now.")
        if sent:
            _send_staged(upload)
    logger.info("usage: file %s checked: %s %s", upload.pk, note, upload.get_state_display())
    if sent:
        follow_one(upload)


def _goes_by_itself(upload: UsageUpload) -> bool:
    """Whether its sender, or whoever decided about it before it was checked again, wants what was found to be sent."""
    if upload.agreed is not None:
        return upload.rejected <= upload.agreed
    return upload.on_errors == OnErrors.SEND_GOOD or (upload.on_errors == OnErrors.STOP and not upload.rejected)


def stopped(upload: UsageUpload) -> None:
    """So many rows are wrong that the rest is not read: somebody corrects the layout, or discards it."""
    note = (
        f"{upload.rejected:,} of the first {upload.rows:,} rows are wrong, so the rest was not read: the columns are"
        " probably mapped wrongly. It cannot be sent. Correct its layout, or discard it."
    )
    work.settle(upload, state=State.DECIDING, note=note)


def failed(upload: UsageUpload, why: str) -> None:
    """A file cannot be read to its end: nothing of it is sent, and what was staged of it is taken back."""
    now = clock.now()
    note = f"{why[:1].upper()}{why[1:]}"
    if work.settle(upload, state=State.FAILED, note=note, finished_at=now):
        logger.warning("usage: file %s cannot be read: %s", upload.pk, why)
        follow_one(upload)


def _send_staged(upload: UsageUpload) -> None:
    """Move on all that is staged, in the transaction of the decision; what is for the next bill follows in pieces."""
    batches = UsageBatch.objects.filter(upload=upload, state=BatchState.STAGED)
    late.coming(batches.filter(then=BatchState.READY))
    batches.filter(then=BatchState.READY).update(state=BatchState.READY, due_at=clock.now())
    batches.filter(then=BatchState.HELD).update(state=BatchState.HELD)
    work.wake_up(OUTBOX)
    held.wake_up()


# --- What follows, by itself and in pieces ---------------------------------------------------------------------------


class _Enough(Exception):
    """The time is up; the job goes on with it."""


def follow_one(upload: UsageUpload, *, stop: Callable[[], bool] = lambda: False) -> bool:
    """Do what is left to do for a file in its state; False where the time was up before it was done."""

    def go_on() -> None:
        if stop():
            raise _Enough

    try:
        if upload.state in TAKEN_BACK:
            rows = UsageUpload.objects.filter(pk=upload.pk, state__in=TAKEN_BACK)
            staged.take_back(upload, rows, before_each=go_on, keep_rejects=True)
        elif upload.state == State.SENDING:
            _keep_for_next_bill(upload, go_on)
            _end_if_sent(upload)
        elif upload.state == State.PAUSED:
            # What was with a worker as the file was paused, or was held, may have come back since.
            UsageBatch.objects.filter(upload=upload, state=BatchState.READY).update(
                state=BatchState.PAUSED, due_at=None
            )
    except _Enough:
        return False
    return True


def follow_for_a_moment(upload: UsageUpload) -> None:
    """Begin with what a decision leaves to do; whoever decided does not wait until a million rows are taken back."""
    end = time.monotonic() + A_MOMENT
    follow_one(upload, stop=lambda: time.monotonic() >= end)


def follow(*, stop: Callable[[], bool] = lambda: False) -> int:
    """Do what is left to do for all files; say for how many there was something."""
    ready_or_staged = (BatchState.READY, BatchState.STAGED)
    batches = UsageBatch.objects.filter(state__in=ready_or_staged)
    unfinished = Q(pk__in=batches.filter(upload__state__in=(*TAKEN_BACK, State.PAUSED)).values("upload"))
    followed = 0
    for upload in UsageUpload.objects.filter(Q(state=State.SENDING) | unfinished).order_by("pk")[:1000]:
        if stop():
            break
        follow_one(upload, stop=stop)
        followed += 1
    abandoned = UsageUpload.objects.filter(state=State.RECEIVING, lease_until__lte=clock.now())
    for upload in abandoned[:100]:
        logger.warning("usage: %s was never received to its end; what there was of it is removed.", upload)
        with transaction.atomic():
            # Locked, since it may come to its end after all.
            row = UsageUpload.objects.select_for_update().filter(pk=upload.pk, state=State.RECEIVING).first()
            if row is not None:
                row.delete()
        followed += 1
    return followed


def _keep_for_next_bill(upload: UsageUpload, go_on: Callable[[], None]) -> None:
    """Put what is for the next bill before people, a batch at a time: each is checked again on the way."""
    waiting = UsageBatch.objects.filter(upload=upload, state=BatchState.STAGED).order_by("pk")
    for batch_id in list(waiting.values_list("pk", flat=True)):
        go_on()
        held.take_in_again(batch_id, BatchState.STAGED, why="It was accepted for the next bill")


OPEN = (BatchState.STAGED, BatchState.READY, BatchState.SENDING, BatchState.PAUSED, BatchState.FAILED)
"""Batches for which something is still to be done before their file is done; held ones wait for others."""


def _end_if_sent(upload: UsageUpload) -> None:
    if UsageBatch.objects.filter(upload=upload, state__in=OPEN).exists():
        return
    note = f"{upload.accepted:,} of {upload.rows:,} rows were accepted."
    if UsageUpload.objects.filter(pk=upload.pk, state=State.SENDING).update(
        state=State.DONE, finished_at=clock.now(), note=note
    ):
        upload.refresh_from_db()
        logger.info("usage: file %s is done: %s", upload.pk, note)
