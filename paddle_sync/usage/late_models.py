"""Usage that comes when its bill is approved or locked already, and which periods those are."""

from django.db import models
from django.db.models import Q

from integration_project.work_item import WorkItem
from paddle_sync.usage.models import UsageBatch


class SettledPeriod(models.Model):
    """A bill period of an account that is approved or locked, so that usage in it is no longer simply counted.

    Written down by whoever imports m3ter's bills; a bill that goes back to PENDING, or is deleted, is taken out.
    """

    class State(models.TextChoices):
        APPROVED = "approved", "Approved"
        LOCKED = "locked", "Locked"

    m3ter_bill_id = models.CharField(max_length=64, unique=True)
    m3ter_account_id = models.CharField(max_length=64, db_index=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(help_text="The first moment after it.")
    state = models.CharField(max_length=8, choices=State.choices)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(state__in=("approved", "locked")), name="settled_period_state_known"),
        )

    def __str__(self) -> str:
        return f"{self.m3ter_account_id} {self.starts_at:%Y-%m-%d} to {self.ends_at:%Y-%m-%d}: {self.state}"


class LateForBill(WorkItem):
    """An approved bill in whose period usage came in later: m3ter calculates it again only when it is asked to."""

    class State(models.TextChoices):
        OPEN = "open", "Later usage: to be decided"
        ASKED = "asked", "To be calculated again"
        DONE = "done", "m3ter was asked to calculate it again"
        LEFT = "left", "Left as it is"

    m3ter_bill_id = models.CharField(max_length=64, unique=True)
    m3ter_account_id = models.CharField(max_length=64)
    m3ter_account_code = models.CharField(max_length=80)
    state = models.CharField(max_length=5, choices=State.choices, default=State.OPEN)
    last_at = models.DateTimeField(help_text="When usage of its period was last accepted.")
    asked_at = models.DateTimeField(null=True, blank=True, help_text="When a person decided.")
    asked_by = models.CharField(max_length=150, blank=True, default="")
    reason = models.TextField(blank=True, default="")
    done_at = models.DateTimeField(null=True, blank=True, help_text="When m3ter was asked.")

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=("open", "asked", "done", "left")), name="late_for_bill_state_known"
            ),
        )
        indexes = (
            models.Index(fields=("state", "-id"), name="late_for_bill_by_state"),
            models.Index(fields=("m3ter_account_id",), name="late_for_bill_by_account"),
            models.Index(fields=("due_at", "id"), condition=Q(state="asked"), name="late_for_bill_due"),
        )
        verbose_name = "approved bill with later usage"
        verbose_name_plural = "approved bills with later usage"
        permissions = (("recalculate_lateforbill", "Can have m3ter calculate approved bills again"),)

    def __str__(self) -> str:
        return f"bill {self.m3ter_bill_id} of {self.m3ter_account_code}"


class LateInBatch(models.Model):
    """How much of a batch lies in an approved bill's period; gone with its batch, where that is discarded."""

    batch = models.ForeignKey(UsageBatch, on_delete=models.CASCADE, related_name="late_for")
    m3ter_bill_id = models.CharField(max_length=64, db_index=True)
    items = models.PositiveIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("batch", "m3ter_bill_id"), name="late_in_batch_once"),)

    def __str__(self) -> str:
        return f"{self.items} of batch {self.batch_id} for bill {self.m3ter_bill_id}"


class LateUsage(WorkItem):
    """Usage of a locked period that its sender wants on the next bill: a person says what it costs."""

    class State(models.TextChoices):
        REVIEW = "review", "To be priced"
        ASKED = "asked", "Charge asked of m3ter"
        CHARGED = "charged", "On the next bill"
        WRITTEN_OFF = "written_off", "Not charged"

    m3ter_account_id = models.CharField(max_length=64)
    m3ter_account_code = models.CharField(max_length=80)
    paddle_subscription_id = models.CharField(max_length=64, blank=True, default="")
    m3ter_bill_id = models.CharField(max_length=64, help_text="The locked bill of its period.")
    meter = models.CharField(max_length=80)
    batch_id = models.BigIntegerField(help_text="The batch it was accepted in.")
    items = models.PositiveIntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    sums = models.JSONField(help_text="Per numeric field of the meter, the sum as text.")
    received_at = models.DateTimeField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.REVIEW)
    currency = models.CharField(max_length=3, blank=True, default="")
    amount = models.BigIntegerField(null=True, blank=True, help_text="In minor units of the currency.")
    exact = models.CharField(
        max_length=40, blank=True, default="", help_text="The amount in the currency's own units, as m3ter is told."
    )
    units = models.CharField(max_length=40, blank=True, default="", help_text="How many were priced, if by the unit.")
    unit_price = models.CharField(max_length=40, blank=True, default="")
    description = models.CharField(max_length=200, blank=True, default="")
    m3ter_charge_id = models.CharField(max_length=64, blank=True, default="")
    decided_by = models.CharField(max_length=150, blank=True, default="")
    decided_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(blank=True, default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("batch_id", "m3ter_account_code", "meter", "m3ter_bill_id"), name="late_usage_once"
            ),
            models.CheckConstraint(
                condition=Q(state__in=("review", "asked", "charged", "written_off")), name="late_usage_state_known"
            ),
        )
        indexes = (
            models.Index(fields=("state", "-id"), name="late_usage_by_state"),
            models.Index(fields=("m3ter_account_id", "-id"), name="late_usage_by_account"),
            models.Index(fields=("due_at", "id"), condition=Q(state="asked"), name="late_usage_due"),
        )
        verbose_name = "late usage"
        verbose_name_plural = "late usage"
        permissions = (("price_lateusage", "Can put late usage on the next bill, or leave it uncharged"),)

    def __str__(self) -> str:
        return f"{self.items} late measurements of {self.meter}, {self.m3ter_account_code}"
