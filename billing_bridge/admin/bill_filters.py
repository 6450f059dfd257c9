"""The filters beside the list of bills; none of them reads the table to know what it can offer."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest

from billing_bridge.admin import bill_story
from billing_bridge.models import PushedBill
from integration_project import clock

# From each currency to the next one in the index on it; DISTINCT would read the entry of every bill.
CURRENCIES = """
WITH RECURSIVE found(currency) AS (
    SELECT MIN(currency) FROM billing_bridge_pushedbill
    UNION ALL
    SELECT (SELECT MIN(bill.currency) FROM billing_bridge_pushedbill bill WHERE bill.currency > found.currency)
    FROM found WHERE found.currency IS NOT NULL
)
SELECT currency FROM found WHERE currency IS NOT NULL
"""


class RenewalFilter(admin.SimpleListFilter):
    """Bills by how near their renewal is."""

    title = "renews"
    parameter_name = "renews"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer two spans."""
        return [("day", "within 24 hours, not pushed yet"), ("week", "within 7 days"), ("past", "already renewed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PushedBill]) -> QuerySet[PushedBill]:
        """Keep the chosen span."""
        now = clock.now()
        if self.value() == "day":
            near = queryset.filter(renews_at__gt=now, renews_at__lte=now + bill_story.NEAR_RENEWAL)
            return near.exclude(state__in=bill_story.SETTLED)
        if self.value() == "week":
            return queryset.filter(renews_at__gt=now, renews_at__lte=now + timedelta(days=7))
        return queryset.filter(renews_at__lte=now) if self.value() == "past" else queryset


class TotalsFilter(admin.SimpleListFilter):
    """Lets the list's address ask for the totals of all its bills, however many; it narrows nothing."""

    title = "totals"
    parameter_name = "totals"
    EVERYTHING = "all"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Give what may be asked for."""
        return [(self.EVERYTHING, "of all bills listed")]

    def has_output(self) -> bool:
        """Stand nowhere beside the list: the totals themselves lead here."""
        return False

    def queryset(self, request: HttpRequest, queryset: QuerySet[PushedBill]) -> QuerySet[PushedBill]:
        """Keep all of them."""
        return queryset


class CurrencyFilter(admin.SimpleListFilter):
    """Bills by their currency."""

    title = "currency"
    parameter_name = "currency"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the currencies that some bill has."""
        with connection.cursor() as cursor:
            cursor.execute(CURRENCIES)
            return [(currency, currency) for (currency,) in cursor.fetchall()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PushedBill]) -> QuerySet[PushedBill]:
        """Keep the chosen one."""
        return queryset.filter(currency=self.value()) if self.value() else queryset
