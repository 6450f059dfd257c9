"""Every event of a subscription, whatever its type and order: m3ter becomes what its whole story says."""

from integration_project import clock, installation
from integration_project.errors import Ignored, NeedsConfiguration, VendorClosed
from integration_project.models import Installation
from integration_project.vendors import Vendors
from paddle_sync import accounts, following, links, moving, people, plans, resolving, telling
from paddle_sync.following import Followed
from paddle_sync.models import AccountLink, WebhookEvent
from paddle_sync.own_events import SYNC
from paddle_sync.plans import Terms
from paddle_sync.reading_ahead import FRESH
from paddle_sync.story import SubscriptionStory

BUYER_MET = "the buyer is known now, and the account was named"
BUYER_FOLLOWED = "the account says of its buyer what Paddle says now"


def changed(event: WebhookEvent, vendors: Vendors) -> None:
    """A subscription began, changed or ended: account, plans and findings become what its whole story says."""
    row = installation.current()
    installation.require_match(row)
    story = SubscriptionStory.of(event, codes_trusted=row.customer_codes_trusted)
    if not story.is_fresh(event):
        _require_m3ter(story, row)
        story = story.with_read(event, vendors)
    if not story.snapshots:
        raise Ignored(f"Paddle does not know the subscription {story.subscription_id}, and nothing of it is stored.")
    row = installation.with_organization(row, vendors.m3ter)
    terms = Terms(installation.zone(row), row.lead_days, row.charge_from)

    link = before = links.of(story.subscription_id)
    done = _followed(link, story)
    if link is not None and link.state == AccountLink.State.ENDED:
        _leave_to_successor(link, [*done, *telling.settle_all(story.subscription_id)], event)
        return
    thorough = event.event_type == SYNC
    result, held, met = Followed(link), None, False
    try:
        resolved = _resolved(story, terms, link)
        result = following.bring_about(story, resolved, link, terms, row, vendors, thorough=thorough)
        done += [*result.words, *_followed(result.link if link is None else None, story)]
        met = _meet_buyer(before, story, vendors)
        done += [BUYER_MET] if met else _follow_buyer(before, story, vendors, thorough=thorough)
    except NeedsConfiguration as problem:  # what can be told and followed without it, is
        held = problem
        done += following.stop(story, link, vendors.m3ter)
    done += telling.keep_in_step(
        story,
        is_ours=result.link is not None,
        known=_is_known(story, result, before, met=met),
        others=(*result.differences, *(following.conflict(held) if held else ())),
        worked_out=held is None,
    )

    if held is not None:
        raise held
    if not done:
        raise Ignored(_why_nothing(story, metered=result.link is not None))
    event.note = _sentence(done)


def _resolved(story: SubscriptionStory, terms: Terms, link: AccountLink | None) -> resolving.Resolved:
    since = link.account_since if link is not None else None
    spans = plans.desired_spans(story, terms, moving.moments_of(story.subscription_id), since=since)
    return resolving.resolve(spans, resolving.decisions_of(story.subscription_id), terms.zone)


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
        return _resolved(story, terms, None).is_metered
    except NeedsConfiguration:
        return False


def _leave_to_successor(link: AccountLink, done: list[str], event: WebhookEvent) -> None:
    """The account belongs to a later subscription by now: nothing of it is changed because of this one."""
    if not done:
        raise Ignored(f'Nothing changed: its account "{link.m3ter_account_code}" belongs to another subscription now.')
    event.note = _sentence(done)


def _meet_buyer(link: AccountLink | None, story: SubscriptionStory, vendors: Vendors) -> bool:
    """Name the account of a buyer whom Paddle did not know when it was made, once Paddle does; True when it did."""
    if link is None or link.buyer_known or story.founding is None:
        return False
    was_asked_just_now = story.known_to_paddle is None and clock.now() - link.created_at < FRESH
    if was_asked_just_now:
        return False
    buyer = people.read_buyer(story.founding.subscription, vendors)
    if buyer.customer is None:
        return False
    account = vendors.m3ter.get_account(link.m3ter_account_id)
    code, subscription_id = link.m3ter_account_code, link.paddle_subscription_id
    links.meet_buyer(link, people.name_buyer(account, buyer, code, subscription_id, vendors.m3ter))
    return True


def _follow_buyer(link: AccountLink | None, story: SubscriptionStory, vendors: Vendors, *, thorough: bool) -> list[str]:
    """Have the account say who buys now, where that is somebody else, or has another address or business."""
    if link is None or not link.buyer_known:
        return []
    now = story.latest.subscription
    then = (link.paddle_customer_id, link.paddle_address_id, link.paddle_business_id)
    if then == (now.customer_id, now.address_id or "", now.business_id or "") and not thorough:
        return []
    return [BUYER_FOLLOWED] if people.bring_up_to_date(link, now, vendors) else []


def _is_known(story: SubscriptionStory, result: Followed, link: AccountLink | None, *, met: bool) -> bool | None:
    """Say whether Paddle knows the subscription and its buyer; None where nobody asked."""
    is_buyer_known = link.buyer_known if link is not None else result.account is None or result.account.buyer_known
    if not is_buyer_known:
        return False
    return True if met and story.known_to_paddle is None else story.known_to_paddle


def _followed(link: AccountLink | None, story: SubscriptionStory) -> list[str]:
    """Bring what we say of the subscription up to date; what comes later may fail or wait for a person."""
    if link is None or not links.follow(link, story.latest.subscription):
        return []
    return ["its dates and status were brought up to date"]


def _sentence(done: list[str]) -> str:
    words = "; ".join(done)
    return f"{words[0].upper()}{words[1:]}."


def _why_nothing(story: SubscriptionStory, *, metered: bool) -> str:
    if story.founding is None:
        return "Nothing changed: this subscription has no account yet, and how it began is still unknown."
    if not story.founding.items and not story.latest.items:
        return "This subscription began without any item, so m3ter needs nothing."
    if not metered:
        return "Every item of this subscription is marked as not metered, so m3ter needs nothing."
    return "Nothing changed: account, plans and findings already are what the subscription calls for."
