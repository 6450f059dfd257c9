"""What both vendors offer, as they last listed it."""

from django.db import models


class CatalogueEntry(models.Model):
    """A product, price, plan or meter as the vendor last listed it, so that pages offer choices without a call."""

    class Kind(models.TextChoices):
        PADDLE_PRODUCT = "paddle_product", "Paddle product"
        PADDLE_PRICE = "paddle_price", "Paddle price"
        M3TER_PRODUCT = "m3ter_product", "m3ter product"
        M3TER_PLAN = "m3ter_plan", "m3ter plan"
        M3TER_PLAN_GROUP = "m3ter_plan_group", "m3ter plan group"
        M3TER_COUNTER = "m3ter_counter", "m3ter counter"
        M3TER_METER = "m3ter_meter", "m3ter meter"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    vendor_id = models.CharField(max_length=64)
    name = models.CharField(max_length=300)
    code = models.CharField(max_length=120, blank=True, default="")
    parent_id = models.CharField(max_length=64, blank=True, default="", help_text="Product of a price, plan or meter.")
    currency = models.CharField(max_length=3, blank=True, default="")
    interval = models.CharField(
        max_length=40, blank=True, default="", help_text="Billing interval or frequency in words."
    )
    active = models.BooleanField(default=True)
    data = models.JSONField(default=dict, blank=True, help_text="Products of a group, prices, fields of a meter.")
    seen_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("kind", "vendor_id"), name="catalogue_once"),)
        indexes = (
            models.Index(fields=("kind", "name"), name="catalogue_by_name"),
            models.Index(fields=("kind", "code"), name="catalogue_by_code"),
        )
        permissions = (("refresh_catalogueentry", "Can ask for the vendors' catalogues to be read again"),)
        verbose_name_plural = "catalogue entries"

    def __str__(self) -> str:
        return f"{self.name} ({self.vendor_id})"
