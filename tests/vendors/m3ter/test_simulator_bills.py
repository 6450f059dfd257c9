"""Bills of the simulated m3ter: what they hold and when they fall due."""

from decimal import Decimal
from typing import Any

from integration_project.vendors.m3ter.simulator import sample
from tests.vendors.m3ter.organisation import Organisation

APRIL = "2026-04-01T00:00:00Z"


def lines(bill: Any) -> list[tuple[str, Decimal]]:
    return [(line["lineItemType"], line["convertedSubtotal"]) for line in bill["lineItems"]]


# What a bill holds.


def test_a_bill_has_tiered_usage_and_the_standing_charge(organisation: Organisation, subscribed: Any) -> None:
    organisation.use(12_600)

    bill = organisation.bill()

    assert lines(bill) == [("USAGE", Decimal(219)), ("STANDING_CHARGE", Decimal(20))]
    assert (bill["billTotal"], bill["currency"], bill["currencyConversions"]) == (Decimal(239), "USD", [])
    usage = bill["lineItems"][0]
    assert (usage["quantity"], usage["units"], usage["unit"]) == (12_600, 12_600, "calls")
    assert [band["bandUnits"] for band in usage["usagePerPricingBand"]] == [1000, 9000, 2600]
    assert [band["bandSubtotal"] for band in usage["usagePerPricingBand"]] == [0, 180, 39]
    assert usage["averageUnitPrice"] == Decimal("0.017381")
    assert (usage["servicePeriodStartDate"], usage["servicePeriodEndDate"]) == (
        "2026-02-01T00:00:00Z",
        "2026-03-01T00:00:00Z",
    )


def test_a_bill_names_its_period_and_dates(organisation: Organisation, subscribed: Any) -> None:
    bill = organisation.bill()

    assert {name: bill[name] for name in bill if "Date" in name and name != "createdDate"} == {
        "startDate": "2026-02-01",
        "endDate": "2026-03-01",
        "startDateTimeUTC": "2026-02-01T00:00:00.000Z",
        "endDateTimeUTC": "2026-03-01T00:00:00.000Z",
        "billDate": "2026-03-01",
        "dueDate": "2026-03-15",
        "externalInvoiceDate": "2026-03-01",
        "lastCalculatedDate": bill["lastCalculatedDate"],
    }
    assert (bill["status"], bill["locked"], bill["version"]) == ("PENDING", False, 1)
    assert (bill["billingFrequency"], bill["billFrequencyInterval"], bill["timezone"]) == ("MONTHLY", 1, "UTC")
    assert bill["sequentialInvoiceNumber"] == "GAUGE-101"


def test_volume_pricing_and_the_minimum_spend(organisation: Organisation) -> None:
    organisation.plan_on(organisation.account(), sample.PLAN_BULK)
    organisation.use(1_000)

    bill = organisation.bill()

    assert lines(bill) == [("USAGE", Decimal(30)), ("STANDING_CHARGE", Decimal(20)), ("MINIMUM_SPEND", Decimal(20))]
    assert bill["lineItems"][2]["description"] == "Gauge Cloud minimum"


def test_enough_usage_needs_no_minimum(organisation: Organisation) -> None:
    organisation.plan_on(organisation.account(), sample.PLAN_BULK)
    organisation.use(6_000)

    assert lines(organisation.bill()) == [("USAGE", Decimal(60)), ("STANDING_CHARGE", Decimal(20))]


def test_amounts_are_converted_into_the_accounts_currency(organisation: Organisation) -> None:
    organisation.plan_on(organisation.account(currency="EUR"))
    organisation.use(1_003)

    bill = organisation.bill()

    usage, standing = bill["lineItems"]
    assert (usage["subtotal"], usage["currency"], usage["conversionRate"]) == (Decimal("0.06"), "USD", Decimal("0.92"))
    assert (usage["convertedSubtotal"], standing["convertedSubtotal"]) == (Decimal("0.06"), Decimal("18.40"))
    assert (bill["currency"], bill["billTotal"]) == ("EUR", Decimal("18.46"))
    assert bill["currencyConversions"] == [{"from": "USD", "to": "EUR", "multiplier": Decimal("0.92")}]


def test_without_a_conversion_rate_the_account_gets_no_bill_and_others_do(organisation: Organisation) -> None:
    organisation.plan_on(organisation.account(code="yen", currency="JPY"))
    organisation.plan_on(organisation.account())

    job = organisation.sim.run_bill_job(bill_date="2026-03-01")

    assert [failure["error"] for failure in job["failures"]] == ["No currency conversion from USD to JPY"]
    assert [bill["accountCode"] for bill in organisation.get("/bills")["data"]] == ["harbour-tools"]


def test_a_plan_that_begins_inside_the_period_pays_a_part_of_the_standing_charge(organisation: Organisation) -> None:
    organisation.plan_on(organisation.account(), startDate="2026-02-22T00:00:00Z")

    bill = organisation.bill()

    assert lines(bill) == [("STANDING_CHARGE", Decimal(5))]
    assert bill["lineItems"][0]["servicePeriodStartDate"] == "2026-02-22T00:00:00Z"
    assert bill["startDate"] == "2026-02-01"


def test_a_replaced_plan_is_billed_up_to_the_change_and_the_new_one_from_it(
    organisation: Organisation, subscribed: Any
) -> None:
    plan = organisation.get("/accountplans", account=subscribed["id"])["data"][0]
    body = {"accountId": subscribed["id"], "planId": sample.PLAN_BULK, "startDate": "2026-02-15T00:00:00Z"}
    organisation.post(f"/accountplans/{plan['id']}/replace", body)
    organisation.use(2_000, at="2026-02-14T23:59:59Z")
    organisation.use(3_000, at="2026-02-15T00:00:00Z")

    bill = organisation.bill()

    charged = [(line["lineItemType"], line["planId"], line["subtotal"]) for line in bill["lineItems"]]
    assert charged == [
        ("USAGE", sample.PLAN_SCALE, Decimal(20)),
        ("USAGE", sample.PLAN_BULK, Decimal(90)),
        ("STANDING_CHARGE", sample.PLAN_SCALE, Decimal(10)),
        ("STANDING_CHARGE", sample.PLAN_BULK, Decimal(10)),
    ]


def test_a_plan_group_is_charged_for_each_of_its_plans(organisation: Organisation) -> None:
    organisation.plan_on(organisation.account(), planId=None, planGroupId=sample.GROUP_BUNDLE)
    organisation.use(2_000)

    bill = organisation.bill()

    assert lines(bill) == [("USAGE", Decimal(20)), ("STANDING_CHARGE", Decimal(20)), ("STANDING_CHARGE", Decimal(12))]
    assert {line["planGroupId"] for line in bill["lineItems"]} == {sample.GROUP_BUNDLE}
    assert [line["productCode"] for line in bill["lineItems"]] == ["gauge-cloud", "gauge-cloud", "gauge-seats"]


def add_pricing(organisation: Organisation, **fields: Any) -> Any:
    return organisation.post(
        "/pricings",
        {
            "planId": sample.PLAN_SCALE,
            "aggregationId": sample.AGGREGATION,
            "startDate": "2026-01-01T00:00:00Z",
            "cumulative": True,
            "pricingBands": [{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": 0.01}],
            **fields,
        },
    )


def test_credit_pricing_gives_a_negative_line_capped_by_the_product(
    organisation: Organisation, subscribed: Any
) -> None:
    add_pricing(organisation, type="PRODUCT_CREDIT", description="Goodwill")
    organisation.use(2_000)

    bill = organisation.bill()

    assert lines(bill) == [("USAGE", Decimal(20)), ("STANDING_CHARGE", Decimal(20)), ("USAGE_CREDIT", Decimal(-20))]
    assert bill["lineItems"][2]["description"] == "Goodwill"
    assert bill["billTotal"] == Decimal(20)


def test_a_large_credit_takes_the_bill_to_zero_and_not_below(organisation: Organisation, subscribed: Any) -> None:
    add_pricing(
        organisation, type="GLOBAL_CREDIT", pricingBands=[{"lowerLimit": 0, "fixedPrice": 1000, "unitPrice": 0}]
    )
    organisation.use(2_000)

    assert organisation.bill()["billTotal"] == Decimal(0)


def test_segmented_pricing_counts_only_its_segment_and_names_it(organisation: Organisation, subscribed: Any) -> None:
    add_pricing(organisation, segment={"endpoint": "search"})
    organisation.post(
        "/measurements",
        {
            "measurements": [
                {
                    "uid": f"s{number}",
                    "meter": "api_calls",
                    "account": "harbour-tools",
                    "ts": "2026-02-10T00:00:00Z",
                    "measure": {"calls": 500},
                    "what": {"endpoint": endpoint},
                }
                for number, endpoint in enumerate(["search", "export"])
            ]
        },
    )

    bill = organisation.bill()

    segmented = [line for line in bill["lineItems"] if line["segment"]]
    assert [(line["description"], line["quantity"]) for line in segmented] == [("API calls (search)", 500)]


def test_tiers_that_span_the_plan_go_on_where_the_last_period_ended(organisation: Organisation) -> None:
    pricing = organisation.sim.memory.pricings.get(sample.PRICING_SCALE)
    assert pricing is not None
    pricing["tiersSpanPlan"] = True
    organisation.plan_on(organisation.account())
    organisation.use(1_000, at="2026-02-10T00:00:00Z")
    organisation.use(1_000, at="2026-03-02T00:00:00Z")

    organisation.sim.clock_set(APRIL)
    organisation.sim.run_bill_job()

    march, february = organisation.get("/bills")["data"]
    assert lines(february)[0] == ("USAGE", Decimal(0))
    assert lines(march)[0] == ("USAGE", Decimal(20))


def test_negative_measurements_correct_earlier_ones(organisation: Organisation, subscribed: Any) -> None:
    organisation.use(5_000)
    organisation.use(-1_000)

    usage = organisation.bill()["lineItems"][0]

    assert (usage["quantity"], usage["convertedSubtotal"]) == (4_000, Decimal(60))


def test_charges_in_advance_are_for_the_next_period(organisation: Organisation) -> None:
    config = organisation.sim.memory.organization_config
    config["standingChargeBillInAdvance"] = True
    for row in [*organisation.sim.memory.plan_templates, *organisation.sim.memory.plans]:
        row["standingChargeBillInAdvance"] = None
    organisation.plan_on(organisation.account())
    organisation.sim.clock_set(APRIL)

    organisation.sim.run_bill_job()

    march, february = organisation.get("/bills")["data"]
    periods = [[line["servicePeriodStartDate"][:10] for line in bill["lineItems"]] for bill in (february, march)]
    assert periods == [["2026-02-01", "2026-03-01"], ["2026-04-01"]]


# When bills fall due.


def test_the_account_bill_epoch_is_the_first_bill_date_and_the_anchor(organisation: Organisation) -> None:
    organisation.plan_on(organisation.account(billEpoch="2026-03-08"), startDate="2026-02-12T09:00:00Z")
    organisation.sim.clock_set("2026-05-20T00:00:00Z")

    organisation.sim.run_bill_job()

    bills = organisation.get("/bills")["data"][::-1]
    assert [bill["billDate"] for bill in bills] == ["2026-03-08", "2026-04-08", "2026-05-08"]
    assert bills[0]["lineItems"][0]["servicePeriodStartDate"] == "2026-02-12T09:00:00Z"


def test_before_the_epoch_there_is_no_bill(organisation: Organisation) -> None:
    organisation.plan_on(organisation.account(billEpoch="2026-02-15"), startDate="2026-01-01T00:00:00Z")

    assert organisation.sim.run_bill_job(bill_date="2026-02-14")["bill_ids"] == []

    bill = organisation.get(f"/bills/{organisation.sim.run_bill_job(bill_date='2026-02-15')['bill_ids'][0]}")
    assert (bill["startDate"], bill["endDate"]) == ("2026-01-01", "2026-02-15")
    assert lines(bill) == [("STANDING_CHARGE", Decimal("29.03"))]


def test_a_moved_epoch_counts_from_the_next_unbilled_period(organisation: Organisation) -> None:
    account = organisation.account()
    organisation.plan_on(account)
    organisation.bill()
    body = {"name": account["name"], "code": account["code"], "emailAddress": account["emailAddress"], "version": 1}
    organisation.put(f"/accounts/{account['id']}", {**body, "billEpoch": "2026-04-10"})

    organisation.sim.run_bill_job(bill_date="2026-05-10")

    periods = [(bill["startDate"], bill["endDate"]) for bill in organisation.get("/bills")["data"]][::-1]
    assert periods == [("2026-02-01", "2026-03-01"), ("2026-03-01", "2026-04-10"), ("2026-04-10", "2026-05-10")]


def test_without_an_epoch_the_organisations_counts(organisation: Organisation) -> None:
    account = organisation.account(billEpoch=None)
    organisation.plan_on(account, startDate="2026-02-12T00:00:00Z")

    assert organisation.bill()["billDate"] == "2026-03-01"


def test_an_account_plan_can_have_an_epoch_of_its_own(organisation: Organisation) -> None:
    organisation.plan_on(organisation.account(), billEpoch="2026-02-20")

    assert organisation.bill()["billDate"] == "2026-02-20"


def test_days_begin_in_the_organisations_time_zone(organisation: Organisation, subscribed: Any) -> None:
    organisation.sim.memory.organization_config["timezone"] = "America/New_York"
    organisation.use(2_000, at="2026-03-01T04:59:59Z")
    organisation.use(9_999, at="2026-03-01T05:00:00Z")

    bill = organisation.bill()

    assert (bill["timezone"], bill["endDateTimeUTC"]) == ("America/New_York", "2026-03-01T05:00:00.000Z")
    assert bill["lineItems"][0]["quantity"] == 2_000


def test_a_plan_that_ended_gets_no_more_bills(organisation: Organisation) -> None:
    organisation.plan_on(organisation.account(), endDate="2026-03-01T00:00:00Z")
    organisation.sim.clock_set("2026-06-01T00:00:00Z")

    organisation.sim.run_bill_job()

    assert [bill["billDate"] for bill in organisation.get("/bills")["data"]] == ["2026-03-01"]


def test_a_bill_for_an_open_period_can_be_asked_for(organisation: Organisation, subscribed: Any) -> None:
    organisation.use(2_000)

    job = organisation.sim.run_bill_job(bill_date="2026-04-01")

    assert [organisation.get(f"/bills/{bill_id}")["endDate"] for bill_id in job["bill_ids"]] == [
        "2026-03-01",
        "2026-04-01",
    ]


def test_running_the_same_period_again_updates_its_bill(organisation: Organisation, subscribed: Any) -> None:
    first = organisation.bill()
    organisation.use(2_000)

    second = organisation.bill()

    assert (second["id"], second["version"], second["billTotal"]) == (first["id"], 2, Decimal(40))
    assert len(organisation.get("/bills")["data"]) == 1


def test_empty_bills_can_be_suppressed(organisation: Organisation) -> None:
    organisation.sim.memory.organization_config["suppressedEmptyBills"] = True
    plan = organisation.post(
        "/plans", {"planTemplateId": sample.TEMPLATE_CLOUD, "name": "Free", "code": "free", "standingCharge": 0}
    )
    organisation.plan_on(organisation.account(), plan["id"])

    assert organisation.sim.run_bill_job(bill_date="2026-03-01")["bill_ids"] == []


# Less usual charges.


def test_a_pricing_can_have_a_minimum_of_its_own(organisation: Organisation, subscribed: Any) -> None:
    add_pricing(organisation, minimumSpend=56, segment={"endpoint": "search"})

    bill = organisation.bill()

    assert lines(bill) == [("MINIMUM_SPEND", Decimal(56)), ("STANDING_CHARGE", Decimal(20))]
    assert bill["lineItems"][0]["description"] == "API calls Minimum Spend Adjustment"


def test_a_standing_charge_can_come_with_every_second_bill(organisation: Organisation) -> None:
    template = organisation.sim.memory.plan_templates.get(sample.TEMPLATE_CLOUD)
    assert template is not None
    template.update(standingChargeInterval=2, standingChargeOffset=1)
    organisation.plan_on(organisation.account())
    organisation.sim.clock_set("2026-06-01T00:00:00Z")

    organisation.sim.run_bill_job()

    bills = organisation.get("/bills", includeBillTotal="true")["data"][::-1]
    assert [bill["billTotal"] for bill in bills] == [0, 20, 0, 20]


def test_a_minimum_billed_in_advance_gives_back_what_was_not_used(organisation: Organisation) -> None:
    plan = organisation.sim.memory.plans.get(sample.PLAN_BULK)
    assert plan is not None
    plan.update(minimumSpendBillInAdvance=True, minimumSpend=Decimal(1000), standingCharge=Decimal(0))
    organisation.plan_on(organisation.account(), sample.PLAN_BULK)
    organisation.use(80_000, at="2026-03-15T00:00:00Z")
    organisation.sim.clock_set(APRIL)

    organisation.sim.run_bill_job()

    march, february = organisation.get("/bills")["data"]
    assert lines(february) == [("MINIMUM_SPEND", Decimal(1000)), ("MINIMUM_SPEND", Decimal(1000))]
    assert lines(march) == [
        ("USAGE", Decimal(800)),
        ("MINIMUM_SPEND_REFUND", Decimal(-200)),
        ("MINIMUM_SPEND", Decimal(1000)),
    ]


def test_a_plan_group_has_charges_of_its_own(organisation: Organisation) -> None:
    group = organisation.sim.memory.plan_groups.get(sample.GROUP_BUNDLE)
    assert group is not None
    group.update(
        standingCharge=Decimal(7), minimumSpend=Decimal(100), standingChargeAccountingProductId=sample.PRODUCT_SEATS
    )
    organisation.plan_on(organisation.account(), planId=None, planGroupId=sample.GROUP_BUNDLE)
    organisation.use(2_000)

    own = [line for line in organisation.bill()["lineItems"] if "planId" not in line]

    assert [(line["lineItemType"], line["convertedSubtotal"], line["description"]) for line in own] == [
        ("STANDING_CHARGE", 7, "Standing Charge"),
        ("MINIMUM_SPEND", 80, "Gauge Bundle Minimum Spend Adjustment"),
    ]
    assert own[0]["accountingProductCode"] == "gauge-seats"


def test_a_conversion_follows_the_currency_s_own_rounding(organisation: Organisation) -> None:
    euro = organisation.sim.memory.currencies.get(sample.EUR)
    assert euro is not None
    euro.update(maxDecimalPlaces=0, roundingMode="UP")
    organisation.plan_on(organisation.account(currency="EUR"))

    assert organisation.bill()["billTotal"] == 19


def test_usage_of_another_account_is_not_billed(organisation: Organisation, subscribed: Any) -> None:
    organisation.account(code="other")
    organisation.use(5_000, code="other")

    assert lines(organisation.bill()) == [("STANDING_CHARGE", Decimal(20))]
