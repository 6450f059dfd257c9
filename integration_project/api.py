"""What every address of the REST API shares: a key lets in, a body is strict JSON, every error has one shape."""

import logging
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import status
from rest_framework.exceptions import (
    APIException,
    MethodNotAllowed,
    NotFound,
    PermissionDenied,
    UnsupportedMediaType,
    ValidationError,
)
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView, set_rollback

from integration_project import api_keys, webhooks
from integration_project.models import ApiKey

logger = logging.getLogger(__name__)

ROOT = "/api/"
JSON = "application/json"
METHODS = ("get", "post", "put", "patch", "delete")
HEADERS = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
"""Of every answer: nothing is kept on the way, and a browser that shows it loads and runs nothing."""
LONGEST_TYPE = 100
GZIP = 16 + zlib.MAX_WBITS
WHOLE = "body"
"""The name under which an error stands that is about no single field."""
INTERNAL = "Something went wrong here, and it was not your request's fault. Try again later; the log holds the details."
NOWHERE = "There is nothing at this address. The addresses are listed under /api/docs/."
FORBIDDEN = "This API key may not do that."
UNREADABLE = "The request could not be read."


# --- Errors ----------------------------------------------------------------------------------------------------------


def error_body(code: str, message: str, fields: Mapping[str, list[str]] | None = None) -> dict[str, Any]:
    """Write an error as all of the API does: a code for programs, a sentence for people, what is wrong where."""
    return {"code": code, "message": message, "fields": dict(fields or {})}


def answer_error(error: Exception, context: Mapping[str, Any]) -> Response:
    """Answer whatever a view raised; what nobody foresaw is logged, and says nothing of itself."""
    set_rollback()
    known = _known(error)
    if known is None:
        view = type(context.get("view")).__name__
        logger.error("An unforeseen error in %s: %s", view, type(error).__name__, exc_info=error)
        return Response(error_body("internal", INTERNAL), status=status.HTTP_500_INTERNAL_SERVER_ERROR)
    return Response(_body_of(known), status=known.status_code, headers=_headers_of(known))


def _known(error: Exception) -> APIException | None:
    match error:
        case APIException():
            return error
        case Http404():
            return NotFound(NOWHERE)
        case DjangoPermissionDenied():
            return PermissionDenied(FORBIDDEN)
        case _:
            return None


def _body_of(error: APIException) -> dict[str, Any]:
    if isinstance(error, ValidationError):
        fields = _fields(error.detail)
        return error_body("invalid", _in_a_sentence(fields), fields)
    if isinstance(error, MethodNotAllowed):
        return error_body("method_not_allowed", f"{_unquoted(error)} See {ROOT}docs/.")
    return error_body(str(error.get_codes()), str(error.detail))


def _unquoted(error: APIException) -> str:
    return str(error.detail).replace('"', "")


def _headers_of(error: APIException) -> dict[str, str]:
    headers = {}
    if challenge := getattr(error, "challenge", None) or getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(wait)
    if isinstance(error, UnknownEncoding):
        headers["Accept-Encoding"] = "gzip"
    return headers


def _fields(detail: Any, place: str = "") -> dict[str, list[str]]:
    """Write what a serializer says as one table: the path of each field, and what is wrong there."""
    if isinstance(detail, Mapping):
        parts = [(str(name), part) for name, part in detail.items()]
    elif isinstance(detail, list) and not all(isinstance(part, str) for part in detail):
        parts = [(str(position), part) for position, part in enumerate(detail)]
    else:
        texts = detail if isinstance(detail, list) else [detail]
        return {place or WHOLE: [str(text) for text in texts]}
    found: dict[str, list[str]] = {}
    for name, part in parts:
        inner = place if name == api_settings.NON_FIELD_ERRORS_KEY else f"{place}.{name}".lstrip(".")
        found |= _fields(part, inner) if part else {}
    return found


def _in_a_sentence(fields: Mapping[str, list[str]]) -> str:
    place, texts = next(iter(fields.items()), (WHOLE, ["is wrong."]))
    first = f"{place}: {texts[0]}"
    return first if len(fields) <= 1 else f"{len(fields)} fields are wrong. The first is {first}"


# --- Bodies ----------------------------------------------------------------------------------------------------------


class UnknownEncoding(APIException):
    """The body is packed in a way that nobody here unpacks."""

    status_code = status.HTTP_415_UNSUPPORTED_MEDIA_TYPE
    default_detail = "Send the body as it is, or with Content-Encoding: gzip."
    default_code = "unsupported_encoding"


class JsonObjects(BaseParser):
    """Tells the OpenAPI document what bodies are. Parses none: `request.data` takes a body without length for empty."""

    media_type = JSON


def read_object(request: Request, *, limit: int) -> dict[str, Any]:
    """Read a body: one JSON object in UTF-8, numbers exact, no name twice, gzip or not, within the limit."""
    kind = (request.content_type or "").partition(";")[0].strip().lower()
    if kind != JSON:
        given = kind[:LONGEST_TYPE] or "a body without one"
        raise UnsupportedMediaType(kind, detail=f"Send Content-Type: {JSON}; this was {given}.")
    body = webhooks.raw_body(request, limit=limit)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding == "gzip":
        body = _unpacked(body, limit)
    elif encoding not in {"", "identity"}:
        raise UnknownEncoding
    return webhooks.parse_object(body)[0]


def _unpacked(body: bytes, limit: int) -> bytes:
    """Unpack gzip as far as the limit, so that a small body cannot become a large one."""
    packed = zlib.decompressobj(GZIP)
    try:
        plain = packed.decompress(body, limit + 1)
    except zlib.error:
        webhooks.refuse(WHOLE, "is not gzip, though its Content-Encoding says so")
    if len(plain) > limit:
        raise webhooks.too_large(limit)
    if not packed.eof or packed.unused_data:
        webhooks.refuse(WHOLE, "is not one whole gzip file")
    return plain


# --- Views -----------------------------------------------------------------------------------------------------------


class ApiView(APIView):
    """An address of the REST API. Its methods declare what they need, and read a body with `read_object`.

    `request.auth` is the key and `request.user.name` its client. Each call of a good key counts, whatever comes of it.
    """

    authentication_classes = (api_keys.ApiKeyAuthentication,)
    permission_classes = (api_keys.HasScope,)
    parser_classes = (JsonObjects,)
    content_negotiation_class = webhooks.FirstRenderer
    http_method_names = [*METHODS, "head"]
    body_limit = webhooks.MEBIBYTE

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse to be written without saying who may."""
        super().__init_subclass__(**kwargs)
        silent = [name for name in METHODS if hasattr(cls, name) and api_keys.scope_of(getattr(cls, name)) is None]
        if silent:
            raise TypeError(f"{cls.__name__}.{silent[0]} declares no scope")

    def read_object(self, request: Request) -> dict[str, Any]:
        """Read the body's JSON object; also of a body that came without its length."""
        return read_object(request, limit=self.body_limit)

    def perform_authentication(self, request: Request) -> None:
        """Find out who calls, and count the call before anything else is asked."""
        super().perform_authentication(request)
        if isinstance(request.auth, ApiKey):
            api_keys.count_call(request.auth)

    def get_exception_handler(self) -> Callable[..., Response]:
        """Answer errors in the API's shape."""
        return answer_error

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Put the API's headers on every answer."""
        final = super().finalize_response(request, response, *args, **kwargs)
        for name, value in HEADERS.items():
            final.headers.setdefault(name, value)
        return final


# --- Errors outside any view -----------------------------------------------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django refuses before a view; in the API's shape under its addresses."""
    if not request.path.startswith(ROOT):
        return defaults.bad_request(request, exception)
    return _plain("bad_request", UNREADABLE, status.HTTP_400_BAD_REQUEST)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address that nobody has; in the API's shape under its addresses."""
    if not request.path.startswith(ROOT):
        return defaults.page_not_found(request, exception)
    return _plain("not_found", NOWHERE, status.HTTP_404_NOT_FOUND)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what went wrong around a view; in the API's shape under its addresses."""
    if not request.path.startswith(ROOT):
        return defaults.server_error(request)
    return _plain("internal", INTERNAL, status.HTTP_500_INTERNAL_SERVER_ERROR)


def _plain(code: str, message: str, status_code: int) -> HttpResponse:
    return JsonResponse(error_body(code, message), status=status_code, headers=HEADERS)
