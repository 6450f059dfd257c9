"""Runs of the reconciliation, and what each found of every bill (see reconciliation.py)."""

from django.db import models
from django.db.models import F, Q


class ReconciliationRun(models.Model):
    """m3ter's bills of a span of days, our ledger and Paddle's transactions compared once; kept for ever."""

    class State(models.TextChoices):
        LISTING = "listing", "Listing m3ter's bills"
        COMPARING = "comparing", "Comparing"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    state = models.CharField(max_length=10, choices=State.choices, default=State.LISTING)
    first_day = models.DateField(help_text="Bills dated on this day or later.")
    last_day = models.DateField(help_text="Bills dated on this day or earlier.")
    account_code = models.CharField(
        max_length=80, blank=True, default="", help_text="Only this account's bills; empty = every account's."
    )
    m3ter_account_id = models.CharField(max_length=64, blank=True, default="")
    by = models.CharField(max_length=150, help_text="Who asked for it.")
    reason = models.TextField(blank=True, default="")
    note = models.TextField(blank=True, default="", help_text="What keeps it, or ended it, in words.")
    bills = models.PositiveIntegerField(default=0, help_text="Rows, once it is done.")
    unknown = models.PositiveIntegerField(default=0, help_text="Rows with a difference that has no reason.")
    new_unknown = models.PositiveIntegerField(default=0, help_text="Those that the previous run did not have.")
    solved = models.PositiveIntegerField(default=0, help_text="Those of the previous run that are unknown no more.")
    previous = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", help_text="What it is compared to."
    )
    totals = models.JSONField(default=dict, blank=True, help_text="By currency: amounts and reasons in smallest units.")
    lease = models.UUIDField(null=True, blank=True, editable=False, help_text="Token of whoever carries it on now.")
    lease_until = models.DateTimeField(null=True, blank=True, editable=False, help_text="When that claim ends.")
    created_at = models.DateTimeField()
    listed_to = models.DateField(
        null=True, blank=True, help_text="m3ter's bills dated before this day are written down."
    )
    listed_at = models.DateTimeField(null=True, blank=True, help_text="When m3ter's list had been read to its end.")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=("listing", "comparing", "done", "failed")), name="reconciliation_state_known"
            ),
            models.CheckConstraint(condition=Q(first_day__lte=F("last_day")), name="reconciliation_span"),
        )
        indexes = (
            models.Index(
                fields=("state",), condition=Q(state__in=("listing", "comparing")), name="reconciliation_active"
            ),
        )
        verbose_name = "reconciliation"
        permissions = (("begin_reconciliationrun", "Can begin reconciliations"),)

    def __str__(self) -> str:
        whose = f" of {self.account_code}" if self.account_code else ""
        return f"Reconciliation{whose}, {self.first_day} to {self.last_day}"


class ReconciliationRow(models.Model):
    """One bill of a run, or marks of ours in Paddle that no push knows: the amounts on each side, and why they differ.

    Amounts are in smallest units of the currency; what the parts come to is m3ter's amount less what Paddle kept.
    """

    run = models.ForeignKey(ReconciliationRun, on_delete=models.CASCADE, related_name="rows")
    subject = models.CharField(max_length=80, help_text="m3ter's bill, or the mark of a push that nobody made here.")
    bill = models.ForeignKey(
        "billing_bridge.PushedBill", null=True, blank=True, on_delete=models.SET_NULL, related_name="reconciliations"
    )
    m3ter_bill_id = models.CharField(max_length=64, blank=True, default="", db_index=True)
    m3ter_account_id = models.CharField(max_length=64, blank=True, default="")
    account_code = models.CharField(max_length=80, blank=True, default="")
    customer = models.CharField(max_length=200, blank=True, default="")
    paddle_subscription_id = models.CharField(max_length=64, blank=True, default="")
    transactions = models.JSONField(default=list, blank=True, help_text="Paddle's transactions that carry it.")
    period_start = models.DateField(null=True, blank=True)
    period_end = models.DateField(null=True, blank=True, help_text="Exclusive.")
    currency = models.CharField(max_length=3, blank=True, default="")
    said = models.JSONField(default=dict, blank=True, help_text="What m3ter's list said of it.")
    m3ter = models.BigIntegerField(default=0)
    ledger = models.BigIntegerField(default=0)
    billed = models.BigIntegerField(default=0)
    collected = models.BigIntegerField(default=0)
    refunded = models.BigIntegerField(default=0)
    unknown = models.BigIntegerField(default=0, help_text="How much of the difference has no reason.")
    is_unknown = models.BooleanField(default=False)
    is_new = models.BooleanField(default=False, help_text="Unknown, and not so in the previous run.")
    parts = models.JSONField(default=list, blank=True, help_text="Reason, amount and words of each part.")
    reasons = models.CharField(
        max_length=200, blank=True, default="", help_text="The reasons of the parts, each between commas."
    )
    compared_at = models.DateTimeField(null=True, blank=True, help_text="Empty while it is only listed.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("run", "subject"), name="reconciliation_row_once"),
            models.CheckConstraint(condition=Q(unknown__gte=0), name="reconciliation_unknown_is_a_size"),
            models.CheckConstraint(condition=Q(unknown=0) | Q(is_unknown=True), name="reconciliation_unknown_is_said"),
        )
        indexes = (
            models.Index(fields=("run", "-is_unknown", "-unknown", "id"), name="reconciliation_unknown_first"),
            models.Index(
                fields=("run", "m3ter_account_id"),
                condition=Q(compared_at__isnull=True),
                name="reconciliation_to_compare",
            ),
        )
        verbose_name = "reconciled bill"

    def __str__(self) -> str:
        return f"{self.subject} of {self.account_code or self.m3ter_account_id or 'nobody'}"

    @property
    def kept(self) -> int:
        """What Paddle collected and has not given back."""
        return self.collected - self.refunded

    @property
    def difference(self) -> int:
        """What m3ter says, less what Paddle kept."""
        return self.m3ter - self.kept
