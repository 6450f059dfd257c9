"""The kinds of work with usage: batches to be sent, and files to be checked."""

from datetime import timedelta

from integration_project.work import Queue
from paddle_sync.models import UsageBatch, UsageUpload

OUTBOX: Queue[UsageBatch] = Queue(
    name="usage",
    model=UsageBatch,
    ready=(UsageBatch.State.READY,),
    running=UsageBatch.State.SENDING,
    job="paddle_sync.usage.jobs.send",
    lease=timedelta(seconds=60),
    batch=100,
    order=("urgency", "due_at"),
)
"""What single requests brought goes first: it is little, and somebody waits for it."""
UPLOADS: Queue[UsageUpload] = Queue(
    name="usage files",
    model=UsageUpload,
    ready=(UsageUpload.State.CHECKING,),
    running=UsageUpload.State.RUNNING,
    job="paddle_sync.usage.jobs.check_files",
    lease=timedelta(seconds=60),
    batch=1,
    give_up="paddle_sync.usage.file_checking.give_up",
)
