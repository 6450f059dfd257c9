"""The console's pages of approved bills in whose period usage came in later."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString

from integration_project import showing
from integration_project.ledger_admin import Decision, LedgerAdmin
from integration_project.showing import Link, Panel, Story, Text, Tone
from paddle_sync.models import AccountLink, LateForBill, LateInBatch, SettledPeriod
from paddle_sync.usage import late

State = LateForBill.State
TONES: dict[str, Tone] = {State.OPEN: "wait", State.ASKED: "calm", State.DONE: "good", State.LEFT: "calm"}
MOST_ROWS = 50


def one_line(row: LateForBill) -> str:
    """Name a bill for a list of what a decision is about, with how much came late."""
    return f"Bill {row.m3ter_bill_id} of {row.m3ter_account_code}: {counts(row)}."


def counts(row: LateForBill) -> str:
    """Say how much came late."""
    return str(late.counts([row.m3ter_bill_id]).get(row.m3ter_bill_id, "nothing of it is left"))


@admin.register(LateForBill)
class LateForBillAdmin(LedgerAdmin):
    """Approved bills that m3ter would calculate otherwise by now."""

    list_display = ("m3ter_bill_id", "m3ter_account_code", "state_in_words", "last", "asked_by", "done", "in_words")
    list_display_links = ("m3ter_bill_id",)
    list_filter = ("state",)
    search_fields = ("m3ter_bill_id__exact", "m3ter_account_code__exact", "m3ter_account_id__exact")
    search_help_text = "The id of a bill or an account, or an account code."
    ordering = ("-id",)
    nothing_yet = "No usage has come in later than its bill was approved."
    fieldsets = (
        (
            "In the database",
            {
                "fields": (
                    ("the_bill", "the_account"),
                    ("m3ter_account_code", "state"),
                    ("last_exactly", "asked_exactly"),
                    ("asked_by", "reason"),
                    ("done_exactly", "due_exactly"),
                    ("attempts", "last_error"),
                )
            },
        ),
    )
    readonly_fields = ("the_bill", "the_account", "last_exactly", "asked_exactly", "done_exactly", "due_exactly")
    decisions = (
        Decision(
            name="recalculate",
            label="Have m3ter calculate the bill again",
            permission="paddle_sync.recalculate_lateforbill",
            effect="A worker asks m3ter to calculate the bill again, once all that came late is there. The bill is"
            " PENDING then and has to be approved again in m3ter; the difference is charged, or held for you, by the"
            " push policy.",
            done="queued to be calculated again",
            decide=late.ask_to_recalculate,
            offered=lambda row: row.state != State.ASKED,
            bulk=True,
            strong=True,
            preview=one_line,
        ),
        Decision(
            name="leave",
            label="Leave the bill as it is",
            permission="paddle_sync.recalculate_lateforbill",
            effect="The bill stays as it was approved. m3ter has the usage, and nothing charges it. If more comes in"
            " late, this is asked again.",
            done="left as it is",
            decide=late.leave,
            offered=lambda row: row.state == State.OPEN,
            bulk=True,
            preview=one_line,
        ),
    )

    @admin.display(description="State", ordering="state")
    def state_in_words(self, row: LateForBill) -> SafeString:
        """Show the state."""
        return showing.label(row.get_state_display(), TONES.get(row.state, "calm"))

    @admin.display(description="Last came in", ordering="last_at")
    def last(self, row: LateForBill) -> SafeString:
        """Show when usage was last accepted."""
        return showing.ago(row.last_at)

    @admin.display(description="m3ter was asked", ordering="done_at")
    def done(self, row: LateForBill) -> SafeString:
        """Show when m3ter was asked."""
        return showing.ago(row.done_at if row.state == State.DONE else None)

    @admin.display(description="In words")
    def in_words(self, row: LateForBill) -> SafeString:
        """Show what was said of it last."""
        return showing.line(row.last_error or row.reason)

    @admin.display(description="Bill in m3ter")
    def the_bill(self, row: LateForBill) -> SafeString:
        """Show the bill's id, linked to m3ter's own page."""
        return showing.m3ter_id(row.m3ter_bill_id, "bill")

    @admin.display(description="Account in m3ter")
    def the_account(self, row: LateForBill) -> SafeString:
        """Show the account's id, linked to m3ter's own page."""
        return showing.m3ter_id(row.m3ter_account_id, "account")

    last_exactly = showing.moment("last_at", description="Last came in")
    asked_exactly = showing.moment("asked_at", description="Decided")
    done_exactly = showing.moment("done_at", description="m3ter was asked")
    due_exactly = showing.moment("due_at", description="Work is due")

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Give the views people come back to."""
        return (
            Link("To be decided", filtered(state__exact="open")),
            Link("To be calculated again", filtered(state__exact="asked")),
        )

    def story(self, request: HttpRequest, row: LateForBill) -> Story:
        """Say what came late, what that means and what to do."""
        cause = f"Usage came in after the bill was approved: {counts(row)}."
        period = SettledPeriod.objects.filter(m3ter_bill_id=row.m3ter_bill_id).first()
        match row.state:
            case State.ASKED:
                why = f"Not yet: {row.last_error}." if row.last_error else "A worker asks m3ter to calculate it again."
                return Story("calm", cause, why, "Nothing to do: it goes on by itself.")
            case State.DONE if period is None:
                words = f"m3ter was asked to calculate it again, for {row.asked_by}: {row.reason}"
                return Story("wait", cause, words, "Approve the bill again in m3ter; it is then read anew.")
            case State.DONE:
                return Story("good", cause, f"It was calculated again, for {row.asked_by}, and approved: {row.reason}")
            case State.LEFT:
                return Story("calm", cause, f"{row.asked_by} left the bill as it is: {row.reason}")
        effect = "m3ter counts it, but the bill stays as it is until m3ter calculates it again."
        if row.last_error:
            effect = f"It could not be calculated again: {row.last_error} {effect}"
        if period is not None and period.state == SettledPeriod.State.LOCKED:
            return Story("bad", cause, f"The bill is locked by now. {effect}", "Leave it, or have it charged by hand.")
        return Story("wait", cause, effect, "Have m3ter calculate it again, or leave the bill as it is.")

    def links(self, request: HttpRequest, row: LateForBill) -> Sequence[Link]:
        """Link to the bill, and to the account's story."""
        bills = reverse("admin:billing_bridge_pushedbill_changelist")
        found = [Link("The bill", f"{bills}?{urlencode({'q': row.m3ter_bill_id})}")]
        link = AccountLink.objects.filter(m3ter_account_id=row.m3ter_account_id).order_by("-pk").first()
        if link is not None:
            found.append(Link("The whole story of this account", showing.page_of(link)))
        return found

    def panels(self, request: HttpRequest, row: LateForBill) -> Sequence[Panel | Text]:
        """Show the batches that came late."""
        parts = LateInBatch.objects.filter(m3ter_bill_id=row.m3ter_bill_id).select_related("batch", "batch__upload")
        return (
            Panel(
                "What came late",
                ("Batch", "Came by", "Received", "Measurements", "State"),
                [
                    (
                        showing.row_link(part.batch, str(part.batch.pk)),
                        part.batch.upload.name if part.batch.upload else part.batch.client or "-",
                        showing.at(part.batch.received_at),
                        part.items,
                        part.batch.get_state_display(),
                    )
                    for part in parts.order_by("-batch_id")[:MOST_ROWS]
                ],
                empty="Its batches are not kept any more, or were discarded with their file.",
            ),
        )


def filtered(**filters: Any) -> str:
    """Find the list of such bills, filtered."""
    return showing.list_of(LateForBill, urlencode(filters))
