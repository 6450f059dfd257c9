"""A program: `manage.py worker` with the queue of noop.py instead of the real ones, and no schedule."""

import django
from django.core.management import call_command


def main() -> None:
    """Run it until it is told to stop."""
    django.setup()
    from integration_project import queues, scheduling

    queues.QUEUES = ("tests.kill.noop.EVENTS",)
    scheduling.SCHEDULES = ()  # type: ignore[attr-defined]
    call_command("worker")


if __name__ == "__main__":
    main()
