"""A file is received whole or not at all: too large, growing, or a full disk, and nothing of it is kept."""

import gzip
import io
import logging
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from pytest_django import Settings

from paddle_sync.models import AccountLink, UsageFilePart, UsageLayout, UsageUpload
from paddle_sync.usage import file_layouts, jobs, receiving, uploads
from paddle_sync.usage.file_layouts import LayoutWrong
from paddle_sync.usage.layouts import Layout
from paddle_sync.usage.pieces import PIECE, Stored
from paddle_sync.usage.receiving import NotReceived, Origin
from tests.paddle_sync.usage.files import Made
from tests.paddle_sync.usage.metered import METER
from tests.paddle_sync.usage.sent_files import checked, line, send, table

pytestmark = pytest.mark.django_db
State = UsageUpload.State
ORIGIN = Origin("usage.csv", UsageUpload.Via.COMMAND, "ann")
OWN = {"sub": "paddle_subscription_id", "when": "ts", "how many": "values.calls", "nr": "uid"}


def read(upload: UsageUpload) -> bytes:
    stored, content = Stored(upload.pk), b""
    while piece := stored.read(64 * 1024):
        content += piece
    return content


def kept() -> tuple[int, int]:
    return UsageUpload.objects.count(), UsageFilePart.objects.count()


def test_bytes_come_back_as_they_were(installation: object) -> None:
    content = os.urandom(2 * PIECE + 77)

    upload = send(content, "usage.csv").upload

    assert read(upload) == content
    assert (upload.size, UsageFilePart.objects.count()) == (len(content), 3)


def test_pieces_are_whole_however_little_the_stream_gives_at_a_time(installation: object) -> None:
    content = b"uid,ts\n" + b"x" * PIECE
    made = Made(content[start : start + 1000] for start in range(0, len(content), 1000))

    upload = receiving.receive(made, ORIGIN).upload

    assert read(upload) == content
    assert UsageFilePart.objects.count() == 2


def test_an_empty_file_is_refused_at_once(installation: object) -> None:
    with pytest.raises(NotReceived, match="The file is empty"):
        send(b"")

    assert kept() == (0, 0)


def test_a_file_above_the_limit_is_refused_while_it_is_read(installation: object, settings: Settings) -> None:
    settings.USAGE_FILE_LIMIT = 3 * PIECE
    made = Made(b"x" * 1000 for _ in range(10_000))

    with pytest.raises(NotReceived, match=r"more than 3,145,728 bytes.*USAGE_FILE_LIMIT"):
        receiving.receive(made, ORIGIN)

    assert made.given <= 4 * PIECE
    assert kept() == (0, 0)


def test_a_file_on_disk_above_the_limit_is_not_even_read(
    installation: object, settings: Settings, tmp_path: Path
) -> None:
    settings.USAGE_FILE_LIMIT = 10
    path = tmp_path / "usage.csv"
    path.write_bytes(b"x" * 11)

    with pytest.raises(NotReceived, match="more than 10 bytes"):
        receiving.receive_file(path, ORIGIN)

    assert kept() == (0, 0)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"and more")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)


def rewrite(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[::-1])
    os.utime(path, ns=(0, 0))


def shorten(path: Path) -> None:
    os.truncate(path, PIECE + 5)


@pytest.mark.parametrize("change", [grow, replace, rewrite, shorten])
def test_a_file_that_changes_while_it_is_read_is_refused(
    installation: object, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "usage.csv"
    path.write_bytes(b"uid,ts\n" + b"x" * 2 * PIECE)
    changed: list[int] = []

    def told(size: int) -> None:
        if not changed:
            changed.append(size)
            change(path)

    with pytest.raises(NotReceived, match="changed while it was read"):
        receiving.receive_file(path, ORIGIN, told=told)

    assert kept() == (0, 0)


def test_a_file_that_does_not_change_is_received(installation: object, tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    path.write_bytes(b"uid,ts\n1,2\n")

    assert receiving.receive_file(path, ORIGIN).upload.size == 11


def test_a_file_that_is_not_there_says_so(installation: object, tmp_path: Path) -> None:
    with pytest.raises(NotReceived, match="cannot be read: No such file"):
        receiving.receive_file(tmp_path / "none.csv", ORIGIN)


@pytest.mark.django_db(transaction=True)
def test_a_full_disk_leaves_nothing(installation: object) -> None:
    def full(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT") and "usagefilepart" in sql and UsageFilePart.objects.exists():
            raise OperationalError("database or disk is full")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(full), pytest.raises(NotReceived, match=r"disk is full\. Nothing was kept"):
        send(b"x" * 3 * PIECE)

    assert kept() == (0, 0)


def test_a_source_that_breaks_off_leaves_nothing(installation: object) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            if UsageFilePart.objects.exists():
                raise ConnectionResetError("connection reset")
            return b"x" * size

    with pytest.raises(NotReceived, match="connection reset"):
        receiving.receive(Broken(), ORIGIN)

    assert kept() == (0, 0)


def test_what_was_given_up_while_it_was_received_is_removed(installation: object) -> None:
    upload = send(b"uid,ts\n1,2\n").upload
    UsageUpload.objects.filter(pk=upload.pk).update(state=State.RECEIVING, lease_until=upload.made_at)

    jobs.follow_files()

    assert kept() == (0, 0)


def test_a_file_that_comes_to_its_end_after_all_is_not_removed(
    installation: object, caplog: pytest.LogCaptureFixture
) -> None:
    upload = send(b"uid,ts\n1,2\n").upload
    UsageUpload.objects.filter(pk=upload.pk).update(state=State.RECEIVING, lease_until=upload.made_at)

    class Ended(logging.Handler):
        """Its last piece comes as it is taken for given up."""

        def emit(self, record: logging.LogRecord) -> None:
            UsageUpload.objects.filter(pk=upload.pk).update(state=State.LAYOUT, lease_until=None)

    ended = Ended(logging.WARNING)
    uploads.logger.addHandler(ended)
    try:
        jobs.follow_files()
    finally:
        uploads.logger.removeHandler(ended)

    assert kept() == (1, 1)


def test_a_file_that_was_given_up_meanwhile_is_not_received(installation: object) -> None:
    with pytest.raises(NotReceived, match="Nothing of it came for too long, so it was given up"):
        send(b"uid,ts\n1,2\n", told=lambda size: UsageUpload.objects.all().delete())

    assert kept() == (0, 0)


def test_memory_stays_flat(installation: object) -> None:
    made = Made(os.urandom(PIECE) for _ in range(40))

    tracemalloc.start()
    try:
        receiving.receive(made, ORIGIN)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 12 * PIECE


def test_the_same_bytes_are_told_with_what_became_of_them(link: AccountLink) -> None:
    content = table([line(link, "a")])
    first = checked(content, "march.csv", by="bob")

    again = send(content, "march again.csv")

    assert again.before == first
    assert f"as march.csv (file {first.pk}), from bob: on its way to m3ter." in again.about_before
    assert "All 1 rows are good." in again.about_before
    assert "Nothing of them is counted twice." in again.about_before


def test_a_file_whose_columns_say_it_all_is_checked_by_itself(link: AccountLink) -> None:
    upload = send(table([line(link, "a")])).upload

    assert (upload.state, upload.format) == (State.CHECKING, "csv")


def test_a_file_waits_for_a_person_who_is_to_look_at_it(link: AccountLink) -> None:
    upload = send(table([line(link, "a")]), layout=None).upload

    assert upload.state == State.LAYOUT
    assert Layout.from_json(upload.layout).roles["uid"] == "uid"


def test_items_of_json_need_no_layout(link: AccountLink) -> None:
    assert send(b'[{"uid": "a"}]', "a.json").upload.state == State.CHECKING
    assert send(b'[{"uid": "b"}]', "a.json", layout=None).upload.state == State.LAYOUT


def test_columns_with_names_of_their_own_are_confirmed_once_and_remembered(link: AccountLink) -> None:
    content = table([{"sub": 1, "when": 2, "how many": 3, "nr": 4}], tuple(OWN))
    upload = send(content).upload
    assert upload.state == State.LAYOUT

    uploads.confirm_layout(upload, Layout(OWN, METER), by="ann")
    again = send(table([{"sub": 5}], (*reversed(OWN),))).upload

    assert upload.state == State.CHECKING
    assert again.state == State.CHECKING
    assert Layout.from_json(again.layout) == Layout(OWN, METER)
    assert UsageLayout.objects.get().by == "ann"


def test_a_layout_that_cannot_be_is_refused_with_all_that_is_wrong(link: AccountLink) -> None:
    upload = send(b"sub,when\n1,2\n", layout=None).upload

    with pytest.raises(LayoutWrong) as refused:
        uploads.confirm_layout(upload, Layout({"sub": "paddle_subscription_id", "what": "ts"}), by="ann")

    assert "column what: The file has no such column." in str(refused.value)
    assert "No column holds what was used." in str(refused.value)
    upload.refresh_from_db()
    assert upload.state == State.LAYOUT


def test_a_file_that_shows_at_once_that_it_cannot_be_read_has_failed(installation: object) -> None:
    upload = send("uid,größe\n".encode("utf-16"), "a.csv").upload

    assert upload.state == State.FAILED
    assert "UTF-16" in upload.note


def test_a_packed_file_is_read_as_what_is_in_it(link: AccountLink) -> None:
    upload = checked(gzip.compress(table([line(link, "a")])), "usage.csv.gz")

    assert (upload.format, upload.accepted) == ("csv", 1)


def test_a_preview_shows_rows_items_and_what_is_wrong_and_stores_nothing(link: AccountLink) -> None:
    upload = send(table([line(link, "a", "1,5"), line(link, "b")]), layout=None).upload

    seen = file_layouts.preview(upload)

    assert [shown.row.number for shown in seen.rows] == [2, 3]
    assert seen.rows[1].item["values"] == {"calls": "1"}
    assert "column values.calls:" in str(seen.rows[0].problems[0])
    assert seen.rows[1].problems == ()
    assert (seen.problems, seen.has_own_uids) == ((), True)
    upload.refresh_from_db()
    assert (upload.state, upload.rows, upload.batches.count()) == (State.LAYOUT, 0, 0)


def test_a_preview_can_try_another_layout(link: AccountLink) -> None:
    upload = send(b"sub,when\n1,2\n", layout=None).upload

    seen = file_layouts.preview(upload, layout=Layout({"sub": "m3ter_account_code"}))

    assert "No column says when it was used." in str(seen.problems[0])
    assert not seen.has_own_uids
    assert "m3ter account '1'" in str(seen.rows[0].problems[0])


def test_a_file_has_a_name_without_its_folder(installation: object) -> None:
    assert send(b"a,b\n1,2\n", "C:\\data\\märz\x00.csv").upload.name == "märz.csv"
