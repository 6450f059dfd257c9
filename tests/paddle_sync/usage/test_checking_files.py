"""A received file is checked row by row: what is wrong is told with its row and column, and nothing is sent before."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from integration_project.vendors.m3ter.simulator import M3terSimulator
from paddle_sync.models import AccountLink, UsageBatch, UsageUid, UsageUpload
from tests.paddle_sync.usage.metered import METER, totals
from tests.paddle_sync.usage.sent_files import checked, followed, line, table

pytestmark = pytest.mark.django_db
State = UsageUpload.State
Run = Callable[[], int]


def test_a_good_file_reaches_m3ter_by_itself(link: AccountLink, m3ter: M3terSimulator, run_jobs: Run) -> None:
    upload = checked(table(line(link, f"u{number}", number) for number in range(1, 2_501)))
    assert (upload.state, upload.rows, upload.accepted) == (State.SENDING, 2_500, 2_500)

    run_jobs()

    assert followed(upload).state == State.DONE
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(2_500 * 2_501 // 2)}
    assert UsageUid.objects.count() == 2_500
    assert UsageBatch.objects.count() == 3
