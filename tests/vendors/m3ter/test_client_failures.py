"""The m3ter client against the simulated m3ter: what it finds wrong with usage that it accepted."""

import logging
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from integration_project import errors
from integration_project.vendors.http import CallRecord
from integration_project.vendors.m3ter.entities import IngestFailure, IngestFailureDetail, Measurement
from integration_project.vendors.m3ter.simulator import sample
from integration_project.vendors.rehearsal import NotRehearsable
from integration_project.vendors.signed import PLACE, why_unusable
from tests.vendors.m3ter.client_stage import CODE, START, ClientStage, new_stage, settings
from tests.vendors.opening import opened
from tests.vendors.rehearsing import new_rehearsing


@pytest.fixture
def stage() -> ClientStage:
    stage = new_stage()
    stage.account()
    return stage


def fail(stage: ClientStage, *uids: str, meter: str = "unknown") -> None:
    for uid in uids:
        measured = Measurement(uid, meter, CODE, START, measure={sample.MEASURE_CALLS: 7})
        stage.client.submit_measurements([measured])
    stage.simulator.process_measurements()


def test_failures_are_listed_newest_first_with_their_kind_and_file(stage: ClientStage) -> None:
    fail(stage, "use-1")
    stage.simulator.clock_move(minutes=5)
    fail(stage, "use-2", "use-2", meter=sample.METER_API_CALLS)

    newest, oldest = stage.client.list_ingest_failures()

    assert (newest.kind, oldest.kind) == ("DuplicateUid", "UndefinedMeter")
    assert START <= oldest.event_time < START + timedelta(minutes=5) <= newest.event_time
    assert newest.file.endswith(".json")


def test_whoever_stops_at_what_is_known_asks_for_no_further_page(
    stage: ClientStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration_project.vendors.m3ter.calls.speaking.PAGE", 2)
    fail(stage, *(f"use-{number}" for number in range(7)))

    first = list(islice(stage.client.list_ingest_failures(), 2))
    calls = stage.operations.count("list events")
    every = list(stage.client.list_ingest_failures())

    assert (calls, len(every), every[:2]) == (1, 7, first)


def test_failures_that_somebody_actioned_are_listed_too(stage: ClientStage) -> None:
    fail(stage, "use-1")
    stage.simulator.memory.events.newest_first()[0]["dtActioned"] = "2026-03-01T10:00:00.000Z"

    assert len(list(stage.client.list_ingest_failures())) == 1


def test_other_events_are_no_failures(stage: ClientStage) -> None:
    assert list(stage.client.list_ingest_failures()) == []


def overheard(app: Any, seen: list[tuple[str, bool]]) -> Any:
    """An application, and of each request where it went and whether it carried a key."""

    def listening(environ: dict[str, Any], start_response: Any) -> Any:
        seen.append((environ["PATH_INFO"], "HTTP_AUTHORIZATION" in environ))
        return app(environ, start_response)

    return listening


def test_a_failure_s_file_says_what_was_sent_and_the_key_stays_at_home(stage: ClientStage) -> None:
    fail(stage, "use-1")
    (failure,) = stage.client.list_ingest_failures()
    seen: list[tuple[str, bool]] = []
    vendors = opened(settings(), m3ter=overheard(stage.simulator, seen))

    detail = vendors.m3ter.get_ingest_failure(failure.file)

    assert (detail.error, detail.uid, detail.account, detail.meter) == ("UndefinedMeter", "use-1", CODE, "unknown")
    assert detail.ts == START
    assert detail.measurement["measure"] == {"calls": 7}
    assert [has_key for _, has_key in seen] == [True, True, False]
    assert seen[-1][0].startswith("/_files/")


def test_a_signed_address_is_written_down_nowhere(stage: ClientStage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    fail(stage, "use-1")
    (failure,) = stage.client.list_ingest_failures()
    records: list[CallRecord] = []

    with stage.vendors.listening(after=records.append):
        stage.client.get_ingest_failure(failure.file)
        stage.simulator.fault("download failed ingest", "error_before", status=403)
        with pytest.raises(errors.Temporary) as caught:
            stage.client.get_ingest_failure(failure.file)

    (token, *_) = stage.simulator.ingest._urls
    written = f"{caught.value} {caught.value!r} {records} {[line.__dict__ for line in caplog.records]}"
    assert token not in written
    assert [record.path for record in records if record.operation == "download failed ingest"] == [PLACE, PLACE]


def test_a_file_that_is_gone_is_not_found(stage: ClientStage) -> None:
    with pytest.raises(errors.NotFound):
        stage.client.get_ingest_failure("nothing.json")


@pytest.mark.parametrize("fault", [{"kind": "lose_answer"}, {"kind": "error_before", "status": 503}, {"kind": "huge"}])
def test_a_download_that_fails_may_be_tried_again(stage: ClientStage, fault: dict[str, Any]) -> None:
    fail(stage, "use-1")
    (failure,) = stage.client.list_ingest_failures()
    stage.simulator.fault("download failed ingest", **fault)

    with pytest.raises(errors.Temporary):
        stage.client.get_ingest_failure(failure.file)

    assert stage.client.get_ingest_failure(failure.file).uid == "use-1"


def giving(address: str) -> Any:
    """A m3ter that gives this address, and remembers who asks for anything else."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        if environ["PATH_INFO"] == "/oauth/token":
            return [b'{"access_token": "a.b.c", "expires_in": 18000}']
        assert environ["PATH_INFO"].endswith("/getDownloadUrl"), "nothing else is asked for"
        return [b'{"url": "' + address.encode() + b'"}']

    return app


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://files.example/secret", "does not begin with https://"),
        ("https://jane:pass@files.example/secret", "carries a user name or a password"),
        ("https://@files.example/secret", "carries a user name or a password"),
        ("http://127.0.0.1.files.example/secret", "does not begin with https://"),
        ("ftp://127.0.0.1/secret", "is none"),
        ("gopher://files.example/secret", "is none"),
        ("/secret", "is none"),
        ("https://[::1/secret", "cannot be read"),
    ],
)
def test_an_address_that_is_not_safe_is_not_asked(address: str, why: str) -> None:
    vendors = opened(settings(), m3ter=giving(address))

    with pytest.raises(errors.Permanent, match=why) as caught:
        vendors.m3ter.get_ingest_failure("f.json")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["https://files.example/a?b=c", "http://127.0.0.1:8000/a", "http://[::1]/a", "http://localhost/a"],
)
def test_an_address_over_https_or_on_this_machine_is_asked(address: str) -> None:
    assert why_unusable(address) == ""


def test_a_dry_run_uses_no_signed_address() -> None:
    stage = new_rehearsing()
    measured = Measurement("use-1", "unknown", CODE, START)
    stage.real.m3ter.submit_measurements([measured])
    stage.m3ter.process_measurements()
    (failure,) = stage.real.m3ter.list_ingest_failures()

    with pytest.raises(NotRehearsable, match="a dry run uses no signed address"):
        stage.run(lambda vendors: vendors.m3ter.get_ingest_failure(failure.file))


WHEN = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "payload",
    [
        {"eventData": {"newDto": {"errorType": "MissingField", "file": "a.json"}}},
        {"eventData": {"error": "MissingField", "getDownloadUrl": "/organizations/o/x/getDownloadUrl?file=a.json"}},
        {"type": "MissingField", "fileKey": "a.json"},
    ],
)
def test_a_failure_is_read_wherever_its_event_has_it(payload: dict[str, Any]) -> None:
    event = {"id": "e", "eventTime": "2026-03-01T09:00:00Z", "m3terEvent": payload}

    assert IngestFailure.from_m3ter(event) == IngestFailure("e", WHEN, "MissingField", "a.json")


def test_a_failure_that_says_nothing_still_counts() -> None:
    event = {"id": "e", "eventTime": "2026-03-01T09:00:00Z", "m3terEvent": {"eventData": None}}

    assert IngestFailure.from_m3ter(event) == IngestFailure("e", WHEN, "", "")


def test_a_file_of_an_unreadable_measurement_is_read_as_far_as_it_goes() -> None:
    data: dict[str, Any] = {"error": "MissingField", "measurement": {"uid": 7, "account": "a", "ts": "yesterday"}}

    detail = IngestFailureDetail.from_m3ter(data)

    assert detail == IngestFailureDetail("MissingField", None, "a", None, None, data["measurement"])
