"""Alerts: what Classic posts as a signed form, to the account's address and into its history."""

import base64
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from integration_project.vendors.paddle_classic.simulator import guesses

CLASSICS_HASH = SHA1()  # noqa: S303  # nosec B303
"""Paddle Classic signs with this one and no other."""
KEY_BITS = 2048
"""Half of what Paddle's keys have: enough for a simulator, and made in a moment."""
NUMBERS = frozenset(
    {"alert_id", "subscription_id", "subscription_plan_id", "old_subscription_plan_id", "user_id", "quantity"}
)


@cache
def sample_key() -> RSAPrivateKey:
    """The key of every simulated account of this process, made when it is first needed and kept nowhere."""
    return generate_private_key(public_exponent=65537, key_size=KEY_BITS)


def public_pem(key: RSAPrivateKey) -> str:
    """The half that the account's dashboard shows."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def signed_body(fields: Mapping[str, str], key: RSAPrivateKey) -> bytes:
    """The form of an alert, with its signature last.

    Written down apart from the application's own verifier, so that one of the two can be wrong.
    """
    text = "".join(_php(name) + _php(fields[name]) for name in sorted(fields, key=str.encode))
    signature = key.sign(f"a:{len(fields)}:{{{text}}}".encode(), PKCS1v15(), CLASSICS_HASH)
    return urlencode({**fields, "p_signature": base64.b64encode(signature).decode("ascii")}).encode("ascii")


def schedule(failures: int) -> float | None:
    """Seconds to wait after so many failed attempts."""
    return guesses.RETRIES[failures - 1] if failures <= len(guesses.RETRIES) else None


def in_history(fields: Mapping[str, str]) -> dict[str, Any]:
    """The fields of an alert as its history shows them."""
    return {name: int(text) if name in NUMBERS and text.isdigit() else text for name, text in fields.items()}


def _php(text: str) -> str:
    return f's:{len(text.encode())}:"{text}";'
