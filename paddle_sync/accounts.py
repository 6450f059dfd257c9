"""Which m3ter account is this subscription's: made, adopted, or taken over from the subscription before it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from integration_project import circuits
from integration_project.errors import AccountConflict
from integration_project.models import Installation
from integration_project.vendors import M3TER, Vendors
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.vendors.m3ter.entities import Account, AccountAddress, NewAccount
from integration_project.vendors.paddle.entities import Address
from paddle_sync import buyers_ahead, classic
from paddle_sync.buyers import Buyer
from paddle_sync.models import AccountLink
from paddle_sync.plans import Terms, bill_epoch
from paddle_sync.story import Snapshot, SubscriptionStory

ENTITY = "Account"
TABLE = "Subscription"
"""The external table of our account mappings. A guess: m3ter names none for Paddle, and takes one of our own."""
OURS = "paddleSubscriptionId"
CUSTOMER = "paddleCustomerId"
"""Custom fields that say whose an account is. They prove that an account with our code was made by an attempt of ours
whose answer was lost. A guess: m3ter is said to accept names that are not declared for the organisation."""
ADOPTED = "paddleAdopted"
"""The custom field that says that an account was there before we filled it, should that answer be lost."""
CLASSIC = "paddle_classic"
ACCOUNT_CONFLICT = "account conflict"
LONGEST_NAME = 200
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def placeholder_email(subscription_id: str) -> str:
    """What m3ter gets where Paddle has no usable e-mail: it demands one, and .invalid reaches nobody (RFC 2606)."""
    return f"{subscription_id}@no-email.invalid"


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
    code = account_code(founding, row)
    before = predecessor(founding, code, row)
    if before is not None:
        return _take_over(before, story.subscription_id, founding, vendors.m3ter)
    require_m3ter()
    buyer = read_buyer(founding, vendors)
    wanted = _new_account(code, story.subscription_id, founding, buyer, bill_epoch(founding, terms))
    account, made_now = vendors.m3ter.ensure_account(wanted)
    if made_now:
        ensured = _ensured(account, code, made_now=True)
    elif account.custom_fields.get(OURS) == story.subscription_id:
        named = name_buyer(account, buyer, code, story.subscription_id, vendors.m3ter)
        ensured = _ensured(named, code, adopted=ADOPTED in account.custom_fields)
    else:
        ensured = _adopt(account, wanted, story.subscription_id, vendors.m3ter)
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


def read_buyer(founding: Snapshot, vendors: Vendors) -> Buyer:
    """Read customer, address and business: in one call where the checkout's transaction is known, else one by one.

    In a backlog they are read together with those of the other events of the claim.

    What Paddle does not know is left out; the account is named after its code then.
    """
    subscription, paddle = founding.subscription, vendors.paddle
    if classic.is_classic(subscription.id):
        return classic.buyer(subscription.id, vendors)
    if subscription.transaction_id:
        transaction = buyers_ahead.find_transaction(subscription.transaction_id, paddle)
        if transaction is not None:
            return Buyer(transaction.customer, transaction.address, transaction.business)
    customer_id, address_id, business_id = (subscription.customer_id, subscription.address_id, subscription.business_id)
    customer = buyers_ahead.find_customer(customer_id, paddle)
    if customer is None:
        return Buyer(None, None, None)
    address = buyers_ahead.find_address(subscription.id, customer_id, address_id, paddle) if address_id else None
    business = buyers_ahead.find_business(subscription.id, customer_id, business_id, paddle) if business_id else None
    return Buyer(customer, address, business)


def name_of(buyer: Buyer, code: str) -> str:
    """The business's name, else the customer's, else the code."""
    names = (buyer.business.name if buyer.business else None, buyer.customer.name if buyer.customer else None)
    cleaned = (" ".join("".join(c if c.isprintable() else " " for c in name).split()) for name in names if name)
    return next((name[:LONGEST_NAME].strip() for name in cleaned if name), code)


def email_of(buyer: Buyer, subscription_id: str) -> str:
    """The customer's e-mail, where there is one that m3ter could take."""
    email = buyer.customer.email.strip() if buyer.customer else ""
    return email if EMAIL.fullmatch(email) else placeholder_email(subscription_id)


def name_buyer(account: Account, buyer: Buyer, code: str, subscription_id: str, m3ter: M3terClient) -> Account:
    """Give an account that was made before its buyer was known what it lacks; what a person wrote there stays."""
    name, email = name_of(buyer, code), email_of(buyer, subscription_id)
    placeholder = placeholder_email(subscription_id)
    lacks_name = account.is_skeleton and name != code
    lacks_email = account.email_address == placeholder != email
    if not lacks_name and not lacks_email:
        return account
    return m3ter.update_account(
        account,
        name=name if lacks_name else None,
        email_address=email if lacks_email else None,
        address=None if account.address else _address(buyer.address),
    )


def _new_account(code: str, subscription_id: str, founding: Snapshot, buyer: Buyer, epoch: date | None) -> NewAccount:
    return NewAccount(
        code=code,
        name=name_of(buyer, code),
        email_address=email_of(buyer, subscription_id),
        currency=founding.subscription.currency_code,
        bill_epoch=epoch,
        address=_address(buyer.address),
        custom_fields=_marks(subscription_id, founding),
    )


def _marks(subscription_id: str, founding: Snapshot) -> Mapping[str, str]:
    return {OURS: subscription_id, CUSTOMER: founding.subscription.customer_id}


def _address(address: Address | None) -> AccountAddress | None:
    if address is None:
        return None
    return AccountAddress(
        line1=address.first_line,
        line2=address.second_line,
        locality=address.city,
        region=address.region,
        post_code=address.postal_code,
        country=address.country_code,
    )


def _adopt(account: Account, wanted: NewAccount, subscription_id: str, m3ter: M3terClient) -> Ensured:
    """Take an account that was there before, if it is a skeleton or its mapping names this subscription."""
    taken = AccountLink.objects.filter(m3ter_account_id=account.id, state=AccountLink.State.LIVE).first()
    if taken is not None:
        raise _conflict(account, wanted.code, f"it belongs to the subscription {taken.paddle_subscription_id}")
    if account.is_skeleton and OURS not in account.custom_fields:
        filled = m3ter.update_account(
            account,
            name=wanted.name,
            email_address=wanted.email_address,
            address=wanted.address,
            currency=wanted.currency,
            bill_epoch=wanted.bill_epoch,
            custom_fields={**wanted.custom_fields, ADOPTED: "true"},
        )
        return _ensured(filled, wanted.code, adopted=True)
    mappings = m3ter.external_mappings_of(entity=ENTITY, m3ter_id=account.id)
    if not any((entry.external_table, entry.external_id) == (TABLE, subscription_id) for entry in mappings):
        raise _conflict(
            account, wanted.code, "it holds a customer already, and no mapping of it names this subscription"
        )
    if account.currency is not None and account.currency != wanted.currency:
        raise _conflict(
            account, wanted.code, f"it is billed in {account.currency}, the subscription in {wanted.currency}"
        )
    return _ensured(account, wanted.code, adopted=True)


def _take_over(before: AccountLink, subscription_id: str, founding: Snapshot, m3ter: M3terClient) -> Ensured:
    """Go on with the account of the subscription before this one."""
    account = m3ter.get_account(before.m3ter_account_id)
    currency = founding.subscription.currency_code
    if account.currency is not None and account.currency != currency:
        code = before.m3ter_account_code
        raise _conflict(account, code, f"it is billed in {account.currency}, the new subscription in {currency}")
    if account.custom_fields.get(OURS) != subscription_id:
        account = m3ter.update_account(account, custom_fields=_marks(subscription_id, founding))
    return _ensured(account, before.m3ter_account_code, adopted=True, before=before)


def _ensured(
    account: Account,
    code: str,
    *,
    made_now: bool = False,
    adopted: bool = False,
    before: AccountLink | None = None,
) -> Ensured:
    buyer_known = before is None or before.buyer_known
    return Ensured(account.id, code, account.name, account.bill_epoch, made_now, adopted, before, buyer_known)


def _conflict(account: Account, code: str, why: str) -> AccountConflict:
    return AccountConflict(
        ACCOUNT_CONFLICT,
        code,
        f'm3ter has an account with the code "{code}" ({account.id}), and {why}. Nothing was changed there. Map that'
        f' account to the subscription in m3ter (table "{TABLE}"), or give it another code; then replay this event.',
    )
