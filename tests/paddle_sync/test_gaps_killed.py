"""A gap detector that dies at any vendor call or commit, and is run again: nothing is lost and nothing is doubled."""

import datetime as dt
from collections.abc import Callable

import pytest
from pytest_django import Settings

from integration_project import clock
from integration_project.models import Finding, Installation
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.wsgi import WsgiAdapter
from paddle_sync import gaps, jobs
from paddle_sync.models import AccountLink, ListPosition, WebhookEvent
from tests.billing_bridge.killing import DeadlyAdapter, Killed, Killer, commits_can_kill
from tests.builders import make_mapping
from tests.paddle_sync.seen import open_findings
from tests.paddle_sync.test_gaps import MISSING, buy, destination_is_down, event_types, needed_and_listed

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("installation"),
]

Run = Callable[[], int]


def test_whoever_dies_at_any_call_or_commit_neither_loses_nor_doubles_an_event(
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    adapters: dict[str, WsgiAdapter],
    settings: Settings,
    run_jobs: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Installation.objects.update(pinned_at=clock.now() - dt.timedelta(days=2))
    paddle.clock.move(-dt.timedelta(days=1))
    killer = Killer()
    commits_can_kill(monkeypatch, killer)
    settings.VENDOR_TRANSPORTS = {name: DeadlyAdapter(adapter, killer) for name, adapter in adapters.items()}
    settings.PADDLE_CALLS_PER_MINUTE = 100_000  # so that no run waits for its share, and each passes the same points
    monkeypatch.setattr(gaps, "PAGE", 8)
    make_mapping()
    subscription_id = buy(paddle)
    destination_is_down(paddle)
    dies_at, deaths = 0, []

    while True:
        WebhookEvent.objects.all().delete()
        ListPosition.objects.all().delete()
        Finding.objects.all().delete()
        try:
            with killer.watching(dies_at):
                jobs.fetch_missed_events()
        except Killed as killed:
            deaths.append(str(killed))
        else:
            break
        jobs.fetch_missed_events()
        assert event_types() == needed_and_listed(paddle)
        assert open_findings() in ([MISSING], [])
        dies_at += 1

    assert {name.split()[1] for name in deaths} >= {"GET", "commit"}
    assert deaths.count("before commit") >= 2
    run_jobs()
    assert AccountLink.objects.get().paddle_subscription_id == subscription_id
    assert len(list(m3ter.memory.accounts)) == 1
