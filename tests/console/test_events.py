"""Events in the console: what they say, what is masked, and what a person can do about them."""

import json
from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from paddle_sync.models import EventDecision, WebhookEvent, WebhookPayload
from tests.builders import make_event, make_link, paddle_id, subscription
from tests.console.rows import Everything, make_catalogue, make_parked

Browser = Callable[[str], Client]
State = WebhookEvent.State
LIST = "/admin/paddle_sync/webhookevent/"


def page_of(event: WebhookEvent) -> str:
    return reverse("admin:paddle_sync_webhookevent_change", args=(event.pk,))


def decide(event: WebhookEvent, name: str) -> str:
    return reverse("admin:paddle_sync_webhookevent_decide", args=(event.pk, name))


def listed(client: Client, query: str = "") -> set[int]:
    return {event.pk for event in client.get(f"{LIST}?{query}").context["cl"].result_list}


def test_a_parked_event_says_what_is_missing_what_that_means_and_what_to_do(
    browser: Browser, everything: Everything
) -> None:
    make_parked()

    answer = browser("Operator").get(page_of(everything.parked))

    story = answer.context["story"]
    assert story.cause.startswith('No m3ter plan is mapped to Paddle price "Pro, monthly')
    assert story.cause.endswith("(pri_unmapped).")
    assert story.effect == "Nothing was created in m3ter."
    assert story.next_step == "Map the price; this event and 1 other waiting for it will then run by themselves."
    assert [(link.label, link.strong) for link in answer.context["links"]] == [
        ("Map this price", True),
        ("Show the 2 events waiting for it", False),
    ]
    assert [button["label"] for button in answer.context["buttons"]] == ["Replay", "Ignore", "Reveal personal data"]


def test_the_button_leads_to_the_mapping_form_with_the_price_filled_in(
    browser: Browser, everything: Everything
) -> None:
    client = browser("Operator")
    (form, _) = client.get(page_of(everything.parked)).context["links"]

    answer = client.get(form.url)

    assert answer.context["adminform"].form["paddle_side"].value() == "paddle_price:pri_unmapped"


def test_a_person_who_may_not_map_is_not_sent_to_the_form(browser: Browser, everything: Everything) -> None:
    answer = browser("Finance").get(page_of(everything.parked))

    assert [link.label for link in answer.context["links"]] == ["Show the 1 event waiting for it"]


def test_replaying_queues_the_event_and_keeps_who_and_why(browser: Browser, everything: Everything) -> None:
    answer = browser("Operator").post(
        decide(everything.failed, "replay"), {"reason": "The plan exists now."}, follow=True
    )

    event = WebhookEvent.objects.get(pk=everything.failed.pk)
    assert (event.state, event.replays, event.attempts) == (State.RECEIVED, 1, 0)
    assert event.due_at is not None
    decision = EventDecision.objects.get(event=event)
    assert (decision.action, decision.by, decision.reason) == ("replay", "operator", "The plan exists now.")
    assert "1 event queued for replay." in answer.text
    history = browser("Operator").get(reverse("admin:paddle_sync_webhookevent_history", args=(event.pk,)))
    assert "Replay. Reason: The plan exists now." in history.text


def test_the_confirmation_page_changes_nothing(browser: Browser, everything: Everything) -> None:
    answer = browser("Operator").get(decide(everything.failed, "replay"))

    assert "The worker runs the event again" in answer.text
    assert WebhookEvent.objects.get(pk=everything.failed.pk).state == State.FAILED
    assert LogEntry.objects.filter(object_id=str(everything.failed.pk)).count() == 0


def test_a_decision_that_does_not_fit_the_state_any_more_is_refused(browser: Browser, everything: Everything) -> None:
    WebhookEvent.objects.filter(pk=everything.failed.pk).update(state=State.PROCESSING)

    answer = browser("Operator").post(decide(everything.failed, "replay"), {"reason": "Again."}, follow=True)

    assert "not possible in the state this is in now" in answer.text
    assert WebhookEvent.objects.get(pk=everything.failed.pk).state == State.PROCESSING


def test_many_events_are_ignored_at_once_after_a_look_at_how_many_they_are(
    browser: Browser, everything: Everything
) -> None:
    client = browser("Operator")
    waiting = [make_parked() for _ in range(12)]
    done = make_event("subscription.created", subscription(), state=State.PROCESSED, due_at=None)
    keys = [str(event.pk) for event in (*waiting, done)]

    asked = client.post(LIST, {"action": "ignore_selected", "_selected_action": keys})

    assert "Ignore: 12 events" in asked.text
    assert "1 of the 13 selected stays as it is" in asked.text
    assert len(asked.context["sample"]) == 10
    assert asked.context["beyond_sample"] == 2
    assert WebhookEvent.objects.filter(state=State.IGNORED, pk__in=keys).count() == 0

    address = reverse("admin:paddle_sync_webhookevent_decide_many", args=("ignore",))
    answered = client.post(address, {"row": keys, "reason": "Test purchases."}, follow=True)

    assert "12 events ignored." in answered.text
    assert "1 left as before: Ignore is not possible in their state." in answered.text
    assert WebhookEvent.objects.get(pk=done.pk).state == State.PROCESSED
    assert set(WebhookEvent.objects.filter(state=State.IGNORED, pk__in=keys)) == set(waiting)
    assert LogEntry.objects.filter(change_message="Ignore. Reason: Test purchases.").count() == 12


def test_too_many_rows_at_once_are_refused_and_nothing_is_done(
    browser: Browser, people: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration_project.ledger_admin.MOST_ROWS_AT_ONCE", 2)
    keys = [str(make_parked().pk) for _ in range(3)]

    answer = browser("Operator").post(LIST, {"action": "ignore_selected", "_selected_action": keys}, follow=True)

    assert "More than 2 rows are selected" in answer.text
    assert WebhookEvent.objects.filter(state=State.PARKED).count() == 3


def test_an_unknown_decision_is_not_found(browser: Browser, everything: Everything) -> None:
    assert browser("Operator").get(decide(everything.parked, "delete")).status_code == 404


# --- Personal data ----------------------------------------------------------------------------------------------------


@pytest.fixture
def customer_event(granted: None) -> WebhookEvent:
    """A customer with a name and an address that must not be seen."""
    data = {"id": paddle_id("ctm"), "name": "Jo Brown-Anderson", "email": "jo@example.com", "locale": "en"}
    return make_event("customer.created", data, state=State.IGNORED, due_at=None)


def test_personal_data_is_masked(browser: Browser, customer_event: WebhookEvent) -> None:
    answer = browser("Operator").get(page_of(customer_event))

    assert "jo@example.com" not in answer.text
    assert "Brown-Anderson" not in answer.text
    assert "(masked)" in answer.text
    assert "&quot;locale&quot;: &quot;en&quot;" in answer.text


def test_revealing_shows_it_once_and_is_on_record(browser: Browser, customer_event: WebhookEvent) -> None:
    client = browser("Auditor")

    revealed = client.post(decide(customer_event, "reveal"), {"reason": "Complaint 17."})
    later = client.get(page_of(customer_event))

    assert "jo@example.com" in revealed.text
    assert "no-store" in revealed["Cache-Control"]
    assert "jo@example.com" not in later.text
    (entry,) = LogEntry.objects.all()
    assert entry.get_change_message() == "Reveal personal data. Reason: Complaint 17."
    assert entry.user.get_username() == "auditor"


def test_asking_to_reveal_shows_nothing_yet(browser: Browser, customer_event: WebhookEvent) -> None:
    answer = browser("Operator").get(decide(customer_event, "reveal"))

    assert "jo@example.com" not in answer.text
    assert LogEntry.objects.count() == 0


def test_without_the_permission_nothing_is_revealed(browser: Browser, customer_event: WebhookEvent) -> None:
    answer = browser("Finance").post(decide(customer_event, "reveal"), {"reason": "Curious."})

    assert answer.status_code == 403
    assert "jo@example.com" not in answer.text
    assert LogEntry.objects.count() == 0


def test_a_payload_that_is_no_json_is_still_masked(browser: Browser, customer_event: WebhookEvent) -> None:
    WebhookPayload.objects.filter(event=customer_event).update(body="call jo@example.com now")

    answer = browser("Operator").get(page_of(customer_event))

    assert "jo@example.com" not in answer.text
    assert "call" in answer.text


def test_an_event_whose_payload_is_gone_opens(browser: Browser, customer_event: WebhookEvent) -> None:
    WebhookPayload.objects.all().delete()

    answer = browser("Operator").get(page_of(customer_event))

    assert "The payload is not kept any more." in answer.text


def test_lists_do_not_read_payloads(browser: Browser, customer_event: WebhookEvent) -> None:
    WebhookPayload.objects.update(body=json.dumps({"secret": "zebra"}))

    assert "zebra" not in browser("Operator").get(LIST).text


# --- Finding ----------------------------------------------------------------------------------------------------------


def test_a_search_that_finds_one_event_goes_there(browser: Browser, everything: Everything) -> None:
    client = browser("Operator")

    by_event = client.get(LIST, {"q": f" {everything.parked.event_id} "})
    by_subscription = client.get(LIST, {"q": everything.parked.paddle_subscription_id})

    assert by_event["Location"] == by_subscription["Location"] == page_of(everything.parked)


def test_ids_of_both_vendors_find_a_subscriptions_events(browser: Browser, people: object) -> None:
    client = browser("Operator")
    link = make_link(m3ter_account_id="account-7", m3ter_account_code="harbour")
    events = {
        make_event(kind, subscription(link.paddle_subscription_id)).pk
        for kind in ("subscription.created", "subscription.updated")
    }
    make_event("subscription.created", subscription())

    found = [
        listed(client, f"q={word}")
        for word in (link.paddle_subscription_id, "account-7", "harbour", link.paddle_customer_id)
    ]

    assert found == [events] * 4


def test_filters_narrow_the_list(browser: Browser, everything: Everything) -> None:
    client = browser("Operator")
    replayed = make_parked("pri_other", replays=1)

    assert listed(client, "state__in=parked,failed") == {everything.parked.pk, everything.failed.pk, replayed.pk}
    assert listed(client, "waiting_for=price&waiting_for_key=pri_unmapped") == {everything.parked.pk}
    assert listed(client, "state__exact=failed&received=day") == {everything.failed.pk}
    assert listed(client, "replayed=yes") == {replayed.pk}
    assert listed(client, "received=older") == set()
    assert replayed.pk in listed(client, "received=hour")


def test_old_events_are_told_from_new_ones(browser: Browser, people: object) -> None:
    client = browser("Operator")
    make_catalogue()
    old = make_parked()
    WebhookEvent.objects.filter(pk=old.pk).update(received_at="2020-01-01T00:00:00Z")
    new = make_parked()

    assert listed(client, "received=older") == {old.pk}
    assert listed(client, "received=day") == {new.pk}
