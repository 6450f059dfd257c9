"""The REST API takes usage: each item is told at once what became of it, and what is accepted reaches m3ter once."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from integration_project import api_keys, clock
from integration_project.models import ApiKey, Finding
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync import parking
from paddle_sync.jobs import refresh_catalogue
from paddle_sync.models import AccountLink, LateUsage, SettledPeriod, UsageBatch, UsageUid, WebhookEvent
from paddle_sync.usage import jobs
from tests.builders import make_link, make_mapping, paddle_id
from tests.paddle_sync.people_rows import BUYER
from tests.paddle_sync.usage.metered import METER, at, item, totals

pytestmark = pytest.mark.django_db

Send = Callable[..., Any]
Run = Callable[[], int]
NUMBERS_IN_DIFFERENT_SPELLINGS = (5, Decimal("5.0"), Decimal("5e0"))


def statuses(answer: Any) -> list[str]:
    """What became of each item."""
    return [each["status"] for each in answer.json()["results"]]


def codes(answer: Any) -> list[tuple[str, str]]:
    """Why each item was refused, and which field is wrong."""
    return [(each.get("code", ""), each.get("field", "")) for each in answer.json()["results"]]


# --- What is accepted ------------------------------------------------------------------------------------------------


def test_usage_is_accepted_stored_and_counted(
    link: AccountLink, send: Send, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    answer = send(item(link, "a", 5), item(link, "b", Decimal("0.1")))
    run_jobs()

    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 2,
        "duplicate": 0,
        "conflict": 0,
        "refused": 0,
        "results": [{"index": 0, "status": "accepted"}, {"index": 1, "status": "accepted"}],
    }
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal("5.1")}


def test_every_way_to_address_usage_leads_to_the_same_account_and_uid(
    link: AccountLink, send: Send, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    moment = at(hours=3)
    ways = (
        {"paddle_subscription_id": link.paddle_subscription_id},
        {"paddle_subscription_id": None, "paddle_customer_id": link.paddle_customer_id},
        {"paddle_subscription_id": None, "m3ter_account_code": link.m3ter_account_code},
    )

    answer = send(*(item(link, "a", 5, ts=moment, **way) for way in ways))
    run_jobs()

    assert statuses(answer) == ["accepted", "duplicate", "duplicate"]
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(5)}


def test_the_same_usage_sent_again_is_a_duplicate_whatever_its_spelling(link: AccountLink, send: Send) -> None:
    spelled = [item(link, "a", number, ts=at(hours=3)) for number in NUMBERS_IN_DIFFERENT_SPELLINGS]
    spelled.append(item(link, "a", 5, ts=at(hours=3, zone=2)))

    answers = [send(each) for each in spelled]

    assert [statuses(answer) for answer in answers] == [["accepted"], ["duplicate"], ["duplicate"], ["duplicate"]]
    assert [answer.status_code for answer in answers] == [202] * 4
    assert UsageBatch.objects.count() == 1


def test_a_uid_with_another_content_is_a_conflict_and_changes_nothing(
    link: AccountLink, send: Send, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    send(item(link, "a", 5, ts=at(hours=3)))

    answer = send(item(link, "a", 6, ts=at(hours=3)), item(link, "a", 5, ts=at(hours=2)))
    run_jobs()

    assert (answer.status_code, statuses(answer)) == (422, ["conflict", "conflict"])
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(5)}


def test_uids_are_of_their_account(link: AccountLink, send: Send) -> None:
    other = make_link(m3ter_account_code="other", adopted=True)

    assert statuses(send(item(link, "a"), item(other, "a"))) == ["accepted", "accepted"]


def test_without_a_uid_the_request_needs_a_key_of_its_own(
    link: AccountLink, send: Send, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    items = [item(link, None, 1, ts=at(hours=3)), item(link, None, 1, ts=at(hours=3))]

    assert codes(send(*items)) == [("no_uid", "uid")] * 2
    assert statuses(send(*items, idempotency_key="monday")) == ["accepted", "accepted"]
    assert statuses(send(*items, idempotency_key="monday")) == ["duplicate", "duplicate"]
    assert statuses(send(*items, idempotency_key="tuesday")) == ["accepted", "accepted"]
    run_jobs()

    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(4)}


def test_two_clients_do_not_share_their_idempotency_keys(link: AccountLink, send: Send) -> None:
    other = api_keys.make("Other", scopes=[ApiKey.Scope.USAGE_WRITE]).text
    one = item(link, None, 1, ts=at(hours=3))

    answers = [send(one, idempotency_key="monday"), send(one, idempotency_key="monday", key=other)]

    assert [statuses(answer) for answer in answers] == [["accepted"], ["accepted"]]


def test_one_wrong_item_keeps_no_other_back(
    link: AccountLink, send: Send, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    answer = send(item(link, "a", 5), item(link, "b", "many"), "nothing", item(link, "c", 7))
    run_jobs()

    assert answer.status_code == 202
    assert statuses(answer) == ["accepted", "refused", "refused", "accepted"]
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(12)}


# --- What is refused -------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "no address": ({"paddle_subscription_id": None}, ("no_address", "paddle_subscription_id")),
    "two addresses": ({"m3ter_account_code": "x"}, ("two_addresses", "m3ter_account_code")),
    "address no text": ({"paddle_subscription_id": 7}, ("bad_address", "paddle_subscription_id")),
    "unknown subscription": (
        {"paddle_subscription_id": "sub_01aaaaaaaaaaaaaaaaaaaaaaaa"},
        ("unknown_subscription", "paddle_subscription_id"),
    ),
    "no id of a subscription": ({"paddle_subscription_id": "acme"}, ("unknown_subscription", "paddle_subscription_id")),
    "unknown customer": (
        {"paddle_subscription_id": None, "paddle_customer_id": "ctm_x"},
        ("unknown_customer", "paddle_customer_id"),
    ),
    "unknown account": (
        {"paddle_subscription_id": None, "m3ter_account_code": "typo"},
        ("unknown_account", "m3ter_account_code"),
    ),
    "no meter": ({"meter": None}, ("no_meter", "meter")),
    "unknown meter": ({"meter": "api_call"}, ("unknown_meter", "meter")),
    "unknown field of the item": ({"quantity": 3}, ("unknown_field", "quantity")),
    "unknown field of the meter": ({"values": {"calls": 1, "colour": "red"}}, ("unknown_field", "colour")),
    "missing field": ({"values": {"endpoint": "search"}}, ("missing_field", "calls")),
    "no values": ({"values": {}}, ("no_values", "values")),
    "number as text": ({"values": {"calls": "5"}}, ("not_a_number", "calls")),
    "truth for a number": ({"values": {"calls": True}}, ("not_a_number", "calls")),
    "text as number": ({"values": {"calls": 1, "endpoint": 5}}, ("not_a_text", "endpoint")),
    "long text": ({"values": {"calls": 1, "endpoint": "x" * 3000}}, ("long_text", "endpoint")),
    "long number": ({"values": {"calls": 10**40}}, ("long_number", "calls")),
    "negative": ({"values": {"calls": -1}}, ("negative", "calls")),
    "unknown mark": ({"marks": ["really"]}, ("bad_marks", "marks")),
    "no time": ({"ts": None}, ("no_time", "ts")),
    "time without zone": ({"ts": "2026-03-01T09:30:00"}, ("bad_time", "ts")),
    "no time at all": ({"ts": "yesterday"}, ("bad_time", "ts")),
    "day that is none": ({"ts": "2026-02-30T09:30:00Z"}, ("bad_time", "ts")),
    "uid no text": ({"uid": 5}, ("bad_uid", "uid")),
    "long uid": ({"uid": "x" * 201}, ("bad_uid", "uid")),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_m3ter_would_drop_or_misplace_is_refused_at_once(
    link: AccountLink, send: Send, m3ter: M3terSimulator, run_jobs: Run, case: str
) -> None:
    changes, expected = WRONG[case]
    before = len(m3ter.memory.accounts)

    answer = send({name: value for name, value in {**item(link), **changes}.items() if value is not None})
    run_jobs()

    assert (answer.status_code, statuses(answer), codes(answer)) == (422, ["refused"], [expected])
    assert answer.json()["results"][0]["reason"]
    assert totals(m3ter) == {}
    assert len(m3ter.memory.accounts) == before
    assert (UsageBatch.objects.count(), UsageUid.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "expected", "mark"),
    [
        ({"ts": dt.timedelta(hours=2)}, "future", ""),
        ({"ts": -dt.timedelta(days=401)}, "too_old", ""),
        ({"ts": -dt.timedelta(days=36)}, "back_dated", "correction"),
        ({"values": {"calls": -3}}, "negative", "correction"),
    ],
)
def test_what_may_be_meant_is_accepted_with_its_mark(
    link: AccountLink, send: Send, changes: dict[str, Any], expected: str, mark: str
) -> None:
    link.plans.update(starts_at=clock.now() - dt.timedelta(days=500))
    if isinstance(changes.get("ts"), dt.timedelta):
        changes = {"ts": (clock.now() + changes["ts"]).isoformat()}

    assert codes(send(item(link, "a", **changes)))[0][0] == expected
    marked = send(item(link, "a", **changes, marks=[mark] if mark else None))
    assert statuses(marked) == (["accepted"] if mark else ["refused"])


def test_usage_outside_the_plans_of_an_account_is_refused_unless_marked(link: AccountLink, send: Send) -> None:
    now = clock.now()
    link.plans.update(starts_at=now - dt.timedelta(days=20), ends_at=now - dt.timedelta(days=2))
    before, during, after = at(days=21), at(days=10), at(days=1)

    answer = send(*(item(link, ts, ts=ts) for ts in (before, during, after)))
    marked = send(item(link, after, ts=after, marks=["after_end"]))

    assert codes(answer) == [("before_plan", "ts"), ("", ""), ("after_end", "ts")]
    assert statuses(marked) == ["accepted"]


def test_usage_of_a_billed_period_needs_to_be_meant(
    link: AccountLink, send: Send, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    period = SettledPeriod.objects.create(
        m3ter_bill_id="bill-1",
        m3ter_account_id=link.m3ter_account_id,
        starts_at=clock.now() - dt.timedelta(days=30),
        ends_at=clock.now() - dt.timedelta(days=5),
        state=SettledPeriod.State.APPROVED,
    )
    moment = at(days=6)

    assert codes(send(item(link, "a", ts=moment))) == [("approved", "ts")]
    late = send(item(link, "a", ts=moment, marks=["correction"]))
    assert late.json()["results"] == [{"index": 0, "status": "accepted", "late": True}]

    SettledPeriod.objects.filter(pk=period.pk).update(state=SettledPeriod.State.LOCKED)
    assert codes(send(item(link, "b", ts=moment, marks=["correction"]))) == [("locked", "ts")]
    locked = send(item(link, "b", 4, ts=moment, marks=["bill_on_next"]))
    assert locked.json()["results"] == [{"index": 0, "status": "accepted", "on_next_bill": True}]

    run_jobs()
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(5)}
    row = LateUsage.objects.get()
    assert (row.m3ter_bill_id, row.meter, row.items, row.sums) == ("bill-1", METER, 1, {"calls": "4"})


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"measurements": []}',
        b'{"measurements": {}}',
        b'{"measurements": [1], "more": 1}',
        b'{"measurements": [NaN]}',
        b'{"measurements": [1], "measurements": [1]}',
        b'{"measurements": ["\\u0000"]}',
        b"\xff",
    ],
)
def test_a_request_that_is_none_is_refused_whole(link: AccountLink, client: Any, api_key: str, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {api_key}"}
    answer = client.post("/api/v1/usage/measurements/", data=body, content_type="application/json", headers=headers)

    assert answer.status_code == 400
    assert set(answer.json()) == {"code", "message", "fields"}
    assert UsageUid.objects.count() == 0


def test_more_than_a_thousand_at_once_are_refused_whole(link: AccountLink, send: Send) -> None:
    answer = send(*(item(link, str(number)) for number in range(1001)))

    assert answer.status_code == 400
    assert "1001" in answer.json()["message"]
    assert UsageUid.objects.count() == 0


def test_a_key_without_the_scope_sends_nothing(link: AccountLink, send: Send) -> None:
    reader = api_keys.make("Reader", scopes=[ApiKey.Scope.USAGE_READ]).text

    assert send(item(link), key=reader).status_code == 403
    assert send(item(link), key="nonsense").status_code == 401
    assert UsageUid.objects.count() == 0


@pytest.mark.parametrize("change", ["renamed", "deleted"])
def test_no_stray_account_is_made_of_one_that_is_known_to_be_gone_from_m3ter(
    link: AccountLink, send: Send, m3ter: M3terSimulator, run_jobs: Run, change: str
) -> None:
    account = next(iter(m3ter.memory.accounts))
    if change == "renamed":
        m3ter.memory.accounts.change(account, {"code": "renamed"})
    else:
        m3ter.memory.accounts.remove(account)
    left = [each["code"] for each in m3ter.memory.accounts]
    with pytest.raises(CommandError, match="differences"):
        call_command("check_drift")
    whole = {"paddle_subscription_id": None, "m3ter_account_code": link.m3ter_account_code}

    answer = send(item(link, "a"), item(link, "b", **whole))
    run_jobs()
    m3ter.process_measurements()

    assert codes(answer) == [("account_astray", "paddle_subscription_id"), ("account_astray", "m3ter_account_code")]
    assert [each["code"] for each in m3ter.memory.accounts] == left
    Finding.objects.update(state=Finding.State.CLOSED)
    assert statuses(send(item(link, "a"))) == ["accepted"]


# --- What is not linked yet ------------------------------------------------------------------------------------------


def test_usage_of_a_parked_subscription_waits_for_its_account(
    paddle: PaddleSimulator, installation: object, send: Send, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    refresh_catalogue()
    subscription_id = paddle.complete_checkout(**BUYER)["subscription_id"]
    deliver()
    run_jobs()
    one = item(None, "a", 5, paddle_subscription_id=subscription_id, ts=clock.now().isoformat())

    answer = send(one, {**one, "uid": "b"})
    again = send(one)
    run_jobs()

    assert answer.json()["results"] == [
        {"index": 0, "status": "accepted", "held": True},
        {"index": 1, "status": "accepted", "held": True},
    ]
    assert statuses(again) == ["duplicate"]
    assert totals(m3ter) == {}
    assert list(m3ter.memory.accounts) == []

    make_mapping()
    parking.resume(WebhookEvent.objects.all(), by="anna", reason="mapped")
    run_jobs()
    jobs.release_held()
    run_jobs()

    assert totals(m3ter) == {(AccountLink.objects.get().m3ter_account_code, METER): Decimal(10)}
    assert statuses(send(one)) == ["duplicate"]


def test_a_subscription_that_only_paddle_knows_is_taken_in(
    paddle: PaddleSimulator, link: AccountLink, send: Send, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    unheard = paddle.complete_checkout(**{**BUYER, "email": "other@example.com"})["subscription_id"]
    one = item(None, "a", 5, paddle_subscription_id=unheard, ts=clock.now().isoformat())

    answer = send(one, {**one, "uid": "b"}, item(None, "c", paddle_subscription_id=paddle_id("sub")))
    run_jobs()
    jobs.release_held()
    run_jobs()

    assert statuses(answer) == ["accepted", "accepted", "refused"]
    assert totals(m3ter) == {(AccountLink.objects.get(paddle_subscription_id=unheard).m3ter_account_code, METER): 10}
    assert [call.operation for call in paddle.calls].count("list subscriptions") == 1
