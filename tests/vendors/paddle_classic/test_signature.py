"""Classic's signature: what PHP would sign, what a form can hold, and everything a signature can get wrong."""

import base64
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from integration_project.vendors.paddle_classic import signature
from integration_project.vendors.paddle_classic.signature import InvalidSignature, NotAForm, NotAPublicKey
from integration_project.vendors.paddle_classic.simulator import alerts
from tests.vendors.paddle_classic.signing import PUBLIC_KEY, signed

FIELDS = {"alert_id": "1", "alert_name": "subscription_created", "passthrough": "Zoë + 1 €", "coupon": ""}
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


def refusal(action: Callable[[], None]) -> str:
    with pytest.raises(InvalidSignature) as caught:
        action()
    assert str(caught.value) == caught.value.reason
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "a:0:{}"),
        ({"b": "2", "a": "1"}, 'a:2:{s:1:"a";s:1:"1";s:1:"b";s:1:"2";}'),
        ({"a": "", "p_signature": "x"}, 'a:1:{s:1:"a";s:0:"";}'),
        ({"name": "Zoë €"}, 'a:1:{s:4:"name";s:8:"Zoë €";}'),
        ({"q": 'a"b;c\\'}, 'a:1:{s:1:"q";s:6:"a"b;c\\";}'),
        ({"b": "1", "B": "2", "a_b": "3", "ab": "4", "é": "5"}, None),
        ({"10": "x", "9": "y"}, 'a:2:{s:2:"10";s:1:"x";s:1:"9";s:1:"y";}'),
    ],
)
def test_fields_are_written_as_php_writes_them_in_the_order_of_their_bytes(
    fields: dict[str, str], expected: str | None
) -> None:
    words = signature.serialized(fields).decode()

    if expected is None:
        places = [words.index(f':"{name}";') for name in ("B", "a_b", "ab", "b", "é")]
        assert places == sorted(places)
    else:
        assert words == expected


def test_a_form_is_decoded_as_php_decodes_it() -> None:
    body = b"a=1&b=x+y%2Bz&c=&d&a=2&e=Zo%C3%AB%20%e2%82%ac&&f=1%zz&g=a=b"

    assert signature.decoded(body) == {
        "a": "2",
        "b": "x y+z",
        "c": "",
        "d": "",
        "e": "Zoë €",
        "f": "1%zz",
        "g": "a=b",
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"a=%ff", "not UTF-8"),
        (b"a=\xff", "not UTF-8"),
        (b"%c3=1", "not UTF-8"),
        (b"a=%ED%A0%80", "not UTF-8"),
        (b"a=%00", "NUL"),
        (b"a%00b=1", "NUL"),
        (b"=1", "without a name"),
        (b"&".join(b"a%d=1" % number for number in range(1001)), "more than 1000 fields"),
    ],
)
def test_a_body_that_is_no_form_says_why(body: bytes, words: str) -> None:
    with pytest.raises(NotAForm, match=words):
        signature.decoded(body)


def test_what_was_signed_is_accepted_in_any_order() -> None:
    fields = signed(FIELDS)

    signature.verify(dict(reversed(fields.items())), public_key=PUBLIC_KEY)


@given(st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=6))
def test_any_texts_survive_form_and_signature(fields: dict[str, str]) -> None:
    fields = {name: text for name, text in fields.items() if name != signature.FIELD}

    again = signature.decoded(signature.encoded(signed(fields)))

    signature.verify(again, public_key=PUBLIC_KEY)
    assert {name: text for name, text in again.items() if name != signature.FIELD} == fields


def test_the_simulator_signs_the_same_by_code_of_its_own() -> None:
    body = alerts.signed_body(FIELDS, alerts.sample_key())

    assert signature.decoded(body) == signed(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_changed_added_or_taken_away_is_refused(name: str) -> None:
    fields = signed(FIELDS)
    without = {key: value for key, value in fields.items() if key != name}

    for wrong in ({**fields, name: fields[name] + "x"}, without, {**fields, f"{name}2": ""}):
        reason = refusal(lambda wrong=wrong: signature.verify(wrong, public_key=PUBLIC_KEY))  # type: ignore[misc]
        assert reason == "key did not match"


def mangled(how: Callable[[str], str]) -> dict[str, str]:
    fields = signed(FIELDS)
    return {**fields, "p_signature": how(fields["p_signature"])}


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda text: "", "missing p_signature"),
        (lambda text: "no base64!", "malformed p_signature"),
        (lambda text: "é" + text, "malformed p_signature"),
        (lambda text: text.replace("=", ""), "malformed p_signature"),
        (lambda text: text + "\n", "malformed p_signature"),
        (lambda text: text[:4], "key did not match"),
        (lambda text: base64.b64encode(b"\0" * 256).decode(), "key did not match"),
        (lambda text: base64.b64encode(b"\xff" * 5000).decode(), "key did not match"),
    ],
)
def test_a_signature_that_is_none_is_refused_with_its_reason(how: Callable[[str], str], reason: str) -> None:
    assert refusal(lambda: signature.verify(mangled(how), public_key=PUBLIC_KEY)) == reason


def test_another_way_to_write_the_same_signature_is_refused() -> None:
    fields = signed(FIELDS)
    last = fields["p_signature"].rstrip("=")[-1]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = letters[letters.index(last) + 1]
    text = fields["p_signature"].replace(f"{last}=", f"{other}=")

    assert base64.b64decode(text) == base64.b64decode(fields["p_signature"])
    reason = refusal(lambda: signature.verify({**fields, "p_signature": text}, public_key=PUBLIC_KEY))
    assert reason == "malformed p_signature"


def test_another_key_is_refused() -> None:
    other = alerts.public_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))

    assert refusal(lambda: signature.verify(signed(FIELDS), public_key=other)) == "key did not match"


def test_a_key_that_is_no_public_key_of_rsa_says_so() -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    with pytest.raises(NotAPublicKey, match="not one of RSA"):
        signature.read_key(pem)
    with pytest.raises(NotAPublicKey, match="PEM form"):
        signature.read_key("-----BEGIN PUBLIC KEY-----\nnothing\n-----END PUBLIC KEY-----\n")
