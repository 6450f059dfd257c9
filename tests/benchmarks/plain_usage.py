"""What a benchmark of usage compares with: a script that only parses a file and posts its rows to m3ter.

It checks nothing, keeps nothing and tries nothing again: python -m tests.benchmarks.plain_usage FILE URL TOKEN
"""

import csv
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import requests

AT_ONCE = 1_000


def measurements(path: Path) -> Iterator[dict[str, object]]:
    """The rows of a file as m3ter takes them."""
    with path.open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for account, uid, meter, ts, calls in rows:
            yield {"uid": uid, "meter": meter, "account": account, "ts": ts, "measure": {"calls": int(calls)}}


def main() -> None:
    """Post everything."""
    path, url, token = sys.argv[1:]
    session = requests.Session()
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {token}"
    session.headers["Content-Type"] = "application/json"
    read = measurements(Path(path))
    while batch := list(islice(read, AT_ONCE)):
        body = json.dumps({"measurements": batch}, separators=(",", ":")).encode()
        session.post(url, data=body, timeout=60).raise_for_status()


if __name__ == "__main__":
    main()
