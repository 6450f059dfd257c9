"""How values are written for Paddle."""

from datetime import UTC, datetime


def moment(value: datetime) -> str:
    """Write a moment as Paddle wants it: UTC with a Z, in microseconds."""
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
