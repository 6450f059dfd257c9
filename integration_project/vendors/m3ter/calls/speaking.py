"""How every call to m3ter is made: in the organisation's name, one entity or all pages of a list."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from integration_project.errors import Temporary
from integration_project.vendors.http import VendorHTTP
from integration_project.vendors.m3ter.answers import entity, page
from integration_project.vendors.reading import Json
from integration_project.vendors.signed import SignedHTTP

T = TypeVar("T")

PAGE = 100


class Speaker:
    """What the calls of all subjects stand on."""

    def __init__(
        self,
        *,
        http: VendorHTTP,
        ingest: VendorHTTP,
        explorer: VendorHTTP,
        signed: SignedHTTP,
        org_id: str,
        external_system: str,
    ) -> None:
        self._http = http
        self._ingest = ingest
        self._explorer = explorer
        self._signed = signed
        self._root = f"/organizations/{segment(org_id)}"
        self._system = external_system

    def _call(
        self,
        operation: str,
        method: str,
        path: str,
        read: Callable[[Json], T],
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        private: Sequence[str] = (),
    ) -> T:
        return self._http.call(
            operation, method, self._root + path, read=entity(read), params=params, json=json, private=private
        )

    def _list(
        self, operation: str, path: str, read: Callable[[Json], T], params: Mapping[str, str] | None = None
    ) -> Iterator[T]:
        """Walk all pages of a list."""
        seen: set[str] = set()
        query = {**(params or {}), "pageSize": str(PAGE)}
        while True:
            found = self._http.call(operation, "GET", self._root + path, read=page(read), params=query)
            yield from found.entries
            if not found.next_token:
                return
            if found.next_token in seen:
                raise Temporary(f"m3ter, {operation}: the pages go round in a circle")
            seen.add(found.next_token)
            query = {**query, "nextToken": found.next_token}


def segment(identifier: str) -> str:
    """An id as one segment of a path, whatever is in it."""
    if not identifier or identifier in {".", ".."}:
        raise ValueError("an id is needed")
    return quote(identifier, safe="")
