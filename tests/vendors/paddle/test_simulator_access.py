"""Keys, permissions, envelopes, pages, filters and limits of the simulated Paddle."""

import pytest

from integration_project.vendors.paddle.simulator import sample
from tests.vendors.paddle.account import Account, charge


@pytest.fixture
def account() -> Account:
    return Account()


# Keys


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "authentication_missing"),
        ("Basic abc", "authentication_malformed"),
        ("Bearer", "authentication_malformed"),
        ("Bearer pdl_sdbx_apikey_short", "authentication_malformed"),
        ("Bearer an-old-key-nobody-has", "invalid_token"),
        (f"Bearer {sample.API_KEY[:-3]}xyz", "invalid_token"),
    ],
)
def test_a_caller_without_a_valid_key_is_told_which_way_it_is_wrong(
    account: Account, header: str | None, code: str
) -> None:
    account.key = None

    reply = account.call("GET", "/products", headers={} if header is None else {"Authorization": header})

    assert reply.refusal == (401, code)


def test_a_revoked_key_is_refused_and_an_old_style_key_is_taken(account: Account) -> None:
    account.simulator.revoke_key()
    account.simulator.set_permissions(None, key="an-opaque-key-of-2024")

    refused = account.get("/products")
    account.key = "an-opaque-key-of-2024"
    taken = account.get("/products")

    assert refused.refusal == (401, "invalid_token")
    assert taken.status == 200


def test_a_key_without_the_permission_is_forbidden_that_operation_only(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.withhold_permission("subscription_history.read")

    history = account.get(f"/subscriptions/{subscription_id}/history")
    subscription = account.get(f"/subscriptions/{subscription_id}")

    assert history.refusal == (403, "forbidden")
    assert "subscription_history.read" in history.detail
    assert subscription.status == 200


def test_an_include_needs_the_permission_of_what_it_includes(account: Account) -> None:
    account.subscribe()
    transaction_id = next(iter(account.simulator.transactions))
    account.simulator.set_permissions(["transaction.read", "customer.read"])

    customer = account.get(f"/transactions/{transaction_id}?include=customer")
    address = account.get(f"/transactions/{transaction_id}?include=customer,address")

    assert customer.data["customer"]["email"] == "ap@harbour.example"
    assert address.refusal == (403, "forbidden")


def test_a_charge_with_a_reading_key_changes_nothing(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.set_permissions(["subscription.read"])

    refused = account.charge(subscription_id)
    previewed = account.preview(subscription_id)

    assert refused.refusal == (403, "forbidden")
    assert account.simulator.charges == []
    assert previewed.status == 200


# Envelopes


def test_every_answer_carries_its_request_id_in_body_and_header(account: Account) -> None:
    good, bad = account.get("/currencies"), account.get("/products/pro_01hv00000000000000000none0")

    assert good.headers["Request-Id"] == good.body["meta"]["request_id"]
    assert bad.headers["Request-Id"] == bad.body["meta"]["request_id"]
    assert bad.refusal == (404, "not_found")
    assert bad.body["error"]["type"] == "request_error"


def test_unknown_paths_methods_and_media_types_have_their_own_refusals(account: Account) -> None:
    text = {"Content-Type": "text/plain"}

    assert account.get("/nowhere").refusal == (404, "invalid_url")
    assert account.call("DELETE", "/products").refusal == (405, "method_not_allowed")
    assert account.call("POST", "/customers", raw=b"{}", headers=text).refusal == (415, "unsupported_media_type")
    assert account.call("POST", "/customers", raw=b"{").refusal == (400, "invalid_json")
    assert account.call("GET", "/customers", raw=b"{}").refusal == (400, "unexpected_request_body")


# Lists


def test_next_is_there_on_the_last_page_and_only_has_more_tells_the_end(account: Account) -> None:
    account.subscribe()

    first = account.get("/events?order_by=id[ASC]&per_page=8&event_type=transaction.updated,transaction.created")
    whole = account.get("/events?order_by=id[ASC]&per_page=8")
    second = account.get(whole.pagination["next"])
    beyond = account.get(second.pagination["next"])

    assert [event["event_type"] for event in first.data] == ["transaction.created"] + ["transaction.updated"] * 4
    assert first.pagination["has_more"] is False
    assert first.pagination["next"].startswith("http://paddle.localhost/events?")
    assert "event_type=transaction.updated%2Ctransaction.created" in first.pagination["next"]
    assert (len(whole.data), whole.pagination["has_more"]) == (8, True)
    assert (len(second.data), second.pagination["has_more"]) == (4, False)
    assert (beyond.data, beyond.pagination["has_more"]) == ([], False)
    assert beyond.pagination["next"] != ""
    assert whole.data + second.data == account.simulator.events


def test_lists_are_newest_first_unless_told(account: Account) -> None:
    ids = [account.subscribe(), account.subscribe(), account.subscribe()]

    assert [entry["id"] for entry in account.get("/subscriptions").data] == ids[::-1]
    assert [entry["id"] for entry in account.get("/subscriptions?order_by=id[ASC]").data] == ids


@pytest.mark.parametrize(
    ("path", "most"),
    [("/products", 200), ("/transactions", 30), ("/adjustments", 50), ("/notification-settings", 200)],
)
def test_a_page_is_silently_no_longer_than_its_maximum(account: Account, path: str, most: int) -> None:
    assert account.get(f"{path}?per_page=1000").pagination["per_page"] == most


def test_the_default_page_of_transactions_is_thirty_and_of_adjustments_ten(account: Account) -> None:
    assert account.get("/transactions").pagination["per_page"] == 30
    assert account.get("/adjustments").pagination["per_page"] == 10


def test_skip_count_leaves_the_estimate_out(account: Account) -> None:
    reply = account.call("GET", "/products", headers={"Skip-Count": "true"})

    assert "estimated_total" not in reply.pagination
    assert account.get("/products").pagination["estimated_total"] == 3


def test_filters_take_several_values_and_times_with_operators(account: Account) -> None:
    early = account.subscribe()
    account.simulator.clock_move(days=1)
    late = account.subscribe(items=[{"price_id": sample.PRICE_INSIGHTS_EUR, "quantity": 1}])
    account.simulator.cancel(early)

    def ids(query: str) -> list[str]:
        return [entry["id"] for entry in account.get(f"/subscriptions?{query}").data]

    assert ids("status=active,past_due") == [late]
    assert ids("status=active,canceled") == [late, early]
    assert ids(f"id={early}") == [early]
    assert ids(f"price_id={sample.PRICE_INSIGHTS_EUR}") == [late]
    moment = "2026-03-02T00:00:00Z"
    assert len(account.get(f"/transactions?created_at[GTE]={moment}").data) == 1
    assert len(account.get(f"/transactions?created_at[LT]={moment}&subscription_id={early}").data) == 1
    assert account.get(f"/transactions?created_at[LT]={moment}&subscription_id={late}").data == []
    assert account.get("/transactions?subscription_id=null").data == []


def test_bad_parameters_are_refused(account: Account) -> None:
    assert account.get("/products?colour=red").refusal == (400, "invalid_field")
    assert account.get("/products?per_page=0").refusal == (400, "invalid_field")
    assert account.get("/products?order_by=id").refusal == (400, "invalid_field")
    assert account.get("/products?include=secrets").refusal == (400, "invalid_field")
    account.subscribe()
    assert account.get("/transactions?created_at[GTE]=yesterday").refusal == (400, "invalid_time_query_parameter")


def test_non_catalog_prices_are_not_listed_but_can_be_read(account: Account) -> None:
    account.charge(account.subscribe())
    custom = [entry for entry in account.simulator.world.memory.prices.values() if entry["type"] == "custom"]

    listed = account.get("/prices?per_page=200").data
    asked = account.get("/prices?type=custom").data
    read = account.get(f"/prices/{custom[0]['id']}")

    assert all(entry["type"] == "standard" for entry in listed)
    assert [entry["id"] for entry in asked] == [custom[0]["id"]]
    assert read.data["custom_data"] == {"push_id": "bill-1"}


def test_a_lagging_list_hides_what_was_written_since(account: Account) -> None:
    subscription_id = account.subscribe()
    path = f"/subscriptions/{subscription_id}/history"
    account.simulator.fault("list subscription history", "list_lag", times=2)
    account.charge(subscription_id)

    lengths = [len(account.get(path).data) for _ in range(3)]

    assert lengths == [1, 1, 2]


def test_a_lag_in_seconds_hides_what_is_younger(account: Account) -> None:
    account.subscribe()
    account.simulator.fault("list events", "list_lag", times=None, seconds=10)

    young = account.get("/events").data
    account.time.move(11)
    old = account.get("/events").data

    assert (len(young), len(old)) == (0, 12)


# Limits


def test_the_241st_request_in_a_minute_is_refused_and_the_address_blocked_for_a_minute(account: Account) -> None:
    statuses = [account.get("/currencies").status for _ in range(240)]
    refused = account.get("/currencies")
    account.time.move(59)
    still = account.get("/currencies")
    account.time.move(1)
    again = account.get("/currencies")

    assert set(statuses) == {200}
    assert refused.refusal == (429, "too_many_requests")
    assert refused.headers["Retry-After"] == "60"
    assert refused.body["error"]["type"] == "api_error"
    assert (still.status, still.headers["Retry-After"]) == (429, "1")
    assert again.status == 200


def test_a_refused_request_was_not_carried_out(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.rate_limit.limit = 0

    reply = account.post(f"/subscriptions/{subscription_id}/charge", charge())

    assert reply.refusal == (429, "too_many_requests")
    assert account.simulator.charges == []


def test_currencies_tell_decimals_and_minimums(account: Account) -> None:
    by_code = {entry["code"]: entry for entry in account.get("/currencies").data}

    assert len(by_code) == 33
    assert (by_code["USD"]["decimal_places"], by_code["USD"]["minimum_payment_amount"]) == (2, "70")
    assert (by_code["GBP"]["decimal_places"], by_code["GBP"]["minimum_payment_amount"]) == (2, "55")
    assert by_code["JPY"]["decimal_places"] == 0


def test_ips_are_those_of_the_environment() -> None:
    sandbox, live = Account().get("/ips").data, Account(environment="live").get("/ips").data

    assert "34.194.127.46/32" in sandbox["ipv4_cidrs"]
    assert "34.232.58.13/32" in live["ipv4_cidrs"]
