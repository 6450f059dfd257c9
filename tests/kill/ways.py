"""Each way of charging a bill, or of giving back: how it begins, what is asked for it, and what is there in the end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from billing_bridge import importing, jobs, modes, review
from billing_bridge.models import PushedBill, PushPolicy
from integration_project.vendors import CLASSIC
from integration_project.vendors.paddle_classic.simulator import alerts
from paddle_sync.jobs import drain_events
from paddle_sync.models import AccountLink
from tests.billing_bridge import truth
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.world import LINES
from tests.builders import post_notification
from tests.kill.mortal import MOMENTS, Life

OF_MONEY = frozenset({"transaction.completed", "adjustment.created", "adjustment.updated"})
"""Paddle's notifications that say what was paid and what was given back."""
IMPORT = "billing_bridge.jobs.import_new_bills"
PUSH = "billing_bridge.jobs.drain_bills"
CONFIRM = "billing_bridge.jobs.confirm_bills"
FINISH = "billing_bridge.jobs.finish_bills"
WHOLE, LESS = 14345, 10000
OWED = WHOLE - LESS


@dataclass
class Stage(ClassicWorld):
    """All three vendors, and how much of what they tell has arrived here: it does when the test says so."""

    client: Client = field(default_factory=Client)
    heard: int = 0
    heard_from_classic: int = 0

    def hear(self) -> None:
        """Let everything arrive that was not told yet, and go through it."""
        for event in self.paddle.events[self.heard :]:
            if event["event_type"] in OF_MONEY:
                post_notification(self.client, {**event, "notification_id": f"ntf_{event['event_id']}"})
        for alert in list(self.classic.memory.alerts.values())[self.heard_from_classic :]:
            form = alerts.signed_body(alert.fields, self.classic.key)
            self.client.post("/webhooks/paddle-classic/", form, content_type="application/x-www-form-urlencoded")
        self.heard, self.heard_from_classic = len(self.paddle.events), len(self.classic.memory.alerts)
        while drain_events():  # a turn of it ends after some seconds
            pass

    def bill(self, bill_id: str) -> PushedBill:
        """The bill as it is stored now."""
        return PushedBill.objects.get(m3ter_bill_id=bill_id)

    def kept(self, bill_id: str) -> dict[str, list[int]]:
        """What Paddle's two products have of a bill, by push."""
        return truth.kept(self.paddle, bill_id) | truth.kept_in_classic(self.classic, bill_id)

    # What is to be charged.

    def billed(self, *, lines: Sequence[tuple[str, str]] = LINES) -> str:
        """Have a bill of a new subscription approved in m3ter."""
        self.subscription_id, self.account_id = self.subscribe(email=_somebody())
        self.complete_the_customer()
        return self.make_bill(lines)

    def billed_in_classic(self, *, lines: Sequence[tuple[str, str]] = LINES) -> str:
        """Have a bill of a new subscription of Paddle Classic approved in m3ter."""
        self.subscription_id, self.account_id = self.subscribe_in_classic(email=_somebody())
        return self.make_bill(lines)

    def owing_in_classic(self) -> str:
        """Have a bill approved by which a customer of Paddle Classic is owed something."""
        return self.billed_in_classic(lines=(("Credit", "-43.45"),))

    def overpaid(self) -> str:
        """Have a bill charged, paid and then corrected: Finance wants the difference given back."""
        bill_id = self.billed()
        self._charge(bill_id)
        self.hear()
        self.correct(bill_id, LESS)
        self.read(bill_id)
        review.refund(self.bill(bill_id).pk, by="finance", reason="corrected")
        return bill_id

    def overcharged_in_classic(self) -> str:
        """Have a bill corrected whose modifier waits for the next payment: it is replaced."""
        bill_id = self.billed_in_classic()
        self._charge(bill_id)
        self.correct(bill_id, LESS)
        return bill_id

    def read(self, bill_id: str) -> None:
        """Have a bill imported."""
        importing.import_bill(bill_id, self.vendors)

    def _charge(self, bill_id: str) -> None:
        self.read(bill_id)
        jobs.drain_bills()

    # What it was made for.

    def renew(self, bill_ids: Sequence[str]) -> None:
        """Let the renewals come."""
        self.paddle.clock_move(days=6)
        self.paddle.run_renewals()

    def pay(self, bill_ids: Sequence[str]) -> None:
        """Let the customers pay these bills' invoices, whether anybody here knows of them or not."""
        for made in list(self.paddle.transactions.values()):
            if (made["custom_data"] or {}).get("bill_id") in bill_ids:
                self.paddle.pay_transaction(made["id"])

    def approve_refunds(self, bill_ids: Sequence[str]) -> None:
        """Let Paddle's people approve what is to be given back."""
        self.paddle.settle_adjustments()

    def collect_in_classic(self, bill_ids: Sequence[str]) -> None:
        """Let the day of the next payments come."""
        self.collect()

    def nothing(self, bill_ids: Sequence[str]) -> None:
        """It is paid already."""


def _somebody() -> str:
    return f"buyer{AccountLink.objects.count()}@example.com"


@dataclass(frozen=True)
class Way:
    """What a bill that is settled in one way begins with, and must come to wherever its processes die."""

    name: str
    mode: str
    policy: Mapping[str, Any]
    """What policy says, so that it is settled in this way."""
    begin: Callable[[Stage], str]
    """Makes what is to be settled; gives the bill's id in m3ter."""
    calls: tuple[str, ...]
    """What an undisturbed process asks of the product of Paddle's that keeps the subscription, in order."""
    request: str
    """How the path of the request ends that must not be made twice."""
    fulfil: Callable[[Stage, Sequence[str]], None]
    """Lets happen, on the vendor's side, what it was made for with these bills."""
    payment: tuple[str, int, int]
    """How the bill is paid after that; how much of it; what was given back."""
    is_found: bool = True
    """Whether what was made and not answered is found for certain; else a person is shown what it may be."""
    before_its_push: int = 0
    """How many of the calls come before the push is opened."""
    imports: bool = False
    """Whether the processes import the bill too; else that was done some time ago. It is the same for every way."""
    pushes: Mapping[int, int] = field(default_factory=lambda: {1: WHOLE})
    """Ordinal of each push that is there in the end, and its amount; below zero it was given back."""
    entries: tuple[tuple[str, int], ...] = (("pushed", WHOLE),)

    def chosen(self) -> None:
        """Let policy have bills settled in this way, without review."""
        PushPolicy.objects.update_or_create(link=None, defaults={"review": "never", **self.policy})

    @property
    def is_of_classic(self) -> bool:
        """Whether Paddle Classic keeps the subscription."""
        return modes.of(self.mode).vendor == CLASSIC

    @property
    def jobs(self) -> tuple[str, ...]:
        """What processes do until it is settled."""
        return (*((IMPORT,) if self.imports else ()), PUSH, CONFIRM, FINISH)

    def operations(self) -> dict[str, list[str]]:
        """What an undisturbed process asks of all vendors, in order."""
        listed = ["list bills"] if self.imports else []
        return {
            "paddle": [] if self.is_of_classic else list(self.calls),
            "classic": list(self.calls) if self.is_of_classic else [],
            "m3ter": ["get token", *listed, "get bill", "lock bill", "create external mapping"],
        }

    def requested(self, life: Life, moment: str) -> int:
        """Where in a life that moment was of the request that must not be made twice."""
        (place,) = (
            number
            for number, point in enumerate(life.points)
            if point.startswith(f"{moment} POST") and point.endswith(self.request)
        )
        return place

    def opened(self, life: Life) -> int:
        """At which point of a life the push had been opened."""
        first = next(number for number, point in enumerate(life.points) if not _is_of_m3ter(point))
        return first + self.before_its_push * len(MOMENTS)

    def in_the_end(self, bill_id: str) -> dict[str, list[int]]:
        """What Paddle must have of a bill, by push."""
        return {f"{bill_id}-{ordinal}": [amount] for ordinal, amount in self.pushes.items()}


def _is_of_m3ter(point: str) -> bool:
    return point.split(" ")[2].startswith(("/organizations/", "/oauth/"))


HISTORY = "list subscription history"
WAYS = (
    Way(
        name="next_billing_period",
        mode="next_billing_period",
        policy={},
        begin=Stage.billed,
        calls=(HISTORY, "preview charge", "charge subscription"),
        request="/charge",
        fulfil=Stage.renew,
        payment=("paid", WHOLE, 0),
        imports=True,
    ),
    Way(
        name="immediately",
        mode="immediately",
        policy={"mode": "immediately"},
        begin=Stage.billed,
        calls=(HISTORY, "preview charge", "charge subscription"),
        request="/charge",
        fulfil=Stage.nothing,
        payment=("paid", WHOLE, 0),
    ),
    Way(
        name="invoice",
        mode="invoice",
        policy={"mode": "invoice"},
        begin=Stage.billed,
        calls=(
            HISTORY,
            "get subscription",
            "get customer",
            "get address",
            "preview transaction",
            "create transaction",
        ),
        request="/transactions",
        fulfil=Stage.pay,
        payment=("paid", WHOLE, 0),
    ),
    Way(
        name="refund",
        mode="refund",
        policy={"mode": "immediately", "negative": "hold"},
        begin=Stage.overpaid,
        calls=(HISTORY, "get transaction", "list adjustments", "create adjustment"),
        request="/adjustments",
        fulfil=Stage.approve_refunds,
        payment=("paid", WHOLE, OWED),
        pushes={1: WHOLE, 2: -OWED},
        entries=(("pushed", WHOLE), ("credited", OWED)),
    ),
    Way(
        name="classic_modifier",
        mode="classic_modifier",
        policy={},
        begin=Stage.billed_in_classic,
        calls=("list users", "list modifiers", "create modifier"),
        request="/modifiers/create",
        fulfil=Stage.collect_in_classic,
        payment=("paid", WHOLE, 0),
    ),
    Way(
        name="classic_modifier replaced",
        mode="classic_modifier",
        policy={"changed": "settle"},
        begin=Stage.overcharged_in_classic,
        calls=(
            "list modifiers",
            "list modifiers",
            "delete modifier",
            "list users",
            "list modifiers",
            "create modifier",
        ),
        before_its_push=3,
        request="/modifiers/create",
        fulfil=Stage.collect_in_classic,
        payment=("paid", LESS, 0),
        pushes={2: LESS},
        entries=(("pushed", WHOLE), ("lost", WHOLE), ("pushed", LESS)),
    ),
    Way(
        name="classic_credit",
        mode="classic_credit",
        policy={"negative": "credit"},
        begin=Stage.owing_in_classic,
        calls=("list users", "list modifiers", "create modifier"),
        request="/modifiers/create",
        fulfil=Stage.collect_in_classic,
        payment=("none", 0, 0),
        pushes={1: -OWED},
        entries=(("credited", OWED),),
    ),
    Way(
        name="classic_charge",
        mode="classic_charge",
        policy={"classic_mode": "classic_charge"},
        begin=Stage.billed_in_classic,
        calls=("list users", "charge subscription"),
        request="/charge",
        fulfil=Stage.nothing,
        payment=("paid", WHOLE, 0),
        is_found=False,
    ),
)
