"""JSON without floats: numbers are int or Decimal on the way in, and written digit for digit on the way out."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from integration_project.vendors.reading import Unreadable


def _refuse(constant: str) -> None:
    raise Unreadable(f"{constant} is no JSON number")


def decode(body: bytes) -> Any:
    """Parse UTF-8 JSON; integers stay int, other numbers become Decimal."""
    try:
        return json.loads(body.decode("utf-8"), parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError, ArithmeticError):
        raise Unreadable("it is not JSON") from None


def encode(value: object) -> bytes:
    """Write JSON; a Decimal keeps its digits and a float is refused."""
    return _written(value).encode("utf-8")


def _written(value: object) -> str:
    match value:
        case None | bool() | str():
            return json.dumps(value)
        case int():
            return str(value)
        case Decimal():
            return _digits(value)
        case Mapping():
            return "{" + ",".join(f"{json.dumps(_key(key))}:{_written(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(_written(item) for item in value) + "]"
        case _:
            raise TypeError(f"{type(value).__name__} does not go into a vendor's JSON")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError("names in JSON are texts")
    return key


def _digits(value: Decimal) -> str:
    if not value.is_finite():
        raise TypeError("an infinite number does not go into a vendor's JSON")
    return format(value, "f") if abs(value.adjusted()) < 40 else str(value)
