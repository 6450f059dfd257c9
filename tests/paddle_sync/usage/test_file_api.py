"""A program sends a whole file by the REST API, and reads its receipt and the rows that were not taken."""

import csv
import gzip
import io
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from integration_project import api_keys
from integration_project.models import ApiKey
from integration_project.vendors.m3ter.simulator import M3terSimulator
from paddle_sync.models import AccountLink, UsageFilePart, UsageUpload
from paddle_sync.usage import jobs
from tests.paddle_sync.usage.metered import METER, at, totals

pytestmark = pytest.mark.django_db

FILES = "/api/v1/usage/files/"
Run = Callable[[], int]


@pytest.fixture
def key() -> str:
    """The key of a client that sends files and reads their receipts."""
    return api_keys.make("Exporter", scopes=ApiKey.Scope.values, calls_per_minute=100_000).text


def csv_of(link: AccountLink, *calls: object) -> bytes:
    """A file with a row for each number of calls."""
    lines = [f"{link.paddle_subscription_id},use-{row},{METER},{at(hours=3)},{each}" for row, each in enumerate(calls)]
    return "\n".join(["subscription,uid,meter,ts,calls", *lines]).encode()


def input_of(body: bytes) -> dict[str, Any]:
    """A connection on which nothing more comes after these bytes."""
    return {"wsgi.input": io.BytesIO(body)}


def post(client: Client, key: str, body: bytes, *, query: str = "", **options: Any) -> Any:
    """Send a file."""
    headers = {"Authorization": f"Bearer {key}"}
    return client.post(FILES + query, data=body, content_type="text/csv", headers=headers, **options)


def get(client: Client, key: str, path: str) -> Any:
    """Read something of a file."""
    return client.get(FILES + path, headers={"Authorization": f"Bearer {key}"})


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_reaches_m3ter_and_its_receipt_says_so(
    client: Client, key: str, link: AccountLink, m3ter: M3terSimulator, run_jobs: Run, pack: Callable[[bytes], bytes]
) -> None:
    answer = post(client, key, pack(csv_of(link, 1, 2, 3)), query="?name=march.csv")
    run_jobs()
    jobs.follow_files()

    assert answer.status_code == 202
    told = get(client, key, f"{answer.json()['id']}/").json()
    assert (told["name"], told["state"], told["is_over"]) == ("march.csv", "done", True)
    assert (told["rows"], told["accepted"], told["sent"], told["refused"]) == (3, 3, 3, 0)
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(6)}


def test_wrong_rows_stop_a_file(
    client: Client, key: str, link: AccountLink, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    number = post(client, key, csv_of(link, 1, "many", 3)).json()["id"]
    run_jobs()

    told = get(client, key, f"{number}/").json()
    assert (told["state"], told["refused"], told["reasons"]) == ("deciding", 1, {"not_a_number": 1})
    assert totals(m3ter) == {}


def test_the_good_rows_are_sent_where_that_is_asked_for_and_the_wrong_ones_come_back_as_a_file(
    client: Client, key: str, link: AccountLink, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    number = post(client, key, csv_of(link, 1, "many", 3), query="?on_errors=send_good").json()["id"]
    run_jobs()

    rejected = get(client, key, f"{number}/rejected/")
    header, line = b"".join(rejected.streaming_content).decode().splitlines()
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(4)}
    assert next(csv.reader([header]))[:5] == ["subscription", "uid", "meter", "ts", "calls"]
    assert "use-1" in line
    assert rejected["Content-Disposition"] == f'attachment; filename="rejected-{number}.csv"'

    corrected = f"{header}\n{line}".replace("many", "2").encode()
    post(client, key, corrected)
    run_jobs()
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(6)}


def test_the_same_file_again_counts_nothing_twice_and_says_so(
    client: Client, key: str, link: AccountLink, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    body = csv_of(link, 1, 2)
    post(client, key, body)
    run_jobs()

    again = post(client, key, body).json()
    run_jobs()

    assert "The same bytes were received" in again["note"]
    told = get(client, key, f"{again['id']}/").json()
    assert (told["accepted"], told["duplicate"]) == (0, 2)
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(3)}


def test_a_file_that_is_cut_off_or_too_large_or_empty_is_not_kept(
    client: Client, key: str, link: AccountLink, settings: Settings
) -> None:
    body = csv_of(link, 1, 2)
    cut_off = post(client, key, body, CONTENT_LENGTH=str(len(body) + 10), **input_of(body))
    settings.USAGE_FILE_LIMIT = 20
    too_large = post(client, key, body)
    empty = post(client, key, b"", CONTENT_LENGTH="0")
    without = client.post(FILES, headers={"Authorization": f"Bearer {key}"}, CONTENT_LENGTH="")

    said = [(answer.status_code, answer.json()["code"]) for answer in (cut_off, too_large, empty, without)]
    assert said == [(422, "not_received")] * 3 + [(411, "length_required")]
    assert (UsageUpload.objects.count(), UsageFilePart.objects.count()) == (0, 0)


def test_what_somebody_else_sent_is_not_told_by_its_name(client: Client, key: str, link: AccountLink) -> None:
    other = api_keys.make("Other", scopes=ApiKey.Scope.values).text
    post(client, key, csv_of(link, 1), query="?name=salaries.csv")

    note = post(client, other, csv_of(link, 1)).json()["note"]

    assert "received before, from somebody else" in note
    assert "salaries" not in note


def test_nobody_reads_the_files_of_another_client(client: Client, key: str, link: AccountLink) -> None:
    other = api_keys.make("Other", scopes=ApiKey.Scope.values).text
    writer = api_keys.make("Exporter", scopes=[ApiKey.Scope.USAGE_WRITE]).text
    number = post(client, key, csv_of(link, 1)).json()["id"]

    assert get(client, other, f"{number}/").status_code == 404
    assert get(client, other, f"{number}/rejected/").status_code == 404
    assert get(client, writer, f"{number}/").status_code == 403
    assert get(client, key, f"{10**30}/").status_code == 404
    assert post(client, other, b"x", query="?on_errors=maybe").status_code == 400


def test_a_form_is_not_taken_for_a_file(client: Client, key: str, link: AccountLink) -> None:
    file = io.BytesIO(csv_of(link, 1))

    answer = client.post(FILES, data={"file": file}, headers={"Authorization": f"Bearer {key}"})

    assert answer.status_code == 415, answer.json()
    assert not UsageUpload.objects.exists()
