"""Applies migrations while no other process of any host does the same."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

LOCK = 5_307_081_162
"""Any number, as long as it stays the same: PostgreSQL's advisory locks are known by number."""


def count_missing() -> int:
    """Count the migrations of this code that the database lacks."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def require_all() -> None:
    """End a command in one sentence when the database is not ready for this code."""
    missing = count_missing()
    if missing:
        raise CommandError(f"{missing} migrations are missing in the database: run manage.py migrate first.")


def migrate_alone(*, verbosity: int = 1) -> None:
    """Apply missing migrations, after whoever is at it now."""
    with _alone():
        call_command("migrate", interactive=False, verbosity=verbosity)


@contextmanager
def _alone() -> Iterator[None]:
    if connection.vendor == "postgresql":
        with _advisory_lock():
            yield
        return
    with _file_lock(Path(str(connection.settings_dict["NAME"]) + ".migrating")):
        yield


@contextmanager
def _advisory_lock() -> Iterator[None]:
    """Hold a lock of the session: it ends with the connection, however this process ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
