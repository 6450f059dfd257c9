"""Reads what the plan of pushes is made of, and makes it: a few queries, however many bills there are."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Func, IntegerField, Value
from django.db.models.functions import Coalesce
from django.db.models.sql.compiler import SQLCompiler

from billing_bridge import charge_limits, ledger, looking, planning, safeguards
from billing_bridge.models import Push, PushedBill, PushPolicy
from billing_bridge.planning import Bill, Given, Plan, Terms
from integration_project import budgets, circuits, clock
from integration_project.vendors import PADDLE

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


COLUMNS = (
    "pk",
    "serial_key",
    "renews_at",
    "due_at",
    "state",
    "reason",
    "reason_detail",
    "chosen_mode",
    "lines",
    "link_id",
    "link__paddle_status",
    "link__scheduled_action",
)


def _bills() -> Iterator[Bill]:
    policies = {policy.link_id: policy for policy in PushPolicy.objects.all()}
    everybodys = policies.get(None, PushPolicy())
    rows = PushedBill.objects.filter(state__in=PLANNED).annotate(lines=Coalesce(_Length("revision__lines"), Value(1)))
    in_need = rows.order_by(
        Coalesce("renews_at", "due_at").asc(nulls_last=True), F("due_at").asc(nulls_last=True), "pk"
    )
    for row in in_need.values(*COLUMNS)[: MOST + 1]:
        yield _bill(row, policies.get(row["link_id"], everybodys))


def _bill(row: dict[str, Any], policy: PushPolicy) -> Bill:
    status, scheduled = row["link__paddle_status"] or "active", row["link__scheduled_action"] or ""
    return Bill(
        id=row["pk"],
        subscription_id=row["serial_key"],
        renews_at=row["renews_at"],
        due_at=row["due_at"],
        state=row["state"],
        reason=row["reason"],
        detail=row["reason_detail"],
        mode=row["chosen_mode"] or policy.mode,
        items=1 if policy.grouping == PushPolicy.Grouping.BILL else max(row["lines"], 1),
        status=status,
        scheduled=scheduled if scheduled in {"cancel", "pause"} else "",
        terms=_terms(policy),
    )


def _terms(policy: PushPolicy) -> Terms:
    return Terms(
        late_at_once=policy.late == PushPolicy.Late.IMMEDIATELY,
        far_at_once=policy.far == PushPolicy.Far.IMMEDIATELY,
        ending_at_once=policy.ending == PushPolicy.Far.IMMEDIATELY,
        longest_wait=timedelta(days=policy.max_wait_days),
    )
