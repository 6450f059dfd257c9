"""What Paddle would answer to each of our writes, for a dry run that sends none of them."""

import re
from collections.abc import Mapping

from integration_project.vendors.reading import Json
from integration_project.vendors.rehearsal import Rehearsed, Stage, Table, Write


def _charged(stage: Stage, write: Write) -> Json:
    """A charge is answered with the subscription."""
    return stage.look("get subscription", write.path.removesuffix("/charge"))


WRITES: Mapping[str, Rehearsed] = {"charge subscription": Rehearsed(_charged)}
TABLE = Table(
    writes=WRITES,
    reading_posts={"preview charge": re.compile(r"/subscriptions/[^/]+/charge/preview$")},
)
