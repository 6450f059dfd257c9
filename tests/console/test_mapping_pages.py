"""A mapping's own pages: moving subscriptions to it, testing it against the past, files in and out."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from integration_project import clock
from integration_project import installation as installing
from integration_project.models import Installation
from paddle_sync import bulk
from paddle_sync.models import BulkRun, PlanMapping, PlanMove, SubscriptionSnapshot, WebhookEvent
from tests.builders import make_event, make_mapping, stamp, subscription, subscription_item
from tests.console.rows import MARKUP, make_catalogue, make_parked
from tests.console.test_mappings import ANSWERS, LIST
from tests.paddle_sync.test_mapping_files import GOOD, table
from tests.paddle_sync.test_moving import PRICE, day, make_subscriber

Browser = Callable[[str], Client]
IMPORT = f"{LIST}import/"


def page(name: str, mapping: PlanMapping) -> str:
    return reverse(f"admin:paddle_sync_planmapping_{name}", args=(mapping.pk,))


def said(answer: Any) -> str:
    return "\n".join(str(message) for message in answer.context["messages"])


@pytest.fixture
def newer(db: None) -> PlanMapping:
    """A price on one plan for long, and on another since ten days ago."""
    make_mapping(PRICE, plan="plan-old")
    return make_mapping(PRICE, plan="plan-new", effective_from=day(-10))


# --- Moving -----------------------------------------------------------------------------------------------------------


def test_the_page_says_exactly_who_would_move_from_what_to_what(browser: Browser, newer: PlanMapping) -> None:
    for _ in range(21):
        make_subscriber(name=f"Harbour {MARKUP}")
    make_subscriber(charged_until=clock.now() + dt.timedelta(days=1))

    answer = browser("Operator").get(page("move", newer))

    moving, staying = answer.context["panels"]
    assert answer.context["story"].cause.startswith("21 subscriptions would move to pri_1 -> plan-new")
    assert (moving.title, len(moving.rows), moving.note) == ("These would move: 21", 20, "The first 20 of 21.")
    assert moving.rows[0][2:5] == (PRICE, "plan-old", "plan-new")
    assert staying.title == "These stay as they are: 1"
    assert "<script>alert" not in answer.text
    assert PlanMove.objects.count() == 0


def test_moving_asks_for_a_reason_and_keeps_it(browser: Browser, newer: PlanMapping) -> None:
    make_subscriber()
    client = browser("Operator")
    answers = {"when": "now", "day": "", "count": "1"}

    silent = client.post(page("move", newer), {**answers, "reason": ""})
    assert (silent.status_code, PlanMove.objects.count()) == (200, 0)
    done = client.post(page("move", newer), {**answers, "reason": "New prices."}, follow=True)

    run = BulkRun.objects.get()
    assert done.redirect_chain == [(reverse("admin:paddle_sync_bulkrun_change", args=(run.pk,)), 302)]
    assert (run.kind, run.state, run.by, run.reason) == ("move", "running", "operator", "New prices.")
    assert (PlanMove.objects.count(), done.context["story"].cause) == (0, "0 of 1 done: 1 waiting.")
    bulk.feed()
    assert (PlanMove.objects.get().by, PlanMove.objects.get().reason) == ("operator", "New prices.")
    assert WebhookEvent.objects.get().event_type == "subscription.sync"
    mapping, begun = LogEntry.objects.order_by("pk").values_list("object_id", "change_message")
    assert (mapping[0], begun[0]) == (str(newer.pk), str(run.pk))
    assert mapping[1].startswith("Began to move 1 subscription to it from ")
    assert mapping[1].endswith("Reason: New prices.")


def test_what_has_changed_since_it_was_shown_is_shown_again(browser: Browser, newer: PlanMapping) -> None:
    make_subscriber()
    make_subscriber()

    answer = browser("Operator").post(page("move", newer), {"when": "now", "count": "1", "reason": "x"})

    assert "has changed since this page was shown" in said(answer)
    assert PlanMove.objects.count() == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [({"when": "day"}, "day"), ({"when": "day", "day": "soon"}, "day"), ({"when": "never"}, "when")],
)
def test_a_moment_that_is_none_is_asked_again(
    browser: Browser, newer: PlanMapping, query: dict[str, str], field: str
) -> None:
    answer = browser("Operator").get(page("move", newer), query)

    assert list(answer.context["before"][0].form.errors) == [field]


def test_a_day_begins_at_midnight_in_the_organisations_time_zone(browser: Browser, newer: PlanMapping) -> None:
    Installation.objects.filter(pk=installing.current().pk).update(organization_timezone="Europe/Berlin")
    make_subscriber()
    answers = {"when": "day", "day": "2030-01-15", "count": "1", "reason": "x"}

    browser("Operator").post(page("move", newer), answers)
    bulk.feed()

    assert PlanMove.objects.get().moves_at == dt.datetime(2030, 1, 14, 23, tzinfo=dt.UTC)


def test_many_are_moved_by_one_run_that_leaves_out_what_was_refused(browser: Browser, newer: PlanMapping) -> None:
    for _ in range(201):
        make_subscriber()
    make_subscriber(next_billed_at=None)
    answers = {"when": "next", "day": "", "count": "201", "reason": "New prices."}

    browser("Operator").post(page("move", newer), answers)

    run = BulkRun.objects.get()
    assert (run.items.count(), PlanMove.objects.count()) == (201, 0)
    assert run.title == f"Move to {newer}"


def test_when_all_follow_it_the_page_says_so(browser: Browser, newer: PlanMapping) -> None:
    answer = browser("Operator").get(page("move", newer))

    assert answer.context["story"].cause == "No live subscription is left to move."
    assert answer.context["questions"] == []


# --- Testing against the past -----------------------------------------------------------------------------------------


def began(days: int) -> str:
    return stamp(clock.now() - dt.timedelta(days=days))


def make_past_event(**changes: Any) -> WebhookEvent:
    """An event of a subscription that began 30 days ago with three items."""
    items = [
        subscription_item("pri_unmapped", "pro_unmapped", quantity=3),
        subscription_item("pri_other", "pro_other"),
        subscription_item("pri_unknown", "pro_unknown"),
    ]
    data = subscription(items=items, started_at=began(30), **changes)
    return make_event("subscription.created", data, state="processed", due_at=None)


def test_a_saved_mapping_says_what_it_means_for_a_past_event(browser: Browser, db: None) -> None:
    make_catalogue()
    mapping = make_mapping("pri_unmapped", plan="plan-eur", metering_starts="trial_end")
    other = make_mapping("pri_other", target="not_metered", plan="", m3ter_product="")
    event = make_past_event()

    answer = browser("Auditor").get(page("try", mapping), {"event": event.event_id})

    story, (panel,) = answer.context["story"], answer.context["panels"]
    assert "This mapping decides 1 of its 3 items; other mappings decide 1; 1 is still missing." in story.cause
    assert "It would wait until" in story.effect
    mine, others, missing = panel.rows
    assert "This mapping" in mine[3]
    assert mine[4].startswith(f'Gets "Scale {MARKUP}" (plan-eur) from {clock.now() - dt.timedelta(days=30):%Y-%m-%d}')
    assert "or from its trial's end" in mine[4]
    assert mine[4].endswith("Its quantity, 3, is ignored.")
    assert str(other) in others[3].replace("&gt;", ">")
    assert others[4] == "Not metered: nothing happens in m3ter."
    assert "Nobody yet" in missing[3]
    assert "<script>alert" not in answer.text


def test_a_form_is_tested_before_it_is_saved(browser: Browser, db: None) -> None:
    make_catalogue()
    event = make_past_event()
    answers = {
        **ANSWERS,
        "reason": "",
        "about": event.event_id,
        "quantity_use": "custom_field",
        "quantity_field": "seats",
    }

    answer = browser("Operator").post(f"{LIST}try/", answers)

    assert "This mapping decides 1 of its 3 items" in answer.context["story"].cause
    assert "Its quantity, 3, is written to the custom field seats." in answer.context["panels"][0].rows[0][4]
    assert ("m3ter_side", "plan:plan-eur") in answer.context["questions"][0].hidden
    assert PlanMapping.objects.count() == 0
    assert LogEntry.objects.count() == 0


def test_a_changed_form_is_tested_instead_of_what_is_saved(browser: Browser, db: None) -> None:
    make_catalogue()
    mapping = make_mapping("pri_unmapped", plan="plan-eur")
    event = make_past_event()

    answers = {**ANSWERS, "m3ter_side": "group-1", "about": event.event_id}
    answer = browser("Operator").post(page("try", mapping), answers)

    assert 'Gets "All of it" (group-1)' in answer.context["panels"][0].rows[0][4]
    mapping.refresh_from_db()
    assert mapping.m3ter_plan_id == "plan-eur"


def test_a_form_that_lacks_something_says_what(browser: Browser, db: None) -> None:
    make_catalogue()

    answer = browser("Operator").post(f"{LIST}try/", {**ANSWERS, "m3ter_side": "scale"})

    assert answer.context["panels"][0].rows == [("In m3ter", "2 match 'scale'. Choose one of them, or add a word.")]


def test_a_mapping_that_begins_after_the_item_did_does_not_decide_it(browser: Browser, db: None) -> None:
    mapping = make_mapping("pri_unmapped", effective_from=day(-10))
    event = make_past_event()

    answer = browser("Auditor").get(page("try", mapping), {"about": event.event_id})

    assert "decides 0 of its 3 items" in answer.context["story"].cause


def test_an_item_that_came_later_is_decided_by_the_day_it_came(browser: Browser, db: None) -> None:
    mapping = make_mapping("pri_added", effective_from=day(-10))
    link = make_subscriber(price="pri_first", plan="")
    SubscriptionSnapshot.objects.create(
        paddle_subscription_id=link.paddle_subscription_id,
        occurred_at=clock.now() - dt.timedelta(days=5),
        event_id="evt_added",
        event_type="subscription.updated",
        data={
            "status": "active",
            "started_at": began(90),
            "items": [
                {"price": {"id": price, "product_id": "", "name": ""}, "product": {"name": ""}, "quantity": 1}
                for price in ("pri_first", "pri_added")
            ],
        },
    )

    answer = browser("Auditor").get(page("try", mapping), {"about": link.paddle_subscription_id})

    assert "decides 1 of its 2 items" in answer.context["story"].cause


def test_two_plans_of_one_product_are_foreseen(browser: Browser, db: None) -> None:
    mapping = make_mapping("pri_unmapped", plan="plan-eur", m3ter_product="product-1")
    make_mapping("pri_other", plan="plan-usd", m3ter_product="product-1")
    make_mapping("pri_unknown", plan="plan-else", m3ter_product="product-2")
    event = make_past_event()

    answer = browser("Auditor").get(page("try", mapping), {"about": event.event_id})

    assert "ask for two plans of one m3ter product" in answer.context["story"].effect


@pytest.mark.parametrize(
    ("about", "words"),
    [("evt_nowhere", "No event and no subscription called"), ("evt_bill", "has no items of a subscription")],
)
def test_what_cannot_be_tested_against_says_why(browser: Browser, db: None, about: str, words: str) -> None:
    make_event("transaction.completed", {"id": "txn_1"}, event_id="evt_bill")

    answer = browser("Auditor").get(page("try", make_mapping()), {"about": about})

    assert words in answer.context["story"].cause


def test_events_that_wait_for_the_mapping_are_offered_first(browser: Browser, db: None) -> None:
    waiting = make_parked("pri_unmapped")
    later = make_past_event()

    answer = browser("Auditor").get(page("try", make_mapping("pri_unmapped")))

    choices = [value for value, _ in answer.context["questions"][0].form.fields["event"].choices]
    assert choices == ["", waiting.event_id, later.event_id]


# --- Files ------------------------------------------------------------------------------------------------------------


def upload(client: Client, content: bytes, name: str = "sandbox.csv") -> Any:
    return client.post(IMPORT, {"file": SimpleUploadedFile(name, content)})


@pytest.fixture
def content(db: None) -> bytes:
    """A file of a mapping to change and one to add."""
    make_catalogue()
    make_mapping("pri_unmapped", plan="plan-usd", effective_from=dt.date(2026, 1, 31))
    changed = {**GOOD, "paddle_price_id": "pri_unmapped", "m3ter_plan_id": "plan-eur"}
    return table(changed, {**changed, "effective_from": "2026-02-28", "note": "=1+1"})


def test_a_file_is_shown_first_and_written_after_a_reason(browser: Browser, content: bytes) -> None:
    client = browser("Operator")
    waiting = make_parked("pri_unmapped")

    shown = upload(client, content)
    token = dict(shown.context["questions"][0].hidden)["token"]
    assert "1 to add, 1 to change, 0 the same, 0 here and not in the file" in shown.context["story"].cause
    assert "m3ter plan id: plan-usd → plan-eur" in shown.context["panels"][0].rows[0][3]
    assert PlanMapping.objects.get().m3ter_plan_id == "plan-usd"
    silent = client.post(IMPORT, {"token": token, "reason": ""})
    assert (silent.status_code, PlanMapping.objects.count()) == (200, 1)
    done = client.post(IMPORT, {"token": token, "reason": "Go live."}, follow=True)

    assert "1 added, 1 changed. 1 events that waited will run now." in said(done)
    assert set(PlanMapping.objects.values_list("m3ter_plan_id", "note")) == {("plan-eur", ""), ("plan-eur", "=1+1")}
    waiting.refresh_from_db()
    assert waiting.state == "received"
    mapping = PlanMapping.objects.order_by("pk").first()
    assert mapping is not None
    history = client.get(page("history", mapping)).text
    assert "Imported by operator: Go live." in history
    assert set(LogEntry.objects.values_list("change_message", flat=True)) == {
        "Added from the file sandbox.csv. Reason: Go live.",
        "Changed from the file sandbox.csv. Reason: Go live.",
    }


def test_a_refused_file_says_where_and_changes_nothing(browser: Browser, content: bytes) -> None:
    answer = upload(browser("Operator"), content + table({**GOOD, "target": "house"}).split(b"\r\n", 1)[1])

    (panel,) = answer.context["panels"]
    assert answer.context["story"].cause == "sandbox.csv is refused, and nothing was changed."
    assert [row[:2] for row in panel.rows] == [(4, "paddle_price_id"), (4, "target")]
    assert PlanMapping.objects.get().m3ter_plan_id == "plan-usd"


def test_a_file_that_is_too_large_is_refused_unread(browser: Browser, db: None) -> None:
    answer = upload(browser("Operator"), b"x" * (2 * 1024 * 1024 + 2))

    assert answer.context["panels"][0].rows[0][2] == "It has more than 2,097,152 bytes. Split it."


def test_what_changed_after_it_was_shown_is_shown_again(browser: Browser, content: bytes) -> None:
    client = browser("Operator")
    token = dict(upload(client, content).context["questions"][0].hidden)["token"]
    PlanMapping.objects.update(m3ter_plan_id="plan-else")

    answer = client.post(IMPORT, {"token": token, "reason": "Go live."})

    assert "Nothing was changed. The mappings or the catalogue changed" in said(answer)
    assert "plan-else → plan-eur" in answer.context["panels"][0].rows[0][3]
    assert PlanMapping.objects.get().m3ter_plan_id == "plan-else"


def test_what_was_never_shown_is_not_written(browser: Browser, content: bytes) -> None:
    answer = browser("Operator").post(IMPORT, {"token": "invented", "reason": "x"}, follow=True)

    assert "Choose the file again; nothing was changed." in said(answer)
    assert PlanMapping.objects.count() == 1


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_an_export_imported_here_again_changes_nothing(browser: Browser, content: bytes, kind: str) -> None:
    client = browser("Operator")
    PlanMapping.objects.update(note=f"=1+1, {MARKUP}")

    exported = client.get(f"{LIST}export.{kind}")
    answer = upload(client, exported.content, f"mappings.{kind}")

    assert exported["Content-Disposition"].startswith('attachment; filename="plan-mappings-')
    assert answer.context["story"].cause == f"mappings.{kind} changes nothing."
    assert answer.context["questions"] == ()


# --- Roles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "may_change"), [("Operator", True), ("Administrator", True), ("Auditor", False), ("Finance", False)]
)
def test_readers_may_test_and_export_and_others_may_change(
    browser: Browser, newer: PlanMapping, role: str, may_change: bool
) -> None:
    client = browser(role)
    changing = 200 if may_change else 403

    assert client.get(page("try", newer)).status_code == 200
    assert client.get(f"{LIST}export.csv").status_code == 200
    assert client.get(page("move", newer)).status_code == changing
    assert client.get(IMPORT).status_code == changing
    assert client.post(page("move", newer), {"when": "now", "reason": "x"}).status_code == changing
    assert client.post(page("try", newer), ANSWERS).status_code == changing
    assert client.post(f"{LIST}try/", ANSWERS).status_code == changing
    listed = client.get(LIST).text
    assert ("Import a file" in listed) is may_change
    assert "Export as CSV" in listed
    shown = client.get(page("change", newer)).text
    assert ("Move subscriptions to this mapping" in shown) is may_change
    assert ("Test it before you save" in shown) is may_change


def test_nobody_without_a_role_or_login_sees_these_pages(browser: Browser, newer: PlanMapping) -> None:
    addresses = [page("try", newer), page("move", newer), f"{LIST}export.csv", IMPORT]

    assert {browser("nobody").get(address).status_code for address in addresses} == {403}
    assert {Client().get(address).status_code for address in addresses} == {302}


def test_pages_of_what_is_not_there_are_not_found(browser: Browser, db: None) -> None:
    client = browser("Operator")

    assert client.get(f"{LIST}99999/move/").status_code == 404
    assert client.get(f"{LIST}99999/try/").status_code == 404
    assert client.get(f"{LIST}export.xlsx").status_code == 404
