"""The sample account every simulated Paddle Classic begins with. Nothing here is a real secret or a real id."""

from decimal import Decimal
from typing import Any

VENDOR_ID = "4711"
AUTH_CODE = "5a3b1e0c9d8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a"

PLAN_TEAM = 570001
PLAN_STUDIO = 570002
PLAN_TEAM_YEARLY = 570003
PLAN_TEAM_TRIAL = 570004

FIRST_SUBSCRIPTION = 480001
FIRST_USER = 91001
FIRST_PAYMENT = 33001
FIRST_MODIFIER = 7001
FIRST_ALERT = 1900001
FIRST_REFUND = 9001


def plan(plan_id: int, name: str, billing_type: str, price: str, *, trial_days: int = 0) -> dict[str, Any]:
    """A plan with one price in three currencies."""
    prices = {"EUR": Decimal(price), "GBP": Decimal(price), "USD": Decimal(price) + 6}
    return {
        "id": plan_id,
        "name": name,
        "billing_type": billing_type,
        "billing_period": 1,
        "recurring_price": prices,
        "trial_days": trial_days,
    }


PLANS = (
    plan(PLAN_TEAM, "Gauge Team", "month", "29.00"),
    plan(PLAN_STUDIO, "Gauge Studio", "month", "79.00"),
    plan(PLAN_TEAM_YEARLY, "Gauge Team, yearly", "year", "290.00"),
    plan(PLAN_TEAM_TRIAL, "Gauge Team after a trial", "month", "29.00", trial_days=14),
)
