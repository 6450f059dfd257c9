"""What m3ter drops after it said "accepted" comes back to what was sent: once, whatever happens on the way."""

import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import Settings

from integration_project import clock
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import IngestFailure
from integration_project.vendors.m3ter.simulator import M3terSimulator
from paddle_sync.models import AccountLink, UsageBatch, UsageFailure, UsageUid
from paddle_sync.usage import failures, pruning
from paddle_sync.usage.intake import Outcome, Source
from tests.billing_bridge.killing import DeadlyAdapter, Killed, Killer, commits_can_kill
from tests.paddle_sync.usage.metered import METER, accept, at, item

pytestmark = pytest.mark.django_db
Run = Callable[[], int]
State, Whose = UsageFailure.State, UsageFailure.Whose


@pytest.fixture
def send(m3ter: M3terSimulator, run_jobs: Run) -> Run:
    """Send what waits, and let m3ter check it."""

    def go() -> int:
        sent = run_jobs()
        m3ter.process_measurements()
        return sent

    return go


def drop_meter(m3ter: M3terSimulator) -> dict[str, Any]:
    """Let m3ter lose the meter that is known here."""
    meter = m3ter.memory.meters.one_having("code", METER)
    assert meter is not None
    m3ter.memory.meters.remove(meter)
    return meter


def submit(m3ter: M3terSimulator, uid: str, *, meter: str = METER, account: str = "elsewhere") -> None:
    """Let somebody else send a measurement."""
    values = {"uid": uid, "meter": meter, "account": account, "ts": "2026-03-01T00:00:00Z", "measure": {"calls": 1}}
    m3ter.ingest._waiting.append(values)
    m3ter.process_measurements()


def test_what_m3ter_dropped_stands_at_its_batch_and_its_uid_is_free(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    accept(item(link, "a"), item(link, "b"), source=Source(client="product", api_key_prefix="pk_1"))
    drop_meter(m3ter)
    send()

    done = failures.read(vendors.m3ter)

    batch = UsageBatch.objects.get()
    told = list(UsageFailure.objects.order_by("row"))
    assert (done.new, done.outcomes) == (2, {"dropped": 2})
    assert [(each.batch_id, each.row, each.kind, each.state) for each in told] == [
        (batch.pk, 0, "UndefinedMeter", State.OPEN),
        (batch.pk, 1, "UndefinedMeter", State.OPEN),
    ]
    assert {(each.client, each.api_key_prefix, each.whose, each.is_dropped) for each in told} == {
        ("product", "pk_1", Whose.OURS, True)
    }
    assert {(each.meter, each.m3ter_account_code) for each in told} == {(METER, link.m3ter_account_code)}
    assert batch.failed_later == 2
    assert not UsageUid.objects.exists()


def test_the_corrected_measurement_goes_under_the_same_uid_and_counts_once(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    accept(item(link, "a", 5))
    meter = drop_meter(m3ter)
    send()
    failures.read(vendors.m3ter)
    m3ter.memory.meters.add(meter)

    again = accept(item(link, "a", 6))
    send()

    assert again.outcomes == {0: Outcome.ACCEPTED}
    assert [(row["account"], row["sum"]) for row in m3ter.usage_totals()] == [(link.m3ter_account_code, 6)]


def test_reading_twice_changes_nothing(link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run) -> None:
    accept(item(link, "a"))
    drop_meter(m3ter)
    send()
    failures.read(vendors.m3ter)

    again = failures.read(vendors.m3ter)

    assert (again.new, again.outcomes) == (0, {})
    assert UsageBatch.objects.get().failed_later == 1
    assert UsageFailure.objects.count() == 1


def test_two_workers_that_have_read_the_same_details_count_them_once(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    accept(item(link, "a"))
    drop_meter(m3ter)
    send()
    failures.take_in(vendors.m3ter.list_ingest_failures())
    row = UsageFailure.objects.get()
    details = vendors.m3ter.get_ingest_failure(row.file)

    outcomes = [failures.settle(row, details.error, details.measurement) for _ in range(2)]

    assert outcomes == ["dropped", failures.SETTLED]
    assert UsageBatch.objects.get().failed_later == 1
    assert UsageFailure.objects.get().state == State.OPEN


def test_a_uid_that_m3ter_had_already_is_harmless_and_stays_taken(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    accept(item(link, "a", ts=at(hours=1)))
    send()
    UsageBatch.objects.update(state=UsageBatch.State.READY, due_at=clock.now())
    send()

    failures.read(vendors.m3ter)

    told = UsageFailure.objects.get()
    assert (told.kind, told.state, told.is_dropped) == ("DuplicateUid", State.HARMLESS, False)
    assert UsageBatch.objects.get().failed_later == 0
    assert UsageUid.objects.count() == 1
    assert not Finding.objects.exists()


def test_a_corrected_measurement_that_m3ter_takes_for_a_repeat_is_put_before_people(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    accept(item(link, "a", 5))
    meter = drop_meter(m3ter)
    m3ter.fault("submit measurements", "lose_answer")
    send()
    m3ter.memory.meters.add(meter)
    UsageBatch.objects.update(due_at=clock.now())
    send()
    failures.read(vendors.m3ter)

    accept(item(link, "a", 6))
    send()
    failures.read(vendors.m3ter)

    told = UsageFailure.objects.order_by("-pk")[0]
    assert (told.kind, told.state, told.is_dropped) == ("DuplicateUid of another", State.OPEN, False)
    assert UsageUid.objects.count() == 1
    assert "perhaps not counted as sent" in Finding.objects.get(key=told.kind).detail


def test_a_batch_that_went_twice_is_told_of_once(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    accept(item(link, "a"))
    drop_meter(m3ter)
    send()
    UsageBatch.objects.update(state=UsageBatch.State.READY, due_at=clock.now())
    send()

    failures.read(vendors.m3ter)

    assert sorted(UsageFailure.objects.values_list("state", flat=True)) == [State.HARMLESS, State.OPEN]
    assert UsageBatch.objects.get().failed_later == 1
    assert [found.kind for found in Finding.objects.all()] == [failures.DROPPED]


def test_a_late_word_of_what_was_dropped_before_does_not_free_the_corrected_measurement(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    accept(item(link, "a", 5))
    meter = drop_meter(m3ter)
    send()
    failures.read(vendors.m3ter)
    first = UsageFailure.objects.get()
    m3ter.memory.meters.add(meter)
    accept(item(link, "a", 6))
    send()
    late = UsageFailure.objects.create(m3ter_event_id="late", occurred_at=clock.now(), kind=first.kind, due_at=None)
    assert first.measurement is not None

    outcome = failures.settle(late, "UndefinedMeter", first.measurement)

    assert outcome == "told before"
    assert UsageUid.objects.count() == 1
    assert list(UsageBatch.objects.order_by("pk").values_list("failed_later", flat=True)) == [1, 0]


def test_a_derived_field_that_could_not_be_worked_out_keeps_the_uid(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    meter = m3ter.memory.meters.one_having("code", METER)
    assert meter is not None
    derived = [{"category": "MEASURE", "code": "share", "name": "Share", "unit": "", "calculation": "calls / 0"}]
    m3ter.memory.meters.change(meter, {"derivedFields": derived})
    accept(item(link, "a"))
    send()

    failures.read(vendors.m3ter)

    told = UsageFailure.objects.get()
    assert (told.kind, told.state, told.is_dropped) == ("CalculationError", State.OPEN, False)
    assert UsageUid.objects.count() == 1
    assert UsageBatch.objects.get().failed_later == 0
    assert Finding.objects.get().kind == failures.NOT_DERIVED


def test_a_uid_like_ours_that_is_unknown_here_is_an_alarm(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors
) -> None:
    submit(m3ter, "0" * 32, meter="gone")

    failures.read(vendors.m3ter)

    told, found = UsageFailure.objects.get(), Finding.objects.get()
    assert (told.whose, told.state) == (Whose.ELSEWHERE, State.OPEN)
    assert (found.kind, found.severity) == (failures.ELSEWHERE, Finding.Severity.ALARM)


@pytest.mark.parametrize("uid", ["evt-1", "0" * 31, "G" * 32, ""])
def test_somebody_elses_measurement_is_noted_and_no_alarm(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, uid: str
) -> None:
    submit(m3ter, uid, meter="gone")

    failures.read(vendors.m3ter)

    told = UsageFailure.objects.get()
    assert (told.whose, told.state) == (Whose.OTHERS, State.HARMLESS)
    assert not Finding.objects.exists()


def test_failures_of_one_kind_and_meter_are_one_finding_that_counts_them_and_ends_with_the_last(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    accept(item(link, "a"), item(link, "b"), item(link, "c"))
    drop_meter(m3ter)
    send()
    failures.read(vendors.m3ter)
    found = Finding.objects.get()
    assert (found.kind, found.subject, found.key) == (failures.DROPPED, METER, "UndefinedMeter")
    assert "3 measurements not counted" in found.detail

    for row in UsageFailure.objects.all():
        failures.close(row.pk, by="olga", reason="Sent again.")
    failures.tell()

    assert Finding.objects.get().state == Finding.State.CLOSED


def test_what_a_person_acknowledged_stays_closed_until_it_grows(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run, operator: Any
) -> None:
    accept(item(link, "a"))
    drop_meter(m3ter)
    send()
    failures.read(vendors.m3ter)
    Finding.objects.update(state=Finding.State.CLOSED, closed_by=operator, closed_at=clock.now())

    failures.read(vendors.m3ter)

    assert Finding.objects.get().state == Finding.State.CLOSED


def test_an_account_code_that_m3ter_does_not_take_is_found_by_the_account(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    accept(item(link, "a"))
    account = m3ter.memory.accounts.one_having("code", link.m3ter_account_code)
    assert account is not None
    m3ter.memory.accounts.change(account, {"code": link.m3ter_account_code.replace("_", "-")})
    send()

    failures.read(vendors.m3ter)

    assert Finding.objects.get().subject == link.m3ter_account_code
    assert UsageFailure.objects.get().kind == "InvalidAccountCode"


def test_details_that_are_gone_are_said_to_be_gone(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    accept(item(link, "a"))
    drop_meter(m3ter)
    send()
    m3ter.ingest._files.clear()

    done = failures.read(vendors.m3ter)

    told = UsageFailure.objects.get()
    assert done.outcomes == {"without details": 1}
    assert (told.state, told.whose) == (State.OPEN, Whose.UNKNOWN)
    assert "details are gone" in told.detail
    assert UsageUid.objects.count() == 1


def test_an_event_older_than_m3ter_keeps_them_is_not_asked_about(link: AccountLink, vendors: Vendors) -> None:
    old = clock.now() - dt.timedelta(days=29)
    UsageFailure.objects.create(
        m3ter_event_id="old", occurred_at=old, kind="MissingField", file="a.json", due_at=clock.now()
    )

    failures.read(vendors.m3ter)

    assert "28 days" in UsageFailure.objects.get().detail


def test_details_that_cannot_be_read_are_tried_a_few_times(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    accept(item(link, "a"))
    drop_meter(m3ter)
    send()
    for number in range(failures.MOST_TRIES):
        m3ter.fault("get failed ingest url", "error_before", status=500)
        failures.read(vendors.m3ter)
        row = UsageFailure.objects.get()
        assert (row.state == State.NEW) is (number < failures.MOST_TRIES - 1)
        UsageFailure.objects.update(due_at=clock.now())

    assert "asked for 5 times" in UsageFailure.objects.get().detail


def test_a_run_reads_as_many_details_as_it_may_and_the_next_goes_on(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    accept(*(item(link, f"u{number}") for number in range(5)))
    drop_meter(m3ter)
    send()

    first = failures.read(vendors.m3ter, most=3)
    second = failures.read(vendors.m3ter, most=3)

    assert (first.new, first.outcomes["dropped"]) == (5, 3)
    assert (second.new, second.outcomes["dropped"]) == (0, 2)


def test_more_events_than_a_page_are_read_until_they_are_known(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    accept(*(item(link, f"u{number}") for number in range(250)))
    drop_meter(m3ter)
    send()
    assert failures.take_in(vendors.m3ter.list_ingest_failures()) == 250
    submit(m3ter, "new", meter="gone")

    asked: list[str] = []

    def listed() -> Iterator[IngestFailure]:
        for event in vendors.m3ter.list_ingest_failures():
            asked.append(event.event_id)
            yield event

    found = failures.take_in(listed())

    assert found == 1
    assert len(asked) == 2 * failures.KNOWN_IN_A_ROW


def test_a_measurement_of_a_number_with_decimals_is_kept_with_its_failure(
    link: AccountLink, m3ter: M3terSimulator, vendors: Vendors, send: Run
) -> None:
    accept(item(link, "a", Decimal("0.25")))
    drop_meter(m3ter)
    send()

    failures.read(vendors.m3ter)

    told = UsageFailure.objects.get()
    assert told.measurement is not None
    assert told.measurement["measure"] == {"calls": "0.25"}


def test_failures_are_forgotten_as_late_as_uids_unless_somebody_has_to_look(link: AccountLink) -> None:
    old = clock.now() - pruning.UIDS_KEPT - dt.timedelta(days=1)
    for state in State.values:
        for occurred_at in (old, clock.now()):
            UsageFailure.objects.create(occurred_at=occurred_at, kind="MissingField", state=state)

    assert pruning.prune()["failures"] == 2

    left = UsageFailure.objects.filter(occurred_at=old).values_list("state", flat=True)
    assert sorted(left) == [State.NEW, State.OPEN]


# --- Killed anywhere --------------------------------------------------------------------------------------------------


def points_of_a_run(killer: Killer, m3ter: Any) -> list[str]:
    with killer.watching(None):
        failures.read(m3ter)
    return list(killer.points)


def test_a_run_that_dies_anywhere_loses_and_doubles_nothing(
    link: AccountLink,
    m3ter: M3terSimulator,
    adapters: dict[str, Any],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    send: Run,
    request: pytest.FixtureRequest,
) -> None:
    m3ter.limit_requests(None)
    killer = Killer()
    adapters["m3ter"] = DeadlyAdapter(adapters["m3ter"], killer)
    vendors: Vendors = request.getfixturevalue("vendors")
    accept(item(link, "a"), item(link, "b"))
    drop_meter(m3ter)
    send()
    uids = list(UsageUid.objects.values())
    commits_can_kill(monkeypatch, killer)

    def as_before() -> None:
        UsageFailure.objects.all().delete()
        Finding.objects.all().delete()
        UsageBatch.objects.update(failed_later=0)
        UsageUid.objects.bulk_create([UsageUid(**values) for values in uids], ignore_conflicts=True)

    failures.read(vendors.m3ter)  # the token is there from now on
    as_before()
    points = points_of_a_run(killer, vendors.m3ter)
    assert len(points) >= 10

    for dies_at in range(len(points)):
        as_before()
        with pytest.raises(Killed), killer.watching(dies_at):
            failures.read(vendors.m3ter)

        failures.read(vendors.m3ter)

        assert UsageBatch.objects.get().failed_later == 2, points[dies_at]
        assert sorted(UsageFailure.objects.values_list("state", "row")) == [(State.OPEN, 0), (State.OPEN, 1)]
        assert not UsageUid.objects.exists()
        assert Finding.objects.filter(state=Finding.State.OPEN).count() == 1
