"""The console's pages of usage whose bill was locked when it came: a person says what it costs, or that it is free."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from billing_bridge import money
from billing_bridge.admin import amounts
from billing_bridge.models import PushedBill
from integration_project import showing
from integration_project.errors import NotPossible
from integration_project.ledger_admin import Decision, LedgerAdmin, ReasonForm
from integration_project.showing import Link, Panel, Story, Text, Tone
from paddle_sync.models import AccountLink, LateUsage, UsageBatch
from paddle_sync.usage import pricing
from paddle_sync.usage.admin.batches import measurements

State = LateUsage.State
TONES: dict[str, Tone] = {State.REVIEW: "wait", State.ASKED: "calm", State.CHARGED: "good", State.WRITTEN_OFF: "calm"}
PERMISSION = "paddle_sync.price_lateusage"
MOST_MINOR = 10**12
"""In smallest units: what is more is a slip of the hand."""


class PriceForm(ReasonForm):
    """What late usage costs, whole or by the unit, and what the customer reads."""

    field_order = ("amount", "units", "unit_price", "description", "reason")
    amount = forms.CharField(
        label="Amount in the account's currency, like 12.50",
        required=False,
        max_length=30,
        widget=forms.TextInput(attrs={"class": "c-input", "inputmode": "decimal"}),
        help_text="Before tax. Below zero it is a credit. Or leave it empty, and say how many units at which price.",
    )
    units = forms.CharField(
        label="Units",
        required=False,
        max_length=30,
        widget=forms.TextInput(attrs={"class": "c-input", "inputmode": "decimal"}),
    )
    unit_price = forms.CharField(
        label="Price of a unit",
        required=False,
        max_length=30,
        widget=forms.TextInput(attrs={"class": "c-input", "inputmode": "decimal"}),
        help_text="Units times price are rounded half up to the currency's smallest unit.",
    )
    description = forms.CharField(
        label="Description",
        max_length=200,
        widget=forms.TextInput(attrs={"class": "c-input"}),
        help_text="The customer reads it on the bill.",
    )

    def clean(self) -> dict[str, Any]:
        """Hold the answers to one amount: either the whole, or both of its factors, each a number."""
        answers = super().clean() or {}
        whole, factors = answers.get("amount"), [answers.get("units"), answers.get("unit_price")]
        if whole and any(factors):
            raise forms.ValidationError("Give the amount, or units and their price, not both.")
        if not whole and not all(factors):
            raise forms.ValidationError("Give the amount, or both units and the price of one.")
        for name in ("amount", "units", "unit_price"):
            if answers.get(name) and number(answers[name]) is None:
                self.add_error(name, "Write a number like 1234.5, with a point and nothing between thousands.")
        return answers


def number(text: str) -> Decimal | None:
    """Read a number as people write it in a form; None where it is none."""
    written = text.strip()
    if not written.isascii() or "_" in written:
        return None
    try:
        found = Decimal(written)
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found.adjusted()) <= 20 else None


def account_of(row: LateUsage) -> AccountLink:
    """Find the link of a row's account: what is charged there is billed to its subscription."""
    links = AccountLink.objects.filter(m3ter_account_id=row.m3ter_account_id)
    link = links.order_by("state", "-pk").filter(state=AccountLink.State.LIVE).first() or links.order_by("-pk").first()
    if link is None:
        raise NotPossible("No subscription is linked to its account any more, so nothing would charge it in Paddle.")
    return link


def price(
    row_id: int, *, by: str, reason: str, description: str, amount: str = "", units: str = "", unit_price: str = ""
) -> None:
    """Have late usage charged on the next bill, in the account's currency and to its decimals."""
    row = LateUsage.objects.get(pk=row_id)
    currency = account_of(row).currency
    try:
        minor = _minor(currency, amount, units, unit_price)
    except money.UnknownCurrency:
        raise NotPossible(f"How many decimals {currency} has at Paddle is not certain. Charge it by hand.") from None
    if not minor:
        raise NotPossible("It comes to nothing. If it is not to be charged, say so with the other button.")
    if abs(minor) > MOST_MINOR:
        raise NotPossible("That is more than any usage costs. Look at the amount again.")
    exact = f"{money.in_major_units(minor, currency):f}"
    pricing.price(
        row_id,
        by=by,
        reason=reason,
        currency=currency,
        amount=minor,
        exact=exact,
        description=description,
        units=units,
        unit_price=unit_price,
    )


def _minor(currency: str, amount: str, units: str, unit_price: str) -> int:
    if amount:
        whole = number(amount) or Decimal(0)
        if money.scaled(whole, currency) % 1:
            places = money.exponent(currency)
            raise NotPossible(f"{currency} has {places or 'no'} decimals; {amount} has more.")
        return int(money.scaled(whole, currency))
    product = money.EXACT.multiply(number(units) or Decimal(0), number(unit_price) or Decimal(0))
    return money.round_half_up(product, currency)


def one_line(row: LateUsage) -> str:
    """Name late usage for a list of what a decision is about."""
    return f"{row} ({sums(row)}), {row.first_at:%Y-%m-%d} to {row.last_at:%Y-%m-%d}"


def sums(row: LateUsage) -> str:
    """Say how much it is."""
    return ", ".join(f"{name} {total}" for name, total in row.sums.items()) or "no numbers"


def last_answers(row: LateUsage) -> dict[str, Any]:
    """Begin with what was answered before, where m3ter refused that; else with the numbers that there are."""
    if row.exact:
        by_unit = {"units": row.units, "unit_price": row.unit_price} if row.units else {"amount": row.exact}
        return {**by_unit, "description": row.description, "reason": row.note}
    only = next(iter(row.sums.values()), "") if len(row.sums) == 1 else ""
    return {"units": only, "description": f"{row.meter}, {row.first_at:%Y-%m-%d} to {row.last_at:%Y-%m-%d}"}


@admin.register(LateUsage)
class LateUsageAdmin(LedgerAdmin):
    """Usage of locked periods that its senders want on the next bill."""

    list_display = ("about", "meter", "items", "how_much", "span", "state_in_words", "charged", "decided_by", "came")
    list_filter = ("state", "meter")
    search_fields = (
        "m3ter_account_code__exact",
        "m3ter_account_id__exact",
        "m3ter_bill_id__exact",
        "paddle_subscription_id__exact",
    )
    search_help_text = "An account, account code, subscription or locked bill."
    ordering = ("-id",)
    nothing_yet = 'Usage of a locked period appears here where its sender marks it "bill_on_next".'
    fieldsets = (
        (
            "In the database",
            {
                "fields": (
                    ("m3ter_account_code", "meter"),
                    ("the_account", "the_bill"),
                    ("items", "how_much"),
                    ("first_exactly", "last_exactly"),
                    ("state", "came_exactly"),
                    ("charged", "description"),
                    ("units", "unit_price"),
                    ("decided_by", "decided_exactly"),
                    "note",
                    ("m3ter_charge_id", "attempts"),
                    ("due_exactly", "last_error"),
                )
            },
        ),
    )
    readonly_fields = (
        "the_account",
        "the_bill",
        "how_much",
        "first_exactly",
        "last_exactly",
        "came_exactly",
        "charged",
        "decided_exactly",
        "due_exactly",
    )
    decisions = (
        Decision(
            name="price",
            label="Charge it on the next bill",
            permission=PERMISSION,
            effect="A worker makes one charge in m3ter, which m3ter puts on the account's next bill as a line of its"
            " own; from there it goes to Paddle like everything else on that bill. The usage itself is not sent to"
            " m3ter, so nothing counts it twice.",
            done="queued to be charged on the next bill",
            decide=price,
            offered=lambda row: row.state == State.REVIEW,
            form=PriceForm,
            initial=last_answers,
            strong=True,
            preview=one_line,
        ),
        Decision(
            name="write_off",
            label="Do not charge it",
            permission=PERMISSION,
            effect="The usage stays accepted, is not sent to m3ter, and nothing charges it. Its uids stay taken.",
            done="left uncharged",
            decide=pricing.write_off,
            offered=lambda row: row.state == State.REVIEW,
            bulk=True,
            preview=one_line,
        ),
    )

    @admin.display(description="Account", ordering="m3ter_account_code")
    def about(self, row: LateUsage) -> str:
        """Name the account."""
        return row.m3ter_account_code

    @admin.display(description="Sums")
    def how_much(self, row: LateUsage) -> str:
        """Say how much it is."""
        return sums(row)

    @admin.display(description="Of")
    def span(self, row: LateUsage) -> str:
        """Say when it was used."""
        return f"{row.first_at:%Y-%m-%d} to {row.last_at:%Y-%m-%d}"

    @admin.display(description="State", ordering="state")
    def state_in_words(self, row: LateUsage) -> SafeString:
        """Show the state."""
        return showing.label(row.get_state_display(), TONES.get(row.state, "calm"))

    @admin.display(description="Amount", ordering="amount")
    def charged(self, row: LateUsage) -> SafeString:
        """Show what it costs."""
        return showing.NOTHING if row.amount is None else amounts.amount(row.amount, row.currency)

    @admin.display(description="Received", ordering="received_at")
    def came(self, row: LateUsage) -> SafeString:
        """Show when it was accepted."""
        return showing.ago(row.received_at)

    @admin.display(description="Account in m3ter")
    def the_account(self, row: LateUsage) -> SafeString:
        """Show the account's id, linked to m3ter's own page."""
        return showing.m3ter_id(row.m3ter_account_id, "account")

    @admin.display(description="Locked bill in m3ter")
    def the_bill(self, row: LateUsage) -> SafeString:
        """Show the bill's id, linked to m3ter's own page."""
        return showing.m3ter_id(row.m3ter_bill_id, "bill")

    first_exactly = showing.moment("first_at", description="First used")
    last_exactly = showing.moment("last_at", description="Last used")
    came_exactly = showing.moment("received_at", description="Received")
    decided_exactly = showing.moment("decided_at", description="Decided")
    due_exactly = showing.moment("due_at", description="Work is due")

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Give the views people come back to."""
        return (
            Link("To be priced", filtered(state__exact="review")),
            Link("Asked of m3ter", filtered(state__exact="asked")),
        )

    def story(self, request: HttpRequest, row: LateUsage) -> Story:
        """Say what it is, what that means and what to do."""
        cause = f"{row.items} measurements of {row.meter} ({sums(row)}) came after their bill was locked."
        priced = money.words(row.amount, row.currency) if row.amount is not None else ""
        match row.state:
            case State.ASKED:
                why = f"The last attempt did not work: {row.last_error}" if row.last_error else ""
                effect = f"A worker puts {priced} on the account's next bill. {why}"
                return Story("wait" if why else "calm", cause, effect.strip(), "Nothing to do: it goes on by itself.")
            case State.CHARGED:
                return Story("good", cause, f"{priced} stand on the account's next bill: {row.description}.")
            case State.WRITTEN_OFF:
                return Story("calm", cause, f"{row.decided_by} left it uncharged: {row.note}")
        refused = f"m3ter refused the charge: {row.last_error} " if row.last_error else ""
        effect = f"{refused}It is not in m3ter, and nothing is charged."
        return Story(
            "bad" if refused else "wait", cause, effect, "Say what it costs on the next bill, or that it costs nothing."
        )

    def links(self, request: HttpRequest, row: LateUsage) -> Sequence[Link]:
        """Link to the locked bill, to the batch, and to the account's story."""
        bill = PushedBill.objects.filter(m3ter_bill_id=row.m3ter_bill_id).first()
        batch = UsageBatch.objects.filter(pk=row.batch_id).first()
        link = AccountLink.objects.filter(m3ter_account_id=row.m3ter_account_id).order_by("-pk").first()
        pages = (
            ("The locked bill", bill),
            ("The batch it came in", batch),
            ("The whole story of this account", link),
        )
        return [Link(words, showing.page_of(found)) for words, found in pages if found is not None]

    def panels(self, request: HttpRequest, row: LateUsage) -> Sequence[Panel | Text]:
        """Show what was measured."""
        batch = UsageBatch.objects.filter(pk=row.batch_id).first()
        return (measurements(batch),) if batch is not None else ()


def filtered(**filters: str) -> str:
    """Find the list of late usage, filtered."""
    return showing.list_of(LateUsage, urlencode(filters))
