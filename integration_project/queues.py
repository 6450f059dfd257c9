"""Every queue of both apps; the ticker looks after these, and health and metrics count them."""

from functools import cache
from typing import Any

from django.utils.module_loading import import_string

from integration_project.work import Queue

# Named, not imported: this table stands above both apps, and what reads it starts before their models are loaded.
QUEUES: tuple[str, ...] = (
    "billing_bridge.queues.PUSH",
    "billing_bridge.queues.CONFIRM",
    "billing_bridge.queues.FINISH",
    "paddle_sync.queues.EVENTS",
    "paddle_sync.queues.REHEARSALS",
    "paddle_sync.usage.queues.OUTBOX",
    "paddle_sync.usage.queues.RECALCULATIONS",
    "paddle_sync.usage.queues.CHARGES",
    "paddle_sync.usage.queues.UPLOADS",
    "integration_project.mailing.outbox.MAIL",
)


@cache
def all_queues() -> tuple[Queue[Any], ...]:
    """Load the queues of the table, in its order."""
    return tuple(import_string(path) for path in QUEUES)
