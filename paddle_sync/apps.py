from django.apps import AppConfig


class PaddleSyncConfig(AppConfig):
    """What flows into m3ter: Paddle subscriptions become accounts and plans."""

    name = "paddle_sync"
    verbose_name = "Paddle to m3ter"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register this app's checks; importing them is enough."""
        from paddle_sync import checks  # noqa: F401
