from django.apps import AppConfig


class IntegrationProjectConfig(AppConfig):
    """What both flows stand on: the installation, findings, call budgets, circuits and heartbeats."""

    name = "integration_project"
    verbose_name = "Installation"
    default_auto_field = "django.db.models.BigAutoField"
