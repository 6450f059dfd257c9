"""`POST /api/v1/usage/measurements/`: measurements are checked, stored and told one by one, in one answer."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from integration_project import clock
from integration_project.api import ApiView
from integration_project.api_docs import endpoint
from integration_project.models import ApiKey
from paddle_sync.usage import intake, meters, unlinked
from paddle_sync.usage.addresses import Book
from paddle_sync.usage.assessing import assess
from paddle_sync.usage.checking import UNSTORABLE, Circumstances
from paddle_sync.usage.intake import Outcome, Source, TakenIn
from paddle_sync.usage.items import Refusal
from paddle_sync.usage.serializers import IDEMPOTENCY_KEY, MeasurementsAnswer, MeasurementsSerializer

TAG = "Usage"
MOST_ITEMS = 1_000
LONGEST_KEY = 200
TAKEN = (Outcome.ACCEPTED, Outcome.DUPLICATE)


class MeasurementsView(ApiView):
    """Takes usage."""

    body_limit = 2 * 1024 * 1024

    @endpoint(
        scope=ApiKey.Scope.USAGE_WRITE,
        tag=TAG,
        operation_id="send_measurements",
        request=MeasurementsSerializer,
        answers={202: MeasurementsAnswer, 422: MeasurementsAnswer},
        parameters=(IDEMPOTENCY_KEY,),
    )
    def post(self, request: Request) -> Response:
        """Send usage.

        Between 1 and 1,000 measurements. Each is accepted, a duplicate of one that was accepted before, in conflict
        with one that has the same uid and another content, or refused with the reason; one that is not taken keeps no
        other back. 202 says that what is accepted is stored and will reach m3ter, once, within a second or two. Where
        nothing at all could be taken the answer is 422, with the same body.
        """
        items = _items(self.read_object(request))
        key: ApiKey = request.auth  # type: ignore[assignment]  # or nobody would have come this far
        named = _idempotency_key(request)
        source = Source(client=key.client, api_key_prefix=key.prefix, idempotency_key=named)
        book, circumstances = Book(unlinked.find), Circumstances(meters.known(), clock.now())
        assessed = assess(enumerate(items), book, circumstances, uid_for=_uid_for(key, named))
        taken = intake.take_in(assessed.good, source)
        results = [_result(index, taken, assessed.refused) for index in range(len(items))]
        counts = {outcome.value: sum(1 for each in results if each["status"] == outcome) for outcome in Outcome}
        some = any(each["status"] in TAKEN for each in results)
        code = status.HTTP_202_ACCEPTED if some else status.HTTP_422_UNPROCESSABLE_ENTITY
        return Response({**counts, "results": results}, status=code)


def _items(body: Mapping[str, Any]) -> Sequence[Any]:
    """The measurements of a request, each still unread."""
    unknown = sorted(body.keys() - {"measurements"})
    if unknown:
        raise ValidationError({unknown[0][:80]: ['There is no such field. The body is {"measurements": [...]}.']})
    items = body.get("measurements")
    if not isinstance(items, list) or not items:
        raise ValidationError({"measurements": ["It must be a list of 1 to 1,000 measurements."]})
    if len(items) > MOST_ITEMS:
        words = f"There are {len(items)} measurements; send at most {MOST_ITEMS} at once."
        raise ValidationError({"measurements": [words]})
    return items


def _idempotency_key(request: Request) -> str:
    """What stands for the uids of items without one: with their index, always the same for the same request."""
    named: str = request.headers.get("Idempotency-Key", "")
    if len(named) > LONGEST_KEY or UNSTORABLE.search(named):
        raise ValidationError({"Idempotency-Key": [f"It must have 1 to {LONGEST_KEY} characters."]})
    return named


def _uid_for(key: ApiKey, named: str) -> Callable[[int, Mapping[str, Any]], str | None]:
    """Clients do not share their idempotency keys; a client keeps its own when its API key is replaced.

    Hashed, so that what stands for a uid is as short as a uid must be, however long both are.
    """
    if not named:
        return lambda index, item: None
    whose = hashlib.sha256(f"{key.client}\x1f{named}".encode()).hexdigest()
    return lambda index, item: f"\x1f{whose}\x1f{index}"


def _result(index: int, taken: TakenIn, refused: Mapping[int, Refusal]) -> dict[str, Any]:
    refusal = refused.get(index) or taken.refusals.get(index)
    if refusal is not None:
        about = {"code": refusal.code, "field": refusal.field, "reason": refusal.reason}
        return {"index": index, "status": Outcome.REFUSED.value, **about}
    outcome = taken.outcomes[index]
    result: dict[str, Any] = {"index": index, "status": outcome.value}
    if outcome is Outcome.CONFLICT:
        result |= {
            "code": "conflict",
            "field": "uid",
            "reason": "usage with this uid and another content was accepted before; that counts, and this does not.",
        }
    for name, among in (("held", taken.held), ("late", taken.late), ("on_next_bill", taken.on_next)):
        if index in among:
            result[name] = True
    return result
