"""What people decide about bills in the console: who may, when it is offered, and what it brings about."""

from collections.abc import Sequence

from django import forms

from billing_bridge import doubting, modes, review, vouching
from billing_bridge.admin import bill_story
from billing_bridge.charges import NEEDS_NO_SUBSCRIPTION
from billing_bridge.deciding import policy_for
from billing_bridge.ledger import GONE
from billing_bridge.models import PushedBill
from billing_bridge.modes import Mode
from integration_project.connections import open_vendors
from integration_project.ledger_admin import Decision, OptionalReasonForm, ReasonForm
from integration_project.vendors.paddle.entities import CANCELED, INVOICE_CURRENCIES, FoundCharge

State = PushedBill.State
RESENDABLE = (State.FAILED, State.SKIPPED, State.LOST)
SENDABLE = (State.HELD, State.READY, State.WAITING, State.FAILED, State.LOST)
POLICY = "policy_in_force"
"""Where whoever shows many bills keeps each one's policy, read for all of them together."""
HELD_BY_NATURE = (PushedBill.Reason.OPERATOR, PushedBill.Reason.CHANGED, PushedBill.Reason.DELETED)


def is_another_way(bill: PushedBill, ways: Sequence[Mode]) -> bool:
    """Whether a bill could be charged in one of these ways, and it is not how it would be charged anyhow."""
    if bill.state not in SENDABLE or bill.outstanding <= 0:
        return False
    way = next((way for way in ways if bill.link is None or way.serves(bill.link)), None)
    if way is None or (way is modes.INVOICE and bill.currency not in INVOICE_CURRENCIES):
        return False
    if bill.link is not None and bill.link.paddle_status == CANCELED and way.name not in NEEDS_NO_SUBSCRIPTION:
        return False
    if bill.reason == PushedBill.Reason.CANCELLED and way is modes.INVOICE:
        return True  # by policy it is not charged, whatever way that names
    return way is not modes.for_bill(bill, bill.link, getattr(bill, POLICY, None) or policy_for(bill.link))


class FoundForm(ReasonForm):
    """What somebody saw in Paddle."""

    paddle_transaction_id = forms.RegexField(
        regex=r"^(txn_[a-zA-Z0-9_]{1,60}|[0-9]{1,30}(-[0-9]{1,30})?)?$",
        label="Paddle transaction, if you see one (txn_...; in Paddle Classic the order of the payment)",
        required=False,
        widget=forms.TextInput(attrs={"class": "c-input"}),
        help_text="It is looked up in Paddle, and must carry this push. Leave it empty when the charge stands on the "
        "next renewal and has no transaction yet.",
    )


def found_in(bill_id: int, *, paddle_transaction_id: str) -> dict[str, FoundCharge | None]:
    """Ask Paddle whether the transaction that somebody names has the bill's push."""
    if not paddle_transaction_id:
        return {}
    with open_vendors("look") as vendors:
        return {"found": vouching.vouch(bill_id, paddle_transaction_id, vendors)}


DECISIONS = (
    Decision(
        name="approve",
        label="Approve",
        permission="billing_bridge.review_pushedbill",
        effect="The bill is checked again; if nothing else stands in its way, the worker settles what is open of it: "
        "charged as the push policy says, or carried where it is too little or owed to the customer.",
        done="approved",
        decide=review.approve,
        seen=review.what_is_seen,
        offered=lambda bill: bill.state == State.HELD,
        form=OptionalReasonForm,
        bulk=True,
        strong=True,
        preview=bill_story.one_line,
    ),
    Decision(
        name="made",
        label="It is in Paddle",
        permission="billing_bridge.answer_pushedbill",
        effect="The charge counts as made: the bill becomes pushed and is never sent again. Say so only if you have "
        "seen it in Paddle, on the subscription's next transaction or in a transaction. Of a bill that is held because "
        "a payment does not say whether it has the charge, it counts as paid.",
        done="recorded as charged",
        decide=review.charge_was_made,
        asks=found_in,
        seen=review.what_is_seen,
        offered=lambda bill: bill.state == State.UNCONFIRMED or doubting.is_asked(bill),
        form=FoundForm,
        strong=True,
        preview=bill_story.one_line,
    ),
    Decision(
        name="not_made",
        label="It is not in Paddle",
        permission="billing_bridge.answer_pushedbill",
        effect="The charge counts as not made: the bill becomes ready and is sent again. If it was made after all, the "
        "customer pays twice: look at the subscription's next transaction and its history first. Of a bill that is "
        "held because a payment does not say whether it has the charge, the charge is lost: resend it, or skip it.",
        done="recorded as not charged and ready to be sent again",
        decide=review.charge_was_not_made,
        seen=review.what_is_seen,
        offered=lambda bill: (
            doubting.is_asked(bill) or (bill.state == State.UNCONFIRMED and bill.due_at is None and bill.lease is None)
        ),
        preview=bill_story.one_line,
    ),
    Decision(
        name="resend",
        label="Resend",
        permission="billing_bridge.resend_pushedbill",
        effect="The bill is checked again and, if nothing stands in its way, sent to Paddle. What may have been sent "
        "before is looked for first.",
        done="queued to be sent again",
        decide=review.resend,
        seen=review.what_is_seen,
        offered=lambda bill: bill.state in RESENDABLE,
        bulk=True,
        strong=True,
        preview=bill_story.one_line,
    ),
    Decision(
        name="send_now",
        label="Send now",
        permission="billing_bridge.resend_pushedbill",
        effect="The bill is checked again and charged at once with the stored payment method, not with the renewal.",
        done="queued to be charged at once",
        decide=review.send_now,
        seen=review.what_is_seen,
        offered=lambda bill: is_another_way(bill, modes.AT_ONCE),
        bulk=True,
        preview=bill_story.one_line,
    ),
    Decision(
        name="send_with_renewal",
        label="Send with renewal",
        permission="billing_bridge.resend_pushedbill",
        effect="The bill is checked again and added to the subscription's next renewal.",
        done="queued to be added to the renewal",
        decide=review.send_with_renewal,
        seen=review.what_is_seen,
        offered=lambda bill: is_another_way(bill, modes.WITH_RENEWAL),
        bulk=True,
        preview=bill_story.one_line,
    ),
    Decision(
        name="send_invoice",
        label="Invoice it",
        permission="billing_bridge.resend_pushedbill",
        effect="The bill is checked again and becomes an invoice of its own in Paddle, with the push policy's payment "
        "terms: of no subscription, so a cancelled one does not matter. Only in USD, EUR and GBP.",
        done="queued to be invoiced",
        decide=review.send_invoice,
        seen=review.what_is_seen,
        offered=lambda bill: is_another_way(bill, modes.INVOICED),
        preview=bill_story.one_line,
    ),
    Decision(
        name="refund",
        label="Refund",
        permission="billing_bridge.resend_pushedbill",
        effect="What the customer is owed is refunded in Paddle, on what was paid of this bill, or else of the "
        "account's other bills. Paddle may take days to approve it. Paddle Classic takes it off the next payment "
        "instead.",
        done="queued to be refunded",
        decide=review.refund,
        seen=review.what_is_seen,
        offered=lambda bill: bill.state == State.HELD and bill.outstanding < 0,
        preview=bill_story.one_line,
    ),
    Decision(
        name="carry",
        label="Carry to the next bill",
        permission="billing_bridge.review_pushedbill",
        effect="What is open is not charged now: the account's next bills take it, or are lowered by it.",
        done="carried",
        decide=review.carry,
        seen=review.what_is_seen,
        offered=lambda bill: bill.state in review.HOLDABLE and bool(bill.outstanding) and bill.m3ter_status != GONE,
        bulk=True,
        preview=bill_story.one_line,
    ),
    Decision(
        name="settled_outside",
        label="Mark settled outside",
        permission="billing_bridge.review_pushedbill",
        effect="What is open was paid, or paid back, in another way: it is written off here with that reason.",
        done="marked as settled outside",
        decide=review.settled_outside,
        seen=review.what_is_seen,
        offered=lambda bill: bill.state in review.HOLDABLE and bool(bill.outstanding),
        preview=bill_story.one_line,
    ),
    Decision(
        name="write_off",
        label="Write off remainder",
        permission="billing_bridge.review_pushedbill",
        effect="What is open is given up: it is neither charged nor carried.",
        done="written off",
        decide=review.write_off,
        seen=review.what_is_seen,
        offered=lambda bill: bill.state in review.HOLDABLE and bool(bill.outstanding),
        bulk=True,
        preview=bill_story.one_line,
    ),
    Decision(
        name="hold",
        label="Hold",
        permission="billing_bridge.review_pushedbill",
        effect="The bill is not charged until somebody approves it.",
        done="held",
        decide=review.hold,
        seen=review.what_is_seen,
        offered=lambda bill: bill.state in review.HOLDABLE and bill.reason not in HELD_BY_NATURE,
        bulk=True,
        preview=bill_story.one_line,
    ),
    Decision(
        name="skip",
        label="Skip",
        permission="billing_bridge.review_pushedbill",
        effect="Nothing more is charged for this bill. Resend takes that back, except where Paddle has a "
        "part of it already: then the difference is written off.",
        done="skipped",
        decide=review.skip,
        seen=review.what_is_seen,
        offered=lambda bill: bill.state in review.HOLDABLE,
        bulk=True,
        preview=bill_story.one_line,
    ),
)
