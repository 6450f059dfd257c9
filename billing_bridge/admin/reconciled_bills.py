"""The console's pages of what reconciliations found of each bill."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from billing_bridge import reconciliation
from billing_bridge.admin.amounts import amount
from billing_bridge.explaining import Why
from billing_bridge.models import ReconciliationRow, ReconciliationRun
from integration_project import showing
from integration_project.ledger_admin import LedgerAdmin
from integration_project.showing import Link, Panel, Right, Story, Text

State = ReconciliationRun.State


class RunFilter(admin.SimpleListFilter):
    """Bills of the last run only; those of any other are reached from its page."""

    title = "run"
    parameter_name = "of"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the last one."""
        return [("latest", "the last one that is done")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[ReconciliationRow]") -> "QuerySet[ReconciliationRow]":
        """Keep the chosen run."""
        if self.value() != "latest":
            return queryset
        done = ReconciliationRun.objects.filter(state=State.DONE).order_by("-pk").values("pk")
        return queryset.filter(run__in=done[:1])


class ReasonFilter(admin.SimpleListFilter):
    """Bills by a reason of their difference."""

    title = "reason"
    parameter_name = "why"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer every reason there can be."""
        return [(why.value, why.value) for why in Why]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[ReconciliationRow]") -> "QuerySet[ReconciliationRow]":
        """Keep the chosen reason."""
        return queryset.filter(reasons__contains=f",{self.value()},") if self.value() else queryset


@admin.register(ReconciliationRow)
class ReconciliationRowAdmin(LedgerAdmin):
    """Every bill of every run, those without a reason on top."""

    list_display = (
        *("the_subject", "the_customer", "period", "in_m3ter", "in_ledger", "in_paddle", "was_collected"),
        *("was_refunded", "without_reason", "because", "the_run"),
    )
    list_filter = (RunFilter, "is_unknown", "is_new", ReasonFilter, "currency")
    list_select_related = ("run", "bill")
    search_fields = ("subject",)
    search_help_text = "A bill, push, account, account code or subscription id."
    ordering = ("-run", "-is_unknown", "-unknown", "id")
    nothing_yet = "Every bill that a reconciliation compared is listed here."
    fieldsets = (
        (
            "In the database",
            {
                "fields": (
                    ("the_run", "the_bill"),
                    ("the_m3ter_bill", "the_account"),
                    ("account_code", "customer"),
                    ("the_subscription", "currency"),
                    ("period_start", "period_end"),
                    ("is_unknown", "is_new"),
                    ("compared_exactly",),
                )
            },
        ),
    )
    readonly_fields = ("the_run", "the_bill", "the_m3ter_bill", "the_account", "the_subscription", "compared_exactly")

    compared_exactly = showing.moment("compared_at", description="Compared")

    @admin.display(description="Bill", ordering="subject")
    def the_subject(self, row: ReconciliationRow) -> str:
        """Name the bill, or the mark of a push that nobody made here."""
        return row.subject

    @admin.display(description="Customer", ordering="account_code")
    def the_customer(self, row: ReconciliationRow) -> str:
        """Name whose bill it is."""
        return row.customer or row.account_code or row.m3ter_account_id or "-"

    @admin.display(description="Period", ordering="period_end")
    def period(self, row: ReconciliationRow) -> str:
        """Show the period, the end not included."""
        return f"{row.period_start} to {row.period_end}" if row.period_end else "-"

    @admin.display(description="m3ter", ordering="m3ter")
    def in_m3ter(self, row: ReconciliationRow) -> SafeString:
        """Show what m3ter says."""
        return amount(row.m3ter, row.currency)

    @admin.display(description="Our ledger", ordering="ledger")
    def in_ledger(self, row: ReconciliationRow) -> SafeString:
        """Show what our ledger says is payable."""
        return amount(row.ledger, row.currency)

    @admin.display(description="Billed", ordering="billed")
    def in_paddle(self, row: ReconciliationRow) -> SafeString:
        """Show what Paddle billed before tax."""
        return amount(row.billed, row.currency, dash_zero=True)

    @admin.display(description="Collected", ordering="collected")
    def was_collected(self, row: ReconciliationRow) -> SafeString:
        """Show what Paddle collected before tax."""
        return amount(row.collected, row.currency, dash_zero=True)

    @admin.display(description="Refunded", ordering="refunded")
    def was_refunded(self, row: ReconciliationRow) -> SafeString:
        """Show what Paddle gave back before tax."""
        return amount(row.refunded, row.currency, dash_zero=True)

    @admin.display(description="Unknown", ordering="unknown")
    def without_reason(self, row: ReconciliationRow) -> SafeString:
        """Show how much has no reason."""
        if not row.is_unknown:
            return showing.NOTHING
        return amount(row.unknown, row.currency)

    @admin.display(description="Because")
    def because(self, row: ReconciliationRow) -> SafeString:
        """Name the reasons of the difference."""
        reasons = dict.fromkeys(str(part["why"]) for part in row.parts)
        labels = ((showing.label(why, "bad" if why == Why.UNKNOWN else "calm"),) for why in reasons)
        return format_html_join(" ", "{}", labels) or showing.NOTHING

    @admin.display(description="Run", ordering="run")
    def the_run(self, row: ReconciliationRow) -> SafeString:
        """Link to the run."""
        return showing.row_link(row.run)

    @admin.display(description="Bill here")
    def the_bill(self, row: ReconciliationRow) -> SafeString:
        """Link to the bill's page."""
        return showing.row_link(row.bill)

    @admin.display(description="Bill in m3ter")
    def the_m3ter_bill(self, row: ReconciliationRow) -> SafeString:
        """Show the bill's id, linked to m3ter's own page."""
        return showing.m3ter_id(row.m3ter_bill_id, "bill")

    @admin.display(description="Account in m3ter")
    def the_account(self, row: ReconciliationRow) -> SafeString:
        """Show the account's id, linked to m3ter's own page."""
        return showing.m3ter_id(row.m3ter_account_id, "account")

    @admin.display(description="Subscription")
    def the_subscription(self, row: ReconciliationRow) -> SafeString:
        """Show the subscription, linked to Paddle's own page."""
        return showing.paddle_id(row.paddle_subscription_id)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReconciliationRow]:
        """Read no more than a list shows."""
        return super().get_queryset(request).defer("said")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ReconciliationRow], search_term: str
    ) -> tuple[QuerySet[ReconciliationRow], bool]:
        """Find by exact id."""
        word = search_term.strip()
        if not word:
            return queryset, False
        whose = Q(m3ter_account_id=word) | Q(account_code=word) | Q(paddle_subscription_id=word)
        return queryset.filter(Q(subject=word) | whose), False

    def story(self, request: HttpRequest, row: ReconciliationRow) -> Story:
        """Say whether every difference has a reason."""
        if row.compared_at is None:
            return Story("calm", "It is listed, and not yet compared.")
        if row.is_unknown:
            return Story(
                "bad",
                "Something about this bill has no reason.",
                reconciliation.unknown_words(row),
                "Look at the bill here, and at its transactions in Paddle; put right what is wrong there.",
            )
        if row.difference or row.parts:
            return Story("good", "Every difference of this bill has a reason.")
        return Story("good", "m3ter, our ledger and Paddle say the same.")

    def links(self, request: HttpRequest, row: ReconciliationRow) -> Sequence[Link]:
        """Link to the bill, the run, and the same bill in the run that compared it before."""
        found = [Link("The run", showing.page_of(row.run))]
        if row.bill is not None:
            found.insert(0, Link("The bill", showing.page_of(row.bill), strong=True))
        before = reconciliation.row_before(row)
        if before is not None:
            found.append(Link("The same in the run before", showing.page_of(before)))
        return found

    def panels(self, request: HttpRequest, row: ReconciliationRow) -> Sequence[Panel | Text]:
        """Give the amounts on each side, and the parts of their difference."""
        sides = (
            ("m3ter's bill", row.m3ter),
            ("Payable in our ledger", row.ledger),
            ("Billed by Paddle, before tax and discounts", row.billed),
            ("Collected by Paddle, before tax", row.collected),
            ("Given back by Paddle, before tax", row.refunded),
            ("Difference: m3ter's bill less what Paddle kept", row.difference),
        )
        amounts = [(name, amount(minor, row.currency)) for name, minor in sides]
        parts = [(part["why"], amount(part["amount"], row.currency), part["words"] or "-") for part in row.parts]
        if parts:
            parts.append(("Together", amount(row.difference, row.currency), ""))
        transactions = [(showing.paddle_id(each),) for each in row.transactions]
        return (
            Panel("The amounts", ("", Right("Amount")), amounts, empty=""),
            Panel("Why they differ", ("Reason", Right("Amount"), "In words"), parts, empty="They do not differ."),
            Panel("Paddle's transactions", ("Transaction",), transactions, empty="None carries this bill."),
        )
