"""What both flows stand on: the installation, findings, mails, clients' keys, call budgets, circuits, heartbeats."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from integration_project.work_item import WorkItem


class Installation(models.Model):
    """One row: what this database belongs to, and the decisions that hold for the whole of it."""

    paddle_environment = models.CharField(max_length=10, help_text="Pinned at the first start: sandbox or live.")
    paddle_api_url = models.URLField(max_length=200, help_text="Pinned at the first start.")
    m3ter_api_url = models.URLField(max_length=200, help_text="Pinned at the first start.")
    m3ter_org_id = models.CharField(max_length=64, help_text="Pinned at the first start.")
    pinned_at = models.DateTimeField(help_text="When the four values above were pinned.")
    charge_from = models.DateField(
        null=True,
        blank=True,
        help_text="Go-live: bills whose period ends on or before it are never charged; empty = nothing is charged.",
    )
    lead_days = models.PositiveSmallIntegerField(
        default=2, help_text="A bill period ends this many days before the Paddle renewal that carries it."
    )
    organization_timezone = models.CharField(
        max_length=64, default="UTC", help_text="The m3ter organisation's time zone; billing dates are dates there."
    )
    organization_read_at = models.DateTimeField(null=True, blank=True, help_text="When the organisation was last read.")
    native_integration = models.TextField(
        blank=True,
        default="",
        help_text="m3ter's own integration of bills to Paddle, if one is enabled: then nothing is charged here.",
    )
    native_integration_checked_at = models.DateTimeField(
        null=True, blank=True, help_text="When that was last looked up; nothing is charged before the first time."
    )
    look_before_first_push = models.BooleanField(
        default=False,
        help_text="Set after a database restore: every first push looks in Paddle for its own trace before it is sent.",
    )
    restore_confirmed_at = models.DateTimeField(null=True, blank=True, help_text="When confirm_restore was last run.")
    customer_codes_trusted = models.BooleanField(
        default=False,
        help_text="Use account codes from Paddle custom data. Off: a buyer's browser can set them.",
    )

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(pk=1), name="installation_is_one_row"),)
        permissions = (
            ("go_live", "Can set the go-live date"),
            ("plan_periods", "Can set how many days before a renewal bill periods end"),
            ("trust_codes", "Can let account codes come from Paddle custom data"),
            ("end_restore", "Can end looking in Paddle before every first push"),
        )
        verbose_name_plural = "installation"

    def __str__(self) -> str:
        return f"Paddle {self.paddle_environment}, m3ter organisation {self.m3ter_org_id}"


class Finding(models.Model):
    """Something that a person must look at, open until it no longer holds or somebody closes it with a reason."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        CLOSED = "closed", "Closed"

    class Severity(models.TextChoices):
        ALARM = "alarm", "Alarm: money may be wrong"
        PROBLEM = "problem", "Problem: something waits for you"
        NOTICE = "notice", "Notice"

    kind = models.CharField(max_length=60, help_text="What was found, as a short code.")
    subject = models.CharField(
        max_length=120, help_text="What it was found about: the id of a subscription, bill or push."
    )
    key = models.CharField(
        max_length=200, blank=True, default="", help_text="Tells several of one kind and subject apart."
    )
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.PROBLEM)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    detail = models.TextField(help_text="Cause and effect, in a sentence or two.")
    next_step = models.TextField(blank=True, default="", help_text="What to do about it.")
    opened_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When it was last found to hold.")
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Who closed it; empty when it ended by itself.",
    )
    close_reason = models.TextField(blank=True, default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("kind", "subject", "key"), condition=Q(state="open"), name="finding_open_once"
            ),
            models.CheckConstraint(condition=Q(state__in=("open", "closed")), name="finding_state_known"),
        )
        indexes = (models.Index(fields=("state", "-opened_at"), name="finding_by_state"),)
        permissions = (("close_finding", "Can close findings"),)

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"


class MailRule(models.Model):
    """Whom to mail about what: one mail when findings of a kind open, one when they close."""

    addresses = models.TextField(help_text="One address a line.")
    topics = models.JSONField(default=list, help_text="What it is about, by codes of the closed list of topics.")
    severity = models.CharField(
        max_length=10,
        choices=Finding.Severity.choices,
        default=Finding.Severity.PROBLEM,
        help_text="Findings of this severity, and of worse ones.",
    )
    active = models.BooleanField(default=True, help_text="Off: nothing is mailed by it.")
    log = HistoricalRecords()

    class Meta:
        permissions = (
            ("mail_bills", "Can decide who is mailed about charging and bills"),
            ("mail_operations", "Can decide who is mailed about events, connections and usage"),
        )

    def __str__(self) -> str:
        return f"mail rule {self.pk}"

    @property
    def recipients(self) -> list[str]:
        """The addresses, in their order."""
        return self.addresses.split()


class Mail(WorkItem):
    """One mail of a rule: about findings of one kind that opened, or closed; or a test. Written as it is sent."""

    class About(models.TextChoices):
        OPENED = "opened", "Opened"
        CLOSED = "closed", "Closed"
        TEST = "test", "Test"

    class State(models.TextChoices):
        WAITING = "waiting", "Waits to be sent"
        SENDING = "sending", "Being sent"
        SENT = "sent", "Sent"
        DROPPED = "dropped", "Not needed any more"
        FAILED = "failed", "Not sent"

    rule = models.ForeignKey(MailRule, on_delete=models.PROTECT, related_name="mails")
    about = models.CharField(max_length=10, choices=About.choices)
    kind = models.CharField(max_length=60, blank=True, default="", help_text="Kind of the findings; empty for a test.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    token = models.UUIDField(
        default=uuid.uuid4, editable=False, help_text="Names the mail for mail servers, the same however often it goes."
    )
    created_at = models.DateTimeField()
    written_at = models.DateTimeField(
        null=True, blank=True, help_text="When its text was fixed: from then on somebody may have it."
    )
    sent_at = models.DateTimeField(null=True, blank=True)
    findings = models.PositiveIntegerField(default=0, help_text="How many findings it is about.")
    subject = models.CharField(max_length=200, blank=True, default="")
    body = models.TextField(blank=True, default="")
    recipients = models.JSONField(default=list, help_text="To whom it was written.")
    reached = models.JSONField(default=list, help_text="For whom the mail server took it.")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("rule", "kind", "about"),
                condition=Q(state__in=("waiting", "sending")),
                name="mail_one_on_its_way",
            ),
            models.CheckConstraint(
                condition=Q(state__in=("waiting", "sending", "sent", "dropped", "failed")), name="mail_state_known"
            ),
        )
        indexes = (
            models.Index(fields=("state", "due_at"), condition=Q(due_at__isnull=False), name="mail_due"),
            models.Index(fields=("lease_until",), condition=Q(lease__isnull=False), name="mail_leased"),
        )
        verbose_name = "mail"

    def __str__(self) -> str:
        return f"mail {self.pk}"


class MailedFinding(models.Model):
    """What a rule has told, or owes, about one finding: a finding opens and closes once, and so does this row."""

    class State(models.TextChoices):
        KNOWN = "known", "Was open before the rule asked for it: not mailed"
        OPENING = "opening", "That it opened waits to be mailed"
        OPEN = "open", "That it opened was mailed"
        CLOSING = "closing", "That it closed waits to be mailed"
        DONE = "done", "Nothing more is to be mailed"
        UNSENT = "unsent", "Could not be mailed"

    rule = models.ForeignKey(MailRule, on_delete=models.PROTECT, related_name="told")
    finding = models.ForeignKey(Finding, on_delete=models.CASCADE, related_name="mailings")
    state = models.CharField(max_length=10, choices=State.choices)
    mail = models.ForeignKey(
        Mail, null=True, blank=True, on_delete=models.SET_NULL, related_name="about_findings", help_text="The last one."
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("rule", "finding"), name="mailed_finding_once"),
            models.CheckConstraint(
                condition=Q(state__in=("known", "opening", "open", "closing", "done", "unsent")),
                name="mailed_finding_state_known",
            ),
        )
        indexes = (models.Index(fields=("rule", "state"), name="mailed_finding_by_state"),)

    def __str__(self) -> str:
        return f"{self.finding_id} by {self.rule_id}: {self.state}"


class ApiKey(models.Model):
    """What a client of the REST API shows to be let in. The key itself is nowhere: only its hash, and how it begins."""

    class Scope(models.TextChoices):
        USAGE_WRITE = "usage:write", "Send usage"
        USAGE_READ = "usage:read", "Read receipts and progress"

    client = models.CharField(max_length=100, help_text="Who uses it: a program, or the team that runs it.")
    prefix = models.CharField(max_length=20, help_text="How the key begins, so that people can tell keys apart.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the key.")
    scopes = models.JSONField(default=list, help_text="What it may be used for, by codes of the closed list.")
    calls_per_minute = models.PositiveIntegerField(default=600)
    made_at = models.DateTimeField()
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Who made it; empty when a command did.",
    )
    made_from = models.UUIDField(
        unique=True,
        default=uuid.uuid4,
        editable=False,
        help_text="Names the form it was made with, so that one sent twice makes one key.",
    )
    replaces = models.OneToOneField(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="replacement",
        help_text="The client's key before this one.",
    )
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="From then on it is refused; empty = works until it is revoked."
    )
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    last_used_at = models.DateTimeField(
        null=True, blank=True, help_text="To the minute: a busy key is not written down with every call."
    )

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(calls_per_minute__gte=1), name="api_key_may_make_some_calls"),
        )
        default_permissions = ("view",)
        permissions = (
            ("make_apikey", "Can make API keys, and replace them"),
            ("revoke_apikey", "Can revoke API keys"),
        )
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def __str__(self) -> str:
        return f"{self.client} ({self.prefix}...)"


class CallBudget(models.Model):
    """A token bucket that all processes share: what one purpose has left with a vendor, or an API key here."""

    vendor = models.CharField(max_length=20)
    purpose = models.CharField(
        max_length=20, help_text="push, look or import: each has its share, idle shares are lent."
    )
    tokens = models.FloatField(help_text="Calls that may be made now.")
    capacity = models.FloatField(help_text="Most tokens this bucket holds: the burst.")
    rate = models.FloatField(help_text="Tokens a second.")
    refilled_at = models.FloatField(help_text="When tokens were last counted, in seconds of the database's clock.")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("vendor", "purpose"), name="budget_one_per_purpose"),)

    def __str__(self) -> str:
        return f"{self.vendor} for {self.purpose}"


class Circuit(models.Model):
    """Whether a vendor, or one operation of it, may be called; opened by a refused key or a missing permission."""

    vendor = models.CharField(max_length=20)
    operation = models.CharField(
        max_length=60, blank=True, default="", help_text="Empty = every operation of the vendor."
    )
    is_open = models.BooleanField(default=False, help_text="Open = nobody may call; work waits.")
    detail = models.TextField(blank=True, default="", help_text="Why it opened.")
    opened_at = models.DateTimeField(null=True, blank=True)
    probe_at = models.DateTimeField(null=True, blank=True, help_text="When one call may try whether it works again.")
    last_success_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("vendor", "operation"), name="circuit_one_per_operation"),)

    def __str__(self) -> str:
        return f"{self.vendor} {self.operation or 'everything'}: {'open' if self.is_open else 'closed'}"


class Heartbeat(models.Model):
    """A worker's main process says that it is alive."""

    name = models.CharField(max_length=120, unique=True, help_text="Host and process.")
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)
    detail = models.JSONField(default=dict, blank=True)

    def __str__(self) -> str:
        return self.name


class ScheduledJob(models.Model):
    """When a job of the schedule table last ran and runs next; also who keeps the schedule now."""

    name = models.CharField(max_length=60, unique=True)
    due_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    lease = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    result = models.TextField(blank=True, default="", help_text="What the last run said, or why it failed.")

    def __str__(self) -> str:
        return self.name


class WebhookRefusal(models.Model):
    """How often a webhook address refused a request, by reason and day; nothing of the request is kept."""

    source = models.CharField(max_length=20)
    reason = models.CharField(max_length=60)
    day = models.DateField()
    count = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("source", "reason", "day"), name="refusal_one_per_day"),)

    def __str__(self) -> str:
        return f"{self.source} {self.day}: {self.reason} x {self.count}"
