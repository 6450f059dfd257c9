"""Takes secrets and personal data out of a vendor's words before they become an exception, a log line or a row."""

import re
from collections.abc import Iterable

LONGEST = 400
SHORTEST_PRIVATE = 3

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SPACES = re.compile(r"\s+")
_EMAIL = re.compile(r"[^\s@<>\"'(),;:=&?]+(?:@|%40)[^\s@<>\"'(),;:=&?]+", re.IGNORECASE)
_SECRETS = re.compile(
    r"pdl_[a-z]+_[A-Za-z0-9_+/]{8,}"  # Paddle's keys and webhook secrets
    r"|\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"
    r"|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*",  # JSON web tokens, which m3ter's tokens are
    re.IGNORECASE,
)


def safe(words: str, *, private: Iterable[str] = ()) -> str:
    """The words on one line of bounded length, without e-mail addresses, secrets, or any of the `private` texts."""
    line = _SPACES.sub(" ", _UNPRINTABLE.sub(" ", words[: 20 * LONGEST])).strip()
    line = _SECRETS.sub("[secret]", line)
    line = _EMAIL.sub("[e-mail]", line)
    for text in sorted(_worth_hiding(private), key=len, reverse=True):
        line = re.sub(re.escape(text), "[hidden]", line, flags=re.IGNORECASE)
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _worth_hiding(private: Iterable[str]) -> set[str]:
    texts = {_SPACES.sub(" ", text).strip() for text in private}
    return {text for text in texts if len(text) >= SHORTEST_PRIVATE}
