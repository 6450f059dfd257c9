"""The console's page of findings: what a person must look at, and who closed it, and why."""

from collections.abc import Sequence
from functools import partial
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils.safestring import SafeString

from billing_bridge import attention
from billing_bridge.models import Push, PushedBill
from integration_project import clock, fixes, showing
from integration_project.errors import NotPossible
from integration_project.ledger_admin import Decision, LedgerAdmin
from integration_project.models import Finding
from integration_project.showing import Link, Story, Tone
from paddle_sync import classic
from paddle_sync.models import AccountLink, PlanMapping, WebhookEvent

SEVERITY_TONES: dict[str, Tone] = {
    Finding.Severity.ALARM: "bad",
    Finding.Severity.PROBLEM: "wait",
    Finding.Severity.NOTICE: "calm",
}


def close(finding_id: int, *, by: str, reason: str) -> None:
    """Close an open finding; it opens again by itself if what it says is found again."""
    person = get_user_model().objects.filter(username=by).first()
    closed = Finding.objects.filter(pk=finding_id, state=Finding.State.OPEN).update(
        state=Finding.State.CLOSED, closed_at=clock.now(), closed_by=person, close_reason=reason
    )
    if not closed:
        raise NotPossible("It is closed already.")


def is_open(finding: Finding) -> bool:
    """Say whether anything is left to decide."""
    return finding.state == Finding.State.OPEN


def is_only_acknowledged(finding: Finding) -> bool:
    """Say whether nothing here puts it right, so that a person can only say that they know."""
    return is_open(finding) and bool(fixes.acknowledgement_of(finding.kind))


def how_it_was_closed(finding: Finding) -> str:
    """Say who closed it, when and why."""
    who = finding.closed_by.get_username() if finding.closed_by else "the application"
    when = showing.since(finding.closed_at) if finding.closed_at else ""
    return f"Closed by {who} {when}: {finding.close_reason or 'no reason given'}"


def one_line(finding: Finding) -> str:
    """Name a finding for a list of what a decision is about."""
    return f"{finding.kind}, {finding.subject}: {finding.detail}"


def fix_decision(fix: fixes.Fix) -> Decision:
    """Offer a fix for the findings whose kind it puts right."""
    return Decision(
        name=fix.name,
        label=fix.label,
        permission=fix.permission,
        effect=fix.effect,
        done=fix.done,
        decide=partial(fixes.apply, fix),
        offered=lambda finding: is_open(finding) and fix in fixes.fixes_of(finding.kind),
        bulk=True,
        strong=True,
        preview=one_line,
    )


@admin.register(Finding)
class FindingAdmin(LedgerAdmin):
    """What a person must look at."""

    list_display = ("kind", "the_subject", "severity_in_words", "state", "in_words", "since", "last_found", "closed_by")
    list_filter = ("state", "severity", "kind")
    list_select_related = ("closed_by",)
    search_fields = ("subject__exact", "kind__exact", "key__exact")
    search_help_text = "The id of a subscription, bill or push, or a kind of finding."
    ordering = ("-id",)
    nothing_yet = "Nothing was found that a person would have to look at."
    decisions = (
        *(fix_decision(fix) for fix in fixes.FIXES),
        Decision(
            name="close",
            label="Close",
            permission="integration_project.close_finding",
            effect="The finding counts as dealt with. If what it says is found again, a new one opens.",
            done="closed",
            decide=close,
            offered=lambda finding: is_open(finding) and not is_only_acknowledged(finding),
            bulk=True,
            preview=one_line,
        ),
        Decision(
            name="acknowledge",
            label="Acknowledge",
            permission="integration_project.close_finding",
            effect="The finding counts as known, and is closed; nothing else happens, here or at the vendors. If what"
            " it says is found again, a new one may open.",
            done="acknowledged",
            decide=close,
            offered=is_only_acknowledged,
            bulk=True,
            strong=True,
            preview=lambda finding: f"{one_line(finding)} {fixes.acknowledgement_of(finding.kind)}",
        ),
    )

    @admin.display(description="About", ordering="subject")
    def the_subject(self, finding: Finding) -> SafeString:
        """Show what it is about."""
        return showing.copyable(finding.subject)

    @admin.display(description="Severity", ordering="severity")
    def severity_in_words(self, finding: Finding) -> SafeString:
        """Show how bad it is."""
        short = str(finding.get_severity_display()).partition(":")[0]
        tone = SEVERITY_TONES.get(finding.severity, "calm") if finding.state == Finding.State.OPEN else "calm"
        return showing.label(short, tone)

    @admin.display(description="In words")
    def in_words(self, finding: Finding) -> SafeString:
        """Show the detail."""
        return showing.line(finding.detail)

    @admin.display(description="Since", ordering="opened_at")
    def since(self, finding: Finding) -> SafeString:
        """Show when it was first found."""
        return showing.ago(finding.opened_at)

    @admin.display(description="Last found", ordering="seen_at")
    def last_found(self, finding: Finding) -> SafeString:
        """Show when it was last found to hold."""
        return showing.ago(finding.seen_at)

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Give the views people come back to."""
        return (
            Link("Open", showing.list_of(Finding, urlencode({"state__exact": "open"}))),
            Link("Alarms", showing.list_of(Finding, urlencode({"state__exact": "open", "severity__exact": "alarm"}))),
        )

    def story(self, request: HttpRequest, row: Finding) -> Story:
        """Say what was found, or who closed it and why."""
        if row.state == Finding.State.OPEN:
            tone, known = SEVERITY_TONES.get(row.severity, "calm"), fixes.acknowledgement_of(row.kind)
            return Story(tone, row.detail, effect=known, next_step=row.next_step)
        return Story("calm", row.detail, how_it_was_closed(row))

    def last_decision(self, request: HttpRequest, row: Finding) -> str:
        """Say who closed it, which the application does too; as long as it is open, what a person did."""
        return super().last_decision(request, row) if is_open(row) else showing.sentence(how_it_was_closed(row))

    def links(self, request: HttpRequest, row: Finding) -> Sequence[Link]:
        """Link to the subscription, bill or push it is about."""
        found: list[Link] = []
        subject = row.subject
        if bill := PushedBill.objects.filter(m3ter_bill_id=subject).first():
            found.append(Link("The bill", showing.page_of(bill), strong=True))
        if row.kind in attention.KINDS and (filters := attention.bills_of(subject)):
            found.append(Link("These bills", showing.list_of(PushedBill, urlencode(filters)), strong=True))
        if push := Push.objects.filter(push_id=subject).select_related("bill").first():
            found.append(Link("The bill", showing.page_of(push.bill), strong=True))
        if link := AccountLink.objects.filter(paddle_subscription_id=subject).first():
            found.append(Link("The account", showing.page_of(link), strong=True))
        if fixes.fix_of(row.kind) is fixes.RUN_AGAIN:
            waiting = urlencode({"paddle_subscription_id": subject, "state__exact": WebhookEvent.State.PARKED})
            found.append(Link("Plan mappings", showing.list_of(PlanMapping, ""), strong=True))
            found.append(Link("Events that wait", showing.list_of(WebhookEvent, waiting)))
        if subject.startswith("sub_") or classic.is_classic(subject):
            query = urlencode({"paddle_subscription_id": subject})
            found.append(Link("Events of the subscription", showing.list_of(WebhookEvent, query)))
        return found
