"""What is found about subscriptions of Paddle Classic, and that its fixes ask Classic and not Billing."""

from collections.abc import Callable

import pytest

from integration_project import events, finding, fixes
from integration_project.models import Finding, Installation
from integration_project.pages import happenings
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator, sample
from paddle_sync import comparing, drift, own_events
from paddle_sync.models import AccountLink, PlanMapping, WebhookEvent
from tests.builders import make_mapping
from tests.paddle_sync.seen import open_findings, operations

Run = Callable[[], int]


@pytest.fixture(autouse=True)
def mapped(classic: ClassicSimulator, installation: Installation) -> None:
    make_mapping(str(sample.PLAN_TEAM))


def fix(kind: str) -> None:
    told = Finding.objects.get(kind=kind, state="open")
    found = fixes.fix_of(kind)
    assert found is not None
    fixes.apply(found, told.pk, by="olga", reason="It was broken.")


def test_a_subscription_whose_beginning_never_came_is_imported_from_classic_by_its_fix(
    classic: ClassicSimulator, paddle: PaddleSimulator, deliver: Run, run_jobs: Run
) -> None:
    made = classic.subscribe(email="kai@customer.example")
    classic.outbox.clear()
    classic.change_quantity(made["subscription_id"], 4)
    deliver()
    run_jobs()
    told = open_findings()

    fix(comparing.NOT_LINKED)
    run_jobs()

    assert told == [(comparing.NOT_LINKED, "")]
    assert AccountLink.objects.get().paddle_subscription_id == made["subscription_id"]
    assert open_findings() == []
    assert operations(paddle) == []


def test_an_account_that_is_gone_is_made_again_from_what_classic_says(
    classic: ClassicSimulator, m3ter: M3terSimulator, vendors: Vendors, deliver: Run, run_jobs: Run
) -> None:
    made = classic.subscribe(email="kai@customer.example")
    deliver()
    run_jobs()
    WebhookEvent.objects.all().delete()  # as retention does, one day
    for plan in list(m3ter.memory.account_plans):
        m3ter.memory.account_plans.remove(plan)
    (account,) = [row for row in m3ter.memory.accounts if row["code"] == made["subscription_id"]]
    m3ter.memory.accounts.remove(account)
    drift.check(vendors)

    fix(comparing.ACCOUNT_MISSING)
    run_jobs()

    assert AccountLink.objects.get().m3ter_account_id != account["id"]
    assert vendors.m3ter.get_account(AccountLink.objects.get().m3ter_account_id).code == made["subscription_id"]


def test_an_alert_that_waits_for_two_plans_to_agree_runs_again_by_its_fix(
    classic: ClassicSimulator, deliver: Run, run_jobs: Run
) -> None:
    PlanMapping.objects.all().delete()
    made = classic.subscribe(email="kai@customer.example")
    deliver()
    run_jobs()
    waiting = WebhookEvent.objects.filter(event_type="subscription_created")
    waiting.update(waiting_for_kind="plan conflict", waiting_for_key="product")
    make_mapping(str(sample.PLAN_TEAM))
    finding.report("plan conflict", made["subscription_id"], detail="Two plans of one product.")

    fix("plan conflict")
    run_jobs()

    assert waiting.get().state == "processed"


def test_a_subscription_that_no_alert_told_of_is_found_in_classics_list_and_imported(
    classic: ClassicSimulator, vendors: Vendors, deliver: Run, run_jobs: Run
) -> None:
    linked = classic.subscribe(email="kai@customer.example")
    deliver()
    run_jobs()
    classic.clock_move(days=-1)
    unheard_of = classic.subscribe(email="lou@customer.example")
    classic.outbox.clear()
    over = classic.subscribe(email="max@customer.example")
    classic.cancel(over["subscription_id"])
    classic.outbox.clear()
    assert drift.check(vendors).at_end
    told = list(Finding.objects.filter(state="open").values_list("kind", "subject"))

    fix(comparing.NOT_LINKED)
    run_jobs()
    drift.check(vendors)

    assert told == [(comparing.NOT_LINKED, unheard_of["subscription_id"])]
    assert set(AccountLink.objects.values_list("paddle_subscription_id", flat=True)) == {
        linked["subscription_id"],
        unheard_of["subscription_id"],
    }
    assert open_findings() == []


def test_a_classic_that_cannot_be_read_keeps_no_round_from_its_end(
    classic: ClassicSimulator, vendors: Vendors, deliver: Run, run_jobs: Run
) -> None:
    classic.subscribe(email="kai@customer.example")
    deliver()
    run_jobs()
    classic.change_auth_code("another")

    assert drift.check(vendors).at_end


def test_a_subscription_that_was_cancelled_in_classic_before_anybody_linked_it_is_forgotten(
    classic: ClassicSimulator, vendors: Vendors
) -> None:
    classic.clock_move(days=-1)
    made = classic.subscribe(email="kai@customer.example")
    classic.outbox.clear()
    drift.check(vendors)
    told = open_findings()
    classic.cancel(made["subscription_id"])

    drift.check(vendors)

    assert (told, open_findings()) == ([(comparing.NOT_LINKED, "")], [])


def test_the_time_line_says_in_words_what_each_alert_is_about() -> None:
    told = {*events.CLASSIC_HANDLERS, *events.PADDLE_HANDLERS} - {own_events.SUBSCRIBE}

    assert {each for each in told if "subscription" in each} - happenings.EVENTS_IN_WORDS.keys() == set()
