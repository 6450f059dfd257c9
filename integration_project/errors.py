"""The one tree of things that go wrong between the vendors and us, and what becomes of the row that met them.

    IntegrationError                                                                 event becomes     bill becomes
    ├── Temporary            try again later; retry_after when the vendor says       received, later   ready, later
    │   ├── BudgetSpent      our own share of the vendor's rate limit is used up     received, later   ready, later
    │   └── Unreadable       an answer came, but not what the contract says          received, later   ready, later
    ├── OutcomeUnknown       sent, and may have happened; look before repeating      received, later   unconfirmed
    ├── Permanent            repeating it unchanged cannot help                      failed            failed
    │   └── VendorRejected   the vendor said no, in its own words
    │       ├── NotFound
    │       └── Conflict     taken already, or changed by somebody else meanwhile
    ├── VendorClosed         key, permission or vendor refused: nobody may call now  received          ready
    ├── NeedsConfiguration   a person must change a mapping or a setting             parked            held
    │   ├── MappingMissing
    │   ├── AccountConflict
    │   └── PlanConflict
    └── Ignored              nothing to do, with the reason                          ignored           -

`str(error)` is one sentence for an operator. No secret and no personal data ever stands in it.
"""


class IntegrationError(Exception):
    """Something between the vendors and us that a row's state can express."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class Temporary(IntegrationError):
    """It did not happen, or may safely be repeated: try again later, after `retry_after` seconds when that is known.

    `code` is the vendor's word for why, where it gave one.
    """

    def __init__(self, detail: str, retry_after: float | None = None, *, code: str = "") -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.code = code


class BudgetSpent(Temporary):
    """Our own share of the vendor's rate limit is used up; nothing was sent."""


class Unreadable(Temporary):
    """The vendor answered, but not as its contract says: it is there, and other calls may well succeed."""


class OutcomeUnknown(IntegrationError):
    """A call that must not be repeated was sent, and nobody knows what came of it: look before anything else."""


class Permanent(IntegrationError):
    """Repeating it unchanged cannot help."""


class VendorRejected(Permanent):
    """The vendor understood and said no. `detail` is its own words, `policy` what the vendor's table says of them."""

    def __init__(
        self, vendor: str, operation: str, status: int, code: str, detail: str, *, policy: str = "permanent"
    ) -> None:
        super().__init__(detail)
        self.vendor = vendor
        self.operation = operation
        self.status = status
        self.code = code
        self.policy = policy

    def __str__(self) -> str:
        code = f"{self.code}, " if self.code else ""
        return f"{self.vendor} refused: {self.operation}: {self.detail} ({code}HTTP {self.status})"


class NotFound(VendorRejected):
    """The vendor has no such thing."""


class Conflict(VendorRejected):
    """What was to be made exists already, or what was to be changed has changed meanwhile."""


class VendorClosed(IntegrationError):
    """The key is refused (`operation` None: for everything) or lacks a permission (for that operation). Rows stay."""

    def __init__(self, vendor: str, detail: str, operation: str | None = None) -> None:
        super().__init__(detail)
        self.vendor = vendor
        self.operation = operation


class NeedsConfiguration(IntegrationError):
    """A person must change the mapping or setting that (`kind`, `key`) names; what waits for it is resumed by that."""

    def __init__(self, kind: str, key: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.key = key


class MappingMissing(NeedsConfiguration):
    """Nobody has decided what this Paddle price means in m3ter; a decision about its product would do as well."""

    def __init__(self, kind: str, key: str, detail: str, *, product: str = "") -> None:
        super().__init__(kind, key, detail)
        self.product = product


class AccountConflict(NeedsConfiguration):
    """The m3ter account that would be used belongs, or may belong, to somebody else."""


class PlanConflict(NeedsConfiguration):
    """The items of a subscription ask for two plans of one m3ter product."""


class Ignored(IntegrationError):
    """There is nothing to do; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotPossible(Exception):
    """What a person asked for cannot be done to this row now; the text says why and what would help."""
