"""A push that Paddle Classic refuses lands where the table of error codes says, with a sentence for people."""

import pytest

from billing_bridge import jobs
from billing_bridge.models import PushedBill, PushPolicy
from billing_bridge.refusals import REFUSALS
from integration_project.vendors.http import Policy
from integration_project.vendors.paddle_classic.errors import POLICIES
from tests.billing_bridge.classic_world import ClassicWorld
from tests.billing_bridge.test_refusals import SENTENCE, again
from tests.billing_bridge.world import fresh, push_of

State = PushedBill.State
WAYS = {"classic_modifier": "create modifier", "classic_charge": "charge subscription"}
EXPECTED = {
    "101": "failed",
    "107": "ready",
    "109": "failed",
    "116": "failed",
    "118": "failed",
    "119": "held cancelled",
    "146": "ready",
    "151": "ready",
    "155": "failed",
    "181": "failed",
    "182": "failed",
    "183": "failed",
    "184": "ready",
    "186": "held below minimum",
    "187": "held cancelled",
    "188": "failed",
    "189": "ready",
    "190": "held configuration",
    "192": "waiting paused",
    "194": "waiting paused",
    "196": "waiting past due",
    "197": "held cancelled",
    "199": "waiting past due",
}
NOT_REFUSALS = {Policy.LOOK_FIRST, Policy.KEY_REFUSED, Policy.PERMISSION_MISSING}


@pytest.fixture
def ready(classic_world: ClassicWorld) -> PushedBill:
    """A bill that is ready to be charged."""
    PushPolicy.objects.update(review="never", small="hold")
    return classic_world.imported()


def refused(world: ClassicWorld, bill: PushedBill, way: str, code: str) -> PushedBill:
    """Let Classic refuse it with this code, once."""
    again(bill, way)
    world.classic.fault(WAYS[way], "refuse", code=int(code))
    jobs.drain_bills()
    world.classic.clear_faults()
    return fresh(bill)


@pytest.mark.parametrize("way", WAYS)
def test_every_code_lands_where_the_table_says(classic_world: ClassicWorld, ready: PushedBill, way: str) -> None:
    landed, said = {}, {}

    for code in EXPECTED:
        after = refused(classic_world, ready, way, code)
        landed[code] = f"{after.state} {after.reason}".strip()
        said[code] = after.reason_detail
        assert push_of(ready).sent_at is None, code

    assert landed == EXPECTED
    meant = {code: REFUSALS[code].words for code in EXPECTED if POLICIES[code] not in NOT_REFUSALS}
    assert {code: words for code, words in said.items() if code in meant and not words.startswith(meant[code])} == {}
    assert all(SENTENCE.match(words) for words in said.values())
    assert classic_world.charges_of(ready) == 0


def test_a_declined_charge_is_said_so_that_finance_understands_it(
    classic_world: ClassicWorld, ready: PushedBill
) -> None:
    after = refused(classic_world, ready, "classic_charge", "188")

    assert after.reason_detail.startswith("The customer's payment was declined, and nothing was charged.")
    assert "Ask the customer, then resend." in after.reason_detail


def test_a_code_of_another_operation_says_at_least_that_nothing_was_charged(
    classic_world: ClassicWorld, ready: PushedBill
) -> None:
    after = refused(classic_world, ready, "classic_modifier", "172")

    assert (after.state, after.reason_detail.split("(")[0].strip()) == (
        State.FAILED,
        "Paddle refused it, and nothing was charged.",
    )


def test_every_number_in_the_table_is_a_refusal_of_classics() -> None:
    numbers = {code for code in REFUSALS if code.isdecimal()}

    assert {code for code in numbers if POLICIES.get(code) in {None, *NOT_REFUSALS}} == set()
    assert numbers == {code for code in EXPECTED if POLICIES[code] not in NOT_REFUSALS}
