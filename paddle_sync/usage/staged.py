"""What was staged of a file goes back: its uids are free again, its batches and rejected rows gone. In pieces.

Each piece is a transaction of one batch, so a file of any size can be taken back, and whoever is killed in between
leaves whole batches for the next one.
"""

from collections.abc import Callable

from django.db import transaction
from django.db.models import QuerySet

from paddle_sync.models import UsageBatch, UsageBody, UsageRejects, UsageUpload
from paddle_sync.usage import bodies, intake

STAGED = UsageBatch.State.STAGED
AT_ONCE = 100


def take_back(
    upload: UsageUpload,
    as_long_as: "QuerySet[UsageUpload]",
    *,
    before_each: Callable[[], object] = lambda: None,
    keep_rejects: bool = False,
) -> int:
    """Take back what the file's check has staged, `as_long_as` selects its row; say how many batches that were.

    `before_each` may raise, which stops it.
    """
    taken = 0
    while ids := list(UsageBatch.objects.filter(upload=upload, state=STAGED).values_list("pk", flat=True)[:AT_ONCE]):
        for batch_id in ids:
            before_each()
            if not _take_back(batch_id, as_long_as):
                return taken
            taken += 1
    while not keep_rejects and (
        ids := list(UsageRejects.objects.filter(upload=upload).values_list("pk", flat=True)[:AT_ONCE])
    ):
        before_each()
        UsageRejects.objects.filter(pk__in=ids).delete()
    return taken


def _take_back(batch_id: int, as_long_as: "QuerySet[UsageUpload]") -> bool:
    with transaction.atomic():
        # Locked, so that a decision to send it comes before this and stops it, or after it and finds nothing.
        if as_long_as.select_for_update().first() is None:
            return False
        batch = UsageBatch.objects.select_for_update().filter(pk=batch_id, state=STAGED).first()
        if batch is not None:
            packed = UsageBody.objects.values_list("keys", flat=True).get(batch=batch)
            intake.forget(bodies.keys(packed), batch.pk)
            batch.delete()
    return True
