"""A simulated Paddle with one subscription, and the real client in front of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from integration_project.vendors import Vendors
from integration_project.vendors.paddle.client import PaddleClient
from integration_project.vendors.paddle.entities import (
    Adjustment,
    Charge,
    ChargeItem,
    NewAdjustment,
    NewAdjustmentItem,
    NewInvoice,
    PaymentTerms,
    Transaction,
)
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

    @property
    def address_id(self) -> str:
        return str(self.simulator.subscriptions[self.subscription_id]["address_id"])

    def new_invoice(self, *, push_id: str = PUSH, amounts: tuple[int, ...] = (12345,), **changes: Any) -> NewInvoice:
        wanted: dict[str, Any] = {
            "customer_id": self.customer_id,
            "address_id": self.address_id,
            "currency": "EUR",
            "items": charge(push_id=push_id, amounts=amounts).items,
            "custom_data": {"push_id": push_id, "bill_id": "91aa", "attempt": "1"},
            "payment_terms": PaymentTerms("day", 30),
        }
        return NewInvoice(**{**wanted, **changes})

    def invoice(self, **options: Any) -> Transaction:
        return self.client.create_invoice(self.new_invoice(**options))

    def find_invoice(self, push_id: str = PUSH, since: datetime | None = None) -> Any:
        since = since or self.simulator.clock.now()
        return self.client.find_invoice(push_id, customer_id=self.customer_id, since=since)

    def line_of(self, transaction_id: str, number: int = 0) -> str:
        return str(self.simulator.transactions[transaction_id]["details"]["line_items"][number]["id"])

    def new_refund(self, amount: int | None = 1000, *, push_id: str = PUSH, **changes: Any) -> NewAdjustment:
        wanted: dict[str, Any] = {
            "action": "refund",
            "transaction_id": self.transaction_id,
            "push_id": push_id,
            "explanation": "bill 91aa was corrected.",
        }
        wanted |= changes
        items = (NewAdjustmentItem(self.line_of(wanted["transaction_id"]), amount),)
        return NewAdjustment(**{"items": items, **wanted})

    def refund(self, amount: int | None = 1000, **options: Any) -> Adjustment:
        return self.client.create_adjustment(self.new_refund(amount, **options))

    def find_refund(self, push_id: str = PUSH, *, transaction_id: str = "") -> Any:
        return self.client.find_adjustment(push_id, transaction_ids=(transaction_id or self.transaction_id,))


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
