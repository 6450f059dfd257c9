"""An answer was lost, and the list that would show what was made lags behind: waited for, and made exactly once."""

from collections.abc import Callable

import pytest

from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from tests.paddle_sync.seen import created
from tests.paddle_sync.test_faults import assert_all_is_there_once, both_are_mapped, bought, due_again

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]


@pytest.mark.parametrize(
    ("operation", "listed_by", "looks"),
    [
        ("create account", "list accounts", 1),
        ("create account plan", "list account plans", 2),
        ("create external mapping", "find external mapping", 2),
    ],
)
def test_what_was_made_and_is_not_listed_yet_is_waited_for(
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    deliver: Run,
    run_jobs: Run,
    operation: str,
    listed_by: str,
    looks: int,
) -> None:
    both_are_mapped()
    subscription_id = bought(paddle, deliver)
    m3ter.fault(operation, "lose_answer")
    m3ter.fault(listed_by, "list_lag", times=looks)

    run_jobs()
    due_again()
    run_jobs()
    lagging = created()
    due_again()
    run_jobs()

    assert (lagging.state, lagging.attempts) == ("received", 2)
    assert "lists no such thing yet" in lagging.last_error
    assert created().state == "processed"
    assert_all_is_there_once(m3ter, subscription_id)
