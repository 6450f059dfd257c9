"""What nobody outside Paddle knows for sure, in one place: every guess the simulator is built on.

`GUESSES` says them in words; the constants below are the values the rest of the package takes from here. When a sandbox
shows that one is wrong, it is changed here and nowhere else.
"""

GUESSES: dict[str, str] = {
    "error statuses": "Codes in UNCONFIRMED_STATUSES have the documented name; their HTTP status is not documented.",
    "unknown fields": "Fields and query parameters that Paddle does not document are refused with invalid_field.",
    "negative amounts": "A unit price below zero is refused with invalid_field.",
    "foreign currency": "A charge item in another currency than the subscription's is refused with invalid_field.",
    "decimals": "CLP and VND have no decimals, like JPY and KRW.",
    "minimums": "70 for USD and 55 for GBP are known; the others are about 0.70 USD.",
    "minimum of a charge": "Checked on each charge alone, tax included, for both values of effective_from.",
    "more than 100 lines": "Items sent, pending and recurring are counted together; excess has the line items code.",
    "trialing": "A trialing subscription takes charges; set `trialing_refused` to see the refusal.",
    "trial items": "The transaction that begins a trial costs nothing; the first real bill comes at the trial's end.",
    "paused": "A paused subscription refuses charges with subscription_not_active.",
    "after the period": "Between the period's end and its renewal a subscription is subscription_locked_processing.",
    "immediate limits": "20 an hour and 100 a day count immediate charges, declined ones too, on business time.",
    "declined, prevent_change": "A canceled transaction with the marker stays visible; nothing is in the history.",
    "manual, immediately": "The transaction is billed at once and an invoice is issued.",
    "pending charge events": "A charge for the next period sends subscription.updated.",
    "history ids": "group_id has a prefix of its own; one group for each entry.",
    "history of a pending charge": "transaction_id stays null, also after the renewal.",
    "product custom data": "A non-catalog product's custom_data is shown in next_transaction before the renewal.",
    "renewal": "The renewal transaction is dated when renewals are run; its billing period follows the old one.",
    "a declined renewal": "The new period begins although the renewal is unpaid; the subscription becomes past_due.",
    "scheduled changes": "Carried out when renewals are run, dated as scheduled; a renewal cannot be moved meanwhile.",
    "scheduled resumes": "A pause with resume_at becomes a scheduled change `resume` with that moment twice.",
    "an early activation": "The items' trial_dates end, and the billing day becomes the day, of the activation.",
    "another currency": "Needs items priced in it, and is subscription_locked_pending_changes while charges wait.",
    "another customer": "Address and business must be the new customer's, else invalid_field; charges that wait stay.",
    "items of a paused subscription": "They can be changed; the new ones are inactive until it resumes.",
    "archived prices": "An item that is there stays; a new one is refused with entity_archived.",
    "past due": "A past_due subscription does not renew again until it is paid.",
    "a recovered payment": "subscription.updated and subscription.activated are sent when a past_due one is paid.",
    "tax": "The address's country decides (TAX_RATES); each line is rounded half up and the lines are added.",
    "account_setting": "The account's tax mode is external: tax is added to the price.",
    "fees": "5 % and 50 of the lowest denomination, known once the transaction is completed.",
    "included nulls": "include=business of a transaction without a business leaves the key out.",
    "resuming": "Not simulated: on_resume takes start_new_billing_period only, as it does where it is left out.",
    "proration": "Not simulated: PATCH takes do_not_bill and full_next_billing_period only.",
    "refunds": "Sandbox refunds wait for `settle_adjustments`, credits are approved at once.",
    "sandbox retries": "The three retries follow after SANDBOX_RETRIES seconds.",
    "answers to webhooks": "Only 200 counts as delivered; redirects and other 2xx are failures.",
    "a destination out of reach": "While webhooks are silenced events make no notifications, not even failed ones.",
    "re-signing": "Each attempt is signed when it is sent, with a fresh timestamp.",
    "rotation": "While a secret is being rotated both sign: two h1 values, the new secret's first.",
    "permissions": "Reading events needs notification.read; currencies, event types and addresses of Paddle need none.",
}

UNCONFIRMED_STATUSES: dict[str, int] = {
    "authentication_missing": 401,
    "authentication_malformed": 401,
    "invalid_token": 401,
    "customer_already_exists": 409,
    "entity_archived": 400,
    "notification_cannot_replay": 400,
    "notification_maximum_active_settings_reached": 400,
    "notification_replay_invalid_origin_type": 400,
    "product_tax_category_not_approved": 400,
    "receipt_data_not_enabled": 400,
    "subscription_charge_duplicate_price_ids": 400,
    "subscription_is_canceled_action_invalid": 400,
    "subscription_is_inactive_action_invalid": 400,
    "subscription_cannot_be_paused": 400,
    "subscription_maximum_number_of_line_items_reached": 400,
    "subscription_missing_payment_method_cannot_update": 400,
    "subscription_product_tax_category_not_approved": 400,
    "subscription_quantity_not_valid": 400,
    "subscription_update_when_canceled": 400,
    "subscription_update_when_trialing": 400,
    "transaction_billing_details_must_be_null": 400,
    "transaction_billing_details_object_required": 400,
    "transaction_currency_code_not_valid_for_manual": 400,
    "transaction_custom_data_numeric_value_too_large": 400,
    "transaction_default_checkout_url_not_set": 400,
    "transaction_duplicate_price_ids": 400,
    "transaction_immutable": 400,
    "transaction_item_quantity_out_of_range": 400,
    "transaction_maximum_number_of_line_items_reached": 400,
    "transaction_payment_terms_object_required": 400,
}

ZERO_DECIMAL_CURRENCIES = frozenset({"JPY", "KRW", "CLP", "VND"})
"""JPY and KRW are certain."""

MINIMUM_AMOUNTS: dict[str, int] = {
    "USD": 70,
    "EUR": 65,
    "GBP": 55,
    "JPY": 105,
    "AUD": 105,
    "CAD": 95,
    "CHF": 60,
    "HKD": 550,
    "SGD": 90,
    "SEK": 700,
    "ARS": 70000,
    "BRL": 380,
    "CLP": 650,
    "CNY": 500,
    "COP": 290000,
    "CZK": 1600,
    "DKK": 480,
    "HUF": 25000,
    "ILS": 260,
    "INR": 6000,
    "KRW": 960,
    "MXN": 1300,
    "NOK": 750,
    "NZD": 120,
    "PEN": 260,
    "PLN": 280,
    "RUB": 6500,
    "THB": 2400,
    "TRY": 2400,
    "TWD": 2200,
    "UAH": 2900,
    "VND": 17500,
    "ZAR": 1250,
}
"""USD and GBP are known."""

CURRENCY_COUNTRIES: dict[str, tuple[str, ...]] = {
    "USD": ("US",),
    "EUR": ("AT", "BE", "DE", "ES", "FI", "FR", "IE", "IT", "NL", "PT"),
    "GBP": ("GB",),
    "JPY": ("JP",),
}

TAX_RATES: dict[str, str] = {
    "DE": "0.19",
    "FR": "0.2",
    "GB": "0.2",
    "IE": "0.23",
    "US": "0",
    "CH": "0.081",
    "JP": "0.1",
}
OTHER_TAX_RATE = "0.2"

LIVE_FIRST_RETRY, LIVE_FACTOR, LIVE_ATTEMPTS = 60.0, 1.1, 60
"""Documented: an interval of 60 s, a factor of 1.1, up to 60 attempts in 3 days."""
SANDBOX_RETRIES = (60.0, 240.0, 600.0)
"""Documented: 3 retries within 15 minutes; when exactly is not."""
