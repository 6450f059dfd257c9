"""The framework under both simulators: faults, clocks, limits, the control interface, and being served."""

import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import requests

from integration_project.vendors.paddle.simulator import PaddleSimulator, sample
from integration_project.vendors.simulation import (
    BusinessClock,
    RateLimit,
    Served,
    encode_json,
    parse_time,
    post_on_loopback,
    serve,
)
from tests.vendors.loopback import answer, replying
from tests.vendors.loopback import served as loopback
from tests.vendors.paddle.account import CLOUD, START, Account, StillTime

KEY = {"Authorization": f"Bearer {sample.API_KEY}"}


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def live() -> Iterator[Served]:
    with serve(PaddleSimulator(clock=BusinessClock(START))) as simulator:
        yield simulator


# Clocks and numbers


def test_the_business_clock_starts_in_the_past_and_ticks_on_from_wherever_it_is_put() -> None:
    time = StillTime()
    clock = BusinessClock(START, real=time)

    time.move(90)
    ticked = clock.now()
    clock.move(timedelta(days=31))
    moved = clock.now()
    clock.set(datetime(2020, 1, 1, tzinfo=UTC))

    assert ticked == START + timedelta(seconds=90)
    assert moved == ticked + timedelta(days=31)
    assert clock.now() == datetime(2020, 1, 1, tzinfo=UTC)


def test_a_time_without_a_zone_is_refused_and_nine_digits_are_read() -> None:
    with pytest.raises(ValueError, match="time zone"):
        parse_time("2026-03-01T10:00:00")

    assert parse_time("2026-03-01T10:00:00.123456789Z") == datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)


def test_numbers_go_out_with_all_their_digits_and_never_as_floats() -> None:
    assert encode_json({"a": Decimal("10.00500"), "b": [1, True, None, "ü"], "c": Decimal("1E+3")}) == (
        '{"a":10.00500,"b":[1,true,null,"ü"],"c":1000}'.encode()
    )
    with pytest.raises(TypeError, match="never float"):
        encode_json({"a": 1.5})


def test_a_limit_is_a_sliding_window_for_each_caller() -> None:
    limit = RateLimit(limit=2, seconds=10)
    start = datetime(2026, 1, 1, tzinfo=UTC)

    def hit(caller: str, seconds: float) -> int | None:
        return limit.hit(caller, start + timedelta(seconds=seconds))

    assert [hit("a", 0), hit("a", 4), hit("a", 5), hit("b", 5)] == [None, None, 5, None]
    assert [hit("a", 10), hit("a", 11), hit("a", 14)] == [None, 3, None]


# Faults


def test_a_lost_answer_was_carried_out(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.fault("charge subscription", "lose_answer")

    with pytest.raises(requests.ConnectionError):
        account.charge(subscription_id)

    assert len(account.simulator.charges) == 1
    assert account.simulator.calls[-1].status is None
    assert account.charge(subscription_id).status == 201


@pytest.mark.parametrize(
    ("kind", "params", "status", "charges"),
    [
        ("error_before", {}, 503, 0),
        ("error_before", {"status": 500}, 500, 0),
        ("too_many", {"retry_after": 7}, 429, 0),
        ("error_after", {}, 500, 1),
        ("error_after", {"status": 502}, 502, 1),
    ],
)
def test_an_error_comes_before_or_after_the_work(
    account: Account, kind: str, params: dict[str, int], status: int, charges: int
) -> None:
    subscription_id = account.subscribe()
    account.simulator.fault("charge subscription", kind, **params)

    reply = account.charge(subscription_id)

    assert reply.status == status
    assert len(account.simulator.charges) == charges
    assert reply.headers.get("Retry-After") == ("7" if kind == "too_many" else None)


def test_html_and_redirects_come_instead_of_the_work(account: Account) -> None:
    account.simulator.fault("list products", "html")
    account.simulator.fault("list products", "redirect", location="https://login.example/")

    page = account.session.get("http://paddle.localhost/products", headers=KEY)
    redirect = account.session.get("http://paddle.localhost/products", headers=KEY, allow_redirects=False)

    assert (page.status_code, page.headers["Content-Type"]) == (502, "text/html")
    assert page.text.startswith("<html>")
    assert (redirect.status_code, redirect.headers["Location"]) == (302, "https://login.example/")


def test_bodies_are_cut_swollen_or_dripped(account: Account) -> None:
    for kind, params in (("truncated", {}), ("huge", {"size": 200_000}), ("drip", {"seconds": 0})):
        account.simulator.fault("list currencies", kind, **params)
    whole = account.session.get("http://paddle.localhost/ips", headers=KEY).content

    with pytest.raises((requests.RequestException, ValueError)):
        account.session.get("http://paddle.localhost/currencies", headers=KEY).json()
    swollen = account.session.get("http://paddle.localhost/currencies", headers=KEY).content
    dripped = account.session.get("http://paddle.localhost/currencies", headers=KEY)

    assert len(swollen) > 190_000
    assert len(dripped.json()["data"]) == 33
    assert json.loads(whole)["data"]["ipv4_cidrs"] != []


def test_a_slow_answer_is_too_late_for_a_client_that_waits_less(account: Account) -> None:
    subscription_id = account.subscribe()
    account.simulator.fault("charge subscription", "slow", seconds=3600)
    account.simulator.fault("get subscription", "slow", seconds=20)

    with pytest.raises(requests.ConnectionError):
        account.charge(subscription_id)

    assert len(account.simulator.charges) == 1
    assert account.get(f"/subscriptions/{subscription_id}").status == 200


def test_faults_strike_as_often_as_told_in_the_order_they_were_set(account: Account) -> None:
    account.simulator.fault("list products", "error_before", times=2, status=500)
    account.simulator.fault("*", "error_before", times=None, status=503)

    seen = [account.get(path).status for path in ("/products", "/products", "/products", "/prices")]
    account.simulator.clear_faults()

    assert seen == [500, 500, 503, 503]
    assert account.get("/products").status == 200


def test_a_fault_nobody_knows_is_refused(account: Account) -> None:
    with pytest.raises(ValueError, match="There is no operation 'charge'"):
        account.simulator.fault("charge", "lose_answer")
    with pytest.raises(ValueError, match="There is no fault 'explode'"):
        account.simulator.fault("charge subscription", "explode")


# The control interface


def test_controls_work_over_http_as_in_python(live: Served) -> None:
    def control(name: str, **arguments: object) -> requests.Response:
        return requests.post(f"{live.url}/_control/{name}", json=arguments, timeout=5)

    made = control("complete_checkout", email="a@b.example", items=CLOUD).json()["result"]
    moved = control("clock_move", days=32).json()["result"]
    renewals = control("run_renewals").json()["result"]
    state = requests.get(f"{live.url}/_control/state", timeout=5).json()

    assert moved.startswith("2026-04-02T")
    assert len(renewals) == 1
    assert [entry["id"] for entry in state["subscriptions"]] == [made["subscription_id"]]
    assert [entry["origin"] for entry in state["transactions"]] == ["web", "subscription_recurring"]
    assert (state["vendor"], state["charges"], state["calls"]) == ("paddle", [], [])
    control("reset")
    assert live.simulator.state()["subscriptions"] == []


def test_what_a_control_does_not_understand_is_said(live: Served) -> None:
    def status(name: str, body: str) -> int:
        return requests.post(f"{live.url}/_control/{name}", data=body, timeout=5).status_code

    assert status("explode", "{}") == 404
    assert status("forget", "{}") == 404
    assert status("clock_move", '{"fortnights": 1}') == 400
    assert status("clock_move", "[1]") == 400
    assert status("clock_move", "{") == 400
    assert status("clock_set", '{"moment": "yesterday"}') == 400
    assert status("cancel", '{"subscription_id": "sub_none"}') == 400
    assert requests.get(f"{live.url}/_control/reset", timeout=5).status_code == 405
    assert "complete_checkout" in requests.get(f"{live.url}/_control/", timeout=5).json()["controls"]


def test_reset_forgets_faults_calls_and_webhooks_and_keeps_the_clock(account: Account) -> None:
    account.subscribe()
    account.get("/products")
    account.simulator.fault("*", "html", times=None)
    account.simulator.clock_set("2027-01-01T00:00:00Z")

    account.simulator.reset()

    assert account.simulator.deliver_webhooks(even_if_not_due=True) == {"delivered": 0, "refused": 0}
    assert account.simulator.calls == []
    assert account.get("/products").pagination["estimated_total"] == 3
    assert account.simulator.state()["now"].startswith("2027-01-01")
    assert account.get(f"/notification-settings/{sample.NOTIFICATION_SETTING_ID}").status == 200


# Served


def test_a_served_simulator_listens_on_loopback_only(live: Served) -> None:
    assert live.url.startswith("http://127.0.0.1:")
    assert requests.get(f"{live.url}/products", headers=KEY, timeout=5).status_code == 200


def test_a_lost_answer_over_http_is_a_closed_connection(live: Served) -> None:
    live.simulator.fault("list products", "lose_answer")

    with pytest.raises(requests.ConnectionError):
        requests.get(f"{live.url}/products", headers=KEY, timeout=5)

    assert live.simulator.calls[-1].status is None


def test_webhooks_go_out_by_themselves_when_served() -> None:
    arrived = threading.Event()

    def receive(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        arrived.set()
        return 200

    simulator = PaddleSimulator(webhook_url="http://127.0.0.1:9/", post=receive)
    with serve(simulator) as served:
        requests.post(f"{served.url}/customers", json={"email": "a@b.example"}, headers=KEY, timeout=5)

        assert arrived.wait(10)


def test_a_webhook_is_a_signed_post() -> None:
    with loopback(lambda server: [replying(server, answer(b""))]) as receiver:
        simulator = PaddleSimulator(webhook_url=f"{receiver.url}/webhooks/paddle/")
        simulator.world.publish("customer.updated", {"id": "ctm_1"})

        assert simulator.deliver_webhooks() == {"delivered": 1, "refused": 0}

    assert receiver.requests[0].startswith(b"POST /webhooks/paddle/ HTTP/1.1")
    assert re.search(rb"Paddle-Signature: ts=\d+;h1=[0-9a-f]{64}\r\n", receiver.requests[0])


def test_webhooks_are_posted_to_loopback_and_nowhere_else() -> None:
    for url in ("https://127.0.0.1/", "http://example.com/", "http://10.0.0.1/", "ftp://127.0.0.1/"):
        with pytest.raises(ValueError, match="loopback"):
            post_on_loopback(url, b"{}", {})


def test_a_receiver_that_is_gone_or_hangs_up_counts_as_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with loopback(lambda server: [lambda connection: connection.close()]) as rude:
        statuses = (post_on_loopback(f"http://127.0.0.1:{port}/", b"{}", {}), post_on_loopback(rude.url, b"{}", {}))

    assert statuses == (0, 0)
