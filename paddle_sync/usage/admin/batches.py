"""The console's pages of the outbox: batches of accepted usage, and what people decide about those that wait."""

from collections.abc import Sequence
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from integration_project import showing
from integration_project.ledger_admin import Decision, LedgerAdmin
from integration_project.showing import Link, Panel, Story, Text, Tone
from paddle_sync.models import (
    AccountLink,
    LateForBill,
    LateInBatch,
    LateUsage,
    UsageBatch,
    UsageBody,
    UsageFailure,
    WebhookEvent,
)
from paddle_sync.usage import bodies, outbox

State = UsageBatch.State
TONES: dict[str, Tone] = {
    State.HELD: "wait",
    State.PAUSED: "wait",
    State.SENT: "good",
    State.FAILED: "bad",
    State.NEXT_BILL: "wait",
}
FIRST = 20
MOST_ROWS = 50
SEND = "paddle_sync.send_usage"


def one_line(batch: UsageBatch) -> str:
    """Name a batch for a list of what a decision is about."""
    return f"{batch}, {source(batch)}. {batch.note or batch.last_error}"


def source(batch: UsageBatch) -> str:
    """Say where a batch came from."""
    if batch.upload is not None:
        return f"file {batch.upload.name}"
    return f"client {batch.client}" if batch.client else "unknown"


@admin.register(UsageBatch)
class UsageBatchAdmin(LedgerAdmin):
    """Accepted usage on its way to m3ter."""

    list_display = ("number", "items", "came", "received", "state_in_words", "sent", "failed_later", "late", "in_words")
    list_filter = ("state", "urgency")
    list_select_related = ("upload",)
    search_fields = ("paddle_subscription_id__exact", "client__exact", "idempotency_key__exact")
    search_help_text = "A subscription that is waited for, a client, or an Idempotency-Key."
    ordering = ("-id",)
    nothing_yet = "Usage appears here as soon as a client or a file brings some that stands the checks."
    fieldsets = (
        (
            "In the database",
            {
                "fields": (
                    ("state", "items"),
                    ("received_exactly", "due_exactly"),
                    ("first_sent_exactly", "sent_exactly"),
                    ("sendings", "attempts"),
                    ("failed_later", "late"),
                    ("client", "api_key_prefix"),
                    ("idempotency_key", "size"),
                    ("paddle_subscription_id", "urgency"),
                    "last_error",
                    "note",
                )
            },
        ),
    )
    readonly_fields = ("received_exactly", "due_exactly", "first_sent_exactly", "sent_exactly")
    decisions = (
        Decision(
            name="send_again",
            label="Send again",
            permission=SEND,
            effect="The batch goes to m3ter again with the same uids. m3ter counts a uid once within 35 days; if an"
            " earlier request got through longer ago than that, it would be counted twice. Compare the usage in m3ter"
            " first where the note says so.",
            done="queued to be sent again",
            decide=outbox.send_again,
            offered=lambda batch: batch.state == State.FAILED,
            bulk=True,
            strong=True,
            preview=one_line,
        ),
        Decision(
            name="take_as_sent",
            label="Take as sent",
            permission=SEND,
            effect="You say that m3ter has what is in it, or that it is not needed. It is not sent any more, and its"
            " uids stay taken.",
            done="taken as sent",
            decide=outbox.take_as_sent,
            offered=lambda batch: batch.state == State.FAILED,
            bulk=True,
            preview=one_line,
        ),
        Decision(
            name="take_back",
            label="Take back",
            permission=SEND,
            effect="The usage is discarded: m3ter never gets it, though its sender was told that it was accepted. Its"
            " uids are free, so that it can be sent anew. Where a request with it got no answer, as the note says then,"
            " compare the usage in m3ter first: what m3ter has would be counted again.",
            done="taken back",
            decide=outbox.take_back,
            offered=lambda batch: batch.state in outbox.TAKEN_BACK_FROM,
            bulk=True,
            preview=one_line,
        ),
    )

    @admin.display(description="Batch", ordering="id")
    def number(self, batch: UsageBatch) -> int:
        """Show its number."""
        return batch.pk

    @admin.display(description="Came by")
    def came(self, batch: UsageBatch) -> str:
        """Show where it came from."""
        return source(batch)

    @admin.display(description="Received", ordering="received_at")
    def received(self, batch: UsageBatch) -> SafeString:
        """Show when it was accepted."""
        return showing.ago(batch.received_at)

    @admin.display(description="State", ordering="state")
    def state_in_words(self, batch: UsageBatch) -> SafeString:
        """Show the state."""
        return showing.label(batch.get_state_display(), TONES.get(batch.state, "calm"))

    @admin.display(description="Taken by m3ter", ordering="sent_at")
    def sent(self, batch: UsageBatch) -> SafeString:
        """Show when m3ter took it."""
        return showing.ago(batch.sent_at)

    @admin.display(description="In words")
    def in_words(self, batch: UsageBatch) -> SafeString:
        """Show what was said of it last."""
        return showing.line(batch.note or batch.last_error)

    received_exactly = showing.moment("received_at", description="Received")
    due_exactly = showing.moment("due_at", description="Work is due")
    first_sent_exactly = showing.moment("first_sent_at", description="First sent")
    sent_exactly = showing.moment("sent_at", description="Taken by m3ter")

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Give the views people come back to."""
        return (
            Link("Not taken: to be decided", filtered(state__exact="failed")),
            Link("Waits for an account", filtered(state__exact="held")),
            Link("Still to be sent", filtered(state__exact="ready")),
            Link("For the next bill", filtered(state__exact="next_bill")),
        )

    # --- One batch ----------------------------------------------------------------------------------------------------

    def under_way(self, row: UsageBatch) -> bool:
        """Say whether it is about to be sent."""
        return row.state == State.SENDING

    def story(self, request: HttpRequest, row: UsageBatch) -> Story:
        """Say where it stands, what that means and what to do."""
        many = f"{row.items} measurement{'' if row.items == 1 else 's'} from {source(row)}"
        told = row.note or row.last_error
        match row.state:
            case State.SENT:
                dropped = f"m3ter dropped {row.failed_later} of them afterwards." if row.failed_later else ""
                next_step = "Look at the failures below." if row.failed_later else "Nothing to do."
                return Story("wait" if row.failed_later else "good", f"m3ter has taken {many}.", dropped, next_step)
            case State.HELD:
                return Story(
                    "wait",
                    f"{many} wait until subscription {row.paddle_subscription_id} has an account in m3ter.",
                    "Nothing was sent. It goes by itself as soon as the account is there.",
                    "See what the subscription's events wait for. If it is never to be measured, take this back.",
                )
            case State.FAILED:
                return Story("bad", f"{many} were not taken. {told}", next_step="Send it again, or take it as sent.")
            case State.NEXT_BILL:
                return Story(
                    "wait",
                    f"{many} lie in periods whose bills are locked.",
                    "They are not sent to m3ter. What they cost goes on the next bill, once somebody says how much.",
                    "Price them below.",
                )
            case State.STAGED:
                return Story("calm", f"{many} are checked.", "They are sent once somebody decides about the file.")
            case State.PAUSED:
                return Story("wait", f"{many} wait, because their file is paused.", next_step="Continue the file.")
            case State.TAKEN_BACK:
                return Story("calm", f"{many} were taken back. {told}", "Nothing of it was sent.")
        when = f" They are sent {showing.relative(row.due_at)}." if row.due_at else ""
        return Story("wait" if row.last_error else "calm", f"{many} are to be sent.{when}", row.last_error)

    def links(self, request: HttpRequest, row: UsageBatch) -> Sequence[Link]:
        """Link to what it waits for, and to where it came from."""
        found = []
        if row.state == State.HELD:
            events = WebhookEvent.objects.filter(paddle_subscription_id=row.paddle_subscription_id)
            parked = events.filter(state=WebhookEvent.State.PARKED).order_by("-pk").first()
            query = urlencode({"paddle_subscription_id": row.paddle_subscription_id})
            waited_for = showing.page_of(parked) if parked else showing.list_of(WebhookEvent, query)
            label = "The event it waits for" if parked else "The events of its subscription"
            found.append(Link(label, waited_for, strong=True))
        if row.upload is not None and (address := showing.page_of(row.upload)):
            found.append(Link("Its file", address))
        return found

    def panels(self, request: HttpRequest, row: UsageBatch) -> Sequence[Panel | Text]:
        """Show the first measurements, what m3ter dropped, the bills it came too late for, and what is to be priced."""
        return (measurements(row), *_failures(row), *_late(row), *_next_bill(row))


def filtered(**filters: str) -> str:
    """Find the list of batches, filtered."""
    return showing.list_of(UsageBatch, urlencode(filters))


def measurements(batch: UsageBatch) -> Panel:
    """Show the first lines of a batch, as m3ter gets them or as they came."""
    body = UsageBody.objects.filter(batch=batch).first()
    lines = [] if body is None else bodies.unpack(body.measurements, body.keys, body.rows)[:FIRST]
    beyond = f"The first {FIRST} of {batch.items}." if batch.items > FIRST else ""
    return Panel(
        "Measurements",
        ("Row" if batch.upload_id else "Index", "As it is sent" if batch.state != State.HELD else "As it came"),
        [(line.row, line.text.decode()) for line in lines],
        empty="What was in it is not kept any more.",
        note=beyond,
    )


def _failures(batch: UsageBatch) -> Sequence[Panel]:
    rows = batch.failures.order_by("-id")[:MOST_ROWS]
    shown = [
        (each.row, showing.row_link(each, each.kind), each.meter, each.get_state_display(), each.detail)
        for each in rows
    ]
    panel = Panel(
        "What did not come to count",
        ("Row", "Kind", "Meter", "State", "In words"),
        shown,
        empty="",
        more=Link("All failures", showing.list_of(UsageFailure)) if len(shown) == MOST_ROWS else None,
    )
    return (panel,) if shown else ()


def _late(batch: UsageBatch) -> Sequence[Panel]:
    if not batch.late:
        return ()
    parts = {row.m3ter_bill_id: row.items for row in LateInBatch.objects.filter(batch=batch)[:MOST_ROWS]}
    bills = LateForBill.objects.filter(m3ter_bill_id__in=parts).order_by("pk")
    links = dict(
        AccountLink.objects.filter(m3ter_account_id__in=[bill.m3ter_account_id for bill in bills]).values_list(
            "m3ter_account_id", "name"
        )
    )
    return (
        Panel(
            "Later than their approved bills",
            ("Bill", "Customer", "Measurements", "State"),
            [
                (
                    showing.row_link(bill, bill.m3ter_bill_id),
                    links.get(bill.m3ter_account_id) or bill.m3ter_account_code,
                    parts[bill.m3ter_bill_id],
                    bill.get_state_display(),
                )
                for bill in bills
            ],
            empty="Which bills these were is not kept any more.",
            note="m3ter counts them, but an approved bill takes them in only when it is calculated again.",
        ),
    )


def _next_bill(batch: UsageBatch) -> Sequence[Panel]:
    rows = list(LateUsage.objects.filter(batch_id=batch.pk).order_by("pk")[:MOST_ROWS]) if _is_for_next(batch) else []
    panel = Panel(
        "For the next bill",
        ("Account", "Meter", "Measurements", "Sums", "State"),
        [
            (
                showing.row_link(row, row.m3ter_account_code),
                row.meter,
                row.items,
                ", ".join(f"{name} {total}" for name, total in row.sums.items()),
                row.get_state_display(),
            )
            for row in rows
        ],
        empty="",
    )
    return (panel,) if rows else ()


def _is_for_next(batch: UsageBatch) -> bool:
    return State.NEXT_BILL in (batch.state, batch.then)
