"""Plots of the console: drawn here as SVG, without scripts; the numbers stand in a table beside each."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

STEP, BAR, HEIGHT, FOOT = 14, 10, 96, 16


def daily(title: str, totals: Mapping[dt.date, Decimal], first: dt.date, last: dt.date) -> SafeString:
    """Draw a bar for each day of a span; a day below zero hangs below the line, a day without a number has none."""
    days = [first + dt.timedelta(days=count) for count in range((last - first).days + 1)]
    numbers = [totals.get(day, Decimal(0)) for day in days]
    top, bottom = max(*numbers, Decimal(0)), min(*numbers, Decimal(0))
    room = (top - bottom) or Decimal(1)
    zero = _pixels(top, room)
    bars = format_html_join(
        "",
        '<rect class="c-bar" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>',
        (
            (place * STEP + 2, _top(number, zero, room), BAR, _height(number, room), day, f"{number:,f}")
            for place, (day, number) in enumerate(zip(days, numbers, strict=True))
            if number
        ),
    )
    width = len(days) * STEP
    words = f"{title}, {first} to {last}: highest {top:,f}, total {sum(numbers, Decimal(0)):,f}"
    return format_html(
        '<svg class="c-plot" viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="xMinYMid meet">'
        '<line class="c-axis" x1="0" x2="{}" y1="{}" y2="{}"></line>{}'
        '<text class="c-tick" x="0" y="{}">{}</text>'
        '<text class="c-tick" x="{}" y="{}" text-anchor="end">{}</text></svg>',
        *(width, HEIGHT + FOOT, words, width, zero, zero, bars),
        *(HEIGHT + FOOT - 4, first, width, HEIGHT + FOOT - 4, last),
    )


def _pixels(number: Decimal, room: Decimal) -> int:
    return int(number * HEIGHT / room)


def _top(number: Decimal, zero: int, room: Decimal) -> int:
    return zero - _height(number, room) if number > 0 else zero


def _height(number: Decimal, room: Decimal) -> int:
    return max(1, _pixels(abs(number), room))
