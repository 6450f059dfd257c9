"""The command that uploads usage: it says what is wrong, goes on where it was, and needs no worker to check a file."""

import io
import json
import os
import re
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from integration_project.vendors.m3ter.simulator import M3terSimulator
from paddle_sync.management.commands import upload_usage
from paddle_sync.models import AccountLink, UsageBatch, UsageFilePart, UsageLayout, UsageUid, UsageUpload, WebhookEvent
from paddle_sync.usage import file_checking, jobs, uploads
from tests.paddle_sync.usage.files import Made
from tests.paddle_sync.usage.metered import METER, accept, at, item, totals
from tests.paddle_sync.usage.sent_files import COLUMNS, checked, line, send, sent_until_done, table
from tests.paddle_sync.usage.test_receiving import OWN

pytestmark = pytest.mark.django_db
State = UsageUpload.State


class Terminal(io.StringIO):
    """Where somebody watches."""

    def isatty(self) -> bool:
        return True


def no_pause(seconds: float) -> None:
    """Wait for a worker that does its part meanwhile."""
    sent_until_done()


def run_it(
    *arguments: object, stdin: Any = None, pause: Callable[[float], object] = no_pause, out: io.StringIO | None = None
) -> str:
    command = upload_usage.Command()
    command.pause = pause
    command.stdin = stdin
    stdout = out or io.StringIO()
    call_command(command, *map(str, arguments), stdout=stdout)
    return numbered(stdout.getvalue())


def refused(*arguments: object, status: int, **options: Any) -> str:
    """Run it to an exit status: what it said on both channels."""
    stdout = io.StringIO()
    with pytest.raises(CommandError) as error:
        run_it(*arguments, out=stdout, **options)
    assert error.value.returncode == status, error.value
    return numbered(f"{stdout.getvalue()}{error.value}")


def numbered(said: str) -> str:
    """What was said, with the first file's number as 1, whatever the database counted before."""
    first = UsageUpload.objects.order_by("pk").values_list("pk", flat=True).first()
    return re.sub(rf"\b([Ff]ile) {first}\b", r"\1 1", said)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.csv"


def test_a_good_file_is_checked_here_and_left_to_the_outbox(
    link: AccountLink, m3ter: M3terSimulator, path: Path
) -> None:
    path.write_bytes(table(line(link, f"u{number}") for number in range(1_500)))

    said = run_it(path)

    assert said.splitlines()[0] == f"{path.stat().st_size:,} bytes received as file 1."
    assert said.splitlines()[-2:] == ["1,500 rows: 1,500 accepted.", "File 1 is on its way to m3ter."]
    assert UsageBatch.objects.filter(state="ready").count() == 2
    assert UsageUpload.objects.get().by.startswith("command, ")


def test_wrong_rows_are_said_and_nothing_is_sent(link: AccountLink, path: Path) -> None:
    path.write_bytes(table([line(link, "a"), line(link, "b", "1,5"), *(line(link, "", "x") for _ in range(12))]))

    said = refused(path, status=1)

    assert "14 rows: 1 accepted, 13 refused (13 not_a_number).\n" in said
    assert 'row 3, column values.calls: "1,5" is not a number in plain digits. Write 1.5' in said
    assert "... and 3 more\n" in said
    assert said.endswith(
        "Run it again with --send-good to send the 1 good rows, or decide about file 1 in the console."
    )
    assert not UsageBatch.objects.exclude(state="staged").exists()


def test_the_good_rows_are_sent_and_the_others_written_down(
    link: AccountLink, m3ter: M3terSimulator, path: Path, tmp_path: Path
) -> None:
    path.write_bytes(table([line(link, "a"), line(link, "b", "x")]))
    wrong = tmp_path / "wrong.csv"
    refused(path, status=1)

    said = refused(path, "--send-good", "--rejected", wrong, status=1)
    jobs.send()

    assert said.startswith("Going on with file 1: usage.csv (checked: to be decided).")
    assert said.endswith("1 rows are wrong and were not sent.")
    assert wrong.read_text().splitlines()[1].startswith('"b",')
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(1)}

    wrong.write_text(wrong.read_text().replace('"x"', '"2"'))
    run_it(wrong)
    jobs.send()
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(3)}


def test_the_same_file_again_is_told_and_counts_nothing_twice(
    link: AccountLink, m3ter: M3terSimulator, path: Path
) -> None:
    path.write_bytes(table([line(link, "", 2), line(link, "", 3)]))
    run_it(path)
    sent_until_done()

    said = run_it(path, "--wait")

    assert said.startswith("The same bytes were received on ")
    assert "2 rows: 0 accepted, 2 duplicate.\n" in said
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(5)}


def test_what_was_interrupted_goes_on_where_it_was(link: AccountLink, m3ter: M3terSimulator, path: Path) -> None:
    path.write_bytes(table(line(link, f"u{number}") for number in range(2_500)))
    carry_on = file_checking.carry_on

    def interrupted(upload: UsageUpload, *, told: Callable[[UsageUpload], object]) -> None:
        def stop(row: UsageUpload) -> None:
            raise KeyboardInterrupt

        carry_on(upload, told=stop)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(file_checking, "carry_on", interrupted)
        said = refused(path, status=130)
    upload = UsageUpload.objects.get()
    assert "File 1 is checked on by the workers; run the same command again to go on here." in said
    assert (upload.state, upload.rows, upload.lease) == (State.CHECKING, 1_000, None)

    said = run_it(path)

    assert said.startswith("Going on with file 1: usage.csv (being checked).\n")
    assert "2,500 rows: 2,500 accepted." in said
    assert UsageUpload.objects.count() == 1


def test_a_paused_file_goes_on(link: AccountLink, path: Path) -> None:
    path.write_bytes(table([line(link, "a")]))
    uploads.pause(send(path.read_bytes()).upload)

    assert "1 rows: 1 accepted." in run_it(path)


def test_an_interrupted_receiving_keeps_nothing(link: AccountLink) -> None:
    class Interrupted(Made):
        def read(self, size: int, /) -> bytes:
            if UsageFilePart.objects.exists():
                raise KeyboardInterrupt
            return super().read(size)

    said = refused("-", stdin=Interrupted([b"x" * 2_000_000]), status=130)

    assert said.endswith("Interrupted; nothing was kept.")
    assert not UsageUpload.objects.exists()


def test_another_program_may_write_it(link: AccountLink, m3ter: M3terSimulator) -> None:
    content = json.dumps([item(link, "a", 4)]).encode()

    said = run_it("-", "--wait", stdin=io.BytesIO(content))

    assert "No worker runs at the moment; it is sent as soon as one does.\n" in said
    assert said.endswith("m3ter has taken 1 measurements.\n")
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(4)}


def test_what_another_program_writes_again_goes_on_as_the_file_it_was(link: AccountLink) -> None:
    content = table([line(link, "a")])
    send(content)

    said = run_it("-", stdin=io.BytesIO(content))

    assert "Going on with file 1: usage.csv (being checked)." in said
    assert list(UsageUpload.objects.order_by("pk").values_list("state", flat=True)) == ["sending", "discarded"]


def test_columns_are_said_once_and_remembered(link: AccountLink, path: Path) -> None:
    path.write_bytes(
        table([{"sub": link.paddle_subscription_id, "when": at(hours=1), "how many": 3, "nr": 1}], tuple(OWN))
    )
    columns = ",".join(f"{column}={role}" for column, role in OWN.items())

    assert "Nothing says what the columns mean (sub=paddle_subscription_id, when=?" in refused(path, status=2)
    assert "1 accepted" in run_it(path, "--columns", columns, "--meter", METER)
    path.write_bytes(path.read_bytes().replace(b",3,", b",4,").replace(b",1\n", b",2\n"))

    assert "1 accepted" in run_it(path)
    assert UsageLayout.objects.count() == 1


def test_a_layout_may_be_a_file_and_name_key_columns(link: AccountLink, path: Path, tmp_path: Path) -> None:
    path.write_bytes(
        table([{"sub": link.paddle_subscription_id, "when": at(hours=1), "how many": 3, "nr": 1}], tuple(OWN))
    )
    roles = {column: role for column, role in OWN.items() if column != "nr"}
    layout = tmp_path / "layout.json"
    layout.write_text(json.dumps({"roles": roles, "meter": METER, "key": ["nr"]}))

    assert "1 accepted" in run_it(path, "--layout", layout)
    sent_until_done()
    assert "1 duplicate" in run_it(path, "--layout", layout.read_text())


def test_a_file_that_was_read_wrongly_is_checked_again_with_what_is_said_of_its_columns(
    link: AccountLink, path: Path
) -> None:
    path.write_bytes(table([line(link, "a", METER, meter=3)]))
    refused(path, status=1)
    swapped = {**{name: name for name in COLUMNS}, "meter": "values.calls", "values.calls": "meter"}

    assert "1 rows: 1 accepted." in run_it(path, "--layout", json.dumps({"roles": swapped}))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--columns", "sub"], "'sub' is not COLUMN=MEANING."),
        (["--layout", "{"], "--layout: it must be like"),
        (["--layout", "/none.json"], "--layout: it must be like"),
        (["--key", "a"], "--meter and --key go with --columns."),
        (["--columns", "sub=paddle_subscription_id"], "No column says when it was used."),
    ],
)
def test_wrong_arguments_are_said(link: AccountLink, path: Path, arguments: list[str], says: str) -> None:
    path.write_bytes(b"sub,when\n1,2\n")

    assert says in refused(path, *arguments, status=2)


def test_a_file_that_is_not_there_or_cannot_be_read_says_so(link: AccountLink, path: Path) -> None:
    assert "No such file" in refused(path, status=1)
    path.write_bytes(b"PK\x03\x04xxxx")
    assert "zip archive or a spreadsheet" in refused(path, status=1)
    assert "zip archive or a spreadsheet" in refused(path, "--dry-run", status=1)


def test_a_dry_run_says_everything_and_stores_nothing(
    link: AccountLink, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_checking, "CHUNK", 3)
    accept(item(link, "known", 1, ts=at(hours=5)))
    rows = [
        line(link, "a", 1),
        line(link, "a", 1),
        line(link, "known", 1),
        line(link, "known", 2),
        line(link, "a", 5),
        line(link, "a", 1),
        line(link, "b", "x"),
    ]
    path.write_bytes(table(rows))
    before = (UsageUid.objects.count(), WebhookEvent.objects.count())

    said = refused(path, "--dry-run", "--rejected", tmp_path / "wrong.csv", status=1)

    assert "7 rows: 1 would be accepted, 3 duplicate, 3 wrong (2 conflict, 1 not_a_number).\n" in said
    assert "row 8, column values.calls: " in said
    assert "Nothing was stored or sent.\n" in said
    assert len((tmp_path / "wrong.csv").read_text().splitlines()) == 4
    assert (UsageUid.objects.count(), WebhookEvent.objects.count()) == before
    assert not UsageUpload.objects.exists()


def test_a_dry_run_of_a_good_file_ends_well(link: AccountLink, path: Path) -> None:
    path.write_bytes(table([line(link, "a")]))

    assert "1 rows: 1 would be accepted.\nNothing was stored or sent.\n" in run_it(path, "--dry-run")


def test_what_a_dry_run_says_is_what_happens(link: AccountLink, path: Path) -> None:
    path.write_bytes(table([line(link, "a"), line(link, "a"), line(link, "a", 2), line(link, "b", meter="no")]))

    dry = refused(path, "--dry-run", status=1)
    upload = checked(path.read_bytes())

    assert "4 rows: 1 would be accepted, 1 duplicate, 2 wrong" in dry
    assert (upload.accepted, upload.duplicate, upload.rejected) == (1, 1, 2)


def test_a_terminal_sees_a_bar(link: AccountLink, path: Path) -> None:
    path.write_bytes(table(line(link, f"u{number}") for number in range(1_500)))
    terminal = Terminal()

    run_it(path, out=terminal)

    assert "\r\033[K[####" in terminal.getvalue()
    assert "] 1,000 rows checked" in terminal.getvalue()


def test_waiting_ends_where_m3ter_does_not_take_it(link: AccountLink, path: Path) -> None:
    path.write_bytes(table([line(link, "a")]))

    def failing(seconds: float) -> None:
        UsageBatch.objects.update(state=UsageBatch.State.FAILED)

    assert "m3ter did not take 1 measurements" in refused(path, "--wait", pause=failing, status=1)


def test_waiting_can_be_interrupted(link: AccountLink, path: Path) -> None:
    path.write_bytes(table([line(link, "a")]))

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    assert "Not waited for. The workers send file 1." in refused(path, "--wait", pause=interrupted, status=130)


def in_two_ways(link: AccountLink, path: Path, *counts: object) -> tuple[str, str]:
    """A file with two columns of numbers, and what to say to have the one or the other counted."""
    rows = [{**line(link, f"u{row}"), "values.calls": each, "other": 7} for row, each in enumerate(counts)]
    path.write_bytes(table(rows, (*COLUMNS, "other")))
    roles = {name: name for name in COLUMNS if name != "values.calls"}
    first, second = ({**roles, column: "values.calls"} for column in ("values.calls", "other"))
    return json.dumps({"roles": first}), json.dumps({"roles": second})


def test_good_rows_are_sent_as_the_columns_are_said_to_be_now(
    link: AccountLink, m3ter: M3terSimulator, path: Path
) -> None:
    wrong, right = in_two_ways(link, path, 1, "x")
    refused(path, "--layout", wrong, status=1)

    assert "2 rows: 2 accepted." in run_it(path, "--layout", right, "--send-good")
    jobs.send()

    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(14)}


def test_the_good_rows_are_those_of_what_the_columns_are_said_to_be_now(
    link: AccountLink, m3ter: M3terSimulator, path: Path
) -> None:
    right, _ = in_two_ways(link, path, 1, "x")
    swapped = {**json.loads(right)["roles"], "uid": "meter", "meter": "uid"}
    assert "2 rows: 0 accepted" in refused(path, "--layout", json.dumps({"roles": swapped}), status=1)

    said = refused(path, "--layout", right, "--send-good", status=1)
    jobs.send()

    assert said.endswith("1 rows are wrong and were not sent.")
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(1)}


@pytest.mark.parametrize("state", ["checking", "paused", "sending"])
def test_a_file_that_is_read_by_other_columns_is_not_gone_on_with(link: AccountLink, path: Path, state: str) -> None:
    wrong, right = in_two_ways(link, path, 1)
    upload = send(path.read_bytes(), layout=upload_usage._layout(wrong)).upload
    if state == "sending":
        jobs.check_files()
    if state == "paused":
        uploads.pause(upload)

    said = refused(path, "--layout", right, status=2)

    assert "is read by other columns already" in said
    upload.refresh_from_db()
    assert upload.state == state


def test_the_good_rows_of_a_file_that_was_not_read_to_its_end_cannot_be_sent(
    link: AccountLink, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_checking, "MOST_REJECTED", 2)
    path.write_bytes(table([*(line(link, f"u{row}", "x") for row in range(3)), line(link, "a")]))
    refused(path, status=1)

    said = refused(path, "--send-good", status=1)

    assert said.endswith(
        "It was not read to its end, because so many rows are wrong. Correct its layout, or discard it."
    )


def test_a_paused_file_goes_on_with_its_good_rows(link: AccountLink, path: Path) -> None:
    path.write_bytes(table([line(link, "a"), line(link, "b", "x")]))
    uploads.pause(send(path.read_bytes()).upload)

    said = refused(path, "--send-good", status=1)

    assert said.endswith("1 rows are wrong and were not sent.")
    assert UsageUpload.objects.get().state == State.SENDING


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_wrong_rows_never_overwrite_the_file_itself(link: AccountLink, path: Path, dry: tuple[str, ...]) -> None:
    content = table([line(link, "a"), line(link, "b", "x")])
    path.write_bytes(content)

    said = refused(path, "--rejected", path.parent / "." / path.name, *dry, status=2)

    assert "--rejected names the file itself" in said
    assert path.read_bytes() == content
    assert not UsageUpload.objects.exists()


def test_a_full_disk_under_the_wrong_rows_is_said(link: AccountLink, path: Path) -> None:
    path.write_bytes(table([line(link, "b", "x")]))

    assert refused(path, "--rejected", "/dev/full", status=1).endswith("/dev/full: No space left on device")


def test_a_dry_run_reads_what_can_be_read_only_once(link: AccountLink, path: Path) -> None:
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    content = table([line(link, "a")])
    writer = threading.Thread(target=lambda: pipe.write_bytes(content), daemon=True)
    writer.start()

    said = run_it(pipe, "--dry-run")

    assert "1 rows: 1 would be accepted." in said
    writer.join()


def test_the_progress_of_another_file_is_not_shown(link: AccountLink, path: Path) -> None:
    send(table(line(link, f"other{number}") for number in range(1_200)))
    path.write_bytes(table([line(link, "a")]))

    said = run_it(path)

    assert "1,000 rows checked" not in said
    assert "1 rows checked" in said
