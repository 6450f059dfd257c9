"""No secret stands in a log line, whoever wrote it."""

import json
import logging

import pytest

from integration_project import logs

TOKEN = "t0ken" * 8


def record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("name", logging.INFO, "file", 1, message, args, None)


@pytest.mark.parametrize(
    "secret",
    [f"POST /webhooks/m3ter/{TOKEN}/ 200", f"key pdl_sdbx_apikey_{TOKEN}", f"Authorization: Bearer {TOKEN}"],
)
def test_secrets_are_masked_wherever_they_stand(secret: str) -> None:
    line = record("%s", secret)

    assert logs.MaskSecrets().filter(line)

    assert TOKEN not in line.getMessage()
    assert "***" in line.getMessage()


def test_a_traceback_is_masked_too() -> None:
    try:
        raise ValueError(f"/webhooks/m3ter/{TOKEN}/")
    except ValueError as error:
        line = logging.LogRecord(
            "name", logging.ERROR, "file", 1, "failed", (), (ValueError, error, error.__traceback__)
        )

    logs.MaskSecrets().filter(line)

    assert TOKEN not in logging.Formatter().format(line)


def test_a_json_line_is_one_object() -> None:
    line = json.loads(logs.JsonFormatter().format(record("stored %s", "evt_1")))

    assert line["message"] == "stored evt_1"
    assert line["level"] == "INFO"


def test_an_error_report_leaves_without_body_headers_and_tokens() -> None:
    report = logs.scrub(
        {"request": {"url": f"https://host/webhooks/m3ter/{TOKEN}/", "data": "body", "headers": {"A": "b"}}}, {}
    )

    assert report == {"request": {"url": "https://host/webhooks/m3ter/***/"}}
