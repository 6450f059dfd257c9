"""A program: `manage.py worker` with one queue, named by its argument, instead of the real ones, and no schedule."""

import sys

import django
from django.core.management import call_command


def main() -> None:
    """Run it until it is told to stop."""
    django.setup()
    from integration_project import queues, scheduling

    queues.QUEUES = (sys.argv[1],)
    scheduling.SCHEDULES = ()  # type: ignore[attr-defined]
    call_command("worker")


if __name__ == "__main__":
    main()
