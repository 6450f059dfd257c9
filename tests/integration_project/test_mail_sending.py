"""What becomes of a mail when its server refuses, falls silent or is gone, and when a worker ends in the middle."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.locmem import EmailBackend
from pytest_django import Settings

from integration_project import clock, finding, jobs, work
from integration_project.errors import NotPossible
from integration_project.mailing import outbox, sending, topics
from integration_project.mailing.outbox import MAIL
from integration_project.models import Finding, Mail, MailedFinding
from tests.integration_project.mail_rows import a_minute, change, close, make_rule, open_one, state_of, try_again
from tests.integration_project.smtp_server import MailServer, mail_server

pytestmark = pytest.mark.django_db

HERE = "tests.integration_project.test_mail_sending"


class Killed(BaseException):
    """The process ended here."""


class KilledBefore(EmailBackend):
    """The worker ends before the mail is handed over."""

    def send_messages(self, messages: Sequence[EmailMessage]) -> int:
        """End."""
        raise Killed


class KilledAfter(EmailBackend):
    """The worker ends once the first mail is handed over."""

    def send_messages(self, messages: Sequence[EmailMessage]) -> int:
        """Take it, and end."""
        super().send_messages(messages)
        raise Killed


class KilledAtTheSecond(EmailBackend):
    """The worker ends after one recipient was reached and that was written down."""

    def send_messages(self, messages: Sequence[EmailMessage]) -> int:
        """Take the first."""
        if "b@example.com" in messages[0].to:
            raise Killed
        return int(super().send_messages(messages))


@pytest.fixture
def server(settings: Settings) -> Iterator[MailServer]:
    """A mail server that is asked by the real client."""
    with mail_server() as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", running.port
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        settings.EMAIL_TIMEOUT = 5
        yield running


def not_sent() -> list[tuple[str, str]]:
    """Open findings that say that mails do not go out: whose, and which."""
    rows = Finding.objects.filter(kind=topics.NOT_SENT, state=Finding.State.OPEN).order_by("pk")
    return list(rows.values_list("subject", "key"))


def let_the_lease_run_out() -> None:
    Mail.objects.filter(state=Mail.State.SENDING).update(lease_until=clock.now())
    assert work.release_expired(MAIL) == 1


# --- A worker that is killed ------------------------------------------------------------------------------------------


def test_a_worker_killed_before_it_handed_over_loses_nothing(settings: Settings) -> None:
    rule = make_rule()
    row = open_one()
    settings.EMAIL_BACKEND = f"{HERE}.KilledBefore"
    with pytest.raises(Killed):
        a_minute()
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"

    while_leased = try_again()
    let_the_lease_run_out()
    sent, later = try_again(), a_minute()

    assert while_leased == []
    assert [each.subject for each in sent] == ["[SANDBOX] 1 problem opened: charge lost"]
    assert later == []
    close(row)
    assert len(a_minute()) == 1
    assert state_of(rule) == ["sent", "sent"]


def test_a_worker_killed_after_it_handed_over_repeats_the_mail_under_its_name(settings: Settings) -> None:
    rule = make_rule()
    row = open_one()
    settings.EMAIL_BACKEND = f"{HERE}.KilledAfter"
    with pytest.raises(Killed):
        a_minute()
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    close(row)

    let_the_lease_run_out()
    repeated = try_again()
    closing = a_minute()

    first = mail.outbox[0]
    assert [(each.subject, each.body, each.extra_headers) for each in repeated] == [
        (first.subject, first.body, first.extra_headers)
    ]
    assert [each.subject for each in closing] == ["[SANDBOX] 1 problem closed: charge lost"]
    assert state_of(rule) == ["sent", "sent"]


def test_who_was_reached_before_a_worker_was_killed_gets_no_second_mail(settings: Settings) -> None:
    make_rule(addresses="a@example.com\nb@example.com")
    open_one()
    settings.EMAIL_BACKEND = f"{HERE}.KilledAtTheSecond"
    with pytest.raises(Killed):
        a_minute()
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    let_the_lease_run_out()
    try_again()

    assert [each.to for each in mail.outbox] == [["a@example.com"], ["b@example.com"]]


def test_a_mail_that_only_ends_workers_is_left_to_a_person() -> None:
    rule = make_rule()
    open_one()
    outbox.gather()
    Mail.objects.update(deaths=work.MOST_DEATHS)

    assert a_minute() == []
    assert state_of(rule) == ["failed"]
    assert not_sent() == [(str(rule), str(Mail.objects.get()))]
    assert MailedFinding.objects.get().state == "unsent"


# --- A server that refuses, or is gone --------------------------------------------------------------------------------


def test_a_server_takes_a_mail_and_is_told_who_sends_it(server: MailServer, settings: Settings) -> None:
    make_rule(addresses="a@example.com\nb@example.com")
    open_one()
    a_minute()

    assert [to for to, _ in server.taken] == ["a@example.com", "b@example.com"]
    assert "Subject: [SANDBOX] 1 problem opened: charge lost" in server.taken[0][1]
    assert f"From: {settings.DEFAULT_FROM_EMAIL}" in server.taken[0][1]
    assert "Auto-Submitted: auto-generated" in server.taken[0][1]
    assert "b@example.com" not in server.taken[0][1]


def test_a_server_that_is_gone_is_tried_again_later_and_told_what_holds_then(server: MailServer) -> None:
    rule = make_rule()
    over, _ = open_one(), open_one()
    server.close()
    a_minute()
    row = Mail.objects.get()
    waits = row.due_at - clock.now() if row.due_at else None
    open_one()
    close(over)

    with mail_server() as back, pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.EMAIL_PORT", back.port)
        too_early = a_minute()
        try_again()
        taken = list(back.taken)

    assert row.state == "waiting"
    assert "refused" in row.last_error.lower()
    assert waits is not None
    assert 0 < waits.total_seconds() <= 5
    assert (too_early, len(taken)) == ([], 1)
    assert "Subject: [SANDBOX] 2 problems opened: charge lost" in taken[0][1]
    assert state_of(rule) == ["sent"]


def test_that_mails_do_not_go_out_becomes_visible_and_closes_once_they_do(server: MailServer) -> None:
    rule = make_rule()
    open_one()
    server.refused = {"finance@example.com"}
    a_minute()
    seen = [not_sent()]
    for _ in range(sending.VISIBLE_AFTER - 1):
        try_again()
        seen.append(not_sent())
    server.refused = set()

    try_again()

    assert seen == [[]] * (sending.VISIBLE_AFTER - 1) + [[(str(rule), "")]]
    assert not_sent() == []
    assert len(server.taken) == 1
    assert state_of(rule) == ["sent"]


def test_a_mail_is_given_up_in_the_end_and_can_be_sent_again(server: MailServer) -> None:
    rule = make_rule()
    over, holds = open_one(), open_one()
    server.refused = {"finance@example.com"}
    outbox.gather()
    row = Mail.objects.get()
    Mail.objects.update(attempts=sending.MOST_ATTEMPTS - 1)
    a_minute()

    assert state_of(rule) == ["failed"]
    assert not_sent() == [(str(rule), str(row))]
    told = Finding.objects.get(kind=topics.NOT_SENT)
    assert "nobody of that name" in told.detail
    assert "Nobody is known to have been reached." in told.detail
    assert a_minute() == []
    assert state_of(rule) == ["failed"]

    close(over)
    server.refused = set()
    sending.send_again(row.pk, by="operator", reason="")
    a_minute()

    assert [body.partition("Subject: ")[2].partition("\n")[0].strip() for _, body in server.taken] == [
        "[SANDBOX] 1 problem opened: charge lost"
    ]
    assert not_sent() == []
    assert state_of(rule) == ["sent"]
    close(holds)
    a_minute()
    assert len(server.taken) == 2


def test_a_mail_is_not_sent_again_beside_another_about_the_same(server: MailServer) -> None:
    make_rule()
    open_one()
    server.refused = {"finance@example.com"}
    outbox.gather()
    Mail.objects.update(attempts=sending.MOST_ATTEMPTS - 1)
    a_minute()
    failed = Mail.objects.get()
    open_one()
    outbox.gather()

    with pytest.raises(NotPossible, match="already"):
        sending.send_again(failed.pk, by="operator", reason="")

    failed.refresh_from_db()
    assert failed.state == "failed"
    assert sorted(MailedFinding.objects.values_list("state", flat=True)) == ["opening", "unsent"]
    with pytest.raises(NotPossible, match="not given up"):
        sending.send_again(Mail.objects.exclude(pk=failed.pk).get().pk, by="operator", reason="")


def test_one_address_that_is_refused_keeps_no_other_from_its_mail(server: MailServer) -> None:
    rule = make_rule(addresses="a@example.com\nb@example.com\nc@example.com")
    row = open_one()
    server.refused = {"b@example.com"}
    a_minute()
    try_again()

    assert [to for to, _ in server.taken] == ["a@example.com", "c@example.com"]
    assert state_of(rule) == ["waiting"]

    change(rule, addresses="a@example.com\nc@example.com")
    try_again()
    close(row)
    a_minute()

    assert [to for to, _ in server.taken] == ["a@example.com", "c@example.com"] * 2
    assert state_of(rule) == ["sent", "sent"]


def test_a_server_that_took_a_mail_without_saying_so_is_given_the_same_again(
    server: MailServer, settings: Settings
) -> None:
    rule = make_rule()
    row = open_one()
    settings.EMAIL_TIMEOUT = 0.3
    server.silent_after = "data"
    a_minute()
    close(row)
    open_one()
    server.silent_after = "hello"
    try_again()  # surely not taken this time, which says nothing of the first
    server.silent_after = ""
    settings.EMAIL_TIMEOUT = 5
    try_again()

    assert len(server.taken) == 2
    without_date = [[line for line in body.splitlines() if not line.startswith("Date:")] for _, body in server.taken]
    assert without_date[0] == without_date[1]
    assert state_of(rule) == ["sent"]

    a_minute()

    assert sorted(state_of(rule)) == ["sent", "sent", "sent"]
    subjects = [body.partition("Subject: ")[2].partition("\n")[0].strip() for _, body in server.taken[2:]]
    assert sorted(subjects) == ["[SANDBOX] 1 problem closed: charge lost", "[SANDBOX] 1 problem opened: charge lost"]


@pytest.mark.parametrize("command", ["hello", "ehlo", "rcpt"])
def test_a_silent_server_holds_no_worker(server: MailServer, settings: Settings, command: str) -> None:
    make_rule()
    open_one()
    settings.EMAIL_TIMEOUT = 0.3
    server.silent_after = command
    began = time.monotonic()

    a_minute()

    assert time.monotonic() - began < 30
    assert server.taken == []
    assert Mail.objects.get().state == "waiting"
    assert "timed out" in Mail.objects.get().last_error.lower()


def test_a_mail_that_takes_a_server_long_goes_to_the_rest_later(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rule(addresses="a@example.com\nb@example.com")
    open_one()
    monkeypatch.setattr(sending, "LONGEST", 0.0)
    a_minute()
    monkeypatch.undo()

    assert server.taken == []
    assert "too slow" in Mail.objects.get().last_error
    try_again()
    assert [to for to, _ in server.taken] == ["a@example.com", "b@example.com"]


def test_timeouts_are_set_and_a_lease_outlives_what_a_slow_server_may_take(settings: Settings) -> None:
    assert settings.EMAIL_TIMEOUT == 10
    # Connecting, greeting, hello, TLS with its own, hello again and three steps of a login; then one mail in four.
    assert MAIL.lease.total_seconds() >= 9 * settings.EMAIL_TIMEOUT > 4 * settings.EMAIL_TIMEOUT
    assert sending.LONGEST + MAIL.lease.total_seconds() < settings.Q_CLUSTER["timeout"]
    assert (MAIL.batch, MAIL.freed_early) == (1, False)


def test_a_password_in_a_servers_words_is_masked(server: MailServer, settings: Settings) -> None:
    make_rule(addresses="hidden-word-of-ours@example.com")
    settings.EMAIL_HOST_PASSWORD = "hidden-word-of-ours"
    open_one()
    server.refused = {"hidden-word-of-ours@example.com"}

    a_minute()

    assert "***@example.com" in Mail.objects.get().last_error
    assert "hidden-word" not in Mail.objects.get().last_error


def test_a_folder_that_cannot_be_written_to_is_a_failure_like_others(settings: Settings, tmp_path: Any) -> None:
    rule = make_rule()
    open_one()
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "file")
    (tmp_path / "file").write_text("in the way")

    a_minute()

    assert state_of(rule) == ["waiting"]
    assert "file" in Mail.objects.get().last_error


# --- A test -----------------------------------------------------------------------------------------------------------


def test_a_test_mail_goes_to_everybody_of_the_rule_also_while_it_is_off() -> None:
    rule = make_rule(addresses="a@example.com\nb@example.com", active=False)

    sending.ask_for_test(rule.pk, by="operator", reason="New here.")
    with pytest.raises(NotPossible, match="on its way already"):
        sending.ask_for_test(rule.pk, by="operator", reason="Again.")
    jobs.send_mails()

    assert [(each.subject, each.to) for each in mail.outbox] == [
        ("[SANDBOX] Test mail of the console", ["a@example.com"]),
        ("[SANDBOX] Test mail of the console", ["b@example.com"]),
    ]
    assert state_of(rule) == ["sent"]


def test_a_test_mail_that_fails_says_so_on_its_page_and_opens_no_finding(server: MailServer) -> None:
    rule = make_rule()
    server.refused = {"finance@example.com"}
    sending.ask_for_test(rule.pk, by="operator", reason="New here.")

    jobs.send_mails()
    for _ in range(sending.MOST_FOR_A_TEST - 1):
        try_again()

    assert state_of(rule) == ["failed"]
    assert "nobody of that name" in Mail.objects.get().last_error
    assert not Finding.objects.exists()


def test_while_mail_is_off_no_test_can_be_asked_for(settings: Settings) -> None:
    rule = make_rule()
    settings.MAIL_IS_ON = False

    with pytest.raises(NotPossible, match="EMAIL_URL is not set"):
        sending.ask_for_test(rule.pk, by="operator", reason="New here.")

    assert not Mail.objects.exists()


def test_an_outcome_is_discarded_where_another_worker_owns_the_mail_by_now() -> None:
    rule = make_rule()
    open_one()
    outbox.gather()
    (ours,) = work.claim(MAIL)
    let_the_lease_run_out()
    try_again()

    sending.deliver(ours)

    assert len(mail.outbox) == 1
    assert state_of(rule) == ["sent"]
    finding.settle(topics.NOT_SENT, str(rule), reason="None.")
