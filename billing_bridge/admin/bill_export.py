"""Bills as a file: what the list shows, the rest of each bill's sum, and every id that finds it at the vendors."""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from django.db.models import QuerySet

from billing_bridge import money
from billing_bridge.admin import bill_story
from billing_bridge.models import Push, PushedBill
from integration_project.list_exports import CHUNK, Column
from integration_project.spreadsheets import Cell
from paddle_sync.models import AccountLink

READ = (
    "m3ter_bill_id",
    "m3ter_account_id",
    "m3ter_account_code",
    "link__name",
    "link__paddle_subscription_id",
    "link__paddle_customer_id",
    "currency",
    "period_start",
    "period_end",
    "renews_at",
    "state",
    "reason",
    "payment",
    "payable",
    "pushed",
    "lost",
    "credited",
    "carried",
    "written_off",
    "outstanding",
    "paid",
    "refunded",
    "first_seen_at",
)


@dataclass(frozen=True)
class Line:
    """A bill, and the Paddle transactions that its charges became."""

    bill: PushedBill
    transactions: Sequence[str]

    @property
    def link(self) -> AccountLink | None:
        """Whose bill it is, when last seen."""
        return self.bill.link


def lines(bills: "QuerySet[PushedBill]") -> Iterator[Line]:
    """Read the columns of the file, and with each chunk of bills their transactions.

    Django's own prefetching would do that too, but it ties each bill to its charges in a circle, so that the memory of
    those already written is only freed now and then.
    """
    found = bills.select_related("link").only(*READ).iterator(chunk_size=CHUNK)
    while chunk := list(islice(found, CHUNK)):
        charged: defaultdict[int, list[str]] = defaultdict(list)
        pushes = Push.objects.filter(bill__in=[bill.pk for bill in chunk]).exclude(paddle_transaction_id="")
        for bill_id, transaction in pushes.order_by("ordinal").values_list("bill_id", "paddle_transaction_id"):
            charged[bill_id].append(transaction)
        for bill in chunk:
            yield Line(bill, charged[bill.pk])


def _amount(column: str) -> Callable[[Line], Cell]:
    """Give an amount as an exact number; where the currency's decimals are unknown, in words that add up to nothing."""

    def cell(line: Line) -> Cell:
        minor, currency = getattr(line.bill, column), line.bill.currency
        return money.in_major_units(minor, currency) if currency in money.EXPONENTS else money.words(minor, currency)

    return cell


def _text(column: str) -> Callable[[Line], Cell]:
    return lambda line: str(getattr(line.bill, column) or "")


def _of_link(column: str) -> Callable[[Line], Cell]:
    return lambda line: str(getattr(line.link, column)) if line.link else ""


def _moment(column: str) -> Callable[[Line], Cell]:
    """Write a moment in UTC, as ISO 8601 has it."""

    def cell(line: Line) -> Cell:
        moment: dt.datetime | None = getattr(line.bill, column)
        return f"{moment.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}" if moment else ""

    return cell


def _last_day(line: Line) -> Cell:
    end = line.bill.period_end
    return str(end - dt.timedelta(days=1)) if end else ""


COLUMNS = (
    Column("Customer", lambda line: bill_story.customer(line.bill)),
    Column("Period, first day", _text("period_start")),
    Column("Period, last day", _last_day),
    Column("Currency", _text("currency")),
    Column("Bill total", _amount("payable")),
    Column("Pushed", _amount("pushed")),
    Column("Lost", _amount("lost")),
    Column("Credited", _amount("credited")),
    Column("Carried", _amount("carried")),
    Column("Written off", _amount("written_off")),
    Column("Difference", _amount("outstanding")),
    Column("Paid, before tax", _amount("paid")),
    Column("Refunded, before tax", _amount("refunded")),
    Column("State", _text("state")),
    Column("Reason", _text("reason")),
    Column("Payment", _text("payment")),
    Column("Renews at (UTC)", _moment("renews_at")),
    Column("First seen at (UTC)", _moment("first_seen_at")),
    Column("m3ter bill", _text("m3ter_bill_id")),
    Column("m3ter account", _text("m3ter_account_id")),
    Column("m3ter account code", _text("m3ter_account_code")),
    Column("Paddle customer", _of_link("paddle_customer_id")),
    Column("Paddle subscription", _of_link("paddle_subscription_id")),
    Column("Paddle transactions", lambda line: " ".join(line.transactions)),
)
"""Bill total = pushed - lost - credited + carried + written off + difference, in every row."""
