"""Settings come from the environment, typed and loud, and never from the service's variables in the demo or a test."""

from collections.abc import Callable

import pytest
from django.core.exceptions import ImproperlyConfigured

from integration_project import configuration
from integration_project.configuration import Environment
from tests.vendors.paddle_classic.signing import PUBLIC_KEY

LIVE_ADDRESS = "https://api.paddle.com"
SANDBOX_ADDRESS = "https://sandbox-api.paddle.com"


def service(**variables: str) -> Environment:
    return Environment.of("service", variables)


def test_the_demo_never_sees_a_variable_of_the_service() -> None:
    exported = {"PADDLE_API_KEY": "pdl_live_apikey_real", "DEMO_PADDLE_API_KEY": "pdl_sdbx_apikey_demo"}

    read = Environment.of("demo", exported)

    assert read.text("PADDLE_API_KEY", "") == "pdl_sdbx_apikey_demo"
    assert read.variables == {"PADDLE_API_KEY": "pdl_sdbx_apikey_demo"}


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="INTEGRATION_MODE"):
        Environment.of("production", {})


@pytest.mark.parametrize("variables", [{}, {"SECRET_KEY": "   "}])
def test_a_missing_or_blank_secret_is_refused_by_name(variables: dict[str, str]) -> None:
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not set"):
        service(**variables).text("SECRET_KEY")


def test_a_secret_that_begins_with_a_dollar_sign_is_taken_as_it_stands() -> None:
    assert service(M3TER_API_SECRET="$HOME").text("M3TER_API_SECRET") == "$HOME"


def test_a_list_drops_blanks() -> None:
    assert service(PADDLE_WEBHOOK_SECRETS=" one, ,two ,").list("PADDLE_WEBHOOK_SECRETS") == ["one", "two"]


@pytest.mark.parametrize(("text", "message"), [("many", "whole number"), ("4", "at least 5"), ("5.5", "whole number")])
def test_a_number_that_is_none_or_too_small_is_refused(text: str, message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        service(PADDLE_WEBHOOK_TOLERANCE=text).whole_number("PADDLE_WEBHOOK_TOLERANCE", 300, smallest=5)


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("True", True), ("1", True), ("no", False), ("", False)])
def test_a_switch_is_off_unless_it_says_otherwise(text: str, value: bool) -> None:
    assert service(DEBUG=text).switch("DEBUG") is value
    assert service().switch("DEBUG") is False


def test_a_switch_that_is_neither_yes_nor_no_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="DEBUG must be yes or no"):
        service(DEBUG="maybe").switch("DEBUG")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://api.paddle.com", "https"),
        ("ftp://api.paddle.com", "address"),
        ("api.paddle.com", "address"),
        ("https://name:word@api.paddle.com", "user name"),
    ],
)
def test_a_vendor_address_without_https_or_with_credentials_is_refused(address: str, message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        service(PADDLE_API_URL=address).address("PADDLE_API_URL", "")


@pytest.mark.parametrize("address", ["http://127.0.0.1:8801", "http://localhost:8801", "http://[::1]:8801"])
def test_this_machine_may_be_a_vendor_without_https(address: str) -> None:
    assert service(PADDLE_API_URL=address + "/").address("PADDLE_API_URL", "") == address


@pytest.mark.parametrize("mode", ["demo", "test"])
def test_the_demo_and_the_tests_refuse_every_address_but_this_machine(mode: str) -> None:
    read = Environment.of(mode, {f"{mode.upper()}_PADDLE_API_URL": SANDBOX_ADDRESS})

    with pytest.raises(ImproperlyConfigured, match="this machine only"):
        read.address("PADDLE_API_URL", "")


@pytest.mark.parametrize(
    ("environment", "address", "key", "message"),
    [
        ("live", SANDBOX_ADDRESS, "", "PADDLE_API_URL is Paddle's sandbox address"),
        ("sandbox", LIVE_ADDRESS, "", "PADDLE_API_URL is Paddle's live address"),
        ("live", LIVE_ADDRESS, "pdl_sdbx_apikey_x", "PADDLE_API_KEY is a sandbox key"),
        ("sandbox", SANDBOX_ADDRESS, "pdl_live_apikey_x", "PADDLE_API_KEY is a live key"),
        ("live", "http://127.0.0.1:8801", "", "this machine"),
        ("production", LIVE_ADDRESS, "", "must be sandbox or live"),
    ],
)
def test_a_key_an_address_and_an_environment_that_disagree_refuse_to_start(
    environment: str, address: str, key: str, message: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        configuration.check_paddle_environment(environment=environment, api_url=address, api_key=key)


def test_a_key_of_the_older_form_is_taken_for_either_environment() -> None:
    configuration.check_paddle_environment(environment="live", api_url=LIVE_ADDRESS, api_key="0123abcd")
    configuration.check_paddle_environment(environment="sandbox", api_url=SANDBOX_ADDRESS, api_key="0123abcd")


def test_a_webhook_token_that_could_be_guessed_is_refused_without_showing_it() -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        configuration.check_webhook_tokens(["x" * 32, "secret-word"])

    assert "number 2 has 11 characters" in str(refusal.value)
    assert "secret-word" not in str(refusal.value)


def test_the_external_system_may_not_feed_the_vendors_own_integration() -> None:
    with pytest.raises(ImproperlyConfigured, match="must not be Paddle"):
        configuration.check_external_system("PADDLE")


@pytest.mark.parametrize("letter", ["/", "%", " ", "+", "é", "."])
def test_a_webhook_token_that_a_path_would_write_differently_is_refused(letter: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="number 1 has characters other than letters, digits, - and _"):
        configuration.check_webhook_tokens(["x" * 40 + letter])


def test_a_webhook_token_of_letters_digits_and_dashes_is_taken() -> None:
    assert configuration.check_webhook_tokens(["aZ09-_" * 6]) == ["aZ09-_" * 6]


CLASSIC = {
    "PADDLE_CLASSIC_VENDOR_ID": "4711",
    "PADDLE_CLASSIC_VENDOR_AUTH_CODE": "code",
    "PADDLE_CLASSIC_PUBLIC_KEY": PUBLIC_KEY,
}
CLASSIC_SANDBOX, CLASSIC_LIVE = "https://sandbox-vendors.paddle.com", "https://vendors.paddle.com"


def check_classic(environment: str = "sandbox", address: str = CLASSIC_SANDBOX, **keys: str) -> None:
    configuration.check_paddle_classic(environment=environment, api_url=address, keys={**CLASSIC, **keys})


def test_classic_with_all_its_keys_or_with_none_may_start() -> None:
    check_classic()
    check_classic("live", CLASSIC_LIVE)
    check_classic("live", "http://127.0.0.1:1", **dict.fromkeys(CLASSIC, ""))


@pytest.mark.parametrize("missing", CLASSIC)
def test_half_of_classic_refuses_to_start_by_naming_what_is_missing(missing: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^{missing} must be set because PADDLE_CLASSIC_"):
        check_classic(**{missing: ""})


def test_a_lonely_key_of_classic_names_both_others() -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        check_classic(PADDLE_CLASSIC_VENDOR_ID="", PADDLE_CLASSIC_PUBLIC_KEY="")

    assert "PADDLE_CLASSIC_VENDOR_ID and PADDLE_CLASSIC_PUBLIC_KEY must be set" in str(refusal.value)


@pytest.mark.parametrize(
    ("environment", "address", "message"),
    [
        ("live", CLASSIC_SANDBOX, "PADDLE_CLASSIC_API_URL is Paddle's sandbox address"),
        ("sandbox", CLASSIC_LIVE, "PADDLE_CLASSIC_API_URL is Paddle's live address"),
        ("sandbox", CLASSIC_LIVE + "/api/2.0", "PADDLE_CLASSIC_API_URL is Paddle's live address"),
        ("live", "http://127.0.0.1:8803", "this machine"),
    ],
)
def test_an_address_of_classic_that_disagrees_with_the_environment_refuses_to_start(
    environment: str, address: str, message: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        check_classic(environment, address)


def test_a_vendor_id_that_is_no_number_refuses_to_start() -> None:
    with pytest.raises(ImproperlyConfigured, match="PADDLE_CLASSIC_VENDOR_ID must be the number"):
        check_classic(PADDLE_CLASSIC_VENDOR_ID="acme")


@pytest.mark.parametrize("write", [str, lambda pem: pem.replace("\n", "\\n"), lambda pem: pem.replace("\n", "\r\n")])
def test_a_public_key_may_be_written_on_one_line(write: Callable[[str], str]) -> None:
    read = configuration.public_key("PADDLE_CLASSIC_PUBLIC_KEY", write(PUBLIC_KEY))

    assert read.replace("\r", "") == PUBLIC_KEY
    assert configuration.public_key("PADDLE_CLASSIC_PUBLIC_KEY", "  ") == ""


@pytest.mark.parametrize("text", ["x", PUBLIC_KEY[:-60], PUBLIC_KEY.replace("PUBLIC", "PRIVATE"), PUBLIC_KEY[40:]])
def test_a_public_key_that_cannot_be_read_refuses_to_start(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="PADDLE_CLASSIC_PUBLIC_KEY must be the public key"):
        configuration.public_key("PADDLE_CLASSIC_PUBLIC_KEY", text)
