"""No secret stands in a log line, whoever wrote it."""

import json
import logging

import pytest
from pytest_django import Settings

from integration_project import logs

TOKEN = "t0ken" * 8


def record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("name", logging.INFO, "file", 1, message, args, None)


@pytest.mark.parametrize(
    "secret",
    [
        f"POST /webhooks/m3ter/{TOKEN}/ 200",
        f"key pdl_sdbx_apikey_{TOKEN}",
        f"Authorization: Bearer {TOKEN}",
        f"vendor_id=1&vendor_auth_code={TOKEN}",
    ],
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


@pytest.mark.parametrize(
    "path",
    [
        "/webhooks/m3ter//{}/",
        "/webhooks//m3ter/{}/",
        "/webhook/m3ter/{}/",
        "/Webhooks/m3ter/{}/",
        "/{}/",
        "/webhooks%2Fm3ter%2F{}%2F",
        "/webhooks/m3ter%2f{}/?next={}",
    ],
)
def test_a_configured_token_is_masked_however_the_path_is_written(path: str, settings: Settings) -> None:
    settings.M3TER_WEBHOOK_TOKENS = ["another" * 8, TOKEN]

    assert TOKEN not in logs.mask(f'127.0.0.1 "POST {path.format(TOKEN, TOKEN)} HTTP/1.1" 404')


def test_a_configured_token_is_masked_where_a_client_wrote_its_letters_as_numbers(settings: Settings) -> None:
    settings.M3TER_WEBHOOK_TOKENS = [TOKEN]

    assert logs.mask(f"POST /webhooks/m3ter%2F%74{TOKEN[1:]}/ 200") == "POST /webhooks/m3ter/***/ 200"


@pytest.mark.parametrize(
    "name", ["PADDLE_API_KEY", "PADDLE_CLASSIC_VENDOR_AUTH_CODE", "M3TER_API_SECRET", "METRICS_TOKEN", "SECRET_KEY"]
)
def test_every_configured_secret_is_masked_in_any_words(name: str, settings: Settings) -> None:
    setattr(settings, name, "some-word-of-ours")

    assert logs.mask("m3ter refused some-word-of-ours today") == "m3ter refused *** today"


def test_a_setting_that_is_empty_or_short_masks_nothing(settings: Settings) -> None:
    settings.METRICS_TOKEN, settings.M3TER_API_SECRET = "", "work"

    assert logs.mask("work goes on") == "work goes on"
