"""Keys of the REST API's clients: making them, recognising one, what it may be used for, how often it may call.

A key is as random as it is long, so its plain SHA-256 tells nothing of it, and the hash is what it is found by. The key
itself is in the answer that makes it, and in the requests of its client; never in the database, a log or an address.
"""

import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q
from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from integration_project import budgets, clock
from integration_project.errors import NotPossible
from integration_project.models import ApiKey

PREFIX = "pm3key_"
"""What every key begins with, so that scanners find one that was committed or pasted, and our logs mask it."""
RANDOM_BYTES = 32
SHOWN = len(PREFIX) + 6
"""Letters of a key that are kept and shown; what is left is beyond all guessing."""
KEY = re.compile(PREFIX + r"[A-Za-z0-9_-]{43,100}")
ANY_KEY = ""
"""The scope of what every key may do."""
LAST_USE_STEP = timedelta(minutes=1)
AT_ONCE = 6
"""This part of a minute's calls may come at once: those of ten seconds."""
REALM = 'Bearer realm="API"'

Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True)
class MadeKey:
    """A key that was just made, with the text that nobody will see again."""

    row: ApiKey
    text: str = field(repr=False)


@dataclass(frozen=True)
class ApiClient:
    """Who calls: DRF's user of a request, whose `auth` is the key itself."""

    name: str
    is_authenticated: bool = True


# --- A key's life ----------------------------------------------------------------------------------------------------


def make(
    client: str,
    *,
    scopes: Collection[str],
    by: str = "",
    calls_per_minute: int = 600,
    expires_at: datetime | None = None,
    replaces: ApiKey | None = None,
) -> MadeKey:
    """Make a key for a client; its text is in what this gives, and nowhere else."""
    row = ApiKey(
        client=client,
        scopes=list(scopes),
        calls_per_minute=calls_per_minute,
        made_by=_person(by),
        replaces=replaces,
        expires_at=expires_at,
    )
    return save_with_key(row)


def save_with_key(row: ApiKey) -> MadeKey:
    """Draw the key of a new row, and save of it what may be kept; of its scopes those of the list, each once."""
    text = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    row.scopes = [scope for scope in ApiKey.Scope.values if scope in row.scopes]
    row.prefix, row.digest, row.made_at = text[:SHOWN], digest_of(text), clock.now()
    row.save(force_insert=True)
    return MadeKey(row, text)


def revoke(key_id: int, *, by: str, reason: str) -> None:
    """Refuse the key from the next request on."""
    standing = ApiKey.objects.filter(pk=key_id, revoked_at=None)
    if not standing.update(revoked_at=clock.now(), revoked_by=_person(by)):
        raise NotPossible("It is revoked already.")


@transaction.atomic
def replace(
    key_id: int, *, by: str, reason: str, old_until: datetime | None = None, expires_at: datetime | None = None
) -> MadeKey:
    """Make another key for the same client and the same use; the old one works until a moment, or not any more."""
    old = ApiKey.objects.select_for_update().get(pk=key_id)
    if old.revoked_at is not None:
        raise NotPossible("It is revoked; make a new key for the client.")
    if ApiKey.objects.filter(replaces=old).exists():
        raise NotPossible("It was replaced already; replace the key that came after it.")
    if old_until is None:
        revoke(key_id, by=by, reason=reason)
    elif old.expires_at is not None and old.expires_at < old_until:
        raise NotPossible("The old key ends before that day; choose an earlier one.")
    else:
        ApiKey.objects.filter(pk=key_id).update(expires_at=old_until)
    return make(
        old.client,
        scopes=old.scopes,
        by=by,
        calls_per_minute=old.calls_per_minute,
        expires_at=expires_at,
        replaces=old,
    )


def digest_of(text: str) -> str:
    """Hash a key: this is what is kept of it."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_expired(key: ApiKey) -> bool:
    """Say whether the key's time is over, from the very moment on."""
    return key.expires_at is not None and key.expires_at <= clock.now()


def works(key: ApiKey) -> bool:
    """Say whether the key lets its client in now."""
    return key.revoked_at is None and not is_expired(key)


def _person(name: str) -> Any:
    return get_user_model().objects.filter(username=name).first() if name else None


# --- Who calls -------------------------------------------------------------------------------------------------------


class KeyRefused(AuthenticationFailed):
    """The request brings no key that lets it in: 401, and which of these it is."""

    SENTENCES = {
        "key_missing": "The request has no API key. Send the header Authorization: Bearer, a space, and the key.",
        "key_malformed": "The header Authorization holds no API key. It must be: Bearer, a space, and the whole key,"
        f" which begins with {PREFIX}.",
        "key_unknown": "This API key is not known here. Compare it with the one you were given, or ask for a new one.",
        "key_revoked": "This API key was revoked. Ask whoever runs this service for a new one.",
        "key_expired": "This API key has expired. Ask whoever runs this service for a new one.",
    }

    def __init__(self, code: str) -> None:
        super().__init__(self.SENTENCES[code], code)
        self.challenge = REALM if code == "key_missing" else f'{REALM}, error="invalid_token"'


class ScopeMissing(PermissionDenied):
    """The key is good, but not for this: 403, naming the scope."""

    def __init__(self, scope: str) -> None:
        words = f"This API key may not do that: it lacks the scope {scope}. Ask for a key that has it."
        super().__init__(words, "scope_missing")
        self.challenge = f'{REALM}, error="insufficient_scope", scope="{scope}"'


class TooManyCalls(APIException):
    """The key's calls of this minute are used up: 429, and when the next is free."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many_calls"

    def __init__(self, key: ApiKey, wait: float) -> None:
        self.wait = max(1, math.ceil(wait))
        seconds = f"{self.wait} second{'' if self.wait == 1 else 's'}"
        most = key.calls_per_minute
        super().__init__(f"This API key may make {most} calls a minute. Try again in {seconds}.")


class ApiKeyAuthentication(BaseAuthentication):
    """Believes a key in the header Authorization, and nothing else: no cookie, no session, no parameter."""

    def authenticate(self, request: Request) -> tuple[ApiClient, ApiKey]:
        """Find the key that the request brings."""
        key = find(request.headers.get("Authorization", ""))
        return ApiClient(key.client), key

    def authenticate_header(self, request: Request) -> str:
        """Name what we expect; DRF answers 401 instead of 403 because of it."""
        return REALM


def find(header: str) -> ApiKey:
    """Find the key that a header Authorization brings; KeyRefused where it lets nobody in."""
    scheme, _, text = header.strip().partition(" ")
    if not scheme:
        raise KeyRefused("key_missing")
    text = text.strip()
    if scheme.lower() != "bearer" or not KEY.fullmatch(text):
        raise KeyRefused("key_malformed")
    digest = digest_of(text)
    key = ApiKey.objects.filter(digest=digest).first()
    if key is None or not hmac.compare_digest(key.digest, digest):
        raise KeyRefused("key_unknown")
    if key.revoked_at is not None:
        raise KeyRefused("key_revoked")
    if is_expired(key):
        raise KeyRefused("key_expired")
    _note_use(key)
    return key


def _note_use(key: ApiKey) -> None:
    """Write down that the key was used, once a minute."""
    now = clock.now()
    if key.last_used_at is not None and key.last_used_at > now - LAST_USE_STEP:
        return
    seen_earlier = Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USE_STEP)
    ApiKey.objects.filter(seen_earlier, pk=key.pk).update(last_used_at=now)


# --- What it may, and how often --------------------------------------------------------------------------------------


def needs(scope: str) -> Callable[[Handler], Handler]:
    """Declare on a view's method which scope a key must have for it; ANY_KEY where each will do."""

    def declare(handler: Handler) -> Handler:
        handler.needed_scope = scope  # type: ignore[attr-defined]
        return handler

    return declare


def scope_of(handler: object) -> str | None:
    """Read what was declared; None where nothing was, and then nobody may."""
    scope: str | None = getattr(handler, "needed_scope", None)
    return scope


class HasScope(BasePermission):
    """Lets a key do what its scopes say; a method that declares no scope is open to none."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Compare the key's scopes with what the method declares."""
        method = (request.method or "").lower()
        handler = getattr(view, method, None) if method in view.http_method_names else None
        if handler is None:
            return True  # and is answered 405
        scope = scope_of(handler)
        if scope is None or not isinstance(request.auth, ApiKey):
            return False
        if scope != ANY_KEY and scope not in request.auth.scopes:
            raise ScopeMissing(scope)
        return True


def count_call(key: ApiKey) -> None:
    """Take one call out of the key's minute, which all processes share; TooManyCalls where none is left."""
    share = budgets.Share(rate=key.calls_per_minute / 60, capacity=max(1, key.calls_per_minute // AT_ONCE))
    wait = budgets.take_at_once(f"api key {key.pk}", share)
    if wait:
        raise TooManyCalls(key, wait)
