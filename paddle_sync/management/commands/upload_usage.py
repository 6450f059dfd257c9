"""`manage.py upload_usage`: send a file of usage, after all its rows were checked."""

import getpass
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import CommandError, CommandParser

from integration_project import clock, work
from integration_project.commands import CommandWithExamples
from integration_project.errors import NotPossible
from integration_project.models import Heartbeat
from paddle_sync.management import watching
from paddle_sync.models import UsageUpload
from paddle_sync.usage import file_checking, file_layouts, layouts, receipts, receiving, rejects, uploads
from paddle_sync.usage.file_layouts import AUTO, Choice, LayoutWrong
from paddle_sync.usage.file_trial import Trial
from paddle_sync.usage.layouts import Layout, LayoutUnreadable
from paddle_sync.usage.queues import UPLOADS
from paddle_sync.usage.receiving import Origin
from paddle_sync.usage.rejects import Rejected
from paddle_sync.usage.rows import MIB, FileUnreadable

EXAMPLES = """
examples:
  manage.py upload_usage march.csv
      check every row; if all are good, send them, else say what is wrong and send nothing
  manage.py upload_usage march.csv --send-good --rejected wrong.csv
      send the good rows, and write the others into a file to correct and upload again
  manage.py upload_usage march.csv --columns "sub=paddle_subscription_id,when=ts,calls=values.calls" --meter api_calls
      say what the columns mean; that is remembered for the next file with the same columns
  manage.py upload_usage march.csv --columns "..." --key invoice,line
      the same, where two columns together tell a row from all others
  manage.py upload_usage march.jsonl.gz --dry-run
      check every row and store nothing
  zcat *.gz | manage.py upload_usage - --wait
      from another program, and wait until m3ter has it

A file that was interrupted goes on where it was by running the same command again, here or on the workers.

exit status: 0 every row is good and will be sent (--wait: m3ter has it), 1 rows are wrong or the file cannot be read,
2 wrong arguments, or nothing says what the columns mean, 130 interrupted
"""
STDIN = "-"
INTERVAL = 1.0
SAMPLE = 10
ALIVE = timedelta(seconds=15)
State = UsageUpload.State
UNFINISHED = (State.LAYOUT, State.CHECKING, State.RUNNING, State.PAUSED, State.DECIDING, State.SENDING)
BEING_CHECKED = (State.CHECKING, State.RUNNING)


class Command(CommandWithExamples):
    """Receives a file, or finds it again, has it checked, and says what became of it."""

    help = "Send a file of usage: CSV, JSON or JSON Lines, packed with gzip or not. All rows are checked first."
    examples = EXAMPLES
    requires_migrations_checks = True
    pause: Callable[[float], object] = staticmethod(time.sleep)
    stdin: BinaryIO | None = None
    _shown = -1

    def add_arguments(self, parser: CommandParser) -> None:
        """Which file, what its columns mean, and what to do with wrong rows."""
        parser.add_argument("file", help="path of the file, or - for what another program writes")
        meaning = parser.add_mutually_exclusive_group()
        meaning.add_argument("--layout", help="what the columns mean, as JSON or the path of a file of it")
        meaning.add_argument("--columns", metavar="COLUMN=MEANING,...", help="what the columns mean")
        parser.add_argument("--meter", default="", help="with --columns: the meter of every row")
        parser.add_argument("--key", default="", metavar="COLUMN,...", help="with --columns: what tells rows apart")
        parser.add_argument("--send-good", action="store_true", help="send the good rows although others are wrong")
        parser.add_argument(
            "--rejected", type=Path, metavar="FILE", help="write the rows that are wrong into this file"
        )
        parser.add_argument("--dry-run", action="store_true", help="check every row and store nothing")
        parser.add_argument("--wait", action="store_true", help="wait until m3ter has taken it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Go from the file to its outcome, or from wherever an earlier attempt was."""
        choice = _choice(options)
        if _is_same(options["rejected"], options["file"]):
            raise CommandError("--rejected names the file itself, which would be lost. Name another.", returncode=2)
        try:
            if options["dry_run"]:
                self._try(options, choice)
                return
            upload = self._found(options, choice) or self._received(options, choice)
            self._decide_layout(upload, choice)
            self._check(upload)
            self._tell(upload, options)
        except (NotPossible, FileUnreadable) as problem:
            raise CommandError(str(problem), returncode=1) from problem
        except OSError as problem:
            raise CommandError(f"{problem.filename or options['file']}: {problem.strerror}", returncode=1) from problem

    # --- Receiving it, or finding it again

    def _found(self, options: dict[str, Any], choice: Choice) -> UsageUpload | None:
        """Find the unfinished file with these bytes, if they lie on the disk and were received before."""
        if options["file"] == STDIN:
            return None
        path = Path(options["file"])
        unfinished = UsageUpload.objects.filter(state__in=UNFINISHED)
        if not unfinished.filter(size=path.stat().st_size).exists():
            return None
        upload = unfinished.filter(sha256=_sha256(path)).order_by("pk").first()
        return None if upload is None else self._taken_on(upload, options, choice)

    def _taken_on(self, upload: UsageUpload, options: dict[str, Any], choice: Choice) -> UsageUpload:
        self.stdout.write(f"Going on with file {upload.pk}: {upload.name} ({upload.get_state_display().lower()}).")
        is_other = _is_other(upload, choice)
        if is_other and upload.state not in (State.LAYOUT, State.DECIDING):
            raise CommandError(
                f"File {upload.pk} is read by other columns already. Leave --columns and --layout out to go on with it,"
                " or discard it in the console first, which can be done until it is sent.",
                returncode=2,
            )
        if upload.state == State.DECIDING and options["send_good"] and not is_other:
            uploads.release(upload, by=_somebody(), reason="--send-good")
        elif options["send_good"]:
            UsageUpload.objects.filter(pk=upload.pk).update(on_errors=UsageUpload.OnErrors.SEND_GOOD)
        if upload.state == State.PAUSED:
            uploads.resume(upload)
        upload.refresh_from_db()
        return upload

    def _received(self, options: dict[str, Any], choice: Choice) -> UsageUpload:
        is_stdin = options["file"] == STDIN
        path = Path(options["file"])
        on_errors = UsageUpload.OnErrors.SEND_GOOD if options["send_good"] else UsageUpload.OnErrors.STOP
        name = "standard input" if is_stdin else path.name
        origin = Origin(name, UsageUpload.Via.COMMAND, _somebody(), on_errors=on_errors)
        try:
            if is_stdin:
                received = receiving.receive(self.stdin or sys.stdin.buffer, origin, layout=choice)
            else:
                received = receiving.receive_file(path, origin, layout=choice)
        except KeyboardInterrupt:
            raise CommandError("Interrupted; nothing was kept.", returncode=watching.INTERRUPTED) from None
        upload, before = received.upload, received.before
        if before is not None and before.state in UNFINISHED and upload.state != State.FAILED:
            uploads.discard(upload, by=_somebody(), reason="the same bytes are on their way already")
            return self._taken_on(before, options, choice)
        if before is not None:
            self.stdout.write(received.about_before)
        self.stdout.write(f"{upload.size:,} bytes received as file {upload.pk}.")
        return upload

    def _decide_layout(self, upload: UsageUpload, choice: Choice) -> None:
        if upload.state == State.LAYOUT or (upload.state == State.DECIDING and _is_other(upload, choice)):
            layout = choice if isinstance(choice, Layout) else file_layouts.layout_of(upload) or Layout()
            try:
                uploads.confirm_layout(upload, layout, by=_somebody())
            except LayoutWrong as problem:
                raise CommandError(_about_layout(upload.columns, layout, problem), returncode=2) from problem
        elif isinstance(choice, Layout) and upload.columns and upload.layout == choice.to_json():
            file_layouts.remember(upload.columns, choice, by=_somebody())

    # --- Checking it

    def _check(self, upload: UsageUpload) -> None:
        """Check it here, beside the workers or without any, until that is done."""
        try:
            while upload.state in BEING_CHECKED:
                if not work.drain(UPLOADS, lambda row: self._carry_on(row, of=upload), limit=1):
                    self.pause(INTERVAL)
                upload.refresh_from_db()
                self._show(upload.bytes_checked, upload.size, _so_far(upload))
        except KeyboardInterrupt:
            words = (
                f"Not waited for. File {upload.pk} is checked on by the workers; run the same command again to go on"
                " here. The console can pause and discard it."
            )
            raise CommandError(words, returncode=watching.INTERRUPTED) from None
        finally:
            if self.stdout.isatty():
                self.stdout.write("")

    def _carry_on(self, row: UsageUpload, *, of: UsageUpload) -> None:
        """Check the file that is due, which may be one that came before, and show how far our own is."""

        def told(it: UsageUpload) -> None:
            if it.pk == of.pk:
                self._show(it.bytes_checked, it.size, _so_far(it))

        try:
            file_checking.carry_on(row, told=told)
        except KeyboardInterrupt:
            work.give_back(UPLOADS, row, due_at=clock.now())
            raise

    def _show(self, done: int, total: int, words: str) -> None:
        if self.stdout.isatty():
            watching.show(self.stdout, min(done, total), total, words)
        elif total and (part := watching.LINES * done // total) > self._shown:
            self._shown = part
            self.stdout.write(words)

    # --- Saying what became of it

    def _tell(self, upload: UsageUpload, options: dict[str, Any]) -> None:
        self.stdout.write(f"{receipts.receipt(upload)}.")
        if upload.rejected:
            self._sample(islice(receipts.rejected_rows(upload), SAMPLE), upload.rejected)
            self._write(options["rejected"], receipts.rejected_csv(upload))
        if upload.state in (State.SENDING, State.DONE):
            self._sent(upload, wait=options["wait"])
            return
        if upload.state == State.DECIDING and upload.can_be_sent:
            raise CommandError(
                f"Nothing was sent. Run it again with --send-good to send the {upload.accepted:,} good rows, or decide"
                f" about file {upload.pk} in the console.",
                returncode=1,
            )
        raise CommandError(f"File {upload.pk}: {upload.note or upload.get_state_display()}", returncode=1)

    def _sent(self, upload: UsageUpload, *, wait: bool) -> None:
        if wait:
            self._wait(upload)
        else:
            self.stdout.write(f"File {upload.pk} is {upload.get_state_display().lower()}.")
        if upload.rejected:
            raise CommandError(f"{upload.rejected:,} rows are wrong and were not sent.", returncode=1)

    def _wait(self, upload: UsageUpload) -> None:
        if not Heartbeat.objects.filter(seen_at__gte=clock.now() - ALIVE).exists():
            self.stdout.write("No worker runs at the moment; it is sent as soon as one does.")
        try:
            while upload.state == State.SENDING:
                uploads.follow_one(upload)
                reached = receipts.progress(upload)
                if reached.failed:
                    raise CommandError(
                        f"m3ter did not take {reached.failed:,} measurements; the console says why.", returncode=1
                    )
                if upload.state == State.SENDING:
                    self.pause(INTERVAL)
                    upload.refresh_from_db()
        except KeyboardInterrupt:
            words = f"Not waited for. The workers send file {upload.pk}."
            raise CommandError(words, returncode=watching.INTERRUPTED) from None
        if upload.state != State.DONE:
            raise CommandError(f"File {upload.pk} is {upload.get_state_display().lower()} by now.", returncode=1)
        self.stdout.write(f"m3ter has taken {receipts.progress(upload).sent:,} measurements.")

    def _sample(self, rejected: Iterable[Rejected], total: int) -> None:
        shown = 0
        for each in rejected:
            self.stdout.write(f"{each.row.place}, {' '.join(str(problem) for problem in each.problems).strip()}")
            shown += 1
        if total > shown:
            self.stdout.write(f"... and {total - shown:,} more")

    def _write(self, path: Path | None, pieces: Iterable[str]) -> None:
        if path is None:
            return
        try:
            with path.open("w", encoding="utf-8", newline="") as file:
                file.writelines(pieces)
        except OSError as problem:
            raise CommandError(f"{path}: {problem.strerror}", returncode=1) from problem
        self.stdout.write(f"The wrong rows are in {path}.")

    # --- Only looking at it

    def _try(self, options: dict[str, Any], choice: Choice) -> None:
        first: list[Rejected] = []

        def sampled(rejected: Iterator[Rejected]) -> Iterator[Rejected]:
            for each in rejected:
                if len(first) < SAMPLE:
                    first.append(each)
                yield each

        with self._opened(options["file"]) as (stream, size, sha256):
            try:
                trial = Trial(stream, name=options["file"], sha256=sha256, choice=choice)
            except LayoutWrong as problem:
                raise CommandError(str(problem), returncode=2) from problem
            rows = sampled(trial.run(lambda it: self._show(it.bytes_read, size, f"{it.rows:,} rows")))
            if options["rejected"] is None:
                for _ in rows:
                    pass
            else:
                self._write(options["rejected"], rejects.pieces(trial.columns, rows))
        if self.stdout.isatty():
            self.stdout.write("")
        self.stdout.write(f"{trial}.")
        self._sample(first, trial.rejected)
        if trial.is_cut:
            self.stdout.write("So many rows are wrong that the rest was not read.")
        self.stdout.write("Nothing was stored or sent.")
        if trial.rejected:
            raise CommandError(f"{trial.rejected:,} rows are wrong.", returncode=1)

    @contextmanager
    def _opened(self, file: str) -> Iterator[tuple[BinaryIO, int, str]]:
        """Open it, with its size and its hash; of what another program writes neither is known before."""
        if file == STDIN:
            yield self.stdin or sys.stdin.buffer, 0, ""
            return
        path = Path(file)
        if path.is_fifo():
            with path.open("rb") as stream:
                yield stream, 0, ""
            return
        sha256 = _sha256(path)
        with path.open("rb") as stream:
            yield stream, path.stat().st_size, sha256


def _so_far(upload: UsageUpload) -> str:
    wrong = f", {upload.rejected:,} wrong" if upload.rejected else ""
    return f"{upload.rows:,} rows checked{wrong}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(MIB):
            digest.update(piece)
    return digest.hexdigest()


def _choice(options: dict[str, Any]) -> Choice:
    """What the arguments say of the columns."""
    if options["layout"]:
        return _layout(options["layout"])
    if not options["columns"]:
        if options["meter"] or options["key"]:
            raise CommandError("--meter and --key go with --columns.", returncode=2)
        return AUTO
    roles = {}
    for pair in options["columns"].split(","):
        column, equals, role = pair.rpartition("=")
        if not equals or not column.strip() or not role.strip():
            raise CommandError(f"{pair!r} is not COLUMN=MEANING.", returncode=2)
        roles[column.strip()] = role.strip()
    key = tuple(column.strip() for column in options["key"].split(",") if column.strip())
    return Layout(roles, options["meter"], key)


def _is_other(upload: UsageUpload, choice: Choice) -> bool:
    """Whether the arguments say something else of the columns than what the file is read by."""
    return isinstance(choice, Layout) and bool(upload.columns) and upload.layout != choice.to_json()


def _is_same(rejected: Path | None, file: str) -> bool:
    """Whether the wrong rows would be written over the file that they are in."""
    path = Path(file)
    return rejected is not None and file != STDIN and rejected.is_file() and path.exists() and rejected.samefile(path)


def _layout(given: str) -> Layout:
    try:
        text = given if given.lstrip().startswith("{") else Path(given).read_text(encoding="utf-8")
        data = json.loads(text)
        if not isinstance(data, dict):
            raise LayoutUnreadable("it is no object")
        return Layout.from_json({"version": layouts.VERSION, "meter": "", "key": [], **data})
    except (OSError, ValueError) as problem:
        words = '--layout: it must be like {"roles": {"column": "meaning"}, "meter": "", "key": []}, or a file of that'
        raise CommandError(f"{words}: {problem}", returncode=2) from problem


def _about_layout(columns: Iterable[str], layout: Layout, problem: NotPossible) -> str:
    known = ", ".join(f"{column}={layout.roles.get(column, '?')}" for column in columns)
    return f"Nothing says what the columns mean ({known}). {problem} Say it with --columns; --help has examples."


def _somebody() -> str:
    return f"command, {getpass.getuser()}"
