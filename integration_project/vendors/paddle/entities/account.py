"""What the Paddle account as a whole has to tell: events and webhook destinations."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from integration_project.vendors import reading
from integration_project.vendors.reading import Json


@dataclass(frozen=True)
class Event:
    """A fact as the event list tells it; the same envelope as a notification's, without a notification id."""

    event_id: str
    event_type: str
    occurred_at: datetime
    data: Json = field(repr=False)
    raw: Json = field(repr=False)

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read an event."""
        return cls(
            event_id=reading.identifier(data, "event_id"),
            event_type=reading.text(data, "event_type"),
            occurred_at=reading.moment(data, "occurred_at"),
            data=reading.mapping(data.get("data"), "data"),
            raw=data,
        )


@dataclass(frozen=True)
class NotificationSetting:
    """A webhook destination at Paddle. Its secret is in the answer too, and is left there."""

    id: str
    description: str
    type: str
    destination: str
    active: bool
    traffic_source: str | None
    subscribed_events: tuple[str, ...]

    @classmethod
    def from_paddle(cls, data: Json) -> Self:
        """Read a notification setting."""
        return cls(
            id=reading.identifier(data),
            description=reading.text(data, "description"),
            type=reading.text(data, "type"),
            destination=reading.text(data, "destination"),
            active=reading.flag(data, "active", default=True),
            traffic_source=reading.optional_text(data, "traffic_source"),
            subscribed_events=tuple(
                reading.text(event, "name") for event in reading.entries(data, "subscribed_events")
            ),
        )
