"""What each rule owes its readers, worked out from the findings as they stand, so that no change of one is missed.

Each finding opens and closes once (found again, it is a new row), and one row for each rule and finding says what was
told of it. Whoever writes these rows holds the rule's row, so two workers never tell one thing twice. A mail is asked
for, by kind of finding, when something is owed; which findings it is about is decided when it is written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from integration_project import clock, work
from integration_project.mailing import topics
from integration_project.models import Finding, Mail, MailedFinding, MailRule
from integration_project.work import Queue

Told = MailedFinding.State
OWED: dict[str, str] = {Mail.About.OPENED: Told.OPENING, Mail.About.CLOSED: Told.CLOSING}
"""What a mail is about -> the rows that wait for it."""
DONE: dict[str, str] = {Mail.About.OPENED: Told.OPEN, Mail.About.CLOSED: Told.DONE}
"""What a mail is about -> what becomes of its rows once it is sent."""
ON_ITS_WAY = (Mail.State.WAITING, Mail.State.SENDING)
KEPT = timedelta(days=90)
AT_ONCE = 1000

MAIL: Queue[Mail] = Queue(
    name="mail",
    model=Mail,
    ready=(Mail.State.WAITING,),
    running=Mail.State.SENDING,
    job="integration_project.jobs.send_mails",
    # Longer than opening a connection, or sending to one address, takes a mail server that uses up every timeout.
    lease=timedelta(seconds=120),
    batch=1,
    give_up="integration_project.mailing.sending.give_up_on_lost_workers",
    # What a hanging worker sends after all would arrive twice.
    freed_early=False,
)


def gather() -> int:
    """Note what every rule owes by now, and ask for the mails; say how many were asked for."""
    asked = 0
    for rule_id in MailRule.objects.filter(active=True).order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            rule = hold(rule_id)
            if rule.active:
                note_what_is_owed(rule)
                asked += ask_for_mails(rule)
    return asked


def hold(rule_id: int) -> MailRule:
    """Lock a rule before its rows are touched: always the rule first, then its mail, then what the mail is about."""
    return MailRule.objects.select_for_update(of=("self",)).get(pk=rule_id)


@contextmanager
def changing(rule: MailRule) -> Iterator[None]:
    """Surround the saving of a rule: what it asked for so far is still owed, what is open then is no news to it."""
    with transaction.atomic():
        before = hold(rule.pk) if rule.pk else None
        if before is not None and before.active:
            note_what_is_owed(before)
        yield
        _take_as_known(rule)


def note_what_is_owed(rule: MailRule) -> None:
    """Bring the rows of a rule, which is held, up to date with the findings."""
    rows = MailedFinding.objects.filter(rule=rule)
    _add(rule, Told.OPENING)
    rows.filter(state=Told.OPENING, mail=None, finding__state=Finding.State.CLOSED).update(state=Told.DONE)
    rows.filter(state=Told.OPEN, finding__state=Finding.State.CLOSED).update(state=Told.CLOSING, mail=None)


def ask_for_mails(rule: MailRule) -> int:
    """Make sure that a mail is on its way for each kind that something is owed about; say how many were asked for."""
    if not settings.MAIL_IS_ON:
        return 0
    rows = MailedFinding.objects.filter(rule=rule, state__in=OWED.values()).order_by()
    about = {state: about for about, state in OWED.items()}
    owed = {(kind, about[state]) for kind, state in rows.values_list("finding__kind", "state").distinct()}
    owed -= set(Mail.objects.filter(rule=rule, state__in=ON_ITS_WAY).values_list("kind", "about"))
    now = clock.now()
    Mail.objects.bulk_create(
        [Mail(rule=rule, kind=kind, about=about, created_at=now, due_at=now) for kind, about in sorted(owed)],
        ignore_conflicts=True,
    )
    if owed:
        work.wake_up(MAIL)
    return len(owed)


def rows_for(mail: Mail) -> QuerySet[MailedFinding]:
    """Select what a mail is about: what it was written about, or before that all that waits for such a mail."""
    rows = MailedFinding.objects.filter(rule_id=mail.rule_id, state=OWED.get(mail.about, ""))
    if mail.written_at is not None:
        return rows.filter(mail=mail)
    return rows.filter(Q(mail=mail) | Q(mail=None), finding__kind=mail.kind)


def forget() -> int:
    """Forget the mails that are over for long, and what was told of findings that are; say how many mails."""
    long_ago = clock.now() - KEPT
    over = (Told.KNOWN, Told.DONE, Told.UNSENT)
    MailedFinding.objects.filter(state__in=over, finding__closed_at__lt=long_ago).delete()
    _, deleted = Mail.objects.filter(created_at__lt=long_ago).exclude(state__in=ON_ITS_WAY).delete()
    return deleted.get(Mail._meta.label, 0)


def _take_as_known(rule: MailRule) -> None:
    """What is open when a rule begins to ask for it is not mailed; nor is what it owed when it is switched off."""
    if rule.active:
        _add(rule, Told.KNOWN)
    else:
        MailedFinding.objects.filter(rule=rule, state=Told.OPENING).update(state=Told.KNOWN, mail=None)


def _add(rule: MailRule, state: str) -> None:
    """Add rows for the open findings that the rule asks for and has none of yet."""
    own = MailedFinding.objects.filter(rule=rule, finding=OuterRef("pk"))
    asked_for = Finding.objects.filter(
        ~Exists(own),
        topics.about(rule.topics),
        topics.not_milder_than(rule.severity),
        state=Finding.State.OPEN,
    )
    rows = [MailedFinding(rule=rule, finding_id=pk, state=state) for pk in asked_for.values_list("pk", flat=True)]
    MailedFinding.objects.bulk_create(rows, batch_size=AT_ONCE, ignore_conflicts=True)
