"""What is wrong before anything runs is said in one sentence, without a secret in it, and ends the start."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from pytest_django import Settings

from integration_project import configuration, web

ROOT = Path(__file__).resolve().parents[2]
GOOD = {
    "SECRET_KEY": "a secret key that is long enough for a test of the start",
    "ALLOWED_HOSTS": "localhost",
    "PADDLE_ENVIRONMENT": "sandbox",
    "PADDLE_API_KEY": "pdl_sdbx_apikey_x",
    "M3TER_ORG_ID": "organisation",
    "M3TER_ACCESS_KEY_ID": "access",
    "M3TER_API_SECRET": "secret",
    "DATABASE_URL": "postgres://somebody:hidden-word@127.0.0.1:1/nothing",
}


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Listen on a port of this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def manage(*arguments: str, **changed: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as the service does, with these settings and no others."""
    variables = {"PATH": os.environ["PATH"], **GOOD, **changed}
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=90, check=False)


@pytest.mark.parametrize(
    ("command", "changed", "sentence"),
    [
        ("serve", {"SECRET_KEY": ""}, "The settings are wrong: SECRET_KEY is not set."),
        ("worker", {"DATABASE_URL": "garbage"}, "The settings are wrong: DATABASE_URL cannot be read"),
        ("serve", {}, "The database does not answer: "),
        ("worker", {}, "The database does not answer: "),
    ],
)
def test_what_an_operator_can_put_right_is_one_sentence_and_no_traceback(
    command: str, changed: dict[str, str], sentence: str
) -> None:
    ended = manage(command, **changed)

    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(sentence)
    assert "Traceback" not in ended.stderr
    assert "hidden-word" not in ended.stderr + ended.stdout


@pytest.mark.parametrize(
    "url",
    [
        "garbage",
        "postgres://somebody:hidden/word@host/name",
        "postgress://somebody:hidden-word@host/name",
        "mysql://somebody:hidden-word@host/name",
        "postgres://somebody:hidden-word@host",
    ],
)
def test_an_address_of_a_database_that_cannot_be_used_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL cannot be read") as refusal:
        configuration.database(url, folder=ROOT)

    assert "hidden" not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize("url", ["garbage", "smtp://somebody:hidden/word@host:25", "smtp+tls://somebody@host:hidden"])
def test_an_address_for_mail_that_cannot_be_used_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL cannot be read") as refusal:
        configuration.mail(url)

    assert "hidden" not in str(refusal.value)


def test_a_relative_sqlite_path_is_the_same_file_for_every_process() -> None:
    values = configuration.database("sqlite:///data/db.sqlite3", folder=Path("/srv/product"))

    assert values["NAME"] == "/srv/product/data/db.sqlite3"
    assert configuration.database("sqlite:////var/db.sqlite3", folder=ROOT)["NAME"] == "/var/db.sqlite3"


def test_a_database_host_that_vanished_is_noticed_and_the_address_may_say_otherwise() -> None:
    values = configuration.database("postgres://u:p@h/x?connect_timeout=3", folder=ROOT)

    assert values["OPTIONS"]["connect_timeout"] == 3
    assert values["OPTIONS"]["tcp_user_timeout"] == 30_000
    assert values["OPTIONS"]["keepalives"] == 1


def test_serve_does_not_start_where_it_would_refuse_every_request(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = []
    settings.DEBUG = False

    with pytest.raises(CommandError, match="ALLOWED_HOSTS is not set"):
        call_command("serve")


@pytest.mark.django_db(transaction=True)
def test_serve_ends_with_one_sentence_where_somebody_listens_already(
    taken_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(web, "LET_GO", 0.0)

    with pytest.raises(CommandError, match=f"Nobody can listen on 127.0.0.1:{taken_port}: address already in use"):
        call_command("serve", "--bind", f"127.0.0.1:{taken_port}", "--no-migrate", "--no-static")

    assert "Listening on" not in capsys.readouterr().out


@pytest.mark.parametrize("bind", ["8000", "localhost:http", "127.0.0.1:0", "127.0.0.1:65536", "192.0.2.1:8000"])
def test_an_address_that_nobody_can_listen_on_is_said_to_be_none(bind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LET_GO", 0.0)

    assert bind in web.why_not_listen(bind)


def test_a_free_port_is_free_for_whoever_listens_next() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])

    assert web.why_not_listen(f"127.0.0.1:{port}") == ""
    assert web.why_not_listen(f"localhost:{port}") == ""
    assert web.why_not_listen("unix:/run/serve.sock") == ""


def test_mail_to_a_server_elsewhere_is_refused_where_nothing_may_leave_this_machine() -> None:
    with pytest.raises(ImproperlyConfigured, match="mail to this machine only"):
        configuration.mail("smtp+tls://somebody:hidden-word@mail.example.com:587", here_only=True)

    assert configuration.mail("smtp://127.0.0.1:25", here_only=True)["EMAIL_HOST"] == "127.0.0.1"
    assert configuration.mail("filemail:///tmp/mail", here_only=True)["EMAIL_FILE_PATH"] == "tmp/mail"


@pytest.mark.parametrize("url", ["smtp://somebody:hidden-word@mail.example.com:25", "smtp://u:hidden-word@192.0.2.1"])
def test_a_password_for_mail_travels_on_no_open_line(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="a password travels on it") as refusal:
        configuration.mail(url)

    assert "hidden" not in str(refusal.value)
    assert configuration.mail(url.replace("smtp:", "smtp+tls:"))["EMAIL_USE_TLS"]
    assert configuration.mail(url.replace("smtp:", "smtp+ssl:"))["EMAIL_USE_SSL"]


@pytest.mark.parametrize(
    ("given", "user", "site", "sender"),
    [
        ("console@example.com", "u@example.com", "https://site.example.com", "console@example.com"),
        ("", "u@example.com", "https://site.example.com", "u@example.com"),
        ("", "apikey", "https://site.example.com:8443/x", "paddle-m3ter@site.example.com"),
        ("", "", "", "paddle-m3ter@localhost"),
        ("", "", "http://127.0.0.1:8000", "paddle-m3ter@localhost"),
    ],
)
def test_mails_have_a_sender_that_a_server_can_take(given: str, user: str, site: str, sender: str) -> None:
    assert configuration.mail_sender(given, user=user, site=site) == sender


@pytest.mark.parametrize("given", ["nobody", "Jo <a@example.com>", "a@example.com\nBcc: b@example.com"])
def test_a_sender_that_is_no_plain_address_is_refused(given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="EMAIL_FROM must be one plain address"):
        configuration.mail_sender(given, user="", site="")
