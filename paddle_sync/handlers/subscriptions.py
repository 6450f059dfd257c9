"""Every event of a subscription, whatever its type and order: m3ter becomes what its whole story says."""

from integration_project import finding, installation
from integration_project.errors import Ignored
from integration_project.models import Finding, Installation
from integration_project.vendors import Vendors
from paddle_sync import accounts, attaching, links, plans, resolving
from paddle_sync.models import AccountLink, WebhookEvent
from paddle_sync.plans import Difference, Terms
from paddle_sync.story import SubscriptionStory

NOT_LINKED = "subscription not linked"
UNKNOWN = "unknown to Paddle"
KINDS = (
    NOT_LINKED,
    UNKNOWN,
    "item swapped",
    "item removed",
    "item added",
    "quantity changed",
    "subscription canceled",
    "subscription paused",
    "change scheduled",
    "currency changed",
    "billing date moved",
)
"""The kinds of findings this module opens, and closes when they no longer hold."""


def changed(event: WebhookEvent, vendors: Vendors) -> None:
    """A subscription began, changed or ended: account, plans and findings become what its whole story says."""
    row = installation.current()
    installation.require_match(row)
    story = SubscriptionStory.of(event)
    if not story.is_fresh(event):
        story = story.with_read(vendors.paddle)
    row = installation.with_organization(row, vendors.m3ter)
    terms = Terms(installation.zone(row), row.lead_days, row.charge_from)

    wanted = resolving.resolve(plans.desired_spans(story, terms))
    link = links.of(story.subscription_id)
    done = _bring_about(story, wanted, terms, row, link, vendors)
    link = links.of(story.subscription_id)
    if link is not None and links.follow(link, story.latest.subscription):
        done.append("its dates and status were brought up to date")
    done += _tell(story.subscription_id, _findings(story, terms, link=link, metered=bool(wanted)))

    if not done:
        raise Ignored(_why_nothing(story, metered=bool(wanted)))
    words = "; ".join(done)
    event.note = f"{words[0].upper()}{words[1:]}."


def _bring_about(
    story: SubscriptionStory,
    wanted: tuple[plans.WantedPlan, ...],
    terms: Terms,
    row: Installation,
    link: AccountLink | None,
    vendors: Vendors,
) -> list[str]:
    """Make account and plans that are missing, and record them; say in words what was done."""
    founding = story.founding
    missing = attaching.missing(link, wanted)
    if founding is None or not missing:
        return []
    account = links.account_of(link) if link else accounts.ensure(story, founding, terms, row, vendors)
    attached = attaching.attach(account, missing, story.subscription_id, vendors.m3ter)
    if link is None:
        mapping_id = attaching.map_account(account, story.subscription_id, vendors.m3ter)
        link = links.record(account, founding, mapping_id)
    links.record_plans(link, attached)
    how = "made" if account.made_now else "adopted" if account.adopted else "found"
    return [f'account "{account.code}" {how}, with {len(attached)} plan{"" if len(attached) == 1 else "s"}']


def _findings(story: SubscriptionStory, terms: Terms, *, link: AccountLink | None, metered: bool) -> list[Difference]:
    """Everything a person should know about this subscription now."""
    found = []
    if story.founding is None:
        found.append(_not_linked(story))
    elif link is not None or metered:
        found += _that_matter(story, terms)
    if story.unknown_to_paddle:
        found.append(
            Difference(
                UNKNOWN,
                "",
                f"Paddle was asked for the subscription {story.subscription_id} and knows no such one; its event alone"
                " was gone by.",
                "Check that the webhook and the API key belong to one Paddle account, and that this was no simulation.",
            )
        )
    return found


def _not_linked(story: SubscriptionStory) -> Difference:
    return Difference(
        NOT_LINKED,
        "",
        f"An event of the subscription {story.subscription_id} came, but none says how it began; it has no m3ter"
        " account and its usage is billed nowhere.",
        "Nothing, if its subscription.created comes within the hour. Otherwise import the subscription.",
    )


def _that_matter(story: SubscriptionStory, terms: Terms) -> list[Difference]:
    """Differences, without those that concern only items which are not metered."""
    differences = plans.differences(story)
    prices = {price for difference in differences for price in difference.price_ids}
    products = {item.price_id: item.product_id for snapshot in story.snapshots for item in snapshot.items}
    day = story.latest.occurred_at.astimezone(terms.zone).date()
    unmetered = resolving.not_metered(prices, products, day) if prices else frozenset()
    return [
        difference for difference in differences if not difference.price_ids or set(difference.price_ids) - unmetered
    ]


def _tell(subscription_id: str, found: list[Difference]) -> list[str]:
    """Keep the open findings in step with what holds now; say what changed.

    What a person closed stays closed as long as it says the same.
    """
    now = {(difference.kind, difference.key): difference for difference in found}
    ours = Finding.objects.filter(subject=subscription_id, kind__in=KINDS)
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


def _why_nothing(story: SubscriptionStory, *, metered: bool) -> str:
    if story.founding is None:
        return "Nothing changed: this subscription has no account yet, and how it began is still unknown."
    if not metered:
        return "Every item of this subscription is marked as not metered, so m3ter needs nothing."
    return "Nothing changed: account, plans and findings already are what the subscription calls for."
