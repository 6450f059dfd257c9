"""Our client against the simulator: what it reads, what each refusal becomes, and that its key shows nowhere."""

import datetime as dt
import logging
from decimal import Decimal

import pytest

from integration_project import errors
from integration_project.vendors.http import Answer, CallRecord, Policy
from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.paddle_classic.errors import POLICIES, judge
from integration_project.vendors.paddle_classic.simulator import ClassicSimulator, sample
from tests.vendors.paddle_classic.opening import CODE, NOW, config, connected


def operations(simulator: ClassicSimulator) -> list[str | None]:
    return [call.operation for call in simulator.calls]


def test_a_subscription_is_read_with_its_state_dates_and_quantity(
    simulator: ClassicSimulator, client: ClassicClient
) -> None:
    made = simulator.subscribe(email="kai@customer.example", quantity=3, currency="USD")
    simulator.pause(made["subscription_id"])

    user = client.find_user(made["subscription_id"])

    assert user is not None
    assert (user.subscription_id, user.plan_id, user.user_id) == (made["subscription_id"], "570001", made["user_id"])
    assert (user.state, user.quantity, user.currency, user.email) == ("active", 3, "USD", "kai@customer.example")
    assert user.signed_up_at.date() == NOW.date()
    assert user.next_payment is not None
    assert (user.next_payment.date, user.next_payment.amount) == (dt.date(2026, 4, 10), Decimal("105.00"))
    assert user.paused_from == dt.datetime(2026, 4, 10, tzinfo=dt.UTC)
    assert "kai@customer.example" not in repr(user)


def test_a_deleted_subscription_is_found_and_an_unknown_one_is_none(
    simulator: ClassicSimulator, client: ClassicClient
) -> None:
    made = simulator.subscribe(email="kai@customer.example")
    simulator.cancel(made["subscription_id"])

    found = client.find_user(made["subscription_id"])

    assert found is not None
    assert (found.state, found.next_payment) == ("deleted", None)
    assert client.find_user("999") is None


def test_every_page_of_the_users_is_read(simulator: ClassicSimulator, client: ClassicClient) -> None:
    for number in range(205):
        simulator.subscribe(email=f"buyer{number}@customer.example")

    users = list(client.list_users())

    assert [user.subscription_id for user in users] == [str(sample.FIRST_SUBSCRIPTION + n) for n in range(205)]
    assert operations(simulator) == ["list users"] * 2


def test_a_server_that_gives_less_a_page_than_asked_hides_nobody(
    simulator: ClassicSimulator, client: ClassicClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration_project.vendors.paddle_classic.simulator.guesses.USERS_PAGE", 10)
    for number in range(25):
        simulator.subscribe(email=f"buyer{number}@customer.example")

    assert len(list(client.list_users())) == 25


def test_users_are_listed_by_state_and_plan(simulator: ClassicSimulator, client: ClassicClient) -> None:
    first = simulator.subscribe(email="a@customer.example", plan_id=sample.PLAN_TEAM_TRIAL)
    simulator.subscribe(email="b@customer.example", plan_id=sample.PLAN_STUDIO)

    trialing = list(client.list_users(state="trialing"))
    by_plan = list(client.list_users(plan=str(sample.PLAN_STUDIO)))

    assert [user.subscription_id for user in trialing] == [first["subscription_id"]]
    assert [user.plan_id for user in by_plan] == [str(sample.PLAN_STUDIO)]


def test_all_plans_are_read_also_beyond_one_page(simulator: ClassicSimulator, client: ClassicClient) -> None:
    simulator.add_plans(1_100)

    plans = list(client.list_plans())

    assert len({plan.id for plan in plans}) == 1_104
    assert plans[0].recurring_prices == {"EUR": Decimal("29.00"), "GBP": Decimal("29.00"), "USD": Decimal("35.00")}
    assert (plans[2].billing_type, plans[2].billing_period, plans[3].trial_days) == ("year", 1, 14)


def test_payments_made_and_to_come_are_told_apart(simulator: ClassicSimulator, client: ClassicClient) -> None:
    made = simulator.subscribe(email="a@customer.example")

    (paid,) = client.list_payments(subscription_id=made["subscription_id"], is_paid=True)
    (coming,) = client.list_payments(subscription_id=made["subscription_id"], is_paid=False)

    assert (paid.amount, paid.currency, paid.payout_date) == (Decimal("29.00"), "EUR", NOW.date())
    assert (coming.is_paid, coming.payout_date) == (False, dt.date(2026, 4, 10))


def test_a_modifier_is_made_listed_collected_once_and_then_no_longer_taken_back(
    simulator: ClassicSimulator, client: ClassicClient
) -> None:
    made = simulator.subscribe(email="a@customer.example")
    first = client.create_modifier(made["subscription_id"], amount=Decimal("-4.50"), description="credit")
    second = client.create_modifier(made["subscription_id"], amount=Decimal("12.25"), description="usage")
    client.delete_modifier(first)

    (modifier,) = client.list_modifiers(subscription_id=made["subscription_id"])
    simulator.pay(made["subscription_id"])

    assert (modifier.id, modifier.amount, modifier.is_recurring) == (second, Decimal("12.250"), False)
    assert [payment.amount for payment in simulator.memory.payments.values()] == [Decimal("29.00"), Decimal("41.25")]
    with pytest.raises(errors.Conflict):
        client.delete_modifier(second)


def test_the_alert_history_is_read_day_by_day_and_page_by_page(
    simulator: ClassicSimulator, client: ClassicClient
) -> None:
    for number in range(130):
        simulator.subscribe(email=f"buyer{number}@customer.example")
    simulator.clock_move(days=2)
    simulator.subscribe(email="late@customer.example")

    sent = list(client.list_alerts(since=NOW - dt.timedelta(hours=1), until=NOW + dt.timedelta(days=3)))

    assert len({alert.id for alert in sent}) == 262
    assert operations(simulator) == ["list alerts"] * 5  # 260 alerts in the first of four days, two pages
    assert all(type(value) is str for alert in sent for value in alert.fields.values())
    assert "p_signature" not in sent[0].fields


def answer(code: object, *, status: int = 200) -> Answer:
    return Answer(status, {}, b"{}", {"success": False, "error": {"code": code, "message": "No."}})


def test_every_published_code_has_its_policy() -> None:
    assert set(POLICIES) == {str(code) for code in range(100, 200)}


@pytest.mark.parametrize(
    ("policy", "codes"),
    [
        (Policy.LATER, "146 151 189"),
        (Policy.LOOK_FIRST, "120"),
        (Policy.KEY_REFUSED, "102 107"),
        (Policy.PERMISSION_MISSING, "184"),
        (Policy.PERSON, "188 190 192 194 196 199"),
        (Policy.NOT_FOUND, "108 110 119 121 123 154"),
        (Policy.CONFLICT, "124"),
    ],
)
def test_every_code_that_is_not_final_is_one_of_these(policy: Policy, codes: str) -> None:
    assert sorted(code for code, judged in POLICIES.items() if judged is policy) == codes.split()


@pytest.mark.parametrize(
    ("given", "policy", "code", "certain"),
    [
        (answer(119), Policy.NOT_FOUND, "119", True),
        (answer("119"), Policy.NOT_FOUND, "119", True),
        (answer(107), Policy.KEY_REFUSED, "107", True),
        (answer(184), Policy.PERMISSION_MISSING, "184", True),
        (answer(120), Policy.LOOK_FIRST, "120", True),
        (answer(151), Policy.LATER, "151", True),
        (answer(124), Policy.CONFLICT, "124", True),
        (answer(187), Policy.PERMANENT, "187", True),
        (answer(188), Policy.PERSON, "188", True),
        (answer(999), Policy.PERMANENT, "999", True),
        (answer(None), Policy.LOOK_FIRST, "", False),
        (answer(119, status=502), Policy.LOOK_FIRST, "119", True),
        (Answer(200, {}, b"{}", {"success": False}), Policy.LOOK_FIRST, "", False),
        (Answer(429, {}, b"<html>", None), Policy.LATER, "", True),
        (Answer(403, {}, b"<html>", None), Policy.LOOK_FIRST, "", False),
        (Answer(404, {}, b"<html>", None), Policy.NOT_FOUND, "", False),
        (Answer(400, {}, b"<html>", None), Policy.PERMANENT, "", False),
        (Answer(302, {}, b"", None), Policy.LOOK_FIRST, "", False),
    ],
)
def test_a_refusal_is_judged_by_its_code(given: Answer, policy: Policy, code: str, certain: bool) -> None:
    ruling = judge(given)

    assert (ruling.policy, ruling.code, ruling.certain) == (policy, code, certain)


def test_a_refusal_with_status_200_is_an_error_with_classics_words(client: ClassicClient) -> None:
    with pytest.raises(errors.NotFound, match=r"Unable to find subscription\. \(119, HTTP 200\)"):
        client.create_modifier("999", amount=Decimal(1), description="x")


def test_a_modifier_whose_answer_is_lost_is_of_unknown_outcome(
    simulator: ClassicSimulator, client: ClassicClient
) -> None:
    made = simulator.subscribe(email="a@customer.example")
    simulator.fault("create modifier", "lose_answer")

    with pytest.raises(errors.OutcomeUnknown):
        client.create_modifier(made["subscription_id"], amount=Decimal(1), description="x")

    assert len(simulator.memory.modifiers) == 1


@pytest.mark.parametrize("kind", ["error_before", "error_after", "html", "too_many", "truncated", "lose_answer"])
def test_a_look_that_goes_wrong_may_be_repeated(simulator: ClassicSimulator, client: ClassicClient, kind: str) -> None:
    simulator.fault("list plans", kind)

    with pytest.raises(errors.Temporary):
        list(client.list_plans())

    assert list(client.list_plans())


@pytest.mark.parametrize(
    "response", ['{"success": true, "response": null}', "[]", '{"response": []}', '{"success": 1}']
)
def test_an_answer_that_is_not_what_classic_says_is_not_taken_for_an_empty_list(
    simulator: ClassicSimulator, client: ClassicClient, monkeypatch: pytest.MonkeyPatch, response: str
) -> None:
    monkeypatch.setattr("integration_project.vendors.simulation.wire.Answer.encoded", lambda self: response.encode())

    with pytest.raises(errors.Unreadable):
        list(client.list_plans())


def test_pages_that_repeat_themselves_end_in_an_error(
    simulator: ClassicSimulator, client: ClassicClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.subscribe(email="a@customer.example")
    monkeypatch.setattr(
        "integration_project.vendors.paddle_classic.client._by_page", lambda number, so_far: {"page": "1"}
    )

    with pytest.raises(errors.Temporary, match="the same page came twice"):
        list(client.list_users())


def test_a_refused_key_closes_the_vendor_and_shows_nowhere(
    simulator: ClassicSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "0123456789abcdef0123456789abcdef"
    vendors = connected(simulator, wrong)
    records: list[CallRecord] = []
    assert vendors.classic is not None

    with vendors.listening(after=records.append), pytest.raises(errors.VendorClosed) as caught:
        list(vendors.classic.list_plans())

    assert (caught.value.vendor, caught.value.operation) == ("paddle_classic", None)
    for text in (str(caught.value), repr(records), repr(vendors), caplog.text, repr([vars(r) for r in caplog.records])):
        assert wrong not in text


def test_a_key_that_classic_quotes_is_hidden(
    simulator: ClassicSimulator, client: ClassicClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f'{{"success": false, "error": {{"code": 116, "message": "vendor_auth_code {CODE} of kai@x.example"}}}}'
    monkeypatch.setattr("integration_project.vendors.simulation.wire.Answer.encoded", lambda self: said.encode())

    with pytest.raises(errors.VendorRejected, match=r"vendor_auth_code \[hidden\] of \[e-mail\]"):
        list(client.list_plans())


def test_the_key_does_not_show_with_the_configuration() -> None:
    assert CODE not in repr(config())


def test_a_missing_key_is_not_sent_at_all(simulator: ClassicSimulator) -> None:
    vendors = connected(simulator, "")
    assert vendors.classic is not None

    with pytest.raises(errors.VendorClosed, match="PADDLE_CLASSIC_VENDOR_AUTH_CODE is not set"):
        list(vendors.classic.list_plans())

    assert simulator.calls == []
