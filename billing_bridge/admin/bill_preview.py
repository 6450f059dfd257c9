"""The page that says what would become of a bill if it were charged now: our items, and Paddle's sum beside them."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString

from billing_bridge import money
from billing_bridge.admin import amounts, bill_story
from billing_bridge.drafting import Intent
from billing_bridge.models import PushedBill, PushPolicy
from billing_bridge.modes import WouldBe
from billing_bridge.previewing import APPROVE, RESEND, Preview
from integration_project import clock, showing
from integration_project.errors import BudgetSpent, VendorClosed
from integration_project.ledger_admin import LedgerAdmin
from integration_project.showing import Panel, Right, Story
from integration_project.vendors.paddle.entities import PreviewLine

State = PushedBill.State
PERMISSION = "billing_bridge.review_pushedbill"
"""Whoever decides about bills. An Auditor does not: a preview spends calls that charging needs, and a refusal of it
closes Paddle to everybody; what would be asked, though not Paddle's answer, stands on the bill's own page."""
NOTHING_CHANGED = "Nothing was changed by this preview."
ONCE = {APPROVE: "Once it is approved, ", RESEND: "Once it is sent again, "}
THEN = {
    APPROVE: "Approve it to have that done, or hold or skip it with a reason.",
    RESEND: "Resend it to have that done, or skip it with a reason.",
}
Sums = tuple[int, int, int, int]
"""Subtotal, discount, tax, total."""
TAXED = {
    frozenset({PushPolicy.TaxMode.INTERNAL.value}): "tax included",
    frozenset(PushPolicy.TaxMode.values): "tax included in some items",
}
"""How an amount stands to its tax, by the tax modes of its items; any other: before tax."""


def context(request: HttpRequest, bills: LedgerAdmin, found: Preview) -> dict[str, Any]:
    """Gather what the page shows."""
    bill = found.bill
    offered = {each.name: each for each in bills.offered(request, bill)}
    buttons = [(offered[found.first], True)] if found.first in offered else []
    return {
        "title": f"Preview: {bill_story.one_line(bill)}",
        "story": _story(found),
        "buttons": [
            {"label": each.label, "strong": strong, "url": bills.decision_url(each, bill)} for each, strong in buttons
        ],
        "notes": found.notes,
        "panels": _panels(found),
        "back": bills.page_after(bill),
    }


# --- In words ---------------------------------------------------------------------------------------------------------


def _story(found: Preview) -> Story:
    if found.is_charged and found.intent is not None:
        return _charged(found, found.intent)
    if found.carried:
        cause = f"{_once(found)}nothing would be charged: {found.carried}"
        return Story("wait", cause, _now_held(found), f"{THEN.get(found.first, '')} {NOTHING_CHANGED}".strip())
    if found.unsettled:
        words = "It would be looked for, and becomes pushed where it is found."
        return Story("bad", found.unsettled, words, NOTHING_CHANGED)
    return _not_charged(found)


def _charged(found: Preview, intent: Intent) -> Story:
    """Say what is charged and how, what Paddle makes of it, and who has to do what for that."""
    order, currency = intent.order, intent.order.currency
    renews_at = found.seen.renews_at if found.seen is not None else order.bill.renews_at
    asked = money.words(intent.request.amount, currency)
    cause = f"{_once(found)}{asked} would be {intent.mode.in_words(order, renews_at)}."
    told = [_now_held(found), intent.mode.untold]
    if found.seen is not None and found.seen.would_be is not None:
        told.append(_told(found.seen.would_be, currency, order.composed.tax_modes))
    then = THEN.get(found.first) or _goes_on(found.bill)
    return Story("good", cause, " ".join(words for words in told if words), f"{then} {NOTHING_CHANGED}")


def _once(found: Preview) -> str:
    return ONCE.get(found.first, "")


def _now_held(found: Preview) -> str:
    if not found.first:
        return ""
    return f"Now it is {State(found.bill.state).label.partition(':')[0].lower()}: {_sentence(found.first_why)}"


def _sentence(words: str) -> str:
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _told(would_be: WouldBe, currency: str, tax_modes: frozenset[str]) -> str:
    """Say what Paddle makes of our amount, and of all that is collected with it."""
    _, discount, tax, total = _sums(would_be.ours)
    off = f"takes {money.words(discount, currency)} of discount off and " if discount else ""
    if len(tax_modes) > 1:
        taxed = f"counts {money.words(tax, currency)} as tax, some of it on top"
    elif tax_modes == {PushPolicy.TaxMode.INTERNAL}:
        taxed = f"counts {money.words(tax, currency)} of it as tax"
    else:
        taxed = f"adds {money.words(tax, currency) if tax else 'no'} tax"
    words = f"Paddle {off}{taxed}: the customer pays {money.words(total, currency)} for it."
    if would_be.others:
        whole, others = would_be.totals.total, _sums(would_be.others)[3]
        words = (
            f"{words} With what else is on the renewal, {money.words(others, currency)}, that comes to "
            f"{money.words(whole, currency)}."
        )
    if would_be.totals.credit:
        words = f"{words} {money.words(would_be.totals.credit, currency)} of that is paid by credit in Paddle."
    return words


def _goes_on(bill: PushedBill) -> str:
    when = f", {showing.relative(bill.due_at)}" if bill.due_at is not None else ""
    return f"Nothing to do: a worker charges it by itself{when}. Hold it to stop that."


def _not_charged(found: Preview) -> Story:
    verdict = found.verdict
    if verdict is None:
        raise ValueError("a preview that neither charges nor says why not")
    if found.error is not None and verdict.state == State.READY:
        return _no_answer(found)
    nothing_open = verdict.state == State.PUSHED and not found.bill.in_paddle
    detail = "Nothing of it is open any more." if nothing_open else _sentence(verdict.detail)
    held = _now_held(found) if found.first_why not in verdict.detail else ""
    again = f" and be tried again {showing.relative(verdict.due_at)}" if verdict.due_at is not None else ""
    match verdict.state:
        case State.WAITING:
            effect = f"{_once(found)}nothing would be charged: it would wait{again}, by itself."
            return Story("wait", detail, f"{held} {_capital(effect)}".strip(), NOTHING_CHANGED)
        case State.HELD:
            effect = f"{_once(found)}nothing would be charged: it would be held until a person decides."
            hint = bill_story.HELD_NEXT.get(verdict.reason, "")
            return Story("wait", detail, f"{held} {_capital(effect)}".strip(), f"{hint} {NOTHING_CHANGED}".strip())
        case State.SKIPPED | State.PUSHED:
            effect = f"{_once(found)}nothing would be charged."
            return Story("calm", detail, f"{held} {_capital(effect)}".strip(), NOTHING_CHANGED)
        case _:
            effect = f"{_once(found)}it would fail, and nothing would be charged."
            return Story("bad", detail, f"{held} {_capital(effect)}".strip(), NOTHING_CHANGED)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _no_answer(found: Preview) -> Story:
    """Say why nobody could tell what would happen; the bill is not the reason, so a push would be tried again."""
    detail = _sentence(found.verdict.detail if found.verdict is not None else str(found.error))
    by_itself = "A charge meets the same now: it is not made, and is tried again by itself."
    match found.error:
        case BudgetSpent():
            cause = "The vendor was not asked: the calls that it allows us are in use at this moment."
            return Story("wait", cause, detail, f"Press Preview again in a moment. {NOTHING_CHANGED}")
        case VendorClosed():
            cause = "The vendor was not asked, because nothing may be charged at this moment."
            return Story("bad", cause, f"{detail} {by_itself}", f"Put that right first. {NOTHING_CHANGED}")
        case _:
            cause = "The vendor gave no answer that says what would happen."
            return Story("bad", cause, f"{detail} {by_itself}", f"Press Preview again. {NOTHING_CHANGED}")


# --- In tables --------------------------------------------------------------------------------------------------------


def _panels(found: Preview) -> list[Panel]:
    bill, intent = found.bill, found.intent
    panels = [amounts.m3ter_lines(bill.revision)] if bill.revision is not None else []
    if intent is None:
        return panels
    panels.append(_asked(intent))
    if found.seen is not None and found.seen.would_be is not None:
        would_be = found.seen.would_be
        panels += [_totals(intent, would_be), _lines(intent, would_be)]
    return panels


def _asked(intent: Intent) -> Panel:
    """Show the items as they would be sent."""
    order, currency = intent.order, intent.order.currency
    rows: list[Sequence[Any]] = [amounts.item_row(item, currency) for item in intent.request.items]
    rows.append(("Total", "", "", "", amounts.amount(intent.request.amount, currency)))
    taxed = TAXED.get(order.composed.tax_modes, "before tax")
    note = f"{intent.mode.label}, on {order.subscription_id}, as push {intent.push.push_id}; {taxed}, quantity 1 each."
    if carried := sum(entry.remaining for entry in order.owed.carried):
        note = f"{note} {money.words(carried, currency)} of it comes from the carried balance."
    if order.composed.joined:
        note = f"{note} {order.composed.joined}"
    return Panel("What Paddle would be asked to charge", amounts.ITEM_COLUMNS, rows, empty="", note=note)


def _totals(intent: Intent, would_be: WouldBe) -> Panel:
    """Show Paddle's own sum: what is ours, what else is collected with it, and all of it."""
    currency, totals = intent.order.currency, would_be.totals
    rows = [("This bill", *_money(_sums(would_be.ours), currency))]
    if would_be.others:
        rows.append(("What else is on the renewal", *_money(_sums(would_be.others), currency)))
    whole = (totals.subtotal, totals.discount, totals.tax, totals.total)
    rows.append(("All of the transaction", *_money(whole, currency)))
    note = f"Read from Paddle at {showing.exactly(clock.now())}. Tax and discount are Paddle's."
    if totals.credit:
        left = totals.grand_total if totals.grand_total is not None else totals.total - totals.credit
        credit, rest = money.words(totals.credit, currency), money.words(left, currency)
        note = f"{note} {credit} is paid by credit in Paddle, so {rest} is collected."
    columns = ("Part", Right("Subtotal"), Right("Discount"), Right("Tax"), Right("Total"))
    return Panel("What Paddle says it comes to", columns, rows, empty="", note=note)


def _lines(intent: Intent, would_be: WouldBe) -> Panel:
    currency = intent.order.currency
    of = [*((line, "this bill") for line in would_be.ours), *((line, _whose(line)) for line in would_be.others)]
    rows = [(_product(line), whose, line.quantity, *_money(_sums((line,)), currency)) for line, whose in of]
    columns = ("Product", "Of", "Quantity", Right("Subtotal"), Right("Discount"), Right("Tax"), Right("Total"))
    note = "As Paddle lists them; it shows the names of products there, not those of items."
    return Panel("Line by line", columns, rows, empty="It shows no lines.", note=note)


def _product(line: PreviewLine) -> str:
    return line.product.name if line.product is not None else "-"


def _whose(line: PreviewLine) -> str:
    """Say where a line comes from that is not of this push."""
    mark = line.product.custom_data.get("push_id") if line.product is not None else None
    if isinstance(mark, str):
        return f"push {mark}"
    return line.price_id or "-"


def _sums(lines: Sequence[PreviewLine]) -> Sums:
    totals = [line.totals for line in lines]
    return (
        sum(each.subtotal for each in totals),
        sum(each.discount for each in totals),
        sum(each.tax for each in totals),
        sum(each.total for each in totals),
    )


def _money(sums: Sums, currency: str) -> tuple[SafeString, ...]:
    return tuple(amounts.amount(each, currency) for each in sums)
