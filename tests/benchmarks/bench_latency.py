"""From webhook to account on an idle system: `serve` with one worker, both vendors on loopback."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from integration_project.vendors.simulation import post_on_loopback
from tests.benchmarks import report
from tests.kill.live import a_product
from tests.kill.programs import needs_proc
from tests.kill.test_serve import check_out, go_live

pytestmark = [pytest.mark.django_db(transaction=True), needs_proc, pytest.mark.timeout(600)]

SUBSCRIPTIONS = 40
PATIENCE = 20.0
IDLE = 1.2
"""Seconds between two checkouts, so that nothing is under way when the next one comes."""


def test_webhook_to_account(tmp_path: Path, settings: Settings) -> None:
    sent_at: dict[str, float] = {}

    def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        envelope = json.loads(body)
        if envelope.get("event_type") == "subscription.created":
            sent_at[envelope["data"]["id"]] = time.monotonic()
        return post_on_loopback(url, body, headers)

    with a_product(tmp_path, seed=0, post=post) as product:
        go_live(product, settings)
        product.connect_webhooks()
        product.start()
        product.wait_until_ready()
        m3ter = product.simulators[1]
        took = []
        for number in range(SUBSCRIPTIONS):
            code = check_out(product, number)
            end = time.monotonic() + PATIENCE
            while all(account["code"] != code for account in m3ter.memory.accounts):
                assert time.monotonic() < end, f"{code} got no account within {PATIENCE:g} s"
                time.sleep(0.005)
            took.append(time.monotonic() - sent_at[code])
            time.sleep(IDLE)

    took = took[2:]  # the first ones fetch a token and open connections
    report.at_most(
        "from webhook to account, 95th percentile",
        1000 * report.percentile(took, 0.95),
        aim=1000,
        unit="ms",
        detail=f"median {1000 * report.percentile(took, 0.5):.0f} ms, {len(took)} checkouts, on {connection.vendor}",
    )
