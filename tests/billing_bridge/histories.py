"""Generated bills, and generated histories of one account's bills, from a seed: the same seed is the same history.

What must be owed is worked out here, from m3ter's bills and the decisions of people alone.
"""

import copy
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Context, Decimal

from billing_bridge import importing, jobs, review
from billing_bridge.models import BillEntry, CarriedEntry, Push, PushedBill, PushPolicy
from integration_project import clock
from integration_project.errors import NotPossible
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.jobs import drain_events
from paddle_sync.models import WebhookEvent
from tests.billing_bridge import truth
from tests.billing_bridge.world import World

State = PushedBill.State

TYPES = {
    "STANDING_CHARGE": 1,
    "USAGE": 1,
    "USAGE_CREDIT": -1,
    "MINIMUM_SPEND": 1,
    "MINIMUM_SPEND_REFUND": -1,
    "COUNTER_RUNNING_TOTAL_CHARGE": 1,
    "COUNTER_ADJUSTMENT_DEBIT": 1,
    "COUNTER_ADJUSTMENT_CREDIT": -1,
    "COMMITMENT_FEE": 1,
    "COMMITMENT_CONSUMED": -1,
    "OVERAGE_USAGE": 1,
    "OVERAGE_SURCHARGE": 1,
    "BALANCE_FEE": 1,
    "BALANCE_CONSUMED": -1,
    "AD_HOC": 0,
    "CREDIT_MEMO": -1,
    "DEBIT_MEMO": 1,
    "CREDIT_DEDUCTION": -1,
    "MANUAL_ADJUSTMENT": 0,
}
"""Every type of line there is, and the sign that its amounts mostly have; 0: either."""
DECIMALS = {"USD": 2, "EUR": 2, "JPY": 0}
MINIMUMS = {"USD": 70, "EUR": 65, "JPY": 105}
CHARGES = ("next_billing_period", "immediately")
MODES = {"USD": (*CHARGES, "invoice"), "EUR": (*CHARGES, "invoice"), "JPY": CHARGES}
"""The ways of charging in a currency: Paddle makes no invoices in yen."""
PRICE_JPY = "pri_01hv000000000000000cl0vdjp"
WIDE = Context(prec=50)


@dataclass(frozen=True)
class Line:
    """One line of a generated bill."""

    type: str
    amount: Decimal


def some_lines(rng: random.Random) -> list[Line]:
    """Write a bill of 1 to 200 lines: most are short, and some are below what Paddle charges."""
    kind = rng.random()
    if kind < 0.2:  # too little to be charged
        return [Line("USAGE", Decimal(rng.randint(1, 69999)).scaleb(-5))]
    if kind < 0.3:  # something is owed to the customer
        return [Line("CREDIT_MEMO", -_amount(rng)), Line("USAGE", Decimal(rng.randint(0, 99999)).scaleb(-5))]
    count = rng.choice((1, 2, 3, 5, 8, rng.randint(1, 30), rng.randint(1, 200)))
    return [_line(rng) for _ in range(count)]


def _line(rng: random.Random) -> Line:
    if rng.random() < 0.75:
        return Line("USAGE", _amount(rng))
    name = rng.choice(tuple(TYPES))
    sign = TYPES[name] or rng.choice((-1, 1))
    if rng.random() < 0.05:  # the sign is never in the type alone
        sign = -sign
    return Line(name, _amount(rng) * sign)


def _amount(rng: random.Random) -> Decimal:
    decimals = rng.randint(0, 5)
    return Decimal(rng.randint(0, rng.choice((9, 999, 99_999)) * 10**decimals)).scaleb(-decimals)


def total_of(lines: Sequence[Line]) -> Decimal:
    """What m3ter would say that a bill comes to."""
    total = Decimal(0)
    for line in lines:
        total = WIDE.add(total, line.amount)
    return total


def payable(total: Decimal, currency: str) -> int:
    """What a customer owes for a bill, in minor units."""
    return int(WIDE.scaleb(total, DECIMALS[currency]).quantize(Decimal(1), ROUND_HALF_UP, WIDE))


@dataclass
class History:
    """One subscription, its bills in m3ter, and everything that happens to them."""

    world: World
    rng: random.Random
    currency: str
    happened: list[str] = field(default_factory=list)
    owed: dict[str, int] = field(default_factory=dict)
    """By bill, what m3ter's last approved calculation says."""
    written_off: int = 0
    cancelled: bool = False
    seen: Counter[str] = field(default_factory=Counter)

    @classmethod
    def begun(cls, world: World, seed: int) -> "History":
        """A new subscription in one of the currencies, with a policy of its own."""
        rng = random.Random(seed)
        currency = rng.choice(("USD", "EUR", "JPY"))
        world.paddle.silence_webhooks()
        world.subscription_id, world.account_id = world.subscribe(
            _price(world, currency), currency=currency, email=f"buyer{seed}@example.com"
        )
        world.paddle.silence_webhooks(silent=False)
        PushPolicy.objects.update_or_create(
            link=None,
            defaults={
                "review": rng.choice(("never", "always")),
                "mode": MODES[currency][seed % len(MODES[currency])],
                "changed": rng.choice(("hold", "settle")),
                "small": rng.choice(("carry", "carry", "hold")),
                "negative": rng.choice(("carry", "hold")),
                "grouping": rng.choice(("line", "product", "bill")),
                "lock_after_days": rng.choice((0, 30, 30, 30)),
                "max_wait_days": 400,
            },
        )
        world.paddle.clock_set(clock.now())
        history = cls(world, rng, currency)
        history._can_be_invoiced()
        return history

    def _can_be_invoiced(self) -> None:
        """Paddle makes invoices for customers with a name and a whole address only."""
        subscription = self.world.paddle.subscriptions[self.world.subscription_id]
        self.world.paddle.update_customer(subscription["customer_id"], name="A. Buyer")

    @property
    def bills(self) -> list[PushedBill]:
        """The account's bills that are known here, oldest first."""
        return list(PushedBill.objects.filter(m3ter_account_id=self.world.account_id).order_by("id"))

    @property
    def by_invoice(self) -> bool:
        """Whether its bills become invoices of their own."""
        return PushPolicy.objects.get(link=None).mode == "invoice"

    # What happens.

    def take_one_step(self) -> None:
        """Let one thing happen."""
        steps: dict[Callable[[], None], int] = {
            self.new_bill: 3 if len(self.owed) < 4 else 0,
            self.recalculate: 6,
            self.work: 5,
            self.lose_an_answer: 2,
            self.decide: 5,
            self.renew: 1,
            self.delete: 2,
            self.decline: 1,
            self.give_refunds: 1,
            self.pay_invoices: 2 if self.by_invoice else 0,
            self.cancel: 2 if len(self.owed) > 1 else 0,
        }
        step = self.rng.choices(tuple(steps), tuple(steps.values()))[0]
        self.happened.append(step.__name__)
        step()

    def new_bill(self, lines: Sequence[Line] = ()) -> None:
        """m3ter makes one more bill, and somebody there approves it."""
        make = self.world.another_bill if self.owed else self.world.make_bill
        bill_id = make(approve=False, currency=self.currency)
        self._write(bill_id, lines or some_lines(self.rng))

    def recalculate(self, which: str = "") -> None:
        """m3ter calculates a bill again: mostly it comes to something else, sometimes approval takes its time."""
        bill_id = which or self._some_bill()
        row = self.world.m3ter.memory.bills.get(bill_id or "")
        if bill_id is None or row is None or row["locked"]:
            return
        pushed = Push.objects.filter(bill__m3ter_bill_id=bill_id, sent_at__isnull=False)
        self.seen["recalculated after push"] += pushed.exists()
        unconfirmed = pushed.filter(state=Push.State.UNCONFIRMED)
        self.seen["recalculated while unconfirmed"] += unconfirmed.exists()
        self.world.m3ter.recalculate(bill_id)
        self._write(bill_id, some_lines(self.rng), approve=self.rng.random() < 0.9)

    def _write(self, bill_id: str, lines: Sequence[Line], *, approve: bool = True) -> None:
        pattern = self.world.in_m3ter(bill_id)["lineItems"][0]
        items = [
            {
                **copy.deepcopy(pattern),
                "id": f"line-{number}",
                "sequenceNumber": number,
                "lineItemType": line.type,
                "description": f"{line.type.lower()} {number}",
                "convertedSubtotal": line.amount,
            }
            for number, line in enumerate(lines, start=1)
        ]
        total = total_of(lines)
        self.world.m3ter.change_bill(bill_id, lineItems=items, billTotal=total, currency=self.currency)
        if approve:
            self.world.m3ter.approve_bill(bill_id)
        self.owed[bill_id] = payable(total, self.currency)
        self.seen["calculations"] += 1
        self.seen["with negative lines"] += any(line.amount < 0 for line in lines)
        self.seen["below the minimum"] += abs(self.owed[bill_id]) < MINIMUMS[self.currency]
        self.seen.update({line.type for line in lines})
        self.seen["most lines"] = max(self.seen["most lines"], len(lines))

    def delete(self) -> None:
        """Somebody deletes a bill in m3ter; the sweep learns of it."""
        bill_id = self._some_bill()
        first = next(row["id"] for row in self.world.m3ter.memory.bills if row["accountId"] == self.world.account_id)
        if bill_id is not None and bill_id != first and not self.world.in_m3ter(bill_id)["locked"]:
            self.world.m3ter.memory.bills.remove(self.world.in_m3ter(bill_id))
            self.owed[bill_id] = 0
            self.seen["deleted"] += 1
            self._learn_of_deletions()

    def _learn_of_deletions(self) -> None:
        for bill in self.bills:
            if self.world.m3ter.memory.bills.get(bill.m3ter_bill_id) is None:
                importing.record_deleted(bill.m3ter_bill_id, read_at=clock.now())

    def _some_bill(self) -> str | None:
        there = [bill_id for bill_id in self.owed if self.world.m3ter.memory.bills.get(bill_id) is not None]
        return self.rng.choice(there) if there else None

    def work(self) -> None:
        """Time passes: what waits is due, and the workers do all there is to do."""
        waits = PushedBill.objects.filter(m3ter_account_id=self.world.account_id, due_at__isnull=False)
        waits.exclude(state__in=(State.PUSHED, State.CARRIED)).update(due_at=clock.now())
        PushedBill.objects.update(m3ter_read_at=None)
        self.world.import_all()
        jobs.drain_bills()
        jobs.confirm_bills()
        jobs.finish_bills()
        self._hear()

    def _hear(self) -> None:
        self.world.paddle.deliver_webhooks(even_if_not_due=True)
        WebhookEvent.objects.filter(due_at__isnull=False).update(due_at=clock.now())
        drain_events()

    def lose_an_answer(self) -> None:
        """The next charge, refund or look-up goes wrong on the way, and then the workers run."""
        charging = "create transaction" if self.by_invoice else "charge subscription"
        operation = self.rng.choice((charging,) * 4 + ("create adjustment", "list transactions"))
        kind = self.rng.choice(("lose_answer", "lose_answer", "error_after", "error_before", "too_many"))
        self.world.paddle.fault(operation, kind)
        self.happened[-1] = f"{kind} of {operation}"
        self._something_to_charge()
        self.work()
        self.world.paddle.clear_faults()
        open_ones = [bill.m3ter_bill_id for bill in self.bills if bill.state == State.UNCONFIRMED]
        if open_ones and self.rng.random() < 0.5:
            self.recalculate(open_ones[0])

    def _something_to_charge(self) -> None:
        """Let there be a bill that nobody has to look at any more."""
        if len(self.owed) < 4:
            self.new_bill()
        self.world.import_all()
        for bill in self.bills:
            if (bill.state, bill.reason) == (State.HELD, PushedBill.Reason.REVIEW):
                with suppress(NotPossible):
                    self._approve(bill)

    def renew(self) -> None:
        """A month passes in Paddle: what waited is collected."""
        self.world.paddle.clock_move(days=31)
        self.world.paddle.run_renewals()
        self._hear()

    def decline(self) -> None:
        """The customer's card is refused once."""
        self.world.paddle.decline_payments(self.world.subscription_id, times=1)
        self.work()
        self.world.paddle.accept_payments(self.world.subscription_id)
        for transaction in list(self.world.paddle.transactions.values()):
            if transaction["status"] == "past_due":
                self.world.paddle.pay_transaction(transaction["id"])
        self._hear()

    def give_refunds(self) -> None:
        """Paddle decides about the refunds that wait for it."""
        self.world.paddle.settle_adjustments(reject=self.rng.random() < 0.3)
        self._hear()

    def pay_invoices(self) -> None:
        """The customer pays some of the invoices there are, by bank transfer."""
        customer_id = self.world.paddle.subscriptions[self.world.subscription_id]["customer_id"]
        for transaction in list(self.world.paddle.transactions.values()):
            is_invoice = transaction["origin"] == "api" and transaction["customer_id"] == customer_id
            if is_invoice and transaction["status"] == "billed" and self.rng.random() < 0.7:
                self.world.paddle.pay_transaction(transaction["id"])
                self.seen["invoice paid"] += 1
        self._hear()

    def cancel(self) -> None:
        """The subscription ends at once, and Paddle forgives what was pending."""
        if not self.cancelled and self.rng.random() < 0.4:
            self.world.paddle.cancel(self.world.subscription_id)
            self.cancelled = True
            self.seen["cancelled"] += 1
            self._hear()

    # What people decide.

    def decide(self) -> None:
        """Finance does something about one bill, or about something that was carried."""
        entries = CarriedEntry.objects.filter(m3ter_account_id=self.world.account_id).exclude(remaining=0)
        if self.rng.random() < 0.1 and entries.exists():
            with suppress(NotPossible):
                review.take_back(entries.order_by("id").first().pk, by="finance", reason="generated")  # type: ignore[union-attr]
            return
        if self.bills:
            self.decide_about(self.rng.choice(self.bills))

    def decide_about(self, bill: PushedBill) -> None:
        """Try decisions in some order until one is possible."""
        decisions = [self._approve, self._resend, self._answer, self._refund, self._write_off, self._carry]
        if self.cancelled:
            decisions = [self._answer, self._invoice, self._refund, self._write_off, self._approve]
        else:
            self.rng.shuffle(decisions)
        for decision in decisions:
            bill.refresh_from_db()
            with suppress(NotPossible):
                given_up = bill.written_off
                decision(bill)
                self._note_write_off(bill, given_up, asked=decision == self._write_off)
                self.happened.append(f"{decision.__name__} {bill.m3ter_bill_id[:8]}")
                return

    def _note_write_off(self, bill: PushedBill, before: int, *, asked: bool) -> None:
        """Only who asks for it writes off more; any other decision can but take back what a change has made moot."""
        bill.refresh_from_db()
        now = bill.written_off
        assert asked or now == before or (abs(now) < abs(before) and now * before >= 0)
        self.seen["write-off taken back"] += now != before and not asked
        self.written_off += now - before

    def _approve(self, bill: PushedBill) -> None:
        review.approve(bill.pk, by="finance", reason="generated")

    def _resend(self, bill: PushedBill) -> None:
        review.resend(bill.pk, by="finance", reason="generated")

    def _invoice(self, bill: PushedBill) -> None:
        if bill.outstanding < MINIMUMS[self.currency] or self.currency == "JPY":
            raise NotPossible("Paddle makes no invoice of that.")
        review.send(bill.pk, by="finance", reason="generated", mode="invoice")

    def _refund(self, bill: PushedBill) -> None:
        if bill.reason == PushedBill.Reason.REFUND:
            raise NotPossible("It was tried, and there is nothing to refund it from.")
        review.refund(bill.pk, by="finance", reason="generated")
        self.seen["refund asked"] += 1

    def _carry(self, bill: PushedBill) -> None:
        review.carry(bill.pk, by="finance", reason="generated")

    def _write_off(self, bill: PushedBill) -> None:
        if self.rng.random() < 0.5 and not self.cancelled:
            raise NotPossible("They would not do that so often.")
        review.write_off(bill.pk, by="finance", reason="generated")
        self.seen["written off"] += 1

    def _answer(self, bill: PushedBill) -> None:
        """Say truly whether an unconfirmed charge was made, once nothing is looked for any more."""
        push = bill.pushes.filter(state=Push.State.UNCONFIRMED).order_by("-ordinal").first()
        if push is None:
            raise NotPossible("Nothing is unconfirmed.")
        made = push.push_id in truth.kept(self.world.paddle, bill.m3ter_bill_id)
        (review.charge_was_made if made else review.charge_was_not_made)(bill.pk, by="finance", reason="looked")

    # What must hold.

    def check(self) -> None:
        """Ask at every step: the ledger adds up, and says what Paddle really has."""
        found = truth.by_bill(self.world.paddle)
        for bill in self.bills:
            self._check_equation(bill)
            self._check_pushes(bill, found.get(bill.m3ter_bill_id, {}))

    def _check_equation(self, bill: PushedBill) -> None:
        sums: Counter[str] = Counter()
        for kind, amount in BillEntry.objects.filter(bill=bill).values_list("kind", "amount"):
            sums[kind] += amount
        settled = sums["pushed"] - sums["lost"] - sums["credited"] + sums["carried_out"] - sums["carried_in"]
        assert settled + sums["written_off"] + bill.outstanding == bill.payable
        assert bill.revision is None or bill.payable in {0, bill.revision.payable}

    def _check_pushes(self, bill: PushedBill, found: dict[str, list[int]]) -> None:
        for push in bill.pushes.all():
            times = found.pop(push.push_id, [])
            assert len(times) <= 1, f"{push} is in Paddle {len(times)} times"
            entries = [(entry.kind, entry.amount) for entry in push.entries.exclude(kind="carried_in").order_by("id")]
            stands = sum(amount if kind == "pushed" else -amount for kind, amount in entries)
            if push.state not in {Push.State.PUSHING, Push.State.UNCONFIRMED}:
                assert sum(times) == stands, f"{push} is {push.state}: {entries}, and Paddle has {times}"
        assert not found, "Paddle has pushes that nobody here knows"

    # The end.

    def come_to_an_end(self) -> None:
        """Everybody does what is to be done, until all is settled and the account has nothing carried."""
        self.world.paddle.clear_faults()
        self._all_is_approved()
        self._until_nothing_changes()
        if not self.cancelled:
            self.new_bill([Line("USAGE", Decimal("9999999.99"))])
            self._until_nothing_changes()
        self._empty_the_balance()

    def _all_is_approved(self) -> None:
        for bill_id in self.owed:
            if self.world.m3ter.memory.bills.get(bill_id) is not None:
                self.world.m3ter.approve_bill(bill_id)

    def _until_nothing_changes(self) -> None:
        for _ in range(30):
            self._learn_of_deletions()
            self.work()
            self.world.paddle.settle_adjustments()
            self._hear()
            self.check()
            at_work = [bill for bill in self.bills if not self._is_at_rest(bill)]
            if not at_work:
                return
            for bill in at_work:
                self.decide_about(bill)
        stands = [(bill.state, bill.reason, bill.reason_detail, bill.outstanding) for bill in self.bills]
        raise AssertionError(f"it comes to no end: {stands}")

    @staticmethod
    def _is_at_rest(bill: PushedBill) -> bool:
        settled = bill.state in {State.PUSHED, State.CARRIED, State.SKIPPED, State.SUPERSEDED}
        return settled and bill.outstanding == 0

    def _empty_the_balance(self) -> None:
        """What no later bill will take is given up, entry by entry."""
        left = CarriedEntry.objects.filter(m3ter_account_id=self.world.account_id).exclude(remaining=0)
        for entry in left.order_by("id"):
            review.take_back(entry.pk, by="finance", reason="the end")
            bill = PushedBill.objects.get(pk=entry.source_bill_id)
            self.written_off += bill.outstanding
            review.write_off(bill.pk, by="finance", reason="the end")
        self.work()
        self.check()

    @property
    def charged(self) -> int:
        """What Paddle has of the account, less what it gave back."""
        return truth.net(self.world.paddle, *self.owed)


def _price(world: World, currency: str) -> str:
    if currency == "JPY":
        prices = world.paddle.world.memory.prices
        yen = {"amount": "8000", "currency_code": "JPY"}
        prices.setdefault(
            PRICE_JPY, {**copy.deepcopy(prices[paddle_sample.PRICE_CLOUD_USD]), "id": PRICE_JPY, "unit_price": yen}
        )
        return PRICE_JPY
    return paddle_sample.PRICE_CLOUD_USD if currency == "USD" else paddle_sample.PRICE_CLOUD_EUR
