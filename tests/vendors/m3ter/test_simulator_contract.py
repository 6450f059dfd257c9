"""Every answer of the simulated m3ter against m3ter's document and against the reference's fields."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contracts import contract
from tests.vendors.m3ter import presence
from tests.vendors.m3ter.organisation import ACCOUNT, Organisation
from tests.vendors.m3ter.tour import ORGANISATION, Stop, Tour, taken

DOCUMENT = "m3ter-openapi.yaml"
OUTSIDE = {"download failed ingest", "upload measurements file", "download original file"}
"""Pre-signed addresses on other hosts, no part of the API."""
MISDESCRIBED = {
    "get integration config": "IntegrationConfigResponse",
    "list integration configs of entity": "PaginatedIntegrationConfigResponseData",
}
"""The document promises an integration run here; the reference and the lists beside it say what is meant."""
CONFLICTS = (
    # The document requires a time; the reference shows null on an event that nobody actioned.
    re.compile(r"(get event|list events): .*dtActioned: None is not of type 'string'"),
    # The document knows no null at all; the reference shows this one.
    re.compile(r"get token: scope: None is not of type 'string'"),
    # The document's own words say that these are lists; its schema is the outside of a Java set.
    re.compile(r"end account billing entities: updatedEntities\.\w+: \[.*\] is not of type 'object'"),
)
"""Where the document contradicts the reference or itself."""

EVERY = ("create", "list", "get", "update", "delete")


def of(name: str, plural: str, table: presence.Table) -> dict[str, presence.Table]:
    return {f"{verb} {plural if verb == 'list' else name}": table for verb in EVERY}


ANSWERS: dict[str, presence.Table] = {
    **of("account", "accounts", presence.ACCOUNT),
    **of("account plan", "account plans", presence.ACCOUNT_PLAN),
    **of("product", "products", presence.PRODUCT),
    **of("plan template", "plan templates", presence.PLAN_TEMPLATE),
    **of("plan", "plans", presence.PLAN),
    **of("plan group", "plan groups", presence.PLAN_GROUP),
    **of("plan group link", "plan group links", presence.PLAN_GROUP_LINK),
    **of("pricing", "pricings", presence.PRICING),
    **of("meter", "meters", presence.METER),
    **of("aggregation", "aggregations", presence.AGGREGATION),
    **of("currency", "currencies", presence.CURRENCY),
    **of("counter", "counters", presence.COUNTER),
    **of("counter adjustment", "counter adjustments", presence.COUNTER_ADJUSTMENT),
    **of("charge", "charges", presence.CHARGE),
    **of("notification", "notifications", presence.NOTIFICATION),
    **of("webhook destination", "webhook destinations", presence.WEBHOOK_DESTINATION),
    **of("integration config", "integration configs", presence.INTEGRATION_CONFIG),
    **of("external mapping", "external mappings", presence.EXTERNAL_MAPPING),
    "get token": presence.TOKEN,
    "search accounts": presence.ACCOUNT,
    "list account children": presence.ACCOUNT,
    "end account billing entities": presence.END_DATED,
    "replace account plan": presence.REPLACED,
    "get organization config": presence.ORGANIZATION_CONFIG,
    "update organization config": presence.ORGANIZATION_CONFIG,
    "get custom fields": presence.CUSTOM_FIELDS,
    "update custom fields": presence.CUSTOM_FIELDS,
    "evaluate notification": presence.EVALUATION,
    "activate webhook destination": presence.WEBHOOK_DESTINATION,
    "get available integrations": presence.AVAILABLE,
    "list available systems": presence.SYSTEM,
    "list integration configs of entity": presence.INTEGRATION_CONFIG,
    "enable integration config": presence.INTEGRATION_CONFIG,
    "list events": presence.EVENT,
    "get event": presence.EVENT,
    "list event types": presence.EVENT_TYPES,
    "list event fields": presence.EVENT_TYPES,
    "submit measurements": presence.ACCEPTED,
    "get failed ingest url": presence.DOWNLOAD,
    "download failed ingest": {},
    "query usage": presence.USAGE,
    "generate upload url": presence.UPLOAD_URL,
    "upload measurements file": {},
    "list upload jobs": presence.UPLOAD_JOB,
    "get upload job": presence.UPLOAD_JOB,
    "get original file url": presence.UPLOAD_URL,
    "download original file": {},
    "list bills": presence.BILL,
    "search bills": presence.BILL,
    "list bills of account": presence.BILL,
    "get latest bill": presence.BILL,
    "get bill": presence.BILL,
    "delete bill": presence.BILL,
    "update bill status": presence.BILL,
    "lock bill": presence.BILL,
    "approve bills": presence.APPROVAL,
    "list bill line items": presence.LINE_ITEM,
    "get bill line item": presence.LINE_ITEM,
    "get bill config": presence.BILL_CONFIG,
    "update bill config": presence.BILL_CONFIG,
    "create bill job": presence.BILL_JOB,
    "list bill jobs": presence.BILL_JOB,
    "get bill job": presence.BILL_JOB,
    "recalculate bills": presence.BILL_JOB,
    "cancel bill job": presence.BILL_JOB,
    "find external mapping": presence.EXTERNAL_MAPPING,
    "list external mappings of entity": presence.EXTERNAL_MAPPING,
    "get external mapping configuration": presence.MAPPING_CONFIGURATION,
    "list external mapping values": {},
    "list integration runs": presence.INTEGRATION_RUN,
    "list integration runs of destination": presence.INTEGRATION_RUN,
    "get integration run": presence.INTEGRATION_RUN,
    "get latest integration run": presence.INTEGRATION_RUN,
    "get latest integration runs": presence.INTEGRATION_RUN,
    "get integration run log": presence.RUN_LOG,
}


@pytest.fixture(scope="module")
def tour() -> Tour:
    return taken()


def entities(stop: Stop) -> list[Any]:
    if isinstance(stop.body, list):
        return stop.body
    data = stop.body.get("data")
    return data if isinstance(data, list) and stop.operation != "query usage" else [stop.body]


def every(tour: Tour, check: Callable[[Stop], Iterator[str]]) -> list[str]:
    return sorted({f"{stop.operation}: {problem}" for stop in tour.stops for problem in check(stop)})


def test_the_tour_visits_every_operation(tour: Tour) -> None:
    assert {stop.operation for stop in tour.stops} == {route.operation for route in tour.sim.routes}


def test_every_answer_is_valid_against_m3ters_document(tour: Tour) -> None:
    document = contract(DOCUMENT)

    def problems(stop: Stop) -> Iterator[str]:
        if stop.operation in MISDESCRIBED:
            yield from document.problems(document.schema(MISDESCRIBED[stop.operation]), stop.body)
        elif stop.operation not in OUTSIDE:
            yield from document.problems_of_answer(stop.method, stop.path, 200, stop.body)

    found = every(tour, problems)

    assert [problem for problem in found if not any(conflict.match(problem) for conflict in CONFLICTS)] == []
    assert all(any(conflict.match(problem) for problem in found) for conflict in CONFLICTS)


def test_no_answer_has_a_field_that_the_document_does_not_know(tour: Tour) -> None:
    document = contract(DOCUMENT)

    def problems(stop: Stop) -> Iterator[str]:
        if stop.operation in MISDESCRIBED:
            yield from document.unknown_fields(document.schema(MISDESCRIBED[stop.operation]), stop.body)
        elif stop.operation not in OUTSIDE:
            yield from document.unknown_fields_of_answer(stop.method, stop.path, 200, stop.body)

    assert every(tour, problems) == []


def test_every_answer_carries_every_field_that_the_reference_lists(tour: Tour) -> None:
    def problems(stop: Stop) -> Iterator[str]:
        for entity in entities(stop):
            yield from presence.missing(ANSWERS[stop.operation], entity)

    assert every(tour, problems) == []


def test_every_field_that_may_be_left_out_is_there_when_it_has_a_value(tour: Tour) -> None:
    tables = {id(table): table for table in ANSWERS.values()}
    found: dict[int, set[str]] = {key: set() for key in tables}
    for stop in tour.stops:
        table = ANSWERS[stop.operation]
        for entity in entities(stop):
            found[id(table)].update(presence.seen(table, entity))

    never = {key: set(presence.listed(table)) - found[key] for key, table in tables.items()}

    # A replacement answers with two account plans; those of groups are seen by themselves.
    groups = {"originalAccountPlan.planGroupId?", "newAccountPlan.planGroupId?"}
    assert [sorted(names - groups) for names in never.values() if names - groups] == []


def test_no_answer_but_a_token_and_an_event_has_a_null_field(tour: Tour) -> None:
    def nulls(stop: Stop) -> Iterator[str]:
        for entity in entities(stop):
            yield from (name for name, value in entity.items() if value is None)

    found = every(tour, nulls)

    assert found == ["get event: dtActioned", "get token: scope", "list events: dtActioned"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/accounts", {**ACCOUNT, "name": ""}, 400),
        ("GET", "/accounts/nobody", None, 404),
        ("PUT", "/accounts/nobody", {**ACCOUNT, "version": 1}, 404),
        ("POST", "/externalmappings", {}, 400),
        ("PUT", "/bills/nobody/lock", None, 404),
        ("GET", "/plans?pageSize=1000", None, 400),
    ],
)
def test_every_refusal_is_m3ters_error_object(
    organisation: Organisation, method: str, path: str, body: Any, status: int
) -> None:
    document = contract(DOCUMENT)

    answer = organisation.call(method, path, expect=status, **({} if body is None else {"json": body}))

    plain_path = f"{ORGANISATION}{path}".partition("?")[0]
    assert document.problems_of_answer(method, plain_path, status, answer) == []
    assert document.unknown_fields_of_answer(method, plain_path, status, answer) == set()
    assert list(presence.missing(presence.ERROR, answer)) == []
