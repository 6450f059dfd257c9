"""Heartbeats: who is alive is the same for every host, whatever its clock says."""

from datetime import timedelta

import pytest

from integration_project import clock, heartbeats
from integration_project.models import Heartbeat

pytestmark = pytest.mark.django_db


def test_a_worker_is_alive_from_its_first_beat_and_gone_when_it_ends() -> None:
    heartbeats.beat({"busy": 0})
    heartbeats.beat({"busy": 1})

    assert heartbeats.count_alive() == 1
    assert heartbeats.dead_workers() == []
    assert Heartbeat.objects.get().detail == {"busy": 1}

    heartbeats.end()
    assert heartbeats.count_alive() == 0


def test_a_worker_that_was_not_heard_of_is_dead_and_after_a_day_forgotten() -> None:
    heartbeats.beat({})
    Heartbeat.objects.update(seen_at=clock.now() - timedelta(seconds=20))

    assert heartbeats.dead_workers() == [heartbeats.name()]
    assert heartbeats.count_alive() == 0
    assert heartbeats.forget_old_ones() == 0

    Heartbeat.objects.update(seen_at=clock.now() - timedelta(days=2))
    assert heartbeats.forget_old_ones() == 1


@pytest.mark.postgres
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_host_with_a_wrong_clock_takes_nobody_for_dead_and_is_not_taken_for_it(
    hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = clock.now
    monkeypatch.setattr(clock, "now", lambda: right() + timedelta(hours=hours))
    heartbeats.beat({})

    assert heartbeats.dead_workers() == []
    monkeypatch.setattr(clock, "now", right)
    assert heartbeats.dead_workers() == []
    assert heartbeats.count_alive() == 1
