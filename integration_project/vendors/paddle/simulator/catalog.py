"""Products and prices."""

from collections.abc import Iterable, Sequence

from integration_project.vendors.paddle.simulator import sample, validation
from integration_project.vendors.paddle.simulator.envelope import Json, one
from integration_project.vendors.paddle.simulator.listing import Listing, field_of, includes
from integration_project.vendors.paddle.simulator.refusals import refuse
from integration_project.vendors.paddle.simulator.validation import Shape, checked, nullable, optional, required
from integration_project.vendors.paddle.simulator.world import World
from integration_project.vendors.simulation import Answer, Request, Route

STATUS = optional(validation.choice("active", "archived"))
TYPE = optional(validation.choice("custom", "standard"))
CUSTOM_DATA = nullable(validation.custom_data)

PRODUCT_CREATE: Shape = {
    "name": required(validation.text(1, 200)),
    "description": nullable(validation.text(0, 2048)),
    "type": TYPE,
    "tax_category": required(validation.choice(*validation.TAX_CATEGORIES)),
    "image_url": nullable(validation.text(0, 2048)),
    "custom_data": CUSTOM_DATA,
}
PRODUCT_UPDATE: Shape = {
    **PRODUCT_CREATE,
    "name": optional(validation.text(1, 200)),
    "tax_category": optional(validation.choice(*validation.TAX_CATEGORIES)),
    "status": STATUS,
}
PRICE_UPDATE: Shape = {
    "description": optional(validation.text(2, 500)),
    "type": TYPE,
    "name": nullable(validation.text(1, 150)),
    "billing_cycle": nullable(validation.shaped(validation.DURATION)),
    "trial_period": nullable(
        validation.shaped({**validation.DURATION, "requires_payment_method": optional(validation.flag)})
    ),
    "tax_mode": optional(validation.choice(*validation.TAX_MODES)),
    "unit_price": optional(validation.shaped(validation.MONEY)),
    "unit_price_overrides": optional(validation.many(validation.shaped(validation.OVERRIDE), maximum=250)),
    "quantity": optional(validation.shaped(validation.QUANTITY)),
    "status": STATUS,
    "custom_data": CUSTOM_DATA,
}
PRICE_CREATE: Shape = {
    **{name: field for name, field in PRICE_UPDATE.items() if name != "status"},
    "description": required(validation.text(2, 500)),
    "product_id": required(validation.identifier("pro")),
    "unit_price": required(validation.shaped(validation.MONEY)),
}


def make_product(world: World, fields: Json, *, product_id: str, kind: str) -> Json:
    """A complete product from the fields given."""
    return {
        "id": product_id,
        "name": fields["name"],
        "description": fields.get("description"),
        "type": kind,
        "tax_category": fields["tax_category"],
        "image_url": fields.get("image_url"),
        "custom_data": fields.get("custom_data"),
        "status": "active",
        "import_meta": None,
        **world.times(),
    }


def make_price(world: World, fields: Json, *, price_id: str, product_id: str, kind: str) -> Json:
    """A complete price from the fields given, with Paddle's defaults."""
    return {
        "id": price_id,
        "product_id": product_id,
        "description": fields["description"],
        "type": kind,
        "name": fields.get("name"),
        "billing_cycle": fields.get("billing_cycle"),
        "trial_period": fields.get("trial_period"),
        "tax_mode": fields.get("tax_mode", "account_setting"),
        "unit_price": fields["unit_price"],
        "unit_price_overrides": fields.get("unit_price_overrides", []),
        "quantity": fields.get("quantity", {"minimum": 1, "maximum": 100}),
        "status": "active",
        "custom_data": fields.get("custom_data"),
        "import_meta": None,
        **world.times(),
    }


class Catalog:
    """The operations on products and prices."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.product_list = Listing(
            equal={"id": field_of("id"), "status": field_of("status"), "tax_category": field_of("tax_category")},
            includes=frozenset({"prices"}),
            others=frozenset({"type"}),
            order_by=("id", "created_at", "custom_data", "description", "name", "status", "tax_category", "updated_at"),
        )
        self.price_list = Listing(
            equal={
                "id": field_of("id"),
                "product_id": field_of("product_id"),
                "status": field_of("status"),
                "recurring": lambda price: price["billing_cycle"] is not None,
            },
            includes=frozenset({"product"}),
            others=frozenset({"type"}),
            order_by=("id", "billing_cycle.frequency", "billing_cycle.interval", "product_id", "quantity.maximum"),
        )

    def routes(self) -> Sequence[Route]:
        """The operations."""
        return (
            Route("GET", "/products", "list products", self.list_products, "product.read"),
            Route("POST", "/products", "create product", self.create_product, "product.write"),
            Route("GET", "/products/{product_id}", "get product", self.get_product, "product.read"),
            Route("PATCH", "/products/{product_id}", "update product", self.update_product, "product.write"),
            Route("GET", "/prices", "list prices", self.list_prices, "price.read"),
            Route("POST", "/prices", "create price", self.create_price, "price.write"),
            Route("GET", "/prices/{price_id}", "get price", self.get_price, "price.read"),
            Route("PATCH", "/prices/{price_id}", "update price", self.update_price, "price.write"),
        )

    def put_sample(self) -> None:
        """The sample catalogue."""
        memory, stamps = self.world.memory, {"created_at": sample.CREATED_AT, "updated_at": sample.CREATED_AT}
        for product_id, name, description in sample.PRODUCTS:
            fields = {"name": name, "description": description, "tax_category": "saas"}
            product = make_product(self.world, fields, product_id=product_id, kind="standard")
            memory.products[product_id] = {**product, **stamps}
        for row in sample.PRICES:
            price_fields: Json = {
                "description": f"{row['name']} in {row['currency']}",
                "name": row["name"],
                "billing_cycle": row["cycle"],
                "trial_period": row.get("trial"),
                "tax_mode": "external",
                "unit_price": {"amount": row["amount"], "currency_code": row["currency"]},
                "quantity": {"minimum": 1, "maximum": row.get("most", 100)},
            }
            price_id, product_id = str(row["id"]), str(row["product"])
            price = make_price(self.world, price_fields, price_id=price_id, product_id=product_id, kind="standard")
            memory.prices[price_id] = {**price, **stamps}

    def list_products(self, request: Request) -> Answer:
        """List products; only active, standard ones unless others are asked for."""
        self.product_list.check_parameters(request)
        asked = includes(request, self.product_list.includes)
        shown = self._standard(request, self.world.memory.products.values())
        return self.product_list.answer(request, shown, lambda product: self._product(product, asked))

    def get_product(self, request: Request) -> Answer:
        """Get a product, of whatever type."""
        asked = includes(request, self.product_list.includes)
        product = self.world.get(self.world.memory.products, request.path_params["product_id"])
        return one(self._product(product, asked))

    def create_product(self, request: Request) -> Answer:
        """Create a product."""
        fields = checked(request, PRODUCT_CREATE)
        kind = fields.get("type", "standard")
        product = make_product(self.world, fields, product_id=self.world.new_id("pro"), kind=kind)
        self.world.memory.products[product["id"]] = product
        self.world.publish("product.created", product)
        return one(product, status=201)

    def update_product(self, request: Request) -> Answer:
        """Change a product."""
        product = self.world.get(self.world.memory.products, request.path_params["product_id"])
        product.update(checked(request, PRODUCT_UPDATE))
        self.world.touch(product)
        self.world.publish("product.updated", product)
        return one(product)

    def list_prices(self, request: Request) -> Answer:
        """List prices; only active, standard ones unless others are asked for."""
        self.price_list.check_parameters(request)
        asked = includes(request, self.price_list.includes)
        shown = self._standard(request, self.world.memory.prices.values())
        return self.price_list.answer(request, shown, lambda price: self._price(price, asked))

    def get_price(self, request: Request) -> Answer:
        """Get a price, of whatever type."""
        asked = includes(request, self.price_list.includes)
        price = self.world.get(self.world.memory.prices, request.path_params["price_id"])
        return one(self._price(price, asked))

    def create_price(self, request: Request) -> Answer:
        """Create a price of an active product."""
        fields = checked(request, PRICE_CREATE)
        product = self.world.get(self.world.memory.products, fields["product_id"])
        if product["status"] == "archived":
            raise refuse("entity_archived", f"The product {product['id']} is archived.")
        kind = fields.get("type", "standard")
        price = make_price(self.world, fields, price_id=self.world.new_id("pri"), product_id=product["id"], kind=kind)
        self.world.memory.prices[price["id"]] = price
        self.world.publish("price.created", price)
        return one(price, status=201)

    def update_price(self, request: Request) -> Answer:
        """Change a price."""
        price = self.world.get(self.world.memory.prices, request.path_params["price_id"])
        price.update(checked(request, PRICE_UPDATE))
        self.world.touch(price)
        self.world.publish("price.updated", price)
        return one(price)

    def _standard(self, request: Request, entities: Iterable[Json]) -> list[Json]:
        kinds = (request.param("type", "standard") or "").split(",")
        active_only = "status" not in request.params and "id" not in request.params
        return [
            entity
            for entity in entities
            if entity["type"] in kinds and (entity["status"] == "active" or not active_only)
        ]

    def _product(self, product: Json, asked: frozenset[str]) -> Json:
        if "prices" not in asked:
            return product
        prices = [price for price in self.world.memory.prices.values() if price["product_id"] == product["id"]]
        return {**product, "prices": prices}

    def _price(self, price: Json, asked: frozenset[str]) -> Json:
        if "product" not in asked:
            return price
        return {**price, "product": self.world.memory.products[price["product_id"]]}
