"""The console's menu, and the badge that says which environment this is, for the look that has room for them."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

# Title of the group, then (title, icon, application, model) of its pages, in the order people work through them.
PAGES: tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...] = (
    (
        "Paddle to m3ter",
        (
            ("Events", "bolt", "paddle_sync", "webhookevent"),
            ("Plan mappings", "alt_route", "paddle_sync", "planmapping"),
            ("Account links", "link", "paddle_sync", "accountlink"),
            ("Catalogue", "category", "paddle_sync", "catalogueentry"),
            ("Bulk runs", "playlist_play", "paddle_sync", "bulkrun"),
        ),
    ),
    (
        "Usage to m3ter",
        (
            ("Usage", "query_stats", "paddle_sync", "usageday"),
            ("Usage files", "upload_file", "paddle_sync", "usageupload"),
            ("Batches", "outbox", "paddle_sync", "usagebatch"),
            ("Failures", "report", "paddle_sync", "usagefailure"),
            ("Late usage", "more_time", "paddle_sync", "lateusage"),
            ("Late for approved bills", "history_toggle_off", "paddle_sync", "lateforbill"),
            ("Usage by day", "calendar_month", "paddle_sync", "usageday"),
            ("API keys", "key", "integration_project", "apikey"),
        ),
    ),
    (
        "m3ter to Paddle",
        (
            ("Bills", "receipt_long", "billing_bridge", "pushedbill"),
            ("Plan", "event_upcoming", "billing_bridge", "pushedbill"),
            ("Pushes", "upload", "billing_bridge", "push"),
            ("Ledger", "account_balance", "billing_bridge", "billentry"),
            ("Carried balance", "move_down", "billing_bridge", "carriedentry"),
            ("Reconciliations", "balance", "billing_bridge", "reconciliationrun"),
            ("Reconciled bills", "fact_check", "billing_bridge", "reconciliationrow"),
            ("Push policy", "policy", "billing_bridge", "pushpolicy"),
            ("Product rules", "inventory_2", "billing_bridge", "productrule"),
            ("Paddle's currencies", "payments", "billing_bridge", "paddlecurrency"),
        ),
    ),
    (
        "This installation",
        (
            ("Findings", "flag", "integration_project", "finding"),
            ("Who is mailed about what", "contact_mail", "integration_project", "mailrule"),
            ("Mails", "outgoing_mail", "integration_project", "mail"),
            ("Go-live and settings", "rocket_launch", "integration_project", "installation"),
            ("Vendors' circuits", "electric_bolt", "integration_project", "circuit"),
            ("Call budgets", "speed", "integration_project", "callbudget"),
            ("Workers", "favorite", "integration_project", "heartbeat"),
            ("Schedule", "schedule", "integration_project", "scheduledjob"),
            ("Refused webhooks", "block", "integration_project", "webhookrefusal"),
        ),
    ),
    (
        "People",
        (
            ("Users", "person", "auth", "user"),
            ("Roles", "group", "auth", "group"),
            ("What people did", "history", "admin", "logentry"),
        ),
    ),
    (
        "Machinery",
        (
            ("Jobs done", "task_alt", "django_q", "success"),
            ("Jobs failed", "error", "django_q", "failure"),
            ("Jobs waiting", "hourglass", "django_q", "ormq"),
        ),
    ),
)

NO_LISTS = {"Plan": "plan", "Usage": "seen"}
"""Pages that are no list of rows, by title: the name of their address after the model's."""


def environment(request: HttpRequest) -> list[str]:
    """Give the badge of the page's head: words and colour."""
    return ["LIVE", "danger"] if settings.PADDLE_ENVIRONMENT == "live" else ["SANDBOX", "warning"]


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """List the pages this person may see, grouped by what they are for."""
    home = {"title": "Home", "icon": "home", "link": reverse("admin:index")}
    groups: list[dict[str, Any]] = [{"title": None, "items": [home]}]
    for title, pages in PAGES:
        items: list[dict[str, Any]] = [
            {"title": name, "icon": icon, "link": reverse(f"admin:{app}_{model}_{NO_LISTS.get(name, 'changelist')}")}
            for name, icon, app, model in pages
            if request.user.has_perm(f"{app}.view_{model}")
        ]
        if here := [item for item in items if item["link"] == request.path]:
            for item in items:  # else the list below which a page's address stands would be marked too
                item["active"] = item in here
        if items:
            groups.append({"title": title, "separator": True, "collapsible": False, "items": items})
    return groups
