"""m3ter's token: asked for once, renewed early, refreshed once when refused, and never kept anywhere but in memory."""

import os
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest

from integration_project import errors
from integration_project.vendors import connect
from integration_project.vendors.http import OpenGate
from integration_project.vendors.m3ter.entities import Measurement
from integration_project.vendors.m3ter.simulator import M3terSimulator, sample
from integration_project.vendors.m3ter.token import Token, TokenStore
from integration_project.vendors.simulation import BusinessClock, real_now
from integration_project.vendors.wsgi import WsgiAdapter
from tests.vendors.m3ter.client_stage import START, ClientStage, new_account, new_stage, settings
from tests.vendors.opening import config, opened


@pytest.fixture
def stage() -> ClientStage:
    return new_stage()


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Issuer:
    """Gives out numbered tokens."""

    def __init__(self, lifetime: int = 18_000) -> None:
        self.lifetime = lifetime
        self.given = 0

    def __call__(self) -> Token:
        self.given += 1
        return Token(f"token-{self.given}", self.lifetime)


def test_one_token_serves_many_calls_and_openings() -> None:
    simulator = M3terSimulator(clock=BusinessClock(START))
    adapter = WsgiAdapter(simulator)
    for _ in range(2):
        vendors = connect(settings(), gate_for=lambda vendor: OpenGate(), transports={"m3ter": adapter})
        vendors.m3ter.get_organization_config()
        list(vendors.m3ter.list_products())

    assert [call.operation for call in simulator.calls].count("get token") == 1


def test_a_token_is_renewed_five_minutes_early() -> None:
    clock, issuer = Clock(), Issuer()
    store = TokenStore(clock=clock)

    tokens = []
    for seconds in (0.0, 17_699.0, 17_701.0):
        clock.seconds = seconds
        tokens.append(store.current(issuer, fresh=False))

    assert tokens == ["token-1", "token-1", "token-2"]


def test_a_short_lived_token_is_used_for_half_its_life() -> None:
    clock, issuer = Clock(), Issuer(lifetime=60)
    store = TokenStore(clock=clock)

    tokens = []
    for seconds in (0.0, 29.0, 31.0):
        clock.seconds = seconds
        tokens.append(store.current(issuer, fresh=False))

    assert tokens == ["token-1", "token-1", "token-2"]


def test_threads_that_find_no_token_ask_for_one_together() -> None:
    issuer, store = Issuer(), TokenStore()
    barrier = threading.Barrier(4)
    found: list[str] = []

    def take() -> None:
        barrier.wait()
        found.append(store.current(issuer, fresh=False))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == ["token-1"] * 4


def test_a_forked_child_starts_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    issuer, store = Issuer(), TokenStore()
    store.current(issuer, fresh=False)
    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert store.current(issuer, fresh=False) == "token-2"


def test_a_token_that_could_not_be_had_is_asked_for_again() -> None:
    store = TokenStore()

    def fail() -> Token:
        raise errors.Temporary("no")

    with pytest.raises(errors.Temporary):
        store.current(fail, fresh=False)

    assert store.current(Issuer(), fresh=False) == "token-1"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_refreshed_once(stage: ClientStage, status: int) -> None:
    stage.simulator.assume(expired_token_status=status)
    stage.client.get_organization_config()
    stage.simulator.expire_tokens()

    stage.client.get_organization_config()

    again = ["get organization config", "get token", "get organization config"]
    assert stage.operations == ["get token", "get organization config", *again]
    assert stage.gate.told[-1] == ("answered", "get organization config")
    assert not [told for told in stage.gate.told if told[0] == "refused"]


def test_a_token_past_its_end_is_refreshed() -> None:
    now = real_now()
    moved = timedelta(0)

    def transport_now() -> datetime:
        return now + moved

    simulator = M3terSimulator(clock=BusinessClock(START), transport_now=transport_now)
    client = opened(settings(), m3ter=simulator).m3ter
    client.get_organization_config()
    moved = timedelta(hours=6)

    client.get_organization_config()

    assert [call.operation for call in simulator.calls].count("get token") == 2


def test_a_second_refusal_closes_the_vendor(stage: ClientStage) -> None:
    stage.simulator.fault("get organization config", "forbidden", times=2)

    with pytest.raises(errors.VendorClosed) as caught:
        stage.client.get_organization_config()

    assert (caught.value.vendor, caught.value.operation) == ("m3ter", None)
    assert stage.gate.told[-1] == ("refused", "get organization config", "whole vendor")
    assert stage.operations.count("get organization config") == 2
    assert stage.operations.count("get token") == 2


def test_a_refused_access_key_closes_the_vendor(stage: ClientStage) -> None:
    stage.simulator.refuse_key()

    with pytest.raises(errors.VendorClosed, match="the access key id or its secret is refused") as caught:
        stage.client.get_organization_config()

    assert caught.value.operation is None
    assert stage.gate.told == [
        ("enter", "get organization config"),
        ("enter", "get token"),
        ("refused", "get token", "whole vendor"),
    ]
    assert stage.operations == ["get token"]


def test_a_token_that_cannot_be_had_for_now_closes_nothing(stage: ClientStage) -> None:
    stage.simulator.fault("get token", "error_before")

    with pytest.raises(errors.Temporary):
        stage.client.get_organization_config()

    assert not [told for told in stage.gate.told if told[0] == "refused"]
    stage.client.get_organization_config()


def test_a_firewall_s_refusal_concerns_that_row_only(stage: ClientStage) -> None:
    with pytest.raises(errors.NeedsConfiguration) as caught:
        stage.client.create_account(new_account(name="Robert <script>alert(1)</script>"))

    assert (caught.value.kind, caught.value.key) == ("m3ter setting", "blocked by a firewall")
    assert not [told for told in stage.gate.told if told[0] == "refused"]
    assert stage.operations.count("create account") + stage.operations.count(None) == 1
    assert "script" not in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ({"m3ter_access_key_id": ""}, "M3TER_ACCESS_KEY_ID is not set."),
        ({"m3ter_api_secret": ""}, "M3TER_API_SECRET is not set."),
        ({"m3ter_api_secret": "copied\nbadly"}, "M3TER_API_SECRET has a character"),
    ],
)
def test_a_key_that_cannot_be_sent_is_named_by_its_setting(missing: dict[str, str], words: str) -> None:
    simulator = M3terSimulator(clock=BusinessClock(START))

    with pytest.raises(errors.VendorClosed, match=words) as caught:
        opened(config(**missing), m3ter=simulator).m3ter.get_organization_config()

    assert "copied" not in repr(caught.value).replace("copied badly.", "")
    assert simulator.calls == []


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"access_token": "", "expires_in": 18000}',
        b'{"access_token": "a b", "expires_in": 18000}',
        b'{"access_token": "a\\nb", "expires_in": 18000}',
        b'{"access_token": "a", "expires_in": "soon"}',
        b"<html>",
    ],
)
def test_a_token_answer_of_another_shape_is_unreadable(body: bytes) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]

    with pytest.raises(errors.Temporary, match="get token"):
        opened(settings(), m3ter=app).m3ter.get_organization_config()


def test_the_ingest_address_gets_the_same_token(stage: ClientStage) -> None:
    hosts: list[str] = []
    tokens: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        asked = tokens if environ["PATH_INFO"] == "/oauth/token" else hosts
        asked.append(f"{environ['HTTP_HOST']}{environ['PATH_INFO']}")
        return stage.simulator(environ, start_response)

    client = opened(settings(), m3ter=app).m3ter
    client.get_organization_config()
    client.submit_measurements([Measurement("use-1", sample.METER_API_CALLS, "code", START, measure={"calls": 1})])

    assert hosts == [
        f"m3ter.localhost/organizations/{sample.ORG_ID}/organizationconfig",
        f"ingest.m3ter.localhost/organizations/{sample.ORG_ID}/measurements",
    ]
    assert len(tokens) == 1
