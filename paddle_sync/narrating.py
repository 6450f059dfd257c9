"""What a dry run would do, in sentences for people. Pure: names are handed in, personal data comes masked."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from integration_project.vendors.rehearsal import NEW, PlannedCall
from paddle_sync.models import WebhookEvent

State = WebhookEvent.State
Names = Mapping[str, str]

FIELDS = {
    "name": "the name",
    "emailAddress": "the e-mail address",
    "address": "the address",
    "currency": "the currency",
    "billEpoch": "the bill date",
    "customFields": "the custom fields",
    "endDate": "the end",
    "startDate": "the start",
    "code": "the code",
    "value": "the count",
}
OUTCOMES = {
    State.PROCESSED: "The event would then be processed",
    State.IGNORED: "would skip",
    State.PARKED: "would wait for a person",
    State.FAILED: "would fail",
    State.RECEIVED: "would be tried again later",
}


def sentences(calls: Sequence[PlannedCall], state: str, note: str, names: Names) -> tuple[str, ...]:
    """Say each write, and what would become of the event."""
    told = [WORDS.get(call.operation, _anything)(call, names) for call in calls if call.written]
    if not told and state == State.PROCESSED:
        told = ["would change nothing at the vendors"]
    return (*told, f"{OUTCOMES[State(state)]}: {note}" if note else OUTCOMES[State(state)])


def _account_made(call: PlannedCall, names: Names) -> str:
    body = call.body
    currency = f" in {body['currency']}" if body.get("currency") else ""
    epoch = f" with bill date {body['billEpoch']}" if body.get("billEpoch") else ""
    return f"would create account {body.get('code')}{currency}{epoch}"


def _account_changed(call: PlannedCall, names: Names) -> str:
    return f"would change {_fields(call)} of account {call.body.get('code') or _last(call)}"


def _entities_ended(call: PlannedCall, names: Names) -> str:
    return f"would end everything on account {_before_last(call)} at {_moment(call.body.get('endDate'))}"


def _plan_put(call: PlannedCall, names: Names) -> str:
    until = f" until {_moment(call.body['endDate'])}" if call.body.get("endDate") else ""
    plan, where, start = _plan(call.body, names), _where(call.body), _moment(call.body.get("startDate"))
    return f"would put {plan} on {where} from {start}{until}"


def _plan_changed(call: PlannedCall, names: Names) -> str:
    plan = _plan({**call.before, **call.body}, names)
    others = tuple(name for name in call.changed if name != "endDate")
    told = []
    if call.body.get("endDate") and ("endDate" in call.changed or not call.before):
        told.append(f"end {plan} at {_moment(call.body['endDate'])}")
    elif call.before.get("endDate") and not call.body.get("endDate"):
        told.append(f"let {plan} run without an end")
    if others or not told:
        told.append(f"change {_fields(call, others)} of {plan}")
    return f"would {' and '.join(told)}"


def _plan_replaced(call: PlannedCall, names: Names) -> str:
    old = _plan(call.before, names) if call.before else f"plan {_before_last(call)}"
    return f"would replace {old} by {_plan(call.body, names)} from {_moment(call.body.get('startDate'))}"


def _plan_deleted(call: PlannedCall, names: Names) -> str:
    return f"would take {_plan(call.before, names) if call.before else f'plan {_last(call)}'} off its account"


def _mapped(call: PlannedCall, names: Names) -> str:
    body = call.body
    return f"would note in m3ter that {_account(body.get('m3terId'))} is {body.get('externalId')} in Paddle"


def _counted(call: PlannedCall, names: Names) -> str:
    body = {**call.before, **call.body}
    return f"would set counter {_named(body.get('counterId'), names)} to {body.get('value')} on {body.get('date')}"


def _uncounted(call: PlannedCall, names: Names) -> str:
    body = call.before
    counter = f"counter {_named(body['counterId'], names)} on {body.get('date')}" if body else f"counter {_last(call)}"
    return f"would take back what was set for {counter}"


def _charged(call: PlannedCall, names: Names) -> str:
    return f"would charge subscription {_before_last(call)}"


def _locked(call: PlannedCall, names: Names) -> str:
    return f"would lock bill {_before_last(call)} in m3ter"


def _anything(call: PlannedCall, names: Names) -> str:
    return f"would {call.operation}"


WORDS: Mapping[str, Callable[[PlannedCall, Names], str]] = {
    "create account": _account_made,
    "update account": _account_changed,
    "end account billing entities": _entities_ended,
    "create account plan": _plan_put,
    "update account plan": _plan_changed,
    "replace account plan": _plan_replaced,
    "delete account plan": _plan_deleted,
    "create external mapping": _mapped,
    "create counter adjustment": _counted,
    "update counter adjustment": _counted,
    "delete counter adjustment": _uncounted,
    "charge subscription": _charged,
    "lock bill": _locked,
}


def _plan(body: Mapping[str, Any], names: Names) -> str:
    if body.get("planGroupId"):
        return f"plan group {_named(body['planGroupId'], names)}"
    return f"plan {_named(body.get('planId'), names)}"


def _named(vendor_id: Any, names: Names) -> str:
    return names.get(str(vendor_id)) or str(vendor_id or "")


def _where(body: Mapping[str, Any]) -> str:
    account_id = str(body.get("accountId") or "")
    return "it" if NEW.fullmatch(account_id) else f"account {account_id}"


def _account(account_id: Any) -> str:
    return "it" if NEW.fullmatch(str(account_id)) else f"account {account_id}"


def _fields(call: PlannedCall, fields: Sequence[str] | None = None) -> str:
    """Name what changes; what is not personal with its new value."""
    chosen = call.changed if fields is None else fields
    told = [f"{FIELDS.get(name, name)}{_to(name, call.body[name])}" for name in chosen]
    return " and ".join(told) or "nothing"


def _to(name: str, value: Any) -> str:
    if name in {"billEpoch", "currency"}:
        return f" to {value}"
    return ""


def _moment(text: Any) -> str:
    """Write a moment for people; what is no moment stays as it is."""
    try:
        at = datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return str(text)
    return f"{at.day} {at:%B %Y %H:%M} UTC"


def _last(call: PlannedCall) -> str:
    return call.path.rsplit("/", 1)[-1]


def _before_last(call: PlannedCall) -> str:
    return call.path.split("/")[-2]
