"""`worker` and `serve`: what they refuse before anything runs, and that only one process migrates at a time."""

import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from integration_project import migrating


@pytest.fixture
def behind(db: None) -> None:
    """Let the database lack the last migration of an app."""
    last = MigrationRecorder.Migration.objects.filter(app="billing_bridge").order_by("-name").first()
    assert last is not None
    last.delete()


@pytest.mark.usefixtures("behind")
@pytest.mark.parametrize("command", [["worker"], ["serve", "--no-migrate", "--no-static"]])
def test_neither_starts_on_a_database_that_lacks_migrations(command: list[str]) -> None:
    with pytest.raises(CommandError, match="1 migrations are missing in the database"):
        call_command(*command)


@pytest.mark.usefixtures("behind")
def test_what_lacks_migrations_is_not_ready(client: Client) -> None:
    answer = client.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json()["checks"]["migrations"] == {"ok": False, "detail": "1 are missing: run manage.py migrate"}


@pytest.mark.parametrize("command", ["worker", "serve"])
def test_each_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        call_command(command, "--help")

    assert "SIGTERM or Ctrl-C" in capsys.readouterr().out


@pytest.mark.django_db(transaction=True)
def test_only_one_process_migrates_at_a_time() -> None:
    entered, left = threading.Event(), threading.Event()
    order: list[str] = []

    def second() -> None:
        entered.wait(10)
        with migrating._alone():
            order.append("second")
        connection.close()
        left.set()

    thread = threading.Thread(target=second)
    thread.start()
    with migrating._alone():
        entered.set()
        assert not left.wait(0.3)
        order.append("first")
    thread.join(10)

    assert order == ["first", "second"]
