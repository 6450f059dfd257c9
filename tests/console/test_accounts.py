"""The page of an account: one time line over everything, what it was on a day, and what a person can do about it."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from billing_bridge.models import PushedBill, PushPolicy
from integration_project import clock, finding
from integration_project.models import Installation
from integration_project.pages import account_story, account_then, happenings
from paddle_sync import intake, own_events
from paddle_sync.models import (
    AccountLink,
    CatalogueEntry,
    CounterLink,
    PlanMapping,
    SubscriptionSnapshot,
    WebhookEvent,
)
from tests.builders import make_link, make_mapping, paddle_id, stamp, subscription
from tests.console.rows import (
    MOMENT,
    account_page,
    confirm,
    make_bill,
    make_entry,
    make_parked,
    make_plan,
)

Browser = Callable[[str], Client]
DAY = dt.timedelta(days=1)


def policy_form(link: AccountLink) -> str:
    return f"{reverse('admin:billing_bridge_pushpolicy_add')}?link={link.pk}"


def decide(link: AccountLink) -> str:
    return reverse("admin:paddle_sync_accountlink_decide", args=(link.pk, "sync"))


def make_snapshot(link: AccountLink, occurred_at: dt.datetime, **data: Any) -> SubscriptionSnapshot:
    said = subscription(link.paddle_subscription_id, **data)
    return SubscriptionSnapshot.objects.create(
        paddle_subscription_id=link.paddle_subscription_id,
        occurred_at=occurred_at,
        event_id=paddle_id("evt"),
        event_type="subscription.updated",
        data=said,
    )


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

    answer = browser("Auditor").get(account_page(link, on="2026-03-10"))

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
    answer = browser("Auditor").get(account_page(link, on="2020-01-01"))

    assert "Nothing is stored from then or before" in answer.text
    assert answer.context["mark"]["above"] == 1


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "9999-12-31", "0001-01-01", "%00", "2026-03-10T12:00:00"])
def test_what_is_no_day_is_answered_with_a_sentence_or_with_nothing_known(
    browser: Browser, link: AccountLink, day: str
) -> None:
    answer = browser("Auditor").get(account_page(link, on=day))

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

    answer = browser("Auditor").get(account_page(link))

    assert f"taken over by subscription {heir.paddle_subscription_id}" in answer.context["story"].effect
    assert ("The subscription that took over", account_page(heir)) in [
        (each.label, each.url) for each in answer.context["links"]
    ]


def test_what_waits_for_a_person_is_named_first_and_linked(browser: Browser, link: AccountLink) -> None:
    parked = make_parked(paddle_subscription_id=link.paddle_subscription_id)
    finding.report("item added", link.paddle_subscription_id, detail="A thing.", next_step="Do it.")
    client = browser("Operator")

    answer = client.get(account_page(link))

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
        own_events.SYNC,
        source,
        link.paddle_subscription_id,
        "received",
    )
    newest = answer.context["timeline"].entries[0]
    assert newest.said.who == "operator"
    assert (newest.said.words, newest.said.state) == (happenings.EVENTS_IN_WORDS[own_events.SYNC], "Received")
    assert newest.said.why == "Reason: Changed in Paddle by hand."
    assert "A sync that was asked for" in answer.context["story"].effect
    assert LogEntry.objects.get().get_change_message() == "Sync now. Reason: Changed in Paddle by hand."


def test_what_came_of_a_sync_is_on_the_page(browser: Browser, link: AccountLink) -> None:
    event = intake.ask_to_sync(link.paddle_subscription_id, by="ada", reason="")
    WebhookEvent.objects.filter(pk=event.pk).update(state="processed", finished_at=clock.now(), note="All was right.")

    answer = browser("Auditor").get(account_page(link))

    assert answer.context["timeline"].entries[0].said.why == "All was right."
    assert re.search(r"Last synced (now|\d+ seconds? ago)\.", answer.context["story"].effect)


def relink_page(link: AccountLink) -> str:
    return reverse("admin:paddle_sync_accountlink_decide", args=(link.pk, "relink"))


def test_another_account_is_asked_for_with_a_reason_and_no_vendor_is_called(
    browser: Browser, link: AccountLink
) -> None:
    client, answers = browser("Operator"), {"account": "harbour-old", "reason": "Another contract."}

    page = client.get(relink_page(link))
    silent = client.post(relink_page(link), {"account": "harbour-old", "reason": ""})
    nothing = client.post(relink_page(link), {"account": "", "reason": "x"})
    assert (silent.status_code, nothing.status_code, WebhookEvent.objects.count()) == (200, 200, 0)
    done = confirm(client, relink_page(link), answers)

    assert "Refused while a charge is open" in page.text
    assert "1 account link queued to be linked to that account." in done.text
    event = WebhookEvent.objects.get()
    assert (event.event_type, event.payload.entity()["account"]) == ("subscription.relink", "harbour-old")
    assert (event.decisions.get().by, event.decisions.get().reason) == ("operator", "Another contract.")
    entry = LogEntry.objects.get().change_message
    assert entry == "Link to another m3ter account (account harbour-old). Reason: Another contract."


def test_what_can_be_refused_without_m3ter_is_refused_at_once(browser: Browser, link: AccountLink) -> None:
    other = make_link(m3ter_account_code="taken")
    client = browser("Operator")

    def ask(account: str) -> str:
        return str(confirm(client, relink_page(link), {"account": account, "reason": "x"}).text)

    assert "It is linked to that account already." in ask(link.m3ter_account_id)
    assert f"That account belongs to the subscription {other.paddle_subscription_id}." in ask("taken")
    bill = make_bill(link)
    assert "1 bill of the account is not settled" in ask("free")
    PushedBill.objects.filter(pk=bill.pk).update(state=PushedBill.State.SKIPPED)
    assert WebhookEvent.objects.count() == 0
    intake.ask_to_relink(link.paddle_subscription_id, "free", by="ada", reason="")
    assert "It is being linked to another account already." in ask("free")
    assert WebhookEvent.objects.count() == 1


def test_a_link_that_has_ended_is_linked_to_no_other_account(browser: Browser, link: AccountLink) -> None:
    AccountLink.objects.filter(pk=link.pk).update(state="ended")

    confirm(browser("Operator"), relink_page(link), {"account": "free", "reason": "x"})

    assert WebhookEvent.objects.count() == 0


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
        (each.paddle_subscription_id, own_events.SYNC) for each in links
    }


@pytest.mark.parametrize(("role", "offered"), [("Finance", True), ("Administrator", True), ("Operator", False)])
def test_the_push_policy_is_overridden_by_whoever_may(
    browser: Browser, link: AccountLink, role: str, offered: bool
) -> None:
    links = {each.label: each.url for each in browser(role).get(account_page(link)).context["links"]}

    assert links.get("Override push policy") == (policy_form(link) if offered else None)


def test_the_form_of_an_override_begins_with_the_account_and_everybodys_answers(
    browser: Browser, link: AccountLink
) -> None:
    PushPolicy.objects.filter(link=None).update(review="never", max_wait_days=77)

    form = browser("Finance").get(policy_form(link)).context["adminform"].form

    assert form.get_initial_for_field(form.fields["link"], "link") == str(link.pk)
    assert form.initial["review"] == "never"
    assert form.initial["max_wait_days"] == 77


def test_an_override_that_exists_is_changed_and_not_added_again(browser: Browser, link: AccountLink) -> None:
    override = PushPolicy.objects.create(link=link)

    links = {each.label: each.url for each in browser("Finance").get(account_page(link)).context["links"]}

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

    (panel,) = browser("Operator").get(account_page(link)).context["panels"]
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

    (panel,) = browser("Operator").get(account_page(link)).context["panels"]

    assert re.findall(r'href="([^"]+)"', panel.rows[0][1]) == [
        reverse("admin:paddle_sync_planmapping_change", args=(mapping.pk,))
    ]


def test_a_plan_without_a_mapping_says_so(browser: Browser, link: AccountLink) -> None:
    make_plan(link, "plan-a", MOMENT)
    PlanMapping.objects.all().delete()

    (panel,) = browser("Auditor").get(account_page(link)).context["panels"]

    assert "no mapping leads to it any more" in panel.rows[0][1]


def test_the_bills_of_the_account_stand_below_with_all_of_them_behind_a_link(
    browser: Browser, link: AccountLink
) -> None:
    bill = make_bill(link)
    make_bill(make_link())
    client = browser("Auditor")

    (*_, panel) = client.get(account_page(link)).context["lower_panels"]

    assert len(panel.rows) == 1
    assert [row.pk for row in client.get(panel.more.url).context["cl"].result_list] == [bill.pk]
