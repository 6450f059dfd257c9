"""How m3ter's answers are read: one entity, a page of a list, a receipt."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from integration_project.vendors import reading
from integration_project.vendors.reading import Json

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list; no token means that it is the last."""

    entries: tuple[T, ...]
    next_token: str | None


def page(read: Callable[[Json], T]) -> Callable[[Any], Page[T]]:
    """Read an answer that is a page of a list."""

    def reader(answer: Any) -> Page[T]:
        data = reading.mapping(answer, "the answer")
        return Page(
            tuple(read(entry) for entry in reading.entries(data, "data")), reading.optional_text(data, "nextToken")
        )

    return reader


def entity(read: Callable[[Json], T]) -> Callable[[Any], T]:
    """Read an answer that is one entity."""
    return lambda answer: read(reading.mapping(answer, "the answer"))


def address(answer: Any) -> str:
    """Read where something can be downloaded."""
    return reading.identifier(reading.mapping(answer, "the answer"), "url")


def accepted(answer: Any) -> None:
    """Read the answer to measurements: that they were received."""
    if reading.text(reading.mapping(answer, "the answer"), "result").lower() != "accepted":
        raise reading.Unreadable("the result is not accepted")
