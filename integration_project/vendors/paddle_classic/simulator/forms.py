"""The fields of a request, which every operation of Classic takes as a form: read once, checked against a table."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from urllib.parse import parse_qsl

from integration_project.vendors.paddle_classic.simulator.amounts import CENT
from integration_project.vendors.paddle_classic.simulator.refusals import refuse
from integration_project.vendors.simulation import Request, parse_time

CREDENTIALS = ("vendor_id", "vendor_auth_code")
AMOUNT = re.compile(r"-?\d{1,12}(?:\.\d{1,2}0*)?", re.ASCII)
FORM = "application/x-www-form-urlencoded"


def fields_of(request: Request) -> dict[str, str]:
    """All fields, credentials included; a body that is no form is refused."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != FORM:
        raise refuse(101, "The body is not a form.")
    try:
        pairs = parse_qsl(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
    except (ValueError, UnicodeError):
        raise refuse(101, "The body cannot be read as a form.") from None
    if len(dict(pairs)) < len(pairs):
        raise refuse(101, "A field stands twice.")
    return dict(pairs)


class Form:
    """The fields of one request, without the credentials."""

    def __init__(self, request: Request, *, known: str) -> None:
        fields = fields_of(request)
        self.values: Mapping[str, str] = {name: text for name, text in fields.items() if name not in CREDENTIALS}
        unknown = sorted(set(self.values) - set(known.split()))
        if unknown:
            raise refuse(101, f"There is no field {', '.join(unknown)}.")

    def text(self, name: str) -> str | None:
        """A text, if there is one."""
        return self.values.get(name)

    def needed(self, name: str) -> str:
        """A text that must be there."""
        value = self.values.get(name)
        if not value:
            raise refuse(116, f"{name} is missing.")
        return value

    def number(self, name: str, *, default: int | None = None, most: int | None = None, code: int = 101) -> int | None:
        """A whole number, if there is one, from 0 to the most that is taken."""
        value = self.values.get(name)
        if value is None:
            return default
        if not value.isascii() or not value.isdigit() or len(value) > 15:
            raise refuse(code, f"{name} is not a whole number.")
        return int(value) if most is None else min(int(value), most)

    def identifier(self, name: str, *, code: int = 101) -> int:
        """An id that must be there."""
        self.needed(name)
        found = self.number(name, code=code)
        if found is None:
            raise refuse(116, f"{name} is missing.")
        return found

    def amount(self, name: str) -> Decimal:
        """An amount in major units with no more than two decimals, those aside that are nought."""
        text = self.needed(name)
        if not AMOUNT.fullmatch(text):
            raise refuse(155)
        return Decimal(text).quantize(CENT)

    def switch(self, name: str, *, default: bool) -> bool:
        """A yes or no."""
        value = self.values.get(name)
        if value is None:
            return default
        if value.lower() not in {"0", "1", "true", "false"}:
            raise refuse(101, f"{name} is not true or false.")
        return value.lower() in {"1", "true"}

    def day(self, name: str) -> date | None:
        """A day as Classic writes it, if there is one."""
        value = self.values.get(name)
        if value is None:
            return None
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
            raise refuse(122)
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise refuse(122) from None

    def moment(self, name: str) -> str | None:
        """A moment as Classic writes it, if there is one."""
        value = self.values.get(name)
        if value is None:
            return None
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}", value, re.ASCII):
            raise refuse(122)
        try:
            parse_time(f"{value}+00:00")
        except ValueError:
            raise refuse(122) from None
        return value
