"""The page that moves subscriptions to a mapping: which, from what to what, from when; the reason; then a run."""

import datetime as dt
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from integration_project import clock, installation, showing
from integration_project.ledger_admin import DayInput, LedgerAdmin, ReasonForm
from integration_project.showing import Panel, Story
from paddle_sync import moving
from paddle_sync.admin.asking import Question, ask
from paddle_sync.choosing import Names
from paddle_sync.models import PlanMapping
from paddle_sync.moving import Move

SAMPLE = 20
NOW, NEXT_PERIOD, ON_DAY = "now", "next", "day"


class WhenForm(forms.Form):
    """From which moment the subscriptions move."""

    when = forms.ChoiceField(
        label="From when?",
        choices=((NOW, "Now"), (NEXT_PERIOD, "With each subscription's next period"), (ON_DAY, "From a day")),
        widget=forms.Select(attrs={"class": "c-input"}),
    )
    day = forms.DateField(
        label="Which day?",
        required=False,
        widget=DayInput(),
        help_text="Only for: From a day. It begins at midnight in the organisation's time zone. What was charged for "
        "already is not changed.",
    )

    def clean(self) -> dict[str, Any]:
        """Ask for the day where one is meant."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("when") == ON_DAY and not cleaned.get("day") and "day" not in self.errors:
            self.add_error("day", "Say which day, or choose another moment.")
        return cleaned


def show(page: LedgerAdmin, request: HttpRequest, mapping: PlanMapping) -> HttpResponse:
    """Ask from when, show what would move, then move it. Who may is decided before."""
    back = showing.page_of(mapping)
    title = "Move subscriptions to this mapping"
    when = WhenForm(request.POST if request.method == "POST" else request.GET or {"when": NOW})
    if not when.is_valid():
        return ask(page, request, title=title, back=back, before=[_when(when)])
    moment = _moment(when.cleaned_data)
    moves = moving.moves_of(mapping, moment)
    possible = [move for move in moves if not move.refused]
    why = ReasonForm(request.POST if "reason" in request.POST else None)
    if request.method == "POST" and why.is_valid():
        if request.POST.get("count") == str(len(possible)) and possible:
            return _carry_out(page, request, mapping, possible, moment, why.cleaned_data["reason"])
        text = "What would move has changed since this page was shown. Look again; nothing was moved."
        page.message_user(request, text, messages.WARNING)
        why = ReasonForm()
    questions = []
    if possible:
        seen = {"when": when.cleaned_data["when"], "day": when.cleaned_data["day"] or "", "count": len(possible)}
        hidden = [(name, str(value)) for name, value in seen.items()]
        questions.append(Question(why, f"Move {_subscriptions(possible)}", strong=True, hidden=hidden))
    return ask(
        page,
        request,
        title=title,
        back=back,
        story=_story(mapping, moves, possible),
        before=[_when(when)],
        panels=_panels(moves, possible),
        questions=questions,
    )


def _when(form: WhenForm) -> Question:
    return Question(form, "Show what would move", method="get")


def _moment(answers: dict[str, Any]) -> dt.datetime | None:
    if answers["when"] == NEXT_PERIOD:
        return None
    if answers["when"] == NOW:
        return clock.now()
    zone = installation.zone(installation.current())
    return dt.datetime.combine(answers["day"], dt.time.min, tzinfo=zone).astimezone(dt.UTC)


def _carry_out(
    page: LedgerAdmin,
    request: HttpRequest,
    mapping: PlanMapping,
    possible: list[Move],
    moment: dt.datetime | None,
    reason: str,
) -> HttpResponse:
    by = request.user.get_username()
    when = showing.exactly(moment) if moment else "each subscription's next period"
    words = f"Began to move {_subscriptions(possible)} to it from {when}. Reason: {reason}"
    page.log_change(request, mapping, words)
    run = moving.begin(mapping, possible, by=by, reason=reason)
    page.log_addition(request, run, words)
    return HttpResponseRedirect(showing.page_of(run))


def _story(mapping: PlanMapping, moves: list[Move], possible: list[Move]) -> Story:
    if not moves:
        return Story(
            "good",
            "No live subscription is left to move.",
            "Each that has this price follows this mapping already, or will by an earlier decision.",
        )
    unfit = len(moves) - len(possible)
    left = f"{unfit} cannot be moved then, for the reasons below. " if unfit else ""
    return Story(
        "wait",
        f"{_subscriptions(possible)} would move to {mapping}.",
        f"{left}What was charged until then stays as it is.",
        "A run does it, whose page shows how far it is. Each is read from Paddle anew and its plans in m3ter are made "
        "to match: the old one ends at the moment, the new one begins there.",
    )


def _panels(moves: list[Move], possible: list[Move]) -> list[Panel]:
    refused = [move for move in moves if move.refused]
    names = Names(plan for move in (*possible[:SAMPLE], *refused[:SAMPLE]) for plan in (move.before, move.after))
    panels = []
    if possible:
        rows = [(*_row(move, names), showing.at(move.moves_at)) for move in possible[:SAMPLE]]
        panels.append(_panel("These would move", possible, ("From when",), rows))
    if refused:
        rows = [(*_row(move, names), move.refused) for move in refused[:SAMPLE]]
        panels.append(_panel("These stay as they are", refused, ("Why",), rows))
    return panels


def _panel(title: str, moves: list[Move], last: tuple[str, ...], rows: list[Any]) -> Panel:
    beyond = len(moves) - SAMPLE
    note = f"The first {SAMPLE} of {len(moves)}." if beyond > 0 else ""
    return Panel(
        f"{title}: {len(moves)}", ("Account", "Subscription", "Price", "Now on", "Then on", *last), rows, "", note
    )


def _row(move: Move, names: Names) -> tuple[Any, ...]:
    return (
        move.name,
        showing.paddle_id(move.subscription_id),
        move.price_id,
        names.of(move.before) or "nothing in m3ter",
        names.of(move.after) or "nothing in m3ter",
    )


def _subscriptions(moves: list[Move]) -> str:
    count = len({move.subscription_id for move in moves})
    return f"{count} subscription{'' if count == 1 else 's'}"
