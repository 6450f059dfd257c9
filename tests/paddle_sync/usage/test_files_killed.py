"""However often everything is killed and sent again, by however many at once: m3ter counts each good uid once."""

import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import Settings

from integration_project import wakeups
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.wsgi import WsgiAdapter
from paddle_sync.jobs import drain_events
from paddle_sync.models import AccountLink, UsageBatch, UsageUid, UsageUpload
from paddle_sync.usage import file_checking, jobs, receiving, uploads
from tests.billing_bridge.killing import DeadlyAdapter, Killed, Killer, commits_can_kill
from tests.paddle_sync.people_rows import BUYER
from tests.paddle_sync.usage.metered import METER, at, totals
from tests.paddle_sync.usage.sent_files import OnErrors, send, sent_until_done, table
from tests.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

Totals = Counter[tuple[str, str]]
LIVES = 16
FARTHEST = 12
"""Points of a job at which it may be killed; most jobs have fewer and then come to their end."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few rows, so that a short file has many; and what a killed process would not do is not done."""
    monkeypatch.setattr(logging.root.manager, "disable", logging.INFO)  # thousands of calls would be told
    monkeypatch.setattr(file_checking, "CHUNK", 5)
    monkeypatch.setattr(wakeups, "QUIET", 0.0)  # or how many points there are would hang on the time
    monkeypatch.setattr(receiving, "_forget", lambda upload: None)


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch, settings: Settings, adapters: dict[str, WsgiAdapter]) -> Killer:
    killer = Killer()
    settings.VENDOR_TRANSPORTS = {name: DeadlyAdapter(adapter, killer) for name, adapter in adapters.items()}
    commits_can_kill(monkeypatch, killer)
    return killer


@dataclass
class World:
    """Subscriptions to measure: two with accounts, and one that only Paddle knows yet."""

    subscriptions: tuple[str, ...]
    chance: random.Random

    def file(self, number: int) -> tuple[bytes, dict[tuple[str, str], int]]:
        """A file, and what it adds: rows shared with other files, its own, repeats, conflicts, and wrong ones."""
        good: dict[tuple[str, str], int] = {}
        rows: list[dict[str, object]] = []
        for place in range(self.chance.randint(12, 40)):
            shared = self.chance.random() < 0.3
            uid = f"shared-{self.chance.randint(0, 15)}" if shared else f"own-{number}-{place}"
            subscription = self.chance.choice(self.subscriptions)
            calls = 1 + int.from_bytes(f"{uid}{subscription}".encode()[-3:], "big") % 50
            rows.append(self._row(uid, subscription, calls))
            good[subscription, uid] = calls
            if self.chance.random() < 0.3:
                again = self.chance.choice(rows)
                rows.append(dict(again))
            if not shared and self.chance.random() < 0.2:
                rows.append(self._row(uid, subscription, calls + 1))  # a conflict, after what counts
            if self.chance.random() < 0.2:
                rows.append(self._wrong())
        return table(rows), good

    def _row(self, uid: str, subscription: str, calls: object) -> dict[str, object]:
        ts = at(hours=4)
        return {
            "uid": uid, "paddle_subscription_id": subscription, "meter": METER, "ts": ts, "values.calls": calls,
        }  # fmt: skip

    def _wrong(self) -> dict[str, object]:
        wrong: dict[str, object] = self.chance.choice(
            [{"values.calls": "1,5"}, {"meter": "none"}, {"ts": "today"}, {"paddle_subscription_id": "sub_none"}]
        )
        return {**self._row(f"wrong-{self.chance.random()}", self.subscriptions[0], 1), **wrong}


@pytest.fixture
def world(link: AccountLink, paddle: PaddleSimulator, deliver: Callable[[], int], run_jobs: Callable[[], int]) -> World:
    def complete(name: str) -> str:
        found: str = paddle.complete_checkout(**{**BUYER, "email": f"{name}@harbour.example"})["subscription_id"]
        return found

    second = complete("second")
    deliver()
    run_jobs()
    plan = AccountLink.objects.get(paddle_subscription_id=second).plans.get()
    AccountLink.objects.get(paddle_subscription_id=second).plans.update(starts_at=plan.starts_at.replace(year=2025))
    return World((link.paddle_subscription_id, second, complete("third")), random.Random())


def expected(good: dict[tuple[str, str], int]) -> Totals:
    counted: Totals = Counter()
    for (subscription, _), calls in good.items():
        code = AccountLink.objects.get(paddle_subscription_id=subscription).m3ter_account_code
        counted[code, METER] += calls
    return counted


def alive_again() -> None:
    """Everything goes on to its end, with nobody killed any more."""
    sent_until_done()
    for upload in UsageUpload.objects.filter(state=UsageUpload.State.DECIDING):
        uploads.release(upload, by="ann")
    sent_until_done()
    drain_events()
    for link in AccountLink.objects.all():
        plan = link.plans.get()
        link.plans.update(starts_at=plan.starts_at.replace(year=2025))
    sent_until_done()


def decided() -> None:
    """A person sends the good rows of the first file that waits for somebody."""
    upload = UsageUpload.objects.filter(state=UsageUpload.State.DECIDING).first()
    if upload is not None:
        uploads.release(upload, by="ann")


def received(contents: list[bytes], chance: random.Random) -> Callable[[], object]:
    content = chance.choice(contents)
    on_errors = chance.choice([OnErrors.SEND_GOOD, OnErrors.ASK])
    return lambda: send(content, "again.csv", on_errors=on_errors)


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.chaos) for seed in range(4, 200))])
def test_generated_files_are_counted_once_although_everything_is_killed(
    world: World, m3ter: M3terSimulator, killer: Killer, seed: int
) -> None:
    world.chance.seed(seed)
    chance = random.Random(seed)
    files = [world.file(number) for number in range(3)]
    good = {key: calls for _, each in files for key, calls in each.items()}
    contents = [content for content, _ in files]
    killed = 0
    for _ in contents:
        received(contents, chance)()
    for _ in range(LIVES):
        work: Any = chance.choice(
            [jobs.check_files, jobs.check_files, jobs.send, jobs.follow_files, decided, received(contents, chance)]
        )
        try:
            with killer.watching(chance.randint(0, FARTHEST)):
                work()
        except Killed:
            killed += 1
            UsageUpload.objects.filter(state="running").update(state="checking", lease=None, lease_until=None)
            UsageUpload.objects.filter(state="checking").update(due_at="2026-01-01T00:00:00Z")
            UsageBatch.objects.filter(state="sending").update(state="ready", lease=None, due_at="2026-01-01T00:00:00Z")
    for content in [*contents, *contents]:
        send(content, on_errors=OnErrors.SEND_GOOD)
    alive_again()

    assert killed >= LIVES / 4
    assert totals(m3ter) == expected(good)
    assert UsageUid.objects.count() == len(good)
    assert len(m3ter.memory.measurements) == len(good)
    assert {account["code"] for account in m3ter.memory.accounts} == {code for code, _ in expected(good)}
    assert set(UsageUpload.objects.exclude(state="receiving").values_list("state", flat=True)) == {"done"}


def test_a_file_is_counted_once_wherever_its_way_is_cut(
    link: AccountLink, m3ter: M3terSimulator, killer: Killer
) -> None:
    points = Counter[str]()
    counted = Decimal(0)
    for dies_at in range(300):
        rows = [
            {"uid": f"{dies_at}-{number}", "paddle_subscription_id": link.paddle_subscription_id, "meter": METER,
             "ts": at(hours=4), "values.calls": number}
            for number in range(1, 8)
        ]  # fmt: skip
        content = table([*rows, rows[3], {**rows[0], "values.calls": 99}])
        counted += sum(range(1, 8))
        earlier = set(UsageUpload.objects.values_list("pk", flat=True))
        try:
            with killer.watching(dies_at):
                send(content, on_errors=OnErrors.SEND_GOOD)
                jobs.check_files()
                jobs.send()
                jobs.follow_files()
            survived = True
        except Killed as killed:
            survived = False
            points[str(killed)[:12]] += 1
            send(content, on_errors=OnErrors.SEND_GOOD)
            sent_until_done()
        assert totals(m3ter) == {(link.m3ter_account_code, METER): counted}, dies_at
        told = UsageUpload.objects.exclude(pk__in=earlier).values_list("accepted", flat=True)
        assert sum(told) == len(rows), dies_at
        if survived:
            break

    assert survived
    assert points["before commi"] >= 5
    assert points["before POST "] >= 1
    assert points["after POST /"] >= 1


def test_the_same_file_sent_and_checked_by_two_at_once_is_counted_once(world: World, m3ter: M3terSimulator) -> None:
    world.chance.seed(7)
    files = [world.file(number) for number in range(2)]
    good = {key: calls for _, each in files for key, calls in each.items()}

    def client() -> None:
        for content, _ in files:
            send(content, on_errors=OnErrors.SEND_GOOD)

    def worker() -> None:
        for _ in range(6):
            jobs.check_files()
            jobs.follow_files()
            UsageUpload.objects.filter(state="checking").update(due_at="2026-01-01T00:00:00Z")

    raised = [*at_once(client, client), *at_once(worker, worker)]
    alive_again()

    assert raised == []
    assert totals(m3ter) == expected(good)
    assert len(m3ter.memory.measurements) == len(good)
