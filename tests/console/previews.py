"""Presses Preview on a bill, sees to it that nothing changes by that, and reads the page."""

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from billing_bridge.models import PushedBill
from integration_project.models import CallBudget, Circuit, Finding

Browser = Callable[[str], Client]
BOOKKEEPING = (CallBudget, Circuit, Finding)
"""What any call of a vendor may leave: it is about the calls, and not about a bill."""


def address(bill: PushedBill) -> str:
    return reverse("admin:billing_bridge_pushedbill_preview", args=(bill.pk,))


def everything_kept() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table of ours, and what people did, except the bookkeeping of calls."""
    models: list[type[Model]] = [
        model
        for app in ("billing_bridge", "paddle_sync", "integration_project", "admin", "django_q")
        for model in apps.get_app_config(app).get_models()
        if model not in BOOKKEEPING
    ]
    return {model._meta.label: list(model._default_manager.order_by("pk").values()) for model in models}


def press(browser: Browser, bill: PushedBill, who: str = "Finance") -> Any:
    """Press Preview, and see to it that nothing is changed by that."""
    client = browser(who)
    before = everything_kept()

    answer = client.post(address(bill))

    assert everything_kept() == before
    assert answer.status_code == 200, answer.status_code
    return answer


def said(answer: Any) -> str:
    story = answer.context["story"]
    return " ".join((story.cause, story.effect, *answer.context["notes"], story.next_step))


def panel(answer: Any, title: str) -> Any:
    (found,) = (each for each in answer.context["panels"] if each.title == title)
    return found


def plain(rows: Any) -> list[tuple[str, ...]]:
    """A table's cells without the markup of amounts."""
    strip = '<span class="c-money">', "</span>"
    return [tuple(str(cell).replace(strip[0], "").replace(strip[1], "") for cell in row) for row in rows]


ASKED = "What Paddle would be asked to charge"
COMES_TO = "What Paddle says it comes to"
