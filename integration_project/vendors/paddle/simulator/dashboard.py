"""What sellers and buyers change outside the API: a subscription's life, and what they say of themselves."""

from abc import ABC
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from integration_project.vendors.paddle.simulator.changes import Changes
from integration_project.vendors.paddle.simulator.contracts import Contracts
from integration_project.vendors.paddle.simulator.envelope import Json
from integration_project.vendors.paddle.simulator.people import (
    ADDRESS_UPDATE,
    BUSINESS_UPDATE,
    CUSTOMER_UPDATE,
    People,
)
from integration_project.vendors.paddle.simulator.subscriptions import UPDATE
from integration_project.vendors.paddle.simulator.validation import passed
from integration_project.vendors.paddle.simulator.world import World
from integration_project.vendors.simulation import ControlError, Refusal, Simulator, control, parse_time

GERMANY: Json = {
    "country_code": "DE",
    "postal_code": "10115",
    "city": "Berlin",
    "first_line": "Invalidenstr. 1",
}
SELLER: Json = {"type": "user", "id": None}


def known(table: Mapping[str, Json], entity_id: str) -> Json:
    """The entity with this id, or words for whoever uses the control."""
    if entity_id not in table:
        raise ControlError(f"There is no {entity_id}.")
    return table[entity_id]


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn what Paddle would refuse into words for whoever uses the control."""
    try:
        yield
    except Refusal as refusal:
        error = refusal.answer.body["error"]
        problems = "; ".join(f"{problem['field']} {problem['message']}" for problem in error.get("errors", ()))
        raise ControlError(f"{error['code']}: {problems or error['detail']}") from None


class Dashboard(Simulator, ABC):
    """The controls of subscriptions and people; the account puts the parts in place."""

    world: World
    contracts: Contracts
    changes: Changes
    people: People

    @control
    def cancel(self, subscription_id: str, *, effective_from: str = "immediately") -> None:
        """The seller or the customer cancels."""
        with self.lock:
            subscription = known(self.world.memory.subscriptions, subscription_id)
            if effective_from == "immediately":
                self.contracts.cancel(subscription, effective_from=effective_from)
            else:
                self._schedule(subscription, "cancel")

    @control
    def pause(self, subscription_id: str, *, effective_from: str = "immediately", resume_at: str | None = None) -> None:
        """The seller or the customer pauses, for good or until a moment."""
        with self.lock:
            subscription = known(self.world.memory.subscriptions, subscription_id)
            if effective_from == "immediately":
                self.contracts.pause(subscription, effective_from=effective_from, resume_at=resume_at)
            else:
                self._schedule(subscription, "pause", resume_at=resume_at)

    def _schedule(self, subscription: Json, action: str, *, resume_at: str | None = None) -> None:
        period = subscription["current_billing_period"]
        if period is None or subscription["scheduled_change"] is not None:
            raise ControlError("Nothing can be scheduled: it has no period, or a change is scheduled already.")
        change = {"action": action, "effective_at": period["ends_at"], "resume_at": resume_at}
        self.contracts.schedule(subscription, change, source="dashboard", actor=SELLER)

    @control
    def call_off_change(self, subscription_id: str) -> None:
        """The scheduled cancel, pause or resume does not happen."""
        self._change(subscription_id, scheduled_change=None)

    @control
    def resume(self, subscription_id: str) -> str:
        """A paused subscription goes on; its transaction's id."""
        with self.lock:
            subscription = known(self.world.memory.subscriptions, subscription_id)
            transaction = self.contracts.resume(subscription, source="dashboard", actor=SELLER)
            return str(transaction["id"])

    @control
    def end_trial(self, subscription_id: str) -> str:
        """A trial ends now and its first period is billed; the transaction's id."""
        with self.lock:
            subscription = known(self.world.memory.subscriptions, subscription_id)
            if subscription["status"] != "trialing":
                raise ControlError(f"The subscription is {subscription['status']}, not trialing.")
            return str(self.contracts.activate(subscription)["id"])

    @control
    def change_items(self, subscription_id: str, items: Sequence[Json]) -> None:
        """The subscription has these items from now on, and no others: added, removed or swapped."""
        self._change(subscription_id, items=list(items))

    @control
    def change_quantity(self, subscription_id: str, quantity: int, *, price_id: str | None = None) -> None:
        """One item has another quantity from now on; without a price the first one."""
        with self.lock:
            items = [
                {"price_id": item["price"]["id"], "quantity": item["quantity"]}
                for item in known(self.world.memory.subscriptions, subscription_id)["items"]
            ]
            wanted = items[0]["price_id"] if price_id is None else price_id
            if all(item["price_id"] != wanted for item in items):
                raise ControlError(f"The subscription has no item of {wanted}.")
            changed = [{**item, "quantity": quantity} if item["price_id"] == wanted else item for item in items]
            self._change(subscription_id, items=changed)

    @control
    def change_currency(self, subscription_id: str, currency: str) -> None:
        """Every item is priced in another currency from now on: same product, same name, same cycle."""
        with self.lock:
            subscription = known(self.world.memory.subscriptions, subscription_id)
            items = [
                {"price_id": self._same_price(item["price"], currency)["id"], "quantity": item["quantity"]}
                for item in subscription["items"]
            ]
            self._change(subscription_id, items=items, currency_code=currency)

    def _same_price(self, price: Json, currency: str) -> Json:
        same = ("product_id", "name", "billing_cycle", "trial_period")
        for other in self.world.memory.prices.values():
            alike = all(other[name] == price[name] for name in same) and other["status"] == "active"
            if alike and other["unit_price"]["currency_code"] == currency:
                return other
        raise ControlError(f"{price['id']} has no counterpart in {currency}.")

    @control
    def move_renewal(self, subscription_id: str, moment: str) -> None:
        """The current period, or the trial, ends at another moment."""
        self._change(subscription_id, next_billed_at=parse_time(moment).isoformat())

    @control
    def move_to_customer(
        self,
        subscription_id: str,
        *,
        email: str,
        name: str | None = None,
        business: Json | None = None,
        country: str = "DE",
        address: Json | None = None,
    ) -> Json:
        """The subscription belongs to somebody else from now on, with an address of theirs; the ids of both."""
        where = {**(GERMANY if country == "DE" else {}), **(address or {}), "country_code": country}
        with self.lock, _in_words():
            self.changes.check_changeable(known(self.world.memory.subscriptions, subscription_id))
            people = self.people.arrive(email=email, name=name, address=where, business=business)
            self._change(subscription_id, **people)
            return people

    def _change(self, subscription_id: str, **fields: Any) -> None:
        """What the seller changes in the dashboard, checked like a PATCH and billed with the next period."""
        with self.lock, _in_words():
            subscription = known(self.world.memory.subscriptions, subscription_id)
            asked = passed({"proration_billing_mode": "do_not_bill", **fields}, UPDATE)
            self.changes.apply(subscription, asked, source="dashboard", actor=SELLER)

    @control
    def update_customer(
        self,
        customer_id: str,
        *,
        name: str | None = None,
        email: str | None = None,
        locale: str | None = None,
        custom_data: Json | None = None,
    ) -> None:
        """A customer changes what is given."""
        with self.lock:
            self._rewrite("customer", customer_id, name=name, email=email, locale=locale, custom_data=custom_data)

    @control
    def update_address(
        self,
        address_id: str,
        *,
        first_line: str | None = None,
        second_line: str | None = None,
        city: str | None = None,
        postal_code: str | None = None,
        region: str | None = None,
        country: str | None = None,
    ) -> None:
        """An address changes in what is given."""
        parts = {"first_line": first_line, "second_line": second_line, "city": city, "postal_code": postal_code}
        with self.lock:
            self._rewrite("address", address_id, **parts, region=region, country_code=country)

    @control
    def update_business(
        self,
        business_id: str,
        *,
        name: str | None = None,
        company_number: str | None = None,
        tax_identifier: str | None = None,
    ) -> None:
        """A business changes in what is given."""
        with self.lock:
            self._rewrite(
                "business", business_id, name=name, company_number=company_number, tax_identifier=tax_identifier
            )

    def _rewrite(self, kind: str, entity_id: str, **fields: Any) -> None:
        memory = self.world.memory
        table, shape = {
            "customer": (memory.customers, CUSTOMER_UPDATE),
            "address": (memory.addresses, ADDRESS_UPDATE),
            "business": (memory.businesses, BUSINESS_UPDATE),
        }[kind]
        entity = known(table, entity_id)
        with _in_words():
            given = passed({name: value for name, value in fields.items() if value is not None}, shape)
            if "email" in given:
                self.people.refuse_taken(given["email"], of=entity_id)
        self.people.change(kind, entity, given)
