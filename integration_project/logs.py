"""What a log line may say: no webhook token, no key; one JSON object a line where that is asked for."""

import json
import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

WEBHOOK_TOKEN = re.compile(r"(/webhooks/m3ter/)[^/\s\"']+")
SECRETS = re.compile(r"(pdl_(?:live|sdbx)_apikey_|pdl_ntf(?:set)?_|Bearer |Basic )[^\s\"',;]+")


def mask(text: str) -> str:
    """Replace what must not be read in a log: tokens in webhook paths, keys, Authorization values."""
    return SECRETS.sub(r"\1***", WEBHOOK_TOKEN.sub(r"\1***", text))


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
