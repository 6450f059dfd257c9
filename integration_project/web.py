"""The web server as `serve` starts it: gunicorn, whose processes all die with the one that started them.

Run as a program with gunicorn's own options; it is gunicorn's configuration file at the same time.
"""

import contextlib
import os
import socket
import sys
import time
from typing import Any

from integration_project.processes import die_with_parent

LET_GO = 5.0
"""Seconds that a server which has just ended gets to let go of its port."""
ACCESS_LINE = '%(h)s "%(r)s" %(s)s %(b)s %(D)sus'


def options(*, bind: str, processes: int, threads: int, access_log: bool) -> list[str]:
    """Write gunicorn's options; threads, because a request spends its time in the database."""
    log = ["--access-logfile", "-", "--access-logformat", ACCESS_LINE] if access_log else []
    return [
        "integration_project.wsgi:application",
        "--config",
        "python:integration_project.web",
        "--worker-class",
        "gthread",
        "--bind",
        bind,
        "--workers",
        str(processes),
        "--threads",
        str(threads),
        "--graceful-timeout",
        "20",
        "--no-control-socket",
        *log,
    ]


def why_not_listen(bind: str) -> str:
    """Say why nobody can listen there, or nothing."""
    if bind.startswith("unix:"):
        return ""
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        return f"{bind} is no address to listen on; it must look like 127.0.0.1:8000."
    end = time.monotonic() + LET_GO
    while problem := _cannot_bind(host.strip("[]"), int(port)):
        if time.monotonic() >= end:
            return f"Nobody can listen on {bind}: {problem}."
        time.sleep(0.1)
    return ""


def _cannot_bind(host: str, port: int) -> str:
    """Bind for a moment, as gunicorn will; the operating system's words when that does not work."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return str(error.strerror or error).lower()
    return ""


def post_fork(server: Any, worker: Any) -> None:
    """Let a web process die with the server that forked it (called by gunicorn)."""
    die_with_parent(os.getppid())


def main() -> None:
    """Run gunicorn below the process whose id is the first argument."""
    from gunicorn.app.wsgiapp import run  # type: ignore[import-untyped]

    die_with_parent(int(sys.argv.pop(1)))
    run(prog="gunicorn")


if __name__ == "__main__":
    main()
