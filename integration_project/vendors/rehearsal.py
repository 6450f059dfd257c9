"""The vendors as a dry run sees them: what is read is really read, what is written is only written down and answered.

Whoever rehearses runs the work inside a transaction that is rolled back, and no vendor may be called in one. So a read
whose answer is not known yet ends the run with `ReadNeeded`: the transaction is rolled back, the read is made, and the
work runs again, with that answer at hand. What was written is remembered within a run: it is there when it is read
again, and what the vendor would refuse for a reason that can be read is refused.

How each write is answered, one literal table per vendor says (`rehearsed.py` beside its client). A write that is not
in it ends the dry run; and the transport refuses whatever is not a read, should all of this be wrong.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import BaseAdapter

from integration_project import errors
from integration_project.vendors import exact_json
from integration_project.vendors.http import CallRecord, VendorHTTP
from integration_project.vendors.reading import Json, Unreadable
from integration_project.vendors.transport import new_session

MASK = "(masked)"
NEW = re.compile(r"new-[a-z-]+-\d+")
"""Ids of what a dry run would have made; no vendor has such a one."""


class ReadNeeded(BaseException):
    """The run ends here: `make` this read outside any transaction, then run again.

    No Exception, so that nothing between the call and whoever rehearses takes it for a failure of the work.
    """

    def __init__(self, make: Callable[[], None]) -> None:
        super().__init__("a read is needed first")
        self.make = make


class NotRehearsable(BaseException):
    """The dry run cannot go on, because nobody has written down what this call would answer. A fault of ours."""


class WriteRefused(RuntimeError):
    """Something that is no read came as far as the transport of a dry run. Nothing was sent."""


@dataclass(frozen=True)
class PlannedCall:
    """One call that the real run would make. Personal data in what it writes is masked."""

    vendor: str
    operation: str
    method: str
    path: str
    written: bool = False
    body: Json = field(default_factory=dict)
    before: Json = field(default_factory=dict)
    """What it changes, as it was; empty where that is unknown, or where something is made."""
    changed: tuple[str, ...] = ()
    """Fields that differ from before."""


@dataclass(frozen=True)
class Write:
    """A write as the vendor would receive it."""

    operation: str
    method: str
    path: str
    body: Json

    @property
    def id(self) -> str:
        """The id that its path ends with."""
        return _segments(self.path)[-1]


@dataclass(frozen=True)
class Rehearsed:
    """How a write is answered: `refuse` raises what the vendor would, `answer` says what it would say."""

    answer: Callable[["Stage", Write], Json]
    refuse: Callable[["Stage", Write], None] = lambda stage, write: None
    subject: Callable[[Write], str] = lambda write: write.id
    """The id of what is changed."""


@dataclass(frozen=True)
class Table:
    """What a dry run knows of one vendor."""

    writes: Mapping[str, Rehearsed]
    reading_posts: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    """Operations that read although they are POSTs, and the paths of those."""
    filters: Mapping[str, str] = field(default_factory=dict)
    """Parameter of a list -> the field it filters by."""
    look_ups: Sequence[re.Pattern[str]] = ()
    """Lists whose path filters: the group `collection`, and one group for each field."""
    envelope: str = ""
    """The field of an answer that holds the one entity it is about; without one the answer is the entity."""

    def enveloped(self, entity: Json) -> Json:
        """Write an answer about one entity."""
        return {self.envelope: entity} if self.envelope else entity

    def opened(self, answer: Json) -> Json:
        """Find the entity that an answer is about."""
        inside = answer.get(self.envelope) if self.envelope else answer
        return inside if isinstance(inside, Mapping) else {}

    def is_read(self, method: str, path: str) -> bool:
        """Say whether a request changes nothing, whatever it is called."""
        return method == "GET" or (method == "POST" and any(p.search(path) for p in self.reading_posts.values()))


@dataclass(frozen=True)
class _Asked:
    operation: str
    method: str
    path: str
    params: tuple[tuple[str, str], ...]
    body: bytes
    form: tuple[tuple[str, str], ...] | None = None


@dataclass(frozen=True)
class _Answered:
    value: Any
    error: errors.IntegrationError | None
    records: tuple[CallRecord, ...]


class Rehearsal:
    """The memory of one dry run: what was read, over all its runs, and what this run has called and written so far.

    `may_write` is asked before each write whether the vendor may be called for it, and raises what the real run would
    meet instead of an answer.
    """

    def __init__(self, *, may_write: Callable[[str, str], object] = lambda vendor, operation: None) -> None:
        self.reads = 0
        self.calls: list[PlannedCall] = []
        self._may_write = may_write
        self._answers: dict[tuple[str, _Asked], _Answered] = {}
        self._stages: dict[str, Stage] = {}

    def begin(self) -> None:
        """Begin a run: the reads stay known, the rest did not happen."""
        self.calls.clear()
        self._stages.clear()

    def _read(self, http: "RehearsedHTTP", asked: _Asked, read: Callable[[Any], Any], *, printed: bool) -> Any:
        """Give what the vendor says now, changed by what would have been written before."""
        stage = self._stage(http)
        if stage.is_made_up(asked):
            self.calls += [PlannedCall(http.vendor, asked.operation, asked.method, asked.path)] if printed else []
            return stage.made_up(asked)
        answered = self._answers.get((http.vendor, asked))
        if answered is None:

            def make() -> None:
                self.reads += 1
                self._answers[http.vendor, asked] = http.fetch(asked, read)

            raise ReadNeeded(make)
        if printed:
            self.calls += [PlannedCall(http.vendor, r.operation, r.method, r.path) for r in answered.records]
        if answered.error is not None:
            raise answered.error.with_traceback(None)
        return stage.as_it_would_be(asked, answered.value)

    def _write(self, http: "RehearsedHTTP", write: Write, private: Sequence[str]) -> Json:
        rehearsed = http.table.writes.get(write.operation)
        if rehearsed is None:
            raise NotRehearsable(f"{http.vendor}, {write.operation}: no dry run knows what it would answer.")
        self._may_write(http.vendor, write.operation)
        stage = self._stage(http)
        self.calls.append(_planned(http.vendor, write, stage.known(rehearsed.subject(write)), private))
        rehearsed.refuse(stage, write)
        return rehearsed.answer(stage, write)

    def _stage(self, http: "RehearsedHTTP") -> "Stage":
        if http.vendor not in self._stages:
            self._stages[http.vendor] = Stage(self, http)
        return self._stages[http.vendor]


class Stage:
    """One vendor in one run: what was seen of it, and what would have become of that."""

    def __init__(self, rehearsal: Rehearsal, http: "RehearsedHTTP") -> None:
        self._rehearsal = rehearsal
        self._http = http
        self._seen: dict[str, Json] = {}
        self._imagined: dict[str, Json | None] = {}
        self._collections: dict[str, str] = {}

    def look(self, operation: str, path: str, params: Mapping[str, str] | None = None) -> Json:
        """Read something that the real run would not read, to know how the vendor would answer."""
        asked = _asked(operation, "GET", path, params, None)
        answer: Json = self._rehearsal._read(self._http, asked, lambda value: value, printed=False)
        return answer

    def known(self, entity_id: str) -> Json:
        """The entity as it would be by now, as far as it was seen; empty where it was not."""
        return self._imagined.get(entity_id) or self._seen.get(entity_id) or {}

    def add(self, collection: str, kind: str, body: Json) -> Json:
        """Let something be made; its id is none that a vendor has."""
        made = {**body, "id": f"new-{kind}-{len(self._collections) + 1}", "version": 1}
        self._imagined[made["id"]] = made
        self._collections[made["id"]] = collection
        return made

    def change(self, entity_id: str, body: Json | None) -> Json:
        """Let something become this; None: let it be gone."""
        self._imagined[entity_id] = body
        return body or {}

    def is_made_up(self, asked: _Asked) -> bool:
        """Say whether a read is about something that would have been made: the vendor could not answer it."""
        return any(NEW.fullmatch(text) for text in (*_segments(asked.path), *dict(asked.params).values()))

    def made_up(self, asked: _Asked) -> Json:
        """Answer such a read."""
        last = _segments(asked.path)[-1]
        if last in self._collections and asked.path.startswith(self._collections[last]):
            found = self._imagined.get(last)
            if found is None:
                raise errors.NotFound(self._http.vendor, asked.operation, 404, "", "there is no such thing any more")
            return self._http.table.enveloped(found)
        return {"data": list(self._made_for(asked)), "meta": {"pagination": {"has_more": False}}}

    def as_it_would_be(self, asked: _Asked, answer: Any) -> Any:
        """Change a real answer by what would have been written before it was asked for."""
        for entity in self._entities(answer):
            self._seen.setdefault(str(entity["id"]), entity)
        if not self._imagined or not isinstance(answer, Mapping):
            return answer
        rows = answer.get("data")
        if not isinstance(rows, list):
            return self._now(asked, answer)
        kept = [self._imagined.get(str(row.get("id")), row) for row in rows]
        made = [] if _goes_on(answer) else list(self._made_for(asked))
        return {**answer, "data": [*(row for row in kept if row is not None), *made]}

    def _now(self, asked: _Asked, answer: Json) -> Json:
        table = self._http.table
        entity_id = str(table.opened(answer).get("id"))
        if entity_id not in self._imagined:
            return answer
        now = self._imagined[entity_id]
        if now is None:
            raise errors.NotFound(self._http.vendor, asked.operation, 404, "", "there is no such thing any more")
        return table.enveloped(now)

    def _entities(self, answer: Any) -> Iterator[Json]:
        """Find what has an id in an answer: the entity, or the rows of a list."""
        if not isinstance(answer, Mapping):
            return
        rows = answer.get("data")
        for entity in (self._http.table.opened(answer), *(rows if isinstance(rows, list) else ())):
            if isinstance(entity, Mapping) and "id" in entity:
                yield entity

    def _made_for(self, asked: _Asked) -> Iterator[Json]:
        """Find what would have been made and belongs into this list."""
        table = self._http.table
        collection, wanted = asked.path, {}
        for look_up in table.look_ups:
            if found := look_up.fullmatch(asked.path):
                wanted = {name: unquote(value) for name, value in found.groupdict().items()}
                collection = wanted.pop("collection")
        wanted.update({table.filters[name]: value for name, value in asked.params if name in table.filters})
        for made_id, where in self._collections.items():
            made = self._imagined[made_id]
            if made is not None and where == collection and all(_is_one_of(made.get(k), v) for k, v in wanted.items()):
                yield made


class RehearsedHTTP(VendorHTTP):
    """Speaks with a vendor whose answers to writes are invented."""

    def __init__(
        self, *, rehearsal: Rehearsal, table: Table, session: Callable[[], requests.Session], **others: Any
    ) -> None:
        super().__init__(session=reads_only(session, table), **others)
        self.table = table
        self._rehearsal = rehearsal

    def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        read: Callable[[Any], Any] = lambda value: value,
        repeatable: bool = True,
        params: Mapping[str, str] | None = None,
        json: object = None,
        encoded: bytes | None = None,
        form: Mapping[str, str] | None = None,
        deadline: float | None = None,
        private: Sequence[str] = (),
    ) -> Any:
        """Answer as the vendor does, or would."""
        asked = replace(
            _asked(operation, method, path, params, encoded if json is None else exact_json.encode(json)),
            form=None if form is None else tuple(sorted(form.items())),
        )
        if self.table.is_read(method, path):
            answer = self._rehearsal._read(self, asked, read, printed=True)
            try:
                return read(answer)
            except Unreadable as error:
                raise errors.Unreadable(f"{self.vendor}, {operation}: the answer could not be read: {error}") from None
        body = dict(form) if form is not None else exact_json.decode(asked.body) if asked.body else {}
        answer = self._rehearsal._write(self, Write(operation, method, path, body), private)
        try:
            return read(answer)
        except Unreadable as error:
            raise NotRehearsable(f"{self.vendor}, {operation}: the invented answer is wrong: {error}") from None

    def fetch(self, asked: _Asked, read: Callable[[Any], Any]) -> _Answered:
        """Really read something. A refusal is an answer; only a budget that is spent is none."""
        records: list[CallRecord] = []

        def keep(value: Any) -> Any:
            read(value)
            return value

        value, error = None, None
        self.after.append(records.append)
        try:
            value = super().call(
                asked.operation,
                asked.method,
                asked.path,
                read=keep,
                params=dict(asked.params),
                encoded=asked.body or None,
                form=None if asked.form is None else dict(asked.form),
            )
        except errors.BudgetSpent:
            raise
        except errors.IntegrationError as problem:
            error = problem
        finally:
            self.after.remove(records.append)
        made = tuple(record for record in records if record.operation == asked.operation)  # a token may have come first
        return _Answered(value, error, made)


class ReadsOnly(BaseAdapter):
    """A transport that sends nothing but reads."""

    def __init__(self, inner: BaseAdapter, table: Table) -> None:
        super().__init__()
        self._inner = inner
        self._table = table

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send a read; refuse everything else."""
        path = urlsplit(request.url or "").path
        if not self._table.is_read(request.method or "", path):
            raise WriteRefused(f"A dry run sends no {request.method} {path}. Nothing was sent.")
        return self._inner.send(request, *args, **options)

    def close(self) -> None:
        """Leave the connections to whom they belong."""


def reads_only(session: Callable[[], requests.Session], table: Table) -> Callable[[], requests.Session]:
    """Let only reads through a session, over the connections that it keeps."""
    return lambda: new_session(ReadsOnly(session().get_adapter("https://"), table))


def _asked(operation: str, method: str, path: str, params: Mapping[str, str] | None, body: bytes | None) -> _Asked:
    return _Asked(operation, method, path, tuple(sorted((params or {}).items())), body or b"")


def _planned(vendor: str, write: Write, before: Json, private: Sequence[str]) -> PlannedCall:
    changed = tuple(name for name, value in write.body.items() if name != "version" and before.get(name) != value)
    hidden = frozenset(private)
    return PlannedCall(
        vendor=vendor,
        operation=write.operation,
        method=write.method,
        path=write.path,
        written=True,
        body=_masked(write.body, hidden),
        before=_masked(before, hidden),
        changed=changed if before else (),
    )


def _masked(value: Any, hidden: frozenset[str]) -> Any:
    match value:
        case Mapping():
            return {name: _masked(item, hidden) for name, item in value.items()}
        case list():
            return [_masked(item, hidden) for item in value]
        case str() if value in hidden:
            return MASK
        case _:
            return value


def _goes_on(answer: Json) -> bool:
    """Say whether a page of a list is followed by another one, in either vendor's way."""
    meta = answer.get("meta")
    pagination = meta.get("pagination") if isinstance(meta, Mapping) else None
    return bool(answer.get("nextToken") or (isinstance(pagination, Mapping) and pagination.get("has_more")))


def _is_one_of(value: object, wanted: str) -> bool:
    """Say whether a list that was asked for a value, or for several with commas between them, shows this one."""
    return value == wanted or value in wanted.split(",")


def _segments(path: str) -> list[str]:
    return [unquote(segment) for segment in path.split("/")]
