"""Customers, their addresses and their businesses."""

from collections.abc import Iterable, Sequence

from integration_project.vendors.paddle.simulator import validation
from integration_project.vendors.paddle.simulator.envelope import Json, one
from integration_project.vendors.paddle.simulator.listing import Listing, field_of
from integration_project.vendors.paddle.simulator.refusals import refuse
from integration_project.vendors.paddle.simulator.validation import Shape, checked, nullable, optional, passed, required
from integration_project.vendors.paddle.simulator.world import World
from integration_project.vendors.simulation import Answer, Request, Route

EMAIL = validation.text(3, 320, r"[^@\s]+@[^@\s]+")
COUNTRY = validation.text(2, 2, r"[A-Z]{2}")
STATUS = optional(validation.choice("active", "archived"))
CUSTOM_DATA = nullable(validation.custom_data)

CUSTOMER_CREATE: Shape = {
    "email": required(EMAIL),
    "name": nullable(validation.text(0, 1024)),
    "custom_data": CUSTOM_DATA,
    "locale": optional(validation.text(1, 20)),
}
CUSTOMER_UPDATE: Shape = {**CUSTOMER_CREATE, "email": optional(EMAIL), "status": STATUS}
ADDRESS_UPDATE: Shape = {
    "description": nullable(validation.text(0, 1024)),
    "first_line": nullable(validation.text(0, 1024)),
    "second_line": nullable(validation.text(0, 1024)),
    "city": nullable(validation.text(0, 200)),
    "postal_code": nullable(validation.text(0, 200)),
    "region": nullable(validation.text(0, 200)),
    "country_code": optional(COUNTRY),
    "custom_data": CUSTOM_DATA,
    "status": STATUS,
}
ADDRESS_CREATE: Shape = {
    **{name: field for name, field in ADDRESS_UPDATE.items() if name != "status"},
    "country_code": required(COUNTRY),
}
CONTACT: Shape = {"name": optional(validation.text(0, 1024)), "email": required(EMAIL)}
BUSINESS_UPDATE: Shape = {
    "name": optional(validation.text(1, 1024)),
    "company_number": nullable(validation.text(0, 1024)),
    "tax_identifier": nullable(validation.text(0, 1024)),
    "contacts": nullable(validation.many(validation.shaped(CONTACT), maximum=100)),
    "custom_data": CUSTOM_DATA,
    "status": STATUS,
}
BUSINESS_CREATE: Shape = {
    **{name: field for name, field in BUSINESS_UPDATE.items() if name != "status"},
    "name": required(validation.text(1, 1024)),
}


class People:
    """The operations on customers, addresses and businesses."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.customer_list = Listing(
            equal={"id": field_of("id"), "email": field_of("email"), "status": field_of("status")},
            others=frozenset({"search"}),
        )
        self.part_list = Listing(
            equal={"id": field_of("id"), "status": field_of("status")}, others=frozenset({"search"})
        )

    def routes(self) -> Sequence[Route]:
        """The operations."""
        customer, address = "/customers/{customer_id}", "/customers/{customer_id}/addresses"
        business = "/customers/{customer_id}/businesses"
        return (
            Route("GET", "/customers", "list customers", self.list_customers, "customer.read"),
            Route("POST", "/customers", "create customer", self.create_customer, "customer.write"),
            Route("GET", customer, "get customer", self.get_customer, "customer.read"),
            Route("PATCH", customer, "update customer", self.update_customer, "customer.write"),
            Route("GET", f"{customer}/credit-balances", "list credit balances", self.credit_balances, "customer.read"),
            Route("GET", address, "list addresses", self.list_addresses, "address.read"),
            Route("POST", address, "create address", self.create_address, "address.write"),
            Route("GET", f"{address}/{{address_id}}", "get address", self.get_address, "address.read"),
            Route("PATCH", f"{address}/{{address_id}}", "update address", self.update_address, "address.write"),
            Route("GET", business, "list businesses", self.list_businesses, "business.read"),
            Route("POST", business, "create business", self.create_business, "business.write"),
            Route("GET", f"{business}/{{business_id}}", "get business", self.get_business, "business.read"),
            Route("PATCH", f"{business}/{{business_id}}", "update business", self.update_business, "business.write"),
        )

    # Making them; the checkout uses these too.

    def add_customer(self, fields: Json) -> Json:
        """A new customer; one e-mail belongs to one customer."""
        self.refuse_taken(fields["email"], of=None)
        customer = {
            "id": self.world.new_id("ctm"),
            "name": fields.get("name"),
            "email": fields["email"],
            "marketing_consent": False,
            "status": "active",
            "custom_data": fields.get("custom_data"),
            "locale": fields.get("locale", "en"),
            **self.world.times(),
            "import_meta": None,
        }
        self.world.memory.customers[customer["id"]] = customer
        return customer

    def add_address(self, customer_id: str, fields: Json) -> Json:
        """A new address of a customer."""
        address = {
            "id": self.world.new_id("add"),
            "customer_id": customer_id,
            **{name: fields.get(name) for name in ADDRESS_CREATE},
            "status": "active",
            **self.world.times(),
            "import_meta": None,
        }
        self.world.memory.addresses[address["id"]] = address
        return address

    def add_business(self, customer_id: str, fields: Json) -> Json:
        """A new business of a customer."""
        business = {
            "id": self.world.new_id("biz"),
            "customer_id": customer_id,
            "name": fields["name"],
            "company_number": fields.get("company_number"),
            "tax_identifier": fields.get("tax_identifier"),
            "status": "active",
            "contacts": fields.get("contacts") or [],
            **self.world.times(),
            "custom_data": fields.get("custom_data"),
            "import_meta": None,
        }
        self.world.memory.businesses[business["id"]] = business
        return business

    def by_email(self, email: str) -> Json | None:
        """The customer with this e-mail."""
        same = (customer for customer in self.world.memory.customers.values() if customer["email"] == email)
        return next(same, None)

    def arrive(self, *, email: str, name: str | None, address: Json, business: Json | None) -> Json:
        """Somebody comes with an address, and perhaps a business, and Paddle tells of what is new; the ids.

        A known e-mail is the same customer again.
        """
        passed(address, ADDRESS_CREATE)
        if business is not None:
            passed(business, BUSINESS_CREATE)
        customer = self.by_email(email)
        if customer is None:
            customer = self.add_customer(passed({"email": email, "name": name}, CUSTOMER_CREATE))
            self.world.publish("customer.created", customer)
        found = {"customer_id": customer["id"], "business_id": None}
        added = self.add_address(customer["id"], address)
        self.world.publish("address.created", added)
        if business is not None:
            theirs = self.add_business(customer["id"], business)
            self.world.publish("business.created", theirs)
            found["business_id"] = theirs["id"]
        return {**found, "address_id": added["id"]}

    def refuse_taken(self, email: str, *, of: str | None) -> None:
        """Refuse an e-mail that another customer has."""
        other = self.by_email(email)
        if other is not None and other["id"] != of:
            detail = f"customer email conflicts with customer of id {other['id']}"
            raise refuse("customer_already_exists", detail)

    # Customers.

    def list_customers(self, request: Request) -> Answer:
        """List customers."""
        self.customer_list.check_parameters(request)
        everyone = self._found(request, self.world.memory.customers.values(), ("id", "name", "email"))
        return self.customer_list.answer(request, everyone)

    def create_customer(self, request: Request) -> Answer:
        """Create a customer."""
        customer = self.add_customer(checked(request, CUSTOMER_CREATE))
        self.world.publish("customer.created", customer)
        return one(customer, status=201)

    def get_customer(self, request: Request) -> Answer:
        """Get a customer."""
        return one(self._customer(request))

    def update_customer(self, request: Request) -> Answer:
        """Change a customer."""
        customer = self._customer(request)
        fields = checked(request, CUSTOMER_UPDATE)
        if "email" in fields:
            self.refuse_taken(fields["email"], of=customer["id"])
        return self._changed("customer", customer, fields)

    def credit_balances(self, request: Request) -> Answer:
        """Nobody has a balance here."""
        self._customer(request)
        return one([])

    # Addresses.

    def list_addresses(self, request: Request) -> Answer:
        """List a customer's addresses."""
        return self._parts(request, self.world.memory.addresses)

    def create_address(self, request: Request) -> Answer:
        """Create an address."""
        address = self.add_address(self._customer(request)["id"], checked(request, ADDRESS_CREATE))
        self.world.publish("address.created", address)
        return one(address, status=201)

    def get_address(self, request: Request) -> Answer:
        """Get an address."""
        return one(self._part(request, self.world.memory.addresses, "address_id"))

    def update_address(self, request: Request) -> Answer:
        """Change an address."""
        address = self._part(request, self.world.memory.addresses, "address_id")
        return self._changed("address", address, checked(request, ADDRESS_UPDATE))

    # Businesses.

    def list_businesses(self, request: Request) -> Answer:
        """List a customer's businesses."""
        return self._parts(request, self.world.memory.businesses)

    def create_business(self, request: Request) -> Answer:
        """Create a business."""
        business = self.add_business(self._customer(request)["id"], checked(request, BUSINESS_CREATE))
        self.world.publish("business.created", business)
        return one(business, status=201)

    def get_business(self, request: Request) -> Answer:
        """Get a business."""
        return one(self._part(request, self.world.memory.businesses, "business_id"))

    def update_business(self, request: Request) -> Answer:
        """Change a business."""
        business = self._part(request, self.world.memory.businesses, "business_id")
        return self._changed("business", business, checked(request, BUSINESS_UPDATE))

    # What they have in common.

    def _customer(self, request: Request) -> Json:
        return self.world.get(self.world.memory.customers, request.path_params["customer_id"])

    def _part(self, request: Request, table: dict[str, Json], name: str) -> Json:
        customer = self._customer(request)
        part = self.world.get(table, request.path_params[name])
        if part["customer_id"] != customer["id"]:
            raise refuse("not_found", f"Unable to find {part['id']}.")
        return part

    def _parts(self, request: Request, table: dict[str, Json]) -> Answer:
        self.part_list.check_parameters(request)
        customer = self._customer(request)
        mine = [part for part in table.values() if part["customer_id"] == customer["id"]]
        return self.part_list.answer(request, self._found(request, mine, ("id", "name", "description", "first_line")))

    def change(self, kind: str, entity: Json, fields: Json) -> Json:
        """Write checked fields into a customer, an address or a business, and tell of it."""
        if kind == "business" and fields.get("contacts", ()) is None:
            fields["contacts"] = []
        entity.update(fields)
        self.world.touch(entity)
        self.world.publish(f"{kind}.updated", entity)
        return entity

    def _changed(self, kind: str, entity: Json, fields: Json) -> Answer:
        return one(self.change(kind, entity, fields))

    @staticmethod
    def _found(request: Request, entities: Iterable[Json], names: Sequence[str]) -> list[Json]:
        wanted = (request.param("search", "") or "").lower()
        archived_too = "status" in request.params or "id" in request.params
        return [
            entity
            for entity in entities
            if (archived_too or entity["status"] == "active")
            and (not wanted or any(wanted in str(entity.get(name) or "").lower() for name in names))
        ]
