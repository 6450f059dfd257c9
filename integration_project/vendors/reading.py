"""Reads fields out of a vendor's JSON into typed values, and says which field could not be read and why.

Values never stand in the message: they may be personal data.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar

T = TypeVar("T")
Json = Mapping[str, Any]

LARGEST_WHOLE = 2**63 - 1
LONGEST_NUMBER = 30
LONGEST_AMOUNT = 18
YEARS = range(1900, 9999)
"""Moments in other years cannot be said in every time zone, nor moved by a day; nobody means them."""


class Unreadable(ValueError):
    """An answer, or a field of it, is not what the vendor's contract says."""


def mapping(value: object, what: str) -> dict[str, Any]:
    """The value, which must be a JSON object."""
    if not isinstance(value, dict):
        raise Unreadable(f"{what} is not an object")
    return value


def optional_mapping(data: Json, key: str) -> dict[str, Any] | None:
    """The object under the key; None when absent or null."""
    return None if data.get(key) is None else mapping(data[key], key)


def entries(data: Json, key: str) -> list[dict[str, Any]]:
    """The list of objects under the key."""
    value = data.get(key)
    if not isinstance(value, list):
        raise Unreadable(f"{key} is not a list")
    return [mapping(entry, f"an entry of {key}") for entry in value]


def optional_entries(data: Json, key: str) -> list[dict[str, Any]]:
    """The list of objects under the key; empty when absent or null."""
    return [] if data.get(key) is None else entries(data, key)


def text(data: Json, key: str) -> str:
    """The text under the key. An unknown word of an enumeration is a text like any other."""
    value = data.get(key)
    if not isinstance(value, str):
        raise Unreadable(f"{key} is not a text")
    return value


def identifier(data: Json, key: str = "id") -> str:
    """The text under the key, which must not be empty."""
    value = text(data, key)
    if not value:
        raise Unreadable(f"{key} is empty")
    return value


def optional_text(data: Json, key: str) -> str | None:
    """The text under the key; None when absent or null."""
    return None if data.get(key) is None else text(data, key)


def whole(data: Json, key: str) -> int:
    """The integer under the key."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unreadable(f"{key} is not a whole number")
    if abs(value) > LARGEST_WHOLE:
        raise Unreadable(f"{key} is too large")
    return value


def optional_whole(data: Json, key: str) -> int | None:
    """The integer under the key; None when absent or null."""
    return None if data.get(key) is None else whole(data, key)


def minor_units(data: Json, key: str) -> int:
    """An amount in the currency's lowest denomination, which Paddle writes as a text of digits."""
    value = data.get(key)
    digits = value.removeprefix("-") if isinstance(value, str) else ""
    if not digits.isascii() or not digits.isdigit() or len(digits) > LONGEST_AMOUNT:
        raise Unreadable(f"{key} is not an amount in digits")
    return int(str(value))


def optional_minor_units(data: Json, key: str) -> int | None:
    """The amount under the key; None when absent or null."""
    return None if data.get(key) is None else minor_units(data, key)


def number(data: Json, key: str) -> Decimal:
    """The JSON number under the key, exactly."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Unreadable(f"{key} is not a number")
    exact = Decimal(value)
    if exact and abs(exact.adjusted()) > LONGEST_NUMBER:
        raise Unreadable(f"{key} is out of all proportion")
    return exact


def optional_number(data: Json, key: str) -> Decimal | None:
    """The number under the key; None when absent or null."""
    return None if data.get(key) is None else number(data, key)


def flag(data: Json, key: str, *, default: bool) -> bool:
    """The truth value under the key; the default when absent or null."""
    value = data.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Unreadable(f"{key} is not true or false")
    return value


def stated(data: Json, key: str) -> bool:
    """The truth value under the key, which must be there."""
    if data.get(key) is None:
        raise Unreadable(f"{key} is missing")
    return flag(data, key, default=False)


def moment(data: Json, key: str) -> datetime:
    """The RFC 3339 moment under the key in UTC; what is finer than a microsecond is cut off."""
    value = text(data, key)
    try:
        return in_utc(value)
    except Unreadable as problem:
        raise Unreadable(f"{key} {problem}") from None


def in_utc(value: str) -> datetime:
    """The moment that a text of ISO 8601 names."""
    try:
        named = datetime.fromisoformat(value)
    except ValueError:
        raise Unreadable("is not a moment") from None
    if named.tzinfo is None:
        raise Unreadable("names no time zone")
    if named.year not in YEARS:
        raise Unreadable("is too far from now")
    return named.astimezone(UTC)


def optional_moment(data: Json, key: str) -> datetime | None:
    """The moment under the key; None when absent or null."""
    return None if data.get(key) is None else moment(data, key)


def day(data: Json, key: str) -> date:
    """The date under the key; of a date-time, its date."""
    try:
        return date.fromisoformat(text(data, key)[:10])
    except ValueError:
        raise Unreadable(f"{key} is not a date") from None


def optional_day(data: Json, key: str) -> date | None:
    """The date under the key; None when absent or null."""
    return None if data.get(key) is None else day(data, key)


def optional(data: Json, key: str, read: Callable[[Json], T]) -> T | None:
    """What `read` makes of the object under the key; None when absent or null."""
    value = optional_mapping(data, key)
    return None if value is None else read(value)
