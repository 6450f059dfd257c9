"""The console's pages of usage that was accepted and did not come to count."""

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
from paddle_sync.models import AccountLink, CatalogueEntry, UsageFailure
from paddle_sync.usage import failures

State, Whose = UsageFailure.State, UsageFailure.Whose
TONES: dict[str, Tone] = {State.NEW: "calm", State.OPEN: "bad", State.HARMLESS: "good", State.CLOSED: "calm"}


def close(failure_id: int, *, by: str, reason: str) -> None:
    """Close a failure, and the finding of its group where it was the last."""
    failures.close(failure_id, by=by, reason=reason)
    failures.tell()


def one_line(failure: UsageFailure) -> str:
    """Name a failure for a list of what a decision is about."""
    about = " of ".join(filter(None, (failure.meter, failure.m3ter_account_code)))
    return f"{failure.kind}: {about or 'unknown'}. {failure.detail}"


@admin.register(UsageFailure)
class UsageFailureAdmin(LedgerAdmin):
    """Measurements that m3ter dropped later, refused, or that fitted no plan when they could be sent."""

    list_display = ("happened", "kind", "meter", "m3ter_account_code", "state_in_words", "whose", "came", "in_words")
    list_filter = ("state", "kind", "whose", "is_dropped")
    list_select_related = ("batch", "upload")
    search_fields = ("m3ter_account_code__exact", "meter__exact", "m3ter_event_id__exact")
    search_help_text = "An account code, the code of a meter, or the id of m3ter's event."
    ordering = ("-id",)
    nothing_yet = "m3ter has dropped nothing that was sent from here. It is asked every minute."
    fieldsets = (
        (
            "In the database",
            {
                "fields": (
                    ("happened_exactly", "kind"),
                    ("state", "whose"),
                    ("m3ter_account_code", "meter"),
                    ("is_dropped", "row"),
                    ("uid", "m3ter_event_id"),
                    ("client", "api_key_prefix"),
                    ("file", "tries"),
                    ("closed_by", "closed_exactly"),
                    "close_reason",
                )
            },
        ),
    )
    readonly_fields = ("happened_exactly", "closed_exactly", "uid")
    decisions = (
        Decision(
            name="close",
            label="Close",
            permission="paddle_sync.close_usagefailure",
            effect="The failure counts as dealt with. Nothing is sent by that: what is to be counted is sent again by"
            " whoever sent it. The finding of its kind closes when none of them is open any more.",
            done="closed",
            decide=close,
            offered=lambda failure: failure.state == State.OPEN,
            bulk=True,
            preview=one_line,
        ),
    )

    @admin.display(description="Told", ordering="occurred_at")
    def happened(self, failure: UsageFailure) -> SafeString:
        """Show when it was told."""
        return showing.ago(failure.occurred_at)

    @admin.display(description="State", ordering="state")
    def state_in_words(self, failure: UsageFailure) -> SafeString:
        """Show the state."""
        return showing.label(failure.get_state_display(), TONES.get(failure.state, "calm"))

    @admin.display(description="Came by")
    def came(self, failure: UsageFailure) -> SafeString | str:
        """Show the file or the client it came from."""
        if failure.upload is not None:
            return f"{failure.upload.name}, row {failure.row}"
        return failure.client or showing.NOTHING

    @admin.display(description="In words")
    def in_words(self, failure: UsageFailure) -> SafeString:
        """Show what is wrong."""
        return showing.line(failure.detail)

    @admin.display(description="uid in m3ter")
    def uid(self, failure: UsageFailure) -> SafeString:
        """Show the uid as it was sent."""
        return showing.copyable(failure.uid_key.hex) if failure.uid_key else showing.NOTHING

    happened_exactly = showing.moment("occurred_at", description="Told")
    closed_exactly = showing.moment("closed_at", description="Closed")

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Give the views people come back to."""
        return (
            Link("To be looked at", filtered(state__exact="open")),
            Link("Counted already", filtered(state__exact="harmless", kind="DuplicateUid")),
            Link("Of another copy of the database", filtered(whose__exact=Whose.ELSEWHERE)),
        )

    def story(self, request: HttpRequest, row: UsageFailure) -> Story:
        """Say what is wrong, what that means and what to do."""
        said = failures.said_of(row.kind)
        if row.state == State.NEW:
            return Story(
                "calm",
                f"m3ter tells of a failure: {row.kind}.",
                "Which measurement it is about is still to be read from m3ter.",
                "Nothing to do: it goes on by itself.",
            )
        if row.state == State.CLOSED:
            return Story("calm", f"Closed by {row.closed_by}: {row.close_reason}", row.detail)
        if row.state == State.HARMLESS:
            return Story("good", row.detail or said.means, next_step="Nothing to do.")
        effect = "It is not counted." if row.is_dropped else "It is counted, without what m3ter could not work out."
        return Story("bad", row.detail or said.means, effect, said.next_step)

    def links(self, request: HttpRequest, row: UsageFailure) -> Sequence[Link]:
        """Link to what it came from, to whose usage it is, and to what is measured."""
        found = []
        if row.upload is not None and (address := showing.page_of(row.upload)):
            found.append(Link(f"The file {row.upload.name}", address))
        if row.batch is not None:
            found.append(Link("The batch it was sent in", showing.page_of(row.batch)))
        link = AccountLink.objects.filter(m3ter_account_code=row.m3ter_account_code).order_by("-pk").first()
        if link is not None and row.m3ter_account_code:
            found.append(Link("The whole story of its account", showing.page_of(link)))
        meter = CatalogueEntry.objects.filter(kind=CatalogueEntry.Kind.M3TER_METER, code=row.meter).first()
        if meter is not None and row.meter:
            found.append(Link("Its meter, as m3ter lists it", showing.page_of(meter)))
        elif row.kind == "UndefinedMeter" and request.user.has_perm("paddle_sync.refresh_catalogueentry"):
            found.append(Link("Read the catalogue again", reverse("admin:paddle_sync_catalogueentry_refresh")))
        if row.state == State.OPEN:
            alike: dict[str, Any] = {"state__exact": "open", "kind": row.kind}
            found.append(Link("All open ones of this kind", filtered(**alike)))
        return found

    def panels(self, request: HttpRequest, row: UsageFailure) -> Sequence[Panel | Text]:
        """Show the measurement, and where it came from."""
        parts: list[Panel | Text] = []
        if row.measurement is not None:
            parts.append(Text("The measurement, as it was sent", showing.readable_json(row.measurement)))
        if row.uid_key is not None:
            parts.append(others(row))
        return parts


def filtered(**filters: str) -> str:
    """Find the list of failures, filtered."""
    return showing.list_of(UsageFailure, urlencode(filters))


def others(row: UsageFailure) -> Panel:
    """Show what else was told of the same uid."""
    rows = UsageFailure.objects.filter(uid_key=row.uid_key).exclude(pk=row.pk).order_by("-id")[:20]
    return Panel(
        "What else was told of this uid",
        ("Told", "Kind", "State", "In words"),
        [
            (showing.at(each.occurred_at), showing.row_link(each, each.kind), each.get_state_display(), each.detail)
            for each in rows
        ],
        empty="Nothing else.",
    )
