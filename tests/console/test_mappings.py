"""Plan mappings in the console: chosen from both catalogues, refused where they make no sense, felt by what waits."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ

from paddle_sync.models import CatalogueEntry, EventDecision, PlanMapping, WebhookEvent
from tests.console.rows import Everything, make_catalogue, make_parked

Browser = Callable[[str], Client]
LIST = "/admin/paddle_sync/planmapping/"
ADD = f"{LIST}add/"
ANSWERS = {
    "paddle_side": "paddle_price:pri_unmapped",
    "m3ter_side": "plan:plan-eur",
    "effective_from": "2025-01-01",
    "metering_starts": "creation",
    "quantity_use": "ignored",
    "note": "",
    "reason": "Agreed with product management.",
}


@pytest.fixture
def operators_browser(browser: Browser) -> Client:
    """An operator, and a catalogue to choose from."""
    make_catalogue()
    return browser("Operator")


def errors(answer: Any) -> dict[str, list[str]]:
    return {name: list(found) for name, found in answer.context["adminform"].form.errors.items()}


def test_saving_a_mapping_lets_what_waited_for_it_run(operators_browser: Client) -> None:
    waiting = {make_parked().pk, make_parked().pk}
    other = make_parked("pri_other", waiting_for_product="pro_other")

    answer = operators_browser.post(ADD, ANSWERS, follow=True)

    mapping = PlanMapping.objects.get()
    assert (mapping.paddle_price_id, mapping.target, mapping.m3ter_plan_id) == ("pri_unmapped", "plan", "plan-eur")
    assert mapping.m3ter_product_id == "product-1"
    assert mapping.effective_from == dt.date(2025, 1, 1)
    assert "2 events that waited for this will run now." in answer.text
    received = set(WebhookEvent.objects.filter(state="received").values_list("pk", flat=True))
    assert received == waiting
    assert WebhookEvent.objects.get(pk=other.pk).state == "parked"
    assert set(EventDecision.objects.values_list("event_id", "action", "by")) == {
        (event, "resume", "operator") for event in waiting
    }


def test_a_product_can_be_mapped_for_all_its_prices(operators_browser: Client) -> None:
    make_parked()

    answers = {**ANSWERS, "paddle_side": "paddle_product:pro_unmapped", "m3ter_side": "plan_group:group-1"}
    answer = operators_browser.post(ADD, answers, follow=True)

    mapping = PlanMapping.objects.get()
    assert (mapping.paddle_product_id, mapping.paddle_price_id) == ("pro_unmapped", "")
    assert (mapping.target, mapping.m3ter_plan_group_id, mapping.m3ter_plan_id) == ("plan_group", "group-1", "")
    assert "1 event that waited for this will run now." in answer.text


def test_not_metered_is_a_choice_of_its_own(operators_browser: Client) -> None:
    operators_browser.post(ADD, {**ANSWERS, "m3ter_side": "not_metered:"})

    mapping = PlanMapping.objects.get()
    assert (mapping.target, mapping.m3ter_plan_id, mapping.m3ter_plan_group_id) == ("not_metered", "", "")


def test_the_same_price_from_the_same_day_is_refused_in_words(operators_browser: Client) -> None:
    operators_browser.post(ADD, ANSWERS)

    answer = operators_browser.post(ADD, {**ANSWERS, "m3ter_side": "not_metered:"})

    (said,) = errors(answer)["__all__"]
    assert said.startswith("There is a mapping of this from that day on: pri_unmapped -> plan-eur from 2025-01-01.")
    assert PlanMapping.objects.count() == 1


def test_sides_that_disagree_are_saved_only_by_somebody_who_saw_it(operators_browser: Client) -> None:
    dollars = {**ANSWERS, "m3ter_side": "plan:plan-usd"}

    warned = operators_browser.post(ADD, dollars)
    assert errors(warned) == {
        "disagreement_seen": [
            "The price is in EUR, the plan in USD: its bills could not be charged.",
            "Tick this if it is meant so.",
        ]
    }
    assert PlanMapping.objects.count() == 0

    operators_browser.post(ADD, {**dollars, "disagreement_seen": "on"})
    assert PlanMapping.objects.get().m3ter_plan_id == "plan-usd"


@pytest.mark.parametrize(
    ("interval", "warned"),
    [("every month", False), ("every year", True), ("", False)],
    ids=["same", "other", "unknown"],
)
def test_intervals_are_compared_where_both_are_known(operators_browser: Client, interval: str, warned: bool) -> None:
    CatalogueEntry.objects.filter(vendor_id="plan-eur").update(interval=interval)

    answer = operators_browser.post(ADD, ANSWERS)

    assert (answer.status_code == 200) is warned


def test_what_a_vendor_no_longer_offers_is_warned_about(operators_browser: Client) -> None:
    CatalogueEntry.objects.filter(vendor_id="pri_unmapped").update(active=False)

    answer = operators_browser.post(ADD, ANSWERS)

    assert errors(answer)["disagreement_seen"][0].startswith("Paddle does not offer Pro, monthly")
    assert PlanMapping.objects.count() == 0


@pytest.mark.parametrize("missing", ["paddle_side", "m3ter_side", "effective_from", "reason"])
def test_what_is_not_answered_is_asked_again(operators_browser: Client, missing: str) -> None:
    answer = operators_browser.post(ADD, {**ANSWERS, missing: ""})

    assert errors(answer) == {missing: ["This field is required."]}
    assert PlanMapping.objects.count() == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("paddle_side", "paddle_price:pri_invented"),
        ("paddle_side", "m3ter_plan:plan-eur"),
        ("m3ter_side", "plan:invented"),
        ("m3ter_side", "plan_group:plan-eur"),
        ("effective_from", "soon"),
    ],
)
def test_what_was_not_offered_cannot_be_chosen(operators_browser: Client, field: str, value: str) -> None:
    answer = operators_browser.post(ADD, {**ANSWERS, field: value})

    assert list(errors(answer)) == [field]
    assert PlanMapping.objects.count() == 0


def test_a_price_the_catalogue_does_not_list_can_still_be_mapped_from_its_event(operators_browser: Client) -> None:
    make_parked("pri_brand_new", waiting_for_product="")
    address = f"{ADD}?paddle_price_id=pri_brand_new"

    form = operators_browser.get(address).context["adminform"].form
    operators_browser.post(address, {**ANSWERS, "paddle_side": "paddle_price:pri_brand_new"})

    assert form["paddle_side"].value() == "paddle_price:pri_brand_new"
    assert form["effective_from"].value() == dt.date(dt.datetime.now(dt.UTC).year - 1, 1, 1)
    assert PlanMapping.objects.get().paddle_price_id == "pri_brand_new"


def test_a_change_and_its_reason_are_in_history(operators_browser: Client) -> None:
    operators_browser.post(ADD, ANSWERS)
    mapping = PlanMapping.objects.get()
    change = reverse("admin:paddle_sync_planmapping_change", args=(mapping.pk,))

    operators_browser.post(change, {**ANSWERS, "m3ter_side": "not_metered:", "reason": "Free of charge from now on."})

    history = operators_browser.get(reverse("admin:paddle_sync_planmapping_history", args=(mapping.pk,))).text
    assert "Free of charge from now on." in history
    assert "Agreed with product management." in history
    assert "target: plan → not_metered" in history
    assert history.count("operator") >= 2
    assert list(LogEntry.objects.values_list("change_message", flat=True)) == [
        "Changed In m3ter. Reason: Free of charge from now on.",
        "Added. Reason: Agreed with product management.",
    ]


def test_a_removed_mapping_keeps_its_history(operators_browser: Client) -> None:
    operators_browser.post(ADD, ANSWERS)
    mapping = PlanMapping.objects.get()

    remove = reverse("admin:paddle_sync_planmapping_decide", args=(mapping.pk, "remove"))
    answer = operators_browser.post(remove, {"reason": "Sold no more."}, follow=True)

    assert PlanMapping.objects.count() == 0
    assert answer.redirect_chain[-1][0] == LIST
    history = operators_browser.get(reverse("admin:paddle_sync_planmapping_history", args=(mapping.pk,)))
    assert "Removed" in history.text
    assert "Sold no more." in history.text


def test_unmapped_prices_stand_on_top_with_how_many_wait(operators_browser: Client) -> None:
    for _ in range(3):
        make_parked()
    make_parked("pri_other", waiting_for_product="")

    (panel,) = operators_browser.get(LIST).context["list_panels"]

    assert [row[0] for row in panel.rows][1] == "pri_other"
    assert ">3</a>" in panel.rows[0][2]
    assert "paddle_price_id=pri_unmapped" in panel.rows[0][5]
    assert "paddle_product_id=pro_unmapped" in panel.rows[0][5]


def test_a_mapping_says_who_uses_it(browser: Browser, everything: Everything) -> None:
    page = reverse("admin:paddle_sync_planmapping_change", args=(everything.mapping.pk,))

    (users,) = browser("Auditor").get(page).context["panels"]

    assert len(users.rows) == 1
    assert everything.link.name.partition("<")[0] in users.rows[0][0]


def test_a_reader_sees_the_answers_and_cannot_post_others(browser: Browser, everything: Everything) -> None:
    page = reverse("admin:paddle_sync_planmapping_change", args=(everything.mapping.pk,))
    client = browser("Auditor")

    shown = client.get(page)
    posted = client.post(page, ANSWERS)

    assert "pri_mapped" in shown.text
    assert 'name="m3ter_side"' not in shown.text
    assert posted.status_code == 403


def test_the_catalogues_are_read_by_a_worker_and_not_by_the_page(operators_browser: Client) -> None:
    address = reverse("admin:paddle_sync_catalogueentry_refresh")

    asked = operators_browser.get(address)
    assert OrmQ.objects.count() == 0
    answered = operators_browser.post(address, follow=True)

    assert "Nothing changes at the vendors" in asked.text
    assert "A worker reads both catalogues now." in answered.text
    assert [job.func() for job in OrmQ.objects.all()] == ["paddle_sync.jobs.refresh_catalogue"]
