"""What the tests of billing begin with, and how they move it on: one subscription, its account, its bills."""

import copy
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import F

from billing_bridge import importing, jobs, review
from billing_bridge.models import Push, PushedBill
from billing_bridge.queues import CONFIRM, FINISH, PUSH
from integration_project import clock, work
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import NewAccount, NewAccountPlan
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.entities import NewAdjustment, NewAdjustmentItem
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.models import AccountLink, EventAttempt, WebhookEvent
from tests.builders import make_link

LIVE_SINCE = dt.date(2020, 1, 1)
RENEWS_IN = dt.timedelta(days=5)
A_MONTH_AGO = dt.timedelta(days=25)
LINES = (("API calls", "123.45"), ("Standing Charge", "20.00"))


@dataclass
class World:
    """Both vendors, and the ids of what stands in them."""

    paddle: PaddleSimulator
    m3ter: M3terSimulator
    vendors: Vendors
    subscription_id: str = ""
    account_id: str = ""

    @classmethod
    def begun(cls, paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors) -> "World":
        """Check out some weeks ago, so that the renewal is near, and link the account."""
        world = cls(paddle, m3ter, vendors)
        world.subscription_id, world.account_id = world.subscribe()
        return world

    def subscribe(
        self,
        price_id: str = paddle_sample.PRICE_CLOUD_USD,
        *,
        currency: str = "USD",
        email: str = "buyer@example.com",
        ago: dt.timedelta = A_MONTH_AGO,
    ) -> tuple[str, str]:
        """Give a new subscription its account and link."""
        self.paddle.clock_set(clock.now() - ago)
        bought = self.paddle.complete_checkout(
            email=email, items=[{"price_id": price_id, "quantity": 1}], currency=currency
        )
        self.paddle.clock_set(clock.now())
        subscription_id = bought["subscription_id"]
        today = clock.now().date()
        account = self.vendors.m3ter.create_account(
            NewAccount(code=subscription_id, name="Harbour Tools", email_address=email, bill_epoch=today)
        )
        self.vendors.m3ter.create_account_plan(
            NewAccountPlan(
                account_id=account.id,
                plan_id=m3ter_sample.PLAN_SCALE,
                start_date=clock.now() - A_MONTH_AGO,
                bill_epoch=today,
            )
        )
        make_link(subscription_id, m3ter_account_id=account.id, m3ter_account_code=subscription_id, currency=currency)
        return subscription_id, account.id

    def subscribe_again(self) -> str:
        """Let the account belong to a new subscription from now on."""
        AccountLink.objects.filter(m3ter_account_id=self.account_id).update(state=AccountLink.State.ENDED)
        self.paddle.clock_set(clock.now() - A_MONTH_AGO)
        bought = self.paddle.complete_checkout(
            email="buyer@example.com",
            items=[{"price_id": paddle_sample.PRICE_CLOUD_USD, "quantity": 1}],
            currency="USD",
        )
        self.paddle.clock_set(clock.now())
        make_link(
            bought["subscription_id"],
            m3ter_account_id=self.account_id,
            m3ter_account_code=self.subscription_id,
            currency="USD",
        )
        return str(bought["subscription_id"])

    @property
    def link(self) -> AccountLink:
        """The link as it is now."""
        return AccountLink.objects.get(paddle_subscription_id=self.subscription_id)

    def make_bill(
        self,
        lines: Sequence[tuple[str, str]] = LINES,
        *,
        total: str | None = None,
        approve: bool = True,
        account_id: str = "",
        **fields: Any,
    ) -> str:
        """Have m3ter make a bill with these lines, approved unless told."""
        job = self.m3ter.run_bill_job(account_ids=[account_id or self.account_id])
        (bill_id,) = job["bill_ids"]
        self.change_bill(bill_id, lines, total=total, **fields)
        if approve:
            self.m3ter.approve_bill(bill_id)
        return str(bill_id)

    def another_bill(self, lines: Sequence[tuple[str, str]] = LINES, *, approve: bool = True, **fields: Any) -> str:
        """Have m3ter make one more bill of the account, like its first."""
        first = next(row for row in self.m3ter.memory.bills if row["accountId"] == self.account_id)
        values = {name: value for name, value in copy.deepcopy(first).items() if name not in {"id", "version"}}
        made = self.m3ter.memory.bills.add({**values, "status": "PENDING", "locked": False})
        self.change_bill(made["id"], lines, **fields)
        if approve:
            self.m3ter.approve_bill(made["id"])
        return str(made["id"])

    def change_bill(
        self, bill_id: str, lines: Sequence[tuple[str, str]] = LINES, *, total: str | None = None, **fields: Any
    ) -> None:
        """Overwrite what a bill says."""
        bill = self.in_m3ter(bill_id)
        pattern = bill["lineItems"][0]
        items = [
            {
                **pattern,
                "id": f"line-{number}",
                "sequenceNumber": number,
                "description": text,
                "convertedSubtotal": Decimal(amount),
            }
            for number, (text, amount) in enumerate(lines, start=1)
        ]
        amount = Decimal(total) if total is not None else sum((Decimal(amount) for _, amount in lines), Decimal(0))
        self.m3ter.change_bill(bill_id, lineItems=items, billTotal=amount, **fields)

    def correct(self, bill_id: str, amount: int) -> None:
        """Let m3ter calculate a bill again, to an amount in cents, and approve that."""
        self.m3ter.recalculate(bill_id)
        self.change_bill(bill_id, (("API calls", format(Decimal(amount) / 100, "f")),))
        self.m3ter.approve_bill(bill_id)

    def in_m3ter(self, bill_id: str) -> dict[str, Any]:
        """The bill as m3ter has it."""
        row = self.m3ter.memory.bills.get(bill_id)
        assert row is not None
        return row

    def delete_in_m3ter(self, bill: PushedBill) -> None:
        """Let m3ter have no such bill any more."""
        self.m3ter.memory.bills.remove(self.in_m3ter(bill.m3ter_bill_id))

    def import_all(self) -> None:
        """Let the poll run once."""
        jobs.import_new_bills()

    def imported(self, lines: Sequence[tuple[str, str]] = LINES, **fields: Any) -> PushedBill:
        """Make an approved bill and import it."""
        bill = importing.import_bill(self.make_bill(lines, **fields), self.vendors)
        assert bill is not None
        return bill

    def approved(self, lines: Sequence[tuple[str, str]] = LINES, **fields: Any) -> PushedBill:
        """Make a bill that Finance has approved here too."""
        bill = self.imported(lines, **fields)
        review.approve(bill.pk, by="finance")
        return fresh(bill)

    def pushed(self, lines: Sequence[tuple[str, str]] = LINES, **fields: Any) -> PushedBill:
        """Make a bill and charge it."""
        bill = self.approved(lines, **fields)
        jobs.drain_bills()
        bill = fresh(bill)
        assert bill.state == PushedBill.State.PUSHED, bill.reason_detail
        return bill

    def work(self) -> None:
        """Run every queue of bills until nothing is due."""
        for _ in range(20):
            if not any(work.has_due(queue, since=clock.now()) for queue in (PUSH, CONFIRM, FINISH)):
                return
            jobs.drain_bills()
            jobs.confirm_bills()
            jobs.finish_bills()
        raise AssertionError("there is always something due")

    def charges_of(self, bill: PushedBill) -> int:
        """How often Paddle accepted a charge of this bill."""
        return sum(
            1 for charge in self.paddle.charges for push_id in charge.push_ids if push_id.startswith(bill.m3ter_bill_id)
        )

    def complete_the_customer(self) -> None:
        """Give Paddle's customer the name and address that an invoice needs."""
        subscription = self.paddle.subscriptions[self.subscription_id]
        self.paddle.update_customer(subscription["customer_id"], name="Harbour Tools Ltd")
        self.paddle.update_address(
            subscription["address_id"], first_line="4 Quay Street", city="Cork", postal_code="T12 X000", region="Cork"
        )

    def invoices(self) -> list[str]:
        """The transactions that an API key made."""
        return sorted(row["id"] for row in self.paddle.transactions.values() if row["origin"] == "api")

    def refund_by_hand(self, transaction_id: str, amount: int | None = None) -> None:
        """Somebody refunds all of a transaction in Paddle's console, or an amount of each line."""
        lines = self.vendors.paddle.get_transaction(transaction_id).lines
        self.vendors.paddle.create_adjustment(
            NewAdjustment(
                action="refund",
                transaction_id=transaction_id,
                push_id="goodwill",
                explanation="of the support desk",
                items=tuple(NewAdjustmentItem(line.id, amount) for line in lines),
            )
        )

    def calls(self, operation: str, vendor: str = "paddle") -> int:
        """How many requests of an operation a vendor saw."""
        return sum(1 for call in getattr(self, vendor).calls if call.operation == operation)


def fresh(bill: PushedBill) -> PushedBill:
    """The bill as it is stored now."""
    return PushedBill.objects.get(pk=bill.pk)


def push_of(bill: PushedBill) -> Push:
    """The bill's latest push as it is stored now."""
    return Push.objects.filter(bill_id=bill.pk).latest("ordinal")


def make_due(bill: PushedBill) -> None:
    """Let the time come for which a bill waits."""
    PushedBill.objects.filter(pk=bill.pk).update(due_at=clock.now())


def end_lease(bill: PushedBill) -> None:
    """Let the lease of a worker that died run out."""
    PushedBill.objects.filter(pk=bill.pk, lease__isnull=False).update(lease_until=clock.now() - dt.timedelta(seconds=1))


def let_time_pass(*, seconds: int) -> None:
    """Everything that happened or is due moves that far into the past."""
    ago = dt.timedelta(seconds=seconds)
    WebhookEvent.objects.update(received_at=F("received_at") - ago, due_at=F("due_at") - ago)
    EventAttempt.objects.update(started_at=F("started_at") - ago, finished_at=F("finished_at") - ago)


def look_through_schedule(bill: PushedBill) -> None:
    """Look as often as the schedule says, each time when it is due."""
    for _ in range(5):
        make_due(bill)
        jobs.confirm_bills()
