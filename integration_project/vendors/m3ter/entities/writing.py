"""How values are written for m3ter."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from integration_project.vendors.reading import Json

CustomFields = Mapping[str, str | int | Decimal]
ANSWER_ONLY = frozenset({"id", "dtCreated", "dtLastModified", "createdBy", "lastModifiedBy", "productId"})
"""Fields of accounts and account plans that m3ter sets; they are not sent back."""


def moment(value: datetime) -> str:
    """Write a moment as m3ter wants it: UTC with a Z, in milliseconds."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def given(**values: Any) -> dict[str, Any]:
    """The fields that have a value; m3ter takes an absent field and a null one for different things."""
    return {name: value for name, value in values.items() if value is not None}


def rewritten(
    raw: Json,
    changes: Mapping[str, Any],
    custom_fields: CustomFields | None = None,
    *,
    without: Collection[str] = (),
) -> dict[str, Any]:
    """A whole entity with changes, as a PUT wants it; what it left out, custom fields too, would be deleted."""
    left_out = ANSWER_ONLY.union(without)
    kept = {name: value for name, value in raw.items() if name not in left_out and value is not None}
    fields = {**(raw.get("customFields") or {}), **(custom_fields or {})}
    return {**kept, **changes, **({"customFields": fields} if fields else {})}
