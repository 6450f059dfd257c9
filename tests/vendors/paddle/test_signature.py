"""Paddle's signature: published vectors, Paddle's own kit as second opinion, and everything a header can get wrong."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paddle_billing.Notifications import Secret, Verifier
from paddle_billing.Notifications.PaddleSignature import PaddleSignature

from integration_project.vendors.paddle import signature
from integration_project.vendors.paddle.signature import InvalidSignature

# From the tests of Paddle's Python kit: the third secret signed, the other two did not.
PUBLISHED_BODY = b"hello-world"
PUBLISHED_HEADER = "ts=1696195954;h1=dummy;h1=d96299976a6eb066f484d7fde011ac56fc32b38fc9940bc419d6e537fdc6ef02"
PUBLISHED_SECRETS = (
    "pdl_ntf_01hbpjmytsa32fhr36nqgc3kgb_TjIG2BXbm83HPXqNfziwe506sBEdqL/4",
    "pdl_ntf_01hbpjmytsa32fhr36nqgc3kgb_vB/yIOnTOCWIvpBadM5jzBZPHc7OmdSo",
    "pdl_ntf_01hbpjmytsa32fhr36nqgc3kgb_WvRO0eL4Bj9rgYYIBZY6wZhG4EHy9jzh",
)
PUBLISHED_AT = datetime.fromtimestamp(1696195954, UTC)

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
SECRET = "pdl_ntfset_01hv6y1jedq4p1n0yqn5ba3ky4_abc+def/ghi"
BODY = '{"event_id": "evt_1", "data": {"name": "Zoë"}}'.encode()


def verify(header: str | None, *, body: bytes = BODY, secrets: Sequence[str] = (SECRET,), now: datetime = NOW) -> None:
    signature.verify(body=body, header=header, secrets=secrets, now=now, tolerance=300)


def refusal(action: Callable[[], None]) -> str:
    with pytest.raises(InvalidSignature) as caught:
        action()
    assert str(caught.value) == caught.value.reason
    return str(caught.value)


def kit_accepts(body: bytes, header: str, *secrets: str) -> bool:
    request = SimpleNamespace(body=body, headers={"Paddle-Signature": header})
    try:
        return bool(Verifier(0).verify(request, [Secret(secret) for secret in secrets]))
    except ConnectionRefusedError:  # how the kit says that no secret matched
        return False


def test_the_published_vector_is_accepted_with_any_of_several_secrets() -> None:
    verify(PUBLISHED_HEADER, body=PUBLISHED_BODY, secrets=PUBLISHED_SECRETS, now=PUBLISHED_AT)
    verify(PUBLISHED_HEADER, body=PUBLISHED_BODY, secrets=PUBLISHED_SECRETS[2:], now=PUBLISHED_AT)


@pytest.mark.parametrize("secret", PUBLISHED_SECRETS[:2])
def test_the_published_vector_is_refused_with_another_secret(secret: str) -> None:
    reason = refusal(lambda: verify(PUBLISHED_HEADER, body=PUBLISHED_BODY, secrets=(secret,), now=PUBLISHED_AT))

    assert reason == "no secret matched"


@pytest.mark.parametrize("body", [BODY, b"", b"hello-world", '{"a": "ü € 😀"}'.encode()])
def test_paddle_s_kit_accepts_what_we_sign(body: bytes) -> None:
    header = signature.sign(body, SECRET, NOW)

    assert kit_accepts(body, header, "another", SECRET)
    assert not kit_accepts(body, header, "another")
    assert not kit_accepts(body + b" ", header, SECRET)


@pytest.mark.parametrize("body", [BODY, b"", '{"a": "ü € 😀"}'.encode()])
def test_we_accept_what_paddle_s_kit_computes(body: bytes) -> None:
    stamp = int(NOW.timestamp())
    digest = PaddleSignature.calculate_hmac(SECRET, f"{stamp}:".encode() + body).hexdigest()

    verify(f"ts={stamp};h1={digest}", body=body)


def test_any_h1_of_any_secret_will_do() -> None:
    old, new = signature.sign(BODY, "old secret", NOW), signature.sign(BODY, "new secret", NOW)
    both = f"{old};{new.split(';')[1]}"

    verify(both, secrets=("old secret",))
    verify(both, secrets=("new secret",))
    verify(both, secrets=("something else", "new secret"))
    assert refusal(lambda: verify(both, secrets=("something else",))) == "no secret matched"


def test_keys_we_do_not_know_are_left_alone() -> None:
    verify(signature.sign(BODY, SECRET, NOW) + ";h2=later;v=1")


@pytest.mark.parametrize(
    ("late", "reason"), [(300, None), (301, "too old"), (86_400, "too old"), (-300, None), (-301, "too new")]
)
def test_the_clock_is_checked_both_ways(late: int, reason: str | None) -> None:
    header = signature.sign(BODY, SECRET, NOW)
    now = NOW + timedelta(seconds=late)

    if reason is None:
        verify(header, now=now)
    else:
        assert refusal(lambda: verify(header, now=now)) == reason


@pytest.mark.parametrize("header", [None, ""])
def test_no_header_is_a_reason_of_its_own(header: str | None) -> None:
    assert refusal(lambda: verify(header)) == "missing header"


@pytest.mark.parametrize(
    "header",
    [
        "nonsense",
        "ts=;h1=abc",
        "ts=soon;h1=abc",
        "ts=1.5;h1=abc",
        "ts=-5;h1=abc",
        "ts=١٢٣;h1=abc",
        "ts=99999999999999999999;h1=abc",
        "h1=abc",
        "ts=1696195954",
        "ts=1696195954;h1=",
        "ts=1696195954;ts=1696195955;h1=abc",
        "TS=1696195954;H1=abc",
        ";;;",
    ],
)
def test_a_malformed_header_is_refused_as_such(header: str) -> None:
    assert refusal(lambda: verify(header)) == "malformed header"


@pytest.mark.parametrize("digest", ["abc", "ü", "\udce4", "0" * 64, "x" * 100_000])
def test_a_wrong_digest_matches_nothing(digest: str) -> None:
    header = f"ts={int(NOW.timestamp())};h1={digest}"

    assert refusal(lambda: verify(header)) == "no secret matched"


@pytest.mark.parametrize("secrets", [(), ("",)])
def test_no_secret_is_never_an_open_door(secrets: tuple[str, ...]) -> None:
    assert refusal(lambda: verify(signature.sign(BODY, "", NOW), secrets=secrets)) == "no secret matched"


def test_a_changed_body_or_stamp_is_refused() -> None:
    header = signature.sign(BODY, SECRET, NOW)
    moved = header.replace(str(int(NOW.timestamp())), str(int(NOW.timestamp()) + 1))

    assert refusal(lambda: verify(header, body=BODY + b" ")) == "no secret matched"
    assert refusal(lambda: verify(moved)) == "no secret matched"


@given(body=st.binary(max_size=200), secret=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
def test_what_we_sign_we_accept(body: bytes, secret: str) -> None:
    verify(signature.sign(body, secret, NOW), body=body, secrets=(secret,))


@given(header=st.text(max_size=120))
def test_no_header_brings_the_check_down(header: str) -> None:
    assert refusal(lambda: verify(header)) in {"missing header", "malformed header", "too old", "too new"}
