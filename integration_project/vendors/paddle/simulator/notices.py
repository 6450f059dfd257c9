"""Events and notifications: what happened, who is told, how often it was tried, and the signature on it."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from integration_project.vendors.paddle.simulator import guesses, sample, validation
from integration_project.vendors.paddle.simulator.envelope import Json, one
from integration_project.vendors.paddle.simulator.event_types import EVENT_TYPES, described
from integration_project.vendors.paddle.simulator.listing import Listing, field_of
from integration_project.vendors.paddle.simulator.refusals import refuse
from integration_project.vendors.paddle.simulator.validation import Shape, checked, optional, required
from integration_project.vendors.paddle.simulator.world import World
from integration_project.vendors.simulation import Answer, Delivery, Outbox, Request, Route, encode_json

MOST_ACTIVE_SETTINGS = 10
EVENTS_KEPT = timedelta(days=90)
SETTING_UPDATE: Shape = {
    "description": optional(validation.text(1, 500)),
    "destination": optional(validation.text(1, 2048)),
    "active": optional(validation.flag),
    "api_version": optional(validation.whole(1)),
    "include_sensitive_fields": optional(validation.flag),
    "subscribed_events": optional(validation.many(validation.choice(*EVENT_TYPES), minimum=1)),
    "traffic_source": optional(validation.choice("platform", "simulation", "all")),
}
SETTING_CREATE: Shape = {
    **{name: field for name, field in SETTING_UPDATE.items() if name != "active"},
    "description": required(validation.text(1, 500)),
    "type": required(validation.choice("url", "email")),
    "destination": required(validation.text(1, 2048)),
    "subscribed_events": required(validation.many(validation.choice(*EVENT_TYPES), minimum=1)),
}


def sign(body: bytes, secrets: Sequence[str], at: datetime) -> str:
    """The Paddle-Signature header: one h1 for each secret."""
    moment = int(at.timestamp())
    hashes = (hmac.new(secret.encode(), b"%d:" % moment + body, hashlib.sha256).hexdigest() for secret in secrets)
    return ";".join((f"ts={moment}", *(f"h1={value}" for value in hashes)))


def live_schedule(failed: int) -> float | None:
    """Seconds until the next attempt after so many failures, on live."""
    if failed >= guesses.LIVE_ATTEMPTS:
        return None
    return guesses.LIVE_FIRST_RETRY * guesses.LIVE_FACTOR ** (failed - 1)


def sandbox_schedule(failed: int) -> float | None:
    """The same in the sandbox."""
    return guesses.SANDBOX_RETRIES[failed - 1] if failed <= len(guesses.SANDBOX_RETRIES) else None


class Notices:
    """The operations on events, notifications and their destinations."""

    def __init__(self, world: World, outbox: Outbox) -> None:
        self.world = world
        self.outbox = outbox
        world.listeners.append(self.tell)
        self.event_list = Listing(
            equal={"event_type": field_of("event_type"), "filter": lambda event: _ids(event["data"])},
            others=frozenset({"from", "to"}),
            key="event_id",
        )
        self.notification_list = Listing(
            equal={
                "notification_setting_id": field_of("notification_setting_id"),
                "status": field_of("status"),
                "filter": lambda notification: _ids(notification["payload"]["data"]),
            },
            others=frozenset({"from", "to", "search"}),
        )
        self.log_list = Listing()
        self.setting_list = Listing(
            equal={"active": field_of("active"), "traffic_source": field_of("traffic_source")},
            default_size=200,
        )

    def routes(self) -> Sequence[Route]:
        """The operations."""
        notification, setting = "/notifications/{notification_id}", "/notification-settings/{notification_setting_id}"
        read, write = "notification_setting.read", "notification_setting.write"
        return (
            Route("GET", "/events", "list events", self.list_events, "notification.read"),
            Route("GET", "/event-types", "list event types", self.list_event_types),
            Route("GET", "/notifications", "list notifications", self.list_notifications, "notification.read"),
            Route("GET", notification, "get notification", self.get_notification, "notification.read"),
            Route("GET", f"{notification}/logs", "list notification logs", self.list_logs, "notification.read"),
            Route("POST", f"{notification}/replay", "replay notification", self.replay, "notification.write"),
            Route("GET", "/notification-settings", "list notification settings", self.list_settings, read),
            Route("POST", "/notification-settings", "create notification setting", self.create_setting, write),
            Route("GET", setting, "get notification setting", self.get_setting, read),
            Route("PATCH", setting, "update notification setting", self.update_setting, write),
            Route("DELETE", setting, "delete notification setting", self.delete_setting, write),
        )

    # Telling.

    def tell(self, event: Json) -> None:
        """Make a notification of an event for every destination that asked for it, unless all are out of reach."""
        if self.world.memory.silent:
            return
        for setting in self.world.memory.settings.values():
            names = {entry["name"] for entry in setting["subscribed_events"]}
            if setting["active"] and setting["type"] == "url" and event["event_type"] in names:
                self._notify(setting, event, origin="event")

    def _notify(self, setting: Json, event: Json, *, origin: str) -> Json:
        notification_id = self.world.new_id("ntf")
        payload = {**event, "notification_id": notification_id}
        notification = {
            "id": notification_id,
            "type": event["event_type"],
            "status": "not_attempted",
            "payload": payload,
            "occurred_at": event["occurred_at"],
            "delivered_at": None,
            "replayed_at": None,
            "origin": origin,
            "last_attempt_at": None,
            "retry_at": None,
            "times_attempted": 0,
            "notification_setting_id": setting["id"],
        }
        self.world.memory.notifications[notification_id] = notification
        self.outbox.add(
            Delivery(
                id=notification_id,
                url=setting["destination"],
                body=encode_json(payload),
                due_at=self.world.transport_now(),
                destination=setting["id"],
            )
        )
        return notification

    def headers(self, delivery: Delivery, at: datetime) -> Mapping[str, str]:
        """The headers of one attempt, signed now with every secret that is valid now."""
        setting = self.world.memory.settings.get(delivery.destination)
        if setting is None:
            return {}
        secrets = [setting["endpoint_secret_key"]]
        if delivery.destination in self.world.memory.old_secrets:
            secrets.append(self.world.memory.old_secrets[delivery.destination])
        return {"Paddle-Signature": sign(delivery.body, secrets, at), "User-Agent": "Paddle"}

    def attempted(self, delivery: Delivery) -> None:
        """Bring a notification up to date after an attempt."""
        notification = self.world.memory.notifications.get(delivery.id)
        if notification is None:
            return
        attempt, stamp = delivery.attempts[-1], self.world.stamp
        status = "delivered" if delivery.delivered_at else "failed" if delivery.given_up else "needs_retry"
        notification |= {
            "status": status,
            "delivered_at": stamp(delivery.delivered_at) if delivery.delivered_at else None,
            "last_attempt_at": stamp(attempt.at),
            "retry_at": stamp(delivery.due_at) if delivery.due_at else None,
            "times_attempted": len(delivery.attempts),
        }
        log = {
            "id": self.world.new_id("ntflog"),
            "response_code": attempt.status,
            "response_content_type": None,
            "response_body": "",
            "attempted_at": stamp(attempt.at),
        }
        self.world.memory.logs[delivery.id].append(log)

    # Destinations.

    def add_setting(self, fields: Json, *, setting_id: str, secret: str) -> Json:
        """A new destination."""
        setting = {
            "id": setting_id,
            "description": fields["description"],
            "type": fields["type"],
            "destination": fields["destination"],
            "active": True,
            "api_version": fields.get("api_version", 1),
            "include_sensitive_fields": fields.get("include_sensitive_fields", False),
            "subscribed_events": [described(name) for name in fields["subscribed_events"]],
            "endpoint_secret_key": secret,
            "traffic_source": fields.get("traffic_source", "platform"),
        }
        self.world.memory.settings[setting_id] = setting
        return setting

    def add_sample_setting(self, url: str) -> Json:
        """The destination of the sample account, told of everything."""
        fields = {"description": "Integration", "type": "url", "destination": url, "subscribed_events": EVENT_TYPES}
        return self.add_setting(fields, setting_id=sample.NOTIFICATION_SETTING_ID, secret=sample.WEBHOOK_SECRET)

    def rotate_secret(self, setting_id: str) -> str:
        """A new secret; the old one signs too until `finish_rotation`."""
        setting = self.world.get(self.world.memory.settings, setting_id)
        self.world.memory.old_secrets[setting_id] = setting["endpoint_secret_key"]
        setting["endpoint_secret_key"] = self._new_secret()
        return str(setting["endpoint_secret_key"])

    def _new_secret(self) -> str:
        first, second = self.world.new_id("x")[2:], self.world.new_id("x")[2:]
        return f"pdl_ntfset_{first}_{second}Secret"

    # Operations.

    def list_events(self, request: Request) -> Answer:
        """List what happened in the last 90 days."""
        self.event_list.check_parameters(request)
        oldest = self.world.stamp(
            self.world.now() - EVENTS_KEPT
        )  # all are written alike, so that text compares as time
        kept = [event for event in self.world.memory.events if event["occurred_at"] >= oldest]
        events = self.world.visible("list events", kept, key="event_id")
        return self.event_list.answer(request, self._between(request, events))

    def list_event_types(self, request: Request) -> Answer:
        """List the names there are."""
        return one([described(name) for name in EVENT_TYPES])

    def list_notifications(self, request: Request) -> Answer:
        """List what was sent, or will be."""
        self.notification_list.check_parameters(request)
        search = request.param("search", "") or ""
        notifications = [
            entry
            for entry in self.world.memory.notifications.values()
            if not search or search in entry["id"] or search in entry["type"]
        ]
        return self.notification_list.answer(request, self._between(request, notifications))

    def _between(self, request: Request, entries: Sequence[Json]) -> Sequence[Json]:
        times = Listing(times={"occurred_at": field_of("occurred_at")})
        for name, operator in (("from", "GTE"), ("to", "LTE")):
            bound = request.param(name)
            if bound is not None:
                entries = [entry for entry in entries if times.compares(entry["occurred_at"], operator, bound, name)]
        return entries

    def get_notification(self, request: Request) -> Answer:
        """Get a notification."""
        return one(self._notification(request))

    def list_logs(self, request: Request) -> Answer:
        """List the attempts to deliver a notification."""
        self.log_list.check_parameters(request)
        return self.log_list.answer(request, self.world.memory.logs[self._notification(request)["id"]])

    def replay(self, request: Request) -> Answer:
        """Send an event again as a new notification."""
        notification = self._notification(request)
        if notification["origin"] != "event":
            raise refuse("notification_replay_invalid_origin_type", "A replay cannot be replayed.")
        if notification["status"] not in ("delivered", "failed"):
            raise refuse("notification_cannot_replay", f"The notification is {notification['status']}.")
        setting = self.world.get(self.world.memory.settings, notification["notification_setting_id"])
        event = {name: value for name, value in notification["payload"].items() if name != "notification_id"}
        replayed = self._notify(setting, event, origin="replay")
        notification["replayed_at"] = self.world.stamp()
        return one({"notification_id": replayed["id"]}, status=202)

    def _notification(self, request: Request) -> Json:
        return self.world.get(self.world.memory.notifications, request.path_params["notification_id"])

    def list_settings(self, request: Request) -> Answer:
        """List the destinations."""
        self.setting_list.check_parameters(request)
        return self.setting_list.answer(request, self.world.memory.settings.values())

    def create_setting(self, request: Request) -> Answer:
        """Add a destination."""
        fields = checked(request, SETTING_CREATE)
        active = sum(1 for setting in self.world.memory.settings.values() if setting["active"])
        if active >= MOST_ACTIVE_SETTINGS:
            raise refuse("notification_maximum_active_settings_reached", "Ten destinations are active.")
        setting = self.add_setting(fields, setting_id=self.world.new_id("ntfset"), secret=self._new_secret())
        return one(setting, status=201)

    def get_setting(self, request: Request) -> Answer:
        """Get a destination."""
        return one(self._setting(request))

    def update_setting(self, request: Request) -> Answer:
        """Change a destination."""
        setting = self._setting(request)
        fields = checked(request, SETTING_UPDATE)
        if "subscribed_events" in fields:
            fields["subscribed_events"] = [described(name) for name in fields["subscribed_events"]]
        setting.update(fields)
        return one(setting)

    def delete_setting(self, request: Request) -> Answer:
        """Remove a destination."""
        del self.world.memory.settings[self._setting(request)["id"]]
        return Answer(204)

    def _setting(self, request: Request) -> Json:
        return self.world.get(self.world.memory.settings, request.path_params["notification_setting_id"])


def _ids(data: Json) -> list[str]:
    names = ("id", "subscription_id", "customer_id", "transaction_id")
    return [str(data[name]) for name in names if data.get(name)]
