"""What people and Paddle say about how bills are charged: the push policy, products, currencies."""

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Value
from django.db.models.functions import Coalesce
from simple_history.models import HistoricalRecords

from paddle_sync.models import AccountLink


class PaddleCurrency(models.Model):
    """What Paddle's list of currencies says of one: read with the catalogue, and believed before any table of ours."""

    code = models.CharField(max_length=3, unique=True)
    decimal_places = models.PositiveSmallIntegerField()
    minimum = models.BigIntegerField(help_text="The least Paddle charges, in minor units.")
    read_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "Paddle currencies"

    def __str__(self) -> str:
        return self.code


class TaxMode(models.TextChoices):
    """Whether tax is in the amounts of m3ter."""

    EXTERNAL = "external", "Tax is added to our amounts"
    INTERNAL = "internal", "Our amounts include tax"


class ProductRule(models.Model):
    """What Paddle is told a charge is for, by m3ter's accounting product; without one, a product of its own is made."""

    accounting_product = models.CharField(
        max_length=200, unique=True, help_text="Its id or its name in m3ter, exactly as bills carry it."
    )
    paddle_product_id = models.CharField(
        max_length=64,
        blank=True,
        default="",
        validators=[RegexValidator(r"^pro_[a-z0-9]{1,60}$", "A Paddle product's id begins with pro_.")],
        help_text="A product of Paddle's catalogue; empty: one is named after the accounting product.",
    )
    tax_category = models.CharField(
        max_length=40, help_text="Its Paddle tax category: of the product named above, the one that it has in Paddle."
    )
    tax_mode = models.CharField(
        max_length=10,
        choices=TaxMode,
        blank=True,
        default="",
        help_text="Whether m3ter's amounts for it include tax; empty: as the push policy says.",
    )
    log = HistoricalRecords()

    def __str__(self) -> str:
        return self.accounting_product


class PushPolicy(models.Model):
    """How bills are charged: one row for everybody, and rows that override it for one link."""

    class Review(models.TextChoices):
        ALWAYS = "always", "Finance approves every bill"
        ABOVE = "above", "Finance approves bills above an amount"
        NEVER = "never", "No review: bills are charged as m3ter approved them"

    class Mode(models.TextChoices):
        NEXT_BILLING_PERIOD = "next_billing_period", "With the next renewal"
        IMMEDIATELY = "immediately", "At once, with the stored payment method"
        INVOICE = "invoice", "By an invoice of its own"

    class ClassicMode(models.TextChoices):
        """How bills of subscriptions that Paddle Classic keeps are charged."""

        MODIFIER = "classic_modifier", "With the next payment, as a modifier"
        CHARGE = "classic_charge", "At once, as a one-off charge"

    class OnPaymentFailure(models.TextChoices):
        PREVENT = "prevent_change", "Nothing is billed"
        APPLY = "apply_change", "It stays billed, and the subscription is past due"

    TaxMode = TaxMode

    class Grouping(models.TextChoices):
        LINE = "line", "One item per line of the bill"
        PRODUCT = "product", "One item per product"
        BILL = "bill", "One item for the whole bill"

    class Rest(models.TextChoices):
        """What becomes of an amount that is not charged by itself."""

        CARRY = "carry", "Carry it to the next bill"
        HOLD = "hold", "Hold the bill"

    class Negative(models.TextChoices):
        """What becomes of what a customer is owed."""

        CARRY = "carry", "Carry it to the next bill"
        HOLD = "hold", "Hold the bill"
        CREDIT = "credit", "Take it off the next payment in Paddle Classic; elsewhere, carry it"

    class Changed(models.TextChoices):
        HOLD = "hold", "Hold the bill"
        SETTLE = "settle", "Charge or carry the difference"

    class Late(models.TextChoices):
        WAIT = "wait", "Wait for the renewal after that"
        IMMEDIATELY = "immediately", "Charge it at once"

    class Far(models.TextChoices):
        """What becomes of a bill that no renewal will carry, or none soon enough."""

        HOLD = "hold", "Hold the bill"
        IMMEDIATELY = "immediately", "Charge it at once"

    link = models.OneToOneField(
        AccountLink,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="policy",
        help_text="Empty: everybody's.",
    )
    review = models.CharField(max_length=10, choices=Review.choices, default=Review.ALWAYS)
    review_above = models.DecimalField(
        max_digits=14,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="In the bill's own currency, whichever that is.",
    )
    differs_percent = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Hold a bill that differs by more from the account's last one; empty: never for that reason.",
    )
    allowed_accounts = models.TextField(
        blank=True, default="", help_text="m3ter account codes or ids; empty: every account."
    )
    excluded_accounts = models.TextField(blank=True, default="", help_text="m3ter account codes or ids.")
    mode = models.CharField(max_length=30, choices=Mode.choices, default=Mode.NEXT_BILLING_PERIOD)
    classic_mode = models.CharField(max_length=30, choices=ClassicMode.choices, default=ClassicMode.MODIFIER)
    on_payment_failure = models.CharField(
        max_length=20, choices=OnPaymentFailure.choices, default=OnPaymentFailure.PREVENT
    )
    payment_days = models.PositiveSmallIntegerField(
        default=14, validators=[MinValueValidator(1), MaxValueValidator(365)], help_text="Payment terms of invoices."
    )
    issue_invoices = models.BooleanField(
        default=True, help_text="Off: invoices are drafts in Paddle, which a person issues there."
    )
    grouping = models.CharField(max_length=10, choices=Grouping.choices, default=Grouping.LINE)
    tax_mode = models.CharField(max_length=10, choices=TaxMode, default=TaxMode.EXTERNAL)
    tax_category = models.CharField(
        max_length=40, default="saas", help_text="Paddle tax category of the charged product."
    )
    small = models.CharField(max_length=10, choices=Rest.choices, default=Rest.CARRY)
    negative = models.CharField(max_length=10, choices=Negative.choices, default=Negative.CARRY)
    changed = models.CharField(max_length=10, choices=Changed.choices, default=Changed.HOLD)
    late = models.CharField(max_length=15, choices=Late.choices, default=Late.WAIT)
    far = models.CharField(max_length=15, choices=Far.choices, default=Far.HOLD)
    ending = models.CharField(max_length=15, choices=Far.choices, default=Far.HOLD)
    open_periods = models.BooleanField(default=False, help_text="Charge bills whose period has not ended yet.")
    resend_when_absent = models.BooleanField(
        default=False,
        help_text="Send again by itself when the whole look-up schedule found no trace. Off: a person decides.",
    )
    max_wait_days = models.PositiveSmallIntegerField(
        default=35,
        validators=[MinValueValidator(1), MaxValueValidator(400)],
        help_text="Hold when the renewal is further away.",
    )
    lock_after_days = models.PositiveSmallIntegerField(
        default=0, help_text="Days after the push until the bill is locked in m3ter."
    )
    item_name = models.CharField(
        max_length=100,
        default="{line}",
        help_text="What the customer sees; {line}, {period}, {product}, {units} are filled in.",
    )
    item_description = models.CharField(
        max_length=200,
        default="{units} {unit}, {period}",
        help_text="Second line of the item; the push id is added to it.",
    )
    log = HistoricalRecords()

    class Meta:
        constraints = (models.UniqueConstraint(Coalesce(F("link"), Value(0)), name="policy_one_default"),)
        verbose_name_plural = "push policy"

    def __str__(self) -> str:
        return f"override for {self.link}" if self.link_id else "everybody's policy"

    def leaves_out(self, *names: str) -> bool:
        """Say whether an account, by its id and code, is none of those whose bills are charged."""
        known = {*names} - {""}
        return bool(known & self.excluded) or (bool(self.allowed) and not known & self.allowed)

    @property
    def allowed(self) -> frozenset[str]:
        """The account codes and ids it is limited to; none: it is not limited."""
        return accounts_of(self.allowed_accounts)

    @property
    def excluded(self) -> frozenset[str]:
        """The account codes and ids it leaves out."""
        return accounts_of(self.excluded_accounts)


def accounts_of(text: str) -> frozenset[str]:
    """The account codes and ids in a text, one a line: m3ter's codes may hold blanks, so nothing else parts them."""
    return frozenset(line.strip() for line in text.splitlines()) - {""}
