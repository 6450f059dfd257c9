"""The kinds of work of this app: events that were received, and dry runs that somebody asked for."""

from datetime import timedelta

from integration_project.work import Queue
from paddle_sync.models import EventRehearsal, WebhookEvent

EVENTS: Queue[WebhookEvent] = Queue(
    name="events",
    model=WebhookEvent,
    ready=(WebhookEvent.State.RECEIVED,),
    running=WebhookEvent.State.PROCESSING,
    job="paddle_sync.jobs.drain_events",
    lease=timedelta(seconds=30),
    batch=20,
)
REHEARSALS: Queue[EventRehearsal] = Queue(
    name="dry runs",
    model=EventRehearsal,
    ready=(EventRehearsal.State.ASKED,),
    running=EventRehearsal.State.RUNNING,
    job="paddle_sync.jobs.drain_rehearsals",
    lease=timedelta(seconds=60),
    batch=5,
    give_up="paddle_sync.rehearsing.give_up",
)
