"""Usage: measurements on their way to m3ter."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from integration_project.errors import Permanent
from integration_project.vendors import exact_json
from integration_project.vendors.m3ter.answers import accepted, address, entity
from integration_project.vendors.m3ter.calls.speaking import Speaker
from integration_project.vendors.m3ter.entities import (
    IngestFailure,
    IngestFailureDetail,
    Measurement,
    UsageAggregation,
    UsageGroup,
    UsageRows,
    given,
    moment,
)

MOST_MEASUREMENTS = 1000
LARGEST_BODY = 512_000
MOST_ROWS = 20_000
"""Most rows that one usage query answers."""
INGEST_FAILURES = "IngestValidationFailure"


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

    def list_ingest_failures(self) -> Iterator[IngestFailure]:
        """Read what m3ter found wrong with measurements, newest first; it forgets after 28 days.

        A page is asked for when the one before is read, so whoever stops at what is known asks for no more.
        """
        params = {"eventType": INGEST_FAILURES, "includeActioned": "true"}
        return self._list("list events", "/events", IngestFailure.from_m3ter, params)

    def get_ingest_failure(self, file: str) -> IngestFailureDetail:
        """Read what a failure's file says: the error, and the measurement as it was sent."""
        path = f"{self._root}/measurements/failedIngest/getDownloadUrl"
        where = self._http.call("get failed ingest url", "GET", path, read=address, params={"file": file})
        return self._signed.get("download failed ingest", where, read=entity(IngestFailureDetail.from_m3ter))

    def query_usage(
        self,
        *,
        start: datetime,
        end: datetime,
        meter_ids: Sequence[str] = (),
        account_ids: Sequence[str] = (),
        aggregations: Sequence[UsageAggregation] = (),
        groups: Sequence[UsageGroup] = (),
        limit: int = MOST_ROWS,
    ) -> UsageRows:
        """Read usage back, from a moment up to and not including another: one call a second is allowed.

        Without aggregations each row is a measurement; with them numbers, for each of the groups.
        """
        body = given(
            startDate=moment(start),
            endDate=moment(end),
            meterIds=list(meter_ids) or None,
            accountIds=list(account_ids) or None,
            aggregations=[aggregation.to_m3ter() for aggregation in aggregations] or None,
            groups=[group.to_m3ter() for group in groups] or None,
            limit=limit,
        )
        read = entity(UsageRows.from_m3ter)
        return self._explorer.call("query usage", "POST", f"{self._root}/usage/query", read=read, json=body)
