"""What m3ter's refusals mean for us. It sends no codes, only a `message`: statuses, and a few phrases to guess by."""

import re

from integration_project.errors import Conflict, IntegrationError, Temporary, VendorRejected
from integration_project.vendors.http import Answer, Policy, Ruling

STATUSES = {
    401: Policy.KEY_REFUSED,
    403: Policy.KEY_REFUSED,
    404: Policy.NOT_FOUND,
    408: Policy.LOOK_FIRST,
    409: Policy.CONFLICT,
    429: Policy.LATER,
}

# A guess, since m3ter publishes neither status nor wording for these three: a code that is taken, a stale `version`, a
# plan that overlaps. 409 counts as such without a word; 400 and 422 only with one of these phrases. Whoever creates
# something looks it up after any refusal, so a phrase missing here costs a clearer message and nothing else.
CONFLICT_PHRASES = re.compile(
    r"already (?:exists|in use|taken|used|has)|duplicate|must be unique|not unique|version|overlap", re.IGNORECASE
)
FIREWALL = "blocked by a firewall"
"""The code we give m3ter's non-JSON 403: text of this one row looked like SQL or markup, or its body was too large."""
FIREWALL_SAID = (
    "a firewall in front of m3ter refused what this row would send, most likely a name or an address in it that looks"
    " like code. Change that text in Paddle, or ask m3ter to let it pass; then run this again"
)


def judge(answer: Answer) -> Ruling:
    """Say what a refusal of m3ter's means. A 5xx is never proof that nothing happened."""
    message = answer.json.get("message") if isinstance(answer.json, dict) else None
    said = message if isinstance(message, str) and message else answer.in_words
    if answer.status == 403 and answer.json is None:
        return Ruling(Policy.CONFIGURATION, FIREWALL, FIREWALL_SAID)
    if answer.status >= 500 or answer.status < 400:
        return Ruling(Policy.LOOK_FIRST, "", said)
    if answer.status in {400, 422} and CONFLICT_PHRASES.search(said):
        return Ruling(Policy.CONFLICT, "", said)
    return Ruling(STATUSES.get(answer.status, Policy.PERMANENT), "", said)


def judge_token(answer: Answer) -> Ruling:
    """Say what a refused token request means: whatever 4xx it is, the access key is no good."""
    ruling = judge(answer)
    if answer.status in {400, 401, 403} and answer.json is not None:
        return Ruling(Policy.KEY_REFUSED, "", "the access key id or its secret is refused")
    return ruling


def not_listed_yet(refusal: VendorRejected) -> IntegrationError:
    """What exists by m3ter's own words and is in no list will be in one soon; any other refusal stays what it is.

    That lists lag behind writes is a guess; waiting costs nothing where they do not.
    """
    if not isinstance(refusal, Conflict):
        return refusal
    return Temporary(f"{refusal}; but m3ter lists no such thing yet")
