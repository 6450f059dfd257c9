"""What nobody outside Paddle knows for sure about Classic, in one place: every guess the simulator is built on.

`GUESSES` says them in words; the constants below are the values the rest of the package takes from here.
"""

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
    "fees": "5 % and 0.50; tax is none; the balance is in the currency of the payment.",
    "rate limit": "LIMIT calls a minute for an address, then HTTP 429 with the text of an edge.",
}
LIMIT = 120
USERS_PAGE = 200
LIST_PAGE = 500
DEFAULT_PAGE = 20
ALERTS_PAGE = 250
DEFAULT_ALERTS_PAGE = 10
RETRIES = (60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0, 48 * 3600.0)
DAYS_TO_RETRY = 3
"""Days after which a failed payment is tried again."""
