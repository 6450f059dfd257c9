"""The pages of API keys: who makes and ends them, what they say, and that a key is seen once."""

import datetime as dt
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from integration_project import api_keys, logs
from integration_project.models import ApiKey
from tests.console.rows import MOMENT, confirm, decide, make_api_key, page_of

Browser = Callable[[str], Client]

ADD = "/admin/integration_project/apikey/add/"
LIST = "/admin/integration_project/apikey/"
PEOPLE = ("Operator", "Finance", "Auditor", "Administrator", "nobody")
MAKERS = {"Operator", "Administrator"}
KEY = re.compile(r"pm3key_[A-Za-z0-9_-]{43}")


def answers(**changes: Any) -> dict[str, Any]:
    values = {"client": "Meter agents", "scopes": ["usage:write"], "calls_per_minute": "600", "last_day": ""}
    return {**values, "form_id": str(uuid.uuid4()), "reason": "Asked for by the platform team.", **changes}


def key_in(answer: Any) -> str:
    (text,) = set(KEY.findall(answer.text))
    return str(text)


def calls_with(text: str) -> int:
    return Client().get("/api/v1/", headers={"Authorization": f"Bearer {text}"}).status_code


def everything_stored() -> str:
    """All that the database holds, of whatever model."""
    return repr([list(model._default_manager.values()) for model in apps.get_models(include_auto_created=True)])


# --- Who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", PEOPLE)
def test_keys_are_made_by_those_who_may_and_by_nobody_else(browser: Browser, who: str) -> None:
    client = browser(who)

    statuses = (client.get(ADD).status_code, client.post(ADD, answers()).status_code)

    assert statuses == ((200, 200) if who in MAKERS else (403, 403))
    assert ApiKey.objects.count() == (1 if who in MAKERS else 0)


@pytest.mark.parametrize("who", PEOPLE)
def test_every_role_sees_whose_keys_there_are(browser: Browser, who: str) -> None:
    key = make_api_key()
    client = browser(who)

    statuses = {client.get(address).status_code for address in (LIST, page_of(key))}

    assert statuses == ({403} if who == "nobody" else {200})


def test_the_list_offers_to_add_one_to_those_who_may(browser: Browser) -> None:
    texts = {who: browser(who).get(LIST).text for who in ("Operator", "Auditor")}

    assert "No program may call the REST API." in texts["Auditor"]
    assert "Add the first one" in texts["Operator"]
    assert "Add the first one" not in texts["Auditor"]


def test_a_key_cannot_be_changed_by_any_form(browser: Browser) -> None:
    key = make_api_key()

    answer = browser("Administrator").post(page_of(key), answers(client="Thief", scopes=["usage:read"]))

    assert answer.status_code == 403
    key.refresh_from_db()
    assert key.client == "Meter agents"


# --- Seen once -------------------------------------------------------------------------------------------------------


def test_a_new_key_is_shown_once_and_works(browser: Browser) -> None:
    client = browser("Operator")

    answer = client.post(ADD, answers())

    text, row = key_in(answer), ApiKey.objects.get()
    assert calls_with(text) == 200
    assert "This is the key of Meter agents. It is shown now and never again." in answer.text
    assert f'href="{page_of(row)}"' in answer.text
    assert "no-store" in answer["Cache-Control"]
    pages = [client.get(page).text for page in (page_of(row), LIST, ADD, "/admin/", history_of(row))]
    assert [KEY.findall(page) for page in pages] == [[]] * 5
    assert f"{text[:13]}..." in pages[0]


def test_a_key_is_kept_nowhere(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    client = browser("Operator")

    with caplog.at_level("DEBUG"):
        made = key_in(client.post(ADD, answers()))
        replaced = key_in(confirm(client, decide(ApiKey.objects.get(), "replace"), {"reason": "Yearly."}))
        for text in (made, replaced):
            calls_with(text)

    stored, written = everything_stored(), "\n".join(logs.mask(line.getMessage()) for line in caplog.records)
    for text in (made, replaced):
        assert text[:13] in stored
        assert text[13:] not in stored
        assert text[13:] not in written
        assert text[13:] not in str(client.cookies) + str(dict(client.session))


def test_the_form_sent_again_makes_no_second_key(browser: Browser) -> None:
    client = browser("Operator")
    given = answers(form_id=re.search(r'name="form_id" value="([^"]+)"', client.get(ADD).text)[1])  # type: ignore[index]
    client.post(ADD, given)

    again = client.post(ADD, given)

    assert ApiKey.objects.count() == 1
    assert "This form has made its key already, and a key is shown once." in again.text
    assert KEY.findall(again.text) == []


def test_two_forms_make_two_keys(browser: Browser) -> None:
    client = browser("Operator")

    texts = {key_in(client.post(ADD, answers())) for _ in range(2)}

    assert len(texts) == 2
    assert {calls_with(text) for text in texts} == {200}


# --- What is asked ---------------------------------------------------------------------------------------------------


@time_machine.travel(MOMENT, tick=False)
def test_a_key_says_whose_it_is_what_it_may_and_until_when(browser: Browser) -> None:
    given = answers(scopes=["usage:read", "usage:write"], calls_per_minute="30", last_day="2026-03-10")

    browser("Operator").post(ADD, given)

    key = ApiKey.objects.get()
    assert (key.client, key.scopes, key.calls_per_minute) == ("Meter agents", ["usage:write", "usage:read"], 30)
    assert key.expires_at == dt.datetime(2026, 3, 11, tzinfo=dt.UTC)
    assert key.made_at == MOMENT
    assert key.made_by is not None
    assert key.made_by.get_username() == "operator"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"client": ""}, "This field is required."),
        ({"client": "x" * 101}, "at most 100 characters"),
        ({"client": "a\x00b"}, "Null characters are not allowed."),
        ({"scopes": []}, "This field is required."),
        ({"scopes": ["everything"]}, "Select a valid choice."),
        ({"calls_per_minute": "0"}, "greater than or equal to 1."),
        ({"calls_per_minute": "60001"}, "less than or equal to 60000."),
        ({"last_day": "2026-03-09"}, "This day is over. The key would not work at all."),
        ({"last_day": "9999-12-31"}, "At most ten years ahead."),
        ({"last_day": "soon"}, "Enter a valid date."),
        ({"reason": " "}, "This field is required."),
        ({"form_id": "mine"}, "Enter a valid UUID."),
    ],
)
@time_machine.travel(MOMENT, tick=False)
def test_what_makes_no_sense_is_said_and_makes_no_key(browser: Browser, changes: dict[str, Any], said: str) -> None:
    answer = browser("Operator").post(ADD, answers(**changes))

    assert answer.status_code == 200
    assert said in answer.text
    assert not ApiKey.objects.exists()


def history_of(row: ApiKey) -> str:
    return reverse("admin:integration_project_apikey_history", args=(row.pk,))


def test_history_says_who_made_it_and_why(browser: Browser) -> None:
    client = browser("Operator")
    client.post(ADD, answers())

    entry = LogEntry.objects.get()

    assert entry.get_change_message() == "Added. Reason: Asked for by the platform team."
    assert entry.object_repr == str(ApiKey.objects.get())
    assert "Asked for by the platform team." in client.get(history_of(ApiKey.objects.get())).text


# --- Ending one ------------------------------------------------------------------------------------------------------


def test_a_revoked_key_says_by_whom_and_is_refused(browser: Browser) -> None:
    client = browser("Operator")
    text = key_in(client.post(ADD, answers()))
    row = ApiKey.objects.get()

    answer = confirm(client, decide(row, "revoke"), {"reason": "It was committed."})

    assert "1 API key revoked." in answer.text
    assert calls_with(text) == 401
    page = client.get(page_of(row))
    assert "Revoked by operator just now." in page.text
    assert page.context["buttons"] == []
    assert LogEntry.objects.first().get_change_message() == "Revoke. Reason: It was committed."  # type: ignore[union-attr]


def test_many_keys_are_revoked_at_once(browser: Browser) -> None:
    keys = [make_api_key(), make_api_key(), make_api_key()]
    address = reverse("admin:integration_project_apikey_decide_many", args=("revoke",))

    browser("Operator").post(address, {"row": [key.pk for key in keys[:2]], "reason": "The team is gone."})

    assert list(ApiKey.objects.filter(revoked_at=None)) == keys[2:]


@time_machine.travel(MOMENT, tick=False)
def test_a_replaced_key_works_to_the_end_of_the_chosen_day(browser: Browser) -> None:
    client = browser("Operator")
    old_text = key_in(client.post(ADD, answers(calls_per_minute="77")))
    old = ApiKey.objects.get()
    given = {"old_last_day": "2026-03-31", "last_day": "2027-03-31", "reason": "Yearly."}

    answer = confirm(client, decide(old, "replace"), given)

    new_text, new = key_in(answer), ApiKey.objects.get(replaces=old)
    old.refresh_from_db()
    assert [calls_with(old_text), calls_with(new_text)] == [200, 200]
    assert old.expires_at == dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
    assert (new.client, new.calls_per_minute) == ("Meter agents", 77)
    assert new.expires_at == dt.datetime(2027, 4, 1, tzinfo=dt.UTC)
    said = {entry.object_id: entry.get_change_message() for entry in LogEntry.objects.order_by("pk")}
    assert said == {
        str(old.pk): "Replace (old last day 2026-03-31, last day 2027-03-31). Reason: Yearly.",
        str(new.pk): f"Added to replace {old}. Reason: Yearly.",
    }
    assert f"Replaced by {new}" in client.get(page_of(old)).text
    assert f"It replaces {old}" in client.get(page_of(new)).text


def test_a_key_replaced_without_a_day_is_revoked_now(browser: Browser) -> None:
    client = browser("Operator")
    old_text = key_in(client.post(ADD, answers()))
    old = ApiKey.objects.get()

    new_text = key_in(confirm(client, decide(old, "replace"), {"reason": "It was committed."}))

    assert [calls_with(old_text), calls_with(new_text)] == [401, 200]
    assert LogEntry.objects.get(object_id=str(old.pk), action_flag=2).get_change_message() == (
        "Replace. Reason: It was committed."
    )


def test_a_replacement_sent_again_makes_no_second_key(browser: Browser) -> None:
    client = browser("Operator")
    old = make_api_key()
    given = {"old_last_day": f"{dt.date.today():%Y-%m-%d}", "reason": "Yearly."}  # noqa: DTZ011
    client.post(decide(old, "replace"), given)

    again = client.post(decide(old, "replace"), given, follow=True)

    assert ApiKey.objects.count() == 2
    assert "Replace: not possible in the state this is in now." in again.text
    assert KEY.findall(again.text) == []


# --- What pages say --------------------------------------------------------------------------------------------------


@time_machine.travel(MOMENT, tick=False)
def test_the_list_says_of_each_key_whether_it_works_and_when_it_was_used(browser: Browser) -> None:
    day = dt.timedelta(days=1)
    make_api_key(client="Never used")
    make_api_key(client="Used", last_used_at=MOMENT - day, expires_at=MOMENT + 5 * day)
    make_api_key(client="Over", expires_at=MOMENT)
    make_api_key(client="Ended", revoked_at=MOMENT - day, expires_at=MOMENT - day)
    client = browser("Auditor")

    text = client.get(LIST).text
    shown = {state: client.get(f"{LIST}?state={state}").text for state in ("works", "expired", "revoked")}

    for words in ("Works, ends in 5 days", ">Works<", ">Expired<", ">Revoked<", "1 day ago", "never"):
        assert words in text
    names = ("Never used", "Used", "Over", "Ended")
    assert {state: [name for name in names if f">{name}<" in page] for state, page in shown.items()} == {
        "works": ["Never used", "Used"],
        "expired": ["Over"],
        "revoked": ["Ended"],
    }


@time_machine.travel(MOMENT, tick=False)
def test_a_keys_page_says_what_it_is_and_what_to_do(browser: Browser) -> None:
    client = browser("Operator")
    working = make_api_key(expires_at=MOMENT + dt.timedelta(days=1), last_used_at=MOMENT - dt.timedelta(hours=2))
    over = make_api_key(expires_at=MOMENT)

    pages = [client.get(page_of(key)) for key in (working, over)]

    assert "It lets Meter agents in until 2026-03-11 12:00:00 UTC." in pages[0].text
    assert "What it may: Send usage, Read receipts and progress." in pages[0].text
    assert "It was last used 2 hours ago." in pages[0].text
    assert [button["label"] for button in pages[0].context["buttons"]] == ["Replace", "Revoke"]
    assert "It has expired: its time was over on 2026-03-10 12:00:00 UTC." in pages[1].text
    assert "Replace it, if its client still calls." in pages[1].text
    assert [button["label"] for button in pages[1].context["buttons"]] == ["Replace"]


def test_a_key_that_a_command_made_is_shown_too(browser: Browser) -> None:
    key = api_keys.make("The demo", scopes=["usage:write"]).row

    assert "It lets The demo in." in browser("Auditor").get(page_of(key)).text
