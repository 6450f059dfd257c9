"""What a notice of m3ter's is about: the bill it names, if any. Nothing else of it is believed."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from integration_project import clock
from integration_project.vendors import reading
from integration_project.webhooks import refuse
from paddle_sync.intake import Envelope

NOTICE = "notice"
"""Type of a notice that does not say what it is."""
LONGEST_ID = 64
LONGEST_NAME = 100


def read_notice(notice: Mapping[str, Any], text: str) -> Envelope:
    """Check what our columns need of a notice; ValidationError names the field that is wrong."""
    name = _text(notice, "eventName", longest=LONGEST_NAME) or NOTICE
    bill_id = _bill_id(notice) if name == NOTICE or name.startswith("billing.bill.") else ""
    return Envelope(
        event_id=_text(notice, "id", longest=LONGEST_NAME) or f"body:{hashlib.sha256(text.encode()).hexdigest()}",
        event_type=name,
        occurred_at=_moment(notice, "eventTime"),
        subject_id=bill_id,
        serial_key=f"bill:{bill_id}" if bill_id else "",
    )


def _text(holder: Mapping[str, Any], field: str, *, longest: int, path: str = "") -> str:
    value = holder.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        refuse(f"{path}{field}", "is not a text")
    if len(value) > longest:
        refuse(f"{path}{field}", f"has more than {longest} characters")
    return value


def _moment(notice: Mapping[str, Any], field: str) -> datetime:
    if notice.get(field) is None:
        return clock.now()
    try:
        return reading.moment(notice, field)
    except reading.Unreadable:
        refuse(field, "is not a time with a zone")


def _bill_id(notice: Mapping[str, Any]) -> str:
    """The id of the bill as it is now, or as it was where it is gone."""
    data = _object(_object(notice, "m3terEvent"), "eventData", path="m3terEvent.")
    path = "m3terEvent.eventData."
    for name in ("newDto", "oldDto"):
        bill_id = _text(_object(data, name, path=path), "id", longest=LONGEST_ID, path=f"{path}{name}.")
        if bill_id:
            return bill_id
    return ""


def _object(holder: Mapping[str, Any], field: str, *, path: str = "") -> Mapping[str, Any]:
    value = holder.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        refuse(f"{path}{field}", "is not an object")
    return value
