"""What a file would come to, told without storing anything of it: neither bytes, nor uids, nor subscriptions.

Repeats within the file are found in a table of this process that lies on the disk, so memory stays flat.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing

from integration_project import clock
from paddle_sync.usage import file_layouts, intake, layouts, meters, rejects, unlinked
from paddle_sync.usage.addresses import Book
from paddle_sync.usage.checking import Checked, Circumstances
from paddle_sync.usage.file_checking import MOST_ADDRESSES, MOST_REJECTED, Rows, assess_rows, chunks
from paddle_sync.usage.file_layouts import Choice, LayoutWrong
from paddle_sync.usage.intake import Outcome, TakenIn
from paddle_sync.usage.items import Refusal
from paddle_sync.usage.layouts import Layout
from paddle_sync.usage.reading import UsageFile
from paddle_sync.usage.rejects import Rejected
from paddle_sync.usage.rows import BinaryStream, Format

EARLIER = "SELECT key, content FROM seen WHERE key IN ({places})"
_NAMES = {Outcome.ACCEPTED: "would be accepted", Outcome.DUPLICATE: "duplicate"}


class Trial:
    """A file that is only looked at, and what it would come to as far as it was read."""

    def __init__(self, stream: BinaryStream, *, name: str, sha256: str, choice: Choice) -> None:
        """Read its beginning; FileUnreadable where that cannot be, LayoutWrong where no row could be read.

        `sha256` stands for uids that rows have not; empty where it is not known.
        """
        self._file = UsageFile(stream, name=name)
        known = file_layouts.field_codes()
        self.layout = _layout(self._file, choice, known)
        self._makes = Rows(self._file.format, self.layout, sha256)
        codes = dict.fromkeys(code for each in known.values() for code in each)
        is_csv = self._file.format == Format.CSV
        self.columns = self._file.columns if is_csv else rejects.item_columns(codes)
        """Of a file of its rejected rows."""
        self.rows = self.held = self.rejected = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.reasons: Counter[str] = Counter()
        self.is_cut = False
        """Whether it was not read to its end, because so many rows are wrong."""

    @property
    def bytes_read(self) -> int:
        """How much of the file has been read."""
        return self._file.bytes_read

    def run(self, told: Callable[["Trial"], object] = lambda trial: None) -> Iterator[Rejected]:
        """Check the file to its end and give its wrong rows in their order; `told` is called after each chunk."""
        book, known = Book(_find), meters.known()
        with closing(sqlite3.connect("")) as memory:
            seen = _Seen(memory)
            for rows in chunks(self._file):
                if len(book.entries) > MOST_ADDRESSES:
                    book.entries.clear()
                now = Circumstances(known, clock.now(), from_text=self._makes.is_csv)
                chunk = assess_rows(rows, self._makes, book, now)(seen.foresee)
                self.rows += chunk.rows
                self.outcomes.update(chunk.taken.outcomes.values())
                self.held += len(chunk.taken.held)
                self.reasons.update(chunk.reasons)
                self.rejected += len(chunk.rejected)
                for row, problem in chunk.rejected:
                    yield Rejected(row, [problem])
                told(self)
                if self.rejected > MOST_REJECTED:
                    self.is_cut = True
                    return

    def __str__(self) -> str:
        parts = [f"{self.outcomes[outcome]:,} {name}" for outcome, name in _NAMES.items() if self.outcomes[outcome]]
        parts += [f"{self.held:,} of them would be held until their account exists"] if self.held else []
        if self.rejected:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.most_common())
            parts.append(f"{self.rejected:,} wrong ({reasons})")
        return f"{self.rows:,} rows: {', '.join(parts) or 'nothing'}"


def _layout(file: UsageFile, choice: Choice, known: layouts.Meters) -> Layout | None:
    if file.format != Format.CSV:
        return None
    layout = choice if isinstance(choice, Layout) else file_layouts.proposed(file.columns, known)
    wrong = layouts.problems(layout, file.columns, known)
    if wrong:
        raise LayoutWrong(wrong)
    return layout


def _find(names: Sequence[str]) -> Mapping[str, Refusal | None]:
    return {
        name: refusal
        for start in range(0, len(names), unlinked.MOST)
        for name, refusal in unlinked.find(names[start : start + unlinked.MOST], keep=False).items()
    }


class _Seen:
    """The uids of the file so far, with their content."""

    def __init__(self, memory: sqlite3.Connection) -> None:
        self._memory = memory
        memory.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, content INTEGER) WITHOUT ROWID")

    def foresee(self, good: Sequence[tuple[int, Checked]]) -> TakenIn:
        """Say what taking these in would give."""
        known = dict(self._earlier([checked.key for _, checked in good]))
        taken = intake.foresee([(row, checked) for row, checked in good if checked.key not in known])
        for row, checked in good:
            if checked.key in known:
                same = known[checked.key] == checked.content
                taken.outcomes[row] = Outcome.DUPLICATE if same else Outcome.CONFLICT
        accepted = [(each.key, each.content) for row, each in good if taken.outcomes[row] is Outcome.ACCEPTED]
        self._memory.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", accepted)
        return taken

    def _earlier(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, int]]:
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            yield from self._memory.execute(EARLIER.format(places=", ".join("?" * len(part))), part)
