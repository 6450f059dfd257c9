"""The time line of an account: everything that is known, once each, newest first, at the same price however much."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing_bridge.models import BillEntry, BillRevision, BillToDate, Push, PushAttempt, PushedBill, PushPolicy
from integration_project import clock
from integration_project.models import Finding
from integration_project.pages import happenings, timeline
from integration_project.pages.timeline import Place
from paddle_sync import intake, own_events
from paddle_sync.models import (
    AccountLink,
    CatalogueEntry,
    CounterLink,
    EventDecision,
    PlanMove,
    WebhookEvent,
    history_note,
)
from tests.builders import make_event, make_link, subscription
from tests.console.rows import (
    MARKUP,
    MOMENT,
    account_page,
    make_bill,
    make_entry,
    make_finding,
    make_parked,
    make_plan,
    make_push,
)

Browser = Callable[[str], Client]
DAY = dt.timedelta(days=1)


def make_one_of_each(link: AccountLink, at: dt.datetime, number: int = 0) -> None:
    """A row in every table that the time line reads, all of them at one moment."""
    event = make_event(
        "subscription.updated", subscription(link.paddle_subscription_id), occurred_at=at, note=f"note {number}"
    )
    make_event("customer.updated", {"id": link.paddle_customer_id}, occurred_at=at)
    make_plan(link, f"plan-{number}", at, ends_at=at)
    CounterLink.objects.create(
        link=link,
        m3ter_counter_id=f"counter-{number}",
        day=at.date(),
        value=number,
        m3ter_adjustment_id=f"adjustment-{number}",
    )
    link.paddle_status = f"status {number}"
    link.save(update_fields=["paddle_status"])
    newest = AccountLink.log.filter(id=link.pk).latest("history_id")
    AccountLink.log.filter(history_id=newest.history_id).update(history_date=at)
    bill = make_bill(link, PushedBill.State.PUSHED, first_seen_at=at, locked_at=at)
    BillToDate.objects.create(
        link=link, ends_at=MOMENT + number * DAY, until=at.date(), state="made", created_at=at, updated_at=at
    )
    BillRevision.objects.create(
        bill=bill,
        content_hash="second",
        number=2,
        m3ter_version=3,
        currency="EUR",
        total="1.00",
        payable=100,
        lines=[],
        first_seen_at=at,
    )
    push = make_push(
        bill, Push.State.PUSHED, created_at=at, payment="paid", transaction_seen_at=at, collected=bill.payable
    )
    PushAttempt.objects.update(at=at)
    PushAttempt.objects.create(bill=bill, push=push, step="decision", phase="after", at=at, outcome="approve", by="ada")
    BillEntry.objects.create(bill=bill, push=push, kind="lost", amount=1, at=at)
    person, _ = User.objects.get_or_create(username="ada")
    for closed_by in (None, person):
        make_finding(
            kind=f"kind {number}",
            subject=link.paddle_subscription_id,
            state=Finding.State.CLOSED,
            opened_at=at,
            closed_at=at,
            closed_by=closed_by,
        )
    asked = intake.ask_to_sync(link.paddle_subscription_id, by="ada", reason="Asked.")
    WebhookEvent.objects.filter(pk=asked.pk).update(occurred_at=at)
    EventDecision.objects.create(event=event, at=at, action="replay", by="ada", reason="Once more.")
    PlanMove.objects.create(
        paddle_subscription_id=link.paddle_subscription_id,
        paddle_price_id=f"pri_{number}",
        moves_at=at,
        created_at=at,
        by="ada",
    )
    make_log_entry(event, "Reveal personal data. Reason: Asked.", at)


def make_log_entry(row: Any, message: str, at: dt.datetime) -> None:
    person, _ = User.objects.get_or_create(username="ada")
    LogEntry.objects.create(
        user=person,
        content_type=ContentType.objects.get_for_model(row),
        object_id=str(row.pk),
        object_repr="row",
        action_flag=CHANGE,
        change_message=message,
        action_time=at,
    )


def every_entry(link: AccountLink, kind: str = "") -> list[Place]:
    """Page through the whole time line, as somebody does who always follows Older."""
    page = timeline.page(link, kind=kind)
    places = [entry.place for entry in page.entries]
    while page.older is not None:
        page = timeline.page(link, kind=kind, older_than=page.older)
        places += [entry.place for entry in page.entries]
    return places


def words_of(link: AccountLink, kind: str = "") -> list[str]:
    return [entry.said.words for entry in timeline.page(link, kind=kind).entries]


def test_every_table_that_knows_of_the_account_is_on_its_time_line(link: AccountLink) -> None:
    PushPolicy.objects.create(link=link)

    make_one_of_each(link, MOMENT)

    assert {place.source for place in every_entry(link)} == {source.name for source in happenings.SOURCES}


def test_another_accounts_rows_are_not_on_it(link: AccountLink) -> None:
    other = make_link()

    make_one_of_each(other, MOMENT)
    PushPolicy.objects.create(link=other)

    assert [(place.source, place.moment) for place in every_entry(link)] == [("version", MOMENT - 90 * DAY)]


@pytest.mark.parametrize("hour", [0, 12])
def test_paging_shows_every_entry_once_newest_first_also_when_all_happened_at_one_moment(
    link: AccountLink, hour: int
) -> None:
    for number in range(8):
        make_one_of_each(link, MOMENT.replace(hour=hour), number)
    make_event("subscription.paused", subscription(link.paddle_subscription_id), occurred_at=MOMENT - DAY)

    places = every_entry(link)

    # Nobody overrode the policy; two findings were opened each time; and the link's beginning, and the pause.
    assert len(places) == 8 * len(happenings.SOURCES) + 2
    assert len(set(places)) == len(places)
    assert [place.moment for place in places] == sorted((place.moment for place in places), reverse=True)


@pytest.mark.parametrize("hour", [0, 12])
def test_the_way_back_shows_the_same_entries_as_the_way_there(link: AccountLink, hour: int) -> None:
    for number in range(6):
        make_one_of_each(link, MOMENT.replace(hour=hour) + number // 2 * DAY, number)
    there = every_entry(link)

    back: list[Place] = []
    page = timeline.page(link, newer_than=there[-1])
    back = [entry.place for entry in page.entries]
    while page.newer is not None:
        page = timeline.page(link, newer_than=page.newer)
        back = [entry.place for entry in page.entries] + back

    assert back == there[:-1]


def test_the_time_line_asks_the_database_as_often_for_five_hundred_entries_as_for_one(link: AccountLink) -> None:
    assert len(every_entry(link)) == 1
    with CaptureQueriesContext(connection) as few:
        timeline.page(link, on=MOMENT)
        timeline.counts(link)

    for number in range(26):
        make_one_of_each(link, MOMENT - number * DAY, number)
    assert len(every_entry(link)) >= 500
    with CaptureQueriesContext(connection) as many:
        timeline.page(link, on=MOMENT)
        timeline.counts(link)

    assert len(many) == len(few)


def test_the_whole_page_asks_the_database_as_often_for_many_entries_as_for_few(
    browser: Browser, link: AccountLink
) -> None:
    client = browser("Auditor")
    addresses = [account_page(link), account_page(link, on="2026-03-10"), account_page(link, kind="event")]
    make_one_of_each(link, MOMENT)
    few = [_asked(client, address) for address in addresses]

    for number in range(1, 4):
        make_one_of_each(link, MOMENT - number * DAY, number)

    assert [_asked(client, address) for address in addresses] == few


def _asked(client: Client, address: str) -> int:
    client.get(address)  # what is cached for good is cached by now
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


def test_no_more_than_a_page_is_read_of_a_table_and_none_is_counted_to_its_end(link: AccountLink) -> None:
    timeline.page(link)  # the content types are cached by now
    with CaptureQueriesContext(connection) as queries:
        timeline.page(link)
        timeline.counts(link)

    assert len(queries) == len(happenings.SOURCES) + 1
    assert [query["sql"] for query in queries if "LIMIT" not in query["sql"]] == []


def test_a_tab_says_how_many_entries_it_has_and_shows_only_those(browser: Browser, link: AccountLink) -> None:
    make_one_of_each(link, MOMENT)

    answer = browser("Auditor").get(account_page(link, kind="finding"))

    assert {tab["label"]: tab["count"] for tab in answer.context["tabs"]} == {
        "Everything": "",
        "Events": "2",
        "Account and plans": "5",
        "Bills": "5",
        "Pushes": "2",
        "Payments": "1",
        "Findings": "3",
        "What people did": "6",
    }
    assert [tab["label"] for tab in answer.context["tabs"] if tab["chosen"]] == ["Findings"]
    assert {entry.kind for entry in answer.context["timeline"].entries} == {"finding"}


def test_more_than_a_hundred_entries_are_not_counted(link: AccountLink) -> None:
    event = make_event("subscription.updated", subscription(link.paddle_subscription_id))
    EventDecision.objects.bulk_create(
        EventDecision(event=event, at=MOMENT, action="replay", by="ada") for _ in range(timeline.MOST_COUNTED + 5)
    )

    assert timeline.counts(link)["person"] == "more than 99"


def test_a_replaced_plan_says_by_which_and_a_new_one_in_place_of_which(link: AccountLink) -> None:
    make_entry(CatalogueEntry.Kind.M3TER_PLAN, "plan-b", "Scale")
    make_plan(link, "plan-a", MOMENT - DAY, ends_at=MOMENT)
    make_plan(link, "plan-b", MOMENT, quantity=3)

    assert words_of(link, "account")[:3] == [
        "Plan plan-a ended on the account: plan-b takes its place.",
        "Plan Scale began on the account in place of plan-a, quantity 3.",
        "Plan plan-a began on the account, quantity 1.",
    ]


def test_what_is_still_to_come_stands_above_now(browser: Browser, link: AccountLink) -> None:
    make_plan(link, "plan-a", MOMENT, ends_at=clock.now() + 9 * DAY)

    answer = browser("Auditor").get(account_page(link))

    assert answer.context["timeline"].entries[0].said.words == "Plan plan-a ends on the account."
    assert answer.context["mark"] == {"above": 1, "words": "Now. Above it stands what is dated later."}


def test_what_a_person_did_says_who_and_why(link: AccountLink) -> None:
    make_one_of_each(link, MOMENT)
    policy = PushPolicy(link=link)
    history_note(policy, "They asked.")
    policy.save()
    make_log_entry(link, "Sync now. Reason: Told by its event.", MOMENT)

    told = {
        entry.place.source: (entry.said.who, entry.said.words, entry.said.why)
        for entry in timeline.page(link, kind="person").entries
    }

    assert told == {
        "policy": (
            "this application",
            "The push policy override for this account was added.",
            "They asked.",
        ),
        "dismissed": ("ada", "Finding closed: kind 0.", ""),
        "synced": ("ada", happenings.EVENTS_IN_WORDS[own_events.SYNC], "Reason: Asked."),
        "decided": ("ada", "Replayed: subscription.updated.", "Once more."),
        "reviewed": ("ada", "Decided about a bill: approve.", ""),
        "moved": ("ada", "Moved pri_0 to the mapping in force at 2026-03-10 12:00:00 UTC.", ""),
        "history": ("ada", "Reveal personal data. Reason: Asked.", ""),
    }


def test_a_version_of_the_link_says_what_changed_and_not_more(link: AccountLink) -> None:
    link.paddle_status, link.scheduled_action, link.scheduled_at = "paused", "resume", MOMENT
    link.save()

    assert words_of(link, "account")[0] == (
        "Status in Paddle: active → paused; scheduled change: resume; scheduled for: 2026-03-10 12:00:00 UTC."
    )


def test_an_event_stands_with_its_outcome_in_words(link: AccountLink) -> None:
    make_parked(paddle_subscription_id=link.paddle_subscription_id, occurred_at=MOMENT)

    (entry,) = timeline.page(link, kind="event").entries

    assert (entry.said.who, entry.said.words, entry.said.state) == ("Paddle", "The subscription began.", "Parked")
    assert entry.said.why == f"No m3ter plan is mapped to Paddle price pri_unmapped {MARKUP}."


def test_what_a_vendor_wrote_is_only_text_on_the_time_line(browser: Browser, link: AccountLink) -> None:
    make_parked(paddle_subscription_id=link.paddle_subscription_id)
    make_finding(subject=link.paddle_subscription_id)

    assert MARKUP not in browser("Auditor").get(account_page(link)).text


@pytest.mark.parametrize(
    "place",
    [
        "nonsense",
        "2026-03-10T12:00:00+00:00~event",
        "2026-03-10T12:00:00~event~1",
        "2026-03-10T12:00:00+00:00~auth_user~1",
        f"2026-03-10T12:00:00+00:00~event~{'9' * 40}",
        "0001-01-01T00:00:00%2B14:00~event~1",
        "2026-03-10T12:00:00+00:00~event~-1",
    ],
)
def test_a_place_that_no_link_of_ours_carries_leads_to_the_newest_entries(
    browser: Browser, link: AccountLink, place: str
) -> None:
    answer = browser("Auditor").get(account_page(link, before=place, kind="nothing"))

    assert len(answer.context["timeline"].entries) == 1


def test_an_account_of_which_nothing_is_stored_says_so(browser: Browser, link: AccountLink) -> None:
    AccountLink.log.filter(id=link.pk).delete()

    assert "Nothing has happened yet." in browser("Auditor").get(account_page(link)).text
