"""What people decide about batches that did not go by themselves."""

from django.db.models import QuerySet

from integration_project import clock, work
from integration_project.errors import NotPossible
from paddle_sync.models import UsageBatch, UsageBody
from paddle_sync.usage import bodies, intake, late
from paddle_sync.usage.queues import OUTBOX

State = UsageBatch.State
TAKEN_BACK_FROM = (State.HELD, State.FAILED)


def send_again(batch_id: int, *, by: str, reason: str) -> None:
    """Send a batch that was given up, with the same uids; from now on m3ter's 35 days count anew."""
    now = clock.now()
    late.coming(_in_state(batch_id, State.FAILED))
    sent = _in_state(batch_id, State.FAILED).update(
        state=State.READY, due_at=now, attempts=0, deaths=0, first_sent_at=now, last_error="", note=_note(by, "sent")
    )
    if not sent:
        raise NotPossible("It is not given up any more.")
    work.wake_up(OUTBOX)


def take_as_sent(batch_id: int, *, by: str, reason: str) -> None:
    """Take a batch that was given up as one that m3ter has."""
    note = f"{_note(by, 'taken as sent')} {reason}"
    taken = _in_state(batch_id, State.FAILED).update(state=State.SENT, sent_at=clock.now(), due_at=None, note=note)
    if not taken:
        raise NotPossible("It is not given up any more.")


def take_back(batch_id: int, *, by: str, reason: str) -> None:
    """Discard a batch that waits for its account, or was given up: it is never sent, and its uids are free."""
    batch = UsageBatch.objects.filter(pk=batch_id, state__in=TAKEN_BACK_FROM).select_for_update().first()
    if batch is None:
        raise NotPossible("It does not wait any more, and goes its way.")
    packed = UsageBody.objects.values_list("keys", flat=True).get(batch=batch)
    intake.forget(bodies.keys(packed), batch.pk)
    batch.state, batch.note = State.TAKEN_BACK, f"{_note(by, 'taken back')} {reason}"
    batch.save(update_fields=["state", "note"])


def _in_state(batch_id: int, state: State) -> QuerySet[UsageBatch]:
    return UsageBatch.objects.filter(pk=batch_id, state=state)


def _note(by: str, what: str) -> str:
    return f"{by} had it {what} on {clock.now():%Y-%m-%d}."
