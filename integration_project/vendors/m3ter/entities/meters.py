"""Meters: what measurements carry."""

from dataclasses import dataclass
from typing import Self

from integration_project.vendors import reading
from integration_project.vendors.reading import Json


@dataclass(frozen=True)
class MeterField:
    """One value of a measurement. Text categories are WHO, WHAT, WHERE, OTHER and METADATA; the others are numbers."""

    code: str
    category: str
    name: str | None
    unit: str | None
    calculation: str | None
    """How m3ter works it out; None for a field that is sent."""

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a data field or a derived field."""
        return cls(
            code=reading.identifier(data, "code"),
            category=reading.identifier(data, "category"),
            name=reading.optional_text(data, "name"),
            unit=reading.optional_text(data, "unit"),
            calculation=reading.optional_text(data, "calculation"),
        )


@dataclass(frozen=True)
class Meter:
    """A kind of measurement, which names it by its code; without a product it is global."""

    id: str
    version: int
    name: str
    code: str | None
    product_id: str | None
    data_fields: tuple[MeterField, ...]
    derived_fields: tuple[MeterField, ...]

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a meter."""
        return cls(
            id=reading.identifier(data),
            version=reading.whole(data, "version"),
            name=reading.text(data, "name"),
            code=reading.optional_text(data, "code"),
            product_id=reading.optional_text(data, "productId"),
            data_fields=tuple(map(MeterField.from_m3ter, reading.entries(data, "dataFields"))),
            derived_fields=tuple(map(MeterField.from_m3ter, reading.optional_entries(data, "derivedFields"))),
        )
