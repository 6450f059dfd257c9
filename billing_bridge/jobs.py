"""What django-q2 and the schedule run: each opens the vendors and calls one function per claimed row."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from billing_bridge import (
    attention,
    bills_to_date,
    classic_marks,
    classic_one_offs,
    currencies,
    importing,
    polling,
    reconciliation,
    safeguards,
)
from billing_bridge.finishing import finish_bill
from billing_bridge.looking import confirm_bill
from billing_bridge.pushing import push_bill
from billing_bridge.queues import CONFIRM, FINISH, PUSH
from integration_project import finding, installation, wakeups, work
from integration_project.connections import open_vendors
from integration_project.errors import BudgetSpent, IntegrationError
from integration_project.models import Finding
from integration_project.vendors import Vendors

NOT_TO_THE_END = "bills not read to the end"
TIME_IS_UP = "the time of one run is up; the next run goes on"

logger = logging.getLogger(__name__)

SECONDS = 150.0
"""A run ends well before its task's timeout; what is left is still new to the next one."""


def drain_bills() -> int:
    """Charge every bill that is due, one at a time; none while something speaks against charging at all."""
    if safeguards.why_no_push():
        return 0
    with open_vendors("push") as vendors:
        return work.drain(PUSH, partial(push_bill, vendors=vendors))


def confirm_bills() -> int:
    """Look for every unconfirmed charge that is due."""
    if _belongs_elsewhere():
        return 0
    with open_vendors("look") as vendors:
        return work.drain(CONFIRM, partial(confirm_bill, vendors=vendors))


def finish_bills() -> int:
    """Lock and map in m3ter what is pushed."""
    if _belongs_elsewhere():
        return 0
    with open_vendors("import") as vendors:
        return work.drain(FINISH, partial(finish_bill, vendors=vendors))


def _belongs_elsewhere() -> bool:
    """Whether the settings name other accounts than this database's: what those say of our rows would be wrong."""
    elsewhere = bool(installation.mismatches(installation.current()))
    if elsewhere:
        safeguards.why_no_push()  # opens the finding
    return elsewhere


def import_new_bills() -> str:
    """Read what m3ter has approved and not locked, and judge again what waited for something else."""
    return _go_through("unfinished bills", polling.import_approved_bills)


def sweep_bills() -> str:
    """Go through every bill of the last 400 days, and look for those that m3ter no longer has."""
    return _go_through("all bills", polling.sweep)


def ask_for_bills_to_date() -> str:
    """Have m3ter bill what was used on subscriptions that are about to be cancelled, and see what became of that."""
    if _belongs_elsewhere():
        return "not asked: the settings belong to another database"
    try:
        with open_vendors("import") as vendors:
            return _counted(bills_to_date.go_through(vendors)) or "none is due"
    except IntegrationError as error:
        logger.warning("Bills to date were not gone through to the end: %s", error)
        return f"not gone through to the end: {error}"


def look_at_classic() -> str:
    """See whether Paddle Classic has what it said it has of our charges, and none that nobody here made."""
    if _belongs_elsewhere():
        return "not looked: the settings belong to another database"
    try:
        with open_vendors("look") as vendors:
            if vendors.classic is None:
                return "Paddle Classic is off"
            listed = vendors.classic.list_modifiers()
            classic_marks.check(listed)
            lost = classic_one_offs.look(vendors.classic)
    except IntegrationError as error:
        logger.warning("Paddle Classic was not looked through: %s", error)
        return f"not looked through: {error}"
    return f"{len(listed)} modifiers read, {lost} one-off charges lost"


def _go_through(which: str, bills: Callable[[Vendors], Iterator[polling.Seen]]) -> str:
    reconsidered = importing.reconsider()
    outcomes: Counter[str] = Counter()
    end = time.monotonic() + SECONDS
    try:
        with open_vendors("import") as vendors:
            for seen in bills(vendors):
                outcomes["not read" if seen.failed else seen.outcome] += 1
                if time.monotonic() > end:
                    return f"{_summary(outcomes, reconsidered)}; {_not_to_the_end(which, TIME_IS_UP)}"
    except BudgetSpent as error:
        return f"{_summary(outcomes, reconsidered)}; {_not_to_the_end(which, str(error))}"
    except IntegrationError as error:
        logger.warning("Bills were not read to the end: %s", error)
        words = _not_to_the_end(which, str(error), severity=Finding.Severity.PROBLEM)
        return f"{_summary(outcomes, reconsidered)}; {words}"
    finding.settle(NOT_TO_THE_END, which, reason="All were gone through.")
    return _summary(outcomes, reconsidered)


def _not_to_the_end(which: str, why: str, *, severity: Finding.Severity = Finding.Severity.NOTICE) -> str:
    """Open the finding that bills behind the point where it stopped are not seen; closed by the next whole run."""
    finding.report(
        NOT_TO_THE_END,
        which,
        detail=f"m3ter's bills were not gone through to the end, so news of some may be missing here: {why}",
        next_step="It is tried again by itself. Where this stays, look at what it names.",
        severity=severity,
    )
    return f"not read to the end: {why}"


def read_currencies() -> str:
    """Read what Paddle says of its currencies: their decimals, and the least it charges."""
    with open_vendors("import") as vendors:
        return f"{currencies.refresh(vendors)} currencies read"


def check_safeguards() -> str:
    """Look up again what charging depends on."""
    try:
        with open_vendors("import") as vendors:
            return safeguards.check(vendors)
    except IntegrationError as error:
        logger.warning("What charging depends on could not be looked up: %s", error)
        safeguards.why_no_push()  # opens the finding once it was not looked up for too long
        return f"not looked up: {error}"


def tell_of_bills() -> str:
    """Keep the findings about bills that wait for a person in step with the bills."""
    return f"{attention.keep_in_step()} causes for a person to look at"


def reconcile_daily() -> str:
    """Have the bills of the last weeks reconciled."""
    run = reconciliation.ask_daily()
    return f"{run} begins" if run is not None else "the last one is still under way"


def carry_on_reconciliations() -> str:
    """Go on with every reconciliation that nobody carries on, oldest first, as long as there is time."""
    wakeups.taken(reconciliation.NAME)
    end = time.monotonic() + SECONDS
    waiting, done = reconciliation.to_carry_on(), 0
    for run_id in waiting:
        left = end - time.monotonic()
        if left <= 0:
            break
        with open_vendors("import") as vendors:
            try:
                done += reconciliation.carry_on(run_id, vendors, seconds=left)
            except IntegrationError as problem:  # it stands at the run, for people to see
                logger.warning("Reconciliation %s could not go on: %s", run_id, problem)
    return f"{done} of {len(waiting)} reconciliations done"


def _summary(outcomes: Counter[str], reconsidered: int) -> str:
    return ", ".join(filter(None, (_counted(outcomes), f"{reconsidered} judged again")))


def _counted(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
