"""What the columns of a received file mean: given, remembered, plain from their names, or for a person to say."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.db import transaction

from integration_project import clock, work
from integration_project.errors import NotPossible
from paddle_sync.models import UsageLayout, UsageUpload
from paddle_sync.usage import layouts, meters, pieces, rejects
from paddle_sync.usage.addresses import Book
from paddle_sync.usage.assessing import assess
from paddle_sync.usage.checking import Circumstances
from paddle_sync.usage.items import Refusal
from paddle_sync.usage.layouts import Layout, LayoutUnreadable, Meters
from paddle_sync.usage.queues import UPLOADS
from paddle_sync.usage.rows import FileRow, FileUnreadable, Format, Problem
from paddle_sync.usage.suggesting import suggest

State = UsageUpload.State
Choice = Layout | Literal["auto"] | None
"""What is said of a file's layout when it is received; None: a person says it later."""
AUTO: Literal["auto"] = "auto"
PREVIEWED = 10
VALUES = layouts.VALUES.removesuffix(".")
"""The name under which an item has its amounts."""


class LayoutWrong(NotPossible):
    """A layout does not fit a file: no row of it could be read."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(" ".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True)
class PreviewRow:
    """A first row: as it stands, as the item it becomes, and what would keep it from being taken."""

    row: FileRow
    item: Mapping[str, Any]
    problems: tuple[Problem, ...]
    is_open: bool = False
    """Whether Paddle has still to be asked whose usage it is."""


@dataclass(frozen=True)
class Preview:
    """How a file would be read; nothing of it is stored."""

    format: str
    columns: tuple[str, ...]
    layout: Layout
    problems: tuple[Problem, ...]
    """What is wrong with the layout; the rows are shown all the same."""
    rows: tuple[PreviewRow, ...]
    unreadable: FileUnreadable | None = None
    """Where the file cannot be read even so far."""

    @property
    def has_own_uids(self) -> bool:
        """Whether a changed copy of the file still counts each row once: by a uid or key columns of its own."""
        return self.format != Format.CSV or bool(self.layout.key) or layouts.UID in self.layout.roles.values()


def begin(upload: UsageUpload, choice: Choice) -> None:
    """End the receiving of a file: it goes on to be checked, waits for a person, or cannot be read at all."""
    try:
        file = pieces.opened(upload)
    except FileUnreadable as problem:
        _begun(upload, State.FAILED, note=str(problem), finished_at=clock.now())
        return
    upload.format, upload.columns = file.format, list(file.columns)
    if file.format != Format.CSV:
        _begun(upload, State.LAYOUT if choice is None else State.CHECKING)
        return
    known = field_codes()
    layout = choice if isinstance(choice, Layout) else proposed(file.columns, known)
    upload.layout = layout.to_json()
    is_right = not layouts.problems(layout, file.columns, known)
    _begun(upload, State.CHECKING if is_right and choice is not None else State.LAYOUT)


def _begun(upload: UsageUpload, state: UsageUpload.State, **columns: Any) -> None:
    changed = {
        "state": state,
        "size": upload.size,
        "sha256": upload.sha256,
        "format": upload.format,
        "columns": upload.columns,
        "layout": upload.layout,
        "lease_until": None,
        "due_at": clock.now() if state == State.CHECKING else None,
        **columns,
    }
    with transaction.atomic():
        if not UsageUpload.objects.filter(pk=upload.pk, state=State.RECEIVING).update(**changed):
            raise NotPossible("Nothing of it came for too long, so it was given up. Send it again.")
        if state == State.CHECKING:
            work.wake_up(UPLOADS)
    for name, value in changed.items():
        setattr(upload, name, value)


def field_codes() -> Meters:
    """m3ter's meters with their fields, as layouts ask for them."""
    codes: dict[str, Collection[str]] = {code: tuple(meter.categories) for code, meter in meters.known().items()}
    return codes


def proposed(columns: Sequence[str], known: Meters) -> Layout:
    """The layout that is remembered for these columns and still fits them, else the one that their names suggest."""
    remembered = UsageLayout.objects.filter(signature=layouts.signature(columns)).first()
    if remembered is not None:
        layout = of_json(remembered.layout)
        if layout is not None and not layouts.problems(layout, columns, known):
            return layout
    return suggest(columns, known)


def of_json(data: Any) -> Layout | None:
    """A stored layout; None where there is none that can be read."""
    try:
        return Layout.from_json(data)
    except LayoutUnreadable:
        return None


def layout_of(upload: UsageUpload) -> Layout | None:
    """The layout a file is read with; None for JSON, which needs none."""
    return of_json(upload.layout) if upload.format == Format.CSV else None


def remember(columns: Sequence[str], layout: Layout, *, by: str) -> None:
    """Keep a layout for the next file with these columns."""
    UsageLayout.objects.update_or_create(
        signature=layouts.signature(columns),
        defaults={"columns": list(columns), "layout": layout.to_json(), "by": by[:150], "saved_at": clock.now()},
    )


def preview(upload: UsageUpload, *, layout: Layout | None = None, rows: int = PREVIEWED) -> Preview:
    """Read the first rows of a stored file as they would be checked, and store nothing; `layout` tries another one."""
    layout = layout or layout_of(upload) or Layout()
    try:
        file = pieces.opened(upload)
        first, unreadable = file.peek(rows), None
    except FileUnreadable as problem:
        return Preview(upload.format, tuple(upload.columns), layout, (), (), problem)
    is_csv = file.format == Format.CSV
    wrong = tuple(layouts.problems(layout, file.columns, field_codes())) if is_csv else ()
    items = {
        row.number: layout.item(row.values) if is_csv else dict(row.values) for row in first if row.problem is None
    }
    assessed = assess(
        items.items(),
        Book(_not_asked),
        Circumstances(meters.known(), clock.now(), from_text=is_csv),
        uid_for=lambda row, item: f"{upload.sha256}:{row}",
    )
    shown = []
    for row in first:
        refusal = assessed.refused.get(row.number)
        problems = [row.problem] if row.problem else []
        is_open = refusal is not None and refusal.code == ASKED_LATER
        if refusal is not None and not is_open:
            problems.append(problem_of(refusal, layout if is_csv else None, row.values))
        shown.append(PreviewRow(row, items.get(row.number, {}), tuple(problems), is_open))
    return Preview(file.format, file.columns, layout, wrong, tuple(shown), unreadable)


ASKED_LATER = "asked_later"


def _not_asked(names: Sequence[str]) -> dict[str, Refusal | None]:
    """Paddle is not asked about what somebody only looks at; the check will ask."""
    return {name: Refusal(ASKED_LATER, "paddle_subscription_id", "it is looked for in Paddle.") for name in names}


def problem_of(refusal: Refusal, layout: Layout | None, values: Mapping[str, Any]) -> Problem:
    """Say a refusal in the words of the file: which column, or which name of an item, and why."""
    if layout is None:
        name = refusal.field
        is_own = name in ("", VALUES, *layouts.NAMES) or name in values
        return Problem(name if is_own else f"{layouts.VALUES}{name}", refusal.reason, "", refusal.code)
    return Problem(", ".join(_columns_of(refusal.field, layout)), refusal.reason, "", refusal.code)


def _columns_of(name: str, layout: Layout) -> list[str]:
    """The columns from which this name of an item comes; where it is missing, all from which it could have come."""
    roles = layout.roles
    columns = [column for column, role in roles.items() if role in (name, f"{layouts.VALUES}{name}")]
    if columns:
        return columns
    if name in layouts.ADDRESSES:
        return [column for column, role in roles.items() if role in layouts.ADDRESSES]
    if name == VALUES:
        return [column for column, role in roles.items() if role.startswith(layouts.VALUES)]
    return list(layout.key) if name == layouts.UID else []


def rejected_columns(upload: UsageUpload, codes: Sequence[str]) -> tuple[str, ...]:
    """The columns of a file of this one's rejected rows; `codes` are the fields that those of JSON have."""
    return tuple(upload.columns) if upload.format == Format.CSV else rejects.item_columns(codes)
