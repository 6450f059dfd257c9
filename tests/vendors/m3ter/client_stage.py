"""A simulated m3ter and our real client in front of it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from integration_project.vendors import VendorConfig, Vendors
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.vendors.m3ter.entities import Account, AccountAddress, NewAccount, NewAccountPlan
from integration_project.vendors.m3ter.simulator import M3terSimulator, sample
from integration_project.vendors.simulation import BusinessClock
from tests.vendors.opening import RecordingGate, config, opened

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
EMAIL = "ap+m3ter@harbour.example"
NAME = "Harriet Harbour"
STREET = "4 Quay Street"
CODE = "sub_01hv0000000000000000000001"


@dataclass
class ClientStage:
    """A simulated m3ter, and the client in front of it."""

    simulator: M3terSimulator
    vendors: Vendors
    gate: RecordingGate

    @property
    def client(self) -> M3terClient:
        return self.vendors.m3ter

    @property
    def operations(self) -> list[str | None]:
        return [call.operation for call in self.simulator.calls]

    @property
    def without_tokens(self) -> list[str | None]:
        return [operation for operation in self.operations if operation != "get token"]

    def account(self, code: str = CODE) -> Account:
        return self.client.create_account(new_account(code))


def new_account(code: str = CODE, *, name: str = NAME) -> NewAccount:
    return NewAccount(
        code=code,
        name=name,
        email_address=EMAIL,
        currency="EUR",
        bill_epoch=date(2026, 2, 26),
        address=AccountAddress(line1=STREET, locality="Cork", post_code="T12 X000", country="IE"),
        custom_fields={"paddleSubscriptionId": code},
    )


def new_plan(
    account: Account, *, plan_id: str = sample.PLAN_SCALE, start: datetime = START, code: str | None = None
) -> NewAccountPlan:
    return NewAccountPlan(account_id=account.id, plan_id=plan_id, start_date=start, code=code)


def settings() -> VendorConfig:
    return config(
        m3ter_org_id=sample.ORG_ID,
        m3ter_access_key_id=sample.ACCESS_KEY_ID,
        m3ter_api_secret=sample.API_SECRET,
    )


def new_stage() -> ClientStage:
    """An organisation with its sample catalogue and no account."""
    simulator = M3terSimulator(clock=BusinessClock(START))
    gate = RecordingGate()
    return ClientStage(simulator, opened(settings(), gate, m3ter=simulator), gate)
