"""Files of usage as tests send them, and a worker that checks and follows them until nothing is left to do."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from integration_project import work
from paddle_sync.models import AccountLink, UsageUpload
from paddle_sync.usage import jobs, receiving, uploads
from paddle_sync.usage.file_layouts import AUTO, Choice
from paddle_sync.usage.queues import UPLOADS
from paddle_sync.usage.receiving import Origin, Received
from tests.paddle_sync.usage.metered import METER, at

COLUMNS = ("uid", "paddle_subscription_id", "meter", "ts", "values.calls")
OnErrors = UsageUpload.OnErrors


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


def a_minute_passes() -> None:
    """Let the claims of whoever is gone run out."""
    work.release_expired(UPLOADS)
