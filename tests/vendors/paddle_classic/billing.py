"""What a bill does at Classic, in the words of its tests."""

from decimal import Decimal

from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.paddle_classic.entities import OneOffCharge
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator

PUSH = "0f6c1c9e-7f4c-4c55-9d0d-1d6f4a1f8a11-1"


def modify(client: ClassicClient, subscription_id: str, *, description: str = f"Usage [{PUSH}]") -> str:
    return client.create_modifier(subscription_id, amount=Decimal("12.25"), description=description)


def charge(client: ClassicClient, subscription_id: str, *, amount: str = "12.25") -> OneOffCharge:
    return client.charge(subscription_id, amount=Decimal(amount), name="Usage in February")


def charges_made(simulator: ClassicSimulator) -> int:
    return sum(payment.is_one_off for payment in simulator.memory.payments.values())
