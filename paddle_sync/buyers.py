"""Who buys, as far as Paddle says, whichever of its products keeps the subscription."""

from dataclasses import dataclass

from integration_project.vendors.paddle.entities import Address, Business, Customer


@dataclass(frozen=True)
class Buyer:
    """Who buys, as far as Paddle knows; personal data, never stored here."""

    customer: Customer | None
    address: Address | None
    business: Business | None
