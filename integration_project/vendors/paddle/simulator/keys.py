"""API keys: who may call, with which permissions."""

import re
from collections.abc import Mapping

from integration_project.vendors.paddle.simulator.refusals import refuse
from integration_project.vendors.simulation import Request

ALL: frozenset[str] = frozenset({"*"})
PATTERN = re.compile(r"pdl_(live|sdbx)_apikey_[a-z\d]{26}_[a-zA-Z\d]{22}_[a-zA-Z\d]{3}")
INCLUDED: Mapping[str, str] = {
    "address": "address.read",
    "adjustments": "adjustment.read",
    "adjustments_totals": "adjustment.read",
    "business": "business.read",
    "customer": "customer.read",
    "discount": "discount.read",
    "next_transaction": "transaction.read",
    "prices": "price.read",
    "product": "product.read",
    "recurring_transaction_details": "transaction.read",
}


def check(request: Request, permission: str | None, keys: Mapping[str, frozenset[str]]) -> None:
    """Refuse a caller without a valid key, or one whose key lacks a permission the request needs."""
    granted = keys.get(_key(request))
    if granted is None:
        raise refuse("invalid_token", "The API key is not valid.")
    needed = {permission} if permission else set()
    needed |= {INCLUDED[name] for name in (request.param("include") or "").split(",") if name in INCLUDED}
    missing = sorted(needed - granted) if "*" not in granted else []
    if missing:
        raise refuse("forbidden", f"You aren't permitted to perform this request: {', '.join(missing)} is missing.")


def _key(request: Request) -> str:
    header = request.headers.get("authorization")
    if not header:
        raise refuse("authentication_missing", "Authentication header is missing.")
    scheme, _, key = header.partition(" ")
    malformed_new_key = key.startswith("pdl_") and not PATTERN.fullmatch(key)
    if scheme != "Bearer" or not key or " " in key or malformed_new_key:
        raise refuse("authentication_malformed", "Authentication header is malformed.")
    return key
