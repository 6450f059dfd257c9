"""Whatever m3ter, the ledger and Paddle say, the parts come to the difference; a true history leaves none unknown."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing_bridge import money, owed
from billing_bridge.explaining import (
    NOWHERE,
    Absent,
    Billed,
    Explanation,
    GivenBack,
    InLedger,
    InM3ter,
    Line,
    Part,
    Sent,
    Why,
    doubled,
    explain,
)

AMOUNTS = st.integers(-3_000, 3_000)
POSITIVE = st.integers(1, 3_000)
RENEWAL_COMES = Absent(Why.PENDING, "It is collected with the renewal.")


@dataclass(frozen=True)
class Story:
    """What the three say of one bill."""

    m3ter: InM3ter
    ledger: InLedger
    sent: tuple[Sent, ...]

    @property
    def explained(self) -> Explanation:
        return explain(self.m3ter, self.ledger, self.sent)


def dollars(minor: int) -> Decimal:
    return money.in_major_units(minor, "USD")


def in_step(entries: Sequence[owed.Entry], payable: int, *, stands: Why | None = Why.OPEN) -> InLedger:
    """A ledger whose columns say what its entries say."""
    columns = owed.position(payable, entries)
    return InLedger("USD", columns, columns.outstanding, entries, version=1, stands=stands, words="Held: review.")


# --- Histories that could have happened -------------------------------------------------------------------------------


@st.composite
def lines(draw: st.DrawFn, amount: int) -> tuple[Line, ...]:
    """How Paddle bills an amount: in one line or two, with tax on top or inside, some of it discounted."""
    cut = draw(st.integers(1, amount))
    return tuple(draw(a_line(share)) for share in (cut, amount - cut) if share)


@st.composite
def a_line(draw: st.DrawFn, asked: int) -> Line:
    rate = draw(st.sampled_from((0, 7, 20)))
    if draw(st.booleans()):
        discount = draw(st.integers(0, asked))
        tax = ((asked - discount) * rate + 50) // 100
        return Line(asked, asked, discount, tax, asked - discount + tax)
    tax = asked * rate // (100 + rate)
    return Line(asked, asked - tax, 0, tax, asked, is_tax_inside=True)


@st.composite
def pushes(draw: st.DrawFn, number: int) -> tuple[Sent, list[owed.Entry]]:
    """A push that was accepted, and what became of it; with the entries that tell of it."""
    amount, push_id = draw(POSITIVE), f"bill-{number}"
    entries = [owed.Entry("pushed", amount)]
    fate = draw(st.sampled_from(("paid", "billed", "draft", "awaited", "lost", "declined")))
    if fate == "lost":
        return Sent(push_id, amount, amount), [*entries, owed.Entry("lost", amount)]
    if fate in {"awaited", "declined"}:
        left = (Billed("txn_0", "canceled", draw(lines(amount))),) if fate == "declined" else ()
        return Sent(push_id, amount, absent=RENEWAL_COMES, billed=left), entries
    status = {"paid": draw(st.sampled_from(("paid", "completed"))), "billed": "past_due", "draft": "draft"}[fate]
    billed = Billed(f"txn_{number}", status, draw(lines(amount)))
    if fate == "draft":
        return Sent(push_id, amount, billed=(billed,)), entries
    given_back, booked = draw(adjustments(sum(line.subtotal - line.discount for line in billed.lines)))
    return Sent(push_id, amount, billed=(replace(billed, given_back=given_back),)), entries + booked


@st.composite
def adjustments(draw: st.DrawFn, most: int) -> tuple[tuple[GivenBack, ...], list[owed.Entry]]:
    """Nothing, a refund that somebody made by hand, or one that is in the ledger, approved or still asked for."""
    if most < 1 or draw(st.booleans()):
        return (), []
    amount = draw(st.integers(1, most))
    status = draw(st.sampled_from(("approved", "pending_approval")))
    refund = GivenBack("adj_1", "refund", status, amount, tax=draw(st.integers(0, amount // 5)))
    return (refund,), [owed.Entry("credited", amount)] if draw(st.booleans()) else []


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """A bill through its life, everything written down as it happened."""
    sent, entries = [], []
    for number in range(draw(st.integers(0, 3))):
        push, of_push = draw(pushes(number))
        sent.append(push)
        entries += of_push
    for kind in ("carried_out", "carried_in", "written_off"):
        if draw(st.booleans()):
            entries.append(owed.Entry(kind, draw(POSITIVE)))
    position = owed.position(0, entries)
    payable = draw(st.one_of(st.just(-position.outstanding), AMOUNTS))
    total = dollars(payable)
    if draw(st.booleans()):
        total += Decimal("0.004")
        assume(money.round_half_up(total, "USD") == payable)
    return Story(InM3ter("USD", total, version=1), in_step(entries, payable), tuple(sent))


@given(stories())
def test_what_happened_as_it_was_written_down_has_a_reason(story: Story) -> None:
    explained = story.explained

    assert [part for part in explained.parts if part.why == Why.UNKNOWN] == []
    assert (explained.unknown, explained.is_unknown) == (0, False)
    assert sum(part.amount for part in explained.parts) == explained.difference


# --- One cent ---------------------------------------------------------------------------------------------------------


def places(story: Story) -> list[tuple[str, Any]]:
    """Every number of a story that a cent could be taken from or added to, as (name, a story with it)."""
    found: list[tuple[str, Any]] = [("m3ter", with_total), ("outstanding", with_outstanding)]
    found += [(f"column {each.name}", with_column(each.name)) for each in dataclasses.fields(owed.Position)]
    found += [(f"entry {number}", with_entry(number)) for number in range(len(story.ledger.entries))]
    for place, sent in enumerate(story.sent):
        found += [(f"accepted {place}", with_accepted(place))]
        for at, billed in enumerate(sent.billed):
            if billed.status != "canceled":
                names = ("asked", "subtotal", "discount", "tax", "total")
                found += [
                    (f"{name} {place} {number}", with_line(place, at, number, name))
                    for number in range(len(billed.lines))
                    for name in names
                    if billed.status != "past_due" or name in {"asked", "subtotal"}
                ]
    return found


def with_total(story: Story, cent: int) -> Story:
    assert story.m3ter.total is not None
    return replace(story, m3ter=replace(story.m3ter, total=story.m3ter.total + dollars(cent)))


def with_outstanding(story: Story, cent: int) -> Story:
    return replace(story, ledger=replace(story.ledger, outstanding=story.ledger.outstanding + cent))


def with_column(name: str) -> Any:
    def tamper(story: Story, cent: int) -> Story:
        columns = replace(story.ledger.columns, **{name: getattr(story.ledger.columns, name) + cent})
        return replace(story, ledger=replace(story.ledger, columns=columns))

    return tamper


def with_entry(number: int) -> Any:
    def tamper(story: Story, cent: int) -> Story:
        entries = list(story.ledger.entries)
        entries[number] = replace(entries[number], amount=entries[number].amount + cent)
        return replace(story, ledger=replace(story.ledger, entries=entries))

    return tamper


def with_accepted(place: int) -> Any:
    def tamper(story: Story, cent: int) -> Story:
        sent = list(story.sent)
        sent[place] = replace(sent[place], accepted=sent[place].accepted + cent)
        return replace(story, sent=tuple(sent))

    return tamper


def with_line(place: int, at: int, number: int, name: str) -> Any:
    def tamper(story: Story, cent: int) -> Story:
        sent = list(story.sent)
        billed = list(sent[place].billed)
        changed = list(billed[at].lines)
        changed[number] = replace(changed[number], **{name: getattr(changed[number], name) + cent})
        billed[at] = replace(billed[at], lines=tuple(changed))
        sent[place] = replace(sent[place], billed=tuple(billed))
        return replace(story, sent=tuple(sent))

    return tamper


@given(stories(), st.data(), st.sampled_from((-1, 1)))
def test_one_cent_changed_anywhere_is_one_cent_unknown(story: Story, data: st.DataObject, cent: int) -> None:
    assume(Why.ROUNDING not in {part.why for part in story.explained.parts})
    name, tamper = data.draw(st.sampled_from(places(story)), label="where")
    assume(not hides(story, name, cent))

    explained = tamper(story, cent).explained

    assert (explained.unknown, explained.is_unknown) == (1, True)
    assert sum(part.amount for part in explained.parts) == explained.difference


def hides(story: Story, name: str, cent: int) -> bool:
    """What no comparison can tell: the cent is a reason of its own, or what is changed is not looked at."""
    awaited = any(sent.absent != NOWHERE and not sent.given_up for sent in story.sent)
    credited = owed.position(0, story.ledger.entries).credited
    is_draft = any(billed.status == "draft" for sent in story.sent for billed in sent.billed)
    if name.startswith(("accepted", "entry")) and awaited:
        return True
    if name.startswith("entry") and credited:
        return True
    return is_draft and name.startswith(("discount", "tax", "total"))


# --- Anything at all --------------------------------------------------------------------------------------------------

ANY_LINE = st.builds(Line, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, st.booleans())
ANY_ADJUSTMENT = st.builds(
    GivenBack,
    st.just("adj_1"),
    st.sampled_from(("refund", "credit", "chargeback", "chargeback_reverse", "chargeback_warning", "something")),
    st.sampled_from(("approved", "pending_approval", "rejected", "reversed")),
    AMOUNTS,
    AMOUNTS,
)
ANY_BILLED = st.builds(
    Billed,
    st.just("txn_1"),
    st.sampled_from(("draft", "ready", "billed", "paid", "completed", "past_due", "canceled", "waiting", "something")),
    st.lists(ANY_LINE, max_size=3),
    st.lists(ANY_ADJUSTMENT, max_size=2),
    st.sampled_from(("transaction", "invoice", "payment", "modifier")),
)
ANY_SENT = st.builds(
    Sent,
    st.just("bill-1"),
    AMOUNTS,
    AMOUNTS,
    st.booleans(),
    st.sampled_from((NOWHERE, RENEWAL_COMES)),
    st.lists(ANY_BILLED, max_size=2),
)
ANY_ENTRY = st.builds(owed.Entry, st.sampled_from(sorted(owed.COLUMNS)), AMOUNTS)
ANY_LEDGER = st.builds(
    InLedger,
    st.sampled_from(("USD", "EUR")),
    st.builds(owed.Position, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS),
    AMOUNTS,
    st.lists(ANY_ENTRY, max_size=4),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from((None, Why.OPEN, Why.SKIPPED)),
)
ANY_IN_M3TER = st.builds(
    InM3ter,
    st.sampled_from(("USD", "EUR", "JPY", "CLP", "XXX")),
    st.none() | st.decimals(-1_000, 1_000, places=4),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(("", "it cannot be read")),
)


@given(ANY_IN_M3TER, st.none() | ANY_LEDGER, st.lists(ANY_SENT, max_size=3))
def test_parts_always_come_to_the_difference(m3ter: InM3ter, ledger: InLedger | None, sent: list[Sent]) -> None:
    explained = explain(m3ter, ledger, sent)

    assert sum(part.amount for part in explained.parts) == explained.difference
    assert explained.unknown >= 0
    assert not explained.unknown or explained.is_unknown


# --- By example -------------------------------------------------------------------------------------------------------


def paid(amount: int, *, given_back: Sequence[GivenBack] = (), line: Line | None = None) -> tuple[Sent, ...]:
    lines = (line or Line(amount, amount, total=amount),)
    return (Sent("bill-1", amount, billed=(Billed("txn_1", "completed", lines, given_back),)),)


def whys(explained: Explanation) -> list[tuple[str, int]]:
    return [(part.why.value, part.amount) for part in explained.parts]


def test_what_is_below_the_smallest_unit_is_rounding_and_no_cent() -> None:
    ledger = in_step([owed.Entry("pushed", 1235)], 1235)

    explained = explain(InM3ter("USD", Decimal("12.345"), version=1), ledger, paid(1235))

    words = "m3ter's exact total leaves -0.005 USD, less than the smallest unit, and never charged."
    assert explained.parts == (Part(Why.ROUNDING, 0, words),)


def test_a_correction_that_was_refunded_leaves_no_difference() -> None:
    entries = [owed.Entry("pushed", 1000), owed.Entry("credited", 200)]
    refund = GivenBack("adj_1", "refund", "approved", 200)

    explained = explain(InM3ter("USD", dollars(800)), in_step(entries, 800), paid(1000, given_back=(refund,)))

    assert (explained.collected, explained.refunded, explained.difference, explained.parts) == (1000, 200, 0, ())


def test_a_credit_that_was_taken_back_leaves_no_difference() -> None:
    there, back = GivenBack("adj_1", "credit", "reversed", 200), GivenBack("adj_2", "credit_reverse", "approved", 200)
    ledger = in_step([owed.Entry("pushed", 1000)], 1000)

    explained = explain(InM3ter("USD", dollars(1000)), ledger, paid(1000, given_back=(there, back)))

    assert (explained.refunded, explained.difference, explained.parts) == (0, 0, ())


def test_what_was_given_back_of_amounts_that_include_tax_names_the_tax() -> None:
    entries = [owed.Entry("pushed", 1200), owed.Entry("credited", 120)]
    refund = GivenBack("adj_1", "refund", "approved", 120, tax=20)
    line = Line(1200, 1000, 0, 200, 1200, is_tax_inside=True)

    explained = explain(
        InM3ter("USD", dollars(1080)), in_step(entries, 1080), paid(1200, given_back=(refund,), line=line)
    )

    assert (explained.collected, explained.refunded, explained.difference) == (1000, 100, 180)
    assert whys(explained) == [("tax", 200), ("tax", -20)]


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("transaction", "draft", "pending renewal"),
        ("invoice", "draft", "not issued yet"),
        ("invoice", "ready", "not issued yet"),
        ("invoice", "past_due", "not paid yet"),
        ("modifier", "waiting", "pending payment"),
    ],
)
def test_what_is_not_collected_says_what_it_waits_for(kind: str, status: str, expected: str) -> None:
    (sent,) = paid(1000)
    there = replace(sent, billed=(replace(sent.billed[0], kind=kind, status=status),))

    explained = explain(InM3ter("USD", dollars(1000)), in_step([owed.Entry("pushed", 1000)], 1000), (there,))

    assert (whys(explained), explained.billed) == ([(expected, 1000)], 0 if kind == "modifier" else 1000)


@pytest.mark.parametrize(
    ("statuses", "times"),
    [(("completed",), 0), (("completed", "canceled"), 0), (("completed", "ready"), 0), (("billed", "waiting"), 2)],
)
def test_a_push_is_there_twice_where_two_of_it_stand(statuses: tuple[str, ...], times: int) -> None:
    billed = [Billed(f"txn_{number}", status, ()) for number, status in enumerate(statuses)]

    assert len(doubled(Sent("bill-1", 1000, billed=billed))) == times


@pytest.mark.parametrize(
    ("status", "expected"),
    [("pending_approval", [("refunded", -200)]), ("rejected", [("unknown", -200)])],
)
def test_a_correction_that_paddle_has_not_made_shows(status: str, expected: list[tuple[str, int]]) -> None:
    entries = [owed.Entry("pushed", 1000), owed.Entry("credited", 200)]
    refund = GivenBack("adj_1", "refund", status, 200)

    explained = explain(InM3ter("USD", dollars(800)), in_step(entries, 800), paid(1000, given_back=(refund,)))

    assert whys(explained) == expected


def test_what_is_carried_to_a_later_bill_is_named_on_both() -> None:
    out = in_step([owed.Entry("carried_out", 30)], 30, stands=None)
    taken = in_step([owed.Entry("carried_in", 30), owed.Entry("pushed", 1030)], 1000, stands=None)

    first = explain(InM3ter("USD", dollars(30)), out)
    second = explain(InM3ter("USD", dollars(1000)), taken, paid(1030))

    assert (whys(first), whys(second)) == ([("carried", 30)], [("carried", -30)])


def test_a_discount_on_amounts_that_include_tax_lowers_the_tax_too() -> None:
    line = Line(1200, 1000, 100, 180, 1080, is_tax_inside=True)
    ledger = in_step([owed.Entry("pushed", 1200)], 1200)

    explained = explain(InM3ter("USD", dollars(1200)), ledger, paid(1200, line=line))

    assert (explained.collected, whys(explained)) == (900, [("discount", 120), ("tax", 180)])


def test_a_settled_bill_with_something_open_has_no_reason() -> None:
    ledger = in_step([owed.Entry("pushed", 900)], 1000, stands=None)

    assert whys(explain(InM3ter("USD", dollars(1000)), ledger, paid(900))) == [("unknown", 100)]


def test_a_push_in_two_transactions_is_too_much() -> None:
    (sent,) = paid(1000)
    twice = replace(sent, billed=(*sent.billed, replace(sent.billed[0], transaction_id="txn_2")))

    explained = explain(InM3ter("USD", dollars(1000)), in_step([owed.Entry("pushed", 1000)], 1000), (twice,))

    assert (whys(explained), explained.unknown) == ([("unknown", -1000)], 1000)
    assert "more than once: transaction txn_1, transaction txn_2" in explained.parts[0].words
