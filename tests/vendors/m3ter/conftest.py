"""Fixtures for the simulated m3ter."""

import pytest

from tests.vendors.m3ter.organisation import Organisation


@pytest.fixture
def organisation() -> Organisation:
    return Organisation()
