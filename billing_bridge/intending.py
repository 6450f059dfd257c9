"""Writes down what is about to be asked of Paddle, as it is drafted, under the id it will be found by.

A bill that comes to nothing chargeable, by the carried balance or because it is too little, is settled here instead.
"""

from django.db import IntegrityError, transaction

from billing_bridge import carrying, deciding, drafting, ledger, modes, outcomes
from billing_bridge.drafting import Intent, NotNow
from billing_bridge.journal import Journal
from billing_bridge.models import Push, PushedBill, PushPolicy
from billing_bridge.modes import Mode
from billing_bridge.netting import Netting
from billing_bridge.queues import FINISH
from integration_project import work


def write_intent(bill: PushedBill, journal: Journal) -> Intent | None:
    """Write down what is about to be asked, under the id it will be found by. None: nothing was to be charged."""
    try:
        with transaction.atomic():
            return _write(bill, ledger.owned(bill), journal)
    except IntegrityError:  # a push was opened on this subscription since we looked
        raise NotNow(drafting.another_push("a bill of the same subscription")) from None


def _write(bill: PushedBill, known: PushedBill, journal: Journal) -> Intent | None:
    draft = drafting.draft(known, lock=True)
    if draft.given_up is not None:
        _give_up(draft.given_up)
    intent, netting = draft.intent, draft.netting
    if intent is None:
        settle_without_charge(bill, known, netting, draft.given.policy, journal)
        return None
    push, mode = intent.push, intent.mode
    push.kind = _kind(known, mode)
    push.revision = intent.owed.revision
    push.mode = mode.name if push.sent_at is None else push.mode  # where it may have been sent, it is looked for
    push.paddle_subscription_id = intent.order.subscription_id
    push.currency = known.currency
    push.amount, push.carried = netting.charge, netting.carried_in
    push.items = intent.request.items
    push.state = Push.State.PUSHING
    push.detail = ""
    push.save()
    carrying.reserve(push, netting.taken)
    words = f"{len(push.items)} items on {push.paddle_subscription_id}, {mode.label.lower()}"
    Journal(bill, push).before("preview", words)
    return intent


def _give_up(push: Push) -> None:
    """A person has let go of what was left behind: a new id tells the two apart."""
    push.state = Push.State.FAILED
    push.detail = f"Given up: no trace of it on {push.paddle_subscription_id}."
    push.save(update_fields=("state", "detail"))
    push.release_carried()


def _kind(bill: PushedBill, mode: Mode) -> Push.Kind:
    if mode.gives_back:
        return Push.Kind.REFUND
    return Push.Kind.CORRECTION if bill.is_settled_in_part else Push.Kind.CHARGE


def settle_without_charge(
    owner: PushedBill, bill: PushedBill, netting: Netting, policy: PushPolicy, journal: Journal
) -> None:
    """Settle a locked bill by the carried balance alone: Paddle is asked for nothing."""
    drafting.refuse_to_carry(bill, netting, policy)
    words = carrying.settle(bill, netting, tax=drafting.tax_of(bill, policy))
    journal.after("carry", "carried", words)
    work.settle(owner, **outcomes.settled_columns(bill, words), chosen_mode="", attempts=0, last_error="")
    ledger.resume(bill.serial_key)
    work.wake_up(FINISH)


def carry_what_is_too_little(bill: PushedBill, *, by: str) -> str:
    """Carry a locked bill that was held for being below the minimum, as a person has approved it, if it still is.

    In words, what was done; empty where it is enough to be charged by now.
    """
    link = deciding.live_link(bill.m3ter_account_id)
    policy = deciding.policy_for(link)
    mode = modes.for_bill(bill, link, policy)
    netting = drafting.netting_of(bill, carrying.available(bill, lock=True), mode)
    if netting.charge:
        return ""
    drafting.refuse_to_net(bill, netting, policy)
    return carrying.settle(bill, netting, tax=drafting.tax_of(bill, policy), by=by)


def in_another_way(bill: PushedBill, intent: Intent, name: str, journal: Journal) -> Intent:
    """Ask for the same amount in the way that policy has for what the first cannot do, and write that down."""
    label = modes.of(name).label.lower()
    journal.after("preview", "another way", f"{intent.mode.label} cannot be; policy says: {label}.")
    other = drafting.in_another_way(intent, name)
    push = intent.push
    with transaction.atomic():
        ledger.still_owned(bill)
        push.mode = name if push.sent_at is None else push.mode
        push.items = other.request.items
        push.save(update_fields=("mode", "items"))
    return other
