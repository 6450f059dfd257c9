"""What is masked in a payload, and what stays readable."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paddle_sync.personal import MASK, masked, readable
from tests import contracts

TRANSACTION = {
    "event_type": "transaction.completed",
    "data": {
        "id": "txn_1",
        "customer": {"id": "ctm_1", "name": "Jo Brown", "email": "jo@example.com", "locale": "en"},
        "address": {"first_line": "1 High Street", "city": "Leeds", "postal_code": "LS1", "country_code": "GB"},
        "business": {"name": "Brown Ltd", "tax_identifier": "GB123", "contacts": [{"name": "Al", "email": "a@b.co"}]},
        "custom_data": {"push_id": "bill-1", "note": "call me", "nested": {"phone": "123"}},
        "items": [{"price": {"name": "Pro, monthly", "description": "Each month"}, "product": {"name": "Cloud"}}],
        "payments": [
            {
                "amount": "100",
                "method_details": {
                    "type": "card",
                    "card": {"type": "visa", "last4": "4242", "expiry_month": 1, "cardholder_name": "J BROWN"},
                },
            }
        ],
    },
}


def test_people_are_masked_and_the_rest_stays_readable() -> None:
    data = masked(TRANSACTION, event_type="transaction.completed")["data"]

    assert data["customer"] == {"id": "ctm_1", "name": MASK, "email": MASK, "locale": "en"}
    assert data["address"] == {"first_line": MASK, "city": MASK, "postal_code": MASK, "country_code": "GB"}
    assert data["business"] == {"name": MASK, "tax_identifier": MASK, "contacts": [{"name": MASK, "email": MASK}]}
    assert data["custom_data"] == {"push_id": "bill-1", "note": MASK, "nested": {"phone": MASK}}
    assert data["items"] == TRANSACTION["data"]["items"]  # type: ignore[index]
    assert data["payments"][0]["method_details"]["card"] == {
        "type": "visa",
        "last4": MASK,
        "expiry_month": MASK,
        "cardholder_name": MASK,
    }


@pytest.mark.parametrize("kind", ["customer", "business", "address"])
def test_the_person_an_event_is_about_is_masked(kind: str) -> None:
    event = {"event_type": f"{kind}.created", "data": {"id": "x_1", "name": "Jo Brown", "status": "active"}}

    assert masked(event, event_type=f"{kind}.created")["data"] == {"id": "x_1", "name": MASK, "status": "active"}


def test_a_products_name_is_no_persons() -> None:
    event = {"event_type": "product.created", "data": {"id": "pro_1", "name": "Cloud", "description": "All of it"}}

    assert masked(event, event_type="product.created") == event


def test_what_is_empty_stays_visibly_empty() -> None:
    assert masked({"email": None, "city": "", "custom_data": None}) == {"email": None, "city": "", "custom_data": None}


@example("'@A.AS")
@example("pat.o'brien@example.com")
@given(st.emails())
def test_an_e_mail_address_is_masked_wherever_it_stands(email: str) -> None:
    shown = json.dumps(masked({"note": f"from {email}", "list": [{"deep": email}]}))

    assert email not in shown


def test_a_form_of_paddle_classic_is_read_and_masked() -> None:
    form = readable("alert_name=subscription_created&email=jo%40example.com&passthrough=x&currency=USD")

    assert masked(form) == {
        "alert_name": "subscription_created",
        "email": MASK,
        "passthrough": MASK,
        "currency": "USD",
    }


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_masking_keeps_the_shape_of_anything(data: Any) -> None:
    assert shape(masked(data, event_type="customer.created")) == shape(data)


def test_texts_stay_as_exact_as_they_came() -> None:
    assert readable('{"amount": 10.10, "big": 123456789012345678901234567890}') == {
        "amount": "10.10",
        "big": 123456789012345678901234567890,
    }


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else None


def test_no_name_or_address_of_the_real_payloads_is_left() -> None:
    payloads = sorted((contracts.FOLDER / "paddle-events").glob("*.json"))
    if not payloads:
        pytest.skip("the third-party payloads are not beside this checkout")

    for path in payloads:
        body = readable(path.read_text())
        event = body if "data" in body else {"event_type": path.stem, "data": body}
        shown = json.dumps(masked(event, event_type=path.stem), ensure_ascii=False)
        people = [event["data"]] if path.stem.partition(".")[0] in {"customer", "business", "address"} else []
        secrets = {str(each.get(key)) for each in people for key in ("name", "email", "first_line", "postal_code")}
        assert [secret for secret in secrets - {"None", ""} if secret in shown] == [], path.name
