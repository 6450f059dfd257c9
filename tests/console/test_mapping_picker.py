"""The pickers of the mapping form: searched with or without a script, quick with ten thousand plans."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from integration_project import clock
from paddle_sync.models import CatalogueEntry, PlanMapping
from tests.console.rows import Kind, make_catalogue, make_entry
from tests.console.test_mappings import ADD, ANSWERS, LIST, errors

Browser = Callable[[str], Client]
CHOICES = f"{LIST}choices/"


@pytest.fixture
def operators_browser(browser: Browser) -> Client:
    """An operator, and a catalogue to choose from."""
    make_catalogue()
    make_entry(Kind.M3TER_COUNTER, "counter-1", "Seats", code="seats", parent_id="product-1")
    return browser("Operator")


def make_plans(count: int) -> None:
    now = clock.now()
    CatalogueEntry.objects.bulk_create(
        CatalogueEntry(kind=Kind.M3TER_PLAN, vendor_id=f"plan-{n}", name=f"Plan {n:05}", code=f"p{n}", seen_at=now)
        for n in range(count)
    )


def found(client: Client, side: str, words: str) -> Any:
    return client.get(CHOICES, {"side": side, "q": words}).json()


@pytest.mark.parametrize(
    ("side", "words", "values"),
    [
        ("m3ter", "scale doll", ["plan:plan-usd"]),
        ("m3ter", "EUR every", ["plan:plan-eur"]),
        ("m3ter", "all of", ["plan_group:group-1"]),
        ("m3ter", "plan-usd", ["plan:plan-usd"]),
        ("m3ter", "not metered", ["not_metered:"]),
        ("paddle", "monthly", ["paddle_price:pri_unmapped"]),
        ("paddle", "pro_unm", ["paddle_product:pro_unmapped"]),
        ("counter", "seats", ["m3ter_counter:counter-1"]),
        ("m3ter", "monthly", []),
        ("m3ter", "100% of_", []),
    ],
)
def test_a_search_finds_what_has_every_word(
    operators_browser: Client, side: str, words: str, values: list[str]
) -> None:
    answer = found(operators_browser, side, words)

    assert [choice["value"] for choice in answer["choices"]] == values
    assert answer["more"] is False


def test_a_search_tells_plans_of_one_name_apart(operators_browser: Client) -> None:
    (choice,) = found(operators_browser, "m3ter", "dollars")["choices"]

    assert choice["detail"] == "plan, of Cloud, USD, plan-usd"


@pytest.mark.parametrize(
    ("vendor_id", "changes"),
    [("plan-usd", {"active": False}), ("plan-usd", {"data": {"account_id": "account-9"}})],
    ids=["no longer offered", "made for one account"],
)
def test_what_fits_nobody_new_is_not_offered(
    operators_browser: Client, vendor_id: str, changes: dict[str, Any]
) -> None:
    CatalogueEntry.objects.filter(vendor_id=vendor_id).update(**changes)

    assert found(operators_browser, "m3ter", "dollars")["choices"] == []


@pytest.mark.parametrize(("role", "status"), [("Operator", 200), ("Auditor", 403), ("Finance", 403), ("nobody", 403)])
def test_only_those_who_may_map_may_search(browser: Browser, role: str, status: int) -> None:
    assert browser(role).get(CHOICES, {"side": "m3ter", "q": "x"}).status_code == status


def test_a_search_for_nothing_known_is_refused(operators_browser: Client) -> None:
    assert operators_browser.get(CHOICES, {"side": "elsewhere", "q": "x"}).status_code == 400
    assert Client().get(CHOICES).status_code == 302


def test_ten_thousand_plans_are_neither_loaded_nor_listed(operators_browser: Client) -> None:
    make_plans(10_000)
    operators_browser.get(ADD)

    with CaptureQueriesContext(connection) as asked:
        page = operators_browser.get(ADD)
    with CaptureQueriesContext(connection) as searched:
        answer = found(operators_browser, "m3ter", "plan 0")

    assert len(page.text) < 200_000
    assert "Plan 0" not in page.text
    assert len(answer["choices"]) == 15
    assert answer["more"] is True
    catalogue = [query["sql"] for query in asked.captured_queries if "catalogueentry" in query["sql"]]
    assert len(catalogue) <= 2
    of_search = [query["sql"] for query in searched.captured_queries if "catalogueentry" in query["sql"]]
    assert len(of_search) <= 3
    assert all("LIMIT" in sql for sql in of_search)


def test_a_list_loads_only_the_names_of_the_rows_it_shows(operators_browser: Client) -> None:
    PlanMapping.objects.create(
        paddle_price_id="pri_unmapped", effective_from="2026-01-01", target="plan", m3ter_plan_id="plan-usd"
    )
    make_plans(200)

    with CaptureQueriesContext(connection) as asked:
        page = operators_browser.get(LIST)

    assert "Scale in dollars" in page.text
    assert "The price is in EUR, the plan in USD" in page.text
    names = [query["sql"] for query in asked.captured_queries if 'FROM "paddle_sync_catalogueentry"' in query["sql"]]
    assert not [sql for sql in names if "WHERE" not in sql and "LIMIT" not in sql]


@pytest.mark.parametrize(
    ("field", "typed", "column", "stored"),
    [
        ("m3ter_side", "plan-eur", "m3ter_plan_id", "plan-eur"),
        ("m3ter_side", "group-1", "m3ter_plan_group_id", "group-1"),
        ("m3ter_side", "not metered", "target", "not_metered"),
        ("m3ter_side", "  all OF ", "m3ter_plan_group_id", "group-1"),
        ("paddle_side", "pri_unmapped", "paddle_price_id", "pri_unmapped"),
        ("paddle_side", "add-ons", "paddle_product_id", "pro_unmapped"),
    ],
)
def test_without_a_script_an_id_or_words_that_fit_one_thing_are_enough(
    operators_browser: Client, field: str, typed: str, column: str, stored: str
) -> None:
    operators_browser.post(ADD, {**ANSWERS, field: typed, "disagreement_seen": "on"})

    assert getattr(PlanMapping.objects.get(), column) == stored


def test_a_code_is_enough_although_other_names_hold_it(operators_browser: Client) -> None:
    CatalogueEntry.objects.filter(vendor_id="plan-eur").update(code="scale")

    operators_browser.post(ADD, {**ANSWERS, "m3ter_side": "scale"})

    assert PlanMapping.objects.get().m3ter_plan_id == "plan-eur"


def test_without_a_script_several_matches_are_offered_to_choose_from(operators_browser: Client) -> None:
    asked = operators_browser.post(ADD, {**ANSWERS, "m3ter_side": "scale"})

    assert errors(asked) == {"m3ter_side": ["2 match 'scale'. Choose one of them, or add a word."]}
    assert 'name="m3ter_side-match" value="plan:plan-eur"' in asked.text
    assert PlanMapping.objects.count() == 0
    operators_browser.post(ADD, {**ANSWERS, "m3ter_side": "scale", "m3ter_side-match": "plan:plan-eur"})
    assert PlanMapping.objects.get().m3ter_plan_id == "plan-eur"


def test_words_that_fit_nothing_say_what_to_do(operators_browser: Client) -> None:
    asked = operators_browser.post(ADD, {**ANSWERS, "m3ter_side": "enterprise"})

    (said,) = errors(asked)["m3ter_side"]
    assert said.startswith("The catalogue has nothing like 'enterprise'. Search by a part of the name")


def test_a_plan_made_for_one_account_is_taken_only_by_somebody_who_saw_that(operators_browser: Client) -> None:
    CatalogueEntry.objects.filter(vendor_id="plan-eur").update(data={"account_id": "account-9"})

    warned = operators_browser.post(ADD, ANSWERS)
    operators_browser.post(ADD, {**ANSWERS, "disagreement_seen": "on"})

    assert "was made for one m3ter account alone (account-9)" in errors(warned)["disagreement_seen"][0]
    assert PlanMapping.objects.get().m3ter_plan_id == "plan-eur"


def test_the_pickers_are_labelled_and_come_with_a_script_of_ours(operators_browser: Client) -> None:
    page = operators_browser.get(f"{ADD}?paddle_price_id=pri_unmapped").text

    assert "console/picker.js" in page
    for name in ("paddle_side", "m3ter_side", "counter"):
        assert (
            f'<label for="id_{name}"' in page.replace('class="block', "").replace("  ", " ")
            or f'for="id_{name}"' in page
        )
        assert f'data-name="{name}"' in page
    assert 'value="paddle_price:pri_unmapped"' in page
    assert "every month" in page


COUNTED = {"quantity_use": "counter", "counter": "seats"}
IN_A_FIELD = {"quantity_use": "custom_field", "quantity_field": "seats"}


@pytest.mark.parametrize(
    ("answers", "stored"),
    [
        (COUNTED, ("counter", "", "counter-1", "creation")),
        (IN_A_FIELD, ("custom_field", "seats", "", "creation")),
        ({"metering_starts": "trial_end"}, ("ignored", "", "", "trial_end")),
        ({"metering_starts": "", "quantity_use": ""}, ("ignored", "", "", "creation")),
    ],
)
def test_trial_and_quantity_are_choices_of_the_mapping(
    operators_browser: Client, answers: dict[str, str], stored: tuple[str, ...]
) -> None:
    operators_browser.post(ADD, {**ANSWERS, **answers})

    mapping = PlanMapping.objects.get()
    kept = (mapping.quantity_use, mapping.quantity_field, mapping.m3ter_counter_id, mapping.metering_starts)
    assert kept == stored


@pytest.mark.parametrize(
    ("answers", "field"),
    [
        ({"quantity_use": "custom_field"}, "quantity_field"),
        ({"quantity_use": "counter"}, "counter"),
        ({"quantity_field": "seats"}, "quantity_field"),
        ({"counter": "seats"}, "counter"),
        ({**COUNTED, "quantity_field": "seats"}, "quantity_field"),
        ({**COUNTED, "counter": "tables"}, "counter"),
        ({**IN_A_FIELD, "m3ter_side": "not_metered:"}, "quantity_use"),
        ({"quantity_use": "doubled"}, "quantity_use"),
        ({"metering_starts": "never"}, "metering_starts"),
    ],
)
def test_a_combination_that_cannot_be_names_its_field(
    operators_browser: Client, answers: dict[str, str], field: str
) -> None:
    refused = operators_browser.post(ADD, {**ANSWERS, **answers})

    assert list(errors(refused)) == [field]
    assert PlanMapping.objects.count() == 0
