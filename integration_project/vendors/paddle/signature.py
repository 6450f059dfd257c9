"""Verifies, and for simulators and tests makes, the signature of a Paddle Billing notification.

`Paddle-Signature: ts=<unix seconds>;h1=<hex>` signs "<ts>:<raw body>" with HMAC-SHA256 under the whole secret.
"""

import enum
import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime

_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class Reason(enum.StrEnum):
    """Why a signature was refused; also the name it is counted under."""

    MISSING = "missing header"
    MALFORMED = "malformed header"
    TOO_OLD = "too old"
    TOO_NEW = "too new"
    NO_MATCH = "no secret matched"


class InvalidSignature(Exception):
    """The notification is not proved to be Paddle's, or not to be of now."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def verify(*, body: bytes, header: str | None, secrets: Sequence[str], now: datetime, tolerance: int) -> None:
    """Raise InvalidSignature unless any `h1` was made with any of the secrets, within `tolerance` seconds of now.

    The clock is checked both ways, unlike in Paddle's own kits: a stamp from the future would stay valid too long.
    """
    if not header:
        raise InvalidSignature(Reason.MISSING)
    stamp, candidates = _parse(header)
    age = now.timestamp() - int(stamp)
    if age > tolerance:
        raise InvalidSignature(Reason.TOO_OLD)
    if age < -tolerance:
        raise InvalidSignature(Reason.TOO_NEW)
    expected = [_digest(body, secret=secret, stamp=stamp) for secret in secrets if secret]
    matches = [hmac.compare_digest(digest, candidate) for digest in expected for candidate in candidates]
    if not any(matches):
        raise InvalidSignature(Reason.NO_MATCH)


def sign(body: bytes, secret: str, at: datetime) -> str:
    """Make the header for a body sent at that moment."""
    stamp = str(int(at.timestamp()))
    return f"ts={stamp};h1={_digest(body, secret=secret, stamp=stamp).decode('ascii')}"


def _parse(header: str) -> tuple[str, list[bytes]]:
    """Take the header apart: exactly one numeric ts, at least one h1; keys we do not know are left alone."""
    parts = [part.strip().partition("=") for part in header.split(";")]
    stamps = [value for key, _, value in parts if key == "ts"]
    candidates = [value.encode("utf-8", "replace") for key, _, value in parts if key == "h1" and value]
    if len(stamps) != 1 or not _TIMESTAMP.fullmatch(stamps[0]) or not candidates:
        raise InvalidSignature(Reason.MALFORMED)
    return stamps[0], candidates


def _digest(body: bytes, *, secret: str, stamp: str) -> bytes:
    message = stamp.encode("ascii") + b":" + body
    return hmac.new(secret.encode("utf-8"), message, hashlib.sha256).hexdigest().encode("ascii")
