"""Strict reading of request bodies: types, lengths, patterns, required and unknown fields. Pure.

A check takes a value and gives it back as it is stored, or raises `Invalid` with words for the caller.
"""

import copy
import re
import uuid
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

Check = Callable[[str, Any], Any]
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
CODE = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]+(?: +[^\s\x00-\x1f\x7f-\x9f]+)*")
"""Words of visible characters with spaces between them."""


class Invalid(ValueError):
    """A field that m3ter would refuse; the text is the message of the answer."""


@dataclass(frozen=True)
class Field:
    """One field of a request."""

    check: Check
    required: bool = False
    default: Any = None


Fields = Mapping[str, Field]


def read(fields: Fields, body: Any, *, where: str = "", refuse_unknown: bool = True) -> dict[str, Any]:
    """The body's known fields, checked; null counts as absent."""
    if not isinstance(body, dict):
        raise Invalid(f"{where or 'The request body'} must be a JSON object")
    if refuse_unknown and not body.keys() <= fields.keys():
        raise Invalid(f"Unrecognized field '{where}{min(body.keys() - fields.keys())}'")
    values = {}
    for name, field in fields.items():
        value = body.get(name)
        if value is None:
            if field.required:
                raise Invalid(f"{where}{name} is required")
            if field.default is not None:
                values[name] = copy.deepcopy(field.default)
            continue
        values[name] = field.check(f"{where}{name}", value)
    return values


def text(shortest: int = 0, longest: int | None = None) -> Check:
    """A string of a length."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise Invalid(f"{name} must be a string")
        if len(value) < shortest or (longest is not None and len(value) > longest):
            raise Invalid(f"{name} must have between {shortest} and {longest} characters")
        return value

    return check


def code(longest: int | None = 80, shortest: int = 1) -> Check:
    """A code: no control characters, no white space except inner spaces."""
    lengths = text(shortest, longest)

    def check(name: str, value: Any) -> str:
        checked: str = lengths(name, value)
        if CODE.fullmatch(checked) is None:
            raise Invalid(f"{name} must match the pattern of a code")
        return checked

    return check


def identifier(longest: int = 80, shortest: int = 1) -> Check:
    """The code of a field or aggregation: letters, digits, _ and $, not starting with a digit."""
    lengths = text(shortest, longest)

    def check(name: str, value: Any) -> str:
        checked: str = lengths(name, value)
        allowed = all(letter.isalpha() or letter in "_$0123456789" for letter in checked)
        if not allowed or checked[0] in "0123456789":
            raise Invalid(f"{name} must match the pattern of a field code")
        return checked

    return check


def word(name: str, value: Any) -> str:
    """Letters, digits, _ and -."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-zA-Z0-9_-]+", value):
        raise Invalid(f"{name} must be letters, digits, _ or -")
    return value


def uuid_text(name: str, value: Any) -> str:
    """A UUID of 36 characters."""
    try:
        if isinstance(value, str) and len(value) == 36:
            return str(uuid.UUID(value))
    except ValueError:
        pass
    raise Invalid(f"{name} must be a UUID")


def email(name: str, value: Any) -> str:
    """An e-mail address."""
    if not isinstance(value, str) or not EMAIL.fullmatch(value):
        raise Invalid(f"{name} must be a well-formed email address")
    return value


def day(name: str, value: Any) -> str:
    """A date as YYYY-MM-DD."""
    try:
        if isinstance(value, str) and DAY.fullmatch(value):
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    raise Invalid(f"{name} must be a date as YYYY-MM-DD")


def moment_of(value: str) -> datetime:
    """A stored or sent date-time as a moment in UTC."""
    return datetime.fromisoformat(value).astimezone(UTC)


def stamp(moment: datetime) -> str:
    """A moment as m3ter writes it: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(name: str, value: Any) -> str:
    """An ISO 8601 date-time with a zone."""
    try:
        if isinstance(value, str) and len(value) > 10:
            parsed = datetime.fromisoformat(value)
            if parsed.tzinfo is not None:
                return stamp(parsed)
    except (ValueError, OverflowError):
        pass
    raise Invalid(f"{name} must be an ISO 8601 date-time with a zone")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def number(smallest: int | None = None) -> Check:
    """A JSON number."""

    def check(name: str, value: Any) -> Decimal:
        if not _is_number(value):
            raise Invalid(f"{name} must be a number")
        if smallest is not None and value < smallest:
            raise Invalid(f"{name} must be greater than or equal to {smallest}")
        return Decimal(value)

    return check


def integer(smallest: int | None = None, largest: int | None = None) -> Check:
    """A whole JSON number in a range."""

    def check(name: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Invalid(f"{name} must be a whole number")
        if (smallest is not None and value < smallest) or (largest is not None and value > largest):
            raise Invalid(f"{name} must be between {smallest} and {largest}")
        return value

    return check


def flag(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Invalid(f"{name} must be a boolean")
    return value


def choice(*allowed: str) -> Check:
    """One of a closed list of words."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise Invalid(f"{name} must be one of {', '.join(allowed)}")
        return value

    return check


def several(of: Check, *, fewest: int = 0, most: int | None = None) -> Check:
    """A list."""

    def check(name: str, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise Invalid(f"{name} must be a list")
        if len(value) < fewest or (most is not None and len(value) > most):
            raise Invalid(f"{name} must have between {fewest} and {most} items")
        return [of(f"{name}[{index}]", item) for index, item in enumerate(value)]

    return check


def record(fields: Fields) -> Check:
    """An object with fields of its own."""

    def check(name: str, value: Any) -> dict[str, Any]:
        return read(fields, value, where=f"{name}.")

    return check


def mapping(of: Check, *, most: int | None = None) -> Check:
    """An object from any name to values of one kind."""

    def check(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Invalid(f"{name} must be an object")
        if most is not None and len(value) > most:
            raise Invalid(f"{name} must have at most {most} entries")
        return {key: of(f"{name}.{key}", item) for key, item in value.items()}

    return check


def text_or_number(name: str, value: Any) -> Any:
    """The value of a custom field: no booleans, no nesting."""
    if isinstance(value, str) or _is_number(value):
        return value
    raise Invalid(f"{name} must be a string or a number")


def anything(name: str, value: Any) -> Any:
    """Any JSON."""
    return value


def exactly_one(values: Mapping[str, Any], names: Sequence[str]) -> str:
    """The one of these fields that was sent."""
    sent = [name for name in names if name in values]
    if len(sent) != 1:
        raise Invalid(f"Exactly one of {' and '.join(names)} is required")
    return sent[0]


def zone(name: str, value: Any) -> str:
    """A time zone of the tz database."""
    try:
        if isinstance(value, str) and value:
            return zoneinfo.ZoneInfo(value).key
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        pass
    raise Invalid(f"{name} must be a time zone")
