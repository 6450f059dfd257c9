"""What can be mailed about: one closed list of topics, and a literal table of what each kind of finding means.

The texts are all that a mail says of a kind. A finding's own words may name what a vendor wrote, a buyer's name among
it, so they stay in the console.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from django.db.models import Q, TextChoices

from integration_project.models import Finding

NOT_SENT = "mail not sent"
NEVER_MAILED = (NOT_SENT,)
"""Kinds that no mail is written about: that mails do not arrive cannot be said by one."""


class Topic(TextChoices):
    """What a rule may ask for."""

    BILLS = "bills", "Charging and bills"
    EVENTS = "events", "Events and mappings"
    CONNECTIONS = "connections", "Connections and workers"
    USAGE = "usage", "Usage"
    EVERYTHING = "everything", "Everything"


@dataclass(frozen=True)
class Kind:
    """What a mail says of a kind of finding, and to whom it matters."""

    topics: tuple[Topic, ...]
    means: str
    next_step: str


MAIL_BILLS, MAIL_OPERATIONS = "integration_project.mail_bills", "integration_project.mail_operations"
NEEDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        Topic.BILLS: (MAIL_BILLS,),
        Topic.EVENTS: (MAIL_OPERATIONS,),
        Topic.CONNECTIONS: (MAIL_OPERATIONS,),
        Topic.USAGE: (MAIL_OPERATIONS,),
        Topic.EVERYTHING: (MAIL_BILLS, MAIL_OPERATIONS),
    }
)
"""Topic -> the permissions of whoever decides who is mailed about it."""
SEVERITIES = (Finding.Severity.NOTICE, Finding.Severity.PROBLEM, Finding.Severity.ALARM)
"""From the mildest to the worst."""

_BILLS, _EVENTS, _CONNECTIONS = (Topic.BILLS,), (Topic.EVENTS,), (Topic.CONNECTIONS,)
_USAGE = (Topic.USAGE,)
_UNMETERED = (Topic.EVENTS, Topic.USAGE)
_SYNC = "Open each finding and sync its subscription: it is read from Paddle, and m3ter is made to match."

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        # Paddle's events and destinations
        "webhooks missing": Kind(
            _CONNECTIONS,
            "Events that Paddle lists did not arrive as webhooks. They were fetched from the list, so nothing is lost,"
            " but late.",
            "See in Paddle whether the webhook destination is active, and what it was answered.",
        ),
        "event unreadable": Kind(
            _EVENTS,
            "Paddle lists an event that is not as its contract says. It was not stored, and nothing was done for it.",
            "Look at the event in Paddle. If it is about a subscription, sync that subscription.",
        ),
        "events not read": Kind(
            _CONNECTIONS,
            "A list of events could not be read to its end, so webhooks that are missing are not noticed.",
            "It is tried again by itself. Where this stays, look at what the finding names.",
        ),
        "destination missing": Kind(
            _CONNECTIONS,
            "Paddle has no active webhook destination for this installation. Events are fetched from its list, late.",
            "Make or activate the destination in Paddle, as the finding describes.",
        ),
        "event types missing": Kind(
            _CONNECTIONS,
            "The webhook destination in Paddle is not told of all types of events that are needed here.",
            "Subscribe to them with the button on the finding, or in Paddle.",
        ),
        # Subscriptions, against Paddle and m3ter
        "subscription not linked": Kind(
            _UNMETERED,
            "A subscription of Paddle has no m3ter account here, so its usage is billed nowhere.",
            "Open each finding and import its subscription.",
        ),
        "subscription out of step": Kind(
            _EVENTS,
            "Paddle says otherwise of a subscription than is known here: news of it was lost, or failed.",
            _SYNC,
        ),
        "unknown to Paddle": Kind(
            _EVENTS,
            "Paddle does not know a subscription that is known here. No renewal of it will ever carry a bill.",
            "Check that the webhook and the API key belong to the Paddle account that sold it.",
        ),
        "subscription unreadable": Kind(
            _EVENTS,
            "Paddle lists a subscription that is not as its contract says. What changes there does not arrive in"
            " m3ter.",
            "Look at the subscription in Paddle.",
        ),
        "account missing": Kind(
            _UNMETERED,
            "m3ter does not have a subscription's account any more. Its usage is measured nowhere, and nothing of it"
            " is billed.",
            "Find out who deleted the account; then have it made again with the button on the finding.",
        ),
        "account changed": Kind(
            _UNMETERED,
            "An account was changed in m3ter. Measurements, bills or their dates may go wrong.",
            "Sync the subscription with the button on the finding, or change the account back in m3ter.",
        ),
        "plan missing": Kind(
            _UNMETERED, "m3ter does not have a plan that was attached to an account. Usage is billed without it.", _SYNC
        ),
        "plan changed": Kind(_EVENTS, "A plan of an account was changed in m3ter.", _SYNC),
        "plan unknown": Kind(
            _EVENTS,
            "Somebody put a plan on an account beside one that was attached from here. The customer may be billed"
            " twice for the same usage.",
            "End one of the two in m3ter, unless both are meant.",
        ),
        "mapping missing": Kind(
            _EVENTS, "Nothing in m3ter says any more which Paddle subscription an account belongs to.", _SYNC
        ),
        # A subscription's own events
        "change scheduled": Kind(
            (Topic.EVENTS, Topic.BILLS),
            "Paddle will change a subscription at a date that is set. Where it ends, what waits for a renewal then is"
            " not collected.",
            "Bill the usage up to that day in m3ter before it comes.",
        ),
        "text refused": Kind(
            _EVENTS,
            "m3ter refused a text about a buyer, most likely because it looks like code. The account was written"
            " without it; usage and bills are not affected.",
            "Enter it by hand in m3ter, or correct it in Paddle. The finding says which text it is.",
        ),
        "charged period changed": Kind(
            (Topic.EVENTS, Topic.BILLS),
            "A subscription changed inside a period that is charged or locked. m3ter follows from the next period on.",
            "Decide whether the customer is owed something for the period that was charged.",
        ),
        "mapped otherwise": Kind(
            _EVENTS,
            "A mapping was changed or removed. Subscriptions that follow it keep the plans they have.",
            "Move them to today's mapping with the button on the finding, or leave them as they are.",
        ),
        "plan conflict": Kind(
            _EVENTS,
            "Two plans of one m3ter product are called for at one time. The events of the subscription wait.",
            "Correct the mappings; then have what waits run again.",
        ),
        "account conflict": Kind(
            _EVENTS,
            "An account in m3ter stands in the way of a subscription's own. The events of the subscription wait.",
            "Say on the finding that the account is the subscription's, or correct it in m3ter.",
        ),
        # The organisation and the vendors
        "overlapping plans allowed": Kind(
            _CONNECTIONS,
            "m3ter's organisation allows overlapping plans, so a customer may be billed twice for the same usage.",
            "Switch it off in m3ter's organisation configuration, unless you need it.",
        ),
        "unknown time zone": Kind(
            _CONNECTIONS,
            "m3ter's organisation names a time zone that is unknown here. The last one known is used instead.",
            "Correct the time zone in m3ter's organisation configuration.",
        ),
        "vendor closed": Kind(
            _CONNECTIONS,
            "A vendor refuses our key, or its permissions. Nothing is sent there; work waits.",
            "Correct the key or its permissions. It is tried again every minute, so work goes on by itself.",
        ),
        # Usage
        "usage dropped": Kind(
            _USAGE,
            "m3ter dropped measurements after it had accepted them, or refused them. They are not counted.",
            "Put right what the finding names; then have them sent again under the same uids.",
        ),
        "usage not derived": Kind(
            _USAGE,
            "m3ter counted measurements, but could not work out a derived field of their meter.",
            "Correct the field's calculation in m3ter.",
        ),
        "usage of another copy": Kind(
            _USAGE,
            "m3ter tells of usage that looks like ours and is unknown here. Another copy of this database sends usage.",
            "Find the other copy and stop it.",
        ),
        "usage failures not read": Kind(
            _USAGE,
            "m3ter lists so many failures of usage that they could not be read to the end.",
            "Look in m3ter's console what they have in common.",
        ),
        "usage without a subscription": Kind(
            _UNMETERED,
            "m3ter counts usage of an account that no subscription has. It may be a typo of whoever sends it.",
            "Find out who sends it, and have the code corrected there.",
        ),
        "usage stopped": Kind(
            _USAGE,
            "A customer had usage regularly, and has none any more.",
            "Ask whoever sends it whether it still does.",
        ),
        # Bills and charges
        "bill to date": Kind(
            _BILLS,
            "A subscription is about to be cancelled. What was used until now can be charged only while it lives, and"
            " only once its bill is approved in m3ter, and here where policy wants a review.",
            "Approve the bill, in m3ter and here, before the subscription ends.",
        ),
        "charge refused": Kind(
            _BILLS,
            "A charge, refund or invoice was refused, so its bill failed. Nothing was charged by that attempt.",
            "The bill's page has the reason. Put that right, then resend the bill; or decide otherwise about it.",
        ),
        "bills held": Kind(
            _BILLS,
            "Bills are held for a reason that a person has to put right, or decide about. Nothing of them is charged"
            " until then.",
            "Open the bills from the finding: each page says what to do.",
        ),
        "bills to review": Kind(
            _BILLS,
            "Bills were approved in m3ter and wait for Finance to approve them here, as the push policy says.",
            "Compare them with m3ter's lines, then approve, hold or skip them.",
        ),
        "charging refused": Kind(
            _BILLS,
            "Something stands in the way of all charging. No bill is charged; bills that are ready stay ready.",
            "Correct what the finding names; charging goes on by itself.",
        ),
        "charge unconfirmed": Kind(
            _BILLS,
            "A charge was sent and not answered, and could not be found in Paddle. The customer may have been charged.",
            "Look at the subscription in Paddle's console; say on the bill's page whether it was charged.",
        ),
        "charge not looked for": Kind(
            _BILLS,
            "A charge was sent and not answered, and Paddle could not be searched for it.",
            "Correct what keeps Paddle from being searched; the look-ups go on by themselves.",
        ),
        "another charge open": Kind(
            _BILLS,
            "A bill has two charges: one is in Paddle, another is under way or unconfirmed.",
            "Look in Paddle whether it has both. If so, the customer is charged twice: refund one of them once it is"
            " paid.",
        ),
        "charge lost": Kind(
            _BILLS,
            "Paddle accepted a charge and will not collect it.",
            "On the bill's page, resend it, or skip it once it is settled in another way.",
        ),
        "lost and collected": Kind(
            _BILLS,
            "A charge that was taken for lost is in Paddle after all.",
            "Do not charge it again: skip the bill, or refund what is too much.",
        ),
        "refund not made": Kind(
            _BILLS,
            "Paddle did not carry out a refund that it had accepted. The customer is owed it still.",
            "On the bill's page, refund it on another payment, carry it to the next bills, or write it off.",
        ),
        "usage discounted": Kind(
            _BILLS,
            "A discount of the subscription reached usage charges: Paddle collects less than m3ter's bill says.",
            "If usage should not be discounted, restrict the discount in Paddle to the subscription's own products.",
        ),
        "given back outside": Kind(
            _BILLS,
            "A charge was refunded, credited or charged back, and not from here. m3ter's bill still says it is owed.",
            "If the bill was wrong, correct it in m3ter; else accept the loss on the finding.",
        ),
        "carried balance left": Kind(
            _BILLS,
            "A subscription is cancelled whose account has carried an amount for a later bill that may never come.",
            "Take each carried entry back on its page, then refund it, charge it or write it off on its bill.",
        ),
        "difference without a reason": Kind(
            _BILLS,
            "A reconciliation found a difference between m3ter, the ledger and Paddle that nothing explains.",
            "Open the run: what has no reason is on top. Put it right on the bill, in m3ter or in Paddle.",
        ),
        "modifier not in payment": Kind(
            _BILLS,
            "A payment of Paddle Classic came to less than the plan and our modifiers together. The bill is held,"
            " because nobody can tell whether the payment has it.",
            "Look at the payment in Paddle Classic; say on the bill's page whether it has the charge.",
        ),
        "charged twice": Kind(
            _BILLS, "Paddle has a charge more than once.", "Refund what is too much in Paddle, once it is paid."
        ),
        "unknown push": Kind(
            _BILLS,
            "A transaction, or a modifier of Paddle Classic, carries a charge that this database never made. Another"
            " copy of it may be charging.",
            "Find out which other installation uses the same Paddle account, and stop one of them.",
        ),
        "push does not fit": Kind(
            _BILLS,
            "A transaction, or a modifier of Paddle Classic, carries a charge of ours but does not fit it. Nothing was"
            " recorded by it.",
            "Find out in Paddle who made it, and whether the customer pays twice for the bill.",
        ),
        "bill not finished in m3ter": Kind(
            _BILLS,
            "A bill is charged in Paddle, but could not be locked or mapped in m3ter.",
            "Nothing is wrong with the charge. Lock the bill in m3ter, so that nobody changes it.",
        ),
        "workers lost": Kind(
            (Topic.CONNECTIONS, Topic.BILLS),
            "Several workers in a row were lost while they worked on a bill. It is held.",
            "Look into the log for what ended them; then approve the bill.",
        ),
        "bill not read": Kind(
            _BILLS,
            "A bill of m3ter could not be imported.",
            "Look at the bill in m3ter. It is tried again every minute.",
        ),
        "bills not read to the end": Kind(
            _BILLS,
            "m3ter's bills were not gone through to the end, so news of some may be missing here.",
            "It is tried again by itself. Where this stays, look at what the finding names.",
        ),
        "internal error": Kind(
            (Topic.CONNECTIONS, Topic.BILLS),
            "Charging a bill met a fault of this application. Nothing was charged.",
            "Report the traceback in the log; then resend the bill.",
        ),
    }
)
"""Kind of finding -> what a mail says of it."""
UNNAMED = Kind(
    (Topic.EVERYTHING,), "The findings say what was found, and what it means.", "Open them, and do what they advise."
)
"""What is said of a kind that only another version of this application opens."""


def said_of(kind: str) -> Kind:
    """Give what a mail says of a kind."""
    return KINDS.get(kind, UNNAMED)


def about(topics: Iterable[str]) -> Q:
    """Select the findings that belong to these topics."""
    asked = set(topics)
    if Topic.EVERYTHING in asked:
        return ~Q(kind__in=NEVER_MAILED)
    return Q(kind__in=[kind for kind, said in KINDS.items() if asked & set(said.topics)])


def not_milder_than(severity: str) -> Q:
    """Select the findings of this severity, and of worse ones."""
    return Q(severity__in=SEVERITIES[SEVERITIES.index(Finding.Severity(severity)) :])


def in_words(topics: Iterable[str]) -> str:
    """Name topics as people know them."""
    asked = set(topics)
    return ", ".join(topic.label for topic in Topic if topic in asked) or "nothing"


def needed_for(topics: Iterable[str]) -> set[str]:
    """Say which permissions deciding about these topics takes; what nobody knows takes all of them."""
    return {name for topic in topics for name in NEEDED.get(topic, NEEDED[Topic.EVERYTHING])}
