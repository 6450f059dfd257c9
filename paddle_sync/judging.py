"""What taking in a subscription would do, judged from our own tables and a few calls to m3ter; nothing is changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from integration_project import clock, installation
from integration_project.errors import AccountConflict, MappingMissing, NeedsConfiguration, Permanent
from integration_project.models import Installation
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.vendors.m3ter.entities import Account
from paddle_sync import accounts, attaching, links, moving, plans, resolving, story
from paddle_sync.models import AccountLink, BulkItem
from paddle_sync.own_events import FOUND
from paddle_sync.plans import Terms
from paddle_sync.resolving import Resolved
from paddle_sync.story import Snapshot, SubscriptionStory
from paddle_sync.wanted import WantedPlan, keep_charged

Verdict = BulkItem.Verdict
TRIAL = "foreseen"
"""The name of the snapshot that is kept for the time of a judgement only."""


@dataclass(frozen=True)
class Foreseen:
    """What would become of a subscription, why, and what is missing or in the way."""

    verdict: BulkItem.Verdict
    note: str
    about: str = ""


@dataclass(frozen=True)
class _Case:
    """A subscription that calls for an account of its own: which one, and with what plans."""

    subscription_id: str
    founding: Snapshot
    code: str
    wanted: tuple[WantedPlan, ...]


class _Nothing(Exception):
    """Nothing would be made; carries what is foreseen instead."""

    def __init__(self, foreseen: Foreseen) -> None:
        super().__init__(foreseen.note)
        self.foreseen = foreseen


def judge(subscriptions: Sequence[Mapping[str, Any]], m3ter: M3terClient) -> list[Foreseen]:
    """Foresee what would become of each of these subscriptions; their accounts are looked up together."""
    row = installation.current()
    installation.require_match(row)
    row = installation.with_organization(row, m3ter)
    cases = [_case(data, row) for data in subscriptions]
    codes = sorted({case.code for case in cases if isinstance(case, _Case)})
    known = {account.code: account for account in m3ter.list_accounts(codes=codes)} if codes else {}
    return [case if isinstance(case, Foreseen) else _with_account(case, known.get(case.code), m3ter) for case in cases]


def _case(data: Mapping[str, Any], row: Installation) -> _Case | Foreseen:
    """What the subscription calls for; what is foreseen already where no account has to be looked up."""
    try:
        return _called_for(data, row)
    except _Nothing as nothing:
        return nothing.foreseen
    except MappingMissing as missing:
        return Foreseen(Verdict.UNMAPPED, str(missing), missing.key)
    except NeedsConfiguration as problem:
        return Foreseen(Verdict.CONFLICT, str(problem), problem.kind)
    except Permanent as problem:
        return Foreseen(Verdict.UNREADABLE, str(problem))


def needs_nothing(data: Mapping[str, Any]) -> bool:
    """Say whether nothing of an unlinked subscription would be metered if it were taken in now.

    By what is stored of it and by the mappings; False where something has to be decided first.
    """
    try:
        _, resolved = _resolved(data, installation.current())
    except (NeedsConfiguration, Permanent):
        return False
    return not resolved.is_metered


def _resolved(data: Mapping[str, Any], row: Installation) -> tuple[SubscriptionStory, Resolved]:
    """The story as it would be, and the plans it would call for."""
    subscription_id = str(data["id"])
    terms = Terms(installation.zone(row), row.lead_days, row.charge_from)
    told = _story_with(subscription_id, data, row)
    spans = plans.desired_spans(told, terms, moving.moments_of(subscription_id))
    return told, resolving.resolve(spans, resolving.decisions_of(subscription_id), terms.zone)


def _called_for(data: Mapping[str, Any], row: Installation) -> _Case:
    subscription_id = str(data["id"])
    link = links.of(subscription_id)
    told, resolved = _resolved(data, row)
    wanted = resolved.plans
    if link is not None:
        raise _Nothing(_of_linked(link, wanted))
    if told.founding is None or not resolved.is_metered:
        raise _Nothing(Foreseen(Verdict.NOT_METERED, "No item of it is metered, so m3ter needs nothing."))
    code = accounts.account_code(told.founding, row)
    before = accounts.predecessor(told.founding, code, row)
    if before is not None:
        taken = f'Takes over the account "{before.m3ter_account_code}" of {before.paddle_subscription_id}'
        raise _Nothing(Foreseen(Verdict.ADOPT, f"{taken}, {_with_plans(wanted)}."))
    return _Case(subscription_id, told.founding, code, wanted)


def _story_with(subscription_id: str, data: Mapping[str, Any], row: Installation) -> SubscriptionStory:
    """The story as it would be once the subscription is taken in; nothing of that is kept."""
    with transaction.atomic():
        story.keep(
            subscription_id,
            data,
            occurred_at=clock.now(),
            event_id=TRIAL,
            event_type=FOUND,
            codes_trusted=row.customer_codes_trusted,
        )
        told = SubscriptionStory.stored(subscription_id)
        transaction.set_rollback(True)
    return told


def _of_linked(link: AccountLink, wanted: Sequence[WantedPlan]) -> Foreseen:
    account, subscription_id = f'Its account "{link.m3ter_account_code}"', link.paddle_subscription_id
    rows = attaching.recorded(link)
    final = keep_charged(wanted, attaching.as_wanted(rows, wanted, subscription_id), link.charged_until)
    have = {row.code for row in rows}
    lacking = [plan for plan in final if plan.code(subscription_id) not in have]
    if lacking:
        return Foreseen(Verdict.COMPLETE, f"{account} is linked and gets what it lacks, {_with_plans(lacking)}.")
    if not attaching.is_right(rows, final, subscription_id):
        return Foreseen(Verdict.COMPLETE, f"{account} is linked; when its plans run is brought in step.")
    return Foreseen(Verdict.RIGHT, f"{account} is linked, with every plan it calls for.")


def _with_account(case: _Case, account: Account | None, m3ter: M3terClient) -> Foreseen:
    """Say whether the account is made, is there and may be taken, or is somebody else's."""
    if account is None:
        return Foreseen(Verdict.CREATE, f'A new account "{case.code}", {_with_plans(case.wanted)}.')
    try:
        how = _how_it_is_ours(case, account, m3ter)
    except AccountConflict as conflict:
        return Foreseen(Verdict.CONFLICT, str(conflict), conflict.kind)
    return Foreseen(
        Verdict.ADOPT, f'm3ter has its account "{case.code}": {how}. It is used, {_with_plans(case.wanted)}.'
    )


def _how_it_is_ours(case: _Case, account: Account, m3ter: M3terClient) -> str:
    """Say why an account that m3ter has may be used, by the rules of accounts.ensure; AccountConflict where not."""
    if account.custom_fields.get(accounts.OURS) == case.subscription_id:
        return "it was made for this subscription"
    taken = AccountLink.objects.filter(m3ter_account_id=account.id, state=AccountLink.State.LIVE).first()
    if taken is not None:
        raise _conflict(account, f"it belongs to the subscription {taken.paddle_subscription_id}")
    if account.is_skeleton and accounts.OURS not in account.custom_fields:
        return "it is bare"
    mappings = m3ter.external_mappings_of(entity=accounts.ENTITY, m3ter_id=account.id)
    ours = (accounts.TABLE, case.subscription_id)
    if not any((entry.external_table, entry.external_id) == ours for entry in mappings):
        raise _conflict(account, "it holds a customer already, and no mapping of it names this subscription")
    currency = case.founding.subscription.currency_code
    if account.currency is not None and account.currency != currency:
        raise _conflict(account, f"it is billed in {account.currency}, the subscription in {currency}")
    return "its mapping names this subscription"


def _conflict(account: Account, why: str) -> AccountConflict:
    words = f'm3ter has an account with the code "{account.code}" ({account.id}), and {why}.'
    return AccountConflict(accounts.ACCOUNT_CONFLICT, account.code or "", words)


def _with_plans(wanted: Sequence[WantedPlan]) -> str:
    """Say which plans, and when each begins."""
    named = [f"{plan.target} from {_day(plan.starts_at)}" for plan in wanted]
    return f"with {' and '.join(named)}"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
