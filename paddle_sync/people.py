"""Who buys, and what their m3ter account says of them: name, e-mail and address. Nothing else of theirs goes there."""

import re
from collections.abc import Mapping
from dataclasses import replace

from integration_project import clock
from integration_project.errors import NeedsConfiguration, VendorRejected
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.vendors.m3ter.entities import LONGEST_NAME, Account, AccountAddress, fitting
from integration_project.vendors.paddle.entities import Address, Subscription
from paddle_sync import buyers_ahead, classic
from paddle_sync.buyer_texts import Part, Texts, as_taken, may_be_about_a_text, tell
from paddle_sync.buyers import Buyer
from paddle_sync.models import AccountLink

CUSTOMER = "paddleCustomerId"
"""The custom field that says which Paddle customer's an account is."""
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


# --- What Paddle says ------------------------------------------------------------------------------------------------


def read_buyer(subscription: Subscription, vendors: Vendors, *, founding: Subscription | None = None) -> Buyer:
    """Read customer, address and business: in one call where the checkout's transaction has the same, else one by one.

    `founding` is the subscription as it began, which alone names that transaction. What Paddle does not know is left
    out; the account is named after its code then.
    """
    checkout = founding or subscription
    if checkout.transaction_id and _parties(checkout) == _parties(subscription):
        transaction = buyers_ahead.find_transaction(checkout.transaction_id, vendors.paddle)
        if transaction is not None:
            return Buyer(transaction.customer, transaction.address, transaction.business)
    return _read_parties_ahead(subscription, vendors)


def read_parties(subscription: Subscription, vendors: Vendors) -> Buyer:
    """Read customer, address and business as they are now, each by its id."""
    if classic.is_classic(subscription.id):
        return classic.buyer(subscription.id, vendors)
    paddle, customer_id = vendors.paddle, subscription.customer_id
    customer = paddle.find_customer(customer_id)
    if customer is None:
        return Buyer(None, None, None)
    address = paddle.find_address(customer_id, subscription.address_id) if subscription.address_id else None
    business = paddle.find_business(customer_id, subscription.business_id) if subscription.business_id else None
    return Buyer(customer, address, business)


def _read_parties_ahead(subscription: Subscription, vendors: Vendors) -> Buyer:
    """Read them as `read_parties` does, in a backlog together with those of the other events of the claim."""
    if classic.is_classic(subscription.id):
        return classic.buyer(subscription.id, vendors)
    paddle, customer_id = vendors.paddle, subscription.customer_id
    address_id, business_id = subscription.address_id, subscription.business_id
    customer = buyers_ahead.find_customer(customer_id, paddle)
    if customer is None:
        return Buyer(None, None, None)
    address = buyers_ahead.find_address(subscription.id, customer_id, address_id, paddle) if address_id else None
    business = buyers_ahead.find_business(subscription.id, customer_id, business_id, paddle) if business_id else None
    return Buyer(customer, address, business)


def _parties(subscription: Subscription) -> tuple[str, str | None, str | None]:
    return subscription.customer_id, subscription.address_id, subscription.business_id


# --- In m3ter's words ------------------------------------------------------------------------------------------------


def texts_of(buyer: Buyer, code: str, subscription_id: str) -> Texts:
    """What an account is to say of its buyer, with the fallbacks for what Paddle does not know."""
    email = email_of(buyer) or placeholder_email(subscription_id)
    return Texts(name_of(buyer, code), email, address_of(buyer.address))


def plain_texts(buyer: Buyer, code: str, subscription_id: str) -> Texts:
    """What an account says where nothing that its buyer wrote may stand in it."""
    country = AccountAddress(country=buyer.address.country_code) if buyer.address else None
    return Texts(code, placeholder_email(subscription_id), country)


def placeholder_email(subscription_id: str) -> str:
    """What m3ter gets where Paddle has no usable e-mail: it demands one, and .invalid reaches nobody (RFC 2606)."""
    return f"{subscription_id}@no-email.invalid"


def name_of(buyer: Buyer, code: str) -> str:
    """The business's name, else the customer's, else the code."""
    names = (buyer.business.name if buyer.business else None, buyer.customer.name if buyer.customer else None)
    cleaned = (_on_one_line(name) for name in names)
    return next((fitting(name, LONGEST_NAME) for name in cleaned if name), code)


def email_of(buyer: Buyer) -> str | None:
    """The customer's e-mail, where there is one that m3ter could take."""
    email = buyer.customer.email.strip() if buyer.customer else ""
    return email if EMAIL.fullmatch(email) and email.isprintable() else None


def address_of(address: Address | None) -> AccountAddress | None:
    """The address, each part on one line."""
    if address is None:
        return None
    return AccountAddress(
        line1=_on_one_line(address.first_line),
        line2=_on_one_line(address.second_line),
        locality=_on_one_line(address.city),
        region=_on_one_line(address.region),
        post_code=_on_one_line(address.postal_code),
        country=_on_one_line(address.country_code),
    )


def _on_one_line(text: str | None) -> str:
    """The text without what cannot be printed."""
    return " ".join("".join(c if c.isprintable() else " " for c in text or "").split())


# --- Into the account ------------------------------------------------------------------------------------------------


def bring_up_to_date(link: AccountLink, subscription: Subscription, vendors: Vendors) -> bool:
    """Make a linked account say of its buyer what Paddle says now; True when that changed it, or its name in our books.

    `subscription` says who buys now. The link's ids follow last of all, so whoever compares them with the subscription
    finds the difference until it is really gone.
    """
    account = vendors.m3ter.get_account(link.m3ter_account_id)
    buyer = read_parties(subscription, vendors)
    if buyer.customer is None:
        return False
    followed = follow(account, buyer, link.m3ter_account_code, link.paddle_subscription_id, vendors.m3ter)
    had_other_name = (link.name, link.buyer_known) != (followed.name[:LONGEST_NAME], True)
    _keep(link, followed, subscription)
    return had_other_name or followed is not account


def follow(
    account: Account,
    buyer: Buyer,
    code: str,
    subscription_id: str,
    m3ter: M3terClient,
    *,
    marks: Mapping[str, str] | None = None,
) -> Account:
    """Write what the account does not say of its buyer yet, and `marks`: custom fields that it must have.

    What m3ter refuses stays as it was; but of another customer, whose account it was before, nothing stays.
    """
    whose = {} if buyer.customer is None else {CUSTOMER: buyer.customer.id}
    fields = {**(marks or {}), **whose}
    missing = {name: value for name, value in fields.items() if account.custom_fields.get(name) != value}
    if buyer.customer is None:
        return m3ter.update_account(account, custom_fields=missing) if missing else account
    was_another = account.custom_fields.get(CUSTOMER) not in {None, buyer.customer.id}
    plain = plain_texts(buyer, code, subscription_id) if was_another else Texts()
    changes = _differing(account, texts_of(buyer, code, subscription_id))
    if email_of(buyer) is None:
        changes = replace(changes, email_address=plain.email_address)
    if buyer.address is None and was_another and account.address:
        changes = replace(changes, address=AccountAddress())
    return _written(account, changes, plain, missing, subscription_id, m3ter, must=bool(marks))


def name_buyer(account: Account, buyer: Buyer, code: str, subscription_id: str, m3ter: M3terClient) -> Account:
    """Give an account that was made before its buyer was known what it lacks; what a person wrote there stays."""
    changes = _differing(account, texts_of(buyer, code, subscription_id))
    lacking = Texts(
        name=changes.name if account.is_skeleton else None,
        email_address=changes.email_address if account.email_address == placeholder_email(subscription_id) else None,
    )
    if lacking == Texts():
        return account
    lacking = replace(lacking, address=None if account.address else changes.address)
    return _written(account, lacking, Texts(), {}, subscription_id, m3ter)


def _differing(account: Account, texts: Texts) -> Texts:
    """The texts that the account has otherwise."""
    return Texts(
        name=None if texts.name == account.name else texts.name,
        email_address=None if texts.email_address == account.email_address else texts.email_address,
        address=None if texts.address is None or _has(account, texts.address) else texts.address,
    )


def _has(account: Account, address: AccountAddress) -> bool:
    """Say whether the account has this address; what m3ter alone knows of, a third line perhaps, is a person's."""
    wanted = address.to_m3ter()
    return all((account.address.get(name) or "") == wanted.get(name, "") for name in AccountAddress.FIELDS)


def _written(
    account: Account,
    changes: Texts,
    plain: Texts,
    custom_fields: Mapping[str, str],
    subscription_id: str,
    m3ter: M3terClient,
    *,
    must: bool = False,
) -> Account:
    """Change the account as far as m3ter takes it; nothing at all, rather than wait for a person, unless it `must`."""

    def write(texts: Texts) -> Account:
        if texts == Texts() and not custom_fields:
            return account
        return m3ter.update_account(
            account,
            name=texts.name,
            email_address=texts.email_address,
            address=texts.address,
            custom_fields=custom_fields or None,
        )

    try:
        written, left_out = as_taken(changes, plain, write)
    except (NeedsConfiguration, VendorRejected) as refusal:
        if must or not may_be_about_a_text(refusal):
            raise
        # Then it minds what the account has already, since all of it is written back.
        written, left_out = account, changes.other_than(Texts()) or tuple(Part)
    tell(subscription_id, left_out)
    return written


def _keep(link: AccountLink, account: Account, subscription: Subscription) -> None:
    """Bring the link up to date."""
    now = {
        "name": account.name[:LONGEST_NAME],
        "buyer_known": True,
        "paddle_customer_id": subscription.customer_id,
        "paddle_address_id": subscription.address_id or "",
        "paddle_business_id": subscription.business_id or "",
    }
    if all(getattr(link, name) == value for name, value in now.items()):
        return
    for name, value in now.items():
        setattr(link, name, value)
    link.updated_at = clock.now()
    link.save(update_fields=[*now, "updated_at"])
