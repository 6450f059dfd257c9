"""The currencies Paddle takes money in, with their decimals and minimum amounts."""

from typing import Any

from integration_project.vendors.paddle.simulator import guesses

NAMES = {
    "USD": "United States Dollar",
    "EUR": "Euro",
    "GBP": "Pound Sterling",
    "JPY": "Japanese Yen",
    "AUD": "Australian Dollar",
    "CAD": "Canadian Dollar",
    "CHF": "Swiss Franc",
    "HKD": "Hong Kong Dollar",
    "SGD": "Singapore Dollar",
    "SEK": "Swedish Krona",
    "ARS": "Argentine Peso",
    "BRL": "Brazilian Real",
    "CLP": "Chilean Peso",
    "CNY": "Chinese Yuan",
    "COP": "Colombian Peso",
    "CZK": "Czech Koruna",
    "DKK": "Danish Krone",
    "HUF": "Hungarian Forint",
    "ILS": "Israeli Shekel",
    "INR": "Indian Rupee",
    "KRW": "South Korean Won",
    "MXN": "Mexican Peso",
    "NOK": "Norwegian Krone",
    "NZD": "New Zealand Dollar",
    "PEN": "Peruvian Sol",
    "PLN": "Polish Zloty",
    "RUB": "Russian Ruble",
    "THB": "Thai Baht",
    "TRY": "Turkish Lira",
    "TWD": "New Taiwan Dollar",
    "UAH": "Ukrainian Hryvnia",
    "VND": "Vietnamese Dong",
    "ZAR": "South African Rand",
}
PAYOUT_CURRENCIES = frozenset(
    ["AUD", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HUF", "PLN", "SEK", "USD", "ZAR"]
)
MANUAL_CURRENCIES = frozenset({"USD", "EUR", "GBP"})


def decimal_places(code: str) -> int:
    """How many decimals Paddle uses for a currency."""
    return 0 if code in guesses.ZERO_DECIMAL_CURRENCIES else 2


def minimum(code: str) -> int:
    """The least Paddle charges, in the lowest denomination."""
    return guesses.MINIMUM_AMOUNTS[code]


def listed() -> list[dict[str, Any]]:
    """What GET /currencies answers."""
    return [
        {
            "code": code,
            "name": name,
            "decimal_places": decimal_places(code),
            "minimum_payment_amount": str(minimum(code)),
            "can_be_balance": code in PAYOUT_CURRENCIES,
            "applicable_countries": list(guesses.CURRENCY_COUNTRIES.get(code, ())),
        }
        for code, name in NAMES.items()
    ]
