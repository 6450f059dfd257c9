"""Files of usage as the console's tests need them: in any state, with markup in everything that a file can say."""

import hashlib
import itertools
import zlib
from typing import Any

from integration_project import clock
from integration_project.vendors import exact_json
from paddle_sync.models import UsageBatch, UsageFailure, UsageFilePart, UsageRejects, UsageUpload

State = UsageUpload.State
HOSTILE = "<script>alert('vendor')</script>"
COLUMNS = ["uid", "paddle_subscription_id", "meter", "ts", "values.calls", HOSTILE]
_numbers = itertools.count(1)


def make_usage_file(state: str = State.DECIDING, **changes: Any) -> UsageUpload:
    """A file of three rows: two good, one refused. Its bytes are there, and its batches, where it is sent."""
    now, number = clock.now(), next(_numbers)
    content = f'{",".join(COLUMNS)}\nu1,sub_{HOSTILE},{HOSTILE},noon,=1+1,"{HOSTILE}"\n'.encode()
    values: dict[str, Any] = {
        "name": f"march {number} {HOSTILE}.csv",
        "via": UsageUpload.Via.CONSOLE,
        "by": f"olga {HOSTILE}",
        "made_at": now,
        "state": state,
        "size": len(content),
        "sha256": hashlib.sha256(f"{number}".encode()).hexdigest(),
        "format": "csv",
        "columns": COLUMNS,
        "layout": {"version": 1, "roles": {name: name for name in COLUMNS[:5]}, "meter": "", "key": []},
        "note": f"1 of 3 rows are wrong. {HOSTILE}",
    }
    if state not in (State.RECEIVING, State.LAYOUT, State.FAILED):
        values |= {"rows": 3, "accepted": 2, "refused": 1, "reasons": {"unknown_subscription": 1}, "position": 4}
        values |= {"bytes_checked": len(content) // 2}
    if state in (State.DECIDING, State.SENDING, State.DONE):
        values |= {"rows_total": 3, "checked_at": now, "bytes_checked": len(content)}
    if state == State.PAUSED:
        values |= {"was": State.CHECKING}
    if state in (State.SENDING, State.DONE, State.DISCARDED):
        values |= {"decided_by": f"olga {HOSTILE}", "decided_at": now, "decision_reason": f"Agreed {HOSTILE}."}
    upload = UsageUpload.objects.create(**{**values, **changes})
    UsageFilePart.objects.create(upload=upload, number=0, data=zlib.compress(content))
    if upload.refused:
        make_rejected(upload)
    if state in (State.SENDING, State.DONE):
        make_usage_batch(upload, UsageBatch.State.SENT if state == State.DONE else UsageBatch.State.READY)
    return upload


def make_rejected(upload: UsageUpload, *, row: int = 4, code: str = "unknown_subscription", **changes: Any) -> None:
    """A row of it that was refused."""
    line = {
        "row": row,
        "line": row,
        "values": {"uid": "u3", "paddle_subscription_id": f"sub_{HOSTILE}", "values.calls": "=1+1", HOSTILE: HOSTILE},
        "surplus": [],
        "column": "paddle_subscription_id",
        "reason": f"nobody knows sub_{HOSTILE}.",
        "remedy": "",
        "code": code,
        **changes,
    }
    packed = zlib.compress(exact_json.encode(line))
    UsageRejects.objects.create(upload=upload, first_row=row, count=1, rows=packed)


def make_usage_batch(upload: UsageUpload, state: str, *, items: int = 2, **changes: Any) -> UsageBatch:
    """Some of its measurements, wherever they are."""
    return UsageBatch.objects.create(
        upload=upload, state=state, items=items, size=100, received_at=clock.now(), **changes
    )


def make_dropped(upload: UsageUpload) -> UsageFailure:
    """One of its measurements that m3ter dropped later."""
    return UsageFailure.objects.create(
        occurred_at=clock.now(), kind="ingest.validation.failure", state=UsageFailure.State.OPEN, upload=upload, row=2
    )
