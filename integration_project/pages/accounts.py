"""The console's page of an account link: the customer's whole story, over both flows."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from billing_bridge.admin import amounts, bill_story
from integration_project import showing
from integration_project.errors import NotPossible
from integration_project.ledger_admin import Decision, LedgerAdmin, ReasonedAdmin
from integration_project.models import Finding
from integration_project.showing import Link, Panel, Right, Story, Text
from paddle_sync import intake
from paddle_sync.admin.events import TONES as EVENT_TONES
from paddle_sync.models import AccountLink, SubscriptionSnapshot, WebhookEvent

MOST_ROWS = 50


def sync(link_id: int, *, by: str, reason: str) -> None:
    """Run the newest event of the subscription again, which works out anew what its account should have."""
    subscription_id = AccountLink.objects.values_list("paddle_subscription_id", flat=True).get(pk=link_id)
    events = WebhookEvent.objects.filter(
        paddle_subscription_id=subscription_id,
        source=WebhookEvent.Source.PADDLE,
        event_type__startswith="subscription.",
        state__in=intake.REPLAYABLE,
    )
    newest = events.order_by("-occurred_at", "-event_id").first()
    if newest is None:
        raise NotPossible("No event of this subscription can be run again now; one may be under way.")
    intake.replay(newest.pk, by=by, reason=reason)


@admin.register(AccountLink)
class AccountLinkAdmin(ReasonedAdmin):
    """One Paddle subscription and the one m3ter account that measures it; nobody edits it by hand."""

    list_display = (
        "customer",
        "the_subscription",
        "the_account",
        "state_in_words",
        "paddle_status",
        "currency",
        "renews",
        "since",
    )
    list_filter = ("state", "paddle_status", "currency", "adopted")
    search_fields = (
        "paddle_subscription_id__exact",
        "paddle_customer_id__exact",
        "m3ter_account_id__exact",
        "m3ter_account_code__exact",
        "name",
    )
    search_help_text = "A subscription, customer or account id, an account code, or a part of the name."
    ordering = ("-id",)
    nothing_yet = "A link appears when the first subscription, whose prices are all mapped, has become a m3ter account."
    fieldsets = (
        (
            "In the database",
            {
                "fields": (
                    ("the_subscription", "the_customer"),
                    ("the_account", "m3ter_account_code"),
                    ("name", "currency"),
                    ("state", "paddle_status"),
                    ("renews_exactly", "bill_epoch"),
                    ("external_mapping_id", "adopted"),
                    ("since_exactly", "updated_exactly"),
                )
            },
        ),
    )
    readonly_fields = (
        "the_subscription",
        "the_customer",
        "the_account",
        "renews_exactly",
        "since_exactly",
        "updated_exactly",
    )
    decisions = (
        Decision(
            name="sync",
            label="Sync now",
            permission="paddle_sync.sync_accountlink",
            effect="The newest event of the subscription runs again: the subscription is read from Paddle, and what "
            "its account should have in m3ter is worked out anew. What is right already is left alone.",
            done="queued to be worked out again",
            decide=sync,
            bulk=True,
        ),
    )
    has_add_permission = LedgerAdmin.has_add_permission
    has_change_permission = LedgerAdmin.has_change_permission

    @admin.display(description="Customer", ordering="name")
    def customer(self, link: AccountLink) -> str:
        """Name the account."""
        return link.name or link.m3ter_account_code

    @admin.display(description="Paddle subscription")
    def the_subscription(self, link: AccountLink) -> SafeString:
        """Show the subscription, linked to Paddle's own page."""
        return showing.paddle_id(link.paddle_subscription_id)

    @admin.display(description="Paddle customer")
    def the_customer(self, link: AccountLink) -> SafeString:
        """Show the customer, linked to Paddle's own page."""
        return showing.paddle_id(link.paddle_customer_id)

    @admin.display(description="m3ter account")
    def the_account(self, link: AccountLink) -> SafeString:
        """Show the account, linked to m3ter's own page."""
        return showing.m3ter_id(link.m3ter_account_id, "account")

    @admin.display(description="Link", ordering="state")
    def state_in_words(self, link: AccountLink) -> SafeString:
        """Show whether the link is live."""
        return showing.label(link.get_state_display(), "good" if link.state == AccountLink.State.LIVE else "calm")

    @admin.display(description="Renews", ordering="next_billed_at")
    def renews(self, link: AccountLink) -> SafeString:
        """Show when the subscription renews."""
        return showing.ago(link.next_billed_at)

    @admin.display(description="Since", ordering="created_at")
    def since(self, link: AccountLink) -> SafeString:
        """Show when it was linked."""
        return showing.ago(link.created_at)

    renews_exactly = showing.moment("next_billed_at", description="Renews")
    since_exactly = showing.moment("created_at", description="Linked")
    updated_exactly = showing.moment("updated_at", description="Changed")

    def story(self, request: HttpRequest, row: AccountLink) -> Story:
        """Say what is joined to what, and what comes next."""
        who = row.name or row.m3ter_account_code
        if row.state == AccountLink.State.ENDED:
            return Story(
                "calm", f"{who}: the subscription no longer measures into this account.", "No bill goes this way."
            )
        renews = (
            f"It renews {showing.relative(row.next_billed_at)}." if row.next_billed_at else "It has no next renewal."
        )
        status = row.paddle_status or "not known"
        return Story(
            "good", f"{who} is measured in m3ter under {row.m3ter_account_code}.", f"In Paddle: {status}. {renews}"
        )

    def links(self, request: HttpRequest, row: AccountLink) -> Sequence[Link]:
        """Link to everything the subscription said."""
        query = urlencode({"paddle_subscription_id": row.paddle_subscription_id})
        return (Link("All events", showing.list_of(WebhookEvent, query)),)

    def panels(self, request: HttpRequest, row: AccountLink) -> Sequence[Panel | Text]:
        """Show plans, bills, events, findings and snapshots."""
        return (*_findings(row), _plans(row), _bills(row), _events(row), _snapshots(row))


def _plans(link: AccountLink) -> Panel:
    return Panel(
        "Plans in m3ter",
        ("Code", "Plan or group", "Product", "From", "To", "Quantity", "Prices"),
        [
            (
                showing.copyable(plan.code),
                showing.m3ter_id(plan.m3ter_plan_id, "plan")
                if plan.m3ter_plan_id
                else showing.m3ter_id(plan.m3ter_plan_group_id, "plan_group"),
                showing.m3ter_id(plan.m3ter_product_id, "product"),
                showing.at(plan.starts_at),
                showing.at(plan.ends_at),
                plan.quantity,
                ", ".join(plan.paddle_price_ids) or "-",
            )
            for plan in link.plans.order_by("-starts_at")
        ],
        empty="No plan is attached: none of its prices is metered.",
    )


def _bills(link: AccountLink) -> Panel:
    bills: Any = link.bills.select_related("link").order_by("-period_end", "-id")[:MOST_ROWS]
    return Panel(
        "Bills",
        ("Period", Right("Bill total"), Right("Pushed"), Right("Difference"), "State", "Payment"),
        [
            (
                showing.row_link(bill, bill_story.period(bill)),
                amounts.amount(bill.payable, bill.currency),
                amounts.amount(bill.pushed, bill.currency, dash_zero=True),
                amounts.amount(bill.outstanding, bill.currency, dash_zero=True),
                showing.label(bill.get_state_display(), bill_story.TONES.get(bill.state, "calm")),
                bill.get_payment_display(),
            )
            for bill in bills
        ],
        empty="m3ter has not approved a bill of this account yet.",
    )


def _events(link: AccountLink) -> Panel:
    events = WebhookEvent.objects.filter(paddle_subscription_id=link.paddle_subscription_id)
    return Panel(
        "Events",
        ("Happened", "Event", "State", "In words"),
        [
            (
                showing.at(event.occurred_at),
                showing.row_link(event, event.event_type),
                showing.label(event.get_state_display(), EVENT_TONES.get(event.state, "calm")),
                showing.line(event.last_error or event.note),
            )
            for event in events.order_by("-occurred_at", "-event_id")[:MOST_ROWS]
        ],
        empty="No event of this subscription is stored: it was imported.",
    )


def _snapshots(link: AccountLink) -> Panel:
    snapshots = SubscriptionSnapshot.objects.filter(paddle_subscription_id=link.paddle_subscription_id)
    return Panel(
        "What the subscription was, by its snapshots",
        ("At", "From", "Status", "Items", "Next renewal"),
        [
            (
                showing.at(snapshot.occurred_at),
                snapshot.event_type,
                snapshot.data.get("status") or "-",
                _items(snapshot.data),
                snapshot.data.get("next_billed_at") or "-",
            )
            for snapshot in snapshots.order_by("-occurred_at", "-event_id")[:MOST_ROWS]
        ],
        empty="No snapshot is stored.",
        note="Snapshots hold no personal data; what plans the account should have is worked out from them.",
    )


def _items(data: Any) -> str:
    items = data.get("items", ()) if isinstance(data, dict) else ()
    return ", ".join(f"{item.get('quantity', 1)} x {(item.get('price') or {}).get('id', '?')}" for item in items) or "-"


def _findings(link: AccountLink) -> Sequence[Panel]:
    subjects = [link.paddle_subscription_id, link.m3ter_account_id, link.m3ter_account_code]
    found = Finding.objects.filter(subject__in=subjects, state=Finding.State.OPEN).order_by("-opened_at")[:20]
    if not found:
        return ()
    rows = [(showing.at(each.opened_at), showing.row_link(each), each.detail) for each in found]
    return (Panel("Open findings", ("Since", "Finding", "In words"), rows, empty=""),)
