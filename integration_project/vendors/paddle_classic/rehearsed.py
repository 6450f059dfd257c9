"""What Paddle Classic would answer to each of our writes, for a dry run that sends none; its reads are POSTs too."""

import re
from collections.abc import Mapping

from integration_project.vendors.rehearsal import Rehearsed, Table

API = "/api/2.0"
WRITES: Mapping[str, Rehearsed] = {
    "create modifier": Rehearsed(lambda stage, write: {"success": True, "response": {"modifier_id": 0}}),
    "delete modifier": Rehearsed(lambda stage, write: {"success": True}),
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
