"""The sample account every simulated Paddle begins with. Nothing here is a real secret or a real id."""

API_KEY = "pdl_sdbx_apikey_01sample000000000000gauge0_SampleKeyOfTheDemo0000_abc"
WEBHOOK_SECRET = "pdl_ntfset_01sample000000000000gauge0_sampleSecretOfTheSimulator000000"
NOTIFICATION_SETTING_ID = "ntfset_01hv0000000000000000000001"
DEFAULT_PAYMENT_LINK = "https://checkout.example/pay"

PRODUCT_CLOUD = "pro_01hv0000000000000000cl0vd1"
PRODUCT_INSIGHTS = "pro_01hv00000000000000000ns1gh"
PRODUCT_USAGE = "pro_01hv000000000000000000vsag"

PRICE_CLOUD_EUR = "pri_01hv000000000000000cl0vdev"
PRICE_CLOUD_USD = "pri_01hv000000000000000cl0vdvs"
PRICE_CLOUD_YEARLY_EUR = "pri_01hv000000000000000cl0vdyr"
PRICE_CLOUD_TRIAL_EUR = "pri_01hv000000000000000cl0vdtr"
PRICE_SEATS_EUR = "pri_01hv000000000000000seatsev"
PRICE_SEATS_USD = "pri_01hv000000000000000seatsvs"
PRICE_INSIGHTS_EUR = "pri_01hv000000000000000ns1ghev"
PRICE_INSIGHTS_USD = "pri_01hv000000000000000ns1ghvs"
PRICE_CLOUD_PRO_EUR = "pri_01hv000000000000000pr0clev"
PRICE_CLOUD_PRO_USD = "pri_01hv000000000000000pr0clvs"
PRICE_CLOUD_TRIAL_USD = "pri_01hv000000000000000trvslvs"
PRICE_SETUP_EUR = "pri_01hv0000000000000000setvpe"

CREATED_AT = "2025-01-05T08:00:00.000000Z"
_MONTHLY = {"interval": "month", "frequency": 1}
_YEARLY = {"interval": "year", "frequency": 1}
_TWO_WEEKS = {"interval": "day", "frequency": 14, "requires_payment_method": True}

PRODUCTS: tuple[tuple[str, str, str], ...] = (
    (PRODUCT_CLOUD, "Gauge Cloud", "Metering for small teams"),
    (PRODUCT_INSIGHTS, "Gauge Insights", "Reports on what was metered"),
    (PRODUCT_USAGE, "Usage", "What was used, billed after the month"),
)
PRICES: tuple[dict[str, object], ...] = (
    {
        "id": PRICE_CLOUD_EUR,
        "product": PRODUCT_CLOUD,
        "name": "Monthly",
        "amount": "4900",
        "currency": "EUR",
        "cycle": _MONTHLY,
    },
    {
        "id": PRICE_CLOUD_USD,
        "product": PRODUCT_CLOUD,
        "name": "Monthly",
        "amount": "5500",
        "currency": "USD",
        "cycle": _MONTHLY,
    },
    {
        "id": PRICE_CLOUD_YEARLY_EUR,
        "product": PRODUCT_CLOUD,
        "name": "Yearly",
        "amount": "49000",
        "currency": "EUR",
        "cycle": _YEARLY,
    },
    {
        "id": PRICE_CLOUD_TRIAL_EUR,
        "product": PRODUCT_CLOUD,
        "name": "Monthly after a trial",
        "amount": "4900",
        "currency": "EUR",
        "cycle": _MONTHLY,
        "trial": _TWO_WEEKS,
    },
    {
        "id": PRICE_SEATS_EUR,
        "product": PRODUCT_CLOUD,
        "name": "Seats",
        "amount": "900",
        "currency": "EUR",
        "cycle": _MONTHLY,
        "most": 1000,
    },
    {
        "id": PRICE_SEATS_USD,
        "product": PRODUCT_CLOUD,
        "name": "Seats",
        "amount": "1000",
        "currency": "USD",
        "cycle": _MONTHLY,
        "most": 1000,
    },
    {
        "id": PRICE_INSIGHTS_EUR,
        "product": PRODUCT_INSIGHTS,
        "name": "Monthly",
        "amount": "2500",
        "currency": "EUR",
        "cycle": _MONTHLY,
    },
    {
        "id": PRICE_INSIGHTS_USD,
        "product": PRODUCT_INSIGHTS,
        "name": "Monthly",
        "amount": "2900",
        "currency": "USD",
        "cycle": _MONTHLY,
    },
    {
        "id": PRICE_CLOUD_PRO_EUR,
        "product": PRODUCT_CLOUD,
        "name": "Monthly, for large teams",
        "amount": "9900",
        "currency": "EUR",
        "cycle": _MONTHLY,
    },
    {
        "id": PRICE_CLOUD_PRO_USD,
        "product": PRODUCT_CLOUD,
        "name": "Monthly, for large teams",
        "amount": "10900",
        "currency": "USD",
        "cycle": _MONTHLY,
    },
    {
        "id": PRICE_CLOUD_TRIAL_USD,
        "product": PRODUCT_CLOUD,
        "name": "Monthly after a trial",
        "amount": "5500",
        "currency": "USD",
        "cycle": _MONTHLY,
        "trial": _TWO_WEEKS,
    },
    {
        "id": PRICE_SETUP_EUR,
        "product": PRODUCT_CLOUD,
        "name": "Setup",
        "amount": "10000",
        "currency": "EUR",
        "cycle": None,
    },
)
