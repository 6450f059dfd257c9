"""Usage that was accepted, as the console's tests need it: in every state that something is decided about."""

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any

from billing_bridge.models import PushedBill
from integration_project import clock
from paddle_sync.models import (
    AccountLink,
    LateForBill,
    LateInBatch,
    LateUsage,
    SeenMeter,
    UsageBatch,
    UsageBody,
    UsageDay,
    UsageFailure,
    UsageUid,
)
from paddle_sync.usage import bodies
from tests.builders import paddle_id
from tests.console.usage_rows import HOSTILE as MARKUP


@dataclass(frozen=True)
class Usage:
    """Usage in every state that something is decided about."""

    failed: UsageBatch
    held: UsageBatch
    failure: UsageFailure
    late_bill: LateForBill
    late: LateUsage


def make_batch(state: str = UsageBatch.State.SENT, **changes: Any) -> UsageBatch:
    """A batch of one measurement, from a client whose name holds markup."""
    values = {"received_at": clock.now(), "items": 1, "size": 10, "client": f"product {MARKUP}", "note": MARKUP}
    batch = UsageBatch.objects.create(state=state, **{**values, **changes})
    key = uuid.uuid4()
    text = f'{{"uid":"{key.hex}","meter":"api_calls","account":"{MARKUP}","what":{{"endpoint":"{MARKUP}"}}}}'
    UsageBody.objects.create(batch=batch, **bodies.pack([bodies.Line(key.bytes, 1, 0, text.encode())]))
    UsageUid.objects.create(key=key, content=1, batch_id=batch.pk, received_on=clock.now().date())
    return batch


def make_failure(**changes: Any) -> UsageFailure:
    """A measurement that m3ter dropped."""
    values: dict[str, Any] = {
        "m3ter_event_id": uuid.uuid4().hex,
        "occurred_at": clock.now(),
        "kind": "UndefinedMeter",
        "state": UsageFailure.State.OPEN,
        "uid_key": uuid.uuid4(),
        "meter": "api_calls",
        "m3ter_account_code": f"account {MARKUP}",
        "measurement": {"meter": MARKUP},
        "detail": f"m3ter has no such meter {MARKUP}.",
    }
    return UsageFailure.objects.create(**{**values, **changes})


def make_late_bill(bill: PushedBill, batch: UsageBatch) -> LateForBill:
    """Later usage of an approved bill."""
    LateInBatch.objects.create(batch=batch, m3ter_bill_id=bill.m3ter_bill_id, items=3)
    return LateForBill.objects.create(
        m3ter_bill_id=bill.m3ter_bill_id,
        m3ter_account_id=bill.m3ter_account_id,
        m3ter_account_code=bill.m3ter_account_code,
        last_at=clock.now(),
        last_error=MARKUP,
    )


def make_late_usage(link: AccountLink, batch: UsageBatch, **changes: Any) -> LateUsage:
    """Usage of a locked period."""
    now = clock.now()
    values: dict[str, Any] = {
        "m3ter_account_id": link.m3ter_account_id,
        "m3ter_account_code": link.m3ter_account_code,
        "m3ter_bill_id": "bill-locked",
        "meter": f"api_calls {MARKUP}",
        "batch_id": batch.pk,
        "items": 2,
        "first_at": now,
        "last_at": now,
        "sums": {"calls": "12"},
        "received_at": now,
    }
    return LateUsage.objects.create(**{**values, **changes})


def make_day(code: str, *, days_ago: int = 1, **changes: Any) -> UsageDay:
    """What m3ter has counted of a day."""
    day = clock.now().date() - dt.timedelta(days=days_ago)
    values = {"meter": "api_calls", "field": "calls", "total": "1234.5", "read_at": clock.now()}
    return UsageDay.objects.create(m3ter_account_code=code, day=day, **{**values, **changes})


def make_usage(link: AccountLink, bill: PushedBill) -> Usage:
    """Usage in every state, and some that nothing would bill."""
    sent = make_batch(late=3, failed_later=1)
    make_day(link.m3ter_account_code)
    make_day(link.m3ter_account_code, days_ago=2, problem=UsageDay.Problem.NO_PLAN)
    make_day(f"stray {MARKUP}", problem=UsageDay.Problem.NO_ACCOUNT)
    SeenMeter.objects.create(meter="api_calls", error=MARKUP)
    return Usage(
        failed=make_batch(UsageBatch.State.FAILED),
        held=make_batch(UsageBatch.State.HELD, paddle_subscription_id=paddle_id("sub")),
        failure=make_failure(batch=sent, row=0),
        late_bill=make_late_bill(bill, sent),
        late=make_late_usage(link, make_batch(UsageBatch.State.NEXT_BILL)),
    )
