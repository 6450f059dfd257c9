"""One loop from checkout to payment, told step by step; each step is read back from the vendors before the next."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.core.management.base import OutputWrapper

from billing_bridge import money, review
from billing_bridge.models import PushedBill
from integration_project import api_keys, clock, connections, installation
from integration_project.demo.calendar import Days, noon
from integration_project.demo.controls import Controls, connect_webhooks, without_proxy
from integration_project.demo.people import Login, let_in
from integration_project.errors import NotPossible
from integration_project.models import ApiKey, Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from paddle_sync import catalogue, mappings
from paddle_sync.models import AccountLink, PlanMapping, UsageBatch, WebhookEvent

PATIENCE_SECONDS = 60
TURN_SECONDS = 0.1
CALLS_A_DAY = 420
USAGE_PATH = "/api/v1/usage/measurements/"
ROW = "  {:<9} {:<7} {}"
Found = TypeVar("Found")


class NotThere(Exception):
    """A step did not happen; the text says what was awaited and what is there instead."""


@dataclass
class Story:
    """What has happened so far."""

    vendors: Vendors
    paddle: Controls
    m3ter: Controls
    days: Days
    say: Callable[[str], None]
    api_key: str = ""
    """The key of the company's own program, which sends usage."""

    def note(self, step: str, where: str, what: str) -> None:
        """Say a step that was proved: a row of the table."""
        self.say(ROW.format(step, where, what))


def tell(out: OutputWrapper, *, once: bool) -> int:
    """Run the loop and print what happened where; returns the exit status."""

    def say(text: str) -> None:
        out.write(text)
        out.flush()

    logging.getLogger("integration_project").setLevel(logging.WARNING)  # the calls are in the vendors' logs
    logins = let_in()
    with connections.open_vendors("import") as vendors:
        days = Days.around(clock.now())
        story = Story(vendors, Controls(settings.PADDLE_API_URL), Controls(settings.M3TER_API_URL), days, say)
        try:
            link = run(story)
            if not once:
                leave_something_to_do(story)
        except NotThere as missing:
            say(f"\nFAILED: {missing}")
            return 1
    say("\nEvery step was read back from the simulated vendors.")
    if not once:
        say(invitation(logins, story.api_key, link))
    return 0


def run(story: Story) -> AccountLink:
    """From checkout to payment; gives the customer's link."""
    story.say("\n" + ROW.format("STEP", "WHERE", "WHAT WAS READ BACK THERE"))
    prepare(story)
    link = check_out(story)
    use(story, link)
    bill_id = bill(story, link)
    charge(story, link, bill_id)
    renew(story, link, bill_id)
    return link


def prepare(story: Story) -> None:
    """Connect the webhooks, read the catalogues, and decide what operators and Finance decide."""
    classic = Controls(settings.PADDLE_CLASSIC_API_URL)
    token = settings.M3TER_WEBHOOK_TOKENS[0]
    connect_webhooks(story.paddle, classic, story.m3ter, site=settings.SITE_URL, token=token)
    row = installation.current()
    installation.read_organization(row, story.vendors.m3ter)
    catalogue.refresh(story.vendors)
    mapping = PlanMapping(
        paddle_price_id=paddle_sample.PRICE_CLOUD_EUR,
        effective_from=story.days.checkout_at.date(),
        target=PlanMapping.Target.PLAN,
        m3ter_plan_id=m3ter_sample.PLAN_SCALE,
        note="mapped by the demo",
    )
    mapping.full_clean()
    mapping.save()
    mappings.saved(mapping, by="operator")
    Installation.objects.filter(pk=row.pk).update(lead_days=story.days.lead_days)
    review.set_charge_from(story.days.checkout_at.date(), by="finance", reason="The demo goes live on its first day.")
    story.note("mapping", "here", f"{paddle_sample.PRICE_CLOUD_EUR} is m3ter plan {m3ter_sample.PLAN_SCALE}")


def check_out(story: Story) -> AccountLink:
    """A buyer checks out in Paddle; an account with its plan appears in m3ter."""
    at_both(story, lambda vendor: vendor.do("clock_set", moment=story.days.checkout_at.isoformat()))
    bought = story.paddle.do(
        "complete_checkout",
        email="accounts@harbour.example",
        name="Harbour Tools Ltd",
        items=[{"price_id": paddle_sample.PRICE_CLOUD_EUR, "quantity": 1}],
    )
    subscription_id = bought["subscription_id"]
    subscription = story.vendors.paddle.get_subscription(subscription_id)
    story.note(
        "checkout", "Paddle", f"{subscription.id} is {subscription.status}, renews {subscription.next_billed_at:%d %B}"
    )
    link = wait_for(
        lambda: AccountLink.objects.filter(paddle_subscription_id=subscription_id, plans__isnull=False).first(),
        lambda: f"the account of {subscription_id}; its events are {events_of(subscription_id)}",
    )
    account = story.vendors.m3ter.get_account(link.m3ter_account_id)
    require(account.code == subscription_id, f"m3ter account {account.id} has code {account.code}")
    story.note(
        "account", "m3ter", f"{account.id}, code {account.code}, {account.currency}, bills from {account.bill_epoch}"
    )
    plans = story.vendors.m3ter.list_account_plans(account.id)
    require(len(plans) == 1, f"m3ter account {account.id} has {len(plans)} plans instead of one")
    story.note("plan", "m3ter", f"{plans[0].plan_id} from {plans[0].start_date:%d %B %Y}")
    return link


def use(story: Story, link: AccountLink) -> None:
    """The company measures what its customer used, day by day, and sends it here by the REST API."""
    measurements = [
        {
            "paddle_subscription_id": link.paddle_subscription_id,
            "uid": f"calls-{day}",
            "meter": m3ter_sample.METER_API_CALLS,
            "ts": noon(day).isoformat(),
            "values": {"calls": CALLS_A_DAY},
        }
        for day in story.days.usage_days
    ]
    at_both(story, lambda vendor: vendor.do("clock_set", moment=story.days.now.isoformat()))
    scopes = [ApiKey.Scope.USAGE_WRITE, ApiKey.Scope.USAGE_READ]
    story.api_key = api_keys.make("Demo product", scopes=scopes, by="admin").text
    answer = without_proxy().post(
        f"{settings.SITE_URL}{USAGE_PATH}",
        json={"measurements": measurements},
        headers={"Authorization": f"Bearer {story.api_key}"},
        timeout=PATIENCE_SECONDS,
    )
    accepted = answer.json().get("accepted")
    require(accepted == len(measurements), f"of {len(measurements)} measurements, the API said: {answer.text[:500]}")
    wait_for(
        lambda: UsageBatch.objects.filter(state=UsageBatch.State.SENT).first(),
        lambda: f"the usage to be sent; its batches are {list(UsageBatch.objects.values_list('state', 'last_error'))}",
    )
    total = CALLS_A_DAY * len(measurements)
    story.m3ter.do("process_measurements")
    kept = [each for each in story.m3ter.state()["measurements"] if each["account"] == link.m3ter_account_code]
    require(len(kept) == len(measurements), f"m3ter kept {len(kept)} measurements of {len(measurements)}")
    story.note("usage", "m3ter", f"{total:,} calls in {len(kept)} measurements of {link.m3ter_account_code}")


def bill(story: Story, link: AccountLink) -> str:
    """m3ter bills the period that ended today; somebody there approves the bill."""
    story.m3ter.do("run_bill_job", account_ids=[link.m3ter_account_id], bill_date=story.days.now.date().isoformat())
    bills = list(story.vendors.m3ter.list_bills(account_id=link.m3ter_account_id))
    require(len(bills) == 1, f"m3ter has {len(bills)} bills of {link.m3ter_account_code} instead of one")
    story.m3ter.do("approve_bill", bill_id=bills[0].id)
    approved = story.vendors.m3ter.get_bill(bills[0].id)
    require(approved.is_approved, f"m3ter bill {approved.id} is {approved.status}")
    period = f"{approved.start_date} to {approved.end_date}"
    story.note("bill", "m3ter", f"{approved.id}: {approved.total} {approved.currency} for {period}, {approved.status}")
    return approved.id


def charge(story: Story, link: AccountLink, bill_id: str) -> None:
    """Finance approves the bill here; it becomes one charge on the subscription, and is locked in m3ter."""
    wait_for_state(bill_id, PushedBill.State.HELD)
    row = PushedBill.objects.get(m3ter_bill_id=bill_id)
    try:
        review.approve(row.pk, by="finance", reason="Looked at in the demo.")
    except NotPossible as refusal:
        raise NotThere(f"bill {bill_id} could not be approved: {refusal}") from refusal
    story.note("review", "here", f"{bill_id} approved by finance")
    wait_for_state(bill_id, PushedBill.State.PUSHED)
    push_id = f"{bill_id}-1"
    charged = [
        entry
        for entry in story.vendors.paddle.subscription_history(link.paddle_subscription_id)
        if push_id in entry.push_ids
    ]
    require(len(charged) == 1, f"Paddle's history has {len(charged)} charges with push id {push_id} instead of one")
    amount = money.words(charged[0].amount_of(push_id), link.currency)
    story.note("charge", "Paddle", f"{push_id}: {amount}, to be collected with the next renewal")
    locked = wait_for(
        lambda: next((each for each in (story.vendors.m3ter.get_bill(bill_id),) if each.locked), None),
        lambda: f"the lock of bill {bill_id} in m3ter",
    )
    story.note("lock", "m3ter", f"{locked.id} is locked, version {locked.version}")
    table = wait_for(
        lambda: next(iter(story.vendors.m3ter.external_mappings_of(entity="Bill", m3ter_id=bill_id)), None),
        lambda: f"the mapping of bill {bill_id} in m3ter",
    )
    story.note("mapping", "m3ter", f"bill {bill_id} is {table.external_table} {table.external_id}")


def renew(story: Story, link: AccountLink, bill_id: str) -> None:
    """The calendar moves on; Paddle renews the subscription and collects the charge with it."""
    subscription = story.vendors.paddle.get_subscription(link.paddle_subscription_id)
    renews_at: datetime = subscription.next_billed_at or story.days.now
    at_both(story, lambda vendor: vendor.do("clock_set", moment=(renews_at + timedelta(minutes=5)).isoformat()))
    story.paddle.do("run_renewals")
    push_id = f"{bill_id}-1"
    carrying = [
        transaction
        for transaction in story.vendors.paddle.list_transactions(subscription_id=subscription.id)
        if push_id in transaction.push_ids
    ]
    require(len(carrying) == 1, f"{len(carrying)} Paddle transactions carry {push_id} instead of one")
    story.note("renewal", "Paddle", f"{carrying[0].id} carries {push_id} and is {carrying[0].status}")
    paid = wait_for(
        lambda: PushedBill.objects.filter(m3ter_bill_id=bill_id, payment=PushedBill.Payment.PAID).first(),
        lambda: f"the payment of bill {bill_id}; its row says {PushedBill.objects.get(m3ter_bill_id=bill_id).payment}",
    )
    amount = carrying[0].amount_of(push_id)
    require(paid.paid == paid.payable == amount, f"paid {paid.paid}, payable {paid.payable}, collected {amount}")
    words = f"{money.words(paid.paid, paid.currency)} of {money.words(paid.payable, paid.currency)}"
    story.note("payment", "here", f"{words} paid by the customer")


def leave_something_to_do(story: Story) -> None:
    """A second checkout, of a price that nobody has mapped: the operator's first task."""
    waiting = story.paddle.do(
        "complete_checkout",
        email="office@quay.example",
        name="Quay Street Studio",
        items=[{"price_id": paddle_sample.PRICE_INSIGHTS_EUR, "quantity": 1}],
    )
    subscription_id = waiting["subscription_id"]
    wait_for(
        lambda: WebhookEvent.objects.filter(
            paddle_subscription_id=subscription_id, state=WebhookEvent.State.PARKED
        ).first(),
        lambda: f"the parked event of {subscription_id}; its events are {events_of(subscription_id)}",
    )
    story.note("to do", "here", f"{subscription_id} waits for a mapping of {paddle_sample.PRICE_INSIGHTS_EUR}")


def invitation(logins: tuple[Login, ...], api_key: str, link: AccountLink) -> str:
    """Tell the reader where to go."""
    lines = [
        "",
        f"The console runs at {settings.SITE_URL}/admin/",
        *(f"  {login.name:<9} {login.password}   ({login.role})" for login in logins),
        "",
        f"Play the buyer and the calendar at {settings.PADDLE_API_URL}/_control/",
        f"Paddle Classic is simulated at     {settings.PADDLE_CLASSIC_API_URL}/_control/",
        f"Play m3ter's side at               {settings.M3TER_API_URL}/_control/",
        "",
        "Send usage as the company's program does (README, Usage: quick starts):",
        f"  export USAGE_URL={settings.SITE_URL}{USAGE_PATH}",
        f"  export USAGE_KEY={api_key}",
        f"  export SUBSCRIPTION={link.paddle_subscription_id}",
        "",
        "Press Ctrl-C to stop. Everything is thrown away then.",
    ]
    return "\n".join(lines)


def at_both(story: Story, act: Callable[[Controls], Any]) -> None:
    """Do the same at both vendors: they share a calendar."""
    act(story.paddle)
    act(story.m3ter)


def wait_for_state(bill_id: str, state: PushedBill.State) -> None:
    """Wait until the bill is in a state."""
    wait_for(
        lambda: PushedBill.objects.filter(m3ter_bill_id=bill_id, state=state).first(),
        lambda: f"bill {bill_id} to be {state}; it is {state_of(bill_id)}",
    )


def wait_for(look: Callable[[], Found | None], what: Callable[[], str]) -> Found:
    """Look until it is there, or say what was awaited and what is there instead."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(TURN_SECONDS)
    raise NotThere(f"waited {PATIENCE_SECONDS} seconds for {what()}")


def require(condition: bool, otherwise: str) -> None:
    """Stop the story when the vendors do not say what they should."""
    if not condition:
        raise NotThere(otherwise)


def events_of(subscription_id: str) -> str:
    """What became of a subscription's events, in a line."""
    events = WebhookEvent.objects.filter(paddle_subscription_id=subscription_id).order_by("pk")
    return "; ".join(f"{event.event_type} {event.state} {event.note or event.last_error}" for event in events) or "none"


def state_of(bill_id: str) -> str:
    """What is known of a bill, in a line."""
    row = PushedBill.objects.filter(m3ter_bill_id=bill_id).first()
    return f"{row.state} {row.reason}: {row.reason_detail or row.last_error}" if row else "not here"
