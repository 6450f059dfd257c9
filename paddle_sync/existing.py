"""Existing subscriptions: listed from Paddle page by page, each judged, and then taken in as a bulk run.

A page, its place in the list and the claim on the run are stored in one transaction: whoever is killed repeats one
page. Nothing is changed in m3ter before a person has seen what would be.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count, islice
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q

from integration_project import clock
from integration_project.errors import IntegrationError, NotPossible, Permanent
from integration_project.models import Installation
from integration_project.vendors import Vendors
from integration_project.vendors.paddle_classic.entities import ClassicUser
from integration_project.vendors.reading import Json
from paddle_sync import bulk, classic, judging
from paddle_sync.models import BulkItem, BulkRun, WebhookEvent
from paddle_sync.story import CODE_IN_CUSTOM_DATA

State = BulkRun.State
NOT_OVER = ("active", "trialing", "past_due", "paused")
PAGE = 200
JUDGED_TOGETHER = 100
LEASE = timedelta(seconds=60)
"""How long a run stays with whoever prepares it, from page to page."""
TRY_AGAIN = timedelta(seconds=10)
PERSONAL = ("management_urls", "billing_details", "consent_requirements", "next_transaction")
"""Parts of a subscription that may hold personal data, or keys to it; nothing here needs them."""


@dataclass(frozen=True)
class Page:
    """Some subscriptions in Billing's shape, and the cursor that the list goes on from."""

    subscriptions: tuple[Json, ...]
    cursor: str


@dataclass(frozen=True)
class Source:
    """Where existing subscriptions are read from."""

    label: str
    pages: Callable[[Vendors, str, Sequence[str]], Iterator[Page]]
    """Gives the pages after a cursor, of all subscriptions that are not over, or of those with the ids named."""
    is_on: Callable[[], bool] = lambda: True


class LostToAnother(Exception):
    """Somebody else prepares the run by now, or nobody may any more."""


def _of_billing(vendors: Vendors, after: str, only: Sequence[str]) -> Iterator[Page]:
    listed = vendors.paddle.look_through_subscriptions(ids=only, status=NOT_OVER, after=after)
    while page := tuple(islice(listed, PAGE)):
        yield Page(page, str(page[-1]["id"]))


def _of_classic(vendors: Vendors, after: str, only: Sequence[str]) -> Iterator[Page]:
    """Classic's pages have numbers; one that moved on meanwhile is told twice, and stands in the run once."""
    client = classic.client(vendors)
    if only:
        found = [user for subscription_id in only if (user := client.find_user(subscription_id)) is not None]
        yield Page(_in_billings_words([user for user in found if user.state != "deleted"], clock.now()), after)
        return
    for number in count(int(after or 1)):
        read_at = clock.now()
        users = client.page_of_users(number)
        if not users:
            return
        yield Page(_in_billings_words(users, read_at), str(number + 1))


def _in_billings_words(users: Sequence[ClassicUser], read_at: datetime) -> tuple[Mapping[str, Any], ...]:
    cycles = classic.cycles_of(users)
    return tuple(classic.of_user(user, read_at=read_at, cycle=cycles.get(user.plan_id)) for user in users)


SOURCES: Mapping[str, Source] = {
    WebhookEvent.Source.PADDLE: Source("Paddle Billing", _of_billing),
    WebhookEvent.Source.PADDLE_CLASSIC: Source(
        "Paddle Classic", _of_classic, is_on=lambda: bool(settings.PADDLE_CLASSIC_VENDOR_ID)
    ),
}
"""Every list of existing subscriptions there is; a further one is one more row."""


@dataclass(frozen=True)
class Foreseen:
    """One line of a preview: a verdict, what it is about, how many, and a few of them in words."""

    verdict: str
    label: str
    about: str
    count: int
    sample: tuple[BulkItem, ...]


def ask(
    *,
    by: str,
    reason: str,
    source: str = WebhookEvent.Source.PADDLE,
    only: Sequence[str] = (),
    limit: int | None = None,
) -> BulkRun:
    """Make a run that takes in existing subscriptions, to be prepared by whoever comes first."""
    if not SOURCES[source].is_on():
        raise NotPossible(f"{SOURCES[source].label} is off here, so nothing can be read from it.")
    what = "the subscriptions named" if only else "every subscription that is not cancelled"
    title = f"Import from {SOURCES[source].label}: {what}{f', {limit} at most' if limit else ''}"
    params = {"source": source, "only": list(only), "limit": limit}
    run = bulk.create(BulkRun.Kind.IMPORT, title, by=by, reason=reason, params=params)
    bulk.wake_up()
    return run


def look_again(run_id: int, *, by: str, reason: str) -> None:
    """Read the list and judge it anew: mappings, accounts and subscriptions may have changed since it was shown."""
    anew = {"state": State.PREPARING, "cursor": "", "listed_at": None, "lease": None, "lease_until": None, "note": ""}
    with transaction.atomic():
        if not BulkRun.objects.filter(pk=run_id, kind=BulkRun.Kind.IMPORT, state=State.PREVIEWED).update(**anew):
            raise NotPossible("It does not wait for a decision any more, so there is nothing to look at again.")
        BulkItem.objects.filter(run=run_id).delete()
    bulk.wake_up()


def to_prepare() -> list[int]:
    """List the runs that wait for somebody to prepare them."""
    waiting = BulkRun.objects.filter(_unclaimed(clock.now()), kind=BulkRun.Kind.IMPORT, state=State.PREPARING)
    return list(waiting.order_by("pk").values_list("pk", flat=True))


def prepare(
    run_id: int, vendors: Vendors, *, seconds: float = bulk.TURN, told: Callable[[], object] = lambda: None
) -> bool:
    """Read and judge as much as fits into the time; True once there is nothing left to prepare.

    `told` is called after every step. A problem of the vendors is noted at the run, which is tried again later unless
    the problem is final, and comes out of here.
    """
    end = time.monotonic() + seconds
    run = _claim(run_id)
    if run is None:
        return not BulkRun.objects.filter(pk=run_id, state=State.PREPARING).exists()
    try:
        is_through = _list(run, vendors, end, told) and _judge(run, vendors, end, told)
        _hold(run, **({"state": State.PREVIEWED} if is_through else {}), note="", lease=None, lease_until=None)
    except LostToAnother:
        return False
    except IntegrationError as problem:
        _put_off(run, problem)
        raise
    except KeyboardInterrupt:  # whoever runs the command again does not wait for the claim to end
        BulkRun.objects.filter(pk=run.pk, lease=run.lease).update(lease=None, lease_until=None)
        raise
    return is_through


def foreseen(run: BulkRun, *, sample: int = 3) -> list[Foreseen]:
    """Sum up what would become of a run's items, with a few of each."""
    counted = run.items.order_by("verdict", "about").values("verdict", "about").annotate(count=Count("pk"))
    order = [verdict.value for verdict in BulkItem.Verdict]
    return [
        Foreseen(
            each["verdict"],
            str(BulkItem.Verdict(each["verdict"]).label) if each["verdict"] else "Not looked at yet",
            each["about"],
            each["count"],
            tuple(run.items.filter(verdict=each["verdict"], about=each["about"]).order_by("position")[:sample]),
        )
        for each in sorted(counted, key=lambda each: (order.index(each["verdict"]), -each["count"]))
    ]


def to_begin(run: BulkRun) -> int:
    """Say how many items the run would begin."""
    return run.items.filter(outcome=BulkItem.Outcome.WAITING).exclude(verdict__in=bulk.NOTHING_TO_DO).count()


def about_go_live(row: Installation) -> str:
    """Say from when on plans are made, and plainly so where nobody has set a go-live date."""
    if row.charge_from is None:
        return "No go-live date is set: every plan begins with the subscription's current billing period."
    return f"Plans begin with the current billing period, and not before the go-live date, {row.charge_from}."


def kept(data: Mapping[str, Any]) -> dict[str, Any]:
    """A subscription without what may be personal; of its custom data only the account's code."""
    custom = data.get("custom_data")
    code = custom.get(CODE_IN_CUSTOM_DATA) if isinstance(custom, dict) else None
    whole = {name: value for name, value in data.items() if name not in PERSONAL}
    return {**whole, "custom_data": {CODE_IN_CUSTOM_DATA: code} if isinstance(code, str) else None}


# --- Who prepares it --------------------------------------------------------------------------------------------------


def _unclaimed(now: datetime) -> Q:
    return Q(lease_until=None) | Q(lease_until__lte=now)


def _claim(run_id: int) -> BulkRun | None:
    """Take the run on, unless somebody has it, or it needs no preparation any more."""
    now = clock.now()
    lease = {"lease": uuid.uuid4(), "lease_until": now + LEASE}
    if not BulkRun.objects.filter(_unclaimed(now), pk=run_id, state=State.PREPARING).update(**lease):
        return None
    return BulkRun.objects.get(pk=run_id)


def _hold(run: BulkRun, **columns: Any) -> None:
    """Keep the claim, and write columns, if it still is ours."""
    values = {"lease_until": clock.now() + LEASE, **columns}
    if not BulkRun.objects.filter(pk=run.pk, lease=run.lease, state=State.PREPARING).update(**values):
        raise LostToAnother(f"run {run.pk}")
    for name, value in values.items():
        setattr(run, name, value)


def _put_off(run: BulkRun, problem: IntegrationError) -> None:
    """Write down what went wrong, and when it is tried again."""
    ours = BulkRun.objects.filter(pk=run.pk, lease=run.lease, state=State.PREPARING)
    if isinstance(problem, Permanent):
        now = clock.now()
        ours.update(state=State.FAILED, note=str(problem), lease=None, lease_until=None, finished_at=now)
        return
    asked = timedelta(seconds=getattr(problem, "retry_after", None) or 0)
    ours.update(note=str(problem), lease=None, lease_until=clock.now() + max(TRY_AGAIN, asked))


# --- Preparing --------------------------------------------------------------------------------------------------------


def _list(run: BulkRun, vendors: Vendors, end: float, told: Callable[[], object]) -> bool:
    """Store page after page; True once the list was read to its end, or as far as it was to be."""
    if run.listed_at is not None:
        return True
    so_far = run.items.count()
    limit = run.params.get("limit")
    pages = SOURCES[run.params["source"]].pages(vendors, run.cursor, run.params.get("only") or ())
    while limit is None or so_far < limit:
        read_at = clock.now()
        page = next(pages, None)
        if page is None:
            break
        wanted = page.subscriptions if limit is None else page.subscriptions[: limit - so_far]
        entries = [(str(data["id"]), _params(run, data, read_at)) for data in wanted]
        with transaction.atomic():
            so_far = bulk.add(run, entries, after=so_far)
            _hold(run, cursor=page.cursor)
        told()
        if time.monotonic() >= end:
            return False
    _hold(run, listed_at=clock.now())
    return True


def _params(run: BulkRun, data: Mapping[str, Any], read_at: datetime) -> dict[str, Any]:
    return {"source": run.params["source"], "data": kept(data), "read_at": read_at.isoformat()}


def _judge(run: BulkRun, vendors: Vendors, end: float, told: Callable[[], object]) -> bool:
    """Judge a hundred after the other; True once every item has its verdict."""
    unjudged = run.items.filter(verdict=BulkItem.Verdict.NONE).order_by("position")
    while items := list(unjudged[:JUDGED_TOGETHER]):
        _hold(run)
        verdicts = judging.judge([item.params["data"] for item in items], vendors.m3ter)
        for item, seen in zip(items, verdicts, strict=True):
            item.verdict, item.about, item.note = seen.verdict, seen.about[:120], seen.note
        with transaction.atomic():
            BulkItem.objects.bulk_update(items, ["verdict", "about", "note"])
            _hold(run)
        told()
        if time.monotonic() >= end:
            return not unjudged.exists()
    return True
