"""The kinds of work with usage: batches to be sent, files to be checked, bills and charges to be asked of m3ter."""

from datetime import timedelta

from integration_project.work import Queue
from paddle_sync.models import LateForBill, LateUsage, UsageBatch, UsageUpload

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
RECALCULATIONS: Queue[LateForBill] = Queue(
    name="bills to be calculated again",
    model=LateForBill,
    ready=(LateForBill.State.ASKED,),
    running=None,
    job="paddle_sync.usage.jobs.recalculate",
    lease=timedelta(seconds=60),
)
CHARGES: Queue[LateUsage] = Queue(
    name="late usage",
    model=LateUsage,
    ready=(LateUsage.State.ASKED,),
    running=None,
    job="paddle_sync.usage.jobs.charge_late",
    lease=timedelta(seconds=60),
)
