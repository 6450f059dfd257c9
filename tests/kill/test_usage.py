"""Processes that check and send usage are killed by SIGKILL again and again; m3ter's totals are exact in the end."""

import datetime as dt
import itertools
import random
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from pytest_django import Settings

from integration_project import clock
from integration_project.vendors.m3ter.simulator import M3terSimulator
from paddle_sync.jobs import refresh_catalogue
from paddle_sync.models import AccountLink, UsageBatch, UsageUid, UsageUpload
from tests.builders import make_link, paddle_id
from tests.kill.mortal import MOMENTS, Mortals
from tests.kill.programs import needs_proc, program, wait_until
from tests.paddle_sync.usage.metered import METER, accept, at, item, totals

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.xdist_group("processes"),
    pytest.mark.timeout(600),
    needs_proc,
]

SEND = "paddle_sync.usage.jobs.send"
CALLS = 2
"""What a process asks m3ter for that sends one batch: a token, and to take it."""
ROWS = 20_000


@pytest.fixture
def link(workers: Mortals, m3ter: M3terSimulator) -> AccountLink:
    """An account that is linked here and that m3ter has too."""
    refresh_catalogue()
    code = paddle_id("sub")
    row = m3ter.memory.accounts.add({"code": code, "name": code, "emailAddress": "a@example.com"})
    return make_link(code, m3ter_account_id=row["id"], adopted=True)


def a_minute_passes() -> None:
    """Every lease has run out, and what waits for a time is due."""
    past = clock.now() - dt.timedelta(seconds=1)
    for model in (UsageBatch, UsageUpload):
        model.objects.filter(lease__isnull=False).update(lease_until=past)
    UsageBatch.objects.filter(due_at__isnull=False).update(due_at=past)


def send_to_the_end(workers: Mortals) -> None:
    """Let processes that nobody kills send what is left."""
    while UsageBatch.objects.exclude(state=UsageBatch.State.SENT).exists():
        a_minute_passes()
        workers.do(SEND)


def test_batches_whose_senders_are_killed_at_every_moment_are_counted_once(
    workers: Mortals, m3ter: M3terSimulator, link: AccountLink
) -> None:
    places = range(CALLS * len(MOMENTS))
    for place in places:
        accept(item(link, f"a-{place}", 3), item(link, f"b-{place}", Decimal("0.5")))
        workers.do(SEND, dies_at=place)
        a_minute_passes()
    send_to_the_end(workers)

    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal("3.5") * len(places)}
    assert max(UsageBatch.objects.values_list("sendings", flat=True)) > 1


def test_a_file_whose_check_and_sending_are_killed_is_counted_once(
    workers: Mortals, m3ter: M3terSimulator, link: AccountLink, tmp_path: Path, settings: Settings
) -> None:
    path, log, chance = tmp_path / "usage.csv", tmp_path / "log", random.Random(11)
    lines = [f"{link.m3ter_account_code},use-{row},{METER},{at(hours=3)},{row % 7}" for row in range(ROWS)]
    path.write_text("\n".join(["m3ter_account_code,uid,meter,ts,calls", *lines]))
    command = ("manage.py", "upload_usage", str(path))

    reached = []
    for killed_after in (1_000, 4_000):
        with program(*command, log=log) as process:
            wait_until(partial(is_checked, killed_after), what=log.read_text)
            process.kill()
            process.wait(10)
        reached.append(rows_checked())
        a_minute_passes()
    with program(*command, log=log) as process:
        assert process.wait(120) == 0, log.read_text()
    for _ in itertools.repeat(None, 3):
        if UsageBatch.objects.exclude(state=UsageBatch.State.SENT).exists():
            workers.do(SEND, dies_at=chance.randrange(CALLS * len(MOMENTS)))
        a_minute_passes()
    send_to_the_end(workers)

    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(sum(row % 7 for row in range(ROWS)))}
    assert UsageUid.objects.count() == ROWS
    assert 0 < reached[0] < reached[1] < ROWS


def is_checked(rows: int) -> bool:
    """Whether the check of the file is so far."""
    return rows_checked() >= rows


def rows_checked() -> int:
    """How far the check of the file is."""
    return sum(UsageUpload.objects.values_list("rows", flat=True))
