"""After a database restore: what this copy does not know, the original may have charged."""

import logging

from django.db import transaction
from django.db.models import QuerySet

from billing_bridge import journal
from billing_bridge.models import PushedBill
from integration_project import clock, installation
from integration_project.models import Installation

logger = logging.getLogger(__name__)

State = PushedBill.State


def not_yet_pushed() -> QuerySet[PushedBill]:
    """Bills that this database has not charged, but may charge."""
    return PushedBill.objects.filter(
        state__in=(State.HELD, State.WAITING, State.READY, State.PUSHING, State.FAILED, State.UNCONFIRMED)
    )


def confirm_restore(*, reason: str, by: str = "confirm_restore") -> None:
    """From now on every first push looks in Paddle before it is sent."""
    installation.current()
    with transaction.atomic():
        Installation.objects.filter(pk=1).update(look_before_first_push=True, restore_confirmed_at=clock.now())
        for bill in not_yet_pushed().iterator():
            journal.decision(bill, "restore confirmed", by=by, reason=reason)
    logger.warning("Restore confirmed: every first push looks in Paddle before it is sent. %s", reason)
