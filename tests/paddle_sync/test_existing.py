"""Existing subscriptions: listed page by page, judged before anything is changed, and taken in as a bulk run."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from integration_project import clock
from integration_project.errors import IntegrationError, NotPossible
from integration_project.models import Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import NewAccount
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from integration_project.vendors.paddle_classic.simulator import sample as classic_sample
from paddle_sync import bulk, existing
from paddle_sync.models import AccountLink, AccountPlanLink, BulkItem, BulkRun, WebhookEvent
from tests.builders import make_mapping
from tests.paddle_sync.seen import CLOUD, INSIGHTS, SEATS, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
WHY: dict[str, Any] = {"by": "ann", "reason": "go-live"}
HALF_A_YEAR = dt.timedelta(days=180)


def subscribed(paddle: PaddleSimulator, count: int = 1, **changes: Any) -> list[str]:
    """Subscriptions that began half a year ago and renew in ten days; no event of theirs was ever delivered."""
    paddle.rate_limit.limit = None
    form: dict[str, Any] = {
        "items": [CLOUD],
        "started_at": (clock.now() - HALF_A_YEAR).isoformat(),
        "next_billed_at": (clock.now() + dt.timedelta(days=10)).isoformat(),
        "imported_from": "elsewhere",
        **changes,
    }
    made = [
        paddle.import_subscription(email=f"buyer{len(paddle.customers)}@harbour.example", name="Harbour", **form)
        for _ in range(count)
    ]
    return [str(each["subscription_id"]) for each in made]


def previewed(vendors: Vendors, **wanted: Any) -> BulkRun:
    """An import as a person sees it before deciding."""
    run = existing.ask(**WHY, **wanted)
    assert existing.prepare(run.pk, vendors)
    run.refresh_from_db()
    return run


def account(vendors: Vendors, code: str, *, name: str = "Somebody else") -> str:
    """An account that m3ter has already."""
    return vendors.m3ter.create_account(NewAccount(code=code, name=name, email_address="x@y.example")).id


def verdicts(run: BulkRun) -> dict[str, str]:
    return dict(run.items.values_list("subject", "verdict"))


def outcomes(run: BulkRun) -> dict[str, int]:
    return dict(bulk.progress(run).counts)


def carried_on(run: BulkRun, run_jobs: Run) -> BulkRun:
    """The run after feeders and workers had all the time they wanted."""
    for _ in range(20):
        bulk.feed()
        run_jobs()
    run.refresh_from_db()
    return run


def test_an_import_makes_accounts_whose_plans_begin_with_the_current_billing_period(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run
) -> None:
    make_mapping()
    ids = subscribed(paddle, 3)
    run = previewed(vendors)
    assert m3ter.memory.accounts.newest_first() == []

    bulk.start(run.pk, **WHY)
    run = carried_on(run, run_jobs)

    assert (run.state, outcomes(run)) == ("done", {"changed": 3})
    assert sorted(account["code"] for account in m3ter.memory.accounts) == ids
    period = dt.datetime.fromisoformat(paddle.subscriptions[ids[0]]["current_billing_period"]["starts_at"])
    assert {plan.starts_at for plan in AccountPlanLink.objects.all()} == {period.replace(microsecond=0)}
    assert period < clock.now() - dt.timedelta(days=15)


def test_no_plan_of_an_import_begins_before_go_live(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run
) -> None:
    make_mapping()
    subscribed(paddle, 2)
    go_live = clock.now().date() - dt.timedelta(days=3)
    Installation.objects.update(charge_from=go_live)
    run = previewed(vendors)

    bulk.start(run.pk, **WHY)
    carried_on(run, run_jobs)

    midnight = dt.datetime.combine(go_live, dt.time(), tzinfo=dt.UTC)
    assert [plan.starts_at for plan in AccountPlanLink.objects.all()] == [midnight] * 2
    assert all(f"from {go_live} 00:00 UTC" in item.note for item in run.items.all())


def test_each_subscription_is_judged_before_anything_is_changed(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run
) -> None:
    make_mapping()
    make_mapping(paddle_sample.PRICE_SEATS_EUR, target="not_metered", plan="", m3ter_product="")
    (new,) = subscribed(paddle)
    (bare,) = subscribed(paddle)
    (mapped,) = subscribed(paddle)
    (taken,) = subscribed(paddle)
    (unmapped,) = subscribed(paddle, items=[INSIGHTS])
    (seats,) = subscribed(paddle, items=[SEATS])
    (right,) = subscribed(paddle)
    first = previewed(vendors, only=[right])
    bulk.start(first.pk, **WHY)
    carried_on(first, run_jobs)
    account(vendors, bare, name=bare)
    account(vendors, taken)
    known = account(vendors, mapped)
    vendors.m3ter.create_external_mapping(entity="Account", m3ter_id=known, table="Subscription", external_id=mapped)
    before = (len(m3ter.memory.accounts.newest_first()), WebhookEvent.objects.count())

    run = previewed(vendors)

    assert verdicts(run) == {
        new: "create",
        bare: "adopt",
        mapped: "adopt",
        taken: "conflict",
        unmapped: "unmapped",
        seats: "not_metered",
        right: "right",
    }
    assert (len(m3ter.memory.accounts.newest_first()), WebhookEvent.objects.count()) == before
    lines = {line.verdict: line for line in existing.foreseen(run, sample=1)}
    assert (lines["adopt"].count, len(lines["adopt"].sample)) == (2, 1)
    assert lines["unmapped"].about == paddle_sample.PRICE_INSIGHTS_EUR
    assert existing.to_begin(run) == 6

    bulk.start(run.pk, **WHY)
    run = carried_on(run, run_jobs)

    assert dict(run.items.values_list("subject", "outcome")) == {
        new: "changed",
        bare: "changed",
        mapped: "changed",
        taken: "parked",
        unmapped: "parked",
        seats: "unchanged",
        right: "unchanged",
    }
    assert run.items.get(subject=right).event is None


def test_a_page_is_read_again_only_if_it_was_not_stored(
    paddle: PaddleSimulator, vendors: Vendors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration_project.vendors.paddle.client.PAGE", 2)
    monkeypatch.setattr(existing, "PAGE", 2)
    make_mapping()
    ids = subscribed(paddle, 5)
    run = existing.ask(**WHY)

    for _ in range(8):
        if existing.prepare(run.pk, vendors, seconds=0):
            break

    assert list(run.items.values_list("subject", "position")) == [(each, n) for n, each in enumerate(ids, start=1)]
    assert operations(paddle).count("list subscriptions") == 4


def test_a_vendor_that_cannot_answer_now_is_asked_again_later_and_the_run_says_why(
    paddle: PaddleSimulator, vendors: Vendors
) -> None:
    make_mapping()
    subscribed(paddle)
    run = existing.ask(**WHY)
    paddle.fault("list subscriptions", "html", times=1)

    with pytest.raises(IntegrationError):
        existing.prepare(run.pk, vendors)
    put_off = BulkRun.objects.get()
    at_once = existing.prepare(run.pk, vendors)
    BulkRun.objects.update(lease_until=clock.now())
    later = existing.prepare(run.pk, vendors)

    assert (put_off.state, existing.to_prepare(), at_once, later) == ("preparing", [], False, True)
    assert "Paddle" in put_off.note
    assert BulkRun.objects.get().note == ""


def test_nothing_personal_of_a_subscription_is_kept(paddle: PaddleSimulator, vendors: Vendors) -> None:
    make_mapping()
    custom = {"m3ter_account_code": "harbour", "mail": "jo@harbour.example"}
    (subscription_id,) = subscribed(paddle, custom_data=custom)
    assert paddle.subscriptions[subscription_id]["management_urls"]

    run = previewed(vendors)

    data = run.items.get().params["data"]
    assert data["custom_data"] == {"m3ter_account_code": "harbour"}
    assert "management_urls" not in data
    assert "jo@harbour.example" not in str(data)


def test_a_subscription_that_cannot_be_read_holds_up_no_other(paddle: PaddleSimulator, vendors: Vendors) -> None:
    make_mapping()
    odd, plain = subscribed(paddle, 2)
    paddle.subscriptions[odd]["items"] = [{"quantity": 1}]

    run = previewed(vendors)

    assert verdicts(run) == {odd: "unreadable", plain: "create"}


def test_a_limit_and_names_narrow_an_import(paddle: PaddleSimulator, vendors: Vendors) -> None:
    make_mapping()
    ids = subscribed(paddle, 4)
    paddle.cancel(ids[3])

    limited, named = previewed(vendors, limit=2), previewed(vendors, only=[ids[2], ids[3]])

    assert (list(verdicts(limited)), list(verdicts(named))) == (ids[:2], [ids[2]])


def test_what_happened_after_the_listing_outlives_it(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run
) -> None:
    make_mapping()
    (subscription_id,) = subscribed(paddle)
    run = previewed(vendors)
    listed_at = clock.now() - dt.timedelta(hours=2)
    (item,) = run.items.all()
    BulkItem.objects.update(params={**item.params, "read_at": listed_at.isoformat()})
    paddle.cancel(subscription_id)

    bulk.start(run.pk, **WHY)
    carried_on(run, run_jobs)

    assert WebhookEvent.objects.get().occurred_at == listed_at
    assert operations(paddle).count("list subscriptions") == 2
    assert AccountLink.objects.get().paddle_status == "canceled"


def test_what_was_listed_long_ago_is_looked_at_again_before_it_is_begun(
    paddle: PaddleSimulator, vendors: Vendors
) -> None:
    make_mapping()
    subscribed(paddle)
    run = previewed(vendors)
    BulkRun.objects.update(listed_at=clock.now() - dt.timedelta(days=1, minutes=1))

    with pytest.raises(NotPossible, match="Look again, then begin it"):
        bulk.start(run.pk, **WHY)

    run.refresh_from_db()
    assert run.state == "previewed"
    existing.look_again(run.pk, **WHY)
    existing.prepare(run.pk, vendors)
    bulk.start(run.pk, **WHY)


def test_subscriptions_of_classic_are_taken_in_like_those_of_billing(
    classic: ClassicSimulator,
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    vendors: Vendors,
    run_jobs: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("integration_project.vendors.paddle_classic.client.USERS_PAGE", 2)
    make_mapping(str(classic_sample.PLAN_TEAM))
    made = [classic.subscribe(email=f"kai{number}@customer.example") for number in range(5)]
    ids = sorted(str(each["subscription_id"]) for each in made)
    run = existing.ask(**WHY, source="paddle_classic")

    for _ in range(8):
        if existing.prepare(run.pk, vendors, seconds=0):
            break
    foreseen = verdicts(run)
    bulk.start(run.pk, **WHY)
    run = carried_on(run, run_jobs)

    assert foreseen == dict.fromkeys(ids, "create")
    assert (run.state, outcomes(run)) == ("done", {"changed": 5})
    assert sorted(account["code"] for account in m3ter.memory.accounts) == ids
    assert set(AccountLink.objects.values_list("source", flat=True)) == {"paddle_classic"}
    assert operations(paddle) == []


def test_an_import_from_classic_says_where_classic_was_switched_off_since(vendors: Vendors, settings: Settings) -> None:
    settings.PADDLE_CLASSIC_VENDOR_ID = "1"
    run = existing.ask(**WHY, source="paddle_classic")
    settings.PADDLE_CLASSIC_VENDOR_ID = ""

    with pytest.raises(IntegrationError, match="Paddle Classic is off"):
        existing.prepare(run.pk, vendors)

    assert "Paddle Classic is off" in BulkRun.objects.get().note
