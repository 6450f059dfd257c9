"""Reads what the plan of pushes is made of, and makes it: a few queries, however many bills there are."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Func, IntegerField, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.db.models.sql.compiler import SQLCompiler

from billing_bridge import charge_limits, ledger, looking, modes, planning, safeguards
from billing_bridge.models import Push, PushedBill, PushPolicy
from billing_bridge.planning import Bill, Given, Plan, Terms
from integration_project import budgets, circuits, clock
from integration_project.vendors import PADDLE
from paddle_sync.models import AccountLink

State = PushedBill.State

PLANNED = (State.HELD, State.WAITING, State.READY, State.FAILED, State.LOST, State.UNCONFIRMED)
"""What Paddle does not have, or may not have. What is being charged at this moment is no plan any more."""
MOST = 20_000
"""So many bills are planned, those in the greatest need; a day has room for more, but no page."""
SETTLES_SOON = timedelta(minutes=5)


@dataclass(frozen=True)
class Outlook:
    """The plan, and what it was made in."""

    plan: Plan
    given: Given
    is_cut: bool
    """Whether there are more bills than were planned."""


def read() -> Outlook:
    """Plan every bill that Paddle does not have yet, as things stand now."""
    given = _given(clock.now())
    bills = list(_bills())
    return Outlook(planning.plan(bills[:MOST], given), given, is_cut=len(bills) > MOST)


def calls_a_minute() -> int:
    """What pushing has of Paddle's calls whatever else goes on; it borrows more while the others have nothing to do."""
    return int(budgets.limit_of(PADDLE).shares()["push"].rate * 60)


def _given(now: datetime) -> Given:
    return Given(
        now=now,
        calls_a_minute=calls_a_minute(),
        made=ledger.immediate_charges(since=now - charge_limits.LONGEST),
        open_until=_open_until(now),
        stopped=_stopped(),
    )


def _stopped() -> str:
    if circuits.nobody_may_call(PADDLE):
        return "Paddle refuses our key, so nothing is charged until it is put right."
    return safeguards.what_stands_in_the_way()


def _open_until(now: datetime) -> dict[str, datetime | None]:
    """Until when an unconfirmed charge may keep the next one of its subscription waiting."""
    unconfirmed = Push.objects.filter(state=Push.State.UNCONFIRMED)
    rows = unconfirmed.values_list("paddle_subscription_id", "sent_at", "bill__due_at")
    return {
        subscription_id: None if due_at is None else max((sent_at or now) + looking.SCHEDULE[-1], now + SETTLES_SOON)
        for subscription_id, sent_at, due_at in rows
    }


class _Length(Func):
    """How many entries a JSON list has."""

    function = "jsonb_array_length"
    output_field = IntegerField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        """SQLite's name for it."""
        return self.as_sql(compiler, connection, function="json_array_length", **extra)


LINK = ("m3ter_account_id", "paddle_subscription_id", "source", "paddle_status", "scheduled_action", "next_billed_at")
BILL = ("m3ter_account_id", "serial_key", "renews_at", "due_at", "state", "reason", "reason_detail", "chosen_mode")
READ = (*BILL, "outstanding", "link", *(f"link__{name}" for name in LINK))


def _bills() -> Iterator[Bill]:
    policies = {policy.link_id: policy for policy in PushPolicy.objects.all()}
    everybodys = policies.get(None, PushPolicy())
    rows = PushedBill.objects.filter(state__in=PLANNED)
    live = _live_links(rows)
    in_need = rows.order_by(
        Coalesce("renews_at", "due_at").asc(nulls_last=True), F("due_at").asc(nulls_last=True), "pk"
    )
    counted = in_need.select_related("link").only(*READ).annotate(lines=Coalesce(_Length("revision__lines"), Value(1)))
    for row in counted[: MOST + 1]:
        link = live.get(row.m3ter_account_id)
        policy = policies.get(link.pk, everybodys) if link is not None else everybodys
        yield _bill(row, link, policy, lines=row.lines)


def _live_links(rows: QuerySet[PushedBill]) -> dict[str, AccountLink]:
    """The subscription that pays for each account now, which is the one that a push would charge."""
    paying = Q(state=AccountLink.State.LIVE, m3ter_account_id__in=rows.order_by().values("m3ter_account_id"))
    return {link.m3ter_account_id: link for link in AccountLink.objects.filter(paying).only(*LINK)}


def _bill(row: PushedBill, live: AccountLink | None, policy: PushPolicy, *, lines: int) -> Bill:
    """Say what the plan needs of a bill; the link that was seen last stands in for a live one that there is not."""
    link = live or row.link
    mode = modes.for_bill(row, link, policy)
    moved = live is not None and live.pk != row.link_id
    scheduled = link.scheduled_action if link is not None else ""
    return Bill(
        id=row.pk,
        subscription_id=live.paddle_subscription_id if live is not None else row.serial_key,
        renews_at=live.next_billed_at if live is not None and moved else row.renews_at,
        due_at=row.due_at,
        state=row.state,
        reason=row.reason,
        detail=row.reason_detail,
        mode=mode.name,
        items=1 if policy.grouping == PushPolicy.Grouping.BILL or not mode.has_items else max(lines, 1),
        status=(link.paddle_status if link is not None else "") or "active",
        scheduled=scheduled if scheduled in {"cancel", "pause"} else "",
        terms=_terms(policy, mode),
    )


def _terms(policy: PushPolicy, mode: modes.Mode) -> Terms:
    return Terms(
        late_at_once=policy.late == PushPolicy.Late.IMMEDIATELY and not mode.gives_back,
        far_at_once=policy.far == PushPolicy.Far.IMMEDIATELY and not mode.gives_back,
        ending_at_once=policy.ending == PushPolicy.Far.IMMEDIATELY and not mode.gives_back,
        longest_wait=timedelta(days=policy.max_wait_days),
        limits_charges=mode.vendor == PADDLE,
    )
