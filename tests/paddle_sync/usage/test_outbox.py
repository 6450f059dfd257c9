"""What people decide about batches that do not go by themselves."""

import datetime as dt
from collections.abc import Callable

import pytest

from integration_project import clock
from integration_project.errors import NotPossible
from integration_project.vendors.m3ter.simulator import M3terSimulator
from paddle_sync.models import AccountLink, UsageBatch, UsageUid
from paddle_sync.usage import outbox
from paddle_sync.usage.intake import Outcome
from tests.paddle_sync.usage.metered import METER, accept, at, item, totals

pytestmark = pytest.mark.django_db
Run = Callable[[], int]
State = UsageBatch.State


def given_up(link: AccountLink) -> UsageBatch:
    """A batch whose first request got no answer, and that is too old to be sent by itself."""
    accept(item(link, "a", 5, ts=at(hours=2)))
    long_ago = clock.now() - dt.timedelta(days=40)
    UsageBatch.objects.update(state=State.FAILED, due_at=None, first_sent_at=long_ago, attempts=9, note="Too late.")
    return UsageBatch.objects.get()


def test_a_batch_that_was_given_up_goes_when_somebody_says_so(
    link: AccountLink, m3ter: M3terSimulator, run_jobs: Run
) -> None:
    batch = given_up(link)

    outbox.send_again(batch.pk, by="olga", reason="m3ter has none of it.")
    run_jobs()

    assert UsageBatch.objects.get().state == State.SENT
    assert totals(m3ter) == {(link.m3ter_account_code, METER): 5}


def test_a_batch_that_is_taken_as_sent_never_goes(link: AccountLink, m3ter: M3terSimulator, run_jobs: Run) -> None:
    batch = given_up(link)

    outbox.take_as_sent(batch.pk, by="olga", reason="m3ter has it.")
    run_jobs()

    batch.refresh_from_db()
    assert (batch.state, batch.sendings) == (State.SENT, 0)
    assert "olga" in batch.note
    assert totals(m3ter) == {}
    assert UsageUid.objects.count() == 1


@pytest.mark.parametrize("state", outbox.TAKEN_BACK_FROM)
def test_what_does_not_go_by_itself_can_be_taken_back_and_sent_anew(link: AccountLink, state: UsageBatch.State) -> None:
    accept(item(link, "a", 5, ts=at(hours=2)))
    UsageBatch.objects.update(state=state)
    batch = UsageBatch.objects.get()

    outbox.take_back(batch.pk, by="olga", reason="The wrong customer.")

    batch.refresh_from_db()
    assert batch.state == State.TAKEN_BACK
    assert not UsageUid.objects.exists()
    assert accept(item(link, "a", 6, ts=at(hours=2))).outcomes == {0: Outcome.ACCEPTED}


@pytest.mark.parametrize("decide", [outbox.send_again, outbox.take_as_sent, outbox.take_back])
def test_a_batch_that_went_its_way_is_left_alone(link: AccountLink, run_jobs: Run, decide: Callable[..., None]) -> None:
    accept(item(link, "a"))
    run_jobs()
    before = UsageBatch.objects.values().get()

    with pytest.raises(NotPossible):
        decide(before["id"], by="olga", reason="Just so.")

    assert UsageBatch.objects.values().get() == before
    assert UsageUid.objects.count() == 1
