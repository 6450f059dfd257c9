"""A person links a subscription to another m3ter account, or has it take one that was there before it.

What must not be is refused first, and nothing is changed then. Then the link is pointed to the new account, with the
moment, in one transaction: from there on every step in m3ter can be repeated by anybody, and comes to the same. What
was measured on the old account stays there, and nothing on the new one begins in the past.
"""

import re
from collections.abc import Callable
from datetime import datetime

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction

from integration_project import clock, installation
from integration_project.errors import Ignored, NotFound, Permanent
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.vendors.m3ter.entities import Account
from paddle_sync import accounts, counting, intake, links, parking
from paddle_sync.accounts import ENTITY, OURS, TABLE
from paddle_sync.models import AccountLink, EventDecision, WebhookEvent, history_note
from paddle_sync.plans import CANCELED, whole
from paddle_sync.story import SubscriptionStory

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
"""An id as m3ter makes them; anything else can only be a code."""
Unsettled = Callable[[AccountLink], str]
"""Why a subscription may not leave its account yet; empty when it may. What that hangs on is not this app's."""


def carry_out(event: WebhookEvent, vendors: Vendors, unsettled: Unsettled) -> None:
    """Link a subscription to the account that its event names; Permanent, and nothing changed, where it must not be."""
    installation.require_match(installation.current())
    link = links.of(event.paddle_subscription_id)
    account = _account(str(event.payload.entity()["account"]), vendors.m3ter)
    by, reason = _asked(event)
    if link is None:
        _adopt(event, account, vendors.m3ter, by=by, reason=reason)
        return
    if link.m3ter_account_id != account.id:
        _refuse(link, account, unsettled)
        today = clock.now().astimezone(installation.zone(installation.current())).date()
        counting.stop(link, today, vendors.m3ter)
        link = _point(link, account, unsettled, by=by, reason=reason)
    elif link.account_since is None:
        raise Ignored(f'Nothing changed: it is linked to the account "{link.m3ter_account_code}" already.')
    _finish(link, account, vendors.m3ter)
    intake.ask_to_sync(link.paddle_subscription_id, by=by, reason=reason, source=link.source)
    event.note = (
        f'It is linked to the account "{link.m3ter_account_code}" since {link.account_since:%Y-%m-%d %H:%M:%S} UTC.'
        f" Its plans on the account before ({link.left_account_id}) have ended then; a sync puts them on the new one."
    )


# --- What stands in the way -------------------------------------------------------------------------------------------


def _account(text: str, m3ter: M3terClient) -> Account:
    """The account with this code or id."""
    found = m3ter.find_account(text)
    if found is None and ID.fullmatch(text):
        try:
            found = m3ter.get_account(text)
        except NotFound:
            found = None
    if found is None:
        raise Permanent(f'm3ter has no account with the code or id "{text}". Nothing was changed.')
    if not found.code:
        raise Permanent(
            f"The m3ter account {found.id} has no code, so no measurement can name it. Nothing was changed."
        )
    return found


def _refuse(link: AccountLink, account: Account, unsettled: Unsettled) -> None:
    if link.state == AccountLink.State.ENDED:
        raise Permanent("The link has ended: another subscription goes on with its account. Nothing was changed.")
    if link.paddle_status == CANCELED:
        raise Permanent("The subscription is cancelled, so nothing of it will be measured. Nothing was changed.")
    _refuse_taken(account, link.paddle_subscription_id)
    _refuse_currency(account, link.currency)
    if why := unsettled(link):
        raise Permanent(f"{why} Nothing was changed.")


def _refuse_taken(account: Account, subscription_id: str) -> None:
    live = AccountLink.objects.filter(m3ter_account_id=account.id, state=AccountLink.State.LIVE)
    other = live.exclude(paddle_subscription_id=subscription_id).first()
    if other is not None:
        raise _taken(account, other.paddle_subscription_id)


def _taken(account: Account, whose: str) -> Permanent:
    return Permanent(
        f'The m3ter account "{account.code}" belongs to the subscription {whose}, and an account belongs to one'
        " subscription at a time. Nothing was changed."
    )


def _refuse_currency(account: Account, currency: str) -> None:
    if account.currency is not None and account.currency != currency:
        raise Permanent(
            f'The m3ter account "{account.code}" is billed in {account.currency}, the subscription in {currency}.'
            " Nothing was changed."
        )


# --- A subscription that is not linked --------------------------------------------------------------------------------


def _adopt(event: WebhookEvent, account: Account, m3ter: M3terClient, *, by: str, reason: str) -> None:
    """Note in m3ter that the account is the subscription's: the events that wait will take it then."""
    subscription_id, row = event.paddle_subscription_id, installation.current()
    founding = SubscriptionStory.stored(subscription_id).founding
    if founding is None:
        raise Permanent("Nobody knows yet how the subscription began, so it has no account to take. Import it first.")
    code = accounts.account_code(founding, row)
    if account.code != code:
        raise Permanent(
            f'The subscription measures under the code "{code}", and this account has the code "{account.code}".'
            " Nothing was changed. Give the account that code in m3ter; or give the other one another code, have the"
            " subscription linked, and link it to this account then."
        )
    _refuse_taken(account, subscription_id)
    _refuse_currency(account, founding.subscription.currency_code)
    _map(subscription_id, account, m3ter)
    if not parking.resume_subscription(subscription_id, by=by, reason=reason):
        intake.ask_to_sync(subscription_id, by=by, reason=reason, source=event.source)
    event.note = f'The account "{code}" is noted in m3ter as that of the subscription, which takes it now.'


# --- A subscription that is linked ------------------------------------------------------------------------------------


def _point(link: AccountLink, account: Account, unsettled: Unsettled, *, by: str, reason: str) -> AccountLink:
    """Point the link to the account, from now on; what ran on the one before is marked as left there."""
    try:
        with transaction.atomic():
            link = AccountLink.objects.select_for_update().get(pk=link.pk)
            _refuse(link, account, unsettled)
            before, now = link.m3ter_account_id, clock.now()
            link.plans_now().update(left_account_id=before)
            link.counters.all().delete()
            link.left_account_id, link.account_since = before, whole(now)
            link.m3ter_account_id, link.m3ter_account_code = account.id, account.code or ""
            link.name, link.adopted, link.external_mapping_id = account.name[:200], True, ""
            link.charged_until = link.entities_ended_at = None
            link.plans_unsure = True  # whatever event comes next puts the plans there
            link.updated_at = now
            history_note(link, reason)
            link._history_user = get_user_model().objects.filter(username=by).first()  # type: ignore[attr-defined]
            link.save()
    except IntegrityError:  # somebody linked it in between
        other = AccountLink.objects.filter(m3ter_account_id=account.id, state=AccountLink.State.LIVE).first()
        raise _taken(account, other.paddle_subscription_id if other else "another subscription") from None
    return link


def _finish(link: AccountLink, account: Account, m3ter: M3terClient) -> None:
    """Bring about in m3ter what the link says: the old account is left, the new one is the subscription's."""
    if link.account_since is not None:
        _end_what_was_left(link, link.account_since, m3ter)
    _unmark(link, m3ter)
    _map(link.paddle_subscription_id, account, m3ter)
    if account.custom_fields.get(OURS) != link.paddle_subscription_id:
        m3ter.update_account(account, custom_fields={OURS: link.paddle_subscription_id})


def _end_what_was_left(link: AccountLink, at: datetime, m3ter: M3terClient) -> None:
    """End the plans on the account before; one that would begin later than that is taken away."""
    left = link.plans.filter(left_account_id=link.left_account_id)
    running = {row.m3ter_account_plan_id: row for row in left if row.ends_at is None or row.ends_at > at}
    if not running:
        return
    for plan in m3ter.list_account_plans(link.left_account_id):
        row = running.get(plan.id)
        if row is not None and row.starts_at >= at:
            m3ter.delete_account_plan(plan)
        elif row is not None and (plan.end_date is None or plan.end_date > at):
            m3ter.end_account_plan(plan, end_date=at)
    for row in running.values():
        if row.starts_at >= at:
            row.delete()
        else:
            row.ends_at = at
            row.save(update_fields=["ends_at"])


def _unmark(link: AccountLink, m3ter: M3terClient) -> None:
    """Take our mark off the account before: it would prove that it is the subscription's."""
    try:
        before = m3ter.get_account(link.left_account_id)
    except NotFound:
        return
    if before.custom_fields.get(OURS) == link.paddle_subscription_id:
        m3ter.update_account(before, custom_fields={OURS: ""})


def _map(subscription_id: str, account: Account, m3ter: M3terClient) -> None:
    """Have the external id lead to this account, and to no other."""
    found = m3ter.external_mappings_to(table=TABLE, external_id=subscription_id)
    others = [each for each in found if (each.m3ter_entity, each.m3ter_id) != (ENTITY, account.id)]
    if len(others) == len(found):
        if others:
            m3ter.update_external_mapping(others.pop(0), m3ter_id=account.id)
        else:
            m3ter.ensure_external_mapping(entity=ENTITY, m3ter_id=account.id, table=TABLE, external_id=subscription_id)
    for other in others:
        m3ter.delete_external_mapping(other)


def _asked(event: WebhookEvent) -> tuple[str, str]:
    """Who asked for it, and why."""
    asked = EventDecision.objects.filter(event=event, action="ask").order_by("pk").first()
    return (asked.by, asked.reason) if asked else ("the application", "it was linked to another account")
