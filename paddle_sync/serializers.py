"""The envelope of a Paddle notification: what our own columns need of it, strictly, and nothing of Paddle's schema."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rest_framework import serializers

from integration_project.vendors import reading
from integration_project.webhooks import refuse
from paddle_sync.intake import Envelope

TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII)
"""RFC 3339; Paddle writes up to nine fractional digits."""
SUBSCRIPTION_ID = {"subscription": "id", "transaction": "subscription_id", "adjustment": "subscription_id"}
"""Entity of an event -> the field of its data that names the subscription."""
CUSTOMER_ID = {
    "customer": "id",
    "subscription": "customer_id",
    "transaction": "customer_id",
    "address": "customer_id",
    "business": "customer_id",
    "adjustment": "customer_id",
    "payment_method": "customer_id",
}
LONGEST_ID = 64
NEEDS_ID = frozenset({"subscription", "transaction", "customer", "address", "business", "adjustment"})


class StrictText(serializers.CharField):
    """A text as it stands: a number is not taken for one, and no blank is trimmed."""

    default_error_messages = {"invalid": "is not a text.", "required": "is missing.", "null": "is missing."}

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        """Take texts only."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Moment(serializers.Field[datetime, Any, str, Any]):
    """A moment with its zone, which may lie in the future."""

    default_error_messages = {"invalid": "is not a time with a zone.", "required": "is missing.", "null": "is missing."}

    def to_internal_value(self, data: Any) -> datetime:
        """Read it in UTC; what is finer than a microsecond is cut off."""
        if not isinstance(data, str) or not TIME.fullmatch(data):
            self.fail("invalid")
        try:
            return reading.in_utc(data.upper())
        except reading.Unreadable:
            self.fail("invalid")

    def to_representation(self, value: datetime) -> str:
        """Write it as Paddle does."""
        return value.isoformat()


class JsonObject(serializers.Field[dict[str, Any], Any, dict[str, Any], Any]):
    """An object, taken as it is."""

    default_error_messages = {"invalid": "is not an object.", "required": "is missing.", "null": "is missing."}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Take objects only."""
        if not isinstance(data, dict):
            self.fail("invalid")
        return data

    def to_representation(self, value: dict[str, Any]) -> dict[str, Any]:
        """Give it back as it is."""
        return value


class NotificationSerializer(serializers.Serializer[Any]):
    """The five fields around the entity. `notification_id` is absent where an event comes from a list or a replay."""

    event_id = StrictText(max_length=100)
    event_type = StrictText(max_length=100)
    occurred_at = Moment()
    notification_id = StrictText(max_length=100, required=False, allow_blank=True, allow_null=True)
    data = JsonObject()  # type: ignore[assignment]  # a field may be called data; the class's property is not used


ENVELOPE = NotificationSerializer()
"""One for all requests: checking keeps nothing in it, and copying its fields each time costs more than the check."""


def read_notification(notification: Mapping[str, Any]) -> Envelope:
    """Check a notification and take out what the event's row needs; ValidationError names the field that is wrong."""
    checked = ENVELOPE.run_validation(notification)
    entity = checked["event_type"].partition(".")[0]
    data = checked["data"]
    subscription_id = _id(data, SUBSCRIPTION_ID[entity]) if entity in SUBSCRIPTION_ID else ""
    subject_id = _id(data, "id", needed=True) if entity in NEEDS_ID else _id_if_any(data)
    return Envelope(
        event_id=checked["event_id"],
        event_type=checked["event_type"],
        occurred_at=checked["occurred_at"],
        notification_id=checked.get("notification_id") or "",
        paddle_subscription_id=subscription_id,
        paddle_customer_id=_id(data, CUSTOMER_ID[entity]) if entity in CUSTOMER_ID else "",
        subject_id=subject_id,
        serial_key=subscription_id,
    )


def _id(data: Mapping[str, Any], field: str, *, needed: bool = False) -> str:
    """The id under a field of an entity that we know; "" when there is none and none is needed."""
    value = data.get(field)
    if value is None and not needed:
        return ""
    if value is None or value == "":
        refuse(f"data.{field}", "is missing")
    if not isinstance(value, str):
        refuse(f"data.{field}", "is not a text")
    if len(value) > LONGEST_ID:
        refuse(f"data.{field}", f"has more than {LONGEST_ID} characters")
    return value


def _id_if_any(data: Mapping[str, Any]) -> str:
    """The id of an entity that we know nothing about: stored whatever it looks like."""
    value = data.get("id")
    return value if isinstance(value, str) and len(value) <= LONGEST_ID else ""
