"""`manage.py serve` under load, its processes killed at random: nothing is lost, stuck or doubled."""

import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import requests
from django.db.models import Q
from pytest_django import Settings

from billing_bridge.models import PushedBill, PushPolicy
from integration_project import clock, installation
from integration_project.models import Installation
from integration_project.vendors import VendorConfig, connect
from integration_project.vendors.http import OpenGate
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.wsgi import WsgiAdapter
from paddle_sync.models import AccountLink, AccountPlanLink, WebhookEvent
from tests.billing_bridge.world import LIVE_SINCE, World
from tests.builders import make_mapping
from tests.kill.live import TOKEN, Product, a_product
from tests.kill.programs import alive, kill, needs_proc, program, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), needs_proc]

FINAL = ("processed", "ignored")
EVENTS_WITHIN = 60.0
"""An event goes on within a minute after the last kill; the calls of a backlog take the rest of the time."""
MOST_CUT_OFF = 4
"""Kills that may hit the moment between noting that a charge is sent and sending it; more would mean a fault."""
KILLED_WHILE_STARTING = 0.05
"""How likely it is, each time we look, that a product that is just starting may be killed too."""
CHARGES_WITHIN = 300.0
"""A charge in flight is unconfirmed within three minutes, and looked for soon after that."""


def go_live(product: Product, settings: Settings) -> None:
    """Decide what people decide before the first day: the mapping, the go-live date, charging without review."""
    settings.PADDLE_API_URL, settings.M3TER_API_URL = product.paddle.url, product.m3ter.url
    settings.M3TER_ORG_ID = m3ter_sample.ORG_ID
    installation.current()
    Installation.objects.update(charge_from=LIVE_SINCE, native_integration_checked_at=clock.now())
    for price_id in (paddle_sample.PRICE_CLOUD_EUR, paddle_sample.PRICE_CLOUD_USD):
        make_mapping(price_id)
    PushPolicy.objects.update_or_create(link=None, defaults={"review": "never"})


def approved_bills(product: Product, count: int) -> list[str]:
    """Let so many linked subscriptions exist, each with a bill that m3ter has approved."""
    paddle, m3ter = product.simulators
    config = VendorConfig(
        paddle_api_url="http://127.0.0.1",
        paddle_api_key=paddle_sample.API_KEY,
        m3ter_api_url="http://127.0.0.1",
        m3ter_ingest_url="http://127.0.0.1",
        m3ter_org_id=m3ter_sample.ORG_ID,
        m3ter_access_key_id=m3ter_sample.ACCESS_KEY_ID,
        m3ter_api_secret=m3ter_sample.API_SECRET,
        m3ter_external_system="PaddleBridge",
    )
    mounted = {"paddle": WsgiAdapter(paddle), "m3ter": WsgiAdapter(m3ter)}
    world = World(paddle, m3ter, connect(config, gate_for=lambda vendor: OpenGate(), transports=mounted))
    bills = []
    for number in range(count):
        _, account_id = world.subscribe(email=f"old-{number}@example.com")
        bills.append(world.make_bill(account_id=account_id))
    return bills


def check_out(product: Product, number: int) -> str:
    """Let one more buyer subscribe."""
    paddle, _ = product.simulators
    bought = paddle.complete_checkout(
        email=f"buyer-{number}@example.com", items=[{"price_id": paddle_sample.PRICE_CLOUD_EUR, "quantity": 1}]
    )
    return str(bought["subscription_id"])


def unfinished() -> Counter[str]:
    events = WebhookEvent.objects.exclude(state__in=FINAL).values_list("event_type", "state", "note", "last_error")
    return Counter(" ".join(map(str, event)) for event in events)


def unsettled(product: Product) -> Counter[str]:
    """Bills that are neither charged nor, after a look, known to have been cut off before the request went out.

    The latter are looked for by a schedule that takes longer than a test, and end with a person.
    """
    arrived = charges(product)
    waiting = [
        bill
        for bill in PushedBill.objects.filter(~Q(state="pushed") | Q(lease__isnull=False) | Q(due_at__isnull=False))
        if not (bill.state == "unconfirmed" and bill.looks > 0 and not arrived[f"{bill.m3ter_bill_id}-1"])
    ]
    return Counter(f"{bill.state} {bill.reason} {bill.reason_detail} {bill.last_error}" for bill in waiting)


def charges(product: Product) -> Counter[str]:
    """Count how often Paddle accepted each push."""
    paddle, _ = product.simulators
    return Counter(push_id for charge in list(paddle.charges) for push_id in charge.push_ids)


def everything_is_there_once(product: Product, subscriptions: list[str], bills: list[str]) -> None:
    """Look at the vendors: each subscription one account with one plan, each bill one charge."""
    held = product.simulators[1].state()
    accounts = Counter(account["code"] for account in held["accounts"])
    plans = Counter(plan["accountId"] for plan in held["account_plans"])
    links = {link.paddle_subscription_id: link for link in AccountLink.objects.all()}

    assert {code: accounts[code] for code in subscriptions} == dict.fromkeys(subscriptions, 1)
    assert set(subscriptions) <= set(links)
    assert [code for code in subscriptions if plans[links[code].m3ter_account_id] != 1] == []
    ours = AccountPlanLink.objects.filter(link__paddle_subscription_id__in=subscriptions)
    assert ours.count() == len(subscriptions)
    pushed = set(PushedBill.objects.filter(state="pushed").values_list("m3ter_bill_id", flat=True))
    assert charges(product) == Counter(f"{bill}-1" for bill in pushed)
    assert {bill["id"] for bill in held["bills"] if bill["locked"]} == pushed
    cut_off = set(bills) - pushed
    assert len(cut_off) <= MOST_CUT_OFF
    print(f"{len(pushed)} bills charged; {len(cut_off)} cut off before the request, unconfirmed until a person decides")


def nothing_was_refused_for_its_rate(product: Product) -> None:
    paddle, m3ter = product.simulators
    assert [call for simulator in (paddle, m3ter) for call in simulator.calls if call.status == 429] == []


def run_under_fire(product: Product, *, kills: int, buyers: int, pause: tuple[float, float]) -> list[str]:
    """Let buyers come while processes die; give the subscriptions."""
    subscriptions: list[str] = []
    chance = product.chance
    next_kill = time.monotonic() + chance.uniform(*pause)
    while len(product.kills) < kills or len(subscriptions) < buyers:
        product.keep_running()
        if len(subscriptions) < buyers:
            subscriptions.append(check_out(product, len(subscriptions)))
        if not product.is_whole() and chance.random() > KILLED_WHILE_STARTING:
            next_kill = time.monotonic() + chance.uniform(*pause)
        if time.monotonic() >= next_kill and len(product.kills) < kills:
            product.kill_one()
            next_kill = time.monotonic() + chance.uniform(*pause)
        time.sleep(chance.uniform(0.1, 0.6))
    product.keep_running()
    return subscriptions


def survives(
    folder: Path,
    settings: Settings,
    *,
    seed: int,
    kills: int,
    buyers: int,
    bills: int,
    pause: tuple[float, float],
    charges_take: float = 0.0,
) -> None:
    """Run the whole test with one seed."""
    with a_product(folder, seed=seed) as product:
        if charges_take:
            product.simulators[0].fault("charge subscription", "slow", times=None, seconds=charges_take)
        go_live(product, settings)
        approved = approved_bills(product, bills)
        product.connect_webhooks()
        unsent = len(product.simulators[0].events)
        product.start()
        product.wait_until_ready()

        subscriptions = run_under_fire(product, kills=kills, buyers=buyers, pause=pause)

        print(f"seed {seed}: killed {', '.join(product.kills)}; serve was started {product.starts} times")
        paddle, _ = product.simulators
        product.wait_until_ready()
        wait_until(
            lambda: WebhookEvent.objects.filter(source="paddle").count() >= len(paddle.events) - unsent,
            within=120,
            what="events that Paddle has sent",
        )
        wait_until(lambda: not unfinished(), within=EVENTS_WITHIN + buyers, what=unfinished)
        wait_until(
            lambda: PushedBill.objects.count() == len(approved) and not unsettled(product),
            within=CHARGES_WITHIN,
            what=lambda: unsettled(product),
        )
        everything_is_there_once(product, subscriptions, approved)
        nothing_was_refused_for_its_rate(product)
        assert product.orphans() == []


@pytest.mark.postgres
@pytest.mark.timeout(600)
def test_serve_survives_twenty_kills(tmp_path: Path, settings: Settings) -> None:
    survives(tmp_path, settings, seed=20, kills=20, buyers=50, bills=8, pause=(1.0, 4.0))


@pytest.mark.chaos
@pytest.mark.postgres
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(1, 4))
def test_serve_survives_sixty_kills_with_slow_charges(tmp_path: Path, settings: Settings, seed: int) -> None:
    survives(tmp_path, settings, seed=seed, kills=60, buyers=150, bills=30, pause=(0.5, 6.0), charges_take=3.0)


@pytest.mark.timeout(240)
def test_serve_starts_again_what_ends_masks_tokens_and_stops_in_order(tmp_path: Path, settings: Settings) -> None:
    with a_product(tmp_path, seed=0) as product:
        go_live(product, settings)
        product.connect_webhooks()
        product.start()
        product.wait_until_ready()
        requests.post(f"{product.url}/webhooks/m3ter/{TOKEN}/", json={"type": "unknown"}, timeout=10)
        main = product.main
        assert main is not None
        everything = product.processes()

        for pid in everything[1:3]:  # the web server and the worker, each with its children
            product.seen.update(product.processes())
            kill(pid)
        wait_until(lambda: "starts again" in product.said(), what="noticing the end of the programs")
        wait_until(lambda: product.said().count("is running.") == 2, within=60, what="the second worker")
        product.wait_until_ready()
        check_out(product, 1)
        wait_until(lambda: AccountLink.objects.exists(), what="the account")
        everything = product.processes()
        for pid in everything:  # as systemd does: every process of the service at once
            kill(pid, signal.SIGTERM)

        assert main.wait(60) == 0
        assert alive(everything) == []
        assert product.orphans() == []
    said = product.said()
    assert "serve  | Stopped." in said
    assert "web    | " in said
    assert "/webhooks/m3ter/***/" in said
    assert "kkkkkkkk" not in said


def test_serve_refuses_settings_that_cannot_work(tmp_path: Path, settings: Settings) -> None:
    bad = {"TEST_PADDLE_API_URL": "https://api.paddle.com"}
    with program("manage.py", "serve", log=tmp_path / "log", environment=bad) as process:
        assert process.wait(30) != 0

    assert "the demo and the tests talk to this machine only" in (tmp_path / "log").read_text()
