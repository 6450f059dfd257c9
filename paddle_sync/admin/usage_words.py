"""Words about files of usage: their states, why rows are not taken, and what a file says, cut to be shown. Pure."""

from collections.abc import Mapping
from typing import Any

from integration_project.showing import Tone
from paddle_sync.models import UsageUpload
from paddle_sync.usage.layouts import VALUES

State = UsageUpload.State
TONES: Mapping[str, Tone] = {
    State.RECEIVING: "calm",
    State.LAYOUT: "wait",
    State.CHECKING: "calm",
    State.RUNNING: "calm",
    State.DECIDING: "wait",
    State.SENDING: "calm",
    State.DONE: "good",
    State.PAUSED: "wait",
    State.DISCARDED: "calm",
    State.FAILED: "bad",
}
REASONS: Mapping[str, str] = {
    "account_astray": "The account was deleted or renamed in m3ter",
    "after_end": "After the plan's end, and not marked after_end",
    "approved": "In a period whose bill is approved, and not marked correction",
    "back_dated": "More than 35 days old, and not marked correction",
    "bad_address": "The id or code of whose usage it is cannot be one",
    "bad_marks": "A mark that does not exist",
    "bad_time": "The time cannot be read, or has no zone",
    "bad_uid": "The uid is empty or too long",
    "before_plan": "From before the account's plan",
    "cancelled": "The subscription was cancelled before it had an account",
    "cannot_tell": "Paddle could not say whether the subscription exists",
    "conflict": "The same uid was taken before with other content",
    "customer_ambiguous": "The customer has more than one live subscription",
    "derived_field": "A field that m3ter calculates itself",
    "ends_before": "It ends before it begins",
    "future": "More than an hour ahead",
    "locked": "In the period of a locked bill, and not marked bill_on_next",
    "long_number": "A number of too many digits",
    "long_text": "A text that is empty or too long",
    "missing_field": "A number of the meter is missing",
    "negative": "A negative amount, and not marked correction",
    "no_address": "Nothing says whose usage it is",
    "no_meter": "Nothing says which meter it is",
    "no_time": "Nothing says when it was",
    "no_uid": "Nothing tells it from others",
    "no_values": "No field of the meter has a value",
    "not_a_number": "Something that is not a number",
    "not_a_text": "Something that is not a text",
    "not_an_object": "It is no item",
    "not_metered": "The subscription is not metered",
    "too_old": "More than 400 days old",
    "two_addresses": "More than one id says whose usage it is",
    "undecided": "The same uid is in another file that is not decided yet",
    "unknown_account": "No account with this code is linked here",
    "unknown_customer": "The customer is not known",
    "unknown_field": "The meter has no such field",
    "unknown_meter": "m3ter has no such meter",
    "unknown_subscription": "The subscription is neither known here nor in Paddle",
    "unreadable": "The row cannot be read",
}
MEANINGS: Mapping[str, str] = {
    "paddle_subscription_id": "Whose usage: Paddle subscription id (sub_...)",
    "paddle_customer_id": "Whose usage: Paddle customer id (ctm_...)",
    "m3ter_account_code": "Whose usage: m3ter account code",
    "uid": "uid: what counts once",
    "meter": "Meter, by its code",
    "ts": "Time: when it was, or began",
    "ets": "End: when it ended",
    "marks": "Marks: correction, after_end, bill_on_next",
}
"""What a column may mean besides a field of the meter."""
MOST_SIGNS = 60
"""Of a cell, where many stand beside each other."""
MOST_IN_WORDS = 300
HIDDEN = "\N{REPLACEMENT CHARACTER}"


SMALL = "m3ter"
"""A name that begins with no capital, wherever it stands."""


def cut(text: object, most: int = MOST_SIGNS) -> str:
    """Show what a file says: one line, not too long, with nothing invisible that could turn the words around."""
    said = str(text)
    short = said[: most + 1].replace("\r\n", " ").replace("\n", " ").replace("\t", " ")
    shown = "".join(sign if sign.isprintable() else HIDDEN for sign in short)
    return f"{shown[:most]}..." if len(said) > most else shown


def sentence(text: str) -> str:
    """Begin with a capital what follows a name elsewhere, and cut it."""
    said = text.strip()
    return cut(said if said.startswith(SMALL) else said[:1].upper() + said[1:], MOST_IN_WORDS)


def reason(code: str) -> str:
    """Say why rows were not taken; a code that this version does not know stays as it is."""
    return REASONS.get(code, cut(code))


def meaning(role: str) -> str:
    """Say what a column means."""
    if role.startswith(VALUES):
        return f"Field {cut(role.removeprefix(VALUES))} of the meter"
    return MEANINGS.get(role, cut(role))


def item(values: Mapping[str, Any]) -> str:
    """Say what a row becomes."""
    parts = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            parts.append(f"{cut(name)}: " + ", ".join(f"{cut(key)} = {cut(part)}" for key, part in value.items()))
        elif isinstance(value, list):
            parts.append(f"{cut(name)}: {cut(', '.join(map(str, value)))}")
        else:
            parts.append(f"{cut(name)}: {cut(value)}")
    return cut("; ".join(parts), MOST_IN_WORDS)


def rows(count: int) -> str:
    """Count rows, as a sentence begins with them."""
    return f"{count:,} row" if count == 1 else f"{count:,} rows"
