"""Paddle Billing, as far as we need it: each method is a path, a verb and a parse."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

from integration_project.errors import NotFound, Temporary
from integration_project.vendors import reading
from integration_project.vendors.http import CHARGE_DEADLINE, VendorHTTP
from integration_project.vendors.paddle import writing
from integration_project.vendors.paddle.entities import (
    API_ORIGIN,
    CANCELED,
    ONE_OFF_CHARGE,
    Address,
    Adjustment,
    Business,
    Charge,
    ChargePreview,
    Currency,
    Customer,
    Event,
    FoundAdjustment,
    FoundCharge,
    HistoryEntry,
    InvoicePreview,
    NewAdjustment,
    NewInvoice,
    NotificationSetting,
    Price,
    Product,
    Subscription,
    Transaction,
)
from integration_project.vendors.reading import Json

T = TypeVar("T")

PAGE = 200
TRANSACTIONS_PAGE = 30
TRANSACTIONS_AT_ONCE = 20
"""Transactions whose adjustments are asked for together."""
ADJUSTMENTS_PAGE = 50
LOOK_BACK = timedelta(minutes=5)
"""How much further back a look-up reads than it was asked to: Paddle's clock and ours need not agree."""
SUBSCRIBE_DESTINATION = "update notification setting"
"""The operation that needs the permission notification_setting.write."""
CHARGE_ORIGINS = ("subscription_charge", "subscription_recurring")
"""What Paddle calls transactions made by a charge at once, and by the renewal that collects a pending one."""


class PaddleClient:
    """Typed calls to one Paddle account."""

    def __init__(self, http: VendorHTTP) -> None:
        self._http = http

    def get_subscription(self, subscription_id: str, *, include: Sequence[str] = ()) -> Subscription:
        """Read one subscription; `include` may ask for next_transaction and recurring_transaction_details."""
        path = f"/subscriptions/{_segment(subscription_id)}"
        return self._get("get subscription", path, Subscription.from_paddle, include=include)

    def list_subscriptions(
        self, *, ids: Sequence[str] = (), status: Sequence[str] = (), after: str | None = None
    ) -> Iterator[Subscription]:
        """Read subscriptions, oldest first; all, or those with these ids or statuses, or after the one with that id."""
        params = _params(id=ids, status=status, after=after, order_by="id[ASC]", per_page=PAGE)
        return self._pages("list subscriptions", "/subscriptions", Subscription.from_paddle, params)

    def look_through_subscriptions(
        self, *, ids: Sequence[str] = (), status: Sequence[str] = (), after: str = ""
    ) -> Iterator[Json]:
        """Read subscriptions as Paddle writes them, oldest first, after the one with that id.

        Only their ids are looked at, so that one which cannot be read does not end the list.
        """
        params = _params(id=ids, status=status, after=after, order_by="id[ASC]", per_page=PAGE)
        return self._pages("list subscriptions", "/subscriptions", _identified, params)

    def get_transaction(self, transaction_id: str, *, include: Sequence[str] = ()) -> Transaction:
        """Read one transaction; `include` may ask for customer, address and business."""
        path = f"/transactions/{_segment(transaction_id)}"
        return self._get("get transaction", path, Transaction.from_paddle, include=include)

    def list_transactions(
        self,
        *,
        subscription_id: str | Sequence[str] | None = None,
        customer_id: str | Sequence[str] = "",
        origin: Sequence[str] = (),
        ids: Sequence[str] = (),
        status: Sequence[str] = (),
        created_since: datetime | None = None,
        include: Sequence[str] = (),
    ) -> Iterator[Transaction]:
        """Read transactions, newest first, of any status unless told; `include` as for one transaction."""
        params = _params(
            subscription_id=subscription_id,
            customer_id=customer_id,
            origin=origin,
            id=ids,
            status=status,
            include=include,
            order_by="id[DESC]",
            per_page=TRANSACTIONS_PAGE,
        )
        if created_since is not None:
            params["created_at[GTE]"] = writing.moment(created_since)
        return self._pages("list transactions", "/transactions", Transaction.from_paddle, params)

    def list_customers(self, *, ids: Sequence[str] = ()) -> Iterator[Customer]:
        """Read customers, oldest first; all that are active, or those with these ids."""
        params = _params(id=ids, order_by="id[ASC]", per_page=PAGE)
        return self._pages("list customers", "/customers", Customer.from_paddle, params)

    def get_customer(self, customer_id: str) -> Customer:
        """Read one customer."""
        return self._get("get customer", f"/customers/{_segment(customer_id)}", Customer.from_paddle)

    def get_address(self, customer_id: str, address_id: str) -> Address:
        """Read one address of a customer."""
        path = f"/customers/{_segment(customer_id)}/addresses/{_segment(address_id)}"
        return self._get("get address", path, Address.from_paddle)

    def get_business(self, customer_id: str, business_id: str) -> Business:
        """Read one business of a customer."""
        path = f"/customers/{_segment(customer_id)}/businesses/{_segment(business_id)}"
        return self._get("get business", path, Business.from_paddle)

    def find_transaction(self, transaction_id: str, *, include: Sequence[str] = ()) -> Transaction | None:
        """One transaction, or None."""
        return _or_none(lambda: self.get_transaction(transaction_id, include=include))

    def find_customer(self, customer_id: str) -> Customer | None:
        """One customer, or None."""
        return _or_none(lambda: self.get_customer(customer_id))

    def find_address(self, customer_id: str, address_id: str) -> Address | None:
        """One address of a customer, or None."""
        return _or_none(lambda: self.get_address(customer_id, address_id))

    def find_business(self, customer_id: str, business_id: str) -> Business | None:
        """One business of a customer, or None."""
        return _or_none(lambda: self.get_business(customer_id, business_id))

    def preview_charge(self, subscription_id: str, charge: Charge) -> ChargePreview:
        """Say what a charge would do, minimum amounts included; creates nothing."""
        return self._http.call(
            "preview charge",
            "POST",
            f"/subscriptions/{_segment(subscription_id)}/charge/preview",
            read=_entity(lambda data: ChargePreview.from_paddle({**data, "id": subscription_id})),  # it has no id
            json=charge.to_paddle(),
        )

    def charge_subscription(self, subscription_id: str, charge: Charge) -> Subscription:
        """Bill a one-time charge. No idempotency key exists; the answer is the subscription, not the charge."""
        return self._http.call(
            "charge subscription",
            "POST",
            f"/subscriptions/{_segment(subscription_id)}/charge",
            read=_entity(Subscription.from_paddle),
            repeatable=False,
            json=charge.to_paddle(),
            deadline=CHARGE_DEADLINE,
        )

    def subscription_history(
        self, subscription_id: str, *, action: str | None = None, since: datetime | None = None
    ) -> Iterator[HistoryEntry]:
        """Read what happened to a subscription, newest first."""
        params = _params(action=action, order_by="id[DESC]", per_page=PAGE)
        if since is not None:
            params["occurred_at[GTE]"] = writing.moment(since)
        path = f"/subscriptions/{_segment(subscription_id)}/history"
        return self._pages("list subscription history", path, HistoryEntry.from_paddle, params)

    def find_charge(self, push_id: str, *, subscription_id: str, since: datetime) -> FoundCharge | None:
        """Look for a push of ours: in the subscription's history, then in its transactions.

        None only after every page of both was read; a page that could not be read, or may not be, raises instead.
        `since` is when the push was first written down.
        """
        earliest = since - LOOK_BACK
        history = self.subscription_history(subscription_id, action=ONE_OFF_CHARGE, since=earliest)
        entries = [entry for entry in history if push_id in entry.push_ids]
        listed = self.list_transactions(subscription_id=subscription_id, origin=CHARGE_ORIGINS, created_since=earliest)
        transactions = [transaction for transaction in listed if push_id in transaction.push_ids]
        missing = {entry.transaction_id for entry in entries if entry.transaction_id} - {t.id for t in transactions}
        transactions += [self.get_transaction(transaction_id) for transaction_id in sorted(missing)]
        return found_charge(push_id, entries, transactions)

    def preview_invoice(self, invoice: NewInvoice) -> InvoicePreview:
        """Say what an invoice would come to; creates nothing, and does not see how it will be collected."""
        return self._http.call(
            "preview transaction",
            "POST",
            "/transactions/preview",
            read=_entity(InvoicePreview.from_paddle),
            json=invoice.to_preview(),
        )

    def create_invoice(self, invoice: NewInvoice) -> Transaction:
        """Make an invoice, and issue it if it says so. No idempotency key exists."""
        return self._http.call(
            "create transaction",
            "POST",
            "/transactions",
            read=_entity(Transaction.from_paddle),
            repeatable=False,
            json=invoice.to_paddle(),
            deadline=CHARGE_DEADLINE,
        )

    def find_invoice(self, push_id: str, *, customer_id: str, since: datetime) -> FoundCharge | None:
        """Look for an invoice of ours among all transactions that an API key made for this customer, of any status.

        None only after every page was read; a page that could not be read, or may not be, raises instead. `since` is
        when the push was first written down. One that still waits to be issued counts: it must not be made again.
        """
        listed = self.list_transactions(customer_id=customer_id, origin=(API_ORIGIN,), created_since=since - LOOK_BACK)
        return found_charge(push_id, (), [transaction for transaction in listed if push_id in transaction.push_ids])

    def cancel_transaction(self, transaction_id: str) -> Transaction:
        """Cancel an invoice that nobody has paid; possible while it is draft, ready or billed.

        Not repeatable: a second cancel is refused like that of a paid one, and says nothing of which it was.
        """
        return self._http.call(
            "cancel transaction",
            "PATCH",
            f"/transactions/{_segment(transaction_id)}",
            read=_entity(Transaction.from_paddle),
            repeatable=False,
            json={"status": CANCELED},
        )

    def list_adjustments(
        self, *, subscription_id: str = "", transaction_ids: Sequence[str] = ()
    ) -> Iterator[Adjustment]:
        """Read refunds, credits and their like, newest first; all, or those of a subscription or of transactions."""
        params = _params(
            subscription_id=subscription_id,
            transaction_id=transaction_ids,
            order_by="id[DESC]",
            per_page=ADJUSTMENTS_PAGE,
        )
        return self._pages("list adjustments", "/adjustments", Adjustment.from_paddle, params)

    def create_adjustment(self, adjustment: NewAdjustment) -> Adjustment:
        """Refund or credit some lines of a transaction; a refund may wait for approval. No idempotency key exists."""
        return self._http.call(
            "create adjustment",
            "POST",
            "/adjustments",
            read=_entity(Adjustment.from_paddle),
            repeatable=False,
            json=adjustment.to_paddle(),
            deadline=CHARGE_DEADLINE,
        )

    def find_adjustment(
        self, push_id: str, *, transaction_ids: Sequence[str], subscription_id: str = ""
    ) -> FoundAdjustment | None:
        """Look for an adjustment of ours among all of some transactions, and all of a subscription where one is named,
        by the push id in its reason.

        None only after every page was read; a page that could not be read, or may not be, raises instead.
        """
        listed = list(self.list_adjustments(subscription_id=subscription_id)) if subscription_id else []
        for start in range(0, len(transaction_ids), TRANSACTIONS_AT_ONCE):
            listed += self.list_adjustments(transaction_ids=transaction_ids[start : start + TRANSACTIONS_AT_ONCE])
        named = {adjustment.id: adjustment for adjustment in listed if push_id in adjustment.words}
        return found_adjustment(push_id, list(named.values()))

    def list_products(self) -> Iterator[Product]:
        """Read the catalogue's active products."""
        params = _params(order_by="id[ASC]", per_page=PAGE)
        return self._pages("list products", "/products", Product.from_paddle, params)

    def list_prices(self) -> Iterator[Price]:
        """Read the catalogue's active prices."""
        params = _params(order_by="id[ASC]", per_page=PAGE)
        return self._pages("list prices", "/prices", Price.from_paddle, params)

    def list_currencies(self) -> tuple[Currency, ...]:
        """Read the currencies Paddle takes, with their decimals and minimum amounts."""
        return self._http.call("list currencies", "GET", "/currencies", read=_all(Currency.from_paddle))

    def list_events(self, *, after: str | None = None, event_types: Sequence[str] = ()) -> Iterator[Event]:
        """Read what happened in the account in the last 90 days, oldest first, after the event with that id."""
        params = _params(after=after, event_type=event_types, order_by="id[ASC]", per_page=PAGE)
        return self._pages("list events", "/events", Event.from_paddle, params)

    def list_notification_settings(self) -> Iterator[NotificationSetting]:
        """Read the account's webhook destinations."""
        params = _params(per_page=PAGE)
        path = "/notification-settings"
        return self._pages("list notification settings", path, NotificationSetting.from_paddle, params)

    def subscribe_destination(self, setting_id: str, event_types: Sequence[str]) -> NotificationSetting:
        """Have a webhook destination told of exactly these types of events; the rest of it stays as it is."""
        return self._http.call(
            "update notification setting",
            "PATCH",
            f"/notification-settings/{_segment(setting_id)}",
            read=_entity(NotificationSetting.from_paddle),
            json={"subscribed_events": list(event_types)},
        )

    def _get(self, operation: str, path: str, read: Callable[[Json], T], *, include: Sequence[str] = ()) -> T:
        return self._http.call(operation, "GET", path, read=_entity(read), params=_params(include=include))

    def _pages(self, operation: str, path: str, read: Callable[[Json], T], params: Mapping[str, str]) -> Iterator[T]:
        """Walk all pages of a list. Of each page's `next` only the query counts, so host and path stay ours."""
        seen: set[str] = set()
        query: dict[str, str] | None = dict(params)
        while query is not None:
            page = self._http.call(operation, "GET", path, read=_page(read), params=query)
            yield from page.entries
            query = page.next_query
            if query is not None and query["after"] in seen:
                raise Temporary(f"Paddle, {operation}: the pages go round in a circle")
            seen.add("" if query is None else query["after"])


@dataclass(frozen=True)
class _Page(Generic[T]):
    entries: tuple[T, ...]
    next_query: dict[str, str] | None


def found_charge(
    push_id: str, entries: Sequence[HistoryEntry], transactions: Sequence[Transaction]
) -> FoundCharge | None:
    """Make one finding of what history and transactions say of a push.

    A transaction that stands counts first, then a history entry whose transaction is still to come. A canceled
    transaction alone is what a declined charge left behind.
    """
    statuses = {transaction.id: transaction for transaction in transactions}
    standing = [transaction for transaction in transactions if transaction.status != CANCELED]
    applied = [entry for entry in entries if not _is_canceled(statuses.get(entry.transaction_id or ""))]
    places = tuple(f"transaction {each.id}" for each in sorted(standing, key=_id_of))
    if len(applied) > len(standing):
        places = tuple(_applied_in(each) for each in sorted(applied, key=_id_of))
    if standing:
        first = min(standing, key=lambda transaction: transaction.id)
        where = "history" if entries else "transactions"
        return FoundCharge(push_id, first.id, first.status, where, first.amount_of(push_id), places)
    if applied:
        entry = min(applied, key=lambda candidate: candidate.id)
        return FoundCharge(push_id, None, None, "history", entry.amount_of(push_id), places)
    if transactions:
        last = max(transactions, key=lambda transaction: transaction.id)
        return FoundCharge(push_id, last.id, last.status, "transactions", last.amount_of(push_id))
    return None


def found_adjustment(push_id: str, adjustments: Sequence[Adjustment]) -> FoundAdjustment | None:
    """Make one finding of the adjustments that carry a push: one that stands, or the last that was undone."""
    standing = [adjustment for adjustment in adjustments if adjustment.stands]
    if not adjustments:
        return None
    chosen = min(standing, key=_id_of) if standing else max(adjustments, key=_id_of)
    return FoundAdjustment(
        push_id=push_id,
        adjustment_id=chosen.id,
        transaction_id=chosen.transaction_id,
        action=chosen.action,
        status=chosen.status,
        amount=chosen.totals.subtotal,
        total=chosen.totals.total,
        places=tuple(f"adjustment {each.id}" for each in sorted(standing, key=_id_of)),
    )


def _id_of(found: Adjustment | Transaction | HistoryEntry) -> str:
    """Paddle's ids begin with the moment they were made at."""
    return found.id


def _applied_in(entry: HistoryEntry) -> str:
    """Say where a charge is that the history tells of: in its transaction, where it has one already."""
    return f"transaction {entry.transaction_id}" if entry.transaction_id else f"history entry {entry.id}"


def _is_canceled(transaction: Transaction | None) -> bool:
    return transaction is not None and transaction.status == CANCELED


def _or_none(get: Callable[[], T]) -> T | None:
    """What Paddle has, or None where it says that it has no such thing."""
    try:
        return get()
    except NotFound:
        return None


def _identified(data: Json) -> Json:
    reading.identifier(data)
    return data


def _data(answer: Any) -> Any:
    return reading.mapping(answer, "the answer").get("data")


def _entity(read: Callable[[Json], T]) -> Callable[[Any], T]:
    return lambda answer: read(reading.mapping(_data(answer), "data"))


def _all(read: Callable[[Json], T]) -> Callable[[Any], tuple[T, ...]]:
    return lambda answer: tuple(read(entry) for entry in reading.entries(reading.mapping(answer, "the answer"), "data"))


def _page(read: Callable[[Json], T]) -> Callable[[Any], _Page[T]]:
    def reader(answer: Any) -> _Page[T]:
        entries = _all(read)(answer)
        meta = reading.mapping(answer.get("meta"), "meta")
        pagination = reading.mapping(meta.get("pagination"), "pagination")
        more = reading.stated(pagination, "has_more")  # taken for false, a look-up would end early and prove nothing
        return _Page(entries, _query_of(reading.identifier(pagination, "next")) if more else None)

    return reader


def _query_of(address: str) -> dict[str, str]:
    try:
        query = dict(parse_qsl(urlsplit(address).query))
    except ValueError:
        query = {}
    if not query.get("after"):
        raise reading.Unreadable("next names no further page")
    return query


def _params(**values: str | int | Sequence[str] | None) -> dict[str, str]:
    """Write the parameters that were given; several values are joined with commas, as Paddle wants them."""
    joined = {
        key: str(value) if isinstance(value, str | int) else ",".join(value or ()) for key, value in values.items()
    }
    return {key: value for key, value in joined.items() if value}


def _segment(identifier: str) -> str:
    """An id as one segment of a path, whatever is in it."""
    if not identifier or identifier in {".", ".."}:
        raise ValueError("an id is needed")
    return quote(identifier, safe="")
