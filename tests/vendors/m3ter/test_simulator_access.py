"""Who may call the simulated m3ter, and how often."""

import pytest
import requests

from integration_project.vendors.m3ter.simulator import Guesses, sample
from integration_project.vendors.m3ter.simulator.access import (
    ADDRESS_WINDOW,
    INGEST_PER_ADDRESS,
    LARGEST_BODY,
    REQUESTS_PER_ADDRESS,
    PerSecond,
)
from tests.vendors.m3ter.organisation import ACCOUNT, BASE, Organisation

OTHER_ORG = "ffffffff-0000-4000-8000-00000000000f"


def token(organisation: Organisation, **options: object) -> requests.Response:
    return organisation.session.post(f"{BASE}/oauth/token", **options)  # type: ignore[arg-type]


def test_a_token_is_given_for_basic_credentials_and_a_grant(organisation: Organisation) -> None:
    answer = organisation.log_in()

    said = answer.json()
    assert answer.status_code == 200
    assert {name: said[name] for name in ("token_type", "expires_in", "scope")} == {
        "token_type": "Bearer",
        "expires_in": 18000,
        "scope": None,
    }
    assert said["access_token"].count(".") == 2


@pytest.mark.parametrize(
    "form", [{"json": {"grant_type": "client_credentials"}}, {"data": "grant_type=client_credentials"}]
)
def test_the_grant_may_be_json_or_a_form(organisation: Organisation, form: dict[str, object]) -> None:
    assert token(organisation, auth=(sample.ACCESS_KEY_ID, sample.API_SECRET), **form).status_code == 200


def test_a_wrong_secret_gets_no_token(organisation: Organisation) -> None:
    answer = token(organisation, auth=(sample.ACCESS_KEY_ID, "guess"), json={"grant_type": "client_credentials"})

    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize("header", ["", "Bearer x", "Basic %%%", "Basic Og=="])
def test_an_unreadable_authorization_gets_no_token(organisation: Organisation, header: str) -> None:
    answer = token(organisation, headers={"Authorization": header}, json={"grant_type": "client_credentials"})

    assert answer.status_code == 401


@pytest.mark.parametrize("body", [{"grant_type": "password"}, {}, []])
def test_another_grant_is_refused(organisation: Organisation, body: object) -> None:
    answer = token(organisation, auth=(sample.ACCESS_KEY_ID, sample.API_SECRET), json=body)

    assert answer.status_code == 400


def test_a_token_ends_after_five_hours_of_real_time(organisation: Organisation) -> None:
    organisation.sim.clock_move(days=30)
    organisation.real.move(17_999)
    assert organisation.get("/products")["data"]

    organisation.real.move(1)

    assert organisation.refusal("GET", "/products", status=403) == "Unauthorized"


def test_an_expired_token_can_be_answered_with_401(organisation: Organisation) -> None:
    organisation.sim.assume(expired_token_status=401)
    organisation.sim.expire_tokens()

    assert organisation.refusal("GET", "/products", status=401) == "Unauthorized"


def test_a_refused_key_loses_its_tokens_too(organisation: Organisation) -> None:
    organisation.sim.refuse_key()

    assert organisation.refusal("GET", "/products", status=403) == "Unauthorized"
    assert organisation.log_in().status_code == 401


def test_a_key_that_is_taken_again_works(organisation: Organisation) -> None:
    organisation.sim.refuse_key()
    organisation.sim.refuse_key(refused=False)

    assert organisation.log_in().status_code == 200
    assert organisation.get("/products")["data"]


def test_a_call_without_a_token_is_refused(organisation: Organisation) -> None:
    del organisation.session.headers["Authorization"]

    assert organisation.refusal("GET", "/products", status=403) == "Unauthorized"


def test_an_unknown_organisation_is_403_and_not_404(organisation: Organisation) -> None:
    assert organisation.refusal("GET", "/products", status=403, org_id=OTHER_ORG) == "Forbidden"


def test_unknown_paths_and_methods_are_answered_in_the_usual_form(organisation: Organisation) -> None:
    assert organisation.refusal("GET", "/nothing", status=404) == "Not found"
    assert organisation.refusal("PATCH", "/products", status=405) == "Method not allowed"


def test_fifty_requests_a_second_are_let_through_and_no_more(organisation: Organisation) -> None:
    statuses = [organisation.send("GET", "/organizationconfig").status_code for _ in range(52)]

    assert statuses == [200] * 50 + [429] * 2


def test_the_next_second_counts_anew(organisation: Organisation) -> None:
    for _ in range(51):
        organisation.send("GET", "/organizationconfig")

    organisation.real.move(1)

    assert organisation.send("GET", "/organizationconfig").status_code == 200


def test_measurements_have_a_budget_of_their_own(organisation: Organisation) -> None:
    for _ in range(50):
        organisation.send("GET", "/organizationconfig")

    organisation.use(1)


def test_the_limit_can_be_switched_off(organisation: Organisation) -> None:
    organisation.sim.limit_requests(None)

    assert {organisation.send("GET", "/organizationconfig").status_code for _ in range(60)} == {200}


def test_a_limit_counts_each_caller_by_itself(organisation: Organisation) -> None:
    limit = PerSecond(1)

    assert [
        limit.hit("a", organisation.real()),
        limit.hit("b", organisation.real()),
        limit.hit("a", organisation.real()),
    ] == [
        False,
        False,
        True,
    ]


def test_usage_queries_are_one_a_second_with_a_burst_of_ten(organisation: Organisation) -> None:
    query = {"startDate": "2026-02-01T00:00:00Z", "endDate": "2026-03-01T00:00:00Z"}

    first = [organisation.send("POST", "/usage/query", json=query).status_code for _ in range(11)]
    organisation.real.move(1)
    second = [organisation.send("POST", "/usage/query", json=query).status_code for _ in range(2)]

    assert (first, second) == ([200] * 10 + [429], [200, 429])


def is_firewall_page(answer: requests.Response) -> bool:
    return (answer.status_code, answer.headers["Content-Type"]) == (403, "text/html") and b"<html>" in answer.content


def test_a_body_over_the_limit_is_blocked_by_the_firewall(organisation: Organisation) -> None:
    body = b'{"measurements": [' + b" " * (LARGEST_BODY - 20) + b"]}"

    assert is_firewall_page(organisation.send("POST", "/measurements", data=body + b" "))
    assert organisation.send("POST", "/measurements", data=body[: LARGEST_BODY - 1] + b"}").status_code == 400


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "x' OR '1'='1",
        "1 UNION SELECT password",
        "Select name from users",
        "Robert; DROP TABLE students",
        "<img src=x onerror=alert(1)>",
    ],
)
def test_text_that_looks_like_sql_or_markup_is_blocked_by_the_firewall(organisation: Organisation, name: str) -> None:
    answer = organisation.send("POST", "/accounts", json={**ACCOUNT, "name": name})

    assert is_firewall_page(answer)
    assert organisation.get("/accounts")["data"] == []


@pytest.mark.parametrize(
    "name", ["Selected Fruit from Kent Ltd", "O'Hara & Sons", "Tom <tom>", "A -- B", "Union Drop Forge"]
)
def test_ordinary_names_pass_the_firewall(organisation: Organisation, name: str) -> None:
    assert organisation.account(name=name)["name"] == name


def test_text_is_read_in_any_field_of_a_body(organisation: Organisation) -> None:
    body = {**ACCOUNT, "address": {"addressLine1": "1 Quay", "locality": "drop table accounts"}}

    assert is_firewall_page(organisation.send("POST", "/accounts", json=body))


def test_that_the_firewall_reads_text_is_a_guess_that_can_be_taken_back() -> None:
    organisation = Organisation(Guesses(firewall_reads_text=False))
    body = b'{"measurements": [' + b" " * LARGEST_BODY + b"]}"

    assert organisation.account(name="' or 1=1")["name"] == "' or 1=1"
    assert is_firewall_page(organisation.send("POST", "/measurements", data=body))


def test_a_query_that_looks_like_sql_is_blocked_too(organisation: Organisation) -> None:
    assert is_firewall_page(organisation.send("GET", "/accounts", params={"codes": "x' or '1'='1"}))


def test_a_missing_permission_and_a_firewall_block_can_be_set_as_faults(organisation: Organisation) -> None:
    organisation.sim.fault("lock bill", "forbidden")
    organisation.sim.fault("list products", "firewall")

    assert organisation.refusal("PUT", "/bills/x/lock", status=403) == "Forbidden"
    assert is_firewall_page(organisation.send("GET", "/products"))
    assert organisation.get("/products")["data"]


def test_a_body_that_is_not_json_is_refused(organisation: Organisation) -> None:
    assert organisation.refusal("POST", "/accounts", data=b"{oops") == "Malformed JSON"


def test_a_lost_answer_is_lost_after_the_work_was_done(organisation: Organisation) -> None:
    organisation.sim.fault("create account", "lose_answer")

    with pytest.raises(requests.ConnectionError):
        organisation.account()

    assert [account["code"] for account in organisation.get("/accounts")["data"]] == ["harbour-tools"]


def test_an_error_before_is_an_error_without_the_work(organisation: Organisation) -> None:
    organisation.sim.fault("create account", "error_before", status=502)

    assert organisation.refusal("POST", "/accounts", ACCOUNT, status=502) == "Internal error"
    assert organisation.get("/accounts")["data"] == []


def test_a_lagging_list_does_not_show_what_is_new(organisation: Organisation) -> None:
    organisation.sim.fault("list accounts", "list_lag")
    organisation.real.move(1)
    organisation.account()

    assert organisation.get("/accounts")["data"] == []
    assert len(organisation.get("/accounts")["data"]) == 1


def test_a_reset_brings_back_the_sample_and_the_guesses(organisation: Organisation) -> None:
    organisation.account()
    organisation.sim.assume(version_mismatch_status=400)

    organisation.sim.reset()
    organisation.log_in()

    assert organisation.get("/accounts")["data"] == []
    assert organisation.sim.guesses == Guesses()
    assert len(organisation.get("/plans")["data"]) == 3


def test_the_controls_answer_over_http(organisation: Organisation) -> None:
    control = f"{BASE}/_control"

    job = organisation.session.post(f"{control}/run_bill_job", json={}).json()["result"]
    unknown = organisation.session.post(f"{control}/dance", json={})
    wrong = organisation.session.post(f"{control}/approve_bill", json={"bill_id": "x"})
    state = organisation.session.get(f"{control}/state").json()

    assert (job["bill_ids"], job["failures"]) == ([], [])
    assert (unknown.status_code, wrong.status_code) == (404, 400)
    assert wrong.json() == {"error": "There is no bill x."}
    assert state["organization_config"]["currency"] == "USD"
    assert [plan["code"] for plan in state["plans"]] == ["scale", "bulk", "seats-team"]


def test_one_address_may_send_20000_requests_in_five_minutes(organisation: Organisation) -> None:
    organisation.sim.limit_requests(None)
    limit = organisation.sim.access.per_address["config"]
    limit.limit = 3  # the token was the first

    statuses = [organisation.send("GET", "/organizationconfig").status_code for _ in range(3)]
    organisation.real.move(300)

    assert (REQUESTS_PER_ADDRESS, INGEST_PER_ADDRESS, ADDRESS_WINDOW) == (20_000, 5_000, 300)
    assert statuses == [200, 200, 429]
    assert organisation.send("GET", "/organizationconfig").status_code == 200
