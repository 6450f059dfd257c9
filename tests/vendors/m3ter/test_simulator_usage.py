"""Measurements and the catalogue of the simulated m3ter."""

from decimal import Decimal
from typing import Any

import pytest

from integration_project.vendors.m3ter.simulator import sample
from tests.vendors.m3ter.organisation import BASE, Organisation

NOWHERE = "00000000-0000-4000-8000-000000000000"
MEASUREMENT = {
    "uid": "evt-1",
    "meter": "api_calls",
    "account": "harbour-tools",
    "ts": "2026-02-03T10:15:00Z",
    "measure": {"calls": 125},
    "what": {"endpoint": "search"},
}


def submit(organisation: Organisation, *measurements: dict[str, Any]) -> Any:
    return organisation.post("/measurements", {"measurements": list(measurements)})


def failures(organisation: Organisation) -> list[str]:
    events = organisation.get("/events", eventName="ingest.validation.failure")["data"]
    return [event["m3terEvent"]["eventData"]["newDto"]["errorType"] for event in events][::-1]


def test_a_measurement_is_accepted_first_and_stored_later(organisation: Organisation) -> None:
    account = organisation.account()

    answer = submit(organisation, MEASUREMENT)
    before = organisation.sim.state()
    counts = organisation.sim.process_measurements()

    assert answer == {"result": "accepted"}
    assert (before["measurements_waiting"], before["measurements"]) == (1, [])
    assert counts == {"stored": 1, "failed": 0}
    stored = organisation.sim.state()["measurements"]
    assert [(each["uid"], each["accountId"], each["meterId"]) for each in stored] == [
        ("evt-1", account["id"], sample.METER)
    ]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"meter": "unknown"}, "UndefinedMeter"),
        ({"measure": {}}, "MissingField"),
        ({"cost": {"calls": 1}}, "DuplicateField"),
        ({"account": "Harbour_Tools"}, "InvalidAccountCode"),
    ],
)
def test_an_invalid_measurement_is_accepted_dropped_and_reported(
    organisation: Organisation, change: dict[str, Any], kind: str
) -> None:
    organisation.account()

    assert submit(organisation, {**MEASUREMENT, **change}) == {"result": "accepted"}
    organisation.sim.process_measurements()

    assert failures(organisation) == [kind]
    assert organisation.sim.state()["measurements"] == []
    assert len(organisation.get("/accounts")["data"]) == 1


def test_a_repeated_uid_is_stored_once_for_35_days(organisation: Organisation) -> None:
    organisation.account()
    submit(organisation, MEASUREMENT, MEASUREMENT)
    organisation.sim.process_measurements()
    organisation.sim.clock_move(days=34)
    submit(organisation, MEASUREMENT)
    organisation.sim.process_measurements()
    within = len(organisation.sim.state()["measurements"])

    organisation.sim.clock_move(days=2)
    submit(organisation, MEASUREMENT)
    organisation.sim.process_measurements()

    assert within == 1
    assert len(organisation.sim.state()["measurements"]) == 2


def test_duplicates_are_reported(organisation: Organisation) -> None:
    organisation.account()
    submit(organisation, MEASUREMENT, MEASUREMENT)

    organisation.sim.process_measurements()

    assert failures(organisation) == ["DuplicateUid"]


def test_an_unknown_account_code_makes_a_skeleton_account(organisation: Organisation) -> None:
    submit(organisation, MEASUREMENT)

    organisation.sim.process_measurements()

    account = organisation.get("/accounts", codes="harbour-tools")["data"][0]
    assert (account["name"], account["code"]) == ("harbour-tools", "harbour-tools")
    assert account["emailAddress"] == "skeleton@m3ter.invalid"
    assert organisation.sim.state()["measurements"][0]["accountId"] == account["id"]


def test_a_failure_can_be_downloaded_for_five_minutes(organisation: Organisation) -> None:
    submit(organisation, {**MEASUREMENT, "meter": "unknown"})
    organisation.sim.process_measurements()
    details = organisation.get("/events", eventType="IngestValidationFailure")["data"][0]["m3terEvent"]["eventData"]

    url = organisation.get("/measurements/failedIngest/getDownloadUrl", file=details["newDto"]["file"])["url"]
    organisation.session.headers.pop("Authorization")
    found = organisation.session.get(url)
    organisation.real.move(301)
    late = organisation.session.get(url)

    assert url.startswith(BASE)
    assert (found.json()["error"], found.json()["measurement"]["uid"]) == ("UndefinedMeter", "evt-1")
    assert late.status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"uid": "u" * 51},
        {"meter": None},
        {"account": None},
        {"ts": None},
        {"ts": "yesterday"},
        {"account": " acme"},
        {"measure": {"calls": "many"}},
        {"what": {"endpoint": 7}},
        {"metadata": {"note": "n" * 257}},
        {"colour": "red"},
    ],
)
def test_a_batch_with_a_malformed_measurement_is_refused_whole(
    organisation: Organisation, change: dict[str, Any]
) -> None:
    organisation.refusal("POST", "/measurements", {"measurements": [MEASUREMENT, {**MEASUREMENT, **change}]})

    assert organisation.sim.state()["measurements_waiting"] == 0


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_one_to_a_thousand_measurements(organisation: Organisation, count: int) -> None:
    batch = [{**MEASUREMENT, "uid": str(number)} for number in range(count)]

    message = organisation.refusal("POST", "/measurements", {"measurements": batch})

    assert message == "measurements must have between 1 and 1000 items"


def test_a_thousand_measurements_are_taken_at_once(organisation: Organisation) -> None:
    organisation.account()
    submit(organisation, *({**MEASUREMENT, "uid": str(number)} for number in range(1000)))

    assert organisation.sim.process_measurements() == {"stored": 1000, "failed": 0}


def test_derived_fields_are_calculated_and_failures_reported_but_stored(organisation: Organisation) -> None:
    organisation.account()
    organisation.post(
        "/meters",
        {
            "name": "Transfers",
            "code": "transfers",
            "dataFields": [{"category": "MEASURE", "code": "bytes", "name": "Bytes"}],
            "derivedFields": [
                {"category": "MEASURE", "code": "kib", "name": "KiB", "calculation": "bytes / 1024"},
                {"category": "MEASURE", "code": "broken", "name": "Broken", "calculation": "bytes / nothing"},
            ],
        },
    )

    submit(organisation, {**MEASUREMENT, "meter": "transfers", "measure": {"bytes": 2048}, "what": {}})
    organisation.sim.process_measurements()

    assert organisation.sim.state()["measurements"][0]["measure"] == {"bytes": Decimal(2048), "kib": Decimal(2)}
    assert failures(organisation) == ["CalculationError"]


# Usage queries.

PERIOD = {"startDate": "2026-02-01T00:00:00Z", "endDate": "2026-03-01T00:00:00Z"}
CALLS = {"meterId": sample.METER, "fieldCode": "calls", "fieldType": "MEASURE", "function": "SUM"}


@pytest.fixture
def used(organisation: Organisation) -> Any:
    account = organisation.account()
    for uid, at, calls, endpoint in (
        ("1", "2026-02-03T10:00:00Z", 100, "search"),
        ("2", "2026-02-03T11:00:00Z", 20, "export"),
        ("3", "2026-02-04T10:00:00Z", 3, "search"),
        ("4", "2026-03-01T00:00:00Z", 5000, "search"),
    ):
        submit(
            organisation,
            {**MEASUREMENT, "uid": uid, "ts": at, "measure": {"calls": calls}, "what": {"endpoint": endpoint}},
        )
    organisation.sim.process_measurements()
    return account


def test_usage_is_read_back_measurement_by_measurement(organisation: Organisation, used: Any) -> None:
    answer = organisation.post("/usage/query", {**PERIOD, "accountIds": [used["id"]]})

    assert [(row["uid"], row["calls"], row["endpoint"]) for row in answer["data"]] == [
        ("1", 100, "search"),
        ("2", 20, "export"),
        ("3", 3, "search"),
    ]
    assert answer["hasMoreData"] is False


@pytest.mark.parametrize(
    ("groups", "sums"),
    [
        ([], [123]),
        ([{"groupType": "ACCOUNT"}], [123]),
        ([{"groupType": "TIME", "frequency": "DAY"}], [120, 3]),
        ([{"groupType": "TIME", "frequency": "MONTH"}], [123]),
        ([{"groupType": "DIMENSION", "meterId": sample.METER, "fieldCode": "endpoint"}], [20, 103]),
    ],
)
def test_usage_is_aggregated_and_grouped(
    organisation: Organisation, used: Any, groups: list[dict[str, str]], sums: list[int]
) -> None:
    answer = organisation.post("/usage/query", {**PERIOD, "aggregations": [CALLS], "groups": groups})

    assert [row["calls.sum"] for row in answer["data"]] == sums


@pytest.mark.parametrize(
    ("function", "value"),
    [("MIN", 3), ("MAX", 100), ("COUNT", 3), ("MEAN", 41), ("LATEST", 3), ("UNIQUE", 3)],
)
def test_every_function_of_a_query_is_known(organisation: Organisation, used: Any, function: str, value: int) -> None:
    query = {**PERIOD, "aggregations": [{**CALLS, "function": function}]}

    assert list(organisation.post("/usage/query", query)["data"][0].values()) == [value]


def test_usage_is_filtered_by_dimension_and_limited(organisation: Organisation, used: Any) -> None:
    only = [{"meterId": sample.METER, "fieldCode": "endpoint", "values": ["search"]}]

    answer = organisation.post("/usage/query", {**PERIOD, "dimensionFilters": only, "limit": 1})

    assert ([row["uid"] for row in answer["data"]], answer["hasMoreData"]) == (["1"], True)


@pytest.mark.parametrize(
    "group", [{"groupType": "TIME"}, {"groupType": "DIMENSION", "meterId": sample.METER}, {"groupType": "METER"}]
)
def test_a_group_says_what_it_is_by(organisation: Organisation, used: Any, group: dict[str, str]) -> None:
    organisation.refusal("POST", "/usage/query", {**PERIOD, "aggregations": [CALLS], "groups": [group]})


def test_groups_need_aggregations(organisation: Organisation, used: Any) -> None:
    organisation.refusal("POST", "/usage/query", {**PERIOD, "groups": [{"groupType": "ACCOUNT"}]})


# The catalogue.


def test_the_sample_catalogue_is_there(organisation: Organisation) -> None:
    codes = {
        path: [row.get("code") for row in organisation.get(path)["data"]]
        for path in ("/products", "/plans", "/plantemplates", "/plangroups", "/meters", "/picklists/currency")
    }

    assert codes == {
        "/products": ["gauge-seats", "gauge-cloud"],
        "/plans": ["seats-team", "bulk", "scale"],
        "/plantemplates": ["gauge-seats", "gauge-cloud"],
        "/plangroups": ["gauge-bundle"],
        "/meters": ["api_calls"],
        "/picklists/currency": ["GBP", "USD", "EUR"],
    }


@pytest.mark.parametrize(
    ("path", "params", "count"),
    [
        ("/plantemplates", {"productId": sample.PRODUCT_SEATS}, 1),
        ("/plans", {"productId": sample.PRODUCT_CLOUD}, 2),
        ("/plans", {"accountId": NOWHERE}, 0),
        ("/plangrouplinks", {"planGroup": sample.GROUP_BUNDLE}, 2),
        ("/plangrouplinks", {"plan": sample.PLAN_SCALE}, 1),
        ("/pricings", {"planId": sample.PLAN_BULK}, 1),
        ("/pricings", {"planId": sample.PLAN_BULK, "date": "2019-12-31"}, 0),
        ("/pricings", {"aggregationId": sample.AGGREGATION, "date": "2026-01-01T00:00:00Z"}, 2),
        ("/aggregations", {"productId": sample.PRODUCT_CLOUD}, 1),
        ("/aggregations", {"productId": sample.PRODUCT_SEATS}, 0),
        ("/meters", {"codes": "api_calls,other"}, 1),
        ("/picklists/currency", {"archived": "true"}, 0),
        ("/picklists/currency", {"codes": "EUR"}, 1),
    ],
)
def test_catalogue_lists_are_filtered(
    organisation: Organisation, path: str, params: dict[str, str], count: int
) -> None:
    assert len(organisation.get(path, **params)["data"]) == count


TEMPLATE = {
    "productId": sample.PRODUCT_CLOUD,
    "name": "T",
    "currency": "EUR",
    "billFrequency": "MONTHLY",
    "standingCharge": 0,
}
PRICING = {
    "planId": sample.PLAN_SCALE,
    "aggregationId": sample.AGGREGATION,
    "startDate": "2026-01-01T00:00:00Z",
    "pricingBands": [{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": 1}],
}
METER = {
    "name": "M",
    "code": "m",
    "dataFields": [{"category": "MEASURE", "code": "size", "name": "Size"}],
    "derivedFields": [],
}
AGGREGATION = {
    "name": "A",
    "meterId": sample.METER,
    "targetField": "calls",
    "aggregation": "SUM",
    "rounding": "UP",
    "quantityPerUnit": 1,
    "unit": "calls",
}


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        ("/plantemplates", TEMPLATE, {"billFrequency": "HOURLY"}),
        ("/plantemplates", TEMPLATE, {"standingCharge": -1}),
        ("/plantemplates", TEMPLATE, {"billFrequencyInterval": 366}),
        ("/plantemplates", TEMPLATE, {"productId": NOWHERE}),
        ("/plans", {"planTemplateId": sample.TEMPLATE_CLOUD, "name": "P", "code": "p"}, {"code": "scale"}),
        ("/plans", {"planTemplateId": sample.TEMPLATE_CLOUD, "name": "P", "code": "p"}, {"accountId": NOWHERE}),
        ("/plangrouplinks", {"planGroupId": sample.GROUP_BUNDLE, "planId": NOWHERE}, {"planId": sample.PLAN_BULK}),
        ("/pricings", PRICING, {"planTemplateId": sample.TEMPLATE_CLOUD}),
        ("/pricings", PRICING, {"compoundAggregationId": NOWHERE}),
        ("/pricings", PRICING, {"pricingBands": []}),
        ("/pricings", PRICING, {"pricingBands": [{"lowerLimit": -1, "fixedPrice": 0, "unitPrice": 1}]}),
        ("/pricings", PRICING, {"type": "CREDIT"}),
        ("/meters", METER, {"derivedFields": None}),
        ("/meters", METER, {"dataFields": []}),
        ("/meters", METER, {"code": "api_calls"}),
        ("/meters", METER, {"dataFields": [{"category": "WHO", "code": "who", "name": "Who", "unit": "1"}]}),
        ("/meters", METER, {"dataFields": [{"category": "MEASURE", "code": "1st", "name": "First"}]}),
        ("/meters", METER, {"dataFields": METER["dataFields"] * 2}),  # type: ignore[operator]
        ("/aggregations", AGGREGATION, {"targetField": "nothing"}),
        ("/aggregations", AGGREGATION, {"targetField": "endpoint"}),
        ("/aggregations", AGGREGATION, {"rounding": "SOMEHOW"}),
        ("/aggregations", AGGREGATION, {"aggregation": "CUSTOM_SQL"}),
        ("/picklists/currency", {"name": "Yen", "code": "JPY"}, {"maxDecimalPlaces": 6}),
        ("/picklists/currency", {"name": "Yen", "code": "JPY"}, {"code": "EUR"}),
    ],
)
def test_a_wrong_entity_of_the_catalogue_is_refused(
    organisation: Organisation, path: str, body: dict[str, Any], wrong: dict[str, Any]
) -> None:
    before = len(organisation.get(path)["data"])

    organisation.refusal("POST", path, {**body, **wrong})

    assert len(organisation.get(path)["data"]) == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/plantemplates", TEMPLATE),
        ("/pricings", PRICING),
        ("/meters", METER),
        ("/aggregations", AGGREGATION),
        ("/aggregations", {**AGGREGATION, "aggregation": "UNIQUE", "targetField": "endpoint"}),
        ("/picklists/currency", {"name": "Yen", "code": "JPY", "maxDecimalPlaces": 0, "roundingMode": "DOWN"}),
    ],
)
def test_a_right_entity_of_the_catalogue_is_kept(organisation: Organisation, path: str, body: dict[str, Any]) -> None:
    made = organisation.post(path, body)

    assert organisation.get(f"{path}/{made['id']}") == made
    assert organisation.get(path)["data"][0] == made


@pytest.mark.parametrize(
    "path",
    [
        f"/products/{sample.PRODUCT_CLOUD}",
        f"/plantemplates/{sample.TEMPLATE_CLOUD}",
        f"/meters/{sample.METER}",
        f"/aggregations/{sample.AGGREGATION}",
    ],
)
def test_what_others_stand_on_cannot_be_deleted(organisation: Organisation, path: str) -> None:
    organisation.refusal("DELETE", path)

    organisation.get(path)


def test_a_field_an_aggregation_uses_cannot_be_removed_from_its_meter(organisation: Organisation) -> None:
    message = organisation.refusal("PUT", f"/meters/{sample.METER}", {**METER, "code": "api_calls", "version": 1})

    assert message == "Field calls is used by an Aggregation"
