"""Fills every table that the console shows; whatever a vendor could have written holds markup that must not work."""

import datetime as dt
import itertools
import re
import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ, Task

from billing_bridge.models import (
    BillEntry,
    BillRevision,
    CarriedEntry,
    PaddleCurrency,
    ProductRule,
    Push,
    PushAttempt,
    PushedBill,
    PushPolicy,
    ReconciliationRow,
    ReconciliationRun,
)
from integration_project import api_keys, clock
from integration_project import installation as installing
from integration_project.models import (
    ApiKey,
    CallBudget,
    Circuit,
    Finding,
    Heartbeat,
    Installation,
    Mail,
    MailRule,
    ScheduledJob,
    WebhookRefusal,
)
from paddle_sync.models import (
    AccountLink,
    AccountPlanLink,
    BulkItem,
    BulkRun,
    CatalogueEntry,
    EventAttempt,
    EventDecision,
    PlanDecision,
    PlanMapping,
    SubscriptionSnapshot,
    UsageUpload,
    WebhookEvent,
)
from tests.builders import make_event, make_link, make_mapping, paddle_id, subscription
from tests.console.outbox_rows import Usage, make_usage
from tests.console.usage_rows import HOSTILE, make_usage_file

MARKUP = HOSTILE
Kind = CatalogueEntry.Kind
_numbers = itertools.count(1)
MOMENT = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Everything:
    """The rows that tests ask for by name."""

    parked: WebhookEvent
    failed: WebhookEvent
    link: AccountLink
    mapping: PlanMapping
    held: PushedBill
    unconfirmed: PushedBill
    failed_bill: PushedBill
    pushed: PushedBill
    finding: Finding
    installation: Installation
    previewed: BulkRun
    running: BulkRun
    paused: BulkRun
    override: PushPolicy
    mail_rule: MailRule
    failed_mail: Mail
    api_key: ApiKey
    usage: Usage
    usage_file: UsageUpload


def make_entry(kind: CatalogueEntry.Kind, vendor_id: str, name: str, **values: Any) -> CatalogueEntry:
    """Something a vendor sells."""
    return CatalogueEntry.objects.create(kind=kind, vendor_id=vendor_id, name=name, seen_at=clock.now(), **values)


def make_parked(price_id: str = "pri_unmapped", **changes: Any) -> WebhookEvent:
    """An event that waits for a mapping."""
    values: dict[str, Any] = {
        "state": WebhookEvent.State.PARKED,
        "due_at": None,
        "waiting_for_kind": "price",
        "waiting_for_key": price_id,
        "waiting_for_product": "pro_unmapped",
        "attempts": 1,
        "last_error": f"No m3ter plan is mapped to Paddle price {price_id} {MARKUP}.",
    }
    return make_event("subscription.created", subscription(), **{**values, **changes})


def make_bill(
    link: AccountLink, state: str = PushedBill.State.HELD, *, total: str = "143.45", **changes: Any
) -> PushedBill:
    """A bill with one revision of two lines."""
    now = clock.now()
    minor = int(total.replace(".", "")) if link.currency != "JPY" else int(total)
    pushed = minor if state == PushedBill.State.PUSHED else 0
    period_end = now.date() - dt.timedelta(days=1)
    values: dict[str, Any] = {
        "m3ter_bill_id": str(uuid.uuid4()),
        "m3ter_account_id": link.m3ter_account_id,
        "m3ter_account_code": link.m3ter_account_code,
        "m3ter_version": 2,
        "m3ter_status": "APPROVED",
        "m3ter_read_at": now,
        "link": link,
        "currency": link.currency,
        "bill_date": now.date(),
        "period_start": period_end - dt.timedelta(days=30),
        "period_end": period_end,
        "renews_at": now + dt.timedelta(hours=20),
        "state": state,
        "reason": PushedBill.Reason.REVIEW if state == PushedBill.State.HELD else "",
        "payable": minor,
        "pushed": pushed,
        "outstanding": minor - pushed,
        "first_seen_at": now,
        "updated_at": now,
    }
    bill = PushedBill.objects.create(**{**values, **changes})
    bill.revision = BillRevision.objects.create(
        bill=bill,
        content_hash=uuid.uuid4().hex,
        number=1,
        m3ter_version=2,
        currency=bill.currency,
        total=total,
        payable=minor,
        lines=_lines(total, period_end),
        first_seen_at=now,
    )
    bill.save(update_fields=["revision"])
    return bill


def _lines(total: str, period_end: dt.date) -> list[dict[str, str]]:
    shared = {
        "product": "Cloud",
        "accounting_product": f"Cloud {MARKUP}",
        "units": "12",
        "unit": "calls",
        "from": str(period_end - dt.timedelta(days=30)),
        "to": str(period_end),
    }
    return [
        {**shared, "type": "USAGE", "description": f"API calls {MARKUP}", "amount": total},
        {**shared, "type": "STANDING_CHARGE", "description": "", "amount": "0"},
    ]


def make_push(bill: PushedBill, state: str, **changes: Any) -> Push:
    """A push of a bill, with its steps."""
    assert bill.revision is not None
    assert bill.link is not None
    now = clock.now()
    item = {
        "quantity": 1,
        "price": {
            "name": f"API calls {MARKUP}",
            "description": "12 calls",
            "tax_mode": "external",
            "unit_price": {"amount": str(bill.payable), "currency_code": bill.currency},
            "product": {"name": "Cloud", "tax_category": "saas"},
        },
    }
    values: dict[str, Any] = {
        "push_id": f"{bill.m3ter_bill_id}-1",
        "bill": bill,
        "revision": bill.revision,
        "ordinal": 1,
        "mode": "next_billing_period",
        "paddle_subscription_id": bill.link.paddle_subscription_id,
        "currency": bill.currency,
        "amount": bill.payable,
        "items": [item],
        "state": state,
        "attempt": 1,
        "created_at": now,
        "sent_at": now,
        "detail": f"Paddle's words {MARKUP}",
    }
    push = Push.objects.create(**{**values, **changes})
    call = {"method": "POST", "path": f"/charge{MARKUP}", "status": 200, "duration_ms": 12, "request_id": "r1"}
    PushAttempt.objects.create(bill=bill, push=push, attempt=1, step="charge", phase="after", at=now, calls=[call])
    return push


def make_finding(**changes: Any) -> Finding:
    """An open finding."""
    now = clock.now()
    values: dict[str, Any] = {
        "kind": "currency changed",
        "subject": paddle_id("sub"),
        "detail": f"The currency changed {MARKUP}.",
        "next_step": "Look at it.",
        "opened_at": now,
        "seen_at": now,
    }
    return Finding.objects.create(**{**values, **changes})


def make_run(state: str = BulkRun.State.RUNNING, *, kind: str = BulkRun.Kind.IMPORT, items: int = 2) -> BulkRun:
    """A bulk run whose items wait, and one that failed."""
    now = clock.now()
    run = BulkRun.objects.create(kind=kind, title=f"Import {MARKUP}", state=state, by="operator", created_at=now)
    for position in range(1, items + 1):
        BulkItem.objects.create(
            run=run, position=position, subject=paddle_id("sub"), verdict="create", note=f"A new account {MARKUP}"
        )
    failed = {"outcome": BulkItem.Outcome.FAILED, "verdict": "unmapped", "about": MARKUP, "note": MARKUP}
    BulkItem.objects.create(run=run, position=items + 1, subject=paddle_id("sub"), **failed)
    return run


def make_reconciliation(*bills: PushedBill, state: str = ReconciliationRun.State.DONE) -> ReconciliationRun:
    """A run with a row of each bill, whose difference has no reason."""
    now = clock.now()
    run = ReconciliationRun.objects.create(
        state=state, first_day=now.date(), last_day=now.date(), by=f"fiona {MARKUP}", note=MARKUP, created_at=now
    )
    for bill in bills:
        ReconciliationRow.objects.create(
            run=run,
            subject=bill.m3ter_bill_id,
            bill=bill,
            m3ter_bill_id=bill.m3ter_bill_id,
            customer=f"Harbour Tools {MARKUP}",
            currency=bill.currency,
            m3ter=bill.payable,
            unknown=abs(bill.payable),
            is_unknown=True,
            parts=[{"why": "unknown", "amount": bill.payable, "words": f"No reason {MARKUP}"}],
            reasons=",unknown,",
            transactions=[f"txn_{MARKUP}"],
            compared_at=now,
        )
    return run


def make_catalogue() -> None:
    """A price, its product, and three things in m3ter to map it to."""
    make_entry(Kind.PADDLE_PRODUCT, "pro_unmapped", f"Add-ons {MARKUP}")
    make_entry(
        Kind.PADDLE_PRICE,
        "pri_unmapped",
        f"Pro, monthly {MARKUP}",
        parent_id="pro_unmapped",
        currency="EUR",
        interval="every month",
    )
    make_entry(Kind.M3TER_PRODUCT, "product-1", "Cloud")
    make_entry(
        Kind.M3TER_PLAN,
        "plan-eur",
        f"Scale {MARKUP}",
        parent_id="product-1",
        currency="EUR",
        interval="every month",
    )
    make_entry(Kind.M3TER_PLAN, "plan-usd", "Scale in dollars", parent_id="product-1", currency="USD")
    make_entry(Kind.M3TER_PLAN_GROUP, "group-1", "All of it", currency="EUR")


def make_everything() -> Everything:
    """One row or more in every table."""
    now = clock.now()
    ProductRule.objects.create(accounting_product=f"Usage {MARKUP}", tax_category="saas")
    PaddleCurrency.objects.create(code="USD", decimal_places=2, minimum=70, read_at=now)
    make_catalogue()
    row = installing.current()
    Installation.objects.filter(pk=row.pk).update(
        charge_from=dt.date(2020, 1, 1), native_integration_checked_at=now, organization_read_at=now
    )
    row.refresh_from_db()
    link = make_link(name=f"Harbour Tools {MARKUP}")
    other = make_link(name="Tokyo Gauge", currency="JPY")
    AccountPlanLink.objects.create(
        link=link,
        code=f"{link.paddle_subscription_id}:product-1:1700000000",
        m3ter_account_plan_id="account-plan-1",
        m3ter_plan_id="plan-eur",
        m3ter_product_id="product-1",
        starts_at=now,
        paddle_price_ids=["pri_mapped"],
    )
    mapping = make_mapping("pri_mapped", plan="plan-eur", m3ter_product="product-1")
    PlanDecision.objects.create(
        paddle_subscription_id=link.paddle_subscription_id,
        link=link,
        paddle_price_id="pri_mapped",
        decided_at=now,
        mapping=mapping,
        target="plan",
        m3ter_plan_id="plan-eur",
        m3ter_product_id="product-1",
        metering_starts="creation",
        quantity_use="ignored",
    )
    SubscriptionSnapshot.objects.create(
        paddle_subscription_id=link.paddle_subscription_id,
        occurred_at=now,
        event_id=paddle_id("evt"),
        event_type="subscription.created",
        data={"status": "active", "items": [{"quantity": 2, "price": {"id": "pri_mapped", "product_id": "pro_1"}}]},
    )
    parked, failed = _events(link)
    pushed, unconfirmed = _bills(link, other)
    failed_bill = make_bill(link, PushedBill.State.FAILED, last_error=f"Tax category {MARKUP} is not enabled.")
    held = make_bill(link)
    make_reconciliation(held, pushed)
    _machinery()
    mail_rule, failed_mail = make_mail()
    return Everything(
        parked=parked,
        failed=failed,
        link=link,
        mapping=mapping,
        held=held,
        unconfirmed=unconfirmed,
        failed_bill=failed_bill,
        pushed=pushed,
        finding=make_finding(),
        previewed=make_run(BulkRun.State.PREVIEWED),
        running=make_run(BulkRun.State.RUNNING),
        paused=make_run(BulkRun.State.PAUSED, kind=BulkRun.Kind.REPLAY),
        installation=row,
        override=PushPolicy.objects.create(link=link, review="never"),
        mail_rule=mail_rule,
        failed_mail=failed_mail,
        usage=make_usage(link, held),
        api_key=make_api_key(client=f"Meter agents {MARKUP}"),
        usage_file=make_usage_file(),
    )


def make_api_key(**values: Any) -> ApiKey:
    """A key that works; its text is lost."""
    given = {"client": "Meter agents", "scopes": list(ApiKey.Scope.values), "calls_per_minute": 600, **values}
    return api_keys.save_with_key(ApiKey(**given)).row


def make_mail() -> tuple[MailRule, Mail]:
    """Somebody to mail, and a mail that was given up."""
    rule = MailRule.objects.create(addresses="operations@example.com", topics=["events"])
    columns = {"kind": f"plan missing {MARKUP}", "last_error": MARKUP, "subject": MARKUP, "body": MARKUP}
    state, now = Mail.State.FAILED, clock.now()
    return rule, Mail.objects.create(
        rule=rule, about="opened", state=state, created_at=now, recipients=[MARKUP], **columns
    )


def _events(link: AccountLink) -> tuple[WebhookEvent, WebhookEvent]:
    now = clock.now()
    parked = make_parked()
    call = {"method": "GET", "path": f"/x{MARKUP}", "status": None, "duration_ms": 3, "request_id": "", "outcome": "no"}
    EventAttempt.objects.create(
        event=parked, number=1, started_at=now, finished_at=now, outcome="parked", detail=MARKUP, calls=[call]
    )
    EventDecision.objects.create(event=parked, at=now, action="replay", by="operator", reason=MARKUP)
    failed = make_event(
        "subscription.updated",
        subscription(link.paddle_subscription_id),
        state=WebhookEvent.State.FAILED,
        failure_kind=WebhookEvent.FailureKind.PERMANENT,
        due_at=None,
        attempts=3,
        last_error=f"m3ter refused: {MARKUP}",
    )
    done = subscription(link.paddle_subscription_id)
    make_event("subscription.created", done, state=WebhookEvent.State.PROCESSED, due_at=None, note=MARKUP)
    make_event("subscription.activated", done, last_error="No answer in time.", attempts=1)
    make_event("customer.created", {"id": paddle_id("ctm")}, state=WebhookEvent.State.IGNORED, due_at=None)
    return parked, failed


def _bills(link: AccountLink, other: AccountLink) -> tuple[PushedBill, PushedBill]:
    now = clock.now()
    pushed = make_bill(link, PushedBill.State.PUSHED)
    push = make_push(pushed, Push.State.PUSHED, paddle_transaction_id=paddle_id("txn"))
    BillEntry.objects.create(bill=pushed, push=push, kind="pushed", amount=pushed.payable, at=now, note=MARKUP)
    CarriedEntry.objects.create(
        m3ter_account_id=link.m3ter_account_id, currency="EUR", source_bill=pushed, amount=5, remaining=5, at=now
    )
    unconfirmed = make_bill(other, PushedBill.State.UNCONFIRMED, total="15400", reason_detail=MARKUP)
    make_push(unconfirmed, Push.State.UNCONFIRMED)
    make_bill(link, PushedBill.State.SKIPPED, reason=PushedBill.Reason.BEFORE_GO_LIVE)
    make_bill(link, PushedBill.State.WAITING, reason=PushedBill.Reason.RENEWAL_LOCK, due_at=now)
    make_bill(link, PushedBill.State.READY, due_at=now)
    make_bill(link, PushedBill.State.LOST)
    return pushed, unconfirmed


def _machinery() -> None:
    now = clock.now()
    Circuit.objects.create(vendor="paddle", last_success_at=now)
    Circuit.objects.create(vendor="m3ter", is_open=True, detail=MARKUP, opened_at=now, probe_at=now)
    CallBudget.objects.create(vendor="paddle", purpose="push", tokens=1.5, capacity=8, rate=3.7, refilled_at=1)
    Heartbeat.objects.create(name="host:1", started_at=now, seen_at=now)
    ScheduledJob.objects.create(name="poll bills", due_at=now, result=MARKUP)
    WebhookRefusal.objects.create(source="paddle", reason="too old", day=now.date(), count=2, last_at=now)
    for success in (True, False):
        Task.objects.create(
            id=uuid.uuid4().hex,
            name=f"job {success}",
            func="paddle_sync.jobs.drain_events",
            started=now,
            stopped=now,
            success=success,
            result=MARKUP,
        )
    OrmQ.objects.create(key="paddle-m3ter", payload="not readable", lock=now)
    person = User.objects.create_user("someone", is_staff=True)
    LogEntry.objects.create(
        user=person,
        content_type=ContentType.objects.get_for_model(PlanMapping),
        object_id="1",
        object_repr=MARKUP,
        action_flag=ADDITION,
        change_message=MARKUP,
    )


def account_page(link: AccountLink, **query: str) -> str:
    """The address of an account's page."""
    address = reverse("admin:paddle_sync_accountlink_change", args=(link.pk,))
    return f"{address}?{'&'.join(f'{name}={value}' for name, value in query.items())}" if query else address


def make_plan(link: AccountLink, plan: str, starts_at: dt.datetime, **values: Any) -> AccountPlanLink:
    """A plan that runs, or ran, on an account."""
    columns: dict[str, Any] = {
        "code": f"{link.paddle_subscription_id}:{plan}:{starts_at.timestamp():.0f}",
        "m3ter_account_plan_id": f"of-{plan}",
        "m3ter_plan_id": plan,
        "m3ter_product_id": "product-1",
        "starts_at": starts_at,
        "paddle_price_ids": ["pri_mapped"],
    }
    return AccountPlanLink.objects.create(link=link, **{**columns, **values})


def hidden(asked: Any) -> dict[str, str]:
    """Find what a confirmation page will send back about what it showed."""
    return dict(re.findall(r'<input type="hidden" name="(seen-\d+)" value="([^"]*)">', asked.text))


def confirm(client: Client, address: str, answers: dict[str, Any]) -> Any:
    """Open a confirmation page, fill it in and send it, as a browser does."""
    return client.post(address, {**answers, **hidden(client.get(address))}, follow=True)


def page_of(row: Any) -> str:
    """The address of a row's page."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=(row.pk,))


def decide(row: Any, name: str) -> str:
    """The address of the confirmation page of a decision about a row."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_decide", args=(row.pk, name))


def again(bill: PushedBill) -> PushedBill:
    """The bill as it is stored now."""
    return PushedBill.objects.get(pk=bill.pk)
