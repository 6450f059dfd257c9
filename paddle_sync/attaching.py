"""Plans that an account should have and lacks: looked for, then attached, each exactly once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from integration_project.errors import Conflict, NeedsConfiguration, NotFound, PlanConflict, VendorRejected
from integration_project.vendors.m3ter.client import M3terClient, not_listed_yet
from integration_project.vendors.m3ter.entities import AccountPlan, NewAccountPlan
from paddle_sync import resolving
from paddle_sync.accounts import ENTITY, TABLE, Ensured
from paddle_sync.models import AccountLink, AccountPlanLink
from paddle_sync.plans import WantedPlan
from paddle_sync.resolving import PLAN_CONFLICT


@dataclass(frozen=True)
class Attached:
    """A wanted plan, and the account plan that stands for it in m3ter."""

    wanted: WantedPlan
    code: str
    account_plan: AccountPlan


def recorded(link: AccountLink | None) -> tuple[AccountPlanLink, ...]:
    """The plans that we attached to a linked account."""
    return () if link is None else tuple(link.plans.order_by("pk"))


def missing(have: Sequence[AccountPlanLink], wanted: Sequence[WantedPlan]) -> tuple[WantedPlan, ...]:
    """The wanted plans for whose product, or group, the account has none yet."""
    held = {plan.m3ter_plan_group_id or plan.m3ter_product_id for plan in have}
    return tuple(plan for plan in wanted if (plan.plan_group_id or plan.product_id) not in held)


def attach(
    account: Ensured, wanted: Sequence[WantedPlan], subscription_id: str, m3ter: M3terClient
) -> tuple[Attached, ...]:
    """Attach what the account lacks; an account that was not made just now is listed first, ended plans too."""
    existing = () if account.made_now else m3ter.list_account_plans(account.id)
    found = {plan.target: _standing_for(plan, subscription_id, existing) for plan in wanted}
    return tuple(_attach(account, plan, subscription_id, found[plan.target], m3ter) for plan in wanted)


def map_account(account: Ensured, subscription_id: str, m3ter: M3terClient) -> str:
    """Note in m3ter which Paddle subscription the account is, unless an earlier attempt did; the mapping's id."""
    if not account.made_now:
        found = m3ter.find_external_mapping(table=TABLE, external_id=subscription_id)
        if found is not None and found.m3ter_id == account.id:
            return found.id
    made = m3ter.ensure_external_mapping(entity=ENTITY, m3ter_id=account.id, table=TABLE, external_id=subscription_id)
    return made.id


def _attach(
    account: Ensured, plan: WantedPlan, subscription_id: str, found: AccountPlan | None, m3ter: M3terClient
) -> Attached:
    made = found or _make(account, plan, subscription_id, m3ter)
    return Attached(plan, plan.code(subscription_id), made)


def _make(account: Ensured, plan: WantedPlan, subscription_id: str, m3ter: M3terClient) -> AccountPlan:
    """Put the plan on the account; one that is refused is looked for, since an answer may have been lost."""
    wanted = NewAccountPlan(
        account_id=account.id,
        start_date=plan.starts_at,
        plan_id=plan.plan_id or None,
        plan_group_id=plan.plan_group_id or None,
        code=plan.code(subscription_id),
    )
    try:
        return m3ter.create_account_plan(wanted)
    except VendorRejected as refusal:
        existing = () if isinstance(refusal, NotFound) else m3ter.list_account_plans(account.id)
        standing = _standing_for(plan, subscription_id, existing)
        if standing is not None:
            return standing
        if isinstance(refusal, Conflict):
            raise not_listed_yet(refusal) from None
        raise _refused(account, plan, refusal) from None


def _standing_for(plan: WantedPlan, subscription_id: str, existing: Sequence[AccountPlan]) -> AccountPlan | None:
    """The account plan that is the wanted one already: by its code, or the same plan running at that time."""
    code = plan.code(subscription_id)
    alike = [candidate for candidate in existing if plan.target in {candidate.plan_id, candidate.plan_group_id}]
    by_code = next((candidate for candidate in alike if candidate.code == code), None)
    if by_code is not None:
        return by_code
    running = [candidate for candidate in existing if _runs_at(candidate, plan.starts_at)]
    same = [candidate for candidate in alike if candidate in running]
    other = next((c for c in running if set(plan.products) & set(_products_of(c))), None)
    if other is not None and not same:
        raise PlanConflict(
            PLAN_CONFLICT,
            plan.product_id or plan.target,
            f"The m3ter account already has {other.plan_id or other.plan_group_id} at {plan.starts_at:%d %B %Y}, which"
            f" is for a product of {plan.target} too, and m3ter allows one plan of a product at a time. Nothing was"
            " attached. End the one in m3ter, or map the price to it; then replay this event.",
        )
    return same[0] if same else None


def _products_of(plan: AccountPlan) -> tuple[str, ...]:
    """The products that an account plan is for, as far as they are known."""
    if plan.plan_group_id:
        return resolving.products_of_group(plan.plan_group_id)
    return (plan.product_id,) if plan.product_id else ()


def _runs_at(plan: AccountPlan, moment: datetime) -> bool:
    """Say whether a plan runs at that moment, or begins later: either way it stands in the way of another."""
    return plan.end_date is None or plan.end_date > moment


def _refused(account: Ensured, plan: WantedPlan, refusal: VendorRejected) -> NeedsConfiguration:
    """A plan that m3ter does not take is a mapping that a person must correct."""
    return NeedsConfiguration(
        resolving.PLAN_REFUSED,
        plan.target,
        f"{refusal}. The price {' and '.join(plan.price_ids)} is mapped to {plan.target}, which m3ter did not put on"
        f' the account "{account.code}". Map the price to another plan; {resolving.NEXT_STEP}',
    )
