"""Whoever asks for mails about bills is told that bills wait for a person, and that they wait no more."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from billing_bridge import attention, importing, jobs, review
from billing_bridge.models import PushedBill, PushPolicy
from integration_project.mailing.topics import Topic
from integration_project.models import Finding
from tests.billing_bridge.conftest import live, world
from tests.billing_bridge.world import World, fresh
from tests.integration_project.mail_rows import a_minute, make_rule

__all__ = ["live", "world"]  # fixtures
pytestmark = pytest.mark.django_db
State = PushedBill.State


@pytest.fixture(autouse=True)
def site(settings: Settings) -> None:
    """People reach the console by some address."""
    settings.SITE_URL = "https://console.example.com/"


def told() -> list[str]:
    """Let a minute pass; what the mails of it are about."""
    jobs.tell_of_bills()
    return [str(mail.subject) for mail in a_minute()]


def another(world: World, amount: str = "50.00") -> PushedBill:
    bill = importing.import_bill(world.another_bill((("API calls", amount),)), world.vendors)
    assert bill is not None
    return bill


def test_bills_that_wait_for_a_review_are_told_once_and_so_is_that_none_waits(world: World) -> None:
    make_rule(topics=[Topic.BILLS])
    first = world.imported()
    opened = told()
    second = another(world)

    assert opened == ["[SANDBOX] 1 notice opened: bills to review"]
    assert told() == []  # one mail for the cause, however many bills it has
    assert Finding.objects.get().detail == (
        f"2 bills are held: review: Finance approves every bill. The newest is {second}."
    )
    for bill in (first, second):
        review.approve(bill.pk, by="fiona")
    assert told() == ["[SANDBOX] 1 notice closed: bills to review"]


def test_each_refused_charge_is_told_until_it_is_dealt_with(world: World) -> None:
    make_rule(topics=[Topic.BILLS])
    PushPolicy.objects.update(review="never", mode="immediately")
    world.paddle.decline_payments(world.subscription_id)
    bill = world.imported()
    jobs.drain_bills()
    assert fresh(bill).state == State.FAILED

    opened = told()
    (found,) = Finding.objects.all()
    again = told()
    review.skip(bill.pk, by="fiona", reason="settled by hand")

    assert (opened, again) == (["[SANDBOX] 1 problem opened: charge refused"], [])
    assert found.subject == bill.m3ter_bill_id
    assert "The customer's payment was declined" in found.detail
    assert told() == ["[SANDBOX] 1 problem closed: charge refused"]


def test_an_acknowledged_refusal_is_told_again_when_the_next_attempt_is_refused_too(
    world: World, django_user_model: type[User]
) -> None:
    fiona = django_user_model.objects.create_user("fiona")
    PushPolicy.objects.update(review="never", mode="immediately")
    world.paddle.decline_payments(world.subscription_id)
    bill = world.imported()
    jobs.drain_bills()
    jobs.tell_of_bills()
    Finding.objects.update(state="closed", closed_by=fiona, close_reason="the customer was asked")

    jobs.tell_of_bills()
    still = Finding.objects.filter(state="open").count()
    review.resend(bill.pk, by="fiona", reason="the card is new")
    jobs.drain_bills()
    jobs.tell_of_bills()

    assert still == 0
    assert Finding.objects.get(state="open").detail.startswith(
        f"143.45 USD of {bill} is open. Attempt 2 of push {bill.m3ter_bill_id}-1 failed: The customer's payment"
    )


def test_bills_held_for_different_reasons_are_different_causes(world: World) -> None:
    PushPolicy.objects.update(review="never", small="hold")
    world.imported((("API calls", "0.20"),))
    importing.import_bill(world.another_bill(total="999.00"), world.vendors)
    by_a_person = another(world)
    review.hold(by_a_person.pk, by="fiona", reason="wait for the customer")
    jobs.drain_bills()

    jobs.tell_of_bills()

    found = Finding.objects.order_by("subject").values_list("kind", "subject", "severity")
    assert list(found) == [
        ("bills held", "held: below minimum", "problem"),
        ("bills held", "held: mismatch", "problem"),
    ]


def test_what_was_acknowledged_stays_so_until_another_bill_is_held(
    world: World, django_user_model: type[User], django_assert_max_num_queries: Callable[[int], object]
) -> None:
    fiona = django_user_model.objects.create_user("fiona")
    world.imported()
    jobs.tell_of_bills()
    Finding.objects.update(state="closed", closed_by=fiona, close_reason="I know")

    jobs.tell_of_bills()
    still = Finding.objects.filter(state="open").count()
    another(world)
    jobs.tell_of_bills()

    assert still == 0
    assert Finding.objects.filter(state="open").count() == 1
    with django_assert_max_num_queries(8):  # type: ignore[attr-defined]
        attention.keep_in_step()


def test_the_finding_of_a_cause_leads_to_its_bills(admin_client: Client, world: World) -> None:
    bill = world.imported()
    jobs.tell_of_bills()
    page = admin_client.get(reverse("admin:integration_project_finding_change", args=(Finding.objects.get().pk,)))

    (link,) = [each for each in page.context["links"] if each.label == "These bills"]
    listed = admin_client.get(link.url).context["cl"].queryset
    assert [each.pk for each in listed] == [bill.pk]
