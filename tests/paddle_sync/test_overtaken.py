"""An event parked while the mapping it waits for was being saved: found by the schedule, whatever the clocks say."""

import datetime as dt
import threading
from collections.abc import Callable

import pytest
from django.db import connections, transaction
from django.test import Client

from integration_project import clock
from integration_project.models import Installation
from integration_project.vendors.m3ter.simulator import M3terSimulator
from paddle_sync import mappings, parking
from paddle_sync.models import PlanMapping
from tests.builders import make_mapping, notification, post_notification, subscription
from tests.paddle_sync.seen import created

Run = Callable[[], int]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_an_event_worked_on_between_the_saving_of_its_mapping_and_the_commit_is_found(
    installation: Installation, m3ter: M3terSimulator, client: Client, run_jobs: Run
) -> None:
    post_notification(client, notification("subscription.created", subscription()))
    saved, may_commit = threading.Event(), threading.Event()

    def operator() -> None:
        try:
            with transaction.atomic():
                mappings.saved(make_mapping(), by="anna")
                saved.set()
                may_commit.wait(20)
        finally:
            connections.close_all()

    saving = threading.Thread(target=operator)
    saving.start()
    saved.wait(20)
    run_jobs()
    overtaken = created().state
    may_commit.set()
    saving.join(20)
    resumed = parking.resume_overtaken()
    run_jobs()

    assert (overtaken, resumed) == ("parked", 1)
    assert created().state == "processed"


@pytest.mark.django_db
def test_a_clock_that_is_slow_where_mappings_are_saved_hides_no_event(
    installation: Installation, m3ter: M3terSimulator, client: Client, run_jobs: Run
) -> None:
    post_notification(client, notification("subscription.created", subscription()))
    run_jobs()
    make_mapping()
    PlanMapping.objects.update(updated_at=clock.now() - dt.timedelta(seconds=100))

    resumed = parking.resume_overtaken()
    run_jobs()

    assert (resumed, created().state) == (1, "processed")


@pytest.mark.django_db
def test_each_saving_of_a_mapping_that_does_not_help_runs_an_event_again_once(
    installation: Installation, client: Client, run_jobs: Run
) -> None:
    post_notification(client, notification("subscription.created", subscription()))
    run_jobs()
    mapping = make_mapping(effective_from=dt.date(2999, 1, 1))
    resumed = []

    for _ in range(3):
        resumed.append(parking.resume_overtaken())
        run_jobs()
    mapping.note = "looked at again"
    mapping.save()
    for _ in range(3):
        resumed.append(parking.resume_overtaken())
        run_jobs()

    assert resumed == [1, 0, 0, 1, 0, 0]
    assert created().state == "parked"
