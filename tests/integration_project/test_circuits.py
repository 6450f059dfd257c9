"""Circuits and gates: a refused key closes the way for all, one caller tries, a normal answer opens it again."""

from datetime import timedelta

import pytest

from integration_project import clock
from integration_project.errors import VendorClosed
from integration_project.gates import gate
from integration_project.models import CallBudget, Circuit, Finding

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
