"""What nobody outside Paddle knows for sure about Classic, in one place: every guess the simulator is built on.

`GUESSES` says them in words; the constants below are the values the rest of the package takes from here.
"""

from decimal import Decimal

GUESSES: dict[str, str] = {
    "wrong credentials": "A wrong pair of vendor id and auth code gets code 107, and so does none.",
    "unknown fields": "A field that an operation does not have is refused with code 101, unlike in Classic itself.",
    "forms only": "A body of JSON is refused with code 101, although Classic takes it for most operations.",
    "pages": "The lists of users and modifiers give at most USERS_PAGE entries a page, and 20 unless asked.",
    "users": "quantity stands in every entry of the list of users; a deleted one has no next_payment.",
    "payments": "Payments to come are listed with is_paid 0.",
    "order": "Lists are in the order of their ids, the alert history newest first.",
    "alert ids": "The id in the alert history is the alert_id; ids in its fields are numbers, amounts texts.",
    "retries": "An alert that was not taken is sent again after RETRIES seconds, then given up.",
    "answers to alerts": "Only 200 counts as delivered.",
    "signing": "An alert is signed once; every attempt sends the same body.",
    "a subscription begins": "subscription_created is sent, then subscription_payment_succeeded, none in a trial.",
    "a change": "subscription_updated is sent at once, the new price holds from the next payment on.",
    "a pause": "The state stays active until paused_from, the day of the next payment; then it changes, and is told.",
    "a resume": "Inside the paid period nothing else changes; after it the next payment is due at once.",
    "a cancellation": "The state is deleted at once; cancellation_effective_date is the day of the next payment.",
    "a failed payment": "subscription_payment_failed is sent, then subscription_updated with the status past_due.",
    "a payment that recovers": "It does so by the control `pay` only; then subscription_updated is sent too.",
    "next_bill_date": "It moves on from the day that was paid for, not from the day it was paid on.",
    "fees": "FEE_RATE and FEE_FIXED, none of a payment of nothing; the balance is in the currency of the payment.",
    "tax": "A plan has none until the control `set_tax` says so. It is rounded half up, on the sum.",
    "balance": "It reduces what is paid, tax included; the tax is then what is in the amount that is left to pay.",
    "a payment of nothing": "It is made, and told, like any other.",
    "modifiers": "One of nothing is refused with code 155; a trialing, paused or past due subscription takes them too.",
    "modifiers of a deleted subscription": "They stay listed, may be deleted, and are never collected.",
    "a payment past due": "What it comes to is settled when it first fails: later modifiers wait for the one after.",
    "modifiers past due": "Those in a payment that is past due stay listed; deleting one gets code 146.",
    "an invoice under way": "From the day of the next payment until it is made, modifiers get code 146.",
    "paid modifiers": "They are not listed any more; deleting one gets code 124.",
    "after": "The list of modifiers gives those with an id above `after`.",
    "who may be charged": "Active subscriptions only; any other gets code 197 for a one-off charge, a deleted one 187.",
    "what is charged": "Plan tax is added to the amount unless the plan's prices hold theirs; the answer has the sum.",
    "minimum": "MINIMUM_CHARGES, of the amount before tax; modifiers have none.",
    "an answer to a charge": "It has order_id, and status `success`; invoice_id is the id of the payment.",
    "one-off charges": "They are the last_payment, as recordings show; modifiers, balance and dates stay.",
    "the alert of a one-off charge": "ONE_OFF_ALERT, with the fields of any payment; initial_payment is 0.",
    "a declined charge": "Code 188; it leaves no payment and sends no alert.",
    "charge limit": "Off until the control `limit_charges` says how many a minute a subscription takes; then code 189.",
    "receipts": "The order id is in the address of a receipt, between slashes, and ends with the id of the payment.",
    "dates of payments": "`from` and `to` are the first and the last payout_date; both may be left out.",
    "refunds": "One that is asked for by the API waits for `settle_refunds`; the control `refund` gives back at once.",
    "refund codes": "More than is left gets 156, nothing or less 155, a payment older than REFUND_DAYS 172.",
    "parts of a refund": "Tax and fee in proportion, the last part gets the rest; `full` once nothing is left.",
    "a refund of tax": "refund_type `vat`: its amount is tax alone, and the fee stays.",
    "a refund that is rejected": "Nothing is sent.",
    "rate limit": "LIMIT calls a minute for an address, then HTTP 429 with the text of an edge.",
}
LIMIT = 120
USERS_PAGE = 200
LIST_PAGE = 500
DEFAULT_PAGE = 20
ALERTS_PAGE = 250
DEFAULT_ALERTS_PAGE = 10
RETRIES = (60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0, 48 * 3600.0)
FEE_RATE = Decimal("0.05")
FEE_FIXED = Decimal("0.50")
MINIMUM_CHARGES = {"USD": Decimal("0.70"), "EUR": Decimal("0.65"), "GBP": Decimal("0.55")}
ONE_OFF_ALERT = "subscription_payment_succeeded"
REFUND_DAYS = 60
DAYS_TO_RETRY = 3
"""Days after which a failed payment is tried again."""
