"""What Paddle would answer to each of our writes, for a dry run that sends none of them."""

import re
from collections.abc import Mapping

from integration_project.vendors.reading import Json
from integration_project.vendors.rehearsal import Rehearsed, Stage, Table, Write


def _charged(stage: Stage, write: Write) -> Json:
    """A charge is answered with the subscription."""
    return stage.look("get subscription", write.path.removesuffix("/charge"))


def _subscribed(stage: Stage, write: Write) -> Json:
    """A destination is answered as it is by then."""
    answer = stage.look("get notification setting", write.path)
    names = [{"name": name} for name in write.body["subscribed_events"]]
    return {**answer, "data": {**answer["data"], "subscribed_events": names}}


WRITES: Mapping[str, Rehearsed] = {
    "charge subscription": Rehearsed(_charged),
    "update notification setting": Rehearsed(_subscribed),
}
TABLE = Table(
    writes=WRITES,
    reading_posts={"preview charge": re.compile(r"/subscriptions/[^/]+/charge/preview$")},
)
