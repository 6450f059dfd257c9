"""The meters that m3ter had when its catalogue was last read, by the code that measurements carry."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from paddle_sync.models import CatalogueEntry

NUMERIC = frozenset({"MEASURE", "COST", "INCOME"})
"""m3ter's categories whose fields hold numbers; the others hold texts."""


@dataclass(frozen=True)
class Meter:
    """What may be measured: the fields by their codes, and the category each belongs to."""

    id: str
    code: str
    name: str
    product_id: str
    categories: Mapping[str, str]
    """Field code -> m3ter's category in capitals."""
    derived: frozenset[str]
    """Codes of fields that m3ter calculates itself."""

    @cached_property
    def numeric(self) -> tuple[str, ...]:
        """Codes of the fields that hold numbers, in m3ter's order."""
        return tuple(code for code, category in self.categories.items() if category in NUMERIC)


Meters = Mapping[str, Meter]


def known() -> dict[str, Meter]:
    """All meters that m3ter lists now, by code."""
    entries = CatalogueEntry.objects.filter(kind=CatalogueEntry.Kind.M3TER_METER, active=True).order_by("vendor_id")
    return {entry.code: _of(entry) for entry in entries}


def _of(entry: CatalogueEntry) -> Meter:
    return Meter(
        id=entry.vendor_id,
        code=entry.code,
        name=entry.name,
        product_id=entry.parent_id,
        categories={field["code"]: field["category"] for field in entry.data.get("fields", ())},
        derived=frozenset(field["code"] for field in entry.data.get("derived", ())),
    )
