"""What a file's page says: what happened to its rows, what that means, and what to do next."""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.db.models import Sum
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from integration_project import heartbeats, showing
from integration_project.showing import Link, Panel, Right, Story, Text
from paddle_sync.admin import usage_columns
from paddle_sync.admin import usage_words as words
from paddle_sync.admin.usage_words import cut
from paddle_sync.models import UsageBatch, UsageFailure, UsageUpload, WebhookEvent
from paddle_sync.usage import file_layouts, late, receipts
from paddle_sync.usage.receipts import Progress, Receipt
from paddle_sync.usage.rejects import Rejected
from paddle_sync.usage.rows import Format

State = UsageUpload.State
OnErrors = UsageUpload.OnErrors
BEING_CHECKED = (State.CHECKING, State.RUNNING)
UNDER_WAY = (State.RECEIVING, *BEING_CHECKED, State.SENDING)
WAITING = (State.LAYOUT, State.DECIDING, State.PAUSED)
EXAMPLES = 3
"""Wrong rows that are shown of each reason."""
LOOKED_THROUGH = 2_000
"""Wrong rows among which examples are looked for."""
MOST_SUBSCRIPTIONS = 10
THEN = {
    OnErrors.STOP: "If every row is good it is sent by itself; otherwise it waits for a decision here.",
    OnErrors.ASK: "Then it waits for a decision here.",
    OnErrors.SEND_GOOD: "Then the good rows are sent by themselves, and the wrong ones left out.",
}
CORRECT = (
    "Take the rejected rows below, correct them, and upload that file: rows that were counted already are recognised."
)


# --- The sentence ----------------------------------------------------------------------------------------------------


def story(upload: UsageUpload, receipt: Receipt) -> Story:
    """Say in three parts what became of it."""
    tone = words.TONES.get(upload.state, "calm")
    match upload.state:
        case State.RECEIVING:
            effect = "Its bytes are still coming. If nothing more comes for half an hour it is removed."
            return Story(tone, f"{upload.name} is being received.", effect)
        case State.LAYOUT:
            return _of_layout(upload)
        case State.CHECKING | State.RUNNING:
            return _of_checking(upload)
        case State.DECIDING:
            return _of_deciding(upload)
        case State.SENDING:
            return _of_sending(receipt.progress)
        case State.PAUSED:
            return _of_paused(upload, receipt.progress)
        case State.DONE:
            return _of_done(upload, receipt)
        case State.DISCARDED:
            why = f" Reason: {upload.decision_reason}" if upload.decision_reason else ""
            cause = f"Discarded by {upload.decided_by or 'the application'}.{why}"
            return Story(tone, cause, "Nothing of it was sent, and its rows may be sent by another file.")
        case _:
            return Story(
                tone,
                f"It cannot be read. {upload.note}",
                "Nothing of it was sent.",
                "Correct the file where it is made, then upload it again.",
            )


def _of_layout(upload: UsageUpload) -> Story:
    effect = "Nothing has been checked or sent."
    if upload.format != Format.CSV:
        return Story("wait", "Somebody has to look at its first rows.", effect, "Then have the whole file checked.")
    count = len(upload.columns)
    cause = f"Somebody has to say what its {count} columns mean." if count > 1 else "Somebody has to say what it means."
    return Story("wait", cause, effect, "What their names suggest is filled in: look at it, and have the file checked.")


def _of_checking(upload: UsageUpload) -> Story:
    wrong = f", {upload.rejected:,} of them wrong" if upload.rejected else ""
    cause = f"Being checked: {words.rows(upload.rows)} so far{wrong}."
    then = (
        f"If not more than {upload.agreed:,} rows are wrong it is sent by itself, as {upload.decided_by} decided."
        if upload.agreed is not None
        else THEN[OnErrors(upload.on_errors)]
    )
    if upload.last_error:
        return Story("wait", f"The check waits: {upload.last_error}", "It goes on by itself. Nothing has been sent.")
    return _without_workers(Story("calm", cause, f"Nothing is sent before every row is checked. {then}"))


def _without_workers(usual: Story) -> Story:
    if heartbeats.count_alive():
        return usual
    next_step = "No worker runs at the moment: start one with manage.py serve or manage.py worker, and it goes on."
    return Story("wait", usual.cause, usual.effect, next_step)


def _of_deciding(upload: UsageUpload) -> Story:
    if not upload.can_be_sent:
        how = "Correct what its columns mean" if upload.format == Format.CSV else "Correct the file where it is made"
        return Story("bad", upload.note, "Nothing was sent.", f"{how}, or discard it.")
    total, good = upload.rows_total or 0, upload.accepted
    effect = f"Nothing has been sent. {_good(upload)}"
    if not upload.rejected:
        next_step = "Send them." if good else "Discard it, unless it was meant to hold something new."
        return Story("wait", f"All {words.rows(total)} are good.", effect, next_step)
    cause = f"{upload.rejected:,} of {words.rows(total)} are wrong."
    if upload.agreed is not None and upload.rejected > upload.agreed:
        cause = f"{cause} When {upload.decided_by} decided to send it, {upload.agreed:,} were."
    next_step = (
        "Send the good rows now and the wrong ones later, corrected; or discard it and upload a corrected file. If what"
        " was missing is there by now, check it again."
    )
    if not good:
        next_step = "If what was missing is there by now, check it again; otherwise discard it and correct the file."
    return Story("wait", cause, effect, next_step)


def _good(upload: UsageUpload) -> str:
    new = f"{words.rows(upload.accepted)} would be counted" if upload.accepted else "No row would be counted"
    same = f"; {upload.duplicate:,} were counted before" if upload.duplicate else ""
    return f"{new}{same}."


def _of_sending(reached: Progress) -> Story:
    total = sum(reached.states.values())
    cause = f"On its way: m3ter has taken {reached.sent:,} of {words.rows(total)}."
    if reached.failed:
        return Story(
            "bad",
            f"m3ter did not take {words.rows(reached.failed)}.",
            f"{cause} The others go on.",
            "Look at the batches that failed, and decide about them there.",
        )
    return _without_workers(Story("calm", cause, "It can be paused, and cannot be discarded any more."))


def _of_paused(upload: UsageUpload, reached: Progress) -> Story:
    if upload.was == State.SENDING:
        cause = f"Paused on its way: m3ter has taken {reached.sent:,} of {words.rows(upload.accepted)}."
        effect = "No more of it is sent. What was with a worker at that moment still arrives."
        return Story("wait", cause, effect, "Continue it when it may go on.")
    cause = f"Paused while it is checked, after {words.rows(upload.rows)}."
    return Story("wait", cause, "Nothing of it has been sent.", "Continue it when it may go on, or discard it.")


def _of_done(upload: UsageUpload, receipt: Receipt) -> Story:
    reached, dropped = receipt.progress, receipt.dropped
    cause = f"Done: {upload.accepted:,} of {words.rows(upload.rows)} were accepted."
    parts = [f"m3ter has taken {reached.sent:,}."] if upload.accepted else []
    parts += [f"{upload.duplicate:,} were counted before, and are not counted again."] if upload.duplicate else []
    parts += [f"{reached.held:,} wait until their subscription has an account."] if reached.held else []
    parts += [f"{reached.waiting:,} are on their way."] if reached.waiting else []
    parts += [f"m3ter did not take {reached.failed:,}."] if reached.failed else []
    parts += [f"{reached.on_next:,} are for the next bill, after review."] if reached.on_next else []
    parts += [f"m3ter dropped {dropped:,} later."] if dropped else []
    parts += [f"{upload.rejected:,} were rejected."] if upload.rejected else []
    tone: showing.Tone = "bad" if dropped or reached.failed else "wait" if upload.rejected or reached.held else "good"
    next_step = "Look at the batches that failed, and decide about them there." if reached.failed else ""
    return Story(tone, cause, " ".join(parts), next_step or (CORRECT if upload.rejected else ""))


# --- The tables ------------------------------------------------------------------------------------------------------


def panels(upload: UsageUpload, receipt: Receipt) -> Sequence[Panel | Text]:
    """Give the tables that fit its state."""
    reached = receipt.progress
    if upload.state == State.RECEIVING:
        return ()
    if upload.state == State.LAYOUT:
        return usage_columns.panels(file_layouts.preview(upload))
    parts: list[Panel | Text] = []
    if upload.state in BEING_CHECKED or (upload.state == State.PAUSED and upload.was != State.SENDING):
        parts.append(_checked(upload))
    if upload.state in (State.SENDING, State.PAUSED) and reached.states and upload.was in ("", State.SENDING):
        parts.append(_sent(upload, reached))
    if upload.rows:
        parts.append(_receipt(upload, receipt))
    if upload.rejected:
        parts += [_reasons(upload), _examples(upload)]
    if reached.held:
        parts.append(_held(upload))
    if upload.late:
        parts.append(_late(upload))
    if (columns := usage_columns.meanings(upload)) is not None:
        parts.append(columns)
    return parts


def _late(upload: UsageUpload) -> Panel:
    """Show the approved bills that it came too late for, where Finance decides."""
    return Panel(
        "Later than their approved bills",
        ("Bill", "Account", Right("Rows"), "State"),
        [
            (
                showing.row_link(bill, bill.m3ter_bill_id),
                bill.m3ter_account_code,
                showing.number(items),
                bill.get_state_display(),
            )
            for bill, items in late.of_upload(upload.pk)
        ],
        empty="Its batches are not kept any more.",
        note="m3ter counts these rows, but an approved bill takes them in only when it is calculated again.",
    )


def bar(done: int, total: int, said: str) -> SafeString:
    """Show how much of something is done."""
    return format_html('<progress max="{}" value="{}" aria-label="{}">{}</progress>', total or 1, done, said, said)


def _checked(upload: UsageUpload) -> Panel:
    percent = 100 * upload.bytes_checked // (upload.size or 1)
    said = f"{percent} % of its bytes: {words.rows(upload.rows)}"
    return Panel("How far the check is", ("", ""), [(bar(upload.bytes_checked, upload.size, said), said)], empty="")


def _sent(upload: UsageUpload, reached: Progress) -> Panel:
    total = sum(reached.states.values())
    said = f"{reached.sent:,} of {total:,} sent"
    rows: list[tuple[Any, Any, Any]] = [(bar(reached.sent, total, said), "", said)]
    for count, label, tone, means, state in (
        (reached.sent, "Sent", "good", "m3ter has taken them.", UsageBatch.State.SENT),
        (reached.waiting, "Waiting", "calm", "To be sent when it is their turn.", UsageBatch.State.READY),
        (reached.held, "Held", "wait", "Until their subscription has an account.", UsageBatch.State.HELD),
        (reached.on_next, "For the next bill", "wait", "After review.", UsageBatch.State.NEXT_BILL),
        (reached.failed, "Failed", "bad", "m3ter did not take them; somebody has to decide.", UsageBatch.State.FAILED),
    ):
        if count:
            query = {"upload__id__exact": upload.pk, "state__exact": state}
            shown = (
                showing.number(count)
                if state == UsageBatch.State.READY
                else _linked(showing.number(count), UsageBatch, query)
            )
            rows.append((showing.label(label, tone), shown, means))  # type: ignore[arg-type]
    return Panel("How far it is on its way", ("", Right("Rows"), ""), rows, empty="")


def _receipt(upload: UsageUpload, receipt: Receipt) -> Panel:
    is_over = upload.state in (State.SENDING, State.DONE) or upload.was == State.SENDING
    accepted = "Counted in m3ter, or on the way to it." if is_over else "They would be counted."
    if upload.state in (State.DISCARDED, State.FAILED):
        accepted = "They would have been counted; nothing of the file was sent."
    rows: list[tuple[Any, Any, Any]] = [
        ("Rows", showing.number(receipt.rows), "Read so far; blank ones are none." if not upload.can_be_sent else ""),
        (showing.label("Accepted", "good"), showing.number(receipt.accepted), accepted),
    ]
    failures = {"upload__id__exact": upload.pk}
    for count, label, tone, means in (
        (receipt.held, "of them held", "wait", "Their subscription has no account yet; they wait for it."),
        (receipt.late, "of them late", "wait", "In a period whose bill is approved: m3ter has to calculate it again."),
        (receipt.on_next, "of them for the next bill", "wait", "Their bill is locked: a person says what they cost."),
        (receipt.duplicate, "Duplicate", "calm", "Counted before, with the same content: not counted again."),
        (receipt.conflict, "Conflict", "bad", "Their uid was counted before with other content, which stays."),
        (receipt.refused, "Refused", "bad", "Wrong, by the reasons below."),
    ):
        if count:
            rows.append((showing.label(label, tone), showing.number(count), means))  # type: ignore[arg-type]
    if receipt.dropped:
        means = "Accepted, and then not counted by m3ter."
        shown = _linked(showing.number(receipt.dropped), UsageFailure, failures)
        rows.append((showing.label("Dropped by m3ter later", "bad"), shown, means))
    title = "Receipt" if is_over else "What the check found"
    return Panel(title, ("", Right("Rows"), "What that means"), rows, empty="")


def _reasons(upload: UsageUpload) -> Panel:
    counted = sorted(upload.reasons.items(), key=lambda each: (-each[1], each[0]))
    return Panel(
        "Why rows were rejected",
        ("Reason", Right("Rows")),
        [(words.reason(code), showing.number(count)) for code, count in counted],
        empty="",
    )


def _examples(upload: UsageUpload) -> Panel:
    rows = []
    for each in examples(upload):
        (problem,) = each.problems
        named = [each.row.values.get(name, "") for name in problem.column.split(", ")] if problem.column else []
        stands = " | ".join(cut(cell) for cell in named)
        said = words.sentence(f"{problem.reason} {problem.remedy}")
        rows.append((each.row.place.removeprefix("row "), cut(problem.column) or "-", stands or "-", said))
    shown, total = len(rows), upload.rejected
    note = "" if shown == total else f"{shown} of {total:,}: up to {EXAMPLES} of each reason, the first of the file."
    return Panel("Rejected rows", ("Row", "Column", "What stands there", "What is wrong"), rows, empty="", note=note)


def examples(upload: UsageUpload) -> list[Rejected]:
    """Find the first rejected rows of each reason, without reading all of them."""
    found: list[Rejected] = []
    counts: Counter[str] = Counter()
    wanted = {code: min(EXAMPLES, count) for code, count in upload.reasons.items()}
    for each in receipts.rejected_rows(upload, first=LOOKED_THROUGH):
        code = each.problems[0].code
        if counts[code] < EXAMPLES:
            counts[code] += 1
            found.append(each)
            if all(counts[name] >= count for name, count in wanted.items()):
                break
    return found


def _held(upload: UsageUpload) -> Panel:
    held = UsageBatch.objects.filter(upload=upload, state=UsageBatch.State.HELD).order_by()
    waiting = held.values_list("paddle_subscription_id").annotate(rows=Sum("items")).order_by("-rows")
    first = list(waiting[: MOST_SUBSCRIPTIONS + 1])
    rows = [
        (
            showing.paddle_id(name),
            showing.number(count),
            format_html('<a href="{}">Its events</a>', showing.list_of(WebhookEvent, urlencode({"q": name}))),
        )
        for name, count in first[:MOST_SUBSCRIPTIONS]
    ]
    note = "They are sent by themselves as soon as the subscription is linked to an account."
    if len(first) > MOST_SUBSCRIPTIONS:
        note = f"{note} The {MOST_SUBSCRIPTIONS} with the most rows."
    return Panel("What the held rows wait for", ("Subscription", Right("Rows"), ""), rows, empty="", note=note)


def _linked(shown: SafeString, model: Any, query: dict[str, Any]) -> SafeString:
    """Link a number to the rows behind it, where the console has a list of them."""
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
    try:
        address = f"{reverse(name)}?{urlencode(query)}"
    except NoReverseMatch:
        return shown
    return format_html('<a href="{}">{}</a>', address, shown)


# --- What belongs to it ----------------------------------------------------------------------------------------------


def links(upload: UsageUpload, *, may_send: bool) -> Sequence[Link]:
    """Give what may be taken from it, and where its columns are explained."""
    found: list[Link] = []
    if may_send and usage_columns.may_be_said(upload):
        label = "Look at its first rows" if upload.format != Format.CSV else "Say what its columns mean"
        if upload.state == State.DECIDING:
            label = "Correct what its columns mean"
        is_next = upload.state == State.LAYOUT or not upload.can_be_sent
        found.append(Link(label, usage_columns.address(upload), strong=is_next))
    if upload.rejected:
        label = f"Rejected rows as CSV ({upload.rejected:,})"
        found.append(Link(label, _file(upload, "rejected"), strong=upload.state == State.DONE))
    if upload.rows:
        found.append(Link("Receipt as CSV", _file(upload, "receipt")))
    if upload.state == State.FAILED and may_send:
        found.append(Link("Upload a file", reverse("admin:paddle_sync_usageupload_add"), strong=True))
    return found


def _file(upload: UsageUpload, what: str) -> str:
    return reverse(f"admin:paddle_sync_usageupload_{what}", args=(upload.pk,))


def receipt_lines(upload: UsageUpload) -> list[tuple[str, str]]:
    """Write the receipt as lines of two cells."""
    receipt = receipts.receipt(upload)
    reached = receipt.progress
    finished = showing.exactly(upload.finished_at) if upload.finished_at else ""
    return [
        ("File", upload.name),
        ("Number", str(upload.pk)),
        ("Received", showing.exactly(upload.made_at)),
        ("From", upload.by),
        ("By way of", str(upload.get_via_display())),
        ("SHA-256", upload.sha256),
        ("State", str(upload.get_state_display())),
        ("Finished", finished),
        ("Rows", str(receipt.rows)),
        ("Accepted", str(receipt.accepted)),
        ("Accepted: held", str(receipt.held)),
        ("Accepted: late", str(receipt.late)),
        ("Accepted: for the next bill", str(receipt.on_next)),
        ("Duplicate", str(receipt.duplicate)),
        ("Conflict", str(receipt.conflict)),
        ("Refused", str(receipt.refused)),
        *((f"Rejected: {words.reason(code)}", str(count)) for code, count in receipt.reasons.items()),
        ("Dropped by m3ter later", str(receipt.dropped)),
        ("Now: taken by m3ter", str(reached.sent)),
        ("Now: waiting", str(reached.waiting)),
        ("Now: held", str(reached.held)),
        ("Now: failed", str(reached.failed)),
        ("Decided by", upload.decided_by),
        ("Reason", upload.decision_reason),
    ]
