"""Loaded by pytest before anything else: the mode, a database of this run's own, and which tests take part.

pytest-django reads the settings before any conftest.py is imported, so this is a plug-in (`-p tests.environment`).
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent / "benchmarks"
DATABASE_FIXTURES = frozenset(
    {"db", "transactional_db", "django_db_setup", "live_server", "admin_client", "admin_user"}
)

os.environ["INTEGRATION_MODE"] = "test"
if not os.environ.get("TEST_DATABASE_URL"):
    # A folder per run: two runs side by side must not meet in one file. Workers of xdist inherit the address.
    _folder = tempfile.mkdtemp(prefix="integration-suite-")
    atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    os.environ["TEST_DATABASE_URL"] = f"sqlite:///{_folder}/suite.sqlite3"


def on_postgresql() -> bool:
    """Say whether this run's database is a PostgreSQL."""
    return os.environ["TEST_DATABASE_URL"].startswith(("postgres", "pgsql"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch for the second run of the suite."""
    parser.addoption(
        "--database-tests-only",
        action="store_true",
        help="Leave out tests that never touch the database; the suite's run on PostgreSQL uses it.",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Keep benchmarks out of a run that does not name them."""
    if collection_path != BENCHMARKS or any("benchmarks" in argument for argument in config.args):
        return None
    return True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs PostgreSQL where there is none; leave out what this run is not for."""
    if not on_postgresql():
        missing = pytest.mark.skip(reason="needs PostgreSQL, and this run is on SQLite")
        for item in items:
            if item.get_closest_marker("postgres"):
                item.add_marker(missing)
    kept = [item for item in items if _takes_part(item, config)]
    _leave_out(config, items, kept)


def _takes_part(item: pytest.Item, config: pytest.Config) -> bool:
    """Chaos runs only when asked for by name; the second run takes only what touches the database."""
    if item.get_closest_marker("chaos") and "chaos" not in config.option.markexpr:
        return False
    return not config.option.database_tests_only or _touches_the_database(item)


def _touches_the_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("django_db") or item.get_closest_marker("postgres"):
        return True
    return bool(DATABASE_FIXTURES.intersection(getattr(item, "fixturenames", ())))


def _leave_out(config: pytest.Config, items: list[pytest.Item], kept: Iterable[pytest.Item]) -> None:
    kept = list(kept)
    if len(kept) < len(items):
        staying = set(kept)
        config.hook.pytest_deselected(items=[item for item in items if item not in staying])
        items[:] = kept
