"""The dry run beside a replay: asked for on the confirmation page, made by a worker, shown in calls and sentences."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from integration_project import clock
from integration_project.models import Heartbeat
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import jobs, rehearsing
from paddle_sync.models import EventRehearsal, WebhookEvent
from tests.builders import make_event, make_mapping, subscription
from tests.console.rows import MARKUP, Everything, make_parked
from tests.paddle_sync.seen import CLOUD

Browser = Callable[[str], Client]
State = WebhookEvent.State
LIST = "/admin/paddle_sync/webhookevent/"
ASK = f"{LIST}rehearse/"

pytestmark = pytest.mark.usefixtures("adapters")


def decide(event: WebhookEvent, name: str = "replay") -> str:
    return reverse("admin:paddle_sync_webhookevent_decide", args=(event.pk, name))


def keys_in(text: str) -> list[str]:
    """What the form that asks for a dry run would send."""
    form = text.partition("data-rehearse")[2].partition("</form>")[0]
    return re.findall(r'name="row" value="(\d+)"', form)


def make_late(seconds: int = 6) -> None:
    EventRehearsal.objects.update(asked_at=clock.now() - dt.timedelta(seconds=seconds))


def make_worker() -> None:
    Heartbeat.objects.all().delete()
    Heartbeat.objects.create(name="host:1", started_at=clock.now(), seen_at=clock.now())


def test_the_confirmation_page_of_a_replay_asks_for_a_dry_run_first(browser: Browser, everything: Everything) -> None:
    text = browser("Operator").get(decide(everything.failed)).text

    assert f'action="{ASK}"' in text
    assert 'data-rehearse="at once"' in text
    assert "console/rehearsal.js" in text
    assert keys_in(text) == [str(everything.failed.pk)]
    assert text.index("data-rehearse") < text.index('id="confirm-form"')
    assert EventRehearsal.objects.count() == 0


def test_other_decisions_ask_for_none(browser: Browser, everything: Everything) -> None:
    assert "data-rehearse" not in browser("Operator").get(decide(everything.failed, "ignore")).text


def test_a_page_that_comes_back_without_a_reason_does_not_ask_by_itself_again(
    browser: Browser, everything: Everything
) -> None:
    text = browser("Operator").post(decide(everything.failed), {"reason": ""}).text

    assert 'data-rehearse="when asked"' in text


def test_a_dry_run_goes_from_working_to_calls_and_sentences(
    browser: Browser, people: object, installation: object, paddle: PaddleSimulator
) -> None:
    make_mapping()
    bought = paddle.complete_checkout(email="ap@harbour.example", name="Anna Person", items=[CLOUD])
    data = {**subscription(), **paddle.subscriptions[bought["subscription_id"]]}
    data["transaction_id"] = bought["transaction_id"]
    event = make_event("subscription.created", data, state=State.FAILED, due_at=None)
    client = browser("Operator")

    working = client.post(ASK, {"row": [event.pk]}, follow=True)
    page = working.redirect_chain[-1][0]
    jobs.drain_rehearsals()
    done = client.get(page)

    assert 'data-state="working"' in working.text
    assert 'http-equiv="refresh"' in working.text
    assert "Working: a worker reads from the vendors" in working.text
    assert 'data-state="done"' in done.text
    assert "http-equiv" not in done.text.partition("</head>")[0].replace('http-equiv="x-ua', "")
    assert f"would create account {bought['subscription_id']} in EUR" in done.text
    assert "POST /organizations/" in done.text
    assert f"GET /transactions/{bought['transaction_id']}" in done.text
    assert "Anna" not in done.text
    assert f'href="{decide(event)}"' in done.text
    event.refresh_from_db()
    assert event.state == State.FAILED


def test_many_selected_events_are_sampled(browser: Browser, people: object) -> None:
    client = browser("Operator")
    events = [make_parked() for _ in range(rehearsing.SAMPLE + 3)]
    running = make_event("subscription.created", subscription(), state=State.PROCESSING)
    selected = [str(event.pk) for event in (*events, running)]

    asked = client.post(LIST, {"action": "replay_selected", "_selected_action": selected})
    answer = client.post(ASK, {"row": [*keys_in(asked.text), running.pk]}, follow=True)

    assert len(keys_in(asked.text)) == rehearsing.SAMPLE
    assert "Of the 23 events, the first 20 are tried out." in asked.text
    assert "0 of 20 are ready." in answer.text
    assert EventRehearsal.objects.count() == rehearsing.SAMPLE


def test_without_a_worker_the_page_says_so_after_a_few_seconds(browser: Browser, everything: Everything) -> None:
    Heartbeat.objects.all().delete()
    client = browser("Operator")
    page = client.post(ASK, {"row": [everything.failed.pk]})["Location"]

    early = client.get(page).text
    make_late()
    late = client.get(page).text
    make_worker()
    back = client.get(page).text

    said = "No worker is running, so nobody makes this dry run."
    assert [said in text for text in (early, late, back)] == [False, True, False]
    assert "You can also replay without a dry run" in late


def test_without_a_worker_one_can_still_replay(browser: Browser, everything: Everything) -> None:
    Heartbeat.objects.all().delete()
    client = browser("Operator")
    client.post(ASK, {"row": [everything.failed.pk]})

    client.post(decide(everything.failed), {"reason": "No time to wait."})

    everything.failed.refresh_from_db()
    assert everything.failed.state == State.RECEIVED


def test_what_could_not_be_tried_out_says_why(browser: Browser, everything: Everything) -> None:
    client = browser("Operator")
    page = client.post(ASK, {"row": [everything.failed.pk]})["Location"]
    WebhookEvent.objects.filter(pk=everything.failed.pk).update(state=State.RECEIVED)

    jobs.drain_rehearsals()

    assert "No dry run: It is received; only an event that is" in client.get(page).text


def test_what_a_vendor_wrote_is_escaped(browser: Browser, everything: Everything) -> None:
    client = browser("Operator")
    page = client.post(ASK, {"row": [everything.failed.pk]})["Location"]
    call: dict[str, Any] = {"vendor": "m3ter", "operation": MARKUP, "method": "POST", "path": MARKUP}
    call |= {"written": True, "body": {"x": MARKUP}}
    EventRehearsal.objects.update(state="done", result={"calls": [call], "sentences": [MARKUP]})

    text = client.get(page).text

    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


@pytest.mark.parametrize(
    ("role", "status"), [("Operator", 302), ("Administrator", 302), ("Finance", 403), ("Auditor", 403)]
)
def test_only_who_may_replay_may_ask_and_see(browser: Browser, everything: Everything, role: str, status: int) -> None:
    page = browser("Operator").post(ASK, {"row": [everything.failed.pk]})["Location"]

    answers = browser(role).post(ASK, {"row": [everything.failed.pk]}), browser(role).get(page)

    assert [answer.status_code for answer in answers] == [status, 200 if status == 302 else 403]


def test_asking_needs_a_post_and_events_that_may_be_replayed(browser: Browser, everything: Everything) -> None:
    client = browser("Operator")
    running = make_event("subscription.created", subscription(), state=State.PROCESSING)

    statuses = [client.get(ASK).status_code, client.post(ASK, {"row": [running.pk, "x"]}).status_code]
    unknown = client.get(f"{LIST}rehearsal/00000000-0000-0000-0000-000000000001/").status_code

    assert (statuses, unknown) == ([302, 404], 404)
    assert EventRehearsal.objects.count() == 0
