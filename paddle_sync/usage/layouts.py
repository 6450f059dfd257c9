"""A file's columns -> the names of an item: what each column means, as a person decided it. Pure."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from paddle_sync.usage.rows import Problem

ADDRESSES = ("paddle_subscription_id", "paddle_customer_id", "m3ter_account_code")
"""Whose usage it is. A file may have several of these columns; each of its rows fills exactly one."""
UID = "uid"
METER = "meter"
TS = "ts"
MARKS = "marks"
NAMES = (*ADDRESSES, UID, METER, TS, "ets", MARKS)
VALUES = "values."
"""Before a field code of the meter: the column's cells are that field's values."""
LONGEST_UID = 200
VERSION = 1

Meters = Mapping[str, Collection[str]]
"""Meter code -> its field codes."""


class LayoutUnreadable(ValueError):
    """A stored layout is not one."""


@dataclass(frozen=True)
class Layout:
    """What the columns of one shape of file mean."""

    roles: Mapping[str, str] = field(default_factory=dict)
    """Column -> one of NAMES, or VALUES and a field code. A column that is not here is ignored."""
    meter: str = ""
    """The meter of every row, where no column says it."""
    key: tuple[str, ...] = ()
    """Columns whose cells together tell a row from all others, where no column is the uid."""

    def item(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Make the item that a row says, of those of its cells that are not blank, without the spaces around them.

        With key columns, uid is their cells, so the same row in another file is the same item; it is an empty text,
        which no check lets pass, where all of them are blank.
        """
        item: dict[str, Any] = {METER: self.meter} if self.meter else {}
        measured: dict[str, str] = {}
        for column, name, code in self._steps:
            if (cell := values.get(column)) and (cell := cell.strip()):
                if code:
                    measured[code] = cell
                else:
                    item[name] = cell
        if MARKS in item:
            item[MARKS] = item[MARKS].replace(",", " ").split()
        if self.key:
            item[UID] = _joined([values.get(column, "").strip() for column in self.key])
        item["values"] = measured
        return item

    @cached_property
    def _steps(self) -> tuple[tuple[str, str, str], ...]:
        return tuple(
            (column, role, role.removeprefix(VALUES) if role.startswith(VALUES) else "")
            for column, role in self.roles.items()
        )

    def to_json(self) -> dict[str, Any]:
        """Write it as what JSON can hold."""
        return {"version": VERSION, "roles": dict(self.roles), "meter": self.meter, "key": list(self.key)}

    @classmethod
    def from_json(cls, data: Any) -> "Layout":
        """Read what to_json wrote; LayoutUnreadable for anything else."""
        match data:
            case {"version": 1, "roles": dict() as roles, "meter": str() as meter, "key": list() as key}:
                if _are_texts(roles) and _are_texts(roles.values()) and _are_texts(key):
                    return cls(roles, meter, tuple(key))
        raise LayoutUnreadable("this is not a layout that to_json wrote")


def signature(columns: Sequence[str]) -> str:
    """Give the same 64 signs for the same columns in any order: what a layout is remembered under."""
    return hashlib.sha256(json.dumps(sorted(columns)).encode()).hexdigest()


def problems(layout: Layout, columns: Sequence[str], meters: Meters) -> list[Problem]:
    """Say everything for which no row of a file with these columns could be read with the layout."""
    return [
        *_columns_wrong(layout, columns),
        *_roles_wrong(layout),
        *_missing(layout),
        *_key_wrong(layout, columns),
        *_meter_wrong(layout, meters),
    ]


def _columns_wrong(layout: Layout, columns: Sequence[str]) -> Iterator[Problem]:
    for column in layout.roles:
        if column not in columns:
            yield Problem(column, "The file has no such column.", "Choose another, or none.")


def _roles_wrong(layout: Layout) -> Iterator[Problem]:
    counts = Counter(layout.roles.values())
    for column, role in layout.roles.items():
        if role not in NAMES and role.removeprefix(VALUES) in ("", role):
            yield Problem(column, f"{role} is nothing that a column can mean.", "Choose one of the list.")
        elif counts[role] > 1:
            others = ", ".join(other for other in layout.roles if other != column and layout.roles[other] == role)
            yield Problem(column, f"It means {role}, and so does {others}.", "Choose one of them; ignore the others.")


def _missing(layout: Layout) -> Iterator[Problem]:
    told = set(layout.roles.values())
    if not told.intersection(ADDRESSES):
        names = ", ".join(ADDRESSES)
        yield Problem("", "No column says whose usage it is.", f"Choose the column for one of {names}.")
    if TS not in told:
        yield Problem("", "No column says when it was used.", f"Choose the column for {TS}.")
    if not any(role.startswith(VALUES) for role in told):
        yield Problem("", "No column holds what was used.", "Choose the columns for the meter's fields.")
    if METER in told and layout.meter:
        yield Problem("", "The meter is given for all rows and by a column.", "Choose one of the two.")
    if METER not in told and not layout.meter:
        yield Problem("", "Nothing says which meter it is.", "Choose the column for meter, or one meter for all rows.")


def _key_wrong(layout: Layout, columns: Sequence[str]) -> Iterator[Problem]:
    for column, count in Counter(layout.key).items():
        if column not in columns:
            yield Problem(column, "The file has no such column, and the key needs it.", "Choose other key columns.")
        elif count > 1:
            yield Problem(column, "It stands in the key twice.", "Take it once.")
    if layout.key and UID in layout.roles.values():
        yield Problem("", "A column is the uid, and there are key columns too.", "Choose one of the two.")


def _meter_wrong(layout: Layout, meters: Meters) -> Iterator[Problem]:
    if layout.meter and layout.meter not in meters:
        yield Problem("", f"There is no meter {layout.meter}.", "Choose one of m3ter's, or synchronise the catalogue.")
        return
    known = meters[layout.meter] if layout.meter else {code for codes in meters.values() for code in codes}
    where = f"Meter {layout.meter} has" if layout.meter else "No meter has"
    for column, role in layout.roles.items():
        code = role.removeprefix(VALUES)
        if code not in ("", role) and code not in known:
            reason = f"{where} no field {code}." if layout.meter else f"{where} a field {code}."
            yield Problem(column, reason, "Choose another field, or ignore the column.")


def _joined(cells: Sequence[str]) -> str:
    """Join cells so that different ones never give the same text, in at most LONGEST_UID characters."""
    if not any(cells):
        return ""
    joined = "|".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells)
    return joined if len(joined) <= LONGEST_UID else f"sha256:{hashlib.sha256(joined.encode()).hexdigest()}"


def _are_texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)
