"""Create, list, get, update and delete, the same for every kind of configuration entity."""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from integration_project.vendors.m3ter.simulator.fields import Field, Fields, Invalid, integer, mapping, read
from integration_project.vendors.m3ter.simulator.fields import text_or_number as custom_value
from integration_project.vendors.m3ter.simulator.memory import (
    INDEXED,
    Collection,
    Memory,
    Row,
    many,
    one,
    page,
    present,
    refusal,
)
from integration_project.vendors.simulation import Answer, Request, Route

ORGANISATION = "/organizations/{org_id}"
VERSION = {"version": Field(integer())}
CUSTOM_FIELDS = {"customFields": Field(mapping(custom_value, most=100))}


def checked_version(request: Request, row: Row, memory: Memory) -> None:
    """Refuse an update whose version is missing or not the one last read."""
    sent = request.json.get("version") if isinstance(request.json, dict) else None
    if sent is None:
        raise Invalid("version is required")
    if sent != row["version"]:
        message = f"Version mismatch: the current version is {row['version']}, the request has {sent}"
        raise refusal(memory.guesses.version_mismatch_status, message)


@dataclass(frozen=True)
class Kind:
    """One kind of entity: where it lives, what it may carry, how it is called."""

    name: str
    plural: str
    path: str
    collection: str
    fields: Fields
    most: int
    event: str | None = None
    has_custom_fields: bool = False
    unique_code: bool = False
    filters: tuple[tuple[str, str], ...] = ()
    """Query parameters that take several values, with the field each is compared with."""


class Resource:
    """The five calls of one kind. Subclasses add what is special about theirs."""

    kind: ClassVar[Kind]

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    @property
    def rows(self) -> Collection:
        """Where this kind is kept."""
        collection: Collection = getattr(self.memory, self.kind.collection)
        return collection

    def routes(self) -> Sequence[Route]:
        """The five calls."""
        path, one_of_them = ORGANISATION + self.kind.path, f"{ORGANISATION}{self.kind.path}/{{id}}"
        single, several = _words(self.kind.name), _words(self.kind.plural)
        return (
            Route("POST", path, f"create {single}", self.create),
            Route("GET", path, f"list {several}", self.list),
            Route("GET", one_of_them, f"get {single}", self.get),
            Route("PUT", one_of_them, f"update {single}", self.update),
            Route("DELETE", one_of_them, f"delete {single}", self.delete),
        )

    # What a kind adds.

    def prepare(self, values: Row, row: Row | None) -> None:
        """Check relations to other entities and fill in what m3ter derives; `row` is None on creation."""

    def before_delete(self, row: Row) -> None:
        """Refuse a deletion that would break others."""

    def shown(self, row: Row) -> Row:
        """The row as answered."""
        return present(row)

    def matches(self, row: Row, request: Request) -> bool:
        """Whether a list with this query shows the row; what several values filter is decided already."""
        return True

    # The calls.

    def create(self, request: Request) -> Answer:
        """POST: answer with the new entity, version 1."""
        if isinstance(request.json, dict) and "version" in request.json:
            raise Invalid("version must not be sent when creating")
        return Answer(200, self.shown(self.added(self._read(request.json))))

    def added(self, values: Row) -> Row:
        """Store checked values as a new entity."""
        self._refuse_taken_code(values, None)
        self.prepare(values, None)
        row = self.rows.add(self._complete(values))
        self._emit("created", row, None)
        return row

    def list(self, request: Request) -> Answer:
        """GET on the collection, newest first."""
        filters = [(field, many(request, parameter)) for parameter, field in (("ids", "id"), *self.kind.filters)]
        asked = sorted(
            ((field, frozenset(values)) for field, values in filters if values),
            key=lambda each: each[0] not in INDEXED,
        )
        matching = [
            row
            for row in self.rows.newest_first(**{field: values for field, values in asked[:1] if field in INDEXED})
            if all(row.get(field) in values for field, values in asked) and self.matches(row, request)
        ]
        return page(self.memory, [self.shown(row) for row in matching], self.rows, request, most=self.kind.most)

    def get(self, request: Request) -> Answer:
        """GET on one."""
        return Answer(200, self.shown(self.needed(request)))

    def update(self, request: Request) -> Answer:
        """PUT replaces: what is not sent is gone, custom fields too."""
        row = self.needed(request)
        values = self._read(request.json)
        checked_version(request, row, self.memory)
        self._refuse_taken_code(values, row)
        self.prepare(values, row)
        old = copy.deepcopy(row)
        self.rows.change(row, self._complete(values))
        self._emit("updated", row, old)
        return Answer(200, self.shown(row))

    def delete(self, request: Request) -> Answer:
        """DELETE answers with what was deleted."""
        row = self.needed(request)
        self.before_delete(row)
        self.rows.remove(row)
        self._emit("deleted", row, row)
        return Answer(200, self.shown(row))

    def needed(self, request: Request) -> Row:
        """The entity the path names, or 404."""
        return self.rows.need(request.path_params["id"], kind=self.kind.name)

    def change(self, row: Row, values: Row) -> None:
        """Change some fields of an entity from inside m3ter."""
        old = copy.deepcopy(row)
        self.rows.change(row, values)
        self._emit("updated", row, old)

    def _read(self, body: Any) -> Row:
        fields = {**self.kind.fields, **VERSION, **(CUSTOM_FIELDS if self.kind.has_custom_fields else {})}
        values = read(fields, body, refuse_unknown=self.memory.guesses.refuse_unknown_fields)
        values.pop("version", None)
        if self.kind.has_custom_fields:
            self._refuse_undeclared(values.get("customFields", {}))
        return values

    def _refuse_undeclared(self, sent: Row) -> None:
        declared = self.memory.custom_fields.get(self.kind.name[0].lower() + self.kind.name[1:], {})
        undeclared = sorted(set(sent) - set(declared))
        if undeclared and self.memory.guesses.refuse_undeclared_custom_fields:
            raise Invalid(f"customFields.{undeclared[0]} is not defined for the Organization")

    def _complete(self, values: Row) -> Row:
        absent = {name: copy.deepcopy(field.default) for name, field in self.kind.fields.items()}
        custom: Row = {"customFields": {}} if self.kind.has_custom_fields else {}
        return {**absent, **custom, **values}

    def _refuse_taken_code(self, values: Row, row: Row | None) -> None:
        code = values.get("code")
        if not self.kind.unique_code or code is None:
            return
        if any(other is not row for other in self.rows.having("code", code)):
            message = f"{self.kind.name} code '{code}' is already in use"
            raise refusal(self.memory.guesses.duplicate_code_status, message)

    def _emit(self, change: str, row: Row, old: Row | None) -> None:
        if self.kind.event is not None:
            self.memory.emit(f"{self.kind.event}.{change}", self.shown(row), None if old is None else self.shown(old))


def _words(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


def related(collection: Collection, id: str, *, field: str) -> Row:
    """The entity a request names in a field; one that does not exist is a failed validation, not a 404."""
    row = collection.get(id)
    if row is None:
        raise Invalid(f"{field} {id} does not exist")
    return row


def wanted(request: Request, row: Row, *names: tuple[str, str]) -> bool:
    """Whether a row has the values of these single-valued parameters."""
    return all(one(request, name) in (None, row.get(field)) for name, field in names)
