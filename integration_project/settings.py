"""All settings, from the environment (and .env beside manage.py) through typed readers that fail loudly.

INTEGRATION_MODE is set by manage.py and the tests, never by people: `service` reads .env and DATABASE_URL, `demo` and
`test` ignore both, take only variables that begin with DEMO_ or TEST_, and talk to this machine only.
"""

import os
import secrets
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import environ

from integration_project import configuration

BASE_DIR = Path(__file__).resolve().parent.parent
MODE = os.environ.get("INTEGRATION_MODE", "service")
SERVICE = MODE == "service"
if SERVICE:
    environ.Env.read_env(str(BASE_DIR / ".env"))
read = configuration.Environment.of(MODE, os.environ)

# --- The service ------------------------------------------------------------

SECRET_KEY = read.text("SECRET_KEY", None if SERVICE else secrets.token_urlsafe(50))
DEBUG = read.switch("DEBUG") if SERVICE else False
ALLOWED_HOSTS = read.list("ALLOWED_HOSTS") if SERVICE else ["localhost", "127.0.0.1", "[::1]", "testserver"]
CSRF_TRUSTED_ORIGINS = read.list("CSRF_TRUSTED_ORIGINS") if SERVICE else []
SITE_URL = read.text("SITE_URL", "")
METRICS_TOKEN = read.text("METRICS_TOKEN", "")
SENTRY_DSN = read.text("SENTRY_DSN", "") if SERVICE else ""

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.simple_history",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "simple_history",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "integration_project",
    "paddle_sync",
    "billing_bridge",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
]

ROOT_URLCONF = "integration_project.urls"
WSGI_APPLICATION = "integration_project.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
APPEND_SLASH = False

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if read.switch("TRUST_PROXY_HEADERS") else None
SECURE_SSL_REDIRECT = False
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SERVICE and not DEBUG
SECURE_HSTS_SECONDS = 31_536_000 if SERVICE and not DEBUG else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
REQUEST_BODY_LIMIT = 1024 * 1024
USAGE_FILE_LIMIT = read.whole_number("USAGE_FILE_LIMIT", 2 * 1024**3, smallest=1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * REQUEST_BODY_LIMIT

# --- Database ------------------------------------------------------------

DATABASE_DEFAULT = {
    "service": None,
    "demo": f"sqlite:///{BASE_DIR / '.demo' / 'demo.sqlite3'}",
    "test": f"sqlite:///{Path(tempfile.gettempdir()) / f'paddle-m3ter-{os.getpid()}.sqlite3'}",
}[MODE]
DATABASES = {"default": configuration.database(read.text("DATABASE_URL", DATABASE_DEFAULT), folder=BASE_DIR)}

# --- Mail ------------------------------------------------------------
# Without an address nothing is mailed, and the console says so. The demo writes its mails into files.

_mail_url = read.text(
    "EMAIL_URL",
    {"service": "", "demo": f"filemail:///{quote(str(BASE_DIR / '.demo' / 'mail'))}", "test": "memorymail://"}[MODE],
)
MAIL_IS_ON = bool(_mail_url)
_mail = configuration.mail(_mail_url or "dummymail://", here_only=not SERVICE)
vars().update(_mail)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = configuration.mail_sender(
    read.text("EMAIL_FROM", ""), user=_mail["EMAIL_HOST_USER"] or "", site=SITE_URL
)

# --- Paddle Billing ------------------------------------------------------------

PADDLE_ENVIRONMENT = read.text("PADDLE_ENVIRONMENT", None if SERVICE else "sandbox")
PADDLE_API_URL = read.address(
    "PADDLE_API_URL",
    configuration.PADDLE_ADDRESSES.get(PADDLE_ENVIRONMENT, "") if SERVICE else "http://127.0.0.1:8801",
)
PADDLE_API_KEY = read.text("PADDLE_API_KEY", None if SERVICE else "")
PADDLE_WEBHOOK_SECRETS = read.list("PADDLE_WEBHOOK_SECRETS")
PADDLE_WEBHOOK_TOLERANCE = read.whole_number("PADDLE_WEBHOOK_TOLERANCE", 300, smallest=5)
configuration.check_paddle_environment(environment=PADDLE_ENVIRONMENT, api_url=PADDLE_API_URL, api_key=PADDLE_API_KEY)

# --- Paddle Classic ------------------------------------------------------------
# Without the three keys it is off.

PADDLE_CLASSIC_API_URL = read.address(
    "PADDLE_CLASSIC_API_URL",
    configuration.CLASSIC_ADDRESSES.get(PADDLE_ENVIRONMENT, "") if SERVICE else "http://127.0.0.1:8803",
).removesuffix("/api/2.0")
PADDLE_CLASSIC_VENDOR_ID = read.text("PADDLE_CLASSIC_VENDOR_ID", "")
PADDLE_CLASSIC_VENDOR_AUTH_CODE = read.text("PADDLE_CLASSIC_VENDOR_AUTH_CODE", "")
PADDLE_CLASSIC_PUBLIC_KEY = configuration.public_key(
    "PADDLE_CLASSIC_PUBLIC_KEY", read.text("PADDLE_CLASSIC_PUBLIC_KEY", "")
)
configuration.check_paddle_classic(
    environment=PADDLE_ENVIRONMENT,
    api_url=PADDLE_CLASSIC_API_URL,
    keys={
        "PADDLE_CLASSIC_VENDOR_ID": PADDLE_CLASSIC_VENDOR_ID,
        "PADDLE_CLASSIC_VENDOR_AUTH_CODE": PADDLE_CLASSIC_VENDOR_AUTH_CODE,
        "PADDLE_CLASSIC_PUBLIC_KEY": PADDLE_CLASSIC_PUBLIC_KEY,
    },
)

# --- m3ter ------------------------------------------------------------

M3TER_API_URL = read.address("M3TER_API_URL", "https://api.m3ter.com" if SERVICE else "http://127.0.0.1:8802")
M3TER_INGEST_URL = read.address("M3TER_INGEST_URL", "https://ingest.m3ter.com" if SERVICE else M3TER_API_URL)
M3TER_ORG_ID = read.text("M3TER_ORG_ID", None if SERVICE else "")
M3TER_ACCESS_KEY_ID = read.text("M3TER_ACCESS_KEY_ID", None if SERVICE else "")
M3TER_API_SECRET = read.text("M3TER_API_SECRET", None if SERVICE else "")
M3TER_WEBHOOK_TOKENS = configuration.check_webhook_tokens(read.list("M3TER_WEBHOOK_TOKENS"))
M3TER_EXTERNAL_SYSTEM = configuration.check_external_system(read.text("M3TER_EXTERNAL_SYSTEM", "PaddleBridge"))

# --- Calls ------------------------------------------------------------
# Rate x window + burst stays at or under 0.97 of the vendor's limit: Paddle 240 a minute, m3ter 50 a second; where
# measurements are sent 5,000 in 5 minutes besides, and of usage queries one a second.
# Paddle Classic documents none for reading: 120 a minute is a guess, here and nowhere else.

PADDLE_CALLS_PER_MINUTE = read.whole_number("PADDLE_CALLS_PER_MINUTE", 240, smallest=10)
PADDLE_CLASSIC_CALLS_PER_MINUTE = read.whole_number("PADDLE_CLASSIC_CALLS_PER_MINUTE", 120, smallest=10)
M3TER_CALLS_PER_SECOND = read.whole_number("M3TER_CALLS_PER_SECOND", 50, smallest=5)
M3TER_INGEST_CALLS_PER_5_MINUTES = read.whole_number("M3TER_INGEST_CALLS_PER_5_MINUTES", 5000, smallest=50)
M3TER_QUERIES_PER_MINUTE = read.whole_number("M3TER_QUERIES_PER_MINUTE", 60, smallest=6)
VENDOR_TRANSPORTS: dict[str, Any] = {}

# --- Jobs ------------------------------------------------------------
# Vendor deadline < lease < timeout < retry; a test holds these to each other and says why each has its value.

WORKER_PROCESSES = read.whole_number("WORKER_PROCESSES", 2, smallest=1)
Q_CLUSTER = {
    "name": "paddle-m3ter",
    "orm": "default",
    "broker_class": "integration_project.broker.InOrder",
    "workers": WORKER_PROCESSES,
    "queue_limit": 1,
    "bulk": 1,
    "timeout": 240,
    "retry": 600,
    "ack_failures": True,
    "max_attempts": 1,
    "save_limit": -1,
    "poll": 0.2,
    "guard_cycle": 0.5,
    "recycle": 500,
    "catch_up": False,
    "scheduler": False,
    "label": "Jobs",
}

# --- REST framework ------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Paddle and m3ter",
    "DESCRIPTION": "Sends usage to m3ter under the names that Paddle knows. Every call needs a key.",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "PREPROCESSING_HOOKS": ["integration_project.api_docs.only_of_the_api"],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_ADD_EXPLICIT_BLANK_NULL_CHOICE": False,
}

# --- Console ----------------------------------------------------------------------------------------------------------
# Taking the three lines of unfold out of INSTALLED_APPS leaves plain Django admin; nothing else changes.

SIMPLE_HISTORY_HISTORY_CHANGE_REASON_USE_TEXT_FIELD = True
UNFOLD = {
    "SITE_TITLE": "Paddle and m3ter",
    "SITE_HEADER": "Paddle and m3ter",
    "SITE_SUBHEADER": "Console",
    "SITE_SYMBOL": "sync_alt",
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "integration_project.pages.navigation.environment",
    "SIDEBAR": {"navigation": "integration_project.pages.navigation.sidebar"},
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 247)",
            "100": "oklch(93.5% .03 247)",
            "200": "oklch(88% .055 247)",
            "300": "oklch(80% .09 248)",
            "400": "oklch(70% .125 250)",
            "500": "oklch(59% .13 251)",
            "600": "oklch(47% .115 252)",
            "700": "oklch(42% .1 252)",
            "800": "oklch(36% .085 252)",
            "900": "oklch(31% .07 252)",
            "950": "oklch(24% .055 252)",
        }
    },
}

# --- Logs ------------------------------------------------------------

LOG_FORMAT = read.text("LOG_FORMAT", "text")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"mask": {"()": "integration_project.logs.MaskSecrets"}},
    "formatters": {
        "text": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        "json": {"()": "integration_project.logs.JsonFormatter"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "filters": ["mask"],
            "formatter": "json" if LOG_FORMAT == "json" else "text",
        }
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {"django-q": {"handlers": ["console"], "level": "WARNING", "propagate": False}},
}

if SENTRY_DSN:
    from integration_project.logs import start_sentry

    start_sentry(SENTRY_DSN)
