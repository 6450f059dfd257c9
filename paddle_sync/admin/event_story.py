"""An event in words: cause, effect, next step."""

from dataclasses import replace
from urllib.parse import urlencode

from django.urls import reverse

from integration_project import showing
from integration_project.showing import Story
from paddle_sync.models import CatalogueEntry, WebhookEvent, WebhookPayload
from paddle_sync.own_events import OWN_TYPES
from paddle_sync.resolving import PLAN_REFUSED

State = WebhookEvent.State
FETCHED = "It was fetched from Paddle's list of events; no webhook had brought it."
MAPPED_KINDS = {
    "price": (CatalogueEntry.Kind.PADDLE_PRICE, "paddle_price_id"),
    "product": (CatalogueEntry.Kind.PADDLE_PRODUCT, "paddle_product_id"),
}


def one_line(event: WebhookEvent) -> str:
    """Name an event for a list of what a decision is about."""
    about = event.paddle_subscription_id or event.subject_id or event.event_id
    return f"{event.event_type} of {about}, {event.get_state_display().lower()}, {showing.exactly(event.received_at)}"


def also_waiting(event: WebhookEvent) -> int:
    """Count the other events that wait for the same thing."""
    same = WebhookEvent.objects.filter(
        state=State.PARKED, waiting_for_kind=event.waiting_for_kind, waiting_for_key=event.waiting_for_key
    )
    return same.exclude(pk=event.pk).count()


def mapping_form(event: WebhookEvent) -> str:
    """Find the mapping form, filled in with what this event waits for; empty when it waits for something else."""
    if event.waiting_for_kind not in MAPPED_KINDS:
        return ""
    _, field = MAPPED_KINDS[event.waiting_for_kind]
    return f"{reverse('admin:paddle_sync_planmapping_add')}?{urlencode({field: event.waiting_for_key})}"


def story(event: WebhookEvent) -> Story:
    """Say what happened, what that means, and what to do; and where no webhook brought it, that too."""
    tell = {State.PARKED: _parked, State.FAILED: _failed}.get(State(event.state), _undisturbed)
    told = tell(event)
    return replace(told, effect=f"{told.effect} {FETCHED}".strip()) if was_fetched(event) else told


def _parked(event: WebhookEvent) -> Story:
    others = also_waiting(event)
    company = f"this event and {others} other{'s' if others != 1 else ''} waiting for it" if others else "this event"
    if event.waiting_for_kind in MAPPED_KINDS:
        kind, _ = MAPPED_KINDS[event.waiting_for_kind]
        name = (
            CatalogueEntry.objects.filter(kind=kind, vendor_id=event.waiting_for_key)
            .values_list("name", flat=True)
            .first()
        )
        called = f'"{name}" ({event.waiting_for_key})' if name else event.waiting_for_key
        return Story(
            "wait",
            f"No m3ter plan is mapped to Paddle {event.waiting_for_kind} {called}.",
            "Nothing was created in m3ter.",
            f"Map the {event.waiting_for_kind}; {company} will then run by {'themselves' if others else 'itself'}.",
        )
    cause = event.last_error or event.note or f"It waits for {event.waiting_for_kind} {event.waiting_for_key}."
    if event.waiting_for_kind == PLAN_REFUSED:
        return Story(
            "wait",
            cause,
            "Nothing more happens to it until the price is mapped to a plan that m3ter takes.",
            f"Change the mapping; {company} will then run by {'themselves' if others else 'itself'}.",
        )
    return Story(
        "wait",
        cause,
        "Nothing more happens to it until that is put right.",
        f"Put right {event.waiting_for_kind} {event.waiting_for_key}. Then replay {company}, or ignore with a reason.",
    )


AFTER_FAILURE = {
    WebhookEvent.FailureKind.PERMANENT: "Repeating it unchanged cannot help. Put right what these words name, then "
    "replay it, or ignore it with a reason.",
    WebhookEvent.FailureKind.EXHAUSTED: "Check whether the vendor works again, then replay it.",
    WebhookEvent.FailureKind.INTERNAL: "This is a fault of this application; its log holds the details. Replay it "
    "after the repair.",
}


def _failed(event: WebhookEvent) -> Story:
    attempts = f"{event.attempts} attempt{'s' if event.attempts != 1 else ''}"
    return Story(
        "bad",
        event.last_error or event.note or "It failed without a word.",
        f"It was given up after {attempts}. What it asks for has not, or not wholly, been done in m3ter.",
        AFTER_FAILURE.get(WebhookEvent.FailureKind(event.failure_kind), "Replay it, or ignore it with a reason."),
    )


def was_fetched(event: WebhookEvent) -> bool:
    """Say whether the event was found in Paddle's list before any webhook brought it: then nobody signed it."""
    if event.event_type in OWN_TYPES:
        return False
    if event.source == WebhookEvent.Source.PADDLE_CLASSIC:
        body = WebhookPayload.objects.filter(event=event).values_list("body", flat=True).first()
        return body is not None and "p_signature=" not in body
    return event.source == WebhookEvent.Source.PADDLE and not event.notification_id


def _undisturbed(event: WebhookEvent) -> Story:
    what = f"{event.get_source_display()} said {event.event_type} {showing.relative(event.received_at)}."
    if event.state == State.PROCESSED:
        return Story("good", f"{what} Done.", event.note)
    if event.state == State.IGNORED:
        return Story("calm", f"{what} Nothing was to be done.", event.note)
    if event.state == State.PROCESSING:
        return Story(
            "calm", f"{what} A worker has it now.", "It ends by itself within seconds; reload the page to see."
        )
    if event.last_error:
        when = f"It is tried again {showing.relative(event.due_at)}." if event.due_at else ""
        return Story(
            "wait",
            f"{what} The last attempt did not work: {event.last_error}",
            when,
            "Nothing to do: it repeats by itself.",
        )
    return Story("calm", f"{what} It waits for a worker.", "It usually runs within a second.")
