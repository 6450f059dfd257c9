"""What a mapping can be chosen from: both catalogues, searched a few entries at a time and never loaded whole."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Q

from paddle_sync.models import CatalogueEntry, PlanMapping, WebhookEvent

Kind = CatalogueEntry.Kind
Target = PlanMapping.Target
NOT_METERED = f"{Target.NOT_METERED}:"
MOST_OF_A_KIND = 15
MOST_WORDS = 6
SEARCHED = ("name", "code", "vendor_id", "currency", "interval")


class Side(StrEnum):
    """What a picker is for."""

    PADDLE = "paddle"
    M3TER = "m3ter"
    COUNTER = "counter"


KINDS: dict[Side, dict[str, CatalogueEntry.Kind]] = {
    Side.PADDLE: {Kind.PADDLE_PRICE: Kind.PADDLE_PRICE, Kind.PADDLE_PRODUCT: Kind.PADDLE_PRODUCT},
    Side.M3TER: {Target.PLAN: Kind.M3TER_PLAN, Target.PLAN_GROUP: Kind.M3TER_PLAN_GROUP},
    Side.COUNTER: {Kind.M3TER_COUNTER: Kind.M3TER_COUNTER},
}
"""For each side, what stands before the colon of an answer, and which entries that means."""
NAMES_OF_KINDS = {
    Kind.PADDLE_PRICE: "price",
    Kind.PADDLE_PRODUCT: "product: every price of it without a mapping of its own",
    Kind.M3TER_PRODUCT: "product",
    Kind.M3TER_PLAN: "plan",
    Kind.M3TER_PLAN_GROUP: "group of plans",
    Kind.M3TER_COUNTER: "counter",
    Kind.M3TER_METER: "meter",
}


@dataclass(frozen=True)
class Choice:
    """One thing a picker offers: the answer it stands for, its name, and what tells it from others of that name."""

    value: str
    name: str
    detail: str

    @property
    def text(self) -> str:
        """Everything in one line."""
        return f"{self.name} ({self.detail})" if self.detail else self.name


@dataclass(frozen=True)
class Found:
    """What a search found, and whether there is more of it."""

    choices: tuple[Choice, ...]
    more: bool


def search(side: Side, text: str) -> Found:
    """Find what is still offered and has every one of these words in its name, code, id, currency or interval.

    One query for each kind, and one for the products' names, whatever is found. A plan that was made for one account
    is no choice for everybody, so it is not among them.
    """
    words = text.split()[:MOST_WORDS]
    entries: list[tuple[str, CatalogueEntry]] = []
    more = False
    for prefix, kind in KINDS[side].items():
        rows = CatalogueEntry.objects.filter(_matching(words), kind=kind, active=True, data__account_id__isnull=True)
        found = list(rows.order_by("name", "pk")[: MOST_OF_A_KIND + 1])
        more = more or len(found) > MOST_OF_A_KIND
        entries += [(prefix, entry) for entry in found[:MOST_OF_A_KIND]]
    parents = _parents(entry for _, entry in entries)
    choices = [_choice(prefix, entry, parents) for prefix, entry in entries]
    if side == Side.M3TER and all(word.casefold() in _not_metered().text.casefold() for word in words):
        choices.append(_not_metered())
    return Found(tuple(choices), more)


def describe(side: Side, value: str) -> Choice | None:
    """Say what an answer stands for; an id that no catalogue lists stands for itself. None for nothing chosen."""
    if value == NOT_METERED and side == Side.M3TER:
        return _not_metered()
    prefix, _, vendor_id = value.partition(":")
    kind = KINDS[side].get(prefix)
    if kind is None or not vendor_id:
        return None
    entry = entry_of(kind, vendor_id)
    if entry is None:
        return Choice(value, vendor_id, "not in the catalogue as last read")
    return _choice(prefix, entry, _parents([entry]))


def read(side: Side, text: str, *, chosen_before: str = "") -> tuple[Choice, ...]:
    """Say what somebody may have meant by what they picked or typed: an answer, an id, a code, or words to search.

    Exactly one choice is an answer. An exact one may also be something that is not offered any more.
    """
    text = text.strip()
    prefix, colon, vendor_id = text.partition(":")
    if colon and (prefix in KINDS[side] or text == NOT_METERED):
        known = text in {chosen_before, NOT_METERED} or _is_known(side, prefix, vendor_id)
        exact = describe(side, text) if known else None
        return (exact,) if exact else ()
    by_id = tuple(f"{prefix}:{text}" for prefix in KINDS[side] if _is_known(side, prefix, text))
    if len(by_id) == 1:
        exact = describe(side, by_id[0])
        return (exact,) if exact else ()
    by_code = [
        _choice(prefix, entry, {})
        for prefix, kind in KINDS[side].items()
        for entry in CatalogueEntry.objects.filter(kind=kind, code=text, active=True)[:2]
    ]
    return tuple(by_code) if len(by_code) == 1 else search(side, text).choices


def entry_of(kind: str, vendor_id: str) -> CatalogueEntry | None:
    """Find a catalogue entry by its vendor's id."""
    return CatalogueEntry.objects.filter(kind=kind, vendor_id=vendor_id).first() if vendor_id else None


def answer_of(mapping: PlanMapping) -> tuple[str, str, str]:
    """Give a mapping as the three pickers say it: Paddle's side, m3ter's side, the counter."""
    return _paddle_answer(mapping), _m3ter_answer(mapping), _counter_answer(mapping)


class Names:
    """The catalogue entries that some mappings are about, read by one query; an id not listed is its own name."""

    def __init__(self, vendor_ids: Iterable[str]) -> None:
        wanted = {vendor_id for vendor_id in vendor_ids if vendor_id}
        entries = CatalogueEntry.objects.filter(vendor_id__in=wanted, kind__in=NAMES_OF_KINDS) if wanted else ()
        self._entries = {entry.vendor_id: entry for entry in entries}

    @classmethod
    def for_mappings(cls, mappings: Iterable[PlanMapping]) -> "Names":
        """Read the names of everything these mappings name."""
        return cls(vendor_id for mapping in mappings for vendor_id in ids_of(mapping))

    def of(self, vendor_id: str) -> str:
        """Name an id, or give the id where no catalogue lists it."""
        entry = self._entries.get(vendor_id)
        return entry.name if entry else vendor_id

    def entry(self, vendor_id: str) -> CatalogueEntry | None:
        """Give the entry itself."""
        return self._entries.get(vendor_id)

    def quoted(self, vendor_id: str) -> str:
        """Name an id in a sentence, the id beside its name."""
        entry = self._entries.get(vendor_id)
        return f'"{entry.name}" ({vendor_id})' if entry else vendor_id


def ids_of(mapping: PlanMapping) -> tuple[str, ...]:
    """Every vendor's id that a mapping names."""
    return (
        mapping.paddle_price_id,
        mapping.paddle_product_id,
        mapping.m3ter_plan_id,
        mapping.m3ter_plan_group_id,
        mapping.m3ter_counter_id,
    )


def _matching(words: Iterable[str]) -> Q:
    condition = Q()
    for word in words:
        somewhere = Q()
        for column in SEARCHED:
            somewhere |= Q(**{f"{column}__icontains": word})
        condition &= somewhere
    return condition


def _choice(prefix: str, entry: CatalogueEntry, parents: dict[str, str]) -> Choice:
    """Name an entry so that two of the same name can be told apart."""
    kind = NAMES_OF_KINDS[Kind(entry.kind)]
    of = parents.get(entry.parent_id, "") if entry.kind != Kind.PADDLE_PRICE else ""
    parts = (kind, f"of {of}" if of else "", entry.currency, entry.interval, entry.code, entry.vendor_id)
    gone = () if entry.active else ("no longer offered",)
    return Choice(f"{prefix}:{entry.vendor_id}", entry.name, ", ".join(part for part in (*parts, *gone) if part))


def _not_metered() -> Choice:
    return Choice(NOT_METERED, str(Target.NOT_METERED.label), "")


def _parents(entries: Iterable[CatalogueEntry]) -> dict[str, str]:
    """Name the m3ter products of plans and counters; a Paddle price's name says its product already."""
    wanted = {entry.parent_id for entry in entries if entry.kind != Kind.PADDLE_PRICE} - {""}
    products = CatalogueEntry.objects.filter(kind=Kind.M3TER_PRODUCT, vendor_id__in=wanted)
    return dict(products.values_list("vendor_id", "name")) if wanted else {}


def _is_known(side: Side, prefix: str, vendor_id: str) -> bool:
    """Say whether such a thing exists, as far as we were told: listed once, mapped, or waited for by an event."""
    if not vendor_id:
        return False
    if entry_of(KINDS[side][prefix], vendor_id) is not None:
        return True
    if side != Side.PADDLE:
        return False
    is_price = prefix == Kind.PADDLE_PRICE
    mapped = {"paddle_price_id" if is_price else "paddle_product_id": vendor_id}
    waited = {"waiting_for_key" if is_price else "waiting_for_product": vendor_id}
    parked = WebhookEvent.objects.filter(state=WebhookEvent.State.PARKED, **waited)
    return parked.exists() or PlanMapping.objects.filter(**mapped).exists()


def _paddle_answer(mapping: PlanMapping) -> str:
    if mapping.paddle_price_id:
        return f"{Kind.PADDLE_PRICE}:{mapping.paddle_price_id}"
    return f"{Kind.PADDLE_PRODUCT}:{mapping.paddle_product_id}" if mapping.paddle_product_id else ""


def _m3ter_answer(mapping: PlanMapping) -> str:
    if mapping.target == Target.NOT_METERED:
        return NOT_METERED
    return f"{mapping.target}:{mapping.m3ter_plan_id or mapping.m3ter_plan_group_id}" if mapping.target else ""


def _counter_answer(mapping: PlanMapping) -> str:
    return f"{Kind.M3TER_COUNTER}:{mapping.m3ter_counter_id}" if mapping.m3ter_counter_id else ""
