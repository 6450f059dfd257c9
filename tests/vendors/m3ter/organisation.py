"""A simulated m3ter with a plain HTTP session in front of it, for tests of the simulator itself."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import requests

from integration_project.vendors.m3ter.simulator import Guesses, M3terSimulator, sample
from integration_project.vendors.simulation import BusinessClock
from integration_project.vendors.wsgi import WsgiAdapter

BASE = "http://m3ter.localhost"
TODAY = datetime(2026, 3, 10, 12, tzinfo=UTC)
ACCOUNT = {"name": "Harbour Tools Ltd", "code": "harbour-tools", "emailAddress": "ap@harbour.example"}
FULL_ACCOUNT = {
    **ACCOUNT,
    "currency": "EUR",
    "billEpoch": "2026-02-01",
    "daysBeforeBillDue": 10,
    "purchaseOrderNumber": "PO-7",
    "creditApplicationOrder": ["PREPAYMENT"],
    "autoGenerateStatementMode": "NONE",
    "address": {"addressLine1": "4 Quay Street", "locality": "Cork", "postCode": "T12 X000", "country": "IE"},
    "customFields": {"paddleSubscriptionId": "sub_01example"},
}


class RealClock:
    """Transport time in the hands of a test."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Organisation:
    """One simulator, its clocks, what it posted, and a session that has a token."""

    def __init__(self, guesses: Guesses | None = None) -> None:
        self.real = RealClock()
        self.posted: list[tuple[str, bytes, Mapping[str, str]]] = []
        self.answers: list[int] = []
        self.sim = M3terSimulator(
            clock=BusinessClock(TODAY, real=self.real), transport_now=self.real, post=self._post, guesses=guesses
        )
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.mount(BASE, WsgiAdapter(self.sim))
        self.log_in()

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.posted.append((url, body, headers))
        return self.answers.pop(0) if self.answers else 200

    def log_in(self) -> requests.Response:
        answer = self.session.post(
            f"{BASE}/oauth/token",
            json={"grant_type": "client_credentials"},
            auth=(sample.ACCESS_KEY_ID, sample.API_SECRET),
        )
        if answer.ok:
            self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return answer

    def send(self, method: str, path: str, org_id: str = sample.ORG_ID, **options: Any) -> requests.Response:
        return self.session.request(method, f"{BASE}/organizations/{org_id}{path}", **options)

    def call(self, method: str, path: str, *, expect: int = 200, **options: Any) -> Any:
        answer = self.send(method, path, **options)
        assert answer.status_code == expect, answer.text
        return answer.json(parse_float=Decimal)

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, params=params)

    def post(self, path: str, body: Any, *, expect: int = 200) -> Any:
        return self.call("POST", path, json=body, expect=expect)

    def put(self, path: str, body: Any, *, expect: int = 200) -> Any:
        return self.call("PUT", path, json=body, expect=expect)

    def refusal(self, method: str, path: str, body: Any = None, *, status: int = 400, **options: Any) -> str:
        """The message of a refused call."""
        answer = self.call(method, path, expect=status, **options, **({} if body is None else {"json": body}))
        assert list(answer) == ["message"]
        return str(answer["message"])

    # What most tests begin with.

    def account(self, **fields: Any) -> Any:
        return self.post("/accounts", {**ACCOUNT, "billEpoch": "2026-02-01", **fields})

    def plan_on(self, account: Any, plan_id: str = sample.PLAN_SCALE, **fields: Any) -> Any:
        body = {"accountId": account["id"], "planId": plan_id, "startDate": "2026-02-01T00:00:00Z", **fields}
        return self.post("/accountplans", {name: value for name, value in body.items() if value is not None})

    def use(self, calls: Any, *, at: str = "2026-02-10T10:00:00Z", code: str = "harbour-tools", uid: str = "") -> None:
        measurement = {"meter": "api_calls", "account": code, "ts": at, "measure": {"calls": calls}}
        self.post("/measurements", {"measurements": [{**measurement, "uid": uid or f"{code}:{at}:{calls}"}]})

    def bill(self, **fields: Any) -> Any:
        """The newest bill after a job for the first of March."""
        job = self.sim.run_bill_job(bill_date="2026-03-01", **fields)
        return self.get(f"/bills/{job['bill_ids'][-1]}")
