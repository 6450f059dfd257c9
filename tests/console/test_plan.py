"""The day's plan in the console: a sentence, what misses its renewal and the button that fits, then the order."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing_bridge import outlook, planning
from billing_bridge.admin import bill_story
from billing_bridge.models import Push, PushedBill, PushPolicy
from billing_bridge.planning import Collected, Hindrance
from integration_project import clock, roles, showing
from integration_project.models import Installation
from tests.builders import make_link
from tests.console.rows import MARKUP, Everything, make_bill, make_push

Browser = Callable[[str], Client]
State = PushedBill.State
Reason = PushedBill.Reason
PLAN = reverse("admin:billing_bridge_pushedbill_plan")
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def live(granted: None, installation: Installation) -> None:
    """Bills are charged since long ago, and nothing speaks against it."""
    Installation.objects.update(charge_from=dt.date(2020, 1, 1))


def bill(state: str = State.READY, *, renews_in: dt.timedelta = 3 * HOUR, **changes: Any) -> PushedBill:
    """A bill of a subscription of its own, due since a minute."""
    link_changes = {
        name: changes.pop(name) for name in ("paddle_status", "scheduled_action", "name") if name in changes
    }
    link = make_link(**link_changes)
    columns: dict[str, Any] = {
        "serial_key": link.paddle_subscription_id,
        "renews_at": clock.now() + renews_in,
        "due_at": clock.now() - dt.timedelta(minutes=1) if state in {State.READY, State.WAITING} else None,
    }
    return make_bill(link, state, **{**columns, **changes})


def decide(row: PushedBill, name: str) -> str:
    return reverse("admin:billing_bridge_pushedbill_decide", args=(row.pk, name))


def panels(answer: Any) -> tuple[Any, Any]:
    """The misses and the order."""
    missing, order = answer.context["parts"]
    return missing.panels[0], order.panels[0]


@pytest.mark.parametrize("role", tuple(roles.ROLES))
def test_everybody_with_a_role_sees_the_plan_and_finds_it_beside_the_bills(browser: Browser, role: str) -> None:
    bill(renews_in=2 * DAY)
    client = browser(role)

    answer = client.get(PLAN)

    assert answer.status_code == 200
    assert f'href="{PLAN}"' in client.get(reverse("admin:index")).text
    assert f'href="{PLAN}"' in client.get(reverse("admin:billing_bridge_pushedbill_changelist")).text


def test_nobody_without_a_role_sees_it(browser: Browser) -> None:
    assert browser("nobody").get(PLAN).status_code == 403
    assert Client().get(PLAN).status_code == 302


def test_without_bills_it_says_so(browser: Browser) -> None:
    answer = browser("Finance").get(PLAN)

    assert answer.context["story"].cause == "0 bills go out in the next 24 hours; none will miss their renewal."
    assert "No bill is to be charged." in answer.text


def test_the_sentence_comes_first_then_the_misses_then_the_order(browser: Browser) -> None:
    later = bill(renews_in=2 * DAY, name="Later Limited")
    soon = bill(renews_in=3 * HOUR, name="Soon Limited")
    held = bill(State.HELD, name="Held Limited", reason_detail="Waits for Finance to approve it here.")
    bill(State.HELD, renews_in=5 * DAY)
    bill(State.PUSHED)
    bill(State.SKIPPED, reason=Reason.OPERATOR)

    answer = browser("Finance").get(PLAN)

    missing, order = panels(answer)
    assert answer.context["story"].cause == "2 bills go out in the next 24 hours; 1 will miss its renewal."
    assert answer.context["story"].tone == "bad"
    assert [row[1] for row in missing.rows] == [_link(held)]
    assert "Waits for Finance to approve it here." in missing.rows[0][3]
    assert f'href="{decide(held, "approve")}"' in missing.rows[0][5]
    assert [row[1] for row in order.rows] == [_link(soon), _link(later)]
    assert answer.text.index("Held Limited") < answer.text.index("Soon Limited")


def _link(row: PushedBill) -> str:
    return showing.row_link(row, f"{bill_story.customer(row)}, {bill_story.period(row)}")


@pytest.mark.parametrize(
    ("state", "values", "decision"),
    [
        (State.FAILED, {}, "resend"),
        (State.LOST, {}, "resend"),
        (State.HELD, {"reason": Reason.CANCELLED}, "send_now"),
        (State.READY, {"renews_in": dt.timedelta(minutes=20)}, "send_now"),
        (State.HELD, {"reason": Reason.MAPPING}, ""),
        (State.WAITING, {"reason": Reason.PAST_DUE}, ""),
        (State.READY, {"paddle_status": "paused"}, ""),
    ],
)
def test_a_miss_has_the_button_that_fits_or_leads_to_its_bill(
    browser: Browser, state: str, values: dict[str, Any], decision: str
) -> None:
    row = bill(state, **values)

    missing, _ = panels(browser("Finance").get(PLAN))

    (shown,) = missing.rows
    page = reverse("admin:billing_bridge_pushedbill_change", args=(row.pk,))
    assert f'href="{decide(row, decision) if decision else page}"' in shown[5]


def test_who_may_not_decide_is_led_to_the_bill(browser: Browser) -> None:
    row = bill(State.HELD)

    missing, _ = panels(browser("Auditor").get(PLAN))

    assert decide(row, "approve") not in missing.rows[0][5]
    assert "What its page says" in missing.rows[0][5]


def test_what_stops_all_charging_is_said_first(browser: Browser) -> None:
    bill()
    Installation.objects.update(native_integration="Bills to Paddle")

    answer = browser("Finance").get(PLAN)

    assert answer.context["story"].cause == "0 bills go out in the next 24 hours; 1 will miss its renewal."
    assert "m3ter itself sends bills to Paddle" in answer.context["story"].effect


def test_it_asks_the_database_as_often_for_many_bills_as_for_few_and_shows_them_page_by_page(browser: Browser) -> None:
    client = browser("Finance")
    rows = [bill(renews_in=DAY + number * HOUR) for number in range(2)]
    bill(State.HELD)
    client.get(PLAN)
    with CaptureQueriesContext(connection) as few:
        client.get(PLAN)

    rows += [bill(renews_in=DAY + number * HOUR) for number in range(2, 60)]
    held = [bill(State.HELD) for _ in range(55)]
    with CaptureQueriesContext(connection) as many:
        first = client.get(PLAN)

    assert len(many) == len(few)
    assert [len(panel.rows) for panel in panels(first)] == [50, 50]
    assert 'href="?page=1"' in first.text
    second = client.get(f"{PLAN}?page=1")
    assert [row[1] for row in panels(second)[1].rows] == [_link(row) for row in rows[50:]]
    both = client.get(f"{PLAN}?page=1&missing=1")
    assert [len(panel.rows) for panel in panels(both)] == [len(held) + 1 - 50, 10]
    assert 'href="?missing=0&amp;page=1"' in both.text
    assert len(panels(client.get(f"{PLAN}?page=999999&missing=x"))[1].rows) == 10


def test_vendors_markup_does_not_work_on_it(browser: Browser, everything: Everything) -> None:
    bill(State.HELD, reason_detail=f"m3ter says {MARKUP}", name=MARKUP)

    answer = browser("superuser").get(PLAN)

    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert" in answer.text


# --- What the plan is made of -----------------------------------------------------------------------------------------


def planned(row: PushedBill) -> planning.Planned:
    (found,) = (each for each in outlook.read().plan.entries if each.bill.id == row.pk)
    return found


def test_the_policy_that_applies_to_a_bill_decides(browser: Browser) -> None:
    PushPolicy.objects.filter(link=None).update(late=PushPolicy.Late.WAIT)
    late = bill(renews_in=dt.timedelta(minutes=20))
    own = bill(renews_in=dt.timedelta(minutes=20))
    PushPolicy.objects.create(link=own.link, late=PushPolicy.Late.IMMEDIATELY)
    chosen = bill(renews_in=2 * HOUR, chosen_mode="immediately")

    assert planned(late).collected == Collected.WITH_LATER_RENEWAL
    assert planned(own).collected == Collected.AT_ONCE
    assert (planned(chosen).collected, planned(chosen).misses) == (Collected.AT_ONCE, False)


def test_immediate_charges_of_the_last_day_count() -> None:
    row = bill(chosen_mode="immediately")
    assert row.link is not None
    for number in range(2, 22):
        other = make_bill(row.link, State.PUSHED)
        make_push(
            other, Push.State.PUSHED, mode="immediately", ordinal=number, sent_at=clock.now() - dt.timedelta(minutes=5)
        )

    found = planned(row)

    assert (found.hindrance, found.collected) == (Hindrance.LIMIT, Collected.AT_ONCE)
    assert found.sends_at is not None
    assert found.sends_at > clock.now() + dt.timedelta(minutes=50)


@pytest.mark.parametrize("looked_for", [True, False])
def test_an_unconfirmed_charge_keeps_the_next_of_its_subscription(looked_for: bool) -> None:
    row = bill()
    assert row.link is not None
    other = make_bill(row.link, State.UNCONFIRMED, due_at=clock.now() if looked_for else None)
    make_push(other, Push.State.UNCONFIRMED)

    found = planned(row)

    assert found.hindrance == Hindrance.ANOTHER_PUSH
    assert (found.sends_at is not None) == looked_for
    assert planned(other).hindrance == Hindrance.UNCONFIRMED


def test_only_so_many_bills_are_planned_those_in_the_greatest_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlook, "MOST", 2)
    bill(renews_in=3 * DAY)
    near = [bill(renews_in=DAY), bill(renews_in=2 * DAY)]

    found = outlook.read()

    assert found.is_cut
    assert [each.bill.id for each in found.plan.entries] == [row.pk for row in near]


def test_the_page_says_what_it_is_and_where_it_stands(browser: Browser) -> None:
    text = browser("Finance").get(PLAN).text

    headings = [" ".join(words.split()) for words in re.findall(r'tracking-tight">\s*([^<]+?)\s*</', text)]
    assert headings == ["m3ter to Paddle", "Bills", "The day&#x27;s plan"]
