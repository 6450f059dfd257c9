"""What a bill becomes in Paddle, and every reason not to charge it. Pure: no vendor, nothing saved."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from billing_bridge import money, owed
from billing_bridge.models import BillRevision, PushedBill, PushPolicy
from integration_project.vendors.paddle.entities import (
    LONGEST_PRICE_DESCRIPTION,
    LONGEST_PRICE_NAME,
    LONGEST_PRODUCT_NAME,
    Charge,
    ChargeItem,
    ChargePreview,
    PreviewLine,
    Subscription,
)
from paddle_sync.models import AccountLink

State = PushedBill.State
Reason = PushedBill.Reason

MOST_ITEMS = 100
"""Paddle's limit for the recurring, pending and new items of a subscription together."""
RENEWAL_LOCK = timedelta(minutes=35)
"""Paddle refuses changes for 30 minutes before a renewal; five more, because a charge takes time too."""
AFTER_RENEWAL = timedelta(minutes=5)
LOOK_AGAIN = timedelta(hours=6)
"""A waiting bill is tried again this often, in case no event said that what it waits for has happened."""
MANUAL_CURRENCIES = frozenset({"USD", "EUR", "GBP"})
CATEGORY_WORDS = {"STANDING_CHARGE": "Standing charge", "MINIMUM_SPEND": "Minimum spend"}
"""Names of lines that m3ter gave no description; every other type counts as usage."""


@dataclass(frozen=True)
class Verdict:
    """What becomes of a bill: its state, with the reason in a word and in a sentence."""

    state: str
    reason: str = ""
    detail: str = ""
    due_at: datetime | None = None

    @property
    def chargeable(self) -> bool:
        """True when nothing stands in the way."""
        return self.state == State.READY


READY = Verdict(State.READY)


@dataclass(frozen=True)
class Circumstances:
    """What a bill is judged by, besides itself."""

    link: AccountLink | None
    policy: PushPolicy
    charge_from: date | None
    today: date
    collected: str = ""
    """In words, where Paddle has collected after all what was taken for lost."""


def held(reason: str, detail: str) -> Verdict:
    """A person must decide."""
    return Verdict(State.HELD, reason, detail)


def waiting(reason: str, detail: str, until: datetime | None) -> Verdict:
    """Time or another thing decides."""
    return Verdict(State.WAITING, reason, detail, until)


def why_not_chargeable(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict:
    """Judge a bill by what is known here; the first reason counts, READY when there is none."""
    for question in (
        _not_live,
        _collected,
        _locked_elsewhere,
        _no_subscription,
        _currency,
        _amounts,
        _period_open,
        _review,
    ):
        verdict = question(bill, revision, given)
        if verdict is not None:
            return verdict
    return READY


def _not_live(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    if given.charge_from is None:
        return waiting(Reason.NOT_LIVE, "Nothing is charged until Finance sets the go-live date.", None)
    if bill.period_end is not None and bill.period_end <= given.charge_from:
        return Verdict(
            State.SKIPPED,
            Reason.BEFORE_GO_LIVE,
            f"Its period ended on {bill.period_end}, not after the go-live date {given.charge_from}.",
        )
    return None


def _collected(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    return held(Reason.COLLECTED, given.collected) if given.collected else None


def _locked_elsewhere(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    if not bill.m3ter_locked or bill.locked_at is not None or bill.reviewed_revision_id == revision.pk:
        return None
    return held(
        Reason.LOCKED_ELSEWHERE,
        "It is locked in m3ter, and not by us: it may have been charged in another way. Approve it only if it was not.",
    )


def _no_subscription(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    if given.link is None:
        return held(
            Reason.MAPPING,
            f"The m3ter account {bill.m3ter_account_code or bill.m3ter_account_id} has no live link to a Paddle "
            "subscription. It is tried again as soon as there is one.",
        )
    if given.link.paddle_status == "canceled":
        return held(Reason.CANCELLED, f"Subscription {given.link.paddle_subscription_id} is cancelled in Paddle.")
    return None


def _currency(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    currency = revision.currency
    if currency in money.UNCERTAIN:
        return held(Reason.CURRENCY, f"Whether Paddle counts {currency} with decimals is not certain enough to charge.")
    if currency not in money.EXPONENTS:
        return held(Reason.CURRENCY, f"Paddle does not take {currency}.")
    if given.link is not None and given.link.currency != currency:
        return held(
            Reason.CURRENCY,
            f"The bill is in {currency}, the subscription in {given.link.currency}; nothing is converted.",
        )
    return None


def _amounts(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    lines = exact_lines(revision)
    difference = owed.mismatch(revision.exact_total, lines, revision.currency)
    if difference is not None:
        return held(
            Reason.MISMATCH,
            f"The total is {revision.total} {revision.currency}, the lines add up to {money.exact_sum(lines):f}: "
            f"{difference:f} is more than rounding explains.",
        )
    if revision.exact_total < 0 or any(line < 0 for line in lines):
        return held(Reason.NEGATIVE, "It has negative lines or a negative total, which Paddle cannot charge.")
    if revision.payable == 0 and abs(revision.exact_total) >= 1:
        return held(Reason.MISMATCH, f"Its total of {revision.total} {revision.currency} is out of all proportion.")
    if revision.payable == 0:
        return Verdict(State.SKIPPED, Reason.ZERO, f"Its total is {revision.total} {revision.currency}.")
    return None


def _period_open(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    ended = bill.period_end is not None and bill.period_end <= given.today
    if ended or given.policy.open_periods or bill.reviewed_revision_id == revision.pk:
        return None
    ends = f"ends on {bill.period_end}" if bill.period_end else "has no end that m3ter names"
    return held(Reason.PERIOD_OPEN, f"Its period {ends}: more usage may still come.")


def _review(bill: PushedBill, revision: BillRevision, given: Circumstances) -> Verdict | None:
    if given.policy.automatic or bill.reviewed_revision_id == revision.pk:
        return None
    return held(Reason.REVIEW, "Approved in m3ter; waits for Finance to approve it here.")


def exact_lines(revision: BillRevision) -> list[Decimal]:
    """The lines' amounts in the bill's currency."""
    return [Decimal(line["amount"]) for line in revision.lines]


# --- What the subscription says --------------------------------------------------------------------------------------


def why_not_now(subscription: Subscription, *, currency: str, policy: PushPolicy, now: datetime) -> Verdict | None:
    """Judge a subscription as Paddle describes it at this moment; None when it can be charged."""
    return _status(subscription, now) or _terms(subscription, currency) or _renewal(subscription, policy, now)


def _status(subscription: Subscription, now: datetime) -> Verdict | None:
    later = now + LOOK_AGAIN
    match subscription.status:
        case "active":
            return None
        case "trialing":
            ends = subscription.next_billed_at
            until = ends + AFTER_RENEWAL if ends is not None and ends > now else later
            return waiting(Reason.TRIAL, "The subscription is in trial; it is charged when the trial has ended.", until)
        case "past_due":
            return waiting(Reason.PAST_DUE, "The subscription is past due; it is charged when that is paid.", later)
        case "paused":
            return waiting(Reason.PAUSED, "The subscription is paused; it is charged when it is resumed.", later)
        case "canceled":
            return held(Reason.CANCELLED, "The subscription is cancelled in Paddle.")
        case unknown:
            return held(Reason.CONFIGURATION, f"Paddle gives the subscription the status {unknown!r}, unknown here.")


def _terms(subscription: Subscription, currency: str) -> Verdict | None:
    if subscription.currency_code != currency:
        return held(
            Reason.CURRENCY,
            f"The bill is in {currency}, the subscription in {subscription.currency_code}; nothing is converted.",
        )
    change = subscription.scheduled_change
    if change is not None and change.action in {"cancel", "pause"}:
        reason = Reason.CANCELLED if change.action == "cancel" else Reason.PAUSED
        return held(
            reason,
            f"Paddle will {change.action} the subscription on {change.effective_at:%Y-%m-%d %H:%M} UTC; a charge added "
            "now would not be collected.",
        )
    if subscription.collection_mode == "manual" and currency not in MANUAL_CURRENCIES:
        return held(Reason.MODE, f"The subscription is paid by invoice, which Paddle does not offer in {currency}.")
    return None


def _renewal(subscription: Subscription, policy: PushPolicy, now: datetime) -> Verdict | None:
    renews_at = subscription.next_billed_at
    if renews_at is None:
        return held(Reason.RENEWAL_TOO_FAR, "Paddle names no next renewal that could carry the charge.")
    if renews_at - now <= RENEWAL_LOCK:
        return waiting(
            Reason.RENEWAL_LOCK,
            f"The subscription renews at {renews_at:%Y-%m-%d %H:%M} UTC; Paddle takes no changes shortly before. The "
            "charge is added after that.",
            max(renews_at + AFTER_RENEWAL, now + AFTER_RENEWAL),
        )
    if renews_at - now > timedelta(days=policy.max_wait_days):
        return held(
            Reason.RENEWAL_TOO_FAR,
            f"The next renewal is on {renews_at:%Y-%m-%d}, more than {policy.max_wait_days} days away.",
        )
    return None


def refusal(code: str, words: str, now: datetime) -> Verdict | None:
    """Say what one of Paddle's refusals means for the bill; None: the bill has failed, with Paddle's words."""
    meaning = REFUSALS.get(code)
    if meaning is None:
        return None
    state, reason = meaning
    return Verdict(state, reason, words, now + LOOK_AGAIN if state == State.WAITING else None)


BELOW_MINIMUM = (State.HELD, Reason.BELOW_MINIMUM)
REFUSALS: Mapping[str, tuple[str, str]] = {
    "subscription_update_transaction_balance_less_than_charge_limit": BELOW_MINIMUM,
    "transaction_balance_less_than_charge_limit": BELOW_MINIMUM,
    "transaction_recurring_balance_less_than_charge_limit": BELOW_MINIMUM,
    "subscription_update_when_past_due": (State.WAITING, Reason.PAST_DUE),
    "subscription_outstanding_transaction": (State.WAITING, Reason.PAST_DUE),
    "subscription_update_when_trialing": (State.WAITING, Reason.TRIAL),
    "subscription_trialing_items_update_invalid_options": (State.WAITING, Reason.TRIAL),
    "subscription_not_active": (State.WAITING, Reason.PAUSED),
    "subscription_is_inactive_action_invalid": (State.WAITING, Reason.PAUSED),
    "subscription_locked_pending_changes": (State.HELD, Reason.CANCELLED),
    "subscription_update_when_canceled": (State.HELD, Reason.CANCELLED),
    "subscription_is_canceled_action_invalid": (State.HELD, Reason.CANCELLED),
}
"""Paddle's codes that say something about the bill or its subscription; nothing was charged."""
TOO_MANY_ITEMS = frozenset(
    {"subscription_maximum_number_of_line_items_reached", "transaction_maximum_number_of_line_items_reached"}
)


# --- What is sent ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Marks:
    """What stands in everything we send for one push, so that it is found again."""

    push_id: str
    bill_id: str
    attempt: int

    @property
    def of_price(self) -> dict[str, str]:
        """For a price; texts, because Paddle refuses large numbers there."""
        return {"push_id": self.push_id, "bill_id": self.bill_id, "attempt": str(self.attempt)}

    @property
    def of_product(self) -> dict[str, str]:
        """For a product, which the preview shows and the price's it does not."""
        return {"push_id": self.push_id, "bill_id": self.bill_id}


def build_charge(
    revision: BillRevision, *, amount: int, marks: Marks, policy: PushPolicy, one_item: bool = False
) -> Charge:
    """Write the charge for an amount: an item per line of the bill, or one for all where lines do not fit."""
    lines = _charged_lines(revision, amount)
    if one_item or len(lines) > MOST_ITEMS:
        lines = [(_whole_bill(revision, amount), amount)]
    items = tuple(_item(line, share, revision.currency, marks, policy) for line, share in lines)
    return Charge(effective_from=policy.mode, items=items)


def _charged_lines(revision: BillRevision, amount: int) -> list[tuple[Mapping[str, Any], int]]:
    """Pair lines with what each is charged; lines that come to nothing are left out."""
    if amount != revision.payable:
        return [(_whole_bill(revision, amount), amount)]
    shares = money.allocate(exact_lines(revision), amount, revision.currency)
    return [(line, share) for line, share in zip(revision.lines, shares, strict=True) if share]


def _whole_bill(revision: BillRevision, amount: int) -> Mapping[str, Any]:
    starts = [line["from"] for line in revision.lines if line.get("from")]
    ends = [line["to"] for line in revision.lines if line.get("to")]
    part = "" if amount == revision.payable else ", remaining part"
    return {
        "description": f"Usage{part}",
        "accounting_product": next(
            (line["accounting_product"] for line in revision.lines if line.get("accounting_product")), ""
        ),
        "product": next((line["product"] for line in revision.lines if line.get("product")), ""),
        "from": min(starts, default=""),
        "to": max(ends, default=""),
    }


def _item(line: Mapping[str, Any], share: int, currency: str, marks: Marks, policy: PushPolicy) -> ChargeItem:
    names = names_of(line)
    suffix = f"[{marks.push_id}]"
    text = fill_in(policy.item_description, names)[: LONGEST_PRICE_DESCRIPTION - len(suffix) - 1].rstrip()
    return ChargeItem(
        name=(fill_in(policy.item_name, names) or names["line"])[:LONGEST_PRICE_NAME].rstrip(),
        description=f"{text} {suffix}".strip(),
        amount_minor=share,
        currency=currency,
        tax_mode=policy.tax_mode,
        custom_data=marks.of_price,
        product_name=names["product"][:LONGEST_PRODUCT_NAME].rstrip(),
        tax_category=policy.tax_category,
        product_custom_data=marks.of_product,
    )


def names_of(line: Mapping[str, Any]) -> dict[str, str]:
    """What the {names} in the policy's texts stand for; no other name means anything."""
    product = _clean(line.get("accounting_product") or line.get("product") or "")
    described = _clean(line.get("description") or "")
    return {
        "line": described or CATEGORY_WORDS.get(line.get("type") or "", "") or product or "Usage",
        "product": product or "Usage",
        "period": _period(line.get("from") or "", line.get("to") or ""),
        "units": _number(line.get("units") or ""),
        "unit": _clean(line.get("unit") or ""),
    }


NAMES = ("line", "product", "period", "units", "unit")
PLACEHOLDER = re.compile(r"\{(" + "|".join(NAMES) + r")\}")
BLANK_BEFORE_COMMA = re.compile(r" ([,;:])")


def fill_in(template: str, names: Mapping[str, str]) -> str:
    """Put the names into a text, once and literally; the blanks and commas that empty ones leave are cut off."""
    filled = _clean(PLACEHOLDER.sub(lambda match: names[match[1]], template))
    return BLANK_BEFORE_COMMA.sub(r"\1", filled).strip(" ,;:-")


def _clean(text: str) -> str:
    """One line without control characters, spaces single."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _number(text: str) -> str:
    return f"{Decimal(text).normalize():f}" if text else ""


def _period(start: str, end: str) -> str:
    """First and last day; m3ter's end is the day after the last."""
    if not start or not end:
        return start
    last = date.fromisoformat(end) - timedelta(days=1)
    return start if last <= date.fromisoformat(start) else f"{start} to {last.isoformat()}"


# --- What the preview says -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Previewed:
    """What a preview shows of one push. `there_already`: more of it than we are about to send; `problem`: in words."""

    there_already: bool = False
    problem: str = ""
    lines: int = 0


def read_preview(preview: ChargePreview, charge: Charge, *, push_id: str) -> Previewed:
    """Compare a preview with what we asked for: our lines, once each, for exactly our amounts."""
    renewal = preview.next_transaction
    if renewal is None:
        return Previewed(problem="Paddle's preview shows no renewal that would carry the charge.")
    lines = [line for line in renewal.details.lines if _is_of(line, push_id)]
    count = len(renewal.details.lines)
    if len(lines) > len(charge.items):
        return Previewed(there_already=True, lines=count)
    asked = sorted(item.amount_minor for item in charge.items)
    shown = sorted(_amount(line, charge.items) for line in lines)
    if asked != shown:
        words = (
            f"Paddle's preview shows {sum(shown)} in {len(shown)} items where we ask for {sum(asked)} in {len(asked)}."
        )
        return Previewed(problem=words, lines=count)
    return Previewed(lines=count)


def is_pending(preview: ChargePreview, push_id: str) -> bool:
    """Whether the next renewal would carry something of a push."""
    renewal = preview.next_transaction
    return renewal is not None and any(_is_of(line, push_id) for line in renewal.details.lines)


def _is_of(line: PreviewLine, push_id: str) -> bool:
    return line.product is not None and line.product.custom_data.get("push_id") == push_id


def _amount(line: PreviewLine, items: Sequence[ChargeItem]) -> int:
    """What Paddle will charge of ours: before tax, or with it where our amounts include it. Discounts are not ours."""
    includes_tax = items[0].tax_mode == PushPolicy.TaxMode.INTERNAL
    return line.totals.total + line.totals.discount if includes_tax else line.totals.subtotal
