"""A received file is checked row by row: what is wrong is told with its row and column, and nothing is sent before."""

import gc
import json
import logging
import time
import tracemalloc
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integration_project import clock, pulse, work
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync.models import AccountLink, UsageBatch, UsageRejects, UsageUid, UsageUpload
from paddle_sync.usage import file_checking, jobs, receipts, unlinked, uploads
from paddle_sync.usage.layouts import Layout
from paddle_sync.usage.queues import UPLOADS
from paddle_sync.usage.rows import MIB, FileRow
from tests.builders import make_event, paddle_id
from tests.paddle_sync.usage.metered import METER, accept, at, item, totals
from tests.paddle_sync.usage.sent_files import COLUMNS, OnErrors, checked, followed, line, send, sent_until_done, table

pytestmark = pytest.mark.django_db
State = UsageUpload.State
Run = Callable[[], int]


def said(upload: UsageUpload) -> list[tuple[int, str, str]]:
    """The rejected rows: number, column, reason."""
    return [
        (each.row.number, each.problems[0].column, each.problems[0].reason) for each in receipts.rejected_rows(upload)
    ]


def staged() -> int:
    return UsageBatch.objects.filter(state=UsageBatch.State.STAGED).count()


def test_a_good_file_reaches_m3ter_by_itself(link: AccountLink, m3ter: M3terSimulator, run_jobs: Run) -> None:
    upload = checked(table(line(link, f"u{number}", number) for number in range(1, 2_501)))
    assert (upload.state, upload.rows, upload.accepted) == (State.SENDING, 2_500, 2_500)

    run_jobs()

    assert followed(upload).state == State.DONE
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(2_500 * 2_501 // 2)}
    assert UsageUid.objects.count() == 2_500
    assert UsageBatch.objects.count() == 3


def test_every_wrong_row_is_told_with_its_column_and_nothing_is_sent(link: AccountLink, m3ter: M3terSimulator) -> None:
    rows = [
        line(link, "a"),
        line(link, "b", "1,5"),
        line(link, "c", meter="no_such"),
        line(link, "d", ts="2026-03-01 10:00"),
        line(link, "e", paddle_subscription_id="sub_mistyped"),
        line(link, "f", "NaN"),
    ]

    upload = checked(table(rows) + b"too,few\n")
    jobs.send()

    assert (upload.state, upload.accepted, upload.refused) == (State.DECIDING, 1, 6)
    assert [(row, column) for row, column, _ in said(upload)] == [
        (3, "values.calls"),
        (4, "meter"),
        (5, "ts"),
        (6, "paddle_subscription_id"),
        (7, "values.calls"),
        (8, "meter"),
    ]
    assert upload.note == "6 of 7 rows are wrong."
    assert upload.reasons == {
        "not_a_number": 2,
        "unknown_meter": 1,
        "bad_time": 1,
        "unknown_subscription": 1,
        "unreadable": 1,
    }
    assert totals(m3ter) == {}
    assert (staged(), UsageUid.objects.count()) == (1, 1)


def test_rejected_rows_leave_as_a_file_that_comes_back_without_doubling(
    link: AccountLink, m3ter: M3terSimulator
) -> None:
    first = checked(table([line(link, "a", 1), line(link, "=b", "2,5")]), on_errors=OnErrors.SEND_GOOD)
    rejected = "".join(receipts.rejected_csv(first))
    assert (
        rejected.splitlines()[0] == '"uid","paddle_subscription_id","meter","ts","values.calls","row","column","reason"'
    )
    assert rejected.splitlines()[1].startswith('"\'=b",')

    again = checked(rejected.replace("2,5", "2.5").encode(), "corrected.csv")
    sent_until_done()

    assert (again.state, again.accepted) == (State.SENDING, 1)
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal("3.5")}


def test_repeats_are_no_errors_and_conflicts_are(link: AccountLink, m3ter: M3terSimulator) -> None:
    accept(item(link, "before", 7, ts=at(hours=5)))
    rows = [
        line(link, "a", 1),
        line(link, "a", "1.0"),
        line(link, "a", 2),
        line(link, "before", 7),
        line(link, "before", 8),
        *(line(link, f"u{number}") for number in range(1_000)),
        line(link, "a", 1),
        line(link, "a", 3),
    ]

    upload = checked(table(rows))

    assert (upload.state, upload.accepted, upload.duplicate, upload.conflict) == (State.DECIDING, 1_001, 3, 3)
    assert [row for row, _, _ in said(upload)] == [4, 6, 1_008]
    assert {reason.partition(",")[0] for _, _, reason in said(upload)} == {
        "usage with this uid and other content was taken before"
    }


def test_a_uid_of_another_undecided_file_is_refused_and_says_which(link: AccountLink) -> None:
    first = checked(table([line(link, "a")]), "march.csv", on_errors=OnErrors.ASK)
    assert first.state == State.DECIDING

    upload = checked(table([line(link, "a"), line(link, "b")]), "april.csv")

    assert (upload.accepted, upload.refused, upload.reasons) == (1, 1, {"undecided": 1})
    assert f"in file {first.pk}, which nobody has decided about yet" in said(upload)[0][2]


def test_rows_without_uid_are_told_apart_by_the_file_and_their_place(link: AccountLink, m3ter: M3terSimulator) -> None:
    content = table([line(link, ""), line(link, ""), line(link, "")])

    checked(content)
    again = checked(content, "copy.csv")
    sent_until_done()

    assert (again.accepted, again.duplicate) == (0, 3)
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(3)}


def test_key_columns_tell_rows_apart_in_whatever_file_they_stand(link: AccountLink) -> None:
    columns = ("invoice", "line", *COLUMNS[1:])
    layout = Layout({name: name for name in COLUMNS[1:]}, key=("invoice", "line"))
    rows = [line(link, "", invoice=1, line=1), line(link, "", invoice=1, line=2), line(link, "", invoice=11, line=1)]
    without = [{name: cell for name, cell in row.items() if name != "uid"} for row in rows]

    first = checked(table(without, columns), layout=layout)
    second = checked(table(reversed(without), columns), "other.csv", layout=layout)

    assert (first.accepted, second.accepted, second.duplicate) == (3, 0, 3)


def test_items_of_json_are_checked_like_requests(link: AccountLink) -> None:
    lines = [item(link, "a", 1), item(link, "b", "1"), {"meter": METER}, item(link, "c", 2, surprise=1)]
    content = "\n".join(json.dumps(each) for each in lines)

    upload = checked(content.encode(), "usage.jsonl")

    assert (upload.format, upload.accepted, upload.refused) == ("jsonl", 1, 3)
    assert [(row, column) for row, column, _ in said(upload)] == [
        (2, "values.calls"),
        (3, "paddle_subscription_id"),
        (4, "surprise"),
    ]
    assert [each.row.values.get("values.calls") for each in receipts.rejected_rows(upload)] == ["1", None, "2"]
    rejected = "".join(receipts.rejected_csv(upload))
    assert '"values.calls","row","column","reason"' in rejected.splitlines()[0]
    assert len(rejected.splitlines()) == 4


def test_usage_that_waits_for_its_account_is_held_once_the_file_is_sent(
    link: AccountLink, m3ter: M3terSimulator
) -> None:
    waiting = paddle_id("sub")
    make_event("subscription.created", {"id": waiting})
    rows = [line(link, "a"), line(link, "b", paddle_subscription_id=waiting)]

    upload = checked(table(rows), on_errors=OnErrors.ASK)
    assert (upload.accepted, upload.held, staged()) == (2, 1, 2)
    uploads.release(upload, by="ann")
    sent_until_done()

    assert followed(upload).state == State.DONE
    assert receipts.receipt(upload).progress.held == 1
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(1)}


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (b'uid,paddle_subscription_id,meter,ts,values.calls\na,"b', "a.csv", "Row 2: A quotation mark opens a cell"),
        (b"uid,paddle_subscription_id,meter,ts,values.calls\n", "a.csv", "Row 1: It holds a header and no rows."),
        (b'[{"uid": "a"}, {"uid": ', "a.json", "Row 2: "),
    ],
)
def test_a_file_that_cannot_be_read_fails_with_row_and_remedy(
    link: AccountLink, content: bytes, name: str, says: str
) -> None:
    upload = checked(content, name)

    assert upload.state == State.FAILED
    assert upload.note.startswith(says)


def test_a_file_that_breaks_off_late_leaves_nothing_staged(link: AccountLink, m3ter: M3terSimulator) -> None:
    content = table(line(link, f"u{number}") for number in range(2_500)) + b'x,"open'

    upload = checked(content, on_errors=OnErrors.SEND_GOOD)
    sent_until_done()

    assert upload.state == State.FAILED
    assert upload.note.startswith("Row 2502: A quotation mark opens a cell")
    assert (UsageBatch.objects.count(), UsageUid.objects.count(), totals(m3ter)) == (0, 0, {})


def test_too_many_wrong_rows_end_the_reading_and_another_layout_begins_it_again(
    link: AccountLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_checking, "MOST_REJECTED", 1_500)
    rows = [line(link, f"u{number}", meter="7", values__calls=METER) for number in range(5_000)]
    upload = checked(table(rows), on_errors=OnErrors.SEND_GOOD)

    assert (upload.state, upload.rows, upload.can_be_sent) == (State.DECIDING, 2_000, False)
    assert "the columns are probably mapped wrongly. It cannot be sent." in upload.note
    with pytest.raises(Exception, match="was not read to its end"):
        uploads.release(upload, by="ann")

    swapped = {**{name: name for name in COLUMNS}, "meter": "values.calls", "values.calls": "meter"}
    uploads.confirm_layout(upload, Layout(swapped), by="ann")
    jobs.check_files()

    upload.refresh_from_db()
    assert (upload.state, upload.accepted, upload.refused) == (State.SENDING, 5_000, 0)
    assert not UsageRejects.objects.exists()


def test_a_check_goes_on_after_the_last_whole_chunk(link: AccountLink, m3ter: M3terSimulator) -> None:
    content = table(line(link, f"u{number}") for number in range(3_500))
    upload = send(content).upload
    seen: list[int] = []

    def killed(row: UsageUpload) -> None:
        seen.append(row.rows)
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            work.drain(UPLOADS, lambda row: file_checking.carry_on(row, told=killed))
        UsageUpload.objects.update(lease_until=clock.now())
        work.release_expired(UPLOADS)
        UsageUpload.objects.update(due_at=clock.now())
    sent_until_done()

    assert seen == [1_000, 2_000]
    assert (followed(upload).rows, upload.accepted, upload.duplicate) == (3_500, 3_500, 0)
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(3_500)}


def test_a_turn_ends_so_that_other_work_gets_a_worker(link: AccountLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paddle_sync.usage.file_checking.TURN", 0.0)
    monkeypatch.setattr(file_checking, "SKIPPING_SHARE", 0)
    upload = send(table(line(link, f"u{number}") for number in range(2_500))).upload

    work.drain(UPLOADS, file_checking.carry_on, limit=1)

    upload.refresh_from_db()
    assert (upload.state, upload.rows, upload.attempts, upload.lease) == (State.CHECKING, 1_000, 0, None)


def test_a_worker_that_ends_gives_the_file_back(link: AccountLink, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = send(table(line(link, f"u{number}") for number in range(2_500))).upload
    monkeypatch.setattr(pulse, "stopping", lambda: UsageUid.objects.exists())

    jobs.check_files()

    upload.refresh_from_db()
    assert (upload.state, upload.rows) == (State.CHECKING, 1_000)


def test_turns_grow_with_what_finding_the_place_takes() -> None:
    assert file_checking.turn(0.1) == work.TURN
    assert file_checking.turn(5.0) == 20.0
    assert file_checking.turn(100.0) == file_checking.LONGEST_TURN


def test_pausing_takes_effect_at_the_next_chunk(link: AccountLink) -> None:
    upload = send(table(line(link, f"u{number}") for number in range(2_500))).upload

    def pausing(row: UsageUpload) -> None:
        if row.rows == 1_000:
            uploads.pause(UsageUpload.objects.get())

    work.drain(UPLOADS, lambda row: file_checking.carry_on(row, told=pausing))

    upload.refresh_from_db()
    assert (upload.state, upload.rows, UsageUid.objects.count()) == (State.PAUSED, 1_000, 1_000)
    uploads.resume(upload)
    jobs.check_files()
    upload.refresh_from_db()
    assert (upload.state, upload.accepted) == (State.SENDING, 2_500)


def test_chunks_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wide:
        bytes_unpacked = 0

        def rows(self, skip: int) -> Iterator[FileRow]:
            for number in range(1, 11):
                self.bytes_unpacked += 2 * MIB
                yield FileRow(number, {})

    sizes = [len(rows) for rows in file_checking.chunks(Wide())]  # type: ignore[arg-type]

    assert max(sizes) <= 4
    assert sum(sizes) == 10


def test_a_subscription_nobody_told_of_is_looked_for_in_paddle(
    link: AccountLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def find(names: Any) -> dict[str, Any]:
        asked.append(len(names))
        return dict.fromkeys(names)

    monkeypatch.setattr(unlinked, "find", find)
    rows = [line(link, f"u{number}", paddle_subscription_id=paddle_id("sub")) for number in range(250)]

    upload = checked(table(rows))

    assert asked == [100, 100, 50]
    assert (upload.accepted, upload.held) == (250, 250)


def test_a_check_waits_while_paddle_cannot_be_asked(link: AccountLink, paddle: PaddleSimulator) -> None:
    stranger = paddle_id("sub")
    paddle.fault("list subscriptions", "error_before", times=None)

    upload = checked(table([line(link, "a", paddle_subscription_id=stranger)]))

    assert (upload.state, upload.rows) == (State.CHECKING, 0)
    assert upload.due_at is not None
    assert upload.due_at > clock.now()
    assert "whether this subscription exists cannot be told now" in upload.last_error

    UsageUpload.objects.update(attempts=file_checking.MOST_PUT_OFF, due_at=clock.now())
    jobs.check_files()
    upload.refresh_from_db()
    assert (upload.state, upload.reasons) == (State.DECIDING, {"cannot_tell": 1})


def test_a_fault_of_ours_ends_the_check_and_takes_back_what_was_staged(
    link: AccountLink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    upload = send(table(line(link, f"u{number}") for number in range(2_500))).upload
    keep = file_checking._keep

    def faulty(row: UsageUpload, *rest: Any) -> None:
        if row.rows:
            raise ZeroDivisionError
        keep(row, *rest)

    monkeypatch.setattr(file_checking, "_keep", faulty)
    with caplog.at_level(logging.CRITICAL):
        jobs.check_files()

    upload.refresh_from_db()
    assert upload.state == State.FAILED
    assert upload.note.startswith("A fault of this application (ZeroDivisionError)")
    assert (UsageBatch.objects.count(), UsageUid.objects.count()) == (0, 0)


def test_a_file_that_only_ends_workers_is_given_up(link: AccountLink) -> None:
    upload = send(table([line(link, "a")])).upload
    UsageUpload.objects.update(deaths=work.MOST_DEATHS)

    jobs.check_files()

    upload.refresh_from_db()
    assert upload.state == State.FAILED
    assert "10 workers in a row were lost" in upload.note


def test_a_chunk_takes_the_same_few_statements_however_many_rows_it_has(link: AccountLink) -> None:
    def statements(rows: int, prefix: str) -> int:
        send(table(line(link, f"{prefix}{number}") for number in range(rows)), f"{prefix}.csv")
        with CaptureQueriesContext(
            connection,
        ) as seen:
            jobs.check_files()
        return len(seen)

    assert statements(1_000, "many") <= statements(10, "few") + 1


def test_fifty_thousand_rows_reach_m3ters_totals(
    link: AccountLink, m3ter: M3terSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root.manager, "disable", logging.INFO)
    stamps = [at(hours=hours) for hours in range(1, 100)]
    head = ",".join(COLUMNS)
    rows = (
        f"event-{number},{link.paddle_subscription_id},{METER},{stamps[number % 99]},{number % 97}.25"
        for number in range(50_000)
    )
    upload = send("\n".join([head, *rows]).encode()).upload
    began = time.process_time()

    sent_until_done()

    assert time.process_time() - began < 60
    assert followed(upload).state == State.DONE
    expected = sum(number % 97 for number in range(50_000)) + Decimal("0.25") * 50_000
    assert totals(m3ter) == {(link.m3ter_account_code, METER): expected}


def test_the_column_is_named_where_the_amount_or_the_address_is_missing(link: AccountLink) -> None:
    columns = ("uid", "account", "meter", "ts", "calls")
    row = {"account": link.m3ter_account_code, "meter": METER, "ts": at(hours=5), "calls": 1}

    upload = checked(table([{**row, "uid": "a", "calls": ""}, {**row, "uid": "b", "account": ""}], columns))

    assert [(number, column) for number, column, _ in said(upload)] == [(2, "calls"), (3, "account")]


@pytest.mark.parametrize("pack", [table, lambda rows: json.dumps(list(rows)).encode()])
def test_long_texts_where_times_belong_do_not_stay_in_memory(link: AccountLink, pack: Callable[[Any], bytes]) -> None:
    row = {"paddle_subscription_id": link.paddle_subscription_id, "meter": METER}
    content = pack([{**row, "uid": f"u{number}", "ts": f"{number:030000}"} for number in range(200)])
    checked(content)
    tracemalloc.start()
    try:
        checked(content.replace(b"0" * 20_000, ("1" if pack is table else "2").encode() * 20_000))
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert kept < 2 * MIB


def test_a_worker_that_lost_a_file_is_no_fault(
    link: AccountLink, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_checking, "CHUNK", 1)
    upload = send(table([line(link, "a"), line(link, "b", "x")]), on_errors=OnErrors.ASK).upload
    (lost,) = work.claim(UPLOADS)

    def another_worker_takes_it(row: UsageUpload) -> None:
        uploads.pause(upload)
        uploads.resume(upload)
        jobs.check_files()

    file_checking.carry_on(lost, told=another_worker_takes_it)

    upload.refresh_from_db()
    assert (upload.state, upload.accepted, upload.rejected) == (State.DECIDING, 1, 1)
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []
