"""The page of an account: one time line over everything, what it was on a day, and what a person can do about it."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing_bridge.models import BillEntry, BillRevision, Push, PushAttempt, PushedBill, PushPolicy
from integration_project import clock, finding
from integration_project.models import Finding, Installation
from integration_project.pages import account_story, account_then, timeline
from integration_project.pages.timeline import Place
from paddle_sync import intake
from paddle_sync.models import (
    AccountLink,
    AccountPlanLink,
    CatalogueEntry,
    CounterLink,
    EventDecision,
    PlanMapping,
    PlanMove,
    SubscriptionSnapshot,
    WebhookEvent,
    history_note,
)
from tests.builders import make_event, make_link, make_mapping, paddle_id, stamp, subscription
from tests.console.rows import MARKUP, confirm, make_bill, make_entry, make_finding, make_parked, make_push

Browser = Callable[[str], Client]
MOMENT = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def link(granted: None) -> AccountLink:
    """An account linked before everything else happened."""
    link = make_link(created_at=MOMENT - 90 * DAY)
    AccountLink.log.filter(id=link.pk).update(history_date=MOMENT - 90 * DAY)
    return link


def page_of(link: AccountLink, **query: str) -> str:
    address = reverse("admin:paddle_sync_accountlink_change", args=(link.pk,))
    return f"{address}?{'&'.join(f'{name}={value}' for name, value in query.items())}" if query else address


def policy_form(link: AccountLink) -> str:
    return f"{reverse('admin:billing_bridge_pushpolicy_add')}?link={link.pk}"


def decide(link: AccountLink) -> str:
    return reverse("admin:paddle_sync_accountlink_decide", args=(link.pk, "sync"))


def make_plan(link: AccountLink, plan: str, starts_at: dt.datetime, **values: Any) -> AccountPlanLink:
    columns: dict[str, Any] = {
        "code": f"{link.paddle_subscription_id}:{plan}:{starts_at.timestamp():.0f}",
        "m3ter_account_plan_id": f"of-{plan}",
        "m3ter_plan_id": plan,
        "m3ter_product_id": "product-1",
        "starts_at": starts_at,
        "paddle_price_ids": ["pri_mapped"],
    }
    return AccountPlanLink.objects.create(link=link, **{**columns, **values})


def make_snapshot(link: AccountLink, occurred_at: dt.datetime, **data: Any) -> SubscriptionSnapshot:
    said = subscription(link.paddle_subscription_id, **data)
    return SubscriptionSnapshot.objects.create(
        paddle_subscription_id=link.paddle_subscription_id,
        occurred_at=occurred_at,
        event_id=paddle_id("evt"),
        event_type="subscription.updated",
        data=said,
    )


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


# --- Time line --------------------------------------------------------------------------------------------------------


def test_every_table_that_knows_of_the_account_is_on_its_time_line(link: AccountLink) -> None:
    PushPolicy.objects.create(link=link)

    make_one_of_each(link, MOMENT)

    assert {place.source for place in every_entry(link)} == {source.name for source in timeline.SOURCES}


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
    assert len(places) == 8 * len(timeline.SOURCES) + 2
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
    addresses = [page_of(link), page_of(link, on="2026-03-10"), page_of(link, kind="event")]
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
    with CaptureQueriesContext(connection) as queries:
        timeline.page(link)
        timeline.counts(link)

    assert len(queries) == len(timeline.SOURCES) + 1
    assert [query["sql"] for query in queries if "LIMIT" not in query["sql"]] == []


def test_a_tab_says_how_many_entries_it_has_and_shows_only_those(browser: Browser, link: AccountLink) -> None:
    make_one_of_each(link, MOMENT)

    answer = browser("Auditor").get(page_of(link, kind="finding"))

    assert {tab["label"]: tab["count"] for tab in answer.context["tabs"]} == {
        "Everything": "",
        "Events": "2",
        "Account and plans": "5",
        "Bills": "4",
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

    answer = browser("Auditor").get(page_of(link))

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
        "synced": ("ada", timeline.EVENTS_IN_WORDS[intake.SYNC], "Reason: Asked."),
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

    assert MARKUP not in browser("Auditor").get(page_of(link)).text


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
    answer = browser("Auditor").get(page_of(link, before=place, kind="nothing"))

    assert len(answer.context["timeline"].entries) == 1


def test_an_account_of_which_nothing_is_stored_says_so(browser: Browser, link: AccountLink) -> None:
    AccountLink.log.filter(id=link.pk).delete()

    assert "Nothing has happened yet." in browser("Auditor").get(page_of(link)).text


# --- What it was on a day ---------------------------------------------------------------------------------------------


def test_a_day_shows_what_the_subscription_was_then_and_marks_the_place(browser: Browser, link: AccountLink) -> None:
    renewal = stamp(MOMENT + 20 * DAY)
    make_snapshot(link, MOMENT - 2 * DAY, status="trialing", currency_code="USD", next_billed_at=renewal)
    make_snapshot(link, MOMENT + DAY, status="canceled")
    make_plan(link, "ended-before", MOMENT - 9 * DAY, ends_at=MOMENT - 3 * DAY)
    make_plan(link, "ran-then", MOMENT - 3 * DAY, ends_at=MOMENT + 2 * DAY, quantity=4)
    make_plan(link, "began-later", MOMENT + 2 * DAY)
    for day, value in ((MOMENT - 2 * DAY, 5), (MOMENT - DAY, 6), (MOMENT + DAY, 7)):
        CounterLink.objects.create(
            link=link, m3ter_counter_id="seats", day=day.date(), value=value, m3ter_adjustment_id=f"of-{value}"
        )

    answer = browser("Auditor").get(page_of(link, on="2026-03-10"))

    assert 'href="#mark"' in answer.text
    (panel,) = answer.context["then_panels"]
    shown = dict(panel.rows)
    assert (shown["Status in Paddle"], shown["Currency"]) == ("trialing", "USD")
    assert shown["Next renewal"] == "2026-03-30 12:00:00 UTC"
    assert shown["Plans that ran"] == (
        "ran-then, quantity 4, since 2026-03-07 12:00:00 UTC until 2026-03-12 12:00:00 UTC"
    )
    assert shown["Counter seats"] == "6 since 2026-03-09"
    above = [entry.place.moment for entry in answer.context["timeline"].entries][: answer.context["mark"]["above"]]
    assert above == [MOMENT + 2 * DAY, MOMENT + 2 * DAY, (MOMENT + DAY).replace(hour=0)]
    assert "Here is 2026-03-10 23:59:59 UTC" in answer.text


def test_a_day_ends_when_it_ends_in_the_organisations_time_zone(installation: Installation) -> None:
    Installation.objects.update(organization_timezone="America/New_York")

    assert account_then.moment_of("2026-03-10") == dt.datetime(2026, 3, 11, 3, 59, 59, 999_999, tzinfo=dt.UTC)


def test_a_day_before_everything_says_that_nothing_is_known(browser: Browser, link: AccountLink) -> None:
    answer = browser("Auditor").get(page_of(link, on="2020-01-01"))

    assert "Nothing is stored from then or before" in answer.text
    assert answer.context["mark"]["above"] == 1


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "9999-12-31", "0001-01-01", "%00", "2026-03-10T12:00:00"])
def test_what_is_no_day_is_answered_with_a_sentence_or_with_nothing_known(
    browser: Browser, link: AccountLink, day: str
) -> None:
    answer = browser("Auditor").get(page_of(link, on=day))

    assert "is not a day. Write it as 2026-01-31." in answer.text or "Nothing is stored from then" in answer.text


# --- The sentence on top ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "cause", "effect"),
    [
        ({}, "Harbour Tools is measured in m3ter under", "In Paddle: active. It renews in 9 days."),
        ({"paddle_status": "trialing", "next_billed_at": MOMENT}, "in trial until 2026-03-10 12:00:00 UTC", "choice"),
        ({"paddle_status": "past_due"}, "is past due since 2026-03-08 12:00:00 UTC", "still measured"),
        ({"paddle_status": "paused"}, "is paused since 2026-03-08 12:00:00 UTC", "plans ended at the pause"),
        (
            {"paddle_status": "canceled", "entities_ended_at": MOMENT},
            "was cancelled at 2026-03-08 12:00:00 UTC",
            "Everything on the account ends at 2026-03-10 12:00:00 UTC.",
        ),
        (
            {"scheduled_action": "cancel", "scheduled_at": MOMENT},
            "is measured in m3ter",
            "Paddle says that it will be cancelled",
        ),
        (
            {"scheduled_action": "pause", "scheduled_at": MOMENT},
            "is measured in m3ter",
            "Paddle says that it will be paused",
        ),
        ({"state": "ended"}, "no longer measures into this account", "No bill goes this way."),
    ],
)
def test_the_page_says_first_how_the_subscription_stands(
    link: AccountLink, changes: dict[str, Any], cause: str, effect: str
) -> None:
    for name, value in changes.items():
        setattr(link, name, value)
    link.save()
    make_snapshot(link, MOMENT - 3 * DAY, status="another")
    make_snapshot(link, MOMENT - 2 * DAY, status=link.paddle_status)
    make_snapshot(link, MOMENT - DAY, status=link.paddle_status)

    told = account_story.story(link, account_story.around(link))

    assert cause in told.cause
    assert effect in told.effect
    assert told.next_step


def test_an_account_that_was_taken_over_leads_to_the_subscription_that_has_it_now(
    browser: Browser, link: AccountLink
) -> None:
    AccountLink.objects.filter(pk=link.pk).update(state=AccountLink.State.ENDED)
    heir = make_link(m3ter_account_id=link.m3ter_account_id)

    answer = browser("Auditor").get(page_of(link))

    assert f"taken over by subscription {heir.paddle_subscription_id}" in answer.context["story"].effect
    assert ("The subscription that took over", page_of(heir)) in [
        (each.label, each.url) for each in answer.context["links"]
    ]


def test_what_waits_for_a_person_is_named_first_and_linked(browser: Browser, link: AccountLink) -> None:
    parked = make_parked(paddle_subscription_id=link.paddle_subscription_id)
    finding.report("item added", link.paddle_subscription_id, detail="A thing.", next_step="Do it.")
    client = browser("Operator")

    answer = client.get(page_of(link))

    story = answer.context["story"]
    assert story.tone == "wait"
    assert "It has 1 open finding, 1 event that waits for a decision." in story.effect
    assert story.next_step == "Decide what its parked events wait for; they then run by themselves."
    (waiting,) = (each.url for each in answer.context["links"] if each.label == "Parked events (1)")
    assert [row.pk for row in client.get(waiting).context["cl"].result_list] == [parked.pk]
    assert answer.context["panels"][0].rows[0][2:] == ("A thing.", "Do it.")


# --- What a person can do ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["paddle", "paddle_classic"])
def test_sync_now_asks_for_the_subscription_to_be_looked_at_anew_also_without_any_event(
    browser: Browser, link: AccountLink, source: str
) -> None:
    AccountLink.objects.filter(pk=link.pk).update(source=source)

    answer = confirm(browser("Operator"), decide(link), {"reason": "Changed in Paddle by hand."})

    event = WebhookEvent.objects.get()
    assert (event.event_type, event.source, event.paddle_subscription_id, event.state) == (
        intake.SYNC,
        source,
        link.paddle_subscription_id,
        "received",
    )
    newest = answer.context["timeline"].entries[0]
    assert newest.said.who == "operator"
    assert (newest.said.words, newest.said.state) == (timeline.EVENTS_IN_WORDS[intake.SYNC], "Received")
    assert newest.said.why == "Reason: Changed in Paddle by hand."
    assert "A sync that was asked for" in answer.context["story"].effect
    assert LogEntry.objects.get().get_change_message() == "Sync now. Reason: Changed in Paddle by hand."


def test_what_came_of_a_sync_is_on_the_page(browser: Browser, link: AccountLink) -> None:
    event = intake.ask_to_sync(link.paddle_subscription_id, by="ada", reason="")
    WebhookEvent.objects.filter(pk=event.pk).update(state="processed", finished_at=clock.now(), note="All was right.")

    answer = browser("Auditor").get(page_of(link))

    assert answer.context["timeline"].entries[0].said.why == "All was right."
    assert re.search(r"Last synced (now|\d+ seconds? ago)\.", answer.context["story"].effect)


def test_a_sync_that_waits_already_is_not_asked_for_twice(browser: Browser, link: AccountLink) -> None:
    confirm(browser("Operator"), decide(link), {"reason": "Once."})

    twice = confirm(browser("Operator"), decide(link), {"reason": "Twice."})

    assert "waits for the worker already" in twice.text
    assert WebhookEvent.objects.count() == 1


def test_many_accounts_are_synced_at_once(browser: Browser, granted: None) -> None:
    links = [make_link(), make_link()]
    address = reverse("admin:paddle_sync_accountlink_decide_many", args=("sync",))

    browser("Operator").post(address, {"row": [each.pk for each in links], "reason": "After an outage."})

    assert set(WebhookEvent.objects.values_list("paddle_subscription_id", "event_type")) == {
        (each.paddle_subscription_id, intake.SYNC) for each in links
    }


@pytest.mark.parametrize(("role", "offered"), [("Finance", True), ("Administrator", True), ("Operator", False)])
def test_the_push_policy_is_overridden_by_whoever_may(
    browser: Browser, link: AccountLink, role: str, offered: bool
) -> None:
    links = {each.label: each.url for each in browser(role).get(page_of(link)).context["links"]}

    assert links.get("Override push policy") == (policy_form(link) if offered else None)


def test_the_form_of_an_override_begins_with_the_account_and_everybodys_answers(
    browser: Browser, link: AccountLink
) -> None:
    PushPolicy.objects.filter(link=None).update(automatic=True, max_wait_days=77)

    form = browser("Finance").get(policy_form(link)).context["adminform"].form

    assert form.get_initial_for_field(form.fields["link"], "link") == str(link.pk)
    assert form.initial["automatic"] is True
    assert form.initial["max_wait_days"] == 77


def test_an_override_that_exists_is_changed_and_not_added_again(browser: Browser, link: AccountLink) -> None:
    override = PushPolicy.objects.create(link=link)

    links = {each.label: each.url for each in browser("Finance").get(page_of(link)).context["links"]}

    assert "Override push policy" not in links
    assert links["Change its push policy override"] == reverse(
        "admin:billing_bridge_pushpolicy_change", args=(override.pk,)
    )


def test_a_plan_says_which_mapping_it_comes_from_and_where_to_decide_otherwise(
    browser: Browser, link: AccountLink
) -> None:
    mapping = make_mapping("pri_mapped", plan="plan-a")
    make_mapping("pri_mapped", plan="plan-b", effective_from=dt.date(2026, 1, 1))
    make_mapping("pri_other", plan="plan-a")
    make_plan(link, "plan-a", MOMENT)

    (panel,) = browser("Operator").get(page_of(link)).context["panels"]
    (row,) = panel.rows

    links = re.findall(r'href="([^"]+)"', row[1])
    assert links == [
        reverse("admin:paddle_sync_planmapping_change", args=(mapping.pk,)),
        f"{reverse('admin:paddle_sync_planmapping_add')}?paddle_price_id=pri_mapped",
    ]
    assert "so nobody ends one here" in panel.note


def test_a_plan_may_come_from_the_mapping_of_its_prices_product(browser: Browser, link: AccountLink) -> None:
    make_entry(CatalogueEntry.Kind.PADDLE_PRICE, "pri_mapped", "Pro", parent_id="pro_1")
    mapping = make_mapping(product="pro_1", plan="plan-a")
    make_plan(link, "plan-a", MOMENT, ends_at=MOMENT + DAY)

    (panel,) = browser("Operator").get(page_of(link)).context["panels"]

    assert re.findall(r'href="([^"]+)"', panel.rows[0][1]) == [
        reverse("admin:paddle_sync_planmapping_change", args=(mapping.pk,))
    ]


def test_a_plan_without_a_mapping_says_so(browser: Browser, link: AccountLink) -> None:
    make_plan(link, "plan-a", MOMENT)
    PlanMapping.objects.all().delete()

    (panel,) = browser("Auditor").get(page_of(link)).context["panels"]

    assert "no mapping leads to it any more" in panel.rows[0][1]


def test_the_bills_of_the_account_stand_below_with_all_of_them_behind_a_link(
    browser: Browser, link: AccountLink
) -> None:
    bill = make_bill(link)
    make_bill(make_link())
    client = browser("Auditor")

    (panel,) = client.get(page_of(link)).context["lower_panels"]

    assert len(panel.rows) == 1
    assert [row.pk for row in client.get(panel.more.url).context["cl"].result_list] == [bill.pk]
