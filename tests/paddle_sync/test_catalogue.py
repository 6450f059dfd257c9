"""Both vendors' catalogues, kept for the mapping pages."""

import pytest

from integration_project import clock
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.m3ter.simulator import sample as m3ter_sample
from integration_project.vendors.paddle.simulator import sample as paddle_sample
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator
from integration_project.vendors.paddle_classic.simulator import sample as classic_sample
from paddle_sync import catalogue, jobs
from paddle_sync.models import CatalogueEntry

pytestmark = pytest.mark.django_db


def entry(kind: str, vendor_id: str) -> CatalogueEntry:
    return CatalogueEntry.objects.get(kind=kind, vendor_id=vendor_id)


def test_prices_say_what_they_cost_and_how_often(vendors: Vendors) -> None:
    catalogue.refresh(vendors)

    price = entry("paddle_price", paddle_sample.PRICE_CLOUD_EUR)
    assert (price.name, price.parent_id, price.currency) == ("Gauge Cloud, Monthly", paddle_sample.PRODUCT_CLOUD, "EUR")
    assert (price.interval, price.active, price.data["amount"]) == ("every month", True, "4900")
    assert entry("paddle_price", paddle_sample.PRICE_SETUP_EUR).interval == "once"
    assert entry("paddle_product", paddle_sample.PRODUCT_CLOUD).name == "Gauge Cloud"


def test_plans_say_what_their_product_currency_and_frequency_are(vendors: Vendors) -> None:
    catalogue.refresh(vendors)

    plan = entry("m3ter_plan", m3ter_sample.PLAN_SCALE)
    group = entry("m3ter_plan_group", m3ter_sample.GROUP_BUNDLE)
    assert (plan.parent_id, plan.currency, plan.interval) == (m3ter_sample.PRODUCT_CLOUD, "USD", "every month")
    assert group.data["product_ids"] == sorted([m3ter_sample.PRODUCT_CLOUD, m3ter_sample.PRODUCT_SEATS])
    assert entry("m3ter_product", m3ter_sample.PRODUCT_CLOUD).code == "gauge-cloud"


def test_counters_say_what_they_count(vendors: Vendors) -> None:
    catalogue.refresh(vendors)

    counter = entry("m3ter_counter", m3ter_sample.COUNTER_SEATS)
    assert (counter.name, counter.code, counter.parent_id) == ("Seats", "seats", m3ter_sample.PRODUCT_SEATS)
    assert (counter.data, counter.active) == ({"unit": "seats"}, True)


def test_meters_say_what_their_measurements_carry(vendors: Vendors) -> None:
    catalogue.refresh(vendors)

    meter = entry("m3ter_meter", m3ter_sample.METER)
    assert (meter.name, meter.code, meter.parent_id) == ("API calls", "api_calls", m3ter_sample.PRODUCT_CLOUD)
    assert (meter.currency, meter.interval, meter.active) == ("", "", True)
    assert meter.data == {
        "fields": [
            {"code": "calls", "category": "MEASURE", "unit": "calls"},
            {"code": "endpoint", "category": "WHAT", "unit": ""},
        ],
        "derived": [],
    }


def test_a_meter_that_is_gone_is_marked(vendors: Vendors, m3ter: M3terSimulator) -> None:
    catalogue.refresh(vendors)
    m3ter.memory.meters.clear()

    catalogue.refresh(vendors)

    assert entry("m3ter_meter", m3ter_sample.METER).active is False


def test_what_is_no_longer_listed_stays_and_is_marked(vendors: Vendors) -> None:
    first = catalogue.refresh(vendors)
    CatalogueEntry.objects.create(kind="paddle_price", vendor_id="pri_gone", name="Gone", seen_at=clock.now())

    second = catalogue.refresh(vendors)

    assert (first.gone, second.gone) == (0, 1)
    assert entry("paddle_price", "pri_gone").active is False
    assert entry("paddle_price", paddle_sample.PRICE_CLOUD_EUR).active is True
    assert CatalogueEntry.objects.count() == first.paddle + first.m3ter + 1


def test_the_job_says_what_it_found(vendors: Vendors) -> None:
    words = jobs.refresh_catalogue()

    assert words.startswith("Paddle lists ")


def test_plans_of_classic_are_listed_as_prices_where_classic_is_on(classic: ClassicSimulator, vendors: Vendors) -> None:
    catalogue.refresh(vendors)

    plan = entry("paddle_price", str(classic_sample.PLAN_TEAM_YEARLY))
    assert (plan.name, plan.interval, plan.currency, plan.parent_id) == ("Gauge Team, yearly", "every year", "", "")
    prices = {"EUR": "290.00", "GBP": "290.00", "USD": "296.00"}
    assert plan.data == {"classic": True, "prices": prices, "cycle": [1, "year"]}


def test_without_classic_nothing_of_it_is_listed(vendors: Vendors) -> None:
    catalogue.refresh(vendors)

    assert vendors.classic is None
    assert not CatalogueEntry.objects.filter(data__classic=True).exists()
