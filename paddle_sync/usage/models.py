"""Usage that was accepted: one narrow row for each uid, and everything else by the batch."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q

from integration_project.work_item import WorkItem


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


class UsageUpload(WorkItem):
    """A file of usage: received whole, checked whole, and sent only then."""

    class State(models.TextChoices):
        RECEIVING = "receiving", "Being received"
        LAYOUT = "layout", "Columns to be confirmed"
        CHECKING = "checking", "Being checked"
        RUNNING = "running", "Being worked on"
        DECIDING = "deciding", "Checked: to be decided"
        SENDING = "sending", "On its way to m3ter"
        DONE = "done", "Sent"
        PAUSED = "paused", "Paused"
        DISCARDED = "discarded", "Discarded: nothing was sent"
        FAILED = "failed", "Cannot be read"

    class OnErrors(models.TextChoices):
        ASK = "ask", "Ask before anything is sent, also where every row is good"
        STOP = "stop", "Send it when every row is good, else ask"
        SEND_GOOD = "send_good", "Send the good rows, whatever else is in it"

    class Via(models.TextChoices):
        CONSOLE = "console", "Console"
        COMMAND = "command", "Command"
        API = "api", "REST API"

    name = models.CharField(max_length=200, help_text="The file's name where it came from.")
    via = models.CharField(max_length=8, choices=Via.choices)
    by = models.CharField(max_length=150, help_text="User, or client of the API.")
    api_key_prefix = models.CharField(max_length=24, blank=True, default="")
    made_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RECEIVING)
    was = models.CharField(max_length=10, blank=True, default="", help_text="The state that a pause interrupted.")
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes received.")
    sha256 = models.CharField(max_length=64, blank=True, default="")
    format = models.CharField(max_length=20, blank=True, default="")
    columns = models.JSONField(default=list, blank=True)
    layout = models.JSONField(null=True, blank=True, help_text="Which column is which field; empty for JSON.")
    on_errors = models.CharField(max_length=10, choices=OnErrors.choices, default=OnErrors.STOP)
    position = models.PositiveBigIntegerField(
        default=0, help_text="Number of the last row that was checked, as a person counts; the next goes on after it."
    )
    bytes_checked = models.PositiveBigIntegerField(default=0, help_text="How much of its bytes that was.")
    rows = models.PositiveBigIntegerField(default=0, help_text="Rows checked so far; blank ones are none.")
    rows_total = models.PositiveBigIntegerField(null=True, blank=True, help_text="Known once all were read.")
    accepted = models.PositiveBigIntegerField(default=0)
    duplicate = models.PositiveBigIntegerField(default=0)
    conflict = models.PositiveBigIntegerField(default=0)
    refused = models.PositiveBigIntegerField(default=0)
    held = models.PositiveBigIntegerField(default=0, help_text="Of the accepted: wait for an account.")
    late = models.PositiveBigIntegerField(default=0, help_text="Of the accepted: in a period whose bill is approved.")
    on_next = models.PositiveBigIntegerField(default=0, help_text="Of the accepted: for the next bill, after review.")
    rejected_bytes = models.PositiveBigIntegerField(default=0, help_text="What its rejected rows take, not compressed.")
    reasons = models.JSONField(default=dict, blank=True, help_text="Why rows were refused, and how many.")
    checked_at = models.DateTimeField(null=True, blank=True, help_text="When all its rows had been checked.")
    agreed = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        help_text="Wrong rows that a person agreed to leave out; more of them are asked about anew.",
    )
    decided_by = models.CharField(max_length=150, blank=True, default="", help_text="Who had it sent, or discarded it.")
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.TextField(blank=True, default="")
    note = models.TextField(blank=True, default="", help_text="The outcome in words.")

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(
                    state__in=(
                        "receiving",
                        "layout",
                        "checking",
                        "running",
                        "deciding",
                        "sending",
                        "done",
                        "paused",
                        "discarded",
                        "failed",
                    )
                ),
                name="upload_state_known",
            ),
        )
        indexes = (
            models.Index(fields=("due_at", "id"), condition=Q(state="checking"), name="upload_due"),
            models.Index(fields=("lease_until",), condition=Q(state="running"), name="upload_leased"),
            models.Index(fields=("sha256",), name="upload_by_hash"),
            models.Index(fields=("state", "-id"), name="upload_by_state"),
        )
        verbose_name = "usage file"
        permissions = (
            ("send_usage", "Can upload usage, and decide about uploaded files and about usage that was not sent"),
        )

    def __str__(self) -> str:
        return f"{self.name} of {self.made_at:%Y-%m-%d %H:%M}"

    @property
    def rejected(self) -> int:
        """Rows that are not taken, whatever the reason."""
        return self.refused + self.conflict

    @property
    def can_be_sent(self) -> bool:
        """Whether every row was checked; it is not where so many were wrong that the rest was not looked at."""
        return self.rows_total is not None


class UsageFilePart(models.Model):
    """A piece of a file's bytes, compressed, so that every worker on every host can read it."""

    upload = models.ForeignKey(UsageUpload, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("upload", "number"), name="usage_part_once"),)

    def __str__(self) -> str:
        return f"part {self.number} of file {self.upload_id}"


class UsageRejects(models.Model):
    """Rows of a file that were refused, as they stood in it, with the reason: a block at a time, compressed."""

    upload = models.ForeignKey(UsageUpload, on_delete=models.CASCADE, related_name="rejects")
    first_row = models.PositiveBigIntegerField()
    count = models.PositiveIntegerField()
    rows = models.BinaryField(help_text="Compressed JSON lines: row, column, reason, values.")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("upload", "first_row"), name="usage_rejects_once"),)

    def __str__(self) -> str:
        return f"{self.count} refused rows of file {self.upload_id}"


class UsageLayout(models.Model):
    """Which column is which field, remembered for the next file with the same header."""

    signature = models.CharField(max_length=64, unique=True, help_text="Hash of the header.")
    columns = models.JSONField()
    layout = models.JSONField()
    by = models.CharField(max_length=150)
    saved_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"layout of {len(self.columns)} columns"


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
