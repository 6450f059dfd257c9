"""The ground the tests stand on: no network, the prescribed driver, and a database that is found or plainly missing."""

import socket

import pytest
from django.conf import settings
from django.db import connection
from pytest_socket import SocketConnectBlockedError

from tests import postgresql


def test_the_settings_are_those_of_the_tests() -> None:
    assert settings.MODE == "test"


def test_no_test_reaches_beyond_this_machine() -> None:
    with pytest.warns(UserWarning, match="socket.connect"), pytest.raises(SocketConnectBlockedError):
        socket.create_connection(("192.0.2.1", 443), timeout=1)


@pytest.mark.postgres
@pytest.mark.django_db
def test_postgresql_is_spoken_to_through_psycopg_2() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        (version,) = cursor.fetchone() or ("0",)

    assert type(connection.connection).__module__.startswith("psycopg2")
    assert int(version) >= 140_000


@pytest.mark.django_db
def test_sqlite_is_a_file_in_wal_mode_that_takes_its_lock_at_once() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("this run is on PostgreSQL")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        mode = cursor.fetchone()

    assert mode == ("wal",)
    assert connection.settings_dict["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_a_named_postgresql_is_taken_and_its_password_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", "postgres://tester:hidden@db.example:5433/suite")

    with postgresql.a_postgresql() as found:
        assert found.url == "postgres://tester:hidden@db.example:5433/suite"
        assert found.words == "PostgreSQL: the one that TEST_DATABASE_URL names (postgres://db.example:5433/suite)"


def test_a_named_database_of_another_kind_leaves_postgresql_out_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", "sqlite:///somewhere.sqlite3")

    with postgresql.a_postgresql() as found:
        assert found.url is None
        assert found.words == "PostgreSQL: skipped, because TEST_DATABASE_URL names a database of another kind (sqlite)"


def test_a_private_postgresql_is_not_started_as_root_outside_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setattr("os.geteuid", lambda: 0)

    with postgresql.a_postgresql() as found:
        assert found.url is None
        assert found.words.startswith("PostgreSQL: skipped; none answers on this machine, and as root")
