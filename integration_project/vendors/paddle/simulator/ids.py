"""Paddle's ids: a prefix and a ULID in lower case, whose first ten characters are milliseconds."""

import random
from collections.abc import Callable
from datetime import datetime

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
RANDOM_BITS = 80


def encode_ulid(milliseconds: int, randomness: int) -> str:
    """Write a ULID in lower case."""
    number = (milliseconds << RANDOM_BITS) | randomness
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


class Ids:
    """Makes ids that always rise, also when the business clock stands still or is put back."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._last = (0, 0)

    def new(self, prefix: str) -> str:
        """A new id with this prefix."""
        milliseconds = int(self._now().timestamp() * 1000)
        if milliseconds <= self._last[0]:
            milliseconds, randomness = self._last[0], self._last[1] + 1
        else:
            randomness = random.getrandbits(
                RANDOM_BITS - 1
            )  # the top bit stays free, so that counting on never overflows
        self._last = (milliseconds, randomness)
        return f"{prefix}_{encode_ulid(milliseconds, randomness)}"
