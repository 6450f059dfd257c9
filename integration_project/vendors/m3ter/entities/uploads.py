"""Files of measurements: where one is sent to, and how far m3ter is with it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from integration_project.vendors import reading
from integration_project.vendors.reading import Json

LARGEST_FILE = 1_073_741_824
VALID = 60
"""Seconds in which m3ter's address for a file must be used."""


@dataclass(frozen=True)
class UploadUrl:
    """Where one file may be put, for a minute, with these headers. The address is a secret."""

    job_id: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    content_length: int
    asked_at: float
    """By the monotonic clock of the process that asked."""

    @classmethod
    def from_m3ter(cls, data: Json, *, content_length: int, asked_at: float) -> Self:
        """Read where a file of this length may be put; the minute began when it was asked at the latest."""
        headers = reading.optional_mapping(data, "headers") or {}
        return cls(
            job_id=reading.identifier(data, "jobId"),
            url=reading.identifier(data, "url"),
            headers={name: reading.text(headers, name) for name in headers},
            content_length=content_length,
            asked_at=asked_at,
        )

    @property
    def is_too_old(self) -> bool:
        """Whether the minute is over."""
        return time.monotonic() - self.asked_at >= VALID


@dataclass(frozen=True)
class UploadJob:
    """How far m3ter is with a file. Rows that it takes are checked later, as measurements that are sent are."""

    id: str
    file_name: str
    status: str
    """notUploaded, running, succeeded or failed."""
    content_length: int | None
    total_rows: int
    processed_rows: int
    failed_rows: int

    @classmethod
    def from_m3ter(cls, data: Json) -> Self:
        """Read an upload job; rows that it does not tell of count as none."""
        return cls(
            id=reading.identifier(data),
            file_name=reading.optional_text(data, "fileName") or "",
            status=reading.text(data, "status"),
            content_length=reading.optional_whole(data, "contentLength"),
            total_rows=reading.optional_whole(data, "totalRows") or 0,
            processed_rows=reading.optional_whole(data, "processedRows") or 0,
            failed_rows=reading.optional_whole(data, "failedRows") or 0,
        )

    @property
    def is_over(self) -> bool:
        """Whether m3ter does no more of it."""
        return self.status in {"succeeded", "failed"}

    @property
    def was_uploaded(self) -> bool:
        """Whether the file has arrived: what tells, after an answer was lost."""
        return self.status != "notUploaded"
