"""The m3ter client against the simulated m3ter: files of measurements, streamed to a signed address."""

import io
import logging
import time
from dataclasses import replace
from typing import Any, BinaryIO

import pytest

from integration_project import errors
from integration_project.vendors import exact_json
from integration_project.vendors.http import CallRecord
from integration_project.vendors.m3ter.entities import Measurement, UploadUrl
from integration_project.vendors.m3ter.simulator import sample
from integration_project.vendors.rehearsal import NotRehearsable
from integration_project.vendors.signed import PLACE
from integration_project.vendors.simulation import serve
from integration_project.vendors.transport import Body, BodyChanged
from tests.vendors.m3ter.client_stage import CODE, START, ClientStage, new_stage, settings
from tests.vendors.opening import config, opened
from tests.vendors.rehearsing import new_rehearsing


@pytest.fixture
def stage() -> ClientStage:
    stage = new_stage()
    stage.account()
    return stage


def file_of(rows: int) -> bytes:
    made = [
        Measurement(str(number), sample.METER_API_CALLS, CODE, START, measure={"calls": 1}) for number in range(rows)
    ]
    return exact_json.encode([measured.to_m3ter() for measured in made])


def address(stage: ClientStage, content: bytes) -> UploadUrl:
    return stage.client.generate_upload_url(file_name="feb.json", content_length=len(content))


def test_a_file_is_put_where_m3ter_said_and_its_job_tells_how_far_it_is(stage: ClientStage) -> None:
    content = file_of(3)
    where = address(stage, content)
    before = stage.client.get_upload_job(where.job_id)

    stage.client.upload_measurements_file(where, io.BytesIO(content))
    running = stage.client.get_upload_job(where.job_id)
    done = stage.client.get_upload_job(where.job_id)

    assert (before.status, before.was_uploaded, before.content_length) == ("notUploaded", False, len(content))
    assert (running.status, running.was_uploaded, running.is_over) == ("running", True, False)
    assert (done.status, done.is_over, done.file_name) == ("succeeded", True, "feb.json")
    assert (done.total_rows, done.processed_rows, done.failed_rows) == (3, 3, 0)
    assert stage.simulator.process_measurements() == {"stored": 3, "failed": 0}


@pytest.mark.parametrize("length", [0, 1_073_741_825])
def test_a_file_of_a_size_that_m3ter_does_not_take_is_not_announced(stage: ClientStage, length: int) -> None:
    with pytest.raises(errors.Permanent, match="files of 1 to 1073741824 bytes"):
        stage.client.generate_upload_url(file_name="feb.json", content_length=length)

    assert "generate upload url" not in stage.operations


def test_after_its_minute_an_address_is_not_used(stage: ClientStage) -> None:
    where = replace(address(stage, b"[]"), asked_at=time.monotonic() - 60)

    with pytest.raises(errors.Temporary, match="ask for another"):
        stage.client.upload_measurements_file(where, io.BytesIO(b"[]"))

    assert "upload measurements file" not in stage.operations


def test_an_address_that_m3ter_does_not_take_any_more_is_asked_for_again(stage: ClientStage) -> None:
    where = address(stage, b"[]")
    stage.simulator.uploads._places.clear()

    with pytest.raises(errors.Temporary, match="it may be too old"):
        stage.client.upload_measurements_file(where, io.BytesIO(b"[]"))


def test_an_answer_that_was_lost_is_looked_for_in_the_job(stage: ClientStage) -> None:
    where = address(stage, b"[]")
    stage.simulator.fault("upload measurements file", "lose_answer")

    with pytest.raises(errors.Temporary):
        stage.client.upload_measurements_file(where, io.BytesIO(b"[]"))

    assert stage.client.get_upload_job(where.job_id).was_uploaded


@pytest.mark.parametrize(("content", "why"), [(b"[", "ended 1 bytes early"), (b"[] ", "longer than it was")])
def test_a_file_that_changed_meanwhile_is_not_taken(stage: ClientStage, content: bytes, why: str) -> None:
    where = address(stage, b"[]")

    with pytest.raises(errors.Permanent, match=why):
        stage.client.upload_measurements_file(where, io.BytesIO(content))

    assert not stage.client.get_upload_job(where.job_id).was_uploaded


def test_the_address_is_written_down_nowhere_and_the_key_stays_at_home(
    stage: ClientStage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    records: list[CallRecord] = []
    seen: list[dict[str, Any]] = []

    def listening(environ: dict[str, Any], start_response: Any) -> Any:
        seen.append(environ)
        return stage.simulator(environ, start_response)

    vendors = opened(settings(), m3ter=listening)
    with vendors.listening(after=records.append):
        where = vendors.m3ter.generate_upload_url(file_name="feb.json", content_length=2)
        given = {**where.headers, "authorization": "Basic bWU6bWU=", "Content-Length": "7"}
        vendors.m3ter.upload_measurements_file(replace(where, headers=given), io.BytesIO(b"[]"))

    token = where.url.rpartition("/")[2]
    assert token not in f"{where!r} {records} {[line.__dict__ for line in caplog.records]}"
    assert records[-1].path == PLACE
    assert "HTTP_AUTHORIZATION" not in seen[-1]
    assert (seen[-1]["CONTENT_LENGTH"], seen[-1]["HTTP_X_AMZ_META_JOB"]) == ("2", where.job_id)


class Counting(io.BytesIO):
    """A stream that knows the largest piece that was asked of it."""

    largest = 0

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(size)
        self.largest = max(self.largest, len(chunk))
        return chunk


def test_over_the_network_a_file_is_streamed_with_its_exact_length(stage: ClientStage) -> None:
    content = file_of(5000)
    stream = Counting(content)
    with serve(stage.simulator) as served:
        here = replace(
            config(m3ter_org_id=sample.ORG_ID, m3ter_access_key_id=sample.ACCESS_KEY_ID),
            m3ter_api_url=served.url,
            m3ter_ingest_url=served.url,
            m3ter_api_secret=sample.API_SECRET,
        )
        client = opened(here).m3ter
        where = client.generate_upload_url(file_name="feb.json", content_length=len(content))
        client.upload_measurements_file(where, stream)
        short = client.generate_upload_url(file_name="feb.json", content_length=len(content) + 1)
        with pytest.raises(errors.Permanent, match="ended 1 bytes early"):
            client.upload_measurements_file(short, io.BytesIO(content))
        jobs = [client.get_upload_job(each.job_id) for each in (where, short)]

    assert [job.was_uploaded for job in jobs] == [True, False]
    assert stage.simulator.uploads._files == {where.job_id: content}
    assert stream.largest <= 65_536


def test_a_body_is_not_read_beyond_its_deadline() -> None:
    body = Body(io.BytesIO(b"[]"), 2)
    body.ends_at = time.monotonic() - 1

    with pytest.raises(TimeoutError):
        body.read(1)


class Dribbling(io.RawIOBase):
    """A stream that gives a byte at a time."""

    def __init__(self, content: bytes) -> None:
        self._left = content

    def read(self, size: int = -1) -> bytes:
        chunk, self._left = self._left[:1], self._left[1:]
        return chunk


def test_a_stream_may_give_less_than_was_asked_of_it() -> None:
    stream: BinaryIO = Dribbling(b"[1]")  # type: ignore[assignment]

    assert list(Body(stream, 3)) == [b"[", b"1", b"]"]


def test_a_stream_that_goes_on_is_stopped_before_its_last_byte() -> None:
    body = Body(io.BytesIO(b"[1],"), 3)

    with pytest.raises(BodyChanged):
        list(body)


def test_a_dry_run_puts_no_file(stage: ClientStage) -> None:
    rehearsing = new_rehearsing()

    where = rehearsing.run(lambda vendors: vendors.m3ter.generate_upload_url(file_name="feb.json", content_length=2))
    with pytest.raises(NotRehearsable):
        rehearsing.run(lambda vendors: vendors.m3ter.upload_measurements_file(where, io.BytesIO(b"[]")))

    assert [call.operation for call in rehearsing.m3ter.calls] == []
