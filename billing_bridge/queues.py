"""The bills' three kinds of work: charge what is ready, look for what is unconfirmed, finish what is pushed."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Coalesce

from billing_bridge.models import Push, PushAttempt, PushedBill
from integration_project import clock, work

logger = logging.getLogger(__name__)

State = PushedBill.State
FIRST_LOOK = timedelta(seconds=15)


def release_dead_charges(bills: QuerySet[PushedBill]) -> int:
    """Move on bills whose worker died: what was not sent is ready again, what may have been sent is looked for."""
    return sum(_release(bill_id) for bill_id in bills.values_list("pk", flat=True))


def _release(bill_id: int) -> bool:
    now = clock.now()
    with transaction.atomic():
        dead = PushedBill.objects.select_for_update(skip_locked=True, of=("self",)).filter(
            pk=bill_id, state=State.PUSHING, lease_until__lte=now
        )
        bill = dead.first()
        if bill is None:
            return False
        push = bill.pushes.filter(state=Push.State.PUSHING).select_for_update().order_by("-ordinal").first()
        sent = push is not None and push.sent_at is not None
        if push is not None:
            push.state = Push.State.UNCONFIRMED if sent else Push.State.INTENDED
            push.save(update_fields=("state",))
            if not sent:
                push.release_carried()
            PushAttempt.objects.create(
                bill=bill,
                push=push,
                attempt=push.attempt,
                step="charge",
                phase="after",
                at=now,
                outcome="worker died",
                detail=SENT_WORDS if sent else NOT_SENT_WORDS,
            )
        PushedBill.objects.filter(pk=bill.pk).update(
            state=State.UNCONFIRMED if sent else State.READY,
            reason="",
            reason_detail=SENT_WORDS if sent else NOT_SENT_WORDS,
            due_at=now + FIRST_LOOK if sent else now + (work.backoff(bill.deaths) if bill.deaths else timedelta(0)),
            looks=0,
            deaths=bill.deaths + 1,
            lease=None,
            lease_until=None,
            leased_by="",
            updated_at=now,
        )
    logger.warning("%s: %s", bill, SENT_WORDS if sent else NOT_SENT_WORDS)
    return True


SENT_WORDS = "The worker died with the charge under way; it is looked for in Paddle."
NOT_SENT_WORDS = "The worker died before anything was sent."

NEED = (Coalesce("renews_at", "due_at"), "due_at")
"""Whose subscription renews first is charged first. A bill without a renewal stands where it became due: what can be
collected with no renewal never waits for those that can, and what becomes due after a renewal never overtakes it, so
every bill gets its turn."""
PUSH: work.Queue[PushedBill] = work.Queue(
    name="bills",
    model=PushedBill,
    ready=(State.READY, State.WAITING),
    running=State.PUSHING,
    job="billing_bridge.jobs.drain_bills",
    lease=timedelta(seconds=150),
    batch=1,
    expired=release_dead_charges,
    give_up="billing_bridge.giving_up.hold",
    order=NEED,
    freed_early=False,
)
CONFIRM: work.Queue[PushedBill] = work.Queue(
    name="unconfirmed bills",
    model=PushedBill,
    ready=(State.UNCONFIRMED,),
    running=None,
    job="billing_bridge.jobs.confirm_bills",
    lease=timedelta(seconds=60),
    batch=1,
    give_up="billing_bridge.giving_up.stop_looking",
)
FINISH: work.Queue[PushedBill] = work.Queue(
    name="pushed bills",
    model=PushedBill,
    ready=(State.PUSHED, State.CARRIED),
    running=None,
    job="billing_bridge.jobs.finish_bills",
    lease=timedelta(seconds=60),
    batch=20,
    give_up="billing_bridge.giving_up.leave_unfinished",
)
