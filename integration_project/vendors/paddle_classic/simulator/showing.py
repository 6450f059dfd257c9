"""How Classic writes what it remembers: payments, sent alerts, moments."""

from datetime import UTC, date, datetime
from typing import Any

from integration_project.vendors.paddle_classic.simulator import alerts
from integration_project.vendors.paddle_classic.simulator.contracts import MOMENT
from integration_project.vendors.paddle_classic.simulator.world import Alert, Payment

Json = dict[str, Any]


def as_paid(payment: Payment) -> Json:
    """A payment that was made, as the list of payments has it."""
    return {
        "id": payment.id,
        "subscription_id": payment.subscription_id,
        "amount": payment.amount,
        "currency": payment.currency,
        "payout_date": payment.paid_on.isoformat(),
        "is_paid": 1,
        "is_one_off_charge": payment.is_one_off,
        "receipt_url": payment.receipt_url,
    }


def as_charged(payment: Payment) -> Json:
    """A payment that was made, as a one-off charge is answered."""
    return {
        "invoice_id": payment.id,
        "subscription_id": payment.subscription_id,
        "amount": format(payment.amount, ".2f"),
        "currency": payment.currency,
        "payment_date": payment.paid_on.isoformat(),
        "receipt_url": payment.receipt_url,
        "order_id": payment.order_id,
        "status": "success",
    }


def in_history(alert: Alert) -> Json:
    """An alert as its history has it."""
    return {
        "id": alert.id,
        "alert_name": alert.name,
        "status": alert.status,
        "created_at": written(alert.created_at),
        "updated_at": written(alert.updated_at or alert.created_at),
        "attempts": alert.attempts,
        "fields": alerts.in_history(alert.fields),
    }


def written(moment: datetime) -> str:
    """A moment as Classic writes it."""
    return moment.astimezone(UTC).strftime(MOMENT)


def shown_record(record: Json) -> Json:
    """A record for the control interface, its moments and days as texts."""
    return {
        name: shown_record(value)
        if isinstance(value, dict)
        else value.isoformat()
        if isinstance(value, date)
        else value
        for name, value in record.items()
    }
