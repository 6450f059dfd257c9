"""What a database belongs to: pinned once, compared ever after; and the organisation's time zone."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from pytest_django import Settings

from integration_project import installation, jobs
from integration_project.errors import VendorClosed
from integration_project.models import Installation
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.wsgi import WsgiAdapter

pytestmark = pytest.mark.django_db


def test_the_first_start_pins_what_this_database_belongs_to(settings: Settings) -> None:
    settings.M3TER_ORG_ID = "organisation-1"

    row = installation.current()

    assert (row.paddle_environment, row.m3ter_org_id) == ("sandbox", "organisation-1")
    assert (row.paddle_api_url, row.m3ter_api_url) == (settings.PADDLE_API_URL, settings.M3TER_API_URL)
    assert (row.lead_days, row.charge_from) == (2, None)
    assert installation.mismatches(row) == ()


@pytest.mark.parametrize("name", ["PADDLE_ENVIRONMENT", "PADDLE_API_URL", "M3TER_API_URL", "M3TER_ORG_ID"])
def test_another_value_later_is_a_mismatch_and_is_not_taken_over(settings: Settings, name: str) -> None:
    installation.current()
    setattr(settings, name, "http://127.0.0.1:9")

    row = installation.current()

    assert len(installation.mismatches(row)) == 1
    assert name in installation.mismatches(row)[0]
    with pytest.raises(VendorClosed, match=name):
        installation.require_match(row)
    assert Installation.objects.count() == 1


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("Europe/Berlin", ZoneInfo("Europe/Berlin")),
        ("UTC", ZoneInfo("UTC")),
        ("Mars/Olympus", None),
        ("", None),
        ("../../etc/passwd", None),
        ("Europe/Berlin\0", None),
    ],
)
def test_only_time_zones_that_exist_are_known(name: str, zone: dt.tzinfo | None) -> None:
    assert installation.named_zone(name) == zone


def test_the_job_reads_the_organisations_time_zone(
    vendors: Vendors, m3ter: M3terSimulator, adapters: dict[str, WsgiAdapter]
) -> None:
    words = jobs.read_organization()

    row = Installation.objects.get()
    assert words == "the organisation's time zone is UTC"
    assert (row.organization_timezone, row.organization_read_at is not None) == ("UTC", True)


def test_the_job_asks_nobody_for_a_database_that_belongs_elsewhere(
    m3ter: M3terSimulator, adapters: dict[str, WsgiAdapter], settings: Settings
) -> None:
    installation.current()
    settings.M3TER_ORG_ID = "another"

    with pytest.raises(VendorClosed):
        jobs.read_organization()

    assert m3ter.calls == []


def test_the_organisation_is_read_once_by_whoever_needs_it_first(vendors: Vendors, m3ter: M3terSimulator) -> None:
    row = installation.with_organization(installation.current(), vendors.m3ter)
    again = installation.with_organization(row, vendors.m3ter)

    assert row.organization_read_at == again.organization_read_at
    assert [call.operation for call in m3ter.calls].count("get organization config") == 1
