"""The simulated Classic account: strict about its callers, faithful about a subscription's life and its alerts."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest
import requests

from integration_project.vendors.paddle_classic import signature
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator, guesses, sample
from integration_project.vendors.simulation import BusinessClock, ControlError
from integration_project.vendors.wsgi import WsgiAdapter

NOW = dt.datetime(2026, 1, 31, 9, tzinfo=dt.UTC)
KEYS = {"vendor_id": sample.VENDOR_ID, "vendor_auth_code": sample.AUTH_CODE}
URL = "http://127.0.0.1/webhooks/paddle-classic/"


class Receiver:
    """What alerts are posted to."""

    def __init__(self) -> None:
        self.status = 200
        self.received: list[dict[str, str]] = []

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        assert headers["Content-Type"] == "application/x-www-form-urlencoded"
        self.received.append(signature.decoded(body))
        return self.status

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(fields["alert_name"].removeprefix("subscription_"), fields["status"]) for fields in self.received]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def simulator(receiver: Receiver) -> ClassicSimulator:
    return ClassicSimulator(clock=BusinessClock(NOW), post=receiver, webhook_url=URL)


def call(simulator: ClassicSimulator, path: str, fields: Mapping[str, str] = KEYS, **options: Any) -> requests.Response:
    session = requests.Session()
    session.mount("http://", WsgiAdapter(simulator))
    sent = options or {"data": dict(fields)}
    return session.post(f"http://127.0.0.1/api/2.0{path}", **sent)


def code(simulator: ClassicSimulator, path: str, fields: Mapping[str, str] = KEYS, **options: Any) -> int:
    response = call(simulator, path, fields, **options)
    assert response.status_code == 200
    answer = response.json()
    return 0 if answer["success"] else answer["error"]["code"]


USERS, MODIFY = "/subscription/users", "/subscription/modifiers/create"


@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        (USERS, {"vendor_id": sample.VENDOR_ID}, 107),
        (USERS, {**KEYS, "vendor_auth_code": "x"}, 107),
        (USERS, {**KEYS, "vendor_id": "1"}, 107),
        (USERS, {**KEYS, "colour": "red"}, 101),
        (USERS, {**KEYS, "subscription_id": "x"}, 182),
        (USERS, {**KEYS, "state": "asleep"}, 101),
        (USERS, {**KEYS, "state": "active"}, 0),
        ("/subscription/plans", {**KEYS, "offset": "5"}, 191),
        (MODIFY, KEYS, 116),
        (MODIFY, {**KEYS, "subscription_id": "1", "modifier_amount": "1"}, 119),
        ("/subscription/modifiers/delete", {**KEYS, "modifier_id": "1"}, 123),
        ("/payment/refund", {**KEYS, "order_id": "1"}, 154),
        ("/alert/webhooks", {**KEYS, "query_tail": "2026-01-01"}, 122),
    ],
)
def test_a_wrong_request_gets_its_code(
    simulator: ClassicSimulator, path: str, fields: Mapping[str, str], expected: int
) -> None:
    assert code(simulator, path, fields) == expected


def test_only_forms_with_each_field_once_are_taken(simulator: ClassicSimulator) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    assert code(simulator, USERS, json=dict(KEYS)) == 101
    assert code(simulator, USERS, data=b"vendor_id=1&vendor_id=2", headers=form) == 101
    assert code(simulator, USERS, data=b"%%%", headers=form) == 101


@pytest.mark.parametrize("amount", ["x", "1.005", "NaN"])
def test_an_amount_that_is_none_is_refused(simulator: ClassicSimulator, amount: str) -> None:
    made = simulator.subscribe(email="a@customer.example")

    fields = {**KEYS, "subscription_id": made["subscription_id"], "modifier_amount": amount}

    assert code(simulator, MODIFY, fields) == 155


def test_more_calls_than_the_limit_are_refused_by_the_edge(simulator: ClassicSimulator) -> None:
    statuses = [call(simulator, USERS).status_code for _ in range(guesses.LIMIT + 1)]

    assert statuses == [200] * guesses.LIMIT + [429]


def test_a_life_is_told_in_signed_alerts(simulator: ClassicSimulator, receiver: Receiver) -> None:
    made = simulator.subscribe(email="zoë@customer.example", name="Zoë & Co", passthrough='{"a": "b+c"}')
    number = made["subscription_id"]
    simulator.change_plan(number, sample.PLAN_STUDIO)
    simulator.change_quantity(number, 5)
    simulator.pause(number)
    simulator.clock_set("2026-02-28T10:00:00Z")
    simulator.run_payments()
    simulator.resume(number)
    simulator.run_payments()
    simulator.fail_payment(number)
    order = simulator.pay(number)
    simulator.refund(order, amount="10.00")
    simulator.cancel(number)

    assert simulator.deliver_webhooks() == {"delivered": 14, "refused": 0}

    for fields in receiver.received:
        signature.verify(fields, public_key=simulator.public_key())
    assert (
        receiver.told
        == [
            ("created", "active"),
            ("payment_succeeded", "active"),
            ("updated", "active"),
            ("updated", "active"),
            ("updated", "active"),
            ("updated", "paused"),
            ("updated", "active"),
            ("payment_succeeded", "active"),
            ("payment_failed", "past_due"),
            ("updated", "past_due"),
            ("payment_succeeded", "active"),
            ("updated", "active"),
            ("payment_refunded", "active"),
            ("cancelled", "deleted"),
        ][: len(receiver.told)]
    )
    assert len(receiver.told) == 14


def test_a_month_keeps_its_last_day(simulator: ClassicSimulator) -> None:
    made = simulator.subscribe(email="a@customer.example")

    subscription = simulator.memory.subscriptions[int(made["subscription_id"])]

    assert subscription.next_bill == dt.date(2026, 2, 28)


def test_a_trial_costs_nothing_until_it_ends(simulator: ClassicSimulator, receiver: Receiver) -> None:
    made = simulator.subscribe(email="a@customer.example", plan_id=sample.PLAN_TEAM_TRIAL)
    simulator.clock_move(days=14)
    simulator.run_payments()
    simulator.deliver_webhooks()

    assert made["order_id"] == ""
    assert receiver.told == [("created", "trialing"), ("payment_succeeded", "active")]


def test_an_alert_that_is_not_taken_is_sent_again_with_the_same_body(
    simulator: ClassicSimulator, receiver: Receiver
) -> None:
    receiver.status = 503
    simulator.subscribe(email="a@customer.example", plan_id=sample.PLAN_TEAM_TRIAL)
    simulator.deliver_webhooks()
    receiver.status = 200
    not_due = simulator.deliver_webhooks()
    simulator.deliver_webhooks(even_if_not_due=True)

    (alert,) = simulator.memory.alerts.values()
    assert not_due == {"delivered": 0, "refused": 0}
    assert receiver.received[0] == receiver.received[1]
    assert (alert.status, alert.attempts) == ("success", 2)


def test_without_an_address_alerts_are_in_the_history_alone(simulator: ClassicSimulator, receiver: Receiver) -> None:
    simulator.send_webhooks_to("")
    simulator.subscribe(email="a@customer.example")

    history = call(simulator, "/alert/webhooks").json()["response"]

    assert simulator.deliver_webhooks()["delivered"] == 0
    assert [entry["alert_name"] for entry in history["data"]] == [
        "subscription_payment_succeeded",
        "subscription_created",
    ]
    assert history["data"][1]["fields"]["subscription_id"] == sample.FIRST_SUBSCRIPTION
    assert receiver.received == []


def test_what_nobody_could_do_is_refused(simulator: ClassicSimulator) -> None:
    made = simulator.subscribe(email="a@customer.example")
    number = made["subscription_id"]

    with pytest.raises(ControlError):
        simulator.resume(number)
    with pytest.raises(ControlError):
        simulator.change_quantity(number, 0)
    with pytest.raises(ControlError):
        simulator.change_plan(number, 1)
    with pytest.raises(ControlError):
        simulator.refund(made["order_id"], amount="1000")
    simulator.cancel(number)
    with pytest.raises(ControlError):
        simulator.pause(number)


def test_everything_is_forgotten_and_can_be_shown(simulator: ClassicSimulator) -> None:
    simulator.subscribe(email="a@customer.example")
    call(simulator, USERS)

    shown = requests.Session()
    shown.mount("http://", WsgiAdapter(simulator))
    state = shown.get("http://127.0.0.1/_control/state").json()
    simulator.reset()

    assert len(state["subscriptions"]) == 1
    assert simulator.memory.subscriptions == {}
    assert simulator.calls == []
