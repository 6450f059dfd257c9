"""Usage: from a file, and from requests, to m3ter's totals, against a script that only parses and posts.

The simulated m3ter, the workers and the command share the machine; the real limits of m3ter are kept by us, and lifted
at the simulator, so that it is not what is measured.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import RequestFactory
from pytest_django import Settings

from integration_project import api_keys, clock, installation
from integration_project.models import ApiKey, Heartbeat
from integration_project.vendors import exact_json
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.simulation import serve
from paddle_sync.models import AccountLink, CatalogueEntry, UsageBatch, UsageUid, UsageUpload
from tests.benchmarks import report
from tests.builders import make_link, paddle_id
from tests.kill.programs import PROC, descendants, needs_proc, program, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), needs_proc, pytest.mark.timeout(1_800)]

ROWS = 1_000_000
ACCOUNTS = 200
METER = m3ter_sample.METER_API_CALLS
REQUESTS = 40
ITEMS = 500


@pytest.fixture
def m3ter() -> M3terSimulator:
    """An m3ter that sends nothing by itself and refuses nobody for being quick."""
    simulator = M3terSimulator()
    simulator.access.per_organisation.limit = None
    for limit in simulator.access.per_address.values():
        limit.limit = None
    return simulator


@pytest.fixture
def links(m3ter: M3terSimulator) -> list[AccountLink]:
    """Linked accounts that m3ter has too, and its meter in our catalogue."""
    CatalogueEntry.objects.create(
        kind=CatalogueEntry.Kind.M3TER_METER,
        vendor_id=m3ter_sample.METER,
        code=METER,
        name="API calls",
        data={"fields": [{"code": "calls", "category": "MEASURE", "unit": "1"}], "derived": []},
        seen_at=clock.now(),
    )
    made = []
    for _ in range(ACCOUNTS):
        code = paddle_id("sub")
        row = m3ter.memory.accounts.add({"code": code, "name": code, "emailAddress": "a@example.com"})
        made.append(make_link(code, m3ter_account_id=row["id"], adopted=True))
    return made


def write_file(path: Path, links: list[AccountLink], rows: int) -> Decimal:
    """Write a CSV file of usage of the last days; gives the sum of its calls."""
    codes, now, total = [link.m3ter_account_code for link in links], clock.now(), 0
    with path.open("w") as file:
        file.write("m3ter_account_code,uid,meter,ts,calls\n")
        for row in range(rows):
            at = (now - dt.timedelta(seconds=60 + row % 600_000)).strftime("%Y-%m-%dT%H:%M:%SZ")
            file.write(f"{codes[row % len(codes)]},use-{row:09},{METER},{at},{row % 90 + 1}\n")
            total += row % 90 + 1
    return Decimal(total)


def counted(m3ter: M3terSimulator) -> Decimal:
    """The calls that m3ter has counted."""
    m3ter.process_measurements()
    return sum((Decimal(row["sum"]) for row in m3ter.usage_totals()), Decimal(0))


class Memory:
    """The most memory that each process of a program ever had, in megabytes."""

    def __init__(self) -> None:
        self.peaks: dict[int, float] = {}

    def seen(self, *programs: int) -> bool:
        """Read it of these programs and of what they started; always true."""
        for pid in [each for main in programs for each in (main, *descendants(main))]:
            try:
                status = PROC.joinpath(str(pid), "status").read_text()
            except OSError:
                continue
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    self.peaks[pid] = int(line.split()[1]) / 1024
        return True


@contextmanager
def served(m3ter: M3terSimulator, settings: Settings) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The simulator over HTTP, and the environment of programs that call it."""
    with serve(m3ter) as at:
        settings.M3TER_API_URL, settings.M3TER_ORG_ID = at.url, m3ter_sample.ORG_ID
        installation.current()
        yield (
            at.url,
            {
                "TEST_M3TER_API_URL": at.url,
                "TEST_M3TER_INGEST_URL": at.url,
                "TEST_M3TER_ORG_ID": m3ter_sample.ORG_ID,
                "TEST_M3TER_ACCESS_KEY_ID": m3ter_sample.ACCESS_KEY_ID,
                "TEST_M3TER_API_SECRET": m3ter_sample.API_SECRET,
                "TEST_WORKER_PROCESSES": "2",
            },
        )


def seconds_of_plain_script(url: str, path: Path, m3ter: M3terSimulator, log: Path) -> float:
    """How long the script takes until m3ter has counted everything."""
    token = "plain"
    m3ter.access._tokens[token] = clock.now() + dt.timedelta(hours=5)
    address = f"{url}/organizations/{m3ter_sample.ORG_ID}/measurements"
    began = time.perf_counter()
    with program("-m", "tests.benchmarks.plain_usage", str(path), address, token, log=log) as process:
        assert process.wait(1_200) == 0, log.read_text()
    counted(m3ter)
    return time.perf_counter() - began


def test_a_file_of_a_million_rows(
    m3ter: M3terSimulator, links: list[AccountLink], settings: Settings, tmp_path: Path
) -> None:
    path, log, memory = tmp_path / "usage.csv", tmp_path / "log", Memory()
    total = write_file(path, links, ROWS)
    with served(m3ter, settings) as (url, environment):
        plain = seconds_of_plain_script(url, path, m3ter, log)
        assert counted(m3ter) == total
        m3ter.memory.measurements.clear()
        m3ter.ingest.clear()
        m3ter.calls.clear()

        with program("manage.py", "worker", log=log, environment=environment) as workers:
            wait_until(Heartbeat.objects.exists, what=log.read_text)  # as in production, where workers are there
            began = time.perf_counter()
            arguments = ("manage.py", "upload_usage", str(path))
            with program(*arguments, log=log, environment=environment) as upload:
                wait_until(
                    lambda: memory.seen(workers.pid, upload.pid) and upload.poll() is not None,
                    within=900,
                    what=log.read_text,
                )
                assert upload.returncode == 0, log.read_text()
            wait_until(
                lambda: memory.seen(workers.pid) and all_sent(),
                within=900,
                what=lambda: list(UsageBatch.objects.values_list("state", "last_error").distinct()),
            )
            assert counted(m3ter) == total
            ours = time.perf_counter() - began

    assert UsageUid.objects.count() == ROWS
    assert UsageUpload.objects.get().accepted == ROWS
    assert {call.status for call in m3ter.calls} == {200}
    where = f"{ROWS:,} rows, 2 worker processes, on {connection.vendor}"
    report.at_least("usage file to m3ter's totals, measurements a second", ROWS / ours, aim=4_000, detail=where)
    report.at_least(
        "usage file to m3ter's totals, in a script that only parses and posts",
        plain / ours,
        aim=0.35,
        detail=f"{where}; the script {ROWS / plain:,.0f} a second",
    )
    report.at_most(
        "usage file, most memory of one process", max(memory.peaks.values()), aim=200, unit="MB", detail=where
    )


def all_sent() -> bool:
    """Whether m3ter has taken everything."""
    return not UsageBatch.objects.exclude(state=UsageBatch.State.SENT).exists()


def test_the_api_in_batches_of_five_hundred(m3ter: M3terSimulator, links: list[AccountLink]) -> None:
    key = api_keys.make("Bench", scopes=[ApiKey.Scope.USAGE_WRITE], calls_per_minute=1_000_000).text
    send = requests_of(links, key)
    send(3, "warm")

    took = send(REQUESTS, "run")

    assert UsageUid.objects.count() == (REQUESTS + 3) * ITEMS
    report.at_least(
        "usage by API, measurements a second",
        REQUESTS * ITEMS / took,
        aim=3_000,
        detail=f"{REQUESTS} requests of {ITEMS}, one after the other, on {connection.vendor}",
    )


def requests_of(links: list[AccountLink], key: str) -> Callable[[int, str], float]:
    """A client that sends so many requests, one after the other, and says how long that took."""
    handler, factory = WSGIHandler(), RequestFactory()
    ts = (clock.now() - dt.timedelta(minutes=5)).isoformat()

    def send(count: int, run: str) -> float:
        environs: list[Any] = []
        for number in range(count):
            items = [
                {
                    "paddle_subscription_id": links[item % len(links)].paddle_subscription_id,
                    "uid": f"{run}-{number}-{item}",
                    "meter": METER,
                    "ts": ts,
                    "values": {"calls": item},
                }
                for item in range(ITEMS)
            ]
            request = factory.post(
                "/api/v1/usage/measurements/",
                data=exact_json.encode({"measurements": items}),
                content_type="application/json",
                headers={"Authorization": f"Bearer {key}"},
            )
            environs.append(request.environ)
        statuses: list[str] = []

        def start_response(status: str, headers: Any, error: Any = None) -> Any:
            statuses.append(status)

        began = time.perf_counter()
        for environ in environs:
            response = handler(environ, start_response)
            b"".join(response)
            response.close()
        took = time.perf_counter() - began
        assert statuses == ["202 Accepted"] * count
        return took

    return send
