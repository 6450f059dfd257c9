"""Uploading a file of usage in the console: what is taken, what is refused beside its field, and by whom."""

import errno
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from paddle_sync.models import UsageFilePart, UsageUpload
from tests.console.rows import page_of
from tests.console.usage_pages import ADD, columns_of, shown, unlabelled, uploaded

Browser = Callable[[str], Client]
State = UsageUpload.State
CONTENT = b"uid,paddle_subscription_id,meter,ts,values.calls\nu1,sub_1,api_calls,2026-03-01T00:00:00Z,5\n"


def errors(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    found: dict[str, list[str]] = answer.context["questions"][0].form.errors
    return found


def test_a_file_is_stored_and_leads_to_what_its_columns_mean(browser: Browser) -> None:
    client = browser("Operator")

    answer = uploaded(client, CONTENT, on_errors="ask", reason="From the data warehouse.")

    upload = UsageUpload.objects.get()
    assert answer["Location"] == columns_of(upload)
    assert (upload.name, upload.by, upload.via, upload.on_errors) == ("usage.csv", "operator", "console", "ask")
    assert (upload.state, upload.size) == (State.LAYOUT, len(CONTENT))
    history = client.get(reverse("admin:paddle_sync_usageupload_history", args=(upload.pk,)))
    assert "Uploaded. Reason: From the data warehouse." in history.text


def test_the_form_says_what_may_be_uploaded_and_has_labels(browser: Browser) -> None:
    answer = browser("Operator").get(ADD)

    assert "at most 2.0" in shown(answer)
    assert unlabelled(answer.text.partition('enctype="multipart/form-data"')[2]) == []


@pytest.mark.parametrize("who", ["Finance", "Auditor", "nobody"])
def test_of_a_file_from_somebody_who_may_not_send_it_no_byte_is_read(browser: Browser, who: str) -> None:
    read: list[int] = []

    class Body(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            read.append(size or 0)
            return super().read(size)

    extra: dict[str, Any] = {"wsgi.input": Body(b"x" * 100), "CONTENT_LENGTH": "100"}
    answer = browser(who).post(ADD, **extra)

    assert (answer.status_code, read) == (403, [])
    assert browser(who).get(ADD).status_code == 403
    assert UsageUpload.objects.count() == 0


def test_a_file_that_another_site_has_a_browser_send_is_refused(browser: Browser) -> None:
    client = browser("Operator")
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies

    answer = uploaded(strict, CONTENT)

    assert answer.status_code == 403
    assert UsageUpload.objects.count() == 0


def test_nobody_uploads_without_logging_in(granted: None) -> None:
    answer = uploaded(Client(), CONTENT)

    assert answer["Location"].startswith("/admin/login/")
    assert UsageUpload.objects.count() == 0


def test_a_file_over_the_limit_is_told_beside_the_field_and_nothing_is_kept(
    browser: Browser, settings: Settings, tmp_path: Path
) -> None:
    settings.USAGE_FILE_LIMIT = 200_000
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path

    answer = uploaded(browser("Operator"), b"x" * 200_001)

    (text,) = errors(answer)["file"]
    assert text.startswith("It has more than 195.3\xa0KB, which is the limit here (USAGE_FILE_LIMIT).")
    assert (UsageUpload.objects.count(), UsageFilePart.objects.count(), list(tmp_path.iterdir())) == (0, 0, [])


def test_a_file_of_exactly_the_limit_is_taken(browser: Browser, settings: Settings) -> None:
    settings.USAGE_FILE_LIMIT = len(CONTENT)

    uploaded(browser("Operator"), CONTENT)

    assert UsageUpload.objects.get().size == len(CONTENT)


def test_a_full_disk_is_told_beside_the_field_and_nothing_is_kept(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path

    def full(handler: object, raw_data: bytes, start: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(TemporaryFileUploadHandler, "receive_data_chunk", full)
    answer = uploaded(browser("Operator"), CONTENT)

    (text,) = errors(answer)["file"]
    assert text.startswith("It could not be stored on this server's disk: No space left on device.")
    assert (UsageUpload.objects.count(), list(tmp_path.iterdir())) == (0, [])


def test_a_disk_that_is_not_there_is_told_too(browser: Browser, settings: Settings, tmp_path: Path) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "nowhere"

    answer = uploaded(browser("Operator"), CONTENT)

    assert "No such file or directory" in errors(answer)["file"][0]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({}, {"file": ["Choose a file."]}),
        ({"file": io.BytesIO(b"")}, {"file": ["The file is empty. Export it again."]}),
    ],
    ids=["none", "empty"],
)
def test_no_file_and_an_empty_one_are_told(browser: Browser, answers: Any, expected: Any) -> None:
    answer = browser("Operator").post(ADD, {"on_errors": "stop", **answers})

    assert errors(answer) == expected
    assert UsageUpload.objects.count() == 0


def test_what_is_to_be_done_with_wrong_rows_is_one_of_the_list(browser: Browser) -> None:
    answer = uploaded(browser("Operator"), CONTENT, on_errors="whatever")

    assert list(errors(answer)) == ["on_errors"]
    assert UsageUpload.objects.count() == 0


def test_a_file_that_cannot_be_read_says_where_and_why(browser: Browser) -> None:
    client = browser("Operator")

    answer = uploaded(client, b"uid,uid\n1,2\n")

    upload = UsageUpload.objects.get()
    page = client.get(page_of(upload))
    assert (answer["Location"], upload.state) == (page_of(upload), State.FAILED)
    assert page.context["story"].cause == (
        "It cannot be read. row 1, column uid: Two columns have this name. Rename or delete one."
    )
    assert page.context["story"].effect == "Nothing of it was sent."
    assert [link.label for link in page.context["links"]] == ["Upload a file"]


def test_the_same_bytes_again_are_told_with_a_link_and_may_go_on(browser: Browser) -> None:
    client = browser("Operator")
    uploaded(client, CONTENT, name="first.csv")
    first = UsageUpload.objects.get()

    answer = uploaded(client, CONTENT, name="second.csv")

    second = UsageUpload.objects.exclude(pk=first.pk).get()
    for page in (answer["Location"], page_of(second)):
        told = client.get(page)
        assert "The same bytes were received before." in told.text
        assert f'<a href="{page_of(first)}">first.csv</a>' in told.text
    assert "Check the whole file" in client.get(answer["Location"]).text
    assert "The same bytes" not in client.get(page_of(first)).text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("<script>alert(1)</script>.csv", "script>.csv"),
        ("a\u202egpj.csv", "agpj.csv"),
        ("'; rm -rf --.csv", "'; rm -rf --.csv"),
        ("x" * 400 + ".csv", "x" * 196 + ".csv"),
    ],
    ids=["path", "markup", "turned", "shell", "long"],
)
def test_a_hostile_name_is_a_name_and_nothing_else(browser: Browser, given: str, kept: str) -> None:
    client = browser("Operator")
    upload_content = CONTENT
    file = io.BytesIO(upload_content)
    file.name = given

    client.post(ADD, {"file": file, "on_errors": "stop"})

    upload = UsageUpload.objects.get()
    pages = [client.get(page).text for page in (page_of(upload), columns_of(upload))]
    assert upload.name == kept
    assert not any("<script>alert" in page or "\u202e" in page for page in pages)
