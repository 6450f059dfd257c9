"""Fixtures of tests about usage."""

from collections.abc import Callable

import pytest

from integration_project.models import Installation
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync.jobs import refresh_catalogue
from paddle_sync.models import AccountLink
from tests.builders import make_mapping
from tests.paddle_sync.people_rows import BUYER

Run = Callable[[], int]


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
