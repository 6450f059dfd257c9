"""What is kept of usage, and for how long; the rest is forgotten in pieces, so that no delete holds others up.

bytes of a file                   30 days after it is over
what a sent batch held            40 days after it was sent: m3ter knows its uids for 35
uids                              400 days, which no measurement may be older than
files, and batches of requests    as long as their uids, unless something of them is still open
failures nobody has to look at    as long, and days of usage as m3ter has counted them
"""

from collections.abc import Callable
from datetime import timedelta

from django.db.models import Exists, OuterRef

from integration_project import clock
from paddle_sync.models import UsageBatch, UsageBody, UsageDay, UsageFailure, UsageFilePart, UsageUid, UsageUpload
from paddle_sync.usage import uploads
from paddle_sync.usage.checking import OLDEST

PARTS_KEPT = timedelta(days=30)
BODIES_KEPT = timedelta(days=40)
UIDS_KEPT = OLDEST + timedelta(days=1)
"""A day more than a measurement may be old, because its time may lie an hour ahead of ours."""
AT_ONCE = 5_000
BATCHES_AT_ONCE = 200
Stop = Callable[[], bool]
FINISHED = (UsageBatch.State.SENT, UsageBatch.State.TAKEN_BACK)


def prune(*, stop: Stop = lambda: False) -> dict[str, int]:
    """Forget what is old enough, until it is done or `stop` says so; say how many rows of each there were."""
    return {
        "pieces of files": _parts(stop),
        "bodies": _bodies(stop),
        "uids": _uids(stop),
        "batches": _batches(stop),
        "files": _files(stop),
        "failures": _failures(stop),
        "days": _days(stop),
    }


def _parts(stop: Stop) -> int:
    old = UsageUpload.objects.filter(state__in=uploads.OVER, finished_at__lt=clock.now() - PARTS_KEPT)
    parts = UsageFilePart.objects.filter(upload__in=old)
    forgotten = 0
    while not stop() and (ids := list(parts.values_list("pk", flat=True)[:BATCHES_AT_ONCE])):
        forgotten += UsageFilePart.objects.filter(pk__in=ids).delete()[0]
    return forgotten


def _bodies(stop: Stop) -> int:
    old = UsageBody.objects.filter(batch__state=UsageBatch.State.SENT, batch__sent_at__lt=clock.now() - BODIES_KEPT)
    forgotten = 0
    while not stop() and (ids := list(old.values_list("pk", flat=True)[:BATCHES_AT_ONCE])):
        forgotten += UsageBody.objects.filter(pk__in=ids).delete()[0]
    return forgotten


def _uids(stop: Stop) -> int:
    old = UsageUid.objects.filter(received_on__lt=(clock.now() - UIDS_KEPT).date())
    forgotten = 0
    while not stop() and (keys := list(old.order_by("received_on").values_list("pk", flat=True)[:AT_ONCE])):
        for start in range(0, len(keys), 500):
            forgotten += UsageUid.objects.filter(pk__in=keys[start : start + 500]).delete()[0]
    return forgotten


def _batches(stop: Stop) -> int:
    """Forget finished batches, of requests and of files."""
    old = UsageBatch.objects.filter(state__in=FINISHED, received_at__lt=clock.now() - UIDS_KEPT)
    forgotten = 0
    while not stop() and (ids := list(old.order_by("received_at").values_list("pk", flat=True)[:BATCHES_AT_ONCE])):
        UsageBatch.objects.filter(pk__in=ids).delete()
        forgotten += len(ids)
    return forgotten


def _files(stop: Stop) -> int:
    """Forget files of which no batch is left, with their rejected rows and what m3ter dropped of them."""
    open_batches = UsageBatch.objects.filter(upload=OuterRef("pk"))
    old = UsageUpload.objects.filter(
        ~Exists(open_batches), state__in=uploads.OVER, finished_at__lt=clock.now() - UIDS_KEPT
    )
    forgotten = 0
    while not stop() and (upload := old.order_by("pk").first()):
        upload.delete()
        forgotten += 1
    return forgotten


def _failures(stop: Stop) -> int:
    over = (UsageFailure.State.HARMLESS, UsageFailure.State.CLOSED)
    old = UsageFailure.objects.filter(state__in=over, occurred_at__lt=clock.now() - UIDS_KEPT)
    forgotten = 0
    while not stop() and (ids := list(old.values_list("pk", flat=True)[:BATCHES_AT_ONCE])):
        forgotten += UsageFailure.objects.filter(pk__in=ids).delete()[0]
    return forgotten


def _days(stop: Stop) -> int:
    old = UsageDay.objects.filter(day__lt=(clock.now() - UIDS_KEPT).date())
    forgotten = 0
    while not stop() and (ids := list(old.order_by("day").values_list("pk", flat=True)[:AT_ONCE])):
        for start in range(0, len(ids), 500):
            forgotten += UsageDay.objects.filter(pk__in=ids[start : start + 500]).delete()[0]
    return forgotten
