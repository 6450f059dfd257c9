"""Generated fault schedules, from a seed: where processes die, which answers are lost, what happens in between.

Each way of charging has its own beginning. At the end Paddle has the push once, whatever happened, or nothing of it
was ever sent and it is sent once by then.
"""

import datetime as dt
import random
from contextlib import suppress
from dataclasses import dataclass

from billing_bridge import importing, jobs, review
from billing_bridge.models import Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project.errors import NotPossible
from integration_project.models import Circuit, Finding
from paddle_sync.jobs import drain_events
from paddle_sync.models import WebhookEvent
from tests.billing_bridge import truth
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.interrupting import DIE, Interrupter
from tests.billing_bridge.killing import Killed
from tests.billing_bridge.world import fresh

State = PushedBill.State
Reason = PushedBill.Reason

IN_CLASSIC = ("classic_modifier", "classic_charge", "classic_credit")
MODES = ("next_billing_period", "immediately", "invoice", "refund", *IN_CLASSIC)
GIVES_BACK = {"refund": "immediately", "classic_credit": "classic_charge"}
"""Ways of giving back, and the way in which the bill was charged before."""
SENDS = {
    "invoice": "create transaction",
    "refund": "create adjustment",
    "classic_modifier": "create modifier",
    "classic_credit": "create modifier",
}
LISTS = {
    "next_billing_period": ("list subscription history", "list transactions"),
    "immediately": ("list subscription history", "list transactions"),
    "invoice": ("list transactions",),
    "refund": ("list adjustments",),
    "classic_modifier": ("list modifiers", "list payments"),
    "classic_charge": ("list payments",),
    "classic_credit": ("list modifiers", "list payments"),
}
ON_SENDING = ("lose_answer", "lose_answer", "error_after", "error_before", "truncated", "html", "too_many")
ON_LOOKING = ("list_lag", "list_lag", "error_before", "lose_answer", "too_many", "refused")
BETWEEN = ("another worker", "another worker", "leases run out", "webhooks")
BETWEEN_IN_CLASSIC = (*BETWEEN, "payment")
WHOLE, LESS = 14345, 10000
FURTHEST = 30
"""Further points than most lives have are never reached, which is a schedule too."""
ROUNDS = 22
MAY_BE_OPEN = frozenset({"vendor closed", "charging refused", "subscription not linked"})
"""What a refused key and a subscription that nobody told of rightly say; anything else is a false alarm."""


@dataclass(frozen=True)
class Schedule:
    """What goes wrong, and when."""

    seed: int
    mode: str
    faults: tuple[tuple[str, str, int], ...]
    """Operation, kind of fault, how often."""
    lives: tuple[dict[int, str], ...]
    """For each life of the worker, at which of its points something happens."""

    @classmethod
    def of(cls, seed: int) -> "Schedule":
        """The schedule with this number; modes take turns."""
        rng = random.Random(seed)
        mode = MODES[seed % len(MODES)]
        faults = []
        if rng.random() < 0.6:
            faults.append((SENDS.get(mode, "charge subscription"), rng.choice(ON_SENDING), rng.choice((1, 1, 2))))
        for _ in range(rng.choice((0, 0, 1, 2))):
            faults.append((rng.choice(LISTS[mode]), rng.choice(ON_LOOKING), rng.randint(1, 4)))
        lives = []
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            points = rng.sample(range(FURTHEST), rng.randint(1, 3))
            happens = (DIE, DIE, *(BETWEEN_IN_CLASSIC if mode in IN_CLASSIC else BETWEEN))
            lives.append({point: rng.choice(happens) for point in points})
        return cls(seed, mode, tuple(faults), tuple(lives))


@dataclass
class Run:
    """One schedule, on a subscription of its own."""

    world: ClassicWorld
    interrupter: Interrupter
    schedule: Schedule

    def go(self) -> None:
        """Let it all happen, and see that the bill was settled once."""
        bill = self._begun()
        self._set_faults()
        self.interrupter.actions = {
            "another worker": self._work,
            "leases run out": self._another_after_leases_ran_out,
            "webhooks": self._hear,
            "payment": self._collect,
        }
        for life in self.schedule.lives:
            self.interrupter.script = dict(life)
            with suppress(Killed), self.interrupter.watching(None):
                self._work()
            self.interrupter.script = {}
            self._let_time_pass()
        self._recover(bill)
        self._check(fresh(bill))

    # The beginning.

    def _begun(self) -> PushedBill:
        world, mode = self.world, self.schedule.mode
        way = GIVES_BACK.get(mode, mode)
        PushPolicy.objects.update_or_create(
            link=None,
            defaults={
                "mode": "immediately" if mode in IN_CLASSIC else way,
                "classic_mode": way if mode in IN_CLASSIC else "classic_modifier",
                "review": "never",
                "negative": "hold",
                "lock_after_days": 30,
                "max_wait_days": 90,
                "resend_when_absent": self.schedule.seed % 3 == 0,
            },
        )
        self._subscribe(f"buyer{self.schedule.seed}@example.com")
        bill = importing.import_bill(world.make_bill(account_id=world.account_id), world.vendors)
        assert bill is not None
        return self._owed_to_the_customer(bill) if mode in GIVES_BACK else bill

    def _subscribe(self, email: str) -> None:
        """A new subscription in the product whose turn it is, with whatever an invoice needs."""
        world = self.world
        if self.schedule.mode in IN_CLASSIC:
            world.subscription_id, world.account_id = world.subscribe_in_classic(email=email)
            return
        world.paddle.silence_webhooks()
        world.subscription_id, world.account_id = world.subscribe(email=email)
        subscription = world.paddle.subscriptions[world.subscription_id]
        world.paddle.update_customer(subscription["customer_id"], name="A. Buyer")
        world.paddle.silence_webhooks(silent=False)

    def _owed_to_the_customer(self, bill: PushedBill) -> PushedBill:
        """It was charged and paid, and then m3ter says less; Finance wants the difference given back."""
        jobs.drain_bills()
        self._hear()
        self.world.correct(bill.m3ter_bill_id, LESS)
        importing.import_bill(bill.m3ter_bill_id, self.world.vendors)
        review.refund(bill.pk, by="finance", reason="corrected")
        return fresh(bill)

    def _set_faults(self) -> None:
        is_classic = self.schedule.mode in IN_CLASSIC
        for operation, kind, times in self.schedule.faults:
            if kind == "refused" and is_classic:
                self.world.classic.fault(operation, "refuse", times, code=184)
            elif kind == "refused":
                self.world.paddle.fault(operation, "refuse", times, status=403, code="forbidden")
            elif is_classic:
                self.world.classic.fault(operation, kind, times)
            else:
                self.world.paddle.fault(operation, kind, times)

    # What happens.

    def _work(self) -> None:
        jobs.drain_bills()
        jobs.confirm_bills()

    def _another_after_leases_ran_out(self) -> None:
        self._let_time_pass()
        self._work()

    def _hear(self) -> None:
        self.world.paddle.deliver_webhooks(even_if_not_due=True)
        self.world.classic.deliver_webhooks(even_if_not_due=True)
        drain_events()

    def _collect(self) -> None:
        """The day of Classic's next payment comes, which collects the modifiers that are there by then."""
        self.world.collect()
        self.world.classic.clock_set(clock.now())

    @staticmethod
    def _let_time_pass() -> None:
        """Leases run out, and what waits for a time is due, also the next try of what was refused."""
        past = clock.now() - dt.timedelta(seconds=1)
        PushedBill.objects.filter(lease__isnull=False).update(lease_until=past)
        PushedBill.objects.filter(due_at__isnull=False).update(due_at=past)
        PushedBill.objects.update(m3ter_read_at=clock.now() - dt.timedelta(minutes=2))
        WebhookEvent.objects.filter(lease__isnull=False).update(lease_until=past)
        WebhookEvent.objects.filter(due_at__isnull=False).update(due_at=past)
        Circuit.objects.filter(probe_at__isnull=False).update(probe_at=past)

    def _recover(self, bill: PushedBill) -> None:
        """Nothing dies any more, and faults wear off; a person answers truly, once nothing is looked for."""
        for _ in range(ROUNDS):
            self._let_time_pass()
            if Circuit.objects.filter(is_open=True).exists():
                jobs.check_safeguards()
            self._work()
            if self.schedule.seed % 2:
                self._hear()
            known = fresh(bill)
            if known.state in {State.PUSHED, State.CARRIED}:
                break
            if known.due_at is None and (known.state == State.UNCONFIRMED or known.reason == Reason.CANNOT_TELL):
                self._answer(known)
        self._hear()

    def _answer(self, bill: PushedBill) -> None:
        push = bill.pushes.get(state__in=(Push.State.UNCONFIRMED, Push.State.INTENDED))
        made = push.push_id in self._kept(bill)
        with suppress(NotPossible):
            (review.charge_was_made if made else review.charge_was_not_made)(bill.pk, by="finance", reason="looked")

    def _kept(self, bill: PushedBill) -> dict[str, list[int]]:
        """What Paddle has of the bill, in the product that keeps its subscription."""
        if self.schedule.mode in IN_CLASSIC:
            return truth.kept_in_classic(self.world.classic, bill.m3ter_bill_id)
        return truth.kept(self.world.paddle, bill.m3ter_bill_id)

    # What must hold.

    def _check(self, bill: PushedBill) -> None:
        found = self._kept(bill)
        whole = {f"{bill.m3ter_bill_id}-1": [WHOLE]}
        given_back = {f"{bill.m3ter_bill_id}-2": [LESS - WHOLE]} if self.schedule.mode in GIVES_BACK else {}
        stands = f"{bill.state} {bill.reason}: {bill.reason_detail} {bill.last_error}"
        assert found == whole | given_back, f"{stands}; Paddle has {found}"
        assert (bill.state, bill.reason, bill.outstanding) == (State.PUSHED, "", 0), bill.reason_detail
        assert (bill.pushed, bill.credited, bill.lost) == (WHOLE, WHOLE - LESS if given_back else 0, 0)
        assert set(bill.pushes.values_list("state", flat=True)) == {Push.State.PUSHED}
        alarms = Finding.objects.filter(state="open").exclude(kind__in=MAY_BE_OPEN)
        assert not alarms.exists(), list(alarms.values_list("kind", "detail"))
