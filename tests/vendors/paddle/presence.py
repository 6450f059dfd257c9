"""Every field that the reference lists for each Paddle entity, written down apart from the simulator.

A name that ends in `?` may be null; every name must be there. A dict describes an object, a list of one dict a list of
objects. The OpenAPI document says nothing about presence: by it alone `{}` would be a subscription.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Table = Mapping[str, Any]


def _names(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split())


MONEY = _names("amount currency_code")
PERIOD = _names("starts_at ends_at")
DURATION = _names("interval frequency")
AMOUNTS = _names("subtotal discount tax total")
PLAIN_AMOUNTS = _names("subtotal tax total")
IMPORT_META = _names("external_id? imported_from")

PRODUCT: Table = {
    **_names(
        "id name description? type tax_category image_url? custom_data? status import_meta? created_at updated_at"
    ),
}
PREVIEW_PRODUCT: Table = {**{name: part for name, part in PRODUCT.items() if name != "id"}, "id?": None}
PRICE: Table = {
    **_names("id product_id description type name? tax_mode status custom_data? import_meta? created_at updated_at"),
    "billing_cycle?": DURATION,
    "trial_period?": DURATION,
    "unit_price": MONEY,
    "unit_price_overrides": [{"country_codes": None, "unit_price": MONEY}],
    "quantity": _names("minimum maximum"),
}
CUSTOMER: Table = _names(
    "id name? email marketing_consent status custom_data? locale created_at updated_at import_meta?"
)
ADDRESS: Table = _names(
    "id customer_id description? first_line? second_line? city? postal_code? region? country_code custom_data? status "
    "created_at updated_at import_meta?"
)
BUSINESS: Table = {
    **_names("id customer_id name company_number? tax_identifier? status created_at updated_at custom_data?"),
    "import_meta?": IMPORT_META,
    "contacts": [_names("name email")],
}
BILLING_DETAILS: Table = {
    **_names("enable_checkout purchase_order_number additional_information?"),
    "payment_terms": DURATION,
}
SUBSCRIPTION_ITEM: Table = {
    **_names("status quantity recurring created_at updated_at previously_billed_at? next_billed_at?"),
    "trial_dates?": PERIOD,
    "price": PRICE,
    "product": PRODUCT,
}
WEBHOOK_SUBSCRIPTION: Table = {
    **_names(
        "id status customer_id address_id business_id? currency_code created_at updated_at started_at? "
        "first_billed_at? next_billed_at? paused_at? canceled_at? collection_mode custom_data? consent_requirements?"
    ),
    "discount?": _names("id starts_at? ends_at?"),
    "billing_details?": BILLING_DETAILS,
    "current_billing_period?": PERIOD,
    "billing_cycle": DURATION,
    "scheduled_change?": _names("action effective_at resume_at?"),
    "items": [SUBSCRIPTION_ITEM],
    "import_meta?": IMPORT_META,
}
SUBSCRIPTION: Table = {**WEBHOOK_SUBSCRIPTION, "management_urls": _names("update_payment_method? cancel")}
CREATED_SUBSCRIPTION: Table = {**WEBHOOK_SUBSCRIPTION, "transaction_id": None}

TAX_RATES = [{"tax_rate": None, "totals": AMOUNTS}]
TOTALS: Table = {
    **AMOUNTS,
    **_names("credit credit_to_balance balance grand_total grand_total_tax fee? earnings? currency_code"),
}
LINE_ITEM: Table = {
    **_names("id price_id quantity proration? tax_rate"),
    "unit_totals": AMOUNTS,
    "totals": AMOUNTS,
    "product": PRODUCT,
}
TRANSACTION: Table = {
    **_names(
        "id status customer_id? address_id? business_id? custom_data? currency_code origin subscription_id? "
        "invoice_id? invoice_number? collection_mode discount_id? created_at updated_at billed_at? revised_at?"
    ),
    "billing_details?": BILLING_DETAILS,
    "billing_period?": PERIOD,
    "items": [{"price_id?": None, "price": PRICE, "quantity": None, "proration?": None}],
    "details": {
        "tax_rates_used": TAX_RATES,
        "totals": TOTALS,
        "adjusted_totals": _names("subtotal tax total grand_total fee? earnings? currency_code"),
        "payout_totals?": {
            **AMOUNTS,
            **_names("credit credit_to_balance balance grand_total fee earnings currency_code"),
        },
        "adjusted_payout_totals?": _names("subtotal tax total fee earnings currency_code"),
        "line_items": [LINE_ITEM],
    },
    "payments": [
        {
            **_names(
                "payment_attempt_id payment_method_id? stored_payment_method_id amount status error_code? created_at "
                "captured_at?"
            ),
            "method_details": {
                "type": None,
                "card?": _names("type last4 expiry_month expiry_year cardholder_name"),
            },
        }
    ],
    "checkout?": _names("url?"),
}
PREVIEW_LINE_ITEM: Table = {
    **_names("price_id? quantity tax_rate proration?"),
    "unit_totals": AMOUNTS,
    "totals": AMOUNTS,
    "product": PREVIEW_PRODUCT,
}
PREVIEW_DETAILS: Table = {"tax_rates_used": TAX_RATES, "totals": TOTALS, "line_items": [PREVIEW_LINE_ITEM]}
PREVIEW_TRANSACTION: Table = {"billing_period": PERIOD, "details": PREVIEW_DETAILS, "adjustments": None}
TRANSACTION_PREVIEW: Table = {
    **_names(
        "customer_id? address_id? business_id? currency_code discount_id? customer_ip_address? address? ignore_trials "
        "available_payment_methods"
    ),
    "items": [
        {
            **_names("quantity include_in_totals proration?"),
            "price": {
                **{name: part for name, part in PRICE.items() if name not in ("id", "product_id")},
                **_names("id? product_id?"),
            },
        }
    ],
    "details": PREVIEW_DETAILS,
}
SUBSCRIPTION_WITH_INCLUDES: Table = {
    **SUBSCRIPTION,
    "next_transaction?": PREVIEW_TRANSACTION,
    "recurring_transaction_details": PREVIEW_DETAILS,
}
CHARGE_PREVIEW: Table = {
    **{name: part for name, part in SUBSCRIPTION.items() if name != "id"},
    "immediate_transaction?": PREVIEW_TRANSACTION,
    "next_transaction?": PREVIEW_TRANSACTION,
    "recurring_transaction_details": PREVIEW_DETAILS,
    "update_summary?": {
        "credit": MONEY,
        "charge": MONEY,
        "result": _names("action amount currency_code"),
    },
}
ADJUSTMENT: Table = {
    **_names(
        "id action type transaction_id subscription_id? customer_id reason credit_applied_to_balance? currency_code "
        "status payout_totals? created_at updated_at"
    ),
    "items": [{**_names("id item_id type amount? proration?"), "totals": PLAIN_AMOUNTS}],
    "totals": {**PLAIN_AMOUNTS, **_names("fee retained_fee earnings currency_code")},
    "tax_rates_used": [{"tax_rate": None, "totals": PLAIN_AMOUNTS}],
}
CURRENCY: Table = _names("code name decimal_places minimum_payment_amount can_be_balance applicable_countries")
EVENT: Table = _names("event_id event_type occurred_at data")
ENVELOPE: Table = {**EVENT, "notification_id": None}
EVENT_TYPE: Table = _names("name description group available_versions")
NOTIFICATION: Table = {
    **_names(
        "id type status occurred_at delivered_at? replayed_at? origin last_attempt_at? retry_at? times_attempted "
        "notification_setting_id"
    ),
    "payload": ENVELOPE,
}
NOTIFICATION_LOG: Table = _names("id response_code response_content_type? response_body attempted_at")
NOTIFICATION_SETTING: Table = {
    **_names(
        "id description type destination active api_version include_sensitive_fields traffic_source endpoint_secret_key"
    ),
    "subscribed_events": [EVENT_TYPE],
}
HISTORY_ENTRY: Table = {
    **_names("id group_id subscription_id occurred_at source reason?"),
    "actor": _names("type id?"),
    "detail": _names("action"),
}
CHARGE_IN_HISTORY: Table = {
    **HISTORY_ENTRY,
    "detail": {
        **_names("action effective_from on_payment_failure transaction_id?"),
        "items": [{"price": PRICE, "quantity": None}],
    },
}
RENEWAL_IN_HISTORY: Table = {
    **HISTORY_ENTRY,
    "detail": {**_names("action transaction_id next_billed_at"), "current_billing_period": PERIOD},
}
PAYMENT_IN_HISTORY: Table = {**HISTORY_ENTRY, "detail": _names("action operation transaction_id")}
PAGINATION: Table = _names("per_page next has_more estimated_total")
ERROR: Table = {"error": _names("type code detail documentation_url"), "meta": _names("request_id")}

EVENT_DATA: Mapping[str, Table] = {
    "address": ADDRESS,
    "adjustment": ADJUSTMENT,
    "business": BUSINESS,
    "customer": CUSTOMER,
    "price": PRICE,
    "product": PRODUCT,
    "subscription": WEBHOOK_SUBSCRIPTION,
    "transaction": TRANSACTION,
}

NEWER_THAN_THE_DOCUMENT = {
    "consent_requirements",
    "grand_total_tax",
    "retained_fee",
    "exchange_rate",
    "fee_rate",
    "requires_payment_method",
    "south_korea_local_card",
}
"""Fields of newer answers, seen in SDK 1.16.1, that the document of 2025-05 does not know."""


def missing(table: Table, entity: Any, path: str = "") -> Iterator[str]:
    """What an entity lacks, or has as null where it may not be."""
    if not isinstance(entity, dict):
        yield f"{path or 'entity'} is not an object"
        return
    for name, part in table.items():
        key = name.removesuffix("?")
        where = f"{path}.{key}".lstrip(".")
        if key not in entity:
            yield f"{where} is missing"
        elif entity[key] is None:
            if not name.endswith("?"):
                yield f"{where} is null"
        else:
            yield from _missing_inside(part, entity[key], where)


def _missing_inside(part: Any, value: Any, where: str) -> Iterator[str]:
    if isinstance(part, list):
        for index, element in enumerate(value):
            yield from missing(part[0], element, f"{where}.{index}")
    elif part is not None:
        yield from missing(part, value, where)


def unknown(table: Table, entity: Any, path: str = "") -> Iterator[str]:
    """Fields of an entity that the table does not list; for what the OpenAPI document does not describe."""
    if not isinstance(entity, dict) or not table:
        return
    parts = {name.removesuffix("?"): part for name, part in table.items()}
    for key, value in entity.items():
        where = f"{path}.{key}".lstrip(".")
        if key not in parts:
            yield where
        elif isinstance(parts[key], list):
            for element in value:
                yield from unknown(parts[key][0], element, where)
        elif parts[key] is not None:
            yield from unknown(parts[key], value, where)
