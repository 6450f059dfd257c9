"""Charges on Paddle Classic are reconciled with its modifiers and payments, for the same reasons as everything else."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import F

from billing_bridge import importing, jobs, reconciliation
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.paddle_classic.simulator import sample
from paddle_sync.jobs import drain_events
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.test_reconciling import open_findings, reasons, reconcile, the_row
from tests.billing_bridge.world import fresh, push_of
from tests.builders import make_mapping

Run = Callable[[], int]
DAYS = dt.timedelta(days=3)


@pytest.fixture
def bill(classic_world: ClassicWorld) -> PushedBill:
    """A bill that waits for the next payment, as a modifier."""
    make_mapping(str(sample.PLAN_TEAM))
    return classic_world.pushed()


@pytest.fixture
def told(deliver: Run) -> Run:
    """Let Classic's alerts arrive, and the worker go through them."""

    def tell() -> int:
        deliver()
        return drain_events()

    return tell


def long_ago() -> None:
    """Everything was charged days before, and so was the day of the payment that was to collect it."""
    Push.objects.update(
        settled_at=F("settled_at") - DAYS, sent_at=F("sent_at") - DAYS, expected_renewal_at=clock.now() - DAYS
    )


def alarms(kind: str) -> list[str]:
    return list(Finding.objects.filter(kind=kind, severity="alarm", state="open").values_list("detail", flat=True))


def test_a_modifier_is_pending_until_its_payment(classic_world: ClassicWorld, bill: PushedBill) -> None:
    row = the_row(reconcile(classic_world))

    assert (row.ledger, row.billed, row.collected, row.transactions) == (14345, 0, 0, [])
    assert reasons(row) == [("pending payment", 14345)]


def test_a_payment_that_collected_a_modifier_leaves_no_difference(
    classic_world: ClassicWorld, bill: PushedBill, told: Run
) -> None:
    classic_world.collect()
    told()
    assert fresh(bill).payment == "paid"
    long_ago()

    row = the_row(reconcile(classic_world))

    assert (row.billed, row.collected, reasons(row)) == (14345, 14345, [])
    assert row.transactions == [push_of(bill).paddle_transaction_id]
    assert open_findings() == []


def test_a_payment_whose_alert_has_not_come_is_pending_for_a_while(
    classic_world: ClassicWorld, bill: PushedBill
) -> None:
    classic_world.collect()
    lately = the_row(reconcile(classic_world))
    for payment in classic_world.classic.memory.payments.values():
        payment.paid_on = clock.now().date() - DAYS
    long_ago()

    row = the_row(reconcile(classic_world))

    assert (reasons(lately), reasons(row)) == ([("pending payment", 14345)], [("unknown", 14345)])
    assert "no alert said so" in row.parts[0]["words"]


def test_a_modifier_that_somebody_took_away_has_no_reason(classic_world: ClassicWorld, bill: PushedBill) -> None:
    classic_world.classic.memory.modifiers.clear()
    lately = the_row(reconcile(classic_world))
    Push.objects.update(settled_at=F("settled_at") - dt.timedelta(hours=2))

    row = the_row(reconcile(classic_world))

    assert (reasons(lately), reasons(row)) == ([("not listed yet", 14345)], [("unknown", 14345)])
    assert "somebody took it away" in row.parts[0]["words"]
    assert open_findings() == [bill.m3ter_bill_id]


def test_a_payment_that_classic_does_not_list_has_no_reason(
    classic_world: ClassicWorld, bill: PushedBill, told: Run
) -> None:
    classic_world.collect()
    told()
    classic_world.classic.memory.payments.clear()
    long_ago()

    row = the_row(reconcile(classic_world))

    assert reasons(row) == [("unknown", 14345)]
    assert "which Paddle Classic does not list" in row.parts[0]["words"]


def test_a_refunded_payment_is_named(classic_world: ClassicWorld, bill: PushedBill, told: Run) -> None:
    classic_world.collect()
    told()
    classic_world.classic.refund(push_of(bill).paddle_transaction_id)
    told()
    assert fresh(bill).payment == "refunded"
    long_ago()

    row = the_row(reconcile(classic_world))

    assert (row.collected, row.refunded, reasons(row)) == (14345, 14345, [("refunded", 14345)])


@pytest.mark.parametrize("rate", ["0", "0.19"])
def test_a_one_off_charge_is_collected_and_its_tax_comes_on_top(classic_world: ClassicWorld, rate: str) -> None:
    classic_world.classic.set_tax(sample.PLAN_TEAM, rate)
    PushPolicy.objects.get_or_create(link=None)
    PushPolicy.objects.update(classic_mode="classic_charge")
    bill = classic_world.pushed()
    long_ago()

    row = the_row(reconcile(classic_world))

    assert (row.billed, row.collected, reasons(row)) == (14345, 14345, [])
    assert row.transactions == [push_of(bill).paddle_transaction_id]


def test_a_one_off_charge_of_less_than_was_asked_has_no_reason(classic_world: ClassicWorld) -> None:
    PushPolicy.objects.get_or_create(link=None)
    PushPolicy.objects.update(classic_mode="classic_charge")
    classic_world.pushed()
    (payment,) = classic_world.one_offs()
    payment.amount -= Decimal("0.01")

    assert reasons(the_row(reconcile(classic_world))) == [("unknown", 1)]


def test_a_credit_waits_for_the_next_payment_and_is_given_back_by_it(classic_world: ClassicWorld, told: Run) -> None:
    make_mapping(str(sample.PLAN_TEAM))
    PushPolicy.objects.get_or_create(link=None)
    PushPolicy.objects.update(negative="credit")
    bill = classic_world.pushed((("API calls", "-20.00"),))
    assert fresh(bill).credited == 2000

    waiting = the_row(reconcile(classic_world))
    classic_world.collect()
    told()
    long_ago()
    row = the_row(reconcile(classic_world))

    assert (waiting.refunded, reasons(waiting)) == (0, [("refunded", -2000)])
    assert (row.m3ter, row.refunded, reasons(row)) == (-2000, 2000, [])


def test_what_was_lost_with_its_subscription_is_lost_whatever_is_still_listed(
    classic_world: ClassicWorld, bill: PushedBill, told: Run
) -> None:
    classic_world.classic.cancel(classic_world.subscription_id)
    told()
    assert fresh(bill).state == "lost"

    assert reasons(the_row(reconcile(classic_world))) == [("lost", 14345)]


@pytest.mark.parametrize("ordinal", [1, 2])
def test_a_tag_on_a_second_modifier_is_an_alarm(classic_world: ClassicWorld, bill: PushedBill, ordinal: int) -> None:
    tag = f"{bill.m3ter_bill_id}-{ordinal}"
    second = classic_world.vendors.classic_on.create_modifier(
        classic_world.subscription_id, amount=Decimal("143.45"), description=f"Usage [{tag}]"
    )
    first = next(str(each.id) for each in classic_world.modifiers() if str(each.id) != second)

    run = reconcile(classic_world)

    (detail,) = alarms("charged twice" if ordinal == 1 else "unknown push")
    assert f"odifier {second}" in detail
    assert (f"modifier {first}" in detail) == (ordinal == 1)
    assert run.unknown == 1
    if ordinal == 2:
        mark = run.rows.get(subject=tag)
        assert (mark.account_code, reasons(mark)) == (
            classic_world.subscription_id,
            [("unknown", -14345), ("pending payment", 14345)],
        )


def test_words_in_brackets_that_are_no_push_id_are_nobodys_tag(classic_world: ClassicWorld, bill: PushedBill) -> None:
    classic_world.vendors.classic_on.create_modifier(
        classic_world.subscription_id, amount=Decimal(5), description="Spring offer [2026-04]"
    )
    classic_world.vendors.classic_on.create_modifier(
        classic_world.subscription_id, amount=Decimal(-5), description=f"Goodwill for [{bill.m3ter_bill_id}-7], agreed"
    )

    jobs.look_at_classic()
    run = reconcile(classic_world)

    assert (run.unknown, alarms("unknown push")) == (0, [])


def test_classic_is_asked_a_few_times_for_each_subscription(classic_world: ClassicWorld, bill: PushedBill) -> None:
    importing.import_bill(classic_world.another_bill((("API calls", "10.00"),)), classic_world.vendors)
    classic_world.work()
    before = len(classic_world.classic.calls)

    run = reconcile(classic_world)

    assert run.bills == 2
    assert [call.operation for call in classic_world.classic.calls[before:]] == [
        "list payments",
        "list modifiers",
        "list modifiers",
    ]


def test_many_accounts_on_classic_are_compared_few_at_a_time(
    classic_world: ClassicWorld, bill: PushedBill, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        _, account_id = classic_world.subscribe_in_classic(email=f"buyer{number}@example.com")
        classic_world.imported(account_id=account_id)
    steps = []
    run = reconciliation.ask(by="fiona")
    reconciliation.carry_on(run.pk, classic_world.vendors, seconds=60, told=lambda step: steps.append(compared(step)))

    assert [count for count in steps if count] == [4, 5]


def compared(run: Any) -> int:
    return int(run.rows.exclude(compared_at=None).count())


def test_while_classic_is_off_its_accounts_cannot_be_read_and_the_others_can(
    classic_world: ClassicWorld, bill: PushedBill
) -> None:
    _, account_id = classic_world.subscribe()
    classic_world.imported(account_id=account_id)
    without = Vendors(paddle=classic_world.vendors.paddle, m3ter=classic_world.vendors.m3ter, classic=None)
    run = reconciliation.ask(by="fiona")

    assert reconciliation.carry_on(run.pk, without, seconds=60)

    rows = {row.bill_id: row for row in run.rows.all()}
    of_classic = rows.pop(bill.pk)
    (other,) = rows.values()
    assert (of_classic.is_unknown, other.is_unknown) == (True, False)
    assert "Paddle Classic is off" in of_classic.parts[0]["words"]
