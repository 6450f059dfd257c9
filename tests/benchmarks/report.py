"""How a benchmark says what it found: one line each, as a ratio or a count, with what was aimed at."""

from collections.abc import Sequence


def say(line: str) -> None:
    """Print one line, apart from pytest's own output."""
    print(f"\nbench: {line}", flush=True)


def at_least(name: str, value: float, *, aim: float, detail: str) -> None:
    """Say a number that should be high."""
    say(f"{name}: {value:.2f} (aim: at least {aim:g}; {'met' if value >= aim else 'MISSED'}) - {detail}")


def at_most(name: str, value: float, *, aim: float, unit: str, detail: str) -> None:
    """Say a number that should be low."""
    say(f"{name}: {value:.1f} {unit} (aim: at most {aim:g}; {'met' if value <= aim else 'MISSED'}) - {detail}")


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
