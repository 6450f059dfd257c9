"""Every event of a subscription, whatever its type and order: m3ter becomes what its whole story says."""

from django.db import transaction

from integration_project import clock, installation
from integration_project.errors import Ignored, NeedsConfiguration, VendorClosed
from integration_project.models import Installation
from integration_project.vendors import Vendors
from paddle_sync import accounts, attaching, links, parking, plans, resolving, telling
from paddle_sync.models import AccountLink, WebhookEvent
from paddle_sync.plans import Terms, WantedPlan
from paddle_sync.reading_ahead import FRESH
from paddle_sync.story import Snapshot, SubscriptionStory

BY = "another event"
"""Who lets a subscription's parked events go on, where an event of it could."""


def changed(event: WebhookEvent, vendors: Vendors) -> None:
    """A subscription began, changed or ended: account, plans and findings become what its whole story says."""
    row = installation.current()
    installation.require_match(row)
    story = SubscriptionStory.of(event, codes_trusted=row.customer_codes_trusted)
    if not story.is_fresh(event):
        _require_m3ter(story, row)
        story = story.with_read(event, vendors)
    if not story.snapshots:
        raise Ignored("Paddle does not know this subscription, and no event ever said what it is.")
    row = installation.with_organization(row, vendors.m3ter)
    terms = Terms(installation.zone(row), row.lead_days, row.charge_from)

    link = before = links.of(story.subscription_id)
    done = _followed(link, story)
    recorded = attaching.recorded(link)
    spans = plans.desired_spans(story, terms)
    wanted: tuple[WantedPlan, ...] = ()
    account: accounts.Ensured | None = None
    held: NeedsConfiguration | None = None
    met = False
    try:
        wanted = resolving.resolve(spans, recorded)
        missing = attaching.missing(recorded, wanted)
        if story.founding is not None and missing:
            account = _account(story, story.founding, terms, row, link, vendors)
            link = _attach(account, story.founding, missing, link, vendors)
            done += [_made(account, missing), *_followed(link, story)]
        met = _meet_buyer(before, story, vendors)
    except NeedsConfiguration as problem:  # what can be told and followed without it, is
        held = problem
    if met:
        done.append("the buyer is known now, and the account was named")
    done += telling.keep_in_step(
        story,
        terms,
        is_ours=link is not None or bool(wanted),
        known=_is_known(story, link, account, met=met),
        otherwise=resolving.decided_otherwise(spans, recorded),
        metered=resolving.prices_of(recorded),
    )

    if held is not None:
        raise held
    if not done:
        raise Ignored(_why_nothing(story, metered=link is not None or bool(wanted)))
    words = "; ".join(done)
    event.note = f"{words[0].upper()}{words[1:]}."


def _require_m3ter(story: SubscriptionStory, row: Installation) -> None:
    """Read nothing in Paddle for an account that could not be made now; VendorClosed says why it could not."""
    try:
        accounts.require_m3ter()
    except VendorClosed:
        if links.of(story.subscription_id) is not None or not _calls_for_an_account(story, row):
            return
        raise


def _calls_for_an_account(story: SubscriptionStory, row: Installation) -> bool:
    terms = Terms(installation.zone(row), row.lead_days, row.charge_from)
    try:
        return bool(resolving.resolve(plans.desired_spans(story, terms), ()))
    except NeedsConfiguration:
        return False


def _meet_buyer(link: AccountLink | None, story: SubscriptionStory, vendors: Vendors) -> bool:
    """Name the account of a buyer whom Paddle did not know when it was made, once Paddle does; True when it did."""
    if link is None or link.buyer_known or story.founding is None:
        return False
    was_asked_just_now = story.known_to_paddle is None and clock.now() - link.created_at < FRESH
    if was_asked_just_now:
        return False
    buyer = accounts.read_buyer(story.founding, vendors)
    if buyer.customer is None:
        return False
    account = vendors.m3ter.get_account(link.m3ter_account_id)
    code, subscription_id = link.m3ter_account_code, link.paddle_subscription_id
    links.meet_buyer(link, accounts.name_buyer(account, buyer, code, subscription_id, vendors.m3ter))
    return True


def _is_known(
    story: SubscriptionStory, link: AccountLink | None, account: accounts.Ensured | None, *, met: bool
) -> bool | None:
    """Say whether Paddle knows the subscription and its buyer; None where nobody asked."""
    is_buyer_known = link.buyer_known if link is not None else account is None or account.buyer_known
    if not is_buyer_known:
        return False
    return True if met and story.known_to_paddle is None else story.known_to_paddle


def _followed(link: AccountLink | None, story: SubscriptionStory) -> list[str]:
    """Bring what we say of the subscription up to date; what comes later may fail or wait for a person."""
    if link is None or not links.follow(link, story.latest.subscription):
        return []
    return ["its dates and status were brought up to date"]


def _account(
    story: SubscriptionStory,
    founding: Snapshot,
    terms: Terms,
    row: Installation,
    link: AccountLink | None,
    vendors: Vendors,
) -> accounts.Ensured:
    """The linked account as we know it, or else the one that m3ter has or gets now."""
    if link is not None:
        return links.account_of(link)
    return accounts.ensure(story, founding, terms, row, vendors)


def _attach(
    account: accounts.Ensured,
    founding: Snapshot,
    missing: tuple[WantedPlan, ...],
    link: AccountLink | None,
    vendors: Vendors,
) -> AccountLink:
    """Attach the plans, map the account, and write down what there is now."""
    subscription_id = founding.subscription.id
    attached = attaching.attach(account, missing, subscription_id, vendors.m3ter)
    mapping_id = "" if link else attaching.map_account(account, subscription_id, vendors.m3ter)
    with transaction.atomic():
        if link is None:
            link = links.record(account, founding, mapping_id)
        links.record_plans(link, attached)
        parking.resume_subscription(subscription_id, by=BY, reason=f'its account "{account.code}" was linked')
    return link


def _made(account: accounts.Ensured, plans_attached: tuple[WantedPlan, ...]) -> str:
    how = "made" if account.made_now else "adopted" if account.adopted else "found"
    count = len(plans_attached)
    return f'account "{account.code}" {how}, with {count} plan{"" if count == 1 else "s"}'


def _why_nothing(story: SubscriptionStory, *, metered: bool) -> str:
    if story.founding is None:
        return "Nothing changed: this subscription has no account yet, and how it began is still unknown."
    if not story.founding.items:
        return "This subscription began without any item, so m3ter needs nothing."
    if not metered:
        return "Every item of this subscription is marked as not metered, so m3ter needs nothing."
    return "Nothing changed: account, plans and findings already are what the subscription calls for."
