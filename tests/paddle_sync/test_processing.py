"""Who may finish an event, and what is recorded of each attempt."""

from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pytest_django import Settings

from integration_project import errors, work
from integration_project.vendors import Vendors
from integration_project.vendors.paddle_classic.simulator.alerts import public_pem
from paddle_sync.checks import classic_alerts_can_be_believed, paddle_webhooks_can_be_believed
from paddle_sync.models import EventAttempt, WebhookEvent
from paddle_sync.processing import process_event
from paddle_sync.queues import EVENTS
from tests.builders import make_event
from tests.vendors.paddle_classic.signing import PUBLIC_KEY

pytestmark = pytest.mark.django_db


def run(vendors: Vendors, handler: Any) -> WebhookEvent:
    make_event("x.y", {"id": "1"})
    work.drain(EVENTS, partial(process_event, vendors=vendors, handlers={"paddle": {"x.y": handler}}), limit=1)
    return WebhookEvent.objects.get()


def stolen(event: WebhookEvent) -> None:
    WebhookEvent.objects.filter(pk=event.pk).update(lease="00000000-0000-0000-0000-00000000000f")


def test_who_lost_the_row_at_a_vendor_call_calls_nobody_and_records_nothing(vendors: Vendors, m3ter: Any) -> None:
    def handler(event: WebhookEvent, vendors: Vendors) -> None:
        stolen(event)
        vendors.m3ter.get_organization_config()

    event = run(vendors, handler)

    assert (event.state, EventAttempt.objects.count()) == ("processing", 0)
    assert [call.operation for call in m3ter.calls] == []


def test_who_lost_the_row_before_recording_discards_the_outcome(vendors: Vendors) -> None:
    event = run(vendors, lambda event, vendors: stolen(event))

    assert (event.state, EventAttempt.objects.count()) == ("processing", 0)


def test_each_vendor_call_renews_the_lease(vendors: Vendors) -> None:
    longer = []

    def handler(event: WebhookEvent, vendors: Vendors) -> None:
        before = event.lease_until
        vendors.m3ter.get_organization_config()
        longer.append(before is not None and event.lease_until is not None and event.lease_until > before)

    run(vendors, handler)

    assert longer == [True]


OUTCOMES: dict[str, tuple[Exception, tuple[str, str, bool, int]]] = {
    "Temporary": (errors.Temporary("busy"), ("received", "", True, 1)),
    "OutcomeUnknown": (errors.OutcomeUnknown("who knows"), ("received", "", True, 1)),
    "BudgetSpent": (errors.BudgetSpent("wait"), ("received", "", True, 0)),
    "VendorClosed": (errors.VendorClosed("m3ter", "key refused"), ("received", "", True, 0)),
    "Permanent": (errors.Permanent("never"), ("failed", "permanent", False, 1)),
    "VendorRejected": (errors.VendorRejected("m3ter", "x", 400, "", "no"), ("failed", "permanent", False, 1)),
    "NotFound": (errors.NotFound("m3ter", "x", 404, "", "no"), ("failed", "permanent", False, 1)),
    "Conflict": (errors.Conflict("m3ter", "x", 409, "", "no"), ("failed", "permanent", False, 1)),
    "NeedsConfiguration": (errors.NeedsConfiguration("k", "v", "set it"), ("parked", "", False, 1)),
    "Ignored": (errors.Ignored("nothing to do"), ("ignored", "", False, 1)),
    "anything else": (RuntimeError("oops"), ("failed", "internal", False, 1)),
}


@pytest.mark.parametrize(("error", "expected"), OUTCOMES.values(), ids=OUTCOMES.keys())
def test_every_error_has_its_state(vendors: Vendors, error: Exception, expected: tuple[str, str, bool, int]) -> None:
    def handler(event: WebhookEvent, vendors: Vendors) -> None:
        raise error

    event = run(vendors, handler)

    assert (event.state, event.failure_kind, event.due_at is not None, event.attempts) == expected
    assert (event.lease, event.leased_by) == (None, "")
    assert EventAttempt.objects.count() == expected[3]


def test_a_handlers_sentence_becomes_the_outcomes_words(vendors: Vendors) -> None:
    def handler(event: WebhookEvent, vendors: Vendors) -> None:
        event.note = "The bill was paid."

    event = run(vendors, handler)

    assert (event.state, event.note, event.last_error) == ("processed", "The bill was paid.", "")
    assert event.finished_at is not None


def test_a_missing_webhook_secret_is_said_at_the_start(settings: Settings) -> None:
    settings.PADDLE_WEBHOOK_SECRETS = []
    warned = [message.id for message in paddle_webhooks_can_be_believed(None)]
    settings.PADDLE_WEBHOOK_SECRETS = ["pdl_ntfset_x"]
    silent = paddle_webhooks_can_be_believed(None)

    assert (warned, silent) == (["paddle_sync.W001"], [])


def test_a_key_of_classic_that_could_be_broken_is_said_at_the_start(settings: Settings) -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    told = []
    for pem in ("", PUBLIC_KEY, public_pem(short)):
        settings.PADDLE_CLASSIC_PUBLIC_KEY = pem
        told.append([message.id for message in classic_alerts_can_be_believed(None)])

    assert told == [[], [], ["paddle_sync.W002"]]
