"""What the tests of billing on Paddle Classic begin with: one subscription there, its account, its bills."""

import datetime as dt
from dataclasses import dataclass, field

from billing_bridge.models import PushedBill
from integration_project import clock
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import NewAccount, NewAccountPlan
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from integration_project.vendors.paddle_classic.simulator import sample as classic_sample
from integration_project.vendors.paddle_classic.simulator.world import Modifier, Payment, Subscription
from tests.billing_bridge.world import A_MONTH_AGO, World
from tests.builders import make_link


@dataclass
class ClassicWorld(World):
    """All three vendors; the subscription is one of Classic."""

    classic: ClassicSimulator = field(default_factory=ClassicSimulator)

    @classmethod
    def begun_in(
        cls, classic: ClassicSimulator, paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors
    ) -> "ClassicWorld":
        """Subscribe some weeks ago, so that the next payment is near, and link the account."""
        world = cls(paddle, m3ter, vendors, classic=classic)
        world.subscription_id, world.account_id = world.subscribe_in_classic()
        return world

    def subscribe_in_classic(
        self,
        *,
        email: str = "buyer@example.com",
        plan_id: int = classic_sample.PLAN_TEAM,
        ago: dt.timedelta = A_MONTH_AGO,
    ) -> tuple[str, str]:
        """Give a new subscription its account and link; nobody is told of what came before."""
        self.classic.clock_set(clock.now() - ago)
        made = self.classic.subscribe(email=email, plan_id=plan_id, currency="USD")
        self.classic.clock_set(clock.now())
        self.classic.outbox.clear()
        subscription_id = str(made["subscription_id"])
        today = clock.now().date()
        account = self.vendors.m3ter.create_account(
            NewAccount(code=subscription_id, name="Harbour Tools", email_address=email, bill_epoch=today)
        )
        make_link(
            subscription_id,
            source="paddle_classic",
            paddle_customer_id=made["user_id"],
            m3ter_account_id=account.id,
            m3ter_account_code=subscription_id,
            currency="USD",
        )
        self.vendors.m3ter.create_account_plan(
            NewAccountPlan(
                account_id=account.id,
                plan_id=m3ter_sample.PLAN_SCALE,
                start_date=clock.now() - A_MONTH_AGO,
                bill_epoch=today,
            )
        )
        return subscription_id, account.id

    @property
    def subscription(self) -> Subscription:
        """The subscription as Classic has it."""
        return self.classic.memory.subscriptions[int(self.subscription_id)]

    def modifiers(self, *, paid: bool | None = None) -> list[Modifier]:
        """What Classic was asked to add to payments, in the order of asking; what was deleted is not there."""
        made = self.classic.memory.modifiers.values()
        return [modifier for modifier in made if paid is None or modifier.is_paid is paid]

    def one_offs(self) -> list[Payment]:
        """The one-off charges that were made."""
        return [payment for payment in self.classic.memory.payments.values() if payment.is_one_off]

    def collect(self) -> None:
        """Let the day of the next payment come, and the payment be tried."""
        due = dt.datetime.combine(self.subscription.next_bill, dt.time(12), dt.UTC)
        self.classic.clock_set(max(due, self.classic.clock.now()))
        self.classic.run_payments()

    def charges_of(self, bill: PushedBill) -> int:
        """How often Classic took a charge of this bill that stands."""
        modified = sum(bill.m3ter_bill_id in modifier.description for modifier in self.modifiers())
        return modified + sum(bill.m3ter_bill_id[-20:] in payment.name for payment in self.one_offs())
