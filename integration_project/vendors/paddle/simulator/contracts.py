"""Subscriptions as such: how they begin, are shown, renew, fall due, pause and end."""

from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime

from integration_project.vendors.paddle.simulator import periods, totals
from integration_project.vendors.paddle.simulator.billing import Billing, Buyer
from integration_project.vendors.paddle.simulator.envelope import Json
from integration_project.vendors.paddle.simulator.totals import Line
from integration_project.vendors.paddle.simulator.world import SYSTEM, World
from integration_project.vendors.simulation import parse_time


class Contracts:
    """What happens to subscriptions, whoever asked for it."""

    def __init__(self, world: World, billing: Billing) -> None:
        self.world = world
        self.billing = billing

    # Beginning.

    def begin(
        self,
        buyer: Buyer,
        items: Sequence[Line],
        *,
        started_at: datetime | None = None,
        next_billed_at: datetime | None = None,
        import_meta: Json | None = None,
    ) -> Json:
        """A new subscription with these recurring items, kept but not yet announced."""
        start = started_at or self.world.now()
        price = items[0].price
        trial = price["trial_period"] if import_meta is None else None
        end = next_billed_at or periods.after(start, trial or price["billing_cycle"], anchor_day=start.day)
        anchor = end.day if trial or next_billed_at else start.day
        period = {"starts_at": self.world.stamp(start), "ends_at": self.world.stamp(end)}
        subscription: Json = {
            "id": self.world.new_id("sub"),
            "status": "trialing" if trial else "active",
            "customer_id": buyer.customer_id,
            "address_id": buyer.address_id,
            "business_id": buyer.business_id,
            "currency_code": buyer.currency_code,
            **self.world.times(),
            "started_at": period["starts_at"],
            "first_billed_at": None if trial else period["starts_at"],
            "next_billed_at": period["ends_at"],
            "paused_at": None,
            "canceled_at": None,
            "discount": None,
            "collection_mode": buyer.collection_mode,
            "billing_details": deepcopy(buyer.billing_details),
            "current_billing_period": period,
            "billing_cycle": dict(price["billing_cycle"]),
            "scheduled_change": None,
            "items": [self.make_item(line, period, trial=bool(trial)) for line in items],
            "custom_data": deepcopy(buyer.custom_data),
            "import_meta": import_meta,
            "consent_requirements": [],
        }
        subscription["management_urls"] = self._management_urls(subscription["id"])
        self.world.memory.subscriptions[subscription["id"]] = subscription
        self.world.memory.anchors[subscription["id"]] = anchor
        return subscription

    def make_item(self, line: Line, period: Json, *, trial: bool) -> Json:
        """One recurring item."""
        return {
            "status": "trialing" if trial else "active",
            "quantity": line.quantity,
            "recurring": True,
            **self.world.times(),
            "previously_billed_at": None if trial else period["starts_at"],
            "next_billed_at": period["ends_at"],
            "trial_dates": dict(period) if trial else None,
            "price": deepcopy(line.price),
            "product": deepcopy(line.product),
        }

    def added_item(self, subscription: Json, line: Line) -> Json:
        """A recurring item that joins a subscription on its way: not billed before, next billed with the others."""
        status = {"trialing": "trialing", "paused": "inactive"}.get(subscription["status"], "active")
        trial = subscription["current_billing_period"] if status == "trialing" else None
        return {
            "status": status,
            "quantity": line.quantity,
            "recurring": True,
            **self.world.times(),
            "previously_billed_at": None,
            "next_billed_at": subscription["next_billed_at"],
            "trial_dates": dict(trial) if trial else None,
            "price": deepcopy(line.price),
            "product": deepcopy(line.product),
        }

    def note_created(self, subscription: Json, *, source: str, actor: Json) -> None:
        """The first line of its history."""
        memory = self.world.memory
        detail = {
            "action": "subscription_created",
            **{
                name: subscription[name]
                for name in (
                    "status",
                    "collection_mode",
                    "billing_details",
                    "currency_code",
                    "current_billing_period",
                    "billing_cycle",
                    "custom_data",
                    "discount",
                )
            },
            "customer": memory.customers.get(subscription["customer_id"]),
            "address": memory.addresses.get(subscription["address_id"]),
            "business": memory.businesses.get(subscription["business_id"] or ""),
            "items": [{"price": item["price"], "quantity": item["quantity"]} for item in subscription["items"]],
            "has_payment_method": True,
        }
        self.world.note(subscription["id"], detail, source=source, actor=actor)

    # Showing.

    def lines(self, subscription: Json) -> list[Line]:
        """Its recurring items as lines."""
        return [Line(item["price"], item["product"], item["quantity"]) for item in subscription["items"]]

    def pending_lines(self, subscription_id: str) -> list[Line]:
        """The lines of all one-time charges that wait for the renewal."""
        return [line for charge in self.world.memory.pending[subscription_id] for line in charge.lines]

    def recurring_details(self, subscription: Json) -> Json:
        """What the recurring items cost."""
        return self._details(subscription, self.lines(subscription))

    def next_transaction(self, subscription: Json, more: Sequence[Line] = ()) -> Json | None:
        """The renewal to come, pending charges included; None when it is going to end or pause, or has."""
        if subscription["next_billed_at"] is None or subscription["scheduled_change"] is not None:
            return None
        start = parse_time(subscription["next_billed_at"])
        lines = [*self.lines(subscription), *self.pending_lines(subscription["id"]), *more]
        return {
            "billing_period": self._period(subscription, start),
            "details": self._details(subscription, lines),
            "adjustments": [],
        }

    def _details(self, subscription: Json, lines: Sequence[Line]) -> Json:
        country = self.world.country_of(subscription["address_id"])
        return totals.preview_details(lines, country, subscription["currency_code"])

    def _period(self, subscription: Json, start: datetime) -> Json:
        anchor = self.world.memory.anchors.get(subscription["id"])
        end = periods.after(start, subscription["billing_cycle"], anchor_day=anchor)
        return {"starts_at": self.world.stamp(start), "ends_at": self.world.stamp(end)}

    @staticmethod
    def _management_urls(subscription_id: str) -> Json:
        base = f"https://buyer-portal.example/subscriptions/{subscription_id}"
        return {"update_payment_method": f"{base}/update-payment-method", "cancel": f"{base}/cancel"}

    # Changing.

    def announce(self, subscription: Json, *events: str) -> None:
        """Send these subscription events."""
        self.world.touch(subscription)
        for event in events:
            self.world.publish(f"subscription.{event}", subscription)

    def renew(self, subscription: Json) -> Json:
        """Its period is over: the next one begins, and pending charges are billed with it."""
        was_trialing = subscription["status"] == "trialing"
        self._next_period(subscription)
        pending = self.world.memory.pending.pop(subscription["id"], [])
        lines = [*self.lines(subscription), *(line for charge in pending for line in charge.lines)]
        self.announce(subscription, "updated", *(("activated",) if was_trialing else ()))
        transaction = self.billing.make(
            Buyer.of(subscription),
            lines,
            origin="subscription_recurring",
            subscription_id=subscription["id"],
            billing_period=subscription["current_billing_period"],
        )
        for charge in self.world.memory.charges:
            waits = charge.transaction_id is None and charge.billed and not charge.forgiven
            if waits and charge.subscription_id == subscription["id"]:
                charge.transaction_id = transaction["id"]
        self.billing.announce(transaction, "created")
        self.billing.issue(transaction)
        self.world.note(
            subscription["id"],
            {
                "action": "subscription_renewed",
                "transaction_id": transaction["id"],
                "next_billed_at": subscription["next_billed_at"],
                "current_billing_period": subscription["current_billing_period"],
            },
        )
        if subscription["collection_mode"] == "automatic" and not self.billing.collect(transaction, with_updates=True):
            self.fall_due(subscription, transaction)
        return transaction

    def _next_period(self, subscription: Json) -> None:
        start = parse_time(subscription["next_billed_at"])
        period = self._period(subscription, start)
        subscription["current_billing_period"] = period
        subscription["next_billed_at"] = period["ends_at"]
        subscription["first_billed_at"] = subscription["first_billed_at"] or period["starts_at"]
        subscription["status"] = "active"
        for item in subscription["items"]:
            item["status"] = "active"
            item["previously_billed_at"] = period["starts_at"]
            item["next_billed_at"] = period["ends_at"]

    def activate(self, subscription: Json) -> Json:
        """A trial ends now: the first period begins and is billed."""
        now = self.world.stamp()
        subscription["next_billed_at"] = now
        subscription["scheduled_change"] = None
        self.world.memory.anchors[subscription["id"]] = self.world.now().day
        for item in subscription["items"]:
            if item["trial_dates"] is not None:
                item["trial_dates"] = {**item["trial_dates"], "ends_at": now}
        return self.renew(subscription)

    def move_renewal(self, subscription: Json, moment: datetime) -> None:
        """The period, or the trial, lasts until then; not yet announced."""
        moved = self.world.stamp(moment)
        subscription["next_billed_at"] = moved
        subscription["current_billing_period"] = {**subscription["current_billing_period"], "ends_at": moved}
        self.world.memory.anchors[subscription["id"]] = moment.day
        for item in subscription["items"]:
            item["next_billed_at"] = moved
            if item["status"] == "trialing" and item["trial_dates"] is not None:
                item["trial_dates"] = {**item["trial_dates"], "ends_at": moved}

    def fall_due(self, subscription: Json, transaction: Json) -> None:
        """A payment failed and stays owed."""
        self.billing.fall_due(transaction)
        subscription["status"] = "past_due"
        detail = {"action": "subscription_past_due", "status": "past_due", "transaction_id": transaction["id"]}
        self.world.note(subscription["id"], detail)
        self.announce(subscription, "past_due", "updated")

    def recover(self, subscription: Json) -> None:
        """What was owed has been paid."""
        subscription["status"] = "active"
        self.announce(subscription, "updated", "activated")

    def schedule(self, subscription: Json, change: Json, *, source: str, actor: Json) -> None:
        """It will be canceled or paused at the end of its period."""
        subscription["scheduled_change"] = change
        subscription["next_billed_at"] = None
        for item in subscription["items"]:
            item["next_billed_at"] = None
        detail = {"action": "subscription_scheduled_change_added", "scheduled_change": change}
        self.world.note(subscription["id"], detail, source=source, actor=actor)
        self.announce(subscription, "updated")

    def unschedule(self, subscription: Json, *, source: str, actor: Json) -> None:
        """The scheduled change is called off."""
        change = subscription["scheduled_change"]
        period = subscription["current_billing_period"]
        subscription["scheduled_change"] = None
        subscription["next_billed_at"] = None if period is None else period["ends_at"]
        for item in subscription["items"]:
            item["next_billed_at"] = subscription["next_billed_at"]
        detail = {"action": "subscription_scheduled_change_removed", "scheduled_change": change}
        self.world.note(subscription["id"], detail, source=source, actor=actor)

    def cancel(
        self,
        subscription: Json,
        *,
        effective_from: str,
        at: str | None = None,
        source: str = "system",
        actor: Json = SYSTEM,
    ) -> None:
        """It ends, now or at the moment it was scheduled for; charges that waited for a renewal are forgiven."""
        self.world.memory.pending.pop(subscription["id"], None)
        for charge in self.world.memory.charges:
            if charge.subscription_id == subscription["id"] and charge.transaction_id is None:
                charge.forgiven = True
        self._stop(subscription, status="canceled", stamp="canceled_at", at=at)
        detail = {"action": "subscription_canceled", "effective_from": effective_from}
        self.world.note(subscription["id"], detail, source=source, actor=actor)
        self.announce(subscription, "updated", "canceled")

    def pause(
        self,
        subscription: Json,
        *,
        effective_from: str,
        resume_at: str | None = None,
        at: str | None = None,
        source: str = "system",
        actor: Json = SYSTEM,
    ) -> None:
        """It stops, now or at the moment it was scheduled for, until it is resumed or its time to resume has come."""
        self._stop(subscription, status="paused", stamp="paused_at", at=at)
        if resume_at is not None:
            subscription["scheduled_change"] = _resuming(resume_at)
        detail = {"action": "subscription_paused", "effective_from": effective_from, "status": "paused"}
        self.world.note(subscription["id"], detail, source=source, actor=actor)
        self.announce(subscription, "updated", "paused")

    def _stop(self, subscription: Json, *, status: str, stamp: str, at: str | None) -> None:
        subscription["status"] = status
        subscription[stamp] = at or self.world.stamp()
        subscription["scheduled_change"] = None
        subscription["next_billed_at"] = None
        subscription["current_billing_period"] = None
        for item in subscription["items"]:
            item["status"] = "inactive"
            item["next_billed_at"] = None

    def resume_later(self, subscription: Json, when: str, *, source: str, actor: Json) -> None:
        """A paused one, or one that is going to pause, will resume then."""
        change = subscription["scheduled_change"]
        if subscription["status"] == "paused":
            change = _resuming(when)
        subscription["scheduled_change"] = {**change, "resume_at": when}
        detail = {"action": "subscription_scheduled_change_added", "scheduled_change": subscription["scheduled_change"]}
        self.world.note(subscription["id"], detail, source=source, actor=actor)
        self.announce(subscription, "updated")

    def resume(
        self, subscription: Json, *, at: str | None = None, source: str = "system", actor: Json = SYSTEM
    ) -> Json:
        """A paused one goes on: a new period begins, now or at the moment it was scheduled for, and is billed."""
        begins = self.world.now() if at is None else parse_time(at)
        subscription["paused_at"] = None
        subscription["scheduled_change"] = None
        subscription["next_billed_at"] = self.world.stamp(begins)
        self.world.memory.anchors[subscription["id"]] = begins.day
        self._next_period(subscription)
        detail = {"action": "subscription_resumed", "status": "active", "on_resume": "start_new_billing_period"}
        self.world.note(subscription["id"], detail, source=source, actor=actor)
        self.announce(subscription, "updated", "resumed")
        transaction = self.billing.make(
            Buyer.of(subscription),
            self.lines(subscription),
            origin="subscription_recurring",
            subscription_id=subscription["id"],
            billing_period=subscription["current_billing_period"],
        )
        self.billing.announce(transaction, "created")
        self.billing.issue(transaction)
        if subscription["collection_mode"] == "automatic" and not self.billing.collect(transaction, with_updates=True):
            self.fall_due(subscription, transaction)
        return transaction

    def run_due(self) -> list[str]:
        """Bill every period that is over and carry out every scheduled change that is due; the transactions' ids."""
        made: list[str] = []
        for subscription in list(self.world.memory.subscriptions.values()):
            while True:
                change, due = subscription["scheduled_change"], subscription["next_billed_at"]
                if change is not None and parse_time(change["effective_at"]) <= self.world.now():
                    made += self._carry_out(subscription, change)
                elif due is not None and parse_time(due) <= self.world.now() and subscription["status"] != "past_due":
                    made.append(self.renew(subscription)["id"])
                else:
                    break
        return made

    def _carry_out(self, subscription: Json, change: Json) -> list[str]:
        """Do what was scheduled, as of the moment it was scheduled for; the transactions it makes."""
        at, resume_at = change["effective_at"], change["resume_at"]
        if change["action"] == "resume":
            return [self.resume(subscription, at=at)["id"]]
        if change["action"] == "cancel":
            self.cancel(subscription, effective_from="next_billing_period", at=at)
        else:
            self.pause(subscription, effective_from="next_billing_period", resume_at=resume_at, at=at)
        return []


def _resuming(at: str) -> Json:
    return {"action": "resume", "effective_at": at, "resume_at": at}
