"""Webhook intake against a bare DRF view that does the same verification and writes the same two rows."""

import itertools
import json
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, transaction
from django.test.client import RequestFactory
from django.urls import path
from pytest_django import Settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from integration_project import clock
from integration_project.vendors.paddle import signature
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.models import WebhookEvent, WebhookPayload
from paddle_sync.views import PaddleWebhookView
from tests.benchmarks import report
from tests.builders import notification, paddle_id, signed, subscription
from tests.kill.live import a_product
from tests.kill.programs import needs_proc
from tests.kill.test_serve import go_live

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

REQUESTS = 400
ROUNDS = 7
A_SECOND = 200
SECONDS = 10
THREADS = 8


class BareView(APIView):
    """What anybody would write first: verify, store the event and its payload, answer."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        """Verify and store."""
        body = request._request.body
        signature.verify(
            body=body,
            header=request.headers.get("paddle-signature"),
            secrets=django_settings.PADDLE_WEBHOOK_SECRETS,
            now=clock.now(),
            tolerance=django_settings.PADDLE_WEBHOOK_TOLERANCE,
        )
        envelope = json.loads(body)
        now = clock.now()
        with transaction.atomic():
            event = WebhookEvent.objects.create(
                source=WebhookEvent.Source.PADDLE,
                event_id=envelope["event_id"],
                event_type=envelope["event_type"],
                notification_id=envelope["notification_id"],
                occurred_at=envelope["occurred_at"],
                received_at=now,
                due_at=now,
                paddle_subscription_id=envelope["data"]["id"],
                paddle_customer_id=envelope["data"]["customer_id"],
                subject_id=envelope["data"]["id"],
                serial_key=envelope["data"]["id"],
            )
            WebhookPayload.objects.create(event=event, body=body.decode())
        return Response({"event_id": envelope["event_id"]})


urlpatterns = [path("bare/", BareView.as_view()), path("ours/", PaddleWebhookView.as_view())]


def bodies(count: int) -> list[bytes]:
    """Write notifications that nobody has sent before."""
    pattern = subscription()
    return [
        json.dumps(notification("subscription.updated", {**pattern, "id": paddle_id("sub")})).encode()
        for _ in range(count)
    ]


def seconds_for(address: str, requests: list[bytes], handler: WSGIHandler) -> float:
    """Run requests through Django, one after the other, and say how long that took."""
    factory = RequestFactory()
    environs: list[dict[str, Any]] = []
    for body in requests:
        request = factory.post(address, data=body, content_type="application/json", headers=signed(body))
        environs.append(request.environ)
    statuses: list[str] = []

    def start_response(status: str, headers: Any, error: Any = None) -> Any:
        statuses.append(status)

    began = time.perf_counter()
    for environ in environs:
        response = handler(environ, start_response)
        b"".join(response)
        response.close()
    took = time.perf_counter() - began
    assert set(statuses) == {"200 OK"}
    return took


def test_intake_against_a_bare_view(settings: Settings) -> None:
    settings.PADDLE_WEBHOOK_SECRETS = [paddle_sample.WEBHOOK_SECRET]
    settings.ROOT_URLCONF = __name__
    handler = WSGIHandler()
    for address in ("/bare/", "/ours/"):
        seconds_for(address, bodies(50), handler)
    ratios = []
    for number in range(ROUNDS):
        order = ("/bare/", "/ours/") if number % 2 else ("/ours/", "/bare/")
        took = {address: seconds_for(address, bodies(REQUESTS), handler) for address in order}
        ratios.append(took["/bare/"] / took["/ours/"])

    report.at_least(
        "webhook intake, in requests of a bare DRF view",
        sorted(ratios)[len(ratios) // 2],
        aim=0.8,
        detail=f"{ROUNDS} rounds of {REQUESTS}, {min(ratios):.2f} to {max(ratios):.2f}, on {connection.vendor}",
    )


@needs_proc
def test_intake_at_two_hundred_requests_a_second(tmp_path: Path, settings: Settings) -> None:
    with a_product(tmp_path, seed=0) as product:
        go_live(product, settings)
        product.start("--no-worker", "--no-access-log")
        product.wait_until_answering()
        _load(product.url, bodies(2 * A_SECOND))
        took = _load(product.url, bodies(A_SECOND * SECONDS))

    assert WebhookEvent.objects.count() == A_SECOND * (SECONDS + 2)
    report.at_most(
        f"webhook intake at {A_SECOND} requests a second, 99th percentile",
        1000 * report.percentile(took, 0.99),
        aim=50,
        unit="ms",
        detail=f"median {1000 * report.percentile(took, 0.5):.1f} ms, {len(took)} requests, on {connection.vendor}",
    )


def _load(url: str, requests: list[bytes]) -> list[float]:
    """Send requests at their appointed times, whatever became of those before, and say how long each took from then."""
    took: list[float] = []
    ticket = itertools.count()
    began = time.perf_counter() + 0.2
    parts = urlsplit(url)

    def send() -> None:
        link = HTTPConnection(parts.hostname or "", parts.port)
        while (number := next(ticket)) < len(requests):
            body = requests[number]
            headers = {"Content-Type": "application/json", **signed(body)}
            appointed = began + number / A_SECOND
            time.sleep(max(0.0, appointed - time.perf_counter()))
            link.request("POST", "/webhooks/paddle/", body, headers)
            answer = link.getresponse()
            answer.read()
            assert answer.status == 200
            took.append(time.perf_counter() - appointed)
        link.close()

    threads = [threading.Thread(target=send) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == len(requests)
    return took
