"""Which m3ter account is this subscription's: made, adopted, or taken over from the subscription before it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from integration_project import circuits
from integration_project.errors import AccountConflict, NeedsConfiguration, VendorRejected
from integration_project.models import Installation
from integration_project.vendors import M3TER, Vendors
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.vendors.m3ter.entities import Account, NewAccount
from integration_project.vendors.paddle.entities import Subscription
from paddle_sync import people
from paddle_sync.buyer_texts import Texts, as_taken, tell
from paddle_sync.buyers import Buyer
from paddle_sync.models import AccountLink, SubscriptionSnapshot
from paddle_sync.people import CUSTOMER
from paddle_sync.plans import CANCELED, Terms, bill_epoch
from paddle_sync.reading_ahead import USUAL_ID
from paddle_sync.story import Snapshot, SubscriptionStory

ENTITY = "Account"
TABLE = "Subscription"
"""The external table of our account mappings. A guess: m3ter names none for Paddle, and takes one of our own."""
OURS = "paddleSubscriptionId"
"""The custom field that says whose an account is. It proves that an account with our code was made by an attempt of
ours whose answer was lost. A guess: m3ter is said to accept names that are not declared for the organisation."""
ADOPTED = "paddleAdopted"
"""The custom field that says that an account was there before we filled it, should that answer be lost."""
CLASSIC = "paddle_classic"
ACCOUNT_CONFLICT = "account conflict"
ACCOUNT_REFUSED = "account refused"


@dataclass(frozen=True)
class Ensured:
    """The account, and how it came to be this subscription's."""

    id: str
    code: str
    name: str
    bill_epoch: date | None
    made_now: bool = False
    adopted: bool = False
    predecessor: AccountLink | None = None
    buyer_known: bool = True
    """False when Paddle knew neither the checkout's transaction nor its customer."""


def ensure(story: SubscriptionStory, founding: Snapshot, terms: Terms, row: Installation, vendors: Vendors) -> Ensured:
    """Make the subscription's account, or find the one that is provably its own; AccountConflict otherwise."""
    try:
        return _made_or_found(story, founding, terms, row, vendors)
    except VendorRejected as refusal:
        if refusal.vendor != M3TER:
            raise
        raise _refused(founding, refusal) from None


def _made_or_found(
    story: SubscriptionStory, founding: Snapshot, terms: Terms, row: Installation, vendors: Vendors
) -> Ensured:
    subscription_id, latest = story.subscription_id, story.latest.subscription
    code = account_code(founding, row)
    before = predecessor(founding, code, row)
    if before is None:
        _refuse_the_id_of_another(code, subscription_id)
        require_m3ter()
    buyer = people.read_buyer(latest, vendors, founding=founding.subscription)
    if before is not None:
        return _take_over(before, founding, latest, buyer, vendors.m3ter)
    texts = people.texts_of(buyer, code, subscription_id)
    plain = people.plain_texts(buyer, code, subscription_id)
    wanted = NewAccount(
        code=code,
        name=code,
        email_address=people.placeholder_email(subscription_id),
        currency=founding.subscription.currency_code,
        bill_epoch=bill_epoch(founding, terms),
        custom_fields=_marks(subscription_id, latest),
    )
    (account, made_now), left_out = as_taken(
        texts, plain, lambda taken: vendors.m3ter.ensure_account(_with(wanted, taken))
    )
    if made_now:
        ensured = _ensured(account, code, made_now=True)
    elif account.custom_fields.get(OURS) == subscription_id:
        followed = people.follow(account, buyer, code, subscription_id, vendors.m3ter)
        ensured = _ensured(followed, code, adopted=ADOPTED in account.custom_fields)
    else:
        ensured = _adopt(account, wanted, buyer, founding, vendors.m3ter)
    if made_now and left_out:
        tell(subscription_id, left_out)
    return replace(ensured, buyer_known=buyer.customer is not None)


def require_m3ter() -> None:
    """Raise VendorClosed where nobody may make an account now; ask before spending Paddle's calls on one."""
    circuits.to_try(M3TER, "create account")


def account_code(founding: Snapshot, row: Installation) -> str:
    """The subscription's id, or the code its custom data names where an Administrator trusts that."""
    if row.customer_codes_trusted and founding.custom_code:
        return founding.custom_code
    return founding.subscription.id


def predecessor(founding: Snapshot, code: str, row: Installation) -> AccountLink | None:
    """The link whose account this subscription goes on with: imported from Classic, or bought again under its code."""
    subscription = founding.subscription
    if subscription.imported_from == CLASSIC and founding.imported_id:
        return AccountLink.objects.filter(paddle_subscription_id=founding.imported_id).first()
    if not row.customer_codes_trusted or code == subscription.id:
        return None
    others = AccountLink.objects.filter(m3ter_account_code=code, paddle_customer_id=subscription.customer_id)
    before = others.exclude(paddle_subscription_id=subscription.id).order_by("-pk").first()
    if before is not None and before.state == AccountLink.State.LIVE and before.paddle_status != CANCELED:
        raise AccountConflict(
            ACCOUNT_CONFLICT,
            code,
            f'The account with the code "{code}" belongs to the subscription {before.paddle_subscription_id},'
            " which is"
            f" {before.paddle_status or 'not over'}, so {subscription.id} does not go on with it. Nothing was changed"
            " in m3ter. Give one of the two another code, or replay this event once the earlier one is cancelled.",
        )
    if before is not None and _began_after(before.paddle_subscription_id, founding):
        raise AccountConflict(
            ACCOUNT_CONFLICT,
            code,
            f'The account with the code "{code}" belongs to the subscription {before.paddle_subscription_id}, which'
            f" began later than {subscription.id}, so it is not taken from it. Nothing was changed in m3ter. Give one"
            " of the two another code, or ignore this event if the earlier one is over.",
        )
    return before


def _began_after(subscription_id: str, founding: Snapshot) -> bool:
    other = SubscriptionStory.stored(subscription_id).founding
    return other is not None and (other.occurred_at, other.event_id) > (founding.occurred_at, founding.event_id)


def _refuse_the_id_of_another(code: str, subscription_id: str) -> None:
    """Give no account the id of another subscription as code: usage that carries it belongs to that one."""
    if code == subscription_id:
        return
    if USUAL_ID.fullmatch(code) or SubscriptionSnapshot.objects.filter(paddle_subscription_id=code).exists():
        raise AccountConflict(
            ACCOUNT_CONFLICT,
            code,
            f'The custom data of {subscription_id} names "{code}" as its account\'s code, which is the id of another'
            " subscription. Nothing was changed in m3ter. Correct the custom data in Paddle, then replay this event.",
        )


def _with(account: NewAccount, texts: Texts) -> NewAccount:
    """The account to be made, with these texts where there are any."""
    return replace(
        account,
        name=texts.name or account.name,
        email_address=texts.email_address or account.email_address,
        address=texts.address,
    )


def _marks(subscription_id: str, subscription: Subscription) -> Mapping[str, str]:
    return {OURS: subscription_id, CUSTOMER: subscription.customer_id}


def _adopt(account: Account, wanted: NewAccount, buyer: Buyer, founding: Snapshot, m3ter: M3terClient) -> Ensured:
    """Take an account that was there before, if it is a skeleton or its mapping names this subscription."""
    code, subscription_id = wanted.code, founding.subscription.id
    taken = AccountLink.objects.filter(m3ter_account_id=account.id, state=AccountLink.State.LIVE).first()
    if taken is not None:
        raise _conflict(account, code, f"it belongs to the subscription {taken.paddle_subscription_id}")
    if account.is_skeleton and OURS not in account.custom_fields:
        _refuse_what_others_claim(account, wanted, founding, m3ter)
        return _ensured(_fill(account, wanted, buyer, subscription_id, m3ter), code, adopted=True)
    if not _is_mapped(account, subscription_id, m3ter):
        raise _conflict(account, code, "it holds a customer already, and no mapping of it names this subscription")
    if account.currency is not None and account.currency != wanted.currency:
        raise _conflict(account, code, f"it is billed in {account.currency}, the subscription in {wanted.currency}")
    return _ensured(people.follow(account, buyer, code, subscription_id, m3ter), code, adopted=True)


def _is_mapped(account: Account, subscription_id: str, m3ter: M3terClient) -> bool:
    """Say whether a person, or an earlier attempt, noted in m3ter that the account is this subscription's."""
    mappings = m3ter.external_mappings_of(entity=ENTITY, m3ter_id=account.id)
    return any((entry.external_table, entry.external_id) == (TABLE, subscription_id) for entry in mappings)


def _refuse_what_others_claim(account: Account, wanted: NewAccount, founding: Snapshot, m3ter: M3terClient) -> None:
    """Leave usage that came before its account to the customer whose subscription was the first to name its code."""
    if wanted.code == founding.subscription.id:
        return
    naming = SubscriptionSnapshot.objects.filter(data__custom_code=wanted.code, occurred_at__lte=founding.occurred_at)
    other = naming.exclude(data__customer_id=wanted.custom_fields[CUSTOMER]).order_by("occurred_at").first()
    if other is not None and not _is_mapped(account, founding.subscription.id, m3ter):
        why = f"the subscription {other.paddle_subscription_id} of another customer named it before"
        raise _conflict(account, wanted.code, why)


def _fill(account: Account, wanted: NewAccount, buyer: Buyer, subscription_id: str, m3ter: M3terClient) -> Account:
    """Make a skeleton the account that it would be had it been made for this subscription."""

    def write(texts: Texts) -> Account:
        return m3ter.update_account(
            account,
            name=texts.name,
            email_address=texts.email_address,
            address=texts.address,
            currency=wanted.currency,
            bill_epoch=wanted.bill_epoch,
            custom_fields={**wanted.custom_fields, ADOPTED: "true"},
        )

    texts = people.texts_of(buyer, wanted.code, subscription_id)
    filled, left_out = as_taken(texts, people.plain_texts(buyer, wanted.code, subscription_id), write)
    if left_out:
        tell(subscription_id, left_out)
    return filled


def _take_over(
    before: AccountLink, founding: Snapshot, latest: Subscription, buyer: Buyer, m3ter: M3terClient
) -> Ensured:
    """Go on with the account of the subscription before this one."""
    account, code = m3ter.get_account(before.m3ter_account_id), before.m3ter_account_code
    subscription_id, currency = founding.subscription.id, founding.subscription.currency_code
    if account.currency is not None and account.currency != currency:
        raise _conflict(account, code, f"it is billed in {account.currency}, the new subscription in {currency}")
    marks = _marks(subscription_id, latest)
    account = people.follow(account, buyer, code, subscription_id, m3ter, marks=marks)
    known = before.buyer_known or buyer.customer is not None
    return replace(_ensured(account, code, adopted=True), predecessor=before, buyer_known=known)


def _ensured(account: Account, code: str, *, made_now: bool = False, adopted: bool = False) -> Ensured:
    return Ensured(account.id, code, account.name, account.bill_epoch, made_now, adopted)


def _refused(founding: Snapshot, refusal: VendorRejected) -> NeedsConfiguration:
    """An account that m3ter does not take, whatever is left out of it, is something a person must put right there."""
    subscription = founding.subscription
    return NeedsConfiguration(
        ACCOUNT_REFUSED,
        subscription.id,
        f"{refusal}. m3ter does not take the account of {subscription.id}, which is to be billed in"
        f" {subscription.currency_code}. See in m3ter whether it knows that currency and whether its account settings"
        " are complete; then replay this event.",
    )


def _conflict(account: Account, code: str, why: str) -> AccountConflict:
    return AccountConflict(
        ACCOUNT_CONFLICT,
        code,
        f'm3ter has an account with the code "{code}" ({account.id}), and {why}. Nothing was changed there. Map that'
        f' account to the subscription in m3ter (table "{TABLE}"), or give it another code; then replay this event.',
    )
