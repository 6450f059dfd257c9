"""What the console shows of a dry run: that it is being made, then its sentences and its calls."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from integration_project import clock, heartbeats, showing
from integration_project.showing import Panel
from paddle_sync import rehearsing
from paddle_sync.admin import event_story
from paddle_sync.models import EventRehearsal, WebhookEvent

State = EventRehearsal.State
A_FEW_SECONDS = timedelta(seconds=5)
"""How long a worker may take before the page asks whether there is any."""


@dataclass(frozen=True)
class Shown:
    """One event's dry run, for the page."""

    title: str
    sentences: Sequence[str]
    panels: Sequence[Panel]
    problem: str = ""


def offer(events: Sequence[WebhookEvent], *, url: str, at_once: bool) -> dict[str, Any]:
    """Say what a confirmation page needs to ask for the dry run of these events, or of a sample of them."""
    keys = [event.pk for event in events[: rehearsing.SAMPLE]]
    some = f"Of the {len(events)} events, the first {len(keys)} are tried out. " if len(events) > len(keys) else ""
    return {
        "url": url,
        "keys": keys,
        "when": "at once" if at_once else "when asked",
        "offer": f"{some}A dry run reads from the vendors what the replay would find, and writes nothing.",
    }


def page(rows: Sequence[EventRehearsal]) -> dict[str, Any]:
    """Gather what there is of dry runs that were asked for together."""
    ready = [row for row in rows if row.state == State.DONE]
    done = len(ready) == len(rows)
    late = clock.now() - rows[0].asked_at > A_FEW_SECONDS
    return {
        "done": done,
        "count": len(rows),
        "ready": len(ready),
        "worker_missing": not done and late and heartbeats.count_alive() == 0,
        "shown": [_shown(row) for row in ready],
    }


def _shown(row: EventRehearsal) -> Shown:
    result: dict[str, Any] = row.result or {}
    title = event_story.one_line(row.event)
    if "problem" in result:
        return Shown(title, (), (), str(result["problem"]))
    return Shown(title, result["sentences"], [_calls(result["calls"])])


def _calls(calls: Sequence[dict[str, Any]]) -> Panel:
    return Panel(
        "Vendor calls it would make",
        ("Vendor", "Operation", "Request", "Writes"),
        [
            (
                call["vendor"],
                call["operation"],
                f"{call['method']} {call['path']}",
                showing.line(json.dumps(call["body"], ensure_ascii=False, default=str)) if call["written"] else "-",
            )
            for call in calls
        ],
        empty="It would call nobody.",
    )
