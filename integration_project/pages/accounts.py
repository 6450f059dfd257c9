"""The console's page of an account link: the customer's whole story, over both flows, on one time line."""

import datetime as dt
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from billing_bridge import leaving
from billing_bridge.admin import amounts, bill_story
from billing_bridge.models import PushedBill, PushPolicy
from integration_project import clock, showing
from integration_project.errors import NotPossible
from integration_project.ledger_admin import Decision, LedgerAdmin, ReasonForm
from integration_project.models import Finding
from integration_project.pages import account_story, account_then, account_usage, happenings, timeline
from integration_project.reasoned_admin import ReasonedAdmin
from integration_project.showing import Link, Panel, Right, Story, Text
from paddle_sync import intake, own_events
from paddle_sync.models import AccountLink, AccountPlanLink, CatalogueEntry, PlanMapping, WebhookEvent

MOST_ROWS = 50
BILLS_SHOWN = 12
HERE = "#timeline"


def sync(link_id: int, *, by: str, reason: str) -> None:
    """Have the subscription and its account looked at anew; one that waits already does just that."""
    link = AccountLink.objects.get(pk=link_id)
    waiting = WebhookEvent.objects.filter(
        paddle_subscription_id=link.paddle_subscription_id,
        event_type=own_events.SYNC,
        state=WebhookEvent.State.RECEIVED,
        attempts=0,
    )
    if waiting.exists():
        raise NotPossible("A sync that was asked for before waits for the worker already; it does the same.")
    intake.ask_to_sync(link.paddle_subscription_id, by=by, reason=reason, source=link.source)


class RelinkForm(ReasonForm):
    """Which account the subscription is to have."""

    field_order = ("account", "reason")
    account = forms.CharField(
        label="Code or id of the m3ter account",
        max_length=80,
        widget=forms.TextInput(attrs={"class": "c-input"}),
        help_text="The account has to exist in m3ter already; a worker looks.",
    )


def relink(link_id: int, *, by: str, reason: str, account: str) -> None:
    """Have the subscription linked to another account; what can be refused without asking m3ter is refused at once."""
    link = AccountLink.objects.get(pk=link_id)
    if account in (link.m3ter_account_id, link.m3ter_account_code):
        raise NotPossible("It is linked to that account already.")
    is_other = Q(m3ter_account_id=account) | Q(m3ter_account_code=account)
    other = AccountLink.objects.filter(is_other, state=AccountLink.State.LIVE).first()
    if other is not None:
        raise NotPossible(f"That account belongs to the subscription {other.paddle_subscription_id}.")
    if why := leaving.why_not(link):
        raise NotPossible(why)
    under_way = WebhookEvent.objects.filter(
        paddle_subscription_id=link.paddle_subscription_id,
        event_type=own_events.RELINK,
        state__in=(WebhookEvent.State.RECEIVED, WebhookEvent.State.PROCESSING),
    )
    if under_way.exists():
        raise NotPossible("It is being linked to another account already. See first what comes of that.")
    intake.ask_to_relink(link.paddle_subscription_id, account, by=by, reason=reason, source=link.source)


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
    change_form_template = "admin/account_change_form.html"
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
                    ("scheduled_action", "scheduled_exactly"),
                    ("charged_exactly", "source"),
                    ("external_mapping_id", "adopted"),
                    ("left_account_id", "account_since_exactly"),
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
        "scheduled_exactly",
        "charged_exactly",
        "since_exactly",
        "updated_exactly",
        "account_since_exactly",
    )
    decisions = (
        Decision(
            name="sync",
            label="Sync now",
            permission="paddle_sync.sync_accountlink",
            effect="The subscription is read from Paddle and the account's plans from m3ter, and what the account "
            "should have is worked out anew. What is right already is left alone. The page shows what came of it.",
            done="queued to be looked at anew",
            decide=sync,
            bulk=True,
        ),
        Decision(
            name="relink",
            label="Link to another m3ter account",
            permission="paddle_sync.relink_accountlink",
            effect="From the moment a worker does it, the subscription is measured on the account you name: its plans "
            "on this account end, and begin on that one, never in the past. Measurements must carry the other code "
            "from then on. What was used here until then is still billed by this account, and such a bill waits for a "
            "person, since no subscription is linked to it any more. Refused while a charge is open or a bill is not "
            "settled, and where the other account belongs to another subscription or is billed in another currency; "
            "the event says so then.",
            done="queued to be linked to that account",
            decide=relink,
            offered=lambda link: link.state == AccountLink.State.LIVE,
            form=RelinkForm,
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
    scheduled_exactly = showing.moment("scheduled_at", description="Scheduled for")
    charged_exactly = showing.moment("charged_until", description="Charged until")
    since_exactly = showing.moment("created_at", description="Linked")
    account_since_exactly = showing.moment("account_since", description="On this account since")
    updated_exactly = showing.moment("updated_at", description="Changed")

    # --- What the page says -------------------------------------------------------------------------------------------

    def around(self, request: HttpRequest, row: AccountLink) -> dict[str, Any]:
        """Add the time line, what it was on a day, and the bills."""
        return {**super().around(request, row), **_time_line(request, row), "lower_panels": self._lower(row)}

    def _lower(self, row: AccountLink) -> Sequence[Panel]:
        return (*account_usage.panels(row), _bills(row))

    def story(self, request: HttpRequest, row: AccountLink) -> Story:
        """Say how it stands, what that means, and what comes next."""
        return account_story.story(row, self._stands(request, row))

    def links(self, request: HttpRequest, row: AccountLink) -> Sequence[Link]:
        """Link to what waits for a person, to who took over, to the policy, and to everything the subscription said."""
        stands = self._stands(request, row)
        found = [
            Link(label, showing.list_of(WebhookEvent, urlencode(filters)), strong=True)
            for label, filters in account_story.context_links(row, stands)
        ]
        if stands.taken_over_by is not None:
            found.append(Link("The subscription that took over", showing.page_of(stands.taken_over_by), strong=True))
        found.extend(_policy_link(request, row))
        query = urlencode({"paddle_subscription_id": row.paddle_subscription_id})
        return (*found, Link("All events", showing.list_of(WebhookEvent, query)))

    def panels(self, request: HttpRequest, row: AccountLink) -> Sequence[Panel | Text]:
        """Show open findings, and the plans with what they come from."""
        return (*_findings(row), _plans(request, row))

    def _stands(self, request: HttpRequest, row: AccountLink) -> account_story.Around:
        """Look once a request, for the story and the links."""
        stands: account_story.Around | None = getattr(request, "stands_around", None)
        if stands is None:
            stands = account_story.around(row)
            request.stands_around = stands  # type: ignore[attr-defined]
        return stands


# --- Time line --------------------------------------------------------------------------------------------------------


def _time_line(request: HttpRequest, link: AccountLink) -> dict[str, Any]:
    """Read what the address asks for, and give the template what it shows of the time line."""
    kind = request.GET.get("kind", "")
    kind = kind if kind in happenings.KINDS else ""
    asked = request.GET.get("on", "").strip()
    on = account_then.moment_of(asked) if asked else None
    page = timeline.page(
        link,
        kind=kind,
        older_than=timeline.Place.read(request.GET.get("before", "")),
        newer_than=timeline.Place.read(request.GET.get("after", "")),
        on=on,
    )
    kept = {name: value for name, value in (("kind", kind), ("on", asked if on else "")) if value}
    return {
        "timeline": page,
        "mark": _mark(page, on),
        "tabs": _tabs(link, kind, kept),
        "kind": kind,
        "asked": asked,
        "not_a_day": bool(asked) and on is None,
        "then_panels": [account_then.panel(account_then.then(link, on))] if on else [],
        "newer_url": _address({**kept, "after": str(page.newer)}) if page.newer else "",
        "older_url": _address({**kept, "before": str(page.older)}) if page.older else "",
        "newest_url": _address({"kind": kind} if kind else {})
        if request.GET.keys() & {"before", "after", "on"}
        else "",
    }


def _mark(page: timeline.Page, on: dt.datetime | None) -> dict[str, Any] | None:
    """Say where the day that was asked for stands; without one, where now stands if something is still to come."""
    if page.mark is None or (on is None and not page.mark):
        return None
    words = (
        f"Here is {showing.exactly(on)}: above, what came after." if on else "Now. Above it stands what is dated later."
    )
    return {"above": page.mark, "words": words}


def _tabs(link: AccountLink, kind: str, kept: dict[str, str]) -> list[dict[str, Any]]:
    counts = timeline.counts(link)
    without = {name: value for name, value in kept.items() if name != "kind"}
    everything = {"label": "Everything", "count": "", "url": _address(without), "chosen": not kind}
    tabs = [
        {"label": words, "count": counts[name], "url": _address({**without, "kind": name}), "chosen": name == kind}
        for name, words in happenings.KINDS.items()
    ]
    return [everything, *tabs]


def _address(parameters: dict[str, str]) -> str:
    return f"?{urlencode(parameters)}{HERE}"


def _policy_link(request: HttpRequest, link: AccountLink) -> list[Link]:
    """Lead whoever may decide it to this account's override, or to the form that begins one."""
    override = PushPolicy.objects.filter(link=link).first()
    if override is not None:
        may = request.user.has_perm("billing_bridge.change_pushpolicy")
        return [Link("Change its push policy override", showing.page_of(override))] if may else []
    if not request.user.has_perm("billing_bridge.add_pushpolicy"):
        return []
    form = reverse("admin:billing_bridge_pushpolicy_add")
    return [Link("Override push policy", f"{form}?{urlencode({'link': link.pk})}")]


# --- Panels -----------------------------------------------------------------------------------------------------------


def _plans(request: HttpRequest, link: AccountLink) -> Panel:
    plans = list(link.plans.order_by("-starts_at", "-pk")[:MOST_ROWS])
    because = _because(plans)
    may = request.user.has_perm("paddle_sync.add_planmapping")
    return Panel(
        "Plans in m3ter",
        ("Plan", "Because of", "Runs", "Quantity", "Code"),
        [
            (
                _which(plan),
                _reasons(plan, because[plan.pk], may=may),
                format_html("from {}<br>to {}", showing.at(plan.starts_at), showing.at(plan.ends_at)),
                plan.quantity,
                showing.copyable(plan.code),
            )
            for plan in plans
        ],
        empty="No plan is attached: none of its prices is metered.",
        note="Plans follow from the items in Paddle and the mappings of their prices, so nobody ends one here: it "
        "would begin again. To end one, take the item off the subscription in Paddle; or map its price otherwise, or "
        "as not metered, from a date on, and move this subscription to that mapping.",
    )


def _which(plan: AccountPlanLink) -> SafeString:
    """Name the plan or group, and its product."""
    vendor_id = (
        showing.m3ter_id(plan.m3ter_plan_id, "plan")
        if plan.m3ter_plan_id
        else showing.m3ter_id(plan.m3ter_plan_group_id, "plan_group")
    )
    product = showing.m3ter_id(plan.m3ter_product_id, "product")
    kind = "plan" if plan.m3ter_plan_id else "plan group"
    parts = ((kind, vendor_id), ("product", product))
    return format_html_join(SafeString("<br>"), '<span class="c-count">{}</span> {}', parts)


def _because(plans: Sequence[AccountPlanLink]) -> dict[int, list[PlanMapping]]:
    """Find the mappings that lead from the prices of these plans, or their products, to these plans."""
    prices = {price for plan in plans for price in plan.paddle_price_ids}
    in_catalogue = CatalogueEntry.objects.filter(kind=CatalogueEntry.Kind.PADDLE_PRICE, vendor_id__in=prices)
    products = dict(in_catalogue.exclude(parent_id="").values_list("vendor_id", "parent_id"))
    by_either = Q(paddle_price_id__in=prices) | Q(paddle_product_id__in=set(products.values()))
    mappings = list(PlanMapping.objects.filter(by_either).order_by("-effective_from", "pk"))
    return {plan.pk: [each for each in mappings if _leads_to(each, plan, products)] for plan in plans}


def _leads_to(mapping: PlanMapping, plan: AccountPlanLink, products: dict[str, str]) -> bool:
    target = (mapping.m3ter_plan_id, mapping.m3ter_plan_group_id)
    from_here = {*plan.paddle_price_ids, *(products.get(price, "") for price in plan.paddle_price_ids)} - {""}
    return target == (plan.m3ter_plan_id, plan.m3ter_plan_group_id) and (
        mapping.paddle_price_id in from_here or mapping.paddle_product_id in from_here
    )


def _reasons(plan: AccountPlanLink, mappings: Sequence[PlanMapping], *, may: bool) -> SafeString:
    """Name the prices, the mappings that led to the plan, and where a running one can be mapped otherwise."""
    lines: list[SafeString] = [showing.paddle_id(price) for price in plan.paddle_price_ids]
    for mapping in mappings:
        kind = "price" if mapping.paddle_price_id else "product"
        lines.append(showing.row_link(mapping, f"its {kind}'s mapping from {mapping.effective_from}"))
    if not mappings:
        lines.append(SafeString("no mapping leads to it any more"))
    is_running = plan.ends_at is None or plan.ends_at > clock.now()
    if may and is_running and plan.paddle_price_ids:
        form, price = reverse("admin:paddle_sync_planmapping_add"), str(plan.paddle_price_ids[0])
        query = urlencode({"paddle_price_id": price})
        lines.append(format_html('<a href="{}?{}">Map it otherwise</a>', form, query))
    return format_html_join(SafeString("<br>"), "{}", ((line,) for line in lines))


def _bills(link: AccountLink) -> Panel:
    bills: Any = link.bills.select_related("link").order_by("-period_end", "-id")[:BILLS_SHOWN]
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
        more=Link("All its bills", showing.list_of(PushedBill, urlencode({"q": link.m3ter_account_id}))),
    )


def _findings(link: AccountLink) -> Sequence[Panel]:
    found = happenings.findings(link).filter(state=Finding.State.OPEN).order_by("-opened_at")[:20]
    rows = [
        (showing.at(each.opened_at), showing.row_link(each, each.kind), each.detail, each.next_step or "-")
        for each in found
    ]
    return (Panel("Open findings", ("Since", "Finding", "In words", "What to do"), rows, empty=""),) if rows else ()
