"""A file of usage in the console: its page in every state, what people decide about it, and what may be taken of it."""

import ast
import csv
import datetime as dt
import io
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from integration_project import clock
from integration_project.models import Heartbeat, Installation
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync.admin import usage_words
from paddle_sync.jobs import refresh_catalogue
from paddle_sync.models import AccountLink, UsageBatch, UsageUpload
from paddle_sync.usage import jobs, receipts, uploads
from tests.builders import make_mapping
from tests.console.rows import confirm, decide, hidden, page_of
from tests.console.usage_pages import LIST, body, buttons, columns_of, filled_in, shown, uploaded
from tests.console.usage_rows import HOSTILE, make_dropped, make_rejected, make_usage_batch, make_usage_file
from tests.paddle_sync.people_rows import BUYER
from tests.paddle_sync.usage.metered import METER, totals
from tests.paddle_sync.usage.sent_files import followed, line, table

Browser = Callable[[str], Client]
State = UsageUpload.State
REASON = {"reason": "Agreed with the customer."}
EXPORTED = "Rejected rows as CSV (1)"


@pytest.fixture
def client(browser: Browser) -> Client:
    """An Operator's browser."""
    return browser("Operator")


@pytest.fixture
def metered(
    installation: Installation, paddle: PaddleSimulator, deliver: Callable[[], int], run_jobs: Callable[[], int]
) -> AccountLink:
    """A subscription with its account and plan in m3ter, whose meters are known here."""
    make_mapping()
    paddle.complete_checkout(**BUYER)
    deliver()
    run_jobs()
    refresh_catalogue()
    link = AccountLink.objects.get()
    link.plans.update(starts_at=link.plans.get().starts_at.replace(year=2025))
    return link


def rejected_of(client: Client, upload: UsageUpload) -> Any:
    return client.get(reverse("admin:paddle_sync_usageupload_rejected", args=(upload.pk,)))


def receipt_of(client: Client, upload: UsageUpload) -> Any:
    return client.get(reverse("admin:paddle_sync_usageupload_receipt", args=(upload.pk,)))


def panel(answer: Any, title: str) -> list[Any]:
    """The rows of a table of the page."""
    (found,) = [each for each in answer.context["panels"] if each.title == title]
    return list(found.rows)


# --- From the form to m3ter's totals ---------------------------------------------------------------------------------


def test_a_file_goes_from_the_form_to_m3ters_totals_and_its_rejected_rows_come_back_corrected(
    client: Client, metered: AccountLink, m3ter: M3terSimulator, run_jobs: Callable[[], int]
) -> None:
    rows = [line(metered, f"u{number}", number) for number in range(1, 11)]
    rows[2]["values.calls"] = "1,5"

    uploaded(client, table(rows))
    upload = UsageUpload.objects.get()
    client.post(columns_of(upload), {**filled_in(client, upload), "check": "yes"})
    checking = client.get(page_of(upload))
    jobs.check_files()
    deciding = client.get(page_of(upload))
    nothing_sent = totals(m3ter)
    codes = [each.problems[0].code for each in receipts.rejected_rows(upload)]
    sending = confirm(client, decide(upload, "send_good"), REASON)
    run_jobs()
    followed(upload)
    done = client.get(page_of(upload))

    assert (checking["Refresh"], "Refresh" in deciding) == ("3", False)
    assert deciding.context["story"].cause == "1 of 10 rows are wrong."
    assert (nothing_sent, codes) == ({}, ["not_a_number"])
    assert sending.context["story"].cause == "On its way: m3ter has taken 0 of 9 rows."
    assert done.context["story"].cause == "Done: 9 of 10 rows were accepted."
    assert totals(m3ter) == {(metered.m3ter_account_code, METER): Decimal(52)}

    rejected = body(rejected_of(client, upload))
    uploaded(client, rejected.replace("1,5", "3").encode(), "corrected.csv")
    corrected = UsageUpload.objects.order_by("-pk")[0]
    client.post(columns_of(corrected), {**filled_in(client, corrected), "check": "yes"})
    jobs.check_files()
    run_jobs()
    assert followed(corrected).state == State.DONE
    assert totals(m3ter) == {(metered.m3ter_account_code, METER): Decimal(55)}


def test_the_same_file_twice_is_counted_once_and_says_so(
    client: Client, metered: AccountLink, m3ter: M3terSimulator, run_jobs: Callable[[], int]
) -> None:
    for _ in range(2):
        uploaded(client, table([line(metered, "u1", 7)]))
        upload = UsageUpload.objects.order_by("-pk")[0]
        client.post(columns_of(upload), {**filled_in(client, upload), "check": "yes"})
        jobs.check_files()
        run_jobs()
        followed(upload)

    page = client.get(page_of(upload))
    assert page.context["story"].effect == "1 were counted before, and are not counted again."
    assert totals(m3ter) == {(metered.m3ter_account_code, METER): Decimal(7)}


# --- A page for every state ------------------------------------------------------------------------------------------

OFFERED: dict[str, tuple[list[str], list[str]]] = {
    State.RECEIVING: ([], []),
    State.LAYOUT: (["Discard"], ["Say what its columns mean"]),
    State.CHECKING: (["Pause", "Discard"], [EXPORTED, "Receipt as CSV"]),
    State.RUNNING: (["Pause", "Discard"], [EXPORTED, "Receipt as CSV"]),
    State.DECIDING: (
        ["Send the good rows", "Check again", "Discard"],
        ["Correct what its columns mean", EXPORTED, "Receipt as CSV"],
    ),
    State.SENDING: (["Pause"], [EXPORTED, "Receipt as CSV"]),
    State.DONE: ([], [EXPORTED, "Receipt as CSV"]),
    State.PAUSED: (["Continue", "Discard"], [EXPORTED, "Receipt as CSV"]),
    State.DISCARDED: ([], [EXPORTED, "Receipt as CSV"]),
    State.FAILED: ([], ["Upload a file"]),
}


@pytest.mark.parametrize("state", State.values)
def test_each_state_has_a_page_that_offers_what_fits_it(client: Client, state: str) -> None:
    page = client.get(page_of(make_usage_file(state)))

    assert (buttons(page), [link.label for link in page.context["links"]]) == OFFERED[state]
    assert page.context["story"].cause
    assert HOSTILE not in page.text
    assert page.headers.get("Refresh") == (
        "3" if state in {State.RECEIVING, State.CHECKING, State.RUNNING, State.SENDING} else None
    )


@pytest.mark.parametrize("state", State.values)
@pytest.mark.parametrize("who", ["Finance", "Auditor"])
def test_those_who_only_look_see_every_page_and_are_offered_nothing_that_changes_it(
    browser: Browser, state: str, who: str
) -> None:
    page = browser(who).get(page_of(make_usage_file(state)))

    assert (page.status_code, buttons(page)) == (200, [])
    assert {link.label for link in page.context["links"]} <= {EXPORTED, "Receipt as CSV"}


def test_the_progress_of_a_check_is_a_bar(client: Client) -> None:
    Heartbeat.objects.create(name="host:1", started_at=clock.now(), seen_at=clock.now())
    upload = make_usage_file(State.RUNNING, size=1000, bytes_checked=250)

    page = client.get(page_of(upload))

    assert '<progress max="1000" value="250" aria-label="25 % of its bytes: 3 rows">' in page.text
    assert page.context["story"].cause == "Being checked: 3 rows so far, 1 of them wrong."
    assert page.context["story"].next_step == ""


def test_a_check_that_nobody_carries_on_says_so(client: Client) -> None:
    page = client.get(page_of(make_usage_file(State.CHECKING)))

    assert page.context["story"].next_step.startswith("No worker runs at the moment")


def test_reasons_are_said_in_words_with_counts_and_the_first_rows_of_each(client: Client) -> None:
    upload = make_usage_file(reasons={"unknown_subscription": 5, "bad_time": 1, "made_up": 1}, refused=7)
    for row in range(5, 9):
        make_rejected(upload, row=row)
    make_rejected(upload, row=9, code="bad_time", column="ts", reason="noon is no time.", values={"ts": "noon"})

    page = client.get(page_of(upload))

    assert [(reason, shown_number) for reason, shown_number in panel(page, "Why rows were rejected")] == [
        ("The subscription is neither known here nor in Paddle", '<span class="c-money">5</span>'),
        ("The time cannot be read, or has no zone", '<span class="c-money">1</span>'),
        ("made_up", '<span class="c-money">1</span>'),
    ]
    examples = panel(page, "Rejected rows")
    assert [(place, column) for place, column, *_ in examples] == [
        ("4", "paddle_subscription_id"),
        ("5", "paddle_subscription_id"),
        ("6", "paddle_subscription_id"),
        ("9", "ts"),
    ]
    assert examples[-1][2:] == ("noon", "Noon is no time.")


def test_a_file_with_so_many_wrong_rows_that_it_was_not_read_on_cannot_be_sent(client: Client) -> None:
    upload = make_usage_file(rows_total=None, note="100,001 of the first 100,002 rows are wrong.")

    page = client.get(page_of(upload))
    client.post(decide(upload, "send_good"), REASON)

    upload.refresh_from_db()
    assert (buttons(page), upload.state) == (["Check again", "Discard"], State.DECIDING)
    assert page.context["links"][0].strong


def test_a_file_without_a_good_row_is_not_offered_to_be_sent(client: Client) -> None:
    page = client.get(page_of(make_usage_file(accepted=0)))

    assert buttons(page) == ["Check again", "Discard"]


def test_held_rows_name_what_they_wait_for_and_lead_there(client: Client) -> None:
    upload = make_usage_file(State.SENDING, held=7)
    make_usage_batch(upload, UsageBatch.State.HELD, items=7, paddle_subscription_id="sub_waits")

    page = client.get(page_of(upload))

    ((_, count, link),) = panel(page, "What the held rows wait for")
    assert (count, link) == (
        '<span class="c-money">7</span>',
        '<a href="/admin/paddle_sync/webhookevent/?q=sub_waits">Its events</a>',
    )


def test_what_m3ter_refused_and_what_it_dropped_later_are_told(client: Client) -> None:
    sending = make_usage_file(State.SENDING)
    make_usage_batch(sending, UsageBatch.State.FAILED, items=4)
    done = make_usage_file(State.DONE)
    make_dropped(done)

    pages = [client.get(page_of(upload)) for upload in (sending, done)]

    assert [page.context["story"].tone for page in pages] == ["bad", "bad"]
    assert pages[0].context["story"].cause == "m3ter did not take 4 rows."
    assert "m3ter dropped 1 later." in pages[1].context["story"].effect
    assert "Dropped by m3ter later" in shown(pages[1])


# --- What people decide ----------------------------------------------------------------------------------------------


def test_the_confirmation_says_how_many_rows_it_is_about(client: Client) -> None:
    upload = make_usage_file(rows=1234, rows_total=1234, accepted=1200, duplicate=4, refused=30, name="march.csv")

    page = client.get(decide(upload, "send_good"))

    assert "march.csv: 1,234 rows: 1,200 good, 4 counted before, 30 wrong" in shown(page)


def test_what_was_checked_anew_since_it_was_shown_is_not_sent(client: Client) -> None:
    upload = make_usage_file()
    page = client.get(decide(upload, "send_good"))
    UsageUpload.objects.filter(pk=upload.pk).update(accepted=1, refused=2)

    answer = client.post(decide(upload, "send_good"), {**REASON, **hidden(page)}, follow=True)

    upload.refresh_from_db()
    assert upload.state == State.DECIDING
    assert "It has changed since its numbers were shown." in shown(answer)


def test_whoever_decides_second_is_told_who_did_what(client: Client, browser: Browser) -> None:
    upload = make_usage_file()
    asked = client.get(decide(upload, "send_good"))
    confirm(browser("Administrator"), decide(upload, "discard"), {"reason": "It is last month's."})

    answer = client.post(decide(upload, "send_good"), {**REASON, **hidden(asked)}, follow=True)

    upload.refresh_from_db()
    assert upload.state == State.DISCARDED
    assert "administrator did this just now: Discard. Reason: It is last month's." in shown(answer)
    assert answer.context["story"].cause == "Discarded by administrator. Reason: It is last month's."


def test_a_check_of_more_than_an_hour_ago_is_done_anew_and_that_is_said(client: Client) -> None:
    upload = make_usage_file()

    with time_machine.travel(clock.now() + dt.timedelta(hours=2), tick=False):
        answer = confirm(client, decide(upload, "send_good"), REASON)

    upload.refresh_from_db()
    assert (upload.state, upload.agreed) == (State.CHECKING, 1)
    assert "every row is checked anew first" in shown(answer)
    assert "not more than 1 rows are wrong it is sent by itself, as operator decided" in shown(answer)


def test_pausing_continuing_checking_again_and_discarding_do_so(client: Client) -> None:
    upload = make_usage_file(State.SENDING)
    states = []
    for name in ("pause", "continue"):
        confirm(client, decide(upload, name), REASON)
        upload.refresh_from_db()
        states.append(upload.state)
    refused = client.get(decide(upload, "discard"), follow=True)
    other = make_usage_file()
    for name in ("check_again", "discard"):
        confirm(client, decide(other, name), REASON)
        other.refresh_from_db()
        states.append(other.state)

    assert states == [State.PAUSED, State.SENDING, State.CHECKING, State.DISCARDED]
    assert "Discard: not possible in the state this is in now." in shown(refused)
    said = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert said == [
        f"{label}. Reason: Agreed with the customer." for label in ("Pause", "Continue", "Check again", "Discard")
    ]


# --- What may be taken -----------------------------------------------------------------------------------------------


def test_rejected_rows_are_a_file_with_a_safe_name_and_nothing_that_runs(browser: Browser) -> None:
    upload = make_usage_file(State.DONE, name=f"../x; filename=evil.exe {HOSTILE}.csv")
    client = browser("Auditor")

    answer = rejected_of(client, upload)

    assert answer["Content-Disposition"] == f'attachment; filename="usage-{upload.pk}-rejected-rows.csv"'
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    (row,) = csv.DictReader(io.StringIO(body(answer)))
    assert (row["values.calls"], row["row"], row["column"]) == ("'=1+1", "4", "paddle_subscription_id")
    (entry,) = LogEntry.objects.all()
    assert (entry.user.get_username(), entry.get_change_message()) == (
        "auditor",
        f"Took the rejected rows of file {upload.pk} as CSV.",
    )


def test_the_receipt_is_a_file_too(client: Client) -> None:
    upload = make_usage_file(State.DONE, name="=march.csv", duplicate=5, late=1)
    make_dropped(upload)

    answer = receipt_of(client, upload)

    assert answer["Content-Disposition"] == f'attachment; filename="march-{upload.pk}-receipt.csv"'
    said = dict(list(csv.reader(io.StringIO(body(answer)))))
    assert said["File"] == "'=march.csv"
    assert {name: said[name] for name in ("Rows", "Accepted", "Accepted: late", "Duplicate", "Refused")} == {
        "Rows": "3",
        "Accepted": "2",
        "Accepted: late": "1",
        "Duplicate": "5",
        "Refused": "1",
    }
    assert said["Rejected: The subscription is neither known here nor in Paddle"] == "1"
    assert (said["Dropped by m3ter later"], said["Now: taken by m3ter"]) == ("1", "2")


def test_of_a_file_without_rejected_rows_there_is_nothing_to_take(client: Client) -> None:
    upload = make_usage_file(State.DONE, refused=0)

    answer = rejected_of(client, upload)

    assert answer["Location"] == page_of(upload)
    assert LogEntry.objects.count() == 0


@pytest.mark.parametrize("what", ["rejected.csv", "receipt.csv", "columns/"])
def test_files_and_columns_are_for_those_with_a_role_and_of_files_that_exist(browser: Browser, what: str) -> None:
    upload = make_usage_file(State.DONE)

    assert browser("nobody").get(f"{LIST}{upload.pk}/{what}").status_code == 403
    assert Client().get(f"{LIST}{upload.pk}/{what}").status_code == 302
    assert [browser("Operator").get(f"{LIST}{key}/{what}").status_code for key in ("999", "no number")] == [404, 404]


# --- The list --------------------------------------------------------------------------------------------------------


def listed(client: Client, query: str) -> set[str]:
    return {upload.state for upload in client.get(f"{LIST}?{query}").context["cl"].result_list}


def test_saved_views_show_what_they_say(client: Client) -> None:
    for state in State.values:
        make_usage_file(state)

    views = {link.label: link.url for link, _ in client.get(LIST).context["saved_views"]}
    found = {label: listed(client, url.partition("?")[2]) for label, url in views.items() if "?" in url}

    assert next(iter(views)) == "Upload a file"
    assert found == {
        "Waiting for somebody": {State.LAYOUT, State.DECIDING, State.PAUSED},
        "Under way": {State.RECEIVING, State.CHECKING, State.RUNNING, State.SENDING},
        "With refused rows": {*State.values} - {State.RECEIVING, State.LAYOUT, State.FAILED},
    }
    assert listed(client, "rejected=none") == {State.RECEIVING, State.LAYOUT, State.FAILED}


def test_the_list_says_how_far_each_is(client: Client) -> None:
    make_usage_file(State.RUNNING, size=1000, bytes_checked=250)
    make_usage_batch(make_usage_file(State.SENDING, accepted=8), UsageBatch.State.SENT, items=6)

    said = shown(client.get(LIST))

    assert "25 % checked" in said
    assert "75 % sent" in said


def test_a_part_of_the_name_finds_a_file(client: Client) -> None:
    make_usage_file(name="april.csv")
    make_usage_file(State.DONE, name="march.csv")

    assert listed(client, "q=arch") == {State.DONE}


def test_the_list_is_exported_with_its_numbers(browser: Browser) -> None:
    make_usage_file(State.DONE, name="=april.csv")

    (row,) = csv.DictReader(io.StringIO(body(browser("Auditor").get(f"{LIST}export.csv"))))

    assert {name: row[name] for name in ("File", "State", "Rows", "Accepted", "Refused", "Sent")} == {
        "File": "'=april.csv",
        "State": "Sent",
        "Rows": "3",
        "Accepted": "2",
        "Refused": "1",
        "Sent": "2",
    }


def test_the_empty_list_says_how_to_begin(client: Client) -> None:
    said = shown(client.get(LIST))

    assert "Upload one here, have a program run manage.py upload_usage FILE, or send usage by the REST API." in said


@pytest.mark.parametrize("state", [State.DECIDING, State.SENDING, State.DONE])
def test_a_page_asks_the_database_as_often_for_many_rows_as_for_few(client: Client, state: str) -> None:
    upload = make_usage_file(state)
    make_usage_batch(upload, UsageBatch.State.HELD, paddle_subscription_id="sub_0")
    client.get(page_of(upload))
    with CaptureQueriesContext(connection) as few:
        client.get(page_of(upload))

    for number in range(1, 40):
        make_usage_batch(upload, UsageBatch.State.HELD, paddle_subscription_id=f"sub_{number}")
        make_usage_batch(upload, UsageBatch.State.SENT)
        make_dropped(upload)
    with CaptureQueriesContext(connection) as many:
        client.get(page_of(upload))

    assert len(many) == len(few)


def test_every_reason_has_words() -> None:
    assert set(refusal_codes()) - set(usage_words.REASONS) == set()


def refusal_codes() -> Iterable[str]:
    """Find every code with which the checks refuse an item: what stands first in such a call."""
    for path in Path(uploads.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(ast.Name("Refusal" | "_refuse"), [ast.Constant(str() as code), *_]):
                    yield code
