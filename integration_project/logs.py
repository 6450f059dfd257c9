"""What a log line may say: no webhook token, no key; one JSON object a line where that is asked for."""

import json
import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from django.conf import settings

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

WEBHOOK_TOKEN = re.compile(r"(/webhooks?/+m3ter/+)[^/\s\"']+", re.IGNORECASE)
SECRET_SETTINGS = (
    "M3TER_WEBHOOK_TOKENS",
    "PADDLE_WEBHOOK_SECRETS",
    "PADDLE_API_KEY",
    "PADDLE_CLASSIC_VENDOR_AUTH_CODE",
    "M3TER_API_SECRET",
    "M3TER_ACCESS_KEY_ID",
    "METRICS_TOKEN",
    "SECRET_KEY",
    "EMAIL_HOST_PASSWORD",
)
SHORTEST_SECRET = 8
"""What is shorter protects nothing, and would be found inside ordinary words."""
SECRETS = re.compile(
    r"(pdl_(?:live|sdbx)_apikey_|pdl_ntf(?:set)?_|pm3key_|vendor_auth_code=|Bearer |Basic )[^\s\"',;]+"
)


def mask(text: str) -> str:
    """Replace what must not be read in a log: our own secrets wherever they stand, and what looks like one."""
    for secret in _our_secrets():
        if secret not in text and "%" in text and secret in unquote(text):
            text = unquote(text)
        text = text.replace(secret, "***")
    return SECRETS.sub(r"\1***", WEBHOOK_TOKEN.sub(r"\1***", text))


def _our_secrets() -> list[str]:
    """List the secrets that are configured; none while the settings are being read."""
    if not settings.configured:
        return []
    values: list[str] = []
    for name in SECRET_SETTINGS:
        value = getattr(settings, name, "")
        values += [value] if isinstance(value, str) else (value or [])
    values += [str(database.get("PASSWORD") or "") for database in settings.DATABASES.values()]
    return [value for value in values if len(value) >= SHORTEST_SECRET]


class MaskSecrets(logging.Filter):
    """Masks the message of every record, whoever wrote it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record's text and let it pass."""
        message = record.getMessage()
        masked = mask(message)
        if masked != message:
            record.msg, record.args = masked, None
        if record.exc_info and not record.exc_text:
            record.exc_text = mask(logging.Formatter().formatException(record.exc_info))
        return True


class JsonFormatter(logging.Formatter):
    """Writes one JSON object a line, for collectors."""

    def format(self, record: logging.LogRecord) -> str:
        """Turn a record into its line."""
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_text:
            line["traceback"] = record.exc_text
        return json.dumps(line, ensure_ascii=False)


def scrub(event: "Event", hint: "Hint") -> "Event":
    """Mask the address and drop body, headers and cookies before an error report leaves the machine."""
    request = event.get("request", {})
    for private in ("data", "headers", "cookies", "query_string", "env"):
        request.pop(private, None)
    masked: Event = json.loads(mask(json.dumps(event, default=str)))
    return masked


def start_sentry(dsn: str) -> None:
    """Send error reports to Sentry, without personal data, bodies or local variables."""
    import sentry_sdk

    sentry_sdk.init(  # the address comes from the environment; nothing is sent without it
        dsn=dsn, send_default_pii=False, include_local_variables=False, max_request_body_size="never", before_send=scrub
    )
