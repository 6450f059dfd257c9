"""What m3ter has counted is seen by account and day, and what nothing would bill is told."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from integration_project import clock
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator.access import _Bucket
from paddle_sync.models import AccountLink, SeenMeter, UsageDay
from paddle_sync.usage import pruning, seeing
from tests.billing_bridge.killing import DeadlyAdapter, Killed, Killer, commits_can_kill
from tests.paddle_sync.usage.metered import METER

pytestmark = pytest.mark.django_db
Run = Callable[[], int]
Problem = UsageDay.Problem


def use(m3ter: M3terSimulator, account: str, *, days_ago: int, calls: str = "1") -> None:
    """Let an account have used something."""
    ts = (clock.now() - dt.timedelta(days=days_ago)).strftime("%Y-%m-%dT12:00:00Z")
    measurement = {"meter": METER, "account": account, "ts": ts, "measure": {"calls": Decimal(calls)}}
    m3ter.ingest._waiting.append(measurement)
    m3ter.process_measurements()


def seen() -> list[tuple[str, int, str]]:
    """Account, days ago and total of every day that is known."""
    today = clock.now().date()
    rows = UsageDay.objects.order_by("m3ter_account_code", "-day")
    return [(row.m3ter_account_code, (today - row.day).days, row.total) for row in rows]


def without_limit(m3ter: M3terSimulator) -> None:
    """Let m3ter answer as many queries as are asked; our own budget, which would wait, is off in these tests."""
    m3ter.access._explorer = _Bucket(10_000)


def due_again() -> None:
    SeenMeter.objects.update(read_at=clock.now() - dt.timedelta(hours=2))


def test_usage_is_seen_by_account_and_day_exactly(link: AccountLink, m3ter: M3terSimulator, vendors: Vendors) -> None:
    use(m3ter, link.m3ter_account_code, days_ago=1, calls="0.1")
    use(m3ter, link.m3ter_account_code, days_ago=1, calls="0.2")
    use(m3ter, link.m3ter_account_code, days_ago=60)

    assert seeing.read(vendors.m3ter) == "1 of 1 meters read"

    code = link.m3ter_account_code
    assert seen() == [(code, 1, "0.3"), (code, 60, "1")]
    assert set(UsageDay.objects.values_list("meter", "field", "problem")) == {(METER, "calls", Problem.NONE)}


def test_a_meter_is_read_once_an_hour_or_when_somebody_asks(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors
) -> None:
    seeing.read(vendors.m3ter)
    assert seeing.read(vendors.m3ter) == "0 of 0 meters read"

    seeing.ask(by="olga")

    assert seeing.read(vendors.m3ter) == "1 of 1 meters read"


def test_what_is_told_no_more_goes_for_the_days_that_were_read_again(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors
) -> None:
    for days_ago in (2, 60):
        use(m3ter, link.m3ter_account_code, days_ago=days_ago)
    seeing.read(vendors.m3ter)
    m3ter.memory.measurements.clear()
    use(m3ter, link.m3ter_account_code, days_ago=3, calls="7")
    due_again()

    seeing.read(vendors.m3ter)

    code = link.m3ter_account_code
    assert seen() == [(code, 3, "7"), (code, 60, "1")]


def test_an_answer_that_is_too_long_is_asked_for_in_parts(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days_ago in range(6):
        use(m3ter, link.m3ter_account_code, days_ago=days_ago)
    query = vendors.m3ter.query_usage
    without_limit(m3ter)
    asked = []

    def short(**which: Any) -> Any:
        asked.append(which["end"] - which["start"])
        return query(**which, limit=2)

    monkeypatch.setattr(vendors.m3ter, "query_usage", short)

    assert seeing.read(vendors.m3ter) == "1 of 1 meters read", SeenMeter.objects.get().error

    assert [days_ago for _, days_ago, _ in seen()] == list(range(6))
    assert len(asked) > 5


def test_a_day_that_is_too_long_for_one_answer_is_added_up_from_its_hours(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = (clock.now() - dt.timedelta(days=1)).strftime("%Y-%m-%d")
    for hour, account in ((3, link.m3ter_account_code), (4, "other"), (5, link.m3ter_account_code)):
        values = {"meter": METER, "account": account, "ts": f"{yesterday}T0{hour}:30:00Z", "measure": {"calls": 2}}
        m3ter.ingest._waiting.append(values)
    m3ter.process_measurements()
    query = vendors.m3ter.query_usage
    without_limit(m3ter)
    monkeypatch.setattr(vendors.m3ter, "query_usage", lambda **which: query(**which, limit=1))

    seeing.read(vendors.m3ter)

    assert seen() == [("other", 1, "2"), (link.m3ter_account_code, 1, "4")]


def test_days_are_forgotten_as_late_as_uids(link: AccountLink) -> None:
    today = clock.now().date()
    for days_ago in (1, 399, 405):
        day = today - dt.timedelta(days=days_ago)
        UsageDay.objects.create(
            m3ter_account_code="code", meter=METER, field="calls", day=day, total="1", read_at=clock.now()
        )

    assert pruning.prune()["days"] == 1

    assert [days_ago for _, days_ago, _ in seen()] == [1, 399]


def test_usage_that_no_plan_covers_is_marked(link: AccountLink, m3ter: M3terSimulator, vendors: Vendors) -> None:
    use(m3ter, link.m3ter_account_code, days_ago=1)
    use(m3ter, link.m3ter_account_code, days_ago=10)
    link.plans.update(starts_at=clock.now() - dt.timedelta(days=5))

    seeing.read(vendors.m3ter)

    rows = UsageDay.objects.order_by("-day").values_list("problem", flat=True)
    assert list(rows) == [Problem.NONE, Problem.NO_PLAN]


def test_usage_of_another_product_is_without_a_plan(link: AccountLink, m3ter: M3terSimulator, vendors: Vendors) -> None:
    use(m3ter, link.m3ter_account_code, days_ago=1)
    link.plans.update(m3ter_product_id="another")

    seeing.read(vendors.m3ter)

    assert UsageDay.objects.get().problem == Problem.NO_PLAN


def test_an_account_of_no_subscription_is_a_notice_that_says_what_it_looks_like(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors
) -> None:
    use(m3ter, "stray-account", days_ago=1)

    seeing.read(vendors.m3ter)
    due_again()
    seeing.read(vendors.m3ter)

    found = Finding.objects.get()
    assert (found.kind, found.subject, found.severity) == (seeing.STRAY, "stray-account", Finding.Severity.NOTICE)
    assert UsageDay.objects.get().problem == Problem.NO_ACCOUNT


def test_a_stray_that_gets_a_subscription_is_no_stray_any_more(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors
) -> None:
    use(m3ter, "stray-account", days_ago=1)
    seeing.read(vendors.m3ter)
    AccountLink.objects.update(m3ter_account_code="stray-account")
    due_again()

    seeing.read(vendors.m3ter)

    assert Finding.objects.get().state == Finding.State.CLOSED
    assert UsageDay.objects.get().problem == Problem.NONE


def test_an_account_that_goes_silent_is_a_notice_until_it_speaks_again(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors
) -> None:
    for days_ago in range(3, 10):
        use(m3ter, link.m3ter_account_code, days_ago=days_ago)
    seeing.read(vendors.m3ter)
    found = Finding.objects.get()
    assert (found.kind, found.subject) == (seeing.STOPPED, link.paddle_subscription_id)
    assert str(clock.now().date() - dt.timedelta(days=3)) in found.detail

    use(m3ter, link.m3ter_account_code, days_ago=0)
    due_again()
    seeing.read(vendors.m3ter)

    assert Finding.objects.get().state == Finding.State.CLOSED


@pytest.mark.parametrize(
    ("days", "is_silent"),
    [((2, 3, 4), False), ((3, 4, 5), True), ((20, 27, 34), False), ((21, 28, 35), True), ((40,), False)],
)
def test_silent_is_three_times_the_usual_gap(link: AccountLink, days: tuple[int, ...], is_silent: bool) -> None:
    today = clock.now().date()
    for days_ago in days:
        UsageDay.objects.create(
            m3ter_account_code="code",
            meter=METER,
            field="calls",
            day=today - dt.timedelta(days=days_ago),
            total="1",
            read_at=clock.now(),
        )

    assert bool(list(seeing.silent(today))) is is_silent


def test_a_meter_that_cannot_be_read_says_why_and_keeps_no_other_back(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors
) -> None:
    m3ter.fault("query usage", "error_before", status=500)

    said = seeing.read(vendors.m3ter)

    row = SeenMeter.objects.get()
    assert said == "0 of 1 meters read"
    assert row.error
    assert row.read_at is None


def test_a_run_that_dies_anywhere_is_made_up_for_by_the_next(
    link: AccountLink,
    m3ter: M3terSimulator,
    adapters: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    use(m3ter, link.m3ter_account_code, days_ago=1, calls="3")
    m3ter.limit_requests(None)
    killer = Killer()
    adapters["m3ter"] = DeadlyAdapter(adapters["m3ter"], killer)
    vendors: Vendors = request.getfixturevalue("vendors")
    commits_can_kill(monkeypatch, killer)
    died = 0

    for dies_at in range(60):
        UsageDay.objects.all().delete()
        SeenMeter.objects.all().delete()
        try:
            with killer.watching(dies_at):
                seeing.read(vendors.m3ter)
        except Killed:
            died += 1
        else:
            break

        seeing.read(vendors.m3ter)

        assert seen() == [(link.m3ter_account_code, 1, "3")], killer.points
        assert SeenMeter.objects.get().read_at is not None
    assert died >= 2
