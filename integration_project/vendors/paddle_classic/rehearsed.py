"""What Paddle Classic would answer to each of our writes, for a dry run that sends none; its reads are POSTs too."""

import re
from collections.abc import Mapping
from typing import Any

from integration_project.vendors.http import real_now
from integration_project.vendors.reading import Json
from integration_project.vendors.rehearsal import Rehearsed, Stage, Table, Write

API = "/api/2.0"
NO_ID = 0
"""Stands for the id of what would have been made; no vendor's thing has it."""


def _done(**response: Any) -> Json:
    return {"success": True, "response": response}


def _created(stage: Stage, write: Write) -> Json:
    return _done(subscription_id=write.body["subscription_id"], modifier_id=NO_ID)


def _charged(stage: Stage, write: Write) -> Json:
    """A charge that was collected. Its currency is the subscription's, which nobody has asked for."""
    return _done(
        invoice_id=NO_ID,
        subscription_id=write.path.split("/")[-2],
        amount=write.body["amount"],
        currency="",
        payment_date=real_now().date().isoformat(),
        receipt_url=None,
    )


WRITES: Mapping[str, Rehearsed] = {
    "create modifier": Rehearsed(_created, subject=lambda write: ""),
    "delete modifier": Rehearsed(lambda stage, write: {"success": True}, subject=lambda write: ""),
    "charge subscription": Rehearsed(_charged, subject=lambda write: ""),
    "refund payment": Rehearsed(lambda stage, write: _done(refund_request_id=NO_ID), subject=lambda write: ""),
}
READS = {
    "list users": "/subscription/users",
    "list plans": "/subscription/plans",
    "list payments": "/subscription/payments",
    "list modifiers": "/subscription/modifiers",
    "list alerts": "/alert/webhooks",
}
TABLE = Table(
    writes=WRITES,
    reading_posts={operation: re.compile(re.escape(API + path) + "$") for operation, path in READS.items()},
)
