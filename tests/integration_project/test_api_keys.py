"""Keys of the REST API: who is let in, what a key may, how often, and that nobody finds it anywhere afterwards."""

import datetime as dt
import json
import logging
import re
import subprocess
import sys
import time
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from rest_framework.request import Request
from rest_framework.response import Response

from integration_project import api_keys, clock, logs
from integration_project.api import ApiView
from integration_project.api_docs import endpoint
from integration_project.api_keys import ANY_KEY, MadeKey
from integration_project.errors import NotPossible
from integration_project.models import ApiKey, CallBudget
from tests.kill.programs import ROOT, database_url

pytestmark = pytest.mark.django_db

ADDRESS = "/api/v1/"
Scope = ApiKey.Scope
MOMENT = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)


class SendView(ApiView):
    """Stands for the addresses that need a scope."""

    @endpoint(scope=Scope.USAGE_WRITE, tag="Usage", operation_id="send", answers={200: None})
    def post(self, request: Request) -> Response:
        """Take anything."""
        return Response({"client": request.user.name})  # type: ignore[union-attr]


def make_key(*scopes: str, **values: Any) -> MadeKey:
    return api_keys.make("Meter agents", scopes=scopes or (Scope.USAGE_WRITE,), **values)


def call(made: MadeKey | str, client: Client | None = None) -> Any:
    text = made if isinstance(made, str) else made.text
    return (client or Client()).get(ADDRESS, headers={"Authorization": f"Bearer {text}"})


def send(made: MadeKey) -> Response:
    request = RequestFactory().post("/", data={}, headers={"Authorization": f"Bearer {made.text}"})
    answer = SendView.as_view()(request)
    assert isinstance(answer, Response)
    return answer


# --- Who is let in ---------------------------------------------------------------------------------------------------


def test_a_key_lets_its_client_in_and_says_what_it_is() -> None:
    made = make_key(Scope.USAGE_READ, Scope.USAGE_WRITE)

    answer = call(made)

    assert answer.status_code == 200
    assert answer.json() == {
        "client": "Meter agents",
        "scopes": ["usage:write", "usage:read"],
        "environment": "sandbox",
    }
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_a_key_is_long_random_and_begins_as_scanners_and_logs_expect() -> None:
    texts = {make_key().text for _ in range(50)}

    assert len(texts) == 50
    assert all(re.fullmatch(r"pm3key_[A-Za-z0-9_-]{43}", text) for text in texts)


MISSING = "The request has no API key. Send the header Authorization: Bearer, a space, and the key."
MALFORMED = (
    "The header Authorization holds no API key. It must be: Bearer, a space, and the whole key, which begins with"
    " pm3key_."
)
UNKNOWN = "This API key is not known here. Compare it with the one you were given, or ask for a new one."


@pytest.mark.parametrize(
    ("header", "code", "message", "challenge"),
    [
        (None, "key_missing", MISSING, 'Bearer realm="API"'),
        ("", "key_missing", MISSING, 'Bearer realm="API"'),
        ("Bearer", "key_malformed", MALFORMED, 'Bearer realm="API", error="invalid_token"'),
        ("Bearer abc", "key_malformed", MALFORMED, 'Bearer realm="API", error="invalid_token"'),
        ("Basic pm3key_" + "a" * 43, "key_malformed", MALFORMED, 'Bearer realm="API", error="invalid_token"'),
        ("pm3key_" + "a" * 43, "key_malformed", MALFORMED, 'Bearer realm="API", error="invalid_token"'),
        ("Bearer pm3key_" + "ä" * 43, "key_malformed", MALFORMED, 'Bearer realm="API", error="invalid_token"'),
        ("Bearer pm3key_" + "a" * 42, "key_malformed", MALFORMED, 'Bearer realm="API", error="invalid_token"'),
        ("Bearer pm3key_" + "a" * 5000, "key_malformed", MALFORMED, 'Bearer realm="API", error="invalid_token"'),
        ("Bearer pm3key_" + "a" * 43, "key_unknown", UNKNOWN, 'Bearer realm="API", error="invalid_token"'),
    ],
)
def test_a_request_without_a_good_key_is_told_which_it_is_and_what_to_do(
    header: str | None, code: str, message: str, challenge: str
) -> None:
    make_key()

    answer = Client().get(ADDRESS, headers={} if header is None else {"Authorization": header})

    assert answer.status_code == 401
    assert answer.json() == {"code": code, "message": message, "fields": {}}
    assert answer["WWW-Authenticate"] == challenge
    assert answer["Cache-Control"] == "no-store"


def test_a_key_that_is_almost_right_is_as_unknown_as_any_other() -> None:
    made = make_key()
    almost = made.text[:-1] + ("a" if made.text[-1] != "a" else "b")

    answers = [call(almost).json(), call("pm3key_" + "x" * 43).json()]

    assert answers[0] == answers[1] == {"code": "key_unknown", "message": UNKNOWN, "fields": {}}


def test_the_word_bearer_is_read_in_any_case() -> None:
    made = make_key()

    answer = Client().get(ADDRESS, headers={"Authorization": f"bearer  {made.text} "})

    assert answer.status_code == 200


def test_a_key_is_refused_from_the_very_moment_it_expires() -> None:
    with time_machine.travel(MOMENT, tick=False) as time_of:
        made = make_key(expires_at=MOMENT + dt.timedelta(hours=1))
        time_of.move_to(MOMENT + dt.timedelta(minutes=59, seconds=59, microseconds=999_999))
        before = call(made)
        time_of.move_to(MOMENT + dt.timedelta(hours=1))
        after = call(made)

    assert before.status_code == 200
    assert after.status_code == 401
    assert after.json() == {
        "code": "key_expired",
        "message": "This API key has expired. Ask whoever runs this service for a new one.",
        "fields": {},
    }


def test_a_key_that_is_revoked_while_it_is_used_is_refused_from_the_next_call_on() -> None:
    made = make_key()
    before = call(made)
    api_keys.revoke(made.row.pk, by="", reason="It was committed.")

    after = call(made)

    assert before.status_code == 200
    assert after.status_code == 401
    assert after.json()["code"] == "key_revoked"
    assert after["WWW-Authenticate"] == 'Bearer realm="API", error="invalid_token"'


def test_neither_a_session_nor_a_parameter_lets_anybody_in(admin_client: Client) -> None:
    made = make_key()

    answers = [
        admin_client.get(ADDRESS).json()["code"],
        Client().get(f"{ADDRESS}?api_key={made.text}&access_token={made.text}").json()["code"],
        Client(headers={"X-API-Key": made.text}).get(ADDRESS).json()["code"],
    ]

    assert answers == ["key_missing"] * 3


def test_a_good_call_sets_no_cookie_and_needs_no_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)

    answer = call(make_key(), client)
    posted = client.post(ADDRESS, data={}, headers={"Authorization": f"Bearer {make_key().text}"})

    assert not answer.cookies
    assert posted.status_code == 405


def test_whoever_has_no_key_is_not_told_what_methods_there_are() -> None:
    assert Client().delete(ADDRESS).status_code == 401


# --- What it may -----------------------------------------------------------------------------------------------------


def test_a_key_without_the_scope_is_told_which_one_it_lacks() -> None:
    answer = send(make_key(Scope.USAGE_READ))

    assert answer.status_code == 403
    assert answer.data == {
        "code": "scope_missing",
        "message": "This API key may not do that: it lacks the scope usage:write. Ask for a key that has it.",
        "fields": {},
    }
    assert answer["WWW-Authenticate"] == 'Bearer realm="API", error="insufficient_scope", scope="usage:write"'


def test_a_key_with_the_scope_may() -> None:
    answer = send(make_key(Scope.USAGE_WRITE))

    assert answer.status_code == 200
    assert answer.data == {"client": "Meter agents"}


def test_a_view_that_declares_no_scope_cannot_be_written() -> None:
    with pytest.raises(TypeError, match=r"Forgetful\.get declares no scope"):

        class Forgetful(ApiView):
            def get(self, request: Request) -> Response:
                return Response({})


def test_a_method_whose_scope_was_lost_is_open_to_nobody() -> None:
    class Opened(ApiView):
        @api_keys.needs(ANY_KEY)
        def get(self, request: Request) -> Response:
            return Response({})

    del Opened.get.needed_scope  # type: ignore[attr-defined]
    request = RequestFactory().get("/", headers={"Authorization": f"Bearer {make_key().text}"})

    answer = Opened.as_view()(request)

    assert isinstance(answer, Response)
    assert answer.status_code == 403
    assert answer.data["code"] == "permission_denied"


def test_a_key_is_made_with_scopes_of_the_list_only() -> None:
    assert make_key("usage:read", "everything").row.scopes == ["usage:read"]


# --- How often -------------------------------------------------------------------------------------------------------


def refill(made: MadeKey, *, tokens: float, seconds: float) -> None:
    """Play that the key's bucket was last counted so many seconds ago, or is that much ahead of the clock."""
    bucket = CallBudget.objects.filter(vendor=f"api key {made.row.pk}")
    assert bucket.update(tokens=tokens, refilled_at=time.time() - seconds) == 1


def test_a_key_may_make_the_calls_of_ten_seconds_at_once() -> None:
    made = make_key(calls_per_minute=12)

    assert [call(made).status_code for _ in range(3)] == [200, 200, 429]


def test_a_key_that_calls_too_often_is_told_how_often_it_may_and_when_to_come_back() -> None:
    made = make_key(calls_per_minute=12)
    call(made)
    refill(made, tokens=0.0, seconds=-0.9)

    answer = call(made)

    assert answer.status_code == 429
    assert answer.json() == {
        "code": "too_many_calls",
        "message": "This API key may make 12 calls a minute. Try again in 5 seconds.",
        "fields": {},
    }
    assert answer["Retry-After"] == "5"
    assert "WWW-Authenticate" not in answer


def test_a_wait_is_rounded_up_to_a_whole_second() -> None:
    made = make_key(calls_per_minute=600)
    call(made)
    refill(made, tokens=0.0, seconds=-0.9)

    answer = call(made)

    assert answer["Retry-After"] == "1"
    assert answer.json()["message"].endswith("Try again in 1 second.")


def test_a_call_comes_free_again_with_time() -> None:
    made = make_key(calls_per_minute=1)
    call(made)
    refill(made, tokens=0.0, seconds=60.0)

    assert [call(made).status_code, call(made).status_code] == [200, 429]


def test_what_was_not_called_does_not_add_up_for_ever() -> None:
    made = make_key(calls_per_minute=12)
    call(made)
    refill(made, tokens=2.0, seconds=3600.0)

    assert [call(made).status_code for _ in range(3)] == [200, 200, 429]


def test_one_key_spends_nothing_of_another() -> None:
    first, second = make_key(calls_per_minute=1), make_key(calls_per_minute=1)
    call(first)

    assert [call(first).status_code, call(second).status_code] == [429, 200]


def test_calls_that_are_refused_for_their_scope_count_too() -> None:
    made = make_key(Scope.USAGE_READ, calls_per_minute=1)

    assert [send(made).status_code, send(made).status_code] == [403, 429]


CALLER = """
import sys
import time
import django
django.setup()
from django.test import Client
client = Client(headers={"Authorization": f"Bearer {sys.stdin.readline().strip()}"})
began = time.monotonic()
statuses = [client.get("/api/v1/").status_code for _ in range(20)]
print([statuses, began, time.monotonic()])
"""


@pytest.mark.django_db(transaction=True)
def test_two_processes_share_the_calls_of_a_key() -> None:
    made = make_key(calls_per_minute=1)
    environment = {
        "DJANGO_SETTINGS_MODULE": "integration_project.settings",
        "INTEGRATION_MODE": "test",
        "TEST_DATABASE_URL": database_url(),
        "PYTHONPATH": str(ROOT),
    }
    pipe = subprocess.PIPE

    callers = [
        subprocess.Popen([sys.executable, "-c", CALLER], cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)
        for _ in range(2)
    ]
    for caller in callers:
        assert caller.stdin is not None
        caller.stdin.write(f"{made.text}\n")
        caller.stdin.flush()
    said = [json.loads(caller.communicate(timeout=120)[0]) for caller in callers]

    lasted = max(end for _, _, end in said) - min(began for _, began, _ in said)
    statuses = [status for of_one, _, _ in said for status in of_one]
    assert len(statuses) == 40
    assert set(statuses) == {200, 429}
    assert statuses.count(200) <= 1 + lasted / 60


# --- When it was used ------------------------------------------------------------------------------------------------


def test_the_last_use_is_written_once_a_minute() -> None:
    with time_machine.travel(MOMENT, tick=False) as time_of:
        made = make_key()
        seen = []
        for seconds in (0, 1, 59, 60, 61):
            time_of.move_to(MOMENT + dt.timedelta(seconds=seconds))
            with CaptureQueriesContext(connection) as asked:
                call(made)
            wrote = any('UPDATE "integration_project_apikey"' in query["sql"] for query in asked.captured_queries)
            seen.append((wrote, ApiKey.objects.get().last_used_at))

    minute = dt.timedelta(minutes=1)
    assert seen == [(True, MOMENT), (False, MOMENT), (False, MOMENT), (True, MOMENT + minute), (False, MOMENT + minute)]


def test_a_call_asks_the_database_twice() -> None:
    made = make_key()
    call(made)

    with CaptureQueriesContext(connection) as asked:
        call(made)

    assert [query["sql"].split()[0] for query in asked.captured_queries] == ["SELECT", "UPDATE"]


def test_a_refused_key_leaves_no_trace_of_a_use() -> None:
    made = make_key(expires_at=clock.now())

    call(made)

    assert ApiKey.objects.get().last_used_at is None


# --- Replacing -------------------------------------------------------------------------------------------------------


def test_a_replaced_key_works_until_the_chosen_moment_beside_the_new_one() -> None:
    with time_machine.travel(MOMENT, tick=False) as time_of:
        old = make_key(Scope.USAGE_READ, calls_per_minute=77)
        new = api_keys.replace(old.row.pk, by="", reason="Yearly.", old_until=MOMENT + dt.timedelta(days=1))
        both = [call(old).status_code, call(new).status_code]
        time_of.move_to(MOMENT + dt.timedelta(days=1))
        later = [call(old).status_code, call(new).status_code]

    assert both == [200, 200]
    assert later == [401, 200]
    assert (new.row.client, new.row.scopes, new.row.calls_per_minute) == ("Meter agents", ["usage:read"], 77)
    assert new.row.replaces == old.row


def test_a_replaced_key_without_a_date_is_revoked_at_once() -> None:
    old = make_key()

    new = api_keys.replace(old.row.pk, by="", reason="It was committed.")

    assert [call(old).json()["code"], call(new).status_code] == ["key_revoked", 200]


@pytest.mark.parametrize("spoiled", ["revoked", "replaced", "ends before"])
def test_a_key_is_not_replaced_where_that_makes_no_sense(spoiled: str) -> None:
    old = make_key(expires_at=clock.now() + dt.timedelta(days=1))
    later = clock.now() + dt.timedelta(days=2)
    if spoiled == "revoked":
        api_keys.revoke(old.row.pk, by="", reason="Gone.")
    if spoiled == "replaced":
        api_keys.replace(old.row.pk, by="", reason="Yearly.", old_until=clock.now() + dt.timedelta(hours=1))
    before = list(ApiKey.objects.order_by("pk").values())

    with pytest.raises(NotPossible, match=spoiled):
        api_keys.replace(old.row.pk, by="", reason="Again.", old_until=later)

    assert list(ApiKey.objects.order_by("pk").values()) == before


def test_a_key_is_revoked_once() -> None:
    made = make_key()
    api_keys.revoke(made.row.pk, by="", reason="Gone.")
    before = ApiKey.objects.get().revoked_at

    with pytest.raises(NotPossible, match="revoked already"):
        api_keys.revoke(made.row.pk, by="", reason="Again.")

    assert ApiKey.objects.get().revoked_at == before


# --- Nowhere else ----------------------------------------------------------------------------------------------------


def test_the_database_holds_no_key() -> None:
    made = make_key()
    call(made)

    held = repr(list(ApiKey.objects.values())) + repr(list(CallBudget.objects.values()))

    assert made.text[api_keys.SHOWN :] not in held
    assert made.row.digest == api_keys.digest_of(made.text)
    assert made.text not in repr(made)


def test_no_log_line_holds_a_key(caplog: pytest.LogCaptureFixture) -> None:
    made = make_key()

    class Failing(ApiView):
        @api_keys.needs(ANY_KEY)
        def get(self, request: Request) -> Response:
            raise ValueError(f"what came was {request.headers['Authorization']}")

    with caplog.at_level(logging.DEBUG):
        answer = Failing.as_view()(RequestFactory().get("/", headers={"Authorization": f"Bearer {made.text}"}))
        call(made.text[:-1] + "!")

    assert answer.status_code == 500
    assert answer.data["code"] == "internal"
    for line in caplog.records:
        logs.MaskSecrets().filter(line)
    written = "\n".join(logging.Formatter().format(line) for line in caplog.records)
    assert "An unforeseen error in Failing: ValueError" in written
    assert made.text[api_keys.SHOWN :] not in written
    assert made.text[api_keys.SHOWN :] not in json.dumps(answer.data)


@pytest.mark.parametrize(
    "line", ["GET /api/v1/?key={} 401", "key={};", 'the key "{}"', "{}", "Authorization: Bearer {}"]
)
def test_a_key_is_masked_wherever_it_stands(line: str) -> None:
    made = make_key()

    written = logs.mask(line.format(made.text))

    assert made.text[len(api_keys.PREFIX) :] not in written
    assert "***" in written


def test_an_error_report_holds_no_key() -> None:
    made = make_key()
    report: Any = {
        "request": {"url": f"https://host/api/v1/?key={made.text}", "headers": {"Authorization": made.text}},
        "exception": {"values": [{"value": f"not good: {made.text}"}]},
    }

    assert made.text[api_keys.SHOWN :] not in json.dumps(logs.scrub(report, {}))
