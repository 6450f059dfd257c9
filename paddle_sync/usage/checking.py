"""Whether an item may be counted, and what is sent of it: everything m3ter would only notice later, or never. Pure.

The checks stand in the order in which a person would put things right: whose usage it is, of what, how much, when.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from integration_project.vendors import exact_json
from paddle_sync.usage import cells
from paddle_sync.usage.addresses import Address, Destination, Settled
from paddle_sync.usage.items import (
    ADDRESSES,
    AFTER_END,
    BILL_ON_NEXT,
    CORRECTION,
    FIELDS,
    LONGEST_UID,
    MARKS,
    Refusal,
)
from paddle_sync.usage.meters import NUMERIC, Meter, Meters
from paddle_sync.usage.rows import Problem

OLDEST = timedelta(days=400)
"""Our uids are kept that long, so nothing older can be told from a repeat."""
BACK_DATED = timedelta(days=35)
"""m3ter itself knows a uid for 35 days; usage that is older has to say that it is meant."""
FUTURE = timedelta(hours=1)
"""How far another clock may be ahead of ours."""
LONGEST_TEXT = 2_000
LONGEST_MOMENT = 64
"""Characters of a time; what is longer is none, and is not remembered with those that come again and again."""
LONGEST_METADATA = 256
"""m3ter's limit for values of METADATA fields."""
LONGEST_ADDRESS = 80
# A guess: m3ter's failure MissingField does not say which fields it means. Numeric ones are asked for.
NUMBERS_ARE_REQUIRED = True
_FIELDS = frozenset(FIELDS)
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class _Refused(Exception):
    """An item is not taken."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Checked(NamedTuple):
    """An item that may be counted once. A tuple, because making one of another kind took a tenth of a file's check."""

    destination: Destination
    key: bytes
    """Sixteen bytes of the SHA-256 of account code and uid."""
    content: int
    """Eight bytes of the SHA-256 of what was measured, as a signed number."""
    ts: datetime
    line: bytes
    """The measurement as m3ter takes it; the item itself where it waits for an account, or for a price."""
    late: bool = False
    """Whether its period's bill is approved, so that m3ter has to calculate that again."""
    on_next: Settled | None = None
    """The locked period it belongs to: it is not sent, but charged on the next bill after review."""
    late_for: str = ""
    """The approved bill of its period, where it is late."""


@dataclass(frozen=True)
class Circumstances:
    """What the checks compare with: m3ter's meters, the time, and whether numbers come as texts."""

    meters: Meters
    now: datetime
    from_text: bool = False
    """Whether every value is a text, as in a CSV file."""


def address_of(item: object) -> Address | Refusal:
    """The one way an item says whose usage it is."""
    if not isinstance(item, Mapping):
        return Refusal("not_an_object", "", "a measurement is a JSON object with meter, ts, values and an address.")
    given = [name for name in ADDRESSES if item.get(name) is not None]
    if len(given) != 1:
        names = ", ".join(ADDRESSES)
        if given:
            return Refusal("two_addresses", given[1], f"give one of {names}, not {len(given)} of them.")
        return Refusal("no_address", ADDRESSES[0], f"whose usage is it? Give one of {names}.")
    value = item[given[0]]
    if not isinstance(value, str) or not value or value != value.strip() or len(value) > LONGEST_ADDRESS:
        return Refusal(
            "bad_address",
            given[0],
            f"it must be a text of 1 to {LONGEST_ADDRESS} characters, without spaces around it.",
        )
    if not is_storable(value):
        return Refusal("bad_address", given[0], "it has a character in it that cannot be stored.")
    return given[0], value


def is_storable(text: str) -> bool:
    """Whether a database keeps it; nothing that can be printed needs a closer look."""
    return text.isprintable() or UNSTORABLE.search(text) is None


def check(
    item: Mapping[str, Any], destination: Destination, uid: str, circumstances: Circumstances
) -> Checked | Refusal:
    """Check one item whose address is resolved; `uid` is its own, or what stands for it."""
    try:
        return _checked(item, destination, uid, circumstances)
    except _Refused as refused:
        return refused.refusal


def uid_of(item: Mapping[str, Any]) -> str | Refusal | None:
    """The item's own uid, None where it has none."""
    uid = item.get("uid")
    if uid is None:
        return None
    if not isinstance(uid, str) or not uid or len(uid) > LONGEST_UID or not is_storable(uid):
        return Refusal("bad_uid", "uid", f"it must be a text of 1 to {LONGEST_UID} characters.")
    return uid


def key_of(account_code: str, uid: str) -> bytes:
    """What stands for a uid of an account, here and in m3ter: the same whoever sends it, and however often."""
    return hashlib.sha256(f"{account_code}\0{uid}".encode()).digest()[:16]


def _checked(item: Mapping[str, Any], to: Destination, uid: str, circumstances: Circumstances) -> Checked:
    if not item.keys() <= _FIELDS:
        name = str(next(name for name in item if name not in _FIELDS))
        _refuse("unknown_field", name[:80], f"a measurement has no such field; there are {', '.join(FIELDS)}.")
    meter = _meter(item.get("meter"), circumstances.meters)
    marks = _marks(item.get("marks"))
    ts = _moment("ts", item.get("ts"))
    ets = None if item.get("ets") is None else _moment("ets", item["ets"])
    if ets is not None and ets < ts:
        _refuse("ends_before", "ets", "it lies before ts.")
    values, is_negative = _values(item.get("values"), meter, from_text=circumstances.from_text)
    if is_negative and CORRECTION not in marks:
        _refuse("negative", is_negative, f'the amount is negative. If that is meant, mark it "{CORRECTION}".')
    settled = _check_time(ts, to, marks, circumstances.now)
    key = key_of(to.account_code, uid)
    measured = _measurement(meter, to.account_code, ts, ets, values)
    content = int.from_bytes(hashlib.sha256(measured.encode()).digest()[:8], "big", signed=True)
    on_next = settled if settled is not None and settled.is_locked else None
    if to.waits or on_next is not None:
        line = _item_line(item, uid, values)
    else:
        line = f'{{"uid":"{key.hex()}",{measured}}}'.encode()
    late_for = settled.bill_id if settled is not None and on_next is None else ""
    return Checked(to, key, content, ts, line, late=bool(late_for), on_next=on_next, late_for=late_for)


def _refuse(code: str, field: str, reason: str) -> NoReturn:
    raise _Refused(Refusal(code, field, reason))


def _meter(code: object, meters: Meters) -> Meter:
    if not isinstance(code, str) or not code:
        _refuse("no_meter", "meter", "name the m3ter meter by its code.")
    meter = meters.get(code)
    if meter is None:
        known = ", ".join(sorted(meters)[:10]) or "none; read the catalogue again"
        _refuse("unknown_meter", "meter", f"m3ter has no meter {code[:80]!r}. There are: {known}.")
    return meter


def _marks(marks: object) -> frozenset[str]:
    if marks is None:
        return frozenset()
    if not isinstance(marks, list) or not all(isinstance(mark, str) for mark in marks):
        _refuse("bad_marks", "marks", f"it must be a list of some of {', '.join(MARKS)}.")
    for mark in marks:
        if mark not in MARKS:
            _refuse("bad_marks", "marks", f"there is no mark {mark[:40]!r}; there are {', '.join(MARKS)}.")
    return frozenset(marks)


@lru_cache(maxsize=4096)
def read_moment(text: str) -> datetime | str:
    """A time with a zone as UTC, or what is wrong with it and how it should look."""
    read = cells.moment(text)
    return read if isinstance(read, datetime) else str(read)


def _moment(name: str, value: object) -> datetime:
    if value is None:
        _refuse("no_time", name, "say when it was, like 2026-03-01T09:30:00Z.")
    if not isinstance(value, str):
        _refuse("bad_time", name, "it must be a text like 2026-03-01T09:30:00Z.")
    value = value.strip()
    moment = read_moment(value) if len(value) <= LONGEST_MOMENT else read_moment.__wrapped__(value)
    if isinstance(moment, str):
        _refuse("bad_time", name, moment)
    return moment


def _values(values: object, meter: Meter, *, from_text: bool) -> tuple[dict[str, str], str]:
    """Each field's value as JSON; and the first field whose number is negative, if any."""
    if not isinstance(values, Mapping) or not values:
        _refuse("no_values", "values", f"give at least one field of {meter.code}: {', '.join(meter.categories)}.")
    written: dict[str, str] = {}
    negative = ""
    for code, value in values.items():
        category = meter.categories.get(code)
        if category is None:
            _refuse_field(str(code), meter)
        if category in NUMERIC:
            number = _number(code, value, from_text=from_text)
            written[code] = digits(number)
            if number < 0:
                negative = negative or code
        else:
            written[code] = _text(code, value, LONGEST_METADATA if category == "METADATA" else LONGEST_TEXT)
    if NUMBERS_ARE_REQUIRED:
        for code in meter.numeric:
            if code not in written:
                _refuse("missing_field", code, f"{meter.code} needs a number for it.")
    return written, negative


def _refuse_field(code: str, meter: Meter) -> NoReturn:
    if code in meter.derived:
        _refuse("derived_field", code[:80], "m3ter calculates it itself; leave it out.")
    _refuse(
        "unknown_field", code[:80], f"the meter {meter.code} has no such field. It has {', '.join(meter.categories)}."
    )


def _number(code: str, value: object, *, from_text: bool) -> int | Decimal:
    if isinstance(value, str) and from_text:
        read = cells.number(value)
        if isinstance(read, Problem):
            _refuse("not_a_number", code, str(read))
        return read
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        what = "a text" if isinstance(value, str) else "no number"
        _refuse("not_a_number", code, f"it is {what}. Give a number without quotation marks.")
    if isinstance(value, Decimal) and not value.is_finite():
        _refuse("not_a_number", code, "it is not a number.")
    if not cells.is_in_proportion(value):
        _refuse("long_number", code, f"it has more than {cells.MOST_DIGITS} digits, or as many zeros.")
    return value


def digits(number: int | Decimal) -> str:
    """One spelling for each number, so that 1, 1.0 and 1e0 are the same content."""
    if isinstance(number, int):
        return str(number)
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", "", "-"} else text


_quoted: Callable[[str], str] = json.dumps


def _text(code: str, value: object, longest: int) -> str:
    if not isinstance(value, str):
        _refuse("not_a_text", code, "it must be a text, in quotation marks.")
    if not value or len(value) > longest:
        _refuse("long_text", code, f"it must have 1 to {longest} characters, and has {len(value)}.")
    if not is_storable(value):
        _refuse("not_a_text", code, "it has a character in it that cannot be stored.")
    return _quoted(value)


def _check_time(ts: datetime, to: Destination, marks: frozenset[str], now: datetime) -> Settled | None:
    """Say in which settled period it lies, if any, where that is allowed."""
    if ts > now + FUTURE:
        _refuse("future", "ts", f"it lies in the future; it is {now:%Y-%m-%d %H:%M} UTC now.")
    if ts < now - OLDEST:
        _refuse("too_old", "ts", f"it is more than {OLDEST.days} days ago, so that a repeat could not be recognised.")
    if not to.waits:
        _check_plan(ts, to, marks)
    settled = next((period for period in to.settled if period.starts_at <= ts < period.ends_at), None)
    if settled is not None and settled.is_locked:
        if BILL_ON_NEXT not in marks:
            _refuse(
                "locked",
                "ts",
                f"the bill of {settled.starts_at:%Y-%m-%d} to {settled.ends_at:%Y-%m-%d} is locked. To charge it on the"
                f' next bill, after review, mark it "{BILL_ON_NEXT}".',
            )
        return settled
    if CORRECTION not in marks:
        if settled is not None:
            _refuse(
                "approved",
                "ts",
                f"the bill of {settled.starts_at:%Y-%m-%d} to {settled.ends_at:%Y-%m-%d} is approved. If it is to be"
                f' changed, mark the usage "{CORRECTION}".',
            )
        if ts < now - BACK_DATED:
            _refuse(
                "back_dated",
                "ts",
                f'it is more than {BACK_DATED.days} days ago. If that is meant, mark it "{CORRECTION}".',
            )
    return settled


def _check_plan(ts: datetime, to: Destination, marks: frozenset[str]) -> None:
    """Refuse usage that no plan of the account could ever bill, unless its sender knows that."""
    for start, end in to.spans:
        if start <= ts and (end is None or ts < end):
            return
    if not to.spans or ts < to.spans[0][0]:
        if to.is_adopted or AFTER_END in marks:
            return
        begins = f"begins on {to.spans[0][0]:%Y-%m-%d %H:%M} UTC" if to.spans else "has not begun"
        _refuse("before_plan", "ts", f"the account's plan {begins}; earlier usage would never be billed.")
    if AFTER_END not in marks:
        ended = max(end for _, end in to.spans if end is not None and end <= ts)
        _refuse(
            "after_end",
            "ts",
            f"the account's plan ended on {ended:%Y-%m-%d %H:%M} UTC, so nothing would bill it. If it is to be kept in"
            f' m3ter all the same, mark it "{AFTER_END}".',
        )


def _measurement(meter: Meter, account_code: str, ts: datetime, ets: datetime | None, values: Mapping[str, str]) -> str:
    """What is inside the braces of m3ter's measurement, but the uid: always the same for the same usage."""
    parts = [f'"meter":{_cached_quote(meter.code)}', f'"account":{_cached_quote(account_code)}', f'"ts":"{_stamp(ts)}"']
    if ets is not None:
        parts.append(f'"ets":"{_stamp(ets)}"')
    if len(values) == 1:  # most are
        ((code, value),) = values.items()
        parts.append(f'"{meter.categories[code].lower()}":{{{_cached_quote(code)}:{value}}}')
        return ",".join(parts)
    by_category: dict[str, list[str]] = {}
    for code in sorted(values):
        by_category.setdefault(meter.categories[code], []).append(f"{_cached_quote(code)}:{values[code]}")
    parts.extend(f'"{category.lower()}":{{{",".join(by_category[category])}}}' for category in sorted(by_category))
    return ",".join(parts)


@lru_cache(maxsize=4096)
def _cached_quote(text: str) -> str:
    return json.dumps(text)


def _stamp(moment: datetime) -> str:
    """A moment in UTC as m3ter writes it, to the microsecond where there is one."""
    return moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


def _item_line(item: Mapping[str, Any], uid: str, values: Mapping[str, str]) -> bytes:
    """The item itself, its values as they were read, to be checked again once there is an account."""
    about = exact_json.encode({**{name: value for name, value in item.items() if name != "values"}, "uid": uid})
    written = ",".join(f"{_cached_quote(code)}:{value}" for code, value in values.items())
    return about[:-1] + f',"values":{{{written}}}}}'.encode()
