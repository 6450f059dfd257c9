"""Paddle's official SDK pointed at the simulated Paddle: every call our client makes, made and parsed by theirs."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from paddle_billing import Client, Options
from paddle_billing.Entities.DateTime import DateTime
from paddle_billing.Entities.Shared import (
    Action,
    AdjustmentStatus,
    AdjustmentTaxMode,
    AdjustmentType,
    CollectionMode,
    CurrencyCode,
    CustomData,
    Duration,
    Interval,
    Money,
    PriceQuantity,
    TaxCategory,
    TaxMode,
    TransactionOrigin,
    TransactionStatus,
)
from paddle_billing.Entities.Subscriptions import (
    SubscriptionEffectiveFrom,
    SubscriptionOnPaymentFailure,
    SubscriptionProrationBillingMode,
    SubscriptionScheduledChangeAction,
    SubscriptionStatus,
)
from paddle_billing.Entities.Subscriptions.History import SubscriptionHistoryAction
from paddle_billing.Exceptions.ApiErrors.AdjustmentApiError import AdjustmentApiError
from paddle_billing.Exceptions.ApiErrors.SubscriptionApiError import SubscriptionApiError
from paddle_billing.Exceptions.ApiErrors.TransactionApiError import TransactionApiError
from paddle_billing.Notifications import Secret, Verifier
from paddle_billing.Resources.Adjustments.Operations import CreateAdjustment, ListAdjustments
from paddle_billing.Resources.Adjustments.Operations.CreateAdjustment import CreateAdjustmentItem
from paddle_billing.Resources.Events.Operations import ListEvents
from paddle_billing.Resources.Prices.Operations import ListPrices, PriceIncludes
from paddle_billing.Resources.Products.Operations import ListProducts, ProductIncludes
from paddle_billing.Resources.Shared.Operations import DateComparison, Pager
from paddle_billing.Resources.Shared.Operations.List.Comparator import Comparator
from paddle_billing.Resources.Subscriptions.Operations import (
    CancelSubscription,
    CreateOneTimeCharge,
    ListSubscriptionHistory,
    ListSubscriptions,
    PauseSubscription,
    PreviewOneTimeCharge,
    ResumeSubscription,
    SubscriptionIncludes,
    UpdateSubscription,
)
from paddle_billing.Resources.Subscriptions.Operations.Charge import SubscriptionChargeItemWithPrice
from paddle_billing.Resources.Subscriptions.Operations.Price import SubscriptionNonCatalogPriceWithProduct
from paddle_billing.Resources.Subscriptions.Operations.Price.SubscriptionNonCatalogProduct import (
    SubscriptionNonCatalogProduct,
)
from paddle_billing.Resources.Subscriptions.Operations.Update import SubscriptionUpdateItem
from paddle_billing.Resources.Transactions.Operations import (
    CreateTransaction,
    ListTransactions,
    PreviewTransactionByCustomer,
    TransactionIncludes,
    UpdateTransaction,
)
from paddle_billing.Resources.Transactions.Operations.Create import CreateBillingDetails, TransactionCreateItemWithPrice
from paddle_billing.Resources.Transactions.Operations.List.Origin import Origin
from paddle_billing.Resources.Transactions.Operations.Preview import TransactionItemPreviewWithNonCatalogPrice
from paddle_billing.Resources.Transactions.Operations.Price import (
    TransactionNonCatalogPriceWithProduct,
    TransactionNonCatalogProduct,
)

from integration_project.vendors.paddle import signature
from integration_project.vendors.paddle.simulator import PaddleSimulator, sample
from integration_project.vendors.paddle.simulator.notices import sign
from integration_project.vendors.simulation import serve
from tests.vendors.paddle.account import CLOUD, WEBHOOKS, Account

BODY = b'{"event_id": "evt_1"}'


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def sdk(account: Account) -> Iterator[Client]:
    with serve(account.simulator) as served:
        yield kit(served.url)


def kit(url: str) -> Client:
    """Paddle's client with another address; it knows only its own two by name."""
    options = Options(environment=SimpleNamespace(base_url=url))
    return Client(sample.API_KEY, options=options, retry_count=0, timeout=10.0)


def subscribed(simulator: PaddleSimulator) -> dict[str, Any]:
    return simulator.complete_checkout(
        email="ap@harbour.example",
        name="Harriet Harbour",
        items=[
            {"price_id": sample.PRICE_CLOUD_EUR, "quantity": 1},
            {"price_id": sample.PRICE_SEATS_EUR, "quantity": 3},
        ],
        business={"name": "Harbour Tools Ltd", "contacts": [{"name": "Ann", "email": "ann@harbour.example"}]},
        custom_data={"account": "harbour"},
    )


def one_item(amount: str = "12345") -> list[SubscriptionChargeItemWithPrice]:
    product = SubscriptionNonCatalogProduct(
        name="Usage",
        description=None,
        tax_category=TaxCategory.Saas,
        image_url=None,
        custom_data=CustomData({"push_id": "bill-1"}),
    )
    price = SubscriptionNonCatalogPriceWithProduct(
        description="push bill-1",
        name="API calls",
        tax_mode=TaxMode.External,
        unit_price=Money(amount, CurrencyCode.EUR),
        unit_price_overrides=[],
        quantity=PriceQuantity(1, 1),
        custom_data=CustomData({"push_id": "bill-1"}),
        product=product,
    )
    return [SubscriptionChargeItemWithPrice(price, 1)]


# Subscriptions


def test_the_kit_reads_subscriptions_with_their_next_transaction(account: Account, sdk: Client) -> None:
    made = subscribed(account.simulator)

    found = sdk.subscriptions.get(
        made["subscription_id"],
        [SubscriptionIncludes.NextTransaction, SubscriptionIncludes.RecurringTransactionDetails],
    )
    listed = list(sdk.subscriptions.list(ListSubscriptions(ids=[made["subscription_id"]])))

    assert (found.id, found.status) == (made["subscription_id"], SubscriptionStatus.Active)
    assert [(item.price.id, item.quantity) for item in found.items] == [
        (sample.PRICE_CLOUD_EUR, 1),
        (sample.PRICE_SEATS_EUR, 3),
    ]
    assert found.next_transaction.details.totals.subtotal == "7600"
    assert found.recurring_transaction_details.totals.subtotal == "7600"
    assert found.custom_data.data == {"account": "harbour"}
    assert [entry.id for entry in listed] == [made["subscription_id"]]


def test_the_kit_moves_a_subscription_to_another_buyer_and_currency(account: Account, sdk: Client) -> None:
    subscription_id = subscribed(account.simulator)["subscription_id"]
    people = account.simulator.complete_checkout(email="pia@pier.example", items=CLOUD, business={"name": "Pier"})

    changed = sdk.subscriptions.update(
        subscription_id,
        UpdateSubscription(
            customer_id=people["customer_id"],
            address_id=people["address_id"],
            business_id=people["business_id"],
            currency_code=CurrencyCode.USD,
            next_billed_at=DateTime("2026-03-20T09:00:00Z"),
            items=[SubscriptionUpdateItem(sample.PRICE_CLOUD_PRO_USD, 2)],
            proration_billing_mode=SubscriptionProrationBillingMode.DoNotBill,
        ),
    )

    assert (changed.customer_id, changed.business_id) == (people["customer_id"], people["business_id"])
    assert changed.currency_code == CurrencyCode.USD
    assert [(item.price.id, item.quantity) for item in changed.items] == [(sample.PRICE_CLOUD_PRO_USD, 2)]
    assert changed.next_billed_at.isoformat() == "2026-03-20T09:00:00+00:00"


def test_the_kit_pauses_for_a_while_and_activates_a_trial(account: Account, sdk: Client) -> None:
    subscription_id = subscribed(account.simulator)["subscription_id"]
    trial_id = account.subscribe(items=[{"price_id": sample.PRICE_CLOUD_TRIAL_EUR, "quantity": 1}])
    resume_at = DateTime("2026-05-01T09:00:00Z")

    pausing = sdk.subscriptions.pause(subscription_id, PauseSubscription(resume_at=resume_at))
    active = sdk.subscriptions.activate(trial_id)
    sdk.subscriptions.pause(trial_id, PauseSubscription(SubscriptionEffectiveFrom.Immediately))
    resumed = sdk.subscriptions.resume(trial_id, ResumeSubscription())

    assert pausing.scheduled_change.action == SubscriptionScheduledChangeAction.Pause
    assert pausing.scheduled_change.resume_at.isoformat() == "2026-05-01T09:00:00+00:00"
    assert (active.status, resumed.status) == (SubscriptionStatus.Active, SubscriptionStatus.Active)


def test_the_kit_previews_charges_and_finds_the_charge_in_the_history(account: Account, sdk: Client) -> None:
    subscription_id = subscribed(account.simulator)["subscription_id"]
    later, at_once = SubscriptionEffectiveFrom.NextBillingPeriod, SubscriptionEffectiveFrom.Immediately

    preview = sdk.subscriptions.preview_one_time_charge(subscription_id, PreviewOneTimeCharge(at_once, one_item()))
    charged = sdk.subscriptions.create_one_time_charge(
        subscription_id,
        CreateOneTimeCharge(later, one_item(), SubscriptionOnPaymentFailure.PreventChange),
    )
    action = SubscriptionHistoryAction.SubscriptionOneOffChargeApplied
    since = DateComparison(account.simulator.clock.now(), Comparator.GTE)
    history = list(
        sdk.subscriptions.list_history(subscription_id, ListSubscriptionHistory(actions=[action], occurred_at=since))
    )

    assert preview.immediate_transaction.details.totals.subtotal == "12345"
    assert preview.update_summary.result.amount == "14691"
    assert charged.id == subscription_id
    assert [one.push_ids for one in account.simulator.charges] == [("bill-1",)]
    assert history[0].detail.items[0].price.custom_data.data == {"push_id": "bill-1"}
    assert history[0].detail.transaction_id is None


def test_the_kit_reads_every_kind_of_history_entry(account: Account, sdk: Client) -> None:
    subscription_id = subscribed(account.simulator)["subscription_id"]
    account.charge(subscription_id, effective_from="immediately")
    account.renew()
    account.simulator.decline_payments(times=1)
    account.renew()

    history = list(sdk.subscriptions.list_history(subscription_id))

    assert [entry.detail.action for entry in reversed(history)] == [
        "subscription_created",
        "subscription_one_off_charge_applied",
        "subscription_payment_attempted",
        "subscription_renewed",
        "subscription_renewed",
        "subscription_past_due",
    ]


def test_the_kit_gets_our_refusals_as_its_own_errors(account: Account, sdk: Client) -> None:
    subscription_id = subscribed(account.simulator)["subscription_id"]
    later = SubscriptionEffectiveFrom.NextBillingPeriod

    with pytest.raises(SubscriptionApiError) as caught:
        sdk.subscriptions.create_one_time_charge(subscription_id, CreateOneTimeCharge(later, one_item("2")))

    assert caught.value.error_code == "subscription_update_transaction_balance_less_than_charge_limit"
    assert account.simulator.charges == []


def test_the_kit_cancels(account: Account, sdk: Client) -> None:
    subscription_id = subscribed(account.simulator)["subscription_id"]

    scheduled = sdk.subscriptions.cancel(
        subscription_id, CancelSubscription(SubscriptionEffectiveFrom.NextBillingPeriod)
    )

    assert scheduled.scheduled_change.action == "cancel"


# Transactions


def test_the_kit_reads_transactions_with_everything_included_and_page_by_page(account: Account, sdk: Client) -> None:
    made = subscribed(account.simulator)
    subscription_id = made["subscription_id"]
    account.charge(subscription_id)
    account.renew(days=100)

    included = [TransactionIncludes.Customer, TransactionIncludes.Address, TransactionIncludes.Business]
    first = sdk.transactions.get(made["transaction_id"], included)
    origins = [Origin.SubscriptionRecurring]
    listed = list(
        sdk.transactions.list(ListTransactions(Pager(per_page=2), subscription_ids=[subscription_id], origins=origins))
    )

    assert (first.customer.email, first.address.country_code, first.business.name) == (
        "ap@harbour.example",
        "DE",
        "Harbour Tools Ltd",
    )
    assert first.details.totals.grand_total == str(7600 + 1444)
    assert first.details.payout_totals.currency_code == "EUR"
    assert [entry.origin for entry in listed] == [TransactionOrigin.SubscriptionRecurring] * 3
    assert listed[0].items[-1].price.custom_data.data == {"push_id": "bill-1"}


def test_the_kit_makes_and_lists_adjustments(account: Account, sdk: Client) -> None:
    transaction_id = subscribed(account.simulator)["transaction_id"]
    line = account.simulator.transactions[transaction_id]["details"]["line_items"][0]["id"]

    made = sdk.adjustments.create(
        CreateAdjustment.partial("refund", [CreateAdjustmentItem(line, "partial", "119")], "bill-1", transaction_id)
    )
    listed = list(sdk.adjustments.list())

    assert (made.status, made.totals.subtotal, made.tax_rates_used[0].tax_rate) == ("pending_approval", "100", "0.19")
    assert [entry.id for entry in listed] == [made.id]


def test_the_kit_previews_makes_and_cancels_an_invoice(account: Account, sdk: Client) -> None:
    made = subscribed(account.simulator)
    product = TransactionNonCatalogProduct("Usage", TaxCategory.Saas, custom_data=CustomData({"push_id": "bill-1"}))
    price = TransactionNonCatalogPriceWithProduct(
        description="push bill-1",
        unit_price=Money("12345", CurrencyCode.EUR),
        product=product,
        tax_mode=TaxMode.External,
        quantity=PriceQuantity(1, 1),
        custom_data=CustomData({"push_id": "bill-1"}),
    )
    buyer = {"customer_id": made["customer_id"], "address_id": made["address_id"]}

    preview = sdk.transactions.preview(
        PreviewTransactionByCustomer(items=[TransactionItemPreviewWithNonCatalogPrice(price, 1)], **buyer)
    )
    invoice = sdk.transactions.create(
        CreateTransaction(
            items=[TransactionCreateItemWithPrice(price, 1)],
            status=TransactionStatus.Billed,
            collection_mode=CollectionMode.Manual,
            billing_details=CreateBillingDetails(Duration(Interval.Day, 30), purchase_order_number="PO 7"),
            custom_data=CustomData({"push_id": "bill-1"}),
            **buyer,
        )
    )
    line = invoice.details.lineItems[0].id
    credit = sdk.adjustments.create(
        CreateAdjustment.partial(
            Action.Credit,
            [CreateAdjustmentItem(line, AdjustmentType.Partial, "1000")],
            "bill-1",
            invoice.id,
            AdjustmentTaxMode.External,
        )
    )
    canceled = sdk.transactions.update(invoice.id, UpdateTransaction(status=TransactionStatus.Canceled))
    origins = [Origin.Api]
    listed = list(sdk.transactions.list(ListTransactions(customer_ids=[made["customer_id"]], origins=origins)))

    assert preview.details.totals.total == "14691"
    assert (invoice.status, invoice.custom_data.data) == (TransactionStatus.Billed, {"push_id": "bill-1"})
    assert (invoice.invoice_number, invoice.billing_details.purchase_order_number) == ("901-20002", "PO 7")
    assert (credit.status, credit.totals.total) == (AdjustmentStatus.Approved, "1190")
    assert canceled.status == TransactionStatus.Canceled
    assert [(entry.id, entry.details.totals.credit) for entry in listed] == [(invoice.id, "1190")]


def test_the_kit_gets_refused_refunds_and_invoices_as_its_own_errors(account: Account, sdk: Client) -> None:
    transaction_id = subscribed(account.simulator)["transaction_id"]
    line = account.simulator.transactions[transaction_id]["details"]["line_items"][0]["id"]
    too_much = [CreateAdjustmentItem(line, AdjustmentType.Partial, "99999999")]

    with pytest.raises(AdjustmentApiError) as refund:
        sdk.adjustments.create(CreateAdjustment.partial(Action.Refund, too_much, "bill-1", transaction_id))
    with pytest.raises(TransactionApiError) as canceled:
        sdk.transactions.update(transaction_id, UpdateTransaction(status=TransactionStatus.Canceled))

    assert refund.value.error_code == "adjustment_amount_above_remaining_allowed"
    assert canceled.value.error_code == "transaction_immutable"


def test_the_kit_reads_adjustments_of_every_state(account: Account, sdk: Client) -> None:
    transaction_id = subscribed(account.simulator)["transaction_id"]
    line = account.simulator.transactions[transaction_id]["details"]["line_items"][0]["id"]
    part = [CreateAdjustmentItem(line, AdjustmentType.Partial, "119")]
    for settled in (account.simulator.reject_refund, account.simulator.approve_refund, None):
        made = sdk.adjustments.create(CreateAdjustment.partial(Action.Refund, part, "bill-1", transaction_id))
        if settled is not None:
            settled(made.id)

    listed = list(sdk.adjustments.list(ListAdjustments(Pager(per_page=2), transaction_ids=[transaction_id])))

    assert [entry.status for entry in listed] == [
        AdjustmentStatus.Rejected,
        AdjustmentStatus.Approved,
        AdjustmentStatus.PendingApproval,
    ]


# The rest


def test_the_kit_reads_customers_addresses_and_businesses(account: Account, sdk: Client) -> None:
    made = subscribed(account.simulator)

    customer = sdk.customers.get(made["customer_id"])
    address = sdk.addresses.get(made["customer_id"], made["address_id"])
    business = sdk.businesses.get(made["customer_id"], made["business_id"])

    assert (customer.email, customer.name) == ("ap@harbour.example", "Harriet Harbour")
    assert (address.city, address.country_code) == ("Berlin", "DE")
    assert [contact.email for contact in business.contacts] == ["ann@harbour.example"]


def test_the_kit_reads_the_catalogue_and_the_currencies(sdk: Client) -> None:
    products = list(sdk.products.list(ListProducts(includes=[ProductIncludes.Prices])))
    prices = list(sdk.prices.list(ListPrices(Pager(per_page=4), includes=[PriceIncludes.Product])))
    currencies = list(sdk.currencies.list())

    assert sorted(product.name for product in products) == ["Gauge Cloud", "Gauge Insights", "Usage"]
    assert len(prices) == 12
    assert {price.product.name for price in prices} == {"Gauge Cloud", "Gauge Insights"}
    assert [entry.minimum_payment_amount for entry in currencies if entry.code == "USD"] == ["70"]


def test_the_kit_reads_every_event_and_destination(account: Account, sdk: Client) -> None:
    subscribed(account.simulator)
    account.renew()
    account.simulator.deliver_webhooks()

    events = list(sdk.events.list(ListEvents(Pager(per_page=5, order_by=None))))
    settings = list(sdk.notification_settings.list())
    notifications = list(sdk.notifications.list())
    logs = list(sdk.notification_logs.list(notifications[0].id))
    replayed = sdk.notifications.replay(notifications[0].id)

    assert len(events) == len(account.simulator.events)
    assert [setting.destination for setting in settings] == [WEBHOOKS]
    assert settings[0].endpoint_secret_key == sample.WEBHOOK_SECRET
    assert len(notifications) == len(events)
    assert [log.response_code for log in logs] == [200]
    assert replayed in account.simulator.notifications
    assert len(list(sdk.event_types.list())) == 56
    assert len(sdk.ip_addresses.get_ip_addresses().ipv4_cidrs) == 6


# Signatures


def kit_accepts(body: bytes, header: str, *secrets: str) -> bool:
    request = SimpleNamespace(body=body, headers={"Paddle-Signature": header})
    try:
        return bool(Verifier(0).verify(request, [Secret(secret) for secret in secrets]))
    except ConnectionRefusedError:  # how the kit says that no secret matched
        return False


def test_kit_and_client_accept_every_webhook_the_simulator_signs(account: Account) -> None:
    subscribed(account.simulator)
    new = account.simulator.rotate_secret()

    account.simulator.deliver_webhooks()

    assert len(account.received) == 13
    for webhook in account.received:
        header = webhook.headers["Paddle-Signature"]
        for secret in (sample.WEBHOOK_SECRET, new):
            assert kit_accepts(webhook.body, header, secret)
            signature.verify(body=webhook.body, header=header, secrets=(secret,), now=account.time.moment, tolerance=5)
        assert not kit_accepts(webhook.body + b" ", header, new)


def test_the_kit_takes_the_simulators_clock_for_real(account: Account) -> None:
    account.time.move(time.time() - account.time.moment.timestamp())

    header = sign(BODY, (sample.WEBHOOK_SECRET,), account.time.moment)

    request = SimpleNamespace(body=BODY, headers={"Paddle-Signature": header})
    assert Verifier(5).verify(request, [Secret(sample.WEBHOOK_SECRET)]) is True


def test_client_and_simulator_sign_alike(account: Account) -> None:
    ours = signature.sign(BODY, sample.WEBHOOK_SECRET, account.time.moment)

    assert ours == sign(BODY, (sample.WEBHOOK_SECRET,), account.time.moment)
