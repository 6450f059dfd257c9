"""A checkout in Paddle becomes an account with its plan in m3ter: the whole way, with real webhooks."""

from collections.abc import Callable

import pytest

from integration_project.models import Installation
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.models import AccountLink
from tests.builders import make_mapping

pytestmark = pytest.mark.django_db

CLOUD = [{"price_id": paddle_sample.PRICE_CLOUD_EUR, "quantity": 1}]


def test_a_checkout_becomes_an_account_with_its_plan(
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    installation: Installation,
    deliver: Callable[[], int],
    run_jobs: Callable[[], int],
) -> None:
    make_mapping()
    bought = paddle.complete_checkout(email="ap@harbour.example", name="Harbour Tools", items=CLOUD)

    deliver()
    run_jobs()

    link = AccountLink.objects.get()
    assert link.paddle_subscription_id == bought["subscription_id"]
    assert [row["code"] for row in m3ter.memory.accounts] == [bought["subscription_id"]]
    assert [row["planId"] for row in m3ter.memory.account_plans] == [m3ter_sample.PLAN_SCALE]
