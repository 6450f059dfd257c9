"""The names of Paddle's events."""

from integration_project.vendors.paddle.simulator.envelope import Json

_BY_GROUP = {
    "address": "created imported updated",
    "adjustment": "created updated",
    "api_key": "created expired expiring revoked updated",
    "api_key_exposure": "created",
    "business": "created imported updated",
    "client_token": "created revoked updated",
    "customer": "created imported updated",
    "discount": "created imported updated",
    "discount_group": "created updated",
    "payment_method": "deleted saved",
    "payout": "created paid",
    "price": "created imported updated",
    "product": "created imported updated",
    "report": "created updated",
    "subscription": "activated canceled created imported past_due paused resumed trialing updated",
    "transaction": "billed canceled completed created paid past_due payment_failed ready revised updated",
}
EVENT_TYPES: tuple[str, ...] = tuple(
    f"{group}.{what}" for group, happenings in _BY_GROUP.items() for what in happenings.split()
)


def described(name: str) -> Json:
    """An event type as Paddle describes it."""
    group, what = name.split(".")
    return {
        "name": name,
        "description": f"Occurs when: {group.replace('_', ' ')} {what.replace('_', ' ')}.",
        "group": group.replace("_", " ").capitalize(),
        "available_versions": [1],
    }
