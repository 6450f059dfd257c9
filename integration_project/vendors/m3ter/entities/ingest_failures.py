"""What m3ter found wrong with measurements after it had accepted them.

That an event carries the kind of failure and the name of a file is documented; where in it they stand, and how the file
is laid out, is not. Those guesses are here and nowhere else, as names that are looked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from integration_project.vendors import reading
from integration_project.vendors.reading import Json

INSIDE = ("eventData", "newDto")
"""What an event's payload may be wrapped in, from the outside in."""
KINDS = ("errorType", "error", "type", "errorCode")
FILES = ("file", "fileName", "fileKey")
DOWNLOAD = "getDownloadUrl"
"""The path of the call that gives the file's address, with the file as a parameter."""
ORIGINALS = ("measurement", "originalMeasurement", "data")


@dataclass(frozen=True)
class IngestFailure:
    """One measurement, or some, that m3ter refused after it had accepted them; the file says which."""

    event_id: str
    event_time: datetime
    kind: str
    """UndefinedMeter, MissingField, DuplicateUid, DuplicateField, CalculationError, InvalidAccountCode or another."""
    file: str
    """Empty where the event does not say."""

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read an event; one that is laid out unlike any known still counts, without kind or file."""
        payload = reading.optional_mapping(data, "m3terEvent") or {}
        for name in INSIDE:
            inside = payload.get(name)
            payload = inside if isinstance(inside, dict) else payload
        return cls(
            event_id=reading.identifier(data),
            event_time=reading.moment(data, "eventTime"),
            kind=_first_text(payload, KINDS),
            file=_first_text(payload, FILES) or _file_in(_first_text(payload, (DOWNLOAD,))),
        )


@dataclass(frozen=True)
class IngestFailureDetail:
    """What was wrong with one measurement; None for what it does not say."""

    error: str
    uid: str | None
    account: str | None
    meter: str | None
    ts: datetime | None
    measurement: Json = field(repr=False)
    """As it was sent."""

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read a failure's file."""
        found: Json = next((data[name] for name in ORIGINALS if isinstance(data.get(name), Mapping)), {})
        return cls(
            error=_first_text(data, KINDS),
            uid=_first_text(found, ("uid",)) or None,
            account=_first_text(found, ("account",)) or None,
            meter=_first_text(found, ("meter",)) or None,
            ts=_moment_in(found),
            measurement=found,
        )


def _first_text(data: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((data[name] for name in names if isinstance(data.get(name), str)), "")


def _file_in(path: str) -> str:
    return next(iter(parse_qs(urlsplit(path).query).get("file", ())), "")


def _moment_in(measurement: Json) -> datetime | None:
    try:
        return reading.optional_moment(measurement, "ts")
    except reading.Unreadable:
        return None  # what is wrong with the measurement may be just this
