"""The one kind of work of this app so far: events that were received."""

from datetime import timedelta

from integration_project.work import Queue
from paddle_sync.models import WebhookEvent

EVENTS: Queue[WebhookEvent] = Queue(
    name="events",
    model=WebhookEvent,
    ready=(WebhookEvent.State.RECEIVED,),
    running=WebhookEvent.State.PROCESSING,
    job="paddle_sync.jobs.drain_events",
    lease=timedelta(seconds=30),
    batch=20,
)
