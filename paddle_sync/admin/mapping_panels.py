"""Tables of the mappings' pages: what nobody has decided yet, and who uses a mapping."""

from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from integration_project import clock, showing
from integration_project.showing import Panel
from paddle_sync import mappings, subscribed
from paddle_sync.choosing import Names
from paddle_sync.models import AccountPlanLink, PlanMapping, WebhookEvent

MOST_USERS = 100
MOST_UNDECIDED = 25


def undecided(*, may_map: bool) -> Panel | None:
    """Put undecided prices on top, those that most waits for first; None when all is decided."""
    found, beyond = subscribed.undecided(MOST_UNDECIDED)
    if not found:
        return None
    names = Names(each.price_id for each in found)
    rows = [
        (
            names.of(each.price_id),
            showing.paddle_id(each.price_id),
            format_html('<a href="{}">{}</a>', _waiting(each.price_id), each.events) if each.events else "0",
            len(each.subscriptions),
            showing.ago(each.since),
            _map_links(each.price_id, each.product_id) if may_map else "Operators can map it",
        )
        for each in found
    ]
    return Panel(
        "Not mapped yet: nothing is created in m3ter for these",
        ("Price", "Id", "Events waiting", "Live subscriptions", "Since", "Decide"),
        rows,
        empty="",
        note=f"And {beyond} more prices that Paddle sells." if beyond else "",
    )


def users(mapping: PlanMapping) -> Panel:
    """Show the accounts whose plan runs because of a mapping, and how many had it before."""
    found = mappings.users_of(mapping, now=clock.now())
    shown = (*found.running, *found.ended)[:MOST_USERS]
    plans = AccountPlanLink.objects.select_related("link").in_bulk(shown)
    counted = f"{_accounts(len(found.running))} now, {len(found.ended)} ended."
    return Panel(
        "Who uses it",
        ("Account", "Plan in m3ter", "From", "To", "Quantity"),
        [
            (
                showing.row_link(plans[key].link, plans[key].link.name or plans[key].link.m3ter_account_code),
                showing.copyable(plans[key].code),
                showing.at(plans[key].starts_at),
                showing.at(plans[key].ends_at),
                plans[key].quantity,
            )
            for key in shown
            if key in plans
        ],
        empty="No account has a plan because of it yet.",
        note=f"{counted} The newest {MOST_USERS} are shown." if len(shown) == MOST_USERS else counted if shown else "",
    )


def _accounts(count: int) -> str:
    return f"{count} account plan{'' if count == 1 else 's'}"


def _waiting(price_id: str) -> str:
    return showing.list_of(WebhookEvent, urlencode({"waiting_for": "price", "waiting_for_key": price_id}))


def _map_links(price_id: str, product_id: str) -> SafeString:
    form = reverse("admin:paddle_sync_planmapping_add")
    price = urlencode({"paddle_price_id": price_id})
    link = format_html('<a href="{}?{}">Map this price</a>', form, price)
    if not product_id:
        return link
    product = urlencode({"paddle_product_id": product_id})
    return format_html('{} or <a href="{}?{}">its product</a>', link, form, product)
