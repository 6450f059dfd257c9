"""Lists: filters, order and pages, as every list operation of Paddle has them."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from integration_project.vendors.paddle.simulator.envelope import Json, page
from integration_project.vendors.paddle.simulator.refusals import invalid, refuse
from integration_project.vendors.simulation import Answer, Request, parse_time

PAGING = frozenset({"after", "order_by", "per_page"})
Pick = Callable[[Json], Any]
COMPARISONS: Mapping[str, Callable[[datetime, datetime], bool]] = {
    "": lambda value, bound: value == bound,
    "LT": lambda value, bound: value < bound,
    "LTE": lambda value, bound: value <= bound,
    "GT": lambda value, bound: value > bound,
    "GTE": lambda value, bound: value >= bound,
}


def field_of(name: str) -> Pick:
    """Read a field by name."""
    return lambda entity: entity.get(name)


@dataclass(frozen=True)
class Listing:
    """How one list operation behaves: which filters it knows, what it may be ordered by, how long its pages are."""

    equal: Mapping[str, Pick] = field(default_factory=dict)
    times: Mapping[str, Pick] = field(default_factory=dict)
    includes: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    order_by: tuple[str, ...] = ("id",)
    default_size: int = 50
    maximum_size: int = 200
    key: str = "id"

    def answer(self, request: Request, entities: Iterable[Json], shown: Callable[[Json], Json] = lambda x: x) -> Answer:
        """The page of the entities that the request asks for."""
        found = [entity for entity in entities if self._matches(request, entity)]
        name, descending = self._order(request)
        found.sort(key=lambda entity: (entity.get(name) or "", entity[self.key]), reverse=descending)
        rest = self._after(request, found, descending, by_key=name == self.key)
        size = self._size(request)
        shown_page = [shown(entity) for entity in rest[:size]]
        return page(request, shown_page, per_page=size, has_more=len(rest) > size, total=len(found), key=self.key)

    def check_parameters(self, request: Request) -> None:
        """Refuse query parameters the operation does not have."""
        times = {self._time_name(name)[0] for name in request.params if self._time_name(name)[0] in self.times}
        known = PAGING | set(self.equal) | self.others | ({"include"} if self.includes else set())
        unknown = [name for name in request.params if name not in known and self._time_name(name)[0] not in times]
        if unknown:
            raise invalid(*((name, "is not a parameter of this operation") for name in sorted(unknown)))

    def _matches(self, request: Request, entity: Json) -> bool:
        for name, values in request.params.items():
            if name in self.equal:
                wanted = [value for text in values for value in text.split(",")]
                actual = self.equal[name](entity)
                if not self._equals(actual, wanted):
                    return False
                continue
            base, operator = self._time_name(name)
            if base in self.times and not self.compares(self.times[base](entity), operator, values[0], base):
                return False
        return True

    @staticmethod
    def _equals(actual: Any, wanted: list[str]) -> bool:
        if isinstance(actual, (set, frozenset, list, tuple)):
            return any(str(value) in wanted for value in actual)
        if actual is None:
            return "null" in wanted
        if isinstance(actual, bool):
            return str(actual).lower() in wanted
        return str(actual) in wanted

    @staticmethod
    def _time_name(name: str) -> tuple[str, str]:
        found = re.fullmatch(r"(\w+)\[(LT|LTE|GT|GTE)\]", name)
        return (found[1], found[2]) if found else (name, "")

    @staticmethod
    def compares(value: Any, operator: str, bound: str, name: str) -> bool:
        """Compare a time of an entity with the one asked for."""
        try:
            moment = parse_time(bound)
        except ValueError:
            raise refuse("invalid_time_query_parameter", f"{name} is not a valid RFC 3339 time.") from None
        return value is not None and COMPARISONS[operator](parse_time(value), moment)

    def _order(self, request: Request) -> tuple[str, bool]:
        text = request.param("order_by", f"{self.order_by[0]}[DESC]") or ""
        found = re.fullmatch(r"([\w.]+)\[(ASC|DESC)\]", text, re.IGNORECASE)
        if found is None or found[1] not in self.order_by:
            raise invalid(("order_by", f"must be one of {', '.join(self.order_by)} with [ASC] or [DESC]"))
        name = self.key if found[1] == "id" else found[1]
        return name, found[2].upper() == "DESC"

    def _after(self, request: Request, found: list[Json], descending: bool, *, by_key: bool) -> list[Json]:
        after = request.param("after")
        if after is None:
            return found
        if by_key:
            return [
                entity for entity in found if (entity[self.key] < after) == descending and entity[self.key] != after
            ]
        position = next((index for index, entity in enumerate(found) if entity[self.key] == after), None)
        return [] if position is None else found[position + 1 :]

    def _size(self, request: Request) -> int:
        text = request.param("per_page", str(self.default_size)) or ""
        if not text.isdigit() or int(text) < 1:
            raise invalid(("per_page", "must be a whole number above 0"))
        return min(int(text), self.maximum_size)


def includes(request: Request, known: frozenset[str]) -> frozenset[str]:
    """The values of `include`; unknown ones are refused."""
    asked = frozenset(value for value in (request.param("include", "") or "").split(",") if value)
    if asked - known:
        raise invalid(("include", f"must be one of {', '.join(sorted(known))}"))
    return asked
