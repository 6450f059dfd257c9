"""What happened to an account: one literal table of where it is written down, each row of it in a sentence."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import CharField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Cast, JSONObject
from django.utils.safestring import SafeString

from billing_bridge import modes, money
from billing_bridge.admin import bill_story
from billing_bridge.admin.amounts import PUSH_TONES
from billing_bridge.models import BillEntry, BillRevision, BillToDate, Push, PushAttempt, PushedBill, PushPolicy
from integration_project import clock, showing
from integration_project.admin.findings import SEVERITY_TONES
from integration_project.models import Finding
from integration_project.showing import Tone
from paddle_sync import classic, own_events
from paddle_sync.admin.events import TONES as EVENT_TONES
from paddle_sync.models import (
    AccountLink,
    AccountPlanLink,
    CatalogueEntry,
    CounterLink,
    EventDecision,
    PlanMove,
    WebhookEvent,
)

US = "this application"
PADDLE = "Paddle"
M3TER = "m3ter"

KINDS: dict[str, str] = {
    "event": "Events",
    "account": "Account and plans",
    "bill": "Bills",
    "push": "Pushes",
    "payment": "Payments",
    "finding": "Findings",
    "person": "What people did",
}


@dataclass(frozen=True)
class Said:
    """What an entry says: who, what, how it stands, and the page of the row it comes from."""

    who: str
    words: str
    state: str = ""
    tone: Tone = "calm"
    why: str = ""
    vendor_id: SafeString | str = ""
    url: str = ""
    called: str = ""


@dataclass(frozen=True)
class Source:
    """A table seen by one of its moments: which rows are the account's, and what each says."""

    name: str
    kind: str
    moment: str
    rows: Callable[[AccountLink], "QuerySet[Any]"]
    say: Callable[[Any], Said]
    by_day: bool = False
    """The moment is a date; it counts as the first moment of that day."""

    def ordered(self, link: AccountLink) -> "QuerySet[Any]":
        """Give the rows that have the moment, newest first."""
        rows = self.rows(link).filter(**{f"{self.moment}__isnull": False})
        return rows.order_by(f"-{self.moment}", "-pk")


# --- Which rows are an account's -------------------------------------------------------------------------------------


def _events(link: AccountLink) -> "QuerySet[WebhookEvent]":
    asked = EventDecision.objects.filter(event=OuterRef("pk"), action="ask").order_by("pk")
    return WebhookEvent.objects.filter(paddle_subscription_id=link.paddle_subscription_id).annotate(
        asked_by=Subquery(asked.values("by")[:1]), asked_why=Subquery(asked.values("reason")[:1])
    )


def _vendor_events(link: AccountLink) -> "QuerySet[WebhookEvent]":
    return _events(link).exclude(event_type=own_events.SYNC)


def _syncs(link: AccountLink) -> "QuerySet[WebhookEvent]":
    return _events(link).filter(event_type=own_events.SYNC)


def _buyer_events(link: AccountLink) -> "QuerySet[WebhookEvent]":
    buyer = {link.paddle_customer_id, link.paddle_address_id, link.paddle_business_id} - {""}
    return WebhookEvent.objects.filter(subject_id__in=buyer, paddle_subscription_id="")


def _plans(link: AccountLink) -> "QuerySet[AccountPlanLink]":
    same_product = AccountPlanLink.objects.filter(link=OuterRef("link"), m3ter_product_id=OuterRef("m3ter_product_id"))
    neighbours = same_product.exclude(m3ter_product_id="").exclude(pk=OuterRef("pk"))
    before = neighbours.filter(ends_at=OuterRef("starts_at")).values("m3ter_plan_id")[:1]
    after = neighbours.filter(starts_at=OuterRef("ends_at")).values("m3ter_plan_id")[:1]
    return AccountPlanLink.objects.filter(link=link).annotate(
        plan_name=_name_in_catalogue(CatalogueEntry.Kind.M3TER_PLAN, "m3ter_plan_id"),
        group_name=_name_in_catalogue(CatalogueEntry.Kind.M3TER_PLAN_GROUP, "m3ter_plan_group_id"),
        replaces=Subquery(before),
        replaced_by=Subquery(after),
    )


def _counters(link: AccountLink) -> "QuerySet[CounterLink]":
    name = _name_in_catalogue(CatalogueEntry.Kind.M3TER_COUNTER, "m3ter_counter_id")
    return CounterLink.objects.filter(link=link).annotate(counter_name=name)


def _name_in_catalogue(kind: CatalogueEntry.Kind, column: str) -> Subquery:
    return Subquery(CatalogueEntry.objects.filter(kind=kind, vendor_id=OuterRef(column)).values("name")[:1])


def _versions(link: AccountLink) -> "QuerySet[Any]":
    """Versions of the link, each with what the one before it said."""
    earlier = AccountLink.log.filter(id=OuterRef("id"), history_id__lt=OuterRef("history_id")).order_by("-history_id")
    told = {name: name for name in TOLD_OF_LINK}
    before = Subquery(earlier.annotate(told=JSONObject(**told)).values("told")[:1])
    versions: QuerySet[Any] = AccountLink.log.filter(id=link.pk).annotate(told=JSONObject(**told), told_before=before)
    return versions.select_related("history_user")


def _policy_versions(link: AccountLink) -> "QuerySet[Any]":
    versions: QuerySet[Any] = PushPolicy.log.filter(link_id=link.pk).select_related("history_user")
    return versions


def _bills(link: AccountLink) -> "QuerySet[PushedBill]":
    return PushedBill.objects.filter(link=link)


def _bills_to_date(link: AccountLink) -> "QuerySet[BillToDate]":
    return BillToDate.objects.filter(link=link)


def _revisions(link: AccountLink) -> "QuerySet[BillRevision]":
    return BillRevision.objects.filter(bill__link=link, number__gt=1).select_related("bill").defer("lines")


def _ledger(link: AccountLink) -> "QuerySet[BillEntry]":
    entries = BillEntry.objects.filter(bill__link=link).exclude(kind=BillEntry.Kind.PUSHED)
    return entries.select_related("bill")


def _pushes(link: AccountLink) -> "QuerySet[Push]":
    return Push.objects.filter(bill__link=link).select_related("bill").defer("items")


def _payments(link: AccountLink) -> "QuerySet[Push]":
    return _pushes(link).exclude(payment=PushedBill.Payment.NONE)


def _steps(link: AccountLink) -> "QuerySet[PushAttempt]":
    return _journal(link).filter(phase="after").exclude(step="decision")


def _bill_decisions(link: AccountLink) -> "QuerySet[PushAttempt]":
    return _journal(link).filter(step="decision")


def _journal(link: AccountLink) -> "QuerySet[PushAttempt]":
    return PushAttempt.objects.filter(bill__link=link).select_related("bill", "push").defer("calls", "push__items")


def findings(link: AccountLink) -> "QuerySet[Finding]":
    """Everything found about the subscription, its account, its bills and its pushes."""
    about = Q(subject__in=[link.paddle_subscription_id, link.m3ter_account_id, link.m3ter_account_code])
    bills, pushes = _bills(link).values("m3ter_bill_id"), Push.objects.filter(bill__link=link).values("push_id")
    return Finding.objects.filter(about | Q(subject__in=bills) | Q(subject__in=pushes)).select_related("closed_by")


def _dismissed(link: AccountLink) -> "QuerySet[Finding]":
    return findings(link).filter(closed_by__isnull=False)


def _ended_findings(link: AccountLink) -> "QuerySet[Finding]":
    """Findings that ended by themselves."""
    return findings(link).filter(closed_by__isnull=True)


def _event_decisions(link: AccountLink) -> "QuerySet[EventDecision]":
    """Whoever asked for an event of our own stands with that event."""
    decisions = EventDecision.objects.filter(event__paddle_subscription_id=link.paddle_subscription_id)
    return decisions.exclude(action="ask").select_related("event")


def _moves(link: AccountLink) -> "QuerySet[PlanMove]":
    return PlanMove.objects.filter(paddle_subscription_id=link.paddle_subscription_id)


def _log(link: AccountLink) -> "QuerySet[LogEntry]":
    """What only History knows: the link's own, less what stands with an event; who looked at personal data."""
    events = WebhookEvent.objects.filter(paddle_subscription_id=link.paddle_subscription_id)
    keys = events.annotate(key=Cast("pk", CharField())).values("key")
    types = ContentType.objects.get_for_models(AccountLink, WebhookEvent)
    own = Q(content_type=types[AccountLink], object_id=str(link.pk)) & ~Q(change_message__startswith="Sync now")
    looked = Q(content_type=types[WebhookEvent], object_id__in=keys, change_message__startswith="Reveal")
    return LogEntry.objects.filter(own | looked).select_related("user")


# --- What each says --------------------------------------------------------------------------------------------------

EVENTS_IN_WORDS: dict[str, str] = {
    own_events.SYNC: "Sync now: the subscription and its account are looked at anew.",
    own_events.RELINK: "A person links the subscription to another m3ter account.",
    own_events.IMPORT: "Import asked for: the subscription is read from Paddle and taken in.",
    own_events.FOUND: "Found in Paddle's list: it existed before this application heard of it.",
    "subscription.created": "The subscription began.",
    "subscription.imported": "The subscription was imported into Paddle.",
    "subscription.activated": "The subscription became active.",
    "subscription.trialing": "A trial began.",
    "subscription.updated": "The subscription was changed.",
    "subscription.past_due": "The subscription became past due: a payment failed.",
    "subscription.paused": "The subscription was paused.",
    "subscription.resumed": "The subscription was resumed.",
    "subscription.canceled": "The subscription was cancelled.",
    classic.CREATED: "The subscription began.",
    classic.UPDATED: "The subscription was changed.",
    classic.CANCELLED: "The subscription was cancelled.",
    classic.PAYMENT_SUCCEEDED: "A payment succeeded.",
    classic.PAYMENT_FAILED: "A payment failed.",
    classic.PAYMENT_REFUNDED: "A payment was refunded.",
    "transaction.created": "A transaction was created.",
    "transaction.ready": "A transaction is ready.",
    "transaction.updated": "A transaction was changed.",
    "transaction.billed": "A transaction was billed.",
    "transaction.paid": "A transaction was paid.",
    "transaction.completed": "A transaction was completed.",
    "transaction.payment_failed": "A payment failed.",
    "transaction.past_due": "A transaction became past due.",
    "transaction.canceled": "A transaction was cancelled.",
    "customer.updated": "The customer was changed.",
    "address.updated": "The address was changed.",
    "business.updated": "The business was changed.",
}
STEPS_IN_WORDS: dict[str, str] = {
    "read": "Read from m3ter",
    "look": "Looked for in Paddle",
    "preview": "Previewed in Paddle",
    "charge": "Sent to Paddle to be charged",
    "finish": "Finished in m3ter",
}
VERSIONS_IN_WORDS = {"+": "added", "~": "changed", "-": "dropped"}


def _say_event(event: Any) -> Said:
    outcome = event.last_error or event.note
    asked = getattr(event, "asked_by", None) or ""
    reason = getattr(event, "asked_why", None) or ""
    return Said(
        asked or PADDLE,
        EVENTS_IN_WORDS.get(event.event_type, f"Paddle sent {event.event_type}."),
        event.get_state_display(),
        EVENT_TONES.get(event.state, "calm"),
        " ".join(part for part in (f"Reason: {reason}" if reason else "", outcome) if part),
        url=showing.page_of(event),
        called=event.event_type,
    )


def _plan(plan: Any) -> str:
    if plan.m3ter_plan_group_id:
        return f"Plan group {plan.group_name or plan.m3ter_plan_group_id}"
    return f"Plan {plan.plan_name or plan.m3ter_plan_id}"


def _plan_id(plan: AccountPlanLink) -> SafeString:
    if plan.m3ter_plan_group_id:
        return showing.m3ter_id(plan.m3ter_plan_group_id, "plan_group")
    return showing.m3ter_id(plan.m3ter_plan_id, "plan")


def _say_start(plan: Any) -> Said:
    begins = "begins" if plan.starts_at > clock.now() else "began"
    instead = f" in place of {plan.replaces}" if plan.replaces else ""
    words = f"{_plan(plan)} {begins} on the account{instead}, quantity {plan.quantity}."
    return Said(US, words, why=_because_of(plan), vendor_id=_plan_id(plan))


def _because_of(plan: AccountPlanLink) -> str:
    return f"For {', '.join(map(str, plan.paddle_price_ids))}." if plan.paddle_price_ids else ""


def _say_end(plan: Any) -> Said:
    ends = "ends" if plan.ends_at > clock.now() else "ended"
    instead = f": {plan.replaced_by} takes its place" if plan.replaced_by else ""
    return Said(US, f"{_plan(plan)} {ends} on the account{instead}.", vendor_id=_plan_id(plan))


def _say_counter(counter: Any) -> Said:
    name = counter.counter_name or counter.m3ter_counter_id
    return Said(US, f"Counter {name}: {counter.value} at the end of {counter.day}.")


# Column of the link -> what its change is called. Times are told as they are now, words as before and after.
TOLD_OF_LINK: dict[str, str] = {
    "state": "link",
    "paddle_status": "status in Paddle",
    "currency": "currency",
    "paddle_customer_id": "customer",
    "paddle_business_id": "business",
    "name": "name",
    "m3ter_account_id": "account",
    "scheduled_action": "scheduled change",
    "scheduled_at": "scheduled for",
    "next_billed_at": "next renewal",
    "bill_epoch": "first bill date in m3ter",
    "charged_until": "charged until",
    "entities_ended_at": "everything on the account ends",
}


def _say_version(version: Any) -> Said:
    who = version.history_user.get_username() if version.history_user else US
    why = version.history_change_reason or ""
    if version.history_type == "+" or version.told_before is None:
        words = f"Linked to m3ter account {version.m3ter_account_code}, in {version.currency}."
        adopted = " The account existed before." if version.adopted else ""
        account = showing.m3ter_id(version.m3ter_account_id, "account")
        return Said(who, words + adopted, why=why, vendor_id=account)
    changes = [
        _change(name, version) for name in TOLD_OF_LINK if version.told.get(name) != version.told_before.get(name)
    ]
    words = "; ".join(changes) or "written again, without a change that is shown here"
    return Said(who, f"{words[:1].upper()}{words[1:]}.", why=why)


def _change(name: str, version: Any) -> str:
    now = getattr(version, name)
    if isinstance(now, dt.datetime):
        return f"{TOLD_OF_LINK[name]}: {showing.exactly(now)}"
    before = version.told_before.get(name)
    if now is None or isinstance(now, dt.date) or not before:
        return f"{TOLD_OF_LINK[name]}: {now or 'none'}"
    return f"{TOLD_OF_LINK[name]}: {before} → {now or 'none'}"


def _say_policy(version: Any) -> Said:
    who = version.history_user.get_username() if version.history_user else US
    did = VERSIONS_IN_WORDS.get(version.history_type, "changed")
    url = showing.page_of(version.instance) if did != "dropped" else showing.list_of(PushPolicy)
    return Said(
        who,
        f"The push policy override for this account was {did}.",
        why=version.history_change_reason or "",
        url=url,
        called="Push policy",
    )


def _say_bill(bill: PushedBill) -> Said:
    return Said(
        M3TER,
        f"A bill was approved in m3ter: {money.words(bill.payable, bill.currency)}.",
        bill.get_state_display().partition(":")[0],
        bill_story.TONES.get(bill.state, "calm"),
        bill.reason_detail or (bill.get_reason_display() if bill.reason else ""),
        **_to_bill(bill),
    )


def _to_bill(bill: PushedBill) -> Any:
    return {"url": showing.page_of(bill), "called": f"Bill {bill_story.period(bill)}"}


def _say_bill_to_date(asked: BillToDate) -> Said:
    words = f"A bill to date, until {asked.until}: the subscription is cancelled on {showing.exactly(asked.ends_at)}."
    bill = showing.m3ter_id(asked.m3ter_bill_id, "bill") if asked.m3ter_bill_id else ""
    return Said(US, words, asked.get_state_display(), why=asked.detail, vendor_id=bill)


def _say_revision(revision: BillRevision) -> Said:
    total = money.words(revision.payable, revision.currency)
    words = f"The bill was changed in m3ter: revision {revision.number}, {total}."
    return Said(M3TER, words, **_to_bill(revision.bill))


def _say_ledger(entry: BillEntry) -> Said:
    words = f"{entry.get_kind_display()}: {money.words(entry.amount, entry.bill.currency)}."
    tone: Tone = "bad" if entry.kind == BillEntry.Kind.LOST else "calm"
    return Said(entry.by or US, words, why=entry.note, tone=tone, **_to_bill(entry.bill))


def _say_locked(bill: PushedBill) -> Said:
    return Said(US, "The bill was locked in m3ter.", **_to_bill(bill))


def _say_push(push: Push) -> Said:
    mode = modes.label_of(push.mode).lower()
    return Said(
        US,
        f"{push.get_kind_display()} of {money.words(push.amount, push.currency)}, {mode}.",
        push.get_state_display().partition(":")[0],
        PUSH_TONES.get(push.state, "calm"),
        url=showing.page_of(push),
        called=f"Push {push.ordinal} of {bill_story.period(push.bill)}",
    )


def _say_payment(push: Push) -> Said:
    paid = push.payment == PushedBill.Payment.PAID
    return Said(
        PADDLE,
        f"{push.get_payment_display()}: {money.words(push.collected if paid else push.amount, push.currency)}.",
        tone="good" if paid else "wait",
        vendor_id=showing.paddle_id(push.paddle_transaction_id) if push.paddle_transaction_id else "",
        **_to_bill(push.bill),
    )


def _say_step(step: PushAttempt) -> Said:
    done = STEPS_IN_WORDS.get(step.step, step.step)
    tried = f", attempt {step.attempt}" if step.attempt > 1 else ""
    return Said(US, f"{done}{tried}: {step.outcome or 'done'}.", why=step.detail, **_to_bill(step.bill))


def _say_bill_decision(step: PushAttempt) -> Said:
    return Said(step.by or US, f"Decided about a bill: {step.outcome}.", why=step.detail, **_to_bill(step.bill))


def _say_opened(finding: Finding) -> Said:
    return Said(
        US,
        f"Found: {finding.kind}.",
        "Open" if finding.state == Finding.State.OPEN else "",
        SEVERITY_TONES.get(finding.severity, "calm"),
        finding.detail,
        url=showing.page_of(finding),
        called="Finding",
    )


def _say_closed(finding: Finding) -> Said:
    who = finding.closed_by.get_username() if finding.closed_by else US
    url = showing.page_of(finding)
    return Said(who, f"Finding closed: {finding.kind}.", why=finding.close_reason, url=url, called="Finding")


DECISIONS_IN_WORDS = {"replay": "Replayed", "ignore": "Ignored", "resume": "Resumed"}


def _say_event_decision(decision: EventDecision) -> Said:
    did = DECISIONS_IN_WORDS.get(decision.action, decision.action)
    url = showing.page_of(decision.event)
    words = f"{did}: {decision.event.event_type}."
    return Said(decision.by, words, why=decision.reason, url=url, called=decision.event.event_type)


def _say_move(move: PlanMove) -> Said:
    words = f"Moved {move.paddle_price_id} to the mapping in force at {showing.exactly(move.moves_at)}."
    return Said(move.by, words, why=move.reason)


def _say_log(entry: LogEntry) -> Said:
    return Said(entry.user.get_username(), entry.get_change_message() or "Changed.")


# Name, kind, the moment, which rows, what each says. Of one moment the first named stands on top: the effect above its
# cause.
SOURCES: tuple[Source, ...] = (
    Source("payment", "payment", "transaction_seen_at", _payments, _say_payment),
    Source("locked", "bill", "locked_at", _bills, _say_locked),
    Source("ledger", "bill", "at", _ledger, _say_ledger),
    Source("step", "push", "at", _steps, _say_step),
    Source("push", "push", "created_at", _pushes, _say_push),
    Source("revision", "bill", "first_seen_at", _revisions, _say_revision),
    Source("bill", "bill", "first_seen_at", _bills, _say_bill),
    Source("to_date", "bill", "created_at", _bills_to_date, _say_bill_to_date),
    Source("dismissed", "person", "closed_at", _dismissed, _say_closed),
    Source("closed", "finding", "closed_at", _ended_findings, _say_closed),
    Source("opened", "finding", "opened_at", findings, _say_opened),
    Source("end", "account", "ends_at", _plans, _say_end),
    Source("start", "account", "starts_at", _plans, _say_start),
    Source("counter", "account", "day", _counters, _say_counter, by_day=True),
    Source("version", "account", "history_date", _versions, _say_version),
    Source("event", "event", "occurred_at", _vendor_events, _say_event),
    Source("buyer", "event", "occurred_at", _buyer_events, _say_event),
    Source("synced", "person", "occurred_at", _syncs, _say_event),
    Source("policy", "person", "history_date", _policy_versions, _say_policy),
    Source("decided", "person", "at", _event_decisions, _say_event_decision),
    Source("reviewed", "person", "at", _bill_decisions, _say_bill_decision),
    Source("moved", "person", "created_at", _moves, _say_move),
    Source("history", "person", "action_time", _log, _say_log),
)
