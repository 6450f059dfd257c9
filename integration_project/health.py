"""Whether this installation lives, is ready, and what it is doing: read from the database, no counters in memory."""

import hmac
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from integration_project import clock, heartbeats, metrics, migrating, queues, work

OLDEST_BACKLOG = timedelta(minutes=15)
"""Work that has been due for longer than this shows that the workers do not keep up, or do nothing."""
FORWARDING_HEADERS = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip")


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and how it stands, in words."""

    name: str
    ok: bool
    detail: str


@require_safe
@never_cache
def live(request: HttpRequest) -> HttpResponse:
    """Answer as long as this process can answer at all."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def ready(request: HttpRequest) -> HttpResponse:
    """Say whether work that comes in will be done; the details only to those who may know them."""
    checks = run_checks()
    ok = all(check.ok for check in checks)
    answer: dict[str, object] = {"status": "ok" if ok else "not ok"}
    if may_see_details(request):
        answer["checks"] = {check.name: {"ok": check.ok, "detail": check.detail} for check in checks}
    return JsonResponse(answer, status=200 if ok else 503)


@require_safe
@never_cache
def show_metrics(request: HttpRequest) -> HttpResponse:
    """Give the numbers in Prometheus' text format, to those who may see them."""
    if not may_see_details(request):
        return HttpResponse(
            "Send METRICS_TOKEN as a Bearer token.\n", status=401, headers={"WWW-Authenticate": "Bearer"}
        )
    return HttpResponse(metrics.text(), content_type="text/plain; version=0.0.4; charset=utf-8")


def may_see_details(request: HttpRequest) -> bool:
    """Whether the request brings METRICS_TOKEN, or comes from this very machine and through no proxy."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    wanted: str = settings.METRICS_TOKEN
    if wanted and scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), wanted.encode()):
        return True
    if any(header in request.headers for header in FORWARDING_HEADERS):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def run_checks() -> list[Check]:
    """Look at everything readiness depends on; what cannot be looked at is not ready."""
    return [_run(name, look) for name, look in CHECKS.items()]


def _run(name: str, look: Callable[[], tuple[bool, str]]) -> Check:
    try:
        return Check(name, *look())
    except DatabaseError as error:
        return Check(name, False, f"the database does not answer: {type(error).__name__}")


def _database() -> tuple[bool, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True, f"{connection.vendor} answers"


def _migrations() -> tuple[bool, str]:
    missing = migrating.count_missing()
    return not missing, f"{missing} are missing: run manage.py migrate" if missing else "all applied"


def _worker() -> tuple[bool, str]:
    count = heartbeats.count_alive()
    return count > 0, f"{count} alive" if count else "no worker has a heartbeat: run manage.py worker or serve"


def _backlog() -> tuple[bool, str]:
    now = clock.now()
    late = [queue.name for queue in queues.all_queues() if work.has_due(queue, since=now - OLDEST_BACKLOG)]
    if late:
        return False, f"due for more than {OLDEST_BACKLOG.seconds // 60} minutes: {', '.join(late)}"
    return True, "nothing is late"


CHECKS: dict[str, Callable[[], tuple[bool, str]]] = {
    "database": _database,
    "migrations": _migrations,
    "worker": _worker,
    "backlog": _backlog,
}
