"""m3ter's search calls: terms joined by `$`, with : > >= < <= and ~, paged by the number of the first document."""

import re
from collections.abc import Collection as Names
from typing import Any

from integration_project.vendors.m3ter.simulator.fields import Invalid
from integration_project.vendors.m3ter.simulator.memory import Collection, Memory, Row, one, page_size, present
from integration_project.vendors.simulation import Answer, Request

TERM = re.compile(r"\s*(\w+)\s*(>=|<=|:|>|<|~)(.*)", re.DOTALL)
PLURALS = {"ids": "id", "codes": "code"}


def search(memory: Memory, collection: Collection, request: Request, *, searchable: Names[str]) -> Answer:
    """Answer a search over one collection."""
    rows = [row for row in collection.newest_first() if _matches(row, request, searchable)]
    sort_by = one(request, "sortBy")
    if sort_by is not None:
        if sort_by not in searchable:
            raise Invalid(f"sortBy {sort_by} is not searchable")
        rows.sort(key=lambda row: str(row.get(sort_by) or ""), reverse=one(request, "sortOrder") == "DESC")
    size = page_size(request, most=100, default=10)
    start = one(request, "fromDocument") or "0"
    if not (start.isascii() and start.isdigit()):
        raise Invalid("fromDocument must be a whole number")
    first = int(start)
    body: Row = {"data": [present(row) for row in rows[first : first + size]]}
    if len(rows) > first + size:
        body["nextToken"] = str(first + size)
    return Answer(200, body)


def _matches(row: Row, request: Request, searchable: Names[str]) -> bool:
    query = one(request, "searchQuery")
    operator = one(request, "operator") or "AND"
    if operator not in ("AND", "OR"):
        raise Invalid("operator must be AND or OR")
    if query is None:
        return True
    results = [_holds(row, term, searchable) for term in query.split("$")]
    return all(results) if operator == "AND" else any(results)


def _holds(row: Row, term: str, searchable: Names[str]) -> bool:
    found = TERM.fullmatch(term)
    if found is None:
        raise Invalid(f"searchQuery term '{term}' cannot be read")
    name, comparator, value = found.groups()
    if name not in searchable:
        raise Invalid(f"searchQuery field '{name}' is not searchable")
    actual = row.get(PLURALS.get(name, name))
    if comparator == "~":
        return str(actual or "").lower().startswith(value.lower())
    if comparator == ":":
        return _text(actual) in (value.split(",") if name in PLURALS else [value])
    if actual is None:
        return False
    return _compared(_text(actual), value, comparator)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _compared(actual: str, value: str, comparator: str) -> bool:
    if comparator == ">":
        return actual > value
    if comparator == ">=":
        return actual >= value
    return actual < value if comparator == "<" else actual <= value
