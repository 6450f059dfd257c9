"""Usage of a locked period is charged on the next bill once a person has said how much: once, whatever is lost."""

import datetime as dt
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from integration_project import clock
from integration_project.errors import NotPossible
from integration_project.pages import late_usage
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from paddle_sync.models import AccountLink, LateUsage, SettledPeriod, UsageBatch
from paddle_sync.usage import pricing
from paddle_sync.usage.items import BILL_ON_NEXT
from tests.billing_bridge.killing import DeadlyAdapter, Killed, Killer, commits_can_kill
from tests.paddle_sync.usage.metered import accept, item, stamp, totals

pytestmark = pytest.mark.django_db
Run = Callable[[], int]
State = LateUsage.State


@pytest.fixture
def row(link: AccountLink) -> LateUsage:
    """Usage of a locked period, to be priced."""
    SettledPeriod.objects.create(
        m3ter_bill_id="bill-locked",
        m3ter_account_id=link.m3ter_account_id,
        starts_at=clock.now() - dt.timedelta(days=20),
        ends_at=clock.now() - dt.timedelta(days=1),
        state=SettledPeriod.State.LOCKED,
    )
    ts = stamp(clock.now() - dt.timedelta(days=3))
    accept(*(item(link, uid, 50, marks=[BILL_ON_NEXT], ts=ts) for uid in ("a", "b")))
    return LateUsage.objects.get()


def charges(m3ter: M3terSimulator) -> list[tuple[str, Decimal]]:
    return [(charge["description"], charge["amount"]) for charge in m3ter.memory.charges]


def lines_of_next_bill(link: AccountLink, m3ter: M3terSimulator) -> list[tuple[str, Decimal]]:
    """The charges among the lines of the account's bills, a while later."""
    m3ter.clock_move(days=70)
    m3ter.run_bill_job([link.m3ter_account_code])
    return [
        (line["description"], line["subtotal"])
        for bill in m3ter.memory.bills
        for line in bill["lineItems"]
        if line["lineItemType"] == "AD_HOC"
    ]


def test_the_next_bill_has_one_line_of_it_and_the_usage_itself_is_not_sent(
    link: AccountLink, row: LateUsage, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    late_usage.price(row.pk, by="fiona", reason="Agreed.", amount="12.50", description="API calls of February")
    run_jobs()
    run_jobs()

    row.refresh_from_db()
    assert (row.state, row.amount, row.currency, row.decided_by) == (State.CHARGED, 1250, link.currency, "fiona")
    assert row.m3ter_charge_id
    assert totals(m3ter) == {}
    assert UsageBatch.objects.get().state == UsageBatch.State.NEXT_BILL
    assert lines_of_next_bill(link, m3ter) == [("API calls of February", Decimal("12.50"))]


def test_units_times_a_price_are_rounded_to_the_currency(row: LateUsage, m3ter: M3terSimulator, run_jobs: Run) -> None:
    late_usage.price(row.pk, by="fiona", reason="Agreed.", units="100", unit_price="0.01255", description="Calls")
    run_jobs()

    row.refresh_from_db()
    assert (row.amount, row.exact, row.units, row.unit_price) == (126, "1.26", "100", "0.01255")
    assert charges(m3ter) == [("Calls", Decimal("1.26"))]


@pytest.mark.parametrize(
    ("currency", "amount", "why"),
    [
        ("EUR", "12.505", "EUR has 2 decimals"),
        ("JPY", "12.5", "JPY has no decimals"),
        ("EUR", "0.00", "comes to nothing"),
        ("EUR", "99999999999999", "more than any usage costs"),
        ("CLP", "12", "not certain"),
    ],
)
def test_an_amount_that_cannot_be_charged_is_refused(
    link: AccountLink, row: LateUsage, currency: str, amount: str, why: str
) -> None:
    AccountLink.objects.update(currency=currency)

    with pytest.raises(NotPossible, match=why):
        late_usage.price(row.pk, by="fiona", reason="Agreed.", amount=amount, description="Calls")

    row.refresh_from_db()
    assert (row.state, row.amount) == (State.REVIEW, None)


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"amount": "1", "units": "2", "unit_price": "3"},
        {"units": "2"},
        {"amount": "1,5"},
        {"amount": "NaN"},
        {"amount": "1_000"},
        {"amount": "1e99"},
        {"units": "many", "unit_price": "1"},
    ],
)
def test_the_form_takes_one_amount_in_numbers(answers: dict[str, str]) -> None:
    form = late_usage.PriceForm({"description": "Calls", "reason": "Agreed.", **answers})

    assert not form.is_valid()


def test_what_is_left_uncharged_makes_no_charge(row: LateUsage, m3ter: M3terSimulator, run_jobs: Run) -> None:
    pricing.write_off(row.pk, by="fiona", reason="Goodwill.")
    run_jobs()

    row.refresh_from_db()
    assert (row.state, row.note) == (State.WRITTEN_OFF, "Goodwill.")
    assert charges(m3ter) == []


def test_of_two_people_the_second_is_told(row: LateUsage) -> None:
    pricing.write_off(row.pk, by="fiona", reason="Goodwill.")

    with pytest.raises(NotPossible):
        late_usage.price(row.pk, by="frank", reason="Agreed.", amount="1", description="Calls")


def test_what_m3ter_refuses_comes_back_with_its_words_and_can_be_asked_again(
    link: AccountLink, row: LateUsage, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    account_id = row.m3ter_account_id
    LateUsage.objects.update(m3ter_account_id=str(uuid.uuid4()))
    AccountLink.objects.update(m3ter_account_id=LateUsage.objects.get().m3ter_account_id)
    late_usage.price(row.pk, by="fiona", reason="Agreed.", amount="1", description="Calls")
    run_jobs()
    row.refresh_from_db()
    assert row.state == State.REVIEW
    assert "m3ter refused" in row.last_error
    assert late_usage.last_answers(row)["amount"] == "1.00"

    LateUsage.objects.update(m3ter_account_id=account_id)
    AccountLink.objects.update(m3ter_account_id=account_id)
    late_usage.price(row.pk, by="fiona", reason="Again.", amount="1", description="Calls")
    run_jobs()

    row.refresh_from_db()
    assert (row.state, row.last_error) == (State.CHARGED, "")


def test_a_lost_answer_makes_no_second_charge(row: LateUsage, m3ter: M3terSimulator, run_jobs: Run) -> None:
    late_usage.price(row.pk, by="fiona", reason="Agreed.", amount="1", description="Calls")
    m3ter.fault("create charge", "lose_answer")
    run_jobs()
    LateUsage.objects.filter(state=State.ASKED).update(due_at=clock.now())
    run_jobs()

    row.refresh_from_db()
    assert row.state == State.CHARGED
    assert len(charges(m3ter)) == 1


def test_rows_of_different_usage_have_different_codes(row: LateUsage) -> None:
    before = pricing.code_of(row)
    row.received_at += dt.timedelta(seconds=1)

    assert pricing.code_of(row) != before
    assert len(before) <= 80


def claimed(row: LateUsage) -> LateUsage:
    """The row as a worker gets it."""
    LateUsage.objects.filter(pk=row.pk).update(lease=uuid.uuid4(), lease_until=clock.now() + dt.timedelta(minutes=1))
    return LateUsage.objects.get(pk=row.pk)


def test_whoever_dies_anywhere_charges_once(
    row: LateUsage,
    m3ter: M3terSimulator,
    adapters: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    m3ter.limit_requests(None)
    killer = Killer()
    adapters["m3ter"] = DeadlyAdapter(adapters["m3ter"], killer)
    vendors: Vendors = request.getfixturevalue("vendors")
    commits_can_kill(monkeypatch, killer)
    late_usage.price(row.pk, by="fiona", reason="Agreed.", amount="1", description="Calls")
    asked = LateUsage.objects.values("state", "due_at").get()
    died = 0

    for dies_at in range(40):
        for charge in list(m3ter.memory.charges):
            m3ter.memory.charges.remove(charge)
        LateUsage.objects.update(**asked, m3ter_charge_id="")
        try:
            with killer.watching(dies_at):
                pricing.charge(claimed(row), vendors.m3ter)
        except Killed:
            died += 1
        else:
            break

        if LateUsage.objects.get().state == State.ASKED:
            pricing.charge(claimed(row), vendors.m3ter)

        assert len(charges(m3ter)) == 1, killer.points
        assert LateUsage.objects.get().state == State.CHARGED
    assert died >= 4


def test_two_workers_at_once_make_one_charge(row: LateUsage, m3ter: M3terSimulator, vendors: Vendors) -> None:
    late_usage.price(row.pk, by="fiona", reason="Agreed.", amount="1", description="Calls")
    first, second = claimed(row), claimed(row)

    pricing.charge(first, vendors.m3ter)
    pricing.charge(second, vendors.m3ter)

    assert len(charges(m3ter)) == 1
    assert LateUsage.objects.get().state == State.CHARGED
