"""Paddle Classic's error codes and what each means for us: one table, by code; the status counts only without one.

Classic answers 200 whether it did the work or not; `success` says which.
"""

from collections.abc import Mapping
from typing import Any

from integration_project.vendors.http import Answer, Policy, Ruling

IN_A_WHILE = 10 * 60.0
A_MINUTE = 60.0

POLICIES: Mapping[str, Policy] = {
    # Not done, and may succeed later.
    "146": Policy.LATER,  # the current invoice is being processed
    "151": Policy.LATER,  # the subscription cannot be updated now
    "189": Policy.LATER,  # too many charges
    # May have been done: look before anything else.
    "120": Policy.LOOK_FIRST,  # internal error
    # Not done; a person decides how to go on.
    "188": Policy.PERSON,  # the payment was declined
    "190": Policy.PERSON,  # no payment method
    "192": Policy.PERSON,  # no other change while it is being paused
    "194": Policy.PERSON,  # not while it is paused
    "196": Policy.PERSON,  # past due: no change of plan
    "199": Policy.PERSON,  # past due: only pause and passthrough
    # There is no such thing.
    "108": Policy.NOT_FOUND,  # product
    "110": Policy.NOT_FOUND,  # purchase
    "119": Policy.NOT_FOUND,  # subscription
    "121": Policy.NOT_FOUND,  # payment
    "123": Policy.NOT_FOUND,  # modifier
    "154": Policy.NOT_FOUND,  # order
    # Changed by something else meanwhile.
    "124": Policy.CONFLICT,  # the modifier is paid and cannot be changed
    # Not done, and never will be as it stands.
    "101": Policy.PERMANENT,  # bad method call
    "109": Policy.PERMANENT,  # currency
    "116": Policy.PERMANENT,  # a required argument is missing
    "118": Policy.PERMANENT,  # price too low
    "122": Policy.PERMANENT,  # date
    "125": Policy.PERMANENT,  # price in the main currency is missing
    "143": Policy.PERMANENT,  # recurring price too low
    "149": Policy.PERMANENT,  # plan interval
    "150": Policy.PERMANENT,  # initial price too low
    "152": Policy.PERMANENT,  # no change of plan in a trial
    "155": Policy.PERMANENT,  # amount
    "156": Policy.PERMANENT,  # the order cannot be refunded
    "172": Policy.PERMANENT,  # it can no longer be refunded
    "173": Policy.PERMANENT,  # no quantities
    "174": Policy.PERMANENT,  # the plan lacks the currency
    "181": Policy.PERMANENT,  # charge_name has more than 50 characters
    "182": Policy.PERMANENT,  # the subscription's id is no number
    "183": Policy.PERMANENT,  # a charge of nothing, or less
    "185": Policy.PERMANENT,  # billing cycles exceeded
    "186": Policy.PERMANENT,  # below the minimum
    "187": Policy.PERMANENT,  # the subscription is deleted
    "191": Policy.PERMANENT,  # offset without limit
    "193": Policy.PERMANENT,  # it cannot be paused
    "195": Policy.PERMANENT,  # cancellation reason
    "197": Policy.PERMANENT,  # the subscription is not active
    "198": Policy.PERMANENT,  # plan
    # The key. A guess, here and nowhere else: that 107 is what a wrong pair of vendor id and auth code gets.
    "102": Policy.KEY_REFUSED,
    "107": Policy.KEY_REFUSED,
    "184": Policy.PERMISSION_MISSING,
    # Licences, tokens, affiliates, coupons, products and fulfilment: of operations that we never call.
    **dict.fromkeys(
        [
            *("100", "103", "104", "105", "106", "111", "112", "113", "114", "115", "117", "126"),
            *(str(code) for code in (*range(127, 143), 144, 145, 147, 148, 153)),
            *(str(code) for code in (*range(157, 172), *range(175, 181))),
        ],
        Policy.PERMANENT,
    ),
}
"""Every code that Paddle publishes: 100 to 199."""

WAITS: Mapping[str, float] = {"146": IN_A_WHILE, "151": IN_A_WHILE, "189": A_MINUTE}
"""Seconds after which trying again makes sense; Classic never says."""

STATUSES: Mapping[int, Policy] = {
    401: Policy.KEY_REFUSED,
    404: Policy.NOT_FOUND,
    408: Policy.LOOK_FIRST,
    429: Policy.LATER,
}
"""For answers without a code, which do not come from Classic itself."""


def is_refusal(answer: Answer) -> bool:
    """Say whether Classic refuses: with `success: false`, whatever the status."""
    return not answer.ok or (isinstance(answer.json, dict) and answer.json.get("success") is False)


def judge(answer: Answer) -> Ruling:
    """Say what a refusal of Classic's means. A 5xx is never proof that nothing happened, whatever its code.

    Only an error with a code is certain: anything else may come from something between us.
    """
    error = _error(answer)
    code = _code(error)
    policy = POLICIES.get(code) or (Policy.PERMANENT if code else _by_status(answer))
    if answer.status >= 500 or 300 <= answer.status < 400:
        policy = Policy.LOOK_FIRST
    return Ruling(policy, code, _words(answer, error), WAITS.get(code), certain=bool(code) or answer.status == 429)


def _by_status(answer: Answer) -> Policy:
    """Without a code: what a refusal without a reason means is unknown, and a 403 may come from a firewall."""
    if answer.ok or answer.status == 403:
        return Policy.LOOK_FIRST
    return STATUSES.get(answer.status, Policy.PERMANENT)


def _error(answer: Answer) -> Mapping[str, Any]:
    error = answer.json.get("error") if isinstance(answer.json, dict) else None
    return error if isinstance(error, dict) else {}


def _code(error: Mapping[str, Any]) -> str:
    """The number as a text; Classic writes it as a number."""
    code = str(error.get("code"))
    return code if code.isascii() and code.isdigit() and len(code) < 10 else ""


def _words(answer: Answer, error: Mapping[str, Any]) -> str:
    message = error.get("message")
    if isinstance(message, str) and message:
        return message
    return "no reason given" if error else answer.in_words
