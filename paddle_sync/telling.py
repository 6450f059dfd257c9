"""What a person should know about a subscription: findings kept in step with what holds now, whatever the order."""

from collections.abc import Sequence

from integration_project import finding
from integration_project.models import Finding
from paddle_sync import plans, resolving
from paddle_sync.plans import Difference, Terms
from paddle_sync.story import SubscriptionStory

NOT_LINKED = "subscription not linked"
UNKNOWN = "unknown to Paddle"
KINDS = (
    NOT_LINKED,
    "item swapped",
    "item removed",
    "item added",
    "quantity changed",
    "subscription canceled",
    "subscription paused",
    "change scheduled",
    "currency changed",
    "billing date moved",
    resolving.MAPPED_OTHERWISE,
)
"""The kinds of findings opened here, and closed here when they no longer hold."""


def keep_in_step(
    story: SubscriptionStory,
    terms: Terms,
    *,
    is_ours: bool,
    known: bool | None,
    otherwise: Sequence[Difference] = (),
    metered: frozenset[str] = frozenset(),
) -> list[str]:
    """Open what holds now and close what does not; say in words what changed.

    `is_ours`: it has an account, or something of it is metered. `known`: whether Paddle, asked just now, knows the
    subscription; None when it was not asked, and then what was said of that stays. `otherwise`: what today's mappings
    would attach otherwise. `metered`: the prices that have a plan, whatever today's mappings say of them.
    """
    found = [*_found(story, terms, is_ours=is_ours, metered=metered), *otherwise]
    if known is False:
        found.append(_unknown(story))
    kinds = KINDS if known is None else (*KINDS, UNKNOWN)
    return _tell(story.subscription_id, found, kinds)


def _found(story: SubscriptionStory, terms: Terms, *, is_ours: bool, metered: frozenset[str]) -> list[Difference]:
    if story.founding is None:
        return [_not_linked(story)]
    return _that_matter(story, terms, metered) if is_ours else []


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


def _that_matter(story: SubscriptionStory, terms: Terms, metered: frozenset[str]) -> list[Difference]:
    """Differences, without those that concern only items which are not metered."""
    differences = plans.differences(story)
    prices = {price for difference in differences for price in difference.price_ids}
    products = {item.price_id: item.product_id for snapshot in story.snapshots for item in snapshot.items}
    day = story.latest.occurred_at.astimezone(terms.zone).date()
    undecided = prices - metered
    unmetered = resolving.not_metered(undecided, products, day) if undecided else frozenset()
    return [
        difference for difference in differences if not difference.price_ids or set(difference.price_ids) - unmetered
    ]


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
