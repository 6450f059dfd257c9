"""What Paddle says of its currencies: their decimals, and the least it charges."""

from billing_bridge import money
from billing_bridge.models import PaddleCurrency
from integration_project import clock
from integration_project.vendors import Vendors


def refresh(vendors: Vendors) -> int:
    """Read Paddle's list of currencies and keep it; how many it has. One that it drops stays as it was read last."""
    listed = vendors.paddle.list_currencies()
    now = clock.now()
    rows = [
        PaddleCurrency(
            code=currency.code,
            decimal_places=currency.decimal_places,
            minimum=currency.minimum_payment_amount,
            read_at=now,
        )
        for currency in listed
    ]
    PaddleCurrency.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=("code",),
        update_fields=("decimal_places", "minimum", "read_at"),
    )
    return len(rows)


def minimum(code: str) -> int:
    """The least Paddle charges, in minor units: by its list, else as documented; 1 where neither says."""
    listed = PaddleCurrency.objects.filter(code=code).values_list("minimum", flat=True).first()
    return max(listed if listed is not None else money.DOCUMENTED_MINIMUMS.get(code, 1), 1)


def decimals(code: str) -> int | None:
    """How many decimals Paddle says that a currency has; None before its list was read."""
    return PaddleCurrency.objects.filter(code=code).values_list("decimal_places", flat=True).first()
