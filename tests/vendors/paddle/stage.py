"""A simulated Paddle with one subscription, and the real client in front of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from integration_project.vendors import Vendors
from integration_project.vendors.paddle.client import PaddleClient
from integration_project.vendors.paddle.entities import Charge, ChargeItem
from integration_project.vendors.paddle.simulator import PaddleSimulator, sample
from integration_project.vendors.simulation import BusinessClock
from tests.vendors.opening import RecordingGate, config, opened

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
EMAIL = "ap+paddle@harbour.example"
NAME = "Harriet Harbour"
PUSH = "91aa91aa-8888-4b66-8000-000000000008-1"


@dataclass
class Stage:
    """A simulated Paddle with one subscription, and the client in front of it."""

    simulator: PaddleSimulator
    vendors: Vendors
    gate: RecordingGate
    subscription_id: str
    customer_id: str
    transaction_id: str

    @property
    def client(self) -> PaddleClient:
        return self.vendors.paddle

    @property
    def operations(self) -> list[str | None]:
        return [call.operation for call in self.simulator.calls]

    def charge(self, effective_from: str = "next_billing_period", **options: Any) -> Any:
        return self.client.charge_subscription(self.subscription_id, charge(effective_from, **options))

    def find(self, push_id: str = PUSH, since: datetime | None = None) -> Any:
        since = since or self.simulator.clock.now()
        return self.client.find_charge(push_id, subscription_id=self.subscription_id, since=since)


def charge(
    effective_from: str = "next_billing_period",
    *,
    push_id: str = PUSH,
    amounts: tuple[int, ...] = (12345,),
    on_payment_failure: str | None = None,
) -> Charge:
    items = tuple(
        ChargeItem(
            name="API calls Mar 2026",
            description=f"push {push_id} line {number}",
            amount_minor=amount,
            currency="EUR",
            tax_mode="external",
            custom_data={"push_id": push_id, "attempt": "1"},
            product_name="Usage",
            tax_category="saas",
            product_custom_data={"push_id": push_id},
        )
        for number, amount in enumerate(amounts, start=1)
    )
    return Charge(effective_from, items, on_payment_failure)


def new_stage() -> Stage:
    """A business in Germany has bought two things a month."""
    simulator = PaddleSimulator(clock=BusinessClock(START))
    gate = RecordingGate()
    vendors = opened(config(paddle_api_key=sample.API_KEY), gate, paddle=simulator)
    made = simulator.complete_checkout(
        email=EMAIL,
        name=NAME,
        items=[
            {"price_id": sample.PRICE_CLOUD_EUR, "quantity": 1},
            {"price_id": sample.PRICE_SEATS_EUR, "quantity": 3},
        ],
        business={"name": "Harbour Tools Ltd", "tax_identifier": "DE123456789"},
        custom_data={"account": "harbour"},
    )
    return Stage(simulator, vendors, gate, made["subscription_id"], made["customer_id"], made["transaction_id"])
