#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys

# They touch nothing of a real installation: neither .env nor DATABASE_URL nor an address beyond this machine.
DEMO_COMMANDS = {"demo", "run_simulators"}


def main() -> None:
    """Choose the settings and the mode, then hand over to Django; what an operator can mend is said in a sentence."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_project.settings")
    if len(sys.argv) > 1 and sys.argv[1] in DEMO_COMMANDS:
        os.environ["INTEGRATION_MODE"] = "demo"
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
        from django.db import OperationalError
    except ImportError:
        sys.exit("Django is not installed for this Python: run `make env`, then use .venv/bin/python manage.py.")
    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, OperationalError) as error:
        if "--traceback" in sys.argv:
            raise
        what = "The settings are wrong" if isinstance(error, ImproperlyConfigured) else "The database does not answer"
        sys.exit(f"{what}: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
