"""The page of findings offers what puts each kind right, and says what acknowledging the others means."""

from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from integration_project import fixes
from integration_project.models import Finding
from paddle_sync.models import EventDecision, WebhookEvent
from tests.builders import make_event, make_link, subscription
from tests.console.rows import Everything, confirm, make_finding, make_parked

Browser = Callable[[str], Client]


def page_of(finding: Finding) -> str:
    return reverse("admin:integration_project_finding_change", args=(finding.pk,))


def decide(finding: Finding, name: str) -> str:
    return reverse("admin:integration_project_finding_decide", args=(finding.pk, name))


def buttons(client: Client, finding: Finding) -> list[str]:
    return [button["label"] for button in client.get(page_of(finding)).context["buttons"]]


@pytest.mark.parametrize("kind", sorted(fixes.TABLE))
def test_each_kind_offers_its_own_fix_or_its_acknowledgement(browser: Browser, kind: str) -> None:
    finding = make_finding(kind=kind)
    labels = [fix.label for fix in fixes.fixes_of(kind)]

    offered = buttons(browser("Operator"), finding)

    assert offered == ([*labels, "Close"] if labels else ["Acknowledge"])


def test_an_account_in_the_way_is_given_to_the_subscription_by_its_finding_or_its_event(browser: Browser) -> None:
    code = "sub_00000000000000000000000001"
    finding = make_finding(kind="account conflict", subject=code, key=code)
    event = make_parked(waiting_for_kind="account conflict", waiting_for_key="its-code")
    page = reverse("admin:paddle_sync_webhookevent_decide", args=(event.pk, "use_account"))
    client = browser("Operator")

    confirm(client, decide(finding, "use_account"), {"reason": "It is theirs."})
    confirm(client, page, {"reason": "It is theirs too."})

    asked = WebhookEvent.objects.filter(event_type="subscription.relink").order_by("pk")
    said = [(each.subject_id, each.payload.entity()["account"], each.decisions.get().reason) for each in asked]
    assert said == [(code, code, "It is theirs."), (event.paddle_subscription_id, "its-code", "It is theirs too.")]


def test_an_account_is_given_to_no_subscription_that_is_linked(browser: Browser) -> None:
    link = make_link()
    finding = make_finding(kind="account conflict", subject=link.paddle_subscription_id, key="x")

    answer = confirm(browser("Operator"), decide(finding, "use_account"), {"reason": "It is theirs."})

    assert "The subscription is linked by now." in answer.text
    assert WebhookEvent.objects.count() == 0


def test_only_an_event_with_an_account_in_its_way_offers_that_account(browser: Browser) -> None:
    client = browser("Operator")

    def offered(kind: str) -> bool:
        page = reverse("admin:paddle_sync_webhookevent_change", args=(make_parked(waiting_for_kind=kind).pk,))
        return "Use that account" in [button["label"] for button in client.get(page).context["buttons"]]

    assert (offered("account conflict"), offered("price")) == (True, False)


def test_a_kind_of_an_older_version_can_still_be_closed(browser: Browser) -> None:
    assert buttons(browser("Operator"), make_finding(kind="something of last year")) == ["Close"]


def test_the_page_says_what_acknowledging_means(browser: Browser) -> None:
    answer = browser("Operator").get(page_of(make_finding(kind="plan unknown")))

    assert "Acknowledging says that both are meant." in answer.text


def test_a_fix_asks_for_work_and_leaves_the_finding_open(browser: Browser) -> None:
    link = make_link()
    finding = make_finding(kind="mapping missing", subject=link.paddle_subscription_id)

    answer = confirm(browser("Operator"), decide(finding, "sync"), {"reason": "It was deleted by mistake."})

    assert "1 finding queued to be put right by a sync." in answer.text
    event = WebhookEvent.objects.get()
    assert (event.event_type, event.subject_id) == ("subscription.sync", link.paddle_subscription_id)
    decision = EventDecision.objects.get()
    assert (decision.by, decision.reason) == ("operator", "It was deleted by mistake.")
    finding.refresh_from_db()
    assert finding.state == "open"
    message = LogEntry.objects.get().get_change_message()
    assert message == "Sync the subscription. Reason: It was deleted by mistake."


def test_a_fix_takes_many_findings_of_its_kind_and_leaves_the_others(browser: Browser) -> None:
    fitting = [make_finding(kind="plan missing", subject=make_link().paddle_subscription_id) for _ in range(2)]
    other = make_finding(kind="charge lost")
    client = browser("Operator")
    rows = [str(finding.pk) for finding in (*fitting, other)]

    asked = client.post(
        reverse("admin:integration_project_finding_changelist"), {"action": "sync_selected", "_selected_action": rows}
    )
    done = client.post(
        reverse("admin:integration_project_finding_decide_many", args=("sync",)),
        {"row": rows, "reason": "All of them."},
        follow=True,
    )

    assert (asked.context["count"], asked.context["unfit"]) == (2, 1)
    assert "1 left as before" in done.text
    assert WebhookEvent.objects.filter(event_type="subscription.sync").count() == 2


def test_a_fix_that_does_not_fit_the_kind_is_not_carried_out(browser: Browser) -> None:
    finding = make_finding(kind="charge lost")

    answer = browser("Operator").post(decide(finding, "sync"), {"reason": "Try it."}, follow=True)

    assert "not possible in the state this is in now" in answer.text
    assert WebhookEvent.objects.count() == 0


def test_a_conflict_leads_to_the_mappings_and_to_what_waits(browser: Browser) -> None:
    parked = make_parked()
    finding = make_finding(kind="plan conflict", subject=parked.paddle_subscription_id)

    answer = browser("Operator").get(page_of(finding))

    labels = [link.label for link in answer.context["links"]]
    assert labels[:2] == ["Plan mappings", "Events that wait"]
    waiting = next(link.url for link in answer.context["links"] if link.label == "Events that wait")
    assert str(parked.event_type) in browser("Operator").get(waiting).text


@pytest.mark.parametrize("state", ["processed", "parked", "failed"])
def test_an_event_that_no_webhook_brought_says_so(browser: Browser, state: str) -> None:
    fetched = make_event("subscription.created", subscription(), state=state, due_at=None, notification_id="")
    brought = make_event("subscription.created", subscription(), state=state, due_at=None)
    client = browser("Operator")

    pages = [
        client.get(reverse("admin:paddle_sync_webhookevent_change", args=(event.pk,))).text
        for event in (fetched, brought)
    ]

    words = "no webhook had brought it"
    assert [words in page for page in pages] == [True, False]


def test_a_finding_is_closed_once_with_a_reason(browser: Browser) -> None:
    finding = make_finding()
    client = browser("Operator")

    client.post(decide(finding, "close"), {"reason": "Settled by telephone."})
    twice = client.post(decide(finding, "close"), {"reason": "Again."}, follow=True)

    closed = Finding.objects.get()
    assert (closed.state, closed.close_reason) == ("closed", "Settled by telephone.")
    assert closed.closed_by is not None
    assert closed.closed_by.get_username() == "operator"
    assert "not possible in the state this is in now" in twice.text
    assert LogEntry.objects.count() == 1


def test_a_finding_leads_to_what_it_is_about(browser: Browser, everything: Everything) -> None:
    finding = make_finding(subject=everything.held.m3ter_bill_id)
    of_the_bill = reverse("admin:billing_bridge_pushedbill_change", args=(everything.held.pk,))

    answer = browser("Auditor").get(page_of(finding))

    assert [(link.label, link.url) for link in answer.context["links"]] == [("The bill", of_the_bill)]
