"""What every address of the REST API shares: one shape for all errors, strict bodies, limits."""

import gzip
import json
import logging
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from pytest_django import Settings
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integration_project import api_keys, urls
from integration_project.api import ApiView
from integration_project.api_docs import endpoint
from integration_project.api_keys import ANY_KEY
from integration_project.models import ApiKey

pytestmark = pytest.mark.django_db

NOWHERE = {
    "code": "not_found",
    "message": "There is nothing at this address. The addresses are listed under /api/docs/.",
    "fields": {},
}
INTERNAL = {
    "code": "internal",
    "message": "Something went wrong here, and it was not your request's fault. Try again later; the log holds the"
    " details.",
    "fields": {},
}


class ItemSerializer(serializers.Serializer[Any]):
    """One of many."""

    uid = serializers.CharField(max_length=5)
    amount = serializers.DecimalField(max_digits=20, decimal_places=5)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a combination that is no single field's fault."""
        if attrs["uid"] == "never":
            raise serializers.ValidationError("This cannot be.")
        return attrs


class BodySerializer(serializers.Serializer[Any]):
    """Many."""

    items = ItemSerializer(many=True)


class TakingView(ApiView):
    """Takes a body of two mebibytes at most."""

    body_limit = 2 << 20

    @endpoint(scope=ANY_KEY, tag="Test", operation_id="take", request=BodySerializer, answers={200: None})
    def post(self, request: Request) -> Response:
        """Say what was read."""
        return Response({"read": repr(self.read_object(request))})


class CheckingView(ApiView):
    """Lets a serializer check what was read; its body has the limit of most."""

    @endpoint(scope=ANY_KEY, tag="Test", operation_id="check", request=BodySerializer, answers={200: None})
    def post(self, request: Request) -> Response:
        """Check it."""
        body = BodySerializer(data=self.read_object(request))
        body.is_valid(raise_exception=True)
        return Response({"count": len(body.validated_data["items"])})


class BreakingView(ApiView):
    """Raises what it is asked to."""

    @endpoint(scope=ANY_KEY, tag="Test", operation_id="break", answers={200: None})
    def get(self, request: Request) -> Response:
        """Break."""
        raise {"404": Http404("row 7"), "500": IntegrityError("secret words")}[request.query_params["how"]]


def break_plainly(request: HttpRequest) -> HttpResponse:
    """Break outside everything that the API's views share."""
    raise IntegrityError("secret words")


urlpatterns = [
    *urls.urlpatterns,
    path("api/v1/take/", TakingView.as_view()),
    path("api/v1/check/", CheckingView.as_view()),
    path("api/v1/break/", BreakingView.as_view()),
    path("api/v1/plain-break/", break_plainly),
]
handler400, handler404, handler500 = urls.handler400, urls.handler404, urls.handler500


@pytest.fixture(autouse=True)
def these_addresses(settings: Settings) -> None:
    """Add the addresses of this test to the real ones."""
    settings.ROOT_URLCONF = __name__


@pytest.fixture
def caller() -> Client:
    """A client with a key."""
    made = api_keys.make("Tests", scopes=ApiKey.Scope.values, calls_per_minute=60_000)
    return Client(raise_request_exception=False, headers={"Authorization": f"Bearer {made.text}"})


def post(
    caller: Client, body: bytes, address: str = "take", content_type: str = "application/json", **headers: str
) -> Any:
    return caller.post(f"/api/v1/{address}/", data=body, content_type=content_type, headers=headers)


# --- Errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/api/v1/nowhere/", "/api/v1", "/api/", "/api/v2/", "/api/schema", "/api/v1//"])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_an_address_that_nobody_has_is_said_in_the_apis_shape(caller: Client, address: str, method: str) -> None:
    answer = getattr(Client(enforce_csrf_checks=True), method)(address)

    assert answer.status_code == 404
    assert answer.json() == NOWHERE
    assert answer["Cache-Control"] == "no-store"


def test_addresses_outside_the_api_keep_their_pages(caller: Client) -> None:
    answer = caller.get("/nowhere/")

    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


def test_a_row_that_is_not_there_says_nothing_of_rows(caller: Client) -> None:
    answer = caller.get("/api/v1/break/?how=404")

    assert answer.status_code == 404
    assert answer.json() == NOWHERE


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options", "trace"])
def test_a_method_that_an_address_does_not_take_is_named(caller: Client, method: str) -> None:
    answer = getattr(caller, method)("/api/v1/")

    assert answer.status_code == 405
    assert answer.json() == {
        "code": "method_not_allowed",
        "message": f"Method {method.upper()} not allowed. See /api/docs/.",
        "fields": {},
    }
    assert answer["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("address", ["/api/v1/break/?how=500", "/api/v1/plain-break/"])
def test_what_nobody_foresaw_is_logged_and_says_nothing_of_itself(
    caller: Client, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = caller.get(address)

    assert answer.status_code == 500
    assert answer.json() == INTERNAL
    (line, *_) = [line for line in caplog.records if line.exc_info]
    assert line.levelname == "ERROR"


def test_what_django_refuses_before_a_view_is_said_in_the_apis_shape(caller: Client, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["console.example"]

    answers = [caller.get(address, headers={"Host": "evil.example"}) for address in ("/api/v1/nowhere", "/admin/")]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].json() == {"code": "bad_request", "message": "The request could not be read.", "fields": {}}
    assert answers[1]["Content-Type"].startswith("text/html")


def test_every_field_that_is_wrong_is_named_by_its_path(caller: Client) -> None:
    body = {"items": [{"uid": "a", "amount": "1.5"}, {"uid": "abcdef", "amount": "x"}, {"uid": "never", "amount": 1}]}

    answer = post(caller, json.dumps(body).encode(), "check")

    assert answer.status_code == 400
    assert answer.json() == {
        "code": "invalid",
        "message": "3 fields are wrong. The first is items.1.uid: Ensure this field has no more than 5 characters.",
        "fields": {
            "items.1.uid": ["Ensure this field has no more than 5 characters."],
            "items.1.amount": ["A valid number is required."],
            "items.2": ["This cannot be."],
        },
    }


def test_one_field_that_is_wrong_is_named_in_the_sentence(caller: Client) -> None:
    answer = post(caller, b"{}", "check")

    assert answer.json() == {
        "code": "invalid",
        "message": "items: This field is required.",
        "fields": {"items": ["This field is required."]},
    }


# --- Bodies ----------------------------------------------------------------------------------------------------------


def test_numbers_are_read_exactly(caller: Client) -> None:
    answer = post(caller, b'{"a": 0.1, "b": 12345678901234567890.123456789, "c": 7}')

    expected = {"a": Decimal("0.1"), "b": Decimal("12345678901234567890.123456789"), "c": 7}
    assert answer.json() == {"read": repr(expected)}


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_announced_in_any_spelling(caller: Client, content_type: str) -> None:
    assert post(caller, b'{"a": 1}', content_type=content_type).status_code == 200


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (b" ", "body", "is not JSON."),
        (b"{", "body", "is not JSON."),
        (b'{"a": 1} {}', "body", "is not JSON."),
        (b'{"a": NaN}', "body", "is not JSON."),
        (b'{"a": -Infinity}', "body", "is not JSON."),
        (b"[1]", "body", "is not a JSON object."),
        (b"null", "body", "is not a JSON object."),
        (b'{"a": 1, "a": 2}', "a", "stands twice in one object."),
        ('{"a": "ü"}'.encode("latin-1"), "body", "is not UTF-8."),
        (b'\xef\xbb\xbf{"a": 1}', "body", "is not JSON."),
        (b'{"a": "\\u0000"}', "a", "contains a NUL character or half a character."),
        (b'{"a": "\\ud800"}', "a", "contains a NUL character or half a character."),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "body", "is nested more than 100 deep."),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "body", "is not JSON."),
        (b'{"a": ' + b"9" * 5000 + b"}", "body", "is not JSON."),
    ],
)
def test_what_is_no_strict_json_is_said(caller: Client, body: bytes, field: str, said: str) -> None:
    answer = post(caller, body)

    assert answer.status_code == 400
    found = answer.json()
    assert (found["code"], found["message"]) == ("invalid", f"{field}: {said}")
    assert found["fields"] == {field: [said]}


@pytest.mark.parametrize(
    ("content_type", "given"),
    [
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
        ("text/json", "text/json"),
        ("multipart/form-data; boundary=x", "multipart/form-data"),
        ("", "a body without one"),
    ],
)
def test_another_kind_of_body_is_refused_with_the_one_that_is_taken(
    caller: Client, content_type: str, given: str
) -> None:
    answer = post(caller, b'{"a": 1}', content_type=content_type)

    assert answer.status_code == 415
    assert answer.json() == {
        "code": "unsupported_media_type",
        "message": f"Send Content-Type: application/json; this was {given}.",
        "fields": {},
    }


def test_a_packed_body_is_unpacked(caller: Client) -> None:
    answer = post(caller, gzip.compress(b'{"a": 1}'), **{"Content-Encoding": "gzip"})

    assert answer.json() == {"read": "{'a': 1}"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"a": 1}', "is not gzip, though its Content-Encoding says so."),
        (gzip.compress(b'{"a": 1}', mtime=0)[:-4], "is not one whole gzip file."),
        (gzip.compress(b'{"a": 1}', mtime=0) * 2, "is not one whole gzip file."),
        (gzip.compress(b"{", mtime=0), "is not JSON."),
    ],
)
def test_a_body_that_is_packed_wrongly_is_said(caller: Client, body: bytes, said: str) -> None:
    answer = post(caller, body, **{"Content-Encoding": "gzip"})

    assert answer.status_code == 400
    assert answer.json()["message"] == f"body: {said}"


def test_another_packing_is_refused_with_the_one_that_is_taken(caller: Client) -> None:
    answer = post(caller, b"x", **{"Content-Encoding": "br"})

    assert answer.status_code == 415
    assert answer["Accept-Encoding"] == "gzip"
    assert answer.json() == {
        "code": "unsupported_encoding",
        "message": "Send the body as it is, or with Content-Encoding: gzip.",
        "fields": {},
    }


def body_of(size: int) -> bytes:
    return b'{"a": "' + b"x" * (size - 9) + b'"}'


@pytest.mark.parametrize(("address", "limit", "words"), [("take", 2 << 20, "2 MiB"), ("check", 1 << 20, "1 MiB")])
@pytest.mark.parametrize("packed", [False, True])
def test_each_address_has_its_own_limit(caller: Client, address: str, limit: int, words: str, packed: bool) -> None:
    headers = {"Content-Encoding": "gzip"} if packed else {}
    fits, beyond = (gzip.compress(body_of(size)) if packed else body_of(size) for size in (limit, limit + 1))

    answers = [post(caller, body, address, **headers) for body in (fits, beyond)]

    assert [answer.status_code for answer in answers] == [200 if address == "take" else 400, 413]
    assert answers[1].json() == {"code": "too_large", "message": f"The body is larger than {words}.", "fields": {}}


def test_a_small_body_that_unpacks_to_a_large_one_is_not_unpacked_to_its_end(caller: Client) -> None:
    bomb = gzip.compress(b"\0" * (200 << 20))
    assert len(bomb) < 1 << 20

    assert post(caller, bomb, **{"Content-Encoding": "gzip"}).status_code == 413


@pytest.mark.parametrize(("size", "status"), [(100, 200), (2 << 20, 200), ((2 << 20) + 1, 413)])
def test_a_body_without_its_length_is_read_as_far_as_the_limit(caller: Client, size: int, status: int) -> None:
    made = api_keys.make("Chunks", scopes=ApiKey.Scope.values)
    request = RequestFactory().post("/", headers={"Authorization": f"Bearer {made.text}"})
    stream = BytesIO(body_of(size))
    request.META.update({"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": ""})
    request.META.update({"wsgi.input": stream, "wsgi.input_terminated": True})

    assert TakingView.as_view()(request).status_code == status


def test_an_answer_is_json_whatever_the_client_accepts(caller: Client) -> None:
    answer = caller.get("/api/v1/", headers={"Accept": "text/html"})

    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
