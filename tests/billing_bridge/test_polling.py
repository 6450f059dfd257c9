"""The poll reaches the end of m3ter's list whatever stands in it, says when it does not, and asks nobody else."""

from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from billing_bridge import importing, jobs
from billing_bridge.models import PushedBill
from integration_project.errors import VendorClosed
from integration_project.models import Finding, Installation
from paddle_sync.models import WebhookEvent
from tests.billing_bridge.world import World, fresh, make_due
from tests.builders import make_event

State = PushedBill.State


def of_another(world: World, number: int) -> str:
    """An approved bill of another customer."""
    return world.make_bill(account_id=world.subscribe(email=f"buyer{number}@example.com")[1])


def spoil(world: World, bill_id: str) -> None:
    """Let a line of a bill have no amount."""
    world.in_m3ter(bill_id)["lineItems"][0]["convertedSubtotal"] = None


def known() -> set[str]:
    return set(PushedBill.objects.values_list("m3ter_bill_id", flat=True))


def findings(kind: str) -> list[tuple[str, str]]:
    return list(Finding.objects.filter(kind=kind, state="open").order_by("id").values_list("subject", "severity"))


def test_any_number_of_bills_that_cannot_be_read_keep_nothing_back(world: World) -> None:
    bills = [of_another(world, number) for number in range(6)]
    good = bills[2]
    bad = [bill_id for bill_id in bills if bill_id != good]
    for bill_id in bad:
        spoil(world, bill_id)

    said = jobs.import_new_bills()

    assert "5 not read" in said
    assert known() == {good}
    assert {subject for subject, _ in findings("bill not read")} == set(bad)
    assert findings(jobs.NOT_TO_THE_END) == []


def test_bills_that_m3ter_does_not_answer_for_are_read_last_the_next_time(world: World) -> None:
    bills = [of_another(world, number) for number in range(5)]
    world.m3ter.fault("get bill", "error_before", times=3)
    first = jobs.import_new_bills()
    broken_off = findings(jobs.NOT_TO_THE_END)
    unread = {subject for subject, _ in findings("bill not read")}
    world.m3ter.calls.clear()

    jobs.import_new_bills()

    read = [str(call.path).rpartition("/")[2] for call in world.m3ter.calls if call.operation == "get bill"]
    assert "3 bills in a row could not be read" in first
    assert broken_off == [("unfinished bills", "problem")]
    assert (len(unread), set(read[-3:])) == (3, unread)
    assert (known(), findings("bill not read"), findings(jobs.NOT_TO_THE_END)) == (set(bills), [], [])


@pytest.mark.parametrize(
    "fields", [{"currency": None}, {"version": "one"}, {"startDate": "soon"}, {"billTotal": Decimal("NaN")}]
)
def test_one_entry_of_a_page_that_cannot_be_read_keeps_nothing_back(world: World, fields: dict[str, Any]) -> None:
    good, odd = world.make_bill(), of_another(world, 1)
    world.in_m3ter(odd).update(fields)

    said = jobs.import_new_bills()

    assert "1 not read" in said
    assert known() == {good}
    assert findings("bill not read") == [(odd, "problem")]


@pytest.mark.parametrize("fields", [{"purchaseOrderNumber": "PO\x00 7"}, {"accountCode": "a\x00b"}])
def test_characters_that_no_database_keeps_keep_no_bill_back(world: World, fields: dict[str, Any]) -> None:
    good, odd = world.make_bill(), of_another(world, 1)
    world.in_m3ter(odd).update(fields)

    jobs.import_new_bills()

    assert (known(), findings("bill not read")) == ({good, odd}, [])


@pytest.mark.parametrize("lines", [None, []])
def test_a_bill_for_which_m3ter_names_no_lines_is_held(world: World, lines: list[Any] | None) -> None:
    bill_id = world.make_bill()
    world.in_m3ter(bill_id)["lineItems"] = lines

    jobs.import_new_bills()

    bill = PushedBill.objects.get(m3ter_bill_id=bill_id)
    assert (bill.state, bill.reason) == (State.HELD, PushedBill.Reason.MISMATCH)


def test_an_entry_without_an_id_is_a_finding_until_it_is_gone(world: World) -> None:
    good, odd = world.make_bill(), of_another(world, 1)
    row = world.in_m3ter(odd)
    row["id"] = 7
    jobs.import_new_bills()
    found = findings("bill not read")

    row["id"] = odd
    jobs.import_new_bills()

    assert found == [("without id", "problem")]
    assert (known(), findings("bill not read")) == ({good, odd}, [])


def test_a_run_that_ends_before_the_list_does_is_a_finding_until_one_reaches_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.make_bill()
    monkeypatch.setattr(jobs, "SECONDS", -1.0)
    jobs.import_new_bills()
    cut_short = findings(jobs.NOT_TO_THE_END)
    monkeypatch.undo()

    jobs.import_new_bills()

    assert cut_short == [("unfinished bills", "notice")]
    assert findings(jobs.NOT_TO_THE_END) == []


# --- Settings of other accounts ---------------------------------------------------------------------------------------


def point_elsewhere() -> None:
    """The settings name another organisation than this database belongs to, with a good key."""
    Installation.objects.update(m3ter_org_id="the-real-one")


def test_another_organisation_s_list_is_neither_imported_nor_believed(world: World) -> None:
    bill = world.approved()
    world.delete_in_m3ter(bill)
    foreign = of_another(world, 1)
    point_elsewhere()
    world.m3ter.calls.clear()

    jobs.import_new_bills()
    jobs.sweep_bills()

    assert (fresh(bill).state, fresh(bill).payable, foreign in known()) == (State.READY, 14345, False)
    assert world.m3ter.calls == []
    assert findings(jobs.NOT_TO_THE_END) == [("unfinished bills", "problem"), ("all bills", "problem")]


def test_pull_bills_refuses_another_organisation(world: World) -> None:
    world.make_bill()
    point_elsewhere()

    with pytest.raises(CommandError, match="this database belongs to 'the-real-one'"):
        call_command("pull_bills", stdout=StringIO())

    assert known() == set()


def test_another_account_s_word_settles_no_unconfirmed_charge(world: World) -> None:
    bill = world.approved()
    world.paddle.fault("charge subscription", "lose_answer")
    jobs.drain_bills()
    make_due(bill)
    point_elsewhere()

    jobs.confirm_bills()

    assert (fresh(bill).state, fresh(bill).looks) == (State.UNCONFIRMED, 0)
    assert findings("charging refused") == [("Paddle", "alarm")]


def test_nothing_is_locked_or_mapped_in_another_organisation(world: World) -> None:
    bill = world.pushed()
    point_elsewhere()

    jobs.finish_bills()

    assert (fresh(bill).m3ter_locked, fresh(bill).external_mapping_id) == (False, "")
    assert world.in_m3ter(bill.m3ter_bill_id)["locked"] is False


def test_a_notice_waits_until_the_settings_are_right(world: World) -> None:
    bill_id = world.make_bill()
    event = make_event("billing.bill.updated", {"id": bill_id}, source=WebhookEvent.Source.M3TER)
    point_elsewhere()

    with pytest.raises(VendorClosed, match="the-real-one"):
        importing.bill_noticed(event, world.vendors)

    assert known() == set()


def test_another_organisation_s_native_integration_is_not_taken_for_ours(world: World) -> None:
    before = Installation.objects.get().native_integration_checked_at
    point_elsewhere()

    said = jobs.check_safeguards()

    assert "the-real-one" in said
    assert Installation.objects.get().native_integration_checked_at == before
    assert findings("charging refused") == [("Paddle", "alarm")]
