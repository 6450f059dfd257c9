"""How the console shows a time, an id, a state or a table: escaped, exact on hover, and the same on every page."""

import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings
from django.contrib import admin
from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from integration_project import clock
from integration_project.configuration import is_loopback

Tone = Literal["bad", "wait", "good", "calm"]
NOTHING = SafeString("-")
NO_PLOT = SafeString("")

# Guess: neither vendor documents the addresses inside its own console; these are the ones people see there.
PADDLE_CONSOLES = {"sandbox": "https://sandbox-vendors.paddle.com", "live": "https://vendors.paddle.com"}
PADDLE_PAGES = {
    "sub_": "subscriptions-v2",
    "txn_": "transactions-v2",
    "ctm_": "customers-v2",
    "pro_": "products-v2",
    "pri_": "prices-v2",
}
M3TER_CONSOLE = "https://console.m3ter.com"
M3TER_PAGES = {
    "account": "accounts",
    "bill": "bills",
    "plan": "plans",
    "plan_group": "plan-groups",
    "product": "products",
}

STEPS = ((60, 1, "second"), (3600, 60, "minute"), (86_400, 3600, "hour"), (86_400 * 45, 86_400, "day"))


@dataclass(frozen=True)
class Story:
    """What a row is, in three parts: what happened, what that means, what to do next."""

    tone: Tone
    cause: str
    effect: str = ""
    next_step: str = ""


@dataclass(frozen=True)
class Link:
    """An address beside the story: where the thing that is missing can be added, or what belongs to the row."""

    label: str
    url: str
    strong: bool = False


class Right(str):
    """The heading of a column of amounts, aligned to the right like them."""

    right = True


@dataclass(frozen=True)
class Panel:
    """A titled table under the story; says what it would hold while it is empty."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    empty: str
    note: str = ""
    more: Link | None = None
    plot: SafeString = NO_PLOT


@dataclass(frozen=True)
class Text:
    """A titled block of preformatted text under the story."""

    title: str
    body: str
    note: str = ""


def number(value: int | str) -> SafeString:
    """Show a number under the heading of its column, aligned with those above and below it."""
    return format_html('<span class="c-money">{}</span>', f"{value:,}" if isinstance(value, int) else value)


def in_words(seconds: float) -> str:
    """Say a length of time in its largest fitting unit."""
    for limit, size, unit in STEPS:
        if seconds < limit:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    months = int(seconds // (86_400 * 30))
    return f"{months} months"


def relative(moment: dt.datetime) -> str:
    """Say how long ago, or how far ahead, a moment is."""
    seconds = (clock.now() - moment).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"{in_words(seconds)} ago" if seconds > 0 else f"in {in_words(-seconds)}"


def since(moment: dt.datetime) -> str:
    """Say how long ago something happened, as far as people count it."""
    return relative(moment) if clock.now() - moment >= dt.timedelta(minutes=1) else "just now"


def in_a_sentence(label: str) -> str:
    """Write a label as it stands inside a sentence: names in it keep their capitals."""
    return label[:1].lower() + label[1:]


def sentence(text: str) -> str:
    """End a text that somebody has written as a sentence ends."""
    said = text.strip()
    return said if said.endswith((".", "!", "?")) else f"{said}."


def exactly(moment: dt.datetime) -> str:
    """Write a moment to the second, with its zone."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def ago(moment: dt.datetime | None) -> SafeString:
    """Show a moment relative to now, with the exact one on hover."""
    if moment is None:
        return NOTHING
    return format_html(
        '<time class="c-time" datetime="{}" title="{}">{}</time>', moment.isoformat(), exactly(moment), relative(moment)
    )


def at(moment: dt.datetime | None) -> SafeString:
    """Show a moment exactly, with the relative one on hover."""
    if moment is None:
        return NOTHING
    return format_html(
        '<time class="c-time" datetime="{}" title="{}">{}</time>', moment.isoformat(), relative(moment), exactly(moment)
    )


def moment(field: str, *, description: str) -> Callable[[Any, Any], SafeString]:
    """Make the column of an admin page that shows a row's moment exactly."""

    @admin.display(description=description)
    def shown(page: object, row: Model) -> SafeString:
        return at(getattr(row, field))

    return shown


def label(text: str, tone: Tone) -> SafeString:
    """Show a state in words and colour."""
    return format_html('<span class="c-label c-{}">{}</span>', tone, text) if text else NOTHING


def under(text: Any, small: str) -> SafeString:
    """Show something with a smaller word under it."""
    return format_html('{}<span class="c-under">{}</span>', text, small)


def line(text: str, length: int = 90) -> SafeString:
    """Show the first words of a long text, all of it on hover."""
    if not text:
        return NOTHING
    return format_html(
        '<span class="c-line" title="{}">{}</span>', text, Truncator(" ".join(text.split())).chars(length)
    )


def copyable(text: str, url: str = "") -> SafeString:
    """Show an id with a button that copies it, linked where there is somewhere to go."""
    if not text:
        return NOTHING
    shown = format_html('<a href="{}" rel="noreferrer">{}</a>', url, text) if url else format_html("{}", text)
    return format_html(
        '<span class="c-id">{}'
        '<button type="button" class="c-copy" data-copy="{}" aria-label="Copy {}">copy</button></span>',
        shown,
        text,
        text,
    )


def vendor_url(vendor_id: str, *, m3ter: str = "") -> str:
    """Find an object's page in the vendor's own console; nothing for simulated vendors, which have none."""
    if m3ter:
        if is_loopback(settings.M3TER_API_URL):
            return ""
        return f"{M3TER_CONSOLE}/organizations/{settings.M3TER_ORG_ID}/{M3TER_PAGES[m3ter]}/{vendor_id}"
    page = PADDLE_PAGES.get(vendor_id[:4])
    if page is None or is_loopback(settings.PADDLE_API_URL):
        return ""
    return f"{PADDLE_CONSOLES[settings.PADDLE_ENVIRONMENT]}/{page}/{vendor_id}"


def paddle_id(vendor_id: str) -> SafeString:
    """Show a Paddle id: a link to Paddle's own console, and a copy button."""
    return copyable(vendor_id, vendor_url(vendor_id) if vendor_id else "")


def m3ter_id(vendor_id: str, kind: str) -> SafeString:
    """Show a m3ter id: a link to m3ter's own console, and a copy button."""
    return copyable(vendor_id, vendor_url(vendor_id, m3ter=kind) if vendor_id else "")


def page_of(row: Model) -> str:
    """Find the console's page of a row; empty where there is none."""
    try:
        return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=(row.pk,))
    except NoReverseMatch:
        return ""


def list_of(model: type[Model], query: str = "") -> str:
    """Find the console's list of a model, filtered by a query string."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{address}?{query}" if query else address


def row_link(row: Model | None, text: str = "") -> SafeString:
    """Link to a row's page in the console."""
    if row is None:
        return NOTHING
    return format_html('<a href="{}">{}</a>', page_of(row), text or str(row))


def linked(text: str, url: str) -> SafeString:
    """Show a text that leads somewhere; nothing where there is nowhere to go."""
    return format_html('<a href="{}">{}</a>', url, text) if url else format_html("{}", text)


def readable_json(value: Any) -> str:
    """Write data so that people can read it; the template escapes it."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def calls(records: Any) -> SafeString:
    """Show vendor calls: method, path, status, duration and request id of each."""
    if not isinstance(records, list) or not records:
        return NOTHING
    return format_html(
        '<ul class="c-calls">{}</ul>',
        format_html_join("", "<li>{}</li>", ((_call(record),) for record in records if isinstance(record, dict))),
    )


def _call(record: dict[str, Any]) -> SafeString:
    request_id = record.get("request_id") or ""
    return format_html(
        "<code>{} {}</code> {} {}{}",
        record.get("method", ""),
        record.get("path", ""),
        record.get("status") or record.get("outcome") or "no answer",
        f"in {record['duration_ms']} ms" if record.get("duration_ms") is not None else "",
        format_html(" · request {}", copyable(request_id)) if request_id else "",
    )
