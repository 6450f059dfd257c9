"""What one vendor call makes of everything a network, a gateway or a vendor can answer."""

import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from integration_project import errors
from integration_project.vendors import reading
from integration_project.vendors.http import Answer, CallRecord, OpenGate, Policy, Ruling, VendorHTTP
from integration_project.vendors.transport import Sessions
from tests.vendors.calling import KEY, charge, http, look, one
from tests.vendors.loopback import answer, dripping, replying, resetting, served, silent
from tests.vendors.opening import RecordingGate


def failure(action: Callable[[], Any], kind: type[errors.IntegrationError]) -> errors.IntegrationError:
    with pytest.raises(errors.IntegrationError) as caught:
        action()
    assert type(caught.value) is kind
    return caught.value


def test_numbers_arrive_exactly() -> None:
    body = b'{"whole": 12, "price": 0.1, "long": 1.00000000000000000001}'
    with served(one(lambda server: replying(server, answer(body)))) as server:
        value = look(http(server.url))

    assert value == {"whole": 12, "price": Decimal("0.1"), "long": Decimal("1.00000000000000000001")}
    assert [type(part) for part in value.values()] == [int, Decimal, Decimal]


def test_the_request_carries_key_version_and_exact_numbers() -> None:
    with served(one(lambda server: replying(server, answer(b"{}")))) as server:
        client = http(server.url, headers={"Paddle-Version": "1"})
        client.call(
            "send", "POST", "/things", json={"amount": Decimal("10.10"), "name": "Zoë", "list": [1, None, True]}
        )

    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == b'{"amount":10.10,"name":"Zo\\u00eb","list":[1,null,true]}'
    assert b"Authorization: Bearer " + KEY.encode() in head
    assert b"Paddle-Version: 1" in head
    assert b"Content-Type: application/json" in head


def test_a_float_is_never_sent() -> None:
    client = http("http://127.0.0.1:1")

    with pytest.raises(TypeError, match="float does not go"):
        client.call("send", "POST", "/things", json={"amount": 0.1})


def test_netrc_and_proxy_settings_are_ignored(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    with served(one(lambda server: replying(server, answer(b"{}")))) as server:
        look(http(server.url))

    assert b"Authorization: Bearer " + KEY.encode() in server.requests[0]


def test_cookies_are_not_kept() -> None:
    reply = answer(b"{}", headers=("Set-Cookie: a=b", "Content-Type: application/json"))
    with served(one(lambda server: replying(server, reply, reply))) as server:
        client = http(server.url)
        look(client)
        look(client)

    assert b"Cookie" not in server.requests[1]


def test_one_connection_serves_several_calls() -> None:
    with served(one(lambda server: replying(server, answer(b"{}"), answer(b"{}")))) as server:
        client = http(server.url)
        look(client)
        look(client)

    assert len(server._workers) == 1


@pytest.mark.parametrize("call", [look, charge])
def test_nobody_listening_means_nothing_was_sent(call: Callable[[VendorHTTP], Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    error = failure(lambda: call(http(url)), errors.Temporary)

    assert str(error).endswith(": it could not be connected to")


@pytest.mark.parametrize("call", [look, charge])
def test_an_unknown_host_means_nothing_was_sent(
    call: Callable[[VendorHTTP], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    error = failure(lambda: call(http("http://vendor.invalid")), errors.Temporary)

    assert str(error).endswith(": its address could not be looked up")


def test_silence_ends_at_the_deadline() -> None:
    with served(one(silent)) as server:
        started = time.monotonic()
        error = failure(lambda: look(http(server.url, deadline=0.3)), errors.Temporary)

    assert str(error) == "Paddle, get thing: no answer within 0.3 seconds"
    assert time.monotonic() - started < 3


def test_silence_after_a_charge_leaves_its_outcome_unknown() -> None:
    with served(one(silent)) as server:
        error = failure(lambda: charge(http(server.url), deadline=0.3), errors.OutcomeUnknown)

    assert str(error) == "Paddle, charge subscription: no answer within 0.3 seconds; it may have happened"


@pytest.mark.parametrize(
    ("head", "drops"),
    [
        (b"", b"HTTP/1.1 200 OK\r\n" + b"X-Drop: 1\r\n" * 500),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b"x" * 5000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 5000),
    ],
    ids=["headers", "body of known length", "chunks", "body until the end"],
)
def test_a_slow_drip_ends_at_the_deadline(head: bytes, drops: bytes) -> None:
    with served(one(lambda server: dripping(server, head, drops, every=0.02))) as server:
        started = time.monotonic()
        failure(lambda: look(http(server.url, deadline=0.4)), errors.Temporary)
        waited = time.monotonic() - started

    assert 0.35 < waited < 3


def test_a_dripping_answer_to_a_charge_leaves_its_outcome_unknown() -> None:
    head = b"HTTP/1.1 201 Created\r\nContent-Length: 5000\r\n\r\n"
    with served(one(lambda server: dripping(server, head, b"x" * 5000, every=0.02))) as server:
        error = failure(lambda: charge(http(server.url), deadline=0.3), errors.OutcomeUnknown)

    assert "the answer was not complete within 0.3 seconds" in str(error)


@pytest.mark.parametrize(("call", "kind"), [(look, errors.Temporary), (charge, errors.OutcomeUnknown)])
@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answer(b'{"data": {}}', length=500), "the answer broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "the answer broke off"),
        (answer(b"x" * 3000), "the answer is larger than 2000 bytes"),
        (answer(b"<html>hello</html>", headers=("Content-Type: text/html",)), "the answer was an HTML page"),
        (answer(b""), "the answer was an empty body"),
        (answer(b'{"data": '), "the answer was unreadable JSON"),
        (answer(b"\xff\xfe{}"), "the answer was unreadable JSON"),
        (answer(b"[" * 1500), "the answer was unreadable JSON"),
        (answer(b"not gzip", headers=("Content-Encoding: gzip",)), "the answer broke off"),
        (
            answer(b"", status="302 Found", headers=("Location: http://127.0.0.1:1/elsewhere",)),
            "it answered with a redirect, which is never followed (HTTP 302)",
        ),
        (
            answer(b"x" * 3000, status="307 Temporary Redirect", headers=("Location: /charge",)),
            "it answered with a redirect, which is never followed (HTTP 307)",
        ),
        (
            answer(b"<html>Bad gateway</html>", status="502 Bad Gateway", headers=("Content-Type: text/html",)),
            "it answered with an HTML page (HTTP 502)",
        ),
        (answer(b"", status="503 Service Unavailable"), "it answered with an empty body (HTTP 503)"),
        (b"", "the connection broke before an answer came"),
        (b"no HTTP at all\r\n\r\n", "the connection broke before an answer came"),
    ],
)
def test_an_answer_that_proves_nothing(
    reply: bytes, words: str, call: Callable[[VendorHTTP], Any], kind: type[errors.IntegrationError]
) -> None:
    with served(one(lambda server: replying(server, reply))) as server:
        error = failure(lambda: call(http(server.url, max_bytes=2000)), kind)

    assert words in str(error)
    assert len(server.requests) == 1


def test_a_reset_on_a_reused_connection_leaves_a_charge_open() -> None:
    with served(one(lambda server: resetting(server, after=answer(b"{}")))) as server:
        client = http(server.url)
        look(client)
        error = failure(lambda: charge(client), errors.OutcomeUnknown)

    assert "the connection broke before an answer came; it may have happened" in str(error)
    assert len(server.requests) == 2


def test_a_fresh_connection_that_is_reset_leaves_a_charge_open() -> None:
    with served(one(resetting)) as server:
        failure(lambda: charge(http(server.url)), errors.OutcomeUnknown)

    assert len(server.requests) == 1


def test_a_broken_connection_is_not_used_again() -> None:
    cut = answer(b'{"data": {}}', length=500)
    with served(lambda server: [replying(server, cut), replying(server, answer(b'{"fine": 1}'))]) as server:
        client = http(server.url)
        failure(lambda: look(client), errors.Temporary)
        value = look(client)

    assert value == {"fine": 1}


def test_a_field_that_cannot_be_read_is_named_without_its_value() -> None:
    def read(value: Any) -> str:
        return reading.text(value, "email")

    with served(one(lambda server: replying(server, answer(b'{"email": ["jane.roe@customer.example"]}')))) as server:
        error = failure(lambda: look(http(server.url), read=read), errors.Unreadable)

    assert str(error) == "Paddle, get thing: the answer could not be read: email is not a text"


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("17", 17),
        ("999999999999", 3600),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0),
        ("Sun, 22 Nov 2099 09:00:00 GMT", 3600),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_reason(header: str, wait: float | None) -> None:
    body = b'{"error": {"type": "api_error", "code": "too_many_requests", "detail": "Slow down."}}'
    reply = answer(
        body, status="429 Too Many Requests", headers=(f"Retry-After: {header}", "Content-Type: application/json")
    )
    with served(one(lambda server: replying(server, reply))) as server:
        client = http(server.url, now=lambda: datetime(2026, 11, 22, 10, 0, tzinfo=UTC))
        with pytest.raises(errors.Temporary) as caught:
            charge(client)

    assert caught.value.retry_after == wait
    assert str(caught.value) == "Paddle, charge subscription: Slow down. (too_many_requests, HTTP 429)"


def ruled(policy: Policy) -> Callable[[Answer], Ruling]:
    return lambda answer: Ruling(policy, "some_code", "The vendor's words.", 12.0)


@pytest.mark.parametrize(
    ("policy", "kind", "told"),
    [
        (Policy.LATER, errors.Temporary, []),
        (Policy.LOOK_FIRST, errors.OutcomeUnknown, []),
        (Policy.PERSON, errors.VendorRejected, [("answered", "charge subscription")]),
        (Policy.PERMANENT, errors.VendorRejected, [("answered", "charge subscription")]),
        (Policy.NOT_FOUND, errors.NotFound, [("answered", "charge subscription")]),
        (Policy.CONFLICT, errors.Conflict, [("answered", "charge subscription")]),
        (Policy.CONFIGURATION, errors.NeedsConfiguration, []),
        (Policy.KEY_REFUSED, errors.VendorClosed, [("refused", "charge subscription", "whole vendor")]),
        (Policy.PERMISSION_MISSING, errors.VendorClosed, [("refused", "charge subscription", "operation")]),
    ],
)
def test_each_policy_has_its_error_and_its_word_to_the_gate(
    policy: Policy, kind: type[errors.IntegrationError], told: list[tuple[str, ...]]
) -> None:
    gate = RecordingGate()
    with served(one(lambda server: replying(server, answer(b"{}", status="400 Bad Request")))) as server:
        error = failure(lambda: charge(http(server.url, gate=gate, judge=ruled(policy))), kind)

    assert "The vendor's words." in str(error)
    assert gate.told == [("enter", "charge subscription"), *told]


def test_a_rejection_keeps_what_the_vendor_said_apart() -> None:
    with served(one(lambda server: replying(server, answer(b"{}", status="400 Bad Request")))) as server:
        error = failure(lambda: charge(http(server.url, judge=ruled(Policy.PERSON))), errors.VendorRejected)

    assert isinstance(error, errors.VendorRejected)
    found = (error.vendor, error.operation, error.status, error.code, error.detail, error.policy)
    assert found == ("paddle", "charge subscription", 400, "some_code", "The vendor's words.", "person")
    assert str(error) == "paddle refused: charge subscription: The vendor's words. (some_code, HTTP 400)"


def test_a_table_s_wait_counts_where_the_vendor_names_none() -> None:
    with served(one(lambda server: replying(server, answer(b"{}", status="409 Conflict")))) as server:
        error = failure(lambda: charge(http(server.url, judge=ruled(Policy.LATER))), errors.Temporary)

    assert isinstance(error, errors.Temporary)
    assert error.retry_after == 12.0


def test_a_closed_gate_sends_nothing() -> None:
    class ClosedGate(OpenGate):
        def enter(self, operation: str) -> None:
            raise errors.BudgetSpent("spent", retry_after=1.0)

    with served(one(lambda server: replying(server, answer(b"{}")))) as server:
        failure(lambda: charge(http(server.url, gate=ClosedGate())), errors.BudgetSpent)

    assert server.requests == []


def test_a_refused_token_is_renewed_once() -> None:
    asked: list[bool] = []

    def authorise(*, fresh: bool) -> str:
        asked.append(fresh)
        return "Bearer second" if fresh else "Bearer first"

    gate = RecordingGate()
    refused, fine = answer(b"{}", status="401 Unauthorized"), answer(b'{"fine": 1}')
    with served(one(lambda server: replying(server, refused, fine))) as server:
        value = look(http(server.url, authorise=authorise, renewable=True, gate=gate))

    assert value == {"fine": 1}
    assert asked == [False, True]
    assert gate.told == [("enter", "get thing"), ("enter", "get thing"), ("answered", "get thing")]


def test_a_second_refusal_closes_the_vendor() -> None:
    gate = RecordingGate()
    refused = answer(b"{}", status="401 Unauthorized")
    with served(one(lambda server: replying(server, refused, refused))) as server:
        failure(lambda: look(http(server.url, renewable=True, gate=gate)), errors.VendorClosed)

    assert len(server.requests) == 2
    assert gate.told[-1] == ("refused", "get thing", "whole vendor")


def test_every_request_is_recorded_before_and_after() -> None:
    heard: list[Any] = []
    fine = answer(b"{}", headers=("Request-Id: req-1", "Content-Type: application/json"))
    with served(one(lambda server: replying(server, fine, b""))) as server:
        client = http(server.url)
        client.before.append(heard.append)
        client.after.append(heard.append)
        look(client)
        failure(lambda: charge(client), errors.OutcomeUnknown)

    before, record, before_charge, charge_record = heard
    assert (before, before_charge) == ("get thing", "charge subscription")
    assert isinstance(record, CallRecord)
    assert (record.vendor, record.method, record.path, record.status) == ("paddle", "GET", "/thing", 200)
    assert (record.request_id, record.outcome) == ("req-1", "ok")
    assert (charge_record.status, charge_record.operation) == (None, "charge subscription")
    assert charge_record.outcome.endswith("the connection broke before an answer came; it may have happened")


def test_a_session_belongs_to_one_thread() -> None:
    sessions = Sessions()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(sessions.get("paddle")))
    thread.start()
    thread.join()

    assert sessions.get("paddle") is sessions.get("paddle")
    assert found[0] is not sessions.get("paddle")
    assert sessions.get("m3ter") is not sessions.get("paddle")


def test_a_forked_child_makes_a_session_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions()
    parents = sessions.get("paddle")
    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert sessions.get("paddle") is not parents


def test_a_process_that_stood_still_after_it_made_sure_of_its_claim_sends_nothing() -> None:
    with served(one(lambda server: replying(server, answer(b"{}")))) as server:
        error = failure(lambda: charge(http(server.url), deadline=1e-9), errors.Temporary)

    assert "stood still" in str(error)
    assert server.requests == []
