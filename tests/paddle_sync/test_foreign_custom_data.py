"""Custom data, which a buyer's browser may set, changes nothing of what another customer has."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from integration_project.models import Finding, Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync import mappings
from paddle_sync.models import AccountLink, AccountPlanLink, WebhookEvent
from tests.builders import make_mapping
from tests.paddle_sync.people_rows import BUYER, Row, edit
from tests.paddle_sync.seen import CLOUD, INSIGHTS
from tests.paddle_sync.test_accounts import taken_account

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
THEIR_CODE = "harbour-tools"
STRANGER = {"email": "stranger@else.example", "name": "Stranger", "items": [CLOUD]}

NAMES_OF_US = ("m3ter_account_code", "paddleSubscriptionId", "paddleCustomerId", "paddleAdopted")
JUNK: dict[str, Callable[[Row], Any]] = {
    "their code": lambda them: {"m3ter_account_code": THEIR_CODE},
    "their subscription as code": lambda them: {"m3ter_account_code": them["subscription_id"]},
    "their ids under our names": lambda them: dict.fromkeys(NAMES_OF_US, them["subscription_id"]),
    "their ids under Paddle's names": lambda them: {
        "id": them["subscription_id"],
        "subscription_id": them["subscription_id"],
        "customer_id": them["customer_id"],
        "address_id": them["address_id"],
    },
    "what an import says": lambda them: {
        "import_meta": {"external_id": them["subscription_id"], "imported_from": "paddle_classic"},
        "imported_from": "paddle_classic",
        "external_id": them["subscription_id"],
    },
    "a code in a list": lambda them: {"m3ter_account_code": [THEIR_CODE]},
    "a code in an object": lambda them: {"m3ter_account_code": {"m3ter_account_code": THEIR_CODE}},
    "custom data in custom data": lambda them: {"custom_data": {"m3ter_account_code": THEIR_CODE}},
    "an entity": lambda them: {"data": {"id": them["subscription_id"], "status": "canceled", "items": []}},
    "deep and wide": lambda them: {"a": {"b": [{"c": them["subscription_id"]}] * 50}, "m3ter_account_code": 7},
    "no object": lambda them: {"m3ter_account_code": None, "": THEIR_CODE},
}
CONFLICTS = {"their code", "their subscription as code", "their ids under our names"}


def theirs(m3ter: M3terSimulator, them: Row) -> Any:
    """Everything that the other customer has, in m3ter and in our books."""
    link = AccountLink.objects.get(paddle_subscription_id=them["subscription_id"])
    plans = AccountPlanLink.objects.filter(link=link)
    memory = m3ter.memory
    return copy.deepcopy(
        {
            "account": [row for row in memory.accounts if row["id"] == link.m3ter_account_id],
            "plans": [row for row in memory.account_plans if row["accountId"] == link.m3ter_account_id],
            "mappings": [row for row in memory.external_mappings if row["m3terId"] == link.m3ter_account_id],
            "link": AccountLink.objects.filter(pk=link.pk).values().get(),
            "plan links": list(plans.values()),
            "findings": list(Finding.objects.filter(subject=link.paddle_subscription_id).values_list("kind", "state")),
        }
    )


def settled(deliver: Run, run_jobs: Run) -> None:
    deliver()
    run_jobs()


def them_with_account(paddle: PaddleSimulator, deliver: Run, run_jobs: Run, *, trusted: bool) -> Row:
    """Another customer, whose account has a code of their own where such codes are trusted."""
    Installation.objects.update(customer_codes_trusted=trusted)
    make_mapping()
    custom = {"m3ter_account_code": THEIR_CODE} if trusted else None
    them = paddle.complete_checkout(**BUYER, custom_data=custom)
    settled(deliver, run_jobs)
    code = THEIR_CODE if trusted else them["subscription_id"]
    assert AccountLink.objects.get().m3ter_account_code == code
    return dict(them)


WAYS: dict[str, Callable[[PaddleSimulator, Any], Row]] = {
    "created": lambda paddle, custom: paddle.complete_checkout(**STRANGER, custom_data=custom),
    "imported": lambda paddle, custom: paddle.import_subscription(**STRANGER, custom_data=custom),
}


CASES = [("created", junk) for junk in JUNK] + [
    ("imported", junk) for junk in ("their code", "their subscription as code", "what an import says")
]


@pytest.mark.parametrize("trusted", [False, True], ids=["codes not trusted", "codes trusted"])
@pytest.mark.parametrize(("way", "junk"), CASES)
def test_a_subscription_that_names_another_customer_s_changes_nothing_there(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run, junk: str, way: str, trusted: bool
) -> None:
    them = them_with_account(paddle, deliver, run_jobs, trusted=trusted)
    before = theirs(m3ter, them)

    us = WAYS[way](paddle, JUNK[junk](them))
    settled(deliver, run_jobs)

    assert theirs(m3ter, them) == before
    ours = WebhookEvent.objects.filter(paddle_subscription_id=us["subscription_id"])
    founding = ours.get(event_type=f"subscription.{way}")
    if trusted and junk in CONFLICTS:
        assert (founding.state, founding.waiting_for_kind) == ("parked", "account conflict")
        assert len(list(m3ter.memory.accounts)) == 1
    else:
        assert founding.state == "processed"
        assert (
            AccountLink.objects.get(paddle_subscription_id=us["subscription_id"]).m3ter_account_code
            == (us["subscription_id"])
        )


@pytest.mark.parametrize("trusted", [False, True], ids=["codes not trusted", "codes trusted"])
@pytest.mark.parametrize("junk", JUNK)
def test_custom_data_that_comes_later_changes_neither_account(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run, junk: str, trusted: bool
) -> None:
    them = them_with_account(paddle, deliver, run_jobs, trusted=trusted)
    us = paddle.complete_checkout(**STRANGER)
    settled(deliver, run_jobs)
    before, ours = theirs(m3ter, them), theirs(m3ter, us)
    custom = JUNK[junk](them)

    edit(paddle, "PATCH", f"/subscriptions/{us['subscription_id']}", custom_data=custom)
    edit(paddle, "PATCH", f"/customers/{us['customer_id']}", custom_data=custom)
    edit(paddle, "PATCH", f"/customers/{us['customer_id']}/addresses/{us['address_id']}", custom_data=custom)
    settled(deliver, run_jobs)

    assert theirs(m3ter, them) == before
    assert {**theirs(m3ter, us), "link": None} == {**ours, "link": None}
    assert not WebhookEvent.objects.filter(state__in=("failed", "received")).exists()


# --- Usage came before the account: m3ter made a skeleton, which is adopted unasked ---------------------------------


@pytest.mark.parametrize("names", ["their subscription", "their code"])
def test_the_skeleton_of_another_customer_s_usage_is_left_to_them(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, deliver: Run, run_jobs: Run, names: str
) -> None:
    Installation.objects.update(customer_codes_trusted=True)
    make_mapping()
    custom = {"m3ter_account_code": THEIR_CODE} if names == "their code" else None
    them = paddle.complete_checkout(**{**BUYER, "items": [INSIGHTS]}, custom_data=custom)
    settled(deliver, run_jobs)
    code = THEIR_CODE if custom else them["subscription_id"]
    skeleton = taken_account(vendors, code, name=code, email_address="skeleton@m3ter.example", currency=None)
    before = [dict(row) for row in m3ter.memory.accounts]

    us = paddle.complete_checkout(**STRANGER, custom_data={"m3ter_account_code": code})
    settled(deliver, run_jobs)
    after = [dict(row) for row in m3ter.memory.accounts]
    mapping = make_mapping(
        paddle_sample.PRICE_INSIGHTS_EUR, plan=m3ter_sample.PLAN_SEATS, m3ter_product=m3ter_sample.PRODUCT_SEATS
    )
    mappings.saved(mapping, by="anna")
    run_jobs()

    assert after == before
    parked = WebhookEvent.objects.get(event_type="subscription.created", state="parked")
    assert (parked.paddle_subscription_id, parked.waiting_for_kind) == (us["subscription_id"], "account conflict")
    link = AccountLink.objects.get()
    assert (link.paddle_subscription_id, link.m3ter_account_id) == (them["subscription_id"], skeleton.id)
