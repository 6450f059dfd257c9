"""What a file's columns probably mean, by their names. Pure; a person sees the suggestion before it is used."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from paddle_sync.usage.layouts import ADDRESSES, METER, NAMES, TS, VALUES, Layout, Meters

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "paddle_subscription_id": ("subscription id", "subscription", "paddle subscription", "sub id", "sub"),
    "paddle_customer_id": ("customer id", "customer", "paddle customer", "ctm"),
    "m3ter_account_code": ("account code", "account", "m3ter account"),
    "uid": ("event id", "measurement id", "unique id", "message id", "idempotency key", "id", "event"),
    "meter": ("meter code",),
    "ts": ("timestamp", "time", "datetime", "date time", "occurred at", "start time", "start", "date"),
    "ets": ("end timestamp", "end time", "end ts", "ended at", "end"),
    "marks": ("mark", "markers", "flags"),
}
"""An item's name -> what people call it, the surest first. m3ter's own names are among them."""
PREFIXES = ("values", "measure", "cost", "income", "who", "what", "where", "other", "metadata")
"""What stands before a field's code: here, and in m3ter's own CSV, which names the field's category."""

REQUIRED = (*ADDRESSES, METER, TS)
"""What an item cannot be without."""

_SEPARATORS = re.compile(r"[\W_]+")
_PREFIXED = re.compile(rf"\s*(?:{'|'.join(PREFIXES)})\s*\.\s*(\S.*?)\s*", re.IGNORECASE)


def suggest(columns: Sequence[str], meters: Meters) -> Layout:
    """Suggest a layout: the item's own names first, then fields, then what people call them; each meaning once.

    A column that fits nothing is ignored. Where no column names the meter and one meter alone has all the fields, it is
    that meter.
    """
    fields = {_plain(code): code for codes in meters.values() for code in sorted(codes)}
    roles: dict[str, str] = {}
    for column, role in _guesses(columns, fields):
        is_second_address = role in ADDRESSES and column != role and any(name in roles.values() for name in ADDRESSES)
        if column not in roles and role not in roles.values() and not is_second_address:
            roles[column] = role
    ordered = {column: roles[column] for column in columns if column in roles}
    return Layout(ordered, "" if METER in roles.values() else _only_meter(ordered.values(), meters))


def _guesses(columns: Sequence[str], fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Give column and meaning, the surest first."""
    plain = {column: _plain(column) for column in columns}
    own = {_plain(name): name for name in NAMES}
    for column in columns:
        if column in NAMES:
            yield column, column
    for column in columns:
        if plain[column] in own:
            yield column, own[plain[column]]
    for column in columns:
        if found := _PREFIXED.fullmatch(column):
            yield column, f"{VALUES}{fields.get(_plain(found[1]), found[1])}"
    yield from _called(plain, SYNONYMS, lambda word: word not in fields)
    # A field that is called as people call a time gives way where no other column can be the time.
    yield from _called(plain, {role: SYNONYMS[role] for role in REQUIRED}, lambda word: word in fields)
    yield from ((column, VALUES + fields[word]) for column, word in plain.items() if word in fields)


def _called(
    plain: Mapping[str, str], words: Mapping[str, Sequence[str]], is_meant: Callable[[str], bool]
) -> Iterator[tuple[str, str]]:
    for role, names in words.items():
        for name in map(_plain, names):
            yield from ((column, role) for column, word in plain.items() if word == name and is_meant(word))


def _only_meter(roles: Iterable[str], meters: Meters) -> str:
    codes = {role.removeprefix(VALUES) for role in roles if role.startswith(VALUES)}
    having = [meter for meter, known in meters.items() if codes.issubset(known)]
    return having[0] if codes and len(having) == 1 else ""


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", name).casefold()
