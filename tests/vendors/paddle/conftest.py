"""Fixtures for tests of the Paddle client."""

import pytest

from tests.vendors.paddle.stage import Stage, new_stage


@pytest.fixture
def stage() -> Stage:
    return new_stage()
