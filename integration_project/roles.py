"""The four roles as one literal table: who may see and do what. A migration makes the groups match it."""

from collections.abc import Iterable
from typing import Any

EVERYTHING_VISIBLE = (
    *(
        f"paddle_sync.view_{model}"
        for model in (
            "webhookevent",
            "webhookpayload",
            "eventattempt",
            "eventdecision",
            "subscriptionsnapshot",
            "planmapping",
            "catalogueentry",
            "accountlink",
            "accountplanlink",
            "bulkrun",
            "bulkitem",
            "usageupload",
            "usagebatch",
            "usagefailure",
            "usageday",
            "lateforbill",
            "lateusage",
        )
    ),
    *(
        f"billing_bridge.view_{model}"
        for model in (
            "pushedbill",
            "billrevision",
            "push",
            "pushattempt",
            "billentry",
            "carriedentry",
            "pushpolicy",
            "productrule",
            "paddlecurrency",
            "reconciliationrun",
            "reconciliationrow",
        )
    ),
    *(
        f"integration_project.view_{model}"
        for model in (
            "installation",
            "finding",
            "mailrule",
            "mail",
            "apikey",
            "callbudget",
            "circuit",
            "heartbeat",
            "scheduledjob",
            "webhookrefusal",
        )
    ),
    "django_q.view_success",
    "django_q.view_failure",
    "django_q.view_ormq",
    "admin.view_logentry",
)

OPERATOR = (
    "paddle_sync.replay_webhookevent",
    "paddle_sync.ignore_webhookevent",
    "paddle_sync.reveal_payload",
    "paddle_sync.add_planmapping",
    "paddle_sync.change_planmapping",
    "paddle_sync.delete_planmapping",
    "paddle_sync.refresh_catalogueentry",
    "paddle_sync.sync_accountlink",
    "paddle_sync.relink_accountlink",
    "paddle_sync.begin_bulkrun",
    "paddle_sync.steer_bulkrun",
    "paddle_sync.send_usage",
    "paddle_sync.close_usagefailure",
    "paddle_sync.refresh_usageday",
    "integration_project.close_finding",
    "integration_project.add_mailrule",
    "integration_project.change_mailrule",
    "integration_project.mail_operations",
    "integration_project.make_apikey",
    "integration_project.revoke_apikey",
)
FINANCE = (
    "billing_bridge.review_pushedbill",
    "billing_bridge.resend_pushedbill",
    "billing_bridge.answer_pushedbill",
    "billing_bridge.add_pushpolicy",
    "billing_bridge.change_pushpolicy",
    "billing_bridge.delete_pushpolicy",
    "billing_bridge.add_productrule",
    "billing_bridge.change_productrule",
    "billing_bridge.delete_productrule",
    "billing_bridge.begin_reconciliationrun",
    "paddle_sync.recalculate_lateforbill",
    "paddle_sync.price_lateusage",
    "paddle_sync.refresh_usageday",
    "integration_project.go_live",
    "integration_project.plan_periods",
    "integration_project.close_finding",
    "integration_project.add_mailrule",
    "integration_project.change_mailrule",
    "integration_project.mail_bills",
)
AUDITOR = ("paddle_sync.reveal_payload", "auth.view_user", "auth.view_group")
ADMINISTRATOR = (
    *OPERATOR,
    *FINANCE,
    "integration_project.trust_codes",
    "integration_project.end_restore",
    "auth.view_user",
    "auth.add_user",
    "auth.change_user",
    "auth.view_group",
)

ROLES: dict[str, tuple[str, ...]] = {
    "Operator": (*EVERYTHING_VISIBLE, *OPERATOR),
    "Finance": (*EVERYTHING_VISIBLE, *FINANCE),
    "Auditor": (*EVERYTHING_VISIBLE, *AUDITOR),
    "Administrator": tuple(dict.fromkeys((*EVERYTHING_VISIBLE, *ADMINISTRATOR))),
}


def grant(group_model: Any, permission_model: Any) -> None:
    """Make the groups hold exactly what the table says, of the permissions that exist by now.

    A later migration that adds a permission grants again; a test compares the outcome of all migrations to the table.
    """
    existing = {
        f"{permission.content_type.app_label}.{permission.codename}": permission.pk
        for permission in permission_model.objects.select_related("content_type")
    }
    for name, permissions in ROLES.items():
        group, _ = group_model.objects.get_or_create(name=name)  # names of groups are unique
        group.permissions.set(_keys(permissions, existing))


def _keys(permissions: Iterable[str], existing: dict[str, int]) -> list[int]:
    return [existing[name] for name in permissions if name in existing]
