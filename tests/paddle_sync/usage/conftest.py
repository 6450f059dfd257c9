"""Fixtures of tests about usage."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from integration_project import api_keys
from integration_project.models import ApiKey, Installation
from integration_project.vendors import exact_json
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync.jobs import refresh_catalogue
from paddle_sync.models import AccountLink
from tests.builders import make_mapping
from tests.paddle_sync.people_rows import BUYER

Run = Callable[[], int]
Send = Callable[..., Any]
ADDRESS = "/api/v1/usage/measurements/"


@pytest.fixture
def link(installation: Installation, paddle: PaddleSimulator, deliver: Run, run_jobs: Run) -> AccountLink:
    """A subscription with its account and plan in m3ter, whose meters are known here."""
    make_mapping()
    paddle.complete_checkout(**BUYER)
    deliver()
    run_jobs()
    refresh_catalogue()
    link = AccountLink.objects.get()
    link.plans.update(starts_at=link.plans.get().starts_at.replace(year=2025))
    return link


@pytest.fixture
def api_key(db: None) -> str:
    """The key of a client that may send usage."""
    return api_keys.make("Product", scopes=[ApiKey.Scope.USAGE_WRITE], calls_per_minute=100_000).text


@pytest.fixture
def send(client: Client, api_key: str) -> Send:
    """Post measurements as that client does; gives the answer."""

    def post(*items: Any, key: str = api_key, idempotency_key: str = "") -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        body = exact_json.encode({"measurements": list(items)})
        return client.post(ADDRESS, data=body, content_type="application/json", headers=headers)

    return post
