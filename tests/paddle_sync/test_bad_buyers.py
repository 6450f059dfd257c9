"""Buyers whose name, e-mail or address m3ter does not take: an account all the same, and a person is told."""

from collections.abc import Callable
from typing import Any

import pytest

from integration_project.models import Finding
from integration_project.vendors import Vendors
from integration_project.vendors.m3ter.entities import NewAccount
from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator
from paddle_sync.models import AccountLink, WebhookEvent
from tests.builders import make_mapping
from tests.paddle_sync.people_rows import BUYER, Row, account_of, edit, rename, says, written_down
from tests.paddle_sync.seen import created, open_findings, operations

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installation")]

Run = Callable[[], int]
CODE_LIKE = "Robert'); DROP TABLE students;--"
MARKUP = "<script>alert(1)</script>"
REFUSED_EMAIL = "jo@harbour.example."
"""Good enough for us, and not for m3ter."""
TEXT_REFUSED = [("text refused", "")]


def buy(paddle: PaddleSimulator, deliver: Run, run_jobs: Run, **changes: Any) -> Row:
    """A checkout, and all that follows from it."""
    make_mapping()
    bought = paddle.complete_checkout(**{**BUYER, **changes})
    deliver()
    run_jobs()
    return dict(bought)


def placeholder(bought: Row) -> str:
    return f"{bought['subscription_id']}@no-email.invalid"


# --- What we write otherwise by ourselves ---------------------------------------------------------------------------

NAMES = {
    "longer than m3ter takes": ("N" * 500, "N" * 200),
    "of emoji, which count twice": ("🚢" * 150, "🚢" * 100),
    "cut before a space": ("N" * 199 + " Ltd", "N" * 199),
    "on several lines": ("Harbour\r\n\tTools\x07Ltd ", "Harbour Tools Ltd"),
    "with a mark that turns the line round": ("Harbour \u202eslooT", "Harbour slooT"),
    "with an emoji": ("Harbour ⚓ Tools", "Harbour ⚓ Tools"),
    "in another script": ("株式会社ハーバー", "株式会社ハーバー"),
    "nothing but space": (" \u00a0\u200b\t", None),
    "none": (None, None),
    "empty": ("", None),
}


@pytest.mark.parametrize(("name", "expected"), NAMES.values(), ids=NAMES.keys())
def test_a_name_is_written_as_m3ter_takes_it_or_else_it_is_the_code(
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    deliver: Run,
    run_jobs: Run,
    name: str | None,
    expected: str | None,
) -> None:
    bought = buy(paddle, deliver, run_jobs, name=name)

    assert created().state == "processed"
    assert account_of(m3ter, bought)["name"] == (expected or bought["subscription_id"])
    assert AccountLink.objects.get().name == (expected or bought["subscription_id"])
    assert open_findings() == []


EMAILS = {
    "no address at all": "at harbour",
    "no host": "anna@",
    "two signs": "a@b@c.example",
    "a space": "an na@harbour.example",
    "a control character": "an\x01na@harbour.example",
    "empty": "",
}


@pytest.mark.parametrize("email", EMAILS.values(), ids=EMAILS.keys())
def test_an_email_that_is_none_is_a_placeholder_that_reaches_nobody(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run, email: str
) -> None:
    make_mapping()
    bought = paddle.complete_checkout(**BUYER)
    paddle.customers[bought["customer_id"]]["email"] = email
    deliver()
    run_jobs()

    account = account_of(m3ter, bought)
    assert (account["name"], account["emailAddress"]) == (BUYER["name"], placeholder(bought))
    assert open_findings() == []


def test_an_address_is_cut_to_what_m3ter_takes(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    parts = ("first_line", "second_line", "city", "region", "postal_code")
    long = dict.fromkeys(parts, "⚓" + "🚢" * 150) | {"second_line": "2nd\r\nfloor\x07"}

    bought = buy(paddle, deliver, run_jobs, address=long)

    assert account_of(m3ter, bought)["address"] == {
        "addressLine1": "⚓" + "🚢" * 24,
        "addressLine2": "2nd floor",
        "locality": "⚓" + "🚢" * 49,
        "region": "⚓" + "🚢" * 24,
        "postCode": "⚓" + "🚢" * 9,
        "country": "IE",
    }
    assert open_findings() == []


def test_what_was_cut_is_not_written_again(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    bought = buy(paddle, deliver, run_jobs, name="🚢" * 150, address={"first_line": "Quay " * 30})
    version = account_of(m3ter, bought)["version"]

    edit(paddle, "PATCH", f"/customers/{bought['customer_id']}", locale="de")
    deliver()
    run_jobs()

    assert account_of(m3ter, bought)["version"] == version
    assert "update account" not in operations(m3ter)


# --- What m3ter refuses ---------------------------------------------------------------------------------------------

HOME = {"addressLine1": "4 Quay Street", "locality": "Cork", "postCode": "T12 X000", "country": "IE"}
BAD_STREET = {"first_line": MARKUP}
REFUSED: dict[str, tuple[Row, Row]] = {
    "a name": ({"name": CODE_LIKE}, {"name": None}),
    "a business's name": ({"business": {"name": "Select Wines from Where We Live Ltd"}}, {"name": None}),
    "an address": ({"address": BAD_STREET}, {"address": {"country": "IE"}}),
    "an e-mail": ({"email": REFUSED_EMAIL}, {"email": None}),
    "name and address": (
        {"name": CODE_LIKE, "address": BAD_STREET},
        {"name": None, "address": {"country": "IE"}},
    ),
    "name and e-mail": (
        {"name": CODE_LIKE, "email": REFUSED_EMAIL},
        {"name": None, "email": None, "address": {"country": "IE"}},
    ),
    "everything": (
        {"name": CODE_LIKE, "email": "javascript:x@harbour.example", "address": BAD_STREET},
        {"name": None, "email": None, "address": {"country": "IE"}},
    ),
}


@pytest.mark.parametrize(("changes", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_what_m3ter_refuses_is_left_out_and_a_person_is_told(
    paddle: PaddleSimulator,
    m3ter: M3terSimulator,
    deliver: Run,
    run_jobs: Run,
    caplog: pytest.LogCaptureFixture,
    changes: Row,
    expected: Row,
) -> None:
    bought = buy(paddle, deliver, run_jobs, **changes)

    code = bought["subscription_id"]
    wanted = {"name": BUYER["name"], "email": BUYER["email"], "address": HOME} | expected
    email = wanted["email"] or placeholder(bought)
    assert says(account_of(m3ter, bought)) == (wanted["name"] or code, email, wanted["address"])
    assert created().state == "processed"
    assert not WebhookEvent.objects.exclude(state__in=("processed", "ignored")).exists()
    assert (len(list(m3ter.memory.accounts)), len(list(m3ter.memory.account_plans))) == (1, 1)
    assert open_findings() == TEXT_REFUSED
    finding = Finding.objects.get()
    words = {"name": "name", "email": "e-mail address", "address": "address"}
    assert finding.subject == code
    assert [word for part, word in words.items() if part in expected and word not in finding.next_step] == []
    everywhere = written_down() + caplog.text + finding.detail + finding.next_step
    assert [text for text in ("DROP", "alert(1)", "Wines", "jo@", "javascript:") if text in everywhere] == []


def test_an_account_is_tried_no_more_often_than_there_are_ways_to_write_it(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    m3ter.fault("create account", "firewall", times=None)

    buy(paddle, deliver, run_jobs)

    event = created()
    assert (event.state, event.waiting_for_kind) == ("parked", "m3ter setting")
    per_event = WebhookEvent.objects.filter(event_type__startswith="subscription.").count()
    assert operations(m3ter).count("create account") == 6 * per_event
    assert run_jobs() == 0


def test_a_refusal_that_is_about_no_text_is_not_told_as_one(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    m3ter.fault("create account", "forbidden", times=None)

    buy(paddle, deliver, run_jobs)

    assert operations(m3ter).count("create account") <= 2
    assert (created().state, open_findings()) == ("received", [("vendor closed", "")])


# --- Later ----------------------------------------------------------------------------------------------------------


def test_once_the_buyer_has_another_name_it_follows_and_the_finding_closes(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    bought = buy(paddle, deliver, run_jobs, name=CODE_LIKE)
    before = open_findings()

    rename(paddle, bought, "Robert Tables")
    deliver()
    run_jobs()

    assert before == TEXT_REFUSED
    assert account_of(m3ter, bought)["name"] == "Robert Tables"
    assert (open_findings(), Finding.objects.get().state) == ([], "closed")


def test_a_name_that_is_refused_later_leaves_the_account_as_it_was_and_everything_else_follows(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    bought = buy(paddle, deliver, run_jobs)

    edit(paddle, "PATCH", f"/customers/{bought['customer_id']}", name=MARKUP, email="new@harbour.example")
    deliver()
    run_jobs()

    assert says(account_of(m3ter, bought)) == (BUYER["name"], "new@harbour.example", HOME)
    assert open_findings() == TEXT_REFUSED
    assert not WebhookEvent.objects.exclude(state__in=("processed", "ignored")).exists()
    assert AccountLink.objects.get().name == BUYER["name"]


def test_what_a_person_entered_by_hand_in_place_of_a_refused_name_stays(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, deliver: Run, run_jobs: Run
) -> None:
    bought = buy(paddle, deliver, run_jobs, name=CODE_LIKE)
    account = vendors.m3ter.get_account(AccountLink.objects.get().m3ter_account_id)
    vendors.m3ter.update_account(account, name="Robert, by hand")

    edit(paddle, "PATCH", f"/customers/{bought['customer_id']}", email="new@harbour.example")
    deliver()
    run_jobs()

    assert says(account_of(m3ter, bought))[:2] == ("Robert, by hand", "new@harbour.example")
    assert open_findings() == TEXT_REFUSED


def test_an_account_that_can_be_written_in_no_way_is_told_and_left(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    bought = buy(paddle, deliver, run_jobs)
    m3ter.fault("update account", "firewall", times=None)

    rename(paddle, bought, "Anna Other")
    deliver()
    run_jobs()

    assert account_of(m3ter, bought)["name"] == BUYER["name"]
    assert open_findings() == TEXT_REFUSED
    assert not WebhookEvent.objects.exclude(state__in=("processed", "ignored")).exists()


def test_a_skeleton_is_filled_with_what_m3ter_takes(
    paddle: PaddleSimulator, m3ter: M3terSimulator, vendors: Vendors, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    bought = paddle.complete_checkout(**{**BUYER, "name": CODE_LIKE})
    code = bought["subscription_id"]
    vendors.m3ter.create_account(NewAccount(code=code, name=code, email_address="skeleton@m3ter.example"))

    deliver()
    run_jobs()

    assert says(account_of(m3ter, bought)) == (code, BUYER["email"], HOME)
    assert account_of(m3ter, bought)["customFields"]["paddleSubscriptionId"] == code
    assert (AccountLink.objects.get().adopted, open_findings()) == (True, TEXT_REFUSED)


def test_an_account_whose_answer_was_lost_after_a_refusal_is_found_and_told(
    paddle: PaddleSimulator, m3ter: M3terSimulator, deliver: Run, run_jobs: Run
) -> None:
    make_mapping()
    bought = paddle.complete_checkout(**{**BUYER, "name": CODE_LIKE})
    m3ter.fault("create account", "lose_answer")
    deliver()
    run_jobs()
    WebhookEvent.objects.filter(state="received").update(due_at=created().received_at)
    run_jobs()

    assert created().state in {"processed", "ignored"}
    assert says(account_of(m3ter, bought)) == (bought["subscription_id"], BUYER["email"], HOME)
    assert open_findings() == TEXT_REFUSED
