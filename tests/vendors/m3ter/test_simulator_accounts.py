"""Accounts and account plans of the simulated m3ter."""

from typing import Any

import pytest

from integration_project.vendors.m3ter.simulator import sample
from tests.vendors.m3ter.organisation import ACCOUNT, FULL_ACCOUNT, Organisation

MARCH = "2026-03-01T00:00:00Z"
NOWHERE = "00000000-0000-4000-8000-000000000000"


def ids(page: Any) -> list[str]:
    return [row["id"] for row in page["data"]]


# Versions.


def test_a_new_account_has_version_one_and_a_change_makes_it_two(organisation: Organisation) -> None:
    account = organisation.account()

    changed = organisation.put(f"/accounts/{account['id']}", {**ACCOUNT, "name": "New name", "version": 1})

    assert (account["version"], changed["version"], changed["name"]) == (1, 2, "New name")


def test_a_stale_version_is_refused_and_changes_nothing(organisation: Organisation) -> None:
    account = organisation.account()
    path = f"/accounts/{account['id']}"
    organisation.put(path, {**ACCOUNT, "version": 1})

    message = organisation.refusal("PUT", path, {**ACCOUNT, "name": "Late", "version": 1}, status=409)

    assert message == "Version mismatch: the current version is 2, the request has 1"
    assert organisation.get(path)["name"] == ACCOUNT["name"]


def test_an_update_without_a_version_is_refused(organisation: Organisation) -> None:
    account = organisation.account()

    assert organisation.refusal("PUT", f"/accounts/{account['id']}", ACCOUNT) == "version is required"


def test_a_version_is_not_sent_when_creating(organisation: Organisation) -> None:
    message = organisation.refusal("POST", "/accounts", {**ACCOUNT, "version": 1})

    assert message == "version must not be sent when creating"


@pytest.mark.parametrize(
    "path",
    [
        f"/products/{sample.PRODUCT_CLOUD}",
        f"/plantemplates/{sample.TEMPLATE_CLOUD}",
        f"/plans/{sample.PLAN_SCALE}",
        f"/plangroups/{sample.GROUP_BUNDLE}",
        f"/plangrouplinks/{sample.LINK_CLOUD}",
        f"/pricings/{sample.PRICING_SCALE}",
        f"/meters/{sample.METER}",
        f"/aggregations/{sample.AGGREGATION}",
        f"/counters/{sample.COUNTER_SEATS}",
        f"/picklists/currency/{sample.EUR}",
        "/organizationconfig",
        "/customfields",
        "/billconfig",
    ],
)
def test_every_put_checks_the_version(organisation: Organisation, path: str) -> None:
    whole = organisation.get(path)
    answered_only = {"id", "dtCreated", "dtLastModified", "createdBy", "lastModifiedBy", "productId"}
    derived = {"aggregationType", "segmentString"}
    body = {name: value for name, value in whole.items() if name not in answered_only | derived}
    if path.startswith(("/plantemplates", "/meters", "/counters")):
        body["productId"] = whole["productId"]

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return float(value) if not isinstance(value, (str, int, type(None))) else value

    organisation.refusal("PUT", path, {**plain(body), "version": 7}, status=409)
    assert organisation.put(path, plain(body))["version"] == 2


def test_a_put_that_omits_custom_fields_deletes_them(organisation: Organisation) -> None:
    account = organisation.account(customFields={"tier": "gold", "seats": 3})

    changed = organisation.put(f"/accounts/{account['id']}", {**ACCOUNT, "version": 1})

    assert (account["customFields"], changed["customFields"]) == ({"tier": "gold", "seats": 3}, {})


def test_a_put_that_omits_other_fields_deletes_them_too(organisation: Organisation) -> None:
    account = organisation.post("/accounts", FULL_ACCOUNT)

    changed = organisation.put(f"/accounts/{account['id']}", {**ACCOUNT, "version": 1})

    assert "currency" in account
    assert "currency" not in changed


# Validation.


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "n" * 201),
        ("name", 7),
        ("code", "c" * 81),
        ("code", " acme"),
        ("code", "acme "),
        ("code", "ac\tme"),
        ("code", ""),
        ("emailAddress", "nobody"),
        ("currency", "EURO"),
        ("billEpoch", "01/02/2026"),
        ("billEpoch", "2026-02-30"),
        ("daysBeforeBillDue", -1),
        ("daysBeforeBillDue", 1.5),
        ("daysBeforeBillDue", True),
        ("parentAccountId", "x"),
        ("purchaseOrderNumber", "p" * 101),
        ("autoGenerateStatementMode", "PDF"),
        ("creditApplicationOrder", ["CASH"]),
        ("address", {"addressLine1": "a" * 51}),
        ("address", {"street": "Quay"}),
        ("address", "Quay"),
        ("customFields", {"vip": True}),
        ("customFields", {"nested": {}}),
        ("customFields", {str(number): number for number in range(101)}),
    ],
)
def test_a_field_m3ter_would_refuse_is_refused(organisation: Organisation, field: str, value: Any) -> None:
    message = organisation.refusal("POST", "/accounts", {**ACCOUNT, field: value})

    assert field in message
    assert organisation.get("/accounts")["data"] == []


@pytest.mark.parametrize("field", ["name", "code", "emailAddress"])
@pytest.mark.parametrize("absent", ["absent", "null"])
def test_a_required_field_is_required(organisation: Organisation, field: str, absent: str) -> None:
    body = {name: value for name, value in ACCOUNT.items() if name != field}

    message = organisation.refusal("POST", "/accounts", body | ({field: None} if absent == "null" else {}))

    assert message == f"{field} is required"


def test_an_unknown_field_is_refused(organisation: Organisation) -> None:
    assert organisation.refusal("POST", "/accounts", {**ACCOUNT, "colour": "red"}) == "Unrecognized field 'colour'"


def test_a_body_that_is_not_an_object_is_refused(organisation: Organisation) -> None:
    assert organisation.refusal("POST", "/accounts", [ACCOUNT]) == "The request body must be a JSON object"


def test_inner_spaces_in_a_code_are_fine(organisation: Organisation) -> None:
    assert organisation.account(code="harbour tools 2")["code"] == "harbour tools 2"


def test_a_taken_code_is_refused(organisation: Organisation) -> None:
    organisation.account()

    message = organisation.refusal("POST", "/accounts", {**ACCOUNT, "name": "Another"})

    assert message == "Account code 'harbour-tools' is already in use"
    assert len(organisation.get("/accounts")["data"]) == 1


def test_null_fields_are_left_out_of_answers(organisation: Organisation) -> None:
    account = organisation.account()

    assert None not in account.values()
    assert "purchaseOrderNumber" not in account


def test_an_unknown_account_is_404(organisation: Organisation) -> None:
    assert organisation.refusal("GET", f"/accounts/{NOWHERE}", status=404) == f"Account {NOWHERE} not found"


def test_deleting_answers_with_what_was_deleted(organisation: Organisation) -> None:
    account = organisation.account()

    deleted = organisation.call("DELETE", f"/accounts/{account['id']}")

    assert deleted == account
    organisation.refusal("GET", f"/accounts/{account['id']}", status=404)


def test_an_account_with_a_plan_cannot_be_deleted(organisation: Organisation) -> None:
    account = organisation.account()
    organisation.plan_on(account)

    assert organisation.refusal("DELETE", f"/accounts/{account['id']}") == "Account is used by an AccountPlan"


# Lists and search.


def test_a_list_is_newest_first_and_pages_with_an_opaque_token(organisation: Organisation) -> None:
    made = [organisation.account(code=f"a{number}")["id"] for number in range(5)]

    first = organisation.get("/accounts", pageSize=2)
    second = organisation.get("/accounts", pageSize=2, nextToken=first["nextToken"])
    third = organisation.get("/accounts", pageSize=2, nextToken=second["nextToken"])

    assert ids(first) + ids(second) + ids(third) == made[::-1]
    assert "nextToken" not in third


def test_what_is_created_meanwhile_does_not_shift_the_pages(organisation: Organisation) -> None:
    made = [organisation.account(code=f"a{number}")["id"] for number in range(4)]
    first = organisation.get("/accounts", pageSize=2)

    organisation.account(code="late")

    assert ids(organisation.get("/accounts", pageSize=2, nextToken=first["nextToken"])) == made[1::-1]


@pytest.mark.parametrize("size", ["0", "101", "x", "-1", "1.5"])
def test_a_page_size_outside_the_limits_is_refused(organisation: Organisation, size: str) -> None:
    message = organisation.refusal("GET", "/accounts", params={"pageSize": size})

    assert message == "pageSize must be between 1 and 100"


def test_products_allow_larger_pages(organisation: Organisation) -> None:
    assert len(organisation.get("/products", pageSize=200)["data"]) == 2


@pytest.mark.parametrize("token", ["x", "W10=", "e30="])
def test_a_made_up_token_is_refused(organisation: Organisation, token: str) -> None:
    assert organisation.refusal("GET", "/accounts", params={"nextToken": token}) == "nextToken is not valid"


def test_a_token_belongs_to_its_list(organisation: Organisation) -> None:
    token = organisation.get("/products", pageSize=1)["nextToken"]

    assert organisation.refusal("GET", "/accounts", params={"nextToken": token}) == "nextToken is not valid"


@pytest.mark.parametrize("form", [{"codes": "a1,a3"}, {"codes": ["a1", "a3"]}, {"codes": ["a1,", "a3,a9"]}])
def test_codes_may_be_joined_by_commas_or_repeated(organisation: Organisation, form: dict[str, Any]) -> None:
    made = [organisation.account(code=f"a{number}")["id"] for number in range(4)]

    assert ids(organisation.get("/accounts", **form)) == [made[3], made[1]]


def test_accounts_are_found_by_id(organisation: Organisation) -> None:
    first, second, _ = (organisation.account(code=f"a{number}")["id"] for number in range(3))

    assert ids(organisation.get("/accounts", ids=f"{first},{second}")) == [second, first]


@pytest.mark.parametrize(
    ("query", "operator", "found"),
    [
        ("code:acme-eu", "AND", ["acme-eu"]),
        ("name~acme", "AND", ["acme-us", "acme-eu"]),
        ("name~acme$currency:USD", "AND", ["acme-us"]),
        ("code:acme-eu$currency:GBP", "OR", ["other", "acme-eu"]),
        ("codes:acme-eu,other", "AND", ["other", "acme-eu"]),
        ("dtCreated>2026-01-01", "AND", ["other", "acme-us", "acme-eu"]),
        ("dtCreated<2026-01-01", "AND", []),
    ],
)
def test_search_reads_its_query(organisation: Organisation, query: str, operator: str, found: list[str]) -> None:
    for code, name, currency in (
        ("acme-eu", "Acme EU", "EUR"),
        ("acme-us", "Acme US", "USD"),
        ("other", "Other", "GBP"),
    ):
        organisation.account(code=code, name=name, currency=currency)

    answer = organisation.get("/accounts/search", searchQuery=query, operator=operator)

    assert [row["code"] for row in answer["data"]] == found


def test_search_pages_by_document_number(organisation: Organisation) -> None:
    for number in range(12):
        organisation.account(code=f"a{number:02}")

    first = organisation.get("/accounts/search", sortBy="code", sortOrder="ASC")
    second = organisation.get("/accounts/search", sortBy="code", sortOrder="ASC", fromDocument=first["nextToken"])

    codes = [row["code"] for row in first["data"] + second["data"]]
    assert (len(first["data"]), codes) == (10, [f"a{number:02}" for number in range(12)])


@pytest.mark.parametrize("query", ["emailAddress:x", "customFields:x", "nonsense"])
def test_search_refuses_what_is_not_searchable(organisation: Organisation, query: str) -> None:
    organisation.account()

    assert organisation.refusal("GET", "/accounts/search", params={"searchQuery": query}).startswith("searchQuery")


def test_children_are_listed_under_their_parent(organisation: Organisation) -> None:
    parent = organisation.account()
    child = organisation.account(code="child", parentAccountId=parent["id"])

    assert ids(organisation.get(f"/accounts/{parent['id']}/children")) == [child["id"]]
