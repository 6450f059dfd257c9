"""The console's pages for what both flows stand on, and for the people who work with it."""

from django.contrib.admin import site

from integration_project.admin.api_keys import ApiKeyAdmin
from integration_project.admin.findings import FindingAdmin
from integration_project.admin.installation import InstallationAdmin
from integration_project.admin.machinery import (
    CallBudgetAdmin,
    CircuitAdmin,
    HeartbeatAdmin,
    ScheduledJobAdmin,
    WebhookRefusalAdmin,
)
from integration_project.admin.mails import MailAdmin, MailRuleAdmin
from integration_project.admin.people import ConsoleGroupAdmin, ConsoleUserAdmin, LogEntryAdmin
from integration_project.pages.accounts import AccountLinkAdmin
from integration_project.pages.late_usage import LateUsageAdmin

site.site_title = site.site_header = "Paddle and m3ter"
site.index_title = "Home"
site.site_url = None

__all__ = [
    "AccountLinkAdmin",
    "ApiKeyAdmin",
    "CallBudgetAdmin",
    "CircuitAdmin",
    "ConsoleGroupAdmin",
    "ConsoleUserAdmin",
    "FindingAdmin",
    "HeartbeatAdmin",
    "InstallationAdmin",
    "LateUsageAdmin",
    "LogEntryAdmin",
    "MailAdmin",
    "MailRuleAdmin",
    "ScheduledJobAdmin",
    "WebhookRefusalAdmin",
]
