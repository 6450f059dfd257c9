"""Personal data in what vendors send: which fields hold it, and the same data with those fields masked. Pure."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl

MASK = "●●●●●● (masked)"

# Wherever they stand: contact details, addresses, tax ids, card data, and whatever a buyer's browser may have set.
ALWAYS = frozenset(
    {
        "email",
        "email_address",
        "emailaddress",
        "phone",
        "phone_number",
        "first_line",
        "second_line",
        "address",
        "address_line1",
        "address_line2",
        "city",
        "region",
        "postal_code",
        "postcode",
        "tax_identifier",
        "company_number",
        "vat_number",
        "cardholder_name",
        "last4",
        "expiry_month",
        "expiry_year",
        "card_last_four",
        "customer_name",
        "full_name",
        "first_name",
        "last_name",
        "ip",
        "ip_address",
        "passthrough",
        "receipt_url",
        "update_url",
        "cancel_url",
        "update_payment_method",
        "accountname",
    }
)
# A name is a person's or a company's only inside these; of a product or a price it is not.
PEOPLE = frozenset({"customer", "business", "address", "contacts", "account", "accounts"})
PEOPLES_WORDS = frozenset({"name", "description", "code"})
# Our own words in custom data; the rest of it may be anything.
OUR_CUSTOM_DATA = frozenset({"push_id", "attempt", "m3ter_bill_id"})
FORM = re.compile(r"[\w\[\].%-]+=[^\s]*$")
E_MAIL = re.compile(r"[^\s@\"<>]+@[^\s@\"'<>]+\.[^\s@\"'<>]+")


def readable(body: str) -> Any:
    """Read a body as JSON, or as the form that Paddle Classic posts; the text itself where it is neither."""
    try:
        return json.loads(body, parse_float=str)
    except ValueError:
        return dict(parse_qsl(body, keep_blank_values=True)) if FORM.match(body) else body


def masked(data: Any, *, event_type: str = "") -> Any:
    """Give the same data with every personal value masked; the shape stays, so that operators can read it."""
    about = event_type.partition(".")[0]
    inside = "customer" if about in PEOPLE else ""
    return _masked(data, inside=inside if not isinstance(data, dict) or "data" not in data else "", root=inside)


def _masked(value: Any, *, inside: str, root: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _field(key, item, inside=inside, root=root) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, inside=inside) for item in value]
    return E_MAIL.sub(MASK, value) if isinstance(value, str) else value


def _field(key: str, value: Any, *, inside: str, root: str) -> Any:
    word = key.lower()
    if word == "custom_data" and isinstance(value, dict):
        return {name: item if name in OUR_CUSTOM_DATA else _hidden(item) for name, item in value.items()}
    if word == "custom_data":
        return _hidden(value)  # Paddle Classic writes it as a text of JSON
    if word in PEOPLE and isinstance(value, dict | list):
        return _masked(value, inside=word)
    if word in ALWAYS or (inside in PEOPLE and word in PEOPLES_WORDS):
        return _hidden(value)
    return _masked(value, inside=root if key == "data" and root else inside)


def _hidden(value: Any) -> Any:
    """Mask every value, keeping what is empty visibly empty."""
    if isinstance(value, dict):
        return {key: _hidden(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item) for item in value]
    return value if value is None or value == "" or isinstance(value, bool) else MASK
