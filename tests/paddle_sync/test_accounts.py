"""Which m3ter account is a subscription's: made, adopted, taken over, or refused."""

from collections.abc import Callable
from typing import Any

import pytest

from integration_project.models import Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import Account, NewAccount
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync.models import AccountLink
from tests.builders import make_event, make_link, make_mapping, subscription
from tests.paddle_sync.seen import CLOUD, created

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


def taken_account(vendors: Vendors, code: str, **fields: Any) -> Account:
    values = {"name": "Somebody else", "email_address": "x@y.example", "currency": "EUR", **fields}
    return vendors.m3ter.create_account(NewAccount(code=code, **values))


def test_an_account_of_somebody_else_is_never_taken(m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run) -> None:
    make_mapping()
    data = subscription()
    taken_account(vendors, data["id"])
    before = [dict(row) for row in m3ter.memory.accounts]
    make_event("subscription.created", data)

    run_jobs()

    event = created()
    assert (event.state, event.waiting_for_kind, event.waiting_for_key) == ("parked", "account conflict", data["id"])
    assert "no mapping of it names this subscription" in event.note
    assert [dict(row) for row in m3ter.memory.accounts] == before
    assert (len(list(m3ter.memory.account_plans)), AccountLink.objects.count()) == (0, 0)


def test_a_skeleton_that_usage_made_is_adopted_and_filled(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    bought = paddle.complete_checkout(email="ap@harbour.example", name="Harbour", items=[CLOUD])
    code = bought["subscription_id"]
    taken_account(vendors, code, name=code, email_address="skeleton@m3ter.example", currency=None)

    deliver()
    run_jobs()

    (account,) = m3ter.memory.accounts
    assert (account["name"], account["emailAddress"], account["currency"]) == ("Harbour", "ap@harbour.example", "EUR")
    assert account["billEpoch"]
    assert AccountLink.objects.get().adopted is True
    assert len(list(m3ter.memory.account_plans)) == 1


def test_an_account_whose_mapping_names_the_subscription_is_adopted_as_it_is(
    m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run
) -> None:
    make_mapping()
    data = subscription()
    account = taken_account(vendors, data["id"])
    vendors.m3ter.create_external_mapping(
        entity="Account", m3ter_id=account.id, table="Subscription", external_id=data["id"]
    )
    make_event("subscription.created", data)

    run_jobs()

    (row,) = m3ter.memory.accounts
    assert (row["name"], row["version"]) == ("Somebody else", 1)
    assert (AccountLink.objects.get().m3ter_account_id, AccountLink.objects.get().adopted) == (account.id, True)
    assert len(list(m3ter.memory.external_mappings)) == 1


def test_an_account_in_another_currency_is_a_conflict_even_when_mapped(
    m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run
) -> None:
    make_mapping()
    data = subscription()
    account = taken_account(vendors, data["id"], currency="USD")
    vendors.m3ter.create_external_mapping(
        entity="Account", m3ter_id=account.id, table="Subscription", external_id=data["id"]
    )
    make_event("subscription.created", data)

    run_jobs()

    assert created().waiting_for_kind == "account conflict"
    assert "billed in USD" in created().note


def test_an_account_of_another_live_link_is_a_conflict(m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run) -> None:
    make_mapping()
    data = subscription()
    account = taken_account(vendors, data["id"], name=data["id"])
    make_link("sub_other", m3ter_account_id=account.id)
    make_event("subscription.created", data)

    run_jobs()

    assert created().state == "parked"
    assert "sub_other" in created().note


@pytest.mark.parametrize("trusted", [False, True])
def test_a_code_from_custom_data_counts_only_where_it_is_trusted(
    m3ter: M3terSimulator, installation: Installation, run_jobs: Run, trusted: bool
) -> None:
    Installation.objects.update(customer_codes_trusted=trusted)
    make_mapping()
    data = subscription(custom_data={"m3ter_account_code": "harbour-tools"})
    make_event("subscription.created", data)

    run_jobs()

    assert [row["code"] for row in m3ter.memory.accounts] == ["harbour-tools" if trusted else data["id"]]


def test_a_subscription_imported_from_classic_takes_over_the_account(
    m3ter: M3terSimulator, vendors: Vendors, run_jobs: Run
) -> None:
    make_mapping()
    account = taken_account(vendors, "harbour-tools", name="Harbour")
    old = make_link("classic-1", m3ter_account_id=account.id, m3ter_account_code="harbour-tools")
    data = subscription(import_meta={"external_id": "classic-1", "imported_from": "paddle_classic"})
    make_event("subscription.imported", data)

    run_jobs()

    old.refresh_from_db()
    new = AccountLink.objects.get(paddle_subscription_id=data["id"])
    assert (old.state, new.state) == ("ended", "live")
    assert (new.m3ter_account_id, new.m3ter_account_code) == (account.id, "harbour-tools")
    assert len(list(m3ter.memory.accounts)) == 1
    assert len(list(m3ter.memory.account_plans)) == 1


def test_a_buyer_without_name_or_usable_address_gets_the_code_and_a_placeholder(
    m3ter: M3terSimulator, run_jobs: Run
) -> None:
    make_mapping()
    data = subscription()
    make_event("subscription.created", data)

    run_jobs()

    (account,) = m3ter.memory.accounts
    assert (account["name"], account["emailAddress"]) == (data["id"], f"{data['id']}@no-email.invalid")
    assert "address" not in account or not account["address"]
