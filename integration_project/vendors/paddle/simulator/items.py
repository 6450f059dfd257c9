"""The items of charges and transactions: catalog prices and prices made for the occasion, strictly read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from integration_project.vendors.paddle.simulator import currencies, totals, validation
from integration_project.vendors.paddle.simulator.catalog import make_price, make_product
from integration_project.vendors.paddle.simulator.envelope import Json
from integration_project.vendors.paddle.simulator.refusals import invalid, refuse
from integration_project.vendors.paddle.simulator.totals import Line
from integration_project.vendors.paddle.simulator.validation import Check, Shape, nullable, optional, required
from integration_project.vendors.paddle.simulator.world import World

MAXIMUM_LINES = 100

PRODUCT: Shape = {
    "name": required(validation.text(1, 200)),
    "tax_category": required(validation.choice(*validation.TAX_CATEGORIES)),
    "description": nullable(validation.text(0, 2048)),
    "image_url": nullable(validation.text(0, 2048)),
    "custom_data": nullable(validation.custom_data),
}


@dataclass(frozen=True)
class Words:
    """The codes and lengths that differ between charges and transactions."""

    duplicate: str
    too_many: str
    quantity: str
    minimum: str
    tax_category: str
    name_length: int
    description_length: int
    recurring: bool


CHARGE = Words(
    duplicate="subscription_charge_duplicate_price_ids",
    too_many="subscription_maximum_number_of_line_items_reached",
    quantity="subscription_quantity_not_valid",
    minimum="subscription_update_transaction_balance_less_than_charge_limit",
    tax_category="subscription_product_tax_category_not_approved",
    name_length=50,
    description_length=200,
    recurring=False,
)
TRANSACTION = Words(
    duplicate="transaction_duplicate_price_ids",
    too_many="transaction_maximum_number_of_line_items_reached",
    quantity="transaction_item_quantity_out_of_range",
    minimum="transaction_balance_less_than_charge_limit",
    tax_category="product_tax_category_not_approved",
    name_length=150,
    description_length=500,
    recurring=True,
)


def item_check(words: Words) -> Check:
    """How one item of a request looks."""
    price: Shape = {
        "description": required(validation.text(2, words.description_length)),
        "name": nullable(validation.text(1, words.name_length)),
        "unit_price": required(validation.shaped(validation.MONEY)),
        "tax_mode": optional(validation.choice(*validation.TAX_MODES)),
        "unit_price_overrides": optional(validation.many(validation.shaped(validation.OVERRIDE), maximum=250)),
        "quantity": optional(validation.shaped(validation.QUANTITY)),
        "custom_data": nullable(validation.custom_data),
    }
    if words.recurring:
        price = {
            **price,
            "billing_cycle": nullable(validation.shaped(validation.DURATION)),
            "trial_period": nullable(validation.shaped(validation.DURATION)),
        }
    made = validation.either(
        by="product_id and product",
        shapes={
            "product_id": {**price, "product_id": required(validation.identifier("pro"))},
            "product": {**price, "product": required(validation.shaped(PRODUCT))},
        },
    )
    quantity = required(validation.whole(1))
    return validation.either(
        by="price_id and price",
        shapes={
            "price_id": {"quantity": quantity, "price_id": required(validation.identifier("pri"))},
            "price": {"quantity": quantity, "price": required(made)},
        },
    )


def items_check(words: Words) -> Check:
    """How the items of a request look; too many are refused later, with a code of their own."""
    return validation.many(item_check(words), minimum=1)


class Items:
    """Reads items into lines, and brings prices made for the occasion into being."""

    def __init__(self, world: World, words: Words) -> None:
        self.world = world
        self.words = words

    def read(self, items: Sequence[Json], *, currency: str, already: int = 0) -> list[Line]:
        """The lines of a request, or the refusal they deserve; nothing is created yet."""
        if len(items) + already > MAXIMUM_LINES:
            detail = f"{len(items) + already} line items, at most {MAXIMUM_LINES} are allowed."
            raise refuse(self.words.too_many, detail)
        price_ids = [item["price_id"] for item in items if "price_id" in item]
        if len(set(price_ids)) < len(price_ids):
            raise refuse(self.words.duplicate, "A price may be in items once only.")
        lines = [self._line(item, f"items.{index}", currency) for index, item in enumerate(items)]
        self._check_tax_categories(lines)
        return lines

    def create(self, lines: Sequence[Line]) -> list[Line]:
        """The same lines, their prices and products created where they did not exist."""
        return [self._created(line) for line in lines]

    def check_minimum(self, lines: Sequence[Line], *, country: str | None, currency: str) -> None:
        """Refuse a total that is neither nothing nor at least Paddle's minimum."""
        balance, least = totals.sum_of(lines, country).total, currencies.minimum(currency)
        if 0 < balance < least:
            detail = f"Transaction balance: {balance}, Minimum payment amount: {least}, Currency code: {currency}"
            raise refuse(self.words.minimum, detail)

    def _line(self, item: Json, path: str, currency: str) -> Line:
        line = self._catalog_line(item, path) if "price_id" in item else self._made_line(item)
        limits, quantity = line.price["quantity"], item["quantity"]
        if not limits["minimum"] <= quantity <= limits["maximum"]:
            detail = f"Quantity {quantity} is outside {limits['minimum']} to {limits['maximum']}."
            raise refuse(self.words.quantity, detail)
        if line.price["unit_price"]["currency_code"] != currency:
            raise invalid((f"{path}.price.unit_price.currency_code", f"must be {currency}"))
        return line

    def _catalog_line(self, item: Json, path: str) -> Line:
        price = self.world.get(self.world.memory.prices, item["price_id"])
        if price["status"] == "archived":
            raise refuse("entity_archived", f"The price {price['id']} is archived.")
        if price["billing_cycle"] is not None and not self.words.recurring:
            raise invalid((f"{path}.price_id", "must be a one-time price"))
        return Line(price, self.world.memory.products[price["product_id"]], item["quantity"])

    def _made_line(self, item: Json) -> Line:
        fields = item["price"]
        if "product" in fields:
            product = {**make_product(self.world, fields["product"], product_id="", kind="custom"), "id": None}
        else:
            product = self.world.get(self.world.memory.products, fields["product_id"])
            if product["status"] == "archived":
                raise refuse("entity_archived", f"The product {product['id']} is archived.")
        price = make_price(self.world, fields, price_id="", product_id="", kind="custom")
        return Line({**price, "id": None, "product_id": product["id"]}, product, item["quantity"])

    def _created(self, line: Line) -> Line:
        if line.price["id"] is not None:
            return line
        product = line.product
        if product["id"] is None:
            product = {**product, "id": self.world.new_id("pro")}
            self.world.memory.products[product["id"]] = product
        price = {**line.price, "id": self.world.new_id("pri"), "product_id": product["id"]}
        self.world.memory.prices[price["id"]] = price
        return replace(line, price=price, product=product)

    def _check_tax_categories(self, lines: Sequence[Line]) -> None:
        approved = self.world.rules.approved_tax_categories
        if approved is None:
            return
        for line in lines:
            if line.product["tax_category"] not in approved:
                detail = f"The tax category {line.product['tax_category']} is not approved for this account."
                raise refuse(self.words.tax_category, detail)
