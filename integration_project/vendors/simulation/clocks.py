"""The two clocks of a simulator: transport time is always real, business time can be set and moved."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def real_now() -> datetime:
    """The machine's time. Signatures, retries, rate limits and tokens run on it and on nothing else."""
    return datetime.fromtimestamp(time.time(), UTC)


def rfc3339(moment: datetime) -> str:
    """The moment as both vendors write it: UTC with a Z; whole seconds carry no fraction."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_time(text: str | datetime) -> datetime:
    """Read an RFC 3339 moment; nine fractional digits are cut to six. A moment without a zone is refused."""
    moment = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return moment.astimezone(UTC)


class BusinessClock:
    """Business time of one simulator: may start in the past, and ticks on with real time from wherever it was put."""

    def __init__(self, start: datetime | None = None, *, real: Callable[[], datetime] = real_now) -> None:
        self._real = real
        self._offset = timedelta(0)
        if start is not None:
            self.set(start)

    def now(self) -> datetime:
        """The time it is for the simulated vendor."""
        return self._real() + self._offset

    def set(self, moment: datetime) -> None:
        """Put the clock to this moment; it ticks on from there."""
        self._offset = moment - self._real()

    def move(self, by: timedelta) -> None:
        """Move the clock on, or back when negative."""
        self._offset += by
