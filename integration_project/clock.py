"""The only source of time: aware UTC, so that no module asks the machine in its own way."""

import datetime as dt


def now() -> dt.datetime:
    """Say what time it is, in UTC."""
    return dt.datetime.now(dt.UTC)
