"""Plans on an account become what is wanted: looked for, then ended, removed, changed, swapped or made, each once.

What we wrote down decides whether m3ter is asked at all; what m3ter lists decides what is done there. So a repeat after
a lost answer, or after a process that died, finds what the first attempt did.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from integration_project.errors import Conflict, NeedsConfiguration, NotFound, PlanConflict, VendorRejected
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.vendors.m3ter.entities import AccountPlan, NewAccountPlan
from integration_project.vendors.m3ter.errors import not_listed_yet
from paddle_sync import resolving
from paddle_sync.accounts import ENTITY, TABLE, Ensured
from paddle_sync.models import AccountLink, AccountPlanLink
from paddle_sync.resolving import PLAN_CONFLICT
from paddle_sync.wanted import WantedPlan, overlap


@dataclass(frozen=True)
class Attached:
    """A wanted plan, and the account plan that stands for it in m3ter."""

    wanted: WantedPlan
    code: str
    account_plan: AccountPlan


@dataclass
class Done:
    """What became of an account's plans; `words` say what was changed in m3ter."""

    attached: list[Attached] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    ended_before: dict[str, datetime] = field(default_factory=dict)
    """Account plans of the subscription before this one, and where they were ended."""


def recorded(link: AccountLink | None) -> tuple[AccountPlanLink, ...]:
    """The plans that we attached to a linked account."""
    return () if link is None else tuple(link.plans_now().order_by("pk"))


def as_wanted(
    rows: Sequence[AccountPlanLink], wanted: Sequence[WantedPlan], subscription_id: str
) -> tuple[WantedPlan, ...]:
    """What we wrote down, in the words of what is wanted: one that stands for a wanted plan began when that does."""
    begins = {plan.code(subscription_id): plan.starts_at for plan in wanted}
    return tuple(
        WantedPlan(
            plan_id=row.m3ter_plan_id,
            plan_group_id=row.m3ter_plan_group_id,
            product_id=row.m3ter_product_id,
            starts_at=begins.get(row.code, row.starts_at),
            ends_at=row.ends_at,
            quantity=row.quantity,
            price_ids=tuple(row.paddle_price_ids),
            quantity_field=row.quantity_field,
        )
        for row in rows
    )


def is_right(rows: Sequence[AccountPlanLink], wanted: Sequence[WantedPlan], subscription_id: str) -> bool:
    """Say whether m3ter has all that is wanted and nothing else, as far as we wrote down."""
    have = {row.code: (row.m3ter_plan_id or row.m3ter_plan_group_id, row.ends_at, _fields(row)) for row in rows}
    return have == {plan.code(subscription_id): (plan.target, plan.ends_at, plan.fields) for plan in wanted}


def bring_about(
    account: Ensured,
    wanted: Sequence[WantedPlan],
    rows: Sequence[AccountPlanLink],
    subscription_id: str,
    m3ter: M3terClient,
) -> Done:
    """Make the account's plans what is wanted, and say what was done; an account made just now has none yet."""
    existing = () if account.made_now else m3ter.list_account_plans(account.id)
    settled = _ended_when_it_left(account, subscription_id)
    existing = tuple(plan for plan in existing if plan.id not in settled)
    return _Plans(account, wanted, rows, subscription_id, existing, m3ter).bring_about()


def end_all(account: Ensured, rows: Sequence[AccountPlanLink], at: datetime, m3ter: M3terClient) -> list[Attached]:
    """End what still runs, because the subscription stopped: that waits for nobody's decision about other items.

    What was to begin later ends as it begins.
    """
    ends = {row: max(at, row.starts_at) for row in rows}
    running = {row.m3ter_account_plan_id: row for row in rows if row.ends_at is None or row.ends_at > ends[row]}
    if not running:
        return []
    return [
        Attached(
            replace(as_wanted([row], (), "")[0], ends_at=ends[row]),
            row.code,
            m3ter.end_account_plan(plan, end_date=ends[row]),
        )
        for plan in m3ter.list_account_plans(account.id)
        if (row := running.get(plan.id)) is not None
    ]


def map_account(account: Ensured, subscription_id: str, m3ter: M3terClient) -> str:
    """Note in m3ter which Paddle subscription the account is, unless an earlier attempt did; the mapping's id."""
    if not account.made_now:
        found = m3ter.find_external_mapping(table=TABLE, external_id=subscription_id)
        if found is not None and found.m3ter_id == account.id:
            return found.id
    made = m3ter.ensure_external_mapping(entity=ENTITY, m3ter_id=account.id, table=TABLE, external_id=subscription_id)
    return made.id


class _Plans:
    """One account's plans, and how they become the wanted ones."""

    def __init__(
        self,
        account: Ensured,
        wanted: Sequence[WantedPlan],
        rows: Sequence[AccountPlanLink],
        subscription_id: str,
        existing: Sequence[AccountPlan],
        m3ter: M3terClient,
    ) -> None:
        self.account = account
        self.subscription_id = subscription_id
        self.m3ter = m3ter
        self.done = Done()
        self.wanted = {plan.code(subscription_id): plan for plan in wanted}
        self.existing = {plan.id: plan for plan in existing}
        self.row_of = {row.m3ter_account_plan_id: row.code for row in rows}
        self.before = _plans_of(account.predecessor)
        self.found: dict[str, AccountPlan] = {}

    def bring_about(self) -> Done:
        """First nothing is refused any more, then room is made, then what is missing is made."""
        self._find()
        self._refuse_strangers()
        swapped = self._swaps()
        self._end_of_predecessor()
        self._remove_obsolete()
        self._change(earlier_ends=True, leave=set(swapped.values()))
        self._change(earlier_ends=False, leave=set(swapped.values()))
        for code, plan in sorted(self.wanted.items(), key=lambda each: each[1].starts_at):
            if code not in self.found:
                self.found[code] = self._swap(code, swapped[code]) if code in swapped else self._make(plan)
        self.done.attached = [Attached(plan, code, self.found[code]) for code, plan in self.wanted.items()]
        return self.done

    # Looking.

    def _is_made_by_us(self, plan: AccountPlan) -> bool:
        return (plan.code or "").startswith(f"{self.subscription_id}:")

    def _find(self) -> None:
        """Find what stands for each wanted plan already: by its code, by our record, or running under another name."""
        for code, plan in self.wanted.items():
            alike = [each for each in self.existing.values() if plan.target in _targets(each)]
            by_code = next((each for each in alike if each.code == code), None)
            recorded = [each for each in alike if self.row_of.get(each.id) == code]
            by_record = next(
                (each for each in recorded if plan.ends_at is None or each.start_date < plan.ends_at), None
            )
            found = by_code or by_record
            if found is not None:
                self.found[code] = found
        self._adopt()

    def _adopt(self) -> None:
        """Let what somebody else put there stand for the first wanted plan that it overlaps with, and for no other."""
        taken = {plan.id for plan in self.found.values()}
        for code, plan in sorted(self.wanted.items(), key=lambda each: each[1].starts_at):
            if code in self.found:
                continue
            for each in self.existing.values():
                is_free = each.id not in taken and not self._is_made_by_us(each)
                at_once = overlap(plan.starts_at, plan.ends_at, each.start_date, each.end_date)
                if is_free and at_once and plan.target in _targets(each):
                    self.found[code] = each
                    taken.add(each.id)
                    break

    def _refuse_strangers(self) -> None:
        """What somebody else put there is left alone, and stands in the way of another plan of its product.

        It does so too where a plan that ended before it is to go on.
        """
        taken = {plan.id for plan in self.found.values()}
        strangers = [
            each
            for each in self.existing.values()
            if each.id not in taken and each.id not in self.before and not self._is_made_by_us(each)
        ]
        for code, plan in self.wanted.items():
            missing_from = self.found[code].end_date if code in self.found else plan.starts_at
            if missing_from is None or (plan.ends_at is not None and plan.ends_at <= missing_from):
                continue
            for other in strangers:
                at_once = overlap(missing_from, plan.ends_at, other.start_date, other.end_date)
                if at_once and set(plan.products) & set(_products_of(other)):
                    raise _in_the_way(plan, other)

    def _swaps(self) -> dict[str, str]:
        """Which missing plan follows which running one of its product: m3ter changes both in one call."""
        swaps: dict[str, str] = {}
        for code, plan in self.wanted.items():
            if code in self.found or not plan.plan_id:
                continue
            for old_code, old in self.found.items():
                ended = self.wanted[old_code]
                follows = ended.ends_at == plan.starts_at and ended.product_id == plan.product_id and old.plan_id
                runs_on = old.end_date is None or old.end_date > plan.starts_at
                if follows and runs_on and not _fields_missing(old, ended) and old_code not in swaps.values():
                    swaps[code] = old_code
                    break
        return swaps

    # Changing.

    def _end_of_predecessor(self) -> None:
        """The subscription before this one stops being metered where this one begins."""
        if not self.before or not self.wanted:
            return
        taken = {plan.id for plan in self.found.values()}
        start = min(plan.starts_at for plan in self.wanted.values())
        for plan_id in self.before.keys() - taken:
            plan = self.existing.get(plan_id)
            end = max(start, plan.start_date) if plan is not None else start  # what began later counts for nothing
            if plan is not None and (plan.end_date is None or plan.end_date > end):
                self.m3ter.end_account_plan(plan, end_date=end)
                self.done.ended_before[plan_id] = end
                self._say(f"plan {plan.plan_id or plan.plan_group_id} of the subscription before ended {_when(end)}")

    def _remove_obsolete(self) -> None:
        """Take away what we made by an earlier, less complete story; what was billed by then can only be ended."""
        taken = {plan.id for plan in self.found.values()}
        ours = [each for each in self.existing.values() if self._is_made_by_us(each) and each.id not in taken]
        for plan in ours:
            if plan.end_date == plan.start_date:  # taken back before, as far as m3ter let us
                continue
            try:
                self.m3ter.delete_account_plan(plan)
            except VendorRejected:
                self.m3ter.end_account_plan(plan, end_date=plan.start_date)
            self._say(f"plan {plan.plan_id or plan.plan_group_id} from {_when(plan.start_date)} taken back")

    def _change(self, *, earlier_ends: bool, leave: set[str]) -> None:
        """Move ends, and write quantities into custom fields; earlier ends first, because they make room."""
        for code, plan in list(self.found.items()):
            wanted = self.wanted[code]
            moves = plan.end_date != wanted.ends_at and code not in leave
            shortens = (
                moves and wanted.ends_at is not None and (plan.end_date is None or wanted.ends_at < plan.end_date)
            )
            fields = _fields_missing(plan, wanted)
            if shortens is not earlier_ends or not (moves or fields):
                continue
            changed = self.m3ter.update_account_plan(
                plan,
                end_date=wanted.ends_at if moves else None,
                reopen=moves and wanted.ends_at is None,
                custom_fields=fields or None,
            )
            self.found[code] = changed
            if moves:
                ends = f"ends {_when(wanted.ends_at)}" if wanted.ends_at else "goes on"
                self._say(f"plan {wanted.target} {ends}")
            if fields:
                self._say(f"plan {wanted.target} has the quantity {wanted.quantity}")

    def _swap(self, code: str, old_code: str) -> AccountPlan:
        plan, old = self.wanted[code], self.found[old_code]
        try:
            swapped = self.m3ter.replace_account_plan(old.id, self._new(plan))
        except VendorRejected as refusal:
            return self._standing(code, plan, refusal)
        self.found[old_code] = swapped.original
        self._say(f"plan {old.plan_id} replaced by {plan.target} {_when(plan.starts_at)}")
        return swapped.new

    def _make(self, plan: WantedPlan) -> AccountPlan:
        """Put the plan on the account; one that is refused is looked for, since an answer may have been lost."""
        try:
            made = self.m3ter.create_account_plan(self._new(plan))
        except VendorRejected as refusal:
            return self._standing(plan.code(self.subscription_id), plan, refusal)
        self._say(f"plan {plan.target} put on it {_when(plan.starts_at)}")
        return made

    def _standing(self, code: str, plan: WantedPlan, refusal: VendorRejected) -> AccountPlan:
        """The plan that was refused because an attempt whose answer was lost had put it there; else say what is wrong.

        That attempt ended the plan before it too, where it was a swap: m3ter does both or neither.
        """
        existing = () if isinstance(refusal, NotFound) else self.m3ter.list_account_plans(self.account.id)
        standing = next((each for each in existing if each.code == code and plan.target in _targets(each)), None)
        if standing is not None:
            return standing
        if isinstance(refusal, Conflict):
            raise not_listed_yet(refusal) from None
        raise _refused(self.account, plan, refusal) from None

    def _new(self, plan: WantedPlan) -> NewAccountPlan:
        return NewAccountPlan(
            account_id=self.account.id,
            start_date=plan.starts_at,
            end_date=plan.ends_at,
            plan_id=plan.plan_id or None,
            plan_group_id=plan.plan_group_id or None,
            code=plan.code(self.subscription_id),
            custom_fields=plan.fields,
        )

    def _say(self, words: str) -> None:
        self.done.words.append(words)


def _ended_when_it_left(account: Ensured, subscription_id: str) -> set[str]:
    """Plans of an earlier time on this account, which the subscription left and came back to: they are history."""
    left = AccountPlanLink.objects.filter(
        link__paddle_subscription_id=subscription_id, left_account_id=account.id, ends_at__isnull=False
    )
    return set(left.values_list("m3ter_account_plan_id", flat=True))


def _plans_of(link: AccountLink | None) -> dict[str, AccountPlanLink]:
    return {} if link is None else {row.m3ter_account_plan_id: row for row in link.plans_now()}


def _fields(row: AccountPlanLink) -> dict[str, int]:
    return {row.quantity_field: row.quantity} if row.quantity_field else {}


def _fields_missing(plan: AccountPlan, wanted: WantedPlan) -> dict[str, int]:
    """The custom fields that a plan should have and does not."""
    return {name: value for name, value in wanted.fields.items() if plan.custom_fields.get(name) != value}


def _targets(plan: AccountPlan) -> set[str | None]:
    return {plan.plan_id, plan.plan_group_id}


def _products_of(plan: AccountPlan) -> tuple[str, ...]:
    """The products that an account plan is for, as far as they are known."""
    if plan.plan_group_id:
        return resolving.products_of_group(plan.plan_group_id)
    return (plan.product_id,) if plan.product_id else ()


def _when(moment: datetime) -> str:
    return f"at {moment:%Y-%m-%d %H:%M:%S}"


def _in_the_way(plan: WantedPlan, other: AccountPlan) -> PlanConflict:
    return PlanConflict(
        PLAN_CONFLICT,
        plan.product_id or plan.target,
        f"The m3ter account already has {other.plan_id or other.plan_group_id} at {plan.starts_at:%d %B %Y}, which"
        f" is for a product of {plan.target} too, and m3ter allows one plan of a product at a time. Nothing was"
        " attached. End the one in m3ter, or map the price to it; then replay this event.",
    )


def _refused(account: Ensured, plan: WantedPlan, refusal: VendorRejected) -> NeedsConfiguration:
    """A plan that m3ter does not take is a mapping that a person must correct."""
    return NeedsConfiguration(
        resolving.PLAN_REFUSED,
        plan.target,
        f"{refusal}. The price {' and '.join(plan.price_ids)} is mapped to {plan.target}, which m3ter did not put on"
        f' the account "{account.code}". Map the price to another plan; {resolving.NEXT_STEP}',
    )
