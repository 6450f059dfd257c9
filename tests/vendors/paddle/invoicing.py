"""Invoices made by API in the simulated Paddle, as tests ask for them."""

from tests.vendors.paddle.account import Account, Json, Reply, price

DETAILS = {"payment_terms": {"interval": "day", "frequency": 30}}
ADDRESS = {"country_code": "DE", "first_line": "Hafenstr. 1", "city": "Hamburg", "postal_code": "20359"}


def buyer(account: Account, **changes: object) -> Json:
    customer = account.post("/customers", {"email": "ap@harbour.example", "name": "Harbour", **changes}).data["id"]
    address = account.post(f"/customers/{customer}/addresses", ADDRESS).data["id"]
    return {"customer_id": customer, "address_id": address}


def invoice(account: Account, ids: Json, **changes: object) -> Reply:
    body = {
        "items": [{"quantity": 1, "price": price()}],
        "collection_mode": "manual",
        "billing_details": DETAILS,
        "custom_data": {"push_id": "bill-1"},
        "status": "billed",
        **ids,
        **changes,
    }
    return account.post("/transactions", body)
