"""Usage of an approved bill's period is written down for the bill, and m3ter calculates that again when it is asked."""

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pytest_django import Settings

from integration_project import clock
from integration_project.errors import NotPossible
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.vendors.m3ter.simulator import M3terSimulator
from paddle_sync.models import AccountLink, LateForBill, LateInBatch, SettledPeriod, UsageBatch, UsageUpload
from paddle_sync.usage import late, outbox
from paddle_sync.usage.intake import Source
from paddle_sync.usage.items import CORRECTION
from paddle_sync.usage.late import Counts
from tests.billing_bridge.killing import DeadlyAdapter, Killed, Killer, commits_can_kill
from tests.builders import make_link
from tests.paddle_sync.usage.metered import accept, item, stamp

pytestmark = pytest.mark.django_db
Run = Callable[[], int]
State = LateForBill.State


@pytest.fixture
def bill(link: AccountLink, m3ter: M3terSimulator, run_jobs: Run) -> dict[str, Any]:
    """An approved bill of the account's first days, in m3ter and as it is known here."""
    now = m3ter.clock.now()
    m3ter.clock_move(days=40)
    job = m3ter.run_bill_job([link.m3ter_account_code])
    found: dict[str, Any] = m3ter.approve_bill(job["bill_ids"][0])
    m3ter.clock_set(now)
    SettledPeriod.objects.create(
        m3ter_bill_id=found["id"],
        m3ter_account_id=link.m3ter_account_id,
        starts_at=clock.now() - dt.timedelta(days=20),
        ends_at=clock.now() + dt.timedelta(days=10),
        state=SettledPeriod.State.APPROVED,
    )
    return found


def late_item(link: AccountLink, uid: str, calls: int = 5, **changes: Any) -> dict[str, Any]:
    ts = stamp(clock.now() - dt.timedelta(minutes=1))
    return item(link, uid, calls, marks=[CORRECTION], ts=ts, **changes)


def settled_in_m3ter() -> None:
    """Let enough time have gone by for m3ter to have stored what it took."""
    UsageBatch.objects.filter(sent_at__isnull=False).update(sent_at=clock.now() - dt.timedelta(minutes=5))
    LateForBill.objects.filter(due_at__isnull=False).update(due_at=clock.now())


def status(m3ter: M3terSimulator, bill: dict[str, Any]) -> str:
    row = m3ter.memory.bills.get(bill["id"])
    assert row is not None
    m3ter.bill_jobs.step_all()
    m3ter.bill_jobs.step_all()
    m3ter.bill_jobs.step_all()
    return str(row["status"])


def test_what_comes_late_is_written_down_for_its_bill(link: AccountLink, bill: dict[str, Any]) -> None:
    accept(late_item(link, "a"), late_item(link, "b"))

    row = LateForBill.objects.get()
    assert (row.m3ter_bill_id, row.m3ter_account_code, row.state) == (bill["id"], link.m3ter_account_code, State.OPEN)
    assert late.counts([bill["id"]]) == {bill["id"]: Counts(on_its_way=2)}


def test_a_file_knows_the_bills_that_it_came_too_late_for(link: AccountLink, bill: dict[str, Any]) -> None:
    upload = UsageUpload.objects.create(name="march.csv", via="console", by="olga", made_at=clock.now())
    accept(late_item(link, "a"), late_item(link, "b"), source=Source(upload=upload))
    accept(late_item(link, "c"))

    assert late.of_upload(upload.pk) == [(LateForBill.objects.get(), 2)]


def test_as_many_bills_as_accounts_cost_as_many_queries_as_one(
    link: AccountLink, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    others = [make_link(adopted=True, m3ter_account_code=f"account-{n}", m3ter_account_id=f"id-{n}") for n in range(40)]
    SettledPeriod.objects.bulk_create(
        SettledPeriod(
            m3ter_bill_id=f"bill of {other.m3ter_account_id}",
            m3ter_account_id=other.m3ter_account_id,
            starts_at=clock.now() - dt.timedelta(days=20),
            ends_at=clock.now() + dt.timedelta(days=10),
            state=SettledPeriod.State.APPROVED,
        )
        for other in others
    )

    with django_assert_max_num_queries(20):
        taken = accept(*(late_item(other, "a") for other in others))

    assert len(taken.late) == LateForBill.objects.filter(state=State.OPEN).count() == 40


def test_what_is_discarded_with_its_file_counts_no_more(link: AccountLink, bill: dict[str, Any]) -> None:
    accept(late_item(link, "a"))

    UsageBatch.objects.all().delete()

    assert late.counts([bill["id"]]) == {}
    assert not LateInBatch.objects.exists()


def test_m3ter_calculates_the_bill_again_with_what_came_late(
    link: AccountLink, bill: dict[str, Any], m3ter: M3terSimulator, run_jobs: Run
) -> None:
    accept(late_item(link, "a", 5000))
    run_jobs()
    settled_in_m3ter()

    late.ask_to_recalculate(LateForBill.objects.get().pk, by="fiona", reason="The customer agreed.")
    run_jobs()

    row = LateForBill.objects.get()
    assert (row.state, row.asked_by, row.last_error) == (State.DONE, "fiona", "")
    assert status(m3ter, bill) == "PENDING"


def test_m3ter_is_asked_only_when_all_that_came_late_is_there(
    link: AccountLink, bill: dict[str, Any], m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run
) -> None:
    accept(late_item(link, "a"))
    UsageBatch.objects.update(due_at=clock.now() + dt.timedelta(hours=1))

    late.ask_to_recalculate(LateForBill.objects.get().pk, by="fiona", reason="Agreed.")
    run_jobs()

    row = LateForBill.objects.get()
    assert (row.state, row.attempts) == (State.ASKED, 0)
    assert "1 batch that is still on the way" in row.last_error
    assert status(m3ter, bill) == "APPROVED"


def test_more_that_comes_late_asks_again(link: AccountLink, bill: dict[str, Any], run_jobs: Run) -> None:
    accept(late_item(link, "a"))
    late.leave(LateForBill.objects.get().pk, by="fiona", reason="Too little.")

    accept(late_item(link, "b"))

    assert LateForBill.objects.get().state == State.OPEN


def test_a_locked_bill_is_not_asked_for(link: AccountLink, bill: dict[str, Any]) -> None:
    accept(late_item(link, "a"))
    SettledPeriod.objects.update(state=SettledPeriod.State.LOCKED)

    with pytest.raises(NotPossible, match="locked by now"):
        late.ask_to_recalculate(LateForBill.objects.get().pk, by="fiona", reason="Agreed.")

    assert LateForBill.objects.get().state == State.OPEN


def test_a_bill_that_was_locked_in_m3ter_meanwhile_comes_back_to_a_person(
    link: AccountLink, bill: dict[str, Any], m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run
) -> None:
    accept(late_item(link, "a"))
    run_jobs()
    settled_in_m3ter()
    vendors.m3ter.lock_bill(bill["id"])

    late.ask_to_recalculate(LateForBill.objects.get().pk, by="fiona", reason="Agreed.")
    run_jobs()

    row = LateForBill.objects.get()
    assert row.state == State.OPEN
    assert "locked by now" in row.last_error


def test_a_bill_that_is_gone_comes_back_to_a_person(
    link: AccountLink, bill: dict[str, Any], m3ter: M3terSimulator, run_jobs: Run
) -> None:
    accept(late_item(link, "a"))
    run_jobs()
    settled_in_m3ter()
    gone = m3ter.memory.bills.get(bill["id"])
    assert gone is not None
    m3ter.memory.bills.remove(gone)

    late.ask_to_recalculate(LateForBill.objects.get().pk, by="fiona", reason="Agreed.")
    run_jobs()

    assert "does not have this bill" in LateForBill.objects.get().last_error


def test_nobody_asks_twice(link: AccountLink, bill: dict[str, Any]) -> None:
    accept(late_item(link, "a"))
    row = LateForBill.objects.get()
    late.ask_to_recalculate(row.pk, by="fiona", reason="Agreed.")

    with pytest.raises(NotPossible, match="fiona has asked"):
        late.ask_to_recalculate(row.pk, by="frank", reason="Agreed too.")


def test_whoever_dies_while_asking_does_not_reopen_a_bill_that_was_approved_again(
    link: AccountLink,
    bill: dict[str, Any],
    m3ter: M3terSimulator,
    adapters: dict[str, Any],
    settings: Settings,
    run_jobs: Run,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    accept(late_item(link, "a"))
    run_jobs()
    settled_in_m3ter()
    m3ter.limit_requests(None)
    killer = Killer()
    adapters["m3ter"] = DeadlyAdapter(adapters["m3ter"], killer)
    vendors: Vendors = request.getfixturevalue("vendors")
    commits_can_kill(monkeypatch, killer)
    row = LateForBill.objects.get()
    died = 0

    for dies_at in range(40):
        LateForBill.objects.update(
            state=State.ASKED, due_at=clock.now(), done_at=None, asked_at=clock.now(), lease=None, lease_until=None
        )
        m3ter.approve_bill(bill["id"])
        m3ter.change_bill(bill["id"], lastCalculatedDate="2026-01-01T00:00:00.000Z")
        row.refresh_from_db()
        try:
            with killer.watching(dies_at):
                late.recalculate(claimed(row), vendors.m3ter)
        except Killed:
            died += 1
        else:
            break
        reopened = status(m3ter, bill) == "PENDING"
        if reopened:
            m3ter.approve_bill(bill["id"])

        late.recalculate(claimed(row), vendors.m3ter)

        assert LateForBill.objects.get().state == State.DONE, killer.points
        assert (status(m3ter, bill) == "APPROVED") is reopened, killer.points
    assert died >= 4


def claimed(row: LateForBill) -> LateForBill:
    """The row as a worker gets it."""
    LateForBill.objects.filter(pk=row.pk).update(
        lease=uuid.uuid4(), lease_until=clock.now() + dt.timedelta(minutes=1), attempts=1
    )
    return LateForBill.objects.get(pk=row.pk)


# --- What comes while m3ter calculates, or after ----------------------------------------------------------------------


def test_what_comes_while_m3ter_calculates_is_put_before_a_person(
    link: AccountLink, bill: dict[str, Any], run_jobs: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(late_item(link, "a"))
    run_jobs()
    settled_in_m3ter()
    calculate = M3terClient.recalculate_bills

    def recalculate(self: M3terClient, bill_ids: Sequence[str]) -> Any:
        done = calculate(self, bill_ids)
        accept(late_item(link, "b"))
        return done

    monkeypatch.setattr(M3terClient, "recalculate_bills", recalculate)
    late.ask_to_recalculate(LateForBill.objects.get().pk, by="fiona", reason="Agreed.")
    run_jobs()

    row = LateForBill.objects.get()
    assert (row.state, row.due_at) == (State.OPEN, None)
    assert "More usage" in row.last_error


def test_what_comes_between_a_lost_answer_and_the_next_try_is_calculated_too(
    link: AccountLink, bill: dict[str, Any], m3ter: M3terSimulator, run_jobs: Run
) -> None:
    accept(late_item(link, "a"))
    run_jobs()
    settled_in_m3ter()
    m3ter.fault("recalculate bills", "lose_answer")
    late.ask_to_recalculate(LateForBill.objects.get().pk, by="fiona", reason="Agreed.")
    run_jobs()
    long_ago = clock.now() - dt.timedelta(minutes=5)
    LateForBill.objects.update(done_at=long_ago)
    m3ter.change_bill(bill["id"], lastCalculatedDate=stamp(long_ago))

    accept(late_item(link, "b"))
    run_jobs()
    UsageBatch.objects.update(sent_at=clock.now() - dt.timedelta(minutes=2))
    LateForBill.objects.update(due_at=clock.now())
    run_jobs()

    assert sum(1 for call in m3ter.calls if call.operation == "recalculate bills") == 2
    assert LateForBill.objects.get().state == State.DONE


def test_what_was_given_up_and_goes_after_the_calculation_is_put_before_a_person(
    link: AccountLink, bill: dict[str, Any], run_jobs: Run
) -> None:
    accept(late_item(link, "a"))
    UsageBatch.objects.update(state=UsageBatch.State.FAILED, due_at=None)
    late.ask_to_recalculate(LateForBill.objects.get().pk, by="fiona", reason="Agreed.")
    run_jobs()
    assert LateForBill.objects.get().state == State.DONE

    outbox.send_again(UsageBatch.objects.get().pk, by="olga", reason="It is not in m3ter.")
    run_jobs()

    assert LateForBill.objects.get().state == State.OPEN
