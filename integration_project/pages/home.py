"""The console's first page: what needs attention, what flowed today, whether everything answers."""

from typing import Any


def sections(user: Any) -> list[Any]:
    return []
