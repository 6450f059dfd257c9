"""django-q2's table of tasks, first come first served: else PostgreSQL may give newer rows first."""

from typing import Any

from django_q.brokers.orm import ORM


class InOrder(ORM):
    """Fetches the oldest task first, so that none is overtaken for ever by what comes after it."""

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        """Give the tasks, oldest first."""
        return ORM.get_connection(list_key).order_by("pk")
