"""Account plans of the simulated m3ter: attached, replaced, ended, reopened and deleted."""

from typing import Any

import pytest

from integration_project.vendors.m3ter.simulator import sample
from tests.vendors.m3ter.organisation import Organisation

MARCH = "2026-03-01T00:00:00Z"
NOWHERE = "00000000-0000-4000-8000-000000000000"


def ids(page: Any) -> list[str]:
    return [row["id"] for row in page["data"]]


def test_an_account_plan_carries_the_product_of_its_plan(organisation: Organisation) -> None:
    plan = organisation.plan_on(organisation.account(), code="sub_1:cloud")

    assert plan["productId"] == sample.PRODUCT_CLOUD
    assert (plan["version"], plan["startDate"], plan["code"]) == (1, "2026-02-01T00:00:00.000Z", "sub_1:cloud")
    assert "endDate" not in plan


def test_an_account_plan_of_a_group_has_no_product(organisation: Organisation) -> None:
    plan = organisation.plan_on(organisation.account(), planId=None, planGroupId=sample.GROUP_BUNDLE)

    assert "productId" not in plan
    assert plan["planGroupId"] == sample.GROUP_BUNDLE


@pytest.mark.parametrize("both", [{}, {"planId": sample.PLAN_SCALE, "planGroupId": sample.GROUP_BUNDLE}])
def test_exactly_one_of_plan_and_group_is_needed(organisation: Organisation, both: dict[str, str]) -> None:
    account = organisation.account()

    message = organisation.refusal("POST", "/accountplans", {"accountId": account["id"], "startDate": MARCH, **both})

    assert message == "Exactly one of planId and planGroupId is required"


def test_a_second_active_plan_of_one_product_is_refused(organisation: Organisation) -> None:
    account = organisation.account()
    organisation.plan_on(account)

    body = {"accountId": account["id"], "planId": sample.PLAN_BULK, "startDate": MARCH}
    message = organisation.refusal("POST", "/accountplans", body)

    assert message == "Account already has an active AccountPlan for this Product in the period"
    assert len(organisation.get("/accountplans", account=account["id"], includeall="true")["data"]) == 1


def test_plans_of_different_products_and_accounts_do_not_overlap(organisation: Organisation) -> None:
    account, other = organisation.account(), organisation.account(code="other")
    organisation.plan_on(account)

    organisation.plan_on(account, sample.PLAN_SEATS)
    organisation.plan_on(other)


def test_a_plan_inside_a_group_counts(organisation: Organisation) -> None:
    account = organisation.account()
    organisation.plan_on(account, planId=None, planGroupId=sample.GROUP_BUNDLE)

    body = {"accountId": account["id"], "planId": sample.PLAN_SEATS, "startDate": MARCH}
    organisation.refusal("POST", "/accountplans", body)


def test_plans_that_follow_each_other_do_not_overlap(organisation: Organisation) -> None:
    account = organisation.account()
    organisation.plan_on(account, endDate=MARCH)

    organisation.plan_on(account, sample.PLAN_BULK, startDate=MARCH)


def test_overlap_is_allowed_where_the_organisation_allows_it(organisation: Organisation) -> None:
    account = organisation.account()
    organisation.plan_on(account)
    organisation.sim.memory.organization_config["allowOverlappingPlans"] = True

    organisation.plan_on(account, sample.PLAN_BULK)


def test_a_bespoke_plan_fits_only_its_own_account(organisation: Organisation) -> None:
    account, other = organisation.account(), organisation.account(code="other")
    plan = organisation.post(
        "/plans",
        {
            "planTemplateId": sample.TEMPLATE_CLOUD,
            "name": "Special",
            "code": "special",
            "bespoke": True,
            "accountId": account["id"],
        },
    )

    organisation.plan_on(account, plan["id"])
    body = {"accountId": other["id"], "planId": plan["id"], "startDate": MARCH}

    assert organisation.refusal("POST", "/accountplans", body) == "This plan was created for another Account"


@pytest.mark.parametrize(
    "wrong",
    [
        {"accountId": NOWHERE},
        {"planId": NOWHERE},
        {"startDate": "2026-02-01"},
        {"startDate": "2026-02-01T00:00:00"},
        {"endDate": "2026-01-01T00:00:00Z"},
        {"contractId": NOWHERE},
        {"childBillingMode": "ALL"},
    ],
)
def test_a_wrong_account_plan_is_refused(organisation: Organisation, wrong: dict[str, str]) -> None:
    account = organisation.account()
    body = {"accountId": account["id"], "planId": sample.PLAN_SCALE, "startDate": MARCH}

    organisation.refusal("POST", "/accountplans", {**body, **wrong})

    assert organisation.sim.state()["account_plans"] == []


def test_ending_a_plan_is_a_put_with_an_end(organisation: Organisation) -> None:
    account = organisation.account()
    plan = organisation.plan_on(account)
    body = {"accountId": account["id"], "planId": sample.PLAN_SCALE, "startDate": plan["startDate"], "version": 1}

    ended = organisation.put(f"/accountplans/{plan['id']}", {**body, "endDate": MARCH})

    assert (ended["version"], ended["endDate"]) == (2, "2026-03-01T00:00:00.000Z")
    assert organisation.get("/accountplans", account=account["id"])["data"] == []
    assert ids(organisation.get("/accountplans", account=account["id"], includeall="true")) == [plan["id"]]


def test_a_plan_that_has_not_begun_is_not_active(organisation: Organisation) -> None:
    account = organisation.account()
    plan = organisation.plan_on(account, startDate="2026-04-01T00:00:00Z")

    assert organisation.get("/accountplans", account=account["id"])["data"] == []
    organisation.sim.clock_set("2026-04-01T00:00:00Z")
    assert ids(organisation.get("/accountplans", account=account["id"])) == [plan["id"]]


def test_account_plans_are_filtered_by_plan_and_product(organisation: Organisation) -> None:
    account = organisation.account()
    cloud, seats = organisation.plan_on(account), organisation.plan_on(account, sample.PLAN_SEATS)

    by_plan = organisation.get("/accountplans", plan=sample.PLAN_SCALE)
    by_product = organisation.get("/accountplans", account=account["id"], product=sample.PRODUCT_SEATS)

    assert (ids(by_plan), ids(by_product)) == ([cloud["id"]], [seats["id"]])


def test_a_product_alone_is_no_filter(organisation: Organisation) -> None:
    organisation.plan_on(organisation.account())

    message = organisation.refusal("GET", "/accountplans", params={"product": sample.PRODUCT_SEATS})

    assert message == "product must be used together with account"


def test_replacing_ends_the_old_plan_where_the_new_one_starts(organisation: Organisation) -> None:
    account = organisation.account()
    plan = organisation.plan_on(account)

    replaced = organisation.post(
        f"/accountplans/{plan['id']}/replace",
        {"accountId": account["id"], "planId": sample.PLAN_BULK, "startDate": MARCH},
    )

    old, new = replaced["originalAccountPlan"], replaced["newAccountPlan"]
    assert (old["id"], old["endDate"], old["version"]) == (plan["id"], "2026-03-01T00:00:00.000Z", 2)
    assert (new["planId"], new["startDate"], new["version"]) == (sample.PLAN_BULK, "2026-03-01T00:00:00.000Z", 1)


def test_a_replacement_that_is_refused_changes_nothing(organisation: Organisation) -> None:
    account = organisation.account()
    plan = organisation.plan_on(account)

    organisation.refusal(
        "POST",
        f"/accountplans/{plan['id']}/replace",
        {"accountId": account["id"], "planId": NOWHERE, "startDate": MARCH},
    )

    assert organisation.get(f"/accountplans/{plan['id']}") == plan


def test_end_dating_ends_every_plan_and_raises_its_version(organisation: Organisation) -> None:
    account = organisation.account()
    plans = {organisation.plan_on(account)["id"], organisation.plan_on(account, sample.PLAN_SEATS)["id"]}

    answer = organisation.put(
        f"/accounts/{account['id']}/enddatebillingentities",
        {"endDate": MARCH, "billingEntities": ["ACCOUNTPLAN", "CONTRACT"]},
    )

    ended = organisation.get("/accountplans", account=account["id"], includeall="true")["data"]
    assert set(answer["updatedEntities"]["ACCOUNTPLAN"]) == plans
    assert {(plan["endDate"], plan["version"]) for plan in ended} == {("2026-03-01T00:00:00.000Z", 2)}


def end_dated(organisation: Organisation, account: Any, when: str, *entities: str) -> Any:
    body = {"endDate": when, "billingEntities": list(entities or ("ACCOUNTPLAN",))}
    return organisation.put(f"/accounts/{account['id']}/enddatebillingentities", body)


def test_end_dating_leaves_alone_what_is_not_open_at_that_moment(organisation: Organisation) -> None:
    account, other = organisation.account(), organisation.account(code="other")
    over = organisation.plan_on(account, endDate="2026-02-20T00:00:00Z")
    until_april = organisation.plan_on(account, startDate="2026-02-20T00:00:00Z", endDate="2026-04-01T00:00:00Z")
    coming = organisation.plan_on(account, startDate="2026-04-01T00:00:00Z")
    elsewhere = organisation.plan_on(other)

    answer = end_dated(organisation, account, MARCH)
    again = end_dated(organisation, account, MARCH)

    assert answer["updatedEntities"] == {"ACCOUNTPLAN": [until_april["id"]]}
    assert again["updatedEntities"] == {"ACCOUNTPLAN": []}
    for untouched in (over, coming, elsewhere):
        assert organisation.get(f"/accountplans/{untouched['id']}") == untouched
    assert organisation.get(f"/accountplans/{until_april['id']}")["version"] == 2


def test_end_dating_reaches_children_when_asked_to(organisation: Organisation) -> None:
    parent = organisation.account()
    child = organisation.account(code="child", parentAccountId=parent["id"])
    plan = organisation.plan_on(child)

    assert end_dated(organisation, parent, MARCH)["updatedEntities"] == {"ACCOUNTPLAN": []}
    body = {"endDate": MARCH, "billingEntities": ["ACCOUNTPLAN"], "applyToChildren": True}
    answer = organisation.put(f"/accounts/{parent['id']}/enddatebillingentities", body)

    assert answer["updatedEntities"] == {"ACCOUNTPLAN": [plan["id"]]}


@pytest.mark.parametrize(
    "wrong", [{"billingEntities": []}, {"billingEntities": ["BILLS"]}, {"endDate": "2026-03-01"}, {"endDate": None}]
)
def test_a_wrong_end_for_an_account_is_refused(organisation: Organisation, wrong: dict[str, Any]) -> None:
    account = organisation.account()
    body = {"endDate": MARCH, "billingEntities": ["ACCOUNTPLAN"], **wrong}

    organisation.refusal("PUT", f"/accounts/{account['id']}/enddatebillingentities", body)


def whole(plan: Any) -> dict[str, Any]:
    return {name: plan[name] for name in ("accountId", "planId", "startDate", "version")}


def test_a_put_without_an_end_reopens_a_plan(organisation: Organisation) -> None:
    plan = organisation.plan_on(organisation.account(), endDate=MARCH)

    reopened = organisation.put(f"/accountplans/{plan['id']}", whole(plan))

    assert (reopened["version"], "endDate" in reopened) == (2, False)


def test_a_plan_is_not_reopened_over_the_one_that_followed_it(organisation: Organisation) -> None:
    account = organisation.account()
    plan = organisation.plan_on(account, endDate=MARCH)
    organisation.plan_on(account, sample.PLAN_BULK, startDate=MARCH)

    message = organisation.refusal("PUT", f"/accountplans/{plan['id']}", whole(plan))

    assert message == "Account already has an active AccountPlan for this Product in the period"
    assert organisation.get(f"/accountplans/{plan['id']}") == plan


def test_an_account_plan_that_no_bill_has_lines_of_is_deleted(organisation: Organisation, subscribed: Any) -> None:
    organisation.bill()
    seats = organisation.plan_on(subscribed, sample.PLAN_SEATS, startDate="2026-03-05T00:00:00Z")

    assert organisation.call("DELETE", f"/accountplans/{seats['id']}") == seats
    organisation.refusal("GET", f"/accountplans/{seats['id']}", status=404)


@pytest.mark.parametrize("sold", [{}, {"planId": None, "planGroupId": sample.GROUP_BUNDLE}])
def test_an_account_plan_that_was_billed_stays(organisation: Organisation, sold: dict[str, Any]) -> None:
    plan = organisation.plan_on(organisation.account(), **sold)
    organisation.bill()

    message = organisation.refusal("DELETE", f"/accountplans/{plan['id']}")

    assert message == "AccountPlan has been billed and cannot be deleted"
    assert organisation.get(f"/accountplans/{plan['id']}") == plan


def test_the_same_plan_again_may_go_though_its_first_time_was_billed(organisation: Organisation) -> None:
    account = organisation.account()
    first = organisation.plan_on(account, endDate=MARCH)
    again = organisation.plan_on(account, startDate=MARCH)
    organisation.bill()

    organisation.refusal("DELETE", f"/accountplans/{first['id']}")
    assert organisation.call("DELETE", f"/accountplans/{again['id']}") == again
