"""Which tasks wait in django-q2's table for a worker of any host. Only a few ever do."""

from typing import Any

from django_q.models import OrmQ

from integration_project import clock


def waits(function: str, *arguments: Any) -> bool:
    """Say whether a call of the function that begins with these arguments waits, and nobody has fetched it yet.

    A task's lock lies in the future from when it is fetched. What cannot be read is nobody's task.
    """
    tasks = [row.task for row in OrmQ.objects.filter(lock__lte=clock.now())]
    return any(
        task.get("func") == function and tuple(task.get("args") or ())[: len(arguments)] == arguments for task in tasks
    )
