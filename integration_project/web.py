"""The web server as `serve` starts it: gunicorn, whose processes all die with the one that started them.

Run as a program with gunicorn's own options; it is gunicorn's configuration file at the same time.
"""

import os
import sys
from typing import Any

from integration_project.processes import die_with_parent

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
