"""Call budgets: the limit holds across processes' threads, shares are guaranteed, idle ones are lent."""

import threading
import time

import pytest
from django.db import connection
from django.db.models import F
from pytest_django.fixtures import Settings

from billing_bridge.queues import PUSH
from integration_project import budgets, gates
from integration_project.errors import BudgetSpent
from integration_project.models import CallBudget
from integration_project.vendors.http import CHARGE_DEADLINE

pytestmark = pytest.mark.django_db


def take_until_spent(vendor: str, purpose: str) -> int:
    taken = 0
    while True:
        try:
            budgets.take(vendor, purpose, patience=0)
        except BudgetSpent:
            return taken
        taken += 1


@pytest.mark.parametrize(
    ("limit", "rate", "burst"),
    [
        (budgets.Limit(240, 60.0), 3.746, 8),
        (budgets.Limit(50, 1.0), 45.5, 3),
        (budgets.Limit(10, 60.0), 0.111, 3),
        (budgets.Limit(1000, 60.0), 15.616, 33),
    ],
)
def test_rate_times_window_and_burst_together_stay_under_the_limit(
    limit: budgets.Limit, rate: float, burst: int
) -> None:
    shares = limit.shares()

    total_rate = sum(share.rate for share in shares.values())
    capacity = sum(share.capacity for share in shares.values())
    assert total_rate == pytest.approx(rate, abs=0.001)
    assert capacity == burst
    assert total_rate * limit.window + capacity <= 0.97 * limit.calls + 1e-9
    assert min(share.capacity for share in shares.values()) >= 1


@pytest.mark.parametrize(
    ("limit", "a_second", "rate", "burst"),
    [(5000, 50, 12.833, 1000), (20_000, 50, 51.333, 4000), (5000, 5, 12.833, 1000), (50, 50, 0.128, 10)],
)
def test_measurements_are_sent_within_both_of_m3ter_s_limits(
    settings: Settings, limit: int, a_second: int, rate: float, burst: int
) -> None:
    settings.M3TER_INGEST_CALLS_PER_5_MINUTES, settings.M3TER_CALLS_PER_SECOND = limit, a_second

    (share,) = budgets.limit_of("m3ter_ingest").shares().values()
    (besides,) = [
        of_second for part in budgets.BESIDES["m3ter_ingest"] for of_second in budgets.limit_of(part).shares().values()
    ]

    assert share.rate == pytest.approx(rate, abs=0.001)
    assert share.capacity == burst
    assert share.rate * 300 + share.capacity <= 0.97 * limit + 1e-9
    assert besides.rate + besides.capacity <= 0.97 * a_second + 1e-9


def test_usage_is_queried_more_slowly_than_m3ter_s_own_bucket_refills() -> None:
    (share,) = budgets.limit_of("m3ter_explorer").shares().values()

    assert share.rate == pytest.approx(0.967, abs=0.001)
    assert share.capacity == 8


@pytest.mark.parametrize("purpose", ["push", "look", "import"])
def test_whoever_sends_measurements_has_the_whole_budget_of_it(purpose: str) -> None:
    taken = take_until_spent("m3ter_ingest", purpose)

    assert 1000 <= taken < 1100  # some come free meanwhile
    assert [budget.purpose for budget in CallBudget.objects.all()] == ["any"]


def test_measurements_spend_nothing_of_what_m3ter_allows_otherwise() -> None:
    budgets.take("m3ter", "import")
    left = dict(CallBudget.objects.filter(vendor="m3ter").values_list("purpose", "tokens"))

    take_until_spent("m3ter_ingest", "import")
    take_until_spent("m3ter_explorer", "import")

    assert dict(CallBudget.objects.filter(vendor="m3ter").values_list("purpose", "tokens")) == left


def test_a_long_run_of_measurements_goes_as_fast_as_m3ter_takes_them() -> None:
    slept = 0.0

    def sleep(seconds: float) -> None:
        nonlocal slept
        slept += seconds
        CallBudget.objects.update(refilled_at=F("refilled_at") - seconds)

    take_until_spent("m3ter_ingest", "import")
    for _ in range(200):
        budgets.take("m3ter_ingest", "import", sleep=sleep)

    assert 0.98 * 12.833 <= 200 / slept <= 1.3 * 12.833  # the time that really went by refills as well


def test_each_call_with_measurements_counts_in_its_second_too() -> None:
    gate = gates.VendorGate("m3ter_ingest", "import")
    gate.enter("submit measurements")
    before = dict(CallBudget.objects.filter(vendor__startswith="m3ter_ingest").values_list("vendor", "refilled_at"))

    gate.enter("submit measurements")

    after = dict(CallBudget.objects.filter(vendor__startswith="m3ter_ingest").values_list("vendor", "refilled_at"))
    assert before.keys() == after.keys() == {"m3ter_ingest", "m3ter_ingest_second"}
    assert all(after[part] > before[part] for part in before)


def test_every_purpose_has_calls_left_when_another_took_all_it_could(settings: Settings) -> None:
    settings.PADDLE_CALLS_PER_MINUTE = 240

    imports = take_until_spent("paddle", "import")

    # Its own 3, and 1 from each bucket that was full.
    assert imports == 5
    assert take_until_spent("paddle", "push") == 2
    assert take_until_spent("paddle", "look") == 1


def test_one_vendor_spends_nothing_of_the_other() -> None:
    take_until_spent("m3ter", "push")

    budgets.take("paddle", "push")


def test_a_caller_waits_a_little_for_a_token(settings: Settings) -> None:
    settings.M3TER_CALLS_PER_SECOND = 50
    budgets.take("m3ter", "push")
    CallBudget.objects.update(tokens=0.0, refilled_at=time.time())
    pauses: list[float] = []

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        # The wait is played by moving the buckets' last count back.
        for bucket in CallBudget.objects.all():
            CallBudget.objects.filter(pk=bucket.pk).update(refilled_at=bucket.refilled_at - seconds)

    budgets.take("m3ter", "push", sleep=wait)

    assert 0 < sum(pauses) < 0.2


def test_a_spent_budget_says_in_words_when_the_next_call_is_free() -> None:
    budgets.take("paddle", "push")
    CallBudget.objects.update(tokens=0.0, refilled_at=time.time())

    with pytest.raises(BudgetSpent, match="All calls that paddle allows us now are in use") as refusal:
        budgets.take("paddle", "push", patience=0)

    assert refusal.value.retry_after is not None
    assert 0 < refusal.value.retry_after < 2


@pytest.mark.django_db(transaction=True)
def test_the_limit_holds_for_callers_side_by_side(settings: Settings) -> None:
    settings.M3TER_CALLS_PER_SECOND = 50
    budgets.take("m3ter", "push")
    taken: list[float] = []
    end = time.monotonic() + 1.0

    def call(purpose: str) -> None:
        try:
            while time.monotonic() < end:
                try:
                    budgets.take("m3ter", purpose, patience=0.05)
                except BudgetSpent:
                    continue
                taken.append(time.monotonic())
        finally:
            connection.close()

    threads = [threading.Thread(target=call, args=(purpose,)) for purpose in ("push", "look", "import", "push")]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # What the buckets can have given in the time that really went by; the vendor's limit is above that.
    allowed = 45.5 * (max(taken) - began) + 3
    assert len(taken) <= allowed + 1
    assert len(taken) >= 15


def test_a_clock_that_was_set_back_stops_no_call_for_longer_than_a_bucket_takes_to_refill(settings: Settings) -> None:
    settings.PADDLE_CALLS_PER_MINUTE = 240
    take_until_spent("paddle", "push")
    an_hour_ahead = time.time() + 3600
    CallBudget.objects.update(tokens=0.25, refilled_at=an_hour_ahead)

    with pytest.raises(BudgetSpent):
        budgets.take("paddle", "push", patience=0)

    buckets = CallBudget.objects.values_list("tokens", "refilled_at")
    assert [tokens for tokens, _ in buckets] == [0.25] * 3
    assert all(abs(refilled_at - time.time()) < 60 for _, refilled_at in buckets)


def test_a_clock_that_differs_by_less_than_a_second_gives_no_token_twice() -> None:
    budgets.take("paddle", "push")
    a_little_ahead = time.time() + 0.8
    CallBudget.objects.update(tokens=0.0, refilled_at=a_little_ahead)

    with pytest.raises(BudgetSpent):
        budgets.take("paddle", "push", patience=0)

    later = CallBudget.objects.values_list("refilled_at", flat=True)
    assert list(later) == pytest.approx([a_little_ahead] * 3, abs=1e-3)


@pytest.mark.parametrize(("operation", "waits"), [("preview charge", False), ("charge subscription", True)])
def test_a_call_that_others_prepared_waits_longer_so_that_they_are_not_made_again(
    monkeypatch: pytest.MonkeyPatch, operation: str, waits: bool
) -> None:
    budgets.take("paddle", "push")
    CallBudget.objects.update(tokens=0.0, refilled_at=time.time())
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] > 1_010:
            CallBudget.objects.filter(purpose="push").update(tokens=1.0)

    gate = gates.VendorGate("paddle", "push", sleep=sleep)

    if waits:
        gate.enter(operation)
    else:
        with pytest.raises(BudgetSpent):
            gate.enter(operation)

    assert (now[0] > 1_010) == waits


def test_what_is_charged_stays_leased_while_it_waits_for_its_turn_and_its_answer() -> None:
    assert PUSH.lease.total_seconds() > gates.LONGER + CHARGE_DEADLINE


@pytest.mark.parametrize("times", [1, 10])
def test_a_purpose_that_calls_alone_gets_what_the_others_leave_too(settings: Settings, times: int) -> None:
    settings.PADDLE_CALLS_PER_MINUTE = 240 * times
    shares = budgets.limit_of("paddle").shares()
    slept = 0.0

    def sleep(seconds: float) -> None:
        nonlocal slept
        slept += seconds
        CallBudget.objects.update(refilled_at=F("refilled_at") - seconds)

    take_until_spent("paddle", "push")
    for _ in range(200):
        budgets.take("paddle", "push", sleep=sleep)

    assert 200 / slept >= 0.98 * sum(share.rate for share in shares.values())
