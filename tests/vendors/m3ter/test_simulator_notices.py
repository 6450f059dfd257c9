"""Events, rules, webhooks, integrations and mappings of the simulated m3ter."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from integration_project.vendors.m3ter.simulator.calculation import NotACalculation, evaluate
from integration_project.vendors.m3ter.simulator.events import NAMES
from tests.vendors.m3ter.organisation import Organisation

URL = "http://127.0.0.1:8000/webhooks/m3ter/token/"
RULE = {
    "name": "Bill approved",
    "code": "bill_approved",
    "description": "Pending to approved",
    "active": True,
    "alwaysFireEvent": False,
    "eventName": "billing.bill.updated",
    "calculation": 'new.status == "APPROVED" AND old.status != "APPROVED"',
}
DESTINATION = {
    "name": "Billing bridge",
    "description": "Bill approvals",
    "url": URL,
    "credentials": {"type": "M3TER_SIGNED_REQUEST", "apiKey": "bridge-key", "secret": "long-random-secret"},
}


def linked(organisation: Organisation, **rule: Any) -> tuple[Any, Any, Any]:
    """A rule, a destination and their link, made as the documentation says."""
    made = organisation.post("/notifications/configurations", {**RULE, **rule})
    target = organisation.post("/integrationdestinations/webhooks", DESTINATION)
    link = organisation.post(
        "/integrationconfigs",
        {"entityType": "Notification", "entityId": made["id"], "destination": "Webhook", "destinationId": target["id"]}
        | {"configData": {}},
    )
    return made, target, link


def approved_bill(organisation: Organisation) -> Any:
    organisation.plan_on(organisation.account())
    return organisation.sim.approve_bill(organisation.bill()["id"])


# Events.


def test_every_change_is_an_event_with_the_new_and_the_old_entity(organisation: Organisation) -> None:
    bill = approved_bill(organisation)

    events = organisation.get("/events", resourceId=bill["id"])["data"]

    assert [event["eventName"] for event in events] == ["billing.bill.updated", "billing.bill.created"]
    updated = events[0]["m3terEvent"]["eventData"]
    assert (updated["newDto"]["status"], updated["newDto"]["version"]) == ("APPROVED", 2)
    assert (updated["oldDto"]["status"], updated["oldDto"]["version"]) == ("PENDING", 1)
    assert (events[0]["dtActioned"], events[0]["eventTime"]) == (None, "2026-03-10T12:00:00.000Z")
    assert "oldDto" not in events[1]["m3terEvent"]["eventData"]


def test_there_is_no_event_for_an_approval(organisation: Organisation) -> None:
    approved_bill(organisation)

    assert "billing.bill.approved" not in organisation.get("/events/types")["events"]
    assert {event["eventName"] for event in organisation.get("/events", pageSize=100)["data"]} <= set(NAMES)


def test_accounts_and_their_plans_make_events_too(organisation: Organisation) -> None:
    account = organisation.account()
    plan = organisation.plan_on(account)
    organisation.call("DELETE", f"/accountplans/{plan['id']}")

    names = [event["eventName"] for event in organisation.get("/events", accountId=account["id"])["data"]]

    assert names == [
        "configuration.accountplan.deleted",
        "configuration.accountplan.created",
        "configuration.account.created",
    ]


def test_events_are_gone_after_28_days(organisation: Organisation) -> None:
    organisation.account()
    organisation.sim.clock_move(days=28)
    kept = organisation.get("/events")["data"]

    organisation.sim.clock_move(seconds=1)

    assert len(kept) == 1
    assert organisation.get("/events")["data"] == []
    organisation.refusal("GET", f"/events/{kept[0]['id']}", status=404)


def test_events_are_filtered(organisation: Organisation) -> None:
    approved_bill(organisation)
    newest = organisation.get("/events", pageSize=1)["data"][0]

    assert organisation.get("/events", ids=newest["id"])["data"] == [newest]
    assert organisation.get("/events", eventType="IngestValidationFailure")["data"] == []
    assert len(organisation.get("/events", eventName="billing.bill.created")["data"]) == 1
    assert organisation.get(f"/events/{newest['id']}") == newest
    organisation.refusal("GET", "/events", params={"ids": newest["id"], "eventName": "billing.bill.created"})


def test_events_tell_which_rule_they_fired(organisation: Organisation) -> None:
    rule, _, _ = linked(organisation)
    bill = approved_bill(organisation)

    by_id = organisation.get("/events", notificationId=rule["id"])["data"]
    by_code = organisation.get("/events", notificationCode="bill_approved")["data"]

    assert by_id == by_code
    assert [event["m3terEvent"]["eventData"]["newDto"]["id"] for event in by_id] == [bill["id"]]


def test_the_fields_of_an_event_can_be_read(organisation: Organisation) -> None:
    found = organisation.get("/events/fields", eventName="billing.bill.updated")["events"]

    assert {"new.status", "old.status", "new.accountCode"} <= set(found["billing.bill.updated"])
    organisation.refusal("GET", "/events/fields", params={"eventName": "billing.bill.approved"})


# Rules.


@pytest.mark.parametrize(
    ("calculation", "holds"),
    [
        ('new.status == "APPROVED"', True),
        ("new.status = 'APPROVED' && old.status != 'APPROVED'", True),
        ("new.total > 10 OR new.total < 1", True),
        ("NOT (new.total >= 12)", False),
        ("new.missing == null", True),
        ("new.locked == false", True),
        ("new.total * 2 - 1 == 23", True),
        ("new.missing > 3", False),
        ("-new.total <= -12", True),
    ],
)
def test_calculations_are_evaluated(calculation: str, holds: bool) -> None:
    values = {"new": {"status": "APPROVED", "total": 12, "locked": False}, "old": {"status": "PENDING"}}

    assert evaluate(calculation, values) is holds


@pytest.mark.parametrize("calculation", ["", "new.status ==", "(1", "1 2", "new.status == #", '"a" + 1', "1 / 0"])
def test_nonsense_is_no_calculation(calculation: str) -> None:
    with pytest.raises(NotACalculation):
        evaluate(calculation, {})


def test_a_calculation_can_be_tried(organisation: Organisation) -> None:
    good = organisation.post("/notifications/evaluate", {"eventName": RULE["eventName"], "calculation": "1 == 1"})
    bad = organisation.post("/notifications/evaluate", {"eventName": RULE["eventName"], "calculation": "1 =="})

    assert good == {"success": True}
    assert (bad["success"], bad["errorMessage"]) == (False, "the expression ends too early")


@pytest.mark.parametrize(
    "wrong",
    [
        {"eventName": "billing.bill.approved"},
        {"calculation": None},
        {"calculation": "new.status =="},
        {"description": ""},
        {"code": None},
    ],
)
def test_a_wrong_rule_is_refused(organisation: Organisation, wrong: dict[str, Any]) -> None:
    organisation.refusal("POST", "/notifications/configurations", {**RULE, **wrong})

    assert organisation.get("/notifications/configurations")["data"] == []


# Webhooks.


def test_a_rule_that_fires_posts_the_event_to_its_destination(organisation: Organisation) -> None:
    linked(organisation)
    bill = approved_bill(organisation)

    assert organisation.sim.deliver_webhooks() == {"delivered": 1, "refused": 0}

    [(url, body, headers)] = organisation.posted
    event = json.loads(body)
    assert url == URL
    assert (event["eventName"], event["notificationCode"]) == ("billing.bill.updated", "bill_approved")
    assert event["m3terEvent"]["eventData"]["newDto"]["id"] == bill["id"]
    assert "lineItems" not in event["m3terEvent"]["eventData"]["newDto"]
    assert headers["Content-Type"] == "application/json"


def test_a_webhook_is_signed_as_assumed(organisation: Organisation) -> None:
    linked(organisation)
    approved_bill(organisation)
    organisation.sim.deliver_webhooks()

    [(_, body, headers)] = organisation.posted
    signed = headers["X-M3ter-Timestamp"].encode() + b"." + body
    assert headers["X-M3ter-Api-Key"] == "bridge-key"
    assert headers["X-M3ter-Signature"] == hmac.new(b"long-random-secret", signed, hashlib.sha256).hexdigest()
    assert headers["X-M3ter-Timestamp"] == str(int(organisation.real().timestamp()))


@pytest.mark.parametrize("off", ["rule", "destination", "link", "calculation"])
def test_nothing_is_posted_when_a_part_is_off(organisation: Organisation, off: str) -> None:
    rule, target, link = linked(organisation)
    if off == "rule":
        path = f"/notifications/configurations/{rule['id']}"
        organisation.put(path, {**RULE, "active": False, "version": 1})
    elif off == "destination":
        organisation.put(f"/integrationdestinations/webhooks/{target['id']}/active?active=false", None)
    elif off == "link":
        organisation.call("DELETE", f"/integrationconfigs/{link['id']}")
    else:
        path = f"/notifications/configurations/{rule['id']}"
        organisation.put(path, {**RULE, "calculation": 'new.status == "PENDING"', "version": 1})

    approved_bill(organisation)
    organisation.sim.deliver_webhooks()

    assert organisation.posted == []


def test_a_webhook_that_is_not_taken_is_tried_again_on_real_time(organisation: Organisation) -> None:
    rule, target, _ = linked(organisation)
    approved_bill(organisation)
    organisation.answers = [500, 0]
    path = f"/integrationruns/Notification/{rule['id']}"

    statuses = []
    for seconds in (0, 29, 1, 120):
        organisation.sim.clock_move(days=1)
        organisation.real.move(seconds)
        organisation.sim.deliver_webhooks()
        statuses.append((len(organisation.posted), organisation.get(path)["data"][0]["status"]))

    assert statuses == [(1, "AWAITING_RETRY"), (1, "AWAITING_RETRY"), (2, "AWAITING_RETRY"), (3, "COMPLETE")]
    run = organisation.get(path)["data"][0]
    assert (run["entityType"], run["destinationId"], "error" in run) == ("Notification", target["id"], False)


def test_a_webhook_that_is_never_taken_is_given_up_and_repeats_disable_the_link(organisation: Organisation) -> None:
    organisation.sim.assume(webhook_retry_seconds=(30,), webhook_failures_until_disabled=4)
    _, target, link = linked(organisation, alwaysFireEvent=True)
    organisation.answers = [500] * 4
    bill = approved_bill(organisation)
    organisation.sim.recalculate(bill["id"])

    organisation.sim.deliver_webhooks()
    organisation.real.move(30)
    organisation.sim.deliver_webhooks()

    runs = organisation.get(f"/integrationruns/destinations/{target['id']}")["data"]
    assert [(run["status"], run["error"]) for run in runs] == [("ERROR", "HTTP status 500")] * 2
    assert organisation.get(f"/integrationconfigs/{link['id']}")["enabled"] is False
    [event] = organisation.get("/events", eventName="integration.disabled.error")["data"]
    assert event["m3terEvent"]["eventData"]["newDto"]["integrationConfigId"] == link["id"]
    assert organisation.post(f"/integrationconfigs/{link['id']}/enable", {})["enabled"] is True


def test_webhooks_can_be_doubled(organisation: Organisation) -> None:
    linked(organisation)
    approved_bill(organisation)
    organisation.sim.fault("webhooks", "duplicate", copies=3)

    organisation.sim.deliver_webhooks()

    assert len({body for _, body, _ in organisation.posted}) == 1
    assert len(organisation.posted) == 3


def test_runs_can_be_read_one_by_one(organisation: Organisation) -> None:
    rule, _, _ = linked(organisation)
    approved_bill(organisation)
    organisation.sim.deliver_webhooks()
    [run] = organisation.get(f"/integrationruns/Notification/{rule['id']}", order="ASC")["data"]

    assert organisation.get(f"/integrationruns/{run['id']}") == run
    assert organisation.get(f"/integrationruns/Notification/latest/{rule['id']}") == run
    assert organisation.get("/integrationruns/Notification/latest", ids=rule["id"]) == run
    assert organisation.get(f"/integrationruns/logs/{run['id']}") == {"Payload": "Q09NUExFVEU="}
    organisation.refusal("GET", "/integrationruns/Notification/latest/nobody", status=404)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "bridge.example/hooks"},
        {"url": ""},
        {"credentials": None},
        {"credentials": {"type": "HTTP_BASIC", "apiKey": "a", "secret": "b"}},
        {"credentials": {"type": "M3TER_SIGNED_REQUEST", "apiKey": "a"}},
    ],
)
def test_a_wrong_destination_is_refused(organisation: Organisation, wrong: dict[str, Any]) -> None:
    organisation.refusal("POST", "/integrationdestinations/webhooks", {**DESTINATION, **wrong})


def test_one_control_connects_and_disconnects_the_webhook(organisation: Organisation) -> None:
    organisation.sim.send_webhooks_to(URL)
    bill = approved_bill(organisation)
    organisation.sim.send_webhooks_to(None)
    organisation.sim.recalculate(bill["id"])

    organisation.sim.deliver_webhooks()

    assert [json.loads(body)["m3terEvent"]["eventData"]["newDto"]["version"] for _, body, _ in organisation.posted] == [
        2
    ]


# Integrations and mappings.


def test_the_native_integration_of_bills_to_paddle_can_be_seen(organisation: Organisation) -> None:
    assert organisation.get("/integrationconfigs")["data"] == []
    made = organisation.sim.enable_native_paddle()

    [seen] = organisation.get("/integrationconfigs")["data"]
    [by_entity] = organisation.get("/integrationconfigs/entity/Bill")["data"]
    organisation.sim.enable_native_paddle(enabled=False)

    assert seen == by_entity == made
    assert (seen["entityType"], seen["destination"], seen["enabled"]) == ("Bill", "PADDLE", True)
    assert organisation.get(f"/integrationconfigs/{made['id']}")["enabled"] is False


def test_what_integrations_exist_can_be_read(organisation: Organisation) -> None:
    available = organisation.get("/integrationconfigs/available", systemName="Paddle", entityType="Bill")

    destinations = available["supportedEntities"]["Bill"]["destinations"]
    assert [each["apiName"] for each in destinations] == ["PADDLE", "PADDLE_SANDBOX"]
    assert "Paddle" in [each["identifier"] for each in organisation.get("/integrationconfigs/available/systems")[:]]


MAPPING = {
    "m3terEntity": "Account",
    "m3terId": "7f3c0c0e-1111-4a6b-9c39-000000000001",
    "externalSystem": "bridge",
    "externalTable": "Subscription",
    "externalId": "sub_01",
}


def test_a_mapping_is_found_from_both_sides(organisation: Organisation) -> None:
    made = organisation.post("/externalmappings", MAPPING)
    organisation.post("/externalmappings", {**MAPPING, "externalId": "sub_02", "m3terId": "other"})

    outside = organisation.get("/externalmappings/externalid/bridge/Subscription/sub_01")
    inside = organisation.get(f"/externalmappings/external/Account/{MAPPING['m3terId']}")
    by_system = organisation.get("/externalmappings", externalSystemId="bridge")
    by_id = organisation.get("/externalmappings", m3terIds=MAPPING["m3terId"])

    assert outside["data"] == inside["data"] == by_id["data"] == [made]
    assert len(by_system["data"]) == 2
    assert organisation.get("/externalmappings/externalid/bridge/Subscription/sub_03")["data"] == []


def test_the_same_mapping_twice_is_refused(organisation: Organisation) -> None:
    organisation.post("/externalmappings", MAPPING)

    assert organisation.refusal("POST", "/externalmappings", MAPPING) == "ExternalMapping already exists"
    assert len(organisation.get("/externalmappings")["data"]) == 1


def test_the_same_mapping_twice_can_be_assumed_accepted(organisation: Organisation) -> None:
    organisation.sim.assume(duplicate_mapping_status=None)
    organisation.post("/externalmappings", MAPPING)

    organisation.post("/externalmappings", MAPPING)

    assert len(organisation.get("/externalmappings")["data"]) == 2


@pytest.mark.parametrize("field", sorted(MAPPING))
def test_every_field_of_a_mapping_is_required(organisation: Organisation, field: str) -> None:
    message = organisation.refusal("POST", "/externalmappings", {**MAPPING, field: None})

    assert message == f"{field} is required"


def test_what_may_be_mapped_can_be_read(organisation: Organisation) -> None:
    configuration = organisation.get("/externalmappingconfiguration")

    assert {"Account", "Bill"} <= set(configuration["m3terEntities"])
    assert "Paddle" in [system["name"] for system in configuration["externalSystems"]]
    assert organisation.get("/externalmappingconfiguration/values/PADDLE/Account") == []
