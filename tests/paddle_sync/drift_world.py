"""Both vendors in step with one subscription, and how each kind of difference comes about."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from integration_project import clock, fixes
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import comparing, drift
from paddle_sync.models import AccountLink
from tests.builders import make_mapping
from tests.paddle_sync.seen import CLOUD, open_findings

Run = Callable[[], int]


@dataclass
class World:
    """Both vendors and what was bought, all in step."""

    paddle: PaddleSimulator
    m3ter: M3terSimulator
    vendors: Vendors
    subscription_id: str

    @property
    def subscription(self) -> dict[str, Any]:
        return self.paddle.subscriptions[self.subscription_id]

    @property
    def account(self) -> dict[str, Any]:
        (account,) = [row for row in self.m3ter.memory.accounts if row["code"] == self.subscription_id]
        return account

    @property
    def plan(self) -> dict[str, Any]:
        ours = f"{self.subscription_id}:"
        (plan,) = [row for row in self.m3ter.memory.account_plans if row["code"].startswith(ours)]
        return plan

    @property
    def link(self) -> AccountLink:
        return AccountLink.objects.get(paddle_subscription_id=self.subscription_id)


@pytest.fixture
def world(paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, deliver: Run, run_jobs: Run) -> World:
    """A subscription bought yesterday, which everybody agrees on."""
    paddle.clock.move(-dt.timedelta(days=1))
    make_mapping()
    subscription_id = buy(paddle, 1)
    deliver()
    run_jobs()
    return World(paddle, m3ter, vendors, subscription_id)


def buy(paddle: PaddleSimulator, number: int) -> str:
    bought = paddle.complete_checkout(email=f"ap{number}@harbour.example", name=f"Harbour {number}", items=[CLOUD])
    return str(bought["subscription_id"])


def check(world: World) -> list[tuple[str, str]]:
    """Walk a whole round, and say what is open after it."""
    assert drift.check(world.vendors).at_end
    return open_findings()


def fix(kind: str) -> None:
    told = Finding.objects.get(kind=kind, state="open")
    found = fixes.fix_of(kind)
    assert found is not None
    fixes.apply(found, told.pk, by="olga", reason="It was broken.")


# --- What breaks ------------------------------------------------------------------------------------------------------


def lost_webhook(world: World) -> None:
    world.paddle.clock.move(dt.timedelta(hours=2))
    world.paddle.cancel(world.subscription_id)
    world.paddle.outbox.clear()


def account_renamed(world: World) -> None:
    world.m3ter.memory.accounts.change(world.account, {"billEpoch": "2031-05-05"})


def plan_deleted(world: World) -> None:
    world.m3ter.memory.account_plans.remove(world.plan)


def plan_ended(world: World) -> None:
    end = (clock.now() + dt.timedelta(days=3)).isoformat().replace("+00:00", "Z")
    world.m3ter.memory.account_plans.change(world.plan, {"endDate": end})


def mapping_deleted(world: World) -> None:
    for row in list(world.m3ter.memory.external_mappings):
        world.m3ter.memory.external_mappings.remove(row)


BROKEN: dict[str, Callable[[World], None]] = {
    comparing.OUT_OF_STEP: lost_webhook,
    comparing.ACCOUNT_CHANGED: account_renamed,
    comparing.PLAN_MISSING: plan_deleted,
    comparing.PLAN_CHANGED: plan_ended,
    comparing.MAPPING_MISSING: mapping_deleted,
}


def delete_account(world: World) -> str:
    account = world.account
    for plan in list(world.m3ter.memory.account_plans):
        world.m3ter.memory.account_plans.remove(plan)
    world.m3ter.memory.accounts.remove(account)
    return str(account["id"])
