"""The day's plan in the console: what goes out when, and first of all what will miss its renewal, and why."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing_bridge import outlook
from billing_bridge.admin import amounts, bill_story
from billing_bridge.admin.bill_decisions import POLICY
from billing_bridge.models import PushedBill, PushPolicy
from billing_bridge.outlook import Outlook
from billing_bridge.planning import CALLS, Collected, Hindrance, Planned
from integration_project import budgets, showing
from integration_project.ledger_admin import LedgerAdmin
from integration_project.showing import Link, Panel, Right, Story
from integration_project.vendors import PADDLE

Reason = PushedBill.Reason

ROWS = 50
LARGEST_PAGE_DIGITS = 6

HELPS: Mapping[Hindrance, tuple[str, ...]] = {
    Hindrance.HELD: ("approve",),
    Hindrance.FAILED: ("resend",),
    Hindrance.LOST: ("resend",),
    Hindrance.UNCONFIRMED: ("not_made", "made"),
    Hindrance.ENDING: ("send_now", "send_invoice"),
    Hindrance.TOO_FAR: ("send_now",),
    Hindrance.BUDGET: ("send_now",),
    Hindrance.LOCK: ("send_now",),
    Hindrance.LIMIT: ("send_with_renewal",),
}
"""Decisions that help where it is too late, or where a person must decide: the first that is offered is the button."""
HELD_FOR: Mapping[str, tuple[str, ...]] = {
    Reason.MAPPING: (),
    Reason.CURRENCY: (),
    Reason.MISMATCH: (),
    Reason.CONFIGURATION: (),
    Reason.MODE: (),
    Reason.RENEWAL_TOO_FAR: ("send_now",),
    Reason.CANCELLED: ("send_now", "send_invoice"),
    Reason.PAUSED: ("send_now", "send_invoice"),
    Reason.BELOW_MINIMUM: ("carry",),
    Reason.REFUND: ("refund", "carry"),
}
"""What a bill is held for that approving alone does not help; nothing: its page says what has to be put right."""


@dataclass(frozen=True)
class Part:
    """A table of the plan, and where it goes on."""

    panels: Sequence[Panel]
    earlier: str = ""
    later: str = ""


def context(request: HttpRequest, bills: LedgerAdmin) -> dict[str, Any]:
    """Gather what the page shows: a sentence, the misses, then the order."""
    found = outlook.read()
    missing, order = found.plan.missing, found.plan.going_out
    of_missing, of_order = _page(request, "missing", len(missing)), _page(request, "page", len(order))
    shown = [*_cut(missing, of_missing), *_cut(order, of_order)]
    rows = PushedBill.objects.select_related("link").in_bulk([each.bill.id for each in shown])
    _with_policies(list(rows.values()))
    return {
        "title": "The day's plan",
        "story": _story(found, missing, order),
        "links": (
            Link("Bills that wait for Finance", showing.list_of(PushedBill, urlencode({"state__exact": "held"}))),
            Link("All bills", showing.list_of(PushedBill)),
        ),
        "parts": (
            Part(
                (_missing(request, bills, _cut(missing, of_missing), rows, len(missing)),),
                *_around(request, "missing", of_missing, len(missing)),
            ),
            Part(
                (_order(_cut(order, of_order), rows, len(order), is_cut=found.is_cut),),
                *_around(request, "page", of_order, len(order)),
            ),
        ),
    }


def _with_policies(rows: Collection[PushedBill]) -> None:
    """Read the policies of all bills together: what helps a bill depends on its own."""
    whose = Q(link__isnull=True) | Q(link__in={row.link_id for row in rows})
    policies = {policy.link_id: policy for policy in PushPolicy.objects.filter(whose)}
    for row in rows:
        setattr(row, POLICY, policies.get(row.link_id) or policies.get(None) or PushPolicy())


def _story(found: Outlook, missing: Sequence[Planned], order: Sequence[Planned]) -> Story:
    end = found.given.now + found.given.horizon
    today = [each for each in order if each.sends_at is not None and each.sends_at <= end]
    cause = (
        f"{_bills(len(today))} {'goes' if len(today) == 1 else 'go'} out in the next 24 hours; "
        f"{len(missing) or 'none'} will miss {'its' if len(missing) == 1 else 'their'} renewal."
    )
    if found.given.stopped:
        return Story("bad", cause, found.given.stopped, "Put that right; charging then goes on by itself.")
    effect = _pace(found, today)
    if missing:
        return Story(
            "bad", cause, effect, "Begin at the top: that renewal comes first. What no button helps, its bill explains."
        )
    return Story("good" if today else "calm", cause, effect, "Nothing to do.")


def _pace(found: Outlook, today: Sequence[Planned]) -> str:
    calls, limit = found.given.calls_a_minute, budgets.limit_of(PADDLE).calls
    pace = (
        f"Pushing has {calls} of Paddle's {limit} calls a minute for certain, enough for {_bills(calls // CALLS)} a "
        "minute, and more while nothing else needs them."
    )
    last = today[-1].sends_at if today else None
    return f"{pace} The last of these goes out {showing.relative(last)}, or earlier." if last is not None else pace


def _bills(count: int) -> str:
    return f"{count} bill{'' if count == 1 else 's'}"


# --- Tables -----------------------------------------------------------------------------------------------------------


def _missing(
    request: HttpRequest,
    bills: LedgerAdmin,
    entries: Sequence[Planned],
    rows: Mapping[int, PushedBill],
    count: int,
) -> Panel:
    return Panel(
        f"Will miss their renewal: {count}" if count else "Will miss their renewal",
        ("Renews", "Bill", Right("Open"), "Why", "Goes out", "What helps"),
        [
            (
                showing.ago(entry.bill.renews_at),
                _bill(rows[entry.bill.id]),
                amounts.amount(rows[entry.bill.id].outstanding, rows[entry.bill.id].currency),
                entry.why,
                _goes_out(entry),
                _helps(request, bills, entry, rows[entry.bill.id]),
            )
            for entry in entries
            if entry.bill.id in rows
        ],
        empty="None: every bill that should go with a renewal of the next 24 hours goes out before it.",
        note="If nobody does anything. What waits for a person is counted when its renewal comes within 24 hours.",
    )


def _order(entries: Sequence[Planned], rows: Mapping[int, PushedBill], count: int, *, is_cut: bool) -> Panel:
    cut = f" Only the {outlook.MOST} bills in the greatest need are planned." if is_cut else ""
    return Panel(
        f"What goes out, and when: {count}" if count else "What goes out, and when",
        ("Goes out", "Bill", Right("Open"), "Renews", "Collected", "In words"),
        [
            (
                showing.at(entry.sends_at),
                _bill(rows[entry.bill.id]),
                amounts.amount(rows[entry.bill.id].outstanding, rows[entry.bill.id].currency),
                showing.ago(entry.bill.renews_at),
                showing.label(entry.collected.value, "bad" if entry.misses else "calm"),
                entry.why,
            )
            for entry in entries
            if entry.bill.id in rows
        ],
        empty="No bill is to be charged. Bills appear here once they are approved in m3ter and by Finance.",
        note=f"Whose subscription renews first goes first. The times are the latest.{cut}",
    )


def _bill(bill: PushedBill) -> SafeString:
    return showing.row_link(bill, f"{bill_story.customer(bill)}, {bill_story.period(bill)}")


def _goes_out(entry: Planned) -> SafeString:
    """Show when, and how it is collected then."""
    if entry.sends_at is None or entry.collected == Collected.NOT:
        return showing.label("not by itself", "bad")
    return showing.under(showing.at(entry.sends_at), entry.collected.value)


def _helps(request: HttpRequest, bills: LedgerAdmin, entry: Planned, row: PushedBill) -> SafeString:
    """Give the one button that fits, for somebody who may press it; else the bill's page says what to do."""
    names = HELPS.get(entry.hindrance, ()) if entry.hindrance is not None else ()
    if entry.hindrance == Hindrance.HELD:
        names = HELD_FOR.get(row.reason, names)
    offered = {each.name: each for each in bills.offered(request, row)}
    for name in names:
        if name in offered:
            url = bills.decision_url(offered[name], row)
            return format_html('<a class="c-button" href="{}">{}</a>', url, offered[name].label)
    return format_html('<a href="{}">What its page says</a>', showing.page_of(row))


# --- Pages ------------------------------------------------------------------------------------------------------------


def _page(request: HttpRequest, name: str, count: int) -> int:
    """Read which page of a table is asked for; the last there is, where it has become shorter."""
    text = request.GET.get(name, "")
    asked = int(text) if text.isascii() and text.isdigit() and len(text) <= LARGEST_PAGE_DIGITS else 0
    return min(asked, max(0, (count - 1) // ROWS))


def _cut(entries: Sequence[Planned], page: int) -> Sequence[Planned]:
    return entries[page * ROWS : (page + 1) * ROWS]


def _around(request: HttpRequest, name: str, page: int, count: int) -> tuple[str, str]:
    """Give the addresses of the pages before and after, the other table staying where it is."""
    return (
        _address(request, name, page - 1) if page else "",
        _address(request, name, page + 1) if (page + 1) * ROWS < count else "",
    )


def _address(request: HttpRequest, name: str, page: int) -> str:
    kept = {each: request.GET[each] for each in ("missing", "page") if each in request.GET}
    return f"?{urlencode({**kept, name: page})}"
