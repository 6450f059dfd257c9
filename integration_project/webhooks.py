"""What every webhook address does before it believes a byte: method, size, strict JSON, a count of what it refused."""

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F
from django.http import HttpRequest
from django.http.request import UnreadablePostError
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from integration_project import clock
from integration_project.models import WebhookRefusal

logger = logging.getLogger(__name__)

SUSPECT_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
"""Escapes of JSON that may stand for NUL, or for half a character: neither can be stored."""
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
LONGEST_PATH = 200
MEBIBYTE = 1 << 20
DEEPEST = 100
"""Deepest nesting taken. Vendors nest less than twenty deep; pages that show a body must not run out of stack."""


class BodyTooLarge(APIException):
    """The request's body is larger than any webhook's."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is larger than 1 MiB."
    default_code = "too_large"


class NotConfigured(APIException):
    """This address has no secret yet, so nobody can be believed."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "This address is not configured."
    default_code = "not_configured"


class FirstRenderer(BaseContentNegotiation):
    """Answers in JSON whatever the sender says it accepts: a webhook is not refused over a header."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        """Give the first parser; webhook views read the raw body."""
        return next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Give the first renderer."""
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or ""


class WebhookView(APIView):
    """An address that a vendor posts to: POST only, any content type, the wrong method refused before all else."""

    http_method_names = ["post"]
    permission_classes = ()
    content_negotiation_class = FirstRenderer

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse other methods before asking who is calling."""
        if request.method != "POST":
            self.http_method_not_allowed(request)
        super().initial(request, *args, **kwargs)


def raw_body(request: Request | HttpRequest, *, limit: int | None = None) -> bytes:
    """The body's bytes as they came; what announces itself as larger than the limit is not read at all.

    The limit is a webhook's unless another is given, of at most DATA_UPLOAD_MAX_MEMORY_SIZE.
    """
    most = settings.REQUEST_BODY_LIMIT if limit is None else limit
    try:
        announced = int(request.headers.get("content-length") or 0)
    except ValueError:
        announced = 0
    if announced > most:
        raise too_large(limit)
    try:
        if not announced:
            _take_in_chunks(request, limit=limit)
        body: bytes = request.body
    except (UnreadablePostError, OSError):
        refuse("body", "could not be read to its end")
    return body


def too_large(limit: int | None) -> BodyTooLarge:
    """Say which limit a body is beyond; without one it is that of webhooks."""
    return BodyTooLarge() if limit is None else BodyTooLarge(f"The body is larger than {limit / MEBIBYTE:g} MiB.")


def parse_object(body: bytes) -> tuple[dict[str, Any], str]:
    """The JSON object a body holds, and its text; ValidationError names the field that is wrong.

    Stricter than JSON: no name twice in one object, nothing that cannot be stored as text.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        refuse("body", "is not UTF-8")
    if "\x00" in text:
        refuse("body", "contains a NUL character")
    try:
        value = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_float=Decimal, parse_constant=_refuse_constant
        )
    except _Duplicate as duplicate:
        refuse(_printable(str(duplicate)), "stands twice in one object")
    except (ValueError, ArithmeticError, RecursionError):
        refuse("body", "is not JSON")
    if not isinstance(value, dict):
        refuse("body", "is not a JSON object")
    if text.count("[") + text.count("{") > DEEPEST and _is_deep(value):
        refuse("body", f"is nested more than {DEEPEST} deep")
    if SUSPECT_ESCAPE.search(text):
        _check_texts(value)
    return value, text


def refuse(field: str, problem: str) -> NoReturn:
    """Answer 400 and name the field."""
    raise ValidationError({field: [f"{problem}."]})


def count_refusal(source: str, reason: str) -> None:
    """Count one more refused request; one that cannot be counted is refused all the same."""
    try:
        _count_refusal(source, reason)
    except DatabaseError as error:
        logger.warning("A refused request of %s (%s) could not be counted: %s", source, reason, error)


def _count_refusal(source: str, reason: str) -> None:
    """Count it; nothing of the request itself is kept."""
    now = clock.now()
    today = WebhookRefusal.objects.filter(source=source, reason=reason, day=now.date())
    one_more = {"count": F("count") + 1, "last_at": now}
    if today.update(**one_more):
        return
    try:
        with transaction.atomic():
            WebhookRefusal.objects.create(source=source, reason=reason, day=now.date(), count=1, last_at=now)
    except IntegrityError:  # somebody else was the first of the day
        today.update(**one_more)


class _Duplicate(Exception):
    """A name stands twice in one object, so two readers could understand two things."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _Duplicate(name)
            seen.add(name)
    return result


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _take_in_chunks(request: Request | HttpRequest, *, limit: int | None) -> None:
    """Read a body without a length, where the server says that it ends by itself; Django takes it for empty."""
    plain = request._request if isinstance(request, Request) else request
    environ = plain.META
    if "_body" in vars(plain) or environ.get("CONTENT_LENGTH") or not environ.get("wsgi.input_terminated"):
        return
    stream, body = environ["wsgi.input"], bytearray()
    most = settings.REQUEST_BODY_LIMIT if limit is None else limit
    while chunk := stream.read(most + 1 - len(body)):
        body += chunk
        if len(body) > most:
            raise too_large(limit)
    plain._body = bytes(body)


def _is_deep(value: dict[str, Any]) -> bool:
    """Go down level by level."""
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        inner = [part for holder in level for part in (holder.values() if isinstance(holder, dict) else holder)]
        level = [part for part in inner if isinstance(part, dict | list)]
        if not level:
            return False
    return True


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a part of a body stands; written out only when something is wrong there."""

    name: str | int
    holder: "_Place | None"

    def __str__(self) -> str:
        names: list[str] = []
        place: _Place | None = self
        while place is not None:
            names.append(str(place.name))
            place = place.holder
        return ".".join(reversed(names))


def _check_texts(value: dict[str, Any]) -> None:
    """Find the text that holds a NUL or half a character, and name its place."""
    waiting: list[tuple[_Place | None, Any]] = [(None, value)]
    while waiting:
        place, part = waiting.pop()
        if isinstance(part, str) and UNSTORABLE.search(part):
            refuse(_printable(str(place)), "contains a NUL character or half a character")
        if isinstance(part, dict):
            for name, inner in part.items():
                if UNSTORABLE.search(name):
                    refuse(_printable(str(place or "body")), "has a name with a NUL character or half a character")
                waiting.append((_Place(name, place), inner))
        if isinstance(part, list):
            waiting.extend((_Place(position, place), inner) for position, inner in enumerate(part))


def _printable(path: str) -> str:
    return "".join(letter for letter in path if letter.isprintable())[:LONGEST_PATH] or "body"
