"""An account in words: how the subscription stands, since when, what that means, and what to do next."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from integration_project import showing
from integration_project.models import Finding
from integration_project.pages import happenings
from integration_project.showing import Story
from paddle_sync import own_events
from paddle_sync.models import AccountLink, SubscriptionSnapshot, WebhookEvent

State = WebhookEvent.State
MOST = 100


@dataclass(frozen=True)
class Around:
    """What stands around a link and changes what is to be said of it."""

    findings: int
    parked: int
    failed: int
    synced: WebhookEvent | None
    since: dt.datetime | None
    taken_over_by: AccountLink | None

    @property
    def needs_somebody(self) -> bool:
        """True when something waits for a person."""
        return bool(self.findings or self.parked or self.failed)


def around(link: AccountLink) -> Around:
    """Look at what stands around a link."""
    events = WebhookEvent.objects.filter(paddle_subscription_id=link.paddle_subscription_id)
    is_open = happenings.findings(link).filter(state=Finding.State.OPEN)
    successor = None
    if link.state == AccountLink.State.ENDED:
        others = AccountLink.objects.filter(m3ter_account_id=link.m3ter_account_id, state=AccountLink.State.LIVE)
        successor = others.exclude(pk=link.pk).first()
    return Around(
        findings=is_open[:MOST].count(),
        parked=events.filter(state=State.PARKED)[:MOST].count(),
        failed=events.filter(state=State.FAILED)[:MOST].count(),
        synced=events.filter(event_type=own_events.SYNC).order_by("-occurred_at", "-pk").first(),
        since=_status_since(link),
        taken_over_by=successor,
    )


def _status_since(link: AccountLink) -> dt.datetime | None:
    """When the subscription came to have its status, by the snapshots stored."""
    snapshots = SubscriptionSnapshot.objects.filter(paddle_subscription_id=link.paddle_subscription_id)
    before = snapshots.exclude(data__status=link.paddle_status).order_by("-occurred_at", "-event_id").first()
    same = snapshots.filter(data__status=link.paddle_status)
    if before is not None:
        same = same.filter(occurred_at__gte=before.occurred_at)
    return same.order_by("occurred_at", "event_id").values_list("occurred_at", flat=True).first()


def story(link: AccountLink, stands: Around) -> Story:
    """Say how it stands, what that means, and the next step: first what waits for a person, if anything does."""
    told = _ended(link, stands) if link.state == AccountLink.State.ENDED else _live(link, stands)
    effect = " ".join(part for part in (told.effect, _waiting(stands), last_synced(stands.synced)) if part)
    if stands.needs_somebody:
        return replace(told, tone="bad" if told.tone == "bad" else "wait", effect=effect, next_step=_first(stands))
    return replace(told, effect=effect)


def last_synced(event: WebhookEvent | None) -> str:
    """Say when the account was last looked at anew because somebody asked, and what came of it."""
    if event is None:
        return "Nobody has asked for it to be synced yet."
    match event.state:
        case State.RECEIVED:
            return (
                f"A sync that was asked for {showing.relative(event.occurred_at)} waits for the worker; reload to see."
            )
        case State.PROCESSING:
            return "A sync is under way; reload to see what came of it."
        case State.PARKED | State.FAILED:
            return (
                f"The sync of {showing.relative(event.occurred_at)} did not succeed: {event.last_error or event.note}"
            )
        case _:
            return f"Last synced {showing.relative(event.finished_at or event.occurred_at)}."


def _ended(link: AccountLink, stands: Around) -> Story:
    cause = f"{_who(link)}: the subscription no longer measures into this account."
    if stands.taken_over_by is None:
        return Story("calm", cause, "No bill goes this way.", "Nothing to do.")
    other = stands.taken_over_by.paddle_subscription_id
    effect = f"The account was taken over by subscription {other}; its bills go there."
    return Story("calm", cause, effect, "Nothing to do here: go to the subscription that took over.")


def _live(link: AccountLink, stands: Around) -> Story:
    tell = BY_STATUS.get(link.paddle_status, _active)
    told = tell(link, stands)
    if not link.scheduled_action or link.paddle_status == "canceled":
        return told
    when = f" {showing.relative(link.scheduled_at)} ({showing.exactly(link.scheduled_at)})" if link.scheduled_at else ""
    action, next_step = SCHEDULED.get(link.scheduled_action, (f"is to {link.scheduled_action}", told.next_step))
    return replace(told, effect=f"{told.effect} Paddle says that it {action}{when}.", next_step=next_step)


def _active(link: AccountLink, stands: Around) -> Story:
    status = link.paddle_status or "not known"
    cause = f"{_who(link)} is measured in m3ter under {link.m3ter_account_code}."
    return Story("good", cause, f"In Paddle: {status}. {_renews(link)}", "Nothing to do.")


def _trialing(link: AccountLink, stands: Around) -> Story:
    until = f" until {showing.exactly(link.next_billed_at)}" if link.next_billed_at else ""
    return Story(
        "good",
        f"{_who(link)} is in trial{until}.",
        "Whether its usage is measured meanwhile is the mapping's choice; bills wait until the trial has ended.",
        "Nothing to do: it goes on by itself.",
    )


def _past_due(link: AccountLink, stands: Around) -> Story:
    return Story(
        "wait",
        f"{_who(link)} is past due{_since(stands)}: Paddle could not collect a payment.",
        f"Usage is still measured and nothing was ended; bills wait until it is paid. {_renews(link)}",
        "Nothing to do while Paddle tries again; otherwise ask the customer for another way to pay.",
    )


def _paused(link: AccountLink, stands: Around) -> Story:
    return Story(
        "wait",
        f"{_who(link)} is paused{_since(stands)}.",
        "Its plans ended at the pause and begin again when it is resumed; bills wait.",
        "Nothing to do: a resume in Paddle starts the plans again by itself.",
    )


def _canceled(link: AccountLink, stands: Around) -> Story:
    ended = (
        f" Everything on the account ends at {showing.exactly(link.entities_ended_at)}."
        if link.entities_ended_at
        else ""
    )
    return Story(
        "calm",
        f"{_who(link)} was cancelled{_since(stands, 'at')}.",
        f"No renewal will carry another bill.{ended}",
        "Look whether a bill below is still open: Finance invoices it outside, or skips it with the reason.",
    )


BY_STATUS: dict[str, Callable[[AccountLink, Around], Story]] = {
    "active": _active,
    "trialing": _trialing,
    "past_due": _past_due,
    "paused": _paused,
    "canceled": _canceled,
}
# Scheduled action -> what it does, and the next step.
SCHEDULED: dict[str, tuple[str, str]] = {
    "cancel": (
        "will be cancelled",
        "Nothing to do, if that is meant: plans end with it. What has not been billed by then needs a bill to date.",
    ),
    "pause": ("will be paused", "Nothing to do, if that is meant: plans end at the pause."),
    "resume": ("will be resumed", "Nothing to do: plans begin again at the resume."),
}


def _who(link: AccountLink) -> str:
    return link.name or link.m3ter_account_code


def _renews(link: AccountLink) -> str:
    return f"It renews {showing.relative(link.next_billed_at)}." if link.next_billed_at else "It has no next renewal."


def _since(stands: Around, word: str = "since") -> str:
    return f" {word} {showing.exactly(stands.since)}" if stands.since else ""


def _waiting(stands: Around) -> str:
    counted = (
        (stands.findings, "open finding", "open findings"),
        (stands.parked, "event that waits for a decision", "events that wait for a decision"),
        (stands.failed, "failed event", "failed events"),
    )
    parts = [f"{number} {one if number == 1 else many}" for number, one, many in counted if number]
    return f"It has {', '.join(parts)}." if parts else ""


def _first(stands: Around) -> str:
    if stands.parked:
        return "Decide what its parked events wait for; they then run by themselves."
    if stands.failed:
        return "Look at the failed events: put right what their words name, then replay them, or Sync now."
    return "Look at the open findings: each says what to do about it."


def context_links(link: AccountLink, stands: Around) -> list[tuple[str, Any]]:
    """Name what waits for a person, with the filters of the list that shows it."""
    about = {"paddle_subscription_id": link.paddle_subscription_id}
    found: list[tuple[str, Any]] = []
    if stands.parked:
        found.append((f"Parked events ({stands.parked})", {**about, "state__exact": State.PARKED}))
    if stands.failed:
        found.append((f"Failed events ({stands.failed})", {**about, "state__exact": State.FAILED}))
    return found
