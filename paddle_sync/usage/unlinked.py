"""Subscriptions that nobody has told us of: Paddle is asked once for all of a request, and what it has is taken in."""

import re
from collections.abc import Mapping, Sequence

from django.core.cache import cache

from integration_project import installation
from integration_project.connections import open_vendors
from integration_project.errors import IntegrationError
from paddle_sync import intake
from paddle_sync.models import WebhookEvent
from paddle_sync.usage.items import Refusal

FIELD = "paddle_subscription_id"
SHAPE = re.compile(r"sub_[a-z0-9]{26}")
"""How Paddle writes the id of a subscription; nothing else is asked for."""
MOST = 100
"""Subscriptions asked for at once, whatever a client sends."""
REMEMBERED = 60
"""Seconds for which one that Paddle does not have is not asked for again."""
CANNOT_TELL = "cannot_tell"
"""Code of the refusal of usage whose subscription could not be asked about."""
REASON = "usage came for it before any event"


def find(names: Sequence[str], *, keep: bool = True) -> dict[str, Refusal | None]:
    """Say of each why its usage is refused, or None where Paddle has it: then it is taken in, and its usage waits.

    Without `keep` it is only said.
    """
    shaped = [name for name in names if SHAPE.fullmatch(name)]
    asked = [name for name in shaped if cache.get(_cached(name)) is None]
    now, later = asked[:MOST], asked[MOST:]
    answers: dict[str, Refusal | None] = {name: _unknown(name) for name in names}
    answers.update({name: _cannot_tell("too many unknown subscriptions at once") for name in later})
    if now:
        answers.update(_ask(now, keep=keep))
    return answers


def _ask(names: Sequence[str], *, keep: bool) -> Mapping[str, Refusal | None]:
    try:
        installation.require_match(installation.current())
        with open_vendors("look") as vendors:
            found = {str(data["id"]): data for data in vendors.paddle.look_through_subscriptions(ids=names)}
    except IntegrationError as error:
        return {name: _cannot_tell(str(error)) for name in names}
    answers: dict[str, Refusal | None] = {}
    for name in names:
        if name not in found:
            cache.set(_cached(name), True, REMEMBERED)
            answers[name] = _unknown(name)
        elif found[name].get("status") == "canceled":
            answers[name] = Refusal("cancelled", FIELD, f"subscription {name!r} is cancelled and was never measured.")
        else:
            if keep:
                intake.find(WebhookEvent.Source.PADDLE, found[name], by="the usage API", reason=REASON)
            answers[name] = None
    return answers


def _cached(name: str) -> str:
    return f"usage:unknown:{name}"


def _unknown(name: str) -> Refusal:
    return Refusal(
        "unknown_subscription",
        FIELD,
        f"Paddle has no subscription {name!r} in this environment. Compare it with the id in Paddle, which begins with"
        " sub_.",
    )


def _cannot_tell(why: str) -> Refusal:
    return Refusal(
        CANNOT_TELL,
        FIELD,
        f"whether this subscription exists cannot be told now: {why}. Send it again a little later.",
    )
