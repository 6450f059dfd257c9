"""Bills that m3ter was asked for because a subscription is about to end (see bills_to_date.py)."""

from django.db import models

from paddle_sync.models import AccountLink


class BillToDate(models.Model):
    """The bill of what was used until shortly before Paddle cancels a subscription: one for each date it is set for."""

    class State(models.TextChoices):
        DUE = "due", "To be asked of m3ter"
        ASKED = "asked", "Asked of m3ter"
        MADE = "made", "Made, not approved in m3ter yet"
        APPROVED = "approved", "Approved and read"
        NOTHING = "nothing", "Nothing to bill"
        TAKEN_BACK = "taken back", "The cancellation was called off or moved"
        REFUSED = "refused", "m3ter refused to make it"
        TOO_LATE = "too late", "Not approved before the subscription ended"

    link = models.ForeignKey(AccountLink, on_delete=models.CASCADE, related_name="bills_to_date")
    ends_at = models.DateTimeField(help_text="When Paddle cancels the subscription.")
    until = models.DateField(help_text="The first day that is not on the bill, where the m3ter organisation is.")
    state = models.CharField(max_length=10, choices=State.choices)
    m3ter_bill_job_id = models.CharField(max_length=64, blank=True, default="")
    m3ter_bill_id = models.CharField(max_length=64, blank=True, default="")
    detail = models.TextField(blank=True, default="", help_text="What went wrong last, in words.")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("link", "ends_at"), name="bill_to_date_once"),)
        indexes = (models.Index(fields=("state",), name="bill_to_date_by_state"),)
        verbose_name_plural = "bills to date"

    def __str__(self) -> str:
        return f"bill to date of {self.link.m3ter_account_code}, until {self.until}"
