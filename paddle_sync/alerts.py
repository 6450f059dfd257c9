"""Paddle Classic's alerts as they come: what an event's row needs of one, strictly, and nothing else."""

from collections.abc import Mapping
from datetime import datetime

from integration_project.vendors.paddle_classic import signature
from integration_project.vendors.paddle_classic.entities import SentAlert, in_utc, written
from integration_project.vendors.reading import Unreadable
from paddle_sync.intake import Envelope

ABOUT_SUBSCRIPTIONS = "subscription_"
PAYMENT_ID = "subscription_payment_id"
LONGEST_NAME = 100
LONGEST_ID = 64


class BadAlert(ValueError):
    """A field of an alert is missing or is not what every alert has there; the text says what is wrong with it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field


def envelope_of(fields: Mapping[str, str]) -> Envelope:
    """Take out what the event's row needs; BadAlert names the field that is wrong. Any name of an alert is taken."""
    name = _text(fields, "alert_name")
    is_known = name.startswith(ABOUT_SUBSCRIPTIONS)
    subscription_id = _number(fields, "subscription_id", needed=is_known)
    return Envelope(
        event_id=_text(fields, "alert_id"),
        event_type=name,
        occurred_at=_moment(fields),
        paddle_subscription_id=subscription_id,
        paddle_customer_id=_number(fields, "user_id", needed=False) if is_known else "",
        subject_id=(_number(fields, PAYMENT_ID, needed=False) if is_known else "") or subscription_id,
        serial_key=subscription_id,
    )


def from_history(alert: SentAlert) -> tuple[Envelope, str]:
    """An alert that never arrived, as if it had: its envelope, and its body without the signature."""
    about = {"alert_id": alert.id, "alert_name": alert.name, "event_time": written(alert.created_at)}
    fields = {**about, **alert.fields}
    return envelope_of(fields), signature.encoded(fields).decode("ascii")


def _text(fields: Mapping[str, str], field: str) -> str:
    value = fields.get(field, "")
    if not value:
        raise BadAlert(field, "is missing")
    if len(value) > LONGEST_NAME:
        raise BadAlert(field, f"has more than {LONGEST_NAME} characters")
    return value


def _moment(fields: Mapping[str, str]) -> datetime:
    try:
        return in_utc(_text(fields, "event_time"))
    except Unreadable as problem:
        raise BadAlert("event_time", str(problem)) from None


def _number(fields: Mapping[str, str], field: str, *, needed: bool) -> str:
    """An id, which is all digits in Classic; "" when there is none and none is needed."""
    value = fields.get(field, "")
    if not value and not needed:
        return ""
    if not value:
        raise BadAlert(field, "is missing")
    if not value.isascii() or not value.isdigit():
        raise BadAlert(field, "is not a number")
    if len(value) > LONGEST_ID:
        raise BadAlert(field, f"has more than {LONGEST_ID} characters")
    return value
