"""The page that says what a file's columns mean: suggested, remembered, tried on the first rows, then confirmed."""

from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from paddle_sync.admin import usage_columns
from paddle_sync.models import CatalogueEntry, UsageLayout, UsageUpload
from tests.console.rows import make_entry, page_of
from tests.console.usage_pages import columns_of, filled_in, shown, unlabelled, uploaded
from tests.console.usage_rows import HOSTILE, make_usage_file

Browser = Callable[[str], Client]
State = UsageUpload.State
FIELDS = [{"code": "calls", "category": "MEASURE"}, {"code": "endpoint", "category": "WHAT"}]
PLAIN = b"event id,subscription,when,calls\ne1,sub_1,2026-03-01T00:00:00Z,5\ne2,sub_1,2026-03-01T00:00:00Z,x\n"


@pytest.fixture
def meter(db: None) -> CatalogueEntry:
    """m3ter's only meter."""
    kind = CatalogueEntry.Kind.M3TER_METER
    return make_entry(kind, "meter-1", "API calls", code="api_calls", data={"fields": FIELDS})


@pytest.fixture
def client(browser: Browser) -> Client:
    """An Operator's browser."""
    return browser("Operator")


def received(client: Client, content: bytes = PLAIN, name: str = "usage.csv") -> UsageUpload:
    uploaded(client, content, name)
    upload = UsageUpload.objects.order_by("-pk").first()
    assert upload is not None
    return upload


@pytest.mark.usefixtures("meter")
def test_what_the_names_suggest_is_filled_in_and_what_is_missing_is_named(client: Client) -> None:
    upload = received(client)

    page = client.get(columns_of(upload))

    assert filled_in(client, upload) == {
        "role-0": "uid",
        "role-1": "paddle_subscription_id",
        "role-2": "",
        "role-3": "values.calls",
        "meter": "api_calls",
        "remember": "on",
    }
    assert page.context["wrong"] == ["No column says when it was used. Choose the column for ts."]
    assert "e1 e2" in shown(page)
    assert unlabelled(page.text.partition('id="columns-form"')[2]) == []


@pytest.mark.usefixtures("meter")
def test_another_choice_is_tried_on_the_first_rows_and_nothing_is_stored(client: Client) -> None:
    upload = received(client)

    page = client.post(columns_of(upload), {**filled_in(client, upload), "role-2": "ts", "preview": "yes"})

    assert page.context["wrong"] == []
    (become, stand) = page.context["panels"]
    assert [row[0] for row in become.rows] == [2, 3]
    assert "not known yet" in become.rows[0][2]
    assert page.context["story"].cause == (
        "Of the first 2 rows, 0 would be taken and 0 would not. About 2 Paddle will be asked."
    )
    assert stand.rows[1] == [3, "e2", "sub_1", "2026-03-01T00:00:00Z", "x"]
    upload.refresh_from_db()
    assert upload.state == State.LAYOUT
    assert upload.layout is not None
    assert "when" not in upload.layout["roles"]
    assert (UsageLayout.objects.count(), LogEntry.objects.filter(change_message__contains="checked").count()) == (0, 0)


@pytest.mark.usefixtures("meter")
def test_confirmed_columns_have_the_file_checked_and_are_filled_in_the_next_time(client: Client) -> None:
    upload = received(client)
    answers = {**filled_in(client, upload), "role-2": "ts", "check": "yes", "reason": "As the vendor says."}

    answer = client.post(columns_of(upload), answers)
    again = received(client, PLAIN + b"e3,sub_1,2026-03-01T00:00:00Z,6\n")

    upload.refresh_from_db()
    assert (answer["Location"], upload.state) == (page_of(upload), State.CHECKING)
    said = LogEntry.objects.filter(object_id=str(upload.pk)).order_by("-pk")[0].get_change_message()
    assert said == (
        "Had the whole file checked, its columns read as event id = uid, subscription = paddle_subscription_id, when ="
        " ts, calls = values.calls, meter api_calls. Reason: As the vendor says."
    )
    assert filled_in(client, again)["role-2"] == "ts"


@pytest.mark.usefixtures("meter")
def test_columns_that_are_not_to_be_remembered_are_not(client: Client) -> None:
    upload = received(client)
    answers = {**filled_in(client, upload), "role-2": "ts", "check": "yes"}
    del answers["remember"]

    client.post(columns_of(upload), answers)

    assert UsageLayout.objects.count() == 0


@pytest.mark.usefixtures("meter")
def test_columns_of_which_no_row_could_be_read_are_not_confirmed_and_say_why(client: Client) -> None:
    upload = received(client)

    page = client.post(columns_of(upload), {**filled_in(client, upload), "role-2": "uid", "check": "yes"})

    upload.refresh_from_db()
    assert (page.status_code, upload.state) == (200, State.LAYOUT)
    assert "It means uid, and so does event id. Choose one of them; ignore the others." in shown(page)


@pytest.mark.usefixtures("meter")
def test_key_columns_stand_for_the_uid(client: Client) -> None:
    upload = received(client)
    answers = {**filled_in(client, upload), "role-0": "", "role-2": "ts", "key-0": "on", "key-1": "on", "check": "yes"}

    client.post(columns_of(upload), answers)

    upload.refresh_from_db()
    assert upload.layout is not None
    assert upload.layout["key"] == ["event id", "subscription"]
    assert "Rows are told apart by event id and subscription." in shown(client.get(page_of(upload)))


@pytest.mark.usefixtures("meter")
def test_a_file_whose_rows_nothing_tells_apart_is_warned_about(client: Client) -> None:
    upload = received(client)

    page = client.post(columns_of(upload), {**filled_in(client, upload), "role-0": "", "role-2": "ts"})

    assert "a corrected copy of it would count again" in page.context["story"].effect


@pytest.mark.usefixtures("meter")
def test_a_made_up_meaning_is_refused_beside_its_column(client: Client) -> None:
    upload = received(client)

    page = client.post(columns_of(upload), {**filled_in(client, upload), "role-2": HOSTILE, "check": "yes"})

    upload.refresh_from_db()
    assert (page.status_code, upload.state) == (200, State.LAYOUT)
    assert "Choose one of the list." in page.text
    assert HOSTILE not in page.text


@pytest.mark.usefixtures("meter")
def test_json_needs_no_columns_and_is_checked_after_a_look_at_its_rows(client: Client) -> None:
    upload = received(client, b'{"uid": "u1", "values": {"calls": 1}}\n{"uid": "<b>"}\n', "usage.jsonl")

    page = client.get(columns_of(upload))
    answer = client.post(columns_of(upload), {"check": "yes"})

    upload.refresh_from_db()
    assert page.context["lines"] == ()
    assert "uid: u1; values: calls = 1" in shown(page)
    assert "paddle_subscription_id: Whose usage is it?" in shown(page)
    assert page.context["story"].next_step.startswith("Look below at what is wrong")
    assert (answer["Location"], upload.state) == (page_of(upload), State.CHECKING)


@pytest.mark.usefixtures("meter")
def test_a_file_that_breaks_off_among_its_first_rows_says_so_and_cannot_be_checked(client: Client) -> None:
    upload = received(client, PLAIN + b'e3,"never closed')

    page = client.get(columns_of(upload))

    assert "It cannot be read: row 4" in page.context["story"].cause
    assert 'name="check"' not in page.text
    assert "Discard ..." in page.text


def test_what_a_file_says_is_cut_and_never_markup(client: Client) -> None:
    names = f"uid,{HOSTILE},ts,\u202eevil,{'n' * 500}".encode()
    upload = received(client, names + f"\nu1,{HOSTILE},{'c' * 5000},\u202ex\x07y,=1+1\n".encode())

    pages = [client.get(address) for address in (columns_of(upload), page_of(upload))]

    for page in pages:
        assert page.status_code == 200
        assert HOSTILE not in page.text
        assert "\u202e" not in page.text
        assert "\x07" not in page.text
        assert "c" * 100 not in page.text
        assert "n" * 100 not in page.text


def test_the_page_is_for_those_who_may_send_and_for_files_that_are_not_decided(browser: Browser) -> None:
    upload = make_usage_file(State.LAYOUT)
    done = make_usage_file(State.DONE)

    statuses = {who: browser(who).get(columns_of(upload)).status_code for who in ("Operator", "Finance", "Auditor")}
    posted = browser("Auditor").post(columns_of(upload), {"check": "yes"}).status_code
    late = browser("Operator").post(columns_of(done), {"check": "yes"}, follow=True)

    assert (statuses, posted) == ({"Operator": 200, "Finance": 403, "Auditor": 403}, 403)
    assert "The file is sent by now. Nothing was done." in shown(late)
    done.refresh_from_db()
    assert done.state == State.DONE


@pytest.mark.usefixtures("meter")
def test_a_wide_file_and_many_meters_still_make_a_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_columns, "MOST_CHOICES", 5)
    make_entry(CatalogueEntry.Kind.M3TER_METER, "meter-2", "Other", code="other", data={"fields": FIELDS})
    upload = received(client, b"calls,a\n1,2\n")

    page = client.get(columns_of(upload))
    chosen = client.post(columns_of(upload), {"meter": "other", "preview": "yes"})

    assert "Choose the meter of all rows below and preview again" in shown(page)
    assert "Fields of Other (other)" in chosen.text
    assert "Fields of API calls" not in chosen.text


@pytest.mark.usefixtures("meter")
def test_the_page_asks_the_database_as_often_for_many_columns_as_for_few(client: Client) -> None:
    few = received(client)
    wide = received(client, b",".join(b"c%d" % number for number in range(200)) + b"\n" + b"1," * 199 + b"1\n")
    client.get(columns_of(few))
    with CaptureQueriesContext(connection) as of_few:
        client.get(columns_of(few))
    with CaptureQueriesContext(connection) as of_wide:
        client.get(columns_of(wide))

    assert len(of_wide) <= len(of_few)
