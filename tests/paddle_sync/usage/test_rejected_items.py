"""Rejected items of JSON come back as a file that can be corrected and sent again, and count once."""

import json
from decimal import Decimal

import pytest

from integration_project.vendors.m3ter.simulator import M3terSimulator
from paddle_sync.models import AccountLink, UsageUpload
from paddle_sync.usage import receipts
from tests.paddle_sync.usage.metered import METER, at, item, totals
from tests.paddle_sync.usage.sent_files import OnErrors, checked, send, sent_until_done

pytestmark = pytest.mark.django_db
State = UsageUpload.State


def test_items_without_a_uid_count_once_however_often_they_are_corrected(
    link: AccountLink, m3ter: M3terSimulator
) -> None:
    items = [item(link, None, calls, ts=at(hours=5)) for calls in ("x", "y")]
    upload = checked(json.dumps(items).encode(), "usage.json")
    rejected = "".join(receipts.rejected_csv(upload)).replace('"x"', '"2"')

    first = checked(rejected.encode(), "first.csv", on_errors=OnErrors.SEND_GOOD)
    second = checked(rejected.replace('"y"', '"3"').encode(), "second.csv")
    sent_until_done()

    assert (first.accepted, first.refused) == (1, 1)
    assert (second.accepted, second.duplicate) == (1, 1)
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(5)}


def test_so_many_fields_of_rejected_items_come_back_as_may_be_sent_again(link: AccountLink) -> None:
    wrong = [item(link, f"u{number}", values={f"field{number}": 1}) for number in range(250)]
    upload = checked(json.dumps(wrong).encode(), "usage.json")
    assert upload.refused == 250

    again = send("".join(receipts.rejected_csv(upload)).encode(), "again.csv").upload

    assert (again.state, again.note) == (State.LAYOUT, "")


@pytest.mark.parametrize("odd", ["calls ", "x" * 40_000, "a\x07b"])
def test_fields_that_cannot_be_columns_do_not_spoil_the_file_of_rejected_rows(link: AccountLink, odd: str) -> None:
    wrong = [item(link, "a", "x"), item(link, "b", values={"calls": 1, odd: 2})]
    upload = checked(json.dumps(wrong).encode(), "usage.json")
    assert upload.refused == 2
    rejected = "".join(receipts.rejected_csv(upload)).replace('"x"', '"7"')

    again = checked(rejected.encode(), "again.csv")

    assert (again.state, again.accepted) == (State.SENDING, 2)
