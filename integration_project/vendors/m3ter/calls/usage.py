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
        self.submit_encoded([exact_json.encode(measurement.to_m3ter()) for measurement in measurements])

    def submit_encoded(self, items: Sequence[bytes]) -> None:
        """Send usage that is written already: each item is the JSON text of one measurement, and goes out as it is."""
        body = b'{"measurements":[' + b",".join(items) + b"]}"
        if not 1 <= len(items) <= MOST_MEASUREMENTS or len(body) >= LARGEST_BODY:
            raise Permanent(
                f"m3ter takes 1 to {MOST_MEASUREMENTS} measurements in less than {LARGEST_BODY} bytes at once,"
                f" not {len(items)} in {len(body)}."
            )
        self._ingest.call("submit measurements", "POST", f"{self._root}/measurements", read=accepted, encoded=body)
