"""m3ter's bills, what was decided about each, and every attempt to charge them in Paddle."""

from decimal import Decimal

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from integration_project.work import WorkItem
from paddle_sync.models import AccountLink


class PushedBill(WorkItem):
    """A m3ter bill and how much of it has reached Paddle, in minor units of its currency."""

    class State(models.TextChoices):
        HELD = "held", "Held: a person must decide"
        WAITING = "waiting", "Waiting: goes on by itself"
        READY = "ready", "Ready to be charged"
        PUSHING = "pushing", "Being charged"
        UNCONFIRMED = "unconfirmed", "Unconfirmed: may have been charged"
        PUSHED = "pushed", "Pushed: Paddle has all of it"
        CARRIED = "carried", "Carried: nothing to charge now"
        FAILED = "failed", "Failed: Paddle refused"
        LOST = "lost", "Lost: Paddle will not collect it"
        SKIPPED = "skipped", "Skipped: nothing will be charged"
        SUPERSEDED = "superseded", "Superseded: deleted in m3ter"

    class Reason(models.TextChoices):
        """Why a bill is held, waits, or was skipped."""

        NONE = "", "-"
        REVIEW = "review", "review: Finance approves every bill"
        MAPPING = "mapping", "no live link to a Paddle subscription"
        CURRENCY = "currency", "currency differs or is unknown to Paddle"
        NEGATIVE = "negative", "credits that a person must decide about"
        BELOW_MINIMUM = "below minimum", "below Paddle's minimum charge"
        CHANGED = "changed", "changed in m3ter after it was pushed"
        MISMATCH = "mismatch", "lines do not add up to the total"
        PERIOD_OPEN = "period open", "its period has not ended"
        RENEWAL_TOO_FAR = "renewal too far", "the renewal is too far away"
        LOCKED_ELSEWHERE = "locked elsewhere", "already locked in m3ter when first seen"
        CANCELLED = "cancelled", "the subscription is cancelled"
        CONFIGURATION = "configuration", "a setting or permission is missing"
        DELETED = "deleted", "deleted in m3ter"
        OPERATOR = "operator", "held by a person"
        NOT_LIVE = "not live", "no go-live date is set"
        BEFORE_GO_LIVE = "before go-live", "its period ended before the go-live date"
        ZERO = "zero", "nothing to charge"
        RENEWAL_LOCK = "renewal lock", "Paddle is about to renew the subscription"
        PAST_DUE = "past due", "the subscription is past due"
        PAUSED = "paused", "the subscription is paused"
        TRIAL = "trial", "the subscription is in trial"
        ANOTHER_PUSH = "another push", "another bill is being charged on this subscription"
        CHARGE_LIMIT = "charge limit", "Paddle takes no more immediate charges on the subscription for some time"
        PENDING = "pending", "m3ter is calculating it again"
        MODE = "mode", "this way of charging needs a person"
        COLLECTED = "collected", "taken for lost, and in Paddle after all"
        SENT_ELSEWHERE = "sent elsewhere", "sent to a subscription that the account has left"
        WORKERS_LOST = "workers lost", "workers were lost while they charged it"
        EXCLUDED = "excluded", "the push policy leaves its account out"
        DIFFERS = "differs", "differs much from the account's last bill"
        REFUND = "refund", "no payment of it can be refunded now"
        CANNOT_TELL = "cannot tell", "whether it was charged, Paddle does not say"

    class Payment(models.TextChoices):
        NONE = "none", "Not yet"
        PAID = "paid", "Paid"
        PAYMENT_FAILED = "payment failed", "Payment failed"
        PAST_DUE = "past due", "Past due"
        REFUNDED = "refunded", "Refunded"
        CREDITED = "credited", "Credited"

    m3ter_bill_id = models.CharField(max_length=64, unique=True)
    m3ter_account_id = models.CharField(max_length=64, db_index=True)
    m3ter_account_code = models.CharField(max_length=80, blank=True, default="")
    purchase_order_number = models.CharField(
        max_length=100, blank=True, default="", help_text="The account's, as the bill carries it; for invoices."
    )
    m3ter_version = models.PositiveBigIntegerField(default=0, help_text="Rises at every change: says only read again.")
    m3ter_status = models.CharField(max_length=20, blank=True, default="")
    m3ter_locked = models.BooleanField(default=False)
    m3ter_read_at = models.DateTimeField(null=True, blank=True, help_text="When it was last read, whole.")
    link = models.ForeignKey(
        AccountLink,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="bills",
        help_text="Live link when seen last.",
    )
    currency = models.CharField(max_length=3)
    bill_date = models.DateField(null=True, blank=True)
    period_start = models.DateField(null=True, blank=True)
    period_end = models.DateField(null=True, blank=True, help_text="Exclusive: the first day after the period.")
    renews_at = models.DateTimeField(
        null=True, blank=True, help_text="The renewal that would carry it, when seen last."
    )
    state = models.CharField(max_length=12, choices=State.choices, default=State.HELD)
    reason = models.CharField(max_length=20, choices=Reason.choices, blank=True, default="")
    reason_detail = models.TextField(blank=True, default="", help_text="The reason in words, with numbers and ids.")
    payment = models.CharField(max_length=15, choices=Payment.choices, default=Payment.NONE)
    revision = models.ForeignKey(
        "BillRevision",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The last approved one.",
    )
    reviewed_revision = models.ForeignKey(
        "BillRevision",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Approved by Finance here.",
    )
    chosen_mode = models.CharField(
        max_length=30,
        blank=True,
        default="",
        help_text="How a person wants it settled, whatever the policy says; empty: by the policy.",
    )
    payable = models.BigIntegerField(default=0, help_text="Total of the last approved revision, in minor units.")
    pushed = models.BigIntegerField(default=0)
    credited = models.BigIntegerField(default=0)
    carried = models.BigIntegerField(default=0, help_text="Carried out less carried in.")
    written_off = models.BigIntegerField(default=0)
    lost = models.BigIntegerField(default=0)
    outstanding = models.BigIntegerField(default=0)
    paid = models.BigIntegerField(default=0, help_text="Collected by Paddle before tax, in minor units.")
    refunded = models.BigIntegerField(
        default=0, help_text="Given back by Paddle of that, by refunds, credits and chargebacks; in minor units."
    )
    locked_at = models.DateTimeField(null=True, blank=True, help_text="When we locked it in m3ter.")
    external_mapping_id = models.CharField(max_length=64, blank=True, default="", help_text="Our mapping in m3ter.")
    looks = models.PositiveSmallIntegerField(
        default=0, help_text="Look-ups of the schedule that counted and found nothing."
    )
    first_seen_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(
                    payable=F("pushed") - F("lost") - F("credited") + F("carried") + F("written_off") + F("outstanding")
                ),
                name="bill_adds_up",
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=(
                        "held",
                        "waiting",
                        "ready",
                        "pushing",
                        "unconfirmed",
                        "pushed",
                        "carried",
                        "failed",
                        "lost",
                        "skipped",
                        "superseded",
                    )
                ),
                name="bill_state_known",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=("held", "waiting", "skipped")) | ~Q(reason=""), name="bill_says_why"
            ),
            models.UniqueConstraint(
                fields=("serial_key",), condition=Q(state="pushing") & ~Q(serial_key=""), name="bill_one_push_per_key"
            ),
        )
        indexes = (
            models.Index(fields=("state", "due_at"), condition=Q(due_at__isnull=False), name="bill_due"),
            models.Index(
                Coalesce("renews_at", "due_at"), "due_at", "id", condition=Q(due_at__isnull=False), name="bill_by_need"
            ),
            models.Index(fields=("serial_key",), name="bill_by_key"),
            models.Index(fields=("state", "-id"), name="bill_by_state"),
            # For the filters and the search of the console: each finds the newest that fit without reading the table.
            models.Index(fields=("reason", "-id"), name="bill_by_reason"),
            models.Index(fields=("payment", "-id"), name="bill_by_payment"),
            models.Index(fields=("currency", "-id"), name="bill_by_currency"),
            models.Index(fields=("renews_at",), name="bill_by_renewal"),
            models.Index(fields=("first_seen_at",), name="bill_by_age"),
            models.Index(fields=("m3ter_account_code",), name="bill_by_account_code"),
            models.Index(fields=("lease_until",), condition=Q(lease__isnull=False), name="bill_leased"),
        )
        verbose_name = "bill"
        permissions = (
            ("review_pushedbill", "Can approve, hold and skip bills"),
            ("resend_pushedbill", "Can send bills again"),
            ("answer_pushedbill", "Can say whether an unconfirmed charge was made"),
        )

    def __str__(self) -> str:
        return f"bill {self.m3ter_bill_id} of {self.m3ter_account_code or self.m3ter_account_id}"

    @property
    def is_settled_in_part(self) -> bool:
        """Whether anything of it was charged, carried, credited or written off and stands: then a change differs."""
        return any((self.pushed - self.lost, self.credited, self.carried, self.written_off))

    @property
    def in_paddle(self) -> int:
        """What Paddle accepted and has neither given up nor given back, in minor units."""
        return self.pushed - self.lost - self.credited


class BillRevision(models.Model):
    """What a bill said at an approval, told apart by the hash of what a customer would be charged for."""

    bill = models.ForeignKey(PushedBill, on_delete=models.CASCADE, related_name="revisions")
    content_hash = models.CharField(max_length=64)
    number = models.PositiveIntegerField(help_text="1 for the first approved revision of the bill.")
    m3ter_version = models.PositiveBigIntegerField(help_text="m3ter's version when this content was first seen.")
    currency = models.CharField(max_length=3)
    total = models.CharField(max_length=40, help_text="Exact decimal, as m3ter sent it.")
    payable = models.BigIntegerField(help_text="Total rounded half up to the currency's minor units.")
    remainder = models.CharField(max_length=40, default="0", help_text="Total less payable: recorded, never carried.")
    lines = models.JSONField(help_text="m3ter's lines: amounts as exact decimal text.")
    first_seen_at = models.DateTimeField()
    approved_at = models.DateTimeField(null=True, blank=True, help_text="m3ter's time of approval.")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("bill", "content_hash"), name="revision_once"),)

    def __str__(self) -> str:
        return f"revision {self.number}"

    @property
    def exact_total(self) -> Decimal:
        """The total as a number."""
        return Decimal(self.total)


class Push(models.Model):
    """One intended charge in Paddle; its id stands in every price, so that it can be found again."""

    class Kind(models.TextChoices):
        CHARGE = "charge", "Charge"
        CORRECTION = "correction", "Correction"
        REFUND = "refund", "Refund"

    class State(models.TextChoices):
        INTENDED = "intended", "Intended: nothing was sent"
        PUSHING = "pushing", "A request may be under way"
        UNCONFIRMED = "unconfirmed", "Unconfirmed: may have happened"
        PUSHED = "pushed", "Accepted by Paddle"
        FAILED = "failed", "Refused by Paddle"
        LOST = "lost", "Accepted, but will not be collected"

    push_id = models.CharField(
        max_length=80, unique=True, help_text="m3ter bill id, a dash, the ordinal within the bill."
    )
    bill = models.ForeignKey(PushedBill, on_delete=models.PROTECT, related_name="pushes")
    revision = models.ForeignKey(BillRevision, on_delete=models.PROTECT, related_name="pushes")
    ordinal = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.CHARGE)
    mode = models.CharField(max_length=30)
    paddle_subscription_id = models.CharField(max_length=64)
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField(help_text="In minor units.")
    carried = models.BigIntegerField(
        default=0, help_text="The part of the amount that comes from the carried balance; below zero, a credit."
    )
    items = models.JSONField(default=list, help_text="What Paddle is asked to charge.")
    state = models.CharField(max_length=12, choices=State.choices, default=State.INTENDED)
    attempt = models.PositiveIntegerField(default=0, help_text="Number of the attempt; stands in custom data too.")
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True, help_text="Committed just before the request that charges.")
    settled_at = models.DateTimeField(null=True, blank=True)
    paddle_transaction_id = models.CharField(max_length=64, blank=True, default="", db_index=True)
    paddle_customer_id = models.CharField(
        max_length=64, blank=True, default="", help_text="Of an invoice: whom it was made out to."
    )
    paddle_adjustment_id = models.CharField(
        max_length=64, blank=True, default="", help_text="Of a refund: the adjustment that Paddle made of it."
    )
    payment = models.CharField(
        max_length=15,
        choices=PushedBill.Payment.choices,
        default=PushedBill.Payment.NONE,
        help_text="By its transaction.",
    )
    collected = models.BigIntegerField(default=0, help_text="Collected by Paddle before tax, in minor units.")
    discounted = models.BigIntegerField(
        default=0, help_text="What a discount of the subscription took off it, in minor units."
    )
    refunded = models.BigIntegerField(
        default=0, help_text="Given back of what was collected, whoever asked for it; in minor units."
    )
    given_by_others = models.BigIntegerField(
        default=0, help_text="What of that no refund of ours gave back; in minor units."
    )
    others_ask_for = models.BigIntegerField(
        default=0, help_text="What somebody else asked Paddle to give back, and Paddle has not decided; in minor units."
    )
    transaction_seen_at = models.DateTimeField(
        null=True, blank=True, help_text="When what we know of the transaction happened; older news is not applied."
    )
    expected_renewal_at = models.DateTimeField(null=True, blank=True, help_text="The renewal that should collect it.")
    detail = models.TextField(blank=True, default="", help_text="Paddle's words, or how it was found.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("bill", "ordinal"), name="push_ordinal_once"),
            models.UniqueConstraint(
                fields=("paddle_subscription_id",),
                condition=Q(state__in=("pushing", "unconfirmed")),
                name="push_one_open_per_subscription",
            ),
            models.CheckConstraint(
                condition=Q(state__in=("intended", "pushing", "unconfirmed", "pushed", "failed", "lost")),
                name="push_state_known",
            ),
        )
        indexes = (models.Index(fields=("paddle_subscription_id", "sent_at"), name="push_by_subscription"),)
        verbose_name_plural = "pushes"

    def __str__(self) -> str:
        return self.push_id

    def release_carried(self) -> None:
        """Free what of the carried balance was reserved for it: Paddle has nothing of this push."""
        self.reserved_entries.update(reserved_by=None)


class PushAttempt(models.Model):
    """What was about to be done, and what came of it: one row before and one after each step. Append-only."""

    bill = models.ForeignKey(PushedBill, on_delete=models.CASCADE, related_name="steps")
    push = models.ForeignKey(
        Push,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="history",
        help_text="Empty before the first.",
    )
    attempt = models.PositiveIntegerField(default=0)
    step = models.CharField(max_length=20, help_text="read, look, preview, charge, finish or decision.")
    phase = models.CharField(max_length=8, help_text="before or after.")
    at = models.DateTimeField()
    outcome = models.CharField(max_length=30, blank=True, default="")
    detail = models.TextField(blank=True, default="", help_text="The vendor's words, or the reason given.")
    calls = models.JSONField(default=list, blank=True)
    by = models.CharField(max_length=150, blank=True, default="", help_text="Who decided, for decisions.")

    class Meta:
        indexes = (
            models.Index(fields=("push", "id"), name="push_attempt_in_order"),
            models.Index(fields=("bill", "id"), name="bill_steps_in_order"),
        )

    def __str__(self) -> str:
        return f"{self.step} {self.phase} {self.outcome}".strip()


class BillEntry(models.Model):
    """A line of the ledger of one bill; append-only, in minor units of the bill's currency.

    What is pushed or lost is above zero. What is carried is above zero where the customer owes it, below where the
    customer is owed; a credit below zero takes one back that Paddle refused.
    """

    class Kind(models.TextChoices):
        PUSHED = "pushed", "Pushed"
        CREDITED = "credited", "Credited"
        CARRIED_OUT = "carried_out", "Carried out"
        CARRIED_IN = "carried_in", "Carried in"
        WRITTEN_OFF = "written_off", "Written off"
        LOST = "lost", "Lost"

    bill = models.ForeignKey(PushedBill, on_delete=models.PROTECT, related_name="entries")
    push = models.ForeignKey(Push, null=True, blank=True, on_delete=models.PROTECT, related_name="entries")
    carried = models.ForeignKey(
        "CarriedEntry",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="entries",
        help_text="What of the carried balance it made, or took.",
    )
    kind = models.CharField(max_length=12, choices=Kind.choices)
    amount = models.BigIntegerField()
    at = models.DateTimeField()
    by = models.CharField(max_length=150, blank=True, default="", help_text="Who, when a person decided.")
    note = models.TextField(blank=True, default="")

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(kind__in=("pushed", "credited", "carried_out", "carried_in", "written_off", "lost")),
                name="entry_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(amount__gt=0)
                | (Q(kind__in=("credited", "carried_out", "carried_in", "written_off")) & ~Q(amount=0)),
                name="entry_amount_signed",
            ),
            models.UniqueConstraint(
                fields=("push", "kind"), condition=Q(kind__in=("pushed", "lost")), name="entry_once_per_push"
            ),
        )
        verbose_name_plural = "bill entries"

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"


class CarriedEntry(models.Model):
    """Credit or debit of a m3ter account that waits for a later bill; first in, first out; survives resubscription."""

    m3ter_account_id = models.CharField(max_length=64)
    currency = models.CharField(max_length=3)
    source_bill = models.ForeignKey(PushedBill, on_delete=models.PROTECT, related_name="carried_entries")
    amount = models.BigIntegerField(
        help_text="In minor units: positive is owed by the customer, negative to the customer."
    )
    remaining = models.BigIntegerField(help_text="The part that no bill has taken yet.")
    tax_category = models.CharField(
        max_length=40,
        blank=True,
        default="",
        help_text="Paddle tax category of what it is for; empty where it is for several.",
    )
    tax_mode = models.CharField(
        max_length=10,
        blank=True,
        default="",
        help_text="Whether tax is in it (internal) or comes on top (external); empty: as the push policy says.",
    )
    reserved_by = models.ForeignKey(
        Push, null=True, blank=True, on_delete=models.PROTECT, related_name="reserved_entries"
    )
    at = models.DateTimeField()
    note = models.TextField(blank=True, default="")

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(amount__gt=0, remaining__gte=0, remaining__lte=F("amount"))
                | Q(amount__lt=0, remaining__lte=0, remaining__gte=F("amount")),
                name="carried_remains_of_amount",
            ),
        )
        indexes = (models.Index(fields=("m3ter_account_id", "currency", "id"), name="carried_in_order"),)
        verbose_name_plural = "carried entries"

    def __str__(self) -> str:
        return f"{self.m3ter_account_id} {self.remaining} {self.currency}"
