"""Sends mails: each to each of its recipients once, as far as a mail server lets anybody know.

A mail lost is worse than a mail doubled, so what may have arrived is sent again, word for word and under the same
Message-ID, by which most mailboxes drop the second. That happens only when a worker ends, or the server falls silent,
between handing a mail over and writing down that it was taken; never because two workers are at it, since a mail is
leased, and never to those who were reached already. What was surely not taken is written anew the next time, without
what has closed meanwhile.
"""

import contextlib
import logging
import time
from dataclasses import dataclass, field
from datetime import datetime
from smtplib import SMTPRecipientsRefused, SMTPResponseException
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import IntegrityError, transaction

from integration_project import clock, finding, logs, work
from integration_project.errors import NotPossible
from integration_project.mailing import outbox, writing
from integration_project.mailing.outbox import MAIL
from integration_project.mailing.topics import NOT_SENT
from integration_project.models import Finding, Mail, MailedFinding, MailRule

logger = logging.getLogger(__name__)

REFUSED = (SMTPResponseException, SMTPRecipientsRefused)
"""The server answered, and did not take it. All else that goes wrong leaves open what it did."""
LONGEST = 60.0
"""Seconds in which a mail that goes to many is given to a slow server; the rest follows later."""
VISIBLE_AFTER = 5
"""Attempts, a minute or two, after which people are told that mails do not go out."""
MOST_ATTEMPTS = 30
"""About a day with the waits between them."""
MOST_FOR_A_TEST = 3
IT_GOES = "Mails of this rule go out again."


@dataclass
class _Outcome:
    """How an attempt went."""

    words: list[str] = field(default_factory=list)
    """Why not, where somebody was not reached."""
    unsure: bool = False
    """Whether somebody may have been reached without our knowing."""

    def add(self, error: Exception) -> None:
        """Note what went wrong; a server's words may quote what it was given."""
        self.words.append(logs.mask(f"{type(error).__name__}: {error}")[:300])


def ask_for_test(rule_id: int, *, by: str, reason: str) -> None:
    """Have a test mail sent to everybody whom a rule names."""
    if not settings.MAIL_IS_ON:
        raise NotPossible("Mail is off: EMAIL_URL is not set.")
    now = clock.now()
    try:
        with transaction.atomic():
            Mail.objects.create(rule_id=rule_id, about=Mail.About.TEST, created_at=now, due_at=now)
    except IntegrityError:
        raise NotPossible("A test mail is on its way already.") from None
    work.wake_up(MAIL)


def send_again(mail_id: int, *, by: str, reason: str) -> None:
    """Begin again with a mail that was given up: to those who were not reached, about what still holds."""
    mail = Mail.objects.get(pk=mail_id)
    try:
        with transaction.atomic():
            outbox.hold(mail.rule_id)
            waiting = {"state": Mail.State.WAITING, "due_at": clock.now(), "attempts": 0, "deaths": 0}
            if not Mail.objects.filter(pk=mail_id, state=Mail.State.FAILED).update(**waiting):
                raise NotPossible("It was not given up.")
            if mail.about in outbox.OWED:
                unsent = MailedFinding.objects.filter(mail=mail, state=MailedFinding.State.UNSENT)
                unsent.update(state=outbox.OWED[mail.about])
    except IntegrityError:
        raise NotPossible("A mail about the same is on its way already; try this one again once it is out.") from None
    work.wake_up(MAIL)


def deliver(mail: Mail) -> None:
    """Write a claimed mail, unless it may be out already as it is, and give it to the mail server."""
    before = mail.written_at
    try:
        if _write(mail):
            outcome = _hand_over(mail)
            # An earlier attempt left it open whether this very text arrived, and no later one answers that.
            outcome.unsure = outcome.unsure or (before is not None and mail.written_at == before)
            _settle(mail, outcome)
    except work.LeaseLost:
        logger.warning("%s: another worker owns it by now; nothing more is written.", mail)


def give_up_on_lost_workers(mail: Mail) -> None:
    """Leave a mail that only ended workers to a person."""
    _give_up(mail, f"{mail.deaths} workers in a row were lost while they sent it.", written_at=mail.written_at)


# --- Writing ----------------------------------------------------------------------------------------------------------


def _write(mail: Mail) -> bool:
    """Fix what is sent, and to whom; False: there is nothing to send, and the mail is over."""
    with transaction.atomic():
        rule = outbox.hold(mail.rule_id)
        if why := _why_not(mail, rule):
            _drop(mail, why)
            return False
        if mail.reached or (mail.written_at and _left(mail, rule)):
            return True
        mail.written_at = None
        letter, count = _letter(mail, rule)
        if letter is None:
            _drop(mail, "What it was about had closed before it could be sent.")
            return False
        outbox.rows_for(mail).update(mail=mail)
        written = {
            "written_at": clock.now(),
            "subject": letter.subject,
            "body": letter.body,
            "recipients": rule.recipients,
            "findings": count,
        }
        _note(mail, **written)
        return True


def _why_not(mail: Mail, rule: MailRule) -> str:
    if not settings.MAIL_IS_ON:
        return "Mail is off: EMAIL_URL is not set."
    if not rule.active and mail.about != Mail.About.TEST:
        return "The rule is switched off."
    return ""


def _letter(mail: Mail, rule: MailRule) -> tuple[writing.Letter | None, int]:
    """Write about what is owed as it stands now: an opening that closed meanwhile is told to nobody."""
    if mail.about == Mail.About.TEST:
        return writing.test(rule), 0
    if mail.about == Mail.About.OPENED:
        over = outbox.rows_for(mail).filter(finding__state=Finding.State.CLOSED)
        over.update(state=MailedFinding.State.DONE, mail=None)
    findings = Finding.objects.filter(pk__in=outbox.rows_for(mail).values("finding"))
    count = findings.count()
    if not count:
        return None, 0
    severities = set(findings.order_by().values_list("severity", flat=True).distinct())
    newest = findings.order_by("-opened_at", "-pk")[: writing.MOST_LISTED]
    return writing.about_findings(mail, rule, list(newest), count, severities), count


def _left(mail: Mail, rule: MailRule) -> list[str]:
    """List who was written to, is still named by the rule, and was not reached."""
    named = set(rule.recipients)
    return [address for address in mail.recipients if address in named and address not in mail.reached]


def _note(mail: Mail, **columns: Any) -> None:
    """Write columns of a mail that is still ours."""
    if not work.fenced(mail).update(**columns):
        raise work.LeaseLost(f"{mail} belongs to another worker now.")
    for name, value in columns.items():
        setattr(mail, name, value)


# --- Handing over -----------------------------------------------------------------------------------------------------


def _hand_over(mail: Mail) -> _Outcome:
    """Give the mail to the server for each who was not reached; note each as soon as the server took it."""
    outcome, end = _Outcome(), time.monotonic() + LONGEST
    try:
        connection = get_connection()
    except ImproperlyConfigured as error:  # a folder for mails that cannot be written to
        outcome.add(error)
        return outcome
    try:
        connection.open()
        for address in _left(mail, mail.rule):
            if time.monotonic() >= end:
                outcome.words.append("The mail server is too slow to be given the mail for everybody at once.")
                break
            work.renew(MAIL, mail)
            _hand_over_one(mail, address, connection, outcome)
    except OSError as error:  # smtplib's own errors are among these
        outcome.add(error)
    finally:
        # What was taken stays taken, however the server says good-bye.
        with contextlib.suppress(OSError):
            connection.close()
    return outcome


def _hand_over_one(mail: Mail, address: str, connection: BaseEmailBackend, outcome: _Outcome) -> None:
    outcome.unsure = True
    try:
        connection.send_messages([writing.message(mail, address)])
    except REFUSED as refusal:
        outcome.add(refusal)
    else:
        _note(mail, reached=[*mail.reached, address])
    outcome.unsure = False


# --- What becomes of it -----------------------------------------------------------------------------------------------


def _settle(mail: Mail, outcome: _Outcome) -> None:
    """Record how an attempt went."""
    if not outcome.words:
        with transaction.atomic():
            outbox.hold(mail.rule_id)
            _sent(mail)
        return
    words = " ".join(outcome.words)
    as_written = mail.written_at if mail.reached or outcome.unsure else None
    if mail.attempts >= (MOST_FOR_A_TEST if mail.about == Mail.About.TEST else MOST_ATTEMPTS):
        _give_up(mail, words, written_at=as_written)
        return
    due_at = clock.now() + work.backoff(mail.attempts)
    with transaction.atomic():
        settled = work.settle(mail, state=Mail.State.WAITING, due_at=due_at, last_error=words, written_at=as_written)
        if settled and mail.attempts >= VISIBLE_AFTER:
            _report(mail, "", f"Mails of {mail.rule} do not go out: {words}", "It is tried again by itself.")


def _sent(mail: Mail, note: str = "") -> None:
    """All were reached, or all that still matter: what the mail is about is told."""
    if work.settle(mail, state=Mail.State.SENT, sent_at=clock.now(), last_error=note):
        outbox.rows_for(mail).update(state=outbox.DONE.get(mail.about, MailedFinding.State.DONE))
        finding.settle(NOT_SENT, str(mail.rule), reason="The mail was sent.", key=str(mail))
        _all_well(mail, IT_GOES)


def _drop(mail: Mail, why: str) -> None:
    """End a mail that is not to be sent any more; whoever has it was told."""
    if mail.reached:
        _sent(mail, why)
        return
    if work.settle(mail, state=Mail.State.DROPPED, last_error=why):
        MailedFinding.objects.filter(mail=mail, state__in=outbox.OWED.values()).update(mail=None)
        finding.settle(NOT_SENT, str(mail.rule), reason=why, key=str(mail))
        _all_well(mail, "None of them waits to be sent any more.")


def _give_up(mail: Mail, words: str, *, written_at: datetime | None) -> None:
    """Leave to a person what cannot be sent; where somebody was reached, it counts as told."""
    with transaction.atomic():
        outbox.hold(mail.rule_id)
        rows = outbox.rows_for(mail)
        if not work.settle(mail, state=Mail.State.FAILED, last_error=words, written_at=written_at):
            return
        told = outbox.DONE.get(mail.about, MailedFinding.State.DONE) if mail.reached else MailedFinding.State.UNSENT
        rows.update(state=told, mail=mail)
        if mail.about == Mail.About.TEST:
            return
        reached = (
            f"{len(mail.reached)} of {len(mail.recipients)} were reached"
            if mail.reached
            else "Nobody is known to have been reached"
        )
        _report(
            mail,
            str(mail),
            f"{mail} of {mail.rule}, about findings that {mail.about} ({mail.kind}), was given up after"
            f" {mail.attempts} attempts: {words} {reached}.",
            "It is sent again with the button on its page, under Mails.",
        )
        _all_well(mail, "What waited was given up.")


def _report(mail: Mail, key: str, detail: str, then: str) -> None:
    finding.report(
        NOT_SENT,
        str(mail.rule),
        key=key,
        detail=detail,
        next_step=f"Correct EMAIL_URL, the mail server or the addresses of the rule. {then}",
    )


def _all_well(mail: Mail, reason: str) -> None:
    """Close the finding that mails of a rule do not go out, unless another one does not."""
    stuck = Mail.objects.filter(rule_id=mail.rule_id, state__in=outbox.ON_ITS_WAY, attempts__gte=VISIBLE_AFTER)
    if not stuck.exclude(pk=mail.pk).exists():
        finding.settle(NOT_SENT, str(mail.rule), reason=reason, key="")
