"""How values are written for m3ter."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

CustomFields = Mapping[str, str | int | Decimal]


def moment(value: datetime) -> str:
    """Write a moment as m3ter wants it: UTC with a Z, in milliseconds."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def fitting(text: str, longest: int) -> str:
    """Cut a text to what m3ter takes. A guess: it counts as Java does, where an emoji counts twice."""
    return text.encode("utf-16-le")[: 2 * longest].decode("utf-16-le", errors="ignore").rstrip()


def given(**values: Any) -> dict[str, Any]:
    """The fields that have a value; m3ter takes an absent field and a null one for different things."""
    return {name: value for name, value in values.items() if value is not None}
