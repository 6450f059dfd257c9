"""How the console shows money: the currency's own decimals, aligned to the right, exact."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing_bridge import carrying, composing, drafting, modes, money
from billing_bridge.composing import Marks, Owed
from billing_bridge.models import BillRevision, Push, PushedBill, PushPolicy
from billing_bridge.modes import Mode
from billing_bridge.netting import Netting, net
from integration_project import showing
from integration_project.showing import Panel, Right
from integration_project.vendors.paddle_classic.entities import LONGEST_DESCRIPTION

ITEM_COLUMNS = ("Item", "Text", "Product", "Tax", Right("Amount"))
"""What is shown of everything that is sent."""


def amount(minor: int | None, currency: str, *, dash_zero: bool = False) -> SafeString:
    """Show an amount of smallest units."""
    if minor is None or (dash_zero and not minor):
        return SafeString('<span class="c-money">-</span>')
    css = "c-money c-minus" if minor < 0 else "c-money"
    return format_html('<span class="{}">{}</span>', css, money.words(minor, currency))


def exact(text: str, currency: str) -> SafeString:
    """Show an amount as m3ter sent it, with every decimal."""
    try:
        number = f"{Decimal(text):f}"
    except (InvalidOperation, TypeError):
        number = str(text)
    return format_html('<span class="c-money">{} {}</span>', number, currency)


def left_and_right(bill: PushedBill, policy: PushPolicy) -> list[Panel]:
    """Show m3ter's lines, and what Paddle is or would be asked to charge for them."""
    revision = bill.revision
    if revision is None:
        return []
    return [m3ter_lines(revision), _paddle_items(bill, revision, policy)]


def m3ter_lines(revision: BillRevision) -> Panel:
    """Show what m3ter left: every line exactly, and as it is rounded."""
    shares = _shares(revision)
    rows = [
        (
            composing.names_of(line)["line"],
            line.get("accounting_product") or line.get("product") or "-",
            f"{line.get('from', '')} to {line.get('to', '')}" if line.get("from") else "-",
            " ".join(part for part in (str(line.get("units") or ""), str(line.get("unit") or "")) if part) or "-",
            exact(line.get("amount", ""), revision.currency),
            amount(shares[index], revision.currency) if shares else "-",
        )
        for index, line in enumerate(revision.lines)
    ]
    total = amount(revision.payable, revision.currency)
    rows.append(("Total", "", "", "", exact(revision.total, revision.currency), total))
    return Panel(
        f"m3ter's bill, revision {revision.number}",
        ("Line", "Product", "From, to (exclusive)", "Units", Right("Exact"), Right("Rounded")),
        rows,
        empty="The bill has no lines.",
        note=_rounding(revision),
    )


def _rounding(revision: BillRevision) -> str:
    try:
        remainder = Decimal(revision.remainder)
    except InvalidOperation:
        return ""
    if not remainder:
        return "The total needs no rounding."
    return (
        f"The total is rounded half up to the currency's decimals: {remainder:f} {revision.currency} is left over, "
        "recorded here and never carried. Lines are rounded so that they add up to the rounded total."
    )


def _shares(revision: BillRevision) -> list[int]:
    try:
        return money.allocate(composing.exact_lines(revision), revision.payable, revision.currency)
    except ValueError:
        return []


def _paddle_items(bill: PushedBill, revision: BillRevision, policy: PushPolicy) -> Panel:
    push = bill.pushes.filter(revision=revision).order_by("-ordinal").first()
    if push is None or not push.items or push.state in STILL_TO_BE_MADE:
        return _would_be(bill, revision, policy)
    rows = [item_row(item, push.currency) for item in push.items if isinstance(item, dict)]
    rows.append(("Total", "", "", "", amount(push.amount, push.currency)))
    title = "What Paddle was asked to charge" if push.sent_at else "What Paddle will be asked to charge"
    note = f"Push {push.push_id}, {showing.in_a_sentence(push.get_state_display())}.{_became(revision, push)}"
    return Panel(title, ITEM_COLUMNS, rows, empty="", note=note)


STILL_TO_BE_MADE = (Push.State.INTENDED, Push.State.FAILED)
"""The next attempt asks what policy and balance say then, not what the last one asked."""


def _became(revision: BillRevision, push: Push) -> str:
    """Say how many of m3ter's lines are in how many items; of what is given back, nothing is told by lines."""
    if push.kind == Push.Kind.REFUND:
        return ""
    lines, items = len(revision.lines), len(push.items)
    carried = ", what was carried among them" if push.carried else ""
    return f" {lines} line{'' if lines == 1 else 's'} of m3ter in {items} item{'' if items == 1 else 's'}{carried}."


def _would_be(bill: PushedBill, revision: BillRevision, policy: PushPolicy) -> Panel:
    columns = ITEM_COLUMNS
    title = "What Paddle would be asked to charge"
    untouched = not bill.is_settled_in_part
    amount_open = bill.outstanding or (revision.payable if untouched else 0)
    entries = carrying.free_entries(bill.m3ter_account_id, bill.currency)
    mode = modes.for_bill(bill, bill.link, policy)
    if mode.gives_back and amount_open < 0:
        return Panel(
            title, columns, (), empty=f"{money.words(-amount_open, bill.currency)} is given back: {mode.label}."
        )
    netting = net(amount_open, carrying.as_parts(entries), minimum=mode.minimum(bill.currency))
    if not netting.charge:
        return Panel(title, columns, (), empty=_instead(netting, bill.currency))
    taken = {part.entry_id for part in netting.taken}
    owed = Owed(revision, amount_open, tuple(entry for entry in entries if entry.pk in taken))
    marks = composing.Marks(push_id=drafting.coming_push_id(bill, mode), bill_id=bill.m3ter_bill_id, attempt=1)
    if not mode.has_items:
        return _one_amount(title, owed, marks, policy, mode)
    try:
        composed = composing.compose(owed, marks=marks, policy=policy, rules=composing.rules_by_product())
    except ValueError as impossible:
        return Panel(title, columns, (), empty=f"Nothing: it cannot be charged as it is ({impossible}).")
    rows = [item_row(item.to_paddle(), revision.currency) for item in composed.items]
    rows.append(("Total", "", "", "", amount(composed.total, revision.currency)))
    how = showing.in_a_sentence(mode.label)
    note = (
        f"{composed.joined} Before tax, quantity 1 each, {how}; nothing has been sent. Paddle shows a preview before "
        "every charge."
    )
    if netting.taken:
        note = f"{note} {money.words(netting.carried_in, bill.currency)} of it comes from the carried balance."
    if composed.crosses:
        note = f"{note} A credit lowers what is taxed in another way, so a person must agree."
    return Panel(title, columns, rows, empty="Nothing: the bill comes to zero.", note=note)


def _one_amount(title: str, owed: Owed, marks: Marks, policy: PushPolicy, mode: Mode) -> Panel:
    """Show what is charged in one amount, without items."""
    currency = owed.revision.currency
    text = composing.one_text(owed, marks=marks, policy=policy, longest=LONGEST_DESCRIPTION)
    rows = [(text, "-", "-", "as the plan's own price", amount(owed.total, currency))]
    return Panel(title, ITEM_COLUMNS, rows, empty="", note=f"{mode.label}; nothing has been sent.")


def _instead(netting: Netting, currency: str) -> str:
    """Say what becomes of an amount that is not charged by itself."""
    if netting.carry > 0:
        return f"Nothing: {money.words(netting.carry, currency)} is below Paddle's minimum. It waits for the next bill."
    if netting.carry < 0:
        return f"Nothing: the customer is owed {money.words(-netting.carry, currency)}, which lowers the next bills."
    if netting.taken:
        return f"Nothing: earlier credits of {money.words(-netting.carried_in, currency)} pay for it."
    return "Nothing: the bill comes to zero."


def item_row(item: Mapping[str, Any], currency: str) -> tuple[Any, ...]:
    """Show something as it is sent: an item of Paddle Billing, a refund, or one amount of Paddle Classic."""
    if "transaction_id" in item:
        return _refund(item, currency)
    if "price" not in item:
        text = item.get("modifier_description") or item.get("charge_name") or "-"
        asked = item.get("modifier_amount") or item.get("amount") or "-"
        return (text, "-", "-", "as the plan's own price", exact(str(asked), currency))
    price = item.get("price") or {}
    product = price.get("product") or {}
    asked = (price.get("unit_price") or {}).get("amount", "")
    return (
        price.get("name", "-"),
        price.get("description", "-"),
        price.get("product_id") or f"{product.get('name', '-')} ({product.get('tax_category', '-')})",
        "added to it" if price.get("tax_mode") == PushPolicy.TaxMode.EXTERNAL else str(price.get("tax_mode", "-")),
        amount(int(asked), currency) if str(asked).isdecimal() else str(asked),
    )


def _refund(refund: Mapping[str, Any], currency: str) -> tuple[Any, ...]:
    parts = [str(part.get("amount", "")) for part in refund.get("items") or ()]
    given_back = sum(int(part) for part in parts) if all(part.isdecimal() for part in parts) else None
    text = refund.get("reason") or "-"
    what = str(refund.get("action", "")).capitalize()
    return (f"{what} on {refund['transaction_id']}", text, "-", "given back as well", amount(given_back, currency))


def pushes(bill: PushedBill) -> Panel:
    """Show every intended charge of a bill."""
    return Panel(
        "Pushes",
        ("Push", Right("Amount"), "State", "Sent", "Settled", "Transaction", "Payment", "In words"),
        [
            (
                showing.row_link(push),
                amount(push.amount, push.currency),
                showing.label(push.get_state_display(), PUSH_TONES.get(push.state, "calm")),
                showing.at(push.sent_at),
                showing.at(push.settled_at),
                showing.paddle_id(push.paddle_transaction_id),
                push.get_payment_display(),
                push.detail or "-",
            )
            for push in bill.pushes.order_by("-ordinal")
        ],
        empty="Nothing has been sent to Paddle for this bill.",
    )


PUSH_TONES: dict[str, showing.Tone] = {
    Push.State.INTENDED: "calm",
    Push.State.PUSHING: "calm",
    Push.State.UNCONFIRMED: "bad",
    Push.State.PUSHED: "good",
    Push.State.FAILED: "bad",
    Push.State.LOST: "bad",
}
