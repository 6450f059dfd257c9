"""Modifiers of Paddle Classic that carry a push id of ours and should not be there: alarms, as for Paddle Billing."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from billing_bridge import modes
from billing_bridge.composing import mark_of
from billing_bridge.looking import TWICE
from billing_bridge.models import Push
from billing_bridge.settlement import MISFIT, UNKNOWN
from integration_project import finding
from integration_project.finding import Found
from integration_project.models import Finding
from integration_project.vendors.paddle_classic.entities import Modifier


def check(listed: Sequence[Modifier]) -> None:
    """Raise the alarm for each push id that nobody here made, that is there twice, or on another subscription.

    What a person has closed stays closed as long as the list says the same.
    """
    by_mark: defaultdict[str, list[Modifier]] = defaultdict(list)
    for modifier in listed:
        if mark := mark_of(modifier.description):
            by_mark[mark].append(modifier)
    pushes = {push.push_id: push for push in Push.objects.filter(push_id__in=by_mark)}
    for mark, carriers in sorted(by_mark.items()):
        found = list(_odd(mark, carriers, pushes.get(mark)))
        finding.keep_in_step(mark, found, {each.kind for each in found}, reason="")


def _odd(mark: str, carriers: Sequence[Modifier], push: Push | None) -> Iterator[Found]:
    """What is wrong about one push id and the modifiers that carry it. Pure."""
    there = " and ".join(_shown(modifier) for modifier in carriers)
    if push is None:
        yield _alarm(
            UNKNOWN,
            f"Push {mark}, which this database never made, waits in Paddle Classic as {there}. Another copy of it may "
            "be charging.",
            "Find out which other installation uses the same Paddle Classic account, and stop one of them. Delete the "
            "modifier in Paddle Classic if it should not be collected.",
        )
        return
    if any(modifier.subscription_id != push.paddle_subscription_id for modifier in carriers):
        yield _alarm(
            MISFIT,
            f"Push {mark} was made on {push.paddle_subscription_id}, and waits in Paddle Classic as {there}.",
            "Find out in Paddle Classic who made the modifier, and delete it there if it should not be collected.",
        )
    is_collected = bool(push.paddle_transaction_id) and push.mode in modes.on_classic_payments()
    if len(carriers) > 1 or is_collected:
        before = f"Payment {push.paddle_transaction_id} should have it, and it" if is_collected else "It"
        yield _alarm(
            TWICE,
            f"Paddle Classic has push {mark} more than once. {before} waits as {there}.",
            "Delete what is too much in Paddle Classic before the next payment collects it; refund it if one has.",
        )


def _shown(modifier: Modifier) -> str:
    every = " of every payment" if modifier.is_recurring else ""
    return (
        f"modifier {modifier.id}{every} of {modifier.amount:f} {modifier.currency} on subscription "
        f"{modifier.subscription_id}"
    )


def _alarm(kind: str, detail: str, next_step: str) -> Found:
    return Found(kind, detail, next_step, severity=Finding.Severity.ALARM)
