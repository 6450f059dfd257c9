"""`/api/v1/usage/files/`: a whole file at once, and afterwards its receipt and the rows that were not taken."""

from collections.abc import Iterator
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, UnsupportedMediaType, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from integration_project.api import ApiView
from integration_project.api_docs import endpoint
from integration_project.models import ApiKey
from paddle_sync.models import UsageUpload
from paddle_sync.usage import file_layouts, receipts, receiving
from paddle_sync.usage.receiving import NotReceived, Origin
from paddle_sync.usage.serializers import FileAnswer
from paddle_sync.usage.views import TAG

KINDS = ("text/csv", "application/json", "application/x-ndjson", "application/gzip", "application/octet-stream")
"""What a file may announce itself as; its bytes decide what it is."""
NAME = OpenApiParameter("name", OpenApiTypes.STR, description="The file's name, for people.")
ON_ERRORS = OpenApiParameter(
    "on_errors",
    enum=[choice.value for choice in UsageUpload.OnErrors if choice in ("stop", "send_good")],
    description="Where rows are wrong: `stop` sends nothing until a person decides, `send_good` sends the others.",
)
SAME_BYTES = "The same bytes were received before, from somebody else. Nothing of them is counted twice."
OVER = (UsageUpload.State.DONE, UsageUpload.State.DISCARDED, UsageUpload.State.FAILED)


class LengthRequired(APIException):
    """A file comes without its length, so nobody could tell whether it came whole."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"
    default_detail = (
        "Send the header Content-Length, so that a file which was cut off on its way is not taken for whole."
    )


class FileNotTaken(APIException):
    """A file was not taken, and nothing of it is kept."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "not_received"


class _Whole:
    """The body of a request, no longer and no shorter than it announced."""

    def __init__(self, request: Request) -> None:
        announced = request.headers.get("content-length", "")
        if not announced.isascii() or not announced.isdigit():
            raise LengthRequired
        kind = request.content_type or ""
        if kind.startswith("multipart/"):
            raise UnsupportedMediaType(kind, "Send the file itself as the body, not a form with the file in it.")
        self._left = int(announced)
        self._stream = request._request  # DRF's own stream reads forms

    def read(self, size: int = -1) -> bytes:
        """Read on; NotReceived where the request ends too early."""
        piece = self._stream.read(min(size, self._left) if size >= 0 else self._left) if self._left else b""
        self._left -= len(piece)
        if self._left and not piece:
            raise NotReceived("The request ended before the file did. Send it again. Nothing was kept.")
        return bytes(piece)


class FilesView(ApiView):
    """Takes files."""

    @endpoint(
        scope=ApiKey.Scope.USAGE_WRITE,
        tag=TAG,
        operation_id="send_file",
        request=dict.fromkeys(KINDS, OpenApiTypes.BINARY),
        answers={202: FileAnswer},
        errors=(411, 415, 422),
        parameters=(NAME, ON_ERRORS),
    )
    def post(self, request: Request) -> Response:
        """Send a file of usage.

        CSV, JSON or JSON Lines, each also packed with gzip, as the body of the request. It is stored whole, then
        checked whole, and sent only if all its rows are good, or with `on_errors=send_good` without the others. A CSV
        file whose columns nobody has explained yet waits until a person does that in the console.
        """
        key: ApiKey = request.auth  # type: ignore[assignment]  # or nobody would have come this far
        on_errors = request.query_params.get("on_errors", UsageUpload.OnErrors.STOP)
        if on_errors not in (UsageUpload.OnErrors.STOP, UsageUpload.OnErrors.SEND_GOOD):
            raise ValidationError({"on_errors": ["It is stop or send_good."]})
        origin = Origin(
            name=request.query_params.get("name", "")[:1000] or "usage",
            via=UsageUpload.Via.API,
            by=key.client,
            api_key_prefix=key.prefix,
            on_errors=UsageUpload.OnErrors(on_errors),
        )
        try:
            received = receiving.receive(_Whole(request), origin, layout=file_layouts.AUTO)
        except NotReceived as problem:
            raise FileNotTaken(str(problem)) from problem
        said = _told(received.upload)
        if before := received.before:
            own = before.via == UsageUpload.Via.API and before.by == key.client
            about = received.about_before if own else SAME_BYTES
            said["note"] = f"{said['note']} {about}".strip()
        return Response(said, status=status.HTTP_202_ACCEPTED)


class FileView(ApiView):
    """Tells of one file."""

    @endpoint(
        scope=ApiKey.Scope.USAGE_READ,
        tag=TAG,
        operation_id="read_file",
        answers={200: FileAnswer},
        errors=(404,),
    )
    def get(self, request: Request, file_id: int) -> Response:
        """Read how far a file is, and its receipt.

        Of files that were sent with a key of the same client.
        """
        return Response(_told(_own(request, file_id)))


class RejectedRowsView(ApiView):
    """Gives the rows of one file that were not taken."""

    @endpoint(
        scope=ApiKey.Scope.USAGE_READ,
        tag=TAG,
        operation_id="read_rejected_rows",
        answers={(200, "text/csv"): OpenApiTypes.STR},
        errors=(404,),
    )
    def get(self, request: Request, file_id: int) -> StreamingHttpResponse:
        """Read the rows of a file that were not taken.

        As a CSV file with the columns of the original, and row, column and reason beside them: correct it, and send it
        as it is. Nothing is counted twice by that.
        """
        upload = _own(request, file_id)
        pieces: Iterator[bytes] = (piece.encode() for piece in receipts.rejected_csv(upload))
        answer = StreamingHttpResponse(pieces, content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="rejected-{upload.pk}.csv"'
        return answer


def _own(request: Request, file_id: int) -> UsageUpload:
    """The client's own file with that number; nobody learns of others' files."""
    key: ApiKey = request.auth  # type: ignore[assignment]  # or nobody would have come this far
    own = UsageUpload.objects.filter(via=UsageUpload.Via.API, by=key.client)
    upload = own.exclude(state=UsageUpload.State.RECEIVING).filter(pk=file_id).first() if file_id < 1 << 62 else None
    if upload is None:
        raise NotFound("There is no file with this number that your client has sent.")
    return upload


def _told(upload: UsageUpload) -> dict[str, Any]:
    receipt = receipts.receipt(upload)
    progress = receipt.progress
    return {
        "id": upload.pk,
        "name": upload.name,
        "state": upload.state,
        "is_over": upload.state in OVER,
        "note": upload.note,
        "rows": receipt.rows,
        "accepted": receipt.accepted,
        "duplicate": receipt.duplicate,
        "conflict": receipt.conflict,
        "refused": receipt.refused,
        "held": receipt.held,
        "late": receipt.late,
        "on_next_bill": receipt.on_next,
        "reasons": dict(receipt.reasons),
        "dropped": receipt.dropped,
        "sent": progress.sent,
        "waiting": progress.waiting,
        "failed": progress.failed,
    }
