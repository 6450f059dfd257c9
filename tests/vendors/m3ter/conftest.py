"""Fixtures for the simulated m3ter."""

from typing import Any

import pytest

from tests.vendors.m3ter.organisation import Organisation


@pytest.fixture
def organisation() -> Organisation:
    return Organisation()


@pytest.fixture
def subscribed(organisation: Organisation) -> Any:
    """An account in US dollars on the Scale plan since February."""
    account = organisation.account()
    organisation.plan_on(account)
    return account
