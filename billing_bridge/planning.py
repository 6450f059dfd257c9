"""The plan of pushes: when each bill goes out, which renewal collects it, or why it misses the one it should. Pure.

    order    of need, as the queue claims: the subscription that renews first; without a renewal, by when it became due
    budget   every bill takes its calls out of what is left for pushing in any minute
    lock     nothing goes out shortly before a renewal; what is late goes after it, as policy says
    limits   20 immediate charges an hour on a subscription, and 100 in 24 hours, those already made included
    turns    one open charge a subscription: where one is unconfirmed, the next waits until it is settled

It says what will happen if nobody does anything: what a person must decide about is never sent by itself.
"""

import enum
import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from billing_bridge import charge_limits, modes
from billing_bridge.charges import AFTER_RENEWAL, NEEDS_NO_SUBSCRIPTION, RENEWAL_LOCK
from billing_bridge.composing import MOST_ITEMS
from billing_bridge.models import PushedBill, PushPolicy

State = PushedBill.State
Reason = PushedBill.Reason
Mode = PushPolicy.Mode

MINUTE = timedelta(minutes=1)
CALLS = 2
"""A preview and the charge."""
MORE_CALLS = 3
"""An invoice reads the subscription first, a refund the transaction; a charge that does not fit is previewed twice."""
NEVER = datetime.max.replace(tzinfo=UTC)
AT_ONCE = frozenset(mode.name for mode in modes.AT_ONCE)
"""The ways of charging that need no renewal to carry them."""


class Collected(enum.StrEnum):
    """How Paddle collects a bill."""

    WITH_RENEWAL = "with the renewal"
    WITH_LATER_RENEWAL = "with the renewal after that"
    AT_ONCE = "at once"
    BY_ITSELF = "by itself, with no renewal"
    NOT = "not"


class Hindrance(enum.StrEnum):
    """What keeps a bill from being sent, or from being sent in time."""

    STOPPED = "nothing is charged"
    HELD = "held"
    FAILED = "failed"
    LOST = "lost"
    UNCONFIRMED = "unconfirmed"
    WAITS = "waits"
    PAST_DUE = "past due"
    PAUSED = "paused"
    ENDING = "ending"
    TOO_FAR = "too far"
    TRIAL = "trial"
    ANOTHER_PUSH = "another push"
    LIMIT = "charge limit"
    BUDGET = "budget"
    LOCK = "renewal lock"
    GONE = "renewal gone"


@dataclass(frozen=True)
class Terms:
    """What the push policy that applies to a bill says of when it is charged."""

    late_at_once: bool = False
    far_at_once: bool = False
    ending_at_once: bool = False
    longest_wait: timedelta = timedelta(days=35)
    limits_charges: bool = True
    """Whether Paddle takes only so many immediate charges on a subscription; Classic has no such limit."""


@dataclass(frozen=True)
class Bill:
    """What the plan needs to know of a bill that Paddle does not have yet."""

    id: int
    subscription_id: str
    renews_at: datetime | None
    due_at: datetime | None
    state: str = State.READY
    reason: str = ""
    detail: str = ""
    mode: str = Mode.NEXT_BILLING_PERIOD
    items: int = 1
    """How many items it is expected to have."""
    status: str = "active"
    """The subscription's, as Paddle said last."""
    scheduled: str = ""
    """What Paddle will do with it: cancel or pause; empty: nothing."""
    terms: Terms = Terms()

    @property
    def on_subscription(self) -> bool:
        """Whether the subscription collects it."""
        return self.mode not in NEEDS_NO_SUBSCRIPTION

    @property
    def need(self) -> tuple[datetime, datetime, int]:
        """Its place in the order of need, which is the queue's (queues.NEED)."""
        due_at = self.due_at or self.renews_at or NEVER
        return self.renews_at or due_at, due_at, self.id


@dataclass(frozen=True)
class Given:
    """What the plan is made in."""

    now: datetime
    calls_a_minute: int
    """Of Paddle's, left for pushing."""
    made: Mapping[str, Sequence[datetime]] = field(default_factory=dict)
    """Immediate charges of the last 24 hours on each subscription, in order."""
    open_until: Mapping[str, datetime | None] = field(default_factory=dict)
    """Subscriptions on which a charge is open: until when at the latest; None: until a person decides."""
    stopped: str = ""
    """Why nothing is charged at all, in a sentence; empty: it is."""
    horizon: timedelta = timedelta(hours=24)
    """What is not sent by itself misses a renewal that comes sooner than this; for a later one there is time."""


@dataclass(frozen=True)
class Planned:
    """What becomes of one bill if nobody does anything."""

    bill: Bill
    sends_at: datetime | None
    collected: Collected
    why: str
    hindrance: Hindrance | None = None
    misses: bool = False
    """Whether the renewal that should collect it comes without it."""


@dataclass(frozen=True)
class Plan:
    """Every bill once: first what goes out, in that order, then what does not, the next renewal first."""

    entries: tuple[Planned, ...]

    @property
    def missing(self) -> list[Planned]:
        """Those that miss their renewal, the next renewal first."""
        return sorted((each for each in self.entries if each.misses), key=lambda each: each.bill.need)

    @property
    def going_out(self) -> list[Planned]:
        """Those that are sent, in the order in which they are."""
        return [each for each in self.entries if each.sends_at is not None]


def plan(bills: Sequence[Bill], given: Given) -> Plan:
    """Say for each bill when it is sent and with which renewal it is collected, or why it misses it."""
    turns, kept = [], []
    for bill in bills:
        why_not = _why_not_sent(bill, given)
        if why_not is None:
            turns.append(_Turn.of(bill, given))
        else:
            kept.append(_not_sent(bill, given, *why_not))
    sent = list(_Queue(turns, given).run())
    return Plan((*sent, *sorted(kept, key=lambda each: each.bill.need)))


def moment(at: datetime) -> str:
    """Write a moment to the minute."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


# --- What is not sent by itself ---------------------------------------------------------------------------------------

BY_STATE: Mapping[str, tuple[Hindrance, str]] = {
    State.HELD: (Hindrance.HELD, "It is held until a person decides."),
    State.FAILED: (Hindrance.FAILED, "Paddle refused it; it is sent again only when a person says so."),
    State.LOST: (Hindrance.LOST, "Paddle will not collect what it accepted; a person chooses how it is settled."),
    State.UNCONFIRMED: (Hindrance.UNCONFIRMED, "It may have been charged; it is looked for, and never sent again."),
}
BY_REASON: Mapping[str, tuple[Hindrance, str]] = {
    Reason.PAST_DUE: (Hindrance.PAST_DUE, "The subscription is past due; it goes out when that is paid."),
    Reason.PAUSED: (Hindrance.PAUSED, "The subscription is paused; it goes out when that is resumed."),
    Reason.PENDING: (Hindrance.WAITS, "m3ter calculates it again; it goes out when it is approved there."),
    Reason.REFUND: (Hindrance.WAITS, "It waits for Paddle's word on another refund."),
    Reason.NOT_LIVE: (Hindrance.STOPPED, "Nothing is charged until the go-live date is set."),
}
"""What a bill waits for that no clock brings about."""
BY_STATUS = {"past_due": BY_REASON[Reason.PAST_DUE], "paused": BY_REASON[Reason.PAUSED]}


def _why_not_sent(bill: Bill, given: Given) -> tuple[Hindrance, str] | None:
    if bill.state in BY_STATE:
        hindrance, words = BY_STATE[bill.state]
        return hindrance, f"{words} {bill.detail}".strip()
    if bill.state == State.WAITING and bill.reason in BY_REASON:
        return BY_REASON[bill.reason]
    if given.stopped:
        return Hindrance.STOPPED, given.stopped
    if bill.due_at is None:
        return Hindrance.WAITS, f"Nothing says when it goes on. {bill.detail}".strip()
    if given.calls_a_minute < _fewest_calls(bill):
        return Hindrance.BUDGET, "No calls to Paddle are left for pushing."
    if bill.subscription_id in given.open_until and given.open_until[bill.subscription_id] is None:
        return (
            Hindrance.ANOTHER_PUSH,
            "Another charge on its subscription may have been made, and a person must say whether it was.",
        )
    return _subscription_refuses(bill, given) if bill.on_subscription else None


def _subscription_refuses(bill: Bill, given: Given) -> tuple[Hindrance, str] | None:
    """What the subscription says, as it was seen last; Paddle is asked again before anything is charged."""
    if bill.status in BY_STATUS:
        return BY_STATUS[bill.status]
    if bill.status == "canceled":
        return Hindrance.ENDING, "The subscription is cancelled; it will be held."
    if bill.mode in AT_ONCE:
        return None
    if bill.scheduled and not bill.terms.ending_at_once:
        return Hindrance.ENDING, f"Paddle will {bill.scheduled} the subscription, so no renewal follows; it is held."
    if not bill.scheduled and not bill.terms.far_at_once and _is_far(bill, given):
        when = f"The renewal comes only at {moment(bill.renews_at)}" if bill.renews_at else "No renewal is known"
        return Hindrance.TOO_FAR, f"{when}, so it will be held."
    return None


def _is_far(bill: Bill, given: Given) -> bool:
    return bill.renews_at is None or bill.renews_at - given.now > bill.terms.longest_wait


def _not_sent(bill: Bill, given: Given, hindrance: Hindrance, why: str) -> Planned:
    soon = bill.renews_at is not None and given.now < bill.renews_at <= given.now + given.horizon
    return Planned(bill, None, Collected.NOT, why, hindrance, misses=soon and bill.on_subscription)


def _fewest_calls(bill: Bill) -> int:
    return CALLS if bill.on_subscription else MORE_CALLS


# --- What is sent -----------------------------------------------------------------------------------------------------


@dataclass
class _Turn:
    """A bill on its way through the plan."""

    bill: Bill
    may_go_at: datetime
    at_once: bool
    hindrance: Hindrance | None = None
    why: str = ""

    @classmethod
    def of(cls, bill: Bill, given: Given) -> "_Turn":
        """Say from when on a bill may go, by what is known at the beginning."""
        due_at = bill.due_at or given.now
        turn = cls(bill, max(due_at, given.now), _goes_at_once(bill, given))
        open_until = given.open_until.get(bill.subscription_id)
        if open_until is not None and open_until > turn.may_go_at:
            turn.wait(open_until, Hindrance.ANOTHER_PUSH, "Another charge on its subscription is being settled first.")
        if bill.on_subscription and bill.renews_at is not None:
            if bill.status == "trialing":
                turn.wait(bill.renews_at + AFTER_RENEWAL, Hindrance.TRIAL, "The subscription is in trial until then.")
            elif bill.renews_at + AFTER_RENEWAL <= given.now:
                turn.hindrance = Hindrance.GONE
                turn.why = f"The renewal of {moment(bill.renews_at)} came before it was sent."
        return turn

    def wait(self, until: datetime, hindrance: Hindrance, why: str) -> None:
        """Go later, for the first reason that there was."""
        self.may_go_at = max(self.may_go_at, until)
        if self.hindrance is None:
            self.hindrance, self.why = hindrance, why

    @property
    def locked_from(self) -> datetime:
        """From when on its renewal cannot be reached any more."""
        at = self.bill.renews_at
        return at - RENEWAL_LOCK if at is not None and self.bill.on_subscription else NEVER

    def is_late(self, at: datetime) -> bool:
        """Whether the renewal comes without a bill that is sent then."""
        return at >= self.locked_from


def _goes_at_once(bill: Bill, given: Given) -> bool:
    """Whether policy has it charged at once, as it is or because of what no renewal would carry."""
    if not bill.on_subscription:
        return False
    if bill.mode in AT_ONCE:
        return True
    return bill.terms.ending_at_once if bill.scheduled else bill.terms.far_at_once and _is_far(bill, given)


class _Calls:
    """The calls of every minute: spread over it, and in no 60 seconds more than there are."""

    def __init__(self, a_minute: int, now: datetime) -> None:
        self.a_minute = a_minute
        self.next_at = now
        self._taken: deque[tuple[datetime, int]] = deque()
        self._in_window = 0

    def free_at(self, at: datetime, calls: int) -> datetime:
        """When so many calls can be made, not before a moment."""
        at = max(at, self.next_at)
        while True:
            while self._taken and self._taken[0][0] + MINUTE <= at:
                self._in_window -= self._taken.popleft()[1]
            if self._in_window + calls <= self.a_minute:
                return at
            at = self._taken[0][0] + MINUTE

    def take(self, at: datetime, calls: int) -> None:
        """Make them."""
        self._taken.append((at, calls))
        self._in_window += calls
        self.next_at = at + MINUTE / (self.a_minute // calls)


class _Queue:
    """Lets bills go out one after the other: of those that may go, the one in the greatest need."""

    def __init__(self, turns: Sequence[_Turn], given: Given) -> None:
        self.calls = _Calls(given.calls_a_minute, given.now)
        self.made: dict[str, list[datetime]] = defaultdict(list)
        for subscription_id, made in given.made.items():
            self.made[subscription_id] += made
        self.pending: Counter[tuple[str, datetime | None, bool]] = Counter()
        self.later = [(turn.may_go_at, turn.bill.id, turn) for turn in turns]
        heapq.heapify(self.later)
        self.able: list[tuple[tuple[datetime, datetime, int], _Turn]] = []

    def run(self) -> Iterator[Planned]:
        """Send them all."""
        at = self.calls.next_at
        while self.able or self.later:
            at = max(at, self.calls.next_at)
            if not self.able:
                at = max(at, self.later[0][0])
            self._let_in(at)
            turn = heapq.heappop(self.able)[1]
            if self._postponed(turn, at):
                continue
            calls = self._calls_of(turn, at)
            free_at = self.calls.free_at(at, calls)
            if free_at > at:  # until then, another may be able to go that is in greater need
                heapq.heappush(self.able, (turn.bill.need, turn))
                at = free_at
                continue
            self.calls.take(at, calls)
            yield self._sent(turn, at)

    def _let_in(self, at: datetime) -> None:
        while self.later and self.later[0][0] <= at:
            turn = heapq.heappop(self.later)[2]
            heapq.heappush(self.able, (turn.bill.need, turn))

    def _postponed(self, turn: _Turn, at: datetime) -> bool:
        """Whether it must wait: for a renewal to be over, or for room under the limits of immediate charges."""
        bill = turn.bill
        if bill.renews_at is not None and turn.is_late(at):
            self._is_late(turn, bill.renews_at)
            if at < bill.renews_at + AFTER_RENEWAL:
                turn.may_go_at = bill.renews_at + AFTER_RENEWAL
                heapq.heappush(self.later, (turn.may_go_at, bill.id, turn))
                return True
        is_limited = turn.at_once and bill.terms.limits_charges
        limit = charge_limits.reached(self.made[bill.subscription_id], at) if is_limited else None
        if limit is not None:
            words = f"Paddle takes {limit.most} immediate charges {limit.per} on one subscription."
            turn.wait(limit.until, Hindrance.LIMIT, words)
            heapq.heappush(self.later, (turn.may_go_at, bill.id, turn))
        return limit is not None

    def _is_late(self, turn: _Turn, renews_at: datetime) -> None:
        if turn.hindrance is None and turn.may_go_at < turn.locked_from and turn.bill.reason != Reason.RENEWAL_LOCK:
            words = "There are not enough calls to Paddle to send it before that, after those that renew sooner."
            turn.hindrance, turn.why = Hindrance.BUDGET, words
        elif turn.hindrance is None:
            words = f"It comes too late for the renewal of {moment(renews_at)}: Paddle takes no changes shortly before."
            turn.hindrance, turn.why = Hindrance.LOCK, words
        if turn.bill.terms.late_at_once and turn.hindrance not in {Hindrance.GONE, Hindrance.TRIAL}:
            turn.at_once = True

    def _calls_of(self, turn: _Turn, at: datetime) -> int:
        """How many calls it takes: one more where its items do not fit beside what is pending and what recurs."""
        if not turn.bill.on_subscription:
            return MORE_CALLS
        beside = 0 if turn.at_once else self.pending[self._renewal_of(turn, at)] + 1
        too_many = turn.bill.items + beside > MOST_ITEMS
        return min(MORE_CALLS, self.calls.a_minute) if too_many else CALLS

    def _renewal_of(self, turn: _Turn, at: datetime) -> tuple[str, datetime | None, bool]:
        return turn.bill.subscription_id, turn.bill.renews_at, turn.is_late(at)

    def _sent(self, turn: _Turn, at: datetime) -> Planned:
        bill, late = turn.bill, turn.is_late(at)
        if turn.at_once:
            self.made[bill.subscription_id].append(at)
        elif bill.on_subscription:
            fits = self.pending[self._renewal_of(turn, at)] + 1 + bill.items <= MOST_ITEMS
            self.pending[self._renewal_of(turn, at)] += bill.items if fits else 1
        collected = _collected(turn, late=late)
        return Planned(bill, at, collected, _in_words(turn, collected), turn.hindrance, misses=late)


def _collected(turn: _Turn, *, late: bool) -> Collected:
    if not turn.bill.on_subscription:
        return Collected.BY_ITSELF
    if turn.at_once:
        return Collected.AT_ONCE
    return Collected.WITH_LATER_RENEWAL if late else Collected.WITH_RENEWAL


def _in_words(turn: _Turn, collected: Collected) -> str:
    renews_at = turn.bill.renews_at
    said = {
        Collected.BY_ITSELF: "It is settled by itself, with no renewal.",
        Collected.AT_ONCE: "It is collected at once.",
        Collected.WITH_RENEWAL: f"The renewal of {moment(renews_at)} collects it." if renews_at else "",
        Collected.WITH_LATER_RENEWAL: "The renewal after that collects it.",
    }
    return f"{turn.why} {said[collected]}".strip()
