"""Paddle Classic, as far as we need it: each method is a path, a form and a parse. Every call is a POST."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import quote

from integration_project.errors import Temporary
from integration_project.vendors import reading
from integration_project.vendors.http import CHARGE_DEADLINE, VendorHTTP
from integration_project.vendors.paddle_classic.entities import (
    LONGEST_CHARGE_NAME,
    LONGEST_DESCRIPTION,
    ClassicPaymentEntry,
    ClassicPlan,
    ClassicUser,
    Modifier,
    OneOffCharge,
    SentAlert,
    number_id,
    written,
)
from integration_project.vendors.reading import Json

T = TypeVar("T")

API = "/api/2.0"
USERS_PAGE = 200
"""A guess: the most that Classic gives at once is not documented beyond doubt."""
MODIFIERS_PAGE = 200
"""The same guess."""
LIST_PAGE = 500
ALERTS_PAGE = 250
ALERTS_WINDOW = timedelta(hours=24)
"""The history is to be asked for a day at a time."""
DELETED = "deleted"
Place = Callable[[int, int], Mapping[str, str]]
"""Where the next page begins: its number, from 1 on, and how many entries came before it."""


class ClassicClient:
    """Typed calls to one Paddle Classic account."""

    def __init__(self, http: VendorHTTP) -> None:
        self._http = http

    def list_users(
        self, *, subscription_id: str | None = None, state: str | None = None, plan: str | None = None
    ) -> Iterator[ClassicUser]:
        """Read subscriptions page by page: of all states but deleted, unless told."""
        form = _form(subscription_id=subscription_id, state=state, plan_id=plan, results_per_page=USERS_PAGE)
        operation, path = "list users", "/subscription/users"
        if subscription_id is not None:
            return iter(self._call(operation, path, form, read=_entries(ClassicUser.from_classic)))
        return self._pages(operation, path, ClassicUser.from_classic, form, place=_by_page)

    def page_of_users(self, number: int) -> tuple[ClassicUser, ...]:
        """Read one page, counted from 1, of all subscriptions but the deleted ones; empty behind the last."""
        form = {**_form(results_per_page=USERS_PAGE), **_by_page(number, 0)}
        return self._call("list users", "/subscription/users", form, read=_entries(ClassicUser.from_classic))

    def find_user(self, subscription_id: str) -> ClassicUser | None:
        """One subscription, deleted ones too; None where Classic has none with this id."""
        for state in (None, DELETED):
            for user in self.list_users(subscription_id=subscription_id, state=state):
                if user.subscription_id == subscription_id:
                    return user
        return None

    def list_plans(self) -> Iterator[ClassicPlan]:
        """Read all plans."""
        form = _form(limit=LIST_PAGE)
        return self._pages("list plans", "/subscription/plans", ClassicPlan.from_classic, form, place=_by_offset)

    def list_payments(
        self,
        *,
        subscription_id: str | None = None,
        is_paid: bool | None = None,
        is_one_off_charge: bool | None = None,
        since: date | None = None,
        until: date | None = None,
    ) -> Iterator[ClassicPaymentEntry]:
        """Read payments, those to come too, page by page; the two days are the first and the last payout date."""
        form = _form(
            subscription_id=subscription_id,
            is_paid=_switch(is_paid),
            is_one_off_charge=_switch(is_one_off_charge),
            **{"from": _day(since), "to": _day(until)},
            limit=LIST_PAGE,
        )
        operation, path = "list payments", "/subscription/payments"
        return self._pages(operation, path, ClassicPaymentEntry.from_classic, form, place=_by_offset)

    def list_modifiers(self, *, subscription_id: str | None = None) -> tuple[Modifier, ...]:
        """Read what is added to payments, of one subscription or of all, on all pages: the last is the empty one."""
        form = _form(subscription_id=subscription_id, results_per_page=MODIFIERS_PAGE)
        found: dict[str, Modifier] = {}
        while page := self._modifiers(form):
            if any(modifier.id in found for modifier in page):
                raise Temporary("Paddle Classic, list modifiers: the same page came twice")
            found.update((modifier.id, modifier) for modifier in page)
            form["after"] = page[-1].id
        return tuple(found.values())

    def find_modifiers(self, push_id: str, *, subscription_id: str) -> tuple[Modifier, ...]:
        """Look for a push of ours among a subscription's modifiers that no payment has collected yet.

        Empty only after every page was read. A modifier that was collected, or deleted, is not among them either.
        """
        if not push_id:
            raise ValueError("a push has an id")
        listed = self.list_modifiers(subscription_id=subscription_id)
        return tuple(modifier for modifier in listed if modifier.carries(push_id))

    def _modifiers(self, form: Mapping[str, str]) -> tuple[Modifier, ...]:
        return self._call("list modifiers", "/subscription/modifiers", form, read=_entries(Modifier.from_classic))

    def create_modifier(self, subscription_id: str, *, amount: Decimal, description: str) -> str:
        """Add an amount to the next payment, once, or take it off; gives the modifier's id. No idempotency key exists.

        What Classic does with a longer description is unknown, and the end of it is what finds a push again.
        """
        if len(description) > LONGEST_DESCRIPTION:
            raise ValueError(f"a modifier's description has at most {LONGEST_DESCRIPTION} characters")
        form = _form(
            subscription_id=subscription_id,
            modifier_amount=_amount(amount),
            modifier_recurring="false",
            modifier_description=description,
        )
        return self._call(
            "create modifier",
            "/subscription/modifiers/create",
            form,
            read=lambda answer: number_id(_response(answer), "modifier_id"),
            repeatable=False,
        )

    def delete_modifier(self, modifier_id: str) -> None:
        """Take a modifier back; NotFound where it is gone already, Conflict where a payment has collected it."""
        form = _form(modifier_id=modifier_id)
        self._call("delete modifier", "/subscription/modifiers/delete", form, read=lambda answer: None)

    def charge(self, subscription_id: str, *, amount: Decimal, name: str) -> OneOffCharge:
        """Collect an amount at once with the stored payment method; Classic answers after the attempt.

        No idempotency key exists, and the list of payments does not have the name: after a lost answer amount and
        date are all there is to go by.
        """
        if not 1 <= len(name) <= LONGEST_CHARGE_NAME:
            raise ValueError(f"a charge's name has 1 to {LONGEST_CHARGE_NAME} characters")
        if amount <= 0:
            raise ValueError("a charge is above zero")
        return self._call(
            "charge subscription",
            f"/subscription/{_segment(subscription_id)}/charge",
            _form(amount=_amount(amount), charge_name=name),
            read=lambda answer: OneOffCharge.from_classic(_response(answer)),
            repeatable=False,
            deadline=CHARGE_DEADLINE,
        )

    def refund_payment(self, order_id: str, *, amount: Decimal | None, reason: str) -> str:
        """Ask for a payment, or an amount of it, to be given back; gives the request's id. Paddle decides later."""
        form = _form(order_id=order_id, amount=None if amount is None else _amount(amount), reason=reason)
        return self._call(
            "refund payment",
            "/payment/refund",
            form,
            read=lambda answer: number_id(_response(answer), "refund_request_id"),
            repeatable=False,
        )

    def list_alerts(self, *, since: datetime, until: datetime) -> Iterator[SentAlert]:
        """Read the alerts that were sent between two moments: the last 90 days are kept."""
        start = since
        while start < until:
            end = min(start + ALERTS_WINDOW, until)
            yield from self._alerts_of(start, end)
            start = end

    def _alerts_of(self, since: datetime, until: datetime) -> Iterator[SentAlert]:
        form = _form(query_tail=written(since), query_head=written(until), alerts_per_page=ALERTS_PAGE)
        page, pages = 1, 1
        while page <= pages:
            form["page"] = str(page)
            found, pages = self._call("list alerts", "/alert/webhooks", form, read=_alerts)
            yield from found
            page += 1

    def _pages(
        self, operation: str, path: str, read: Callable[[Json], T], form: Mapping[str, str], *, place: Place
    ) -> Iterator[T]:
        """Walk a list that does not say how long it is, nor how much of what was asked for a page holds.

        So it ends with a page that holds less than the first one did, never with the first one itself.
        """
        first = before = self._call(operation, path, {**form, **place(1, 0)}, read=_entries(read))
        yield from first
        number, so_far = 1, len(first)
        while before and len(before) == len(first):
            number += 1
            page = self._call(operation, path, {**form, **place(number, so_far)}, read=_entries(read))
            if page == before:
                raise Temporary(f"Paddle Classic, {operation}: the same page came twice")
            yield from page
            so_far += len(page)
            before = page

    def _call(
        self,
        operation: str,
        path: str,
        form: Mapping[str, str],
        *,
        read: Callable[[dict[str, Any]], T],
        repeatable: bool = True,
        deadline: float | None = None,
    ) -> T:
        return self._http.call(
            operation,
            "POST",
            API + path,
            read=lambda answer: read(_succeeded(answer)),
            form=dict(form),
            repeatable=repeatable,
            deadline=deadline,
        )


def _by_page(number: int, so_far: int) -> Mapping[str, str]:
    return {"page": str(number)}


def _by_offset(number: int, so_far: int) -> Mapping[str, str]:
    return {"offset": str(so_far)}


def _succeeded(answer: Any) -> dict[str, Any]:
    """The answer, which must say that the work was done."""
    said = reading.mapping(answer, "the answer")
    if not reading.stated(said, "success"):
        raise reading.Unreadable("success is false")
    return said


def _response(answer: dict[str, Any]) -> dict[str, Any]:
    return reading.mapping(answer.get("response"), "response")


def _entries(read: Callable[[Json], T]) -> Callable[[dict[str, Any]], tuple[T, ...]]:
    return lambda answer: tuple(read(entry) for entry in reading.entries(answer, "response"))


def _alerts(answer: dict[str, Any]) -> tuple[tuple[SentAlert, ...], int]:
    page = _response(answer)
    found = tuple(SentAlert.from_classic(entry) for entry in reading.entries(page, "data"))
    return found, reading.whole(page, "total_pages")


def _form(**values: str | int | None) -> dict[str, str]:
    """Write the fields that were given."""
    return {name: str(value) for name, value in values.items() if value is not None}


def _switch(value: bool | None) -> str | None:
    return None if value is None else str(int(value))


def _day(value: date | None) -> str | None:
    return None if value is None else value.isoformat()


def _amount(value: Decimal) -> str:
    """An amount in major units, digit for digit."""
    if not value.is_finite():
        raise ValueError("an amount is a number")
    return format(value, "f")


def _segment(identifier: str) -> str:
    """An id as one segment of a path, whatever is in it."""
    if not identifier or identifier in {".", ".."}:
        raise ValueError("an id is needed")
    return quote(identifier, safe="")
