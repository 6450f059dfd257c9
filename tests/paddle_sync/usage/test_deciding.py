"""What people decide about a checked file: it is sent or discarded, once, and never half of it."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal

import pytest

from integration_project import clock, schedules
from integration_project.errors import NotPossible
from integration_project.vendors.m3ter.simulator import M3terSimulator
from paddle_sync.admin import usage_panels
from paddle_sync.models import (
    AccountLink,
    LateForBill,
    LateUsage,
    SettledPeriod,
    UsageBatch,
    UsageBody,
    UsageFailure,
    UsageFilePart,
    UsageUid,
    UsageUpload,
)
from paddle_sync.usage import jobs, late, outbox, pruning, receipts, staged, uploads
from tests.builders import make_event, paddle_id
from tests.paddle_sync.usage.metered import METER, accept, at, item, totals
from tests.paddle_sync.usage.sent_files import COLUMNS, OnErrors, checked, followed, line, sent_until_done, table

pytestmark = pytest.mark.django_db
State = UsageUpload.State
BatchState = UsageBatch.State
ASK = OnErrors.ASK
ALL = (*COLUMNS, "marks")


def states() -> list[str]:
    return sorted(UsageBatch.objects.values_list("state", flat=True))


def hours_pass(hours: float) -> None:
    UsageUpload.objects.update(checked_at=clock.now() - dt.timedelta(hours=hours))


def settled(link: AccountLink, state: SettledPeriod.State) -> SettledPeriod:
    now = clock.now()
    return SettledPeriod.objects.create(
        m3ter_bill_id="bill-1",
        m3ter_account_id=link.m3ter_account_id,
        starts_at=now - dt.timedelta(days=20),
        ends_at=now - dt.timedelta(days=2),
        state=state,
    )


def test_a_wrong_row_leaves_the_decision_to_a_person_who_sends_the_good_ones(
    link: AccountLink, m3ter: M3terSimulator
) -> None:
    upload = checked(table([line(link, "a", 2), line(link, "b", "x")]))
    assert upload.state == State.DECIDING

    assert uploads.release(upload, by="bob", reason="the rest comes later")
    sent_until_done()

    assert followed(upload).state == State.DONE
    assert (upload.decided_by, upload.decision_reason) == ("bob", "the rest comes later")
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(2)}


def test_the_good_rows_go_by_themselves_where_that_was_asked_for(link: AccountLink) -> None:
    upload = checked(table([line(link, "a"), line(link, "b", "x")]), on_errors=OnErrors.SEND_GOOD)

    assert (upload.state, upload.decided_by, states()) == (State.SENDING, "ann", ["ready"])


def test_nothing_goes_by_itself_where_somebody_wants_to_see_it_first(link: AccountLink) -> None:
    upload = checked(table([line(link, "a")]), on_errors=ASK)

    assert (upload.state, states()) == (State.DECIDING, ["staged"])


def test_a_discarded_file_frees_its_uids(link: AccountLink, m3ter: M3terSimulator) -> None:
    upload = checked(table(line(link, f"u{number}") for number in range(2_500)), on_errors=ASK)

    uploads.discard(upload, by="bob", reason="a test")

    assert (upload.state, UsageUid.objects.count(), UsageBatch.objects.count()) == (State.DISCARDED, 0, 0)
    again = checked(table(line(link, f"u{number}") for number in range(2_500)), "again.csv")
    sent_until_done()
    assert again.accepted == 2_500
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(2_500)}


def test_a_discarding_that_is_cut_short_is_carried_on(link: AccountLink, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = checked(table(line(link, f"u{number}") for number in range(2_500)), on_errors=ASK)
    take_back = staged._take_back

    def killed(*rest: object) -> bool:
        if UsageBatch.objects.count() == 2:
            raise KeyboardInterrupt
        return take_back(*rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(staged, "_take_back", killed)
        with pytest.raises(KeyboardInterrupt):
            uploads.discard(upload, by="bob")
    assert (UsageBatch.objects.count(), UsageUid.objects.count()) == (2, 1_500)

    jobs.follow_files()

    assert (UsageBatch.objects.count(), UsageUid.objects.count()) == (0, 0)


def test_what_was_sent_can_never_be_discarded(link: AccountLink) -> None:
    upload = checked(table([line(link, "a")]))

    with pytest.raises(NotPossible, match="on its way to m3ter already"):
        uploads.discard(upload, by="bob")
    uploads.pause(upload)
    with pytest.raises(NotPossible, match="on its way to m3ter already"):
        uploads.discard(upload, by="bob")

    assert UsageUid.objects.count() == 1


def test_whoever_decides_second_is_told_what_the_first_did(link: AccountLink) -> None:
    upload = checked(table([line(link, "a"), line(link, "b", "x")]))
    second = UsageUpload.objects.get()
    uploads.discard(upload, by="ann")

    with pytest.raises(NotPossible, match="discarded: nothing was sent by now, as ann decided; it cannot be sent"):
        uploads.release(second, by="bob")

    assert states() == []


def test_a_late_decision_is_checked_again_before_anything_is_sent(link: AccountLink, m3ter: M3terSimulator) -> None:
    upload = checked(table([line(link, "a", 2), line(link, "b", "x")]))
    hours_pass(1.1)

    assert not uploads.release(upload, by="bob")
    assert upload.state == State.CHECKING
    sent_until_done()

    assert (followed(upload).state, upload.accepted, upload.refused) == (State.DONE, 1, 1)
    assert upload.decided_by == "bob"
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(2)}


def test_a_late_decision_asks_again_where_more_rows_are_wrong_by_now(link: AccountLink, m3ter: M3terSimulator) -> None:
    rows = [line(link, "a"), line(link, "b", ts=at(days=5)), line(link, "c", "x")]
    upload = checked(table(rows))
    hours_pass(1.1)
    settled(link, SettledPeriod.State.APPROVED)

    uploads.release(upload, by="bob")
    sent_until_done()

    upload.refresh_from_db()
    assert (upload.state, upload.accepted, upload.refused) == (State.DECIDING, 1, 2)
    assert totals(m3ter) == {}


def test_checking_again_finds_what_holds_now(link: AccountLink) -> None:
    upload = checked(table([line(link, "a", ts=at(days=5))]), on_errors=ASK)
    settled(link, SettledPeriod.State.APPROVED)

    uploads.check_again(upload)
    jobs.check_files()

    upload.refresh_from_db()
    assert (upload.state, upload.accepted, upload.refused, UsageUid.objects.count()) == (State.DECIDING, 0, 1, 0)


def test_usage_of_a_locked_period_is_put_before_a_person_once_the_file_is_sent(
    link: AccountLink, m3ter: M3terSimulator
) -> None:
    settled(link, SettledPeriod.State.LOCKED)
    rows = [line(link, "a", 5, ts=at(days=5), marks="bill_on_next"), line(link, "b", 1)]
    upload = checked(table(rows, ALL), on_errors=ASK)
    assert (upload.on_next, LateUsage.objects.count()) == (1, 0)

    uploads.release(upload, by="bob")
    sent_until_done()

    late = LateUsage.objects.get()
    assert (late.items, late.sums, late.m3ter_bill_id) == (1, {"calls": "5"}, "bill-1")
    assert UsageBatch.objects.get(pk=late.batch_id).state == BatchState.NEXT_BILL
    assert followed(upload).state == State.DONE
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(1)}


def test_usage_whose_lock_is_gone_by_the_time_it_is_sent_is_simply_counted(
    link: AccountLink, m3ter: M3terSimulator
) -> None:
    period = settled(link, SettledPeriod.State.LOCKED)
    upload = checked(table([line(link, "a", 5, ts=at(days=5), marks="bill_on_next")], ALL), on_errors=ASK)
    period.delete()

    uploads.release(upload, by="bob")
    sent_until_done()

    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(5)}
    assert not LateUsage.objects.exists()


def test_what_does_not_fit_any_more_as_it_is_put_on_the_next_bill_is_shown(link: AccountLink) -> None:
    period = settled(link, SettledPeriod.State.LOCKED)
    upload = checked(table([line(link, "a", 5, ts=at(days=5), marks="bill_on_next")], ALL), on_errors=ASK)
    SettledPeriod.objects.filter(pk=period.pk).update(state=SettledPeriod.State.APPROVED)

    uploads.release(upload, by="bob")

    failure = UsageFailure.objects.get()
    assert failure.detail.startswith("It was accepted for the next bill, and does not fit now: ts: the bill of")
    assert (failure.upload, failure.row) == (upload, 2)


def test_a_paused_file_sends_nothing_until_it_goes_on(link: AccountLink, m3ter: M3terSimulator) -> None:
    upload = checked(table(line(link, f"u{number}") for number in range(1_500)))

    uploads.pause(upload)
    jobs.send()
    assert (upload.state, states(), totals(m3ter)) == (State.PAUSED, ["paused", "paused"], {})
    UsageBatch.objects.filter(pk=UsageBatch.objects.first().pk).update(state=BatchState.READY)  # type: ignore[union-attr]
    jobs.follow_files()
    assert states() == ["paused", "paused"]

    uploads.resume(upload)
    sent_until_done()

    assert followed(upload).state == State.DONE
    assert totals(m3ter) == {(link.m3ter_account_code, METER): Decimal(1_500)}


@pytest.mark.parametrize("decide", [uploads.pause, uploads.resume, uploads.check_again])
def test_what_is_over_stays_over(link: AccountLink, decide: Callable[[UsageUpload], None]) -> None:
    upload = checked(table([line(link, "a")]))
    sent_until_done()

    with pytest.raises(NotPossible, match="The file is sent by now"):
        decide(upload)


def test_a_file_is_not_done_while_somebody_has_to_decide_about_a_batch(link: AccountLink) -> None:
    upload = checked(table([line(link, "a")]))
    UsageBatch.objects.update(state=BatchState.FAILED)

    assert followed(upload).state == State.SENDING

    UsageBatch.objects.update(state=BatchState.TAKEN_BACK)
    assert followed(upload).state == State.DONE


def test_a_receipt_has_every_number(link: AccountLink) -> None:
    accept(item(link, "before", 1, ts=at(hours=5)))
    rows = [
        line(link, "a"),
        line(link, "before", 1),
        line(link, "before", 2),
        line(link, "c", "x"),
        line(link, "d", ""),
    ]
    upload = checked(table(rows), on_errors=OnErrors.SEND_GOOD)
    UsageFailure.objects.create(upload=upload, occurred_at=clock.now(), kind="refused", state="open")

    told = receipts.receipt(upload)

    assert str(told) == (
        "5 rows: 1 accepted, 1 duplicate, 1 conflict, 2 refused (1 no_values, 1 not_a_number), 1 dropped by m3ter later"
    )
    assert told.progress.waiting == 1


def test_what_nobody_needs_any_more_is_forgotten(link: AccountLink) -> None:
    upload = checked(table([line(link, "a")]))
    kept = checked(table([line(link, "b")]), "b.csv", on_errors=ASK)
    jobs.send()
    followed(upload)
    pruning.prune()
    assert (UsageFilePart.objects.count(), UsageBody.objects.count(), UsageUid.objects.count()) == (2, 2, 2)

    ago = clock.now() - dt.timedelta(days=41)
    UsageUpload.objects.update(finished_at=ago)
    UsageBatch.objects.filter(upload=upload).update(sent_at=ago)
    assert {what: count for what, count in pruning.prune().items() if count} == {"pieces of files": 1, "bodies": 1}

    ago = clock.now() - dt.timedelta(days=402)
    UsageUpload.objects.update(finished_at=ago)
    UsageBatch.objects.update(received_at=ago)
    UsageUid.objects.filter(batch_id=UsageBatch.objects.get(upload=upload).pk).update(received_on=ago.date())
    assert jobs.prune().startswith("0 pieces of files, 0 bodies, 1 uids, 1 batches, 1 files, ")
    assert UsageUpload.objects.get() == kept
    assert UsageUid.objects.count() == UsageBatch.objects.count() == UsageBody.objects.count() == 1


def test_files_are_looked_after_and_forgotten_by_themselves() -> None:
    jobs_run = {schedule.job for schedule in schedules.SCHEDULES}

    assert {"paddle_sync.usage.jobs.follow_files", "paddle_sync.usage.jobs.prune"} <= jobs_run


def held_of(link: AccountLink) -> tuple[str, UsageUpload]:
    """A subscription without an account, and a file of its usage that is decided."""
    waiting = paddle_id("sub")
    make_event("subscription.created", {"id": waiting})
    rows = [line(link, f"h{row}", paddle_subscription_id=waiting) for row in range(2)]
    return waiting, checked(table([*rows, line(link, "linked")]))


def linked(link: AccountLink, subscription_id: str, code: str) -> AccountLink:
    """It gets an account, of another code than its own: one that it takes over."""
    link.pk, link.paddle_subscription_id, link.m3ter_account_code = None, subscription_id, code
    link.m3ter_account_id = f"id-{code}"
    link.adopted, link._state.adding = True, True
    link.save()
    return link


def test_what_was_held_waits_for_the_decision_about_a_file_with_the_same_uids(
    link: AccountLink, m3ter: M3terSimulator
) -> None:
    waiting, _ = held_of(link)
    jobs.send()
    one = linked(link, waiting, "taken-over")
    other = {**line(one, "h0"), "paddle_subscription_id": "", "m3ter_account_code": "taken-over"}
    undecided = checked(table([other], ("m3ter_account_code", *COLUMNS)), on_errors=ASK)
    assert (undecided.state, undecided.accepted) == (State.DECIDING, 1)

    jobs.release_held()
    assert (states(), UsageFailure.objects.count()) == (["held", "sent", "staged"], 0)

    uploads.discard(undecided, by="ann")
    jobs.release_held()
    assert (states(), UsageFailure.objects.count()) == (["ready", "sent"], 0)
    assert UsageBatch.objects.get(state="ready").items == 2


def test_what_was_held_of_a_paused_file_waits_until_it_goes_on(link: AccountLink, m3ter: M3terSimulator) -> None:
    waiting, upload = held_of(link)
    assert (upload.state, states()) == (State.SENDING, ["held", "ready"])
    uploads.pause(upload)
    linked(link, waiting, "taken-over")

    jobs.release_held()
    jobs.send()
    assert states() == ["held", "paused"]

    uploads.resume(upload)
    jobs.release_held()
    assert states() == ["ready", "ready"]


def late_file(link: AccountLink) -> UsageUpload:
    """A file, still to be decided about, with usage of a period whose bill is approved."""
    settled(link, SettledPeriod.State.APPROVED)
    upload = checked(table([line(link, "a", 5, ts=at(days=5), marks="correction")], ALL), on_errors=ASK)
    assert (upload.state, upload.late) == (State.DECIDING, 1)
    return upload


def late_bills() -> list[str]:
    return list(LateForBill.objects.values_list("state", flat=True))


def test_a_file_that_is_never_sent_is_late_for_no_bill(link: AccountLink) -> None:
    upload = late_file(link)
    assert late_bills() == []

    uploads.discard(upload, by="ann")

    assert late_bills() == []


def test_usage_that_goes_out_after_a_bill_was_decided_about_is_asked_about_again(link: AccountLink) -> None:
    upload = late_file(link)
    accept(item(link, "earlier", ts=at(days=6), marks=["correction"]))
    late.leave(LateForBill.objects.get().pk, by="fiona", reason="Too little.")

    uploads.release(upload, by="ann")
    assert late_bills() == ["open"]

    uploads.pause(upload)
    late.leave(LateForBill.objects.get().pk, by="fiona", reason="Too little.")
    uploads.resume(upload)
    assert late_bills() == ["open"]

    batch = UsageBatch.objects.get(upload=upload)
    UsageBatch.objects.filter(pk=batch.pk).update(state=BatchState.FAILED)
    late.leave(LateForBill.objects.get().pk, by="fiona", reason="Too little.")
    outbox.send_again(batch.pk, by="ann", reason="m3ter is back.")
    assert late_bills() == ["open"]


def said(upload: UsageUpload) -> str:
    """All that a file's page says."""
    upload.refresh_from_db()
    receipt = receipts.receipt(upload)
    return f"{usage_panels.story(upload, receipt)} {usage_panels.panels(upload, receipt)}"


def test_the_receipt_of_a_file_that_is_paused_on_its_way_says_that_it_counts(link: AccountLink) -> None:
    upload = checked(table([line(link, "a"), line(link, "b")]))
    assert "Counted in m3ter, or on the way to it." in said(upload)

    uploads.pause(upload)

    assert "They would be counted." not in said(upload)
    assert "Counted in m3ter, or on the way to it." in said(upload)


def test_a_file_whose_held_rows_m3ter_did_not_take_says_so(link: AccountLink) -> None:
    _, upload = held_of(link)
    jobs.send()
    assert followed(upload).state == State.DONE

    UsageBatch.objects.filter(state=BatchState.HELD).update(state=BatchState.FAILED)

    assert "m3ter did not take 2." in said(upload)
