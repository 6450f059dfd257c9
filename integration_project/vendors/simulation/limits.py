"""A vendor's rate limit, counted as strictly as the vendor may count it."""

import math
from collections import defaultdict, deque
from datetime import datetime, timedelta


class RateLimit:
    """At most `limit` requests of one caller in any window of `seconds`; excess blocks the caller for `block` seconds.

    `limit` may be set to None to switch it off (benchmarks of our own speed).
    """

    def __init__(self, *, limit: int | None, seconds: float, block: float = 0.0) -> None:
        self.limit = limit
        self.seconds = seconds
        self.block = block
        self._seen: dict[str, deque[datetime]] = defaultdict(deque)
        self._blocked_until: dict[str, datetime] = {}

    def hit(self, caller: str, now: datetime) -> int | None:
        """Count one request; None when it may pass, else the whole seconds to wait."""
        if self.limit is None:
            return None
        until = self._blocked_until.get(caller)
        if until is not None and now < until:
            return max(1, math.ceil((until - now).total_seconds()))
        seen = self._seen[caller]
        while seen and seen[0] <= now - timedelta(seconds=self.seconds):
            seen.popleft()
        if len(seen) < self.limit:
            seen.append(now)
            return None
        wait = self.block or (seen[0] + timedelta(seconds=self.seconds) - now).total_seconds()
        if self.block:
            self._blocked_until[caller] = now + timedelta(seconds=self.block)
        return max(1, math.ceil(wait))

    def forget(self) -> None:
        """Start counting anew."""
        self._seen.clear()
        self._blocked_until.clear()
