"""Usage that was accepted: one narrow row for each uid, and everything else by the batch."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q

from integration_project.work_item import WorkItem
from paddle_sync.usage.file_models import UsageUpload


class UsageUid(models.Model):
    """One measurement that was accepted, as narrow as it can be: that it was, with what content, and in which batch."""

    key = models.UUIDField(
        primary_key=True, help_text="128 bits of the SHA-256 of m3ter account code and uid; sent to m3ter as the uid."
    )
    content = models.BigIntegerField(help_text="64 bits of the SHA-256 of what was measured.")
    batch_id = models.BigIntegerField(help_text="The batch that holds it; the batch itself may be forgotten by now.")
    received_on = models.DateField(help_text="Forgotten 400 days after this, which no measurement may be older than.")

    class Meta:
        indexes = (models.Index(fields=("received_on",), name="usage_uid_by_day"),)

    def __str__(self) -> str:
        return self.key.hex


class UsageBatch(WorkItem):
    """Accepted measurements on their way to m3ter, up to 1,000 at once, from one request or one stretch of a file."""

    class State(models.TextChoices):
        STAGED = "staged", "Checked, its file is not sent yet"
        HELD = "held", "Waits for the subscription's account"
        PAUSED = "paused", "Its file is paused"
        READY = "ready", "To be sent"
        SENDING = "sending", "Being sent"
        SENT = "sent", "Taken by m3ter"
        FAILED = "failed", "Not taken: to be decided"
        NEXT_BILL = "next_bill", "Of locked periods: for the next bill"
        TAKEN_BACK = "taken_back", "Taken back by a person"

    class Urgency(models.IntegerChoices):
        NOW = 0, "From a request"
        FILE = 1, "From a file"

    upload = models.ForeignKey(
        UsageUpload, null=True, blank=True, on_delete=models.CASCADE, related_name="batches", help_text="Its file."
    )
    client = models.CharField(max_length=150, blank=True, default="", help_text="Client of the API that sent it.")
    api_key_prefix = models.CharField(max_length=24, blank=True, default="", help_text="The key it came with.")
    idempotency_key = models.CharField(max_length=200, blank=True, default="")
    received_at = models.DateTimeField()
    urgency = models.PositiveSmallIntegerField(choices=Urgency.choices, default=Urgency.NOW)
    state = models.CharField(max_length=10, choices=State.choices, default=State.READY)
    then = models.CharField(
        max_length=10, choices=State.choices, default=State.READY, help_text="Its state once its file is sent."
    )
    paddle_subscription_id = models.CharField(
        max_length=64, blank=True, default="", help_text="The subscription whose account it waits for."
    )
    items = models.PositiveIntegerField(help_text="Measurements in it.")
    late = models.PositiveIntegerField(default=0, help_text="Of these, in a period whose bill is approved.")
    size = models.PositiveIntegerField(help_text="Bytes of its measurements as they are sent.")
    first_sent_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When a request with it first began; m3ter knows its uids for 35 days.",
    )
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When m3ter took it.")
    sendings = models.PositiveIntegerField(default=0, help_text="How many requests with it were begun.")
    failed_later = models.PositiveIntegerField(default=0, help_text="Of its items, what m3ter dropped afterwards.")
    note = models.TextField(blank=True, default="", help_text="The outcome in words.")

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(
                    state__in=(
                        "staged",
                        "held",
                        "paused",
                        "ready",
                        "sending",
                        "sent",
                        "failed",
                        "next_bill",
                        "taken_back",
                    )
                ),
                name="usage_batch_state_known",
            ),
        )
        indexes = (
            models.Index(fields=("urgency", "due_at", "id"), condition=Q(state="ready"), name="usage_batch_due"),
            models.Index(fields=("lease_until",), condition=Q(state="sending"), name="usage_batch_leased"),
            models.Index(fields=("paddle_subscription_id",), condition=Q(state="held"), name="usage_batch_held"),
            models.Index(fields=("state", "-id"), name="usage_batch_by_state"),
            models.Index(fields=("received_at",), name="usage_batch_by_time"),
        )
        verbose_name = "usage batch"
        verbose_name_plural = "usage batches"

    def __str__(self) -> str:
        return f"batch {self.pk} of {self.items} measurements"


class UsageBody(models.Model):
    """What a batch holds, in a table of its own so that lists stay narrow."""

    batch = models.OneToOneField(UsageBatch, primary_key=True, on_delete=models.CASCADE, related_name="body")
    measurements = models.BinaryField(
        help_text="Compressed lines of JSON: m3ter's measurements; of a batch that waits for an account, the items."
    )
    keys = models.BinaryField(help_text="Per line 16 bytes of its uid's key and 8 of its content.")
    rows = models.BinaryField(help_text="Per line 8 bytes: the row of the file, or the item's index in the request.")

    def __str__(self) -> str:
        return f"body of batch {self.batch_id}"


class UsageFailure(models.Model):
    """Something accepted that did not come to count: m3ter dropped it later, refused it, or it fitted no plan."""

    class State(models.TextChoices):
        NEW = "new", "Details still to be read from m3ter"
        OPEN = "open", "To be looked at"
        HARMLESS = "harmless", "Nothing to do"
        CLOSED = "closed", "Closed by a person"

    class Whose(models.TextChoices):
        OURS = "ours", "Sent from here"
        ELSEWHERE = "elsewhere", "Like ours, and unknown here: another copy of this database"
        OTHERS = "others", "Somebody else's measurement"
        UNKNOWN = "unknown", "Cannot be told"

    m3ter_event_id = models.CharField(
        max_length=64,
        null=True,
        blank=True,
        unique=True,
        help_text="m3ter's event that told of it, if any.",
    )
    occurred_at = models.DateTimeField()
    kind = models.CharField(max_length=60, help_text="m3ter's word for what is wrong, or ours.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.NEW)
    file = models.CharField(max_length=500, blank=True, default="", help_text="m3ter's name of the details.")
    tries = models.PositiveSmallIntegerField(default=0, help_text="How often its details could not be read.")
    uid_key = models.UUIDField(null=True, blank=True)
    batch = models.ForeignKey(UsageBatch, null=True, blank=True, on_delete=models.SET_NULL, related_name="failures")
    upload = models.ForeignKey(UsageUpload, null=True, blank=True, on_delete=models.CASCADE, related_name="failures")
    row = models.PositiveBigIntegerField(null=True, blank=True, help_text="Row of the file, or index in the request.")
    m3ter_account_code = models.CharField(max_length=80, blank=True, default="")
    meter = models.CharField(max_length=80, blank=True, default="")
    is_dropped = models.BooleanField(default=True, help_text="Whether it may be sent again under the same uid.")
    measurement = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder, help_text="As it was sent.")
    detail = models.TextField(blank=True, default="", help_text="What is wrong and what to do, in words.")
    closed_by = models.CharField(max_length=150, blank=True, default="")
    closed_at = models.DateTimeField(null=True, blank=True)
    close_reason = models.TextField(blank=True, default="")
    whose = models.CharField(max_length=10, choices=Whose.choices, default=Whose.OURS)
    client = models.CharField(max_length=150, blank=True, default="", help_text="Client of the API that sent it.")
    api_key_prefix = models.CharField(max_length=24, blank=True, default="", help_text="The key it came with.")
    due_at = models.DateTimeField(null=True, blank=True, help_text="When its details are to be read from m3ter.")

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=("new", "open", "harmless", "closed")), name="usage_failure_state_known"
            ),
        )
        indexes = (
            models.Index(fields=("state", "-id"), name="usage_failure_by_state"),
            models.Index(fields=("m3ter_account_code", "-id"), name="usage_failure_by_account"),
            models.Index(fields=("due_at", "id"), condition=Q(state="new"), name="usage_failure_due"),
            models.Index(fields=("uid_key",), condition=Q(uid_key__isnull=False), name="usage_failure_by_uid"),
        )
        verbose_name = "usage failure"
        permissions = (("close_usagefailure", "Can close usage failures"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.uid_key or self.m3ter_event_id}"


class UsageDay(models.Model):
    """What m3ter has counted of one numeric field, account and day, as its usage query last said."""

    class Problem(models.TextChoices):
        NONE = "", "-"
        NO_PLAN = "no_plan", "No plan of the account covers it"
        NO_ACCOUNT = "no_account", "No subscription has this account"

    m3ter_account_code = models.CharField(max_length=80)
    meter = models.CharField(max_length=80, help_text="The meter's code.")
    field = models.CharField(max_length=80)
    day = models.DateField(help_text="In UTC.")
    total = models.CharField(max_length=80, help_text="A number, digit for digit.")
    read_at = models.DateTimeField()
    problem = models.CharField(
        max_length=10, choices=Problem.choices, blank=True, default="", help_text="Why nothing would bill it."
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("m3ter_account_code", "meter", "field", "day"), name="usage_day_once"),
        )
        indexes = (
            models.Index(fields=("day",), name="usage_day_by_day"),
            models.Index(fields=("meter", "day"), name="usage_day_by_meter"),
            models.Index(fields=("problem", "day"), condition=~Q(problem=""), name="usage_day_problem"),
        )

        verbose_name = "usage of a day"
        verbose_name_plural = "usage of days"
        permissions = (("refresh_usageday", "Can have m3ter's usage read again"),)

    def __str__(self) -> str:
        return f"{self.m3ter_account_code} {self.meter}.{self.field} {self.day}: {self.total}"


class SeenMeter(models.Model):
    """When m3ter was last asked what it has counted of a meter, and how far back."""

    meter = models.CharField(max_length=80, unique=True, help_text="The meter's code.")
    read_at = models.DateTimeField(null=True, blank=True, help_text="When all of it was last read.")
    asked_at = models.DateTimeField(null=True, blank=True, help_text="When a person last asked for it.")
    error = models.TextField(blank=True, default="", help_text="Why it could not be read the last time.")

    def __str__(self) -> str:
        return self.meter
