"""Health and metrics: what they look at, and who may see the details."""

from datetime import timedelta

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from integration_project import clock, finding
from integration_project.models import Circuit, Heartbeat, WebhookRefusal
from tests.integration_project.work_rows import make_row

pytestmark = pytest.mark.django_db

TOKEN = "a-token-for-metrics"
ELSEWHERE = {"REMOTE_ADDR": "203.0.113.9"}


@pytest.fixture
def worker() -> Heartbeat:
    now = clock.now()
    return Heartbeat.objects.create(name="host:1", started_at=now, seen_at=now)


def test_a_live_process_says_so_without_looking_at_anything(client: Client) -> None:
    answer = client.get("/health/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_an_installation_with_a_worker_and_nothing_late_is_ready(client: Client, worker: Heartbeat) -> None:
    answer = client.get("/health/ready")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "checks": {
            "database": {"ok": True, "detail": answer.json()["checks"]["database"]["detail"]},
            "migrations": {"ok": True, "detail": "all applied"},
            "worker": {"ok": True, "detail": "1 alive"},
            "backlog": {"ok": True, "detail": "nothing is late"},
        },
    }


def test_without_a_living_worker_it_is_not_ready(client: Client, worker: Heartbeat) -> None:
    Heartbeat.objects.update(seen_at=clock.now() - timedelta(seconds=16))

    answer = client.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json()["checks"]["worker"] == {
        "ok": False,
        "detail": "no worker has a heartbeat: run manage.py worker or serve",
    }


def test_with_work_that_is_late_it_is_not_ready(client: Client, worker: Heartbeat) -> None:
    make_row(1, due_in=-16 * 60)

    answer = client.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json()["checks"]["backlog"] == {"ok": False, "detail": "due for more than 15 minutes: events"}


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({}, "203.0.113.9"),
        ({"X-Forwarded-For": "203.0.113.9"}, "127.0.0.1"),
        ({"Forwarded": "for=203.0.113.9"}, "127.0.0.1"),
        ({"X-Real-IP": "203.0.113.9"}, "127.0.0.1"),
        ({"Via": "1.1 proxy"}, "127.0.0.1"),
        ({"Authorization": "Bearer wrong"}, "203.0.113.9"),
        ({"Authorization": "Bearer "}, "203.0.113.9"),
        ({"Authorization": f"Basic {TOKEN}"}, "203.0.113.9"),
        ({}, ""),
    ],
)
def test_from_elsewhere_nothing_but_ready_or_not_is_told(
    client: Client, settings: Settings, worker: Heartbeat, headers: dict[str, str], address: str
) -> None:
    settings.METRICS_TOKEN = TOKEN

    ready = client.get("/health/ready", headers=headers, REMOTE_ADDR=address)
    numbers = client.get("/metrics", headers=headers, REMOTE_ADDR=address)

    assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
    assert numbers.status_code == 401


def test_an_unset_token_lets_nobody_in(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = ""

    answer = client.get("/metrics", headers={"Authorization": "Bearer "}, **ELSEWHERE)  # type: ignore[arg-type]

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"Authorization": f"Bearer {TOKEN}"}, "203.0.113.9"),
        ({"Authorization": f"bearer {TOKEN}", "X-Forwarded-For": "203.0.113.9"}, "127.0.0.1"),
        ({}, "127.0.0.1"),
        ({}, "::1"),
    ],
)
def test_the_token_or_this_very_machine_sees_everything(
    client: Client, settings: Settings, worker: Heartbeat, headers: dict[str, str], address: str
) -> None:
    settings.METRICS_TOKEN = TOKEN

    assert "checks" in client.get("/health/ready", headers=headers, REMOTE_ADDR=address).json()
    assert client.get("/metrics", headers=headers, REMOTE_ADDR=address).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_they_are_only_read(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405


def test_metrics_count_what_is_in_the_database(client: Client, worker: Heartbeat) -> None:
    make_row(1, due_in=-90)
    make_row(2, due_in=+90)
    make_row(3, state="parked", due_at=None)
    finding.report("plan conflict", "sub_1", detail='two plans of one product, "A" and "B"')
    Circuit.objects.create(vendor="paddle", operation="", is_open=True)
    WebhookRefusal.objects.create(
        source="paddle", reason="too old", day=clock.now().date(), count=3, last_at=clock.now()
    )

    answer = client.get("/metrics")

    lines = answer.content.decode().splitlines()
    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "integration_workers 1" in lines
    assert 'integration_queue_due{queue="events"} 1' in lines
    assert 'integration_rows{table="webhookevent",state="received"} 2' in lines
    assert 'integration_rows{table="webhookevent",state="parked"} 1' in lines
    assert 'integration_findings_open{kind="plan conflict",severity="problem"} 1' in lines
    assert 'integration_circuit_open{vendor="paddle",operation=""} 1' in lines
    assert 'integration_webhook_refusals_total{source="paddle",reason="too old"} 3' in lines
    assert "# TYPE integration_webhook_refusals_total counter" in lines
    [oldest] = [line for line in lines if line.startswith('integration_queue_oldest_due_seconds{queue="events"}')]
    assert 89 < float(oldest.split()[-1]) < 120
