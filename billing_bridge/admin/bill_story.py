"""A bill in words: cause, effect, next step."""

from datetime import timedelta

from billing_bridge import modes, money
from billing_bridge.models import Push, PushedBill
from integration_project import clock, showing
from integration_project.showing import Story, Tone

State = PushedBill.State
Reason = PushedBill.Reason
Payment = PushedBill.Payment
NEAR_RENEWAL = timedelta(hours=24)
TONES: dict[str, Tone] = {
    State.HELD: "wait",
    State.WAITING: "calm",
    State.READY: "calm",
    State.PUSHING: "calm",
    State.UNCONFIRMED: "bad",
    State.PUSHED: "good",
    State.CARRIED: "good",
    State.FAILED: "bad",
    State.LOST: "bad",
    State.SKIPPED: "calm",
    State.SUPERSEDED: "calm",
}
SETTLED = (State.PUSHED, State.SKIPPED, State.SUPERSEDED, State.CARRIED)

# What a person does about a held bill, by the reason it is held.
HELD_NEXT: dict[str, str] = {
    Reason.REVIEW: "Compare m3ter's lines with what Paddle would charge below, then approve it, or hold or skip it "
    "with a reason.",
    Reason.MAPPING: "Look at the account's links and the events of its subscription; the bill is tried again by "
    "itself as soon as there is a live link.",
    Reason.CURRENCY: "Correct the currency in m3ter and approve it there again, or skip it and settle it outside.",
    Reason.NEGATIVE: "Approve it to have the credit carried or netted as shown below; or refund it, or write it off.",
    Reason.BELOW_MINIMUM: "Approve it to have the account's next bill take it, or write it off.",
    Reason.CHANGED: "Compare the revisions below. Approve it to have the difference charged, or carried where the "
    "customer is owed it; or refund it, or write it off.",
    Reason.MISMATCH: "Correct the bill in m3ter and approve it there again; it is then read anew.",
    Reason.PERIOD_OPEN: "Wait until its period has ended, or approve it if it should be charged all the same.",
    Reason.RENEWAL_TOO_FAR: "Send it now, approve it nearer to the renewal, or raise the push policy's limit.",
    Reason.LOCKED_ELSEWHERE: "Find out whether it was charged in another way. If not, approve it; if so, skip it.",
    Reason.CANCELLED: "Send it now if the subscription still runs; else invoice it, mark it settled outside, or write "
    "it off.",
    Reason.PAUSED: "Send it now, or approve it again once the pause is called off or over; or invoice it.",
    Reason.CONFIGURATION: "Put right what the words above name, then approve it.",
    Reason.DELETED: "Find out in m3ter why it was deleted. Where the words above say what to do, do that; else approve "
    "it: what Paddle has of it is carried as a credit.",
    Reason.DIFFERS: "Compare it with the account's last bill; approve it if it is right, or correct it in m3ter.",
    Reason.REFUND: "Refund it once it is paid, carry it to the next bills, or write it off.",
    Reason.OPERATOR: "Approve it when what it was held for is settled, or skip it.",
    Reason.MODE: "Put right what the words above name, then approve it; or charge it in another way that is offered "
    "below, or mark it settled outside.",
    Reason.COLLECTED: "Where the words above name another bill, do what they say; else skip it. If the transaction "
    "will not be paid, cancel it in Paddle first; then approve the bill.",
    Reason.CANNOT_TELL: "Look for it in Paddle; in Paddle Classic, at the subscription's payments. Where you are asked "
    "below whether it is in Paddle, say so; else approve the bill if it is not, or mark it settled outside if it is.",
    Reason.SENT_ELSEWHERE: "Look at the old subscription in Paddle. If the charge is not there, approve the bill.",
    Reason.WORKERS_LOST: "Find out in the workers' logs what ended them; when that is put right, approve it.",
}


def one_line(bill: PushedBill) -> str:
    """Name a bill for a list of what a decision is about."""
    who = customer(bill)
    return f"{who}, {period(bill)}: {money.words(bill.payable, bill.currency)}, {_state(bill)}"


def _state(bill: PushedBill) -> str:
    return showing.in_a_sentence(bill.get_state_display())


def customer(bill: PushedBill) -> str:
    """Name whose bill it is, as well as is known."""
    if bill.link is not None and bill.link.name:
        return bill.link.name
    return bill.m3ter_account_code or bill.m3ter_account_id


def period(bill: PushedBill) -> str:
    """Write the bill's period, first to last day."""
    if bill.period_start is None or bill.period_end is None:
        return "no period"
    return f"{bill.period_start} to {bill.period_end - timedelta(days=1)}"


def renews_soon(bill: PushedBill) -> bool:
    """Say whether the renewal that should carry it is near and it is not in Paddle."""
    if bill.renews_at is None or bill.state in SETTLED:
        return False
    return clock.now() < bill.renews_at <= clock.now() + NEAR_RENEWAL


def story(bill: PushedBill) -> Story:
    """Say what stands, what that means, and what to do."""
    told = _by_state(bill)
    if not renews_soon(bill) or bill.renews_at is None:
        return told
    hurry = f"The subscription renews {showing.relative(bill.renews_at)} ({showing.exactly(bill.renews_at)})."
    return Story("bad", told.cause, f"{hurry} {told.effect}", told.next_step)


def _by_state(bill: PushedBill) -> Story:
    owed = money.words(bill.outstanding, bill.currency)
    why = bill.reason_detail or bill.get_reason_display()
    open_words = "Nothing has been charged." if not bill.in_paddle else f"{owed} is open."
    match bill.state:
        case State.HELD:
            hint = HELD_NEXT.get(bill.reason, "Approve it, or skip it with a reason.")
            return Story("wait", why, open_words, hint)
        case State.WAITING:
            when = f" It is tried again {showing.relative(bill.due_at)}." if bill.due_at else ""
            return Story("calm", why, f"{open_words}{when}", "Nothing to do: it goes on by itself.")
        case State.READY:
            return _ready(bill)
        case State.PUSHING:
            return Story("calm", "A worker is charging it now.", "Ends by itself within three minutes; reload to see.")
        case State.UNCONFIRMED:
            return _unconfirmed(bill, why)
        case State.PUSHED:
            return _pushed(bill)
        case State.CARRIED:
            return Story("good", "Nothing is to be charged now.", bill.reason_detail or _settled_how(bill))
        case State.FAILED:
            return Story(
                "bad",
                bill.reason_detail or bill.last_error or "The last attempt failed.",
                f"Nothing was charged by it; {owed} is open.",
                "Put that right in Paddle, then resend it; or skip it with a reason.",
            )
        case State.LOST:
            return Story(
                "bad",
                f"Paddle accepted the charge but will not collect it. {why}",
                f"{owed} is open again.",
                "Resend it on a live subscription, or skip it with the reason.",
            )
        case State.SUPERSEDED:
            return Story("calm", "The bill was deleted in m3ter.", why, "Nothing to do: nothing is outstanding.")
        case _:
            return Story("calm", f"Nothing will be charged: {why}", next_step="Resend it to take that back.")


def _ready(bill: PushedBill) -> Story:
    owed = money.words(abs(bill.outstanding), bill.currency)
    when = showing.relative(bill.due_at) if bill.due_at else "soon"
    effect = (
        f"{owed} will be charged {when}."
        if bill.outstanding >= 0
        else f"The customer is owed {owed}, which is settled {when}."
    )
    if not bill.last_error:
        cause = "Ready to be charged." if bill.outstanding >= 0 else "Ready to be settled."
        return Story("calm", cause, effect, "Hold it to stop that.")
    words = f"The last attempt did not work: {bill.reason_detail or bill.last_error}"
    return Story("wait", words, effect, "Hold it to stop that.")


def _unconfirmed(bill: PushedBill, why: str) -> Story:
    cause = "The request to charge was sent and no answer came. It may have been charged. " + why
    if bill.due_at is not None:
        return Story(
            "bad",
            cause,
            f"It is looked for in Paddle, next {showing.relative(bill.due_at)}; it is never settled by sending again.",
            "Wait: it settles itself when it is found. Whoever has seen it in Paddle may say so here. That it is not "
            "there can only be said after the last look-up.",
        )
    return Story(
        "bad",
        cause,
        "The whole schedule of look-ups found no trace of it.",
        "Look at the subscription in Paddle (its next transaction and its history) and say here whether it is there.",
    )


def _pushed(bill: PushedBill) -> Story:
    pushed = money.words(bill.in_paddle, bill.currency)
    if bill.payment == Payment.PAID:
        return Story("good", f"Paddle has charged {pushed}, and it is paid.")
    if bill.payment == Payment.NONE:
        return Story(
            "good", f"Paddle has all of it: {pushed}.", f"It is not paid yet.{_paid_by(bill)}", "Nothing to do."
        )
    payment = f"Payment: {bill.get_payment_display().lower()}."
    return Story("wait", f"Paddle has all of it: {pushed}.", payment, PAYMENT_NEXT.get(bill.payment, ""))


PAYMENT_NEXT: dict[str, str] = {
    Payment.PAYMENT_FAILED: "Nothing to do here: Paddle tries the payment again, and asks the customer.",
    Payment.PAST_DUE: "Paddle asks the customer for it. If it stays unpaid until the subscription ends it is lost, and "
    "what becomes of it is decided here.",
    Payment.REFUNDED: "If the bill was wrong, correct it in m3ter: what the customer has back already is counted then.",
    Payment.CREDITED: "If the bill was wrong, correct it in m3ter: what the customer has back already is counted then.",
}
"""What comes next where what Paddle has is not simply paid."""


def _settled_how(bill: PushedBill) -> str:
    """Say where all of a bill went that Paddle has nothing of."""
    went = {
        "is settled by the carried balance": bill.carried,
        "was written off": bill.written_off,
        "was charged and given back": bill.credited,
    }
    said = [f"{money.words(amount, bill.currency)} {what}." for what, amount in went.items() if amount]
    return " ".join(said) or "Nothing of it is open."


def _paid_by(bill: PushedBill) -> str:
    """Say what will pay for a bill that Paddle has: the renewal, or an invoice by its own terms."""
    charges = bill.pushes.filter(state=Push.State.PUSHED).exclude(kind=Push.Kind.REFUND)
    mode = charges.order_by("-ordinal").values_list("mode", flat=True).first()
    if mode == modes.INVOICE.name:
        return " The customer pays its invoice by the terms on it; a draft has to be issued in Paddle first."
    is_of_renewal = mode in {each.name for each in modes.WITH_RENEWAL}
    return f" The renewal {showing.relative(bill.renews_at)} collects it." if is_of_renewal and bill.renews_at else ""
