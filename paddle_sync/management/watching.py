"""What commands show of a bulk run: a bar on a terminal, plain lines otherwise, until it is through."""

import time
from collections.abc import Callable
from datetime import timedelta

from django.core.management.base import CommandError, OutputWrapper

from integration_project import clock
from integration_project.models import Heartbeat
from paddle_sync import bulk
from paddle_sync.bulk import Progress
from paddle_sync.models import BulkItem, BulkRun

Pause = Callable[[float], object]
INTERVAL = 1.0
WIDTH = 40
LINES = 20
"""How many lines are written over a whole run where nobody watches."""
ALIVE = timedelta(seconds=15)
SAMPLE = 5
INTERRUPTED = 130


def follow(run: BulkRun, out: OutputWrapper, *, pause: Pause = time.sleep) -> None:
    """Show how far a run is until it is through; CommandError where something of it is left for a person."""
    if not Heartbeat.objects.filter(seen_at__gte=clock.now() - ALIVE).exists():
        out.write("No worker runs at the moment; the run goes on as soon as one does.")
    try:
        reached = _until_through(run, out, pause)
    except KeyboardInterrupt:
        out.write("")
        words = f"Not waited for. The worker carries run {run.pk} on; its page in the console shows how far it is."
        raise CommandError(words, returncode=INTERRUPTED) from None
    _tell_the_end(run, reached, out)


def show(out: OutputWrapper, done: int, total: int, words: str) -> None:
    """Draw the bar over the one before."""
    filled = WIDTH * done // total if total else WIDTH
    out.write(f"\r\033[K[{'#' * filled}{'.' * (WIDTH - filled)}] {words}", ending="")
    out.flush()


def _until_through(run: BulkRun, out: OutputWrapper, pause: Pause) -> Progress:
    last = -1
    while True:
        run.refresh_from_db()
        reached = bulk.progress(run)
        if out.isatty():
            show(out, reached.done, reached.total, str(reached))
        elif reached.total and (part := LINES * reached.done // reached.total) > last:
            last = part
            out.write(str(reached))
        if run.state != BulkRun.State.RUNNING:
            if out.isatty():
                out.write("")
            return reached
        pause(INTERVAL)


def _tell_the_end(run: BulkRun, reached: Progress, out: OutputWrapper) -> None:
    left = run.items.filter(outcome__in=(BulkItem.Outcome.FAILED, BulkItem.Outcome.PARKED)).select_related("event")
    for item in left.order_by("outcome", "position")[:SAMPLE]:
        said = (item.event.last_error or item.event.note) if item.event else item.note
        out.write(f"{item.outcome}: {item.subject}: {said}")
    if run.state != BulkRun.State.DONE:
        raise CommandError(f"The run is {run.get_state_display().lower()}: {reached}.", returncode=1)
    if reached.left_for_a_person:
        words = f"{reached.left_for_a_person} are left for a person; the console's page of run {run.pk} lists them."
        raise CommandError(words, returncode=1)
    out.write("Done.")
