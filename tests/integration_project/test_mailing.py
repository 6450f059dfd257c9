"""Who is mailed about what: once when it opens, once when it closes, and nothing that a mail should not say."""

from datetime import timedelta

import pytest
from pytest_django import Settings

from integration_project import clock, finding, fixes, jobs, roles
from integration_project.mailing import outbox, topics, writing
from integration_project.mailing.topics import Topic
from integration_project.models import Finding, Mail, MailedFinding
from tests.integration_project.mail_rows import ADDRESS, KIND, a_minute, change, close, make_rule, open_one, state_of
from tests.integration_project.test_fixes import kinds_that_can_open

pytestmark = pytest.mark.django_db

Severity = Finding.Severity


@pytest.fixture(autouse=True)
def site(settings: Settings) -> None:
    """People reach the console by some address."""
    settings.SITE_URL = "https://console.example.com/"


# --- Once -------------------------------------------------------------------------------------------------------------


def test_ten_findings_of_a_kind_give_one_mail_that_counts_them() -> None:
    make_rule()
    rows = [open_one(severity=Severity.ALARM) for _ in range(10)]

    (sent,) = a_minute()

    assert sent.subject == "[SANDBOX] 10 alarms opened: charge lost"
    assert sent.to == [ADDRESS]
    assert [str(sent.body).count(f"- {row.subject}, opened") for row in rows] == [1] * 10
    assert [f"https://console.example.com/admin/integration_project/finding/{row.pk}/" in sent.body for row in rows]
    assert topics.KINDS[KIND].means in " ".join(str(sent.body).split())
    assert topics.KINDS[KIND].next_step in " ".join(str(sent.body).split())


def test_a_mail_lists_the_newest_twenty_and_counts_all() -> None:
    make_rule()
    rows = [open_one() for _ in range(25)]

    (sent,) = a_minute()

    assert sent.subject == "[SANDBOX] 25 problems opened: charge lost"
    assert str(sent.body).count("- bill-") == 20
    assert f"- {rows[-1].subject}," in sent.body
    assert f"- {rows[4].subject}," not in sent.body
    assert "The newest 20 of them:" in sent.body
    assert "/finding/?kind__exact=charge+lost&state__exact=open" in sent.body
    assert Mail.objects.get().findings == 25


def test_each_kind_gets_a_mail_of_its_own() -> None:
    make_rule()
    open_one("charge lost")
    open_one("plan missing")
    open_one("plan missing", severity=Severity.NOTICE)

    subjects = sorted(each.subject for each in a_minute())

    assert subjects == ["[SANDBOX] 1 problem opened: charge lost", "[SANDBOX] 2 findings opened: plan missing"]


def test_what_stays_open_is_not_mailed_again() -> None:
    make_rule()
    row = open_one()

    counts = [len(a_minute())]
    finding.report(row.kind, row.subject, detail="It is still so, in other words.")
    counts += [len(a_minute()), len(a_minute())]

    assert counts == [1, 0, 0]


def test_what_closes_is_mailed_once() -> None:
    make_rule()
    rows = [open_one() for _ in range(3)]
    a_minute()
    close(*rows)

    sent, later = a_minute(), a_minute()

    assert [each.subject for each in sent] == ["[SANDBOX] 3 problems closed: charge lost"]
    assert later == []
    assert set(MailedFinding.objects.values_list("state", flat=True)) == {"done"}


def test_what_opens_and_closes_before_a_mail_is_sent_gives_none() -> None:
    rule = make_rule()
    before_it_was_seen, before_it_was_sent = open_one(), open_one()
    close(before_it_was_seen)
    outbox.gather()
    close(before_it_was_sent)

    assert a_minute() == a_minute() == []
    assert state_of(rule) == ["dropped"]


def test_only_what_is_still_open_is_in_the_mail() -> None:
    make_rule()
    over, holds = open_one(), open_one()
    outbox.gather()
    close(over)

    sent = a_minute()
    close(holds)
    later = a_minute()

    assert [each.subject for each in sent] == ["[SANDBOX] 1 problem opened: charge lost"]
    assert [each.subject for each in later] == ["[SANDBOX] 1 problem closed: charge lost"]
    assert over.subject + "," not in str(sent[0].body) + str(later[0].body)


def test_what_opens_again_is_mailed_again() -> None:
    make_rule()
    row = open_one()
    a_minute()
    close(row)
    a_minute()

    open_one(row.kind, row.subject)

    assert [each.subject for each in a_minute()] == ["[SANDBOX] 1 problem opened: charge lost"]


def test_each_address_gets_a_mail_of_its_own() -> None:
    make_rule(addresses="a@example.com\nb@example.com")
    open_one()

    sent = a_minute()

    assert [each.to for each in sent] == [["a@example.com"], ["b@example.com"]]
    assert [each.cc + each.bcc for each in sent] == [[], []]
    assert len({each.extra_headers["Message-ID"] for each in sent}) == 2


def test_two_rules_tell_the_same_to_both() -> None:
    make_rule(addresses="a@example.com")
    make_rule(addresses="b@example.com")
    row = open_one()

    counts = [len(a_minute())]
    close(row)
    counts += [len(a_minute())]

    assert counts == [2, 2]


# --- What a rule asks for ---------------------------------------------------------------------------------------------


def test_a_new_rule_does_not_mail_the_past() -> None:
    past = open_one()
    make_rule()

    assert a_minute() == []
    close(past)
    assert a_minute() == []
    open_one()
    assert len(a_minute()) == 1


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("notice", ["notice", "problem", "alarm"]),
        ("problem", ["problem", "alarm"]),
        ("alarm", ["alarm"]),
    ],
)
def test_a_rule_is_told_of_its_severity_and_of_worse(asked: str, told: list[str]) -> None:
    make_rule(severity=asked)
    for severity in Severity:
        open_one("charge lost", f"a-{severity}", severity=severity)

    sent = a_minute()

    assert len(sent) == 1
    assert [severity for severity in ("notice", "problem", "alarm") if f"a-{severity}," in sent[0].body] == told


def test_what_becomes_worse_is_mailed_when_it_does() -> None:
    row = open_one(severity=Severity.NOTICE)
    make_rule(severity=Severity.ALARM)
    assert a_minute() == []

    finding.report(row.kind, row.subject, detail="Worse.", severity=Severity.ALARM)

    assert [each.subject for each in a_minute()] == ["[SANDBOX] 1 alarm opened: charge lost"]


@pytest.mark.parametrize("topic", Topic)
def test_a_rule_is_told_of_its_topics_and_of_nothing_else(topic: Topic) -> None:
    make_rule(topics=[topic])
    for kind in (*topics.KINDS, "something of another version"):
        open_one(kind)

    told = {each.subject.partition(": ")[2] for each in a_minute()}

    belonging = {kind for kind, said in topics.KINDS.items() if topic in said.topics}
    everything = {*topics.KINDS, "something of another version"}
    assert told == (everything if topic == Topic.EVERYTHING else belonging)
    assert told


def test_a_rule_that_is_widened_does_not_mail_the_past() -> None:
    rule = make_rule(topics=["connections"])
    open_one("charge lost")

    change(rule, topics=["bills"])

    assert a_minute() == []
    open_one("charge lost")
    assert len(a_minute()) == 1


def test_what_a_rule_asked_for_until_it_was_changed_is_still_mailed() -> None:
    rule = make_rule(topics=["bills"])
    open_one("charge lost")

    change(rule, topics=["connections"], addresses="new@example.com")

    assert [(each.subject, each.to) for each in a_minute()] == [
        ("[SANDBOX] 1 problem opened: charge lost", ["new@example.com"])
    ]


def test_a_rule_that_is_off_mails_nothing_and_catches_up_with_what_closed_only() -> None:
    rule = make_rule()
    told, owed = open_one(subject="told"), ""
    a_minute()
    owed = open_one(subject="owed").subject
    outbox.gather()
    change(rule, active=False)
    open_one(subject="meanwhile")
    close(told)

    while_off = a_minute()
    change(rule, active=True)
    sent = a_minute()

    assert while_off == []
    assert [each.subject for each in sent] == ["[SANDBOX] 1 problem closed: charge lost"]
    assert "- told," in sent[0].body
    assert owed not in str(sent[0].body)


def test_while_mail_is_off_nothing_is_sent_and_then_what_still_holds(settings: Settings) -> None:
    rule = make_rule()
    outbox.gather()
    over, _ = open_one(), open_one()
    outbox.gather()
    settings.MAIL_IS_ON = False
    open_one()

    while_off, said = a_minute(), jobs.mail_findings()
    close(over)
    settings.MAIL_IS_ON = True
    sent = a_minute()

    assert (while_off, said) == ([], "mail is off")
    assert [each.subject for each in sent] == ["[SANDBOX] 2 problems opened: charge lost"]
    assert state_of(rule) == ["dropped", "sent"]


# --- What a mail says -------------------------------------------------------------------------------------------------


def test_a_mail_says_nothing_that_a_vendor_or_a_buyer_wrote() -> None:
    make_rule()
    finding.report("text refused", "jo.brown@example.com", detail="Jo Brown of Leeds", next_step="Write to Jo Brown.")
    finding.report("text refused", "sub_1", detail="Jo Brown", key="Jo Brown")

    (sent,) = a_minute()

    whole = sent.message().as_string()
    assert [word for word in ("Jo", "jo.brown", "Leeds") if word in whole] == []
    assert f"- {writing.ELSEWHERE}, opened" in sent.body
    assert "- sub_1, opened" in sent.body


def test_nothing_ends_a_line_of_a_mails_head() -> None:
    make_rule()
    finding.report("odd\r\nBcc: thief@example.com\u2028\u202e", "x", detail="It is so.")

    (sent,) = a_minute()

    assert sent.subject == "[SANDBOX] 1 problem opened: odd Bcc: thief@example.com"
    head = sent.message().as_bytes().partition(b"\n\n")[0]
    assert [line for line in head.splitlines() if line.lower().startswith(b"bcc")] == []
    assert sent.recipients() == [ADDRESS]


def test_the_environment_is_in_the_subject(settings: Settings) -> None:
    make_rule()
    settings.PADDLE_ENVIRONMENT = "live"
    open_one()

    assert [each.subject for each in a_minute()] == ["[LIVE] 1 problem opened: charge lost"]


def test_without_an_address_of_the_console_a_mail_has_no_links(settings: Settings) -> None:
    make_rule()
    settings.SITE_URL = ""
    open_one()

    (sent,) = a_minute()

    assert "/admin/" not in sent.body
    assert "Open the console, and there Findings." in sent.body


def test_no_line_of_a_mail_is_too_long_to_read() -> None:
    make_rule()
    for kind in topics.KINDS:
        open_one(kind)

    lines = [line for each in a_minute() for line in str(each.body).splitlines()]

    assert [line for line in lines if len(line) > writing.WIDTH and "://" not in line] == []
    assert len(lines) > 300


# --- The closed list --------------------------------------------------------------------------------------------------


def test_every_kind_that_can_open_belongs_to_a_topic() -> None:
    kinds = kinds_that_can_open()

    assert {"webhooks missing", "charge lost", "vendor closed", topics.NOT_SENT} <= kinds
    assert kinds - set(topics.KINDS) == set(topics.NEVER_MAILED)
    assert set(fixes.TABLE) - set(topics.KINDS) == set(topics.NEVER_MAILED)
    assert set(topics.KINDS) - set(fixes.TABLE) == set()


def test_every_text_of_the_list_is_a_sentence_and_every_topic_has_kinds() -> None:
    texts = [text for said in topics.KINDS.values() for text in (said.means, said.next_step)]

    assert [text for text in texts if not (text[0].isupper() or text.startswith("m3ter")) or text[-1] != "."] == []
    assert {topic for said in topics.KINDS.values() for topic in said.topics} == set(Topic) - {Topic.EVERYTHING}
    assert set(topics.NEEDED) == set(Topic)
    assert {name for names in topics.NEEDED.values() for name in names} <= set(roles.ROLES["Administrator"])


def test_that_a_mail_was_not_sent_is_never_mailed() -> None:
    make_rule()
    open_one(topics.NOT_SENT, severity=Severity.ALARM)

    assert a_minute() == []
    assert not MailedFinding.objects.exists()


# --- Forgetting -------------------------------------------------------------------------------------------------------


def test_what_is_long_over_is_forgotten_and_tells_nobody_twice() -> None:
    make_rule()
    row, holds = open_one(), open_one("plan missing")
    a_minute()
    close(row)
    a_minute()
    long_ago = clock.now() - outbox.KEPT - timedelta(days=1)
    Mail.objects.update(created_at=long_ago)
    Finding.objects.filter(pk=row.pk).update(closed_at=long_ago)

    said = jobs.prune()

    assert said == "0 workers, 0 failed tasks and 3 mails forgotten"
    assert list(MailedFinding.objects.values_list("finding", "state")) == [(holds.pk, "open")]
    assert a_minute() == []
    close(holds)
    assert len(a_minute()) == 1
