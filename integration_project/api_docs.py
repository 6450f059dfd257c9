"""The OpenAPI document of the REST API, its pages, and what a view's method says to be in them."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers

from integration_project import api_keys
from integration_project.api import JSON, ApiView

Handler = TypeVar("Handler", bound=Callable[..., Any])
Endpoint = tuple[str, str, str, Callable[..., Any]]

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing from outside and no script in the page itself; only the viewer's own styles are written inline."""
ERRORS: Mapping[int, str] = {
    400: "The request cannot be read, or something in it is wrong; `fields` says what.",
    401: "No key, or one that lets nobody in: `key_missing`, `key_malformed`, `key_unknown`, `key_revoked`,"
    " `key_expired`.",
    403: "The key lacks the scope.",
    404: "There is no such thing.",
    405: "The address does not take this method.",
    409: "It cannot be done as things stand.",
    411: "The request does not say how long its body is.",
    413: "The body is larger than this address takes.",
    415: "The body is not JSON where that is expected, or a form with a file in it, or not packed with gzip alone.",
    422: "It was not taken, and nothing of it is kept.",
    429: "The key's calls of this minute are used up.",
    500: "A fault of this service.",
    503: "It cannot be done just now.",
}
OF_ALL = (401, 405, 429, 500)
OF_A_SCOPE = (403,)
OF_A_BODY = (400, 413, 415)
ERROR_HEADERS = (
    OpenApiParameter(
        "WWW-Authenticate", OpenApiTypes.STR, OpenApiParameter.HEADER, response=[401, 403], description="What is asked."
    ),
    OpenApiParameter(
        "Retry-After",
        OpenApiTypes.INT,
        OpenApiParameter.HEADER,
        response=[429],
        description="Whole seconds until the next call is free.",
    ),
)


class ErrorSerializer(serializers.Serializer[Any]):
    """Every error of the API."""

    code = serializers.CharField(help_text="For programs; it does not change.")
    message = serializers.CharField(help_text="A sentence for people: what is wrong, and what to do.")
    fields = serializers.DictField(  # type: ignore[assignment]  # the name is the API's, and is only described here
        child=serializers.ListField(child=serializers.CharField()),
        help_text="What is wrong where: the path of a field, such as `items.3.ts`, and sentences about it.",
    )


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the document says that a key is needed."""

    target_class = "integration_project.api_keys.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Describe the header."""
        words = f"A key of this service, which begins with `{api_keys.PREFIX}`; people make keys in its console."
        return {"type": "http", "scheme": "bearer", "description": words}


def endpoint(
    *,
    scope: str,
    tag: str,
    operation_id: str,
    answers: Mapping[Any, Any],
    request: Any = None,
    errors: Sequence[int] = (),
    parameters: Sequence[OpenApiParameter] = (),
) -> Callable[[Handler], Handler]:
    """Say of a view's method what its key needs, and what the document tells: its docstring, answers and errors.

    `request` is a serializer of JSON, or a table of content types. Errors that all have, those of a scope and those
    of a body are added; `errors` names what else may happen.
    """

    def declare(handler: Handler) -> Handler:
        said = (handler.__doc__ or "").strip()
        needed = "Needs any key that works." if scope == api_keys.ANY_KEY else f"Needs the scope `{scope}`."
        expected = {
            *OF_ALL,
            *(OF_A_SCOPE if scope != api_keys.ANY_KEY else ()),
            *(OF_A_BODY if request is not None else ()),
            *errors,
        }
        described = extend_schema(
            operation_id=operation_id,
            summary=said.partition("\n")[0].rstrip("."),
            description=f"{said}\n\n{needed}",
            tags=[tag],
            request=None if request is None else request if isinstance(request, Mapping) else {JSON: request},
            responses={
                **answers,
                **{code: OpenApiResponse(ErrorSerializer, description=ERRORS[code]) for code in sorted(expected)},
            },
            parameters=[*parameters, *ERROR_HEADERS],
        )
        declared: Handler = api_keys.needs(scope)(described(handler))
        return declared

    return declare


def only_of_the_api(endpoints: list[Endpoint], **kwargs: Any) -> list[Endpoint]:
    """Leave out of the document what is no address of the REST API: webhooks have contracts of their own."""
    return [each for each in endpoints if issubclass(getattr(each[3], "cls", object), ApiView)]


@cache
def document() -> dict[str, Any]:
    """Make the OpenAPI document, once a process: it says the same to everybody."""
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return made


@cache
def _document_in_json() -> bytes:
    return bytes(OpenApiJsonRenderer().render(document()))


@require_safe
def show_document(request: HttpRequest) -> HttpResponse:
    """`GET /api/schema/`: the OpenAPI document."""
    return HttpResponse(_document_in_json(), content_type=JSON, headers={"Content-Security-Policy": PAGE_POLICY})


@require_safe
@never_cache
def show_pages(request: HttpRequest) -> HttpResponse:
    """`GET /api/docs/`: the document to read and try, without asking anybody outside."""
    page = render(request, "api/docs.html")
    page["Content-Security-Policy"] = PAGE_POLICY
    page["Referrer-Policy"] = "no-referrer"
    return page
