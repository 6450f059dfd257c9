"""Whatever a subscription lives through, and however its events reach us, m3ter ends as a small model says."""

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.test import Client

from integration_project import clock, work
from integration_project.events import HANDLERS
from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync.models import WebhookEvent
from paddle_sync.processing import process_event
from paddle_sync.queues import EVENTS
from tests.builders import post_notification
from tests.paddle_sync import histories
from tests.paddle_sync.histories import Life

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

SEEDS = range(60)
ENTITIES = ("subscription.", "customer.", "address.", "business.")


class Post:
    """Delivers events late, twice and in any order, and lets the worker run now and then."""

    def __init__(self, client: Client, paddle: PaddleSimulator, vendors: Vendors, chance: random.Random) -> None:
        self.client, self.paddle, self.vendors, self.chance = client, paddle, vendors, chance
        self.seen = 0
        self.waiting: list[dict[str, Any]] = []
        self.delivered: list[dict[str, Any]] = []

    def collect(self) -> None:
        """Take over what happened since the last time."""
        new = self.paddle.events[self.seen :]
        self.seen = len(self.paddle.events)
        self.waiting += [event for event in new if str(event["event_type"]).startswith(ENTITIES)]

    def deliver(self, how_many: int) -> None:
        """Deliver some of what waits, in any order, and some of it again."""
        for _ in range(min(how_many, len(self.waiting))):
            self.delivered.append(self.waiting.pop(self.chance.randrange(len(self.waiting))))
            self._post(self.delivered[-1])
        if self.delivered and self.chance.random() < 0.3:
            self._post(self.chance.choice(self.delivered))

    def work(self) -> None:
        """Run what is due, as a worker would."""
        work.drain(EVENTS, partial(process_event, vendors=self.vendors, handlers=HANDLERS), seconds=60)

    def wait(self) -> None:
        """Let the waits of what is to be tried again be over."""
        WebhookEvent.objects.filter(state="received").update(due_at=clock.now())

    def _post(self, event: dict[str, Any]) -> None:
        assert post_notification(self.client, {**event, "notification_id": "ntf_1"}).status_code == 200


@pytest.fixture
def live(
    client: Client, paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors
) -> Callable[[int], tuple[Life, Post]]:
    """Live a whole life by a seed; some of its events arrive on the way, while Paddle knows no better yet."""
    paddle.rate_limit.limit = None
    m3ter.limit_requests(None)

    def by(seed: int) -> tuple[Life, Post]:
        chance = random.Random(-1 - seed)
        post = Post(client, paddle, vendors, chance)
        life = begun(paddle, seed)
        while True:
            post.collect()
            if chance.random() < 0.6:
                post.deliver(chance.randint(1, 4))
                post.work()
            if not life.goes_on():
                return life, post

    return by


def begun(paddle: PaddleSimulator, seed: int) -> Life:
    """A life that begins in the past, where every event is old and Paddle is asked, or where each is believed."""
    chance = random.Random(seed)
    paddle.clock_set(dt.datetime.now(dt.UTC) + dt.timedelta(days=-900 if chance.random() < 0.6 else 2))
    life = Life(paddle, chance)
    life.begin(chance.choice(["create", "create", "trial"]))
    return life


def test_each_kind_of_change_is_in_at_least_a_tenth_of_the_histories(paddle: PaddleSimulator) -> None:
    paddle.rate_limit.limit = None
    histories_with: Counter[str] = Counter()

    for seed in SEEDS:
        paddle.reset()
        life = begun(paddle, seed)
        while life.goes_on():
            pass
        histories_with.update(life.lived.keys())

    assert {kind: histories_with[kind] for kind in histories.KINDS if histories_with[kind] < len(SEEDS) / 10} == {}


WRITES = (
    "create account",
    "update account",
    "create account plan",
    "update account plan",
    "replace account plan",
    "delete account plan",
    "create external mapping",
    "create counter adjustment",
    "update counter adjustment",
    "end account billing entities",
)
WRONG = ("lose_answer", "error_before", "error_after")


@pytest.mark.parametrize("seed", range(100, 120))
def test_lost_answers_and_errors_on_the_way_end_as_the_model_says(
    m3ter: M3terSimulator, live: Callable[[int], tuple[Life, Post]], seed: int
) -> None:
    histories.decide_everything()
    life, post = live(seed)

    while post.waiting:
        m3ter.fault(post.chance.choice(WRITES), post.chance.choice(WRONG))
        post.deliver(post.chance.randint(1, 5))
        post.work()
        post.wait()
    m3ter.clear_faults()
    for _ in range(10):
        post.wait()
        post.work()

    story = "\n".join(life.told)
    assert histories.found(m3ter) == histories.expected(life), story
    undone = WebhookEvent.objects.exclude(state__in=("processed", "ignored"))
    assert list(undone.values_list("event_type", "state", "note")) == [], story


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(1000, 3000))
def test_any_order_of_many_more_histories_ends_as_its_model_says(
    m3ter: M3terSimulator, live: Callable[[int], tuple[Life, Post]], seed: int
) -> None:
    test_any_order_of_any_history_ends_as_its_model_says(m3ter, live, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_order_of_any_history_ends_as_its_model_says(
    m3ter: M3terSimulator, live: Callable[[int], tuple[Life, Post]], seed: int
) -> None:
    histories.decide_everything()

    life, post = live(seed)
    while post.waiting:
        post.deliver(post.chance.randint(1, 5))
        post.work()
    post.work()

    story = "\n".join(life.told)
    assert histories.found(m3ter) == histories.expected(life), story
    undone = WebhookEvent.objects.exclude(state__in=("processed", "ignored"))
    assert list(undone.values_list("event_type", "state", "note")) == [], story
    kinds = set(Finding.objects.filter(state="open").values_list("kind", flat=True))
    assert kinds <= {"change scheduled"}, story
