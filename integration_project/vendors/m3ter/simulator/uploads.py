"""The file-upload service: an address for a minute, a PUT that starts the job, and rows read a few thousand a step."""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from integration_project.vendors.m3ter.simulator import fields
from integration_project.vendors.m3ter.simulator.fields import Field, Invalid, moment_of, stamp
from integration_project.vendors.m3ter.simulator.ingest import MEASUREMENT, SIGNED, Ingest
from integration_project.vendors.m3ter.simulator.memory import Memory, Row, one, page, refusal
from integration_project.vendors.m3ter.simulator.resources import ORGANISATION
from integration_project.vendors.simulation import Answer, Request, Route

URL_VALID = timedelta(seconds=60)
DOWNLOAD_VALID = timedelta(minutes=5)
LARGEST_FILE = 1_073_741_824
ROWS_A_STEP = 20_000
"""Ten seconds' worth of what m3ter reads."""
SHOWN = "id version fileName uploadDate contentLength status totalRows processedRows failedRows".split()
WANTED = {
    "fileName": Field(fields.text(1, 100), required=True),
    "contentType": Field(fields.choice("application/json", "text/json"), required=True),
    "contentLength": Field(fields.integer(1, LARGEST_FILE), required=True),
}


@dataclass(frozen=True)
class _Place:
    """What a signed address is for."""

    job_id: str
    until: datetime
    headers: Mapping[str, str]


class Uploads:
    """Files of measurements, read one after another; each look at the first, and each tick, is a step."""

    def __init__(self, memory: Memory, ingest: Ingest) -> None:
        self.memory = memory
        self._ingest = ingest
        self._places: dict[str, _Place] = {}
        self._files: dict[str, bytes] = {}
        self._reading: dict[str, Iterator[Any]] = {}

    def routes(self) -> Sequence[Route]:
        """Asking for an address, the two signed addresses, and the jobs."""
        path = f"{ORGANISATION}/fileuploads/measurements"
        return (
            Route("POST", f"{path}/generateUploadUrl", "generate upload url", self.generate),
            Route("PUT", f"{SIGNED}/uploads/{{token}}", "upload measurements file", self.upload),
            Route("GET", f"{SIGNED}/originals/{{token}}", "download original file", self.download),
            Route("GET", f"{path}/jobs", "list upload jobs", self.list_jobs),
            Route("GET", f"{path}/jobs/{{id}}", "get upload job", self.get),
            Route("GET", f"{path}/jobs/{{id}}/original", "get original file url", self.original),
        )

    def clear(self) -> None:
        """Forget files and addresses."""
        for memory in (self._places, self._files, self._reading):
            memory.clear()

    # Sending a file.

    def generate(self, request: Request) -> Answer:
        """POST generateUploadUrl: a job, and where its file may be put for a minute."""
        wanted = fields.read(WANTED, request.json)
        rows = {"totalRows": 0, "processedRows": 0, "failedRows": 0}
        uploaded = {"uploadDate": stamp(self.memory.clock.now()), "status": "notUploaded"}
        job = self.memory.upload_jobs.add({**wanted, **uploaded, **rows})
        headers = {"Content-Type": wanted["contentType"], "x-amz-meta-job": job["id"]}
        url = self._signed("uploads", request, _Place(job["id"], request.transport_at + URL_VALID, headers))
        return Answer(200, {"jobId": job["id"], "url": url, "headers": headers})

    def upload(self, request: Request) -> Answer:
        """PUT the file: no token, the headers as given, the length as announced; once, and the job starts."""
        place = self._place(request)
        job = self.memory.upload_jobs.need(place.job_id, kind="UploadJob")
        if "authorization" in request.headers:
            raise refusal(400, "Only one auth mechanism allowed")
        if any(request.headers.get(name.lower()) != value for name, value in place.headers.items()):
            raise refusal(403, "The headers are not those of the signature")
        if len(request.body) != job["contentLength"]:
            raise refusal(403, f"The length is {len(request.body)}, not {job['contentLength']}")
        if job["status"] != "notUploaded":
            raise refusal(403, "The file was uploaded already")
        self._files[job["id"]] = request.body
        self.memory.upload_jobs.change(job, {"status": "running"})
        return Answer(200)

    def _signed(self, kind: str, request: Request, place: _Place) -> str:
        token = secrets.token_urlsafe(16)
        self._places[token] = place
        return f"{request.base_url}{SIGNED}/{kind}/{token}"

    def _place(self, request: Request) -> _Place:
        place = self._places.get(request.path_params["token"])
        if place is None or request.transport_at >= place.until:
            raise refusal(403, "Request has expired")
        return place

    # The jobs.

    def get(self, request: Request) -> Answer:
        """GET one; looking at the job whose turn it is moves it one step."""
        job = self.memory.upload_jobs.need(request.path_params["id"], kind="UploadJob")
        shown = _shown(job)
        if job is self._next():
            self.step()
        return Answer(200, shown)

    def list_jobs(self, request: Request) -> Answer:
        """GET those made in a time."""
        if one(request, "fileKey") is not None:
            raise Invalid("fileKey is not simulated")
        start, end = _moment(request, "dateCreatedStart"), _moment(request, "dateCreatedEnd")
        rows = [
            _shown(job)
            for job in self.memory.upload_jobs.newest_first()
            if (start is None or moment_of(job["dtCreated"]) >= start)
            and (end is None or moment_of(job["dtCreated"]) < end)
        ]
        return page(self.memory, rows, self.memory.upload_jobs, request, most=100)

    def original(self, request: Request) -> Answer:
        """GET the address of the file as it came."""
        job = self.memory.upload_jobs.need(request.path_params["id"], kind="UploadJob")
        if job["id"] not in self._files:
            raise refusal(404, f"File of UploadJob {job['id']} not found")
        url = self._signed("originals", request, _Place(job["id"], request.transport_at + DOWNLOAD_VALID, {}))
        return Answer(200, {"jobId": job["id"], "url": url, "headers": {}})

    def download(self, request: Request) -> Answer:
        """GET such an address, without a token."""
        job = self.memory.upload_jobs.need(self._place(request).job_id, kind="UploadJob")
        return Answer(200, self._files[job["id"]], {"Content-Type": job["contentType"]})

    # Reading.

    def step(self) -> bool:
        """Read some rows of the file whose turn it is; False where no file waits."""
        job = self._next()
        if job is None:
            return False
        rows = self._rows(job)
        if rows is None:
            self.memory.upload_jobs.change(job, {"status": "failed"})
            return True
        failed = 0
        taken = 0
        for row in rows:
            taken += 1
            failed += not self._takes(row)
            if taken == ROWS_A_STEP:
                break
        counts = {"processedRows": job["processedRows"] + taken, "failedRows": job["failedRows"] + failed}
        over = counts["processedRows"] == job["totalRows"]
        self.memory.upload_jobs.change(job, {**counts, **({"status": "succeeded"} if over else {})})
        if over:
            del self._reading[job["id"]]
        return True

    def finish(self) -> None:
        """Read every file that waits to its end."""
        while self.step():
            pass

    def _next(self) -> Row | None:
        return next((job for job in self.memory.upload_jobs if job["status"] == "running"), None)

    def _rows(self, job: Row) -> Iterator[Any] | None:
        """The rows that are left; None where the file is no JSON array."""
        if job["id"] not in self._reading:
            try:
                found = json.loads(self._files[job["id"]].decode(), parse_float=Decimal, parse_constant=_refused)
            except (ValueError, RecursionError):
                return None
            if not isinstance(found, list):
                return None
            job["totalRows"] = len(found)
            self._reading[job["id"]] = iter(found)
        return self._reading[job["id"]]

    def _takes(self, row: Any) -> bool:
        try:
            self._ingest.take([fields.read(MEASUREMENT, row)])
        except Invalid:
            return False
        return True


def _shown(job: Row) -> Row:
    return {name: job[name] for name in SHOWN}


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _moment(request: Request, name: str) -> datetime | None:
    value = one(request, name)
    if value is None:
        return None
    try:
        return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Invalid(f"{name} must be a date-time such as 2026-02-03T10:15:00Z") from None
