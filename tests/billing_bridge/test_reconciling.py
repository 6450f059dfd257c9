"""Every cent between m3ter, our ledger and Paddle has its reason; what has none is found, and stays found."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import F

from billing_bridge import importing, jobs, looking, reconciliation, review
from billing_bridge.models import BillEntry, Push, PushPolicy, ReconciliationRow, ReconciliationRun
from integration_project.models import Finding
from paddle_sync.jobs import drain_events
from tests.billing_bridge.world import World, fresh, push_of

Deliver = Callable[[], int]


def reconcile(world: World, **asked: Any) -> ReconciliationRun:
    """Make a run and carry it to its end."""
    run = reconciliation.ask(by="fiona", **asked)
    assert reconciliation.carry_on(run.pk, world.vendors, seconds=60)
    run.refresh_from_db()
    return run


def the_row(run: ReconciliationRun) -> ReconciliationRow:
    return run.rows.get()


def reasons(row: ReconciliationRow) -> list[tuple[str, int]]:
    """The parts of a row, which always come to its difference."""
    assert sum(part["amount"] for part in row.parts) == row.difference
    return [(part["why"], part["amount"]) for part in row.parts]


def renew(world: World, deliver: Deliver) -> dict[str, Any]:
    """Let the renewal come and Paddle tell of it; the transaction as Paddle keeps it."""
    world.paddle.clock_move(days=6)
    world.paddle.run_renewals()
    deliver()
    drain_events()
    return renewal(world)


def renewal(world: World) -> dict[str, Any]:
    found = [
        row for row in world.paddle.world.memory.transactions.values() if row["origin"] == "subscription_recurring"
    ]
    return max(found, key=lambda row: str(row["id"]))


def our_line(transaction: dict[str, Any]) -> dict[str, Any]:
    """A line of a renewal that a push of ours made."""
    ours = {item["price"]["id"] for item in transaction["items"] if (item["price"]["custom_data"] or {}).get("push_id")}
    return next(line for line in transaction["details"]["line_items"] if line["price_id"] in ours)


def open_findings() -> list[str]:
    kind = reconciliation.WITHOUT_REASON
    return list(Finding.objects.filter(kind=kind, state=Finding.State.OPEN).values_list("subject", flat=True))


def test_what_was_pushed_and_paid_has_no_difference(world: World, deliver: Deliver) -> None:
    bill = world.pushed()
    transaction = renew(world, deliver)

    run = reconcile(world)

    row = the_row(run)
    assert (row.bill, row.customer, row.account_code) == (bill, world.link.name, world.subscription_id)
    assert (row.m3ter, row.ledger, row.billed, row.collected, row.refunded) == (14345, 14345, 14345, 14345, 0)
    assert (row.transactions, reasons(row), row.is_unknown) == ([transaction["id"]], [], False)
    assert (run.state, run.bills, run.unknown) == ("done", 1, 0)
    amounts = {"m3ter": 14345, "ledger": 14345, "billed": 14345, "collected": 14345, "refunded": 0, "unknown": 0}
    assert run.totals == {"USD": {"bills": 1, **amounts, "reasons": {}}}
    assert open_findings() == []


def test_before_its_renewal_a_push_is_pending(world: World) -> None:
    world.pushed()

    row = the_row(reconcile(world))

    assert (row.ledger, row.billed, row.collected) == (14345, 0, 0)
    assert reasons(row) == [("pending renewal", 14345)]


def test_a_push_that_its_renewal_does_not_show_has_no_reason(world: World) -> None:
    bill = world.pushed()
    Push.objects.update(expected_renewal_at=F("created_at") - reconciliation.WEEK)

    run = reconcile(world)

    assert reasons(the_row(run)) == [("unknown", 14345)]
    assert open_findings() == [bill.m3ter_bill_id]


def test_a_lost_push_is_owed_again(world: World) -> None:
    world.paddle.fault("charge subscription", "accept_and_bill_nothing")
    bill = world.pushed()
    looking.lose(push_of(bill), "A renewal should have carried it, and does not.")

    assert reasons(the_row(reconcile(world))) == [("lost", 14345)]


def test_what_is_held_is_open_with_its_reason(world: World) -> None:
    world.imported()

    row = the_row(reconcile(world))

    assert reasons(row) == [("open", 14345)]
    assert "Finance approves every bill" in row.parts[0]["words"]


def test_what_was_written_off_is(world: World) -> None:
    bill = world.pushed()
    world.change_bill(bill.m3ter_bill_id, (("API calls", "150.00"),))
    world.import_all()
    jobs.sweep_bills()
    assert fresh(bill).outstanding == 655
    review.skip(bill.pk, by="fiona", reason="goodwill")

    assert reasons(the_row(reconcile(world))) == [("written off", 655), ("pending renewal", 14345)]


def test_what_is_carried_to_the_next_bill_is_named_on_both(world: World, deliver: Deliver) -> None:
    PushPolicy.objects.update(review="never", lock_after_days=3)
    small = world.imported((("API calls", "0.69"),))
    world.work()
    following = importing.import_bill(world.another_bill((("API calls", "10.00"),)), world.vendors)
    assert following is not None
    world.work()
    renew(world, deliver)

    run = reconcile(world)

    first, second = run.rows.get(bill=small), run.rows.get(bill=following)
    assert (reasons(first), reasons(second)) == ([("carried", 69)], [("carried", -69)])
    assert (second.collected, run.unknown, run.totals["USD"]["reasons"]) == (1069, 0, {"carried": 0})


def test_a_charge_made_at_once_need_not_be_listed_in_the_same_moment(world: World) -> None:
    world.pushed()
    Push.objects.update(mode="immediately", expected_renewal_at=None)
    fresh_one = the_row(reconcile(world))
    Push.objects.update(settled_at=F("settled_at") - 2 * reconciliation.DAY)

    old = the_row(reconcile(world))

    assert (reasons(fresh_one), reasons(old)) == ([("not listed yet", 14345)], [("unknown", 14345)])


def test_a_discount_on_our_lines_is_named(world: World, deliver: Deliver) -> None:
    world.pushed()
    line = our_line(renew(world, deliver))
    totals = line["totals"]
    discount = 1000
    totals["discount"] = str(discount)
    totals["total"] = str(int(totals["total"]) - discount)

    row = the_row(reconcile(world))

    assert (row.collected, reasons(row)) == (13345, [("discount", 1000)])


@pytest.mark.parametrize(("reject", "refunded"), [(False, 500), (True, 0)])
def test_what_a_person_refunded_in_paddle_is_named(
    world: World, deliver: Deliver, *, reject: bool, refunded: int
) -> None:
    world.pushed()
    transaction = renew(world, deliver)
    refund_by_hand(world, transaction, 500)
    waiting = the_row(reconcile(world))
    world.paddle.settle_adjustments(reject=reject)

    row = the_row(reconcile(world))

    assert (waiting.refunded, reasons(waiting)) == (0, [])
    assert (row.collected, row.refunded) == (14345, refunded)
    assert reasons(row) == ([("refunded", refunded)] if refunded else [])


def refund_by_hand(world: World, transaction: dict[str, Any], amount: int) -> None:
    """Refund some of a line of ours in Paddle's dashboard."""
    line = our_line(transaction)
    totals = {"subtotal": str(amount), "tax": "0", "total": str(amount)}
    adjustment = {
        "id": world.paddle.world.new_id("adj"),
        "action": "refund",
        "type": "partial",
        "transaction_id": transaction["id"],
        "subscription_id": transaction["subscription_id"],
        "customer_id": transaction["customer_id"],
        "reason": "goodwill",
        "currency_code": transaction["currency_code"],
        "status": "pending_approval",
        "items": [
            {
                "id": world.paddle.world.new_id("adjitm"),
                "item_id": line["id"],
                "type": "partial",
                "amount": str(amount),
                "proration": None,
                "totals": totals,
            }
        ],
        "totals": {**totals, "fee": "0", "earnings": str(amount), "currency_code": transaction["currency_code"]},
        "payout_totals": None,
        "tax_rates_used": [],
        **world.paddle.world.times(),
    }
    world.paddle.world.memory.adjustments[adjustment["id"]] = adjustment


def test_a_bill_that_changed_in_m3ter_behind_us_is_named(world: World) -> None:
    bill = world.pushed()
    world.change_bill(bill.m3ter_bill_id, (("API calls", "150.00"),))

    row = the_row(reconcile(world))

    assert (row.m3ter, row.ledger) == (15000, 14345)
    assert reasons(row) == [("changed", 655), ("pending renewal", 14345)]


def test_what_was_read_after_m3ters_list_was_is_no_difference(world: World) -> None:
    bill = world.imported()
    run = reconciliation.ask(by="fiona")
    while run.listed_to is None or run.listed_to <= run.last_day:
        reconciliation.carry_on(run.pk, world.vendors, seconds=0)
        run.refresh_from_db()
    world.change_bill(bill.m3ter_bill_id, (("API calls", "150.00"),))
    world.import_all()
    assert fresh(bill).payable == 15000

    while not reconciliation.carry_on(run.pk, world.vendors, seconds=0):
        pass

    row = the_row(run)
    assert (row.m3ter, row.ledger, reasons(row)) == (15000, 15000, [("open", 15000)])


def test_a_bill_that_is_gone_in_m3ter_has_no_reason_until_that_is_noted(world: World) -> None:
    bill = world.pushed()
    world.delete_in_m3ter(bill)
    first = reconcile(world)
    found = open_findings()

    jobs.sweep_bills()
    second = reconcile(world)

    assert reasons(the_row(first)) == [("unknown", -14345), ("pending renewal", 14345)]
    assert (the_row(first).period_start, the_row(first).period_end) == (bill.period_start, bill.period_end)
    assert found == [bill.m3ter_bill_id]
    assert reasons(the_row(second)) == [("open", -14345), ("pending renewal", 14345)]
    assert open_findings() == []
    assert (second.previous, second.solved, second.new_unknown) == (first, 1, 0)


def test_a_transaction_billed_with_other_amounts_is_on_top(world: World, deliver: Deliver) -> None:
    world.pushed()
    renew(world, deliver)
    other, account_id = world.subscribe(email="other@example.com")
    world.imported(account_id=account_id)
    transaction = renewal(world)
    price = our_line(transaction)["price_id"]
    item = next(each for each in transaction["items"] if each["price"]["id"] == price)
    item["price"]["unit_price"]["amount"] = str(int(item["price"]["unit_price"]["amount"]) - 1)
    totals = our_line(transaction)["totals"]
    for name in ("subtotal", "total"):
        totals[name] = str(int(totals[name]) - 1)

    run = reconcile(world)

    first, second = run.rows.order_by("-is_unknown", "-unknown", "id")
    assert (first.collected, first.unknown, reasons(first)) == (14344, 1, [("unknown", 1)])
    assert (second.account_code, second.is_unknown) == (other, False)
    assert (run.unknown, run.new_unknown, open_findings()) == (1, 1, [first.subject])


def test_a_bill_that_m3ter_approved_and_nobody_read_is_found(world: World) -> None:
    bill_id = world.make_bill()
    lately = the_row(reconcile(world))
    world.in_m3ter(bill_id)["dtApproved"] = "2026-01-01T00:00:00.000Z"

    row = the_row(reconcile(world))

    assert reasons(lately) == [("open", 14345)]
    assert (row.bill, reasons(row), open_findings()) == (None, [("unknown", 14345)], [bill_id])


def test_marks_that_nobody_here_made_are_an_alarm_and_a_row(world: World, deliver: Deliver) -> None:
    bill = world.pushed()
    transaction = renew(world, deliver)
    copied = copy.deepcopy(transaction)
    copied["id"] = world.paddle.world.new_id("txn")
    for item in copied["items"]:
        if item["price"]["custom_data"]:
            item["price"]["custom_data"]["push_id"] = "another-copy-1"
    world.paddle.world.memory.transactions[copied["id"]] = copied

    run = reconcile(world)

    mark = run.rows.get(subject="another-copy-1")
    assert (mark.bill, mark.account_code, mark.transactions) == (None, world.subscription_id, [copied["id"]])
    assert (mark.collected, reasons(mark)) == (14345, [("unknown", -14345)])
    assert reasons(run.rows.get(subject=bill.m3ter_bill_id)) == []
    assert Finding.objects.get(kind="unknown push").subject == "another-copy-1"


def test_an_entry_that_somebody_changed_has_no_reason(world: World) -> None:
    world.pushed()
    BillEntry.objects.update(amount=F("amount") + 1)

    row = the_row(reconcile(world))

    assert (row.unknown, row.is_unknown) == (1, True)


def test_what_cannot_be_read_of_one_account_keeps_no_other_back(world: World) -> None:
    world.pushed()
    other, account_id = world.subscribe(email="other@example.com")
    world.imported(account_id=account_id)
    broken = next(row for row in world.paddle.world.memory.transactions.values() if row["subscription_id"] == other)
    broken["currency_code"] = None

    run = reconcile(world)

    assert reasons(run.rows.get(account_code=world.subscription_id)) == [("pending renewal", 14345)]
    assert reasons(run.rows.get(account_code=other)) == [("unknown", 0), ("open", 14345)]
