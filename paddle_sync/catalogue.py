"""Both vendors' catalogues as last listed, so that mapping pages offer choices without calling anybody."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction

from integration_project import clock
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.vendors.m3ter.entities import MeterField, PlanTemplate
from integration_project.vendors.paddle.client import PaddleClient
from integration_project.vendors.paddle.entities import Price
from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.paddle_classic.entities import ClassicPlan
from paddle_sync import parking
from paddle_sync.models import CatalogueEntry, WebhookEvent
from paddle_sync.resolving import PLAN_GROUP

Kind = CatalogueEntry.Kind
PADDLE_KINDS = (Kind.PADDLE_PRODUCT, Kind.PADDLE_PRICE)
M3TER_KINDS = (
    Kind.M3TER_PRODUCT,
    Kind.M3TER_PLAN,
    Kind.M3TER_PLAN_GROUP,
    Kind.M3TER_COUNTER,
    Kind.M3TER_METER,
)
UNITS = {"DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "ANNUALLY": "year"}
VALUES = ("name", "code", "parent_id", "currency", "interval", "active", "data", "seen_at")


@dataclass(frozen=True)
class Refreshed:
    """How many entries each vendor listed, and how many are no longer listed."""

    paddle: int
    m3ter: int
    gone: int

    def __str__(self) -> str:
        paddle = f"Paddle lists {self.paddle} products and prices"
        return f"{paddle}, m3ter {self.m3ter} products, plans, counters and meters; {self.gone} are gone."


def refresh(vendors: Vendors) -> Refreshed:
    """Read both catalogues whole and store them; what is no longer listed stays, marked inactive."""
    paddle = _of_paddle(vendors.paddle) + _of_classic(vendors.classic)
    m3ter = _of_m3ter(vendors.m3ter)
    gone = _store(paddle, PADDLE_KINDS) + _store(m3ter, M3TER_KINDS)
    _resume_groups(m3ter)
    return Refreshed(len(paddle), len(m3ter), gone)


def _resume_groups(entries: Iterable[CatalogueEntry]) -> None:
    """Let events go on that waited until it is known for which products a plan group has plans."""
    known = {e.vendor_id for e in entries if e.kind == Kind.M3TER_PLAN_GROUP and e.data.get("product_ids")}
    waiting = WebhookEvent.objects.filter(
        state=WebhookEvent.State.PARKED, waiting_for_kind=PLAN_GROUP, waiting_for_key__in=known
    )
    parking.resume(waiting, by=parking.SCHEDULE, reason="the catalogue was read")


def _of_paddle(paddle: PaddleClient) -> list[CatalogueEntry]:
    products = [
        _entry(Kind.PADDLE_PRODUCT, product.id or "", product.name, active=product.status == "active")
        for product in paddle.list_products()
    ]
    names = {product.vendor_id: product.name for product in products}
    return products + [_of_price(price, names.get(price.product_id or "", "")) for price in paddle.list_prices()]


def _of_price(price: Price, product: str) -> CatalogueEntry:
    """Name a price with its product, because most products have a price called Monthly."""
    money, cycle = price.unit_price, price.billing_cycle
    return _entry(
        Kind.PADDLE_PRICE,
        price.id or "",
        ", ".join(part for part in (product, price.name or price.description) if part),
        parent_id=price.product_id or "",
        currency=money.currency_code,
        interval=_in_words(cycle.frequency, cycle.interval) if cycle else "once",
        active=price.status == "active",
        data={"amount": str(money.amount), "description": price.description[:300]},
    )


def _of_classic(classic: ClassicClient | None) -> list[CatalogueEntry]:
    """List the plans of Paddle Classic as prices, which is what they are to a mapping; none where Classic is off."""
    return [_of_classic_plan(plan) for plan in classic.list_plans()] if classic else []


def _of_classic_plan(plan: ClassicPlan) -> CatalogueEntry:
    prices = {currency: str(price) for currency, price in plan.recurring_prices.items()}
    return _entry(
        Kind.PADDLE_PRICE,
        plan.id,
        plan.name,
        currency=next(iter(prices)) if len(prices) == 1 else "",
        interval=_in_words(plan.billing_period, plan.billing_type),
        data={"classic": True, "prices": prices, "cycle": [plan.billing_period, plan.billing_type]},
    )


def _of_m3ter(m3ter: M3terClient) -> list[CatalogueEntry]:
    templates = {template.id: template for template in m3ter.list_plan_templates()}
    products = [_entry(Kind.M3TER_PRODUCT, p.id, p.name, code=p.code or "") for p in m3ter.list_products()]
    plans = []
    product_of: dict[str, str] = {}
    for plan in m3ter.list_plans():
        template = templates.get(plan.plan_template_id)
        product_of[plan.id] = plan.product_id or (template.product_id if template else "")
        plans.append(
            _entry(
                Kind.M3TER_PLAN,
                plan.id,
                plan.name,
                code=plan.code or "",
                parent_id=product_of[plan.id],
                currency=template.currency if template else "",
                interval=_frequency(template) if template else "",
                data={"account_id": plan.account_id} if plan.account_id else {},
            )
        )
    members: dict[str, set[str]] = defaultdict(set)
    for link in m3ter.list_plan_group_links():
        members[link.plan_group_id].add(product_of.get(link.plan_id, ""))
    groups = [
        _entry(
            Kind.M3TER_PLAN_GROUP,
            group.id,
            group.name,
            code=group.code or "",
            currency=group.currency or "",
            data={
                "product_ids": sorted(members[group.id] - {""}),
                **({"account_id": group.account_id} if group.account_id else {}),
            },
        )
        for group in m3ter.list_plan_groups()
    ]
    return products + plans + groups + _counters(m3ter) + _meters(m3ter)


def _counters(m3ter: M3terClient) -> list[CatalogueEntry]:
    return [
        _entry(
            Kind.M3TER_COUNTER,
            counter.id,
            counter.name,
            code=counter.code or "",
            parent_id=counter.product_id or "",
            data={"unit": counter.unit} if counter.unit else {},
        )
        for counter in m3ter.list_counters()
    ]


def _meters(m3ter: M3terClient) -> list[CatalogueEntry]:
    return [
        _entry(
            Kind.M3TER_METER,
            meter.id,
            meter.name,
            code=meter.code or "",
            parent_id=meter.product_id or "",
            data={"fields": _fields(meter.data_fields), "derived": _fields(meter.derived_fields)},
        )
        for meter in m3ter.list_meters()
    ]


def _fields(fields: Iterable[MeterField]) -> list[dict[str, str]]:
    return [{"code": field.code, "category": field.category, "unit": field.unit or ""} for field in fields]


def _entry(kind: CatalogueEntry.Kind, vendor_id: str, name: str, **values: object) -> CatalogueEntry:
    entry = CatalogueEntry(kind=kind, vendor_id=vendor_id, name=name[:300], seen_at=clock.now())
    for column, value in values.items():
        setattr(entry, column, value[:120] if isinstance(value, str) else value)
    return entry


def _frequency(template: PlanTemplate) -> str:
    """How often a plan bills; frequencies that are no span of time stand as m3ter writes them."""
    if template.bill_frequency not in UNITS:
        return template.bill_frequency.lower().replace("_", " ")
    return _in_words(template.bill_frequency_interval, template.bill_frequency)


def _in_words(count: int, unit: str) -> str:
    unit = UNITS.get(unit, unit.lower())
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


def _store(entries: Sequence[CatalogueEntry], kinds: Iterable[CatalogueEntry.Kind]) -> int:
    """Write what was listed in one go; say how many others were active until now."""
    listed = {(entry.kind, entry.vendor_id) for entry in entries}
    with transaction.atomic():
        CatalogueEntry.objects.bulk_create(
            entries,
            update_conflicts=True,
            unique_fields=("kind", "vendor_id"),
            update_fields=VALUES,
            batch_size=500,
        )
        active = CatalogueEntry.objects.filter(kind__in=list(kinds), active=True)
        gone = [pk for pk, *place in active.values_list("pk", "kind", "vendor_id") if tuple(place) not in listed]
        return CatalogueEntry.objects.filter(pk__in=gone).update(active=False)
