"""What a mail says: which environment, how many, of what kind, what it means, what to do; never a finding's own words.

Those may hold what a vendor wrote, a buyer's name among it. A mail names ids, and links to the console, where people
log in.
"""

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.conf import settings
from django.core.mail import EmailMessage

from integration_project import showing
from integration_project.mailing import topics
from integration_project.models import Finding, Mail, MailRule

MOST_LISTED = 20
WIDTH = 78
VENDOR_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,119}")
"""What stands in a mail as it is; whatever else a finding is about may name somebody."""
ELSEWHERE = "named on its page"


@dataclass(frozen=True)
class Letter:
    """Subject and text of a mail."""

    subject: str
    body: str


def about_findings(mail: Mail, rule: MailRule, findings: Sequence[Finding], count: int, severities: set[str]) -> Letter:
    """Write about `count` findings of one kind, of which the newest are given."""
    kind, said = one_line(mail.kind), topics.said_of(mail.kind)
    what = f"{how_many(count, severities)} {mail.about}: {kind}"
    parts = [
        [f"{what}."],
        ["What it means:", said.means],
        ["What to do next:", said.next_step if mail.about == Mail.About.OPENED else "Nothing: they are closed."],
        [_heading(len(findings), count), *(line for each in findings for line in _listed(each, mail.about))],
        _where_all_are(mail),
        _why_you(rule),
    ]
    return Letter(f"[{environment()}] {what}", _joined(parts))


def test(rule: MailRule) -> Letter:
    """Write a mail that only shows that mails arrive."""
    parts = [
        ["This is a test, asked for in the console. Nothing has happened, and nothing needs to be done."],
        _why_you(rule),
    ]
    return Letter(f"[{environment()}] Test mail of the console", _joined(parts))


def message(mail: Mail, address: str) -> EmailMessage:
    """Put a written mail into an envelope for one of its recipients: the same each time, so that twice can be told."""
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2]
    number = mail.recipients.index(address) + 1
    headers = {"Message-ID": f"<{mail.token}.{number}@{domain}>", "Auto-Submitted": "auto-generated"}
    return EmailMessage(one_line(mail.subject, 200), mail.body, settings.DEFAULT_FROM_EMAIL, [address], headers=headers)


def environment() -> str:
    """Say which of Paddle's environments this is about, as every page of the console does."""
    return "LIVE" if settings.PADDLE_ENVIRONMENT == "live" else "SANDBOX"


def how_many(count: int, severities: set[str]) -> str:
    """Count findings by their severity, where they share one."""
    noun = next(iter(severities)) if len(severities) == 1 else "finding"
    return f"{count} {noun}{'' if count == 1 else 's'}"


def one_line(text: str, most: int = 60) -> str:
    """Leave nothing in a text that could end a line of a mail's head, or hide in it."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:most]


def address_of(path: str) -> str:
    """Make a page's path an address; empty where nobody said how people reach the console."""
    return f"{settings.SITE_URL.rstrip('/')}{path}" if settings.SITE_URL else ""


def _heading(listed: int, count: int) -> str:
    return "Which:" if listed == count else f"The newest {listed} of them:"


def _listed(finding: Finding, about: str) -> Iterable[str]:
    """Give an id, a time and a link."""
    subject = finding.subject if VENDOR_ID.fullmatch(finding.subject) else ELSEWHERE
    moment = finding.opened_at if about == Mail.About.OPENED else finding.closed_at or finding.seen_at
    yield f"- {subject}, {about} {showing.exactly(moment)}"
    if address := address_of(showing.page_of(finding)):
        yield f"  {address}"


def _where_all_are(mail: Mail) -> list[str]:
    state = Finding.State.OPEN if mail.about == Mail.About.OPENED else Finding.State.CLOSED
    address = address_of(showing.list_of(Finding, urlencode({"kind__exact": mail.kind, "state__exact": state})))
    return ["All of them:", address] if address else ["Open the console, and there Findings."]


def _why_you(rule: MailRule) -> list[str]:
    asked = f"{topics.in_words(rule.topics)}; severity: {rule.get_severity_display().partition(':')[0]} or worse"
    address = address_of(showing.page_of(rule))
    return [f"You get this by {rule} ({asked}).", *([address] if address else [])]


def _joined(parts: Iterable[Iterable[str]]) -> str:
    """Wrap the sentences, leave addresses whole, and put a blank line between the parts."""
    return "\n\n".join("\n".join(_wrapped(line) for line in part) for part in parts) + "\n"


def _wrapped(line: str) -> str:
    if "://" in line or line.startswith("- "):
        return line
    return textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False)
