"""What a person should know about a subscription: findings kept in step with what holds now, whatever the order."""

from collections.abc import Sequence

from integration_project import finding
from integration_project.models import Finding
from paddle_sync import accounts, plans, resolving, wanted
from paddle_sync.plans import Difference
from paddle_sync.story import SubscriptionStory

NOT_LINKED = "subscription not linked"
UNKNOWN = "unknown to Paddle"
CHANGE_SCHEDULED = "change scheduled"
KINDS = (
    NOT_LINKED,
    CHANGE_SCHEDULED,
    resolving.MAPPED_OTHERWISE,
    resolving.PLAN_CONFLICT,
    accounts.ACCOUNT_CONFLICT,
    wanted.CHARGED_PERIOD,
)
"""The kinds of findings opened here, and closed here when they no longer hold."""
BY_PLANS = (resolving.MAPPED_OTHERWISE, wanted.CHARGED_PERIOD)
"""Those that nobody can judge while it is open what plans a subscription should have."""


def keep_in_step(
    story: SubscriptionStory,
    *,
    is_ours: bool,
    known: bool | None,
    others: Sequence[Difference] = (),
    worked_out: bool = True,
) -> list[str]:
    """Open what holds now and close what does not; say in words what changed.

    `is_ours`: it has an account. `known`: whether Paddle, asked just now, knows the subscription; None when it was not
    asked, and then what was said of that stays. `others`: what its plans and its account gave to tell. `worked_out`:
    its plans are known; while they are not, what was said of them stays.
    """
    found = [*_found(story, is_ours=is_ours), *others]
    if known is False:
        found.append(_unknown(story))
    kinds = KINDS if known is None else (*KINDS, UNKNOWN)
    return _tell(story.subscription_id, found, tuple(kind for kind in kinds if worked_out or kind not in BY_PLANS))


def settle_all(subscription_id: str) -> list[str]:
    """Close what was said of a subscription whose account belongs to a later one; say in words what changed."""
    return _tell(subscription_id, [], KINDS)


def _found(story: SubscriptionStory, *, is_ours: bool) -> list[Difference]:
    if story.founding is None:
        return [_not_linked(story)]
    return list(plans.differences(story)) if is_ours else []


def _unknown(story: SubscriptionStory) -> Difference:
    return Difference(
        UNKNOWN,
        "",
        f"Paddle was asked about the subscription {story.subscription_id} and does not know it, or not its customer."
        " Its event alone was gone by.",
        "Check that the webhook and the API key belong to one Paddle account, and that this was no simulated event.",
    )


def _not_linked(story: SubscriptionStory) -> Difference:
    return Difference(
        NOT_LINKED,
        "",
        f"An event of the subscription {story.subscription_id} came, but none says how it began; it has no m3ter"
        " account and its usage is billed nowhere.",
        "Nothing, if its subscription.created comes within the hour. Otherwise import the subscription.",
    )


def _tell(subscription_id: str, found: list[Difference], kinds: tuple[str, ...]) -> list[str]:
    """Keep the open findings in step with what holds now; say what changed.

    What a person closed stays closed as long as it says the same.
    """
    now = {(difference.kind, difference.key): difference for difference in found}
    ours = Finding.objects.filter(subject=subscription_id, kind__in=kinds)
    is_open = {(row.kind, row.key): row for row in ours.filter(state=Finding.State.OPEN)}
    dismissed = set(
        ours.filter(state=Finding.State.CLOSED, closed_by__isnull=False).values_list("kind", "key", "detail")
    )
    told = []
    for place, difference in now.items():
        known = is_open.get(place)
        if (*place, difference.detail) in dismissed or (known and known.detail == difference.detail):
            continue
        finding.report(
            difference.kind,
            subscription_id,
            detail=difference.detail,
            next_step=difference.next_step,
            key=difference.key,
        )
        told.append(f"a finding was opened: {difference.kind}")
    for kind, key in is_open.keys() - now.keys():
        finding.settle(kind, subscription_id, reason="It no longer holds.", key=key)
        told.append(f"a finding was closed: {kind}")
    return told
