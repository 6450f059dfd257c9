"""The console's read-only pages of pushes, ledger entries and the carried balance."""

from collections.abc import Sequence

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from billing_bridge import money, review
from billing_bridge.admin import amounts
from billing_bridge.models import BillEntry, CarriedEntry, PaddleCurrency, Push
from integration_project import showing
from integration_project.ledger_admin import Decision, LedgerAdmin
from integration_project.showing import Link, Panel, Story, Text, Tone


@admin.register(Push)
class PushAdmin(LedgerAdmin):
    """Intended charges; what a person decides about them is decided on the bill's page."""

    list_display = (
        "push_id",
        "the_bill",
        "the_amount",
        "state_in_words",
        "sent",
        "the_transaction",
        "payment",
        "error",
    )
    list_filter = ("state", "kind", "payment", "currency")
    list_select_related = ("bill",)
    search_fields = ("push_id__exact", "paddle_transaction_id__exact", "paddle_subscription_id__exact")
    ordering = ("-id",)
    nothing_yet = "A push appears when the first approved bill is about to be charged."
    fieldsets = (
        (
            "In the database",
            {
                "fields": (
                    ("push_id", "the_bill"),
                    ("kind", "mode"),
                    ("the_subscription", "the_transaction"),
                    ("the_amount", "currency"),
                    ("state", "attempt"),
                    ("created_exactly", "sent_exactly"),
                    ("settled_exactly", "renewal_exactly"),
                    ("payment", "detail"),
                )
            },
        ),
    )
    readonly_fields = (
        "the_bill",
        "the_subscription",
        "the_transaction",
        "the_amount",
        "created_exactly",
        "sent_exactly",
        "settled_exactly",
        "renewal_exactly",
    )

    @admin.display(description="Bill")
    def the_bill(self, push: Push) -> SafeString:
        """Link to the bill."""
        return showing.row_link(push.bill, push.bill.m3ter_bill_id)

    @admin.display(description="Amount", ordering="amount")
    def the_amount(self, push: Push) -> SafeString:
        """Show the amount."""
        return amounts.amount(push.amount, push.currency)

    @admin.display(description="State", ordering="state")
    def state_in_words(self, push: Push) -> SafeString:
        """Show the state in words and colour."""
        return showing.label(push.get_state_display(), amounts.PUSH_TONES.get(push.state, "calm"))

    @admin.display(description="Sent", ordering="sent_at")
    def sent(self, push: Push) -> SafeString:
        """Show when the request went out."""
        return showing.ago(push.sent_at)

    @admin.display(description="Transaction")
    def the_transaction(self, push: Push) -> SafeString:
        """Show Paddle's transaction, linked to Paddle's own page."""
        return showing.paddle_id(push.paddle_transaction_id)

    @admin.display(description="Subscription")
    def the_subscription(self, push: Push) -> SafeString:
        """Show the subscription, linked to Paddle's own page."""
        return showing.paddle_id(push.paddle_subscription_id)

    @admin.display(description="In words")
    def error(self, push: Push) -> SafeString:
        """Show the last words about it."""
        return showing.line(push.detail)

    created_exactly = showing.moment("created_at", description="Created")
    sent_exactly = showing.moment("sent_at", description="Sent")
    settled_exactly = showing.moment("settled_at", description="Settled")
    renewal_exactly = showing.moment("expected_renewal_at", description="Expected renewal")

    def story(self, request: HttpRequest, row: Push) -> Story:
        """Say what this push is."""
        words = row.get_state_display()
        what = f"A charge of {money.words(row.amount, row.currency)} on {row.paddle_subscription_id}: {words}."
        tone: Tone = amounts.PUSH_TONES.get(row.state, "calm")
        return Story(tone, what, row.detail, "What can be decided about it is on the bill's page.")

    def links(self, request: HttpRequest, row: Push) -> Sequence[Link]:
        """Link to the bill."""
        return (Link("The bill", showing.page_of(row.bill), strong=True),)

    def panels(self, request: HttpRequest, row: Push) -> Sequence[Panel | Text]:
        """Show its steps and what Paddle was asked."""
        steps = Panel(
            "Steps",
            ("When", "Attempt", "Step", "Phase", "Outcome", "In words", "Calls", "Who"),
            [
                (
                    showing.at(step.at),
                    step.attempt,
                    step.step,
                    step.phase,
                    step.outcome or "-",
                    step.detail or "-",
                    showing.calls(step.calls),
                    step.by or "-",
                )
                for step in row.history.order_by("-id")[:100]
            ],
            empty="No step was taken yet.",
        )
        return (steps, Text("What Paddle is asked to charge", showing.readable_json(row.items)))


@admin.register(BillEntry)
class BillEntryAdmin(LedgerAdmin):
    """The ledger of all bills, newest first."""

    list_display = ("when", "the_bill", "kind", "the_amount", "the_push", "by", "the_note")
    list_filter = ("kind", "bill__currency")
    list_select_related = ("bill", "push")
    search_fields = ("bill__m3ter_bill_id__exact", "push__push_id__exact")
    ordering = ("-id",)
    nothing_yet = "The first entry is written when Paddle accepts the first charge."

    @admin.display(description="When", ordering="at")
    def when(self, entry: BillEntry) -> SafeString:
        """Show when it was written."""
        return showing.ago(entry.at)

    @admin.display(description="Bill")
    def the_bill(self, entry: BillEntry) -> SafeString:
        """Link to the bill."""
        return showing.row_link(entry.bill, entry.bill.m3ter_bill_id)

    @admin.display(description="Push")
    def the_push(self, entry: BillEntry) -> SafeString:
        """Link to the push."""
        return showing.row_link(entry.push)

    @admin.display(description="Amount", ordering="amount")
    def the_amount(self, entry: BillEntry) -> SafeString:
        """Show the amount."""
        return amounts.amount(entry.amount, entry.bill.currency)

    @admin.display(description="Note")
    def the_note(self, entry: BillEntry) -> SafeString:
        """Show the note."""
        return showing.line(entry.note)


@admin.register(CarriedEntry)
class CarriedEntryAdmin(LedgerAdmin):
    """What accounts carry from one bill to a later one."""

    list_display = ("when", "m3ter_account_id", "the_bill", "the_amount", "the_rest", "the_note")
    list_filter = ("currency",)
    list_select_related = ("source_bill",)
    search_fields = ("m3ter_account_id__exact",)
    ordering = ("-id",)
    nothing_yet = "Nothing is carried: amounts under Paddle's minimum and credits appear here, for the next bills."
    decisions = (
        Decision(
            name="take_back",
            label="Take back",
            permission="billing_bridge.review_pushedbill",
            effect="No later bill takes it any more. The bill it comes from is held with what is left of it, to be "
            "written off, charged, or refunded there.",
            done="taken back",
            decide=review.take_back,
            seen=lambda entry: review.what_is_seen(entry.source_bill),
            offered=lambda entry: bool(entry.remaining) and entry.reserved_by_id is None,
            preview=lambda entry: f"{entry.m3ter_account_id}: {money.words(entry.remaining, entry.currency)}",
        ),
    )

    @admin.display(description="When", ordering="at")
    def when(self, entry: CarriedEntry) -> SafeString:
        """Show when it was written."""
        return showing.ago(entry.at)

    @admin.display(description="From bill")
    def the_bill(self, entry: CarriedEntry) -> SafeString:
        """Link to the bill it comes from."""
        return showing.row_link(entry.source_bill, entry.source_bill.m3ter_bill_id)

    @admin.display(description="Amount", ordering="amount")
    def the_amount(self, entry: CarriedEntry) -> SafeString:
        """Show the amount."""
        return amounts.amount(entry.amount, entry.currency)

    @admin.display(description="Not yet taken", ordering="remaining")
    def the_rest(self, entry: CarriedEntry) -> SafeString:
        """Show what no bill has taken yet."""
        return amounts.amount(entry.remaining, entry.currency)

    @admin.display(description="Note")
    def the_note(self, entry: CarriedEntry) -> SafeString:
        """Show the note."""
        return showing.line(entry.note)


@admin.register(PaddleCurrency)
class PaddleCurrencyAdmin(LedgerAdmin):
    """What Paddle says of its currencies, read once a day."""

    list_display = ("code", "decimal_places", "the_minimum", "read")
    search_fields = ("code__exact",)
    ordering = ("code",)
    nothing_yet = "Paddle's list of currencies is read once a day; before that, what Paddle documents counts."

    @admin.display(description="Least charge", ordering="minimum")
    def the_minimum(self, currency: PaddleCurrency) -> SafeString:
        """Show the least that Paddle charges."""
        return amounts.amount(currency.minimum, currency.code)

    @admin.display(description="Read", ordering="read_at")
    def read(self, currency: PaddleCurrency) -> SafeString:
        """Show when it was read."""
        return showing.ago(currency.read_at)
