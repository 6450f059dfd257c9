"""Circuits and gates: a refused key closes the way for all, one caller tries, a normal answer opens it again."""

from datetime import timedelta

import pytest

from integration_project import clock
from integration_project.errors import VendorClosed
from integration_project.gates import gate, gates
from integration_project.models import CallBudget, Circuit, Finding
from paddle_sync import jobs
from paddle_sync.models import WebhookEvent
from tests.integration_project.work_rows import make_row

pytestmark = pytest.mark.django_db


def time_to_try() -> None:
    Circuit.objects.filter(is_open=True).update(probe_at=clock.now() - timedelta(seconds=1))


def close_the_vendor() -> None:
    gate("paddle", "push").refused("get subscription", whole_vendor=True, detail="authentication_malformed")


def test_a_refused_key_lets_nobody_call_that_vendor_and_reports_it_once() -> None:
    close_the_vendor()
    close_the_vendor()

    with pytest.raises(VendorClosed, match="Paddle refuses our key, so nobody calls it now: authentication_malformed"):
        gate("paddle", "import").enter("get transaction")
    gate("m3ter", "import").enter("create account")

    found = Finding.objects.get()
    assert (found.kind, found.subject, found.key, found.state) == ("vendor closed", "paddle", "", "open")


def test_a_missing_permission_refuses_only_the_operation_that_needs_it() -> None:
    gate("paddle", "push").refused("list subscription history", whole_vendor=False, detail="forbidden")

    with pytest.raises(VendorClosed, match="Paddle does not let us list subscription history") as closed:
        gate("paddle", "look").enter("list subscription history")
    gate("paddle", "look").enter("get transaction")

    assert closed.value.operation == "list subscription history"


def test_when_it_is_time_one_caller_tries_and_the_others_wait() -> None:
    close_the_vendor()
    time_to_try()

    gate("paddle", "push").enter("get subscription")

    with pytest.raises(VendorClosed):
        gate("paddle", "push").enter("get subscription")


def test_a_normal_answer_to_the_one_who_tries_lets_everybody_call_and_settles_the_finding() -> None:
    close_the_vendor()
    time_to_try()
    trying = gate("paddle", "push")

    trying.enter("get subscription")
    trying.answered("get subscription")

    gate("paddle", "import").enter("get transaction")
    assert Finding.objects.get().state == "closed"
    assert Circuit.objects.get().last_success_at is not None


def test_a_trial_may_take_several_requests_and_a_token_alone_proves_nothing() -> None:
    gate("m3ter", "push").refused("create account", whole_vendor=True, detail="Forbidden")
    time_to_try()
    trying = gate("m3ter", "push")

    trying.enter("create account")
    trying.enter("get token")
    trying.answered("get token")

    assert Circuit.objects.get().is_open
    trying.answered("create account")
    assert not Circuit.objects.get().is_open


@pytest.mark.parametrize("part", ["m3ter_ingest", "m3ter_explorer"])
def test_a_refused_key_closes_the_parts_that_have_a_budget_of_their_own_too(part: str) -> None:
    gate("m3ter", "push").refused("create account", whole_vendor=True, detail="Forbidden")

    with pytest.raises(VendorClosed, match="m3ter refuses our key, so nobody calls it now: Forbidden"):
        gate(part, "import").enter("submit measurements")

    assert not CallBudget.objects.exists()


def test_a_key_refused_where_measurements_are_sent_closes_all_of_m3ter() -> None:
    gate("m3ter_ingest", "import").refused("submit measurements", whole_vendor=True, detail="Forbidden")

    with pytest.raises(VendorClosed):
        gate("m3ter", "push").enter("create account")

    assert Finding.objects.get().subject == "m3ter"


def test_the_parts_of_one_vendor_try_together_so_that_a_trial_may_fetch_its_token() -> None:
    gate("m3ter", "push").refused("create account", whole_vendor=True, detail="Forbidden")
    time_to_try()
    gate_for = gates("import")
    ingest, m3ter, paddle = map(gate_for, ("m3ter_ingest", "m3ter", "paddle"))

    ingest.enter("submit measurements")
    m3ter.enter("get token")
    ingest.answered("submit measurements")
    paddle.enter("get transaction")

    assert not Circuit.objects.get(vendor="m3ter").is_open
    m3ter.enter("create account")


def test_a_missing_permission_shows_that_the_key_is_good_again() -> None:
    close_the_vendor()
    time_to_try()
    trying = gate("paddle", "push")
    trying.enter("list subscription history")

    trying.refused("list subscription history", whole_vendor=False, detail="forbidden")

    opened = Circuit.objects.filter(is_open=True)
    assert [circuit.operation for circuit in opened] == ["list subscription history"]


def test_an_answer_to_somebody_who_did_not_try_changes_nothing() -> None:
    early = gate("paddle", "push")
    early.enter("get subscription")
    close_the_vendor()

    early.answered("get subscription")

    assert Circuit.objects.get().is_open


def test_nobody_spends_a_call_of_the_budget_on_a_closed_vendor() -> None:
    close_the_vendor()

    with pytest.raises(VendorClosed):
        gate("paddle", "push").enter("get subscription")

    assert not CallBudget.objects.exists()


def test_the_time_of_the_last_normal_answer_is_kept() -> None:
    answered = gate("m3ter", "import")

    answered.answered("get bill")

    assert Circuit.objects.get(vendor="m3ter", operation="").last_success_at is not None
    assert not Circuit.objects.get().is_open


@pytest.fixture
def backlog(adapters: object) -> None:
    """Let events wait that nothing is done for, so that whoever begins one is done with it."""
    for number in range(3):
        make_row(number)


@pytest.mark.usefixtures("backlog")
def test_while_no_vendor_may_be_called_no_event_is_begun() -> None:
    for vendor in ("paddle", "m3ter"):
        gate(vendor, "import").refused("any", whole_vendor=True, detail="refused")

    assert jobs.drain_events() == 0
    assert WebhookEvent.objects.filter(state="received", attempts=0, lease=None).count() == 3


@pytest.mark.usefixtures("backlog")
@pytest.mark.parametrize("closed", ["paddle", "m3ter"])
def test_while_one_vendor_may_be_called_events_go_on_that_need_no_other(closed: str) -> None:
    gate(closed, "import").refused("any", whole_vendor=True, detail="refused")

    assert jobs.drain_events() == 3


@pytest.mark.usefixtures("backlog")
def test_when_it_is_time_to_try_a_closed_vendor_events_are_begun() -> None:
    for vendor in ("paddle", "m3ter"):
        gate(vendor, "import").refused("any", whole_vendor=True, detail="refused")
    time_to_try()

    assert jobs.drain_events() == 3
