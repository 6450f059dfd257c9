"""A reconciliation goes on after whoever carried it was killed, is kept, compared with the one before, and exported."""

import csv
import datetime as dt
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models import F
from pytest_django import Settings
from requests import PreparedRequest, Response

from billing_bridge import jobs, reconciliation
from billing_bridge.models import BillEntry, PushedBill, ReconciliationRow, ReconciliationRun
from integration_project import clock
from integration_project.errors import BudgetSpent, NotPossible, VendorClosed
from integration_project.models import Finding, ScheduledJob
from integration_project.vendors.wsgi import WsgiAdapter
from tests.billing_bridge.world import World

State = ReconciliationRun.State
COMPARED = (
    *("subject", "bill", "currency", "m3ter", "ledger", "billed", "collected", "refunded", "unknown", "is_unknown"),
    *("parts", "reasons", "customer", "account_code", "transactions"),
)


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def many(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Three accounts, each with a bill in another state, compared one after the other."""
    monkeypatch.setattr(reconciliation, "TOGETHER", 1)
    world.pushed()
    for number in range(2):
        _, account_id = world.subscribe(email=f"buyer{number}@example.com")
        world.imported(account_id=account_id)
    PushedBill.objects.filter(m3ter_account_id=account_id).update(m3ter_version=99, payable=1, outstanding=1)
    return world


def compared(run: ReconciliationRun) -> list[dict[str, Any]]:
    return list(run.rows.order_by("subject").values(*COMPARED))


def carry_on(run: ReconciliationRun, world: World) -> None:
    assert reconciliation.carry_on(run.pk, world.vendors, seconds=60)
    run.refresh_from_db()


def calls_of(run: Callable[[], object], monkeypatch: pytest.MonkeyPatch, *, dies_at: int = 0) -> int:
    """Count the calls of the vendors on the way, and die ahead of one of them."""
    send, count = WsgiAdapter.send, 0

    def mortal(adapter: WsgiAdapter, request: PreparedRequest, *rest: Any, **options: Any) -> Response:
        nonlocal count
        count += 1
        if count == dies_at:
            raise Killed
        return send(adapter, request, *rest, **options)

    with monkeypatch.context() as patched:
        patched.setattr(WsgiAdapter, "send", mortal)
        run()
    return count


def test_a_run_that_is_killed_anywhere_ends_with_the_same_rows(many: World, monkeypatch: pytest.MonkeyPatch) -> None:
    many.m3ter.limit_requests(None)  # budgets have tests of their own
    many.paddle.rate_limit.limit = None
    whole = reconciliation.ask(by="fiona")
    calls = calls_of(lambda: carry_on(whole, many), monkeypatch)
    expected, findings = compared(whole), Finding.objects.filter(kind=reconciliation.WITHOUT_REASON).count()

    for dies_at in range(1, calls + 1):
        run = reconciliation.ask(by="fiona")
        with pytest.raises(Killed):
            calls_of(lambda run=run: carry_on(run, many), monkeypatch, dies_at=dies_at)  # type: ignore[misc]
        assert not reconciliation.carry_on(run.pk, many.vendors, seconds=60)  # its lease has not ended
        ReconciliationRun.objects.update(lease_until=clock.now() - dt.timedelta(seconds=1))
        carry_on(run, many)

        assert compared(run) == expected
        assert (run.state, run.bills, run.unknown, run.totals) == (State.DONE, 3, whole.unknown, whole.totals)
    assert calls >= 8
    assert (whole.unknown, findings) == (1, 1)


def test_a_run_goes_on_where_its_time_was_up(many: World) -> None:
    run = reconciliation.ask(by="fiona")
    turns = 1
    while not reconciliation.carry_on(run.pk, many.vendors, seconds=0):
        turns += 1
    run.refresh_from_db()

    assert (run.state, run.bills) == (State.DONE, 3)
    assert turns >= 13  # eleven weeks, and one account after the other


def test_a_spent_budget_puts_a_run_off(world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    run = reconciliation.ask(by="fiona")
    monkeypatch.setattr(reconciliation, "_list", spent)

    said = jobs.carry_on_reconciliations()

    run.refresh_from_db()
    assert (said, run.state, run.note) == ("0 of 1 reconciliations done", State.LISTING, "Our share is used up.")
    assert run.lease_until is not None
    assert run.lease_until > clock.now() + dt.timedelta(seconds=20)
    assert reconciliation.to_carry_on() == []


def spent(*given: Any) -> Any:
    raise BudgetSpent("Our share is used up.", retry_after=30)


def test_a_refused_key_is_noted_and_tried_again(world: World) -> None:
    world.pushed()
    world.paddle.withhold_permission("transaction.read")
    run = reconciliation.ask(by="fiona")

    with pytest.raises(VendorClosed):
        reconciliation.carry_on(run.pk, world.vendors, seconds=60)

    run.refresh_from_db()
    assert (run.state, run.lease, run.rows.filter(compared_at=None).count()) == (State.COMPARING, None, 1)
    assert run.note


def test_every_day_there_is_one_run_of_the_last_weeks(world: World) -> None:
    world.pushed()

    said = [jobs.reconcile_daily(), jobs.reconcile_daily(), jobs.carry_on_reconciliations()]

    run = ReconciliationRun.objects.get()
    today = clock.now().date()
    assert said[1:] == ["the last one is still under way", "1 of 1 reconciliations done"]
    assert (run.by, run.first_day, run.last_day) == ("the schedule", today - dt.timedelta(days=70), today)
    assert (run.state, run.bills, run.unknown) == (State.DONE, 1, 0)
    assert not ScheduledJob.objects.filter(name="wake-up reconciliation", lease_until__isnull=False).exists()


def test_only_bills_of_the_days_and_the_account_asked_for_are_compared(many: World) -> None:
    yesterday = clock.now().date() - dt.timedelta(days=1)
    of_one, of_none = (
        reconciliation.ask(by="fiona", account_code=many.subscription_id),
        reconciliation.ask(by="fiona", last_day=yesterday),
    )
    for run in (of_one, of_none):
        carry_on(run, many)

    assert [row.account_code for row in of_one.rows.all()] == [many.subscription_id]
    assert (of_one.previous, of_none.bills) == (None, 0)
    with pytest.raises(NotPossible, match="No account with the code"):
        reconciliation.ask(by="fiona", account_code="nowhere")
    with pytest.raises(NotPossible, match="is after"):
        reconciliation.ask(by="fiona", first_day=clock.now().date(), last_day=yesterday)


def differing(world: World) -> World:
    """A bill whose ledger entry somebody changed."""
    world.m3ter.limit_requests(None)  # budgets have tests of their own
    world.pushed()
    BillEntry.objects.update(amount=F("amount") + 1)
    return world


def done(world: World, **asked: Any) -> ReconciliationRun:
    run = reconciliation.ask(by="fiona", **asked)
    carry_on(run, world)
    return run


def test_a_run_of_other_days_or_accounts_in_between_makes_nothing_new(world: World) -> None:
    first = done(differing(world))
    _, account_id = world.subscribe(email="other@example.com")
    other = world.imported(account_id=account_id)
    long_ago = clock.now().date() - dt.timedelta(days=300)
    done(world, first_day=long_ago - dt.timedelta(days=100), last_day=long_ago)
    done(world, account_code=other.m3ter_account_code)

    again = done(world)

    assert [(run.unknown, run.new_unknown) for run in (first, again)] == [(1, 1), (1, 0)]
    assert again.previous == first
    assert list(again.rows.filter(is_new=True)) == []


def test_a_bill_is_compared_with_the_newest_run_that_had_it_whichever_accounts_that_was_about(world: World) -> None:
    first = done(differing(world))
    BillEntry.objects.update(amount=F("amount") - 1)
    of_one = done(world, account_code=world.subscription_id)
    BillEntry.objects.update(amount=F("amount") + 1)

    again = done(world)

    assert [(run.new_unknown, run.solved) for run in (first, of_one, again)] == [(1, 0), (0, 1), (1, 0)]
    assert list(reconciliation.solved_since(of_one)) == list(of_one.rows.all())
    assert list(reconciliation.solved_since(again)) == []
    assert reconciliation.row_before(again.rows.get()) == of_one.rows.get()


def test_what_a_run_is_compared_with_is_read_in_as_many_queries_however_many_runs_there_are(
    world: World, django_assert_num_queries: Any
) -> None:
    differing(world)
    for _ in range(3):
        run = done(world)

    with django_assert_num_queries(2):
        before = reconciliation.unknown_before(run)

    assert before == {PushedBill.objects.get().m3ter_bill_id}


def test_paddle_is_asked_once_for_accounts_that_are_compared_together(world: World) -> None:
    world.pushed()
    for number in range(3):
        _, account_id = world.subscribe(email=f"buyer{number}@example.com")
        world.imported(account_id=account_id)
    run = reconciliation.ask(by="fiona")
    before = (world.calls("list transactions"), world.calls("list bills", "m3ter"))

    carry_on(run, world)

    assert world.calls("list transactions") - before[0] == 1
    assert world.calls("list adjustments") == 0
    assert world.calls("list bills", "m3ter") - before[1] == 11
    assert run.bills == 4


# --- The command ------------------------------------------------------------------------------------------------------


def reconcile(*arguments: str) -> tuple[int, str, str]:
    """The exit status, what was said, and the last words of a failure."""
    out = StringIO()
    try:
        call_command("reconcile", *arguments, stdout=out)
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    return 0, out.getvalue(), ""


def test_the_command_says_the_totals_and_that_all_is_explained(world: World) -> None:
    world.pushed()

    status, said, failed = reconcile()

    assert (status, failed) == (0, "")
    totals, last = said.splitlines()
    assert totals.startswith("1 bills: m3ter 143.45 USD, ledger 143.45 USD, billed 0.00 USD, collected 0.00 USD, ")
    assert last == "1 bills compared; every difference has a reason."
    assert ReconciliationRun.objects.get().by.startswith("command, ")


def test_the_command_names_what_has_no_reason_and_exports_it(many: World, tmp_path: Path) -> None:
    ReconciliationRow.objects.all().delete()
    file = tmp_path / "bills.csv"

    status, said, failed = reconcile("--export", str(file))

    odd = PushedBill.objects.get(m3ter_version=99)
    assert (status, failed) == (1, "1 of 3 have a difference without a reason.")
    assert f"{odd.m3ter_bill_id}  {odd.m3ter_account_code}  143.44 USD: The ledger says another amount" in said
    with file.open(encoding="utf-8", newline="") as opened:
        first, *others = csv.DictReader(opened)
    assert (first["subject"], first["m3ter"], first["ledger"]) == (odd.m3ter_bill_id, "143.45", "0.01")
    assert (first["unknown"], first["because: unknown"], first["because: open"]) == ("143.44", "143.44", "0.01")
    assert len(others) == 2


def test_a_dry_run_says_the_same_and_keeps_nothing(many: World) -> None:
    status, said, failed = reconcile("--dry-run")

    assert (status, failed) == (1, "1 of 3 have a difference without a reason.")
    assert "The ledger says another amount" in said
    assert ReconciliationRun.objects.count() == ReconciliationRow.objects.count() == 0
    assert not Finding.objects.filter(kind=reconciliation.WITHOUT_REASON).exists()


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_what_could_not_be_finished_is_told_apart(world: World, arguments: tuple[str, ...]) -> None:
    world.pushed()
    world.paddle.withhold_permission("transaction.read")

    status, _, failed = reconcile(*arguments)

    assert status == 2
    assert failed.startswith("Not reconciled to the end: ")


def test_cells_that_a_spreadsheet_could_take_for_formulas_are_escaped(world: World, tmp_path: Path) -> None:
    world.pushed()
    link = world.link
    link.name = '=HYPERLINK("http://evil.example")'
    link.save(update_fields=["name"])
    file = tmp_path / "bills.csv"

    reconcile("--export", str(file))

    with file.open(encoding="utf-8", newline="") as opened:
        (row,) = csv.DictReader(opened)
    assert row["customer"] == '\'=HYPERLINK("http://evil.example")'
