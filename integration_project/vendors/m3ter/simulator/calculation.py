"""The expressions of notification rules and derived fields: `new.status == "APPROVED" AND old.status != "APPROVED"`.

Numbers, texts, booleans, null, fields, arithmetic, comparison, AND, OR, NOT and brackets. The exact syntax is one of
the guesses about m3ter. Pure.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>\d+(?:\.\d+)?)
      | (?P<text>"[^"]*"|'[^']*')
      | (?P<name>[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*)
      | (?P<symbol>==|!=|>=|<=|&&|\|\||[><=()+\-*/!])
    )""",
    re.VERBOSE,
)
WORDS = {"true": True, "false": False, "null": None}
SYNONYMS = {"&&": "AND", "||": "OR", "!": "NOT", "=": "=="}
END = ("end", "")


class NotACalculation(ValueError):
    """The expression cannot be read or evaluated."""


def evaluate(expression: str, values: Mapping[str, Any]) -> Any:
    """What an expression gives; names are looked up along their dots, and absent ones are null."""
    return _Reader(_tokens(expression), values).whole()


def _tokens(expression: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    text = expression.strip()
    while position < len(text):
        found = TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            raise NotACalculation(f"'{text[position:]}' cannot be read")
        kind, word = found.lastgroup, found.group(found.lastgroup)
        if kind == "name" and word.upper() in ("AND", "OR", "NOT"):
            kind, word = "symbol", word.upper()
        tokens.append((kind, SYNONYMS.get(word, word) if kind == "symbol" else word))
        position = found.end()
    return tokens


class _Reader:
    """Recursive descent, one method per level of precedence; both sides of AND and OR are read."""

    def __init__(self, tokens: list[tuple[str, str]], values: Mapping[str, Any]) -> None:
        self._tokens = tokens
        self._values = values
        self._at = 0

    def whole(self) -> Any:
        result = self._either()
        if self._peek() != END:
            raise NotACalculation(f"'{self._peek()[1]}' is not expected here")
        return result

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else END

    def _take(self, *symbols: str) -> str | None:
        kind, word = self._peek()
        if kind != "symbol" or word not in symbols:
            return None
        self._at += 1
        return word

    def _either(self) -> Any:
        result = self._both()
        while self._take("OR"):
            right = self._both()
            result = bool(result) or bool(right)
        return result

    def _both(self) -> Any:
        result = self._inverted()
        while self._take("AND"):
            right = self._inverted()
            result = bool(result) and bool(right)
        return result

    def _inverted(self) -> Any:
        return not self._inverted() if self._take("NOT") else self._compared()

    def _compared(self) -> Any:
        left = self._sum()
        symbol = self._take("==", "!=", ">=", "<=", ">", "<")
        return left if symbol is None else _compare(left, symbol, self._sum())

    def _sum(self) -> Any:
        result = self._product()
        while symbol := self._take("+", "-"):
            right = _number(self._product())
            result = _number(result) + (right if symbol == "+" else -right)
        return result

    def _product(self) -> Any:
        result = self._single()
        while symbol := self._take("*", "/"):
            right = _number(self._single())
            if symbol == "/" and not right:
                raise NotACalculation("division by zero")
            result = _number(result) * right if symbol == "*" else _number(result) / right
        return result

    def _single(self) -> Any:
        if self._take("-"):
            return -_number(self._single())
        if self._take("("):
            result = self._either()
            if self._take(")") is None:
                raise NotACalculation("a closing bracket is missing")
            return result
        kind, word = self._peek()
        self._at += 1
        if kind == "number":
            return Decimal(word)
        if kind == "text":
            return word[1:-1]
        if kind == "name":
            return WORDS[word.lower()] if word.lower() in WORDS else self._field(word)
        raise NotACalculation(f"'{word}' is not expected here" if word else "the expression ends too early")

    def _field(self, name: str) -> Any:
        value: Any = self._values
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise NotACalculation(f"{value!r} is not a number")
    return Decimal(value)


def _compare(left: Any, symbol: str, right: Any) -> bool:
    if symbol == "==":
        return bool(left == right)
    if symbol == "!=":
        return bool(left != right)
    if left is None or right is None or isinstance(left, str) != isinstance(right, str):
        return False
    if symbol in (">", ">="):
        return bool(left > right) or (symbol == ">=" and bool(left == right))
    return bool(left < right) or (symbol == "<=" and bool(left == right))
