"""No secret and no person shows in what a vendor call leaves behind: errors, log lines, records."""

import logging

import pytest

from integration_project import errors
from integration_project.vendors import words
from integration_project.vendors.http import CallRecord
from integration_project.vendors.m3ter.entities import AccountAddress, NewAccount
from tests.vendors.calling import KEY, PERSON, http, look, one
from tests.vendors.loopback import answer, replying, served


def test_one_line_is_logged_per_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "integration_project.vendors")
    with served(one(lambda server: replying(server, answer(b"{}")))) as server:
        look(http(server.url), params={"email": PERSON})

    (line,) = [line for line in caplog.records if line.name == "integration_project.vendors"]
    assert line.getMessage().startswith("paddle GET /thing: 200 in ")
    assert line.__dict__["call"]["operation"] == "get thing"
    assert PERSON not in caplog.text


def paddle_error(detail: str, code: str = "bad_request") -> bytes:
    return f'{{"error": {{"type": "request_error", "code": "{code}", "detail": "{detail}"}}}}'.encode()


LEAKS = [
    answer(paddle_error(f"{PERSON} and Jane Q. Roe with {KEY}"), status="400 Bad Request"),
    answer(paddle_error(f"Bearer {KEY} of {PERSON}, JANE Q. ROE", code="forbidden"), status="403 Forbidden"),
    answer(paddle_error(f"Jane Q. Roe {PERSON} {KEY}", code="invalid_token"), status="401 Unauthorized"),
    answer(paddle_error(f"Jane Q. Roe {PERSON} {KEY}", code="internal_error"), status="500 Internal Server Error"),
    answer(paddle_error(f"Jane Q. Roe {PERSON} {KEY}", code="too_many_requests"), status="429 Too Many Requests"),
    answer(paddle_error(f"Jane Q. Roe {PERSON} {KEY}", code="receipt_data_not_enabled"), status="400 Bad Request"),
    answer(f"<html>{PERSON} Jane Q. Roe {KEY}</html>".encode(), status="502 Bad Gateway"),
    answer(f"<html>{PERSON} Jane Q. Roe {KEY}</html>".encode()),
    answer(b"", status="302 Found", headers=(f"Location: http://127.0.0.1:1/?email={PERSON}&key={KEY}",)),
    answer(f'{{"data": "{PERSON} Jane Q. Roe {KEY}'.encode(), length=4000),
    answer(b"{}", headers=(f"Request-Id: {PERSON} {KEY}", "Content-Type: application/json")),
    b"",
]


@pytest.mark.parametrize("call", ["GET", "POST"])
@pytest.mark.parametrize("reply", LEAKS)
def test_no_secret_and_no_person_shows_in_an_error_or_a_log_line(
    reply: bytes, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    records: list[CallRecord] = []
    chain: list[BaseException] = []
    with served(one(lambda server: replying(server, reply))) as server:
        client = http(server.url)
        client.after.append(records.append)
        try:
            client.call(
                "update thing",
                call,
                "/thing",
                repeatable=call == "GET",
                params={"email": PERSON},
                json={"name": "Jane Q. Roe", "email": PERSON},
                private=("Jane Q. Roe", PERSON),
            )
        except errors.IntegrationError as error:
            chain.append(error)
    assert not chain or (chain[0].__cause__ is None and chain[0].__context__ is None)

    ours = [line for line in caplog.records if line.name.startswith("integration_project")]
    written = [repr(line.__dict__) for line in ours] + [repr(records)]
    written += [f"{error} {error!r} {vars(error)}" for error in chain]
    for text in written:
        for private in (PERSON, "Jane Q. Roe", "JANE Q. ROE", KEY, "customer.example", "%40"):
            assert private not in text


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://vendor.invalid:70000", "http://[broken"], ids=["refused", "port", "host"]
)
def test_an_address_that_leads_nowhere_leaks_no_query(url: str) -> None:
    with pytest.raises(errors.Temporary) as caught:
        look(http(url), params={"email": PERSON})

    assert PERSON not in f"{caught.value!r}"
    assert caught.value.__context__ is None


def test_a_key_that_cannot_stand_in_a_header_is_not_quoted() -> None:
    secret = "pdl_secret\nX-Other: 1"

    with pytest.raises(errors.Temporary) as caught:
        look(http("http://127.0.0.1:1", authorise=lambda *, fresh: f"Bearer {secret}"))

    assert "pdl_secret" not in repr(caught.value)
    assert caught.value.__context__ is None


def test_what_was_sent_cut_is_hidden_too_when_a_vendor_quotes_it() -> None:
    street = "Flat 12, Sycamore House, 221 Upper Long Street Name Road, Dublin 8"
    address = AccountAddress(line1=street, post_code="D08 XY00 and so on for long", country="Ireland")
    account = NewAccount(code="c", name="Anna " * 60, email_address="a@b.example", address=address)
    sent = account.to_m3ter()

    said = words.safe(f"{sent['address']} of {sent['name']} is not valid", private=account.private)

    assert said == (
        "{'addressLine1': '[hidden]', 'postCode': '[hidden]', 'country': 'Ireland'} of [hidden] is not valid"
    )
