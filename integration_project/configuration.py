"""Reads settings from the environment and refuses the impossible: typed, plainly worded, no insecure default."""

import ipaddress
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email

MODES = ("service", "demo", "test")
LIVE_KEY_PREFIX = "pdl_live_"
SANDBOX_KEY_PREFIX = "pdl_sdbx_"
PADDLE_ADDRESSES = {"live": "https://api.paddle.com", "sandbox": "https://sandbox-api.paddle.com"}
CLASSIC_ADDRESSES = {"live": "https://vendors.paddle.com", "sandbox": "https://sandbox-vendors.paddle.com"}
SHORTEST_WEBHOOK_TOKEN = 32
WEBHOOK_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
"""What stands in a path as it is, so that it can be found and masked in a log however the path was written."""
EXAMPLES = {
    "DATABASE_URL": "postgres://user:password@host/name",
    "EMAIL_URL": "smtp+tls://user:password@host:587",
}
SMTP = "django.core.mail.backends.smtp.EmailBackend"
SQLITE, POSTGRESQL = "django.db.backends.sqlite3", "django.db.backends.postgresql"
SQLITE_OPTIONS: Mapping[str, Any] = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}
POSTGRESQL_OPTIONS: Mapping[str, Any] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""A host that vanished without a word is noticed within a minute; without these it takes a quarter of an hour."""


def is_loopback(url: str) -> bool:
    """Say whether an address can only be this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Environment:
    """Where settings come from: the process's variables, or for the demo and the tests only those with their prefix.

    A variable that a deployment exported for the service (a live key, a production database) can so never reach the
    demo or a test run.
    """

    mode: str
    variables: Mapping[str, str]

    @classmethod
    def of(cls, mode: str, variables: Mapping[str, str]) -> "Environment":
        """Choose the variables of a mode: all of them for the service, DEMO_... or TEST_... for the others."""
        if mode not in MODES:
            raise ImproperlyConfigured(f"INTEGRATION_MODE is set by manage.py and the tests, never by hand: {mode!r}.")
        if mode == "service":
            return cls(mode, variables)
        prefix = f"{mode.upper()}_"
        return cls(
            mode, {name.removeprefix(prefix): text for name, text in variables.items() if name.startswith(prefix)}
        )

    def text(self, name: str, default: str | None = None) -> str:
        """Read a text exactly as it stands; django-environ would follow a value that begins with a dollar sign."""
        value = self.variables.get(name, default)
        if value is None or (default is None and not value.strip()):
            raise ImproperlyConfigured(f"{name} is not set. Put it into the environment or into .env beside manage.py.")
        return value.strip()

    def list(self, name: str, default: str = "") -> list[str]:
        """Read a comma-separated list, dropping blanks."""
        return [part.strip() for part in self.variables.get(name, default).split(",") if part.strip()]

    def whole_number(self, name: str, default: int, *, smallest: int) -> int:
        """Read an integer that is at least `smallest`."""
        text = self.variables.get(name, str(default)).strip()
        try:
            value = int(text)
        except ValueError:
            raise ImproperlyConfigured(f"{name} must be a whole number, not {text!r}.") from None
        if value < smallest:
            raise ImproperlyConfigured(f"{name} must be at least {smallest}, not {value}.")
        return value

    def switch(self, name: str) -> bool:
        """Read a yes or no that is no unless it says otherwise."""
        text = self.variables.get(name, "no").strip().lower()
        if text in {"1", "true", "yes", "on"}:
            return True
        if text in {"", "0", "false", "no", "off"}:
            return False
        raise ImproperlyConfigured(f"{name} must be yes or no, not {text!r}.")

    def address(self, name: str, default: str) -> str:
        """Read a vendor's base address: https, or loopback; in the demo and in tests loopback only."""
        url = self.variables.get(name, default).strip().rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ImproperlyConfigured(f"{name} must be an address such as https://host, not {url!r}.")
        if parts.username or parts.password:
            raise ImproperlyConfigured(f"{name} must not carry a user name or password.")
        if is_loopback(url):
            return url
        if self.mode != "service":
            raise ImproperlyConfigured(
                f"{name}: the demo and the tests talk to this machine only, not {parts.hostname}."
            )
        if parts.scheme != "https":
            raise ImproperlyConfigured(f"{name} must begin with https:// because secrets travel on it.")
        return url


def database(url: str, *, folder: Path) -> dict[str, Any]:
    """Turn DATABASE_URL into Django's settings, with the options that the job engine relies on.

    A relative SQLite path is one below `folder`: every process must mean the same file, wherever it was started.
    """
    parsed = _read_address("DATABASE_URL", url, environ.Env.db_url_config)
    engine, name = parsed.get("ENGINE"), str(parsed.get("NAME") or "")
    if engine == SQLITE and name:
        path = name if name == ":memory:" else str(folder / name)
        return {**parsed, "NAME": path, "OPTIONS": dict(SQLITE_OPTIONS), "TEST": {"NAME": path + ".test"}}
    if engine == POSTGRESQL and name:
        options = {**POSTGRESQL_OPTIONS, **parsed.get("OPTIONS", {})}
        return {**parsed, "OPTIONS": options, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    raise ImproperlyConfigured(_unreadable("DATABASE_URL"))


def mail(url: str, *, here_only: bool = False) -> dict[str, Any]:
    """Turn EMAIL_URL into Django's settings; a server elsewhere is refused where nothing may leave this machine."""
    parsed = _read_address("EMAIL_URL", url, environ.Env.email_url_config)
    if parsed["EMAIL_BACKEND"] != SMTP:
        return parsed
    host = parsed["EMAIL_HOST"]
    if not host:
        raise ImproperlyConfigured(_unreadable("EMAIL_URL"))
    if is_loopback(f"smtp://[{host}]" if ":" in host else f"smtp://{host}"):
        return parsed
    if here_only:
        raise ImproperlyConfigured("EMAIL_URL: the demo and the tests mail to this machine only.")
    if parsed["EMAIL_HOST_PASSWORD"] and not (parsed.get("EMAIL_USE_TLS") or parsed.get("EMAIL_USE_SSL")):
        raise ImproperlyConfigured(
            "EMAIL_URL must begin with smtp+tls:// or smtp+ssl:// because a password travels on it."
        )
    return parsed


def mail_sender(address: str, *, user: str, site: str) -> str:
    """Choose whom mails are from: the address given, else the mail server's user, else this service at its own host."""
    if address and not is_mail_address(address):
        raise ImproperlyConfigured(
            f"EMAIL_FROM must be one plain address such as console@example.com, not {address!r}."
        )
    guesses = (address, user, f"paddle-m3ter@{urlsplit(site).hostname}", "paddle-m3ter@localhost")
    return next(guess for guess in guesses if is_mail_address(guess))


def is_mail_address(text: str) -> bool:
    """Say whether a text is one plain address: no name beside it, nothing that could end a line of a mail's head."""
    try:
        validate_email(text)
    except ValidationError:
        return False
    return text.isascii() and text.isprintable()


def _read_address(name: str, url: str, read: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Read an address that may hold a password: what is wrong with it is said without a word of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return read(url)
    except Exception:  # noqa: BLE001 - whatever the reader stumbles over, its words may quote the address
        raise ImproperlyConfigured(_unreadable(name)) from None


def _unreadable(name: str) -> str:
    return f"{name} cannot be read: it must look like {EXAMPLES[name]}, special characters of a password as %XX."


def check_paddle_environment(*, environment: str, api_url: str, api_key: str) -> None:
    """Refuse to start when the key, the address and PADDLE_ENVIRONMENT do not belong together.

    The key's prefix is Paddle's since 2025; older keys have none and are taken as they are.
    """
    if environment not in PADDLE_ADDRESSES:
        raise ImproperlyConfigured(f"PADDLE_ENVIRONMENT must be sandbox or live, not {environment!r}.")
    other = "live" if environment == "sandbox" else "sandbox"
    if api_url == PADDLE_ADDRESSES[other]:
        raise ImproperlyConfigured(
            f"PADDLE_API_URL is Paddle's {other} address, but PADDLE_ENVIRONMENT is {environment}."
        )
    prefix = {"live": LIVE_KEY_PREFIX, "sandbox": SANDBOX_KEY_PREFIX}[other]
    if api_key.startswith(prefix):
        raise ImproperlyConfigured(f"PADDLE_API_KEY is a {other} key, but PADDLE_ENVIRONMENT is {environment}.")
    if environment == "live" and is_loopback(api_url):
        raise ImproperlyConfigured("PADDLE_ENVIRONMENT is live, but PADDLE_API_URL is this machine.")


def public_key(name: str, text: str) -> str:
    """Read a public RSA key in PEM form, whose line breaks may be written as \\n; empty where none is given."""
    pem = text.replace("\\r", "").replace("\\n", "\n").strip()
    if not pem:
        return ""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, RSAPublicKey):
        raise ImproperlyConfigured(
            f"{name} must be the public key as Paddle shows it, from -----BEGIN PUBLIC KEY----- to"
            " -----END PUBLIC KEY-----, its line breaks kept or written as \\n."
        )
    return pem + "\n"


def check_paddle_classic(*, environment: str, api_url: str, keys: Mapping[str, str]) -> None:
    """Refuse to start with half of Paddle Classic: all of its keys, or none, and the address of the environment."""
    missing = [name for name, value in keys.items() if not value]
    if len(missing) == len(keys):
        return
    if missing:
        given = next(name for name in keys if name not in missing)
        raise ImproperlyConfigured(
            f"{' and '.join(missing)} must be set because {given} is; without any of them Paddle Classic is off."
        )
    if not keys["PADDLE_CLASSIC_VENDOR_ID"].isdecimal():
        raise ImproperlyConfigured("PADDLE_CLASSIC_VENDOR_ID must be the number that Paddle shows as vendor id.")
    other = "live" if environment == "sandbox" else "sandbox"
    if urlsplit(api_url).hostname == urlsplit(CLASSIC_ADDRESSES[other]).hostname:
        raise ImproperlyConfigured(
            f"PADDLE_CLASSIC_API_URL is Paddle's {other} address, but PADDLE_ENVIRONMENT is {environment}."
        )
    if environment == "live" and is_loopback(api_url):
        raise ImproperlyConfigured("PADDLE_ENVIRONMENT is live, but PADDLE_CLASSIC_API_URL is this machine.")


def check_webhook_tokens(tokens: list[str]) -> list[str]:
    """Refuse tokens that could be guessed; they are all that protects the m3ter webhook address."""
    for number, token in enumerate(tokens, start=1):
        if len(token) < SHORTEST_WEBHOOK_TOKEN:
            raise ImproperlyConfigured(
                f"M3TER_WEBHOOK_TOKENS: number {number} has {len(token)} characters, not {SHORTEST_WEBHOOK_TOKEN}."
            )
        if not WEBHOOK_TOKEN.fullmatch(token):
            raise ImproperlyConfigured(
                f"M3TER_WEBHOOK_TOKENS: number {number} has characters other than letters, digits, - and _."
            )
    return tokens


def check_external_system(name: str) -> str:
    """Refuse the name that m3ter's own Paddle integration reads its mappings under."""
    if name.lower() == "paddle":
        raise ImproperlyConfigured(
            "M3TER_EXTERNAL_SYSTEM must not be Paddle: m3ter's own integration would use our mappings."
        )
    return name
