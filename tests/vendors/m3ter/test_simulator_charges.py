"""Charges of the simulated m3ter: what it refuses, and which bill has a line of them."""

from decimal import Decimal
from typing import Any

import pytest

from integration_project.vendors.m3ter.simulator import sample
from tests.vendors.m3ter.organisation import Organisation

NOWHERE = "00000000-0000-4000-8000-000000000000"


def body(account: Any, **fields: Any) -> dict[str, Any]:
    values = {
        "name": "Repair",
        "code": "repair-1",
        "accountId": account["id"],
        "currency": "USD",
        "entityType": "AD_HOC",
        "lineItemType": "AD_HOC",
        "amount": 50,
        "servicePeriodStartDate": "2026-01-01T00:00:00Z",
        "servicePeriodEndDate": "2026-02-01T00:00:00Z",
        **fields,
    }
    return {name: value for name, value in values.items() if value is not None}


def lines(bill: Any) -> list[Any]:
    return [line for line in bill["lineItems"] if line["lineItemType"] == "AD_HOC"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "name is required"),
        ({"name": "n" * 201}, "name must have between 1 and 200 characters"),
        ({"code": " x"}, "code must match the pattern of a code"),
        ({"accountId": NOWHERE}, f"accountId {NOWHERE} does not exist"),
        ({"currency": None}, "currency is required"),
        ({"entityType": "ACCOUNT"}, "entityType must be one of AD_HOC, BALANCE"),
        ({"entityType": "BALANCE", "lineItemType": "BALANCE_FEE"}, "entityType BALANCE is not simulated"),
        ({"lineItemType": "BALANCE_FEE"}, "lineItemType BALANCE_FEE does not fit the entityType"),
        ({"units": 1, "unitPrice": 2}, "Either amount or units together with unitPrice is required, and not both"),
        ({"amount": None}, "Either amount or units together with unitPrice is required, and not both"),
        ({"amount": None, "units": 1}, "Either amount or units together with unitPrice is required, and not both"),
        ({"amount": "50"}, "amount must be a number"),
        ({"accountingProductId": NOWHERE}, f"accountingProductId {NOWHERE} does not exist"),
        ({"contractId": NOWHERE}, f"contractId {NOWHERE} does not exist"),
        ({"servicePeriodEndDate": None}, "servicePeriodEndDate is required"),
        (
            {"servicePeriodEndDate": "2026-01-01T00:00:00Z"},
            "servicePeriodEndDate must be after servicePeriodStartDate",
        ),
        ({"billDate": "soon"}, "billDate must be a date as YYYY-MM-DD"),
        ({"colour": "red"}, "Unrecognized field 'colour'"),
    ],
)
def test_a_charge_that_is_not_right_is_refused(organisation: Organisation, change: Any, message: str) -> None:
    account = organisation.account()

    assert organisation.refusal("POST", "/charges", body(account, **change)) == message
    assert organisation.get("/charges")["data"] == []


def test_a_code_is_taken_by_one_charge(organisation: Organisation) -> None:
    organisation.post("/charges", body(organisation.account()))
    other = organisation.account(code="other")

    assert "already in use" in organisation.refusal("POST", "/charges", body(other))


def test_charges_are_listed_of_an_account_a_day_or_a_kind(organisation: Organisation) -> None:
    one, two = organisation.account(), organisation.account(code="two")
    organisation.post("/charges", body(one, billDate="2026-03-01"))
    organisation.post("/charges", body(two, code="repair-2"))

    def codes(**params: str) -> list[str]:
        return [charge["code"] for charge in organisation.get("/charges", **params)["data"]]

    assert codes() == codes(entityType="AD_HOC") == ["repair-2", "repair-1"]
    assert codes(accountId=one["id"]) == codes(billDate="2026-03-01") == ["repair-1"]
    assert codes(scheduleId=NOWHERE) == codes(entityId=NOWHERE) == []


def test_the_next_bill_has_one_line_of_a_charge(organisation: Organisation, subscribed: Any) -> None:
    made = organisation.post("/charges", body(subscribed, accountingProductId=sample.PRODUCT_SEATS, description="Two"))

    bill = organisation.bill()
    after = organisation.sim.run_bill_job(bill_date="2026-04-01")["bill_ids"]

    (line,) = lines(bill)
    assert (line["description"], line["subtotal"], line["quantity"], line["units"]) == ("Two", 50, 1, 1)
    assert (line["chargeId"], line["accountingProductCode"]) == (made["id"], "gauge-seats")
    assert (line["servicePeriodStartDate"], line["servicePeriodEndDate"]) == (
        "2026-01-01T00:00:00Z",
        "2026-02-01T00:00:00Z",
    )
    assert "productId" not in line
    assert bill["lineItems"][-1] == line
    assert bill["billTotal"] == sum(each["convertedSubtotal"] for each in bill["lineItems"])
    assert organisation.get(f"/charges/{made['id']}")["billId"] == bill["id"]
    assert [len(lines(organisation.get(f"/bills/{bill_id}"))) for bill_id in after] == [0]


def test_units_with_a_price_are_multiplied_and_amounts_may_be_negative(
    organisation: Organisation, subscribed: Any
) -> None:
    organisation.post("/charges", body(subscribed, amount=None, units=3, unitPrice=2))
    organisation.post("/charges", body(subscribed, code="credit", amount=-7, name="Credit"))

    priced, credit = lines(organisation.bill())

    assert (priced["subtotal"], priced["units"], priced["averageUnitPrice"]) == (6, 3, 2)
    assert (credit["subtotal"], credit["description"]) == (-7, "Credit")


def test_a_charge_in_another_currency_is_converted(organisation: Organisation) -> None:
    account = organisation.account(currency="EUR")
    organisation.plan_on(account)
    organisation.post("/charges", body(account))

    (line,) = lines(organisation.bill())

    assert (line["subtotal"], line["currency"], line["conversionRate"]) == (50, "USD", Decimal("0.92"))
    assert line["convertedSubtotal"] == 46


def test_a_charge_waits_for_a_bill_of_its_day(organisation: Organisation, subscribed: Any) -> None:
    organisation.post("/charges", body(subscribed, billDate="2026-03-02"))

    first = organisation.bill()
    ids = organisation.sim.run_bill_job(bill_date="2026-04-01")["bill_ids"]

    assert lines(first) == []
    assert [len(lines(organisation.get(f"/bills/{bill_id}"))) for bill_id in ids] == [1]


def test_a_bill_calculated_again_keeps_its_charges_and_takes_those_meant_for_it(
    organisation: Organisation, subscribed: Any
) -> None:
    organisation.post("/charges", body(subscribed))
    bill = organisation.bill()
    organisation.post("/charges", body(subscribed, code="meant", billDate="2026-03-01"))
    organisation.post("/charges", body(subscribed, code="later", billDate="2026-03-02"))
    organisation.post("/charges", body(subscribed, code="any"))

    again = organisation.sim.recalculate(bill["id"])
    twice = organisation.sim.recalculate(bill["id"])

    assert len(lines(again)) == len(lines(twice)) == 2
    assert again["billTotal"] == twice["billTotal"] == bill["billTotal"] + 50


def test_a_locked_bill_takes_no_charge_and_the_next_one_does(organisation: Organisation, subscribed: Any) -> None:
    bill = organisation.bill()
    organisation.sim.approve_bill(bill["id"])
    organisation.put(f"/bills/{bill['id']}/lock", None)
    organisation.post("/charges", body(subscribed, billDate="2026-03-01"))

    ids = organisation.sim.run_bill_job(bill_date="2026-04-01")["bill_ids"]

    assert [len(lines(organisation.get(f"/bills/{bill_id}"))) for bill_id in ids] == [1]
    assert lines(organisation.get(f"/bills/{bill['id']}")) == []


def test_a_billed_charge_is_fixed_until_its_bill_is_deleted(organisation: Organisation, subscribed: Any) -> None:
    made = organisation.post("/charges", body(subscribed))
    bill = organisation.bill()
    changed = {**body(subscribed), "amount": 60}
    refused = [
        organisation.refusal("PUT", f"/charges/{made['id']}", {**changed, "version": 2}),
        organisation.refusal("DELETE", f"/charges/{made['id']}"),
    ]

    organisation.call("DELETE", f"/bills/{bill['id']}")
    organisation.put(f"/charges/{made['id']}", {**changed, "version": 3})

    assert refused == ["Charge has been billed and cannot be changed"] * 2
    assert [line["subtotal"] for line in lines(organisation.bill())] == [60]


def test_an_account_with_a_charge_stays(organisation: Organisation) -> None:
    account = organisation.account()
    organisation.post("/charges", body(account))

    assert organisation.refusal("DELETE", f"/accounts/{account['id']}") == "Account is used by a Charge"


def test_a_charge_whose_currency_has_no_rate_keeps_the_account_from_being_billed(
    organisation: Organisation, subscribed: Any
) -> None:
    made = organisation.post("/charges", body(subscribed, currency="JPY"))

    job = organisation.sim.run_bill_job(bill_date="2026-03-01")

    assert [failure["error"] for failure in job["failures"]] == ["No currency conversion from JPY to USD"]
    assert "billId" not in organisation.get(f"/charges/{made['id']}")


def test_charges_are_events(organisation: Organisation) -> None:
    made = organisation.post("/charges", body(organisation.account()))
    organisation.call("DELETE", f"/charges/{made['id']}")

    names = [event["eventName"] for event in organisation.get("/events")["data"]]
    assert names[:2] == ["billing.charge.deleted", "billing.charge.created"]
