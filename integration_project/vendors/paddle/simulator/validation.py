"""Strict reading of request bodies: unknown fields, wrong types, lengths and formats are refused as Paddle does."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from integration_project.vendors.paddle.simulator import currencies
from integration_project.vendors.paddle.simulator.refusals import Problem, invalid, refuse
from integration_project.vendors.simulation import Request, parse_time

LARGEST_NUMBER = 2**53 - 1
Check = Callable[[Any, str, "Findings"], None]


class Findings:
    """What is wrong with a body: wrong JSON types apart from values that do not pass."""

    def __init__(self) -> None:
        self.types: list[Problem] = []
        self.values: list[Problem] = []

    def wrong_type(self, path: str, expected: str) -> None:
        """The value has another JSON type."""
        self.types.append((path, f"must be {expected}"))

    def bad(self, path: str, message: str) -> None:
        """The value has the right type and does not pass."""
        self.values.append((path, message))

    def refuse_if_any(self) -> None:
        """Raise the refusal, wrong types first (observed: those answer bad_request)."""
        if self.types:
            raise refuse("bad_request", "Invalid request.", errors=self.types)
        if self.values:
            raise invalid(*self.values)


@dataclass(frozen=True)
class Field:
    """One field of a body."""

    check: Check
    required: bool = False
    nullable: bool = False


def required(check: Check) -> Field:
    """A field that must be there."""
    return Field(check, required=True)


def optional(check: Check) -> Field:
    """A field that may be left out."""
    return Field(check)


def nullable(check: Check) -> Field:
    """A field that may be left out or null."""
    return Field(check, nullable=True)


Shape = Mapping[str, Field]


def text(minimum: int = 0, maximum: int | None = None, pattern: str | None = None) -> Check:
    """A string of these lengths."""

    def check(value: Any, path: str, findings: Findings) -> None:
        if not isinstance(value, str):
            findings.wrong_type(path, "a string")
        elif len(value) < minimum:
            findings.bad(path, f"must be at least {minimum} characters long")
        elif maximum is not None and len(value) > maximum:
            findings.bad(path, f"must be at most {maximum} characters long")
        elif pattern is not None and not re.fullmatch(pattern, value):
            findings.bad(path, f"must match {pattern}")

    return check


def identifier(prefix: str) -> Check:
    """An id of one kind."""
    return text(pattern=rf"{prefix}_[a-z\d]{{26}}")


def whole(minimum: int, maximum: int | None = None) -> Check:
    """A whole number within bounds."""

    def check(value: Any, path: str, findings: Findings) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            findings.wrong_type(path, "a whole number")
        elif value < minimum:
            findings.bad(path, f"must be greater than or equal to {minimum}")
        elif maximum is not None and value > maximum:
            findings.bad(path, f"must be less than or equal to {maximum}")

    return check


def flag(value: Any, path: str, findings: Findings) -> None:
    """True or false."""
    if not isinstance(value, bool):
        findings.wrong_type(path, "a boolean")


def choice(*values: str) -> Check:
    """One of a closed list of strings."""

    def check(value: Any, path: str, findings: Findings) -> None:
        if not isinstance(value, str):
            findings.wrong_type(path, "a string")
        elif value not in values:
            findings.bad(path, f"must be one of {', '.join(values)}")

    return check


def now_or_moment(value: Any, path: str, findings: Findings) -> None:
    """The word `immediately`, or a moment."""
    if value != "immediately":
        moment(value, path, findings)


def moment(value: Any, path: str, findings: Findings) -> None:
    """An RFC 3339 time with a zone."""
    if not isinstance(value, str):
        findings.wrong_type(path, "a string")
        return
    try:
        parse_time(value)
    except ValueError:
        findings.bad(path, "must be an RFC 3339 time")


def custom_data(value: Any, path: str, findings: Findings) -> None:
    """Any JSON object whose numbers JavaScript can hold."""
    if not isinstance(value, dict):
        findings.wrong_type(path, "an object")
    elif any(not -LARGEST_NUMBER <= number <= LARGEST_NUMBER for number in _numbers(value)):
        raise refuse("transaction_custom_data_numeric_value_too_large", f"A number in {path} is too large.")


def _numbers(value: Any) -> list[int | Decimal]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in _numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else []


def nothing(value: Any, path: str, findings: Findings) -> None:
    """Only null may be sent; reached when something else is."""
    findings.bad(path, "may only be null")


def shaped(shape: Shape) -> Check:
    """An object with exactly these fields."""

    def check(value: Any, path: str, findings: Findings) -> None:
        if not isinstance(value, dict):
            findings.wrong_type(path or "body", "an object")
            return
        inside = f"{path}." if path else ""
        for name in value:
            if name not in shape:
                findings.bad(f"{inside}{name}", "is not a field of this request")
        for name, field in shape.items():
            if name not in value:
                if field.required:
                    findings.bad(f"{inside}{name}", "is required")
            elif value[name] is None:
                if not field.nullable:
                    findings.bad(f"{inside}{name}", "must not be null")
            else:
                field.check(value[name], f"{inside}{name}", findings)

    return check


def either(*, by: str, shapes: Mapping[str, Shape]) -> Check:
    """An object whose shape depends on which one of several keys it has; exactly one must be there."""

    def check(value: Any, path: str, findings: Findings) -> None:
        if not isinstance(value, dict):
            findings.wrong_type(path, "an object")
            return
        present = [name for name in shapes if name in value]
        if len(present) != 1:
            findings.bad(path, f"must have exactly one of {by}")
            return
        shaped(shapes[present[0]])(value, path, findings)

    return check


def many(item: Check, *, minimum: int = 0, maximum: int | None = None) -> Check:
    """A list."""

    def check(value: Any, path: str, findings: Findings) -> None:
        if not isinstance(value, list):
            findings.wrong_type(path, "a list")
            return
        if len(value) < minimum:
            findings.bad(path, f"must have at least {minimum} items")
        if maximum is not None and len(value) > maximum:
            findings.bad(path, f"must have at most {maximum} items")
        for index, element in enumerate(value):
            item(element, f"{path}.{index}", findings)

    return check


DURATION: Shape = {"interval": required(choice("day", "week", "month", "year")), "frequency": required(whole(1))}
PERIOD: Shape = {"starts_at": required(moment), "ends_at": required(moment)}
MONEY: Shape = {
    "amount": required(text(pattern=r"\d{1,18}")),
    "currency_code": required(choice(*currencies.NAMES)),
}
OVERRIDE: Shape = {
    "country_codes": required(many(text(2, 2), minimum=1)),
    "unit_price": required(shaped(MONEY)),
}
QUANTITY: Shape = {"minimum": required(whole(1, 999_999_999)), "maximum": required(whole(1, 999_999_999))}
TAX_MODES = ("account_setting", "external", "internal", "location")
TAX_CATEGORIES = (
    "digital-goods",
    "ebooks",
    "implementation-services",
    "professional-services",
    "saas",
    "software-programming-services",
    "standard",
    "training-services",
    "website-hosting",
)
BILLING_DETAILS: Shape = {
    "enable_checkout": optional(flag),
    "purchase_order_number": optional(text(0, 100)),
    "additional_information": nullable(text(0, 1500)),
    "payment_terms": optional(shaped(DURATION)),
}


def checked(request: Request, shape: Shape) -> dict[str, Any]:
    """The body of the request, or the refusal that names every field that does not pass."""
    return passed({} if request.json is None else request.json, shape)


def passed(body: Any, shape: Shape) -> dict[str, Any]:
    """The same body, or the refusal that names every field that does not pass."""
    findings = Findings()
    shaped(shape)(body, "", findings)
    findings.refuse_if_any()
    return dict(body)
