"""Kills the work in this process at a chosen point: at every vendor call and commit, before it and after it.

What is raised is nothing that any code catches, like a SIGKILL. A transaction that is open then is rolled back, which
is what the database does with a connection that is gone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.db.transaction import Atomic
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter


class Killed(BaseException):
    """The process is gone."""


class Killer:
    """Counts the points at which a process may die, and dies at one of them."""

    def __init__(self) -> None:
        self.points: list[str] = []
        self.dies_at: int | None = None
        self.counting = False

    def point(self, name: str) -> None:
        """Pass a point, or die there."""
        if not self.counting:
            return
        self.points.append(name)
        if len(self.points) - 1 == self.dies_at:
            self.counting = False
            raise Killed(name)

    @contextmanager
    def watching(self, dies_at: int | None) -> Iterator[None]:
        """Count from here, and die at that point."""
        self.points, self.dies_at, self.counting = [], dies_at, True
        try:
            with connection.execute_wrapper(self._statement):
                yield
        finally:
            self.counting = False

    def _statement(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        """A write outside any transaction is a commit of its own."""
        verb = sql.lstrip().split(" ", 1)[0].upper()
        if verb not in {"INSERT", "UPDATE", "DELETE"} or context["connection"].in_atomic_block:
            return execute(sql, params, many, context)
        self.point(f"before {sql[:60]}")
        result = execute(sql, params, many, context)
        self.point(f"after {sql[:60]}")
        return result


class DeadlyAdapter(BaseAdapter):
    """A transport at whose calls the process may die: before the request, and with the answer not yet read."""

    def __init__(self, inner: BaseAdapter, killer: Killer) -> None:
        super().__init__()
        self._inner = inner
        self._killer = killer

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Pass the request on."""
        self._killer.point(f"before {request.method} {request.path_url}")
        response = self._inner.send(request, *args, **kwargs)
        self._killer.point(f"after {request.method} {request.path_url}")
        return response

    def close(self) -> None:
        """Close what is below."""
        self._inner.close()


def commits_can_kill(monkeypatch: pytest.MonkeyPatch, killer: Killer) -> None:
    """Let the process die right before and right after any transaction's commit."""
    leave = Atomic.__exit__

    def leaving(self: Atomic, kind: Any, value: Any, traceback: Any) -> None:
        if kind is not None or len(connection.atomic_blocks) != 1:
            leave(self, kind, value, traceback)
            return
        try:
            killer.point("before commit")
        except Killed as killed:
            leave(self, Killed, killed, killed.__traceback__)
            raise
        leave(self, None, None, None)
        killer.point("after commit")

    monkeypatch.setattr(Atomic, "__exit__", leaving)
