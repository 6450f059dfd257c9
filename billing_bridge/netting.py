"""What of a bill is charged, taken from the carried balance, and carried on. Pure: integers of minor units only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Carried:
    """What is left of an entry of the carried balance: above zero the customer owes it, below is owed it."""

    entry_id: int
    remaining: int


@dataclass(frozen=True)
class Netting:
    """How an amount is settled: outstanding + taken = charge + carry, always.

    `taken` says how much of which entry, with the entry's sign. `charge` is nothing, or enough for Paddle.
    """

    taken: tuple[Carried, ...]
    charge: int
    carry: int

    @property
    def carried_in(self) -> int:
        """What comes from the carried balance in all."""
        return sum(part.remaining for part in self.taken)


def net(outstanding: int, balance: Sequence[Carried], *, minimum: int) -> Netting:
    """Settle what is outstanding against the balance, oldest entry first.

    Enough for Paddle together: all of it is charged. Else the credits there are pay for as much as they can, and what
    is left, below the minimum or owed to the customer, is carried.
    """
    together = outstanding + sum(part.remaining for part in balance)
    if together >= max(minimum, 1) and outstanding > 0:
        return Netting(tuple(part for part in balance if part.remaining), together, 0)
    taken = tuple(_credits(outstanding, balance)) if outstanding > 0 else ()
    return Netting(taken, 0, outstanding + sum(part.remaining for part in taken))


def _credits(outstanding: int, balance: Iterable[Carried]) -> Iterable[Carried]:
    """Take credits until what is outstanding is paid for."""
    left = outstanding
    for part in balance:
        if part.remaining < 0 < left:
            used = min(left, -part.remaining)
            left -= used
            yield Carried(part.entry_id, -used)


@dataclass(frozen=True)
class Share:
    """An amount that is taxed in one way; below zero, a credit. `key` says for the caller what it is.

    `taxed` names the way: amounts with tax in them and without are not the same money, nor those of two categories.
    """

    key: int
    taxed: str
    amount: int


@dataclass(frozen=True)
class Netted:
    """What is left of a share after credits: its amount, and by how much which credits lowered it."""

    key: int
    amount: int
    lowered_by: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Items:
    """Shares of which none is zero or below. `crosses`: a credit lowered something that is taxed in another way."""

    left: tuple[Netted, ...]
    crosses: bool


def spread_credits(shares: Sequence[Share]) -> Items:
    """Let credits lower what is taxed in the same way, largest first, and only then what is taxed in another.

    The shares must come to more than zero together. A credit of no way in particular ("") always lowers what is taxed
    in another one.
    """
    if sum(share.amount for share in shares) <= 0:
        raise ValueError("credits take all of it")
    left = {share.key: share.amount for share in shares if share.amount > 0}
    lowered: dict[int, list[tuple[int, int]]] = {key: [] for key in left}
    taxed = {share.key: share.taxed for share in shares}
    credits = [(share.key, -share.amount) for share in shares if share.amount < 0]
    crosses = False
    for same_way in (True, False):
        rest = []
        for key, amount in credits:
            targets = [other for other in left if not same_way or (taxed[key] and taxed[other] == taxed[key])]
            still = _lower(key, amount, sorted(targets, key=lambda other: (-left[other], other)), left, lowered)
            crosses = crosses or (not same_way and still < amount)
            if still:
                rest.append((key, still))
        credits = rest
    kept = tuple(Netted(key, amount, tuple(lowered[key])) for key, amount in left.items() if amount)
    return Items(kept, crosses)


def _lower(
    credit: int, amount: int, targets: Sequence[int], left: dict[int, int], lowered: dict[int, list[tuple[int, int]]]
) -> int:
    """Take a credit off the targets, one after the other; what no target could take is left."""
    for target in targets:
        taken = min(amount, left[target])
        if taken:
            left[target] -= taken
            amount -= taken
            lowered[target].append((credit, taken))
    return amount
