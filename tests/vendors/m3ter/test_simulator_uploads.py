"""The file-upload service of the simulated m3ter."""

import json
from typing import Any

import pytest
import requests

from integration_project.vendors.m3ter.simulator import uploads
from tests.vendors.m3ter.organisation import BASE, Organisation

PATH = "/fileuploads/measurements"
ROW = {"uid": "evt-1", "meter": "api_calls", "account": "harbour-tools", "ts": "2026-02-03T10:15:00Z"}
USED = {**ROW, "measure": {"calls": 125}}


def wanted(content: bytes, **fields: Any) -> dict[str, Any]:
    return {"fileName": "feb.json", "contentType": "application/json", "contentLength": len(content), **fields}


def put(organisation: Organisation, given: Any, content: bytes, **headers: str) -> requests.Response:
    """Put a file as somebody without a token does."""
    session = requests.Session()
    session.mount("http://", organisation.session.get_adapter(BASE))
    return session.put(given["url"], data=content, headers={**given["headers"], **headers})


def uploaded(organisation: Organisation, rows: Any) -> Any:
    """A job whose file has arrived."""
    content = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    given = organisation.post(f"{PATH}/generateUploadUrl", wanted(content))
    assert put(organisation, given, content).status_code == 200
    return given["jobId"]


def job(organisation: Organisation, job_id: str) -> Any:
    return organisation.get(f"{PATH}/jobs/{job_id}")


def counts(found: Any) -> tuple[Any, ...]:
    return found["status"], found["totalRows"], found["processedRows"], found["failedRows"]


def test_a_file_is_read_after_it_was_put_and_its_rows_are_checked_later(organisation: Organisation) -> None:
    organisation.account()
    content = json.dumps([USED, {**USED, "uid": "evt-2", "meter": "unknown"}]).encode()
    given = organisation.post(f"{PATH}/generateUploadUrl", wanted(content))
    before = job(organisation, given["jobId"])

    answer = put(organisation, given, content)
    running, done = job(organisation, given["jobId"]), job(organisation, given["jobId"])

    assert counts(before) == ("notUploaded", 0, 0, 0)
    assert (answer.status_code, answer.content) == (200, b"")
    assert (running["status"], counts(done)) == ("running", ("succeeded", 2, 2, 0))
    assert (done["fileName"], done["contentLength"], done["version"]) == ("feb.json", len(content), 3)
    assert organisation.sim.process_measurements() == {"stored": 1, "failed": 1}
    [failure] = organisation.get("/events", eventType="IngestValidationFailure")["data"]
    assert failure["m3terEvent"]["eventData"]["newDto"]["errorType"] == "UndefinedMeter"


def test_a_file_and_a_request_share_their_uids(organisation: Organisation) -> None:
    organisation.account()
    organisation.post("/measurements", {"measurements": [USED]})
    uploaded(organisation, [USED])

    organisation.sim.finish_uploads()
    organisation.sim.process_measurements()

    assert [row["count"] for row in organisation.sim.usage_totals()] == [1]


@pytest.mark.parametrize(
    "change",
    [
        {"fileName": ""},
        {"fileName": "f" * 101},
        {"fileName": None},
        {"contentType": "text/csv"},
        {"contentLength": 0},
        {"contentLength": 1_073_741_825},
        {"contentLength": "5"},
        {"colour": "red"},
    ],
)
def test_an_address_is_given_for_a_json_file_of_a_known_length_only(organisation: Organisation, change: Any) -> None:
    body = {name: value for name, value in wanted(b"[]", **change).items() if value is not None}

    organisation.refusal("POST", f"{PATH}/generateUploadUrl", body)

    assert organisation.get(f"{PATH}/jobs")["data"] == []


def test_an_address_is_good_for_a_minute(organisation: Organisation) -> None:
    given = organisation.post(f"{PATH}/generateUploadUrl", wanted(b"[]"))
    organisation.real.move(59)
    late = organisation.post(f"{PATH}/generateUploadUrl", wanted(b"[]"))
    in_time = put(organisation, given, b"[]")

    organisation.real.move(61)

    assert in_time.status_code == 200
    assert put(organisation, late, b"[]").status_code == 403
    assert job(organisation, late["jobId"])["status"] == "notUploaded"


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"[] ", {}, 403),
        (b"[", {}, 403),
        (b"", {}, 403),
        (b"[]", {"x-amz-meta-job": "another"}, 403),
        (b"[]", {"Content-Type": "text/json"}, 403),
        (b"[]", {"Authorization": "Bearer token"}, 400),
    ],
)
def test_a_file_that_is_put_otherwise_than_announced_is_refused(
    organisation: Organisation, content: bytes, headers: dict[str, str], status: int
) -> None:
    given = organisation.post(f"{PATH}/generateUploadUrl", wanted(b"[]"))

    assert put(organisation, given, content, **headers).status_code == status
    assert job(organisation, given["jobId"])["status"] == "notUploaded"


def test_an_address_takes_one_file(organisation: Organisation) -> None:
    given = organisation.post(f"{PATH}/generateUploadUrl", wanted(b"[]"))
    put(organisation, given, b"[]")

    assert put(organisation, given, b"[]").status_code == 403


@pytest.mark.parametrize("content", [b'{"measurements": []}', b"[}", b"uid,meter\n1,api", b"\xff\xfe[]", b"[NaN]"])
def test_a_file_that_is_no_json_array_fails_whole(organisation: Organisation, content: bytes) -> None:
    job_id = uploaded(organisation, content)

    organisation.sim.finish_uploads()

    assert counts(job(organisation, job_id)) == ("failed", 0, 0, 0)
    assert organisation.sim.state()["measurements_waiting"] == 0


def test_rows_that_a_request_would_be_refused_for_are_counted_and_the_rest_goes_on(organisation: Organisation) -> None:
    rows = [USED, 7, {"uid": "evt-2"}, {**USED, "uid": "u" * 51}, {**USED, "measure": {"calls": "many"}}]
    job_id = uploaded(organisation, rows)

    organisation.sim.finish_uploads()

    assert counts(job(organisation, job_id)) == ("succeeded", 5, 5, 4)
    assert organisation.sim.state()["measurements_waiting"] == 1


def test_a_file_of_no_rows_succeeds(organisation: Organisation) -> None:
    job_id = uploaded(organisation, [])

    organisation.sim.tick()

    assert counts(job(organisation, job_id)) == ("succeeded", 0, 0, 0)


def test_a_long_file_is_read_some_rows_at_a_time_and_the_next_waits(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "ROWS_A_STEP", 2)
    first = uploaded(organisation, [{**USED, "uid": str(number)} for number in range(5)])
    second = uploaded(organisation, [{**USED, "uid": "other"}])

    seen = []
    for _ in range(4):
        organisation.sim.tick()
        rows = {row["id"]: row["processedRows"] for row in organisation.sim.memory.upload_jobs}
        seen.append([rows[first], rows[second]])

    assert seen == [[2, 0], [4, 0], [5, 0], [5, 1]]


def test_the_original_file_can_be_downloaded(organisation: Organisation) -> None:
    content = b'[ {"uid": "\xc3\xa9"} ]'
    job_id = uploaded(organisation, content)
    given = organisation.get(f"{PATH}/jobs/{job_id}/original")

    found = organisation.session.get(given["url"], headers={"Authorization": ""})
    organisation.real.move(301)
    late = organisation.session.get(given["url"])

    assert (given["jobId"], found.content, found.headers["Content-Type"]) == (job_id, content, "application/json")
    assert late.status_code == 403


def test_there_is_no_original_before_the_file_is_put(organisation: Organisation) -> None:
    given = organisation.post(f"{PATH}/generateUploadUrl", wanted(b"[]"))

    organisation.refusal("GET", f"{PATH}/jobs/{given['jobId']}/original", status=404)
    organisation.refusal("GET", f"{PATH}/jobs/nobody", status=404)


def test_jobs_are_listed_by_the_time_they_were_made(organisation: Organisation) -> None:
    now = organisation.sim.clock.now()
    uploaded(organisation, [])
    day = f"{now:%Y-%m-%d}T00:00:00Z"

    def listed(**params: str) -> int:
        return len(organisation.get(f"{PATH}/jobs", **params)["data"])

    assert (listed(), listed(dateCreatedStart=day), listed(dateCreatedEnd=day)) == (1, 1, 0)
    organisation.refusal("GET", f"{PATH}/jobs", params={"dateCreatedStart": day[:10]})


def test_a_file_may_be_larger_than_a_request_and_hold_any_text(organisation: Organisation) -> None:
    organisation.account()
    rows = [{**USED, "uid": str(number), "what": {"endpoint": "drop table users"}} for number in range(5000)]
    job_id = uploaded(organisation, rows)

    organisation.sim.finish_uploads()

    assert counts(job(organisation, job_id)) == ("succeeded", 5000, 5000, 0)
    assert organisation.sim.process_measurements() == {"stored": 5000, "failed": 0}
