"""Usage of subscriptions without an account: what is held until there is one, and what comes of it then."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync.jobs import refresh_catalogue
from paddle_sync.models import AccountLink, PlanDecision, UsageFailure
from paddle_sync.usage import jobs
from tests.builders import make_mapping
from tests.paddle_sync.people_rows import BUYER
from tests.paddle_sync.usage.metered import METER, at, item, totals

pytestmark = pytest.mark.django_db
Run = Callable[[], int]
Send = Callable[..., Any]


def held_until_linked(link: AccountLink, send: Send, *items: dict[str, Any], **request: Any) -> Any:
    """Send while the subscription has no account, and let it have that one then."""
    PlanDecision.objects.all().delete()
    AccountLink.objects.filter(pk=link.pk).update(paddle_subscription_id="sub_of_somebody_else")
    answer = send(*items, **request)
    AccountLink.objects.filter(pk=link.pk).update(paddle_subscription_id=link.paddle_subscription_id)
    jobs.release_held()
    return answer


def test_usage_without_uids_that_waited_is_counted_however_long_its_idempotency_key_was(
    link: AccountLink, send: Send, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    one = item(link, None, 5, ts=at(hours=2))

    answer = held_until_linked(link, send, one, idempotency_key="k" * 200)
    again = send(one, idempotency_key="k" * 200)
    run_jobs()

    assert answer.json()["results"] == [{"index": 0, "status": "accepted", "held": True}]
    assert again.json()["results"] == [{"index": 0, "status": "duplicate"}]
    assert not UsageFailure.objects.exists()
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(5)}


def test_usage_waits_where_an_item_is_parked_although_others_are_not_metered(
    installation: object, paddle: PaddleSimulator, deliver: Run, run_jobs: Run, send: Send
) -> None:
    make_mapping(target="not_metered", plan="", m3ter_product="")
    subscription_id = paddle.complete_checkout(**BUYER)["subscription_id"]
    deliver()
    run_jobs()
    refresh_catalogue()
    one = item(None, "a", 5, paddle_subscription_id=subscription_id)
    before = send(one)

    paddle.change_items(subscription_id, [{"price_id": paddle_sample.PRICE_CLOUD_PRO_EUR, "quantity": 1}])
    deliver()
    run_jobs()

    assert before.json()["results"][0]["code"] == "not_metered"
    assert send(one).json()["results"] == [{"index": 0, "status": "accepted", "held": True}]
