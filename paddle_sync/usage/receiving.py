"""Bytes become a stored file, whole or not at all: too large, changed while read, or a full disk, and nothing stays.

While it is received a file has a row with a date by which it is taken for given up; whoever is killed here leaves that
row and some pieces, which the job that looks after files removes.
"""

import logging
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from integration_project import clock
from integration_project.errors import NotPossible
from paddle_sync.models import UsageUpload
from paddle_sync.usage import file_layouts
from paddle_sync.usage.file_layouts import Choice
from paddle_sync.usage.pieces import Storing, TooLarge
from paddle_sync.usage.rows import BinaryStream

logger = logging.getLogger(__name__)

State = UsageUpload.State
GIVEN_UP_AFTER = timedelta(minutes=30)
"""How long nothing may arrive of a file before it is taken for given up."""


class NotReceived(NotPossible):
    """A file was not taken, and nothing of it is kept."""


@dataclass(frozen=True)
class Origin:
    """Where a file comes from, and what is to be done with it once all its rows are checked."""

    name: str
    via: UsageUpload.Via
    by: str
    api_key_prefix: str = ""
    on_errors: UsageUpload.OnErrors = UsageUpload.OnErrors.STOP


@dataclass(frozen=True)
class Received:
    """A stored file, and the last one that had the same bytes, if any did."""

    upload: UsageUpload
    before: UsageUpload | None

    @property
    def about_before(self) -> str:
        """Say what became of the same bytes earlier; empty where they were never here."""
        return "" if self.before is None else told_of(self.before)


def told_of(upload: UsageUpload) -> str:
    """Say what became of a file whose bytes are here again."""
    return (
        f"The same bytes were received on {upload.made_at:%d %B %Y, %H:%M} UTC as {upload.name} (file {upload.pk}),"
        f" from {upload.by}: {upload.get_state_display().lower()}. {upload.note} Nothing of them is counted twice."
    ).replace("  ", " ")


def receive(
    stream: BinaryStream, origin: Origin, *, layout: Choice = None, told: Callable[[int], object] = lambda size: None
) -> Received:
    """Store a stream of bytes to its end; NotReceived, with nothing kept, where that cannot be.

    `layout` says what its columns mean; "auto" takes what is remembered or plain from their names, and None waits for a
    person. `told` is called with the bytes stored so far.
    """
    return _receive(stream, origin, layout, told, lambda size: None)


def receive_file(
    path: Path, origin: Origin, *, layout: Choice = None, told: Callable[[int], object] = lambda size: None
) -> Received:
    """Store a file of this host's disk; NotReceived where it changed meanwhile, since half of it would be another's."""
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            if stat.S_ISREG(before.st_mode) and before.st_size > settings.USAGE_FILE_LIMIT:
                raise NotReceived(_too_large())
            return _receive(file, origin, layout, told, lambda size: _require_unchanged(path, before, size))
    except OSError as problem:
        raise NotReceived(f"{path} cannot be read: {problem.strerror or problem}.") from problem


def _require_unchanged(path: Path, before: os.stat_result, size: int) -> None:
    if not stat.S_ISREG(before.st_mode):
        return
    after = path.stat()
    same = (before.st_ino, before.st_dev, before.st_size, before.st_mtime_ns)
    if same != (after.st_ino, after.st_dev, after.st_size, after.st_mtime_ns) or size != before.st_size:
        raise NotReceived(
            f"{path} changed while it was read: {before.st_size:,} bytes at first, {after.st_size:,} now. Wait until it"
            " is written to its end, then send it again. Nothing was kept."
        )


def _too_large() -> str:
    return (
        f"It has more than {settings.USAGE_FILE_LIMIT:,} bytes, which is the limit here (USAGE_FILE_LIMIT). Pack it"
        " with gzip, or divide it. Nothing was kept."
    )


def _receive(
    stream: BinaryStream,
    origin: Origin,
    layout: Choice,
    told: Callable[[int], object],
    require_whole: Callable[[int], None],
) -> Received:
    now = clock.now()
    upload = UsageUpload.objects.create(
        name=_storable(origin.name),
        via=origin.via,
        by=origin.by[:150],
        api_key_prefix=origin.api_key_prefix,
        on_errors=origin.on_errors,
        made_at=now,
        lease_until=now + GIVEN_UP_AFTER,
    )
    try:
        storing = Storing(upload, limit=settings.USAGE_FILE_LIMIT)
        for size in storing.store(stream):
            told(size)
            _go_on(upload)
        if not storing.size:
            raise NotReceived("The file is empty. Export it again.")
        require_whole(storing.size)
        upload.size, upload.sha256 = storing.size, storing.sha256
        before = same_bytes(upload.sha256)
        file_layouts.begin(upload, layout)
    except BaseException as problem:
        _forget(upload)
        if isinstance(problem, TooLarge):
            raise NotReceived(_too_large()) from None
        if isinstance(problem, OSError | DatabaseError | InterfaceError):
            raise NotReceived(f"It could not be stored: {problem}. Nothing was kept.".replace("\n", " ")) from problem
        if isinstance(problem, NotPossible):
            raise NotReceived(str(problem)) from problem
        raise
    logger.info("usage: file %s (%s, %s bytes) received from %s.", upload.pk, upload.name, upload.size, upload.by)
    return Received(upload, before)


def same_bytes(sha256: str) -> UsageUpload | None:
    """Find the last file that had these bytes."""
    return UsageUpload.objects.filter(sha256=sha256).exclude(state=State.RECEIVING).order_by("-pk").first()


def _go_on(upload: UsageUpload) -> None:
    """Say now and then that it is still coming."""
    now = clock.now()
    if upload.lease_until is not None and upload.lease_until - now > GIVEN_UP_AFTER / 2:
        return
    upload.lease_until = now + GIVEN_UP_AFTER
    if not UsageUpload.objects.filter(pk=upload.pk, state=State.RECEIVING).update(lease_until=upload.lease_until):
        raise NotReceived("Nothing of it came for too long, so it was given up. Send it again.")


def _forget(upload: UsageUpload) -> None:
    """Remove what was stored; where the database cannot even do that, the job that looks after files will."""
    with suppress(DatabaseError, InterfaceError):
        UsageUpload.objects.filter(pk=upload.pk, state=State.RECEIVING).delete()


def _storable(name: str) -> str:
    """A file's name without its folder and without what no database keeps; its end is the part that says something."""
    own = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    kept = "".join(sign for sign in own if sign.isprintable() and not "\ud800" <= sign <= "\udfff")
    return kept[-200:] or "usage"
