"""Files of usage as tests send them, and a worker that checks and follows them until nothing is left to do."""

import csv
import datetime as dt
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from integration_project import clock, work
from paddle_sync.models import AccountLink, UsageBatch, UsageUpload
from paddle_sync.usage import jobs, receiving, uploads
from paddle_sync.usage.file_layouts import AUTO, Choice
from paddle_sync.usage.queues import OUTBOX, UPLOADS
from paddle_sync.usage.receiving import Origin, Received
from tests.paddle_sync.usage.metered import METER, at

COLUMNS = ("uid", "paddle_subscription_id", "meter", "ts", "values.calls")
OnErrors = UsageUpload.OnErrors
SECOND = dt.timedelta(seconds=1)
UNDER_WAY = ("checking", "running", "sending")


def line(link: AccountLink, uid: str, calls: object = 1, **cells: object) -> dict[str, object]:
    """A row of a CSV file."""
    usual = {
        "uid": uid,
        "paddle_subscription_id": link.paddle_subscription_id,
        "meter": METER,
        "ts": at(hours=5),
        "values.calls": calls,
    }
    return {**usual, **{name.replace("__", "."): cell for name, cell in cells.items()}}


def table(rows: Iterable[Mapping[str, object]], columns: Sequence[str] = COLUMNS) -> bytes:
    """A CSV file of these rows."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def send(
    content: bytes,
    name: str = "usage.csv",
    *,
    layout: Choice = AUTO,
    on_errors: UsageUpload.OnErrors = OnErrors.STOP,
    by: str = "ann",
    told: Callable[[int], object] = lambda size: None,
) -> Received:
    """Receive these bytes."""
    origin = Origin(name, UsageUpload.Via.CONSOLE, by, on_errors=on_errors)
    return receiving.receive(io.BytesIO(content), origin, layout=layout, told=told)


def checked(content: bytes, name: str = "usage.csv", **options: Any) -> UsageUpload:
    """Receive these bytes and check them to the end."""
    upload = send(content, name, **options).upload
    jobs.check_files()
    upload.refresh_from_db()
    return upload


def followed(upload: UsageUpload) -> UsageUpload:
    """Look after files, and give this one as it is then."""
    uploads.follow()
    upload.refresh_from_db()
    return upload


def sent_until_done() -> None:
    """Check, send, and look after files until nothing waits for a worker; whatever is due later is due."""
    for _ in range(50):
        UsageUpload.objects.filter(state=UsageUpload.State.RUNNING).update(lease_until=clock.now() - SECOND)
        UsageBatch.objects.filter(state=UsageBatch.State.SENDING).update(lease_until=clock.now() - SECOND)
        work.release_expired(UPLOADS)
        work.release_expired(OUTBOX)
        UsageUpload.objects.filter(state=UsageUpload.State.CHECKING).update(due_at=clock.now())
        UsageBatch.objects.filter(state=UsageBatch.State.READY).update(due_at=clock.now())
        jobs.check_files()
        jobs.release_held()
        jobs.send()
        jobs.follow_files()
        waiting = UsageBatch.objects.filter(state__in=(UsageBatch.State.READY, UsageBatch.State.SENDING))
        if not waiting.exists() and not UsageUpload.objects.filter(state__in=UNDER_WAY).exists():
            return
    raise AssertionError("it never ends")
