"""What the bills of a list add up to: those that its filters leave, by currency, however many when asked for."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from billing_bridge.admin import bills
from billing_bridge.models import PushedBill
from tests.builders import make_link
from tests.console.rows import make_bill

pytestmark = pytest.mark.usefixtures("granted")

Browser = Callable[[str], Client]
State = PushedBill.State
LIST = reverse("admin:billing_bridge_pushedbill_changelist")


def test_totals_are_by_currency_and_of_the_filtered_bills_only(browser: Browser) -> None:
    euro, yen = make_link(), make_link(currency="JPY")
    make_bill(euro, total="10.00")
    make_bill(euro, State.PUSHED, total="5.50")
    make_bill(yen, total="700")

    (all_of_them,) = browser("Finance").get(LIST).context["list_panels"]
    (held,) = browser("Finance").get(f"{LIST}?state__exact=held").context["list_panels"]

    assert [(row[0], row[1], str(row[2]), str(row[6])) for row in all_of_them.rows] == [
        ("EUR", 2, '<span class="c-money">15.50 EUR</span>', '<span class="c-money">10.00 EUR</span>'),
        ("JPY", 1, '<span class="c-money">700 JPY</span>', '<span class="c-money">700 JPY</span>'),
    ]
    assert all_of_them.columns == ("Currency", "Bills", "Bill total", "Pushed", "Carried", "Paid", "Difference")
    assert [(row[0], row[1]) for row in held.rows] == [("EUR", 1), ("JPY", 1)]


def test_what_is_carried_is_added_up_too(browser: Browser) -> None:
    link = make_link()
    for _ in range(2):
        make_bill(link, State.CARRIED, total="0.30", carried=30, outstanding=0)

    (totals,) = browser("Finance").get(LIST).context["list_panels"]

    assert str(totals.rows[0][4]) == '<span class="c-money">0.60 EUR</span>'


def test_more_bills_than_are_added_up_at_once_are_when_asked_for(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bills, "MOST_ADDED_UP", 2)
    link = make_link()
    for _ in range(3):
        make_bill(link, total="1.00")
    make_bill(link, State.PUSHED, total="5.00")
    client = browser("Finance")

    page = client.get(f"{LIST}?state__exact=held&p=1")
    (offer,) = page.context["list_panels"]
    answer = client.get(LIST + offer.more.url)
    (totals,) = answer.context["list_panels"]

    assert "More than 2 bills are listed" in page.text
    assert offer.more.url == "?state__exact=held&totals=all"
    assert [(row[1], str(row[2])) for row in totals.rows] == [(3, '<span class="c-money">3.00 EUR</span>')]
    assert "totals" not in [spec.title for spec in answer.context["cl"].filter_specs]
    assert len(answer.context["cl"].result_list) == 3
