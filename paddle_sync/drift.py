"""Compares what Paddle, this database and m3ter say of each subscription; every difference is a finding.

Nothing is put right here: each finding has its fix, or its acknowledgement, in integration_project/fixes.py. A round
goes through Paddle's live subscriptions, then through the live links, then through Classic's subscriptions; it is
walked in steps, each recorded with the position after it in one transaction, so that any run may end anywhere and the
next one goes on.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from integration_project import clock, finding
from integration_project.errors import BudgetSpent, IntegrationError, NotFound, VendorClosed
from integration_project.finding import Found
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import Account, AccountPlan, ExternalMapping
from integration_project.vendors.paddle.entities import Subscription
from integration_project.vendors.paddle_classic.client import DELETED
from integration_project.vendors.reading import Json, Unreadable
from paddle_sync import classic, comparing, existing, judging
from paddle_sync.accounts import TABLE
from paddle_sync.comparing import NOT_LINKED, OF_M3TER, OF_PADDLE, OUT_OF_STEP, UNKNOWN, UNREADABLE
from paddle_sync.models import AccountLink, ListPosition, WebhookEvent
from paddle_sync.reading_ahead import USUAL_ID

logger = logging.getLogger(__name__)

KINDS = (NOT_LINKED, *OF_PADDLE, *OF_M3TER)
"""The kinds of findings opened here, and closed here when they no longer hold."""
SHARED = frozenset({NOT_LINKED, UNKNOWN})
"""Those that a subscription's events open too."""
NO_LONGER = "It was compared again, and no longer holds."
ROUND = "drift"
EXPECTED = timedelta(hours=1)
"""How long a new subscription's own events may take to arrive and run before it counts as not linked."""
TOGETHER = 50
"""Links whose subscriptions, accounts and mappings are read in one call each."""
MOST_AGAIN = 20
State = WebhookEvent.State
UNDER_WAY = (State.RECEIVED, State.PROCESSING)


@dataclass(frozen=True)
class Compared:
    """What was found about one subscription, and which kinds of findings that settles."""

    subject: str
    kinds: tuple[str, ...]
    found: tuple[Found, ...] = ()


@dataclass(frozen=True)
class Step:
    """A part of a round, and where it goes on after it."""

    position: str
    compared: tuple[Compared, ...]


@dataclass(frozen=True)
class Result:
    """How far one run came."""

    looked_at: int = 0
    found: int = 0
    at_end: bool = False

    def __str__(self) -> str:
        rest = "" if self.at_end else "; the next run goes on"
        return f"{self.looked_at} compared, {self.found} differences{rest}"


def is_due(since: datetime) -> bool:
    """Say whether a round is under way, or the last one began before that moment."""
    row = ListPosition.objects.filter(name=ROUND).first()
    return row is None or row.finished_at is None or row.began_at <= since


def check(
    vendors: Vendors,
    *,
    most_steps: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Result], None] = lambda result: None,
) -> Result:
    """Go on with the round that is under way, or begin one; record what is found step by step."""
    row, result = _begun(), Result()
    for number, step in enumerate(walk(vendors, row.position), start=1):
        result = _counted(result, step)
        _record(row, step)
        progress(result)
        if number == most_steps or stop():
            return result
    _settle_what_is_gone(vendors, row.began_at)
    row.position, row.finished_at = "", clock.now()
    row.save(update_fields=["position", "finished_at"])
    return replace(result, at_end=True)


def look(vendors: Vendors, *, wait: Callable[[BudgetSpent], None]) -> Iterator[Compared]:
    """Compare everything from the beginning and record nothing; `wait` is called while our share of calls is used up.

    What was compared by then is not compared again.
    """
    position = ""
    while True:
        try:
            for step in walk(vendors, position):
                position = step.position
                yield from step.compared
            return
        except BudgetSpent as spent:
            wait(spent)


def look_again(vendors: Vendors) -> int:
    """Compare links anew for which something was done since a difference was found; say how many."""
    done_since = WebhookEvent.objects.filter(
        paddle_subscription_id=OuterRef("subject"), finished_at__gt=OuterRef("seen_at")
    )
    is_linked = _live_links().filter(paddle_subscription_id=OuterRef("subject"))
    concerned = Finding.objects.filter(Exists(done_since), Exists(is_linked), kind__in=KINDS, state=Finding.State.OPEN)
    chosen = concerned.order_by("subject").values_list("subject", flat=True).distinct()[:MOST_AGAIN]
    links = list(_live_links().filter(paddle_subscription_id__in=list(chosen)).order_by("pk"))
    for link, compared in _compared(vendors, links):
        finding.settle(NOT_LINKED, link.paddle_subscription_id, reason="It is linked.")
        if compared is not None:
            _tell(compared)
    return len(links)


def walk(vendors: Vendors, position: str = "") -> Iterator[Step]:
    """Go through a whole round, or what is left of it after a position."""
    stage, _, after = position.partition(":")
    names = [name for name, _ in STAGES]
    first = names.index(stage) if stage in names else 0
    for number, (name, steps) in enumerate(STAGES[first:]):
        yield from steps(vendors, name, after if number == 0 else "")


# --- Paddle's subscriptions against our links -------------------------------------------------------------------------


def _subscriptions(vendors: Vendors, stage: str, after: str) -> Iterator[Step]:
    """Every live subscription of Billing must be linked, or be on its way, or mean nothing in m3ter."""
    return _unlinked(vendors, WebhookEvent.Source.PADDLE, stage, after)


def _classic_subscriptions(vendors: Vendors, stage: str, after: str) -> Iterator[Step]:
    """The same of Classic, where that is on. It comes last, and one that cannot be read does not hold up a round."""
    if vendors.classic is None:
        return
    try:
        yield from _unlinked(vendors, WebhookEvent.Source.PADDLE_CLASSIC, stage, after)
    except BudgetSpent:
        raise
    except IntegrationError as problem:
        logger.warning("Paddle Classic's subscriptions were not compared to the end: %s", problem)


def _unlinked(vendors: Vendors, source: str, stage: str, after: str) -> Iterator[Step]:
    for page in existing.SOURCES[source].pages(vendors, after, ()):
        ids = [str(data["id"]) for data in page.subscriptions]
        linked = set(
            AccountLink.objects.filter(paddle_subscription_id__in=ids).values_list("paddle_subscription_id", flat=True)
        )
        waiting = set(
            WebhookEvent.objects.filter(
                paddle_subscription_id__in=ids, state__in=(*UNDER_WAY, State.PARKED)
            ).values_list("paddle_subscription_id", flat=True)
        )
        compared = [_against_links(data, linked=linked, waiting=waiting) for data in page.subscriptions]
        yield Step(f"{stage}:{page.cursor}", tuple(each for each in compared if each is not None))


def _against_links(data: Json, *, linked: Set[str], waiting: Set[str]) -> Compared | None:
    """Compare one with its link; None where nothing is to be said of it."""
    subscription_id = str(data["id"])
    if subscription_id in linked:
        return Compared(subscription_id, (NOT_LINKED,))
    try:
        subscription = Subscription.from_paddle(data)
    except Unreadable as problem:
        return Compared(subscription_id, (UNREADABLE,), (comparing.unreadable(subscription_id, str(problem)),))
    if subscription_id in waiting or _is_new(subscription):
        return None
    if judging.needs_nothing(data):
        return Compared(subscription_id, (NOT_LINKED,))
    return Compared(subscription_id, (NOT_LINKED,), (comparing.not_linked(subscription),))


def _is_new(subscription: Subscription) -> bool:
    created, now = subscription.created_at, clock.now()
    return created is not None and now - EXPECTED < created <= now


# --- Links against Paddle and m3ter -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Together:
    """What was read at once for many links."""

    at: datetime
    subscriptions: Mapping[str, Json]
    accounts: Mapping[str, Account]
    mappings: Sequence[ExternalMapping]


def _links(vendors: Vendors, stage: str, after: str) -> Iterator[Step]:
    """Every live link must say what Paddle says, and m3ter must have what the link says."""
    last = int(after or 0)
    while links := list(_live_links().filter(pk__gt=last).order_by("pk")[:TOGETHER]):
        for link, compared in _compared(vendors, links):
            yield Step(f"{stage}:{link.pk}", (compared,) if compared is not None else ())
        last = links[-1].pk


STAGES: tuple[tuple[str, Callable[[Vendors, str, str], Iterator[Step]]], ...] = (
    ("subscriptions", _subscriptions),
    ("links", _links),
    ("classic", _classic_subscriptions),
)


def _live_links() -> QuerySet[AccountLink]:
    return AccountLink.objects.filter(state=AccountLink.State.LIVE)


def _compared(vendors: Vendors, links: Sequence[AccountLink]) -> Iterator[tuple[AccountLink, Compared | None]]:
    """Compare links, read together; None for one whose subscription is being worked on meanwhile."""
    if not links:
        return
    together = _read(vendors, links)
    for link in links:
        account = together.accounts.get(link.m3ter_account_id) or _account(vendors, link)
        plans = _plans_on(vendors, link, account) if account is not None else ()
        is_mapped = account is not None and _is_mapped(vendors, link, account, together.mappings)
        if _is_under_way(link, together.at):
            yield link, None
            continue
        kinds, found = OF_M3TER, [*comparing.against_m3ter(link, account, plans, is_mapped=is_mapped)]
        if link.source == WebhookEvent.Source.PADDLE and USUAL_ID.fullmatch(link.paddle_subscription_id):
            more_kinds, more = _against_paddle(link, together.subscriptions.get(link.paddle_subscription_id))
            kinds, found = kinds + more_kinds, found + more
        yield link, Compared(link.paddle_subscription_id, kinds, tuple(found))


def _against_paddle(link: AccountLink, data: Json | None) -> tuple[tuple[str, ...], list[Found]]:
    """Compare a link with what Paddle lists: the kinds that settles, and what was found."""
    try:
        subscription = None if data is None else Subscription.from_paddle(data)
    except Unreadable as problem:
        return (UNREADABLE,), [comparing.unreadable(link.paddle_subscription_id, str(problem))]
    kinds = OF_PADDLE if link.buyer_known else (OUT_OF_STEP, UNREADABLE)
    return kinds, list(comparing.against_paddle(link, subscription))


def _read(vendors: Vendors, links: Sequence[AccountLink]) -> _Together:
    at, accounts = clock.now(), [link.m3ter_account_id for link in links]
    ids = [link.paddle_subscription_id for link in links if link.source == WebhookEvent.Source.PADDLE]
    usual = [each for each in ids if USUAL_ID.fullmatch(each)]
    return _Together(
        at=at,
        subscriptions={str(each["id"]): each for each in vendors.paddle.look_through_subscriptions(ids=usual)}
        if usual
        else {},
        accounts={each.id: each for each in vendors.m3ter.list_accounts(ids=accounts)},
        mappings=tuple(vendors.m3ter.list_external_mappings(m3ter_ids=accounts)),
    )


def _account(vendors: Vendors, link: AccountLink) -> Account | None:
    """An account that no list shows, read by itself: only a 404 says that it is gone."""
    try:
        return vendors.m3ter.get_account(link.m3ter_account_id)
    except NotFound:
        return None


def _plans_on(vendors: Vendors, link: AccountLink, account: Account) -> tuple[AccountPlan, ...]:
    """The plans on an account; one of ours that the list lacks is read by itself, since lists may lag."""
    listed = vendors.m3ter.list_account_plans(account.id)
    unlisted = set(link.plans_now().values_list("m3ter_account_plan_id", flat=True)) - {plan.id for plan in listed}
    read = (_plan(vendors, account_plan_id) for account_plan_id in sorted(unlisted))
    return (*listed, *(plan for plan in read if plan is not None))


def _plan(vendors: Vendors, account_plan_id: str) -> AccountPlan | None:
    try:
        return vendors.m3ter.get_account_plan(account_plan_id)
    except NotFound:
        return None


def _is_mapped(vendors: Vendors, link: AccountLink, account: Account, listed: Sequence[ExternalMapping]) -> bool:
    """Say whether m3ter knows which subscription the account is; asked by itself where the list does not show it."""
    own = link.paddle_subscription_id
    if any((each.m3ter_id, each.external_table, each.external_id) == (account.id, TABLE, own) for each in listed):
        return True
    found = vendors.m3ter.find_external_mapping(table=TABLE, external_id=own)
    return found is not None and found.m3ter_id == account.id


def _is_under_way(link: AccountLink, since: datetime) -> bool:
    """Say whether the link may have changed since it was read, or is about to."""
    events = WebhookEvent.objects.filter(paddle_subscription_id=link.paddle_subscription_id)
    if events.filter(Q(state__in=UNDER_WAY) | Q(finished_at__gte=since)).exists():
        return True
    return not AccountLink.objects.filter(pk=link.pk, updated_at=link.updated_at).exists()


# --- Recording --------------------------------------------------------------------------------------------------------


def _begun() -> ListPosition:
    """The round that is under way, or a new one."""
    now = clock.now()
    row, _ = ListPosition.objects.get_or_create(name=ROUND, defaults={"began_at": now})
    if row.finished_at is not None:
        row.began_at, row.finished_at, row.looked_at, row.found = now, None, 0, 0
        row.save(update_fields=["began_at", "finished_at", "looked_at", "found"])
    return row


def _counted(result: Result, step: Step) -> Result:
    found = sum(len(each.found) for each in step.compared)
    return replace(result, looked_at=result.looked_at + len(step.compared), found=result.found + found)


def _record(row: ListPosition, step: Step) -> None:
    """Write down what a step found, and where the round goes on, in one transaction."""
    with transaction.atomic():
        for compared in step.compared:
            _tell(compared)
        row.position = step.position
        row.looked_at += len(step.compared)
        row.found += sum(len(each.found) for each in step.compared)
        row.save(update_fields=["position", "looked_at", "found"])


def _tell(compared: Compared) -> None:
    finding.keep_in_step(compared.subject, compared.found, compared.kinds, reason=NO_LONGER, shared=SHARED)


def _settle_what_is_gone(vendors: Vendors, began_at: datetime) -> None:
    """Close findings about what this round did not come upon any more: unlinked since, or no longer live in Paddle."""
    unseen = Finding.objects.filter(state=Finding.State.OPEN, seen_at__lt=began_at)
    live = set(_live_links().values_list("paddle_subscription_id", flat=True))
    for subject in list(unseen.filter(kind=UNREADABLE).values_list("subject", flat=True)):
        finding.settle(UNREADABLE, subject, reason="Paddle lists it no longer, or as its contract says.")
    for row in unseen.filter(kind__in=(OUT_OF_STEP, *OF_M3TER)):
        if row.subject not in live:
            finding.settle(row.kind, row.subject, key=row.key, reason="The subscription is no longer linked.")
    unlinked = list(unseen.filter(kind=NOT_LINKED).values_list("subject", flat=True).distinct())
    for subject in live.intersection(unlinked):
        finding.settle(NOT_LINKED, subject, reason="It is linked.")
    asked = [subject for subject in unlinked if subject not in live and USUAL_ID.fullmatch(subject)]
    for start in range(0, len(asked), TOGETHER):
        for data in vendors.paddle.look_through_subscriptions(ids=asked[start : start + TOGETHER]):
            if data.get("status") not in existing.NOT_OVER:
                finding.settle(NOT_LINKED, str(data["id"]), reason=f"It is {data.get('status')} in Paddle.")
    _settle_what_is_over_in_classic(vendors, [s for s in unlinked if s not in live and classic.is_classic(s)])


def _settle_what_is_over_in_classic(vendors: Vendors, unlinked: Sequence[str]) -> None:
    if vendors.classic is None:
        return
    for subject in unlinked:
        try:
            user = vendors.classic.find_user(subject)
        except VendorClosed:
            return
        if user is not None and user.state == DELETED:
            finding.settle(NOT_LINKED, subject, reason="It is cancelled in Paddle Classic.")
