"""Ids of Paddle's events, which tell the time: a prefix and a ULID, whose first ten characters are milliseconds."""

from datetime import datetime

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
TIME_CHARACTERS, OTHER_CHARACTERS = 10, 16


def first_at(moment: datetime) -> str:
    """The least id an event of that moment can have: all later events come after it in Paddle's order.

    A guess: that Paddle lists after an id which none of its events has, as cursors by value do.
    """
    milliseconds = int(moment.timestamp() * 1000)
    shifts = range(5 * (TIME_CHARACTERS - 1), -1, -5)
    return f"evt_{''.join(ALPHABET[(milliseconds >> shift) & 31] for shift in shifts)}{ALPHABET[0] * OTHER_CHARACTERS}"
