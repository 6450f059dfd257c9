"""Usage on its way to m3ter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from integration_project.vendors.m3ter.entities.writing import given, moment


@dataclass(frozen=True)
class Measurement:
    """Usage of one account at one time. The uid makes sending it again harmless for 35 days."""

    uid: str
    meter: str
    account: str
    ts: datetime
    ets: datetime | None = None
    who: Mapping[str, str] = field(default_factory=dict)
    what: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    other: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    measure: Mapping[str, int | Decimal] = field(default_factory=dict)
    cost: Mapping[str, int | Decimal] = field(default_factory=dict)
    income: Mapping[str, int | Decimal] = field(default_factory=dict)

    def to_m3ter(self) -> dict[str, Any]:
        """Write the measurement; categories without a value are left out."""
        categories = {
            "who": self.who,
            "what": self.what,
            "where": self.where,
            "other": self.other,
            "metadata": self.metadata,
            "measure": self.measure,
            "cost": self.cost,
            "income": self.income,
        }
        return {
            **given(
                uid=self.uid,
                meter=self.meter,
                account=self.account,
                ts=moment(self.ts),
                ets=moment(self.ets) if self.ets else None,
            ),
            **{name: dict(values) for name, values in categories.items() if values},
        }
