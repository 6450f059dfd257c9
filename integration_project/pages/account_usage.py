"""What the page of an account says of its usage: plots of what m3ter has counted, and what came too late for a bill."""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from urllib.parse import urlencode

from integration_project import clock, plotting, showing
from integration_project.showing import Link, Panel, Right
from paddle_sync.models import AccountLink, LateForBill, LateUsage, UsageDay
from paddle_sync.usage import late

DAYS = 35
MOST_PLOTS = 6
MOST_ROWS = 20
Series = dict[dt.date, Decimal]


def panels(link: AccountLink) -> Sequence[Panel]:
    """Give a plot with its table for each field of a meter, and what a person has to decide."""
    return (*_plots(link), *_late(link))


def _plots(link: AccountLink) -> Sequence[Panel]:
    last = clock.now().date()
    first = last - dt.timedelta(days=DAYS - 1)
    rows = UsageDay.objects.filter(m3ter_account_code=link.m3ter_account_code, day__gte=first).order_by(
        "meter", "field"
    )
    series: dict[str, Series] = defaultdict(dict)
    for meter, name, day, total in rows.values_list("meter", "field", "day", "total"):
        series[f"{meter}, {name}"][day] = Decimal(total)
    everything = showing.list_of(UsageDay, urlencode({"q": link.m3ter_account_code}))
    if not series:
        return (
            Panel(
                "Usage in m3ter",
                ("Day", Right("Total")),
                (),
                empty=f"m3ter has counted nothing of this account in the last {DAYS} days, as far as it was asked.",
                note="Read every hour, in days of UTC.",
            ),
        )
    shown = [_plot(title, totals, first, last, everything) for title, totals in list(series.items())[:MOST_PLOTS]]
    if len(series) > MOST_PLOTS:
        left = f"{len(series) - MOST_PLOTS} more fields are not drawn."
        shown.append(Panel("More usage in m3ter", ("Day",), (), empty=left, more=Link("All of it, by day", everything)))
    return shown


def _plot(title: str, totals: Series, first: dt.date, last: dt.date, everything: str) -> Panel:
    return Panel(
        f"Usage in m3ter: {title}",
        ("Day", Right("Total")),
        [(day, showing.number(f"{totals[day]:,f}")) for day in sorted(totals, reverse=True)],
        empty="",
        note=f"What m3ter has counted in the last {DAYS} days, in days of UTC. Read every hour.",
        more=Link("All of it, by day", everything),
        plot=plotting.daily(title, totals, first, last),
    )


def _late(link: AccountLink) -> Sequence[Panel]:
    bills = list(late.of_account(link.m3ter_account_id).values())[-MOST_ROWS:]
    counts = late.counts([bill.m3ter_bill_id for bill in bills]) if bills else {}
    rows = [
        (
            showing.row_link(bill, f"bill {bill.m3ter_bill_id}"),
            str(counts.get(bill.m3ter_bill_id, "-")),
            bill.get_state_display(),
            "Decide whether m3ter calculates it again" if bill.state == LateForBill.State.OPEN else "-",
        )
        for bill in bills
    ]
    waiting = LateUsage.objects.filter(m3ter_account_id=link.m3ter_account_id).order_by("-id")[:MOST_ROWS]
    rows += [
        (
            showing.row_link(row, str(row)),
            f"{row.items} measurements",
            row.get_state_display(),
            "Say what it costs" if row.state == LateUsage.State.REVIEW else "-",
        )
        for row in waiting
    ]
    panel = Panel("Usage that came later than its bill", ("What", "How much", "State", "What to do"), rows, empty="")
    return (panel,) if rows else ()
