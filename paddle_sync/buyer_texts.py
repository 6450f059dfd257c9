"""Texts of a buyer that m3ter may refuse: written all the same, with as little left out as it takes, and told.

Its firewall refuses what looks like code, its checks an e-mail it does not believe in; which text it was, neither says.
No subscription waits for ever, or is lost, over the name of whoever bought it.
"""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from integration_project import finding
from integration_project.errors import Conflict, NeedsConfiguration, NotFound, Temporary, VendorRejected
from integration_project.vendors.m3ter.entities import AccountAddress
from integration_project.vendors.m3ter.errors import FIREWALL

T = TypeVar("T")

TEXT_REFUSED = "text refused"
REFUSED_STATUSES = frozenset({400, 422})


class Part(enum.StrEnum):
    """What an account says of its buyer, in an operator's words."""

    NAME = "name"
    EMAIL = "e-mail address"
    ADDRESS = "address"


WITHOUT = (
    frozenset[Part](),
    frozenset({Part.ADDRESS}),
    frozenset({Part.EMAIL}),
    frozenset({Part.NAME}),
    frozenset({Part.NAME, Part.ADDRESS}),
    frozenset({Part.NAME, Part.EMAIL, Part.ADDRESS}),
)
"""What is left out, one attempt after the other, until m3ter takes the rest."""


@dataclass(frozen=True)
class Texts:
    """What is to be written of a buyer; None leaves what is there. Personal data."""

    name: str | None = field(default=None, repr=False)
    email_address: str | None = field(default=None, repr=False)
    address: AccountAddress | None = field(default=None, repr=False)

    def without(self, parts: frozenset[Part], plain: "Texts") -> "Texts":
        """The same, with these parts as `plain` has them; what is not to be written is not written for that."""
        return Texts(
            name=plain.name if self.name is not None and Part.NAME in parts else self.name,
            email_address=(
                plain.email_address if self.email_address is not None and Part.EMAIL in parts else self.email_address
            ),
            address=plain.address if self.address is not None and Part.ADDRESS in parts else self.address,
        )

    def other_than(self, written: "Texts") -> tuple[Part, ...]:
        """The parts in which something else was written."""
        pairs = {
            Part.NAME: (self.name, written.name),
            Part.EMAIL: (self.email_address, written.email_address),
            Part.ADDRESS: (self.address, written.address),
        }
        return tuple(part for part, (ours, theirs) in pairs.items() if ours != theirs)


def as_taken(texts: Texts, plain: Texts, write: Callable[[Texts], T]) -> tuple[T, tuple[Part, ...]]:
    """Write the texts, or `plain` in place of as few as m3ter will have it; its first refusal where that is no help."""
    tried: list[Texts] = []
    refusals: list[NeedsConfiguration | VendorRejected] = []
    for parts in WITHOUT:
        attempt = texts.without(parts, plain)
        if attempt in tried:
            continue
        tried.append(attempt)
        try:
            return write(attempt), texts.other_than(attempt)
        except Conflict as twice:
            raise Temporary(f"{twice}; somebody else is changing the account too") from None
        except (NeedsConfiguration, VendorRejected) as refusal:
            if not may_be_about_a_text(refusal):
                raise
            refusals.append(refusal)
    raise refusals[0]


def tell(subscription_id: str, left_out: Sequence[Part]) -> None:
    """Keep the finding about an account in step with what could be written into it."""
    if not left_out:
        finding.settle(TEXT_REFUSED, subscription_id, reason="m3ter has what Paddle says of the buyer.")
        return
    *others, last = left_out
    parts = f"{', '.join(others)} and {last}" if others else str(last)
    finding.report(
        TEXT_REFUSED,
        subscription_id,
        detail=f"m3ter, or the firewall in front of it, refused the {parts} that the buyer of {subscription_id} gave in"
        " Paddle; most likely it looks like code to it. The m3ter account was written without it: a new one carries"
        " its code as name, a placeholder as e-mail address and the country alone as address in that place, an"
        " existing one keeps what it had. Usage and bills are not affected.",
        next_step=f"Enter the {parts} by hand in m3ter, correct it in Paddle, or ask m3ter's support to let it pass."
        " Once it changes in Paddle, it is tried again.",
    )


def may_be_about_a_text(refusal: NeedsConfiguration | VendorRejected) -> bool:
    """Say whether other words might be taken: the firewall refused it, or m3ter's own checks did."""
    if isinstance(refusal, NeedsConfiguration):
        return refusal.key == FIREWALL
    return refusal.status in REFUSED_STATUSES and not isinstance(refusal, NotFound)
