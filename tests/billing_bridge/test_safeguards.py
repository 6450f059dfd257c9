"""Nothing is charged before go-live, after the environment changed, or while m3ter bills Paddle by itself."""

import datetime as dt

import pytest
from pytest_django import Settings

from billing_bridge import jobs, pushing
from billing_bridge.models import PushedBill, PushPolicy
from billing_bridge.queues import PUSH
from integration_project import clock, work
from integration_project.models import Circuit, Finding, Installation
from tests.billing_bridge.world import World, fresh

State = PushedBill.State


def refusals() -> list[str]:
    return list(Finding.objects.filter(kind="charging refused", state="open").values_list("detail", flat=True))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("PADDLE_ENVIRONMENT", "live"),
        ("PADDLE_API_URL", "http://127.0.0.1:9"),
        ("M3TER_API_URL", "http://127.0.0.1:9"),
        ("M3TER_ORG_ID", "another-organisation"),
    ],
)
def test_after_the_pinned_environment_changes_every_push_is_refused(
    world: World, settings: Settings, setting: str, value: str
) -> None:
    bill = world.approved()
    setattr(settings, setting, value)

    jobs.drain_bills()

    (said,) = refusals()
    assert setting in said
    assert (fresh(bill).state, world.charges_of(bill)) == (State.READY, 0)


def test_a_claimed_bill_is_not_charged_either_once_the_environment_has_changed(
    world: World, settings: Settings
) -> None:
    bill = world.approved()
    (claimed,) = work.claim(PUSH)
    settings.M3TER_ORG_ID = "another-organisation"

    pushing.push_bill(claimed, world.vendors)

    assert (fresh(bill).state, fresh(bill).attempts, world.charges_of(bill)) == (State.READY, 0, 0)


def test_nothing_is_charged_while_m3ter_sends_bills_to_paddle_itself(world: World) -> None:
    bill = world.approved()
    world.m3ter.enable_native_paddle()

    said = jobs.check_safeguards()
    jobs.drain_bills()

    assert "m3ter sends bills to Paddle itself" in said
    assert "charged twice" in refusals()[0]
    assert (fresh(bill).state, world.charges_of(bill)) == (State.READY, 0)


def test_it_goes_on_by_itself_when_that_is_switched_off(world: World) -> None:
    bill = world.approved()
    world.m3ter.enable_native_paddle()
    jobs.check_safeguards()
    jobs.drain_bills()

    world.m3ter.enable_native_paddle(enabled=False)
    jobs.check_safeguards()
    jobs.drain_bills()

    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)
    assert refusals() == []


def test_nothing_is_charged_before_that_was_looked_up_once(world: World) -> None:
    Installation.objects.update(native_integration_checked_at=None)
    bill = world.approved()

    jobs.drain_bills()
    refused = refusals()
    jobs.check_safeguards()
    jobs.drain_bills()

    assert "has not been looked up yet" in refused[0]
    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)


def test_a_key_that_may_not_read_histories_is_tried_again_and_charging_goes_on(world: World) -> None:
    bill = world.approved()
    world.paddle.withhold_permission("subscription_history.read")
    jobs.drain_bills()
    world.paddle.set_permissions(None)
    Circuit.objects.update(probe_at=None)

    jobs.check_safeguards()
    PushedBill.objects.update(due_at=fresh(bill).first_seen_at)
    jobs.drain_bills()

    assert (fresh(bill).state, world.charges_of(bill)) == (State.PUSHED, 1)


def test_before_go_live_nothing_reaches_paddle_at_all(world: World) -> None:
    PushPolicy.objects.update(review="never")
    Installation.objects.update(charge_from=None)
    world.paddle.calls.clear()

    world.imported()
    world.work()

    assert world.paddle.calls == []


def test_nothing_is_charged_once_that_was_looked_up_too_long_ago(world: World) -> None:
    bill = world.approved()
    Installation.objects.update(native_integration_checked_at=clock.now() - dt.timedelta(minutes=61))
    world.m3ter.enable_native_paddle()
    world.m3ter.fault("list integration configs", "error_before", times=None)

    said = jobs.check_safeguards()
    refused = refusals()
    jobs.drain_bills()

    assert "not looked up" in said
    assert "was looked up last on" in refused[0]
    assert (fresh(bill).state, world.charges_of(bill)) == (State.READY, 0)


def test_what_was_looked_up_within_the_hour_still_counts(world: World) -> None:
    bill = world.approved()
    Installation.objects.update(native_integration_checked_at=clock.now() - dt.timedelta(minutes=55))

    jobs.drain_bills()

    assert (fresh(bill).state, refusals()) == (State.PUSHED, [])


def test_charging_goes_on_as_soon_as_it_is_looked_up_again(world: World) -> None:
    bill = world.approved()
    Installation.objects.update(native_integration_checked_at=clock.now() - dt.timedelta(days=3))
    jobs.drain_bills()

    jobs.check_safeguards()
    jobs.drain_bills()

    assert (fresh(bill).state, refusals()) == (State.PUSHED, [])
