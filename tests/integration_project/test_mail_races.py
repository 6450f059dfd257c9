"""Several workers at once, each in a thread with a connection of its own, tell everything once."""

from collections.abc import Callable

import pytest
from django.core import mail
from django.db import OperationalError, connection, transaction

from integration_project import jobs
from integration_project.mailing import outbox, sending
from integration_project.models import Finding, Mail, MailedFinding, MailRule
from tests.integration_project.mail_rows import a_minute, change, close, make_rule, open_one, state_of
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def switch_off() -> None:
    """Switch the only rule off, as the console does."""
    change(MailRule.objects.get(), active=False)


def test_two_schedules_at_once_ask_for_one_mail() -> None:
    rule = make_rule()
    rows = [open_one() for _ in range(10)]

    raised = at_once(*[jobs.mail_findings] * 3)

    assert raised == []
    assert state_of(rule) == ["waiting"]
    assert MailedFinding.objects.count() == len(rows)


def test_workers_that_send_at_once_send_each_mail_once() -> None:
    rule = make_rule()
    for kind in ("charge lost", "plan missing", "vendor closed"):
        open_one(kind)
    jobs.mail_findings()

    raised = at_once(*[jobs.send_mails] * 4)

    assert raised == []
    assert len(mail.outbox) == 3
    assert state_of(rule) == ["sent"] * 3


def test_asking_and_sending_at_once_tells_every_opening_and_every_closing_once() -> None:
    make_rule()
    rows = [open_one() for _ in range(6)]

    raised = at_once(*[a_minute] * 3)
    raised += at_once(lambda: close(*rows), a_minute, a_minute)
    a_minute()

    assert raised == []
    lines = [line for each in mail.outbox for line in str(each.body).splitlines() if line.startswith("- ")]
    told = [(row.subject, what) for row in rows for what in ("opened", "closed")]
    assert [sum(line.startswith(f"- {subject}, {what} ") for line in lines) for subject, what in told] == [1] * 12
    assert len(lines) == 12


def test_a_test_asked_for_twice_at_once_is_sent_once() -> None:
    rule = make_rule()

    raised = at_once(*[lambda: sending.ask_for_test(rule.pk, by="operator", reason="New here.")] * 2)
    jobs.send_mails()

    assert [str(error) for error in raised] == ["A test mail is on its way already."]
    assert len(mail.outbox) == 1


def test_a_rule_changed_while_the_schedule_runs_tells_nothing_twice() -> None:
    rule = make_rule()
    open_one()

    raised = at_once(jobs.mail_findings, lambda: change(rule, addresses="new@example.com"), jobs.mail_findings)
    a_minute()

    assert raised == []
    assert [each.to for each in mail.outbox] == [["new@example.com"]]
    assert Mail.objects.count() == MailedFinding.objects.count() == Finding.objects.count() == 1
    assert outbox.gather() == 0


@pytest.mark.postgres
@pytest.mark.parametrize("work_of_another", [jobs.mail_findings, jobs.send_mails, switch_off])
def test_nobody_touches_what_a_rule_owes_while_another_holds_the_rule(work_of_another: Callable[[], object]) -> None:
    rule = make_rule()
    open_one()
    jobs.mail_findings()
    before = list(MailedFinding.objects.values())

    def impatient() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '300ms'")
        work_of_another()

    with transaction.atomic():
        outbox.hold(rule.pk)
        raised = at_once(impatient)

    assert [type(error) for error in raised] == [OperationalError]
    assert list(MailedFinding.objects.values()) == before
    assert mail.outbox == []
