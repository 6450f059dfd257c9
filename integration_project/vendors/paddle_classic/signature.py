"""Verifies, and for tests makes, the signature of a Paddle Classic alert.

`p_signature` stands among the form's own fields. It signs all the others, written as PHP's serialize() writes an array
of texts, with RSA (PKCS#1 v1.5) and SHA-1 under a key whose public half every account can read. There is no time in it.
"""

import base64
import binascii
import enum
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote_to_bytes, urlencode

from cryptography.exceptions import InvalidSignature as RsaMismatch
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from integration_project.errors import Permanent

FIELD = "p_signature"
CLASSICS_HASH = SHA1()  # noqa: S303  # nosec B303
"""Paddle Classic signs with this one and no other."""
MOST_FIELDS = 1000
"""PHP takes no more of a form; an alert has about thirty."""


class Reason(enum.StrEnum):
    """Why a signature was refused; also the name it is counted under."""

    MISSING = "missing p_signature"
    MALFORMED = "malformed p_signature"
    NO_MATCH = "key did not match"


class InvalidSignature(Exception):
    """The alert is not proved to be Paddle's."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class NotAForm(ValueError):
    """A body that cannot be read as the fields of a form; the text says why."""


class NotAPublicKey(ValueError):
    """A text that is not a public RSA key in PEM form."""


def decoded(body: bytes) -> dict[str, str]:
    """The fields of a form: `+` is a space, empty values count, and of a name that stands twice the last value does."""
    parts = [part for part in body.split(b"&") if part]
    if len(parts) > MOST_FIELDS:
        raise NotAForm(f"has more than {MOST_FIELDS} fields")
    fields: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition(b"=")
        fields[_text(name)] = _text(value)
    if "" in fields:
        raise NotAForm("has a value without a name")
    return fields


def fields_of(body: str) -> dict[str, str]:
    """Read the fields of a stored alert; Permanent when its body is no form."""
    try:
        return decoded(body.encode())
    except NotAForm as problem:
        raise Permanent(f"Paddle Classic's alert could not be read: it {problem}.") from None


def encoded(fields: Mapping[str, str]) -> bytes:
    """The body of a form with these fields."""
    return urlencode(fields).encode("ascii")


def verify(fields: Mapping[str, str], *, public_key: str) -> None:
    """Raise InvalidSignature unless the fields were signed by the other half of this key (PEM)."""
    if not fields.get(FIELD):
        raise InvalidSignature(Reason.MISSING)
    signature = _signature(fields[FIELD])
    try:
        read_key(public_key).verify(signature, serialized(fields), PKCS1v15(), CLASSICS_HASH)
    except RsaMismatch:
        raise InvalidSignature(Reason.NO_MATCH) from None


def sign(fields: Mapping[str, str], private_key: RSAPrivateKey) -> dict[str, str]:
    """The same fields, signed."""
    signature = private_key.sign(serialized(fields), PKCS1v15(), CLASSICS_HASH)
    unsigned = {name: value for name, value in fields.items() if name != FIELD}
    return {**unsigned, FIELD: base64.b64encode(signature).decode("ascii")}


def serialized(fields: Mapping[str, str]) -> bytes:
    """What is signed: PHP's serialize() of all fields but the signature, by name in the order of its bytes.

    Lengths count bytes of UTF-8, and nothing is escaped.
    """
    pairs = sorted((name.encode(), value.encode()) for name, value in fields.items() if name != FIELD)
    inner = b"".join(_php_text(name) + _php_text(value) for name, value in pairs)
    return b"a:%d:{%s}" % (len(pairs), inner)


@lru_cache(maxsize=8)
def read_key(pem: str) -> RSAPublicKey:
    """The key that a PEM text holds."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, TypeError):
        raise NotAPublicKey("it is not a public key in PEM form") from None
    if not isinstance(key, RSAPublicKey):
        raise NotAPublicKey("it is a public key, but not one of RSA")
    return key


def _php_text(value: bytes) -> bytes:
    return b's:%d:"%s";' % (len(value), value)


def _text(part: bytes) -> str:
    try:
        text = unquote_to_bytes(part.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise NotAForm("is not UTF-8") from None
    if "\x00" in text:
        raise NotAForm("contains a NUL character")
    return text


def _signature(text: str) -> bytes:
    """The bytes of a signature; of the ways to write them in Base64 only the one that encoders write."""
    try:
        signature = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InvalidSignature(Reason.MALFORMED) from None
    if base64.b64encode(signature).decode("ascii") != text:
        raise InvalidSignature(Reason.MALFORMED)
    return signature
