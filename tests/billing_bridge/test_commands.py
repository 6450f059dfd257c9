"""pull_bills reads what the poll would read, says what it did, and tells success by its exit status."""

import datetime as dt
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from billing_bridge.checks import m3ter_token
from billing_bridge.models import PushedBill
from integration_project import clock
from tests.billing_bridge.world import World


def pull(*arguments: str) -> str:
    out = StringIO()
    call_command("pull_bills", *arguments, stdout=out)
    return out.getvalue()


def test_it_imports_what_is_approved_and_says_so_in_plain_lines(world: World) -> None:
    bill_id = world.make_bill()

    said = pull()

    assert said.splitlines() == [
        f"{bill_id}  {world.subscription_id}  143.45 USD  held: review",
        "1 bills looked at, 1 with news, 0 judged again.",
    ]
    assert PushedBill.objects.get().m3ter_bill_id == bill_id


def test_a_dry_run_reads_the_list_and_writes_nothing(world: World) -> None:
    world.make_bill()

    said = pull("--dry-run")

    assert "would be read" in said
    assert PushedBill.objects.count() == 0
    assert world.calls("get bill", "m3ter") == 0


def test_a_second_run_has_no_news(world: World) -> None:
    world.make_bill()
    pull()

    assert pull() == "1 bills looked at, 0 with news, 0 judged again.\n"


def test_only_bills_since_a_day_are_looked_at(world: World) -> None:
    world.make_bill()
    tomorrow = clock.now().date() + dt.timedelta(days=1)

    assert pull("--since", tomorrow.isoformat()).startswith("0 bills")
    assert pull("--since", "2020-01-01").endswith("1 bills looked at, 1 with news, 0 judged again.\n")


def test_all_finds_locked_bills_too(world: World) -> None:
    bill_id = world.make_bill()
    world.vendors.m3ter.lock_bill(bill_id)

    assert pull().startswith("0 bills")
    assert "held: locked elsewhere" in pull("--all")


def test_a_vendor_that_does_not_answer_is_an_exit_status(world: World) -> None:
    world.m3ter.fault("list bills", "html", times=None)

    with pytest.raises(CommandError, match="HTML"):
        pull()


def test_a_date_that_is_none_is_refused(world: World) -> None:
    with pytest.raises(CommandError, match="not a date"):
        pull("--since", "yesterday")


def test_without_a_token_the_start_says_so(settings: Settings) -> None:
    settings.M3TER_WEBHOOK_TOKENS = []
    missing = m3ter_token(None)
    settings.M3TER_WEBHOOK_TOKENS = ["t" * 32]

    assert [message.id for message in missing] == ["billing_bridge.W001"]
    assert m3ter_token(None) == []
