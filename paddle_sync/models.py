"""Paddle's events, what operators mapped, and which m3ter account and plans each subscription has."""

import json
from decimal import Decimal
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords

from integration_project.work import WorkItem
from paddle_sync.bulk_models import BulkItem as BulkItem
from paddle_sync.bulk_models import BulkRun as BulkRun
from paddle_sync.catalogue_models import CatalogueEntry as CatalogueEntry
from paddle_sync.link_models import CounterLink as CounterLink
from paddle_sync.link_models import PlanMove as PlanMove
from paddle_sync.usage.file_models import UsageFilePart as UsageFilePart
from paddle_sync.usage.file_models import UsageLayout as UsageLayout
from paddle_sync.usage.file_models import UsageRejects as UsageRejects
from paddle_sync.usage.file_models import UsageUpload as UsageUpload
from paddle_sync.usage.late_models import LateForBill as LateForBill
from paddle_sync.usage.late_models import LateInBatch as LateInBatch
from paddle_sync.usage.late_models import LateUsage as LateUsage
from paddle_sync.usage.late_models import SettledPeriod as SettledPeriod
from paddle_sync.usage.models import SeenMeter as SeenMeter
from paddle_sync.usage.models import UsageBatch as UsageBatch
from paddle_sync.usage.models import UsageBody as UsageBody
from paddle_sync.usage.models import UsageDay as UsageDay
from paddle_sync.usage.models import UsageFailure as UsageFailure
from paddle_sync.usage.models import UsageUid as UsageUid


class WebhookEvent(WorkItem):
    """One fact that a vendor told us, stored before it was answered and worked on afterwards."""

    class Source(models.TextChoices):
        PADDLE = "paddle", "Paddle"
        PADDLE_CLASSIC = "paddle_classic", "Paddle Classic"
        M3TER = "m3ter", "m3ter"

    class State(models.TextChoices):
        RECEIVED = "received", "Received"
        PROCESSING = "processing", "Processing"
        PROCESSED = "processed", "Processed"
        IGNORED = "ignored", "Ignored"
        PARKED = "parked", "Parked"
        FAILED = "failed", "Failed"

    class FailureKind(models.TextChoices):
        NONE = "", "-"
        PERMANENT = "permanent", "Permanent: repeating unchanged cannot help"
        EXHAUSTED = "exhausted", "Exhausted: tried as often as it may be"
        INTERNAL = "internal", "Internal: a fault of this application"

    source = models.CharField(max_length=20, choices=Source.choices)
    event_id = models.CharField(max_length=100, help_text="The vendor's id of the fact; redeliveries repeat it.")
    event_type = models.CharField(max_length=100)
    notification_id = models.CharField(
        max_length=100, blank=True, default="", help_text="Paddle's id of the first delivery."
    )
    occurred_at = models.DateTimeField(help_text="When it happened, by the vendor's clock; may lie in the future.")
    received_at = models.DateTimeField(help_text="When it was stored here.")
    state = models.CharField(max_length=12, choices=State.choices, default=State.RECEIVED)
    failure_kind = models.CharField(max_length=12, choices=FailureKind.choices, blank=True, default="")
    waiting_for_kind = models.CharField(
        max_length=40, blank=True, default="", help_text="What kind of thing is missing."
    )
    waiting_for_key = models.CharField(max_length=120, blank=True, default="", help_text="Which one is missing.")
    waiting_for_product = models.CharField(
        max_length=64,
        blank=True,
        default="",
        help_text="Paddle product of the missing price: deciding it would do as well.",
    )
    note = models.TextField(blank=True, default="", help_text="The outcome in words.")
    paddle_subscription_id = models.CharField(max_length=64, blank=True, default="")
    paddle_customer_id = models.CharField(max_length=64, blank=True, default="")
    subject_id = models.CharField(
        max_length=100,
        blank=True,
        default="",
        help_text="Id of the entity it is about: subscription, transaction, bill.",
    )
    finished_at = models.DateTimeField(null=True, blank=True)
    replays = models.PositiveIntegerField(default=0, help_text="How often a person or a saved mapping ran it again.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("source", "event_id"), name="event_once_per_source"),
            models.UniqueConstraint(
                fields=("serial_key",),
                condition=Q(state="processing") & ~Q(serial_key=""),
                name="event_one_per_serial_key",
            ),
            models.CheckConstraint(
                condition=Q(state__in=("received", "processing", "processed", "ignored", "parked", "failed")),
                name="event_state_known",
            ),
        )
        indexes = (
            models.Index(fields=("due_at", "id"), condition=Q(state="received"), name="event_due"),
            models.Index(fields=("lease_until",), condition=Q(state="processing"), name="event_leased"),
            models.Index(
                fields=("waiting_for_kind", "waiting_for_key"), condition=Q(state="parked"), name="event_waiting_for"
            ),
            models.Index(fields=("state", "-id"), name="event_by_state"),
            models.Index(fields=("paddle_subscription_id", "occurred_at"), name="event_by_subscription"),
            models.Index(fields=("subject_id",), name="event_by_subject"),
            models.Index(fields=("event_id",), name="event_by_event_id"),
        )
        verbose_name = "event"
        permissions = (
            ("replay_webhookevent", "Can replay events"),
            ("ignore_webhookevent", "Can ignore events"),
            ("reveal_payload", "Can see personal data in payloads"),
        )

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"


class WebhookPayload(models.Model):
    """The bytes of an event as they came, in a table of their own so that lists stay narrow."""

    event = models.OneToOneField(WebhookEvent, primary_key=True, on_delete=models.CASCADE, related_name="payload")
    body = models.TextField(help_text="The request's body, decoded from UTF-8.")

    def __str__(self) -> str:
        return f"payload of {self.event_id}"

    def content(self) -> dict[str, Any]:
        """Read the whole body; numbers with a point come as Decimal."""
        value: dict[str, Any] = json.loads(self.body, parse_float=Decimal)
        return value

    def entity(self) -> dict[str, Any]:
        """Read the entity that a notification of Paddle carries."""
        value: dict[str, Any] = self.content()["data"]
        return value


class EventAttempt(models.Model):
    """One attempt at an event: what was called, what came of it, who asked. Appended, never rewritten."""

    event = models.ForeignKey(WebhookEvent, on_delete=models.CASCADE, related_name="history")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    outcome = models.CharField(max_length=12, help_text="The state the event left with.")
    detail = models.TextField(blank=True, default="")
    calls = models.JSONField(
        default=list, blank=True, help_text="Vendor calls: method, path, status, duration, request id."
    )

    class Meta:
        indexes = (models.Index(fields=("event", "id"), name="attempt_by_event"),)

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.outcome}"


class EventDecision(models.Model):
    """What a person, or a thing saved by a person, decided about an event. Appended, never rewritten."""

    event = models.ForeignKey(WebhookEvent, on_delete=models.CASCADE, related_name="decisions")
    at = models.DateTimeField()
    action = models.CharField(max_length=20, help_text="replay, ignore, resume or ask.")
    by = models.CharField(max_length=150, help_text="User name, or what resumed it.")
    reason = models.TextField(blank=True, default="")

    def __str__(self) -> str:
        return f"{self.action} by {self.by}"


class EventRehearsal(WorkItem):
    """A dry run of an event that somebody asked for, and what came of it; forgotten after a day."""

    class State(models.TextChoices):
        ASKED = "asked", "Asked for"
        RUNNING = "running", "Running"
        DONE = "done", "Done"

    event = models.ForeignKey(WebhookEvent, on_delete=models.CASCADE, related_name="rehearsals")
    batch = models.UUIDField(db_index=True, help_text="What was asked for together.")
    by = models.CharField(max_length=150, help_text="User name of who asked.")
    asked_at = models.DateTimeField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.ASKED)
    result = models.JSONField(
        null=True,
        blank=True,
        encoder=DjangoJSONEncoder,
        help_text="Planned calls, outcome and sentences; personal data is masked.",
    )

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(state__in=("asked", "running", "done")), name="rehearsal_state_known"),
        )
        indexes = (models.Index(fields=("due_at", "id"), condition=Q(state="asked"), name="rehearsal_due"),)

    def __str__(self) -> str:
        return f"dry run of event {self.event_id}"


class SubscriptionSnapshot(models.Model):
    """What a subscription was at a moment: items, status, dates, currency; no personal data."""

    paddle_subscription_id = models.CharField(max_length=64)
    occurred_at = models.DateTimeField()
    event_id = models.CharField(max_length=100, help_text="The event it came with, or read: and the time of a re-read.")
    event_type = models.CharField(max_length=100)
    data = models.JSONField(help_text="The part of Paddle's entity that decides about plans.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("paddle_subscription_id", "event_id"), name="snapshot_once_per_event"),
        )
        indexes = (
            models.Index(fields=("paddle_subscription_id", "occurred_at", "event_id"), name="snapshot_in_order"),
        )

    def __str__(self) -> str:
        return f"{self.paddle_subscription_id} at {self.occurred_at:%Y-%m-%d %H:%M}"


class PlanMapping(models.Model):
    """An operator's decision: what a Paddle price, or a product as fallback, means in m3ter from a date on."""

    class Target(models.TextChoices):
        PLAN = "plan", "m3ter plan"
        PLAN_GROUP = "plan_group", "m3ter plan group"
        NOT_METERED = "not_metered", "Not metered: nothing happens in m3ter"

    class MeteringStarts(models.TextChoices):
        CREATION = "creation", "With the subscription, its trial included"
        TRIAL_END = "trial_end", "When the trial ends"

    class QuantityUse(models.TextChoices):
        IGNORED = "ignored", "Ignored"
        CUSTOM_FIELD = "custom_field", "Written to a custom field of the account plan"
        COUNTER = "counter", "Kept as a m3ter counter (seats)"

    paddle_price_id = models.CharField(
        max_length=64, blank=True, default="", help_text="pri_...; wins over the product."
    )
    paddle_product_id = models.CharField(
        max_length=64, blank=True, default="", help_text="pro_...; fallback for its prices."
    )
    effective_from = models.DateField(help_text="Subscriptions' items that begin on or after this day follow it.")
    target = models.CharField(max_length=12, choices=Target.choices)
    m3ter_plan_id = models.CharField(max_length=64, blank=True, default="")
    m3ter_plan_group_id = models.CharField(max_length=64, blank=True, default="")
    m3ter_product_id = models.CharField(
        max_length=64, blank=True, default="", help_text="The plan's product; taken from m3ter's catalogue when saved."
    )
    metering_starts = models.CharField(
        max_length=12,
        choices=MeteringStarts.choices,
        default=MeteringStarts.CREATION,
        help_text="Whether a plan runs during a trial.",
    )
    quantity_use = models.CharField(
        max_length=12,
        choices=QuantityUse.choices,
        default=QuantityUse.IGNORED,
        help_text="What becomes of the quantity bought in Paddle.",
    )
    quantity_field = models.CharField(
        max_length=80, blank=True, default="", help_text="Custom field of the account plan that takes the quantity."
    )
    m3ter_counter_id = models.CharField(
        max_length=64, blank=True, default="", help_text="Counter whose adjustments keep the quantity."
    )
    note = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    log = HistoricalRecords()

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=(Q(paddle_price_id="") & ~Q(paddle_product_id=""))
                | (~Q(paddle_price_id="") & Q(paddle_product_id="")),
                name="mapping_price_or_product",
            ),
            models.CheckConstraint(
                condition=(Q(target="plan") & ~Q(m3ter_plan_id="") & Q(m3ter_plan_group_id=""))
                | (Q(target="plan_group") & Q(m3ter_plan_id="") & ~Q(m3ter_plan_group_id=""))
                | (Q(target="not_metered") & Q(m3ter_plan_id="") & Q(m3ter_plan_group_id="")),
                name="mapping_target_matches",
            ),
            models.CheckConstraint(
                condition=(Q(quantity_use="ignored") & Q(quantity_field="") & Q(m3ter_counter_id=""))
                | (Q(quantity_use="custom_field") & ~Q(quantity_field="") & Q(m3ter_counter_id=""))
                | (Q(quantity_use="counter") & Q(quantity_field="") & ~Q(m3ter_counter_id="")),
                name="mapping_quantity_matches",
            ),
            models.UniqueConstraint(
                fields=("paddle_price_id", "paddle_product_id", "effective_from"), name="mapping_one_per_date"
            ),
        )

    def __str__(self) -> str:
        goes_to = self.m3ter_plan_id or self.m3ter_plan_group_id or "not metered"
        return f"{self.paddle_price_id or self.paddle_product_id} -> {goes_to} from {self.effective_from}"


class AccountLink(models.Model):
    """One Paddle subscription and the one m3ter account that measures it."""

    class State(models.TextChoices):
        LIVE = "live", "Live"
        ENDED = "ended", "Ended"

    source = models.CharField(
        max_length=20,
        choices=(("paddle", "Paddle"), ("paddle_classic", "Paddle Classic")),
        default="paddle",
        help_text="Which of Paddle's two products keeps the subscription.",
    )
    paddle_subscription_id = models.CharField(max_length=64, unique=True)
    paddle_customer_id = models.CharField(max_length=64, db_index=True)
    paddle_address_id = models.CharField(max_length=64, blank=True, default="")
    paddle_business_id = models.CharField(max_length=64, blank=True, default="")
    m3ter_account_id = models.CharField(max_length=64, db_index=True)
    m3ter_account_code = models.CharField(max_length=80, help_text="What measurements carry; pinned at creation.")
    name = models.CharField(max_length=200, blank=True, default="", help_text="The account's name in m3ter.")
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=8, choices=State.choices, default=State.LIVE)
    paddle_status = models.CharField(max_length=20, blank=True, default="", help_text="Paddle's status when last seen.")
    next_billed_at = models.DateTimeField(
        null=True, blank=True, help_text="The Paddle renewal that carries the next bill."
    )
    scheduled_action = models.CharField(
        max_length=20, blank=True, default="", help_text="The cancel, pause or resume that Paddle will carry out."
    )
    scheduled_at = models.DateTimeField(null=True, blank=True, help_text="When it will.")
    charged_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="End of the last bill period that was charged or locked; plans before it are not changed any more.",
    )
    entities_ended_at = models.DateTimeField(
        null=True, blank=True, help_text="The end that everything on the account was given at the cancellation."
    )
    account_since = models.DateTimeField(
        null=True, blank=True, help_text="Since when it has it, where it had another before."
    )
    left_account_id = models.CharField(
        max_length=64, blank=True, default="", help_text="The m3ter account that it had before."
    )
    plans_unsure = models.BooleanField(
        default=False, help_text="Plans in m3ter were being changed, and what came of it was not written down yet."
    )
    bill_epoch = models.DateField(null=True, blank=True, help_text="The m3ter account's first bill date and anchor.")
    external_mapping_id = models.CharField(max_length=64, blank=True, default="")
    adopted = models.BooleanField(default=False, help_text="The m3ter account existed before.")
    buyer_known = models.BooleanField(default=True, help_text="Paddle knew the buyer, so the account has their name.")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    log = HistoricalRecords()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("m3ter_account_id",), condition=Q(state="live"), name="link_one_live_per_account"
            ),
            models.CheckConstraint(condition=Q(state__in=("live", "ended")), name="link_state_known"),
        )
        permissions = (
            ("sync_accountlink", "Can ask for a subscription to be worked out again"),
            ("relink_accountlink", "Can link a subscription to another m3ter account"),
        )

    def __str__(self) -> str:
        return f"{self.paddle_subscription_id} = {self.m3ter_account_code}"

    def plans_now(self) -> "models.QuerySet[AccountPlanLink]":
        """The plans on the account that it has now; those on one that it left stay on record."""
        return self.plans.filter(left_account_id="")


class AccountPlanLink(models.Model):
    """A plan that we attached to a linked account, from a moment on."""

    link = models.ForeignKey(AccountLink, on_delete=models.CASCADE, related_name="plans")
    code = models.CharField(
        max_length=80, unique=True, help_text="subscription:product (or plan group):start in seconds."
    )
    m3ter_account_plan_id = models.CharField(max_length=64)
    m3ter_plan_id = models.CharField(max_length=64, blank=True, default="")
    m3ter_plan_group_id = models.CharField(max_length=64, blank=True, default="")
    m3ter_product_id = models.CharField(max_length=64, blank=True, default="")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    quantity = models.PositiveBigIntegerField(default=1, help_text="Of all items on this plan together.")
    paddle_price_ids = models.JSONField(default=list, blank=True)
    quantity_field = models.CharField(
        max_length=80, blank=True, default="", help_text="Custom field in m3ter that was given the quantity."
    )
    left_account_id = models.CharField(
        max_length=64, blank=True, default="", help_text="The m3ter account it is on, once the subscription left that."
    )

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gte=F("starts_at")), name="plan_ends_after"
            ),
        )

    def __str__(self) -> str:
        return self.code


class PlanDecision(models.Model):
    """What an item of a subscription was mapped to when that was decided; later changes of mappings leave it."""

    paddle_subscription_id = models.CharField(max_length=64)
    link = models.ForeignKey(
        AccountLink,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="decisions",
        help_text="Empty while nothing of the subscription is metered.",
    )
    paddle_price_id = models.CharField(max_length=64)
    decided_at = models.DateTimeField(
        help_text="When the item's stay began, or a person moved it: it chose the mapping."
    )
    mapping = models.ForeignKey(PlanMapping, null=True, blank=True, on_delete=models.SET_NULL, related_name="decisions")
    target = models.CharField(max_length=12, choices=PlanMapping.Target.choices)
    m3ter_plan_id = models.CharField(max_length=64, blank=True, default="")
    m3ter_plan_group_id = models.CharField(max_length=64, blank=True, default="")
    m3ter_product_id = models.CharField(max_length=64, blank=True, default="")
    metering_starts = models.CharField(max_length=12, choices=PlanMapping.MeteringStarts.choices)
    quantity_use = models.CharField(max_length=12, choices=PlanMapping.QuantityUse.choices)
    quantity_field = models.CharField(max_length=80, blank=True, default="")
    m3ter_counter_id = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("paddle_subscription_id", "paddle_price_id", "decided_at"), name="decision_once_per_stay"
            ),
        )
        indexes = (models.Index(fields=("paddle_price_id",), name="decision_by_price"),)

    def __str__(self) -> str:
        goes_to = self.m3ter_plan_id or self.m3ter_plan_group_id or "not metered"
        return f"{self.paddle_price_id} -> {goes_to} since {self.decided_at:%Y-%m-%d}"


class ListPosition(models.Model):
    """How far something that goes through a vendor's lists, run by run, has come."""

    name = models.CharField(max_length=40, unique=True)
    position = models.CharField(
        max_length=120, blank=True, default="", help_text="The next run goes on after this; empty = from the beginning."
    )
    began_at = models.DateTimeField(help_text="When the round that is under way, or the last one, began.")
    finished_at = models.DateTimeField(
        null=True, blank=True, help_text="When the lists were read to their end; empty while a round is under way."
    )
    looked_at = models.PositiveBigIntegerField(default=0, help_text="Entries in this round.")
    found = models.PositiveBigIntegerField(default=0, help_text="Differences in this round.")

    def __str__(self) -> str:
        return f"{self.name}: {self.looked_at} looked at, {self.found} differences"


def history_note(instance: Any, reason: str) -> None:
    """Say why a person changed a row; History shows it beside who and when."""
    instance._change_reason = reason
