"""Taking mappings from one environment to another: each row matched to what both vendors list here, the difference
with what is stored, and the whole of it applied or nothing."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date

from django.db import IntegrityError, transaction

from integration_project.errors import NotPossible
from paddle_sync import disagreeing, mapping_files, mappings
from paddle_sync.choosing import Names
from paddle_sync.mapping_files import DECISIVE, MOST_PROBLEMS, FileRefused, Problem, Row
from paddle_sync.models import CatalogueEntry, PlanMapping, history_note

Kind = CatalogueEntry.Kind
Target = PlanMapping.Target
QuantityUse = PlanMapping.QuantityUse
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
Key = tuple[str, str, str]
KEY = ("paddle_price_id", "paddle_product_id", "effective_from")
IDS = tuple(column for column in DECISIVE if column.endswith("_id"))
COMPARED = tuple(column for column in DECISIVE if column not in KEY)
TARGET_COLUMN = {Target.PLAN: "m3ter_plan_id", Target.PLAN_GROUP: "m3ter_plan_group_id"}
TARGET_KIND = {Target.PLAN: Kind.M3TER_PLAN, Target.PLAN_GROUP: Kind.M3TER_PLAN_GROUP}
USE_COLUMN = {QuantityUse.CUSTOM_FIELD: "quantity_field", QuantityUse.COUNTER: "m3ter_counter_id"}
CHANGED_MEANWHILE = "The mappings or the catalogue changed since this was shown. Look at the difference again."
LONGEST = {"quantity_field": 80, "note": 300}


@dataclass(frozen=True)
class Change:
    """What a file would do to one mapping, and by what each side of the row was recognised."""

    row: int
    mapping: PlanMapping
    matched: str
    differences: tuple[tuple[str, str, str], ...] = ()
    """Column, what is stored, what the file says; empty for a mapping that is new or the same."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """What a file would add and change; what it leaves alone is not in it."""

    added: tuple[Change, ...]
    changed: tuple[Change, ...]
    unchanged: tuple[Change, ...]
    left_alone: int

    @property
    def counts(self) -> str:
        """How many mappings each part is about, in words."""
        return (
            f"{len(self.added)} to add, {len(self.changed)} to change, {len(self.unchanged)} the same, "
            f"{self.left_alone} here and not in the file: left alone."
        )

    @property
    def fingerprint(self) -> str:
        """The same for the same difference, so that what is confirmed is what was shown."""
        shown = [
            (str(change.mapping), values_of(change.mapping), change.differences)
            for change in (*self.added, *self.changed)
        ]
        return hashlib.sha256(repr((shown, len(self.unchanged), self.left_alone)).encode()).hexdigest()


@dataclass(frozen=True)
class Applied:
    """What was written, and how many events go on because of it."""

    added: tuple[PlanMapping, ...]
    changed: tuple[PlanMapping, ...]
    resumed: int


@dataclass
class _Catalogue:
    """The entries that a file names, by id, and for people's names by those."""

    by_id: dict[tuple[str, str], CatalogueEntry] = field(default_factory=dict)
    by_code: dict[tuple[str, str], list[CatalogueEntry]] = field(default_factory=lambda: defaultdict(list))
    by_name: dict[tuple[str, str], list[CatalogueEntry]] = field(default_factory=lambda: defaultdict(list))


def exported() -> list[dict[str, str]]:
    """Every mapping as the columns of a file, the ids with their names here; by two queries."""
    rows = list(PlanMapping.objects.order_by("paddle_price_id", "paddle_product_id", "effective_from", "pk"))
    names = Names.for_mappings(rows)
    return [{**values_of(mapping), **_recognised_by(mapping, names)} for mapping in rows]


def values_of(mapping: PlanMapping) -> dict[str, str]:
    """Give a mapping's columns as a file says them."""
    return {column: str(getattr(mapping, column)) for column in DECISIVE}


def compare(content: bytes) -> Difference:
    """Say what a file would do, writing nothing; FileRefused when any of its rows is wrong."""
    rows = mapping_files.read(content)
    stored = {_key(mapping): mapping for mapping in PlanMapping.objects.all()}
    stored_ids = {(column, getattr(mapping, column)) for mapping in stored.values() for column in IDS}
    catalogue = _catalogue(rows)
    read: list[tuple[Row, PlanMapping, str]] = []
    problems: list[Problem] = []
    seen: dict[Key, int] = {}
    for row in rows:
        reader = _Reader(row, catalogue, stored_ids)
        mapping = reader.mapping()
        problems += reader.problems
        if reader.problems:
            continue
        key = _key(mapping)
        if key in seen:
            text = f"Row {seen[key]} is about the same, from the same day. Keep one of the two."
            problems.append(Problem(row.number, KEY[0] if key[0] else KEY[1], text))
        seen.setdefault(key, row.number)
        read.append((row, mapping, "; ".join(reader.matched)))
    if problems:
        raise FileRefused(problems[:MOST_PROBLEMS])
    return _difference(read, stored)


def apply(content: bytes, *, fingerprint: str, by: str, reason: str) -> Applied:
    """Write what a file says, all of it or nothing, then let go on what waited for it.

    NotPossible when the difference is not the one that was shown.
    """
    try:
        with transaction.atomic():
            list(PlanMapping.objects.select_for_update().values_list("pk", flat=True))
            difference = compare(content)
            if difference.fingerprint != fingerprint:
                raise NotPossible(CHANGED_MEANWHILE)
            return _write(difference, by=by, reason=reason)
    except IntegrityError:  # somebody added the same mapping while this was being written
        raise NotPossible(CHANGED_MEANWHILE) from None


def _write(difference: Difference, *, by: str, reason: str) -> Applied:
    added = tuple(change.mapping for change in difference.added)
    changed = tuple(change.mapping for change in difference.changed)
    for mapping in (*added, *changed):
        history_note(mapping, f"Imported by {by}: {reason}")
    for mapping in added:
        mapping.save(force_insert=True)
    for mapping in changed:
        mapping.save(update_fields=[*COMPARED, "m3ter_product_id", "updated_at"])
    resumed = mappings.saved_together((*added, *changed), by=by, reason=f"mappings imported: {reason}")
    return Applied(added, changed, resumed)


class _Reader:
    """Reads one row: what it names here, and everything that is wrong with it."""

    def __init__(self, row: Row, catalogue: _Catalogue, stored_ids: Set[tuple[str, str]]) -> None:
        self.row = row
        self.problems: list[Problem] = []
        self.matched: list[str] = []
        self._catalogue = catalogue
        self._stored_ids = stored_ids

    def mapping(self) -> PlanMapping:
        """Build the mapping, not saved; worth nothing where there are problems."""
        mapping = PlanMapping()
        self._paddle(mapping)
        mapping.effective_from = self._day()
        self._target(mapping)
        mapping.metering_starts = self._one_of("metering_starts", PlanMapping.MeteringStarts, "creation")
        self._quantity(mapping)
        mapping.note = self._short("note")
        return mapping

    def _paddle(self, mapping: PlanMapping) -> None:
        given = [column for column in ("paddle_price_id", "paddle_product_id") if self.row[column]]
        if len(given) != 1:
            text = "Give a price or a product, and not both." if given else "Give a price's id, or a product's."
            self._wrong("paddle_price_id", text)
            return
        (column,) = given
        kind = Kind.PADDLE_PRICE if column == "paddle_price_id" else Kind.PADDLE_PRODUCT
        setattr(mapping, column, self._known("Paddle", column, kind, self._by_name(kind)))

    def _target(self, mapping: PlanMapping) -> None:
        mapping.target = self._one_of("target", Target, "")
        for target, column in TARGET_COLUMN.items():
            if mapping.target and target != mapping.target and self.row[column]:
                self._wrong(column, f"The target is {mapping.target}: leave this empty, or change the target.")
        if mapping.target not in TARGET_COLUMN:
            return
        column, kind = TARGET_COLUMN[Target(mapping.target)], TARGET_KIND[Target(mapping.target)]
        if not self.row[column] and not self.row["m3ter_code"]:
            self._wrong(column, f"The target is {mapping.target}: give its id, or its code in m3ter_code.")
            return
        code = self.row["m3ter_code"]
        by_code = self._catalogue.by_code[kind, code] if code else []
        vendor_id = self._known("m3ter", column, kind, by_code, hint=f"the code {code!r}")
        setattr(mapping, column, vendor_id)
        plan = self._catalogue.by_id.get((kind, vendor_id))
        mapping.m3ter_product_id = plan.parent_id if plan and kind == Kind.M3TER_PLAN else ""

    def _quantity(self, mapping: PlanMapping) -> None:
        mapping.quantity_use = self._one_of("quantity_use", QuantityUse, "ignored")
        if mapping.target == Target.NOT_METERED and mapping.quantity_use not in ("", QuantityUse.IGNORED):
            self._wrong("quantity_use", "What is not metered has no quantity in m3ter: say ignored.")
        for use, column in USE_COLUMN.items():
            if mapping.quantity_use == use and not (self.row[column] or self._counter_code(column)):
                self._wrong(column, f"The quantity's use is {use}: fill this in, or change the use.")
            if mapping.quantity_use != use and self.row[column]:
                self._wrong(
                    column, f"The quantity's use is {mapping.quantity_use}: leave this empty, or change the use."
                )
        mapping.quantity_field = self._short("quantity_field")
        code = self._counter_code("m3ter_counter_id")
        if mapping.quantity_use == QuantityUse.COUNTER and (self.row["m3ter_counter_id"] or code):
            by_code = self._catalogue.by_code[Kind.M3TER_COUNTER, code] if code else []
            mapping.m3ter_counter_id = self._known(
                "counter", "m3ter_counter_id", Kind.M3TER_COUNTER, by_code, hint=f"the code {code!r}"
            )

    def _counter_code(self, column: str) -> str:
        return self.row["m3ter_counter_code"] if column == "m3ter_counter_id" else ""

    def _by_name(self, kind: str) -> list[CatalogueEntry]:
        named = self._catalogue.by_name[kind, self.row["paddle_name"]] if self.row["paddle_name"] else []
        if kind == Kind.PADDLE_PRODUCT:
            return named
        like = (self.row["paddle_currency"], self.row["paddle_interval"])
        return [entry for entry in named if (entry.currency, entry.interval) == like]

    def _known(
        self, side: str, column: str, kind: str, otherwise: Sequence[CatalogueEntry], hint: str = "its name"
    ) -> str:
        """Take an id that is known here, or what else in the row names exactly one thing."""
        vendor_id = self.row[column]
        if vendor_id and ((kind, vendor_id) in self._catalogue.by_id or (column, vendor_id) in self._stored_ids):
            self.matched.append(f"{side} by id")
            return vendor_id
        if len(otherwise) == 1:
            found = otherwise[0].vendor_id
            self.matched.append(f"{side} by {hint}: {vendor_id or 'no id'} is {found} here")
            return found
        if otherwise:
            self._wrong(column, f"{vendor_id!r} is not known here, and {len(otherwise)} have {hint}. Write the id.")
        else:
            self._wrong(
                column,
                f"{vendor_id!r} is not in the catalogue as last read, and nothing else there has {hint}. Read both "
                "catalogues again, or write an id that exists here.",
            )
        return ""

    def _day(self) -> date:
        text = self.row["effective_from"]
        try:
            if not DAY.fullmatch(text):
                raise ValueError
            return date.fromisoformat(text)
        except ValueError:
            self._wrong("effective_from", f"{text!r} is no day. Write it as 2026-01-31.")
            return date.min

    def _one_of(
        self, column: str, choices: "type[Target | PlanMapping.MeteringStarts | QuantityUse]", default: str
    ) -> str:
        text = self.row[column] or default
        if text in choices.values:
            return text
        self._wrong(column, f"{text!r} is none of {', '.join(choices.values)}. Write one of these.")
        return ""

    def _short(self, column: str) -> str:
        text = self.row[column]
        if len(text) > LONGEST[column]:
            self._wrong(column, f"It has {len(text)} characters, more than {LONGEST[column]}. Shorten it.")
        return text

    def _wrong(self, column: str, text: str) -> None:
        self.problems.append(Problem(self.row.number, column, text))


def _difference(read: Iterable[tuple[Row, PlanMapping, str]], stored: Mapping[Key, PlanMapping]) -> Difference:
    entries = list(read)
    names = Names.for_mappings(mapping for _, mapping, _ in entries)
    added, changed, unchanged = [], [], []
    for row, mapping, matched in entries:
        existing = stored.get(_key(mapping))
        warnings = tuple(disagreeing.warnings(mapping, names))
        if existing is None:
            added.append(Change(row.number, mapping, matched, (), warnings))
            continue
        before, after = values_of(existing), values_of(mapping)
        differences = tuple(
            (column, before[column], after[column]) for column in COMPARED if before[column] != after[column]
        )
        if not differences:
            unchanged.append(Change(row.number, existing, matched))
            continue
        if existing.m3ter_plan_id != mapping.m3ter_plan_id:
            existing.m3ter_product_id = mapping.m3ter_product_id
        for column, _, value in differences:
            setattr(existing, column, value)
        changed.append(Change(row.number, existing, matched, differences, warnings))
    return Difference(tuple(added), tuple(changed), tuple(unchanged), len(stored) - len(changed) - len(unchanged))


def _catalogue(rows: Sequence[Row]) -> _Catalogue:
    """Read the entries that these rows could mean, by three queries."""
    found = _Catalogue()
    ids = {row[column] for row in rows for column in IDS} - {""}
    codes = {row[column] for row in rows for column in ("m3ter_code", "m3ter_counter_code")} - {""}
    names = {row["paddle_name"] for row in rows} - {""}
    for entry in CatalogueEntry.objects.filter(vendor_id__in=ids):
        found.by_id[entry.kind, entry.vendor_id] = entry
    for entry in CatalogueEntry.objects.filter(code__in=codes, active=True):
        found.by_code[entry.kind, entry.code].append(entry)
        found.by_id[entry.kind, entry.vendor_id] = entry
    paddle = (Kind.PADDLE_PRICE, Kind.PADDLE_PRODUCT)
    for entry in CatalogueEntry.objects.filter(kind__in=paddle, name__in=names, active=True):
        found.by_name[entry.kind, entry.name].append(entry)
    return found


def _recognised_by(mapping: PlanMapping, names: Names) -> dict[str, str]:
    sold = names.entry(mapping.paddle_price_id or mapping.paddle_product_id)
    goal = names.entry(mapping.m3ter_plan_id or mapping.m3ter_plan_group_id)
    counter = names.entry(mapping.m3ter_counter_id)
    return {
        "paddle_name": sold.name if sold else "",
        "paddle_currency": sold.currency if sold else "",
        "paddle_interval": sold.interval if sold else "",
        "m3ter_code": goal.code if goal else "",
        "m3ter_name": goal.name if goal else "",
        "m3ter_counter_code": counter.code if counter else "",
    }


def _key(mapping: PlanMapping) -> Key:
    return mapping.paddle_price_id, mapping.paddle_product_id, str(mapping.effective_from)
