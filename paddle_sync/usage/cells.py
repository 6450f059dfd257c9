"""A cell's text -> an exact number or a moment in UTC; refused with the right spelling where it could mean two things.

Pure. Each runs for every cell of a file, so what is usual is decided first and what is wrong is explained last.
"""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from paddle_sync.usage.rows import Problem

MOST_DIGITS = 30
LARGEST_EXPONENT = 30
"""Numbers whose first digit stands further from the point are out of all proportion, and costly to write out."""
LONGEST_NUMBER = 64
YEARS = range(2000, 2100)
"""No usage was metered before, and a year far ahead is a slip of the keyboard."""

_WHOLE_DIGITS = 18
_TOO_MANY: int = 10**MOST_DIGITS
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_GAPS = re.compile(r"[\s'’_\u00a0\u202f\u2009]")
_INFINITE = re.compile(r"[+-]?(?:nan|inf|infinity|∞|#n/a|#num!|#div/0!|#value!)", re.IGNORECASE)
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]{1,9})?)?"
    r"(?:Z| ?[+-][0-9]{2}:?[0-9]{2})"
)
_WITHOUT_ZONE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2}(?:[.,][0-9]{1,9})?)?)?")
_LEAP_SECOND = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:60")
_EPOCH = re.compile(r"([0-9]{9,10})(?:\.[0-9]+|[0-9]{3}|[0-9]{6}|[0-9]{9})?")
_AS_A_MOMENT = "Write it as 2026-02-03T10:15:00Z, with a zone."


def number(text: str, column: str = "") -> int | Decimal | Problem:
    """Read a number in plain digits, a point before decimals, an exponent if need be; spaces around it do not count.

    Whole numbers are int, others Decimal with the digits as they stand. What only a person can tell apart, such as
    1,000, is a problem, as is what is longer than 30 digits or further than 30 places from the point.
    """
    if text.isdigit() and text.isascii() and len(text) <= _WHOLE_DIGITS:
        return int(text)
    text = text.strip()
    exact = exactly(text)
    return _no_number(text, column) if exact is None else exact


def exactly(text: str) -> int | Decimal | None:
    """Read a number as CSV and JSON write one; None where it is none, or is out of bounds, whatever its exponent."""
    if len(text) > LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    exact = Decimal(text)
    # So short a text without an exponent is within every bound.
    if (len(text) > MOST_DIGITS or "e" in text or "E" in text) and not is_in_proportion(exact):
        return None
    return int(text) if _WHOLE.fullmatch(text) else exact


def is_in_proportion(number: int | Decimal) -> bool:
    """Whether a finite number has so few digits, so near the point, that anything can be written down of it."""
    if isinstance(number, int):
        return -_TOO_MANY < number < _TOO_MANY
    return bool(len(number.as_tuple().digits) <= MOST_DIGITS and abs(number.adjusted()) <= LARGEST_EXPONENT)


def moment(text: str, column: str = "") -> datetime | Problem:
    """Read a moment of ISO 8601 with its zone, in UTC; spaces around it do not count.

    A space may stand for the T and seconds may be left out; what is finer than a microsecond is cut off. Moments
    without a zone, counts of seconds since 1970 and the dates of any one country are problems, each with its remedy.
    """
    text = text.strip()
    if _MOMENT.fullmatch(text):
        try:
            named = datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-"))
            if named.tzinfo is not UTC:
                named = named.astimezone(UTC)
        except (ValueError, OverflowError):
            return Problem(column, f"{text} is no date of the calendar, or no zone.", _AS_A_MOMENT)
        if named.year in YEARS:
            return named
        return Problem(column, f"{text} is too far from now.", "Check the year.")
    return _no_moment(text, column)


def _no_number(text: str, column: str) -> Problem:
    shown = _shown(text)
    if not text:
        return Problem(column, "There is no number.", "Write one, such as 1.5, or leave the cell out.")
    if _INFINITE.fullmatch(text):
        return Problem(column, f"{shown} is no finite number.", "Write a number, or leave the cell empty.")
    if len(text) > LONGEST_NUMBER or _NUMBER.fullmatch(text):
        most = f"at most {MOST_DIGITS} digits, and at most {LARGEST_EXPONENT} places from the point"
        return Problem(column, f"{shown} has too many digits, or too large an exponent.", f"Write {most}.")
    return Problem(column, f"{shown} is not a number in plain digits.", _right_spelling(text))


def _right_spelling(text: str) -> str:
    """Say how the number is written that a person probably meant; both ways where it may be one of two."""
    plain = "".join(str(unicodedata.decimal(sign, sign)) for sign in _GAPS.sub("", text)).replace("−", "-")
    points, commas = plain.count("."), plain.count(",")
    if points and commas:
        thousands, decimals = (",", ".") if plain.rfind(".") > plain.rfind(",") else (".", ",")
        plain = plain.replace(thousands, "").replace(decimals, ".")
    elif commas > 1 or points > 1:
        plain = plain.replace(",", "").replace(".", "")
    elif commas == 1:
        whole, _, decimals = plain.partition(",")
        both = (f"{whole}{decimals}", f"{whole}.{decimals}")
        if len(decimals) == 3 and whole.lstrip("+-0") and all(map(_NUMBER.fullmatch, both)):
            return f"Write {both[0]} or {both[1]}, whichever is meant: no comma, and a point before decimals."
        plain = both[1]
    if _NUMBER.fullmatch(plain):
        return f"Write {plain}: digits 0 to 9, a point before decimals, nothing between thousands."
    return "Write digits alone, such as 1234.5: no words, units, signs of currency or other bases."


def _no_moment(text: str, column: str) -> Problem:
    shown = _shown(text)
    if not text:
        return Problem(column, "There is no time.", _AS_A_MOMENT)
    if _LEAP_SECOND.match(text):
        return Problem(column, f"{shown} has a second 60.", "Write second 59, or 00 of the next minute.")
    if found := _WITHOUT_ZONE.fullmatch(text):
        day, minute, second = found.groups()
        full = f"{day}T{minute or '00:00'}{second or ':00'}".replace(",", ".")
        remedy = f"Write {full}Z if it is UTC, or {full}+02:00 with the offset that holds there."
        return Problem(column, f"{shown} does not say in which zone.", remedy)
    if (found := _EPOCH.fullmatch(text)) and text.isascii():
        spelled = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(found[1]))
        remedy = f"Write {spelled:%Y-%m-%dT%H:%M:%SZ} if these are seconds since 1970, or parts of them."
        return Problem(column, f"{shown} is a count, not a time.", remedy)
    return Problem(column, f"{shown} is not a time of ISO 8601.", _AS_A_MOMENT)


def _shown(text: str) -> str:
    """Give a text between quotation marks, its middle left out where it is long."""
    return f'"{text}"' if len(text) <= 40 else f'"{text[:30]}…{text[-8:]}"'
