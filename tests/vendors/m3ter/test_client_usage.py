"""The m3ter client against the simulated m3ter: usage that was written before it is sent."""

from decimal import Decimal
from typing import Any

import pytest

from integration_project import errors
from integration_project.vendors.m3ter.client import LARGEST_BODY
from integration_project.vendors.m3ter.entities import MeterField
from integration_project.vendors.m3ter.simulator import sample
from tests.vendors.m3ter.client_stage import CODE, ClientStage, new_stage
from tests.vendors.rehearsing import new_rehearsing

BEGIN, END = b'{"measurements":[', b"]}"


@pytest.fixture
def stage() -> ClientStage:
    return new_stage()


def encoded(uid: str = "use-1", *, calls: str = "125", note: str = "") -> bytes:
    """One measurement in a way of writing that no encoder of ours has."""
    text = (
        f'{{ "uid": "{uid}", "meter": "{sample.METER_API_CALLS}", "account": "{CODE}", "ts": "2026-02-24T09:00:00Z",'
        f' "measure": {{"calls": {calls}}}, "what": {{"endpoint": "größe"}}, "metadata": {{"note": "{note}"}} }}'
    )
    return text.encode()


def test_what_is_encoded_already_goes_out_byte_for_byte(stage: ClientStage) -> None:
    stage.account()
    items = [encoded(calls="1.50"), encoded("use-2", calls="0.1")]

    stage.client.submit_encoded(items)

    call = stage.simulator.calls[-1]
    assert (call.operation, call.status) == ("submit measurements", 200)
    assert call.body == BEGIN + items[0] + b"," + items[1] + END
    assert stage.simulator.process_measurements() == {"stored": 2, "failed": 0}
    assert [row["measure"]["calls"] for row in stage.simulator.state()["measurements"]] == [
        Decimal("1.50"),
        Decimal("0.1"),
    ]


@pytest.mark.parametrize("count", [0, 1001])
def test_a_wrong_number_of_encoded_measurements_is_not_sent(stage: ClientStage, count: int) -> None:
    with pytest.raises(errors.Permanent, match=f"not {count} in"):
        stage.client.submit_encoded([encoded(f"use-{number}") for number in range(count)])

    assert stage.operations == []


def two_of(length: int) -> list[bytes]:
    """Two measurements whose body has this many bytes."""
    first, bare = encoded("use-0"), encoded("use-1")
    note = "n" * (length - len(BEGIN + first + b"," + bare + END))
    return [first, encoded("use-1", note=note)]


def test_the_largest_body_that_m3ter_takes_is_sent(stage: ClientStage) -> None:
    with pytest.raises(errors.VendorRejected, match="between 0 and 256 characters"):  # the note, not the body
        stage.client.submit_encoded(two_of(LARGEST_BODY - 1))

    assert len(stage.simulator.calls[-1].body) == LARGEST_BODY - 1


def test_a_body_of_one_byte_more_is_not_sent(stage: ClientStage) -> None:
    with pytest.raises(errors.Permanent, match=f"not 2 in {LARGEST_BODY}"):
        stage.client.submit_encoded(two_of(LARGEST_BODY))

    assert stage.operations == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "too_many", "retry_after": 7}, errors.Temporary),
        ({"kind": "error_before", "status": 503}, errors.Temporary),
        ({"kind": "error_after", "status": 500}, errors.Temporary),
        ({"kind": "lose_answer"}, errors.Temporary),
        ({"kind": "html", "status": 502}, errors.Temporary),
        ({"kind": "firewall"}, errors.NeedsConfiguration),
    ],
)
def test_what_goes_wrong_is_told_as_for_measurements(
    stage: ClientStage, fault: dict[str, Any], error: type[errors.IntegrationError]
) -> None:
    stage.simulator.fault("submit measurements", **fault)

    with pytest.raises(error) as caught:
        stage.client.submit_encoded([encoded()])

    assert type(caught.value) is error
    if isinstance(caught.value, errors.Temporary):
        assert caught.value.retry_after == fault.get("retry_after")


def test_a_malformed_measurement_is_refused_in_m3ter_s_words(stage: ClientStage) -> None:
    with pytest.raises(errors.VendorRejected, match=r"measure\.calls must be a number"):
        stage.client.submit_encoded([encoded(calls='"many"')])


def test_a_dry_run_shows_what_would_be_sent_and_sends_nothing() -> None:
    stage = new_rehearsing()

    stage.run(lambda vendors: vendors.m3ter.submit_encoded([encoded(calls="1.50")]))

    (call,) = stage.written
    assert (call.operation, call.method) == ("submit measurements", "POST")
    assert call.body["measurements"][0]["measure"] == {"calls": Decimal("1.50")}


def test_meters_say_what_a_measurement_may_carry(stage: ClientStage) -> None:
    values = {
        "name": "Transfers",
        "code": "transfers",
        "dataFields": [{"category": "MEASURE", "code": "bytes", "name": "Bytes", "unit": "By"}],
        "derivedFields": [{"category": "COST", "code": "kib", "name": "KiB", "calculation": "bytes / 1024"}],
    }
    stage.simulator.memory.meters.add(values)

    transfers, calls = stage.client.list_meters()

    assert (calls.id, calls.code, calls.product_id) == (sample.METER, "api_calls", sample.PRODUCT_CLOUD)
    assert calls.data_fields == (
        MeterField("calls", "MEASURE", "Calls", "calls", None),
        MeterField("endpoint", "WHAT", "Endpoint", None, None),
    )
    assert (transfers.name, transfers.version, transfers.product_id) == ("Transfers", 1, None)
    assert transfers.derived_fields == (MeterField("kib", "COST", "KiB", None, "bytes / 1024"),)
