"""m3ter's file-upload service: measurements as one JSON array, up to a gigabyte of them."""

import time
from typing import BinaryIO

from integration_project.errors import Permanent, Temporary
from integration_project.vendors.m3ter.calls.speaking import Speaker, segment
from integration_project.vendors.m3ter.entities import LARGEST_FILE, UploadJob, UploadUrl
from integration_project.vendors.transport import Body

DEADLINE = 600
"""Seconds that sending one file may take in all."""
FILES = "/fileuploads/measurements"


class UploadCalls(Speaker):
    """Files of measurements. A file is read at about 2,000 rows a second, one file after another."""

    def generate_upload_url(
        self, *, file_name: str, content_length: int, content_type: str = "application/json"
    ) -> UploadUrl:
        """Ask where a file of so many bytes may be put within a minute; that makes the job which will read it."""
        if not 1 <= content_length <= LARGEST_FILE:
            raise Permanent(f"m3ter takes files of 1 to {LARGEST_FILE} bytes, not {content_length}.")
        asked_at = time.monotonic()
        return self._call(
            "generate upload url",
            "POST",
            f"{FILES}/generateUploadUrl",
            lambda data: UploadUrl.from_m3ter(data, content_length=content_length, asked_at=asked_at),
            json={"fileName": file_name[:100], "contentType": content_type, "contentLength": content_length},
        )

    def upload_measurements_file(self, where: UploadUrl, stream: BinaryIO, *, deadline: float = DEADLINE) -> None:
        """Put a file where m3ter said, which starts its job; exactly as many bytes as were announced, or none counts.

        Read the job before a repeat: an answer that was lost says nothing about the file.
        """
        if where.is_too_old:
            raise Temporary("m3ter, upload measurements file: the address is more than a minute old; ask for another")
        self._signed.put(
            "upload measurements file",
            where.url,
            body=Body(stream, where.content_length),
            headers=where.headers,
            deadline=deadline,
        )

    def get_upload_job(self, job_id: str) -> UploadJob:
        """Read how far m3ter is with a file."""
        return self._call("get upload job", "GET", f"{FILES}/jobs/{segment(job_id)}", UploadJob.from_m3ter)
