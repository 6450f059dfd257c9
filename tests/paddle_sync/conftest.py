"""Fixtures of this app's tests."""

from collections.abc import Callable

import pytest

from integration_project.vendors.paddle.simulator import PaddleSimulator
from tests.builders import make_mapping
from tests.paddle_sync.drift_world import world
from tests.paddle_sync.people_rows import BUYER, HARBOUR, Row

__all__ = ["world"]  # a fixture

Run = Callable[[], int]


@pytest.fixture
def bought(paddle: PaddleSimulator, deliver: Run, run_jobs: Run) -> Row:
    """A subscription with its account, bought by a person for nobody else; the vendors' calls for it are forgotten."""
    make_mapping()
    checkout = paddle.complete_checkout(**BUYER)
    deliver()
    run_jobs()
    return dict(checkout)


@pytest.fixture
def bought_for(paddle: PaddleSimulator, deliver: Run, run_jobs: Run) -> Row:
    """The same, bought for a business."""
    make_mapping()
    checkout = paddle.complete_checkout(**BUYER, business=HARBOUR)
    deliver()
    run_jobs()
    return dict(checkout)
