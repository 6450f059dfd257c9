from django.apps import AppConfig


class BillingBridgeConfig(AppConfig):
    """What flows out of m3ter: approved bills become charges in Paddle."""

    name = "billing_bridge"
    verbose_name = "m3ter to Paddle"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register this app's checks; importing them is enough."""
        from billing_bridge import checks  # noqa: F401
