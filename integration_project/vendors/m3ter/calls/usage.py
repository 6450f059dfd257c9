"""Usage: measurements on their way to m3ter."""

from collections.abc import Sequence

from integration_project.errors import Permanent
from integration_project.vendors import exact_json
from integration_project.vendors.m3ter.answers import accepted
from integration_project.vendors.m3ter.calls.speaking import Speaker
from integration_project.vendors.m3ter.entities import Measurement

MOST_MEASUREMENTS = 1000
LARGEST_BODY = 512_000


class UsageCalls(Speaker):
    """What was measured."""

    def submit_measurements(self, measurements: Sequence[Measurement]) -> None:
        """Send usage. Accepted means received; whether it is valid, m3ter's events tell later."""
        body = {"measurements": [measurement.to_m3ter() for measurement in measurements]}
        size = len(exact_json.encode(body))
        if not 1 <= len(measurements) <= MOST_MEASUREMENTS or size >= LARGEST_BODY:
            raise Permanent(
                f"m3ter takes 1 to {MOST_MEASUREMENTS} measurements in less than {LARGEST_BODY} bytes at once,"
                f" not {len(measurements)} in {size}."
            )
        self._ingest.call("submit measurements", "POST", f"{self._root}/measurements", read=accepted, json=body)
