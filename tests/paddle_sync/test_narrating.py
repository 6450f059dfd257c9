"""What a dry run would do, in words that people understand."""

from typing import Any

import pytest

from integration_project.vendors.m3ter import rehearsed
from integration_project.vendors.rehearsal import MASK, PlannedCall
from paddle_sync import narrating

NAMES = {"plan-1": "Scale", "plan-2": "Bulk", "group-1": "Bundle", "counter-1": "Seats"}
MARCH = "2026-03-01T09:00:00.000Z"


def write(operation: str, path: str = "/organizations/o/x", **fields: Any) -> PlannedCall:
    return PlannedCall("m3ter", operation, "POST", path, written=True, **fields)


CASES = {
    "an account is made": (
        write("create account", body={"code": "sub_1", "name": MASK, "currency": "EUR", "billEpoch": "2026-03-27"}),
        "would create account sub_1 in EUR with bill date 2026-03-27",
    ),
    "an account without a currency": (
        write("create account", body={"code": "sub_1", "name": MASK}),
        "would create account sub_1",
    ),
    "an account is renamed": (
        write(
            "update account",
            body={"code": "sub_1", "name": MASK, "billEpoch": "2026-03-27"},
            before={"code": "sub_1"},
            changed=("name", "billEpoch"),
        ),
        "would change the name and the bill date to 2026-03-27 of account sub_1",
    ),
    "everything ends": (
        write(
            "end account billing entities",
            "/organizations/o/accounts/a-1/enddatebillingentities",
            body={"endDate": MARCH},
        ),
        "would end everything on account a-1 at 1 March 2026 09:00 UTC",
    ),
    "a plan on the account that is being made": (
        write("create account plan", body={"accountId": "new-account-1", "planId": "plan-1", "startDate": MARCH}),
        "would put plan Scale on it from 1 March 2026 09:00 UTC",
    ),
    "a group on an account that is there": (
        write(
            "create account plan",
            body={"accountId": "a-1", "planGroupId": "group-1", "startDate": MARCH, "endDate": "2026-04-01T09:00:00Z"},
        ),
        "would put plan group Bundle on account a-1 from 1 March 2026 09:00 UTC until 1 April 2026 09:00 UTC",
    ),
    "a plan ends": (
        write(
            "update account plan",
            body={"planId": "plan-1", "endDate": MARCH},
            before={"planId": "plan-1"},
            changed=("endDate",),
        ),
        "would end plan Scale at 1 March 2026 09:00 UTC",
    ),
    "a plan's fields change": (
        write(
            "update account plan",
            body={"planId": "plan-1", "customFields": {"seats": "5"}},
            before={"planId": "plan-1"},
            changed=("customFields",),
        ),
        "would change the custom fields of plan Scale",
    ),
    "a plan ends and changes": (
        write(
            "update account plan",
            body={"planId": "plan-1", "endDate": MARCH, "billEpoch": "2026-03-27"},
            before={"planId": "plan-1"},
            changed=("endDate", "billEpoch"),
        ),
        "would end plan Scale at 1 March 2026 09:00 UTC and change the bill date to 2026-03-27 of plan Scale",
    ),
    "a plan of which nothing is known ends": (
        write("update account plan", body={"planId": "plan-9", "endDate": "some day"}),
        "would end plan plan-9 at some day",
    ),
    "an end is taken back": (
        write(
            "update account plan",
            body={"planId": "plan-1", "endDate": None},
            before={"planId": "plan-1", "endDate": MARCH},
            changed=("endDate",),
        ),
        "would let plan Scale run without an end",
    ),
    "a plan is replaced": (
        write(
            "replace account plan",
            "/organizations/o/accountplans/ap-1/replace",
            body={"planId": "plan-2", "startDate": MARCH},
            before={"planId": "plan-1"},
        ),
        "would replace plan Scale by plan Bulk from 1 March 2026 09:00 UTC",
    ),
    "an unknown plan is replaced": (
        write(
            "replace account plan",
            "/organizations/o/accountplans/ap-1/replace",
            body={"planId": "plan-2", "startDate": MARCH},
        ),
        "would replace plan ap-1 by plan Bulk from 1 March 2026 09:00 UTC",
    ),
    "a plan is taken off": (
        write("delete account plan", "/organizations/o/accountplans/ap-1", before={"planId": "plan-1"}),
        "would take plan Scale off its account",
    ),
    "an account is mapped": (
        write("create external mapping", body={"m3terId": "a-1", "externalId": "sub_1"}),
        "would note in m3ter that account a-1 is sub_1 in Paddle",
    ),
    "seats are set": (
        write("create counter adjustment", body={"counterId": "counter-1", "value": 5, "date": "2026-03-01"}),
        "would set counter Seats to 5 on 2026-03-01",
    ),
    "seats are set anew": (
        write(
            "update counter adjustment",
            body={"value": 6},
            before={"counterId": "counter-1", "value": 5, "date": "2026-03-01"},
            changed=("value",),
        ),
        "would set counter Seats to 6 on 2026-03-01",
    ),
    "seats are taken back": (
        write("delete counter adjustment", before={"counterId": "counter-1", "value": 5, "date": "2026-03-01"}),
        "would take back what was set for counter Seats on 2026-03-01",
    ),
    "a charge": (
        write("charge subscription", "/subscriptions/sub_1/charge"),
        "would charge subscription sub_1",
    ),
    "a bill": (write("lock bill", "/organizations/o/bills/b-1/lock"), "would lock bill b-1 in m3ter"),
    "what has no words of its own": (write("polish the brass"), "would polish the brass"),
}


@pytest.mark.parametrize(("call", "expected"), CASES.values(), ids=CASES.keys())
def test_each_write_is_a_sentence(call: PlannedCall, expected: str) -> None:
    told = narrating.sentences([PlannedCall("m3ter", "find account", "GET", "/x"), call], "processed", "Done.", NAMES)

    assert told == (expected, "The event would then be processed: Done.")


OUTCOMES = {
    "ignored": ("would skip: nothing differs",),
    "parked": ("would wait for a person: nothing differs",),
    "failed": ("would fail: nothing differs",),
    "received": ("would be tried again later: nothing differs",),
    "processed": ("would change nothing at the vendors", "The event would then be processed: nothing differs"),
}


@pytest.mark.parametrize("state", OUTCOMES)
def test_where_nothing_is_written_the_outcome_says_it(state: str) -> None:
    assert narrating.sentences([], state, "nothing differs", {}) == OUTCOMES[state]


def test_an_outcome_without_a_note_is_still_told() -> None:
    assert narrating.sentences([], "failed", "", {}) == ("would fail",)


def test_every_write_of_an_event_has_words() -> None:
    usage = {"submit measurements", "generate upload url"}
    mappings = {"update external mapping", "delete external mapping"}
    bills = {"create charge", "create bill job", "recalculate bills"}

    assert set(rehearsed.WRITES) - set(narrating.WORDS) == usage | mappings | bills
