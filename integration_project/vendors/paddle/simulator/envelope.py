"""Paddle's envelopes: one entity, or a page of a list with its pagination."""

import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from integration_project.vendors.simulation import Answer, Request

Json = dict[str, Any]


def request_id() -> str:
    """A new request id."""
    return str(uuid.uuid4())


def one(data: Any, *, status: int = 200) -> Answer:
    """An answer with one entity, or a list that Paddle does not paginate."""
    number = request_id()
    return Answer(status, {"data": data, "meta": {"request_id": number}}, {"Request-Id": number})


def page(request: Request, entities: Sequence[Json], *, per_page: int, has_more: bool, total: int, key: str) -> Answer:
    """One page of a list. `next` is there on the last page too: only `has_more` tells the end."""
    number = request_id()
    last = str(entities[-1][key]) if entities else request.param("after")
    params: dict[str, str] = {name: values[0] for name, values in request.params.items()}
    if last is not None:
        params["after"] = last
    pagination: Json = {
        "per_page": per_page,
        "next": f"{request.base_url}{request.path}?{urlencode(params)}",
        "has_more": has_more,
    }
    if request.headers.get("skip-count", "").lower() != "true":
        pagination["estimated_total"] = total
    body = {"data": list(entities), "meta": {"request_id": number, "pagination": pagination}}
    return Answer(200, body, {"Request-Id": number})
