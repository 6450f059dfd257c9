"""What a person can do about each kind of finding: one literal table over both apps.

A kind has either a fix, or a sentence that says what acknowledging it means. No fix calls a vendor: it decides, and
asks for work that a worker does. A finding closes by itself when whoever opened it finds that it no longer holds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from billing_bridge import leaving
from billing_bridge.models import PushedBill, PushPolicy
from integration_project import clock
from integration_project.errors import NotPossible
from integration_project.models import Finding
from paddle_sync import classic, intake, parking
from paddle_sync.models import AccountLink, WebhookEvent, history_note
from paddle_sync.own_events import FOUND

SYNC_PERMISSION = "paddle_sync.sync_accountlink"
RELINK_PERMISSION = "paddle_sync.relink_accountlink"
BEGAN_WITH = ("subscription.created", "subscription.imported", classic.CREATED, FOUND)
"""The events that a subscription's account is made by."""


@dataclass(frozen=True)
class Fix:
    """What puts a kind of finding right: who may, what it will bring about, and what does it."""

    name: str
    label: str
    permission: str
    effect: str
    done: str
    run: Callable[..., None]
    """Takes the finding, and `by` and `reason`."""
    is_safe: bool = False
    """Whether it may be applied without looking: it only makes m3ter what Paddle and the mappings already say."""


def apply(fix: Fix, finding_id: int, *, by: str, reason: str) -> None:
    """Put an open finding right; it closes when it is found to hold no longer."""
    row = Finding.objects.filter(pk=finding_id, state=Finding.State.OPEN).first()
    if row is None:
        raise NotPossible("It is closed already.")
    fix.run(row, by=by, reason=reason)


def fix_of(kind: str) -> Fix | None:
    """What puts this kind right, if anything here does."""
    entry = TABLE.get(kind)
    return entry if isinstance(entry, Fix) else None


def fixes_of(kind: str) -> tuple[Fix, ...]:
    """All that may put this kind right."""
    fix = fix_of(kind)
    return (*((fix,) if fix else ()), *BESIDE.get(kind, ()))


def acknowledgement_of(kind: str) -> str:
    """What acknowledging this kind means; empty for a kind that has a fix, or that no version of today opens."""
    entry = TABLE.get(kind, "")
    return entry if isinstance(entry, str) else ""


# --- What the fixes do ------------------------------------------------------------------------------------------------


def _source(subscription_id: str) -> str:
    """Which of Paddle's two products keeps a subscription, linked or not."""
    is_classic = classic.is_classic(subscription_id)
    return WebhookEvent.Source.PADDLE_CLASSIC if is_classic else WebhookEvent.Source.PADDLE


def _sync(row: Finding, *, by: str, reason: str) -> None:
    intake.ask_to_sync(row.subject, by=by, reason=reason, source=_source(row.subject))


def _import(row: Finding, *, by: str, reason: str) -> None:
    intake.ask_to_import(row.subject, by=by, reason=reason, source=_source(row.subject))


def _subscribe(row: Finding, *, by: str, reason: str) -> None:
    intake.ask_to_subscribe(row.subject, by=by, reason=reason)


def _run_again(row: Finding, *, by: str, reason: str) -> None:
    if not parking.resume_subscription(row.subject, by=by, reason=reason):
        raise NotPossible("No event of the subscription waits; sync the subscription from its account link instead.")


def _move(row: Finding, *, by: str, reason: str) -> None:
    """The finding's key is the price whose mapping differs by now."""
    intake.ask_to_move(row.subject, [row.key], clock.now(), by=by, reason=reason, source=_source(row.subject))


def _make_again(row: Finding, *, by: str, reason: str) -> None:
    """Give up the link to an account that is gone, so that the subscription's beginning makes a new one.

    The link's row goes, since a subscription has one; its History stays. A link that bills hang on is left to people:
    money was, or is to be, charged for that account, and m3ter deletes none that has bills.
    """
    subscription_id = row.subject
    link = AccountLink.objects.select_for_update().filter(paddle_subscription_id=subscription_id).first()
    if link is None:
        raise NotPossible("The subscription is not linked any more.")
    if leaving.open_pushes(subscription_id):
        raise NotPossible("A charge on the subscription is under way, or not yet confirmed. Try again afterwards.")
    if PushedBill.objects.filter(link=link).exists():
        raise NotPossible("Bills of the account are stored here. Have the account restored in m3ter instead.")
    if PushPolicy.objects.filter(link=link).exists():
        raise NotPossible("The account has a push policy of its own, which would be lost. Drop that override first.")
    events = WebhookEvent.objects.filter(paddle_subscription_id=subscription_id)
    if events.filter(state=WebhookEvent.State.PROCESSING).exists():
        raise NotPossible("An event of the subscription is being worked on. Try again in a moment.")
    began = events.filter(event_type__in=BEGAN_WITH, state__in=intake.REPLAYABLE).order_by("occurred_at").first()
    history_note(link, reason)
    link.delete()
    if began is not None:
        intake.replay(began.pk, by=by, reason=reason)
    else:
        intake.ask_to_import(subscription_id, by=by, reason=reason, source=_source(subscription_id))


def _use_account(row: Finding, *, by: str, reason: str) -> None:
    """The finding's key is the code of the account that is in the way."""
    if AccountLink.objects.filter(paddle_subscription_id=row.subject).exists():
        raise NotPossible("The subscription is linked by now. Link it to another account from its account link.")
    intake.ask_to_relink(row.subject, row.key, by=by, reason=reason, source=_source(row.subject))


# --- The table --------------------------------------------------------------------------------------------------------

SYNC = Fix(
    name="sync",
    label="Sync the subscription",
    permission=SYNC_PERMISSION,
    effect="The subscription is read from Paddle, its account and plans from m3ter, and m3ter is made to match. What is"
    " right already is left alone. The finding closes once a comparison shows that it no longer holds.",
    done="queued to be put right by a sync",
    run=_sync,
    is_safe=True,
)
IMPORT = Fix(
    name="import",
    label="Import this subscription",
    permission=SYNC_PERMISSION,
    effect="The subscription is read from Paddle and taken in as one that existed before: account and plans are made in"
    " m3ter by today's mappings, and start with its current billing period, not before go-live.",
    done="queued to be imported",
    run=_import,
    is_safe=True,
)
SUBSCRIBE = Fix(
    name="subscribe",
    label="Subscribe to them",
    permission=SYNC_PERMISSION,
    effect="The webhook destination at Paddle is told of these types of events too. The API key needs the permission"
    " notification_setting.write; without it, the request waits, and the finding says how to do it by hand.",
    done="queued to be put right in Paddle",
    run=_subscribe,
    is_safe=True,
)
MOVE = Fix(
    name="move",
    label="Move to today's mapping",
    permission="paddle_sync.change_planmapping",
    effect="From this moment on the item follows the mapping in force now: in m3ter the old plan ends and the new one"
    " starts. What was used until now stays on the old one.",
    done="queued to be moved to today's mapping",
    run=_move,
)
RUN_AGAIN = Fix(
    name="run_again",
    label="Run what waits again",
    permission="paddle_sync.replay_webhookevent",
    effect="The events of the subscription that wait for this run again. Put the cause right first: change the mapping,"
    " or the account in m3ter; otherwise they will wait again.",
    done="whose waiting events run again",
    run=_run_again,
)
MAKE_AGAIN = Fix(
    name="make_again",
    label="Make the account again",
    permission=SYNC_PERMISSION,
    effect="The link to the account that is gone is given up (History keeps it), and the event that the subscription"
    " began with runs again: it gets a new account under its code, with its plans. Refused while a charge on the"
    " subscription is open, and where bills of the account are stored.",
    done="queued to get an account again",
    run=_make_again,
)

USE_ACCOUNT = Fix(
    name="use_account",
    label="Use that account",
    permission=RELINK_PERMISSION,
    effect="You say that the m3ter account with that code is this subscription's. It is noted there, and the events"
    " that wait run again: the account is taken as it is, gets the buyer's name, and the subscription's plans. Refused"
    " where it belongs to another live link, or is billed in another currency.",
    done="queued to be given that account",
    run=_use_account,
)

TABLE: Mapping[str, Fix | str] = MappingProxyType(
    {
        # Paddle's events and destinations
        "webhooks missing": "The events were fetched already. Acknowledging says that you know why webhooks are"
        " missing; if more are found missing, a new finding opens.",
        "event unreadable": "The event was not taken in. Acknowledging says that nothing needs to be done for it.",
        "events not read": "Acknowledging changes nothing about the vendor; the next look opens it again if it fails.",
        "destination missing": "Only Paddle's dashboard, or its owner, makes a destination. Until there is one, events"
        " are fetched from the list; acknowledging says that this is meant.",
        "event types missing": SUBSCRIBE,
        # Subscriptions, against Paddle and m3ter
        "subscription not linked": IMPORT,
        "subscription out of step": SYNC,
        "unknown to Paddle": "Nothing here makes a subscription known to Paddle. Acknowledging says that you know what"
        " it is; it stays quiet then.",
        "subscription unreadable": "Nothing here changes what Paddle says. Acknowledging says that you know; it stays"
        " quiet as long as the subscription reads the same.",
        "account missing": MAKE_AGAIN,
        "account changed": SYNC,
        "plan missing": SYNC,
        "plan changed": SYNC,
        "plan unknown": "The plan is somebody else's and is left alone. Acknowledging says that both are meant.",
        "mapping missing": SYNC,
        # A subscription's own events
        "change scheduled": "Paddle carries it out by itself, and m3ter follows then. Acknowledging says that you"
        " know.",
        "text refused": "The text is entered by hand in m3ter, or corrected in Paddle, and then tried again."
        " Acknowledging says that the account may stay without it.",
        "charged period changed": "What was charged or locked is not changed any more. Acknowledging says that you"
        " have settled the difference with the customer, or that there is none worth settling.",
        "mapped otherwise": MOVE,
        "plan conflict": RUN_AGAIN,
        "account conflict": RUN_AGAIN,
        # The organisation and the vendors
        "overlapping plans allowed": "Only m3ter's organisation configuration switches it off. Acknowledging says that"
        " people need overlapping plans there.",
        "unknown time zone": "Only m3ter's organisation configuration names another. Acknowledging says that the zone"
        " used meanwhile is right.",
        "vendor closed": "Only the key, or its permissions, open the way again; it is tried every minute."
        " Acknowledging says that somebody sees to it.",
        "mail not sent": "A mail that was given up is sent again from its own page. Acknowledging says that somebody"
        " sees to the mail server, or that the mail is not needed any more.",
        # Usage
        "usage dropped": "What is to be counted is sent again by whoever sent it; the finding closes when none of its"
        " failures is open. Acknowledging says that you know.",
        "usage not derived": "Only the meter is corrected, in m3ter. Acknowledging says that what is stored may stay"
        " without the derived field.",
        "usage of another copy": "The other copy is found and stopped by hand. Acknowledging says that it was.",
        "usage failures not read": "What m3ter has forgotten cannot be read here. Acknowledging says that you have"
        " looked at it in m3ter.",
        "usage without a subscription": "Only its sender, or m3ter, puts it right. Acknowledging says that you know the"
        " account; it stays quiet then.",
        "usage stopped": "Nothing here makes usage come. Acknowledging says that you know why there is none.",
        # Bills and charges: what is to be decided is decided on the bill
        "bill to date": "The bill is approved in m3ter, and then charged here; that closes the finding. Acknowledging"
        " says that it need not be charged while the subscription lives.",
        "charge refused": "What becomes of it is decided on the bill, which closes the finding. Acknowledging says that"
        " you know.",
        "bills held": "Each is decided on its own page; the finding closes with the last of them. Acknowledging says"
        " that you know of those that are held now.",
        "bills to review": "They are approved, held or skipped in the list of bills. Acknowledging says that you know"
        " of those that wait now.",
        "charging refused": "Nothing is charged until the cause is put right. Acknowledging says that somebody sees to"
        " it; it opens again as long as it holds.",
        "charge unconfirmed": "It is answered on the bill: it is in Paddle, or it is not. Acknowledging answers"
        " nothing.",
        "charge not looked for": "It is looked for again by itself. Acknowledging says that somebody sees to the key.",
        "another charge open": "Both are settled on their bills. Acknowledging says that you have compared them.",
        "charge lost": "What becomes of it is decided on the bill. Acknowledging says that you know.",
        "lost and collected": "What was collected twice is refunded in Paddle. Acknowledging says that it was, or need"
        " not be.",
        "modifier not in payment": "It is answered on the bill: it is in Paddle, or it is not. Acknowledging answers"
        " nothing.",
        "refund not made": "What becomes of it is decided on the bill. Acknowledging says that you know.",
        "usage discounted": "Only the discount in Paddle changes what is collected. Acknowledging accepts the loss.",
        "given back outside": "The money is the customer's already. Acknowledging says that the bill is right all the"
        " same, or that the loss is accepted.",
        "carried balance left": "Each carried entry is taken back on its own page, and settled on its bill."
        " Acknowledging says that a later bill will take it.",
        "charged twice": "What is too much is refunded in Paddle. Acknowledging says that it was, or need not be.",
        "unknown push": "Another copy of this database charges on the same Paddle account. Acknowledging says that it"
        " was found and stopped.",
        "push does not fit": "Who made that transaction is found out in Paddle. Acknowledging says that it was.",
        "bill not finished in m3ter": "The charge is right; the bill is locked in m3ter by hand. Acknowledging says"
        " that it was.",
        "workers lost": "The bill is held. Acknowledging says that the log was looked into; approve the bill then.",
        "bill not read": "It is tried again every minute. Acknowledging says that somebody looks at the bill in m3ter.",
        "difference without a reason": "Whatever is wrong is put right on the bill, in m3ter or in Paddle, and the next"
        " reconciliation finds no more. Acknowledging says that you know the reason.",
        "bills not read to the end": "It is tried again by itself. Acknowledging says that somebody sees to the cause.",
        "internal error": "Resend the bill once the fault is repaired. Acknowledging says that it was reported.",
    }
)
"""Kind of finding -> what puts it right, or what acknowledging it means."""
BESIDE: Mapping[str, tuple[Fix, ...]] = MappingProxyType({"account conflict": (USE_ACCOUNT,)})
"""Kind of finding -> what else may put it right, by a decision that only a person takes."""
FIXES: tuple[Fix, ...] = (SYNC, IMPORT, SUBSCRIBE, MOVE, RUN_AGAIN, MAKE_AGAIN, USE_ACCOUNT)
