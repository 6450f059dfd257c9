"""An answer of Paddle's counts whenever it comes: the lease was lost, or the subscription cancelled meanwhile."""

import datetime as dt
from collections.abc import Callable

import pytest
from pytest_django import Settings
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

from billing_bridge import jobs, review, settlement
from billing_bridge.models import Push, PushAttempt, PushedBill, PushPolicy
from billing_bridge.queues import PUSH
from integration_project import clock, work
from integration_project.models import Finding
from integration_project.vendors.wsgi import WsgiAdapter
from tests.billing_bridge.test_settlement import alarms
from tests.billing_bridge.world import World, end_lease, fresh, look_through_schedule, push_of
from tests.builders import make_event

State = PushedBill.State


class Interrupted(BaseAdapter):
    """A transport at whose first charge something happens meanwhile: before Paddle sees it, or before we do."""

    def __init__(self, inner: BaseAdapter) -> None:
        super().__init__()
        self._inner = inner
        self.before: Callable[[], None] | None = None
        self.after: Callable[[], None] | None = None

    def send(self, request: PreparedRequest, *args: object, **kwargs: object) -> Response:
        """Pass the request on, and let the other thing happen once."""
        if not str(request.url).endswith("/charge"):
            return self._inner.send(request, *args, **kwargs)  # type: ignore[arg-type]
        before, self.before = self.before, None
        after, self.after = self.after, None
        if before is not None:
            before()
        response = self._inner.send(request, *args, **kwargs)  # type: ignore[arg-type]
        if after is not None:
            after()
        return response

    def close(self) -> None:
        """Close what is below."""
        self._inner.close()


@pytest.fixture
def meanwhile(world: World, adapters: dict[str, WsgiAdapter], settings: Settings) -> Interrupted:
    """What happens while the charge is under way."""
    interrupted = Interrupted(adapters["paddle"])
    settings.VENDOR_TRANSPORTS = {**adapters, "paddle": interrupted}
    return interrupted


def test_an_acceptance_counts_although_the_lease_was_lost(world: World, meanwhile: Interrupted) -> None:
    bill = world.approved()

    def the_lease_ends() -> None:
        end_lease(bill)
        work.release_expired(PUSH)

    meanwhile.after = the_lease_ends
    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).pushed, fresh(bill).lease) == (State.PUSHED, 14345, None)
    assert PushAttempt.objects.filter(bill=bill, step="charge", outcome="accepted").count() == 1
    assert (world.charges_of(bill), alarms()) == (1, [])


def test_an_acceptance_counts_although_a_person_said_that_it_was_not_made(world: World, meanwhile: Interrupted) -> None:
    bill = world.approved()
    meanwhile.after = lambda: given_up(bill)

    jobs.drain_bills()
    jobs.drain_bills()

    assert (fresh(bill).state, world.charges_of(bill), alarms()) == (State.PUSHED, 1, [])


def given_up(bill: PushedBill) -> None:
    """Let everything end that protects a charge under way: the lease, the look-ups, a person's patience."""
    end_lease(bill)
    work.release_expired(PUSH)
    PushedBill.objects.filter(pk=bill.pk).update(due_at=None, looks=5)
    review.charge_was_not_made(bill.pk, by="finance", reason="looked in Paddle")


def test_two_acceptances_of_one_push_are_an_alarm(world: World, meanwhile: Interrupted) -> None:
    PushPolicy.objects.update(resend_when_absent=True)
    bill = world.approved()

    def another_worker_sends_it() -> None:
        end_lease(bill)
        work.release_expired(PUSH)
        Push.objects.update(sent_at=clock.now() - dt.timedelta(hours=2))
        look_through_schedule(bill)
        jobs.drain_bills()

    meanwhile.before = another_worker_sends_it
    jobs.drain_bills()

    assert world.charges_of(bill) == 2
    assert (fresh(bill).state, fresh(bill).pushed, push_of(bill).amount) == (State.PUSHED, 14345, 14345)
    assert alarms() == ["charged twice"]
    said = Finding.objects.get(kind="charged twice").detail
    assert "2 times: of attempt 2, answered at " in said
    assert " and of attempt 1, answered at " in said


def test_a_charge_accepted_while_the_subscription_is_cancelled_is_lost(world: World, meanwhile: Interrupted) -> None:
    bill = world.approved()

    def cancelled() -> None:
        world.paddle.cancel(world.subscription_id)
        event = make_event("subscription.canceled", world.paddle.subscriptions[world.subscription_id])
        settlement.subscription_changed(event, world.vendors)

    meanwhile.after = cancelled
    jobs.drain_bills()

    assert (fresh(bill).state, fresh(bill).outstanding, alarms()) == (State.LOST, 14345, ["charge lost"])
