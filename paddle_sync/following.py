"""m3ter becomes what a subscription's whole story calls for: account, plans, counts, billing terms, and their end."""

from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction

from integration_project.errors import MappingMissing, NeedsConfiguration
from integration_project.models import Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.client import M3terClient
from paddle_sync import accounts, attaching, counting, links, parking, plans, resolving, wanted
from paddle_sync.accounts import Ensured
from paddle_sync.attaching import Done
from paddle_sync.models import AccountLink
from paddle_sync.plans import Difference, Terms
from paddle_sync.resolving import Resolved
from paddle_sync.story import SubscriptionStory
from paddle_sync.usage import held
from paddle_sync.wanted import WantedPlan

BY = "another event"
"""Who lets a subscription's parked events go on, where an event of it could."""
ENDED_WITH_IT = ("CONTRACT", "ACCOUNTPLAN", "PREPAYMENT", "PRICINGS", "COUNTER_PRICINGS")
"""What m3ter gives an end when a subscription is cancelled: all that an account can be billed for."""


@dataclass(frozen=True)
class Followed:
    """The link there is now, what was done in m3ter, and what a person should know."""

    link: AccountLink | None
    words: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    account: Ensured | None = None
    """The account that was made or found in this run."""


def bring_about(
    story: SubscriptionStory,
    resolved: Resolved,
    link: AccountLink | None,
    terms: Terms,
    row: Installation,
    vendors: Vendors,
    *,
    thorough: bool,
) -> Followed:
    """Bring m3ter in step; a subscription of which nothing is metered, and never was, needs nothing there.

    What we wrote down says whether there is anything to do; `thorough` looks into m3ter all the same.
    """
    if link is None and not resolved.is_metered:
        links.record_decisions(story.subscription_id, None, resolved.decided)
        return Followed(None, differences=resolving.decided_otherwise(resolved.decided))
    until = link.charged_until if link is not None else None
    rows = attaching.recorded(link)
    have = attaching.as_wanted(rows, resolved.plans, story.subscription_id)
    final = wanted.keep_charged(resolved.plans, have, until)
    account: Ensured | None = None
    words: list[str] = []
    if link is None or thorough or link.plans_unsure or not attaching.is_right(rows, final, story.subscription_id):
        account = _account(story, terms, row, link, vendors)
        if link is not None:
            links.be_unsure(link)
        done = attaching.bring_about(account, final, rows, story.subscription_id, vendors.m3ter)
        words += [_made(account, final)] if link is None else done.words
        link = _write_down(story, account, link, done, resolved, vendors.m3ter, thorough=thorough)
    else:
        links.record_quiet_changes(link, final, resolved.decided)
    is_new = account is not None and account.made_now
    counts = counting.wanted_counts(resolved.counts, link, charged_until=until, zone=terms.zone)
    words += counting.bring_about(link, counts, vendors.m3ter, account_is_new=is_new, thorough=thorough)
    words += _keep_terms(link, story, terms, vendors.m3ter, thorough=thorough)
    words += _end_with_it(link, story, vendors.m3ter, account_is_new=is_new)
    told = (
        *wanted.changes_in_charged(resolved.plans, final, until),
        *counting.changes_in_charged(resolved.counts, counts),
        *resolving.decided_otherwise(resolved.decided),
    )
    return Followed(link, tuple(words), told, account)


def stop(story: SubscriptionStory, link: AccountLink | None, m3ter: M3terClient) -> tuple[str, ...]:
    """End what runs for a subscription that is paused or cancelled, although a person must still decide something."""
    at = plans.stopped_at(story)
    if link is None or at is None:
        return ()
    ended = attaching.end_all(links.account_of(link), attaching.recorded(link), _not_in_charged(at, link), m3ter)
    links.record_ends(ended)
    words = [f"plan {each.wanted.target} ends at {each.wanted.ends_at:%Y-%m-%d %H:%M:%S}" for each in ended]
    return (*words, *_end_with_it(link, story, m3ter, account_is_new=False))


def conflict(problem: NeedsConfiguration) -> tuple[Difference, ...]:
    """What a person should know of what stands in the way; a missing mapping is on the events' page already."""
    if isinstance(problem, MappingMissing) or problem.kind not in (accounts.ACCOUNT_CONFLICT, resolving.PLAN_CONFLICT):
        return ()
    return (Difference(problem.kind, problem.key, str(problem), "Put that right, then run the waiting events again."),)


def _account(
    story: SubscriptionStory, terms: Terms, row: Installation, link: AccountLink | None, vendors: Vendors
) -> Ensured:
    """The linked account as we know it, or else the one that m3ter has or gets now."""
    if link is not None:
        return replace(links.account_of(link), predecessor=links.before(link))
    founding = story.founding
    if founding is None:
        raise AssertionError("nothing is wanted before it is known how the subscription began")
    return accounts.ensure(story, founding, terms, row, vendors)


def _write_down(
    story: SubscriptionStory,
    account: Ensured,
    link: AccountLink | None,
    done: Done,
    resolved: Resolved,
    m3ter: M3terClient,
    *,
    thorough: bool,
) -> AccountLink:
    """Map the account, and write down what there is now."""
    subscription_id, founding = story.subscription_id, story.founding
    if founding is None:
        raise AssertionError("nothing is wanted before it is known how the subscription began")
    mapping_id = "" if link and not thorough else attaching.map_account(account, subscription_id, m3ter)
    with transaction.atomic():
        if link is None:
            link = links.record(account, story, founding, mapping_id)
            held.linked(link.paddle_subscription_id)
            reason = f'its account "{account.code}" was linked'
            parking.resume_subscription(subscription_id, by=BY, reason=reason)
        links.record_plans(link, done)
        links.record_decisions(subscription_id, link, resolved.decided)
        if mapping_id and link.external_mapping_id != mapping_id:
            links.save(link, external_mapping_id=mapping_id)
    return link


def _keep_terms(
    link: AccountLink, story: SubscriptionStory, terms: Terms, m3ter: M3terClient, *, thorough: bool
) -> list[str]:
    """Currency and billing date follow the subscription; one that never left its rhythm keeps the date it has."""
    currency = story.latest.subscription.currency_code
    epoch = plans.moved_epoch(story, terms) or link.bill_epoch
    if (currency, epoch) == (link.currency, link.bill_epoch) and not thorough:
        return []
    account = m3ter.get_account(link.m3ter_account_id)
    words = []
    if account.currency != currency or (epoch is not None and account.bill_epoch != epoch):
        m3ter.update_account(account, currency=currency, bill_epoch=epoch)
        words.append(f"the account bills in {currency}, from {epoch or 'its own date'} on")
    links.save(link, currency=currency, bill_epoch=epoch)
    return words


def _end_with_it(link: AccountLink, story: SubscriptionStory, m3ter: M3terClient, *, account_is_new: bool) -> list[str]:
    """Everything on the account ends with the subscription, what others put there too."""
    canceled = plans.canceled_at(story)
    if canceled is None:
        return []
    at = _not_in_charged(canceled, link)
    if link.entities_ended_at is not None and canceled <= link.entities_ended_at <= at:
        return []
    if not account_is_new:
        m3ter.end_billing_entities(link.m3ter_account_id, at, entities=ENDED_WITH_IT)
    links.save(link, entities_ended_at=at)
    return [f"all that the account is billed for ends at {at:%Y-%m-%d %H:%M:%S}"]


def _not_in_charged(at: datetime, link: AccountLink) -> datetime:
    """The moment at which something may end: nothing inside a period that was charged or locked is changed."""
    return at if link.charged_until is None else max(at, link.charged_until)


def _made(account: Ensured, attached: tuple[WantedPlan, ...]) -> str:
    how = "made" if account.made_now else "adopted" if account.adopted else "found"
    count = len(attached)
    return f'account "{account.code}" {how}, with {count} plan{"" if count == 1 else "s"}'
