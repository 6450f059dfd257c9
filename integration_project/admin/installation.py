"""The console's page of the installation: what it belongs to, and the few decisions that hold for all of it."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from billing_bridge import recovery, review
from billing_bridge.models import PushedBill
from integration_project import installation, showing
from integration_project.errors import NotPossible
from integration_project.ledger_admin import DayInput, Decision, LedgerAdmin, ReasonForm
from integration_project.models import Installation
from integration_project.showing import Panel, Story, Text

MOST_LEAD_DAYS = 27


class GoLiveForm(ReasonForm):
    """The go-live date."""

    field_order = ("charge_from", "reason")
    charge_from = forms.DateField(
        label="Charge bills whose period ends after",
        required=False,
        widget=DayInput(),
        help_text="Year-month-day. Bills whose period ends on or before it are never charged. Empty: nothing is.",
    )


class LeadDaysForm(ReasonForm):
    """How early bill periods end."""

    field_order = ("lead_days", "reason")
    lead_days = forms.IntegerField(
        label="Days before the renewal on which a bill period ends",
        min_value=0,
        max_value=MOST_LEAD_DAYS,
        widget=forms.NumberInput(attrs={"class": "c-input"}),
        help_text="Long enough for the bill to be made, approved and reviewed before the renewal that carries it.",
    )


class SwitchForm(ReasonForm):
    """On or off."""

    field_order = ("on", "reason")
    on = forms.TypedChoiceField(
        label="From now on",
        choices=(("no", "Off"), ("yes", "On")),
        coerce=lambda answer: answer == "yes",
        widget=forms.Select(attrs={"class": "c-input"}),
    )


def go_live(installation_id: int, *, by: str, reason: str, charge_from: dt.date | None) -> None:
    """Set the go-live date; every bill whose fate hangs on it is judged again."""
    review.set_charge_from(charge_from, by=by, reason=reason)


def plan_periods(installation_id: int, *, by: str, reason: str, lead_days: int) -> None:
    """Set how early bill periods end."""
    Installation.objects.filter(pk=installation_id).update(lead_days=lead_days)


def switch(column: str) -> Callable[..., None]:
    """Make the function that turns one of the installation's switches."""

    def turn(installation_id: int, *, by: str, reason: str, on: bool) -> None:
        if not Installation.objects.filter(pk=installation_id).exclude(**{column: on}).update(**{column: on}):
            raise NotPossible(f"It is {'on' if on else 'off'} already.")

    return turn


def look_first(installation_id: int, *, by: str, reason: str, on: bool) -> None:
    """Confirm a restore, as the command does, also where an earlier one is still on; off only ends the looking."""
    if on:
        recovery.confirm_restore(reason=reason, by=by)
        return
    turned_on = Installation.objects.filter(pk=installation_id, look_before_first_push=True)
    if not turned_on.update(look_before_first_push=False):
        raise NotPossible("It is off already.")


@admin.register(Installation)
class InstallationAdmin(LedgerAdmin):
    """One row. What was pinned at the first start is never changed; the rest by decisions, each with its permission."""

    list_display = ("__str__", "charge_from", "lead_days", "customer_codes_trusted", "look_before_first_push", "pinned")
    fieldsets = (
        (
            "Decisions that hold for everything",
            {
                "fields": (
                    ("charge_from", "lead_days"),
                    ("customer_codes_trusted", "look_before_first_push"),
                )
            },
        ),
        (
            "Pinned at the first start",
            {
                "fields": (
                    ("paddle_environment", "paddle_api_url"),
                    ("m3ter_org_id", "m3ter_api_url"),
                    ("organization_timezone", "organization_read"),
                    ("native_integration", "native_checked"),
                    ("restore_confirmed", "pinned"),
                )
            },
        ),
    )
    readonly_fields = ("organization_read", "native_checked", "restore_confirmed", "pinned")
    nothing_yet = "Start the worker once: it pins the Paddle environment and the m3ter organisation."
    decisions = (
        Decision(
            name="go_live",
            label="Set the go-live date",
            permission="integration_project.go_live",
            effect="Approved bills whose period ends after this date are charged in Paddle, after review unless the "
            "push policy says otherwise. Bills that wait for a go-live date, or were skipped by it, are judged again.",
            done="given a go-live date",
            decide=go_live,
            form=GoLiveForm,
            initial=lambda row: {"charge_from": row.charge_from},
            strong=True,
        ),
        Decision(
            name="lead_days",
            label="Change when bill periods end",
            permission="integration_project.plan_periods",
            effect="New accounts, and accounts whose renewal date changes, get a first bill date this many days before "
            "the renewal. Accounts in m3ter that exist keep theirs.",
            done="changed",
            decide=plan_periods,
            form=LeadDaysForm,
            initial=lambda row: {"lead_days": row.lead_days},
        ),
        Decision(
            name="trust_codes",
            label="Trust account codes from custom data",
            permission="integration_project.trust_codes",
            effect="On: a code in Paddle's custom data decides which m3ter account a subscription gets. A buyer's "
            "browser can set it, so a buyer could name another's account. Off: the subscription's id is the code.",
            done="changed",
            decide=switch("customer_codes_trusted"),
            form=SwitchForm,
            initial=lambda row: {"on": "yes" if row.customer_codes_trusted else "no"},
        ),
        Decision(
            name="look_first",
            label="Look in Paddle before every first push",
            permission="integration_project.end_restore",
            effect="On: needed after a database was restored from a copy, because charges may exist that it does not "
            "know. Off only when every charge made since that copy is known here.",
            done="changed",
            decide=look_first,
            form=SwitchForm,
            initial=lambda row: {"on": "yes" if row.look_before_first_push else "no"},
        ),
    )

    pinned = showing.moment("pinned_at", description="Pinned")
    organization_read = showing.moment("organization_read_at", description="Organisation read")
    native_checked = showing.moment("native_integration_checked_at", description="Native integration looked up")
    restore_confirmed = showing.moment("restore_confirmed_at", description="Restore confirmed")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Go straight to the one row there is."""
        row = Installation.objects.first()
        if row is not None and self.has_view_permission(request) and request.method == "GET":
            return HttpResponseRedirect(showing.page_of(row))
        return super().changelist_view(request, extra_context)

    def story(self, request: HttpRequest, row: Installation) -> Story:
        """Say whether anything is charged, and what stands in the way."""
        wrong = installation.mismatches(row)
        if wrong:
            return Story("bad", " ".join(wrong), "Nothing is sent to Paddle.", "Correct the settings and restart.")
        if row.native_integration:
            cause = f"m3ter's own integration of bills to Paddle is on: {row.native_integration}"
            return Story(
                "bad", cause, "Nothing is charged from here: customers would pay twice.", "Turn it off in m3ter."
            )
        if row.charge_from is None:
            return Story("wait", "No go-live date is set.", "Nothing is charged.", "Finance sets the date.")
        return Story("good", f"Bills whose period ends after {row.charge_from} are charged.", f"{row}.")

    def panels(self, request: HttpRequest, row: Installation) -> Sequence[Panel | Text]:
        """Show how many bills hang on the go-live date."""
        reasons = (PushedBill.Reason.NOT_LIVE, PushedBill.Reason.BEFORE_GO_LIVE)
        counts = (
            PushedBill.objects.filter(reason__in=reasons)
            .order_by("reason")
            .values("reason")
            .annotate(count=Count("pk"))
        )
        table = [(PushedBill.Reason(each["reason"]).label, each["count"]) for each in counts]
        return (Panel("Bills that hang on the go-live date", ("Why", "Bills"), table, empty="No bill hangs on it."),)
