"""The OpenAPI document and its pages: valid, complete, true to what the addresses do, and nothing from outside."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from integration_project import api_docs, api_keys
from integration_project.api import ApiView
from integration_project.models import ApiKey

ITEM_BY_ITEM = {"post /api/v1/usage/measurements/": "422"}
"""Answers that say of each item what is wrong with it."""
RULES_BEYOND_THE_SCHEMA = {"POST /api/v1/usage/measurements/", "POST /api/v1/usage/files/"}
"""What these take depends on the meters, accounts and files there are, which no document can say."""
BODY_METHODS = {"post", "put", "patch"}
METHODS = {"get", "delete", *BODY_METHODS}


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every method of every address in the document."""
    for path, methods in api_docs.document()["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def api_methods(entries: Any, before: str = "/") -> Iterator[str]:
    """Every method of every address that a key opens, by the table of addresses itself."""
    for entry in entries:
        path = before + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(entry.pattern))
        if isinstance(entry, URLResolver):
            yield from api_methods(entry.url_patterns, path)
        elif isinstance(entry, URLPattern):
            view = getattr(entry.callback, "cls", object)
            if issubclass(view, ApiView):
                yield from (f"{method} {path}" for method in METHODS if hasattr(view, method))


def test_the_document_is_valid_openapi_and_made_without_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    validate_schema(api_docs.document())  # type: ignore[no-untyped-call]
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null")

    assert api_docs.document()["openapi"].startswith("3.")
    assert capsys.readouterr().err == ""


def test_the_document_names_every_address_of_the_api_and_no_other() -> None:
    assert sorted(name for name, _ in operations()) == sorted(api_methods(get_resolver().url_patterns))
    assert "get /api/v1/" in dict(operations())


def test_every_method_says_that_it_needs_a_key_and_which_errors_it_answers() -> None:
    wrong: dict[str, object] = {}
    for name, operation in operations():
        needs_scope = "Needs the scope" in operation["description"]
        expected = {"401", "405", "429", "500"} | ({"403"} if needs_scope else set())
        if "requestBody" in operation:
            expected |= {"400", "413", "415"}
        errors = {code for code in operation["responses"] if code >= "400"} - {ITEM_BY_ITEM.get(name)}
        shapes = {operation["responses"][code]["content"]["application/json"]["schema"].get("$ref") for code in errors}
        if not (expected <= errors and shapes == {"#/components/schemas/Error"}):
            wrong[name] = errors
        if operation["security"] != [{"apiKey": []}] or not operation["tags"] or not operation["summary"]:
            wrong[name] = operation

    assert wrong == {}


def test_the_document_tells_when_to_come_back_and_what_is_asked() -> None:
    (answers,) = (operation["responses"] for name, operation in operations() if name == "get /api/v1/")

    assert list(answers["429"]["headers"]) == ["Retry-After"]
    assert list(answers["401"]["headers"]) == ["WWW-Authenticate"]
    assert api_docs.document()["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"


def test_whoever_asks_gets_the_document_as_json() -> None:
    answers = [Client().get("/api/schema/", headers={"Accept": accept}) for accept in ("text/html", "application/json")]

    assert {answer.status_code for answer in answers} == {200}
    assert {answer["Content-Type"] for answer in answers} == {"application/json"}
    assert answers[0].json() == api_docs.document()
    assert not answers[0].cookies
    assert Client().post("/api/schema/").status_code == 405


def test_the_pages_ask_nobody_outside_and_run_nothing_of_their_own() -> None:
    answer = Client().get("/api/docs/")

    assert answer.status_code == 200
    assert not answer.cookies
    sources = re.findall(r'(?:src|href|data-schema)="([^"]+)"', answer.text)
    assert len(sources) == 6
    assert all(source.startswith("/") and not source.startswith("//") for source in sources)
    statics = [source.removeprefix("/static/") for source in sources if source.startswith("/static/")]
    assert [name for name in statics if finders.find(name) is None] == []
    assert re.findall(r"<script>|<style>|\son\w+=|\sstyle=|javascript:", answer.text) == []
    policy = dict(part.strip().partition(" ")[::2] for part in answer["Content-Security-Policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
    assert (policy["frame-ancestors"], policy["form-action"], policy["base-uri"]) == ("'none'",) * 3


def test_the_viewer_itself_names_nobody_outside() -> None:
    path = finders.find("console/api_docs.js")
    assert isinstance(path, str)

    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        script = file.read()

    assert "http" not in script
    assert "validatorUrl: null" in script  # else it asks validator.swagger.io about every document
    assert "persistAuthorization: false" in script


@pytest.fixture
def one_connection() -> Iterator[None]:
    """Keep a request from closing the connection that the test's transaction is on, as Django's own client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


DESCRIBED = schemathesis.openapi.from_dict(api_docs.document())
DESCRIBED.app = get_wsgi_application()
OPERATIONS: list[Any] = [found.ok() for found in DESCRIBED.get_all_operations() if isinstance(found, Ok)]


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_address_does_what_the_document_says(
    db: None, one_connection: None, operation: Any, mode: GenerationMode, data: st.DataObject
) -> None:
    case = data.draw(operation.as_strategy(generation_mode=mode))
    made = api_keys.make("Schemathesis", scopes=ApiKey.Scope.values)

    beyond = [positive_data_acceptance, negative_data_rejection] if operation.label in RULES_BEYOND_THE_SCHEMA else []
    case.call_and_validate(headers={"Authorization": f"Bearer {made.text}"}, excluded_checks=beyond)
