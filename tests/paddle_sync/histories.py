"""Lives of subscriptions, made by chance and lived in the simulated Paddle; and a small model of what they call for.

The model knows nothing of the application: it writes down what Paddle's subscription is after every step, and adds up
from that which plan should run when, how many seats there are at the end of which day, who is billed and in what.
"""

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.models import PlanMapping
from tests.builders import make_mapping

CLOUD, PRO, SEATS, TRIAL, INSIGHTS = "cloud", "pro", "seats", "trial", "insights"
PRICES = {
    (CLOUD, "EUR"): paddle_sample.PRICE_CLOUD_EUR,
    (CLOUD, "USD"): paddle_sample.PRICE_CLOUD_USD,
    (PRO, "EUR"): paddle_sample.PRICE_CLOUD_PRO_EUR,
    (PRO, "USD"): paddle_sample.PRICE_CLOUD_PRO_USD,
    (SEATS, "EUR"): paddle_sample.PRICE_SEATS_EUR,
    (SEATS, "USD"): paddle_sample.PRICE_SEATS_USD,
    (TRIAL, "EUR"): paddle_sample.PRICE_CLOUD_TRIAL_EUR,
    (TRIAL, "USD"): paddle_sample.PRICE_CLOUD_TRIAL_USD,
    (INSIGHTS, "EUR"): paddle_sample.PRICE_INSIGHTS_EUR,
    (INSIGHTS, "USD"): paddle_sample.PRICE_INSIGHTS_USD,
}
NAME_OF = {price: name for (name, _), price in PRICES.items()}
PLAN_OF = {
    CLOUD: m3ter_sample.PLAN_SCALE,
    TRIAL: m3ter_sample.PLAN_SCALE,
    PRO: m3ter_sample.PLAN_BULK,
    SEATS: m3ter_sample.PLAN_SEATS,
}
"""Insights is not metered."""
PRODUCT_OF = {SEATS: m3ter_sample.PRODUCT_SEATS}
RUNNING = frozenset({"active", "trialing", "past_due"})
KINDS = ("create", "trial", "swap", "quantity", "pause", "resume", "cancel", "customer", "currency", "renew", "move")
LEAD = dt.timedelta(days=2)


def decide_everything(*, seats_as: str = "counter") -> None:
    """Map every price: two plans of one product, seats as a count or a custom field, a free trial, one unmetered."""
    for (name, _), price in PRICES.items():
        if name == INSIGHTS:
            make_mapping(price, target="not_metered", plan="", m3ter_product="")
            continue
        changes: dict[str, Any] = {}
        if name == TRIAL:
            changes["metering_starts"] = PlanMapping.MeteringStarts.TRIAL_END
        if name == SEATS and seats_as == "counter":
            changes |= {"quantity_use": "counter", "m3ter_counter_id": m3ter_sample.COUNTER_SEATS}
        if name == SEATS and seats_as == "custom_field":
            changes |= {"quantity_use": "custom_field", "quantity_field": "seats"}
        product = PRODUCT_OF.get(name, m3ter_sample.PRODUCT_CLOUD)
        make_mapping(price, plan=PLAN_OF[name], m3ter_product=product, **changes)


@dataclass
class Known:
    """What Paddle's subscription was from a moment on."""

    at: dt.datetime
    status: str
    items: dict[str, int]
    renewal: dt.datetime | None


@dataclass
class Life:
    """One subscription's life so far: how it was lived, and what is known of it."""

    paddle: PaddleSimulator
    chance: random.Random
    subscription_id: str = ""
    steps: list[Known] = field(default_factory=list)
    lived: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)

    @property
    def now(self) -> dict[str, Any]:
        """The subscription as Paddle has it."""
        return self.paddle.subscriptions[self.subscription_id]

    def items(self) -> list[dict[str, Any]]:
        """Its items, as a change of them is asked for."""
        return [{"price_id": item["price"]["id"], "quantity": item["quantity"]} for item in self.now["items"]]

    def begin(self, kind: str) -> None:
        """A buyer completes a checkout, of a trial perhaps."""
        first = TRIAL if kind == "trial" else CLOUD
        items = [{"price_id": PRICES[first, "EUR"], "quantity": 1}]
        if self.chance.random() < 0.7:
            items.append({"price_id": PRICES[SEATS, "EUR"], "quantity": self.chance.randint(1, 9)})
        bought = self.paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=items)
        self.subscription_id = bought["subscription_id"]
        self._know(kind, _moment(self.now["started_at"]))

    def step(self) -> bool:
        """Live one more step; False when nothing can happen any more."""
        possible = [kind for kind, (may, _) in STEPS.items() if may(self)]
        if not possible:
            return False
        kind = self.chance.choices(possible, weights=[WEIGHTS.get(kind, 3) for kind in possible])[0]
        self.paddle.clock_move(days=self.chance.randint(0, 12), hours=self.chance.randint(1, 23), minutes=7)
        self.paddle.run_renewals()
        self._know("", None)  # a trial that ended, a period that was renewed, a scheduled change carried out
        if not STEPS[kind][0](self):
            return True
        STEPS[kind][1](self)
        self._know(kind, None)
        return True

    def _know(self, kind: str, at: dt.datetime | None) -> None:
        """Write down what the subscription is now, if it changed."""
        now = self.now
        known = Known(
            at=at or self._since(now),
            status=now["status"],
            items={item["price"]["id"]: item["quantity"] for item in now["items"]},
            renewal=_moment(now["next_billed_at"]) if now["next_billed_at"] else None,
        )
        if kind:
            self.lived[kind] += 1
            self.told.append(f"{known.at:%m-%d %H:%M} {kind}: {known.status} {_named(known.items)}")
        if not self.steps or (known.status, known.items, known.renewal) != self._last():
            self.steps.append(known)

    def _last(self) -> tuple[str, dict[str, int], dt.datetime | None]:
        last = self.steps[-1]
        return last.status, last.items, last.renewal

    def _since(self, now: dict[str, Any]) -> dt.datetime:
        """When Paddle says that it became what it is."""
        before = self.steps[-1].status if self.steps else ""
        if now["status"] == "canceled":
            return _moment(now["canceled_at"])
        if now["status"] == "paused" and before != "paused":
            return _moment(now["paused_at"])
        if before in {"paused", "trialing"} and now["status"] == "active":
            return _moment(now["current_billing_period"]["starts_at"])
        return _moment(now["updated_at"])


# --- What can happen -------------------------------------------------------------------------------------------------


def _is(*statuses: str) -> Callable[[Life], bool]:
    return lambda life: life.now["status"] in statuses


def _swap(life: Life) -> None:
    currency = life.now["currency_code"]
    mains = {CLOUD: PRO, TRIAL: PRO, PRO: CLOUD}
    items = []
    for item in life.items():
        name = NAME_OF[item["price_id"]]
        items.append({**item, "price_id": PRICES[mains[name], currency]} if name in mains else item)
    life.paddle.change_items(life.subscription_id, items)


def _quantity(life: Life) -> None:
    """Other seats, seats for the first time, none any more, or something that is not metered."""
    currency = life.now["currency_code"]
    seats, extra = PRICES[SEATS, currency], PRICES[INSIGHTS, currency]
    others = [item for item in life.items() if item["price_id"] not in {seats, extra}]
    count = life.chance.choice([0, 1, 2, 5, 12])
    added = [{"price_id": seats, "quantity": count}] if count else []
    if life.chance.random() < 0.3:
        added.append({"price_id": extra, "quantity": 1})
    life.paddle.change_items(life.subscription_id, [*others, *added])


def _cancel(life: Life) -> None:
    scheduled = life.now["status"] == "active" and not life.now["scheduled_change"] and life.chance.random() < 0.4
    life.paddle.cancel(life.subscription_id, effective_from="next_billing_period" if scheduled else "immediately")


def _pause(life: Life) -> None:
    scheduled = not life.now["scheduled_change"] and life.chance.random() < 0.3
    life.paddle.pause(life.subscription_id, effective_from="next_billing_period" if scheduled else "immediately")


def _customer(life: Life) -> None:
    number = life.chance.randint(1, 9)
    if life.chance.random() < 0.5:
        life.paddle.update_customer(
            life.now["customer_id"], name=f"Harbour {number}", email=f"ap{number}@harbour.example"
        )
    else:
        business = {"name": f"Quay {number} Ltd"} if life.chance.random() < 0.5 else None
        life.paddle.move_to_customer(
            life.subscription_id, email=f"new{number}@quay.example", name=f"Quay {number}", business=business
        )


def _currency(life: Life) -> None:
    other = {"EUR": "USD", "USD": "EUR"}[life.now["currency_code"]]
    life.paddle.change_currency(life.subscription_id, other)


def _renew(life: Life) -> None:
    life.paddle.clock_move(days=32)
    life.paddle.run_renewals()


def _move(life: Life) -> None:
    later = life.paddle.clock.now() + dt.timedelta(days=life.chance.randint(3, 25))
    life.paddle.move_renewal(life.subscription_id, later.replace(microsecond=0).isoformat())


def _may_change(life: Life) -> bool:
    return life.now["status"] in {"active", "trialing"} and not life.now["scheduled_change"]


STEPS: dict[str, tuple[Callable[[Life], bool], Callable[[Life], None]]] = {
    "swap": (_may_change, _swap),
    "quantity": (_may_change, _quantity),
    "pause": (_is("active"), _pause),
    "resume": (_is("paused"), lambda life: life.paddle.resume(life.subscription_id) and None),
    "cancel": (_is("active", "trialing", "paused"), _cancel),
    "customer": (_may_change, _customer),
    "currency": (_may_change, _currency),
    "renew": (_is("active", "trialing"), _renew),
    "move": (_is("active"), _move),
    "activate": (_is("trialing"), lambda life: life.paddle.end_trial(life.subscription_id) and None),
}
WEIGHTS = {"cancel": 1, "resume": 9, "renew": 2}


# --- What it calls for -----------------------------------------------------------------------------------------------


def expected(life: Life) -> dict[str, Any]:
    """What m3ter should have, whatever reached us in which order."""
    now, customers = life.now, life.paddle.customers
    customer = customers[now["customer_id"]]
    business = life.paddle.world.memory.businesses.get(now["business_id"] or "")
    return {
        "account": (
            life.subscription_id,
            business["name"] if business else customer["name"],
            customer["email"],
            now["currency_code"],
            _epoch(life.steps).isoformat(),
        ),
        "plans": _plans(life),
        "seats": _seats(life),
    }


def _intervals(life: Life) -> list[tuple[Known, dt.datetime, dt.datetime | None]]:
    ends: list[dt.datetime | None] = [step.at for step in life.steps[1:]]
    return [(step, step.at, end) for step, end in zip(life.steps, [*ends, None], strict=True)]


def _used(step: Known) -> dict[str, int]:
    """Plan -> quantity of what is metered in a step."""
    if step.status not in RUNNING:
        return {}
    used: dict[str, int] = {}
    for price, quantity in step.items.items():
        name = NAME_OF[price]
        if name in PLAN_OF and not (name == TRIAL and step.status == "trialing"):
            used[PLAN_OF[name]] = used.get(PLAN_OF[name], 0) + quantity
    return used


def _plans(life: Life) -> list[tuple[str, dt.datetime, dt.datetime | None]]:
    """Every plan with its start and end: uses that touch are one."""
    runs: dict[str, list[list[dt.datetime | None]]] = {}
    for step, start, end in _intervals(life):
        for plan in _used(step):
            mine = runs.setdefault(plan, [])
            if mine and mine[-1][1] == start:
                mine[-1][1] = end
            elif end != start:
                mine.append([start, end])
    return sorted(
        ((plan, start, end) for plan, mine in runs.items() for start, end in mine if start is not None),
        key=lambda each: (each[1], each[0]),
    )


def _seats(life: Life) -> list[tuple[dt.date, int]]:
    """Seats at the end of each day on which their number changed."""
    days: dict[dt.date, int] = {}
    for step, start, _ in _intervals(life):
        days[start.date()] = _used(step).get(PLAN_OF[SEATS], 0)
    changes, before = [], 0
    for day, count in days.items():
        if count != before:
            changes.append((day, count))
        before = count
    return changes


def _epoch(steps: Sequence[Known]) -> dt.date:
    """Two days before the renewal that last broke the monthly rhythm."""
    anchor = next(step.renewal for step in steps if step.renewal)
    if anchor is None:
        raise AssertionError("a subscription begins with a renewal to come")
    for step in steps:
        if step.renewal and not _in_rhythm(anchor, step.renewal):
            anchor = step.renewal
    return (anchor - LEAD).date()


def _in_rhythm(anchor: dt.datetime, renewal: dt.datetime) -> bool:
    last_of_month = (renewal + dt.timedelta(days=1)).day == 1
    return renewal.day == anchor.day or (last_of_month and anchor.day > renewal.day)


def found(m3ter: M3terSimulator) -> dict[str, Any]:
    """What m3ter has, read from its memory."""
    (account,) = m3ter.memory.accounts
    plans = [
        (
            plan["planId"],
            _moment(plan["startDate"]),
            _moment(plan["endDate"]) if plan.get("endDate") else None,
        )
        for plan in m3ter.memory.account_plans
    ]
    seats = sorted((dt.date.fromisoformat(row["date"]), row["value"]) for row in m3ter.memory.counter_adjustments)
    return {
        "account": (
            account["code"],
            account["name"],
            account["emailAddress"],
            account["currency"],
            account["billEpoch"],
        ),
        "plans": sorted(plans, key=lambda each: (each[1], each[0])),
        "seats": seats,
    }


def _named(items: dict[str, int]) -> str:
    return ", ".join(f"{NAME_OF[price]} x{quantity}" for price, quantity in items.items())


def _moment(text: str) -> dt.datetime:
    """A moment in whole seconds, as plans are dated."""
    return dt.datetime.fromisoformat(text).replace(microsecond=0)
