"""Reads a big file that is made meanwhile, in a process of its own, and prints its rows and by how many KiB it grew."""

import itertools
import resource
import sys
from collections.abc import Iterator

from tests.paddle_sync.usage.files import Made, opened

CSV_ROWS = 4_500_000
CSV_BYTES = 300_000_000
ITEMS = 1_000_000
ITEM = b'{"paddle_subscription_id":"sub_1","uid":"e","ts":"2026-02-03T10:15:00Z","values":{"calls":1.5}}'


def table() -> Iterator[bytes]:
    """A CSV of at least CSV_BYTES."""
    yield b"paddle_subscription_id,uid,meter,ts,calls,cost,endpoint,note\n"
    line = b"sub_%08d,evt-%08d,api_calls,2026-02-03T10:15:00Z,5,1.25,search,\n"
    thousand = b"".join(line % (number, number) for number in range(1000))
    assert len(thousand) * CSV_ROWS // 1000 >= CSV_BYTES
    yield from itertools.repeat(thousand, CSV_ROWS // 1000)


def list_of_items() -> Iterator[bytes]:
    """A JSON list of ITEMS."""
    yield b"["
    yield from itertools.repeat((ITEM + b",\n") * 1000, ITEMS // 1000 - 1)
    yield (ITEM + b",\n") * 999 + ITEM + b"]"


def lines_of_items() -> Iterator[bytes]:
    """JSON Lines of ITEMS."""
    yield from itertools.repeat((ITEM + b"\n") * 1000, ITEMS // 1000)


def main(kind: str) -> None:
    """Read one of them."""
    for _ in opened("uid,calls\n1,2\n").rows():
        pass
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pieces = {"csv": table, "list": list_of_items, "lines": lines_of_items}[kind]()
    rows = sum(1 for _ in opened(Made(pieces)).rows())
    print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


if __name__ == "__main__":
    main(sys.argv[1])
