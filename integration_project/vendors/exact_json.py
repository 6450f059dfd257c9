"""JSON without floats: numbers are int or Decimal on the way in, and written digit for digit on the way out."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from integration_project.vendors.reading import Unreadable

_SUSPICIOUS = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")


def decode(body: bytes) -> Any:
    """Parse UTF-8 JSON; integers stay int, other numbers become Decimal.

    What only one entry of a list may have wrong is left to whoever reads that entry: NaN and Infinity become texts,
    which no reader takes for a number, and characters that no database keeps become U+FFFD.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_float=Decimal, parse_constant=str)
    except (ValueError, RecursionError, ArithmeticError):
        raise Unreadable("it is not JSON") from None
    return _keepable(value) if _SUSPICIOUS.search(body) else value


def _keepable(value: Any) -> Any:
    match value:
        case str():
            return _UNKEEPABLE.sub("\ufffd", value)
        case dict():
            return {_keepable(key): _keepable(part) for key, part in value.items()}
        case list():
            return [_keepable(part) for part in value]
        case _:
            return value


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
