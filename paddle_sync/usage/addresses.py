"""Whose usage it is: a subscription, a customer or an account code becomes the account that is measured, or a refusal.

Nothing is ever sent under a code that is not the account of one of our links: m3ter makes an account of any other code.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Exists, OuterRef, Q

from integration_project.models import Finding
from paddle_sync import comparing
from paddle_sync.models import (
    AccountLink,
    AccountPlanLink,
    PlanDecision,
    SettledPeriod,
    SubscriptionSnapshot,
    WebhookEvent,
)
from paddle_sync.usage.items import Refusal

Address = tuple[str, str]
"""Field of the item, and what stands in it."""
LOCKED = SettledPeriod.State.LOCKED
STUCK = (WebhookEvent.State.PARKED, WebhookEvent.State.FAILED)


@dataclass(frozen=True)
class Settled:
    """A period whose bill is approved or locked."""

    starts_at: datetime
    ends_at: datetime
    bill_id: str
    is_locked: bool


@dataclass(frozen=True)
class Destination:
    """An account to measure, or a subscription that is known and has none yet."""

    account_code: str
    account_id: str = ""
    subscription_id: str = ""
    waits: bool = False
    """Whether there is no account yet: what is accepted is held until there is one."""
    spans: tuple[tuple[datetime, datetime | None], ...] = ()
    """From when to when the account has plans, in order; a plan without an end has None."""
    is_adopted: bool = False
    """Whether the account existed before, perhaps with plans of others."""
    settled: tuple[Settled, ...] = ()


@dataclass
class Book:
    """Addresses that were looked up; `find_in_paddle` says which of some subscriptions Paddle has, None: not asked."""

    find_in_paddle: Callable[[Sequence[str]], Mapping[str, Refusal | None]]
    entries: dict[Address, Destination | Refusal] = field(default_factory=dict)

    def look_up(self, addresses: Iterable[Address]) -> None:
        """Resolve those that are not known yet, with the same few queries for any number of them."""
        wanted: dict[str, set[str]] = defaultdict(set)
        for address in addresses:
            if address not in self.entries:
                wanted[address[0]].add(address[1])
        for kind, names in wanted.items():
            self.entries.update({(kind, name): found for name, found in _BY[kind](self, sorted(names)).items()})


Found = dict[str, Destination | Refusal]
ASTRAY = Q(kind=comparing.ACCOUNT_MISSING) | Q(kind=comparing.ACCOUNT_CHANGED, detail__contains=comparing.CODE_CHANGED)
"""Findings about accounts that m3ter has under their code no more."""


def _by_subscription(book: Book, names: Sequence[str]) -> Found:
    links = {link.paddle_subscription_id: link for link in _links(paddle_subscription_id__in=names)}
    found = _destinations(links, "paddle_subscription_id")
    left = [name for name in names if name not in found]
    known = _known_subscriptions(left) if left else set()
    unmetered = _not_metered(known)
    found.update({name: unmetered.get(name) or _waiting(name) for name in known})
    unknown = [name for name in left if name not in known]
    if unknown:
        for name, refusal in book.find_in_paddle(unknown).items():
            found[name] = refusal or _waiting(name)
    return found


def _by_customer(book: Book, names: Sequence[str]) -> Found:
    of: dict[str, list[AccountLink]] = defaultdict(list)
    for link in _links(paddle_customer_id__in=names, state=AccountLink.State.LIVE):
        of[link.paddle_customer_id].append(link)
    single = {name: links[0] for name, links in of.items() if len(links) == 1}
    found = _destinations(single, "paddle_customer_id")
    for name in names:
        if name not in found:
            found[name] = _no_single_link(name, len(of[name]))
    return found


def _by_code(book: Book, names: Sequence[str]) -> Found:
    links: dict[str, AccountLink] = {}
    for link in _links(m3ter_account_code__in=names):
        if link.m3ter_account_code not in links or link.state == AccountLink.State.LIVE:
            links[link.m3ter_account_code] = link
    found = _destinations(links, "m3ter_account_code")
    for name in names:
        if name not in found:
            found[name] = Refusal(
                "unknown_account",
                "m3ter_account_code",
                f"no linked subscription has the m3ter account {name!r}. Codes are compared letter for letter; address"
                " the usage by its Paddle subscription if in doubt.",
            )
    return found


_BY: Mapping[str, Callable[[Book, Sequence[str]], Found]] = {
    "paddle_subscription_id": _by_subscription,
    "paddle_customer_id": _by_customer,
    "m3ter_account_code": _by_code,
}


def _links(**which: object) -> "list[AccountLink]":
    return list(AccountLink.objects.filter(**which).order_by("pk"))


def _destinations(links: Mapping[str, AccountLink], given: str) -> Found:
    """Gather plans and settled periods of the accounts of these links; refuse where m3ter would make another one."""
    account_ids = {link.m3ter_account_id for link in links.values()}
    spans: dict[str, list[tuple[datetime, datetime | None]]] = defaultdict(list)
    plans = AccountPlanLink.objects.filter(link__m3ter_account_id__in=account_ids, left_account_id="")
    for account_id, starts_at, ends_at in plans.values_list("link__m3ter_account_id", "starts_at", "ends_at"):
        spans[account_id].append((starts_at, ends_at))
    settled: dict[str, list[Settled]] = defaultdict(list)
    for period in SettledPeriod.objects.filter(m3ter_account_id__in=account_ids):
        settled[period.m3ter_account_id].append(
            Settled(period.starts_at, period.ends_at, period.m3ter_bill_id, period.state == LOCKED)
        )
    astray = _astray({link.paddle_subscription_id for link in links.values()}, given)
    return {
        name: astray.get(link.paddle_subscription_id)
        or Destination(
            account_code=link.m3ter_account_code,
            account_id=link.m3ter_account_id,
            subscription_id=link.paddle_subscription_id,
            spans=_together(spans[link.m3ter_account_id]),
            is_adopted=link.adopted,
            settled=tuple(settled[link.m3ter_account_id]),
        )
        for name, link in links.items()
    }


def _astray(subscriptions: Iterable[str], given: str) -> dict[str, Refusal]:
    """Those whose account is known to be gone from m3ter, or to have another code there."""
    told = Finding.objects.filter(ASTRAY, state=Finding.State.OPEN, subject__in=subscriptions)
    return {
        subscription_id: Refusal(
            "account_astray",
            given,
            f"m3ter has the account of subscription {subscription_id!r} no more, or under another code, and would make"
            " a stray one. Somebody is told of it; send the usage again once that is put right.",
        )
        for subscription_id in told.values_list("subject", flat=True)
    }


def _together(spans: Iterable[tuple[datetime, datetime | None]]) -> tuple[tuple[datetime, datetime | None], ...]:
    """Join spans that overlap or touch, so that the time without any plan is what lies between them."""
    joined: list[tuple[datetime, datetime | None]] = []
    for start, end in sorted(spans, key=lambda span: span[0]):
        if not joined:
            joined.append((start, end))
            continue
        first, last = joined[-1]
        if last is None or start <= last:
            joined[-1] = (first, None if last is None or end is None else max(last, end))
        else:
            joined.append((start, end))
    return tuple(joined)


def _known_subscriptions(names: Sequence[str]) -> set[str]:
    """Say which subscriptions an event told us of that may still get an account."""
    seen = set(
        SubscriptionSnapshot.objects.filter(paddle_subscription_id__in=names).values_list(
            "paddle_subscription_id", flat=True
        )
    )
    told = WebhookEvent.objects.filter(paddle_subscription_id__in=[name for name in names if name not in seen])
    return seen | set(told.exclude(state=WebhookEvent.State.IGNORED).values_list("paddle_subscription_id", flat=True))


def _not_metered(names: Iterable[str]) -> dict[str, Refusal]:
    """Those of which everything was decided, and nothing to be metered: they never get an account.

    What an event tells that is parked or failed is not decided yet.
    """
    stuck = WebhookEvent.objects.filter(
        paddle_subscription_id=OuterRef("paddle_subscription_id"),
        event_type__startswith="subscription",
        state__in=STUCK,
    )
    decided = PlanDecision.objects.filter(~Exists(stuck), paddle_subscription_id__in=list(names))
    return {
        name: Refusal(
            "not_metered",
            "paddle_subscription_id",
            f"nothing of subscription {name!r} is metered, by the mappings of its prices. Map a price of it to a plan"
            " first.",
        )
        for name in set(decided.values_list("paddle_subscription_id", flat=True))
    }


def _waiting(subscription_id: str) -> Destination:
    return Destination(account_code=subscription_id, subscription_id=subscription_id, waits=True)


def _no_single_link(name: str, links: int) -> Refusal:
    if links:
        return Refusal(
            "customer_ambiguous",
            "paddle_customer_id",
            f"customer {name!r} has {links} linked subscriptions. Say which one with paddle_subscription_id.",
        )
    return Refusal(
        "unknown_customer",
        "paddle_customer_id",
        f"no live linked subscription belongs to customer {name!r}. Address the usage by paddle_subscription_id, which"
        " is taken even before its account exists.",
    )
