"""The vendors as the rest of the project sees them: typed clients behind one frozen set.

Nothing in this package knows Django, settings or tables; budget, circuit and transport are handed in.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from weakref import WeakKeyDictionary

import requests
from requests.adapters import BaseAdapter

from integration_project.errors import VendorClosed
from integration_project.vendors.http import CallRecord, Gate, Listeners, VendorHTTP
from integration_project.vendors.m3ter import errors as m3ter_errors
from integration_project.vendors.m3ter import rehearsed as m3ter_rehearsed
from integration_project.vendors.m3ter.client import M3terClient
from integration_project.vendors.m3ter.token import TokenRequest, TokenStore, basic
from integration_project.vendors.paddle import errors as paddle_errors
from integration_project.vendors.paddle import rehearsed as paddle_rehearsed
from integration_project.vendors.paddle.client import PaddleClient
from integration_project.vendors.paddle_classic import errors as classic_errors
from integration_project.vendors.paddle_classic import rehearsed as classic_rehearsed
from integration_project.vendors.paddle_classic.client import ClassicClient
from integration_project.vendors.rehearsal import Rehearsal, RehearsedHTTP, Table
from integration_project.vendors.signed import SignedHTTP
from integration_project.vendors.transport import Sessions

PADDLE = "paddle"
CLASSIC = "paddle_classic"
M3TER = "m3ter"
M3TER_INGEST = "m3ter_ingest"
M3TER_INGEST_SECOND = "m3ter_ingest_second"
M3TER_EXPLORER = "m3ter_explorer"
"""Parts of m3ter with limits of their own; the key is that of m3ter."""


@dataclass(frozen=True)
class VendorConfig:
    """Addresses and keys of the vendors. Secrets never show in a repr. Paddle Classic is off without a vendor id."""

    paddle_api_url: str
    paddle_api_key: str = field(repr=False)
    m3ter_api_url: str
    m3ter_ingest_url: str
    m3ter_org_id: str
    m3ter_access_key_id: str = field(repr=False)
    m3ter_api_secret: str = field(repr=False)
    m3ter_external_system: str
    paddle_classic_api_url: str = ""
    paddle_classic_vendor_id: str = ""
    paddle_classic_auth_code: str = field(default="", repr=False)


@dataclass(frozen=True)
class Vendors:
    """The clients, ready to be called; None for Paddle Classic where it is off."""

    paddle: PaddleClient
    m3ter: M3terClient
    classic: ClassicClient | None = None
    listeners: Listeners = field(default_factory=Listeners, repr=False)

    @property
    def classic_on(self) -> ClassicClient:
        """The client of Paddle Classic; VendorClosed where it is off, so that what needs it waits."""
        if self.classic is None:
            raise VendorClosed(CLASSIC, "Paddle Classic is off: set PADDLE_CLASSIC_VENDOR_ID and the keys beside it.")
        return self.classic

    @contextmanager
    def listening(
        self,
        *,
        before: Callable[[str], None] | None = None,
        after: Callable[[CallRecord], None] | None = None,
    ) -> Iterator[None]:
        """Tell `before` the operation ahead of every request, and `after` what came of it, token requests included."""
        if before is not None:
            self.listeners.before.append(before)
        if after is not None:
            self.listeners.after.append(after)
        try:
            yield
        finally:
            if before is not None:
                self.listeners.before.remove(before)
            if after is not None:
                self.listeners.after.remove(after)


class _Process:
    """What outlives one opening of the vendors: pooled connections and m3ter's token, per process and never stored."""

    def __init__(self) -> None:
        self.sessions = Sessions()
        self._tokens: dict[tuple[str, str, str], TokenStore] = {}
        self._mounted: WeakKeyDictionary[BaseAdapter, TokenStore] = WeakKeyDictionary()

    def tokens(self, config: VendorConfig, adapter: BaseAdapter | None) -> TokenStore:
        """The token of this access key; a mounted transport has one of its own."""
        if adapter is not None:
            return self._mounted.setdefault(adapter, TokenStore())
        key = (config.m3ter_api_url, config.m3ter_access_key_id, config.m3ter_api_secret)
        return self._tokens.setdefault(key, TokenStore())


_PROCESS = _Process()


def connect(
    config: VendorConfig,
    *,
    gate_for: Callable[[str], Gate],
    transports: Mapping[str, BaseAdapter] = MappingProxyType({}),
    rehearsal: Rehearsal | None = None,
) -> Vendors:
    """Make the clients. Opens no connection; `transports` puts a simulator under the client of that vendor.

    With a `rehearsal` they read, and only write down what they would write.
    """
    listeners = Listeners()
    tables = (paddle_rehearsed.TABLE, m3ter_rehearsed.TABLE, classic_rehearsed.TABLE)
    rehearsed = rehearsal is not None
    speak_paddle, speak_m3ter, speak_classic = (_speaker(rehearsal, table) for table in tables)
    return Vendors(
        paddle=_paddle(config, gate_for(PADDLE), listeners, transports.get(PADDLE), speak_paddle),
        m3ter=_m3ter(config, gate_for, listeners, transports.get(M3TER), speak_m3ter, rehearsed=rehearsed),
        classic=_classic(config, gate_for(CLASSIC), listeners, transports.get(CLASSIC), speak_classic),
        listeners=listeners,
    )


def _speaker(rehearsal: Rehearsal | None, table: Table) -> Callable[..., VendorHTTP]:
    return VendorHTTP if rehearsal is None else partial(RehearsedHTTP, rehearsal=rehearsal, table=table)


def _paddle(
    config: VendorConfig,
    gate: Gate,
    listeners: Listeners,
    adapter: BaseAdapter | None,
    speak: Callable[..., VendorHTTP],
) -> PaddleClient:
    def authorise(*, fresh: bool) -> str:
        return f"Bearer {_usable(PADDLE, 'PADDLE_API_KEY', config.paddle_api_key)}"

    return PaddleClient(
        speak(
            vendor=PADDLE,
            base_url=config.paddle_api_url,
            session=_sessions(PADDLE, adapter),
            gate=gate,
            authorise=authorise,
            judge=paddle_errors.judge,
            listeners=listeners,
            headers={"Paddle-Version": "1"},
        )
    )


def _classic(
    config: VendorConfig,
    gate: Gate,
    listeners: Listeners,
    adapter: BaseAdapter | None,
    speak: Callable[..., VendorHTTP],
) -> ClassicClient | None:
    if not config.paddle_classic_vendor_id:
        return None

    def credentials() -> Mapping[str, str]:
        return {
            "vendor_id": config.paddle_classic_vendor_id,
            "vendor_auth_code": _usable(CLASSIC, "PADDLE_CLASSIC_VENDOR_AUTH_CODE", config.paddle_classic_auth_code),
        }

    return ClassicClient(
        speak(
            vendor=CLASSIC,
            base_url=config.paddle_classic_api_url,
            session=_sessions(CLASSIC, adapter),
            gate=gate,
            credentials=credentials,
            judge=classic_errors.judge,
            refuses=classic_errors.is_refusal,
            listeners=listeners,
        )
    )


def _m3ter(
    config: VendorConfig,
    gate_for: Callable[[str], Gate],
    listeners: Listeners,
    adapter: BaseAdapter | None,
    speak: Callable[..., VendorHTTP],
    *,
    rehearsed: bool,
) -> M3terClient:
    session, gate = _sessions(M3TER, adapter), gate_for(M3TER)
    store = _PROCESS.tokens(config, adapter)

    def key(*, fresh: bool) -> str:
        access_key_id = _usable(M3TER, "M3TER_ACCESS_KEY_ID", config.m3ter_access_key_id)
        return basic(access_key_id, _usable(M3TER, "M3TER_API_SECRET", config.m3ter_api_secret))

    ask = TokenRequest(
        VendorHTTP(
            vendor=M3TER,
            base_url=config.m3ter_api_url,
            session=session,
            gate=gate,
            authorise=key,
            judge=m3ter_errors.judge_token,
            listeners=listeners,
        )
    )

    def bearer(*, fresh: bool) -> str:
        return f"Bearer {store.current(ask, fresh=fresh)}"

    def speaking_with(base_url: str, gate: Gate) -> VendorHTTP:
        return speak(
            vendor=M3TER,
            base_url=base_url,
            session=session,
            gate=gate,
            authorise=bearer,
            judge=m3ter_errors.judge,
            listeners=listeners,
            renewable=True,
        )

    return M3terClient(
        http=speaking_with(config.m3ter_api_url, gate),
        ingest=speaking_with(config.m3ter_ingest_url, gate_for(M3TER_INGEST)),
        explorer=speaking_with(config.m3ter_api_url, gate_for(M3TER_EXPLORER)),
        signed=SignedHTTP(vendor=M3TER, session=session, listeners=listeners, rehearsed=rehearsed),
        org_id=config.m3ter_org_id,
        external_system=config.m3ter_external_system,
    )


def _sessions(vendor: str, adapter: BaseAdapter | None) -> Callable[[], requests.Session]:
    sessions = _PROCESS.sessions if adapter is None else Sessions(adapter)
    return lambda: sessions.get(vendor)


def _usable(vendor: str, setting: str, secret: str) -> str:
    """The secret, if it can stand in a header at all."""
    if not secret:
        raise VendorClosed(vendor, f"{setting} is not set.")
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise VendorClosed(
            vendor, f"{setting} has a character in it that cannot be sent; it may have been copied badly."
        )
    return secret
