"""Compares what Paddle, this database and m3ter say of each subscription; every difference is a finding.

Nothing is put right here: each finding has its fix, or its acknowledgement, in integration_project/fixes.py. A round
goes through Paddle's live subscriptions, then through the live links; it is walked in steps, each recorded with the
position after it in one transaction, so that any run may end anywhere and the next one goes on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from integration_project import clock, finding
from integration_project.errors import NotFound
from integration_project.finding import Found
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import Account, AccountPlan, ExternalMapping
from integration_project.vendors.paddle.entities import Subscription
from paddle_sync import resolving
from paddle_sync.accounts import ENTITY, TABLE
from paddle_sync.models import AccountLink, AccountPlanLink, ListPosition, WebhookEvent
from paddle_sync.reading_ahead import USUAL_ID
from paddle_sync.telling import NOT_LINKED, UNKNOWN

OUT_OF_STEP = "subscription out of step"
ACCOUNT_MISSING = "account missing"
ACCOUNT_CHANGED = "account changed"
PLAN_MISSING = "plan missing"
PLAN_CHANGED = "plan changed"
PLAN_UNKNOWN = "plan unknown"
MAPPING_MISSING = "mapping missing"
OF_PADDLE = (OUT_OF_STEP, UNKNOWN)
OF_M3TER = (ACCOUNT_MISSING, ACCOUNT_CHANGED, PLAN_MISSING, PLAN_CHANGED, PLAN_UNKNOWN, MAPPING_MISSING)
KINDS = (NOT_LINKED, *OF_PADDLE, *OF_M3TER)
"""The kinds of findings opened here, and closed here when they no longer hold."""
SHARED = frozenset({NOT_LINKED, UNKNOWN})
"""Those that a subscription's events open too."""
NO_LONGER = "It was compared again, and no longer holds."
ROUND = "drift"
LIVE = ("active", "trialing", "past_due", "paused")
"""Paddle's statuses of a subscription that may still be used."""
EXPECTED = timedelta(hours=1)
"""How long a new subscription's own events may take to arrive and run before it counts as not linked."""
PAGE = 200
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
    return row is None or bool(row.position) or row.finished_at is None or row.began_at <= since


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


def look(vendors: Vendors, *, progress: Callable[[Result], None] = lambda result: None) -> Iterator[Compared]:
    """Compare everything from the beginning and record nothing."""
    result = Result()
    for step in walk(vendors):
        result = _counted(result, step)
        progress(result)
        yield from step.compared


def look_again(vendors: Vendors) -> int:
    """Compare links anew for which something was done since a difference was found; say how many."""
    done_since = WebhookEvent.objects.filter(
        paddle_subscription_id=OuterRef("subject"), finished_at__gt=OuterRef("seen_at")
    )
    concerned = Finding.objects.filter(Exists(done_since), kind__in=KINDS, state=Finding.State.OPEN)
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
    """Every live subscription must be linked, or be on its way, or mean nothing in m3ter."""
    listed = vendors.paddle.list_subscriptions(status=LIVE, after=after or None)
    while page := tuple(islice(listed, PAGE)):
        ids = [subscription.id for subscription in page]
        linked = set(
            AccountLink.objects.filter(paddle_subscription_id__in=ids).values_list("paddle_subscription_id", flat=True)
        )
        waiting = set(
            WebhookEvent.objects.filter(
                paddle_subscription_id__in=ids, state__in=(*UNDER_WAY, State.PARKED)
            ).values_list("paddle_subscription_id", flat=True)
        )
        yield Step(
            f"{stage}:{page[-1].id}",
            tuple(
                Compared(each.id, (NOT_LINKED,), () if each.id in linked else (_not_linked(each),))
                for each in page
                if each.id in linked or not (each.id in waiting or _is_new(each) or _means_nothing(each))
            ),
        )


def _is_new(subscription: Subscription) -> bool:
    created, now = subscription.created_at, clock.now()
    return created is not None and now - EXPECTED < created <= now


def _means_nothing(subscription: Subscription) -> bool:
    """Say whether operators marked all of it as not metered, so that it needs no account."""
    period = subscription.current_billing_period
    began = period.starts_at if period else clock.now()
    products = {item.price.id or "": item.price.product_id or "" for item in subscription.items}
    return products.keys() <= resolving.not_metered(products, products, began.date())


def _not_linked(subscription: Subscription) -> Found:
    return Found(
        NOT_LINKED,
        f"Paddle lists the subscription {subscription.id} ({subscription.status}), but it has no m3ter account here and"
        " no event of it waits; its usage is billed nowhere.",
        "Import the subscription: its plans then start with its current billing period, and not before go-live.",
    )


# --- Links against Paddle and m3ter -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Together:
    """What was read at once for many links."""

    at: datetime
    subscriptions: Mapping[str, Subscription]
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
        found = [*_against_m3ter(link, account, plans, is_mapped=is_mapped)]
        kinds = OF_M3TER
        if link.source == WebhookEvent.Source.PADDLE and USUAL_ID.fullmatch(link.paddle_subscription_id):
            found += _against_paddle(link, together.subscriptions.get(link.paddle_subscription_id))
            kinds += OF_PADDLE if link.buyer_known else (OUT_OF_STEP,)
        yield link, Compared(link.paddle_subscription_id, kinds, tuple(found))


def _read(vendors: Vendors, links: Sequence[AccountLink]) -> _Together:
    at, accounts = clock.now(), [link.m3ter_account_id for link in links]
    ids = [link.paddle_subscription_id for link in links if link.source == WebhookEvent.Source.PADDLE]
    usual = [each for each in ids if USUAL_ID.fullmatch(each)]
    return _Together(
        at=at,
        subscriptions={each.id: each for each in vendors.paddle.list_subscriptions(ids=usual)} if usual else {},
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
    unlisted = set(link.plans.values_list("m3ter_account_plan_id", flat=True)) - {plan.id for plan in listed}
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


def _against_paddle(link: AccountLink, subscription: Subscription | None) -> Iterator[Found]:
    if subscription is None:
        yield Found(
            UNKNOWN,
            f"Paddle does not know the subscription {link.paddle_subscription_id}, which is linked to the m3ter account"
            f' "{link.m3ter_account_code}". No renewal of it will ever carry a bill.',
            "Check that the API key belongs to the Paddle account that sold it.",
        )
        return
    change = subscription.scheduled_change
    here_and_there = (
        ("status", link.paddle_status, subscription.status[:20]),
        ("customer", link.paddle_customer_id, subscription.customer_id),
        ("currency", link.currency, subscription.currency_code),
        ("next renewal", link.next_billed_at, subscription.next_billed_at),
        ("scheduled change", link.scheduled_action, change.action[:20] if change else ""),
        ("its day", link.scheduled_at, change.effective_at if change else None),
    )
    differing = _differing(here_and_there)
    if differing:
        yield Found(
            OUT_OF_STEP,
            f"Paddle says otherwise of the subscription {subscription.id} than its link does: {differing}. A webhook of"
            " that change was lost, or has failed.",
            "Sync the subscription: it is read from Paddle, and m3ter is made to match.",
        )


def _against_m3ter(
    link: AccountLink, account: Account | None, plans: Sequence[AccountPlan], *, is_mapped: bool
) -> Iterator[Found]:
    if account is None:
        yield Found(
            ACCOUNT_MISSING,
            f'm3ter has no account {link.m3ter_account_id} ("{link.m3ter_account_code}") any more. Usage of the'
            f" subscription {link.paddle_subscription_id} is measured nowhere, and nothing of it is billed.",
            "Find out who deleted it. Then have it made again: the link is given up, and the subscription gets a new"
            " account under its code.",
            severity=Finding.Severity.ALARM,
        )
        return
    differing = _differing(
        (
            ("code", link.m3ter_account_code, account.code or ""),
            ("currency", link.currency, account.currency or link.currency),
            ("first bill date", link.bill_epoch, account.bill_epoch),
        )
    )
    if differing:
        yield Found(
            ACCOUNT_CHANGED,
            f'The m3ter account "{link.m3ter_account_code}" was changed there: {differing}. Measurements, bills or'
            " their dates may go wrong.",
            "Sync the subscription, which makes the account right again; or change it back in m3ter.",
        )
    yield from _plans(link, plans)
    if not is_mapped:
        yield Found(
            MAPPING_MISSING,
            f'Nothing in m3ter says any more that the account "{link.m3ter_account_code}" is the Paddle subscription'
            f" {link.paddle_subscription_id}: the external {ENTITY.lower()} mapping is gone.",
            "Sync the subscription, which makes the mapping again.",
        )


# --- Plans ------------------------------------------------------------------------------------------------------------


def _plans(link: AccountLink, listed: Sequence[AccountPlan]) -> Iterator[Found]:
    """Every plan that we attached must be there as we left it; one that we did not must not overlap with ours."""
    there = {plan.id: plan for plan in listed}
    ours = list(link.plans.order_by("pk"))
    for plan in ours:
        found = there.pop(plan.m3ter_account_plan_id, None)
        if found is None:
            yield Found(
                PLAN_MISSING,
                f"m3ter no longer has the plan {_target(plan)} that was attached to the account"
                f' "{link.m3ter_account_code}" from {plan.starts_at:%d %B %Y} on. Usage in that time is billed without'
                " it.",
                "Sync the subscription, which attaches it again.",
                key=plan.code,
            )
        elif differing := _differing(_plan_sides(plan, found)):
            yield Found(
                PLAN_CHANGED,
                f'The plan {plan.code} of the account "{link.m3ter_account_code}" was changed in m3ter: {differing}.',
                "Sync the subscription, which makes the plan what Paddle and the mappings call for.",
                key=plan.code,
            )
    for stranger in there.values():
        if any(_overlap(plan, stranger) for plan in ours):
            yield Found(
                PLAN_UNKNOWN,
                f"Somebody put {stranger.plan_id or stranger.plan_group_id} on the m3ter account"
                f' "{link.m3ter_account_code}" from {stranger.start_date:%d %B %Y} on ({stranger.id}), beside a plan'
                " that was attached here. The customer may be billed twice for the same usage.",
                "End one of the two in m3ter, unless both are meant.",
                key=stranger.id,
                severity=Finding.Severity.NOTICE,
            )


def _plan_sides(ours: AccountPlanLink, theirs: AccountPlan) -> tuple[tuple[str, Any, Any], ...]:
    """What we left of a plan, and what m3ter has."""
    sides: tuple[tuple[str, Any, Any], ...] = (
        ("plan", _target(ours), theirs.plan_id or theirs.plan_group_id or ""),
        ("start", _second(ours.starts_at), _second(theirs.start_date)),
        ("end", _second(ours.ends_at), _second(theirs.end_date)),
    )
    if ours.quantity_field:
        sides += (("quantity", Decimal(ours.quantity), _number(theirs.custom_fields.get(ours.quantity_field))),)
    return sides


def _target(plan: AccountPlanLink) -> str:
    return plan.m3ter_plan_id or plan.m3ter_plan_group_id


def _overlap(ours: AccountPlanLink, stranger: AccountPlan) -> bool:
    """Say whether both may bill one product at one time, now or later; a group's products are not told apart."""
    alike = not (ours.m3ter_product_id and stranger.product_id) or ours.m3ter_product_id == stranger.product_id
    ends = [end for end in (ours.ends_at, stranger.end_date) if end is not None]
    begins = max(ours.starts_at, stranger.start_date)
    return alike and all(begins < end and clock.now() < end for end in ends)


def _second(moment: datetime | None) -> datetime | None:
    return moment.replace(microsecond=0) if moment else None


def _number(value: object) -> Decimal | str:
    """A quantity as a custom field may hold it, a number or a text."""
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return str(value or "")


def _differing(sides: Sequence[tuple[str, Any, Any]]) -> str:
    """Name in words what differs, ours first; empty when all is the same."""
    return "; ".join(f"{name} {_word(here)} here, {_word(there)} there" for name, here, there in sides if here != there)


def _word(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return "none" if value in (None, "") else str(value)


# --- Recording --------------------------------------------------------------------------------------------------------


def _begun() -> ListPosition:
    """The round that is under way, or a new one."""
    now = clock.now()
    row, _ = ListPosition.objects.get_or_create(name=ROUND, defaults={"began_at": now})
    if not row.position:
        row.began_at, row.looked_at, row.found = now, 0, 0
        row.save(update_fields=["began_at", "looked_at", "found"])
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
    for row in unseen.filter(kind__in=(OUT_OF_STEP, *OF_M3TER)):
        if row.subject not in live:
            finding.settle(row.kind, row.subject, key=row.key, reason="The subscription is no longer linked.")
    unlinked = list(unseen.filter(kind=NOT_LINKED).values_list("subject", flat=True).distinct())
    for subject in live.intersection(unlinked):
        finding.settle(NOT_LINKED, subject, reason="It is linked.")
    asked = [subject for subject in unlinked if subject not in live and USUAL_ID.fullmatch(subject)]
    for start in range(0, len(asked), TOGETHER):
        for subscription in vendors.paddle.list_subscriptions(ids=asked[start : start + TOGETHER]):
            if subscription.status not in LIVE:
                finding.settle(NOT_LINKED, subscription.id, reason=f"It is {subscription.status} in Paddle.")
