#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys

# They touch nothing of a real installation: neither .env nor DATABASE_URL nor an address beyond this machine.
DEMO_COMMANDS = {"demo", "run_simulators"}


def main() -> None:
    """Choose the settings and the mode, then hand over to Django."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_project.settings")
    if len(sys.argv) > 1 and sys.argv[1] in DEMO_COMMANDS:
        os.environ["INTEGRATION_MODE"] = "demo"
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed for this Python: run `make env`, then use .venv/bin/python manage.py.")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
