"""A request that nobody may believe is refused, also while the database is away and cannot count it."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from pytest_django import Settings

from tests.conftest import M3TER_WEBHOOK_TOKEN


@pytest.fixture
def database_away(db: None, settings: Settings) -> Iterator[None]:
    """Let every statement fail as it does while the database's host is away."""
    settings.PADDLE_WEBHOOK_SECRETS = ["pdl_ntfset_of_this_test"]
    settings.M3TER_WEBHOOK_TOKENS = [M3TER_WEBHOOK_TOKEN]

    def fail(execute: object, sql: str, params: Any, many: bool, context: Any) -> Any:
        raise OperationalError("connection refused")

    with connection.execute_wrapper(fail):
        yield


@pytest.mark.usefixtures("database_away")
@pytest.mark.parametrize(("path", "status"), [("/webhooks/paddle/", 401), (f"/webhooks/m3ter/{'w' * 40}/", 404)])
def test_a_wrong_sender_is_refused_although_the_refusal_cannot_be_counted(
    path: str, status: int, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    signed = {"Paddle-Signature": "ts=1;h1=a"}

    with caplog.at_level(logging.WARNING, logger="integration_project.webhooks"):
        answer = client.post(path, data=b"{}", content_type="application/json", headers=signed)

    assert answer.status_code == status
    assert [record.message for record in caplog.records if "could not be counted" in record.message]
